//! The probe: tries each thing that a supervisor may want of this system, and prints a line for each.
//!
//! This process is the supervisor. Each of its children is a target: it installs a filter of its own and makes the
//! notified call again and again. In the mode, an argument of the call, it tells what the call before returned. So
//! one notification brings the result of the last answer, and is the next call that can be answered.
//!
//! Every wait has a limit: SIGALRM interrupts it again and again, and this process looks then whether there is
//! still something to wait for.

use crate::abi::{
    Request, Response, SECCOMP_ADDFD_FLAG_SEND, SECCOMP_ADDFD_FLAG_SETFD,
    SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, SECCOMP_USER_NOTIF_FLAG_CONTINUE, SIGALRM, SIGKILL,
    SIGSYS, Timespec, Utsname, WNOHANG, WUNTRACED, nr, seccomp_notif_addfd,
};
use crate::arch;
use crate::children::{self, Ended, tell_ended};
use crate::fmt::{Arg, Buffer, Message};
use crate::listener::Listener;
use crate::memory;
use crate::messages::{self, Text};
use crate::names;
use crate::print::write_all;
use crate::report::{self, Process, status};
use crate::signals;
use crate::sys::{self, CStrRef, Caller, Errno, Error, Fd, Fork, Operation, Pid, Received};
use crate::target;

const ME: Process = Process::Parent;

/// The time between two alarms, in microseconds.
const BETWEEN_ALARMS: i32 = 20_000;
/// After so many alarms a child that is alive is waited for no longer: two seconds, since the machine may be busy.
const PATIENCE: u32 = 100;
/// So often a child may be stopped and continued while one thing is tried.
const STOPS: u32 = 20;

/// The path of every notified call, with its NUL. If the kernel makes the call, it answers EEXIST, and nothing changes.
const PATH: [u8; 2] = *b"/\0";
/// The value that the notified call returns if the supervisor makes it up. The kernel's own is 0.
const VALUE: u32 = 2_019_000_000;

/// Something that a supervisor may want.
struct Thing {
    name: Text,
    /// What it cannot be tried without.
    needs: Part,
    /// What others have only if this works.
    gives: Part,
    /// The first Linux that has it, if that is later than 5.0.
    since: Option<(u8, u8)>,
    attempt: fn(&mut Child) -> sys::Result<()>,
}

/// A part of what a supervisor does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// None.
    Nothing,
    /// The listener.
    Listener,
    /// A call that waits for its answer.
    Call,
    /// An answer that arrives.
    Answer,
    /// A descriptor in the child.
    Descriptor,
    /// The child's memory: one of two things is enough.
    Memory,
}

/// All things, in the order of their lines. They are tried with one child, but for those that want a child of their
/// own.
const THINGS: [Thing; 15] = {
    use Part::{Answer, Call, Descriptor, Listener, Memory, Nothing};
    [
        thing(messages::LISTENER, Nothing, Listener, None, Child::listen),
        thing(messages::RECEIVE, Listener, Call, None, Child::receive),
        thing(messages::ID_VALID, Call, Nothing, None, try_id_valid),
        thing(messages::SEND, Call, Answer, None, try_send),
        thing(messages::CONTINUE, Call, Nothing, Some((5, 5)), try_continue),
        thing(messages::ADD_FD, Call, Descriptor, Some((5, 9)), try_add_fd),
        thing(messages::ADD_FD_SEND, Descriptor, Nothing, Some((5, 14)), try_add_fd_send),
        thing(messages::THREAD_SYNC, Call, Nothing, Some((5, 7)), try_thread_sync),
        thing(messages::WAIT_KILLABLE, Answer, Nothing, Some((5, 19)), try_wait_killable),
        thing(messages::SYNC_WAKE_UP, Listener, Nothing, Some((6, 6)), try_sync_wake_up),
        thing(messages::END_TOLD, Call, Nothing, Some((6, 11)), try_end_told),
        thing(messages::PROCESS_VM_READV, Call, Memory, None, try_process_vm_readv),
        thing(messages::PROC_MEM, Call, Memory, None, try_proc_mem),
        thing(messages::PIDFD_GETFD, Call, Nothing, Some((5, 6)), try_pidfd_getfd),
        thing(messages::PID_VISIBLE, Call, Nothing, None, try_pid_visible),
    ]
};

