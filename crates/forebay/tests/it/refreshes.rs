//! Refreshes: what is loaded anew before anybody has to wait for it.

use std::collections::BTreeSet;
use std::time::Duration;

use forebay::{Freshness, Tier, Why};

use crate::scripted::{Failure, Stage, TTL, stage, stage_with, text};

const TICK: Duration = Duration::from_millis(1);
/// How long refreshes wait for company.
const GATHER: Duration = Duration::from_millis(2);
const SECOND: Duration = Duration::from_secs(1);

/// Lets what was refreshed land.
async fn refreshed(stage: &Stage) {
    stage.settle().await;
    stage.clock.advance(GATHER);
    stage.settle().await;
}

/// A stage that holds `count` keys, numbered from 0.
async fn full(stage: Stage, count: usize) -> Stage {
    let ids: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    ids.iter().for_each(|id| stage.script.set(id, "old"));
    for ids in ids.chunks(256) {
        stage.namespace.get_many(ids.iter().map(String::as_str)).await.unwrap();
    }
    stage
}

#[tokio::test]
async fn a_read_shortly_before_the_end_starts_one_refresh() {
    let stage = full(stage_with(|builder| builder.refresh_ahead(SECOND)), 1).await;
    stage.script.set("0", "new");
    stage.clock.advance(TTL - SECOND - TICK);
    assert_eq!(stage.get("0").await.as_deref(), Some("old"));
    refreshed(&stage).await;
    assert_eq!(stage.script.loads(), 1, "a refresh before the window");

    for _ in 0..100 {
        let (value, outcome) = stage.namespace.get_with_outcome("0").await.unwrap();
        assert_eq!((text(&value.unwrap()).as_str(), outcome.freshness), ("old", Freshness::Fresh));
    }
    refreshed(&stage).await;
    assert_eq!(stage.script.loads(), 2);
    assert_eq!(stage.get("0").await.as_deref(), Some("new"));
    // It is read all the time, and never missed.
    assert_eq!(stage.namespace.counts().misses, 1);
    stage.check().await;
}

#[tokio::test]
async fn nothing_is_refreshed_ahead_unless_declared() {
    let stage = full(stage(), 1).await;
    stage.clock.advance(TTL - TICK);
    stage.get("0").await;
    refreshed(&stage).await;
    assert_eq!(stage.script.loads(), 1);
    stage.check().await;
}

#[tokio::test]
async fn what_is_held_is_refreshed_in_its_time_without_a_read() {
    let stage = stage_with(|builder| builder.refresh_every(2 * SECOND).absent_ttl(60 * SECOND));
    let stage = full(stage, 600).await;
    for number in 0..100 {
        assert_eq!(stage.get(format!("absent {number}").as_str()).await, None);
    }
    let before = stage.script.queries().len();
    stage.settle().await;
    stage.clock.advance(2 * SECOND - TICK);
    stage.settle().await;
    assert_eq!(stage.script.queries().len(), before, "refreshed too early");
    stage.clock.advance(TICK);
    stage.settle().await;
    let queries = stage.script.queries().split_off(before);
    assert!(queries.len() <= 6, "{} queries for 600 keys", queries.len());
    let keys: Vec<&String> = queries.iter().flatten().collect();
    assert_eq!(keys.len(), 600, "a key was left out, loaded twice or does not exist");
    assert!(keys.iter().all(|key| !key.starts_with("absent")), "an absence was refreshed");
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 600);

    // Again and again: nothing expires that nobody reads.
    for _ in 0..5 {
        stage.clock.advance(2 * SECOND);
        stage.settle().await;
    }
    for id in ["0", "300", "599"] {
        assert_eq!(stage.outcome(id).await.tier, Tier::Memory);
    }
    assert_eq!(stage.script.loads(), 600 + 100 + 6 * 600);
    stage.check().await;
}

#[tokio::test]
async fn nothing_that_is_gone_is_refreshed() {
    let stage = full(stage_with(|builder| builder.refresh_every(SECOND)), 3).await;
    stage.settle().await;
    stage.namespace.invalidate_all().await.unwrap();
    stage.clock.advance(SECOND);
    stage.settle().await;
    assert_eq!(stage.script.loads(), 3, "what was invalidated was loaded again for nobody");
    stage.check().await;
}

#[tokio::test]
async fn the_refresh_ends_with_its_namespace() {
    let stage = full(stage_with(|builder| builder.refresh_every(SECOND)), 3).await;
    let beside = stage.beside(&stage.engine, "beside", "b:{id}", |builder| builder.refresh_every(SECOND));
    beside.get("0").await.unwrap();
    stage.settle().await;
    stage.clock.advance(SECOND);
    stage.settle().await;
    assert_eq!(stage.script.loads(), 2 * (3 + 1));
    drop(beside);
    for _ in 0..3 {
        stage.clock.advance(SECOND);
        stage.settle().await;
    }
    assert_eq!(stage.script.loads(), 2 * (3 + 1) + 3 * 3, "a dropped namespace was refreshed");
    stage.check().await;
}

