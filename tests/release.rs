//! The release archives: two builds have the same bytes, although the folders, the sources' times, the home directories, the
//! languages, the time zones and the clocks differ. The archives contain what docs/deployment.md says.
//! `cargo test --test release -- --ignored` runs it. It builds .tools/release and the program twice from nothing. The crates'
//! sources come from cargo's cache, or from the network if they are not in the cache.

#[cfg(false)] // a library of its own: it is here to be formatted
#[path = "release/clock.rs"]
mod clock;
mod common;
#[allow(dead_code)] // nothing is installed here
#[path = "kernels/host.rs"]
mod host;
mod markdown;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{copy_project, is_installed, skipped};

const LIMIT: Duration = Duration::from_secs(900);

/// The circumstances in which a release is made.
struct Maker<'a> {
    /// The folder with the copy of the project, beneath the test's own directory.
    folder: &'a str,
    /// Environment variables.
    variables: &'a [(&'a str, &'a str)],
    umask: &'a str,
    /// The time of the sources' last change, in seconds since 1970.
    age: u64,
    /// How many seconds the clock is ahead.
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

/// Builds release/clock.rs as a library, for the programs that make a release. Only programs that use the GNU C library can load
/// it; without that library, this part is reported as skipped.
fn clock(dir: &Path) -> Option<PathBuf> {
    if !cfg!(target_env = "gnu") {
        skipped("two builds on different days", "the clock is for programs of the GNU C library");
        return None;
    }
    let library = dir.join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/release/clock.rs");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition=2024", "-O", "-Cpanic=abort", "-Dwarnings", "--crate-type=cdylib"]);
    host::checked(command.arg("-o").arg(&library).arg(source), LIMIT).expect("it can be compiled");
    Some(library)
}

/// Runs CONTRIBUTING.md's command in a copy of the project below `dir`, and returns the files that it made.
fn make(dir: &Path, clock: Option<&Path>, maker: &Maker) -> BTreeMap<String, Vec<u8>> {
    let project = dir.join(maker.folder);
    let home = project.parent().expect("it is beneath the directory").join("home");
    let cargo_home = home.join("cargo");
    fs::create_dir_all(&cargo_home).expect("a directory can be made");
    copy_project(&project);
    if is_installed("git") {
        common::commit_all(&project);
    }
    set_times(&project, UNIX_EPOCH + Duration::from_secs(maker.age));
    copy_registry(&cargo_home);

    // Fetch missing crates first: with a wrong clock, the certificates of the network are not valid.
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
    // Remove what cargo set for this test. rustup still finds the compiler in its own directory.
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
        check_notes(&notes, begin + Duration::from_secs(maker.ahead));
    }

    let mut files = BTreeMap::new();
    for entry in fs::read_dir(project.join("target/dist")).expect("it made a folder") {
        let entry = entry.expect("an entry can be read");
        let name = entry.file_name().into_string().expect("text");
        files.insert(name, fs::read(entry.path()).expect("it can be read"));
    }
    files
}

/// Checks that each program got the shifted time, and that cargo, rustc, the tool and the linker are among the programs.
fn check_notes(notes: &str, begin: SystemTime) {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).expect("later").as_secs();
    let day = seconds(begin)..=seconds(begin + LIMIT);
    for line in notes.lines() {
        let (time, _) = line.split_once(' ').expect("a time and a program");
        assert!(day.contains(&time.parse().expect("a number")), "{day:?}: {line}");
    }
    for program in ["cargo", "rustc", "seccomp-notify-min-release"] {
        assert!(notes.contains(&format!("/{program}\n")), "{program} has another clock: {notes}");
    }
    let is_linker = |line: &str| {
        let name = line.rsplit('/').next().unwrap_or_default();
        name.split(['-', '.']).any(|part| ["ld", "lld", "mold", "wild"].contains(&part))
    };
    assert!(notes.lines().any(is_linker), "the linker has another clock: {notes}");
}

/// Sets the times of all files in a folder.
fn set_times(folder: &Path, time: SystemTime) {
    for entry in fs::read_dir(folder).expect("a directory can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            set_times(&path, time);
        } else {
            let file = fs::File::open(&path).expect("it can be read");
            file.set_modified(time).expect("it is ours");
        }
    }
}

