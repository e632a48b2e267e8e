//! The release image as a file: what it is made of, what must not be in it, and where its bytes are.
//!
//! The tables are printed by `cargo test --test image -- --nocapture breakdown`; with `SIZE_README=write` the
//! first one is written into docs/internals.md, which otherwise must show the same.

mod common;

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use common::document;
use object::elf::{
    EM_AARCH64, EM_RISCV, EM_X86_64, ET_EXEC, FileHeader64, PF_W, PF_X, PT_DYNAMIC, PT_GNU_STACK,
    PT_INTERP, PT_LOAD, PT_NOTE, ProgramHeader64,
};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SymbolKind};
use rustc_demangle::demangle;

/// The image may not be larger, in bytes: what it was when this was last set.
const BUDGET: usize = 21_290;

/// The bytes of the headers: that of the file, and those of two segments.
const HEADERS: usize = 64 + 2 * 56;

/// The compiler that these figures are of. Another one may make a few bytes more or less.
const COMPILER: &str = "rustc 1.95.";

/// Whether this is that compiler.
fn is_the_compiler(what: &str) -> bool {
    let version = Command::new("rustc").arg("--version").output().expect("rustc starts").stdout;
    let is_it = version.starts_with(COMPILER.as_bytes());
    if !is_it {
        let other = String::from_utf8_lossy(&version);
        common::skipped(what, format!("the figure is of {COMPILER}x, this is {other}"));
    }
    is_it
}

/// The release image's bytes.
fn image() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| fs::read(common::image()).expect("the image can be read"))
}

/// Whether the image was built here; another one has no twin.
fn is_ours(what: &str) -> bool {
    let ours = std::env::var_os("SECCOMP_NOTIFY_MIN").is_none();
    if !ours {
        common::skipped(what, "SECCOMP_NOTIFY_MIN names an image that was built elsewhere");
    }
    ours
}

/// The same image with symbols.
fn twin() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| fs::read(common::build("unstripped")).expect("the twin can be read"))
}

fn header(image: &[u8]) -> (&FileHeader64<Endianness>, Endianness) {
    let header = FileHeader64::<Endianness>::parse(image).expect("an ELF file of 64 bits");
    (header, header.endian().expect("an order of bytes"))
}

fn segments(image: &[u8]) -> &[ProgramHeader64<Endianness>] {
    let (header, endian) = header(image);
    header.program_headers(endian, image).expect("program headers")
}

/// The one segment that is loaded.
fn loaded(image: &[u8]) -> &ProgramHeader64<Endianness> {
    let (_, endian) = header(image);
    let mut loaded = segments(image).iter().filter(|segment| segment.p_type(endian) == PT_LOAD);
    let first = loaded.next().expect("something is loaded");
    assert!(loaded.next().is_none(), "a second segment is loaded");
    first
}

#[test]
fn the_image_keeps_within_its_budget() {
    // Ten percent more is too much for any compiler.
    assert!(image().len() <= BUDGET + BUDGET / 10, "{}", of_the_budget());
    if !is_the_compiler("the budget") {
        return;
    }
    assert!(image().len() <= BUDGET, "{}", of_the_budget());
}

/// How much of the budget is used, and what may be the reason that it is more than all.
fn of_the_budget() -> String {
    let mut said = format!("{} of {BUDGET} bytes", image().len());
    for variable in ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS"] {
        if env::var_os(variable).is_some() {
            said += &format!("; {variable} is set and replaces the flags in .cargo/config.toml");
        }
    }
    said
}

#[test]
fn the_image_is_static() {
    let (header, endian) = header(image());
    assert_eq!(header.e_type(endian), ET_EXEC, "fixed addresses: nothing to relocate");
    assert!([EM_X86_64, EM_AARCH64, EM_RISCV].contains(&header.e_machine(endian)));
    for segment in segments(image()) {
        let kind = segment.p_type(endian);
        assert!(![PT_INTERP, PT_DYNAMIC, PT_NOTE].contains(&kind), "a segment of type {kind}");
    }
}

