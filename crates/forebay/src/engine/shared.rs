//! An engine's side of a shared tier: the log it follows, and whether it is in touch.
//!
//! A follower reads the log and applies what it tells. As long as that succeeds, what memory holds is trusted; after
//! [`SUSPECT_AFTER`] of silence it is suspect, except what was loaded a moment ago (promise P1: other instances see an
//! invalidation within that time). Records that the tier could not be told are kept, bounded, and told by the follower. One that
//! the tier refuses is told again by itself, now and then: neither the others wait for it nor the reading of the log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::common::Common;
use crate::log::{Batch, Cursor, InstanceId, LogError, Reach, Record, SUSPECT_AFTER, Verb};
use crate::rt::atomic::{AtomicU64, Ordering};
use crate::rt::planted::{Bug, planted};
use crate::rt::{Clock, Mutex, Tick};
use crate::tier::shared::{SharedTier, TierError};
use crate::value::{Position, length};

/// How long the follower waits for a record before it asks again: the heartbeat.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// How long the follower rests when the tier is out of reach.
const RETRY: Duration = Duration::from_millis(50);
/// The most records that are kept for a tier out of reach; beyond it they become one about all, for each keyspace.
const UNDELIVERED_MAX: usize = 4096;
/// The most records of its own that an engine knows again when it reads them; what is more is applied twice.
const OWN_MAX: usize = 4096;
/// The most calls that tell the tier of records before the log is read again.
const DELIVERIES_MAX: usize = 32;
/// How long a record waits that the tier has refused.
const REFUSED_RETRY: Duration = Duration::from_secs(1);
/// The span of a tick.
const TICK: Duration = Duration::from_millis(1);

/// The shared tier of an engine.
pub(super) struct Shared {
    pub(super) tier: Arc<dyn SharedTier>,
    instance: InstanceId,
    clock: Clock,
    /// Where to read on in the log.
    cursor: Mutex<Cursor>,
    /// When the last exchange was sent that found the engine caught up, plus one; zero is never.
    heard: AtomicU64,
    /// When the last acknowledgement was sent that the log is known to have received.
    acknowledged: Mutex<Option<Tick>>,
    /// The position up to which the log is applied.
    applied: Mutex<Position>,
    /// Told whenever more of the log is applied, or it was heard: who waits is woken in the order in which they began to.
    heeded: Notify,
    /// The newest place of a record of this engine's own.
    told: Mutex<Cursor>,
    /// Records ahead of what is applied that have been counted, by who told the tier of them or by the follower that read them first.
    /// Only what the tier has confirmed is counted exactly: a record of which the answer was lost was counted when it was done, without a
    /// place to stand here, and is counted once more if it lies in the log after all and is read there.
    /// Who told of them has applied those that are [`Own::Applied`]: to apply them again would cost what was loaded after them.
    own: Mutex<BTreeMap<Position, Own>>,
    undelivered: Mutex<Undelivered>,
}

/// How far a record is that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    Counted,
    Applied,
}

/// Records that the tier may not have been told.
#[derive(Debug, Default)]
struct Undelivered {
    /// The oldest first.
    records: VecDeque<Record>,
    /// So many of the first are told one by one: the tier refused a call that told them together.
    alone: usize,
    /// What the tier has refused by itself; the first is told again next.
    refused: VecDeque<Record>,
    refused_until: Tick,
    /// How often they became one about all: what was at the front before is there no more.
    collapses: u64,
}

/// What one call tells: the first of the records, or the first of those that were refused.
#[derive(Debug)]
struct Delivery {
    records: Vec<Record>,
    was_refused: bool,
    collapses: u64,
}

impl Undelivered {
    fn len(&self) -> usize {
        self.records.len() + self.refused.len()
    }

    fn add(&mut self, record: Record) {
        self.records.push_back(record);
        if self.len() <= UNDELIVERED_MAX {
            return;
        }
        let all = self.records.drain(..).chain(self.refused.drain(..));
        let keyspaces: BTreeSet<Arc<str>> = all.map(|record| record.keyspace).collect();
        let all = |keyspace| Record { keyspace, reach: Reach::All, verb: Verb::Invalidate };
        self.records.extend(keyspaces.into_iter().map(all));
        self.alone = 0;
        self.collapses += 1;
    }

