//! Checks a transcript: the lines of each process in their order, and that each line comes after its cause. The machines and
//! the containers use this module.

/// The lines that a run must print, with N for process IDs and X for notification IDs. The blank lines before the announcements
/// are left out.
#[derive(Default)]
pub struct Expected<'a> {
    pub target: &'a [&'a str],
    pub tracer: &'a [&'a str],
    pub parent: &'a [&'a str],
    /// The lines on standard error, in any order.
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
const HANDLED: &str = "Tracer: mkdir(";

/// Checks the transcript of `-K PATH /bye` with a PATH beneath /tmp, which is made.
pub fn main_job(stdout: &str, stderr: &str, path: &str) -> Result<(), String> {
    check(
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

/// Checks the transcript of `-K /tmp/x /bye` if nothing can be made beneath /tmp because of `error`.
pub fn beneath_tmp_fails(stdout: &str, stderr: &str, error: &str) -> Result<(), String> {
    check(
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

/// Compares the output of a run with the expected lines.
pub fn check(stdout: &str, stderr: &str, expected: &Expected) -> Result<(), String> {
    if !stdout.is_empty() && !stdout.ends_with('\n') {
        return Err("standard output ends within a line".into());
    }
    let lines = separate_lines(stdout);
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
        return Err("a blank line is not right before an announcement".into());
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
    Err(format!(
        "{who} should print\n  {}\nand printed\n  {}",
        wanted.join("\n  "),
        said.join("\n  ")
    ))
}

/// Checks that the tracer's line about a path is between the target's announcement of the path and the target's next line, and
/// that the parent's lines follow the target's last line.
fn ordered(lines: &[&str]) -> Result<(), String> {
    for (i, line) in lines.iter().enumerate() {
        if let Some(path) = line.strip_prefix(HANDLED).and_then(|rest| rest.rsplit_once(", ")) {
            let announcement = lines[..i].iter().rposition(|line| line.starts_with(ABOUT));
            let is_announced =
                announcement.is_some_and(|at| lines[at].strip_prefix(ABOUT) == Some(path.0));
            let is_pending = announcement.is_some_and(|at| {
                !lines[at + 1..i].iter().any(|line| line.starts_with("Target process: "))
            });
            if !is_announced || !is_pending {
                return Err(format!("'{line}' is out of order"));
            }
        }
        if line.starts_with("Parent: ")
            && lines[i..].iter().any(|line| line.starts_with("Target process: "))
        {
            return Err(format!("the target writes after '{line}'"));
        }
    }
    Ok(())
}

/// Checks that the notifications are from the target, and that the tracer is another process.
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

/// The lines of a transcript. The tracer's line about a delay gets one number each second, and lines of other processes can be
/// in the middle of it. This function separates them.
fn separate_lines(stdout: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    // The index of the line that grows, and its next number: 0 for the line's end.
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
            // The rest is a whole line of another process, or the end of this line.
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
