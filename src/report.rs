//! Who speaks, how a failure is told, and the exit status.

use crate::abi::nr;
use crate::fmt::{Arg, Message};
use crate::messages::{self, Text};
use crate::names;
use crate::print::print;
use crate::signals;
use crate::sys::{self, Caller, Errno, Error, Fd, Pid};

/// The exit statuses.
pub mod status {
    /// The demonstration ran.
    pub const SUCCESS: u32 = 0;
    /// A usage error, or something failed.
    pub const FAILURE: u32 = 1;
    /// The tracer has answered `/bye`: 1 in the C original too. A child's failure has another status.
    pub const FAREWELL: u32 = 1;
    /// A child failed and has said why.
    pub const CHILD_FAILED: u32 = 2;
    /// This system cannot do it: Automake and Meson read this as 'skipped'.
    pub const UNSUPPORTED: u32 = 77;
}

/// One of the three processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// The one that was started.
    Parent,
    /// The one that makes directories.
    Target,
    /// The one that answers.
    Tracer,
}

impl Process {
    /// Its name, as its lines begin.
    #[must_use]
    pub fn name(self) -> Text {
        match self {
            Self::Parent => messages::PARENT,
            Self::Target => messages::TARGET,
            Self::Tracer => messages::TRACER,
        }
    }

    /// Prints a message on standard output, or ends the process: what is not printed must not look printed.
    pub fn say(self, template: Text, args: &[Arg]) {
        self.try_print(Fd::STDOUT, template, args).unwrap_or_else(|error| self.fail(error));
    }

    /// The same on standard error.
    pub fn warn(self, template: Text, args: &[Arg]) {
        self.try_print(Fd::STDERR, template, args).unwrap_or_else(|error| self.fail(error));
    }

    /// Prints a message.
    ///
    /// # Errors
    /// As [`print`].
    pub fn try_print(self, fd: Fd, template: Text, args: &[Arg]) -> sys::Result<()> {
        print(fd, self.name(), &Message { template, args })
    }

    /// Tells that something failed, and why. The result is ignored: where this cannot be told, the exit
    /// status tells.
    pub fn tell(self, what: Text, errno: Errno, hint: Text) {
        let args = &[Arg::Text(what), Arg::Errno(errno), Arg::Text(hint)];
        let _ = self.try_print(Fd::STDERR, messages::FAILED, args);
    }

    /// Tells which call failed and why, with a hint why this system cannot make it, and ends the process
    /// with status 77.
    pub fn give_up(self, error: Error, hint: Text) -> ! {
        self.tell(names::call(error.call()), error.errno(), hint);
        end(status::UNSUPPORTED)
    }
}

impl Caller for Process {
    /// Tells which call failed and why, and ends the process: with status 77 if this system is the cause.
    fn fail(self, error: Error) -> ! {
        if let Some(hint) = hint(error) {
            self.give_up(error, hint)
        }
        self.tell(names::call(error.call()), error.errno(), messages::EMPTY);
        end(match self {
            Self::Parent => status::FAILURE,
            Self::Target | Self::Tracer => status::CHILD_FAILED,
        })
    }
}

/// Ends the process.
///
/// When the machine's first process ends the kernel panics, and what a serial line has not sent yet is lost. So the
/// first process waits for the console.
pub fn end(status: u32) -> ! {
    // A terminal answers a background job with SIGTTOU and lets it try again. The first process of a PID namespace
    // is not stopped by that, and so would try for ever.
    if sys::getpid().result() == Ok(Pid::INIT)
        && sys::rt_sigprocmask(&(signals::OUTPUT | signals::TERMINAL)).result().is_ok()
    {
        // The result is ignored: most standard outputs are no terminals.
        let _ = sys::ioctl_drain(Fd::STDOUT).result();
    }
    sys::exit_group(status)
}

/// Why this system cannot make a call that failed; `None` if the cause is something else.
///
/// The program makes its calls with arguments that are right on every system. So a call that fails does so for
/// want of something, or because the system or a sandbox does not allow it, with whatever errno.
#[must_use]
pub fn hint(error: Error) -> Option<Text> {
    Some(match (error.call(), error.errno()) {
        // The user chose where the output goes.
        (nr::__NR_write, _) => return None,
        // Something is used up.
        (_, Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => return None,
        (_, Errno::ENOBUFS | Errno::ETOOMANYREFS) => return None,
        // The process at the other end of the socket has ended. It has said why, or the parent says which
        // signal ended it.
        (_, Errno::EPIPE | Errno::ECONNRESET) => return None,
        (nr::__NR_seccomp, Errno::EBUSY) => messages::HINT_LISTENER,
        (nr::__NR_seccomp, Errno::EINVAL) => messages::HINT_SECCOMP,
        (nr::__NR_seccomp, Errno::EMSGSIZE) => messages::HINT_SIZES,
        (nr::__NR_seccomp, Errno::ENOSYS) => messages::HINT_EMULATOR,
        _ => messages::HINT_SANDBOX,
    })
}