    /// What to tell now, in a call that takes up to `at_most`; `None` where nothing is due.
    fn next(&self, at_most: usize, now: Tick) -> Option<Delivery> {
        let was_refused = self.records.is_empty();
        let records = match was_refused {
            true if now < self.refused_until => return None,
            true => self.refused.iter().take(1).cloned().collect(),
            false => {
                let many = if self.alone > 0 { 1 } else { at_most };
                self.records.iter().take(many).cloned().collect::<Vec<_>>()
            }
        };
        (!records.is_empty()).then_some(Delivery { records, was_refused, collapses: self.collapses })
    }

    /// The tier knows them. What came meanwhile is behind, even if it says the same.
    fn delivered(&mut self, delivery: &Delivery) {
        if self.collapses != delivery.collapses {
            return;
        }
        if delivery.was_refused {
            self.refused.pop_front();
            return;
        }
        self.records.drain(..delivery.records.len().min(self.records.len()));
        self.alone = self.alone.saturating_sub(delivery.records.len());
    }

    /// The tier refused them; the record that it has now refused by itself for the first time.
    fn refused(&mut self, delivery: Delivery, now: Tick) -> Option<Record> {
        if self.collapses != delivery.collapses {
            return None;
        }
        if delivery.records.len() > 1 {
            self.alone = delivery.records.len();
            return None;
        }
        self.refused_until = now.after(REFUSED_RETRY);
        if delivery.was_refused {
            let first = self.refused.pop_front();
            self.refused.extend(first);
            return None;
        }
        self.alone = self.alone.saturating_sub(1);
        let record = self.records.pop_front()?;
        self.refused.push_back(record.clone());
        Some(record)
    }
}

impl Shared {
    pub(super) fn new(tier: Arc<dyn SharedTier>, clock: Clock) -> Self {
        Self {
            tier,
            instance: InstanceId::random(),
            clock,
            cursor: Mutex::new(Cursor::NOWHERE),
            heard: AtomicU64::new(0),
            acknowledged: Mutex::default(),
            applied: Mutex::new(Position::START),
            heeded: Notify::new(),
            told: Mutex::new(Cursor::NOWHERE),
            own: Mutex::default(),
            undelivered: Mutex::default(),
        }
    }

    /// Whether the log was heard a moment ago, so that what memory holds is known to be valid.
    pub(super) fn in_touch(&self, now: Tick) -> bool {
        let heard = self.heard.load(Ordering::Acquire);
        heard > 0 && now.since(Tick::from_ms(heard - 1)) <= SUSPECT_AFTER
    }

    /// Since when the log has been silent for so long that what memory holds is suspect; `None` where it was heard a moment ago. What
    /// was never heard is silent since the clock began.
    pub(super) fn silent_since(&self, now: Tick) -> Option<Tick> {
        let heard = self.heard.load(Ordering::Acquire).checked_sub(1);
        let since = heard.map_or(Tick::default(), |heard| Tick::from_ms(heard).after(SUSPECT_AFTER));
        (heard.is_none() || since < now).then_some(since)
    }

    /// Waits until the log was read for the first time, for at most `wait`; whether it was. Before that no position is known
    /// that what the tier holds could be judged by.
    pub(super) async fn joined(&self, wait: Duration) -> bool {
        if self.heard.load(Ordering::Acquire) > 0 {
            return true;
        }
        self.catch_up_to(wait, |_| self.heard.load(Ordering::Acquire) > 0).await
    }

    /// Waits until the log is applied up to `position`, for at most `wait`; whether it is.
    pub(super) async fn catch_up(&self, position: Position, wait: Duration) -> bool {
        self.catch_up_to(wait, |applied| applied >= position).await
    }

    async fn catch_up_to(&self, wait: Duration, is_there: impl Fn(Position) -> bool) -> bool {
        let caught_up = async {
            loop {
                let heeded = self.heeded.notified();
                if is_there(*self.applied.lock()) {
                    return;
                }
                heeded.await;
            }
        };
        self.clock.timeout(wait, caught_up).await.is_ok()
    }

