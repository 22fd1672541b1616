//! Changed rows: what a feed tells is invalidated wherever it is held, and nothing that it missed is trusted.

use std::collections::BTreeMap;

use forebay::feed::{Changed, Columns, Rows};
use forebay::log::SUSPECT_AFTER;
use forebay::value::Param;
use forebay::{Blob, Error, FilterOptions, NamespaceBuilder, Tier};
use forebay_simulated::{Faults, Partition, SimulatedFeed};

use crate::scripted::{Stage, stage_with};
use crate::shared::{Cluster, Instance, ms};

const DATABASE: &str = "main";
const TABLE: &str = "rows";

fn columns(id: &str) -> Columns {
    let text = |text: &str| Some(Param::Text(text.into()));
    vec![("group".into(), text("g")), ("id".into(), text(id))]
}

fn updated(id: &str) -> Changed {
    Changed::updated(TABLE, columns(id), columns(id))
}

fn dependent(builder: NamespaceBuilder<Blob>) -> NamespaceBuilder<Blob> {
    builder.depends_on(Rows::of(DATABASE, TABLE))
}

/// Two instances that share a tier, of which the first follows the feed of their rows.
fn two(seed: u64) -> (Cluster, SimulatedFeed, Instance, Instance) {
    let cluster = Cluster::new(seed);
    let feed = SimulatedFeed::new(cluster.clock.clone(), seed);
    let (a, b) = (cluster.instance_with(1, dependent), cluster.instance_with(2, dependent));
    a.engine.follow(DATABASE, feed.clone()).unwrap();
    (cluster, feed, a, b)
}

#[tokio::test]
async fn a_changed_row_is_read_anew_everywhere() {
    let (cluster, feed, a, b) = two(1);
    cluster
        .run(async {
            for id in ["x", "y"] {
                cluster.origin.set(id, "old");
                assert_eq!(a.get(id).await.as_deref(), Some("old"));
                assert_eq!(b.get(id).await.as_deref(), Some("old"));
            }
            cluster.origin.set("x", "new");
            let place = feed.commit(updated("x"));
            cluster.pass(ms(50)).await;
            assert_eq!(feed.confirmed(), place);
            assert_eq!(a.get("x").await.as_deref(), Some("new"));
            cluster.pass(SUSPECT_AFTER).await;
            assert_eq!(b.get("x").await.as_deref(), Some("new"));
            assert_eq!(b.read("y").await, (Some("old".into()), Tier::Memory), "another row");
            let status = &a.engine.feeds()[0];
            assert_eq!((status.applied, status.changes, status.gaps), (Some(place), 1, 0));
        })
        .await;
}

#[tokio::test]
async fn a_row_that_moves_ends_what_was_and_what_was_not() {
    let (cluster, feed, a, _) = two(2);
    cluster
        .run(async {
            cluster.origin.set("x", "row");
            assert_eq!(a.get("x").await.as_deref(), Some("row"));
            assert_eq!(a.get("y").await, None);
            cluster.origin.remove("x");
            cluster.origin.set("y", "row");
            feed.commit(Changed::updated(TABLE, columns("x"), columns("y")));
            cluster.pass(ms(50)).await;
            assert_eq!(a.get("x").await, None);
            assert_eq!(a.get("y").await.as_deref(), Some("row"), "its absence was remembered");
        })
        .await;
}

#[tokio::test]
async fn what_the_feed_missed_is_not_trusted() {
    let (cluster, feed, a, b) = two(3);
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.pass(ms(50)).await;
            feed.set_down(true);
            cluster.origin.set("x", "new");
            feed.commit(updated("x"));
            feed.trim(0);
            cluster.pass(ms(500)).await;
            assert_eq!(a.read("x").await, (Some("old".into()), Tier::Memory), "a silent feed costs nothing");
            feed.set_down(false);
            cluster.pass(SUSPECT_AFTER).await;
            assert_eq!(a.get("x").await.as_deref(), Some("new"));
            assert_eq!(b.get("x").await.as_deref(), Some("new"));
            assert_eq!(a.engine.feeds()[0].gaps, 1);
        })
        .await;
}

