//! What the tracer creates: directories beneath /tmp, and nothing outside it.
//!
//! The kernel never resolves a whole path here. Each component is opened relative to the one before, from a
//! descriptor of /tmp on, and none may be `..` or a symbolic link. If another process swaps a component in
//! the meantime, another directory beneath /tmp is found, but never one outside. `openat2(2)` is not needed.
//!
//! A file system that is mounted below /tmp is part of /tmp, and so is a directory for as long as it stands
//! there. If a process with the right to do so moves one elsewhere between two steps, the new directory moves
//! with it. No call of Linux could prevent that.

use crate::abi::{O_CLOEXEC, O_NOFOLLOW, O_PATH};
use crate::report::Process;
use crate::sys::{self, CStrRef, Errno, Fd};

/// What a path begins with that the tracer creates.
pub const BENEATH: CStrRef = CStrRef::new(c"/tmp/");
/// The path after which the tracer ends.
pub const BYE: CStrRef = CStrRef::new(c"/bye");

/// What follows `/tmp/` in a path that begins with that.
#[must_use]
pub fn beneath(path: CStrRef) -> Option<CStrRef> {
    path.strip_prefix(BENEATH)
}

/// /tmp. By default nothing is open yet.
#[derive(Default)]
pub struct Tmp {
    /// Its descriptor, from when it was first needed and there.
    directory: Option<Fd>,
}

impl Tmp {
    /// Makes a directory. `path`, whose last byte is its NUL, is what follows `/tmp/`; its slashes become
    /// NULs.
    ///
    /// # Errors
    /// EPERM if a component is `..` or a symbolic link; else as `openat(2)` and `mkdirat(2)`.
    #[inline(never)] // inlined, the program would be 40 bytes larger
    pub fn make(&mut self, path: &mut [u8], mode: u32) -> Result<(), Errno> {
        // Each component becomes a string of its own.
        for byte in path.iter_mut().filter(|byte| **byte == b'/') {
            *byte = 0;
        }
        if Components(path).any(|name| name == CStrRef::new(c"..")) {
            return Err(Errno::EPERM);
        }
        let tmp = match self.directory {
            Some(tmp) => tmp,
            None => *self.directory.insert(open(Fd::CWD, CStrRef::new(c"/tmp"))?),
        };

        let mut components = Components(path);
        let mut directory = tmp;
        // `/tmp/` alone means /tmp, as `/tmp/.` does.
        let mut name = components.next().unwrap_or(CStrRef::new(c"."));
        let result = loop {
            let Some(next) = components.next() else {
                // The kernel looks at no more of the mode (`umode_t`, `linux/types.h`).
                break sys::mkdirat(directory, name, mode & 0xffff)
                    .result()
                    .map_err(|error| errno_or_link(directory, name, error.errno()));
            };
            let opened = open(directory, name);
            close(directory, tmp);
            directory = opened?;
            name = next;
        };
        close(directory, tmp);
        result
    }
}

/// Closes a directory on the way; `tmp` is kept.
fn close(directory: Fd, tmp: Fd) {
    if directory != tmp {
        sys::close(directory).or_fail(Process::Tracer);
    }
}

/// Opens `name` in `directory`, whatever it is: a symbolic link itself too.
fn open(directory: Fd, name: CStrRef) -> Result<Fd, Errno> {
    sys::openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC)
        .result()
        .map_err(|error| errno_or_link(directory, name, error.errno()))
}

/// The error for a step that failed with `errno`: EPERM if a symbolic link is the reason.
fn errno_or_link(directory: Fd, name: CStrRef, errno: Errno) -> Errno {
    // ENOTDIR: `directory` may itself be a link. Its descriptor is asked, since its name may have been
    // swapped.
    let suspect = if errno == Errno::ENOTDIR { CStrRef::new(c"") } else { name };
    match sys::readlinkat(directory, suspect, &mut [0]).result() {
        Ok(_) => Errno::EPERM,
        Err(_) => errno,
    }
}

/// The strings in a slice, each with its NUL, except the empty ones.
struct Components<'a>(&'a [u8]);

impl<'a> Iterator for Components<'a> {
    type Item = CStrRef<'a>;

    fn next(&mut self) -> Option<CStrRef<'a>> {
        loop {
            let (name, rest) = CStrRef::split_from(self.0)?;
            self.0 = rest;
            if !name.is_empty() {
                return Some(name);
            }
        }
    }
}
