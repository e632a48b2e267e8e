//! The programs that are compared: where they come from, how they are built, and that each really is the demonstration.
//!
//! Running them is in `child.rs`, measuring them in `measure.rs`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Captured, Stdio};

use serde::Serialize;

use crate::child::{self, Cpus, Output};

/// The folder of the package that is measured.
const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// The name of that package and of its program.
const NAME: &str = "seccomp-notify-min";

/// The row that every other one is compared with.
pub const THIS: &str = "this";
/// The name of this program's second row.
pub const THIS_SC: &str = "this-sc";
/// The C builds' rows.
pub const C_ROWS: [&str; 3] = ["c-glibc", "c-glibc-static", "c-musl-static"];

/// The path that every measured run asks for: outside /tmp/, so that it is refused and no file system plays a part.
pub const REFUSED: &str = "/nope";

/// A program that is measured: a copy of its own, so that nobody else's use of the same file changes its memory figure.
#[derive(Clone, Debug)]
pub struct Program {
    /// The row's name, as `--bound` takes it.
    pub row: String,
    /// What it is, for the reader of the table.
    pub title: String,
    /// The copy.
    pub path: PathBuf,
    /// The size of the file in bytes, stripped.
    pub bytes: u64,
}

/// A row that is not in the table, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Missing {
    /// The row's name.
    pub row: String,
    /// One line.
    pub reason: String,
}

/// Everything that is to be measured, and everything that cannot be.
#[derive(Default)]
pub struct Programs {
    /// This program first.
    pub found: Vec<Program>,
    /// Not built because something that it needs is not installed here: no failure.
    pub skipped: Vec<Missing>,
    /// Did not build, or does not do what the demonstration does: a failure.
    pub failed: Vec<Missing>,
}

impl Programs {
    /// Builds or finds all of them, below `dir`.
    pub fn gather(dir: &Path, this: Option<&Path>, given: &[(String, PathBuf)]) -> Self {
        let mut programs = Self::default();
        let add = |programs: &mut Self, row: &str, title: &str, built: Result<PathBuf, Lack>| {
            let copied = built.and_then(|path| Ok(copy(&path, dir, row)?));
            match copied {
                Ok((path, bytes)) => programs.found.push(Program {
                    row: row.into(),
                    title: title.into(),
                    path,
                    bytes,
                }),
                Err(Lack::Skipped(reason)) => {
                    programs.skipped.push(Missing { row: row.into(), reason })
                }
                Err(Lack::Failed(reason)) => {
                    programs.failed.push(Missing { row: row.into(), reason })
                }
            }
        };

        if let Some(path) = this {
            add(&mut programs, THIS, "this program, as given", Ok(path.into()));
        } else {
            eprintln!("building this program, twice");
            add(&mut programs, THIS, "this program", cargo_build(None));
            let sc = cargo_build(Some("backend-sc"));
            add(&mut programs, THIS_SC, "the same, backend-sc", sc);
        }
        eprintln!("building the C demonstration");
        for (row, built) in C_ROWS.into_iter().zip(c_builds(dir)) {
            let title = match row {
                "c-glibc" => "C, glibc, dynamic",
                "c-glibc-static" => "C, glibc, static",
                _ => "C, musl, static",
            };
            add(&mut programs, row, title, built);
        }
        for (row, path) in given {
            let title = path.display().to_string();
            add(&mut programs, row, &title, Ok(path.clone()));
            if let Some(copy) = programs.found.last_mut().filter(|last| last.row == *row) {
                strip(copy);
            }
        }
        programs
    }

    /// Takes a program out and says why.
    pub fn fail(&mut self, row: &str, reason: String) {
        eprintln!("{row}: {reason}");
        self.found.retain(|program| program.row != row);
        self.failed.push(Missing { row: row.into(), reason });
    }
}

/// Why there is no program.
enum Lack {
    Skipped(String),
    Failed(String),
}

impl From<String> for Lack {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// The arguments of a run over `count` refused directories.
pub fn refused(count: usize) -> Vec<OsString> {
    vec![REFUSED.into(); count]
}

/// The folder that the benchmark itself was built in: programs may be executed there, which /tmp need not allow, and
/// `cargo clean` removes what an interrupted run leaves.
///
/// # Errors
/// One line that says what is wrong.
pub fn own_folder() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|e| format!("own path: {e}"))?;
    Ok(own.parent().map(Path::to_owned).unwrap_or_default())
}

