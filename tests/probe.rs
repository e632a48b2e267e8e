//! `-p` tells the truth about each thing, wherever it runs and whatever fails: the lines here, under each refused call,
//! under each injected error, and when a process is killed or stopped at any moment. It never hangs, leaves no process and
//! changes nothing.

mod common;
mod inject;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::probe::{Lines, Said, THINGS};
use common::sweep::{self, Sample};
use common::{Ended, LIMIT, Outcome, in_child, program, sandbox, skipped};
use inject::cases::text;
use inject::{Action, Call, End, GRACE, Moment, Role, Script, Side, When};
use nix::libc::{self, *};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};

/// The version of the kernel of this machine.
fn version() -> (u32, u32) {
    let names = nix::sys::utsname::uname().expect("uname");
    let release = names.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        other => panic!("{release}: {other:?}"),
    }
}

/// Reads and checks a run that came to its end.
fn whole(outcome: &Outcome) -> Lines {
    let lines = Lines::read(&outcome.out()).unwrap_or_else(|why| panic!("{why}\n{outcome:#?}"));
    lines.are_consistent().unwrap_or_else(|why| panic!("{why}\n{outcome:#?}"));
    assert!(lines.is_whole(), "{outcome:#?}");
    assert_eq!(outcome.err(), "");
    assert_eq!(outcome.ended, Ended::Status(lines.status()), "{outcome:#?}");
    let writers: Vec<_> = outcome.packets.iter().map(|packet| packet.writer).collect();
    assert_eq!(writers, [outcome.pid], "one write of all lines");
    lines
}

/// Whether a supervisor can work in the place where this test runs: not under another one's listener, for example.
fn is_free() -> bool {
    let lines = whole(&program(["-p"]).finish());
    let free = lines.failed().iter().all(|name| {
        let thing = THINGS.iter().find(|thing| thing.name == *name).unwrap();
        version() < thing.since
    });
    if !free {
        skipped("the probe where everything works", format!("{lines:?}"));
    }
    free
}

#[test]
fn here_each_thing_works_that_this_kernel_has() {
    let lines = whole(&program(["-p"]).finish());
    let names = nix::sys::utsname::uname().unwrap();
    let [system, release, machine] =
        [names.sysname(), names.release(), names.machine()].map(OsStr::to_string_lossy);
    assert_eq!(lines.system, format!("{system} {release} {machine}"));
    if !is_free() {
        return;
    }
    for (thing, said) in THINGS.iter().zip(&lines.said) {
        assert_eq!(*said == Said::Yes, version() >= thing.since, "{}: {said:?}", thing.name);
    }
}

/// The quickest of some runs, so that what else the machine does does not count. A run has some hundred and forty calls and takes
/// three milliseconds on a machine of 2020. Before Linux 6.11 up to two alarms, 40 ms, are waited for.
#[test]
fn it_takes_less_than_a_tenth_of_a_second() {
    let quickest = (0..10).map(|_| program(["-p"]).finish().took).min().unwrap();
    println!("{quickest:?}");
    assert!(quickest < Duration::from_millis(100), "{quickest:?}");
}

#[test]
fn the_lines_are_the_same_each_time() {
    let first = program(["-p"]).finish().out();
    for _ in 0..100 {
        assert_eq!(program(["-p"]).finish().out(), first);
    }
}

/// What the probe prints here, for a test that changes something as root; `None`, and why, if it cannot.
fn expected_by_root(what: &str, why: &str) -> Option<String> {
    if !common::is_root() {
        skipped(what, why);
        return None;
    }
    is_free().then(|| program(["-p"]).finish().out())
}

