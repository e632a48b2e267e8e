//! The cases that are run on each kernel, in their order. A case has a shell function for the machine, which uses the functions
//! of `init.sh`, and a check of its report.

use std::ffi::OsStr;

use crate::common::probe::{Lines, THINGS};
use crate::common::promises::{self, Promise};
use crate::images::Architecture;
use crate::lost_value::Restorer;
use crate::machine::Report;
use crate::transcript::{
    self, ENDED, Expected, GOT, KILLING, REFUSED, TARGET_ENDS, TARGET_PID, TRACER_ENDS, TRACER_PID,
    check,
};
use crate::watched;

/// The kernel that a case ran on.
#[derive(Clone)]
pub struct Kernel {
    pub architecture: &'static Architecture,
    /// The machine's name, as the kernel itself reports it.
    pub machine: &'static str,
    /// What the firmware adds to the arguments of the first process.
    pub appended: Option<&'static str>,
    pub version: (u32, u32),
    /// Whether the output is checked as that of a kernel that loses the answer's value.
    pub loses_value: bool,
    /// The release that the kernel itself reports.
    pub release: String,
}

impl Kernel {
    /// Whether it is this version or a later one.
    pub fn since(&self, major: u32, minor: u32) -> bool {
        self.version >= (major, minor)
    }
}

type Outcome = Result<(), String>;

#[derive(Clone, Copy)]
pub struct Case {
    /// The end of the trial's name, and the name of the shell function.
    pub name: &'static str,
    script: &'static str,
    check: Check,
}

#[derive(Clone, Copy)]
enum Check {
    Case(fn(&Kernel, &Report) -> Outcome),
    /// A promise of tests/common/promises.rs.
    Promise(fn(&OsStr) -> Promise),
}

impl Case {
    /// Checks the case's report.
    pub fn check(&self, kernel: &Kernel, report: &Report) -> Outcome {
        match self.check {
            Check::Case(check) if kernel.loses_value => {
                let stdout = Restorer::default().restore(&report.stdout);
                check(kernel, &Report { stdout, ..report.clone() })
            }
            Check::Case(check) => check(kernel, report),
            Check::Promise(of) => {
                ended(report, 0)?;
                silent(report)?;
                watched::check(of, kernel, &report.stdout, &report.facts)
            }
        }
    }

    /// Whether its standard output is text, and not records.
    pub fn is_text(&self) -> bool {
        matches!(self.check, Check::Case(_))
    }
}

/// All cases, in their order: the promises about the transcript, and the cases that are run only on these machines.
pub fn all() -> impl Iterator<Item = Case> {
    let promised = |&(name, of)| Case { name, script: "watched $1", check: Check::Promise(of) };
    promises::ALL.iter().map(promised).chain(CASES.iter().copied())
}

const fn case(
    name: &'static str,
    script: &'static str,
    check: fn(&Kernel, &Report) -> Outcome,
) -> Case {
    Case { name, script, check: Check::Case(check) }
}

/// The program as the first process of the machine. This is a separate boot, with only the program and an empty /tmp in the
/// initramfs.
pub const AS_INIT: &str = "the_program_as_init";
/// The program's arguments, on the kernel's command line.
pub const AS_INIT_PARAMETERS: &str = "rdinit=/seccomp-notify-min -- -K /tmp/x /bye";

/// The case that needs a program of another architecture, which may not be available.
pub const FOREIGN: &str = "a_program_of_another_architecture_under_the_filter";

