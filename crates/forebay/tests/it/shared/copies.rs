//! The copies in the tier: absences, versions, ages, codecs, and what a tier out of reach costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use forebay::source::Loading;
use forebay::value::{Codec, Param};
use forebay::{Blob, Error, Freshness, LoadKey, Loaded, NamespaceBuilder, Source, SourceError, Tier};
use forebay_simulated::{Faults, Partition};

use super::{Cluster, Row, TTL, ms, tagged, tell, tellings};
use crate::scripted::text;

#[tokio::test]
async fn a_tier_out_of_reach_costs_speed_only() {
    for partition in [Partition::Refused, Partition::Requests, Partition::Answers] {
        let cluster = Cluster::new(18);
        cluster.tier.partition(1, Some(partition));
        let a = cluster.instance(1);
        for id in 0..50 {
            cluster.origin.set(&id.to_string(), "1");
        }
        cluster
            .run(async {
                // From the start: it was never in touch.
                assert_eq!(a.read("0").await, (Some("1".into()), Tier::Source));
                cluster.pass(ms(2_000)).await;
                for id in 1..50 {
                    let asked = cluster.clock.now();
                    assert_eq!(a.read(&id.to_string()).await.1, Tier::Source);
                    let waited = cluster.clock.now().since(asked);
                    assert!(waited <= ms(120), "{partition:?}: {waited:?}");
                }
            })
            .await;
    }
}

#[tokio::test]
async fn a_miss_does_not_wait_for_a_tier_that_has_fallen_silent() {
    let cluster = Cluster::new(19);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.tier.partition(1, Some(Partition::Requests));
            cluster.pass(ms(2_000)).await;
            let asked = cluster.clock.now();
            a.get("y").await;
            let waited = cluster.clock.now().since(asked);
            assert!(waited <= ms(5), "{waited:?}");
        })
        .await;
}

#[tokio::test]
async fn absences_go_through_the_tier_and_end_with_an_invalidation() {
    let cluster = Cluster::new(20);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            assert_eq!(a.read("x").await, (None, Tier::Source));
            cluster.pass(ms(20)).await;
            assert_eq!(b.read("x").await, (None, Tier::Shared));
            assert_eq!(cluster.origin.queries(), 1);
            // Nobody knew the tags of a row that was not there.
            cluster.origin.row("x", tagged("new"));
            a.engine.invalidate_tag("of-row").await.unwrap();
            assert_eq!(a.get("x").await.as_deref(), Some("new"));
            cluster.pass(ms(1_001)).await;
            assert_eq!(b.get("x").await.as_deref(), Some("new"));
        })
        .await;
}

#[tokio::test]
async fn an_older_version_does_not_replace_a_newer_one_in_the_tier() {
    let cluster = Cluster::new(21);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    let row = |text: &str, version| Row { text: text.into(), version: Some(version), tags: Vec::new() };
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.origin.row("x", row("second", 2));
            assert_eq!(a.get("x").await.as_deref(), Some("second"));
            cluster.pass(ms(20)).await;
            // B asks a replica that lags behind.
            cluster.origin.row("x", row("first", 1));
            b.rows.get_fresh(("g", "x")).await.unwrap();
            cluster.pass(ms(20)).await;
            let c = cluster.instance(3);
            assert_eq!(c.read("x").await, (Some("second".into()), Tier::Shared));
        })
        .await;
}

#[tokio::test]
async fn a_fresh_read_passes_the_tiers_copy_and_replaces_it() {
    let cluster = Cluster::new(22);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.origin.set("x", "new");
            let fresh = a.rows.get_fresh(("g", "x")).await.unwrap();
            assert_eq!(text(&fresh.unwrap()), "new");
            assert_eq!(a.get("x").await.as_deref(), Some("new"));
            cluster.pass(ms(20)).await;
            let c = cluster.instance(3);
            assert_eq!(c.read("x").await, (Some("new".into()), Tier::Shared));
        })
        .await;
}

#[tokio::test]
async fn a_fresh_read_that_waits_its_turn_takes_no_copy_of_the_tier() {
    let cluster = Cluster::new(23);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster.origin.set("x", "old");
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            assert_eq!(a.get("x").await.as_deref(), Some("old"));
            cluster.pass(ms(20)).await;
            cluster.tier.set_faults(Faults { delay_ms_max: 40, ..Faults::default() });
            cluster.origin.set("x", "new");
            let read = |fresh: bool| {
                let b = b.clone();
                tokio::spawn(async move {
                    if fresh { b.rows.get_fresh(("g", "x")).await } else { b.rows.get(("g", "x")).await }
                })
            };
            let _first = read(false);
            cluster.pass(ms(1)).await;
            // Both wait for the first flight; the reader drops its copy and leads the next before the other can.
            let fresh: Vec<_> = (0..20).map(|_| read(true)).collect();
            for round in 0..100 {
                if round % 3 == 0 {
                    let _ = b.rows.drop_copy(b"k:g:x");
                    let _reader = read(false);
                }
                cluster.pass(ms(1)).await;
            }
            for reader in fresh {
                let value = reader.await.unwrap().unwrap();
                assert_eq!(text(&value.unwrap()), "new", "a copy was taken for the truth");
            }
        })
        .await;
}

