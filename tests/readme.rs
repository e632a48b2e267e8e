//! README.md is right: its transcript is what the program prints, its recipes are run as they are, its links have a target, and
//! a test or .ci/run runs each of its commands, or a list here has the reason why not. tests/kernels runs the recipe for an
//! initramfs.

mod common;
#[allow(dead_code)] // nothing is installed here
#[path = "kernels/host.rs"]
mod host;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use common::document::read;
use common::shown::compare;
use common::{Ended, copy_project, is_installed, sandbox_filter, skipped};
use host::Ran;

/// The time limit of a command. A recipe may build the program.
const LIMIT: Duration = Duration::from_secs(300);

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

fn temp_dir() -> TempDir {
    tempfile::tempdir().expect("a directory can be made")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_transcript_is_what_the_program_prints() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("<!-- transcript: begin -->").expect("the comment before it");
    let (shown, _) = rest.split_once("```\n<!-- transcript: end -->").expect("the one behind it");
    compare("README.md", shown);
}

// ---- The contents of the page

/// A block of code.
struct Block {
    /// The language after the opening fence.
    language: String,
    /// The name in the comment `<!-- recipe: NAME -->` on the line before it.
    recipe: Option<String>,
    lines: Vec<String>,
}

/// The page's blocks of code, and the page without them.
fn blocks(page: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut rest, mut recipe) = (Vec::new(), String::new(), None);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let lines = lines.by_ref().take_while(|line| *line != "```").map(str::to_owned);
            let lines = lines.collect();
            blocks.push(Block { language: language.into(), recipe: recipe.take(), lines });
            continue;
        }
        let name = line.strip_prefix("<!-- recipe: ").and_then(|rest| rest.strip_suffix(" -->"));
        recipe = name.map(str::to_owned);
        rest.push_str(line);
        rest.push('\n');
    }
    (blocks, rest)
}

/// The text of a recipe.
fn recipe(name: &str) -> String {
    let (blocks, _) = blocks(&read("README.md"));
    let mut found = blocks.iter().filter(|block| block.recipe.as_deref() == Some(name));
    let block = found.next().unwrap_or_else(|| panic!("README.md has no recipe {name}"));
    assert!(found.next().is_none(), "two recipes {name}");
    block.lines.join("\n") + "\n"
}

/// The texts of a YAML file's block scalars (`run: |`, `- |`), which are the steps of the recipes.
fn steps(yaml: &str) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut steps: Vec<String> = Vec::new();
    let mut lines = yaml.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.ends_with(" |") {
            continue;
        }
        let inner = lines.peek().map_or(0, |next| indent(next));
        assert!(inner > indent(line), "nothing is in {line:?}");
        let mut step = String::new();
        while let Some(line) = lines.next_if(|line| line.is_empty() || indent(line) >= inner) {
            step.push_str(line.get(inner..).unwrap_or_default());
            step.push('\n');
        }
        steps.push(step);
    }
    steps
}

// ---- Every command

/// Code in the middle of a sentence is a command if it begins with one of these words.
const COMMANDS: &[&str] = &[
    "cargo",
    "cp",
    "docker",
    "export",
    "git",
    "kill",
    "make",
    "man",
    "mkdir",
    "podman",
    "qemu-system-x86_64",
    "rmdir",
    "rustup",
    "scp",
    "seccomp-notify-min",
    "sh",
    "ssh",
    "strace",
    "sudo",
    "taskset",
];

/// The test of each recipe.
const RECIPES: &[(&str, fn())] = &[
    ("container", the_container_recipes_work),
    ("running-container", the_container_recipes_work),
    ("features", the_ci_recipes_pass_skip_and_fail_as_they_should),
    ("github", the_ci_recipes_pass_skip_and_fail_as_they_should),
    ("gitlab", the_ci_recipes_pass_skip_and_fail_as_they_should),
    ("latency", the_latency_recipe_measures_both_machines),
    ("machines", the_machines_recipe_compares_machines),
    ("probe", the_probe_recipe_prints_all_lines),
    ("signal", the_signal_recipe_takes_a_call_away),
];

/// The recipe that another test runs, and the file of this test.
const ELSEWHERE: &[(&str, &str)] = &[("initramfs", "tests/kernels/recipe.rs")];

