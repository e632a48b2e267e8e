//! armv7, in its EABI, which the kernel calls arm. The code may be of the ARM or of the Thumb instruction set.
//! (The older ABI, OABI, has the same audit number; a kernel that has it has no seccomp filters.)

use crate::abi::{SignalHandler, kernel_sigaction, kernel_sigset_t};

#[path = "classic.rs"]
mod classic;
#[path = "crates.rs"]
mod crates;
#[path = "words32.rs"]
mod words32;
pub use classic::*;
pub use crates::*;
pub use words32::*;

/// The architecture's number in `seccomp_data` (`linux/audit.h`).
pub const AUDIT_ARCH: u32 = linux_raw_sys::ptrace::AUDIT_ARCH_ARM;

/// The last arguments of `pread64`: an offset of 64 bits is two words in an even pair of registers, so one word before
/// it is left out. It is in the place of what words32.rs says.
#[must_use]
pub fn pread_offset(offset: u64) -> [usize; 3] {
    [0, offset as usize, (offset >> u32::BITS) as usize]
}

/// The instructions of the entry point. The kernel enters it with the stack pointer at argc, 16-aligned; a
/// function needs 8.
#[macro_export]
macro_rules! start_with {
    ($entry:path) => {
        core::arch::naked_asm!("mov r0, sp", "b {}", sym $entry)
    };
}

/// The disposition that calls `handler`, or the default one. A page of the kernel's has the code that returns from a
/// handler.
#[must_use]
pub(super) fn disposition(handler: SignalHandler) -> kernel_sigaction {
    kernel_sigaction {
        sa_handler_kernel: handler,
        sa_flags: 0,
        sa_restorer: None,
        sa_mask: kernel_sigset_t { sig: [0; 2] },
    }
}
