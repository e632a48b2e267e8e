//! The calls of the architectures that are older than the kernel's generic table of calls. They have `fork` and
//! `mkdir`.

use super::super::SystemCall;
use crate::abi::nr;

/// The call that the filter notifies.
pub const NOTIFIED: SystemCall = SystemCall { number: nr::__NR_mkdir, name: "mkdir" };
/// No second ABI has the same audit number.
#[allow(dead_code)] // x86-64 says something else
pub const FOREIGN_BIT: Option<u32> = None;
/// The index of the path among the arguments of the notified call.
pub const PATH_INDEX: usize = 0;
/// The index of the mode among the arguments of the notified call.
pub const MODE_INDEX: usize = 1;

/// The call that makes a process.
pub const FORK: SystemCall = SystemCall { number: nr::__NR_fork, name: "fork" };
/// The arguments of [`FORK`]: none, and the kernel looks at none.
pub const FORK_ARGS: [usize; 2] = [0; 2];

/// The arguments of the notified call: `mkdir(path, mode)`. The kernel does not look at the third.
#[must_use]
pub fn mkdir_args(path: usize, mode: usize) -> [usize; 3] {
    [path, mode, 0]
}
