//! Tells the linker how the program is put together. Nothing is generated or compiled here.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=linker/image.ld");
    println!("cargo::rerun-if-changed=.cargo/config.toml");
    let target = env::var("TARGET").expect("cargo sets it").to_uppercase().replace('-', "_");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_{target}_LINKER");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    // A compiler passes on to its linker what stands behind `-Wl,`.
    let (is_driver, prefix) = if is_compiler_driver() { (true, "-Wl,") } else { (false, "") };

    // No interpreter and no dynamic section; fixed addresses, so nothing is relocated at the start.
    link("-static");
    // No C start-up files: the entry point is the program's own. A linker that is called directly adds none.
    if is_driver {
        link("-nostartfiles");
    }
    if !is_workspace_root(&root) {
        // The profiles of another workspace may lack `panic = "abort"`. Then rustc wants std, which wants a C
        // library, shared maybe, and writable data (src/main.rs): the linker's own layout has to do.
        link("-no-pie");
        link("-e");
        link("program_start");
        return;
    }
    link("-nostdlib");
    // For its linker: clang itself does not want this for musl, where rustc asks for a static PIE.
    link(&format!("{prefix}-no-pie"));
    // Some compilers ask their linker for a build ID. The image has one only if RUSTFLAGS ask for it: packagers
    // of distributions need it for their packages of symbols.
    if !flags_contain("--build-id") {
        link(&format!("{prefix}--build-id=none"));
    }
    // Where what lies, and what is left out. As an argument of its own the path may have any bytes in it.
    link("-T");
    link(root.join("linker/image.ld").to_str().expect("cargo builds in paths of UTF-8 only"));
}

/// One argument for the linker, when it links a program of this package.
fn link(argument: &str) {
    println!("cargo::rustc-link-arg-bins={argument}");
}

/// Whether one of the flags that the user gives to rustc has this text in it.
fn flags_contain(text: &str) -> bool {
    env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().contains(text)
}

/// Whether the linker is a compiler, such as gcc or clang, which calls the linker proper.
fn is_compiler_driver() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    // `-Clinker=`, `-C linker=` or `--codegen=linker=`; the last one counts.
    let mut in_flags = flags.split('\x1f').filter_map(|flag| {
        let option = flag.strip_prefix("-C").or(flag.strip_prefix("--codegen=")).unwrap_or(flag);
        option.strip_prefix("linker=")
    });
    let linker = in_flags.next_back().map(str::to_owned).or(env::var("RUSTC_LINKER").ok());
    let linker = PathBuf::from(linker.unwrap_or_default());
    // Such as ld, ld.bfd, x86_64-linux-gnu-ld, rust-lld, lld-19.
    let name = linker.file_stem().unwrap_or_default().to_string_lossy();
    !name.split('-').any(|word| matches!(word, "ld" | "ld64" | "lld" | "mold" | "wild"))
}

/// Whether the package is built by itself, with the profiles of its own Cargo.toml, and not as a member of
/// another workspace.
fn is_workspace_root(root: &Path) -> bool {
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    cargo.args(["locate-project", "--workspace", "--message-format", "plain"]).current_dir(root);
    let output = cargo.output().expect("cargo can be started");
    let manifest = String::from_utf8_lossy(&output.stdout);
    !output.status.success() || Path::new(manifest.trim_end()) == root.join("Cargo.toml")
}
