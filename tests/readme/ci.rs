//! docs/ci.md and its section in README.md: the script, the jobs, and the projects of build systems, whose real programs run them.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::common::document::read;
use crate::common::{self, copy_project, is_installed, sandbox_filter, skipped};
use crate::host::{self, Ran};
use crate::{LIMIT, MADE, PROJECT, markdown, path_with_program, recipe, shell, temp_dir, text};

/// Calls that fail, each with its errno.
type Failing<'a> = &'a [(libc::c_long, i32)];

/// Runs a command in a sandbox in which these calls fail.
fn run_in_sandbox(command: &mut Command, failing: Failing) -> Ran {
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
    host::run(command, LIMIT).expect("it ends")
}

// ---- The script

const SCRIPT: &str = "contrib/smoke-test.sh";

#[test]
pub fn the_script_in_the_readme_is_the_file() {
    assert_eq!(recipe("smoke-test"), read(SCRIPT));
    let mode = fs::metadata(Path::new(PROJECT).join(SCRIPT)).expect("it is there").permissions();
    assert!(mode.mode() & 0o111 != 0, "it is not executable");
}

/// The outcomes of a test.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Pass,
    Skip,
    Fail,
}

/// What happens to the program, with the calls that fail: it works; the kernel has no user notification; no directory can be made.
fn situations() -> Vec<(Verdict, Vec<(libc::c_long, i32)>)> {
    let mut situations =
        vec![(Verdict::Pass, vec![]), (Verdict::Skip, vec![(libc::SYS_seccomp, libc::EINVAL)])];
    // Where the C library's mkdir makes this call too, other programs would fail first.
    if cfg!(target_arch = "x86_64") {
        situations.push((Verdict::Fail, vec![(libc::SYS_mkdirat, libc::EROFS)]));
    }
    situations
}

#[test]
fn the_script_passes_skips_and_fails_as_it_should() {
    let dir = temp_dir();
    let path = path_with_program(dir.path());
    for (verdict, failing) in situations() {
        let mut command = Command::new(Path::new(PROJECT).join(SCRIPT));
        let ran = run_in_sandbox(command.current_dir(dir.path()).env("PATH", &path), &failing);
        let wanted = match verdict {
            Verdict::Pass => 0,
            Verdict::Skip => 77,
            Verdict::Fail => 1,
        };
        assert_eq!(ran.status.code(), Some(wanted), "{}{}", text(&ran.stdout), text(&ran.stderr));
    }
}

#[test]
pub fn a_script_skips_itself_where_a_feature_is_missing() {
    let dir = temp_dir();
    let path = path_with_program(dir.path());
    let probed = common::program(["-p"]).finish().out();
    let is_there = probed.contains("\nwait-killable: yes\n");
    let refused: Failing = &[(libc::SYS_seccomp, libc::EPERM)];
    for (failing, status) in [(&[][..], if is_there { 0 } else { 77 }), (refused, 77)] {
        let mut command = Command::new("sh");
        command.args(["-euc", &recipe("skip")]).env("PATH", &path);
        assert_eq!(run_in_sandbox(&mut command, failing).status.code(), Some(status));
    }
}

// ---- Build systems

/// Runs a recipe's commands in a folder with the script and the recipe's files, the last command in each situation. Returns what
/// each printed. `None` if one of `tools` is missing.
fn build_system(tools: &[&str], files: &[&str], name: &str) -> Option<Vec<(Verdict, Ran)>> {
    if let Some(missing) = tools.iter().find(|tool| !is_installed(tool)) {
        skipped(&format!("the recipe {name}"), format!("{missing} is not installed"));
        return None;
    }
    // The line in README.md is a part of the files.
    let readme = read("README.md");
    let listed = markdown::inline_code(&readme);
    let shown: String = files.iter().map(|file| recipe(file)).collect();
    let lines: Vec<_> = listed
        .iter()
        .filter(|code| {
            ["test(", "TESTS = ", "add_test(", "set_tests_"].iter().any(|b| code.starts_with(b))
        })
        .filter(|code| shown.contains(code.as_str()))
        .collect();
    assert!(!lines.is_empty(), "README.md has no line of {files:?}");

    let dir = temp_dir();
    let path = path_with_program(dir.path());
    let folder = dir.path().join("project");
    fs::create_dir(&folder).expect("a directory can be made");
    fs::copy(Path::new(PROJECT).join(SCRIPT), folder.join("smoke-test.sh")).expect("a copy");
    for file in files {
        fs::write(folder.join(file), recipe(file)).expect("a file can be written");
    }
    let commands = recipe(name);
    let (before, test) = commands.trim_end().rsplit_once('\n').expect("several commands");
    let run = |script: &str, failing: Failing| {
        let mut command = Command::new("sh");
        // An outer make would pass its options on.
        shell(&mut command, &folder).args(["-euc", script]).env_remove("MAKEFLAGS");
        run_in_sandbox(command.env("PATH", &path), failing)
    };
    let built = run(before, &[]);
    assert!(built.status.success(), "{}{}", text(&built.stdout), text(&built.stderr));
    Some(
        situations().into_iter().map(|(verdict, failing)| (verdict, run(test, &failing))).collect(),
    )
}

