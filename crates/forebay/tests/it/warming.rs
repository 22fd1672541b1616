//! Warming, and the membership filter: both live on what a source lists by itself.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::rt::Clock;
use forebay::source::{Listing, Loading};
use forebay::value::Param;
use forebay::{
    Blob, FilterOptions, Forebay, LoadKey, Loaded, Namespace, NamespaceBuilder, Source, SourceError, Tier,
    Warm,
};

use crate::scripted;

const TTL: Duration = Duration::from_secs(60);
/// How often it is looked whether a filter has to be built.
const LOOK: Duration = Duration::from_secs(1);

/// Rows by name, which it can list.
#[derive(Clone, Default)]
struct Rows {
    names: Arc<Mutex<BTreeSet<String>>>,
    keys_asked: Arc<AtomicUsize>,
    queries: Arc<AtomicUsize>,
    /// So many pages never come.
    hanging: Arc<AtomicUsize>,
}

#[derive(Debug, thiserror::Error)]
#[error("`bad` is never listed")]
struct Bad;

impl Rows {
    fn of(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: Arc::new(Mutex::new(names.into_iter().collect())), ..Self::default() }
    }

    fn add(&self, name: &str) {
        self.names.lock().unwrap().insert(name.into());
    }

    fn asked(&self) -> (usize, usize) {
        (self.queries.load(Ordering::SeqCst), self.keys_asked.load(Ordering::SeqCst))
    }
}

fn name(key: &LoadKey) -> String {
    let Param::Text(name) = &key.params[0] else { panic!("text keys only") };
    name.clone()
}

impl Source for Rows {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move {
            self.queries.fetch_add(1, Ordering::SeqCst);
            self.keys_asked.fetch_add(keys.len(), Ordering::SeqCst);
            if keys.iter().any(|key| name(key) == "bad") {
                return Err(SourceError::passing(Bad));
            }
            let names = self.names.lock().unwrap();
            let row =
                |key: &LoadKey| names.contains(&name(key)).then(|| Loaded::new(Blob::opaque(name(key))));
            Ok(keys.iter().map(row).collect())
        })
    }

    fn list<'a>(&'a self, _: &'a str, after: Option<&'a LoadKey>, limit: usize) -> Option<Listing<'a>> {
        let after = after.map(name);
        let hang = |pages: usize| pages.checked_sub(1);
        if self.hanging.fetch_update(Ordering::SeqCst, Ordering::SeqCst, hang).is_ok() {
            return Some(Box::pin(std::future::pending()));
        }
        Some(Box::pin(async move {
            let names = self.names.lock().unwrap();
            let rest = names.iter().filter(|name| after.as_ref().is_none_or(|after| *name > after));
            Ok(rest.take(limit).map(|name| LoadKey { params: vec![Param::Text(name.clone())] }).collect())
        }))
    }
}

struct Stage {
    clock: Clock,
    engine: Forebay,
    rows: Rows,
    things: Namespace<Blob>,
}

fn stage(rows: Rows, set_up: impl FnOnce(NamespaceBuilder<Blob>) -> NamespaceBuilder<Blob>) -> Stage {
    let clock = Clock::simulated();
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    let builder = engine.namespace("things").key("k:{id}").ttl(TTL).source(rows.clone());
    Stage { things: set_up(builder).build().unwrap(), clock, engine, rows }
}

impl Stage {
    async fn check(&self) {
        self.engine.idle().await;
        self.engine.validate().unwrap();
    }

