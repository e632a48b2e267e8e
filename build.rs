//! Tells the linker how the program is put together. Nothing is generated or compiled here.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=linker/image.ld");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");

    // A C compiler as linker is told in its own way; a linker called directly (.cargo/config.toml)
    // knows of no start-up files and takes its options as they stand.
    let linker = env::var("RUSTC_LINKER").unwrap_or_default();
    let stem = Path::new(&linker).file_stem().unwrap_or_default().to_string_lossy();
    let direct = stem.ends_with("lld");
    let link = |argument: &str| match argument.strip_prefix("-Wl,") {
        Some(options) if direct => {
            for option in options.split(',') {
                println!("cargo::rustc-link-arg-bins={option}");
            }
        }
        _ if direct && argument == "-nostartfiles" => {}
        _ => println!("cargo::rustc-link-arg-bins={argument}"),
    };

    // No C start-up files and no C library: `_start` is ours.
    link("-nostartfiles");
    link("-nostdlib");
    // No interpreter, no dynamic section, no relocation at start: fixed addresses.
    link("-static");
    link("-no-pie");
    // The default is for debuggers of other programs.
    link("-Wl,--build-id=none");

    // A build without optimization needs writable data and does not fit the image's layout.
    if env::var("PROFILE").as_deref() == Ok("release") {
        let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        link(&format!("-Wl,-T,{root}/linker/image.ld"));
        link("-Wl,--orphan-handling=error");
        // The image brings its own headers. Debuggers want sections and symbols: the profile for them
        // leaves the wrapping to the linker.
        if env::var("DEBUG").as_deref() == Ok("false") {
            link("-Wl,--oformat=binary");
        }
        link("-Wl,--no-eh-frame-hdr");
        link("-Wl,-z,norelro");
        // lld lets a string that another one ends with be a part of that.
        link("-Wl,-O2");
    }
}
