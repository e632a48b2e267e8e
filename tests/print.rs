//! The printer: numbers, escapes and errors against plain models, lengths, and each fixed text as the
//! specification writes it. In which writes a line goes out is `tests/transcript.rs`'s business.

use std::ffi::{CStr, CString};

use proptest::prelude::*;
use seccomp_notify_min::print::compose;
use seccomp_notify_min::sys::ZStr;
use seccomp_notify_min::text::{self, Text};

/// The whole line.
fn line(text: Text, string: Option<&CStr>, numbers: &[u64]) -> Vec<u8> {
    let mut room = vec![0; 1 << 12];
    let length = compose(&mut room, text, string.map(ZStr::from), numbers);
    room.truncate(length);
    assert_eq!(room.len(), length, "the room was large enough");
    room
}

fn text_line(text: Text, string: Option<&CStr>, numbers: &[u64]) -> String {
    String::from_utf8(line(text, string, numbers)).expect("text")
}

/// Texts with every directive, and what they must become: text, string, numbers, line. That each line of
/// the transcript is as specified is `tests/transcript.rs`'s business.
fn golden() -> Vec<(Text, Option<&'static CStr>, Vec<u64>, &'static str)> {
    let announces = u64::from(text::TARGET_ANNOUNCES.0);
    let ends = u64::from(text::TARGET_ENDS.0);
    let failed = |who: Text, call: Text, errno| vec![who.0.into(), call.0.into(), errno];
    vec![
        // Standard output.
        (
            text::TARGET_ANNOUNCES,
            Some(c"/tmp/x"),
            vec![],
            "\nTarget process: about to make directory \"/tmp/x\"\n",
        ),
        (
            text::TARGET_SUCCESS,
            None,
            vec![6, ends],
            "Target process: SUCCESS: mkdir(2) returned = 6\nTarget process: terminating\n",
        ),
        (
            text::TARGET_SUCCESS,
            Some(c"/bye"),
            vec![6, announces],
            "Target process: SUCCESS: mkdir(2) returned = 6\n\nTarget process: about to make directory \"/bye\"\n",
        ),
        (
            text::TRACER_GOT,
            None,
            vec![4711, 0x1234_5678_9abc_def0],
            "Tracer: got notification for PID 4711; ID is 123456789abcdef0\n",
        ),
        (
            text::TRACER_GOT,
            Some(c"/tmp/x"),
            vec![4711, 0xab, 0o1777],
            "Tracer: got notification for PID 4711; ID is ab\nTracer: mkdir(\"/tmp/x\", 1777)\n",
        ),
        (text::TRACER_ENDS, None, vec![], "Tracer: terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n"),
        (
            text::MEASURED,
            None,
            vec![10000, 1, 7, 23, 45, 678],
            "# Executed 10000 system calls\n\n     Total time: 1.007 [sec]\n\n      23.000045 usecs/op\n            678 ops/sec\n",
        ),
        // Standard error output.
        (text::TARGET_FAILURE, None, vec![2], "Target process: mkdir: No such file or directory\n"),
        (
            text::TRACER_DIED,
            None,
            vec![text::POST_DELAY.0.into()],
            "Tracer: notification ID check (post-delay): target has died!!!!!!!!!!!\n",
        ),
        (
            text::FAILED,
            None,
            failed(text::TRACER, text::name::ioctl, 9),
            "Tracer: ioctl: Bad file descriptor\n",
        ),
        (
            text::FAILED,
            None,
            failed(text::PARENT, text::name::rt_sigprocmask, 4095),
            "Parent: rt_sigprocmask: errno 4095\n",
        ),
        (
            text::PARENT_KILLED,
            None,
            vec![text::THE_TRACER.0.into(), 9],
            "Parent: tracer was killed by signal 9\n",
        ),
    ]
}

#[test]
fn each_directive_becomes_what_it_stands_for() {
    for (text, string, numbers, expected) in golden() {
        assert_eq!(text_line(text, string, &numbers), expected);
    }
}

#[test]
fn what_belongs_on_the_standard_output_stands_behind_what_does_not() {
    let errors = golden().into_iter().position(|(text, ..)| text == text::TARGET_FAILURE).unwrap();
    for (i, (text, _, _, line)) in golden().into_iter().enumerate() {
        assert_eq!(text.0 < text::FIRST_OUTPUT.0, i >= errors, "{line:?}");
    }
}

#[test]
fn what_finds_no_room_is_left_out_and_counted() {
    for (text, string, numbers, expected) in golden() {
        for room in 0..=expected.len() + 2 {
            let mut short = vec![b'#'; room];
            let length = compose(&mut short, text, string.map(ZStr::from), &numbers);
            assert_eq!(length, expected.len(), "{expected:?} in {room}");
            let filled = room.min(length);
            assert_eq!(&short[..filled], &expected.as_bytes()[..filled]);
            assert!(short[filled..].iter().all(|&byte| byte == b'#'), "nothing is written beyond");
        }
    }
}

#[test]
fn a_missing_number_or_string_is_no_crash() {
    for (text, _, _, _) in golden() {
        assert!(!line(text, None, &[]).is_empty());
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
            text_line(text::TRACER_GOT, None, &[a, b]),
            format!("Tracer: got notification for PID {a}; ID is {b:x}\n")
        );
        prop_assert_eq!(
            text_line(text::TRACER_GOT, Some(c"/"), &[b, c, a]),
            format!("Tracer: got notification for PID {b}; ID is {c:x}\nTracer: mkdir(\"/\", {a:o})\n")
        );
        prop_assert_eq!(
            text_line(text::MEASURED, None, &[a, b, c, b, a, c]),
            format!(
                "# Executed {a} system calls\n\n     Total time: {b}.{c:03} [sec]\n\n \
                 {b:7}.{a:06} usecs/op\n {c:14} ops/sec\n"
            )
        );
        prop_assert_eq!(
            text_line(text::MEASURED, None, &[c, c, b, c, c, b]),
            format!(
                "# Executed {c} system calls\n\n     Total time: {c}.{b:03} [sec]\n\n \
                 {c:7}.{c:06} usecs/op\n {b:14} ops/sec\n"
            )
        );
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
        prop_assert_eq!(line(text::TARGET_ANNOUNCES, Some(&string), &[]), shown);
    }

    #[test]
    fn two_paths_are_never_shown_alike(
        (a, b) in (
            proptest::collection::vec(proptest::sample::select(&b"\\x01\x01"[..]), 0..6),
            proptest::collection::vec(proptest::sample::select(&b"\\x01\x01"[..]), 0..6),
        )
    ) {
        let shown = |bytes: &[u8]| line(text::TARGET_ANNOUNCES, Some(&CString::new(bytes).unwrap()), &[]);
        prop_assert_eq!(shown(&a) == shown(&b), a == b);
    }
}
