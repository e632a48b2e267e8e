#!/bin/bash
# A module of dracut(8): puts the program and its boot script into the initramfs. The boot script is a copy of
# initramfs-tools/scripts/init-premount/seccomp-notify-min, named boot-script.

check() {
    require_binaries seccomp-notify-min
}

depends() {
    return 0
}

install() {
    inst_multiple seccomp-notify-min cat mkdir sleep
    inst_script "$moddir/boot-script" /usr/bin/seccomp-notify-min-boot
    # The first hook: later ones wait for the root file system, or fail without one.
    inst_hook cmdline 01 "$moddir/hook.sh"
}
