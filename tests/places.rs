//! Unusual environments: no /proc, no /tmp, closed streams, limits on descriptors and processes, other users and namespaces,
//! sandboxes and supervisors around the program, inherited signals. The program keeps its promises there, or names the call
//! that failed, with the reason, and ends.

mod common;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::transcript::{EPERM, Fate, Script};
use common::{Beneath, Ended, Outcome, Run, Stream, in_child, install_filter, is_root, skipped};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::{Gid, Uid, chdir, chroot, setgid, setgroups, setuid};

/// A function that sets up an environment, in the new process before the program starts.
type Setup = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// The ordinary user of these tests, usually called nobody.
const USER: u32 = 65534;

fn setup(act: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Setup {
    Arc::new(act)
}

/// Does one after the other.
fn both(first: Setup, second: Setup) -> Setup {
    setup(move || {
        first()?;
        second()
    })
}

/// Whether this process may set up the environment. If not, reports the test as skipped.
fn is_possible(what: &str, environment: &Setup) -> bool {
    let environment = Arc::clone(environment);
    let tried = in_child(common::LIMIT, move || match environment() {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(255),
    });
    match tried {
        Ended::Status(0) => true,
        Ended::Status(errno) => {
            skipped(what, io::Error::from_raw_os_error(errno));
            false
        }
        Ended::Signal(signal) => panic!("{what}: signal {signal}"),
    }
}

/// A run of a file of the program in an environment.
fn run_in<S: AsRef<OsStr>>(environment: &Setup, file: &Path, arguments: &[S]) -> Run {
    let environment = Arc::clone(environment);
    Run::of(file, arguments).before(move || environment())
}

/// A copy of the program that every user can access, in its own directory.
struct Copy {
    folder: tempfile::TempDir,
}

impl Copy {
    fn new(mode: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("seccomp-notify-min.").tempdir_in("/tmp");
        let folder = folder.expect("a directory can be made in /tmp");
        let all = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), all).unwrap();
        let copy = Self { folder };
        fs::copy(common::image(), copy.file()).expect("the image can be copied");
        fs::set_permissions(copy.file(), fs::Permissions::from_mode(mode)).unwrap();
        copy
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("program")
    }

    /// A path in the copy's directory.
    fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A root directory that contains only the program, as `/program`.
struct Root(Copy);

impl Root {
    fn new() -> Self {
        Self(Copy::new(0o755))
    }

    /// The path of `name` in the root directory, as this process sees it.
    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes it the root directory.
    fn environment(&self) -> Setup {
        let root = self.0.folder.path().to_owned();
        both(
            own_namespaces(CloneFlags::CLONE_NEWNS),
            setup(move || {
                chroot(&root)?;
                chdir("/")?;
                Ok(())
            }),
        )
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        run_in(&self.environment(), Path::new("/program"), arguments)
    }
}

/// Moves the process to new namespaces. Users other than root need a user namespace too.
fn own_namespaces(flags: CloneFlags) -> Setup {
    let user = if is_root() { None } else { Some(own_user_namespace()) };
    setup(move || {
        if let Some(user) = &user {
            user()?;
        }
        unshare(flags)?;
        if flags.contains(CloneFlags::CLONE_NEWNS) {
            // Mounts must not appear outside.
            mount(none(), c"/", none(), MsFlags::MS_REC | MsFlags::MS_PRIVATE, none())?;
        }
        Ok(())
    })
}

/// Moves the process to a new user namespace that contains only this user.
fn own_user_namespace() -> Setup {
    let uid_map = format!("{0} {0} 1", nix::unistd::geteuid());
    let gid_map = format!("{0} {0} 1", nix::unistd::getegid());
    setup(move || {
        unshare(CloneFlags::CLONE_NEWUSER)?;
        write(c"/proc/self/setgroups", "deny")?;
        write(c"/proc/self/uid_map", &uid_map)?;
        write(c"/proc/self/gid_map", &gid_map)
    })
}

/// Writes to a file and does not allocate.
fn write(file: &std::ffi::CStr, text: &str) -> io::Result<()> {
    let file = nix::fcntl::open(file, nix::fcntl::OFlag::O_WRONLY, nix::sys::stat::Mode::empty())?;
    nix::unistd::write(&file, text.as_bytes())?;
    Ok(())
}

/// No string, for the arguments of `mount(2)`.
fn none() -> Option<&'static std::ffi::CStr> {
    None
}

/// Mounts a file system on a directory, in a new mount namespace.
fn mounted(kind: &'static str, on: PathBuf, flags: MsFlags, options: &'static str) -> Setup {
    both(
        own_namespaces(CloneFlags::CLONE_NEWNS),
        setup(move || {
            mount(Some("none"), &on, Some(kind), flags, Some(options))?;
            Ok(())
        }),
    )
}

