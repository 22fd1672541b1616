//! Who listens is told of every change of a value, and of loads that bring something else.

use std::sync::{Arc, Mutex};

use crate::scripted::{Stage, TTL, stage};
use crate::shared::{Cluster, ms};
use forebay::log::SUSPECT_AFTER;
use forebay::observe::{Change, Listener};
use forebay::{Blob, Value, Writes};
use forebay_simulated::Partition;

/// What was told.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

impl Listener for Heard {
    fn changed(&self, keyspace: &str, change: Change<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.lock().unwrap().push(match change {
            Change::Key { namespace, key, by } => format!("{keyspace}/{namespace} {} by {by}", text(key)),
            Change::Loaded { namespace, key, began } => {
                format!("{keyspace}/{namespace} {} loaded at {}", text(key), began.as_ms())
            }
            Change::Prefix { namespace, prefix } => format!("{keyspace}/{namespace} {}*", text(prefix)),
        });
    }
}

impl Heard {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn listen(stage: &Stage) -> (Arc<Heard>, forebay::observe::Listening) {
    let heard = Arc::new(Heard::default());
    let listening = stage.engine.listen(Arc::clone(&heard) as Arc<dyn Listener>);
    (heard, listening)
}

#[tokio::test]
async fn invalidations_are_told_of_keys_and_of_groups() {
    let stage = stage();
    let (heard, listening) = listen(&stage);
    stage.namespace.invalidate("a").await.unwrap();
    assert_eq!(heard.take(), ["default/things k:a by 0"]);
    stage.namespace.expire("a").await.unwrap();
    assert_eq!(heard.take(), ["default/things k:a by 0"]);
    stage.namespace.invalidate_prefix("k:a").await.unwrap();
    assert_eq!(heard.take(), ["default/things k:a*"]);
    stage.namespace.invalidate_all().await.unwrap();
    stage.engine.invalidate_tag("t").await.unwrap();
    stage.engine.invalidate_everything().await.unwrap();
    assert_eq!(heard.take(), ["default/things k:*"; 3]);
    drop(listening);
    stage.namespace.invalidate("a").await.unwrap();
    assert_eq!(heard.take(), [""; 0], "nobody listens any more");
    stage.check().await;
}

#[tokio::test]
async fn loads_are_told_that_bring_something_else() {
    let stage = stage();
    let (heard, _listening) = listen(&stage);
    for (row, told) in [
        ("one", &["default/things k:a loaded at 0"][..]),
        ("one", &[]),
        ("two", &["default/things k:a loaded at 6"]),
    ] {
        stage.script.set("a", row);
        stage.namespace.get_fresh("a").await.unwrap();
        assert_eq!(heard.take(), told, "{row}");
        stage.clock.advance(std::time::Duration::from_millis(3));
    }
    stage.clock.advance(TTL * 3);
    stage.get("a").await;
    assert_eq!(heard.take().len(), 1, "nobody knows what was there before");
    stage.check().await;
}

#[tokio::test]
async fn writes_are_told_with_who_made_them() {
    let stage = stage();
    let kept = stage.engine.namespace::<Blob>("kept").key("kept:{id}").ttl(TTL).writes(Writes::Cache);
    let kept = kept.build().unwrap();
    let (heard, _listening) = listen(&stage);
    kept.write(b"kept:a", Value::from(Blob::opaque("1")), None).unwrap();
    assert_eq!(heard.take(), ["default/kept kept:a by 0"]);
    assert!(kept.end_after(b"kept:a", TTL / 2));
    assert_eq!(heard.take(), ["default/kept kept:a by 0"], "it ends at another time");
    let mut change = kept.begin_change(&[b"kept:a", b"kept:b"]).await.unwrap();
    change.by(7);
    change.slots()[1].replace(Value::from(Blob::opaque("2")));
    assert_eq!(heard.take(), [""; 0], "nothing is done yet");
    change.commit().await.unwrap();
    assert_eq!(heard.take(), ["default/kept kept:b by 7"], "what was only seen did not change");
    stage.check().await;
}

/// What was read before is suspect once the log is silent, and so is what is read until it is heard again.
#[tokio::test]
async fn an_instance_out_of_touch_tells_that_any_copy_may_be_another() {
    for partition in [Partition::Refused, Partition::Requests, Partition::Answers] {
        let cluster = Cluster::new(11);
        let one = cluster.instance(1);
        let heard = Arc::new(Heard::default());
        let _listening = one.engine.listen(Arc::clone(&heard) as Arc<dyn Listener>);
        cluster
            .run(async {
                // Before the log is heard for the first time it is silent too.
                cluster.pass(ms(500)).await;
                heard.take();
                cluster.pass(ms(3_000)).await;
                assert_eq!(heard.take(), [""; 0], "it is in touch");
                cluster.tier.partition(1, Some(partition));
                cluster.pass(SUSPECT_AFTER + ms(50)).await;
                assert_eq!(heard.take(), ["default/rows k:*"], "{partition:?}");
                cluster.pass(SUSPECT_AFTER).await;
                assert_eq!(heard.take(), ["default/rows k:*"], "{partition:?}: of what was read since");
                cluster.tier.partition(1, None);
                cluster.pass(ms(500)).await;
                heard.take();
                cluster.pass(ms(3_000)).await;
                assert_eq!(heard.take(), [""; 0], "{partition:?}: it is in touch again");
            })
            .await;
    }
}
