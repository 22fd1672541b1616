//! The memory tier: a byte-budgeted map of entries, in shards.
//!
//! It guarantees that what it holds weighs no more than its budget (keys, values and bookkeeping counted), that an entry
//! is never handed out once it is of no use, and that whether a fill is admitted is decided under the lock of its insert.
//! Which entry is fresh, and what may be served stale, is the reader's business (`engine/read.rs`).
//!
//! Eviction is S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).

mod list;
mod shard;

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use crate::rt::{Mutex, Tick};
use crate::value::{Value, length};
use shard::{Gone, Shard};

/// Shards beyond this many bring nothing on machines of the size this is measured on.
const SHARDS_MAX: u64 = 16;
/// No shard is smaller, so that values of some size can be kept at all.
const SHARD_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// What memory holds for a key.
#[derive(Clone, Debug)]
pub struct Held {
    /// The value; `None` is a remembered absence.
    pub value: Option<Value>,
    /// When the load that brought it began.
    pub began: Tick,
    /// When it stops being fresh.
    pub fresh_until: Tick,
    /// When it is of no use any more, not even as a stale answer.
    pub useless_from: Tick,
}

/// Whether a fill may be stored, decided under the lock of the insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Store it.
    Yes,
    /// An invalidation came after the load began.
    Fenced,
}

/// How a fill ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// It is held.
    Stored,
    /// It was fenced off.
    Fenced,
    /// It weighs more than a shard may hold, in bytes.
    TooLarge {
        /// What it weighs.
        weight_bytes: u64,
        /// The most that one entry may weigh.
        limit_bytes: u64,
    },
}

/// The entries of one or more namespaces within one budget.
#[derive(Debug)]
pub struct MemoryTier {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    budget_bytes: u64,
}

impl MemoryTier {
    /// A tier that holds at most `budget_bytes`.
    #[must_use]
    pub fn new(budget_bytes: u64) -> Self {
        let count = (budget_bytes / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        // A power of two, so that a shard is picked by masking.
        let count = 1_u64 << count.ilog2();
        let shards = (0..count).map(|_| Mutex::new(Shard::new(budget_bytes / count))).collect();
        Self { shards, hasher: RandomState::default(), budget_bytes }
    }

    /// The most it holds, in bytes.
    #[must_use]
    pub fn budget_bytes(&self) -> u64 {
        self.budget_bytes
    }

    /// What is held for `key` of namespace `namespace`, unless it is of no use any more.
    #[must_use]
    pub fn get(&self, namespace: u32, key: &[u8], now: Tick) -> Option<Held> {
        let hash = self.hash(namespace, key);
        let mut gone = Gone::new();
        self.shard(hash)?.lock().get(hash, namespace, key, now, &mut gone)
    }

    /// Like [`get`](Self::get), but leaves no trace: looking keeps nothing alive.
    #[must_use]
    pub fn peek(&self, namespace: u32, key: &[u8], now: Tick) -> Option<Held> {
        let hash = self.hash(namespace, key);
        self.shard(hash)?.lock().peek(hash, namespace, key, now)
    }

    /// Stores `held`, if `admit` says so under the lock of the insert.
    pub fn insert(&self, namespace: u32, key: &[u8], held: Held, admit: impl FnOnce() -> Admit) -> Filled {
        let hash = self.hash(namespace, key);
        let mut gone = Gone::new();
        match self.shard(hash) {
            Some(shard) => shard.lock().insert(hash, namespace, key, held, admit, &mut gone),
            None => Filled::Fenced,
        }
    }

    /// Forgets `key`; whether it was held.
    pub fn remove(&self, namespace: u32, key: &[u8]) -> bool {
        self.remove_if(namespace, key, || Admit::Yes)
    }

    /// Forgets `key`, if `admit` says so under the lock of the removal; whether it was held and is gone.
    pub fn remove_if(&self, namespace: u32, key: &[u8], admit: impl FnOnce() -> Admit) -> bool {
        let hash = self.hash(namespace, key);
        let Some(shard) = self.shard(hash) else { return false };
        let gone = shard.lock().remove(hash, namespace, key, admit);
        gone.is_some()
    }

    /// What it holds, in bytes.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().weight_bytes()).sum()
    }

    /// How many entries it holds, absences included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks its structure: weights add up, queues hold each entry once, the budget is kept.
    ///
    /// # Errors
    /// Says the first thing that is wrong.
    pub fn validate(&self) -> Result<(), String> {
        self.shards.iter().try_for_each(|shard| shard.lock().validate())
    }

    fn hash(&self, namespace: u32, key: &[u8]) -> u64 {
        self.hasher.hash_one((namespace, key))
    }

    /// The shard of a hash, picked by its high half: the table inside uses the low one.
    fn shard(&self, hash: u64) -> Option<&Mutex<Shard>> {
        let mask = self.shards.len().saturating_sub(1);
        self.shards.get(usize::try_from(hash >> 40).unwrap_or_default() & mask)
    }
}

/// What an entry weighs beside its key and value: its slot, its place in the table, the allocations' own headers.
const BOOKKEEPING_BYTES: u64 = 160;

fn weight_bytes(key: &[u8], held: &Held) -> u64 {
    length(key.len()) + held.value.as_ref().map_or(0, Value::weight_bytes) + BOOKKEEPING_BYTES
}
