//! What the architectures with words of 64 bits have in common.

use super::super::SystemCall;
use crate::abi::nr;

/// The call that tells the time.
pub const CLOCK_GETTIME: SystemCall =
    SystemCall { number: nr::__NR_clock_gettime, name: "clock_gettime" };
/// The call that maps memory.
pub const MMAP: SystemCall = SystemCall { number: nr::__NR_mmap, name: "mmap" };
/// Whether [`MMAP`] takes the address of its six arguments.
#[allow(dead_code)] // s390x says something else
pub const MMAP_TAKES_ADDRESS: bool = false;
/// The call that sleeps.
pub const NANOSLEEP: SystemCall = SystemCall { number: nr::__NR_nanosleep, name: "nanosleep" };
/// The call that waits until files are ready.
pub const PPOLL: SystemCall = SystemCall { number: nr::__NR_ppoll, name: "ppoll" };

/// The arguments of [`NANOSLEEP`]: `nanosleep(time, remaining)`. The kernel does not look at the others.
#[must_use]
pub fn nanosleep_args(time: usize, remaining: usize) -> [usize; 4] {
    [time, remaining, 0, 0]
}

/// The last arguments of `pread64`: an offset of 64 bits is one word.
#[must_use]
pub fn pread_offset(offset: u64) -> [usize; 3] {
    [offset as usize, 0, 0]
}
