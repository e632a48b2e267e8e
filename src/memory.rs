//! The target's memory: the first time through `process_vm_readv(2)`, then through /proc/PID/mem; where one of
//! them cannot be had, through the other.
//!
//! Both want the right to trace the process (`ptrace(2)`, "Ptrace access mode checking"). What was
//! read may be another process's, if the PID was used again: whoever reads checks the
//! notification's ID afterwards, and uses nothing before.
//!
//! # The kept descriptor
//!
//! Opening and closing the file costs more than twice what reading it costs, and more than reading without it: the
//! file is opened for the second read, and kept for the target. It stands for the address
//! space that the target had when it was opened. When the target executes another program or ends, that address
//! space loses its only user, and a read returns 0: the file is then opened anew. A process that shares its address
//! space with another (threads, vfork) could leave it while it lives on; the target shares its with nobody, and no
//! file of any other process under the filter is used for a second read.

use core::mem;

use crate::abi::{AT_FDCWD, O_READ};
use crate::failure::Process;
use crate::sys::{self, Answer, Errno, Fd, Pid, Reading, ZStr};
use crate::text::{Text, name};

/// Only the tracer reads another's memory.
const ME: Process = Process::TRACER;

/// The memory of the processes under the filter.
pub struct Memory {
    /// The process whose descriptor is kept from one read to the next.
    target: Pid,
    /// Whose memory was read last, and is the open file, if one is open.
    owner: Pid,
    /// Whether the owner's memory has been read before.
    known: bool,
    /// [`Fd::NONE`] before it is opened, another negative number if that failed. (EPERM is the same number: after
    /// that it is asked for each time.)
    file: Fd,
}

impl Memory {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(target: Pid) -> Self {
        Self { target, owner: target, known: false, file: Fd::NONE }
    }

    /// Reads from `address` on in the memory of `pid` until `reading` is full or something cannot be
    /// read. It is 0 bytes if the process has no memory any more.
    ///
    /// EFAULT, EIO or EINVAL if there is nothing at that address; of `process_vm_readv(2)` EPERM if
    /// this process may not read that one's memory and ENOSYS if it could do so through /proc only;
    /// else as `pread(2)` has them.
    #[inline(always)] // one place calls it
    pub fn read(&mut self, pid: Pid, address: u64, reading: &mut Reading) {
        if pid != self.owner || pid != self.target {
            self.forget();
            // What failed for the one may be had for the other.
            self.file = Fd::NONE;
            self.owner = pid;
            self.known = false;
        }
        // Where it could not be opened, it is not asked for again unless the other way fails too.
        if mem::replace(&mut self.known, true) && self.file == Fd::NONE {
            self.file = open(pid).fd();
        }
        self.read_file(address, reading);
        if reading.answer().is_nothing() {
            // No file, or one of an address space that is gone.
            self.forget();
            sys::process_vm_readv(pid, reading, address);
            if reading.answer().is_error() {
                // Forbidden, maybe; and where nobody is there any more, this says so again.
                self.file = open(pid).fd();
                self.read_file(address, reading);
            }
        }
    }

    /// Reads from the file, if one is open.
    #[inline(always)]
    fn read_file(&self, address: u64, reading: &mut Reading) {
        if self.file.is_some() {
            sys::pread(self.file, reading, address);
        }
    }

    /// The name of the call that failed last.
    #[must_use]
    #[inline(always)]
    pub fn call(&self) -> Text {
        if self.file.is_some() { name::pread64 } else { name::process_vm_readv }
    }

    /// Closes the file.
    #[inline(never)]
    fn forget(&mut self) {
        if self.file.is_some() {
            sys::close(self.file).or_fail(ME);
            self.file = Fd::NONE;
        }
    }
}

/// Opens the memory of `pid`; an error if that cannot be done, ENOENT if this is no /proc for it.
#[inline(never)]
fn open(pid: Pid) -> Answer<Fd> {
    // In a /proc of another PID namespace the processes have other numbers: `pid` would be somebody else's. (Unless by
    // chance this process has the same in both; the chance is that of one number among all.)
    let mut me = [0; 8];
    sys::readlinkat(Fd(AT_FDCWD), ZStr::from(c"/proc/self"), &mut me).regardless();
    if decimal(me) != sys::getpid().or_fail(ME).0 {
        return Answer::error(Errno::ENOENT);
    }
    // /proc/PID/mem, from the right: the lowest byte is the first one.
    let mut number = pid.0;
    let mut behind_proc = u128::from(u32::from_le_bytes(*b"/mem"));
    loop {
        behind_proc = behind_proc << 8 | u128::from(b'0' | (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let mut file = [0; 6 + 16 + 1];
    file[..6].copy_from_slice(b"/proc/");
    file[6..22].copy_from_slice(&behind_proc.to_le_bytes());
    sys::openat(AT_FDCWD, ZStr::ending(&mut file), O_READ).answer()
}

/// The number whose decimal digits these are, and NULs behind them; no PID has more than seven digits. The command
/// line's parser, which has to refuse what is no number, would do as well; called from here too it costs 72 bytes.
#[inline(always)]
fn decimal(digits: [u8; 8]) -> u32 {
    let mut digits = u64::from_le_bytes(digits);
    let mut number = 0_u32;
    while digits != 0 {
        number = number.wrapping_mul(10).wrapping_add(digits as u32 & 15);
        digits >>= 8;
    }
    number
}
