//! The eviction policies once more, as plain as can be: each beside a shard of its own, which must hold exactly the same keys
//! after every step.
//!
//! How many entries have to leave is the shard's to say, since that hangs on what its tables take; which ones is the
//! policy's. What the models share with the shard is the hash of a key and what an entry weighs.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::RandomState;
use proptest::prelude::*;

use super::dense::NONE;
use super::shard::{Gone, Shard, hash};
use super::slots::{SLOT_BYTES, Sought, heap_bytes, nothing};
use super::{Admit, EvictionPolicy, Filled, Held};
use crate::rt::Tick;
use crate::value::{Value, length};

/// A key, as a number.
type Key = u16;

/// The order in which entries make room.
trait Order {
    /// An entry comes that was not there, and weighs so much.
    fn enter(&mut self, key: Key, hash: u64, weight_bytes: u64);
    /// An entry is read.
    fn read(&mut self, key: Key);
    /// A value is put in place of an entry's.
    fn put(&mut self, key: Key);
    /// An entry weighs so much by now.
    fn reweigh(&mut self, key: Key, weight_bytes: u64);
    /// An entry goes.
    fn remove(&mut self, key: Key);
    /// One step to make room, that takes `spare` last; the entry that is to go, if one is.
    fn step(&mut self, spare: Option<Key>) -> Option<Key>;
}

/// Least recently used first. The front was used last.
#[derive(Debug, Default)]
struct Lru(VecDeque<Key>);

impl Order for Lru {
    fn enter(&mut self, key: Key, _: u64, _: u64) {
        self.0.push_front(key);
    }

    fn read(&mut self, key: Key) {
        self.remove(key);
        self.0.push_front(key);
    }

    fn put(&mut self, key: Key) {
        self.read(key);
    }

    fn reweigh(&mut self, _: Key, _: u64) {}

    fn remove(&mut self, key: Key) {
        self.0.retain(|other| *other != key);
    }

    fn step(&mut self, spare: Option<Key>) -> Option<Key> {
        self.0.iter().rev().find(|key| Some(**key) != spare).copied()
    }
}

/// Least frequently used first, with dynamic ageing.
#[derive(Debug, Default)]
struct LfuDa {
    /// Of each entry its rank, when it got that, and how often it was used.
    entries: BTreeMap<Key, (u64, u64, u64)>,
    /// The rank of what was evicted last.
    age: u64,
    now: u64,
}

impl LfuDa {
    fn rank(&mut self, key: Key, uses: u64) {
        self.now += 1;
        self.entries.insert(key, (self.age + uses, self.now, uses));
    }
}

impl Order for LfuDa {
    fn enter(&mut self, key: Key, _: u64, _: u64) {
        self.rank(key, 1);
    }

    fn read(&mut self, key: Key) {
        let (_, _, uses) = self.entries[&key];
        self.rank(key, (uses + 1).min(15));
    }

    fn put(&mut self, _: Key) {}

    fn reweigh(&mut self, _: Key, _: u64) {}

    fn remove(&mut self, key: Key) {
        self.entries.remove(&key);
    }

    fn step(&mut self, spare: Option<Key>) -> Option<Key> {
        let others = self.entries.iter().filter(|(key, _)| Some(**key) != spare);
        let (&lowest, &(rank, ..)) = others.min_by_key(|(_, (rank, since, _))| (*rank, *since))?;
        let spared = spare.and_then(|spare| self.entries.get(&spare));
        if spared.is_none_or(|(spared, ..)| *spared >= rank) {
            self.age = rank;
        }
        Some(lowest)
    }
}

/// The default policy: two queues, and admission to the main one by frequency.
#[derive(Debug, Default)]
struct S3Fifo {
    /// The front came last.
    small: VecDeque<Key>,
    main: VecDeque<Key>,
    entries: HashMap<Key, Entry>,
    frequency: Frequency,
    /// What all weighed when room had to be made last.
    full_bytes: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    weight_bytes: u64,
    /// Reads since it was last looked at for eviction, up to three.
    reads: u64,
}

impl S3Fifo {
    fn weight_bytes<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> u64 {
        keys.into_iter().map(|key| self.entries[key].weight_bytes).sum()
    }

    fn all_bytes(&self) -> u64 {
        self.weight_bytes(self.entries.keys())
    }

    /// More than a twentieth of the weight is in the small queue.
    fn small_is_full(&self) -> bool {
        self.weight_bytes(&self.small) > self.all_bytes() / 20
    }