#[test]
fn nothing_in_the_image_is_writable_and_the_stack_is_not_executable() {
    let (_, endian) = header(image());
    let flags = loaded(image()).p_flags(endian);
    assert_eq!(flags & PF_W, 0, "the program has no variables");
    assert_ne!(flags & PF_X, 0);
    let mut stacks =
        segments(image()).iter().filter(|segment| segment.p_type(endian) == PT_GNU_STACK);
    let stack = stacks.next().expect("without this header the kernel makes the stack executable");
    assert_eq!(stack.p_flags(endian) & PF_X, 0);
    for segment in segments(image()) {
        let both = PF_W | PF_X;
        assert_ne!(segment.p_flags(endian) & both, both, "writable and executable");
    }
}

#[test]
fn the_running_program_has_no_memory_that_is_writable_and_executable() {
    // What the kernel made of the headers, while a target waits.
    let run = common::program(["-d", "1", "/etc/c"]).start();
    let target = run.wait_for("Target process: PID").writer;
    run.wait_for("Tracer: delaying");
    let maps = fs::read_to_string(format!("/proc/{target}/maps")).expect("/proc is mounted");
    assert!(maps.contains("[stack]"), "{maps}");
    for line in maps.lines() {
        let permissions = line.split(' ').nth(1).expect("permissions");
        assert!(!permissions.starts_with("rwx") && !permissions.contains("wx"), "{line}");
    }
    run.finish();
}

#[test]
fn each_part_of_the_file_is_where_its_headers_say() {
    let (header, endian) = header(image());
    let segment = loaded(image());
    assert_eq!(segment.p_offset(endian), 0, "the headers are loaded, as a linker does it");
    assert_eq!(segment.p_filesz(endian), segment.p_memsz(endian), "no variables");
    assert!(segment.p_filesz(endian) <= image().len() as u64);
    assert!(segment.p_align(endian).is_power_of_two());
    assert_eq!(segments(image()).len(), 2);
    for segment in segments(image()).iter().filter(|segment| segment.p_type(endian) == PT_GNU_STACK)
    {
        let nowhere = [segment.p_offset(endian), segment.p_vaddr(endian), segment.p_filesz(endian)];
        assert_eq!(nowhere, [0; 3]);
        assert_eq!(segment.p_memsz(endian), 0);
    }

    // A table of sections, which nothing overlaps.
    let file = ElfFile64::<Endianness>::parse(image()).expect("an ELF file");
    let table =
        header.e_shoff(endian)..header.e_shoff(endian) + u64::from(header.e_shnum(endian)) * 64;
    assert!(
        table.start >= segment.p_filesz(endian) && table.end <= image().len() as u64,
        "{table:?}"
    );
    let mut end = HEADERS as u64;
    let mut names = Vec::new();
    for section in file.sections() {
        let (offset, size) = section.file_range().expect("each section is in the file");
        assert!(offset >= end, "{}", section.name().unwrap());
        end = offset + size;
        assert!(end <= table.start);
        if section.address() != 0 {
            assert_eq!(section.address() - segment.p_vaddr(endian), offset, "as it is loaded");
            assert!(end <= segment.p_filesz(endian));
        }
        names.push(section.name().expect("text").to_owned());
    }
    assert!(names.contains(&".text".to_owned()), "{names:?}");
    let entry = header.e_entry(endian);
    let text = file.section_by_name(".text").unwrap();
    assert!((text.address()..text.address() + text.size()).contains(&entry));
}

// ---- What tools say

/// Runs a tool; returns what it says on both streams, if it is installed.
fn tool(command: &[&str], file: &Path) -> Option<Output> {
    if !common::is_installed(command[0]) {
        common::skipped(command[0], "it is not installed");
        return None;
    }
    let output =
        Command::new(command[0]).args(&command[1..]).arg(file).stdin(Stdio::null()).output();
    Some(output.expect("it starts"))
}

/// What no tool may say of the image.
fn complaints(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    let words =
        ["warn", "error", "corrupt", "invalid", "overlap", "not in segment", "unable", "can't"];
    let is_one = |line: &&str| words.iter().any(|word| line.to_lowercase().contains(word));
    text.lines().filter(is_one).filter(|line| *line != "No errors").map(str::to_owned).collect()
}

