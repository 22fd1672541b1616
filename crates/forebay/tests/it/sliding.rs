//! Sliding TTLs: a value ends some time after its last use, and at the latest some time after it was made.

use std::time::Duration;

use forebay::{Blob, Tier, Value};

use crate::scripted::{Failure, Stage, scanned, stage, stage_with};

const TICK: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_secs(5);

async fn sliding() -> Stage {
    let stage = stage_with(|builder| builder.sliding(IDLE, MAX));
    stage.script.set("a", "old");
    stage.get("a").await;
    stage.script.set("a", "new");
    stage
}

#[tokio::test]
async fn what_nobody_uses_ends() {
    let stage = sliding().await;
    stage.clock.advance(IDLE - TICK);
    assert!(stage.holds("a"));
    stage.clock.advance(TICK);
    assert!(!stage.holds("a"));
    assert!(stage.namespace.read_now(b"k:a").is_none());
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
    stage.check().await;
}

#[tokio::test]
async fn a_use_prolongs_it_and_its_longest_life_ends_it() {
    let stage = sliding().await;
    for _ in 0..5 {
        stage.clock.advance(IDLE - TICK);
        assert_eq!(stage.get("a").await.as_deref(), Some("old"), "it ended although it was used");
    }
    let left = Duration::from_millis(5);
    assert_eq!(stage.outcome("a").await.fresh_for, left, "a use prolonged it beyond its longest life");
    stage.clock.advance(left);
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
    assert_eq!(stage.outcome("a").await.fresh_for, IDLE);
    stage.check().await;
}

#[tokio::test]
async fn every_way_to_read_is_a_use() {
    let stage = sliding().await;
    for _ in 0..2 {
        stage.clock.advance(IDLE - TICK);
        assert!(stage.namespace.read_now(b"k:a").is_some());
        stage.clock.advance(IDLE - TICK);
        assert!(stage.namespace.get_many(["a"]).await.unwrap()[0].is_some());
    }
    assert_eq!(stage.script.loads(), 1);
    stage.check().await;
}

#[tokio::test]
async fn to_look_is_not_to_use() {
    let stage = sliding().await;
    stage.clock.advance(IDLE - TICK);
    assert!(stage.holds("a"));
    assert_eq!(scanned(&stage.namespace, 10).0.len(), 1);
    assert_eq!(stage.namespace.peek(b"k:a").unwrap().fresh_for, TICK);
    stage.clock.advance(TICK);
    assert!(!stage.holds("a"), "it was kept alive by being looked at");
    assert!(scanned(&stage.namespace, 10).0.is_empty(), "a scan tells of what has ended");
    assert_eq!(stage.outcome("a").await.tier, Tier::Source);
    stage.check().await;
}

#[tokio::test]
async fn a_sources_own_ttl_is_the_longest_life() {
    let stage = stage_with(|builder| builder.sliding(IDLE, MAX));
    stage.script.set("a", "old");
    let own = IDLE + IDLE / 2;
    stage.script.value_ttl(own);
    assert_eq!(stage.outcome("a").await.fresh_for, IDLE);
    stage.clock.advance(IDLE - TICK);
    assert_eq!(stage.outcome("a").await.fresh_for, IDLE / 2 + TICK);
    stage.clock.advance(IDLE / 2 + TICK);
    assert!(!stage.holds("a"));
    // Shorter than the idle time, it is all there is.
    stage.script.value_ttl(IDLE / 4);
    assert_eq!(stage.outcome("a").await.fresh_for, IDLE / 4);
    stage.clock.advance(IDLE / 4);
    assert!(!stage.holds("a"));
    stage.check().await;
}

#[tokio::test]
async fn what_has_ended_is_not_served_when_the_source_fails() {
    let stage = sliding().await;
    stage.script.fail(Some(Failure::Error));
    stage.clock.advance(IDLE);
    assert!(stage.namespace.get("a").await.is_err());
    stage.check().await;
}

#[tokio::test]
async fn an_absence_does_not_slide() {
    let stage = stage_with(|builder| builder.sliding(IDLE, MAX).absent_ttl(2 * IDLE));
    assert_eq!(stage.get("a").await, None);
    stage.clock.advance(IDLE + IDLE / 2);
    assert_eq!(stage.get("a").await, None);
    assert_eq!(stage.script.loads(), 1, "an absence ended since nobody asked for it");
    stage.clock.advance(IDLE / 2);
    assert_eq!(stage.get("a").await, None);
    assert_eq!(stage.script.loads(), 2, "a use prolonged an absence");
    stage.check().await;
}

