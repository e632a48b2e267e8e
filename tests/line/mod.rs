//! Messages as the program puts them together, for the tests and fuzz targets that look at texts.

use seccomp_notify_min::fmt::{Arg, Buffer, Message};
use seccomp_notify_min::messages::Text;
use seccomp_notify_min::report::Process;

/// What stands in memory that the program has not written to.
const UNTOUCHED: u8 = 0xa5;
/// The bytes behind the buffer that are looked at.
const BEYOND: usize = 64;

/// Puts a message together in a buffer of `size` bytes. Returns the buffer, and the whole message's length.
///
/// # Panics
/// If the program wrote behind the buffer, or returned as the message what is not all of it.
pub fn composed_in(
    size: usize,
    process: Process,
    template: Text,
    args: &[Arg],
) -> (Vec<u8>, usize) {
    let mut memory = vec![UNTOUCHED; size + BEYOND];
    let mut buffer = Buffer::new(&mut memory[..size]);
    buffer.put_message(process.name(), &Message { template, args });
    let length = match buffer.finish() {
        Ok(bytes) => bytes.len(),
        Err(length) => {
            assert!(length > size, "there was no room for all of it");
            length
        }
    };
    let beyond = memory.split_off(size);
    assert!(beyond.iter().all(|&byte| byte == UNTOUCHED), "nothing is written behind the buffer");
    (memory, length)
}

/// The whole message.
pub fn composed(process: Process, template: Text, args: &[Arg]) -> Vec<u8> {
    let (_, length) = composed_in(0, process, template, args);
    composed_in(length, process, template, args).0
}
