//! What differs from one architecture to the next, one file each, chosen here in one line each.
//! Nothing outside this folder names an architecture.
//!
//! Each file supplies, with `late.rs` for what some share:
//! - `start!`: the entry point `_start`, which passes the initial stack pointer on and nothing else;
//! - `MACHINE`: its number in the image's header;
//! - `AUDIT_ARCH`, `NOTIFIED`, `FOREIGN_NUMBERS`: what the filter compares with;
//! - `PATH` and `MODE`: where the notified call has its arguments;
//! - `fork` and `mkdir`, as this architecture has them;
//! - `handler`: a `kernel_sigaction` that the kernel can return from.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod chosen;

#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod chosen;

#[cfg(target_arch = "riscv64")]
#[path = "riscv64.rs"]
mod chosen;

#[cfg(not(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")
)))]
compile_error!(
    "seccomp-notify-min knows Linux on x86-64, aarch64 and riscv64. Another architecture is one \
     more file in src/arch."
);

pub use chosen::*;