/// Copies the downloaded crates of this user's cargo directory to a new one, which unpacks them itself.
fn copy_registry(cargo_home: &Path) {
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
    let dir = tempfile::tempdir().expect("a directory can be made");
    let clock = clock(dir.path());
    let [one, other] = MAKERS.each_ref().map(|maker| make(dir.path(), clock.as_deref(), maker));

    assert!(one.len() > 1, "{:?}", one.keys());
    assert!(one.keys().eq(other.keys()), "{:?} {:?}", one.keys(), other.keys());
    for (name, bytes) in &one {
        assert!(*bytes == other[name], "{name} differs");
    }
    let out = dir.path().join(MAKERS[0].folder).join("target/dist");
    let archives: Vec<_> = one.keys().filter(|name| name.ends_with(".tar.gz")).collect();
    for name in &archives {
        check(&out, name);
    }
    let images: Vec<_> = one.keys().filter(|name| name.ends_with(".oci.tar")).collect();
    assert_eq!(images.len(), 1, "{images:?}");
    check_image(&out, images[0], &archives);
    sums(&out);
}

/// Runs a command in `folder` and returns what it printed.
fn output(folder: &Path, command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Checks the check sums in a folder.
fn sums(folder: &Path) {
    let said = output(folder, &["sha256sum", "--strict", "-c", "SHA256SUMS"]);
    assert!(said.lines().count() > 0 && said.lines().all(|line| line.ends_with(": OK")), "{said}");
}

/// Unpacks an archive and checks its contents.
fn check(out: &Path, name: &str) {
    let folder = name.strip_suffix(".tar.gz").expect("it is an archive");
    output(out, &["tar", "xzf", name]);
    let folder = out.join(folder);
    sums(&folder);
    let read = |name: &str| fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));

    let listed = String::from_utf8(read("SHA256SUMS")).expect("text");
    let listed: Vec<_> = listed.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in [
        "LICENSE",
        "benches/comparison.svg",
        "contrib/smoke-test.sh",
        "seccomp-notify-min.1",
        "completions/_seccomp-notify-min",
        "completions/seccomp-notify-min.bash",
        "completions/seccomp-notify-min.fish",
    ] {
        assert!(listed.contains(&name), "{name} is not in SHA256SUMS");
        assert!(
            read(name) == fs::read(project.join(name)).expect("the original"),
            "{name} differs"
        );
    }
    // Each page has the project's words. Links that lead nowhere in the archive are plain text, and no link is dead.
    let pages = markdown::pages(project);
    assert_eq!(markdown::pages(&folder), pages);
    for name in &pages {
        assert!(listed.contains(&name.as_str()), "{name} is not in SHA256SUMS");
        let original = fs::read_to_string(project.join(name)).expect("the original");
        let packed = String::from_utf8(read(name)).expect("text");
        assert_eq!(markdown::words(&packed), markdown::words(&original), "{name}");
    }
    let dead = markdown::dead_links(&folder, |path| folder.join(path).exists());
    assert!(dead.is_empty(), "{name}: {dead:#?}");
    let mode =
        fs::metadata(folder.join("contrib/smoke-test.sh")).expect("it is there").permissions();
    assert!(mode.mode() & 0o111 != 0, "the script for CI is not executable");
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
    // The twin holds all that is loaded of the program, at the same addresses.
    let (program, twin) = (read("seccomp-notify-min"), read("seccomp-notify-min.debug"));
    assert!(loaded(&program) == loaded(&twin), "the program and its twin differ");

    if name.contains(env::consts::ARCH) {
        let released = fs::read(common::image()).expect("the image");
        assert!(program == released, "it is not what cargo build --release makes");
        let said = output(&folder, &["./seccomp-notify-min", "-V"]);
        assert!(said.contains(env!("CARGO_PKG_VERSION")), "{said}");
        assert_eq!(output(&folder, &["./seccomp-notify-min.debug", "-V"]), said);
    }
}

