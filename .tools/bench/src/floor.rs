//! The floor: the kernel's own time for one notification, and the time of each further call.
//!
//! The benchmark starts its own file again as a child that does nothing but RECV and SEND on one side and mkdir on the
//! other. So the floor is measured like a program: pinned or not, with a time limit, in the same rounds. The `unsafe`
//! blocks of the benchmark that make raw system calls are in this module.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{CString, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::exit;
use std::str::FromStr;
use std::time::Instant;

use libc::{c_long, c_uint, c_ulong, c_void};
use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use crate::child::{self, Cpus, Output};

/// The first argument that tells this program to be the floor's child.
pub const CHILD: &str = "--child-of-the-benchmark";

/// A call whose cost is measured: a supervisor may make these beyond the floor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priced {
    /// getppid, the cheapest call: the cost of entering the kernel.
    Cheapest,
    /// SECCOMP_IOCTL_NOTIF_ID_VALID.
    IdValid,
    /// pread64 of this many bytes from /proc/PID/mem, on a descriptor that stays open.
    Pread(u64),
    /// process_vm_readv of 256 bytes.
    VmRead,
    /// open of /proc/PID/mem and close.
    OpenClose,
    /// A line that the tracer, which has no filter, writes to /dev/null.
    TracerWrite,
    /// A line that the target writes, through its filter.
    TargetWrite,
}

impl Priced {
    /// The text that is the child's argument and the key in its result.
    pub fn key(&self) -> String {
        match self {
            Self::Cheapest => "getppid".into(),
            Self::IdValid => "id-valid".into(),
            Self::Pread(bytes) => format!("pread:{bytes}"),
            Self::VmRead => "vm-read".into(),
            Self::OpenClose => "open-close".into(),
            Self::TracerWrite => "tracer-write".into(),
            Self::TargetWrite => "target-write".into(),
        }
    }
}

impl FromStr for Priced {
    type Err = ();

    fn from_str(key: &str) -> Result<Self, ()> {
        Ok(match key {
            "getppid" => Self::Cheapest,
            "id-valid" => Self::IdValid,
            "vm-read" => Self::VmRead,
            "open-close" => Self::OpenClose,
            "tracer-write" => Self::TracerWrite,
            "target-write" => Self::TargetWrite,
            _ => Self::Pread(key.strip_prefix("pread:").and_then(|n| n.parse().ok()).ok_or(())?),
        })
    }
}

/// Microseconds for one bare round trip, the average of `trips` of them.
///
/// # Errors
/// One line that says what is wrong.
pub fn round_trip(trips: usize, cpus: Cpus, dir: &Path) -> Result<f64, String> {
    let said = ask(&["trips".into(), trips.to_string().into()], cpus, dir)?;
    said.get("trip").copied().ok_or_else(|| "no figure".to_owned())
}

/// Microseconds for one call of each kind.
///
/// # Errors
/// One line that says what is wrong.
pub fn prices(calls: &[Priced], cpus: Cpus, dir: &Path) -> Result<BTreeMap<String, f64>, String> {
    let mut args = vec!["prices".into()];
    args.extend(calls.iter().map(|call| OsString::from(call.key())));
    ask(&args, cpus, dir)
}

/// Runs the child and reads the figures that it prints.
fn ask(args: &[OsString], cpus: Cpus, dir: &Path) -> Result<BTreeMap<String, f64>, String> {
    let own = env::current_exe().map_err(|e| format!("own path: {e}"))?;
    let mut all = vec![OsString::from(CHILD)];
    all.extend_from_slice(args);
    let ran = child::run(&own, &all, cpus, &Output::Keep(dir));
    if let Err(reason) = ran {
        let said = fs::read_to_string(dir.join("err")).unwrap_or_default();
        return Err(format!("{reason}: {}", said.trim()));
    }
    let said = fs::read_to_string(dir.join("out")).map_err(|e| format!("floor's figures: {e}"))?;
    serde_json::from_str(&said).map_err(|e| format!("floor's figures: {e}"))
}

