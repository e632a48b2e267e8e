//! Runs the program under ptrace: every system call of its three processes is seen before and after
//! it is made, and a [`Script`] may answer it in the kernel's place, turn it into another, hold its
//! process back, or send a signal at that very moment. Every end of every process is recorded, so that
//! a test can tell whether what the program reports is true.
//!
//! What must come of it is not said here: see `cases.rs` for the command lines and their transcripts.
//!
//! Everything is tied to one thread: ptrace knows one tracer thread for a process, and each thread
//! waits for its own processes only (`__WNOTHREAD`), so several runs go on side by side. A timer
//! interrupts the waiting: nothing here waits without a limit, and whatever is left is killed
//! (`PTRACE_O_EXITKILL` sees to that even if the test itself dies).
#![allow(dead_code)] // no test uses all of it

pub mod cases;
mod label;

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fmt;
use std::fs::{self, File};
use std::io::{IoSlice, IoSliceMut, Read, Seek};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::thread;
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

/// Where ptrace can change a call.
const SUPPORTED: bool = cfg!(target_arch = "x86_64");

/// Whether a test that needs the injector has nothing to run with; says so then.
pub fn skipped() -> bool {
    if !SUPPORTED {
        crate::common::skipped(
            "injected failures",
            "this architecture's registers are not known to the injector",
        );
    }
    !SUPPORTED
}

/// How often the waiting is interrupted.
const TICK: Duration = Duration::from_millis(3);
/// Nothing has happened for so long, and every process sleeps: whatever waits, waits for something that
/// will not come.
const QUIET: Duration = Duration::from_millis(8);
/// How long a run may take. The injector makes no process sleep, so that an honest run takes
/// milliseconds.
pub const LIMIT: Duration = Duration::from_secs(5);
/// How long the others may outlive a process whose end must end them.
pub const GRACE: Duration = Duration::from_secs(1);

/// Which of the program's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Parent,
    Target,
    Tracer,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Parent, Self::Target, Self::Tracer];

    /// As a line of the transcript begins.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Parent => "Parent: ",
            Self::Target => "Target process: ",
            Self::Tracer => "Tracer: ",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Self::Parent => "parent",
            Self::Target => "target",
            Self::Tracer => "tracer",
        })
    }
}

/// One system call of a run: the nth, from 1, of its name by that process. A call that the kernel
/// starts again after a signal counts once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    pub role: Role,
    /// As in `ioctl(RECV)`.
    pub name: String,
    pub nth: usize,
}

impl Call {
    pub fn new(role: Role, name: &str, nth: usize) -> Self {
        Self { role, name: name.to_owned(), nth }
    }

    /// The name as the program tells it.
    pub fn plain(&self) -> &str {
        self.name.split('(').next().unwrap()
    }
}

impl fmt::Display for Call {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}'s {} #{}", self.role, self.name, self.nth)
    }
}

/// The two moments of a call at which its process stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Entry,
    Exit,
}

/// A moment of a run.
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

/// What a held process waits for.
#[derive(Clone, Debug)]
pub enum Until {
    Reached(Moment),
    Ended(Role),
}

/// Holds a process at a moment until another one has come so far: of the orders that the scheduler
/// might choose, this one.
#[derive(Clone, Debug)]
pub struct Gate {
    pub hold: Moment,
    pub until: Until,
}

