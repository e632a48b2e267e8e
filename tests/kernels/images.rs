//! The architectures, and how the images for each are built here: with the toolchain's own target
//! where it has it, as a user would, and otherwise with Debian's compiler and a `core` built along.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::host::{self, checked};

const LIMIT: Duration = Duration::from_secs(600);

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
    /// The most bytes that the program's image may have: what was measured, and a little room.
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
        budget: 9360,
    },
    Architecture {
        name: "aarch64",
        debian: "arm64",
        triple: "aarch64-unknown-linux-gnu",
        qemu: &["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72"],
        qemu_package: "qemu-system-arm",
        console: "ttyAMA0",
        foreign: Ok("armhf"),
        budget: 10496,
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
        budget: 9536,
    },
];

/// What is packed into the initramfs beside busybox.
pub struct Images {
    /// The program itself, as released.
    pub program: Vec<u8>,
    /// The helper that runs another program under the project's filter.
    pub under_filter: Vec<u8>,
    /// The helper that runs the program by a plan and tells what it writes.
    pub watch: Vec<u8>,
    /// How they were built, in a few words.
    pub how: String,
}

/// Why there are no images.
#[derive(Clone)]
pub enum Unbuilt {
    /// There is nothing to build them with, for this reason.
    NoToolchain(String),
    /// The build failed, which is the project's fault.
    Failed(String),
}

/// Builds the images for `architecture`.
pub fn build(architecture: &Architecture) -> Result<Images, Unbuilt> {
    let toolchain = Toolchain::choose(architecture).map_err(Unbuilt::NoToolchain)?;
    build_with(&toolchain, architecture).map_err(Unbuilt::Failed)
}

fn build_with(toolchain: &Toolchain, architecture: &Architecture) -> Result<Images, String> {
    let helpers = host::project().join("tests/kernels");
    let program = toolchain.build(architecture, host::project(), "seccomp-notify-min")?;
    let under_filter =
        toolchain.build(architecture, &helpers.join("under-filter"), "under-filter")?;
    let watch = toolchain.build(architecture, &helpers.join("watch"), "watch")?;
    let read = |path: PathBuf| fs::read(&path).map_err(|e| format!("{}: {e}", path.display()));
    Ok(Images {
        program: read(program)?,
        under_filter: read(under_filter)?,
        watch: read(watch)?,
        how: toolchain.name().into(),
    })
}

enum Toolchain {
    /// It has the target's `core`.
    Own,
    /// It has not; its linker is all that is used of it.
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
            Self::Own => "cargo build --release --target",
            Self::Debian { .. } => "Debian's rustc, core built along, rust-lld",
        }
    }

    /// Builds the binary `name` of the package in `folder` and returns its path.
    fn build(
        &self,
        architecture: &Architecture,
        folder: &Path,
        name: &str,
    ) -> Result<PathBuf, String> {
        let triple = architecture.triple;
        let target = host::project().join("target/kernels");
        let mut cargo = match self {
            Self::Own => Command::new(env!("CARGO")),
            Self::Debian { linker } => {
                let variable = triple.replace('-', "_").to_uppercase();
                let mut cargo = Command::new("/usr/bin/cargo");
                cargo
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env(format!("CARGO_TARGET_{variable}_LINKER"), linker)
                    .arg("-Zbuild-std=core,compiler_builtins");
                cargo
            }
        };
        // What cargo set for this test is not meant for the one that it starts.
        for (variable, _) in env::vars_os() {
            let variable = variable.to_string_lossy();
            if variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&*variable);
            }
        }
        cargo
            .env_remove("RUSTFLAGS")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env("CARGO_TARGET_DIR", &target)
            .args(["build", "--quiet", "--release", "--locked", "--target", triple])
            .current_dir(folder);
        checked(&mut cargo, LIMIT)?;
        Ok(target.join(triple).join("release").join(name))
    }
}
