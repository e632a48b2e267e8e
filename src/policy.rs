//! What the tracer creates: directories beneath /tmp, and nothing outside it.
//!
//! Linux 5.6 and later opens the new directory's parent in one call, `openat2(2)`: beneath a descriptor of /tmp, and
//! through no symbolic link. Older kernels and some sandboxes refuse that call. Then, and whenever it fails, the
//! components are opened one by one, each relative to the one before, and none may be a symbolic link: this finds
//! the true error. Both ways refuse `..`. If another process swaps a component in the meantime, another directory
//! beneath /tmp is found, but never one outside.
//!
//! A file system that is mounted below /tmp is part of /tmp, and so is a directory for as long as it stands
//! there. If a process with the right to do so moves one elsewhere between two steps, the new directory moves
//! with it. No call of Linux could prevent that.

use crate::abi::{
    O_CLOEXEC, O_NOFOLLOW, O_PATH, RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS,
    open_how,
};
use crate::report::Process;
use crate::sys::{self, CStrRef, Errno, Error, Fd};

/// What a path begins with that the tracer creates.
pub const BENEATH: CStrRef = CStrRef::new(c"/tmp/");
/// The path after which the tracer ends.
pub const BYE: CStrRef = CStrRef::new(c"/bye");

/// How `openat2(2)` opens a parent directory. There is no `O_NOFOLLOW`, which would open a symbolic link itself.
const WITHIN: open_how = open_how {
    flags: (O_PATH | O_CLOEXEC) as u64,
    mode: 0,
    resolve: (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS) as u64,
};

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
    /// Whether `openat2(2)` was refused, so that it is not tried again.
    lacks_openat2: bool,
}

impl Tmp {
    /// Makes a directory. `path`, whose last byte is its NUL, is what follows `/tmp/`; its slashes become
    /// NULs.
    ///
    /// # Errors
    /// EPERM if a component is `..` or a symbolic link; else as `openat(2)` and `mkdirat(2)`.
    #[inline(never)] // inlined, the program would be 40 bytes larger
    pub fn make(&mut self, path: &mut [u8], mode: u32) -> Result<(), Errno> {
        // Where the next component begins, and where the last one that is not empty does.
        let (mut next, mut last) = (0, 0);
        for name in path.split(|byte| is_end(*byte)) {
            if name == b".." {
                return Err(Errno::EPERM);
            }
            if !name.is_empty() {
                last = next;
            }
            next += name.len() + 1;
        }
        let tmp = match self.directory {
            Some(tmp) => tmp,
            None => *self.directory.insert(open(Fd::CWD, CStrRef::new(c"/tmp"))?),
        };

        let (parent, name) = path.split_at_mut_checked(last).unwrap_or_default();
        let directory = self.open_parent(tmp, parent)?;
        separate(name);
        // `/tmp/` alone means /tmp, as `/tmp/.` does.
        let name = Components(name).next().unwrap_or(CStrRef::new(c"."));
        // The kernel looks at no more of the mode (`umode_t`, `linux/types.h`).
        let result = sys::mkdirat(directory, name, mode & 0xffff)
            .result()
            .map_err(|error| errno_or_link(directory, name, error.errno()));
        close(directory, tmp);
        result
    }

    /// Opens the directory `parent`, whose slashes become NULs. It ends with one, or is empty: then it means `tmp`.
    fn open_parent(&mut self, tmp: Fd, parent: &mut [u8]) -> Result<Fd, Errno> {
        // Slashes at the beginning would make an absolute path of it.
        for byte in parent.iter_mut().take_while(|byte| **byte == b'/') {
            *byte = 0;
        }
        if let [.., last_slash] = parent {
            *last_slash = 0;
        }
        let Some(path) = Components(parent).next() else { return Ok(tmp) };
        let in_one_call = if self.lacks_openat2 {
            Err(Errno::ENOSYS)
        } else {
            sys::openat2(tmp, path, &WITHIN).result().map_err(Error::errno)
        };
        separate(parent);
        in_one_call.or_else(|errno| {
            let opened = open_each(tmp, parent);
            self.lacks_openat2 = match errno {
                // Before Linux 5.6.
                Errno::ENOSYS => true,
                // Another process may have changed the path between the two ways.
                Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP => false,
                // Any other error is a sandbox's, unless both ways fail.
                _ => opened.is_ok(),
            };
            opened
        })
    }
}

/// Opens one component after the other, from `tmp` on.
fn open_each(tmp: Fd, path: &[u8]) -> Result<Fd, Errno> {
    let mut directory = tmp;
    for name in Components(path) {
        let opened = open(directory, name);
        close(directory, tmp);
        directory = opened?;
    }
    Ok(directory)
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

/// Whether a component ends before this byte.
fn is_end(byte: u8) -> bool {
    matches!(byte, b'/' | 0)
}

/// Makes NULs of the slashes: each component becomes a string of its own.
fn separate(path: &mut [u8]) {
    for byte in path.iter_mut().filter(|byte| **byte == b'/') {
        *byte = 0;
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
