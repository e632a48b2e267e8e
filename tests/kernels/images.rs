//! The architectures, and how the images for each are built. .tools/release builds the program, which is taken out of the archive
//! that users get. The compiler is the toolchain's own, if that has the target, and otherwise Debian's, which also builds
//! `core`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::host::{self, checked};

const LIMIT: Duration = Duration::from_secs(600);
const NAME: &str = env!("CARGO_PKG_NAME");

/// One architecture: its names, its machine, and what the program's image may take up there.
pub struct Architecture {
    /// As Rust and `uname -m` name it.
    pub name: &'static str,
    /// As Debian names it.
    pub debian: &'static str,
    pub triple: &'static str,
    pub qemu: &'static [&'static str],
    /// Debian's package with that qemu.
    pub qemu_package: &'static str,
    pub console: &'static str,
    /// The 32-bit architecture whose programs its kernels run, as Debian names it, or why there is none.
    pub foreign: Result<&'static str, &'static str>,
    /// The maximal size of the program's image in bytes: a little more than was measured.
    pub budget: u64,
}

pub const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "x86_64",
        debian: "amd64",
        triple: "x86_64-unknown-linux-gnu",
        qemu: &["qemu-system-x86_64", "-M", "q35", "-cpu", "max"],
        qemu_package: "qemu-system-x86",
        console: "ttyS0",
        foreign: Ok("i386"),
        budget: 20_940,
    },
    Architecture {
        name: "aarch64",
        debian: "arm64",
        triple: "aarch64-unknown-linux-gnu",
        qemu: &["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72"],
        qemu_package: "qemu-system-arm",
        console: "ttyAMA0",
        foreign: Ok("armhf"),
        budget: 22_500,
    },
    Architecture {
        name: "riscv64",
        debian: "riscv64",
        triple: "riscv64gc-unknown-linux-gnu",
        qemu: &["qemu-system-riscv64", "-M", "virt"],
        qemu_package: "qemu-system-misc",
        console: "ttyS0",
        foreign: Err(
            "Debian's riscv64 kernels are built without CONFIG_COMPAT: one of 32 bits is no program to them",
        ),
        budget: 20_360,
    },
];

/// The programs in the initramfs, except busybox.
pub struct Images {
    /// The program, from its release archive.
    pub program: Vec<u8>,
    /// The helper that runs another program under the project's filter.
    pub under_filter: Vec<u8>,
    /// The helper that runs the program according to a plan and records what it writes.
    pub watch: Vec<u8>,
    /// How the images were built, in a few words.
    pub how: String,
}

/// Why there are no images.
#[derive(Clone)]
pub enum Unbuilt {
    /// There is no toolchain for this architecture, for this reason.
    NoToolchain(String),
    /// The build failed, which is a fault of the project.
    Failed(String),
}

/// Builds the images for `architecture`.
pub fn build(architecture: &Architecture) -> Result<Images, Unbuilt> {
    // A packaged crate does not contain other packages.
    for folder in [".tools/release", "tests/kernels/under-filter", "tests/kernels/watch"] {
        if !host::project().join(folder).is_dir() {
            let reason = format!("{folder} is not in this copy of the project");
            return Err(Unbuilt::NoToolchain(reason));
        }
    }
    let toolchain = Toolchain::choose(architecture).map_err(Unbuilt::NoToolchain)?;
    build_with(&toolchain, architecture).map_err(Unbuilt::Failed)
}

fn build_with(toolchain: &Toolchain, architecture: &Architecture) -> Result<Images, String> {
    Ok(Images {
        program: toolchain.released(architecture)?,
        under_filter: toolchain.helper(architecture, "under-filter")?,
        watch: toolchain.helper(architecture, "watch")?,
        how: toolchain.name().into(),
    })
}

enum Toolchain {
    /// The toolchain in use, which has the target's `core`.
    Own,
    /// Debian's compiler, with the linker of the toolchain in use.
    Debian { linker: PathBuf },
}

