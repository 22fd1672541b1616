//! Writes that go behind, step by step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::Clock;
use forebay::tier::shared::SharedTier;
use forebay::value::Hash;
use forebay::{BehindOptions, Blob, Error, Forebay, Journal, Namespace, NamespaceBuilder, Writes};
use forebay_simulated::{Partition, SimulatedTier};

use super::bank::{Act, Bank, GONE};
use super::disk::{Disk, Fault};
use crate::scripted::{WholeHash, text};

pub(super) const TTL: Duration = Duration::from_secs(3);
pub(super) const LINGER: Duration = Duration::from_millis(10);
pub(super) const LATE: Duration = Duration::from_secs(5);

pub(super) const OPTIONS: BehindOptions = BehindOptions {
    batch_max: 256,
    linger: LINGER,
    calls: 4,
    writes_max: 100,
    bytes_max: 1024 * 1024,
    retries: 3,
    pause_first: Duration::from_millis(100),
    pause_max: Duration::from_millis(100),
};

/// One process, its disk and its table.
pub(super) struct Stage {
    pub(super) clock: Clock,
    pub(super) disk: Disk,
    pub(super) bank: Bank,
    pub(super) engine: Forebay,
    pub(super) things: Namespace<Blob>,
}

pub(super) type Set = NamespaceBuilder<Blob>;
pub(super) type Writer = tokio::task::JoinHandle<Result<(), Error>>;

pub(super) fn behind() -> Stage {
    behind_with(OPTIONS)
}

pub(super) fn behind_with(options: BehindOptions) -> Stage {
    let clock = Clock::simulated();
    begin(&clock, &Disk::new(&clock), &Bank::new(&clock), options)
}

/// A process that begins on `disk`, whatever ran there before.
pub(super) fn begin(clock: &Clock, disk: &Disk, bank: &Bank, options: BehindOptions) -> Stage {
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    begin_on(clock, disk, bank, options, engine)
}

pub(super) fn begin_on(
    clock: &Clock,
    disk: &Disk,
    bank: &Bank,
    options: BehindOptions,
    engine: Forebay,
) -> Stage {
    let things = set_up(&engine, disk, bank, options).build().unwrap();
    Stage { clock: clock.clone(), disk: disk.clone(), bank: bank.clone(), engine, things }
}

pub(super) fn set_up(engine: &Forebay, disk: &Disk, bank: &Bank, options: BehindOptions) -> Set {
    engine
        .namespace("things")
        .key("{id}")
        .ttl(TTL)
        .load_timeout(LATE)
        .source(bank.clone())
        .writes(Writes::Behind)
        .sink(bank.clone())
        .behind(disk.open(), options)
}

impl Stage {
    pub(super) async fn set(&self, id: &str, value: &str) -> Result<(), Error> {
        self.things.set(id, Blob::opaque(Bytes::copy_from_slice(value.as_bytes())), 0).await
    }

    pub(super) fn writer(&self, id: &'static str, value: &'static str) -> Writer {
        let things = self.things.clone();
        tokio::spawn(async move { things.set(id, Blob::opaque(value), 0).await })
    }

    pub(super) async fn get(&self, id: &str) -> Option<String> {
        self.things.get(id).await.unwrap().map(|blob| text(&blob))
    }

    pub(super) async fn settle(&self) {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn pass(&self, span: Duration) {
        self.settle().await;
        self.clock.advance(span);
        self.settle().await;
    }

    /// The process begins anew, after a crash that nothing of a commit survives.
    pub(super) fn restarted(self) -> Self {
        let Self { clock, disk, bank, .. } = self;
        disk.crash(0);
        begin(&clock, &disk, &bank, OPTIONS)
    }

    pub(super) async fn check(&self) {
        self.engine.idle().await;
        self.engine.validate().unwrap();
    }

    /// Parks a write of `id` whose value the table refuses.
    pub(super) async fn park(&self, id: &str) {
        self.bank.poison("bad");
        self.set(id, "bad").await.unwrap();
        self.pass(LINGER).await;
        assert_eq!(self.things.dead_letters().len(), 1);
    }
}

#[tokio::test]
async fn a_write_is_told_once_it_is_durable_and_applied_later() {
    let stage = behind();
    stage.bank.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.disk.hold();
    let writer = stage.writer("a", "new");
    stage.settle().await;
    assert!(!writer.is_finished(), "told before it was durable");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"), "seen before it was durable");
    stage.disk.let_go();
    writer.await.unwrap().unwrap();
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
    assert_eq!(stage.bank.row("a").as_deref(), Some("old"), "it did not wait for company");
    assert_eq!(stage.things.pending_writes().writes, 1);
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.row("a").as_deref(), Some("new"));
    assert_eq!(stage.things.pending_writes(), forebay::PendingWrites::default());
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
    assert_eq!(stage.bank.loads(), 1, "what was applied was not held");
    assert!(stage.disk.holds().pending.is_empty(), "the journal was not told");
    stage.things.delete("a").await.unwrap();
    assert_eq!(stage.get("a").await, None);
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.row("a"), None);
    let counts = stage.things.counts();
    assert_eq!((counts.writes_journaled, counts.behind_applied), (2, 2));
    stage.check().await;
}

