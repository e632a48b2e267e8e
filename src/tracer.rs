//! The tracer: receives each notification, reads the path in the target's memory, decides, acts in the
//! target's place and answers.

use core::mem;

use crate::abi::{
    PATH_MAX, Request, Response, SECCOMP_USER_NOTIF_FLAG_CONTINUE, Timespec, nr, seccomp_notif,
};
use crate::arch;
use crate::fmt::{Arg, Message};
use crate::listener::Listener;
use crate::memory::Memory;
use crate::messages::{self, Text};
use crate::options::Options;
use crate::policy::{self, Tmp};
use crate::report::{Process, status};
use crate::signals;
use crate::sys::{self, CStrRef, Caller, Errno, Error, Fd, Mapping, Pid, Received};

const ME: Process = Process::Tracer;

/// How many bytes of a path are read at first. Most paths are shorter, and a short read costs less.
const READ_AT_FIRST: usize = 120;

/// Runs the tracer with its end of the socket pair. Returns the exit status.
pub fn run(options: &Options, target: Pid, socket: Fd) -> u32 {
    let fd = match sys::recvmsg(socket).unwrap_or_else(|error| ME.fail(error)) {
        Received::Descriptor(fd) => fd,
        // A number is free, since the other end of the socket has just been closed. So a security module has
        // taken the descriptor out.
        Received::NoDescriptor(_) => ME.fail(Error::new(nr::__NR_recvmsg, Errno::EACCES)),
        // The target has failed, and has said why.
        Received::EndOfStream => return status::SUCCESS,
    };
    let listener = Listener::new(fd).unwrap_or_else(|error| ME.fail(error));
    // The call only tunes latency, from Linux 6.6 on, and an error is ignored. Only ENOENT is not: no kernel
    // answers so here. With a sandbox that does, to every ioctl, `receive` would take each answer for a call that
    // went away.
    if let Err(error) = listener.wake_synchronously()
        && error.is(Errno::ENOENT)
    {
        ME.fail(error)
    }
    let mut tracer = Tracer {
        options,
        target,
        listener,
        memory: Memory::new(target),
        tmp: Tmp::default(),
        withdrawn: None,
        withdrawn_path: PathBuffer::new(),
        farewell: false,
    };
    let mut request = Request::ZERO;
    let mut buffer = PathBuffer::new();
    while !tracer.farewell && tracer.receive(&mut request) {
        tracer.answer(&request.notif, &mut buffer);
    }
    if tracer.farewell { status::FAREWELL } else { status::SUCCESS }
}

/// What the tracer keeps from one notification to the next.
struct Tracer<'a> {
    options: &'a Options,
    target: Pid,
    listener: Listener,
    memory: Memory,
    tmp: Tmp,
    withdrawn: Option<Withdrawn>,
    /// The path of `withdrawn`, as [`Tmp::make`] left it: with NULs for slashes.
    withdrawn_path: PathBuffer,
    /// Whether the tracer ends after the present notification.
    farewell: bool,
}

/// A directory that was made for a call which then went away without its answer. If a stop of the target was
/// the reason (SIGSTOP and SIGCONT, a freezer, a debugger), the same call comes again, with another ID.
struct Withdrawn {
    pid: u32,
    mode: u64,
    address: u64,
}

/// A path as it was read, in one of two buffers.
struct PathBuffer {
    short: [u8; READ_AT_FIRST],
    /// [`PATH_MAX`] bytes.
    long: Mapping,
    is_long: bool,
    /// The number of bytes of the path, its NUL included.
    length: usize,
}

impl PathBuffer {
    /// Empty. The kernel gives the long buffer memory when it is used, and most runs never use it.
    fn new() -> Self {
        let long = sys::mmap(PATH_MAX).unwrap_or_else(|error| ME.fail(error));
        Self { short: [0; READ_AT_FIRST], long, is_long: false, length: 0 }
    }

    /// The buffer in use.
    fn bytes(&mut self) -> &mut [u8] {
        if self.is_long { self.long.bytes() } else { &mut self.short }
    }

    /// The path with its NUL.
    fn path(&mut self) -> &mut [u8] {
        let length = self.length;
        self.bytes().get_mut(..length).unwrap_or_default()
    }
}

