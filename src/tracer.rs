//! The tracer: receives each notification, looks at the path in the target's memory, decides, acts in
//! the target's place, and answers.

use crate::abi::{
    PATH_MAX, Request, Response, SECCOMP_USER_NOTIF_FLAG_CONTINUE, SIGTERM, Timespec,
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
    if options.count == 0 {
        let me = sys::getpid().or_fail(ME);
        ME.say(text::TRACER_PID, [me.0.into()]);
    }

    let listener = match handover::receive(socket) {
        Some(Fd::NONE) => ME.fail(text::NO_DESCRIPTOR, Errno::EMFILE),
        Some(listener) => listener,
        // The target failed, and has said why.
        None => sys::exit_group(status::SUCCESS),
    };

    let mut sizes =
        seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
    if let Err(errno) = sys::seccomp_get_notif_sizes(&mut sizes).result() {
        ME.fail_seccomp(errno)
    }
    let Some(fits) = Fits::new(&sizes) else { ME.fail(text::SIZES, Errno::EMSGSIZE) };

    let mut tracer = Tracer {
        options: *options,
        listener: Listener::new(listener, fits, target),
        place: Place::new(),
        memory: Memory::new(target),
        response: Response::ZERO,
        request: Request::ZERO,
    };
    while tracer.listener.receive(&mut tracer.request) {
        tracer.answer();
    }
    // Nobody is left under the filter.
    sys::exit_group(status::SUCCESS)
}

/// What the tracer needs for a notification, and what it keeps from one to the next.
struct Tracer {
    options: Options,
    listener: Listener,
    place: Place,
    memory: Memory,
    response: Response,
    request: Request,
}

/// Whether there will be another notification.
#[derive(PartialEq)]
enum Next {
    Notification,
    Farewell,
}

impl Tracer {
    /// Answers the notification that has been received.
    #[inline(never)]
    fn answer(&mut self) {
        self.response = Response::ZERO;
        self.response.resp.id = self.request.notif.id;
        let next = self.judge();
        if next == Next::Farewell {
            // The target may end before the farewell is said, and the parent come to kill the
            // tracer: let it be said all the same.
            sys::rt_sigprocmask(&(1 << (SIGTERM - 1))).or_fail(ME);
        }

        match self.listener.send(&self.response) {
            Ok(()) => {}
            // Before Linux 5.5, which brought the flag.
            Err(errno @ Errno::EINVAL) => ME.give_up(text::name::ioctl, errno, text::HINT_CONTINUE),
            Err(_) => self.tell(text::TRACER_ENOENT, []),
        }

        if next == Next::Farewell {
            self.tell(text::TRACER_ENDS, []);
            sys::exit_group(status::FAREWELL)
        }
    }

    /// Waits where it was asked for, reads the path, decides and acts.
    fn judge(&mut self) -> Next {
        if self.options.delay > 0 {
            self.tell_got();
            if !self.is_alive(text::PRE_DELAY) {
                return self.refuse(Errno::EPERM);
            }
            self.delay();
            if !self.is_alive(text::POST_DELAY) {
                return self.refuse(Errno::EPERM);
            }
        }
        self.judge_path(&mut [0; SHORT]).unwrap_or_else(|| self.judge_long_path())
    }

    /// The same for a path that is longer than most, in a frame of its own.
    #[cold]
    #[inline(never)]
    fn judge_long_path(&mut self) -> Next {
        self.judge_path(&mut [0; PATH_MAX])
            .unwrap_or_else(|| self.cannot_read(text::PATH, Errno::ENAMETOOLONG))
    }

    /// Reads the path into `buffer`, decides and acts; nothing if it is too long for that.
    #[inline(never)]
    fn judge_path(&mut self, buffer: &mut [u8]) -> Option<Next> {
        let notif = &self.request.notif;
        let (address, mode) = (notif.data.args[arch::PATH], notif.data.args[arch::MODE]);
        let read = self.memory.read(Pid(notif.pid), address, buffer);

        // Only now it is known whose memory that was.
        if !self.is_alive(text::POST_OPEN) {
            return Some(self.refuse(Errno::EPERM));
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

        if policy::creates(path) {
            let beneath = buffer.get_mut(policy::BENEATH.count_bytes()..=length)?;
            match self.place.make(beneath, mode as u32) {
                // An odd number for mkdir: it shows that the tracer made it up.
                Ok(()) => self.response.resp.val = length as i64,
                Err(errno) => return Some(self.refuse(errno)),
            }
        } else if path == ZStr::from(policy::FAREWELL) {
            self.refuse(Errno::EPERM);
            return Some(Next::Farewell);
        } else if self.options.let_through() {
            self.response.resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        } else {
            self.refuse(Errno::EPERM);
        }
        Some(Next::Notification)
    }

    /// Decides where the target's memory could not be read, though the target is there.
    #[cold]
    #[inline(never)]
    fn judge_nothing(&mut self, errno: Errno) -> Next {
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
    fn cannot_read(&mut self, what: Text, errno: Errno) -> Next {
        self.tell_got_late();
        ME.complain(what, errno);
        self.refuse(errno)
    }

    /// The target's call is to fail.
    fn refuse(&mut self, errno: Errno) -> Next {
        self.response.resp.error = -errno.into_raw();
        Next::Notification
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
