//! An instance out of touch with the tier, or after a gap: what it holds is suspect until it was checked.

use forebay::log::SUSPECT_AFTER;
use forebay::observe::What;
use forebay::value::Value;
use forebay::{Blob, Error, FilterOptions, Freshness, NamespaceBuilder, Tier, Why};
use forebay_simulated::Partition;

use super::{Cluster, TTL, ms};
use crate::scripted::text;

#[tokio::test]
async fn an_instance_tells_since_when_what_it_holds_is_suspect() {
    let cluster = Cluster::new(9);
    let one = cluster.instance(1);
    cluster
        .run(async {
            cluster.pass(ms(100)).await;
            assert_eq!(one.engine.suspect_since(), None);
            let cut = cluster.clock.now();
            cluster.tier.partition(1, Some(Partition::Refused));
            cluster.pass(ms(3_000)).await;
            let since = one.engine.suspect_since().expect("it is out of touch");
            let (earliest, latest) =
                (cut.after(SUSPECT_AFTER).before(ms(300)), cut.after(SUSPECT_AFTER).after(ms(50)));
            assert!((earliest..=latest).contains(&since), "{since:?}, cut off at {cut:?}");
            cluster.pass(ms(500)).await;
            assert_eq!(one.engine.suspect_since(), Some(since));
            cluster.tier.partition(1, None);
            cluster.pass(ms(500)).await;
            assert_eq!(one.engine.suspect_since(), None);
        })
        .await;
}

#[tokio::test]
async fn an_instance_out_of_touch_does_not_join_what_it_began_to_load_long_ago() {
    let cluster = Cluster::new(9);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster.origin.set("x", "old");
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.tier.partition(2, Some(Partition::Refused));
            cluster.origin.takes(ms(3_000));
            let slow = tokio::spawn({
                let b = b.clone();
                async move { b.get("x").await }
            });
            cluster.pass(ms(100)).await;
            cluster.origin.takes(ms(0));
            cluster.origin.set("x", "new");
            a.invalidate("x").await.unwrap();
            cluster.pass(ms(1_001)).await;
            assert_eq!(b.get("x").await.as_deref(), Some("new"), "it joined a load from before");
            slow.await.unwrap();
            assert_eq!(b.get("x").await.as_deref(), Some("new"), "the older load was stored");
        })
        .await;
}

#[tokio::test]
async fn memory_out_of_touch_is_suspect_and_reads_go_to_the_source() {
    for partition in [Partition::Refused, Partition::Requests, Partition::Answers] {
        let cluster = Cluster::new(10);
        let (a, b) = (cluster.instance(1), cluster.instance(2));
        cluster
            .run(async {
                cluster.warm(&a, &b).await;
                cluster.pass(SUSPECT_AFTER).await;
                assert_eq!(b.read("x").await.1, Tier::Memory);
                cluster.tier.partition(2, Some(partition));
                cluster.pass(ms(500)).await;
                assert_eq!(b.read("x").await.1, Tier::Memory, "it was in touch half a second ago");
                cluster.origin.set("x", "new");
                a.invalidate("x").await.unwrap();
                cluster.pass(ms(1_001)).await;
                assert_eq!(b.read("x").await, (Some("new".into()), Tier::Source), "{partition:?}");
                cluster.pass(ms(500)).await;
                assert_eq!(b.read("x").await.1, Tier::Memory, "loaded half a second ago");
                cluster.pass(ms(501)).await;
                assert_eq!(b.read("x").await.1, Tier::Source);

                assert_eq!(a.get("x").await.as_deref(), Some("new"));
                cluster.tier.partition(2, None);
                cluster.pass(ms(600)).await;
                let queries = cluster.origin.queries();
                let (value, tier) = b.read("x").await;
                assert_eq!(value.as_deref(), Some("new"));
                assert_ne!(tier, Tier::Source, "{partition:?}: it did not catch up");
                cluster.pass(ms(5_000)).await;
                assert_eq!(b.read("x").await.1, Tier::Memory);
                assert_eq!(cluster.origin.queries(), queries);
            })
            .await;
    }
}

