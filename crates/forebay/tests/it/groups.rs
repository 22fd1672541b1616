//! Groups: what is invalidated by tag, prefix, namespace or altogether is gone, held or being loaded, and nothing else is.

use forebay::{Blob, Decided, Namespace};

use crate::scripted::{Row, Stage, TTL, Untagged, stage, stage_with, text};

/// The ways to invalidate `k:a`, whose row belongs to `group`, among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Tag,
    Prefix,
    Namespace,
    Keyspace,
}

impl Group {
    const ALL: [Self; 4] = [Self::Tag, Self::Prefix, Self::Namespace, Self::Keyspace];

    async fn invalidate(self, stage: &Stage) {
        match self {
            Self::Tag => stage.engine.invalidate_tag("group").await.unwrap(),
            Self::Prefix => stage.namespace.invalidate_prefix("k:a").await.unwrap(),
            Self::Namespace => stage.namespace.invalidate_all().await.unwrap(),
            Self::Keyspace => stage.engine.invalidate_everything().await.unwrap(),
        }
    }
}

fn in_group(text: &str) -> Row {
    Row::new(text).tags(&["group"])
}

async fn read(namespace: &Namespace<Blob>, id: &str) -> Option<String> {
    namespace.get(id).await.unwrap().map(|blob| text(&blob))
}

#[tokio::test]
async fn what_is_held_is_gone_at_once() {
    for group in Group::ALL {
        let stage = stage();
        stage.script.set_row("a", in_group("old"));
        assert_eq!(stage.get("a").await.as_deref(), Some("old"));
        stage.script.set_row("a", in_group("new"));
        group.invalidate(&stage).await;
        assert!(!stage.holds("a"), "{group:?}");
        assert!(stage.namespace.read_now(b"k:a").is_none(), "{group:?}");
        assert_eq!(stage.get("a").await.as_deref(), Some("new"), "{group:?}");
        assert_eq!(stage.get("a").await.as_deref(), Some("new"), "{group:?}");
        assert_eq!(stage.script.loads(), 2, "{group:?}: what was loaded after it was not kept");
        stage.check().await;
    }
}

#[tokio::test]
async fn what_a_load_brings_that_it_overtakes_is_not_stored_and_a_later_reader_gets_the_new() {
    for group in Group::ALL {
        let stage = stage();
        stage.script.set_row("a", in_group("old"));
        stage.script.hold();
        let before = stage.reader("a");
        stage.script.arrived().await;
        stage.script.set_row("a", in_group("new"));
        group.invalidate(&stage).await;
        let after = stage.reader("a");
        stage.settle().await;

        stage.script.let_go();
        assert_eq!(before.await.unwrap().unwrap().as_deref(), Some("old"), "{group:?}: true when it began");
        stage.script.arrived().await;
        assert!(!stage.holds("a"), "{group:?}: a value from before the invalidation was stored");
        stage.script.let_go();
        assert_eq!(after.await.unwrap().unwrap().as_deref(), Some("new"), "{group:?}");
        assert_eq!((stage.script.loads(), stage.namespace.counts().refused_fills), (2, 1), "{group:?}");
        assert!(stage.holds("a"), "{group:?}");
        stage.check().await;
    }
}

#[tokio::test]
async fn who_asks_for_many_after_it_gets_the_new_of_each() {
    for group in Group::ALL {
        let stage = stage();
        for id in ["a", "ab"] {
            stage.script.set_row(id, in_group("old"));
        }
        stage.script.hold();
        let before = stage.reader("a");
        stage.script.arrived().await;
        for id in ["a", "ab"] {
            stage.script.set_row(id, in_group("new"));
        }
        group.invalidate(&stage).await;
        let namespace = stage.namespace.clone();
        let after = tokio::spawn(async move { namespace.get_many(["a", "ab"]).await.unwrap() });
        stage.settle().await;
        stage.script.stop_holding();
        assert_eq!(before.await.unwrap().unwrap().as_deref(), Some("old"), "{group:?}");
        for value in after.await.unwrap() {
            assert_eq!(text(&value.unwrap()), "new", "{group:?}");
        }
        stage.check().await;
    }
}

