//! What must come out in a place, and whether it did. Nothing here starts a process.

use crate::common::probe::{Lines, Said, THINGS};
use crate::transcript::{self, Expected as Transcript};

/// A hint of the program: the line below the one that names a call and its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    Emulator,
    Listener,
    Memory,
    Sandbox,
    Seccomp,
}

/// A part of each hint's text by which the hint is known. The whole texts are in src/messages.rs.
const HINTS: &[(Hint, &str)] = &[
    (Hint::Emulator, "emulator (qemu-user, valgrind)"),
    (Hint::Listener, "another supervisor already listens"),
    (Hint::Memory, "forbidden by a sandbox or ptrace_scope"),
    (Hint::Sandbox, "a sandbox does not allow a call that this program needs"),
    (Hint::Seccomp, "needs Linux 5.0"),
];

impl Hint {
    /// The whole text, as the probe gives it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Emulator => {
                "no seccomp in this kernel, sandbox or emulator (qemu-user, valgrind)"
            }
            Self::Seccomp => "needs Linux 5.0 with CONFIG_SECCOMP_FILTER",
            _ => HINTS.iter().find(|(hint, _)| *hint == self).expect("each has one").1,
        }
    }
}

/// A part of the line of a child whose parent is in another PID namespace.
const OTHER_NAMESPACE: &str = "parent in another PID namespace: unshare --pid needs --fork";

/// The exit status that says that this system cannot do it.
const UNSUPPORTED: i32 = 77;

const GOT: &str = transcript::GOT;
/// How long the tracer waits where something is done meanwhile: a debugger may need a second to attach.
const SECONDS: &str = "2";
const DELAY: &str = "Tracer: delaying for 2 seconds: 2 1";
const WITHDRAWN: &str = "Tracer: notification ID check (post-delay): target has died!!!!!!!!!!!";
const ENOENT: &str = "Tracer: response failed with ENOENT; perhaps target process's syscall was interrupted by signal?";

