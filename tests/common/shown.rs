//! The comparison of a transcript that a document shows with what the program prints. Which documents show
//! one is their tests' business.

use std::collections::BTreeMap;

use super::{Beneath, Ended, Stream, program};

/// A transcript's lines by the process that says them, in their order, with a mark in the place of each
/// number that differs from run to run.
fn by_speaker(transcript: &str) -> BTreeMap<&str, Vec<String>> {
    let mut speakers = BTreeMap::new();
    for line in transcript.lines() {
        // The blank line before an announcement is nobody's by itself.
        if let Some((speaker, _)) = line.split_once(": ") {
            let lines: &mut Vec<String> = speakers.entry(speaker).or_default();
            lines.push(without_numbers(line));
        }
    }
    speakers
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

/// Runs the command line that a document shows and compares what comes with what is shown.
pub fn compare(document: &str, shown: &str) {
    let (_, shown) = shown.split_once("$ seccomp-notify-min ").expect("a command line");
    let (command, shown) = shown.split_once('\n').expect("and what it prints");
    let shown = shown.split("\n$ ").next().expect("there is a first part");

    // Somebody may have a /tmp/x.
    let beneath = Beneath::new();
    let path = beneath.join("x").into_string().expect("text");
    let command = command.replace("/tmp/x", &path);
    let shown = shown
        .replace("/tmp/x", &path)
        .replace("returned = 6", &format!("returned = {}", path.len()));

    let outcome = program(command.split(' ')).together().finish();
    assert_eq!(outcome.ended, Ended::Status(0), "{outcome:#?}");
    let printed = String::from_utf8(outcome.of(Stream::Both)).expect("text");
    assert_eq!(by_speaker(&printed), by_speaker(&shown), "{document}: {command}");
    assert!(by_speaker(&printed).len() == 3, "{printed}");
}
