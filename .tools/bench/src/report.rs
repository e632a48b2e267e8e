//! The result as text, as Markdown and as JSON. The picture is in `chart.rs`.

use std::fmt::Write as _;
use std::fs;

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_HORIZONTAL_ONLY};
use comfy_table::{CellAlignment, LineStyle, Table};
use serde::Serialize;

use crate::bound::{Column, Outcome};
use crate::created::DEPTHS;
use crate::floor::Priced;
use crate::measure::{Budget, Plan, Results};
use crate::programs::THIS;
use crate::stats::Summary;

/// The columns that have a figure for each program, with their units.
const COLUMNS: [(Column, &str); 8] = [
    (Column::Bytes, ""),
    (Column::Pss, ", kB"),
    (Column::ExitPinned, ", µs"),
    (Column::Exit, ", µs"),
    (Column::EndPinned, ", µs"),
    (Column::End, ", µs"),
    (Column::Pinned, ", µs"),
    (Column::Unpinned, ", µs"),
];

/// The machine on which it was measured.
#[derive(Debug, Serialize)]
pub struct Machine {
    kernel: String,
    arch: &'static str,
    processor: String,
}

impl Machine {
    fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| {
                Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().into())
            })
            .unwrap_or_else(|| "unknown processor".into());
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().into(),
            arch: std::env::consts::ARCH,
            processor,
        }
    }
}

/// Everything that is printed.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    /// The number of runs of each kind.
    pub plan: Plan,
    /// What was measured.
    #[serde(flatten)]
    pub results: Results,
    /// The bounds with their results.
    pub bounds: Vec<Outcome>,
}