    /// Since room had to be made, a sixteenth of the weight has gone.
    fn has_room(&self) -> bool {
        self.full_bytes.is_none_or(|full_bytes| self.all_bytes() < full_bytes - full_bytes / 16)
    }

    fn oldest(queue: &VecDeque<Key>, spare: Option<Key>) -> Option<Key> {
        queue.iter().rev().find(|key| Some(**key) != spare).copied()
    }

    /// The frequency hears of an entry's reads.
    fn count_reads(&mut self, key: Key) {
        let count = self.entries.len();
        let Some(entry) = self.entries.get_mut(&key) else { return };
        for _ in 0..std::mem::take(&mut entry.reads) {
            self.frequency.count(entry.hash, count);
        }
    }

    /// To the head of main.
    fn promote(&mut self, key: Key) {
        self.count_reads(key);
        self.small.retain(|other| *other != key);
        self.main.retain(|other| *other != key);
        self.main.push_front(key);
    }

    fn asked(&self, key: Key) -> u64 {
        self.frequency.get(self.entries[&key].hash)
    }
}

impl Order for S3Fifo {
    fn enter(&mut self, key: Key, hash: u64, weight_bytes: u64) {
        self.entries.insert(key, Entry { hash, weight_bytes, reads: 0 });
        self.frequency.count(hash, self.entries.len());
        self.small.push_front(key);
        // Up to two go over for one that comes, while there is room.
        for _ in 0..2 {
            let Some(oldest) = Self::oldest(&self.small, Some(key)) else { return };
            if !self.has_room() || !self.small_is_full() {
                return;
            }
            self.promote(oldest);
        }
    }

    fn read(&mut self, key: Key) {
        let reads = &mut self.entries.get_mut(&key).unwrap().reads;
        *reads = (*reads + 1).min(3);
    }

    fn put(&mut self, _: Key) {}

    fn reweigh(&mut self, key: Key, weight_bytes: u64) {
        self.entries.get_mut(&key).unwrap().weight_bytes = weight_bytes;
    }

    fn remove(&mut self, key: Key) {
        self.small.retain(|other| *other != key);
        self.main.retain(|other| *other != key);
        self.entries.remove(&key);
    }

    fn step(&mut self, spare: Option<Key>) -> Option<Key> {
        self.full_bytes = Some(self.all_bytes());
        let candidate = Self::oldest(&self.small, spare);
        let Some(victim) = Self::oldest(&self.main, spare) else { return candidate };
        let entry = self.entries.get_mut(&victim).unwrap();
        if entry.reads > 0 {
            // It was read: another turn.
            entry.reads -= 1;
            let hash = entry.hash;
            self.frequency.count(hash, self.entries.len());
            self.main.retain(|other| *other != victim);
            self.main.push_front(victim);
            return None;
        }
        let Some(candidate) = candidate.filter(|_| self.small_is_full()) else { return Some(victim) };
        self.count_reads(candidate);
        let (asked, held) = (self.asked(candidate), self.asked(victim).max(1));
        if asked > held + held / 4 {
            self.promote(candidate);
            return Some(victim);
        }
        self.main.retain(|other| *other != victim);
        self.main.push_front(victim);
        Some(candidate)
    }
}

/// How often keys were asked for: buckets of eight fingerprints, the one that was counted last at the front.
#[derive(Debug, Default)]
struct Frequency {
    buckets: Vec<VecDeque<Lane>>,
    counted: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    fingerprint: u64,
    count: u64,
}

impl Frequency {
    fn count(&mut self, hash: u64, entries: usize) {
        self.fit(entries);
        let (bucket, fingerprint) = self.place(hash);
        let lanes = &mut self.buckets[bucket];
        let known = lanes.iter().position(|lane| lane.fingerprint == fingerprint);
        // Else the last of those that were counted least.
        let least = lanes.iter().map(|lane| lane.count).min().unwrap().max(1);
        let at = known.or_else(|| lanes.iter().rposition(|lane| lane.count <= least)).unwrap();
        let taken = lanes.remove(at).unwrap();
        let count = if known.is_some() { (taken.count + 1).min(15) } else { 1 };
        lanes.push_front(Lane { fingerprint, count });
        self.counted += 1;
        if self.counted >= 16 * entries {
            self.counted /= 2;
            for lane in self.buckets.iter_mut().flatten() {
                lane.count = lane.count.div_ceil(2);
            }
        }
    }

    fn get(&self, hash: u64) -> u64 {
        let (bucket, fingerprint) = self.place(hash);
        let lanes = &self.buckets[bucket];
        lanes.iter().find(|lane| lane.fingerprint == fingerprint).map_or(0, |lane| lane.count)
    }

