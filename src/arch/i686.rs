//! i686, which the kernel calls i386 or x86.

use core::arch::naked_asm;

use crate::abi::{SignalHandler, kernel_sigaction, kernel_sigset_t, nr};

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
pub const AUDIT_ARCH: u32 = linux_raw_sys::ptrace::AUDIT_ARCH_I386;

/// The instructions of the entry point. The kernel enters it with the stack pointer at argc. A function expects
/// its argument on the stack, 16-aligned, and below that what a `call` leaves (System V ABI, Intel386
/// supplement, 2.2.2).
#[macro_export]
macro_rules! start_with {
    ($entry:path) => {
        core::arch::naked_asm!(
            "mov eax, esp", "and esp, -16", "sub esp, 12", "push eax", "call {}", sym $entry
        )
    };
}

/// The disposition that calls `handler`, or the default one. The kernel's vDSO has the code that returns from a
/// handler, but the vDSO can be turned off (`vdso32=0`), so the program supplies the code (`SA_RESTORER`,
/// `asm/signal.h`).
#[must_use]
pub(super) fn disposition(handler: SignalHandler) -> kernel_sigaction {
    kernel_sigaction {
        sa_handler_kernel: handler,
        sa_flags: linux_raw_sys::general::SA_RESTORER | linux_raw_sys::general::SA_SIGINFO,
        sa_restorer: Some(restorer),
        sa_mask: kernel_sigset_t { sig: [0; 2] },
    }
}

/// The end of every signal handler. `rt_sigreturn` is for handlers with `SA_SIGINFO`. It finds its frame by the
/// stack pointer, at which the handler has left the signal's number.
#[unsafe(naked)]
unsafe extern "C" fn restorer() {
    naked_asm!("mov eax, {}", "int 0x80", const nr::__NR_rt_sigreturn)
}
