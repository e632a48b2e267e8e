//! What calls take and return: descriptors, process IDs, errors.

use core::num::NonZero;

use linux_raw_sys::errno;

use super::FromRet;
use crate::abi::{PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, PR_SET_PTRACER};

/// The result of a system call.
pub type Result<T> = core::result::Result<T, Error>;

/// A system call that failed: which one, and why.
///
/// Both are in one word, the call's number in 15 bits of the upper half: so the results of all functions travel in
/// registers. With two fields they would go through memory, which would make the code a third larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(NonZero<u32>);

impl Error {
    /// In every error, so that a result without a value is one word too.
    const MARK: NonZero<u32> = NonZero::new(1 << 31).unwrap();

    /// The failure of the call with this number (`asm/unistd.h`).
    #[must_use]
    pub fn new(call: u32, errno: Errno) -> Self {
        Self(Self::MARK | call << 16 | errno.0)
    }

    /// The call's number (`asm/unistd.h`).
    #[must_use]
    pub const fn call(self) -> u32 {
        (self.0.get() & !Self::MARK.get()) >> 16
    }

    /// Why it failed.
    #[must_use]
    pub const fn errno(self) -> Errno {
        Errno(self.0.get() & 0xffff)
    }

    /// The bytes with which a process tells it to another one.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.get().to_ne_bytes()
    }

    /// What a process has told with these bytes; `None` if they are 0.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 4]) -> Option<Self> {
        NonZero::new(u32::from_ne_bytes(bytes)).map(Self)
    }

    /// Whether it failed for this reason.
    #[must_use]
    pub fn is(self, errno: Errno) -> bool {
        self.errno() == errno
    }
}

/// An error number (`errno(3)`); those of the kernel are 1 to 4095.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(u32);

macro_rules! errnos {
    ($($name:ident)*) => {
        /// The error numbers that the program treats in some way (`errno(3)`).
        #[allow(missing_docs)]
        impl Errno {
            $(pub const $name: Self = Self(errno::$name);)*
        }
    };
}

errnos! {
    EACCES EAGAIN EBUSY ECONNRESET EEXIST EFAULT EINPROGRESS EINTR EINVAL EIO ELOOP EMFILE EMSGSIZE ENAMETOOLONG
    ENFILE ENOBUFS ENOENT ENOMEM ENOSYS ENOTDIR EPERM EPIPE ESRCH ETOOMANYREFS
}

impl Errno {
    /// In the place of an error: the call succeeded, and did something wrong.
    pub const NONE: Self = Self(0);

    /// In the place of an error: the kernel killed the process for the call (SIGSYS).
    pub const KILLED: Self = Self(4096);

    /// The error with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A file descriptor: only its number. Nothing closes it by itself: whoever opened it does.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fd(pub i32);

impl Fd {
    /// Standard output.
    pub const STDOUT: Self = Self(1);
    /// Standard error.
    pub const STDERR: Self = Self(2);
    /// In the place of a directory: the working directory (`openat(2)`).
    pub const CWD: Self = Self(crate::abi::AT_FDCWD);
}

/// A process ID.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pid(pub u32);

impl Pid {
    /// The first process of a PID namespace, or of the machine.
    pub const INIT: Self = Self(1);
    /// In the place of a process that is not visible in this PID namespace (`pid_namespaces(7)`).
    pub const NOT_VISIBLE: Self = Self(0);
    /// For `wait4(2)`: any child.
    pub const ANY: Self = Self(u32::MAX);
}

/// An operation of `prctl(2)` whose argument is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation(u32);

impl Operation {
    /// Whether other processes of the same user may read this one's memory: 1 or 0.
    pub const SET_DUMPABLE: Self = Self(PR_SET_DUMPABLE);
    /// Whether this process can no longer gain privileges: 1.
    pub const SET_NO_NEW_PRIVS: Self = Self(PR_SET_NO_NEW_PRIVS);
    /// The signal that this process gets when its parent ends.
    pub const SET_PDEATHSIG: Self = Self(PR_SET_PDEATHSIG);
    /// The process that may trace this one, with its descendants (Yama).
    pub const SET_PTRACER: Self = Self(PR_SET_PTRACER);

    /// Its number (`linux/prctl.h`).
    pub(super) const fn number(self) -> u32 {
        self.0
    }
}

/// Which of the two processes this is after a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The new one.
    Child,
    /// The old one, with the new one's PID.
    Parent(Pid),
}

/// What came over a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message with a descriptor.
    Descriptor(Fd),
    /// A message without one, and its bytes, which are 0 if it was sent with a descriptor: then a security
    /// module has taken that out, or there is no room for it (`RLIMIT_NOFILE`).
    NoDescriptor([u8; 4]),
    /// No message: the other end is closed.
    EndOfStream,
}

impl FromRet for () {
    fn from_ret(_: usize) {}
}

impl FromRet for usize {
    fn from_ret(ret: usize) -> Self {
        ret
    }
}

impl FromRet for Fd {
    fn from_ret(ret: usize) -> Self {
        Self(ret as i32)
    }
}

impl FromRet for Pid {
    fn from_ret(ret: usize) -> Self {
        Self(ret as u32)
    }
}

impl FromRet for Fork {
    fn from_ret(ret: usize) -> Self {
        if ret == 0 { Self::Child } else { Self::Parent(Pid(ret as u32)) }
    }
}
