//! The pages are right: the transcript is what the program prints, the tables of README.md say what the program says, recipes are run
//! as they are, links have a target, and a test or .ci/run runs each command, or a list here has the reason why not. tests/kernels
//! runs the recipe for an initramfs, and tests/release.rs follows the links in an archive.

mod ci;
#[path = "../common/mod.rs"]
mod common;
mod containers;
#[allow(dead_code)] // nothing is installed here
#[path = "../kernels/host.rs"]
mod host;
#[path = "../markdown/mod.rs"]
mod markdown;
mod recipes;
mod things_to_try;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use common::document::read;
use common::shown::compare;
use common::{skipped, usage};
use host::Ran;
use markdown::Block;

/// The time limit of a command. A recipe may build the program.
const LIMIT: Duration = Duration::from_secs(300);

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// What the output has if a directory was made by the tracer.
const MADE: &str = "SUCCESS: mkdir(2) returned";

fn temp_dir() -> TempDir {
    tempfile::tempdir().expect("a directory can be made")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

// ---- README.md

#[test]
fn the_transcript_is_what_the_program_prints() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("<!-- transcript: begin -->").expect("the comment before it");
    let (shown, _) = rest.split_once("```\n<!-- transcript: end -->").expect("the one behind it");
    compare("README.md", shown);
}

#[test]
fn the_readme_is_of_this_version_and_of_two_screens() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= 200, "{} lines", readme.lines().count());
    let version = concat!("Version ", env!("CARGO_PKG_VERSION"), " ");
    assert!(readme.contains(version), "README.md does not say {version}");
    assert!(readme.contains(env!("CARGO_PKG_LICENSE")));
    // Its figure for the size is that of the image, in thousands of bytes.
    let size = fs::metadata(common::image()).expect("the image").len();
    let said = format!("about {} KB", (size + 500) / 1000);
    if std::env::var_os("SECCOMP_NOTIFY_MIN").is_none() && cfg!(target_arch = "x86_64") {
        assert!(readme.contains(&said), "README.md does not say {said}");
    }
}

#[test]
fn the_readme_explains_the_options_and_statuses_of_the_usage_text() {
    let (readme, usage) = (read("README.md"), usage::text());
    let rows = markdown::rows(&readme, "Options");
    let typed = rows.iter().flat_map(|row| &row[0].code);
    let mut explained = BTreeSet::new();
    let mut values = BTreeSet::new();
    for typed in typed {
        match typed.split_once(' ') {
            None => explained.insert(typed.clone()),
            Some((option, value)) => {
                values.insert((option.to_owned(), value.to_owned()));
                explained.insert(option.to_owned())
            }
        };
    }
    assert_eq!(explained, usage::options(&usage));
    assert_eq!(values, usage::values(&usage));

    let rows = markdown::rows(&readme, "Exit status");
    let statuses: Vec<_> = rows.iter().map(|row| row[0].text.as_str()).collect();
    assert_eq!(statuses, ["0", "1", "77"]);
}

// ---- Blocks of code

/// The pages whose commands a test of their own runs, and the file of that test.
const OWN_TEST: &[(&str, &str)] = &[
    ("docs/initramfs.md", "tests/packaging/document.rs"),
    ("docs/packaging.md", "tests/packaging/document.rs"),
];

/// The pages whose commands and recipes are run from here: all but the changes, and those with a test of their own.
fn pages() -> Vec<String> {
    let mut pages = markdown::pages(Path::new(PROJECT));
    pages.retain(|page| {
        let own = OWN_TEST.iter().find(|(name, _)| name == page);
        if let Some((_, file)) = own {
            assert!(read(file).contains(page.as_str()), "{file} does not test {page}");
        }
        own.is_none() && page != "CHANGELOG.md"
    });
    assert!(pages.len() > 5, "{pages:?}");
    pages
}

/// The blocks of code of all these pages.
fn blocks() -> Vec<Block> {
    pages().iter().flat_map(|page| markdown::blocks(&read(page))).collect()
}