/// The child's `main`. Its exit status is 77 if the kernel has no user notification.
pub fn child(args: &[String]) -> ! {
    let figures = match args {
        [what, trips] if what == "trips" => {
            trips.parse().map_err(io::Error::other).and_then(measure_trips)
        }
        [what, calls @ ..] if what == "prices" => {
            let calls: Vec<Priced> = calls.iter().filter_map(|call| call.parse().ok()).collect();
            measure_prices(&calls)
        }
        _ => Err(io::Error::other("not for use by hand")),
    };
    match figures {
        Ok(figures) => {
            let text = serde_json::to_string(&figures).expect("numbers with names");
            println!("{text}");
            exit(0)
        }
        Err(e) if e.kind() == io::ErrorKind::Unsupported => {
            eprintln!("{e}");
            exit(77)
        }
        Err(e) => {
            eprintln!("{e}");
            exit(1)
        }
    }
}

#[cfg(any(
    target_arch = "x86_64",
    target_arch = "x86",
    target_arch = "arm",
    target_arch = "s390x"
))]
const NOTIFIED: c_long = libc::SYS_mkdir;
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "x86",
    target_arch = "arm",
    target_arch = "s390x"
)))]
const NOTIFIED: c_long = libc::SYS_mkdirat;

/// How often each measured call is made.
const REPEATS: u32 = 20_000;
/// As long as a line of the demonstration.
const LINE: [u8; 60] = [b'.'; 60];
/// Readable memory of the target at a known address, larger than any read that is measured.
static PATH: [u8; 16384] = [b'/'; 16384];

/// Measures one notification from RECV to SEND, the average of `trips` of them.
fn measure_trips(trips: u32) -> io::Result<BTreeMap<String, f64>> {
    let mut target = Target::start(move |socket| {
        let start = Instant::now();
        for _ in 0..trips {
            notified_call()?;
        }
        report(socket, start, trips)
    })?;
    let mut listener = Listener::receive(&target)?;
    for _ in 0..trips {
        let id = listener.receive_notification()?;
        listener.refuse(id)?;
    }
    Ok(BTreeMap::from([("trip".into(), target.figure()?)]))
}

/// Measures each call many times in a row while one notification is pending, as in a supervisor.
fn measure_prices(calls: &[Priced]) -> io::Result<BTreeMap<String, f64>> {
    let target_writes = calls.contains(&Priced::TargetWrite);
    let mut target = Target::start(move |socket| {
        if target_writes {
            let null = null()?;
            let start = Instant::now();
            for _ in 0..REPEATS {
                write_line(&null)?;
            }
            report(socket, start, REPEATS)?;
        }
        notified_call()
    })?;
    let mut listener = Listener::receive(&target)?;
    let mut figures = BTreeMap::new();
    if target_writes {
        figures.insert(Priced::TargetWrite.key(), target.figure()?);
    }

    let id = listener.receive_notification()?;
    let null = null()?;
    let name = format!("/proc/{}/mem", target.pid);
    let memory = File::open(&name)?;
    let name = CString::new(name)?;
    let address = PATH.as_ptr() as usize;
    let mut buffer = vec![0_u8; PATH.len()];
    for call in calls {
        let start = Instant::now();
        for _ in 0..REPEATS {
            match call {
                // SAFETY: getppid has no arguments and cannot fail.
                Priced::Cheapest => unsafe {
                    libc::syscall(libc::SYS_getppid);
                },
                Priced::IdValid => listener.id_valid(id)?,
                Priced::Pread(bytes) => {
                    read_memory(&memory, address, buffer.get_mut(..*bytes as usize))?
                }
                Priced::VmRead => vm_read(target.pid, address, &mut buffer[..256])?,
                Priced::OpenClose => {
                    // SAFETY: the name ends in NUL, and the descriptor is closed once.
                    unsafe {
                        let fd = checked(libc::syscall(
                            libc::SYS_openat,
                            libc::AT_FDCWD,
                            name.as_ptr(),
                            libc::O_RDONLY,
                        ))?;
                        checked(libc::syscall(libc::SYS_close, fd))?;
                    }
                }
                Priced::TracerWrite => write_line(&null)?,
                Priced::TargetWrite => break,
            }
        }
        if *call != Priced::TargetWrite {
            figures.insert(call.key(), micros(start, REPEATS));
        }
    }
    listener.refuse(id)?;
    Ok(figures)
}

