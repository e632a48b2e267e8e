//! riscv64. It has no fork and no mkdir: the process is started with clone, and mkdirat is the call
//! that a C library's mkdir makes.

use syscalls::Sysno;

use crate::abi::{AT_FDCWD, SIGCHLD, SignalHandler, kernel_sigaction, kernel_sigset_t};
use crate::sys::{Call, Fork, ZStr, call};

/// The architecture's number in `seccomp_data` (`linux/audit.h`).
pub const AUDIT_ARCH: u32 = linux_raw_sys::ptrace::AUDIT_ARCH_RISCV64;
/// The architecture's number in the image's header, where linker/image.ld puts it (`linux/elf-em.h`).
#[used]
#[unsafe(link_section = ".machine")]
static MACHINE: u16 = linux_raw_sys::ptrace::EM_RISCV as u16;
/// The call that the filter notifies.
pub const NOTIFIED: Sysno = Sysno::mkdirat;
/// No second ABI shares the audit number.
pub const FOREIGN_NUMBERS: Option<u32> = None;
/// The place of the path among the notified call's arguments.
pub const PATH: usize = 1;
/// The place of the mode among the notified call's arguments.
pub const MODE: usize = 2;

/// The number of `fork`'s arguments.
pub const FORK: usize = 5;
/// The number of `mkdir`'s arguments.
pub const MKDIR: usize = 3;

/// Defines `_start`: the kernel enters here with the stack pointer at argc, 16-aligned.
#[macro_export]
macro_rules! start {
    ($entry:path) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn _start() -> ! {
            core::arch::naked_asm!("mv a0, sp", "tail {}", sym $entry)
        }
    };
}

/// `pid_t fork(void)`, by `clone(SIGCHLD)`: 0 in the child, the child's PID in the parent
/// (`clone(2)`).
#[inline(always)]
pub fn fork() -> Call<'static, Fork, FORK> {
    // SAFETY: touches no memory; the child goes on in a copy, as the only thread there is.
    unsafe { call!(clone, SIGCHLD, 0, 0, 0, 0) }
}

/// `int mkdir(const char *path, mode_t mode)`, by `mkdirat(AT_FDCWD, path, mode)` (`mkdir(2)`),
/// the call that the filter notifies.
#[inline(always)]
pub fn mkdir(path: ZStr<'_>, mode: u32) -> Call<'_, u32, MKDIR> {
    // SAFETY: reads `path` up to its NUL.
    unsafe { call!(mkdirat, AT_FDCWD.cast_unsigned(), path.address(), mode) }
}

/// The disposition that calls `handler`, or the default one. The kernel's vDSO knows how to return
/// from a handler.
#[inline(always)]
#[must_use]
pub fn disposition(handler: SignalHandler) -> kernel_sigaction {
    kernel_sigaction {
        sa_handler_kernel: handler,
        sa_flags: 0,
        sa_mask: kernel_sigset_t { sig: [0] },
    }
}
