//! Packs an initramfs: an archive in cpio's "newc" format, which the kernel unpacks at boot
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

/// An archive that is not yet complete.
#[derive(Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    entries: u32,
}

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

impl Initramfs {
    /// Adds a directory with the permissions `mode`; its parent must have been added before.
    pub fn directory(&mut self, name: &str, mode: u32) -> &mut Self {
        self.entry(name, DIRECTORY | mode, &[])
    }

    /// Adds an executable file; its parent must have been added before.
    pub fn program(&mut self, name: &str, content: &[u8]) -> &mut Self {
        self.entry(name, FILE | 0o755, content)
    }

    /// The archive's bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> &mut Self {
        self.entries += 1;
        let length = |n: usize| u32::try_from(n).expect("an initramfs is far smaller than 4 GiB");
        let fields = [
            self.entries,           // inode
            mode,                   //
            0,                      // user
            0,                      // group
            1,                      // links
            0,                      // time of the last change
            length(content.len()),  //
            0,                      // device of the file, major and minor
            0,                      //
            0,                      // device number of a device file, major and minor
            0,                      //
            length(name.len() + 1), // with its NUL
            0,                      // check sum, not used in this format
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
        self
    }

    /// Names and contents end on a multiple of four.
    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
