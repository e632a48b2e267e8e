//! What packagers' tools and flags do to the image, in the tables of docs/packaging.md; the recipes that build and install it.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use object::elf::FileHeader64;
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};

use crate::common::document::read;
use crate::common::{Beneath, Ended, Run, skipped};
use crate::document::{self, PACKAGING, recipe};
use crate::{copy_of_the_project, has, shell};

/// Checks that a program does its main job.
pub fn works(program: &Path) {
    let beneath = Beneath::new();
    let path = beneath.join("x");
    let outcome = Run::of(program, [OsStr::new("-K"), &path, OsStr::new("/bye")]).finish();
    assert_eq!(outcome.ended, Ended::Status(0), "{}: {outcome:#?}", program.display());
    assert_eq!(beneath.contents(), ["x"], "{}", program.display());
}

/// Checks that a file is static and has nothing writable, and that elfutils find no fault in it.
fn is_sound(program: &Path) {
    let bytes = fs::read(program).expect("a file");
    let header = FileHeader64::<Endianness>::parse(&*bytes).expect("an ELF file");
    let endian = header.endian().expect("an order of bytes");
    assert_eq!(header.e_type(endian), elf::ET_EXEC);
    for segment in header.program_headers(endian, &*bytes).expect("segments") {
        let kind = segment.p_type(endian);
        assert!(![elf::PT_INTERP, elf::PT_DYNAMIC, elf::PT_GNU_RELRO].contains(&kind), "{kind}");
        let is_writable = segment.p_flags(endian) & elf::PF_W != 0;
        assert!(kind != elf::PT_LOAD || !is_writable, "something is writable");
    }
    if has("eu-elflint", &["eu-elflint"]) {
        let folder = program.parent().expect("a folder");
        let lint = "eu-elflint --gnu-ld \"$PROGRAM\"";
        let program = program.to_str().expect("text");
        assert_eq!(shell(folder, lint, &[("PROGRAM", program)]).as_deref(), Ok("No errors\n"));
    }
}

/// A number with commas, as the other tables have it.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn size(program: &Path) -> u64 {
    fs::metadata(program).expect("a file").len()
}

/// Flags, and what the page says about them.
const FLAGS: &[(&str, &str)] = &[
    ("", "as released"),
    ("-Clink-arg=-Wl,--build-id=sha1", "the build ID stays in the image"),
    (
        "-Cdebuginfo=2 -Cstrip=none -Clink-arg=-Wl,-z,relro --cap-lints=warn",
        "like Debian's dh-cargo: the symbols stay, RELRO has nothing to protect",
    ),
    (
        "-Copt-level=3 -Cdebuginfo=2 -Ccodegen-units=1 -Cstrip=none -Cforce-frame-pointers=yes -Clink-arg=-Wl,-z,relro -Clink-arg=-Wl,-z,now --cap-lints=warn",
        "like Fedora's macros: optimized for speed, and the symbols stay",
    ),
    ("-Cforce-frame-pointers=yes", "like Arch: for profilers"),
    ("-Copt-level=3", "replaces the profile's `z`"),
    ("-Clink-arg=-Wl,-z,relro,-z,now,-z,separate-code", "no segment of the image is writable"),
    ("-Crelocation-model=pie -Clink-arg=-pie", "no effect: the addresses stay fixed"),
    ("-Ctarget-feature=-crt-static", "no effect: the program stays static"),
    (
        "-Clink-arg=-Wl,--as-needed,-O1,--sort-common,-z,pack-relative-relocs",
        "like the linker's options of Arch",
    ),
    ("-Clink-arg=-fuse-ld=bfd", "GNU ld in the place of lld"),
    ("-Clto=off", "no link-time optimization"),
];

/// Flags with which the program cannot be built, a word of the reason that the build prints, and what the page says.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "-Cpanic=unwind",
        ".data",
        "rustc links std, which has variables: the image has no place for them",
    ),
    ("-Cinstrument-coverage", "undefined symbol", "its counters need a C library"),
    (
        "-Cprefer-dynamic",
        "cannot prefer dynamic linking",
        "rustc refuses it with link-time optimization",
    ),
];