const fn thing(
    name: Text,
    needs: Part,
    gives: Part,
    since: Option<(u8, u8)>,
    attempt: fn(&mut Child) -> sys::Result<()>,
) -> Thing {
    Thing { name, needs, gives, since, attempt }
}

/// Fails if the call with this number succeeded, but what it did is wrong.
fn check(is_right: bool, call: u32) -> sys::Result<()> {
    if is_right { Ok(()) } else { Err(Error::new(call, Errno::NONE)) }
}

/// Room for all lines, with the longest errors and reasons.
const LENGTH: usize = 4096;

/// Tries everything and prints the lines, in one write: whoever has read the one that he looks for may close the pipe.
/// Returns the exit status.
#[inline(never)] // inlined, its buffer would be a part of every run's stack
pub fn run() -> u32 {
    children::prepare();
    // Before alarms are let through: one may be waiting, or be sent by a timer from before the start.
    signals::handle(ME, SIGALRM, Some(on_alarm));
    signals::send_alarms(ME, BETWEEN_ALARMS);
    signals::block(ME, 0);

    let mut memory = [0; LENGTH];
    let mut lines = Buffer::new(&mut memory);
    put_system(&mut lines);
    let mut child = Child::NONE;
    let status = child.make(0).and_then(|()| try_all(&mut child, &mut lines));
    child.end();
    write_all(Fd::STDOUT, lines.finish().unwrap_or_default())
        .unwrap_or_else(|error| ME.fail(error));
    if child.bad_end != Ended::WELL {
        return tell_ended(messages::THE_TARGET, child.bad_end);
    }
    status.unwrap_or_else(|error| ME.fail(error))
}

/// The handler of SIGALRM, here and in the children: the signal only interrupts a call.
extern "C" fn on_alarm(_: i32) {}

/// Makes a process, in which alarms are blocked. Here they are held back meanwhile: where each call takes long, as under
/// some tracers, an alarm would end this one again and again.
fn fork() -> sys::Result<Fork> {
    signals::block(ME, signals::FROM_PARENT);
    let forked = sys::fork().result();
    if forked != Ok(Fork::Child) {
        signals::block(ME, 0);
    }
    forked
}

/// Puts a line.
fn put(lines: &mut Buffer, template: Text, args: &[Arg]) {
    lines.put_message(messages::EMPTY, &Message { template, args });
}

/// Puts the system's name, release and machine.
fn put_system(lines: &mut Buffer) {
    let mut system = Utsname::ZERO;
    sys::uname(&mut system).or_fail(ME);
    lines.put_text(messages::PROBE_SYSTEM);
    for name in [&system.sysname, &system.release, &system.machine] {
        if let Some((name, _)) = CStrRef::split_from(name) {
            put(lines, messages::PROBE_SYSTEM_NAME, &[Arg::Quoted(name)]);
        }
    }
    lines.put_text(messages::END_OF_LINE);
}

