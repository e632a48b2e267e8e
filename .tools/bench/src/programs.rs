//! The programs that are compared: how they are found or built, and the check that each one is the demonstration.
//!
//! `child.rs` runs them, `measure.rs` measures them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Captured, Stdio};

use serde::Serialize;

use crate::child::{self, Cpus, Output};

/// The directory of the package that is measured.
const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// The name of that package and of its program.
const NAME: &str = "seccomp-notify-min";

/// The row with which every other row is compared.
pub const THIS: &str = "this";
/// The row of this program with its other backend.
pub const THIS_SC: &str = "this-sc";
/// The rows of the C builds.
pub const C_ROWS: [&str; 4] = ["c-glibc", "c-glibc-static", "c-tuned", "c-musl-static"];

/// The directory of every measured run. It is not below /tmp, so the tracer refuses it and no file system is involved.
pub const REFUSED: &str = "/nope";

/// A program that is measured. It is a copy: a process that runs the original file shares its pages and would change the
/// memory figure.
#[derive(Clone, Debug)]
pub struct Program {
    /// The row's name, as `--bound` takes it.
    pub row: String,
    /// The description in the table.
    pub title: String,
    /// The path of the copy.
    pub path: PathBuf,
    /// The size of the file in bytes, stripped.
    pub bytes: u64,
}

/// A row that is missing in the table.
#[derive(Clone, Debug, Serialize)]
pub struct Missing {
    /// The row's name.
    pub row: String,
    /// Why it is missing, in one line.
    pub reason: String,
}

/// The programs to measure, and the rows that are missing.
#[derive(Default)]
pub struct Programs {
    /// The programs to measure, this program first.
    pub found: Vec<Program>,
    /// Not built because something that the build needs is not installed. This is no failure.
    pub skipped: Vec<Missing>,
    /// Not built for another reason, or not the demonstration. This is a failure.
    pub failed: Vec<Missing>,
}

impl Programs {
    /// Builds the programs, or finds those that are given, and copies them into `dir`.
    pub fn gather(dir: &Path, this: Option<&Path>, given: &[(String, PathBuf)]) -> Self {
        let mut programs = Self::default();
        let add =
            |programs: &mut Self, row: &str, title: &str, built: Result<PathBuf, NoProgram>| {
                let copied = built.and_then(|path| Ok(copy(&path, dir, row)?));
                match copied {
                    Ok((path, bytes)) => programs.found.push(Program {
                        row: row.into(),
                        title: title.into(),
                        path,
                        bytes,
                    }),
                    Err(NoProgram::Skipped(reason)) => {
                        programs.skipped.push(Missing { row: row.into(), reason })
                    }
                    Err(NoProgram::Failed(reason)) => {
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
                "c-tuned" => "C, glibc, static, tuned",
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

    /// Takes a program out, and prints and records the reason.
    pub fn fail(&mut self, row: &str, reason: String) {
        eprintln!("{row}: {reason}");
        self.found.retain(|program| program.row != row);
        self.failed.push(Missing { row: row.into(), reason });
    }
}

/// Why there is no program.
enum NoProgram {
    Skipped(String),
    Failed(String),
}

impl From<String> for NoProgram {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// The arguments of a run with `count` refused directories.
pub fn refused(count: usize) -> Vec<OsString> {
    vec![REFUSED.into(); count]
}

/// The directory in which the benchmark itself was built. Programs can be executed there, which a /tmp mounted with
/// noexec does not allow, and `cargo clean` removes what an interrupted run leaves.
///
/// # Errors
/// One line that says what is wrong.
pub fn own_folder() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|e| format!("own path: {e}"))?;
    Ok(own.parent().map(Path::to_owned).unwrap_or_default())
}

/// Runs a program with `count` refused directories and checks its output: the time of a program that does not do the whole
/// work must not be compared.
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

    // Two lines at the start, three at the end, and four for each directory.
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

/// `cargo build --release` of the project. The build with a feature has its own target directory, so that the two builds
/// do not replace each other.
fn cargo_build(feature: Option<&str>) -> Result<PathBuf, NoProgram> {
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
        return Err(NoProgram::Failed(format!("cargo build failed: {}", first_error(&built))));
    }
    // Cargo's messages name the program's path, which may contain a target triple or a configured directory.
    String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["kind"][0] == "bin")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| NoProgram::Failed("cargo build named no program".into()))
}

