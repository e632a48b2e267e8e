//! Shared by the black-box tests: the release image, how it is run and watched, and directories below /tmp. [`transcript`]
//! has the transcript that a run must have. This module tests nothing by itself.
//!
//! # How a run is watched
//!
//! Standard output and standard error are sockets that keep packets apart and name the sender: one packet is one write,
//! with the PID of the process that made it, as the kernel reports it. So a test sees a torn line, a line in two writes and
//! a line of the wrong process.
//!
//! Each run has its own process group, and the test's process becomes the parent of orphans: a process that the program
//! leaves behind, running or not waited for, is then a child of the test.
#![allow(dead_code)] // each test uses only a part of it

pub mod document;
pub mod probe;
pub mod promises;
pub mod shown;
pub mod sweep;
pub mod transcript;
pub mod usage;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, fmt, fs};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixCredentials, recvmsg,
    setsockopt, socketpair, sockopt,
};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// The program's name.
pub const NAME: &str = env!("CARGO_PKG_NAME");

/// The time limit of a run, unless the test sets another one. The machine may be busy: a run takes a hundredth of it.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The program under test: the release image, built with the features of this test, or the file that the environment
/// variable `SECCOMP_NOTIFY_MIN` names.
pub fn image() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| match env::var_os("SECCOMP_NOTIFY_MIN") {
        Some(path) => path.into(),
        None => build("release"),
    })
}

/// Builds the program and returns its path. Cargo does nothing if the program is up to date, and lets other processes that
/// build wait.
pub fn build(profile: &str) -> PathBuf {
    let backend_sc = cfg!(feature = "backend-sc");
    // Each set of features has its own folder, so that two test runs do not replace each other's image.
    let target = if backend_sc { "image-backend-sc" } else { "image" };
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(target);
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--message-format=json-render-diagnostics"])
        .args(["--bin", NAME, "--profile", profile, "--target-dir"])
        .arg(target);
    if backend_sc {
        cargo.args(["--features", "backend-sc"]);
    }
    let output = cargo.stderr(Stdio::inherit()).output().expect("cargo can be started");
    assert!(output.status.success(), "the image cannot be built: {}", output.status);
    let messages = String::from_utf8(output.stdout).expect("cargo's messages are text");
    let path = messages.split(r#""executable":""#).nth(1).expect("cargo names the program");
    path.split('"').next().expect("a string has an end").into()
}

/// The stream of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// One socket for both.
    Both,
}

/// One write of the program.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet {
    /// The stream.
    pub stream: Stream,
    /// The PID of the process that wrote it.
    pub writer: i32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?} {}: {}", self.stream, self.writer, self.bytes.escape_ascii())
    }
}

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    Status(i32),
    /// Killed by this signal.
    Signal(i32),
}

/// A command line of the program, before it is started.
pub struct Run {
    command: Command,
    streams: Streams,
    limit: Duration,
    grace: Duration,
}

/// Where standard output and standard error go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Streams {
    /// To one socket each: the stream of each write is known.
    Apart,
    /// Both to one socket: the order of all writes is known.
    Together,
    /// Where the caller chose.
    Elsewhere,
}

/// A run of the program with these arguments.
pub fn program<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    Run::of(image(), arguments)
}

impl Run {
    /// A run of another file of the program with these arguments.
    pub fn of<S: AsRef<OsStr>>(file: &Path, arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new(file);
        command.args(arguments).stdin(Stdio::null()).process_group(0);
        Self { command, streams: Streams::Apart, limit: LIMIT, grace: Duration::ZERO }
    }

    /// Lets standard output and standard error share one socket, which shows the order of all writes.
    pub fn together(mut self) -> Self {
        self.streams = Streams::Together;
        self
    }

    /// Lets `set` choose standard output and standard error, and captures nothing.
    pub fn streams(mut self, set: impl FnOnce(&mut Command)) -> Self {
        set(&mut self.command);
        self.streams = Streams::Elsewhere;
        self
    }

    /// Lets `set` change the command.
    pub fn with(mut self, set: impl FnOnce(&mut Command)) -> Self {
        set(&mut self.command);
        self
    }