/// Tries each thing and puts its line. Returns the exit status.
///
/// # Errors
/// One that says nothing about what this system offers. If a child has ended otherwise than it should, the status
/// and the error mean nothing.
fn try_all(child: &mut Child, lines: &mut Buffer) -> sys::Result<u32> {
    // For each part the thing that failed, so that the part is missing. Nothing is never missing.
    let mut obstacles = [None; Part::Memory as usize + 1];
    let mut memory = false;
    for thing in &THINGS {
        let name = Arg::Text(thing.name);
        let mut obstacle = obstacles.get(thing.needs as usize).copied().flatten();
        if let Some(other) = obstacle {
            put(lines, messages::PROBE_UNTRIED, &[name, Arg::Text(other)]);
        } else {
            let waited = child.waits;
            match child.attempt(thing.attempt) {
                Ok(()) => {
                    put(lines, messages::PROBE_YES, &[name]);
                    memory |= thing.gives == Part::Memory;
                }
                Err(error) => {
                    child.has_ended();
                    if child.bad_end != Ended::WELL || report::hint(error).is_none() {
                        return Err(error);
                    }
                    put_no(lines, thing, error);
                    obstacle = Some(thing.name);
                    if waited && !child.waits {
                        // The child's call is gone, and none has come.
                        obstacles[Part::Call as usize] = obstacle;
                    }
                }
            }
        }
        if obstacle.is_some() && thing.gives != Part::Nothing {
            obstacles[thing.gives as usize] = obstacle;
        }
    }
    // Whoever can send can receive.
    if memory && obstacles[Part::Answer as usize].is_none() {
        return Ok(status::SUCCESS);
    }
    Ok(status::UNSUPPORTED)
}

/// Puts that a thing does not work: the call that failed, why, and what the program knows of the reason.
fn put_no(lines: &mut Buffer, thing: &Thing, error: Error) {
    let call = Arg::Text(names::call(error.call()));
    let errno = match error.errno() {
        Errno::NONE => Arg::Text(messages::PROBE_WRONG),
        Errno::KILLED => Arg::Text(messages::PROBE_KILLED),
        errno => Arg::Errno(errno),
    };
    put(lines, messages::PROBE_NO, &[Arg::Text(thing.name), call, errno]);
    let is_unknown = match error.errno() {
        Errno::EINVAL | Errno::ENOSYS => true,
        // It was waited for, and only an alarm came.
        errno => errno == Errno::EINTR && thing.name == messages::END_TOLD,
    };
    if let (true, Some((major, minor))) = (is_unknown, thing.since) {
        let version = &[Arg::Dec(major.into()), Arg::Dec(minor.into())];
        return put(lines, messages::PROBE_NEEDS_LINUX, version);
    }
    let hint = match (error.call(), error.errno()) {
        (nr::__NR_seccomp, _) => report::hint(error).unwrap_or(messages::EMPTY),
        (nr::__NR_readlinkat | nr::__NR_openat, Errno::ENOENT | Errno::ENOTDIR) => {
            messages::HINT_PROC
        }
        (
            nr::__NR_process_vm_readv | nr::__NR_openat | nr::__NR_pread64 | nr::__NR_pidfd_getfd,
            Errno::EPERM | Errno::EACCES,
        ) => messages::HINT_MEMORY,
        // Nothing else refuses the calls that are left.
        (_, Errno::KILLED | Errno::EPERM | Errno::EACCES) => messages::HINT_SANDBOX,
        _ => return lines.put_text(messages::END_OF_LINE),
    };
    put(lines, messages::PROBE_REASON, &[Arg::Text(hint)]);
}

/// Checks the ID of the waiting call, and that another ID is refused.
fn try_id_valid(child: &mut Child) -> sys::Result<()> {
    let (listener, id) = (child.listener()?, child.request.notif.id);
    listener.check_id(&id)?;
    match listener.check_id(&!id) {
        Err(error) if error.is(Errno::ENOENT) => Ok(()),
        result => result.and(check(false, nr::__NR_ioctl)),
    }
}

/// Makes up what the call returns.
fn try_send(child: &mut Child) -> sys::Result<()> {
    child.answer(VALUE, 0, MADE_UP)
}

/// Lets the call go on in the kernel.
fn try_continue(child: &mut Child) -> sys::Result<()> {
    child.answer(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE, EXISTS)
}

/// Puts a descriptor into the child, which closes it.
fn try_add_fd(child: &mut Child) -> sys::Result<()> {
    child.add_fd(0)?;
    child.answer(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE, EXISTS | CLOSED)
}

