//! What a value says of itself: its version, and what `decide` reads from it.

use std::time::Duration;

use forebay::{Blob, Decided, Freshness, Tier, Why};

use crate::scripted::{Row, Stage, TTL, stage, stage_with, text};

const SECOND: Duration = Duration::from_secs(1);

fn row(version: i64) -> Row {
    Row::new(&format!("version {version}")).version(version)
}

async fn fresh(stage: &Stage) -> String {
    text(&stage.namespace.get_fresh("a").await.unwrap().unwrap())
}

/// What a text of the form `ttl=250 tag=x version=3` says of itself; a TTL is in milliseconds.
fn said(blob: &Blob) -> Decided {
    let mut decided = Decided::default();
    for part in text(blob).split(' ') {
        match part.split_once('=') {
            Some(("ttl", ms)) => decided.ttl = Some(Duration::from_millis(ms.parse().unwrap())),
            Some(("tag", tag)) => decided.tags.push(tag.into()),
            Some(("version", version)) => decided.version = Some(version.parse().unwrap()),
            _ => {}
        }
    }
    decided
}

#[tokio::test]
async fn an_older_version_never_replaces_a_newer_and_its_waiters_get_the_newer() {
    let stage = stage();
    stage.script.set_row("a", row(5));
    stage.get("a").await;
    stage.clock.advance(SECOND);
    stage.script.set_row("a", row(4));
    stage.script.hold();
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            let namespace = stage.namespace.clone();
            tokio::spawn(async move { namespace.get_fresh("a").await.unwrap().unwrap() })
        })
        .collect();
    stage.script.arrived().await;
    stage.script.stop_holding();
    for waiter in waiters {
        assert_eq!(text(&waiter.await.unwrap()), "version 5");
    }
    let outcome = stage.outcome("a").await;
    assert_eq!(stage.get("a").await.as_deref(), Some("version 5"));
    assert_eq!((outcome.tier, outcome.age), (Tier::Memory, SECOND), "the older answer made it younger");
    assert!(stage.namespace.counts().refused_fills > 0);
    stage.check().await;
}

#[tokio::test]
async fn a_newer_an_equal_and_an_unknown_version_replace() {
    let stage = stage();
    stage.script.set_row("a", row(5));
    stage.get("a").await;
    stage.script.set_row("a", row(6));
    assert_eq!(fresh(&stage).await, "version 6");
    stage.script.set_row("a", Row::new("version 6, told again").version(6));
    assert_eq!(fresh(&stage).await, "version 6, told again");
    assert_eq!(stage.get("a").await.as_deref(), Some("version 6, told again"));
    stage.script.set_row("a", Row::new("no version"));
    assert_eq!(fresh(&stage).await, "no version");
    assert_eq!(stage.get("a").await.as_deref(), Some("no version"));
    stage.script.remove("a");
    assert!(stage.namespace.get_fresh("a").await.unwrap().is_none());
    assert_eq!(stage.get("a").await, None, "a newer version outlived the row");
    stage.check().await;
}

#[tokio::test]
async fn once_the_newer_is_gone_an_older_is_accepted() {
    // Each by a plain read, and by one that does not look at memory first.
    for past_memory in [false, true] {
        for way in 0..4 {
            let stage = stage();
            stage.script.set_row("a", row(5).tags(&["group"]));
            stage.get("a").await;
            stage.script.set_row("a", row(4));
            match way {
                0 => assert!(stage.namespace.invalidate("a").await.unwrap()),
                1 => stage.namespace.invalidate_all().await.unwrap(),
                2 => stage.engine.invalidate_tag("group").await.unwrap(),
                _ => stage.clock.advance(TTL),
            }
            let got = if past_memory { Some(fresh(&stage).await) } else { stage.get("a").await };
            assert_eq!(got.as_deref(), Some("version 4"), "way {way}, past memory: {past_memory}");
            assert_eq!(stage.get("a").await.as_deref(), Some("version 4"), "way {way}");
            assert_eq!(stage.script.loads(), 2, "way {way}: it was not kept");
            stage.check().await;
        }
    }
}

