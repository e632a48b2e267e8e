//! The sequence of the measurements: what is run how often, and how figures are computed from the times.
//!
//! A figure that is compared comes from rounds. In a round each program is run once, so that a noisy moment affects all
//! programs; ratios are computed within a round. `child.rs` runs one program, `report.rs` prints the result.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::bound::Column;
use crate::calls::{self, Call, Counts, PerNotification, Totals};
use crate::child::{self, Cpus, Output};
use crate::created::{self, Place};
use crate::floor::{self, Priced};
use crate::perf::Perf;
use crate::programs::{self, Missing, Program, Programs, REFUSED, THIS};
use crate::pss;
use crate::stats::{self, Summary};

/// The number of runs of each kind.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Whether this is the quick mode.
    pub quick: bool,
    /// Directories in one run of the whole demonstration.
    pub directories: usize,
    /// Rounds of the whole demonstration, pinned and unpinned.
    pub rounds: usize,
    /// Directories in one run that makes them.
    pub created: usize,
    /// Rounds of such runs, pinned.
    pub created_rounds: usize,
    /// Rounds of a run with one directory, start to exit.
    pub exit_rounds: usize,
    /// Rounds of the memory figure.
    pub pss_rounds: usize,
    /// Round trips of the measuring mode and of the floor.
    pub trips: usize,
    /// Round trips of perf, which are slow without the wake-up flag.
    pub perf_trips: usize,
    /// Rounds of the measuring mode, of perf and of the floor.
    pub loop_rounds: usize,
    /// Rounds of the runs of different lengths.
    pub flat_rounds: usize,
    /// The processor for what is pinned.
    pub cpu: usize,
    /// The number of processors for what is not pinned.
    pub cpus: usize,
}

impl Plan {
    /// The full benchmark takes a few minutes, the quick mode less than one.
    pub fn new(quick: bool, cpu: usize, cpus: usize) -> Self {
        let pick = |full, short| if quick { short } else { full };
        Self {
            quick,
            directories: 3000,
            rounds: pick(51, 7),
            created: 1000,
            created_rounds: pick(25, 7),
            exit_rounds: pick(1500, 200),
            pss_rounds: pick(25, 7),
            trips: 100_000,
            perf_trips: 10_000,
            loop_rounds: pick(25, 3),
            flat_rounds: pick(51, 7),
            cpu,
            cpus,
        }
    }
}

/// One program's row.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The row's name.
    pub row: String,
    /// The program's description.
    pub title: String,
    /// The program's figures, each in its column's unit: bytes, kB, microseconds, calls.
    pub figures: BTreeMap<Column, Summary>,
    /// The figures of the row `this` divided by the figures of this row, round by round.
    pub ratios: BTreeMap<Column, Summary>,
    /// System calls for one notification.
    pub calls: Option<Totals>,
}

/// The measuring mode compared with the bare round trip.
#[derive(Debug, Serialize)]
pub struct Loop {
    /// Whether both were pinned to one processor.
    pub pinned: bool,
    /// Microseconds for RECV, SEND and the notified call, without anything else.
    pub bare: Summary,
    /// Microseconds for one notification of `-b`.
    pub this: Summary,
    /// `this` divided by `bare`, round by round.
    pub ratio: Summary,
}

/// The measuring mode compared with perf's.
#[derive(Debug, Serialize)]
pub struct Beside {
    /// Whether both were pinned to one processor.
    pub pinned: bool,
    /// Whether perf set the wake-up flag, as this program does.
    pub sync: bool,
    /// Microseconds for one round trip of `perf bench sched seccomp-notify`, which reads and decides nothing.
    pub perf: Summary,
    /// `-b` divided by `perf`, round by round.
    pub ratio: Summary,
}

/// The cost of a notification in a run of a given length.
#[derive(Debug, Serialize)]
pub struct FlatPoint {
    /// The run's length in directories.
    pub directories: usize,
    /// Microseconds for one notification, after the time of a run with one directory is subtracted.
    pub cost: Summary,
}

/// One kind of call that this program makes beyond the floor.
#[derive(Debug, Serialize)]
pub struct Item {
    /// The process that makes the call, `tracer` or `target`.
    pub process: &'static str,
    /// The call's name.
    pub call: String,
    /// How often the call is made for one notification of the demonstration.
    pub demonstration: f64,
    /// How often the call is made for one notification of the measuring mode.
    pub looped: f64,
    /// Microseconds for one call, made many times in a row; `None` if the call is not measured.
    pub price: Option<f64>,
}

