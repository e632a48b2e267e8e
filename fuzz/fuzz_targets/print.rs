//! The transcript's numbers and escapes, compared with plain formatting; and room that is too small.
#![no_main]

use std::ffi::CString;

use libfuzzer_sys::fuzz_target;
use seccomp_notify_min::failure::Process;
use seccomp_notify_min::text;

#[path = "../../tests/line/mod.rs"]
#[allow(dead_code)]
mod line;
use line::composed_in;

#[path = "../../tests/model/mod.rs"]
#[allow(dead_code)]
mod model;
use model::escaped;

fuzz_target!(|input: (u8, u16, [u64; 4], Vec<u8>)| {
    let (which, room, mut numbers, mut bytes) = input;
    bytes.retain(|&byte| byte != 0);
    let shown = escaped(&bytes);
    let string = CString::new(bytes).unwrap();
    let [a, b, c, d] = numbers;
    let (text, wanted) = match which % 4 {
        0 => {
            let start = format!("Tracer: got notification for PID {a}; ID is {b:x}\nTracer: mkdir(\"");
            numbers[2] = text::TRACER_MKDIR.0.into();
            (text::TRACER_GOT, [start.as_bytes(), &shown, format!("\", {d:o})\n").as_bytes()].concat())
        }
        1 => {
            let start: &[u8] = b"\nTarget process: about to make directory \"";
            (text::TARGET_ANNOUNCES, [start, &shown, b"\"\n"].concat())
        }
        2 => (
            text::MEASURED,
            format!(
                "# Executed {a} system calls\n\n     Total time: {}.{:03} [sec]\n\n {:7}.{:06} usecs/op\n  {d:13} ops/sec\n",
                b / 1000,
                b % 1000,
                c / 1_000_000,
                c % 1_000_000
            )
            .into_bytes(),
        ),
        _ => (text::TRACER_DELAYS, format!("Tracer: delaying for {a} seconds: {b}").into_bytes()),
    };
    let process = match which % 4 {
        0 | 3 => Process::TRACER,
        _ => Process::TARGET,
    };

    // Whatever the room, the length is the whole line's, and what found room is its beginning.
    let room = usize::from(room) % (wanted.len() + 16);
    let (line, length) = composed_in(room, process, text, Some(&string), numbers);
    assert_eq!(length, wanted.len());
    let filled = room.min(length);
    assert_eq!(line[..filled], wanted[..filled]);
});
