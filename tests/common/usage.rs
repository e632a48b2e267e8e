//! Parses the output of `-h`. Tests compare the documents and the completions with it.

use std::collections::BTreeSet;

use super::{Ended, program};

/// The usage text, as the program prints it.
pub fn text() -> String {
    let outcome = program(["-h"]).finish();
    assert_eq!(outcome.ended, Ended::Status(0), "{outcome:#?}");
    outcome.out()
}

/// The lines that explain options: what is typed, and the explanation.
fn explained(usage: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = usage.lines().filter(|line| line.starts_with(" -"));
    lines.map(|line| line.trim_start().split_once("  ").expect("two columns"))
}

/// The options in the usage text, as they are typed: `-d`, `--help`. Each has an explanation, and all explanations begin in the
/// same column.
pub fn options(usage: &str) -> BTreeSet<String> {
    let mut columns = BTreeSet::new();
    let mut options = BTreeSet::new();
    for (typed, explanation) in explained(usage) {
        let explanation = explanation.trim_start();
        assert!(explanation.len() > 10, "{typed} has no explanation: {usage}");
        let line = usage.lines().find(|line| line.ends_with(explanation)).expect("its line");
        columns.insert(line.len() - explanation.len());
        let words = typed.split([' ', ',']).filter(|word| is_option(word));
        options.extend(words.map(str::to_owned));
    }
    assert!(options.contains("-d") && options.contains("--help"), "no usage text: {usage}");
    assert_eq!(columns.len(), 1, "the explanations are not aligned: {usage}");
    options
}

/// The options that take a value, each with the value's name: `-d` and `SECS`.
pub fn values(usage: &str) -> BTreeSet<(String, String)> {
    let mut values = BTreeSet::new();
    for typed in explained(usage).flat_map(|(typed, _)| typed.split(", ")) {
        if let Some((option, value)) = typed.split_once(' ') {
            values.insert((option.to_owned(), value.to_owned()));
        }
    }
    assert!(values.iter().any(|(option, _)| option == "-d"), "no values: {usage}");
    values
}

fn is_option(word: &str) -> bool {
    let name = word.strip_prefix('-').unwrap_or_default();
    name.starts_with(|c: char| c == '-' || c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte == b'-' || byte.is_ascii_alphabetic())
}
