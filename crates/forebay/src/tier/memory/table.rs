//! From a key to its slot: linear hashing (Litwin, "Linear hashing: a new tool for file and table addressing", VLDB 1980).
//!
//! The table grows and shrinks by one bucket at a time, so that no insert waits while a table is built anew, removals leave
//! nothing behind, and what it takes is in proportion to what it holds. A bucket has eight links in half a cache line;
//! the last of them begins a chain through the slots, for the few that find no place before it. A link carries eight bits
//! of the hash beside the index, so that hardly any slot is looked at in vain.

use super::dense::{Dense, Index, NONE};
use super::slots::{Slots, Sought};
use crate::value::length;

/// Buckets in a chunk.
const CHUNK: usize = 64;
/// There are at least so many buckets.
const BUCKETS_MIN: usize = 8;
/// Links that lead straight to a slot; one more begins the chain.
const STRAIGHT: usize = 7;
/// Entries for a bucket when it is time to add one, and when it is time to drop one.
const LOAD_MAX: usize = 5;
const LOAD_MIN: usize = 3;

/// The index of a slot in the lower 24 bits, eight bits of its key's hash in the upper ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link(u32);

impl Link {
    fn new(hash: u64, at: Index) -> Self {
        Self((u32::from(tag(hash)) << 24) | at)
    }

    fn at(self) -> Option<Index> {
        let at = self.0 & NONE;
        (at != NONE).then_some(at)
    }

    fn may_be(self, hash: u64) -> bool {
        self.0 >> 24 == u32::from(tag(hash))
    }

    fn moved(self, at: Index) -> Self {
        Self((self.0 & !NONE) | at)
    }
}

impl Default for Link {
    fn default() -> Self {
        Self(NONE)
    }
}

/// Bits of the hash that pick neither the bucket nor the shard.
fn tag(hash: u64) -> u8 {
    let [_, _, _, _, tag, ..] = hash.to_le_bytes();
    tag
}

/// Where up to seven slots are found, and more by a chain.
#[derive(Debug, Default)]
#[repr(align(32))]
struct Bucket {
    straight: [Link; STRAIGHT],
    chain: Link,
}

/// The table of a shard.
#[derive(Debug)]
pub(super) struct Table {
    buckets: Dense<Bucket, CHUNK>,
    /// One less than the number of buckets, rounded up to a power of two.
    mask: u64,
}

impl Table {
    pub(super) fn new() -> Self {
        let mut buckets = Dense::default();
        (0..BUCKETS_MIN).for_each(|_| buckets.push(Bucket::default()));
        Self { buckets, mask: length(BUCKETS_MIN) - 1 }
    }

    pub(super) fn bytes(&self) -> u64 {
        length(self.buckets.bytes())
    }

    #[inline]
    pub(super) fn find(&self, slots: &Slots, sought: &Sought<'_>) -> Option<Index> {
        let bucket = self.buckets.get(self.bucket(sought.hash))?;
        // All of them are compared before any is followed: which one it is cannot be predicted.
        let wanted = Link::new(sought.hash, 0).0;
        let mut places = 0_u32;
        for (place, link) in (0_u32..).zip(&bucket.straight) {
            places |= u32::from((link.0 ^ wanted) <= NONE) << place;
        }
        while places != 0 {
            let link = bucket.straight.get(super::dense::position(places.trailing_zeros()))?;
            if let Some(at) = link.at()
                && slots.has_key(at, sought)
            {
                return Some(at);
            }
            places &= places - 1;
        }
        let mut link = bucket.chain;
        loop {
            let at = link.at()?;
            if link.may_be(sought.hash) && slots.has_key(at, sought) {
                return Some(at);
            }
            link = chained(slots, at);
        }
    }

    /// Adds a slot, and a bucket where they are too few. `hash_of` is asked for the hashes of slots that are already in.
    pub(super) fn insert(
        &mut self,
        slots: &mut Slots,
        hash: u64,
        at: Index,
        hash_of: impl Fn(&Slots, Index) -> u64,
    ) {
        self.add(slots, hash, Link::new(hash, at));
        if slots.len() > self.buckets.len() * LOAD_MAX {
            self.split(slots, hash_of);
        }
    }

    /// Takes a slot out, and a bucket where they are too many.
    pub(super) fn remove(&mut self, slots: &mut Slots, hash: u64, at: Index) {
        let after = chained(slots, at);
        let Some(bucket) = self.buckets.get_mut(self.bucket(hash)) else { return };
        match bucket.straight.iter_mut().find(|link| link.at() == Some(at)) {
            // The first of the chain comes in its place.
            Some(link) => {
                *link = bucket.chain;
                if let Some(first) = bucket.chain.at() {
                    bucket.chain = chained(slots, first);
                }
            }
            None => replace_chained(&mut bucket.chain, slots, at, |_| after),
        }
        if self.buckets.len() > BUCKETS_MIN && slots.len() < self.buckets.len() * LOAD_MIN {
            self.merge(slots);
        }
    }

