//! Every system call with every error: each command line is run once without failures, and then once for each call of each
//! process and each error. The call returns the error and is not made. Without `SWEEPS=whole`, a call that other runs have had
//! fails with one of the errors only.
//!
//! A run must end with a status other than 0 and a line that names the call. Only if the failure is on the list of harmless
//! ones, the run must do its work instead.

mod common;
mod inject;

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::time::Instant;

use common::sweep::{self, Sample};
use inject::cases::{self, Case, Made, Run};
use inject::{Action, Call, End, Moment, Role, Script, Side, When};
use nix::libc::{
    EACCES, EAGAIN, EINTR, EINVAL, EIO, ENFILE, ENOENT, ENOMEM, ENOSYS, ENOTDIR, EPERM,
};
use nix::sys::signal::Signal;

const ERRORS: [i32; 9] = [EPERM, EACCES, ENOMEM, EINTR, EIO, EAGAIN, ENOSYS, EINVAL, ENFILE];

/// How the transcript changes if a failure does not stop the program.
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// The transcript does not change.
    None,
    /// The target's call returns the error.
    Returned,
    /// The target's call itself fails, without a notification.
    NotNotified,
    /// The target's call returns this error instead of the right one.
    Becomes(i32),
    /// The transcript does not change, since the parent kills the tracer before the call returns.
    Killed,
}

/// A failure that does not stop the program.
struct Harmless {
    roles: &'static [Role],
    /// The beginning of the call's name.
    call: &'static str,
    errors: &'static [i32],
    effect: Effect,
    #[allow(dead_code)] // for the reader
    reason: &'static str,
}

const fn harmless(
    roles: &'static [Role],
    call: &'static str,
    errors: &'static [i32],
    effect: Effect,
    reason: &'static str,
) -> Harmless {
    Harmless { roles, call, errors, effect, reason }
}

/// All harmless failures. The test fails if no run needs an entry.
#[rustfmt::skip]
const HARMLESS: &[Harmless] = {
    use Effect::{Becomes, Killed, None, NotNotified, Returned};
    use Role::{Parent, Target, Tracer};
    const ALL: &[Role] = &Role::ALL;
    &[
        harmless(ALL, "", &[EINTR], None, "the call is made again"),
        harmless(ALL, "write(1)", &[EAGAIN], None, "made again when the file is ready"),
        harmless(&[Target], "write(2)", &[EAGAIN], None, "made again when the file is ready"),
        harmless(ALL, "exit_group", &ERRORS, None, "made again: there is nothing else to do"),
        harmless(&[Parent], "getpid", &ERRORS, None, "at the end: only the machine's first process waits for its console"),

        harmless(&[Target], "prctl(DUMPABLE)", &ERRORS, None, "only needed if the program's file is unreadable; then the tracer reports it"),
        harmless(&[Target], "prctl(PTRACER)", &ERRORS, None, "only needed with Yama; then the tracer reports it"),
        harmless(&[Target], "fcntl", &ERRORS, None, "only joins two writes if both streams are one open file"),
        harmless(&[Target], "ppoll", &ERRORS, None, "only waits until the file is ready; without it the write is tried again at once"),
        harmless(&[Target, Tracer], "munmap", &ERRORS, None, "a few pages stay mapped until the process ends"),
        harmless(&[Target], "mkdir", &ERRORS, NotNotified, "the demonstrated call: its error is printed like any result"),

        harmless(&[Tracer], "ioctl(SET_FLAGS)", &ERRORS, None, "only makes it faster, on Linux 6.6 and later"),
        harmless(&[Tracer], "ioctl(RECV)", &ERRORS, Killed, "does not return: the parent kills the tracer in it"),
        harmless(&[Tracer], "ioctl(ID_VALID)", &[EINVAL], None, "made again with the number from before Linux 5.9"),
        harmless(&[Tracer], "process_vm_readv", &ERRORS, None, "the path is read from /proc/PID/mem instead"),
        harmless(&[Tracer], "openat(/proc/PID/mem)", &ERRORS, None, "process_vm_readv reads the path, as for the first notification"),
        harmless(&[Tracer], "readlinkat(/proc/self)", &ERRORS, None, "likewise: without the link it is unknown which PID namespace /proc shows"),
        harmless(&[Tracer], "getpid", &ERRORS, None, "likewise: the link is compared with the process's own PID"),
        harmless(&[Tracer], "pread64(/proc/PID/mem)", &ERRORS, None, "process_vm_readv reads the path instead"),
        harmless(&[Tracer], "openat2(", &ERRORS, None, "the components are opened one by one instead, which finds the true error"),
        harmless(&[Tracer], "openat(", &ERRORS, Returned, "the target gets the true error of the tracer's call"),
        harmless(&[Tracer], "mkdirat(", &ERRORS, Returned, "the target gets the true error of the tracer's call"),
        harmless(&[Tracer], "openat(link)", &ERRORS, None, "a link is refused, whatever else fails"),
        harmless(&[Tracer], "readlinkat(", &ERRORS, None, "it only distinguishes a link from other files"),
        harmless(&[Tracer], "readlinkat()", &ERRORS, Becomes(ENOTDIR), "likewise, and the target gets the error of the other file"),
    ]
};

