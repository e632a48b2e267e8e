//! The places: how the program is started in each, and what must come out there. An expectation stands on what
//! is known about the place, which is written beside it; never on what the program printed.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::socket::SockType;
use serde_json::json;

use crate::agent::Agent;
use crate::common::{install_filter, sandbox_filter};
use crate::expected::Expected::{
    self, Answered, Ended, Killed, Once, OnceKillable, OtherNamespace, Pretended, Probed, Refused,
    Report, Twice, Unsupported, Works, WorksAndKills,
};
use crate::expected::Hint;
use crate::landlock::{self, Rules};
use crate::meanwhile::{Act, When};
use crate::stage::{Case, Cgroup, Seen};

/// A place, and what is expected there.
pub struct Place {
    /// What one types, in short: the table's first column.
    pub name: &'static str,
    /// What is known about the place.
    pub because: &'static str,
    pub expected: Expected,
    /// Debian's package that it needs, whose version is told; the kernel's if there is none.
    pub package: Option<&'static str>,
    pub needs_root: bool,
    /// The program is /program there, in a root directory of its own.
    pub has_root: bool,
    pub seen: Seen,
    /// Whether `-V` is tried first. If that does not work, the place cannot be had here.
    pub has_control: bool,
    /// The tool's exit status says nothing about the program.
    pub hides_status: bool,
    /// How the tool's own lines begin.
    pub noise: &'static [&'static str],
    /// What the tool prints or writes to its log if the place was set up.
    pub proof: Option<&'static str>,
    /// Both streams are one.
    pub is_terminal: bool,
    /// How often it is tried: more than once where the outcome may depend on which process is first.
    pub times: u32,
    pub meanwhile: Option<(Act, When)>,
    pub set_up: SetUp,
}

/// What the probe says where a thing does not work, and why it is so there.
type Closed = &'static [(&'static str, &'static str)];

const NO_PROC: Closed = &[("proc-mem", "no: readlinkat: No such file or directory; needs /proc")];
const CLOSED_PROC: Closed =
    &[("proc-mem", "no: openat: Permission denied; forbidden by a sandbox or ptrace_scope")];

const CLOSED_VM: (&str, &str) = (
    "process-vm-readv",
    "no: process_vm_readv: Operation not permitted; forbidden by a sandbox or ptrace_scope",
);
const CLOSED_GETFD: (&str, &str) = (
    "pidfd-getfd",
    "no: pidfd_getfd: Operation not permitted; forbidden by a sandbox or ptrace_scope",
);
/// What firejail's default list of refused calls closes (firejail(1), "--seccomp").
const FIREJAIL: Closed = &[CLOSED_VM, CLOSED_GETFD];
/// systemd-nspawn allows a list of calls; those of debuggers are not among them (systemd-nspawn(1), "--system-call-filter").
const NSPAWN: Closed = &[CLOSED_GETFD];

/// Places where something is closed, though the demonstration works.
const CLOSED: &[(&str, Closed)] = &[
    ("strace -f -e inject=process_vm_readv:error=EPERM", &[CLOSED_VM]),
    ("bwrap --unshare-all, no /proc", NO_PROC),
    ("chroot, nothing but the program", NO_PROC),
    ("Landlock without /proc", CLOSED_PROC),
    ("firejail", FIREJAIL),
    ("firejail --seccomp", FIREJAIL),
    ("firejail, an ordinary user", FIREJAIL),
    ("firejail --noprofile --seccomp", FIREJAIL),
    ("systemd-nspawn", NSPAWN),
    ("systemd-nspawn -a", NSPAWN),
    (
        "SystemCallFilter=~process_vm_readv, SystemCallErrorNumber=ENOSYS",
        &[("process-vm-readv", "no: process_vm_readv: Function not implemented")],
    ),
    // The list has no calls of debuggers (systemd.exec(5), "@debug"), and the filter kills.
    (
        "SystemCallFilter=@system-service seccomp",
        &[(
            "pidfd-getfd",
            "no: pidfd_getfd: killed by signal 31; \
             a sandbox does not allow a call that this program needs",
        )],
    ),
    // /proc is that of another PID namespace.
    ("lxc-execute", NO_PROC),
    ("unshare --pid --fork", NO_PROC),
    // A kernel of its own, Linux 6.1, and no /proc.
    (
        "linux.uml init=/program",
        &[
            ("sync-wake-up", "no: ioctl: Invalid argument; needs Linux 6.6"),
            ("end-told", "no: ioctl: Interrupted system call; needs Linux 6.11"),
            NO_PROC[0],
        ],
    ),
];

/// Places whose proof is what the demonstration does, and the probe does not.
const NOT_FOR_THE_PROBE: &[&str] = &[
    "strace -f -e inject=fcntl:error=EINVAL",
    "strace -f -e inject=fcntl:error=EPERM",
    "gdb, follow-fork-mode child",
    "gdb, catch syscall mkdir",
];

