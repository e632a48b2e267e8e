//! The calls of the architectures that use the kernel's generic table of calls (`asm-generic/unistd.h`).
//! That table has no `fork` and no `mkdir`: a process is made by `clone`, a directory by `mkdirat`.

use crate::abi::{AT_FDCWD, SIGCHLD, nr};

/// The number of the call that the filter notifies.
pub const NOTIFIED: u32 = nr::__NR_mkdirat;
/// The name of [`NOTIFIED`].
pub const NOTIFIED_NAME: &str = "mkdirat";
/// No second ABI has the same audit number.
pub const FOREIGN_BIT: Option<u32> = None;
/// The index of the path among the arguments of the notified call.
pub const PATH_INDEX: usize = 1;
/// The index of the mode among the arguments of the notified call.
pub const MODE_INDEX: usize = 2;

/// The number of the call that makes a process.
pub const FORK: u32 = nr::__NR_clone;
/// The name of [`FORK`].
pub const FORK_NAME: &str = "clone";
/// The arguments of [`FORK`]: `clone(SIGCHLD, NULL)` (`clone(2)`).
pub const FORK_ARGS: [usize; 2] = [SIGCHLD as usize, 0];

/// The arguments of the notified call: `mkdirat(AT_FDCWD, path, mode)`.
#[must_use]
pub fn mkdir_args(path: usize, mode: usize) -> [usize; 3] {
    [AT_FDCWD as usize, path, mode]
}
