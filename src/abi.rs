//! The kernel's vocabulary: `linux-raw-sys`'s types and constants under the types in which this
//! program uses them, and the few that it lacks. No function here does anything at run time.

pub use linux_raw_sys::general::{
    __kernel_sighandler_t as SignalHandler, __kernel_timespec as Timespec, iovec, itimerval,
    kernel_sigaction, kernel_sigset_t, pollfd, timeval,
};
pub use linux_raw_sys::net::{cmsghdr, msghdr};
pub use linux_raw_sys::ptrace::{
    seccomp_data, seccomp_notif, seccomp_notif_resp, seccomp_notif_sizes, sock_filter, sock_fprog,
};

use linux_raw_sys::{general, ioctl, net, prctl, ptrace};

/// Paths are relative to the working directory (`linux/fcntl.h`).
pub const AT_FDCWD: i32 = general::AT_FDCWD;
/// The clock that never jumps (`linux/time.h`).
pub const CLOCK_MONOTONIC: u32 = general::CLOCK_MONOTONIC;
/// Ask whether two descriptors stand for one open file; since Linux 6.10 (`linux/fcntl.h`).
pub const F_DUPFD_QUERY: u32 = general::F_DUPFD_QUERY;
/// The timer that sends SIGALRM (`linux/time.h`).
pub const ITIMER_REAL: u32 = general::ITIMER_REAL;
/// Pages that no file stands behind (`linux/mman.h`).
pub const MAP_PRIVATE_ANONYMOUS: u32 = general::MAP_PRIVATE | general::MAP_ANONYMOUS;
/// A handle on a place in the file system, not a file opened; no symbolic link followed to it, and
/// gone after an exec (`linux/fcntl.h`).
pub const O_PLACE: u32 = general::O_PATH | general::O_NOFOLLOW | general::O_CLOEXEC;
/// Open for reading; gone after an exec (`linux/fcntl.h`).
pub const O_READ: u32 = general::O_RDONLY | general::O_CLOEXEC;
/// The bytes of a path with its NUL that the kernel takes (`linux/limits.h`).
pub const PATH_MAX: usize = general::PATH_MAX as usize;
/// The other side has hung up (`linux/poll.h`).
pub const POLLHUP: i16 = general::POLLHUP as i16;
/// There is something to receive (`linux/poll.h`).
pub const POLLIN: i16 = general::POLLIN as i16;
/// There is room to write (`linux/poll.h`).
pub const POLLOUT: i16 = general::POLLOUT as i16;
/// Pages to read and write (`linux/mman.h`).
pub const PROT_READ_WRITE: u32 = general::PROT_READ | general::PROT_WRITE;
/// Give up all ways to gain privileges by exec (`linux/prctl.h`).
pub const PR_SET_NO_NEW_PRIVS: u32 = prctl::PR_SET_NO_NEW_PRIVS;
/// The signal that comes when the parent dies (`linux/prctl.h`).
pub const PR_SET_PDEATHSIG: u32 = prctl::PR_SET_PDEATHSIG;
/// Who may look into this process under Yama (`linux/prctl.h`).
pub const PR_SET_PTRACER: u32 = prctl::PR_SET_PTRACER;
/// Whether others of the same user may look into this process (`linux/prctl.h`).
pub const PR_SET_DUMPABLE: u32 = prctl::PR_SET_DUMPABLE;
/// A control message that carries descriptors (`linux/socket.h`).
pub const SCM_RIGHTS: u32 = net::SCM_RIGHTS;
/// Signal numbers (`signal(7)`).
pub const SIGALRM: u32 = general::SIGALRM;
/// See [`SIGALRM`].
pub const SIGCHLD: u32 = general::SIGCHLD;
/// See [`SIGALRM`].
pub const SIGCONT: u32 = general::SIGCONT;
/// See [`SIGALRM`].
pub const SIGINT: u32 = general::SIGINT;
/// See [`SIGALRM`].
pub const SIGKILL: u32 = general::SIGKILL;
/// See [`SIGALRM`].
pub const SIGPIPE: u32 = general::SIGPIPE;
/// The signals blocked throughout the demonstration (signal 1 has the lowest bit): SIGPIPE and SIGXFSZ, since a closed
/// pipe and a file that may not grow are failures to be told, like any other.
pub const HOLD: u64 = 1 << (SIGPIPE - 1) | 1 << (SIGXFSZ - 1);
/// The same with what the parent sends the tracer.
pub const HOLD_PARENTS: u64 = HOLD | 1 << (SIGTERM - 1) | 1 << (SIGALRM - 1);
/// The same as [`HOLD`] with SIGTTOU.
pub const HOLD_SIGTTOU: u64 = HOLD | 1 << (SIGTTOU - 1);
/// See [`SIGALRM`].
pub const SIGSYS: u32 = general::SIGSYS;
/// See [`SIGALRM`].
pub const SIGTERM: u32 = general::SIGTERM;
/// See [`SIGALRM`].
pub const SIGTTOU: u32 = general::SIGTTOU;
/// See [`SIGALRM`].
pub const SIGXFSZ: u32 = general::SIGXFSZ;
/// Replace the mask of blocked signals (`linux/signal.h`).
pub const SIG_SETMASK: u32 = general::SIG_SETMASK;
/// The level of socket options and control messages (`linux/socket.h`).
pub const SOL_SOCKET: u32 = net::SOL_SOCKET;
/// Sockets on this machine (`linux/socket.h`).
pub const AF_UNIX: u32 = net::AF_UNIX;
/// A byte stream that no exec inherits. `linux-raw-sys` lacks `SOCK_CLOEXEC`, which is `O_CLOEXEC` by
/// definition (`linux/net.h`).
pub const SOCK_STREAM_CLOEXEC: u32 = net::SOCK_STREAM | general::O_CLOEXEC;
/// Wait until a terminal has sent everything (`asm-generic/ioctls.h`).
pub const TCSBRK: u32 = ioctl::TCSBRK;
/// Do not wait for a child that has not ended (`linux/wait.h`).
pub const WNOHANG: u32 = general::WNOHANG;