/// The probe in each place where the demonstration works, or where seccomp(2) is refused.
fn probes(places: Vec<Place>) -> Vec<Place> {
    for name in CLOSED.iter().map(|(name, _)| name).chain(NOT_FOR_THE_PROBE) {
        assert!(places.iter().any(|place| place.name == *name), "no place {name}");
    }
    let probe = |place: Place| {
        let known = CLOSED.iter().find(|(name, _)| *name == place.name);
        let closed = match place.expected {
            _ if place.meanwhile.is_some() || NOT_FOR_THE_PROBE.contains(&place.name) => {
                return None;
            }
            Works | WorksAndKills => known.map_or(&[] as Closed, |(_, closed)| closed),
            Unsupported(line, hint) => {
                let call = line
                    .strip_prefix("Target process: ")
                    .filter(|it| it.starts_with("seccomp: "))?;
                let said: &str = format!("no: {call}; {}", hint.text()).leak();
                vec![("listener", said)].leak()
            }
            _ => return None,
        };
        let name = format!("{}, -p", place.name).leak();
        // It tells how the probe's children end.
        let noise = if name.contains("proot") { &["proot info: "] } else { place.noise };
        Some(Place { name, noise, ..place }.expect(Probed(closed)))
    };
    places.into_iter().filter_map(probe).collect()
}

/// What sets a place up for one run.
type SetUp = Box<dyn Fn(&Case) -> Result<Setup, String> + Send>;

/// A place that is set up, ready for one run.
pub struct Setup {
    pub command: Command,
    /// Where the program's streams go, if not where the tool's go.
    pub streams: Option<[PathBuf; 2]>,
    pub cgroup: Option<Cgroup>,
    /// What receives a listener.
    pub agent: Option<Agent>,
}

impl From<Command> for Setup {
    fn from(command: Command) -> Self {
        Self { command, streams: None, cgroup: None, agent: None }
    }
}

impl Place {
    /// A place that is entered by what its name says. The demonstration is expected to work.
    fn new(name: &'static str, because: &'static str) -> Self {
        Self {
            name,
            because,
            expected: Works,
            package: None,
            needs_root: false,
            has_root: false,
            seen: Seen::Here,
            has_control: true,
            hides_status: false,
            noise: &[],
            proof: None,
            is_terminal: false,
            times: 1,
            meanwhile: None,
            set_up: Box::new(move |case| Ok(case.line(&format!("{name} {{run}}")).into())),
        }
    }

    fn package(self, package: &'static str) -> Self {
        Self { package: Some(package), ..self }
    }

    fn expect(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }

    /// The command, where it is not just the name; its words have no spaces in them.
    fn line(self, line: &'static str) -> Self {
        self.set_up(move |case| Ok(case.line(line).into()))
    }

    fn set_up(self, set_up: impl Fn(&Case) -> Result<Setup, String> + Send + 'static) -> Self {
        Self { set_up: Box::new(set_up), ..self }
    }

    fn for_root(self) -> Self {
        Self { needs_root: true, ..self }
    }

    /// In the root directory of the stage.
    fn in_root(self) -> Self {
        Self { has_root: true, seen: Seen::InRoot, ..self.for_root() }
    }

    fn seen(self, seen: Seen) -> Self {
        Self { seen, ..self }
    }

    fn proof(self, proof: &'static str) -> Self {
        Self { proof: Some(proof), ..self }
    }

    fn noise(self, noise: &'static [&'static str]) -> Self {
        Self { noise, ..self }
    }

    fn hides_status(self) -> Self {
        Self { hides_status: true, ..self }
    }

    fn without_control(self) -> Self {
        Self { has_control: false, ..self }
    }

    fn terminal(self) -> Self {
        Self { is_terminal: true, ..self }
    }

    fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    fn meanwhile(self, act: Act, when: When) -> Self {
        Self { meanwhile: Some((act, when)), ..self }
    }
}

/// All places.
pub fn all() -> Vec<Place> {
    let groups = || {
        let groups = [
            straces(),
            gdbs(),
            other_tracers(),
            proots(),
            bubblewraps(),
            firejails(),
            nspawns(),
            units(),
            lxcs(),
            runtimes(),
            emulators(),
            landlocks(),
            namespaces(),
            wrappers(),
            stops(),
        ];
        groups.into_iter().flatten().collect::<Vec<_>>()
    };
    let mut all = groups();
    all.extend(probes(groups()));
    all
}

const NO_SECCOMP: Expected =
    Unsupported("Target process: seccomp: Function not implemented", Hint::Emulator);
const SECCOMP_REFUSED: Expected =
    Unsupported("Target process: seccomp: Operation not permitted", Hint::Sandbox);
const SECCOMP_BUSY: Expected =
    Unsupported("Target process: seccomp: Device or resource busy", Hint::Listener);

const ERRNO_WINS: &str = "SECCOMP_RET_ERRNO has higher precedence than SECCOMP_RET_USER_NOTIF";
const AN_ORDINARY_USER: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";

// ---- Tracers

