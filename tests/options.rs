//! The command line: by getopt's grammar, with the C library's own getopt as the witness; what is wrong
//! with it is told in one line that names the argument, and nothing is started.

mod common;
mod line;
#[allow(dead_code)]
mod model;

use std::ffi::{CString, OsStr, OsString};
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;

use common::sweep;
use common::transcript::{EPERM, Fate, Script};
use common::{Beneath, Ended, Stream, program};
use model::{Verdict, model};
use proptest::prelude::*;
use seccomp_notify_min::filter::Action;
use seccomp_notify_min::fmt::{Arg, Message};
use seccomp_notify_min::messages;
use seccomp_notify_min::options::{self, Options, UsageError};
use seccomp_notify_min::report::Process;
use seccomp_notify_min::sys::CStrRef;

// ---- Black box

/// The usage text.
fn usage() -> String {
    let outcome = program(["-h"]).finish();
    assert_eq!((outcome.ended, outcome.err()), (Ended::Status(0), String::new()));
    let usage = outcome.out();
    assert!(usage.starts_with("usage: seccomp-notify-min [options] DIR...\n\n"), "{usage}");
    for option in ["-d", "-f", "-K", "-w", "-c", "-b", "-p", "-h", "--help", "-V", "--version"] {
        assert!(usage.contains(&format!(" {option}")), "{option}: {usage}");
    }
    for said in ["seccomp user notification", "only below /tmp", "/bye", "Exit status: 0 ", " 77 "]
    {
        assert!(usage.contains(said), "{said}: {usage}");
    }
    assert!(usage.lines().all(|line| line.len() < 80), "it fits a terminal: {usage}");
    usage
}

/// Runs a command line that is wrong and returns the line that says so.
fn complaint<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    // The end of any process that makes another, so that nothing can be started unseen.
    let nothing_started = common::sandbox(&[
        (libc::SYS_clone, libc::SECCOMP_RET_KILL_PROCESS),
        (libc::SYS_clone3, libc::SECCOMP_RET_KILL_PROCESS),
        (libc::SYS_socketpair, libc::SECCOMP_RET_KILL_PROCESS),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_fork, libc::SECCOMP_RET_KILL_PROCESS),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_vfork, libc::SECCOMP_RET_KILL_PROCESS),
    ]);
    let run = program(arguments).before(nothing_started).finish();
    assert_eq!(run.ended, Ended::Status(1), "{run:#?}");
    assert_eq!(run.out(), "", "{run:#?}");
    assert_eq!(run.packets.len(), 1, "one write: {run:#?}");
    let err = String::from_utf8(run.of(Stream::Err)).expect("text");
    let (line, hint) = err.split_once('\n').expect("a line");
    assert_eq!(hint, "Try 'seccomp-notify-min --help' for more information.\n");
    let said = line.strip_prefix("seccomp-notify-min: ").expect("the line names the program");
    said.to_owned()
}

#[test]
fn the_test_that_nothing_is_started_would_see_it() {
    let kill_fork = common::sandbox(&[
        (libc::SYS_clone, libc::SECCOMP_RET_KILL_PROCESS),
        (libc::SYS_socketpair, libc::SECCOMP_RET_KILL_PROCESS),
    ]);
    let run = program(["/etc/c"]).before(kill_fork).finish();
    assert_eq!(run.ended, Ended::Signal(libc::SIGSYS));
}

/// Checks that each command line is wrong, and what is said of it.
fn is_told<S: AsRef<OsStr>>(said: &str, arguments: &[S]) {
    assert_eq!(
        complaint(arguments),
        said,
        "{:?}",
        arguments.iter().map(AsRef::as_ref).collect::<Vec<_>>()
    );
}

/// As the program shows what comes from outside.
fn shown(argument: &str) -> String {
    String::from_utf8(common::transcript::shown(argument.as_bytes())).unwrap()
}

#[test]
fn no_directory_at_all_is_a_usage_error() {
    for arguments in [&[][..], &["-K"], &["--"], &["-d", "3"], &["-K", "-f", "e", "--"]] {
        is_told("missing operand", arguments);
    }
}

