//! The tracer: receives each notification, looks at the path in the target's memory, decides, acts in
//! the target's place, and answers.

use crate::abi::{
    BLOCK_SIGTERM, PATH_MAX, Request, Response, SECCOMP_USER_NOTIF_FLAG_CONTINUE, Timespec,
    seccomp_notif_sizes,
};
use crate::arch;
use crate::failure::{Process, pad, status};
use crate::handover;
use crate::listener::Listener;
use crate::memory::Memory;
use crate::options::Options;
use crate::policy::{self, Place};
use crate::sys::{self, Errno, Fd, Fits, Pid, ZStr};
use crate::text::{self, Text};

const ME: Process = Process::TRACER;

/// The bytes of a path that are read at first: few are longer, and a short read is a cheap one.
const SHORT: usize = 256;

/// Runs the tracer, with its end of the socket pair.
pub fn run(options: &Options, target: Pid, socket: Fd) -> ! {
    let listener = match handover::receive(socket) {
        Some(Fd::NONE) => ME.fail(text::NO_DESCRIPTOR, Errno::EMFILE),
        Some(listener) => listener,
        // The target failed, and has said why.
        None => sys::exit_group(status::SUCCESS),
    };

    let mut sizes =
        seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
    if let Err(errno) = sys::seccomp_get_notif_sizes(&mut sizes).result() {
        ME.fail_seccomp(errno, text::HINT_SECCOMP)
    }
    let Some(fits) = Fits::new(&sizes) else { ME.fail(text::SIZES, Errno::EMSGSIZE) };

    let mut tracer = Tracer {
        options: *options,
        listener: Listener::new(listener, fits, target),
        place: Place::new(),
        memory: Memory::new(target),
        request: Request::ZERO,
    };
    while tracer.listener.receive(&mut tracer.request) {
        tracer.answer();
    }
    // Nobody is left under the filter.
    sys::exit_group(status::SUCCESS)
}

/// What the tracer needs for a notification, and what it keeps from one to the next. In this order
/// short distances reach most of it.
#[repr(C)]
struct Tracer {
    options: Options,
    listener: Listener,
    place: Place,
    memory: Memory,
    request: Request,
}

/// What the target is told: the value of its call; or an errno, negative.
#[derive(Clone, Copy, PartialEq)]
struct Verdict(i64);

impl Verdict {
    /// Its call is to go on by itself.
    const CONTINUE: Self = Self(i64::MIN);
    /// EPERM, after which the tracer ends.
    const FAREWELL: Self = Self(i64::MIN + 1);
    /// EPERM.
    const REFUSE: Self = Self(-(linux_raw_sys::errno::EPERM as i64));

    /// Its call fails.
    fn error(errno: Errno) -> Self {
        Self(-i64::from(errno.into_raw()))
    }
}

impl Tracer {
    /// Answers the notification that has been received.
    #[inline(never)]
    fn answer(&mut self) {
        let verdict = self.judge();
        let mut response = Response::ZERO;
        response.resp.id = self.request.notif.id;
        match verdict {
            Verdict::CONTINUE => response.resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE,
            Verdict::FAREWELL => {
                response.resp.error = -Errno::EPERM.into_raw();
                // The target may end before the farewell is said, and the parent come to kill the
                // tracer: let it be said all the same.
                sys::rt_sigprocmask(ME, BLOCK_SIGTERM);
            }
            Verdict(errno @ ..0) => response.resp.error = errno as i32,
            // An odd number for mkdir: it shows that the tracer made it up.
            Verdict(length) => response.resp.val = length,
        }

        match self.listener.send(&response) {
            Ok(()) => {}
            // Before Linux 5.5, which brought the flag.
            Err(errno @ Errno::EINVAL) => ME.give_up(text::name::ioctl, errno, text::HINT_CONTINUE),
            Err(_) => self.tell(text::TRACER_ENOENT, []),
        }

        if verdict == Verdict::FAREWELL {
            self.tell(text::TRACER_ENDS, []);
            sys::exit_group(status::FAREWELL)
        }
    }

    /// Waits where it was asked for, reads the path, decides and acts.
    fn judge(&mut self) -> Verdict {
        if self.options.delay > 0 {
            self.tell_got();
            if !self.is_alive(text::PRE_DELAY) {
                return Verdict::REFUSE;
            }
            self.delay();
            if !self.is_alive(text::POST_DELAY) {
                return Verdict::REFUSE;
            }
        }
        self.judge_path(&mut [0; SHORT]).unwrap_or_else(|| self.judge_long_path())
    }

    /// The same for a path that is longer than most, in a frame of its own.
    #[cold]
    #[inline(never)]
    fn judge_long_path(&mut self) -> Verdict {
        self.judge_path(&mut [0; PATH_MAX])
            .unwrap_or_else(|| self.cannot_read(text::PATH, Errno::ENAMETOOLONG))
    }