    /// Sets the time limit of the run.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sets how long the program's children may run after the program itself was killed.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Calls `act` in the new process, after its streams are set up and before the program starts. This is between fork and
    /// exec: `act` must not allocate or lock (`signal-safety(7)`).
    pub fn before(mut self, act: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> Self {
        // SAFETY: `act` only does what is safe between fork and exec, by this function's contract.
        unsafe { self.command.pre_exec(act) };
        self
    }

    /// Starts the program.
    pub fn start(mut self) -> Running {
        adopt_orphans();
        let mut capture = Capture::default();
        match self.streams {
            Streams::Apart => {
                let (out, err) = (capture.socket(Stream::Out), capture.socket(Stream::Err));
                self.command.stdout(out).stderr(err);
            }
            Streams::Together => {
                let both = capture.socket(Stream::Both);
                let again = both.try_clone().expect("a descriptor can be copied");
                self.command.stdout(both).stderr(again);
            }
            Streams::Elsewhere => {}
        }
        let began = Instant::now();
        let child = loop {
            match self.command.spawn() {
                // A test has just written this file, and another test's child, between fork and exec, still has a copy of
                // the descriptor.
                Err(error)
                    if error.kind() == io::ErrorKind::ExecutableFileBusy
                        && began.elapsed() < self.limit =>
                {
                    thread::sleep(Duration::from_millis(1));
                }
                child => break child.expect("the program can be started"),
            }
        };
        let (limit, grace) = (self.limit, self.grace);
        // The command has the other ends of the sockets open: close them.
        drop(self.command);
        Running { child, capture, began, limit, grace }
    }

    /// Starts the program and waits for its end.
    pub fn finish(self) -> Outcome {
        self.start().finish()
    }
}

type Packets = (Mutex<Vec<Packet>>, Condvar);

/// Collects the packets of several sockets in the order in which they arrive.
#[derive(Default)]
pub struct Capture {
    packets: Arc<Packets>,
    readers: Vec<JoinHandle<()>>,
}

impl Capture {
    /// Makes one more socket and returns the end to write to.
    pub fn socket(&mut self, stream: Stream) -> OwnedFd {
        let (ours, theirs) = packet_socket();
        let packets = Arc::clone(&self.packets);
        self.readers.push(thread::spawn(move || read_packets(&ours, stream, &packets)));
        theirs
    }

    /// Waits for a packet that begins with `beginning`, and returns it.
    pub fn wait_for(&self, beginning: &str, limit: Duration) -> Packet {
        let (packets, arrived) = &*self.packets;
        let deadline = Instant::now() + limit;
        let mut packets = packets.lock().unwrap();
        loop {
            let found =
                packets.iter().find(|packet| packet.bytes.starts_with(beginning.as_bytes()));
            if let Some(found) = found {
                return found.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{beginning:?} never came; {packets:?}");
            packets = arrived.wait_timeout(packets, left).unwrap().0;
        }
    }

    /// Returns all packets, after every writer has closed its end.
    pub fn finish(self) -> Vec<Packet> {
        for reader in self.readers {
            reader.join().expect("a reader ends with its stream");
        }
        std::mem::take(&mut *self.packets.0.lock().unwrap())
    }
}

/// The program while it runs.
pub struct Running {
    child: Child,
    capture: Capture,
    began: Instant,
    limit: Duration,
    grace: Duration,
}

impl Running {
    /// The PID of the program's first process, the parent.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Waits for a packet that begins with `beginning`, and returns it.
    pub fn wait_for(&self, beginning: &str) -> Packet {
        self.capture.wait_for(beginning, self.limit.saturating_sub(self.began.elapsed()))
    }

    /// Waits for the program's end, and checks that it leaves no process behind.
    ///
    /// # Panics
    /// If the program does not end in time or leaves a process behind, which is then killed.
    pub fn finish(mut self) -> Outcome {
        let group = self.pid();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break Some(status);
            }
            if self.began.elapsed() > self.limit {
                let _ = killpg(group, Signal::SIGKILL);
                let _ = self.child.wait();
                break None;
            }
            thread::sleep(Duration::from_micros(500));
        };
        let took = self.began.elapsed();
        let left_over = left_over(group, self.grace);
        let packets = self.capture.finish();
        let Some(status) = status else {
            panic!("not ended after {:?}; printed so far: {packets:#?}", self.limit);
        };
        assert!(left_over.is_empty(), "left behind: {left_over:?}; printed: {packets:#?}");
        let ended = match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Status(code),
            (None, signal) => Ended::Signal(signal.expect("it has ended one way or the other")),
        };
        Outcome {
            pid: group.as_raw(),
            ended,
            packets,
            took,
            tells_open_files_apart: tells_open_files_apart(),
        }
    }
}

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The PID of the program's first process, the parent.
    pub pid: i32,
    /// How the program ended.
    pub ended: Ended,
    /// All writes, in the order within each stream.
    pub packets: Vec<Packet>,
    /// The time from start to exit.
    pub took: Duration,
    /// Whether the kernel can tell if two descriptors refer to the same open file.
    pub tells_open_files_apart: bool,
}

/// Whether this kernel can tell if two descriptors refer to the same open file: Linux 6.10 and later.
fn tells_open_files_apart() -> bool {
    const F_DUPFD_QUERY: libc::c_int = 1027;
    // SAFETY: the call has no pointer arguments.
    unsafe { libc::fcntl(0, F_DUPFD_QUERY, 0) == 1 }
}

