//! Makes the release archives: for each architecture the program, the same program with symbols for debuggers, and the
//! documents; and one image with the programs of all architectures, for container runtimes. This file decides what is in an
//! archive; [`image`] builds the program, [`pages`] mends the links of the documents, [`archive`] packs the files, [`oci`] makes
//! the image.
//!
//! The same source and the same compiler give the same bytes, at any place and time and for any user: tests/release.rs
//! of the project proves it. The tool is a package of its own with its own lock file: its crates, above all the
//! compression, determine the archives' bytes, and the program does not need them.

mod archive;
mod changelog;
mod image;
mod licenses;
mod oci;
mod pages;

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

use archive::Archive;
use image::{Architecture, Toolchain};

const NAME: &str = "seccomp-notify-min";

/// The script for CI.
const SMOKE_TEST: &str = "contrib/smoke-test.sh";

const HELP: &str = "\
usage: cargo run --manifest-path .tools/release/Cargo.toml -- [options]
  --out DIR      where the archives go (target/dist)
  --arch ARCH    x86_64, i686, aarch64, armv7, riscv64, loongarch64, s390x or ppc64le; may be given again (all that the
                 toolchain can build)
  --build-std    build core along where the toolchain lacks a target; needs its source and RUSTC_BOOTSTRAP=1
  --project DIR  the source (the one that this tool is part of)
";

struct Options {
    project: PathBuf,
    out: Option<PathBuf>,
    architectures: Vec<&'static Architecture>,
    build_std: bool,
}

fn main() -> Result<()> {
    let Some(options) = options()? else {
        print!("{HELP}");
        return Ok(());
    };
    let project = options.project.canonicalize().context(options.project.display().to_string())?;
    let toolchain = Toolchain::find(&project)?;
    let metadata = metadata(&toolchain, &project)?;
    let package = metadata.root_package().context("the project is a package")?;
    if package.name != NAME {
        bail!("{} is not {NAME} but {}", project.display(), package.name);
    }
    let version = package.version.to_string();
    let date = changelog::date(&project, &version)?;
    let source = source(&project, &version);

    let out = options.out.unwrap_or_else(|| project.join("target/dist"));
    fs::create_dir_all(&out).context(out.display().to_string())?;
    let explicit = !options.architectures.is_empty();
    let mut wanted = options.architectures;
    if !explicit {
        wanted.extend(image::ARCHITECTURES);
    }

    let mut sums = Vec::new();
    let mut oci = oci::Image::new(&version, date);
    for architecture in wanted {
        if let Some(reason) = toolchain.cannot_build(architecture, options.build_std) {
            if explicit {
                bail!("{}: {reason}", architecture.name);
            }
            eprintln!("skipped: {}: {reason}", architecture.name);
            continue;
        }
        let folder = format!("{NAME}-{version}-{}-linux", architecture.name);
        let mut archive = Archive::new(&folder, date);
        let images =
            toolchain.build(architecture, options.build_std, &project, package, &metadata)?;
        oci.add(&architecture.platform, &images.stripped)?;
        archive.program(NAME, images.stripped);
        archive.program(&format!("{NAME}.debug"), images.unstripped);
        for name in ["LICENSE", "benches/comparison.svg", "seccomp-notify-min.1"] {
            archive.file(name, read(&project.join(name))?);
        }
        archive.program(SMOKE_TEST, read(&project.join(SMOKE_TEST))?);
        for name in licenses::names(&project.join("completions"))? {
            archive.file(
                &format!("completions/{name}"),
                read(&project.join("completions").join(&name))?,
            );
        }
        // What the pages copy from, with the permission to execute.
        for folder in ["docs/deployment", "docs/packaging"] {
            for name in files(&project, folder)? {
                let path = project.join(&name);
                let bytes = read(&path)?;
                if fs::metadata(&path)?.permissions().mode() & 0o111 == 0 {
                    archive.file(&name, bytes);
                } else {
                    archive.program(&name, bytes);
                }
            }
        }
        for (name, text) in licenses::linked_in(&metadata, package, &toolchain)? {
            archive.file(&format!("licenses/{name}"), text);
        }
        let pages = pages::names(&project)?;
        let is_there = |path: &str| pages.iter().any(|page| page == path) || archive.has(path);
        let mut texts = Vec::new();
        for name in &pages {
            let text = String::from_utf8(read(&project.join(name))?).context(name.clone())?;
            texts.push(pages::for_archive(name, &text, is_there));
        }
        for (name, text) in pages.iter().zip(texts) {
            archive.file(name, text.into_bytes());
        }
        archive.file(
            "BUILD.txt",
            toolchain.recipe(architecture, options.build_std, &version, &source).into_bytes(),
        );
        let name = format!("{folder}.tar.gz");
        let bytes = archive.finish()?;
        write(&out.join(&name), &bytes)?;
        println!("{} {} bytes", out.join(&name).display(), bytes.len());
        sums.push((name, bytes));
    }
    if sums.is_empty() {
        bail!("nothing could be built");
    }
    let name = format!("{NAME}-{version}.oci.tar");
    let bytes = oci.finish()?;
    write(&out.join(&name), &bytes)?;
    println!("{} {} bytes, {} platforms", out.join(&name).display(), bytes.len(), sums.len());
    sums.push((name, bytes));
    write(&out.join("SHA256SUMS"), archive::sums(&sums).as_bytes())
}