/// Makes the process one of another user.
fn as_user(user: u32) -> Setup {
    setup(move || {
        setgroups(&[])?;
        setgid(Gid::from_raw(user))?;
        setuid(Uid::from_raw(user))?;
        Ok(())
    })
}

/// Checks that the demonstration succeeds in an environment, with and without `-K`.
fn works_in(what: &str, environment: &Setup, file: &Path) {
    if !is_possible(what, environment) {
        return;
    }
    let beneath = Beneath::new();
    // Any user may run the program.
    fs::set_permissions(beneath.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let path = beneath.join("x");
    let undo = &mut || {
        assert_eq!(beneath.contents(), ["x"]);
        fs::remove_dir(&path).unwrap();
    };
    let directories =
        |script: Script| script.directory(&path, Fate::Created).directory("/etc/c", EPERM);

    let script = directories(Script::new());
    let arguments = [path.clone(), "/etc/c".into()];
    script.verify_as(|| run_in(environment, file, &arguments), undo);

    let script = directories(Script::new().keep()).directory("/bye", Fate::Bye);
    let arguments = ["-K".into(), path.clone(), "/etc/c".into(), "/bye".into()];
    script.verify_as(|| run_in(environment, file, &arguments), undo);
}

fn image() -> &'static Path {
    common::image()
}

// ---- File systems

#[test]
fn it_works_without_proc() {
    let environment = mounted("tmpfs", "/proc".into(), MsFlags::empty(), "");
    works_in("no /proc", &environment, image());
}

#[test]
fn it_works_where_proc_hides_other_users_processes() {
    let environment = mounted("proc", "/proc".into(), MsFlags::empty(), "hidepid=2");
    works_in("/proc with hidepid", &environment, image());
    if is_root() {
        let copy = Copy::new(0o755);
        works_in("/proc with hidepid, as a user", &both(environment, as_user(USER)), &copy.file());
    }
}

#[test]
fn without_tmp_the_real_error_is_told() {
    let root = Root::new();
    if !is_possible("no /tmp", &root.environment()) {
        return;
    }
    let script = Script::new()
        .keep()
        .directory("/tmp/x", common::transcript::ENOENT)
        .directory("/bye", Fate::Bye);
    script.verify_as(|| root.run(&["-K", "/tmp/x", "/bye"]), &mut || {});
}

#[test]
fn a_tmp_that_comes_later_is_found() {
    let root = Root::new();
    if !is_possible("a /tmp that comes later", &root.environment()) {
        return;
    }
    let run = root.run(&["-K", "-d", "1", "/tmp/a", "/tmp/b"]).together().start();
    run.wait_for("Target process: mkdir: No such file");
    fs::create_dir(root.join("tmp")).unwrap();
    let run = run.finish();
    let script = Script::new()
        .keep()
        .delay(1)
        .directory("/tmp/a", common::transcript::ENOENT)
        .directory("/tmp/b", Fate::Created);
    script.check(&run);
    assert!(root.join("tmp/b").is_dir());
}

#[test]
fn a_tmp_that_is_a_link_is_refused() {
    let root = Root::new();
    if !is_possible("/tmp a link", &root.environment()) {
        return;
    }
    fs::create_dir(root.join("elsewhere")).unwrap();
    for link in ["elsewhere", "/elsewhere", "nowhere", "tmp"] {
        symlink(link, root.join("tmp")).unwrap();
        let script = Script::new().directory("/tmp/x", EPERM).directory("/tmp/y/z", EPERM);
        script.verify_as(|| root.run(&["/tmp/x", "/tmp/y/z"]), &mut || {
            assert_eq!(fs::read_dir(root.join("elsewhere")).unwrap().count(), 0, "{link}");
        });
        fs::remove_file(root.join("tmp")).unwrap();
    }
}

#[test]
fn a_tmp_that_is_no_directory_is_told() {
    let root = Root::new();
    if !is_possible("/tmp a file", &root.environment()) {
        return;
    }
    fs::write(root.join("tmp"), "").unwrap();
    let script = Script::new().directory("/tmp/x", common::transcript::ENOTDIR);
    script.verify_as(|| root.run(&["/tmp/x"]), &mut || {});
}

#[test]
fn a_file_system_that_takes_no_directory_is_told() {
    for (what, flags, options, text) in [
        ("read-only /tmp", MsFlags::MS_RDONLY, "", "Read-only file system"),
        ("full /tmp", MsFlags::empty(), "nr_inodes=1,size=4k", "No space left on device"),
    ] {
        let root = Root::new();
        let tmp = root.join("tmp");
        fs::create_dir(&tmp).unwrap();
        let environment = both(mounted("tmpfs", tmp, flags, options), root.environment());
        if !is_possible(what, &environment) {
            continue;
        }
        let script = Script::new()
            .keep()
            .directory("/tmp/x", Fate::Refused(text))
            .directory("/bye", Fate::Bye);
        let arguments = ["-K", "/tmp/x", "/bye"];
        script.verify_as(|| run_in(&environment, Path::new("/program"), &arguments), &mut || {});
    }
}