/// The text of a recipe.
fn recipe(name: &str) -> String {
    let mut found = blocks().into_iter().filter(|block| block.recipe.as_deref() == Some(name));
    let block = found.next().unwrap_or_else(|| panic!("no page has a recipe {name}"));
    assert!(found.next().is_none(), "two recipes {name}");
    block.text
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
    ("CMakeLists.txt", ci::ctest_passes_skips_and_fails_as_it_should),
    ("Makefile.am", ci::automake_passes_skips_and_fails_as_it_should),
    ("automake", ci::automake_passes_skips_and_fails_as_it_should),
    ("configure.ac", ci::automake_passes_skips_and_fails_as_it_should),
    ("container", containers::the_container_recipes_work),
    ("ctest", ci::ctest_passes_skips_and_fails_as_it_should),
    ("features", ci::the_jobs_pass_skip_and_fail_as_they_should),
    ("github", ci::the_jobs_pass_skip_and_fail_as_they_should),
    ("gitlab", ci::the_jobs_pass_skip_and_fail_as_they_should),
    ("latency", recipes::the_latency_recipe_measures_both_machines),
    ("machines", recipes::the_machines_recipe_compares_machines),
    ("meson", ci::meson_passes_skips_and_fails_as_it_should),
    ("meson.build", ci::meson_passes_skips_and_fails_as_it_should),
    ("probe", recipes::the_probe_recipe_prints_all_lines),
    ("quick-start", recipes::the_quick_start_makes_a_directory_and_removes_it),
    ("running-container", containers::the_container_recipes_work),
    ("skip", ci::a_script_skips_itself_where_a_feature_is_missing),
    ("smoke-test", ci::the_script_in_the_readme_is_the_file),
];

/// The recipes that other tests run, and the files of these tests.
const ELSEWHERE: &[(&str, &str)] =
    &[("image-index", "tests/containers/main.rs"), ("initramfs", "tests/kernels/recipe.rs")];

/// The commands that neither a test nor .ci/run runs as they are, and why.
const NOT_RUN: &[(&str, &str)] = &[
    (
        "cargo bench -- --format markdown --svg benches/comparison.svg",
        ".ci/run runs the quick mode; the figures shown are of a quiet machine",
    ),
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
        "cargo run --manifest-path .tools/release/Cargo.toml -- --help",
        "prints the options and makes nothing",
    ),
    ("cargo mutants --shard 0/6", "takes a quarter of an hour, and a tool of its own"),
    ("cargo +nightly fuzz run --fuzz-dir .tools/fuzz options", "runs until it is interrupted"),
    ("cargo build --profile unstripped", "tests/image.rs builds this profile"),
    (".ci/run", "it runs this test"),
    ("seccomp-notify-min -V", "tests/options.rs does"),
    ("podman stop", "the page says what may happen, and gives other ways"),
    (
        "cargo test --test coverage -- --ignored --nocapture",
        "takes long; it is run by whoever changes the source",
    ),
    ("cargo test --test release -- --ignored", "takes long; it is run before a release"),
    (
        "cargo test --test kernels -- --ignored s390x::6.1::",
        ".ci/run runs the kernels of all machines",
    ),
    ("export KERNEL=/boot/vmlinuz-…", "tests/kernels takes the kernels of Debian's packages"),
    ("kill -INT", "the test of the recipe sends the signal"),
    ("man ./seccomp-notify-min.1", "tests/manual.rs asks mandoc and groff about the page"),
    (
        "rustup target add aarch64-unknown-linux-gnu riscv64gc-unknown-linux-gnu",
        "changes its reader's toolchain",
    ),
];

/// A command without the variables that are set in front of it.
fn without_variables(command: &str) -> String {
    let is_set = |word: &&str| word.contains('=') && !word.starts_with('-');
    command.split(' ').skip_while(is_set).collect::<Vec<_>>().join(" ")
}

/// A page's commands that are not part of a recipe, without variables.
fn commands(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for block in markdown::blocks(page).iter().filter(|block| block.recipe.is_none()) {
        let lines = block.text.lines();
        match block.language.as_str() {
            "sh" => {
                // A comment stands behind blanks.
                let commands = lines.map(|line| line.split(" #").next().unwrap_or_default().trim());
                found.extend(commands.map(without_variables));
            }
            "" => found.extend(lines.filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned)),
            other => panic!("a block in {other:?} that is no recipe"),
        }
    }
    for code in markdown::inline_code(page).iter().map(|code| without_variables(code)) {
        let mut words = code.split(' ');
        let is_command = words.next().is_some_and(|first| COMMANDS.contains(&first));
        if is_command && words.next().is_some() {
            found.insert(code);
        }
    }
    found
}