#[tokio::test]
async fn an_entry_is_fresh_nowhere_longer_than_its_ttl_from_the_begin_of_its_load() {
    let cluster = Cluster::new(24);
    let set_up = |builder: NamespaceBuilder<Blob>| builder.ttl(ms(3_000));
    let (a, b) = (cluster.instance_with(1, set_up), cluster.instance_with(2, set_up));
    cluster.origin.set("x", "old");
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.origin.takes(ms(500));
            let began = cluster.clock.now();
            assert_eq!(a.get("x").await.as_deref(), Some("old"));
            cluster.origin.takes(ms(0));
            cluster.origin.set("x", "new");
            cluster.pass(ms(2_000)).await;
            let (_, outcome) = b.rows.get_with_outcome(("g", "x")).await.unwrap();
            let age = cluster.clock.now().since(began);
            assert_eq!((outcome.tier, outcome.freshness), (Tier::Shared, Freshness::Fresh));
            assert!(outcome.age >= age - ms(2) && outcome.age <= age + ms(2), "{outcome:?} of {age:?}");
            assert!(outcome.fresh_for + outcome.age <= ms(3_002), "{outcome:?}");
            cluster.pass(ms(3_001).saturating_sub(age)).await;
            assert_eq!(b.read("x").await, (Some("new".into()), Tier::Source));
        })
        .await;
}

#[tokio::test]
async fn a_copy_leaves_memory_when_it_may_stay_no_longer() {
    let cluster = Cluster::new(32);
    let a = cluster.instance_with(1, |builder| builder.memory_max_age(ms(500)));
    cluster.origin.set("x", "1");
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            assert_eq!(a.read("x").await.1, Tier::Source);
            assert_eq!(a.get("y").await, None);
            cluster.pass(ms(499)).await;
            assert_eq!(a.read("x").await.1, Tier::Memory);
            cluster.pass(ms(1)).await;
            let queries = cluster.origin.queries();
            for id in ["x", "y"] {
                assert_eq!(a.read(id).await.1, Tier::Shared, "{id}");
                assert_eq!(a.read(id).await.1, Tier::Memory, "{id}");
            }
            assert_eq!(cluster.origin.queries(), queries);
            cluster.pass(ms(500)).await;
            assert_eq!(a.read("x").await.1, Tier::Shared, "it stays as long again");
        })
        .await;
}

#[tokio::test]
async fn jitter_is_drawn_once_for_all_instances() {
    let cluster = Cluster::new(25);
    let set_up = |builder: NamespaceBuilder<Blob>| builder.ttl(ms(3_000)).jitter(ms(1_000));
    let (a, b) = (cluster.instance_with(1, set_up), cluster.instance_with(2, set_up));
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            for id in 0..20 {
                let id = id.to_string();
                cluster.origin.set(&id, "1");
                let (_, of_a) = a.rows.get_with_outcome(("g", id.as_str())).await.unwrap();
                cluster.pass(ms(20)).await;
                let (_, of_b) = b.rows.get_with_outcome(("g", id.as_str())).await.unwrap();
                assert!(of_b.fresh_for + ms(19) <= of_a.fresh_for, "{of_a:?} {of_b:?}");
            }
        })
        .await;
}

#[derive(Debug, PartialEq)]
struct Price(u64);

/// Writes a price as its decimal digits.
struct Digits;

impl Codec<Price> for Digits {
    fn encode(&self, value: &Price) -> Option<Bytes> {
        (value.0 != 13).then(|| Bytes::from(value.0.to_string()))
    }

    fn decode(&self, bytes: &[u8]) -> Option<(Price, u64)> {
        let number = std::str::from_utf8(bytes).ok()?.parse().ok()?;
        Some((Price(number), 8))
    }
}

#[derive(Clone)]
struct Prices(Arc<AtomicUsize>);

impl Source for Prices {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        self.0.fetch_add(keys.len(), Ordering::SeqCst);
        let price = |key: &LoadKey| match key.params[0] {
            Param::Integer(id) => Some(Loaded::new(forebay::Value::native(Price(id.unsigned_abs()), 8))),
            Param::Text(_) => None,
        };
        let answers = keys.iter().map(price).collect();
        Box::pin(async { Ok::<_, SourceError>(answers) })
    }
}

