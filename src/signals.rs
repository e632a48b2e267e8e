//! Which signals are blocked and handled. A set of signals has a bit for each; the lowest one is signal 1.

use crate::abi::{SIGALRM, SIGPIPE, SIGTERM, SIGTTOU, SIGXFSZ, itimerval, timeval};
use crate::arch::Disposition;
use crate::sys::{self, Caller};

/// Blocked all the time: a closed pipe, and a file that may not grow, are failures to be told like any other.
pub const OUTPUT: u64 = set(SIGPIPE) | set(SIGXFSZ);
/// Those with which the parent ends the tracer.
pub const FROM_PARENT: u64 = set(SIGTERM) | set(SIGALRM);
/// What a terminal sends to a background job that changes its settings or waits for it.
pub const TERMINAL: u64 = set(SIGTTOU);

const fn set(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// Blocks these signals beside [`OUTPUT`], and no others.
pub fn block(caller: impl Caller, signals: u64) {
    sys::rt_sigprocmask(&(OUTPUT | signals)).or_fail(caller);
}

/// Calls `handler` for a signal, or, without one, lets the signal do what is its default.
pub fn handle(caller: impl Caller, signal: u32, handler: Option<extern "C" fn(i32)>) {
    sys::rt_sigaction(signal, &Disposition::new(handler)).or_fail(caller);
}

/// Lets the kernel send SIGALRM to this process again and again, with so many microseconds before each.
#[allow(clippy::useless_conversion)] // the field has the size of a word
pub fn send_alarms(caller: impl Caller, microseconds: i32) {
    let interval = timeval { tv_sec: 0, tv_usec: microseconds.into() };
    let timer = itimerval { it_interval: interval, it_value: interval };
    sys::setitimer(&timer).or_fail(caller);
}