/// Whether one of these lines of a shell script runs the command, as it is or with more arguments.
fn is_run_by<'a>(command: &str, lines: impl IntoIterator<Item = &'a str>) -> bool {
    lines.into_iter().map(str::trim).filter(|line| !line.starts_with('#')).any(|line| {
        let line = without_variables(line);
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
    let ci = fs::read_to_string(Path::new(PROJECT).join(".ci/run")).unwrap_or_default();
    if ci.is_empty() {
        skipped("the commands that .ci/run runs", "it is not in this copy of the project");
        return;
    }
    let blocks = blocks();
    let recipes: Vec<_> = blocks.iter().filter(|block| block.recipe.is_some()).collect();
    let in_recipes: Vec<&str> = recipes.iter().flat_map(|block| block.text.lines()).collect();

    let followed = RECIPES.iter().map(|(name, _)| *name);
    let followed: BTreeSet<_> = followed.chain(ELSEWHERE.iter().map(|(name, _)| *name)).collect();
    let shown: BTreeSet<_> = recipes.iter().filter_map(|block| block.recipe.as_deref()).collect();
    assert_eq!(shown, followed, "the recipes that are shown, and those that are followed");
    for (name, file) in ELSEWHERE {
        assert!(read(file).contains(&format!("recipe: {name} -->")), "{file} follows {name}");
    }

    let commands: BTreeSet<_> = pages().iter().flat_map(|page| commands(&read(page))).collect();
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
            wrong.push(format!("no page has {known:?} any more"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether a test here runs the command: the one of the transcript, the one that undoes it, or a thing to try.
fn is_here(command: &str) -> bool {
    ["seccomp-notify-min -K /tmp/x /bye", "rmdir /tmp/x"].contains(&command)
        || things_to_try::commands().iter().any(|thing| thing == command)
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

/// The other packages in the project's folder. Cargo leaves them out when it packages the crate.
const PACKAGES: &[&str] = &[".tools", ".tools/bench", ".tools/fuzz", ".tools/release"];

#[test]
fn no_link_is_dead() {
    let project = Path::new(PROJECT);
    let is_packaged = project.join("Cargo.toml.orig").exists();
    let dead = markdown::dead_links(project, |path| {
        if is_packaged && PACKAGES.contains(&path) {
            skipped("a link", format!("{path} is not in a packaged crate"));
            return true;
        }
        project.join(path).exists()
    });
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn a_dead_link_is_found() {
    let dir = temp_dir();
    fs::create_dir(dir.path().join("docs")).expect("a directory can be made");
    let good =
        "[a](docs/page.md#two-words) [a](#top) ![a](docs/page.md) [a](https://example.org/)\n"
            .repeat(9);
    let bad = "[a](page.md) [a](docs/page.md#three) [a](#bottom) ![a](picture.svg) [a][b]\n";
    fs::write(dir.path().join("README.md"), format!("# Top\n\n{good}{bad}")).expect("a file");
    let page =
        "## `Two` words!\n\n`[a](b)` [a](../README.md#top) [a](README.md) [a](../docs/page.md)\n";
    fs::write(dir.path().join("docs/page.md"), page).expect("a file can be written");
    let dead = markdown::dead_links(dir.path(), |path| dir.path().join(path).exists());
    let expected = [
        "README.md: page.md",
        "README.md: docs/page.md#three",
        "README.md: #bottom",
        "README.md: picture.svg",
        "README.md: undefined:b",
        "docs/page.md: README.md",
    ];
    assert_eq!(dead, expected);
}

// ---- Running what a page says

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

/// A `PATH` that begins with a folder in which the program is installed.
fn path_with_program(dir: &Path) -> String {
    let folder: PathBuf = dir.join("bin");
    fs::create_dir(&folder).expect("a directory can be made");
    fs::copy(common::image(), folder.join("seccomp-notify-min")).expect("it can be copied");
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default())
}