/// Calls that are not tried, and why.
const NEVER_FAIL: [(&str, &str); 1] = [(
    "rt_sigreturn",
    "it has no error to return (sigreturn(2)): it restores the registers, or the kernel kills the process",
)];

/// The result of a fault.
#[derive(Debug)]
enum Verdict {
    /// The run did its work; the failure is this entry of the list.
    Completed(usize),
    /// The run ended with an error and a line that names the call.
    Reported,
    /// The run did not make the call.
    Missed,
    Hung(String),
    LeftOver(String),
    Crashed(String),
    Silent(String),
    Wrong(String),
}

/// A run in which this call fails with this error.
struct Fault<'a> {
    case: &'a Case,
    call: &'a Call,
    errno: i32,
}

impl Fault<'_> {
    fn run(&self) -> Run {
        let moment = Moment { call: self.call.clone(), side: Side::Entry };
        let fault = (When::Once(moment), Action::Return(-i64::from(self.errno)));
        self.case.run(common::image(), &[fault])
    }

    /// The results for the directories if the failure has this effect.
    fn made(&self, run: &Run, effect: Effect) -> Vec<Made> {
        let mut made = self.case.made(run.directory.path());
        // The directory is that of the last notification before the call.
        let calls = &run.outcome.calls;
        let before = calls.iter().position(|seen| seen.call == *self.call).unwrap_or(calls.len());
        let received = calls[..before]
            .iter()
            .filter(|seen| seen.call.name == "ioctl(RECV)" && seen.result == Some(0))
            .count();
        match effect {
            Effect::None | Effect::Killed => {}
            Effect::Becomes(errno) => made[received - 1].result = Err(errno),
            Effect::Returned => made[received - 1].result = Err(self.errno),
            Effect::NotNotified => {
                made[self.call.nth - 1] = Made { notified: false, result: Err(self.errno) };
            }
        }
        made
    }

    /// Whether the parent killed the tracer in this call.
    fn was_killed_in_it(&self, run: &Run) -> bool {
        let role = self.call.role;
        let last = run.outcome.calls.iter().rfind(|seen| seen.call.role == role);
        run.outcome.ends[&role] == End::Killed(Signal::SIGTERM)
            && last.is_some_and(|seen| seen.call == *self.call)
    }

    fn verdict(&self, run: &Run) -> Verdict {
        let outcome = &run.outcome;
        let shown = || format!("{} = {}\n{}", self.call, cases::text(self.errno), run.output());
        if outcome.done[0] == 0 {
            return Verdict::Missed;
        }
        if outcome.hung {
            return Verdict::Hung(shown());
        }
        if !outcome.left.is_empty() {
            return Verdict::LeftOver(format!("{:?} outlived {}", outcome.left, shown()));
        }
        if outcome.crashed() {
            return Verdict::Crashed(format!("{:?}\n{}", outcome.ends, shown()));
        }
        if let Err(why) = run.is_true(self.call.role != Role::Parent) {
            return Verdict::Wrong(format!("{why}\n{}", shown()));
        }
        if matches!(outcome.status(), 1 | 77) {
            if run.names(self.call, self.errno) {
                return Verdict::Reported;
            }
            return Verdict::Silent(shown());
        }
        let mut why = String::from("is on no list of harmless ones");
        for (at, entry) in HARMLESS.iter().enumerate() {
            let applies = entry.roles.contains(&self.call.role)
                && self.call.name.starts_with(entry.call)
                && entry.errors.contains(&self.errno);
            if applies && (!matches!(entry.effect, Effect::Killed) || self.was_killed_in_it(run)) {
                match run.completed(self.case, &self.made(run, entry.effect)) {
                    Ok(()) => return Verdict::Completed(at),
                    Err(reason) => why = reason,
                }
            }
        }
        Verdict::Wrong(format!("status {}: {why}\n{}", outcome.status(), shown()))
    }
}

