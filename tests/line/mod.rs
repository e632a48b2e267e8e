//! Lines as the program composes them, for the tests and fuzz targets that look at texts.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use seccomp_notify_min::failure::Process;
use seccomp_notify_min::print::Line;
use seccomp_notify_min::sys::ZStr;
use seccomp_notify_min::text::Text;

/// What stands in memory that the program has not written to.
pub const UNTOUCHED: u8 = 0xa5;

/// Composes a line in `room` bytes. Returns these bytes, and the whole line's length.
pub fn composed_in(
    room: usize,
    process: Process,
    text: Text,
    string: Option<&CStr>,
    numbers: [u64; 4],
) -> (Vec<u8>, usize) {
    let mut memory = vec![MaybeUninit::new(UNTOUCHED); room];
    let mut line = Line::new(&mut memory, process.speech(text), string.map(ZStr::from), numbers);
    line.compose();
    let length = line.room.length();
    // What is given out as a line is all of it, or nothing.
    assert_eq!(line.room.line().map(<[u8]>::len), (length <= room).then_some(length));
    // SAFETY: all of it has been written, by the line above if not by the program.
    let bytes = memory.iter().map(|byte| unsafe { byte.assume_init() }).collect();
    (bytes, length)
}

/// The whole line.
pub fn composed(process: Process, text: Text, string: Option<&CStr>, numbers: [u64; 4]) -> Vec<u8> {
    let (_, length) = composed_in(0, process, text, string, numbers);
    composed_in(length, process, text, string, numbers).0
}
