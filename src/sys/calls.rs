//! The system calls that the program makes, in alphabetical order, each with its prototype.
//!
//! Most return a [`Call`], which the caller makes with `or_fail`, `result` or `once`. Where the arguments point to
//! what lives only in the function, it makes the call itself.

use core::ptr::{null, null_mut};
use core::slice;

use super::{
    Argument, CStrRef, Call, Errno, Error, Fd, Fork, Operation, Pid, Received, Result, six_args,
};
use crate::abi::{
    AF_UNIX, F_DUPFD_QUERY, ITIMER_REAL, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE,
    Request, Response, SCM_RIGHTS, SECCOMP_GET_NOTIF_SIZES, SECCOMP_IOCTL_NOTIF_ADDFD,
    SECCOMP_IOCTL_NOTIF_ID_VALID, SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR, SECCOMP_IOCTL_NOTIF_RECV,
    SECCOMP_IOCTL_NOTIF_SEND, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_SET_MODE_FILTER, SIG_SETMASK,
    SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, TCSBRK, Timespec, Utsname, cmsghdr, iovec, itimerval,
    kernel_sigset_t, msghdr, nr, open_how, pollfd, seccomp_notif_addfd, seccomp_notif_sizes,
    sock_filter, sock_fprog,
};
use crate::arch::{self, Disposition};

/// A system call: `call!(__NR_close, fd)`. It is unsafe to write one: whoever does says which memory the call
/// reads or writes.
macro_rules! call {
    ($number:ident $(, $argument:expr)*) => { Call::new(nr::$number, [$($argument.word()),*]) };
}

/// `int clock_gettime(clockid_t clock, struct timespec *now)`, with seconds of 64 bits
pub fn clock_gettime(clock: u32, now: &mut Timespec) -> Call<'_, (), 2> {
    // SAFETY: writes `now`.
    unsafe { Call::new(arch::CLOCK_GETTIME.number, [clock.word(), (&raw mut *now).word()]) }
}

/// `int close(int fd)`
pub fn close(fd: Fd) -> Call<'static, (), 1> {
    // SAFETY: touches no memory.
    unsafe { call!(__NR_close, fd) }
}

/// `void exit_group(int status)`
pub fn exit_group(status: u32) -> ! {
    loop {
        // SAFETY: touches no memory.
        let exit: Call<(), 1> = unsafe { call!(__NR_exit_group, status) };
        // The result is ignored: only a supervisor or a debugger can make this fail.
        let _ = exit.once();
    }
}

/// `int fcntl(int a, F_DUPFD_QUERY, int b)`: returns 1 if both descriptors are of one open file, else 0; Linux
/// 6.10 and later
pub fn fcntl_dupfd_query(a: Fd, b: Fd) -> Call<'static, usize, 3> {
    // SAFETY: touches no memory.
    unsafe { call!(__NR_fcntl, a, F_DUPFD_QUERY, b) }
}

/// `pid_t fork(void)`
pub fn fork() -> Call<'static, Fork, 2> {
    // SAFETY: touches no memory. The child goes on in a copy of it, as its only thread.
    unsafe { Call::new(arch::FORK.number, arch::FORK_ARGS) }
}

/// `pid_t getpid(void)`
pub fn getpid() -> Call<'static, Pid, 0> {
    // SAFETY: touches no memory.
    unsafe { call!(__NR_getpid) }
}

/// `pid_t getppid(void)`
pub fn getppid() -> Call<'static, Pid, 0> {
    // SAFETY: touches no memory.
    unsafe { call!(__NR_getppid) }
}

/// Proof that this kernel's requests and responses are not longer than [`Request`] and [`Response`], so that
/// the kernel may write to one. Only [`seccomp_get_notif_sizes`] makes it.
#[derive(Clone, Copy)]
pub struct BuffersFit(());

/// `int ioctl(int listener, SECCOMP_IOCTL_NOTIF_ADDFD, struct seccomp_notif_addfd *add)`: returns the number of
/// the descriptor in the process that waits
pub fn ioctl_addfd(listener: Fd, add: &seccomp_notif_addfd) -> Call<'_, Fd, 3> {
    // SAFETY: reads `add`. No other kind of file knows this number.
    unsafe { call!(__NR_ioctl, listener, SECCOMP_IOCTL_NOTIF_ADDFD, &raw const *add) }
}