    /// Reads the path into `buffer`, decides and acts; nothing if it is too long for that.
    #[inline(never)]
    fn judge_path(&mut self, buffer: &mut [u8]) -> Option<Verdict> {
        let notif = &self.request.notif;
        let (address, mode) = (notif.data.args[arch::PATH], notif.data.args[arch::MODE]);
        let read = self.memory.read(Pid(notif.pid), address, buffer);

        // Only now it is known whose memory that was.
        if !self.is_alive(text::POST_OPEN) {
            return Some(Verdict::REFUSE);
        }
        let read = match read {
            Ok(read) => read as usize,
            Err(errno) => return Some(self.judge_nothing(errno)),
        };

        let Some((path, rest)) = buffer.get(..read).and_then(ZStr::split) else {
            if read == buffer.len() {
                return None;
            }
            return Some(self.cannot_read(text::PATH, Errno::EFAULT));
        };
        let length = read - rest.len() - 1;

        if self.options.delay > 0 {
            self.tell_about(text::TRACER_MKDIR, path, [mode]);
        } else {
            let notif = &self.request.notif;
            let numbers = [notif.pid.into(), notif.id, mode];
            self.tell_about(text::TRACER_GOT, path, numbers);
        }

        Some(if policy::creates(path) {
            let beneath = buffer.get_mut(policy::BENEATH.count_bytes()..=length)?;
            match self.place.make(beneath, mode as u32) {
                Ok(()) => Verdict(length as i64),
                Err(errno) => Verdict::error(errno),
            }
        } else if path == ZStr::from(policy::FAREWELL) {
            Verdict::FAREWELL
        } else if self.options.let_through {
            Verdict::CONTINUE
        } else {
            Verdict::REFUSE
        })
    }

    /// Decides where the target's memory could not be read, though the target is there.
    #[cold]
    #[inline(never)]
    fn judge_nothing(&self, errno: Errno) -> Verdict {
        match errno {
            // Nothing is at that address; EINVAL: it is in the kernel's half, and so a negative
            // offset.
            Errno::EIO | Errno::EINVAL | Errno::EFAULT => {
                self.cannot_read(text::PATH, Errno::EFAULT)
            }
            // Only the way without /proc fails like this.
            Errno::EPERM => ME.give_up(text::name::process_vm_readv, errno, text::HINT_MEMORY),
            Errno::ENOSYS => ME.give_up(text::name::process_vm_readv, errno, text::HINT_PROC),
            _ => ME.fail(text::name::pread64, errno),
        }
    }

    /// Refuses a path that cannot be read: that is the target's doing, and the tracer lives on.
    #[inline(never)]
    fn cannot_read(&self, what: Text, errno: Errno) -> Verdict {
        self.tell_got_late();
        ME.complain(what, errno);
        Verdict::error(errno)
    }

    /// Whether the call still waits; tells, if not, when that was found out.
    #[inline(never)]
    fn is_alive(&self, when: Text) -> bool {
        let alive = self.listener.is_valid(self.request.notif.id);
        if !alive {
            self.tell_got_late();
            ME.say(text::TRACER_DIED, [when.0.into()]);
        }
        alive
    }

    /// Lets the seconds pass, and counts them down.
    fn delay(&self) {
        let delay = u64::from(self.options.delay);
        self.tell(text::TRACER_DELAYS, [delay, delay]);
        for left in (0..delay).rev() {
            let mut second = Timespec { tv_sec: 1, tv_nsec: 0 };
            // Interrupted, it goes on with what remains.
            sys::nanosleep(&mut second).or_fail(ME);
            if left > 0 {
                self.tell(text::TRACER_COUNTS, [left]);
            }
        }
        self.tell(text::TRACER_DELAYED, []);
    }

    /// Tells that a notification came.
    #[inline(never)]
    fn tell_got(&self) {
        self.tell(text::TRACER_GOT, [self.request.notif.pid.into(), self.request.notif.id]);
    }

    /// The same where it has not been told before a delay.
    fn tell_got_late(&self) {
        if self.options.delay == 0 {
            self.tell_got();
        }
    }

    /// A line of the transcript, which the measuring mode has not.
    #[inline(always)]
    fn tell<const N: usize>(&self, text: Text, numbers: [u64; N]) {
        let [a, b, c] = pad(numbers);
        self.tell_all(text, None, a, b, c);
    }

    /// The same with a string.
    #[inline(always)]
    fn tell_about<const N: usize>(&self, text: Text, string: ZStr, numbers: [u64; N]) {
        let [a, b, c] = pad(numbers);
        self.tell_all(text, Some(string), a, b, c);
    }

    /// All that a line can have, in registers.
    #[inline(never)]
    fn tell_all(&self, text: Text, string: Option<ZStr>, a: u64, b: u64, c: u64) {
        if self.options.count == 0 {
            ME.say_about(text, string, [a, b, c]);
        }
    }
}
