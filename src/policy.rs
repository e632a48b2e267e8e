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

use crate::abi::{AT_FDCWD, O_DIRECTORY, O_PLACE};
use crate::sys::{self, Errno, Fd, ZStr};

/// What a path begins with that the tracer creates.
pub const BENEATH: &[u8] = b"/tmp/";
/// The path after which the tracer says farewell, with its NUL.
pub const FAREWELL: &[u8] = b"/bye\0";

/// Whether the tracer creates `path`, if all goes well.
#[must_use]
pub fn creates(path: ZStr) -> bool {
    path.take(BENEATH.len()).eq(BENEATH.iter().copied())
}

/// The only place where directories are made.
pub struct Place {
    /// A descriptor of /tmp, from when it was first needed and there.
    tmp: Option<Fd>,
}

impl Place {
    /// Opens nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { tmp: None }
    }

    /// Makes the directory whose path, behind `/tmp/`, is `path`: it ends with a NUL. The
    /// slashes in it are overwritten.
    ///
    /// # Errors
    /// EPERM if a component is `..` or a symbolic link; else as `openat(2)` and `mkdirat(2)`
    /// have them.
    pub fn make(&mut self, path: &mut [u8], mode: u32) -> Result<(), Errno> {
        // From here on each component is a string, with its NUL.
        for byte in &mut *path {
            if *byte == b'/' {
                *byte = 0;
            }
        }
        let components = || path.split_inclusive(|&byte| byte == 0);
        if components().any(|component| component == b"..\0") {
            return Err(Errno::EPERM);
        }

        let tmp = match self.tmp {
            Some(tmp) => tmp,
            None => open(AT_FDCWD, ZStr::from(c"/tmp"))?,
        };
        self.tmp = Some(tmp);

        let mut directory = tmp;
        // `/tmp/` itself is there, and so is the directory that a last component `.` names.
        let mut last = ZStr::from(c".");
        let mut first = true;
        for component in components() {
            if let Some(name) = ZStr::within(component)
                && name.split_first().is_some()
            {
                if !first {
                    let next = open(directory.0, last);
                    leave(directory, tmp);
                    directory = next?;
                }
                last = name;
                first = false;
            }
        }
        let made = sys::again(|| sys::mkdirat(directory, last, mode)).result();
        let made = made.map_err(|errno| refused(directory.0, last, errno));
        leave(directory, tmp);
        made
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// Opens the directory `name` in `directory`.
fn open(directory: i32, name: ZStr) -> Result<Fd, Errno> {
    sys::again(|| sys::openat(directory, name, O_PLACE | O_DIRECTORY))
        .result()
        .map_err(|errno| refused(directory, name, errno))
}

/// Why `name` in `directory` could not be opened or made: a link is refused, whatever stood in the
/// way besides.
fn refused(directory: i32, name: ZStr, errno: Errno) -> Errno {
    if sys::readlinkat(Fd(directory), name).result().is_ok() { Errno::EPERM } else { errno }
}

/// Closes a directory on the way, but not the first one.
fn leave(directory: Fd, tmp: Fd) {
    if directory != tmp {
        let _ = sys::close(directory);
    }
}
