//! Prints a message: one write, whatever its length.

use crate::abi::{POLLOUT, nr, pollfd};
use crate::fmt::{Buffer, Message};
use crate::messages::Text;
use crate::sys::{self, Errno, Error, Fd};

/// The bytes of a message that is put together on the stack. A longer one gets pages of its own.
const ON_STACK: usize = 512;

/// Prints a message of the process with this name. All of it is written, in one write if the kernel takes it
/// so.
///
/// # Errors
/// `write(2)`, EIO also if nothing is taken; `mmap(2)` if a long message finds no memory.
pub fn print(fd: Fd, process: Text, message: &Message) -> sys::Result<()> {
    let mut memory = [0; ON_STACK];
    let mut buffer = Buffer::new(&mut memory);
    buffer.put_message(process, message);
    match buffer.finish() {
        Ok(bytes) => write_all(fd, bytes),
        Err(length) => {
            let mut pages = sys::mmap(length)?;
            let mut buffer = Buffer::new(pages.bytes());
            buffer.put_message(process, message);
            let written = write_all(fd, buffer.finish().unwrap_or_default());
            // The result is ignored: a failure only leaves a few pages mapped.
            let _ = sys::munmap(pages).result();
            written
        }
    }
}

/// Writes all bytes, in one write if the kernel takes it so.
///
/// # Errors
/// `write(2)`; EIO also if nothing is taken.
pub fn write_all(fd: Fd, mut bytes: &[u8]) -> sys::Result<()> {
    while !bytes.is_empty() {
        match sys::write(fd, bytes).result() {
            // The next write would take nothing either, and so for ever.
            Ok(0) => return Err(Error::new(nr::__NR_write, Errno::EIO)),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            // The descriptor is non-blocking: wait for room, as a blocking one does. The result is ignored:
            // the next write tells.
            Err(error) if error.is(Errno::EAGAIN) => {
                let mut poll = pollfd { fd: fd.0, events: POLLOUT, revents: 0 };
                let _ = sys::ppoll(&mut poll).result();
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
