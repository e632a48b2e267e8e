//! Runs the program under ptrace. Each process stops before and after every system call. A [`Script`] can replace a call's
//! result, replace the call, hold its process, or send a signal at this moment. The end of every process is recorded, so that
//! a test can check the program's report. `cases.rs` has the command lines and their transcripts.
//!
//! A run belongs to one thread: a process has one tracer thread, and each thread waits only for its own processes
//! (`__WNOTHREAD`), so several threads can have a run each. A timer interrupts every wait, so that each wait has a limit.
//! Processes that remain are killed, with `PTRACE_O_EXITKILL` also if the test itself dies.
#![allow(dead_code)] // each test uses only a part of it

pub mod cases;
mod label;

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fmt;
use std::fs::{self, File};
use std::io::{IoSlice, IoSliceMut, Read, Seek};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::ptrace;
use nix::sys::signal::{
    self, SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal,
};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::ClockId;
use nix::unistd::{ForkResult, Pid, fork, gettid, pipe2};

/// Whether the injector can change a call: it knows the registers of this architecture only.
const SUPPORTED: bool = cfg!(target_arch = "x86_64");

/// Whether a test cannot use the injector here. If so, reports the test as skipped.
pub fn skipped() -> bool {
    if !SUPPORTED {
        crate::common::skipped(
            "injected failures",
            "this architecture's registers are not known to the injector",
        );
    }
    !SUPPORTED
}

/// How often the timer interrupts a wait.
const TICK: Duration = Duration::from_millis(3);
/// If nothing has happened for this time and every process sleeps, a held process waits for something that will not
/// happen.
const QUIET: Duration = Duration::from_millis(8);
/// The same, whatever they seem to do: with `WAIT_KILLABLE_RECV`, a call sleeps uninterruptibly once a signal has come.
const LONG: Duration = Duration::from_millis(200);
/// The time limit of a run. The injector replaces the sleeps, so that a run takes milliseconds.
pub const LIMIT: Duration = Duration::from_secs(5);
/// How long a process may run after the end of a process that must end it.
pub const GRACE: Duration = Duration::from_secs(1);

/// One of the program's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Parent,
    Target,
    Tracer,
    /// The probe has more children; its first two have the roles of target and tracer here.
    ThirdChild,
    FourthChild,
    /// It fetches a descriptor, and has no filter.
    FifthChild,
}

impl Role {
    /// The processes of the demonstration.
    pub const ALL: [Self; 3] = [Self::Parent, Self::Target, Self::Tracer];

    /// The beginning of the process's lines in the transcript.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Parent => "Parent: ",
            Self::Target => "Target process: ",
            Self::Tracer => "Tracer: ",
            Self::ThirdChild | Self::FourthChild | Self::FifthChild => {
                unreachable!("the probe's children have no lines")
            }
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Self::Parent => "parent",
            Self::Target => "target",
            Self::Tracer => "tracer",
            Self::ThirdChild => "third child",
            Self::FourthChild => "fourth child",
            Self::FifthChild => "fifth child",
        })
    }
}

/// One system call of a run: the nth call of this name by this process, counted from 1. A call that the kernel restarts after
/// a signal counts once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    pub role: Role,
    /// The name with its detail, such as `ioctl(RECV)`.
    pub name: String,
    pub nth: usize,
}

impl Call {
    pub fn new(role: Role, name: &str, nth: usize) -> Self {
        Self { role, name: name.to_owned(), nth }
    }

    /// The name as the program prints it.
    pub fn plain(&self) -> &str {
        self.name.split('(').next().unwrap()
    }
}

impl fmt::Display for Call {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}'s {} #{}", self.role, self.name, self.nth)
    }
}

/// Before or after a call: its process stops at both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Entry,
    Exit,
}

/// A stop of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Moment {
    pub call: Call,
    pub side: Side,
}

impl Moment {
    pub fn new(role: Role, name: &str, nth: usize, side: Side) -> Self {
        Self { call: Call::new(role, name, nth), side }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let side = if self.side == Side::Entry { "before" } else { "after" };
        write!(out, "{side} {}", self.call)
    }
}

/// The condition that releases a held process.
#[derive(Clone, Debug)]
pub enum Until {
    Reached(Moment),
    Ended(Role),
}