/// `int ioctl(int terminal, TCSBRK, 1)`: waits until the terminal has sent all that was written to it
/// (`tcdrain(3)`, `TCSBRK(2const)`)
pub fn ioctl_drain(terminal: Fd) -> Call<'static, (), 3> {
    // SAFETY: touches no memory. Another kind of file that knows this number would find no address in 1.
    unsafe { call!(__NR_ioctl, terminal, TCSBRK, 1_usize) }
}

/// `int ioctl(int listener, SECCOMP_IOCTL_NOTIF_ID_VALID, uint64_t *id)`
///
/// # Errors
/// As `seccomp_unotify(2)`.
pub fn ioctl_id_valid(listener: Fd, id: &u64) -> Result<()> {
    let ask = |number: u32| -> Call<'_, (), 3> {
        // SAFETY: reads `id`. No other kind of file knows these numbers.
        unsafe { call!(__NR_ioctl, listener, number, &raw const *id) }
    };
    match ask(SECCOMP_IOCTL_NOTIF_ID_VALID).result() {
        // Before Linux 5.9 the ioctl has another number.
        Err(error) if error.is(Errno::EINVAL) => {
            ask(SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR).result()
        }
        answer => answer,
    }
}

/// `int ioctl(int listener, SECCOMP_IOCTL_NOTIF_RECV, struct seccomp_notif *request)`
pub fn ioctl_recv(_: BuffersFit, listener: Fd, request: &mut Request) -> Call<'_, (), 3> {
    // SAFETY: reads and writes `request`, which is long enough; any bytes are a value of it. No other kind of file
    // knows this number.
    unsafe { call!(__NR_ioctl, listener, SECCOMP_IOCTL_NOTIF_RECV, &raw mut *request) }
}

/// `int ioctl(int listener, SECCOMP_IOCTL_NOTIF_SEND, struct seccomp_notif_resp *response)`
pub fn ioctl_send(_: BuffersFit, listener: Fd, response: &Response) -> Call<'_, (), 3> {
    // SAFETY: reads `response`, which is long enough. No other kind of file knows this number.
    unsafe { call!(__NR_ioctl, listener, SECCOMP_IOCTL_NOTIF_SEND, &raw const *response) }
}

/// `int ioctl(int listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, unsigned long flags)`: the flags by value
pub fn ioctl_set_flags(listener: Fd, flags: u32) -> Call<'static, (), 3> {
    // SAFETY: touches no memory. No other kind of file knows this number.
    unsafe { call!(__NR_ioctl, listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags) }
}

/// `int kill(pid_t pid, int signal)`; signal 0 only asks whether the process is there
pub fn kill(pid: Pid, signal: u32) -> Call<'static, (), 2> {
    // SAFETY: touches no memory.
    unsafe { call!(__NR_kill, pid, signal) }
}