const CASES: &[Case] = &[
    case("main_job", "run -K /tmp/x /bye; facts /tmp/x /bye", |_, report| {
        ended(report, 0)?;
        found(report, &["/tmp/x: directory 600 root", "/bye: absent"])?;
        main_job(report, "/tmp/x")
    }),
    case(
        "several_directories",
        "run /tmp/a /etc/b /tmp/a /tmp/nosuch/c /tmp/../etc/d /tmp/deeper /tmp/deeper/e /bye /tmp/late
         facts /tmp/a /etc/b /etc/d /tmp/deeper/e /tmp/late",
        |_, report| {
            ended(report, 0)?;
            found(
                report,
                &[
                    "/tmp/a: directory 600 root",
                    "/etc/b: absent",
                    "/etc/d: absent",
                    "/tmp/deeper/e: directory 600 root",
                    "/tmp/late: absent",
                ],
            )?;
            check(
                &report.stdout,
                &report.stderr,
                &Expected {
                    target: &[
                        TARGET_PID,
                        "Target process: about to make directory \"/tmp/a\"",
                        "Target process: SUCCESS: mkdir(2) returned = 6",
                        "Target process: about to make directory \"/etc/b\"",
                        "Target process: about to make directory \"/tmp/a\"",
                        "Target process: about to make directory \"/tmp/nosuch/c\"",
                        "Target process: about to make directory \"/tmp/../etc/d\"",
                        "Target process: about to make directory \"/tmp/deeper\"",
                        "Target process: SUCCESS: mkdir(2) returned = 11",
                        "Target process: about to make directory \"/tmp/deeper/e\"",
                        "Target process: SUCCESS: mkdir(2) returned = 13",
                        "Target process: about to make directory \"/bye\"",
                        "Target process: about to make directory \"/tmp/late\"",
                        TARGET_ENDS,
                    ],
                    tracer: &[
                        TRACER_PID,
                        GOT,
                        "Tracer: mkdir(\"/tmp/a\", 600)",
                        GOT,
                        "Tracer: mkdir(\"/etc/b\", 600)",
                        GOT,
                        "Tracer: mkdir(\"/tmp/a\", 600)",
                        GOT,
                        "Tracer: mkdir(\"/tmp/nosuch/c\", 600)",
                        GOT,
                        "Tracer: mkdir(\"/tmp/../etc/d\", 600)",
                        GOT,
                        "Tracer: mkdir(\"/tmp/deeper\", 600)",
                        GOT,
                        "Tracer: mkdir(\"/tmp/deeper/e\", 600)",
                        GOT,
                        "Tracer: mkdir(\"/bye\", 600)",
                        TRACER_ENDS,
                    ],
                    parent: &[ENDED, KILLING],
                    errors: &[
                        REFUSED,
                        "Target process: mkdir: File exists",
                        "Target process: mkdir: No such file or directory",
                        REFUSED,
                        REFUSED,
                        "Target process: mkdir: Function not implemented",
                    ],
                },
            )
        },
    ),
    case("measuring", "run -b 200 /nope", |_, report| {
        ended(report, 0)?;
        silent(report)?;
        measured(&report.stdout, 200)
    }),
    case(
        "continue_flag",
        "run -c -K /tmp/x /made /bye; facts /tmp/x /made /bye; rm -rf /made",
        |_, report| {
            ended(report, 0)?;
            found(
                report,
                &["/tmp/x: directory 600 root", "/made: directory 600 root", "/bye: absent"],
            )?;
            check(
                &report.stdout,
                &report.stderr,
                &Expected {
                    target: &[
                        TARGET_PID,
                        "Target process: about to make directory \"/tmp/x\"",
                        "Target process: SUCCESS: mkdir(2) returned = 6",
                        "Target process: about to make directory \"/made\"",
                        // The kernel made it, not the tracer.
                        "Target process: SUCCESS: mkdir(2) returned = 0",
                        "Target process: about to make directory \"/bye\"",
                        TARGET_ENDS,
                    ],
                    tracer: &[
                        TRACER_PID,
                        GOT,
                        "Tracer: mkdir(\"/tmp/x\", 600)",
                        GOT,
                        "Tracer: mkdir(\"/made\", 600)",
                        GOT,
                        "Tracer: mkdir(\"/bye\", 600)",
                        TRACER_ENDS,
                    ],
                    parent: &[ENDED],
                    errors: &[REFUSED],
                },
            )
        },
    ),
    case("killable_wait", "run -w -K /tmp/x /bye; facts /tmp/x", |kernel, report| {
        if !kernel.since(5, 19) {
            found(report, &["/tmp/x: absent"])?;
            return refused(report, "5.19");
        }
        ended(report, 0)?;
        found(report, &["/tmp/x: directory 600 root"])?;
        main_job(report, "/tmp/x")
    }),
    case(
        "signal_during_the_delay",
        "background -K -d 2 /tmp/x
         await delaying; kill -INT $(number_of 'Target process'); collect; facts /tmp/x",
        |_, report| {
            ended(report, 0)?;
            found(report, &["/tmp/x: absent"])?;
            one_path(
                report,
                &["Target process: received signal"],
                &[GOT, "Tracer: delaying for 2 seconds: 2 1", GONE],
                &[ENDED],
                &["Target process: mkdir: Interrupted system call", DIED_POST_DELAY],
            )
        },
    ),
    // Linux 5.19 and later: a signal with a handler does not interrupt a call that was received.
    case(
        "signal_during_the_delay_of_a_killable_wait",
        "background -w -K -d 2 /tmp/x
         await delaying; kill -INT $(number_of 'Target process'); collect; facts /tmp/x",
        |kernel, report| {
            if !kernel.since(5, 19) {
                return refused(report, "5.19");
            }
            ended(report, 0)?;
            found(report, &["/tmp/x: directory 600 root"])?;
            one_path(
                report,
                &[
                    "Target process: received signal",
                    "Target process: SUCCESS: mkdir(2) returned = 6",
                ],
                &[GOT, "Tracer: delaying for 2 seconds: 2 1", "Tracer: mkdir(\"/tmp/x\", 600)"],
                &[ENDED],
                &[],
            )
        },
    ),
    case(
        "target_killed_during_the_delay",
        "background -K -d 2 /tmp/x
         await delaying; kill -KILL $(number_of 'Target process'); collect; facts /tmp/x",
        |_, report| {
            ended(report, 1)?;
            found(report, &["/tmp/x: absent"])?;
            check(
                &report.stdout,
                &report.stderr,
                &Expected {
                    target: &[TARGET_PID, "Target process: about to make directory \"/tmp/x\""],
                    tracer: &[
                        TRACER_PID,
                        GOT,
                        "Tracer: delaying for 2 seconds: 2 1",
                        GONE,
                    ],
                    parent: &[ENDED],
                    errors: &[DIED_POST_DELAY, "Parent: target process was killed by signal 9"],
                },
            )
        },
    ),
    case(
        "tracer_killed_during_the_delay",
        "background -d 20 /tmp/x
         await delaying; kill -KILL $(number_of Tracer); collect; facts /tmp/x",
        |_, report| {
            ended(report, 1)?;
            found(report, &["/tmp/x: absent"])?;
            told(report, "Target process: mkdir: Function not implemented")?;
            told(report, "Parent: tracer was killed by signal 9")
        },
    ),
    case(
        "parent_killed_during_the_delay",
        "background -d 30 /tmp/x
         await delaying; kill -KILL $job; collect
         await_none; echo \"left: $(ours)\" >&3; facts /tmp/x",
        |_, report| {
            ended(report, 128 + 9)?;
            found(report, &["left: ", "/tmp/x: absent"])
        },
    ),
    case(
        "no_proc",
        "unshare -m sh -c 'umount /proc && exec /seccomp-notify-min -K /tmp/x /bye'; status=$?
         facts /tmp/x",
        |_, report| {
            ended(report, 0)?;
            found(report, &["/tmp/x: directory 600 root"])?;
            main_job(report, "/tmp/x")
        },
    ),
    case("no_tmp", "rmdir /tmp; run -K /tmp/x /bye; facts /tmp", |_, report| {
        ended(report, 0)?;
        found(report, &["/tmp: absent"])?;
        beneath_tmp_fails(report, "No such file or directory")
    }),
    case(
        "read_only_tmp",
        "unshare -m sh -c 'mount -t tmpfs -o ro empty /tmp && exec /seccomp-notify-min -K /tmp/x /bye'
         status=$?",
        |_, report| {
            ended(report, 0)?;
            beneath_tmp_fails(report, "Read-only file system")
        },
    ),
    case(
        "link_out_of_tmp",
        "ln -s /etc /tmp/out; run -K /tmp/out/x /bye; facts /etc/x",
        |_, report| {
            ended(report, 0)?;
            found(report, &["/etc/x: absent"])?;
            told(report, REFUSED)
        },
    ),
    case(
        "pid_namespace",
        "unshare -m -p -f sh -c 'mount -t proc proc /proc && exec /seccomp-notify-min -K /tmp/x /bye'
         status=$?; facts /tmp/x",
        |_, report| {
            ended(report, 0)?;
            found(report, &["/tmp/x: directory 600 root"])?;
            main_job(report, "/tmp/x")
        },
    ),
    case(
        "another_supervisor_listens",
        "/under-filter --supervised $P -K /tmp/x /bye; status=$?; facts /tmp/x",
        |_, report| {
            found(report, &["/tmp/x: absent"])?;
            refused(report, "listens")
        },
    ),
    case("usage_error", "run -K", |_, report| {
        ended(report, 1)?;
        nothing_started(report)?;
        told(report, "seccomp-notify-min: missing operand\nTry 'seccomp-notify-min --help'")
    }),
    // A program of the other size of words without the filter, a native program with it, and then the first one with it.
    case(
        FOREIGN,
        "/foreign/true; echo \"unfiltered: $?\" >&3
         /under-filter /bin/busybox true; echo \"native: $?\" >&3
         /under-filter /foreign/true; status=$?",
        |_, report| {
            found(report, &["unfiltered: 0", "native: 0"])?;
            ended(report, 128 + 31) // SIGSYS
        },
    ),
    case("probe", "run -p", |kernel, report| probed(kernel, report, &[])),
    case("probe_by_a_user", "yama 1; as_user /seccomp-notify-min -p; yama 0", |kernel, report| {
        probed(kernel, report, &[])
    }),
    case(
        "probe_without_proc",
        "unshare -m sh -c 'umount /proc && exec /seccomp-notify-min -p'; status=$?",
        |kernel, report| {
            let no = "no: readlinkat: No such file or directory; needs /proc";
            probed(kernel, report, &[("proc-mem", no)])
        },
    ),
    case(
        "probe_by_a_user_where_yama_allows_the_capable",
        "yama 2; as_user /seccomp-notify-min -p; yama 0",
        |kernel, report| probed(kernel, report, CLOSED_BY_YAMA),
    ),
    case(
        "user_where_yama_allows_all",
        "yama 0; as_user /seccomp-notify-min -K /tmp/x /bye; facts /tmp/x",
        by_user,
    ),
    case(
        "user_where_yama_allows_descendants",
        "yama 1; as_user /seccomp-notify-min -K /tmp/x /bye; facts /tmp/x; yama 0",
        by_user,
    ),
    case(
        "user_where_yama_allows_descendants_and_no_proc",
        "yama 1
         unshare -m sh -c \"umount /proc && exec su user -c 'exec $P -K /tmp/x /bye'\"; status=$?
         facts /tmp/x; yama 0",
        by_user,
    ),
    case(
        "user_who_cannot_read_the_program",
        "cp $P /tmp/unreadable; chmod 711 /tmp/unreadable
         as_user /tmp/unreadable -K /tmp/x /bye; facts /tmp/x",
        by_user,
    ),
    case(
        "user_where_yama_allows_the_capable",
        "yama 2; as_user /seccomp-notify-min -K /tmp/x /bye; facts /tmp/x; yama 0",
        |_, report| {
            found(report, &["/tmp/x: absent"])?;
            refused(report, "ptrace_scope")
        },
    ),
    case(
        "root_where_yama_allows_the_capable",
        "yama 2; run -K /tmp/x /bye; facts /tmp/x; yama 0",
        |_, report| {
            ended(report, 0)?;
            found(report, &["/tmp/x: directory 600 root"])?;
            main_job(report, "/tmp/x")
        },
    ),
    // Yama's scope 3 cannot be changed any more: these cases must be the last.
    case(
        "user_where_yama_allows_none",
        "yama 3; as_user /seccomp-notify-min -K /tmp/x /bye; facts /tmp/x",
        |_, report| {
            found(report, &["/tmp/x: absent"])?;
            refused(report, "ptrace_scope")
        },
    ),
    case("root_where_yama_allows_none", "yama 3; run -K /tmp/x /bye; facts /tmp/x", |_, report| {
        found(report, &["/tmp/x: absent"])?;
        refused(report, "ptrace_scope")
    }),
    case("probe_where_yama_allows_none", "yama 3; run -p", |kernel, report| {
        probed(kernel, report, CLOSED_BY_YAMA)
    }),
];

