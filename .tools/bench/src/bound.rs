//! Bounds on ratios: `--bound COLUMN/ROW=LIMIT` makes a CI run fail when the program gets worse.
//!
//! `measure.rs` computes the ratios. Here are their names and the comparison with a limit.

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
    /// The same on one processor.
    #[serde(rename = "exit-pinned")]
    ExitPinned,
    /// Start until the last process has ended, with one directory, on all processors.
    End,
    /// The same on one processor.
    #[serde(rename = "end-pinned")]
    EndPinned,
    /// Time of one notification, on one processor.
    Pinned,
    /// Time of one notification, on all processors.
    Unpinned,
    /// System calls for one notification, of both processes.
    Calls,
    /// Time of one notification that makes a directory directly below /tmp, on one processor.
    #[serde(rename = "created-1")]
    Created1,
    /// The same, with four components below /tmp.
    #[serde(rename = "created-4")]
    Created4,
    /// The same, with eight.
    #[serde(rename = "created-8")]
    Created8,
    /// The measuring mode divided by the bare round trip, pinned.
    Loop,
    /// The same, unpinned.
    #[serde(rename = "loop-unpinned")]
    LoopUnpinned,
    /// The highest cost of a notification divided by the lowest, over runs of different lengths.
    Flat,
}

impl Column {
    /// Every column, in the table's order.
    pub const ALL: [Self; 15] = [
        Self::Bytes,
        Self::Pss,
        Self::Exit,
        Self::ExitPinned,
        Self::End,
        Self::EndPinned,
        Self::Pinned,
        Self::Unpinned,
        Self::Calls,
        Self::Created1,
        Self::Created4,
        Self::Created8,
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
            Self::Created1 => "created-1",
            Self::Created4 => "created-4",
            Self::Created8 => "created-8",
            Self::Loop => "loop",
            Self::LoopUnpinned => "loop-unpinned",
            Self::Flat => "flat",
        }
    }

    /// The only row of a column that does not compare programs.
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

/// One bound: this program's figure divided by the row's figure may be at most the limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// The figure that is compared.
    pub column: Column,
    /// The row whose figure is the divisor.
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

/// A bound and its result.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The bound from the command line.
    #[serde(flatten)]
    pub bound: Bound,
    /// The median ratio; `None` if the row or the column was not measured.
    pub measured: Option<f64>,
    /// Whether the ratio is within the limit. A bound on what was not measured does not hold.
    pub held: bool,
    /// Why there is no ratio.
    pub reason: Option<String>,
}

impl Bound {
    /// Compares a measured ratio, or the reason why there is none, with the limit.
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

/// A malformed bound is refused. A ratio above the limit, or a missing one, does not hold.
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
