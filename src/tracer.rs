//! The tracer: receives each notification, looks at the path in the target's memory, decides, acts in
//! the target's place, and answers.

use crate::abi::{
    PATH_MAX, Request, SECCOMP_USER_NOTIF_FLAG_CONTINUE, SIGTERM, Timespec, seccomp_notif_resp,
    seccomp_notif_sizes,
};
use crate::arch;
use crate::failure::{Process, status};
use crate::handover::{self, Received};
use crate::listener::Listener;
use crate::memory::{Memory, Trouble};
use crate::options::Options;
use crate::policy::{self, Place};
use crate::sys::{self, Errno, Failure, Fd, Fits, Pid, ZStr};
use crate::text::{self, Text};

const ME: Process = Process::TRACER;

/// The bytes of a path that are read at first: few are longer, and a short read is a cheap one.
const SHORT: usize = 256;

/// Runs the tracer, with its end of the socket pair.
pub fn run(options: &Options, target: Pid, socket: Fd) -> ! {
    if options.count == 0 {
        let me = sys::getpid().or_fail(ME);
        ME.say(Fd::STDOUT, text::TRACER_PID, None, &[me.0.into()]);
    }

    let listener = match handover::receive(socket) {
        Ok(Received::Descriptor(listener)) => listener,
        // The target failed, and has said why.
        Ok(Received::End) => sys::exit_group(status::SUCCESS),
        Ok(Received::Nothing) => {
            ME.fail(Failure { call: text::NO_DESCRIPTOR, errno: Errno::EMFILE })
        }
        Err(failure) => ME.fail(failure),
    };

    let mut sizes = seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
    if let Err(failure) = sys::seccomp_get_notif_sizes(&mut sizes).checked() {
        ME.fail_seccomp(failure)
    }
    let Some(fits) = Fits::new(&sizes) else {
        ME.fail(Failure { call: text::SIZES, errno: Errno::EMSGSIZE })
    };

    let listener = Listener::new(listener, fits, target);
    let mut tracer =
        Tracer { options, listener, memory: Memory::new(target), place: Place::new() };
    tracer.answer_all();
    sys::exit_group(status::SUCCESS)
}

/// What the tracer needs for each notification.
struct Tracer<'a> {
    options: &'a Options,
    listener: Listener,
    memory: Memory,
    place: Place,
}

/// What the target is told.
enum Verdict {
    /// Its call failed.
    Refuse(Errno),
    /// Its call failed as every call of this path does, after which the tracer ends.
    Farewell,
    /// The directory has been made; its path has that many bytes.
    Made(usize),
    /// Its call is to go on by itself.
    Continue,
}