#[tokio::test]
async fn a_thousand_stale_keys_are_a_handful_of_queries() {
    let stage = full(stage_with(|builder| builder.stale_while_revalidate(TTL)), 1000).await;
    let before = stage.script.queries().len();
    stage.clock.advance(TTL);
    for number in 0..1000 {
        let outcome = stage.outcome(number.to_string().as_str()).await;
        assert_eq!(outcome.freshness, Freshness::Stale(Why::Revalidating));
    }
    refreshed(&stage).await;
    stage.engine.idle().await;
    let queries = stage.script.queries().split_off(before);
    assert!(queries.len() <= 5, "{} queries", queries.len());
    assert_eq!(queries.iter().flatten().collect::<BTreeSet<_>>().len(), 1000, "a key was not refreshed");
    assert_eq!(stage.outcome("7").await.freshness, Freshness::Fresh);
    stage.check().await;
}

#[tokio::test]
async fn who_waits_for_a_gathered_refresh_takes_it_along_at_once() {
    let stage = full(stage_with(|builder| builder.stale_while_revalidate(TTL)), 3).await;
    stage.clock.advance(2 * TTL - TICK);
    for id in ["0", "1", "2"] {
        stage.script.set(id, "new");
        assert_eq!(stage.get(id).await.as_deref(), Some("old"));
    }
    assert_eq!(stage.script.loads(), 3, "a refresh did not wait for company");
    // The stale window ends before the refreshes leave.
    stage.clock.advance(TICK);
    let reader = stage.reader("1");
    stage.settle().await;
    assert!(reader.is_finished(), "a foreground miss waited for company");
    assert_eq!(reader.await.unwrap().unwrap().as_deref(), Some("new"));
    assert_eq!(stage.script.queries().len(), 2, "the refreshes did not come along");
    stage.clock.advance(GATHER);
    stage.settle().await;
    assert_eq!(stage.script.loads(), 6);
    stage.check().await;
}

#[tokio::test]
async fn a_fresh_read_and_a_read_of_many_take_it_along_too() {
    let stage = full(stage_with(|builder| builder.stale_while_revalidate(TTL)), 4).await;
    stage.clock.advance(2 * TTL - TICK);
    for id in ["0", "1"] {
        stage.get(id).await;
    }
    let fresh = stage.namespace.clone();
    let fresh = tokio::spawn(async move { fresh.get_fresh("0").await.unwrap() });
    stage.settle().await;
    assert!(fresh.is_finished(), "a fresh read waited for company");
    for id in ["2", "3"] {
        stage.get(id).await;
    }
    stage.clock.advance(TICK);
    let many = stage.namespace.clone();
    let many = tokio::spawn(async move { many.get_many(["0", "1", "2", "3"]).await.unwrap() });
    stage.settle().await;
    assert!(many.is_finished(), "a read of many waited for company");
    stage.clock.advance(GATHER);
    stage.check().await;
}

#[tokio::test]
async fn a_refresh_that_fails_keeps_the_old_value_and_is_tried_once_a_second() {
    let stage = full(stage_with(|builder| builder.stale_while_revalidate(60 * SECOND)), 1).await;
    stage.script.fail(Some(Failure::Error));
    stage.clock.advance(TTL);
    for second in 0..3 {
        for _ in 0..10 {
            let outcome = stage.outcome("0").await;
            assert_eq!(outcome.freshness, Freshness::Stale(Why::Revalidating));
            refreshed(&stage).await;
        }
        assert_eq!(stage.script.loads(), 2 + second, "a failing source was asked again and again");
        // The rest of a second since the failure, which came when the refreshes left.
        stage.clock.advance(SECOND - 9 * GATHER - TICK);
        stage.get("0").await;
        refreshed(&stage).await;
        assert_eq!(stage.script.loads(), 2 + second, "tried again too early");
    }
    stage.script.fail(None);
    stage.script.set("0", "new");
    stage.clock.advance(SECOND);
    assert_eq!(stage.get("0").await.as_deref(), Some("old"));
    refreshed(&stage).await;
    assert_eq!(stage.get("0").await.as_deref(), Some("new"));
    assert_eq!(stage.outcome("0").await.freshness, Freshness::Fresh);
    stage.check().await;
}

#[tokio::test]
async fn a_source_that_failed_is_left_alone_by_readers_who_may_have_the_old_value() {
    let stage = full(stage_with(|builder| builder.stale_if_error(60 * SECOND)), 1).await;
    stage.script.fail(Some(Failure::Error));
    stage.clock.advance(TTL);
    for _ in 0..10 {
        assert_eq!(stage.outcome("0").await.freshness, Freshness::Stale(Why::SourceFailed));
    }
    assert_eq!(stage.script.loads(), 2, "each reader sent the failing source one more load");
    stage.clock.advance(SECOND);
    assert_eq!(stage.outcome("0").await.freshness, Freshness::Stale(Why::SourceFailed));
    assert_eq!(stage.script.loads(), 3);
    stage.check().await;
}
