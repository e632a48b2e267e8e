//! The command lines whose calls are tested one by one, and a plain model of what each must print.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;

use nix::libc;
use tempfile::TempDir;

use self::Argument::{Below, Failing, Option as Opt, Path as At};
use super::Role::{Parent, Target, Tracer};
use super::Side::{Entry, Exit};
use super::{Action, Call, End, Gate, Moment, Outcome, Role, Script, Side, Until, When};

/// The beginning of the names of the directories of these tests.
pub const DIRECTORY: &str = "snm-faults-";

/// A new directory directly below /tmp. It is removed when the value is dropped.
pub fn directory() -> TempDir {
    tempfile::Builder::new().prefix(DIRECTORY).tempdir_in("/tmp").expect("a directory below /tmp")
}

/// An argument of the program.
#[derive(Clone, Debug)]
pub enum Argument {
    Option(&'static str),
    /// A directory below the run's own directory, which will be made.
    Below(String),
    /// A directory below the run's own directory that cannot be made, and the error.
    Failing(&'static str, i32),
    Path(&'static str),
}

/// A command line, and one order of its processes' calls.
#[derive(Clone, Debug)]
pub struct Case {
    /// The command line, for headings.
    pub name: &'static str,
    /// The order, or another particularity, for headings.
    pub order: &'static str,
    pub arguments: Vec<Argument>,
    /// The delay in seconds.
    pub delay: u32,
    pub keep: bool,
    /// `-c`.
    pub let_through: bool,
    /// `-w`.
    pub killable: bool,
    /// The error of the second filter (`-f e`).
    pub filtered: Option<i32>,
    pub gates: Vec<Gate>,
    /// The rules for every run of this case.
    pub rules: Vec<(When, Action)>,
}

/// The result for a directory.
#[derive(Clone, Debug)]
pub struct Made {
    /// Whether the tracer got a notification.
    pub notified: bool,
    /// The value, or the errno.
    pub result: Result<usize, i32>,
}

/// What each process prints, in its own order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    pub out: [String; 3],
    pub err: [String; 3],
}

impl Case {
    fn new(name: &'static str, order: &'static str, arguments: Vec<Argument>) -> Self {
        let rules = vec![
            // No process sleeps. The transcript has the countdown nevertheless.
            (When::Each("nanosleep"), Action::Return(0)),
        ];
        let (gates, filtered) = (vec![], None);
        Self {
            name,
            order,
            arguments,
            delay: 0,
            keep: false,
            let_through: false,
            killable: false,
            filtered,
            gates,
            rules,
        }
    }

    fn gate(mut self, hold: (Role, &str, usize, Side), until: Until) -> Self {
        let (role, name, nth, side) = hold;
        self.gates.push(Gate { hold: Moment::new(role, name, nth, side), until });
        self
    }

    /// The arguments for a run in `directory`.
    pub fn arguments(&self, directory: &Path) -> Vec<OsString> {
        let argument = |argument: &Argument| match argument {
            Argument::Option(it) | Argument::Path(it) => it.into(),
            Argument::Below(name) => directory.join(name).into(),
            Argument::Failing(name, _) => directory.join(name).into(),
        };
        self.arguments.iter().map(argument).collect()
    }

    /// Runs the case in a new directory, with more rules.
    pub fn run(&self, image: &Path, more: &[(When, Action)]) -> Run {
        let directory = directory();
        self.prepare(directory.path());
        let mut rules = self.rules.clone();
        rules.extend_from_slice(more);
        let script = Script { gates: self.gates.clone(), rules };
        let arguments = self.arguments(directory.path());
        let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
        let mut outcome = super::run(image, &arguments, &script);
        outcome.done.drain(..self.rules.len());
        Run { outcome, directory }
    }

    /// Makes the files in the directory that the paths need.
    fn prepare(&self, directory: &Path) {
        for argument in &self.arguments {
            match argument {
                Argument::Below(name) => {
                    let parent = directory.join(name);
                    fs::create_dir_all(parent.parent().unwrap()).expect("a directory");
                }
                Argument::Failing("file/x", _) => {
                    fs::write(directory.join("file"), "").expect("a file");
                }
                Argument::Failing("link/x", _) => {
                    std::os::unix::fs::symlink("/tmp", directory.join("link")).expect("a link");
                }
                _ => {}
            }
        }
    }

    /// The results for the directories if no call fails.
    pub fn made(&self, directory: &Path) -> Vec<Made> {
        let mut listens = true;
        let mut made = vec![];
        for argument in &self.arguments {
            let path = match argument {
                Argument::Option(_) => continue,
                Argument::Path(path) => OsString::from(path),
                Argument::Below(name) => directory.join(name).into(),
                Argument::Failing(name, _) => directory.join(name).into(),
            };
            let notified = listens && self.filtered.is_none();
            let result = match (argument, self.filtered) {
                (_, Some(errno)) => Err(errno),
                _ if !listens => Err(libc::ENOSYS),
                (Argument::Below(_), _) => Ok(path.len()),
                (Argument::Failing(_, errno), _) => Err(*errno),
                // The target's own call fails: the parent directory does not exist.
                _ if self.let_through => Err(libc::ENOENT),
                _ => Err(libc::EPERM),
            };
            listens &= path != "/bye";
            made.push(Made { notified, result });
        }
        made
    }

    /// The transcript that belongs to these results.
    pub fn transcript(&self, run: &Run, made: &[Made]) -> Transcript {
        let mut transcript = Transcript::default();
        let pid = |role| run.outcome.pids.get(&role).map_or(0, |pid| pid.as_raw());
        let [parent, target, tracer] = &mut transcript.out;
        let [_, target_err, _] = &mut transcript.err;
        *target += &format!("Target process: PID = {}\n", pid(Role::Target));
        *tracer += &format!("Tracer: PID = {}\n", pid(Role::Tracer));
        let paths = self.arguments(run.directory.path());
        let paths =
            paths.iter().zip(&self.arguments).filter(|(_, it)| !matches!(it, Argument::Option(_)));
        for ((path, _), made) in paths.zip(made) {
            let path = path.to_string_lossy();
            *target += &format!("\nTarget process: about to make directory \"{path}\"\n");
            match made.result {
                Ok(value) => {
                    *target += &format!("Target process: SUCCESS: mkdir(2) returned = {value}\n");
                }
                Err(errno) => *target_err += &format!("Target process: mkdir: {}\n", text(errno)),
            }
            if made.notified {
                let pid = pid(Role::Target);
                *tracer += &format!("Tracer: got notification for PID {pid}; ID is X\n");
                if self.delay > 0 {
                    *tracer += &format!("Tracer: delaying for {} seconds:", self.delay);
                    for left in (1..=self.delay).rev() {
                        *tracer += &format!(" {left}");
                    }
                    *tracer += "\n";
                }
                *tracer += &format!("Tracer: mkdir(\"{path}\", 600)\n");
                if path == "/bye" {
                    *tracer += "Tracer: terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n";
                }
            }
        }
        *target += "Target process: terminating\n";
        *parent += "Parent: target process has terminated\n";
        if !self.keep {
            *parent += "Parent: killing tracer\n";
        }
        transcript
    }

    /// A run without injected failures. Its transcript must be right, since the test compares other runs with it.
    pub fn clean(&self, image: &Path) -> Run {
        // On a busy machine the parent's signal and the tracer's timer can come although the tracer ends by itself, or come
        // once more. That adds calls that other runs need not make, so take the run with the fewest calls. Or a process gets no
        // time for so long that the gates are opened, and the order is another one.
        let runs = (0..5).map(|_| self.run(image, &[]));
        let run =
            runs.min_by_key(|run| (run.outcome.forced, run.outcome.calls.len())).expect("some");
        let outcome = &run.outcome;
        let shown = format!("{self:?}\n{outcome:?}\n{}", run.output());
        assert!(!outcome.hung && outcome.left.is_empty() && !outcome.forced, "{shown}");
        assert_eq!(outcome.status(), 0, "{shown}");
        run.completed(self, &self.made(run.directory.path())).expect("a clean run");
        run
    }
}

/// The result of a case, and the directory of its run.
pub struct Run {
    pub outcome: Outcome,
    pub directory: TempDir,
}

impl Run {
    /// Both streams, for messages.
    pub fn output(&self) -> String {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        format!("stdout:\n{}stderr:\n{}", text(&self.outcome.out), text(&self.outcome.err))
    }

    /// The output of each process.
    pub fn transcript(&self) -> Transcript {
        let stream = |stream: usize| {
            Role::ALL.map(|role| match self.outcome.written.get(&role) {
                Some(written) => without_ids(&written[stream]),
                None => String::new(),
            })
        };
        Transcript { out: stream(0), err: stream(1) }
    }

    /// Checks that the run did its work: status 0, the whole transcript, each line after its cause, and exactly these
    /// directories.
    pub fn completed(&self, case: &Case, made: &[Made]) -> Result<(), String> {
        let (found, wanted) = (self.transcript(), case.transcript(self, made));
        if self.outcome.status() != 0 {
            return Err(format!("status {}", self.outcome.status()));
        }
        if found != wanted {
            return Err(format!("wanted {wanted:#?}\nfound {found:#?}"));
        }
        self.in_order()?;
        let written: usize =
            self.outcome.written.values().flatten().map(|written| written.len()).sum();
        if written != self.outcome.out.len() + self.outcome.err.len() {
            return Err("not all that was written has arrived".into());
        }
        let paths = case.arguments(self.directory.path());
        let paths =
            paths.iter().zip(&case.arguments).filter(|(_, it)| !matches!(it, Argument::Option(_)));
        for ((path, argument), made) in paths.zip(made) {
            if !matches!(argument, Argument::Below(_)) {
                continue;
            }
            let metadata = fs::symlink_metadata(path);
            if metadata.is_ok() != made.result.is_ok() {
                return Err(format!("{path:?}: {made:?}, but {metadata:?}"));
            }
        }
        Ok(())
    }

    /// Checks that each result of the target follows the tracer's line about it.
    fn in_order(&self) -> Result<(), String> {
        let (mut handled, mut results) = (0, 0);
        for line in self.outcome.out.split(|&byte| byte == b'\n') {
            handled += usize::from(line.starts_with(b"Tracer: mkdir("));
            results += usize::from(line.starts_with(b"Target process: SUCCESS"));
            if results > handled {
                return Err("a result comes before the tracer's line".into());
            }
        }
        Ok(())
    }

    /// Whether a line names this call of this process and this errno.
    pub fn names(&self, call: &Call, errno: i32) -> bool {
        let line = format!("{}{}: {}", call.role.prefix(), call.plain(), text(errno));
        String::from_utf8_lossy(&self.outcome.err).lines().any(|it| it == line)
    }

    /// Checks that the parent's lines about its children, and its exit status, are true. With `whole`, nothing was done to the
    /// parent: its report must be complete.
    pub fn is_true(&self, whole: bool) -> Result<(), String> {
        let ends = &self.outcome.ends;
        let err = String::from_utf8_lossy(&self.outcome.err);
        let mut wanted = vec![];
        for (role, name) in [(Role::Target, "target process"), (Role::Tracer, "tracer")] {
            match ends.get(&role) {
                Some(End::Killed(signal)) => wanted.push((
                    format!("Parent: {name} was killed by signal {}", *signal as i32),
                    // The parent itself sends SIGTERM to the tracer, and does not report it.
                    role == Role::Tracer && *signal == nix::sys::signal::Signal::SIGTERM,
                )),
                Some(End::Exited(0)) => {}
                Some(End::Exited(1)) if role == Role::Tracer => {}
                Some(End::Exited(status)) => {
                    wanted.push((format!("Parent: {name} failed with status {status}"), false));
                }
                None => {}
            }
        }
        for line in err.lines().filter(|line| line.starts_with("Parent: ")) {
            let is_report =
                line.contains(" failed with status ") || line.contains(" was killed by ");
            if is_report && !wanted.iter().any(|(it, _)| it == line) {
                return Err(format!("untrue: {line:?} of {ends:?}"));
            }
        }
        let missing = wanted
            .iter()
            .find(|(line, may_be_silent)| !may_be_silent && !err.lines().any(|it| it == line));
        if let Some((line, _)) = missing {
            if whole {
                return Err(format!("missing: {line:?} of {ends:?}"));
            }
            if self.outcome.status() == 0 {
                return Err(format!("status 0, though {line:?}"));
            }
        }
        if wanted.iter().any(|(_, silent)| !silent) && self.outcome.status() == 0 {
            return Err(format!("status 0 of {ends:?}"));
        }
        Ok(())
    }
}

/// The C library's text of an errno.
pub fn text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap().to_owned()
}

/// A process's lines, with X in the place of the notifications' random IDs.
fn without_ids(bytes: &[u8]) -> String {
    let mut lines = String::new();
    for line in String::from_utf8_lossy(bytes).split_inclusive('\n') {
        match line.trim_end().split_once("; ID is ") {
            Some((before, id)) if u64::from_str_radix(id, 16).is_ok() && !id.starts_with('0') => {
                lines += &format!("{before}; ID is X\n");
            }
            _ => lines += line,
        }
    }
    lines
}

/// The command lines whose calls are tested one by one, each in every order that makes a difference: if the scheduler chose the
/// order, some calls would be made only in some runs.
///
/// The environment variable `CASE` selects the cases whose name or order contains it.
pub fn all() -> Vec<Case> {
    let mut cases = vec![];
    demonstrations(&mut cases);
    old_kernels(&mut cases);
    rare_ways(&mut cases);
    chosen(cases)
}

/// The cases for the test that kills a process: the demonstrations, and older kernels, on which the tracer does not end by
/// itself when the target has ended.
pub fn killed() -> Vec<Case> {
    let mut cases = vec![];
    demonstrations(&mut cases);
    old_kernels(&mut cases);
    chosen(cases)
}

/// The cases for the tests that send other signals: one order of each demonstration, and `-w`, with which a signal does not
/// interrupt a received call.
pub fn interrupted() -> Vec<Case> {
    let arguments = vec![Opt("-Kw"), below("x"), At("/nope/y"), At("/bye")];
    let killable = Case::new("-Kw /tmp/x /nope/y /bye", "the tracer ends first", arguments);
    chosen(vec![
        Case::keeping("the tracer ends first").tracer_first(),
        Case { keep: true, killable: true, ..killable }.tracer_first(),
        Case::delayed("the parent kills the tracer").parent_finds_tracer(2, "kill(15)"),
        Case::filtered("the parent kills the tracer").parent_finds_tracer(1, "kill(15)"),
    ])
}

/// `-K`, further options and one path, with the order that the gates define.
pub fn one_path(options: &[&'static str], delay: u32, gates: Vec<Gate>) -> Case {
    let options = options.iter().map(|option| Opt(option));
    let arguments = [Opt("-K")].into_iter().chain(options).chain([below("x")]).collect();
    Case { keep: true, delay, gates, ..Case::new("-K /tmp/x", "in the test's order", arguments) }
}

/// `-K`, a directory to be made, and one that is there by then.
pub fn one_path_and(there: &'static str) -> Case {
    let arguments = vec![Opt("-K"), below("d/x"), Argument::Failing(there, libc::EEXIST)];
    Case { keep: true, ..Case::new("-K /tmp/d/x", "in the test's order", arguments) }
}

/// `-K` and directories to be made.
pub fn paths(names: &[&str]) -> Case {
    let arguments = [Opt("-K")].into_iter().chain(names.iter().map(|name| below(name)));
    Case { keep: true, ..Case::new("-K, directories", "in the test's order", arguments.collect()) }
}

/// `-K` and two directories to be made, between them one whose parent is not there.
pub fn paths_around_a_missing_one() -> Case {
    let mut case = paths(&["x", "y"]);
    case.arguments.insert(2, Argument::Failing("nosuch/x", libc::ENOENT));
    case
}

fn chosen(mut cases: Vec<Case>) -> Vec<Case> {
    let chosen = env::var("CASE").unwrap_or_default();
    cases.retain(|case| case.name.contains(&chosen) || case.order.contains(&chosen));
    cases
}

fn below(name: &str) -> Argument {
    Below(name.to_owned())
}

fn reached(role: Role, name: &str, nth: usize, side: Side) -> Until {
    Until::Reached(Moment::new(role, name, nth, side))
}

impl Case {
    /// The target ends after the tracer.
    fn tracer_first(self) -> Self {
        // The parent waits for both. Had both ended before it waits, the kernel could name the target first.
        self.gate((Target, "exit_group", 1, Entry), reached(Parent, "wait4", 1, Exit))
    }

    /// The target ends when the tracer is in its last RECV, the nth.
    fn target_ends_in(self, receive: usize) -> Self {
        self.gate((Target, "exit_group", 1, Entry), reached(Tracer, "ioctl(RECV)", receive, Entry))
    }

    /// The tracer is in its last RECV, the nth, until the parent has sent it a signal.
    fn parent_finds_tracer(self, receive: usize, kill: &str) -> Self {
        let killed = || reached(Parent, kill, 1, Exit);
        self.target_ends_in(receive)
            .gate((Tracer, "ioctl(RECV)", receive, Exit), killed())
            .gate((Tracer, "ioctl(RECV)", receive, Entry), killed())
    }

    /// The parent waits for the tracer after the tracer has ended.
    fn tracer_by_itself(self, receive: usize) -> Self {
        self.target_ends_in(receive)
            .gate((Tracer, "ioctl(RECV)", receive, Exit), reached(Parent, "wait4", 1, Exit))
            .gate((Parent, "wait4", 1, Exit), Until::Ended(Tracer))
    }

    /// The same, and the parent waits for the target only after the tracer has ended.
    fn tracer_meets_zombie(self, receive: usize) -> Self {
        // The tracer can end first: the kernel lets RECV return before the target is a zombie. Then the parent would be told of
        // the tracer first, and not ask for it with WNOHANG.
        self.target_ends_in(receive)
            .gate((Parent, "wait4", 1, Entry), Until::Ended(Tracer))
            .gate((Parent, "wait4", 1, Entry), Until::Ended(Target))
    }

    fn rule(mut self, when: When, action: Action) -> Self {
        self.rules.push((when, action));
        self
    }

    fn keeping(order: &'static str) -> Self {
        let arguments = vec![Opt("-K"), below("x"), At("/nope/y"), At("/bye")];
        Self { keep: true, ..Self::new("-K /tmp/x /nope/y /bye", order, arguments) }
    }

    fn delayed(order: &'static str) -> Self {
        let arguments = vec![Opt("-d"), Opt("1"), Opt("-f"), Opt("t"), below("x")];
        Self { delay: 1, ..Self::new("-d 1 -f t /tmp/x", order, arguments) }
    }

    fn filtered(order: &'static str) -> Self {
        let arguments = vec![Opt("-f"), Opt("e"), below("x")];
        let filtered = Some(libc::EOPNOTSUPP);
        Self { filtered, ..Self::new("-f e /tmp/x", order, arguments) }
    }

    fn simple(order: &'static str) -> Self {
        let arguments = vec![Opt("-K"), below("x")];
        Self { keep: true, ..Self::new("-K /tmp/x", order, arguments) }
    }
}

/// The three command lines that show everything that the program demonstrates.
fn demonstrations(cases: &mut Vec<Case>) {
    cases.extend([
        Case::keeping("the tracer ends first").tracer_first(),
        Case::keeping("the target ends first")
            .gate((Tracer, "exit_group", 1, Entry), reached(Parent, "kill(14)", 1, Exit)),
        Case::delayed("the parent kills the tracer").parent_finds_tracer(2, "kill(15)"),
        Case::delayed("the tracer ends by itself").tracer_by_itself(2),
        Case::filtered("the parent kills the tracer").parent_finds_tracer(1, "kill(15)"),
        Case::filtered("the tracer ends by itself").tracer_by_itself(1),
        Case::filtered("the tracer ends before the target is waited for").tracer_meets_zombie(1),
    ]);
}

/// The injector imitates older kernels.
fn old_kernels(cases: &mut Vec<Case>) {
    let receives = || When::TargetGone("ioctl(RECV)");
    let spurious = When::Once(Moment::new(Tracer, "ioctl(RECV)", 2, Entry));
    cases.extend([
        // Before Linux 6.11, RECV does not return when the target has ended.
        Case::simple("Linux < 6.11: RECV waits for a dead target")
            .rule(receives(), Action::Wait)
            .target_ends_in(2),
        Case::simple("Linux < 6.11: the parent's signal comes before that RECV")
            .rule(receives(), Action::Wait)
            .gate((Tracer, "ioctl(SEND)", 1, Exit), reached(Parent, "kill(14)", 1, Exit)),
        // Before Linux 5.9, poll reports no POLLHUP either.
        Case::simple("Linux < 5.9: and poll tells nothing")
            .rule(receives(), Action::Wait)
            .rule(spurious, Action::Return(-i64::from(libc::EINTR)))
            .rule(When::TargetGone("ppoll"), Action::Wait)
            .gate((Target, "exit_group", 1, Entry), reached(Tracer, "ppoll", 1, Entry)),
        Case::simple("Linux < 5.9: ID_VALID has its old number")
            .rule(When::Each("ioctl(ID_VALID)"), Action::Return(-i64::from(libc::EINVAL)))
            .tracer_by_itself(2),
        Case::simple("Linux < 5.6: there is no openat2")
            .rule(
                When::Each("openat2(DIRECTORY, resolve 0xe)"),
                Action::Return(-i64::from(libc::ENOSYS)),
            )
            .tracer_by_itself(2),
        Case::simple("Linux < 6.6: SET_FLAGS is unknown")
            .rule(When::Each("ioctl(SET_FLAGS)"), Action::Return(-i64::from(libc::EINVAL)))
            .tracer_by_itself(2),
    ]);
}

/// Paths through the program that the demonstrations do not use.
fn rare_ways(cases: &mut Vec<Case>) {
    let long = format!("{}/{}/x", "n".repeat(250), "o".repeat(240));
    let through = vec![Opt("-Kwc"), below("x"), At("/nope/y")];
    let failing = vec![
        Opt("-K"),
        Failing("nosuch/x", libc::ENOENT),
        Failing("", libc::EEXIST),
        Failing("file/x", libc::ENOTDIR),
        Failing("../x", libc::EPERM),
        Failing("link/x", libc::EPERM),
    ];
    let write = |nth| When::Once(Moment::new(Target, "write(1)", nth, Entry));
    cases.extend([
        Case::simple("no /proc: the path is read by process_vm_readv")
            .rule(When::Each("openat(/proc/PID/mem)"), Action::Return(-i64::from(libc::ENOENT)))
            .tracer_by_itself(2),
        Case::simple("the output does not block, and is full")
            .rule(write(1), Action::Return(-i64::from(libc::EAGAIN)))
            .tracer_by_itself(2),
        Case::simple("writes come back short")
            .rule(write(2), Action::Shorten(5))
            .rule(When::Once(Moment::new(Tracer, "write(1)", 2, Entry)), Action::Shorten(7))
            .tracer_by_itself(2),
        Case {
            keep: true,
            let_through: true,
            ..Case::new("-Kwc /tmp/x /nope/y", "the tracer ends by itself", through)
        }
        .tracer_by_itself(3),
        Case {
            keep: true,
            ..Case::new("-K, paths that fail", "the tracer ends by itself", failing)
        }
        .tracer_by_itself(6),
        Case {
            keep: true,
            ..Case::new(
                "-K, a path of 500 bytes",
                "the tracer ends by itself",
                vec![Opt("-K"), Below(long)],
            )
        }
        .tracer_by_itself(2),
    ]);
}