/// Reads the command line; `None` for `--help`.
fn options() -> Result<Option<Options>> {
    use lexopt::prelude::*;

    // `cargo run` sets the variable. A tool that is started directly uses the folder in which it was built.
    let own = env::var_os("CARGO_MANIFEST_DIR");
    let own = own.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let mut options = Options {
        project: own.join("../.."),
        out: None,
        architectures: Vec::new(),
        build_std: false,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("project") => options.project = parser.value()?.into(),
            Long("out") => options.out = Some(parser.value()?.into()),
            Long("arch") => {
                let name = parser.value()?.string()?;
                let known = image::ARCHITECTURES.iter().find(|known| known.name == name);
                options
                    .architectures
                    .push(known.with_context(|| format!("no such --arch {name}"))?);
            }
            Long("build-std") => options.build_std = true,
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(options))
}

/// The source's version and commit, if the project's folder is a git repository, and the place in which the same bytes
/// can be made again. The text continues in BUILD.txt.
fn source(project: &Path, version: &str) -> String {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        // If a hook of another repository starts this tool, git would use that repository.
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"] {
            git.env_remove(variable);
        }
        let output = git.current_dir(project).args(arguments).output().ok()?;
        let said = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| said.trim().to_owned())
    };
    // A copy of the project inside the work tree of another repository has no commit there.
    let is_top = git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.is_empty());
    // New files are changes too, also if the user's configuration hides them.
    let changes = git(&["status", "--porcelain", "--untracked-files=normal"]);
    match (git(&["rev-parse", "HEAD"]), changes) {
        (Some(commit), Some(changes)) if is_top => {
            let then = if changes.is_empty() {
                ". In a checkout of that"
            } else {
                " with changes.\nIn a checkout of that with the same changes"
            };
            format!("version {version} at git's commit\n{commit}{then}")
        }
        _ => format!("version {version}; git knows no commit of it.\nWith the same files"),
    }
}

/// Cargo's metadata of the project: its version, and the packages that are linked into it.
fn metadata(toolchain: &Toolchain, project: &Path) -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command
        .cargo_path(&toolchain.cargo)
        .manifest_path(project.join("Cargo.toml"))
        .features(CargoOpt::SomeFeatures(Vec::new()))
        .other_options(["--locked".to_owned()])
        .exec()
        .context("cargo metadata")
}

/// All files in a folder of the project and in those below it, by their paths from the project.
fn files(project: &Path, folder: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(project.join(folder)).context(folder.to_owned())? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a name in UTF-8")?;
        let path = format!("{folder}/{name}");
        if entry.file_type()?.is_dir() {
            found.extend(files(project, &path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| path.display().to_string())
}
