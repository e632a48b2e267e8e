//! One descriptor crosses a socket: `SCM_RIGHTS`, as `unix(7)` and `cmsg(3)` have it.

use crate::sys::{self, Fd};

/// Sends `fd` over `socket`: the target's part, which ends if it fails, with EPIPE if nobody is
/// there to receive it.
pub fn send(socket: Fd, fd: Fd) {
    sys::sendmsg(socket, fd);
}

/// Receives a descriptor over `socket`: the tracer's part, which ends if it fails. Nothing comes if the
/// other side closed without a message; [`Fd::NONE`] comes if there was no room for a descriptor in
/// this process's table (`RLIMIT_NOFILE`).
#[must_use]
pub fn receive(socket: Fd) -> Option<Fd> {
    sys::recvmsg(socket)
}
