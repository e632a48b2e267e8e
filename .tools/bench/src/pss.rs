//! The memory of the demonstration: the sum of Pss of its three processes while one path is delayed.
//!
//! Pss counts a page that N processes share as 1/N of a page for each of them. The sum over the three processes is the
//! memory of the whole program; of a shared C library it contains only this program's part.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::child::{self, Output, command};
use crate::programs::{Program, REFUSED};

/// Longer than the measurement takes. The processes are killed right after it.
const DELAY_SECONDS: &str = "20";
/// How long a program may take until its tracer prints that it delays.
const DELAY_LIMIT: Duration = Duration::from_secs(10);

/// Runs a program until its tracer delays, and returns the sum in kB.
///
/// # Errors
/// One line that says what is wrong.
pub fn measure(program: &Program, dir: &Path) -> Result<f64, String> {
    let args: [OsString; 3] = ["-d".into(), DELAY_SECONDS.into(), REFUSED.into()];
    let child = command(&program.path, &args, &Output::Keep(dir))?
        .spawn()
        .map_err(|e| format!("cannot start: {e}"))?;
    let sum = sum_while_delayed(Pid::from_raw(child.id().cast_signed()), &dir.join("out"));
    child::reap(Duration::ZERO);
    sum
}

/// Waits until the tracer delays, and adds up.
fn sum_while_delayed(parent: Pid, transcript: &Path) -> Result<f64, String> {
    let start = Instant::now();
    while !fs::read_to_string(transcript).is_ok_and(|text| text.contains("Tracer: delaying")) {
        if start.elapsed() > DELAY_LIMIT {
            return Err(format!("the tracer did not delay within {} s", DELAY_LIMIT.as_secs()));
        }
        sleep(Duration::from_millis(2));
    }
    // The C programs print the line in several writes, and the first number follows at once: wait until they are printed.
    sleep(Duration::from_millis(20));

    let mut processes = child::children(parent);
    processes.push(parent);
    if processes.len() != 3 {
        return Err(format!("{} processes while it delays, not 3", processes.len()));
    }
    processes.into_iter().map(pss).sum()
}

/// The Pss of one process in kB.
fn pss(pid: Pid) -> Result<f64, String> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB")?.trim().parse().ok())
        .ok_or_else(|| format!("{path} has no Pss"))
}