/// Checks what a build system said in each situation.
fn said(ran: Option<Vec<(Verdict, Ran)>>, words: fn(Verdict) -> &'static str) {
    for (verdict, ran) in ran.unwrap_or_default() {
        let printed = text(&ran.stdout) + &text(&ran.stderr);
        // Blanks are squeezed: some programs align numbers.
        let squeezed = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed.contains(words(verdict)), "{verdict:?}: {printed}");
        assert_eq!(ran.status.success(), verdict != Verdict::Fail, "{verdict:?}: {printed}");
    }
}

#[test]
pub fn meson_passes_skips_and_fails_as_it_should() {
    let ran = build_system(&["meson", "ninja"], &["meson.build"], "meson");
    said(ran, |verdict| match verdict {
        Verdict::Pass => "Ok: 1",
        Verdict::Skip => "Skipped: 1",
        Verdict::Fail => "Fail: 1",
    });
}

#[test]
pub fn automake_passes_skips_and_fails_as_it_should() {
    let tools = ["autoreconf", "automake", "make"];
    let ran = build_system(&tools, &["configure.ac", "Makefile.am"], "automake");
    said(ran, |verdict| match verdict {
        Verdict::Pass => "# PASS: 1",
        Verdict::Skip => "# SKIP: 1",
        Verdict::Fail => "# FAIL: 1",
    });
}

#[test]
pub fn ctest_passes_skips_and_fails_as_it_should() {
    let ran = build_system(&["cmake", "ctest", "make"], &["CMakeLists.txt"], "ctest");
    said(ran, |verdict| match verdict {
        Verdict::Pass => "user-notification ................ Passed",
        Verdict::Skip => "***Skipped",
        Verdict::Fail => "***Failed",
    });
}

/// The lines of README.md for services that run a shell.
#[test]
fn the_lines_for_jobs_pass_skip_and_fail_as_they_should() {
    let dir = temp_dir();
    let path = path_with_program(dir.path());
    let script = dir.path().join("smoke-test.sh");
    fs::copy(Path::new(PROJECT).join(SCRIPT), script).expect("it can be copied");
    let code = markdown::inline_code(&read("README.md"));
    let line = |beginning: &str| {
        let mut found = code.iter().filter_map(|code| code.strip_prefix(beginning));
        found.next().unwrap_or_else(|| panic!("README.md has no line with {beginning}")).to_owned()
    };
    let (github, gitlab) = (line("- run: "), line("script: "));
    assert!(code.iter().any(|code| code == "allow_failure: { exit_codes: 77 }"));
    for (verdict, failing) in situations() {
        for (line, skip) in [(&github, 0), (&gitlab, 77)] {
            let mut command = Command::new("bash");
            command.args(["-ec", line]).current_dir(dir.path()).env("PATH", &path);
            let ran = run_in_sandbox(&mut command, &failing);
            let wanted = match verdict {
                Verdict::Pass => 0,
                Verdict::Skip => skip,
                Verdict::Fail => 1,
            };
            assert_eq!(ran.status.code(), Some(wanted), "{line}: {}", text(&ran.stderr));
        }
    }
}

// ---- Whole jobs

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
        failing: Failing,
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
        run_in_sandbox(&mut command, failing)
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
        let none: Failing = &[];
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

#[test]
pub fn the_jobs_pass_skip_and_fail_as_they_should() {
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
