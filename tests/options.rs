//! The command line: by getopt's grammar, with the C library's own getopt as the witness; what is wrong
//! with it is told in one line that names the argument, and nothing is started.

mod common;
#[allow(dead_code)]
mod model;

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use common::transcript::{EPERM, Fate, Script};
use common::{Beneath, Ended, Stream, program};
use model::{Verdict, model};
use proptest::prelude::*;
use seccomp_notify_min::filter::Action;
use seccomp_notify_min::options::{Options, read};
use seccomp_notify_min::sys::{ZStr, ZStrs};
use seccomp_notify_min::text::{self, Text};

// ---- Black box

/// The usage text: what follows an error, and what help prints.
fn usage() -> String {
    let outcome = program(["-h"]).finish();
    assert_eq!((outcome.ended, outcome.err()), (Ended::Status(0), String::new()));
    let usage = outcome.out();
    assert!(usage.starts_with("usage: seccomp-notify-min [options] "), "{usage}");
    for option in ["-d", "-f", "-K", "-w", "-c", "-b", "-h", "--help", "-V", "--version"] {
        assert!(usage.contains(&format!(" {option}")), "{option}: {usage}");
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
    let (line, usage) = err.split_once('\n').expect("a line");
    assert_eq!(usage, self::usage());
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

/// Checks that a command line is wrong and that the line which says so names `argument`.
fn is_blamed<S: AsRef<OsStr>>(argument: &str, arguments: &[S]) {
    let shown = String::from_utf8(common::transcript::shown(argument.as_bytes())).unwrap();
    let line = complaint(arguments);
    assert!(line.contains(&format!("\"{shown}\"")), "{argument:?}: {line}");
}

#[test]
fn no_directory_at_all_is_a_usage_error() {
    for arguments in [&[][..], &["-K"], &["--"], &["-d", "3"], &["-K", "-f", "e", "--"]] {
        assert!(complaint(arguments).contains("no directory"), "{arguments:?}");
    }
}

#[test]
fn an_unknown_option_is_named_by_the_argument_it_stands_in() {
    for option in ["-x", "-Kx", "-xd2", "-K-", "--halp", "--helpme", "--help=1", "--d", "---"]
        .into_iter()
        .chain(["-:", "-?", "-k", "-\u{1}", "-K\u{1}", "-\n", "-\\", "-\u{e9}", "-W"])
    {
        is_blamed(option, &[option, "/etc/c"]);
        is_blamed(option, &["/etc/c", option]);
    }
}

#[test]
fn an_option_without_its_value_is_named_by_the_argument_it_stands_in() {
    for option in ["-d", "-Kf", "-b", "-wKcd"] {
        is_blamed(option, &["/etc/c", option]);
    }
}

#[test]
fn a_wrong_value_is_named() {
    let delays = ["", "-1", "+1", " 1", "1 ", "1s", "0x1", "1.5", "1\n", "4294967296", "--"]
        .into_iter()
        .chain(["99999999999999999999999", "18446744073709551617", "\u{661}"]);
    let counts = ["", "0", "00", "-1", "4294967296", "ten"].into_iter();
    let seconds = ["", "E", "ee", "et", "x", "errno", "e "].into_iter();
    let options = delays.map(|delay| ("-d", delay)).chain(counts.map(|count| ("-b", count)));
    for (option, value) in options.chain(seconds.map(|second| ("-f", second))) {
        is_blamed(value, &[option, value, "/etc/c"]);
        // Attached.
        if !value.is_empty() {
            is_blamed(value, &[&[option, value].concat(), "/etc/c"]);
        }
    }
}

#[test]
fn the_first_of_several_errors_is_told() {
    is_blamed("x", &["-f", "x", "-y", "-d"]);
    is_blamed("-y", &["-y", "-f", "x", "-d"]);
    is_blamed("-x", &["-x", "-h"]);
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
            let short = c":d:Kf:b:whcV";
            let found =
                c::getopt_long(argc, argv.as_ptr(), short.as_ptr(), longs.as_ptr(), null_mut());
            let bytes = |pointer| CStr::from_ptr(pointer).to_bytes().to_vec();
            match u8::try_from(found) {
                Err(_) => break,
                Ok(b'?') => {
                    // A long option is unknown, or has a value that it does not take: for the
                    // program, an unknown option '-'.
                    let letter = match c::optopt as u8 {
                        0 | b'h' | b'V' => b'-',
                        letter => letter,
                    };
                    steps.push(Step::Unknown(letter));
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

/// The directories, or the text that stops the program and the argument that is blamed.
type Outcome = Result<Vec<Vec<u8>>, (Text, Option<Vec<u8>>)>;

/// The same by the program: what it has read, up to the first error, and the directories, or what stops it
/// and the argument that is blamed.
fn program_reads(arguments: &[CString]) -> (Wish, Outcome) {
    let mut places = as_places(arguments);
    let mut arguments = ZStrs::new(&mut places).expect("there is an end");
    let mut options = Options::default();
    let outcome = match read(&mut arguments, &mut options) {
        Ok(()) => Ok(bytes(arguments)),
        Err((text, blamed)) => Err((text, blamed.map(Iterator::collect))),
    };
    (Wish::from(options), outcome)
}

/// What a command line asks for.
#[derive(Debug, Default, PartialEq)]
struct Wish {
    delay: u32,
    second: Action,
    keep: bool,
    killable: bool,
    let_through: bool,
    count: u32,
}

impl From<Options> for Wish {
    fn from(options: Options) -> Self {
        Self {
            delay: options.delay,
            second: options.second,
            keep: options.keep(),
            killable: options.killable(),
            let_through: options.let_through(),
            count: options.count,
        }
    }
}

/// What the options mean, by the rules of the specification: the wish, and the text that stops the program if
/// there is one.
fn meaning(steps: &[Step], operands: Option<&[Vec<u8>]>) -> (Wish, Result<(), Text>) {
    let mut wish = Wish::default();
    let outcome = steps.iter().try_for_each(|step| add(&mut wish, step));
    let outcome = match operands {
        Some([]) => outcome.and(Err(text::NO_DIRECTORY)),
        _ => outcome,
    };
    (wish, outcome)
}

/// Adds what one step means.
fn add(wish: &mut Wish, step: &Step) -> Result<(), Text> {
    let number = |value: &[u8]| -> Option<u32> {
        let value = std::str::from_utf8(value).ok()?;
        // Rust's own takes a plus sign.
        if value.starts_with('+') { None } else { value.parse().ok() }
    };
    match step {
        Step::Flag(b'K') => wish.keep = true,
        Step::Flag(b'c') => wish.let_through = true,
        Step::Flag(b'w') => wish.killable = true,
        Step::Flag(b'h') => return Err(text::USAGE),
        Step::Flag(_) => return Err(text::VERSION),
        Step::Value(b'd', value) => wish.delay = number(value).ok_or(text::BAD_DELAY)?,
        Step::Value(b'b', value) => {
            let count = number(value).filter(|&count| count > 0);
            wish.count = count.ok_or(text::BAD_COUNT)?;
        }
        Step::Value(_, value) => {
            wish.second = match &value[..] {
                b"e" => Action::ERRNO,
                b"t" => Action::TRACE,
                _ => return Err(text::BAD_FILTER),
            };
        }
        Step::Unknown(_) => return Err(text::UNKNOWN_OPTION),
        Step::Valueless(_) => return Err(text::MISSING_VALUE),
    }
    Ok(())
}

/// Whether `blamed` is the right one for what stopped the program at the last of these steps that was taken.
fn is_rightly_blamed(
    blamed: Option<&[u8]>,
    arguments: &[CString],
    steps: &[Step],
    wrong: Text,
) -> bool {
    // Without any argument there is none to blame.
    let Some(blamed) = blamed else { return arguments.is_empty() };
    let is_argument = arguments.iter().any(|argument| argument.as_bytes() == blamed);
    if wrong == text::NO_DIRECTORY {
        return arguments.last().is_some_and(|last| last.as_bytes() == blamed);
    }
    let mut wish = Wish::default();
    match steps.iter().find(|step| add(&mut wish, step).is_err()).expect("one is wrong") {
        Step::Value(_, value) => value == blamed,
        // The argument lacks the value of its last letter.
        Step::Valueless(letter) => is_argument && blamed.last() == Some(letter),
        Step::Unknown(letter) => is_argument && blamed.contains(letter),
        // Nobody is to blame for these.
        Step::Flag(_) => true,
    }
}

/// Arguments that have something to do with the grammar, and some that have not.
fn argument() -> impl Strategy<Value = CString> {
    let byte = prop_oneof![
        8 => proptest::sample::select(&b"dKfwcbhVet019-"[..]),
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

/// As the kernel passes them.
fn as_places(arguments: &[CString]) -> Vec<Option<ZStr<'_>>> {
    let strings = arguments.iter().map(|argument| Some(ZStr::from(argument.as_c_str())));
    strings.chain([None]).collect()
}

/// The strings' bytes.
fn bytes<'a>(strings: impl Iterator<Item = ZStr<'a>>) -> Vec<Vec<u8>> {
    strings.map(Iterator::collect).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_program_agrees_with_the_c_librarys_getopt(
        arguments in proptest::collection::vec(argument(), 0..7)
    ) {
        let arguments = [vec![c"name".to_owned()], arguments].concat();
        let (steps, operands) = witness(&arguments);
        let (wish, stop) = meaning(&steps, operands.as_deref());
        let (read, outcome) = program_reads(&arguments);
        // Up to the first error as well.
        prop_assert_eq!(read, wish);
        match outcome {
            Ok(directories) => {
                prop_assert_eq!(stop, Ok(()));
                prop_assert_eq!(Some(directories), operands);
            }
            Err((wrong, blamed)) => {
                prop_assert_eq!(stop, Err(wrong));
                let right = is_rightly_blamed(blamed.as_deref(), &arguments, &steps, wrong);
                prop_assert!(right, "{:?} is blamed", blamed);
            }
        }
    }

    #[test]
    fn the_program_agrees_with_the_plain_model(
        arguments in proptest::collection::vec(argument(), 0..7)
    ) {
        let plain: Vec<Vec<u8>> =
            arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect();
        let named = [vec![c"name".to_owned()], arguments].concat();
        match (program_reads(&named), model(&plain)) {
            ((wish, Ok(directories)), Verdict::Run(plan)) => {
                let second = match plan.second {
                    None => Action::NONE,
                    Some('e') => Action::ERRNO,
                    Some(_) => Action::TRACE,
                };
                prop_assert_eq!(wish, Wish {
                    delay: plan.delay,
                    second,
                    keep: plan.keep,
                    killable: plan.killable,
                    let_through: plan.let_through,
                    count: plan.count,
                });
                prop_assert_eq!(directories, plan.directories);
            }
            ((_, Err((text::USAGE, _))), Verdict::Help)
            | ((_, Err((text::VERSION, _))), Verdict::Version) => {}
            ((_, Err((wrong, blamed))), Verdict::Wrong(wanted)) => {
                prop_assert!(wrong != text::USAGE && wrong != text::VERSION);
                prop_assert!(wanted.is_none() || blamed == wanted, "{:?} is blamed", blamed);
            }
            (found, wanted) => prop_assert!(false, "{:?} instead of {:?}", found, wanted),
        }
    }

    #[test]
    fn the_strings_that_are_kept_stay_in_their_order(
        // For each string: whether it is kept, and how many that follow it are taken off.
        each in proptest::collection::vec((any::<bool>(), 0_usize..3), 0..9),
        stop in proptest::option::weighted(0.2, 0_usize..9),
    ) {
        let strings: Vec<CString> =
            (0..each.len()).map(|i| CString::new(i.to_string()).unwrap()).collect();
        let (mut kept, mut taken) = (vec![], vec![]);
        let mut rest = strings.iter().zip(&each).enumerate();
        let mut wanted = Ok(());
        while let Some((i, (string, &(keep, more)))) = rest.next() {
            if stop == Some(i) {
                wanted = Err(i);
                break;
            }
            taken.extend(rest.by_ref().take(more).map(|(_, (string, _))| string.as_bytes().to_vec()));
            if keep {
                kept.push(string.as_bytes().to_vec());
            }
        }

        let mut places = as_places(&strings);
        let found = ZStrs::new(&mut places).expect("there is an end");
        let mut off = vec![];
        let outcome = found.retain(|string, rest| {
            let i: usize = String::from_utf8(string.collect()).unwrap().parse().unwrap();
            if stop == Some(i) {
                return Err(i);
            }
            off.extend(bytes(rest.take(each[i].1)));
            Ok(each[i].0)
        });
        prop_assert_eq!(outcome, wanted);
        prop_assert_eq!(off, taken);
        if wanted.is_ok() {
            prop_assert_eq!(found.is_empty(), kept.is_empty());
            prop_assert_eq!(bytes(found), kept);
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
        let (wish, outcome) = program_reads(&arguments);
        prop_assert_eq!(outcome.ok().map(|_| wish.delay), expected);
    }
}

#[test]
fn an_empty_argument_vector_has_no_directory() {
    let (wish, outcome) = program_reads(&[]);
    assert_eq!(outcome, Err((text::NO_DIRECTORY, None)));
    assert_eq!(wish, Wish::default());
}

#[test]
fn strings_without_an_end_are_none() {
    assert!(ZStrs::new(&mut []).is_none());
    assert!(ZStrs::new(&mut [Some(ZStr::from(c"x"))]).is_none());
    assert_eq!(bytes(ZStrs::new(&mut [None]).expect("there is an end")), Vec::<Vec<u8>>::new());
    let mut places = [Some(ZStr::from(c"x")), None, Some(ZStr::from(c"y"))];
    assert_eq!(bytes(ZStrs::new(&mut places).expect("there is an end")), [b"x"]);
}

#[test]
fn arguments_are_shown_escaped_whatever_their_bytes() {
    for argument in [&b"-\x1b[2J"[..], b"-x\n\x7f\xff"] {
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
