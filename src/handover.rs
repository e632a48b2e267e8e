//! One descriptor crosses a socket: `SCM_RIGHTS`, as `unix(7)` and `cmsg(3)` have it.

use crate::abi::{MSG_NOSIGNAL, SCM_RIGHTS, SOL_SOCKET, cmsghdr};
use crate::sys::{Direction, Failure, Fd, Rights, message};

/// The bytes of the control message: its header and one descriptor, without the padding.
const LENGTH: usize = size_of::<cmsghdr>() + size_of::<Fd>();

/// A control message with `fd`.
fn rights(fd: Fd) -> Rights {
    Rights {
        header: cmsghdr {
            cmsg_len: LENGTH,
            cmsg_level: SOL_SOCKET as i32,
            cmsg_type: SCM_RIGHTS as i32,
        },
        fd,
        padding: 0,
    }
}

/// Sends `fd` over `socket`.
///
/// # Errors
/// As `sendmsg(2)` has them; EPIPE if nobody is there to receive it.
pub fn send(socket: Fd, fd: Fd) -> Result<usize, Failure> {
    message(Direction::Send, socket, &mut rights(fd), MSG_NOSIGNAL)
}

/// What came over the socket.
pub enum Received {
    /// A descriptor, which is now this process's too.
    Descriptor(Fd),
    /// A message without one: there was no room in the table of descriptors (`RLIMIT_NOFILE`).
    Nothing,
    /// The end: the other side closed without a message.
    End,
}

/// Receives a descriptor over `socket`.
///
/// # Errors
/// As `recvmsg(2)` has them.
pub fn receive(socket: Fd) -> Result<Received, Failure> {
    let mut rights = rights(Fd(-1));
    let length = message(Direction::Receive, socket, &mut rights, 0)?;
    Ok(match rights.fd {
        _ if length == 0 => Received::End,
        Fd(-1) => Received::Nothing,
        fd => Received::Descriptor(fd),
    })
}
