//! Runs the program with random command lines: no line makes it crash or hang, and each line has the result of a plain model
//! of the grammar.
//!
//! Other files test what the options do. The lines that start processes have few directories and no delay, so that many can
//! be run.

mod common;
mod model;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use model::{Verdict, model};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// The time limit of one run.
const LIMIT: Duration = Duration::from_secs(10);

/// A random command line. Most are made of options that the program knows, so that they reach more of its code.
fn line(random: &mut Rng, directory: &Path) -> Vec<Vec<u8>> {
    const PIECES: &[&str] = &[
        "-d",
        "-d",
        "-d0",
        "-d 0",
        "-d00",
        "-d1",
        "-d4294967295",
        "-d4294967296",
        "-d-1",
        "-d+1",
        "-d0x1",
        "-f",
        "-f",
        "-fe",
        "-ft",
        "-f e",
        "-fx",
        "-fet",
        "-K",
        "-K",
        "-KK",
        "-w",
        "-p",
        "-p",
        "-pp",
        "-pK",
        "-c",
        "-Kw",
        "-cKd0",
        "-Kft",
        "-b",
        "-b1",
        "-b3",
        "-b0",
        "-b2x",
        "-b4294967296",
        "-b99999999999999999999",
        "-h",
        "-V",
        "-Kh",
        "-hV",
        "--",
        "--",
        "-",
        "---",
        "--help",
        "--version",
        "--hel",
        "--v",
        "--x",
        "--help=",
        "--delay",
        "e",
        "t",
        "0",
        "1",
        "",
        "-Z",
        "-dfb",
        "-fKe",
        "-\u{7f}",
        "-\n",
        "-\"",
        "-é",
        "/nope/y",
        "/bye",
        "x",
        "./x",
        "a/../b",
    ];
    let count = random.usize(0..7);
    let mut arguments: Vec<Vec<u8>> = (0..count)
        .map(|_| match random.u8(0..20) {
            0 => {
                let length = random.usize(0..12);
                let mut bytes: Vec<u8> = (0..length).map(|_| random.u8(1..=255)).collect();
                // No absolute path: with -c the target would make it there.
                if bytes.first() == Some(&b'/') {
                    bytes[0] = b'_';
                }
                bytes
            }
            1 => {
                let length = random.usize(1..6);
                let letter = |_| *random.choice(b"dfbKwcphV-0e ").unwrap();
                [b'-'].into_iter().chain((0..length).map(letter)).collect()
            }
            2..5 => directory.join(random.alphabetic().to_string()).into_os_string().into_vec(),
            _ => random.choice(PIECES).unwrap().as_bytes().to_vec(),
        })
        .collect();
    // A line that takes too long becomes a usage error.
    if let Verdict::Run(plan) = model(&arguments)
        && (plan.delay > 0 && plan.second != Some('e') || plan.count > 100)
    {
        arguments.insert(0, b"-Z".to_vec());
    }
    arguments
}

/// The result of a run.
struct Outcome {
    status: Option<i32>,
    signal: Option<i32>,
    out: Vec<u8>,
    err: Vec<u8>,
}

/// Compares the result of a run with the model.
fn compare(verdict: &Verdict, outcome: &Outcome, usage: &[u8]) -> Result<(), String> {
    let status = outcome.status.ok_or(format!("signal {:?}", outcome.signal))?;
    let is = |condition: bool, what: &str| if condition { Ok(()) } else { Err(what.to_owned()) };
    match verdict {
        Verdict::Help => {
            is(status == 0, "status")?;
            is(outcome.out == usage && outcome.err.is_empty(), "the usage")
        }
        Verdict::Version => {
            let version = format!("{} {}\n", common::NAME, env!("CARGO_PKG_VERSION"));
            is(status == 0, "status")?;
            is(outcome.out == version.as_bytes() && outcome.err.is_empty(), "the version")
        }
        Verdict::Wrong(told) => {
            is(status == 1, "status")?;
            is(outcome.out.is_empty(), "nothing is to be started")?;
            is(outcome.err == *told, "what is said")
        }
        Verdict::Probe => {
            is(matches!(status, 0 | 77), "status")?;
            let out = String::from_utf8_lossy(&outcome.out);
            is(out.starts_with("system: ") && out.lines().count() == 16, "the lines")
        }
        Verdict::Run(plan) if plan.count > 0 => {
            // Status 1: calls after /bye have wrong answers.
            is(matches!(status, 0 | 1), "status")?;
            let report = String::from_utf8_lossy(&outcome.out);
            is(report.contains("ops/sec"), "the report")
        }
        Verdict::Run(plan) => {
            is(status == 0, "status")?;
            let out = String::from_utf8_lossy(&outcome.out);
            let announced = out.matches("\nTarget process: about to make directory \"").count();
            is(announced == plan.directories.len(), "the announcements")?;
            let end = match plan.keep {
                true => "Parent: target process has terminated\n",
                false => "Parent: target process has terminated\nParent: killing tracer\n",
            };
            is(out.contains("Target process: terminating\n"), "the target's end")?;
            // Not the end of the output: without -K the tracer may write its first line after it.
            is(out.contains(end), "the parent's end")
        }
    }
}

