//! Links a static program with its own entry point. The linker may be a C compiler, or lld called directly.

fn main() {
    let linker = std::env::var("RUSTC_LINKER").unwrap_or_default();
    if !linker.ends_with("lld") {
        println!("cargo::rustc-link-arg-examples=-nostartfiles");
        println!("cargo::rustc-link-arg-examples=-nostdlib");
    }
    for argument in ["-static", "-no-pie", "-e", "program_start"] {
        println!("cargo::rustc-link-arg-examples={argument}");
    }
}
