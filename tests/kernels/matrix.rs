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
    /// It passed, but for a known fault of what it ran on.
    #[allow(dead_code)] // not where only one kernel is
    Fault(&'static str),
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

    /// The table in Markdown, the sizes and the date. If there is one column, the table has a line for each case.
    pub fn table(&self) -> String {
        let mut lines = match &self.columns[..] {
            [column] => self.by_case(column),
            _ => self.by_column(),
        };
        lines.push(String::new());
        let mut sizes = self.sizes.clone();
        sizes.sort();
        if !sizes.is_empty() {
            lines.push(format!("The image: {}.\n", sizes.join("; ")));
        }
        lines.push(format!("Measured on {}.", today()));
        lines.join("\n")
    }

    /// The result in words; `None` if the case passed.
    fn other_than_passed(&self, column: &str, row: &str) -> Option<String> {
        match self.cells.get(&(column.into(), row.into())) {
            Some(Cell::Passed) => None,
            Some(Cell::Failed) => Some("**FAILED**".into()),
            Some(Cell::Fault(reason)) => Some((*reason).into()),
            Some(Cell::Skipped(reason)) => Some(format!("skipped: {}", reason.replace('\n', " "))),
            None => Some("not run".into()),
        }
    }

    fn by_case(&self, column: &str) -> Vec<String> {
        let mut lines = vec![format!("| case | {column} |"), "| --- | --- |".into()];
        for row in &self.rows {
            let result = self.other_than_passed(column, row).unwrap_or("ok".into());
            lines.push(format!("| {} | {result} |", row.replace('_', " ")));
        }
        lines
    }

    /// A line for each column with the numbers of its cases, and below that each case that did not pass, with its columns.
    fn by_column(&self) -> Vec<String> {
        let mut lines =
            vec!["| machine | passed | other |".to_owned(), "| --- | ---: | ---: |".to_owned()];
        // By the words, the columns where it is so.
        let mut others: Vec<(String, Vec<&str>)> = Vec::new();
        for column in &self.columns {
            let mut passed = 0;
            for row in &self.rows {
                let Some(other) = self.other_than_passed(column, row) else {
                    passed += 1;
                    continue;
                };
                // What keeps a machine away is the same for all its cases, and told once.
                let all = self
                    .rows
                    .iter()
                    .all(|row| self.other_than_passed(column, row).as_ref() == Some(&other));
                let case = if all { "all cases".into() } else { row.replace('_', " ") };
                let other = format!("{case}: {other}");
                match others.iter_mut().find(|(known, _)| *known == other) {
                    Some((_, columns)) if columns.last() == Some(&column.as_str()) => {}
                    Some((_, columns)) => columns.push(column),
                    None => others.push((other, vec![column])),
                }
            }
            lines.push(format!("| {column} | {passed} | {} |", self.rows.len() - passed));
        }
        if !others.is_empty() {
            lines.push("\nOther than passed:\n".into());
        }
        for (other, columns) in others {
            lines.push(format!("- {}: {other}", columns.join(", ")));
        }
        lines
    }
}

fn today() -> String {
    let date =
        host::checked(Command::new("date").args(["-u", "+%Y-%m-%d"]), Duration::from_secs(10));
    date.map_or("an unknown day".into(), |date| String::from_utf8_lossy(&date).trim().into())
}