/// `int mkdir(const char *path, mode_t mode)`, the notified call: returns what the supervisor chose, or what
/// the kernel returns
pub fn mkdir(path: CStrRef<'_>, mode: u32) -> Call<'_, usize, 3> {
    // SAFETY: reads `path` up to its NUL.
    unsafe { Call::new(arch::NOTIFIED.number, arch::mkdir_args(path.word(), mode.word())) }
}

/// `int mkdirat(int directory, const char *path, mode_t mode)`
pub fn mkdirat(directory: Fd, path: CStrRef<'_>, mode: u32) -> Call<'_, (), 3> {
    // SAFETY: reads `path` up to its NUL.
    unsafe { call!(__NR_mkdirat, directory, path, mode) }
}

/// Pages that [`mmap`] has made. They stay until [`munmap`].
pub struct Mapping(&'static mut [u8]);

impl Mapping {
    /// Its bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        self.0
    }
}

/// `void *mmap(NULL, size_t length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)`: `length`
/// bytes, all 0
///
/// # Errors
/// As `mmap(2)`.
#[inline(always)]
pub fn mmap(length: usize) -> Result<Mapping> {
    const PROTECTION: u32 = PROT_READ | PROT_WRITE;
    const FLAGS: u32 = MAP_PRIVATE | MAP_ANONYMOUS;
    let number = arch::MMAP.number;
    // A program of 32 bits may have more memory in one piece than a slice may have.
    if usize::BITS == 32 && length > isize::MAX as usize {
        return Err(Error::new(number, Errno::ENOMEM));
    }
    let mut args = [0, length, PROTECTION.word(), FLAGS.word(), NO_FD.word(), 0];
    let block = args;
    if arch::MMAP_TAKES_ADDRESS {
        args = [block.as_ptr().word(), 0, 0, 0, 0, 0];
    }
    // SAFETY: the kernel chooses an address where nothing is mapped. It reads `block` if it takes its address.
    let address: usize = unsafe { six_args(number, args) }?;
    if address == 0 {
        // A sandbox says that the call succeeded, and has not made it.
        return Err(Error::new(number, Errno::ENOSYS));
    }
    // SAFETY: `length` bytes are mapped there, and nothing else refers to them.
    Ok(Mapping(unsafe { slice::from_raw_parts_mut(address as *mut u8, length) }))
}

/// `int munmap(void *address, size_t length)`
pub fn munmap(mapping: Mapping) -> Call<'static, (), 2> {
    let bytes = mapping.0;
    // SAFETY: these are whole pages, and the only reference to them ends here.
    unsafe { call!(__NR_munmap, bytes.as_mut_ptr(), bytes.len()) }
}

/// `int nanosleep(const struct timespec *time, struct timespec *remaining)`: a signal leaves in `time` what
/// remains
pub fn nanosleep(time: &mut Timespec) -> Call<'_, (), 4> {
    let time = (&raw mut *time).word();
    // SAFETY: reads `time`, then writes it.
    unsafe { Call::new(arch::NANOSLEEP.number, arch::nanosleep_args(time, time)) }
}

/// `int openat(int directory, const char *path, int flags)`
pub fn openat(directory: Fd, path: CStrRef<'_>, flags: u32) -> Call<'_, Fd, 3> {
    // SAFETY: reads `path` up to its NUL.
    unsafe { call!(__NR_openat, directory, path, flags) }
}

/// `int openat2(int directory, const char *path, const struct open_how *how, size_t size)`; Linux 5.6 and later
pub fn openat2<'a>(directory: Fd, path: CStrRef<'a>, how: &'a open_how) -> Call<'a, Fd, 4> {
    // SAFETY: reads `path` up to its NUL and `how`.
    unsafe { call!(__NR_openat2, directory, path, &raw const *how, size_of::<open_how>()) }
}

/// `int ppoll(struct pollfd *fds, nfds_t 1, NULL, NULL)`: waits without a limit
pub fn ppoll(poll: &mut pollfd) -> Call<'_, (), 3> {
    // SAFETY: reads and writes `poll`, the only element; there is no mask of signals.
    unsafe { Call::new(arch::PPOLL.number, [(&raw mut *poll).word(), 1, 0]) }
}

/// `int pidfd_getfd(int process, int fd, 0)`: returns a copy of the other process's descriptor
pub fn pidfd_getfd(process: Fd, fd: Fd) -> Call<'static, Fd, 3> {
    // SAFETY: touches no memory.
    unsafe { call!(__NR_pidfd_getfd, process, fd, 0_usize) }
}

/// `int pidfd_open(pid_t pid, 0)`
pub fn pidfd_open(pid: Pid) -> Call<'static, Fd, 2> {
    // SAFETY: touches no memory.
    unsafe { call!(__NR_pidfd_open, pid, 0_usize) }
}

/// `int prctl(int operation, unsigned long argument, 0, 0, 0)`
pub fn prctl(operation: Operation, argument: u32) -> Call<'static, (), 2> {
    // SAFETY: an `Operation` touches no memory.
    unsafe { call!(__NR_prctl, operation.number(), argument) }
}

/// `ssize_t pread(int fd, void *buffer, size_t length, off64_t offset)`: returns the number of bytes
///
/// # Errors
/// As `pread(2)`.
pub fn pread(fd: Fd, buffer: &mut [u8], offset: u64) -> Result<usize> {
    let [fourth, fifth, sixth] = arch::pread_offset(offset);
    let args = [fd.word(), buffer.as_mut_ptr().word(), buffer.len(), fourth, fifth, sixth];
    // SAFETY: writes within `buffer`.
    unsafe { six_args(nr::__NR_pread64, args) }
}