/// Holds a process at a moment until another process reaches a moment or ends. This selects one of the orders that the
/// scheduler could choose.
#[derive(Clone, Debug)]
pub struct Gate {
    pub hold: Moment,
    pub until: Until,
}

/// What the injector does.
#[derive(Clone, Debug)]
pub enum Action {
    /// The call is not made; it returns this value. After a call: it was made, and returns this value instead.
    Return(i64),
    /// The call does not return: its process waits until a signal interrupts it (EINTR).
    Wait,
    /// Replaces the call's third argument, a length.
    Shorten(u64),
    /// After the call, writes these bytes to the address in its third argument.
    Fill(&'static [u8]),
    /// After the call that received a notification: changes it, or what is in the memory of the processes.
    Forge(fn(&mut libc::seccomp_notif, &HashMap<Role, Pid>)),
    Signal(Role, Signal),
    /// SIGSTOP, and SIGCONT after nothing more happens.
    StopAndContinue(Role),
}

/// When the injector does it.
#[derive(Clone, Debug)]
pub enum When {
    Once(Moment),
    /// Before every call of this name, of any process.
    Each(&'static str),
    /// After every call of this name by the tracer, if the target has ended or is exiting.
    TargetGone(&'static str),
}

/// The gates and rules of a run.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub gates: Vec<Gate>,
    pub rules: Vec<(When, Action)>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed(Signal),
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(out, "exited with {status}"),
            Self::Killed(signal) => write!(out, "was killed by {signal}"),
        }
    }
}

/// A call of a run, with its result.
#[derive(Clone, Debug)]
pub struct Seen {
    pub call: Call,
    /// `None` if the call did not return.
    pub result: Option<i64>,
    /// The result is from the script.
    pub injected: bool,
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    pub out: Vec<u8>,
    pub err: Vec<u8>,
    /// The output of each process by itself: in the streams above, another process's line can be in the middle of the
    /// countdown.
    pub written: HashMap<Role, [Vec<u8>; 2]>,
    pub pids: HashMap<Role, Pid>,
    /// How each process ended, also if it was killed at the end of the run.
    pub ends: HashMap<Role, End>,
    /// When each process was there: from the number of stops before its first one to that before its end.
    lives: HashMap<Role, Range<usize>>,
    /// All calls, in the order in which they were entered.
    pub calls: Vec<Seen>,
    /// All stops, in their order.
    pub stops: Vec<Moment>,
    /// The parent did not end within the limit.
    pub hung: bool,
    /// The processes that still ran [`GRACE`] after the parent's end.
    pub left: Vec<Role>,
    /// How often each rule was applied. A signal to a process that has ended, or does not exist yet, does not count.
    pub done: Vec<usize>,
    /// All gates were opened because nothing else happened.
    pub forced: bool,
    /// The time from the script's first signal to the end of the last process.
    pub after_signal: Option<Duration>,
}

impl Outcome {
    /// The stops, each with those of `roles` that are there at this moment.
    pub fn stops_with(&self, roles: &[Role]) -> Vec<(&Moment, Vec<Role>)> {
        let there = |at| {
            let is_there =
                |role: &&Role| self.lives.get(role).is_some_and(|life| life.contains(&at));
            roles.iter().filter(is_there).copied().collect()
        };
        self.stops.iter().enumerate().map(|(at, stop)| (stop, there(at))).collect()
    }

    /// The parent's exit status; if it was killed, 128 plus the signal's number, as in a shell.
    pub fn status(&self) -> i32 {
        match self.ends.get(&Role::Parent) {
            Some(&End::Exited(status)) => status,
            Some(&End::Killed(signal)) => 128 + signal as i32,
            None => -1,
        }
    }

    /// Whether a process was killed by a fault in its own code.
    pub fn crashed(&self) -> bool {
        self.ends.values().any(|end| {
            matches!(
                end,
                End::Killed(
                    Signal::SIGSEGV
                        | Signal::SIGILL
                        | Signal::SIGBUS
                        | Signal::SIGTRAP
                        | Signal::SIGFPE
                        | Signal::SIGSYS
                ) | End::Exited(134)
            )
        })
    }
}