/// One table with its heading and its notes.
struct Block {
    title: &'static str,
    /// The notes, each one line.
    note: Vec<String>,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Report {
    /// Combines the parts of the report.
    pub fn new(plan: Plan, results: Results, bounds: Vec<Outcome>) -> Self {
        Self { machine: Machine::here(), plan, results, bounds }
    }

    /// One line that names the machine.
    pub fn place(&self) -> String {
        let Machine { kernel, arch, processor } = &self.machine;
        let cpus = self.plan.cpus;
        format!("Linux {kernel}, {arch}, {processor}, {cpus} processor(s)")
    }

    /// The report for a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.place());
        for block in self.blocks() {
            let mut table = block.table();
            table.load_style(UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
            let _ = write!(text, "\n{}\n{}\n", block.title, table.trim_fmt());
            for line in block.note {
                let _ = writeln!(text, "{line}");
            }
        }
        let remarks = self.remarks();
        if !remarks.is_empty() {
            text.push('\n');
        }
        for line in remarks {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// The report in Markdown, for a README.
    pub fn markdown(&self) -> String {
        let mut text = format!("{}\n", self.place());
        for block in self.blocks() {
            let mut table = block.table();
            table.load_style(ASCII_MARKDOWN);
            let table = align_right(&table.to_string());
            let _ = write!(text, "\n### {}\n\n{table}\n", block.title);
            if !block.note.is_empty() {
                let _ = writeln!(text, "\n{}", block.note.join(" "));
            }
        }
        let remarks = self.remarks();
        if !remarks.is_empty() {
            text.push('\n');
        }
        for line in remarks {
            let _ = writeln!(text, "- {line}");
        }
        text
    }

    /// The report as JSON, for a program.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("figures and names")
    }

    fn blocks(&self) -> Vec<Block> {
        let beside = [self.figures(), self.ratios(), self.created(), self.loops(), self.perf()];
        beside
            .into_iter()
            .chain([self.flat(), self.prices()])
            .chain(self.results.budget.as_ref().map(budget))
            .filter(|block| !block.rows.is_empty())
            .collect()
    }

    fn figures(&self) -> Block {
        let heads = COLUMNS.iter().map(|(column, unit)| format!("{column}{unit}"));
        let rows = self.results.rows.iter().map(|row| {
            let mut cells = vec![row.row.clone(), row.title.clone()];
            cells
                .extend(COLUMNS.iter().map(|(column, _)| figure(*column, row.figures.get(column))));
            cells.push(
                row.calls
                    .map_or_else(absent, |c| format!("{} + {}", calls(c.tracer), calls(c.target))),
            );
            cells
        });
        Block {
            title: "Figures",
            note: vec![
                "Medians. bytes: the stripped file.".into(),
                "pss: memory of parent, target and tracer together while one path is delayed."
                    .into(),
                "exit: from start to exit with one refused path.".into(),
                "end: the same until the last process has ended; the programs in C do not wait for their tracer."
                    .into(),
                format!(
                    "pinned, unpinned: {} refused paths from start to exit, divided by their number.",
                    self.plan.directories
                ),
                format!(
                    "Pinned is on processor {}, unpinned on any. Output goes to /dev/null, opened once and for writing only (>/dev/null 2>&1).",
                    self.plan.cpu
                ),
                "calls: system calls a notification, tracer + target.".into(),
            ],
            header: ["row".into(), "program".into()]
                .into_iter()
                .chain(heads)
                .chain(["calls".into()])
                .collect(),
            rows: rows.collect(),
        }
    }

    fn ratios(&self) -> Block {
        let others = self.results.rows.iter().filter(|row| row.row != THIS);
        let rows = others.map(|row| {
            let mut cells = vec![row.row.clone()];
            cells.extend(COLUMNS.iter().map(|(column, _)| ratio(row.ratios.get(column))));
            cells.push(ratio(row.ratios.get(&Column::Calls)));
            cells
        });
        Block {
            title: "This program by the others (below 1: this one needs less)",
            note: vec![
                "Median of the ratios within each round; in brackets the range of the middle four fifths.".into(),
                format!(
                    "Rounds: {} of pss, {} of exit and end, {} of pinned and of unpinned.",
                    self.plan.pss_rounds, self.plan.exit_rounds, self.plan.rounds
                ),
            ],
            header: ["row".to_owned()]
                .into_iter()
                .chain(COLUMNS.iter().map(|(column, _)| column.to_string()))
                .chain(["calls".to_owned()])
                .collect(),
            rows: rows.collect(),
        }
    }

    fn created(&self) -> Block {
        let made = self.results.rows.iter().filter(|row| row.figures.contains_key(&DEPTHS[0].0));
        let rows = made.map(|row| {
            let figures = DEPTHS.map(|(column, _)| figure(column, row.figures.get(&column)));
            let ratios = DEPTHS.map(|(column, _)| match row.row.as_str() {
                THIS => absent(),
                _ => ratio(row.ratios.get(&column)),
            });
            [row.row.clone()].into_iter().chain(figures).chain(ratios).collect()
        });
        let names = DEPTHS.map(|(column, _)| column.name());
        Block {
            title: "Directories that are made",
            note: vec![
                format!(
                    "Pinned, for one directory of {}, made on a tmpfs; the number in the column's name is that of its components below /tmp. Beside them, this program by the others.",
                    self.plan.created
                ),
                format!("Rounds: {}.", self.plan.created_rounds),
            ],
            header: ["row".to_owned()]
                .into_iter()
                .chain(names.map(|name| format!("{name}, µs")))
                .chain(names.map(|name| format!("ratio, {name}")))
                .collect(),
            rows: rows.collect(),
        }
    }

    fn perf(&self) -> Block {
        let rows = self.results.perf.iter().map(|beside| {
            let sync = if beside.sync { "perf --sync-mode" } else { "perf" };
            let cpus = if beside.pinned { "pinned" } else { "unpinned" };
            vec![format!("{sync}, {cpus}"), micros(beside.perf), ratio(Some(&beside.ratio))]
        });
        Block {
            title: "The measuring mode by perf bench sched seccomp-notify",
            note: vec![
                format!(
                    "{} round trips in each of the same rounds, as perf says.",
                    self.plan.perf_trips
                ),
                "perf reads no memory and decides nothing; with --sync-mode it sets the wake-up flag, as this program does.".into(),
            ],
            header: ["row", "perf, µs", "-b by it"].map(String::from).into(),
            rows: rows.collect(),
        }
    }

    fn loops(&self) -> Block {
        let rows = self.results.loops.iter().map(|l| {
            vec![
                if l.pinned { "loop" } else { "loop-unpinned" }.to_owned(),
                micros(l.bare),
                micros(l.this),
                ratio(Some(&l.ratio)),
            ]
        });
        Block {
            title: "The measuring mode by the kernel's bare round trip",
            note: vec![
                format!(
                    "{} round trips in each of {} rounds.",
                    self.plan.trips, self.plan.loop_rounds
                ),
                "bare: RECV, SEND and the notified call, nothing else, start-up not counted."
                    .into(),
                "-b: the measuring mode of this program, from start to exit.".into(),
            ],
            header: ["row", "bare, µs", "-b, µs", "ratio"].map(String::from).into(),
            rows: rows.collect(),
        }
    }

    fn flat(&self) -> Block {
        let rows = self.results.flat.iter().map(|point| {
            vec![
                point.directories.to_string(),
                format!("{:.2}", point.cost.low),
                format!("{:.2}", point.cost.median),
                format!("{:.2}", point.cost.high),
            ]
        });
        let flatness = self.results.flatness().unwrap_or(f64::NAN);
        Block {
            title: "Cost of one notification by the length of the run",
            note: vec![
                format!(
                    "Pinned, {} rounds; the time of a run with one directory is subtracted.",
                    self.plan.flat_rounds
                ),
                format!("The dearest by the cheapest, of the lowest tenths: {flatness:.3}."),
            ],
            header: ["directories", "lowest tenth, µs", "median, µs", "highest tenth, µs"]
                .map(String::from)
                .into(),
            rows: rows.collect(),
        }
    }

    fn prices(&self) -> Block {
        let name = |key: &str| match key.parse() {
            Ok(Priced::Cheapest) => "getppid, the cheapest call".to_owned(),
            Ok(Priced::IdValid) => "ioctl ID_VALID".into(),
            Ok(Priced::Pread(bytes)) => {
                format!("pread of {bytes} bytes of /proc/PID/mem, kept open")
            }
            Ok(Priced::VmRead) => "process_vm_readv of 256 bytes".into(),
            Ok(Priced::OpenClose) => "open and close of /proc/PID/mem".into(),
            Ok(Priced::TracerWrite) => "write to /dev/null, tracer".into(),
            Ok(Priced::TargetWrite) => "write to /dev/null, target, through the filter".into(),
            Err(()) => key.to_owned(),
        };
        let rows = self.results.prices.iter().map(|(key, price)| {
            vec![
                name(key),
                format!("{:.3}", price.median),
                format!("{:.3}–{:.3}", price.low, price.high),
            ]
        });
        Block {
            title: "What a call costs",
            note: vec!["Pinned, made many times in a row while one notification is held.".into()],
            header: ["call", "µs", "range"].map(String::from).into(),
            rows: rows.collect(),
        }
    }

    /// What is missing, what failed, and the results of the bounds.
    fn remarks(&self) -> Vec<String> {
        let skipped = self.results.skipped.iter();
        let skipped = skipped.map(|m| format!("skipped: {}: {}", m.row, m.reason));
        let failed = self.results.failed.iter();
        let failed = failed.map(|m| format!("FAILED: {}: {}", m.row, m.reason));
        let bounds = self.bounds.iter().map(Outcome::to_string);
        self.noise().into_iter().chain(skipped).chain(failed).chain(bounds).collect()
    }

    /// A warning if the machine had other load: this program, pinned, does the same work in each round, so a difference
    /// between its rounds comes from elsewhere.
    fn noise(&self) -> Option<String> {
        const QUIET: f64 = 1.2;
        let this = self.results.rows.iter().find(|row| row.row == THIS)?;
        let pinned = this.figures.get(&Column::Pinned)?;
        let spread = pinned.high / pinned.low;
        (spread > QUIET).then(|| {
            format!(
                "noisy: the slow rounds of this program, pinned, took {spread:.1} times as long as the quick ones; on a \
                 quiet machine the figures are lower, and the ratios more certain"
            )
        })
    }
}

impl Block {
    fn table(&self) -> Table {
        let mut table = Table::new();
        table.set_header(&self.header).add_rows(&self.rows);
        // Names are aligned to the left, figures to the right.
        for (index, column) in table.column_iter_mut().enumerate() {
            let words = index == 0 || (index == 1 && self.header[1] == "program");
            if !words {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}

/// The floor, the calls beyond it with their costs, their sum and the measured time.
fn budget(budget: &Budget) -> Block {
    let mut rows = Vec::new();
    let mut sums = (budget.floor, budget.floor);
    let mut unpriced = Vec::new();
    rows.push(vec![
        "bare round trip".into(),
        absent(),
        format!("{:.2}", budget.floor),
        absent(),
        format!("{:.2}", budget.floor),
    ]);
    for item in &budget.items {
        let price = item.price.unwrap_or(0.0);
        if item.price.is_none() {
            unpriced.push(item.call.as_str());
        }
        sums.0 += item.demonstration * price;
        sums.1 += item.looped * price;
        let cost = |count: f64| match item.price {
            Some(price) if count > 0.0 => format!("{:.2}", count * price),
            Some(_) => absent(),
            None => "?".into(),
        };
        rows.push(vec![
            format!("{}: {}", item.process, item.call),
            calls(item.demonstration),
            cost(item.demonstration),
            calls(item.looped),
            cost(item.looped),
        ]);
    }
    if let Some(start_up) = budget.start_up {
        sums.0 += start_up;
        rows.push(vec![
            "start-up, shared out".into(),
            absent(),
            format!("{start_up:.2}"),
            absent(),
            absent(),
        ]);
    }
    let mut line = |name: &str, demonstration: f64, looped: Option<f64>| {
        rows.push(vec![
            name.into(),
            String::new(),
            format!("{demonstration:.2}"),
            String::new(),
            looped.map_or_else(absent, |looped| format!("{looped:.2}")),
        ]);
    };
    line("sum", sums.0, Some(sums.1));
    line("measured", budget.demonstration, budget.looped);
    line(
        "left: own code, colder caches",
        budget.demonstration - sums.0,
        budget.looped.map(|looped| looped - sums.1),
    );
    let mut note = vec!["Pinned, for one notification.".into()];
    if !unpriced.is_empty() {
        note.push(format!("Without a price: {}.", unpriced.join(", ")));
    }
    Block {
        title: "From the floor to this program, call by call",
        note,
        header: ["", "calls", "demonstration, µs", "calls, -b", "-b, µs"].map(String::from).into(),
        rows,
    }
}

/// Marks the columns of figures as right-aligned, in the second line of a Markdown table. The first column and a column of
/// words stay left-aligned.
fn align_right(table: &str) -> String {
    let mut lines: Vec<String> = table.lines().map(String::from).collect();
    let words = lines
        .first()
        .is_some_and(|header| header.split('|').nth(2).is_some_and(|h| h.trim() == "program"));
    if let Some(separator) = lines.get_mut(1) {
        let cells: Vec<&str> = separator.trim_matches('|').split('|').collect();
        let marked = cells.iter().enumerate().map(|(index, cell)| {
            let keep = index == 0 || (index == 1 && words);
            match cell.strip_suffix('-').filter(|_| !keep) {
                Some(rest) => format!("{rest}:"),
                None => (*cell).to_owned(),
            }
        });
        *separator = format!("|{}|", marked.collect::<Vec<_>>().join("|"));
    }
    lines.join("\n")
}

/// A figure, formatted for its column.
pub fn figure(column: Column, value: Option<&Summary>) -> String {
    let Some(value) = value else {
        return absent();
    };
    match column {
        Column::Bytes => thousands(value.median),
        Column::Pss | Column::Exit | Column::ExitPinned | Column::End | Column::EndPinned => {
            format!("{:.0}", value.median)
        }
        _ => format!("{:.2}", value.median),
    }
}

/// A ratio, with its range if there is more than one sample.
fn ratio(value: Option<&Summary>) -> String {
    value.map_or_else(absent, |r| {
        if r.samples == 1 {
            format!("{:.3}", r.median)
        } else {
            format!("{:.3} ({:.2}–{:.2})", r.median, r.low, r.high)
        }
    })
}

/// Microseconds, with their range.
fn micros(value: Summary) -> String {
    let Summary { median, low, high, .. } = value;
    format!("{median:.2} ({low:.2}–{high:.2})")
}

/// A count of calls. It is a whole number if the program makes the same calls each time.
fn calls(count: f64) -> String {
    if (count - count.round()).abs() < 1e-6 { format!("{count:.0}") } else { format!("{count:.2}") }
}

/// A number with a comma between its thousands.
pub fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The text of an empty cell.
fn absent() -> String {
    "–".into()
}