fn straces() -> Vec<Place> {
    let strace = |name: &'static str, because| {
        let line = format!("{name} -o {{folder}}/log {{run}}");
        let place = Place::new(name, because).package("strace");
        place.set_up(move |case| Ok(case.line(&line).into()))
    };
    let injects = |name, because| strace(name, because).proof("(INJECTED)");
    let skips = "the ptracer skips the call before a filter sees its number: -1 is no call";
    vec![
        strace("strace -f", "it only looks").proof("+++ exited with 0 +++"),
        strace(
            "strace -f --seccomp-bpf -e trace=mkdir",
            "SECCOMP_RET_TRACE, which its filter returns, has lower precedence than a notification",
        )
        .proof("+++ exited with 0 +++"),
        injects("strace -f -e inject=mkdir:error=EACCES", skips)
            .expect(Answered("Permission denied")),
        injects("strace -f --seccomp-bpf -e trace=mkdir -e inject=mkdir:error=EACCES", skips)
            .expect(Answered("Permission denied")),
        injects("strace -f -e inject=mkdir:retval=7", skips).expect(Pretended(7)),
        injects(
            "strace -f -e inject=fcntl:error=EINVAL",
            "as before Linux 6.10, which brought F_DUPFD_QUERY",
        ),
        injects(
            "strace -f -e inject=fcntl:error=EPERM",
            "the call only tells whether two streams are one",
        ),
        injects(
            "strace -f -e inject=sendmsg:error=EPERM",
            "without it the listener cannot be sent",
        )
        .expect(Unsupported("Target process: sendmsg: Operation not permitted", Hint::Sandbox)),
        injects(
            "strace -f -e inject=seccomp:error=EINVAL",
            "what a kernel before 5.0 says to the flag",
        )
        .expect(Unsupported("Target process: seccomp: Invalid argument", Hint::Seccomp)),
        injects(
            "strace -f -e inject=process_vm_readv:error=EPERM",
            "/proc/PID/mem is the other way to the path",
        ),
        strace(
            "strace -f -e inject=fork,ioctl:delay_enter=25000",
            "each of these calls takes longer than what the program does between two signals of its own",
        )
        .proof("(DELAYED)"),
        strace(
            "strace -p TARGET during -d",
            "PTRACE_INTERRUPT interrupts the waiting call, which begins again",
        )
        .line("{run}")
        .meanwhile(Act::StraceTarget, When::Delayed)
        .expect(Twice),
    ]
}

