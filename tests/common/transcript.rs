//! The transcript that a run must have, line by line and write by write: a second implementation of the specification.
//! The parent module runs the program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use super::{Ended, Outcome, Packet, Run, Stream, program};

/// What happens to a directory of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The tracer makes it.
    Created,
    /// With `-c`, the target itself makes it.
    Permitted,
    /// The tracer responds with this error.
    Refused(&'static str),
    /// The tracer refuses it with EPERM, and terminates.
    Bye,
    /// The tracer cannot read the path, prints this error, and responds with it.
    Unreadable(&'static str),
    /// The target's call fails with this error, without a notification.
    NotNotified(&'static str),
}

pub const EPERM: Fate = Fate::Refused("Operation not permitted");
pub const ENOENT: Fate = Fate::Refused("No such file or directory");
pub const EEXIST: Fate = Fate::Refused("File exists");
pub const ENOTDIR: Fate = Fate::Refused("Not a directory");
pub const ENAMETOOLONG: Fate = Fate::Refused("File name too long");
/// After `/bye`, when no process has the listener open.
pub const ENOSYS: Fate = Fate::NotNotified("Function not implemented");
/// With `-f e`.
pub const EOPNOTSUPP: Fate = Fate::NotNotified("Operation not supported");

/// The transcript that a command line must have.
#[derive(Default)]
pub struct Script {
    delay: u32,
    keep: bool,
    directories: Vec<(Vec<u8>, Fate)>,
}

/// The writes of a process in their order: the stream and the bytes. [`Numbers`] fills in what differs from run to run.
type Writes = Vec<(Stream, Vec<u8>)>;

/// The numbers that differ from run to run.
struct Numbers {
    target: i32,
    tracer: i32,
    /// The notifications' IDs, as the tracer printed them.
    ids: Vec<String>,
}

impl Script {
    pub fn new() -> Self {
        Self::default()
    }

    /// The transcript with `-d`.
    pub fn delay(mut self, seconds: u32) -> Self {
        self.delay = seconds;
        self
    }

    /// The transcript with `-K`.
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// The transcript with one more directory.
    pub fn directory(mut self, path: impl AsRef<OsStr>, fate: Fate) -> Self {
        self.directories.push((path.as_ref().as_bytes().to_vec(), fate));
        self
    }

    /// Runs the program twice, once with its streams apart and once together, and compares both runs with the transcript.
    /// `undo` undoes what a run did.
    pub fn verify<S: AsRef<OsStr>>(&self, arguments: &[S], mut undo: impl FnMut()) {
        self.verify_as(|| program(arguments), &mut undo);
    }

    /// The same for a run that needs more than a command line.
    pub fn verify_as(&self, run: impl Fn() -> Run, undo: &mut impl FnMut()) {
        self.check(&run().finish());
        undo();
        self.check(&run().together().finish());
        undo();
    }

    /// Compares a run with the transcript: the writes of each process, their order, and the exit status.
    pub fn check(&self, outcome: &Outcome) {
        if let Err(why) = self.compare(outcome) {
            panic!("{why}\nthe run: {outcome:#?}");
        }
    }

    /// The directories that the run makes.
    pub fn made(&self) -> Vec<OsString> {
        let is_made = |fate: &Fate| matches!(fate, Fate::Created | Fate::Permitted);
        let made = self.directories.iter().filter(|(_, fate)| is_made(fate));
        made.map(|(path, _)| OsString::from_vec(path.clone())).collect()
    }

    /// Compares the output of a pipe, which does not show writes and writers: the lines in any order, with N in the place
    /// of numbers.
    pub fn compare_lines(&self, output: &[u8]) -> Result<(), String> {
        let lines = |text: &[u8]| -> Vec<String> {
            let text = String::from_utf8_lossy(text);
            let mut lines: Vec<String> = text.lines().map(without_numbers).collect();
            lines.sort();
            lines
        };
        let notified =
            self.directories.iter().filter(|(_, fate)| !matches!(fate, Fate::NotNotified(_)));
        let numbers = Numbers { target: 1, tracer: 2, ids: notified.map(|_| "0".into()).collect() };
        let writes = [self.target(&numbers, false), self.tracer(&numbers), self.parent()].concat();
        let expected: Vec<u8> = writes.into_iter().flat_map(|(_, bytes)| bytes).collect();
        let (expected, output) = (lines(&expected), lines(output));
        if output != expected {
            return Err(format!("expected {expected:#?}\n     got {output:#?}"));
        }
        Ok(())
    }

    /// As [`Self::check`], but returns what is wrong.
    pub fn compare(&self, outcome: &Outcome) -> Result<(), String> {
        if outcome.ended != Ended::Status(0) {
            return Err(format!("ended with {:?}", outcome.ended));
        }
        let notified =
            self.directories.iter().filter(|(_, fate)| !matches!(fate, Fate::NotNotified(_)));
        if outcome.took < Duration::from_secs(u64::from(self.delay)) * notified.count() as u32 {
            return Err(format!("ended after {:?}", outcome.took));
        }
        let writers = outcome.by_writer();
        let writer = |beginning: &str| {
            let mut found = writers.iter().filter(|(_, packets)| {
                packets.iter().any(|packet| packet.bytes.starts_with(beginning.as_bytes()))
            });
            let writer = found.next().map(|(&writer, _)| writer);
            if found.next().is_some() {
                return Err(format!("two processes write {beginning:?}"));
            }
            Ok(writer)
        };
        let target = writer("Target process: PID")?.ok_or("no target")?;
        let tracer = writer("Tracer: PID")?.ok_or("no tracer")?;
        if writers.len() != 3 || target == tracer || [target, tracer].contains(&outcome.pid) {
            return Err("not three processes".into());
        }
        let ids = ids(&writers[&tracer]);
        for (i, id) in ids.iter().enumerate() {
            let number = u64::from_str_radix(id, 16).map_err(|_| format!("no number: {id}"))?;
            if format!("{number:x}") != *id || ids[..i].contains(id) {
                return Err(format!("the ID {id}"));
            }
        }
        let numbers = Numbers { target, tracer, ids };

        let together = outcome.packets.iter().all(|packet| packet.stream == Stream::Both);
        let joined = together && outcome.tells_open_files_apart;
        same("the target", &self.target(&numbers, joined), &writers[&target])?;
        same("the tracer", &self.tracer(&numbers), &writers[&tracer])?;
        let parent = writers.get(&outcome.pid).ok_or("no parent")?;
        same("the parent", &self.parent(), parent)?;
        if together {
            self.in_order(&numbers, outcome, joined)?;
        }
        Ok(())
    }

    fn announcement(&self, i: usize) -> Vec<u8> {
        match self.directories.get(i) {
            Some((path, _)) => {
                [&b"\nTarget process: about to make directory \""[..], &shown(path), b"\"\n"]
                    .concat()
            }
            None => b"Target process: terminating\n".to_vec(),
        }
    }

    /// The target's writes. A failure and the next announcement are `joined` in one write if both streams are one open
    /// file.
    fn target(&self, numbers: &Numbers, joined: bool) -> Writes {
        let pid = format!("Target process: PID = {}\n", numbers.target);
        let mut writes = vec![(Stream::Out, pid.into_bytes()), (Stream::Out, self.announcement(0))];
        for (i, (path, fate)) in self.directories.iter().enumerate() {
            let next = self.announcement(i + 1);
            let text = match fate {
                Fate::Created | Fate::Permitted => {
                    let value = if *fate == Fate::Created { path.len() } else { 0 };
                    let line = format!("Target process: SUCCESS: mkdir(2) returned = {value}\n");
                    writes.push((Stream::Out, [line.into_bytes(), next].concat()));
                    continue;
                }
                Fate::Refused(text) | Fate::Unreadable(text) | Fate::NotNotified(text) => text,
                Fate::Bye => "Operation not permitted",
            };
            let line = format!("Target process: mkdir: {text}\n").into_bytes();
            if joined {
                writes.push((Stream::Out, [line, next].concat()));
            } else {
                writes.push((Stream::Err, line));
                writes.push((Stream::Out, next));
            }
        }
        writes
    }

    fn tracer(&self, numbers: &Numbers) -> Writes {
        fn out(text: impl Into<Vec<u8>>) -> (Stream, Vec<u8>) {
            (Stream::Out, text.into())
        }
        let mut writes = vec![out(format!("Tracer: PID = {}\n", numbers.tracer))];
        let mut ids = numbers.ids.iter();
        for (path, fate) in &self.directories {
            if matches!(fate, Fate::NotNotified(_)) {
                continue;
            }
            let id = ids.next().map_or("(an ID)", String::as_str);
            let target = numbers.target;
            let got = format!("Tracer: got notification for PID {target}; ID is {id}\n");
            let mkdir = [&b"Tracer: mkdir(\""[..], &shown(path), b"\", 600)\n"].concat();
            if let Fate::Unreadable(text) = fate {
                assert_eq!(self.delay, 0, "not needed so far");
                writes.push(out(got));
                writes.push((Stream::Err, format!("Tracer: path: {text}\n").into_bytes()));
                continue;
            }
            if self.delay == 0 {
                writes.push(out([got.into_bytes(), mkdir].concat()));
            } else {
                writes.push(out(got));
                let delay = self.delay;
                writes.push(out(format!("Tracer: delaying for {delay} seconds: {delay}")));
                for left in (1..delay).rev() {
                    writes.push(out(format!(" {left}")));
                }
                writes.push(out("\n"));
                writes.push(out(mkdir));
            }
            if *fate == Fate::Bye {
                writes.push(out("Tracer: terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n"));
            }
        }
        writes
    }

    fn parent(&self) -> Writes {
        let text = if self.keep {
            "Parent: target process has terminated\n"
        } else {
            "Parent: target process has terminated\nParent: killing tracer\n"
        };
        vec![(Stream::Out, text.into())]
    }

    /// Checks that each write comes after its cause, in a run with one socket for both streams.
    fn in_order(&self, numbers: &Numbers, outcome: &Outcome, joined: bool) -> Result<(), String> {
        let positions = |writer| -> Vec<usize> {
            let packets = outcome.packets.iter().enumerate();
            packets.filter(|(_, packet)| packet.writer == writer).map(|(i, _)| i).collect()
        };
        let (target, tracer) = (positions(numbers.target), positions(numbers.tracer));
        let parent = positions(outcome.pid);

        // The target writes its PID and the first announcement, then once or twice for each directory: the first write
        // has the result, the last write has the next announcement.
        let (mut announced, mut at) = (target[1], 2);
        // The tracer writes its PID, then several times for each notification.
        let mut of_tracer = tracer[1..].iter().copied();
        for (path, fate) in &self.directories {
            let result = target[at];
            let one_write = joined || matches!(fate, Fate::Created | Fate::Permitted);
            at += if one_write { 1 } else { 2 };
            if !matches!(fate, Fate::NotNotified(_)) {
                let count = match fate {
                    Fate::Unreadable(_) => 2,
                    _ if self.delay == 0 => 1,
                    _ => self.delay as usize + 3,
                };
                for position in of_tracer.by_ref().take(count) {
                    if !(announced < position && position < result) {
                        let path = path.escape_ascii();
                        return Err(format!(
                            "{path}: announcement, notification and result are out of order"
                        ));
                    }
                }
                if *fate == Fate::Bye {
                    of_tracer.next();
                }
            }
            announced = target[at - 1];
        }
        if parent[0] < target[target.len() - 1] {
            return Err("the parent reports the target's end before the target's last write".into());
        }
        Ok(())
    }
}

/// The IDs in the tracer's lines.
fn ids(packets: &[&Packet]) -> Vec<String> {
    let id = |packet: &&Packet| -> Option<String> {
        let line = packet.bytes.split(|&byte| byte == b'\n').next()?;
        let line = std::str::from_utf8(line).ok()?;
        Some(line.strip_prefix("Tracer: got notification")?.split_once("; ID is ")?.1.to_owned())
    };
    packets.iter().filter_map(id).collect()
}

/// The line with N in the place of every word that is a decimal or hexadecimal number.
fn without_numbers(line: &str) -> String {
    let word = |word: &str| {
        let is_number = word.trim_end_matches(';').chars().all(|c| c.is_ascii_hexdigit());
        if is_number { "N".into() } else { word.to_owned() }
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Compares a process's writes with the expected ones.
fn same(who: &str, expected: &Writes, actual: &[&Packet]) -> Result<(), String> {
    let (mut expected, mut actual) = (expected.clone(), actual.to_vec());
    if actual.iter().all(|packet| packet.stream == Stream::Both) {
        expected.iter_mut().for_each(|(stream, _)| *stream = Stream::Both);
    } else {
        // With two sockets the order of writes to different streams is unknown.
        expected.sort_by_key(|(stream, _)| *stream);
        actual.sort_by_key(|packet| packet.stream);
    }
    for (i, (stream, bytes)) in expected.iter().enumerate() {
        if actual.get(i).is_none_or(|packet| packet.stream != *stream || packet.bytes != *bytes) {
            let (bytes, actual) = (bytes.escape_ascii(), actual.get(i));
            return Err(format!("{who}, write {i}:\nexpected {bytes}\n     got {actual:?}"));
        }
    }
    if actual.len() > expected.len() {
        return Err(format!("{who} writes more: {:?}", actual[expected.len()]));
    }
    Ok(())
}

/// A path as the program must print it.
pub fn shown(path: &[u8]) -> Vec<u8> {
    let mut shown = Vec::new();
    for &byte in path {
        match byte {
            0..0x20 | 0x7f => shown.extend(format!("\\x{byte:02x}").bytes()),
            b'\\' => shown.extend(br"\\"),
            _ => shown.push(byte),
        }
    }
    shown
}
