//! Parses the output of `-h`. Tests compare the documents and the completions with it.

use std::collections::BTreeSet;

use super::{Ended, program};

/// The usage text, as the program prints it.
pub fn text() -> String {
    let outcome = program(["-h"]).finish();
    assert_eq!(outcome.ended, Ended::Status(0), "{outcome:#?}");
    outcome.out()
}

/// The options in the usage text, as they are typed: `-d`, `--help`.
pub fn options(usage: &str) -> BTreeSet<String> {
    let words = usage.split_whitespace().map(bare);
    let options: BTreeSet<_> = words.filter(|word| is_option(word)).map(str::to_owned).collect();
    assert!(options.contains("-d") && options.contains("--help"), "no usage text: {usage}");
    options
}

/// The options that take a value, each with the value's name: `-d` and `secs`.
pub fn values(usage: &str) -> BTreeSet<(String, String)> {
    let words: Vec<_> = usage.split_whitespace().collect();
    let pairs = words.windows(2).filter(|pair| is_option(pair[0]) && !is_option(bare(pair[1])));
    let pairs: BTreeSet<_> =
        pairs.map(|pair| (pair[0].to_owned(), bare(pair[1]).to_owned())).collect();
    assert!(pairs.iter().any(|(option, _)| option == "-d"), "no values: {usage}");
    pairs
}

/// A word without the punctuation that follows it.
fn bare(word: &str) -> &str {
    word.trim_end_matches([',', ':'])
}

fn is_option(word: &str) -> bool {
    let name = word.strip_prefix('-').unwrap_or_default();
    name.starts_with(|c: char| c == '-' || c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte == b'-' || byte.is_ascii_alphabetic())
}
