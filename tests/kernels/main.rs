//! The program on real kernels: machines of each architecture under qemu-system, each case a trial.
//!
//! `cargo test --test kernels -- --ignored` installs what it needs from Debian's packages, makes the release
//! archives, downloads the kernels into a cache, boots the archives' programs on each machine and checks the output of the
//! console. Without `--ignored` nothing is installed, downloaded or booted. A part of a trial's name, as the last argument,
//! selects trials, and boots only the machines that these need: `x86_64::6.1::`, `no_proc`.
//!
//! Environment variables:
//! - `KERNELS_README=write`: writes the table in docs/tested-on.md;
//! - `KERNELS_FROM=FOLDER`: boots the file FOLDER/ARCHITECTURE-SERIES, such as `riscv64-6.12`, in the place of Debian's
//!   kernel, if it exists;
//! - `KERNELS_SHOW=1`: prints the reports of all cases, not only of those that failed.
//!
//! A machine that is not available is reported as ignored, with the reason, and never as passed.

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod guests;
mod host;
mod images;
mod initramfs;
mod lost_value;
mod machine;
mod matrix;
mod packages;
mod recipe;
mod transcript;
mod watched;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use cases::{AS_INIT, AS_INIT_PARAMETERS, FOREIGN, Kernel};
use guests::Guest;
use images::{ARCHITECTURES, Architecture, Images, Unbuilt};
use initramfs::Initramfs;
use machine::{Emulator, Report};
use matrix::{Cell, Matrix};
use packages::Index;

/// A series of kernels, and Debian's suites that have it. Each suite has two names, since a mirror in the middle of an
/// update may have only one of them. A kernel of another series is not used.
struct Series {
    name: &'static str,
    /// `None` for the newest kernel.
    version: Option<(u32, u32)>,
    suites: &'static [&'static str],
    /// The programs' architectures.
    architectures: &'static [&'static str],
    on: On,
}

/// Which kernel it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    /// That of the program's architecture.
    Own,
    /// That of the 64-bit architecture, for a 32-bit program.
    Wider,
    /// User-mode Linux: a kernel that is a program of this machine, and needs no emulator.
    UserMode,
}

const BULLSEYE: &[&str] = &["bullseye", "oldoldstable"];
const BOOKWORM: &[&str] = &["bookworm", "oldstable"];
const TRIXIE: &[&str] = &["trixie", "stable", "bookworm-backports"];
const SID: &[&str] = &["sid", "testing"];

/// What is missing here is missing in Debian: bullseye is kept for the first four architectures only; riscv64 came with trixie,
/// and i686's kernels went with it; loongarch64 is in sid alone.
const SERIES: &[Series] = &[
    Series {
        name: "5.10",
        version: Some((5, 10)),
        suites: BULLSEYE,
        architectures: &["x86_64", "i686", "aarch64", "armv7"],
        on: On::Own,
    },
    Series {
        name: "6.1",
        version: Some((6, 1)),
        suites: BOOKWORM,
        architectures: &["x86_64", "i686", "aarch64", "armv7", "s390x", "ppc64le"],
        on: On::Own,
    },
    Series {
        name: "6.1_of_64_bits",
        version: Some((6, 1)),
        suites: BOOKWORM,
        architectures: &["i686", "armv7"],
        on: On::Wider,
    },
    Series {
        name: "6.12",
        version: Some((6, 12)),
        suites: TRIXIE,
        architectures: &["x86_64", "aarch64", "armv7", "riscv64", "s390x", "ppc64le"],
        on: On::Own,
    },
    Series {
        name: "newest",
        version: None,
        suites: SID,
        architectures: &[
            "x86_64",
            "aarch64",
            "armv7",
            "riscv64",
            "loongarch64",
            "s390x",
            "ppc64le",
        ],
        on: On::Own,
    },
    Series {
        name: "user_mode",
        version: None,
        suites: &[],
        architectures: &["x86_64"],
        on: On::UserMode,
    },
];

