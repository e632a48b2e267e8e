//! The calls of the architectures that use the kernel's generic table of calls (`asm-generic/unistd.h`).
//! That table has no `fork` and no `mkdir`: a process is made by `clone`, a directory by `mkdirat`.

use super::super::SystemCall;
use crate::abi::{AT_FDCWD, SIGCHLD, nr};

/// The call that the filter notifies.
pub const NOTIFIED: SystemCall = SystemCall { number: nr::__NR_mkdirat, name: "mkdirat" };
/// No second ABI has the same audit number.
pub const FOREIGN_BIT: Option<u32> = None;
/// The index of the path among the arguments of the notified call.
pub const PATH_INDEX: usize = 1;
/// The index of the mode among the arguments of the notified call.
pub const MODE_INDEX: usize = 2;

/// The call that makes a process.
pub const FORK: SystemCall = SystemCall { number: nr::__NR_clone, name: "clone" };
/// The arguments of [`FORK`]: `clone(SIGCHLD, NULL)` (`clone(2)`).
pub const FORK_ARGS: [usize; 2] = [SIGCHLD as usize, 0];

/// The arguments of the notified call: `mkdirat(AT_FDCWD, path, mode)`.
#[must_use]
pub fn mkdir_args(path: usize, mode: usize) -> [usize; 3] {
    [AT_FDCWD as usize, path, mode]
}