#[test]
fn a_working_directory_that_is_gone_does_not_matter() {
    let gone = Beneath::new();
    let folder = gone.join("gone");
    let environment = setup(move || {
        nix::unistd::mkdir(&folder[..], nix::sys::stat::Mode::S_IRWXU)?;
        chdir(&folder[..])?;
        let folder = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(&folder[..]))?;
        // SAFETY: the call only reads the path.
        unsafe { libc::rmdir(folder.as_ptr()) };
        Ok(())
    });
    works_in("a working directory that is gone", &environment, image());
}

// ---- Descriptors

#[test]
fn closed_streams_are_not_replaced_by_other_files() {
    let beneath = Beneath::new();
    let path = beneath.join("x");
    for closed in 0..8 {
        let environment = setup(move || {
            for fd in (0..3).filter(|fd| closed & (1 << fd) != 0) {
                nix::unistd::close(fd)?;
            }
            Ok(())
        });
        let is_closed = |fd: i32| closed & (1 << fd) != 0;
        let told = |call: &str| format!("{call}: Bad file descriptor\n");
        let run = |arguments: &[OsString]| run_in(&environment, image(), arguments).finish();

        // This run writes to standard output only.
        let outcome = run(&["-K".into(), path.clone()]);
        if is_closed(1) {
            assert_eq!(outcome.ended, Ended::Status(1), "{outcome:#?}");
            assert!(beneath.contents().is_empty(), "the target could not announce it");
            assert_eq!(outcome.out(), "");
            if !is_closed(2) {
                assert!(outcome.err().contains(&told("Target process: write")), "{outcome:#?}");
                assert!(outcome.err().contains(&told("Parent: write")), "{outcome:#?}");
            }
        } else {
            Script::new().keep().directory(&path, Fate::Created).check(&outcome);
            fs::remove_dir(&path).unwrap();
        }
        if is_closed(2) {
            assert_eq!(outcome.err(), "");
        }

        // This run writes to standard error too.
        let outcome = run(&["-K".into(), "/etc/c".into(), "/bye".into()]);
        if is_closed(1) || is_closed(2) {
            assert_eq!(outcome.ended, Ended::Status(1), "{outcome:#?}");
        } else {
            let script = Script::new().keep().directory("/etc/c", EPERM);
            script.directory("/bye", Fate::Bye).check(&outcome);
        }

        // A usage error.
        let outcome = run(&["-x".into()]);
        assert_eq!(outcome.ended, Ended::Status(1), "{outcome:#?}");
        assert_eq!(outcome.out(), "");
        assert_eq!(outcome.err().is_empty(), is_closed(2));
    }
}

/// Checks a run with too few resources: it has one of the right transcripts, or it has failed and named the call.
fn right_or_told(what: &str, outcome: &Outcome, right: &[&Script]) -> bool {
    match outcome.ended {
        Ended::Status(0) => {
            let fits = |script: &&&Script| script.compare(outcome).is_ok();
            assert!(right.iter().any(|script| fits(&script)), "{what}: {outcome:#?}");
            true
        }
        Ended::Status(1) => {
            let err = outcome.err();
            let named = err.lines().any(|line| {
                let parts: Vec<&str> = line.split(": ").collect();
                matches!(parts[..], ["Parent" | "Target process" | "Tracer", call, _]
                    if ["fork", "clone", "openat", "socketpair", "seccomp", "descriptor", "mmap"]
                        .contains(&call))
            });
            assert!(named, "{what}: {outcome:#?}");
            false
        }
        ended => panic!("{what}: {ended:?}: {outcome:#?}"),
    }
}

#[test]
fn few_descriptors_are_enough_or_the_call_that_failed_is_told() {
    let beneath = Beneath::new();
    let path = beneath.join("x");
    let created = Script::new().keep().directory(&path, Fate::Created).directory("/bye", Fate::Bye);
    let refused = Script::new()
        .keep()
        .directory(&path, Fate::Refused("Too many open files"))
        .directory("/bye", Fate::Bye);
    let mut enough = None;
    for limit in 0..=16 {
        let environment = setup(move || Ok(setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?));
        let arguments = ["-K".into(), path.clone(), "/bye".into()];
        let outcome = run_in(&environment, image(), &arguments).finish();
        let what = format!("RLIMIT_NOFILE {limit}");
        if right_or_told(&what, &outcome, &[&created, &refused]) {
            enough = enough.or(Some(limit));
        } else {
            assert_eq!(enough, None, "{what}: less was enough");
        }
        let _ = fs::remove_dir(&path);
    }
    assert!(enough.is_some_and(|enough| enough <= 9), "{enough:?}");
}