/// What a notification costs beyond the floor, pinned, in microseconds.
#[derive(Debug, Serialize)]
pub struct Budget {
    /// RECV, SEND and the notified call.
    pub floor: f64,
    /// The other calls.
    pub items: Vec<Item>,
    /// Start to exit with one directory, divided by the number of directories of the demonstration.
    pub start_up: Option<f64>,
    /// The measured time of the demonstration.
    pub demonstration: f64,
    /// The measured time of the measuring mode.
    pub looped: Option<f64>,
}

/// All results.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// One row for each program, this program first.
    pub rows: Vec<Row>,
    /// The measuring mode, pinned and then unpinned.
    pub loops: Vec<Loop>,
    /// The same beside perf: pinned and then unpinned, each without the flag and with it.
    pub perf: Vec<Beside>,
    /// Microseconds for one call of each kind, pinned.
    pub prices: BTreeMap<String, Summary>,
    /// The cost by the length of the run, from the shortest run to the longest.
    pub flat: Vec<FlatPoint>,
    /// The floor and the other calls.
    pub budget: Option<Budget>,
    /// What could not be measured here, and why.
    pub skipped: Vec<Missing>,
    /// What failed, and why.
    pub failed: Vec<Missing>,
}

/// Samples by program and column.
type Samples = BTreeMap<String, BTreeMap<Column, Vec<f64>>>;

/// Makes all measurements.
pub fn run(mut programs: Programs, plan: &Plan, perf: Result<Perf, String>, dir: &Path) -> Results {
    for program in programs.found.clone() {
        eprintln!("checking {}", program.row);
        let right = programs::verify(&program, 10, dir)
            .and_then(|()| programs::verify(&program, plan.directories, dir));
        if let Err(reason) = right {
            programs.fail(&program.row, reason);
        }
    }
    let mut results = Results::default();
    let counted = count_calls(&mut programs, &mut results);

    let mut samples = Samples::new();
    for program in &programs.found {
        let row = samples.entry(program.row.clone()).or_default();
        row.insert(Column::Bytes, vec![program.bytes as f64]);
        if let Some(calls) = counted.get(&program.row) {
            let totals = calls.totals();
            row.insert(Column::Calls, vec![totals.tracer + totals.target]);
        }
    }
    each_round(&mut programs, &mut samples, [Column::Pss], plan.pss_rounds, |p| {
        Ok([pss::measure(p, dir)?])
    });
    let pinned = Cpus::Only(plan.cpu);
    let one = programs::refused(1);
    for (columns, cpus) in [
        ([Column::ExitPinned, Column::EndPinned], pinned),
        ([Column::Exit, Column::End], Cpus::Any),
    ] {
        if results.skips(&columns, cpus, plan) {
            continue;
        }
        each_round(&mut programs, &mut samples, columns, plan.exit_rounds, |p| {
            let times = child::run(&p.path, &one, cpus, &Output::Discard)?;
            Ok([micros(times.exit), micros(times.end)])
        });
    }
    let many = programs::refused(plan.directories);
    for (column, cpus) in [(Column::Pinned, pinned), (Column::Unpinned, Cpus::Any)] {
        if results.skips(&[column], cpus, plan) {
            continue;
        }
        each_round(&mut programs, &mut samples, [column], plan.rounds, |p| {
            Ok([start_to_exit(p, &many, cpus)? / plan.directories as f64])
        });
    }

    let columns = created::DEPTHS.map(|(column, _)| column);
    match created::tmp_in_memory().map(|()| Place::new(plan.created)) {
        Ok(Ok(place)) => {
            each_round(&mut programs, &mut samples, columns, plan.created_rounds, |p| {
                place.measure(p, pinned)
            });
            if let Err(reason) = place.close() {
                results.fail("created", reason);
            }
        }
        Ok(Err(reason)) => results.fail("created", reason),
        Err(reason) => columns.iter().for_each(|column| results.skip(column.name(), &*reason)),
    }

    results.rows = rows(&programs, &samples, &counted);
    if let Some(this) = programs.found.iter().find(|p| p.row == THIS).cloned() {
        let mut start_up = None;
        if let Err(reason) = flatness(&this, plan, &mut results, &mut start_up) {
            results.fail("flat", reason);
        }
        let perf = perf.map_err(|reason| results.skip("perf", reason)).ok();
        if let Err(reason) = loops(&this, plan, dir, perf.as_ref(), &mut results, &counted) {
            results.fail("loop", reason);
        }
        budget(&this, plan, start_up, &counted, &mut results);
    }
    results.skipped.splice(0..0, programs.skipped);
    results.failed.splice(0..0, programs.failed);
    results
}

