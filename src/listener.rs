//! The listener: notifications are received, checked and answered over one descriptor
//! (`seccomp_unotify(2)`). What is in them is [`crate::tracer`]'s business.

use crate::abi::{
    POLLHUP, POLLIN, Request, Response, SECCOMP_IOCTL_NOTIF_ID_VALID,
    SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, pollfd,
};
use crate::sys::{self, Errno, Failure, Fd, Fits, Pid};

/// A listener that this process may use.
#[derive(Clone, Copy)]
pub struct Listener {
    fd: Fd,
    fits: Fits,
    /// Whose calls are notified.
    target: Pid,
}

impl Listener {
    /// Takes `fd` for the listener of `target`'s filter.
    #[must_use]
    pub fn new(fd: Fd, fits: Fits, target: Pid) -> Self {
        // Target and tracer never work at the same time, so one CPU serves both best. EINVAL
        // before Linux 6.6: it was slower then.
        sys::ioctl_set_flags(fd, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP).regardless();
        Self { fd, fits, target }
    }

    /// Waits for a notification; false if nobody is left who could cause one.
    ///
    /// # Errors
    /// As `SECCOMP_IOCTL_NOTIF_RECV` and `ppoll(2)` have them.
    pub fn receive(self, request: &mut Request) -> Result<bool, Failure> {
        loop {
            *request = Request::ZERO;
            match sys::ioctl_recv(self.fits, self.fd, request).once() {
                Ok(()) => return Ok(true),
                // ENOENT: the call went away before it was received, or (since Linux 6.11) the last
                // process under the filter did. EINTR: the parent's word that the target has ended,
                // or a signal that means nothing.
                Err(failure) if matches!(failure.errno(), Errno::EINTR | Errno::ENOENT) => {
                    if self.is_deserted()? {
                        return Ok(false);
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Waits until there is a notification or nobody left who could cause one; true for the latter.
    fn is_deserted(self) -> Result<bool, Failure> {
        loop {
            // The parent has waited for the target: what kernels before 6.11, where RECV never
            // returns for that, and before 5.9, where poll(2) does not tell either, know of it.
            let there = sys::kill(self.target, 0).make();
            if there.is_err_and(|failure| failure.errno() == Errno::ESRCH) {
                return Ok(true);
            }
            let mut poll = pollfd { fd: self.fd.0, events: POLLIN, revents: 0 };
            match sys::ppoll(&mut poll).once() {
                Ok(()) => return Ok(poll.revents & POLLHUP != 0),
                Err(failure) if failure.errno() == Errno::EINTR => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Whether the call behind `id` still waits for its answer: while it does, its process is
    /// alive, and its PID is nobody else's.
    ///
    /// # Errors
    /// As `SECCOMP_IOCTL_NOTIF_ID_VALID` has them.
    pub fn is_valid(self, id: u64) -> Result<bool, Failure> {
        // Kernels before 5.9 know it by another number only; those since know both.
        let mut number = SECCOMP_IOCTL_NOTIF_ID_VALID;
        loop {
            match sys::ioctl_id_valid(self.fd, number, &id).make() {
                Ok(()) => return Ok(true),
                Err(failure) => match failure.errno() {
                    Errno::ENOENT => return Ok(false),
                    Errno::EINVAL if number != SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR => {
                        number = SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR;
                    }
                    _ => return Err(failure),
                },
            }
        }
    }

    /// Answers.
    ///
    /// # Errors
    /// As `SECCOMP_IOCTL_NOTIF_SEND` has them; ENOENT if the call has gone away.
    pub fn send(self, response: &Response) -> Result<(), Failure> {
        sys::ioctl_send(self.fits, self.fd, response).make()
    }
}
