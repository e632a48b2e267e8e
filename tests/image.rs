//! The release image as a file: what it is made of, what must not be in it, and where its bytes are.
//!
//! The tables are printed by `cargo test --test image -- --nocapture breakdown`; with `SIZE_README=write` the
//! first one is written into README.md, which otherwise must show the same.

mod common;

use std::env;
use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use common::document;
use object::elf::{
    EM_AARCH64, EM_RISCV, EM_X86_64, ET_EXEC, FileHeader64, PF_W, PF_X, PT_DYNAMIC, PT_GNU_STACK,
    PT_INTERP, PT_LOAD, PT_NOTE, ProgramHeader64,
};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SymbolKind};
use rustc_demangle::demangle;
use seccomp_notify_min::text;

/// The image may not be larger, in bytes: what it was when this was last lowered. The aim is 7,168.
const BUDGET: usize = if cfg!(feature = "backend-sc") { 8932 } else { 8928 };

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
fn the_twin_for_debuggers_is_the_image_with_symbols() {
    if !is_ours("the twin") {
        return;
    }
    let segment = |image: &'static [u8]| {
        let (header, endian) = header(image);
        let segment = loaded(image);
        let bytes = segment.data(endian, image).expect("the segment is in the file");
        (segment.p_vaddr(endian), header.e_entry(endian), bytes)
    };
    assert!(segment(image()) == segment(twin()), "headers, code and constants are the same");
}

#[test]
fn nothing_of_formatting_or_panicking_is_in_the_image() {
    if !is_ours("symbols") {
        return;
    }
    let symbols = symbols();
    assert!(symbols.iter().any(|symbol| symbol.name.contains("Tracer::answer")), "{symbols:#?}");
    for symbol in &symbols {
        let name = &symbol.name;
        for room in ["core::fmt", "core::panicking", "panic", "unwind", "alloc::", "std::"] {
            assert!(!name.contains(room), "{name}");
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
    let size_of_symbols = |wanted: &dyn Fn(&Symbol) -> bool| -> usize {
        symbols().iter().filter(|symbol| wanted(symbol)).map(|symbol| symbol.size as usize).sum()
    };
    let headers = 64 + 2 * 56;
    let code = size_of_symbols(&|symbol| symbol.is_code);
    let (output, errors) = (text::FIRST_OUTPUT.0 as usize, text::ERRORS.0 as usize);
    let calls = text::name::clock_gettime.0 as usize;
    let texts = text::TABLE.bytes().len() + size_of_val(&text::PAIRS);
    let rest = image().len() - headers - code - texts;
    [
        ("headers", headers),
        ("code", code),
        ("texts: transcript, report and usage", calls - output),
        ("texts: failures, hints and usage errors", output),
        ("texts: names of calls", errors - calls),
        ("texts: errors", text::TABLE.bytes().len() - errors),
        ("texts: pairs of bytes", size_of_val(&text::PAIRS)),
        ("other constants and padding", rest),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .to_vec()
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
        document::put("size", &shown).expect("README.md can be written");
    } else if is_the_compiler("README.md's table") && cfg!(not(feature = "backend-sc")) {
        let readme = document::read("README.md");
        assert!(
            readme.contains(&shown),
            "README.md shows another size; SIZE_README=write mends that"
        );
    }
    // The texts really are in the image as this test knows them.
    let found =
        image().windows(text::TABLE.bytes().len()).any(|window| window == text::TABLE.bytes());
    assert!(found, "the table of texts is in the image");
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
    let (_, code) = &parts()[1];
    assert_eq!(sum, *code);
    // No function is counted twice.
    for pair in symbols.windows(2) {
        assert!(pair[0].address + pair[0].size <= pair[1].address, "{pair:#?}");
    }
}

#[test]
fn breakdown_by_texts() {
    // The last start is that of the errors' texts, which are as many as they are.
    let starts = text::starts();
    let ends = starts.iter().skip(1);
    let mut rows: Vec<_> = starts
        .iter()
        .zip(ends)
        .zip(text::PLAIN)
        .map(|((start, end), plain)| (plain.replace('\n', "·"), end - start))
        .collect();
    let errors = text::TABLE.bytes().len() - starts.last().expect("the start of the errors");
    rows.push((format!("{} errors", text::ERRNOS.len()), errors));
    rows.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let (_, sum) = table("The texts, in bytes as they are coded", &rows);
    assert_eq!(sum, text::TABLE.bytes().len());
}
