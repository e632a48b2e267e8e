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
    SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, SECCOMP_USER_NOTIF_FLAG_CONTINUE, SIGALRM, SIGKILL,
    Timespec, Utsname, WNOHANG, nr, seccomp_notif_addfd,
};
use crate::arch;
use crate::children::{self, Ended, tell_ended};
use crate::filter::{Action, program};
use crate::fmt::{Arg, Buffer, Message};
use crate::listener::Listener;
use crate::memory;
use crate::messages::{self, Text};
use crate::names;
use crate::report::{self, Process, status};
use crate::signals;
use crate::sys::{self, CStrRef, Caller, Errno, Error, Fd, Fork, Operation, Pid, Received};
use crate::target;

const ME: Process = Process::Parent;

/// The time between two alarms, in microseconds.
const BETWEEN_ALARMS: u32 = 20_000;
/// After so many alarms a child that is alive is waited for no longer: two seconds, since the machine may be busy.
const PATIENCE: usize = 100;

/// The path of every notified call. If the kernel makes the call, it answers EEXIST, and nothing changes.
const PATH: CStrRef = CStrRef::new(c"/././.");
/// The number of bytes of [`PATH`], its NUL included.
const PATH_LENGTH: usize = 7;
/// The value that the notified call returns if the supervisor makes it up. The kernel's own is 0.
const VALUE: u32 = 2019;

/// Something that a supervisor may want.
struct Thing {
    name: Text,
    /// Another thing, without which this one cannot be tried.
    needs: Text,
    /// The version of Linux that brought it; empty if that is 5.0 or older.
    since: Text,
    attempt: fn(&mut Child) -> Attempt,
}

/// All things, in the order of their lines. They are tried with one child, but for those that want a child of their
/// own.
const THINGS: &[Thing] = &[
    thing(messages::LISTENER, messages::EMPTY, messages::EMPTY, Child::listen),
    thing(messages::RECEIVE, messages::LISTENER, messages::EMPTY, Child::receive),
    thing(messages::ID_VALID, messages::RECEIVE, messages::EMPTY, try_id_valid),
    thing(messages::SEND, messages::RECEIVE, messages::EMPTY, try_send),
    thing(messages::CONTINUE, messages::RECEIVE, messages::LINUX_5_5, try_continue),
    thing(messages::ADD_FD, messages::RECEIVE, messages::LINUX_5_9, try_add_fd),
    thing(messages::ADD_FD_SEND, messages::ADD_FD, messages::LINUX_5_14, try_add_fd_send),
    thing(messages::THREAD_SYNC, messages::RECEIVE, messages::LINUX_5_7, try_thread_sync),
    thing(messages::WAIT_KILLABLE, messages::SEND, messages::LINUX_5_19, try_wait_killable),
    thing(messages::SYNC_WAKE_UP, messages::LISTENER, messages::LINUX_6_6, try_sync_wake_up),
    thing(messages::END_TOLD, messages::RECEIVE, messages::LINUX_6_11, try_end_told),
    thing(messages::PROCESS_VM_READV, messages::RECEIVE, messages::EMPTY, try_process_vm_readv),
    thing(messages::PROC_MEM, messages::RECEIVE, messages::EMPTY, try_proc_mem),
    thing(messages::PIDFD_GETFD, messages::RECEIVE, messages::LINUX_5_6, try_pidfd_getfd),
    thing(messages::PID_VISIBLE, messages::RECEIVE, messages::EMPTY, try_pid_visible),
];

const fn thing(name: Text, needs: Text, since: Text, attempt: fn(&mut Child) -> Attempt) -> Thing {
    Thing { name, needs, since, attempt }
}

/// The result of an attempt.
type Attempt<T = ()> = Result<T, Failure>;

