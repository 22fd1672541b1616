//! What goes wrong around writes that go behind: code of the user's that panics, journals that are full or slow, a shared tier
//! that takes its time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use forebay::rt::Clock;
use forebay::tier::shared::SharedTier;
use forebay::{Blob, Error, Forebay, SinkError, Writes};

use super::bank::{Act, Bank};
use super::disk::{Disk, Fault};
use forebay_simulated::{Faults, SimulatedTier};

use super::scripted::{LATE, LINGER, OPTIONS, Stage, TTL, begin_on, behind, set_up};

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
            _ => {
                table.lock().unwrap().push(id);
                Ok(())
            }
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

#[tokio::test]
async fn what_is_done_about_a_dead_letter_takes_effect_whoever_waits_for_it() {
    for (drops, goes_away) in [(false, false), (false, true), (true, false), (true, true)] {
        let stage = behind();
        stage.bank.set("a", "old");
        stage.park("a").await;
        stage.bank.heal();
        let id = stage.things.dead_letters().remove(0).id;
        stage.disk.hold();
        let things = stage.things.clone();
        let operator = tokio::spawn(async move {
            if drops { things.drop_dead_letter(id).await } else { things.replay_dead_letter(id).await }
        });
        stage.settle().await;
        if goes_away {
            operator.abort();
        } else {
            stage.pass(LATE).await;
            let unknown = operator.await.unwrap().unwrap_err();
            assert!(matches!(unknown, Error::JournalUnconfirmed { cause: None, .. }), "{unknown}");
        }
        stage.settle().await;
        assert_eq!(stage.get("a").await.as_deref(), Some("bad"), "not known, and seen");
        // The journal may know it by now: what it does not hold cannot be brought back.
        let others = {
            let things = stage.things.clone();
            tokio::spawn(
                async move { (things.replay_dead_letter(id).await, things.drop_dead_letter(id).await) },
            )
        };
        stage.settle().await;
        stage.disk.let_go();
        let (replayed, dropped) = others.await.unwrap();
        assert_eq!((replayed.unwrap(), dropped.unwrap()), (false, false), "{drops} {goes_away}");
        stage.pass(LINGER).await;
        assert!(stage.things.dead_letters().is_empty());
        let now = if drops { "old" } else { "bad" };
        assert_eq!(stage.get("a").await.as_deref(), Some(now));
        assert_eq!(stage.bank.row("a").as_deref(), Some(now));
        stage.set("a", "1").await.unwrap();
        stage.pass(LINGER).await;
        assert_eq!(stage.bank.row("a").as_deref(), Some("1"));
        assert!(stage.disk.holds().pending.is_empty() && stage.disk.holds().dead.is_empty());
        stage.check().await;
    }
}

#[tokio::test]
async fn a_dropped_dead_letter_takes_the_copy_along_that_it_lay_over() {
    let stage = behind();
    stage.bank.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.park("a").await;
    stage.bank.set("a", "newer");
    let id = stage.things.dead_letters().remove(0).id;
    assert!(stage.things.drop_dead_letter(id).await.unwrap());
    assert_eq!(stage.get("a").await.as_deref(), Some("newer"));
    stage.check().await;
}

#[tokio::test]
async fn a_shared_tier_is_told_at_once_of_all_that_a_call_has_applied() {
    let clock = Clock::simulated();
    let tier = SimulatedTier::new(clock.clone(), 1);
    let (disk, bank) = (Disk::new(&clock), Bank::new(&clock));
    let link: Arc<dyn SharedTier> = Arc::new(tier.link(1));
    let engine = Forebay::builder().clock(clock.clone()).shared_tier(link).build().unwrap();
    let stage = begin_on(&clock, &disk, &bank, OPTIONS, engine);
    for _ in 0..20 {
        stage.pass(Duration::from_millis(1)).await;
    }
    tier.set_faults(Faults { delay_ms_max: 10, ..Faults::default() });
    for id in 0..40 {
        stage.set(&format!("k{id}"), "1").await.unwrap();
    }
    // One exchange: a way there and one back.
    for _ in 0..LINGER.as_millis() + 25 {
        stage.pass(Duration::from_millis(1)).await;
    }
    assert_eq!(bank.calls().len(), 1);
    assert_eq!(stage.things.pending_writes().writes, 0);
}

#[tokio::test]
async fn namespaces_are_flushed_together() {
    let stuck = behind();
    stuck.bank.hold();
    let (disk, bank) = (Disk::new(&stuck.clock), Bank::new(&stuck.clock));
    let other = stuck.engine.keyspace("other");
    let options = forebay::BehindOptions { linger: LATE, ..OPTIONS };
    let other = begin_on(&stuck.clock, &disk, &bank, options, other);
    stuck.set("a", "1").await.unwrap();
    other.set("a", "1").await.unwrap();
    let engine = stuck.engine.clone();
    let flush = tokio::spawn(async move { engine.flush_writes(LATE / 2).await });
    stuck.settle().await;
    assert_eq!(bank.effects("a"), ["1"], "it waited for another namespace");
    // No longer than the sink is waited for: it is not asked again, which would take the clock.
    stuck.pass(LATE / 2).await;
    assert!(!flush.await.unwrap(), "one of them was not flushed");
    stuck.bank.let_go();
    assert!(stuck.engine.flush_writes(LATE).await);
}

