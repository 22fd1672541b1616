//! The fence and the flights under the model checker, on the shipped code.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay::{Forebay, Namespace, Writes, load_one};
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::sync::atomic::{AtomicU64, Ordering};

/// Schedules that each scenario is run under.
const SCHEDULES: usize = 5_000;

fn check(scenario: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(scenario.clone(), SCHEDULES);
    shuttle::check_pct(scenario, SCHEDULES, 3);
}

/// A namespace over one number, which a load reads first and hands over later.
struct Stage {
    engine: Forebay,
    namespace: Namespace<u64>,
    truth: Arc<AtomicU64>,
}

fn stage() -> Stage {
    stage_with(Writes::Refuse)
}

fn stage_with(writes: Writes) -> Stage {
    let truth = Arc::new(AtomicU64::new(1));
    let engine = Forebay::builder().clock(Clock::simulated()).build().unwrap();
    let source = {
        let truth = Arc::clone(&truth);
        move |_: String| {
            let truth = Arc::clone(&truth);
            async move {
                let read = truth.load(Ordering::SeqCst);
                yield_now().await;
                Ok::<_, Infallible>(Some(read))
            }
        }
    };
    let builder = engine.namespace("n").key("n:{id}").ttl(Duration::from_secs(60)).writes(writes);
    // One slot: loads queue, and what waits goes together.
    let namespace = builder.concurrency(1).source(load_one(source)).build().unwrap();
    Stage { engine, namespace, truth }
}

impl Stage {
    /// Waits until no load is left: what the model checker drops at the end may not wait for anything.
    async fn end(self) {
        self.engine.idle().await;
        assert_eq!(self.namespace.flights(), 0, "a flight was left on the board");
    }
}

async fn get(namespace: &Namespace<u64>) -> u64 {
    *namespace.get("x").await.unwrap().unwrap()
}

#[test]
fn no_reader_after_an_invalidation_gets_what_was_true_before() {
    check(|| {
        block_on(async {
            let stage = stage();
            let (namespace, truth) = (stage.namespace.clone(), Arc::clone(&stage.truth));
            let reader = spawn({
                let namespace = namespace.clone();
                async move { get(&namespace).await }
            });
            let writer = spawn({
                let namespace = namespace.clone();
                async move {
                    truth.store(2, Ordering::SeqCst);
                    namespace.invalidate("x").await.unwrap();
                    assert_eq!(get(&namespace).await, 2, "read before the invalidation, served after it");
                }
            });
            let early = reader.await.unwrap();
            assert!(early == 1 || early == 2);
            writer.await.unwrap();
            assert_eq!(get(&namespace).await, 2, "stored after the invalidation");
            stage.end().await;
        });
    });
}

#[test]
fn readers_of_one_key_share_its_load() {
    check(|| {
        block_on(async {
            let stage = stage();
            let namespace = stage.namespace.clone();
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let namespace = namespace.clone();
                    spawn(async move { get(&namespace).await })
                })
                .collect();
            for reader in readers {
                assert_eq!(reader.await.unwrap(), 1);
            }
            assert_eq!(namespace.counts().loads, 1, "a key was loaded twice");
            stage.end().await;
        });
    });
}

#[test]
fn two_writers_leave_the_last_truth() {
    check(|| {
        block_on(async {
            let stage = stage();
            let (namespace, truth) = (stage.namespace.clone(), Arc::clone(&stage.truth));
            let writers: Vec<_> = (0..2)
                .map(|_| {
                    let (namespace, truth) = (namespace.clone(), Arc::clone(&truth));
                    spawn(async move {
                        let own = truth.fetch_add(1, Ordering::SeqCst) + 1;
                        namespace.invalidate("x").await.unwrap();
                        assert!(get(&namespace).await >= own, "one's own write was not seen");
                    })
                })
                .collect();
            for writer in writers {
                writer.await.unwrap();
            }
            assert_eq!(get(&namespace).await, 3);
            stage.end().await;
        });
    });
}

#[test]
fn a_kept_value_is_not_overwritten_by_a_load_that_began_before() {
    check(|| {
        block_on(async {
            let stage = stage_with(Writes::Cache);
            let (namespace, truth) = (stage.namespace.clone(), Arc::clone(&stage.truth));
            let reader = spawn({
                let namespace = namespace.clone();
                async move { get(&namespace).await }
            });
            truth.store(2, Ordering::SeqCst);
            namespace.put("x", 7, 8).unwrap();
            assert_eq!(get(&namespace).await, 7, "an acknowledged write was overwritten");
            let early = reader.await.unwrap();
            assert!([1, 2, 7].contains(&early));
            assert_eq!(get(&namespace).await, 7, "an acknowledged write was overwritten later");
            stage.end().await;
        });
    });
}

#[test]
fn a_fresh_read_gets_what_is_true_after_it_began() {
    check(|| {
        block_on(async {
            let stage = stage();
            let (namespace, truth) = (stage.namespace.clone(), Arc::clone(&stage.truth));
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let namespace = namespace.clone();
                    spawn(async move { get(&namespace).await })
                })
                .collect();
            truth.store(2, Ordering::SeqCst);
            let fresh = *namespace.get_fresh("x").await.unwrap().unwrap();
            assert_eq!(fresh, 2, "a fresh read took an older answer");
            for reader in readers {
                reader.await.unwrap();
            }
            stage.end().await;
        });
    });
}

#[test]
fn what_waits_for_a_slot_is_loaded_and_everybody_told() {
    check(|| {
        block_on(async {
            let stage = stage();
            let readers: Vec<_> = ["x", "y", "z"]
                .map(|id| {
                    let namespace = stage.namespace.clone();
                    spawn(async move { *namespace.get(id).await.unwrap().unwrap() })
                })
                .into_iter()
                .collect();
            for reader in readers {
                assert_eq!(reader.await.unwrap(), 1);
            }
            assert!(stage.namespace.counts().loads <= 3, "a key was loaded twice");
            stage.end().await;
        });
    });
}
