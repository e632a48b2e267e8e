//! The virtual machines: what qemu needs for each, and how Debian names its kernels.

/// A virtual machine, and the kernels for it.
pub struct Guest {
    /// As `uname -m` names it.
    pub machine: &'static str,
    /// As Debian names it.
    pub debian: &'static str,
    /// The ends of the names of Debian's packages with its kernel, the best first.
    pub flavours: &'static [&'static str],
    pub qemu: &'static [&'static str],
    /// Debian's package with that qemu.
    pub qemu_package: &'static str,
    /// The first version of that qemu that boots these kernels, and the suite to take it from if the installed one is older.
    pub qemu_since: Option<(u32, &'static str)>,
    pub firmware: Option<Firmware>,
    pub console: &'static str,
}

/// What starts the kernel, where qemu does not do it itself.
pub struct Firmware {
    pub suite: &'static str,
    pub package: &'static str,
    pub file: &'static str,
    /// What it appends to the kernel's command line. The first process gets it as its last argument.
    pub argument: &'static str,
}

pub const AMD64: Guest = Guest {
    machine: "x86_64",
    debian: "amd64",
    // The small one for clouds.
    flavours: &["cloud-amd64", "amd64"],
    qemu: &["qemu-system-x86_64", "-M", "q35", "-cpu", "max"],
    qemu_package: "qemu-system-x86",
    qemu_since: None,
    firmware: None,
    console: "ttyS0",
};
pub const I386: Guest = Guest {
    machine: "i686",
    debian: "i386",
    flavours: &["686-pae", "686"],
    qemu: &["qemu-system-i386", "-M", "q35", "-cpu", "max"],
    qemu_package: "qemu-system-x86",
    qemu_since: None,
    firmware: None,
    console: "ttyS0",
};
pub const ARM64: Guest = Guest {
    machine: "aarch64",
    debian: "arm64",
    flavours: &["cloud-arm64", "arm64"],
    qemu: &["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72"],
    qemu_package: "qemu-system-arm",
    qemu_since: None,
    firmware: None,
    console: "ttyAMA0",
};
pub const ARMHF: Guest = Guest {
    machine: "armv7l",
    debian: "armhf",
    flavours: &["armmp"],
    qemu: &["qemu-system-arm", "-M", "virt", "-cpu", "cortex-a15"],
    qemu_package: "qemu-system-arm",
    qemu_since: None,
    firmware: None,
    console: "ttyAMA0",
};
pub const RISCV64: Guest = Guest {
    machine: "riscv64",
    debian: "riscv64",
    flavours: &["riscv64"],
    qemu: &["qemu-system-riscv64", "-M", "virt"],
    qemu_package: "qemu-system-misc",
    qemu_since: None,
    firmware: None,
    console: "ttyS0",
};
pub const S390X: Guest = Guest {
    machine: "s390x",
    debian: "s390x",
    flavours: &["s390x"],
    qemu: &["qemu-system-s390x", "-M", "s390-ccw-virtio"],
    qemu_package: "qemu-system-misc",
    qemu_since: None,
    firmware: None,
    console: "ttysclp0",
};
pub const PPC64EL: Guest = Guest {
    machine: "ppc64le",
    debian: "ppc64el",
    flavours: &["powerpc64le"],
    qemu: &["qemu-system-ppc64", "-M", "pseries"],
    qemu_package: "qemu-system-ppc",
    qemu_since: None,
    firmware: None,
    console: "hvc0",
};

pub const LOONG64: Guest = Guest {
    machine: "loongarch64",
    debian: "loong64",
    flavours: &["loong64"],
    qemu: &["qemu-system-loongarch64", "-M", "virt", "-cpu", "la464"],
    qemu_package: "qemu-system-misc",
    qemu_since: Some((10, "bookworm-backports")),
    firmware: Some(Firmware {
        suite: "trixie",
        package: "qemu-efi-loongarch64",
        file: "*/QEMU_EFI.fd",
        argument: "initrd=initrd",
    }),
    console: "ttyS0",
};

/// User-mode Linux. It runs the programs of this machine's processor.
pub const USER_MODE: Guest = Guest {
    machine: "x86_64",
    debian: "amd64",
    flavours: &[],
    // Without a root of its own it would add one to the arguments of the first process.
    qemu: &["linux.uml", "mem=512M", "root=98:0", "con=null", "con0=fd:0,fd:1"],
    qemu_package: "user-mode-linux",
    qemu_since: None,
    firmware: None,
    console: "tty0",
};