/// `seccomp(2)`'s operations and flags (`linux/seccomp.h`).
pub const SECCOMP_SET_MODE_FILTER: u32 = ptrace::SECCOMP_SET_MODE_FILTER;
/// See [`SECCOMP_SET_MODE_FILTER`].
pub const SECCOMP_GET_NOTIF_SIZES: u32 = ptrace::SECCOMP_GET_NOTIF_SIZES;
/// See [`SECCOMP_SET_MODE_FILTER`].
pub const SECCOMP_FILTER_FLAG_NEW_LISTENER: u32 = ptrace::SECCOMP_FILTER_FLAG_NEW_LISTENER;
/// See [`SECCOMP_SET_MODE_FILTER`]; since Linux 5.19.
pub const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: u32 =
    ptrace::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
/// Let the target's call go on as it is; since Linux 5.5 (`linux/seccomp.h`).
pub const SECCOMP_USER_NOTIF_FLAG_CONTINUE: u32 = ptrace::SECCOMP_USER_NOTIF_FLAG_CONTINUE;
/// Wake the other side on this CPU; since Linux 6.6 (`linux/seccomp.h`).
pub const SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: usize =
    ptrace::SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP as usize;

/// A request for an answer (`struct seccomp_notif`), with room for what later kernels may append.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Request {
    /// What every kernel since 5.0 has.
    pub notif: seccomp_notif,
    growth: [u64; 8],
}

impl Request {
    /// All zeroes: the kernel refuses a buffer that is anything else (since 5.5 and 5.4.9).
    pub const ZERO: Self = Self {
        notif: seccomp_notif {
            id: 0,
            pid: 0,
            flags: 0,
            data: seccomp_data { nr: 0, arch: 0, instruction_pointer: 0, args: [0; 6] },
        },
        growth: [0; 8],
    };
}

/// An answer (`struct seccomp_notif_resp`), with room for a word that later kernels may append: the request
/// stands behind it, and instructions reach that by a short distance then.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Response {
    /// What every kernel since 5.0 has.
    pub resp: seccomp_notif_resp,
    growth: [u64; 1],
}

impl Response {
    /// Success, with the value 0, to nobody.
    pub const ZERO: Self =
        Self { resp: seccomp_notif_resp { id: 0, val: 0, error: 0, flags: 0 }, growth: [0; 1] };
}

/// A request and the answer to it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Exchange {
    /// The answer.
    pub response: Response,
    /// The request.
    pub request: Request,
}

impl Exchange {
    /// All zeroes.
    pub const ZERO: Self = Self { response: Response::ZERO, request: Request::ZERO };
}

/// The directions of an ioctl's argument, as seen from the program (`asm-generic/ioctl.h`).
const IOC_WRITE: u32 = 1;
const IOC_READ: u32 = 2;

/// An ioctl's number: direction, size of the argument in bytes, seccomp's letter, number
/// (`asm-generic/ioctl.h`; the layout is that of x86-64, aarch64 and riscv64).
const fn seccomp_ioctl(direction: u32, number: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | (ptrace::SECCOMP_IOC_MAGIC as u32) << 8 | number
}

/// Wait for a notification (`seccomp_unotify(2)`).
pub const SECCOMP_IOCTL_NOTIF_RECV: u32 =
    seccomp_ioctl(IOC_READ | IOC_WRITE, 0, size_of::<seccomp_notif>());
/// Answer one (`seccomp_unotify(2)`).
pub const SECCOMP_IOCTL_NOTIF_SEND: u32 =
    seccomp_ioctl(IOC_READ | IOC_WRITE, 1, size_of::<seccomp_notif_resp>());
/// Does one still wait? (`seccomp_unotify(2)`)
pub const SECCOMP_IOCTL_NOTIF_ID_VALID: u32 = seccomp_ioctl(IOC_WRITE, 2, size_of::<u64>());
/// The same before Linux 5.9, which had the direction wrong.
pub const SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR: u32 =
    seccomp_ioctl(IOC_READ, 2, size_of::<u64>());
/// Set the listener's flags; since Linux 6.6.
pub const SECCOMP_IOCTL_NOTIF_SET_FLAGS: u32 = seccomp_ioctl(IOC_WRITE, 4, size_of::<u64>());

const _: () = {
    assert!(SECCOMP_IOCTL_NOTIF_RECV == 0xc050_2100);
    assert!(SECCOMP_IOCTL_NOTIF_SEND == 0xc018_2101);
    assert!(SECCOMP_IOCTL_NOTIF_ID_VALID == 0x4008_2102);
    assert!(SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR == 0x8008_2102);
    assert!(SECCOMP_IOCTL_NOTIF_SET_FLAGS == 0x4008_2104);
};
