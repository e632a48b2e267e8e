//! The parent: makes the other two processes, waits for them, and tells what became of them.

use crate::abi::{
    AF_UNIX, AT_FDCWD, HOLD, HOLD_PARENTS, O_PLACE, PR_SET_PDEATHSIG, SIGALRM, SIGCHLD, SIGCONT,
    SIGKILL, SIGSYS, SIGTERM, WNOHANG, itimerval, timeval,
};
use crate::failure::{Process, status};
use crate::options::Options;
use crate::sys::{self, Errno, Fd, Fork, Pid, ZStr, ZStrs};
use crate::text::{self, Text};
use crate::{target, tracer};

const ME: Process = Process::PARENT;

/// Runs the demonstration and returns its exit status.
#[must_use]
pub fn run(options: &Options, directories: ZStrs) -> u32 {
    settle();

    let mut pair = [Fd(-1); 2];
    sys::socketpair(AF_UNIX, &mut pair).or_fail(ME);
    let [targets_end, tracers_end] = pair;
    let me = sys::getpid().or_fail(ME);

    let target = match sys::fork().or_fail(ME) {
        Fork::Parent(target) => target,
        Fork::Child => {
            begin(Process::TARGET, options, me, tracers_end);
            target::run(options, directories, me, targets_end)
        }
    };
    let fork = sys::fork();
    let name = fork.name();
    let tracer = match fork.result() {
        Ok(Fork::Parent(tracer)) => tracer,
        Err(errno) => {
            // As where RLIMIT_NPROC allows just one more process.
            kill(target, SIGKILL);
            wait(target, 0);
            ME.fail(name, errno)
        }
        Ok(Fork::Child) => {
            sys::rt_sigaction(Process::TRACER, SIGALRM, Some(nudged));
            // Without this copy of the sending end, a target that fails early ends the stream.
            begin(Process::TRACER, options, me, targets_end);
            tracer::run(options, target, tracers_end)
        }
    };
    sys::rt_sigprocmask(ME, HOLD);
    sys::close(targets_end).or_fail(ME);
    sys::close(tracers_end).or_fail(ME);

    // In the order in which they end: a target that is the init of a PID namespace ends when the
    // tracer, which is killed with it, has been waited for.
    let (mut target_ended, mut tracer_ended) = (RUNNING, RUNNING);
    while target_ended == RUNNING {
        let (child, ended) = wait(Pid::ANY, 0);
        if child == target {
            target_ended = ended;
        } else if child == tracer {
            // Others are those of the process that has become this program.
            tracer_ended = ended;
        }
    }
    let mut said = true;
    if options.count == 0 {
        // A full device does not keep the tracer alive.
        let then = if options.keep() { text::NOTHING } else { text::PARENT_KILLS };
        said = ME.try_say(text::PARENT_TARGET_ENDED, then.0.into(), 0);
    }

    // A tracer that has ended by itself must not be killed: its PID is no longer its own, and what
    // ended it was not the parent.
    let mut expected = 0;
    if tracer_ended == RUNNING {
        (_, tracer_ended) = wait(tracer, WNOHANG);
    }
    if tracer_ended == RUNNING {
        if options.keep() {
            // It may not know that the target has ended.
            kill(tracer, SIGALRM);
        } else {
            expected = SIGTERM;
            kill(tracer, SIGTERM);
            // Somebody may have stopped it, and then it would not end.
            kill(tracer, SIGCONT);
        }
        (_, tracer_ended) = wait(tracer, 0);
    }

    if !said {
        return status::FAILURE;
    }
    let target_judged = judge(text::THE_TARGET, target_ended, status::SUCCESS, 0);
    let tracer_judged = judge(text::THE_TRACER, tracer_ended, status::FAREWELL, expected);
    // In the order of what they say about this system: it cannot; something failed; it ran.
    target_judged.max(tracer_judged)
}