/// Checks the image for container runtimes: it has the program of each archive, under the name that runtimes know its platform by.
fn check_image(out: &Path, name: &str, archives: &[&String]) {
    // The architecture of an archive, and how Go names it, with the variant.
    const PLATFORMS: [(&str, &str, Option<&str>); 8] = [
        ("x86_64", "amd64", None),
        ("i686", "386", None),
        ("aarch64", "arm64", None),
        ("armv7", "arm", Some("v7")),
        ("riscv64", "riscv64", None),
        ("loongarch64", "loong64", None),
        ("s390x", "s390x", None),
        ("ppc64le", "ppc64le", None),
    ];
    let folder = out.join("image");
    fs::create_dir(&folder).expect("a directory can be made");
    output(&folder, &["tar", "xf", &format!("../{name}")]);
    let json = |path: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path).expect("it is in the image")).expect("JSON")
    };
    let blob = |descriptor: &serde_json::Value| {
        let digest = descriptor["digest"].as_str().expect("a digest");
        let digest = digest.strip_prefix("sha256:").expect("a sha256");
        let path = folder.join("blobs/sha256").join(digest);
        let sum = output(&folder, &["sha256sum", path.to_str().expect("text")]);
        assert!(sum.starts_with(digest), "{sum}");
        let size = fs::metadata(&path).expect("it is in the image").len();
        assert_eq!(descriptor["size"].as_u64(), Some(size), "{digest}");
        path
    };
    let top = json(&folder.join("index.json"));
    let index = json(&blob(&top["manifests"][0]));
    let manifests = index["manifests"].as_array().expect("a list");
    assert_eq!(manifests.len(), archives.len());
    for archive in archives {
        let stem = archive.strip_suffix(".tar.gz").expect("it is an archive");
        let known = PLATFORMS.iter().find(|(name, ..)| stem.ends_with(&format!("-{name}-linux")));
        let (_, architecture, variant) = *known.expect("a platform");
        let manifest = manifests.iter().find(|manifest| {
            let platform = &manifest["platform"];
            platform["os"] == "linux"
                && platform["architecture"] == architecture
                && platform["variant"].as_str() == variant
        });
        let manifest = json(&blob(manifest.expect("the platform is in the index")));
        let config = json(&blob(&manifest["config"]));
        assert_eq!(config["architecture"], architecture);
        assert_eq!(config["config"]["Entrypoint"][0], format!("/{}", common::NAME));
        let layer = blob(&manifest["layers"][0]);
        let listed = output(&folder, &["tar", "tvf", layer.to_str().expect("text")]);
        assert!(listed.contains("drwxrwxrwt") && listed.contains("tmp/"), "{listed}");
        output(&folder, &["tar", "xf", layer.to_str().expect("text")]);
        let program = fs::read(folder.join(common::NAME)).expect("it is in the layer");
        let released = fs::read(out.join(stem).join(common::NAME)).expect("it was unpacked");
        assert!(program == released, "{archive}: the image has another program");

        if !is_installed("skopeo") {
            skipped(&format!("what skopeo finds for {architecture}"), "skopeo is not installed");
            continue;
        }
        let source = format!("oci-archive:{}", out.join(name).display());
        let mut skopeo = vec!["skopeo", "--override-os=linux", "--override-arch", architecture];
        skopeo.extend(variant.iter().flat_map(|variant| ["--override-variant", variant]));
        skopeo.extend(["inspect", &source]);
        let found: serde_json::Value =
            serde_json::from_str(&output(out, &skopeo)).expect("skopeo prints JSON");
        assert_eq!(found["Architecture"], architecture, "{found}");
    }
}

/// The sections of an image that are loaded: their addresses, names and bytes.
fn loaded(image: &[u8]) -> Vec<(u64, String, Vec<u8>)> {
    use object::{Object, ObjectSection, SectionFlags, elf::SHF_ALLOC};
    let file = object::File::parse(image).expect("an ELF file");
    let loaded = file.sections().filter(|section| {
        matches!(section.flags(), SectionFlags::Elf { sh_flags } if sh_flags & u64::from(SHF_ALLOC) != 0)
    });
    let sections: Vec<_> = loaded
        .map(|section| {
            let name = section.name().expect("a name").to_owned();
            (section.address(), name, section.data().expect("its bytes").to_vec())
        })
        .collect();
    assert!(!sections.is_empty(), "nothing is loaded");
    sections
}
