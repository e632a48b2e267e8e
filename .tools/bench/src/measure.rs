//! The measurements in their order: what is run how often, and what is made of the times.
//!
//! Every figure that is compared comes from rounds in which each program has its turn, so that a noisy moment hits all of
//! them alike; ratios are taken within a round. How one program is run is in `child.rs`, how the result looks in
//! `report.rs`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::bound::Column;
use crate::calls::{self, Call, Counts, PerNotification, Totals};
use crate::child::{self, Cpus, Output};
use crate::floor::{self, Priced};
use crate::programs::{self, Missing, Program, Programs, REFUSED, THIS};
use crate::pss;
use crate::stats::{self, Summary};

/// How much is run.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Whether this is the short form.
    pub quick: bool,
    /// Directories of the whole demonstration whose time is taken.
    pub directories: usize,
    /// Rounds of it, pinned and unpinned.
    pub rounds: usize,
    /// Rounds of one directory, start to exit.
    pub exit_rounds: usize,
    /// Rounds of the memory figure.
    pub pss_rounds: usize,
    /// Round trips of the measuring mode and of the floor.
    pub trips: usize,
    /// Rounds of the two.
    pub loop_rounds: usize,
    /// Rounds of the runs of different lengths.
    pub flat_rounds: usize,
    /// The processor for what is pinned.
    pub cpu: usize,
    /// How many processors there are for what is not.
    pub cpus: usize,
}

impl Plan {
    /// The long form takes a few minutes, the short one less than one.
    pub fn new(quick: bool, cpu: usize, cpus: usize) -> Self {
        let pick = |full, short| if quick { short } else { full };
        Self {
            quick,
            directories: 3000,
            rounds: pick(51, 7),
            exit_rounds: pick(1500, 200),
            pss_rounds: pick(25, 7),
            trips: 100_000,
            loop_rounds: pick(25, 3),
            flat_rounds: pick(51, 7),
            cpu,
            cpus,
        }
    }
}

/// One program's line.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub row: String,
    /// What it is.
    pub title: String,
    /// Its figures, each in its column's unit: bytes, kB, microseconds, calls.
    pub figures: BTreeMap<Column, Summary>,
    /// This program's figures divided by these, round by round.
    pub ratios: BTreeMap<Column, Summary>,
    /// System calls a notification.
    pub calls: Option<Totals>,
}

/// The measuring mode beside the bare round trip.
#[derive(Debug, Serialize)]
pub struct Loop {
    /// Whether both were held on one processor.
    pub pinned: bool,
    /// Microseconds for RECV, SEND and the call, and nothing else.
    pub bare: Summary,
    /// Microseconds for one notification of `-b`.
    pub this: Summary,
    /// The second by the first, round by round.
    pub ratio: Summary,
}

/// The cost of a notification in a run of so many.
#[derive(Debug, Serialize)]
pub struct FlatPoint {
    /// Directories.
    pub directories: usize,
    /// Microseconds a notification; the time of a run with one directory is subtracted.
    pub cost: Summary,
}

/// One call between the floor and this program.
#[derive(Debug, Serialize)]
pub struct Item {
    /// `tracer` or `target`.
    pub process: &'static str,
    /// The call.
    pub call: String,
    /// How often it is made for a notification of the demonstration.
    pub demonstration: f64,
    /// How often it is made for one of the measuring mode.
    pub looped: f64,
    /// Microseconds for one, made many times in a row; none where it has no price here.
    pub price: Option<f64>,
}

/// What stands between the floor and this program, pinned, in microseconds a notification.
#[derive(Debug, Serialize)]
pub struct Budget {
    /// RECV, SEND and the call.
    pub floor: f64,
    /// The calls beyond these.
    pub items: Vec<Item>,
    /// Start to exit with one directory, spread over the directories of the demonstration.
    pub start_up: Option<f64>,
    /// What the demonstration takes.
    pub demonstration: f64,
    /// What the measuring mode takes.
    pub looped: Option<f64>,
}

/// All that was measured.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// This program first.
    pub rows: Vec<Row>,
    /// Pinned, then unpinned.
    pub loops: Vec<Loop>,
    /// Microseconds for one call of each kind, pinned.
    pub prices: BTreeMap<String, Summary>,
    /// From the shortest run to the longest.
    pub flat: Vec<FlatPoint>,
    /// The floor and the calls on top of it.
    pub budget: Option<Budget>,
    /// Why something is not there.
    pub skipped: Vec<Missing>,
    /// What went wrong.
    pub failed: Vec<Missing>,
}

