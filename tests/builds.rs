//! The program builds in the places, with the linkers and by the flags that people have, without a warning, and works. A linker
//! that cannot do it says what to use instead.
//!
//! Which toolchains can build it is the matter of tests/toolchains.rs. `cargo test --test builds -- --ignored` runs this; each
//! build takes some seconds.

mod building;
mod common;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use building::{Build, Built, cargo, has, has_target, runs};
use tempfile::TempDir;

const GNU: &str = "x86_64-unknown-linux-gnu";
const MUSL: &str = "x86_64-unknown-linux-musl";
const AARCH64: &str = "aarch64-unknown-linux-gnu";
const RISCV64: &str = "riscv64gc-unknown-linux-gnu";

/// Copies of the project, and what is built of them.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a directory can be made") }
    }

    /// A copy of the project in a folder of this name.
    fn copy(&self, name: &str) -> PathBuf {
        let to = self.folder.path().join(name);
        common::copy_project(&to);
        to
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("built")
    }
}

/// Tries each build, prints a line about it, and fails if one of them went wrong.
#[track_caller]
fn each(builds: impl IntoIterator<Item = (String, Build)>) {
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (name, build) in builds {
        tried += 1;
        match build.check() {
            Ok(Built { size, ran }) => {
                println!("{name:60} {size:8} bytes{}", if ran { ", works" } else { "" });
            }
            Err(why) => wrong.push(format!("{name}: {why}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{tried} builds");
}

/// The variable that tells cargo which linker to use for a target.
fn linker(target: &str) -> String {
    format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"))
}

#[test]
#[ignore = "some seconds for each build"]
fn any_place_will_do() {
    let place = Place::new();
    let names = ["a,b", "a b", "a'b", "a\"b", "a=b", "a#b", "a$b", "a%b", "a&b", "a(b)", "\u{e4}"];
    each(names.map(|name| (format!("in {name}"), Build::new(&place.copy(name), &place.target()))));
}

#[test]
#[ignore = "some seconds for each build"]
fn any_flags_will_do() {
    let place = Place::new();
    let project = place.copy("project");
    let build = |name: &str, value: &str| {
        let build = Build::new(&project, &place.target()).env(name, value);
        (format!("{name}={value}"), build)
    };
    let mut builds: Vec<_> = [
        ("RUSTFLAGS", "-Dwarnings"),
        ("RUSTFLAGS", "-Ctarget-cpu=native"),
        ("RUSTFLAGS", "-Cforce-frame-pointers=yes"),
        ("CARGO_BUILD_WARNINGS", "deny"),
        ("CARGO_PROFILE_RELEASE_LTO", "off"),
        ("CARGO_PROFILE_RELEASE_LTO", "thin"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "2"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
        ("CARGO_PROFILE_RELEASE_STRIP", "none"),
        ("CARGO_PROFILE_RELEASE_DEBUG", "true"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
        ("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true"),
        ("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true"),
    ]
    .map(|(name, value)| build(name, value))
    .into();
    builds
        .push(("the profile for development".into(), Build::new(&project, &place.target()).dev()));
    let mut sc = Build::new(&project, &place.target());
    sc.cargo.args(["--features", "backend-sc"]);
    builds.push(("--features backend-sc".into(), sc));
    each(builds);
}

#[test]
#[ignore = "some seconds for each build"]
fn any_linker_that_knows_scripts_will_do() {
    let place = Place::new();
    let project = place.copy("project");
    let build = || Build::new(&project, &place.target());
    let mut builds = Vec::new();
    // Called by a compiler. A linker that is called directly cannot link the build scripts for the same target.
    for driver in ["gcc", "clang"] {
        if !has(driver, driver) {
            continue;
        }
        builds.push((format!("{driver} as linker"), build().env(&linker(GNU), driver)));
        for (tool, flag) in [("ld.bfd", "bfd"), ("ld.lld", "lld")] {
            if has(tool, tool) {
                let flags = format!("-Clink-arg=-fuse-ld={flag}");
                let build = build().env(&linker(GNU), driver).env("RUSTFLAGS", &flags);
                builds.push((format!("{driver} with {tool}"), build));
            }
        }
    }
    if has_target(MUSL, "linkers for musl") {
        builds.push(("musl".into(), build().target(MUSL)));
        builds.push((
            "musl, RUSTFLAGS set".into(),
            build().target(MUSL).env("RUSTFLAGS", "-Dwarnings"),
        ));
        for tool in ["rust-lld", "ld.bfd", "ld.lld", "gcc", "clang", "musl-gcc"] {
            if tool == "rust-lld" || has(tool, &format!("{tool} for musl")) {
                builds.push((
                    format!("musl with {tool}"),
                    build().target(MUSL).env(&linker(MUSL), tool),
                ));
            }
        }
    }
    for (target, gcc) in [(AARCH64, "aarch64-linux-gnu-gcc"), (RISCV64, "riscv64-linux-gnu-gcc")] {
        if !has_target(target, target) {
            continue;
        }
        builds.push((format!("{target}, as this folder says"), build().target(target)));
        for tool in ["rust-lld", "ld.lld", gcc] {
            if tool == "rust-lld" || has(tool, &format!("{tool} for {target}")) {
                let build = build().target(target).env(&linker(target), tool);
                builds.push((format!("{target} with {tool}"), build));
            }
        }
    }
    each(builds);
}

#[test]
#[ignore = "some seconds for each build"]
fn a_linker_that_knows_no_scripts_says_what_to_use() {
    if !has("mold", "mold") {
        return;
    }
    let place = Place::new();
    let project = place.copy("project");
    let mut build =
        Build::new(&project, &place.target()).env("RUSTFLAGS", "-Clink-arg=-fuse-ld=mold");
    let output = build.output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "mold has learnt it: take it among those that will do");
    let advice = "link with GNU ld, ld.lld or rust-lld, not with mold";
    assert!(said.contains(advice), "{said}");
}

#[test]
#[ignore = "some seconds for each build"]
fn any_workspace_will_do() {
    let place = Place::new();
    let root = place.folder.path().join("workspace");
    fs::create_dir(&root).unwrap();
    common::copy_project(&root.join("member"));
    // The lock file is the workspace's own; the profiles are, too: `panic = "unwind"`.
    fs::write(root.join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"member\"]\n")
        .unwrap();
    fs::copy(root.join("member/Cargo.lock"), root.join("Cargo.lock")).unwrap();
    let abort = "[profile.release]\npanic = \"abort\"\n[profile.dev]\npanic = \"abort\"\n";
    for more in ["", abort] {
        let mut manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        manifest.push_str(more);
        fs::write(root.join("Cargo.toml"), manifest).unwrap();
        for dev in [false, true] {
            let build = Build::new(&root, &place.target());
            let mut build = if dev { build.dev() } else { build };
            if more == abort {
                each([(format!("as a member, dev: {dev}, panic = \"abort\""), build)]);
                continue;
            }
            // With std, which is there in name only, the program may have a C library.
            let output = build.output();
            assert!(
                output.status.success(),
                "dev: {dev}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            runs(&build.program()).unwrap();
        }
    }
}

#[test]
#[ignore = "some seconds for each build"]
fn another_package_can_depend_on_the_library() {
    let place = Place::new();
    let (project, user) = (place.copy("project"), place.folder.path().join("user"));
    fs::create_dir_all(user.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"user\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\nseccomp-notify-min = {{ path = {project:?} }}\n"
    );
    fs::write(user.join("Cargo.toml"), manifest).unwrap();
    let main = "use seccomp_notify_min::filter::{Action, program};\n\
                fn main() {\n    println!(\"{} instructions\", program(Action::Notify).len());\n}\n";
    fs::write(user.join("src/main.rs"), main).unwrap();
    let mut run = cargo();
    run.current_dir(&user).env("CARGO_TARGET_DIR", place.target()).args([
        "run",
        "--release",
        "--offline",
    ]);
    let output = run.output().expect("cargo can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("warning"), "{said}");
    assert!(output.stdout.ends_with(b" instructions\n"), "{output:?}");
}

#[test]
#[ignore = "some seconds for each build"]
fn the_project_builds_vendored_and_offline() {
    let place = Place::new();
    let project = place.copy("project");
    let mut vendor = cargo();
    vendor.current_dir(&project).args(["vendor", "--locked", "--quiet", "vendored"]);
    let output = vendor.output().expect("cargo can be started");
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        return common::skipped("a vendored build", why);
    }
    let config = project.join(".cargo/config.toml");
    let mut text = fs::read_to_string(&config).unwrap();
    text.push_str(&String::from_utf8(output.stdout).expect("text"));
    if !text.contains("vendored-sources") {
        text.push_str(
            "\n[source.crates-io]\nreplace-with = \"vendored-sources\"\n\
             [source.vendored-sources]\ndirectory = \"vendored\"\n",
        );
    }
    fs::write(&config, text).unwrap();
    let home = place.folder.path().join("home");
    let mut build = Build::new(&project, &place.target()).env("CARGO_HOME", &home);
    build.cargo.arg("--offline");
    each([("vendored and offline, with an empty CARGO_HOME".to_owned(), build)]);
}

#[test]
#[ignore = "some seconds for each build"]
fn cargo_install_needs_no_name() {
    let place = Place::new();
    let project = place.copy("project");
    let repository = |arguments: &[&str]| {
        let output = common::git(&project).args(arguments).output().expect("git can be started");
        assert!(output.status.success(), "{output:?}");
    };
    if !common::is_installed("git") {
        return common::skipped("cargo install --git", "git is not installed");
    }
    repository(&["init", "--quiet"]);
    repository(&["add", "--all"]);
    repository(&[
        "-c",
        "user.name=n",
        "-c",
        "user.email=n@n",
        "commit",
        "--quiet",
        "--message",
        "all",
    ]);
    let url = format!("file://{}", project.display());
    let by: [&[&str]; 2] = [&["--path", project.to_str().unwrap()], &["--git", &url]];
    for (at, by) in by.iter().enumerate() {
        let root = place.folder.path().join(format!("installed{at}"));
        let mut install = cargo();
        install
            // Another folder's configuration does not count.
            .current_dir(place.folder.path())
            .env("CARGO_TARGET_DIR", place.target())
            .args(["install", "--locked", "--root"])
            .arg(&root)
            .args(*by);
        let output = install.output().expect("cargo can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{by:?}: {said}");
        let program = root.join("bin").join(common::NAME);
        runs(&program).unwrap_or_else(|why| panic!("{by:?}: {why}"));
        let only: Vec<OsString> = fs::read_dir(root.join("bin"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(only, [common::NAME]);
    }
}

#[test]
#[ignore = "some seconds for each build"]
fn a_build_that_is_wrong_is_seen() {
    let place = Place::new();
    let project = place.copy("project");
    let main = project.join("src/main.rs");
    let source = fs::read_to_string(&main).unwrap();
    for (what, more) in [
        ("a warning", "\nfn never_used() {}\n"),
        ("a variable", "\n#[used]\nstatic mut VARIABLE: u32 = 1;\n"),
        ("an error", "\nfn\n"),
    ] {
        fs::write(&main, format!("{source}{more}")).unwrap();
        let checked = Build::new(&project, &place.target()).check();
        assert!(checked.is_err(), "{what}: {checked:?}");
    }
    assert!(Built::look_at(Path::new("/bin/true")).is_err(), "a program of another kind");
}
