//! How old an answer may be, and what it says of itself (promise P3).

use std::time::Duration;

use forebay::{Freshness, Tier, Why};

use crate::scripted::{Failure, TTL, stage, stage_with};

const TICK: Duration = Duration::from_millis(1);
/// How long refreshes wait for company.
const GATHER: Duration = Duration::from_millis(2);

#[tokio::test]
async fn the_second_read_comes_from_memory_and_says_its_age() {
    let stage = stage();
    stage.script.set("a", "1");
    let first = stage.outcome("a").await;
    assert_eq!((first.tier, first.freshness, first.age), (Tier::Source, Freshness::Fresh, Duration::ZERO));

    stage.clock.advance(Duration::from_millis(1200));
    let second = stage.outcome("a").await;
    assert_eq!((second.tier, second.freshness), (Tier::Memory, Freshness::Fresh));
    assert_eq!((second.age, second.fresh_for), (Duration::from_millis(1200), Duration::from_millis(1800)));
    assert_eq!(stage.script.loads(), 1);
    stage.check().await;
}

#[tokio::test]
async fn a_value_is_fresh_until_its_ttl_to_the_millisecond() {
    let stage = stage();
    stage.script.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.script.set("a", "new");
    stage.clock.advance(TTL - TICK);
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.clock.advance(TICK);
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
    stage.check().await;
}

#[tokio::test]
async fn age_counts_from_the_moment_the_load_began() {
    let stage = stage();
    stage.script.set("a", "old");
    stage.script.hold();
    let reader = tokio::spawn({
        let namespace = stage.namespace.clone();
        async move { namespace.get("a").await }
    });
    stage.script.arrived().await;
    stage.clock.advance(TTL - TICK);
    stage.script.let_go();
    assert!(reader.await.unwrap().unwrap().is_some());
    assert_eq!(stage.outcome("a").await.age, TTL - TICK);
    stage.clock.advance(TICK);
    assert!(stage.namespace.read_now(b"k:a").is_none(), "a value lived past the TTL of its load's beginning");
    stage.check().await;
}

#[tokio::test]
async fn a_value_that_expired_on_its_way_is_answered_and_not_stored() {
    let stage = stage();
    stage.script.set("a", "slow");
    stage.script.hold();
    let reader = tokio::spawn({
        let namespace = stage.namespace.clone();
        async move { namespace.get("a").await }
    });
    stage.script.arrived().await;
    stage.clock.advance(TTL);
    stage.script.let_go();
    assert!(reader.await.unwrap().unwrap().is_some());
    assert!(stage.namespace.peek(b"k:a").is_none());
    assert_eq!(stage.namespace.counts().refused_fills, 1);
    stage.check().await;
}

#[tokio::test]
async fn a_sources_own_ttl_can_only_shorten() {
    let stage = stage();
    stage.script.set("a", "1");
    stage.script.value_ttl(Duration::from_secs(1));
    assert_eq!(stage.outcome("a").await.fresh_for, Duration::from_secs(1));
    stage.script.set("b", "1");
    stage.script.value_ttl(TTL * 10);
    assert_eq!(stage.outcome("b").await.fresh_for, TTL);
}

#[tokio::test]
async fn jitter_only_shortens() {
    let stage = stage_with(|builder| builder.jitter(Duration::from_secs(1)));
    let mut spread = std::collections::HashSet::new();
    for id in 0..200 {
        let id = id.to_string();
        stage.script.set(&id, "1");
        let fresh_for = stage.outcome(&id).await.fresh_for;
        assert!((TTL - Duration::from_secs(1)..=TTL).contains(&fresh_for), "{fresh_for:?}");
        spread.insert(fresh_for);
    }
    assert!(spread.len() > 20, "200 values expire at only {} moments", spread.len());
}

#[tokio::test]
async fn an_absence_is_remembered_for_its_own_ttl() {
    let stage = stage_with(|builder| builder.absent_ttl(Duration::from_secs(1)));
    assert_eq!(stage.get("a").await, None);
    stage.script.set("a", "1");
    assert_eq!(stage.outcome("a").await.freshness, Freshness::Absent);
    assert_eq!(stage.script.loads(), 1);
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(stage.get("a").await.as_deref(), Some("1"));
    stage.check().await;
}