/// Runs a program over `count` refused directories and reads what it said: a program that does not do the whole work is
/// not worth a time.
///
/// # Errors
/// One line that says what is wrong.
pub fn verify(program: &Program, count: usize, dir: &Path) -> Result<(), String> {
    child::run(&program.path, &refused(count), Cpus::Any, &Output::Keep(dir))?;
    let read = |name| {
        fs::read(dir.join(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|e| format!("{name}: {e}"))
    };
    let (out, err) = (read("out")?, read("err")?);

    // Two lines at the start, three at the end, four for each directory.
    let expected = 5 + 4 * count;
    let lines = out.lines().count();
    if lines != expected {
        return Err(format!(
            "{lines} lines on standard output for {count} directories, not {expected}"
        ));
    }
    let asked = format!("Tracer: mkdir(\"{REFUSED}\", 600)");
    let seen = out.lines().filter(|line| *line == asked).count();
    if seen != count {
        return Err(format!("{seen} times '{asked}', not {count}"));
    }
    let refused = "Target process: mkdir: Operation not permitted";
    let told = err.lines().filter(|line| *line == refused).count();
    if told != count || err.lines().count() != count {
        return Err(format!(
            "{told} times '{refused}' in {} lines on standard error, not {count} of {count}",
            err.lines().count()
        ));
    }
    Ok(())
}

/// `cargo build --release` of the project; with a feature it gets a target directory of its own, so that the two builds
/// do not replace each other.
fn cargo_build(feature: Option<&str>) -> Result<PathBuf, Lack> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command
        .current_dir(PROJECT)
        .args(["build", "--release", "--bin", NAME])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null());
    if let Some(feature) = feature {
        let target = own_folder()?.join(feature);
        command.args(["--features", feature, "--target-dir"]).arg(target);
    }
    let built = captured(&mut command).map_err(|e| format!("{}: {e}", cargo.display()))?;
    if !built.status.success() {
        return Err(Lack::Failed(format!("cargo build failed: {}", first_error(&built))));
    }
    // Cargo knows where it put the program; a target triple or a configured directory may stand in the path.
    String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["kind"][0] == "bin")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| Lack::Failed("cargo build named no program".into()))
}

/// The C demonstration three times, in the order of [`C_ROWS`].
fn c_builds(dir: &Path) -> [Result<PathBuf, Lack>; 3] {
    let cc = env::var("CC").unwrap_or_else(|_| "cc".into());
    let musl_cc = env::var("MUSL_CC").unwrap_or_else(|_| "musl-gcc".into());
    // On a system whose own C library is musl, cc builds the third row and nothing can build the first two.
    let machine = captured(Command::new(&cc).arg("-dumpmachine"))
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    let foreign = match &machine {
        Ok(machine) if machine.contains("musl") => Some(machine),
        _ => None,
    };
    let glibc = |name, flags: &[&str]| match foreign {
        Some(machine) => Err(Lack::Skipped(format!("{cc} builds for {machine}, not for glibc"))),
        None => compile(&cc, flags, &dir.join(name)),
    };
    let musl_cc = if foreign.is_some() { &cc } else { &musl_cc };
    [
        glibc("glibc.built", &[]),
        glibc("glibc-static.built", &["-static"]),
        compile(musl_cc, &["-static"], &dir.join("musl-static.built")),
    ]
}

/// One compiler run.
fn compile(cc: &str, flags: &[&str], to: &Path) -> Result<PathBuf, Lack> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("demonstration.c");
    let attempt = |headers: &[String]| {
        captured(
            Command::new(cc)
                .args(["-Os", "-s"])
                .args(flags)
                .args(headers)
                .arg("-o")
                .arg(to)
                .arg(&source),
        )
    };
    let missing = |e| Lack::Skipped(format!("{cc} cannot be run ({e})"));
    let mut built = attempt(&[]).map_err(missing)?;
    if !built.status.success() {
        // musl-gcc brings the C library's headers only; the kernel's are the system's, and come last of all.
        built = attempt(&system_headers()).map_err(missing)?;
    }
    if built.status.success() {
        return Ok(to.into());
    }
    Err(Lack::Skipped(format!(
        "{cc} -Os {} does not build it here: {}",
        flags.join(" "),
        first_error(&built)
    )))
}

/// Where the system's own compiler looks for the kernel's headers, as options that come after every other place.
fn system_headers() -> Vec<String> {
    let multiarch = captured(Command::new("cc").arg("-print-multiarch"))
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        .unwrap_or_default();
    ["/usr/include".into(), format!("/usr/include/{multiarch}")]
        .into_iter()
        .flat_map(|place| ["-idirafter".into(), place])
        .collect()
}

/// Runs a build tool to its end.
fn captured(command: &mut Command) -> std::io::Result<Captured> {
    command.stdin(Stdio::null()).output()
}

/// The first line of what a build tool complained about.
fn first_error(tool: &Captured) -> String {
    let text = String::from_utf8_lossy(&tool.stderr);
    text.lines()
        .find(|line| line.contains("error") || line.contains("cannot"))
        .or_else(|| text.lines().last())
        .unwrap_or("no message")
        .to_owned()
}

/// Copies a program to a file of its own.
fn copy(from: &Path, dir: &Path, row: &str) -> Result<(PathBuf, u64), String> {
    // A directory of their own: a row may be called as any other file is.
    let dir = dir.join("programs");
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let to = dir.join(row);
    let bytes = fs::copy(from, &to).map_err(|e| format!("{}: {e}", from.display()))?;
    Ok((to, bytes))
}

/// Strips a copy of a given program, so that symbols do not count; one that cannot be stripped stays as it is.
fn strip(program: &mut Program) {
    let stripped = captured(Command::new("strip").arg(&program.path));
    if stripped.is_ok_and(|out| out.status.success())
        && let Ok(metadata) = fs::metadata(&program.path)
    {
        program.bytes = metadata.len();
    }
}