#[test]
fn a_probe_takes_no_directory() {
    for arguments in [&["-p", "/etc/c"][..], &["/etc/c", "-p"], &["-p", "--", "/etc/c", "-K"]] {
        is_told("extra operand '/etc/c'", arguments);
    }
    is_told("extra operand ''", &["-p", ""]);
    is_told("extra operand '\\x0a'", &["-p", "\n"]);
}

#[test]
fn a_probe_takes_no_other_option_and_the_first_one_is_named() {
    for (arguments, letter) in [
        (&["-p", "-K"][..], 'K'),
        (&["-Kp"], 'K'),
        (&["-pw"], 'w'),
        (&["-c", "-p"], 'c'),
        (&["-p", "-d", "1"], 'd'),
        (&["-pd0"], 'd'),
        (&["-p", "-fe"], 'f'),
        (&["-p", "-b", "3"], 'b'),
        (&["-wK", "-p", "/etc/c"], 'w'),
    ] {
        is_told(&format!("option not allowed with -p -- '{letter}'"), arguments);
    }
    // What is wrong in itself comes before.
    is_told("invalid option -- 'x'", &["-pK", "-x"]);
    is_told("option requires an argument -- 'd'", &["-p", "-d"]);
}

#[test]
fn an_unknown_letter_is_named() {
    for (option, letter) in [("-x", "x"), ("-Kx", "x"), ("-xd2", "x"), ("-K-", "-"), ("-k", "k")]
        .into_iter()
        .chain([("-:", ":"), ("-?", "?"), ("-W", "W"), ("-\\", "\\\\"), ("-\u{1}", "\\x01")])
        .chain([("-K\u{1}", "\\x01"), ("-\n", "\\x0a"), ("-\u{7f}", "\\x7f"), ("-\u{e9}", "\\xc3")])
    {
        let said = format!("invalid option -- '{letter}'");
        is_told(&said, &[option, "/etc/c"]);
        is_told(&said, &["/etc/c", option]);
    }
}

#[test]
fn an_unknown_long_option_is_named() {
    for option in ["--halp", "--helpme", "--help=1", "--d", "---", "--\u{1b}[2J"] {
        let said = format!("unrecognized option '{}'", shown(option));
        is_told(&said, &[option, "/etc/c"]);
        is_told(&said, &["/etc/c", option]);
    }
}

#[test]
fn an_option_without_its_value_is_named() {
    for (option, letter) in [("-d", 'd'), ("-Kf", 'f'), ("-b", 'b'), ("-wKcd", 'd')] {
        is_told(&format!("option requires an argument -- '{letter}'"), &["/etc/c", option]);
    }
}

#[test]
fn a_wrong_value_is_named_with_those_that_are_right() {
    let delays = ["", "-1", "+1", " 1", "1 ", "1s", "0x1", "1.5", "1\n", "4294967296", "--"]
        .into_iter()
        .chain(["99999999999999999999999", "18446744073709551617", "\u{661}"])
        .map(|value| {
            let said = format!("invalid number of seconds: '{}' (0 to 4294967295)", shown(value));
            ("-d", value, said)
        });
    let counts = ["", "0", "00", "-1", "4294967296", "ten"]
        .map(|value| ("-b", value, format!("invalid count: '{}' (1 to 4294967295)", shown(value))));
    let seconds = ["", "E", "ee", "et", "x", "errno", "e "]
        .map(|value| ("-f", value, format!("invalid argument '{value}' for -f (e or t)")));
    for (option, value, said) in delays.chain(counts).chain(seconds) {
        is_told(&said, &[option, value, "/etc/c"]);
        // Attached.
        if !value.is_empty() {
            is_told(&said, &[[option, value].concat().as_str(), "/etc/c"]);
        }
    }
}

#[test]
fn the_first_of_several_errors_is_told() {
    is_told("invalid argument 'x' for -f (e or t)", &["-f", "x", "-y", "-d"]);
    is_told("invalid option -- 'y'", &["-y", "-f", "x", "-d"]);
    is_told("invalid option -- 'x'", &["-x", "-h"]);
}

