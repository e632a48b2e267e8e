//! The pages of the project in an archive: a link to a file that is not in the archive becomes its text.

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The names of the pages: those at the top of the project, and those in docs.
pub fn names(project: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (folder, prefix) in [(project.to_owned(), ""), (project.join("docs"), "docs/")] {
        for entry in fs::read_dir(&folder).context(folder.display().to_string())? {
            if let Ok(name) = entry?.file_name().into_string()
                && name.ends_with(".md")
            {
                names.push(format!("{prefix}{name}"));
            }
        }
    }
    names.sort();
    Ok(names)
}

/// The text of the page `name` for an archive. `is_there` says whether the archive has this file or folder.
pub fn for_archive(name: &str, text: &str, is_there: impl Fn(&str) -> bool) -> String {
    // Each dead link, and what stands between its brackets.
    let mut dead: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    let mut open: Option<(Range<usize>, Range<usize>)> = None;
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => {
                let path = dest_url.split('#').next().unwrap_or_default();
                if !path.is_empty() && !path.contains(':') && !is_there(&beside(name, path)) {
                    open = Some((range.clone(), range.end..range.start));
                }
            }
            Event::End(TagEnd::Link) => dead.extend(open.take()),
            _ => {
                if let Some((_, inner)) = &mut open {
                    *inner = inner.start.min(range.start)..inner.end.max(range.end);
                }
            }
        }
    }
    let mut text = text.to_owned();
    for (link, inner) in dead.into_iter().rev() {
        let inner = text.get(inner).unwrap_or_default().to_owned();
        text.replace_range(link, &inner);
    }
    text
}

/// The path of a link on a page, relative to the project.
fn beside(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_a_file_that_is_not_there_becomes_its_text() {
        let page = "See [the `source`](../src/a.rs#x), [this](b.md#c), [up](../README.md), [top](#d) and\n\
                    [there](https://a.example/src).\n\n| [x](../src/) | `[y](../src)` |\n| --- | --- |\n| [z][1] | |\n\n[1]: ../no.md\n";
        let there = ["docs/b.md", "README.md"];
        let made = for_archive("docs/page.md", page, |path| there.contains(&path));
        let expected = page
            .replace("[the `source`](../src/a.rs#x)", "the `source`")
            .replace("[x](../src/)", "x")
            .replace("[z][1]", "z");
        assert_eq!(made, expected);
    }
}