/// Runs `image` with `arguments` (without argument 0) and applies the script.
pub fn run(image: &Path, arguments: &[&OsStr], script: &Script) -> Outcome {
    prepare();
    let out = memory_file();
    let err = memory_file();
    let first = start(image, arguments, [out.as_fd().as_raw_fd(), err.as_fd().as_raw_fd()]);

    let mut ticks = Timer::new(
        ClockId::CLOCK_MONOTONIC,
        SigEvent::new(SigevNotify::SigevThreadId {
            signal: Signal::SIGUSR1,
            thread_id: gettid().as_raw(),
            si_value: 0,
        }),
    )
    .expect("a timer");
    ticks
        .set(Expiration::Interval(TimeSpec::from_duration(TICK)), TimerSetTimeFlags::empty())
        .expect("a timer's interval");

    let mut run = Run {
        script,
        first,
        is_probe: arguments.contains(&OsStr::new("-p")),
        processes: HashMap::new(),
        early: Vec::new(),
        held: Vec::new(),
        opened: vec![false; script.gates.len()],
        continue_later: Vec::new(),
        clock: Duration::ZERO,
        last_event: Duration::ZERO,
        signalled: None,
        outcome: Outcome { done: vec![0; script.rules.len()], ..Outcome::default() },
    };
    run.add_process(first, Role::Parent);
    run.follow();
    let mut outcome = run.outcome;
    outcome.out = contents(out);
    outcome.err = contents(err);
    outcome
}

/// Installs a handler that does nothing: the timer's signal must interrupt a wait and have no other effect.
fn prepare() {
    extern "C" fn nothing(_: i32) {}
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let action =
            SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        unsafe { signal::sigaction(Signal::SIGUSR1, &action) }.expect("a signal handler");
    });
}

/// A file for a standard stream. Unlike a pipe it takes any amount without a reader.
fn memory_file() -> File {
    let file = memfd_create("output", MFdFlags::MFD_CLOEXEC).expect("a file in memory");
    // Without O_APPEND a process's line could overwrite another one: the offset of such a file is not locked.
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND)).expect("a file that is appended to");
    file.into()
}

fn contents(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().expect("the output's beginning");
    file.read_to_end(&mut bytes).expect("the output");
    bytes
}

/// Starts the program, traced from its exec on, with an empty environment.
fn start(image: &Path, arguments: &[&OsStr], streams: [i32; 2]) -> Pid {
    let image = CString::new(image.as_os_str().as_bytes()).unwrap();
    let mut argv = vec![image.clone()];
    argv.extend(arguments.iter().map(|argument| CString::new(argument.as_bytes()).unwrap()));
    let argv: Vec<_> =
        argv.iter().map(|argument| argument.as_ptr()).chain([std::ptr::null()]).collect();
    let environment = [std::ptr::null()];
    let (wait, go): (OwnedFd, OwnedFd) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");

    // SAFETY: the child only makes system calls until it executes the program.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => {
            let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
                | ptrace::Options::PTRACE_O_TRACEEXEC
                | ptrace::Options::PTRACE_O_TRACEFORK
                | ptrace::Options::PTRACE_O_TRACEVFORK
                | ptrace::Options::PTRACE_O_TRACECLONE
                | ptrace::Options::PTRACE_O_EXITKILL;
            ptrace::seize(child, options).expect("ptrace");
            nix::unistd::write(&go, b"!").expect("a word to the child");
            child
        }
        // SAFETY: all pointers are valid, and the arrays end with a null pointer.
        ForkResult::Child => unsafe {
            let mut byte = 0_u8;
            libc::read(wait.as_raw_fd(), (&raw mut byte).cast(), 1);
            // The harness ignores SIGPIPE. A shell that starts it in the background lets it ignore SIGINT.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            libc::dup2(streams[0], 1);
            libc::dup2(streams[1], 2);
            libc::execve(image.as_ptr(), argv.as_ptr(), environment.as_ptr());
            libc::_exit(126)
        },
    }
}

/// A process of the run.
struct Process {
    role: Role,
    counts: HashMap<String, usize>,
    /// The call that the process has entered, and its index in the list of calls.
    inside: Option<(Call, usize)>,
    /// The value that the script makes the call return.
    returns: Option<i64>,
    /// Set if the kernel will make the last call again, with the same instruction pointer and stack pointer. A handler that
    /// runs before that has another stack pointer.
    again: Option<Again>,
}

/// A call that will be made again.
struct Again {
    at_registers: CallSite,
    call: Call,
    /// Its index in the list of calls.
    at: usize,
    /// The script makes the process repeat the call, also if handlers run before that.
    by_script: bool,
}