/// What must come out. PATH stands for the directory's path; the arguments are those of [`Expected::arguments`].
#[derive(Clone, Debug)]
pub enum Expected {
    /// The demonstration works: the transcript is right, and the directory is there.
    Works,
    /// The same without `-K`.
    WorksAndKills,
    /// The place answers the call with this error, and no notification comes.
    Answered(&'static str),
    /// The place answers the call with this value; no notification comes, and no directory is made.
    Pretended(u32),
    /// The notification for the path comes, shows this path, and is answered with this error.
    Refused { shown: &'static str, error: &'static str },
    /// The notification is interrupted while the tracer waits, comes again, and the directory is made.
    Twice,
    /// Nothing interrupts the call while the tracer waits.
    Once,
    /// The same with `-w`.
    OnceKillable,
    /// The measuring mode prints its report and nothing else.
    Report,
    /// This system cannot do it: the line that names the call and its error, and the hint below.
    Unsupported(&'static str, Hint),
    /// A sandbox kills this child for a call.
    Killed(&'static str),
    /// The parent is in another PID namespace than its children; `-K` is given or not.
    OtherNamespace { keep: bool },
    /// The probe: what does not work there, each with what is said of it. All else works that this kernel has.
    Probed(&'static [(&'static str, &'static str)]),
    /// The tool ends the program while the tracer waits, and has this status itself.
    Ended(i32),
}

/// What is wrong, by the table's columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    Hung(String),
    LeftOver(String),
    Reason(String),
    Status(String),
}

/// What came out.
pub struct Came<'a> {
    /// The tool's exit status, 128 and more if a signal ended the tool; `None` if it says nothing about the program.
    pub status: Option<i32>,
    pub stdout: &'a str,
    pub stderr: &'a str,
    /// The root directory that the stage has.
    pub root: &'a str,
    /// Whether the directory is there; `None` if that cannot be seen from outside.
    pub is_made: Option<bool>,
}

/// How many calls the measuring mode makes.
const COUNT: &str = "300000";

impl Expected {
    /// The program's arguments for a run of which this is expected.
    pub fn arguments(&self, path: &str) -> Vec<String> {
        let words: &[&str] = match self {
            Self::WorksAndKills => &[path, "/etc/refused"],
            // After `/bye` the calls would fail with another error.
            Self::Answered(_) | Self::Pretended(_) | Self::Refused { .. } => &["-K", path],
            Self::Twice | Self::Once => &["-K", "-d", SECONDS, path],
            Self::OnceKillable => &["-Kw", "-d", SECONDS, path],
            Self::Report => &["-K", "-b", COUNT, "/etc/refused"],
            Self::Probed(_) => &["-p"],
            Self::Ended(_) => &["-K", "-d", "30", path],
            Self::OtherNamespace { keep: false } => &[path, "/bye"],
            Self::Works
            | Self::Unsupported(..)
            | Self::Killed(_)
            | Self::OtherNamespace { keep: true } => &["-K", path, "/bye"],
        };
        words.iter().map(|&word| word.to_owned()).collect()
    }

    /// Compares what came out with what must. Returns the outcome in words.
    pub fn check(&self, path: &str, came: &Came) -> Result<String, Wrong> {
        let status = match self {
            Self::Unsupported(..) | Self::Killed(_) | Self::OtherNamespace { .. } => UNSUPPORTED,
            Self::Ended(status) => *status,
            Self::Probed(closed) => probe(closed).status(),
            _ => 0,
        };
        if came.status.is_some_and(|came| came != status) {
            let came = came.status.unwrap_or_default();
            return Err(Wrong::Status(format!("status {came} instead of {status}")));
        }
        let is_made = matches!(
            self,
            Self::Works | Self::WorksAndKills | Self::Twice | Self::Once | Self::OnceKillable
        );
        self.check_lines(path, came)
            .and_then(|outcome| match came.is_made {
                Some(made) if made != is_made => Err(if made {
                    "a directory was made".into()
                } else {
                    "the directory is not there".to_owned()
                }),
                _ => Ok(outcome),
            })
            .map_err(Wrong::Reason)
    }

    fn check_lines(&self, path: &str, came: &Came) -> Result<String, String> {
        let about = format!("Target process: about to make directory \"{path}\"");
        let success = format!("Target process: SUCCESS: mkdir(2) returned = {}", path.len());
        let asked = format!("Tracer: mkdir(\"{path}\", 600)");
        let whole = |target: &[&str], tracer: &[&str], parent: &[&str], errors: &[&str]| {
            let target = [&[transcript::TARGET_PID], target, &[transcript::TARGET_ENDS]].concat();
            let tracer = [&[transcript::TRACER_PID], tracer].concat();
            let lines = Transcript { target: &target, tracer: &tracer, parent, errors };
            transcript::check(came.stdout, came.stderr, &lines)
        };
        let ended = [transcript::ENDED];
        match self {
            Self::Works => {
                transcript::main_job(came.stdout, came.stderr, path)?;
                Ok("worked".into())
            }
            Self::WorksAndKills => {
                let refused = "Target process: about to make directory \"/etc/refused\"";
                let refused_too = "Tracer: mkdir(\"/etc/refused\", 600)";
                whole(
                    &[&about, &success, refused],
                    &[GOT, &asked, GOT, refused_too],
                    &[transcript::ENDED, transcript::KILLING],
                    &[transcript::REFUSED],
                )?;
                Ok("worked".into())
            }
            Self::Answered(error) => {
                let error = format!("Target process: mkdir: {error}");
                whole(&[&about], &[], &ended, &[&error])?;
                Ok(format!("the place's answer: `{}`", &error["Target process: ".len()..]))
            }
            Self::Pretended(value) => {
                let success = format!("Target process: SUCCESS: mkdir(2) returned = {value}");
                whole(&[&about, &success], &[], &ended, &[])?;
                Ok(format!("the place's answer: `mkdir(2) returned = {value}`"))
            }
            Self::Refused { shown, error } => {
                let shown = shown.replace("{root}", came.root).replace("{path}", path);
                let shown = format!("Tracer: mkdir(\"{shown}\", 600)");
                if !came.stdout.lines().any(|line| line == shown) {
                    return Err(format!("the tracer should say\n  {shown}"));
                }
                // In the order of the lines this path stands for the one that the target announces.
                let stdout = came.stdout.replace(&shown, &asked);
                let error = format!("Target process: mkdir: {error}");
                let lines = Transcript {
                    target: &[transcript::TARGET_PID, &about, transcript::TARGET_ENDS],
                    tracer: &[transcript::TRACER_PID, GOT, &asked],
                    parent: &ended,
                    errors: &[&error],
                };
                transcript::check(&stdout, came.stderr, &lines)?;
                Ok(format!("worked, with the answer `{}`", &error["Target process: ".len()..]))
            }
            Self::Twice => {
                let tracer = [GOT, DELAY, ENOENT, GOT, DELAY, &asked];
                whole(&[&about, &success], &tracer, &ended, &[WITHDRAWN])?;
                Ok("worked; the call came again".into())
            }
            Self::Once | Self::OnceKillable => {
                whole(&[&about, &success], &[GOT, DELAY, &asked], &ended, &[])?;
                Ok("worked".into())
            }
            Self::Report => {
                is_report(came)?;
                Ok("measured".into())
            }
            Self::Unsupported(line, hint) => unsupported(came, line, *hint),
            Self::Killed(child) => {
                let line = format!("Parent: {child} was killed by signal 31");
                unsupported(came, &line, Hint::Sandbox)
            }
            Self::OtherNamespace { .. } => other_namespace(came),
            Self::Probed(closed) => {
                let lines = Lines::read(came.stdout)?;
                let wanted = probe(closed);
                if lines.said != wanted.said {
                    return Err(format!("the lines should say\n  {:?}", wanted.said));
                }
                if !came.stderr.is_empty() {
                    return Err("standard error should be empty".into());
                }
                Ok(match closed {
                    [] => "all that this kernel has".into(),
                    [first, ..] => format!("{}: {}", first.0, first.1),
                })
            }
            Self::Ended(status) => {
                let last = came.stdout.lines().last().unwrap_or_default();
                let is_delaying = last.starts_with("Tracer: delaying for 30 seconds: 30");
                if !is_delaying || !came.stderr.is_empty() {
                    return Err("it should be ended in the midst of the delay".into());
                }
                Ok(format!("ended, status {status}"))
            }
        }
    }
}

/// What the probe must say: of what is closed there, and of what cannot be tried therefore. This kernel has what its version
/// says.
fn probe(closed: &[(&str, &str)]) -> Lines {
    let release = nix::sys::utsname::uname().expect("uname").release().to_owned();
    let release = release.to_string_lossy().into_owned();
    let numbers: Vec<u32> = release.split(['.', '-']).map_while(|it| it.parse().ok()).collect();
    let mut failed: Vec<&str> = Vec::new();
    let mut lines = Lines::default();
    for thing in &THINGS {
        let mut needs = thing.needs;
        let mut obstacle = None;
        while let Some(need) = needs {
            obstacle = failed.iter().find(|it| **it == need).or(obstacle);
            needs = THINGS.iter().find(|other| other.name == need).and_then(|it| it.needs);
        }
        let said = closed.iter().find(|(name, _)| *name == thing.name).map(|(_, said)| *said);
        let is_known = numbers[..2] >= [thing.since.0, thing.since.1][..];
        lines.said.push(match (obstacle, said) {
            (Some(other), _) => Said::Untried((*other).into()),
            (None, Some(said)) => {
                failed.push(thing.name);
                Said::read(said).expect("a line of the known forms")
            }
            (None, None) => {
                assert!(is_known, "this kernel is too old for the table");
                Said::Yes
            }
        });
    }
    lines
}

/// The report of the measuring mode, and nothing on standard error.
fn is_report(came: &Came) -> Result<(), String> {
    let lines: Vec<&str> = came.stdout.lines().collect();
    let [executed, "", total, "", each, rate] = lines[..] else {
        return Err("standard output should be the report, and nothing else".into());
    };
    let is_report = executed == format!("# Executed {COUNT} system calls")
        && total.trim_start().starts_with("Total time: ")
        && each.ends_with(" usecs/op")
        && rate.ends_with(" ops/sec");
    if !is_report {
        return Err("the report should be that of perf bench sched seccomp-notify".into());
    }
    if !came.stderr.is_empty() {
        return Err("standard error should be empty".into());
    }
    Ok(())
}

/// The line, the hint right below it, the parent's line on the child; beside them only the target's answers.
fn unsupported(came: &Came, line: &str, hint: Hint) -> Result<String, String> {
    let part = HINTS.iter().find(|(of, _)| *of == hint).map_or("", |(_, part)| part);
    let mut lines: Vec<&str> = came.stderr.lines().collect();
    let Some(at) = lines.iter().position(|each| *each == line) else {
        return Err(format!("standard error should have the line '{line}'"));
    };
    let below = lines.get(at + 1).copied().unwrap_or_default();
    if !below.contains(part) {
        return Err(format!("the hint should have '{part}' in it"));
    }
    lines.drain(at..at + 2);
    let child = match line.split_once(':') {
        Some(("Target process", _)) => Some("target process"),
        Some(("Tracer", _)) => Some("tracer"),
        _ => None,
    };
    if let Some(child) = child {
        let parents = format!("Parent: {child} failed with status {UNSUPPORTED}");
        let Some(at) = lines.iter().position(|each| *each == parents) else {
            return Err(format!("standard error should have the line '{parents}'"));
        };
        lines.remove(at);
    }
    // A target that lives on without a tracer tells its calls' answers.
    lines.retain(|line| !line.starts_with("Target process: mkdir: "));
    if let Some(other) = lines.first() {
        return Err(format!("standard error should not have the line '{other}'"));
    }
    if came.stdout.contains("SUCCESS") {
        return Err("no directory should be made".into());
    }
    Ok(format!("{UNSUPPORTED}: `{line}`, {below}"))
}

/// The line in words of one child or of both, and the parent's on them.
fn other_namespace(came: &Came) -> Result<String, String> {
    let failed = ["target process", "tracer"]
        .map(|child| format!("Parent: {child} failed with status {UNSUPPORTED}"));
    // The target is the namespace's first process: when it ends, the kernel kills the others.
    let killed = "Parent: tracer was killed by signal 9";
    let mut told = None;
    for line in came.stderr.lines() {
        if line.contains(OTHER_NAMESPACE) {
            told = Some(line.split_once(": ").map_or(line, |(_, rest)| rest));
        } else if line != killed && !failed.iter().any(|failed| line == failed) {
            return Err(format!("standard error should not have the line '{line}'"));
        }
    }
    match told {
        Some(told) => Ok(format!("{UNSUPPORTED}: {told}")),
        None => Err(format!("standard error should say '{OTHER_NAMESPACE}'")),
    }
}