/// Builds the C demonstration four times, in the order of [`C_ROWS`].
fn c_builds(dir: &Path) -> [Result<PathBuf, NoProgram>; 4] {
    let cc = env::var("CC").unwrap_or_else(|_| "cc".into());
    let musl_cc = env::var("MUSL_CC").unwrap_or_else(|_| "musl-gcc".into());
    // If the system's own C library is musl, cc builds the last row, and the others cannot be built.
    let machine = captured(Command::new(&cc).arg("-dumpmachine"))
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    let foreign = match &machine {
        Ok(machine) if machine.contains("musl") => Some(machine),
        _ => None,
    };
    let glibc = |name, flags: &[&str]| match foreign {
        Some(machine) => {
            Err(NoProgram::Skipped(format!("{cc} builds for {machine}, not for glibc")))
        }
        None => compile(&cc, flags, &dir.join(name)),
    };
    let musl_cc = if foreign.is_some() { &cc } else { &musl_cc };
    [
        glibc("glibc.built", &[]),
        glibc("glibc-static.built", &["-static"]),
        glibc("tuned.built", &["-static", "-DTUNED"]),
        compile(musl_cc, &["-static"], &dir.join("musl-static.built")),
    ]
}

/// Compiles the C demonstration once.
fn compile(cc: &str, flags: &[&str], to: &Path) -> Result<PathBuf, NoProgram> {
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
    let missing = |e| NoProgram::Skipped(format!("{cc} cannot be run ({e})"));
    let mut built = attempt(&[]).map_err(missing)?;
    if !built.status.success() {
        // musl-gcc finds the headers of musl only. The kernel's headers are the system's; they must be searched last.
        built = attempt(&system_headers()).map_err(missing)?;
    }
    if built.status.success() {
        return Ok(to.into());
    }
    Err(NoProgram::Skipped(format!(
        "{cc} -Os {} does not build it here: {}",
        flags.join(" "),
        first_error(&built)
    )))
}

/// Options that make a compiler look for the kernel's headers where the system's own compiler does, after all other
/// directories.
fn system_headers() -> Vec<String> {
    let multiarch = captured(Command::new("cc").arg("-print-multiarch"))
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        .unwrap_or_default();
    ["/usr/include".into(), format!("/usr/include/{multiarch}")]
        .into_iter()
        .flat_map(|place| ["-idirafter".into(), place])
        .collect()
}

/// Runs a build tool and returns its output.
fn captured(command: &mut Command) -> std::io::Result<Captured> {
    command.stdin(Stdio::null()).output()
}

/// The first error message of a build tool.
fn first_error(tool: &Captured) -> String {
    let text = String::from_utf8_lossy(&tool.stderr);
    text.lines()
        .find(|line| line.contains("error") || line.contains("cannot"))
        .or_else(|| text.lines().last())
        .unwrap_or("no message")
        .to_owned()
}

/// Copies a program, and returns the copy's path and size.
fn copy(from: &Path, dir: &Path, row: &str) -> Result<(PathBuf, u64), String> {
    // In a directory of their own: a row's name may be the name of another file in `dir`.
    let dir = dir.join("programs");
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let to = dir.join(row);
    let bytes = fs::copy(from, &to).map_err(|e| format!("{}: {e}", from.display()))?;
    Ok((to, bytes))
}

/// Strips the copy of a given program, so that symbols are not counted. A file that cannot be stripped stays as it is.
fn strip(program: &mut Program) {
    let stripped = captured(Command::new("strip").arg(&program.path));
    if stripped.is_ok_and(|out| out.status.success())
        && let Ok(metadata) = fs::metadata(&program.path)
    {
        program.bytes = metadata.len();
    }
}