    /// Lets the upkeep build the filter.
    async fn built(&self) {
        self.clock.advance(LOOK);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

fn numbered(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("n{number:04}"))
}

#[tokio::test]
async fn lists_are_warmed_and_told() {
    let stage = stage(Rows::of(["a".into(), "b".into()]), |builder| builder);
    let warm = Warm { lists: vec![["a", "b", "none"].map(String::from).to_vec()], ..Warm::default() };
    let over = stage.things.warm(warm).unwrap().finished().await;
    assert_eq!((over.known, over.done, over.absent, over.failed, over.is_over), (3, 2, 1, 0, true));
    assert_eq!(stage.rows.asked(), (1, 3), "it was not one query");
    assert_eq!(stage.things.get_with_outcome("b").await.unwrap().1.tier, Tier::Memory);
    stage.check().await;
}

#[tokio::test]
async fn what_cannot_be_warmed_is_refused_or_told_as_failed() {
    let stage = stage(Rows::default(), |builder| builder);
    let two_lists = Warm { lists: vec![vec!["a".into()], vec!["b".into()]], ..Warm::default() };
    let refused = stage.things.warm(two_lists).unwrap_err().to_string();
    assert!(refused.contains("lists values for 2 parameters and the key has 1"), "{refused}");
    let bad = stage.things.warm_keys(vec![b"k:bad".to_vec(), b"other:x".to_vec()]).finished().await;
    assert_eq!((bad.known, bad.failed, bad.is_over), (1, 1, true));
    stage.check().await;
}

#[tokio::test]
async fn a_sources_own_listing_is_warmed_page_by_page() {
    let stage = stage(Rows::of(numbered(1000)), |builder| builder);
    let over = stage.things.warm(Warm { listing: true, ..Warm::default() }).unwrap().finished().await;
    assert_eq!((over.known, over.done), (1000, 1000));
    let (queries, keys) = stage.rows.asked();
    assert!(queries <= 4 && keys == 1000, "{queries} queries for {keys} keys");
    stage.check().await;
}

#[tokio::test]
async fn the_hottest_keys_warm_the_next_run() {
    let first = stage(Rows::of(numbered(200)), |builder| builder.count_hottest(2));
    for _ in 0..10_000 {
        first.things.get("n0007").await.unwrap();
        first.things.get("n0042").await.unwrap();
    }
    for cold in numbered(200) {
        first.things.get(cold.as_str()).await.unwrap();
    }
    let mut hottest = first.things.hottest(2);
    hottest.sort();
    assert_eq!(hottest, [b"k:n0007".to_vec(), b"k:n0042".to_vec()]);

    let next = stage(Rows::of(numbered(200)), |builder| builder);
    assert_eq!(next.things.warm_keys(hottest).finished().await.done, 2);
    assert!(next.things.read_now(b"k:n0042").is_some());
    next.check().await;
}

#[tokio::test]
async fn the_filter_knows_what_cannot_exist_and_never_denies_what_was_told() {
    let stage = stage(Rows::of(numbered(50)), |builder| builder.membership(FilterOptions::default()));
    stage.built().await;
    let absent = stage.things.get_with_outcome("nobody").await.unwrap().1;
    assert_eq!((absent.tier, stage.rows.asked().0), (Tier::Nowhere, 0), "the source was asked for nothing");
    assert!(stage.things.get("n0049").await.unwrap().is_some());

    stage.rows.add("late");
    assert!(stage.things.get("late").await.unwrap().is_none(), "nobody told of it");
    stage.things.invalidate("late").await.unwrap();
    assert!(stage.things.get("late").await.unwrap().is_some(), "a row that was told of is denied");
    stage.check().await;
}

#[tokio::test]
async fn after_a_groups_invalidation_the_filter_is_built_again() {
    let stage = stage(Rows::of(numbered(50)), |builder| builder.membership(FilterOptions::default()));
    stage.built().await;
    stage.rows.add("late");
    stage.things.invalidate_all().await.unwrap();
    assert!(stage.things.get("late").await.unwrap().is_some(), "what a group may have brought is denied");
    stage.built().await;
    let before = stage.rows.asked();
    assert!(stage.things.get("nobody").await.unwrap().is_none());
    assert_eq!(stage.rows.asked(), before, "it was not built again");
    stage.check().await;
}

#[tokio::test]
async fn warmings_beside_one_another_have_one_share_together() {
    let stage = scripted::stage_with(|builder| builder.concurrency(8));
    stage.script.hold();
    let warmings: Vec<_> = (0..4)
        .map(|warming| {
            let keys = (0..300).map(|number| format!("k:{warming}-{number}").into_bytes()).collect();
            stage.namespace.warm_keys(keys)
        })
        .collect();
    for _ in 0..20 {
        stage.settle().await;
        stage.clock.advance(Duration::from_millis(2));
    }
    assert_eq!(stage.script.queries().len(), 2, "of eight slots, a quarter is for warming");
    stage.script.stop_holding();
    for warming in warmings {
        while !warming.progress().is_over {
            stage.settle().await;
            stage.clock.advance(Duration::from_millis(2));
        }
        assert_eq!(warming.progress().absent, 300);
    }
    stage.check().await;
}

#[tokio::test]
async fn one_that_is_stopped_ends_after_its_batch() {
    let stage = scripted::stage_with(|builder| builder.concurrency(1));
    stage.script.hold();
    let keys = (0..1000).map(|number| format!("k:{number}").into_bytes()).collect();
    let warming = stage.namespace.warm_keys(keys);
    stage.settle().await;
    assert_eq!(stage.script.queries().len(), 1);
    warming.stop();
    stage.script.stop_holding();
    let over = warming.finished().await;
    assert!(over.is_over && over.is_stopped);
    assert_eq!((over.known, over.absent), (256, 256), "more than the batch under way was loaded");

    let over = stage.namespace.warm_keys(vec![b"k:0".to_vec()]).finished().await;
    assert!(over.is_over && !over.is_stopped, "another is stopped with it");
    stage.check().await;
}

#[tokio::test]
async fn a_page_that_does_not_come_is_given_up_and_listed_again() {
    let rows = Rows::of(["a".into()]);
    // The first is the look whether there is a listing at all.
    rows.hanging.store(2, Ordering::SeqCst);
    let stage = stage(rows, |builder| builder.membership(FilterOptions::default()));
    for _ in 0..29 {
        stage.built().await;
    }
    assert_eq!(stage.things.get_with_outcome("none").await.unwrap().1.tier, Tier::Source, "it is not listed");
    for _ in 0..4 {
        stage.built().await;
    }
    assert_eq!(stage.things.get_with_outcome("no more").await.unwrap().1.tier, Tier::Nowhere);
    stage.check().await;
}

#[tokio::test]
async fn an_engine_does_not_live_for_a_listing() {
    for warms in [false, true] {
        let rows = Rows::of(["a".into()]);
        rows.hanging.store(2, Ordering::SeqCst);
        let stage =
            stage(
                rows.clone(),
                |builder| {
                    if warms { builder } else { builder.membership(FilterOptions::default()) }
                },
            );
        let warming = warms.then(|| stage.things.warm(Warm { listing: true, ..Warm::default() }).unwrap());
        stage.built().await;
        let asked = usize::from(warms);
        assert_eq!(rows.hanging.load(Ordering::SeqCst), asked, "it is not at its page");
        drop(stage);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(Arc::strong_count(&rows.names), 1, "the source is kept, warms: {warms}");
        if let Some(warming) = warming {
            assert!(warming.finished().await.is_over, "whoever waits for it would wait for ever");
        }
    }
}
