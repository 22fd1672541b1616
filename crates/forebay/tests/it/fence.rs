//! No stale set (promise P1): what an invalidation or a write overtakes is never stored, and never joined by a later reader.

use crate::scripted::{Stage, stage, stage_with, text};
use forebay::{Blob, Error, Value, Writes};

type Reader = tokio::task::JoinHandle<Option<String>>;

/// A reader whose load has read its row and is held.
async fn reader_in_flight(stage: &Stage) -> Reader {
    let namespace = stage.namespace.clone();
    let reader = tokio::spawn(async move { namespace.get("a").await.unwrap().map(|blob| text(&blob)) });
    stage.script.arrived().await;
    reader
}

#[tokio::test]
async fn a_load_that_an_invalidation_overtakes_is_not_stored() {
    let stage = stage();
    stage.script.set("a", "old");
    stage.script.hold();
    let before = reader_in_flight(&stage).await;
    stage.script.set("a", "new");
    stage.namespace.invalidate("a").await.unwrap();

    stage.script.let_go();
    assert_eq!(before.await.unwrap().as_deref(), Some("old"), "who asked before may have what was true then");
    assert!(stage.namespace.peek(b"k:a").is_none(), "a value from before the invalidation was stored");
    assert_eq!(stage.namespace.counts().refused_fills, 1);
    stage.check().await;
}

#[tokio::test]
async fn a_reader_after_an_invalidation_does_not_join_the_older_flight() {
    let stage = stage();
    stage.script.set("a", "old");
    stage.script.hold();
    let before = reader_in_flight(&stage).await;
    stage.script.set("a", "new");
    stage.namespace.invalidate("a").await.unwrap();
    let after = reader_in_flight(&stage).await;

    stage.script.let_go();
    stage.script.let_go();
    assert_eq!(before.await.unwrap().as_deref(), Some("old"));
    assert_eq!(after.await.unwrap().as_deref(), Some("new"));
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
    stage.check().await;
}

#[tokio::test]
async fn an_absence_that_an_invalidation_overtakes_is_not_remembered() {
    let stage = stage();
    stage.script.hold();
    let before = reader_in_flight(&stage).await;
    stage.script.set("a", "new");
    stage.namespace.invalidate("a").await.unwrap();
    stage.script.let_go();
    assert_eq!(before.await.unwrap(), None);
    assert!(stage.namespace.peek(b"k:a").is_none());
    stage.check().await;
}

#[tokio::test]
async fn an_invalidation_takes_the_stale_copy_too() {
    let stage = stage_with(|builder| builder.stale_if_error(std::time::Duration::from_secs(600)));
    stage.script.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    assert!(stage.namespace.invalidate("a").await.unwrap());
    stage.script.fail(Some(crate::scripted::Failure::Error));
    assert!(stage.namespace.get("a").await.is_err(), "an invalidated value was served on error");
}

#[tokio::test]
async fn a_write_overtakes_the_load_in_flight() {
    let stage = stage_with(|builder| builder.writes(Writes::Cache));
    stage.script.set("a", "row");
    stage.script.hold();
    let before = reader_in_flight(&stage).await;
    stage.namespace.write(b"k:a", Value::from(Blob::opaque("put")), None).unwrap();
    stage.script.let_go();
    assert_eq!(before.await.unwrap().as_deref(), Some("row"));
    assert_eq!(stage.get("a").await.as_deref(), Some("put"));
    stage.check().await;
}

#[tokio::test]
async fn a_namespace_with_a_source_refuses_writes_unless_told_otherwise() {
    let stage = stage();
    let error = stage.namespace.write(b"k:a", Value::from(Blob::opaque("put")), None).unwrap_err();
    assert!(matches!(error, Error::WritesRefused { .. }));
    assert!(error.to_string().contains("\"cache\""), "the error does not name the options: {error}");
}

#[tokio::test]
async fn fresh_reads_share_one_load_that_begins_after_them() {
    let stage = stage();
    stage.script.set("a", "old");
    stage.script.hold();
    let before = reader_in_flight(&stage).await;
    stage.script.set("a", "new");
    let fresh: Vec<Reader> = (0..100)
        .map(|_| {
            let namespace = stage.namespace.clone();
            tokio::spawn(async move { namespace.get_fresh("a").await.unwrap().map(|blob| text(&blob)) })
        })
        .collect();
    tokio::task::yield_now().await;
    stage.script.let_go();
    assert_eq!(before.await.unwrap().as_deref(), Some("old"));
    stage.script.arrived().await;
    stage.script.let_go();
    for reader in fresh {
        assert_eq!(
            reader.await.unwrap().as_deref(),
            Some("new"),
            "a fresh read took what was asked for before it"
        );
    }
    assert_eq!(stage.script.loads(), 2, "fresh reads of one key did not share a load");
    stage.check().await;
}
