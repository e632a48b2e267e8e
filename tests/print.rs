//! Messages: numbers, escapes and errors against plain models, lengths, and templates with every kind of
//! argument. `tests/transcript.rs` tests in which writes a message goes out.

use std::ffi::CString;

use proptest::prelude::*;
use seccomp_notify_min::fmt::{Arg, Message};
use seccomp_notify_min::messages::{self, Text};
use seccomp_notify_min::names;
use seccomp_notify_min::report::Process;
use seccomp_notify_min::sys::{CStrRef, Errno};

mod line;
use line::{composed, composed_in};

/// The target's message, as text.
fn said(template: Text, args: &[Arg]) -> String {
    String::from_utf8(composed(Process::Target, template, args)).expect("text")
}

/// The same of the tracer.
fn tracer_said(template: Text, args: &[Arg]) -> String {
    String::from_utf8(composed(Process::Tracer, template, args)).expect("text")
}

const NOTHING: Message = Message::EMPTY;

/// Calls `check` with messages that have every kind of argument: the process, the template, the arguments,
/// and what must come of them. `tests/transcript.rs` tests each line of the transcript.
fn for_each_example(mut check: impl FnMut(Process, Text, &[Arg], &str)) {
    use messages as m;
    let (parent, target, tracer) = (Process::Parent, Process::Target, Process::Tracer);
    let string = CStrRef::new;
    let errno = |number| Arg::Errno(Errno::new(number));
    let call = |number| Arg::Text(names::call(number));

    let success = [Arg::Dec(6)];
    let success = Message { template: m::TARGET_SUCCEEDED, args: &success };
    let refused = [errno(13)];
    let refused = Message { template: m::TARGET_FAILED, args: &refused };
    let unknown = [errno(999)];
    let unknown = Message { template: m::TARGET_FAILED, args: &unknown };
    check(
        target,
        m::TARGET_ANNOUNCES,
        &[Arg::Message(&NOTHING), Arg::Quoted(string(c"/tmp/x"))],
        "\nTarget process: about to make directory \"/tmp/x\"\n",
    );
    check(
        target,
        m::TARGET_ENDS,
        &[Arg::Message(&success)],
        "Target process: SUCCESS: mkdir(2) returned = 6\nTarget process: terminating\n",
    );
    check(
        target,
        m::TARGET_ANNOUNCES,
        &[Arg::Message(&success), Arg::Quoted(string(c"/bye"))],
        "Target process: SUCCESS: mkdir(2) returned = 6\n\nTarget process: about to make directory \"/bye\"\n",
    );
    check(
        target,
        m::TARGET_ANNOUNCES,
        &[Arg::Message(&refused), Arg::Quoted(string(c"/bye"))],
        "Target process: mkdir: Permission denied\n\nTarget process: about to make directory \"/bye\"\n",
    );
    check(
        target,
        m::TARGET_ENDS,
        &[Arg::Message(&unknown)],
        "Target process: mkdir: errno 999\nTarget process: terminating\n",
    );
    check(
        tracer,
        m::TRACER_GOT,
        &[Arg::Dec(4711), Arg::Hex(0x1234_5678_9abc_def0), Arg::Message(&NOTHING)],
        "Tracer: got notification for PID 4711; ID is 123456789abcdef0\n",
    );
    let mkdir = [Arg::Quoted(string(c"/tmp/x")), Arg::Oct(0o1777)];
    let mkdir = Message { template: m::TRACER_MKDIR, args: &mkdir };
    check(
        tracer,
        m::TRACER_GOT,
        &[Arg::Dec(4711), Arg::Hex(0xab), Arg::Message(&mkdir)],
        "Tracer: got notification for PID 4711; ID is ab\nTracer: mkdir(\"/tmp/x\", 1777)\n",
    );
    check(tracer, m::TRACER_ENDS, &[], "Tracer: terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n");
    check(
        target,
        m::MEASURED,
        &[
            Arg::Dec(10000),
            Arg::Fixed { value: 1007, decimals: 3, width: 0 },
            Arg::Fixed { value: 23_000_045, decimals: 6, width: 14 },
            Arg::Fixed { value: 678, decimals: 0, width: 14 },
        ],
        "# Executed 10000 system calls\n\n     Total time: 1.007 [sec]\n\n      23.000045 usecs/op\n            678 ops/sec\n",
    );
    check(
        target,
        m::TARGET_FAILED,
        &[errno(2)],
        "Target process: mkdir: No such file or directory\n",
    );
    check(
        tracer,
        m::TRACER_WITHDRAWN,
        &[Arg::Text(m::POST_DELAY)],
        "Tracer: notification ID check (post-delay): target has died!!!!!!!!!!!\n",
    );
    check(
        tracer,
        m::FAILED,
        &[call(linux_raw_sys::general::__NR_ioctl), errno(9), Arg::Text(m::EMPTY)],
        "Tracer: ioctl: Bad file descriptor\n",
    );
    check(
        parent,
        m::FAILED,
        &[call(linux_raw_sys::general::__NR_rt_sigprocmask), errno(4095), Arg::Text(m::HINT_PROC)],
        "Parent: rt_sigprocmask: errno 4095\nneeds /proc\n",
    );
    check(
        parent,
        m::CHILD_KILLED,
        &[Arg::Text(m::THE_TRACER), Arg::Dec(9), Arg::Text(m::EMPTY)],
        "Parent: tracer was killed by signal 9\n",
    );
    let letter = [Arg::Byte(b'x')];
    let letter = Message { template: m::INVALID_OPTION, args: &letter };
    check(
        parent,
        m::USAGE_ERROR,
        &[Arg::Message(&letter)],
        "seccomp-notify-min: invalid option -- 'x'\nTry 'seccomp-notify-min --help' for more information.\n",
    );
}

