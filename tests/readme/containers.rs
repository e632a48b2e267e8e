//! The recipes for containers in docs/deployment.md.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::common::document::read;
use crate::common::{self, is_installed, skipped};
use crate::host;
use crate::{LIMIT, MADE, PROJECT, follow, markdown, recipe, shell, temp_dir, text};

/// Podman with settings that need little from the host and leave nothing there. The settings are in files, since the recipes'
/// commands must not change.
struct Podman {
    dir: TempDir,
    settings: [(&'static str, PathBuf); 2],
}

impl Podman {
    /// Sets podman up, or returns why it cannot be used.
    fn prepare() -> Result<Self, String> {
        if !is_installed("podman") {
            return Err("podman is not installed".into());
        }
        let dir = temp_dir();
        let file = |name: &str, lines: &[String]| {
            let file = dir.path().join(name);
            fs::write(&file, lines.join("\n")).expect("a file can be written");
            file
        };
        let path = |name: &str| format!("{:?}", dir.path().join(name));
        let storage = file(
            "storage.conf",
            &[
                "[storage]".into(),
                "driver = \"vfs\"".into(),
                format!("graphroot = {}", path("store")),
                format!("runroot = {}", path("run")),
            ],
        );
        let mut lines = vec![
            "[engine]".into(),
            "cgroup_manager = \"cgroupfs\"".into(),
            "events_logger = \"none\"".into(),
            format!("tmp_dir = {}", path("tmp")),
        ];
        if is_installed("runc") {
            lines.push("runtime = \"runc\"".into());
        }
        lines.extend([
            "[containers]".into(),
            "netns = \"none\"".into(),
            "log_driver = \"none\"".into(),
            // Limits that an ordinary process may set.
            "default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]".into(),
        ]);
        let containers = file("containers.conf", &lines);
        let settings = [("CONTAINERS_STORAGE_CONF", storage), ("CONTAINERS_CONF", containers)];
        let podman = Self { dir, settings };

        // A failure of this run is podman's: the program only prints its version.
        fs::copy(common::image(), podman.dir.path().join("program")).expect("it can be copied");
        fs::write(podman.dir.path().join("Containerfile"), "FROM scratch\nCOPY program /\n")
            .expect("a file can be written");
        podman.ask(&["build", "--quiet", "-t", "probe", "."])?;
        podman.ask(&["run", "--rm", "probe", "/program", "-V"])?;
        Ok(podman)
    }

    fn set(&self, command: &mut Command) {
        command.envs(self.settings.iter().map(|(name, file)| (name, file)));
    }

    fn ask(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = Command::new("podman");
        self.set(command.args(arguments).current_dir(self.dir.path()));
        let ran = host::run(&mut command, LIMIT)?;
        let said = format!("podman {}: {}", arguments[0], text(&ran.stderr).trim());
        ran.status.success().then_some(()).ok_or(said)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.ask(&["rm", "--force", "--all", "--time=0"]);
        // Podman's processes that clean up after a container may still make files.
        for _ in 0..100 {
            let _ = fs::remove_dir_all(self.dir.path());
            std::thread::sleep(Duration::from_millis(50));
            if !self.dir.path().exists() {
                return;
            }
        }
        // A second panic would hide the first one.
        if !std::thread::panicking() {
            panic!("{} cannot be removed", self.dir.path().display());
        }
    }
}

#[test]
pub fn the_container_recipes_work() {
    let podman = match Podman::prepare() {
        Ok(podman) => podman,
        Err(reason) => {
            skipped("the recipes for containers", reason);
            return;
        }
    };
    let ran = follow(&recipe("container"), |command| podman.set(command));
    assert!(text(&ran.stdout).contains(MADE), "{}", text(&ran.stdout));

    // A running container: its delay is longer than the test.
    let wait = ["-d", "3600", "/etc/x"];
    let start = ["run", "--detach", "--name=there", "--tmpfs=/tmp", "probe", "/program"];
    let started = podman.ask(&[&start[..], &wait].concat());
    assert_eq!(started, Ok(()));
    let ran = follow(&recipe("running-container"), |command| {
        podman.set(command.env("CONTAINER", "there"));
    });
    assert!(text(&ran.stdout).contains(MADE), "{}", text(&ran.stdout));
}

/// What podman says where it may not do everything, and the options that help: the rows of the table.
fn remedies() -> Vec<(Vec<String>, String)> {
    let rows = markdown::rows(&read("docs/deployment.md"), "In a container");
    rows.into_iter().map(|mut row| (row.remove(0).code, row.remove(0).code.remove(0))).collect()
}

/// The recipe with podman's own settings. Only the images are elsewhere, and nothing is left of them. Where podman refuses, the
/// page quotes its words and has the options that help.
#[test]
fn the_container_recipe_works_as_a_reader_runs_it_or_the_page_has_the_remedy() {
    let podman = match Podman::prepare() {
        Ok(podman) => podman,
        Err(reason) => {
            skipped("the recipe for containers with podman's own settings", reason);
            return;
        }
    };
    let recipe = recipe("container");
    let mut options = String::new();
    for _ in 0..4 {
        let recipe = recipe.replace("podman run ", &format!("podman run {options}"));
        let mut command = Command::new("sh");
        let (variable, storage) = &podman.settings[0];
        shell(&mut command, PROJECT.as_ref()).args(["-euc", &recipe]).env(variable, storage);
        let ran = host::run(&mut command, LIMIT).expect("a recipe ends");
        let (out, err) = (text(&ran.stdout), text(&ran.stderr));
        if ran.status.success() {
            assert!(out.contains(MADE), "{out}{err}");
            if !options.is_empty() {
                skipped("a container without options", format!("podman needs {options}here"));
            }
            return;
        }
        let remedies = remedies();
        let (_, remedy) = remedies
            .iter()
            .find(|(said, _)| said.iter().any(|words| err.contains(words.as_str())))
            .unwrap_or_else(|| panic!("docs/deployment.md has no remedy for {err}"));
        assert!(!options.contains(remedy.as_str()), "{remedy} does not help: {err}");
        options += &format!("{remedy} ");
    }
    panic!("{options}does not help");
}
