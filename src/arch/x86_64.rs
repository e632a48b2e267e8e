//! x86-64, in its 64-bit ABI. The x32 ABI shares its audit number and is told by its call numbers.

use core::arch::{asm, naked_asm};

use syscalls::Sysno;

use crate::abi::{SignalHandler, kernel_sigaction, kernel_sigset_t};
use crate::sys::{Call, Fork, ZStr, call};

/// The architecture's number in `seccomp_data` (`linux/audit.h`).
pub const AUDIT_ARCH: u32 = linux_raw_sys::ptrace::AUDIT_ARCH_X86_64;
/// The call that the filter notifies.
pub const NOTIFIED: Sysno = Sysno::mkdir;
/// Call numbers from here on are x32's (`asm/unistd.h`).
pub const FOREIGN_NUMBERS: Option<u32> = Some(linux_raw_sys::general::__X32_SYSCALL_BIT);
/// The place of the path among the notified call's arguments.
pub const PATH: usize = 0;
/// The place of the mode among the notified call's arguments.
pub const MODE: usize = 1;

/// The number of `fork`'s arguments.
pub const FORK: usize = 0;
/// The number of `mkdir`'s arguments.
pub const MKDIR: usize = 2;

/// Defines the entry point: the kernel enters here with the stack pointer at argc (System V ABI, AMD64
/// supplement, 3.4.1), 16-aligned, so that one `call` leaves it as a function expects it.
#[macro_export]
macro_rules! start {
    ($entry:path) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn program_start() -> ! {
            core::arch::naked_asm!("mov rdi, rsp", "call {}", sym $entry)
        }
    };
}

/// `pid_t fork(void)`: 0 in the child, the child's PID in the parent (`fork(2)`).
#[inline(always)]
pub fn fork() -> Call<'static, Fork, FORK> {
    // SAFETY: touches no memory; the child goes on in a copy, as the only thread there is.
    unsafe { call!(fork) }
}

/// `int mkdir(const char *path, mode_t mode)` (`mkdir(2)`), the call that the filter notifies.
#[inline(always)]
pub fn mkdir(path: ZStr<'_>, mode: u32) -> Call<'_, u32, MKDIR> {
    // SAFETY: reads `path` up to its NUL.
    unsafe { call!(mkdir, path.address(), mode) }
}

/// The disposition that calls `handler`, or the default one. This kernel wants to be told how to
/// return from a handler (`sigreturn(2)`; `SA_RESTORER`, `asm/signal.h`).
#[inline(always)]
#[must_use]
pub fn disposition(handler: SignalHandler) -> kernel_sigaction {
    kernel_sigaction {
        sa_handler_kernel: handler,
        sa_flags: u64::from(linux_raw_sys::general::SA_RESTORER),
        sa_restorer: Some(restorer_address()),
        sa_mask: kernel_sigset_t { sig: [0] },
    }
}

/// Where [`restorer`] is. The compiler would look that up in a table of addresses, since a naked function
/// could be anywhere.
#[inline(always)]
fn restorer_address() -> unsafe extern "C" fn() {
    let address: unsafe extern "C" fn();
    // SAFETY: this is the address of a function of that type; nothing else is touched.
    unsafe {
        asm!("lea {}, [rip + {}]", out(reg) address, sym restorer, options(pure, nomem, nostack, preserves_flags));
    }
    address
}

/// The end of every signal handler: `rt_sigreturn` finds its frame at the stack pointer, so this
/// must not touch the stack.
#[unsafe(naked)]
unsafe extern "C" fn restorer() {
    naked_asm!("mov eax, {}", "syscall", const Sysno::rt_sigreturn as i32)
}
