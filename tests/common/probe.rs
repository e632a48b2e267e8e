//! What `-p` prints, read and checked: the names in their order, the forms of the lines, and that each line and the exit
//! status follow from the others.

/// A thing that the probe tries, by the table in docs/probe.md.
pub struct Thing {
    /// Its name.
    pub name: &'static str,
    /// The thing without which it cannot be tried.
    pub needs: Option<&'static str>,
    /// The first Linux that has it, by the kernel's history: the first two numbers of its version.
    pub since: (u32, u32),
}

const fn thing(name: &'static str, needs: &'static str, since: (u32, u32)) -> Thing {
    let needs = if needs.is_empty() { None } else { Some(needs) };
    Thing { name, needs, since }
}

/// All of them, in the order of their lines.
pub const THINGS: [Thing; 15] = [
    // "seccomp: add a return code to trap to userspace".
    thing("listener", "", (5, 0)),
    thing("receive", "listener", (5, 0)),
    thing("id-valid", "receive", (5, 0)),
    thing("send", "receive", (5, 0)),
    // "seccomp: add SECCOMP_USER_NOTIF_FLAG_CONTINUE".
    thing("continue", "receive", (5, 5)),
    // "seccomp: Introduce addfd ioctl to seccomp user notifier".
    thing("add-fd", "receive", (5, 9)),
    // "seccomp: Support atomic "addfd + send reply"".
    thing("add-fd-send", "add-fd", (5, 14)),
    // "seccomp: allow TSYNC and USER_NOTIF together".
    thing("thread-sync", "receive", (5, 7)),
    // "seccomp: Add wait_killable semantic to seccomp user notifier".
    thing("wait-killable", "send", (5, 19)),
    // "seccomp: add the synchronous mode for seccomp_unotify".
    thing("sync-wake-up", "listener", (6, 6)),
    // "seccomp: interrupt SECCOMP_IOCTL_NOTIF_RECV when all users have exited".
    thing("end-told", "receive", (6, 11)),
    // 3.2.
    thing("process-vm-readv", "receive", (5, 0)),
    thing("proc-mem", "receive", (5, 0)),
    // "pid: Implement pidfd_getfd syscall".
    thing("pidfd-getfd", "receive", (5, 6)),
    thing("pid-visible", "receive", (5, 0)),
];

/// What a line says of its thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// `yes`
    Yes,
    /// `no: CALL: ERROR`, and behind a semicolon the reason.
    No { call: String, error: String, reason: Option<String> },
    /// `untried: OTHER`
    Untried(String),
}

/// The lines of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// What follows `system: `.
    pub system: String,
    /// What is said of each thing, as far as the run came.
    pub said: Vec<Said>,
}

impl Lines {
    /// Reads the standard output of a run. The names must be the right ones, in their order.
    pub fn read(out: &str) -> Result<Self, String> {
        let mut lines = Self::default();
        let mut rest = out;
        if !rest.is_empty() && !rest.ends_with('\n') {
            return Err(format!("a torn line: {out}"));
        }
        if let Some((first, others)) = rest.split_once('\n') {
            let system = first.strip_prefix("system: ").ok_or(format!("no system: {out}"))?;
            if system.split(' ').count() != 3 {
                return Err(format!("not the system's name, release and machine: {system}"));
            }
            lines.system = system.to_owned();
            rest = others;
        }
        let mut things = THINGS.iter();
        for line in rest.lines() {
            let thing = things.next().ok_or(format!("too many lines: {out}"))?;
            let said = line.strip_prefix(thing.name).and_then(|rest| rest.strip_prefix(": "));
            let said = said.ok_or(format!("{line}: this is not {}", thing.name))?;
            lines.said.push(Said::read(said).ok_or(format!("of no known form: {line}"))?);
        }
        Ok(lines)
    }

    /// What is said of the thing with this name.
    pub fn of(&self, name: &str) -> Option<&Said> {
        self.said.get(THINGS.iter().position(|thing| thing.name == name)?)
    }

    /// Whether all lines are there.
    pub fn is_whole(&self) -> bool {
        self.said.len() == THINGS.len()
    }

    /// The names of the things that do not work.
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = |said: &Said| matches!(said, Said::No { .. });
        let pairs = THINGS.iter().zip(&self.said);
        pairs.filter(|(_, said)| failed(said)).map(|(thing, _)| thing.name).collect()
    }

    /// Checks that exactly those things are untried for which something that does not work stands in the way.
    ///
    /// An error after an answer may also take away the call that waits: nothing that needs one can be tried then.
    pub fn are_consistent(&self) -> Result<(), String> {
        let failed = self.failed();
        for (thing, said) in THINGS.iter().zip(&self.said) {
            let mut obstacle = None;
            let mut needs = thing.needs;
            let mut needs_a_call = false;
            while let Some(need) = needs {
                needs_a_call |= need == "receive";
                if failed.contains(&need) {
                    obstacle = Some(need);
                }
                needs = THINGS.iter().find(|other| other.name == need).and_then(|it| it.needs);
            }
            match (said, obstacle) {
                (Said::Untried(other), Some(obstacle)) if other == obstacle => {}
                (Said::Untried(other), None)
                    if needs_a_call
                        && ["send", "continue", "add-fd", "add-fd-send"].contains(&&other[..])
                        && failed.contains(&&other[..]) => {}
                (Said::Yes | Said::No { .. }, None) => {}
                _ => return Err(format!("{}: {said:?}, {obstacle:?} fails", thing.name)),
            }
        }
        Ok(())
    }

    /// The exit status that follows from the lines, if all are there.
    pub fn status(&self) -> i32 {
        let works = |name| self.of(name) == Some(&Said::Yes);
        let memory = works("process-vm-readv") || works("proc-mem");
        if works("listener") && works("receive") && works("send") && memory { 0 } else { 77 }
    }
}

impl Said {
    /// Reads what stands behind a name.
    pub fn read(said: &str) -> Option<Self> {
        if said == "yes" {
            return Some(Self::Yes);
        }
        if let Some(other) = said.strip_prefix("untried: ") {
            let known = THINGS.iter().any(|thing| thing.name == other);
            return known.then(|| Self::Untried(other.into()));
        }
        let (call, error) = said.strip_prefix("no: ")?.split_once(": ")?;
        let (error, reason) = match error.split_once("; ") {
            Some((error, reason)) => (error, Some(reason.to_owned())),
            None => (error, None),
        };
        let is_word = call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_full = !call.is_empty() && !error.is_empty() && reason.as_deref() != Some("");
        (is_word && is_full).then(|| Self::No { call: call.into(), error: error.into(), reason })
    }
}