    /// At least 512 buckets, and two to sixteen lanes an entry.
    fn fit(&mut self, entries: usize) {
        let buckets = self.buckets.len();
        if buckets == 0 {
            self.buckets = vec![VecDeque::from([Lane::default(); 8]); 512];
        } else if 2 * entries > 8 * buckets {
            self.buckets.extend_from_within(..);
        } else if buckets > 512 && 16 * entries < 8 * buckets {
            self.buckets.truncate(buckets / 2);
        }
    }

    /// The bucket of a hash, and the twelve bits that stand for it there.
    fn place(&self, hash: u64) -> (usize, u64) {
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (usize::try_from((mixed >> 16) % length(self.buckets.len())).unwrap(), mixed >> 52)
    }
}

/// A shard, the plain order of its entries, and when each ends.
struct Beside {
    shard: Shard,
    hasher: RandomState,
    order: Box<dyn Order>,
    ends: BTreeMap<Key, Tick>,
    now: Tick,
}

#[derive(Clone, Debug)]
enum Op {
    Insert { key: Key, bytes: u64, lives_ms: u64 },
    Get { key: Key },
    Drop { key: Key },
    Grow { key: Key, bytes: u64 },
    Remove { key: Key },
    Wait { ms: u64 },
    Sweep,
    Budget { kib: u64 },
}

fn held(bytes: u64, useless_from: Tick) -> Held {
    Held { value: Some(Value::native((), bytes)), useless_from, ..nothing() }
}

fn weight_bytes(key: Key, bytes: u64) -> u64 {
    heap_bytes(0, &key.to_le_bytes(), &held(bytes, Tick::default())) + length(SLOT_BYTES)
}

