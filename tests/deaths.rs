//! A signal at every moment: before and after each call of the program's command lines, each process is killed, interrupted,
//! or stopped and continued. Without `SWEEPS=whole`, at a moment that other runs have had only one of them is.
//!
//! The other processes must end soon and by themselves, and the parent's report must be true.

mod common;
mod inject;

use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::Instant;

use common::sweep::{self, Sample};
use inject::cases::{self, Case, Run};
use inject::{Action, End, GRACE, Gate, Moment, Role, Side, Until, When};
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;

/// The result of a signal.
enum Verdict {
    /// The process had ended, or did not exist yet.
    NotThere,
    Good,
    Hung(String),
    Late(String),
    LeftOver(String),
    Crashed(String),
    Untrue(String),
}

/// A line of a table.
#[derive(Default)]
struct Row {
    moments: usize,
    tried: usize,
    good: usize,
    hung: usize,
    late: usize,
    left_over: usize,
    crashed: usize,
    untrue: usize,
}

impl Row {
    const HEADING: &str = "moments  tried   good |  hung  late  left  crashed  untrue";

    fn print(&self, name: &str) {
        let Self { moments, tried, good, hung, late, left_over, crashed, untrue } = self;
        println!(
            "{name:95} {moments:7}  {tried:5}  {good:5} | \
             {hung:5} {late:5} {left_over:5}  {crashed:7}  {untrue:6}"
        );
    }

    fn add(&mut self, verdict: &Verdict) -> Option<String> {
        self.tried += usize::from(!matches!(verdict, Verdict::NotThere));
        let (count, why) = match verdict {
            Verdict::NotThere => return None,
            Verdict::Good => {
                self.good += 1;
                return None;
            }
            Verdict::Hung(why) => (&mut self.hung, why),
            Verdict::Late(why) => (&mut self.late, why),
            Verdict::LeftOver(why) => (&mut self.left_over, why),
            Verdict::Crashed(why) => (&mut self.crashed, why),
            Verdict::Untrue(why) => (&mut self.untrue, why),
        };
        *count += 1;
        Some(why.clone())
    }
}

/// Applies each action to its victim at each moment of each case.
fn sweep(
    heading: &str,
    cases: &[Case],
    actions: &[(Role, Action)],
    check: impl Fn(&Case, &Run, Role, &Moment) -> Result<(), String> + Sync,
) {
    if inject::skipped() {
        return;
    }
    let begin = Instant::now();
    let mut bad = vec![];
    println!("\n{:95} {}", format!("{heading} ({})", sweep::extent()), Row::HEADING);
    let mut sample = Sample::new();
    for case in cases {
        let clean = case.clean(common::image());
        let victims: Vec<Role> = actions.iter().map(|&(victim, _)| victim).collect();
        let mut chosen: Vec<(Role, &Moment)> = vec![];
        for (moment, there) in clean.outcome.stops_with(&victims) {
            let Moment { call, side } = moment;
            let victims = sample.choose((call.role, call.name.clone(), *side), &there);
            chosen.extend(victims.iter().map(|&victim| (victim, moment)));
        }
        for (victim, action) in actions {
            let moments = chosen.iter().filter(|(it, _)| it == victim);
            let moments: Vec<&Moment> = moments.map(|&(_, moment)| moment).collect();
            let verdicts = sweep::side_by_side(&moments, |&moment| {
                let rule = (When::Once(moment.clone()), action.clone());
                let run = case.run(common::image(), &[rule]);
                let shown = || format!("{moment}: {:?}\n{}", run.outcome.ends, run.output());
                let outcome = &run.outcome;
                let mut ends = outcome.ends.iter();
                if outcome.done[0] == 0 {
                    Verdict::NotThere
                } else if outcome.hung {
                    Verdict::Hung(shown())
                } else if !outcome.left.is_empty() {
                    Verdict::LeftOver(format!("{:?}\n{}", outcome.left, shown()))
                } else if outcome.after_signal.is_none_or(|time| time > GRACE) {
                    Verdict::Late(shown())
                } else if outcome.crashed() || ends.any(|(_, &end)| end == End::Exited(126)) {
                    Verdict::Crashed(shown())
                } else if let Err(why) = check(case, &run, *victim, moment) {
                    Verdict::Untrue(format!("{why}\n{}", shown()))
                } else {
                    Verdict::Good
                }
            });
            let mut row = Row { moments: moments.len(), ..Row::default() };
            let name = format!("{} ({}): the {victim}", case.name, case.order);
            for verdict in &verdicts {
                if let Some(why) = row.add(verdict) {
                    if bad.len() < 5 {
                        eprintln!("{name} {why}");
                    }
                    bad.push(name.clone());
                }
            }
            row.print(&name);
            assert!(row.tried > 0, "no moment at which the {victim} was there");
        }
    }
    println!("in {:.1} s\n", begin.elapsed().as_secs_f64());
    assert!(bad.is_empty(), "bad ends: {}", bad.len());
}

