//! What the architectures with words of 32 bits have in common.
//!
//! Their first calls that take or return times have 32 bits for the seconds, which is too little from the year
//! 2038 on, and a kernel may lack them. The calls with 64 bits are in Linux 5.1 and later
//! (`asm-generic/unistd.h`). `setitimer` has its first form only, and every kernel has it.

use super::super::SystemCall;
use crate::abi::{CLOCK_MONOTONIC, nr};

/// The call that tells the time.
pub const CLOCK_GETTIME: SystemCall =
    SystemCall { number: nr::__NR_clock_gettime64, name: "clock_gettime64" };
/// The call that maps memory. It counts the offset in a file in pages; the program maps no file.
pub const MMAP: SystemCall = SystemCall { number: nr::__NR_mmap2, name: "mmap2" };
/// Whether [`MMAP`] takes the address of its six arguments.
pub const MMAP_TAKES_ADDRESS: bool = false;
/// The call that sleeps.
pub const NANOSLEEP: SystemCall =
    SystemCall { number: nr::__NR_clock_nanosleep_time64, name: "clock_nanosleep_time64" };
/// The call that waits until files are ready.
pub const PPOLL: SystemCall = SystemCall { number: nr::__NR_ppoll_time64, name: "ppoll_time64" };

/// The arguments of [`NANOSLEEP`]: `clock_nanosleep(CLOCK_MONOTONIC, 0, time, remaining)`.
#[must_use]
pub fn nanosleep_args(time: usize, remaining: usize) -> [usize; 4] {
    [CLOCK_MONOTONIC as usize, 0, time, remaining]
}

/// The last arguments of `pread64`: an offset of 64 bits is two words, the lower one first. The kernel does not
/// look at the third.
#[allow(dead_code)] // arm says something else
#[must_use]
pub fn pread_offset(offset: u64) -> [usize; 3] {
    [offset as usize, (offset >> u32::BITS) as usize, 0]
}
