//! x86-64, in its 64-bit ABI. The x32 ABI has the same audit number; a bit in its call numbers tells it.

use core::arch::naked_asm;

use crate::abi::{SignalHandler, kernel_sigaction, kernel_sigset_t, nr};

#[path = "classic.rs"]
mod classic;
#[path = "crates.rs"]
mod crates;
#[path = "words64.rs"]
mod words64;
pub use classic::*;
pub use crates::*;
pub use words64::*;

/// The architecture's number in `seccomp_data` (`linux/audit.h`).
pub const AUDIT_ARCH: u32 = linux_raw_sys::ptrace::AUDIT_ARCH_X86_64;
/// The bit in the call numbers of the x32 ABI (`asm/unistd.h`). It is in the place of what classic.rs says.
pub const FOREIGN_BIT: Option<u32> = Some(nr::__X32_SYSCALL_BIT);

/// The instructions of the entry point. The kernel enters it with the stack pointer at argc, 16-aligned (System
/// V ABI, AMD64 supplement, 3.4.1). A function expects the stack as a `call` leaves it.
#[macro_export]
macro_rules! start_with {
    ($entry:path) => {
        core::arch::naked_asm!("mov rdi, rsp", "call {}", sym $entry)
    };
}

/// The disposition that calls `handler`, or the default one. On this architecture the program supplies the
/// code that returns from a handler (`sigreturn(2)`; `SA_RESTORER`, `asm/signal.h`).
#[must_use]
pub(super) fn disposition(handler: SignalHandler) -> kernel_sigaction {
    kernel_sigaction {
        sa_handler_kernel: handler,
        sa_flags: u64::from(linux_raw_sys::general::SA_RESTORER),
        sa_restorer: Some(restorer),
        sa_mask: kernel_sigset_t { sig: [0] },
    }
}

/// The end of every signal handler. `rt_sigreturn` finds its frame at the stack pointer, so nothing may be
/// pushed before.
#[unsafe(naked)]
unsafe extern "C" fn restorer() {
    naked_asm!("mov eax, {}", "syscall", const nr::__NR_rt_sigreturn)
}