/// What Yama forbids, and the errors by the kernel's source: `mm_access()` gives EACCES, which `process_vm_readv(2)` makes
/// EPERM; `pidfd_getfd(2)` gives EPERM.
const CLOSED_BY_YAMA: &[(&str, &str)] = &[
    (
        "process-vm-readv",
        "no: process_vm_readv: Operation not permitted; forbidden by a sandbox or ptrace_scope",
    ),
    ("proc-mem", "no: openat: Permission denied; forbidden by a sandbox or ptrace_scope"),
    (
        "pidfd-getfd",
        "no: pidfd_getfd: Operation not permitted; forbidden by a sandbox or ptrace_scope",
    ),
];

/// What the probe says on a kernel that loses the answer's value.
const LOST_VALUE: &[(&str, &str)] = &[
    ("send", "no: mkdir: wrong result"),
    ("add-fd-send", "no: mkdir: wrong result"),
    ("wait-killable", "untried: send"),
];

/// What the probe says of a thing that this kernel is too old for, by the kernel's source.
const TOO_OLD: &[(&str, &str)] = &[
    // An unknown flag of a known ioctl, and an unknown ioctl.
    ("add-fd-send", "no: ioctl: Invalid argument; needs Linux 5.14"),
    ("sync-wake-up", "no: ioctl: Invalid argument; needs Linux 6.6"),
    // An unknown flag of the filter.
    ("wait-killable", "no: seccomp: Invalid argument; needs Linux 5.19"),
    // RECV waits until the alarm.
    ("end-told", "no: ioctl: Interrupted system call; needs Linux 6.11"),
];

