//! Compares the parser of the command line with a plain model. The input is a command line: NULs separate its arguments.
#![no_main]

use std::ffi::CString;

use libfuzzer_sys::fuzz_target;
use seccomp_notify_min::filter::Action;
use seccomp_notify_min::fmt::{Arg, Message};
use seccomp_notify_min::messages;
use seccomp_notify_min::options::{Command, Options, UsageError, parse};
use seccomp_notify_min::report::Process;
use seccomp_notify_min::sys::CStrRef;

#[path = "../../../tests/line/mod.rs"]
#[allow(dead_code)]
mod line;
#[path = "../../../tests/model/mod.rs"]
#[allow(dead_code)]
mod model;
use model::{Verdict, model};

fuzz_target!(|input: &[u8]| {
    let arguments: Vec<Vec<u8>> = input.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    let strings: Vec<CString> =
        arguments.iter().map(|argument| CString::new(argument.clone()).unwrap()).collect();
    let mut given = vec![CStrRef::new(c"seccomp-notify-min")];
    given.extend(strings.iter().map(|string| CStrRef::new(string.as_c_str())));

    let mut options = Options::default();
    match (parse(&mut given, &mut options), model(&arguments)) {
        (Ok(Command::Probe), Verdict::Probe) => {}
        (Ok(Command::Help), Verdict::Help) | (Ok(Command::Version), Verdict::Version) => {}
        (Err(UsageError { text, about }), Verdict::Wrong(wanted)) => {
            let error = Message { template: text, args: about.as_slice() };
            let args = [Arg::Message(&error)];
            assert_eq!(line::composed(Process::Parent, messages::USAGE_ERROR, &args), wanted);
        }
        (Ok(Command::Run(directories)), Verdict::Run(plan)) => {
            let second =
                plan.second.map(|value| if value == 'e' { Action::Errno } else { Action::Trace });
            let count = options.count.map_or(0, std::num::NonZero::get);
            assert_eq!((options.delay, options.second, count), (plan.delay, second, plan.count));
            let flags = (options.keep, options.killable, options.let_through);
            assert_eq!(flags, (plan.keep, plan.killable, plan.let_through));
            let directories: Vec<Vec<u8>> =
                directories.iter().map(|directory| directory.collect()).collect();
            assert_eq!(directories, plan.directories);
        }
        (_, wanted) => panic!("something else instead of {wanted:?}"),
    }
});