    /// Notes that the record at `at` is counted; whether it was not before. A record of this engine's own may be read before the
    /// answer comes that says where it stands.
    pub(super) fn count(&self, at: Position) -> bool {
        let mut own = self.own.lock();
        if *self.applied.lock() >= at || own.contains_key(&at) {
            return false;
        }
        if own.len() < OWN_MAX {
            own.insert(at, Own::Counted);
        }
        true
    }

    /// The positions of `count` records that stand side by side, of which `last` is the last.
    pub(super) fn positions(last: Position, count: usize) -> impl Iterator<Item = Position> {
        let first = (last.number() + 1).saturating_sub(length(count));
        (first..=last.number()).map(Position::new)
    }

    /// Notes the place of the last of `count` records of this engine's own, which stand side by side and are applied; `at` is its
    /// place among this instance's positions.
    pub(super) fn told(&self, place: Cursor, at: Position, count: usize) {
        let applied = *self.applied.lock();
        let mut own = self.own.lock();
        for at in Self::positions(at, count).filter(|at| *at > applied) {
            if own.len() < OWN_MAX || own.contains_key(&at) {
                own.insert(at, Own::Applied);
            }
        }
        drop(own);
        let mut told = self.told.lock();
        if (place.epoch, place.position) > (told.epoch, told.position) {
            *told = place;
        }
    }

    /// Keeps a record that the tier may not have been told.
    pub(super) fn tell_later(&self, record: Record) {
        if planted(Bug::UntoldForgotten) {
            return;
        }
        self.undelivered.lock().add(record);
    }

    /// How many records wait for the tier.
    pub(super) fn undelivered(&self) -> usize {
        self.undelivered.lock().len()
    }

    /// Whether the tier was told of all that it would be told: what it refused counts as done.
    pub(super) fn has_told(&self) -> bool {
        self.undelivered.lock().records.is_empty()
    }

    /// Whether the tier may be asked: it was heard a moment ago, and knows of every record that this engine has answered for.
    /// Before that, what it holds may be what such a record makes gone.
    pub(super) fn serves(&self) -> bool {
        self.in_touch(self.clock.now()) && self.undelivered() == 0
    }

    /// Whether every live instance has applied what this one has told; waits for it, at most for `wait`.
    pub(super) async fn acknowledged(&self, wait: Duration) -> Result<bool, LogError> {
        let until = self.clock.now().after(wait);
        while self.undelivered() > 0 {
            let left = until.since(self.clock.now());
            if left.is_zero() {
                return Ok(false);
            }
            self.clock.sleep(left.min(RETRY)).await;
        }
        let (told, read) = (*self.told.lock(), *self.cursor.lock());
        if told == Cursor::NOWHERE {
            return Ok(true);
        }
        // A new epoch makes suspect what any instance loaded before: who has acknowledged it has done more than was told.
        let place = if read.epoch > told.epoch { read } else { told };
        self.tier.acknowledged(place, until.since(self.clock.now())).await
    }

