//! The fence and the flights under the model checker, on whole engines.
//!
//! Two threads run under every schedule of at most [`PREEMPTIONS`] preemptions, three under many by chance. A whole load has too
//! many steps for every schedule that there is: the steps that the races are about go through those in `src/**/model.rs`.

#![allow(clippy::print_stdout, reason = "each scenario says how many schedules it took")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use forebay::error::Error;
use forebay::rt::Clock;
use forebay::rt::model::few_preemptions;
use forebay::{Decided, Forebay, Namespace, Writes, load_one};
use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Schedules by chance that each scenario of three threads is run under.
const SCHEDULES: usize = 5_000;
/// So often a thread that could have gone on waits for the others, at most, in scenarios of two.
const PREEMPTIONS: usize = 2;

/// Runs a scenario of two threads under every schedule of few preemptions.
fn two<F: Future<Output = ()> + 'static>(name: &str, scenario: fn() -> F) {
    let schedules = few_preemptions(PREEMPTIONS, move || block_on(scenario()));
    println!("{name}: {schedules} schedules of at most {PREEMPTIONS} preemptions");
}

/// Runs a scenario of three threads under many schedules.
fn three<F: Future<Output = ()> + 'static>(scenario: fn() -> F) {
    let scenario = move || block_on(scenario());
    shuttle::check_random(scenario, SCHEDULES);
    shuttle::check_pct(scenario, SCHEDULES, 3);
}
/// A namespace over one number, which a load reads first and hands over later. Every value has the tag `t`, of which nobody
/// knows before it is there.
struct Stage {
    engine: Forebay,
    namespace: Namespace<u64>,
    truth: Arc<AtomicU64>,
    /// The source panics instead of handing over.
    panics: Arc<AtomicBool>,
}

impl Stage {
    fn new() -> Self {
        let truth = Arc::new(AtomicU64::new(1));
        let panics = Arc::new(AtomicBool::new(false));
        let engine =
            Forebay::builder().memory_budget_bytes(1 << 20).clock(Clock::simulated()).build().unwrap();
        let source = {
            let (truth, panics) = (Arc::clone(&truth), Arc::clone(&panics));
            move |_: String| {
                let (truth, panics) = (Arc::clone(&truth), Arc::clone(&panics));
                async move {
                    let read = truth.load(Ordering::SeqCst);
                    yield_now().await;
                    if panics.load(Ordering::SeqCst) {
                        // Without the hook, which would tell of each one.
                        std::panic::resume_unwind(Box::new("the source panics"));
                    }
                    Ok::<_, Infallible>(Some(read))
                }
            }
        };
        let builder = engine.namespace("n").key("n:{id}").ttl(Duration::from_secs(60)).writes(Writes::Cache);
        let builder = builder.decide(|_| Decided { tags: vec!["t".to_owned()], ..Decided::default() });
        // One slot: loads queue, and what waits goes together.
        let namespace = builder.concurrency(1).source(load_one(source)).build().unwrap();
        Self { engine, namespace, truth, panics }
    }

    async fn get(&self, key: &str) -> u64 {
        *self.namespace.get(key).await.unwrap().unwrap()
    }

    /// Waits until no load is left: what the model checker drops at the end may not wait for anything.
    async fn end(&self) {
        self.engine.idle().await;
        assert_eq!(self.namespace.flights(), 0, "a flight was left on the board");
        self.engine.validate().unwrap();
    }
}

/// Starts so many readers of `x`.
fn readers(stage: &Arc<Stage>, count: usize) -> Vec<JoinHandle<u64>> {
    let reader = |_| {
        let stage = Arc::clone(stage);
        spawn(async move { stage.get("x").await })
    };
    (0..count).map(reader).collect()
}

/// Waits for readers who may have got any of `values`.
async fn got(readers: Vec<JoinHandle<u64>>, values: &[u64]) {
    for reader in readers {
        let got = reader.await.unwrap();
        assert!(values.contains(&got), "{got} was never true");
    }
}

