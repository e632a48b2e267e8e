//! The command line of the benchmark. `bound.rs` has the bounds.

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use nix::unistd::{AccessFlags, access};

use crate::bound::Bound;

/// Compares this program with other builds of the same demonstration, and with the kernel's bare round trip.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo bench --", version)]
pub struct Options {
    /// Further programs to measure, each in a row called NAME or as the file is; they must take the
    /// demonstration's options and print its transcript
    #[arg(value_name = "[NAME=]PROGRAM", value_parser = named)]
    pub given: Vec<(String, PathBuf)>,

    /// Fewer rounds: less than a minute, and wider spreads
    #[arg(long)]
    pub quick: bool,

    /// How the tables are written to standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,

    /// Draws the comparison into this file as well
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    /// Fails when this program's figure, divided by ROW's, is above LIMIT; may be repeated
    ///
    ///   COLUMN                           ROW
    ///   bytes, pss, exit, exit-pinned,
    ///   end, end-pinned,
    ///   pinned, unpinned, calls,
    ///   created-1, created-4, created-8  a program's, as in the table
    ///   loop, loop-unpinned              'bare': the measuring mode by the bare round trip
    ///   flat                             '100..10000': the dearest cost by the cheapest
    ///
    /// A bound on something that could not be measured fails too.
    #[arg(long = "bound", value_name = "COLUMN/ROW=LIMIT", verbatim_doc_comment)]
    pub bounds: Vec<Bound>,

    /// Measures this file as this program, and builds none
    #[arg(long, value_name = "PROGRAM", value_parser = program)]
    pub this: Option<PathBuf>,

    /// The perf whose `bench sched seccomp-notify` is measured beside -b [default: perf]
    #[arg(long, value_name = "PROGRAM", value_parser = program)]
    pub perf: Option<PathBuf>,

    /// The processor for what is pinned [default: the last one allowed]
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,
}

/// The format of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Text,
    /// Tables for a README.
    Markdown,
    /// Everything that was measured.
    Json,
}

/// Parses `[NAME=]PROGRAM`: the row's name and the program.
fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) if !name.contains('/') => (name.to_owned(), path),
        _ => {
            let name = Path::new(text).file_name().ok_or("the path names no file")?;
            (name.to_string_lossy().into_owned(), text)
        }
    };
    if name.is_empty() {
        return Err("the row's name is empty".into());
    }
    Ok((name, program(path)?))
}

/// Parses the path of a program, and refuses a file that cannot be executed before anything is measured.
fn program(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    if path.is_dir() {
        return Err(format!("{}: is a directory", path.display()));
    }
    match access(&path, AccessFlags::X_OK) {
        Ok(()) => Ok(path),
        Err(errno) => Err(format!("{}: {}", path.display(), errno.desc())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_cannot_be_measured_is_refused_at_once() {
        for (arguments, part) in [
            (&["mine=/no/such/file"][..], "/no/such/file: No such file"),
            (&["/no/such/file"], "/no/such/file: No such file"),
            (&["mine=Cargo.toml"], "Cargo.toml: Permission denied"),
            (&["mine=src"], "src: is a directory"),
            (&["--this", "/no/such/file"], "/no/such/file: No such file"),
            (&["=/bin/sh"], "name is empty"),
        ] {
            let error = Options::try_parse_from([&["compare"], arguments].concat()).unwrap_err();
            assert!(error.to_string().contains(part), "{arguments:?}: {error}");
        }
        let options = Options::try_parse_from(["compare", "mine=/bin/sh"]).unwrap();
        assert_eq!(options.given, [("mine".to_owned(), Path::new("/bin/sh").to_owned())]);
    }
}