#[tokio::test]
async fn a_newer_version_past_its_ttl_is_never_called_fresh() {
    let stage = stage_with(|builder| builder.stale_if_error(10 * TTL));
    stage.script.set_row("a", row(5));
    stage.get("a").await;
    stage.script.set_row("a", row(4));
    stage.clock.advance(TTL + SECOND);
    let (value, outcome) = stage.namespace.get_with_outcome("a").await.unwrap();
    let honest = match outcome.freshness {
        Freshness::Fresh => outcome.age <= TTL,
        Freshness::Stale(_) => text(&value.unwrap()) == "version 5",
        Freshness::Absent => false,
    };
    assert!(honest, "{outcome:?}");
    stage.check().await;
}

#[tokio::test]
async fn a_newer_version_that_was_made_stale_is_never_called_fresh() {
    let stage = stage_with(|builder| builder.stale_if_error(10 * TTL));
    stage.script.set_row("a", row(5));
    stage.get("a").await;
    stage.script.set_row("a", row(4));
    stage.namespace.expire("a").await.unwrap();
    let (value, outcome) = stage.namespace.get_with_outcome("a").await.unwrap();
    assert!(
        text(&value.unwrap()) != "version 5" || outcome.freshness != Freshness::Fresh,
        "what was made stale is told as fresh: {outcome:?}"
    );
    stage.check().await;
}

#[tokio::test]
async fn a_value_decides_its_ttl_its_tags_and_its_version() {
    let stage = stage_with(|builder| builder.decide(said));
    stage.script.set("a", "ttl=250 tag=x version=3");
    assert_eq!(stage.outcome("a").await.fresh_for, Duration::from_millis(250));
    stage.script.set("a", "ttl=900 version=2");
    assert_eq!(fresh(&stage).await, "ttl=250 tag=x version=3");
    stage.engine.invalidate_tag("x").await.unwrap();
    assert_eq!(stage.get("a").await.as_deref(), Some("ttl=900 version=2"));
    // It can only shorten the TTL.
    stage.script.set("b", "ttl=3600000");
    assert_eq!(stage.outcome("b").await.fresh_for, TTL);
    stage.check().await;
}

#[tokio::test]
async fn what_a_value_does_not_say_the_source_says() {
    let stage = stage_with(|builder| builder.decide(said));
    stage.script.value_ttl(SECOND);
    stage.script.set_row("a", Row::new("tag=x").tags(&["y"]).version(3));
    assert_eq!(stage.outcome("a").await.fresh_for, SECOND);
    stage.script.set_row("a", Row::new("older").version(2));
    assert_eq!(fresh(&stage).await, "tag=x");
    for tag in ["x", "y"] {
        stage.script.set_row("a", Row::new("tag=x").tags(&["y"]));
        stage.get("a").await;
        stage.engine.invalidate_tag(tag).await.unwrap();
        assert!(!stage.holds("a"), "outlived {tag}");
    }
    stage.check().await;
}

#[tokio::test]
async fn a_ttl_of_zero_is_answered_to_all_who_wait_and_not_stored() {
    let stage = stage_with(|builder| builder.decide(said));
    stage.script.set("a", "ttl=0 once");
    stage.script.hold();
    let readers: Vec<_> = (0..10).map(|_| stage.reader("a")).collect();
    stage.script.arrived().await;
    stage.settle().await;
    // One load is let go: nobody may have to lead one of his own.
    stage.script.let_go();
    stage.settle().await;
    for reader in readers {
        assert!(reader.is_finished(), "a reader queued behind another");
        assert_eq!(reader.await.unwrap().unwrap().as_deref(), Some("ttl=0 once"));
    }
    assert_eq!(stage.script.loads(), 1);
    assert!(stage.namespace.peek(b"k:a").is_none());
    stage.script.stop_holding();
    stage.script.set("a", "ttl=0 twice");
    assert_eq!(stage.get("a").await.as_deref(), Some("ttl=0 twice"));
    stage.check().await;
}