#[tokio::test]
async fn a_feed_that_fails_tells_why_and_is_asked_again() {
    let (cluster, feed, a, _) = two(9);
    cluster
        .run(async {
            feed.set_down(true);
            cluster.pass(ms(3_000)).await;
            let status = &a.engine.feeds()[0];
            assert!((4..12).contains(&status.failures), "{status:?}");
            assert!(status.last_error.is_some());
            feed.set_down(false);
            feed.commit(updated("x"));
            cluster.pass(ms(1_000)).await;
            let status = &a.engine.feeds()[0];
            assert!(status.last_error.is_none() && status.changes == 1, "{status:?}");
        })
        .await;
}

#[tokio::test]
async fn a_namespace_that_is_built_after_its_feed_was_read_trusts_no_older_copy() {
    let (cluster, feed, a, b) = two(10);
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            let late = cluster.engine(3);
            late.follow(DATABASE, feed.clone()).unwrap();
            // The one that has followed so far cannot tell the tier.
            cluster.origin.set("x", "new");
            cluster.tier.partition(1, Some(Partition::Refused));
            feed.commit(updated("x"));
            cluster.pass(ms(100)).await;
            let late = cluster.instance_of(late, dependent);
            assert_eq!(late.get("x").await.as_deref(), Some("new"), "the tier has a copy from before");
        })
        .await;
}

#[tokio::test]
async fn a_filter_denies_where_all_writers_tell_and_nowhere_else_without_a_feed() {
    for (told, tier) in [(true, Tier::Nowhere), (false, Tier::Source)] {
        let cluster = Cluster::new(11);
        let rows = Rows::of(DATABASE, TABLE);
        let rows = if told { rows.told_by_writers() } else { rows };
        let a =
            cluster.instance_with(1, |builder| builder.depends_on(rows).membership(FilterOptions::default()));
        cluster
            .run(async {
                cluster.origin.set("x", "x");
                cluster.pass(ms(2_100)).await;
                assert_eq!(a.read("y").await, (None, tier));
            })
            .await;
    }
}

#[tokio::test]
async fn a_filter_denies_nothing_while_its_feed_is_silent() {
    let cluster = Cluster::new(4);
    let feed = SimulatedFeed::new(cluster.clock.clone(), 4);
    let a = cluster.instance_with(1, |builder| dependent(builder).membership(FilterOptions::default()));
    a.engine.follow(DATABASE, feed.clone()).unwrap();
    cluster
        .run(async {
            cluster.origin.set("x", "x");
            cluster.pass(ms(2_100)).await;
            assert_eq!(a.read("y").await, (None, Tier::Nowhere));
            feed.set_down(true);
            cluster.pass(ms(1_300)).await;
            cluster.origin.set("y", "y");
            feed.commit(Changed::inserted(TABLE, columns("y")));
            assert_eq!(a.get("y").await.as_deref(), Some("y"), "nobody could tell of it");
        })
        .await;
}

#[tokio::test]
async fn nothing_is_confirmed_that_the_tier_was_not_told() {
    let (cluster, feed, a, b) = two(5);
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.pass(ms(50)).await;
            cluster.tier.partition(1, Some(Partition::Requests));
            cluster.origin.set("x", "new");
            let place = feed.commit(updated("x"));
            cluster.pass(ms(2_000)).await;
            assert!(feed.confirmed() < place, "another instance may not know of it");
            assert_eq!(a.get("x").await.as_deref(), Some("new"));
            cluster.tier.partition(1, None);
            cluster.pass(ms(2_000)).await;
            assert_eq!(feed.confirmed(), place);
            assert_eq!(b.get("x").await.as_deref(), Some("new"));
        })
        .await;
}

#[tokio::test]
async fn who_follows_next_reads_on_from_what_was_confirmed() {
    let (cluster, feed, a, _) = two(6);
    cluster
        .run(async {
            feed.commit(updated("x"));
            cluster.pass(ms(50)).await;
            let next = cluster.instance_with(3, dependent);
            next.engine.follow(DATABASE, feed.clone()).unwrap();
            feed.commit(updated("y"));
            cluster.pass(ms(50)).await;
            assert_eq!(next.engine.feeds()[0].changes, 1);
            assert_eq!(a.engine.feeds()[0].changes, 2);
        })
        .await;
}

fn alone() -> (Stage, SimulatedFeed) {
    let stage = stage_with(|builder| builder.ttl(ms(60_000)).depends_on(Rows::of(DATABASE, TABLE)));
    let feed = SimulatedFeed::new(stage.clock.clone(), 7);
    (stage, feed)
}

