//! The program inside what people use: tracers, sandboxes, containers, emulators, wrappers, stops. Each place is
//! a trial, with an expectation that stands on what is known about it.
//!
//! `cargo test --test environments -- --ignored` installs Debian's packages where it may, tries every place that
//! can be had, and prints a table. Without `--ignored` nothing is installed or run. What is made for a place goes
//! away with it. `ENVIRONMENTS_README=write` writes the table in docs/tested-on.md anew.
//!
//! A place that cannot be had here is reported as ignored, with the reason.

mod agent;
#[path = "../common/mod.rs"]
mod common;
mod expected;
#[allow(dead_code)] // some is for others only
#[path = "../kernels/host.rs"]
mod host;
mod landlock;
mod meanwhile;
mod places;
mod running;
mod stage;
mod table;
#[allow(dead_code)] // some is for others only
#[path = "../kernels/transcript.rs"]
mod transcript;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Trial};

use common::{document, is_root};
use expected::{Came, Expected, Wrong};
use meanwhile::{Cannot, Subject};
use places::{Place, Setup};
use running::{Ran, Running};
use stage::{Case, Stage};
use table::{Row, Table};

/// How long a run may take. What is right needs seconds, on a busy machine too.
const LIMIT: Duration = Duration::from_secs(60);

/// What became of a place.
enum Outcome {
    /// As expected; in words.
    Right(String),
    /// It cannot be had here.
    Skipped(String),
    /// What is wrong, and all that was printed.
    Wrong(Wrong, String),
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let is_asked = (arguments.ignored || arguments.include_ignored) && !arguments.list;
    let places = places::all();
    if !is_asked {
        if !arguments.list {
            eprintln!(
                "\n{} places do not run by themselves; this runs them: \
                 cargo test --test environments -- --ignored",
                places.len()
            );
        }
        let ignored = |place: &Place| Trial::test(place.name, || Ok(())).with_ignored_flag(true);
        let trials = places.iter().map(ignored).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }

    // From here on 'ignored' means that a place cannot be had.
    arguments.ignored = false;
    arguments.include_ignored = false;
    // One after the other: whatever process is left then is this place's.
    arguments.test_threads = Some(1);
    let stage = match stage() {
        Ok(stage) => Arc::new(stage),
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    install(&places, &arguments);
    let table = Arc::new(Mutex::new(Table::default()));
    let trials = places.into_iter().map(|place| {
        let (stage, table) = (Arc::clone(&stage), Arc::clone(&table));
        Trial::ignorable_test(place.name, move || {
            let (version, outcome) = try_place(&stage, &place);
            let (row, completion) = match outcome {
                Outcome::Right(words) => (Row::Right(words), Ok(Completion::Completed)),
                Outcome::Skipped(reason) => {
                    common::skipped(place.name, &reason);
                    let ignored = Completion::ignored_with(format!("skipped: {reason}"));
                    (Row::Skipped(reason), Ok(ignored))
                }
                Outcome::Wrong(wrong, printed) => {
                    let message = format!("{wrong:?}\nknown: {}\n{printed}", place.because);
                    (Row::Wrong(wrong), Err(message.into()))
                }
            };
            table.lock().expect("no trial panics with it").add(place.name, version, row);
            completion
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let table = table.lock().expect("no trial panics with it").markdown();
    eprintln!("{table}");
    let is_closed = Arc::into_inner(stage).map_or(Err("it is in use".into()), Stage::close);
    if let Err(reason) = is_closed {
        eprintln!("the program's folder cannot be removed: {reason}");
        return ExitCode::FAILURE;
    }
    let is_whole = conclusion.num_filtered_out == 0 && conclusion.num_failed == 0;
    if !document::put_if_asked("environments", is_whole, &table) {
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// The stage with a program that runs where nothing is around it. One that does not would make every place look as
/// if it could not be had.
fn stage() -> Result<Stage, String> {
    let stage = Stage::new(common::image())?;
    let printed = host::checked(Command::new(stage.program()).arg("-V"), Duration::from_secs(20))?;
    if !String::from_utf8_lossy(&printed).starts_with(common::NAME) {
        return Err("the program does not print its version".into());
    }
    Ok(stage)
}

/// Installs all packages at once, which is faster than one by one. Which cannot be had, each place finds out.
fn install(places: &[Place], arguments: &Arguments) {
    let is_wanted =
        |place: &&Place| arguments.filter.as_ref().is_none_or(|f| place.name.contains(f));
    let packages = places.iter().filter(is_wanted).filter_map(|place| place.package);
    let mut packages: Vec<&str> = packages.collect();
    packages.sort_unstable();
    packages.dedup();
    if let Err(reason) = host::install(&packages) {
        eprintln!("not all at once: {reason}");
    }
}

/// Builds the program for another architecture.
fn build_for(target: &str) -> Result<PathBuf, String> {
    if std::env::var_os("SECCOMP_NOTIFY_MIN").is_some() {
        return Err("SECCOMP_NOTIFY_MIN names a program of this architecture".into());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--release", "--target", target, "--target-dir"]).arg(&folder);
    host::checked(cargo.current_dir(host::project()), Duration::from_secs(200))?;
    Ok(folder.join(target).join("release").join(common::NAME))
}

/// The version of the place's package, or the kernel's.
fn version(place: &Place) -> String {
    let (mut command, name) = match place.package {
        Some(package) => {
            let mut query = Command::new("dpkg-query");
            query.args(["-W", "-f", "${Version}", package]);
            (query, package)
        }
        None => {
            let mut uname = Command::new("uname");
            uname.arg("-r");
            (uname, "Linux")
        }
    };
    let version = host::checked(&mut command, Duration::from_secs(20)).unwrap_or_default();
    format!("{name} {}", String::from_utf8_lossy(&version).trim()).trim().to_owned()
}

/// Tries a place as often as it asks for, until something is wrong. Returns its version and the outcome.
fn try_place(stage: &Stage, place: &Place) -> (String, Outcome) {
    let installed = host::install(place.package.as_slice());
    let version = version(place);
    let missing = if place.needs_root && !is_root() {
        Some("only root may".into())
    } else if matches!(place.expected, Expected::OnceKillable) && !has_killable() {
        Some("-w needs Linux 5.19".into())
    } else {
        installed.err()
    };
    if let Some(reason) = missing {
        return (version, Outcome::Skipped(reason));
    }
    if place.has_control
        && let Err(reason) = control(stage, place)
    {
        return (version, Outcome::Skipped(reason));
    }
    let mut outcome = run(stage, place);
    for _ in 1..place.times {
        if matches!(outcome, Ok(Outcome::Right(_))) {
            outcome = run(stage, place);
        }
    }
    (version, outcome.unwrap_or_else(Outcome::Skipped))
}

/// Whether this kernel has WAIT_KILLABLE_RECV.
fn has_killable() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(5), Some(19))
}

/// Whether the place can be had here: the program, which only has to print its version, is started there.
fn control(stage: &Stage, place: &Place) -> Result<(), String> {
    let case = Case::new(stage, place.seen, place.has_root, |_| vec!["-V".into()])?;
    let mut setup = (place.set_up)(&case)?;
    let running = Running::start(&mut setup.command, case.folder.path(), LIMIT)?;
    let ran = running.finish(&stage.programs());
    let [stdout, _] = streams(&setup, &ran);
    if stdout.contains(common::NAME) {
        return Ok(());
    }
    if ran.status.is_none() {
        return Err(format!("it did not end within {} s", LIMIT.as_secs()));
    }
    let said: Vec<&str> = ran.stderr.lines().chain(ran.stdout.lines()).collect();
    let said = said.iter().rev().find(|line| !line.is_empty()).copied();
    Err(format!("it does not run here: {}", said.unwrap_or("it prints nothing")))
}

/// The program's two streams.
fn streams(setup: &Setup, ran: &Ran) -> [String; 2] {
    match &setup.streams {
        None => [ran.stdout.clone(), ran.stderr.clone()],
        Some(files) => files.each_ref().map(|file| {
            let bytes = fs::read(file).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        }),
    }
}

/// Runs the program in a place once. An error says why the place cannot be had.
fn run(stage: &Stage, place: &Place) -> Result<Outcome, String> {
    let arguments = |path: &str| place.expected.arguments(path);
    let case = Case::new(stage, place.seen, place.has_root, arguments)?;
    let mut setup = (place.set_up)(&case)?;
    let running = Running::start(&mut setup.command, case.folder.path(), LIMIT)?;
    let mut done = Ok(true);
    if let Some((act, when)) = place.meanwhile {
        let subject = Subject {
            case: &case,
            cgroup: setup.cgroup.as_ref(),
            running: &running,
            is_interruptible: !matches!(place.expected, Expected::OnceKillable),
        };
        done = meanwhile::act(act, when, &subject);
    }
    let ran = running.finish(&stage.programs());
    let [stdout, stderr] = streams(&setup, &ran);
    let [stdout, stderr] = without_noise(place, &stdout, &stderr);
    let log = fs::read(case.file("log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let printed = format!(
        "status {:?}\n--- standard output\n{stdout}\n--- standard error\n{stderr}\n--- the tool's\n{}{}",
        ran.status(),
        ran.stdout,
        ran.stderr
    );
    let wrong = |wrong| Ok(Outcome::Wrong(wrong, printed.clone()));
    if ran.status.is_none() {
        return wrong(Wrong::Hung(format!("not ended after {} s", LIMIT.as_secs())));
    }
    if !ran.left_over.is_empty() {
        return wrong(Wrong::LeftOver(ran.left_over.join(", ")));
    }
    let was_enough = match done {
        Ok(was_enough) => was_enough,
        Err(Cannot::Here(reason)) => return Err(reason),
        Err(Cannot::Unexpected(reason)) => return wrong(Wrong::Reason(reason)),
    };
    if let Some(proof) = place.proof
        && ![&ran.stdout, &ran.stderr, &*log].iter().any(|text| text.contains(proof))
    {
        return Err(format!("it was not what it should be: no '{proof}'"));
    }
    if let Some(agent) = &setup.agent
        && place.package != Some("lxc")
        && !agent.has_listener()
    {
        return Err("the agent got no listener".into());
    }
    let root = stage.root().display().to_string();
    let came = Came {
        status: if place.hides_status { None } else { ran.status() },
        stdout: &stdout,
        stderr: &stderr,
        root: &root,
        is_made: case.is_made(),
    };
    match place.expected.check(&case.path, &came) {
        Ok(_) if !was_enough => Err("the program had measured before all was done".into()),
        Ok(words) => Ok(Outcome::Right(words)),
        Err(reason) => wrong(reason),
    }
}

/// The streams without the tool's own lines. What a terminal put into one is two again.
fn without_noise(place: &Place, stdout: &str, stderr: &str) -> [String; 2] {
    const ABOUT: &str = "Target process: about to make directory ";
    let is_noise = |line: &str| place.noise.iter().any(|start| line.starts_with(start));
    let clean = |text: &str| {
        // What a kernel prints about its own end.
        let text = text.split("Kernel panic").next().unwrap_or_default().replace("\r\n", "\n");
        if place.noise.is_empty() {
            return text;
        }
        let lines: Vec<&str> = text.lines().filter(|line| !is_noise(line)).collect();
        let mut kept = String::new();
        for (at, line) in lines.iter().enumerate() {
            // The tool's empty lines too: the program's stand before announcements.
            let next = lines.get(at + 1).copied().unwrap_or_default();
            if !line.is_empty() || next.starts_with(ABOUT) {
                kept += line;
                kept.push('\n');
            }
        }
        kept
    };
    let [mut stdout, mut stderr] = [clean(stdout), clean(stderr)];
    if place.is_terminal {
        let is_error = |line: &&str| line.starts_with("Target process: mkdir: ");
        stderr = stdout.split_inclusive('\n').filter(is_error).collect();
        stdout = stdout.split_inclusive('\n').filter(|line| !is_error(line)).collect();
    }
    [stdout, stderr]
}
