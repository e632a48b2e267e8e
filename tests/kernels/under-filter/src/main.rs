//! `under-filter [--supervised] PROGRAM [ARGUMENT...]`: installs the library's filter and executes PROGRAM. The listener is
//! closed on exec, so that a notified call fails with ENOSYS. With `--supervised` it stays open in PROGRAM, as if another
//! supervisor had it.
//!
//! Exit status 126: a call failed.
#![no_std]
#![no_main]

#[path = "../../raw.rs"]
mod raw;

use core::ptr::NonNull;
use core::slice;

use seccomp_notify_min::filter::{Action, LENGTH, program};
use seccomp_notify_min::{abi, start};

use raw::{exit, is_error, raw};

start!(entry);

static FILTER: [abi::sock_filter; LENGTH] = program(Action::Notify);

const PR_SET_NO_NEW_PRIVS: usize = 38;
const SECCOMP_SET_MODE_FILTER: usize = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER: usize = 1 << 3;
const F_SETFD: usize = 2;

/// # Safety
///
/// `stack` is the stack pointer with which the kernel entered the program.
unsafe extern "C" fn entry(stack: NonNull<usize>) -> ! {
    let stack = stack.as_ptr().cast_const();
    // SAFETY: the kernel enters with argc, the arguments' addresses, a null, the environment's
    // addresses and a null on the stack.
    unsafe {
        let argc = *stack;
        let arguments = slice::from_raw_parts(stack.add(1), argc);
        let environment = stack.add(argc + 2) as usize;
        // There is one option, so the first byte is enough. A comparison of strings would need strlen.
        let is_supervised = argc > 1 && *(arguments[1] as *const u8) == b'-';
        let first = if is_supervised { 2 } else { 1 };
        if argc > first {
            execute(is_supervised, arguments[first], stack.add(1 + first) as usize, environment);
        }
        exit(126)
    }
}

/// Returns only if a call fails.
///
/// # Safety
///
/// `path` is the address of a string. The other two are addresses of null-terminated lists of strings.
unsafe fn execute(is_supervised: bool, path: usize, arguments: usize, environment: usize) {
    let fprog =
        abi::sock_fprog { len: FILTER.len() as u16, filter: FILTER.as_ptr().cast_mut() };
    // SAFETY: by this function's contract.
    unsafe {
        raw!(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
        let listener =
            raw!(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const fprog as usize);
        if is_error(listener) {
            return;
        }
        if is_supervised {
            raw!(__NR_fcntl, listener, F_SETFD, 0);
        }
        raw!(__NR_execve, path, arguments, environment);
    }
}