/// Microseconds since `start`, divided by `count`.
fn micros(start: Instant, count: u32) -> f64 {
    start.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

/// The target: a child that installs the filter and sends its listener at once.
struct Target {
    pid: libc::pid_t,
    socket: UnixStream,
}

impl Target {
    /// Forks. The child does `work` once it has its filter.
    fn start(work: impl FnOnce(&mut UnixStream) -> io::Result<()>) -> io::Result<Self> {
        let (socket, mut other) = UnixStream::pair()?;
        // SAFETY: this process has one thread, so the child may do anything that this process may do.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop(socket);
                let done = install().and_then(|listener| {
                    send_listener(&other, &listener)?;
                    // Only the tracer may keep the listener open: see seccomp_unotify(2).
                    drop(listener);
                    work(&mut other)
                });
                if let Err(e) = &done {
                    eprintln!("floor's target: {e}");
                }
                // SAFETY: ends the child and runs none of the parent's exit handlers.
                unsafe { libc::_exit(done.map_or_else(|e| e.raw_os_error().unwrap_or(1), |()| 0)) }
            }
            pid => Ok(Self { pid, socket }),
        }
    }

    /// Reads a figure that the child reports.
    fn figure(&mut self) -> io::Result<f64> {
        let mut bytes = [0; 8];
        self.socket.read_exact(&mut bytes)?;
        Ok(f64::from_ne_bytes(bytes))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // SAFETY: a null status is allowed.
        unsafe {
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// Sends the microseconds since `start`, divided by `count`, to the tracer.
fn report(socket: &mut UnixStream, start: Instant, count: u32) -> io::Result<()> {
    socket.write_all(&micros(start, count).to_ne_bytes())
}

/// Installs a filter that notifies one call and allows every other. It does not check the architecture: only the code
/// above runs under it.
fn install() -> io::Result<OwnedFd> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let mut program = [
        statement(LOAD, offset_of!(libc::seccomp_data, nr) as u32),
        libc::sock_filter { code: IF_EQUAL, jt: 0, jf: 1, k: NOTIFIED as u32 },
        statement(RETURN, libc::SECCOMP_RET_USER_NOTIF),
        statement(RETURN, libc::SECCOMP_RET_ALLOW),
    ];
    let fprog = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program outlives the calls; the new descriptor has no other owner.
    unsafe {
        checked(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong, 0, 0, 0).into())?;
        checked(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as c_ulong, 0, 0, 0).into())?;
        let fd = checked(libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const fprog,
        ))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Sends the listener's descriptor.
fn send_listener(socket: &UnixStream, listener: &OwnedFd) -> io::Result<()> {
    let fds = [listener.as_raw_fd()];
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(&[0])],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::empty(),
        None,
    )?;
    Ok(())
}

/// Makes the notified call, which the tracer must refuse.
fn notified_call() -> io::Result<()> {
    const NAME: &[u8] = b"/nope\0";
    const MODE: c_uint = 0o600;
    // SAFETY: the path ends in NUL. mkdirat has one argument before the path: the directory's descriptor.
    let made = unsafe {
        if NOTIFIED == libc::SYS_mkdirat {
            libc::syscall(NOTIFIED, libc::AT_FDCWD, NAME.as_ptr(), MODE)
        } else {
            libc::syscall(NOTIFIED, NAME.as_ptr(), MODE)
        }
    };
    match checked(made) {
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => Ok(()),
        Err(e) => Err(e),
        Ok(_) => Err(io::Error::other("the call was not refused")),
    }
}

/// The listener, and the buffer into which the kernel writes a request.
struct Listener {
    fd: OwnedFd,
    request: [u64; 64],
    /// The size of the kernel's request in bytes: this much is zeroed before each RECV.
    request_size: usize,
}