#[test]
fn few_processes_are_enough_or_the_call_that_failed_is_told() {
    if !is_root() {
        return skipped("RLIMIT_NPROC", "only root can become a user without other processes");
    }
    let copy = Copy::new(0o755);
    let right = Script::new().keep().directory("/etc/c", EPERM).directory("/bye", Fate::Bye);
    // A user without other processes: the limit counts all processes of a user.
    let user = 0x4000_0000 + std::process::id();
    for limit in 0..=4 {
        let environment = both(
            as_user(user),
            setup(move || Ok(setrlimit(Resource::RLIMIT_NPROC, limit, limit)?)),
        );
        let outcome = run_in(&environment, &copy.file(), &["-K", "/etc/c", "/bye"]).finish();
        let what = format!("RLIMIT_NPROC {limit}");
        let is_right = right_or_told(&what, &outcome, &[&right]);
        assert_eq!(is_right, limit >= 3, "{what}: {outcome:#?}");
    }
}

#[test]
fn without_memory_for_a_long_line_the_call_that_failed_is_told() {
    let path = format!("/{}", "x".repeat(100_000));
    let environment = setup(|| Ok(setrlimit(Resource::RLIMIT_AS, 300_000, 300_000)?));
    let outcome = run_in(&environment, image(), &[path]).finish();
    assert_eq!(outcome.ended, Ended::Status(1), "{outcome:?}");
    let line = "Target process: mmap: Cannot allocate memory\n";
    assert!(outcome.err().contains(line), "{}", outcome.err());
}

// ---- Users and namespaces

#[test]
fn it_works_for_an_ordinary_user() {
    if !is_root() {
        return works_in("this user", &setup(|| Ok(())), image());
    }
    let copy = Copy::new(0o755);
    works_in("an ordinary user", &as_user(USER), &copy.file());
}

#[test]
fn the_directory_belongs_to_the_user() {
    if !is_root() {
        return skipped("the directory's owner", "only root can become another user");
    }
    let copy = Copy::new(0o755);
    let beneath = Beneath::new();
    fs::set_permissions(beneath.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let path = beneath.join("x");
    let arguments = ["-K".into(), path.clone()];
    let outcome = run_in(&as_user(USER), &copy.file(), &arguments).finish();
    assert_eq!(outcome.ended, Ended::Status(0), "{outcome:#?}");
    let made = fs::metadata(&path).unwrap();
    assert_eq!((made.uid(), made.gid()), (USER, USER));
}

#[test]
fn what_the_user_may_not_is_told() {
    if !is_root() {
        return skipped("a directory of root's", "only root can make one");
    }
    let copy = Copy::new(0o755);
    let beneath = Beneath::new();
    fs::set_permissions(beneath.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = beneath.join("x");
    let script = Script::new().directory(&path, Fate::Refused("Permission denied"));
    let arguments = [path];
    script.verify_as(|| run_in(&as_user(USER), &copy.file(), &arguments), &mut || {
        assert!(beneath.contents().is_empty());
    });
}

#[test]
fn it_works_as_a_file_that_its_user_cannot_read() {
    if !is_root() {
        return skipped("a file that its user cannot read", "only root can give one away");
    }
    let copy = Copy::new(0o711);
    works_in("mode 0711", &as_user(USER), &copy.file());
}

#[test]
fn it_works_in_a_user_namespace() {
    works_in("a user namespace", &own_user_namespace(), image());
}

#[test]
fn it_works_in_a_user_namespace_without_a_map() {
    // Its user ID is that of nobody, but the file systems still use the original one.
    let environment = setup(|| Ok(unshare(CloneFlags::CLONE_NEWUSER)?));
    works_in("a user namespace without a map", &environment, image());
}

/// Continues in a child. The process that was started waits for the child and ends with its status.
fn in_a_new_process() -> Setup {
    setup(|| {
        // SAFETY: both processes only make system calls before they execute a program or end.
        unsafe {
            let child = match libc::fork() {
                -1 => return Err(io::Error::last_os_error()),
                0 => return Ok(()),
                child => child,
            };
            // The process that started this one waits until all copies of a pipe's other end are closed.
            libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0);
            let mut status = 0;
            while libc::waitpid(child, &raw mut status, 0) == -1 {}
            libc::_exit(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 200 })
        }
    })
}

/// Makes the process the first one of a new PID namespace.
fn first_of_a_pid_namespace() -> Setup {
    let namespaces = own_namespaces(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID);
    both(namespaces, in_a_new_process())
}