#[tokio::test]
async fn a_batch_is_fenced_row_by_row() {
    let stage = stage();
    stage.script.set_row("a", in_group("old"));
    stage.script.set("b", "other");
    stage.script.hold();
    let namespace = stage.namespace.clone();
    let batch = tokio::spawn(async move { namespace.get_many(["a", "b"]).await.unwrap() });
    stage.script.arrived().await;
    Group::Tag.invalidate(&stage).await;
    stage.script.stop_holding();
    assert_eq!(batch.await.unwrap().len(), 2);
    assert!(!stage.holds("a"), "a row from before its tag's invalidation was stored");
    assert!(stage.holds("b"), "a row that has nothing to do with it was not");
    assert_eq!(stage.script.queries(), [vec!["a", "b"]]);
    stage.check().await;
}

#[tokio::test]
async fn a_refresh_is_fenced_like_any_load() {
    for group in Group::ALL {
        let stage = stage_with(|builder| builder.stale_while_revalidate(TTL));
        stage.script.set_row("a", in_group("oldest"));
        stage.get("a").await;
        stage.script.set_row("a", in_group("old"));
        stage.script.hold();
        stage.clock.advance(TTL);
        assert_eq!(stage.get("a").await.as_deref(), Some("oldest"), "the stale value, while a refresh runs");
        stage.settle().await;
        stage.clock.advance(std::time::Duration::from_millis(2));
        stage.script.arrived().await;
        stage.script.set_row("a", in_group("new"));
        group.invalidate(&stage).await;
        stage.script.stop_holding();
        stage.engine.idle().await;
        assert!(!stage.holds("a"), "{group:?}: a refresh brought back what was invalidated");
        assert_eq!(stage.get("a").await.as_deref(), Some("new"), "{group:?}");
        stage.check().await;
    }
}

#[tokio::test]
async fn tags_come_from_the_key_the_value_and_the_source_alike() {
    let by_key = stage_with(|builder| builder.tags(&["fixed", "id:{id}"]));
    let by_value = stage_with(|builder| {
        builder.decide(|blob| Decided { tags: vec![format!("says:{}", text(blob))], ..Decided::default() })
    });
    let by_source = stage();
    by_source.script.set_row("a", Row::new("1").tags(&["one", "two"]));
    for (stage, own, tags) in [
        (by_key, "k", ["fixed", "id:a"]),
        (by_value, "v", ["says:1", "says:1"]),
        (by_source, "s", ["one", "two"]),
    ] {
        for tag in tags {
            if own != "s" {
                stage.script.set("a", "1");
            }
            stage.get("a").await;
            stage.engine.invalidate_tag("id:b").await.unwrap();
            stage.engine.invalidate_tag("another").await.unwrap();
            assert!(stage.holds("a"), "{own}: gone with the tag of another");
            stage.engine.invalidate_tag(tag).await.unwrap();
            assert!(!stage.holds("a"), "{own}: outlived {tag}");
        }
        stage.check().await;
    }
}

#[tokio::test]
async fn a_declared_tag_takes_the_keys_that_share_its_parameter() {
    let stage = stage_with(|builder| builder.key("price:{symbol}:{currency}").tags(&["symbol:{symbol}"]));
    for (symbol, currency) in [("BTC", "EUR"), ("BTC", "USD"), ("ETH", "EUR")] {
        stage.script.set(&format!("{symbol}:{currency}"), "old");
        assert_eq!(stage.get((symbol, currency)).await.as_deref(), Some("old"));
        stage.script.set(&format!("{symbol}:{currency}"), "new");
    }
    stage.engine.invalidate_tag("symbol:BTC").await.unwrap();
    assert_eq!(stage.get(("BTC", "EUR")).await.as_deref(), Some("new"));
    assert_eq!(stage.get(("BTC", "USD")).await.as_deref(), Some("new"));
    assert_eq!(stage.get(("ETH", "EUR")).await.as_deref(), Some("old"));
    stage.check().await;
}