impl Tracer<'_> {
    /// Answers notifications until there are no more.
    fn answer_all(&mut self) {
        while let Some(request) = check(self.listener.receive()) {
            let verdict = self.judge(&request);
            let mut resp = seccomp_notif_resp { id: request.notif.id, val: 0, error: 0, flags: 0 };
            match verdict {
                Verdict::Refuse(errno) => resp.error = -errno.into_raw(),
                Verdict::Farewell => {
                    resp.error = -Errno::EPERM.into_raw();
                    // The target may end before the farewell is said, and the parent come to kill
                    // the tracer: let it be said all the same.
                    sys::rt_sigprocmask(1 << (SIGTERM - 1)).or_fail(ME);
                }
                // An odd number for mkdir: it shows that the tracer made it up.
                Verdict::Made(length) => resp.val = length as i64,
                Verdict::Continue => resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE,
            }
            match self.listener.send(&resp.into()).checked() {
                Ok(()) => {}
                Err(Failure { errno: Errno::ENOENT, .. }) => {
                    self.tell(text::TRACER_ENOENT, None, &[]);
                }
                // Before Linux 5.5, which brought the flag.
                Err(failure @ Failure { errno: Errno::EINVAL, .. }) if resp.flags != 0 => {
                    ME.give_up(failure, text::HINT_CONTINUE)
                }
                Err(failure) => ME.fail(failure),
            }
            if let Verdict::Farewell = verdict {
                self.tell(text::TRACER_ENDS, None, &[]);
                sys::exit_group(status::FAREWELL)
            }
        }
    }

    /// Waits where it was asked for, reads the path, and decides.
    fn judge(&mut self, request: &Request) -> Verdict {
        if self.options.delay > 0 {
            self.tell_got(request);
            if !self.is_alive(request, text::PRE_DELAY) {
                return Verdict::Refuse(Errno::EPERM);
            }
            self.delay();
            if !self.is_alive(request, text::POST_DELAY) {
                return Verdict::Refuse(Errno::EPERM);
            }
        }
        let mut path = [0; SHORT];
        self.judge_path(request, &mut path).unwrap_or_else(|| self.judge_long(request))
    }

    /// The same for a path that is longer than most, in a frame of its own.
    #[cold]
    #[inline(never)]
    fn judge_long(&mut self, request: &Request) -> Verdict {
        let mut path = [0; PATH_MAX];
        self.judge_path(request, &mut path).unwrap_or_else(|| {
            self.unreadable(request, Failure { call: text::PATH, errno: Errno::ENAMETOOLONG }, Errno::ENAMETOOLONG)
        })
    }

    /// Reads the path into `buffer` and decides; nothing if it is too long for that.
    #[inline(never)]
    fn judge_path(&mut self, request: &Request, buffer: &mut [u8]) -> Option<Verdict> {
        let notif = &request.notif;
        let address = notif.data.args[arch::PATH];
        let read = self.memory.read(Pid(notif.pid), address, buffer);

        // Only now it is known whose memory that was.
        if !check(self.listener.is_valid(notif.id)) {
            self.tell_got_late(request);
            tell_died(text::POST_OPEN);
            return Some(Verdict::Refuse(Errno::EPERM));
        }
        let read = match read {
            Ok(read) => read,
            Err(Trouble::Address(failure)) => {
                return Some(self.unreadable(request, failure, Errno::EFAULT));
            }
            Err(Trouble::Access(opened, failure)) => {
                ME.complain(opened);
                ME.give_up(failure, text::HINT_MEMORY)
            }
            Err(Trouble::Other(failure)) => ME.fail(failure),
        };

        let is_full = read == buffer.len();
        let Some(length) = buffer.iter().take(read).position(|&byte| byte == 0) else {
            if is_full {
                return None;
            }
            let failure = Failure { call: text::PATH, errno: Errno::EFAULT };
            return Some(self.unreadable(request, failure, Errno::EFAULT));
        };
        let path = buffer.get_mut(..=length)?;
        let mode = notif.data.args[arch::MODE];

        let told = ZStr::within(path);
        if self.options.delay > 0 {
            self.tell(text::TRACER_MKDIR, told, &[mode]);
        } else {
            let numbers = [notif.pid.into(), notif.id, mode];
            self.tell(text::TRACER_GOT_MKDIR, told, &numbers);
        }

        Some(if path.starts_with(policy::BENEATH) {
            match self.place.make(path.get_mut(policy::BENEATH.len()..)?, mode as u32) {
                Ok(()) => Verdict::Made(length),
                Err(errno) => Verdict::Refuse(errno),
            }
        } else if path == policy::FAREWELL {
            Verdict::Farewell
        } else if self.options.let_through {
            Verdict::Continue
        } else {
            Verdict::Refuse(Errno::EPERM)
        })
    }

    /// The verdict on a path that cannot be read: the target's doing, which the tracer survives.
    fn unreadable(&self, request: &Request, failure: Failure, errno: Errno) -> Verdict {
        self.tell_got_late(request);
        ME.complain(failure);
        Verdict::Refuse(errno)
    }

    /// Whether the call still waits; tells, if not, when that was found out.
    fn is_alive(&self, request: &Request, when: Text) -> bool {
        let alive = check(self.listener.is_valid(request.notif.id));
        if !alive {
            tell_died(when);
        }
        alive
    }

    /// Lets the seconds pass, and counts them down.
    fn delay(&self) {
        let delay = u64::from(self.options.delay);
        self.tell(text::TRACER_DELAYS, None, &[delay, delay]);
        for left in (0..delay).rev() {
            let mut second = Timespec { tv_sec: 1, tv_nsec: 0 };
            // Interrupted, it goes on with what remains.
            sys::again(|| sys::nanosleep(&mut second)).or_fail(ME);
            if left > 0 {
                self.tell(text::TRACER_COUNTS, None, &[left]);
            }
        }
        self.tell(text::TRACER_DELAYED, None, &[]);
    }

    /// Tells that a notification came.
    fn tell_got(&self, request: &Request) {
        self.tell(text::TRACER_GOT, None, &[request.notif.pid.into(), request.notif.id]);
    }

    /// The same where it has not been told, as before a delay, or in one write with the path.
    fn tell_got_late(&self, request: &Request) {
        if self.options.delay == 0 {
            self.tell_got(request);
        }
    }

    /// A line of the transcript, which the measuring mode has not.
    fn tell(&self, text: Text, string: Option<ZStr>, numbers: &[u64]) {
        if self.options.count == 0 {
            ME.say(Fd::STDOUT, text, string, numbers);
        }
    }
}

/// Tells that a notification's ID is no longer valid.
fn tell_died(when: Text) {
    ME.say(Fd::STDERR, text::TRACER_DIED, None, &[when.0.into()]);
}

/// The value; or tells of the failure and ends.
fn check<T>(result: Result<T, Failure>) -> T {
    result.unwrap_or_else(|failure| ME.fail(failure))
}