struct Run<'a> {
    script: &'a Script,
    /// With `-p`: there are more processes.
    is_probe: bool,
    first: Pid,
    /// The processes that have not ended.
    processes: HashMap<Pid, Process>,
    /// Processes whose first stop was reported before their parent's fork.
    early: Vec<Pid>,
    held: Vec<(Pid, Moment)>,
    opened: Vec<bool>,
    continue_later: Vec<Pid>,
    /// The duration of the run, without the time in which this thread did not run.
    clock: Duration,
    last_event: Duration,
    signalled: Option<Duration>,
    outcome: Outcome,
}

impl Run<'_> {
    fn follow(&mut self) {
        let mut last = Instant::now();
        let mut parent_ended = None;
        // Until there are no more children to wait for. A child of a parent that was killed in fork may have its first
        // stop after all other processes have ended, and must not become a part of the next run.
        loop {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            match waitpid(None, Some(flags)) {
                Ok(status) => {
                    self.last_event = self.clock;
                    self.event(status);
                    self.release();
                }
                Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => break,
                Err(errno) => panic!("waitpid: {errno}"),
            }
            // On a busy machine this thread waits for a processor, and so do the processes. This time does not count.
            self.clock += last.elapsed().min(2 * TICK);
            last = Instant::now();
            self.when_quiet();

            if parent_ended.is_none() && self.outcome.ends.contains_key(&Role::Parent) {
                parent_ended = Some(self.clock);
            }
            let over = match parent_ended {
                None if self.clock > LIMIT && !self.outcome.hung => {
                    self.outcome.hung = true;
                    true
                }
                Some(ended) if self.clock - ended > GRACE && self.outcome.left.is_empty() => {
                    if !self.outcome.hung {
                        self.outcome.left = self.processes.values().map(|it| it.role).collect();
                    }
                    true
                }
                _ => false,
            };
            if over {
                for &pid in self.processes.keys().chain(&self.early) {
                    let _ = signal::kill(pid, Signal::SIGKILL);
                }
            }
        }
        self.outcome.after_signal = self.signalled.map(|then| self.clock - then);
    }

    fn add_process(&mut self, pid: Pid, role: Role) {
        self.outcome.pids.insert(role, pid);
        self.outcome.lives.insert(role, self.outcome.stops.len()..usize::MAX);
        let process =
            Process { role, counts: HashMap::new(), inside: None, returns: None, again: None };
        self.processes.insert(pid, process);
    }

    fn event(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::Exited(pid, status) => self.ended(pid, End::Exited(status)),
            WaitStatus::Signaled(pid, signal, _) => self.ended(pid, End::Killed(signal)),
            WaitStatus::PtraceSyscall(pid) => self.call_stop(pid),
            WaitStatus::PtraceEvent(pid, signal, event) => match event {
                libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                    let child = ptrace::getevent(pid).expect("the child's PID");
                    let child = Pid::from_raw(child as i32);
                    self.add_process(child, self.next_role());
                    if let Some(at) = self.early.iter().position(|&it| it == child) {
                        self.early.remove(at);
                        go_on(child, None);
                    }
                    go_on(pid, None);
                }
                libc::PTRACE_EVENT_STOP if !self.processes.contains_key(&pid) => {
                    self.early.push(pid);
                    self.adopt_orphans();
                }
                // A stop by SIGSTOP: the process stays stopped until it gets SIGCONT.
                libc::PTRACE_EVENT_STOP if signal != Signal::SIGTRAP => listen(pid),
                _ => go_on(pid, None),
            },
            WaitStatus::Stopped(pid, signal) => go_on(pid, Some(signal)),
            other => panic!("unexpected: {other:?}"),
        }
    }

    fn ended(&mut self, pid: Pid, end: End) {
        self.early.retain(|&it| it != pid);
        self.held.retain(|&(it, _)| it != pid);
        if let Some(process) = self.processes.remove(&pid) {
            self.outcome.ends.insert(process.role, end);
            self.outcome
                .lives
                .entry(process.role)
                .and_modify(|life| life.end = self.outcome.stops.len());
        }
        self.adopt_orphans();
    }

    /// The role of the next process.
    fn next_role(&self) -> Role {
        match self.outcome.pids.len() {
            1 => Role::Target,
            2 => Role::Tracer,
            3 if self.is_probe => Role::ThirdChild,
            4 if self.is_probe => Role::FourthChild,
            5 if self.is_probe => Role::FifthChild,
            _ => panic!(
                "the program made one more process: {:?} have been seen, {:?} is early, these ended: {:?}",
                self.outcome.pids, self.early, self.outcome.ends
            ),
        }
    }

    /// Adds the children of a parent that was killed in fork: their fork event does not come any more.
    fn adopt_orphans(&mut self) {
        if self.outcome.ends.contains_key(&Role::Parent) {
            for child in std::mem::take(&mut self.early) {
                self.add_process(child, self.next_role());
                go_on(child, None);
            }
        }
    }

    /// A process has stopped before or after a system call.
    fn call_stop(&mut self, pid: Pid) {
        // A process that was killed after its stop has no registers any more. Its end is reported next.
        let Ok(state) = registers::read(pid) else { return };
        let Some(process) = self.processes.get_mut(&pid) else { return };

        let moment = if let Some((call, at)) = process.inside.take() {
            let result = process.returns.take();
            let injected = result.is_some();
            if let Some(result) = result {
                registers::set_result(pid, result);
            }
            let result = result.unwrap_or(state.result);
            self.outcome.calls[at].result = Some(result);
            self.outcome.calls[at].injected = injected;
            if !injected && state.number == libc::SYS_write && result > 0 {
                let [stream, address, ..] = state.arguments;
                let mut bytes = vec![0; result as usize];
                let remote = [RemoteIoVec { base: address as usize, len: bytes.len() }];
                let _ = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &remote);
                if let 1 | 2 = stream {
                    let written = self.outcome.written.entry(call.role).or_default();
                    written[stream as usize - 1].append(&mut bytes);
                }
            }
            // ERESTARTSYS and the following errnos (`linux/errno.h`): the kernel repeats the call, unless a handler runs
            // first. The calls of such a handler do not change a repetition by the script.
            if !process.again.as_ref().is_some_and(|again| again.by_script) {
                let restarts = (-516..=-512).contains(&result);
                process.again = restarts.then(|| Again {
                    at_registers: state.call_site,
                    call: call.clone(),
                    at,
                    by_script: false,
                });
            }
            Moment { call, side: Side::Exit }
        } else if state.is_exit {
            // A child returns from fork, or execve has ended.
            return go_on(pid, None);
        } else {
            let (call, at) = match process.again.take() {
                Some(again) if again.at_registers == state.call_site => (again.call, again.at),
                again => {
                    process.again = again.filter(|again| again.by_script);
                    let name = label::label(pid, state.number, &state.arguments);
                    let nth = process.counts.entry(name.clone()).or_default();
                    *nth += 1;
                    let call = Call { role: process.role, name, nth: *nth };
                    self.outcome.calls.push(Seen {
                        call: call.clone(),
                        result: None,
                        injected: false,
                    });
                    (call, self.outcome.calls.len() - 1)
                }
            };
            process.inside = Some((call.clone(), at));
            Moment { call, side: Side::Entry }
        };
        for (gate, opened) in self.script.gates.iter().zip(&mut self.opened) {
            *opened |= matches!(&gate.until, Until::Reached(until) if *until == moment);
        }
        self.outcome.stops.push(moment.clone());

        self.apply_rules(pid, &moment);
        self.held.push((pid, moment));
        // A process that no gate holds continues in `release`.
    }

    /// Applies the script's rules for this moment.
    fn apply_rules(&mut self, pid: Pid, moment: &Moment) {
        let script = self.script;
        for (rule, (when, action)) in script.rules.iter().enumerate() {
            let due = match when {
                When::Once(wanted) => self.outcome.done[rule] == 0 && wanted == moment,
                When::Each(name) => moment.side == Side::Entry && moment.call.name == *name,
                When::TargetGone(name) => {
                    moment.side == Side::Exit
                        && moment.call.role == Role::Tracer
                        && moment.call.name == *name
                        && self.is_gone(Role::Target)
                }
            };
            if !due {
                continue;
            }
            let done = match *action {
                Action::Return(result) if moment.side == Side::Exit => {
                    registers::set_result(pid, result);
                    let calls = &mut self.outcome.calls;
                    let seen = calls.iter_mut().find(|seen| seen.call == moment.call).unwrap();
                    (seen.result, seen.injected) = (Some(result), true);
                    true
                }
                Action::Return(result) => {
                    registers::set_number(pid, registers::HARMLESS);
                    self.processes.get_mut(&pid).unwrap().returns = Some(result);
                    true
                }
                Action::Wait => self.wait_instead(pid, moment),
                Action::Shorten(length) => {
                    registers::set_third(pid, length);
                    true
                }
                Action::Fill(bytes) => {
                    let third = registers::read(pid).map_or(0, |state| state.arguments[2]);
                    let remote = [RemoteIoVec { base: third as usize, len: bytes.len() }];
                    process_vm_writev(pid, &[IoSlice::new(bytes)], &remote) == Ok(bytes.len())
                }
                Action::Forge(change) => {
                    let third = registers::read(pid).map_or(0, |state| state.arguments[2]);
                    let mut bytes = [0_u8; size_of::<libc::seccomp_notif>()];
                    let remote = [RemoteIoVec { base: third as usize, len: bytes.len() }];
                    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &remote);
                    // SAFETY: any bytes are a value of this structure, and so many are there.
                    let mut notif =
                        unsafe { bytes.as_ptr().cast::<libc::seccomp_notif>().read_unaligned() };
                    change(&mut notif, &self.outcome.pids);
                    // SAFETY: as above; it has no padding.
                    unsafe {
                        bytes.as_mut_ptr().cast::<libc::seccomp_notif>().write_unaligned(notif)
                    };
                    let written = process_vm_writev(pid, &[IoSlice::new(&bytes)], &remote);
                    read == Ok(bytes.len()) && written == read
                }
                Action::Signal(victim, signal) => self.signal(victim, signal),
                Action::StopAndContinue(victim) => {
                    let sent = self.signal(victim, Signal::SIGSTOP);
                    if sent {
                        self.continue_later.push(self.outcome.pids[&victim]);
                    }
                    sent
                }
            };
            self.outcome.done[rule] += usize::from(done);
        }
    }

    /// Whether all processes sleep. An uninterruptible sleep does not count: the kernel ends it, as at the exit of a process
    /// with uprobes.
    fn all_sleep(&self) -> bool {
        self.processes.keys().all(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The state follows the name, which ends with the last parenthesis (`proc_pid_stat(5)`).
            !stat.rsplit(") ").next().is_some_and(|fields| fields.starts_with(['R', 'D']))
        })
    }

    /// Whether a process has ended or is exiting.
    fn is_gone(&self, role: Role) -> bool {
        const PF_EXITING: u64 = 4;
        let Some(pid) = self.outcome.pids.get(&role) else { return false };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The flags are the seventh field after the name (`proc_pid_stat(5)`).
        let flags = stat.rsplit(") ").next().and_then(|fields| fields.split(' ').nth(6));
        self.outcome.ends.contains_key(&role)
            || flags.and_then(|flags| flags.parse().ok()).is_none_or(|it: u64| it & PF_EXITING != 0)
    }

    /// Makes a process wait for a signal after a call. Returns false if the call was not made, or a signal has already
    /// interrupted it.
    fn wait_instead(&mut self, pid: Pid, moment: &Moment) -> bool {
        let at = self.outcome.calls.iter().position(|seen| seen.call == moment.call).unwrap();
        let Some(process) = self.processes.get_mut(&pid) else { return false };
        let Ok(state) = registers::read(pid) else { return false };
        if self.outcome.calls[at].injected || process.again.is_some() {
            return false;
        }
        process.again = Some(Again {
            at_registers: state.call_site,
            call: moment.call.clone(),
            at,
            by_script: true,
        });
        registers::make_again(pid, libc::SYS_pause);
        true
    }

    /// Sends a signal to a process. Returns false if the process has ended or does not exist yet.
    fn signal(&mut self, victim: Role, signal: Signal) -> bool {
        let alive = self.processes.iter().find(|(_, process)| process.role == victim);
        let Some((&pid, _)) = alive else { return false };
        signal::kill(pid, signal).expect("kill");
        self.signalled.get_or_insert(self.clock);
        true
    }

    /// Opens the gates that wait for a process that has ended, and lets the processes continue that no gate holds.
    fn release(&mut self) {
        let script = self.script;
        for (gate, opened) in script.gates.iter().zip(&mut self.opened) {
            *opened |= match &gate.until {
                // It does not reach the moment any more.
                Until::Reached(moment) => self.outcome.ends.contains_key(&moment.call.role),
                Until::Ended(role) => self.outcome.ends.contains_key(role),
            };
        }
        let opened = &self.opened;
        self.held.retain(|(pid, moment)| {
            let is_held = script
                .gates
                .iter()
                .zip(opened)
                .any(|(gate, opened)| !opened && gate.hold == *moment);
            if !is_held {
                go_on(*pid, None);
            }
            is_held
        });
    }

    /// If nothing has happened for a while, continues a stopped process, or else opens all gates.
    fn when_quiet(&mut self) {
        let waits = !self.continue_later.is_empty() || !self.held.is_empty();
        let quiet = self.clock - self.last_event;
        if !waits || quiet < QUIET || (quiet < LONG && !self.all_sleep()) {
            return;
        }
        if let Some(pid) = self.continue_later.pop() {
            // Only if the process has not ended: its PID may be reused.
            if self.processes.contains_key(&pid) {
                let _ = signal::kill(pid, Signal::SIGCONT);
            }
            self.last_event = self.clock;
        } else if !self.held.is_empty() {
            self.opened.fill(true);
            self.outcome.forced = true;
            self.release();
        }
    }
}

