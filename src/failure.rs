//! Who speaks, how a failure is told, and with which status a process ends.

use crate::print::print;
use crate::sys::{self, Answer, Errno, Failure, Fd, Meaning, ZStr};
use crate::text::{self, Text};

/// The exit statuses.
pub mod status {
    /// The demonstration ran.
    pub const SUCCESS: u32 = 0;
    /// A usage error, or something failed.
    pub const FAILURE: u32 = 1;
    /// The tracer said farewell: DEMO's status for it, so that a child's failure needs another.
    pub const FAREWELL: u32 = 1;
    /// A child failed, and has said why.
    pub const CHILD_FAILED: u32 = 2;
    /// This system cannot do it: what Automake and Meson take for 'skipped'.
    pub const UNSUPPORTED: u32 = 77;
}

/// One of the three processes: its name, as a line begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub Text);

impl Process {
    /// The one that was started.
    pub const PARENT: Self = Self(text::PARENT);
    /// The one that makes directories.
    pub const TARGET: Self = Self(text::TARGET);
    /// The one that answers.
    pub const TRACER: Self = Self(text::TRACER);

    /// Prints a line, or ends: what cannot be told must not be taken for told.
    pub fn say(self, out: Fd, text: Text, string: Option<ZStr>, numbers: &[u64]) {
        if let Err(failure) = print(out, text, string, numbers) {
            self.fail(failure)
        }
    }

    /// Tells of a failure that the process survives.
    pub fn complain(self, Failure { call, errno }: Failure) {
        // Where this cannot be told, nothing can; the exit status will.
        let numbers = [self.0.0.into(), call.0.into(), errno.into_raw() as u64];
        let _ = print(Fd::STDERR, text::FAILED, None, &numbers);
    }

    /// Tells of a failure and ends.
    pub fn fail(self, failure: Failure) -> ! {
        self.complain(failure);
        sys::exit_group(if self == Self::PARENT { status::FAILURE } else { status::CHILD_FAILED })
    }

    /// Tells of a failure that lies in this system, with a hint at the reason, and ends.
    pub fn give_up(self, failure: Failure, hint: Text) -> ! {
        self.complain(failure);
        let _ = print(Fd::STDERR, hint, None, &[]);
        sys::exit_group(status::UNSUPPORTED)
    }

    /// Tells of a failure of `seccomp(2)` and ends, given up where the errno says that this system
    /// cannot do it.
    pub fn fail_seccomp(self, failure: Failure) -> ! {
        match failure.errno {
            Errno::EBUSY => self.give_up(failure, text::HINT_LISTENER),
            // Before Linux 5.0, without seccomp, or under a sandbox that refuses it.
            Errno::EINVAL | Errno::ENOSYS | Errno::EPERM | Errno::EACCES => {
                self.give_up(failure, text::HINT_SECCOMP)
            }
            _ => self.fail(failure),
        }
    }
}

impl<T: Meaning> Answer<T> {
    /// The value; or tells of the failure and ends.
    #[inline(always)]
    pub fn or_fail(self, process: Process) -> T {
        match self.checked() {
            Ok(value) => value,
            Err(failure) => process.fail(failure),
        }
    }
}