#[tokio::test]
async fn nothing_else_is_touched() {
    for group in Group::ALL {
        let stage = stage();
        let other = stage.engine.keyspace("other");
        let neighbour = stage.beside(&stage.engine, "neighbour", "n:{id}", |builder| builder);
        let far = stage.beside(&other, "things", "k:{id}", |builder| builder);
        stage.script.set_row("a", in_group("old"));
        stage.script.set("b", "old");
        for namespace in [&stage.namespace, &neighbour, &far] {
            read(namespace, "a").await;
            read(namespace, "b").await;
        }
        group.invalidate(&stage).await;
        let held = |namespace: &Namespace<Blob>, key: &str| namespace.peek(key.as_bytes()).is_some();
        // The tag and the keyspace reach the neighbour, a namespace's own groups do not.
        let whole = group == Group::Keyspace;
        assert_eq!(held(&stage.namespace, "k:b"), matches!(group, Group::Tag | Group::Prefix), "{group:?}");
        assert_eq!(held(&neighbour, "n:a"), !whole && group != Group::Tag, "{group:?}");
        assert_eq!(held(&neighbour, "n:b"), !whole, "{group:?}");
        assert!(held(&far, "k:a") && held(&far, "k:b"), "{group:?} reached another keyspace");
        stage.check().await;
    }
}

#[tokio::test]
async fn a_flight_that_it_does_not_concern_is_joined_and_stored() {
    let stage = stage();
    stage.script.set_row("b", Row::new("1").tags(&["its own"]));
    stage.script.hold();
    let before = stage.reader("b");
    stage.script.arrived().await;
    Group::Tag.invalidate(&stage).await;
    Group::Prefix.invalidate(&stage).await;
    let after = stage.reader("b");
    stage.settle().await;
    stage.script.let_go();
    for reader in [before, after] {
        assert_eq!(reader.await.unwrap().unwrap().as_deref(), Some("1"));
    }
    assert_eq!(stage.script.loads(), 1);
    assert!(stage.holds("b"));
    stage.check().await;
}

#[tokio::test]
async fn an_absence_ends_with_whatever_may_concern_it() {
    for group in Group::ALL {
        let stage = stage();
        assert_eq!(stage.get("a").await, None);
        stage.script.set_row("a", in_group("new"));
        assert_eq!(stage.get("a").await, None, "it was not remembered");
        group.invalidate(&stage).await;
        assert_eq!(stage.get("a").await.as_deref(), Some("new"), "{group:?} left the absence");
        stage.check().await;
    }
}

#[tokio::test]
async fn an_absence_that_it_overtakes_is_not_remembered() {
    for group in Group::ALL {
        let stage = stage();
        stage.script.hold();
        let before = stage.reader("a");
        stage.script.arrived().await;
        stage.script.set_row("a", in_group("new"));
        group.invalidate(&stage).await;
        stage.script.stop_holding();
        assert_eq!(before.await.unwrap().unwrap(), None);
        assert!(stage.namespace.peek(b"k:a").is_none(), "{group:?}");
        assert_eq!(stage.get("a").await.as_deref(), Some("new"), "{group:?}");
        stage.check().await;
    }
}

#[tokio::test]
async fn an_absence_stays_where_only_keys_tell_tags() {
    let script = crate::scripted::Script::default();
    let source = Untagged(script.clone());
    let stage = stage_with(|builder| builder.source(source).tags(&["id:{id}"]));
    assert_eq!(stage.get("a").await, None);
    script.set("a", "new");
    stage.engine.invalidate_tag("id:b").await.unwrap();
    assert_eq!(stage.get("a").await, None, "another key's tag ended the absence");
    assert_eq!(script.loads(), 1);
    stage.engine.invalidate_tag("id:a").await.unwrap();
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
    stage.check().await;
}