impl Listener {
    /// Receives the descriptor and asks the kernel for the size of a request.
    fn receive(target: &Target) -> io::Result<Self> {
        let mut byte = [0];
        let mut data = [IoSliceMut::new(&mut byte)];
        let mut space = cmsg_space!(RawFd);
        let message = recvmsg::<()>(
            target.socket.as_raw_fd(),
            &mut data,
            Some(&mut space),
            MsgFlags::empty(),
        )?;
        let fd = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        // No descriptor: the target has printed the reason and ended.
        let fd = fd.ok_or(io::ErrorKind::Unsupported)?;
        // SAFETY: the kernel has just made this descriptor for this process, and writes the sizes into a whole struct.
        let (fd, sizes) = unsafe {
            let mut sizes: libc::seccomp_notif_sizes = std::mem::zeroed();
            checked(libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_GET_NOTIF_SIZES,
                0,
                &raw mut sizes,
            ))?;
            (OwnedFd::from_raw_fd(fd), sizes)
        };
        let listener =
            Self { fd, request: [0; 64], request_size: usize::from(sizes.seccomp_notif) };
        if listener.request_size > size_of_val(&listener.request) {
            return Err(io::Error::other("the kernel's request is larger than ever"));
        }
        listener.set_sync_wake_up();
        Ok(listener)
    }

    /// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6 and later. The result is ignored: the call only tunes latency.
    fn set_sync_wake_up(&self) {
        const SYNC_WAKE_UP: c_ulong = 1;
        // SAFETY: this request takes its argument by value.
        unsafe {
            libc::ioctl(self.fd.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP);
        }
    }

    /// RECV into a zeroed buffer; returns the notification's ID.
    fn receive_notification(&mut self) -> io::Result<u64> {
        // SAFETY: the buffer is at least `request_size` bytes long, and any bytes are valid u64s.
        unsafe {
            std::ptr::write_bytes(self.request.as_mut_ptr().cast::<u8>(), 0, self.request_size);
        }
        self.control(libc::SECCOMP_IOCTL_NOTIF_RECV, self.request.as_ptr().cast_mut().cast())?;
        Ok(self.request[0])
    }

    /// SEND, with EPERM.
    fn refuse(&self, id: u64) -> io::Result<()> {
        let mut response = libc::seccomp_notif_resp { id, val: 0, error: -libc::EPERM, flags: 0 };
        self.control(libc::SECCOMP_IOCTL_NOTIF_SEND, (&raw mut response).cast())
    }

    /// ID_VALID.
    fn id_valid(&self, mut id: u64) -> io::Result<()> {
        self.control(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, (&raw mut id).cast())
    }

    /// One ioctl whose argument the kernel reads or writes.
    fn control(&self, request: libc::Ioctl, argument: *mut c_void) -> io::Result<()> {
        // SAFETY: the callers pass a pointer to what the request takes.
        checked(unsafe { libc::ioctl(self.fd.as_raw_fd(), request, argument) }.into()).map(drop)
    }
}

/// Opens the null device for writing only.
fn null() -> io::Result<File> {
    OpenOptions::new().write(true).open("/dev/null")
}

/// Writes one line to the null device.
fn write_line(null: &File) -> io::Result<()> {
    // SAFETY: pointer and length are those of the line.
    checked(unsafe { libc::write(null.as_raw_fd(), LINE.as_ptr().cast(), LINE.len()) } as c_long)
        .map(drop)
}

/// Reads another process's memory through a descriptor that stays open. `buffer` is `None` if the read is larger than
/// the memory at `address`.
fn read_memory(memory: &File, address: usize, buffer: Option<&mut [u8]>) -> io::Result<()> {
    let buffer = buffer.ok_or(io::ErrorKind::InvalidInput)?;
    memory.read_exact_at(buffer, address as u64)
}

/// Reads another process's memory without a descriptor.
fn vm_read(pid: libc::pid_t, address: usize, buffer: &mut [u8]) -> io::Result<()> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut c_void, iov_len: buffer.len() };
    // SAFETY: `local` is the buffer; the kernel checks the remote address.
    let got = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    checked(got as c_long).map(drop)
}

/// Turns a negative result into the error in errno.
fn checked(result: c_long) -> io::Result<c_long> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