/// A line of the table.
#[derive(Default)]
struct Row {
    calls: usize,
    tried: usize,
    completed: usize,
    reported: usize,
    hung: usize,
    left_over: usize,
    crashed: usize,
    silent: usize,
    wrong: usize,
    missed: usize,
}

impl Row {
    const HEADING: &str =
        "calls  tried  completed   told |  hung  left  crashed  silent  wrong  missed";

    fn print(&self, name: &str) {
        let Self {
            calls,
            tried,
            completed,
            reported,
            hung,
            left_over,
            crashed,
            silent,
            wrong,
            missed,
        } = self;
        println!(
            "{name:78} {calls:5}  {tried:5}  {completed:9}  {reported:5} | \
             {hung:5} {left_over:5}  {crashed:7}  {silent:6}  {wrong:5}  {missed:6}"
        );
    }

    fn bad(&self) -> usize {
        self.hung + self.left_over + self.crashed + self.silent + self.wrong + self.missed
    }
}

#[test]
fn every_call_may_fail_with_every_error() {
    if inject::skipped() {
        return;
    }
    let begin = Instant::now();
    let image = common::image();
    let mut used = BTreeSet::new();
    let mut bad = 0;
    let mut shown = HashSet::new();
    let mut sample = Sample::new();
    println!("\n{:78} {}", format!("errors injected into ({})", sweep::extent()), Row::HEADING);
    for case in cases::all() {
        let clean = case.clean(image);
        let calls: Vec<&Call> = clean
            .outcome
            .calls
            .iter()
            .map(|seen| &seen.call)
            .filter(|call| NEVER_FAIL.iter().all(|(name, _)| *name != call.name))
            .collect();
        let mut faults = Vec::new();
        for &call in &calls {
            let errors = sample.choose((call.role, call.name.clone()), &ERRORS);
            faults.extend(errors.iter().map(|&errno| Fault { case: &case, call, errno }));
        }
        let verdicts = sweep::side_by_side(&faults, |fault| {
            // If the processes' order cannot be kept, a run may not make the call by accident.
            let mut verdict = Verdict::Missed;
            for _ in 0..3 {
                verdict = fault.verdict(&fault.run());
                if !matches!(verdict, Verdict::Missed) {
                    break;
                }
            }
            verdict
        });

        let mut row = Row { calls: calls.len(), tried: faults.len(), ..Row::default() };
        for (verdict, fault) in verdicts.iter().zip(&faults) {
            let (count, why) = match verdict {
                Verdict::Completed(entry) => {
                    used.insert(*entry);
                    (&mut row.completed, None)
                }
                Verdict::Reported => (&mut row.reported, None),
                Verdict::Missed => (&mut row.missed, Some(fault.call.to_string())),
                Verdict::Hung(why) => (&mut row.hung, Some(why.clone())),
                Verdict::LeftOver(why) => (&mut row.left_over, Some(why.clone())),
                Verdict::Crashed(why) => (&mut row.crashed, Some(why.clone())),
                Verdict::Silent(why) => (&mut row.silent, Some(why.clone())),
                Verdict::Wrong(why) => (&mut row.wrong, Some(why.clone())),
            };
            *count += 1;
            if let Some(why) = why {
                bad += 1;
                // Print one failure of each kind.
                if shown.insert((std::mem::discriminant(verdict), fault.call.name.clone())) {
                    eprintln!("{} ({}): {why}", case.name, case.order);
                }
            }
        }
        row.print(&format!("{} ({})", case.name, case.order));
        assert_eq!(row.bad() + row.completed + row.reported, row.tried);
    }
    for (call, why) in NEVER_FAIL {
        println!("not tried: {call}: {why}");
    }
    println!("in {:.1} s\n", begin.elapsed().as_secs_f64());

    assert_eq!(bad, 0, "runs that did not end as they should");
    let idle: Vec<_> = HARMLESS
        .iter()
        .enumerate()
        .filter(|(at, _)| !used.contains(at))
        .map(|(_, entry)| format!("{:?}: {}", entry.roles, entry.call))
        .collect();
    // A sample need not have met the failure.
    assert!(
        idle.is_empty() || !sweep::is_whole(),
        "entries on the list of harmless failures that no run needed: {idle:?}"
    );
}

