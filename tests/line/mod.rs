//! Lines as the program composes them, for the tests and fuzz targets that look at texts.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use seccomp_notify_min::failure::Process;
use seccomp_notify_min::print::Line;
use seccomp_notify_min::sys::ZStr;
use seccomp_notify_min::text::{RUN_ROOM, Text};

/// What stands in memory that the program has not written to.
const UNTOUCHED: u8 = 0xa5;
/// The bytes behind the room that are looked at: more than the program ever copies at once.
const BEYOND: usize = 64;

/// Composes a line in `room` bytes and those that the program wants behind them. Returns the former, and the
/// whole line's length.
///
/// # Panics
/// If the program wrote beyond its room, or gave out as a line what is not all of it.
pub fn composed_in(
    room: usize,
    process: Process,
    text: Text,
    string: Option<&CStr>,
    numbers: [u64; 4],
) -> (Vec<u8>, usize) {
    let mut memory = vec![MaybeUninit::new(UNTOUCHED); room + RUN_ROOM + BEYOND];
    let mut line = Line::new(
        &mut memory[..room + RUN_ROOM],
        process.speech(text),
        string.map(ZStr::from),
        numbers,
    );
    line.compose();
    let length = line.room.length();
    // What is given out as a line is all of it, or nothing.
    assert_eq!(line.room.line().map(<[u8]>::len), (length <= room).then_some(length));
    // SAFETY: all of it has been written, by the line above if not by the program.
    let mut bytes: Vec<u8> = memory.iter().map(|byte| unsafe { byte.assume_init() }).collect();
    let beyond = bytes.split_off(room + RUN_ROOM);
    bytes.truncate(room);
    assert!(beyond.iter().all(|&byte| byte == UNTOUCHED), "nothing is written beyond the room");
    (bytes, length)
}

/// The whole line.
pub fn composed(process: Process, text: Text, string: Option<&CStr>, numbers: [u64; 4]) -> Vec<u8> {
    let (_, length) = composed_in(0, process, text, string, numbers);
    composed_in(length, process, text, string, numbers).0
}