#[tokio::test]
async fn readers_see_what_is_pending_whatever_becomes_of_the_copy() {
    let stage = behind();
    stage.bank.set("a", "old");
    stage.bank.set("b", "old");
    stage.get("a").await;
    stage.bank.weather(Some(Act::Fail));
    stage.set("a", "new").await.unwrap();
    stage.things.delete("b").await.unwrap();
    for what in ["nothing", "key", "expire", "copy", "all", "time"] {
        match what {
            "key" => drop(stage.things.invalidate("a").await.unwrap()),
            "expire" => drop(stage.things.expire("a").await.unwrap()),
            "copy" => drop(stage.things.drop_copy(b"a")),
            "all" => stage.things.invalidate_all().await.unwrap(),
            "time" => stage.clock.advance(TTL * 2),
            _ => {}
        }
        assert_eq!(stage.get("a").await.as_deref(), Some("new"), "{what}");
        assert_eq!(stage.get("b").await, None, "{what}");
        let many = stage.things.get_many(["a", "b"]).await.unwrap();
        assert_eq!((text(many[0].as_ref().unwrap()), &many[1]), ("new".into(), &None), "{what}");
        let fresh = stage.things.get_fresh("a").await.unwrap();
        assert_eq!(fresh.map(|blob| text(&blob)).as_deref(), Some("new"), "{what}");
        assert!(stage.things.get_fresh("b").await.unwrap().is_none(), "{what}");
        assert!(stage.things.read_now(b"a").is_some_and(|read| read.value.is_some()), "{what}");
        assert!(stage.things.peek(b"a").is_some_and(|held| !held.absent), "{what}");
        assert!(stage.things.peek(b"b").is_some_and(|held| held.absent), "{what}");
    }
    stage.check().await;
}

#[tokio::test]
async fn writes_of_one_key_go_in_order_and_the_last_takes_the_place_of_those_between() {
    let stage = behind();
    stage.bank.hold();
    stage.set("a", "1").await.unwrap();
    stage.pass(LINGER).await;
    for value in ["2", "3", "4"] {
        stage.set("a", value).await.unwrap();
        assert_eq!(stage.get("a").await.as_deref(), Some(value));
    }
    stage.pass(LINGER * 2).await;
    assert_eq!(stage.bank.calls(), [["a=1"]], "a second write of a key went beside the first");
    stage.bank.let_go();
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.calls(), [["a=1"], ["a=4"]]);
    assert_eq!(stage.things.counts().behind_overtaken, 2);
    // Those that wait for company are overtaken too.
    for value in ["5", "6", "7"] {
        stage.set("a", value).await.unwrap();
    }
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.effects("a"), ["1", "4", "7"]);
    assert!(stage.disk.holds().pending.is_empty());
    stage.check().await;
}

/// Otherwise a crash could find both in the journal, the later one at the sink, and take it for one that never was there.
#[tokio::test]
async fn a_write_waits_for_the_settlement_of_the_one_before_it() {
    let stage = behind_with(BehindOptions { linger: Duration::ZERO, ..OPTIONS });
    stage.bank.hold();
    stage.set("a", "1").await.unwrap();
    stage.settle().await;
    // It is on its way to the journal when the one before it is applied.
    stage.disk.hold();
    let writer = stage.writer("a", "2");
    stage.settle().await;
    stage.bank.let_go();
    stage.settle().await;
    assert_eq!(stage.things.pending_writes().writes, 1);
    stage.disk.latency(LINGER);
    stage.disk.let_go();
    writer.await.unwrap().unwrap();
    stage.settle().await;
    assert_eq!(stage.bank.calls(), [["a=1"]], "it went before the earlier one was durably settled");
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.calls(), [["a=1"], ["a=2"]]);
    stage.pass(LINGER).await;
    stage.check().await;
}

#[tokio::test]
async fn writes_of_many_keys_go_together_and_a_full_batch_at_once() {
    let stage = behind_with(BehindOptions { batch_max: 3, ..OPTIONS });
    for id in ["a", "b", "c", "d"] {
        stage.set(id, "1").await.unwrap();
    }
    stage.settle().await;
    assert_eq!(stage.bank.calls(), [vec!["a=1", "b=1", "c=1"]]);
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.calls(), [vec!["a=1", "b=1", "c=1"], vec!["d=1"]]);
    stage.check().await;
}