impl Tracer<'_> {
    /// Waits for a notification. Returns false if there is no process left that could cause one.
    fn receive(&self, request: &mut Request) -> bool {
        self.listener.receive(self.target, request).unwrap_or_else(|error| ME.fail(error))
    }

    /// Answers a notification.
    fn answer(&mut self, notif: &seccomp_notif, buffer: &mut PathBuffer) {
        let mut response = Response::new(notif.id);
        // Whatever ends the decision early, the call is refused.
        refuse(&mut response, Errno::EPERM);
        self.decide(notif, buffer, &mut response);

        if self.send(&response) {
            // The target makes one call at a time: after this one the withdrawn one cannot come again.
            self.withdrawn = None;
        } else {
            self.say(messages::TRACER_ENOENT, &[]);
            // A directory was made: the value is the length of its path.
            if response.resp.val > 0 {
                mem::swap(&mut self.withdrawn_path, buffer);
                self.withdrawn = Some(Withdrawn {
                    pid: notif.pid,
                    mode: notif.data.args[arch::MODE_INDEX],
                    address: notif.data.args[arch::PATH_INDEX],
                });
            }
        }
        if self.farewell {
            self.say(messages::TRACER_ENDS, &[]);
        }
    }

    /// Sends the answer to a notification. Returns false if its call no longer waits.
    fn send(&self, response: &Response) -> bool {
        match self.listener.send(response) {
            Ok(()) => true,
            Err(error) if error.is(Errno::ENOENT) => false,
            Err(error) if error.is(Errno::EINVAL) && response.resp.flags != 0 => {
                ME.give_up(error, messages::HINT_CONTINUE)
            }
            // The target would wait for ever.
            Err(error) => ME.fail(error),
        }
    }

    /// Waits if that was asked for, reads the path, makes sure that its call still waits, and acts.
    fn decide(&mut self, notif: &seccomp_notif, buffer: &mut PathBuffer, response: &mut Response) {
        if self.options.delay > 0 && !self.delay(notif) {
            return;
        }
        let path = self.read_path(notif, buffer);
        // Check the ID after the read: until then the PID may have been reused. Then neither the path nor an
        // error counts.
        if !self.is_valid(notif, messages::POST_OPEN) {
            return;
        }
        match path.unwrap_or_else(|error| fail_to_read(error)) {
            Path::Found => self.act(notif, buffer.path(), response),
            Path::Unreadable(errno) => {
                self.say_got_unless_delayed(notif);
                if self.options.count.is_none() {
                    ME.tell(messages::PATH, errno, messages::EMPTY);
                }
                refuse(response, errno);
            }
        }
    }

    /// Lets the delay pass. Returns false if the call is then gone.
    fn delay(&self, notif: &seccomp_notif) -> bool {
        self.say_got(notif, &Message::EMPTY);
        if !self.is_valid(notif, messages::PRE_DELAY) {
            return false;
        }
        let seconds = Arg::Dec(self.options.delay.into());
        self.say(messages::TRACER_DELAYS, &[seconds, seconds]);
        for left in (0..self.options.delay).rev() {
            sys::nanosleep(&mut Timespec { tv_sec: 1, tv_nsec: 0 }).or_fail(ME);
            if left > 0 {
                self.say(messages::TRACER_COUNTS, &[Arg::Dec(left.into())]);
            }
        }
        self.say(messages::TRACER_DELAYED, &[]);
        self.is_valid(notif, messages::POST_DELAY)
    }

    /// Reads the path into `buffer`.
    ///
    /// # Errors
    /// If the target's memory cannot be read at all.
    fn read_path(&mut self, notif: &seccomp_notif, buffer: &mut PathBuffer) -> sys::Result<Path> {
        let (pid, address) = (Pid(notif.pid), notif.data.args[arch::PATH_INDEX]);
        for is_long in [false, true] {
            buffer.is_long = is_long;
            let bytes = buffer.bytes();
            let length = bytes.len();
            let read = self.memory.read(pid, address, bytes)?;
            if let Some((path, _)) = CStrRef::split_from(bytes.get(..read).unwrap_or_default()) {
                buffer.length = path.count() + 1;
                return Ok(Path::Found);
            }
            if read < length {
                // Nothing is behind what was read.
                return Ok(Path::Unreadable(Errno::EFAULT));
            }
        }
        Ok(Path::Unreadable(Errno::ENAMETOOLONG))
    }

    /// Decides what becomes of a path, whose last byte is its NUL, and creates what is beneath /tmp: that makes
    /// NULs of the slashes.
    fn act(&mut self, notif: &seccomp_notif, path: &mut [u8], response: &mut Response) {
        let Some((name, _)) = CStrRef::split_from(path) else { return };
        let mode = notif.data.args[arch::MODE_INDEX];
        let mkdir = Message {
            template: messages::TRACER_MKDIR,
            args: &[Arg::Quoted(name), Arg::Oct(mode)],
        };
        if self.options.delay == 0 {
            self.say_got(notif, &mkdir);
        } else {
            self.say(mkdir.template, mkdir.args);
        }

        if policy::beneath(name).is_some() {
            // A strange value for mkdir: it shows that the tracer made it up.
            let value = name.count() as i64;
            let beneath = path.get_mut(policy::BENEATH.count()..).unwrap_or_default();
            match self.tmp.make(beneath, mode as u32) {
                Err(errno) if errno != Errno::EEXIST || !self.was_withdrawn(notif, path) => {
                    refuse(response, errno);
                }
                _ => {
                    response.resp.error = 0;
                    response.resp.val = value;
                }
            }
        } else if name == policy::BYE {
            self.farewell = true;
            // Once the target has its answer it may end, and the parent kill this process: not before the
            // last line is printed.
            signals::block(ME, signals::FROM_PARENT);
        } else if self.options.let_through {
            response.resp.error = 0;
            response.resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        }
        // Anything else stays refused.
    }

    /// Whether this call repeats the withdrawn one, so that the directory that is there is the one that it
    /// asked for.
    fn was_withdrawn(&mut self, notif: &seccomp_notif, path: &[u8]) -> bool {
        self.withdrawn.as_ref().is_some_and(|withdrawn| {
            withdrawn.pid == notif.pid
                && withdrawn.mode == notif.data.args[arch::MODE_INDEX]
                && withdrawn.address == notif.data.args[arch::PATH_INDEX]
                && self.withdrawn_path.path() == path
        })
    }

    /// Whether the call still waits for its answer; tells when it was found that it does not.
    fn is_valid(&self, notif: &seccomp_notif, when: Text) -> bool {
        let valid = match self.listener.check_id(&notif.id) {
            Ok(()) => true,
            Err(error) if error.is(Errno::ENOENT) => false,
            Err(error) => ME.fail(error),
        };
        if !valid {
            self.say_got_unless_delayed(notif);
            if self.options.count.is_none() {
                ME.warn(messages::TRACER_WITHDRAWN, &[Arg::Text(when)]);
            }
        }
        valid
    }

    /// Prints that a notification came, unless that was printed before a delay.
    fn say_got_unless_delayed(&self, notif: &seccomp_notif) {
        if self.options.delay == 0 {
            self.say_got(notif, &Message::EMPTY);
        }
    }

    /// Prints that a notification came, and in the same write what follows.
    fn say_got(&self, notif: &seccomp_notif, next: &Message) {
        let (pid, id) = (Arg::Dec(notif.pid.into()), Arg::Hex(notif.id));
        self.say(messages::TRACER_GOT, &[pid, id, Arg::Message(next)]);
    }

    /// Prints a line of the transcript, which the measuring mode does not have.
    fn say(&self, template: Text, args: &[Arg]) {
        if self.options.count.is_none() {
            ME.say(template, args);
        }
    }
}

/// What was found where the path should be.
enum Path {
    /// A path.
    Found,
    /// None, and this is what the kernel would say of it.
    Unreadable(Errno),
}

/// Tells why the memory of a process that is there cannot be read, and ends the tracer.
fn fail_to_read(error: Error) -> ! {
    match (error.call(), error.errno()) {
        (_, Errno::EPERM | Errno::EACCES) => ME.give_up(error, messages::HINT_MEMORY),
        (nr::__NR_process_vm_readv, Errno::ENOSYS) => ME.give_up(error, messages::HINT_PROC),
        _ => ME.fail(error),
    }
}

/// The call fails with this error.
fn refuse(response: &mut Response, errno: Errno) {
    response.resp.error = -errno.number().cast_signed();
}
