//! Slow and overloaded sources: who may have an old value does not wait for them.

use std::time::Duration;

use forebay::{BreakerOptions, Error, Freshness, Tier, Why};

use crate::scripted::{Reader, Row, Stage, TTL, stage, stage_with, text};

const TICK: Duration = Duration::from_millis(1);
/// When a reader who may have an old value takes it, unless told otherwise.
const SOFT: Duration = Duration::from_millis(100);
const WINDOW: Duration = Duration::from_secs(60);

/// Reads `ids`, which are `old`, and lets them go stale; from now on they are `new` and loads are held.
async fn gone_stale(stage: Stage, ids: &[&str]) -> Stage {
    for id in ids {
        stage.script.set(id, "old");
        stage.get(*id).await;
        stage.script.set(id, "new");
    }
    stage.clock.advance(TTL);
    stage.script.hold();
    stage
}

#[tokio::test]
async fn a_slow_load_leaves_the_old_value_and_goes_on_in_the_background() {
    let stage = gone_stale(stage_with(|builder| builder.stale_if_error(WINDOW)), &["a"]).await;
    let namespace = stage.namespace.clone();
    let reader = tokio::spawn(async move { namespace.get_with_outcome("a").await.unwrap() });
    stage.script.arrived().await;
    stage.clock.advance(SOFT - TICK);
    stage.settle().await;
    assert!(!reader.is_finished(), "a reader did not wait for the soft time-out");
    stage.clock.advance(TICK);
    stage.settle().await;
    assert!(reader.is_finished(), "a reader waited beyond the soft time-out");
    let (value, outcome) = reader.await.unwrap();
    assert_eq!(text(&value.unwrap()), "old");
    assert_eq!(outcome.freshness, Freshness::Stale(Why::SlowSource));
    assert_eq!((outcome.tier, outcome.age, outcome.stale_for), (Tier::Memory, TTL + SOFT, SOFT));

    stage.script.let_go();
    stage.engine.idle().await;
    assert_eq!(stage.get("a").await.as_deref(), Some("new"), "the load did not go on");
    assert_eq!(stage.outcome("a").await.tier, Tier::Memory);
    assert_eq!(stage.script.loads(), 2);
    stage.check().await;
}

#[tokio::test]
async fn a_load_that_is_quick_enough_is_waited_for() {
    let stage = gone_stale(stage_with(|builder| builder.stale_if_error(WINDOW)), &["a"]).await;
    let reader = stage.reader("a");
    stage.script.arrived().await;
    stage.clock.advance(SOFT - TICK);
    stage.script.let_go();
    assert_eq!(reader.await.unwrap().unwrap().as_deref(), Some("new"));
    stage.check().await;
}

#[tokio::test]
async fn the_soft_time_out_can_be_declared() {
    let soft = Duration::from_millis(700);
    let stage = stage_with(|builder| builder.stale_if_error(WINDOW).soft_timeout(soft));
    let stage = gone_stale(stage, &["a"]).await;
    let reader = stage.reader("a");
    stage.script.arrived().await;
    stage.clock.advance(soft - TICK);
    stage.settle().await;
    assert!(!reader.is_finished());
    stage.clock.advance(TICK);
    stage.settle().await;
    assert!(reader.is_finished(), "it waited longer than declared");
    assert_eq!(reader.await.unwrap().unwrap().as_deref(), Some("old"));
    stage.script.stop_holding();
    stage.check().await;
}

#[tokio::test]
async fn readers_of_many_wait_for_the_soft_time_out_once() {
    let stage = gone_stale(stage_with(|builder| builder.stale_if_error(WINDOW)), &["a", "b", "c"]).await;
    let namespace = stage.namespace.clone();
    let reader = tokio::spawn(async move { namespace.get_many(["a", "b", "c"]).await.unwrap() });
    stage.script.arrived().await;
    stage.clock.advance(SOFT);
    stage.settle().await;
    assert!(reader.is_finished(), "each key was waited for in turn");
    for value in reader.await.unwrap() {
        assert_eq!(text(&value.unwrap()), "old");
    }
    stage.script.stop_holding();
    stage.check().await;
}

#[tokio::test]
async fn who_has_nothing_to_fall_back_on_waits() {
    let cold = stage_with(|builder| builder.stale_if_error(WINDOW));
    cold.script.set("a", "new");
    cold.script.hold();
    let without_window = gone_stale(stage(), &["a"]).await;
    for stage in [cold, without_window] {
        let reader = stage.reader("a");
        stage.script.arrived().await;
        stage.clock.advance(20 * SOFT);
        stage.settle().await;
        assert!(!reader.is_finished());
        stage.script.let_go();
        assert_eq!(reader.await.unwrap().unwrap().as_deref(), Some("new"));
        stage.check().await;
    }
}