impl Results {
    fn skip(&mut self, row: &str, reason: impl Into<String>) {
        let reason = reason.into();
        eprintln!("{row}: skipped: {reason}");
        self.skipped.push(Missing { row: row.into(), reason });
    }

    /// Skips what is measured on any processor if there is only one. Returns whether it is skipped.
    fn skips(&mut self, columns: &[Column], cpus: Cpus, plan: &Plan) -> bool {
        let skips = cpus == Cpus::Any && plan.cpus == 1;
        for column in columns.iter().filter(|_| skips) {
            self.skip(column.name(), "this process may use one processor only");
        }
        skips
    }

    fn fail(&mut self, row: &str, reason: impl Into<String>) {
        let reason = reason.into();
        eprintln!("{row}: {reason}");
        self.failed.push(Missing { row: row.into(), reason });
    }

    /// This program's figure divided by the row's figure, for a bound.
    ///
    /// # Errors
    /// Why there is no such ratio.
    pub fn ratio(&self, column: Column, row: &str) -> Result<f64, String> {
        let absent = |row: &str| {
            self.skipped
                .iter()
                .chain(&self.failed)
                .find(|missing| missing.row == row)
                .map(|missing| missing.reason.clone())
        };
        let found = match column {
            Column::Loop => self.loops.iter().find(|l| l.pinned).map(|l| l.ratio.median),
            Column::LoopUnpinned => self.loops.iter().find(|l| !l.pinned).map(|l| l.ratio.median),
            Column::Flat => self.flatness(),
            _ => self
                .rows
                .iter()
                .find(|r| r.row == row)
                .and_then(|r| r.ratios.get(&column))
                .map(|ratio| ratio.median),
        };
        found.ok_or_else(|| {
            absent(row)
                .or_else(|| absent(column.name()))
                .or_else(|| absent(THIS))
                .unwrap_or_else(|| format!("there is no row '{row}'"))
        })
    }

    /// The highest cost of a notification divided by the lowest. Each cost is the lowest tenth of its rounds: other load
    /// on the machine only adds time, and adds more to long runs than to short ones.
    pub fn flatness(&self) -> Option<f64> {
        let costs = || self.flat.iter().map(|point| point.cost.low);
        let dearest = costs().reduce(f64::max)?;
        let cheapest = costs().reduce(f64::min)?;
        Some(dearest / cheapest)
    }
}

/// Measures each program once in each round, in a shuffled order: a short run finds the caches as the run before it left
/// them, so it must not always follow the same program. A program that fails is taken out, with all its samples.
fn each_round<const N: usize>(
    programs: &mut Programs,
    samples: &mut Samples,
    columns: [Column; N],
    rounds: usize,
    mut measure: impl FnMut(&Program) -> Result<[f64; N], String>,
) {
    let names = columns.map(Column::name).join(", ");
    eprintln!("measuring {names}, {rounds} rounds");
    // A fixed seed: each run of the benchmark has the same orders.
    let mut order = fastrand::Rng::with_seed(1);
    for round in 0..rounds {
        let mut turns = programs.found.clone();
        if turns.is_empty() {
            return;
        }
        order.shuffle(&mut turns);
        for program in turns {
            match measure(&program) {
                Ok(figures) => {
                    let row = samples.entry(program.row).or_default();
                    for (column, figure) in columns.into_iter().zip(figures) {
                        row.entry(column).or_default().push(figure);
                    }
                }
                Err(reason) => {
                    programs.fail(&program.row, format!("{names}, round {round}: {reason}"));
                }
            }
        }
    }
}

/// Start to exit in microseconds.
fn start_to_exit(program: &Program, args: &[OsString], cpus: Cpus) -> Result<f64, String> {
    Ok(micros(child::run(&program.path, args, cpus, &Output::Discard)?.exit))
}

/// A duration in microseconds.
fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Counts the calls of every program, and of this program in the measuring mode.
fn count_calls(
    programs: &mut Programs,
    results: &mut Results,
) -> BTreeMap<String, PerNotification> {
    eprintln!("counting system calls");
    let mut counted = BTreeMap::new();
    let args = programs::refused(100);
    for program in &programs.found {
        match calls::count(program, &args) {
            Ok(calls) => {
                counted.insert(program.row.clone(), calls);
            }
            Err(reason) => results.skip("calls", format!("{}: {reason}", program.row)),
        }
    }
    if let Some(this) = programs.found.iter().find(|p| p.row == THIS) {
        match calls::count(this, &looped(100)) {
            Ok(calls) => {
                counted.insert(LOOP.into(), calls);
            }
            Err(reason) => results.skip("calls", format!("-b: {reason}")),
        }
    }
    counted
}