/// Lets a stopped process continue to its next stop. ESRCH: it was killed meanwhile; its end is reported next.
fn go_on(pid: Pid, signal: Option<Signal>) {
    match ptrace::syscall(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("ptrace: {errno}"),
    }
}

/// Leaves a process stopped.
fn listen(pid: Pid) {
    // SAFETY: the request has no pointer arguments.
    unsafe { libc::ptrace(libc::PTRACE_LISTEN, pid.as_raw(), 0, 0) };
}

/// The instruction pointer and the stack pointer at a call.
type CallSite = (u64, u64);

/// The registers of a process that belong to a call.
pub struct Registers {
    pub number: i64,
    pub arguments: [u64; 6],
    pub call_site: CallSite,
    pub result: i64,
    pub is_exit: bool,
}

#[cfg(target_arch = "x86_64")]
mod registers {
    use super::{Errno, Pid, Registers, libc, ptrace};

    /// A call without effect. It replaces a call that must not be made.
    pub const HARMLESS: i64 = libc::SYS_getppid;

    pub fn read(pid: Pid) -> Result<Registers, Errno> {
        let registers = ptrace::getregs(pid)?;
        Ok(Registers {
            number: registers.orig_rax as i64,
            arguments: [
                registers.rdi,
                registers.rsi,
                registers.rdx,
                registers.r10,
                registers.r8,
                registers.r9,
            ],
            call_site: (registers.rip, registers.rsp),
            result: registers.rax as i64,
            // At the entry of a call, the kernel sets rax to -ENOSYS.
            is_exit: registers.rax as i64 != -i64::from(libc::ENOSYS),
        })
    }

