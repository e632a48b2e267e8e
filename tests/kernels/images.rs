//! The architectures, and how the images for each are built. .tools/release builds the program, which is taken out of the archive
//! that users get. The compiler is the toolchain's own, if that has the target, and otherwise Debian's. That
//! one builds `core` first, for which it must be allowed what is not stable; then it builds the program as for any user.

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::guests::{AMD64, ARM64, ARMHF, Guest, I386, LOONG64, PPC64EL, RISCV64, S390X};
use crate::host::{self, checked};

const LIMIT: Duration = Duration::from_secs(600);
const NAME: &str = env!("CARGO_PKG_NAME");

/// One architecture: its names, its machines, and what the program's image may take up there.
pub struct Architecture {
    /// As the release archives name it.
    pub name: &'static str,
    pub triple: &'static str,
    /// As Debian names it.
    pub debian: &'static str,
    /// The machine with a kernel of this architecture.
    pub guest: &'static Guest,
    /// The machine with a kernel of the 64-bit architecture that also runs programs of this one, if there is one.
    pub wider_guest: Option<&'static Guest>,
    /// The other architecture whose programs its kernels run, as Debian names it, or why there is none.
    pub foreign: Result<&'static str, &'static str>,
    /// The maximal size of the program's image in bytes: a little more than was measured.
    pub budget: u64,
}

pub const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "x86_64",
        triple: "x86_64-unknown-linux-gnu",
        debian: "amd64",
        guest: &AMD64,
        wider_guest: None,
        foreign: Ok("i386"),
        budget: 21_350,
    },
    Architecture {
        name: "i686",
        triple: "i686-unknown-linux-gnu",
        debian: "i386",
        guest: &I386,
        wider_guest: Some(&AMD64),
        foreign: Err("a kernel of 32 bits runs no program of 64 bits"),
        budget: 23_700,
    },
    Architecture {
        name: "aarch64",
        triple: "aarch64-unknown-linux-gnu",
        debian: "arm64",
        guest: &ARM64,
        wider_guest: None,
        foreign: Ok("armhf"),
        budget: 22_930,
    },
    Architecture {
        name: "armv7",
        triple: "armv7-unknown-linux-gnueabihf",
        debian: "armhf",
        guest: &ARMHF,
        wider_guest: Some(&ARM64),
        foreign: Err("a kernel of 32 bits runs no program of 64 bits"),
        budget: 19_000,
    },
    Architecture {
        name: "riscv64",
        triple: "riscv64gc-unknown-linux-gnu",
        debian: "riscv64",
        guest: &RISCV64,
        wider_guest: None,
        foreign: Err(
            "Debian's riscv64 kernels are built without CONFIG_COMPAT: one of 32 bits is no program to them",
        ),
        budget: 20_800,
    },
    Architecture {
        name: "loongarch64",
        triple: "loongarch64-unknown-linux-gnu",
        debian: "loong64",
        guest: &LOONG64,
        wider_guest: None,
        foreign: Err("this architecture has no ABI of 32 bits"),
        budget: 26_150,
    },
    Architecture {
        name: "s390x",
        triple: "s390x-unknown-linux-gnu",
        debian: "s390x",
        guest: &S390X,
        wider_guest: None,
        foreign: Err("Debian has no programs of 31 bits"),
        budget: 23_860,
    },
    Architecture {
        name: "ppc64le",
        triple: "powerpc64le-unknown-linux-gnu",
        debian: "ppc64el",
        guest: &PPC64EL,
        wider_guest: None,
        foreign: Err("a little-endian kernel of this architecture runs no program of 32 bits"),
        budget: 29_290,
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
    /// Debian's compiler with a `core` that was built for the target, and the linker of the toolchain in use.
    Debian { rustc: PathBuf, linker: PathBuf },
}