/// The key of the measuring mode among the counted calls. No row has this name.
const LOOP: &str = "-b";

/// The arguments of the measuring mode.
fn looped(trips: usize) -> Vec<OsString> {
    vec!["-b".into(), trips.to_string().into(), REFUSED.into()]
}

/// Makes figures and ratios of the samples.
fn rows(
    programs: &Programs,
    samples: &Samples,
    counted: &BTreeMap<String, PerNotification>,
) -> Vec<Row> {
    let this = samples.get(THIS);
    programs
        .found
        .iter()
        .map(|program| {
            let own = &samples[&program.row];
            let figures = own
                .iter()
                .filter_map(|(column, samples)| Some((*column, stats::summary(samples)?)))
                .collect();
            let ratios = own
                .iter()
                .filter_map(|(column, theirs)| {
                    let ours = this?.get(column)?;
                    Some((*column, stats::ratio(ours, theirs)?))
                })
                .collect();
            Row {
                row: program.row.clone(),
                title: program.title.clone(),
                figures,
                ratios,
                calls: counted.get(&program.row).map(PerNotification::totals),
            }
        })
        .collect()
}

/// Measures runs of 100, 1,000 and 10,000 directories, pinned, and subtracts the time of a run with one directory.
fn flatness(
    this: &Program,
    plan: &Plan,
    results: &mut Results,
    start_up: &mut Option<f64>,
) -> Result<(), String> {
    /// Directories, and the number of runs whose median is one sample: a short run varies more.
    const RUNS: [(usize, usize); 3] = [(100, 15), (1_000, 3), (10_000, 1)];
    eprintln!("measuring flat, {} rounds", plan.flat_rounds);
    let pinned = Cpus::Only(plan.cpu);
    let middle = |count: usize, runs: usize| -> Result<f64, String> {
        let args = programs::refused(count);
        let times: Vec<f64> =
            (0..runs).map(|_| start_to_exit(this, &args, pinned)).collect::<Result<_, _>>()?;
        Ok(stats::summary(&times).map_or(f64::NAN, |s| s.median))
    };
    let mut starts = Vec::new();
    let mut costs = [const { Vec::new() }; RUNS.len()];
    for _ in 0..plan.flat_rounds {
        let start = middle(1, 15)?;
        starts.push(start);
        for ((count, runs), costs) in RUNS.into_iter().zip(&mut costs) {
            costs.push((middle(count, runs)? - start) / (count - 1) as f64);
        }
    }
    *start_up = stats::summary(&starts).map(|s| s.median);
    results.flat = RUNS
        .into_iter()
        .zip(&costs)
        .filter_map(|((directories, _), costs)| {
            Some(FlatPoint { directories, cost: stats::summary(costs)? })
        })
        .collect();
    Ok(())
}

/// Whether perf sets the wake-up flag.
const SYNC: [bool; 2] = [false, true];

/// Measures the measuring mode, perf's, the bare round trip and the costs of single calls, in the same rounds.
fn loops(
    this: &Program,
    plan: &Plan,
    dir: &Path,
    perf: Option<&Perf>,
    results: &mut Results,
    counted: &BTreeMap<String, PerNotification>,
) -> Result<(), String> {
    eprintln!("measuring loop, {} rounds", plan.loop_rounds);
    let args = looped(plan.trips);
    let ours = |cpus| -> Result<f64, String> {
        // The time from start to exit. The program's output is read only to see that it made all calls.
        let times = child::run(&this.path, &args, cpus, &Output::Keep(dir))?;
        let said = fs::read_to_string(dir.join("out")).map_err(|e| e.to_string())?;
        if !said.starts_with(&format!("# Executed {} system calls\n", plan.trips)) {
            return Err(format!("it did not say that it executed {}", plan.trips));
        }
        Ok(micros(times.exit) / plan.trips as f64)
    };
    let mut settings = vec![Cpus::Only(plan.cpu)];
    if plan.cpus > 1 {
        settings.push(Cpus::Any);
    }
    let priced = priced(counted);
    let mut samples = vec![(Vec::new(), Vec::new()); settings.len()];
    let mut beside = vec![[const { Vec::new() }; SYNC.len()]; settings.len()];
    let mut prices: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..plan.loop_rounds {
        for (cpus, ((bare, this), beside)) in
            settings.iter().zip(samples.iter_mut().zip(&mut beside))
        {
            bare.push(floor::round_trip(plan.trips, *cpus, dir)?);
            this.push(ours(*cpus)?);
            if let Some(perf) = perf {
                for (sync, samples) in SYNC.into_iter().zip(beside) {
                    samples.push(perf.measure(sync, plan.perf_trips, *cpus)?);
                }
            }
        }
        for (key, price) in floor::prices(&priced, Cpus::Only(plan.cpu), dir)? {
            prices.entry(key).or_default().push(price);
        }
    }
    results.loops = settings
        .iter()
        .zip(&samples)
        .filter_map(|(cpus, (bare, this))| {
            Some(Loop {
                pinned: *cpus != Cpus::Any,
                bare: stats::summary(bare)?,
                this: stats::summary(this)?,
                ratio: stats::ratio(this, bare)?,
            })
        })
        .collect();
    for ((cpus, beside), (_, this)) in settings.iter().zip(&beside).zip(&samples) {
        results.perf.extend(SYNC.into_iter().zip(beside).filter_map(|(sync, perf)| {
            Some(Beside {
                pinned: *cpus != Cpus::Any,
                sync,
                perf: stats::summary(perf)?,
                ratio: stats::ratio(this, perf)?,
            })
        }));
    }
    results.prices = prices
        .into_iter()
        .filter_map(|(key, samples)| Some((key, stats::summary(&samples)?)))
        .collect();
    Ok(())
}

