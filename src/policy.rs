//! What the tracer decides: beneath /tmp or refused; and the directory made on the target's behalf.
//!
//! A path is never walked by the kernel as a whole: each component is opened relative to the one
//! before, beginning at a descriptor of /tmp, and none may be a symbolic link or `..`. Whoever swaps
//! a component while this happens can change which directory of /tmp is found, but never leads out of
//! it. Needs no `openat2(2)`.
//!
//! A file system that is mounted below /tmp is part of /tmp. So is a directory for as long as it
//! stands there: one that somebody with the right to do so moves elsewhere between two steps takes the
//! new one with it, and no call of Linux could prevent that.

use core::ffi::CStr;

use crate::abi::{AT_FDCWD, O_PLACE};
use crate::failure::Process;
use crate::sys::{self, Answer, Errno, Fd, ZStr};

/// What a path begins with that the tracer creates.
pub const BENEATH: &CStr = c"/tmp/";
/// The path after which the tracer says farewell.
pub const FAREWELL: &CStr = c"/bye";

/// Whether the tracer creates `path`, if all goes well.
#[inline(always)]
#[must_use]
pub fn creates(path: ZStr) -> bool {
    path.strip_prefix(ZStr::from(BENEATH)).is_some()
}

/// The only place where directories are made.
pub struct Place {
    /// A descriptor of /tmp, from when it was first needed and there.
    tmp: Fd,
}

impl Place {
    /// Opens nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { tmp: Fd::NONE }
    }

    /// Makes the directory whose path, behind `/tmp/`, is `path`: it ends with a NUL. The
    /// slashes in it are overwritten.
    ///
    /// EPERM if a component is `..` or a symbolic link; else as `openat(2)` and `mkdirat(2)`
    /// have them.
    #[inline(always)]
    pub fn make(&mut self, path: &mut [u8], mode: u32) -> Answer<Fd> {
        // The kernel looks at no more of it (`umode_t`, `linux/types.h`).
        let mode = mode & 0xffff;
        // From here on each component is a string of its own, with its NUL; the last four bytes tell
        // whether one is `..`.
        let mut last_four = 0_u32;
        for byte in &mut *path {
            if *byte == b'/' {
                *byte = 0;
            }
            last_four = last_four << 8 | u32::from(*byte);
            if last_four == u32::from_be_bytes(*b"\0..\0") {
                return Answer::error(Errno::EPERM);
            }
        }

        if !self.tmp.is_some() {
            let tmp = step(Fd(AT_FDCWD), ZStr::from(c"/tmp"), OPEN);
            if tmp.is_error() {
                return tmp;
            }
            self.tmp = tmp.fd();
        }

        let mut directory = self.tmp;
        let mut components = Components(path);
        // `/tmp/` alone names what is there already, as `.` does.
        let mut name = components.next().unwrap_or(ZStr::from(c"."));
        loop {
            let next = components.next();
            let done = step(directory, name, if next.is_some() { OPEN } else { mode });
            if directory != self.tmp {
                sys::close(directory).or_fail(Process::TRACER);
            }
            directory = done.fd();
            name = match next {
                Some(next) if directory.is_some() => next,
                _ => return done,
            };
        }
    }
}

/// In the place of a mode, which has 16 bits: the directory is to be opened, not made.
const OPEN: u32 = u32::MAX;

/// Opens `name` in `directory`; with a mode, makes the directory, and what is answered is no
/// descriptor. What was opened on the way may be anything: a link too, which is not followed.
#[inline(never)]
fn step(directory: Fd, name: ZStr, mode: u32) -> Answer<Fd> {
    let call = if mode == OPEN {
        sys::openat(directory.0, name, O_PLACE)
    } else {
        sys::mkdirat(directory, name, mode)
    };
    let done = call.answer();
    if done.is_error() {
        // A link is refused. Where the directory is none, it is what was opened before that may be
        // a link: the descriptor itself is asked, lest somebody swap what has the name.
        let suspect = if done.is(Errno::ENOTDIR) { ZStr::from(c"") } else { name };
        if !sys::readlinkat(directory, suspect, &mut [0]).answer().is_error() {
            return Answer::error(Errno::EPERM);
        }
    }
    done
}

/// The strings that are not empty among those in a slice.
struct Components<'a>(&'a [u8]);

impl<'a> Iterator for Components<'a> {
    type Item = ZStr<'a>;

    fn next(&mut self) -> Option<ZStr<'a>> {
        loop {
            let name = ZStr::take(&mut self.0)?;
            if !name.is_empty() {
                return Some(name);
            }
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}
