//! `perf bench sched seccomp-notify`, which measures the same round trip: a parent in the place of the tracer, a child in the
//! place of the target. perf has it since Linux 6.6; the distribution's perf may be older.

use std::fs;
use std::path::{Path, PathBuf};

use crate::child::{self, Cpus, Output};

/// perf's command, and its option for the wake-up flag (`SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`).
const COMMAND: [&str; 3] = ["bench", "sched", "seccomp-notify"];
const SYNC: &str = "--sync-mode";

/// A perf that has this benchmark.
pub struct Perf<'a> {
    program: PathBuf,
    /// Where its output is kept.
    dir: &'a Path,
}

impl<'a> Perf<'a> {
    /// The given program, or that of the shell's path, if it has the benchmark.
    ///
    /// # Errors
    /// Why there is none.
    pub fn find(given: Option<&Path>, dir: &'a Path) -> Result<Self, String> {
        let program = given.unwrap_or(Path::new("perf")).to_owned();
        let perf = Self { program, dir };
        for sync in [false, true] {
            perf.measure(sync, 100, Cpus::Any)?;
        }
        Ok(perf)
    }

    /// Microseconds for one round trip of so many, as perf says.
    ///
    /// # Errors
    /// One line: perf cannot be started, failed, or said something else.
    pub fn measure(&self, sync: bool, trips: usize, cpus: Cpus) -> Result<f64, String> {
        let loops = format!("--loop={trips}");
        let args = COMMAND.into_iter().chain([&*loops]).chain(sync.then_some(SYNC));
        let args: Vec<_> = args.map(Into::into).collect();
        let name = self.program.display();
        let failed =
            |why: &str| format!("{name} {}: {why}; perf has it since Linux 6.6", COMMAND.join(" "));
        child::run(&self.program, &args, cpus, &Output::Keep(self.dir)).map_err(|e| failed(&e))?;
        let said = fs::read_to_string(self.dir.join("out")).map_err(|e| e.to_string())?;
        micros(&said).ok_or_else(|| failed("no usecs/op in its output"))
    }
}

/// The figure before `usecs/op`.
fn micros(said: &str) -> Option<f64> {
    let words: Vec<&str> = said.split_whitespace().collect();
    let pair = words.windows(2).find(|pair| pair[1] == "usecs/op")?;
    pair[0].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_read_and_another_text_is_not() {
        let said = "# Running 'sched/seccomp-notify' benchmark:\n# Executed 100 system calls\n\n     \
                    Total time: 0.000 [sec]\n\n       4.250000 usecs/op\n         235294 ops/sec\n";
        assert_eq!(micros(said), Some(4.25));
        assert_eq!(micros("Unknown benchmark: 'seccomp-notify' for collection 'sched'\n"), None);
    }

    #[test]
    fn a_perf_that_is_missing_or_older_is_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        for (program, part) in [
            ("/no/such/perf", "cannot start"),
            ("/bin/false", "exit status 1"),
            ("/bin/echo", "no usecs/op"),
        ] {
            let Err(reason) = Perf::find(Some(Path::new(program)), dir.path()) else {
                panic!("{program} is no perf")
            };
            assert!(reason.contains(part), "{reason}");
        }
    }
}
