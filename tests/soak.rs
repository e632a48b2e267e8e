//! A very long run: after a million notifications no process of the program has more descriptors or pages than after the
//! first thousand, and there are no more processes. The time is not tested.

mod common;

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use common::{Ended, Running, program, sweep};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

/// What the program's processes use at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Usage {
    processes: usize,
    /// Open descriptors, and resident memory in kB: of the parent, the target and the tracer.
    descriptors: Vec<usize>,
    resident: Vec<usize>,
}

/// The parent's children, the oldest first: the target and the tracer.
fn children(parent: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    children.unwrap_or_default().split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// The number that follows a name in a file of /proc/PID.
fn field(pid: i32, file: &str, name: &str) -> Option<usize> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What the processes use now; `None` if one of them has ended meanwhile.
fn usage(parent: i32) -> Option<Usage> {
    let children = children(parent);
    let all: Vec<i32> = [parent].into_iter().chain(children).collect();
    let descriptors =
        all.iter().map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok().map(Iterator::count));
    // Counted page by page, unlike VmRSS.
    let resident = all.iter().map(|&pid| field(pid, "smaps_rollup", "Rss:"));
    Some(Usage {
        processes: all.len(),
        descriptors: descriptors.collect::<Option<_>>()?,
        resident: resident.collect::<Option<_>>()?,
    })
}

/// The number of samples at the beginning, and at the end.
const SAMPLES: usize = 20;

/// The least of several samples: a descriptor that is open only while a directory is made does not count.
fn least(samples: impl Iterator<Item = Usage>) -> Usage {
    let least = |some: &mut Vec<usize>, others: &[usize]| {
        some.iter_mut().zip(others).for_each(|(it, other)| *it = (*it).min(*other));
    };
    samples
        .reduce(|mut all, one| {
            least(&mut all.descriptors, &one.descriptors);
            least(&mut all.resident, &one.resident);
            all
        })
        .expect("at least one sample")
}

/// Takes samples from the program's thousandth notification to its last one.
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
        // The tracer reads the target's memory once for each notification, or twice for a long path, and reads nothing
        // else: its reads count the notifications.
        let Some(seen) = field(tracer, "io", "syscr:") else {
            if Path::new("/proc/self/io").exists() {
                break;
            }
            common::skipped("a count of calls", "this kernel has none (CONFIG_TASK_IO_ACCOUNTING)");
            break;
        };
        if seen >= 1000
            && let Some(now) = usage(parent)
            && now.processes == 3
        {
            if first.len() < SAMPLES {
                first.push((seen, now.clone()));
            }
            last.push_back((seen, now));
            if last.len() > SAMPLES {
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

    assert_eq!(first.len(), SAMPLES, "the run was too short");
    let (begin, end) = (first[0].0, last[SAMPLES - 1].0);
    let first = least(first.into_iter().map(|(_, usage)| usage));
    let last = least(last.into_iter().map(|(_, usage)| usage));
    println!("{name}: {notifications} notifications in {:.1} s", outcome.took.as_secs_f64());
    println!(
        "  {:>11}  processes  descriptors  resident kB  (parent, target, tracer)",
        "after reads"
    );
    for (at, usage) in [(begin, &first), (end, &last)] {
        println!(
            "  {at:11}  {:9}  {:11}  {:11}",
            usage.processes,
            format!("{:?}", usage.descriptors),
            format!("{:?}", usage.resident)
        );
    }
    assert!(
        begin < notifications / 4 && end > notifications * 9 / 10,
        "the samples were taken too late or too early"
    );
    assert_eq!(first.processes, last.processes);
    assert_eq!(first.descriptors, last.descriptors, "descriptors");
    for (first, last) in first.resident.iter().zip(&last.resident) {
        assert!(last <= first, "resident pages: {first} kB, then {last} kB");
    }
}

/// The measuring mode, with a path for each kind of response.
fn measure(notifications: usize) {
    let directory = tempfile::Builder::new().prefix("snm-soak-").tempdir_in("/tmp").unwrap();
    let path = |name: &str| directory.path().join(name).into_os_string();
    let long = path(&"n/".repeat(200));
    fs::create_dir_all(directory.path().join("there")).unwrap();
    let paths =
        [path("x"), path("there/x"), path("nosuch/x"), "/nope/y".into(), path("../x"), long];
    // All kinds of path are repeated, and each kind occurs within the first thousand notifications.
    const TIMES: usize = 100;
    let rounds = notifications.div_ceil(paths.len() * TIMES);
    let notifications = rounds * paths.len() * TIMES;
    let arguments = (0..rounds).flat_map(|_| paths.clone());
    let arguments = [format!("-b{TIMES}").into()].into_iter().chain(arguments);
    let running = program(arguments).limit(Duration::from_secs(300)).start();
    watch("measuring mode, six kinds of path", running, notifications);
}

/// The demonstration, with as many directories as a command line can have.
fn demonstrate(notifications: usize) {
    let paths = (0..notifications).map(|at| if at % 2 == 0 { "/n" } else { "/tmp/" });
    let running = program(paths)
        .streams(|command| {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        })
        .before(|| {
            // The arguments may use a quarter of the stack's limit, up to 6 MB (`execve(2)`).
            Ok(setrlimit(Resource::RLIMIT_STACK, RLIM_INFINITY, RLIM_INFINITY)?)
        })
        .limit(Duration::from_secs(300))
        .start();
    watch("the demonstration", running, notifications);
}

#[test]
fn after_tens_of_thousands_of_notifications_nothing_has_grown() {
    measure(sweep::count(200_000));
    demonstrate(sweep::count(200_000));
}

/// The demonstration has fewer notifications: a command line cannot have a million directories.
#[test]
#[ignore = "takes a minute"]
fn after_a_million_notifications_nothing_has_grown() {
    measure(1_000_000);
    demonstrate(450_000);
}
