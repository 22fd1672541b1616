//! The hottest keys of a namespace, found in passing, in bounded memory, and forgotten when they cool.
//!
//! Space-Saving (Metwally et al., ICDT 2005): a fixed number of counters; a key without one takes over the smallest, count
//! included. A key that makes up more than one in so many of the touches always has a counter. All counts are halved
//! every half-life, so that a key which is no longer asked for sinks below those that are.
//!
//! It guarantees its bound in memory, and that a key which is no longer read is forgotten: with M counters a half-life is
//! 32 M counted touches, no count is above 64 M, and after log₂(M) + 7 half-lives any count is nought and not told. A
//! usual hot key is gone sooner (Zipf 0.99, 100 keys told: within 8 half-lives). Time is counted in touches, not in
//! hours: a namespace that nobody reads keeps what it knows. A hit pays for a random number; one in [`SAMPLE`] also pays for the lock and
//! the counter. What is done with the hottest keys is for others to say.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::rt::Mutex;
use crate::value::length;

/// One hit in so many is counted; a power of two.
const SAMPLE: u32 = 64;
/// Counters for one key that is asked for: the spare ones keep rare keys from pushing out the last of the hot ones.
const COUNTERS_A_KEY: usize = 4;
/// The fewest counters.
const COUNTERS_MIN: usize = 64;
/// Counted touches for one counter after which all counts are halved.
const HALF_LIFE_TOUCHES: u64 = 32;
/// The most keys that can be told; beyond it a sketch is no cheaper than the keys.
pub(crate) const HOTTEST_MAX: usize = 100_000;
/// A longer key is not counted.
const KEY_BYTES_MAX: usize = 1_024;

/// Counts the reads of a namespace's keys.
#[derive(Debug)]
pub(crate) struct Sketch {
    hasher: RandomState,
    counters: Mutex<Counters>,
    keys: usize,
    counters_max: usize,
    /// Counted touches after which all counts are halved.
    half_life: u64,
}

#[derive(Debug)]
struct Counters {
    counters: Vec<Counter>,
    /// Indexes of counters, found by their keys.
    table: HashTable<usize>,
    /// Indexes of counters as a binary heap: none counts less than its parent, and the first the least.
    heap: Vec<usize>,
    /// Touches since the counts were last halved.
    touches: u64,
}

#[derive(Debug)]
struct Counter {
    /// A usual key lies within its counter, so that counting a hit allocates nothing.
    key: SmallVec<[u8; 64]>,
    hash: u64,
    count: u64,
    /// Its place in the heap.
    place: usize,
}

impl Sketch {
    /// A sketch that can tell the hottest `keys` keys; from 1 to [`HOTTEST_MAX`].
    pub(crate) fn new(keys: usize) -> Self {
        let keys = keys.clamp(1, HOTTEST_MAX);
        let counters_max = keys.saturating_mul(COUNTERS_A_KEY).max(COUNTERS_MIN);
        let half_life = length(counters_max).saturating_mul(HALF_LIFE_TOUCHES);
        Self {
            hasher: RandomState::default(),
            counters: Mutex::new(Counters::new(counters_max)),
            keys,
            counters_max,
            half_life,
        }
    }

    /// A read of `key`, of which one in [`SAMPLE`] is counted.
    pub(crate) fn touch(&self, key: &[u8]) {
        if fastrand::u32(..).is_multiple_of(SAMPLE) {
            self.count(key);
        }
    }

    /// Counts `key`, whatever the sampling says: for what is rare and dear, as a miss is.
    pub(crate) fn count(&self, key: &[u8]) {
        if key.len() > KEY_BYTES_MAX {
            return;
        }
        let hash = self.hasher.hash_one(key);
        let mut counters = self.counters.lock();
        counters.age(self.half_life);
        counters.count(key, hash, self.counters_max);
    }

    /// The hottest `keys` keys, hottest first; at most as many as it was made for.
    pub(crate) fn hottest(&self, keys: usize) -> Vec<Box<[u8]>> {
        let mut counted: Vec<(u64, Box<[u8]>)> = {
            let counters = self.counters.lock();
            let counted = counters.counters.iter().filter(|counter| counter.count > 0);
            counted.map(|counter| (counter.count, counter.key.as_slice().into())).collect()
        };
        counted.sort_unstable_by(|one, other| other.cmp(one));
        counted.into_iter().take(keys.min(self.keys)).map(|(_, key)| key).collect()
    }

    /// The memory it takes, in bytes: its counters from the start, and what keys of more than 64 bytes take beside them.
    pub(crate) fn weight_bytes(&self) -> u64 {
        let counters = self.counters.lock();
        let outside = counters.counters.iter().filter(|counter| counter.key.spilled());
        let keys: usize = outside.map(|counter| counter.key.capacity()).sum();
        let held = counters.counters.capacity() * size_of::<Counter>();
        let heap = counters.heap.capacity() * size_of::<usize>();
        length(keys + held + heap + counters.table.allocation_size() + size_of::<Self>())
    }
}

