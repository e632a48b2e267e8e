//! The target: installs the filter, sends the listener to the tracer and makes directories.

use crate::abi::{
    CLOCK_MONOTONIC, SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    SIGINT, Timespec, nr,
};
use crate::filter::{ACTION, Action, program};
use crate::fmt::{Arg, Message};
use crate::messages;
use crate::options::Options;
use crate::policy;
use crate::report::{Process, status};
use crate::signals;
use crate::sys::{self, CStrRef, Caller, Errno, Error, Fd, Operation, Pid};

const ME: Process = Process::Target;

/// The mode of the directories.
const MODE: u32 = 0o600;

/// Runs the target with its end of the socket pair. Returns the exit status.
pub fn run(options: &Options, directories: &[CStrRef], parent: Pid, socket: Fd) -> u32 {
    signals::handle(ME, SIGINT, Some(on_interrupt));

    let listener = install_filters(options, parent);
    sys::sendmsg(socket, listener).unwrap_or_else(|error| ME.fail(error));
    // With the listener open here, a call would wait for ever once the tracer has ended.
    sys::close(listener).or_fail(ME);
    sys::close(socket).or_fail(ME);

    match options.count {
        None => demonstrate(directories),
        Some(count) => measure(directories, count.get(), options.let_through),
    }
}

/// The handler of SIGINT.
extern "C" fn on_interrupt(_: i32) {
    ME.say(messages::TARGET_INTERRUPTED, &[]);
}

/// Installs the filters and returns the listener of the first one.
fn install_filters(options: &Options, parent: Pid) -> Fd {
    let flags = if options.killable { SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV } else { 0 };
    let listener = match install_filter(flags, parent) {
        Err(error) if options.killable && error == Error::new(nr::__NR_seccomp, Errno::EINVAL) => {
            ME.give_up(error, messages::HINT_KILLABLE)
        }
        listener => listener.unwrap_or_else(|error| ME.fail(error)),
    };
    if let Some(action) = options.second {
        let mut filter = const { program(Action::Notify) };
        filter[ACTION].k = action as u32;
        sys::seccomp_set_mode_filter(0, &filter).unwrap_or_else(|error| ME.fail(error));
    }
    listener
}

/// Installs the filter, with these flags beside `NEW_LISTENER`. Returns its listener. The supervisor is `parent`, or
/// descends from it.
///
/// # Errors
/// As `prctl(2)` and `seccomp(2)`.
pub fn install_filter(flags: u32, parent: Pid) -> sys::Result<Fd> {
    // The supervisor reads this process's memory. That is forbidden if the program's file is not readable for
    // its user, unless the process is made dumpable, and by Yama, unless the reader or one of its ancestors
    // is named. The results are ignored: if it matters, the read fails.
    let _ = sys::prctl(Operation::SET_DUMPABLE, 1).result();
    let _ = sys::prctl(Operation::SET_PTRACER, parent.0).result();

    sys::prctl(Operation::SET_NO_NEW_PRIVS, 1).result()?;
    sys::seccomp_set_mode_filter(
        SECCOMP_FILTER_FLAG_NEW_LISTENER | flags,
        &const { program(Action::Notify) },
    )
}

/// Makes each directory once and prints the results. Returns the exit status.
fn demonstrate(directories: &[CStrRef]) -> u32 {
    // Before Linux 6.10 it is unknown whether both streams are one open file; they are taken for two then.
    let one_stream = sys::fcntl_dupfd_query(Fd::STDOUT, Fd::STDERR).result() == Ok(1);
    let mut status = status::SUCCESS;

    let mut rest = directories.iter();
    announce(&Message::EMPTY, directories.first());
    while let Some(directory) = rest.next() {
        let next = rest.as_slice().first();
        match sys::mkdir(*directory, MODE).once() {
            Ok(value) => {
                let args = &[Arg::Dec(value as u64)];
                announce(&Message { template: messages::TARGET_SUCCEEDED, args }, next);
            }
            Err(error) => {
                // This program's own arguments are at good addresses: the tracer could not read them.
                if error.is(Errno::EFAULT) {
                    status = status::CHILD_FAILED;
                }
                let args = &[Arg::Errno(error.errno())];
                let failed = Message { template: messages::TARGET_FAILED, args };
                if one_stream {
                    announce(&failed, next);
                } else {
                    ME.warn(failed.template, failed.args);
                    announce(&Message::EMPTY, next);
                }
            }
        }
    }
    status
}

/// Prints the result of one call and what comes next. Nothing happens in between, so it is one write.
fn announce(result: &Message, next: Option<&CStrRef>) {
    match next {
        Some(directory) => {
            ME.say(messages::TARGET_ANNOUNCES, &[Arg::Message(result), Arg::Quoted(*directory)]);
        }
        None => ME.say(messages::TARGET_ENDS, &[Arg::Message(result)]),
    }
}

/// Makes each directory `count` times and prints how long that took. Returns the exit status.
fn measure(directories: &[CStrRef], count: u32, let_through: bool) -> u32 {
    let (mut calls, mut wrong) = (0_u64, 0_u64);
    let begin = now();
    for &directory in directories {
        // What the tracer answers, or the kernel if the call goes on.
        let expected = match policy::beneath(directory) {
            Some(_) => Some(directory.count()),
            None if let_through => Some(0),
            None => None,
        };
        for _ in 0..count {
            let right = match sys::mkdir(directory, MODE).once() {
                Ok(value) => Some(value) == expected,
                // ENOSYS: the tracer has ended. EFAULT: it could not read the path.
                Err(error) => !(error.is(Errno::ENOSYS) || error.is(Errno::EFAULT)),
            };
            calls += 1;
            wrong += u64::from(!right);
        }
    }
    let nanoseconds = now().wrapping_sub(begin);
    // For one call, and at least one: a coarse clock may not have moved.
    let picoseconds = (nanoseconds.wrapping_mul(1000) / calls.max(1)).max(1);

    ME.say(
        messages::MEASURED,
        &[
            Arg::Dec(calls),
            Arg::Fixed { value: nanoseconds / 1_000_000, decimals: 3, width: 0 },
            Arg::Fixed { value: picoseconds, decimals: 6, width: 14 },
            Arg::Fixed { value: 1_000_000_000_000 / picoseconds, decimals: 0, width: 14 },
        ],
    );
    if wrong > 0 {
        ME.warn(messages::WRONG_ANSWERS, &[Arg::Dec(wrong)]);
        return status::CHILD_FAILED;
    }
    status::SUCCESS
}

/// The time in nanoseconds since some fixed moment.
fn now() -> u64 {
    let mut now = Timespec { tv_sec: 0, tv_nsec: 0 };
    sys::clock_gettime(CLOCK_MONOTONIC, &mut now).or_fail(ME);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}
