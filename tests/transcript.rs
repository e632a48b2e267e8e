//! The transcript: each line comes in its process's order, after its cause and in one write, also if the reader is slow or
//! hostile. The promises are in `common/promises.rs`, since `tests/kernels` tests them on other machines too; this file runs
//! them here. `tests/hostile.rs` tests which paths are made and refused.

mod common;

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use common::promises::{self, EACH_PRINTS, FIRST_BYTES, Promise, SHORT, TIMES, Way};
use common::{Beneath, Ended, Outcome, Packet, Running, Stream, program};
use libtest_mimic::{Arguments, Trial};
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
fn a_full_device_is_a_failure_and_no_hang() {
    for arguments in EACH_PRINTS {
        let run = program(arguments).streams(|command| {
            command.stdout(full_device()).stderr(Stdio::null());
        });
        assert_eq!(run.finish().ended, Ended::Status(1), "{arguments:?}");
    }
}

/// Many promises wait for seconds, so that more are tried at a time than there are processors.
const THREADS: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let promises = promises::ALL.iter().map(|&(name, promise)| {
        Trial::test(name, move || {
            hold(promise);
            Ok(())
        })
    });
    let both = Trial::test("a_full_device_is_a_failure_and_no_hang", || {
        a_full_device_is_a_failure_and_no_hang();
        Ok(())
    });
    libtest_mimic::run(&arguments, promises.chain([both]).collect()).exit_code()
}