#[test]
fn a_kernel_with_longer_notifications_is_told() {
    if inject::skipped() {
        return;
    }
    // `struct seccomp_notif_sizes`: the sizes of a request, a response and the call's data.
    for sizes in [
        [0, 16, 24, 0, 64, 0],
        [80, 0, 0, 16, 64, 0],
        [145, 0, 24, 0, 64, 0],
        [80, 0, 33, 0, 64, 0],
    ] {
        let sizes: &'static [u8] = Box::leak(Box::new(sizes));
        let moment = Moment::new(Role::Tracer, "seccomp(GET_NOTIF_SIZES)", 1, Side::Exit);
        let case = cases::one_path(&[], 0, vec![]);
        let run = case.run(common::image(), &[(When::Once(moment), Action::Fill(sizes))]);
        assert_eq!(run.outcome.done, [1]);
        assert_eq!(run.outcome.status(), 77, "{}", run.output());
        let lines = "Tracer: seccomp: Message too long\nthis kernel's notifications are too long\n";
        assert!(run.output().contains(lines), "{}", run.output());
        run.is_true(true).expect("a true report");
    }
}

/// A FUSE file system may return any error number up to 511 (the kernel's `fs/fuse/dev.c`).
#[test]
fn an_errno_without_a_name_is_printed_as_a_number() {
    if inject::skipped() {
        return;
    }
    // The lower bits of some numbers are those of EINTR or of another errno that the program handles.
    for errno in [63, 64, 68, 86, 132, 196, 260, 324, 388, 452, 511] {
        let rules = vec![(When::Each("mkdirat(never-made)"), Action::Return(-errno))];
        let arguments = ["-K", "/tmp/never-made", "/bye"].map(OsStr::new);
        let outcome =
            inject::run(common::image(), &arguments, &Script { rules, ..Script::default() });
        assert_eq!(outcome.status(), 0, "{outcome:#?}");
        let err = String::from_utf8_lossy(&outcome.err);
        let told = format!("Target process: mkdir: errno {errno}\n");
        assert!(err.contains(&told), "{errno}: {err}");
        assert!(err.ends_with("Target process: mkdir: Operation not permitted\n"), "{err}");
    }
}

