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
    /// The tracer said farewell: its status in the original, where it may look like a failure. A
    /// child's failure needs another.
    pub const FAREWELL: u32 = 1;
    /// A child failed, and has said why.
    pub const CHILD_FAILED: u32 = 2;
    /// This system cannot do it: what Automake and Meson take for 'skipped'.
    pub const UNSUPPORTED: u32 = 77;
}

/// One of the three processes: its name, as a line begins with it, in the place where a
/// `Speech` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// The one that was started.
    pub const PARENT: Self = Self::named(text::PARENT);
    /// The one that makes directories.
    pub const TARGET: Self = Self::named(text::TARGET);
    /// The one that answers.
    pub const TRACER: Self = Self::named(text::TRACER);

    const fn named(Text(at): Text) -> Self {
        assert!(at < 1 << 7, "does not pack any more");
        Self(at << 16)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> Text {
        Text(self.0 >> 16)
    }

    /// Prints a line with at most two numbers, or ends: what cannot be told must not be taken
    /// for told.
    #[inline(always)]
    pub fn say<const N: usize>(self, text: Text, numbers: [u64; N]) {
        let [a, b, ..] = pad(numbers);
        let speech = self.speech(text);
        match N {
            0 => speech.say0(),
            1 => speech.say1(a),
            _ => speech.say2(None, a, b),
        }
    }

    /// The same with a string.
    #[inline(always)]
    pub fn say_about<const N: usize>(self, text: Text, string: Option<ZStr>, numbers: [u64; N]) {
        self.speech(text).say_about(string, numbers);
    }

    /// Prints a line with two numbers. Where it cannot be told, the process survives that and tells of
    /// it; false then.
    #[inline(always)]
    pub fn try_say(self, text: Text, a: u64, b: u64) -> bool {
        self.speech(text).try_say(None, a, b, 0, 0)
    }

    /// Tells of a failure that the process survives.
    #[inline(always)]
    pub fn complain(self, call: Text, errno: Errno) {
        self.speech(call).complain(errno, text::NOTHING);
    }

    /// Tells of a failure and ends.
    #[inline(always)]
    pub fn fail(self, call: Text, errno: Errno) -> ! {
        self.speech(call).fail(errno)
    }

    /// Tells of a failure that lies in this system, with a hint at the reason, and ends.
    #[inline(always)]
    pub fn give_up(self, call: Text, errno: Errno, hint: Text) -> ! {
        self.speech(call).give_up(errno, hint)
    }

    /// Tells of a failure of `seccomp(2)` and ends, given up where the errno says that this system
    /// cannot do it: `unknown` is the hint where the kernel does not know what it was asked for.
    #[cold]
    #[inline(never)]
    pub fn fail_seccomp(self, errno: Errno, unknown: Text) -> ! {
        let hint = match errno {
            Errno::EINVAL => unknown,
            Errno::EBUSY => text::HINT_LISTENER,
            // Without seccomp, or under a sandbox that refuses it.
            Errno::ENOSYS | Errno::EPERM | Errno::EACCES => text::HINT_SECCOMP,
            _ => self.fail(text::name::seccomp, errno),
        };
        self.give_up(text::name::seccomp, errno, hint)
    }

    /// What this process says.
    #[inline(always)]
    #[must_use]
    pub fn speech(self, text: Text) -> Speech {
        Speech(self.0.wrapping_add(text.0))
    }
}

/// Who speaks, and a text or a call's name, in one word: most are said in several places, and a word
/// that is a constant costs less there than two. From the top: nine bits for the number of a call that
/// is still to be made, seven for the process, sixteen for the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speech(pub(crate) u32);

impl Speech {
    /// Who speaks.
    #[inline(always)]
    #[must_use]
    pub fn process(self) -> Process {
        Process(self.0 & 0x7f << 16)
    }

    /// What is said.
    #[inline(always)]
    #[must_use]
    pub fn text(self) -> Text {
        Text(self.0 & 0xffff)
    }

    /// Prints it with a string and numbers, or ends.
    #[inline(always)]
    pub fn say_about<const N: usize>(self, string: Option<ZStr>, numbers: [u64; N]) {
        let [a, b, c, d] = pad(numbers);
        if N <= 2 {
            self.say2(string, a, b);
        } else {
            self.say4(string, a, b, c, d);
        }
    }

    #[inline(never)]
    fn say0(self) {
        self.say1(0);
    }

    #[inline(never)]
    fn say1(self, a: u64) {
        self.say2(None, a, 0);
    }

    #[inline(never)]
    fn say2(self, string: Option<ZStr>, a: u64, b: u64) {
        self.say4(string, a, b, 0, 0);
    }

    /// All that a line may have, in registers.
    #[inline(never)]
    fn say4(self, string: Option<ZStr>, a: u64, b: u64, c: u64, d: u64) {
        if !self.try_say(string, a, b, c, d) {
            self.end()
        }
    }

    #[inline(never)]
    fn try_say(self, string: Option<ZStr>, a: u64, b: u64, c: u64, d: u64) -> bool {
        let Err((call, errno)) = print(self, string, [a, b, c, d]) else { return true };
        // Where a failure cannot be told, nothing can; the exit status will.
        if self.text().0 > text::FAILED.0 {
            self.process().complain(call, errno);
        }
        false
    }

    #[inline(never)]
    pub(crate) fn complain(self, errno: Errno, hint: Text) {
        let failed = self.process().speech(text::FAILED);
        failed.try_say(
            None,
            self.text().0.into(),
            errno.into_raw().cast_unsigned().into(),
            hint.0.into(),
            0,
        );
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn fail(self, errno: Errno) -> ! {
        self.complain(errno, text::NOTHING);
        self.end()
    }

    /// Ends the process that failed.
    fn end(self) -> ! {
        let parent = self.process() == Process::PARENT;
        sys::exit_group(if parent { status::FAILURE } else { status::CHILD_FAILED })
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn give_up(self, errno: Errno, hint: Text) -> ! {
        self.complain(errno, hint);
        sys::exit_group(status::UNSUPPORTED)
    }
}

/// At most four numbers as four, so that they can travel in registers.
#[inline(always)]
fn pad<const N: usize>(numbers: [u64; N]) -> [u64; 4] {
    const { assert!(N <= 4) };
    let number = |i: usize| numbers.get(i).copied().unwrap_or(0);
    [number(0), number(1), number(2), number(3)]
}
