//! The benchmark's bounds keep their word: what is malformed is refused, what is broken or unmeasured does not hold.
//!
//! The benchmark has its own main and no tests; this file borrows the one room of it that decides whether CI fails,
//! and the one that reads its command line.

#[path = "../benches/compare/bound.rs"]
#[allow(dead_code)]
mod bound;
#[path = "../benches/compare/options.rs"]
#[allow(dead_code)]
mod options;

use std::path::Path;

use clap::Parser;

use bound::{Bound, Column};
use options::Options;

#[test]
fn a_bound_names_column_row_and_limit() {
    assert_eq!(
        "pinned/c-glibc-static=0.55".parse(),
        Ok(Bound { column: Column::Pinned, row: "c-glibc-static".into(), limit: 0.55 })
    );
    assert_eq!("loop-unpinned/bare=2".parse::<Bound>().map(|b| b.column), Ok(Column::LoopUnpinned));
}

#[test]
fn a_row_may_hold_the_characters_that_separate() {
    let bound: Bound = "pss/a/b=c=1.5".parse().unwrap();
    assert_eq!((bound.row.as_str(), bound.limit), ("a/b=c", 1.5));
}

#[test]
fn a_malformed_bound_is_refused_with_what_is_wrong() {
    for (text, part) in [
        ("pinned", "COLUMN/ROW=LIMIT"),
        ("pinned=0.5", "COLUMN/ROW=LIMIT"),
        ("pinned/x", "COLUMN/ROW=LIMIT"),
        ("pinned/=0.5", "COLUMN/ROW=LIMIT"),
        ("speed/x=0.5", "no column 'speed'"),
        ("pinned/x=", "'' is not a number"),
        ("pinned/x=half", "'half' is not a number"),
        ("pinned/x=0", "never be tested"),
        ("pinned/x=-1", "never be tested"),
        ("pinned/x=nan", "never be tested"),
        ("loop/c-glibc=1", "is 'bare'"),
        ("flat/bare=1", "is '100..10000'"),
    ] {
        let error = text.parse::<Bound>().unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_ratio_at_the_limit_holds_and_one_above_does_not() {
    let bound: Bound = "exit/x=0.9".parse().unwrap();
    assert!(bound.check(Ok(0.9)).held);
    let outcome = bound.check(Ok(0.901));
    assert!(!outcome.held);
    assert_eq!(outcome.to_string(), "bound NOT HELD: exit / x: measured 0.901, at most 0.9");
}

#[test]
fn what_was_not_measured_does_not_hold() {
    let bound: Bound = "exit/x=0.9".parse().unwrap();
    let outcome = bound.check(Err("x is not installed".into()));
    assert!(!outcome.held);
    assert_eq!(
        outcome.to_string(),
        "bound NOT HELD: exit / x: not measured (x is not installed), at most 0.9"
    );
}

#[test]
fn a_program_that_cannot_be_measured_is_refused_at_once() {
    for (arguments, part) in [
        (&["mine=/no/such/file"][..], "/no/such/file: No such file"),
        (&["/no/such/file"], "/no/such/file: No such file"),
        (&["mine=Cargo.toml"], "Cargo.toml: Permission denied"),
        (&["mine=src"], "src: is a directory"),
        (&["--this", "/no/such/file"], "/no/such/file: No such file"),
        (&["=/bin/sh"], "name is empty"),
    ] {
        let error = Options::try_parse_from([&["compare"], arguments].concat()).unwrap_err();
        assert!(error.to_string().contains(part), "{arguments:?}: {error}");
    }
    let options = Options::try_parse_from(["compare", "mine=/bin/sh"]).unwrap();
    assert_eq!(options.given, [("mine".to_owned(), Path::new("/bin/sh").to_owned())]);
}
