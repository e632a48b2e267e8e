//! What the tests of builds share: a build of the program somewhere, by some toolchain, target, linker and flags, without a
//! warning; and a look at what came of it.
#![allow(dead_code)] // each test uses its part

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind, elf};

use crate::common::{self, Beneath, Ended, NAME, Run};

/// A build to be tried.
pub struct Build {
    /// Where the project is.
    pub folder: PathBuf,
    pub cargo: Command,
    target: Option<&'static str>,
    target_dir: PathBuf,
    profile: &'static str,
}

impl Build {
    /// `cargo build --release` of the project in `folder`, with what it builds in `target_dir`.
    pub fn new(folder: &Path, target_dir: &Path) -> Self {
        let mut cargo = cargo();
        cargo.current_dir(folder).env("CARGO_TARGET_DIR", target_dir).args(["build", "--locked"]);
        Self {
            folder: folder.to_owned(),
            cargo,
            target: None,
            target_dir: target_dir.to_owned(),
            profile: "dev",
        }
        .release()
    }

    fn release(mut self) -> Self {
        self.profile = "release";
        self
    }

    /// With the profile for development.
    pub fn dev(mut self) -> Self {
        self.profile = "dev";
        self
    }

    /// For this target.
    pub fn target(mut self, target: &'static str) -> Self {
        self.target = Some(target);
        self
    }

    /// With this variable in the environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.cargo.env(name, value);
        self
    }

    /// Makes the build.
    pub fn output(&mut self) -> Output {
        self.cargo.args(["--profile", self.profile]);
        if let Some(target) = self.target {
            self.cargo.args(["--target", target]);
        }
        self.cargo.output().expect("cargo can be started")
    }

    /// The program that it makes.
    pub fn program(&self) -> PathBuf {
        let folder = if self.profile == "dev" { "debug" } else { self.profile };
        self.target_dir.join(self.target.unwrap_or_default()).join(folder).join(NAME)
    }

    /// Makes the build, which must succeed without a warning, and looks at the program.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(mut self) -> Result<Built, String> {
        let output = self.output();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(format!("{}: {said}", output.status));
        }
        // As a member of another workspace the package has profiles, which cargo ignores and says so.
        let ignored = "warning: profiles for the non root package will be ignored";
        let is_one = |line: &&str| line.starts_with("warning") && !line.starts_with(ignored);
        if let Some(warning) = said.lines().find(is_one) {
            return Err(format!("{warning}\n{said}"));
        }
        Built::look_at(&self.program())
    }
}

/// Cargo, without what this test's own cargo has set.
pub fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    for (name, _) in env::vars() {
        let is_ours = name.starts_with("CARGO_") && name != "CARGO_HOME" || name == "CARGO";
        if is_ours || name.starts_with("RUST") && name != "RUSTUP_HOME" {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// A program that was built.
#[derive(Debug)]
pub struct Built {
    /// Its size in bytes.
    pub size: usize,
    /// Whether it was run here.
    pub ran: bool,
}

impl Built {
    /// Looks at a program: what kind of file it is, and, if it is of this machine's architecture, whether it works.
    ///
    /// # Errors
    /// What is wrong.
    pub fn look_at(program: &Path) -> Result<Self, String> {
        let bytes = fs::read(program).map_err(|error| format!("{}: {error}", program.display()))?;
        let machine = match FileKind::parse(&*bytes).map_err(|error| error.to_string())? {
            FileKind::Elf32 => check_static::<elf::FileHeader32<Endianness>>(&bytes)?,
            FileKind::Elf64 => check_static::<elf::FileHeader64<Endianness>>(&bytes)?,
            other => return Err(format!("no ELF file but {other:?}")),
        };
        // Most kernels for x86-64 run programs of 32 bits too.
        let ran = match machine {
            elf::EM_X86_64 => cfg!(target_arch = "x86_64"),
            elf::EM_386 => cfg!(target_arch = "x86_64") && is_executable(program),
            elf::EM_AARCH64 => cfg!(target_arch = "aarch64"),
            _ => false,
        };
        if ran {
            runs(program)?;
        }
        Ok(Self { size: bytes.len(), ran })
    }
}

/// Checks that a program is static, and returns its machine.
fn check_static<Elf: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<u16, String> {
    let header = Elf::parse(bytes).map_err(|error| error.to_string())?;
    let endian = header.endian().map_err(|error| error.to_string())?;
    if header.e_type(endian) != elf::ET_EXEC {
        return Err(format!("an ELF file of type {}", header.e_type(endian)));
    }
    for segment in header.program_headers(endian, bytes).map_err(|error| error.to_string())? {
        if [elf::PT_INTERP, elf::PT_DYNAMIC].contains(&segment.p_type(endian)) {
            return Err("it is not static".into());
        }
        let both = elf::PF_W | elf::PF_X;
        if segment.p_flags(endian) & both == both {
            return Err("a segment is writable and executable".into());
        }
    }
    Ok(header.e_machine(endian))
}

/// Whether the kernel can execute a program at all.
fn is_executable(program: &Path) -> bool {
    Command::new(program).arg("-V").output().is_ok()
}

/// Whether a program does its main job.
///
/// # Errors
/// What it did instead.
pub fn runs(program: &Path) -> Result<(), String> {
    let beneath = Beneath::new();
    let path = beneath.join("x");
    let outcome = Run::of(program, [OsStr::new("-K"), &path, OsStr::new("/bye")]).finish();
    if outcome.ended != Ended::Status(0) || beneath.contents() != ["x"] {
        return Err(format!("it does not work: {outcome:#?}"));
    }
    Ok(())
}

/// A linker or another tool that a build needs; says if it is not there.
pub fn has(tool: &str, what: &str) -> bool {
    let has = common::is_installed(tool);
    if !has {
        common::skipped(what, format!("{tool} is not installed"));
    }
    has
}

/// Whether the toolchain that cargo uses by itself has this target; says if not.
pub fn has_target(target: &str, what: &str) -> bool {
    let mut rustc = Command::new("rustc");
    let sysroot = rustc.args(["--print", "sysroot"]).output().expect("rustc can be started").stdout;
    let sysroot = String::from_utf8(sysroot).expect("text");
    let has = Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib").is_dir();
    if !has {
        common::skipped(what, format!("the toolchain lacks the target {target}"));
    }
    has
}
