#!/usr/bin/env bash
# Guess, before: elfutils' linter for ELF files has nothing to say about what a common linker makes of a plain program.
# Found: ld.lld gives its output .rodata the flags MERGE and STRINGS of the string literals that it puts there together with
# other constants, with an entry size of 0; eu-elflint calls that an error, also with --gnu-ld. So every program with a string
# and another constant that lld links fails the check, the one below too. Linked by GNU ld the same objects pass. What
# helps is an output section of their own for .rodata.str* and .rodata.cst*.
# Tried with Debian 12's lld 1:14.0.6-12 and elfutils 0.188-2.1; the rust-lld that comes with Rust 1.95 does the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir packages && chmod 777 packages && cd packages
apt-get download -qq lld-14=1:14.0.6-12 elfutils=0.188-2.1 libelf1=0.188-2.1 libdw1=0.188-2.1 libasm1=0.188-2.1 libllvm14=1:14.0.6-12 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" ../root; done
cd ..
export LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu
lint=$folder/root/usr/bin/eu-elflint

cat > program.c <<'EOT'
const int numbers[] = {1, 2, 3};
const char *name(void) { return "a string"; }
void _start(void) { for (;;) __builtin_trap(); }
EOT
gcc -c -O1 -fno-pic -fno-asynchronous-unwind-tables program.c
ld -static -o by-gnu-ld program.o
"$folder/root/usr/lib/llvm-14/bin/ld.lld" -static -o by-lld program.o
echo "GNU ld: $("$lint" --gnu-ld by-gnu-ld || true)"
seen=$("$lint" --gnu-ld by-lld || true)
echo "ld.lld: $seen"
"$lint" --gnu-ld --quiet by-gnu-ld
grep -q "'.rodata': merge flag set but entry size is zero" <<< "$seen"
