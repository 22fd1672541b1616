//! `expire`: what is held is stale from now on. It is loaded anew, and served only where the source fails and the policy
//! allows that.

use std::time::Duration;

use forebay::{Error, Freshness, Tier, Why};

use crate::scripted::{Failure, Row, Stage, TTL, stage, stage_with, text};

/// The ways to make `k:a` stale, whose row belongs to `group`.
#[derive(Clone, Copy, Debug)]
enum Reach {
    Key,
    Tag,
    Prefix,
    Namespace,
    Keyspace,
}

impl Reach {
    const ALL: [Self; 5] = [Self::Key, Self::Tag, Self::Prefix, Self::Namespace, Self::Keyspace];

    async fn expire(self, stage: &Stage) {
        match self {
            Self::Key => {
                stage.namespace.expire("a").await.unwrap();
            }
            Self::Tag => stage.engine.expire_tag("group").await.unwrap(),
            Self::Prefix => stage.namespace.expire_prefix("k:a").await.unwrap(),
            Self::Namespace => stage.namespace.expire_all().await.unwrap(),
            Self::Keyspace => stage.engine.expire_everything().await.unwrap(),
        }
    }
}

fn in_group(text: &str) -> Row {
    Row::new(text).tags(&["group"])
}

#[tokio::test]
async fn the_next_read_loads_and_what_it_brings_is_fresh() {
    for reach in Reach::ALL {
        // No stale window lets a reader have what was made stale.
        let stage = stage_with(|builder| builder.stale_while_revalidate(TTL).stale_if_error(TTL));
        stage.script.set_row("a", in_group("old"));
        stage.get("a").await;
        stage.script.set_row("a", in_group("new"));
        reach.expire(&stage).await;
        assert_eq!(stage.namespace.peek(b"k:a").unwrap().fresh_for, Duration::ZERO, "{reach:?}");
        assert!(stage.namespace.read_now(b"k:a").is_none(), "{reach:?}: served without a load");
        assert_eq!(stage.get("a").await.as_deref(), Some("new"), "{reach:?}");
        let outcome = stage.outcome("a").await;
        assert_eq!((outcome.tier, outcome.freshness), (Tier::Memory, Freshness::Fresh), "{reach:?}");
        assert_eq!(stage.script.loads(), 2, "{reach:?}");
        stage.check().await;
    }
}

#[tokio::test]
async fn a_failing_source_leaves_the_old_value_where_the_policy_says_so() {
    for reach in Reach::ALL {
        let stage = stage_with(|builder| builder.stale_if_error(TTL));
        stage.script.set_row("a", in_group("old"));
        stage.get("a").await;
        stage.clock.advance(Duration::from_secs(1));
        reach.expire(&stage).await;
        stage.script.fail(Some(Failure::Error));
        let (value, outcome) = stage.namespace.get_with_outcome("a").await.unwrap();
        assert_eq!(text(&value.unwrap()), "old", "{reach:?}");
        assert_eq!(outcome.freshness, Freshness::Stale(Why::SourceFailed), "{reach:?}");
        assert_eq!(outcome.age, Duration::from_secs(1), "{reach:?}");
        assert_eq!(stage.script.loads(), 2, "{reach:?}: the source was not asked");
        stage.clock.advance(2 * TTL);
        assert!(stage.namespace.get("a").await.is_err(), "{reach:?}: served past its window");
        stage.check().await;
    }
}

#[tokio::test]
async fn without_a_window_a_failing_source_fails_the_read() {
    for reach in Reach::ALL {
        let stage = stage();
        stage.script.set_row("a", in_group("old"));
        stage.get("a").await;
        reach.expire(&stage).await;
        stage.script.fail(Some(Failure::Error));
        let error = stage.namespace.get("a").await.unwrap_err();
        assert!(matches!(error, Error::Source { .. }), "{reach:?}: {error}");
        stage.check().await;
    }
}

#[tokio::test]
async fn the_fill_of_a_load_in_flight_does_not_undo_it() {
    for reach in Reach::ALL {
        let stage = stage_with(|builder| builder.stale_if_error(TTL));
        stage.script.set_row("a", in_group("oldest"));
        stage.get("a").await;
        stage.script.set_row("a", in_group("old"));
        stage.script.hold();
        let namespace = stage.namespace.clone();
        let before = tokio::spawn(async move { namespace.get_fresh("a").await.unwrap() });
        stage.script.arrived().await;
        stage.script.set_row("a", in_group("new"));
        reach.expire(&stage).await;
        let after = stage.reader("a");
        stage.settle().await;
        stage.script.stop_holding();
        assert_eq!(text(&before.await.unwrap().unwrap()), "old", "{reach:?}");
        assert_eq!(after.await.unwrap().unwrap().as_deref(), Some("new"), "{reach:?}");
        assert_eq!(stage.get("a").await.as_deref(), Some("new"), "{reach:?}: what was made stale came back");
        assert_eq!(stage.script.loads(), 3, "{reach:?}");
        stage.check().await;
    }
}

#[tokio::test]
async fn a_load_that_it_overtakes_is_not_stored() {
    for reach in Reach::ALL {
        let stage = stage();
        stage.script.set_row("a", in_group("old"));
        stage.script.hold();
        let before = stage.reader("a");
        stage.script.arrived().await;
        stage.script.set_row("a", in_group("new"));
        reach.expire(&stage).await;
        stage.script.stop_holding();
        assert_eq!(before.await.unwrap().unwrap().as_deref(), Some("old"), "{reach:?}");
        assert!(!stage.holds("a"), "{reach:?}");
        assert_eq!(stage.get("a").await.as_deref(), Some("new"), "{reach:?}");
        stage.check().await;
    }
}

#[tokio::test]
async fn an_absence_is_asked_for_again() {
    for reach in Reach::ALL {
        let stage = stage_with(|builder| builder.stale_if_error(TTL));
        assert_eq!(stage.get("a").await, None);
        stage.script.set_row("a", in_group("new"));
        reach.expire(&stage).await;
        stage.script.fail(Some(Failure::Error));
        assert!(stage.namespace.get("a").await.is_err(), "{reach:?}: a stale absence was served");
        stage.script.fail(None);
        assert_eq!(stage.get("a").await.as_deref(), Some("new"), "{reach:?}");
        stage.check().await;
    }
}

#[tokio::test]
async fn it_tells_whether_anything_was_held() {
    let stage = stage();
    stage.script.set("a", "1");
    assert!(!stage.namespace.expire("a").await.unwrap());
    stage.get("a").await;
    assert!(stage.namespace.expire("a").await.unwrap());
    assert!(stage.namespace.expire_copy(b"k:a"));
    assert!(!stage.namespace.expire_copy(b"k:b"));
    assert!(!stage.namespace.expire_copy(b"x:a"), "not even a key");
    stage.check().await;
}

#[tokio::test]
async fn the_stronger_of_two_records_counts() {
    let stage = stage_with(|builder| builder.stale_if_error(TTL));
    stage.script.set_row("a", in_group("old"));
    stage.get("a").await;
    stage.namespace.invalidate_all().await.unwrap();
    stage.engine.expire_tag("group").await.unwrap();
    stage.script.fail(Some(Failure::Error));
    assert!(stage.namespace.get("a").await.is_err(), "what was invalidated was served as merely stale");
    stage.check().await;
}
