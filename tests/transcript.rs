//! The transcript: each line, in its process's order and after its cause, each in one write, however
//! slow or hostile the reader. What paths are made or refused is `tests/hostile.rs`'s business.

mod common;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use common::transcript::{EEXIST, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, Fate, Script};
use common::{Beneath, Ended, Outcome, Stream, program};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};

/// A line that is torn or misplaced only now and then shall be caught.
const TIMES: usize = 20;

#[test]
fn a_created_directory_and_the_farewell_end_by_themselves_with_k() {
    let beneath = Beneath::new();
    let path = beneath.join("x");
    let script =
        Script::new().keep().directory(&path, Fate::Created).directory("/bye", Fate::Farewell);
    let arguments = ["-K".into(), path, "/bye".into()];
    for _ in 0..TIMES {
        script.verify(&arguments, || {
            assert_eq!(beneath.contents(), ["x"]);
            std::fs::remove_dir(beneath.path().join("x")).unwrap();
        });
    }
}

#[test]
fn what_is_beneath_tmp_is_created_and_what_is_not_is_refused() {
    let beneath = Beneath::new();
    let (a, b) = (beneath.join("a"), beneath.join("b"));
    let script = Script::new()
        .directory(&a, Fate::Created)
        .directory(&b, Fate::Created)
        .directory("/etc/c", EPERM);
    for _ in 0..TIMES {
        script.verify(&[&a, &b, &"/etc/c".into()], || {
            assert_eq!(beneath.contents(), ["a", "b"]);
            std::fs::remove_dir(&a).unwrap();
            std::fs::remove_dir(&b).unwrap();
        });
    }
}

#[test]
fn the_created_directory_has_the_mode_that_the_target_gave() {
    use std::os::unix::fs::PermissionsExt;
    let beneath = Beneath::new();
    let path = beneath.join("x");
    Script::new().keep().directory(&path, Fate::Created).verify(
        &["-K".into(), path.clone()],
        || {
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
            std::fs::remove_dir(&path).unwrap();
        },
    );
}

#[test]
fn the_target_gets_the_real_error_of_the_tracers_call() {
    let beneath = Beneath::new();
    let (missing, made) = (beneath.join("missing/x"), beneath.join("made"));
    std::fs::create_dir(&made).unwrap();
    let script = Script::new().keep().directory(&missing, ENOENT).directory(&made, EEXIST);
    for _ in 0..TIMES {
        script.verify(&["-K".into(), missing.clone(), made.clone()], || {
            assert_eq!(beneath.contents(), ["made"]);
        });
    }
}

#[test]
fn the_second_filter_that_fails_the_call_takes_precedence() {
    let beneath = Beneath::new();
    let path = beneath.join("x");
    let script = Script::new().keep().directory(&path, EOPNOTSUPP).directory("/bye", EOPNOTSUPP);
    for _ in 0..TIMES {
        script.verify(&["-f".into(), "e".into(), "-K".into(), path.clone(), "/bye".into()], || {
            assert!(beneath.contents().is_empty());
        });
    }
}

#[test]
fn the_second_filter_that_fails_the_call_needs_no_tracer() {
    let beneath = Beneath::new();
    let path = beneath.join("x");
    let script = Script::new().directory(&path, EOPNOTSUPP);
    for _ in 0..TIMES {
        script.verify(&["-fe".into(), path.clone()], || assert!(beneath.contents().is_empty()));
    }
}

#[test]
fn the_second_filter_that_asks_a_ptracer_yields_to_the_notification() {
    let beneath = Beneath::new();
    let path = beneath.join("x");
    let script = Script::new().directory(&path, Fate::Created).directory("/etc/c", EPERM);
    for _ in 0..TIMES {
        let arguments = ["-f".into(), "t".into(), path.clone(), "/etc/c".into()];
        script.verify(&arguments, || std::fs::remove_dir(&path).unwrap());
    }
}

#[test]
fn the_delay_is_counted_down_a_number_a_second() {
    thread::scope(|scope| {
        for _ in 0..TIMES {
            scope.spawn(|| {
                let beneath = Beneath::new();
                let path = beneath.join("x");
                let script = Script::new().delay(2).directory(&path, Fate::Created);
                let run = program(["-d".into(), "2".into(), path]).together().finish();
                script.check(&run);
                assert!(run.took >= Duration::from_secs(2), "{run:#?}");
            });
        }
    });
}

