//! The option grammar, compared with a plain model: the input is a command line, its arguments cut at NULs.
#![no_main]

use std::ffi::CString;

use libfuzzer_sys::fuzz_target;
use seccomp_notify_min::filter::Action;
use seccomp_notify_min::options::{Options, read};
use seccomp_notify_min::sys::{ZStr, ZStrs};
use seccomp_notify_min::text;

#[path = "../../tests/model/mod.rs"]
#[allow(dead_code)]
mod model;
use model::{Verdict, model};

fuzz_target!(|input: &[u8]| {
    let arguments: Vec<Vec<u8>> = input.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    let strings: Vec<CString> =
        arguments.iter().map(|argument| CString::new(argument.clone()).unwrap()).collect();
    let mut given = vec![Some(ZStr::from(c"seccomp-notify-min"))];
    given.extend(strings.iter().map(|string| Some(ZStr::from(string.as_c_str()))));
    given.push(None);
    let mut given = ZStrs::new(&mut given).expect("there is an end");

    let mut options = Options::default();
    match (read(&mut given, &mut options), model(&arguments)) {
        (Err((text, _)), Verdict::Help) => assert_eq!(text, text::USAGE),
        (Err((text, _)), Verdict::Version) => assert_eq!(text, text::VERSION),
        (Err((text, named)), Verdict::Wrong(wanted)) => {
            assert!(text != text::USAGE && text != text::VERSION);
            if let Some(wanted) = wanted {
                assert_eq!(named.map(Iterator::collect::<Vec<u8>>), Some(wanted));
            }
        }
        (Ok(()), Verdict::Run(plan)) => {
            let second = match plan.second {
                None => Action::NONE,
                Some('e') => Action::ERRNO,
                Some(_) => Action::TRACE,
            };
            assert_eq!(
                (options.delay, options.second, options.count),
                (plan.delay, second, plan.count)
            );
            let letters = (options.keep(), options.killable(), options.let_through());
            assert_eq!(letters, (plan.keep, plan.killable, plan.let_through));
            let directories: Vec<Vec<u8>> = given.map(Iterator::collect).collect();
            assert_eq!(directories, plan.directories);
        }
        (found, wanted) => panic!("{found:?} instead of {wanted:?}"),
    }
});