/// The commands that neither a test nor .ci/run runs as they are, and why.
const NOT_RUN: &[(&str, &str)] = &[
    (
        "cargo bench -- --format markdown --svg benches/comparison.svg",
        ".ci/run runs the quick mode; the figures shown are of a quiet machine",
    ),
    ("cargo bench -- --help", "tells options and measures nothing"),
    (
        "cargo build --release --target aarch64-unknown-linux-gnu",
        "tests/kernels does, where the target is there",
    ),
    (
        "cargo build --release --target riscv64gc-unknown-linux-gnu",
        "tests/kernels does, where the target is there",
    ),
    (
        "cargo doc --no-deps --document-private-items --open",
        ".ci/run makes the same pages; --open shows them in a browser",
    ),
    ("cargo install --git", "tests/builds.rs does, from a repository of its own"),
    ("cargo install --path .", "tests/builds.rs does, into a folder of its own"),
    (
        "cargo run --manifest-path .tools/release/Cargo.toml",
        "tests/release.rs does, in two copies of the project",
    ),
    (
        "cargo test --test coverage -- --ignored --nocapture",
        "takes long; it is run by whoever changes the source",
    ),
    ("cargo test --test release -- --ignored", "takes long; it is run before a release"),
    ("export KERNEL=/boot/vmlinuz-…", "tests/kernels takes the kernels of Debian's packages"),
    ("kill -INT", "the test of the recipe sends the signal"),
    ("man ./seccomp-notify-min.1", "tests/manual.rs asks mandoc and groff about the page"),
    (
        "rustup target add aarch64-unknown-linux-gnu riscv64gc-unknown-linux-gnu",
        "changes its reader's toolchain",
    ),
];

/// The page's commands that are not part of a recipe.
fn commands(page: &str) -> BTreeSet<String> {
    let (blocks, rest) = blocks(page);
    let mut found = BTreeSet::new();
    for block in blocks.iter().filter(|block| block.recipe.is_none()) {
        match block.language.as_str() {
            "sh" => found.extend(block.lines.iter().cloned()),
            "" => {
                let typed = block.lines.iter().filter_map(|line| line.strip_prefix("$ "));
                found.extend(typed.map(str::to_owned));
            }
            "mermaid" => {}
            other => panic!("a block in {other:?} that is no recipe"),
        }
    }
    // Code in a sentence is between backquotes, on one line.
    for line in rest.lines() {
        for span in line.split('`').skip(1).step_by(2) {
            let mut words = span.split(' ');
            let is_command = words.next().is_some_and(|first| COMMANDS.contains(&first));
            if is_command && words.next().is_some() {
                found.insert(span.to_owned());
            }
        }
    }
    found
}

/// Whether one of these lines of a shell script runs the command, as it is or with more arguments.
fn is_run_by<'a>(command: &str, lines: impl IntoIterator<Item = &'a str>) -> bool {
    lines.into_iter().map(str::trim).filter(|line| !line.starts_with('#')).any(|line| {
        // Skip the variables that are set in front of the command.
        let words: Vec<&str> = line.split(' ').collect();
        let is_set = |word: &&&str| word.contains('=') && !word.starts_with('-');
        let line = words[words.iter().take_while(is_set).count()..].join(" ");
        line == command || line.strip_prefix(command).is_some_and(|rest| rest.starts_with(' '))
    })
}

/// The suites that this command runs, if `cargo test` runs them too. None for another command, or one that runs ignored tests.
fn suites(command: &str) -> Vec<&str> {
    let Some(arguments) = command.strip_prefix("cargo test --test ") else { return Vec::new() };
    let arguments = arguments.split(" -- ").collect::<Vec<_>>();
    if arguments.get(1).is_some_and(|rest| rest.contains("--ignored")) {
        return Vec::new();
    }
    arguments[0].split(" --test ").collect()
}

