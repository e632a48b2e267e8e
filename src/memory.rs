//! The target's memory: through /proc/PID/mem, or where that cannot be opened by `process_vm_readv(2)`.
//!
//! Both want the right to trace the process (`ptrace(2)`, "Ptrace access mode checking"). What was
//! read may be another process's, if the PID was used again: whoever reads checks the
//! notification's ID afterwards, and uses nothing before.
//!
//! # The kept descriptor
//!
//! Opening and closing the file costs more than twice what reading it costs, so the descriptor
//! is kept for the target. It stands for the address space that the target had when it was opened.
//! When the target executes another program or ends, that address space loses its only user, and a
//! read returns 0: the file is then opened anew. A process that shares its address space
//! with another (threads, vfork) could leave it while it lives on; the target shares its with nobody,
//! and for any other process under the filter the file is opened for one read and closed.

use core::mem::{self, MaybeUninit};

use crate::abi::{AT_FDCWD, O_READ};
use crate::failure::Process;
use crate::print::Line;
use crate::sys::{self, Answer, Fd, Pid, ZStr};
use crate::text::{self, Text, name};

/// Only the tracer reads another's memory.
const ME: Process = Process::TRACER;

/// The memory of the processes under the filter.
pub struct Memory {
    /// The process whose descriptor is kept from one read to the next.
    target: Pid,
    /// Whose memory the open file is, if one is open.
    owner: Pid,
    file: Fd,
    /// Whether nothing has been read from it yet. Kept here, and not in a variable, it leaves the compiler
    /// one place to read in.
    fresh: bool,
}

impl Memory {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(target: Pid) -> Self {
        Self { target, owner: target, file: Fd::NONE, fresh: false }
    }

    /// Reads from `address` on in the memory of `pid` until `buffer` is full or something cannot be
    /// read. Answers the number of bytes, 0 if the process has no memory any more.
    ///
    /// EFAULT, EIO or EINVAL if there is nothing at that address; of `process_vm_readv(2)` EPERM if
    /// this process may not read that one's memory and ENOSYS if it could do so through /proc only;
    /// else as `pread(2)` has them.
    #[inline(always)] // one place calls it; and it itself, as its last step
    pub fn read(&mut self, pid: Pid, address: u64, buffer: &mut [u8]) -> Answer<usize> {
        if pid != self.owner || pid != self.target {
            self.forget();
            self.owner = pid;
        }
        if !self.file.is_some() {
            self.file = open(pid);
            self.fresh = true;
        }
        if !self.file.is_some() {
            return sys::process_vm_readv(pid, buffer, address);
        }
        let read = sys::pread(self.file, buffer, address).answer();
        if !mem::take(&mut self.fresh) && read.is_nothing() {
            self.forget();
            return self.read(pid, address, buffer);
        }
        read
    }

    /// The name of the call that read last.
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

/// Opens the memory of `pid`; no descriptor if that cannot be done, or if this is no /proc for it.
#[inline(never)]
fn open(pid: Pid) -> Fd {
    // In a /proc of another PID namespace the processes have other numbers: `pid` would be somebody else's. (Unless by
    // chance this process has the same in both; the chance is that of one number among all.)
    let mut me = [0; 8];
    sys::readlinkat(Fd(AT_FDCWD), ZStr::from(c"/proc/self"), &mut me).regardless();
    if decimal(me) != sys::getpid().or_fail(ME).0 {
        return Fd::NONE;
    }
    let mut memory = [MaybeUninit::uninit(); 64];
    let mut line =
        Line::new(&mut memory, ME.speech(text::MEMORY_FILE), None, [pid.0.into(), 0, 0, 0]);
    line.compose();
    let Some(file) = line.room.string() else { return Fd::NONE };
    sys::openat(AT_FDCWD, file, O_READ).answer().fd()
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
