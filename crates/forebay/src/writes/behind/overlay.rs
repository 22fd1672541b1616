//! The overlay: what was written and is not in the base yet, as readers of this instance see it.
//!
//! What is laid over a key hides whatever memory, the shared tier or the source have, until whoever laid it ends it. It is
//! not evicted, does not expire and cannot be invalidated: past its TTL it is still what the source will be given. While nothing is laid over any key, a look costs one atomic load.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::super::sink::OperationId;
use super::job::{Job, Since};
use crate::rt::Mutex;
use crate::rt::atomic::{AtomicU64, Ordering};
use crate::value::{Value, length};

/// Keys are spread over so many locks.
const SHARDS: usize = 16;

/// What is laid over the keys of one namespace; bounded by who lays it.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    hasher: RandomState,
    shards: [Shard; SHARDS],
    /// How many keys have something laid over them.
    keys: AtomicU64,
}

type Shard = Mutex<HashMap<Box<[u8]>, Laid, RandomState>>;

/// What is laid over one key.
#[derive(Clone, Debug)]
pub(crate) struct Laid {
    by: OperationId,
    /// `None` where the key does not exist.
    pub(crate) value: Option<Value>,
    /// When it was written.
    pub(crate) written: Since,
    /// The TTL that its writer asked for.
    pub(crate) ttl: Option<Duration>,
}

impl Overlay {
    /// What is laid over `key`: a value, or that there is none; `None` where nothing is.
    #[inline]
    pub(crate) fn look(&self, key: &[u8]) -> Option<Laid> {
        // Who lays something counts it before the write is acknowledged: a reader that begins after that sees it.
        if self.keys.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.shard(key)?.lock().get(key).cloned()
    }

    /// Lays a write over `key`, in place of an earlier one.
    pub(crate) fn lay(&self, key: &[u8], job: &Job) {
        let Some(shard) = self.shard(key) else { return };
        let laid = Laid { by: job.id, value: job.value.clone(), written: job.written, ttl: job.ttl };
        if shard.lock().insert(key.into(), laid).is_none() {
            self.keys.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Ends what the write `by` laid over `key`; what a later one laid stays.
    pub(crate) fn end(&self, key: &[u8], by: OperationId) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock();
        if shard.get(key).is_some_and(|laid| laid.by == by) {
            shard.remove(key);
            self.keys.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// How many keys have something laid over them.
    pub(crate) fn len(&self) -> u64 {
        self.shards.iter().map(|shard| length(shard.lock().len())).sum()
    }

    fn shard(&self, key: &[u8]) -> Option<&Shard> {
        let [first, ..] = self.hasher.hash_one(key).to_le_bytes();
        self.shards.get(usize::from(first) % SHARDS)
    }
}