impl Counters {
    fn new(counters_max: usize) -> Self {
        Self {
            counters: Vec::with_capacity(counters_max),
            table: HashTable::with_capacity(counters_max),
            heap: Vec::with_capacity(counters_max),
            touches: 0,
        }
    }

    fn count(&mut self, key: &[u8], hash: u64, counters_max: usize) {
        let index = match self.find(key, hash) {
            Some(index) => index,
            None if self.counters.len() < counters_max => self.add(key, hash),
            None => match self.take_over(key, hash) {
                Some(index) => index,
                None => return,
            },
        };
        let Some(counter) = self.counters.get_mut(index) else { return };
        counter.count += 1;
        let place = counter.place;
        self.sink(place);
    }

    fn find(&self, key: &[u8], hash: u64) -> Option<usize> {
        let counters = &self.counters;
        let is_it = |index: &usize| counters.get(*index).is_some_and(|counter| *counter.key == *key);
        self.table.find(hash, is_it).copied()
    }

    fn add(&mut self, key: &[u8], hash: u64) -> usize {
        let index = self.counters.len();
        self.counters.push(Counter {
            key: SmallVec::from_slice(key),
            hash,
            count: 0,
            place: self.heap.len(),
        });
        self.heap.push(index);
        self.enter(index, hash);
        self.rise(index);
        index
    }

    /// Gives the smallest counter to `key`; its count stays, since the key may have been counted there before.
    fn take_over(&mut self, key: &[u8], hash: u64) -> Option<usize> {
        let index = *self.heap.first()?;
        let counter = self.counters.get_mut(index)?;
        let old = std::mem::replace(&mut counter.hash, hash);
        counter.key.clear();
        counter.key.extend_from_slice(key);
        if let Ok(entry) = self.table.find_entry(old, |other| *other == index) {
            entry.remove();
        }
        self.enter(index, hash);
        Some(index)
    }

    fn enter(&mut self, index: usize, hash: u64) {
        let counters = &self.counters;
        let hash_of = |index: &usize| counters.get(*index).map_or(0, |counter| counter.hash);
        self.table.insert_unique(hash, index, hash_of);
    }

    /// What the counter at `place` of the heap counts.
    fn count_at(&self, place: usize) -> Option<u64> {
        Some(self.counters.get(*self.heap.get(place)?)?.count)
    }

    /// Lets the counter at `place`, which was raised, sink below those that count less.
    fn sink(&mut self, mut place: usize) {
        loop {
            let children = [2 * place + 1, 2 * place + 2];
            let counts = children.iter().filter_map(|child| Some((self.count_at(*child)?, *child)));
            let Some((least, child)) = counts.min() else { return };
            if self.count_at(place).is_none_or(|count| count <= least) {
                return;
            }
            self.swap(place, child);
            place = child;
        }
    }

    /// Lets a new counter, which stands last, rise above those that count more.
    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.count_at(parent) <= self.count_at(place) {
                return;
            }
            self.swap(place, parent);
            place = parent;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        for place in [one, other] {
            if let Some(counter) = self.heap.get(place).and_then(|index| self.counters.get_mut(*index)) {
                counter.place = place;
            }
        }
    }

    /// Halves all counts when that is due. The order of a heap survives it.
    fn age(&mut self, half_life: u64) {
        self.touches += 1;
        if self.touches <= half_life {
            return;
        }
        self.touches = 1;
        self.counters.iter_mut().for_each(|counter| counter.count /= 2);
    }
}