#[tokio::test]
async fn a_lost_answer_of_the_tier_leaves_time_for_the_load() {
    let cluster = Cluster::new(30);
    // Shorter than the tier takes to be given up.
    let a = cluster.instance_with(1, |builder| builder.load_timeout(ms(100)));
    cluster.origin.set("x", "1");
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.tier.partition(1, Some(Partition::Requests));
            assert_eq!(a.read("x").await, (Some("1".into()), Tier::Source));
        })
        .await;
}

#[tokio::test]
async fn a_filter_out_of_touch_denies_nothing() {
    let cluster = Cluster::new(29);
    cluster.origin.set("y", "y");
    let filtered = |builder: NamespaceBuilder<Blob>| builder.membership(FilterOptions::default());
    let (a, b) = (cluster.instance(1), cluster.instance_with(2, filtered));
    cluster
        .run(async {
            // It is listed again once the log was heard.
            cluster.pass(ms(1_100)).await;
            assert_eq!(b.read("x").await, (None, Tier::Nowhere));
            cluster.tier.partition(2, Some(Partition::Requests));
            cluster.origin.set("x", "new");
            a.invalidate("x").await.unwrap();
            cluster.pass(ms(1_001)).await;
            assert_eq!(b.get("x").await.as_deref(), Some("new"), "another instance had added it");
        })
        .await;
}

#[tokio::test]
async fn a_suspect_is_not_served_when_the_source_fails_too() {
    let cluster = Cluster::new(26);
    let [a, b] =
        [1, 2].map(|number| cluster.instance_with(number, |builder| builder.stale_if_error(60 * TTL)));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.origin.set("y", "y");
            assert_eq!(b.get("y").await.as_deref(), Some("y"));
            // In touch, its window is what it was declared for.
            cluster.pass(TTL).await;
            cluster.origin.is_down(true);
            let stale = b.rows.get_with_outcome(("g", "x")).await.unwrap().1;
            assert_eq!(stale.freshness, Freshness::Stale(Why::SourceFailed));

            cluster.tier.partition(2, Some(Partition::Requests));
            cluster.pass(ms(500)).await;
            a.invalidate("x").await.unwrap();
            cluster.pass(ms(1_001)).await;
            for id in ["x", "y"] {
                let read = b.rows.get(("g", id)).await;
                assert!(read.is_err(), "{id} may have been invalidated, and was served");
            }
            // What is loaded is no suspect for a moment; what is heard of again is none.
            cluster.tier.partition(2, None);
            cluster.pass(ms(1_500)).await;
            assert_eq!(b.get("y").await.as_deref(), Some("y"), "nothing happened to it");
            assert!(b.rows.get(("g", "x")).await.is_err(), "it was invalidated");
        })
        .await;
}

#[tokio::test]
async fn a_suspect_that_is_not_served_is_not_used() {
    let cluster = Cluster::new(31);
    let a = cluster.instance_with(1, |builder| builder.sliding(ms(3_000), TTL));
    cluster.origin.set("x", "x");
    cluster
        .run(async {
            assert_eq!(a.get("x").await.as_deref(), Some("x"));
            cluster.tier.partition(1, Some(Partition::Requests));
            cluster.pass(ms(2_500)).await;
            cluster.origin.is_down(true);
            assert!(a.rows.get(("g", "x")).await.is_err(), "it is a suspect");
            cluster.tier.partition(1, None);
            cluster.pass(ms(1_500)).await;
            assert!(a.rows.get(("g", "x")).await.is_err(), "nobody was given it for four seconds");
        })
        .await;
}

