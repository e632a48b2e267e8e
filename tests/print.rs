//! The printer: numbers, escapes and errors against plain models, lengths, and each fixed text as the
//! specification writes it. In which writes a line goes out is `tests/transcript.rs`'s business.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;

use proptest::prelude::*;
use seccomp_notify_min::failure::Process;
use seccomp_notify_min::print::Line;
use seccomp_notify_min::text::{self, RUN_ROOM, Text};

mod line;
use line::{composed, composed_in};

/// What the target says, as text.
fn said(text: Text, string: Option<&CStr>, numbers: [u64; 4]) -> String {
    String::from_utf8(composed(Process::TARGET, text, string, numbers)).expect("text")
}

/// The same of the tracer.
fn tracer_said(text: Text, string: Option<&CStr>, numbers: [u64; 4]) -> String {
    String::from_utf8(composed(Process::TRACER, text, string, numbers)).expect("text")
}

/// A line: who says what, with which string and numbers, and what it must become.
struct Golden {
    process: Process,
    text: Text,
    string: Option<&'static CStr>,
    numbers: [u64; 4],
    line: &'static str,
}

/// Texts with every directive. That each line of the transcript is as specified is
/// `tests/transcript.rs`'s business.
fn golden() -> Vec<Golden> {
    let announces = u64::from(text::TARGET_ANNOUNCES.0);
    let ends = u64::from(text::TARGET_ENDS.0);
    let (success, failure) = (u64::from(text::TARGET_SUCCESS.0), u64::from(text::TARGET_FAILURE.0));
    let call = |name: Text| u64::from(name.0);
    let golden =
        |process, text, string, numbers, line| Golden { process, text, string, numbers, line };
    let (parent, target, tracer) = (Process::PARENT, Process::TARGET, Process::TRACER);
    vec![
        // Standard output.
        golden(
            target,
            text::TARGET_ANNOUNCES,
            Some(c"/tmp/x"),
            [0; 4],
            "\nTarget process: about to make directory \"/tmp/x\"\n",
        ),
        golden(
            target,
            text::TARGET_GOES_ON,
            None,
            [success, 6, ends, 0],
            "Target process: SUCCESS: mkdir(2) returned = 6\nTarget process: terminating\n",
        ),
        golden(
            target,
            text::TARGET_GOES_ON,
            Some(c"/bye"),
            [success, 6, announces, 0],
            "Target process: SUCCESS: mkdir(2) returned = 6\n\nTarget process: about to make directory \"/bye\"\n",
        ),
        golden(
            target,
            text::TARGET_GOES_ON,
            Some(c"/bye"),
            [failure, 13, announces, 0],
            "Target process: mkdir: Permission denied\n\nTarget process: about to make directory \"/bye\"\n",
        ),
        golden(
            target,
            text::TARGET_GOES_ON,
            None,
            [failure, 9999, ends, 0],
            "Target process: mkdir: errno 9999\nTarget process: terminating\n",
        ),
        golden(
            tracer,
            text::TRACER_GOT,
            None,
            [4711, 0x1234_5678_9abc_def0, call(text::NOTHING), 0],
            "Tracer: got notification for PID 4711; ID is 123456789abcdef0\n",
        ),
        golden(
            tracer,
            text::TRACER_GOT,
            Some(c"/tmp/x"),
            [4711, 0xab, call(text::TRACER_MKDIR), 0o1777],
            "Tracer: got notification for PID 4711; ID is ab\nTracer: mkdir(\"/tmp/x\", 1777)\n",
        ),
        golden(
            tracer,
            text::TRACER_ENDS,
            None,
            [0; 4],
            "Tracer: terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n",
        ),
        golden(
            target,
            text::MEASURED,
            None,
            [10000, 1007, 23_000_045, 678],
            "# Executed 10000 system calls\n\n     Total time: 1.007 [sec]\n\n      23.000045 usecs/op\n            678 ops/sec\n",
        ),
        // Standard error output.
        golden(
            target,
            text::TARGET_FAILURE,
            None,
            [2, 0, 0, 0],
            "Target process: mkdir: No such file or directory\n",
        ),
        golden(
            tracer,
            text::TRACER_DIED,
            None,
            [call(text::POST_DELAY), 0, 0, 0],
            "Tracer: notification ID check (post-delay): target has died!!!!!!!!!!!\n",
        ),
        golden(
            tracer,
            text::FAILED,
            None,
            [call(text::name::ioctl), 9, call(text::NOTHING), 0],
            "Tracer: ioctl: Bad file descriptor\n",
        ),
        golden(
            parent,
            text::FAILED,
            None,
            [call(text::name::rt_sigprocmask), 4095, call(text::NOTHING), 0],
            "Parent: rt_sigprocmask: errno 4095\n",
        ),
        golden(
            parent,
            text::PARENT_KILLED,
            None,
            [call(text::THE_TRACER), 9, 0, 0],
            "Parent: tracer was killed by signal 9\n",
        ),
    ]
}

