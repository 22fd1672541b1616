//! Ghosts: what is remembered of entries that were evicted, two bytes for each.
//!
//! A set of fingerprints in buckets of eight, each bucket first in, first out; together as many places as there are
//! entries. One in some eight thousand strangers is taken for a ghost, which costs it nothing but a better place.

use crate::value::length;

const LANES: usize = 8;

/// Fingerprints, the newest of a bucket first; zero is none.
#[derive(Debug, Default)]
pub(super) struct Ghosts(Vec<[u16; LANES]>);

impl Ghosts {
    /// Remembers a hash, as one of about as many as there are `entries`.
    pub(super) fn remember(&mut self, hash: u64, entries: usize) {
        let places = self.0.len() * LANES;
        if entries > places + places / 4 || entries < places / 2 {
            // Whoever grows by much has not evicted lately: hardly anything is lost.
            self.0 = Vec::new();
            self.0.resize(entries.div_ceil(LANES).max(1), [0; LANES]);
        }
        if let Some(bucket) = self.bucket(hash) {
            bucket.rotate_right(1);
            if let Some(newest) = bucket.first_mut() {
                *newest = fingerprint(hash);
            }
        }
    }

    /// Forgets a hash; whether it was remembered.
    pub(super) fn forget(&mut self, hash: u64) -> bool {
        let Some(bucket) = self.bucket(hash) else { return false };
        let Some(lane) = bucket.iter().position(|&lane| lane == fingerprint(hash)) else { return false };
        if let Some(from) = bucket.get_mut(lane..) {
            from.rotate_left(1);
        }
        if let Some(oldest) = bucket.last_mut() {
            *oldest = 0;
        }
        true
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<[u16; LANES]>()
    }

    fn bucket(&mut self, hash: u64) -> Option<&mut [u16; LANES]> {
        let at = ((hash & u64::from(u32::MAX)) * length(self.0.len())) >> 32;
        self.0.get_mut(usize::try_from(at).ok()?)
    }
}

fn fingerprint(hash: u64) -> u16 {
    let [.., low, high] = hash.to_le_bytes();
    u16::from_le_bytes([low, high]).max(1)
}

#[cfg(test)]
mod tests {
    use super::Ghosts;

    /// Hashes that are well spread.
    fn hash(number: u64) -> u64 {
        let mixed = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        u64::try_from(mixed >> 64).unwrap() ^ u64::try_from(mixed & u128::from(u64::MAX)).unwrap()
    }

    #[test]
    fn ghosts_are_remembered_for_about_as_many_as_there_are_entries() {
        let mut ghosts = Ghosts::default();
        (0..10_000).for_each(|number| ghosts.remember(hash(number), 1_000));
        let recent = (9_500..10_000).filter(|&number| ghosts.forget(hash(number))).count();
        let old = (0..7_000).filter(|&number| ghosts.forget(hash(number))).count();
        assert!(recent > 450, "{recent} of the last 500 are remembered");
        assert!(old < 50, "{old} of 7,000 old ones are remembered");
        assert!(!ghosts.forget(hash(9_900)), "forgotten, and remembered still");
    }

    #[test]
    fn ghosts_take_two_bytes_each() {
        let mut ghosts = Ghosts::default();
        (0..5_000).for_each(|number| ghosts.remember(hash(number), 4_000));
        assert_eq!(ghosts.bytes(), 8_000);
        ghosts.remember(0, 100);
        assert!(ghosts.bytes() < 300, "few entries, and room for many ghosts");
    }
}