    pub fn set_number(pid: Pid, number: i64) {
        change(pid, |registers| registers.orig_rax = number as u64);
    }

    /// Moves the process back to its call, with another number.
    pub fn make_again(pid: Pid, number: i64) {
        const INSTRUCTION: u64 = 2; // bytes
        change(pid, |registers| {
            registers.rip -= INSTRUCTION;
            registers.rax = number as u64;
        });
    }

    pub fn set_third(pid: Pid, argument: u64) {
        change(pid, |registers| registers.rdx = argument);
    }

    pub fn set_result(pid: Pid, result: i64) {
        change(pid, |registers| registers.rax = result as u64);
    }

    /// Changes the registers. A process that was just killed has none.
    fn change(pid: Pid, edit: impl Fn(&mut libc::user_regs_struct)) {
        let Ok(mut registers) = ptrace::getregs(pid) else { return };
        edit(&mut registers);
        let _ = ptrace::setregs(pid, registers);
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod registers {
    use super::{Errno, Pid, Registers};

    pub const HARMLESS: i64 = 0;

    pub fn read(_: Pid) -> Result<Registers, Errno> {
        unreachable!("every test asks `skipped` first")
    }

    pub fn set_number(_: Pid, _: i64) {}

    pub fn make_again(_: Pid, _: i64) {}

    pub fn set_third(_: Pid, _: u64) {}

    pub fn set_result(_: Pid, _: i64) {}
}