/// Checks the exit status and the result lines. The PIDs in the transcript are those of another namespace.
fn works_among_other_pids(what: &str, environment: &Setup) {
    if !is_possible(what, environment) {
        return;
    }
    let beneath = Beneath::new();
    let path = beneath.join("x");
    let arguments = ["-K".into(), path.clone(), "/etc/c".into(), "/bye".into()];
    let outcome = run_in(environment, image(), &arguments).finish();
    assert_eq!(outcome.ended, Ended::Status(0), "{what}: {outcome:#?}");
    let (out, length) = (outcome.out(), path.len());
    let success = format!("Target process: SUCCESS: mkdir(2) returned = {length}\n");
    assert!(out.contains(&success), "{what}: {outcome:#?}");
    assert!(out.contains("Tracer: terminating <<<<"), "{what}: {outcome:#?}");
    assert_eq!(outcome.err(), "Target process: mkdir: Operation not permitted\n".repeat(2));
    assert_eq!(beneath.contents(), ["x"]);
}

#[test]
fn it_works_as_the_first_process_of_a_pid_namespace() {
    let environment = both(
        first_of_a_pid_namespace(),
        setup(|| {
            mount(Some(c"proc"), c"/proc", Some(c"proc"), MsFlags::empty(), none())?;
            Ok(())
        }),
    );
    works_among_other_pids("a PID namespace with its own /proc", &environment);
}

#[test]
fn it_works_in_a_pid_namespace_without_proc() {
    let environment = both(
        first_of_a_pid_namespace(),
        setup(|| {
            mount(Some(c"none"), c"/proc", Some(c"tmpfs"), MsFlags::empty(), none())?;
            Ok(())
        }),
    );
    works_among_other_pids("a PID namespace without /proc", &environment);
}

#[test]
fn it_works_in_a_pid_namespace_with_the_proc_of_another() {
    // The namespace's PIDs are those of other processes in /proc, or of none.
    works_among_other_pids("a PID namespace with another's /proc", &first_of_a_pid_namespace());

    // The target's PID is in /proc the one of the process that runs this test.
    let last_pid = (std::process::id() - 1).to_string();
    let environment = both(
        first_of_a_pid_namespace(),
        setup(move || write(c"/proc/sys/kernel/ns_last_pid", &last_pid)),
    );
    works_among_other_pids("a PID namespace with another's /proc and its PIDs", &environment);
}

/// As with `unshare --pid` without `--fork`: the target is the first process of the namespace, and its exit waits for the
/// tracer's exit.
#[test]
fn children_in_another_pid_namespace_are_told() {
    let what = "children in another PID namespace";
    let environment = own_namespaces(CloneFlags::CLONE_NEWPID);
    if !is_possible(what, &environment) {
        return;
    }
    for arguments in [&["/etc/c", "/bye"][..], &["-K", "/etc/c"], &["-b", "10", "/etc/c"]] {
        // If the target ends before the parent forks again, this fork fails. In a hundred runs both orders occur.
        for _ in 0..100 {
            let outcome = run_in(&environment, image(), arguments).finish();
            assert_eq!(outcome.ended, Ended::Status(77), "{arguments:?}: {outcome:#?}");
            let err = outcome.err();
            let told =
                "Target process: parent in another PID namespace: unshare --pid needs --fork\n";
            assert!(err.contains(told), "{arguments:?}: {err}");
            assert!(err.contains("Parent: target process failed with status 77\n"), "{err}");
            for call in ["getppid: ", "fork: ", "clone: "] {
                assert!(!err.contains(call), "{arguments:?}: {err}");
            }
        }
    }
}