#[tokio::test]
async fn what_fails_together_goes_alone_afterwards() {
    for act in [Act::Fail, Act::LoseAnswer, Act::LoseCall, Act::Panic, Act::Hang] {
        let stage = behind();
        for id in ["a", "b", "c"] {
            stage.set(id, "1").await.unwrap();
        }
        stage.bank.next(act);
        stage.pass(LINGER).await;
        stage.pass(LATE).await;
        for _ in 0..3 {
            stage.pass(OPTIONS.pause_max).await;
        }
        let lengths: Vec<usize> = stage.bank.calls().iter().map(Vec::len).collect();
        assert_eq!(lengths, [3, 1, 1, 1], "{act:?}");
        let ids = stage.bank.ids();
        let first: std::collections::BTreeSet<_> = ids[..3].iter().collect();
        assert_eq!(first, ids[3..].iter().collect(), "{act:?}: another attempt had another id");
        for id in ["a", "b", "c"] {
            assert_eq!(stage.bank.effects(id), ["1"], "{act:?}");
        }
        assert_eq!(stage.things.counts().behind_retried, 3, "{act:?}");
        stage.check().await;
    }
}

#[tokio::test]
async fn one_that_fails_beside_others_holds_up_its_own_key_only() {
    let stage = behind();
    stage.bank.next(Act::First);
    stage.set("a", "1").await.unwrap();
    stage.set("b", "1").await.unwrap();
    stage.pass(LINGER).await;
    assert_eq!((stage.bank.row("a").as_deref(), stage.bank.row("b")), (Some("1"), None));
    stage.set("c", "1").await.unwrap();
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.row("c").as_deref(), Some("1"), "the sink was taken to be down");
    stage.pass(OPTIONS.pause_max).await;
    assert_eq!(stage.bank.row("b").as_deref(), Some("1"));
    stage.check().await;
}

#[tokio::test]
async fn what_nobody_knows_of_goes_again_before_what_came_after_it() {
    let stage = behind();
    stage.bank.next(Act::LoseAnswer);
    stage.set("a", "1").await.unwrap();
    stage.pass(LINGER).await;
    stage.set("a", "2").await.unwrap();
    stage.set("a", "3").await.unwrap();
    stage.pass(OPTIONS.pause_max).await;
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.calls(), [["a=1"], ["a=1"], ["a=3"]]);
    let ids = stage.bank.ids();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(stage.bank.effects("a"), ["1", "3"]);
    // Of one that the sink has not done, a later one takes the place.
    stage.bank.next(Act::Fail);
    stage.set("a", "4").await.unwrap();
    stage.pass(LINGER).await;
    stage.set("a", "5").await.unwrap();
    stage.pass(OPTIONS.pause_max).await;
    assert_eq!(stage.bank.effects("a"), ["1", "3", "5"]);
    stage.check().await;
}

#[tokio::test]
async fn a_sink_that_is_down_for_a_day_is_probed_and_then_has_everything() {
    const MINUTE: Duration = Duration::from_secs(60);
    let stage = behind_with(BehindOptions { writes_max: 100_000, ..BehindOptions::default() });
    let ids: Vec<String> = (0..50).map(|id| format!("k{id}")).collect();
    stage.bank.weather(Some(Act::Fail));
    for id in &ids {
        stage.set(id, "1").await.unwrap();
    }
    for _ in 0..24 * 60 {
        stage.pass(MINUTE).await;
    }
    let asked = stage.bank.calls().len();
    assert!((24 * 60..24 * 60 * 3).contains(&asked), "asked {asked} times in a day");
    assert_eq!(stage.things.pending_writes().writes, 50);
    assert!(stage.things.pending_writes().oldest >= MINUTE * 24 * 60);
    assert_eq!(stage.get("k7").await.as_deref(), Some("1"));
    stage.bank.heal();
    for _ in 0..50 {
        stage.pass(MINUTE).await;
    }
    assert!(ids.iter().all(|id| stage.bank.effects(id) == ["1"]), "not everything was applied");
    assert_eq!(stage.things.dead_letters().len(), 0);
    stage.check().await;
}

#[tokio::test]
async fn what_the_sink_never_takes_is_told_and_neither_journaled_nor_parked() {
    let stage = behind();
    stage.bank.set("a", "old");
    let unfit = stage.set("a", "unfit").await.unwrap_err();
    assert!(matches!(unfit, Error::Unfit { .. }), "{unfit:?}");
    assert!(stage.disk.holds().pending.is_empty(), "it was journaled");
    assert_eq!(stage.things.pending_writes(), forebay::PendingWrites::default());
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    assert_eq!(stage.things.counts().writes_refused, 1);
    // Its key takes further writes.
    stage.set("a", "new").await.unwrap();
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.row("a").as_deref(), Some("new"));
    stage.check().await;
}