/// The same, and the call returns the descriptor's number without a further answer.
fn try_add_fd_send(child: &mut Child) -> sys::Result<()> {
    child.add_fd(SECCOMP_ADDFD_FLAG_SEND)?;
    child.expect(NUMBER | CLOSED)
}

/// Installs the filter for all threads.
fn try_thread_sync(child: &mut Child) -> sys::Result<()> {
    child.try_with_other(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, |_| Ok(()))
}

/// Sends the child a signal while its call waits. Without the flag, that would end the call.
fn try_wait_killable(child: &mut Child) -> sys::Result<()> {
    child.try_with_other(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, |other| {
        sys::kill(other.pid, SIGALRM).result()?;
        pause(1_000_000);
        try_send(other)
    })
}

/// Sets the listener's flag.
fn try_sync_wake_up(child: &mut Child) -> sys::Result<()> {
    child.listener().and_then(|listener| listener.wake_synchronously())
}

/// Waits for a notification when the only process under the filter has ended.
fn try_end_told(child: &mut Child) -> sys::Result<()> {
    child.try_with_other(0, |other| {
        other.kill();
        let listener = other.listener()?;
        let mut result = listener.receive_once(&mut other.request);
        // An alarm may have ended the wait, or a call that went away unseen. Once more tells.
        if result.is_err_and(|error| error.is(Errno::EINTR) || error.is(Errno::ENOENT)) {
            result = listener.receive_once(&mut other.request);
        }
        match result {
            Err(error) if error.is(Errno::ENOENT) => Ok(()),
            result => result.and(check(false, nr::__NR_ioctl)),
        }
    })
}

/// Reads the path of the waiting call, in one way.
fn try_process_vm_readv(child: &mut Child) -> sys::Result<()> {
    child.read_path(sys::process_vm_readv, nr::__NR_process_vm_readv)
}

/// The same in the other way.
fn try_proc_mem(child: &mut Child) -> sys::Result<()> {
    child.read_path(memory::read_file, nr::__NR_pread64)
}

/// Fetches a descriptor of the child. That is done by a process of its own, since it is killed for it where a sandbox
/// kills for what debuggers do (systemd's @system-service).
fn try_pidfd_getfd(child: &mut Child) -> sys::Result<()> {
    let process = sys::pidfd_open(child.pid).result()?;
    let forked = fork();
    if let Ok(Fork::Child) = forked {
        let fetched = sys::pidfd_getfd(process, Fd::STDOUT).result();
        sys::exit_group(fetched.map_or_else(|error| error.errno().number(), |_| status::SUCCESS))
    }
    sys::close(process).result()?;
    let mut ended = Ended::NOT_YET;
    if let Fork::Parent(pid) = forked? {
        while let Err(error) = ended.wait_once(pid) {
            if !error.is(Errno::EINTR) {
                ME.fail(error)
            }
            child.interrupted += 1;
            if child.interrupted >= PATIENCE {
                // It is stopped, say: no answer.
                sys::kill(pid, SIGKILL).or_fail(ME);
                ended.wait(pid, 0);
                return Err(Error::new(error.call(), Errno::EAGAIN));
            }
        }
    }
    let errno = match ended.exit_status() {
        Some(status::SUCCESS) => return Ok(()),
        Some(number) => Errno::new(number),
        None if ended.signal() == SIGSYS => Errno::KILLED,
        None => {
            child.bad_end = ended;
            Errno::NONE
        }
    };
    Err(Error::new(nr::__NR_pidfd_getfd, errno))
}

/// Looks whom the notification names.
fn try_pid_visible(child: &mut Child) -> sys::Result<()> {
    check(child.request.notif.pid == child.pid.0, nr::__NR_ioctl)
}

