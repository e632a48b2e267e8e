//! A very long run: after a million notifications no process of the program has a descriptor or a
//! page more than after the first thousand, and there is no process more.
//!
//! How fast it is, is not judged here.

mod common;

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use common::{Ended, Running, program};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

/// What the program holds at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holding {
    processes: usize,
    /// Open descriptors and resident kB: of the parent, the target and the tracer.
    descriptors: Vec<usize>,
    resident: Vec<usize>,
}

/// The parent's children, in the order of their birth: the target and the tracer.
fn children(parent: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    children.unwrap_or_default().split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// A number behind a name in a file of /proc/PID.
fn field(pid: i32, file: &str, name: &str) -> Option<usize> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What the processes hold now; nothing if one of them has ended meanwhile.
fn holding(parent: i32) -> Option<Holding> {
    let children = children(parent);
    let all: Vec<i32> = [parent].into_iter().chain(children).collect();
    let descriptors =
        all.iter().map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok().map(Iterator::count));
    // Counted page by page, unlike VmRSS.
    let resident = all.iter().map(|&pid| field(pid, "smaps_rollup", "Rss:"));
    Some(Holding {
        processes: all.len(),
        descriptors: descriptors.collect::<Option<_>>()?,
        resident: resident.collect::<Option<_>>()?,
    })
}

/// So often it is looked at, at the beginning and at the end.
const LOOKS: usize = 20;

/// The least of several looks: a descriptor that is open just while a directory is made does not count.
fn least(looks: impl Iterator<Item = Holding>) -> Holding {
    let least = |some: &mut Vec<usize>, others: &[usize]| {
        some.iter_mut().zip(others).for_each(|(it, other)| *it = (*it).min(*other));
    };
    looks
        .reduce(|mut all, one| {
            least(&mut all.descriptors, &one.descriptors);
            least(&mut all.resident, &one.resident);
            all
        })
        .expect("at least one look")
}

/// Looks at the program from its thousandth notification until its last one.
fn watch(name: &str, running: Running, notifications: usize) {
    let parent = running.pid().as_raw();
    let begin = Instant::now();
    let (mut first, mut last) = (vec![], VecDeque::new());
    loop {
        let pids = children(parent);
        let [_, tracer] = pids[..] else {
            if !first.is_empty() || begin.elapsed() > common::LIMIT {
                break;
            }
            continue;
        };
        // Each notification is one read of the target's memory, or two for a long path, and the
        // tracer reads nothing else.
        let Some(seen) = field(tracer, "io", "syscr:") else {
            if Path::new("/proc/self/io").exists() {
                break;
            }
            common::skipped("a count of calls", "this kernel has none (CONFIG_TASK_IO_ACCOUNTING)");
            break;
        };
        if seen >= 1000
            && let Some(now) = holding(parent)
            && now.processes == 3
        {
            if first.len() < LOOKS {
                first.push((seen, now.clone()));
            }
            last.push_back((seen, now));
            if last.len() > LOOKS {
                last.pop_front();
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    let outcome = running.finish();
    assert_eq!(outcome.ended, Ended::Status(0), "{}", outcome.err());
    if !Path::new("/proc/self/io").exists() {
        return;
    }

    assert_eq!(first.len(), LOOKS, "the run was too short to look at");
    let (begin, end) = (first[0].0, last[LOOKS - 1].0);
    let first = least(first.into_iter().map(|(_, holding)| holding));
    let last = least(last.into_iter().map(|(_, holding)| holding));
    println!("{name}: {notifications} notifications in {:.1} s", outcome.took.as_secs_f64());
    println!(
        "  {:>11}  processes  descriptors  resident kB  (parent, target, tracer)",
        "after reads"
    );
    for (at, holding) in [(begin, &first), (end, &last)] {
        println!(
            "  {at:11}  {:9}  {:11}  {:11}",
            holding.processes,
            format!("{:?}", holding.descriptors),
            format!("{:?}", holding.resident)
        );
    }
    assert!(
        begin < notifications / 4 && end > notifications * 9 / 10,
        "looked too late or too early"
    );
    assert_eq!(first.processes, last.processes);
    assert_eq!(first.descriptors, last.descriptors, "descriptors");
    for (first, last) in first.resident.iter().zip(&last.resident) {
        assert!(last <= first, "resident pages: {first} kB, then {last} kB");
    }
}

/// The measuring mode, over each way that an answer can come about.
fn measure(notifications: usize) {
    let directory = tempfile::Builder::new().prefix("snm-soak-").tempdir_in("/tmp").unwrap();
    let path = |name: &str| directory.path().join(name).into_os_string();
    let long = path(&"n/".repeat(200));
    fs::create_dir_all(directory.path().join("there")).unwrap();
    let paths =
        [path("x"), path("there/x"), path("nosuch/x"), "/nope/y".into(), path("../x"), long];
    // All kinds of path come again and again, and each of them within the first thousand.
    const TIMES: usize = 100;
    let rounds = notifications.div_ceil(paths.len() * TIMES);
    let notifications = rounds * paths.len() * TIMES;
    let arguments = (0..rounds).flat_map(|_| paths.clone());
    let arguments = [format!("-b{TIMES}").into()].into_iter().chain(arguments);
    let running = program(arguments).limit(Duration::from_secs(300)).start();
    watch("measuring mode, six kinds of path", running, notifications);
}

/// The demonstration with as many directories as a command line takes.
fn demonstrate(notifications: usize) {
    let paths = (0..notifications).map(|at| if at % 2 == 0 { "/n" } else { "/tmp/" });
    let running = program(paths)
        .streams(|command| {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        })
        .before(|| {
            // Room for the arguments: a quarter of the stack, up to 6 MB (`execve(2)`).
            Ok(setrlimit(Resource::RLIMIT_STACK, RLIM_INFINITY, RLIM_INFINITY)?)
        })
        .limit(Duration::from_secs(300))
        .start();
    watch("the demonstration", running, notifications);
}

#[test]
fn after_two_hundred_thousand_notifications_nothing_has_grown() {
    measure(200_000);
    demonstrate(200_000);
}

/// No command line holds a million directories.
#[test]
#[ignore = "takes a minute"]
fn after_a_million_notifications_nothing_has_grown() {
    measure(1_000_000);
    demonstrate(450_000);
}