#[tokio::test]
async fn a_write_that_the_sink_refuses_parks_its_key_and_nothing_else() {
    let stage = behind();
    stage.bank.set("a", "old");
    stage.park("a").await;
    stage.pass(Duration::from_secs(7)).await;
    let letters = stage.things.dead_letters();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.key.as_slice(), letter.attempts), (&b"a"[..], 1));
    assert_eq!((&*letter.reason, letter.age), ("the bank says no", Duration::from_secs(7)));
    assert_eq!(text(letter.value.as_ref().unwrap().as_blob().unwrap()), "bad");
    assert!(stage.things.dead_letter(letter.id).is_some());
    assert_eq!(stage.get("a").await.as_deref(), Some("bad"), "an acknowledged write is not seen");
    let refused = stage.set("a", "later").await.unwrap_err();
    let Error::Parked { dead_letter, .. } = &refused else { panic!("{refused}") };
    assert_eq!((dead_letter.to_string(), refused.may_retry()), (letter.id.to_string(), false));
    stage.set("b", "1").await.unwrap();
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.row("b").as_deref(), Some("1"));
    let pending = stage.things.pending_writes();
    assert_eq!((pending.writes, pending.dead_letters), (0, 1));
    assert!(stage.things.flush_writes(LATE).await, "a dead letter is waited for");
    stage.check().await;
}

#[tokio::test]
async fn a_dead_letter_is_replayed_or_dropped_also_after_a_restart() {
    for (restarts, drops) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut stage = behind();
        stage.bank.set("a", "old");
        stage.park("a").await;
        stage.pass(Duration::from_secs(1)).await;
        if restarts {
            stage = stage.restarted();
        }
        let letter = stage.things.dead_letters().remove(0);
        assert_eq!((letter.attempts, &*letter.reason), (1, "the bank says no"));
        assert_eq!(letter.age, Duration::from_secs(1));
        assert_eq!(stage.get("a").await.as_deref(), Some("bad"));
        assert_eq!(stage.bank.calls().len(), 1, "a dead letter was tried again by itself");
        if drops {
            assert!(stage.things.drop_dead_letter(letter.id).await.unwrap());
            assert_eq!(stage.get("a").await.as_deref(), Some("old"));
        } else {
            stage.bank.heal();
            assert!(stage.things.replay_dead_letter(letter.id).await.unwrap());
            assert_eq!(stage.get("a").await.as_deref(), Some("bad"));
            stage.pass(LINGER).await;
            assert_eq!(stage.bank.row("a").as_deref(), Some("bad"));
            assert_eq!(stage.bank.ids(), [letter.id, letter.id]);
        }
        assert!(!stage.things.drop_dead_letter(letter.id).await.unwrap());
        assert!(!stage.things.replay_dead_letter(letter.id).await.unwrap());
        stage.set("a", "1").await.unwrap();
        stage.pass(LINGER).await;
        assert_eq!(stage.bank.row("a").as_deref(), Some("1"));
        let left = stage.disk.holds();
        assert!(left.pending.is_empty() && left.dead.is_empty(), "{left:?}");
        stage.check().await;
    }
}

#[tokio::test]
async fn a_write_that_runs_out_of_retries_is_a_dead_letter() {
    let stage = behind();
    stage.bank.weather(Some(Act::Fail));
    stage.set("a", "1").await.unwrap();
    stage.pass(LINGER).await;
    for tries in 1..=4 {
        assert_eq!(stage.bank.calls().len(), tries);
        assert_eq!(stage.things.dead_letters().len(), usize::from(tries == 4));
        stage.pass(OPTIONS.pause_max).await;
    }
    assert_eq!(stage.things.dead_letters()[0].attempts, 4);
    assert_eq!(stage.things.counts().behind_parked, 1);
    stage.check().await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_so_and_takes_writes_again() {
    let narrow = BehindOptions { writes_max: 2, ..OPTIONS };
    let small = BehindOptions { writes_max: 100, ..OPTIONS };
    for (options, limit_bytes) in [(narrow, None), (small, Some(140))] {
        let stage = behind_with(options);
        stage.disk.limit_bytes(limit_bytes);
        stage.set("a", "1").await.unwrap();
        stage.set("b", "1").await.unwrap();
        let full = stage.set("c", "1").await.unwrap_err();
        assert!(matches!(full, Error::QueueFull { .. }) && full.may_retry(), "{full}");
        assert_eq!(stage.get("c").await, None, "what was refused is seen");
        assert_eq!(stage.things.counts().writes_failed, 1);
        stage.pass(LINGER).await;
        stage.set("c", "1").await.unwrap();
        stage.pass(LINGER).await;
        assert_eq!(stage.bank.row("c").as_deref(), Some("1"));
        stage.check().await;
    }
    let stage = behind_with(BehindOptions { bytes_max: 64 * 1024, ..OPTIONS });
    let large = "x".repeat(70_000);
    let refused = stage.set("a", &large).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge { limit_bytes: 65_536, .. }), "{refused}");
    let half = "x".repeat(40_000);
    stage.set("b", &half).await.unwrap();
    let full = stage.set("c", &half).await.unwrap_err();
    assert!(matches!(full, Error::QueueFull { .. }), "{full}");
    stage.check().await;
}

