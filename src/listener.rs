//! The listener: notifications are received, checked and answered over one descriptor
//! (`seccomp_unotify(2)`). What is in them is [`crate::tracer`]'s business. An error that is not
//! mentioned ends the tracer: dropped, it would leave the target waiting.

use linux_raw_sys::errno;

use crate::abi::{
    Exchange, POLLHUP, POLLIN, Response, SECCOMP_IOCTL_NOTIF_ID_VALID,
    SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, pollfd,
};
use crate::failure::Process;
use crate::sys::{self, Answer, Errno, Errors, Fd, Fits, Pid};

/// Only the tracer listens.
const ME: Process = Process::TRACER;

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
    pub fn receive(&self, exchange: &mut Exchange) -> bool {
        loop {
            *exchange = Exchange::ZERO;
            // ENOENT: the call went away before it was received, or (since Linux 6.11) the last
            // process under the filter did. EINTR: the parent's word that the target has ended, or
            // a signal that means nothing.
            let left = const { Errors::of(&[errno::ENOENT, errno::EINTR]) };
            if sys::ioctl_recv(self.fits, self.fd, &mut exchange.request)
                .expecting(left, ME)
                .is_ok()
            {
                return true;
            }
            // The parent has waited for the target: what kernels before 6.11, where RECV never
            // returns for that, and before 5.9, where poll(2) does not tell either, know of it.
            let gone = const { Errors::of(&[errno::ESRCH]) };
            if sys::kill(self.target, 0).expecting(gone, ME).is_err() {
                return false;
            }
            // Waits until there is a notification or nobody left who could cause one.
            let mut poll = pollfd { fd: self.fd.0, events: POLLIN, revents: 0 };
            let interrupted = const { Errors::of(&[errno::EINTR]) };
            let _ = sys::ppoll(&mut poll).expecting(interrupted, ME);
            if poll.revents & POLLHUP != 0 {
                return false;
            }
        }
    }

    /// Whether the call behind `id` still waits for its answer: while it does, its process is
    /// alive, and its PID is nobody else's.
    #[must_use]
    #[inline(always)]
    pub fn is_valid(&self, id: &u64) -> bool {
        let mut number = SECCOMP_IOCTL_NOTIF_ID_VALID;
        let mut expected = const { Errors::of(&[errno::ENOENT, errno::EINVAL]) };
        loop {
            let answer = sys::ioctl_id_valid(self.fd, number, id).answer_expecting(expected, ME);
            if !answer.is(Errno::EINVAL) {
                return !answer.is_error();
            }
            // Kernels before 5.9 know it by another number only; those since know both.
            number = SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR;
            expected = const { Errors::of(&[errno::ENOENT]) };
        }
    }

    /// Answers.
    ///
    /// ENOENT if the call has gone away. EINVAL if the kernel does not know the response's flags.
    #[inline(always)]
    pub fn send(&self, response: &Response) -> Answer<()> {
        let mut expected = const { Errors::of(&[errno::ENOENT]) };
        if response.resp.flags != 0 {
            expected = const { Errors::of(&[errno::ENOENT, errno::EINVAL]) };
        }
        sys::ioctl_send(self.fits, self.fd, response).answer_expecting(expected, ME)
    }
}
