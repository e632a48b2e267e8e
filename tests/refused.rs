//! Every call that the program needs, refused: by a sandbox with any errno, or by a sandbox that kills for it. The program
//! does without the call, or ends with status 77 and says which call failed, why, and what that means. And each way to the
//! target's memory, closed with each error, in each combination.

mod common;
mod inject;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use common::{Beneath, Ended, LIMIT, Outcome, in_child, program, sandbox, sweep};
use inject::cases::{self, text};
use inject::{Action, Role, When};
use nix::libc::{self, *};

const SANDBOX: &str = "a sandbox does not allow a call that this program needs";
const MEMORY: &str = "forbidden by a sandbox or ptrace_scope";
const PROC: &str = "needs /proc";

/// Those that say that something is used up: the status is 1, and there is no hint.
const USED_UP: [i32; 6] = [EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ETOOMANYREFS];

/// What becomes of a run with a refused call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Need {
    /// The program does its work all the same.
    None,
    /// This process, as its lines begin, tells of it.
    Of(&'static str),
}

/// A call and the command line that makes it.
struct Refused {
    call: c_long,
    name: &'static str,
    need: Need,
    options: &'static [&'static str],
}

const fn refused(
    call: c_long,
    name: &'static str,
    need: Need,
    options: &'static [&'static str],
) -> Refused {
    Refused { call, name, need, options }
}

#[cfg(target_arch = "x86_64")]
const FORK: (c_long, &str) = (SYS_fork, "fork");
#[cfg(not(target_arch = "x86_64"))]
const FORK: (c_long, &str) = (SYS_clone, "clone");

/// All calls of the program but `write`, without which nothing can be told; `exit_group`, without which no process can
/// end; `mkdir`, whose error is the demonstration's own; and `rt_sigreturn`, which has no error to return.
#[rustfmt::skip]
const CALLS: &[Refused] = {
    use Need::{None, Of};
    const K: &[&str] = &["-K"];
    &[
        refused(SYS_rt_sigprocmask, "rt_sigprocmask", Of("Parent"), K),
        refused(SYS_rt_sigaction, "rt_sigaction", Of("Parent"), K),
        refused(SYS_openat, "openat", Of("Parent"), K),
        refused(SYS_close, "close", Of("Parent"), K),
        refused(SYS_socketpair, "socketpair", Of("Parent"), K),
        refused(SYS_getpid, "getpid", Of("Parent"), K),
        refused(FORK.0, FORK.1, Of("Parent"), K),
        refused(SYS_wait4, "wait4", Of("Parent"), K),
        refused(SYS_kill, "kill", Of("Parent"), &["-f", "e"]),
        refused(SYS_prctl, "prctl", Of("Target process"), K),
        refused(SYS_getppid, "getppid", Of("Target process"), K),
        refused(SYS_sendmsg, "sendmsg", Of("Target process"), K),
        refused(SYS_clock_gettime, "clock_gettime", Of("Target process"), &["-b", "3"]),
        refused(SYS_recvmsg, "recvmsg", Of("Tracer"), K),
        refused(SYS_ioctl, "ioctl", Of("Tracer"), K),
        refused(SYS_nanosleep, "nanosleep", Of("Tracer"), &["-d", "1"]),
        refused(SYS_fcntl, "fcntl", None, K),
        refused(SYS_openat2, "openat2", None, K),
        refused(SYS_process_vm_readv, "process_vm_readv", None, K),
        refused(SYS_readlinkat, "readlinkat", None, K),
        refused(SYS_pread64, "pread64", None, K),
        refused(SYS_munmap, "munmap", None, K),
        refused(SYS_ppoll, "ppoll", None, K),
    ]
};

/// Runs a command line in a sandbox that does this for one call.
fn run(refused: &Refused, action: u32) -> (Outcome, Beneath) {
    let beneath = Beneath::new();
    let mut arguments: Vec<_> = refused.options.iter().map(|option| option.into()).collect();
    arguments.extend([beneath.join("x"), "/bye".into()]);
    let outcome = program(arguments)
        .before(sandbox(&[(refused.call, action)]))
        // If the parent cannot wait for its children, or is killed, they end with it, but a moment later.
        .grace(Duration::from_secs(2))
        .finish();
    (outcome, beneath)
}