/// Checks the probe's lines: all that this kernel has works, but for what is `closed` here.
fn probed(kernel: &Kernel, report: &Report, closed: &[(&str, &str)]) -> Outcome {
    let machine = kernel.machine;
    // `uname -r`, then `uname -v`.
    let release = kernel.release.split(' ').next().unwrap_or_default();
    let mut wanted = format!("system: Linux {release} {machine}\n");
    for thing in &THINGS {
        let is_named = |(name, _): &&(&str, &str)| *name == thing.name;
        let (major, minor) = thing.since;
        let lost = LOST_VALUE.iter().find(is_named).filter(|_| kernel.loses_value);
        let said = match lost.or(closed.iter().find(is_named)) {
            _ if !kernel.since(major, minor) => match TOO_OLD.iter().find(is_named) {
                Some((_, said)) => said,
                None => return Err(format!("no kernel here should be too old for {}", thing.name)),
            },
            Some((_, said)) => said,
            None => "yes",
        };
        wanted += &format!("{}: {said}\n", thing.name);
    }
    silent(report)?;
    if report.stdout != wanted {
        return Err(format!("it should print:\n{wanted}"));
    }
    let lines = Lines::read(&wanted)?;
    lines.are_consistent()?;
    ended(report, lines.status() as u32)
}