impl Series {
    /// The machine for programs of this architecture.
    fn guest(&self, architecture: &Architecture) -> &'static Guest {
        match self.on {
            On::Own => architecture.guest,
            On::Wider => architecture.wider_guest.expect("the series is for those that have one"),
            On::UserMode => &guests::USER_MODE,
        }
    }

    /// The other architecture whose programs the machine runs, or why there is none.
    fn foreign(&self, architecture: &Architecture) -> Result<&'static str, &'static str> {
        match self.on {
            On::Own => architecture.foreign,
            On::Wider => Ok(self.guest(architecture).debian),
            On::UserMode => Err("user-mode Linux runs no program of 32 bits"),
        }
    }
}

/// The state of one machine.
#[derive(Clone)]
enum Machine {
    /// The machine is not available here, for this reason.
    Skipped(String),
    /// The machine is available, and failed before the first case.
    Failed(String),
    Ran(Arc<Run>),
}

struct Run {
    kernel: Kernel,
    /// Whether there is a program of another architecture, or why not.
    foreign: Result<(), String>,
    reports: BTreeMap<String, Report>,
    /// The console of the boot with the program as init.
    as_init: Result<String, String>,
}

type Machines = BTreeMap<(&'static str, &'static str), Machine>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let is_asked = (arguments.ignored || arguments.include_ignored) && !arguments.list;
    let names = names();
    if !is_asked {
        if !arguments.list {
            eprintln!(
                "\n{} cases on real kernels do not run by themselves; this runs them: \
                 cargo test --test kernels -- --ignored",
                names.len()
            );
        }
        let trials =
            names.into_iter().map(|name| Trial::test(name, || Ok(())).with_ignored_flag(true));
        return libtest_mimic::run(&arguments, trials.collect()).exit_code();
    }

    // From here on 'ignored' means that a case could not be run.
    arguments.ignored = false;
    arguments.include_ignored = false;
    let is_chosen = |name: &str| is_chosen(&arguments, name);
    let start = Instant::now();
    let (images, kernels) = thread::scope(|scope| {
        let images = scope.spawn(|| build_images(&names, &is_chosen));
        let kernels = fetch_kernels(&names, &is_chosen);
        (images.join().expect("building panicked"), kernels)
    });
    eprintln!("images and kernels ready after {} s", start.elapsed().as_secs());
    let machines = boot_all(&images, &kernels);
    eprintln!("machines ready after {} s", start.elapsed().as_secs());

    let columns = machine_list().filter_map(|(architecture, series)| {
        Some(column(architecture, series, machines.get(&(architecture.name, series.name))?))
    });
    let matrix = Matrix::new(columns.collect(), case_names().map(str::to_owned).collect());
    let matrix = Arc::new(Mutex::new(matrix));
    let mut trials = Vec::new();
    for (architecture, series) in machine_list() {
        let machine = machines.get(&(architecture.name, series.name)).cloned();
        let Some(machine) = machine else { continue };
        let column = column(architecture, series, &machine);
        for case in case_names() {
            let name = trial_name(architecture, series, case);
            let (machine, matrix, column) = (machine.clone(), Arc::clone(&matrix), column.clone());
            trials.push(Trial::ignorable_test(name, move || {
                let (cell, completion) = check(&machine, case);
                matrix.lock().expect("no trial panics with it").note(&column, case, cell);
                completion
            }));
        }
    }
    for architecture in ARCHITECTURES {
        if let Some(images) = images.get(architecture.name).cloned() {
            let name = image_trial(architecture);
            let matrix = Arc::clone(&matrix);
            trials.push(Trial::ignorable_test(name, move || {
                let images = match images {
                    Ok(images) => images,
                    Err(Unbuilt::NoToolchain(reason)) => return skipped(&reason),
                    Err(Unbuilt::Failed(reason)) => return Err(reason.into()),
                };
                let (bytes, budget) = (images.program.len(), architecture.budget);
                let line = format!("{bytes} bytes on {} ({})", architecture.name, images.how);
                matrix.lock().expect("no trial panics with it").size(line.clone());
                if bytes as u64 > budget {
                    return Err(format!("{line}; the budget is {budget}").into());
                }
                Ok(Completion::Completed)
            }));
        }
    }
    let newest = kernels.get(&("x86_64", "newest")).cloned();
    trials.push(Trial::ignorable_test(RECIPE, move || match newest {
        Some(Ok(kernel)) => {
            recipe::follow(&kernel).map(|()| Completion::Completed).map_err(Failed::from)
        }
        Some(Err(reason)) => skipped(&reason),
        None => skipped("no kernel was asked for"),
    }));

    let total = names.len();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let matrix = matrix.lock().expect("no trial panics with it");
    if !machines.is_empty() {
        eprintln!("{}", matrix.table());
    }
    eprintln!("the whole took {} s", start.elapsed().as_secs());
    let is_whole = conclusion.num_filtered_out == 0
        && conclusion.num_passed + conclusion.num_ignored == total as u64;
    if !common::document::put_if_asked("kernels", is_whole, &matrix.table()) {
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

const RECIPE: &str = "docs::initramfs_recipe";

/// Every machine of the matrix: architecture and series.
fn machine_list() -> impl Iterator<Item = (&'static Architecture, &'static Series)> {
    ARCHITECTURES.iter().flat_map(|architecture| {
        SERIES
            .iter()
            .filter(|series| series.architectures.contains(&architecture.name))
            .map(move |series| (architecture, series))
    })
}

fn case_names() -> impl Iterator<Item = &'static str> {
    cases::all().map(|case| case.name).chain([AS_INIT])
}

