//! powerpc64le, little endian, with version 2 of the 64-bit ELF ABI.

use crate::abi::{SignalHandler, kernel_sigaction, kernel_sigset_t};

#[path = "classic.rs"]
mod classic;
#[path = "words64.rs"]
mod words64;
pub use classic::*;
pub use words64::*;

/// The architecture's number in `seccomp_data` (`linux/audit.h`).
pub const AUDIT_ARCH: u32 = linux_raw_sys::ptrace::AUDIT_ARCH_PPC64LE;

/// The trap; `asm!` is stable for it from Rust 1.95 on. The one of the crate `syscalls` needs a compiler that
/// is not stable, and does not say that the kernel changes `ctr` and `xer`.
pub mod trap {
    use core::arch::asm;

    /// Makes a system call (`syscall(2)`, "Architecture calling conventions"). Returns what the kernel returns on other
    /// architectures: here it returns an error as a positive number, and sets the summary overflow bit of `cr0`.
    ///
    /// # Safety
    /// The call may be made: the memory that it reads or writes may be read or written.
    pub unsafe fn syscall6(
        number: usize,
        first: usize,
        second: usize,
        third: usize,
        fourth: usize,
        fifth: usize,
        sixth: usize,
    ) -> usize {
        let ret;
        // SAFETY: by this function's contract. The kernel changes r0, r3 to r12, cr0, ctr and xer
        // (`Documentation/arch/powerpc/syscall64-abi.rst`).
        unsafe {
            asm!(
                "sc",
                "bns+ 2f",
                "neg 3, 3",
                "2:",
                inlateout("r0") number => _,
                inlateout("r3") first => ret,
                inlateout("r4") second => _,
                inlateout("r5") third => _,
                inlateout("r6") fourth => _,
                inlateout("r7") fifth => _,
                inlateout("r8") sixth => _,
                lateout("r9") _,
                lateout("r10") _,
                lateout("r11") _,
                lateout("r12") _,
                lateout("cr0") _,
                lateout("ctr") _,
                lateout("xer") _,
                options(nostack)
            );
        }
        ret
    }
}

/// The instructions of the entry point. The kernel enters it with the stack pointer at argc, 16-aligned, and
/// its own address in r12, from which the table of contents (r2) is found. A function saves registers of its
/// caller's in the 32 bytes above its stack pointer (64-Bit ELF V2 ABI, 2.2.2).
#[macro_export]
macro_rules! start_with {
    ($entry:path) => {
        core::arch::naked_asm!(
            "addis 2, 12, .TOC.-program_start@ha",
            "addi 2, 2, .TOC.-program_start@l",
            "mr 3, 1",
            "stdu 1, -32(1)",
            "b {}",
            sym $entry
        )
    };
}

/// The disposition that calls `handler`, or the default one. The kernel's vDSO has the code that returns
/// from a handler.
#[must_use]
pub(super) fn disposition(handler: SignalHandler) -> kernel_sigaction {
    kernel_sigaction {
        sa_handler_kernel: handler,
        sa_flags: 0,
        sa_restorer: None,
        sa_mask: kernel_sigset_t { sig: [0] },
    }
}
