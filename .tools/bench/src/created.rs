//! Directories that are made, one below the other: what the policy's way to a directory costs. All other measurements have a
//! refused directory, so that no file system is involved.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use tempfile::TempDir;

use crate::bound::Column;
use crate::child::{self, Cpus, Output};
use crate::programs::Program;

/// Where programs make directories.
const TMP: &str = "/tmp";

/// The columns, with the number of components below /tmp.
pub const DEPTHS: [(Column, usize); 3] =
    [(Column::Created1, 1), (Column::Created4, 4), (Column::Created8, 8)];

/// Gives this process and its children a /tmp in memory, if it is not there already: on a disk, the time of the file system hides
/// all else. Only root may do that.
///
/// # Errors
/// The call that failed, and its error.
pub fn tmp_in_memory() -> Result<(), String> {
    if statfs(TMP).is_ok_and(|about| about.filesystem_type() == TMPFS_MAGIC) {
        return Ok(());
    }
    let none = None::<&str>;
    let failed =
        |call: &str, errno: Errno| format!("{TMP} is no tmpfs, and cannot be: {call}: {errno}");
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| failed("unshare", errno))?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .and_then(|()| mount(Some("tmpfs"), TMP, Some("tmpfs"), MsFlags::empty(), none))
        .map_err(|errno| failed("mount", errno))
}

/// A place below /tmp, in which nothing else is made.
pub struct Place {
    dir: TempDir,
    paths: [Vec<PathBuf>; DEPTHS.len()],
}

impl Place {
    /// Prepares the parents of `count` directories of each depth.
    ///
    /// # Errors
    /// The path that cannot be made, and why.
    pub fn new(count: usize) -> Result<Self, String> {
        let dir = tempfile::Builder::new().prefix("compare-").tempdir_in(TMP);
        let dir = dir.map_err(|e| format!("{TMP}: {e}"))?;
        let mut paths = [const { Vec::new() }; DEPTHS.len()];
        for ((_, depth), paths) in DEPTHS.into_iter().zip(&mut paths) {
            // The first component is the place itself, and the last one is made. With one component the place's name has a
            // number added.
            let parents = (2..depth).map(|_| "component");
            let parent: PathBuf = [dir.path()].into_iter().chain(parents.map(Path::new)).collect();
            fs::create_dir_all(&parent).map_err(|e| format!("{}: {e}", parent.display()))?;
            paths.extend((0..count).map(|at| match depth {
                1 => PathBuf::from(format!("{}-{at}", parent.display())),
                _ => parent.join(at.to_string()),
            }));
        }
        Ok(Self { dir, paths })
    }

    /// Has a program make the directories of each depth, and removes them. Returns microseconds from start to exit for each
    /// directory.
    ///
    /// # Errors
    /// One line: the program failed, or did not make a directory.
    pub fn measure(&self, program: &Program, cpus: Cpus) -> Result<[f64; DEPTHS.len()], String> {
        let mut figures = [0.0; DEPTHS.len()];
        for (figure, paths) in figures.iter_mut().zip(&self.paths) {
            let args: Vec<OsString> = paths.iter().map(OsString::from).collect();
            let ran = child::run(&program.path, &args, cpus, &Output::Discard);
            // After a failure too: nothing is left.
            let removed = paths
                .iter()
                .map(|path| fs::remove_dir(path).map_err(|e| format!("{}: {e}", path.display())));
            let removed = removed.reduce(Result::and).unwrap_or(Ok(()));
            *figure = ran?.exit.as_secs_f64() * 1e6 / paths.len() as f64;
            removed?;
        }
        Ok(figures)
    }

    /// Removes the place.
    ///
    /// # Errors
    /// One line that says why that failed.
    pub fn close(self) -> Result<(), String> {
        self.dir.close().map_err(|e| format!("cannot clean up: {e}"))
    }
}