fn trial_name(architecture: &Architecture, series: &Series, case: &str) -> String {
    format!("{}::{}::{case}", architecture.name, series.name)
}

fn image_trial(architecture: &Architecture) -> String {
    format!("{}::image_within_its_budget", architecture.name)
}

fn names() -> Vec<String> {
    machine_list()
        .flat_map(|(architecture, series)| {
            case_names().map(move |case| trial_name(architecture, series, case))
        })
        .chain(ARCHITECTURES.iter().map(image_trial))
        .chain([RECIPE.into()])
        .collect()
}

/// Whether the command line selects the trial. libtest-mimic decides in the same way.
fn is_chosen(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &String| {
        if arguments.exact { name == filter } else { name.contains(filter.as_str()) }
    };
    arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
}

fn skipped(reason: &str) -> Result<Completion, Failed> {
    Ok(Completion::ignored_with(format!("skipped: {}", reason.replace('\n', " "))))
}

/// Builds the images for each architecture of which a trial is selected.
fn build_images(names: &[String], is_chosen: &impl Fn(&str) -> bool) -> AllImages {
    let is_wanted = |architecture: &Architecture| {
        let prefix = format!("{}::", architecture.name);
        names.iter().any(|name| name.starts_with(&prefix) && is_chosen(name))
    };
    // In parallel: `core` for the other architectures takes longest, and its build uses one processor.
    thread::scope(|scope| {
        let wanted = ARCHITECTURES.iter().filter(|architecture| is_wanted(architecture));
        let builds: Vec<_> = wanted
            .map(|architecture| (architecture.name, scope.spawn(|| build_for(architecture))))
            .collect();
        builds
            .into_iter()
            .map(|(name, build)| (name, build.join().expect("building panicked")))
            .collect()
    })
}

fn build_for(architecture: &Architecture) -> Result<Arc<Images>, Unbuilt> {
    eprintln!("building for {}", architecture.name);
    let built = images::build(architecture).map(Arc::new);
    match &built {
        Err(Unbuilt::NoToolchain(reason)) => eprintln!("SKIPPED: {}: {reason}", architecture.name),
        Err(Unbuilt::Failed(reason)) => eprintln!("FAILED: {}: {reason}", architecture.name),
        Ok(images) => eprintln!("{}: {} bytes", architecture.name, images.program.len()),
    }
    built
}

