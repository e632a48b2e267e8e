//! s390x, big endian.

use core::arch::naked_asm;

use crate::abi::{SignalHandler, kernel_sigaction, kernel_sigset_t, nr};

#[path = "classic.rs"]
mod classic;
#[path = "words64.rs"]
mod words64;
pub use classic::*;
pub use words64::*;

/// The architecture's number in `seccomp_data` (`linux/audit.h`).
pub const AUDIT_ARCH: u32 = linux_raw_sys::ptrace::AUDIT_ARCH_S390X;

/// [`MMAP`](words64::MMAP) takes the address of its six arguments (`mmap(2)`). It is in the place of what
/// words64.rs says.
pub const MMAP_TAKES_ADDRESS: bool = true;

/// The trap. The one of the crate `syscalls` needs a compiler that is not stable.
pub mod trap {
    use core::arch::asm;

    /// Makes a system call (`syscall(2)`, "Architecture calling conventions"). Returns what the kernel returns.
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
        // SAFETY: by this function's contract. The kernel changes r2 only, and the condition code.
        unsafe {
            asm!(
                "svc 0",
                in("r1") number,
                inlateout("r2") first => ret,
                in("r3") second,
                in("r4") third,
                in("r5") fourth,
                in("r6") fifth,
                in("r7") sixth,
                options(nostack)
            );
        }
        ret
    }
}

/// The instructions of the entry point. The kernel enters it with the stack pointer at argc. A function saves
/// registers of its caller's in the 160 bytes above its stack pointer (s390x ELF ABI, 1.2.2).
#[macro_export]
macro_rules! start_with {
    ($entry:path) => {
        core::arch::naked_asm!("lgr %r2, %r15", "aghi %r15, -160", "jg {}", sym $entry)
    };
}

/// The disposition that calls `handler`, or the default one. Before Linux 5.14 the kernel puts the code that
/// returns from a handler on the stack, so the program supplies it (`SA_RESTORER`, `asm/signal.h`).
#[must_use]
pub(super) fn disposition(handler: SignalHandler) -> kernel_sigaction {
    kernel_sigaction {
        sa_handler_kernel: handler,
        sa_flags: u64::from(linux_raw_sys::general::SA_RESTORER),
        sa_restorer: Some(restorer),
        sa_mask: kernel_sigset_t { sig: [0] },
    }
}

/// The end of every signal handler. `sigreturn` is for handlers without `SA_SIGINFO`. It finds its frame at the stack
/// pointer.
#[unsafe(naked)]
unsafe extern "C" fn restorer() {
    naked_asm!("svc {}", const nr::__NR_sigreturn)
}
