//! The pages docs/packaging.md and docs/initramfs.md: their commands and tables.

use std::env;
use std::fs;
use std::process::Command;

use crate::common::document::read;
use crate::{common, host};

pub const PACKAGING: &str = "docs/packaging.md";
pub const INITRAMFS: &str = "docs/initramfs.md";

/// The recipes of each page that these tests run.
const RECIPES: &[(&str, &[&str])] = &[
    (PACKAGING, &["vendored", "install", "debian", "autopkgtest", "symbols"]),
    (INITRAMFS, &["initramfs-tools", "dracut", "machine"]),
];

/// The compiler that made the figures of the page.
const COMPILER: &str = "rustc 1.95.";

/// The commands of a recipe.
pub fn recipe(page: &str, name: &str) -> String {
    let known = RECIPES.iter().any(|(of, names)| *of == page && names.contains(&name));
    assert!(known, "{name} is not in the list of recipes that are run");
    let page = read(page);
    let (_, rest) =
        page.split_once(&format!("<!-- recipe: {name} -->\n```sh\n")).expect("the recipe");
    rest.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn each_command_of_the_pages_is_a_recipe_that_a_test_runs() {
    for (page, names) in RECIPES {
        let text = read(page);
        let found: Vec<_> = text
            .split("<!-- recipe: ")
            .skip(1)
            .map(|rest| rest.split_once(" -->\n```sh\n").expect("commands").0)
            .collect();
        assert_eq!(found, *names, "{page}");
        assert_eq!(text.matches("```sh").count(), names.len(), "{page}: commands without a recipe");
    }
    // A test runs each of them: the name is an argument in one of the other files.
    let sources =
        ["boot.rs", "debian.rs", "flags.rs"].map(|f| read(&format!("tests/packaging/{f}")));
    for name in RECIPES.iter().flat_map(|(_, names)| *names) {
        let call = format!("\"{name}\")");
        assert!(sources.iter().any(|source| source.contains(&call)), "nothing runs {name}");
    }
}

/// Compares a part of docs/packaging.md with what a test found, or writes it there.
pub fn part(name: &str, found: &str) {
    let page = read(PACKAGING);
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = page.split_once(&begin).expect("the comment before it");
    let (shown, after) = rest.split_once(&end).expect("the comment after it");
    let found = format!("\n{found}\n");
    if env::var("PACKAGING_DOC").is_ok_and(|value| value == "write") {
        let path = host::project().join(PACKAGING);
        fs::write(path, format!("{before}{begin}{found}{end}{after}")).expect("it can be written");
        return;
    }
    let version = Command::new("rustc").arg("--version").output().expect("rustc starts").stdout;
    let version = String::from_utf8_lossy(&version).into_owned();
    if version.starts_with(COMPILER) {
        let same = is_about(shown, &found);
        assert!(same, "PACKAGING_DOC=write writes this part of {PACKAGING}:\n{found}");
    } else {
        common::skipped(name, format!("the figures are of {COMPILER}x, this is {version}"));
    }
}

/// Whether two texts are the same, but for sizes, which may differ by two percent: symbols name the folders of the build, and
/// linkers differ by some bytes.
fn is_about(shown: &str, found: &str) -> bool {
    let number = |word: &str| word.replace(',', "").parse::<f64>().ok().filter(|n| *n >= 1000.0);
    let (shown, found): (Vec<_>, Vec<_>) = (shown.split(' ').collect(), found.split(' ').collect());
    shown.len() == found.len()
        && shown.iter().zip(&found).all(|(shown, found)| match (number(shown), number(found)) {
            (Some(one), Some(other)) => (one - other).abs() <= one / 50.0,
            _ => shown == found,
        })
}

#[test]
fn only_sizes_may_differ_and_only_a_little() {
    assert!(is_about("a 20,584 b", "a 20,600 b"));
    assert!(!is_about("a 20,584 b", "a 21,584 b"));
    assert!(!is_about("a 20,584 b", "a 20,584 c"));
    assert!(!is_about("a 20,584 b", "a 20,584 b c"));
    assert!(!is_about("status 0", "status 1"));
}
