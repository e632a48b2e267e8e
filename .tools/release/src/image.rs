//! Builds the program for a release: as `cargo build --release` does, but for an architecture's own flags, and a second time with symbols. Neither file
//! contains a path of the machine that builds it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, Package};
use object::elf::{FileHeader32, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};

use crate::{NAME, licenses};

/// An architecture: its name in the names of files, and Rust's target.
pub struct Architecture {
    pub name: &'static str,
    triple: &'static str,
    pub platform: Platform,
    /// The compiler's flags for it, beside those of the project's configuration.
    flags: &'static [&'static str],
}

/// An architecture as container runtimes name it: Go's GOARCH, and a variant if there are several.
pub struct Platform {
    pub architecture: &'static str,
    pub variant: Option<&'static str>,
}

const fn architecture(
    name: &'static str,
    triple: &'static str,
    platform: &'static str,
) -> Architecture {
    let platform = Platform { architecture: platform, variant: None };
    Architecture { name, triple, platform, flags: &[] }
}

pub const ARCHITECTURES: &[Architecture] = &[
    architecture("x86_64", "x86_64-unknown-linux-gnu", "amd64"),
    architecture("i686", "i686-unknown-linux-gnu", "386"),
    architecture("aarch64", "aarch64-unknown-linux-gnu", "arm64"),
    Architecture {
        platform: Platform { architecture: "arm", variant: Some("v7") },
        // Thumb code is a quarter smaller than ARM code, and every armv7 runs it. The compiler warns of this flag in every
        // build, so it is not in the project's configuration.
        flags: &["-Ctarget-feature=+thumb-mode"],
        ..architecture("armv7", "armv7-unknown-linux-gnueabihf", "arm")
    },
    architecture("riscv64", "riscv64gc-unknown-linux-gnu", "riscv64"),
    architecture("loongarch64", "loongarch64-unknown-linux-gnu", "loong64"),
    architecture("s390x", "s390x-unknown-linux-gnu", "s390x"),
    architecture("ppc64le", "powerpc64le-unknown-linux-gnu", "ppc64le"),
];

/// The program without and with symbols.
pub struct Images {
    pub stripped: Vec<u8>,
    pub unstripped: Vec<u8>,
}

/// The compiler and its version.
pub struct Toolchain {
    pub cargo: OsString,
    rustc: PathBuf,
    pub sysroot: PathBuf,
    /// The line that `rustc -V` prints.
    version: String,
    pub release: String,
    commit: String,
    llvm: String,
}

/// The beginnings of the variables of cargo and rustc that the build may see: they say where files are, or which tools are
/// used.
const MAY_PASS: &[&str] = &[
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WRAPPER",
    "RUSTUP_",
];

