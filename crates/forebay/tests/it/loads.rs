//! One load for a key however many ask (promise P2), and every way that a load can end.

use std::time::Duration;

use forebay::error::Lost;
use forebay::{Error, Fault, Freshness, Tier};

use crate::scripted::{Failure, Stage, stage, stage_with};

/// Starts `readers` reads of `k:a` and waits until their one load is held by the source.
async fn herd(stage: &Stage, readers: usize) -> Vec<tokio::task::JoinHandle<Result<bool, Error>>> {
    stage.script.hold();
    let herd = (0..readers)
        .map(|_| {
            let namespace = stage.namespace.clone();
            tokio::spawn(async move { namespace.get("a").await.map(|value| value.is_some()) })
        })
        .collect();
    stage.script.arrived().await;
    // On this one-threaded runtime every reader has run up to its wait before the load reached its source.
    herd
}

#[tokio::test]
async fn ten_thousand_readers_of_a_cold_key_make_one_load() {
    let stage = stage();
    stage.script.set("a", "1");
    let herd = herd(&stage, 10_000).await;
    stage.script.let_go();
    for reader in herd {
        assert!(reader.await.unwrap().unwrap());
    }
    assert_eq!(stage.script.loads(), 1);
    stage.check().await;
}

#[tokio::test]
async fn an_error_of_the_source_reaches_every_waiter_and_is_not_remembered() {
    let stage = stage();
    stage.script.set("a", "1");
    stage.script.fail(Some(Failure::Error));
    let herd = herd(&stage, 100).await;
    stage.script.let_go();
    for reader in herd {
        let error = reader.await.unwrap().unwrap_err();
        assert_eq!((error.fault(), error.may_retry()), (Fault::Source, true));
        assert!(!error.to_string().contains("script"), "the source's words reached the caller: {error}");
    }
    assert_eq!(stage.namespace.counts().errors, 100);
    stage.script.fail(None);
    let next = tokio::spawn({
        let namespace = stage.namespace.clone();
        async move { namespace.get("a").await }
    });
    stage.script.arrived().await;
    stage.script.let_go();
    assert!(next.await.unwrap().unwrap().is_some());
    stage.check().await;
}

#[tokio::test]
async fn a_panicking_source_releases_its_waiters() {
    let stage = stage();
    stage.script.fail(Some(Failure::Panic));
    let herd = herd(&stage, 100).await;
    stage.script.let_go();
    for reader in herd {
        let error = reader.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::LoadLost { how: Lost::Panicked, .. }), "{error}");
    }
    stage.check().await;
}

#[tokio::test]
async fn a_source_that_never_answers_times_out() {
    let stage = stage_with(|builder| builder.load_timeout(Duration::from_secs(2)));
    let herd = herd(&stage, 100).await;
    stage.clock.advance(Duration::from_millis(1999));
    tokio::task::yield_now().await;
    assert!(herd.iter().all(|reader| !reader.is_finished()), "timed out too early");
    stage.clock.advance(Duration::from_millis(1));
    for reader in herd {
        let error = reader.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Timeout { after, .. } if after == Duration::from_secs(2)), "{error}");
    }
    stage.check().await;
}

#[tokio::test]
async fn a_reader_that_goes_away_does_not_take_the_load_with_it() {
    let stage = stage();
    stage.script.set("a", "1");
    let herd = herd(&stage, 3).await;
    // The first reader started the load.
    herd[0].abort();
    stage.script.let_go();
    let mut answered = 0;
    for reader in herd {
        answered += usize::from(reader.await.is_ok_and(|value| value.unwrap()));
    }
    assert_eq!(answered, 2);
    assert_eq!(stage.outcome("a").await.tier, Tier::Memory);
    assert_eq!(stage.script.loads(), 1);
    stage.check().await;
}

#[tokio::test]
async fn a_load_whose_runtime_ends_releases_its_waiters() {
    let home = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let stage = {
        let _inside = home.enter();
        stage()
    };
    let herd = herd(&stage, 10).await;
    home.shutdown_background();
    for reader in herd {
        let error = reader.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::LoadLost { how: Lost::Ended, .. }), "{error}");
    }
}

struct Silent;

impl forebay::Source for Silent {
    fn load<'a>(&'a self, _: &'a str, _: &'a [forebay::LoadKey]) -> forebay::source::Loading<'a> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[tokio::test]
async fn a_source_that_leaves_a_key_out_is_at_fault_and_nothing_is_remembered() {
    let stage = stage_with(|builder| builder.source(Silent));
    let error = stage.namespace.get("a").await.unwrap_err();
    assert_eq!((error.fault(), error.may_retry()), (Fault::Source, false));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("gave 0 answers"));
    assert!(stage.namespace.peek(b"k:a").is_none());
    stage.check().await;
}

#[tokio::test]
async fn many_may_wait_until_the_engine_is_idle() {
    let stage = stage();
    let herd = herd(&stage, 1).await;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let engine = stage.engine.clone();
            tokio::spawn(async move { engine.idle().await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(waiting.iter().all(|one| !one.is_finished()), "idle while a load was in flight");
    stage.script.let_go();
    for one in waiting {
        one.await.unwrap();
    }
    drop(herd);
}

#[tokio::test]
async fn text_that_is_not_canonical_for_its_type_is_absent_without_a_load() {
    let stage = stage_with(|builder| builder.key("k:{id:integer}"));
    for text in ["k:007", "k:-0", "k:x", "k:99999999999999999999"] {
        let read = stage.namespace.read(text.as_bytes()).await.unwrap();
        assert_eq!((read.outcome.tier, read.outcome.freshness), (Tier::Nowhere, Freshness::Absent), "{text}");
    }
    assert_eq!(stage.script.loads(), 0);
}