fn gdbs() -> Vec<Place> {
    fn gdb(name: &'static str, commands: &'static [&'static str], because: &'static str) -> Place {
        let set_up = move |case: &Case| {
            // The shell that gdb starts the program with keeps its lines apart from gdb's.
            let arguments = case.words[1..].join(" ");
            let run = format!("run {arguments} > {{folder}}/out 2> {{folder}}/err");
            let mut words = vec!["gdb", "-nx", "-batch"];
            for command in commands {
                words.extend(["-ex", if *command == "run" { &run } else { command }]);
            }
            words.extend(["--args", &case.words[0]]);
            let mut command = case.command(&words);
            command.env("SHELL", "/bin/sh");
            let streams = Some(["out", "err"].map(|name| case.file(name)));
            Ok(Setup { streams, ..command.into() })
        };
        // Its own status is that of its last command.
        let place = Place::new(name, because).package("gdb").set_up(set_up).hides_status();
        place.proof("exited normally]")
    }
    let attach = |name, act, when, because| {
        Place::new(name, because).package("gdb").line("{run}").meanwhile(act, when)
    };
    let again = "the attach interrupts the waiting call, which begins again";
    vec![
        gdb("gdb, run", &["run"], "it only looks"),
        gdb(
            "gdb, follow-fork-mode child",
            &["set follow-fork-mode child", "run"],
            "it leaves the parent alone and looks at the target",
        ),
        // Each call is caught where it begins and where it returns.
        gdb(
            "gdb, catch syscall mkdir",
            &[
                "set follow-fork-mode child",
                "catch syscall mkdir",
                "run",
                "continue",
                "continue",
                "continue",
                "continue",
            ],
            "the target stops before the filter sees the call, and after the answer",
        ),
        attach("gdb -p TARGET during -d", Act::GdbTarget, When::Delayed, again).expect(Twice),
        attach(
            "gdb -p TARGET during -d, with -w",
            Act::GdbTarget,
            When::Delayed,
            "only a fatal signal interrupts the call: gdb waits",
        )
        .expect(OnceKillable),
        attach(
            "gdb -p TRACER during -d",
            Act::GdbTracer,
            When::Delayed,
            "the tracer's sleep goes on; the target is not touched",
        )
        .expect(Once),
        attach("gdb -p TARGET during -b", Act::GdbTarget, When::Measuring, SILENT).expect(Report),
    ]
}

fn other_tracers() -> Vec<Place> {
    vec![
        Place::new("perf trace", "it only looks")
            .package("linux-perf")
            .line("perf trace -o {folder}/log {run}")
            .hides_status()
            .proof("mkdir("),
    ]
}

fn proots() -> Vec<Place> {
    let proot = |name, because| Place::new(name, because).package("proot");
    vec![
        proot("proot", "it translates paths by ptrace, these to themselves"),
        proot("proot -0", "it pretends that the user is root"),
        proot("PROOT_NO_SECCOMP=1 proot", "it stops every call by ptrace")
            .line("env PROOT_NO_SECCOMP=1 proot {run}"),
        Place {
            has_root: true,
            ..proot(
                "proot -r ROOT",
                "it writes the host's path into the target's memory before a filter sees the call, \
                 and the host's path of this root does not begin with /tmp/",
            )
        }
        .set_up(|case| {
            if case.stage.root().starts_with("/tmp") {
                return Err("the root directory is below /tmp".into());
            }
            Ok(case.line("proot -r {root} -w / {run}").into())
        })
        .expect(Refused { shown: "{root}{path}", error: "Operation not permitted" }),
    ]
}

// ---- Sandboxes

fn bubblewraps() -> Vec<Place> {
    let bwrap = |name, because| Place::new(name, because).package("bubblewrap");
    let filters = |name, rules: &'static [(libc::c_long, u32)], because| {
        bwrap(name, because).set_up(move |case: &Case| {
            let filter: Vec<u8> = sandbox_filter(rules).iter().flat_map(instruction).collect();
            fs::write(case.file("filter"), filter).map_err(|error| error.to_string())?;
            let script = "exec bwrap --seccomp 9 --dev-bind / / \"$@\" 9< \"$0\"";
            Ok(case.command(&["sh", "-c", script, "{folder}/filter", "{run}"]).into())
        })
    };
    vec![
        bwrap("bwrap --dev-bind / /", "a mount namespace"),
        bwrap("bwrap --dev-bind / /, an ordinary user", "a user namespace with one user")
            .set_up(|case| {
                Ok(case.line(&format!("{AN_ORDINARY_USER} bwrap --dev-bind / / {{run}}")).into())
            })
            .for_root(),
        bwrap("bwrap --unshare-all, no /proc", "process_vm_readv needs no /proc")
            .line("bwrap --unshare-all --ro-bind {program} /program --bind {root}/tmp /tmp {run}")
            .in_root(),
        bwrap(
            "bwrap --unshare-all --as-pid-1 --proc /proc",
            "the parent is the first process of its namespace",
        )
        .line(
            "bwrap --unshare-all --as-pid-1 --proc /proc --ro-bind {program} /program \
             --bind {root}/tmp /tmp {run}",
        )
        .in_root(),
        filters(
            "bwrap --seccomp, seccomp refused",
            &[(libc::SYS_seccomp, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32)],
            "what many sandboxes do",
        )
        .expect(SECCOMP_REFUSED),
        filters(
            "bwrap --seccomp, seccomp killed",
            &[(libc::SYS_seccomp, libc::SECCOMP_RET_KILL_PROCESS)],
            "what strict sandboxes do",
        )
        .expect(Killed("target process")),
        filters(
            "bwrap --seccomp, process_vm_readv killed",
            &[(libc::SYS_process_vm_readv, libc::SECCOMP_RET_KILL_PROCESS)],
            "what strict sandboxes do to what debuggers use",
        )
        .expect(Killed("tracer")),
        filters(
            "bwrap --seccomp, mkdir refused",
            &[
                (libc::SYS_mkdirat, libc::SECCOMP_RET_ERRNO | libc::EROFS as u32),
                #[cfg(target_arch = "x86_64")]
                (libc::SYS_mkdir, libc::SECCOMP_RET_ERRNO | libc::EROFS as u32),
            ],
            ERRNO_WINS,
        )
        .expect(Answered("Read-only file system")),
    ]
}

/// An instruction as `struct sock_filter` has it.
fn instruction(each: &libc::sock_filter) -> Vec<u8> {
    let code = each.code.to_ne_bytes();
    [&code[..], &[each.jt, each.jf], &each.k.to_ne_bytes()].concat()
}

fn firejails() -> Vec<Place> {
    // It lists its sandboxes in /run. In PIDs of its own it would take itself for being in a sandbox already.
    let firejail = |name: &'static str, because| {
        let place = Place::new(name, because).package("firejail");
        let set_up = move |case: &Case| {
            let words: Vec<&str> = name.split(' ').chain(["{run}"]).collect();
            in_own_world(case, false, &words)
        };
        place.set_up(set_up).for_root().proof("Child process initialized").noise(&[
            "Reading profile ",
            "** Note: ",
            "Parent pid ",
            "Warning: ",
            "Child process initialized ",
            "Parent is shutting down",
            "Seccomp list in: ",
            "The new log directory ",
        ])
    };
    let as_user = |case: &Case| {
        let script = "{ cat /etc/passwd; echo tester:x:54321:54321::/run/home:/bin/sh; } > \"$0/passwd\" && \
                      { cat /etc/group; echo tester:x:54321:; } > \"$0/group\" && \
                      mount --bind \"$0/passwd\" /etc/passwd && mount --bind \"$0/group\" /etc/group && \
                      mkdir -m 700 /run/home && chown 54321 /run/home && HOME=/run/home \
                      exec setpriv --reuid=54321 --regid=54321 --clear-groups firejail \"$@\"";
        in_own_world(case, false, &["sh", "-c", script, "{folder}", "{run}"])
    };
    let lists = "its list of refused calls has neither seccomp(2) nor process_vm_readv";
    vec![
        // These two have a /tmp of their own.
        firejail("firejail", "server.profile, which is root's, has --seccomp").seen(Seen::Nowhere),
        firejail("firejail --seccomp", lists).seen(Seen::Nowhere),
        firejail(
            "firejail, an ordinary user",
            "default.profile: no capabilities, a user namespace, --seccomp",
        )
        .set_up(as_user),
        firejail("firejail --noprofile", "namespaces only"),
        firejail("firejail --noprofile --seccomp", lists),
        firejail("firejail --noprofile --seccomp.drop=seccomp", "it refuses with EPERM")
            .expect(SECCOMP_REFUSED),
        firejail(
            "firejail --noprofile --seccomp.drop=seccomp --seccomp-error-action=kill",
            "it kills instead",
        )
        .expect(Killed("target process")),
        firejail("firejail --noprofile --seccomp.drop=mkdir,mkdirat", ERRNO_WINS)
            .expect(Answered("Operation not permitted")),
    ]
}