#[test]
fn each_argument_is_shown_as_its_type_says() {
    let mut examples = 0;
    for_each_example(|process, template, args, line| {
        assert_eq!(String::from_utf8(composed(process, template, args)).unwrap(), line);
        examples += 1;
    });
    assert!(examples > 10);
}

#[test]
fn what_finds_no_room_is_left_out_and_counted() {
    for_each_example(|process, template, args, line| {
        for size in 0..=line.len() + 2 {
            let (bytes, length) = composed_in(size, process, template, args);
            assert_eq!(length, line.len(), "{line:?} in {size}");
            let filled = size.min(length);
            assert_eq!(&bytes[..filled], &line.as_bytes()[..filled]);
        }
    });
}

#[test]
fn a_missing_argument_is_no_crash() {
    for_each_example(|process, template, _, _| {
        assert!(!composed(process, template, &[]).is_empty());
    });
}

#[test]
fn a_single_byte_is_escaped_unless_it_is_printable_ascii() {
    for byte in 0..=u8::MAX {
        let shown = match byte {
            b'\\' => "\\\\".to_owned(),
            b' '..=b'~' => char::from(byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        };
        assert_eq!(
            said(messages::INVALID_OPTION, &[Arg::Byte(byte)]),
            format!("invalid option -- '{shown}'")
        );
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
            tracer_said(messages::TRACER_GOT, &[Arg::Dec(a), Arg::Hex(b), Arg::Message(&NOTHING)]),
            format!("Tracer: got notification for PID {a}; ID is {b:x}\n")
        );
        prop_assert_eq!(
            tracer_said(messages::TRACER_MKDIR, &[Arg::Quoted(CStrRef::new(c"/")), Arg::Oct(a)]),
            format!("Tracer: mkdir(\"/\", {a:o})\n")
        );
        // A point in a whole number.
        let milli = |number: u64| format!("{}.{:03}", number / 1000, number % 1000);
        let micro = |number: u64| format!("{}.{:06}", number / 1_000_000, number % 1_000_000);
        for [a, b, c] in [[a, b, c], [b, c, a], [c, a, b]] {
            let args = [
                Arg::Dec(a),
                Arg::Fixed { value: b, decimals: 3, width: 0 },
                Arg::Fixed { value: c, decimals: 6, width: 14 },
                Arg::Fixed { value: b, decimals: 0, width: 14 },
            ];
            prop_assert_eq!(
                said(messages::MEASURED, &args),
                format!(
                    "# Executed {a} system calls\n\n     Total time: {} [sec]\n\n {:>14} usecs/op\n {b:14} ops/sec\n",
                    milli(b),
                    micro(c)
                )
            );
        }
    }

    #[test]
    fn a_string_from_outside_is_escaped(
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
        let args = [Arg::Message(&NOTHING), Arg::Quoted(CStrRef::new(&string))];
        prop_assert_eq!(composed(Process::Target, messages::TARGET_ANNOUNCES, &args), shown);
    }

    #[test]
    fn two_paths_are_never_shown_alike(
        (a, b) in (
            proptest::collection::vec(proptest::sample::select(&b"\\x01\x01"[..]), 0..6),
            proptest::collection::vec(proptest::sample::select(&b"\\x01\x01"[..]), 0..6),
        )
    ) {
        let shown = |bytes: &[u8]| {
            let string = CString::new(bytes).unwrap();
            said(messages::UNKNOWN_OPTION, &[Arg::Quoted(CStrRef::new(&string))])
        };
        prop_assert_eq!(shown(&a) == shown(&b), a == b);
    }
}
