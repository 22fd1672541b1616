//! Looking ahead: the entries of several keys are brought into the processor's caches together, before each is read.
//!
//! A look at an entry follows a chain from the table to the slot to the value, and in a tier that is larger than the caches each step
//! waits for memory. Locks keep a processor from beginning with the next key meanwhile. Here one step is made for all of the keys before
//! the next step, so that they wait for one another's lines and not one after the other: group prefetching (Chen et al., "Improving hash
//! join performance through prefetching", ICDE 2004), by plain loads.
//!
//! Nothing is changed, counted or found out: whoever looks ahead still has to look. A shard that is locked is passed over rather than
//! waited for.

use std::hint::black_box;

use smallvec::SmallVec;

use super::dense::{Index, NONE};
use super::shard::Shard;
use super::slots::Sought;
use super::{AHEAD_MAX, SHARDS_MAX};
use crate::rt::{Mutex, MutexGuard};

/// What will be read.
#[derive(Clone, Copy)]
pub(super) struct Next<'k> {
    pub(super) sought: Sought<'k>,
    /// The number of the shard that it lies in.
    pub(super) shard: usize,
    /// The field of a hash that is read alone.
    pub(super) field: Option<&'k [u8]>,
}

/// Loads what `all` lead to in `shards`.
pub(super) fn touch(shards: &[Mutex<Shard>], all: &SmallVec<[Next<'_>; AHEAD_MAX]>) {
    let mut entered: [Option<MutexGuard<'_, Shard>>; SHARDS_MAX] = Default::default();
    for next in all {
        if let (Some(entered @ None), Some(shard)) = (entered.get_mut(next.shard), shards.get(next.shard)) {
            *entered = shard.try_lock();
        }
    }
    let shard = |next: &Next<'_>| entered.get(next.shard)?.as_deref();
    for next in all {
        black_box(shard(next).map(|shard| shard.touch_bucket(&next.sought)));
    }
    let mut found: SmallVec<[Index; AHEAD_MAX]> = SmallVec::new();
    found.extend(all.iter().map(|next| shard(next).map_or(NONE, |shard| shard.touch_slot(&next.sought))));
    for (next, at) in all.iter().zip(found) {
        black_box(shard(next).map(|shard| shard.touch_value(at, next.field)));
    }
}
