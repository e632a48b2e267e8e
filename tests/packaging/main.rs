//! Packaging and boot: the Debian package of docs/packaging/debian, what packagers' tools and flags do to the image, and the boot
//! script of docs/deployment in the initramfs of the real initramfs-tools and dracut, booted under qemu.
//!
//! `cargo test --test packaging -- --ignored` runs all of it. The commands are those of docs/packaging.md and docs/initramfs.md. With
//! `PACKAGING_DOC=write` it writes the tables of docs/packaging.md, which otherwise must show the same. Packages that a test has to
//! install are installed in a throwaway copy of the machine, see `throwaway`; that needs root.

mod boot;
#[path = "../common/mod.rs"]
mod common;
mod debian;
mod document;
mod flags;
#[allow(dead_code)] // one machine is used
#[path = "../kernels/guests.rs"]
mod guests;
#[allow(dead_code)] // nothing is installed here, apart from qemu
#[path = "../kernels/host.rs"]
mod host;
#[allow(dead_code)] // only the list of architectures is used
#[path = "../kernels/images.rs"]
mod images;
#[allow(dead_code)] // the reports of cases are not used
#[path = "../kernels/machine.rs"]
mod machine;
#[allow(dead_code)] // only for a qemu or firmware that this machine does not use
#[path = "../kernels/packages.rs"]
mod packages;
mod throwaway;

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The time limit of one command.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs a shell script in `folder` as a packager would, without the variables that cargo sets for this test. Returns what it
/// printed, on both streams.
fn shell(folder: &Path, script: &str, variables: &[(&str, &str)]) -> Result<String, String> {
    let mut shell = Command::new("sh");
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let is_ours = text.starts_with("CARGO") && text != "CARGO_HOME";
        if is_ours || text.ends_with("RUSTFLAGS") || text.starts_with("DEB_") {
            shell.env_remove(&name);
        }
    }
    shell.args(["-euc", &format!("exec 2>&1\n{script}")]).current_dir(folder);
    // lintian leaves temporary files behind; a build script that is compiled for coverage leaves its counts in the folder.
    let temporary = tempfile::tempdir().map_err(|error| error.to_string())?;
    shell
        .env("TMPDIR", temporary.path())
        .env("LLVM_PROFILE_FILE", "/dev/null")
        .env("LC_ALL", "C.UTF-8")
        .envs(variables.iter().copied());
    let ran = host::run(&mut shell, LIMIT)?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    if ran.status.success() { Ok(said) } else { Err(format!("{}: {script}\n{said}", ran.status)) }
}

/// Whether all these programs are installed; if one is not, prints that `what` is skipped.
fn has(what: &str, programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| !common::is_installed(program));
    if let Some(missing) = missing {
        common::skipped(what, format!("{missing} is not installed"));
    }
    missing.is_none()
}

/// The project in a folder of its own, beneath a temporary folder.
fn copy_of_the_project(beneath: &Path, name: &str) -> std::path::PathBuf {
    let project = beneath.join(name);
    common::copy_project(&project);
    project
}
