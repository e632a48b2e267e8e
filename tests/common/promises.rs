//! What a transcript is promised to be, as command lines and the judgement of what comes of them, whoever
//! runs them: `tests/transcript.rs` here, `tests/kernels` in virtual machines, each with its own means.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;

use super::transcript::{EEXIST, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, Fate, Script};
use super::{Ended, Outcome, Stream};

/// A line that is torn or misplaced only now and then shall be caught.
pub const TIMES: usize = 20;

/// What the kernel says of a directory that was made: a directory (inode(7)) of the mode 600.
pub const MADE: u32 = 0o040_600;

/// How often a promise is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Once for each way to watch it.
    Once,
    /// Many times in a row, in one way to watch it after the other.
    InARow,
    /// [`TIMES`] at once, each beneath a directory of its own.
    AtOnce,
}

/// How a run is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A socket for each stream, which keeps the writes apart and names the writers.
    Apart,
    /// One such socket for both: the order of all writes is seen.
    Together,
    /// The same, and the target is interrupted as soon as the tracer waits.
    Interrupted,
    /// Standard output is a pipe that is read slowly, standard error leads nowhere.
    SlowPipe,
    /// The same; writing to the pipe does not wait.
    SlowNonBlockingPipe,
    /// Both streams are one pipe.
    Pipe,
    /// Standard output is a full device.
    FullDevice,
    /// Standard error is one, and standard output leads nowhere.
    FullErrorDevice,
    /// Standard output is a pipe that nobody reads, standard error leads nowhere.
    ClosedPipe,
    /// The same; who reads goes away after the first bytes.
    LeftPipe,
    /// Standard output is a file that takes no more than [`SHORT`] bytes (`RLIMIT_FSIZE`, its signal
    /// ignored), standard error leads nowhere.
    ShortFile,
}

/// How much a file takes of which no more is wanted.
pub const SHORT: usize = 1000;
/// How much is read by who then goes away.
pub const FIRST_BYTES: usize = 10;

const BOTH: &[Way] = &[Way::Apart, Way::Together];

/// What is wrong, if anything.
pub type Verdict = Result<(), String>;

/// One command line.
pub struct Line {
    pub arguments: Vec<OsString>,
    pub ways: &'static [Way],
    /// The directories that are there afterwards and were not before, as [`MADE`] has it.
    pub made: Vec<OsString>,
    pub judge: Box<dyn Fn(&Outcome) -> Verdict + Send + Sync>,
}

impl Line {
    /// A command line that must have this transcript, whichever way it is watched.
    fn of<S: AsRef<OsStr>>(arguments: &[S], script: Script) -> Self {
        let made = script.made();
        let mut line = Self::judged(arguments, move |run| script.compare(run));
        line.made = made;
        line
    }

    /// A command line whose run is judged otherwise.
    fn judged<S: AsRef<OsStr>>(
        arguments: &[S],
        judge: impl Fn(&Outcome) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        Self {
            arguments: arguments.iter().map(|argument| argument.as_ref().to_owned()).collect(),
            ways: BOTH,
            made: Vec::new(),
            judge: Box::new(judge),
        }
    }

    fn ways(mut self, ways: &'static [Way]) -> Self {
        self.ways = ways;
        self
    }
}

/// What is promised.
pub struct Promise {
    pub repeat: Repeat,
    /// The directories that are there before.
    pub before: Vec<OsString>,
    pub lines: Vec<Line>,
}

impl Promise {
    /// The runs of one trial, in their order; `many` for each way to watch what is tried many times.
    pub fn runs(&self, many: usize) -> impl Iterator<Item = (&Line, Way)> {
        let times = if self.repeat == Repeat::InARow { many } else { 1 };
        self.lines
            .iter()
            .flat_map(move |line| (0..times).flat_map(|_| line.ways).map(move |&way| (line, way)))
    }

    /// How many trials there are at once, each beneath a directory of its own.
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
        /// All of them, with their names.
        pub const ALL: &[(&str, fn(&OsStr) -> Promise)] = &[$((stringify!($name), $name)),*];
    };
}

/// Command lines in which each process has something to say.
pub const TALKATIVE: [&[&str]; 4] =
    [&["/etc/c"], &["-K", "/etc/c"], &["-K", "/etc/c", "/bye"], &["-f", "e", "/etc/c"]];

