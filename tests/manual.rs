//! The manual page says what the program does: its options, its error lines, its transcript and version
//! are compared with the program's own. README.md and the completions have tests of their own.

mod common;
mod line;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::document::read;
use common::shown::compare;
use common::usage;
use seccomp_notify_min::messages::{self, Text};
use seccomp_notify_min::report::Process;

const PAGE: &str = "seccomp-notify-min.1";

/// The part of the page under this heading, up to the next one of its kind.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (kind, _) = heading.split_once(' ').expect("a macro and a title");
    let start = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let body = &page[start + heading.len() + 2..];
    let ends = [format!("\n{kind} "), "\n.Sh ".to_owned()];
    let end = ends.iter().filter_map(|end| body.find(end.as_str())).min();
    &body[..end.unwrap_or(body.len())]
}

/// The items of a section's lists: the arguments of `.It`.
fn items(section: &str) -> impl Iterator<Item = &str> {
    section.lines().filter_map(|line| line.strip_prefix(".It "))
}

/// The options that an item or a synopsis line of the page names: `Fl d Ar secs` is `-d`,
/// `Fl Fl help` is `--help`, `Fl cKw` and `Fl c | K | w` are three.
fn flags(macros: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut words = macros.trim_start_matches('.').split_whitespace().peekable();
    let mut in_flags = false;
    while let Some(word) = words.next() {
        match word {
            "Fl" if words.peek() == Some(&"Fl") => {
                words.next();
                found.extend(words.next().map(|name| format!("--{name}")));
                in_flags = false;
            }
            "Fl" => in_flags = true,
            "Ar" | "Cm" | "Pq" => in_flags = false,
            "," | "|" => {}
            letters if in_flags && letters.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                found.extend(letters.chars().map(|letter| format!("-{letter}")));
            }
            _ => in_flags = false,
        }
    }
    found
}

#[test]
fn the_manual_explains_exactly_the_options_that_the_usage_text_names() {
    let (page, usage) = (read(PAGE), usage::text());
    let description = section(&page, ".Sh DESCRIPTION");
    let explained: BTreeSet<_> = items(description).flat_map(flags).collect();
    assert_eq!(explained, usage::options(&usage), "{usage}");
}

#[test]
fn the_synopsis_names_every_option() {
    let (page, usage) = (read(PAGE), usage::text());
    let named: BTreeSet<_> = section(&page, ".Sh SYNOPSIS").lines().flat_map(flags).collect();
    let letters = usage::options(&usage).into_iter().filter(|option| !option.starts_with("--"));
    assert_eq!(named, letters.collect::<BTreeSet<_>>(), "{usage}");
}

#[test]
fn an_options_value_has_the_same_name_in_both() {
    let (page, usage) = (read(PAGE), usage::text());
    for (option, name) in usage::values(&usage) {
        // The usage text has a value's name in capitals, the page underlines it.
        let (option, name) = (option.trim_start_matches('-'), name.to_lowercase());
        let wanted = [format!("Fl {option} Ar {name}"), format!("Fl {option} Cm {name}")];
        let found =
            items(section(&page, ".Sh DESCRIPTION")).any(|item| wanted.iter().any(|w| w == item));
        assert!(found, "no .It {}", wanted.join(" or "));
    }
}

#[test]
fn the_usage_text_fits_a_terminal_of_80_columns() {
    let usage = usage::text();
    assert!(usage.lines().all(|line| line.chars().count() < 80), "{usage}");
    assert!(usage.lines().count() < 24, "{usage}");
}

#[test]
fn the_manual_is_of_this_version() {
    let sentence = concat!("This page describes version ", env!("CARGO_PKG_VERSION"), ".");
    assert!(section(&read(PAGE), ".Sh HISTORY").contains(sentence), "{sentence}");
}

#[test]
fn the_manual_explains_each_hint_that_the_program_gives() {
    let page = read(PAGE);
    let explained: BTreeSet<String> = items(section(&page, ".Sh DIAGNOSTICS"))
        .map(|item| item.trim_start_matches("Li ").trim_matches('"').to_owned())
        .collect();
    let hints = [
        messages::HINT_CONTINUE,
        messages::HINT_EMULATOR,
        messages::HINT_KILLABLE,
        messages::HINT_LISTENER,
        messages::HINT_MEMORY,
        messages::HINT_PROC,
        messages::HINT_SANDBOX,
        messages::HINT_SECCOMP,
        messages::HINT_SIZES,
    ];
    let source = read("src/messages.rs");
    let written = source.lines().filter(|line| line.trim_start().starts_with("HINT_")).count();
    assert_eq!(hints.len(), written, "a hint is missing here");
    let hints: BTreeSet<String> = hints.into_iter().map(plain).collect();
    assert_eq!(explained, hints);
}

/// A text without arguments, as the program prints it.
fn plain(hint: Text) -> String {
    let line = line::composed(Process::Parent, hint, &[]);
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

#[test]
fn the_manual_names_each_exit_status() {
    let page = read(PAGE);
    let statuses: Vec<_> = items(section(&page, ".Sh EXIT STATUS")).collect();
    assert_eq!(statuses, ["0", "1", "77"]);
}

/// The two that format manual pages on Linux, asked for every complaint and no page.
const FORMATTERS: [&[&str]; 2] =
    [&["mandoc", "-T", "lint"], &["groff", "-mdoc", "-ww", "-T", "utf8", "-z"]];

/// What each formatter that is installed says about a page.
fn complaints(page: &Path) -> Vec<(&'static str, String)> {
    let mut said = Vec::new();
    for command in FORMATTERS {
        if !common::is_installed(command[0]) {
            common::skipped(&command.join(" "), format!("{} is not installed", command[0]));
            continue;
        }
        let output = Command::new(command[0]).args(&command[1..]).arg(page).output();
        let output = output.expect("it starts");
        let all = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        // Which other manuals are installed and indexed here says nothing about this page. That it is of Linux must be said, or
        // the foot names the system that formats it.
        let about_the_page = all.lines().filter(|line| {
            !line.starts_with("mandoc: outdated mandoc.db")
                && !line.contains("manual not found")
                && !line.contains("operating system explicitly specified: Os Linux")
        });
        said.push((command[0], about_the_page.collect::<Vec<_>>().join("\n")));
    }
    said
}

#[test]
fn no_formatter_has_anything_to_say_about_the_manual() {
    for (formatter, said) in complaints(&Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)) {
        assert_eq!(said, "", "{formatter}");
    }
}

/// What they say of a page that is wrong, so that their silence means something.
#[test]
fn each_formatter_would_have_something_to_say() {
    let room = tempfile::tempdir().expect("a directory can be made");
    let page = room.path().join("wrong.1");
    fs::write(&page, read(PAGE) + ".Zz\n").expect("a file can be written");
    for (formatter, said) in complaints(&page) {
        assert!(said.contains("wrong.1") && said.contains("Zz"), "{formatter}: {said}");
    }
}

#[test]
fn the_script_in_the_manual_is_the_file() {
    let script = read("contrib/smoke-test.sh");
    assert!(!script.contains('\\'), "a backslash has to be escaped in the page");
    assert!(section(&read(PAGE), ".Sh EXAMPLES").contains(&format!(".Bd -literal\n{script}.Ed\n")));
}

#[test]
fn the_manuals_transcript_is_what_the_program_prints() {
    let page = read(PAGE);
    let (_, display) = page.split_once(".Bd -literal -offset indent\n").expect("a display");
    let (shown, _) = display.split_once(".Ed").expect("its end");
    compare(PAGE, shown);
}