    /// Follows a slot that moved.
    pub(super) fn moved(&mut self, slots: &mut Slots, hash: u64, from: Index, to: Index) {
        let Some(bucket) = self.buckets.get_mut(self.bucket(hash)) else { return };
        match bucket.straight.iter_mut().find(|link| link.at() == Some(from)) {
            Some(link) => *link = link.moved(to),
            None => replace_chained(&mut bucket.chain, slots, from, |link| link.moved(to)),
        }
    }

    /// Checks that every slot is led to once, from the bucket where it belongs.
    pub(super) fn validate(
        &self,
        slots: &Slots,
        hash_of: impl Fn(&Slots, Index) -> u64,
    ) -> Result<(), String> {
        let mut seen = 0;
        for number in 0..super::dense::index(self.buckets.len()) {
            let Some(bucket) = self.buckets.get(number) else { break };
            let mut chain = bucket.chain;
            let chain = std::iter::from_fn(|| {
                let link = chain;
                chain = chained(slots, link.at()?);
                Some(link)
            });
            for link in bucket.straight.iter().copied().chain(chain) {
                let Some(at) = link.at() else { continue };
                let hash = hash_of(slots, at);
                seen += 1;
                if self.bucket(hash) != number || !link.may_be(hash) || seen > slots.len() {
                    return Err(format!("bucket {number} leads to slot {at}, which does not belong there"));
                }
            }
        }
        if seen != slots.len() {
            return Err(format!("the table leads to {seen} slots of {}", slots.len()));
        }
        Ok(())
    }

    #[inline]
    fn bucket(&self, hash: u64) -> Index {
        let bucket = hash & self.mask;
        let bucket = if bucket < length(self.buckets.len()) { bucket } else { bucket & (self.mask >> 1) };
        Index::try_from(bucket).unwrap_or(NONE)
    }

    fn add(&mut self, slots: &mut Slots, hash: u64, link: Link) {
        let number = self.bucket(hash);
        let (Some(bucket), Some(at)) = (self.buckets.get_mut(number), link.at()) else { return };
        let free = bucket.straight.iter_mut().find(|link| link.at().is_none());
        let after = match free {
            Some(free) => {
                *free = link;
                Link::default()
            }
            None => std::mem::replace(&mut bucket.chain, link),
        };
        if let Some(cold) = slots.cold_mut(at) {
            cold.chained = after.0;
        }
    }

    /// Adds a bucket: it takes its part of the one that it was folded into.
    fn split(&mut self, slots: &mut Slots, hash_of: impl Fn(&Slots, Index) -> u64) {
        let added = super::dense::index(self.buckets.len());
        self.buckets.push(Bucket::default());
        self.mask = length(self.buckets.len().next_power_of_two()) - 1;
        self.spread(slots, u64::from(added) & (self.mask >> 1), hash_of);
    }

    /// Drops the last bucket: what it holds goes back to the one that it was split from.
    fn merge(&mut self, slots: &mut Slots) {
        let dropped = self.buckets.len() - 1;
        let Some(bucket) = self.buckets.pop() else { return };
        let old = length(dropped) & (self.mask >> 1);
        self.mask = length(self.buckets.len().next_power_of_two()) - 1;
        self.add_all(slots, bucket, |_, _| old);
    }

    /// Empties a bucket, and adds what was in it where it belongs by now.
    fn spread(&mut self, slots: &mut Slots, number: u64, hash_of: impl Fn(&Slots, Index) -> u64) {
        let number = Index::try_from(number).unwrap_or(NONE);
        if let Some(bucket) = self.buckets.get_mut(number).map(std::mem::take) {
            self.add_all(slots, bucket, hash_of);
        }
    }

    fn add_all(&mut self, slots: &mut Slots, bucket: Bucket, hash_of: impl Fn(&Slots, Index) -> u64) {
        for link in bucket.straight {
            if let Some(at) = link.at() {
                self.add(slots, hash_of(slots, at), link);
            }
        }
        let mut link = bucket.chain;
        while let Some(at) = link.at() {
            let after = chained(slots, at);
            self.add(slots, hash_of(slots, at), link);
            link = after;
        }
    }
}

fn chained(slots: &Slots, at: Index) -> Link {
    slots.cold(at).map_or(Link::default(), |cold| Link(cold.chained))
}

/// Replaces the link of a chain that leads to `at`.
fn replace_chained(chain: &mut Link, slots: &mut Slots, at: Index, with: impl FnOnce(Link) -> Link) {
    let Some(mut before) = chain.at() else { return };
    if before == at {
        *chain = with(*chain);
        return;
    }
    while let Some(cold) = slots.cold_mut(before) {
        let link = Link(cold.chained);
        match link.at() {
            Some(next) if next == at => {
                cold.chained = with(link).0;
                return;
            }
            Some(next) => before = next,
            None => return,
        }
    }
}
