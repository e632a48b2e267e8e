//! Who speaks, how a failure is told, and with which status a process ends.

use crate::print::print;
use crate::sys::{self, Errno, ZStr};
use crate::text::{self, Text};

/// The exit statuses.
pub mod status {
    /// The demonstration ran.
    pub const SUCCESS: u32 = 0;
    /// A usage error, or something failed.
    pub const FAILURE: u32 = 1;
    /// The tracer said farewell. It is no failure, so a child's failure needs another status.
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

    /// Prints a line with at most three numbers, or ends: what cannot be told must not be taken
    /// for told.
    #[inline(always)]
    pub fn say<const N: usize>(self, text: Text, numbers: [u64; N]) {
        match numbers.as_slice() {
            [] => self.say_nothing(text),
            _ => self.say_about(text, None, numbers),
        }
    }

    /// The same with a string.
    #[inline(always)]
    pub fn say_about<const N: usize>(self, text: Text, string: Option<ZStr>, numbers: [u64; N]) {
        let [a, b, c] = pad(numbers);
        self.say_all(text, string, a, b, c);
    }

    /// A line that is just a text.
    #[inline(never)]
    fn say_nothing(self, text: Text) {
        self.say_all(text, None, 0, 0, 0);
    }

    /// All that a line can have, in registers.
    #[inline(never)]
    fn say_all(self, text: Text, string: Option<ZStr>, a: u64, b: u64, c: u64) {
        if let Err(errno) = print(text, string, &[a, b, c]) {
            self.fail(text::name::write, errno)
        }
    }

    /// Tells of a failure that the process survives.
    pub fn complain(self, call: Text, errno: Errno) {
        // Where this cannot be told, nothing can; the exit status will.
        let numbers = [self.0.0.into(), call.0.into(), errno.into_raw() as u64];
        let _ = print(text::FAILED, None, &numbers);
    }

    /// Tells of a failure and ends.
    #[cold]
    #[inline(never)]
    pub fn fail(self, call: Text, errno: Errno) -> ! {
        self.complain(call, errno);
        sys::exit_group(if self == Self::PARENT { status::FAILURE } else { status::CHILD_FAILED })
    }

    /// Tells of a failure that lies in this system, with a hint at the reason, and ends.
    #[cold]
    #[inline(never)]
    pub fn give_up(self, call: Text, errno: Errno, hint: Text) -> ! {
        self.complain(call, errno);
        let _ = print(hint, None, &[]);
        sys::exit_group(status::UNSUPPORTED)
    }

    /// Tells of a failure of `seccomp(2)` and ends, given up where the errno says that this system
    /// cannot do it.
    #[cold]
    #[inline(never)]
    pub fn fail_seccomp(self, errno: Errno) -> ! {
        match errno {
            Errno::EBUSY => self.give_up(text::name::seccomp, errno, text::HINT_LISTENER),
            // Before Linux 5.0, without seccomp, or under a sandbox that refuses it.
            Errno::EINVAL | Errno::ENOSYS | Errno::EPERM | Errno::EACCES => {
                self.give_up(text::name::seccomp, errno, text::HINT_SECCOMP)
            }
            _ => self.fail(text::name::seccomp, errno),
        }
    }
}

/// At most three numbers as three, so that they can travel in registers.
#[inline(always)]
#[must_use]
pub fn pad<const N: usize>(numbers: [u64; N]) -> [u64; 3] {
    const { assert!(N <= 3) };
    let number = |i: usize| numbers.get(i).copied().unwrap_or(0);
    [number(0), number(1), number(2)]
}