/// The same signal to each process.
fn to_each(signal: Signal) -> Vec<(Role, Action)> {
    Role::ALL.map(|victim| (victim, Action::Signal(victim, signal))).into()
}

/// Checks that the parent's report is true, and complete unless the parent is the victim.
fn report_is_true(_: &Case, run: &Run, victim: Role, _: &Moment) -> Result<(), String> {
    run.is_true(victim != Role::Parent)?;
    let signal = run.outcome.ends[&Role::Parent];
    match victim {
        Role::Parent if matches!(signal, End::Killed(_) | End::Exited(0)) => Ok(()),
        Role::Parent => Err("the parent ended otherwise".into()),
        _ => Ok(()),
    }
}

#[test]
fn if_a_process_is_killed_the_others_end_and_the_report_is_true() {
    sweep("SIGKILL", &cases::killed(), &to_each(Signal::SIGKILL), report_is_true);
}

#[test]
fn if_a_process_is_terminated_the_others_end_and_the_report_is_true() {
    sweep("SIGTERM", &cases::interrupted(), &to_each(Signal::SIGTERM), report_is_true);
}

#[test]
fn an_alarm_ends_parent_and_target_and_the_report_is_true() {
    let actions = [Role::Parent, Role::Target]
        .map(|victim| (victim, Action::Signal(victim, Signal::SIGALRM)));
    sweep("SIGALRM", &cases::interrupted(), &actions, |case, run, victim, moment| {
        let end = run.outcome.ends[&victim];
        if end != End::Killed(Signal::SIGALRM) && goes_on(run, moment, victim) {
            return Err(format!("the {victim} {end:?}"));
        }
        report_is_true(case, run, victim, moment)
    });
}

#[test]
fn an_alarm_does_not_hinder_the_tracer() {
    let action = (Role::Tracer, Action::Signal(Role::Tracer, Signal::SIGALRM));
    sweep("SIGALRM", &cases::interrupted(), &[action], |case, run, _, _| {
        run.is_true(true)?;
        run.completed(case, &case.made(run.directory.path()))
    });
}

#[test]
fn a_signal_to_the_target_interrupts_its_call_and_no_more() {
    let action = (Role::Target, Action::Signal(Role::Target, Signal::SIGINT));
    sweep("SIGINT", &cases::interrupted(), &[action], |case, run, _, moment| {
        run.is_true(true)?;
        if run.outcome.ends[&Role::Target] == End::Killed(Signal::SIGINT) {
            // The signal came before the handler was installed.
            let handled = run
                .outcome
                .calls
                .iter()
                .any(|seen| seen.call.name == "rt_sigaction(SIGINT)" && seen.result == Some(0));
            return if handled { Err("killed in spite of the handler".into()) } else { Ok(()) };
        }
        is_plausible(case, run, Some(libc::EINTR), goes_on(run, moment, Role::Target))
    });
}

