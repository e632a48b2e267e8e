//! The system calls that a program makes for one notification, counted with ptrace.
//!
//! The tracer is the process that receives notifications, the target is the process that makes the notified call, whatever
//! names the program gives them. The count is from the second notification to the last: start-up and end are left out, so
//! the count is exact. `floor.rs` measures what the calls cost.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::mem::size_of;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::Serialize;
use syscalls::Sysno;

use crate::child::{self, Output, TIME_LIMIT, TimeLimit, command};
use crate::programs::Program;

/// A system call, with the arguments that its cost depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// SECCOMP_IOCTL_NOTIF_RECV.
    Receive,
    /// SECCOMP_IOCTL_NOTIF_SEND.
    Send,
    /// SECCOMP_IOCTL_NOTIF_ID_VALID.
    IdValid,
    /// The notified call: mkdir, or mkdirat on architectures without mkdir.
    Notified,
    /// pread64 of this many bytes.
    Pread(u64),
    /// Any other call, by its name.
    Other(String),
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Receive => f.write_str("ioctl RECV"),
            Self::Send => f.write_str("ioctl SEND"),
            Self::IdValid => f.write_str("ioctl ID_VALID"),
            Self::Notified => f.write_str("mkdir"),
            Self::Pread(bytes) => write!(f, "pread64 of {bytes} bytes"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// How often each call is made for one notification.
pub type Counts = BTreeMap<Call, f64>;

/// The calls of the two processes.
#[derive(Clone, Debug, Default)]
pub struct PerNotification {
    /// The tracer's calls, from one SEND to the next.
    pub tracer: Counts,
    /// The target's calls, from one mkdir to the next.
    pub target: Counts,
}

/// The two sums that the table shows.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Totals {
    /// The tracer's calls for one notification.
    pub tracer: f64,
    /// The target's calls for one notification.
    pub target: f64,
}

impl PerNotification {
    /// Adds up the calls of each process.
    pub fn totals(&self) -> Totals {
        Totals { tracer: self.tracer.values().sum(), target: self.target.values().sum() }
    }
}

/// Runs a program under ptrace and counts its calls.
///
/// # Errors
/// One line that says what is wrong.
pub fn count(program: &Program, args: &[OsString]) -> Result<PerNotification, String> {
    let mut command = command(&program.path, args, &Output::Discard)?;
    // SAFETY: the closure makes one system call, which is safe between fork and exec.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(Into::into)) };
    let child = command.spawn().map_err(|e| format!("cannot start under ptrace: {e}"))?;
    let made = follow(Pid::from_raw(child.id().cast_signed()));
    child::reap(Duration::ZERO);
    let made = made?;

    let between = |mark: Call, who: &str| {
        let calls = made
            .values()
            .find(|calls| calls.contains(&mark))
            .ok_or(format!("no {mark} was seen"))?;
        average_between(calls, &mark).ok_or(format!("the {who} made {mark} less than three times"))
    };
    Ok(PerNotification {
        tracer: between(Call::Send, "tracer")?,
        target: between(Call::Notified, "target")?,
    })
}

/// The calls after the second `mark`, up to the last, divided by the number of rounds. The first round is left out: what a
/// program does only once, such as opening a file that it keeps, belongs to its start-up.
fn average_between(calls: &[Call], mark: &Call) -> Option<Counts> {
    let mut marks = (0..calls.len()).filter(|at| calls[*at] == *mark);
    let second = marks.nth(1)?;
    let last = marks.next_back()?;
    let cycle = &calls[second + 1..=last];
    let cycles = cycle.iter().filter(|call| *call == mark).count();
    let mut counts = Counts::new();
    for call in cycle {
        *counts.entry(call.clone()).or_default() += 1.0;
    }
    counts.values_mut().for_each(|count| *count /= cycles as f64);
    Some(counts)
}