impl Toolchain {
    fn choose(architecture: &Architecture) -> Result<Self, String> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let ask = |arguments: &[&str]| {
            checked(Command::new(&rustc).args(arguments).current_dir(host::project()), LIMIT)
                .map(|said| String::from_utf8_lossy(&said).trim().to_owned())
        };
        let targets = Path::new(&ask(&["--print", "sysroot"])?).join("lib/rustlib");
        // rustup is not asked for a missing target: the toolchain in use must not change while tests run.
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
        let rustc = debian_rustc(architecture, &linker)?;
        Ok(Self::Debian { rustc, linker })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Own => "the release archive",
            Self::Debian { .. } => {
                "the release archive, by Debian's rustc with a core built before, rust-lld"
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
            Self::Debian { rustc, linker } => {
                by_debian(&mut tool, architecture, rustc, linker).env("CARGO", "/usr/bin/cargo");
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
            Self::Debian { rustc, linker } => {
                let mut cargo = Command::new("/usr/bin/cargo");
                by_debian(&mut cargo, architecture, rustc, linker);
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

/// Makes cargo, or a program that starts cargo, build with this compiler and this linker.
fn by_debian<'a>(
    command: &'a mut Command,
    architecture: &Architecture,
    rustc: &Path,
    linker: &Path,
) -> &'a mut Command {
    let variable = architecture.triple.replace('-', "_").to_uppercase();
    command.env("RUSTC", rustc).env(format!("CARGO_TARGET_{variable}_LINKER"), linker)
}

/// Builds `core` for the architecture with Debian's compiler, and returns a compiler that has it: a script that starts Debian's
/// compiler with a folder of its own for the libraries.
fn debian_rustc(architecture: &Architecture, linker: &Path) -> Result<PathBuf, String> {
    let triple = architecture.triple;
    let folder = build_folder(architecture);
    let target = folder.join("core");
    let mut cargo = Command::new("/usr/bin/cargo");
    by_debian(&mut cargo, architecture, Path::new("/usr/bin/rustc"), linker);
    without_ours(&mut cargo)
        // Only here: with it the compiler would also take what is not stable in the program.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target)
        .args(["build", "--quiet", "--release", "--locked", "--example", "under-filter"])
        .args(["-Zbuild-std=core,compiler_builtins", "--target", triple])
        .current_dir(host::project().join("tests/kernels/under-filter"));
    checked(&mut cargo, LIMIT)?;

    let complain = |error: std::io::Error| format!("{}: {error}", folder.display());
    let libraries = folder.join("sysroot/lib/rustlib");
    let _ = fs::remove_dir_all(&libraries);
    let of_target = libraries.join(triple).join("lib");
    fs::create_dir_all(&of_target).map_err(complain)?;
    for file in fs::read_dir(target.join(triple).join("release/deps")).map_err(complain)? {
        let file = file.map_err(complain)?;
        let name = file.file_name().to_string_lossy().into_owned();
        let is_library = name.starts_with("libcore-") || name.starts_with("libcompiler_builtins-");
        if is_library && name.ends_with(".rlib") {
            fs::copy(file.path(), of_target.join(name)).map_err(complain)?;
        }
    }
    // For build.rs.
    let mut rustc = Command::new("/usr/bin/rustc");
    let said = checked(rustc.args(["--print", "sysroot"]), LIMIT)?;
    let own = Path::new(String::from_utf8_lossy(&said).trim()).join("lib/rustlib");
    for library in fs::read_dir(own).map_err(complain)? {
        let library = library.map_err(complain)?;
        symlink(library.path(), libraries.join(library.file_name())).map_err(complain)?;
    }
    let script = folder.join("rustc");
    let sysroot = folder.join("sysroot");
    let text = format!("#!/bin/sh\nexec /usr/bin/rustc --sysroot '{}' \"$@\"\n", sysroot.display());
    fs::write(&script, text).map_err(complain)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).map_err(complain)?;
    Ok(script)
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
    command
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_BOOTSTRAP");
    command.env_remove("RUSTUP_TOOLCHAIN")
}