type AllImages = BTreeMap<&'static str, Result<Arc<Images>, Unbuilt>>;
type Kernels = BTreeMap<(&'static str, &'static str), Result<Arc<Bootable>, String>>;

/// What a machine needs besides the images.
pub struct Bootable {
    emulator: Emulator,
    vmlinuz: Vec<u8>,
    busybox: Vec<u8>,
    /// The program of another architecture, or why there is none.
    foreign: Result<Vec<u8>, String>,
}

/// Fetches the kernel for each machine of which a trial is selected.
fn fetch_kernels(names: &[String], is_chosen: &impl Fn(&str) -> bool) -> Kernels {
    let mut kernels = Kernels::new();
    let mut programs = Programs::default();
    let recipe = is_chosen(RECIPE).then_some(("x86_64", "newest"));
    for (architecture, series) in machine_list() {
        let prefix = trial_name(architecture, series, "");
        let is_wanted = names.iter().any(|name| name.starts_with(&prefix) && is_chosen(name));
        let key = (architecture.name, series.name);
        if !is_wanted && recipe != Some(key) {
            continue;
        }
        let fetched = Emulator::find(series.guest(architecture)).and_then(|emulator| {
            let vmlinuz = kernel_image(architecture, series)?;
            let busybox = programs.busybox(architecture.debian)?;
            let foreign = series.foreign(architecture).map_err(str::to_owned);
            let foreign = foreign.and_then(|debian| programs.busybox(debian));
            Ok(Arc::new(Bootable { emulator, vmlinuz, busybox, foreign }))
        });
        let fetched = fetched.map_err(|reason| packages::without_mirror(&reason));
        if let Err(reason) = &fetched {
            eprintln!("SKIPPED: {} {}: {reason}", architecture.name, series.name);
        }
        kernels.insert(key, fetched);
    }
    kernels
}

/// Debian's kernel image of the series, or the one of `KERNELS_FROM`.
fn kernel_image(architecture: &Architecture, series: &Series) -> Result<Vec<u8>, String> {
    if series.on == On::UserMode {
        return Ok(Vec::new()); // what is started is the kernel
    }
    if let Some(own) = own_kernel(architecture, series) {
        eprintln!("kernel {}", own.display());
        return fs::read(&own).map_err(|error| format!("{}: {error}", own.display()));
    }
    let mut reasons = Vec::new();
    for suite in series.suites {
        match debian_kernel(series.guest(architecture), series, suite) {
            Ok(image) => return Ok(image),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(reasons.join("; "))
}

/// The kernel of `KERNELS_FROM` for this machine, if there is one.
fn own_kernel(architecture: &Architecture, series: &Series) -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os("KERNELS_FROM")?);
    let file = folder.join(format!("{}-{}", architecture.name, series.name));
    Some(file).filter(|file| file.exists())
}

/// The newest kernel of the series in `suite`, of the best flavour that it has.
fn debian_kernel(guest: &Guest, series: &Series, suite: &str) -> Result<Vec<u8>, String> {
    let debian = guest.debian;
    let index = Index::open(suite, debian)?;
    let names = index.names("linux-")?;
    for flavour in guest.flavours {
        // Newer packages have the image and the modules in separate packages.
        for package in ["linux-binary-", "linux-image-"] {
            // Between the two: "5.10.0-32", "7.2.13+deb14". The package of another flavour has its name there, too.
            let is_wanted = |name: &&String| {
                let version =
                    name.strip_prefix(package).and_then(|name| name.strip_suffix(flavour));
                let version = version.and_then(|version| version.strip_suffix('-')).unwrap_or("-");
                let numbers = numbers(version);
                version.ends_with(|c: char| c.is_ascii_digit())
                    && series.version.is_none_or(|(major, minor)| {
                        numbers.starts_with(&[major.into(), minor.into()])
                    })
            };
            let newest = names.iter().filter(is_wanted).max_by_key(|name| numbers(name));
            if let Some(package) = newest {
                eprintln!("kernel {package} of {suite} for {debian}");
                return packages::unpack(&index.fetch(package)?, "*/vmlinu*");
            }
        }
    }
    Err(format!("{suite} has no kernel {} for {debian}", series.name))
}

