//! What the architectures share that came to Linux late: they have no fork and no mkdir. A process is
//! started with clone, and mkdirat is the call that a C library's mkdir makes.

use syscalls::Sysno;

use crate::abi::{AT_FDCWD, SIGCHLD};
use crate::sys::{Call, Fork, ZStr, call};

/// The call that the filter notifies.
pub const NOTIFIED: Sysno = Sysno::mkdirat;
/// No second ABI shares the audit number.
pub const FOREIGN_NUMBERS: Option<u32> = None;
/// The place of the path among the notified call's arguments.
pub const PATH: usize = 1;
/// The place of the mode among the notified call's arguments.
pub const MODE: usize = 2;

/// The number of `fork`'s arguments.
pub const FORK: usize = 2;
/// The number of `mkdir`'s arguments.
pub const MKDIR: usize = 3;

/// `pid_t fork(void)`, by `clone(SIGCHLD, NULL)`: 0 in the child, the child's PID in the parent; without
/// further flags the kernel looks at no further argument
/// (`clone(2)`).
#[inline(always)]
pub fn fork() -> Call<'static, Fork, FORK> {
    // SAFETY: touches no memory; the child goes on in a copy, as the only thread there is.
    unsafe { call!(clone, SIGCHLD, 0) }
}

/// `int mkdir(const char *path, mode_t mode)`, by `mkdirat(AT_FDCWD, path, mode)` (`mkdir(2)`),
/// the call that the filter notifies.
#[inline(always)]
pub fn mkdir(path: ZStr<'_>, mode: u32) -> Call<'_, u32, MKDIR> {
    // SAFETY: reads `path` up to its NUL.
    unsafe { call!(mkdirat, AT_FDCWD.cast_unsigned(), path.address(), mode) }
}