fn nspawns() -> Vec<Place> {
    let nspawn = |name: &'static str, because| {
        let set_up = move |case: &Case| {
            let options = "-q -D {root} --register=no --keep-unit --pipe {run}";
            let words: Vec<&str> = name.split(' ').chain(options.split(' ')).collect();
            let mut setup = in_own_world(case, true, &words)?;
            // Without these it makes cgroups in the hierarchies of version 1, and mounts something on /tmp.
            setup.command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
            setup.command.env("SYSTEMD_NSPAWN_TMPFS_TMP", "0");
            Ok(setup)
        };
        let place = Place::new(name, because).package("systemd-container").set_up(set_up);
        place.in_root().noise(&["Attempted to remove disk file system"])
    };
    vec![
        nspawn("systemd-nspawn", "its list of allowed calls has what the program needs"),
        nspawn("systemd-nspawn -a", "the same, as the second process"),
        nspawn("systemd-nspawn --system-call-filter=~seccomp", "it refuses with EPERM")
            .expect(SECCOMP_REFUSED),
    ]
}

fn units() -> Vec<Place> {
    fn unit(name: &'static str, settings: &'static [&'static str], because: &'static str) -> Place {
        let set_up = move |case: &Case| {
            let unit = format!(
                "[Unit]\nDefaultDependencies=no\nSuccessAction=exit-force\nFailureAction=exit-force\n\
                 [Service]\nType=exec\nExecStart={}\n\
                 StandardOutput=file:{folder}/out\nStandardError=file:{folder}/err\n{}\n",
                case.words.join(" "),
                settings.join("\n"),
                folder = case.folder.path().display(),
            );
            case.write("place.service", &unit)?;
            // A user's service manager. Where systemd has not booted the system, it starts if it finds this folder.
            // It must not be the first process, or it takes itself for the system's.
            let script = "mkdir -p -m 700 /run/xdg/systemd/user /run/systemd/system && \
                          cp \"$0\" /run/xdg/systemd/user/place.service && \
                          export HOME=/run/xdg XDG_RUNTIME_DIR=/run/xdg && \
                          /lib/systemd/systemd --user --unit=place.service --log-target=console; exit $?";
            let setup = in_own_world(case, true, &["sh", "-c", script, "{folder}/place.service"])?;
            Ok(Setup { streams: Some(["out", "err"].map(|name| case.file(name))), ..setup })
        };
        Place::new(name, because).package("systemd").set_up(set_up).for_root()
    }
    const SYSTEM_SERVICE: &str = "SystemCallFilter=@system-service";
    vec![
        unit(
            "SystemCallFilter=@system-service",
            &[SYSTEM_SERVICE],
            "in Debian 12 the set does not have seccomp(2), and systemd kills",
        )
        .expect(Killed("target process")),
        unit(
            "SystemCallFilter=@system-service, SystemCallErrorNumber=EPERM",
            &[SYSTEM_SERVICE, "SystemCallErrorNumber=EPERM"],
            "it refuses with the error that is asked for",
        )
        .expect(SECCOMP_REFUSED),
        unit(
            "SystemCallFilter=@system-service, SystemCallErrorNumber=EXDEV",
            &[SYSTEM_SERVICE, "SystemCallErrorNumber=EXDEV"],
            "whatever error that is; no call of the program has this one, so it is shown as a number",
        )
        .expect(Unsupported("Target process: seccomp: errno 18", Hint::Sandbox)),
        unit(
            "SystemCallFilter=@system-service seccomp",
            &["SystemCallFilter=@system-service seccomp"],
            "that was missing; process_vm_readv is in the set, by way of @ipc",
        ),
        unit(
            "SystemCallFilter=~process_vm_readv, SystemCallErrorNumber=ENOSYS",
            &["SystemCallFilter=~process_vm_readv", "SystemCallErrorNumber=ENOSYS"],
            "/proc/PID/mem is the other way to the path",
        ),
        unit(
            "SystemCallFilter=~@file-system, SystemCallErrorNumber=EACCES",
            &["SystemCallFilter=~@file-system", "SystemCallErrorNumber=EACCES"],
            "the first call that is refused is the parent's, which makes sure that no stream is closed",
        )
        .expect(Unsupported("Parent: openat: Permission denied", Hint::Sandbox)),
        unit(
            "SystemCallFilter=~mkdir mkdirat, SystemCallErrorNumber=EACCES",
            &["SystemCallFilter=~mkdir mkdirat", "SystemCallErrorNumber=EACCES"],
            ERRNO_WINS,
        )
        .expect(Answered("Permission denied")),
        unit(
            "a unit with eight restrictions, RestrictAddressFamilies=AF_INET among them",
            &[
                "NoNewPrivileges=yes",
                "SystemCallArchitectures=native",
                "MemoryDenyWriteExecute=yes",
                "LockPersonality=yes",
                "RestrictNamespaces=yes",
                "RestrictRealtime=yes",
                "RestrictSUIDSGID=yes",
                "RestrictAddressFamilies=AF_INET",
            ],
            "no call of the program is restricted: the last one is about socket(2), not socketpair(2)",
        ),
    ]
}

// ---- Containers

const ONE_LISTENER: &str = "the kernel allows one listener for all filters of a process";

fn lxcs() -> Vec<Place> {
    fn lxc(name: &'static str, profile: Option<&'static str>, because: &'static str) -> Place {
        let set_up = move |case: &Case| {
            let folder = case.folder.path().display();
            let mut config = format!(
                "lxc.uts.name = place\nlxc.rootfs.path = dir:{}\nlxc.net.0.type = empty\n\
                 lxc.autodev = 0\nlxc.apparmor.profile = unchanged\nlxc.console.path = none\n\
                 lxc.log.file = {folder}/log\n",
                case.stage.root().display(),
            );
            let mut agent = None;
            if let Some(profile) = profile {
                case.write("profile", profile)?;
                agent = Some(Agent::new(&case.file("socket"), SockType::SeqPacket)?);
                config += &format!(
                    "lxc.seccomp.profile = {folder}/profile\n\
                     lxc.seccomp.notify.proxy = unix:{folder}/socket\n",
                );
            }
            case.write("config", &config)?;
            let line = "lxc-execute -P {folder} -n place -f {folder}/config -- {run}";
            let setup = in_own_world(case, true, &line.split(' ').collect::<Vec<_>>())?;
            Ok(Setup { agent, ..setup })
        };
        let place = Place::new(name, because).package("lxc").set_up(set_up);
        place.in_root().noise(&["lxc-execute: "])
    }
    vec![
        lxc("lxc-execute", None, "namespaces only"),
        lxc(
            "lxc-execute, lxc.seccomp.notify.proxy",
            Some("2\ndenylist allow\nmknod notify\nmknodat notify\n"),
            ONE_LISTENER,
        )
        .expect(SECCOMP_BUSY),
    ]
}

fn runtimes() -> Vec<Place> {
    let runtime = |name, runtime: &'static str, is_supervised: bool, because| {
        let set_up = move |case: &Case| {
            let mut config = json!({
                "ociVersion": "1.0.2",
                "process": {
                    "args": case.words,
                    "cwd": "/",
                    "user": {"uid": 0, "gid": 0},
                    "noNewPrivileges": true,
                },
                "root": {"path": case.stage.root(), "readonly": false},
                "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
                "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}]},
            });
            let mut agent = None;
            if is_supervised {
                let socket = case.file("socket");
                agent = Some(Agent::new(&socket, SockType::Stream)?);
                config["linux"]["seccomp"] = json!({
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "listenerPath": socket,
                    "syscalls": [{"names": ["mknod", "mknodat"], "action": "SCMP_ACT_NOTIFY"}],
                });
            }
            case.write("config.json", &config.to_string())?;
            let state = ["--root", "{folder}/state", "run", "--bundle", "{folder}"];
            let words = [&[runtime], &state[..], &["seccomp-notify-min"]].concat();
            Ok(Setup { agent, ..in_own_world(case, false, &words)? })
        };
        Place::new(name, because).package(runtime).set_up(set_up).in_root()
    };
    vec![
        runtime("runc", "runc", false, "namespaces only"),
        runtime("runc, linux.seccomp.listenerPath", "runc", true, ONE_LISTENER)
            .expect(SECCOMP_BUSY),
        runtime("crun", "crun", false, "namespaces only"),
        runtime("crun, linux.seccomp.listenerPath", "crun", true, ONE_LISTENER)
            .expect(SECCOMP_BUSY),
        Place::new(
            "runsc do (gVisor)",
            "its kernel calls itself Linux 4.4 and knows filters, but no user notification",
        )
        .package("runsc")
        .set_up(|case| {
            let line = "runsc --platform=ptrace --network=none --ignore-cgroups --root={folder}/state do {run}";
            in_own_world(case, false, &line.split(' ').collect::<Vec<_>>())
        })
        .for_root()
        .expect(Unsupported("Target process: seccomp: Invalid argument", Hint::Seccomp)),
        // The host's /tmp is its /tmp.
        Place::new("ch-run (Charliecloud)", "namespaces only")
            .package("charliecloud-runtime")
            .line("env USER=root ch-run --no-passwd {root} -- {run}")
            .in_root()
            .seen(Seen::Here),
    ]
}

