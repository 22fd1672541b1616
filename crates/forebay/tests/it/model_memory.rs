//! The memory tier under the model checker, on the shipped code: every order in which two threads can take its locks.

#![allow(clippy::print_stdout, reason = "each scenario says how many schedules it took")]

use std::sync::Arc;

use forebay::rt::Tick;
use forebay::rt::atomic::{AtomicBool, Ordering};
use forebay::rt::model::every_schedule;
use forebay::tier::memory::{Admit, EvictionPolicy, Filled, Held, MemoryTier};
use forebay::value::Position;
use forebay::{Blob, Value};
use shuttle::thread;

/// So large that two fit into a tier of 1 MiB, and a third does not.
const LARGE: usize = 400 * 1024;
const POLICIES: [EvictionPolicy; 3] = [EvictionPolicy::S3Fifo, EvictionPolicy::Lru, EvictionPolicy::Lfu];

fn held(mark: u8, size: usize) -> Held {
    Held {
        value: Some(Value::from(Blob::opaque(vec![mark; size]))),
        began: Tick::default(),
        fresh_until: Tick::from_ms(10),
        useless_from: Tick::from_ms(10),
        position: Position::START,
        expired: false,
        extras: None,
    }
}

fn mark(held: &Held) -> Option<u8> {
    held.value.as_ref()?.as_blob()?.as_bytes().first().copied()
}

fn get(tier: &MemoryTier, key: &[u8]) -> Option<u8> {
    tier.get(0, key, Tick::default(), |held| mark(&held.to_held()))
}

/// Runs two threads beside each other on one tier, in every order, under every policy; then checks the structure.
fn check(
    name: &str,
    first: impl Fn(&MemoryTier) + Send + Sync + Copy + 'static,
    second: impl Fn(&MemoryTier) + Send + Sync + Copy + 'static,
    end: impl Fn(&MemoryTier) + Send + Sync + Copy + 'static,
) {
    for policy in POLICIES {
        let schedules = every_schedule(move || {
            let tier = Arc::new(MemoryTier::new(1024 * 1024, policy));
            let beside = {
                let tier = Arc::clone(&tier);
                thread::spawn(move || first(&tier))
            };
            second(&tier);
            beside.join().unwrap();
            tier.validate().unwrap();
            end(&tier);
        });
        println!("{name}, {policy:?}: {schedules} schedules");
    }
}

#[test]
fn a_fenced_insert_and_a_removal_leave_nothing_behind() {
    for policy in POLICIES {
        let schedules = every_schedule(move || {
            let tier = Arc::new(MemoryTier::new(1024 * 1024, policy));
            let closed = Arc::new(AtomicBool::new(false));
            let load = {
                let (tier, closed) = (Arc::clone(&tier), Arc::clone(&closed));
                thread::spawn(move || {
                    tier.insert(0, b"k", held(1, 1), |_| {
                        if closed.load(Ordering::SeqCst) { Admit::Fenced } else { Admit::Yes }
                    })
                })
            };
            // An invalidation: the fence first, the removal after.
            closed.store(true, Ordering::SeqCst);
            let removed = tier.remove(0, b"k");
            assert_eq!(get(&tier, b"k"), None, "read after the invalidation");
            let filled = load.join().unwrap();
            assert_eq!(removed, filled == Filled::Stored, "stored and removed, or neither");
            assert_eq!(get(&tier, b"k"), None, "stored after the invalidation");
            tier.validate().unwrap();
        });
        println!("a fenced insert beside a removal, {policy:?}: {schedules} schedules");
    }
}

#[test]
fn an_update_changes_the_old_value_or_the_new_one() {
    check(
        "an insert beside an update",
        |tier| {
            tier.insert(0, b"k", held(1, 1), |_| Admit::Yes);
            assert!(matches!(get(tier, b"k"), Some(1..=3)));
        },
        |tier| {
            tier.insert(0, b"k", held(2, 1), |_| Admit::Yes);
            let before = tier.update(0, b"k", Tick::default(), |held| {
                let before = mark(held);
                *held = self::held(3, 100);
                before
            });
            assert!(matches!(before, Some(Some(1 | 2))), "{before:?}");
        },
        |tier| assert!(matches!(get(tier, b"k"), Some(1 | 3))),
    );
}

#[test]
fn an_eviction_takes_a_whole_entry_from_its_readers() {
    check(
        "an eviction beside readers",
        |tier| {
            tier.insert(0, b"a", held(1, LARGE), |_| Admit::Yes);
            tier.insert(0, b"b", held(2, LARGE), |_| Admit::Yes);
            assert!(matches!(get(tier, b"a"), None | Some(1)));
        },
        |tier| {
            tier.insert(0, b"c", held(3, LARGE), |_| Admit::Yes);
            assert!(matches!(get(tier, b"b"), None | Some(2)));
        },
        |tier| assert_eq!(tier.len(), 2, "two fit, and only two"),
    );
}

#[test]
fn a_sweep_and_a_scan_beside_an_insert_keep_the_structure() {
    check(
        "a sweep and a scan beside an insert",
        |tier| {
            tier.insert(0, b"a", held(1, 1), |_| Admit::Yes);
            tier.sweep(Tick::from_ms(1_000), 1);
        },
        |tier| {
            tier.insert(0, b"b", held(2, 1), |_| Admit::Yes);
            let (keys, next) = tier.scan(0, 0, 10, Tick::default());
            assert!(keys.len() <= 2 && next == 0);
            tier.remove_where(0, |key, _| key == b"a");
        },
        |tier| {
            assert_eq!(get(tier, b"a"), None, "swept or removed");
            tier.sweep(Tick::from_ms(2_000), 1);
            assert!(tier.is_empty());
        },
    );
}