/// `ssize_t process_vm_readv(pid_t pid, one local iovec, one remote iovec, 0)`: returns the number of bytes
///
/// # Errors
/// As `process_vm_readv(2)`.
pub fn process_vm_readv(pid: Pid, buffer: &mut [u8], address: u64) -> Result<usize> {
    let local = iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() as _ };
    // A program of 32 bits kills calls of 64 bits by its filter, so an address of its target has 32 bits.
    let remote = iovec { iov_base: address as *mut _, iov_len: buffer.len() as _ };
    let args = [pid.word(), (&raw const local).word(), 1, (&raw const remote).word(), 1, 0];
    // SAFETY: writes within `buffer`. `address` is only read, and the kernel looks whether it can be.
    unsafe { six_args(nr::__NR_process_vm_readv, args) }
}

/// `ssize_t readlinkat(int directory, const char *path, char *buffer, size_t length)`: returns the number of
/// bytes; EINVAL if this is no symbolic link
pub fn readlinkat<'a>(
    directory: Fd,
    path: CStrRef<'a>,
    buffer: &'a mut [u8],
) -> Call<'a, usize, 4> {
    // SAFETY: reads `path` up to its NUL and writes within `buffer`.
    unsafe { call!(__NR_readlinkat, directory, path, buffer.as_mut_ptr(), buffer.len()) }
}

/// The control data of a message with one descriptor (`cmsg(3)`), aligned as the kernel wants it.
#[repr(C, align(8))]
struct Rights {
    header: cmsghdr,
    fd: Fd,
}

/// In the place of a descriptor: none.
const NO_FD: Fd = Fd(-1);

/// `ssize_t recvmsg(int socket, struct msghdr *message, 0)`, for the message that [`sendmsg`] sends
///
/// # Errors
/// As `recvmsg(2)`.
pub fn recvmsg(socket: Fd) -> Result<Received> {
    receive(socket, false)
}

/// The same, once: EINTR if a signal comes.
///
/// # Errors
/// As `recvmsg(2)`.
pub fn recvmsg_once(socket: Fd) -> Result<Received> {
    receive(socket, true)
}

fn receive(socket: Fd, once: bool) -> Result<Received> {
    let (mut fd, mut data) = (NO_FD, [0; 4]);
    Ok(match with_message(nr::__NR_recvmsg, socket, &mut fd, &mut data, once)? {
        0 => Received::EndOfStream,
        _ if fd == NO_FD => Received::NoDescriptor(data),
        _ => Received::Descriptor(fd),
    })
}

/// `ssize_t sendmsg(int socket, struct msghdr *message, 0)`: sends `fd` (`unix(7)`)
///
/// # Errors
/// As `sendmsg(2)`.
pub fn sendmsg(socket: Fd, fd: Fd) -> Result<()> {
    with_message(nr::__NR_sendmsg, socket, &mut { fd }, &mut [0; 4], false)?;
    Ok(())
}

/// Sends or receives a message of a few bytes, since a stream has no message without data, with one descriptor.
/// Returns the number of bytes.
fn with_message(
    number: u32,
    socket: Fd,
    fd: &mut Fd,
    data: &mut [u8; 4],
    once: bool,
) -> Result<usize> {
    let mut rights = Rights {
        header: cmsghdr {
            // Without the padding after the descriptor.
            cmsg_len: size_of::<cmsghdr>() + size_of::<Fd>(),
            cmsg_level: SOL_SOCKET as i32,
            cmsg_type: SCM_RIGHTS as i32,
        },
        fd: *fd,
    };
    let mut data = iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() as _ };
    let mut message = msghdr {
        msg_name: null_mut(),
        msg_namelen: 0,
        // linux-raw-sys has an opaque `iovec` here; this is the same structure.
        msg_iov: (&raw mut data).cast(),
        msg_iovlen: 1,
        msg_control: (&raw mut rights).cast(),
        msg_controllen: size_of::<Rights>(),
        msg_flags: 0,
    };
    // SAFETY: reads or writes `message`, `data`, its bytes and `rights`; any bytes are a value of them.
    let call: Call<usize, 3> =
        unsafe { Call::new(number, [socket.word(), (&raw mut message).word(), 0]) };
    let length = if once { call.once() } else { call.result() }?;
    *fd = rights.fd;
    Ok(length)
}