/// The first path is read without a file, and all others through one.
#[test]
fn the_targets_memory_is_opened_only_once_also_if_that_fails() {
    if inject::skipped() {
        return;
    }
    const OPEN: &str = "openat(/proc/PID/mem)";
    for (fails, reads_by_call, reads_by_file) in
        [(None, 1, 4), (Some("readlinkat(/proc/self)"), 5, 0), (Some(OPEN), 5, 0)]
    {
        let rules = fails.map(|call| (When::Each(call), Action::Return(-i64::from(ENOENT))));
        let rules = rules.into_iter().collect();
        let arguments = ["-K", "/etc/1", "/etc/2", "/etc/3", "/etc/4", "/bye"].map(OsStr::new);
        let outcome =
            inject::run(common::image(), &arguments, &Script { rules, ..Script::default() });
        assert_eq!(outcome.status(), 0, "{outcome:#?}");
        let count = |name: &str| outcome.calls.iter().filter(|seen| seen.call.name == name).count();
        assert_eq!(count(fails.unwrap_or(OPEN)), 1, "{outcome:#?}");
        assert_eq!(count("process_vm_readv"), reads_by_call, "{outcome:#?}");
        assert_eq!(count("pread64(/proc/PID/mem)"), reads_by_file, "{outcome:#?}");
    }
}

#[test]
fn a_write_that_takes_nothing_is_a_failure() {
    if inject::skipped() {
        return;
    }
    // A sandbox or a broken driver may say so each time.
    for role in [Role::Target, Role::Tracer] {
        let write = Moment::new(role, "write(1)", 1, Side::Entry);
        let rules = [(When::Once(write), Action::Return(0))];
        let run = cases::one_path(&[], 0, vec![]).run(common::image(), &rules);
        assert!(!run.outcome.hung && run.outcome.left.is_empty(), "{}", run.output());
        assert_eq!((run.outcome.status(), &*run.outcome.done), (1, &[1][..]), "{}", run.output());
        let line = format!("{}write: Input/output error\n", role.prefix());
        assert!(run.output().contains(&line), "{}", run.output());
    }
}

/// A security module can take the descriptor out of the message.
#[test]
fn a_message_without_the_listener_is_told() {
    if inject::skipped() {
        return;
    }
    let recvmsg = Moment::new(Role::Tracer, "recvmsg", 1, Side::Entry);
    let rules = [(When::Once(recvmsg), Action::Return(1))];
    let run = cases::one_path(&[], 0, vec![]).run(common::image(), &rules);
    assert!(!run.outcome.hung && run.outcome.left.is_empty(), "{}", run.output());
    assert_eq!((run.outcome.status(), &*run.outcome.done), (77, &[1][..]), "{}", run.output());
    let lines = "Tracer: recvmsg: Permission denied\n\
        a sandbox does not allow a call that this program needs\n";
    assert!(run.output().contains(lines), "{}", run.output());
}

/// A sandbox can say that a call succeeded which was not made. No memory is at the address 0.
#[test]
fn a_mapping_that_was_not_made_is_told() {
    if inject::skipped() {
        return;
    }
    // The tracer's is for a path; the target's for a line that is longer than its buffer.
    let long = format!("/{}", "x".repeat(1000));
    for (role, path) in [(Role::Tracer, "/x"), (Role::Target, &*long)] {
        let mmap = Moment::new(role, "mmap", 1, Side::Entry);
        let rules = vec![(When::Once(mmap), Action::Return(0))];
        let script = Script { rules, ..Script::default() };
        let outcome = inject::run(common::image(), &["-K", path].map(OsStr::new), &script);
        assert!(!outcome.hung && outcome.left.is_empty(), "{outcome:#?}");
        assert_eq!((outcome.status(), &*outcome.done), (77, &[1][..]), "{outcome:#?}");
        let err = String::from_utf8_lossy(&outcome.err);
        let lines = format!(
            "{}mmap: Function not implemented\n\
             a sandbox does not allow a call that this program needs\n",
            role.prefix()
        );
        assert!(err.contains(&lines), "{err}");
    }
}
