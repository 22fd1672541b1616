//! What goes wrong around writes that go behind: code of the user's that panics, journals that are full or slow, a shared tier
//! that takes its time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use forebay::rt::Clock;
use forebay::{Blob, Forebay, SinkError, Writes};

use super::bank::Bank;
use super::disk::Disk;
use super::scripted::{LATE, LINGER, OPTIONS, Stage, TTL, set_up};

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
