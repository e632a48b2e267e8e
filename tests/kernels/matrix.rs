//! The table of the cases, the machines and the results.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use crate::host;

/// The result of one case in one column.
#[derive(Clone, PartialEq, Eq)]
pub enum Cell {
    Passed,
    Failed,
    Skipped(String),
}

/// A table that is being filled.
pub struct Matrix {
    columns: Vec<String>,
    rows: Vec<String>,
    cells: BTreeMap<(String, String), Cell>,
    sizes: Vec<String>,
}

impl Matrix {
    /// An empty table.
    pub fn new(columns: Vec<String>, rows: Vec<String>) -> Self {
        Self { columns, rows, cells: BTreeMap::new(), sizes: Vec::new() }
    }

    pub fn note(&mut self, column: &str, row: &str, cell: Cell) {
        self.cells.insert((column.into(), row.into()), cell);
    }

    /// Adds a line with the size of an image.
    pub fn size(&mut self, line: String) {
        self.sizes.push(line);
    }

    /// The table in Markdown. Numbered notes below it have the reasons of skipped cases.
    pub fn table(&self) -> String {
        let mut reasons: Vec<&str> = Vec::new();
        let mut lines = vec![format!("| case | {} |", self.columns.join(" | "))];
        lines.push(format!("| --- |{}", " --- |".repeat(self.columns.len())));
        for row in &self.rows {
            let cells: Vec<String> = self
                .columns
                .iter()
                .map(|column| match self.cells.get(&(column.clone(), row.clone())) {
                    None => "not run".into(),
                    Some(Cell::Passed) => "ok".into(),
                    Some(Cell::Failed) => "**FAILED**".into(),
                    Some(Cell::Skipped(reason)) => {
                        let known = reasons.iter().position(|known| known == reason);
                        let number = known.unwrap_or_else(|| {
                            reasons.push(reason);
                            reasons.len() - 1
                        });
                        format!("skipped ({})", number + 1)
                    }
                })
                .collect();
            lines.push(format!("| {} | {} |", row.replace('_', " "), cells.join(" | ")));
        }
        lines.push(String::new());
        for (number, reason) in reasons.iter().enumerate() {
            lines.push(format!("({}) {}\n", number + 1, reason.replace('\n', " ")));
        }
        let mut sizes = self.sizes.clone();
        sizes.sort();
        if !sizes.is_empty() {
            lines.push(format!("The image: {}.\n", sizes.join("; ")));
        }
        lines.push(format!("Measured on {}.", today()));
        lines.join("\n")
    }
}

fn today() -> String {
    let date =
        host::checked(Command::new("date").args(["-u", "+%Y-%m-%d"]), Duration::from_secs(10));
    date.map_or("an unknown day".into(), |date| String::from_utf8_lossy(&date).trim().into())
}