/// What is wrong with an outcome, if something is. That nothing hangs and nothing is left over `finish` has checked.
fn judge_refused(refused: &Refused, errno: i32) -> Result<(), String> {
    let (outcome, beneath) = run(refused, SECCOMP_RET_ERRNO | errno as u32);
    let err = outcome.err();
    let Need::Of(who) = refused.need else {
        let works = outcome.ended == Ended::Status(0) && beneath.contents() == ["x"];
        return if works { Ok(()) } else { Err(format!("does not work: {outcome:#?}")) };
    };
    // The tracer may come first to look whether the target is there.
    let who = if refused.name == "kill" && err.contains("Tracer: kill") { "Tracer" } else { who };
    let line = format!("{who}: {}: {}\n", refused.name, text(errno));
    let hinted = format!("{line}{SANDBOX}\n");
    let (status, told) = if USED_UP.contains(&errno) { (1, &line) } else { (77, &hinted) };
    if outcome.ended != Ended::Status(status) {
        return Err(format!("wrong status: {outcome:#?}"));
    }
    if !err.contains(told.as_str()) || status == 1 && err.contains(SANDBOX) {
        return Err(format!("wrong reason: {err}"));
    }
    Ok(())
}

/// Whether this process may install a filter.
fn is_possible() -> bool {
    let tried = in_child(LIMIT, || match sandbox(&[(SYS_add_key, SECCOMP_RET_ERRNO | 1)])() {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(255),
    });
    if let Ended::Status(errno @ 1..) = tried {
        common::skipped("a sandbox around the program", io::Error::from_raw_os_error(errno));
    }
    tried == Ended::Status(0)
}

