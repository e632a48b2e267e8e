//! The date of a release, which all files in its archives have: the date of its section in CHANGELOG.md, since the
//! changelog is part of the source. A version without a section has no date, which is an error.

use std::env;
use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};

/// The beginning of the day on which `version` was released, or the value of `SOURCE_DATE_EPOCH`, in seconds since 1970.
pub fn date(project: &Path, version: &str) -> Result<u64> {
    let changelog = fs::read_to_string(project.join("CHANGELOG.md")).context("CHANGELOG.md")?;
    let heading = format!("## [{version}] - ");
    let day = changelog.lines().find_map(|line| line.strip_prefix(&heading));
    let day = day.with_context(|| format!("CHANGELOG.md has no line {heading}YYYY-MM-DD"))?;
    let date = humantime::parse_rfc3339(&format!("{}T00:00:00Z", day.trim_end()))
        .with_context(|| format!("CHANGELOG.md: {day}"))?;
    // https://reproducible-builds.org/specs/source-date-epoch/
    match env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => seconds.parse().context("SOURCE_DATE_EPOCH"),
        Err(_) => Ok(date.duration_since(UNIX_EPOCH).context("a date before 1970")?.as_secs()),
    }
}