#[test]
fn every_command_is_run_or_has_a_reason() {
    let page = read("README.md");
    let ci = fs::read_to_string(Path::new(PROJECT).join(".ci/run")).unwrap_or_default();
    if ci.is_empty() {
        skipped("the commands that .ci/run runs", "it is not in this copy of the project");
        return;
    }
    let (blocks, _) = blocks(&page);
    let recipes: Vec<_> = blocks.iter().filter(|block| block.recipe.is_some()).collect();
    let in_recipes: Vec<&str> =
        recipes.iter().flat_map(|block| &block.lines).map(String::as_str).collect();

    let followed = RECIPES.iter().map(|(name, _)| *name);
    let followed: BTreeSet<_> = followed.chain(ELSEWHERE.iter().map(|(name, _)| *name)).collect();
    let shown: BTreeSet<_> = recipes.iter().filter_map(|block| block.recipe.as_deref()).collect();
    assert_eq!(shown, followed, "the recipes that are shown, and those that are followed");
    for (name, file) in ELSEWHERE {
        assert!(read(file).contains(&format!("recipe: {name} -->")), "{file} follows {name}");
    }

    let commands = commands(&page);
    assert!(commands.len() > 20, "{commands:?}");
    let mut wrong = Vec::new();
    for command in &commands {
        let suites = suites(command);
        let exist = |suite: &&str| {
            let folder = Path::new(PROJECT).join("tests");
            folder.join(format!("{suite}.rs")).exists()
                || folder.join(suite).join("main.rs").exists()
        };
        let is_run = if suites.is_empty() {
            is_run_by(command, ci.lines())
                || is_run_by(command, in_recipes.iter().copied())
                || is_here(command)
        } else {
            suites.iter().all(exist) && is_run_by("cargo test", ci.lines())
        };
        if !is_run && !NOT_RUN.iter().any(|(known, _)| known == command) {
            wrong.push(format!("nobody runs {command:?}"));
        }
    }
    for (known, _) in NOT_RUN {
        if !commands.contains(*known) {
            wrong.push(format!("README.md no longer has {known:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether a test in this file runs the command: the one of the transcript, or the one that undoes it.
fn is_here(command: &str) -> bool {
    ["seccomp-notify-min -K /tmp/x /bye", "rmdir /tmp/x"].contains(&command)
}

#[test]
fn a_command_that_is_not_run_is_found() {
    let page = "Say `cargo frobnicate --all`, or\n\n```sh\nmake world\n```\nbut `cargo` is a word, and `a b` no command.\n";
    let found = commands(page);
    assert_eq!(found.iter().collect::<Vec<_>>(), ["cargo frobnicate --all", "make world"]);
    let ci =
        ["# make world", "cargo frobnicate", "echo cargo frobnicate --all", "A=1 make", "makes"];
    assert!(found.iter().all(|command| !is_run_by(command, ci)));
    assert!(is_run_by("make", ci));
    assert_eq!(suites("cargo test --test a --test b -- --nocapture"), ["a", "b"]);
    assert!(suites("cargo test --test a -- --ignored").is_empty());
}

// ---- Links

/// The anchor of a heading, as the usual renderers make it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The other packages in the project's folder. Cargo leaves them out when it packages the crate.
const PACKAGES: &[&str] = &[".tools/bench", ".tools/fuzz", ".tools/release"];

#[test]
fn every_link_has_a_target() {
    let is_packaged = Path::new(PROJECT).join("Cargo.toml.orig").exists();
    for document in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let (_, page) = blocks(&read(document));
        let headings = page.lines().filter(|line| line.starts_with('#'));
        let anchors: BTreeSet<_> =
            headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect();
        let links: Vec<_> =
            page.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)).collect();
        assert!(!links.is_empty() || document == "CHANGELOG.md");
        for link in links {
            let leads = match link.strip_prefix('#') {
                Some(name) => anchors.contains(name),
                // The tests do not check links to other sites.
                None if link.starts_with("https://") => true,
                None if is_packaged && PACKAGES.contains(&link) => {
                    skipped("a link", format!("{link} is not in a packaged crate"));
                    true
                }
                None => Path::new(PROJECT).join(link.split('#').next().unwrap_or(link)).exists(),
            };
            assert!(leads, "{document}: {link}");
        }
    }
}

// ---- The recipes for CI

/// A repository with the project's files, and a clone in which the first step of the recipes has built the program. Both recipes
/// have the same first step.
struct Clone {
    dir: TempDir,
}

impl Clone {
    /// Runs the first step; `None` without git or bash.
    fn make() -> Option<Self> {
        if !is_installed("git") || !is_installed("bash") {
            skipped("the recipes for CI", "they need git and bash");
            return None;
        }
        let dir = temp_dir();
        let source = dir.path().join("source");
        copy_project(&source);
        common::commit_all(&source);
        let [github, gitlab] = ["github", "gitlab"].map(|name| steps(&recipe(name)));
        assert_eq!(github[0], gitlab[0], "the first steps");
        let clone = Self { dir };
        let built = clone.run(&["bash", "-e"], &github[0], clone.dir.path(), "", &[]);
        assert!(built.status.success(), "{}", text(&built.stderr));
        Some(clone)
    }

    /// Runs a step in `folder` with the variables of the recipe, in a sandbox in which the calls in `failing` fail.
    fn run(
        &self,
        interpreter: &[&str],
        step: &str,
        folder: &Path,
        run: &str,
        failing: &[(libc::c_long, i32)],
    ) -> Ran {
        let script = folder.join("step.sh");
        fs::write(&script, step).expect("a file can be written");
        let mut command = Command::new(interpreter[0]);
        shell(&mut command, folder)
            .args(&interpreter[1..])
            .arg(&script)
            .env("SOURCE", format!("file://{}", self.dir.path().join("source").display()))
            .env("RUN", run)
            .env("PROGRAM", program());
        if !failing.is_empty() {
            let rules: Vec<_> = failing
                .iter()
                .map(|&(call, errno)| (call, libc::SECCOMP_RET_ERRNO | errno as u32))
                .collect();
            let filter = sandbox_filter(&rules);
            // SAFETY: the closure only makes two system calls.
            unsafe {
                command.pre_exec(move || match common::install_filter(&filter, 0) {
                    -1 => Err(io::Error::last_os_error()),
                    _ => Ok(()),
                });
            }
        }
        host::run(&mut command, LIMIT).expect("a step ends")
    }

    /// A folder in the state after the first step.
    fn folder(&self) -> TempDir {
        let folder = temp_dir();
        let there = self.dir.path().join("seccomp-notify-min");
        symlink(there, folder.path().join("seccomp-notify-min")).expect("a link can be made");
        folder
    }

    /// Runs a recipe's second step in five situations: the program works; it works with another command in front; the kernel
    /// has no user notification; another call fails; no directory can be made. Returns the exit status and the output of each.
    fn follow(&self, name: &str, interpreter: &[&str]) -> [(Option<i32>, String); 5] {
        let steps = steps(&recipe(name));
        let [_, smoke] = steps.as_slice() else { panic!("{name} has not two steps") };
        let none: &[(libc::c_long, i32)] = &[];
        let cases = [
            ("", none),
            ("env", none),
            ("", &[(libc::SYS_seccomp, libc::EINVAL)]),
            ("", &[(libc::SYS_socketpair, libc::EMFILE)]),
            ("", &[(libc::SYS_mkdirat, libc::EROFS)]),
        ];
        cases.map(|(run, failing)| {
            let folder = self.folder();
            let ran = self.run(interpreter, smoke, folder.path(), run, failing);
            let printed = text(&ran.stdout) + &text(&ran.stderr);
            // The step has removed the directory that it made.
            let made = printed.split('"').find(|part| part.starts_with("/tmp/smoke."));
            assert!(made.is_none_or(|made| !Path::new(made).exists()), "{printed}");
            (ran.status.code(), printed)
        })
    }
}

/// The program's path in the recipes for CI.
fn program() -> String {
    let [github, gitlab] = ["github", "gitlab"].map(|name| {
        let recipe = recipe(name);
        let lines = recipe.lines();
        let mut values = lines.filter_map(|line| line.trim().strip_prefix("PROGRAM: "));
        values.next().unwrap_or_else(|| panic!("{name} does not set PROGRAM")).to_owned()
    });
    assert_eq!(github, gitlab);
    github
}

/// A command in `folder`, without the user's settings.
fn shell<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        // The recipes name the directory in which the program is built.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET")
}

const MADE: &str = "SUCCESS: mkdir(2) returned";

#[test]
fn the_ci_recipes_pass_skip_and_fail_as_they_should() {
    if let Some(clone) = Clone::make() {
        check_features(&clone);
        check_github(&clone);
        check_gitlab(&clone);
    }
}

/// Checks a step in which no directory was made.
fn check_empty((status, printed): &(Option<i32>, String)) {
    assert!(*status == Some(1), "{status:?} {printed}");
    for said in ["Read-only file system", "no directory was made"] {
        assert!(printed.contains(said), "{printed}");
    }
}

/// The step passes where the features are there, and fails where a sandbox takes them away.
fn check_features(clone: &Clone) {
    let steps = steps(&recipe("features"));
    let [step] = steps.as_slice() else { panic!("this is one step") };
    let probed = common::program(["-p"]).finish().out();
    assert!(step.contains("for feature in wait-killable add-fd-send;"), "{step}");
    let is_there =
        probed.contains("\nwait-killable: yes\n") && probed.contains("\nadd-fd-send: yes\n");
    for (failing, passes) in [(&[][..], is_there), (&[(libc::SYS_seccomp, libc::EPERM)], false)] {
        let folder = clone.folder();
        let ran = clone.run(&["bash", "-e"], step, folder.path(), "", failing);
        let printed = text(&ran.stdout);
        assert!(printed.contains("\nlistener: "), "{printed}{}", text(&ran.stderr));
        assert_eq!(ran.status.code(), Some(if passes { 0 } else { 1 }), "{printed}");
        assert_eq!(printed.contains("\n::error::missing here: "), !passes, "{printed}");
    }
}

fn check_github(clone: &Clone) {
    // The shell with which a runner starts a step.
    let [well, prefixed, cannot, broken, empty] = clone.follow("github", &["bash", "-e"]);
    for (status, printed) in [&well, &prefixed] {
        assert!(*status == Some(0) && printed.contains(MADE), "{status:?} {printed}");
        assert!(!printed.contains("skipped"), "{printed}");
    }
    assert!(cannot.0 == Some(0) && cannot.1.contains("::notice::skipped"), "{cannot:?}");
    assert!(broken.0 == Some(1) && broken.1.contains("socketpair"), "{broken:?}");
    check_empty(&empty);
}

fn check_gitlab(clone: &Clone) {
    assert!(recipe("gitlab").contains("allow_failure:\n    exit_codes: 77\n"));
    // The shells with which a runner starts a script, with and without bash in the image.
    for interpreter in [&["bash", "-eo", "pipefail"][..], &["sh", "-e"]] {
        let [well, prefixed, cannot, broken, empty] = clone.follow("gitlab", interpreter);
        for (status, printed) in [&well, &prefixed] {
            assert!(*status == Some(0) && printed.contains(MADE), "{status:?} {printed}");
        }
        assert!(cannot.0 == Some(77), "{cannot:?}");
        assert!(broken.0 == Some(1) && broken.1.contains("socketpair"), "{broken:?}");
        check_empty(&empty);
    }
}

// ---- The other recipes

/// Runs a recipe's commands in the project's folder.
fn follow(recipe: &str, set: impl FnOnce(&mut Command)) -> Ran {
    let mut command = Command::new("sh");
    shell(&mut command, Path::new(PROJECT)).args(["-euc", recipe]);
    set(&mut command);
    let ran = host::run(&mut command, LIMIT).expect("a recipe ends");
    let (out, err) = (text(&ran.stdout), text(&ran.stderr));
    assert!(ran.status.success(), "{recipe}\nended with {}\n{out}{err}", ran.status);
    ran
}

/// The test is the other terminal.
#[test]
fn the_signal_recipe_takes_a_call_away() {
    let recipe = recipe("signal");
    let mut words = recipe.split_whitespace();
    assert_eq!(words.next(), Some("target/release/seccomp-notify-min"));
    let running = common::program(words).start();
    let target = Pid::from_raw(running.wait_for("Target process: PID = ").writer);
    running.wait_for("Tracer: delaying for 15 seconds: 15");
    kill(target, Signal::SIGINT).expect("the target waits");
    let outcome = running.finish();
    assert_eq!(outcome.ended, Ended::Status(0), "{outcome:#?}");
    let (out, err) = (outcome.out(), outcome.err());
    for line in ["Target process: received signal\n", "Tracer: response failed with ENOENT; "] {
        assert!(out.contains(line), "{out}");
    }
    for line in ["Target process: mkdir: Interrupted system call\n", "target has died!!!"] {
        assert!(err.contains(line), "{err}");
    }
}

#[test]
fn the_probe_recipe_prints_all_lines() {
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
fn the_machines_recipe_compares_machines() {
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

/// This machine is the other machine too: scripts replace scp and ssh.
#[test]
fn the_latency_recipe_measures_both_machines() {
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
    let ran = follow(&recipe("latency"), |command| {
        command.env("OTHER", "there").env("PATH", path);
    });
    let printed = text(&ran.stdout);
    assert_eq!(printed.matches("# Executed 100000 system calls\n").count(), 12, "{printed}");
    assert_eq!(printed.matches(" usecs/op\n").count(), 12, "{printed}");
    assert_eq!(printed.matches("there, ").count(), 3, "{printed}");
}

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
fn the_container_recipes_work() {
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
