//! The listener: receives notifications, checks them and answers them (`seccomp_unotify(2)`). What to answer
//! is decided in [`crate::tracer`].

use crate::abi::{
    POLLHUP, POLLIN, Request, Response, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, pollfd,
    seccomp_notif_addfd,
};
use crate::sys::{self, BuffersFit, Errno, Fd, Pid};

/// The listener of a filter.
#[derive(Clone, Copy)]
pub struct Listener {
    fd: Fd,
    buffers_fit: BuffersFit,
}

impl Listener {
    /// Takes `fd` for the listener of a filter.
    ///
    /// # Errors
    /// EMSGSIZE if this kernel's notifications are longer than the buffers; else as `seccomp(2)`.
    pub fn new(fd: Fd) -> sys::Result<Self> {
        Ok(Self { fd, buffers_fit: sys::seccomp_get_notif_sizes()? })
    }

    /// Lets target and supervisor wake each other on one processor: they never run at the same time, so that
    /// one serves both best.
    ///
    /// # Errors
    /// EINVAL before Linux 6.6.
    pub fn wake_synchronously(&self) -> sys::Result<()> {
        sys::ioctl_set_flags(self.fd, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP).result()
    }

    /// Waits for a notification, once.
    ///
    /// # Errors
    /// ENOENT if the call went away before it was received, or (Linux 6.11 and later) if the last process
    /// under the filter has ended. EINTR if a signal comes.
    pub fn receive_once(&self, request: &mut Request) -> sys::Result<()> {
        *request = Request::ZERO;
        sys::ioctl_recv(self.buffers_fit, self.fd, request).once()
    }

    /// Waits for a notification of `target`, which installed the filter, or of another process under it.
    /// Returns false if there is no process left that could cause one.
    ///
    /// # Errors
    /// As `seccomp_unotify(2)`, `kill(2)` and `poll(2)`, but ENOENT and EINTR.
    pub fn receive(&self, target: Pid, request: &mut Request) -> sys::Result<bool> {
        loop {
            match self.receive_once(request) {
                Ok(()) => return Ok(true),
                Err(error) if error.is(Errno::ENOENT) || error.is(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
            // Before Linux 6.11 RECV waits for ever when the target has ended, and before 5.9 poll does too. But
            // when the parent has waited for the target, it sends a signal: RECV fails with EINTR, and there is
            // no such process any more.
            match sys::kill(target, 0).result() {
                Ok(()) => {}
                Err(error) if error.is(Errno::ESRCH) => return Ok(false),
                Err(error) => return Err(error),
            }
            // Wait for a notification, or until no process uses the filter any more.
            let mut poll = pollfd { fd: self.fd.0, events: POLLIN, revents: 0 };
            match sys::ppoll(&mut poll).once() {
                Ok(()) => {}
                Err(error) if error.is(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
            if poll.revents & POLLHUP != 0 {
                return Ok(false);
            }
        }
    }

    /// Makes sure that the call with this notification ID still waits for its answer. While it waits, its
    /// process lives, and its PID belongs to no other process.
    ///
    /// # Errors
    /// ENOENT if the call no longer waits.
    pub fn check_id(&self, id: &u64) -> sys::Result<()> {
        sys::ioctl_id_valid(self.fd, id)
    }

    /// Puts a descriptor into the process that waits. Returns its number there.
    ///
    /// # Errors
    /// ENOENT if the call no longer waits. EINVAL before Linux 5.9, and for `SECCOMP_ADDFD_FLAG_SEND` before 5.14.
    pub fn add_fd(&self, add: &seccomp_notif_addfd) -> sys::Result<Fd> {
        sys::ioctl_addfd(self.fd, add).result()
    }

    /// Sends the answer to a notification.
    ///
    /// # Errors
    /// ENOENT if its call no longer waits. EINVAL for `SECCOMP_USER_NOTIF_FLAG_CONTINUE` before Linux 5.5.
    pub fn send(&self, response: &Response) -> sys::Result<()> {
        sys::ioctl_send(self.buffers_fit, self.fd, response).result()
    }

    /// Closes it.
    ///
    /// # Errors
    /// As `close(2)`.
    pub fn close(self) -> sys::Result<()> {
        sys::close(self.fd).result()
    }
}