impl Outcome {
    /// All bytes that were written to a stream.
    pub fn of(&self, stream: Stream) -> Vec<u8> {
        let of_stream = self.packets.iter().filter(|packet| packet.stream == stream);
        of_stream.flat_map(|packet| &packet.bytes).copied().collect()
    }

    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.of(Stream::Out)).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.of(Stream::Err)).into_owned()
    }

    /// The writes of each process.
    pub fn by_writer(&self) -> BTreeMap<i32, Vec<&Packet>> {
        let mut writers: BTreeMap<i32, Vec<&Packet>> = BTreeMap::new();
        for packet in &self.packets {
            writers.entry(packet.writer).or_default().push(packet);
        }
        writers
    }
}

/// Makes this process the parent of every descendant whose own parent has ended.
pub fn adopt_orphans() {
    nix::sys::prctl::set_child_subreaper(true).expect("PR_SET_CHILD_SUBREAPER is known");
}

/// The processes that remain of a group after its first process has ended. They are killed after `grace`.
fn left_over(group: Pid, grace: Duration) -> Vec<String> {
    let any_of = Pid::from_raw(-group.as_raw());
    let deadline = Instant::now() + grace;
    let mut left = Vec::new();
    loop {
        match waitpid(any_of, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return left,
            Ok(status) if status.pid().is_some() => {
                // It has ended, and its parent has not waited for it. That is right only if its parent was killed.
                if grace.is_zero() {
                    left.push(format!("{status:?}"));
                }
            }
            Ok(_) if Instant::now() >= deadline => {
                left.push("a process that still ran".into());
                let _ = killpg(group, Signal::SIGKILL);
                thread::sleep(Duration::from_millis(10));
            }
            Ok(_) => thread::sleep(Duration::from_millis(1)),
            Err(errno) => panic!("waitpid: {errno}"),
        }
        assert!(Instant::now() < deadline + LIMIT, "cannot be killed: {left:?}");
    }
}

/// Both ends of a socket that keeps writes apart and names their writers. The end to read from is the first.
fn packet_socket() -> (OwnedFd, OwnedFd) {
    let kind = SockType::SeqPacket;
    let (ours, theirs) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)
        .expect("a socket pair can be made");
    setsockopt(&ours, sockopt::PassCred, &true).expect("a socket can tell the sender");
    (ours, theirs)
}

/// Reads packets until every writer has closed its end.
fn read_packets(socket: &OwnedFd, stream: Stream, packets: &Packets) {
    let mut buffer = vec![0; 1 << 20];
    let mut control = nix::cmsg_space!(UnixCredentials);
    loop {
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::empty();
        let received =
            match recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags) {
                Ok(received) => received,
                Err(Errno::EINTR) => continue,
                Err(errno) => panic!("recvmsg: {errno}"),
            };
        assert!(!received.flags.contains(MsgFlags::MSG_TRUNC), "a write of more than a mebibyte");
        if received.bytes == 0 {
            return;
        }
        let writer = received.cmsgs().expect("credentials fit").find_map(|message| match message {
            ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
            _ => None,
        });
        let (writer, length) = (writer.expect("the kernel names the sender"), received.bytes);
        let packet = Packet { stream, writer, bytes: buffer[..length].to_vec() };
        packets.0.lock().unwrap().push(packet);
        packets.1.notify_all();
    }
}

/// Runs `act` in a forked child and returns how the child ended. The child may allocate (glibc's malloc is usable after
/// fork) but must not use the test harness's output.
pub fn in_child(limit: Duration, act: impl FnOnce() -> i32) -> Ended {
    let child = fork(act);
    wait_within(child, limit)
}

/// Forks; the child ends with the status that `act` returns, 101 if it panics.
pub fn fork(act: impl FnOnce() -> i32) -> Pid {
    // SAFETY: the child uses only its own memory, and does not return from this function.
    match unsafe { nix::unistd::fork() }.expect("a process can be forked") {
        nix::unistd::ForkResult::Parent { child } => child,
        nix::unistd::ForkResult::Child => {
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).unwrap_or(101);
            // SAFETY: ends the process and runs none of the harness's exit handlers.
            unsafe { libc::_exit(status) }
        }
    }
}

/// Closes all descriptors except the standard ones and `keep`: a child of [`fork`] inherits those of other tests.
pub fn close_all_but(keep: &[i32]) {
    let mut keep: Vec<u32> = keep.iter().map(|&fd| fd as u32).collect();
    keep.sort_unstable();
    keep.push(u32::MAX);
    let mut first = 3_u32;
    for fd in keep {
        if first < fd {
            // SAFETY: the call has no pointer arguments.
            unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0) };
        }
        first = fd.saturating_add(1);
    }
}

