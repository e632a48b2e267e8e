//! The options that the original demonstration lacks: calls that are let through to the kernel (`-c`), calls that only a
//! fatal signal ends (`-w`), and the measuring mode (`-b`).

mod common;

use std::ffi::OsString;
use std::fs;

use common::transcript::{EEXIST, EPERM, Fate, Script};
use common::{Beneath, Ended, Outcome, Run, program, skipped};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Whether this kernel has what an option needs. If not, checks that the program says so, and reports the skipped test.
fn is_known(option: &str, version: &str) -> bool {
    let outcome = program([option, "/etc/c"]).finish();
    if outcome.ended != Ended::Status(77) {
        return true;
    }
    assert!(outcome.err().contains(&format!("{option} needs Linux {version}\n")), "{outcome:#?}");
    skipped(option, format!("this kernel is older than Linux {version}"));
    false
}

#[test]
fn a_path_outside_tmp_is_let_through() {
    if !is_known("-c", "5.5") {
        return;
    }
    let outside = tempfile::Builder::new().prefix("seccomp-notify-min.").tempdir_in("/var/tmp");
    let (beneath, outside) = (Beneath::new(), outside.unwrap());
    let (made, path) = (outside.path().join("x").into_os_string(), beneath.join("y"));
    let arguments = ["-cK".into(), made.clone(), path.clone(), made.clone(), "/bye".into()];
    let script = Script::new()
        .keep()
        .directory(&made, Fate::Permitted)
        .directory(&path, Fate::Created)
        // The kernel returns this error.
        .directory(&made, EEXIST)
        .directory("/bye", Fate::Bye);
    script.verify(&arguments, || {
        fs::remove_dir(&made).unwrap();
        fs::remove_dir(&path).unwrap();
    });
}

#[test]
fn what_looks_like_tmp_and_leads_elsewhere_is_not_let_through() {
    if !is_known("-c", "5.5") {
        return;
    }
    let beneath = Beneath::new();
    std::os::unix::fs::symlink("/var/tmp", beneath.join("link")).unwrap();
    let (link, dots) = (beneath.join("link/x"), beneath.join("../../var/tmp/x"));
    let script = Script::new().directory(&link, EPERM).directory(&dots, EPERM);
    script.verify(&["-c".into(), link, dots], || {
        assert!(!std::path::Path::new("/var/tmp/x").exists());
    });
}

#[test]
fn without_the_option_nothing_is_let_through() {
    let outside = tempfile::Builder::new().prefix("seccomp-notify-min.").tempdir_in("/var/tmp");
    let outside = outside.unwrap();
    let path = outside.path().join("x").into_os_string();
    Script::new().directory(&path, EPERM).verify(std::slice::from_ref(&path), || {
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    });
}

#[test]
fn once_received_only_a_fatal_signal_ends_the_call() {
    if !is_known("-w", "5.19") {
        return;
    }
    let beneath = Beneath::new();
    let path = beneath.join("x");
    let run = program(["-w".into(), "-K".into(), "-d1".into(), path.clone()]).together().start();
    let target = run.wait_for("Target process: PID").writer;
    run.wait_for("Tracer: delaying");
    kill(Pid::from_raw(target), Signal::SIGINT).unwrap();
    let outcome = run.finish();
    assert_eq!(outcome.ended, Ended::Status(0), "{outcome:#?}");
    assert_eq!(beneath.contents(), ["x"]);
    let position = |beginning: &str| {
        let found = outcome
            .packets
            .iter()
            .position(|packet| packet.bytes.starts_with(beginning.as_bytes()));
        found.unwrap_or_else(|| panic!("{beginning}: {outcome:#?}"))
    };
    // The signal is not lost: its handler runs after the call has returned.
    let order = [
        "Tracer: delaying",
        "Tracer: mkdir",
        "Target process: received",
        "Target process: SUCCESS",
    ];
    assert!(order.map(position).is_sorted(), "{outcome:#?}");
    assert!(
        !outcome.packets.iter().any(|packet| packet.bytes.starts_with(b"Tracer: response failed"))
    );
}

#[test]
fn a_fatal_signal_ends_the_call_all_the_same() {
    if !is_known("-w", "5.19") {
        return;
    }
    let run = program(["-w", "-K", "-d1", "/etc/c"]).start();
    let target = run.wait_for("Target process: PID").writer;
    run.wait_for("Tracer: delaying");
    kill(Pid::from_raw(target), Signal::SIGKILL).unwrap();
    let outcome = run.finish();
    assert_eq!(outcome.ended, Ended::Status(1), "{outcome:#?}");
    let err = outcome.err();
    assert!(err.contains("Parent: target process was killed by signal 9\n"), "{err}");
    assert!(
        err.contains("Tracer: notification ID check (post-delay): target has died!!!!!!!!!!!\n")
    );
}

#[test]
fn with_both_options_and_no_signal_everything_is_as_usual() {
    if !is_known("-w", "5.19") || !is_known("-c", "5.5") {
        return;
    }
    let beneath = Beneath::new();
    let path = beneath.join("x");
    let script = Script::new().directory(&path, Fate::Created);
    script.verify(&["-wc".into(), path.clone()], || fs::remove_dir(&path).unwrap());
}