/// Waits so many nanoseconds, or until an alarm. The result is ignored: nothing depends on this time.
fn pause(nanoseconds: i32) {
    let mut time = Timespec { tv_sec: 0, tv_nsec: nanoseconds.into() };
    let _ = sys::nanosleep(&mut time).once();
}

// What a child tells of its call, as a mode: without the set-ID bits, which a sandbox may refuse (systemd's
// RestrictSUIDSGID).

/// It returned [`VALUE`].
const MADE_UP: u32 = 1;
/// It returned the number of the descriptor that the parent puts there.
const NUMBER: u32 = 2;
/// The kernel made it, and it failed with EEXIST.
const EXISTS: u32 = 4;
/// It returned something else.
const OTHER: u32 = 8;
/// Besides, there was that descriptor after the call, and it was closed.
const CLOSED: u32 = 16;
/// Set in every second call: a call without its turn is the one before, which has come again.
const TURN: u32 = 32;

/// A child of the probe: a target.
struct Child {
    pid: Pid,
    ended: Ended,
    /// How this child ended, or another one, if it was otherwise than it should.
    bad_end: Ended,
    /// How often a wait for this child was interrupted.
    interrupted: u32,
    /// This process's end of the socket pair. In the child the descriptor with this number is closed.
    socket: Fd,
    listener: Option<Listener>,
    /// The call that was received last.
    request: Request,
    /// Whether it waits for its answer.
    waits: bool,
    /// Whether it is the call before once more, whose answer the child has not got.
    came_again: bool,
}

impl Child {
    /// Not made yet. There is nothing to end.
    const NONE: Self = Self {
        pid: Pid::NOT_VISIBLE,
        ended: Ended::WELL,
        bad_end: Ended::WELL,
        interrupted: 0,
        socket: Fd(0), // all is 0, which takes no room in the file
        listener: None,
        request: Request::ZERO,
        waits: false,
        came_again: false,
    };

    /// Makes the child, which installs its filter with these flags beside `NEW_LISTENER`.
    fn make(&mut self, flags: u32) -> sys::Result<()> {
        let me = sys::getpid().result()?;
        let mut pair = [Fd(-1); 2];
        sys::socketpair(&mut pair).result()?;
        let [socket, childs_end] = pair;
        match fork()? {
            Fork::Child => be_target(flags, me, socket, childs_end),
            Fork::Parent(pid) => {
                (self.pid, self.ended, self.socket) = (pid, Ended::NOT_YET, socket);
                // The result is ignored: with a copy of the child's end here, it only takes longer until this
                // process notices that the child has ended.
                let _ = sys::close(childs_end).result();
                Ok(())
            }
        }
    }

    /// Tries something, and again if the call went away meanwhile and comes again, since the child was stopped and
    /// continued.
    fn attempt(&mut self, attempt: fn(&mut Self) -> sys::Result<()>) -> sys::Result<()> {
        for _ in 0..STOPS {
            self.came_again = false;
            match attempt(self) {
                Err(_) if self.came_again => {}
                // EINPROGRESS: this process was stopped while the kernel did what it now was asked for once more.
                Err(error) if error.is(Errno::EINPROGRESS) || self.went_away() => {
                    // If no call comes again, that it went away is the reason, unless the child stays stopped.
                    self.receive().map_err(|it| if it.is(Errno::EAGAIN) { it } else { error })?;
                }
                result => return result,
            }
        }
        attempt(self)
    }

    /// Whether the call that waited does not wait any more.
    fn went_away(&self) -> bool {
        let result = self.listener().and_then(|it| it.check_id(&self.request.notif.id));
        self.waits && result.is_err_and(|error| error.is(Errno::ENOENT))
    }

