//! An archive whose bytes depend only on its files and its date: the files are sorted by name, the owner is root, and
//! the permissions are fixed.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

const DIRECTORY: u32 = 0o755;
const PROGRAM: u32 = 0o755;
const FILE: u32 = 0o644;

/// An archive that is not yet complete.
pub struct Archive {
    folder: String,
    date: u64,
    files: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Archive {
    /// Begins an archive with the single folder `folder`. All its files have this date, in seconds since 1970.
    pub fn new(folder: &str, date: u64) -> Self {
        Self { folder: folder.to_owned(), date, files: BTreeMap::new() }
    }

    /// Adds a file.
    pub fn file(&mut self, name: &str, bytes: Vec<u8>) {
        self.files.insert(name.to_owned(), (FILE, bytes));
    }

    /// Adds an executable file.
    pub fn program(&mut self, name: &str, bytes: Vec<u8>) {
        self.files.insert(name.to_owned(), (PROGRAM, bytes));
    }

    /// Whether there is a file, or a folder with files, of this name.
    pub fn has(&self, path: &str) -> bool {
        let is_it = |name: &String| {
            name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.files.keys().any(is_it)
    }

    /// Returns the archive's bytes. It contains the check sums of its files too.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        let listed: Vec<_> =
            self.files.iter().map(|(name, (_, bytes))| (name.clone(), bytes.clone())).collect();
        self.file("SHA256SUMS", sums(&listed).into_bytes());

        // gzip's own header has no name, no date and no operating system.
        let zipped = GzBuilder::new().write(Vec::new(), Compression::best());
        let mut builder = Builder::new(zipped);
        let mut folders = Vec::new();
        for (name, (mode, bytes)) in &self.files {
            let path = format!("{}/{name}", self.folder);
            for (slash, _) in path.match_indices('/') {
                let folder = &path[..=slash];
                if !folders.iter().any(|known| known == folder) {
                    let mut header = header(EntryType::Directory, DIRECTORY, self.date, 0);
                    builder.append_data(&mut header, folder, std::io::empty())?;
                    folders.push(folder.to_owned());
                }
            }
            let mut header = header(EntryType::Regular, *mode, self.date, bytes.len() as u64);
            builder.append_data(&mut header, &path, bytes.as_slice())?;
        }
        Ok(builder.into_inner()?.finish()?)
    }
}

/// The header of a file that belongs to root.
pub fn header(kind: EntryType, mode: u32, date: u64, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(date);
    header.set_size(size);
    header
}

/// Check sums in the format of sha256sum(1).
pub fn sums(files: &[(String, Vec<u8>)]) -> String {
    let mut lines = String::new();
    for (name, bytes) in files {
        writeln!(lines, "{:x}  {name}", Sha256::digest(bytes)).expect("a string takes all");
    }
    lines
}