#[tokio::test]
async fn what_is_kept_without_a_source_is_withheld_and_unchanged_out_of_touch() {
    let cluster = Cluster::new(45);
    let kept = [1, 2].map(|number| {
        let builder = cluster.engine(number).namespace::<Blob>("kept").key("s:{id}").ttl(TTL);
        builder.build().unwrap()
    });
    let [a, b] = &kept;
    let get = async |id: &str| b.get(id).await.unwrap().map(|blob| text(&blob));
    let append = |id: &str| {
        b.change(id, |held| {
            let before = held.as_ref().and_then(Value::as_blob).map(text).unwrap_or_default();
            *held = Some(Blob::opaque(format!("{before}+")).into());
        })
    };
    cluster
        .run(async {
            for id in ["1", "2"] {
                b.put(id, Blob::opaque("mine"), 4).unwrap();
            }
            cluster.pass(ms(2_000)).await;
            append("2").unwrap();
            assert_eq!(get("2").await.as_deref(), Some("mine+"), "it is in touch");
            cluster.tier.partition(2, Some(Partition::Requests));
            cluster.pass(ms(500)).await;
            a.invalidate("1").await.unwrap();
            cluster.pass(ms(1_001)).await;
            for id in ["1", "2"] {
                assert_eq!(get(id).await, None, "{id} may have been invalidated");
                assert!(matches!(append(id), Err(Error::Suspect { .. })), "{id} may have been invalidated");
            }
            assert_eq!(get("never").await, None);
            assert_eq!((b.counts().withheld, b.counts().writes_failed), (2, 2));
            assert!(b.events(b"s:2").iter().any(|event| event.what == What::Withheld));
            // A whole value needs nothing of what was there.
            b.put("3", Blob::opaque("new"), 3).unwrap();
            append("4").unwrap();
            assert_eq!((get("3").await.as_deref(), get("4").await.as_deref()), (Some("new"), Some("+")));
            append("3").unwrap();

            cluster.tier.partition(2, None);
            cluster.pass(ms(1_000)).await;
            assert_eq!(get("1").await, None, "it was invalidated");
            append("2").unwrap();
            assert_eq!(get("2").await.as_deref(), Some("mine++"), "to be out of touch took nothing from it");
            assert_eq!(get("3").await.as_deref(), Some("new+"));
            assert_eq!(b.counts().withheld, 2);
        })
        .await;
}

#[tokio::test]
async fn what_a_healed_instance_missed_it_heeds() {
    let cluster = Cluster::new(11);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.origin.set("y", "y");
            assert_eq!(b.get("y").await.as_deref(), Some("y"));
            cluster.tier.partition(2, Some(Partition::Requests));
            cluster.pass(ms(3_000)).await;
            cluster.origin.set("x", "new");
            a.invalidate("x").await.unwrap();
            cluster.tier.partition(2, None);
            cluster.pass(ms(600)).await;
            assert_eq!(b.read("y").await.1, Tier::Memory, "nothing happened to it");
            assert_eq!(b.get("x").await.as_deref(), Some("new"));
        })
        .await;
}

#[tokio::test]
async fn a_gap_or_a_new_epoch_makes_all_that_was_held_suspect() {
    for restart in [false, true] {
        let cluster = Cluster::new(12);
        let (a, b) = (cluster.instance(1), cluster.instance(2));
        cluster
            .run(async {
                cluster.warm(&a, &b).await;
                a.invalidate("earlier").await.unwrap();
                cluster.pass(ms(20)).await;
                cluster.tier.partition(2, Some(Partition::Refused));
                // A record that B never sees: the tier loses it.
                cluster.origin.set("x", "new");
                a.invalidate("x").await.unwrap();
                a.invalidate("other").await.unwrap();
                if restart {
                    cluster.tier.restart(2);
                } else {
                    cluster.tier.trim(0);
                }
                cluster.tier.partition(2, None);
                // It meets the new epoch in the tier before it does in the log.
                b.get("y").await;
                cluster.pass(ms(400)).await;
                let (value, tier) = b.read("x").await;
                assert_eq!((value.as_deref(), tier), (Some("new"), Tier::Source), "restart: {restart}");
                cluster.pass(ms(2_001)).await;
                assert!(a.acknowledged().await, "everybody has begun anew");
                assert_eq!(b.read("x").await.1, Tier::Memory);
                // The tier is of use again.
                let c = cluster.instance(3);
                cluster.origin.set("z", "z");
                assert_eq!(a.get("z").await.as_deref(), Some("z"));
                cluster.pass(ms(20)).await;
                assert_eq!(c.read("z").await.1, Tier::Shared);
                a.invalidate("z").await.unwrap();
                assert!(a.acknowledged().await);
            })
            .await;
    }
}
