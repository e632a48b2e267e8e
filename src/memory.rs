//! Reads the memory of the process that made a notified call: by `process_vm_readv(2)`, or
//! through /proc/PID/mem.
//!
//! Both ways need the right to trace the process (`ptrace(2)`, "Ptrace access mode checking"). If the PID has
//! been reused, they read the memory of another process: whoever reads checks the notification's ID
//! afterwards, and uses nothing before.
//!
//! # The kept descriptor
//!
//! To open and close /proc/PID/mem for one read costs more than `process_vm_readv(2)`; to read it while it is
//! open costs less. So the first read is by `process_vm_readv(2)`; the second one opens the file and keeps it.
//! The descriptor stands for the address space that the target had when it was opened. When the target executes
//! another program or ends, that address space is gone, and a read returns 0 bytes. The target shares its
//! address space with no other process. The file of any other process is not kept.

use crate::abi::{O_CLOEXEC, O_RDONLY, nr};
use crate::fmt::Buffer;
use crate::report::Process;
use crate::sys::{self, CStrRef, Errno, Error, Fd, Pid};

/// Only the tracer reads the memory of another process.
const ME: Process = Process::Tracer;

/// The memory of the processes under the filter.
pub struct Memory {
    target: Pid,
    file: KeptFile,
}

/// /proc/PID/mem of the target.
#[derive(Clone, Copy)]
enum KeptFile {
    /// The target's memory has not been read yet: most runs read it once, without this file.
    BeforeFirstRead,
    /// It is not open, and the next read opens it.
    OpenAtNextRead,
    /// It is open.
    Open(Fd),
    /// It cannot be opened.
    Unavailable,
}

impl Memory {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(target: Pid) -> Self {
        Self { target, file: KeptFile::BeforeFirstRead }
    }

    /// Reads from `address` on in the memory of `pid`, until `buffer` is full or something cannot be read.
    /// Returns the number of bytes: 0 if nothing is at the address. (The kernel does return the bytes before a page
    /// that cannot be read, though the manual page of `process_vm_readv` denies it.)
    ///
    /// # Errors
    /// If neither way can be had here: the call that failed last and why. If there is no /proc, that is
    /// `process_vm_readv(2)`.
    pub fn read(&mut self, pid: Pid, address: u64, buffer: &mut [u8]) -> sys::Result<usize> {
        if pid == self.target
            && let Some(read) = self.read_kept(buffer, address)
        {
            return Ok(read);
        }
        let error = match sys::process_vm_readv(pid, buffer, address) {
            Err(error) if error.is(Errno::EFAULT) && can_read_itself(sys::process_vm_readv) => {
                return Ok(0);
            }
            Err(error) => error,
            read => return read,
        };
        match read_file(pid, buffer, address) {
            Err(file_error) if is_missing(file_error) => Err(error),
            // EINVAL: the address is in the kernel's half of 64 bits, and so a negative offset.
            Err(file_error)
                if (file_error.is(Errno::EIO) || file_error.is(Errno::EINVAL))
                    && can_read_itself(read_file) =>
            {
                Ok(0)
            }
            read => read,
        }
    }

    /// Reads the target's memory through the kept file; `None` if that cannot be done.
    #[inline(never)] // inlined, the program would be 200 bytes larger
    fn read_kept(&mut self, buffer: &mut [u8], address: u64) -> Option<usize> {
        if let KeptFile::OpenAtNextRead = self.file {
            self.file = open(self.target).map_or(KeptFile::Unavailable, KeptFile::Open);
        }
        match self.file {
            KeptFile::Open(file) => {
                let read = sys::pread(file, buffer, address).ok();
                if read == Some(0) {
                    // The address space is gone.
                    sys::close(file).or_fail(ME);
                    self.file = KeptFile::OpenAtNextRead;
                    return None;
                }
                read
            }
            KeptFile::BeforeFirstRead => {
                self.file = KeptFile::OpenAtNextRead;
                None
            }
            KeptFile::OpenAtNextRead | KeptFile::Unavailable => None,
        }
    }
}

/// Whether this way to read memory works at all: a sandbox may answer to every such call with the error that
/// otherwise says that nothing is at the address.
fn can_read_itself(read: fn(Pid, &mut [u8], u64) -> sys::Result<usize>) -> bool {
    let byte = 0_u8;
    let read_byte = |me| read(me, &mut [0], &raw const byte as u64);
    sys::getpid().result().and_then(read_byte).is_ok()
}

/// Whether the way through /proc failed since there is no /proc, or none of this PID namespace.
fn is_missing(error: Error) -> bool {
    (error.is(Errno::ENOENT) || error.is(Errno::ENOTDIR)) && error.call() != nr::__NR_pread64
}

/// Reads the memory of `pid` through /proc.
///
/// # Errors
/// As `readlinkat(2)`, `openat(2)` and `pread(2)`.
pub fn read_file(pid: Pid, buffer: &mut [u8], address: u64) -> sys::Result<usize> {
    let file = open(pid)?;
    let read = sys::pread(file, buffer, address);
    sys::close(file).result()?;
    read
}

/// Opens /proc/PID/mem; ENOENT if /proc is not mounted or is that of another PID namespace.
fn open(pid: Pid) -> sys::Result<Fd> {
    // In another namespace's /proc the processes have other numbers: `pid` would be some other process. (If
    // this process happens to have the same number in both, that is not noticed.)
    let mut link = [0; 16];
    sys::readlinkat(Fd::CWD, CStrRef::new(c"/proc/self"), &mut link).result()?;
    let mut own = [0; 16];
    Buffer::new(&mut own).put_decimal(sys::getpid().result()?.0.into());
    if link != own {
        return Err(Error::new(nr::__NR_readlinkat, Errno::ENOENT));
    }
    let mut path = [0; 32];
    let mut buffer = Buffer::new(&mut path);
    buffer.put_text(CStrRef::new(c"/proc/"));
    buffer.put_decimal(pid.0.into());
    buffer.put_text(CStrRef::new(c"/mem"));
    match CStrRef::split_from(&path) {
        Some((path, _)) => sys::openat(Fd::CWD, path, O_RDONLY | O_CLOEXEC).result(),
        None => Err(Error::new(nr::__NR_openat, Errno::ENAMETOOLONG)),
    }
}
