//! What goes wrong around writes that go behind: code of the user's that panics, journals that are full or slow, a shared tier
//! that takes its time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use forebay::rt::Clock;
use forebay::{Blob, Error, Forebay, SinkError, Writes};

use super::bank::Bank;
use super::disk::Disk;
use super::scripted::{LATE, LINGER, OPTIONS, Stage, TTL, behind, set_up};

#[tokio::test]
async fn a_decision_that_panics_costs_a_copy_and_no_write() {
    let clock = Clock::simulated();
    let (disk, bank) = (Disk::new(&clock), Bank::new(&clock));
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    let panics = |value: &Blob| -> forebay::Decided {
        assert!(value.bytes() != "1", "a panic that is meant to be");
        forebay::Decided::default()
    };
    let things = set_up(&engine, &disk, &bank, OPTIONS).decide(panics).build().unwrap();
    let stage = Stage { clock, disk, bank, engine, things };
    stage.set("a", "1").await.unwrap();
    stage.set("b", "2").await.unwrap();
    stage.pass(LINGER).await;
    assert_eq!((stage.bank.effects("a"), stage.bank.effects("b")), (vec!["1".into()], vec!["2".into()]));
    assert_eq!(stage.things.pending_writes(), forebay::PendingWrites::default());
    assert!(stage.things.peek(b"a").is_none() && stage.things.peek(b"b").is_some());
    stage.check().await;
}

/// An error that panics when it is told, until it is mended.
#[derive(Debug)]
struct Untold(Arc<AtomicBool>);

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!self.0.load(Ordering::SeqCst), "a panic that is meant to be");
        f.write_str("told")
    }
}

impl std::error::Error for Untold {}

#[tokio::test]
async fn a_panic_after_the_sinks_answer_leaves_no_write_at_the_sink() {
    let clock = Clock::simulated();
    let disk = Disk::new(&clock);
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    let panics = Arc::new(AtomicBool::new(true));
    let applied: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let (table, untold) = (Arc::clone(&applied), Arc::clone(&panics));
    let sink = forebay::write_one(move |id: String, _: Option<Arc<Blob>>| {
        let ended = match untold.load(Ordering::SeqCst) {
            true if id == "b" => Err(SinkError::failed(Untold(Arc::clone(&untold)))),
            _ => Ok(table.lock().unwrap().push(id)),
        };
        async { ended }
    });
    let builder = engine.namespace::<Blob>("things").key("{id}").ttl(TTL).load_timeout(LATE);
    let things = builder.writes(Writes::Behind).sink(sink).behind(disk.open(), OPTIONS).build().unwrap();
    let bank = Bank::new(&clock);
    let stage = Stage { clock, disk, bank, engine, things };
    for id in ["a", "b", "c"] {
        stage.set(id, "1").await.unwrap();
    }
    stage.pass(LINGER).await;
    assert!(stage.things.pending_writes().writes > 0);
    panics.store(false, Ordering::SeqCst);
    for _ in 0..4 {
        stage.pass(OPTIONS.pause_max).await;
    }
    assert_eq!(stage.things.pending_writes(), forebay::PendingWrites::default());
    assert!(applied.lock().unwrap().iter().any(|id| id == "b"));
    stage.check().await;
}

#[tokio::test]
async fn a_full_journal_is_told_what_was_settled_however_many_want_to_write() {
    const SYNC: Duration = Duration::from_millis(5);
    let stage = behind();
    stage.disk.latency(SYNC);
    stage.disk.limit_bytes(Some(140));
    let first = [stage.writer("a", "1"), stage.writer("b", "1")];
    stage.pass(SYNC).await;
    stage.pass(SYNC).await;
    for writer in first {
        writer.await.unwrap().unwrap();
    }
    let taken = Arc::new(AtomicU64::new(0));
    let writers = ["x", "y", "z"].map(|id| {
        let (things, taken) = (stage.things.clone(), Arc::clone(&taken));
        tokio::spawn(async move {
            loop {
                match things.set(id, Blob::opaque("1"), 0).await {
                    Ok(()) => drop(taken.fetch_add(1, Ordering::SeqCst)),
                    Err(error) => assert!(matches!(error, Error::QueueFull { .. }), "{error}"),
                }
                tokio::task::yield_now().await;
            }
        })
    });
    for _ in 0..100 {
        stage.pass(SYNC).await;
    }
    for writer in writers {
        writer.abort();
    }
    assert_eq!((stage.bank.effects("a"), stage.bank.effects("b")), (vec!["1".into()], vec!["1".into()]));
    assert!(taken.load(Ordering::SeqCst) > 10, "{} writes were taken", taken.load(Ordering::SeqCst));
    for _ in 0..10 {
        stage.pass(SYNC * 2).await;
    }
    assert!(stage.things.flush_writes(LATE).await);
    assert!(stage.disk.holds().pending.is_empty());
    stage.check().await;
}