#[test]
fn help_and_version_are_printed_on_the_standard_output() {
    let version = format!("seccomp-notify-min {}\n", env!("CARGO_PKG_VERSION"));
    let (version, usage) = (&version[..], &usage()[..]);
    for (arguments, text) in [
        (&["-h"][..], usage),
        (&["--help"], usage),
        (&["-Kh", "/etc/c"], usage),
        (&["/etc/c", "--help"], usage),
        (&["-h", "-x"], usage),
        (&["-hV"], usage),
        (&["-ph"], usage),
        (&["-p", "-K", "/etc/c", "--version"], version),
        (&["--he"], usage),
        (&["--v", "--h"], version),
        (&["-V"], version),
        (&["--version"], version),
        (&["-d", "1", "-V", "--help"], version),
    ] {
        let run = program(arguments).finish();
        assert_eq!(run.ended, Ended::Status(0), "{arguments:?}");
        assert_eq!(run.out(), text, "{arguments:?}");
        assert_eq!(run.err(), "", "{arguments:?}");
        assert_eq!(run.packets.len(), 1, "one write: {run:#?}");
    }
}

#[test]
fn help_that_cannot_be_printed_is_a_failure() {
    for argument in ["-h", "-V"] {
        let run = program([argument]).streams(|command| {
            let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
            command.stdout(full).stderr(std::process::Stdio::null());
        });
        assert_eq!(run.finish().ended, Ended::Status(1), "{argument}");
    }
}

#[test]
fn options_may_be_clustered_attached_and_anywhere() {
    // Each of these says: keep, one second, trace, one directory.
    let script = Script::new().keep().delay(1).directory("/etc/c", EPERM);
    std::thread::scope(|scope| {
        for arguments in [
            &["-K", "-d", "1", "-f", "t", "/etc/c"][..],
            &["/etc/c", "-K", "-d", "1", "-f", "t"],
            &["-K", "/etc/c", "-d1", "-ft"],
            &["-Kd1", "-ft", "/etc/c"],
            &["-Kd", "1", "/etc/c", "-f", "t"],
            &["-KKd01", "-fe", "-ft", "--", "/etc/c"],
            &["-d", "7", "-Kd1", "-ft", "/etc/c", "--"],
        ] {
            let script = &script;
            scope.spawn(move || script.check(&program(arguments).finish()));
        }
    });
}

#[test]
fn behind_two_dashes_everything_is_a_directory() {
    let script = Script::new()
        .directory("-K", EPERM)
        .directory("--", EPERM)
        .directory("-x", EPERM)
        .directory("--help", EPERM);
    script.verify(&["--", "-K", "--", "-x", "--help"], || {});
}

#[test]
fn a_lone_dash_and_an_empty_argument_are_directories() {
    let beneath = Beneath::new();
    let path = beneath.join("x");
    let script = Script::new()
        .directory("-", EPERM)
        .directory("", EPERM)
        .directory(&path, Fate::Created)
        .directory("-", EPERM);
    let arguments = [OsString::from("-"), "".into(), path.clone(), "-".into()];
    script.verify(&arguments, || std::fs::remove_dir(&path).unwrap());
}

// ---- Against the C library

/// One step of a scan.
#[derive(Debug, PartialEq)]
enum Step {
    Flag(u8),
    Value(u8, Vec<u8>),
    Unknown(u8),
    /// The whole argument.
    UnknownLong(Vec<u8>),
    Valueless(u8),
}

/// The options with a value.
const VALUED: &[u8] = b"bdf";

mod c {
    //! The C library's getopt, as `getopt(3)` declares it.
    use std::ffi::{c_char, c_int};

    #[repr(C)]
    pub struct LongOption {
        pub name: *const c_char,
        pub has_arg: c_int,
        pub flag: *mut c_int,
        pub val: c_int,
    }