#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{COUNTERS_MIN, Counters, HOTTEST_MAX, KEY_BYTES_MAX, SAMPLE, Sketch};

    /// Draws of a Zipf distribution with exponent 0.99 over `ranks`.
    struct Zipf {
        sums: Vec<f64>,
        random: fastrand::Rng,
    }

    impl Zipf {
        fn new(ranks: u32, seed: u64) -> Self {
            let mut sum = 0.0;
            let sums = (1..=ranks).map(|rank| {
                sum += f64::from(rank).powf(-0.99);
                sum
            });
            Self { sums: sums.collect(), random: fastrand::Rng::with_seed(seed) }
        }

        /// A rank from 0.
        fn draw(&mut self) -> usize {
            let at = self.random.f64() * self.sums.last().unwrap();
            self.sums.partition_point(|sum| *sum < at)
        }
    }

    fn key(generation: &str, rank: usize) -> Vec<u8> {
        format!("{generation}:{rank}").into_bytes()
    }

    /// The structure is whole: heap, table and counters say the same.
    fn check(counters: &Counters) {
        assert_eq!(counters.heap.len(), counters.counters.len());
        assert_eq!(counters.table.len(), counters.counters.len());
        for (index, counter) in counters.counters.iter().enumerate() {
            assert_eq!(counters.find(&counter.key, counter.hash), Some(index));
            assert_eq!(counters.heap[counter.place], index);
            let parent = counters.heap[counter.place.saturating_sub(1) / 2];
            assert!(counters.counters[parent].count <= counter.count, "the heap has lost its order");
        }
    }

    fn missing(sketch: &Sketch, generation: &str, ranks: usize) -> Vec<usize> {
        let hottest = sketch.hottest(100);
        (0..ranks).filter(|rank| !hottest.iter().any(|hot| **hot == *key(generation, *rank))).collect()
    }

    #[test]
    fn the_true_top_twenty_are_found_and_leave_when_they_cool() {
        for seed in 0..5 {
            let sketch = Sketch::new(100);
            let mut zipf = Zipf::new(100_000, seed);
            for _ in 0..200_000 {
                sketch.count(&key("old", zipf.draw()));
            }
            assert_eq!(missing(&sketch, "old", 20), [0; 0], "seed {seed}");
            // Other keys become popular.
            let mut draws = 0;
            let held = |sketch: &Sketch| sketch.hottest(100).iter().any(|key| key.starts_with(b"old:"));
            while held(&sketch) || draws == 0 {
                for _ in 0..1_000 {
                    sketch.count(&key("new", zipf.draw()));
                }
                draws += 1_000;
                assert!(draws <= 8 * sketch.half_life, "seed {seed}: old keys after {draws} draws");
            }
            (0..100_000).for_each(|_| sketch.count(&key("new", zipf.draw())));
            assert_eq!(missing(&sketch, "new", 20), [0; 0], "seed {seed}");
            check(&sketch.counters.lock());
        }
    }

    #[test]
    fn even_a_key_that_had_every_read_is_forgotten() {
        let sketch = Sketch::new(100);
        (0..sketch.half_life * 10).for_each(|_| sketch.count(b"only"));
        assert!(sketch.counters.lock().counters[0].count <= 2 * sketch.half_life);
        let half_lives = u64::from(sketch.counters_max.ilog2()) + 7;
        for number in 0..half_lives * sketch.half_life {
            sketch.count(&(number % 100).to_be_bytes());
        }
        let hottest = sketch.hottest(100);
        assert!(hottest.len() == 100 && hottest.iter().all(|key| **key != *b"only"), "it is still told");
    }

    #[test]
    fn sampled_reads_find_the_same() {
        fastrand::seed(7);
        let sketch = Sketch::new(100);
        let mut zipf = Zipf::new(100_000, 7);
        let keys: Vec<_> = (0..100_000).map(|rank| key("sampled", rank)).collect();
        (0..100_000 * SAMPLE).for_each(|_| sketch.touch(&keys[zipf.draw()]));
        assert_eq!(missing(&sketch, "sampled", 20), [0; 0]);
        let touches: u64 = sketch.counters.lock().touches;
        assert!((80_000..120_000).contains(&(touches + sketch.half_life * (100_000 / sketch.half_life))));
    }

    #[test]
    fn memory_is_bounded() {
        let sketch = Sketch::new(1);
        sketch.count(&[b'k'; KEY_BYTES_MAX + 1]);
        assert!(sketch.hottest(1).is_empty(), "a key beyond the limit is counted");
        for number in 0..50_000_u32 {
            sketch.count(&number.to_be_bytes());
        }
        assert_eq!(sketch.counters.lock().counters.len(), COUNTERS_MIN);
        assert!(sketch.weight_bytes() < 16_384, "{} bytes", sketch.weight_bytes());
        assert_eq!(sketch.hottest(10).len(), 1, "it was made for one");
        assert_eq!(Sketch::new(usize::MAX).keys, HOTTEST_MAX);
    }

    proptest! {
        /// Before counts are halved, no counter is below the truth, and none above it by more than the smallest.
        #[test]
        fn counts_are_as_near_as_the_paper_says(touched in prop::collection::vec(0..40_u8, 1..400)) {
            let mut counters = Counters::new(16);
            let mut truth: HashMap<u8, u64> = HashMap::new();
            for key in touched {
                // Hashes that collide are told apart by their keys.
                counters.count(&[key], u64::from(key % 3), 16);
                *truth.entry(key).or_default() += 1;
                check(&counters);
            }
            let least = if counters.counters.len() == 16 { counters.count_at(0).unwrap() } else { 0 };
            for counter in &counters.counters {
                let true_count = truth[&counter.key[0]];
                prop_assert!(counter.count >= true_count && counter.count <= true_count + least);
            }
            let total: u64 = counters.counters.iter().map(|counter| counter.count).sum();
            prop_assert_eq!(total, truth.values().sum::<u64>());
            for (key, count) in truth {
                let is_held = counters.find(&[key], u64::from(key % 3)).is_some();
                prop_assert!(is_held || count <= least, "a frequent key has no counter");
            }
        }
    }
}