/// The calls whose cost is measured: those that this program makes, and those that it could make instead.
fn priced(counted: &BTreeMap<String, PerNotification>) -> Vec<Priced> {
    let mut priced = vec![
        Priced::Cheapest,
        Priced::IdValid,
        Priced::Pread(256),
        Priced::Pread(4096),
        Priced::VmRead,
        Priced::OpenClose,
        Priced::TracerWrite,
        Priced::TargetWrite,
    ];
    let made = [THIS, LOOP].into_iter().filter_map(|row| counted.get(row));
    for calls in made {
        let tracer = calls.tracer.keys().filter_map(|call| price_of(call, true));
        let target = calls.target.keys().filter_map(|call| price_of(call, false));
        priced.extend(tracer.chain(target));
    }
    priced.sort();
    priced.dedup();
    priced
}

/// The measured cost that belongs to a call.
fn price_of(call: &Call, tracer: bool) -> Option<Priced> {
    match call {
        Call::IdValid => Some(Priced::IdValid),
        Call::Pread(bytes) => Some(Priced::Pread(*bytes)),
        Call::Other(name) if name == "write" && tracer => Some(Priced::TracerWrite),
        Call::Other(name) if name == "write" => Some(Priced::TargetWrite),
        Call::Other(name) if name == "process_vm_readv" => Some(Priced::VmRead),
        Call::Other(name) if name == "getppid" => Some(Priced::Cheapest),
        _ => None,
    }
}

/// Combines the counts with the costs.
fn budget(
    this: &Program,
    plan: &Plan,
    start_up: Option<f64>,
    counted: &BTreeMap<String, PerNotification>,
    results: &mut Results,
) {
    let Some(floor) = results.loops.iter().find(|l| l.pinned) else {
        return;
    };
    let Some(demonstration) = results
        .rows
        .iter()
        .find(|row| row.row == this.row)
        .and_then(|row| row.figures.get(&Column::Pinned))
    else {
        return;
    };
    let Some(calls) = counted.get(THIS) else {
        return;
    };
    let empty = PerNotification::default();
    let looped = counted.get(LOOP).unwrap_or(&empty);
    let items = |process, tracer, made: &Counts, looped: &Counts| {
        let mut all: Vec<&Call> = made.keys().chain(looped.keys()).collect();
        all.sort();
        all.dedup();
        all.into_iter()
            // These three calls are the floor.
            .filter(|call| !matches!(call, Call::Receive | Call::Send | Call::Notified))
            .map(|call| Item {
                process,
                call: call.to_string(),
                demonstration: made.get(call).copied().unwrap_or(0.0),
                looped: looped.get(call).copied().unwrap_or(0.0),
                price: price_of(call, tracer)
                    .and_then(|priced| results.prices.get(&priced.key()))
                    .map(|price| price.median),
            })
            .collect::<Vec<_>>()
    };
    let mut all = items("tracer", true, &calls.tracer, &looped.tracer);
    all.extend(items("target", false, &calls.target, &looped.target));
    results.budget = Some(Budget {
        floor: floor.bare.median,
        items: all,
        start_up: start_up.map(|time| time / plan.directories as f64),
        demonstration: demonstration.median,
        looped: Some(floor.this.median),
    });
}
