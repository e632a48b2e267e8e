//! Judges a transcript: every line that the specification fixes, in each process's own order, and every
//! order between the processes that cause and effect impose. Knows nothing of machines or containers.

/// What one run must say. Numbers that differ from run to run stand as N (process IDs) and X
/// (notification IDs). The blank line before an announcement goes without saying.
#[derive(Default)]
pub struct Expected<'a> {
    pub target: &'a [&'a str],
    pub tracer: &'a [&'a str],
    pub parent: &'a [&'a str],
    /// Standard error, in any order between the processes.
    pub errors: &'a [&'a str],
}

pub const ENDED: &str = "Parent: target process has terminated";
pub const KILLING: &str = "Parent: killing tracer";
pub const TARGET_PID: &str = "Target process: PID = N";
pub const TARGET_ENDS: &str = "Target process: terminating";
pub const TRACER_PID: &str = "Tracer: PID = N";
pub const TRACER_ENDS: &str = "Tracer: terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<";
pub const GOT: &str = "Tracer: got notification for PID N; ID is X";
pub const REFUSED: &str = "Target process: mkdir: Operation not permitted";

const ABOUT: &str = "Target process: about to make directory ";
const DELAYING: &str = "Tracer: delaying for ";
const ASKED: &str = "Tracer: mkdir(";

/// Judges the transcript of `-K PATH /bye` with a PATH beneath /tmp, which is made.
pub fn main_job(stdout: &str, stderr: &str, path: &str) -> Result<(), String> {
    judge(
        stdout,
        stderr,
        &Expected {
            target: &[
                TARGET_PID,
                &format!("Target process: about to make directory \"{path}\""),
                &format!("Target process: SUCCESS: mkdir(2) returned = {}", path.len()),
                "Target process: about to make directory \"/bye\"",
                TARGET_ENDS,
            ],
            tracer: &[
                TRACER_PID,
                GOT,
                &format!("Tracer: mkdir(\"{path}\", 600)"),
                GOT,
                "Tracer: mkdir(\"/bye\", 600)",
                TRACER_ENDS,
            ],
            parent: &[ENDED],
            errors: &[REFUSED],
        },
    )
}

/// Judges the transcript of `-K /tmp/x /bye` where nothing can be made beneath /tmp, for the reason
/// `error`.
pub fn beneath_tmp_fails(stdout: &str, stderr: &str, error: &str) -> Result<(), String> {
    judge(
        stdout,
        stderr,
        &Expected {
            target: &[
                TARGET_PID,
                "Target process: about to make directory \"/tmp/x\"",
                "Target process: about to make directory \"/bye\"",
                TARGET_ENDS,
            ],
            tracer: &[
                TRACER_PID,
                GOT,
                "Tracer: mkdir(\"/tmp/x\", 600)",
                GOT,
                "Tracer: mkdir(\"/bye\", 600)",
                TRACER_ENDS,
            ],
            parent: &[ENDED],
            errors: &[&format!("Target process: mkdir: {error}"), REFUSED],
        },
    )
}

/// Compares what a run wrote with what it must write.
pub fn judge(stdout: &str, stderr: &str, expected: &Expected) -> Result<(), String> {
    if !stdout.is_empty() && !stdout.ends_with('\n') {
        return Err("standard output ends within a line".into());
    }
    let lines = unwoven(stdout);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let normal: Vec<String> = lines.iter().map(|line| normalize(line)).collect();
    for (process, wanted) in [
        ("Target process: ", expected.target),
        ("Tracer: ", expected.tracer),
        ("Parent: ", expected.parent),
    ] {
        let said: Vec<&str> =
            normal.iter().map(String::as_str).filter(|line| line.starts_with(process)).collect();
        same(process, &said, wanted)?;
    }
    let blank: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].is_empty()).collect();
    let known = expected.target.len() + expected.tracer.len() + expected.parent.len();
    if lines.len() != known + blank.len() {
        return Err("a line belongs to no process".into());
    }
    let announced = lines.iter().filter(|line| line.starts_with(ABOUT)).count();
    let before = |&i: &usize| lines.get(i + 1).is_some_and(|line| line.starts_with(ABOUT));
    if blank.len() != announced || !blank.iter().all(before) {
        return Err("blank lines stand elsewhere than right before an announcement".into());
    }
    ordered(&lines)?;
    identified(&lines)?;

    let mut said: Vec<String> = stderr.lines().map(normalize).collect();
    let mut wanted: Vec<&str> = expected.errors.to_vec();
    said.sort();
    wanted.sort_unstable();
    same("standard error", &said.iter().map(String::as_str).collect::<Vec<_>>(), &wanted)
}