const GONE: &str = "Tracer: response failed with ENOENT; \
    perhaps target process's syscall was interrupted by signal?";
const DIED_POST_DELAY: &str =
    "Tracer: notification ID check (post-delay): target has died!!!!!!!!!!!";

/// The init script with all cases.
pub fn init() -> String {
    let function = |case: Case| format!("case_{}() {{\n{}\n}}", case.name, case.script);
    let functions: Vec<String> = all().map(function).collect();
    let names: Vec<&str> = all().map(|case| case.name).collect();
    include_str!("init.sh")
        .replace("\n@CASES@\n", &format!("\n{}\n", functions.join("\n")))
        .replace("in @NAMES@;", &format!("in {};", names.join(" ")))
}

/// Checks the console of the machine whose first process was the program: the transcript, and the exit status in the kernel's
/// panic. `appended` is one more argument.
pub fn check_as_init(console: &str, appended: Option<&str>, loses_value: bool) -> Outcome {
    let panic = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000000";
    // The panic comes after the whole transcript: the program waits until the console has sent everything.
    let Some((said, _)) = console.split_once(panic) else {
        return Err(format!("no '{panic}' on the console:\n{console}"));
    };
    // Both streams are the console. Other lines on it are those of the kernel and the firmware.
    let ours = |line: &&str| {
        line.is_empty()
            || ["Target process: ", "Tracer: ", "Parent: "].iter().any(|p| line.starts_with(p))
    };
    let is_error = |line: &&str| line.starts_with("Target process: mkdir: ");
    let first = |process: &str| said.find(&format!("{process}: PID = "));
    let (Some(target), Some(tracer)) = (first("Target process"), first("Tracer")) else {
        return Err(format!("target or tracer said nothing:\n{console}"));
    };
    let mut said: Vec<&str> = said[target.min(tracer)..].lines().filter(ours).collect();
    // The kernel may print blank lines before its own.
    while said.last().is_some_and(|line| line.is_empty()) {
        said.pop();
    }
    let join = |lines: Vec<&str>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let mut report = Report {
        stdout: join(said.iter().copied().filter(|line| !is_error(line)).collect()),
        stderr: join(said.iter().copied().filter(is_error).collect()),
        ..Report::default()
    };
    if loses_value {
        report.stdout = Restorer::default().restore(&report.stdout);
    }
    if let Some(appended) = appended {
        // It comes after /bye: the tracer is gone. Without the two lines, the rest is the main job.
        let announced = format!("\nTarget process: about to make directory \"{appended}\"\n");
        let failed = "Target process: mkdir: Function not implemented\n";
        for (text, line) in [(&mut report.stdout, &announced[..]), (&mut report.stderr, failed)] {
            let Some((before, after)) = text.split_once(line) else {
                return Err(format!("no '{line}' for the firmware's argument:\n{console}"));
            };
            *text = format!("{before}{after}");
        }
    }
    main_job(&report, "/tmp/x")
}

