//! The table of what was tried and what came of it. What the words mean is not decided here.

use std::process::Command;
use std::time::Duration;

use crate::expected::Wrong;
use crate::host;

/// What one place came to.
pub enum Row {
    Right(String),
    Skipped(String),
    Wrong(Wrong),
}

/// The rows so far.
#[derive(Default)]
pub struct Table {
    rows: Vec<(&'static str, String, Row)>,
}

/// The columns that must be empty.
const BAD: &[&str] = &["hung", "left over", "wrong reason", "wrong status"];

impl Table {
    pub fn add(&mut self, place: &'static str, version: String, row: Row) {
        self.rows.push((place, version, row));
    }

    /// The whole as Markdown.
    pub fn markdown(&self) -> String {
        let mut lines = vec![
            format!("| place | version | outcome | {} |", BAD.join(" | ")),
            "| --- | --- | --- | ---: | ---: | ---: | ---: |".into(),
        ];
        let mut sums = [0; BAD.len()];
        let (mut tried, mut skipped) = (0, 0);
        for (place, version, row) in &self.rows {
            let mut bad = [0; BAD.len()];
            let outcome = match row {
                Row::Right(words) => {
                    tried += 1;
                    words.clone()
                }
                Row::Skipped(reason) => {
                    skipped += 1;
                    format!("skipped: {}", in_cell(reason))
                }
                Row::Wrong(wrong) => {
                    tried += 1;
                    let (column, what) = match wrong {
                        Wrong::Hung(what) => (0, what),
                        Wrong::LeftOver(what) => (1, what),
                        Wrong::Reason(what) => (2, what),
                        Wrong::Status(what) => (3, what),
                    };
                    bad[column] = 1;
                    format!("**{}**", in_cell(what))
                }
            };
            for (sum, bad) in sums.iter_mut().zip(bad) {
                *sum += bad;
            }
            let bad = bad.map(|bad| bad.to_string()).join(" | ");
            lines.push(format!("| {} | {version} | {outcome} | {bad} |", in_cell(place)));
        }
        let bad = sums.map(|sum| sum.to_string()).join(" | ");
        lines.push(format!("| all | | tried {tried}, skipped {skipped} | {bad} |"));
        lines.push(String::new());
        lines.push(format!("Measured on {}.", today()));
        lines.join("\n")
    }
}

/// A text as it may stand in a cell.
fn in_cell(text: &str) -> String {
    text.lines().next().unwrap_or_default().replace('|', "\\|")
}

fn today() -> String {
    let date =
        host::checked(Command::new("date").args(["-u", "+%Y-%m-%d"]), Duration::from_secs(10));
    date.map_or("an unknown day".into(), |date| String::from_utf8_lossy(&date).trim().into())
}