/// Undoes what this process may have inherited and the demonstration cannot bear.
#[inline(always)]
fn settle() {
    // Signals that are blocked or ignored: the tracer could not be killed, no child waited for. Only
    // what the parent sends the tracer is held back until it has said its first line.
    sys::rt_sigprocmask(ME, HOLD_PARENTS);
    sys::rt_sigaction(ME, SIGCHLD, None);
    sys::rt_sigaction(ME, SIGTERM, None);

    // Closed standard streams: the next descriptor would be taken for one. A mere place in the file
    // system holds the number, and writing to it fails as to a closed one (EBADF).
    loop {
        let held = sys::openat(AT_FDCWD, ZStr::from(c"/"), O_PLACE).or_fail(ME);
        // It is not negative; compared without a sign it need not be widened.
        if held.0.cast_unsigned() > Fd::STDERR.0.cast_unsigned() {
            sys::close(held).or_fail(ME);
            break;
        }
    }
}

/// The tracer's handler of SIGALRM. Kernels before 6.11 let it wait for notifications even
/// when the target has ended; the parent's signal interrupts that. It may come at the one moment
/// when there is nothing to interrupt yet, so it comes again until the tracer has ended.
extern "C" fn nudged(_: i32) {
    let interval = timeval { tv_sec: 0, tv_usec: 100_000 };
    let timer = itimerval { it_interval: interval, it_value: interval };
    sys::setitimer(&timer).or_fail(Process::TRACER);
}

/// The beginning of a child: it ends with its parent, has no use for the other's socket, and says
/// its first line before it can be killed.
fn begin(me: Process, options: &Options, parent: Pid, others_end: Fd) {
    sys::prctl(PR_SET_PDEATHSIG, SIGKILL).or_fail(me);
    let above = sys::getppid().or_fail(me);
    if above != parent {
        // As under `unshare --pid` without `--fork`.
        if above == Pid::NONE {
            me.give_up(text::name::getppid, Errno::ESRCH, text::HINT_NAMESPACE);
        }
        // The parent has died before that.
        sys::exit_group(status::CHILD_FAILED)
    }
    sys::close(others_end).or_fail(me);
    if options.count == 0 {
        let pid = sys::getpid().or_fail(me);
        me.say(text::PID, [pid.0.into()]);
    }
    sys::rt_sigprocmask(me, HOLD);
}

/// Sends `child` a signal.
#[inline(never)]
fn kill(child: Pid, signal: u32) {
    sys::kill(child, signal).or_fail(ME);
}

/// In the place of a status: the child has not ended.
const RUNNING: u32 = u32::MAX;

/// Waits for `child` and returns which one it was, and its status as `wait(2)` encodes it, or
/// [`RUNNING`] if the options say not to wait.
#[inline(never)]
fn wait(child: Pid, options: u32) -> (Pid, u32) {
    let mut ended = RUNNING;
    let child = sys::wait4(child, &mut ended, options).or_fail(ME);
    (child, ended)
}

/// Tells of a child that did not end as it should: with success or with `farewell`, or by the signal
/// `expected`. Returns what that means for the exit status.
fn judge(child: Text, ended: u32, farewell: u32, expected: u32) -> u32 {
    let signal = ended & 0x7f;
    let exited = ended >> 8 & 0xff;
    let (report, number) = if signal != 0 {
        if signal == expected {
            return status::SUCCESS;
        }
        (text::PARENT_KILLED, signal)
    } else {
        if exited == status::SUCCESS || exited == farewell {
            return status::SUCCESS;
        }
        (text::PARENT_FAILED, exited)
    };
    // Where this cannot be told, the exit status still does.
    let _ = ME.try_say(report, child.0.into(), number.into());
    match number {
        // The second one: a sandbox kills for what this program needs. No child ends with such a status.
        status::UNSUPPORTED | SIGSYS => status::UNSUPPORTED,
        _ => status::FAILURE,
    }
}
