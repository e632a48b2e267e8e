//! The recipes that need no other program than those of a shell.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{self, Beneath, Ended, is_installed, skipped};
use crate::{MADE, follow, recipe, temp_dir, text};

#[test]
pub fn the_quick_start_makes_a_directory_and_removes_it() {
    // Not /tmp/x: it may exist.
    let beneath = Beneath::new();
    let path = beneath.join("x").into_string().expect("text");
    let recipe = recipe("quick-start");
    assert_eq!(recipe.matches("/tmp/x").count(), 2, "{recipe}");
    let ran = follow(&recipe.replace("/tmp/x", &path), |_| {});
    assert!(text(&ran.stdout).contains(MADE), "{}", text(&ran.stdout));
    assert!(!Path::new(&path).exists(), "it has been removed");
}

#[test]
pub fn the_probe_recipe_prints_all_lines() {
    let recipe = recipe("probe");
    let mut words = recipe.split_whitespace();
    assert_eq!(words.next(), Some("target/release/seccomp-notify-min"));
    let outcome = common::program(words).finish();
    let lines = common::probe::Lines::read(&outcome.out()).expect("the lines");
    assert!(lines.is_whole(), "{outcome:#?}");
    assert_eq!(outcome.ended, Ended::Status(lines.status()));
}

/// Two names of this machine: scripts replace scp and ssh.
#[test]
pub fn the_machines_recipe_compares_machines() {
    let dir = temp_dir();
    let home = dir.path().to_str().expect("text");
    for (name, script) in [
        (
            "scp",
            format!(
                "[ \"$1\" = -q ]\ncp {} {home}/seccomp-notify-min\n",
                common::image().display()
            ),
        ),
        ("ssh", format!("shift\ncd {home}\nexec sh -c \"$*\"\n")),
    ] {
        let file = dir.path().join(name);
        fs::write(&file, format!("#!/bin/sh -eu\n{script}")).expect("a file can be written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let path = format!("{home}:{}", std::env::var("PATH").unwrap_or_default());
    let ran = follow(&recipe("machines"), |command| {
        command.env("HOSTS", "one two").env("PATH", path);
    });
    let printed = text(&ran.stdout);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 2 * (1 + common::probe::THINGS.len()), "{printed}");
    for pair in lines.chunks(2) {
        let [one, two] = pair else { panic!("{printed}") };
        let (one, two) = (one.strip_prefix("one: "), two.strip_prefix("two: "));
        assert!(one.is_some() && one == two, "{printed}");
    }
}

/// This machine is the other machine too: scripts replace scp and ssh. A tenth of the calls shows as much here.
#[test]
pub fn the_latency_recipe_measures_both_machines() {
    if !is_installed("taskset") {
        skipped("the recipe for latency", "taskset is not installed");
        return;
    }
    let dir = temp_dir();
    let home = dir.path().join("home");
    fs::create_dir(&home).expect("a directory can be made");
    let home = home.to_str().expect("text");
    let stand_in = |name: &str, script: String| {
        let file = dir.path().join(name);
        fs::write(&file, format!("#!/bin/sh -eu\n{script}")).expect("a file can be written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it is ours");
    };
    // scp -q FILE HOST:
    stand_in("scp", format!("[ $# = 3 ] && [ \"$1 $3\" = '-q there:' ]\ncp \"$2\" {home}\n"));
    // ssh HOST COMMAND..., run by a shell
    stand_in("ssh", format!("[ \"$1\" = there ]\nshift\ncd {home}\nexec sh -c \"$*\"\n"));
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
    let recipe = recipe("latency");
    assert_eq!(recipe.matches(" -b 100000 ").count(), 4, "{recipe}");
    let ran = follow(&recipe.replace(" -b 100000 ", " -b 10000 "), |command| {
        command.env("OTHER", "there").env("PATH", path);
    });
    let printed = text(&ran.stdout);
    assert_eq!(printed.matches("# Executed 10000 system calls\n").count(), 12, "{printed}");
    assert_eq!(printed.matches(" usecs/op\n").count(), 12, "{printed}");
    assert_eq!(printed.matches("there, ").count(), 3, "{printed}");
}