#[tokio::test]
async fn a_journal_that_cannot_write_refuses_and_works_again() {
    let stage = behind();
    stage.disk.next(Fault::Fail);
    let failed = stage.set("a", "1").await.unwrap_err();
    assert!(matches!(failed, Error::JournalFailed { retry: true, .. }), "{failed}");
    assert_eq!(stage.get("a").await, None);
    stage.set("a", "2").await.unwrap();
    // The settlement fails, and is told later.
    stage.disk.next(Fault::Fail);
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.effects("a"), ["2"]);
    assert_eq!(stage.disk.holds().pending.len(), 1);
    stage.pass(Duration::from_secs(1)).await;
    assert_eq!(stage.disk.holds().pending.len(), 0);
    stage.check().await;
}

#[tokio::test]
async fn a_failed_sync_ends_the_journal_until_it_is_opened_anew() {
    for survives in [0, 1] {
        let stage = behind();
        stage.set("a", "1").await.unwrap();
        stage.disk.next(Fault::SyncFails);
        let unknown = stage.set("b", "1").await.unwrap_err();
        assert!(matches!(unknown, Error::JournalUnconfirmed { cause: Some(_), .. }), "{unknown}");
        assert!(!unknown.may_retry() && unknown.to_string().contains("after a restart"), "{unknown}");
        assert_eq!(stage.get("b").await, None, "what nobody knows of is seen");
        let refused = stage.set("c", "1").await.unwrap_err();
        assert!(matches!(refused, Error::JournalFailed { retry: false, .. }), "{refused}");
        // What was acknowledged before is applied all the same.
        stage.pass(LINGER).await;
        assert_eq!(stage.bank.effects("a"), ["1"]);
        stage.check().await;
        let Stage { clock, disk, bank, .. } = stage;
        disk.crash(survives);
        let stage = begin(&clock, &disk, &bank, OPTIONS);
        stage.pass(LINGER).await;
        assert_eq!(stage.bank.effects("a"), ["1"], "applied twice");
        assert_eq!(stage.bank.effects("b").len(), survives);
        assert_eq!(stage.bank.effects("c").len(), 0, "what was refused was applied");
        stage.set("c", "2").await.unwrap();
        stage.check().await;
    }
}

#[tokio::test]
async fn a_journal_that_does_not_answer_holds_up_a_writer_no_longer_than_is_said() {
    let stage = behind();
    stage.disk.next(Fault::Hang);
    let writer = stage.writer("a", "1");
    stage.pass(LATE).await;
    let unknown = writer.await.unwrap().unwrap_err();
    assert!(matches!(unknown, Error::JournalUnconfirmed { cause: None, .. }), "{unknown}");
    assert!(unknown.may_retry() && unknown.to_string().contains("not answered yet"), "{unknown}");
}

#[tokio::test]
async fn a_restart_lays_over_what_is_pending_and_applies_it_in_order() {
    let stage = behind();
    stage.bank.set("a", "old");
    stage.bank.weather(Some(Act::Fail));
    for (id, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("a", "3")] {
        stage.set(id, value).await.unwrap();
    }
    stage.things.delete("b").await.unwrap();
    stage.clock.advance(Duration::from_millis(9));
    let stage = stage.restarted();
    assert_eq!(stage.get("a").await.as_deref(), Some("3"));
    assert_eq!(stage.get("b").await, None);
    assert_eq!(stage.things.pending_writes().oldest, Duration::from_millis(9));
    stage.bank.heal();
    for _ in 0..4 {
        stage.pass(LINGER).await;
    }
    let effects = (stage.bank.effects("a"), stage.bank.effects("b"));
    assert_eq!((effects.0.last().unwrap().as_str(), effects.1.last().unwrap().as_str()), ("3", GONE));
    assert!(effects.0.is_sorted(), "{effects:?}");
    stage.check().await;
}

