//! `cargo bench`: starts the benchmark, which is a package of its own in .tools/bench, so that what it needs does not
//! burden `cargo test`. Nothing is measured here.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// How the variables begin that cargo sets for a program that it starts. Without them the cargo below builds as it does
/// when it is started in a shell.
const SET_BY_CARGO: [&str; 4] =
    ["CARGO_BIN_EXE_", "CARGO_MANIFEST_", "CARGO_PKG_", "LD_LIBRARY_PATH"];

/// What Automake and Meson read as 'skipped'.
const CANNOT: u8 = 77;

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    // `cargo bench` adds this argument at the end, `cargo test --benches` does not.
    if arguments.pop_if(|last| last == "--bench").is_none() {
        println!("compare: skipped: nothing is measured unless `cargo bench` runs this");
        return ExitCode::SUCCESS;
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bench/Cargo.toml");
    if !manifest.exists() {
        // Cargo leaves the packages inside a package out when it packages that.
        eprintln!("compare: skipped: .tools/bench is not in this copy of the project");
        return ExitCode::from(CANNOT);
    }
    eprintln!("building the benchmark");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    for (name, _) in env::vars_os() {
        if SET_BY_CARGO.iter().any(|beginning| name.to_string_lossy().starts_with(beginning)) {
            cargo.env_remove(name);
        }
    }
    cargo.args(["run", "--quiet", "--release", "--locked", "--manifest-path"]).arg(manifest);
    // In the project's own target directory, so that `cargo clean` removes it too.
    cargo.arg("--target-dir").arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench"));
    // In the place of this process: the exit status, the streams and signals are the benchmark's.
    let error = cargo.arg("--").args(arguments).exec();
    eprintln!("compare: {}: {error}", cargo.get_program().display());
    ExitCode::FAILURE
}