#[tokio::test]
async fn a_prefix_may_be_shorter_or_longer_than_what_all_keys_begin_with() {
    // Of the keys `key:a`, `key:ab` and `key:b`: those that each prefix leaves.
    let all = ["key:a", "key:ab", "key:b"];
    let long = format!("key:a{}", "b".repeat(300));
    for (prefix, left) in [
        ("", &[][..]),
        ("k", &[]),
        ("key", &[]),
        ("key:", &[]),
        ("key:a", &["key:b"]),
        ("key:ab", &["key:a", "key:b"]),
        ("key:abc", &all),
        (&long, &all),
        ("x", &all),
        ("keys", &all),
        ("a", &all),
    ] {
        let stage = stage_with(|builder| builder.key("key:{id}"));
        for id in ["a", "ab", "b"] {
            stage.script.set(id, "1");
            stage.get(id).await;
        }
        stage.namespace.invalidate_prefix(prefix).await.unwrap();
        let held: Vec<_> =
            all.into_iter().filter(|key| stage.namespace.peek(key.as_bytes()).is_some()).collect();
        assert_eq!(held, left, "after {prefix:?}");
        stage.check().await;
    }
}

#[tokio::test]
async fn a_very_long_prefix_takes_what_begins_with_it() {
    let stage = stage();
    let id = "a".repeat(400);
    stage.script.set(&id, "old");
    stage.get(id.as_str()).await;
    stage.script.set(&id, "new");
    stage.namespace.invalidate_prefix(&format!("k:{}", "a".repeat(390))).await.unwrap();
    assert_eq!(stage.get(id.as_str()).await.as_deref(), Some("new"));
    stage.check().await;
}

#[tokio::test]
async fn a_tag_added_to_a_copy_counts_from_then_on() {
    let stage = stage();
    stage.script.set_row("a", in_group("1"));
    stage.get("a").await;
    stage.engine.invalidate_tag("late").await.unwrap();
    assert!(stage.namespace.tag(b"k:a", &["late", "later"]));
    assert!(stage.holds("a"), "what was invalidated before it had the tag took it");
    assert!(!stage.namespace.tag(b"k:b", &["late"]), "nothing is held");
    assert!(!stage.namespace.tag(b"x:a", &["late"]), "not even a key");
    stage.engine.invalidate_tag("late").await.unwrap();
    assert!(!stage.holds("a"));
    assert!(!stage.namespace.tag(b"k:a", &["late"]), "a copy that is gone took a tag");
    assert!(
        !stage.holds("a") && stage.namespace.read_now(b"k:a").is_none(),
        "a tag brought back what was gone"
    );

    // Beside the tags that it had.
    stage.get("a").await;
    assert!(stage.namespace.tag(b"k:a", &["late"]));
    Group::Tag.invalidate(&stage).await;
    assert!(!stage.holds("a"), "a new tag took the place of an older");
    stage.check().await;
}

#[tokio::test]
async fn more_tags_than_are_remembered_leave_nothing_invalid() {
    const TAGS: usize = 200_000;
    let stage = stage();
    let ids: Vec<String> = (0..TAGS).step_by(100).map(|number| number.to_string()).collect();
    for id in &ids {
        stage.script.set_row(id, Row::new("old").tags(&[&format!("tag:{id}")]));
    }
    for ids in ids.chunks(256) {
        stage.namespace.get_many(ids.iter().map(String::as_str)).await.unwrap();
    }
    stage.script.set_row("late", Row::new("old").tags(&["tag:7"]));
    stage.script.hold();
    let in_flight = stage.reader("late");
    stage.script.arrived().await;
    for number in 0..TAGS {
        stage.engine.invalidate_tag(&format!("tag:{number}")).await.unwrap();
    }
    stage.script.stop_holding();
    in_flight.await.unwrap().unwrap();
    assert!(!stage.holds("late"), "a forgotten tag let a load through");
    let left = ids.iter().filter(|id| stage.holds(id)).count();
    assert_eq!(left, 0, "invalidated values were held after their records were forgotten");

    // What is loaded after is not suspect.
    stage.get("0").await;
    stage.engine.invalidate_tag("yet another").await.unwrap();
    assert!(stage.holds("0"));
    stage.check().await;
}
