//! From a key to its slot: linear hashing (Litwin, "Linear hashing: a new tool for file and table addressing", VLDB 1980).
//!
//! The table grows and shrinks by one bucket at a time, so that no insert waits while a table is built anew, removals leave
//! nothing behind, and what it takes is in proportion to what it holds. A bucket has seven links in half a cache line; the
//! few slots that find no place there are in further buckets, to which the first one leads. A link carries eight bits of the
//! hash beside the index, so that hardly any slot is looked at in vain.

use smallvec::SmallVec;

use super::dense::{Dense, Index, NONE, index};
use super::slots::{Slots, Sought};
use crate::value::length;

/// Buckets in a chunk.
const CHUNK: usize = 64;
/// There are at least so many buckets.
const BUCKETS_MIN: usize = 8;
/// Links of a bucket.
const LINKS: usize = 7;
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

/// Where up to seven slots are found.
#[derive(Debug)]
#[repr(align(32))]
struct Bucket {
    links: [Link; LINKS],
    /// The further bucket that comes next. While there is one the first bucket is full; of the further ones only the first may
    /// have room, and it is never empty.
    next: Index,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { links: [Link::default(); LINKS], next: NONE }
    }
}

impl Bucket {
    fn filled(&self) -> impl Iterator<Item = Link> {
        self.links.iter().copied().filter(|link| link.at().is_some())
    }
}

/// Links that are on their way to other buckets.
type Links = SmallVec<[Link; 2 * LINKS]>;

/// The table of a shard.
#[derive(Debug)]
pub(super) struct Table {
    buckets: Dense<Bucket, CHUNK>,
    further: Dense<Bucket, CHUNK>,
    /// One less than the number of buckets, rounded up to a power of two.
    mask: u64,
}

impl Table {
    pub(super) fn new() -> Self {
        let mut buckets = Dense::default();
        (0..BUCKETS_MIN).for_each(|_| buckets.push(Bucket::default()));
        Self { buckets, further: Dense::default(), mask: length(BUCKETS_MIN) - 1 }
    }

    pub(super) fn bytes(&self) -> u64 {
        length(self.buckets.bytes() + self.further.bytes())
    }