#[test]
fn each_notification_is_delayed_and_the_streams_stay_apart() {
    let beneath = Beneath::new();
    let path = beneath.join("x");
    let script = Script::new()
        .delay(1)
        .keep()
        .directory(&path, Fate::Created)
        .directory("/etc/c", EPERM)
        .directory("/bye", Fate::Farewell);
    let run = program(["-Kd1".into(), path, "/etc/c".into(), "/bye".into()]).finish();
    script.check(&run);
    assert!(run.took >= Duration::from_secs(3), "{run:#?}");
}

#[test]
fn a_delay_of_none_is_no_delay() {
    Script::new().directory("/etc/c", EPERM).verify(&["-d", "0", "/etc/c"], || {});
}

#[test]
fn after_the_farewell_nobody_listens_any_more() {
    let beneath = Beneath::new();
    let (x, y) = (beneath.join("x"), beneath.join("y"));
    for keep in [false, true] {
        let mut script = Script::new()
            .directory("/bye", Fate::Farewell)
            .directory(&x, ENOSYS)
            .directory("/bye", ENOSYS)
            .directory(&y, ENOSYS);
        let mut arguments = vec!["/bye".into(), x.clone(), "/bye".into(), y.clone()];
        if keep {
            script = script.keep();
            arguments.push("-K".into());
        }
        for _ in 0..TIMES {
            script.verify(&arguments, || assert!(beneath.contents().is_empty()));
        }
    }
}

#[test]
fn a_hundred_directories_in_a_row_are_told_in_order() {
    let beneath = Beneath::new();
    let mut script = Script::new();
    let mut arguments = Vec::new();
    for i in 0..100 {
        let (path, fate) = match i % 3 {
            0 => (beneath.join(i.to_string()), Fate::Created),
            1 => (format!("/nope/{i}").into(), EPERM),
            _ => (beneath.join(format!("missing/{i}")), ENOENT),
        };
        script = script.directory(&path, fate);
        arguments.push(path);
    }
    script.verify(&arguments, || {
        for i in (0..100).step_by(3) {
            std::fs::remove_dir(beneath.join(i.to_string())).unwrap();
        }
        assert!(beneath.contents().is_empty());
    });
}

#[test]
fn every_text_of_the_fixed_transcript_appears_to_the_letter() {
    // As the specification has them; the rest of this file composes them from parts.
    let beneath = Beneath::new();
    let (path, length) = (beneath.join("x"), beneath.join("x").len());
    let arguments = ["-d1".into(), "-K".into(), path.clone(), "/etc/c".into(), "/bye".into()];
    let run = program(arguments).finish();
    let (out, path) = (run.out(), path.to_str().unwrap());
    let pid = |beginning: &str| {
        let line = out.lines().find(|line| line.starts_with(beginning)).expect("the line is there");
        line.rsplit(' ').next().expect("it has a number").to_owned()
    };
    let (target, tracer) = (pid("Target process: PID = "), pid("Tracer: PID = "));
    // The IDs are the kernel's.
    let out: String = out
        .split_inclusive('\n')
        .map(|line| match line.split_once("; ID is ") {
            Some((before, _)) => format!("{before}; ID is X\n"),
            None => line.to_owned(),
        })
        .collect();
    let blocks = |speaker: &str| -> String {
        out.split_inclusive('\n').filter(|line| line.starts_with(speaker)).collect()
    };
    assert_eq!(
        blocks("Target"),
        format!(
            "Target process: PID = {target}\n\
             Target process: about to make directory \"{path}\"\n\
             Target process: SUCCESS: mkdir(2) returned = {length}\n\
             Target process: about to make directory \"/etc/c\"\n\
             Target process: about to make directory \"/bye\"\n\
             Target process: terminating\n"
        )
    );
    assert_eq!(
        blocks("Tracer"),
        format!(
            "Tracer: PID = {tracer}\n\
             Tracer: got notification for PID {target}; ID is X\n\
             Tracer: delaying for 1 seconds: 1\n\
             Tracer: mkdir(\"{path}\", 600)\n\
             Tracer: got notification for PID {target}; ID is X\n\
             Tracer: delaying for 1 seconds: 1\n\
             Tracer: mkdir(\"/etc/c\", 600)\n\
             Tracer: got notification for PID {target}; ID is X\n\
             Tracer: delaying for 1 seconds: 1\n\
             Tracer: mkdir(\"/bye\", 600)\n\
             Tracer: terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n"
        )
    );
    assert_eq!(blocks("Parent"), "Parent: target process has terminated\n");
    assert_eq!(run.err(), "Target process: mkdir: Operation not permitted\n".repeat(2));
    assert_eq!(out.lines().filter(|line| line.is_empty()).count(), 3);
}

/// Waits until the tracer waits, so that the target does too, and interrupts the target.
fn interrupt(arguments: &[&str], when: &str) -> Outcome {
    let run = program(arguments).together().start();
    let target = run.wait_for("Target process: PID").writer;
    run.wait_for(when);
    kill(Pid::from_raw(target), Signal::SIGINT).unwrap();
    run.finish()
}

