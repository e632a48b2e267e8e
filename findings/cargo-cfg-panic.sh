#!/usr/bin/env bash
# Guess, before: a build script that asks CARGO_CFG_PANIC learns with which panic strategy its package is compiled.
# Found: it is told "unwind" though the profile in use says panic = "abort", and the package's own code has
# cfg(panic = "abort") in the same build. Cargo asks rustc for the target's cfgs without the profile's -Cpanic, so what
# the variable tells is the target's default. A build script cannot choose by it how to link.
# Tried with Debian 12's cargo 0.66.0+ds1-1 and rustc 1.63.0+dfsg1-2; cargo 1.95 and 1.99 do the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir packages && chmod 777 packages && cd packages
apt-get download -qq cargo=0.66.0+ds1-1 rustc=1.63.0+dfsg1-2 libstd-rust-dev=1.63.0+dfsg1-2 \
    libstd-rust-1.63=1.63.0+dfsg1-2 libgit2-1.5 libllvm14 libmbedcrypto7 libmbedtls14 libmbedx509-1 libhttp-parser2.9 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" ../root; done
cd ..
export LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu RUSTC=$folder/root/usr/bin/rustc
export CARGO_HOME=$folder/home RUSTFLAGS="-Clinker=cc"
unset RUSTUP_TOOLCHAIN

mkdir -p package/src
cat > package/Cargo.toml <<'EOT'
[package]
name = "package"
version = "0.0.0"
edition = "2021"
[profile.dev]
panic = "abort"
EOT
cat > package/build.rs <<'EOT'
fn main() {
    println!("cargo:rustc-env=TOLD={}", std::env::var("CARGO_CFG_PANIC").unwrap());
}
EOT
cat > package/src/main.rs <<'EOT'
fn main() {
    let strategy = if cfg!(panic = "abort") { "abort" } else { "unwind" };
    println!("told {}, compiled with {strategy}", env!("TOLD"));
}
EOT
seen=$("$folder/root/usr/bin/cargo" run --quiet --offline --manifest-path package/Cargo.toml)
echo "$seen"
[ "$seen" = 'told unwind, compiled with abort' ]
