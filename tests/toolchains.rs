//! The program builds, without a warning, with every toolchain from the oldest that Cargo.toml names to tonight's, and works.
//!
//! `cargo test --test toolchains -- --ignored --nocapture` gets them: from rustup where that can fetch, and from the
//! distribution's packages. It prints a table, and names each that it could not have.

mod building;
mod common;
#[allow(dead_code)] // no virtual machine is started here
#[path = "kernels/host.rs"]
mod host;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use building::{Build, Built};

/// How long one toolchain or target may take to come.
const LIMIT: Duration = Duration::from_secs(300);

/// The oldest is what Cargo.toml promises; 1.98 brought a lint that this kind of program met, 1.99 another LLVM. Not `stable`: it
/// may be the toolchain in use, which must not change while the tests run.
const CHANNELS: [&str; 6] = ["1.88.0", "1.95.0", "1.98.0", "1.99.1", "beta", "nightly"];

/// The targets that each toolchain builds for.
const TARGETS: [&str; 4] = [
    "x86_64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-gnu",
    "riscv64gc-unknown-linux-gnu",
];

/// The other targets, for which the oldest and the newest stable toolchain build.
const MORE_TARGETS: [&str; 5] = [
    "i686-unknown-linux-gnu",
    "armv7-unknown-linux-gnueabihf",
    "loongarch64-unknown-linux-gnu",
    "s390x-unknown-linux-gnu",
    POWERPC64LE,
];
const WITH_MORE_TARGETS: [&str; 2] = ["1.88.0", "1.99.1"];

/// Rust builds for it from 1.95 on, when `asm!` became stable there.
const POWERPC64LE: &str = "powerpc64le-unknown-linux-gnu";

/// The targets for a channel of rustup, or for another toolchain.
fn targets(channel: &str) -> Vec<&'static str> {
    let more = WITH_MORE_TARGETS.contains(&channel).then_some(MORE_TARGETS);
    TARGETS.into_iter().chain(more.into_iter().flatten()).collect()
}

/// A compiler and its cargo.
struct Toolchain {
    name: String,
    rustc: PathBuf,
    cargo: PathBuf,
}

impl Toolchain {
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars() {
            if name.starts_with("CARGO_") && name != "CARGO_HOME"
                || name.starts_with("RUSTUP_TOOLCHAIN")
            {
                command.env_remove(name);
            }
        }
        command.env("RUSTC", &self.rustc);
        command
    }

    /// As it names itself: `rustc 1.88.0 (6b00bc388 2025-06-23)`.
    fn version(&self) -> Result<String, String> {
        let said = host::checked(self.command(&self.rustc).arg("--version"), LIMIT)?;
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    }

    fn has(&self, target: &str) -> bool {
        let mut rustc = self.command(&self.rustc);
        let sysroot = rustc.args(["--print", "sysroot"]).output().expect("it starts").stdout;
        let sysroot = String::from_utf8_lossy(&sysroot).into_owned();
        Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib").is_dir()
    }
}

/// The toolchain of a channel, by rustup, which is asked to get it.
fn by_rustup(channel: &str) -> Result<Toolchain, String> {
    if !common::is_installed("rustup") {
        return Err("rustup is not installed".into());
    }
    let which = |tool: &str| -> Result<PathBuf, String> {
        let mut rustup = Command::new("rustup");
        let found = host::checked(rustup.args(["which", "--toolchain", channel, tool]), LIMIT)?;
        Ok(String::from_utf8_lossy(&found).trim().into())
    };
    // It is there, or it is got. A channel moves, but not while the tests run.
    let mut install = Command::new("rustup");
    install.args(["toolchain", "install", channel, "--profile", "minimal", "--no-self-update"]);
    let got = host::checked(&mut install, LIMIT);
    let toolchain = Toolchain {
        name: format!("rustup's {channel}"),
        rustc: which("rustc").map_err(|why| got.err().unwrap_or(why))?,
        cargo: which("cargo")?,
    };
    for target in targets(channel) {
        if !toolchain.has(target) {
            let mut add = Command::new("rustup");
            // Told where the target is missing.
            let _ =
                host::checked(add.args(["target", "add", "--toolchain", channel, target]), LIMIT);
        }
    }
    Ok(toolchain)
}

/// The toolchain of the distribution's packages: Debian's for building browsers, which is newer than its `rustc`.
fn by_distribution() -> Result<Toolchain, String> {
    host::install(&["rustc-web", "cargo-web"])?;
    let (rustc, cargo) = ("/usr/bin/rustc".into(), "/usr/bin/cargo".into());
    Ok(Toolchain { name: "the distribution's".into(), rustc, cargo })
}

/// The minor version in `rustc 1.95.0 (…)`.
fn minor(version: &str) -> u32 {
    let number = version.split('.').nth(1).and_then(|minor| minor.parse().ok());
    number.unwrap_or_else(|| panic!("no version: {version}"))
}

#[test]
#[ignore = "gets toolchains, and takes minutes"]
fn every_toolchain_builds_it_without_a_warning() {
    let folder = tempfile::tempdir().expect("a directory can be made");
    let project = folder.path().join("project");
    common::copy_project(&project);

    let own = Command::new("rustc").arg("--version").output().expect("rustc starts").stdout;
    let own = minor(&String::from_utf8_lossy(&own));
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    let mut lines = Vec::new();
    let mut try_one = |found: Result<Toolchain, String>, channel: &str, what: &str| {
        let toolchain =
            match found.and_then(|toolchain| toolchain.version().map(|it| (toolchain, it))) {
                Ok(found) => found,
                Err(why) => return common::skipped(what, why.lines().next().unwrap_or_default()),
            };
        let (toolchain, version) = toolchain;
        if !seen.insert(version.clone()) {
            return;
        }
        for target in targets(channel) {
            if target == POWERPC64LE && minor(&version) < 95 {
                let why = "Rust builds for it from 1.95 on";
                common::skipped(&format!("{version}, {target}"), why);
                continue;
            }
            if !toolchain.has(target) {
                common::skipped(&format!("{version}, {target}"), "the toolchain lacks the target");
                continue;
            }
            let built = folder.path().join("built").join(minor(&version).to_string());
            let mut build = Build::new(&project, &built).target(target);
            // The very cargo, whatever a rustup says.
            let mut cargo = toolchain.command(&toolchain.cargo);
            cargo.current_dir(&project).env("CARGO_TARGET_DIR", &built).args(["build", "--locked"]);
            build.cargo = cargo;
            match build.check() {
                Ok(Built { size, ran }) => {
                    let works = if ran { "works" } else { "of another architecture" };
                    lines.push(format!("{version:42} {target:30} {size:6} bytes, {works}"));
                }
                Err(why) => wrong.push(format!("{}: {version}, {target}: {why}", toolchain.name)),
            }
        }
    };
    for channel in CHANNELS {
        try_one(by_rustup(channel), channel, &format!("rustup's {channel}"));
    }
    let newest =
        |seen: &BTreeSet<String>| seen.iter().map(|version| minor(version)).max().unwrap_or(0);
    try_one(by_distribution(), "", "the distribution's rustc");
    println!("\n{}", lines.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!lines.is_empty(), "no toolchain at all");
    if newest(&seen) <= own {
        common::skipped(
            "a toolchain newer than the default",
            "neither rustup nor the distribution gave one",
        );
    }
}