    unsafe extern "C" {
        pub static mut optind: c_int;
        pub static mut opterr: c_int;
        pub static mut optopt: c_int;
        pub static mut optarg: *mut c_char;
        pub fn getopt_long(
            argc: c_int,
            argv: *const *mut c_char,
            short: *const c_char,
            long: *const LongOption,
            index: *mut c_int,
        ) -> c_int;
    }
}

/// What getopt_long(3) makes of a command line: its options up to the first error, and if there is
/// none, its operands.
fn witness(arguments: &[CString]) -> (Vec<Step>, Option<Vec<Vec<u8>>>) {
    use std::ffi::CStr;
    use std::ptr::{null, null_mut};
    use std::sync::Mutex;
    // getopt(3) has but one state in a process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());

    let long = |name: &'static CStr, val: u8| c::LongOption {
        name: name.as_ptr(),
        has_arg: 0,
        flag: null_mut(),
        val: val.into(),
    };
    let end = c::LongOption { name: null(), has_arg: 0, flag: null_mut(), val: 0 };
    let longs = [long(c"help", b'h'), long(c"version", b'V'), end];
    let mut argv: Vec<_> = arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
    let argc = argv.len() as i32;
    argv.push(null_mut());

    let mut steps = Vec::new();
    // SAFETY: argv holds argc strings and a null pointer; getopt exchanges the pointers and does not
    // write to the strings; nobody else uses its state.
    unsafe {
        c::optind = 0; // GNU: begin anew
        c::opterr = 0;
        loop {
            c::optopt = 0;
            let short = c":d:Kf:b:whcVp";
            let found =
                c::getopt_long(argc, argv.as_ptr(), short.as_ptr(), longs.as_ptr(), null_mut());
            let bytes = |pointer| CStr::from_ptr(pointer).to_bytes().to_vec();
            match u8::try_from(found) {
                Err(_) => break,
                Ok(b'?') => {
                    steps.push(match c::optopt as u8 {
                        // A long option that is unknown, or has a value though it takes none.
                        0 | b'h' | b'V' => Step::UnknownLong(bytes(argv[c::optind as usize - 1])),
                        letter => Step::Unknown(letter),
                    });
                    return (steps, None);
                }
                Ok(b':') => {
                    steps.push(Step::Valueless(c::optopt as u8));
                    return (steps, None);
                }
                Ok(letter) if VALUED.contains(&letter) => {
                    steps.push(Step::Value(letter, bytes(c::optarg)));
                }
                Ok(letter) => steps.push(Step::Flag(letter)),
            }
        }
        let operands = argv[c::optind as usize..argc as usize].iter();
        (
            steps,
            Some(operands.map(|&operand| CStr::from_ptr(operand).to_bytes().to_vec()).collect()),
        )
    }
}

/// What the program does with a command line, and what it says of a wrong one.
#[derive(Debug, PartialEq)]
enum Outcome {
    Run(Vec<Vec<u8>>),
    Probe,
    Help,
    Version,
    Wrong(String),
}

/// The same by the program: the options, up to the first error, and the outcome.
fn program_reads(arguments: &[CString]) -> (Options, Outcome) {
    let mut strings: Vec<CStrRef> =
        arguments.iter().map(|argument| CStrRef::new(argument.as_c_str())).collect();
    let mut options = Options::default();
    let outcome = match options::parse(&mut strings, &mut options) {
        Ok(options::Command::Run(directories)) => {
            Outcome::Run(directories.iter().map(|directory| directory.collect()).collect())
        }
        Ok(options::Command::Probe) => Outcome::Probe,
        Ok(options::Command::Help) => Outcome::Help,
        Ok(options::Command::Version) => Outcome::Version,
        Err(UsageError { text, about }) => {
            let error = Message { template: text, args: about.as_slice() };
            let args = [Arg::Message(&error)];
            let line = line::composed(Process::Parent, messages::USAGE_ERROR, &args);
            // A part of a character may stand in it.
            Outcome::Wrong(String::from_utf8_lossy(&line).into_owned())
        }
    };
    (options, outcome)
}

