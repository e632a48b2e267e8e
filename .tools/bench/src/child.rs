//! Running one program: pinned or not, with a time limit, and with nothing left running afterwards.
//!
//! What the programs are is in `programs.rs`, what is made of the times in `measure.rs`.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, alarm};

/// The longest that one run of one program may take. The slowest honest run takes about a second.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Where a program may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// On every processor that the benchmark itself was given.
    Any,
    /// On this one, with all its processes.
    Only(usize),
}

/// What a program's output is for.
pub enum Output<'a> {
    /// Nobody reads it: `/dev/null`, opened once and for writing only, as a shell does for `>/dev/null 2>&1`. That
    /// matters: where standard error can also be read, glibc's perror makes five more system calls for each line, and
    /// where the streams are two open files, this program makes one more.
    Discard,
    /// Standard output and standard error go to `out` and `err` in this directory.
    Keep(&'a Path),
}

/// Prepares this process for [`run`]: orphans come to it, and its own time limit interrupts it.
///
/// # Errors
/// The text of what the kernel refused.
pub fn prepare() -> Result<(), String> {
    extern "C" fn interrupt(_: libc::c_int) {}
    // No SA_RESTART: the signal has to end the wait that it finds.
    let action = SigAction::new(SigHandler::Handler(interrupt), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing, which is safe at any moment.
    unsafe { sigaction(Signal::SIGALRM, &action) }.map_err(|e| format!("sigaction: {e}"))?;
    // An orphaned tracer is reparented to this process, which can then see it, wait for it and end it.
    set_child_subreaper(true).map_err(|e| format!("prctl(PR_SET_CHILD_SUBREAPER): {e}"))
}

/// Ends a wait after a while, and is called off when it goes out of scope.
pub struct TimeLimit;

impl TimeLimit {
    /// Starts the clock: after `limit`, rounded up to a second, a blocking system call returns EINTR.
    pub fn start(limit: Duration) -> Self {
        let seconds = u32::try_from(limit.as_secs().max(1)).unwrap_or(u32::MAX);
        alarm::set(seconds);
        Self
    }
}

impl Drop for TimeLimit {
    fn drop(&mut self) {
        alarm::cancel();
    }
}

/// Makes a command of a program whose output is kept or not. Standard input is always empty.
///
/// # Errors
/// The text of what could not be opened.
pub fn command(program: &Path, args: &[OsString], output: &Output) -> Result<Command, String> {
    let writable = |path: &Path| -> Result<File, String> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .map_err(|e| format!("{}: {e}", path.display()))
    };
    let (out, err): (Stdio, Stdio) = match output {
        Output::Discard => {
            let null = writable(Path::new("/dev/null"))?;
            let again = null.try_clone().map_err(|e| format!("/dev/null: {e}"))?;
            (null.into(), again.into())
        }
        Output::Keep(dir) => {
            (writable(&dir.join("out"))?.into(), writable(&dir.join("err"))?.into())
        }
    };
    let null = File::open("/dev/null").map_err(|e| format!("/dev/null: {e}"))?;
    let mut command = Command::new(program);
    // Cargo sets this variable for the benchmark, and with it the loader looks for the C library in four more directories.
    command.env_remove("LD_LIBRARY_PATH");
    command.args(args).stdin(null).stdout(out).stderr(err);
    Ok(command)
}

/// How long a run took.
pub struct Times {
    /// From the start until the program that was started has exited.
    pub exit: Duration,
    /// From the start until the last of its processes has ended, which the one that was started may not have waited for.
    pub end: Duration,
}