// ---- The measuring mode

/// The numbers of a report: calls, seconds, microseconds per call, calls per second.
fn report(outcome: &Outcome) -> (u64, f64, f64, u64) {
    let out = outcome.out();
    let lines: Vec<&str> = out.lines().collect();
    let [calls, "", time, "", each, rate] = lines[..] else { panic!("{out:?}") };
    let between = |line: &str, before: &str, after: &str| {
        let number = line.strip_prefix(before).and_then(|line| line.strip_suffix(after));
        number.unwrap_or_else(|| panic!("{line:?}")).to_owned()
    };
    let calls = between(calls, "# Executed ", " system calls");
    let time = between(time, "     Total time: ", " [sec]");
    let (each, rate) = (between(each, " ", " usecs/op"), between(rate, " ", " ops/sec"));
    // The formats of printf(3): %.3f, %14lf and %14d.
    let seconds: f64 = time.parse().unwrap();
    let micros: f64 = each.trim_start().parse().unwrap();
    let rate_number: u64 = rate.trim_start().parse().unwrap();
    assert_eq!(time, format!("{seconds:.3}"));
    assert_eq!(each, format!("{micros:14.6}"));
    assert_eq!(rate, format!("{rate_number:14}"));
    (calls.parse().unwrap(), seconds, micros, rate_number)
}

/// Runs the measuring mode, checks that it prints nothing but its report, and returns the report.
fn measure(arguments: &[OsString]) -> (u64, f64, f64, u64) {
    let outcome = program(arguments).finish();
    assert_eq!(outcome.ended, Ended::Status(0), "{outcome:#?}");
    assert_eq!(outcome.err(), "");
    assert_eq!(outcome.packets.len(), 1, "no transcript, one write: {outcome:#?}");
    report(&outcome)
}

#[test]
fn every_directory_is_made_count_times_and_the_time_is_told() {
    let beneath = Beneath::new();
    let (new, missing) = (beneath.join("x"), beneath.join("missing/x"));
    for keep in [false, true] {
        let mut arguments: Vec<OsString> =
            vec!["-b".into(), "500".into(), "/etc/c".into(), new.clone(), missing.clone()];
        if keep {
            arguments.push("-K".into());
        }
        let (calls, seconds, micros, rate) = measure(&arguments);
        assert_eq!(calls, 1500);
        // The three figures agree, except for rounding.
        let total = micros * 1500.0 / 1e6;
        assert!((total - seconds).abs() <= 0.001, "{total} and {seconds}");
        let reciprocal = 1e6 / micros;
        assert!(
            (reciprocal - rate as f64).abs() <= 1.0 + reciprocal * 1e-3,
            "{reciprocal}, {rate}"
        );
        assert_eq!(beneath.contents(), ["x"]);
        fs::remove_dir(&new).unwrap();
    }
}

/// The PIDs of a process's children, the oldest first.
fn children(parent: i32) -> Vec<i32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().expect("a PID")).collect()
}

#[test]
fn a_target_that_is_stopped_and_continued_is_measured_without_a_line() {
    let running = program(["-b", "200000", "/etc/c"]).start();
    let parent = running.pid().as_raw();
    let pause = |milliseconds| std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    let mut stops = 0;
    // Until the target, which is the older child, has ended.
    for _ in 0..5000 {
        match children(parent)[..] {
            [target, _] => {
                let target = Pid::from_raw(target);
                kill(target, Signal::SIGSTOP).ok();
                pause(1);
                kill(target, Signal::SIGCONT).ok();
                stops += 1;
            }
            _ if stops > 0 => break,
            _ => {}
        }
        pause(2);
    }
    let outcome = running.finish();
    assert!(stops > 50, "{stops} stops");
    assert_eq!((outcome.ended, outcome.err()), (Ended::Status(0), String::new()), "{outcome:#?}");
    assert_eq!(report(&outcome).0, 200_000);
}

#[test]
fn one_call_can_be_measured() {
    assert_eq!(measure(&["-b1".into(), "/etc/c".into()]).0, 1);
}

#[test]
fn wrong_answers_are_counted_and_a_failure() {
    // After /bye the calls fail with ENOSYS, which is a wrong answer.
    for keep in [false, true] {
        let mut run = vec!["-b", "10", "/bye"];
        if keep {
            run.push("-K");
        }
        let outcome = program(run).finish();
        assert_eq!(outcome.ended, Ended::Status(1), "{outcome:#?}");
        assert_eq!(report(&outcome).0, 10);
        assert!(outcome.err().contains("Target process: 9 wrong answers\n"), "{outcome:#?}");
    }
}

#[test]
fn a_second_filter_can_be_measured_too() {
    for second in ["-fe", "-ft"] {
        assert_eq!(measure(&["-b7".into(), second.into(), "/etc/c".into()]).0, 7);
    }
}

#[test]
fn a_report_that_cannot_be_printed_is_a_failure() {
    let run: Run = program(["-b", "10", "/etc/c"]).streams(|command| {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        command.stdout(full).stderr(std::process::Stdio::null());
    });
    assert_eq!(run.finish().ended, Ended::Status(1));
}
