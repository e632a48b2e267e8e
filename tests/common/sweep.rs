//! How much is tried: everything if the environment variable `SWEEPS` is `whole`, as in .ci/run, or a sample.
//!
//! A sweep does the same things at every place of a run: at each call, or at each stop. Many places are of one kind, such as the
//! writes of a process, and show the same.

use std::collections::HashSet;
use std::env;
use std::hash::Hash;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Whether everything is tried.
pub fn is_whole() -> bool {
    match env::var("SWEEPS").as_deref() {
        Ok("whole") => true,
        Ok("sample") | Err(_) => false,
        Ok(other) => panic!("SWEEPS={other}: it is whole or sample"),
    }
}

/// Says what part of a sweep is tried, for a heading.
pub fn extent() -> &'static str {
    if is_whole() { "whole" } else { "a sample; SWEEPS=whole tries everything" }
}

/// How many of so many random or equal trials are made: a quarter of them in a sample.
pub fn count(all: usize) -> usize {
    if is_whole() { all } else { all / 4 }
}

/// Chooses what is tried at each place. In a sample that is everything where a kind of place is met first, and one thing at every
/// third place elsewhere: the next one each time, so that each has its turn.
pub struct Sample<K> {
    is_whole: bool,
    met: HashSet<K>,
    turn: usize,
}

impl<K: Eq + Hash> Sample<K> {
    pub fn new() -> Self {
        Self { is_whole: is_whole(), met: HashSet::new(), turn: 0 }
    }

    pub fn choose<'a, T>(&mut self, kind: K, things: &'a [T]) -> &'a [T] {
        if self.met.insert(kind) || self.is_whole || things.is_empty() {
            return things;
        }
        self.turn += 1;
        if !self.turn.is_multiple_of(3) {
            return &[];
        }
        let next = self.turn / 3 % things.len();
        &things[next..=next]
    }
}

/// Does all jobs, several at the same time, and returns the results in the order of the jobs.
pub fn side_by_side<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    // Two for each processor: a test waits for the program's processes, and they for it.
    let threads = (2 * thread::available_parallelism().map_or(1, usize::from)).min(8);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(at) else { break };
                    let result = work(job);
                    results.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|&(at, _)| at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What is wrong with the jobs that are, in the order of the jobs.
pub fn bad_ones<J: Sync>(
    jobs: &[J],
    judge: impl Fn(&J) -> Result<(), String> + Sync,
) -> Vec<String> {
    side_by_side(jobs, judge).into_iter().filter_map(Result::err).collect()
}