/// Runs a program and returns how long that took. Everything that it left behind is waited for.
///
/// # Errors
/// A text: it could not be started, took too long, failed, or left a process running.
pub fn run(
    program: &Path,
    args: &[OsString],
    cpus: Cpus,
    output: &Output,
) -> Result<Times, String> {
    let mut command = command(program, args, output)?;
    let place = Place::take(cpus)?;
    let limit = TimeLimit::start(TIME_LIMIT);
    let start = Instant::now();
    // Spawned without pre_exec, so that the standard library may use posix_spawn: a fork would copy this process's page
    // tables first and so add the same cost to every program's start, which would flatter the slow ones.
    let child = command.spawn().map_err(|e| format!("cannot start: {e}"))?;
    let pid = Pid::from_raw(child.id().cast_signed());
    let status = waitpid(pid, None);
    let exit = start.elapsed();
    drop(limit);
    drop(place);

    let result = match status {
        Ok(WaitStatus::Exited(_, 0)) => Ok(()),
        Ok(WaitStatus::Exited(_, code)) => Err(format!("exit status {code}")),
        Ok(WaitStatus::Signaled(_, signal, _)) => Err(format!("ended by {signal}")),
        Ok(other) => Err(format!("unexpected state {other:?}")),
        Err(Errno::EINTR) => Err(format!("still running after {} s: ended", TIME_LIMIT.as_secs())),
        Err(e) => Err(format!("waitpid: {e}")),
    };
    let grace = if result.is_ok() { Duration::from_secs(2) } else { Duration::ZERO };
    let left = reap(grace);
    let end = start.elapsed();
    result?;
    if left > 0 {
        return Err(format!("left {left} process(es) running, which were ended"));
    }
    Ok(Times { exit, end })
}

/// Waits for whatever is left of a run, and ends what has not gone by itself after `grace`. Returns how many had to be
/// ended.
pub fn reap(grace: Duration) -> usize {
    if !grace.is_zero() {
        let _limit = TimeLimit::start(grace);
        loop {
            match waitpid(Pid::from_raw(-1), None) {
                Ok(_) => {}
                Err(Errno::EINTR) => break,
                Err(_) => return 0,
            }
        }
    }
    let mut ended = 0;
    // Killing one process hands its children to this one, so look again until nobody is left.
    loop {
        for pid in children(Pid::this()) {
            ended += usize::from(kill(pid, Signal::SIGKILL).is_ok());
        }
        match waitid(Id::All, WaitPidFlag::WEXITED) {
            Ok(_) => {}
            Err(_) => return ended,
        }
    }
}

/// The children of a process, found through `/proc`. (`/proc/PID/task/TID/children` is not built into every kernel.)
pub fn children(parent: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            // The name, in parentheses, may hold anything; state and parent follow its last one.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let mut fields =
                stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
            fields.nth(1).and_then(|ppid| ppid.parse().ok()) == Some(parent.as_raw())
        })
        .map(Pid::from_raw)
        .collect()
}

/// The processors that this process may use, as the kernel numbers them.
///
/// # Errors
/// The text of what the kernel refused.
pub fn allowed_cpus() -> Result<Vec<usize>, String> {
    let set = sched_getaffinity(Pid::this()).map_err(|e| format!("sched_getaffinity: {e}"))?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
}

/// Holds this process on one processor for as long as it lives. What is started meanwhile inherits the place.
pub struct Place {
    before: Option<CpuSet>,
}

impl Place {
    /// Goes where `cpus` says.
    ///
    /// # Errors
    /// The text of what the kernel refused.
    pub fn take(cpus: Cpus) -> Result<Self, String> {
        let Cpus::Only(cpu) = cpus else {
            return Ok(Self { before: None });
        };
        let before =
            sched_getaffinity(Pid::this()).map_err(|e| format!("sched_getaffinity: {e}"))?;
        let mut only = CpuSet::new();
        only.set(cpu).map_err(|e| format!("processor {cpu}: {e}"))?;
        sched_setaffinity(Pid::this(), &only).map_err(|e| format!("processor {cpu}: {e}"))?;
        Ok(Self { before: Some(before) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A failure here would show as pinned figures where unpinned ones are expected: stop rather than mislead.
            sched_setaffinity(Pid::this(), before)
                .expect("the processors that were allowed before");
        }
    }
}