// ---- Emulators

fn emulators() -> Vec<Place> {
    let emulator =
        |name, package, because| Place::new(name, because).package(package).expect(NO_SECCOMP);
    let valgrind = |name| {
        let because = "valgrind knows no seccomp(2), and says so at length";
        emulator(name, "valgrind", because).noise(&["==", "--"])
    };
    vec![
        emulator("qemu-x86_64", "qemu-user", "qemu-user knows no seccomp(2)"),
        emulator("qemu-aarch64", "qemu-user", "the same for another architecture").set_up(|case| {
            let program = crate::build_for("aarch64-unknown-linux-gnu")?.display().to_string();
            Ok(case.command(&["qemu-aarch64", &program, "{arguments}"]).into())
        }),
        valgrind("valgrind -q"),
        valgrind("valgrind -q --tool=none"),
        user_mode_linux(),
    ]
}

fn user_mode_linux() -> Place {
    // What the kernel does not find before `--` it appends at the end, where it becomes the program's.
    let line = "linux.uml mem=64M root=98:0 console=tty0 rootfstype=hostfs rootflags={root} rw init=/program \
                con=null con0=fd:0,fd:1 quiet loglevel=1 panic=-1 uml_dir={folder}/uml -- {arguments}";
    let because = "a whole kernel as one process; it panics when its init has ended";
    let place = Place::new("linux.uml init=/program", because).package("user-mode-linux");
    let place = place.set_up(move |case| {
        let mut command = case.line(line);
        // Its panic is an abort.
        // SAFETY: one system call between fork and exec.
        unsafe { command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)) };
        Ok(command.into())
    });
    let place = place.proof("Attempted to kill init! exitcode=0x00000000").hides_status();
    place.in_root().without_control().terminal()
}