#[test]
fn a_call_that_is_refused_with_whatever_errno_is_told_with_its_reason() {
    if !is_possible() {
        return;
    }
    // Not EINTR: it asks to make the call again.
    let errors = [
        EPERM,
        EACCES,
        ENOSYS,
        EINVAL,
        EOPNOTSUPP,
        EIO,
        ENOENT,
        ENODEV,
        EAGAIN,
        EMFILE,
        ENFILE,
        ENOBUFS,
        ENOMEM,
        ETOOMANYREFS,
    ];
    let pairs: Vec<_> = CALLS
        .iter()
        .flat_map(|refused| errors.map(|errno| (refused, errno)))
        // The wait is over, and is begun again.
        .filter(|&(refused, errno)| !(refused.name == "ppoll" && errno == EAGAIN))
        .collect();
    let bad = sweep::bad_ones(&pairs, |&(refused, errno)| {
        judge_refused(refused, errno)
            .map_err(|why| format!("{} = {}: {why}", refused.name, text(errno)))
    });
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn a_call_for_which_a_sandbox_kills_is_told_with_what_that_means() {
    if !is_possible() {
        return;
    }
    let mut bad = Vec::new();
    for refused in CALLS {
        for action in [SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP] {
            let (outcome, _beneath) = run(refused, action);
            let err = outcome.err();
            let killed = |who: &str| {
                let lines = format!("Parent: {who} was killed by signal 31\n{SANDBOX}\n");
                outcome.ended == Ended::Status(77) && err.contains(&lines)
            };
            let right = match refused.need {
                // Nothing is left that could tell.
                Need::Of("Parent") if refused.name == "kill" => {
                    outcome.ended == Ended::Signal(SIGSYS) || killed("tracer")
                }
                Need::Of("Parent") => outcome.ended == Ended::Signal(SIGSYS),
                Need::Of("Target process") => killed("target process"),
                Need::Of(_) => killed("tracer"),
                // Even what the program can do without kills it, if it is made.
                Need::None => {
                    outcome.ended == Ended::Status(0)
                        || killed("target process")
                        || killed("tracer")
                }
            };
            if !right {
                bad.push(format!("{} {action:#x}: {outcome:#?}", refused.name));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn an_output_that_a_sandbox_refuses_is_a_failure() {
    if !is_possible() {
        return;
    }
    for errno in [EPERM, EACCES, ENOSYS, EINVAL, EIO] {
        let refused = refused(SYS_write, "write", Need::Of("Target process"), &["-K"]);
        let (outcome, _beneath) = run(&refused, SECCOMP_RET_ERRNO | errno as u32);
        assert_eq!(outcome.ended, Ended::Status(1), "{outcome:#?}");
        assert_eq!((outcome.out(), outcome.err()), (String::new(), String::new()));
    }
}

// ---- The two ways to a parent directory

/// The call that opens the tests' directory: beneath /tmp, through no link (`RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS`,
/// `RESOLVE_NO_MAGICLINKS`).
const OPENAT2: &str = "openat2(DIRECTORY, resolve 0xe)";

/// Whether this kernel has `openat2(2)`.
fn has_openat2() -> bool {
    // SAFETY: there is no memory at the address 0, which the kernel says: EFAULT, or EINVAL for the size.
    let refused = unsafe { libc::syscall(SYS_openat2, AT_FDCWD, 0, 0, 0) };
    assert_eq!(refused, -1);
    let has = io::Error::last_os_error().raw_os_error() != Some(ENOSYS);
    if !has {
        common::skipped("openat2", "this kernel is older than Linux 5.6");
    }
    has
}

/// How the tracer opens directories: the names of its calls.
fn opened(outcome: &inject::Outcome) -> Vec<String> {
    let calls = outcome.calls.iter().map(|seen| &seen.call);
    let opens = calls.filter(|call| call.role == Role::Tracer && call.name.starts_with("openat"));
    opens.map(|call| call.name.clone()).filter(|name| !name.contains("/proc/")).collect()
}

#[test]
fn a_parent_directory_is_opened_in_one_call_and_beneath_tmp_only() {
    if inject::skipped() || !has_openat2() {
        return;
    }
    let directory = cases::directory();
    fs::create_dir_all(directory.path().join("d/e")).unwrap();
    let name = directory.path().file_name().unwrap().to_str().unwrap();
    let paths = ["/x", "/d/e/y", "/d//./e/z//"].map(|rest| format!("/tmp/{name}{rest}"));
    // A slash more makes no absolute path of the rest.
    let slashed = ["///", "//./"].map(|tmp| format!("/tmp{tmp}{name}/{}", tmp.len()));
    let made = || paths.iter().chain(&slashed);
    let arguments: Vec<_> = [OsStr::new("-K")].into_iter().chain(made().map(OsStr::new)).collect();

    let outcome = inject::run(common::image(), &arguments, &inject::Script::default());
    assert_eq!(outcome.status(), 0, "{outcome:#?}");
    assert!(made().all(|path| Path::new(path).is_dir()), "{outcome:#?}");
    let deep = ["openat2(DIRECTORY/d/e, resolve 0xe)", "openat2(DIRECTORY/d//./e, resolve 0xe)"];
    let expected = ["openat(/tmp)", OPENAT2, deep[0], deep[1], OPENAT2, OPENAT2];
    assert_eq!(opened(&outcome), expected);
}

#[test]
fn openat2_is_asked_for_once_if_it_is_refused_with_whatever_errno() {
    if inject::skipped() || !has_openat2() {
        return;
    }
    let errors = [
        (ENOSYS, 1),
        (EPERM, 1),
        (EACCES, 1),
        (EINVAL, 1),
        (E2BIG, 1),
        (EOPNOTSUPP, 1),
        (EIO, 1),
        (ENODEV, 1),
        (EAGAIN, 1),
        (EMFILE, 1),
        (ENOMEM, 1),
        // Another process may have changed the path meanwhile, so the next one is tried again.
        (ENOENT, 3),
        (ENOTDIR, 3),
        (ELOOP, 3),
    ];
    let case = cases::paths(&["x", "y", "z"]);
    let bad = sweep::bad_ones(&errors, |&(errno, times)| {
        let rules = [(When::Each(OPENAT2), Action::Return(-i64::from(errno)))];
        let run = case.run(common::image(), &rules);
        let said = || format!("{}: {:?}\n{}", text(errno), opened(&run.outcome), run.output());
        run.completed(&case, &case.made(run.directory.path()))
            .map_err(|why| format!("{why}: {}", said()))?;
        let expected = |name: &str| if name == OPENAT2 { times } else { 3 };
        let names = [OPENAT2, "openat(DIRECTORY)"];
        let count = |name: &str| opened(&run.outcome).iter().filter(|it| *it == name).count();
        let right = names.iter().all(|name| count(name) == expected(name));
        if right { Ok(()) } else { Err(said()) }
    });
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn an_error_that_is_the_paths_own_does_not_stop_openat2() {
    if inject::skipped() || !has_openat2() {
        return;
    }
    const MISSING: &str = "openat2(DIRECTORY/nosuch, resolve 0xe)";
    // The second path's parent is not there by either way.
    for (errno, openat2) in [(EACCES, true), (EPERM, true), (ENOENT, true), (ENOSYS, false)] {
        let case = cases::paths_around_a_missing_one();
        let rules = [(When::Each(MISSING), Action::Return(-i64::from(errno)))];
        let run = case.run(common::image(), &rules);
        run.completed(&case, &case.made(run.directory.path())).expect("it works");
        let last = if openat2 { OPENAT2 } else { "openat(DIRECTORY)" };
        let way = ["openat(/tmp)", OPENAT2, MISSING, "openat(DIRECTORY)", "openat(nosuch)", last];
        assert_eq!(opened(&run.outcome), way, "{}", text(errno));
    }
}

// ---- The two ways to the target's memory

/// The calls of the way through /proc.
const BY_FILE: [&str; 3] =
    ["readlinkat(/proc/self)", "openat(/proc/PID/mem)", "pread64(/proc/PID/mem)"];

const MEMORY_ERRORS: [i32; 13] = [
    EPERM, EACCES, ENOSYS, ENOENT, ENOTDIR, EIO, EINVAL, EFAULT, ESRCH, EOPNOTSUPP, ENODEV, ENOMEM,
    EMFILE,
];

/// What must be told if process_vm_readv fails with `vm` and a call of the other way with `errno`.
fn reason(vm: i32, call: &str, errno: i32) -> (String, i32, &'static str) {
    // Where there is no /proc, the other way is the one that failed.
    let is_missing = call != BY_FILE[2] && [ENOENT, ENOTDIR].contains(&errno);
    let (call, errno) = if is_missing { ("process_vm_readv", vm) } else { (call, errno) };
    let hint = match errno {
        EPERM | EACCES => MEMORY,
        ENOSYS if call == "process_vm_readv" => PROC,
        _ if USED_UP.contains(&errno) => "",
        _ => SANDBOX,
    };
    (call.split('(').next().unwrap().to_owned(), errno, hint)
}

#[test]
fn each_way_to_the_memory_may_be_closed_with_each_error() {
    if inject::skipped() {
        return;
    }
    let mut jobs = Vec::new();
    for vm in MEMORY_ERRORS {
        jobs.push((vm, None));
        for call in BY_FILE {
            jobs.extend(MEMORY_ERRORS.map(|errno| (vm, Some((call, errno)))));
        }
    }
    let bad = sweep::bad_ones(&jobs, |&(vm, other)| {
        let answer = |call, errno: i32| (When::Each(call), Action::Return(-i64::from(errno)));
        let mut rules = vec![answer("process_vm_readv", vm)];
        rules.extend(other.map(|(call, errno)| answer(call, errno)));
        let case = cases::one_path(&[], 0, vec![]);
        let run = case.run(common::image(), &rules);
        let said = || format!("process_vm_readv = {}, {other:?}\n{}", text(vm), run.output());
        if run.outcome.hung || !run.outcome.left.is_empty() {
            return Err(format!("hung or left over: {}", said()));
        }
        let Some((call, errno)) = other else {
            let made = case.made(run.directory.path());
            return run.completed(&case, &made).map_err(|why| format!("{why}: {}", said()));
        };
        let (call, errno, hint) = reason(vm, call, errno);
        let mut lines = format!("Tracer: {call}: {}\n", text(errno));
        let mut status = 1;
        if !hint.is_empty() {
            lines += &format!("{hint}\n");
            status = 77;
        }
        let err = String::from_utf8_lossy(&run.outcome.err).into_owned();
        if run.outcome.status() != status {
            return Err(format!("wrong status {}: {}", run.outcome.status(), said()));
        }
        if !err.contains(&lines) || hint.is_empty() && err.contains(SANDBOX) {
            return Err(format!("wrong reason, not {lines}: {}", said()));
        }
        run.is_true(true).map_err(|why| format!("{why}: {}", said()))
    });
    println!("\n{} combinations of two closed ways to the memory", jobs.len());
    assert!(
        bad.is_empty(),
        "{} of {}:\n{}",
        bad.len(),
        jobs.len(),
        bad[..bad.len().min(5)].join("\n")
    );
}

#[test]
fn an_address_where_nothing_is_is_told_from_a_way_that_is_closed() {
    if inject::skipped() {
        return;
    }
    // Only the read of the target's memory fails; the tracer can read its own.
    let moment = |name| inject::Moment::new(Role::Tracer, name, 1, inject::Side::Entry);
    let answer = |name, errno: i32| (When::Once(moment(name)), Action::Return(-i64::from(errno)));
    for rules in [
        vec![answer("process_vm_readv", EFAULT)],
        vec![
            (When::Each("process_vm_readv"), Action::Return(-i64::from(libc::ENOSYS))),
            answer("pread64(/proc/PID/mem)", EIO),
        ],
    ] {
        let run = cases::one_path(&[], 0, vec![]).run(common::image(), &rules);
        let said = run.output();
        assert!(said.contains("Tracer: path: Bad address\n"), "{said}");
        assert!(said.contains("Target process: mkdir: Bad address\n"), "{said}");
        assert!(!said.contains(SANDBOX) && !said.contains(MEMORY), "{said}");
    }
}

/// To find out which of the two it is, the tracer reads its own memory, by its PID. Without that it takes the other way.
#[test]
fn a_tracer_that_cannot_ask_for_its_pid_uses_the_other_way() {
    if inject::skipped() {
        return;
    }
    // The first one is for its first line.
    let getpid = inject::Moment::new(Role::Tracer, "getpid", 2, inject::Side::Entry);
    let rules = [
        (When::Each("process_vm_readv"), Action::Return(-i64::from(EFAULT))),
        (When::Once(getpid), Action::Return(-i64::from(EPERM))),
    ];
    let case = cases::one_path(&[], 0, vec![]);
    let run = case.run(common::image(), &rules);
    let made = case.made(run.directory.path());
    run.completed(&case, &made).unwrap_or_else(|why| panic!("{why}: {}", run.output()));
    assert_eq!(run.outcome.done.last(), Some(&1), "{}", run.output());
}
