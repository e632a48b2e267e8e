//! Seccomp user notification, shown and proved by a program of a few kilobytes.
//!
//! This crate is the whole of `seccomp-notify-min` but for its freestanding shell (`main.rs`), as a
//! library, so that each of its rooms can be tested on the host. It needs neither `std` nor `alloc`
//! nor a C library: what it wants from the kernel it asks for directly.
//!
//! # A walk through the house, in the order of the data
//!
//! | room | what happens there |
//! | --- | --- |
//! | [`arch`] | one file an architecture: the entry point, the notified call, the audit number |
//! | [`options`] | the command line, by getopt's grammar |
//! | [`parent`] | three processes are made of one, waited for and reported |
//! | [`target`] | installs a [`filter`], sends its listener away, makes directories |
//! | [`handover`] | the listener's descriptor crosses the socket |
//! | [`tracer`] | answers each mkdir: [`listener`] → [`memory`] → [`policy`] → [`listener`] |
//! | [`print`] and [`text`] | one line in one write; every text of the program |
//! | [`failure`] | error lines and exit statuses |
//! | [`sys`] and [`abi`] | the system calls, typed; the kernel's vocabulary |
//!
//! `unsafe` is denied here and allowed in [`sys`] and [`arch`] only.
#![cfg_attr(not(test), no_std)]
#![deny(missing_docs, unsafe_code, unsafe_op_in_unsafe_fn)]
#![warn(clippy::pedantic, clippy::undocumented_unsafe_blocks)]
// The kernel's words are 64 bits wide and signed or not as each call likes; the casts between them
// are this program's daily bread. Names repeat their module where the field's term does.
// A wrapper of a call is always inlined: it is smaller so, since its arguments are mostly constants. The
// large array is one of the compiler's: texts are coded while it runs.
#![allow(
    clippy::inline_always,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::copy_iterator,
    clippy::large_stack_arrays,
    clippy::must_use_candidate,
    clippy::module_name_repetitions
)]

pub mod abi;
pub mod arch;
pub mod failure;
pub mod filter;
pub mod handover;
pub mod listener;
pub mod memory;
pub mod options;
pub mod parent;
pub mod policy;
pub mod print;
pub mod sys;
pub mod target;
pub mod text;
pub mod tracer;

use abi::HOLD_SIGTTOU;
use failure::{Process, status};
use options::Options;
use sys::{Fd, Pid, ZStrs};

/// The program: does what the command line asks for and ends with the exit status.
#[inline(always)] // it is called once
pub fn main(mut arguments: ZStrs) -> ! {
    let mut options = Options::default();
    let status = match options::read(&mut arguments, &mut options) {
        Ok(()) => parent::run(&options, arguments),
        // Asked for: the usage or the version.
        Err((what, _)) if what.0 >= text::FIRST_OUTPUT.0 => {
            Process::PARENT.say(what, []);
            status::SUCCESS
        }
        Err((what, argument)) => {
            Process::PARENT.say_about(text::USAGE_ERROR, argument, [what.0.into()]);
            status::FAILURE
        }
    };
    // When the first process ends, the kernel panics, and what a serial line has not sent yet is lost.
    if sys::getpid().or_fail(Process::PARENT) == Pid::FIRST {
        // In the background the terminal would send it, and send it for ever where the first process ignores it.
        sys::rt_sigprocmask(Process::PARENT, HOLD_SIGTTOU);
        sys::ioctl_drain(Fd::STDOUT).regardless();
    }
    sys::exit_group(status)
}
