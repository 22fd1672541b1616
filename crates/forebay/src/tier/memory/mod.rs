//! The memory tier: a byte-budgeted map of entries, in shards.
//!
//! It guarantees that what it holds weighs no more than its budget (keys, values, bookkeeping, its own tables and their
//! free places counted), that an entry is never handed out once it is of no use, and that whether a fill is admitted is
//! decided under the lock of its insert. No lock is held for longer than 64 entries are looked at. Which entry is fresh,
//! and what may be served stale, is the reader's business (`engine/read.rs`); that what is of no use goes, [`sweep`] has
//! to be called now and then.
//!
//! A shard (`shard.rs`) is a table (`table.rs`) of slots (`slots.rs`) without gaps; a policy (`policy.rs`) orders the entries for eviction, a
//! wheel (`wheel.rs`) by their end.
//!
//! [`sweep`]: MemoryTier::sweep

mod ahead;
mod dense;
mod frequency;
mod lfu;
mod lru;
mod packed;
#[cfg(test)]
#[cfg(not(feature = "model"))]
mod plain;
mod policy;
mod queue;
mod s3_fifo;
mod shard;
mod slots;
mod table;
mod wheel;

use std::borrow::Borrow;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::rt::atomic::{AtomicU64, Ordering};
use crate::rt::{Mutex, Tick};
use crate::value::{Extras, Position, Value, length};
use dense::{Index, NONE};
use shard::{Gone, STEPS, Shard};
use slots::Sought;

/// Shards beyond this many bring nothing on machines of the size this is measured on.
const SHARDS_MAX: usize = 16;
/// So many entries can be looked ahead for at once: what a processor can be kept waiting for together, and more.
pub const AHEAD_MAX: usize = 16;
/// No shard is smaller, so that values of some size can be kept at all.
const SHARD_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// Slots that one call of [`MemoryTier::scan`] looks at, at most, for every key that it may bring.
const SCAN_LOOKS: usize = 16;

/// What memory holds for a key.
#[derive(Clone, Debug)]
pub struct Held<V = Option<Value>> {
    /// The value; `None` is a remembered absence.
    pub value: V,
    /// When the load that brought it began.
    pub began: Tick,
    /// When it stops being fresh, however much it is used.
    pub fresh_until: Tick,
    /// When it is of no use any more, not even as a stale answer. Comes before it stops being fresh where it ends unused.
    pub useless_from: Tick,
    /// The log position noted before its load: no record up to it makes it invalid.
    pub position: Position,
    /// Marked stale by `expire`: served only if the source fails.
    pub expired: bool,
    /// Its tags and version, where it has any; they are weighed.
    pub extras: Option<Arc<Extras>>,
}

/// What memory holds for a key, its value seen where it lies.
pub type Seen<'s> = Held<&'s Option<Value>>;

impl<V> Held<V> {
    /// Until when it is served as fresh, unless it is used before.
    #[must_use]
    pub fn served_fresh_until(&self) -> Tick {
        self.fresh_until.min(self.useless_from)
    }
}

impl<V: Borrow<Option<Value>>> Held<V> {
    /// The value; `None` is a remembered absence.
    #[inline]
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        self.value.borrow().as_ref()
    }

    /// A copy that refers to the value too.
    #[must_use]
    pub fn to_held(&self) -> Held {
        let Self { began, fresh_until, useless_from, position, expired, .. } = *self;
        let (value, extras) = (self.value().cloned(), self.extras.clone());
        Held { value, began, fresh_until, useless_from, position, expired, extras }
    }
}

/// Which entries make room for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvictionPolicy {
    /// What is read once passes through, what is read again stays: S3-FIFO (Yang et al., SOSP 2023). A hit moves nothing.
    #[default]
    S3Fifo,
    /// The least recently used entry leaves first. A hit moves its entry to the front.
    Lru,
    /// The least frequently used entry leaves first, past popularity being outranked in time: LFU-DA (Arlitt et al.,
    /// 2000). A hit moves its entry up.
    Lfu,
}

