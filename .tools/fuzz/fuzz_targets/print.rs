//! Compares the transcript's numbers and escapes with plain formatting, also in a buffer that is too small.
#![no_main]

use std::ffi::CString;

use libfuzzer_sys::fuzz_target;
use seccomp_notify_min::fmt::{Arg, Message};
use seccomp_notify_min::messages;
use seccomp_notify_min::report::Process;
use seccomp_notify_min::sys::CStrRef;

#[path = "../../../tests/line/mod.rs"]
#[allow(dead_code)]
mod line;
use line::composed_in;

#[path = "../../../tests/model/mod.rs"]
#[allow(dead_code)]
mod model;
use model::escaped;

fuzz_target!(|input: (u8, u16, [u64; 4], Vec<u8>)| {
    let (which, size, [a, b, c, d], mut bytes) = input;
    bytes.retain(|&byte| byte != 0);
    let shown = escaped(&bytes);
    let string = CString::new(bytes).unwrap();
    let path = Arg::Quoted(CStrRef::new(&string));
    let mkdir = [path, Arg::Oct(d)];
    let mkdir = Message { template: messages::TRACER_MKDIR, args: &mkdir };
    let (process, template, args, wanted) = match which % 4 {
        0 => {
            let start =
                format!("Tracer: got notification for PID {a}; ID is {b:x}\nTracer: mkdir(\"");
            let wanted = [start.as_bytes(), &shown, format!("\", {d:o})\n").as_bytes()].concat();
            let args = vec![Arg::Dec(a), Arg::Hex(b), Arg::Message(&mkdir)];
            (Process::Tracer, messages::TRACER_GOT, args, wanted)
        }
        1 => {
            let start: &[u8] = b"\nTarget process: about to make directory \"";
            let wanted = [start, &shown, b"\"\n"].concat();
            let args = vec![Arg::Message(&Message::EMPTY), path];
            (Process::Target, messages::TARGET_ANNOUNCES, args, wanted)
        }
        2 => {
            let wanted = format!(
                "# Executed {a} system calls\n\n     Total time: {}.{:03} [sec]\n\n {:7}.{:06} usecs/op\n  {d:13} ops/sec\n",
                b / 1000,
                b % 1000,
                c / 1_000_000,
                c % 1_000_000
            );
            let args = vec![
                Arg::Dec(a),
                Arg::Fixed { value: b, decimals: 3, width: 0 },
                Arg::Fixed { value: c, decimals: 6, width: 14 },
                Arg::Fixed { value: d, decimals: 0, width: 14 },
            ];
            (Process::Target, messages::MEASURED, args, wanted.into_bytes())
        }
        _ => {
            let wanted = format!("Tracer: delaying for {a} seconds: {b}").into_bytes();
            (Process::Tracer, messages::TRACER_DELAYS, vec![Arg::Dec(a), Arg::Dec(b)], wanted)
        }
    };

    // For every size of the buffer, the length is that of the whole message, and the buffer has its beginning.
    let size = usize::from(size) % (wanted.len() + 16);
    let (found, length) = composed_in(size, process, template, &args);
    assert_eq!(length, wanted.len());
    let filled = size.min(length);
    assert_eq!(found[..filled], wanted[..filled]);
});