    /// Tells the tier what it could not be told before; whether all is told that is due.
    async fn deliver(&self, common: &Weak<Common>) -> Result<bool, ()> {
        for _ in 0..DELIVERIES_MAX {
            if !self.deliver_one(common).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells the tier as much as one call takes; whether there was any.
    async fn deliver_one(&self, common: &Weak<Common>) -> Result<bool, ()> {
        let at_most = self.tier.capabilities().batch_max.max(1);
        let due = self.undelivered.lock().next(at_most, self.clock.now());
        let Some(delivery) = due else { return Ok(false) };
        let told = self.tier.invalidate(&delivery.records).await;
        let Some(common) = common.upgrade() else { return Ok(false) };
        match told {
            Ok(place) => {
                // Of an epoch that has ended by now: it is told again.
                let at = common.groups.place(place).ok_or(())?;
                // They were counted when they were done here.
                for at in Self::positions(at, delivery.records.len()) {
                    self.count(at);
                }
                for record in &delivery.records {
                    common.apply(record, at, false);
                }
                self.told(place, at, delivery.records.len());
                self.undelivered.lock().delivered(&delivery);
            }
            Err(TierError::Refused { .. }) => {
                let refused = self.undelivered.lock().refused(delivery, self.clock.now());
                if let Some(record) = refused {
                    common.note_refused(&record);
                }
            }
            Err(_) => return Err(()),
        }
        Ok(true)
    }

    /// One exchange with the log: what it tells is applied, and acknowledged. It is read whatever becomes of what the tier is told:
    /// what others tell does not wait for that.
    async fn exchange(&self, common: &Weak<Common>) -> Result<(), ()> {
        let wait = match self.deliver(common).await {
            Ok(true) => HEARTBEAT,
            Ok(false) => Duration::ZERO,
            Err(()) => RETRY,
        };
        let after = *self.cursor.lock();
        if !self.is_live(self.clock.now()) {
            // Before the read that makes this instance trusted, so that nothing is confirmed without it meanwhile.
            self.acknowledge(after).await?;
        }
        let sent = self.clock.now();
        let batch = self.tier.read(after, wait).await.map_err(|_| ())?;
        let Some(common) = common.upgrade() else { return Ok(()) };
        self.heed(&common, &batch);
        drop(common);
        *self.cursor.lock() = batch.cursor();
        if batch.caught_up() {
            self.heard.store(sent.as_ms() + 1, Ordering::Release);
            self.heeded.notify_waiters();
        }
        self.acknowledge(batch.cursor()).await
    }

    /// Tells whoever listens that any copy may be another, once the log has been silent for so long that those are suspect; and over
    /// again while it stays so, of what was read since. Copies are with others, who cannot look whether the log is heard.
    async fn tell_of_silence(&self, engine: &Weak<Common>) {
        while engine.strong_count() > 0 {
            let heard = self.heard.load(Ordering::Acquire).checked_sub(1).map(Tick::from_ms);
            let now = self.clock.now();
            // Up to this tick it is in touch.
            let left = heard.map_or(Duration::ZERO, |heard| heard.after(SUSPECT_AFTER + TICK).since(now));
            if left.is_zero()
                && let Some(common) = engine.upgrade()
            {
                common.missed_records();
            }
            self.clock.sleep(if left.is_zero() { SUSPECT_AFTER } else { left }).await;
        }
    }

    /// Whether the log counts on this instance for another [`SUSPECT_AFTER`] at least: as long as what is read now makes it
    /// trusted. To be in touch is not enough, for reads may come through where acknowledgements do not.
    fn is_live(&self, now: Tick) -> bool {
        self.in_touch(now) && self.acknowledged.lock().is_some_and(|sent| now.since(sent) < SUSPECT_AFTER)
    }

    async fn acknowledge(&self, applied: Cursor) -> Result<(), ()> {
        let sent = self.clock.now();
        self.tier.acknowledge(self.instance, applied).await.map_err(|_| ())?;
        *self.acknowledged.lock() = Some(sent);
        Ok(())
    }

    /// Applies what the log told.
    fn heed(&self, common: &Common, batch: &Batch) {
        let epoch = batch.epoch;
        if batch.gap
            && let Some(floor) = common.groups.place(Cursor { epoch, position: batch.begin() })
        {
            common.groups.raise_floor(floor);
            for core in common.namespaces() {
                core.others_may_exist();
            }
            common.missed_records();
        }
        for (position, record) in &batch.records {
            if let Some(at) = common.groups.place(Cursor { epoch, position: *position })
                && self.own.lock().get(&at) != Some(&Own::Applied)
            {
                let is_first = self.count(at);
                common.apply(record, at, is_first);
            }
        }
        if let Some(end) = common.groups.place(batch.cursor()) {
            let mut applied = self.applied.lock();
            *applied = end.max(*applied);
            drop(applied);
            self.own.lock().retain(|at, _| *at > end);
            self.heeded.notify_waiters();
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// Follows the log of the engine's shared tier, as long as the engine lives, and tells when it has fallen silent.
pub(super) fn follow(common: &Arc<Common>) {
    let Some(shared) = common.shared.clone() else { return };
    let engine = Arc::downgrade(common);
    common.upkeep.spawn({
        let (shared, engine) = (Arc::clone(&shared), Weak::clone(&engine));
        async move { shared.tell_of_silence(&engine).await }
    });
    common.upkeep.spawn(async move {
        while engine.strong_count() > 0 {
            if shared.exchange(&engine).await.is_err() {
                shared.clock.sleep(RETRY).await;
            }
        }
    });
}
