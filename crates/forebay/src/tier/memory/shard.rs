//! One shard: a table of slots, the order in which they make room, and when they stop being of use.
//!
//! Every method leaves the structure whole, also where a caller's closure panics. What an entry held is put into
//! [`Gone`], and dropped by the caller once the lock is released.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::dense::{Index, NONE};
use super::policy::{Policy, Step};
use super::slots::{Departed, KeyOf, Looked, SLOT_BYTES, Slots, Sought, heap_bytes};
use super::table::Table;
use super::wheel::{Due, GROUP, Wheel};
use super::{Admit, Departures, EvictionPolicy, Filled, Held, Seen};
use crate::rt::Tick;
use crate::value::length;

/// Looks at entries in one hold of the lock, at most: evictions, scans and sweeps let others in between.
pub(super) const STEPS: usize = 64;
/// The slots that a shard has indices for.
const SLOTS_MAX: usize = 0x00ff_fffe;
/// What an empty shard and the first chunks of its arrays take, rounded up, in bytes.
const FIXED_BYTES: u64 = 32 * 1024;

/// What left a shard: dropped by the caller once the lock is released, since a value's own `drop` may do anything.
pub(super) type Gone = SmallVec<[Departed; 1]>;

/// The hash of a key, the same in all shards of a tier.
#[inline]
pub(super) fn hash(hasher: &RandomState, namespace: u32, key: &[u8]) -> u64 {
    let mut hash = hasher.build_hasher();
    hash.write_u32(namespace);
    hash.write(key);
    hash.finish()
}

/// Shards share no cache line, nor the pair of lines that a processor fetches together.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shard {
    table: Table,
    slots: Slots,
    policy: Policy,
    /// What all entries have on the heap, in bytes.
    heap_bytes: u64,
    budget_bytes: u64,
    hasher: RandomState,
    wheel: Wheel,
    departures: Departures,
}

impl Shard {
    pub(super) fn new(budget_bytes: u64, policy: EvictionPolicy, hasher: RandomState) -> Self {
        Self {
            table: Table::new(),
            slots: Slots::default(),
            policy: Policy::new(policy),
            heap_bytes: 0,
            budget_bytes,
            hasher,
            wheel: Wheel::new(),
            departures: Departures::default(),
        }
    }

    pub(super) fn set_budget_bytes(&mut self, bytes: u64) {
        self.budget_bytes = bytes;
    }