#[tokio::test]
async fn what_was_invalidated_meanwhile_is_no_fallback() {
    let stage = gone_stale(stage_with(|builder| builder.stale_if_error(WINDOW)), &["a"]).await;
    let reader = stage.reader("a");
    stage.script.arrived().await;
    stage.namespace.invalidate_all().await.unwrap();
    stage.clock.advance(SOFT);
    stage.settle().await;
    assert!(!reader.is_finished(), "an invalidated value was served because the source is slow");
    stage.script.stop_holding();
    reader.await.unwrap().unwrap();
    stage.check().await;
}

#[tokio::test]
async fn the_hard_time_out_ends_the_load() {
    let hard = Duration::from_secs(2);
    let soft = Duration::from_secs(3);
    let stage = stage_with(|builder| builder.stale_if_error(WINDOW).load_timeout(hard).soft_timeout(soft));
    let stage = gone_stale(stage, &["a"]).await;
    let namespace = stage.namespace.clone();
    let with_old = tokio::spawn(async move { namespace.get_with_outcome("a").await.unwrap() });
    let cold = stage.reader("b");
    for _ in 0..2 {
        stage.script.arrived().await;
    }
    stage.clock.advance(hard - TICK);
    stage.settle().await;
    assert!(!with_old.is_finished() && !cold.is_finished());
    stage.clock.advance(TICK);
    stage.settle().await;
    assert!(with_old.is_finished() && cold.is_finished(), "they waited beyond the hard time-out");
    let error = cold.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Timeout { after, .. } if after == hard), "{error}");
    let (value, outcome) = with_old.await.unwrap();
    assert_eq!(text(&value.unwrap()), "old");
    assert_eq!(outcome.freshness, Freshness::Stale(Why::SourceFailed));
    stage.check().await;
}

#[tokio::test]
async fn what_is_shed_gets_the_old_value_where_the_policy_says_so() {
    let stage = stage_with(|builder| builder.stale_if_error(WINDOW).concurrency(1).queue(0));
    let stage = gone_stale(stage, &["a"]).await;
    let busy = stage.reader("busy");
    stage.script.arrived().await;
    let (value, outcome) = stage.namespace.get_with_outcome("a").await.unwrap();
    assert_eq!(text(&value.unwrap()), "old");
    assert_eq!(outcome.freshness, Freshness::Stale(Why::Overloaded));
    let error = stage.namespace.get("cold").await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { .. }), "{error}");
    stage.script.let_go();
    busy.await.unwrap().unwrap();
    assert_eq!(stage.script.loads(), 2);
    stage.check().await;
}

/// The longest that a reader waits, in the stages below.
const HARD: Duration = Duration::from_secs(2);

/// A stage whose source, asked for one query at a time, has just begun to answer `b` (boarded after 500 ms) and `c` (1500 ms)
/// by one query, 1900 ms after the first reader came.
async fn asked_late() -> (Stage, Reader, Reader) {
    let stage = stage_with(|builder| builder.concurrency(1).load_timeout(HARD));
    for id in ["a", "b", "c"] {
        stage.script.set(id, "old");
    }
    stage.script.hold();
    let first = stage.reader("a");
    stage.script.arrived().await;
    stage.clock.advance(Duration::from_millis(500));
    let b = stage.reader("b");
    stage.settle().await;
    stage.clock.advance(Duration::from_millis(1_000));
    let c = stage.reader("c");
    stage.settle().await;
    stage.clock.advance(Duration::from_millis(400));
    stage.script.let_go();
    first.await.unwrap().unwrap();
    stage.script.arrived().await;
    assert_eq!(stage.script.queries().len(), 2);
    (stage, b, c)
}

fn is_late(read: Result<Option<String>, Error>) -> bool {
    matches!(read, Err(Error::Timeout { after, .. }) if after == HARD)
}

#[tokio::test]
async fn nobody_waits_longer_than_the_time_out_in_queue_and_load_together() {
    let (stage, b, c) = asked_late().await;
    stage.clock.advance(Duration::from_millis(600) - TICK);
    stage.settle().await;
    assert!(!b.is_finished() && !c.is_finished());
    stage.clock.advance(TICK);
    stage.settle().await;
    assert!(b.is_finished(), "it waited for another time-out after the queue");
    assert!(is_late(b.await.unwrap()) && !c.is_finished());
    stage.clock.advance(Duration::from_millis(1_000));
    stage.settle().await;
    assert!(c.is_finished() && is_late(c.await.unwrap()));
    stage.script.stop_holding();
    stage.check().await;
}

#[tokio::test]
async fn a_batch_goes_on_for_those_who_have_time_and_for_those_who_come() {
    let (stage, b, c) = asked_late().await;
    stage.clock.advance(Duration::from_millis(600));
    assert!(is_late(b.await.unwrap()));
    let late = stage.reader("b");
    stage.settle().await;
    stage.clock.advance(Duration::from_millis(500));
    stage.script.stop_holding();
    for reader in [c, late] {
        assert_eq!(reader.await.unwrap().unwrap().as_deref(), Some("old"));
    }
    stage.check().await;
    assert!(stage.holds("b"), "what was loaded for a reader who left was thrown away");
    assert_eq!(stage.script.queries(), [vec!["a"], vec!["b", "c"]], "a second load began beside the first");
}