#[tokio::test]
async fn an_absence_has_nothing_to_say() {
    let stage = stage_with(|builder| builder.decide(|_| panic!("asked about nothing")));
    assert_eq!(stage.get("a").await, None);
    assert_eq!(stage.outcome("a").await.freshness, Freshness::Absent);
    stage.check().await;
}

#[tokio::test]
async fn what_was_made_stale_and_may_not_be_served_bars_no_older_version() {
    for window in [Duration::ZERO, TTL] {
        let stage = stage_with(|builder| builder.stale_while_revalidate(window));
        stage.script.set_row("a", row(5));
        stage.get("a").await;
        stage.script.set_row("a", row(4));
        stage.namespace.expire("a").await.unwrap();
        let (value, outcome) = stage.namespace.get_with_outcome("a").await.unwrap();
        assert_eq!(text(&value.unwrap()), "version 4", "a stale value, and no `stale_if_error`: {outcome:?}");
        assert_eq!((outcome.tier, outcome.freshness), (Tier::Source, Freshness::Fresh));
        assert_eq!(stage.outcome("a").await.tier, Tier::Memory, "it was not kept");
        stage.check().await;
    }
}

#[tokio::test]
async fn a_newer_version_is_told_by_the_window_that_it_is_served_by() {
    for (window, why) in [(2 * TTL, Why::Revalidating), (TTL, Why::SourceFailed)] {
        let stage = stage_with(|builder| builder.stale_while_revalidate(window).stale_if_error(2 * TTL));
        stage.script.set_row("a", row(5));
        stage.get("a").await;
        stage.script.set_row("a", row(4));
        stage.clock.advance(2 * TTL + SECOND);
        let read = stage.namespace.read_fresh(b"k:a").await.unwrap();
        assert_eq!(text(read.value.unwrap().as_blob().unwrap()), "version 5");
        let outcome = read.outcome;
        assert_eq!((outcome.tier, outcome.freshness), (Tier::Memory, Freshness::Stale(why)));
        assert_eq!((outcome.fresh_for, outcome.stale_for), (Duration::ZERO, TTL + SECOND));
        stage.check().await;
    }
}

#[tokio::test]
async fn a_newer_version_whose_time_ends_on_the_way_to_its_reader_is_not_called_stale() {
    let stage = stage();
    stage.script.set_row("a", row(5));
    stage.get("a").await;
    stage.script.set_row("a", row(4));
    stage.script.hold();
    stage.clock.advance(TTL - Duration::from_millis(2));
    // The first waits for one load, the others for the next; a millisecond passes as each has its answer.
    let readers = [(); 3].map(|()| {
        let (namespace, clock) = (stage.namespace.clone(), stage.clock.clone());
        tokio::spawn(async move {
            let read = namespace.read_fresh(b"k:a").await.unwrap();
            clock.advance(Duration::from_millis(1));
            read
        })
    });
    for _ in 0..2 {
        stage.script.arrived().await;
        stage.settle().await;
        stage.script.let_go();
    }
    for reader in readers {
        let read = reader.await.unwrap();
        assert_eq!(text(read.value.unwrap().as_blob().unwrap()), "version 5");
        assert_eq!(read.outcome.freshness, Freshness::Fresh, "no window was declared");
    }
    assert_eq!(stage.script.loads(), 3);
    stage.script.stop_holding();
    stage.check().await;
}

#[tokio::test]
async fn an_older_version_that_has_expired_on_its_way_leaves_the_newer() {
    let stage = stage();
    stage.script.set_row("a", row(5));
    stage.get("a").await;
    stage.script.set_row("a", row(4));
    stage.script.value_ttl(Duration::ZERO);
    assert_eq!(fresh(&stage).await, "version 5");
    assert!(stage.holds("a"), "an older answer took the newer version with it");
    // A newer one that is not to be stored takes the older with it.
    stage.script.set_row("a", row(6));
    assert_eq!(fresh(&stage).await, "version 6");
    assert!(!stage.holds("a"));
    stage.check().await;
}