/// Installs a filter that kills the process if it waits until a terminal has sent all output (TCSBRK).
fn kill_if_it_drains() -> Setup {
    let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let load = |offset| statement((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, offset);
    let unless = |k, jf| {
        let code = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        libc::sock_filter { code, jt: 0, jf, k }
    };
    let result = |action| statement((libc::BPF_RET | libc::BPF_K) as u16, action);
    let filter = [
        // The call's number, and the lower half of its second argument.
        load(0),
        unless(libc::SYS_ioctl as u32, 3),
        load(24),
        unless(libc::TCSBRK as u32, 1),
        result(libc::SECCOMP_RET_KILL_PROCESS),
        result(libc::SECCOMP_RET_ALLOW),
    ];
    setup(move || match install_filter(&filter, 0) {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    })
}

#[test]
fn the_first_process_waits_until_a_console_has_sent_everything() {
    for (what, namespace, ended) in [
        // 200: killed by a signal.
        ("the first process", Some(first_of_a_pid_namespace()), Ended::Status(200)),
        // Another process does not wait: a shell's background job would be stopped for that.
        ("any other process", None, Ended::Status(0)),
    ] {
        let environment = match namespace {
            Some(namespace) => both(namespace, kill_if_it_drains()),
            None => kill_if_it_drains(),
        };
        if !is_possible(what, &environment) {
            continue;
        }
        let beneath = Beneath::new();
        let arguments = ["-K".into(), beneath.join("x"), "/bye".into()];
        let outcome = run_in(&environment, image(), &arguments).finish();
        assert_eq!(outcome.ended, ended, "{what}: {outcome:#?}");
        // The order of the two lines depends on the scheduler.
        for last in ["Parent: target process has terminated\n", "Tracer: terminating <<<"] {
            assert!(outcome.out().contains(last), "{what}: {outcome:#?}");
        }
    }
}

/// The reason of a failure, too, is on the console before the kernel panics.
#[test]
fn the_first_process_waits_for_the_console_when_it_fails() {
    let what = "the first process with few descriptors";
    let limit = setup(|| Ok(setrlimit(Resource::RLIMIT_NOFILE, 4, 4)?));
    let environment = both(first_of_a_pid_namespace(), both(kill_if_it_drains(), limit));
    if !is_possible(what, &environment) {
        return;
    }
    let outcome = run_in(&environment, image(), &["/etc/c"]).finish();
    assert_eq!(outcome.ended, Ended::Status(200), "{outcome:#?}");
    // Which call is the first without a descriptor depends on those that are inherited.
    let err = outcome.err();
    assert!(
        err.starts_with("Parent: ") && err.ends_with(": Too many open files\n"),
        "{outcome:#?}"
    );
}

/// If it is a background job, it would try for ever (see the next test).
#[test]
fn the_first_process_does_not_wait_if_it_cannot_block_signals() {
    let what = "the first process without rt_sigprocmask";
    let refuse = forbidding(libc::SYS_rt_sigprocmask, libc::EPERM);
    let environment = both(first_of_a_pid_namespace(), both(kill_if_it_drains(), refuse));
    if !is_possible(what, &environment) {
        return;
    }
    let outcome = run_in(&environment, image(), &["/etc/c"]).finish();
    assert_eq!(outcome.ended, Ended::Status(77), "{outcome:#?}");
    assert_eq!(
        outcome.err(),
        "Parent: rt_sigprocmask: Operation not permitted\n\
         a sandbox does not allow a call that this program needs\n"
    );
}

/// The terminal stops a background job that waits for it. The first process of a PID namespace cannot be stopped: its call
/// would be restarted for ever.
#[test]
fn the_first_process_of_a_background_job_ends() {
    let session = setup(|| {
        nix::unistd::setsid()?;
        // SAFETY: the request has no pointer arguments.
        match unsafe { libc::ioctl(1, libc::TIOCSCTTY, 0) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    });
    let background = setup(|| {
        let this = nix::unistd::Pid::from_raw(0);
        Ok(nix::unistd::setpgid(this, this)?)
    });
    let job = both(first_of_a_pid_namespace(), background);
    if !is_possible("the first process of a background job", &job) {
        return;
    }
    let environment = both(in_a_new_process(), both(session, job));
    for arguments in [&["/etc/c", "/bye"][..], &["-h"]] {
        let terminal = nix::pty::openpty(None, None).unwrap();
        let run = run_in(&environment, image(), arguments).streams(|command| {
            command.stdout(terminal.slave);
        });
        assert_eq!(run.finish().ended, Ended::Status(0), "{arguments:?}");
    }
}

// ---- Sandboxes and supervisors

/// Checks that the target ends with status 77 in an environment, with and without `-K`, after `line` and a line that contains
/// `hint`.
fn gives_up_in(what: &str, environment: &Setup, line: &str, hint: &str) {
    if !is_possible(what, environment) {
        return;
    }
    for arguments in [&["/etc/c"][..], &["-K", "/etc/c"], &["-K", "-f", "e", "/etc/c"]] {
        let outcome = run_in(environment, image(), arguments).finish();
        assert_eq!(outcome.ended, Ended::Status(77), "{what}: {outcome:#?}");
        let err = outcome.err();
        let lines: Vec<&str> = err.lines().collect();
        let [first, second, third] = lines[..] else { panic!("{what}: {err}") };
        assert_eq!(first, line);
        assert!(second.contains(hint), "{what}: {err}");
        assert_eq!(third, "Parent: target process failed with status 77");
    }
}

#[test]
fn a_sandbox_that_refuses_seccomp_is_told_with_status_77() {
    for (errno, text, hint) in [
        // qemu-user and valgrind return this.
        (libc::ENOSYS, "Function not implemented", "emulator (qemu-user, valgrind)"),
        // Linux before 5.0 and gVisor return this.
        (libc::EINVAL, "Invalid argument", "Linux 5.0"),
        (libc::EPERM, "Operation not permitted", "a sandbox"),
        (libc::EACCES, "Permission denied", "a sandbox"),
        (libc::EIO, "Input/output error", "a sandbox"),
    ] {
        let mut sandbox =
            common::sandbox_filter(&[(libc::SYS_seccomp, libc::SECCOMP_RET_ERRNO | errno as u32)]);
        sandbox.shrink_to_fit();
        let environment = setup(move || match common::install_filter(&sandbox, 0) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
        let line = format!("Target process: seccomp: {text}");
        gives_up_in(text, &environment, &line, hint);
    }
}

#[test]
fn a_sandbox_that_kills_for_seccomp_is_told_with_status_77() {
    for action in
        [libc::SECCOMP_RET_KILL_PROCESS, libc::SECCOMP_RET_KILL_THREAD, libc::SECCOMP_RET_TRAP]
    {
        let sandbox = common::sandbox_filter(&[(libc::SYS_seccomp, action)]);
        let environment = setup(move || match common::install_filter(&sandbox, 0) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
        if !is_possible("a sandbox that kills", &environment) {
            return;
        }
        for arguments in [&["/etc/c"][..], &["-K", "/etc/c"], &["-b1", "/etc/c"]] {
            let outcome = run_in(&environment, image(), arguments).finish();
            assert_eq!(outcome.ended, Ended::Status(77), "{outcome:#?}");
            assert_eq!(
                outcome.err(),
                "Parent: target process was killed by signal 31\n\
                 a sandbox does not allow a call that this program needs\n"
            );
        }
    }
}

#[test]
fn another_supervisor_is_told_with_status_77() {
    // The other supervisor listens for a call that the program does not make.
    let filter = common::sandbox_filter(&[(libc::SYS_add_key, libc::SECCOMP_RET_USER_NOTIF)]);
    let environment = setup(move || {
        let listener = common::install_filter(&filter, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
        if listener < 0 {
            return Err(io::Error::last_os_error());
        }
        // The filter has a supervisor while the listener is open: the program inherits it.
        // SAFETY: the call has no pointer arguments.
        match unsafe { libc::fcntl(listener as i32, libc::F_SETFD, 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    });
    let line = "Target process: seccomp: Device or resource busy";
    gives_up_in("another supervisor", &environment, line, "another supervisor already listens");
}

/// Installs a filter with which this call fails with this error.
fn forbidding(call: libc::c_long, errno: i32) -> Setup {
    let filter = common::sandbox_filter(&[(call, libc::SECCOMP_RET_ERRNO | errno as u32)]);
    setup(move || match common::install_filter(&filter, 0) {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    })
}

#[test]
fn it_works_where_process_vm_readv_is_forbidden() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let environment = forbidding(libc::SYS_process_vm_readv, errno);
        works_in("no process_vm_readv", &environment, image());
    }
}

#[test]
fn without_f_dupfd_query_each_line_is_a_write() {
    // Before Linux 6.10, fcntl has no F_DUPFD_QUERY.
    let environment = forbidding(libc::SYS_fcntl, libc::EINVAL);
    if !is_possible("no fcntl", &environment) {
        return;
    }
    let outcome = run_in(&environment, image(), &["/etc/c", "/bye"]).together().finish();
    assert_eq!(outcome.ended, Ended::Status(0), "{outcome:#?}");
    let failure = b"Target process: mkdir: Operation not permitted\n";
    let alone = outcome.packets.iter().filter(|packet| packet.bytes == *failure).count();
    assert_eq!(alone, 2, "{outcome:#?}");
}

#[test]
fn memory_that_may_not_be_read_is_told_with_status_77() {
    let root = Root::new();
    let hints = [
        (libc::EPERM, "Operation not permitted", "ptrace_scope"),
        (libc::ENOSYS, "Function not implemented", "/proc"),
    ];
    for (errno, text, hint) in hints {
        // Without /proc, process_vm_readv is the only way.
        let environment = both(root.environment(), forbidding(libc::SYS_process_vm_readv, errno));
        if !is_possible("no way to read memory", &environment) {
            return;
        }
        for arguments in [&["/etc/c"][..], &["-K", "/etc/c", "/bye"]] {
            let outcome = run_in(&environment, Path::new("/program"), arguments).finish();
            assert_eq!(outcome.ended, Ended::Status(77), "{outcome:#?}");
            let err = outcome.err();
            let mut lines = err.lines();
            let line = format!("Tracer: process_vm_readv: {text}");
            assert!(lines.any(|each| each == line), "{err}");
            assert!(lines.next().is_some_and(|next| next.contains(hint)), "{err}");
            assert!(err.contains("Parent: tracer failed with status 77\n"), "{err}");
        }
    }
}

// ---- What it inherits

#[test]
fn ignored_signals_change_nothing() {
    let signals =
        [Signal::SIGTERM, Signal::SIGCHLD, Signal::SIGINT, Signal::SIGALRM, Signal::SIGPIPE];
    let ignored = |signals: &'static [Signal]| {
        setup(move || {
            for &each in signals {
                // SAFETY: no handler is installed, the signal is ignored.
                unsafe { signal(each, SigHandler::SigIgn) }?;
            }
            Ok(())
        })
    };
    for each in 0..signals.len() {
        let signals: &'static [Signal] = vec![signals[each]].leak();
        works_in(&format!("ignored {signals:?}"), &ignored(signals), image());
    }
    works_in("ignored signals", &ignored(signals.to_vec().leak()), image());
}

#[test]
fn children_of_the_process_that_became_the_program_change_nothing() {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let environment = setup(|| {
        // SAFETY: this process has one thread, and the child only ends.
        let child = match unsafe { nix::unistd::fork() }? {
            nix::unistd::ForkResult::Parent { child } => child,
            // SAFETY: as above.
            nix::unistd::ForkResult::Child => unsafe { libc::_exit(3) },
        };
        // It has ended, and the program is the one that may wait for it.
        waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
        Ok(())
    });
    works_in("a child before the start", &environment, image());
}

#[test]
fn blocked_signals_change_nothing() {
    let signals =
        [Signal::SIGTERM, Signal::SIGCHLD, Signal::SIGINT, Signal::SIGALRM, Signal::SIGPIPE];
    let blocked =
        |set: SigSet| setup(move || Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None)?));
    for each in signals {
        let set: SigSet = [each].into_iter().collect();
        works_in(&format!("blocked {each}"), &blocked(set), image());
    }
    works_in("all signals blocked", &blocked(SigSet::all()), image());
}

#[test]
fn a_signal_that_was_blocked_is_not_lost_for_the_target() {
    let environment = setup(|| {
        // SAFETY: no handler is installed, the signal is ignored.
        unsafe { signal(Signal::SIGINT, SigHandler::SigIgn) }?;
        Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?)
    });
    let run = run_in(&environment, image(), &["-d", "1", "/etc/c"]).start();
    let target = run.wait_for("Target process: PID").writer;
    run.wait_for("Tracer: delaying");
    let target = nix::unistd::Pid::from_raw(target);
    nix::sys::signal::kill(target, Signal::SIGINT).unwrap();
    let outcome = run.finish();
    assert_eq!(outcome.ended, Ended::Status(0), "{outcome:#?}");
    assert!(outcome.out().contains("Target process: received signal\n"), "{outcome:#?}");
    assert!(outcome.err().contains("Target process: mkdir: Interrupted system call\n"));
}

#[test]
fn an_alarm_that_was_set_ends_the_program() {
    let environment = setup(|| {
        nix::unistd::alarm::set(1);
        Ok(())
    });
    let outcome =
        run_in(&environment, image(), &["-d", "5", "/etc/c"]).grace(common::LIMIT).finish();
    assert_eq!(outcome.ended, Ended::Signal(libc::SIGALRM), "{outcome:#?}");
}

#[test]
fn a_usage_text_without_a_reader_can_be_terminated() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let set = |flags| nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
    set(nix::fcntl::OFlag::O_NONBLOCK);
    while nix::unistd::write(&writer, &[0; 4096]).is_ok() {}
    set(nix::fcntl::OFlag::empty());
    let run = Run::of(image(), ["-h"]).streams(|command| {
        command.stdout(writer);
    });
    let running = run.start();
    nix::sys::signal::kill(running.pid(), Signal::SIGTERM).unwrap();
    assert_eq!(running.finish().ended, Ended::Signal(libc::SIGTERM));
    drop(reader);
}