/// Lets a program run to its end, and stops each of its processes at every system call.
fn follow(first: Pid) -> Result<HashMap<Pid, Vec<Call>>, String> {
    let limit = TimeLimit::start(TIME_LIMIT);
    let mut made: HashMap<Pid, Vec<Call>> = HashMap::new();
    let mut started = false;
    loop {
        // __WALL: also processes and threads whose exit signal is not SIGCHLD.
        let status = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::__WALL)) {
            Ok(status) => status,
            Err(Errno::ECHILD) => break,
            Err(Errno::EINTR) => {
                return Err(format!(
                    "still running under ptrace after {} s: ended",
                    TIME_LIMIT.as_secs()
                ));
            }
            Err(e) => return Err(format!("waitpid: {e}")),
        };
        let (pid, deliver) = match status {
            WaitStatus::Stopped(pid, Signal::SIGTRAP) if pid == first && !started => {
                started = true;
                let options = Options::PTRACE_O_TRACESYSGOOD
                    | Options::PTRACE_O_TRACEFORK
                    | Options::PTRACE_O_TRACEVFORK
                    | Options::PTRACE_O_TRACECLONE
                    | Options::PTRACE_O_EXITKILL;
                ptrace::setoptions(pid, options).map_err(|e| format!("PTRACE_SETOPTIONS: {e}"))?;
                (pid, None)
            }
            // The first stop of a new process.
            WaitStatus::Stopped(pid, Signal::SIGSTOP) if !made.contains_key(&pid) => {
                made.insert(pid, Vec::new());
                (pid, None)
            }
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            WaitStatus::PtraceEvent(pid, ..) => (pid, None),
            WaitStatus::PtraceSyscall(pid) => {
                if let Some(call) = entered(pid)? {
                    made.entry(pid).or_default().push(call);
                }
                (pid, None)
            }
            WaitStatus::Exited(pid, code) if pid == first && code != 0 => {
                return Err(format!("exit status {code} under ptrace"));
            }
            WaitStatus::Signaled(pid, signal, _) if pid == first => {
                return Err(format!("ended by {signal} under ptrace"));
            }
            _ => continue,
        };
        match ptrace::syscall(pid, deliver) {
            // ESRCH: the process was killed while it was stopped.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(e) => return Err(format!("PTRACE_SYSCALL: {e}")),
        }
    }
    drop(limit);
    Ok(made)
}

/// The beginning of the kernel's `struct ptrace_syscall_info`, with the largest variant that is used here.
#[repr(C)]
#[derive(Default)]
struct SyscallInfo {
    op: u8,
    reserved: u8,
    flags: u16,
    arch: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
    number: u64,
    args: [u64; 6],
    rest: u64,
}

/// The call that a stopped process enters; `None` if it returns from a call.
fn entered(pid: Pid) -> Result<Option<Call>, String> {
    const PTRACE_GET_SYSCALL_INFO: u32 = 0x420e;
    const PTRACE_SYSCALL_INFO_ENTRY: u8 = 1;
    let mut info = SyscallInfo::default();
    // SAFETY: the kernel writes at most as many bytes as it is told that `info` has.
    let got = unsafe {
        libc::ptrace(
            PTRACE_GET_SYSCALL_INFO as _,
            pid.as_raw(),
            size_of::<SyscallInfo>(),
            &raw mut info,
        )
    };
    if got < 0 {
        return match Errno::last() {
            Errno::ESRCH => Ok(None),
            e => Err(format!("PTRACE_GET_SYSCALL_INFO (Linux 5.3): {e}")),
        };
    }
    if info.op != PTRACE_SYSCALL_INFO_ENTRY {
        return Ok(None);
    }
    // The low byte of an ioctl request is its number, the second byte is the driver's letter: '!' for seccomp.
    let request = info.args[1];
    let seccomp = (request >> 8) & 0xff == u64::from(b'!');
    let sysno = usize::try_from(info.number).ok().and_then(Sysno::new);
    Ok(Some(match sysno {
        Some(Sysno::ioctl) if seccomp && request & 0xff == 0 => Call::Receive,
        Some(Sysno::ioctl) if seccomp && request & 0xff == 1 => Call::Send,
        Some(Sysno::ioctl) if seccomp && request & 0xff == 2 => Call::IdValid,
        Some(Sysno::pread64) => Call::Pread(info.args[2]),
        Some(sysno) if sysno.name() == "mkdir" || sysno.name() == "mkdirat" => Call::Notified,
        Some(sysno) => Call::Other(sysno.name().into()),
        None => Call::Other(format!("call {}", info.number)),
    }))
}