#[test]
fn a_process_that_is_stopped_and_continued_does_its_work() {
    let actions = Role::ALL.map(|victim| (victim, Action::StopAndContinue(victim)));
    sweep("SIGSTOP and SIGCONT", &cases::interrupted(), &actions, |case, run, victim, _| {
        run.is_true(true)?;
        if victim != Role::Target {
            return run.completed(case, &case.made(run.directory.path()));
        }
        // The kernel makes the target's interrupted call again, and the tracer gets another notification. The target gets
        // the same results. Only if the call of /bye is made again, the tracer has ended.
        is_plausible(case, run, None, false)
            .or_else(|_| is_plausible(case, run, Some(libc::ENOSYS), false))?;
        let ended = run.output().matches("mkdir: Function not implemented").count();
        let again =
            run.transcript().out[2].ends_with("terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n");
        if ended == 0 || ended == 1 && again { Ok(()) } else { Err("an answer is missing".into()) }
    });
}

/// Whether a process does more than exit after this moment. If it only exits, a signal changes nothing.
fn goes_on(run: &Run, moment: &Moment, role: Role) -> bool {
    let stops = &run.outcome.stops;
    let sent = stops.iter().position(|it| it == moment).unwrap();
    stops[sent + 1..].iter().any(|it| it.call.role == role && it.call.name != "exit_group")
}

/// Checks that a run did its work, although the notification of one call may have become invalid at any moment. Without
/// `error` the call is then made again; with `error`, the call may have failed with it instead.
fn is_plausible(case: &Case, run: &Run, error: Option<i32>, handled: bool) -> Result<(), String> {
    let found = run.transcript();
    if run.outcome.status() != 0 {
        return Err(format!("status {}", run.outcome.status()));
    }

    // The target's lines: the handler's line once, and the usual lines.
    let handler = "Target process: received signal\n";
    let [_, target_out, _] = &found.out;
    if target_out.matches(handler).count() != usize::from(handled) {
        return Err("the handler's line".into());
    }
    let made = case.made(run.directory.path());
    let possible_results = || {
        let mut possible = vec![made.clone()];
        for (at, made_at) in made.iter().enumerate() {
            if let Some(errno) = error {
                for notified in [true, false] {
                    let mut made = made.clone();
                    made[at].result = Err(errno);
                    made[at].notified = notified && made_at.notified;
                    possible.push(made);
                }
            }
        }
        possible
    };
    let target_lines = target_out.replace(handler, "");
    let Some(made) = possible_results().into_iter().find(|made| {
        let wanted = case.transcript(run, made);
        let is_told = found.err[1].lines().eq(wanted.err[1].lines());
        wanted.out[1] == target_lines && is_told && wanted.out[0] == found.out[0]
    }) else {
        return Err("the target's or the parent's lines".into());
    };

    // The tracer's lines: those of each notification, in the order of the paths. Those of one notification may be missing,
    // incomplete or printed twice.
    let wanted = case.transcript(run, &made).out[2].clone();
    let [.., tracer_out] = &found.out;
    let [.., tracer_err] = &found.err;
    let went_away = "Tracer: response failed with ENOENT; perhaps target process's syscall was interrupted by signal?\n";
    let died = tracer_err.lines().filter(|line| line.contains("target has died")).count();
    if tracer_err.lines().count() != died || died > 1 {
        return Err("the tracer's errors".into());
    }
    let wanted = records(&wanted);
    let mut rest = &wanted[..];
    let mut odd = 0;
    for record in records(&tracer_out.replace(went_away, "")) {
        if let Some(at) = rest.iter().position(|it| *it == record) {
            odd += at;
            rest = &rest[at + 1..];
        } else if died == 1 && rest.first().is_some_and(|it| it.starts_with(record.trim_end())) {
            // Incomplete lines. If the call was made again, the complete ones follow.
            odd += 1;
            if error.is_some() {
                rest = &rest[1..];
            }
        } else if wanted.contains(&record) {
            odd += 1;
        } else {
            return Err(format!("the tracer's lines: {record:?}"));
        }
    }
    if odd + rest.len() > 1 || tracer_out.matches(went_away).count() > 1 {
        return Err("too much of the tracer's lines is otherwise".into());
    }
    Ok(())
}