#[tokio::test]
async fn what_a_client_puts_slides_too() {
    let stage = stage();
    let sessions = stage.engine.namespace::<Blob>("sessions").key("session:{id}").sliding(IDLE, MAX);
    let sessions = sessions.build().unwrap();
    let value = || Value::from(Blob::opaque("1"));
    sessions.write(b"session:a", value(), None).unwrap();
    sessions.write(b"session:b", value(), None).unwrap();
    stage.clock.advance(IDLE - TICK);
    assert!(sessions.read_now(b"session:a").is_some());
    stage.clock.advance(TICK);
    assert!(sessions.peek(b"session:a").is_some() && sessions.peek(b"session:b").is_none());
    stage.check().await;
}

#[tokio::test]
async fn an_end_that_a_client_sets_leaves_a_value_its_idle_time() {
    let stage = sliding().await;
    assert!(stage.namespace.end_after(b"k:a", 2 * IDLE));
    stage.clock.advance(IDLE - TICK);
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.clock.advance(IDLE - TICK);
    assert_eq!(stage.get("a").await.as_deref(), Some("old"), "a later end ended it sooner");
    stage.clock.advance(2 * TICK);
    assert!(!stage.holds("a"), "it outlived its end");
    stage.check().await;
}

/// Lets `span` pass in steps of `step`, and everything that waits for the clock run.
async fn pass(stage: &Stage, span: Duration, step: Duration) {
    let mut left = span;
    while !left.is_zero() {
        stage.clock.advance(step.min(left));
        left = left.saturating_sub(step);
        stage.settle().await;
    }
}

#[tokio::test]
async fn what_has_ended_unused_gives_its_memory_back() {
    let day = Duration::from_secs(24 * 60 * 60);
    let stage = stage_with(|builder| builder.sliding(IDLE, day));
    stage.get("a").await;
    for id in 0..500 {
        stage.script.set(&id.to_string(), "1");
        stage.get(id.to_string()).await;
    }
    for _ in 0..5 {
        pass(&stage, IDLE - TICK, Duration::from_millis(100)).await;
        stage.get("7").await;
        assert!(stage.holds("7"), "what is used was cleaned away");
    }
    assert_eq!(stage.engine.memory().len(), 1, "what nobody used is kept until its longest life ends");
    pass(&stage, IDLE + IDLE / 2, Duration::from_millis(100)).await;
    assert!(stage.engine.memory().is_empty());
    stage.check().await;
}

#[tokio::test]
async fn a_refresh_ahead_comes_before_the_longest_life_ends_and_no_sooner() {
    // Longer than the idle time, which a use puts off.
    let stage = stage_with(|builder| builder.sliding(IDLE, MAX).refresh_ahead(2 * IDLE));
    stage.script.set("a", "old");
    stage.get("a").await;
    for _ in 0..4 {
        stage.clock.advance(IDLE * 3 / 4 - 2 * TICK);
        assert_eq!(stage.get("a").await.as_deref(), Some("old"));
        pass(&stage, 2 * TICK, TICK).await;
    }
    assert_eq!(stage.script.loads(), 1, "a use near the idle end, or after it, started a refresh");
    stage.script.set("a", "new");
    stage.get("a").await;
    pass(&stage, 2 * TICK, TICK).await;
    assert_eq!(stage.script.loads(), 2, "no refresh before the longest life ends");
    for _ in 0..20 {
        assert_eq!(stage.get("a").await.as_deref(), Some("new"));
        pass(&stage, IDLE / 2, IDLE / 4).await;
    }
    assert_eq!(stage.namespace.counts().misses, 1, "who reads all the time waited");
    stage.check().await;
}

#[tokio::test]
async fn a_refresh_is_not_a_use() {
    let idle = 5 * IDLE;
    let stage = stage_with(|builder| builder.sliding(idle, 4 * idle).refresh_every(2 * IDLE));
    for id in ["used", "unused"] {
        stage.script.set(id, "1");
        stage.get(id).await;
    }
    stage.settle().await;
    for second in 0..30 {
        pass(&stage, IDLE, IDLE / 4).await;
        if second % 4 == 3 {
            stage.script.set("used", &second.to_string());
            stage.get("used").await;
        }
        assert!(stage.holds("used"));
        assert_eq!(stage.holds("unused"), second < 4, "after {} s", second + 1);
    }
    let unused = stage.script.queries().iter().flatten().filter(|key| *key == "unused").count();
    assert_eq!(unused, 3, "what nobody used was refreshed on and on");
    assert_eq!(stage.namespace.counts().misses, 2);
    pass(&stage, idle + IDLE, IDLE / 4).await;
    assert!(!stage.holds("used"));
    stage.check().await;
}
