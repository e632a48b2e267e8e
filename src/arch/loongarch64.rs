//! loongarch64.

use crate::abi::{SignalHandler, kernel_sigaction, kernel_sigset_t};

#[path = "crates.rs"]
mod crates;
#[path = "generic.rs"]
mod generic;
#[path = "words64.rs"]
mod words64;
pub use crates::*;
pub use generic::*;
pub use words64::*;

/// The architecture's number in `seccomp_data` (`linux/audit.h`).
pub const AUDIT_ARCH: u32 = linux_raw_sys::ptrace::AUDIT_ARCH_LOONGARCH64;

/// The instructions of the entry point. The kernel enters it with the stack pointer at argc, 16-aligned.
#[macro_export]
macro_rules! start_with {
    ($entry:path) => {
        core::arch::naked_asm!("move $a0, $sp", "b {}", sym $entry)
    };
}

/// The disposition that calls `handler`, or the default one. The kernel's vDSO has the code that returns
/// from a handler.
#[must_use]
pub(super) fn disposition(handler: SignalHandler) -> kernel_sigaction {
    kernel_sigaction {
        sa_handler_kernel: handler,
        sa_flags: 0,
        sa_mask: kernel_sigset_t { sig: [0] },
    }
}