/// Why an attempt failed.
enum Failure {
    /// A call failed.
    Call(Error),
    /// The call with this number succeeded, but what it did is wrong.
    Wrong(u32),
    /// The child has ended otherwise than it should.
    Ended(Ended),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

/// Fails if the call with this number did something wrong.
fn check(is_right: bool, call: u32) -> Attempt {
    if is_right { Ok(()) } else { Err(Failure::Wrong(call)) }
}

/// Tries everything and prints the lines. Returns the exit status.
pub fn run() -> u32 {
    children::prepare();
    signals::block(ME, 0);
    signals::handle(ME, SIGALRM, Some(on_alarm));
    signals::send_alarms(ME, BETWEEN_ALARMS);
    say_system();

    let mut child = Child::make(0).unwrap_or_else(|error| ME.fail(error));
    let result = try_all(&mut child);
    match child.end(result) {
        Ok(status) => status,
        Err(Failure::Call(error)) => ME.fail(error),
        Err(Failure::Ended(ended)) => tell_ended(messages::THE_TARGET, ended),
        // It has a line, and ends nothing.
        Err(Failure::Wrong(_)) => status::FAILURE,
    }
}

/// The handler of SIGALRM, here and in the children: the signal only interrupts a call.
extern "C" fn on_alarm(_: i32) {}

/// Prints the system's name, release and machine.
fn say_system() {
    let mut system = Utsname::ZERO;
    match sys::uname(&mut system).result() {
        Ok(()) => {
            let names = [&system.sysname, &system.release, &system.machine];
            let args = names.map(|name| match CStrRef::split_from(name) {
                Some((name, _)) => Arg::Quoted(name),
                None => Arg::Text(messages::EMPTY),
            });
            ME.say(messages::PROBE_SYSTEM, &args);
        }
        Err(error) => {
            print_no(messages::SYSTEM, messages::EMPTY, error.call(), Some(error.errno()))
                .unwrap_or_else(|error| ME.fail(error))
        }
    }
}

/// Tries each thing and prints its line. Returns the exit status.
///
/// # Errors
/// A failure that says nothing about what this system offers.
fn try_all(child: &mut Child) -> Attempt<u32> {
    // What stands in the way of each thing: itself, if it failed.
    let mut obstacles = [None; THINGS.len()];
    // The thing after which the child's call no longer waited.
    let mut lost = None;
    for (at, thing) in THINGS.iter().enumerate() {
        let mut obstacle = find_obstacle(&obstacles, thing.needs);
        if thing.needs == messages::RECEIVE {
            obstacle = obstacle.or(lost);
        }
        if let Some(obstacle) = obstacle {
            let args = &[Arg::Text(thing.name), Arg::Text(obstacle)];
            ME.try_print(Fd::STDOUT, messages::PROBE_UNTRIED, args)?;
        } else {
            let waited = child.waits;
            match (thing.attempt)(child) {
                Ok(()) => {
                    ME.try_print(Fd::STDOUT, messages::PROBE_YES, &[Arg::Text(thing.name)])?;
                }
                Err(failure) => {
                    obstacle = Some(thing.name);
                    if waited && !child.waits {
                        lost = obstacle;
                    }
                    child.tell(thing, failure)?;
                }
            }
        }
        if let Some(place) = obstacles.get_mut(at) {
            *place = obstacle;
        }
    }
    let works = |name| find_obstacle(&obstacles, name).is_none();
    // Whoever can send can receive.
    if works(messages::SEND) && (works(messages::PROCESS_VM_READV) || works(messages::PROC_MEM)) {
        return Ok(status::SUCCESS);
    }
    Ok(status::UNSUPPORTED)
}

/// What stands in the way of the thing with this name.
fn find_obstacle(obstacles: &[Option<Text>], name: Text) -> Option<Text> {
    let at = THINGS.iter().position(|thing| thing.name == name)?;
    *obstacles.get(at)?
}

/// Prints that something does not work, the call that failed, and why: without an errno, what the call did is wrong.
fn print_no(name: Text, since: Text, call: u32, errno: Option<Errno>) -> sys::Result<()> {
    let error = match errno {
        Some(errno) => Arg::Errno(errno),
        None => Arg::Text(messages::PROBE_WRONG),
    };
    let since_args = [Arg::Text(since)];
    let hint_args =
        [Arg::Text(errno.map_or(messages::EMPTY, |errno| hint(Error::new(call, errno))))];
    let reason = match (errno, &hint_args) {
        (Some(Errno::EINVAL | Errno::ENOSYS | Errno::EINTR), _) if !since.is_empty() => {
            Message { template: messages::PROBE_SINCE, args: &since_args }
        }
        (_, [Arg::Text(hint)]) if hint.is_empty() => {
            Message { template: messages::END_OF_LINE, args: &[] }
        }
        _ => Message { template: messages::PROBE_HINT, args: &hint_args },
    };
    let args = &[Arg::Text(name), Arg::Text(names::call(call)), error, Arg::Message(&reason)];
    ME.try_print(Fd::STDOUT, messages::PROBE_NO, args)
}

/// Why a call failed, if the program knows more than the error says.
fn hint(error: Error) -> Text {
    match (error.call(), error.errno()) {
        (nr::__NR_seccomp, _) => report::hint(error).unwrap_or(messages::EMPTY),
        (nr::__NR_readlinkat | nr::__NR_openat, Errno::ENOENT | Errno::ENOTDIR) => {
            messages::HINT_PROC
        }
        (
            nr::__NR_process_vm_readv | nr::__NR_openat | nr::__NR_pread64 | nr::__NR_pidfd_getfd,
            Errno::EPERM | Errno::EACCES,
        ) => messages::HINT_MEMORY,
        _ => messages::EMPTY,
    }
}

/// Checks the ID of the waiting call, and that another ID is refused.
fn try_id_valid(child: &mut Child) -> Attempt {
    child.while_waiting(|listener, id| listener.check_id(&id))?;
    match child.listener()?.check_id(&!child.request.notif.id) {
        Err(error) if error.is(Errno::ENOENT) => Ok(()),
        result => check(result.is_err(), nr::__NR_ioctl).and(Ok(result?)),
    }
}

/// Makes up what the call returns.
fn try_send(child: &mut Child) -> Attempt {
    check(child.answer(VALUE, 0)? == Returned(VALUE), arch::NOTIFIED)
}

/// Lets the call go on in the kernel.
fn try_continue(child: &mut Child) -> Attempt {
    let returned = child.answer(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE)?;
    check(returned == Returned::EXISTS, arch::NOTIFIED)
}

/// Puts a descriptor into the child, which closes it.
fn try_add_fd(child: &mut Child) -> Attempt {
    child.add_fd(0)?;
    check(child.answer(VALUE, 0)?.0 & Returned::CLOSED != 0, nr::__NR_ioctl)
}

/// The same, and the call returns the descriptor's number without a further answer.
fn try_add_fd_send(child: &mut Child) -> Attempt {
    child.add_fd(SECCOMP_ADDFD_FLAG_SEND)?;
    let number = child.socket.0.cast_unsigned();
    check(child.result()? == Returned(number | Returned::CLOSED), arch::NOTIFIED)
}

/// Installs the filter for all threads.
fn try_thread_sync(_: &mut Child) -> Attempt {
    try_with(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, |_| Ok(()))
}

/// Sends the child a signal while its call waits. Without the flag, that would end the call.
fn try_wait_killable(_: &mut Child) -> Attempt {
    try_with(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, |child| {
        sys::kill(child.pid, SIGALRM).result()?;
        pause(1_000_000);
        try_send(child)
    })
}

/// Sets the listener's flag.
fn try_sync_wake_up(child: &mut Child) -> Attempt {
    Ok(child.listener()?.wake_synchronously()?)
}

/// Waits for a notification when the only process under the filter has ended.
fn try_end_told(_: &mut Child) -> Attempt {
    try_with(0, |child| {
        child.kill();
        // An alarm, or a call that went away unseen, ends the first wait. The second one then tells.
        let mut wait = || child.listener()?.receive_once(&mut child.request).map_err(Failure::Call);
        let _ = wait();
        match wait() {
            Err(Failure::Call(error)) if error.is(Errno::ENOENT) => Ok(()),
            Ok(()) => Err(Failure::Wrong(nr::__NR_ioctl)),
            result => result,
        }
    })
}

/// Reads the path of the waiting call, in one way.
fn try_process_vm_readv(child: &mut Child) -> Attempt {
    child.read_path(sys::process_vm_readv, nr::__NR_process_vm_readv)
}

/// The same in the other way.
fn try_proc_mem(child: &mut Child) -> Attempt {
    child.read_path(memory::read_file, nr::__NR_pread64)
}

/// Fetches a descriptor of the child.
fn try_pidfd_getfd(child: &mut Child) -> Attempt {
    let process = sys::pidfd_open(child.pid).result()?;
    let fetched = sys::pidfd_getfd(process, child.childs_end).result()?;
    sys::close(fetched).result()?;
    Ok(sys::close(process).result()?)
}

/// Looks whom the notification names.
fn try_pid_visible(child: &mut Child) -> Attempt {
    check(child.request.notif.pid == child.pid.0, nr::__NR_ioctl)
}

/// Tries something with a child that installs its filter with these flags.
fn try_with(flags: u32, attempt: fn(&mut Child) -> Attempt) -> Attempt {
    let mut child = Child::make(flags)?;
    let result = child.listen().and_then(|()| child.receive()).and_then(|()| attempt(&mut child));
    child.end(result)
}

/// Waits so many nanoseconds, or until an alarm. The result is ignored: nothing depends on this time.
fn pause(nanoseconds: u32) {
    let mut time = Timespec { tv_sec: 0, tv_nsec: nanoseconds.into() };
    let _ = sys::nanosleep(&mut time).once();
}

/// What a child tells of its call: the value that it returned, and bits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Returned(u32);

impl Returned {
    /// The kernel's own answer, an error.
    const EXISTS: Self = Self(1 << 30);
    /// The bit for a descriptor that was there after the call.
    const CLOSED: u32 = 1 << 31;
}

/// A child of the probe: a target.
struct Child {
    pid: Pid,
    ended: Ended,
    /// This process's end of the socket pair. In the child the descriptor with this number is closed.
    socket: Fd,
    /// The child's end, in the child.
    childs_end: Fd,
    listener: Option<Listener>,
    /// The call that was received last.
    request: Request,
    /// Whether it waits for its answer.
    waits: bool,
}

impl Child {
    /// Makes a child that installs its filter with these flags beside `NEW_LISTENER`.
    fn make(flags: u32) -> sys::Result<Self> {
        let me = sys::getpid().result()?;
        let mut pair = [Fd(-1); 2];
        sys::socketpair(&mut pair).result()?;
        let [socket, childs_end] = pair;
        match sys::fork().result()? {
            Fork::Child => be_target(flags, me, socket, childs_end),
            Fork::Parent(pid) => {
                // The result is ignored: with a copy of the child's end here, it only takes longer until this
                // process notices that the child has ended.
                let _ = sys::close(childs_end).result();
                let (ended, listener, request) = (Ended::NOT_YET, None, Request::ZERO);
                Ok(Self { pid, ended, socket, childs_end, listener, request, waits: false })
            }
        }
    }