// ---- The kernel's own means

fn landlocks() -> Vec<Place> {
    let landlock = |name, rules: Rules, refused: &'static [(libc::c_long, u32)], because| {
        Place::new(name, because).set_up(move |case| {
            let mut command = case.line("{run}");
            landlock::restrict(&mut command, rules)?;
            let filter = sandbox_filter(refused);
            let install = move || match install_filter(&filter, 0) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            };
            // SAFETY: two system calls between fork and exec.
            unsafe { command.pre_exec(install) };
            Ok(command.into())
        })
    };
    const NO_READV: &[(libc::c_long, u32)] =
        &[(libc::SYS_process_vm_readv, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32)];
    vec![
        landlock(
            "Landlock without /proc",
            Rules::Without("proc"),
            &[],
            "process_vm_readv within one domain is allowed",
        ),
        landlock(
            "Landlock without /proc, process_vm_readv missing",
            Rules::Without("proc"),
            NO_READV,
            "/proc is there, but may not be opened, and there is no other way",
        )
        .expect(Unsupported("Tracer: openat: Permission denied", Hint::Memory)),
        landlock(
            "Landlock without /tmp",
            Rules::Without("tmp"),
            &[],
            "the tracer may make no directory there either",
        )
        .expect(Refused { shown: "{path}", error: "Permission denied" }),
        landlock(
            "Landlock, scopes",
            Rules::Scopes,
            &[],
            "signals and sockets stay within the domain",
        ),
        landlock(
            "Landlock, scopes, without -K",
            Rules::Scopes,
            &[],
            "the parent kills the tracer within the domain",
        )
        .expect(WorksAndKills),
    ]
}

fn namespaces() -> Vec<Place> {
    let place = |name, because| Place::new(name, because).package("util-linux");
    let user = "no user of the outside is known there";
    let first =
        "the children are in the new namespace, the parent is not; the target is its first process";
    vec![
        place("unshare --pid", first).for_root().times(60).expect(OtherNamespace { keep: true }),
        place("unshare --pid, without -K", first)
            .line("unshare --pid {run}")
            .for_root()
            .times(60)
            .expect(OtherNamespace { keep: false }),
        place("unshare --pid --fork", "/proc is the old namespace's").for_root(),
        place("unshare --pid --fork --mount-proc", "/proc is the new namespace's").for_root(),
        place("unshare --user", user),
        place("unshare -Ur", user),
        place("unshare -Ur, an ordinary user", user)
            .set_up(|case| Ok(case.line(&format!("{AN_ORDINARY_USER} unshare -Ur {{run}}")).into()))
            .for_root(),
        place("unshare --net", "a socket pair needs no network").for_root(),
        place("unshare --time --fork", "clocks do not matter").for_root(),
        place("chroot, nothing but the program", "process_vm_readv needs no /proc")
            .package("coreutils")
            .line("chroot {root} {run}")
            .in_root(),
    ]
}

// ---- Wrappers