async fn invalidation(beside: usize) {
    let stage = Arc::new(Stage::new());
    let readers = readers(&stage, beside);
    stage.truth.store(2, Ordering::SeqCst);
    stage.namespace.invalidate("x").await.unwrap();
    assert_eq!(stage.get("x").await, 2, "read before the invalidation, served after it");
    got(readers, &[1, 2]).await;
    assert_eq!(stage.get("x").await, 2, "stored after the invalidation");
    stage.end().await;
}

async fn tag(beside: usize) {
    let stage = Arc::new(Stage::new());
    let readers = readers(&stage, beside);
    stage.truth.store(2, Ordering::SeqCst);
    stage.engine.invalidate_tag("t").await.unwrap();
    assert_eq!(stage.get("x").await, 2, "read before the invalidation of its tag, served after it");
    got(readers, &[1, 2]).await;
    assert_eq!(stage.get("x").await, 2, "stored after the invalidation of its tag");
    stage.end().await;
}

async fn sharing(beside: usize) {
    let stage = Arc::new(Stage::new());
    let readers = readers(&stage, beside);
    assert_eq!(stage.get("x").await, 1);
    got(readers, &[1]).await;
    assert_eq!(stage.namespace.counts().loads, 1, "a key was loaded twice");
    stage.end().await;
}

async fn writers(beside: usize) {
    let stage = Arc::new(Stage::new());
    let write = async |stage: &Stage| {
        let own = stage.truth.fetch_add(1, Ordering::SeqCst) + 1;
        stage.namespace.invalidate("x").await.unwrap();
        assert!(stage.get("x").await >= own, "one's own write was not seen");
    };
    let others: Vec<_> = (0..beside)
        .map(|_| {
            let stage = Arc::clone(&stage);
            spawn(async move { write(&stage).await })
        })
        .collect();
    write(&stage).await;
    for writer in others {
        writer.await.unwrap();
    }
    let last = stage.truth.load(Ordering::SeqCst);
    assert_eq!(stage.get("x").await, last, "an older value than the last truth was left");
    stage.end().await;
}

async fn put(beside: usize) {
    let stage = Arc::new(Stage::new());
    let readers = readers(&stage, beside);
    stage.truth.store(2, Ordering::SeqCst);
    stage.namespace.put("x", 7, 8).unwrap();
    assert_eq!(stage.get("x").await, 7, "an acknowledged write was overwritten");
    got(readers, &[1, 2, 7]).await;
    assert_eq!(stage.get("x").await, 7, "an acknowledged write was overwritten later");
    stage.end().await;
}

async fn fresh(beside: usize) {
    let stage = Arc::new(Stage::new());
    let readers = readers(&stage, beside);
    stage.truth.store(2, Ordering::SeqCst);
    let fresh = *stage.namespace.get_fresh("x").await.unwrap().unwrap();
    assert_eq!(fresh, 2, "a fresh read took an older answer");
    got(readers, &[1, 2]).await;
    stage.end().await;
}

async fn queue(beside: usize) {
    let stage = Arc::new(Stage::new());
    let readers: Vec<_> = ["y", "z"]
        .into_iter()
        .take(beside)
        .map(|key| {
            let stage = Arc::clone(&stage);
            spawn(async move { stage.get(key).await })
        })
        .collect();
    assert_eq!(stage.get("x").await, 1);
    let keys = readers.len() + 1;
    got(readers, &[1]).await;
    let loads = usize::try_from(stage.namespace.counts().loads).unwrap();
    assert!(loads <= keys, "a key was loaded twice");
    stage.end().await;
}