#[tokio::test]
async fn rust_values_go_through_the_tier_by_their_codec() {
    let cluster = Cluster::new(26);
    let source = Prices(Arc::default());
    let prices = |number: u64, shape: u32| {
        let builder = cluster.engine(number).namespace::<Price>("prices").key("p:{id:integer}");
        builder.ttl(TTL).codec(Digits).shape(shape).source(source.clone()).build().unwrap()
    };
    let (a, b, newer) = (prices(1, 0), prices(2, 0), prices(3, 1));
    let queries = || source.0.load(Ordering::SeqCst);
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            assert_eq!(a.get(7).await.unwrap().as_deref(), Some(&Price(7)));
            cluster.pass(ms(20)).await;
            let (value, outcome) = b.get_with_outcome(7).await.unwrap();
            assert_eq!((value.as_deref(), outcome.tier), (Some(&Price(7)), Tier::Shared));
            let (_, outcome) = newer.get_with_outcome(7).await.unwrap();
            assert_eq!((outcome.tier, queries()), (Tier::Source, 2), "another shape was read");
            // What the codec cannot write stays in memory, and its lease is given back at once.
            assert_eq!(a.get(13).await.unwrap().as_deref(), Some(&Price(13)));
            cluster.pass(ms(20)).await;
            let asked = cluster.clock.now();
            assert_eq!(b.get_with_outcome(13).await.unwrap().1.tier, Tier::Source);
            assert!(cluster.clock.now().since(asked) <= ms(20), "the lease was kept");
        })
        .await;
    let error = cluster.engine(4).namespace::<Price>("raw").key("r:{id}").ttl(TTL).build().unwrap_err();
    assert!(error.to_string().contains("codec"), "{error}");
}

#[tokio::test]
async fn a_failed_load_gives_its_lease_back() {
    struct Failing;
    impl Source for Failing {
        fn load<'a>(&'a self, _: &'a str, _: &'a [LoadKey]) -> Loading<'a> {
            Box::pin(async { Err(SourceError::passing(Error::NoRuntime)) })
        }
    }
    let cluster = Cluster::new(27);
    let (a, b) = (cluster.instance_with(1, |builder| builder.source(Failing)), cluster.instance(2));
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.origin.set("x", "1");
            a.rows.get(("g", "x")).await.unwrap_err();
            cluster.pass(ms(10)).await;
            assert_eq!(cluster.tier.counts(), (0, 0), "a lease was left");
            assert_eq!(b.get("x").await.as_deref(), Some("1"));
            cluster.pass(ms(10)).await;
            assert_eq!(cluster.tier.counts(), (1, 0));
        })
        .await;
}

#[tokio::test]
async fn an_engine_that_is_dropped_follows_no_more() {
    let cluster = Cluster::new(28);
    let a = cluster.instance(1);
    cluster
        .run(async {
            cluster.pass(ms(500)).await;
            assert!(cluster.tier.fired().exchanges >= 2, "it does not follow");
            cluster.instances.lock().unwrap().clear();
            drop(a);
            cluster.pass(ms(300)).await;
            let exchanges = cluster.tier.fired().exchanges;
            cluster.pass(ms(2_000)).await;
            assert_eq!(cluster.tier.fired().exchanges, exchanges);
        })
        .await;
}

#[tokio::test]
async fn a_namespace_that_is_built_again_hears_the_log_beside_a_load_of_the_first() {
    for (scope, verb) in tellings() {
        let cluster = Cluster::new(40);
        let (first, b) = (cluster.instance(1), cluster.instance(2));
        cluster.origin.row("x", tagged("old"));
        let at = format!("{scope:?} {verb:?}");
        cluster
            .run(async {
                cluster.pass(ms(10)).await;
                cluster.origin.takes(ms(4_000));
                let reader = tokio::spawn({
                    let rows = first.rows.clone();
                    async move { rows.get(("g", "slow")).await.map(drop) }
                });
                cluster.pass(ms(50)).await;
                // The load goes on without any handle.
                reader.abort();
                let _ = reader.await;
                let engine = first.engine.clone();
                drop(first);
                cluster.origin.takes(ms(0));
                let a = cluster.instance_of(engine, |builder| builder);
                cluster.warm(&b, &a).await;
                cluster.origin.set("x", "new");
                tell(&b, scope, verb).await.unwrap();
                cluster.pass(ms(1_001)).await;
                assert_eq!(a.get("x").await.as_deref(), Some("new"), "{at}: the first heard it in its place");
            })
            .await;
    }
}
