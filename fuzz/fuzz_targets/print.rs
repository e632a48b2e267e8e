//! The transcript's numbers and escapes, compared with plain formatting; and room that is too small.
#![no_main]

use std::ffi::CString;

use libfuzzer_sys::fuzz_target;
use seccomp_notify_min::print::compose;
use seccomp_notify_min::sys::ZStr;
use seccomp_notify_min::text;

#[path = "../../tests/model/mod.rs"]
#[allow(dead_code)]
mod model;
use model::escaped;

/// The bytes that nobody may write to.
const UNTOUCHED: u8 = 0xa5;

fuzz_target!(|input: (u8, u16, [u64; 6], Vec<u8>)| {
    let (which, room, numbers, mut bytes) = input;
    bytes.retain(|&byte| byte != 0);
    let shown = escaped(&bytes);
    let string = CString::new(bytes).unwrap();
    let [a, b, c, d, e, f] = numbers;
    let (text, wanted) = match which % 4 {
        0 => {
            let start = format!("Tracer: got notification for PID {a}; ID is {b:x}\nTracer: mkdir(\"");
            (text::TRACER_GOT, [start.as_bytes(), &shown, format!("\", {c:o})\n").as_bytes()].concat())
        }
        1 => {
            let start: &[u8] = b"\nTarget process: about to make directory \"";
            (text::TARGET_ANNOUNCES, [start, &shown, b"\"\n"].concat())
        }
        2 => (
            text::MEASURED,
            format!(
                "# Executed {a} system calls\n\n     Total time: {b}.{c:03} [sec]\n\n {d:7}.{e:06} usecs/op\n {f:14} ops/sec\n"
            )
            .into_bytes(),
        ),
        _ => (text::TRACER_DELAYS, format!("Tracer: delaying for {a} seconds: {b}").into_bytes()),
    };

    // Whatever the room, the length is the whole line's, and nothing is written behind it.
    let room = usize::from(room) % (wanted.len() + 16);
    let mut line = vec![UNTOUCHED; room];
    let length = compose(&mut line, text, Some(ZStr::from(string.as_c_str())), &numbers);
    assert_eq!(length, wanted.len());
    let filled = room.min(length);
    assert_eq!(line[..filled], wanted[..filled]);
    assert!(line[filled..].iter().all(|&byte| byte == UNTOUCHED));
});