/// Samples by program and column.
type Samples = BTreeMap<String, BTreeMap<Column, Vec<f64>>>;

/// Runs everything.
pub fn run(mut programs: Programs, plan: &Plan, dir: &Path) -> Results {
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

    results.rows = rows(&programs, &samples, &counted);
    if let Some(this) = programs.found.iter().find(|p| p.row == THIS).cloned() {
        let mut start_up = None;
        if let Err(reason) = flatness(&this, plan, &mut results, &mut start_up) {
            results.fail("flat", reason);
        }
        if let Err(reason) = loops(&this, plan, dir, &mut results, &counted) {
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

    /// Skips what is measured on any processor where there is one only. Returns whether it does.
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

    /// This program's figure by the row's, for a bound.
    ///
    /// # Errors
    /// Why there is none.
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

    /// The dearest cost a notification by the cheapest, in the quietest tenth of the rounds: the runs differ in length,
    /// so that what else the machine does falls on them unequally, and it only ever adds.
    pub fn flatness(&self) -> Option<f64> {
        let costs = || self.flat.iter().map(|point| point.cost.low);
        let dearest = costs().reduce(f64::max)?;
        let cheapest = costs().reduce(f64::min)?;
        Some(dearest / cheapest)
    }
}

/// Lets each program have its turn in each round, in a shuffled order: a short run finds the caches as the one before it
/// left them, so that the one before it must not always be the same. One that fails is out, with all its samples.
fn each_round<const N: usize>(
    programs: &mut Programs,
    samples: &mut Samples,
    columns: [Column; N],
    rounds: usize,
    mut measure: impl FnMut(&Program) -> Result<[f64; N], String>,
) {
    let names = columns.map(Column::name).join(", ");
    eprintln!("measuring {names}, {rounds} rounds");
    // The same orders in every run of the benchmark.
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

/// In microseconds.
fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Counts every program's calls; this program's in the measuring mode too.
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

/// The measuring mode's key among the counted calls; no row has this name.
const LOOP: &str = "-b";

/// The arguments of the measuring mode.
fn looped(trips: usize) -> Vec<OsString> {
    vec!["-b".into(), trips.to_string().into(), REFUSED.into()]
}

/// Samples to figures and ratios.
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

/// Runs of 100, 1,000 and 10,000 directories, pinned, less the time of a run with one.
fn flatness(
    this: &Program,
    plan: &Plan,
    results: &mut Results,
    start_up: &mut Option<f64>,
) -> Result<(), String> {
    /// Directories, and how many runs make one sample: a short run tells less.
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

/// The measuring mode beside the bare round trip, and the prices, in the same rounds.
fn loops(
    this: &Program,
    plan: &Plan,
    dir: &Path,
    results: &mut Results,
    counted: &BTreeMap<String, PerNotification>,
) -> Result<(), String> {
    eprintln!("measuring loop, {} rounds", plan.loop_rounds);
    let args = looped(plan.trips);
    let ours = |cpus| -> Result<f64, String> {
        // The time from outside, start-up included: the program's own figure is only read to see that it did the work.
        let times = child::run(&this.path, &args, cpus, &Output::Keep(dir))?;
        let said = fs::read_to_string(dir.join("out")).map_err(|e| e.to_string())?;
        if !said.starts_with(&format!("# Executed {} system calls\n", plan.trips)) {
            return Err(format!("it did not say that it executed {}", plan.trips));
        }
        Ok(micros(times.exit) / plan.trips as f64)
    };
    let mut places = vec![Cpus::Only(plan.cpu)];
    if plan.cpus > 1 {
        places.push(Cpus::Any);
    }
    let priced = priced(counted);
    let mut samples = vec![(Vec::new(), Vec::new()); places.len()];
    let mut prices: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..plan.loop_rounds {
        for (cpus, (bare, this)) in places.iter().zip(&mut samples) {
            bare.push(floor::round_trip(plan.trips, *cpus, dir)?);
            this.push(ours(*cpus)?);
        }
        for (key, price) in floor::prices(&priced, Cpus::Only(plan.cpu), dir)? {
            prices.entry(key).or_default().push(price);
        }
    }
    results.loops = places
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
    results.prices = prices
        .into_iter()
        .filter_map(|(key, samples)| Some((key, stats::summary(&samples)?)))
        .collect();
    Ok(())
}

/// The calls that get a price: what this program makes, and what it might make instead.
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

/// Which price a call has.
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

/// Puts counts and prices together.
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
            // These three are the floor.
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