/// What is done to a run.
#[derive(Clone, Debug)]
pub enum Deed {
    /// The call is not made; it returns this.
    Answer(i64),
    /// The call does not return yet: its process waits in it until a signal interrupts it (EINTR).
    Wait,
    /// The call's third argument, a length, is this.
    Shorten(u64),
    /// Behind the call, this stands where its third argument points to.
    Fill(&'static [u8]),
    Signal(Role, Signal),
    /// SIGSTOP, and SIGCONT once the others have come as far as they can.
    StopAndContinue(Role),
}

/// When it is done.
#[derive(Clone, Debug)]
pub enum When {
    Once(Moment),
    /// Before every call of that name, of whatever process.
    Each(&'static str),
    /// After every call of that name by the tracer, once the target has ended or is about to.
    TargetGone(&'static str),
}

/// All that is done to one run.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub gates: Vec<Gate>,
    pub rules: Vec<(When, Deed)>,
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

/// A call as it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub call: Call,
    /// Nothing if it never returned.
    pub result: Option<i64>,
    /// The result is the script's.
    pub injected: bool,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    pub out: Vec<u8>,
    pub err: Vec<u8>,
    /// What each process wrote to its standard output and error output, by itself: the two streams
    /// above may have the countdown torn by another's line.
    pub written: HashMap<Role, [Vec<u8>; 2]>,
    pub pids: HashMap<Role, Pid>,
    /// How each process ended, those too that had to be killed when the run was over.
    pub ends: HashMap<Role, End>,
    /// All calls, in the order in which they were entered.
    pub calls: Vec<Seen>,
    /// The moments, in their order: each was a stop.
    pub stops: Vec<Moment>,
    /// The parent did not end within the limit.
    pub hung: bool,
    /// These outlived the parent by [`GRACE`].
    pub left: Vec<Role>,
    /// For each rule, how often something was done by it. A signal to a process that is not there (any
    /// more) does not count.
    pub done: Vec<usize>,
    /// A gate had to be opened because nothing else happened.
    pub forced: bool,
    /// From the first signal of the script until the last process had ended.
    pub after_signal: Option<Duration>,
}

impl Outcome {
    /// The parent's exit status; 128 and the signal's number, as in a shell, if it was killed.
    pub fn status(&self) -> i32 {
        match self.ends.get(&Role::Parent) {
            Some(&End::Exited(status)) => status,
            Some(&End::Killed(signal)) => 128 + signal as i32,
            None => -1,
        }
    }

    /// A process died of an error in its own code.
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

/// Runs `image` with `arguments` (without its name) as the script wants it.
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
    run.adopt(first, Role::Parent);
    run.follow();
    let mut outcome = run.outcome;
    outcome.out = contents(out);
    outcome.err = contents(err);
    outcome
}

/// Does all jobs, a few at a time, and returns the results in the jobs' order.
pub fn side_by_side<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(4);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(at) else { break };
                    let result = work(job);
                    results.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|&(at, _)| at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// A handler that does nothing, so that the timer's signal interrupts the waiting and no more.
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

/// A file for a standard stream: it takes any amount, and nobody has to read at the same time.
fn memory_file() -> File {
    let file = memfd_create("output", MFdFlags::MFD_CLOEXEC).expect("a file in memory");
    // Else one process's line could overwrite another's: such a file's offset is not locked.
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND)).expect("a file that is appended to");
    file.into()
}

fn contents(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().expect("the output's beginning");
    file.read_to_end(&mut bytes).expect("the output");
    bytes
}

/// Starts the program, traced from its exec on, and without an environment.
fn start(image: &Path, arguments: &[&OsStr], streams: [i32; 2]) -> Pid {
    let image = CString::new(image.as_os_str().as_bytes()).unwrap();
    let mut argv = vec![image.clone()];
    argv.extend(arguments.iter().map(|argument| CString::new(argument.as_bytes()).unwrap()));
    let argv: Vec<_> =
        argv.iter().map(|argument| argument.as_ptr()).chain([std::ptr::null()]).collect();
    let environment = [std::ptr::null()];
    let (wait, go): (OwnedFd, OwnedFd) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");

    // SAFETY: the child makes system calls only, until it executes the program.
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
        // SAFETY: all addresses are of live memory, and the arrays end with a null pointer.
        ForkResult::Child => unsafe {
            let mut byte = 0_u8;
            libc::read(wait.as_raw_fd(), (&raw mut byte).cast(), 1);
            // The harness ignores the one; whoever started it in the background, the other.
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
    /// The call that it is in, and where that stands in the list of calls.
    inside: Option<(Call, usize)>,
    /// What the call is to return.
    answer: Option<i64>,
    /// The kernel will make the last call again, from the same place; a handler that runs before that
    /// has another stack pointer.
    again: Option<Again>,
}

/// A call that will be made again.
struct Again {
    place: Place,
    call: Call,
    /// Where it stands in the list of calls.
    at: usize,
    /// It is the script that has it made: whatever handlers run before that, it comes.
    by_script: bool,
}

struct Run<'a> {
    script: &'a Script,
    first: Pid,
    /// Those that live.
    processes: HashMap<Pid, Process>,
    /// They stopped before their parent's fork was heard of.
    early: Vec<Pid>,
    held: Vec<(Pid, Moment)>,
    opened: Vec<bool>,
    continue_later: Vec<Pid>,
    /// How long the run has taken, as far as this thread could see.
    clock: Duration,
    last_event: Duration,
    signalled: Option<Duration>,
    outcome: Outcome,
}

