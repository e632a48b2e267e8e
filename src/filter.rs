//! The filters, as constants: which call is notified, and what becomes of every other.
//!
//! The mnemonics are those of the kernel's `linux/filter.h`; the interpreter in the tests decides
//! each case that a filter must decide, and the real kernel the most dangerous ones.

use core::mem::offset_of;

use linux_raw_sys::ptrace::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRACE, SECCOMP_RET_USER_NOTIF,
};

use crate::abi::{seccomp_data, sock_filter};
use crate::arch;

/// What a filter returns for the notified call (`linux/seccomp.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action(pub u32);

impl Action {
    /// Ask the listener.
    pub const NOTIFY: Self = Self(SECCOMP_RET_USER_NOTIF);
    /// Fail with EOPNOTSUPP; takes precedence over [`Action::NOTIFY`].
    pub const ERRNO: Self = Self(SECCOMP_RET_ERRNO | linux_raw_sys::errno::EOPNOTSUPP);
    /// Ask a ptracer; [`Action::NOTIFY`] takes precedence.
    pub const TRACE: Self = Self(SECCOMP_RET_TRACE);
}

/// A statement: `code` done with the constant `k`.
const fn statement(code: u32, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

/// A jump over `jt` instructions if the test of `code` with `k` holds, over `jf` if not.
const fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

const LOAD: u32 = BPF_LD | BPF_W | BPF_ABS;
const IF_EQUAL: u32 = BPF_JMP | BPF_JEQ | BPF_K;
const IF_AT_LEAST: u32 = BPF_JMP | BPF_JGE | BPF_K;
const RETURN: u32 = BPF_RET | BPF_K;

/// Kills the process at a call number from `first` on: the second ABI that shares the audit number
/// with the native one begins there.
const fn kill_from(first: u32) -> [sock_filter; 2] {
    [jump(IF_AT_LEAST, first, 0, 1), statement(RETURN, SECCOMP_RET_KILL_PROCESS)]
}

/// The filter's length in instructions.
pub const LENGTH: usize = if arch::FOREIGN_NUMBERS.is_some() { 9 } else { 7 };

/// The place of the instruction that returns the action.
pub const ACTION: usize = LENGTH - 2;

/// The filter that answers the notified call with `action`, allows every other call of the native
/// architecture, and kills the process at any foreign one.
#[must_use]
pub const fn program(action: Action) -> [sock_filter; LENGTH] {
    let architecture = [
        statement(LOAD, offset_of!(seccomp_data, arch) as u32),
        jump(IF_EQUAL, arch::AUDIT_ARCH, 1, 0),
        statement(RETURN, SECCOMP_RET_KILL_PROCESS),
    ];
    let number = [
        jump(IF_EQUAL, arch::NOTIFIED as u32, 0, 1),
        statement(RETURN, action.0),
        statement(RETURN, SECCOMP_RET_ALLOW),
    ];

    let mut filter = [statement(LOAD, offset_of!(seccomp_data, nr) as u32); LENGTH];
    filter = place(filter, &architecture, 0);
    if let Some(first) = arch::FOREIGN_NUMBERS {
        filter = place(filter, &kill_from(first), architecture.len() + 1);
    }
    place(filter, &number, LENGTH - number.len())
}

/// `filter` with `part` from instruction `at` on.
const fn place(
    mut filter: [sock_filter; LENGTH],
    part: &[sock_filter],
    at: usize,
) -> [sock_filter; LENGTH] {
    let mut i = 0;
    while i < part.len() {
        filter[at + i] = part[i];
        i += 1;
    }
    filter
}
