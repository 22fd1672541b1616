//! Recorded histories: random concurrent workloads on the shipped engine, checked for what it promises.
//!
//! One seed is one world (`world.rs`) with its clients (`workload.rs`); every third has two instances over a shared tier
//! (`wire.rs`) that is not always in reach (`trouble.rs`). Everything that happens in it is recorded (`record.rs`), and pure
//! functions look for what the record breaks (`check.rs`). An invalidation counts only if a load
//! that it covers was under way when it was made and a later read was checked against it.
//!
//! `cargo xtask verify` runs many more of them. It says how many through the environment:
//! `FOREBAY_HISTORIES_SEED` is the first seed, `FOREBAY_HISTORIES_COUNT` how many invalidations are to be counted, and
//! `FOREBAY_HISTORIES_THREADS` how many worlds run side by side.

#![allow(clippy::print_stdout, reason = "a long run says how far it is")]

pub mod check;
mod hashes;
mod instance;
pub mod record;
mod trouble;
mod wire;
mod workload;
pub mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use check::{Tally, Violation, check};
use record::History;
use world::{Plan, World};

/// Invalidations that the run beside the other tests counts.
const COUNT: u64 = 100_000;

/// Worlds between two lines that say how far a long run is.
const PROGRESS_EVERY: u64 = 1_000;

/// The world of `seed`: its history, what that breaks, what it was made of.
pub fn live(seed: u64) -> (History, Vec<Violation>, Tally) {
    let history = World::run(Plan::draw(seed));
    let (violations, tally) = check(&history);
    (history, violations, tally)
}

/// What a person needs to see of a violation: what broke, what happened around it, how to see it again.
pub fn report(seed: u64, history: &History, violation: &Violation) -> String {
    let around = violation.around.map_or(String::new(), |(key, from, to)| {
        format!(
            "{}: {}\n{}",
            history.keys[key].name,
            line_of_rules(history, key),
            history.excerpt(key, from, to)
        )
    });
    format!(
        "{}: {}\n{around}replay with: cargo xtask verify --seed {seed} --count 1",
        violation.property, violation.what
    )
}

fn line_of_rules(history: &History, key: record::KeyIndex) -> String {
    format!("{:?}", history.rules_of(key))
}

/// Lives through worlds from seed `first` on, until `count` invalidations have counted; on `threads` threads.
///
/// # Errors
/// The report of the first violation found.
pub fn run(first: u64, count: u64, threads: u64) -> Result<Tally, String> {
    let next = AtomicU64::new(first);
    let broken = AtomicBool::new(false);
    let sum: Mutex<(Tally, Option<String>)> = Mutex::default();
    let start = Instant::now();
    let work = || {
        while !broken.load(Ordering::Relaxed) && sum.lock().unwrap().0.counted < count {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let (history, violations, tally) = live(seed);
            let mut sum = sum.lock().unwrap();
            sum.0 += tally;
            if let Some(violation) = violations.first() {
                broken.store(true, Ordering::Relaxed);
                sum.1.get_or_insert_with(|| report(seed, &history, violation));
            }
            if sum.0.worlds.is_multiple_of(PROGRESS_EVERY) {
                let seconds = start.elapsed().as_secs_f64();
                println!("counted {} of {count} invalidations in {seconds:.0} s, seed {seed}", sum.0.counted);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let (tally, broken) = sum.into_inner().unwrap();
    match broken {
        Some(report) => Err(report),
        None => Ok(tally),
    }
}

fn asked_for(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect(variable))
}

#[test]
fn no_history_breaks_a_promise() {
    let first = asked_for("FOREBAY_HISTORIES_SEED", 1);
    let count = asked_for("FOREBAY_HISTORIES_COUNT", COUNT);
    let threads = asked_for("FOREBAY_HISTORIES_THREADS", 1);
    let tally = run(first, count, threads).unwrap_or_else(|report| panic!("{report}"));
    println!("{tally}");
    assert!(tally.counted >= count);
    // A handful of worlds need not show everything; the guards are for runs that claim something.
    if count >= COUNT {
        assert_eq!(tally.vacuous(), None);
    }
}

#[test]
fn a_seed_is_one_history() {
    for seed in 1..=20 {
        let [first, second] = [(); 2].map(|()| World::run(Plan::draw(seed)));
        assert!(!first.ops.is_empty());
        assert!(first == second, "seed {seed} gave two histories");
    }
}
