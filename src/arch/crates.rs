//! The trap of the architectures for which a crate has one that serves.

/// What makes a system call: `syscall6(number, a, b, c, d, e, f)`.
#[cfg(feature = "backend-sc")]
pub use sc as trap;
#[cfg(not(feature = "backend-sc"))]
pub use syscalls::raw as trap;