impl Run<'_> {
    fn follow(&mut self) {
        let mut last = Instant::now();
        let mut parent_ended = None;
        // Until there is nobody to wait for: a child of a parent that was killed in fork may not have
        // stopped for the first time yet when all others have ended, and the next run must not find it.
        loop {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            match waitpid(None, Some(flags)) {
                Ok(status) => {
                    self.last_event = self.clock;
                    self.event(status);
                    self.offer_again();
                }
                Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => break,
                Err(errno) => panic!("waitpid: {errno}"),
            }
            // On a machine so busy that this thread has to wait for its turn, so have the others.
            self.clock += last.elapsed().min(2 * TICK);
            last = Instant::now();
            self.quiet();

            // Time limits.
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

    fn adopt(&mut self, pid: Pid, role: Role) {
        self.outcome.pids.insert(role, pid);
        let process =
            Process { role, counts: HashMap::new(), inside: None, answer: None, again: None };
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
                    self.adopt(child, self.next_role());
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
                // A true stop: the process stays where it is until SIGCONT comes.
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
        }
        self.adopt_orphans();
    }

    /// Who comes next.
    fn next_role(&self) -> Role {
        match self.outcome.pids.len() {
            1 => Role::Target,
            2 => Role::Tracer,
            _ => panic!(
                "the program made a fourth process: {:?} have been seen, {:?} is early, these ended: {:?}",
                self.outcome.pids, self.early, self.outcome.ends
            ),
        }
    }

    /// Of the child of a parent that was killed in fork, nobody tells any more.
    fn adopt_orphans(&mut self) {
        if self.outcome.ends.contains_key(&Role::Parent) {
            for child in std::mem::take(&mut self.early) {
                self.adopt(child, self.next_role());
                go_on(child, None);
            }
        }
    }

    /// A process stands before or behind a system call.
    fn call_stop(&mut self, pid: Pid) {
        // Killed between its stop and now, it has no registers any more; its end will be heard of.
        let Ok(state) = registers::read(pid) else { return };
        let Some(process) = self.processes.get_mut(&pid) else { return };

        let moment = if let Some((call, at)) = process.inside.take() {
            let result = process.answer.take();
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
            // ERESTARTSYS and its like (`linux/errno.h`): unless a handler comes in between, the
            // kernel goes back to the call.
            // A handler's own calls are none that the script has made again.
            if !process.again.as_ref().is_some_and(|again| again.by_script) {
                let restarts = (-516..=-512).contains(&result);
                process.again = restarts.then(|| Again {
                    place: state.place,
                    call: call.clone(),
                    at,
                    by_script: false,
                });
            }
            Moment { call, side: Side::Exit }
        } else if state.is_exit {
            // A child's return from fork, or the end of execve.
            return go_on(pid, None);
        } else {
            let (call, at) = match process.again.take() {
                Some(again) if again.place == state.place => (again.call, again.at),
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
        self.outcome.stops.push(moment.clone());

        self.obey(pid, &moment);
        self.held.push((pid, moment));
        // Whoever is held by no gate goes on in `offer_again`.
    }

    /// Does what the script wants at this moment.
    fn obey(&mut self, pid: Pid, moment: &Moment) {
        let script = self.script;
        for (rule, (when, deed)) in script.rules.iter().enumerate() {
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
            let done = match *deed {
                Deed::Answer(result) => {
                    registers::set_number(pid, registers::HARMLESS);
                    self.processes.get_mut(&pid).unwrap().answer = Some(result);
                    true
                }
                Deed::Wait => self.wait_instead(pid, moment),
                Deed::Shorten(length) => {
                    registers::set_third(pid, length);
                    true
                }
                Deed::Fill(bytes) => {
                    let third = registers::read(pid).map_or(0, |state| state.arguments[2]);
                    let remote = [RemoteIoVec { base: third as usize, len: bytes.len() }];
                    process_vm_writev(pid, &[IoSlice::new(bytes)], &remote) == Ok(bytes.len())
                }
                Deed::Signal(victim, signal) => self.signal(victim, signal),
                Deed::StopAndContinue(victim) => {
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

    /// Whether no process has anything to do. One whose sleep nothing can interrupt has: the kernel wakes it, as at the
    /// end of a process under probes.
    fn all_sleep(&self) -> bool {
        self.processes.keys().all(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // Behind the name, which ends with the last parenthesis (`proc_pid_stat(5)`).
            !stat.rsplit(") ").next().is_some_and(|fields| fields.starts_with(['R', 'D']))
        })
    }

    /// Whether a process has ended or is about to.
    fn is_gone(&self, role: Role) -> bool {
        const PF_EXITING: u64 = 4;
        let Some(pid) = self.outcome.pids.get(&role) else { return false };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The flags are the seventh field behind the name (`proc_pid_stat(5)`).
        let flags = stat.rsplit(") ").next().and_then(|fields| fields.split(' ').nth(6));
        self.outcome.ends.contains_key(&role)
            || flags.and_then(|flags| flags.parse().ok()).is_none_or(|it: u64| it & PF_EXITING != 0)
    }

    /// Makes a call that has been made wait for a signal, too. False if it was not made, or signals
    /// have interrupted it already.
    fn wait_instead(&mut self, pid: Pid, moment: &Moment) -> bool {
        let at = self.outcome.calls.iter().position(|seen| seen.call == moment.call).unwrap();
        let Some(process) = self.processes.get_mut(&pid) else { return false };
        let Ok(state) = registers::read(pid) else { return false };
        if self.outcome.calls[at].injected || process.again.is_some() {
            return false;
        }
        process.again =
            Some(Again { place: state.place, call: moment.call.clone(), at, by_script: true });
        registers::make_again(pid, libc::SYS_pause);
        true
    }

    /// Sends a signal to a process that has not ended; false if it has, or has not begun.
    fn signal(&mut self, victim: Role, signal: Signal) -> bool {
        let alive = self.processes.iter().find(|(_, process)| process.role == victim);
        let Some((&pid, _)) = alive else { return false };
        signal::kill(pid, signal).expect("kill");
        self.signalled.get_or_insert(self.clock);
        true
    }

    /// Lets go on whom no gate holds any longer.
    fn offer_again(&mut self) {
        let script = self.script;
        for (gate, opened) in script.gates.iter().zip(&mut self.opened) {
            *opened |= match &gate.until {
                // Ended, it will not come there any more.
                Until::Reached(moment) => {
                    self.outcome.stops.contains(moment)
                        || self.outcome.ends.contains_key(&moment.call.role)
                }
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

    /// Nothing has happened for a while: what was to wait for that goes on.
    fn quiet(&mut self) {
        let waits = !self.continue_later.is_empty() || !self.held.is_empty();
        if !waits || self.clock - self.last_event < QUIET || !self.all_sleep() {
            return;
        }
        if let Some(pid) = self.continue_later.pop() {
            // Its number may be somebody else's by now.
            if self.processes.contains_key(&pid) {
                let _ = signal::kill(pid, Signal::SIGCONT);
            }
            self.last_event = self.clock;
        } else if !self.held.is_empty() {
            self.opened.fill(true);
            self.outcome.forced = true;
            self.offer_again();
        }
    }
}

/// Lets a stopped process go on to its next stop. One that was killed meanwhile cannot, and its
/// end will be heard of.
fn go_on(pid: Pid, signal: Option<Signal>) {
    match ptrace::syscall(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("ptrace: {errno}"),
    }
}

/// Leaves a process in its stop.
fn listen(pid: Pid) {
    // SAFETY: touches no memory of this process.
    unsafe { libc::ptrace(libc::PTRACE_LISTEN, pid.as_raw(), 0, 0) };
}

/// Where a call is made: the instruction pointer and the stack pointer.
type Place = (u64, u64);

/// A process's registers, as far as a call is concerned.
pub struct Registers {
    pub number: i64,
    pub arguments: [u64; 6],
    pub place: Place,
    pub result: i64,
    pub is_exit: bool,
}

#[cfg(target_arch = "x86_64")]
mod registers {
    use super::{Errno, Pid, Registers, libc, ptrace};

    /// A call that changes nothing. (The number -1, which makes none, would be killed by the
    /// program's own filter: to a filter it is one of x32's numbers.)
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
            place: (registers.rip, registers.rsp),
            result: registers.rax as i64,
            // On the way in, the kernel has put this there.
            is_exit: registers.rax as i64 != -i64::from(libc::ENOSYS),
        })
    }

    pub fn set_number(pid: Pid, number: i64) {
        change(pid, |registers| registers.orig_rax = number as u64);
    }

    /// Goes back to the call, with another number.
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

    /// A process that has just been killed has no registers to change.
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
