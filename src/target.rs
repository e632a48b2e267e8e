//! The target: installs the filter, gives the listener away, and makes directories.

use crate::abi::{
    CLOCK_MONOTONIC, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_PTRACER,
    SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, SIGINT, sock_filter,
};
use crate::failure::{Process, status};
use crate::filter::{ACTION, Action, program};
use crate::handover;
use crate::options::Options;
use crate::policy;
use crate::sys::{self, Errno, Fd, Pid, ZStrs};
use crate::text;

const ME: Process = Process::TARGET;

/// The mode of the directories.
const MODE: u32 = 0o600;

/// Runs the target, with its end of the socket pair.
#[inline(always)]
pub fn run(options: &Options, directories: ZStrs, parent: Pid, socket: Fd) -> ! {
    sys::rt_sigaction(ME, SIGINT, Some(interrupted));

    let listener = install(options, parent);
    handover::send(socket, listener);
    // A listener left open here would let a call wait for an answer that nobody is left to give.
    sys::close(listener).or_fail(ME);
    sys::close(socket).or_fail(ME);

    sys::exit_group(if options.count == 0 {
        demonstrate(directories)
    } else {
        measure(options, directories)
    })
}

/// The handler of SIGINT.
extern "C" fn interrupted(_: i32) {
    ME.say(text::TARGET_SIGNAL, []);
}

/// Installs the filters and returns the first one's listener.
#[inline(always)]
fn install(options: &Options, parent: Pid) -> Fd {
    // The tracer is to read this memory. A program file that its user cannot read would forbid it,
    // and so would Yama, unless the tracer or an ancestor of it is named. Where either call
    // fails the tracer will tell, if it matters.
    sys::prctl(PR_SET_DUMPABLE, 1).regardless();
    sys::prctl(PR_SET_PTRACER, parent.0).regardless();

    sys::prctl(PR_SET_NO_NEW_PRIVS, 1).or_fail(ME);

    let mut flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    if options.killable() {
        flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    }
    let mut filter = const { program(Action::NOTIFY) };
    let listener = install_one(flags, &filter);
    if options.second != Action::NONE {
        filter[ACTION].k = options.second.0;
        install_one(0, &filter);
    }
    listener
}

/// Installs one filter and returns its listener, if the flags ask for one.
#[inline(never)]
fn install_one(flags: u32, filter: &[sock_filter]) -> Fd {
    sys::seccomp_set_mode_filter(flags, filter).unwrap_or_else(|errno| {
        let killable = flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV != 0;
        let unknown = if killable { text::HINT_KILLABLE } else { text::HINT_SECCOMP };
        ME.fail_seccomp(errno, unknown)
    })
}

/// Makes each directory once and tells what comes of it. Returns the exit status.
fn demonstrate(mut directories: ZStrs) -> u32 {
    // Kernels before 6.10 cannot tell whether both streams are one open file. They are taken for two then.
    let one_stream = sys::fcntl_dupfd_query(Fd::STDOUT, Fd::STDERR).answer_once().is_positive();

    let mut outcome = status::SUCCESS;
    // Nothing happens between the result and what comes next: they are told in one write, if to one stream.
    let mut said = [text::NOTHING.0.into(), text::TARGET_ANNOUNCES.0.into(), 0];
    loop {
        ME.say_about(text::TARGET_GOES_ON, directories.first(), said);
        let Some(directory) = directories.next() else { return outcome };
        let made = sys::mkdir(directory, MODE).once();

        let then = if directories.is_empty() { text::TARGET_ENDS } else { text::TARGET_ANNOUNCES };
        said = match made {
            Ok(value) => [text::TARGET_SUCCESS.0.into(), value.into(), then.0.into()],
            Err(errno) => {
                // The paths are this program's own arguments: if they were not readable, then not
                // because of a bad address.
                if errno == Errno::EFAULT {
                    outcome = status::CHILD_FAILED;
                }
                let errno = errno.into_raw().cast_unsigned().into();
                if one_stream {
                    [text::TARGET_FAILURE.0.into(), errno, then.0.into()]
                } else {
                    ME.say(text::TARGET_FAILURE, [errno]);
                    [text::NOTHING.0.into(), then.0.into(), 0]
                }
            }
        };
    }
}

/// Makes each directory `options.count` times and tells how long that took. Returns the exit status.
fn measure(options: &Options, directories: ZStrs) -> u32 {
    let (mut calls, mut wrong) = (0_u64, 0_u64);
    let begin = now();
    for directory in directories {
        // What the tracer makes up; or the kernel's own answer to a call that was let through.
        let value = if policy::creates(directory) {
            directory.count() as u32
        } else if options.let_through() {
            0
        } else {
            u32::MAX
        };
        for _ in 0..options.count {
            let is_wrong = match sys::mkdir(directory, MODE).once() {
                Ok(made) => made != value,
                // Nobody listens any more, or the path could not be read.
                Err(errno) => matches!(errno, Errno::ENOSYS | Errno::EFAULT),
            };
            calls += 1;
            wrong += u64::from(is_wrong);
        }
    }
    let nanoseconds = now().wrapping_sub(begin);
    // Of one call. Nothing is divided by 0: there was a call, and a coarse clock may not have moved.
    let picoseconds = (nanoseconds.wrapping_mul(1000) / calls.max(1)).max(1);

    let numbers = [calls, nanoseconds / 1_000_000, picoseconds, 1_000_000_000_000 / picoseconds];
    ME.say_about(text::MEASURED, None, numbers);
    if wrong > 0 {
        ME.say(text::WRONG, [wrong]);
        return status::CHILD_FAILED;
    }
    status::SUCCESS
}

/// The time in nanoseconds, from some beginning.
fn now() -> u64 {
    let now = sys::clock_gettime(ME, CLOCK_MONOTONIC);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}