/// Whether a fill may be stored, decided under the lock of the insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Store it.
    Yes,
    /// An invalidation came after the load began.
    Fenced,
    /// What is held has a newer version.
    Older,
    /// Nothing is to be held: what is held goes.
    Remove,
}

/// How a fill ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// It is held.
    Stored,
    /// It was fenced off; what was held is held.
    Fenced,
    /// What is held has a newer version, and stays.
    Older,
    /// Nothing is held.
    Removed,
    /// It weighs more than an entry may; what was held before is gone.
    TooLarge {
        /// What it weighs, in bytes.
        weight_bytes: u64,
        /// The most that one entry may weigh, in bytes.
        limit_bytes: u64,
    },
}

/// How many entries have left a memory by themselves, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departures {
    /// Entries that made room for others.
    pub evicted: u64,
    /// Entries whose time was over.
    pub ended: u64,
}

/// The entries of one or more namespaces within one budget.
#[derive(Debug)]
pub struct MemoryTier {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    budget_bytes: AtomicU64,
    /// The shard that the next sweep begins with.
    next_swept: AtomicU64,
}

impl MemoryTier {
    /// A tier that holds at most `budget_bytes`, and evicts by `policy`.
    ///
    /// It is divided into shards of 4 MiB or more, up to 16; one entry can be as large as a shard. Below some 64 KiB there is
    /// no room for entries.
    #[must_use]
    pub fn new(budget_bytes: u64, policy: EvictionPolicy) -> Self {
        let count = (budget_bytes / SHARD_BYTES_MIN).clamp(1, length(SHARDS_MAX));
        // A power of two, so that a shard is picked by masking.
        let count = 1_u64 << count.ilog2();
        let hasher = RandomState::default();
        let shard = || Mutex::new(Shard::new(budget_bytes / count, policy, hasher.clone()));
        let shards = (0..count).map(|_| shard()).collect();
        let budget_bytes = AtomicU64::new(budget_bytes);
        Self { shards, hasher, budget_bytes, next_swept: AtomicU64::new(0) }
    }

    /// The most it holds, in bytes.
    #[must_use]
    pub fn budget_bytes(&self) -> u64 {
        self.budget_bytes.load(Ordering::Relaxed)
    }

    /// Sets the most it holds, in bytes; what is too much leaves before this returns, a few entries in each hold of a lock.
    /// The number of shards stays.
    pub fn set_budget_bytes(&self, bytes: u64) {
        self.budget_bytes.store(bytes, Ordering::Relaxed);
        for shard in &self.shards {
            shard.lock().set_budget_bytes(bytes / length(self.shards.len()));
            Self::make_room(shard, None);
        }
    }

    /// Looks at the entry of `key`, unless it is of no use any more, under its shard's lock. `look` may change its times,
    /// position and mark; value and extras stay what they are. Where it gives `None`, the entry is dropped.
    #[inline]
    pub fn get<R>(
        &self,
        namespace: u32,
        key: &[u8],
        now: Tick,
        look: impl FnOnce(&mut Seen<'_>) -> Option<R>,
    ) -> Option<R> {
        let sought = self.sought(namespace, key);
        let mut gone = None;
        self.shard(&sought)?.lock().get(&sought, now, &mut gone, look)
    }

    /// Brings the entries of some keys into the processor's caches, up to [`AHEAD_MAX`] of them, each with the field of its hash that
    /// will be read, if it is one.
    pub fn look_ahead<'k>(&self, namespace: u32, keys: impl Iterator<Item = (&'k [u8], Option<&'k [u8]>)>) {
        let next = keys.take(AHEAD_MAX).map(|(key, field)| {
            let sought = self.sought(namespace, key);
            ahead::Next { shard: self.number_of_shard(&sought), sought, field }
        });
        ahead::touch(&self.shards, &next.collect());
    }

    /// What is held for `key`, unless it is of no use any more. Leaves no trace: looking keeps nothing alive.
    #[must_use]
    pub fn peek(&self, namespace: u32, key: &[u8], now: Tick) -> Option<Held> {
        let sought = self.sought(namespace, key);
        self.shard(&sought)?.lock().peek(&sought, now)
    }