/// Those, each to fail.
fn talkative(ways: &'static [Way], judge: fn(&Outcome) -> Verdict) -> Promise {
    let lines = TALKATIVE.map(|arguments| Line::judged(arguments, judge).ways(ways));
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

// Each takes the directory beneath /tmp that is a trial's own.
promises! {
    fn a_created_directory_and_the_farewell_end_by_themselves_with_k(beneath: &OsStr) -> Promise {
        let path = join(beneath, "x");
        let script = Script::new().keep().directory(&path, Fate::Created);
        let script = script.directory("/bye", Fate::Farewell);
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

    /// Which is [`MADE`]; all that is made elsewhere has it too.
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
            .directory("/bye", Fate::Farewell);
        let arguments = ["-Kd1".into(), path, "/etc/c".into(), "/bye".into()];
        once(Line::of(&arguments, script).ways(&[Way::Apart]))
    }

    fn a_delay_of_none_is_no_delay(_beneath: &OsStr) -> Promise {
        once(Line::of(&["-d", "0", "/etc/c"], Script::new().directory("/etc/c", EPERM)))
    }

    fn after_the_farewell_nobody_listens_any_more(beneath: &OsStr) -> Promise {
        let (x, y) = (join(beneath, "x"), join(beneath, "y"));
        let script = || {
            Script::new()
                .directory("/bye", Fate::Farewell)
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
        let line = Line::judged(&arguments, move |run| to_the_letter(run, &shown));
        once(Line { made: vec![path], ..line.ways(&[Way::Apart]) })
    }

    fn a_signal_takes_the_call_away_while_the_tracer_waits(beneath: &OsStr) -> Promise {
        let path = join(beneath, "x");
        let arguments = ["-K".into(), "-d".into(), "1".into(), path.clone(), "/bye".into()];
        let shown = path.to_str().expect("a path of letters").to_owned();
        // What did not happen any more is not told, and nothing was made.
        let line = Line::judged(&arguments, move |run| interrupted(run, &shown));
        once(line.ways(&[Way::Interrupted]))
    }

    fn a_line_longer_than_any_buffer_is_one_write(_beneath: &OsStr) -> Promise {
        let path = format!("/{}", "long".repeat(25_000));
        let line = Line::judged(&["-K", &path.clone()], move |run| {
            status_0(run)?;
            let announcement = announcement(&path);
            let whole = run.packets.iter().filter(|p| p.bytes == announcement.as_bytes()).count();
            if whole != 1 {
                return Err(format!("{whole} writes with the whole announcement"));
            }
            // The kernel takes no such path, so neither does the tracer.
            if !run.err().contains("Target process: mkdir: File name too long\n") {
                return Err(format!("the wrong error: {}", run.err()));
            }
            Ok(())
        });
        once(line.ways(&[Way::Apart]))
    }

    /// The buffers' sizes are the program's own business; every length up to past two of them.
    fn lines_around_the_size_of_the_buffer_are_one_write_each(_beneath: &OsStr) -> Promise {
        let lengths: Vec<usize> = (1..40).chain(200..300).chain(400..600).collect();
        // A hundred runs of the program cost an emulated machine seconds.
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
        let line = Line::judged(&[&path.clone()], move |run| {
            status_0(run)?;
            let all = run.out();
            // A pipe keeps together what fits into PIPE_BUF bytes, not more (pipe(7)): the only line that
            // another process may write meanwhile can come between.
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
            .directory("/bye", Fate::Farewell);
        let line = Line::judged(&["-K", "/etc/a", "/etc/b", "/bye"], move |run| {
            status_0(run)?;
            script.compare_lines(&run.of(Stream::Both))
        });
        once(line.ways(&[Way::Pipe, Way::Together]))
    }

    fn a_full_device_is_a_failure_told_on_the_standard_error_output(_beneath: &OsStr) -> Promise {
        talkative(&[Way::FullDevice], |run| {
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
        // Standard output is well; what fails is the result line of the target.
        once(Line::judged(&["-K", "/etc/c"], status_1).ways(&[Way::FullErrorDevice]))
    }

    fn a_closed_pipe_is_a_failure_and_no_hang(_beneath: &OsStr) -> Promise {
        talkative(&[Way::ClosedPipe], failed)
    }

    fn a_reader_that_goes_away_in_the_middle_is_a_failure_and_no_hang(_beneath: &OsStr) -> Promise {
        let path = format!("/{}", "gone".repeat(25_000));
        once(Line::judged(&["-K", &path, "/bye"], failed).ways(&[Way::LeftPipe]))
    }

    fn a_file_that_takes_only_part_of_a_line_is_a_failure(_beneath: &OsStr) -> Promise {
        // The write is short at first, then fails: EFBIG.
        let path = format!("/{}", "full".repeat(1000));
        let line = Line::judged(&[path], |run| {
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

/// The texts as the specification has them; everywhere else they are composed from parts.
fn to_the_letter(run: &Outcome, path: &str) -> Verdict {
    status_0(run)?;
    let (out, length) = (run.out(), path.len());
    let pid = |beginning: &str| -> Result<String, String> {
        let line =
            out.lines().find(|line| line.starts_with(beginning)).ok_or("a PID is missing")?;
        Ok(line.rsplit(' ').next().unwrap_or_default().to_owned())
    };
    let (target, tracer) = (pid("Target process: PID = ")?, pid("Tracer: PID = ")?);
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
    equal(
        blocks("Target"),
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
        ),
    )?;
    equal(blocks("Parent"), "Parent: target process has terminated\n".into())?;
    equal(run.err(), "Target process: mkdir: Operation not permitted\n".repeat(2))?;
    equal(out.lines().filter(|line| line.is_empty()).count(), 3)
}

/// The target of `-K -d 1 PATH /bye` was interrupted while the tracer waited for the first time.
fn interrupted(run: &Outcome, path: &str) -> Verdict {
    status_0(run)?;
    // By process: the delay's line is not yet ended when the target speaks.
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