#[tokio::test]
async fn a_load_that_goes_on_is_fenced_as_before() {
    let (stage, b, c) = asked_late().await;
    stage.clock.advance(Duration::from_millis(600));
    assert!(is_late(b.await.unwrap()));
    stage.script.set("b", "new");
    stage.namespace.invalidate("b").await.unwrap();
    stage.script.stop_holding();
    c.await.unwrap().unwrap();
    stage.check().await;
    assert!(!stage.holds("b"), "a load that began before an invalidation was stored after it");
    assert_eq!(stage.get("b").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_read_of_the_truth_takes_no_load_that_went_on() {
    let (stage, b, c) = asked_late().await;
    stage.clock.advance(Duration::from_millis(300));
    let namespace = stage.namespace.clone();
    let fresh = tokio::spawn(async move { namespace.get_fresh("b").await });
    stage.settle().await;
    stage.script.set("b", "new");
    stage.clock.advance(Duration::from_millis(300));
    assert!(is_late(b.await.unwrap()));
    stage.settle().await;
    stage.script.stop_holding();
    c.await.unwrap().unwrap();
    assert_eq!(text(&fresh.await.unwrap().unwrap().unwrap()), "new", "the load had begun before it");
    stage.check().await;
}

#[tokio::test]
async fn a_read_of_the_truth_waits_no_longer_than_others() {
    let stage = stage_with(|builder| builder.load_timeout(HARD));
    stage.script.hold();
    let reader = stage.reader("a");
    stage.script.arrived().await;
    stage.clock.advance(Duration::from_millis(500));
    let namespace = stage.namespace.clone();
    let fresh = tokio::spawn(async move { namespace.get_fresh("a").await.map(|_| None) });
    stage.settle().await;
    stage.clock.advance(Duration::from_millis(1_000));
    stage.script.let_go();
    reader.await.unwrap().unwrap();
    stage.script.arrived().await;
    stage.clock.advance(Duration::from_millis(1_000));
    stage.settle().await;
    assert!(fresh.is_finished(), "its own load had a time-out of its own");
    assert!(is_late(fresh.await.unwrap()));
    stage.script.stop_holding();
    stage.check().await;
}

#[tokio::test]
async fn who_must_ask_again_has_no_more_time_for_it() {
    let stage = stage_with(|builder| builder.load_timeout(HARD));
    stage.script.set_row("a", Row::new("old").tags(&["x"]));
    stage.script.hold();
    let first = stage.reader("a");
    stage.script.arrived().await;
    stage.clock.advance(Duration::from_millis(100));
    stage.engine.invalidate_tag("x").await.unwrap();
    let second = stage.reader("a");
    stage.settle().await;
    stage.clock.advance(Duration::from_millis(1_500));
    stage.script.let_go();
    first.await.unwrap().unwrap();
    // What it waited for carries the tag: it asks again.
    stage.script.arrived().await;
    stage.clock.advance(Duration::from_millis(500) - TICK);
    stage.settle().await;
    assert!(!second.is_finished());
    stage.clock.advance(TICK);
    stage.settle().await;
    assert!(second.is_finished(), "it waited for two time-outs");
    assert!(is_late(second.await.unwrap()));
    stage.script.stop_holding();
    stage.check().await;
}

#[tokio::test]
async fn a_load_that_was_too_late_to_be_asked_for_is_no_failure_of_the_source() {
    const KEYS: usize = 300;
    let second = Duration::from_secs(1);
    let stage = stage_with(|builder| {
        builder.concurrency(1).load_timeout(second).stale_if_error(TTL * 10).breaker(BreakerOptions::never())
    });
    let ids: Vec<String> = (0..KEYS).map(|id| id.to_string()).collect();
    for id in &ids {
        stage.script.set(id, "old");
    }
    stage.namespace.get_many(ids.iter().map(String::as_str)).await.unwrap();
    stage.clock.advance(TTL);
    stage.script.hold();
    let other = stage.reader("other");
    stage.script.arrived().await;
    let namespace = stage.namespace.clone();
    let many =
        tokio::spawn(async move { namespace.get_many(ids.iter().map(String::as_str)).await.map(drop) });
    stage.settle().await;
    // One batch of what waits takes all the time that the rest of it has.
    stage.script.let_go();
    stage.script.arrived().await;
    for _ in 0..11 {
        stage.clock.advance(second / 10);
        stage.settle().await;
    }
    many.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
    stage.script.stop_holding();
    assert_eq!(stage.outcome("0").await.freshness, Freshness::Stale(Why::SourceFailed), "it was asked for");
    assert_eq!(stage.outcome((KEYS - 1).to_string()).await.freshness, Freshness::Fresh);
    stage.check().await;
}