#[test]
fn tools_that_read_the_image_have_nothing_to_say_about_it() {
    for command in [
        &["file"][..],
        &["readelf", "-lhSW"],
        &["objdump", "-p"],
        &["objdump", "-d"],
        &["size"],
        &["nm"],
        &["llvm-readelf", "-a"],
        &["llvm-objdump", "-p"],
        &["llvm-size"],
        &["eu-elflint", "--gnu-ld"],
        &["eu-readelf", "-a"],
        &["gdb", "-batch", "-ex", "info files"],
    ] {
        let Some(output) = tool(command, common::image()) else { continue };
        assert!(output.status.success(), "{command:?}: {output:?}");
        assert_eq!(complaints(&output), Vec::<String>::new(), "{command:?}");
        // nm says on standard error that a stripped file has no symbols: that is true.
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.is_empty() || command == ["nm"] && said.ends_with(": no symbols\n"),
            "{command:?}: {said}"
        );
    }
}

#[test]
fn a_tool_would_have_something_to_say_about_a_broken_image() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("broken");
    let mut bytes = image().to_vec();
    // The table of sections begins within the code.
    bytes[40..48].copy_from_slice(&0x100_u64.to_le_bytes());
    fs::write(&file, bytes).expect("a file can be written");
    for command in [&["readelf", "-lhSW"][..], &["eu-elflint", "--gnu-ld"], &["objdump", "-p"]] {
        let Some(output) = tool(command, &file) else { continue };
        assert!(
            !output.status.success() || !complaints(&output).is_empty(),
            "{command:?}: {output:?}"
        );
    }
}

#[test]
fn stripped_by_any_tool_the_image_still_runs() {
    for command in [
        &["strip"][..],
        &["objcopy"],
        &["llvm-strip"],
        &["llvm-objcopy"],
        &["eu-strip"],
        &["install", "-s"],
    ] {
        let directory = tempfile::tempdir().expect("a directory can be made");
        for (built, name) in [(image(), "image"), (twin(), "twin")] {
            let file = directory.path().join(name);
            fs::write(&file, built).expect("a file can be written");
            let mut run = file.clone();
            let mut command = command.to_vec();
            let to = directory.path().join("installed");
            let to = to.to_str().unwrap().to_owned();
            let output = if command[0] == "install" {
                run = Path::new(&to).to_owned();
                let from = file.to_str().unwrap();
                command.push(from);
                tool(&command, Path::new(&to))
            } else {
                fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
                tool(&command, &file)
            };
            let Some(output) = output else { continue };
            assert!(output.status.success(), "{command:?}: {output:?}");
            assert_eq!(output.stderr, b"", "{command:?}: {output:?}");
            let beneath = common::Beneath::new();
            let path = beneath.join("x");
            let outcome =
                common::Run::of(&run, [OsStr::new("-K"), &path, OsStr::new("/bye")]).finish();
            assert_eq!(outcome.ended, common::Ended::Status(0), "{command:?}: {outcome:#?}");
            assert_eq!(beneath.contents(), ["x"], "{command:?}");
        }
    }
}

#[test]
fn the_twin_for_debuggers_is_the_image_with_symbols() {
    if !is_ours("the twin") {
        return;
    }
    let segment = |image: &'static [u8]| {
        let (header, endian) = header(image);
        let segment = loaded(image);
        let bytes = segment.data(endian, image).expect("the segment is in the file");
        // The headers differ: the table of sections is elsewhere.
        (segment.p_vaddr(endian), header.e_entry(endian), &bytes[HEADERS..])
    };
    assert!(segment(image()) == segment(twin()), "code and constants are the same");
}

#[test]
fn nothing_of_formatting_or_panicking_is_in_the_image() {
    if !is_ours("symbols") {
        return;
    }
    let symbols = symbols();
    assert!(symbols.iter().any(|symbol| symbol.name.contains("tracer::")), "{symbols:#?}");
    for symbol in &symbols {
        let name = &symbol.name;
        for part in ["core::fmt", "core::panicking", "panic", "unwind", "alloc::", "std::"] {
            assert!(!name.contains(part), "{name}");
        }
    }
    // What a panic would say: where, and why.
    for text in ["panicked", ".rs", "src/", "library/core", "index out of bounds", "unwrap"] {
        let found = image().windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!found, "{text:?} is in the image");
    }
}

#[test]
fn no_path_of_the_machine_that_built_it_is_in_the_image() {
    for text in [env!("CARGO_MANIFEST_DIR"), "/home/", "/root/", ".cargo", "rustc"] {
        let found = image().windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!found, "{text:?} is in the image");
    }
}