#[tokio::test]
async fn what_follows_another_write_of_its_key_waits_for_a_journal_that_works() {
    let stage = behind();
    stage.bank.hold();
    for id in ["a", "b"] {
        stage.set(id, "1").await.unwrap();
    }
    stage.pass(LINGER).await;
    stage.set("a", "2").await.unwrap();
    stage.disk.next(Fault::SyncFails);
    stage.set("c", "1").await.unwrap_err();
    assert_eq!(stage.things.pending_writes().held_up, 0);
    stage.bank.let_go();
    stage.pass(LATE).await;
    let pending = stage.things.pending_writes();
    assert_eq!((pending.writes, pending.held_up), (1, 1));
    assert_eq!((stage.bank.effects("a"), stage.get("a").await.as_deref()), (vec!["1".into()], Some("2")));
    stage.check().await;
    let stage = stage.restarted();
    stage.pass(LINGER).await;
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.effects("a"), ["1", "2"]);
    assert_eq!(stage.things.pending_writes().held_up, 0);
}

#[tokio::test]
async fn the_ttl_of_a_pending_write_counts_from_when_it_was_written() {
    const SECOND: Duration = Duration::from_secs(1);
    let ages = |stage: &Stage| stage.things.peek(b"a").map(|held| (held.age, held.fresh_for));
    for asked in [None, Some(SECOND * 2)] {
        let stage = behind();
        let ttl = asked.unwrap_or(TTL);
        stage.bank.weather(Some(Act::Fail));
        let value = Blob::opaque("1");
        match asked {
            Some(ttl) => stage.things.set_key(b"a", value.into(), Some(ttl)).await.unwrap(),
            None => stage.things.set("a", value, 0).await.unwrap(),
        }
        assert_eq!(ages(&stage), Some((Duration::ZERO, ttl)));
        stage.clock.advance(SECOND);
        assert_eq!(ages(&stage), Some((SECOND, ttl - SECOND)));
        let read = stage.things.read_now(b"a").unwrap().outcome;
        assert_eq!((read.age, read.fresh_for), (SECOND, ttl - SECOND));
        let read = stage.things.read_fresh(b"a").await.unwrap().outcome;
        assert_eq!((read.age, read.fresh_for), (SECOND, ttl - SECOND));
        let stage = stage.restarted();
        // The clock goes on where it was, as the journal's would.
        assert_eq!(ages(&stage), Some((SECOND, ttl - SECOND)), "after a restart");
        stage.bank.heal();
        stage.pass(LINGER).await;
        assert_eq!(stage.bank.effects("a"), ["1"]);
        let left = ages(&stage).map(|(_, left)| left);
        assert_eq!(left, Some(asked.map_or(TTL, |ttl| ttl - SECOND) - LINGER), "of what is held");
        // Past it the write is seen all the same, until it is applied.
        stage.bank.weather(Some(Act::Fail));
        stage.things.set_key(b"b", Blob::opaque("1").into(), Some(SECOND)).await.unwrap();
        stage.pass(SECOND * 9).await;
        assert_eq!(stage.get("b").await.as_deref(), Some("1"));
        assert_eq!(stage.things.peek(b"b").unwrap().fresh_for, Duration::ZERO);
        stage.bank.heal();
        stage.pass(OPTIONS.pause_max).await;
        assert_eq!(stage.bank.effects("b"), ["1"]);
        assert!(stage.things.peek(b"b").is_none(), "held past the TTL that was asked for");
        stage.check().await;
    }
}

#[tokio::test]
async fn a_dead_letter_keeps_a_kibibyte_of_what_the_sink_said_and_tells_what_nobody_knows() {
    #[derive(Debug)]
    struct Long;
    impl fmt::Display for Long {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (0..9_999).try_for_each(|_| f.write_str("Füll"))
        }
    }
    impl std::error::Error for Long {}
    let clock = Clock::simulated();
    let (disk, bank) = (Disk::new(&clock), Bank::new(&clock));
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let sink = forebay::write_one(move |_: String, _: Option<Arc<Blob>>| {
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        async move { Err(if first { SinkError::unknown(Long) } else { SinkError::refused(Long) }) }
    });
    let builder = engine.namespace::<Blob>("things").key("{id}").ttl(TTL).load_timeout(LATE);
    let things = builder.writes(Writes::Behind).sink(sink).behind(disk.open(), OPTIONS).build().unwrap();
    let stage = Stage { clock, disk, bank, engine, things };
    stage.set("a", "1").await.unwrap();
    stage.pass(LINGER).await;
    stage.pass(OPTIONS.pause_max).await;
    stage.set("b", "1").await.unwrap();
    stage.pass(LINGER).await;
    let reasons: Vec<Arc<str>> =
        stage.things.dead_letters().into_iter().map(|letter| letter.reason).collect();
    let [unknown, refused] = reasons.as_slice() else { panic!("{reasons:?}") };
    assert!((1_020..=1_024).contains(&refused.len()), "{} bytes", refused.len());
    assert!(unknown.starts_with(&**refused) && unknown.ends_with("nobody knows whether it was applied)"));
}
