//! `cargo bench`: this program beside other builds of the same demonstration and beside the kernel's bare round trip.
//! A package of its own, which benches/compare.rs starts, so that what it needs does not burden `cargo test`.
//!
//! `cargo bench -- --help` tells the options. Exit status: 0, measured and every bound held; 1, a program
//! failed or a bound did not hold; 2, usage error; 77, this system has no seccomp user notification. This file holds the
//! sequence of the steps; the first lines of each other file say what is in it.

mod bound;
mod calls;
mod chart;
mod child;
mod created;
mod floor;
mod measure;
mod options;
mod perf;
mod programs;
mod pss;
mod report;
mod stats;

use std::collections::BTreeSet;
use std::env;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use bound::{Column, Outcome};
use child::Cpus;
use measure::Plan;
use options::{Format, Options};
use programs::{C_ROWS, Programs, THIS, THIS_SC};

/// The exit status that Automake and Meson read as 'skipped'.
const CANNOT: u8 = 77;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == floor::CHILD) {
        floor::child(&args[1..]);
    }
    let options = Options::parse();
    if let Err(wrong) = check_rows(&options) {
        Options::command().error(clap::error::ErrorKind::ValueValidation, wrong).exit();
    }
    match compare(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Stop::Cannot(reason)) => {
            eprintln!("compare: skipped: {reason}");
            ExitCode::from(CANNOT)
        }
        Err(Stop::Failed(reason)) => {
            eprintln!("compare: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Why there is no result.
enum Stop {
    Cannot(String),
    Failed(String),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// Refuses a bound on a row that does not exist, and two rows of the same name.
fn check_rows(options: &Options) -> Result<(), String> {
    let mut rows: BTreeSet<&str> = [THIS, THIS_SC].into_iter().chain(C_ROWS).collect();
    for (name, _) in &options.given {
        if !rows.insert(name) {
            return Err(format!("two rows are called '{name}': give one as NAME=PROGRAM"));
        }
    }
    let programs_column = |column: Column| column.only_row().is_none();
    for bound in &options.bounds {
        if programs_column(bound.column) && !rows.contains(bound.row.as_str()) {
            let rows = Vec::from_iter(rows).join(", ");
            return Err(format!("no row '{}': there are {rows}", bound.row));
        }
    }
    Ok(())
}

/// Measures, prints the report and checks the bounds. Returns whether nothing failed and every bound holds.
fn compare(options: &Options) -> Result<bool, Stop> {
    child::prepare()?;
    let folder = programs::own_folder()?;
    let dir = tempfile::Builder::new()
        .prefix("compare-")
        .tempdir_in(&folder)
        .map_err(|e| format!("{}: {e}", folder.display()))?;
    floor::round_trip(100, Cpus::Any, dir.path())
        .map_err(|reason| Stop::Cannot(format!("no bare round trip: {reason}")))?;

    let allowed = child::allowed_cpus()?;
    let cpu = match options.cpu {
        Some(cpu) if !allowed.contains(&cpu) => {
            return Err(Stop::Failed(format!("processor {cpu} may not be used here")));
        }
        Some(cpu) => cpu,
        None => *allowed.last().ok_or("no processor is allowed".to_owned())?,
    };
    let plan = Plan::new(options.quick, cpu, allowed.len());
    let programs = Programs::gather(dir.path(), options.this.as_deref(), &options.given);
    let perf = perf::Perf::find(options.perf.as_deref(), dir.path());
    let results = measure::run(programs, &plan, perf, dir.path());
    dir.close().map_err(|e| format!("cannot clean up: {e}"))?;

    let outcomes: Vec<Outcome> = options
        .bounds
        .iter()
        .map(|bound| bound.check(results.ratio(bound.column, &bound.row)))
        .collect();
    let report = report::Report::new(plan, results, outcomes);
    match options.format {
        Format::Text => print!("{}", report.text()),
        Format::Markdown => print!("{}", report.markdown()),
        Format::Json => println!("{}", report.json()),
    }
    if let Some(file) = &options.svg {
        svg::save(file, &chart::draw(&report)).map_err(|e| format!("{}: {e}", file.display()))?;
        eprintln!("drew {}", file.display());
    }
    let mut held = report.results.failed.is_empty();
    for missing in &report.results.failed {
        eprintln!("compare: failed: {}: {}", missing.row, missing.reason);
    }
    for outcome in report.bounds.iter().filter(|outcome| !outcome.held) {
        eprintln!("compare: {outcome}");
        held = false;
    }
    Ok(held)
}
