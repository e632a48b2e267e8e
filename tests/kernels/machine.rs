//! A virtual machine: boots a kernel and an initramfs under qemu-system, and reads the output of the console.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::guests::Guest;
use crate::host;
use crate::packages::{self, Index};

/// The time limit of one boot with all its cases.
const LIMIT: Duration = Duration::from_secs(300);

/// The report of one case in the machine.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The exit status as in a shell: 128 plus the signal's number for a signal, 137 also for the time limit.
    pub status: u32,
    pub stdout: String,
    pub stderr: String,
    /// What the case found afterwards, one fact in each line.
    pub facts: String,
    /// The PIDs of the program and its helpers that still ran some seconds later.
    pub left: String,
}

/// The qemu of a machine, and its firmware.
#[derive(Clone)]
pub struct Emulator {
    guest: &'static Guest,
    program: PathBuf,
    firmware: Option<Vec<u8>>,
    /// More of the machine, such as a disk.
    more: Vec<String>,
}

impl Emulator {
    /// Installs the qemu, or takes it from another suite if the installed one is too old.
    pub fn find(guest: &'static Guest) -> Result<Self, String> {
        host::install(&[guest.qemu_package])?;
        let mut program = PathBuf::from(guest.qemu[0]);
        // Without the program, which another package may have by now, the machine is skipped.
        let installed = version(&program)?;
        if let Some((since, suite)) = guest.qemu_since
            && installed < since
        {
            let ours = host::checked(
                Command::new("dpkg").arg("--print-architecture"),
                Duration::from_secs(20),
            )?;
            let ours = String::from_utf8_lossy(&ours).trim().to_owned();
            let package = Index::open(suite, &ours)?.fetch(guest.qemu_package)?;
            let content = packages::unpack(&package, &format!("*/bin/{}", guest.qemu[0]))?;
            let complain = |error: std::io::Error| format!("{}: {error}", guest.qemu[0]);
            program = host::cache()?.join(guest.qemu[0]);
            fs::write(&program, content).map_err(complain)?;
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(complain)?;
            version(&program)?;
        }
        let firmware = guest.firmware.as_ref().map(|firmware| {
            // The package is the same for all architectures.
            let index = Index::open(firmware.suite, "amd64")?;
            packages::unpack(&index.fetch(firmware.package)?, firmware.file)
        });
        Ok(Self { guest, program, firmware: firmware.transpose()?, more: Vec::new() })
    }

    /// The machine with more in it: arguments of qemu.
    #[allow(dead_code)] // tests/packaging adds a disk
    pub fn with(&self, more: &[&str]) -> Self {
        Self { more: more.iter().map(|&argument| argument.to_owned()).collect(), ..self.clone() }
    }

    /// Boots `kernel` with `initramfs` and returns the output of the console until the machine ended. `parameters` are added to the
    /// kernel's command line.
    ///
    /// On a busy host an emulated kernel may hang, or panic because of a missing timer interrupt, before it starts the first
    /// process. Then nothing was tested, and the machine is booted a second time; a message says so. `alive` is a text of
    /// the first process's output.
    pub fn boot(
        &self,
        kernel: &[u8],
        initramfs: &[u8],
        parameters: &str,
        alive: &str,
    ) -> Result<String, String> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let file = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, content).map(|()| path).map_err(|e| format!("{name}: {e}"))
        };
        let initramfs = file("initramfs", initramfs)?;
        let mut qemu = Command::new(&self.program);
        if let Some(firmware) = &self.firmware {
            qemu.arg("-bios").arg(file("firmware", firmware)?);
        }
        qemu.args(&self.guest.qemu[1..]).args(&self.more);
        // Only emergencies on the console. A panic ends the machine at once.
        let parameters =
            format!("console={} quiet loglevel=1 panic=-1 {parameters}", self.guest.console);
        if kernel.is_empty() {
            // The program is the kernel, and its arguments are the parameters.
            qemu.arg(format!("initrd={}", initramfs.display()))
                .arg(format!("uml_dir={}", dir.path().display()))
                .args(parameters.split_whitespace());
        } else {
            qemu.args(["-accel", "tcg", "-smp", "2", "-m", "512"])
                .args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"])
                .arg("-kernel")
                .arg(file("kernel", kernel)?)
                .arg("-initrd")
                .arg(initramfs)
                .args(["-append", &parameters]);
        }
        let mut console = run(&mut qemu);
        let (Ok(said) | Err(said)) = &console;
        if !said.contains(alive) {
            eprintln!("{}: no first process, so once more: {said}", self.guest.machine);
            console = run(&mut qemu);
        }
        console
    }
}

/// The major version of a qemu.
fn version(qemu: &PathBuf) -> Result<u32, String> {
    // "QEMU emulator version 7.2.22 (Debian …)", or the kernel's "6.1.176".
    let said = host::checked(Command::new(qemu).arg("--version"), Duration::from_secs(20))?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let version = said.split_once("version ").map_or(said.as_str(), |(_, version)| version);
    let major = version.split('.').next().and_then(|major| major.trim().parse().ok());
    major.ok_or(format!("{}: no version: {said}", qemu.display()))
}

/// Runs a machine to its end, and returns the output of its console. An error contains it too.
fn run(qemu: &mut Command) -> Result<String, String> {
    let ran = host::run(qemu, LIMIT)?;
    let console = String::from_utf8_lossy(&ran.stdout).replace('\r', "");
    // User-mode Linux ends by SIGABRT when it panics, and it panics when the first process has ended.
    let panicked = ran.status.signal() == Some(6) && console.contains("Kernel panic");
    if ran.status.success() || panicked {
        Ok(console)
    } else {
        let said = String::from_utf8_lossy(&ran.stderr);
        Err(format!("qemu: {}: {said}\n{console}", ran.status))
    }
}

/// Parses the console of a machine that ran `init.sh`: the kernel's release, and one report for each case.
pub fn reports(console: &str) -> Result<(String, Vec<(String, Report)>), String> {
    let mut release = None;
    let mut reports = Vec::new();
    let mut name = String::new();
    let mut report = Report::default();
    let mut is_done = false;
    for line in console.lines() {
        // A line of the firmware may be in front of the first marker.
        let Some((_, marked)) = line.split_once("@@") else {
            continue;
        };
        let (what, rest) = marked.split_once(' ').unwrap_or((marked, ""));
        match what {
            "release" => release = Some(rest.to_owned()),
            "case" => {
                name = rest.to_owned();
                report = Report::default();
            }
            "out" => report.stdout = decode(rest)?,
            "err" => report.stderr = decode(rest)?,
            "facts" => report.facts = decode(rest)?,
            "left" => report.left = rest.trim().to_owned(),
            "end" => {
                report.status = rest.parse().map_err(|e| format!("{name}: status {rest}: {e}"))?;
                reports.push((name.clone(), report.clone()));
            }
            "done" => is_done = true,
            _ => {}
        }
    }
    let last = || console.lines().rev().take(12).collect::<Vec<_>>().into_iter().rev();
    match release {
        Some(release) if is_done => Ok((release, reports)),
        _ => Err(format!(
            "the machine ended early; its console's last lines:\n{}",
            last().collect::<Vec<_>>().join("\n")
        )),
    }
}

fn decode(text: &str) -> Result<String, String> {
    let bytes = BASE64_STANDARD.decode(text.trim()).map_err(|e| format!("console: {e}: {text}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