#[tokio::test]
async fn a_crash_between_the_sinks_commit_and_the_settlement_applies_nothing_twice() {
    let stage = behind();
    stage.bank.hold();
    stage.set("a", "1").await.unwrap();
    stage.pass(LINGER).await;
    stage.set("a", "2").await.unwrap();
    assert_eq!(stage.bank.effects("a"), ["1"]);
    stage.disk.crash(0);
    let Stage { clock, disk, bank, .. } = stage;
    let stage = begin(&clock, &disk, &bank, OPTIONS);
    stage.bank.let_go();
    stage.pass(LINGER).await;
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.effects("a"), ["1", "2"]);
    let ids = stage.bank.ids();
    assert_eq!(ids[0], ids[1], "the same write has another id after a restart");
    stage.check().await;
}

#[tokio::test]
async fn writers_share_the_syncs() {
    let stage = behind();
    stage.disk.latency(Duration::from_millis(5));
    let ids: Vec<String> = (0..64).map(|id| format!("k{id}")).collect();
    let writers: Vec<Writer> = ids
        .iter()
        .map(|id| {
            let (things, id) = (stage.things.clone(), id.clone());
            tokio::spawn(async move { things.set(&id, Blob::opaque("1"), 0).await })
        })
        .collect();
    stage.pass(Duration::from_millis(5)).await;
    stage.pass(Duration::from_millis(5)).await;
    for writer in writers {
        assert!(writer.is_finished());
        writer.await.unwrap().unwrap();
    }
    assert_eq!(stage.disk.commits(), [1, 63]);
}

#[tokio::test]
async fn a_load_from_before_the_sinks_commit_fills_nothing_after_it() {
    let stage = behind();
    stage.bank.set("a", "old");
    stage.bank.latency(Duration::ZERO, Duration::from_millis(40));
    let things = stage.things.clone();
    let before = tokio::spawn(async move { things.get("a").await.unwrap().map(|blob| text(&blob)) });
    stage.settle().await;
    stage.set("a", "new").await.unwrap();
    stage.pass(LINGER).await;
    assert_eq!(stage.bank.row("a").as_deref(), Some("new"));
    assert_eq!(stage.things.pending_writes().writes, 0);
    assert!(stage.things.drop_copy(b"a"));
    stage.pass(Duration::from_millis(30)).await;
    assert_eq!(before.await.unwrap().as_deref(), Some("old"));
    assert!(stage.things.peek(b"a").is_none(), "an older row was stored");
    stage.check().await;
}

#[tokio::test]
async fn a_flush_waits_for_what_was_there_and_no_longer_than_is_said() {
    let stage = behind();
    stage.set("a", "1").await.unwrap();
    assert!(stage.engine.flush_writes(LATE).await, "it waited for company");
    assert_eq!(stage.bank.effects("a"), ["1"]);
    assert!(stage.disk.holds().pending.is_empty(), "the journal was not told");
    stage.bank.hold();
    stage.set("a", "2").await.unwrap();
    let things = stage.things.clone();
    let flush = tokio::spawn(async move { things.flush_writes(LATE).await });
    stage.settle().await;
    stage.set("b", "1").await.unwrap();
    assert!(!flush.is_finished());
    stage.bank.let_go();
    assert!(flush.await.unwrap());
    assert_eq!(stage.bank.effects("a"), ["1", "2"]);
    stage.bank.weather(Some(Act::Fail));
    stage.set("c", "1").await.unwrap();
    let things = stage.things.clone();
    let flush = tokio::spawn(async move { things.flush_writes(LATE / 100).await });
    stage.pass(LATE / 100).await;
    assert!(!flush.await.unwrap());
    stage.check().await;
}

