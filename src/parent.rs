//! The parent: makes the other two processes, waits for them, and tells what became of them.

use crate::abi::{SIGALRM, SIGCONT, SIGKILL, SIGTERM, WNOHANG};
use crate::children::{self, Ended, tell_ended};
use crate::fmt::{Arg, Message};
use crate::messages;
use crate::options::Options;
use crate::report::{Process, status};
use crate::sys::{self, CStrRef, Caller, Error, Fd, Fork, Operation, Pid};
use crate::{signals, target, tracer};

const ME: Process = Process::Parent;

/// Runs the demonstration. Returns the exit status.
pub fn run(options: &Options, directories: &[CStrRef]) -> u32 {
    children::prepare();
    let mut pair = [Fd(-1); 2];
    sys::socketpair(&mut pair).or_fail(ME);
    let [targets_end, tracers_end] = pair;
    let me = sys::getpid().or_fail(ME);

    let target = match sys::fork().or_fail(ME) {
        Fork::Parent(target) => target,
        Fork::Child => {
            begin(Process::Target, options, me, tracers_end);
            sys::exit_group(target::run(options, directories, me, targets_end))
        }
    };
    let tracer = match sys::fork().result() {
        Ok(Fork::Parent(tracer)) => tracer,
        Ok(Fork::Child) => {
            signals::handle(Process::Tracer, SIGALRM, Some(on_alarm));
            // With a copy of the target's end here, the stream of a target that fails early would not end.
            begin(Process::Tracer, options, me, targets_end);
            sys::exit_group(tracer::run(options, target, tracers_end))
        }
        Err(error) => return end_target(target, error),
    };
    signals::block(ME, 0);
    sys::close(targets_end).or_fail(ME);
    sys::close(tracers_end).or_fail(ME);

    // In the order in which they end. A target that is the init of a PID namespace only ends when the
    // tracer, which is killed with it, has been waited for.
    let (mut target_ended, mut tracer_ended) = (Ended::NOT_YET, Ended::NOT_YET);
    while target_ended == Ended::NOT_YET {
        let mut ended = Ended::NOT_YET;
        let child = ended.wait(Pid::ANY, 0);
        if child == target {
            target_ended = ended;
        } else if child == tracer {
            tracer_ended = ended;
        }
        // Any other is a child of the process that has become this program.
    }
    // Even if this cannot be printed the tracer is ended.
    let said = if options.count.is_some() { Ok(()) } else { say_target_ended(options.keep) };

    // A tracer that has ended by itself must not be killed: its PID is free for other processes.
    if tracer_ended == Ended::NOT_YET {
        tracer_ended.wait(tracer, WNOHANG);
    }
    let mut expected = Ended::WELL;
    if tracer_ended == Ended::NOT_YET {
        if options.keep {
            // The tracer may wait though the target has ended.
            sys::kill(tracer, SIGALRM).or_fail(ME);
        } else {
            expected = Ended::by_signal(SIGTERM);
            sys::kill(tracer, SIGTERM).or_fail(ME);
            // If the tracer has been stopped, it only ends when it goes on.
            sys::kill(tracer, SIGCONT).or_fail(ME);
        }
        tracer_ended.wait(tracer, 0);
    }

    said.unwrap_or_else(|error| ME.fail(error));
    let mut status = status::SUCCESS;
    if target_ended.exit_status() != Some(status::SUCCESS) {
        status = tell_ended(messages::THE_TARGET, target_ended);
    }
    let good = [Some(status::SUCCESS), Some(status::FAREWELL)];
    if tracer_ended != expected && !good.contains(&tracer_ended.exit_status()) {
        // 77 (this system cannot) is greater than 1 (something failed), and says more.
        status = status.max(tell_ended(messages::THE_TRACER, tracer_ended));
    }
    status
}

/// The first steps of a child: it ends with its parent, closes the other child's end of the socket pair, and
/// prints its first line before it can be killed.
fn begin(me: Process, options: &Options, parent: Pid, others_end: Fd) {
    sys::prctl(Operation::SET_PDEATHSIG, SIGKILL).or_fail(me);
    let above = sys::getppid().or_fail(me);
    if above == Pid::NOT_VISIBLE {
        me.warn(messages::OTHER_NAMESPACE, &[]);
        sys::exit_group(status::UNSUPPORTED)
    }
    if above != parent {
        // The parent had ended before its child could ask for that signal.
        sys::exit_group(status::CHILD_FAILED)
    }
    sys::close(others_end).or_fail(me);
    if options.count.is_none() {
        let pid = sys::getpid().or_fail(me);
        me.say(messages::CHILD_STARTED, &[Arg::Dec(pid.0.into())]);
    }
    signals::block(me, 0);
}

/// The tracer's handler of SIGALRM. Before Linux 6.11 the tracer may wait for notifications though the target
/// has ended; a signal interrupts that. The parent's signal may come just before the wait begins, so a timer
/// repeats it until the tracer has ended.
extern "C" fn on_alarm(_: i32) {
    signals::send_alarms(Process::Tracer, 100_000);
}

/// Ends the target, since there is no tracer for it: `error` is why. Returns 77 if the target has found that this
/// system is the reason; else ends the parent too.
fn end_target(target: Pid, error: Error) -> u32 {
    sys::kill(target, SIGKILL).or_fail(ME);
    let mut ended = Ended::NOT_YET;
    ended.wait(target, 0);
    if ended.exit_status() == Some(status::UNSUPPORTED) {
        // The target was the init of a PID namespace: when it has ended, no process can be made there.
        return tell_ended(messages::THE_TARGET, ended);
    }
    ME.fail(error)
}

/// Prints that the target has ended and what happens to the tracer.
fn say_target_ended(keep: bool) -> sys::Result<()> {
    let killing = Message { template: messages::KILLING_TRACER, args: &[] };
    let next = if keep { Message::EMPTY } else { killing };
    ME.try_print(Fd::STDOUT, messages::TARGET_HAS_ENDED, &[Arg::Message(&next)])
}