#[test]
#[ignore = "a build for each set of flags: cargo test --test packaging -- --ignored"]
fn the_program_is_sound_by_any_flags_of_packagers() {
    if !cfg!(target_arch = "x86_64") {
        return skipped("flags", "the page has the sizes of x86-64");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let project = copy_of_the_project(dir.path(), "project");
    let program = project.join("target/release/seccomp-notify-min");
    let build = |flags| shell(&project, "cargo build --release --locked", &[("RUSTFLAGS", flags)]);
    let code =
        |flags: &str| if flags.is_empty() { "none".to_owned() } else { format!("`{flags}`") };
    let mut table = "| RUSTFLAGS | bytes | |\n| --- | ---: | --- |\n".to_owned();
    for (flags, note) in FLAGS {
        let said = build(flags).unwrap_or_else(|why| panic!("{flags}: {why}"));
        assert!(!said.contains("warning"), "{flags}: {said}");
        works(&program);
        is_sound(&program);
        table += &format!("| {} | {} | {note} |\n", code(flags), with_commas(size(&program)));
    }
    for (flags, word, note) in REFUSED {
        let why = build(flags).expect_err("it cannot be built");
        assert!(why.contains(word), "{flags}: {why}");
        table += &format!("| {} | no build | {note} |\n", code(flags));
    }
    document::part("flags", &table);
}

/// Commands on a copy of the program with symbols, FILE, whose result is the file OUT. The names are those of the page.
const TOOLS: &[(&str, &str, &[&str])] = &[
    ("none", "cp FILE OUT", &[]),
    (
        "`strip --remove-section=.comment --remove-section=.note` (dh_strip)",
        "strip --remove-section=.comment --remove-section=.note FILE -o OUT",
        &["strip"],
    ),
    (
        "`objcopy --only-keep-debug`, `strip` and `objcopy --add-gnu-debuglink` (dh_strip)",
        "objcopy --only-keep-debug --compress-debug-sections FILE symbols
         strip FILE -o OUT
         objcopy --add-gnu-debuglink=symbols OUT",
        &["strip", "objcopy"],
    ),
    ("`strip -g` (dracut, `strip_all=no`)", "strip -g FILE -o OUT", &["strip"]),
    ("`eu-strip -f` (RPM)", "eu-strip -f symbols -o OUT FILE", &["eu-strip"]),
    ("`llvm-strip`", "llvm-strip FILE -o OUT", &["llvm-strip"]),
    ("`dwz` (dh_dwz)", "dwz -o OUT FILE", &["dwz"]),
    (
        "`objcopy --compress-debug-sections`",
        "objcopy --compress-debug-sections FILE OUT",
        &["objcopy"],
    ),
];

#[test]
#[ignore = "builds the program with symbols: cargo test --test packaging -- --ignored"]
fn the_program_is_sound_after_packagers_tools() {
    if !cfg!(target_arch = "x86_64") {
        return skipped("tools", "the page has the sizes of x86-64");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let project = copy_of_the_project(dir.path(), "project");
    let said = shell(&project, &recipe(PACKAGING, "symbols"), &[]).expect("it can be built");
    assert!(!said.contains("warning"), "{said}");
    let original = project.join("target/unstripped/seccomp-notify-min");
    let notes = shell(&project, "readelf --notes target/unstripped/seccomp-notify-min", &[]);
    if has("the build ID", &["readelf"]) {
        let notes = notes.expect("readelf takes it");
        assert!(notes.contains("    Build ID: "), "{notes}");
    }
    let contents = |file: &Path| {
        let bytes = fs::read(file).expect("a file");
        let header = FileHeader64::<Endianness>::parse(&*bytes).expect("an ELF file");
        let endian = header.endian().expect("an order of bytes");
        let segments = header.program_headers(endian, &*bytes).expect("segments");
        let is_loaded = |s: &&elf::ProgramHeader64<_>| s.p_type(endian) == elf::PT_LOAD;
        let segment = segments.iter().find(is_loaded).expect("something is loaded");
        // The headers differ: the table of sections is elsewhere.
        segment.data(endian, &*bytes).expect("its bytes")[64 + 2 * 56..].to_vec()
    };
    let mut table = "| tool | bytes |\n| --- | ---: |\n".to_owned();
    let mut is_whole = true;
    for (name, script, tools) in TOOLS {
        if !has(name, tools) {
            is_whole = false;
            continue;
        }
        let folder = dir.path().join("work");
        fs::create_dir(&folder).expect("a folder");
        fs::copy(&original, folder.join("FILE")).expect("a copy");
        let said = shell(&folder, script, &[]).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(said, "", "{name} has something to say");
        let out = folder.join("OUT");
        works(&out);
        is_sound(&out);
        assert!(contents(&out) == contents(&original), "{name} changes the code");
        table += &format!("| {name} | {} |\n", with_commas(size(&out)));
        fs::remove_dir_all(&folder).expect("it can be removed");
    }
    if is_whole {
        document::part("tools", &table);
    } else {
        skipped("the table of tools", "a tool is missing");
    }
}

#[test]
#[ignore = "fetches hardening-check: cargo test --test packaging -- --ignored"]
fn hardening_check_says_what_the_page_says() {
    let shared = tempfile::tempdir().expect("a folder");
    let program = shared.path().join("seccomp-notify-min");
    fs::copy(crate::common::image(), program).expect("a copy");
    let script = "hardening-check --color seccomp-notify-min >said || true
        hardening-check /bin/true | grep -q 'Position Independent Executable: yes'
        sed 's/\\x1b[^m]*m//g' said";
    let throwaway = crate::throwaway::Throwaway::new("hardening-check", &["devscripts"]);
    let Some(said) = throwaway.run(shared.path(), script) else { return };
    document::part("hardening", &format!("```\n{said}```\n"));
}

#[test]
#[ignore = "vendors all crates, and builds twice: cargo test --test packaging -- --ignored"]
fn the_recipes_for_any_distribution_work() {
    let dir = tempfile::tempdir().expect("a folder");
    let project = copy_of_the_project(dir.path(), "project");
    let destination = dir.path().join("package");
    let variables = [("DESTDIR", destination.to_str().expect("text"))];
    shell(&project, &recipe(PACKAGING, "install"), &variables).expect("it can be installed");
    works(&destination.join("usr/bin/seccomp-notify-min"));
    for (installed, original) in [
        ("man/man1/seccomp-notify-min.1", "seccomp-notify-min.1"),
        ("bash-completion/completions/seccomp-notify-min", "completions/seccomp-notify-min.bash"),
        ("zsh/site-functions/_seccomp-notify-min", "completions/_seccomp-notify-min"),
        (
            "fish/vendor_completions.d/seccomp-notify-min.fish",
            "completions/seccomp-notify-min.fish",
        ),
        ("licenses/seccomp-notify-min/LICENSE", "LICENSE"),
    ] {
        let installed = fs::read_to_string(destination.join("usr/share").join(installed));
        assert_eq!(installed.expect("it is installed"), read(original), "{original}");
    }

    let script = recipe(PACKAGING, "vendored");
    let (vendor, build) = script.split_once('\n').expect("two commands");
    if let Err(why) = shell(&project, vendor, &[]) {
        return skipped("the vendored build", why);
    }
    let size = shell(&project, "du --summarize --block-size=MB vendor", &[]).expect("a folder");
    let size: u32 = size.split("MB").next().expect("a number").parse().expect("a number");
    assert!((80..120).contains(&size), "the page says about 100 MB: {size}");
    let home = dir.path().join("home");
    let variables = [("CARGO_HOME", home.to_str().expect("text")), ("CARGO_TARGET_DIR", "new")];
    shell(&project, build, &variables).expect("it can be built without a network");
    works(&project.join("new/release/seccomp-notify-min"));
}