/// The numbers in a name: the sort key of versions.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Debian's busybox of each architecture: it is all that the machines have beside the program.
#[derive(Default)]
struct Programs(BTreeMap<&'static str, Result<Vec<u8>, String>>);

impl Programs {
    /// Fetches it once.
    fn busybox(&mut self, debian: &'static str) -> Result<Vec<u8>, String> {
        let fetch = |suite| {
            let package = Index::open(suite, debian)?.fetch("busybox-static")?;
            packages::unpack(&package, "*/bin/busybox")
        };
        let fetched = self.0.entry(debian).or_insert_with(|| {
            // Not every suite has every architecture.
            fetch("sid")
                .or_else(|_| fetch("bookworm"))
                .map_err(|why| packages::without_mirror(&why))
        });
        fetched.clone()
    }
}

/// Boots every machine that has its images and its kernel, two at the same time.
fn boot_all(images: &AllImages, kernels: &Kernels) -> Machines {
    let machines = Mutex::new(Machines::new());
    let mut waiting: Vec<_> = Vec::new();
    for (architecture, series) in machine_list() {
        let key = (architecture.name, series.name);
        let (Some(images), Some(kernel)) = (images.get(architecture.name), kernels.get(&key))
        else {
            continue;
        };
        let machine = match (images, kernel) {
            (Ok(images), Ok(kernel)) => {
                waiting.push((architecture, series, Arc::clone(images), Arc::clone(kernel)));
                continue;
            }
            (Err(Unbuilt::Failed(reason)), _) => Machine::Failed(reason.clone()),
            (Err(Unbuilt::NoToolchain(reason)), _) | (_, Err(reason)) => {
                Machine::Skipped(reason.clone())
            }
        };
        machines.lock().expect("no thread panics with it").insert(key, machine);
    }
    let waiting = Mutex::new(waiting.into_iter());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no thread panics with it").next();
                    let Some((architecture, series, images, kernel)) = next else {
                        break;
                    };
                    let start = Instant::now();
                    let machine = match boot(architecture, series, &images, &kernel) {
                        Ok(run) => Machine::Ran(Arc::new(run)),
                        Err(reason) => Machine::Failed(reason),
                    };
                    let took = start.elapsed().as_secs();
                    eprintln!("{} {}: {took} s", architecture.name, series.name);
                    let key = (architecture.name, series.name);
                    machines.lock().expect("no thread panics with it").insert(key, machine);
                }
            });
        }
    });
    machines.into_inner().expect("no thread panics with it")
}

/// Boots one machine twice: with the cases, and with the program as the first process.
fn boot(
    architecture: &'static Architecture,
    series: &'static Series,
    images: &Images,
    kernel: &Bootable,
) -> Result<Run, String> {
    let guest = series.guest(architecture);
    let mut initramfs = Initramfs::default();
    initramfs.program("init", cases::init().as_bytes());
    initramfs.program("seccomp-notify-min", &images.program);
    initramfs.program("under-filter", &images.under_filter);
    initramfs.program("watch", &images.watch).directory("watched", 0o755);
    for (name, plan) in watched::plans() {
        initramfs.program(&format!("watched/{name}"), &plan);
    }
    initramfs.directory("bin", 0o755).program("bin/busybox", &kernel.busybox);
    if let Ok(foreign) = &kernel.foreign {
        initramfs.directory("foreign", 0o755).program("foreign/true", foreign);
    }
    let console = kernel.emulator.boot(&kernel.vmlinuz, &initramfs.finish(), "", "@@release")?;
    let (release, reports) = machine::reports(&console)?;
    let version: Vec<u64> = numbers(&release).into_iter().take(2).collect();
    let version = match version[..] {
        [major, minor] => (major as u32, minor as u32),
        _ => return Err(format!("no version in {release}")),
    };
    if series.version.is_some_and(|wanted| wanted != version) {
        return Err(format!("the kernel is {release}"));
    }

    let mut initramfs = Initramfs::default();
    initramfs.directory("tmp", 0o1777).program("seccomp-notify-min", &images.program);
    let as_init = kernel.emulator.boot(
        &kernel.vmlinuz,
        &initramfs.finish(),
        AS_INIT_PARAMETERS,
        "Target process: PID",
    );
    Ok(Run {
        kernel: Kernel {
            architecture,
            machine: guest.machine,
            appended: guest.firmware.as_ref().map(|firmware| firmware.argument),
            version,
            loses_value: false,
            release,
        },
        foreign: kernel.foreign.clone().map(|_| ()),
        reports: reports.into_iter().collect(),
        as_init,
    })
}

