//! Which entry makes room: one policy for a shard, asked in one form.

use super::EvictionPolicy;
use super::dense::Index;
use super::lfu::Lfu;
use super::lru::Lru;
use super::queue::Queue;
use super::s3_fifo::S3Fifo;
use super::slots::Slots;

/// What a policy does to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This entry is to leave.
    Evict { at: Index },
    /// An entry got another turn: ask again.
    Turned,
    /// There is nothing that could leave.
    Empty,
}

/// The policy of a shard, with the order of its entries.
#[derive(Debug)]
pub(super) enum Policy {
    S3Fifo(S3Fifo),
    Lru(Lru),
    Lfu(Box<Lfu>),
}

impl Policy {
    pub(super) fn new(policy: EvictionPolicy) -> Self {
        match policy {
            EvictionPolicy::S3Fifo => Self::S3Fifo(S3Fifo::default()),
            EvictionPolicy::Lru => Self::Lru(Lru::default()),
            EvictionPolicy::Lfu => Self::Lfu(Box::default()),
        }
    }

    /// A new entry.
    pub(super) fn enter(
        &mut self,
        slots: &mut Slots,
        at: Index,
        hash: u64,
        hash_of: impl Fn(&Slots, Index) -> u64,
    ) {
        match self {
            Self::S3Fifo(policy) => policy.enter(slots, at, hash, hash_of),
            Self::Lru(policy) => policy.enter(slots, at),
            Self::Lfu(policy) => policy.enter(slots, at),
        }
    }

    /// A hit.
    #[inline]
    pub(super) fn touch(&mut self, slots: &mut Slots, at: Index) {
        match self {
            Self::S3Fifo(_) => S3Fifo::touch(slots, at),
            Self::Lru(policy) => policy.touch(slots, at),
            Self::Lfu(policy) => policy.touch(slots, at),
        }
    }

    /// The queue that an entry is in.
    pub(super) fn queue_of(&mut self, slots: &Slots, at: Index) -> &mut Queue {
        match self {
            Self::S3Fifo(policy) => policy.queue_of(slots, at),
            Self::Lru(policy) => &mut policy.queue,
            Self::Lfu(policy) => policy.queue_of(slots, at),
        }
    }

    /// What leaves next, `spare` excepted, or one step towards it.
    pub(super) fn step(
        &mut self,
        slots: &mut Slots,
        spare: Index,
        hash_of: impl Fn(&Slots, Index) -> u64,
    ) -> Step {
        match self {
            Self::S3Fifo(policy) => policy.step(slots, spare, hash_of),
            Self::Lru(policy) => policy.step(slots, spare),
            Self::Lfu(policy) => policy.step(slots, spare),
        }
    }

    /// What it takes on the heap, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::S3Fifo(policy) => policy.bytes(),
            Self::Lru(_) => 0,
            Self::Lfu(policy) => size_of_val(&**policy),
        }
    }

    /// Checks the queues; how many entries are in them.
    pub(super) fn validate(&self, slots: &Slots) -> Result<usize, String> {
        match self {
            Self::S3Fifo(policy) => policy.validate(slots),
            Self::Lru(policy) => policy.validate(slots),
            Self::Lfu(policy) => policy.validate(slots),
        }
    }
}