    /// Stores `held`, if `admit` says so under the lock of the insert; it is shown what is held now, even if that is of no use
    /// any more. Others leave where room is needed.
    pub fn insert(
        &self,
        namespace: u32,
        key: &[u8],
        held: Held,
        admit: impl FnOnce(Option<&Held>) -> Admit,
    ) -> Filled {
        self.settle(namespace, key, held, |now_held, _| admit(now_held))
    }

    /// Whether `held` is small enough to be held for `key`; how [`insert`](Self::insert) would end otherwise.
    ///
    /// # Errors
    /// [`Filled::TooLarge`].
    pub fn fits(&self, namespace: u32, key: &[u8], held: &Held) -> Result<(), Filled> {
        let sought = self.sought(namespace, key);
        self.shard(&sought).map_or(Ok(()), |shard| shard.lock().fits(&sought, held))
    }

    /// As [`insert`](Self::insert), where `settle` may also change what is stored by what is held now.
    pub fn settle(
        &self,
        namespace: u32,
        key: &[u8],
        held: Held,
        settle: impl FnOnce(Option<&Held>, &mut Held) -> Admit,
    ) -> Filled {
        let sought = self.sought(namespace, key);
        let mut gone = Gone::new();
        let Some(shard) = self.shard(&sought) else { return Filled::Fenced };
        let (filled, more) = {
            let mut shard = shard.lock();
            let (filled, at) = shard.insert(&sought, held, settle, &mut gone);
            (filled, shard.make_room(at, &mut gone))
        };
        if more {
            Self::make_room(shard, Some(&sought));
        }
        filled
    }

    /// Changes the entry of `key` under its lock, value and extras included, unless it is of no use any more, and weighs it
    /// anew; what `change` gives. Leaves no trace for eviction. Others leave where room is needed; so does the entry itself
    /// where it came to weigh more than one may.
    pub fn update<R>(
        &self,
        namespace: u32,
        key: &[u8],
        now: Tick,
        change: impl FnOnce(&mut Held) -> R,
    ) -> Option<R> {
        let sought = self.sought(namespace, key);
        let mut gone = Gone::new();
        let shard = self.shard(&sought)?;
        let (changed, more) = {
            let mut shard = shard.lock();
            let (changed, at) = shard.update(&sought, now, &mut gone, change);
            (changed, shard.make_room(at, &mut gone))
        };
        if more {
            Self::make_room(shard, Some(&sought));
        }
        changed
    }

    /// Forgets `key`; whether it was held.
    pub fn remove(&self, namespace: u32, key: &[u8]) -> bool {
        self.remove_if(namespace, key, |_| true)
    }

    /// Forgets `key`, if `gone` says so under the lock of the removal; whether it was held and is gone.
    pub fn remove_if(&self, namespace: u32, key: &[u8], gone: impl FnOnce(&Held) -> bool) -> bool {
        let sought = self.sought(namespace, key);
        let Some(shard) = self.shard(&sought) else { return false };
        let removed = shard.lock().remove(&sought, gone);
        removed.is_some()
    }

    /// Up to `limit` keys of a namespace, absences included, from `cursor` on (0 is the start), and the next cursor (0 is the end).
    ///
    /// What is held throughout is seen at least once; a key may be seen twice. A call looks at a bounded number of entries, so
    /// that it may bring none and still not be the last.
    #[must_use]
    pub fn scan(&self, namespace: u32, cursor: u64, limit: usize, now: Tick) -> (Vec<Box<[u8]>>, u64) {
        let mut keys = Vec::new();
        let mut looks = limit.saturating_mul(SCAN_LOOKS).max(STEPS);
        let (mut number, mut from) =
            (cursor >> 32, Index::try_from(cursor & u64::from(u32::MAX)).unwrap_or(0));
        if from == 0 {
            from = NONE;
        }
        while let Some(shard) = usize::try_from(number).ok().and_then(|number| self.shards.get(number)) {
            if keys.len() >= limit || looks == 0 {
                return (keys, number << 32 | u64::from(from));
            }
            looks = looks.saturating_sub(STEPS);
            from = shard.lock().scan(namespace, from, limit, now, &mut keys);
            if from == 0 {
                (number, from) = (number + 1, NONE);
            }
        }
        (keys, 0)
    }

