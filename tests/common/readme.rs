//! README.md's parts that a command writes.

use std::fs;
use std::path::Path;

/// Puts `text` between the comments `<!-- NAME: begin -->` and `<!-- NAME: end -->` of README.md.
///
/// # Panics
/// If README.md has no such comments, or cannot be written.
pub fn put(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).expect("README.md can be read");
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = readme.split_once(&begin).expect("README.md has a place for it");
    let (_, after) = rest.split_once(&end).expect("and its end");
    fs::write(path, [before, &begin, text, &end, after].concat())
        .expect("README.md can be written");
}