#[tokio::test]
async fn a_transaction_tells_what_it_changed_without_a_feed() {
    let (stage, _) = alone();
    let row = |id: &str| vec![("id".into(), Some(Param::Text(id.into())))];
    stage.script.set("a", "old");
    stage.get("a").await;
    stage.script.set("a", "new");
    let engine = &stage.engine;
    engine.rows_changed(DATABASE, &[Changed::deleted("other", row("a"))]).await.unwrap();
    engine.rows_changed("elsewhere", &[Changed::deleted(TABLE, row("a"))]).await.unwrap();
    engine.keyspace("preview").rows_changed(DATABASE, &[Changed::deleted(TABLE, row("a"))]).await.unwrap();
    assert_eq!(stage.get("a").await.as_deref(), Some("old"), "none of this is its row");
    engine.rows_changed(DATABASE, &[Changed::inserted(TABLE, row("a"))]).await.unwrap();
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
    stage.check().await;
}

#[tokio::test]
async fn a_feed_is_followed_once_and_columns_are_of_the_key() {
    let (stage, feed) = alone();
    let engine = &stage.engine;
    engine.follow(DATABASE, feed.clone()).unwrap();
    let again = engine.follow(DATABASE, feed.clone()).unwrap_err();
    assert!(again.to_string().contains("followed already"), "{again}");
    engine.keyspace("preview").follow(DATABASE, feed).unwrap();
    let wrong = engine.namespace::<Blob>("n").key("n:{id}").ttl(ms(1));
    let wrong = wrong.depends_on(Rows::of(DATABASE, TABLE).column("code", "id")).build();
    let Err(Error::Build { problem, .. }) = wrong else { panic!("its key has no `code`") };
    assert!(problem.contains("no parameter `code`"), "{problem}");
}

/// What a reader must see at least: the newest version of each row that was confirmed, by when.
#[derive(Default)]
struct Confirmed {
    told: Vec<(forebay::feed::Place, String, u64)>,
    rows: BTreeMap<String, u64>,
}

impl Confirmed {
    fn up_to(&mut self, place: forebay::feed::Place) -> BTreeMap<String, u64> {
        for (_, id, version) in self.told.extract_if(.., |(at, ..)| *at <= place) {
            let row = self.rows.entry(id).or_default();
            *row = version.max(*row);
        }
        self.rows.clone()
    }
}

/// On a network that loses, delays and repeats, no reader who comes after a change was confirmed sees what was before it: at once
/// where the feed is followed, within a second elsewhere.
#[tokio::test]
async fn no_reader_sees_what_was_before_a_confirmed_change() {
    for seed in 0..12 {
        let (cluster, feed, a, b) = two(seed);
        let mut chance = fastrand::Rng::with_seed(seed);
        let faults =
            Faults { delay_ms_max: 20, refuse: 40, lose_request: 40, lose_answer: 40, late: 20, repeat: 200 };
        cluster.tier.set_faults(faults);
        feed.set_faults(faults);
        let (mut checked, mut last) = (0, 0);
        cluster
            .run(async {
                let mut confirmed = Confirmed::default();
                let mut elsewhere: Vec<(u64, BTreeMap<String, u64>)> = Vec::new();
                for at_ms in (0..6_000).step_by(20) {
                    let id = ["x", "y", "z"][chance.usize(0..3)];
                    if chance.u8(0..4) == 0 {
                        last += 1;
                        cluster.origin.set(id, &last.to_string());
                        confirmed.told.push((feed.commit(updated(id)), id.into(), last));
                    }
                    let here = confirmed.up_to(feed.confirmed());
                    elsewhere.push((at_ms, here.clone()));
                    let there = elsewhere.iter().rfind(|(at, _)| at + 1_050 <= at_ms).map(|(_, rows)| rows);
                    for (instance, least) in [(&a, Some(&here)), (&b, there)] {
                        let Ok(read) = instance.rows.get(("g", id)).await else { continue };
                        let seen: u64 = read.map_or(0, |blob| crate::scripted::text(&blob).parse().unwrap());
                        let least = least.and_then(|rows| rows.get(id)).copied().unwrap_or(0);
                        assert!(seen >= least, "seed {seed}: {id} is {seen}, {least} was confirmed");
                        checked += u32::from(least > 0);
                    }
                    cluster.pass(ms(20)).await;
                }
            })
            .await;
        assert!(checked > 100, "seed {seed}: {checked} reads showed anything");
    }
}
