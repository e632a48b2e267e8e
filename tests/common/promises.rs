//! The promises about the transcript: command lines and the checks of their runs. `tests/transcript.rs` runs them here,
//! `tests/kernels` runs them in virtual machines, each in its own way.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;

use super::transcript::{EEXIST, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, Fate, Script};
use super::{Ended, Outcome, Stream};

/// How often a run is repeated, to find a line that is torn or misplaced only now and then.
pub const TIMES: usize = 20;

/// The file type and mode of a directory that was made (inode(7)): a directory with mode 600.
pub const MADE: u32 = 0o040_600;

/// How often a promise is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Once in each way of watching.
    Once,
    /// Many times in a row, in the ways of watching by turns.
    InARow,
    /// [`TIMES`] trials at the same time, each beneath its own directory.
    AtOnce,
}

/// How a run is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Each stream is a socket that keeps the writes apart and names the writers.
    Apart,
    /// Both streams are one such socket, which shows the order of all writes.
    Together,
    /// As `Together`, and the target gets a SIGINT as soon as the tracer delays.
    Interrupted,
    /// Standard output is a pipe that is read slowly, standard error is discarded.
    SlowPipe,
    /// As `SlowPipe`, and the pipe is non-blocking.
    SlowNonBlockingPipe,
    /// Both streams are one pipe.
    Pipe,
    /// Standard output is a full device.
    FullDevice,
    /// Standard error is a full device, standard output is discarded.
    FullErrorDevice,
    /// Standard output is a pipe without a reader, standard error is discarded.
    ClosedPipe,
    /// As `ClosedPipe`, but the reader closes the pipe only after the first bytes.
    LeftPipe,
    /// Standard output is a file of at most [`SHORT`] bytes (`RLIMIT_FSIZE`, with its signal ignored), standard error is
    /// discarded.
    ShortFile,
}

/// The limit of a short file, in bytes.
pub const SHORT: usize = 1000;
/// How many bytes are read before the reader closes the pipe.
pub const FIRST_BYTES: usize = 10;

const BOTH: &[Way] = &[Way::Apart, Way::Together];

/// The result of a check, and what is wrong.
pub type Verdict = Result<(), String>;

/// One command line.
pub struct Line {
    pub arguments: Vec<OsString>,
    pub ways: &'static [Way],
    /// The directories that the run makes; [`MADE`] is their type and mode.
    pub made: Vec<OsString>,
    pub check: Box<dyn Fn(&Outcome) -> Verdict + Send + Sync>,
}

impl Line {
    /// A command line that must have this transcript in every way of watching.
    fn of<S: AsRef<OsStr>>(arguments: &[S], script: Script) -> Self {
        let made = script.made();
        let mut line = Self::checked(arguments, move |run| script.compare(run));
        line.made = made;
        line
    }

    /// A command line with another check of its run.
    fn checked<S: AsRef<OsStr>>(
        arguments: &[S],
        check: impl Fn(&Outcome) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        Self {
            arguments: arguments.iter().map(|argument| argument.as_ref().to_owned()).collect(),
            ways: BOTH,
            made: Vec::new(),
            check: Box::new(check),
        }
    }

    fn ways(mut self, ways: &'static [Way]) -> Self {
        self.ways = ways;
        self
    }
}

/// A promise: the command lines that keep it.
pub struct Promise {
    pub repeat: Repeat,
    /// The directories that exist before the first run.
    pub before: Vec<OsString>,
    pub lines: Vec<Line>,
}

impl Promise {
    /// The runs of one trial, in their order: `many` for each way of watching if the promise is tried many times.
    pub fn runs(&self, many: usize) -> impl Iterator<Item = (&Line, Way)> {
        let times = if self.repeat == Repeat::InARow { many } else { 1 };
        self.lines
            .iter()
            .flat_map(move |line| (0..times).flat_map(|_| line.ways).map(move |&way| (line, way)))
    }

    /// The number of trials at the same time, each beneath its own directory.
    pub fn trials(&self) -> usize {
        if self.repeat == Repeat::AtOnce { TIMES } else { 1 }
    }
}

fn once(line: Line) -> Promise {
    Promise { repeat: Repeat::Once, before: Vec::new(), lines: vec![line] }
}

fn repeated(line: Line) -> Promise {
    Promise { repeat: Repeat::InARow, ..once(line) }
}

