//! The release archives: two copies of the project in different folders, with sources of different ages, by people
//! with different homes, languages and time zones, decades apart by their clocks, give the same bytes, and what
//! is in them is what README.md says. `cargo test --test release -- --ignored` runs it: it builds .tools/release
//! and the program twice from nothing, and the crates' sources come from the copies that cargo has kept, or over
//! the network where it has none.

#[cfg(false)] // a library of its own: it is here to be formatted
#[path = "release/clock.rs"]
mod clock;
mod common;
#[allow(dead_code)] // nothing is installed here
#[path = "kernels/host.rs"]
mod host;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{copy_project, is_installed, skipped};

const LIMIT: Duration = Duration::from_secs(900);

/// Somebody who makes a release.
struct Maker<'a> {
    /// The folder that has the copy of the project, somewhere beneath the test's own.
    folder: &'a str,
    /// What it is in the rest of the environment.
    variables: &'a [(&'a str, &'a str)],
    umask: &'a str,
    /// When the sources were last changed, in seconds since 1970.
    age: u64,
    /// How far the clock is ahead, in seconds.
    ahead: u64,
}

const MAKERS: [Maker; 2] = [
    Maker {
        folder: "a/project",
        variables: &[("LANG", "C"), ("TZ", "UTC"), ("USER", "one")],
        umask: "022",
        age: 1_000_000_000,
        ahead: 0,
    },
    Maker {
        folder: "another place/with a longer name/seccomp",
        variables: &[("LANG", "de_DE.UTF-8"), ("TZ", "Asia/Tokyo"), ("USER", "two")],
        umask: "077",
        age: 1_700_000_000,
        ahead: 1_000_000_007, // 31 years, on another day of the week, at another time of day
    },
];

/// Makes a library of release/clock.rs. The programs that make a release must load it: those of the GNU C library
/// do, and where rustc is another's, that is said.
fn clock(room: &Path) -> Option<PathBuf> {
    if !cfg!(target_env = "gnu") {
        skipped("two builds on different days", "the clock is for programs of the GNU C library");
        return None;
    }
    let library = room.join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/release/clock.rs");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition=2024", "-O", "-Cpanic=abort", "-Dwarnings", "--crate-type=cdylib"]);
    host::checked(command.arg("-o").arg(&library).arg(source), LIMIT).expect("it can be compiled");
    Some(library)
}

/// Runs README.md's command in a copy of the project below `room`, and returns the files that it made.
fn make(room: &Path, clock: Option<&Path>, maker: &Maker) -> BTreeMap<String, Vec<u8>> {
    let project = room.join(maker.folder);
    let home = project.parent().expect("it is beneath the room").join("home");
    let cargo_home = home.join("cargo");
    fs::create_dir_all(&cargo_home).expect("a directory can be made");
    copy_project(&project);
    if is_installed("git") {
        common::commit_all(&project);
    }
    grow_old(&project, UNIX_EPOCH + Duration::from_secs(maker.age));
    keep_registry(&cargo_home);

    // What is not there comes over the network, whose certificates are of the true day.
    let script = format!(
        "umask {}
        tool=.tools/release/Cargo.toml
        host=$(rustc -vV | sed -n 's/^host: //p')
        cargo fetch --quiet --locked
        cargo fetch --quiet --locked --target \"$host\" --manifest-path $tool
        export CARGO_NET_OFFLINE=true
        if [ -n \"$CLOCK\" ]; then export LD_PRELOAD=\"$CLOCK\"; fi
        date +%s
        exec cargo run --quiet --manifest-path $tool",
        maker.umask
    );
    let mut command = Command::new("sh");
    command.args(["-euc", &script]).current_dir(&project);
    // Nothing that cargo set for this test; what rustup needs to find the compiler stays where it is.
    let old_home = PathBuf::from(env::var_os("HOME").unwrap_or_default());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO") || text.starts_with("RUSTFLAGS") {
            command.env_remove(&name);
        }
    }
    if env::var_os("RUSTUP_HOME").is_none() {
        command.env("RUSTUP_HOME", old_home.join(".rustup"));
    }
    command.env("HOME", &home).env("CARGO_HOME", &cargo_home).envs(maker.variables.iter().copied());
    let notes = home.join("notes");
    command.env("CLOCK", clock.unwrap_or(Path::new("")));
    command.env("CLOCK_SHIFT", maker.ahead.to_string()).env("CLOCK_NOTES", &notes);
    let begin = SystemTime::now();
    let ran = host::run(&mut command, LIMIT).expect("it ends");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}: {said}", ran.status);
    for line in said.lines().filter_map(|line| line.strip_prefix("skipped: ")) {
        skipped("an archive", line);
    }
    if clock.is_some() {
        let date = String::from_utf8_lossy(&ran.stdout);
        let date = date.lines().next().unwrap_or_default();
        let notes = fs::read_to_string(notes).expect("the clock was loaded");
        let notes = format!("{notes}{date} is what date prints\n");
        judge_notes(&notes, begin + Duration::from_secs(maker.ahead));
    }

    let mut files = BTreeMap::new();
    for entry in fs::read_dir(project.join("target/dist")).expect("it made a folder") {
        let entry = entry.expect("an entry can be read");
        let name = entry.file_name().into_string().expect("text");
        files.insert(name, fs::read(entry.path()).expect("it can be read"));
    }
    files
}