/// What the steps mean, by the rules of the specification: the options up to the first error, and the outcome.
fn meaning(steps: &[Step], operands: Option<Vec<Vec<u8>>>) -> (Options, Outcome) {
    let mut options = Options::default();
    for step in steps {
        if let Err(outcome) = add(&mut options, step) {
            return (options, outcome);
        }
    }
    let is_probe = |step: &&Step| matches!(step, Step::Flag(b'p'));
    let other = steps.iter().find(|step| !is_probe(step));
    let outcome = match operands.expect("no step is wrong") {
        operands if steps.iter().any(|step| is_probe(&step)) => match (other, operands.first()) {
            (Some(Step::Flag(letter) | Step::Value(letter, _)), _) => {
                wrong(&format!("option not allowed with -p -- '{}'", char::from(*letter)))
            }
            (_, Some(operand)) => {
                let shown = common::transcript::shown(operand);
                wrong(&format!("extra operand '{}'", String::from_utf8_lossy(&shown)))
            }
            _ => Outcome::Probe,
        },
        operands if operands.is_empty() => wrong("missing operand"),
        operands => Outcome::Run(operands),
    };
    (options, outcome)
}

/// What is said of a wrong command line.
fn wrong(said: &str) -> Outcome {
    Outcome::Wrong(format!(
        "seccomp-notify-min: {said}\nTry 'seccomp-notify-min --help' for more information.\n"
    ))
}

/// Adds what one step means.
fn add(options: &mut Options, step: &Step) -> Result<(), Outcome> {
    let number = |value: &[u8]| -> Option<u32> {
        let value = std::str::from_utf8(value).ok()?;
        // Rust's own takes a plus sign.
        if value.starts_with('+') { None } else { value.parse().ok() }
    };
    let shown =
        |value: &[u8]| String::from_utf8_lossy(&common::transcript::shown(value)).into_owned();
    match step {
        Step::Flag(b'K') => options.keep = true,
        Step::Flag(b'c') => options.let_through = true,
        Step::Flag(b'p') => {}
        Step::Flag(b'w') => options.killable = true,
        Step::Flag(b'h') => return Err(Outcome::Help),
        Step::Flag(_) => return Err(Outcome::Version),
        Step::Value(b'd', value) => {
            let told = || {
                wrong(&format!("invalid number of seconds: '{}' (0 to 4294967295)", shown(value)))
            };
            options.delay = number(value).ok_or_else(told)?;
        }
        Step::Value(b'b', value) => {
            let told = || wrong(&format!("invalid count: '{}' (1 to 4294967295)", shown(value)));
            options.count = Some(number(value).and_then(NonZero::new).ok_or_else(told)?);
        }
        Step::Value(_, value) => {
            options.second = Some(match &value[..] {
                b"e" => Action::Errno,
                b"t" => Action::Trace,
                _ => {
                    return Err(wrong(&format!(
                        "invalid argument '{}' for -f (e or t)",
                        shown(value)
                    )));
                }
            });
        }
        Step::Unknown(letter) => {
            return Err(wrong(&format!("invalid option -- '{}'", shown_byte(*letter))));
        }
        Step::UnknownLong(option) => {
            return Err(wrong(&format!("unrecognized option '{}'", shown(option))));
        }
        Step::Valueless(letter) => {
            return Err(wrong(&format!(
                "option requires an argument -- '{}'",
                shown_byte(*letter)
            )));
        }
    }
    Ok(())
}

/// As the program shows a single byte.
fn shown_byte(byte: u8) -> String {
    match byte {
        b'\\' => "\\\\".into(),
        b' '..=b'~' => char::from(byte).into(),
        _ => format!("\\x{byte:02x}"),
    }
}