// ---- Where the bytes are

/// A function or constant in the image.
#[derive(Debug)]
struct Symbol {
    name: String,
    address: u64,
    size: u64,
    is_code: bool,
}

/// The functions and constants, in the order of their addresses.
fn symbols() -> Vec<Symbol> {
    let twin = ElfFile64::<Endianness>::parse(twin()).expect("an ELF file");
    let mut symbols: Vec<_> = twin
        .symbols()
        .filter(|symbol| symbol.size() > 0)
        .map(|symbol| Symbol {
            name: format!("{:#}", demangle(symbol.name().expect("text"))),
            address: symbol.address(),
            size: symbol.size(),
            is_code: symbol.kind() == SymbolKind::Text,
        })
        .collect();
    symbols.sort_by_key(|symbol| symbol.address);
    symbols
}

/// Prints rows of bytes. Returns what was printed, and their sum.
fn table(title: &str, rows: &[(String, usize)]) -> (String, usize) {
    let line = |(name, bytes): &(String, usize)| format!("{bytes:>7}  {name}\n");
    let sum = rows.iter().map(|(_, bytes)| bytes).sum();
    let lines: String = rows.iter().map(line).collect();
    let table = format!("{title}\n\n{lines}{}", line(&("in all".to_owned(), sum)));
    // In one go: tests run side by side.
    println!("\n{table}");
    (table, sum)
}

/// The parts of the image, in bytes.
fn parts() -> Vec<(String, usize)> {
    let image = ElfFile64::<Endianness>::parse(image()).expect("an ELF file");
    let mut rows = Vec::new();
    let mut rest = self::image().len();
    let mut row = |name: &str, bytes: usize| {
        rest -= bytes;
        rows.push((name.to_owned(), bytes));
    };
    let size_of_symbol = |part: &str| -> usize {
        let found =
            symbols().into_iter().filter(|symbol| !symbol.is_code && symbol.name.contains(part));
        found.map(|symbol| symbol.size as usize).sum()
    };
    let (calls, errors) = (size_of_symbol("names::CALLS"), size_of_symbol("names::ERRORS"));
    assert!(calls > 100 && errors > 1000, "the lists of names are found");
    row("names of calls", calls);
    row("texts of errors", errors);
    for section in image.sections() {
        match section.name().expect("text") {
            ".text" => row("code", section.size() as usize),
            ".rodata.str" => {
                row("texts: transcript, failures, hints and usage", section.size() as usize)
            }
            ".rodata" => row("other constants", section.size() as usize - calls - errors),
            _ => {}
        }
    }
    rows.push(("headers, table of sections, padding".to_owned(), rest));
    rows
}

#[test]
fn breakdown_by_parts() {
    if !is_ours("breakdown by parts") {
        return;
    }
    let title = format!("The image by parts, in bytes (budget {BUDGET})");
    let (table, sum) = table(&title, &parts());
    assert_eq!(sum, image().len(), "the parts are the whole");
    let shown = format!("```\n{table}```\n");
    if document::is_asked_for("SIZE_README") {
        document::put("size", &shown).expect("the page can be written");
    } else if is_the_compiler("the table of docs/internals.md") && cfg!(not(feature = "backend-sc"))
    {
        let page = document::read(document::page_of("size"));
        assert!(page.contains(&shown), "the page shows another size; SIZE_README=write mends that");
    }
}

#[test]
fn breakdown_by_functions() {
    if !is_ours("breakdown by functions") {
        return;
    }
    let symbols = symbols();
    let mut rows: Vec<_> = symbols
        .iter()
        .filter(|symbol| symbol.is_code)
        .map(|symbol| (symbol.name.replace("seccomp_notify_min::", ""), symbol.size as usize))
        .collect();
    rows.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let (_, sum) = table("The code by functions, in bytes", &rows);
    let parts = parts();
    let (_, code) = parts.iter().find(|(name, _)| name == "code").expect("there is code");
    assert!(sum <= *code, "{sum} of {code}");
    // No function is counted twice.
    for pair in symbols.windows(2) {
        assert!(pair[0].address + pair[0].size <= pair[1].address, "{pair:#?}");
    }
}
