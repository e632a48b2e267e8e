//! What the host is asked for: commands with a time limit, Debian's packages, a place for downloads.
//! Nothing here knows what is tested.

use std::env;
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal};

/// What a command left behind.
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Runs `command` to its end and kills it, with all that it started, when `limit` is over.
pub fn run(command: &mut Command, limit: Duration) -> Result<Ran, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    // SAFETY: between fork and exec only one system call is made.
    unsafe {
        // Whoever interrupts the tests leaves no machine running.
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{name}: {error}"))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let ended = wait(&mut child, limit);
    // The whole group: a descendant that held a pipe open would keep the readers waiting.
    let group = Pid::from_child(&child);
    let _ = kill_process_group(group, Signal::KILL);
    let ended = match ended {
        Some(status) => Ok(status),
        None => Err(child.wait()),
    };
    let stdout = stdout.join().unwrap_or_default();
    let stderr = stderr.join().unwrap_or_default();
    match ended {
        Ok(status) => Ok(Ran { status, stdout, stderr }),
        Err(_) => Err(format!(
            "{name} did not end within {} s; so far it said:\n{}{}",
            limit.as_secs(),
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        )),
    }
}

/// The child's status, or nothing once `limit` is over.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

fn drain<R: Read + Send + 'static>(pipe: Option<R>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Runs `command` and returns what it wrote; an error status is an error, told with its last lines.
pub fn checked(command: &mut Command, limit: Duration) -> Result<Vec<u8>, String> {
    let ran = run(command, limit)?;
    if ran.status.success() {
        return Ok(ran.stdout);
    }
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(8)..].join("\n");
    let name = command.get_program().to_string_lossy();
    Err(format!("{name}: {}: {last}", ran.status))
}

/// How long a mirror may be waited for, all downloads of one run together: from one that does not
/// answer nothing more is asked for then.
const PATIENCE: Duration = Duration::from_secs(420);
/// How many seconds one download may stand still.
pub const STANDSTILL: &str = "20";

/// Runs a command that downloads, within what is left of the patience.
pub fn download(command: &mut Command) -> Result<Vec<u8>, String> {
    static WAITED: Mutex<Duration> = Mutex::new(Duration::ZERO);
    let mut waited = WAITED.lock().map_err(|_| "a download panicked")?;
    let Some(left) = PATIENCE.checked_sub(*waited).filter(|left| !left.is_zero()) else {
        let seconds = PATIENCE.as_secs();
        return Err(format!("the mirror was waited for for {seconds} s, which is enough"));
    };
    let start = Instant::now();
    let outcome = checked(command, left);
    *waited += start.elapsed();
    outcome
}

/// Sees to it that Debian's `packages` are installed: installs what is missing if we are root, and
/// otherwise says what is missing.
pub fn install(packages: &[&str]) -> Result<(), String> {
    // One at a time, and whether the lists are up to date.
    static UPDATED: Mutex<bool> = Mutex::new(false);
    let mut updated = UPDATED.lock().map_err(|_| "an installation panicked")?;
    let missing: Vec<&str> = packages.iter().copied().filter(|p| !is_installed(p)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !rustix::process::geteuid().is_root() {
        return Err(format!("not installed, and only root can install it: {names}"));
    }
    eprintln!("installing {names}");
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(["-qq", "-o", "DPkg::Lock::Timeout=120"])
            .args(["-o", &format!("Acquire::http::Timeout={STANDSTILL}")])
            .args(["-o", &format!("Acquire::https::Timeout={STANDSTILL}")])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    let mut wanted = vec!["install", "-y", "--no-install-recommends"];
    wanted.extend(&missing);
    // Old lists may know packages that the mirror has no more, or a compiler that is too old for us. Where the
    // mirror does not answer, the lists that are there may do.
    if !*updated {
        if let Err(reason) = download(&mut apt(&["update"])) {
            eprintln!("apt-get update: {reason}");
        }
        *updated = true;
    }
    download(apt(&wanted).arg("--download-only"))?;
    // Apart from the download: this is not to be interrupted in the midst of it.
    checked(&mut apt(&wanted), Duration::from_secs(400))?;
    Ok(())
}

fn is_installed(package: &str) -> bool {
    let query = checked(
        Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", package]),
        Duration::from_secs(20),
    );
    query.is_ok_and(|status| status == b"installed")
}

/// Where downloads are kept from one run to the next: outside the work tree.
pub fn cache() -> Result<PathBuf, String> {
    let base = match (env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => Path::new(&home).join(".cache"),
        (None, None) => return Err("neither XDG_CACHE_HOME nor HOME is set".into()),
    };
    let cache = base.join("seccomp-notify-min");
    fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    Ok(cache)
}

/// The project's own folder.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