impl Toolchain {
    /// Finds the toolchain that is used in the project's folder, or the one that CARGO and RUSTC name.
    pub fn find(project: &Path) -> Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let ask = |arguments: &[&str]| output(Command::new(&rustc).args(arguments), project);
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim());
        let said = ask(&["-vV"])?;
        let field = |name: &str| {
            let value = said.lines().find_map(|line| line.strip_prefix(name));
            value.map(str::to_owned).with_context(|| format!("rustc -vV says no {name}"))
        };
        Ok(Self {
            // The compiler itself, not rustup's proxy: the proxy looks for the compiler in the home directory.
            rustc: Some(sysroot.join("bin/rustc"))
                .filter(|file| file.exists())
                .unwrap_or(rustc.into()),
            cargo,
            sysroot,
            version: said.lines().next().unwrap_or_default().to_owned(),
            release: field("release: ")?,
            commit: field("commit-hash: ")?,
            llvm: field("LLVM version: ")?,
        })
    }

    /// Whether the toolchain has `core` for `architecture`.
    fn has_target(&self, architecture: &Architecture) -> bool {
        self.sysroot.join("lib/rustlib").join(architecture.triple).join("lib").is_dir()
    }

    /// Why the toolchain cannot build for `architecture`; `None` if it can.
    pub fn cannot_build(&self, architecture: &Architecture, build_std: bool) -> Option<String> {
        let triple = architecture.triple;
        if self.has_target(architecture) {
            return None;
        }
        if !build_std {
            return Some(format!(
                "the toolchain lacks the target (`rustup target add {triple}` adds it, \
                 --build-std does without)"
            ));
        }
        let source = self.source();
        (!source.is_dir()).then(|| format!("there is no {}", source.display()))
    }

    /// Where the source of `core` is, if it is installed.
    fn source(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust")
    }

    /// Builds both images, and checks that they are the same program and contain no path of this machine.
    pub fn build(
        &self,
        architecture: &Architecture,
        build_std: bool,
        project: &Path,
        package: &Package,
        metadata: &Metadata,
    ) -> Result<Images> {
        // The place where a debugger looks for the source, as in a distribution's package.
        let installed =
            |package: &Package| format!("/usr/src/{}-{}", package.name, package.version);
        let mut places = vec![(project.to_owned(), installed(package))];
        for linked in licenses::packages(metadata, package)? {
            let folder = linked.manifest_path.parent().context("a manifest is in a folder")?;
            places.push((folder.into(), installed(linked)));
        }
        // The path that rustc itself writes for the source of core if that is not installed.
        places.push((self.source(), format!("/rustc/{}", self.commit)));

        let build = |profile| self.build_one(architecture, build_std, project, profile, &places);
        let images = Images { stripped: build("release")?, unstripped: build("unstripped")? };

        let holds = |image: &[u8], part: &[u8]| image.windows(part.len()).any(|w| w == part);
        if loaded(&images.unstripped)? != loaded(&images.stripped)? {
            bail!("{}: the image with symbols is not the same program", architecture.name);
        }
        let home = env::var_os("CARGO_HOME").or_else(|| env::var_os("HOME")).map(PathBuf::from);
        let home = home.filter(|home| home.components().count() > 1);
        for place in places.iter().map(|(place, _)| place).chain(&home) {
            let name = place.as_os_str().as_encoded_bytes();
            if holds(&images.unstripped, name) || holds(&images.stripped, name) {
                bail!("{}: {} is in the image", architecture.name, place.display());
            }
        }
        Ok(images)
    }

    fn build_one(
        &self,
        architecture: &Architecture,
        build_std: bool,
        project: &Path,
        profile: &str,
        places: &[(PathBuf, String)],
    ) -> Result<Vec<u8>> {
        // A folder for each architecture: cargo locks the folder that it builds in.
        let target = project.join("target/dist-build").join(architecture.name);
        let triple = architecture.triple;
        // The flags of the project's own configuration. The configuration of the person who makes the release is not used.
        let mut own = own_flags(project, triple)?;
        own.extend(architecture.flags.iter().map(|&flag| flag.to_owned()));
        let mut flags = OsString::from(own.join("\x1f"));
        for (here, there) in places {
            if !flags.is_empty() {
                flags.push("\x1f");
            }
            flags.push("--remap-path-prefix=");
            flags.push(here);
            flags.push("=");
            flags.push(there);
        }
        let mut cargo = Command::new(&self.cargo);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            let is_theirs = text.starts_with("CARGO") || text.starts_with("RUST");
            let is_linker = text.starts_with("CARGO_TARGET_") && text.ends_with("_LINKER");
            if is_theirs && !is_linker && !MAY_PASS.iter().any(|known| text.starts_with(known)) {
                cargo.env_remove(name);
            }
        }
        cargo
            .current_dir(project)
            .env("RUSTC", &self.rustc)
            // Full debug information changes the code for aarch64. With limited debug information both images are the
            // same program on every architecture.
            .env("CARGO_PROFILE_UNSTRIPPED_DEBUG", "limited")
            // Cargo reads this variable before flags from any other place.
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .args(["build", "--quiet", "--locked", "--bin", NAME, "--profile", profile])
            .args(["--target", triple, "--target-dir"])
            .arg(&target);
        if build_std && !self.has_target(architecture) {
            cargo.arg("-Zbuild-std=core,compiler_builtins");
        }
        let status = cargo.stdin(Stdio::null()).status().context("cargo")?;
        if !status.success() {
            bail!("{}: cargo build --profile {profile}: {status}", architecture.name);
        }
        let image = target.join(triple).join(profile).join(NAME);
        fs::read(&image).with_context(|| image.display().to_string())
    }

    /// The text of BUILD.txt: how to make the same bytes again.
    pub fn recipe(
        &self,
        architecture: &Architecture,
        build_std: bool,
        version: &str,
        source: &str,
    ) -> String {
        let builds_core = build_std && !self.has_target(architecture);
        let (before, after) =
            if builds_core { ("RUSTC_BOOTSTRAP=1 ", " --build-std") } else { ("", "") };
        let Self { version: compiler, llvm, .. } = self;
        let Architecture { name, triple, .. } = architecture;
        format!(
            "{NAME} {version} for {triple}\n\
             made with {compiler}, LLVM {llvm}\n\
             \n\
             The source is {source},\n\
             with this compiler, these bytes are made again by\n\
             \n    {before}cargo run --manifest-path .tools/release/Cargo.toml -- --arch {name}{after}\n\
             \n\
             {NAME}.debug is the same program with symbols, for debuggers; its source is expected in\n\
             /usr/src/{NAME}-{version}. SHA256SUMS is for sha256sum -c.\n"
        )
    }
}