/// Arguments that have something to do with the grammar, and some that have not.
fn argument() -> impl Strategy<Value = CString> {
    let byte = prop_oneof![
        8 => proptest::sample::select(&b"dKfwcbphVet019-"[..]),
        1 => 1_u8..=255,
    ];
    let after_dashes = proptest::collection::vec(byte.clone(), 0..5);
    prop_oneof![
        2 => Just(c"--".to_owned()),
        1 => Just(c"-".to_owned()),
        1 => Just(c"".to_owned()),
        1 => Just(c"--help".to_owned()),
        1 => Just(c"--version".to_owned()),
        1 => "--(h|he|hel|help|v|ve|version|versions|help=|x)".prop_map(|long| CString::new(long).unwrap()),
        4 => Just(c"/tmp/x".to_owned()),
        2 => Just(c"e".to_owned()),
        2 => "[0-9]{1,11}".prop_map(|digits| CString::new(digits).unwrap()),
        12 => after_dashes.prop_map(|bytes| CString::new([b"-", &bytes[..]].concat()).unwrap()),
        3 => proptest::collection::vec(byte, 0..5).prop_map(|bytes| CString::new(bytes).unwrap()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: sweep::count(5_000) as u32, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_program_agrees_with_the_c_librarys_getopt(
        arguments in proptest::collection::vec(argument(), 0..7)
    ) {
        let arguments = [vec![c"name".to_owned()], arguments].concat();
        let (steps, operands) = witness(&arguments);
        // Up to the first error as well.
        prop_assert_eq!(program_reads(&arguments), meaning(&steps, operands));
    }

    #[test]
    fn the_program_agrees_with_the_plain_model(
        arguments in proptest::collection::vec(argument(), 0..7)
    ) {
        let plain: Vec<Vec<u8>> =
            arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect();
        let named = [vec![c"name".to_owned()], arguments].concat();
        match (program_reads(&named), model(&plain)) {
            ((options, Outcome::Run(directories)), Verdict::Run(plan)) => {
                let second = plan.second.map(|value| if value == 'e' { Action::Errno } else { Action::Trace });
                prop_assert_eq!(options, Options {
                    delay: plan.delay,
                    second,
                    keep: plan.keep,
                    killable: plan.killable,
                    let_through: plan.let_through,
                    count: NonZero::new(plan.count),
                });
                prop_assert_eq!(directories, plan.directories);
            }
            ((_, Outcome::Probe), Verdict::Probe) => {}
            ((_, Outcome::Help), Verdict::Help) | ((_, Outcome::Version), Verdict::Version) => {}
            ((_, Outcome::Wrong(said)), Verdict::Wrong(wanted)) => {
                prop_assert_eq!(said, String::from_utf8_lossy(&wanted).into_owned());
            }
            (found, wanted) => prop_assert!(false, "{:?} instead of {:?}", found, wanted),
        }
    }

    #[test]
    fn numbers_are_decimal_and_whole_and_fit(value in prop_oneof![
        "[0-9]{0,12}", "0{0,20}[0-9]{1,10}", "[-+ 0-9a-fx.]{0,4}", "429496729[0-9]", "\\PC{0,4}"
    ]) {
        let expected = if value.bytes().all(|byte| byte.is_ascii_digit()) {
            value.parse::<u32>().ok()
        } else {
            None
        };
        let arguments = [
            c"name".to_owned(),
            c"-d".to_owned(),
            CString::new(value).unwrap(),
            c"/x".to_owned(),
        ];
        let (options, outcome) = program_reads(&arguments);
        let delay = matches!(outcome, Outcome::Run(_)).then_some(options.delay);
        prop_assert_eq!(delay, expected);
    }
}

#[test]
fn an_empty_argument_vector_has_no_directory() {
    assert_eq!(program_reads(&[]), (Options::default(), wrong("missing operand")));
}

#[test]
fn arguments_are_shown_escaped_whatever_their_bytes() {
    for argument in [&b"--\x1b[2J"[..], b"--x\n\x7f\xff"] {
        let line = {
            let run = program([OsStr::from_bytes(argument), OsStr::new("/etc/c")]).finish();
            assert_eq!(run.ended, Ended::Status(1));
            run.of(Stream::Err)
        };
        let shown = common::transcript::shown(argument);
        assert!(line.windows(shown.len()).any(|window| window == shown), "{}", line.escape_ascii());
        let control = |&byte: &u8| byte < b' ' && byte != b'\n' || byte == 0x7f;
        assert!(!line.iter().any(control), "{}", line.escape_ascii());
    }
}