#[test]
fn a_signal_takes_the_call_away_while_the_tracer_waits() {
    let beneath = Beneath::new();
    let path = beneath.join("x");
    let path = path.to_str().unwrap();
    let run = interrupt(&["-K", "-d", "1", path, "/bye"], "Tracer: delaying");
    assert_eq!(run.ended, Ended::Status(0));
    // What did not happen any more is not told, and nothing was made.
    assert!(beneath.contents().is_empty());
    // By process: the delay's line is not yet ended when the target speaks.
    let of = |beginning: &str| -> Vec<String> {
        let writers = run.by_writer();
        let mut writers = writers.values();
        let of = writers.find(|packets| packets[0].bytes.starts_with(beginning.as_bytes()));
        let bytes = of.expect("it speaks").iter().flat_map(|packet| packet.bytes.clone()).collect();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(
        of("Target")[1..],
        [
            &format!("Target process: about to make directory \"{path}\""),
            "Target process: received signal",
            "Target process: mkdir: Interrupted system call",
            "Target process: about to make directory \"/bye\"",
            "Target process: mkdir: Operation not permitted",
            "Target process: terminating",
        ]
    );
    let tracer = of("Tracer");
    let tail = |line: &str| line.split("; ID").next().unwrap_or_default().to_owned();
    let got = tail(&tracer[1]);
    assert!(got.starts_with("Tracer: got notification for PID "), "{tracer:#?}");
    assert_eq!(
        tracer[2..].iter().map(|line| tail(line)).collect::<Vec<_>>(),
        [
            "Tracer: delaying for 1 seconds: 1",
            "Tracer: notification ID check (post-delay): target has died!!!!!!!!!!!",
            "Tracer: response failed with ENOENT; perhaps target process's syscall was interrupted by signal?",
            &got,
            "Tracer: delaying for 1 seconds: 1",
            "Tracer: mkdir(\"/bye\", 600)",
            "Tracer: terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<",
        ]
    );
}

#[test]
fn a_line_longer_than_any_buffer_is_one_write() {
    let path = format!("/{}", "long".repeat(25_000));
    let run = program(["-K", &path]).finish();
    assert_eq!(run.ended, Ended::Status(0));
    let announcement = format!("\nTarget process: about to make directory \"{path}\"\n");
    assert_eq!(run.packets.iter().filter(|p| p.bytes == announcement.as_bytes()).count(), 1);
    // The kernel takes no such path, so neither does the tracer.
    assert!(run.err().contains("Target process: mkdir: File name too long\n"), "{}", run.err());
}

#[test]
fn lines_around_the_size_of_the_buffer_are_one_write_each() {
    // The buffers' sizes are the program's own business; every length up to past two of them.
    for length in (1..40).chain(200..300).chain(400..600) {
        let path = format!("/{}", "x".repeat(length));
        Script::new().directory(&path, EPERM).check(&program([&path]).finish());
    }
}

#[test]
fn control_bytes_of_a_path_are_escaped_so_that_no_line_can_be_forged() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let all: Vec<u8> = std::iter::once(b'/').chain(1..=255).collect();
    let forged = b"/x\", 600)\nTracer: terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n\x1b[2J\\x0a";
    for path in [&all[..], forged] {
        let path = OsStr::from_bytes(path);
        Script::new().directory(path, EPERM).verify(&[path], || {});
    }
}