    /// A cursor of [`scan`](Self::scan) at a random place.
    #[must_use]
    pub fn random_cursor(&self) -> u64 {
        let number = fastrand::usize(..self.shards.len().max(1));
        let len = self.shards.get(number).map_or(0, |shard| shard.lock().len());
        length(number) << 32 | fastrand::u64(1..=length(len).max(1))
    }

    /// Forgets the entries of a namespace for which `gone` says so, a few in each hold of a lock; how many. What comes meanwhile
    /// may be missed.
    pub fn remove_where(&self, namespace: u32, mut gone: impl FnMut(&[u8], &Held) -> bool) -> usize {
        let mut removed = 0;
        for shard in &self.shards {
            let mut from = NONE;
            while from > 0 {
                let mut departed = Gone::new();
                from = shard.lock().remove_where(namespace, from, &mut departed, &mut gone);
                removed += departed.len();
            }
        }
        removed
    }

    /// Drops entries that are of no use at `now`, looking at 16 at a time until they are `limit`; how many it dropped.
    ///
    /// Entries are looked at, to some tenth of a second, when the time of the first has come of 16 that lie together: whoever
    /// calls this every 100 ms needs a limit of as many entries as end in that time where neighbours, which came one after the
    /// other, end together, and of up to 16 times as many where they do not.
    pub fn sweep(&self, now: Tick, limit: usize) -> usize {
        let (mut left, mut dropped) = (limit, 0);
        let first = usize::try_from(self.next_swept.fetch_add(1, Ordering::Relaxed)).unwrap_or_default();
        for number in 0..self.shards.len() {
            let Some(shard) = self.shards.get(first.wrapping_add(number) % self.shards.len()) else {
                continue;
            };
            while left > 0 {
                let mut gone = Gone::new();
                let part = left.min(STEPS);
                let looked = shard.lock().sweep(now, part, &mut gone);
                left = left.saturating_sub(looked);
                dropped += gone.len();
                if looked < part {
                    break;
                }
            }
        }
        dropped
    }

    /// What it holds, in bytes: entries, and its own tables whether they are full or not.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().weight_bytes()).sum()
    }

    /// How many entries it holds, absences included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// How many entries have left it by themselves: what was invalidated, dropped or replaced is not among them.
    #[must_use]
    pub fn departures(&self) -> Departures {
        self.shards.iter().map(|shard| shard.lock().departures()).fold(Departures::default(), |sum, one| {
            Departures { evicted: sum.evicted + one.evicted, ended: sum.ended + one.ended }
        })
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks its structure: each entry is found by its key, in one queue and in the wheel, weights add up, what lies beside
    /// the slots belongs to them, the budget is kept.
    ///
    /// # Errors
    /// Says the first thing that is wrong.
    pub fn validate(&self) -> Result<(), String> {
        self.shards.iter().try_for_each(|shard| shard.lock().validate())
    }

    /// Makes room until the budget is kept, a few steps in each hold of the lock; what was just stored leaves last.
    fn make_room(shard: &Mutex<Shard>, stored: Option<&Sought<'_>>) {
        let mut more = true;
        while more {
            let mut gone = Gone::new();
            let mut shard = shard.lock();
            let spare = stored.map_or(NONE, |stored| shard.slot_of(stored));
            more = shard.make_room(spare, &mut gone);
            // The lock goes first, what left after it.
            drop(shard);
        }
    }

    #[inline]
    fn sought<'k>(&self, namespace: u32, key: &'k [u8]) -> Sought<'k> {
        Sought::new(shard::hash(&self.hasher, namespace, key), namespace, key)
    }

    /// The shard of a hash, picked by bits that the table inside does not use.
    #[inline]
    fn shard(&self, sought: &Sought<'_>) -> Option<&Mutex<Shard>> {
        self.shards.get(self.number_of_shard(sought))
    }

    #[inline]
    fn number_of_shard(&self, sought: &Sought<'_>) -> usize {
        let mask = self.shards.len().saturating_sub(1);
        usize::try_from(sought.hash >> 40).unwrap_or_default() & mask
    }
}
