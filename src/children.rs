//! What a process that has children does, for the demonstration and for the probe: it gets ready for them, waits
//! for them, and tells how they ended.

use crate::abi::{O_CLOEXEC, O_NOFOLLOW, O_PATH, SIGCHLD, SIGSYS, SIGTERM};
use crate::fmt::Arg;
use crate::messages::{self, Text};
use crate::report::{Process, status};
use crate::signals;
use crate::sys::{self, CStrRef, Fd, Pid};

const ME: Process = Process::Parent;

/// Undoes what this process may have inherited and the program cannot work with.
pub fn prepare() {
    // Blocked or ignored signals would keep the tracer from being killed and the children from being waited for.
    // The parent's signals stay blocked until the tracer has printed its first line.
    signals::block(ME, signals::FROM_PARENT);
    signals::handle(ME, SIGCHLD, None);
    signals::handle(ME, SIGTERM, None);

    // Closed standard streams: the next descriptors would become them. `O_PATH` descriptors take their
    // numbers, and to write to one fails as on a closed one (EBADF).
    loop {
        let fd =
            sys::openat(Fd::CWD, CStrRef::new(c"/"), O_PATH | O_NOFOLLOW | O_CLOEXEC).or_fail(ME);
        if fd.0 > Fd::STDERR.0 {
            sys::close(fd).or_fail(ME);
            break;
        }
    }
}

/// How a child ended, as `wait(2)` encodes it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ended(u32);

impl Ended {
    /// It has not ended. No child ends with this.
    pub const NOT_YET: Self = Self(u32::MAX);

    /// It has exited with status 0.
    pub const WELL: Self = Self(status::SUCCESS);

    /// A signal ended it.
    #[must_use]
    pub const fn by_signal(signal: u32) -> Self {
        Self(signal)
    }

    /// Waits for a child and returns which one it was. Nothing changes if the options say not to wait and
    /// none has ended.
    pub fn wait(&mut self, child: Pid, options: u32) -> Pid {
        sys::wait4(child, &mut self.0, options).or_fail(ME)
    }

    /// Waits for a child, once.
    ///
    /// # Errors
    /// EINTR if a signal comes; else as `wait4(2)`.
    pub fn wait_once(&mut self, child: Pid) -> sys::Result<Pid> {
        sys::wait4(child, &mut self.0, 0).once()
    }

    /// The signal that ended it; 0 if it ended by itself.
    #[must_use]
    pub fn signal(self) -> u32 {
        self.0 & 0x7f
    }

    /// Its exit status; `None` if a signal ended it.
    #[must_use]
    pub fn exit_status(self) -> Option<u32> {
        if self.signal() == 0 { Some(self.0 >> 8 & 0xff) } else { None }
    }
}

/// Tells of a child that did not end as it should. Returns what that means for the exit status.
pub fn tell_ended(child: Text, ended: Ended) -> u32 {
    let child = Arg::Text(child);
    // The results are ignored: where this cannot be told, the exit status tells.
    if let Some(status) = ended.exit_status() {
        let _ = ME.try_print(Fd::STDERR, messages::CHILD_FAILED, &[child, Arg::Dec(status.into())]);
        return if status == status::UNSUPPORTED { status } else { status::FAILURE };
    }
    let signal = ended.signal();
    let (hint, status) = match signal {
        SIGSYS => (messages::HINT_SANDBOX, status::UNSUPPORTED),
        _ => (messages::EMPTY, status::FAILURE),
    };
    let args = &[child, Arg::Dec(signal.into()), Arg::Text(hint)];
    let _ = ME.try_print(Fd::STDERR, messages::CHILD_KILLED, args);
    status
}