// Checks that the cases share.

fn ended(report: &Report, status: u32) -> Outcome {
    if report.status != status {
        return Err(format!("it should end with status {status}"));
    }
    Ok(())
}

fn found(report: &Report, facts: &[&str]) -> Outcome {
    let found: Vec<&str> = report.facts.lines().collect();
    if found != facts {
        return Err(format!("it should be found afterwards:\n  {}", facts.join("\n  ")));
    }
    Ok(())
}

fn silent(report: &Report) -> Outcome {
    if !report.stderr.is_empty() {
        return Err("nothing should be on standard error".into());
    }
    Ok(())
}

fn told(report: &Report, reason: &str) -> Outcome {
    if !report.stderr.contains(reason) {
        return Err(format!("standard error should tell '{reason}'"));
    }
    Ok(())
}

fn nothing_started(report: &Report) -> Outcome {
    if !report.stdout.is_empty() {
        return Err("nothing should be on standard output".into());
    }
    Ok(())
}

/// The program ended with status 77 and printed this reason.
fn refused(report: &Report, reason: &str) -> Outcome {
    ended(report, 77)?;
    told(report, reason)
}

/// Checks the transcript of `-K PATH /bye` with a PATH beneath /tmp.
fn main_job(report: &Report, path: &str) -> Outcome {
    transcript::main_job(&report.stdout, &report.stderr, path)
}

/// Checks the main job, run by an ordinary user.
fn by_user(_: &Kernel, report: &Report) -> Outcome {
    ended(report, 0)?;
    found(report, &["/tmp/x: directory 600 user"])?;
    main_job(report, "/tmp/x")
}

/// Checks the transcript of `-K /tmp/x /bye` if nothing can be made beneath /tmp.
fn beneath_tmp_fails(report: &Report, error: &str) -> Outcome {
    transcript::beneath_tmp_fails(&report.stdout, &report.stderr, error)
}

/// Checks the transcript of a run with /tmp/x as the only path, given the lines of target and tracer about it.
fn one_path(
    report: &Report,
    target: &[&str],
    tracer: &[&str],
    parent: &[&str],
    errors: &[&str],
) -> Outcome {
    let announced = [TARGET_PID, "Target process: about to make directory \"/tmp/x\""];
    check(
        &report.stdout,
        &report.stderr,
        &Expected {
            target: &[&announced[..], target, &[TARGET_ENDS]].concat(),
            tracer: &[&[TRACER_PID], tracer].concat(),
            parent,
            errors,
        },
    )
}

/// Checks the format of the measuring mode's report, and that its numbers agree.
fn measured(stdout: &str, count: u32) -> Outcome {
    let number = |start: &str, end: &str| -> Option<f64> {
        let line = stdout.lines().find(|line| line.starts_with(start) && line.ends_with(end))?;
        line.strip_prefix(start)?.strip_suffix(end)?.trim().parse().ok()
    };
    let executed = number("# Executed ", " system calls");
    let total = number("     Total time: ", " [sec]");
    let each = number(" ", " usecs/op");
    let rate = number(" ", " ops/sec");
    let (Some(executed), Some(total), Some(each), Some(rate)) = (executed, total, each, rate)
    else {
        return Err("the measurement should have its four lines".into());
    };
    let is_near = |a: f64, b: f64, by: f64| (a - b).abs() <= by;
    if executed != f64::from(count)
        || !is_near(each * executed / 1e6, total, 0.002)
        || !is_near(rate * each / 1e6, 1.0, 0.05)
        || stdout.lines().count() != 6
    {
        return Err("the measurement's numbers should fit together, in six lines".into());
    }
    Ok(())
}
