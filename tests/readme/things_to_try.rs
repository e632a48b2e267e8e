//! The table of things to try in README.md: each command prints its decisive line.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::document::read;
use crate::common::probe::Lines;
use crate::common::{self, Beneath, Ended, Outcome, Stream};
use crate::{markdown, text};

const KILL: &str = "kill -INT";

/// A row of the table.
struct Thing {
    command: String,
    decisive: String,
    is_interrupted: bool,
}

fn things() -> Vec<Thing> {
    let rows = markdown::rows(&read("README.md"), "Things to try");
    let things: Vec<_> = rows
        .iter()
        .map(|row| Thing {
            command: row[0].code[0].clone(),
            decisive: row[1].code[0].clone(),
            is_interrupted: row[0].code.iter().any(|code| code == KILL),
        })
        .collect();
    for option in ["-d", "-w", "-f e", "-f t", "-c", "-p", "-b"] {
        let is_tried = |thing: &Thing| thing.command.contains(&format!(" {option}"));
        assert!(things.iter().any(is_tried), "{option} is not tried");
    }
    things
}

/// The commands of the table.
pub fn commands() -> Vec<String> {
    let things = things().into_iter();
    things.map(|thing| thing.command).chain([KILL.to_owned()]).collect()
}

/// Runs the command of a row, with another path for /tmp/x, which may exist. The test is the other terminal, and needs less time
/// there than a reader.
fn run(thing: &Thing) -> (Outcome, String) {
    let beneath = Beneath::new();
    let path = beneath.join("x").into_string().expect("text");
    let command = thing.command.replace("/tmp/x", &path).replace("-d 10 ", "-d 2 ");
    let words = command.strip_prefix("seccomp-notify-min ").expect("the program's name");
    let running = common::program(words.split(' ')).together().start();
    if thing.is_interrupted {
        let target = Pid::from_raw(running.wait_for("Target process: PID = ").writer);
        running.wait_for("Tracer: delaying for 2 seconds: 2");
        kill(target, Signal::SIGINT).expect("the target waits");
    }
    let outcome = running.finish();
    let printed = text(&outcome.of(Stream::Both));
    (outcome, printed)
}

fn check(thing: &Thing) {
    let (outcome, printed) = run(thing);
    if thing.command.ends_with(" -p") {
        let lines = Lines::read(&printed).expect("the lines");
        assert!(lines.is_whole(), "{printed}");
        assert_eq!(outcome.ended, Ended::Status(lines.status()));
        assert!(printed.lines().any(|line| line == thing.decisive), "{printed}");
        return;
    }
    assert_eq!(outcome.ended, Ended::Status(0), "{}: {printed}", thing.command);
    assert!(printed.contains(&thing.decisive), "{}: {printed}", thing.command);
    if thing.is_interrupted {
        // With -w the handler waits for the answer, else it runs at once.
        let handler = printed.find("Target process: received signal\n").expect("the handler");
        let answer = printed.find("Tracer: mkdir(");
        assert_eq!(answer.is_some_and(|answer| answer < handler), thing.command.contains(" -w "));
        for late in ["Tracer: response failed with ENOENT; ", "target has died!!!"] {
            assert_eq!(printed.contains(late), !thing.command.contains(" -w "), "{printed}");
        }
    }
}

#[test]
fn each_command_prints_its_decisive_line() {
    for thing in things().iter().filter(|thing| !thing.is_interrupted) {
        check(thing);
    }
}

/// Each waits for two seconds.
#[test]
fn a_signal_takes_the_call_away_or_waits_for_the_answer() {
    let things: Vec<_> = things().into_iter().filter(|thing| thing.is_interrupted).collect();
    assert_eq!(things.len(), 2, "without -w and with it");
    std::thread::scope(|scope| things.iter().for_each(|thing| drop(scope.spawn(|| check(thing)))));
}
