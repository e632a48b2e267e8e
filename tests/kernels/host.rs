//! Commands with a time limit, Debian's packages and a cache for downloads. This module does not depend on the program.

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

/// The result of a command.
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Runs `command`. If it has not ended after `limit`, kills it and all processes that it started.
pub fn run(command: &mut Command, limit: Duration) -> Result<Ran, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    // SAFETY: between fork and exec only one system call is made.
    unsafe {
        // If the tests are interrupted, no machine stays running.
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
    // The whole group: as long as a descendant has a pipe open, the readers wait.
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
            "{name} did not end within {} s; its output so far:\n{}{}",
            limit.as_secs(),
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        )),
    }
}

/// The child's status; `None` if it has not ended after `limit`.
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

/// Runs `command` and returns its standard output. If it fails, the error has the last lines of standard error.
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

/// The time limit for all downloads of one run together. After that, a mirror that does not answer is not asked any more.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);
/// How many seconds a download may make no progress.
pub const STANDSTILL: &str = "20";

/// Runs a command that downloads, within the time that is left.
pub fn download(command: &mut Command) -> Result<Vec<u8>, String> {
    static WAITED: Mutex<Duration> = Mutex::new(Duration::ZERO);
    let mut waited = WAITED.lock().map_err(|_| "a download panicked")?;
    let Some(left) = DOWNLOAD_LIMIT.checked_sub(*waited).filter(|left| !left.is_zero()) else {
        let seconds = DOWNLOAD_LIMIT.as_secs();
        return Err(format!("the mirror was waited for for {seconds} s, which is enough"));
    };
    let start = Instant::now();
    let outcome = checked(command, left);
    *waited += start.elapsed();
    outcome
}

/// Installs those of Debian's `packages` that are missing. Without root, the error names them.
pub fn install(packages: &[&str]) -> Result<(), String> {
    // The lock lets one installation run at a time. The value tells whether the lists are up to date.
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
    // Old lists may name packages that the mirror does not have any more, or a compiler that is too old. If the mirror does
    // not answer, try the lists that exist.
    if !*updated {
        if let Err(reason) = download(&mut apt(&["update"])) {
            eprintln!("apt-get update: {reason}");
        }
        *updated = true;
    }
    download(apt(&wanted).arg("--download-only"))?;
    // A separate step after the download: an installation must not be interrupted.
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

/// The directory in which downloads are kept from one run to the next, outside the work tree.
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