#[test]
fn it_needs_no_privilege() {
    let why = "this is no root who could become one";
    let Some(expected) = expected_by_root("the probe as another user", why) else { return };
    // Readable for nobody but root: the children are made dumpable.
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let copy = folder.path().join("program");
    std::fs::copy(common::image(), &copy).unwrap();
    use std::os::unix::fs::PermissionsExt;
    for (path, mode) in [(folder.path(), 0o755), (&copy, 0o711)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let outcome = common::Run::of(&copy, ["-p"])
        .before(|| {
            nix::unistd::setgroups(&[])?;
            nix::unistd::setgid(65534.into())?;
            nix::unistd::setuid(65534.into())?;
            Ok(())
        })
        .finish();
    assert_eq!(outcome.out(), expected, "{outcome:#?}");
    whole(&outcome);
}

/// Moves the process to new namespaces, before it becomes the program.
fn moved(flags: CloneFlags, act: fn() -> io::Result<()>) -> impl FnMut() -> io::Result<()> {
    move || {
        unshare(flags)?;
        let none = None::<&std::ffi::CStr>;
        if flags.contains(CloneFlags::CLONE_NEWNS) {
            mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        }
        act()
    }
}

#[test]
fn it_needs_no_proc() {
    let why = "only root can take it away";
    let Some(expected) = expected_by_root("the probe without /proc", why) else { return };
    let hide = || {
        mount(Some(c"none"), c"/proc", Some(c"tmpfs"), MsFlags::empty(), None::<&std::ffi::CStr>)?;
        Ok(())
    };
    let outcome = program(["-p"]).before(moved(CloneFlags::CLONE_NEWNS, hide)).finish();
    whole(&outcome);
    let no = "proc-mem: no: readlinkat: No such file or directory; needs /proc\n";
    assert_eq!(outcome.out(), expected.replace("proc-mem: yes\n", no));
}

/// The children are in another PID namespace, and /proc is that of the parent's: all that is asked for is there. The first
/// child is the namespace's first process, and lives as long as the others need it.
#[test]
fn its_children_may_be_in_another_pid_namespace() {
    let what = "the probe with children in another PID namespace";
    let Some(expected) = expected_by_root(what, "only root makes one") else { return };
    for _ in 0..20 {
        let outcome = program(["-p"]).before(moved(CloneFlags::CLONE_NEWPID, || Ok(()))).finish();
        whole(&outcome);
        assert_eq!(outcome.out(), expected);
    }
}

/// As in a container that has no /proc of its own: the PIDs there are those of other processes.
#[test]
fn in_a_pid_namespace_the_proc_of_another_one_is_not_used() {
    if !is_free() {
        return;
    }
    if !common::is_root() || !common::is_installed("unshare") {
        return skipped("the probe in a PID namespace", "this needs root and unshare(1)");
    }
    let image = common::image().as_os_str();
    let arguments = [OsStr::new("--pid"), OsStr::new("--fork"), image, OsStr::new("-p")];
    let outcome = common::Run::of(Path::new("unshare"), arguments).finish();
    let lines = Lines::read(&outcome.out()).unwrap();
    assert_eq!(outcome.ended, Ended::Status(0), "{outcome:#?}");
    assert_eq!(lines.failed(), ["proc-mem"], "{outcome:#?}");
    let own = [OsStr::new("--pid"), OsStr::new("--mount-proc"), OsStr::new("--fork"), image]
        .into_iter()
        .chain([OsStr::new("-p")]);
    let outcome = common::Run::of(Path::new("unshare"), own).finish();
    assert_eq!(outcome.out(), program(["-p"]).finish().out(), "{outcome:#?}");
}

#[test]
fn another_supervisor_is_told() {
    if !is_free() {
        return;
    }
    let filter = common::sandbox_filter(&[(SYS_add_key, SECCOMP_RET_USER_NOTIF)]);
    let listens = move || {
        let listener = common::install_filter(&filter, SECCOMP_FILTER_FLAG_NEW_LISTENER);
        if listener < 0 {
            return Err(io::Error::last_os_error());
        }
        // It stays open in the program.
        // SAFETY: the call has no pointer arguments.
        unsafe { libc::fcntl(listener as i32, F_SETFD, 0) };
        Ok(())
    };
    let outcome = program(["-p"]).before(listens).finish();
    let lines = whole(&outcome);
    assert_eq!(outcome.ended, Ended::Status(77));
    assert_eq!(
        lines.said[0],
        Said::No {
            call: "seccomp".into(),
            error: text(EBUSY),
            reason: Some("another supervisor already listens".into())
        }
    );
    assert!(lines.said[1..].iter().all(|said| *said == Said::Untried("listener".into())));
}

#[test]
fn closed_standard_streams_and_other_signals_do_not_matter() {
    let expected = program(["-p"]).finish().out();
    let outcome = program(["-p"])
        .before(|| {
            // SAFETY: the calls touch no memory but `all`.
            unsafe {
                let mut all = std::mem::zeroed();
                libc::sigfillset(&raw mut all);
                libc::sigprocmask(SIG_BLOCK, &raw const all, std::ptr::null_mut());
                for signal in [SIGALRM, SIGCHLD, SIGTERM] {
                    libc::signal(signal, SIG_IGN);
                }
                libc::close(0);
                libc::alarm(1);
            }
            Ok(())
        })
        .finish();
    assert_eq!(outcome.out(), expected, "{outcome:#?}");
    whole(&outcome);
}

/// It waits, blocked, when the program starts.
#[test]
fn an_alarm_from_before_the_start_changes_nothing() {
    let outcome = program(["-p"])
        .before(|| {
            nix::sys::signal::SigSet::from(Signal::SIGALRM).thread_block()?;
            nix::sys::signal::raise(Signal::SIGALRM)?;
            Ok(())
        })
        .finish();
    whole(&outcome);
    assert_eq!(outcome.out(), program(["-p"]).finish().out(), "{outcome:#?}");
}

/// The wait for it ends, and nothing is said of the system that only the stop was the reason for.
#[test]
fn a_child_that_stays_stopped_is_no_answer() {
    if !is_free() {
        return;
    }
    let expected = program(["-p"]).finish().out();
    // Each wait hits another moment; after the last one the probe has ended.
    let waits: Vec<_> = (0..400).map(|i| Duration::from_micros(200 + i % 40 * 100)).collect();
    let was_stopped = |&wait: &Duration| {
        let probe = Command::new(common::image())
            .arg("-p")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        thread::sleep(wait);
        let children = format!("/proc/{0}/task/{0}/children", probe.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        if let Some(newest) = children.split_whitespace().last() {
            // It may have ended.
            let _ =
                kill(nix::unistd::Pid::from_raw(newest.parse().expect("a PID")), Signal::SIGSTOP);
        }
        let output = probe.wait_with_output().expect("it can be waited for");
        let (out, err) =
            [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap()).into();
        if output.status.code() != Some(1) {
            assert_eq!((out, err), (expected.clone(), String::new()));
            return false;
        }
        assert!(err.ends_with(": Resource temporarily unavailable\n"), "{err}");
        assert!(out.lines().all(|line| expected.contains(line)), "{out}");
        true
    };
    // Three times, each of which takes two seconds, at the same time.
    let thirds: Vec<&[Duration]> = waits.chunks(waits.len().div_ceil(3)).collect();
    let found = sweep::side_by_side(&thirds, |waits| waits.iter().any(was_stopped));
    assert_eq!(found, [true; 3], "no child was stopped in time");
}

/// As grep does that has found its line: nothing is written to a pipe that is closed.
#[test]
fn whoever_reads_may_end_at_the_first_line() {
    let image = common::image().to_str().expect("a path of text").to_owned();
    let script = format!("{image} -p | head -n 1 && {image} -p | grep -qx 'listener: yes'");
    if !is_free() {
        return;
    }
    for _ in 0..20 {
        let arguments = ["-o", "pipefail", "-ec", &script];
        let outcome = common::Run::of(Path::new("bash"), arguments).finish();
        assert_eq!((outcome.ended, outcome.err()), (Ended::Status(0), String::new()));
    }
}

#[test]
fn lines_that_cannot_be_printed_are_a_failure() {
    let run = program(["-p"]).streams(|command| {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        command.stdout(full).stderr(std::process::Stdio::null());
    });
    assert_eq!(run.finish().ended, Ended::Status(1));
}

#[test]
fn the_documents_name_each_thing_and_the_linux_that_brought_it() {
    let doc = common::document::read("docs/probe.md");
    let (_, table) = doc.split_once("| `system: …` |").expect("the table");
    let (table, _) = table.split_once("\n\n").expect("its end");
    let page = common::document::read("seccomp-notify-min.1");
    let (_, list) = page.split_once(".Ss The probe\n").expect("the section");
    let (list, _) = list.split_once("\n.Sh ").expect("its end");
    // Each thing with its version, if that is later than the first of all.
    let (mut in_table, mut in_list) = (Vec::new(), Vec::new());
    for row in table.lines().skip(1) {
        let [_, names, _, linux, _] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("a row: {row}")
        };
        for name in names.split('`').filter_map(|name| name.strip_suffix(": …")) {
            in_table.push((name.to_owned(), linux.trim().to_owned()));
        }
    }
    for item in list.split("\n.It Cm ").skip(1) {
        let (name, text) = item.split_once('\n').expect("a text");
        let linux = text.split_once("; ").map_or("", |(_, rest)| rest);
        let linux = linux.split_once(".\n").map_or(linux, |(linux, _)| linux);
        in_list.push((name.to_owned(), linux.trim_end_matches('.').to_owned()));
    }
    let names = |pairs: &[(String, String)]| -> Vec<String> {
        pairs.iter().map(|(name, _)| name.clone()).collect()
    };
    let wanted: Vec<_> = THINGS.iter().map(|thing| thing.name.to_owned()).collect();
    assert_eq!(names(&in_table), wanted, "docs/probe.md");
    assert_eq!(names(&in_list), wanted, "the manual page");
    for (thing, ((_, table), (_, list))) in THINGS.iter().zip(in_table.iter().zip(&in_list)) {
        let (major, minor) = thing.since;
        let linux = format!("{major}.{minor}");
        for (said, document) in [(table, "docs/probe.md"), (list, "the manual page")] {
            let may_be_empty = thing.since == (5, 0) && said.is_empty();
            assert!(*said == linux || may_be_empty, "{document}, {}: {said:?}", thing.name);
        }
    }
}

/// The reasons on the page are texts of the program.
#[test]
fn the_page_has_the_programs_own_reasons() {
    let image = fs::read(common::image()).expect("the program");
    let doc = common::document::read("docs/probe.md");
    let (_, table) = doc.split_once("| reason | meaning |\n| --- | --- |\n").expect("the table");
    let reasons: Vec<&str> = table
        .lines()
        .map_while(|row| row.strip_prefix("| `")?.split('`').next())
        .filter(|reason| *reason != "needs Linux 5.19")
        .collect();
    assert!([HINT, MEMORY].iter().all(|reason| reasons.contains(reason)), "{reasons:?}");
    for reason in reasons {
        let is_there = image.windows(reason.len()).any(|it| it == reason.as_bytes());
        assert!(is_there, "the program does not say {reason:?}");
    }
}

// ---- Under a sandbox

const HINT: &str = "a sandbox does not allow a call that this program needs";
const MEMORY: &str = "forbidden by a sandbox or ptrace_scope";

/// Those that say that something is used up. That is no answer.
const USED_UP: [i32; 6] = [EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ETOOMANYREFS];

/// Where the refusal of a call is told.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    /// In the line of this thing.
    By(&'static str),
    /// On standard error: the probe itself needs the call.
    Parent,
    /// Nowhere: the call only saves time, or another one does its work.
    Nowhere,
}

#[cfg(target_arch = "x86_64")]
const FORK: (c_long, &str) = (SYS_fork, "fork");
#[cfg(not(target_arch = "x86_64"))]
const FORK: (c_long, &str) = (SYS_clone, "clone");
#[cfg(target_arch = "x86_64")]
const MKDIR: (c_long, &str) = (SYS_mkdir, "mkdir");
#[cfg(not(target_arch = "x86_64"))]
const MKDIR: (c_long, &str) = (SYS_mkdirat, "mkdirat");

/// All calls of the probe but `write`, without which nothing can be told, `exit_group`, and `rt_sigreturn`.
#[rustfmt::skip]
const CALLS: &[(c_long, &str, Told)] = {
    use Told::{By, Nowhere, Parent};
    &[
        (SYS_rt_sigprocmask, "rt_sigprocmask", Parent),
        (SYS_rt_sigaction, "rt_sigaction", Parent),
        (SYS_openat, "openat", Parent),
        (SYS_close, "close", Parent),
        (SYS_setitimer, "setitimer", Parent),
        (SYS_uname, "uname", Parent),
        (SYS_getpid, "getpid", Parent),
        (SYS_socketpair, "socketpair", Parent),
        (FORK.0, FORK.1, Parent),
        (SYS_kill, "kill", Parent),
        (SYS_wait4, "wait4", Parent),
        (SYS_recvmsg, "recvmsg", By("listener")),
        (SYS_prctl, "prctl", By("listener")),
        (SYS_seccomp, "seccomp", By("listener")),
        (SYS_sendmsg, "sendmsg", By("listener")),
        (SYS_ioctl, "ioctl", By("receive")),
        (MKDIR.0, MKDIR.1, By("receive")),
        (SYS_process_vm_readv, "process_vm_readv", By("process-vm-readv")),
        (SYS_readlinkat, "readlinkat", By("proc-mem")),
        (SYS_pread64, "pread64", By("proc-mem")),
        (SYS_pidfd_open, "pidfd_open", By("pidfd-getfd")),
        (SYS_pidfd_getfd, "pidfd_getfd", By("pidfd-getfd")),
        (SYS_nanosleep, "nanosleep", Nowhere),
    ]
};

/// What is wrong with a run under a sandbox that refuses this call with this error.
fn judge_refused(call: (c_long, &str, Told), errno: i32, expected: &Lines) -> Result<(), String> {
    let (number, name, told) = call;
    let outcome = program(["-p"])
        .before(sandbox(&[(number, SECCOMP_RET_ERRNO | errno as u32)]))
        // Without kill or wait4, the children end with their parent, but a moment later.
        .grace(Duration::from_secs(2))
        .finish();
    let shown = || format!("{outcome:#?}");
    // A sandbox that refuses with ENOENT, as the kernel does for a call that went away, costs two seconds.
    if outcome.took > Duration::from_secs(5) {
        return Err(format!("took {:?}", outcome.took));
    }
    let lines = Lines::read(&outcome.out())?;
    let err = outcome.err();
    let used_up = USED_UP.contains(&errno);
    let parent = format!("Parent: {name}: {}\n", text(errno));
    let (parent, status) = if used_up { (parent, 1) } else { (format!("{parent}{HINT}\n"), 77) };
    let thing = match told {
        Told::Nowhere => return if lines == *expected { Ok(()) } else { Err(shown()) },
        Told::By(thing) if !used_up => thing,
        _ => {
            let right = err == parent && outcome.ended == Ended::Status(status);
            return if right { Ok(()) } else { Err(shown()) };
        }
    };
    lines.are_consistent()?;
    let right = match lines.of(thing) {
        Some(Said::No { call, error, reason }) => {
            // Only a sandbox refuses so, or else what guards the child's memory.
            let told = match (name, errno) {
                ("process_vm_readv" | "pread64" | "pidfd_getfd", EPERM | EACCES) => Some(MEMORY),
                (_, EPERM | EACCES) => Some(HINT),
                _ => reason.as_deref(),
            };
            call == name && *error == text(errno) && reason.as_deref() == told
        }
        _ => false,
    };
    // The listener's flag is set with the same call as a notification is received, and needs only the listener.
    let with_ioctl = (name == "ioctl").then_some("sync-wake-up");
    let others =
        expected.failed().into_iter().chain([thing]).chain(with_ioctl).collect::<BTreeSet<_>>();
    let failed = lines.failed().into_iter().collect::<BTreeSet<_>>();
    let status = outcome.ended == Ended::Status(lines.status());
    let complete = lines.is_whole() && err.is_empty();
    if right && complete && status && failed.is_subset(&others) { Ok(()) } else { Err(shown()) }
}

/// Whether this process may install a filter.
fn may_refuse() -> bool {
    let tried = in_child(LIMIT, || match sandbox(&[(SYS_add_key, SECCOMP_RET_ERRNO | 1)])() {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(255),
    });
    if let Ended::Status(errno @ 1..) = tried {
        skipped("a sandbox around the program", io::Error::from_raw_os_error(errno));
    }
    tried == Ended::Status(0)
}

#[test]
fn a_call_that_is_refused_with_whatever_errno_is_told_in_the_right_line() {
    if !may_refuse() || !is_free() {
        return;
    }
    let errors = [
        EPERM,
        EACCES,
        ENOSYS,
        EINVAL,
        EOPNOTSUPP,
        EIO,
        ENOENT,
        ENODEV,
        ENOTDIR,
        ESRCH,
        EFAULT,
        EBADF,
        EAGAIN,
        EMFILE,
        ENFILE,
        ENOBUFS,
        ENOMEM,
        ETOOMANYREFS,
    ];
    let expected = whole(&program(["-p"]).finish());
    let pairs: Vec<_> = CALLS.iter().flat_map(|call| errors.map(|errno| (*call, errno))).collect();
    let bad = sweep::bad_ones(&pairs, |&(call, errno)| {
        judge_refused(call, errno, &expected)
            .map_err(|why| format!("{} = {}: {why}", call.1, text(errno)))
    });
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn a_call_for_which_a_sandbox_kills_is_told() {
    if !may_refuse() || !is_free() {
        return;
    }
    let mut bad = Vec::new();
    for &(number, name, told) in CALLS {
        for action in [SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP] {
            let outcome = program(["-p"])
                .before(sandbox(&[(number, action)]))
                .grace(Duration::from_secs(2))
                .finish();
            let line = format!("Parent: target process was killed by signal 31\n{HINT}\n");
            let child_killed = outcome.ended == Ended::Status(77) && outcome.err().contains(&line);
            let killed = outcome.ended == Ended::Signal(SIGSYS);
            // A process of its own makes this one.
            if name == "pidfd_getfd" {
                let line = format!("pidfd-getfd: no: pidfd_getfd: killed by signal 31; {HINT}\n");
                if outcome.ended != Ended::Status(0) || !outcome.out().contains(&line) {
                    bad.push(format!("{name} {action:#x}: {outcome:#?}"));
                }
                continue;
            }
            let childs = ["prctl", "seccomp", "sendmsg", MKDIR.1].contains(&name);
            // If nothing calls it, nothing is killed.
            let fine = told == Told::Nowhere && outcome.ended == Ended::Status(0);
            if !(if childs { child_killed } else { killed || fine }) {
                bad.push(format!("{name} {action:#x}: {outcome:#?}"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// The child calls again and again, and nothing is notified.
#[test]
fn a_sandbox_that_answers_the_notified_call_itself_does_not_make_it_hang() {
    if !may_refuse() || !is_free() {
        return;
    }
    // Each takes two seconds.
    sweep::side_by_side(&[0, EEXIST], |errno| {
        let refuse = sandbox(&[(MKDIR.0, SECCOMP_RET_ERRNO | *errno as u32)]);
        let outcome = program(["-p"]).before(refuse).finish();
        let lines = whole(&outcome);
        assert_eq!(lines.failed(), ["receive"], "{outcome:#?}");
        assert!(outcome.took < Duration::from_secs(5), "{:?}", outcome.took);
    });
}

/// As with kernels that lose the value that was sent (powerpc, 7.2): a call that succeeds is not believed.
#[test]
fn a_call_that_only_claims_success_is_told() {
    if inject::skipped() || !is_free() {
        return;
    }
    for (call, side, fails) in [
        (Call::new(Role::Target, MKDIR.1, 1), Side::Exit, "send"),
        (Call::new(Role::Parent, "ioctl(RECV)", 1), Side::Entry, "receive"),
        (Call::new(Role::Parent, "ioctl(ID_VALID)", 2), Side::Entry, "id-valid"),
        (Call::new(Role::Parent, "ioctl(ADDFD)", 1), Side::Entry, "add-fd"),
        (Call::new(Role::Parent, "process_vm_readv", 1), Side::Entry, "process-vm-readv"),
        (Call::new(Role::Parent, "pread64(/proc/PID/mem)", 1), Side::Entry, "proc-mem"),
        // The two that look whether the end of the child is told.
        (Call::new(Role::Parent, "ioctl(RECV)", 10), Side::Entry, "end-told"),
        (Call::new(Role::Parent, "ioctl(RECV)", 11), Side::Entry, "end-told"),
    ] {
        let moment = Moment { call, side };
        let shown = moment.to_string();
        // An alarm makes one more call of RECV, and the number is another one's then.
        let outcome = (0..5).map(|_| run(&[(When::Once(moment.clone()), Action::Return(0))]));
        let outcome = outcome.min_by_key(|outcome| outcome.calls.len()).expect("some");
        assert_eq!(outcome.done, [1], "{shown}");
        let lines = Lines::read(&String::from_utf8_lossy(&outcome.out)).unwrap();
        lines.are_consistent().unwrap_or_else(|why| panic!("{shown}: {why}: {lines:#?}"));
        assert_eq!(lines.failed(), [fails], "{shown}: {lines:#?}");
        let said = lines.of(fails);
        let wrong = matches!(said, Some(Said::No { error, .. }) if error == "wrong result");
        assert!(wrong, "{shown}: {said:?}");
        assert_eq!(outcome.status(), lines.status(), "{shown}");
    }
}

// ---- Injected errors and signals

fn run(rules: &[(When, Action)]) -> inject::Outcome {
    let script = Script { rules: rules.to_vec(), ..Script::default() };
    inject::run(common::image(), &[OsStr::new("-p")], &script)
}

/// A run in which nothing is injected: the one with the fewest calls, since alarms add some.
fn clean() -> inject::Outcome {
    let outcome = (0..5).map(|_| run(&[])).min_by_key(|outcome| outcome.calls.len()).unwrap();
    assert!(!outcome.hung && outcome.left.is_empty(), "{outcome:#?}");
    assert_eq!(outcome.out, program(["-p"]).finish().out().into_bytes(), "{outcome:#?}");
    outcome
}

const CHILDREN: [Role; 5] =
    [Role::Target, Role::Tracer, Role::ThirdChild, Role::FourthChild, Role::FifthChild];

/// Calls of one kind: all children do much the same.
fn kind(call: &Call) -> (bool, String) {
    (call.role == Role::Parent, call.name.clone())
}

const ERRORS: [i32; 11] =
    [EPERM, EACCES, ENOMEM, EINTR, EIO, EAGAIN, ENOSYS, EINVAL, ENFILE, ENOENT, ESRCH];

/// The failures after which the probe does all its work: whose, the beginning of the call's name, the errors, and why.
#[rustfmt::skip]
const HARMLESS: &[(&[Role], &str, &[i32], &str)] = &[
    (&[Role::Parent], "", &[EINTR], "the call is made again"),
    (&CHILDREN, "", &[EINTR], "the call is made again"),
    (&[Role::Parent], "write(1)", &[EAGAIN], "made again when there is room"),
    (&[Role::Parent, Role::FifthChild], "exit_group", &ERRORS, "made again: there is nothing else to do"),
    (&[Role::Parent], "getpid", &ERRORS, "at the end: only the machine's first process waits for its console"),
    (&[Role::Parent], "nanosleep", &ERRORS, "it only gives a signal time to arrive"),
    (&[Role::Parent], "close(socket)", &ERRORS, "it only takes longer to notice the child's end, or takes room"),
    (&[Role::Parent], "close(listener)", &ERRORS, "a descriptor that stays open only takes room"),
    (&[Role::Parent], "ioctl(RECV)", &[ENOENT], "a call went away: the next one is waited for, or none is left"),
    (&[Role::Parent], "ioctl(ID_VALID)", &[EINVAL], "made again with the number from before Linux 5.9"),
    (&[Role::Parent], "ioctl(ID_VALID)", &[ENOENT], "the right answer to the wrong ID"),
    (&CHILDREN, "prctl(DUMPABLE)", &ERRORS, "only needed if the program's file is unreadable"),
    (&CHILDREN, "prctl(PTRACER)", &ERRORS, "only needed with Yama"),
    (&CHILDREN, "close(", &ERRORS, "nothing is open there"),
];

/// What is wrong with a run in which this call fails with this error. `Ok` tells whether the probe did all its work.
fn judge_fault(
    call: &Call,
    errno: i32,
    outcome: &inject::Outcome,
    expected: &[u8],
) -> Result<Option<usize>, String> {
    let out = String::from_utf8_lossy(&outcome.out);
    let err = String::from_utf8_lossy(&outcome.err);
    let shown = || format!("{:?}, status {}\n{out}{err}", outcome.ends, outcome.status());
    if outcome.hung {
        return Err(format!("hung: {}", shown()));
    }
    if !outcome.left.is_empty() {
        return Err(format!("left {:?}: {}", outcome.left, shown()));
    }
    if outcome.crashed() {
        return Err(format!("crashed: {}", shown()));
    }
    let lines = Lines::read(&out)?;
    lines.are_consistent()?;
    let (name, error) = (call.plain(), text(errno));
    let used_up = USED_UP.contains(&errno);
    if err.starts_with("Parent: ") {
        let status = if used_up || name == "write" { 1 } else { 77 };
        let line = err.lines().next() == Some(&format!("Parent: {name}: {error}"));
        let right = line && outcome.status() == status;
        return if right { Ok(None) } else { Err(format!("untrue: {}", shown())) };
    }
    if !lines.is_whole() || !err.is_empty() || outcome.status() != lines.status() {
        return Err(format!("incomplete: {}", shown()));
    }
    if outcome.out == expected {
        let entry = HARMLESS.iter().position(|(roles, beginning, errors, _)| {
            roles.contains(&call.role)
                && call.name.starts_with(beginning)
                && errors.contains(&errno)
        });
        return entry.map(Some).ok_or(format!("on no list of harmless ones: {}", shown()));
    }
    let said: Vec<&Said> =
        lines.said.iter().filter(|said| matches!(said, Said::No { .. })).collect();
    let named = match said[..] {
        [Said::No { call, error: it, .. }] => call == name && *it == error,
        _ => false,
    };
    // The child could not close the descriptor that it was given: to it, that one was not there.
    let not_closed = CHILDREN.contains(&call.role)
        && call.name == "close(socket)"
        && matches!(said[..], [Said::No { error, .. }] if error == "wrong result");
    if (named && !used_up) || not_closed { Ok(None) } else { Err(format!("not told: {}", shown())) }
}

#[test]
fn every_call_may_fail_with_every_error() {
    if inject::skipped() || !is_free() {
        return;
    }
    let begin = Instant::now();
    let clean = clean();
    let calls: Vec<&Call> =
        clean.calls.iter().map(|seen| &seen.call).filter(|it| it.name != "rt_sigreturn").collect();
    let mut faults: Vec<(&Call, i32)> = Vec::new();
    let mut sample = Sample::new();
    for &call in &calls {
        let errors = sample.choose(kind(call), &ERRORS);
        faults.extend(errors.iter().map(|&errno| (call, errno)));
    }
    let verdicts = sweep::side_by_side(&faults, |&(call, errno)| {
        let mut again = 0;
        loop {
            let moment = Moment { call: call.clone(), side: Side::Entry };
            let outcome = run(&[(When::Once(moment), Action::Return(-i64::from(errno)))]);
            // An alarm can change which calls are made.
            if outcome.done == [0] && again < 3 {
                again += 1;
                continue;
            }
            if outcome.done == [0] {
                return Err("the call was not made".into());
            }
            // On a busy machine a child may get no time for two seconds. Then the probe gives it up, and says so by the call in
            // which the alarm came.
            let given_up = b": Interrupted system call";
            let gave_up =
                errno != EINTR && outcome.out.windows(given_up.len()).any(|it| it == given_up);
            if gave_up && again < 3 {
                again += 1;
                continue;
            }
            return judge_fault(call, errno, &outcome, &clean.out);
        }
    });
    let mut bad = Vec::new();
    let mut used = BTreeSet::new();
    let mut harmless = 0;
    for (verdict, (call, errno)) in verdicts.iter().zip(&faults) {
        match verdict {
            Ok(None) => {}
            Ok(Some(entry)) => {
                used.insert(*entry);
                harmless += 1;
            }
            Err(why) => bad.push(format!("{call} = {}: {why}", text(*errno))),
        }
    }
    println!(
        "\n-p ({}): {} calls, {} faults: {harmless} harmless, {} told, {} bad, in {:.1} s",
        sweep::extent(),
        calls.len(),
        faults.len(),
        faults.len() - harmless - bad.len(),
        bad.len(),
        begin.elapsed().as_secs_f64()
    );
    bad.truncate(8);
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    let idle: Vec<_> = HARMLESS.iter().enumerate().filter(|(at, _)| !used.contains(at)).collect();
    // A sample need not have met the failure.
    assert!(idle.is_empty() || !sweep::is_whole(), "entries that no run needed: {idle:?}");
}

/// Sends a signal to each process at each moment, and checks what comes of it.
fn sweep(
    heading: &str,
    action: fn(Role) -> Action,
    check: impl Fn(Role, &inject::Outcome, &[u8]) -> Result<(), String> + Sync,
) {
    if inject::skipped() || !is_free() {
        return;
    }
    let begin = Instant::now();
    let clean = clean();
    let roles = [&[Role::Parent][..], &CHILDREN].concat();
    let mut cases: Vec<(Role, &Moment)> = Vec::new();
    let mut sample = Sample::new();
    for (moment, there) in clean.stops_with(&roles) {
        let victims = sample.choose((kind(&moment.call), moment.side), &there);
        cases.extend(victims.iter().map(|&victim| (victim, moment)));
    }
    let verdicts = sweep::side_by_side(&cases, |&(victim, moment)| {
        let outcome = run(&[(When::Once(moment.clone()), action(victim))]);
        if outcome.done == [0] {
            return Ok(false);
        }
        let shown = || {
            let out = String::from_utf8_lossy(&outcome.out);
            let err = String::from_utf8_lossy(&outcome.err);
            format!("{moment}, the {victim}: {:?}\n{out}{err}", outcome.ends)
        };
        if outcome.hung {
            return Err(format!("hung: {}", shown()));
        }
        if !outcome.left.is_empty() {
            return Err(format!("left {:?}: {}", outcome.left, shown()));
        }
        if outcome.crashed() {
            return Err(format!("crashed: {}", shown()));
        }
        check(victim, &outcome, &clean.out).map_err(|why| format!("{why}: {}", shown()))?;
        Ok(true)
    });
    let tried = verdicts.iter().filter(|verdict| !matches!(verdict, Ok(false))).count();
    for role in roles {
        let was_there = |(verdict, (victim, _)): (&_, &(Role, _))| {
            !matches!(verdict, Ok(false)) && *victim == role
        };
        assert!(verdicts.iter().zip(&cases).any(was_there), "the {role} is there at some moments");
    }
    let mut bad: Vec<_> = verdicts.into_iter().filter_map(Result::err).collect();
    println!(
        "\n-p, {heading} ({}): {} moments, {tried} tried, {} bad, in {:.1} s",
        sweep::extent(),
        clean.stops.len(),
        bad.len(),
        begin.elapsed().as_secs_f64()
    );
    bad.truncate(8);
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Whether nothing but `yes` is said: what was killed or stopped must not be taken for an answer of the system.
fn says_nothing_false(outcome: &inject::Outcome, expected: &[u8]) -> Result<(), String> {
    if expected.starts_with(&outcome.out) { Ok(()) } else { Err("a false line".into()) }
}

/// Answers that the kernel took, but whose call was interrupted just then: the child does not get them, and calls once more.
/// Here they are not sent, and the child is stopped and continued.
fn lost(sends: std::ops::RangeInclusive<usize>) -> Vec<(When, Action)> {
    let both = |nth| {
        let send = When::Once(Moment::new(Role::Parent, "ioctl(SEND)", nth, Side::Entry));
        [(send.clone(), Action::Return(0)), (send, Action::StopAndContinue(Role::Target))]
    };
    sends.flat_map(both).collect()
}

#[test]
fn an_answer_that_the_child_did_not_get_is_given_again() {
    if inject::skipped() || !is_free() {
        return;
    }
    let expected = clean().out;
    let outcome = run(&lost(1..=1));
    assert_eq!(outcome.done, [1; 2], "{outcome:#?}");
    assert_eq!((outcome.out.clone(), outcome.status()), (expected, 0), "{outcome:#?}");
}

/// A child that is stopped again and again is not waited for for ever.
#[test]
fn after_twenty_answers_that_the_child_did_not_get_no_more_is_given() {
    if inject::skipped() || !is_free() {
        return;
    }
    let outcome = run(&lost(1..=21));
    assert!(!outcome.hung && outcome.left.is_empty(), "{outcome:#?}");
    assert_eq!(outcome.done, [1; 42], "{outcome:#?}");
    let lines = Lines::read(&String::from_utf8_lossy(&outcome.out)).unwrap();
    lines.are_consistent().unwrap_or_else(|why| panic!("{why}: {lines:#?}"));
    assert_eq!(lines.failed(), ["send"], "{lines:#?}");
    assert_eq!(outcome.status(), 77, "{lines:#?}");
}

/// As if the probe had been stopped while the kernel put the descriptor into the child: the call that is made once more finds
/// that it is being done.
#[test]
fn a_descriptor_that_is_being_given_is_not_given_twice() {
    if inject::skipped() || !is_free() {
        return;
    }
    let expected = clean().out;
    let give = Moment::new(Role::Parent, "ioctl(ADDFD)", 2, Side::Exit);
    let outcome = run(&[(When::Once(give), Action::Return(-i64::from(EINPROGRESS)))]);
    assert_eq!(outcome.done, [1], "{outcome:#?}");
    assert_eq!((outcome.out.clone(), outcome.status()), (expected, 0), "{outcome:#?}");
}

#[test]
fn a_process_that_does_not_end_when_it_fetches_a_descriptor_is_no_answer() {
    if inject::skipped() || !is_free() {
        return;
    }
    let expected = clean().out;
    let fetch = Moment::new(Role::FifthChild, "pidfd_getfd", 1, Side::Exit);
    let outcome = run(&[(When::Once(fetch), Action::Wait)]);
    assert_eq!(outcome.done, [1], "{outcome:#?}");
    assert!(!outcome.hung && outcome.left.is_empty(), "{outcome:#?}");
    assert_eq!(outcome.ends[&Role::FifthChild], End::Killed(Signal::SIGKILL), "{outcome:#?}");
    let err = String::from_utf8_lossy(&outcome.err);
    assert_eq!(err, format!("Parent: wait4: {}\n", text(EAGAIN)), "{outcome:#?}");
    assert_eq!(outcome.status(), 1);
    says_nothing_false(&outcome, &expected).unwrap();
}

#[test]
fn if_a_process_is_killed_nothing_is_left_and_nothing_false_is_said() {
    let kill = |victim| Action::Signal(victim, Signal::SIGKILL);
    sweep("SIGKILL", kill, |victim, outcome, expected| {
        says_nothing_false(outcome, expected)?;
        if outcome.after_signal.is_none_or(|time| time > GRACE) {
            return Err(format!("late: {:?}", outcome.after_signal));
        }
        let err = String::from_utf8_lossy(&outcome.err);
        let told = err == "Parent: target process was killed by signal 9\n";
        match outcome.ends[&Role::Parent] {
            End::Killed(Signal::SIGKILL) if victim == Role::Parent => Ok(()),
            // The parent was about to kill it, or to end.
            End::Exited(0) if outcome.out == expected && err.is_empty() => Ok(()),
            End::Exited(1) if victim != Role::Parent && told => Ok(()),
            _ => Err("the wrong end".into()),
        }
    });
}

#[test]
fn a_process_that_is_stopped_and_continued_changes_nothing() {
    sweep("SIGSTOP and SIGCONT", Action::StopAndContinue, |_, outcome, expected| {
        if outcome.out == expected && outcome.err.is_empty() && outcome.status() == 0 {
            Ok(())
        } else {
            Err("another output".into())
        }
    });
}

#[test]
fn an_alarm_changes_nothing() {
    let alarm = |victim| Action::Signal(victim, Signal::SIGALRM);
    sweep("SIGALRM", alarm, |victim, outcome, expected| {
        // A child has no timer. A signal may end its call, and it tells so.
        if victim != Role::Parent {
            return Ok(());
        }
        let handled = |seen: &inject::Seen| {
            seen.call.name == "rt_sigaction(SIGALRM)" && seen.result == Some(0)
        };
        if outcome.ends[&Role::Parent] == End::Killed(Signal::SIGALRM)
            && !outcome.calls.iter().any(handled)
        {
            return Ok(());
        }
        if outcome.out == expected && outcome.err.is_empty() && outcome.status() == 0 {
            Ok(())
        } else {
            Err("another output".into())
        }
    });
}
