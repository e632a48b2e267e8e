//! Compares a transcript that a document shows with what the program prints.

use std::collections::BTreeMap;

use super::{Beneath, Ended, Stream, program};

/// The lines of each process in their order, with N in the place of each number that differs from run to run.
fn by_process(transcript: &str) -> BTreeMap<&str, Vec<String>> {
    let mut processes = BTreeMap::new();
    for line in transcript.lines() {
        // The blank line before an announcement names no process.
        if let Some((process, _)) = line.split_once(": ") {
            let lines: &mut Vec<String> = processes.entry(process).or_default();
            lines.push(without_numbers(line));
        }
    }
    processes
}

fn without_numbers(line: &str) -> String {
    let mut line = line.to_owned();
    for before in ["PID = ", "for PID ", "ID is "] {
        if let Some(at) = line.find(before) {
            let start = at + before.len();
            let digits = line[start..].bytes().take_while(u8::is_ascii_hexdigit).count();
            line.replace_range(start..start + digits, "N");
        }
    }
    line
}

/// Runs the command line that a document shows, and compares its output with what the document shows.
pub fn compare(document: &str, shown: &str) {
    let (_, shown) = shown.split_once("$ seccomp-notify-min ").expect("a command line");
    let (command, shown) = shown.split_once('\n').expect("and what it prints");
    let shown = shown.split("\n$ ").next().expect("there is a first part");

    // Not /tmp/x: it may exist.
    let beneath = Beneath::new();
    let path = beneath.join("x").into_string().expect("text");
    let command = command.replace("/tmp/x", &path);
    let shown = shown
        .replace("/tmp/x", &path)
        .replace("returned = 6", &format!("returned = {}", path.len()));

    let outcome = program(command.split(' ')).together().finish();
    assert_eq!(outcome.ended, Ended::Status(0), "{outcome:#?}");
    let printed = String::from_utf8(outcome.of(Stream::Both)).expect("text");
    assert_eq!(by_process(&printed), by_process(&shown), "{document}: {command}");
    assert!(by_process(&printed).len() == 3, "{printed}");
}
