//! How often keys were asked for lately, those that left included: counts by fingerprint, in buckets of eight.
//!
//! A lane holds twelve bits of a key's hash and a count up to 15. The lane counted last stands first; a new key takes the
//! place of the one that was counted longest ago among those counted least, so that what passes once drives out only its
//! like. After [`PERIOD`] counts an entry all counts are halved, up to
//! whole ones: what was popular once is forgotten (Einziger, Friedman
//! and Manes, "TinyLFU", 2017). It grows with the number of entries, keeping what it counted. One key in some five hundred
//! is taken for another.

use crate::value::length;

const LANES: usize = 8;
type Bucket = [u16; LANES];

/// The part of a lane that counts; the rest is the fingerprint.
const COUNT: u16 = 0x000f;
/// Counts an entry between two halvings.
const PERIOD: usize = 16;
/// Lanes an entry, at least; at most twice as many.
const LANES_PER_ENTRY: usize = 2;
/// With fewer buckets a small cache forgets a loop ten times its size.
const BUCKETS_MIN: usize = 512;

/// Counts of keys by their hashes.
#[derive(Debug, Default)]
pub(super) struct Frequency {
    /// A power of two of them.
    buckets: Vec<Bucket>,
    counted: usize,
}

impl Frequency {
    /// Counts a key, beside the keys of so many entries.
    pub(super) fn count(&mut self, hash: u64, entries: usize) {
        self.fit(entries);
        let (at, fingerprint) = self.place(hash);
        let Some(bucket) = self.buckets.get_mut(at) else { return };
        let known = bucket.iter().position(|lane| lane & !COUNT == fingerprint);
        let taken = known.or_else(|| {
            let least = bucket.iter().map(|lane| lane & COUNT).min()?.max(1);
            bucket.iter().rposition(|lane| lane & COUNT <= least)
        });
        if let Some(newer) = taken.and_then(|lane| bucket.get_mut(..=lane)) {
            newer.rotate_right(1);
            if let Some(first) = newer.first_mut() {
                let count = if known.is_some() { *first & COUNT } else { 0 };
                *first = fingerprint | (count + 1).min(COUNT);
            }
        }
        self.counted += 1;
        if self.counted >= PERIOD * entries.max(1) {
            self.counted /= 2;
            for lane in self.buckets.iter_mut().flatten() {
                *lane = (*lane & !COUNT) | (*lane & COUNT).div_ceil(2);
            }
        }
    }

    /// How often a key was counted lately, up to 15.
    pub(super) fn get(&self, hash: u64) -> u16 {
        let (at, fingerprint) = self.place(hash);
        let bucket = self.buckets.get(at).map_or(&[][..], |bucket| bucket);
        bucket.iter().find(|&&lane| lane & !COUNT == fingerprint).map_or(0, |lane| lane & COUNT)
    }

    pub(super) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Twice as many buckets where entries are too many, half where they are few.
    fn fit(&mut self, entries: usize) {
        let buckets = self.buckets.len();
        if buckets == 0 {
            self.buckets = vec![Bucket::default(); BUCKETS_MIN];
        } else if entries * LANES_PER_ENTRY > buckets * LANES {
            // A key's bucket is that of its old number, or its twin: either way it brings what was counted.
            self.buckets.reserve_exact(buckets);
            self.buckets.extend_from_within(..);
        } else if buckets > BUCKETS_MIN && entries * LANES_PER_ENTRY * 8 < buckets * LANES {
            self.buckets.truncate(buckets / 2);
            self.buckets.shrink_to_fit();
        }
    }

    /// The bucket of a hash, and its fingerprint in the upper bits of a lane.
    fn place(&self, hash: u64) -> (usize, u16) {
        // The bits of a hash that pick the shard are the same for all keys here: they are mixed with the others.
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mask = length(self.buckets.len().saturating_sub(1));
        let [.., low, high] = mixed.to_le_bytes();
        (usize::try_from((mixed >> 16) & mask).unwrap_or(0), u16::from_le_bytes([low, high]) & !COUNT)
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS_MIN, Frequency, LANES};

    fn hash(number: u64) -> u64 {
        let mixed = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        u64::try_from(mixed >> 64).unwrap() ^ u64::try_from(mixed & u128::from(u64::MAX)).unwrap()
    }

    #[test]
    fn counts_are_kept_apart_and_saturate() {
        let mut frequency = Frequency::default();
        for number in 0..200 {
            (0..number % 20).for_each(|_| frequency.count(hash(number), 1_000));
        }
        let right = (0..200).filter(|&n| u64::from(frequency.get(hash(n))) == (n % 20).min(15)).count();
        assert!(right > 195, "{right} of 200 counts are right");
    }

    #[test]
    fn what_passes_once_drives_out_only_its_like() {
        let mut frequency = Frequency::default();
        (0..100).for_each(|number| (0..2).for_each(|_| frequency.count(hash(number), 5_000)));
        (1_000..60_000).for_each(|number| frequency.count(hash(number), 5_000));
        let kept = (0..100).filter(|&number| frequency.get(hash(number)) == 2).count();
        assert!(kept > 95, "{kept} of 100 are remembered");
    }

    #[test]
    fn what_is_not_asked_for_any_more_is_forgotten() {
        let mut frequency = Frequency::default();
        (0..12).for_each(|_| frequency.count(hash(7), 100));
        assert_eq!(frequency.get(hash(7)), 12);
        (0..4_000).for_each(|number| frequency.count(hash(1_000 + number), 100));
        assert!(frequency.get(hash(7)) <= 3, "{}", frequency.get(hash(7)));
    }

    #[test]
    fn growth_keeps_what_was_counted_and_few_entries_give_room_back() {
        let mut frequency = Frequency::default();
        (0..500).for_each(|number| (0..3).for_each(|_| frequency.count(hash(number), 500)));
        let small = frequency.bytes();
        frequency.count(hash(0), BUCKETS_MIN * LANES);
        frequency.count(hash(0), BUCKETS_MIN * LANES);
        assert_eq!(frequency.bytes(), small * 2);
        let kept = (0..500).filter(|&number| frequency.get(hash(number)) >= 3).count();
        assert!(kept > 490, "{kept} of 500 counts outlived the growth");
        (0..10).for_each(|_| frequency.count(hash(0), 10));
        assert_eq!(frequency.bytes(), small);
    }
}