/// `int rt_sigaction(int signal, const struct sigaction *action, NULL, size_t 8)`
pub fn rt_sigaction(signal: u32, action: &Disposition) -> Call<'_, (), 4> {
    let size = size_of::<kernel_sigset_t>();
    // SAFETY: reads `action`. Its handler, if any, takes a signal's number, may be called at any time, and can
    // return.
    unsafe { call!(__NR_rt_sigaction, signal, &raw const *action, null::<u8>(), size) }
}

/// `int rt_sigprocmask(SIG_SETMASK, const sigset_t *mask, NULL, size_t 8)`: blocks the signals whose bits are
/// set, and no others; the lowest bit is signal 1
pub fn rt_sigprocmask(mask: &u64) -> Call<'_, (), 4> {
    // SAFETY: reads `mask`.
    unsafe {
        call!(__NR_rt_sigprocmask, SIG_SETMASK, &raw const *mask, null::<u8>(), size_of::<u64>())
    }
}

/// `int seccomp(SECCOMP_GET_NOTIF_SIZES, 0, struct seccomp_notif_sizes *sizes)`, and compares the sizes with those of
/// the buffers
///
/// # Errors
/// EMSGSIZE if this kernel's requests or responses are longer; else as `seccomp(2)`.
pub fn seccomp_get_notif_sizes() -> Result<BuffersFit> {
    let mut sizes =
        seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
    // SAFETY: writes `sizes`.
    let call: Call<(), 3> =
        unsafe { call!(__NR_seccomp, SECCOMP_GET_NOTIF_SIZES, 0_usize, &raw mut sizes) };
    call.result()?;
    let fit = usize::from(sizes.seccomp_notif) <= size_of::<Request>()
        && usize::from(sizes.seccomp_notif_resp) <= size_of::<Response>();
    if fit { Ok(BuffersFit(())) } else { Err(Error::new(nr::__NR_seccomp, Errno::EMSGSIZE)) }
}

/// `int seccomp(SECCOMP_SET_MODE_FILTER, unsigned flags, struct sock_fprog *program)`: returns the listener's
/// descriptor if the flags ask for one
///
/// # Errors
/// As `seccomp(2)`.
pub fn seccomp_set_mode_filter(flags: u32, filter: &[sock_filter]) -> Result<Fd> {
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: reads `program` and `filter`.
    let call: Call<Fd, 3> =
        unsafe { call!(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    call.result()
}

/// `int setitimer(ITIMER_REAL, const struct itimerval *timer, NULL)`
pub fn setitimer(timer: &itimerval) -> Call<'_, (), 3> {
    // SAFETY: reads `timer`.
    unsafe { call!(__NR_setitimer, ITIMER_REAL, &raw const *timer, null::<u8>()) }
}

/// `int socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, int pair[2])`
pub fn socketpair(pair: &mut [Fd; 2]) -> Call<'_, (), 4> {
    // SAFETY: writes `pair`; an `Fd` is an `int`.
    unsafe { call!(__NR_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0_usize, &raw mut *pair) }
}

/// `int uname(struct utsname *names)`
pub fn uname(names: &mut Utsname) -> Call<'_, (), 1> {
    // SAFETY: writes `names`; any bytes are a value of it.
    unsafe { call!(__NR_uname, &raw mut *names) }
}

/// `pid_t wait4(pid_t child, int *status, int options, NULL)`: returns the child that has ended, and its
/// status as `wait(2)` encodes it; [`Pid::NOT_VISIBLE`] if the options say not to wait and none has
pub fn wait4(child: Pid, status: &mut u32, options: u32) -> Call<'_, Pid, 3> {
    // SAFETY: writes `status`.
    unsafe { call!(__NR_wait4, child, &raw mut *status, options) }
}

/// `ssize_t write(int fd, const void *bytes, size_t length)`: returns the number of bytes
pub fn write(fd: Fd, bytes: &[u8]) -> Call<'_, usize, 3> {
    // SAFETY: reads `bytes`.
    unsafe { call!(__NR_write, fd, bytes.as_ptr(), bytes.len()) }
}
