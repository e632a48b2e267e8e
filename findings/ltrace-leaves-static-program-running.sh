#!/usr/bin/env bash
# Guess, before: ltrace of a static stripped program either shows its system calls (-S) or refuses before anything is started.
# Found: it starts the program, says "Couldn't find .dynsym or .dynstr", ends at once with status 1, and the program goes on
# alone, untraced: what waits for ltrace waits for nothing, and what the program does it does later.
# Tried with Debian 12's ltrace 0.7.3-6.4.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir packages && chmod 777 packages && cd packages
apt-get download -qq ltrace=0.7.3-6.4 libelf1=0.188-2.1 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" ../root; done
cd ..
export LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu

cat > program.c <<'EOT'
#include <fcntl.h>
#include <unistd.h>
int main(void) { sleep(1); close(open("done", O_CREAT, 0600)); return 0; }
EOT
gcc -static -s program.c -o program
status=0
timeout 20 root/usr/bin/ltrace -S ./program > said 2>&1 || status=$?
before=$(ls done 2>/dev/null || echo nothing)
sleep 2
after=$(ls done 2>/dev/null || echo nothing)
echo "status $status; made when ltrace ends: $before; 2 s later: $after"
cat said
grep -q "Couldn't find .dynsym or .dynstr" said
[ "$status $before $after" = '1 nothing done' ]
