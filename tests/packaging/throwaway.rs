//! A throwaway copy of this machine, in which packages are really installed: see the script of this name.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::{is_root, skipped};
use crate::host;

const LIMIT: Duration = Duration::from_secs(400);

/// The status with which the script says that there can be no such copy here.
const IMPOSSIBLE: i32 = 99;

/// A copy that is not made yet.
pub struct Throwaway<'a> {
    what: &'a str,
    packages: &'a [&'a str],
}

impl<'a> Throwaway<'a> {
    /// A copy for the test of `what`, with these of Debian's packages.
    pub fn new(what: &'a str, packages: &'a [&'a str]) -> Self {
        Self { what, packages }
    }

    /// Runs a shell script there, in the folder `shared`, which is that of this machine. Returns what it printed on standard output;
    /// `None` if there can be no copy here, which is said.
    ///
    /// # Panics
    /// If the script fails.
    pub fn run(&self, shared: &Path, script: &str) -> Option<String> {
        if !is_root() {
            skipped(self.what, "only root can make a throwaway copy of the machine");
            return None;
        }
        let cache = host::cache().map(|cache| cache.join("throwaway"));
        let cache = match cache
            .and_then(|c| fs::create_dir_all(&c).map(|()| c).map_err(|e| e.to_string()))
        {
            Ok(cache) => cache,
            Err(why) => {
                skipped(self.what, why);
                return None;
            }
        };
        let mut command = Command::new("bash");
        command.arg(host::project().join("tests/packaging/throwaway"));
        command.arg(shared).arg(cache).arg(script).args(self.packages);
        let ran = host::run(&mut command, LIMIT).expect("it ends");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&ran.stderr).into_owned();
        if ran.status.code() == Some(IMPOSSIBLE) {
            skipped(self.what, complaints.lines().last().unwrap_or("no reason"));
            return None;
        }
        assert!(ran.status.success(), "{}: {}\n{complaints}\n{said}", self.what, ran.status);
        Some(said)
    }
}