/// The tracer's lines, in one part for each notification.
fn records(lines: &str) -> Vec<String> {
    let mut records = vec![String::new()];
    for line in lines.split_inclusive('\n') {
        if line.starts_with("Tracer: got") {
            records.push(String::new());
        }
        records.last_mut().unwrap().push_str(line);
    }
    records
}

/// A run in which the target's only call gets a signal at this moment. The tracer continues after the call has returned or the
/// target has ended.
fn interrupt(options: &[&'static str], delay: u32, moment: Moment, signal: Signal) -> Run {
    interrupt_in(cases::one_path(options, delay, vec![]), moment, signal)
}

/// The same in a case with more calls: the first one gets the signal.
fn interrupt_in(mut case: cases::Case, moment: Moment, signal: Signal) -> Run {
    case.gates.push(Gate {
        hold: moment.clone(),
        until: Until::Reached(Moment::new(Role::Target, "mkdir", 1, Side::Exit)),
    });
    let action = Action::Signal(Role::Target, signal);
    let run = case.run(common::image(), &[(When::Once(moment), action)]);
    let outcome = &run.outcome;
    assert!(!outcome.hung && outcome.left.is_empty() && !outcome.forced, "{}", run.output());
    assert_eq!(outcome.done, [1], "{}", run.output());
    run
}

/// The output of a process on one stream, without its first line.
fn lines(text: &[String; 3], role: Role, run: &Run) -> String {
    let at = Role::ALL.iter().position(|&it| it == role).unwrap();
    let directory = run.directory.path().to_str().unwrap();
    let (_, rest) = text[at].split_once('\n').unwrap_or_default();
    let pid = run.outcome.pids[&Role::Target].to_string();
    rest.replace(directory, "/tmp").replace(&pid, "N")
}

const ANNOUNCED: &str = "\nTarget process: about to make directory \"/tmp/x\"\n";
const WENT_AWAY: &str = "Tracer: response failed with ENOENT; perhaps target process's syscall was interrupted by signal?\n";

/// Compares the rest of the transcript of a run whose call was interrupted.
fn assert_interrupted(run: &Run, tracer_out: &str, tracer_err: &str) {
    let said = run.output();
    let transcript = run.transcript();
    assert_eq!(run.outcome.status(), 0, "{said}");
    assert_eq!(
        lines(&transcript.out, Role::Target, run),
        format!("{ANNOUNCED}Target process: received signal\nTarget process: terminating\n")
    );
    assert_eq!(transcript.err[1], "Target process: mkdir: Interrupted system call\n");
    assert_eq!(lines(&transcript.out, Role::Tracer, run), tracer_out);
    assert_eq!(transcript.err[2], tracer_err);
}

#[test]
fn a_call_that_goes_away_before_its_answer_is_told() {
    if inject::skipped() {
        return;
    }
    let moment = Moment::new(Role::Tracer, "ioctl(SEND)", 1, Side::Entry);
    let run = interrupt(&[], 0, moment, Signal::SIGINT);
    let tracer = "Tracer: got notification for PID N; ID is X\nTracer: mkdir(\"/tmp/x\", 600)\n";
    assert_interrupted(&run, &format!("{tracer}{WENT_AWAY}"), "");
    assert!(run.directory.path().join("x").exists(), "the tracer made it before that");
}

#[test]
fn only_the_same_call_gets_the_success_of_one_that_went_away() {
    if inject::skipped() {
        return;
    }
    // A call for the directory above, and another call for the same directory: both are there.
    for there in ["d", "d/x"] {
        let moment = Moment::new(Role::Tracer, "ioctl(SEND)", 1, Side::Entry);
        let case = cases::one_path_and(there);
        let run = interrupt_in(case, moment, Signal::SIGINT);
        assert!(run.directory.path().join("d/x").exists(), "the tracer made it before that");
        assert_eq!(
            run.transcript().err[1],
            "Target process: mkdir: Interrupted system call\nTarget process: mkdir: File exists\n",
            "{there}: {}",
            run.output()
        );
    }
}

#[test]
fn a_call_that_goes_away_while_the_tracer_delays_is_told_and_nothing_is_made() {
    if inject::skipped() {
        return;
    }
    let moment = Moment::new(Role::Tracer, "nanosleep", 1, Side::Entry);
    let run = interrupt(&["-d1"], 1, moment, Signal::SIGINT);
    assert_interrupted(
        &run,
        &format!(
            "Tracer: got notification for PID N; ID is X\nTracer: delaying for 1 seconds: 1\n{WENT_AWAY}"
        ),
        "Tracer: notification ID check (post-delay): target has died!!!!!!!!!!!\n",
    );
    assert!(!run.directory.path().join("x").exists());
}

#[test]
fn a_call_that_goes_away_before_the_delay_is_told_and_nothing_is_made() {
    if inject::skipped() {
        return;
    }
    let moment = Moment::new(Role::Tracer, "ioctl(RECV)", 1, Side::Exit);
    let run = interrupt(&["-d1"], 1, moment, Signal::SIGINT);
    assert_interrupted(
        &run,
        &format!("Tracer: got notification for PID N; ID is X\n{WENT_AWAY}"),
        "Tracer: notification ID check (pre-delay): target has died!!!!!!!!!!!\n",
    );
    assert!(!run.directory.path().join("x").exists());
}

#[test]
fn a_call_that_goes_away_while_its_path_is_read_is_told_and_nothing_is_made() {
    if inject::skipped() {
        return;
    }
    let moment = Moment::new(Role::Tracer, "process_vm_readv", 1, Side::Exit);
    let run = interrupt(&[], 0, moment, Signal::SIGINT);
    assert_interrupted(
        &run,
        &format!("Tracer: got notification for PID N; ID is X\n{WENT_AWAY}"),
        "Tracer: notification ID check (post-open): target has died!!!!!!!!!!!\n",
    );
    assert!(!run.directory.path().join("x").exists());
}

#[test]
fn a_call_that_goes_away_before_the_first_receive_is_not_missed() {
    if inject::skipped() {
        return;
    }
    let begins = Moment::new(Role::Target, "mkdir", 1, Side::Entry);
    let ends = Moment::new(Role::Target, "mkdir", 1, Side::Exit);
    let gate = |nth, side, until| Gate {
        hold: Moment::new(Role::Tracer, "ioctl(RECV)", nth, side),
        until: Until::Reached(until),
    };
    let case = cases::one_path(&[], 0, vec![gate(1, Side::Entry, ends)]);
    let action = Action::Signal(Role::Target, Signal::SIGINT);
    let run = case.run(common::image(), &[(When::Once(begins), action)]);
    assert!(!run.outcome.hung && run.outcome.left.is_empty() && !run.outcome.forced);
    assert_interrupted(&run, "", "");
    assert!(!run.directory.path().join("x").exists());
}

#[test]
fn with_w_a_received_call_is_not_taken_away() {
    if inject::skipped() {
        return;
    }
    let moment = Moment::new(Role::Tracer, "process_vm_readv", 1, Side::Exit);
    let case = cases::one_path(&["-w"], 0, vec![]);
    let action = Action::Signal(Role::Target, Signal::SIGINT);
    let run = case.run(common::image(), &[(When::Once(moment), action)]);
    let transcript = run.transcript();
    assert_eq!(run.outcome.status(), 0, "{}", run.output());
    let path = run.directory.path().join("x");
    assert_eq!(
        lines(&transcript.out, Role::Target, &run),
        format!(
            "{ANNOUNCED}Target process: received signal\n\
             Target process: SUCCESS: mkdir(2) returned = {}\nTarget process: terminating\n",
            path.as_os_str().len()
        )
    );
    assert!(path.exists());
}

#[test]
fn a_target_that_dies_while_its_path_is_read_is_no_failure_of_the_tracer() {
    if inject::skipped() {
        return;
    }
    for call in ["process_vm_readv", "ioctl(ID_VALID)"] {
        // The target has ended when its memory is read, or when the ID is checked after the read.
        let moment = Moment::new(Role::Tracer, call, 1, Side::Entry);
        let gate = Gate { hold: moment.clone(), until: Until::Ended(Role::Target) };
        let case = cases::one_path(&[], 0, vec![gate]);
        let action = Action::Signal(Role::Target, Signal::SIGKILL);
        let run = case.run(common::image(), &[(When::Once(moment), action)]);
        let said = run.output();
        let died = "Tracer: notification ID check (post-open): target has died!!!!!!!!!!!\n";
        assert!(said.contains(died), "{call}: {said}");
        assert!(said.contains("Parent: target process was killed by signal 9\n"), "{call}: {said}");
        for wrong in ["Tracer: process_vm_readv", "Tracer: openat", "sandbox", "Parent: tracer"] {
            assert!(!said.contains(wrong), "{call}: {said}");
        }
        assert_eq!(run.outcome.status(), 1, "{call}: {said}");
        assert!(!run.directory.path().join("x").exists(), "{call}");
    }
}

#[test]
fn a_target_that_dies_while_the_tracer_delays_is_reported_and_nothing_is_made() {
    if inject::skipped() {
        return;
    }
    let moment = Moment::new(Role::Tracer, "nanosleep", 1, Side::Entry);
    let run = interrupt(&["-d1"], 1, moment, Signal::SIGKILL);
    let transcript = run.transcript();
    let tracer = &transcript.err[2];
    assert_eq!(tracer, "Tracer: notification ID check (post-delay): target has died!!!!!!!!!!!\n");
    assert_eq!(transcript.err[0], "Parent: target process was killed by signal 9\n");
    assert_eq!(run.outcome.status(), 1);
    assert!(!run.directory.path().join("x").exists());
}

/// Ctrl-C on a real terminal, while the tracer delays for a minute. All processes have the terminal open: the test reads its
/// other side until the last process has ended.
#[test]
fn ctrl_c_leaves_nothing_behind() {
    for options in [&["-d60"][..], &["-d60", "-K"], &["-d60", "-w"], &["-d60", "-K", "-w"]] {
        let directory = cases::directory();
        let terminal = nix::pty::openpty(None, None).expect("a terminal");
        let mut command = Command::new(common::image());
        command.args(options).arg(directory.path().join("x"));
        let stream = || Stdio::from(terminal.slave.try_clone().expect("the terminal"));
        command.stdin(stream()).stdout(stream()).stderr(stream());
        // SAFETY: the closure only makes system calls.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                // A shell that starts the harness in the background lets it ignore SIGINT.
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                if libc::ioctl(0, libc::TIOCSCTTY, 0) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let mut parent = command.spawn().expect("the program");
        // The command has copies of the terminal's descriptor.
        drop(command);
        let nix::pty::OpenptyResult { master, slave } = terminal;
        drop(slave);
        let mut master = std::fs::File::from(master);

        // A run that hangs is killed after the time limit, so that the terminal's other side reaches its end.
        let mut said = String::new();
        let mut pressed = None;
        let limit = Instant::now() + inject::LIMIT;
        let mut bytes = [0; 256];
        loop {
            let mut ready = [nix::poll::PollFd::new(
                std::os::fd::AsFd::as_fd(&master),
                nix::poll::PollFlags::POLLIN,
            )];
            let left = limit.saturating_duration_since(Instant::now());
            let left = nix::poll::PollTimeout::try_from(left).unwrap();
            if nix::poll::poll(&mut ready, left).expect("poll") == 0 {
                let _ = parent.kill();
                panic!("still there:\n{said}");
            }
            // EIO: no process has the terminal open.
            let Ok(read @ 1..) = master.read(&mut bytes) else { break };
            said += &String::from_utf8_lossy(&bytes[..read]);
            if pressed.is_none() && said.contains("delaying for 60 seconds: 60") {
                std::io::Write::write_all(&mut master, b"\x03").expect("Ctrl-C");
                pressed = Some(Instant::now());
            }
        }
        let took = pressed.expect("the countdown began").elapsed();
        let status = parent.wait().expect("the parent");
        assert!(took < GRACE, "{took:?} until all had ended:\n{said}");
        assert_eq!(status.signal(), Some(libc::SIGINT), "{said}");
    }
}

// ---- A call that comes again

/// The directory was made for a call which then went away, and is there when it comes again. If anything of the call is
/// another, the directory is not the one that it asked for.
#[test]
fn a_call_that_comes_again_gets_its_answer_and_any_other_call_does_not() {
    type Pids = HashMap<Role, Pid>;
    type Forge = fn(&mut libc::seccomp_notif, &Pids);
    /// Changes the last byte of the path in the target's memory.
    fn rename(notif: &libc::seccomp_notif, pids: &Pids, byte: u8) {
        let (target, mut path) = (pids[&Role::Target], [0; 64]);
        let mut remote = RemoteIoVec { base: notif.data.args[0] as usize, len: path.len() };
        process_vm_readv(target, &mut [IoSliceMut::new(&mut path)], &[remote]).expect("a path");
        remote.base += path.iter().position(|byte| *byte == 0).expect("its end") - 1;
        remote.len = 1;
        process_vm_writev(target, &[IoSlice::new(&[byte])], &[remote]).expect("a byte");
    }
    if inject::skipped() {
        return;
    }
    let forgeries: [(&str, bool, Forge); 5] = [
        ("the same", true, |_, _| ()),
        // The tracer has a copy of the target's memory.
        ("another process", false, |notif, pids| {
            notif.pid = pids[&Role::Tracer].as_raw().cast_unsigned();
        }),
        ("another mode", false, |notif, _| notif.data.args[1] = 0o700),
        ("another path of this length", false, |notif, pids| rename(notif, pids, b'y')),
        ("a shorter path", false, |notif, pids| rename(notif, pids, 0)),
    ];
    for (what, is_same, forge) in forgeries {
        let directory = cases::directory();
        let path = directory.path().join("x");
        std::fs::create_dir(directory.path().join("y")).unwrap();
        let rules = vec![
            (
                When::Once(Moment::new(Role::Tracer, "ioctl(SEND)", 1, Side::Entry)),
                Action::StopAndContinue(Role::Target),
            ),
            (
                When::Once(Moment::new(Role::Tracer, "ioctl(RECV)", 2, Side::Exit)),
                Action::Forge(forge),
            ),
        ];
        // The answer comes after the call has gone away, however long that takes.
        let gates = vec![Gate {
            hold: Moment::new(Role::Tracer, "ioctl(SEND)", 1, Side::Entry),
            until: Until::Reached(Moment::new(Role::Target, "mkdir", 1, Side::Exit)),
        }];
        let script = inject::Script { gates, rules };
        let arguments = [std::ffi::OsStr::new("-K"), path.as_os_str()];
        let outcome = inject::run(common::image(), &arguments, &script);
        let [out, err] = [&outcome.out, &outcome.err].map(|it| String::from_utf8_lossy(it));
        let said = format!("{out}{err}");
        assert_eq!((&*outcome.done, outcome.forced), (&[1, 1][..], false), "{what}: {said}");
        let answer = if is_same { "SUCCESS" } else { "mkdir: File exists\n" };
        assert!(said.contains(&format!("Target process: {answer}")), "{what}: {said}");
    }
}
