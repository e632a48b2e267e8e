//! Reads the project's documents, and writes the parts of the pages in docs that tests generate. This module does not depend on
//! the program, so that tests with their own harness can use it too.

use std::env;
use std::fs;
use std::path::Path;

/// Reads a file of the project.
pub fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The page with the generated part of this name.
pub fn page_of(name: &str) -> &'static str {
    match name {
        "containers" | "environments" | "kernels" => "docs/tested-on.md",
        "size" => "docs/internals.md",
        "unreached" => "docs/guarantees.md",
        _ => panic!("no page has a generated part {name}"),
    }
}

/// Puts `text` between the comments `<!-- NAME: begin -->` and `<!-- NAME: end -->` of its page.
pub fn put(name: &str, text: &str) -> Result<(), String> {
    let old = read(page_of(name));
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let (before, rest) = old.split_once(&begin).ok_or_else(|| format!("no {begin} in it"))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| format!("no {end} in it"))?;
    let last = if text.ends_with('\n') { "" } else { "\n" };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page_of(name));
    fs::write(path, format!("{before}{begin}\n{text}{last}{end}{after}")).map_err(|e| e.to_string())
}

/// Whether this environment variable asks the test to write its part of a page.
pub fn is_asked_for(variable: &str) -> bool {
    env::var(variable).is_ok_and(|value| value == "write")
}

/// Puts `text` into its page, as [`put`] does, if the variable NAME_README asks for it and nothing is missing in it.
/// Returns false, and says why, if that was asked for and could not be done.
pub fn put_if_asked(name: &str, is_whole: bool, text: &str) -> bool {
    if !is_asked_for(&format!("{}_README", name.to_uppercase())) {
        return true;
    }
    let written = if is_whole {
        put(name, text)
    } else {
        Err("only a whole run without a failure is written to it".into())
    };
    written.inspect_err(|reason| eprintln!("{} is unchanged: {reason}", page_of(name))).is_ok()
}