    /// Loads the first bucket of a hash; something of it.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> usize {
        self.buckets.get(self.bucket(hash)).map_or(0, |bucket| super::dense::position(bucket.next))
    }

    #[inline]
    pub(super) fn find(&self, slots: &Slots, sought: &Sought<'_>) -> Option<Index> {
        let mut bucket = self.buckets.get(self.bucket(sought.hash))?;
        let wanted = Link::new(sought.hash, 0).0;
        loop {
            // All of them are compared before any is followed: which one it is cannot be predicted.
            let mut places = 0_u32;
            for (place, link) in (0_u32..).zip(&bucket.links) {
                places |= u32::from((link.0 ^ wanted) <= NONE) << place;
            }
            while places != 0 {
                let link = bucket.links.get(super::dense::position(places.trailing_zeros()))?;
                if let Some(at) = link.at()
                    && slots.has_key(at, sought)
                {
                    return Some(at);
                }
                places &= places - 1;
            }
            bucket = self.further.get(bucket.next)?;
        }
    }

    /// Adds a slot, and a bucket where they are too few. `hash_of` is asked for the hashes of slots that are already in.
    pub(super) fn insert(
        &mut self,
        slots: &Slots,
        hash: u64,
        at: Index,
        hash_of: impl Fn(&Slots, Index) -> u64,
    ) {
        self.add(hash, Link::new(hash, at));
        if slots.len() > self.buckets.len() * LOAD_MAX {
            self.split(slots, hash_of);
        }
    }

    /// Takes a slot out, and a bucket where they are too many. `hash_of` is asked for the hashes of slots that are in.
    pub(super) fn remove(
        &mut self,
        slots: &Slots,
        hash: u64,
        at: Index,
        hash_of: impl Fn(&Slots, Index) -> u64,
    ) {
        let number = self.bucket(hash);
        let instead = self.take_further(slots, number, &hash_of);
        if instead.at() != Some(at) {
            self.replace(number, |link| link.at() == Some(at), |_| instead);
        }
        if self.buckets.len() > BUCKETS_MIN && slots.len() < self.buckets.len() * LOAD_MIN {
            self.merge(slots, hash_of);
        }
    }

    /// Follows a slot that moved.
    pub(super) fn moved(&mut self, hash: u64, from: Index, to: Index) {
        self.replace(self.bucket(hash), |link| link.at() == Some(from), |link| link.moved(to));
    }

    /// Checks that every slot is led to once, from the bucket where it belongs.
    pub(super) fn validate(
        &self,
        slots: &Slots,
        hash_of: impl Fn(&Slots, Index) -> u64,
    ) -> Result<(), String> {
        let (mut seen, mut further) = (0, 0);
        for number in 0..index(self.buckets.len()) {
            let first = self.buckets.get(number);
            let chain = std::iter::successors(first, |bucket| self.further.get(bucket.next));
            for (place, bucket) in chain.enumerate() {
                let filled = bucket.filled().count();
                let is_filled = match place {
                    0 => filled == LINKS || bucket.next == NONE,
                    1 => filled > 0,
                    _ => filled == LINKS,
                };
                further += usize::from(place > 0);
                if !is_filled || further > self.further.len() {
                    return Err(format!("bucket {number} leads to a further one that it does not need"));
                }
                for link in bucket.filled() {
                    let hash = link.at().map_or(0, |at| hash_of(slots, at));
                    seen += 1;
                    if self.bucket(hash) != number || !link.may_be(hash) || seen > slots.len() {
                        return Err(format!("bucket {number} leads by {link:?} to a slot of another"));
                    }
                }
            }
        }
        if seen != slots.len() || further != self.further.len() {
            return Err(format!(
                "the table leads to {seen} slots of {}, by {further} further buckets of {}",
                slots.len(),
                self.further.len()
            ));
        }
        Ok(())
    }

    #[inline]
    fn bucket(&self, hash: u64) -> Index {
        let bucket = hash & self.mask;
        let bucket = if bucket < length(self.buckets.len()) { bucket } else { bucket & (self.mask >> 1) };
        Index::try_from(bucket).unwrap_or(NONE)
    }

    fn add(&mut self, hash: u64, link: Link) {
        let number = self.bucket(hash);
        if self.replace(number, |link| link.at().is_none(), |_| link) {
            return;
        }
        let added = index(self.further.len());
        if let Some(bucket) = self.buckets.get_mut(number) {
            let next = std::mem::replace(&mut bucket.next, added);
            self.further.push(Bucket { next, ..Bucket::default() });
            self.replace(number, |link| link.at().is_none(), |_| link);
        }
    }

    /// Replaces the first link of a bucket and its further ones that `is` the one; whether there was one.
    fn replace(&mut self, number: Index, is: impl Fn(Link) -> bool, with: impl FnOnce(Link) -> Link) -> bool {
        let mut at = self.buckets.get_mut(number);
        while let Some(bucket) = at {
            if let Some(link) = bucket.links.iter_mut().find(|link| is(**link)) {
                *link = with(*link);
                return true;
            }
            let next = bucket.next;
            at = self.further.get_mut(next);
        }
        false
    }

    /// Takes a link out of the first of a bucket's further ones, and drops that one where it was its last; no link where there are
    /// none.
    fn take_further(&mut self, slots: &Slots, number: Index, hash_of: impl Fn(&Slots, Index) -> u64) -> Link {
        let next = self.buckets.get(number).map_or(NONE, |bucket| bucket.next);
        let Some(further) = self.further.get_mut(next) else { return Link::default() };
        let link = further.links.iter_mut().rfind(|link| link.at().is_some()).map(std::mem::take);
        if further.filled().next().is_none() {
            self.drop_further(slots, number, hash_of);
        }
        link.unwrap_or_default()
    }

    /// Drops the first of a bucket's further ones, and tells what was in it. The last one takes its place.
    fn drop_further(
        &mut self,
        slots: &Slots,
        number: Index,
        hash_of: impl Fn(&Slots, Index) -> u64,
    ) -> Option<Bucket> {
        let bucket = self.buckets.get_mut(number)?;
        let dropped = bucket.next;
        bucket.next = self.further.get(dropped)?.next;
        let dropped_bucket = self.further.swap_remove(dropped)?;
        let last = index(self.further.len());
        if last != dropped {
            self.follow(slots, last, dropped, hash_of);
        }
        Some(dropped_bucket)
    }

    /// Follows a further bucket that moved: whose it is can be told by any slot that it leads to.
    fn follow(&mut self, slots: &Slots, from: Index, to: Index, hash_of: impl Fn(&Slots, Index) -> u64) {
        let moved = self.further.get(to).and_then(|bucket| bucket.filled().next()?.at());
        let number = moved.map_or(NONE, |at| self.bucket(hash_of(slots, at)));
        let mut before = self.buckets.get_mut(number);
        while let Some(bucket) = before {
            if bucket.next == from {
                bucket.next = to;
                return;
            }
            let next = bucket.next;
            before = self.further.get_mut(next);
        }
    }

    /// Adds a bucket: it takes its part of the one that it was folded into.
    fn split(&mut self, slots: &Slots, hash_of: impl Fn(&Slots, Index) -> u64) {
        let added = length(self.buckets.len());
        let mask = (added + 1).next_power_of_two() - 1;
        let links = self.empty(slots, Index::try_from(added & (mask >> 1)).unwrap_or(NONE), &hash_of);
        self.buckets.push(Bucket::default());
        self.mask = mask;
        self.add_all(slots, links, hash_of);
    }

    /// Drops the last bucket: what it holds goes back to the one that it was split from.
    fn merge(&mut self, slots: &Slots, hash_of: impl Fn(&Slots, Index) -> u64) {
        let links = self.empty(slots, index(self.buckets.len() - 1), &hash_of);
        self.buckets.pop();
        self.mask = length(self.buckets.len().next_power_of_two()) - 1;
        self.add_all(slots, links, hash_of);
    }

    /// Takes everything out of a bucket, its further ones included.
    fn empty(&mut self, slots: &Slots, number: Index, hash_of: impl Fn(&Slots, Index) -> u64) -> Links {
        let mut links = Links::new();
        while let Some(further) = self.drop_further(slots, number, &hash_of) {
            links.extend(further.filled());
        }
        if let Some(bucket) = self.buckets.get_mut(number).map(std::mem::take) {
            links.extend(bucket.filled());
        }
        links
    }

    fn add_all(&mut self, slots: &Slots, links: Links, hash_of: impl Fn(&Slots, Index) -> u64) {
        for link in links {
            if let Some(at) = link.at() {
                self.add(hash_of(slots, at), link);
            }
        }
    }
}
