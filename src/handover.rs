//! One descriptor crosses a socket: `SCM_RIGHTS`, as `unix(7)` and `cmsg(3)` have it.

use crate::abi::{MSG_NOSIGNAL, SCM_RIGHTS, SOL_SOCKET, cmsghdr};
use crate::sys::{Direction, Fd, Rights, message};

/// A control message with `fd`.
fn rights(fd: Fd) -> Rights {
    Rights {
        header: cmsghdr {
            // Without the padding behind the descriptor.
            cmsg_len: size_of::<cmsghdr>() + size_of::<Fd>(),
            cmsg_level: SOL_SOCKET as i32,
            cmsg_type: SCM_RIGHTS as i32,
        },
        fd,
        padding: 0,
    }
}

/// Sends `fd` over `socket`: the target's part, which ends if it fails, with EPIPE if nobody is
/// there to receive it.
pub fn send(socket: Fd, fd: Fd) {
    message(Direction::Send, socket, &mut rights(fd), MSG_NOSIGNAL);
}

/// Receives a descriptor over `socket`: the tracer's part, which ends if it fails. Nothing comes if the
/// other side closed without a message; [`Fd::NONE`] comes if there was no room for a descriptor in
/// this process's table (`RLIMIT_NOFILE`).
#[must_use]
pub fn receive(socket: Fd) -> Option<Fd> {
    let mut rights = rights(Fd::NONE);
    let length = message(Direction::Receive, socket, &mut rights, 0);
    if length == 0 { None } else { Some(rights.fd) }
}