/// Both ends of a pipe, the one to read from first.
fn pipe() -> (File, File) {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

/// Runs the program with a long path, its standard output a pipe that is read slowly, and returns
/// what arrives and how it ended.
fn read_slowly(path: &str, non_blocking: bool) -> (Vec<u8>, Ended) {
    let (mut reader, writer) = pipe();
    if non_blocking {
        fcntl(writer.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    }
    let run = program([path]).streams(|command| {
        command.stdout(writer).stderr(Stdio::null());
    });
    let run = run.start();
    let (mut all, mut some) = (Vec::new(), [0; 7000]);
    loop {
        thread::sleep(Duration::from_millis(5));
        match reader.read(&mut some).unwrap() {
            0 => break,
            read => all.extend(&some[..read]),
        }
    }
    (all, run.finish().ended)
}

#[test]
fn a_slow_reader_gets_everything() {
    // More than a pipe holds.
    let path = format!("/{}", "slow".repeat(25_000));
    let announcement = format!("\nTarget process: about to make directory \"{path}\"\n");
    for non_blocking in [false, true] {
        let (all, ended) = read_slowly(&path, non_blocking);
        assert_eq!(ended, Ended::Status(0));
        let all = String::from_utf8(all).unwrap();
        // A pipe keeps together what fits into PIPE_BUF bytes, not more (pipe(7)): the only line that
        // another process may write meanwhile can come between.
        let begin = all.find("Tracer: PID = ").unwrap();
        let end = begin + all[begin..].find('\n').unwrap() + 1;
        let others = [&all[..begin], &all[end..]].concat();
        assert!(others.contains(&announcement), "non-blocking: {non_blocking}; {}", all.len());
        assert!(all.ends_with("Parent: killing tracer\n"), "non-blocking: {non_blocking}");
    }
}

#[test]
fn a_pipe_gets_the_same_bytes_as_a_socket() {
    let (mut reader, writer) = pipe();
    let arguments = ["-K", "/etc/a", "/etc/b", "/bye"];
    let run = program(arguments).streams(|command| {
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
    });
    let run = run.start();
    let mut through_the_pipe = String::new();
    reader.read_to_string(&mut through_the_pipe).unwrap();
    assert_eq!(run.finish().ended, Ended::Status(0));

    let through_a_socket = program(arguments).together().finish().of(Stream::Both);
    let lines = |text: &str| -> Vec<String> {
        let no_number = |word: &str| {
            let number = word.trim_end_matches(';').chars().all(|c| c.is_ascii_hexdigit());
            if number { "N".into() } else { word.to_owned() }
        };
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| line.split(' ').map(no_number).collect::<Vec<_>>().join(" "))
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&through_the_pipe), lines(&String::from_utf8(through_a_socket).unwrap()));
}

/// Command lines in which each process has something to say.
const TALKATIVE: [&[&str]; 4] =
    [&["/etc/c"], &["-K", "/etc/c"], &["-K", "/etc/c", "/bye"], &["-f", "e", "/etc/c"]];

#[test]
fn a_full_device_is_a_failure_and_no_hang() {
    for arguments in TALKATIVE {
        let run = program(arguments).streams(|command| {
            let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
            command.stdout(full).stderr(Stdio::null());
        });
        assert_eq!(run.finish().ended, Ended::Status(1), "{arguments:?}");
    }
}

#[test]
fn a_full_device_is_told_on_the_standard_error_output() {
    for arguments in TALKATIVE {
        let (mut reader, writer) = pipe();
        let run = program(arguments).streams(|command| {
            let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
            command.stdout(full).stderr(writer);
        });
        assert_eq!(run.finish().ended, Ended::Status(1), "{arguments:?}");
        let mut told = String::new();
        reader.read_to_string(&mut told).unwrap();
        let line = "Target process: write: No space left on device\n";
        assert!(told.contains(line), "{arguments:?}: {told}");
        assert!(told.contains("Parent: write: No space left on device\n"), "{told}");
    }
}

#[test]
fn a_failing_standard_error_output_is_a_failure_and_no_hang() {
    // Standard output is well; what fails is the result line of the target.
    let run = program(["-K", "/etc/c"]).streams(|command| {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        command.stdout(Stdio::null()).stderr(full);
    });
    assert_eq!(run.finish().ended, Ended::Status(1));
}

#[test]
fn a_closed_pipe_is_a_failure_and_no_hang() {
    for arguments in TALKATIVE {
        let run = program(arguments).streams(|command| {
            let (reader, writer) = pipe();
            drop(reader);
            command.stdout(writer).stderr(Stdio::null());
        });
        assert_ne!(run.finish().ended, Ended::Status(0), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_goes_away_in_the_middle_is_a_failure_and_no_hang() {
    let path = format!("/{}", "gone".repeat(25_000));
    let (mut reader, writer) = pipe();
    let run = program(["-K", &path, "/bye"]).streams(|command| {
        command.stdout(writer).stderr(Stdio::null());
    });
    let run = run.start();
    reader.read_exact(&mut [0; 10]).unwrap();
    drop(reader);
    assert_ne!(run.finish().ended, Ended::Status(0));
}

#[test]
fn a_file_that_takes_only_part_of_a_line_is_a_failure() {
    // The write is short at first, then fails: EFBIG, its signal ignored.
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"").unwrap();
    let path = format!("/{}", "full".repeat(1000));
    let run = program([&path])
        .streams(|command| {
            command.stdout(file.try_clone().unwrap()).stderr(Stdio::null());
        })
        .before(|| {
            // SAFETY: ignores a signal.
            unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_FSIZE, 1000, 1000)?;
            Ok(())
        });
    assert_eq!(run.finish().ended, Ended::Status(1));
    assert_eq!(file.metadata().unwrap().len(), 1000);
}