#[tokio::test]
async fn only_whole_values_go_behind() {
    let stage = behind();
    let fields = stage.things.change_fields(b"a", vec![(Bytes::from("x"), None)]).await.unwrap_err();
    assert!(matches!(fields, Error::WholeOnly { .. }), "{fields}");
    let field = stage.things.write_field(b"a", b"x", Bytes::new()).unwrap_err();
    assert!(matches!(field, Error::WholeOnly { .. }), "{field}");
    let put = stage.things.put("a", Blob::opaque("1"), 0).unwrap_err();
    assert!(matches!(put, Error::SinkFirst { .. }), "{put}");
    let change = stage.things.modify(b"a", |_| ()).unwrap_err();
    assert!(matches!(change, Error::RelativeRefused { .. }), "{change}");
    assert_eq!(stage.disk.commits().len(), 0);
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_before_the_journal_is_claimed() {
    let stage = behind();
    let journal: Arc<dyn Journal> = stage.disk.open();
    let plain = || {
        let engine = Forebay::new().unwrap();
        engine.namespace::<Blob>("things").key("x:{id}").ttl(TTL).source(stage.bank.clone())
    };
    let with = |options| {
        plain().writes(Writes::Behind).sink(stage.bank.clone()).behind(Arc::clone(&journal), options)
    };
    for (set_up, wanted) in [
        (plain().writes(Writes::Behind), "give a `sink`"),
        (
            plain().writes(Writes::Behind).sink(stage.bank.clone()),
            "behind(journal, BehindOptions::default())",
        ),
        (plain().behind(Arc::clone(&journal), OPTIONS), "nothing would be written to its journal"),
        (plain().sink(stage.bank.clone()).behind(Arc::clone(&journal), OPTIONS), "Writes::Behind"),
        (with(BehindOptions { batch_max: 0, ..OPTIONS }), "`batch_max`"),
        (with(BehindOptions { linger: TTL * 9_999, ..OPTIONS }), "`linger`"),
        (with(BehindOptions { calls: 0, ..OPTIONS }), "`calls`"),
        (with(BehindOptions { writes_max: 0, ..OPTIONS }), "`writes_max`"),
        (with(BehindOptions { bytes_max: 1, ..OPTIONS }), "`bytes_max`"),
        (with(BehindOptions { pause_first: Duration::ZERO, ..OPTIONS }), "`pause_first`"),
        (with(BehindOptions { pause_first: TTL, ..OPTIONS }), "`pause_first`"),
        (with(BehindOptions { pause_max: TTL * 99_999, ..OPTIONS }), "`pause_max`"),
    ] {
        let message = set_up.build().unwrap_err().to_string();
        assert!(message.contains(wanted), "{message:?} does not say {wanted:?}");
    }
    let native =
        Forebay::new().unwrap().namespace::<String>("things").key("x:{id}").ttl(TTL).writes(Writes::Behind);
    let native = native.sink(stage.bank.clone()).behind(Arc::clone(&journal), OPTIONS).build().unwrap_err();
    assert!(native.to_string().contains("`codec`"), "{native}");
    let owner = with(OPTIONS).build().unwrap();
    let second = with(OPTIONS).build().unwrap_err().to_string();
    assert!(second.contains("one instance at a time owns"), "{second}");
    drop(owner);
}

#[tokio::test]
async fn a_journal_of_another_declaration_is_not_served() {
    let stage = behind();
    stage.bank.weather(Some(Act::Fail));
    stage.set("a", "1").await.unwrap();
    stage.disk.crash(0);
    let other = set_up(&Forebay::new().unwrap(), &stage.disk, &stage.bank, OPTIONS).key("other:{id}").build();
    let message = other.unwrap_err().to_string();
    assert!(message.contains("a write of the key \"a\" that this declaration cannot read"), "{message}");
    assert_eq!(stage.disk.holds().pending.len(), 1);
}

#[tokio::test]
async fn fields_of_a_pending_hash_are_seen_also_after_a_restart() {
    let clock = Clock::simulated();
    let disk = Disk::new(&clock);
    let rows = |_: String| async {
        Ok::<_, std::convert::Infallible>(Some(Hash::whole([("x", Bytes::from("old"))])))
    };
    let sink = || {
        forebay::write_one(|_: String, _: Option<Arc<Hash>>| async {
            Err(forebay::SinkError::failed(Error::NoRuntime))
        })
    };
    let begin = || {
        let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
        let builder =
            engine.namespace::<Hash>("things").key("{id}").ttl(TTL).writes(Writes::Behind).codec(WholeHash);
        builder.source(forebay::load_one(rows)).sink(sink()).behind(disk.open(), OPTIONS).build().unwrap()
    };
    let things = begin();
    assert_eq!(things.get_field("a", "x").await.unwrap().as_deref(), Some(&b"old"[..]));
    things.set("a", Hash::whole([("x", Bytes::from("new")), ("y", Bytes::from("1"))]), 0).await.unwrap();
    disk.crash(0);
    for things in [things, begin()] {
        assert_eq!(things.get_field("a", "x").await.unwrap().as_deref(), Some(&b"new"[..]));
        let fields = things.get_fields("a", ["y", "z"]).await.unwrap();
        assert_eq!(fields, [Some(Bytes::from("1")), None]);
    }
}

#[tokio::test]
async fn what_is_laid_over_a_key_stays_until_the_shared_tier_was_told() {
    let clock = Clock::simulated();
    let tier = SimulatedTier::new(clock.clone(), 1);
    let (disk, bank) = (Disk::new(&clock), Bank::new(&clock));
    let instance = |number: u64| {
        let link: Arc<dyn SharedTier> = Arc::new(tier.link(number));
        Forebay::builder().clock(clock.clone()).shared_tier(link).build().unwrap()
    };
    let stage = begin_on(&clock, &disk, &bank, OPTIONS, instance(1));
    let other = instance(2);
    let other =
        other.namespace::<Blob>("things").key("{id}").ttl(TTL * 20).source(bank.clone()).build().unwrap();
    bank.set("a", "old");
    let pass = async |ms: u64| {
        for _ in 0..ms {
            stage.pass(Duration::from_millis(1)).await;
        }
    };
    pass(20).await;
    for things in [&other, &stage.things] {
        let things = things.clone();
        let read = tokio::spawn(async move { things.get("a").await.unwrap().map(|blob| text(&blob)) });
        pass(50).await;
        assert_eq!(read.await.unwrap().as_deref(), Some("old"));
    }
    // The tier does not answer for a while, in which memory still has what it had.
    tier.partition(1, Some(Partition::Requests));
    stage.set("a", "new").await.unwrap();
    for _ in 0..200 {
        stage.pass(Duration::from_millis(1)).await;
        let read = stage.things.clone();
        let read = tokio::spawn(async move { read.get("a").await });
        pass(1).await;
        if read.is_finished() {
            assert_eq!(read.await.unwrap().unwrap().map(|blob| text(&blob)).as_deref(), Some("new"));
        }
    }
    tier.partition(1, None);
    pass(3_000).await;
    assert_eq!(bank.effects("a"), ["new"]);
    let read = tokio::spawn(async move { other.get("a").await.unwrap().map(|blob| text(&blob)) });
    pass(50).await;
    assert_eq!(read.await.unwrap().as_deref(), Some("new"), "on the other instance");
}

#[test]
fn what_a_journal_keeps_is_weighed() {
    let entry = |value: Option<&str>| forebay::writes::Operation {
        id: forebay::writes::OperationId::new(1),
        key: Bytes::from("key"),
        value: value.map(|value| forebay::tier::shared::EnvelopeValue::Blob {
            bytes: Bytes::copy_from_slice(value.as_bytes()),
            content_type: "text/plain".into(),
        }),
        ttl: None,
    };
    assert_eq!(entry(None).weight_bytes(), 67);
    assert_eq!(entry(Some("value")).weight_bytes(), 72);
}

/// What one thread may do between two steps of another, which no test on one thread shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_thread_reads_less_than_was_acknowledged() {
    const WRITES: u64 = 20_000;
    let clock = Clock::system();
    let (disk, bank) = (Disk::new(&clock), Bank::new(&clock));
    let options = BehindOptions { linger: Duration::ZERO, writes_max: 10_000, ..OPTIONS };
    let stage = begin(&clock, &disk, &bank, options);
    let told = Arc::new(AtomicU64::new(0));
    let writer = {
        let (things, told) = (stage.things.clone(), Arc::clone(&told));
        tokio::spawn(async move {
            for version in 1..=WRITES {
                things.set("a", Blob::opaque(version.to_string()), 0).await.unwrap();
                told.store(version, Ordering::SeqCst);
                // What is laid over the key ends, and nothing else is laid over it meanwhile.
                while things.pending_writes().writes > 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    };
    let readers = (0..3).map(|reader| {
        let (things, told) = (stage.things.clone(), Arc::clone(&told));
        tokio::spawn(async move {
            let mut reads = 0_u64;
            loop {
                let floor = told.load(Ordering::SeqCst);
                if floor == WRITES {
                    return reads;
                }
                if reader == 0 {
                    let _ = things.drop_copy(b"a");
                }
                let read =
                    things.get("a").await.unwrap().map_or(0, |blob| text(&blob).parse::<u64>().unwrap());
                assert!(read >= floor, "read {read} after {floor} was acknowledged");
                reads += 1;
                tokio::task::yield_now().await;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    writer.await.unwrap();
    for reader in readers {
        assert!(reader.await.unwrap() > 0, "a reader came too late to see anything");
    }
    assert!(stage.things.flush_writes(LATE).await);
    assert_eq!(bank.row("a"), Some(WRITES.to_string()));
    stage.check().await;
}

#[tokio::test]
async fn the_oldest_dead_letter_is_told_without_the_others() {
    let stage = behind();
    assert_eq!(stage.things.oldest_dead_letter(), None);
    stage.park("b").await;
    let first = stage.things.dead_letters().remove(0).id;
    stage.pass(Duration::from_secs(7)).await;
    stage.set("a", "bad").await.unwrap();
    stage.pass(LINGER).await;
    let ages: Vec<_> = stage.things.dead_letters().iter().map(|letter| letter.age).collect();
    assert_eq!(ages, [Duration::from_secs(7) + LINGER, Duration::ZERO]);
    assert_eq!(stage.things.oldest_dead_letter(), Some(ages[0]));
    assert!(stage.things.drop_dead_letter(first).await.unwrap());
    assert_eq!(stage.things.oldest_dead_letter(), Some(Duration::ZERO));
}
