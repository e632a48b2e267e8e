//! Seccomp user notification, shown and proved by a program of twenty kilobytes.
//!
//! This library is the whole of `seccomp-notify-min` but its entry point (`main.rs`), so that tests can call
//! each part on the host. It uses neither `std` nor `alloc` nor a C library: it asks the kernel directly.
//!
//! Each module uses only modules above it:
//!
//! | module | holds |
//! | --- | --- |
//! | [`abi`] | the kernel's types and constants |
//! | [`arch`] | one file an architecture: entry point, notified call, audit number, trap |
//! | [`sys`] | the system calls, typed |
//! | [`names`], [`messages`] | names of calls and texts of errors, by number; every other text |
//! | [`fmt`], [`print`](mod@print) | a message put together; a message in one write |
//! | [`signals`] | which signals are blocked |
//! | [`report`] | who speaks, how a failure is told, exit statuses |
//! | [`filter`], [`options`] | the BPF filters; the command line |
//! | [`listener`], [`memory`], [`policy`] | `RECV`, `ID_VALID`, `SEND`; the target's memory; what is created |
//! | [`children`] | how the program waits for its children and tells how they ended |
//! | [`target`], [`tracer`], [`parent`] | one file a process |
//! | [`probe`] | what this system offers a supervisor |
//!
//! To follow one notification: [`target::run`] installs the filter ([`filter::program`]) and sends its listener,
//! [`tracer::run`] receives, decides and answers.
//!
//! To follow a failing call to its line on standard error: a call that the process cannot do without is made with
//! [`sys::Call::or_fail`]; where the caller looks at the error first, with `result`. Both end in `fail` or `give_up`
//! of [`report::Process`], which print `{name}{call}: {error}` and, on the next line, what this system lacks, and
//! end the process: with status 77 if this system is the reason, else 1 in the parent and 2 in a child. Of a child
//! the parent then says how it ended, and makes the program's exit status of it.
//!
//! Nothing may panic, since the text of a panic is larger than the program. So a slice is taken with `get`, and
//! `unwrap_or_default` stands where it cannot be out of range.
//!
//! `unsafe` is denied here and allowed in [`sys`] and [`arch`] only.
#![cfg_attr(not(test), no_std)]
#![deny(missing_docs, unsafe_code, unsafe_op_in_unsafe_fn)]
#![warn(clippy::pedantic, clippy::undocumented_unsafe_blocks)]
// The kernel's words have 32 or 64 bits, and a sign or none as each call likes: casts to them lose nothing
// that a call looks at. `inline` stands only where it was measured.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::copy_iterator,
    clippy::inline_always,
    clippy::match_same_arms,
    clippy::missing_errors_doc,
    clippy::module_name_repetitions,
    clippy::must_use_candidate
)]

pub mod abi;
pub mod arch;
pub mod sys;

pub mod messages;
pub mod names;

pub mod fmt;
pub mod print;

pub mod signals;

pub mod report;

pub mod filter;
pub mod options;

pub mod listener;
pub mod memory;
pub mod policy;

pub mod children;

pub mod parent;
pub mod probe;
pub mod target;
pub mod tracer;

use fmt::{Arg, Message};
use options::{Command, Options, UsageError};
use report::{Process, status};
use sys::CStrRef;

/// The program: does what the command line asks for and ends with the exit status.
pub fn main(arguments: &'static mut [CStrRef<'static>]) -> ! {
    const ME: Process = Process::Parent;
    let mut options = Options::default();
    let mut status = status::SUCCESS;
    match options::parse(arguments, &mut options) {
        Ok(Command::Run(directories)) => status = parent::run(&options, directories),
        Ok(Command::Probe) => status = probe::run(),
        Ok(Command::Help) => ME.say(messages::USAGE, &[]),
        Ok(Command::Version) => ME.say(messages::VERSION, &[]),
        Err(UsageError { text, about }) => {
            let error = Message { template: text, args: about.as_slice() };
            ME.warn(messages::USAGE_ERROR, &[Arg::Message(&error)]);
            status = status::FAILURE;
        }
    }
    report::end(status)
}
