//! The project's pages, and what is in a page: blocks of code, code in sentences, tables, links and anchors. The parser is
//! pulldown-cmark; only the anchors' names, which Markdown does not define, are made here as the usual renderers make them.
#![allow(dead_code)] // each test uses a part

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use pulldown_cmark::{BrokenLink, CodeBlockKind, Event, LinkType, Options, Parser, Tag, TagEnd};

/// The pages in the folder of a project or of a release archive: those at the top, and those in docs.
pub fn pages(folder: &Path) -> Vec<String> {
    let mut pages = Vec::new();
    for (within, prefix) in [(folder.to_owned(), ""), (folder.join("docs"), "docs/")] {
        let entries = fs::read_dir(&within).unwrap_or_else(|e| panic!("{}: {e}", within.display()));
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let names = names.filter_map(|name| name.into_string().ok());
        pages.extend(names.filter(|n| n.ends_with(".md")).map(|name| format!("{prefix}{name}")));
    }
    pages.sort();
    pages
}

fn parser(page: &str) -> Parser<'_> {
    Parser::new_ext(page, Options::ENABLE_TABLES)
}

/// A block of code.
#[derive(Debug)]
pub struct Block {
    /// The language after the opening fence.
    pub language: String,
    /// The name in the comment `<!-- recipe: NAME -->` before it.
    pub recipe: Option<String>,
    pub text: String,
}

/// A page's blocks of code.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut recipe, mut block) = (None, None::<Block>);
    for event in parser(page) {
        match (event, &mut block) {
            (Event::Start(Tag::CodeBlock(kind)), _) => {
                let CodeBlockKind::Fenced(language) = kind else { panic!("an indented block") };
                let language = language.into_string();
                block = Some(Block { language, recipe: recipe.take(), text: String::new() });
            }
            (Event::Text(text), Some(block)) => block.text.push_str(&text),
            (Event::End(TagEnd::CodeBlock), _) => blocks.extend(block.take()),
            (Event::Html(html), _) => {
                let name = html.trim().strip_prefix("<!-- recipe: ");
                recipe = name.and_then(|name| name.strip_suffix(" -->")).map(str::to_owned);
            }
            (Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock), _) => {}
            // The comment is right before its block.
            _ => assert_eq!(recipe, None, "this recipe has no block"),
        }
    }
    assert_eq!(recipe, None, "this recipe has no block");
    blocks
}

/// The code in sentences and tables.
pub fn inline_code(page: &str) -> Vec<String> {
    let code = parser(page).filter_map(|event| match event {
        Event::Code(code) => Some(code.into_string()),
        _ => None,
    });
    code.collect()
}

/// A cell of a table.
#[derive(Debug, Default)]
pub struct Cell {
    /// Its text, that in code included.
    pub text: String,
    /// Its pieces of code.
    pub code: Vec<String>,
}

/// The rows of a section's tables, without their heads.
pub fn rows(page: &str, section: &str) -> Vec<Vec<Cell>> {
    let (mut rows, mut is_in) = (Vec::new(), false);
    let (mut heading, mut cell) = (None::<String>, None::<Cell>);
    for event in parser(page) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => is_in = heading.take().as_deref() == Some(section),
            Event::Start(Tag::TableRow) if is_in => rows.push(Vec::new()),
            Event::Start(Tag::TableCell) => cell = Some(Cell::default()),
            Event::End(TagEnd::TableCell) => {
                if let (true, Some(row)) = (is_in, rows.last_mut()) {
                    row.extend(cell.take());
                }
            }
            Event::Text(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
                if let Some(cell) = &mut cell {
                    cell.text.push_str(&text);
                }
            }
            Event::Code(code) => {
                if let Some(cell) = &mut cell {
                    cell.text.push_str(&code);
                    cell.code.push(code.into_string());
                }
            }
            _ => {}
        }
    }
    assert!(!rows.is_empty(), "no table under {section}");
    rows
}

/// Where a page's links and pictures lead.
fn links(page: &str) -> Vec<String> {
    // `[text][reference]` without a definition is no link for the parser, but for the page's author: it is reported here.
    // `[text]` alone may be meant so.
    let undefined = |link: BrokenLink| match link.link_type {
        LinkType::Shortcut => None,
        _ => Some((format!("undefined:{}", link.reference).into(), "".into())),
    };
    let parser =
        Parser::new_with_broken_link_callback(page, Options::ENABLE_TABLES, Some(undefined));
    let links = parser.filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some(dest_url.into_string())
        }
        _ => None,
    });
    links.collect()
}

/// The anchors of a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let (mut anchors, mut seen) = (BTreeSet::new(), BTreeMap::new());
    let mut heading = None::<String>;
    for event in parser(page) {
        match (event, &mut heading) {
            (Event::Start(Tag::Heading { .. }), _) => heading = Some(String::new()),
            (Event::Text(text) | Event::Code(text), Some(heading)) => heading.push_str(&text),
            (Event::End(TagEnd::Heading(_)), _) => {
                let heading = heading.take().unwrap_or_default().to_lowercase();
                let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
                let name = kept.collect::<String>().replace(' ', "-");
                // The second heading of the same words gets a number.
                let times: &mut usize = seen.entry(name.clone()).or_default();
                anchors.insert(if *times == 0 { name } else { format!("{name}-{times}") });
                *times += 1;
            }
            _ => {}
        }
    }
    anchors
}

/// A page's words in sentences, tables and code, without its links.
pub fn words(page: &str) -> Vec<String> {
    let text = parser(page).filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) | Event::Html(text) => Some(text.into_string()),
        Event::SoftBreak => Some(" ".into()),
        _ => None,
    });
    text.collect::<String>().split_whitespace().map(str::to_owned).collect()
}

/// The dead links of the pages in a folder, each as `PAGE: LINK`. Links to other sites are not followed. `is_there` says whether
/// a path, relative to the folder, exists.
pub fn dead_links(folder: &Path, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let read = |page: &str| fs::read_to_string(folder.join(page)).expect("a page can be read");
    let mut dead = Vec::new();
    let mut followed = 0;
    for page in pages(folder) {
        for link in links(&read(&page)) {
            if link.starts_with("https://") {
                continue;
            }
            followed += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let path = if path.is_empty() { page.clone() } else { beside(&page, path) };
            let leads = is_there(&path)
                && (anchor.is_empty()
                    || path.ends_with(".md") && anchors(&read(&path)).contains(anchor));
            if !leads {
                dead.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(followed > 20, "only {followed} links");
    dead
}

/// A link's path, relative to the folder of the pages.
fn beside(page: &str, link: &str) -> String {
    let mut parts: Vec<_> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." if !parts.is_empty() => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}