/// Waits for a child. If it takes longer than `limit`, it is killed and the test fails.
pub fn wait_within(child: Pid, limit: Duration) -> Ended {
    use nix::sys::wait::WaitStatus;
    let began = Instant::now();
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, status)) => return Ended::Status(status),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ended::Signal(signal as i32),
            Ok(_) if began.elapsed() > limit => {
                let _ = kill(child, Signal::SIGKILL);
                let _ = waitpid(child, None);
                panic!("a child did not end within {limit:?}");
            }
            Ok(_) | Err(Errno::EINTR) => thread::sleep(Duration::from_micros(500)),
            Err(errno) => panic!("waitpid: {errno}"),
        }
    }
}

/// A test's own directory directly below /tmp. It is removed when the value is dropped.
pub struct Beneath(tempfile::TempDir);

impl Beneath {
    /// Makes the directory.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("seccomp-notify-min.").tempdir_in("/tmp");
        Self(directory.expect("a directory can be made in /tmp"))
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of `name` in the directory, as an argument.
    pub fn join(&self, name: impl AsRef<OsStr>) -> OsString {
        let mut path = self.0.path().as_os_str().to_owned();
        path.push("/");
        path.push(name);
        path
    }

    /// The names of all files in the directory and its subdirectories, sorted.
    pub fn contents(&self) -> Vec<String> {
        fn list(directory: &Path, root: &Path, names: &mut Vec<String>) {
            for entry in fs::read_dir(directory).expect("a directory can be read") {
                let path = entry.expect("an entry can be read").path();
                let name = path.strip_prefix(root).expect("it is in there");
                names.push(name.as_os_str().as_bytes().escape_ascii().to_string());
                if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
                    list(&path, root, names);
                }
            }
        }
        let mut names = Vec::new();
        list(self.path(), self.path(), &mut names);
        names.sort();
        names
    }
}

/// A function for [`Run::before`] that installs a filter. The filter has an action for each of these calls and allows
/// every other call.
pub fn sandbox(
    rules: &[(libc::c_long, u32)],
) -> impl FnMut() -> io::Result<()> + Send + Sync + use<> {
    let filter = sandbox_filter(rules);
    move || match install_filter(&filter, 0) {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// The filter of [`sandbox`].
pub fn sandbox_filter(rules: &[(libc::c_long, u32)]) -> Vec<libc::sock_filter> {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // The call's number is the first word of the filter's input.
    let mut filter = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for &(number, action) in rules {
        let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        filter.push(libc::sock_filter { code: equal as u16, jt: 0, jf: 1, k: number as u32 });
        filter.push(statement(libc::BPF_RET | libc::BPF_K, action));
    }
    filter.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    filter
}

/// Installs a filter with the C library, independently of the program's own code. Returns the result of `seccomp(2)`.
pub fn install_filter(filter: &[libc::sock_filter], flags: libc::c_ulong) -> libc::c_long {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the calls only read `program` and `filter`.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return -1;
        }
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    }
}

impl Drop for Beneath {
    /// Makes all directories accessible first: the tests make directories with modes that an ordinary user cannot remove.
    fn drop(&mut self) {
        fn open_up(directory: &Path) {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let all = fs::Permissions::from_mode(0o700);
                    let _ = fs::set_permissions(entry.path(), all);
                    open_up(&entry.path());
                }
            }
        }
        open_up(self.path());
    }
}

/// Copies the project to `to`, which must not exist yet, without its build directories and its history.
pub fn copy_project(to: &Path) {
    copy(Path::new(env!("CARGO_MANIFEST_DIR")), to);
}

/// Copies a folder without build directories and history.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("a directory can be read") {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).expect("an entry");
        if name == "target" || name == ".git" {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            copy(&path, &to.join(name));
        } else if path.is_file() {
            fs::copy(&path, to.join(name)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}

/// Git for the repository in `folder`, without the user's settings. The variables of git are removed: if a git hook runs the
/// tests, they name the hook's repository.
pub fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            git.env_remove(name);
        }
    }
    git.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    git
}

/// Makes a folder a repository with one commit, whose ID is the same at every place and time.
pub fn commit_all(folder: &Path) {
    for arguments in [
        &["init", "--quiet"][..],
        &["add", "--all"],
        &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=all"],
    ] {
        let mut git = git(folder);
        git.args(arguments)
            .env("GIT_AUTHOR_DATE", "@0 +0000")
            .env("GIT_COMMITTER_DATE", "@0 +0000");
        assert!(git.status().expect("git starts").success(), "{arguments:?}");
    }
}

/// Prints that something was not tested, and why.
pub fn skipped(what: &str, why: impl fmt::Display) {
    use io::Write;
    // The harness captures the output of println and its like, but not of this write.
    let _ = writeln!(io::stderr(), "skipped: {what}: {why}");
}

/// Whether this process may do what only root may.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether `command` is somewhere in PATH.
pub fn is_installed(command: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| folder.join(command).is_file())
}
