//! The folders, files and cgroups that the places need. What is made here goes away with the value that made it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

/// Where the program and its root directory are for all places.
pub struct Stage {
    folder: TempDir,
}

impl Stage {
    /// Copies the program. Not to /tmp or below a home directory: some places have others of these.
    pub fn new(program: &Path) -> Result<Self, String> {
        let folders = ["/opt", "/var/tmp", env!("CARGO_TARGET_TMPDIR")];
        let mut made = folders.iter().map(|parent| {
            tempfile::Builder::new().prefix("seccomp-notify-min.").tempdir_in(parent)
        });
        let folder = made.find_map(Result::ok).ok_or("no folder for the program")?;
        let stage = Self { folder };
        let root = stage.root();
        for name in ["", "dev", "etc", "proc", "run", "sys", "usr"] {
            make_folder(&root.join(name), 0o755)?;
        }
        make_folder(&root.join("tmp"), 0o1777)?;
        // systemd-nspawn takes a folder with the first one for a system; ch-run mounts on the others.
        for name in ["os-release", "hosts", "resolv.conf"] {
            fs::write(root.join("etc").join(name), "").map_err(|error| error.to_string())?;
        }
        let mode = Permissions::from_mode(0o755);
        fs::set_permissions(stage.folder.path(), mode.clone())
            .map_err(|error| error.to_string())?;
        for copy in stage.programs() {
            fs::copy(program, &copy).map_err(|error| format!("{}: {error}", program.display()))?;
            fs::set_permissions(&copy, mode.clone()).map_err(|error| error.to_string())?;
        }
        Ok(stage)
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.folder.path().join("program")
    }

    /// A root directory with nothing in it but the program, as /program, and empty folders.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The program's files.
    pub fn programs(&self) -> Vec<PathBuf> {
        vec![self.program(), self.root().join("program")]
    }

    /// Removes all; an error if something is mounted or used there.
    pub fn close(self) -> Result<(), String> {
        self.folder.close().map_err(|error| error.to_string())
    }
}

fn make_folder(path: &Path, mode: u32) -> Result<(), String> {
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Where the directory that the tracer makes is seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// At its own path.
    Here,
    /// Below the root directory of [`Stage::root`].
    InRoot,
    /// Nowhere.
    Nowhere,
}

/// One run in one place.
pub struct Case<'a> {
    pub stage: &'a Stage,
    /// A folder for this run.
    pub folder: TempDir,
    /// The path that the program is to make a directory of.
    pub path: String,
    /// The program and its arguments.
    pub words: Vec<String>,
    seen: Seen,
}

impl<'a> Case<'a> {
    /// `arguments` are made for the path that they get.
    pub fn new(
        stage: &'a Stage,
        seen: Seen,
        has_root: bool,
        arguments: impl FnOnce(&str) -> Vec<String>,
    ) -> Result<Self, String> {
        let folder =
            tempfile::tempdir_in(stage.folder.path()).map_err(|error| error.to_string())?;
        let mode = Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), mode).map_err(|error| error.to_string())?;
        // No other run has this name.
        let path = format!("/tmp/seccomp-notify-min.{}", std::process::id());
        let program = match has_root {
            true => "/program".into(),
            false => stage.program().display().to_string(),
        };
        let mut words = vec![program];
        words.extend(arguments(&path));
        let case = Self { stage, folder, path, words, seen };
        case.remove()?;
        Ok(case)
    }

    /// A file of this run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of this run.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.file(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    fn outside(&self) -> Option<PathBuf> {
        match self.seen {
            Seen::Here => Some(self.path.clone().into()),
            Seen::InRoot => Some(self.stage.root().join(&self.path[1..])),
            Seen::Nowhere => None,
        }
    }

    /// Whether the directory is there.
    pub fn is_made(&self) -> Option<bool> {
        self.outside().map(|path| path.is_dir())
    }

    /// Removes the directory.
    fn remove(&self) -> Result<(), String> {
        for path in [Some(self.path.clone().into()), self.outside()].into_iter().flatten() {
            match fs::remove_dir(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(format!("{}: {error}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A command whose words are separated by spaces.
    pub fn line(&self, line: &str) -> Command {
        self.command(&line.split(' ').collect::<Vec<_>>())
    }

    /// A command made of words, in which {run} stands for the program and its arguments, {program}, {root} and
    /// {folder} for paths.
    pub fn command(&self, words: &[&str]) -> Command {
        let (program, root) = (self.stage.program(), self.stage.root());
        let replaced = |word: &str| {
            word.replace("{program}", &program.display().to_string())
                .replace("{root}", &root.display().to_string())
                .replace("{folder}", &self.folder.path().display().to_string())
        };
        let mut all = Vec::new();
        for word in words {
            match *word {
                "{run}" => all.extend(self.words.iter().cloned()),
                "{arguments}" => all.extend(self.words[1..].iter().cloned()),
                word => all.push(replaced(word)),
            }
        }
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).current_dir("/");
        command
    }
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}

/// A cgroup of one's own: a folder in a hierarchy that is mounted here.
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// In the hierarchy of version 2.
    pub fn new() -> Result<Self, String> {
        Self::in_hierarchy("cgroup2", "")
    }

    /// In the freezer's hierarchy of version 1.
    pub fn of_freezer() -> Result<Self, String> {
        Self::in_hierarchy("cgroup", "freezer")
    }

    fn in_hierarchy(kind: &str, controller: &str) -> Result<Self, String> {
        let version = if kind == "cgroup2" { "2" } else { "1 with a freezer" };
        let none = |why: &dyn std::fmt::Display| {
            format!("no cgroup of version {version} to write to: {why}")
        };
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| none(&error))?;
        let mount = mounts.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let after: Vec<&str> = after.split(' ').collect();
            let has_controller = controller.is_empty()
                || after.get(2)?.split(',').any(|option| option == controller);
            let is_it = after.first() == Some(&kind) && has_controller;
            is_it.then(|| before.split(' ').nth(4)).flatten()
        });
        let mount = mount.ok_or_else(|| none(&"none is mounted"))?;
        let groups = fs::read_to_string("/proc/self/cgroup").map_err(|error| none(&error))?;
        let own = groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let is_it = parts.next()?.split(',').any(|part| part == controller);
            is_it.then(|| parts.next()).flatten()
        });
        let parent = Path::new(mount).join(own.unwrap_or_default().trim_start_matches('/'));
        let folder = parent.join(format!("seccomp-notify-min.{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| none(&error))?;
        Ok(Self { folder })
    }

    /// A file of the cgroup.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        fn remove(folder: &Path) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    remove(&entry.path());
                }
            }
            let _ = fs::remove_dir(folder);
        }
        // What ended just now may still be counted.
        for _ in 0..100 {
            remove(&self.folder);
            if !self.folder.exists() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        eprintln!("cannot be removed: {}", self.folder.display());
    }
}
