//! Runs one program: pinned or not, with a time limit. No process of the program is left running afterwards.
//!
//! `programs.rs` finds the programs, `measure.rs` evaluates the times.

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

/// The time limit of one run of one program. The slowest run takes about a second.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The processors on which a program may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// Every processor on which the benchmark itself may run.
    Any,
    /// This processor, for all processes of the program.
    Only(usize),
}

/// Where a program's output goes.
pub enum Output<'a> {
    /// To `/dev/null`, opened once and for writing only, as a shell does for `>/dev/null 2>&1`. Both matter: if standard
    /// error can also be read, glibc's perror makes five more system calls for each line; if the two streams are two
    /// open files, this program makes one more.
    Discard,
    /// To the files `out` and `err` in this directory.
    Keep(&'a Path),
}

/// Prepares this process for [`run`]: it becomes the parent of orphans, and its time limit interrupts it.
///
/// # Errors
/// The call that failed, and its error.
pub fn prepare() -> Result<(), String> {
    extern "C" fn interrupt(_: libc::c_int) {}
    // No SA_RESTART: the signal must interrupt a blocking wait.
    let action = SigAction::new(SigHandler::Handler(interrupt), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing, so it is async-signal-safe.
    unsafe { sigaction(Signal::SIGALRM, &action) }.map_err(|e| format!("sigaction: {e}"))?;
    // An orphaned tracer becomes a child of this process, which can then find it, wait for it and kill it.
    set_child_subreaper(true).map_err(|e| format!("prctl(PR_SET_CHILD_SUBREAPER): {e}"))
}

/// A time limit for blocking system calls. It ends when the value goes out of scope.
pub struct TimeLimit;

impl TimeLimit {
    /// Starts the time limit: after `limit`, in whole seconds and at least one, a blocking system call returns EINTR.
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

/// The command that starts a program. Standard input is always empty.
///
/// # Errors
/// The file that could not be opened, and why.
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

/// The times of one run.
pub struct Times {
    /// From the start until the program's first process has exited.
    pub exit: Duration,
    /// From the start until the program's last process has ended. The first process may not have waited for it.
    pub end: Duration,
}

/// Runs a program, waits for all its processes, and returns the times.
///
/// # Errors
/// One line: the program could not be started, took too long, failed, or left a process running.
pub fn run(
    program: &Path,
    args: &[OsString],
    cpus: Cpus,
    output: &Output,
) -> Result<Times, String> {
    let mut command = command(program, args, output)?;
    let pinned = Pinned::to(cpus)?;
    let limit = TimeLimit::start(TIME_LIMIT);
    let start = Instant::now();
    // No pre_exec: without it the standard library uses posix_spawn. A fork would copy this process's page tables; that
    // adds the same time to every program's start, and brings the ratios nearer to 1.
    let child = command.spawn().map_err(|e| format!("cannot start: {e}"))?;
    let pid = Pid::from_raw(child.id().cast_signed());
    let status = waitpid(pid, None);
    let exit = start.elapsed();
    drop(limit);
    drop(pinned);

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

/// Waits for the remaining processes of a run, and kills those that have not ended after `grace`. Returns how many were
/// killed.
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
    // The children of a killed process become children of this process, so repeat until there are none.
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

/// The children of a process, from `/proc/*/stat`: not every kernel has `/proc/PID/task/TID/children`.
pub fn children(parent: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            // The process's name is in parentheses and may contain any bytes. State and parent follow the last parenthesis.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let mut fields =
                stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
            fields.nth(1).and_then(|ppid| ppid.parse().ok()) == Some(parent.as_raw())
        })
        .map(Pid::from_raw)
        .collect()
}

/// The numbers of the processors that this process may use.
///
/// # Errors
/// The call that failed, and its error.
pub fn allowed_cpus() -> Result<Vec<usize>, String> {
    let set = sched_getaffinity(Pid::this()).map_err(|e| format!("sched_getaffinity: {e}"))?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
}

/// Keeps this process on one processor until the value is dropped. A process that is started meanwhile inherits that.
pub struct Pinned {
    before: Option<CpuSet>,
}

impl Pinned {
    /// Moves this process to the processor in `cpus`, or leaves it where it is for [`Cpus::Any`].
    ///
    /// # Errors
    /// The call that failed, and its error.
    pub fn to(cpus: Cpus) -> Result<Self, String> {
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

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // After a failure here all later figures would be pinned ones. Stop instead.
            sched_setaffinity(Pid::this(), before)
                .expect("the processors that were allowed before");
        }
    }
}