    /// Tries something with another child, which installs its filter with these flags.
    fn try_with_other(
        &mut self,
        flags: u32,
        attempt: fn(&mut Self) -> sys::Result<()>,
    ) -> sys::Result<()> {
        let mut other = Self::NONE;
        let result = other
            .make(flags)
            .and_then(|()| other.listen())
            .and_then(|()| other.receive())
            .and_then(|()| other.attempt(attempt));
        other.end();
        if other.bad_end != Ended::WELL {
            self.bad_end = other.bad_end;
        }
        result
    }

    /// Receives the listener.
    fn listen(&mut self) -> sys::Result<()> {
        loop {
            let why = match sys::recvmsg_once(self.socket) {
                Ok(Received::Descriptor(fd)) => {
                    self.listener = Some(Listener::new(fd)?);
                    return Ok(());
                }
                Ok(Received::NoDescriptor(told)) => {
                    let taken_out = Error::new(nr::__NR_recvmsg, Errno::EACCES);
                    return Err(Error::from_bytes(told).unwrap_or(taken_out));
                }
                Ok(Received::EndOfStream) => Error::new(nr::__NR_recvmsg, Errno::NONE),
                Err(error) if error.is(Errno::EINTR) => error,
                Err(error) => return Err(error),
            };
            self.go_on_waiting(why)?;
        }
    }

    /// The listener. Nothing that needs it is tried without it.
    fn listener(&self) -> sys::Result<Listener> {
        self.listener.ok_or(Error::new(nr::__NR_recvmsg, Errno::NONE))
    }