/// The path of `name` in `beneath`.
fn join(beneath: &OsStr, name: &str) -> OsString {
    let mut path = beneath.to_owned();
    path.push("/");
    path.push(name);
    path
}

macro_rules! promises {
    ($(
        $(#[$attribute:meta])*
        fn $name:ident($beneath:ident: &OsStr) -> Promise $body:block
    )*) => {
        $(
            $(#[$attribute])*
            pub fn $name($beneath: &OsStr) -> Promise $body
        )*
        /// All promises, with their names.
        pub const ALL: &[(&str, fn(&OsStr) -> Promise)] = &[$((stringify!($name), $name)),*];
    };
}

/// Command lines with which each process prints something.
pub const EACH_PRINTS: [&[&str]; 4] =
    [&["/etc/c"], &["-K", "/etc/c"], &["-K", "/etc/c", "/bye"], &["-f", "e", "/etc/c"]];

/// A promise about [`EACH_PRINTS`].
fn each_prints(ways: &'static [Way], check: fn(&Outcome) -> Verdict) -> Promise {
    let lines = EACH_PRINTS.map(|arguments| Line::checked(arguments, check).ways(ways));
    Promise { repeat: Repeat::Once, before: Vec::new(), lines: lines.into() }
}

fn status_1(run: &Outcome) -> Verdict {
    equal(run.ended, Ended::Status(1))
}

fn failed(run: &Outcome) -> Verdict {
    match run.ended {
        Ended::Status(0) => Err("ended as if all were well".into()),
        _ => Ok(()),
    }
}

// Each promise takes the directory beneath /tmp that its trial uses.
promises! {
    fn a_created_directory_and_bye_end_by_themselves_with_k(beneath: &OsStr) -> Promise {
        let path = join(beneath, "x");
        let script = Script::new().keep().directory(&path, Fate::Created);
        let script = script.directory("/bye", Fate::Bye);
        repeated(Line::of(&["-K".into(), path, "/bye".into()], script))
    }

    fn what_is_beneath_tmp_is_created_and_what_is_not_is_refused(beneath: &OsStr) -> Promise {
        let (a, b) = (join(beneath, "a"), join(beneath, "b"));
        let script = Script::new()
            .directory(&a, Fate::Created)
            .directory(&b, Fate::Created)
            .directory("/etc/c", EPERM);
        repeated(Line::of(&[a, b, "/etc/c".into()], script))
    }

    /// The mode is that of [`MADE`]. Every other run that makes a directory checks it too.
    fn the_created_directory_has_the_mode_that_the_target_gave(beneath: &OsStr) -> Promise {
        let path = join(beneath, "x");
        let script = Script::new().keep().directory(&path, Fate::Created);
        once(Line::of(&["-K".into(), path], script))
    }

    fn the_target_gets_the_real_error_of_the_tracers_call(beneath: &OsStr) -> Promise {
        let (missing, made) = (join(beneath, "missing/x"), join(beneath, "made"));
        let script = Script::new().keep().directory(&missing, ENOENT).directory(&made, EEXIST);
        let line = Line::of(&["-K".into(), missing, made.clone()], script);
        Promise { before: vec![made], ..repeated(line) }
    }

    fn the_second_filter_that_fails_the_call_takes_precedence(beneath: &OsStr) -> Promise {
        let path = join(beneath, "x");
        let script = Script::new().keep().directory(&path, EOPNOTSUPP);
        let script = script.directory("/bye", EOPNOTSUPP);
        repeated(Line::of(&["-f".into(), "e".into(), "-K".into(), path, "/bye".into()], script))
    }

    fn the_second_filter_that_fails_the_call_needs_no_tracer(beneath: &OsStr) -> Promise {
        let path = join(beneath, "x");
        let script = Script::new().directory(&path, EOPNOTSUPP);
        repeated(Line::of(&["-fe".into(), path], script))
    }

    fn the_second_filter_that_asks_a_ptracer_yields_to_the_notification(beneath: &OsStr) -> Promise {
        let path = join(beneath, "x");
        let script = Script::new().directory(&path, Fate::Created).directory("/etc/c", EPERM);
        repeated(Line::of(&["-f".into(), "t".into(), path, "/etc/c".into()], script))
    }

    fn the_delay_is_counted_down_a_number_a_second(beneath: &OsStr) -> Promise {
        let path = join(beneath, "x");
        let script = Script::new().delay(2).directory(&path, Fate::Created);
        let line = Line::of(&["-d".into(), "2".into(), path], script).ways(&[Way::Together]);
        Promise { repeat: Repeat::AtOnce, ..once(line) }
    }

    fn each_notification_is_delayed_and_the_streams_stay_apart(beneath: &OsStr) -> Promise {
        let path = join(beneath, "x");
        let script = Script::new()
            .delay(1)
            .keep()
            .directory(&path, Fate::Created)
            .directory("/etc/c", EPERM)
            .directory("/bye", Fate::Bye);
        let arguments = ["-Kd1".into(), path, "/etc/c".into(), "/bye".into()];
        once(Line::of(&arguments, script).ways(&[Way::Apart]))
    }

    fn a_delay_of_none_is_no_delay(_beneath: &OsStr) -> Promise {
        once(Line::of(&["-d", "0", "/etc/c"], Script::new().directory("/etc/c", EPERM)))
    }

    fn after_bye_every_mkdir_fails_with_enosys(beneath: &OsStr) -> Promise {
        let (x, y) = (join(beneath, "x"), join(beneath, "y"));
        let script = || {
            Script::new()
                .directory("/bye", Fate::Bye)
                .directory(&x, ENOSYS)
                .directory("/bye", ENOSYS)
                .directory(&y, ENOSYS)
        };
        let mut arguments = vec!["/bye".into(), x.clone(), "/bye".into(), y.clone()];
        let without = Line::of(&arguments, script());
        arguments.push("-K".into());
        let with = Line::of(&arguments, script().keep());
        Promise { repeat: Repeat::InARow, before: Vec::new(), lines: vec![without, with] }
    }

    fn a_hundred_directories_in_a_row_are_told_in_order(beneath: &OsStr) -> Promise {
        let (mut script, mut arguments) = (Script::new(), Vec::new());
        for i in 0..100 {
            let (path, fate) = match i % 3 {
                0 => (join(beneath, &i.to_string()), Fate::Created),
                1 => (format!("/nope/{i}").into(), EPERM),
                _ => (join(beneath, &format!("missing/{i}")), ENOENT),
            };
            script = script.directory(&path, fate);
            arguments.push(path);
        }
        once(Line::of(&arguments, script))
    }

    fn every_text_of_the_fixed_transcript_appears_to_the_letter(beneath: &OsStr) -> Promise {
        let path = join(beneath, "x");
        let arguments =
            ["-d1".into(), "-K".into(), path.clone(), "/etc/c".into(), "/bye".into()];
        let shown = path.to_str().expect("a path of letters").to_owned();
        let line = Line::checked(&arguments, move |run| to_the_letter(run, &shown));
        once(Line { made: vec![path], ..line.ways(&[Way::Apart]) })
    }

    fn a_signal_takes_the_call_away_while_the_tracer_waits(beneath: &OsStr) -> Promise {
        let path = join(beneath, "x");
        let arguments = ["-K".into(), "-d".into(), "1".into(), path.clone(), "/bye".into()];
        let shown = path.to_str().expect("a path of letters").to_owned();
        // The tracer does not print that it makes the directory, and does not make it.
        let line = Line::checked(&arguments, move |run| interrupted(run, &shown));
        once(line.ways(&[Way::Interrupted]))
    }

    fn a_line_longer_than_any_buffer_is_one_write(_beneath: &OsStr) -> Promise {
        let path = format!("/{}", "long".repeat(25_000));
        let line = Line::checked(&["-K", &path.clone()], move |run| {
            status_0(run)?;
            let announcement = announcement(&path);
            let whole = run.packets.iter().filter(|p| p.bytes == announcement.as_bytes()).count();
            if whole != 1 {
                return Err(format!("{whole} writes with the whole announcement"));
            }
            // The kernel refuses a path of this length, so the tracer does too.
            if !run.err().contains("Target process: mkdir: File name too long\n") {
                return Err(format!("the wrong error: {}", run.err()));
            }
            Ok(())
        });
        once(line.ways(&[Way::Apart]))
    }

    /// The test does not know the sizes of the buffers: it tries every length around them.
    fn lines_around_the_size_of_the_buffer_are_one_write_each(_beneath: &OsStr) -> Promise {
        let lengths: Vec<usize> = (1..40).chain(200..300).chain(400..600).collect();
        // Several paths in one run: a hundred runs take seconds in an emulated machine.
        let lines = lengths.chunks(10).map(|lengths| {
            let paths: Vec<_> =
                lengths.iter().map(|&length| format!("/{}", "x".repeat(length))).collect();
            let script =
                paths.iter().fold(Script::new(), |script, path| script.directory(path, EPERM));
            Line::of(&paths, script).ways(&[Way::Apart])
        });
        Promise { repeat: Repeat::Once, before: Vec::new(), lines: lines.collect() }
    }

    fn control_bytes_of_a_path_are_escaped_so_that_no_line_can_be_forged(_beneath: &OsStr) -> Promise {
        let all: Vec<u8> = std::iter::once(b'/').chain(1..=255).collect();
        let forged =
            b"/x\", 600)\nTracer: terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n\x1b[2J\\x0a";
        let lines = [all, forged.to_vec()].map(|path| {
            let path = OsString::from_vec(path);
            Line::of(&[&path], Script::new().directory(&path, EPERM))
        });
        Promise { repeat: Repeat::Once, before: Vec::new(), lines: lines.into() }
    }

    fn a_slow_reader_gets_everything(_beneath: &OsStr) -> Promise {
        // More than a pipe holds.
        let path = format!("/{}", "slow".repeat(25_000));
        let line = Line::checked(&[&path.clone()], move |run| {
            status_0(run)?;
            let all = run.out();
            // A write of more than PIPE_BUF bytes to a pipe is not atomic (pipe(7)). The tracer's first line, the only
            // one that another process writes at this time, can be in the middle of it.
            let begin = all.find("Tracer: PID = ").ok_or("no tracer")?;
            let end = begin + all[begin..].find('\n').ok_or("no line's end")? + 1;
            let others = [&all[..begin], &all[end..]].concat();
            if !others.contains(&announcement(&path)) {
                return Err(format!("no whole announcement in {} bytes", all.len()));
            }
            if !all.ends_with("Parent: killing tracer\n") {
                return Err("no end".into());
            }
            Ok(())
        });
        once(line.ways(&[Way::SlowPipe, Way::SlowNonBlockingPipe]))
    }

    fn a_pipe_gets_the_same_bytes_as_a_socket(_beneath: &OsStr) -> Promise {
        let script = Script::new()
            .keep()
            .directory("/etc/a", EPERM)
            .directory("/etc/b", EPERM)
            .directory("/bye", Fate::Bye);
        let line = Line::checked(&["-K", "/etc/a", "/etc/b", "/bye"], move |run| {
            status_0(run)?;
            script.compare_lines(&run.of(Stream::Both))
        });
        once(line.ways(&[Way::Pipe, Way::Together]))
    }

    fn a_full_device_is_a_failure_told_on_the_standard_error_output(_beneath: &OsStr) -> Promise {
        each_prints(&[Way::FullDevice], |run| {
            status_1(run)?;
            let told = run.err();
            let lines = ["Target process: write: No space left on device\n",
                "Parent: write: No space left on device\n"];
            match lines.iter().find(|&&line| !told.contains(line)) {
                Some(line) => Err(format!("not told: {line}")),
                None => Ok(()),
            }
        })
    }

    fn a_failing_standard_error_output_is_a_failure_and_no_hang(_beneath: &OsStr) -> Promise {
        // Standard output works. The write that fails is the target's line on standard error.
        once(Line::checked(&["-K", "/etc/c"], status_1).ways(&[Way::FullErrorDevice]))
    }

    fn a_closed_pipe_is_a_failure_and_no_hang(_beneath: &OsStr) -> Promise {
        each_prints(&[Way::ClosedPipe], failed)
    }

    fn a_reader_that_goes_away_in_the_middle_is_a_failure_and_no_hang(_beneath: &OsStr) -> Promise {
        let path = format!("/{}", "gone".repeat(25_000));
        once(Line::checked(&["-K", &path, "/bye"], failed).ways(&[Way::LeftPipe]))
    }

    fn a_file_that_takes_only_part_of_a_line_is_a_failure(_beneath: &OsStr) -> Promise {
        // The first write is short, the next one fails with EFBIG.
        let path = format!("/{}", "full".repeat(1000));
        let line = Line::checked(&[path], |run| {
            status_1(run)?;
            equal(run.of(Stream::Out).len(), SHORT)
        });
        once(line.ways(&[Way::ShortFile]))
    }
}

fn announcement(path: &str) -> String {
    format!("\nTarget process: about to make directory \"{path}\"\n")
}

fn status_0(run: &Outcome) -> Verdict {
    match run.ended {
        Ended::Status(0) => Ok(()),
        ended => Err(format!("ended with {ended:?}")),
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(actual: T, expected: T) -> Verdict {
    if actual == expected {
        return Ok(());
    }
    Err(format!("expected {expected:#?}\n     got {actual:#?}"))
}

/// Compares with the texts of the specification. All other checks compose the texts from parts.
fn to_the_letter(run: &Outcome, path: &str) -> Verdict {
    status_0(run)?;
    let (out, length) = (run.out(), path.len());
    let pid = |beginning: &str| -> Result<String, String> {
        let line =
            out.lines().find(|line| line.starts_with(beginning)).ok_or("a PID is missing")?;
        Ok(line.rsplit(' ').next().unwrap_or_default().to_owned())
    };
    let (target, tracer) = (pid("Target process: PID = ")?, pid("Tracer: PID = ")?);
    // The kernel chooses the IDs.
    let out: String = out
        .split_inclusive('\n')
        .map(|line| match line.split_once("; ID is ") {
            Some((before, _)) => format!("{before}; ID is X\n"),
            None => line.to_owned(),
        })
        .collect();
    let lines_of = |process: &str| -> String {
        out.split_inclusive('\n').filter(|line| line.starts_with(process)).collect()
    };
    equal(
        lines_of("Target"),
        format!(
            "Target process: PID = {target}\n\
             Target process: about to make directory \"{path}\"\n\
             Target process: SUCCESS: mkdir(2) returned = {length}\n\
             Target process: about to make directory \"/etc/c\"\n\
             Target process: about to make directory \"/bye\"\n\
             Target process: terminating\n"
        ),
    )?;
    equal(
        lines_of("Tracer"),
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
        ),
    )?;
    equal(lines_of("Parent"), "Parent: target process has terminated\n".into())?;
    equal(run.err(), "Target process: mkdir: Operation not permitted\n".repeat(2))?;
    equal(out.lines().filter(|line| line.is_empty()).count(), 3)
}

/// Checks a run of `-K -d 1 PATH /bye` whose target got a SIGINT during the tracer's first delay.
fn interrupted(run: &Outcome, path: &str) -> Verdict {
    status_0(run)?;
    // The lines of each process by themselves: the target writes while the tracer's line is not complete.
    let of = |beginning: &str| -> Result<Vec<String>, String> {
        let writers = run.by_writer();
        let mut writers = writers.values();
        let of = writers.find(|packets| packets[0].bytes.starts_with(beginning.as_bytes()));
        let of = of.ok_or_else(|| format!("no {beginning}"))?;
        let bytes: Vec<u8> = of.iter().flat_map(|packet| packet.bytes.clone()).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    };
    let target: Vec<String> = of("Target")?.into_iter().skip(1).collect();
    equal(
        target,
        [
            &format!("Target process: about to make directory \"{path}\""),
            "Target process: received signal",
            "Target process: mkdir: Interrupted system call",
            "Target process: about to make directory \"/bye\"",
            "Target process: mkdir: Operation not permitted",
            "Target process: terminating",
        ]
        .map(str::to_owned)
        .into(),
    )?;
    let tail = |line: &String| line.split("; ID").next().unwrap_or_default().to_owned();
    let tracer: Vec<String> = of("Tracer")?.iter().skip(1).map(tail).collect();
    let got = tracer.first().cloned().unwrap_or_default();
    if !got.starts_with("Tracer: got notification for PID ") {
        return Err(format!("no notification: {tracer:#?}"));
    }
    equal(
        tracer,
        [
            &got,
            "Tracer: delaying for 1 seconds: 1",
            "Tracer: notification ID check (post-delay): target has died!!!!!!!!!!!",
            "Tracer: response failed with ENOENT; perhaps target process's syscall was interrupted by signal?",
            &got,
            "Tracer: delaying for 1 seconds: 1",
            "Tracer: mkdir(\"/bye\", 600)",
            "Tracer: terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<",
        ]
        .map(str::to_owned)
        .into(),
    )
}
