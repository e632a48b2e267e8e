//! The listener: receives notifications, checks them and answers them (`seccomp_unotify(2)`). What to answer
//! is decided in [`crate::tracer`].

use crate::abi::{POLLHUP, POLLIN, Request, Response, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, pollfd};
use crate::messages;
use crate::report::Process;
use crate::sys::{self, BuffersFit, Caller, Errno, Fd, Pid};

/// The listener of a filter. Only the tracer has one; an error that is not mentioned ends it.
pub struct Listener {
    fd: Fd,
    buffers_fit: BuffersFit,
    /// The process that installed the filter.
    target: Pid,
}

const ME: Process = Process::Tracer;

impl Listener {
    /// Takes `fd` for the listener of the filter that `target` installed. Ends the tracer with EMSGSIZE if
    /// this kernel's notifications are longer than the buffers.
    pub fn new(fd: Fd, target: Pid) -> Self {
        let buffers_fit = sys::seccomp_get_notif_sizes().unwrap_or_else(|error| ME.fail(error));
        // Target and tracer never run at the same time, so one processor serves both best. The call only tunes
        // latency, from Linux 6.6 on, and an error is ignored. Only ENOENT is not: no kernel answers so here. With a
        // sandbox that does, to every ioctl, `receive` would take each answer for a call that went away.
        let set = sys::ioctl_set_flags(fd, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP).result();
        if let Err(error) = set
            && error.is(Errno::ENOENT)
        {
            ME.fail(error)
        }
        Self { fd, buffers_fit, target }
    }

    /// Waits for a notification. Returns false if there is no process left that could cause one.
    pub fn receive(&self, request: &mut Request) -> bool {
        loop {
            *request = Request::ZERO;
            match sys::ioctl_recv(self.buffers_fit, self.fd, request).once() {
                Ok(()) => return true,
                // ENOENT: the call went away before it was received, or (Linux 6.11 and later) the last
                // process under the filter ended. EINTR: a signal; the parent sends one when the target has
                // ended.
                Err(error) if error.is(Errno::ENOENT) || error.is(Errno::EINTR) => {}
                Err(error) => ME.fail(error),
            }
            // Before Linux 6.11 RECV waits for ever when the target has ended, and before 5.9 poll does too. But
            // when the parent has waited for the target, it sends a signal: RECV fails with EINTR, and there is
            // no such process any more.
            match sys::kill(self.target, 0).result() {
                Ok(()) => {}
                Err(error) if error.is(Errno::ESRCH) => return false,
                Err(error) => ME.fail(error),
            }
            // Wait for a notification, or until no process uses the filter any more.
            let mut poll = pollfd { fd: self.fd.0, events: POLLIN, revents: 0 };
            match sys::ppoll(&mut poll).once() {
                Ok(()) => {}
                Err(error) if error.is(Errno::EINTR) => {}
                Err(error) => ME.fail(error),
            }
            if poll.revents & POLLHUP != 0 {
                return false;
            }
        }
    }

    /// Whether the call with this notification ID still waits for its answer. While it waits, its process
    /// lives, and its PID belongs to no other process.
    #[must_use]
    pub fn is_valid(&self, id: &u64) -> bool {
        match sys::ioctl_id_valid(self.fd, id) {
            Ok(()) => true,
            Err(error) if error.is(Errno::ENOENT) => false,
            Err(error) => ME.fail(error),
        }
    }

    /// Sends the answer to a notification. Returns false if its call no longer waits.
    #[must_use]
    pub fn send(&self, response: &Response) -> bool {
        match sys::ioctl_send(self.buffers_fit, self.fd, response).result() {
            Ok(()) => true,
            Err(error) if error.is(Errno::ENOENT) => false,
            Err(error) if error.is(Errno::EINVAL) && response.resp.flags != 0 => {
                ME.give_up(error, messages::HINT_CONTINUE)
            }
            // The target would wait for ever.
            Err(error) => ME.fail(error),
        }
    }
}