fn wrappers() -> Vec<Place> {
    let core = |name, because| Place::new(name, because).package("coreutils");
    let util = |name, because| Place::new(name, because).package("util-linux");
    let preload = "it works by LD_PRELOAD, which a static program does not read";
    let init = "an init with one child";
    vec![
        util("setpriv --no-new-privs", "the program sets that itself"),
        util("setpriv, no capabilities", "no_new_privs takes the place of a capability")
            .set_up(|case| {
                Ok(case.line(&format!("{AN_ORDINARY_USER} --bounding-set=-all {{run}}")).into())
            })
            .for_root(),
        util("runuser -u nobody", "an ordinary user by way of PAM")
            .line("runuser -u nobody -- {run}")
            .for_root(),
        util("setpriv --pdeathsig KILL", "the parent lives on"),
        util(
            "prlimit --nofile=10 --as=1048576 --stack=65536",
            "ten descriptors, a megabyte and a small stack are enough",
        ),
        util("taskset 1", "nothing waits in a loop"),
        util("chrt --idle 0", "nothing depends on time"),
        util("setarch -R", "the addresses are fixed anyhow"),
        util("setsid --wait", "a session without a terminal"),
        Place::new("script", "a terminal, where both streams are one")
            .package("bsdutils")
            .set_up(|case| {
                Ok(case.command(&["script", "-qec", &case.words.join(" "), "/dev/null"]).into())
            })
            .terminal(),
        core("nohup", "SIGHUP is ignored").noise(&["nohup: "]),
        core("stdbuf -o0", preload),
        core("env -i", "the program reads no environment"),
        core("timeout 20", "it is not over by then"),
        core("timeout 1, during -d", "SIGTERM for all three processes")
            .line("timeout 1 {run}")
            .expect(Ended(124)),
        core(
            "timeout --foreground -s KILL 1, during -d",
            "SIGKILL for the parent; its children end with it",
        )
        .line("timeout --foreground -s KILL 1 {run}")
        .expect(Ended(137)),
        Place::new("faketime", preload).package("faketime").line("faketime 2000-01-01 {run}"),
        Place::new("fakeroot", preload).package("fakeroot"),
        Place::new("fakechroot", preload).package("fakechroot"),
        Place::new("eatmydata", preload).package("eatmydata"),
        Place::new("tini -s --", init).package("tini"),
        Place::new("catatonit --", init).package("catatonit"),
        Place::new("dumb-init", init).package("dumb-init"),
    ]
}

// ---- Stops

const SILENT: &str =
    "calls are interrupted and begin again; the measuring mode has no transcript to say so";

fn stops() -> Vec<Place> {
    use Act::{Freeze, FreezeOld, StopAll, StopTarget};
    use When::{Delayed, Measuring};
    let stop = |name, act: Act, when, expected| {
        let because = match expected {
            Report => SILENT,
            OnceKillable => "only a fatal signal interrupts the call",
            _ => "the waiting call is interrupted, and begins again",
        };
        let place = Place::new(name, because).set_up(move |case| {
            let cgroup = match act {
                Freeze => Cgroup::new()?,
                FreezeOld => Cgroup::of_freezer()?,
                _ => return Ok(case.line("{run}").into()),
            };
            let processes = cgroup.file("cgroup.procs").display().to_string();
            let command = case.command(&["sh", "-c", ENTER, &processes, "{run}"]);
            Ok(Setup { cgroup: Some(cgroup), ..command.into() })
        });
        place.meanwhile(act, when).expect(expected)
    };
    vec![
        stop("kill -STOP TARGET, -CONT during -d", StopTarget, Delayed, Twice),
        stop("kill -STOP TARGET, -CONT during -d, with -w", StopTarget, Delayed, OnceKillable),
        stop("kill -STOP TARGET, -CONT during -b", StopTarget, Measuring, Report),
        stop("Ctrl-Z and fg during -d", StopAll, Delayed, Twice),
        stop("Ctrl-Z and fg during -b", StopAll, Measuring, Report),
        stop("cgroup.freeze during -d", Freeze, Delayed, Twice),
        stop("cgroup.freeze during -d, with -w", Freeze, Delayed, OnceKillable),
        stop("cgroup.freeze during -b", Freeze, Measuring, Report),
        stop("freezer.state during -d", FreezeOld, Delayed, Twice),
        stop("freezer.state during -b", FreezeOld, Measuring, Report),
    ]
}

/// For `sh -c`: joins the cgroup whose list of processes is the first argument, and runs the others.
const ENTER: &str = "echo 0 > \"$0\" && exec \"$@\"";

/// A command with a /run and cgroups of its own, so that what the tool leaves there goes away with it; also with
/// PIDs of its own if it may.
fn in_own_world(case: &Case, has_own_pids: bool, words: &[&str]) -> Result<Setup, String> {
    const PREPARE: &str = "mount -t tmpfs -o mode=755 none /run && \
                           { umount -R /sys/fs/cgroup 2> /dev/null || mount -t tmpfs none /sys/fs/cgroup; } && \
                           mount -t cgroup2 none /sys/fs/cgroup && \"$@\"; exit $?";
    let cgroup = Cgroup::new()?;
    let processes = cgroup.file("cgroup.procs").display().to_string();
    let mut all = vec!["sh", "-c", ENTER, &processes, "unshare", "--cgroup", "--mount"];
    if has_own_pids {
        all.extend(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    }
    all.extend(["sh", "-c", PREPARE, "sh"]);
    all.extend(words);
    let command = case.command(&all);
    Ok(Setup { cgroup: Some(cgroup), ..command.into() })
}
