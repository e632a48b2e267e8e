//! What is done to the program while it runs: stops, freezers, debuggers that attach.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::host;
use crate::running::{Running, children_of, state};
use crate::stage::{Case, Cgroup};

/// Something that is done while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// SIGSTOP and SIGCONT for the target.
    StopTarget,
    /// SIGSTOP and SIGCONT for all three processes, as Ctrl-Z and fg do.
    StopAll,
    /// The cgroup's freezer, version 2.
    Freeze,
    /// The cgroup's freezer, version 1.
    FreezeOld,
    /// gdb attaches to the target and detaches.
    GdbTarget,
    /// gdb attaches to the tracer and detaches.
    GdbTracer,
    /// strace attaches to the target and stays.
    StraceTarget,
}

/// When it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once, while the tracer waits before it looks into the target.
    Delayed,
    /// Several times, while the program measures.
    Measuring,
}

/// Why something could not be done.
pub enum Cannot {
    /// This machine does not allow it, or lacks it.
    Here(String),
    /// The program did something else than expected.
    Unexpected(String),
}

/// How often something is done while the program measures: often enough to meet the tracer in the middle of a
/// notification. A debugger takes its time.
fn times(act: Act) -> u32 {
    match act {
        Act::StopTarget => 400,
        Act::StopAll => 150,
        Act::Freeze | Act::FreezeOld => 50,
        Act::GdbTarget | Act::GdbTracer | Act::StraceTarget => 2,
    }
}

const LIMIT: Duration = Duration::from_secs(20);

/// How long a stop is given to come where it must not.
const PAUSE: Duration = Duration::from_millis(200);

/// The program, and what is done to it.
pub struct Subject<'a> {
    pub case: &'a Case<'a>,
    pub cgroup: Option<&'a Cgroup>,
    pub running: &'a Running,
    /// Whether the target's call can be interrupted: not with `-w`.
    pub is_interruptible: bool,
}

/// Does it. Returns whether it was done often enough: a program that measures may have ended before.
pub fn act(act: Act, when: When, subject: &Subject) -> Result<bool, Cannot> {
    let running = subject.running;
    match when {
        When::Delayed => {
            running.wait_for_line("Tracer: delaying for ").map_err(Cannot::Unexpected)?;
            once(act, subject)?;
            Ok(true)
        }
        When::Measuring => {
            sleep(Duration::from_millis(50));
            for time in 0..times(act) {
                // Not in step with anything.
                sleep(Duration::from_micros(u64::from(time % 7) * 300));
                let done = once(act, subject);
                if running.has_ended() {
                    return Ok(time >= times(act) / 4);
                }
                done?;
            }
            Ok(true)
        }
    }
}

fn once(act: Act, subject: &Subject) -> Result<(), Cannot> {
    let &Subject { case, running, .. } = subject;
    let children = || match children_of(running.pid())[..] {
        [target, tracer, ..] => Some((target, tracer)),
        _ => None,
    };
    let both = running.wait_for("the target and the tracer", children);
    let (target, tracer) = both.map_err(Cannot::Unexpected)?;
    match act {
        Act::StopTarget => {
            signal(kill(target, Signal::SIGSTOP))?;
            stopped(subject, target)?;
            signal(kill(target, Signal::SIGCONT))
        }
        Act::StopAll => {
            signal(killpg(running.pid(), Signal::SIGSTOP))?;
            for process in [running.pid(), target, tracer] {
                stopped(subject, process)?;
            }
            signal(killpg(running.pid(), Signal::SIGCONT))
        }
        Act::Freeze => freeze(subject, "cgroup.freeze", ["1", "0"], |cgroup| {
            let events = fs::read_to_string(cgroup.file("cgroup.events")).unwrap_or_default();
            events.contains("frozen 1")
        }),
        Act::FreezeOld => freeze(subject, "freezer.state", ["FROZEN", "THAWED"], |cgroup| {
            fs::read_to_string(cgroup.file("freezer.state")).is_ok_and(|s| s == "FROZEN\n")
        }),
        Act::GdbTarget => gdb(target),
        Act::GdbTracer => gdb(tracer),
        Act::StraceTarget => strace(case, running, target),
    }
}

fn signal(sent: nix::Result<()>) -> Result<(), Cannot> {
    sent.map_err(|errno| Cannot::Unexpected(format!("kill: {errno}")))
}

fn stopped(subject: &Subject, process: Pid) -> Result<(), Cannot> {
    if !subject.is_interruptible {
        sleep(PAUSE);
        return Ok(());
    }
    let is_stopped = || (state(process) == Some('T')).then_some(());
    subject.running.wait_for("the stop", is_stopped).map_err(Cannot::Unexpected)
}

fn freeze(
    subject: &Subject,
    file: &str,
    [freeze, thaw]: [&str; 2],
    is_frozen: impl Fn(&Cgroup) -> bool,
) -> Result<(), Cannot> {
    let none = || Cannot::Here("no cgroup".into());
    let cgroup = subject.cgroup.ok_or_else(none)?;
    let write = |word| {
        fs::write(cgroup.file(file), word).map_err(|error| Cannot::Here(format!("{file}: {error}")))
    };
    write(freeze)?;
    let frozen = if subject.is_interruptible {
        subject.running.wait_for("the freezer", || is_frozen(cgroup).then_some(()))
    } else {
        sleep(PAUSE);
        Ok(())
    };
    write(thaw)?;
    frozen.map_err(Cannot::Here)
}

fn gdb(process: Pid) -> Result<(), Cannot> {
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-ex", "detach", "-p", &process.to_string()]);
    let ran = host::run(&mut gdb, LIMIT).map_err(Cannot::Here)?;
    let said = String::from_utf8_lossy(&ran.stdout);
    if said.lines().any(|line| line.starts_with("[Inferior 1 ") && line.ends_with("detached]")) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    Err(Cannot::Here(format!("gdb: {}", said.lines().last().unwrap_or("it did not attach"))))
}

/// It ends when the target does.
fn strace(case: &Case, running: &Running, process: Pid) -> Result<(), Cannot> {
    let said = case.file("strace");
    let file = || fs::File::create(&said).map_err(|error| Cannot::Here(error.to_string()));
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "-p", &process.to_string()]).stderr(file()?);
    strace.spawn().map_err(|error| Cannot::Here(format!("strace: {error}")))?;
    let attached = running.wait_for("strace", || {
        let said = fs::read_to_string(&said).ok()?;
        said.contains("attached").then_some(())
    });
    attached.map_err(Cannot::Here)
}