    /// Receives the notification of the child's next call.
    fn receive(&mut self) -> sys::Result<()> {
        self.waits = false;
        let listener = self.listener()?;
        loop {
            match listener.receive_once(&mut self.request) {
                Ok(()) => {
                    self.waits = self.request.notif.data.nr == arch::NOTIFIED.number as i32;
                    return check(self.waits, nr::__NR_ioctl);
                }
                // ENOENT: the call went away, or the child ends just now.
                Err(error) if error.is(Errno::EINTR) || error.is(Errno::ENOENT) => {
                    self.go_on_waiting(error)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// After a wait that brought nothing: fails if the child has ended, with the error that it told, or if it has
    /// been waited for long enough.
    fn go_on_waiting(&mut self, why: Error) -> sys::Result<()> {
        if self.has_ended() {
            return Err(match sys::recvmsg_once(self.socket)? {
                Received::NoDescriptor(told) => Error::from_bytes(told).unwrap_or(why),
                _ => why,
            });
        }
        self.interrupted += 1;
        if self.interrupted >= PATIENCE {
            // That the listener does not come, or no call of a child that is stopped, says nothing of this system.
            let mut ended = Ended::NOT_YET;
            ended.wait(self.pid, WNOHANG | WUNTRACED);
            let is_no_answer = self.listener.is_none() || ended != Ended::NOT_YET;
            let errno = if is_no_answer { Errno::EAGAIN } else { why.errno() };
            return Err(Error::new(why.call(), errno));
        }
        if !why.is(Errno::EINTR) {
            pause(BETWEEN_ALARMS * 1000);
        }
        Ok(())
    }

    /// Answers the waiting call, of which the child should then tell this.
    fn answer(&mut self, value: u32, flags: u32, told: u32) -> sys::Result<()> {
        let mut response = Response::new(self.request.notif.id);
        response.resp.val = value.into();
        response.resp.flags = flags;
        self.listener()?.send(&response)?;
        self.expect(told)
    }

    /// Receives the next call, with which the child tells of the one before.
    fn expect(&mut self, told: u32) -> sys::Result<()> {
        let before = self.told();
        self.receive()?;
        self.came_again = (self.told() ^ before) & TURN == 0;
        check(self.told() & !TURN == told, arch::NOTIFIED.number)
    }

    /// What the child tells with its call.
    fn told(&self) -> u32 {
        self.request.notif.data.args[arch::MODE_INDEX] as u32
    }

    /// Puts a copy of this process's end of the socket pair into the child, under the same number.
    fn add_fd(&self, flags: u32) -> sys::Result<Fd> {
        let (listener, number) = (self.listener()?, self.socket.0.cast_unsigned());
        let fd = seccomp_notif_addfd {
            id: self.request.notif.id,
            flags: SECCOMP_ADDFD_FLAG_SETFD | flags,
            srcfd: number,
            newfd: number,
            newfd_flags: 0,
        };
        // Alarms are held back as in `fork`. This call, too, ends without them.
        signals::block(ME, signals::FROM_PARENT);
        let added = listener.add_fd(&fd);
        signals::block(ME, 0);
        added
    }

    /// Reads the path of the waiting call with this function, whose last call has this number.
    fn read_path(
        &self,
        read: fn(Pid, &mut [u8], u64) -> sys::Result<usize>,
        call: u32,
    ) -> sys::Result<()> {
        let notif = &self.request.notif;
        let mut bytes = [0; PATH.len()];
        read(Pid(notif.pid), &mut bytes, notif.data.args[arch::PATH_INDEX])?;
        check(bytes == PATH, call)
    }

    /// Whether the child has ended.
    fn has_ended(&mut self) -> bool {
        if self.ended == Ended::NOT_YET {
            self.ended.wait(self.pid, WNOHANG);
            if self.ended != Ended::NOT_YET {
                self.bad_end = self.ended;
            }
        }
        self.ended != Ended::NOT_YET
    }

    /// Ends the child, if it was made and has not ended, waits for it, and closes what belongs to it.
    fn end(&mut self) {
        if self.pid == Pid::NOT_VISIBLE {
            return;
        }
        if !self.has_ended() {
            self.kill();
        }
        // The results are ignored: a descriptor that stays open only takes room.
        let _ = sys::close(self.socket).result();
        let _ = self.listener.map(Listener::close);
    }

    /// Ends the child and waits for it.
    fn kill(&mut self) {
        sys::kill(self.pid, SIGKILL).or_fail(ME);
        self.ended.wait(self.pid, 0);
        self.waits = false;
    }
}

/// What a child does: it makes calls until one fails, and tells the error.
fn be_target(flags: u32, parent: Pid, parents_end: Fd, socket: Fd) -> ! {
    let Err(error) = make_calls(flags, parent, parents_end, socket);
    let told = sys::write(socket, &error.to_bytes()).result();
    sys::exit_group(if told.is_ok() { status::SUCCESS } else { status::CHILD_FAILED })
}

/// Installs the filter, sends the listener away and makes the notified call again and again.
///
/// # Errors
/// The first error of a call, or any but EEXIST of the notified one.
fn make_calls(
    flags: u32,
    parent: Pid,
    parents_end: Fd,
    socket: Fd,
) -> sys::Result<core::convert::Infallible> {
    sys::prctl(Operation::SET_PDEATHSIG, SIGKILL).result()?;
    sys::rt_sigprocmask(&signals::OUTPUT).result()?;
    // If the parent had ended before, the other end is closed now, and the message cannot be sent.
    sys::close(parents_end).result()?;
    let listener = target::install_filter(flags, parent)?;
    sys::sendmsg(socket, listener)?;
    sys::close(listener).result()?;

    // A copy on the stack: in the parent, its address means something else.
    let path = PATH;
    let Some((path, _)) = CStrRef::split_from(&path) else {
        return Err(Error::new(arch::NOTIFIED.number, Errno::ENAMETOOLONG));
    };
    let (mut told, mut turn) = (0, 0);
    loop {
        told = match sys::mkdir(path, told | turn).once() {
            Ok(value) if value == VALUE as usize => MADE_UP,
            Ok(value) if value == parents_end.0 as usize => NUMBER,
            Ok(_) => OTHER,
            Err(error) if error.is(Errno::EEXIST) => EXISTS,
            Err(error) => return Err(error),
        };
        if sys::close(parents_end).result().is_ok() {
            told |= CLOSED;
        }
        turn ^= TURN;
    }
}