impl Beside {
    fn new(policy: EvictionPolicy, budget_bytes: u64) -> Self {
        let order: Box<dyn Order> = match policy {
            EvictionPolicy::S3Fifo => Box::new(S3Fifo::default()),
            EvictionPolicy::Lru => Box::new(Lru::default()),
            EvictionPolicy::Lfu => Box::new(LfuDa::default()),
        };
        let hasher = RandomState::default();
        let shard = Shard::new(budget_bytes, policy, hasher.clone());
        Self { shard, hasher, order, ends: BTreeMap::new(), now: Tick::default() }
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let mut gone = Gone::new();
        match *op {
            Op::Insert { key, bytes, lives_ms } => self.insert(key, bytes, lives_ms)?,
            Op::Get { key } | Op::Drop { key } => {
                let name = key.to_le_bytes();
                let is_read = matches!(op, Op::Get { .. });
                let sought = self.sought(&name);
                let found = self.shard.get(&sought, self.now, &mut None, |_| is_read.then_some(()));
                let lives = self.ends.get(&key).map(|end| self.now < *end);
                prop_assert_eq!(found.is_some(), is_read && lives == Some(true));
                match lives {
                    Some(true) if is_read => self.order.read(key),
                    Some(_) => self.forget(key),
                    None => {}
                }
            }
            Op::Grow { key, bytes } => {
                let (name, value) = (key.to_le_bytes(), Value::native((), bytes));
                let grow = |held: &mut Held| held.value = Some(value);
                let (_, at) = self.shard.update(&self.sought(&name), self.now, &mut gone, grow);
                let lives = self.ends.get(&key).map(|end| self.now < *end);
                match lives {
                    Some(true) => self.order.reweigh(key, weight_bytes(key, bytes)),
                    Some(false) => self.forget(key),
                    None => {}
                }
                self.make_room((at != NONE).then_some(key), at)?;
            }
            Op::Remove { key } => {
                let name = key.to_le_bytes();
                let removed = self.shard.remove(&self.sought(&name), |_| true).is_some();
                prop_assert_eq!(removed, self.ends.contains_key(&key));
                self.forget(key);
            }
            Op::Wait { ms } => self.now = self.now.after(Duration::from_millis(ms)),
            Op::Sweep => {
                self.shard.sweep(self.now, usize::MAX, &mut gone);
                let swept = self.ends.keys().filter(|key| !self.is_held(**key)).copied();
                for key in swept.collect::<Vec<_>>() {
                    prop_assert!(self.ends[&key] <= self.now, "{key} was swept, and has not ended");
                    self.forget(key);
                }
            }
            Op::Budget { kib } => {
                self.shard.set_budget_bytes(kib * 1024);
                self.make_room(None, NONE)?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, key: Key, bytes: u64, lives_ms: u64) -> Result<(), TestCaseError> {
        let (name, end) = (key.to_le_bytes(), self.now.after(Duration::from_millis(lives_ms)));
        let sought = self.sought(&name);
        let mut gone = Gone::new();
        let (filled, at) = self.shard.insert(&sought, held(bytes, end), |_, _| Admit::Yes, &mut gone);
        prop_assert_eq!(filled, Filled::Stored);
        let weight_bytes = weight_bytes(key, bytes);
        if self.ends.insert(key, end).is_some() {
            self.order.reweigh(key, weight_bytes);
            self.order.put(key);
        } else {
            self.order.enter(key, sought.hash, weight_bytes);
        }
        self.make_room(Some(key), at)
    }

    /// Has the shard make room, `spare` at `at` being the last to leave, and as many leave the plain order.
    fn make_room(&mut self, spare: Option<Key>, at: u32) -> Result<(), TestCaseError> {
        let (mut gone, mut at) = (Gone::new(), at);
        while self.shard.make_room(at, &mut gone) {
            at = spare.map_or(NONE, |key| self.shard.slot_of(&self.sought(&key.to_le_bytes())));
        }
        let mut steps = 0;
        while self.ends.len() > self.shard.len() {
            if let Some(key) = self.order.step(spare) {
                prop_assert!(!self.is_held(key), "{key} had to leave, and another did");
                self.forget(key);
            }
            steps += 1;
            prop_assert!(steps < 100_000, "no entry leaves");
        }
        Ok(())
    }

    fn forget(&mut self, key: Key) {
        self.ends.remove(&key);
        self.order.remove(key);
    }

    fn is_held(&self, key: Key) -> bool {
        self.shard.slot_of(&self.sought(&key.to_le_bytes())) != NONE
    }

    fn same_keys(&self) -> Result<(), TestCaseError> {
        let held: BTreeSet<Key> = self.ends.keys().copied().filter(|key| self.is_held(*key)).collect();
        prop_assert_eq!(held.len(), self.shard.len(), "it holds what nobody put there");
        prop_assert_eq!(held.len(), self.ends.len(), "another one left");
        self.shard.validate().map_err(TestCaseError::fail)
    }

    fn sought<'k>(&self, name: &'k [u8]) -> Sought<'k> {
        Sought::new(hash(&self.hasher, 0, name), 0, name)
    }
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..64_u16;
    let bytes = prop_oneof![3 => 0..500_u64, 2 => 0..9_000_u64];
    prop_oneof![
        8 => (key.clone(), bytes.clone(), 1..2_000_u64)
            .prop_map(|(key, bytes, lives_ms)| Op::Insert { key, bytes, lives_ms }),
        10 => key.clone().prop_map(|key| Op::Get { key }),
        1 => key.clone().prop_map(|key| Op::Drop { key }),
        1 => (key.clone(), bytes).prop_map(|(key, bytes)| Op::Grow { key, bytes }),
        1 => key.prop_map(|key| Op::Remove { key }),
        1 => (0..100_u64).prop_map(|ms| Op::Wait { ms }),
        1 => Just(Op::Sweep),
        1 => (96..160_u64).prop_map(|kib| Op::Budget { kib }),
    ]
}

const POLICIES: [EvictionPolicy; 3] = [EvictionPolicy::S3Fifo, EvictionPolicy::Lru, EvictionPolicy::Lfu];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_keys_are_those_of_the_plain_policy(ops in prop::collection::vec(op(), 1..600)) {
        for policy in POLICIES {
            let mut beside = Beside::new(policy, 128 * 1024);
            for op in &ops {
                beside.apply(op)?;
                beside.same_keys()?;
            }
        }
    }
}

#[test]
fn so_they_are_where_the_frequencies_grow_and_shrink() {
    for policy in POLICIES {
        let mut beside = Beside::new(policy, 2 * 1024 * 1024);
        let mut random = fastrand::Rng::with_seed(7);
        for step in 0..60_000_u32 {
            let below = random.u16(1..12_000);
            let key = random.u16(..below);
            let op = match (step, random.u8(..8)) {
                (40_000, _) => Op::Budget { kib: 256 },
                (_, 0..3) => Op::Insert { key, bytes: random.u64(..400), lives_ms: 1_000 },
                _ => Op::Get { key },
            };
            beside.apply(&op).unwrap();
            if step % 2_000 == 0 {
                beside.same_keys().unwrap();
            }
        }
    }
}