    /// Receives the listener.
    fn listen(&mut self) -> Attempt {
        for _ in 0..PATIENCE {
            match sys::recvmsg_once(self.socket) {
                Ok(Received::Descriptor(fd)) => {
                    self.listener = Some(Listener::new(fd)?);
                    return Ok(());
                }
                Ok(Received::NoDescriptor([0, 0, 0, 0])) => {
                    return Err(Error::new(nr::__NR_recvmsg, Errno::EACCES).into());
                }
                Ok(Received::NoDescriptor(told)) => return Err(Error::from_bytes(told).into()),
                // The child ends just now.
                Ok(Received::EndOfStream) => pause(BETWEEN_ALARMS * 1000),
                Err(error) if error.is(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            self.check_alive()?;
        }
        Err(Error::new(nr::__NR_recvmsg, Errno::EINTR).into())
    }

    /// The listener. Nothing that needs it is tried without it.
    fn listener(&self) -> Attempt<Listener> {
        self.listener.ok_or(Failure::Wrong(nr::__NR_recvmsg))
    }

    /// Receives the notification of the child's next call.
    fn receive(&mut self) -> Attempt {
        self.receive_after(None)
    }

    /// The same. If none comes, `error` is why, or else what the last wait said.
    fn receive_after(&mut self, error: Option<Error>) -> Attempt {
        self.waits = false;
        let listener = self.listener()?;
        let mut why = Error::new(nr::__NR_ioctl, Errno::EINTR);
        for _ in 0..PATIENCE {
            match listener.receive_once(&mut self.request) {
                Ok(()) => {
                    self.waits = true;
                    let is_right = self.request.notif.data.nr == arch::NOTIFIED as i32;
                    return check(is_right, nr::__NR_ioctl);
                }
                Err(error) if error.is(Errno::EINTR) => {}
                // The call went away, or the child ends just now.
                Err(error) if error.is(Errno::ENOENT) => {
                    why = error;
                    pause(BETWEEN_ALARMS * 1000);
                }
                Err(error) => return Err(error.into()),
            }
            self.check_alive()?;
        }
        Err(error.unwrap_or(why).into())
    }

    /// Does something that needs the ID of the waiting call. If the call went away and comes again, since the child
    /// was stopped and continued, that is done again.
    fn while_waiting<T>(&mut self, act: impl Fn(Listener, u64) -> sys::Result<T>) -> Attempt<T> {
        loop {
            match act(self.listener()?, self.request.notif.id) {
                Err(error) if error.is(Errno::ENOENT) => self.receive_after(Some(error))?,
                result => return Ok(result?),
            }
        }
    }

    /// Answers the waiting call. Returns what it returned in the child.
    fn answer(&mut self, value: u32, flags: u32) -> Attempt<Returned> {
        self.while_waiting(|listener, id| {
            let mut response = Response::new(id);
            response.resp.val = value.into();
            response.resp.flags = flags;
            listener.send(&response)
        })?;
        self.result()
    }

    /// What the call that was answered returned: the next call tells.
    fn result(&mut self) -> Attempt<Returned> {
        self.receive()?;
        Ok(Returned(self.request.notif.data.args[arch::MODE_INDEX] as u32))
    }

    /// Puts a copy of this process's end of the socket pair into the child, under the same number.
    fn add_fd(&mut self, flags: u32) -> Attempt<Fd> {
        let number = self.socket.0.cast_unsigned();
        self.while_waiting(|listener, id| {
            listener.add_fd(&seccomp_notif_addfd {
                id,
                flags: SECCOMP_ADDFD_FLAG_SETFD | flags,
                srcfd: number,
                newfd: number,
                newfd_flags: 0,
            })
        })
    }

    /// Reads the path of the waiting call with this function, whose last call has this number.
    fn read_path(&self, read: fn(Pid, &mut [u8], u64) -> sys::Result<usize>, call: u32) -> Attempt {
        let notif = &self.request.notif;
        let mut bytes = [0; PATH_LENGTH];
        read(Pid(notif.pid), &mut bytes, notif.data.args[arch::PATH_INDEX])?;
        let is_right = CStrRef::split_from(&bytes).is_some_and(|(path, _)| path == PATH);
        check(is_right, call)
    }

    /// Prints that something failed. A failure that is no answer is returned.
    fn tell(&mut self, thing: &Thing, failure: Failure) -> Attempt {
        let (call, errno) = match failure {
            Failure::Call(error) if report::hint(error).is_some() => {
                (error.call(), Some(error.errno()))
            }
            Failure::Wrong(call) => (call, None),
            failure => return Err(failure),
        };
        // If the child was killed, that is why.
        if self.ended == Ended::NOT_YET {
            self.check_alive()?;
        }
        Ok(print_no(thing.name, thing.since, call, errno)?)
    }

    /// Fails if the child has ended: with the error that it told, or else with how it ended.
    fn check_alive(&mut self) -> Attempt {
        if self.ended == Ended::NOT_YET {
            self.ended.wait(self.pid, WNOHANG);
        }
        if self.ended == Ended::NOT_YET {
            return Ok(());
        }
        match sys::recvmsg_once(self.socket) {
            Ok(Received::NoDescriptor(told))
                if self.ended.exit_status() == Some(status::SUCCESS) =>
            {
                Err(Error::from_bytes(told).into())
            }
            _ => Err(Failure::Ended(self.ended)),
        }
    }

    /// Ends the child and waits for it.
    fn kill(&mut self) {
        sys::kill(self.pid, SIGKILL).or_fail(ME);
        self.ended.wait(self.pid, 0);
        // It has ended as it should.
        self.ended = Ended(status::SUCCESS);
    }

    /// Ends the child. The result is `result`, unless the child has ended otherwise before.
    fn end<T>(&mut self, result: Attempt<T>) -> Attempt<T> {
        if self.ended == Ended::NOT_YET {
            self.ended.wait(self.pid, WNOHANG);
        }
        if self.ended == Ended::NOT_YET {
            self.kill();
        }
        match self.ended.exit_status() {
            Some(status::SUCCESS) => result,
            _ => Err(Failure::Ended(self.ended)),
        }
    }
}

/// What a child does: it makes calls until one fails, and tells the error.
fn be_target(flags: u32, parent: Pid, parents_end: Fd, socket: Fd) -> ! {
    let mut status = status::CHILD_FAILED;
    if let Err(error) = make_calls(flags, parent, parents_end, socket)
        && sys::write(socket, &error.to_bytes()).result().is_ok()
    {
        status = status::SUCCESS;
    }
    sys::exit_group(status)
}

/// Installs the filter, sends the listener away and makes the notified call again and again.
fn make_calls(flags: u32, parent: Pid, parents_end: Fd, socket: Fd) -> sys::Result<()> {
    sys::prctl(Operation::SET_PDEATHSIG, SIGKILL).result()?;
    // If the parent had ended before, the other end is closed now, and the message cannot be sent.
    sys::close(parents_end).result()?;
    target::permit_reading(parent);
    sys::prctl(Operation::SET_NO_NEW_PRIVS, 1).result()?;
    let flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | flags;
    let listener = sys::seccomp_set_mode_filter(flags, &const { program(Action::Notify) })?;
    sys::sendmsg(socket, listener)?;
    sys::close(listener).result()?;

    // A copy: this address means something else in the parent.
    let mut path = [0; PATH_LENGTH];
    Buffer::new(&mut path).put_text(PATH);
    let Some((path, _)) = CStrRef::split_from(&path) else { return Ok(()) };
    let mut returned = 0;
    loop {
        returned = match sys::mkdir(path, returned).once() {
            Ok(value) => value as u32,
            Err(error) if error.is(Errno::EEXIST) => Returned::EXISTS.0,
            Err(error) => return Err(error),
        };
        if sys::close(parents_end).result().is_ok() {
            returned |= Returned::CLOSED;
        }
    }
}
