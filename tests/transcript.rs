//! The transcript: each line comes in its process's order, after its cause and in one write, also if the reader is slow or
//! hostile. The promises are in `common/promises.rs`, since `tests/kernels` tests them on other machines too; this file runs
//! them here. `tests/hostile.rs` tests which paths are made and refused.

mod common;

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use common::promises::{self, EACH_PRINTS, FIRST_BYTES, Promise, SHORT, TIMES, Way};
use common::{Beneath, Ended, Outcome, Packet, Running, Stream, program};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};

/// Tests a promise as often as its `repeat` says.
fn hold(promise: fn(&OsStr) -> Promise) {
    let trials = promise("/".as_ref()).trials();
    thread::scope(|scope| (0..trials).for_each(|_| drop(scope.spawn(|| hold_beneath(promise)))));
}

/// Tests a promise once, beneath its own directory.
fn hold_beneath(promise: fn(&OsStr) -> Promise) {
    let beneath = Beneath::new();
    let promise = promise(beneath.path().as_os_str());
    promise.before.iter().for_each(|path| std::fs::create_dir(path).unwrap());
    let before = beneath.contents();
    for (line, way) in promise.runs(TIMES) {
        let run = run(&line.arguments, way);
        if let Err(why) = (line.check)(&run) {
            panic!("{way:?}: {why}\nthe run: {run:#?}");
        }
        for path in &line.made {
            let mode = std::fs::symlink_metadata(path).unwrap().permissions().mode();
            assert_eq!(mode, promises::MADE, "{path:?}");
            std::fs::remove_dir(path).unwrap();
        }
        assert_eq!(beneath.contents(), before);
    }
}

/// Runs the program and watches the run in this way.
fn run(arguments: &[OsString], way: Way) -> Outcome {
    match way {
        Way::Apart => program(arguments).finish(),
        Way::Together => program(arguments).together().finish(),
        Way::Interrupted => {
            let run = program(arguments).together().start();
            let target = run.wait_for("Target process: PID").writer;
            run.wait_for("Tracer: delaying");
            kill(Pid::from_raw(target), Signal::SIGINT).unwrap();
            run.finish()
        }
        Way::SlowPipe | Way::SlowNonBlockingPipe | Way::Pipe | Way::ClosedPipe | Way::LeftPipe => {
            through_a_pipe(arguments, way)
        }
        Way::FullDevice => {
            let (reader, writer) = pipe();
            let run = program(arguments).streams(|command| {
                command.stdout(full_device()).stderr(writer);
            });
            read_to_the_end(run.start(), reader, Stream::Err, Duration::ZERO)
        }
        Way::FullErrorDevice => {
            let run = program(arguments).streams(|command| {
                command.stdout(Stdio::null()).stderr(full_device());
            });
            run.finish()
        }
        Way::ShortFile => into_a_short_file(arguments),
    }
}

fn through_a_pipe(arguments: &[OsString], way: Way) -> Outcome {
    let (reader, writer) = pipe();
    if way == Way::SlowNonBlockingPipe {
        fcntl(writer.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    }
    let mut reader = Some(reader);
    if way == Way::ClosedPipe {
        reader = None;
    }
    let run = program(arguments).streams(|command| {
        if way == Way::Pipe {
            command.stderr(writer.try_clone().unwrap());
        } else {
            command.stderr(Stdio::null());
        }
        command.stdout(writer);
    });
    let run = run.start();
    match reader {
        None => run.finish(),
        Some(mut reader) if way == Way::LeftPipe => {
            reader.read_exact(&mut [0; FIRST_BYTES]).unwrap();
            drop(reader);
            run.finish()
        }
        Some(reader) if way == Way::Pipe => {
            read_to_the_end(run, reader, Stream::Both, Duration::ZERO)
        }
        Some(reader) => read_to_the_end(run, reader, Stream::Out, Duration::from_millis(5)),
    }
}

/// Reads a pipe to its end, with a pause before each read. The result has one packet, without its writer.
fn read_to_the_end(run: Running, mut reader: File, stream: Stream, pause: Duration) -> Outcome {
    let (mut bytes, mut some) = (Vec::new(), [0; 7000]);
    loop {
        thread::sleep(pause);
        match reader.read(&mut some).unwrap() {
            0 => break,
            read => bytes.extend(&some[..read]),
        }
    }
    Outcome { packets: vec![Packet { stream, writer: 0, bytes }], ..run.finish() }
}

fn full_device() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

fn into_a_short_file(arguments: &[OsString]) -> Outcome {
    let mut file = tempfile::tempfile().unwrap();
    let run = program(arguments)
        .streams(|command| {
            command.stdout(file.try_clone().unwrap()).stderr(Stdio::null());
        })
        .before(|| {
            setrlimit(Resource::RLIMIT_FSIZE, SHORT as u64, SHORT as u64)?;
            Ok(())
        });
    let outcome = run.finish();
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    Outcome { packets: vec![Packet { stream: Stream::Out, writer: 0, bytes }], ..outcome }
}

/// Both ends of a pipe. The end to read from is the first.
fn pipe() -> (File, File) {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

/// Both streams fail here. In the promises, only one of them does.
#[test]
fn a_full_device_is_a_failure_and_no_hang() {
    for arguments in EACH_PRINTS {
        let run = program(arguments).streams(|command| {
            command.stdout(full_device()).stderr(Stdio::null());
        });
        assert_eq!(run.finish().ended, Ended::Status(1), "{arguments:?}");
    }
}

/// Makes a test of each of these promises.
macro_rules! held {
    ($($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                hold(promises::$name);
            }
        )*

        #[test]
        fn every_promise_is_a_test() {
            let names = promises::ALL.iter().map(|(name, _)| *name);
            assert_eq!([$(stringify!($name)),*], *names.collect::<Vec<_>>());
        }
    };
}

held! {
    a_created_directory_and_bye_end_by_themselves_with_k,
    what_is_beneath_tmp_is_created_and_what_is_not_is_refused,
    the_created_directory_has_the_mode_that_the_target_gave,
    the_target_gets_the_real_error_of_the_tracers_call,
    the_second_filter_that_fails_the_call_takes_precedence,
    the_second_filter_that_fails_the_call_needs_no_tracer,
    the_second_filter_that_asks_a_ptracer_yields_to_the_notification,
    the_delay_is_counted_down_a_number_a_second,
    each_notification_is_delayed_and_the_streams_stay_apart,
    a_delay_of_none_is_no_delay,
    after_bye_every_mkdir_fails_with_enosys,
    a_hundred_directories_in_a_row_are_told_in_order,
    every_text_of_the_fixed_transcript_appears_to_the_letter,
    a_signal_takes_the_call_away_while_the_tracer_waits,
    a_line_longer_than_any_buffer_is_one_write,
    lines_around_the_size_of_the_buffer_are_one_write_each,
    control_bytes_of_a_path_are_escaped_so_that_no_line_can_be_forged,
    a_slow_reader_gets_everything,
    a_pipe_gets_the_same_bytes_as_a_socket,
    a_full_device_is_a_failure_told_on_the_standard_error_output,
    a_failing_standard_error_output_is_a_failure_and_no_hang,
    a_closed_pipe_is_a_failure_and_no_hang,
    a_reader_that_goes_away_in_the_middle_is_a_failure_and_no_hang,
    a_file_that_takes_only_part_of_a_line_is_a_failure,
}