    #[inline]
    pub(super) fn get<R>(
        &mut self,
        sought: &Sought<'_>,
        now: Tick,
        gone: &mut Option<Departed>,
        look: impl FnOnce(&mut Seen<'_>) -> Option<R>,
    ) -> Option<R> {
        let at = self.table.find(&self.slots, sought)?;
        match self.slots.look(at, now, look) {
            Looked::Taken { what, ends_earlier } => {
                if ends_earlier {
                    self.reschedule(at);
                }
                self.policy.touch(&mut self.slots, at);
                return Some(what);
            }
            Looked::Ended => self.departures.ended += 1,
            Looked::Refused => {}
        }
        *gone = self.remove_at(at).departed;
        None
    }

    /// Loads the line of the table that leads to a key; something of it.
    #[inline]
    pub(super) fn touch_bucket(&self, sought: &Sought<'_>) -> usize {
        self.table.touch(sought.hash)
    }

    /// Loads the slot of a key; which it is.
    #[inline]
    pub(super) fn touch_slot(&self, sought: &Sought<'_>) -> Index {
        self.table.find(&self.slots, sought).unwrap_or(NONE)
    }

    /// Loads the beginning of what is held in a slot; something of it.
    #[inline]
    pub(super) fn touch_value(&self, at: Index, field: Option<&[u8]>) -> usize {
        self.slots.value(at).map_or(0, |value| value.touch(field))
    }

    pub(super) fn peek(&self, sought: &Sought<'_>, now: Tick) -> Option<Held> {
        let at = self.table.find(&self.slots, sought)?;
        if now >= self.slots.useless_from(at)? {
            return None;
        }
        self.slots.held(at)
    }

    /// Stores `held` where `admit` agrees; the slot, if one was taken or written.
    pub(super) fn insert(
        &mut self,
        sought: &Sought<'_>,
        mut held: Held,
        settle: impl FnOnce(Option<&Held>, &mut Held) -> Admit,
        gone: &mut Gone,
    ) -> (Filled, Index) {
        let found = self.table.find(&self.slots, sought);
        let now_held = found.and_then(|at| self.slots.lend(at));
        let admitted = settle(now_held.as_ref().map(|lent| &lent.held), &mut held);
        drop(now_held);
        match admitted {
            Admit::Fenced => return (Filled::Fenced, NONE),
            Admit::Older => return (Filled::Older, NONE),
            Admit::Remove => {
                gone.extend(found.and_then(|at| self.remove_at(at).departed));
                return (Filled::Removed, NONE);
            }
            Admit::Yes => {}
        }
        if let Err(too_large) = self.fits(sought, &held) {
            gone.extend(found.and_then(|at| self.remove_at(at).departed));
            return (too_large, NONE);
        }
        let at = match found {
            Some(at) => {
                let before = self.slots.heap_bytes(at);
                gone.extend(self.slots.put(at, held));
                self.reweigh(at, before);
                if let Policy::Lru(lru) = &mut self.policy {
                    lru.touch(&mut self.slots, at);
                }
                at
            }
            None => {
                let mut spare = NONE;
                while self.slots.len() >= SLOTS_MAX && self.evict_step(&mut spare, gone).is_some() {}
                self.add(sought, held)
            }
        };
        self.reschedule(at);
        (Filled::Stored, at)
    }

    pub(super) fn update<R>(
        &mut self,
        sought: &Sought<'_>,
        now: Tick,
        gone: &mut Gone,
        change: impl FnOnce(&mut Held) -> R,
    ) -> (Option<R>, Index) {
        let Some(at) = self.table.find(&self.slots, sought) else { return (None, NONE) };
        if self.slots.useless_from(at).is_none_or(|useless_from| now >= useless_from) {
            self.departures.ended += 1;
            gone.extend(self.remove_at(at).departed);
            return (None, NONE);
        }
        let changed = Changing::of(self, at).map(|mut changing| change(&mut changing.held));
        if self.slots.weight_bytes(at) > self.limit_bytes() {
            gone.extend(self.remove_at(at).departed);
            return (changed, NONE);
        }
        (changed, at)
    }

    pub(super) fn remove(
        &mut self,
        sought: &Sought<'_>,
        gone: impl FnOnce(&Held) -> bool,
    ) -> Option<Departed> {
        let at = self.table.find(&self.slots, sought)?;
        if !self.judged(at, gone) {
            return None;
        }
        self.remove_at(at).departed
    }

    /// The slot of a key; [`NONE`] where it is not held.
    pub(super) fn slot_of(&self, sought: &Sought<'_>) -> Index {
        self.table.find(&self.slots, sought).unwrap_or(NONE)
    }

    /// Makes room by at most [`STEPS`] steps, `spare` being the last to leave; whether more are needed.
    pub(super) fn make_room(&mut self, mut spare: Index, gone: &mut Gone) -> bool {
        for _ in 0..STEPS {
            if self.weight_bytes() <= self.budget_bytes || self.evict_step(&mut spare, gone).is_none() {
                return false;
            }
        }
        self.weight_bytes() > self.budget_bytes
    }

    /// Keys of a namespace below `from`, from the end down, until `keys` holds `limit` or [`STEPS`] slots were looked at;
    /// where to go on.
    pub(super) fn scan(
        &self,
        namespace: u32,
        from: Index,
        limit: usize,
        now: Tick,
        keys: &mut Vec<Box<[u8]>>,
    ) -> Index {
        let mut from = from.min(super::dense::index(self.slots.len()));
        for _ in 0..STEPS {
            if from == 0 || keys.len() >= limit {
                break;
            }
            from -= 1;
            let Some(KeyOf { key, .. }) = self.slots.key(from).filter(|key| key.namespace == namespace)
            else {
                continue;
            };
            if self.slots.useless_from(from).is_some_and(|useless_from| now < useless_from) {
                keys.push(key.into());
            }
        }
        from
    }

    /// Removes entries of a namespace below `from` for which `judge` says so, until [`STEPS`] slots were looked at; where
    /// to go on.
    pub(super) fn remove_where(
        &mut self,
        namespace: u32,
        from: Index,
        gone: &mut Gone,
        mut judge: impl FnMut(&[u8], &Held) -> bool,
    ) -> Index {
        let mut from = from.min(super::dense::index(self.slots.len()));
        for _ in 0..STEPS {
            let Some(at) = from.checked_sub(1) else { break };
            from = at;
            let Some(key) = self.slots.key(at).filter(|key| key.namespace == namespace) else { continue };
            let key: SmallVec<[u8; 64]> = SmallVec::from_slice(key.key);
            if self.judged(at, |held| judge(&key, held)) {
                gone.extend(self.remove_at(at).departed);
            }
        }
        from
    }

    /// Drops what is of no use at `now`, looking at entries, a [`GROUP`] at a time, until they are `limit`; how many it looked at.
    pub(super) fn sweep(&mut self, now: Tick, limit: usize, gone: &mut Gone) -> usize {
        self.wheel.turn(now);
        let mut looked = 0;
        while looked < limit {
            let Some(due) = self.wheel.next() else { break };
            match due {
                Due::Later => looked += 1,
                Due::From(first) => {
                    looked += GROUP;
                    let end = first + super::dense::index(GROUP);
                    (first..end).rev().for_each(|at| self.sweep_slot(at, now, gone));
                }
            }
        }
        looked
    }

    fn sweep_slot(&mut self, at: Index, now: Tick, gone: &mut Gone) {
        let Some(useless_from) = self.slots.useless_from(at) else { return };
        if now < useless_from {
            self.wheel.schedule(at, useless_from);
        } else {
            self.departures.ended += 1;
            gone.extend(self.remove_at(at).departed);
        }
    }

    /// What it takes, entries and all, in bytes.
    pub(super) fn weight_bytes(&self) -> u64 {
        let own = size_of::<Self>() + self.policy.bytes() + self.wheel.bytes();
        self.heap_bytes + self.table.bytes() + self.slots.bytes() + length(own)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn departures(&self) -> Departures {
        self.departures
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        self.slots.validate()?;
        self.table.validate(&self.slots, |slots, at| hash_of(&self.hasher, slots, at))?;
        self.wheel.validate(&self.slots)?;
        let queued = self.policy.validate(&self.slots)?;
        if queued != self.slots.len() {
            return Err(format!("the queues hold {queued} entries, the slots {}", self.slots.len()));
        }
        let mut heap_bytes = 0;
        for at in 0..super::dense::index(self.slots.len()) {
            let Some(KeyOf { namespace, key }) = self.slots.key(at) else {
                return Err(format!("slot {at} has no key"));
            };
            let sought = Sought::new(hash(&self.hasher, namespace, key), namespace, key);
            if self.table.find(&self.slots, &sought) != Some(at) {
                return Err(format!("slot {at} is not found by its own key"));
            }
            heap_bytes += self.slots.heap_bytes(at);
        }
        if heap_bytes != self.heap_bytes {
            return Err(format!("entries weigh {heap_bytes}, the shard says {}", self.heap_bytes));
        }
        if self.weight_bytes() > self.budget_bytes && self.slots.len() > 0 {
            return Err(format!("holds {} bytes of {}", self.weight_bytes(), self.budget_bytes));
        }
        Ok(())
    }

    /// Refuses what weighs more than an entry may, with [`Filled::TooLarge`].
    pub(super) fn fits(&self, sought: &Sought<'_>, held: &Held) -> Result<(), Filled> {
        let heap = heap_bytes(sought.namespace, sought.key, held);
        let limit_bytes = self.limit_bytes();
        let weight_bytes = heap.saturating_add(length(SLOT_BYTES));
        if weight_bytes > limit_bytes { Err(Filled::TooLarge { weight_bytes, limit_bytes }) } else { Ok(()) }
    }

    /// The most that an entry may weigh, in bytes.
    fn limit_bytes(&self) -> u64 {
        self.budget_bytes.saturating_sub(FIXED_BYTES).min(u64::from(u32::MAX))
    }

    fn add(&mut self, sought: &Sought<'_>, held: Held) -> Index {
        let at = self.slots.push(sought, held);
        self.heap_bytes += self.slots.heap_bytes(at);
        let hasher = &self.hasher;
        self.table.insert(&self.slots, sought.hash, at, |slots, at| hash_of(hasher, slots, at));
        self.policy.enter(&mut self.slots, at, sought.hash, |slots, at| hash_of(hasher, slots, at));
        at
    }

    /// Asks about an entry, which stays as it is.
    fn judged(&mut self, at: Index, judge: impl FnOnce(&Held) -> bool) -> bool {
        self.slots.lend(at).is_some_and(|lent| judge(&lent.held))
    }

    #[inline(never)]
    fn reschedule(&mut self, at: Index) {
        if let Some(useless_from) = self.slots.useless_from(at) {
            self.wheel.schedule(at, useless_from);
        }
    }

    /// Follows the weight of an entry that had `before` bytes on the heap.
    fn reweigh(&mut self, at: Index, before: u64) {
        let queue = self.policy.queue_of(&self.slots, at);
        let heap = self.slots.heap_bytes(at);
        queue.weight_bytes = (queue.weight_bytes + heap).saturating_sub(before);
        self.heap_bytes = (self.heap_bytes + heap).saturating_sub(before);
    }

    fn remove_at(&mut self, at: Index) -> Removed {
        let hash = hash_of(&self.hasher, &self.slots, at);
        self.policy.queue_of(&self.slots, at).unlink(&mut self.slots, at);
        let last = super::dense::index(self.slots.len().saturating_sub(1));
        let last_hash = hash_of(&self.hasher, &self.slots, last);
        self.heap_bytes = self.heap_bytes.saturating_sub(self.slots.heap_bytes(at));
        let hasher = &self.hasher;
        self.table.remove(&self.slots, hash, at, |slots, at| hash_of(hasher, slots, at));
        let departed = self.slots.swap_remove(at);
        if last != at && departed.is_some() {
            self.table.moved(last_hash, last, at);
            self.policy.queue_of(&self.slots, at).moved(&mut self.slots, at);
            self.reschedule(at);
        }
        self.wheel.fit(self.slots.len());
        Removed { departed, moved: last }
    }

    /// Makes room by one step; whether an entry left. `None` when there is nothing to evict.
    fn evict_step(&mut self, spare: &mut Index, gone: &mut Gone) -> Option<bool> {
        let hasher = &self.hasher;
        match self.policy.step(&mut self.slots, *spare, |slots, at| hash_of(hasher, slots, at)) {
            Step::Empty => None,
            Step::Turned => Some(false),
            Step::Evict { at } => {
                self.departures.evicted += 1;
                let removed = self.remove_at(at);
                gone.extend(removed.departed);
                if removed.moved == *spare {
                    *spare = at;
                }
                Some(true)
            }
        }
    }
}

/// What came of a removal.
struct Removed {
    departed: Option<Departed>,
    /// The slot that moved into the place of the removed one.
    moved: Index,
}

fn hash_of(hasher: &RandomState, slots: &Slots, at: Index) -> u64 {
    slots.key(at).map_or(0, |KeyOf { namespace, key }| hash(hasher, namespace, key))
}

/// An entry while it is changed: put back, weighed and scheduled anew when this is dropped, by a panic too.
struct Changing<'s> {
    shard: &'s mut Shard,
    at: Index,
    held: Held,
    /// What it had on the heap, in bytes.
    before: u64,
}

impl<'s> Changing<'s> {
    fn of(shard: &'s mut Shard, at: Index) -> Option<Self> {
        let before = shard.slots.heap_bytes(at);
        let held = shard.slots.take(at)?;
        Some(Self { shard, at, held, before })
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.shard.slots.give_back(self.at, &mut self.held);
        self.shard.reweigh(self.at, self.before);
        self.shard.reschedule(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::{GROUP, Gone, NONE, RandomState, STEPS, Shard, Sought, hash};
    use crate::rt::Tick;
    use crate::tier::memory::{Admit, EvictionPolicy, Held};

    fn shard_of(entries: u32, useless_from: impl Fn(u32) -> u64) -> Shard {
        let mut shard = Shard::new(64 * 1024 * 1024, EvictionPolicy::S3Fifo, RandomState::default());
        for number in 0..entries {
            let key = number.to_le_bytes();
            let sought = Sought::new(hash(&shard.hasher, 0, &key), 0, &key);
            let held =
                Held { useless_from: Tick::from_ms(useless_from(number)), ..super::super::slots::nothing() };
            shard.insert(&sought, held, |_, _| Admit::Yes, &mut Gone::new());
        }
        shard
    }

    #[test]
    fn a_sweep_looks_at_no_more_than_its_limit_and_at_nothing_twice_for_long() {
        const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
        // They end in the order of their coming, and in none.
        for order in [1, 7_919] {
            let mut shard = shard_of(10_000, |number| 1 + u64::from(number * order % 10_000) * 9_000);
            let (mut looked, mut now_ms) = (0, 0);
            while shard.len() > 0 && now_ms < 2 * DAY_MS {
                now_ms += 20_000;
                let before = shard.len();
                let mut gone = Gone::new();
                let part = shard.sweep(Tick::from_ms(now_ms), STEPS, &mut gone);
                assert!(part < STEPS + GROUP && before - shard.len() == gone.len());
                looked += part;
            }
            assert!(shard.len() == 0, "{} entries are left", shard.len());
            assert!(looked < 10_000 * (GROUP + 6), "{looked} looks at 10,000 entries, order {order}");
        }
    }

    #[test]
    fn a_hold_of_the_lock_does_bounded_work() {
        let mut shard = shard_of(10_000, |_| u64::MAX);
        shard.set_budget_bytes(64 * 1024);
        let mut gone = Gone::new();
        assert!(shard.make_room(NONE, &mut gone), "10,000 entries in 64 KiB");
        assert!(gone.len() <= STEPS);
        let (mut keys, mut holds, mut from) = (Vec::new(), 0, NONE);
        while from > 0 {
            from = shard.scan(0, from, usize::MAX, Tick::default(), &mut keys);
            holds += 1;
        }
        assert_eq!((keys.len(), holds), (shard.len(), shard.len().div_ceil(STEPS)));
    }
}