#[test]
fn each_directive_becomes_what_it_stands_for() {
    for Golden { process, text, string, numbers, line } in golden() {
        assert_eq!(String::from_utf8(composed(process, text, string, numbers)).unwrap(), line);
    }
}

#[test]
fn what_belongs_on_the_standard_output_stands_behind_what_does_not() {
    let errors =
        golden().into_iter().position(|golden| golden.text == text::TARGET_FAILURE).unwrap();
    for (i, golden) in golden().into_iter().enumerate() {
        assert_eq!(golden.text.0 < text::FIRST_OUTPUT.0, i >= errors, "{:?}", golden.line);
    }
}

#[test]
fn what_finds_no_room_is_left_out_and_counted() {
    for Golden { process, text, string, numbers, line } in golden() {
        for room in 0..=line.len() + 2 {
            let (bytes, length) = composed_in(room, process, text, string, numbers);
            assert_eq!(length, line.len(), "{line:?} in {room}");
            let filled = room.min(length);
            assert_eq!(&bytes[..filled], &line.as_bytes()[..filled]);
        }
    }
}

#[test]
fn memory_that_is_shorter_than_a_run_is_no_room() {
    for length in [0, 1, RUN_ROOM - 1] {
        let mut memory = vec![MaybeUninit::new(b'?'); length];
        let mut line =
            Line::new(&mut memory, Process::TARGET.speech(text::TARGET_ENDS), None, [0; 4]);
        line.compose();
        assert_eq!(line.room.line(), None);
        assert_eq!(line.room.length(), "Target process: terminating\n".len());
        // SAFETY: all of it was written above.
        assert!(memory.iter().all(|byte| unsafe { byte.assume_init() } == b'?'));
    }
}

#[test]
fn a_missing_string_is_no_crash() {
    for golden in golden() {
        assert!(!composed(golden.process, golden.text, None, [0; 4]).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn numbers_are_those_of_the_standard_library(
        a in prop_oneof![any::<u64>(), 0_u64..2000, Just(u64::MAX)],
        b in prop_oneof![any::<u64>(), 0_u64..2000, (0_u32..64).prop_map(|bit| 1 << bit)],
        c in prop_oneof![any::<u64>(), 0_u64..2000, (0_u32..20).prop_map(|digits| 10_u64.pow(digits))],
    ) {
        prop_assert_eq!(
            tracer_said(text::TRACER_GOT, None, [a, b, text::NOTHING.0.into(), 0]),
            format!("Tracer: got notification for PID {a}; ID is {b:x}\n")
        );
        prop_assert_eq!(
            tracer_said(text::TRACER_GOT, Some(c"/"), [b, c, text::TRACER_MKDIR.0.into(), a]),
            format!("Tracer: got notification for PID {b}; ID is {c:x}\nTracer: mkdir(\"/\", {a:o})\n")
        );
        // A point in a whole number.
        let milli = |number: u64| format!("{}.{:03}", number / 1000, number % 1000);
        let micro = |number: u64| format!("{}.{:06}", number / 1_000_000, number % 1_000_000);
        for [a, b, c] in [[a, b, c], [b, c, a], [c, a, b]] {
            prop_assert_eq!(
                said(text::MEASURED, None, [a, b, c, b]),
                format!(
                    "# Executed {a} system calls\n\n     Total time: {} [sec]\n\n {:>14} usecs/op\n {b:14} ops/sec\n",
                    milli(b),
                    micro(c)
                )
            );
        }
    }

    #[test]
    fn what_somebody_else_chose_is_escaped(
        bytes in proptest::collection::vec(
            prop_oneof![1_u8..=255, 1_u8..0x20, proptest::sample::select(&b"\\\x7fx0"[..])],
            0..300,
        )
    ) {
        let mut shown = b"\nTarget process: about to make directory \"".to_vec();
        for &byte in &bytes {
            match byte {
                b'\\' => shown.extend(b"\\\\"),
                0x20..=0x7e | 0x80.. => shown.push(byte),
                _ => shown.extend(format!("\\x{byte:02x}").bytes()),
            }
        }
        shown.extend(b"\"\n");
        let string = CString::new(bytes).unwrap();
        prop_assert_eq!(composed(Process::TARGET, text::TARGET_ANNOUNCES, Some(&string), [0; 4]), shown);
    }

    #[test]
    fn two_paths_are_never_shown_alike(
        (a, b) in (
            proptest::collection::vec(proptest::sample::select(&b"\\x01\x01"[..]), 0..6),
            proptest::collection::vec(proptest::sample::select(&b"\\x01\x01"[..]), 0..6),
        )
    ) {
        let shown = |bytes: &[u8]| said(text::TARGET_ANNOUNCES, Some(&CString::new(bytes).unwrap()), [0; 4]);
        prop_assert_eq!(shown(&a) == shown(&b), a == b);
    }
}