fn same(who: &str, said: &[&str], wanted: &[&str]) -> Result<(), String> {
    if said == wanted {
        return Ok(());
    }
    Err(format!("{who} should say\n  {}\nand said\n  {}", wanted.join("\n  "), said.join("\n  ")))
}

/// The tracer's line on a path stands between the target's announcement of it and what the target
/// says next, and the parent speaks after the target's last line.
fn ordered(lines: &[&str]) -> Result<(), String> {
    for (i, line) in lines.iter().enumerate() {
        if let Some(path) = line.strip_prefix(ASKED).and_then(|rest| rest.rsplit_once(", ")) {
            let announcement = lines[..i].iter().rposition(|line| line.starts_with(ABOUT));
            let is_announced =
                announcement.is_some_and(|at| lines[at].strip_prefix(ABOUT) == Some(path.0));
            let is_pending = announcement.is_some_and(|at| {
                !lines[at + 1..i].iter().any(|line| line.starts_with("Target process: "))
            });
            if !is_announced || !is_pending {
                return Err(format!("'{line}' stands out of order"));
            }
        }
        if line.starts_with("Parent: ")
            && lines[i..].iter().any(|line| line.starts_with("Target process: "))
        {
            return Err(format!("the target speaks after '{line}'"));
        }
    }
    Ok(())
}

/// The notifications are the target's, and the tracer is another process.
fn identified(lines: &[&str]) -> Result<(), String> {
    let number = |start: &str| {
        let rest = lines.iter().find_map(|line| line.strip_prefix(start))?;
        Some(rest.split(';').next().unwrap_or_default())
    };
    let target = number("Target process: PID = ");
    if target.is_some() && target == number("Tracer: PID = ") {
        return Err("target and tracer are one process".into());
    }
    let got: Vec<&&str> = lines.iter().filter(|line| line.starts_with("Tracer: got")).collect();
    let of_target = format!("for PID {};", target.unwrap_or_default());
    match got.iter().find(|line| !line.contains(&of_target)) {
        Some(line) => Err(format!("'{line}' is not about the target")),
        None => Ok(()),
    }
}

/// The lines of a transcript. The tracer's line on a delay grows by a number a second, so that lines of
/// the other processes may stand in the midst of it; they are taken out.
fn unwoven(stdout: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    // Where the growing line is, and the number that comes next: 0 for the line's end.
    let mut growing: Option<(usize, u32)> = None;
    for line in stdout.lines() {
        let mut rest = line;
        if let Some(count) = line.strip_prefix(DELAYING) {
            let numbers = count.split_once(": ").map_or("", |(_, numbers)| numbers);
            let first = numbers.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            let first: u32 = first.parse().unwrap_or_default();
            let own = line.len() - numbers.len() + first.to_string().len();
            growing = Some((lines.len(), first.saturating_sub(1)));
            lines.push(line[..own].to_owned());
            rest = &line[own..];
        }
        if let Some((at, mut next)) = growing {
            while next > 0 {
                let number = format!(" {next}");
                let Some(after) = rest.strip_prefix(&number) else {
                    break;
                };
                lines[at].push_str(&number);
                rest = after;
                next -= 1;
            }
            growing = if next == 0 && rest.is_empty() { None } else { Some((at, next)) };
            // What is left is another process's whole line, or this line's own end.
            if !rest.is_empty() {
                lines.push(rest.to_owned());
            } else if next > 0 {
                lines.push(String::new());
            }
        } else {
            lines.push(rest.to_owned());
        }
    }
    lines
}

/// The line with N and X in the place of its numbers.
fn normalize(line: &str) -> String {
    let mut line = line.to_owned();
    for (before, digits, name) in [
        ("PID = ", "0123456789", "N"),
        ("for PID ", "0123456789", "N"),
        ("ID is ", "0123456789abcdef", "X"),
    ] {
        if let Some(at) = line.find(before) {
            let start = at + before.len();
            let rest = &line[start..];
            let end = start + rest.find(|c| !digits.contains(c)).unwrap_or(rest.len());
            if end > start {
                line.replace_range(start..end, name);
            }
        }
    }
    line
}
