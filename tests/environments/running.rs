//! A command with a time limit, and the proof that nothing of it is left. Nothing here knows the places.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// How long a tool may take to clear up after its own end, and how long the program's processes may then be there.
const GRACE: Duration = Duration::from_secs(2);
const GRACE_OF_PROGRAM: Duration = Duration::from_millis(300);

const STEP: Duration = Duration::from_millis(1);

/// A command while it runs.
pub struct Running {
    child: Child,
    streams: [PathBuf; 2],
    deadline: Instant,
}

/// What a command came to.
pub struct Ran {
    /// `None`: it had to be killed when its time was over.
    pub status: Option<ExitStatus>,
    pub stdout: String,
    pub stderr: String,
    /// The processes that were left, which have been killed.
    pub left_over: Vec<String>,
}

impl Running {
    /// Starts a command. Its streams are files in `folder`.
    pub fn start(command: &mut Command, folder: &Path, limit: Duration) -> Result<Self, String> {
        // This process adopts whatever the command leaves behind.
        nix::sys::prctl::set_child_subreaper(true).map_err(|errno| errno.to_string())?;
        let streams = ["stdout", "stderr"].map(|name| folder.join(name));
        // With O_APPEND several processes that open the file anew do not overwrite each other's lines.
        let open = |path: &Path| File::options().create(true).append(true).open(path);
        for path in &streams {
            let _ = fs::remove_file(path);
        }
        let file = |path| open(path).map_err(|error| error.to_string());
        let program = command.get_program().to_string_lossy().into_owned();
        // Who interrupts the tests leaves nothing running.
        let end_with_tests = || Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?);
        // SAFETY: one system call between fork and exec.
        unsafe { command.pre_exec(end_with_tests) };
        let child = command
            .stdin(Stdio::null())
            .stdout(file(&streams[0])?)
            .stderr(file(&streams[1])?)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        Ok(Self { child, streams, deadline: Instant::now() + limit })
    }

    /// The process that was started.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Waits until `ready` returns something.
    pub fn wait_for<T>(
        &self,
        what: &str,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<T, String> {
        loop {
            if let Some(value) = ready() {
                return Ok(value);
            }
            if Instant::now() > self.deadline || self.has_ended() {
                return Err(format!("{what} did not come"));
            }
            sleep(STEP);
        }
    }

    /// Waits for a line that begins so, and returns the rest of the line. A line may still grow.
    pub fn wait_for_line(&self, beginning: &str) -> Result<String, String> {
        self.wait_for(&format!("the line '{beginning}'"), || {
            let stdout = fs::read_to_string(&self.streams[0]).ok()?;
            stdout.lines().find_map(|line| line.strip_prefix(beginning)).map(str::to_owned)
        })
    }

    /// Whether the process that was started is no longer running.
    pub fn has_ended(&self) -> bool {
        state(self.pid()).is_none_or(|state| state == 'Z')
    }

    /// Waits for the end. Every process that is left then, or when the time is over, is killed.
    pub fn finish(mut self, program: &[PathBuf]) -> Ran {
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < self.deadline => sleep(STEP),
                _ => break None,
            }
        };
        let mut left_over = Vec::new();
        if status.is_none() {
            kill_all(self.pid());
        } else if !reap(GRACE_OF_PROGRAM) {
            left_over.extend(users_of(program));
            if !reap(GRACE) {
                left_over.extend(children_of(Pid::this()).into_iter().map(name));
            }
        }
        // What is not a descendant of this process.
        left_over.extend(users_of(program));
        while !reap(GRACE_OF_PROGRAM) {
            for child in children_of(Pid::this()) {
                kill_all(child);
            }
        }
        let [stdout, stderr] = self.streams.map(|path| {
            let bytes = fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Ran { status, stdout, stderr, left_over }
    }
}

impl Ran {
    /// The exit status as a shell tells it.
    pub fn status(&self) -> Option<i32> {
        let status = self.status?;
        status.code().or(status.signal().map(|signal| 128 + signal))
    }
}

/// Waits until this process has no children. Returns whether it has none when `grace` is over.
fn reap(grace: Duration) -> bool {
    let deadline = Instant::now() + grace;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return true,
            Ok(status) if status.pid().is_some() => {}
            _ if Instant::now() >= deadline => return false,
            _ => sleep(STEP),
        }
    }
}

/// Kills a process and all that descend from it.
fn kill_all(process: Pid) {
    // A stopped process starts no others meanwhile.
    let _ = kill(process, Signal::SIGSTOP);
    for child in children_of(process) {
        kill_all(child);
    }
    let _ = kill(process, Signal::SIGKILL);
}

/// The children of a process, in the order in which they were started.
pub fn children_of(process: Pid) -> Vec<Pid> {
    let mut children = BTreeMap::new();
    for other in processes() {
        if let Some(stat) = stat(other)
            && stat.parent == process.as_raw()
        {
            children.insert((stat.started, other.as_raw()), other);
        }
    }
    children.into_values().collect()
}

/// The state of a process: the letter of `proc_pid_stat(5)`.
pub fn state(process: Pid) -> Option<char> {
    stat(process).map(|stat| stat.state)
}

struct Stat {
    state: char,
    parent: i32,
    started: u64,
}

fn stat(process: Pid) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before may have anything in it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

fn processes() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.map(Pid::from_raw).collect()
}

/// All processes whose executable file is one of these. They are killed.
pub fn users_of(files: &[PathBuf]) -> Vec<String> {
    let identity = |path: &Path| fs::metadata(path).ok().map(|data| (data.dev(), data.ino()));
    let files: Vec<_> = files.iter().filter_map(|file| identity(file)).collect();
    let mut users = Vec::new();
    for process in processes() {
        let executable = PathBuf::from(format!("/proc/{process}/exe"));
        if identity(&executable).is_some_and(|identity| files.contains(&identity)) {
            users.push(name(process));
            kill_all(process);
        }
    }
    users
}

fn name(process: Pid) -> String {
    let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    format!("{process}: {}", command.trim())
}