#[test]
fn an_empty_argument_vector_is_a_usage_error() {
    use std::os::unix::ffi::OsStrExt;
    let file = std::ffi::CString::new(image().as_os_str().as_bytes()).unwrap();
    let environment = setup(move || {
        // SAFETY: the call only reads the path and two empty vectors.
        unsafe {
            libc::execve(file.as_ptr(), [std::ptr::null()].as_ptr(), [std::ptr::null()].as_ptr())
        };
        Err(io::Error::last_os_error())
    });
    let outcome = run_in(&environment, image(), &["-V"]).finish();
    assert_eq!(outcome.ended, Ended::Status(1), "{outcome:#?}");
    let err = outcome.err();
    assert!(err.starts_with("seccomp-notify-min: missing operand\nTry "), "{err}");
    assert_eq!(outcome.of(Stream::Out), b"");
}

#[test]
fn its_name_and_its_environment_do_not_matter() {
    let script = Script::new().directory("/etc/c", EPERM);
    for name in ["", "-x", "-K", "\n"] {
        let run = || {
            common::program(["/etc/c"]).with(|command| {
                command.arg0(name).env_clear();
            })
        };
        script.verify_as(run, &mut || {});
    }
}

#[test]
fn the_umask_applies_as_it_would_without_a_tracer() {
    let beneath = Beneath::new();
    let path = beneath.join("x");
    for (mask, mode) in [(0, 0o600), (0o077, 0o600), (0o200, 0o400), (0o777, 0)] {
        let environment = setup(move || {
            // SAFETY: the call has no pointer arguments.
            unsafe { libc::umask(mask) };
            Ok(())
        });
        let outcome = run_in(&environment, image(), &["-K".into(), path.clone()]).finish();
        assert_eq!(outcome.ended, Ended::Status(0), "{outcome:#?}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode, "{mask:o}");
        fs::remove_dir(&path).unwrap();
    }
}
