#!/usr/bin/env bash
# Guess, before: what follows `--` on the command line of user-mode Linux, and nothing else, is what the first process gets as its
# arguments: so it is with a kernel that a boot loader starts.
# Found: where `root=` or `console=` is missing on the command line, the kernel appends root=98:0 and console=tty0 behind all that was
# given. Behind `--` they are no parameters of the kernel any more: the first process gets them as its last arguments. That is so
# also if the first process comes from an initramfs, which needs no root. With both before `--` the arguments are those that were
# given.
# Tried with Debian 12's user-mode-linux 6.1um4+b13 (Linux 6.1.176) and busybox-static 1:1.35.0-4+deb12u1+b1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir packages && chmod 777 packages && cd packages
apt-get download -qq user-mode-linux=6.1um4+b13 busybox-static=1:1.35.0-4+deb12u1+b1 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" ../root; done
cd ..

# An initramfs whose first process prints its arguments.
mkdir -p initramfs/bin
cp root/bin/busybox initramfs/bin/echo
(cd initramfs && find . | cpio --quiet -o -H newc) > initramfs.cpio

# Prints the line with the arguments. The panic when echo has ended is expected.
arguments() {
    timeout 60 root/usr/bin/linux.uml mem=128M initrd=initramfs.cpio con=null con0=fd:0,fd:1 quiet loglevel=1 panic=-1 \
        uml_dir="$folder" "$@" rdinit=/bin/echo -- one two </dev/null 2>/dev/null | tr -d '\r' | grep '^one' || true
}

without=$(arguments)
with=$(arguments root=98:0 console=tty0)
echo "without root= and console=: $without"
echo "with both:                  $with"
[ "$without" = 'one two root=98:0 console=tty0' ]
[ "$with" = 'one two' ]
