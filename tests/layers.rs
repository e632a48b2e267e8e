//! The modules of the program are in layers: each uses only modules above it in one list, so that none imports another in
//! a circle. And `unsafe` is only where docs/internals.md says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The modules from the lowest layer on, each with those that it uses.
const LAYERS: &[(&str, &[&str])] = &[
    ("abi", &[]),
    ("arch", &["abi"]),
    ("sys", &["abi", "arch"]),
    ("messages", &["sys"]),
    ("names", &["abi", "arch", "sys"]),
    ("fmt", &["messages", "names", "sys"]),
    ("print", &["abi", "fmt", "messages", "sys"]),
    ("signals", &["abi", "arch", "sys"]),
    ("report", &["abi", "fmt", "messages", "names", "print", "signals", "sys"]),
    ("filter", &["abi", "arch"]),
    ("options", &["filter", "fmt", "messages", "sys"]),
    ("listener", &["abi", "sys"]),
    ("memory", &["abi", "fmt", "report", "sys"]),
    ("policy", &["abi", "report", "sys"]),
    ("children", &["abi", "fmt", "messages", "report", "signals", "sys"]),
    (
        "target",
        &["abi", "filter", "fmt", "messages", "options", "policy", "report", "signals", "sys"],
    ),
    (
        "tracer",
        &[
            "abi", "arch", "fmt", "listener", "memory", "messages", "options", "policy", "report",
            "signals", "sys",
        ],
    ),
    (
        "parent",
        &[
            "abi", "children", "fmt", "messages", "options", "report", "signals", "sys", "target",
            "tracer",
        ],
    ),
    (
        "probe",
        &[
            "abi", "arch", "children", "fmt", "listener", "memory", "messages", "names", "print",
            "report", "signals", "sys", "target",
        ],
    ),
];

/// Each module's code, without comments.
fn modules() -> BTreeMap<String, String> {
    fn read(folder: &Path, module: Option<&str>, modules: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).expect("the sources are there") {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let module = module.unwrap_or(&stem).to_owned();
            if path.is_dir() {
                read(&path, Some(&module), modules);
                continue;
            }
            let source = fs::read_to_string(&path).expect("text");
            let code = modules.entry(module).or_default();
            for line in source.lines() {
                code.push_str(line.split("//").next().unwrap());
                code.push('\n');
            }
        }
    }
    let mut modules = BTreeMap::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), None, &mut modules);
    modules
}

/// The modules that the code of another one names: `crate::a::b`, `use crate::{a, b::c}`.
fn used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let word = |text: &str| -> String {
            text.trim_start()
                .chars()
                .take_while(|&c| c.is_ascii_alphanumeric() || c == '_')
                .collect()
        };
        let Some(list) = rest.strip_prefix('{') else {
            let name = word(rest);
            // A macro is of the crate, and of no module.
            if !rest[name.len()..].starts_with('!') {
                used.insert(name);
            }
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' if depth == 0 => {
                    used.insert(word(&list[start..at]));
                    start = at + 1;
                }
                '}' => {
                    used.insert(word(&list[start..at]));
                    break;
                }
                _ => {}
            }
        }
    }
    used.remove("");
    used
}

#[test]
fn a_list_of_uses_is_read_to_its_end() {
    let names = |code| used(code).into_iter().collect::<Vec<_>>();
    assert_eq!(
        names("use crate::{a, b::{c, d}, e as f};\nuse crate::g::{h, i};"),
        ["a", "b", "e", "g"]
    );
    assert_eq!(names("let x = crate::a::B;"), ["a"]);
    assert_eq!(names("$crate::a!(b)"), [""; 0]);
}

#[test]
fn each_module_uses_only_modules_above_it() {
    let mut modules = modules();
    // They use what they like, and nothing uses them.
    assert!(modules.remove("lib").is_some() && modules.remove("main").is_some());
    let names: BTreeSet<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = modules.keys().map(String::as_str).collect();
    assert_eq!(found, names, "each module has a layer");
    for (at, (name, allowed)) in LAYERS.iter().enumerate() {
        for used in *allowed {
            assert!(
                LAYERS[..at].iter().any(|(above, _)| above == used),
                "{name}: {used} is not above"
            );
        }
        let allowed: BTreeSet<String> = allowed.iter().map(|&it| it.to_owned()).collect();
        assert_eq!(used(&modules[*name]), allowed, "what {name} uses");
    }
}

#[test]
fn unsafe_code_is_in_sys_arch_and_the_entry_only() {
    for (name, code) in modules() {
        let is_unsafe = code.contains("unsafe {")
            || code.contains("unsafe fn")
            || code.contains("unsafe extern");
        let may_be = ["arch", "main", "sys"].contains(&name.as_str());
        assert!(!is_unsafe || may_be, "{name}");
    }
}

#[test]
fn each_unsafe_block_has_its_safety_line() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![sources];
    let mut blocks = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = source.lines().collect();
            for (at, line) in lines.iter().enumerate() {
                if line.contains("unsafe {") && !line.trim_start().starts_with("//") {
                    blocks += 1;
                    let before = &lines[at.saturating_sub(8)..at];
                    assert!(
                        before.iter().any(|line| line.contains("SAFETY:")),
                        "{}:{}",
                        path.display(),
                        at + 1
                    );
                }
            }
        }
    }
    assert!(blocks > 20, "{blocks}");
}

#[test]
fn the_whole_source_is_short_enough_to_be_read() {
    // A reader reads the file of one architecture, and those that several share.
    const OF_ARCHITECTURES: usize = 120;
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut lines = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let length = fs::read_to_string(&path).unwrap().lines().count();
            if folder.ends_with("arch") {
                assert!(length <= OF_ARCHITECTURES, "{}: {length} lines", path.display());
            } else {
                lines += length;
            }
        }
    }
    assert!((1000..=4150).contains(&lines), "{lines} lines");
}
