//! Bounds on ratios: `--bound COLUMN/ROW=LIMIT`, so that a CI run can hold the line.
//!
//! What the ratios are is in `measure.rs`; this is only their names and the comparison.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// What is compared: this program's figure divided by another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    /// The file's size.
    Bytes,
    /// Memory of the three processes.
    Pss,
    /// Start to exit with one directory, on all processors.
    Exit,
    /// The same on one.
    #[serde(rename = "exit-pinned")]
    ExitPinned,
    /// Start until the last process has ended, with one directory, on all processors.
    End,
    /// The same on one.
    #[serde(rename = "end-pinned")]
    EndPinned,
    /// Time a notification on one processor.
    Pinned,
    /// Time a notification on all processors.
    Unpinned,
    /// System calls a notification, both processes.
    Calls,
    /// The measuring mode, pinned, by the bare round trip.
    Loop,
    /// The same, unpinned.
    #[serde(rename = "loop-unpinned")]
    LoopUnpinned,
    /// The dearest cost a notification by the cheapest, over runs of different lengths.
    Flat,
}

impl Column {
    /// Every column, in the table's order.
    pub const ALL: [Self; 12] = [
        Self::Bytes,
        Self::Pss,
        Self::Exit,
        Self::ExitPinned,
        Self::End,
        Self::EndPinned,
        Self::Pinned,
        Self::Unpinned,
        Self::Calls,
        Self::Loop,
        Self::LoopUnpinned,
        Self::Flat,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Pss => "pss",
            Self::Exit => "exit",
            Self::ExitPinned => "exit-pinned",
            Self::End => "end",
            Self::EndPinned => "end-pinned",
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
            Self::Calls => "calls",
            Self::Loop => "loop",
            Self::LoopUnpinned => "loop-unpinned",
            Self::Flat => "flat",
        }
    }

    /// The only row that the column has, where it is not the programs'.
    pub fn only_row(self) -> Option<&'static str> {
        match self {
            Self::Loop | Self::LoopUnpinned => Some("bare"),
            Self::Flat => Some("100..10000"),
            _ => None,
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One bound: this program's figure, divided by the row's, may be at most the limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// Which figure.
    pub column: Column,
    /// Whose figure it is divided by.
    pub row: String,
    /// The largest ratio that holds.
    pub limit: f64,
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = "a bound is COLUMN/ROW=LIMIT, such as pinned/c-glibc-static=0.55";
        let (place, limit) = text.rsplit_once('=').ok_or(shape)?;
        let (name, row) = place.split_once('/').ok_or(shape)?;
        let column =
            Column::ALL.into_iter().find(|column| column.name() == name).ok_or_else(|| {
                let names = Column::ALL.map(Column::name).join(", ");
                format!("no column '{name}': there are {names}")
            })?;
        if row.is_empty() {
            return Err(shape.into());
        }
        if let Some(only) = column.only_row()
            && row != only
        {
            return Err(format!("the one row of column '{name}' is '{only}'"));
        }
        let limit: f64 = limit.parse().map_err(|_| format!("'{limit}' is not a number"))?;
        if !limit.is_finite() || limit <= 0.0 {
            return Err(format!("a limit of {limit} can never be tested"));
        }
        Ok(Self { column, row: row.into(), limit })
    }
}

/// A bound and what came out.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What was asked for.
    #[serde(flatten)]
    pub bound: Bound,
    /// The median ratio; none where the row or the column was not measured.
    pub measured: Option<f64>,
    /// Whether the ratio is within the limit. What was not measured does not hold: nobody knows.
    pub held: bool,
    /// Why nothing was measured.
    pub reason: Option<String>,
}

impl Bound {
    /// Compares.
    pub fn check(&self, measured: Result<f64, String>) -> Outcome {
        let (measured, reason) = match measured {
            Ok(ratio) => (Some(ratio), None),
            Err(reason) => (None, Some(reason)),
        };
        Outcome {
            bound: self.clone(),
            measured,
            held: measured.is_some_and(|ratio| ratio <= self.limit),
            reason,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Bound { column, row, limit } = &self.bound;
        let verdict = if self.held { "held" } else { "NOT HELD" };
        write!(f, "bound {verdict}: {column} / {row}: ")?;
        match (self.measured, &self.reason) {
            (Some(ratio), _) => write!(f, "measured {ratio:.3}, at most {limit}"),
            (None, Some(reason)) => write!(f, "not measured ({reason}), at most {limit}"),
            (None, None) => write!(f, "not measured, at most {limit}"),
        }
    }
}

/// What is malformed is refused, what is above the limit or was not measured does not hold.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_names_column_row_and_limit() {
        assert_eq!(
            "pinned/c-glibc-static=0.55".parse(),
            Ok(Bound { column: Column::Pinned, row: "c-glibc-static".into(), limit: 0.55 })
        );
        assert_eq!(
            "loop-unpinned/bare=2".parse::<Bound>().map(|b| b.column),
            Ok(Column::LoopUnpinned)
        );
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
}