/// The flags for `triple` in the project's `.cargo/config.toml`, which `cargo build` uses by itself.
fn own_flags(project: &Path, triple: &str) -> Result<Vec<String>> {
    let file = project.join(".cargo/config.toml");
    let text = match fs::read_to_string(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.with_context(|| file.display().to_string())?,
    };
    let config: toml::Table = text.parse().with_context(|| file.display().to_string())?;
    let target = config.get("target").and_then(|target| target.get(triple));
    match target.and_then(|target| target.get("rustflags")) {
        None => Ok(Vec::new()),
        Some(flags) => flags
            .clone()
            .try_into()
            .with_context(|| format!("{}: target.{triple}.rustflags", file.display())),
    }
}

/// The part of an image that the kernel loads, and its address, without the headers: they contain the offset of the table
/// of sections, which differs.
fn loaded(image: &[u8]) -> Result<(u64, &[u8])> {
    match FileKind::parse(image).context("no object file")? {
        FileKind::Elf32 => loaded_of::<FileHeader32<Endianness>>(image),
        FileKind::Elf64 => loaded_of::<FileHeader64<Endianness>>(image),
        other => bail!("no ELF file but {other:?}"),
    }
}

/// The same for one class of ELF files.
fn loaded_of<Elf: FileHeader<Endian = Endianness>>(image: &[u8]) -> Result<(u64, &[u8])> {
    let header = Elf::parse(image).context("no ELF file")?;
    let endian = header.endian()?;
    let headers: u64 = header.e_phoff(endian).into()
        + u64::from(header.e_phentsize(endian)) * u64::from(header.e_phnum(endian));
    let mut segments = header.program_headers(endian, image)?.iter();
    let segment =
        segments.find(|segment| segment.p_type(endian) == PT_LOAD).context("nothing is loaded")?;
    let bytes = segment.data(endian, image).ok().context("a segment is not in the file")?;
    Ok((segment.p_vaddr(endian).into(), &bytes[headers as usize..]))
}

/// Runs a command and returns its standard output.
fn output(command: &mut Command, folder: &Path) -> Result<String> {
    let output = command.current_dir(folder).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| command.get_program().display().to_string())?;
    if !output.status.success() {
        bail!("{command:?}: {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}
