//! The tracer: receives each notification, looks at the path in the target's memory, decides, acts in
//! the target's place, and answers.

use core::mem::MaybeUninit;

use crate::abi::{Exchange, HOLD_PARENTS, PATH_MAX, SECCOMP_USER_NOTIF_FLAG_CONTINUE, Timespec};
use crate::arch;
use crate::failure::{Process, Speech, status};
use crate::handover;
use crate::listener::Listener;
use crate::memory::Memory;
use crate::options::Options;
use crate::policy::{self, Place};
use crate::sys::{self, Answer, Errno, Fd, Fits, Pid, Reading, ZStr};
use crate::text::{self, Text};

const ME: Process = Process::TRACER;

/// What the target asked for: behind [`text::TRACER_GOT`], or after a delay as a line of its own.
const MKDIR: Text = text::TRACER_MKDIR;

/// The bytes of a path that are read at first: few are longer, and a short read is a cheap one.
const SHORT: usize = 120;

/// Runs the tracer, with its end of the socket pair.
#[inline(always)]
pub fn run(options: &Options, target: Pid, socket: Fd) -> ! {
    let listener = match handover::receive(socket) {
        Some(Fd::NONE) => ME.fail(text::NO_DESCRIPTOR, Errno::EMFILE),
        Some(listener) => listener,
        // The target failed, and has said why.
        None => sys::exit_group(status::SUCCESS),
    };

    let sizes = match sys::seccomp_get_notif_sizes() {
        Ok(sizes) => sizes,
        Err(errno) => ME.fail_seccomp(errno, text::HINT_SECCOMP),
    };
    let Some(fits) = Fits::new(&sizes) else { ME.fail(text::SIZES, Errno::EMSGSIZE) };

    let mut tracer = Tracer {
        options: *options,
        listener: Listener::new(listener, fits, target),
        place: Place::new(),
        memory: Memory::new(target),
        ends: false,
        exchange: Exchange::ZERO,
    };
    while tracer.listener.receive(&mut tracer.exchange) {
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
    /// Whether this notification is the last one.
    ends: bool,
    exchange: Exchange,
}

impl Tracer {
    /// Answers the notification that has been received.
    #[inline(never)]
    fn answer(&mut self) {
        // Whatever is not decided otherwise is refused. All else in the response is 0 from before the request came.
        self.exchange.response.resp.id = self.exchange.request.notif.id;
        self.fail_call(Errno::EPERM);
        self.judge();

        let sent = self.listener.send(&self.exchange.response);
        if sent.is_error() {
            if sent.is(Errno::EINVAL) {
                // Before Linux 5.5, which brought the flag.
                ME.give_up(text::name::ioctl, Errno::EINVAL, text::HINT_CONTINUE)
            }
            self.tell(text::TRACER_ENOENT, None);
        }

        if self.ends {
            self.tell(text::TRACER_ENDS, None);
            sys::exit_group(status::FAREWELL)
        }
    }

    /// Waits where it was asked for, reads the path, decides and acts.
    #[inline(always)]
    fn judge(&mut self) {
        if self.options.delay > 0 {
            self.tell(text::TRACER_GOT, None);
            if !self.is_alive(text::PRE_DELAY) {
                return;
            }
            self.delay();
            if !self.is_alive(text::POST_DELAY) {
                return;
            }
        }
        self.judge_path(&mut [MaybeUninit::uninit(); SHORT]);
    }

    /// The same for a path that is longer than most, in a frame of its own.
    #[cold]
    #[inline(never)]
    fn judge_long_path(&mut self) {
        self.judge_path(&mut [MaybeUninit::uninit(); PATH_MAX]);
    }

    /// Reads the path into `memory`, decides and acts.
    #[inline(never)]
    fn judge_path(&mut self, memory: &mut [MaybeUninit<u8>]) {
        let mut reading = Reading::new(memory);
        let notif = &self.exchange.request.notif;
        let address = notif.data.args[arch::PATH];
        self.memory.read(Pid(notif.pid), address, &mut reading);

        // Only now it is known whose memory that was.
        if !self.is_alive(text::POST_OPEN) {
            return;
        }
        let (answer, room) = (reading.answer(), reading.room());
        let bytes = reading.bytes().unwrap_or_default();
        let Some(path) = ZStr::take(&mut &*bytes) else { return self.judge_nothing(answer, room) };
        self.tell(if self.options.delay > 0 { MKDIR } else { text::TRACER_GOT }, Some(path));

        if policy::creates(path) {
            let length = path.count();
            let mode = self.mode() as u32;
            let Some(beneath) = bytes.get_mut(policy::BENEATH.count_bytes()..=length) else {
                return;
            };
            let answer = self.place.make(beneath, mode);
            // A strange number for mkdir: it shows that the tracer made it up.
            self.let_call_return(length as i64);
            // Where this is one, the value does not count.
            self.exchange.response.resp.error = answer.error_number();
        } else if path == ZStr::from(policy::FAREWELL) {
            self.ends = true;
            // The target may end before the farewell is said, and the parent come to kill the
            // tracer: let it be said all the same.
            sys::rt_sigprocmask(ME, HOLD_PARENTS);
        } else if self.options.let_through() {
            self.let_call_return(0);
            self.exchange.response.resp.flags |= SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        }
    }

    /// The target's call will fail with `errno`.
    #[inline(always)]
    fn fail_call(&mut self, errno: Errno) {
        self.exchange.response.resp.error = -errno.into_raw();
    }

    /// The target's call will return `value`.
    #[inline(always)]
    fn let_call_return(&mut self, value: i64) {
        self.exchange.response.resp.error = 0;
        self.exchange.response.resp.val = value;
    }

    /// The mode that the target asked for.
    fn mode(&self) -> u64 {
        self.exchange.request.notif.data.args[arch::MODE]
    }

    /// Decides where what was read into a buffer of `room` bytes is no path, though the target is there.
    #[cold]
    #[inline(never)]
    fn judge_nothing(&mut self, read: Answer<usize>, room: usize) {
        let too_long = Errno::ENAMETOOLONG;
        let errno = match read.result() {
            // Nothing is behind what was read.
            Ok(read) if read < room => {
                return self.cannot_read(ME.speech(text::PATH), Errno::EFAULT, Errno::EFAULT);
            }
            Ok(_) if room < PATH_MAX => return self.judge_long_path(),
            Ok(_) => return self.cannot_read(ME.speech(text::PATH), too_long, too_long),
            Err(errno) => errno,
        };
        let call = ME.speech(self.memory.call());
        let hint = match errno {
            // Nothing is at that address; EINVAL: it is in the kernel's half, and so a negative
            // offset.
            Errno::EIO | Errno::EINVAL | Errno::EFAULT => {
                return self.cannot_read(call, errno, Errno::EFAULT);
            }
            // `process_vm_readv` fails like this.
            Errno::EPERM => text::HINT_MEMORY,
            Errno::ENOSYS => text::HINT_PROC,
            _ => call.fail(errno),
        };
        call.give_up(errno, hint)
    }

    /// Refuses, with the errno that the kernel would give, a path that cannot be read because of what
    /// is told. That is the target's doing, and the tracer lives on.
    #[inline(never)]
    fn cannot_read(&mut self, what: Speech, why: Errno, errno: Errno) {
        self.fail_call(errno);
        self.tell_got_late();
        what.complain(why, text::NOTHING);
    }

    /// Whether the call still waits; tells, if not, when that was found out.
    #[inline(never)]
    fn is_alive(&self, when: Text) -> bool {
        if self.listener.is_valid(&self.exchange.request.notif.id) {
            return true;
        }
        self.tell_got_late();
        ME.say(text::TRACER_DIED, [when.0.into()]);
        false
    }

    /// Lets the seconds, one or more, pass, and counts them down.
    fn delay(&self) {
        let mut left = self.options.delay;
        let mut text = text::TRACER_DELAYS;
        while left > 0 {
            self.tell_all(ME.speech(text), None, [left.into(), left.into()]);
            text = text::TRACER_COUNTS;
            // Interrupted, it goes on with what remains.
            sys::nanosleep(&mut Timespec { tv_sec: 1, tv_nsec: 0 }).or_fail(ME);
            left -= 1;
        }
        self.tell(text::TRACER_DELAYED, None);
    }

    /// Tells that a notification came, where that has not been told before a delay.
    fn tell_got_late(&self) {
        if self.options.delay == 0 {
            self.tell(text::TRACER_GOT, None);
        }
    }

    /// A line of the transcript, which may name what the notification says and `path`.
    #[inline(always)]
    fn tell(&self, text: Text, path: Option<ZStr>) {
        self.tell_speech(ME.speech(text), path);
    }

    /// The same; the callers have the speech as a constant, or one of two.
    #[inline(never)]
    fn tell_speech(&self, speech: Speech, path: Option<ZStr>) {
        let notif = &self.exchange.request.notif;
        let then = if path.is_some() { MKDIR } else { text::NOTHING };
        // As a line of its own, this takes one number, the mode.
        let first = if speech == ME.speech(MKDIR) { self.mode() } else { notif.pid.into() };
        self.tell_all(speech, path, [first, notif.id, then.0.into(), self.mode()]);
    }

    /// A line of the transcript, which the measuring mode has not.
    #[inline(always)]
    fn tell_all<const N: usize>(&self, speech: Speech, path: Option<ZStr>, numbers: [u64; N]) {
        if self.options.count == 0 {
            speech.say_about(path, numbers);
        }
    }
}