impl Toolchain {
    fn choose(architecture: &Architecture) -> Result<Self, String> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let ask = |arguments: &[&str]| {
            checked(Command::new(&rustc).args(arguments).current_dir(host::project()), LIMIT)
                .map(|said| String::from_utf8_lossy(&said).trim().to_owned())
        };
        let targets = Path::new(&ask(&["--print", "sysroot"])?).join("lib/rustlib");
        if targets.join(architecture.triple).join("lib").is_dir() {
            return Ok(Self::Own);
        }
        let version = ask(&["-vV"])?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let linker = targets.join(host).join("bin/rust-lld");
        if !linker.exists() {
            return Err(format!(
                "neither has the toolchain the target {} nor is there {}",
                architecture.triple,
                linker.display()
            ));
        }
        host::install(&["rustc-web", "cargo-web", "rust-web-src"])
            .map_err(|reason| format!("the toolchain lacks {}: {reason}", architecture.triple))?;
        Ok(Self::Debian { linker })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Own => "the release archive",
            Self::Debian { .. } => {
                "the release archive, by Debian's rustc with core built along, rust-lld"
            }
        }
    }

    /// Makes the release archive and returns the program in it.
    fn released(&self, architecture: &Architecture) -> Result<Vec<u8>, String> {
        let target = build_folder(architecture);
        let manifest = host::project().join(".tools/release/Cargo.toml");
        // The toolchain in use builds the tool, also if Debian's compiler builds the program.
        let tools = host::project().join("target/kernels/tool");
        let tool = tools.join("debug/seccomp-notify-min-release");
        checked(
            without_ours(&mut Command::new(env!("CARGO")))
                .args(["build", "--quiet", "--locked", "--manifest-path"])
                .arg(manifest)
                .arg("--target-dir")
                .arg(tools),
            LIMIT,
        )?;
        let dist = target.join("dist");
        let mut tool = Command::new(tool);
        without_ours(&mut tool);
        match self {
            Self::Own => {
                tool.env("CARGO", env!("CARGO"));
            }
            Self::Debian { linker } => {
                by_debian(&mut tool, architecture, linker)
                    .env("CARGO", "/usr/bin/cargo")
                    .arg("--build-std");
            }
        }
        tool.args(["--arch", architecture.name, "--project"]).arg(host::project());
        checked(tool.arg("--out").arg(&dist), LIMIT)?;

        let folder = format!("{NAME}-{}-{}-linux", env!("CARGO_PKG_VERSION"), architecture.name);
        let archive = dist.join(format!("{folder}.tar.gz"));
        let mut tar = Command::new("tar");
        checked(tar.arg("-xzOf").arg(archive).arg(format!("{folder}/{NAME}")), LIMIT)
    }

    /// Builds a helper.
    fn helper(&self, architecture: &Architecture, name: &str) -> Result<Vec<u8>, String> {
        let target = build_folder(architecture);
        let mut cargo = match self {
            Self::Own => Command::new(env!("CARGO")),
            Self::Debian { linker } => {
                let mut cargo = Command::new("/usr/bin/cargo");
                by_debian(&mut cargo, architecture, linker)
                    .arg("-Zbuild-std=core,compiler_builtins");
                cargo
            }
        };
        without_ours(&mut cargo)
            .env("CARGO_TARGET_DIR", &target)
            .args(["build", "--quiet", "--release", "--locked", "--example", name])
            .args(["--target", architecture.triple])
            .current_dir(host::project().join("tests/kernels").join(name));
        checked(&mut cargo, LIMIT)?;
        let file = target.join(architecture.triple).join("release/examples").join(name);
        fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))
    }
}

/// The target directory of an architecture. There are several, since cargo locks the one that it builds in.
fn build_folder(architecture: &Architecture) -> PathBuf {
    host::project().join("target/kernels").join(architecture.name)
}

/// Makes cargo, or a program that starts cargo, build with Debian's compiler and this linker.
fn by_debian<'a>(
    command: &'a mut Command,
    architecture: &Architecture,
    linker: &Path,
) -> &'a mut Command {
    let variable = architecture.triple.replace('-', "_").to_uppercase();
    command
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env(format!("CARGO_TARGET_{variable}_LINKER"), linker)
}

/// Removes variables that cargo set for this test, and variables that the started program must not use.
fn without_ours(command: &mut Command) -> &mut Command {
    for (variable, _) in env::vars_os() {
        let variable = variable.to_string_lossy();
        if variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*variable);
        }
    }
    // Both would replace the flags of the project's configuration.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.env_remove("RUSTUP_TOOLCHAIN")
}