/// A file for a standard stream. All runs of a thread use the same one.
struct Stream(File);

impl Stream {
    fn new() -> Self {
        Self(memfd_create("stream", MFdFlags::MFD_CLOEXEC).expect("a file in memory").into())
    }

    fn for_child(&self) -> Stdio {
        // Opened again with O_APPEND, so that no process overwrites another's line.
        let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&self.0.as_fd()));
        File::options().append(true).open(own).expect("the file again").into()
    }

    fn take(&mut self) -> Vec<u8> {
        let mut bytes = vec![];
        self.0.rewind().expect("its beginning");
        self.0.read_to_end(&mut bytes).expect("its contents");
        self.0.set_len(0).expect("an empty file");
        bytes
    }
}

/// Runs the program with `count` random command lines.
fn run_lines(count: usize) {
    let image = common::image();
    let seed = env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("{count} random command lines, SEED={seed}");
    nix::sys::prctl::set_child_subreaper(true).expect("PR_SET_CHILD_SUBREAPER is known");
    let help = Command::new(image).arg("-h").output().expect("the program");
    let usage = help.stdout;
    assert!(usage.starts_with(b"usage: "));

    let begin = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let [done, wrong, started, informed] = [const { AtomicUsize::new(0) }; 4];
    let bad = Mutex::new(vec![]);
    let over = AtomicBool::new(false);
    let running: Vec<Mutex<Option<(Instant, u32)>>> =
        (0..threads).map(|_| Mutex::default()).collect();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|at| {
                let (running, done, bad, usage) = (&running[at], &done, &bad, &usage);
                let (wrong, started, informed) = (&wrong, &started, &informed);
                scope.spawn(move || {
                    let mut random = Rng::with_seed(seed.wrapping_add(at as u64));
                    let directory =
                        tempfile::Builder::new().prefix("snm-lines-").tempdir_in("/tmp").unwrap();
                    let (mut out, mut err) = (Stream::new(), Stream::new());
                    while done.fetch_add(1, Ordering::Relaxed) < count {
                        let arguments = line(&mut random, directory.path());
                        let verdict = model(&arguments);
                        match verdict {
                            Verdict::Wrong(_) => wrong,
                            Verdict::Run(_) | Verdict::Probe => started,
                            _ => informed,
                        }
                        .fetch_add(1, Ordering::Relaxed);
                        let shown: Vec<OsString> =
                            arguments.iter().map(|it| OsStr::from_bytes(it).to_owned()).collect();
                        // With -c, the target makes relative paths in its working directory.
                        let mut child = Command::new(image)
                            .args(&shown)
                            .current_dir(directory.path())
                            .stdin(Stdio::null())
                            .stdout(out.for_child())
                            .stderr(err.for_child())
                            .spawn()
                            .expect("the program");
                        *running.lock().unwrap() = Some((Instant::now(), child.id()));
                        let status = child.wait().expect("its end");
                        *running.lock().unwrap() = None;
                        let outcome = Outcome {
                            status: status.code(),
                            signal: status.signal(),
                            out: out.take(),
                            err: err.take(),
                        };
                        if let Err(why) = compare(&verdict, &outcome, usage) {
                            let said = String::from_utf8_lossy(&outcome.out).into_owned()
                                + &String::from_utf8_lossy(&outcome.err);
                            bad.lock().unwrap().push(format!(
                                "{why}: {shown:?}: {verdict:?}, status {:?}, signal {:?}\n{said}",
                                outcome.status, outcome.signal
                            ));
                        }
                    }
                })
            })
            .collect();
        // Kills a run that hangs; the signal in its result shows that.
        let over = &over;
        let running = &running;
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(200));
                for running in running {
                    if let Some((since, pid)) = *running.lock().unwrap()
                        && since.elapsed() > LIMIT
                    {
                        let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
                    }
                }
            }
        });
        for worker in workers {
            worker.join().expect("a worker");
        }
        over.store(true, Ordering::Relaxed);
    });

    let bad = bad.into_inner().unwrap();
    let hung = bad.iter().filter(|it| it.contains("signal Some(9)")).count();
    let crashed = bad.iter().filter(|it| it.contains("status None")).count() - hung;
    let left = waitpid(None, Some(WaitPidFlag::WNOHANG));
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{} usage errors, {} runs, {} questions: {crashed} crashed, {hung} hung, {} otherwise wrong, \
         processes left: {left:?}; {seconds:.1} s",
        wrong.into_inner(),
        started.into_inner(),
        informed.into_inner(),
        bad.len() - hung - crashed
    );
    for bad in bad.iter().take(5) {
        println!("{bad}");
    }
    assert!(bad.is_empty());
    assert_eq!(left, Err(Errno::ECHILD), "something was left behind");
}

fn count(default: usize) -> usize {
    env::var("COMMAND_LINES")
        .map_or(default, |count| count.parse().expect("COMMAND_LINES: a number"))
}

#[test]
fn thousands_of_random_command_lines_are_as_the_model_says() {
    run_lines(count(common::sweep::count(20_000)));
}

/// The environment variable `COMMAND_LINES` sets another number.
#[test]
#[ignore = "takes minutes"]
fn a_million_random_command_lines_are_as_the_model_says() {
    run_lines(count(1_000_000));
}