async fn panicking(beside: usize) {
    let stage = Arc::new(Stage::new());
    stage.panics.store(true, Ordering::SeqCst);
    let lost = async |stage: &Stage| {
        let answer = stage.namespace.get("x").await;
        assert!(matches!(answer, Err(Error::LoadLost { .. })), "{answer:?}");
    };
    let others: Vec<_> = (0..beside)
        .map(|_| {
            let stage = Arc::clone(&stage);
            spawn(async move { lost(&stage).await })
        })
        .collect();
    lost(&stage).await;
    for reader in others {
        reader.await.unwrap();
    }
    stage.end().await;
}

#[test]
fn no_reader_after_an_invalidation_gets_what_was_true_before() {
    two("a reader beside an invalidation", || invalidation(1));
    three(|| invalidation(2));
}

#[test]
fn no_reader_after_the_invalidation_of_a_tag_gets_what_was_true_before() {
    two("a reader beside the invalidation of a tag", || tag(1));
    three(|| tag(2));
}

#[test]
fn readers_of_one_key_share_its_load() {
    two("two readers of one key", || sharing(1));
    three(|| sharing(2));
}

#[test]
fn writers_leave_the_last_truth() {
    two("two writers of one key", || writers(1));
    three(|| writers(2));
}

#[test]
fn a_kept_value_is_not_overwritten_by_a_load_that_began_before() {
    two("a reader beside a write", || put(1));
    three(|| put(2));
}

#[test]
fn a_fresh_read_gets_what_is_true_after_it_began() {
    two("a reader beside a read of the truth itself", || fresh(1));
    three(|| fresh(2));
}

#[test]
fn what_waits_for_a_slot_is_loaded_and_everybody_told() {
    two("two keys and one slot", || queue(1));
    three(|| queue(2));
}

#[test]
fn a_panic_of_the_source_releases_everybody() {
    two("two readers and a source that panics", || panicking(1));
    three(|| panicking(2));
}

/// Each scenario fails, with two threads, where a bug is planted that it is there for.
#[cfg(feature = "planted")]
mod planted {
    use forebay::rt::planted::{Bug, plant};

    use super::{fresh, invalidation, panicking, put, queue, sharing, tag, two, writers};

    #[test]
    #[should_panic(expected = "served after it")]
    fn no_fence() {
        let _planted = plant(Bug::NoFence);
        two("no fence", || invalidation(1));
    }

    #[test]
    #[should_panic(expected = "served after it")]
    fn join_old_flight() {
        let _planted = plant(Bug::JoinOldFlight);
        two("the old flight is joined", || invalidation(1));
    }

    #[test]
    #[should_panic(expected = "not seen")]
    fn flight_not_closed() {
        let _planted = plant(Bug::FlightNotClosed);
        two("the flight is not closed", || writers(1));
    }

    #[test]
    #[should_panic(expected = "of its tag")]
    fn position_read_too_late() {
        let _planted = plant(Bug::PositionReadTooLate);
        two("the position is read too late", || tag(1));
    }

    #[test]
    #[should_panic(expected = "of its tag")]
    fn landing_not_judged() {
        let _planted = plant(Bug::LandingNotJudged);
        two("landings are not judged", || tag(1));
    }

    #[test]
    #[should_panic(expected = "loaded twice")]
    fn no_single_flight() {
        let _planted = plant(Bug::NoSingleFlight);
        two("no single flight", || sharing(1));
    }

    #[test]
    #[should_panic(expected = "was overwritten")]
    fn put_not_fencing() {
        let _planted = plant(Bug::PutNotFencing);
        two("a put does not fence", || put(1));
    }

    #[test]
    #[should_panic(expected = "took an older answer")]
    fn fresh_read_joins() {
        let _planted = plant(Bug::FreshReadJoins);
        two("a fresh read joins", || fresh(1));
    }

    #[test]
    #[should_panic(expected = "slots taken")]
    fn slot_kept() {
        let _planted = plant(Bug::SlotKept);
        two("a slot is kept", || queue(1));
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn waiter_not_woken_on_panic() {
        let _planted = plant(Bug::WaiterNotWokenOnPanic);
        two("no waiter is woken", || panicking(1));
    }
}
