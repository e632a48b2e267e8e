#!/usr/bin/env bash
# Guess, before: clang's driver takes gcc's options for position independence as gcc does: the last one counts.
# Found: after -static-pie, gcc takes -no-pie and links a program with fixed addresses. clang refuses the pair as an error
# ("cannot specify 'nopie' along with 'static-pie'"), in either order. So who appends options to a command line that somebody
# else began (a build script behind rustc's -static-pie for musl targets) has to tell the linker itself: -Wl,-no-pie, which
# both take.
# Tried with Debian 12's clang 1:14.0.6-12 and gcc 12.2.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir packages && chmod 777 packages && cd packages
apt-get download -qq clang-14=1:14.0.6-12 libclang-cpp14=1:14.0.6-12 libllvm14=1:14.0.6-12 libclang-common-14-dev=1:14.0.6-12 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" ../root; done
cd ..
export LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/usr/lib/llvm-14/lib
clang=$folder/root/usr/lib/llvm-14/bin/clang

echo 'void _start(void) { for (;;) __builtin_trap(); }' > program.c
gcc -nostdlib -static-pie program.c -no-pie -o by-gcc
echo "gcc: $(readelf -hW by-gcc | sed -n 's/ *Type: *//p')"
seen=$("$clang" -nostdlib -static-pie program.c -no-pie -o by-clang 2>&1 || true)
echo "clang: $seen"
"$clang" -nostdlib -static-pie program.c -Wl,-no-pie -o by-clang
echo "clang, -Wl,-no-pie: $(readelf -hW by-clang | sed -n 's/ *Type: *//p')"
grep -q "cannot specify 'nopie' along with 'static-pie'" <<< "$seen"
readelf -hW by-gcc | grep -q 'EXEC' && readelf -hW by-clang | grep -q 'EXEC'