/// The title of a machine's column.
fn column(architecture: &Architecture, series: &Series, machine: &Machine) -> String {
    let name = series.name;
    let version = match machine {
        // "5.10.0-32-cloud-amd64 #1 SMP Debian 5.10.223-1 (2024-08-10)": the upstream version.
        Machine::Ran(run) => match run.kernel.release.split_once("Debian ") {
            Some((_, debian)) => debian.split('-').next().unwrap_or(name),
            None => run.kernel.release.split(' ').next().unwrap_or(name),
        },
        _ => name,
    };
    let on = match (series.on, architecture.wider_guest) {
        (On::Wider, Some(guest)) => format!(" of {}", guest.machine),
        (On::UserMode, _) => " in user mode".into(),
        _ => String::new(),
    };
    let own = if own_kernel(architecture, series).is_some() { " (brought along)" } else { "" };
    format!("{} {version}{on}{own}", architecture.name)
}

/// Checks one case on one machine.
fn check(machine: &Machine, name: &str) -> (Cell, Result<Completion, Failed>) {
    let run = match machine {
        Machine::Skipped(reason) => return (Cell::Skipped(reason.clone()), skipped(reason)),
        Machine::Failed(reason) => return (Cell::Failed, Err(reason.into())),
        Machine::Ran(run) => run,
    };
    if let (FOREIGN, Err(reason)) = (name, &run.foreign) {
        return (Cell::Skipped(reason.clone()), skipped(reason));
    }
    let check = |kernel: &Kernel| match cases::all().find(|case| case.name == name) {
        None => {
            let console = run.as_init.clone()?;
            cases::check_as_init(&console, kernel.appended, kernel.loses_value)
        }
        Some(case) => match run.reports.get(name) {
            None => Err("the machine reported nothing".into()),
            Some(report) => check_report(&case, kernel, report),
        },
    };
    match check(&run.kernel) {
        Ok(()) => (Cell::Passed, Ok(Completion::Completed)),
        Err(reason) => {
            let faulty = Kernel { loses_value: true, ..run.kernel.clone() };
            if lost_value::is_possible(&run.kernel) && check(&faulty).is_ok() {
                return (Cell::Fault(lost_value::REASON), Ok(Completion::Completed));
            }
            (Cell::Failed, Err(reason.into()))
        }
    }
}

fn check_report(case: &cases::Case, kernel: &Kernel, report: &Report) -> Result<(), String> {
    let checked = case.check(kernel, report).and_then(|()| match report.left.as_str() {
        "" => Ok(()),
        left => Err(format!("still running three seconds later: {left}")),
    });
    let stdout = if case.is_text() { &report.stdout } else { "(records)\n" };
    let shown = format!(
        "status {}\n--- standard output\n{stdout}--- standard error\n{}--- found\n{}",
        report.status, report.stderr, report.facts
    );
    if env::var_os("KERNELS_SHOW").is_some() {
        eprintln!("{} {} {}: {shown}", kernel.architecture.name, kernel.release, case.name);
    }
    checked.map_err(|reason| format!("{reason}\n{shown}"))
}
