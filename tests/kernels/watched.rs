//! The promises of tests/common/promises.rs in a virtual machine: the plans with which the helper `watch` runs the program, and
//! the parser of its records. The promises themselves check the result.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::MultiGzDecoder;

use crate::cases::Kernel;
use crate::common::promises::{self, Promise, Way};
use crate::common::{Ended, Outcome, Packet, Stream};
use crate::lost_value::Restorer;

type Of = fn(&OsStr) -> Promise;

const PROGRAM: &[u8] = b"/seccomp-notify-min";

/// How often a repeated run is made in each way of watching. It is half the number of the host, since an emulated machine is
/// slow, and such a run has two ways of watching.
const MANY: usize = promises::TIMES / 2;

/// The directories beneath /tmp of a promise's trials.
fn directories(of: Of) -> impl Iterator<Item = String> {
    (0..of("/".as_ref()).trials()).map(|number| format!("/tmp/{number:02}"))
}

/// The plans of all promises, each with the name of its file.
pub fn plans() -> Vec<(String, Vec<u8>)> {
    let mut plans = Vec::new();
    for &(name, of) in promises::ALL {
        for (number, directory) in directories(of).enumerate() {
            plans.push((format!("{name}.{number:02}"), plan(&directory, &of(directory.as_ref()))));
        }
    }
    plans
}

/// The plan of one trial. watch/src/main.rs describes the format.
fn plan(directory: &str, promise: &Promise) -> Vec<u8> {
    fn list<'a>(plan: &mut Vec<u8>, strings: impl Iterator<Item = &'a [u8]>) {
        for string in strings {
            assert!(!string.is_empty(), "an empty string ends a list");
            plan.extend(string);
            plan.push(0);
        }
        plan.push(0);
    }
    let mut plan = Vec::new();
    let before = promise.before.iter().map(|path| path.as_bytes());
    list(&mut plan, [directory.as_bytes()].into_iter().chain(before));
    for (line, way) in promise.runs(MANY) {
        plan.push(letter(way));
        let arguments = line.arguments.iter().map(|argument| argument.as_bytes());
        list(&mut plan, [PROGRAM].into_iter().chain(arguments));
        list(&mut plan, line.made.iter().map(|path| path.as_bytes()));
    }
    plan.push(0);
    plan
}

fn letter(way: Way) -> u8 {
    match way {
        Way::Apart => b'a',
        Way::Together => b't',
        Way::Interrupted => b'i',
        Way::SlowPipe => b's',
        Way::SlowNonBlockingPipe => b'n',
        Way::Pipe => b'p',
        Way::FullDevice => b'f',
        Way::FullErrorDevice => b'F',
        Way::ClosedPipe => b'c',
        Way::LeftPipe => b'l',
        Way::ShortFile => b'x',
    }
}

/// Checks the report of a promise's case: the records of its trials, one after the other, and the files beneath /tmp
/// afterwards.
pub fn check(of: Of, kernel: &Kernel, stdout: &str, facts: &str) -> Result<(), String> {
    let packed = BASE64_STANDARD.decode(stdout.trim()).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    MultiGzDecoder::new(&packed[..]).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let mut records = Records(&bytes).collect::<Result<VecDeque<_>, String>>()?;
    let mut expected = vec!["/tmp".to_owned()];
    for directory in directories(of) {
        let promise = of(directory.as_ref());
        for (number, (line, way)) in promise.runs(MANY).enumerate() {
            let checked =
                outcome(&mut records, &line.made, kernel.since(6, 10)).and_then(|mut run| {
                    if kernel.loses_value {
                        restore(&mut run.packets);
                    }
                    (line.check)(&run).map_err(|why| format!("{why}\nthe run: {run:#?}"))
                });
            checked.map_err(|why| format!("{directory}, run {number}, {way:?}: {why}"))?;
        }
        match records.pop_front() {
            Some(Record { kind: b'D', .. }) => {}
            other => return Err(format!("{directory}: the plan does not end: {other:?}")),
        }
        let before = promise.before.iter().map(|path| path.to_string_lossy().into_owned());
        expected.extend(before.chain([directory]));
    }
    if let Some(more) = records.front() {
        return Err(format!("more than was planned: {more:?}"));
    }
    let mut found: Vec<&str> = facts.lines().collect();
    found.sort_unstable();
    expected.sort();
    if found != expected {
        return Err(format!("there should be {expected:?}"));
    }
    Ok(())
}

/// Puts the values that the kernel lost back into the output of a run.
fn restore(packets: &mut [Packet]) {
    let mut restorer = Restorer::default();
    for packet in packets {
        if let Ok(text) = str::from_utf8(&packet.bytes) {
            packet.bytes = restorer.restore(text).into_bytes();
        }
    }
}

/// The result of one run, in the form of the tests on the host.
fn outcome(
    records: &mut VecDeque<Record>,
    made: &[std::ffi::OsString],
    tells_open_files_apart: bool,
) -> Result<Outcome, String> {
    let Some(Record { kind: b'S', number: pid, .. }) = records.pop_front() else {
        return Err("it was not started".into());
    };
    let (mut packets, mut end) = (Vec::new(), None);
    let mut made = made.iter();
    while records.front().is_some_and(|record| !b"SD".contains(&record.kind)) {
        let Some(Record { kind, number, bytes }) = records.pop_front() else { break };
        let stream = match kind {
            b'o' => Stream::Out,
            b'e' => Stream::Err,
            b'b' => Stream::Both,
            b'X' => {
                let took = bytes.try_into().map(u64::from_le_bytes).map_err(|_| "no time")?;
                // wait(2): the low bits are the signal, the higher bits the status.
                let signal = number & 0x7f;
                let status = (number >> 8) & 0xff;
                let ended = if signal == 0 { Ended::Status(status) } else { Ended::Signal(signal) };
                end = Some((ended, Duration::from_micros(took)));
                continue;
            }
            b'M' => {
                let path = made.next().ok_or("the report has a directory too many")?;
                if bytes != path.as_bytes() || number as u32 != promises::MADE {
                    return Err(format!("{path:?} should be made, but: {number:o}"));
                }
                continue;
            }
            b'H' => return Err(format!("nothing happened any more; until then: {packets:#?}")),
            b'L' => return Err(format!("left behind: {number}; until then: {packets:#?}")),
            other => return Err(format!("no such record: {other}")),
        };
        packets.push(Packet { stream, writer: number, bytes });
    }
    let (ended, took) = end.ok_or("it did not end")?;
    if let Some(path) = made.next() {
        return Err(format!("{path:?} is not in the report"));
    }
    Ok(Outcome { pid, ended, packets, took, tells_open_files_apart })
}

#[derive(Debug)]
struct Record {
    kind: u8,
    number: i32,
    bytes: Vec<u8>,
}

struct Records<'a>(&'a [u8]);

impl Iterator for Records<'_> {
    type Item = Result<Record, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_none() {
            self.0 = &[];
        }
        Some(record.ok_or_else(|| "the records end within one".into()))
    }
}

impl Records<'_> {
    fn record(&mut self) -> Option<Record> {
        let (head, rest) = self.0.split_first_chunk::<9>()?;
        let (kind, numbers) = head.split_first()?;
        let (number, length) = (numbers.first_chunk::<4>()?, numbers.last_chunk::<4>()?);
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some(Record { kind: *kind, number: i32::from_le_bytes(*number), bytes: bytes.to_vec() })
    }
}