/// All that took part was told the maker's time, and nobody who matters was left out.
fn judge_notes(notes: &str, begin: SystemTime) {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).expect("later").as_secs();
    let day = seconds(begin)..=seconds(begin + LIMIT);
    for line in notes.lines() {
        let (time, _) = line.split_once(' ').expect("a time and who was told it");
        assert!(day.contains(&time.parse().expect("a number")), "{day:?}: {line}");
    }
    for program in ["cargo", "rustc", "seccomp-notify-min-release"] {
        assert!(
            notes.contains(&format!("/{program}\n")),
            "{program} goes by another clock: {notes}"
        );
    }
    let is_linker = |line: &str| {
        let name = line.rsplit('/').next().unwrap_or_default();
        name.split(['-', '.']).any(|part| ["ld", "lld", "mold", "wild"].contains(&part))
    };
    assert!(notes.lines().any(is_linker), "the linker goes by another clock: {notes}");
}

/// Sets the times of all files in a folder.
fn grow_old(folder: &Path, time: SystemTime) {
    for entry in fs::read_dir(folder).expect("a directory can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            grow_old(&path, time);
        } else {
            let file = fs::File::open(&path).expect("it can be read");
            file.set_modified(time).expect("it is ours");
        }
    }
}

/// Gives a new home the crates that the present one has kept as they were downloaded; each home unpacks them
/// for itself.
fn keep_registry(cargo_home: &Path) {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let Some(home) = home else { return };
    for settings in ["config.toml", "config"] {
        if home.join(settings).exists() {
            fs::copy(home.join(settings), cargo_home.join(settings)).expect("it can be copied");
        }
    }
    for kept in ["registry/cache", "registry/index"] {
        if home.join(kept).is_dir() {
            fs::create_dir_all(cargo_home.join("registry")).expect("a directory can be made");
            common::copy(&home.join(kept), &cargo_home.join(kept));
        }
    }
}

#[test]
#[ignore = "builds everything twice: cargo test --test release -- --ignored"]
fn two_builds_have_the_same_bytes() {
    if !Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/release").is_dir() {
        skipped("the release archives", ".tools/release is not in this copy of the project");
        return;
    }
    let room = tempfile::tempdir().expect("a directory can be made");
    let clock = clock(room.path());
    let [one, other] = MAKERS.each_ref().map(|maker| make(room.path(), clock.as_deref(), maker));

    assert!(one.len() > 1, "{:?}", one.keys());
    assert!(one.keys().eq(other.keys()), "{:?} {:?}", one.keys(), other.keys());
    for (name, bytes) in &one {
        assert!(*bytes == other[name], "{name} differs");
    }
    let out = room.path().join(MAKERS[0].folder).join("target/dist");
    for name in one.keys().filter(|name| name.ends_with(".tar.gz")) {
        judge(&out, name);
    }
    sums(&out);
}

/// Runs a command in `folder` and returns what it printed.
fn output(folder: &Path, command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The check sums in a folder are right.
fn sums(folder: &Path) {
    let said = output(folder, &["sha256sum", "--strict", "-c", "SHA256SUMS"]);
    assert!(said.lines().count() > 0 && said.lines().all(|line| line.ends_with(": OK")), "{said}");
}

/// Unpacks an archive and looks at what is in it.
fn judge(out: &Path, name: &str) {
    let folder = name.strip_suffix(".tar.gz").expect("it is an archive");
    output(out, &["tar", "xzf", name]);
    let folder = out.join(folder);
    sums(&folder);
    let read = |name: &str| fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));

    let listed = String::from_utf8(read("SHA256SUMS")).expect("text");
    let listed: Vec<_> = listed.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in [
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "seccomp-notify-min.1",
        "completions/_seccomp-notify-min",
        "completions/seccomp-notify-min.bash",
        "completions/seccomp-notify-min.fish",
    ] {
        assert!(listed.contains(&name), "{name} is not in SHA256SUMS");
        assert_eq!(read(name), fs::read(project.join(name)).expect("the original"), "{name}");
    }
    for name in ["seccomp-notify-min", "seccomp-notify-min.debug", "BUILD.txt"] {
        assert!(listed.contains(&name), "{name} is not in SHA256SUMS");
    }
    let build = String::from_utf8(read("BUILD.txt")).expect("text");
    if is_installed("git") {
        let said = common::git(out).args(["rev-parse", "HEAD"]).output().expect("git starts");
        let commit = String::from_utf8(said.stdout).expect("text");
        assert!(build.contains(&format!("commit\n{}. In", commit.trim())), "{build}");
    } else {
        assert!(build.contains("git knows no commit"), "{build}");
    }
    for package in ["linux-raw-sys-", "syscalls-"] {
        let beginning = format!("licenses/{package}");
        assert!(listed.iter().any(|name| name.starts_with(&beginning)), "{beginning}");
    }
    // The twin holds the program as it is, and more.
    let (program, twin) = (read("seccomp-notify-min"), read("seccomp-notify-min.debug"));
    assert!(twin.windows(program.len()).any(|window| window == program));

    if name.contains(env::consts::ARCH) {
        let released = fs::read(common::image()).expect("the image");
        assert!(program == released, "it is not what cargo build --release makes");
        let said = output(&folder, &["./seccomp-notify-min", "-V"]);
        assert!(said.contains(env!("CARGO_PKG_VERSION")), "{said}");
        assert_eq!(output(&folder, &["./seccomp-notify-min.debug", "-V"]), said);
    }
}
