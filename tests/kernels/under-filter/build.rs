//! A static program with an entry point of its own, by a C compiler as linker or by one called directly.

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