#[tokio::test]
async fn a_stale_value_is_served_while_one_refresh_runs() {
    let stage = stage_with(|builder| builder.stale_while_revalidate(Duration::from_secs(2)));
    stage.script.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.script.set("a", "new");
    stage.script.hold();
    stage.clock.advance(TTL);
    for _ in 0..10 {
        let (value, outcome) = stage.namespace.get_with_outcome("a").await.unwrap();
        assert_eq!(value.map(|blob| crate::scripted::text(&blob)).as_deref(), Some("old"));
        assert_eq!(outcome.freshness, Freshness::Stale(Why::Revalidating));
    }
    stage.clock.advance(GATHER);
    stage.script.arrived().await;
    stage.script.let_go();
    stage.engine.idle().await;
    assert_eq!(stage.script.loads(), 2);
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
    assert_eq!(stage.namespace.counts().stale, 10);
    stage.check().await;
}

#[tokio::test]
async fn past_its_stale_window_a_value_is_waited_for() {
    let stage = stage_with(|builder| builder.stale_while_revalidate(Duration::from_secs(2)));
    stage.script.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.script.set("a", "new");
    stage.clock.advance(TTL + Duration::from_secs(2));
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_failing_source_leaves_the_old_value_only_where_the_policy_says_so() {
    let stage = stage_with(|builder| builder.stale_if_error(Duration::from_secs(60)));
    stage.script.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.script.fail(Some(Failure::Error));
    stage.clock.advance(TTL);
    let outcome = stage.outcome("a").await;
    assert_eq!((outcome.freshness, outcome.age), (Freshness::Stale(Why::SourceFailed), TTL));
    stage.clock.advance(Duration::from_secs(60));
    assert!(stage.namespace.get("a").await.is_err(), "a value was served past its window");
    stage.check().await;
}

#[tokio::test]
async fn get_fresh_passes_every_copy_and_refreshes_it() {
    let stage = stage();
    stage.script.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.script.set("a", "new");
    let fresh = stage.namespace.get_fresh("a").await.unwrap().unwrap();
    assert_eq!(crate::scripted::text(&fresh), "new");
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
    assert_eq!(stage.script.loads(), 2);
    stage.check().await;
}

#[tokio::test]
async fn an_answer_that_is_not_stored_takes_the_older_copy_with_it() {
    let stage = stage_with(|builder| builder.absent_ttl(Duration::ZERO));
    stage.script.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.script.remove("a");
    assert!(stage.namespace.get_fresh("a").await.unwrap().is_none());
    assert_eq!(stage.get("a").await, None, "an older value outlived a newer answer");
    stage.check().await;
}

#[tokio::test]
async fn jitter_shortens_an_absence_in_proportion() {
    let stage = stage_with(|builder| builder.jitter(TTL).absent_ttl(Duration::from_millis(300)));
    let mut remembered = 0;
    for id in 0..100 {
        let id = id.to_string();
        assert_eq!(stage.get(&id).await, None);
        remembered += usize::from(stage.namespace.peek(format!("k:{id}").as_bytes()).is_some());
    }
    assert!(remembered > 90, "only {remembered} of 100 absences were remembered at all");
}

#[tokio::test]
async fn a_clients_own_ttl_is_kept_to_the_millisecond() {
    let stage = stage_with(|builder| builder.jitter(TTL).writes(forebay::Writes::Cache));
    for _ in 0..20 {
        let value = forebay::Value::from(forebay::Blob::opaque("put"));
        stage.namespace.write(b"k:a", value, Some(Duration::from_millis(500))).unwrap();
        assert_eq!(stage.namespace.peek(b"k:a").unwrap().fresh_for, Duration::from_millis(500));
    }
}

/// The reader goes on to read in another way, which is counted then.
#[tokio::test]
async fn what_memory_shows_in_vain_is_not_counted() {
    let stage = stage();
    stage.script.set("a", "1");
    stage.get("a").await;
    let shown = |key: &[u8], take: bool| {
        stage.namespace.answer_now(key, |value| {
            let text = value?.as_blob()?.as_bytes().to_vec();
            take.then_some(text)
        })
    };
    let hits = stage.namespace.counts().hits;
    assert_eq!(shown(b"k:a", false), None);
    assert_eq!(shown(b"k:missing", true), None);
    assert_eq!(shown(b"another", true), None);
    assert_eq!(stage.namespace.answer_field_now(b"k:a", b"field", |_| ()), None);
    assert_eq!(stage.namespace.counts().hits, hits);
    assert_eq!(shown(b"k:a", true).as_deref(), Some(&b"1"[..]));
    assert_eq!(stage.namespace.counts().hits, hits + 1);
    stage.check().await;
}
