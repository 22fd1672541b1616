//! The memory tier against a plain map: it may forget, never invent, and stays within its budget.

use std::collections::HashMap;
use std::time::Duration;

use forebay::rt::Tick;
use forebay::tier::memory::{Admit, EvictionPolicy, Filled, Held, MemoryTier};
use forebay::value::{Hash, Position};
use forebay::{Blob, Value};
use proptest::prelude::*;

const MIB: u64 = 1024 * 1024;

fn held(bytes: Vec<u8>, until: Tick) -> Held {
    Held {
        value: Some(Value::from(Blob::opaque(bytes))),
        began: Tick::default(),
        fresh_until: until,
        useless_from: until,
        position: Position::START,
        expired: false,
        extras: None,
    }
}

fn bytes(held: &Held) -> Vec<u8> {
    held.value.as_ref().unwrap().as_blob().unwrap().as_bytes().to_vec()
}

fn get(tier: &MemoryTier, namespace: u32, key: &[u8], now: Tick) -> Option<Held> {
    tier.get(namespace, key, now, |held| Some(held.to_held()))
}

#[derive(Clone, Debug)]
enum Op {
    Put { key: u8, size: usize, fill: u8, lives_ms: u64, admit: Admit },
    Get { key: u8 },
    Ahead { keys: Vec<u8> },
    Drop { key: u8 },
    Grow { key: u8, size: usize },
    Extend { key: u8, by_ms: u64 },
    Remove { key: u8 },
    RemoveOdd,
    Wait { ms: u64 },
    Sweep { limit: usize },
    Budget { kib: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let admit = prop_oneof![8 => Just(Admit::Yes), 1 => Just(Admit::Fenced), 1 => Just(Admit::Older)];
    prop_oneof![
        8 => (any::<u8>(), 0..60_000_usize, any::<u8>(), 1..500_u64, admit)
            .prop_map(|(key, size, fill, lives_ms, admit)| Op::Put { key, size, fill, lives_ms, admit }),
        8 => any::<u8>().prop_map(|key| Op::Get { key }),
        2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(|keys| Op::Ahead { keys }),
        1 => any::<u8>().prop_map(|key| Op::Drop { key }),
        1 => (any::<u8>(), 0..60_000_usize).prop_map(|(key, size)| Op::Grow { key, size }),
        1 => (any::<u8>(), 0..500_u64).prop_map(|(key, by_ms)| Op::Extend { key, by_ms }),
        2 => any::<u8>().prop_map(|key| Op::Remove { key }),
        1 => Just(Op::RemoveOdd),
        2 => (0..100_u64).prop_map(|ms| Op::Wait { ms }),
        2 => (0..20_usize).prop_map(|limit| Op::Sweep { limit }),
        1 => (256..1500_u64).prop_map(|kib| Op::Budget { kib }),
    ]
}

fn policy() -> impl Strategy<Value = EvictionPolicy> {
    prop_oneof![Just(EvictionPolicy::S3Fifo), Just(EvictionPolicy::Lru), Just(EvictionPolicy::Lfu)]
}

/// A plain map beside the tier; some keys are long, some namespaces far.
struct Beside {
    tier: MemoryTier,
    namespace: u32,
    now: Tick,
    entries: HashMap<u8, (Vec<u8>, Tick)>,
}

impl Beside {
    fn key(key: u8) -> Vec<u8> {
        vec![key; if key.is_multiple_of(3) { 40 } else { 1 + usize::from(key % 16) }]
    }

    fn put(&mut self, key: u8, bytes: Vec<u8>, until: Tick, admit: Admit) -> Result<(), TestCaseError> {
        let (text, namespace) = (Self::key(key), self.namespace);
        let filled = self.tier.insert(namespace, &text, held(bytes.clone(), until), |_| admit);
        let expected = match admit {
            Admit::Yes => Filled::Stored,
            Admit::Fenced => Filled::Fenced,
            Admit::Older => Filled::Older,
            Admit::Remove => Filled::Removed,
        };
        prop_assert_eq!(filled, expected);
        if filled == Filled::Stored {
            prop_assert!(self.tier.peek(namespace, &text, self.now).is_some(), "stored, and not there");
            self.entries.insert(key, (bytes, until));
        }
        if filled == Filled::Removed {
            prop_assert!(self.tier.peek(namespace, &text, self.now).is_none(), "removed, and there");
            self.entries.remove(&key);
        }
        Ok(())
    }

    fn look_ahead(&self, keys: Vec<u8>) -> Result<(), TestCaseError> {
        let before = (self.tier.len(), self.tier.weight_bytes());
        let keys: Vec<Vec<u8>> = keys.into_iter().map(Self::key).collect();
        self.tier.look_ahead(self.namespace, keys.iter().map(|key| (key.as_slice(), None)));
        prop_assert_eq!((self.tier.len(), self.tier.weight_bytes()), before);
        Ok(())
    }

    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        let (namespace, now) = (self.namespace, self.now);
        match op {
            Op::Put { key, size, fill, lives_ms, admit } => {
                let until = now.after(Duration::from_millis(lives_ms));
                self.put(key, vec![fill; size], until, admit)?;
            }
            Op::Get { key } => {
                if let Some(found) = get(&self.tier, namespace, &Self::key(key), now) {
                    let (expected, until) =
                        self.entries.get(&key).expect("memory holds a key that nobody put");
                    prop_assert!(now < *until, "an expired entry was handed out");
                    prop_assert_eq!(&bytes(&found), expected);
                }
                let other = get(&self.tier, namespace + 1, &Self::key(key), now);
                prop_assert!(other.is_none(), "another namespace's entry was handed out");
            }
            Op::Ahead { keys } => self.look_ahead(keys)?,
            Op::Drop { key } => {
                prop_assert!(self.tier.get(namespace, &Self::key(key), now, |_| None::<()>).is_none());
                self.entries.remove(&key);
                prop_assert!(self.tier.peek(namespace, &Self::key(key), now).is_none(), "dropped, and there");
            }
            Op::Grow { key, size } => {
                let value = Value::from(Blob::opaque(vec![key; size]));
                let grown =
                    self.tier.update(namespace, &Self::key(key), now, |held| held.value = Some(value));
                if grown.is_some() {
                    self.entries.get_mut(&key).expect("memory holds a key that nobody put").0 =
                        vec![key; size];
                }
            }
            Op::Extend { key, by_ms } => {
                let until = now.after(Duration::from_millis(by_ms));
                let extended = self.tier.get(namespace, &Self::key(key), now, |held| {
                    held.useless_from = until;
                    Some(())
                });
                if extended.is_some() {
                    self.entries.get_mut(&key).expect("memory holds a key that nobody put").1 = until;
                }
            }
            Op::Remove { key } => {
                self.tier.remove(namespace, &Self::key(key));
                self.entries.remove(&key);
                prop_assert!(get(&self.tier, namespace, &Self::key(key), now).is_none());
            }
            Op::RemoveOdd => {
                let held = self.tier.len();
                let removed = self.tier.remove_where(namespace, |key, _| key[0] % 2 == 1);
                self.entries.retain(|key, _| key % 2 == 0);
                prop_assert_eq!(self.tier.len() + removed, held);
                prop_assert_eq!(self.tier.remove_where(namespace, |key, _| key[0] % 2 == 1), 0);
            }
            Op::Wait { ms } => self.now = now.after(Duration::from_millis(ms)),
            Op::Sweep { limit } => {
                let held = self.tier.len();
                let dropped = self.tier.sweep(now, limit);
                prop_assert!(dropped < limit + 16 && self.tier.len() + dropped == held);
            }
            Op::Budget { kib } => {
                self.tier.set_budget_bytes(kib * 1024);
                prop_assert!(self.tier.weight_bytes() <= kib * 1024, "the budget is not kept");
            }
        }
        self.tier.validate().map_err(TestCaseError::fail)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn memory_never_invents(
        ops in prop::collection::vec(op(), 1..400),
        policy in policy(),
        namespace in prop_oneof![Just(1), Just(u32::MAX - 1)],
    ) {
        let tier = MemoryTier::new(MIB, policy);
        let mut beside = Beside { tier, namespace, now: Tick::default(), entries: HashMap::new() };
        for op in ops {
            beside.apply(op)?;
        }
    }

    #[test]
    fn lru_evicts_what_was_used_longest_ago(ops in prop::collection::vec((any::<u8>(), any::<bool>()), 1..400)) {
        let tier = MemoryTier::new(MIB, EvictionPolicy::Lru);
        // The most recently used first.
        let mut order: Vec<u8> = Vec::new();
        for (key, put) in ops {
            let there = order.iter().position(|&other| other == key);
            let found = there.is_some() && !put;
            prop_assert_eq!(put_or_get(&tier, key, put), put || found);
            if put || found {
                there.map(|at| order.remove(at));
                order.insert(0, key);
            }
            let kept = order.iter().take_while(|&&key| is_held(&tier, key)).count();
            prop_assert!(order.iter().skip(kept).all(|&key| !is_held(&tier, key)), "one that was used later left first");
            order.truncate(kept);
            prop_assert_eq!(kept, tier.len());
        }
    }

    #[test]
    fn lfu_evicts_what_ranks_lowest(ops in prop::collection::vec((any::<u8>(), any::<bool>()), 1..400)) {
        let tier = MemoryTier::new(MIB, EvictionPolicy::Lfu);
        // Of each key its rank, when it was used last, and how often.
        let mut ranks: HashMap<u8, (u64, usize, u64)> = HashMap::new();
        let mut age = 0;
        for (time, (key, put)) in ops.into_iter().enumerate() {
            let found = ranks.contains_key(&key);
            if !put_or_get(&tier, key, put) {
                prop_assert!(!found);
                continue;
            }
            match ranks.get_mut(&key) {
                // Written again, it keeps its rank.
                Some(_) if put => {}
                Some((rank, used, uses)) => {
                    *uses = (*uses + 1).min(15);
                    (*rank, *used) = (age + *uses, time);
                }
                None => _ = ranks.insert(key, (age + 1, time, 1)),
            }
            while ranks.len() > tier.len() {
                let newcomer = ranks.get(&key).copied().unwrap();
                let lowest = ranks.iter().filter(|(other, _)| **other != key).min_by_key(|(_, rank)| **rank);
                let (&evicted, &(rank, ..)) = lowest.unwrap();
                prop_assert!(!is_held(&tier, evicted), "{evicted} ranks lowest, and another left");
                ranks.remove(&evicted);
                if newcomer.0 >= rank {
                    age = rank;
                }
            }
            prop_assert!(ranks.keys().all(|&key| is_held(&tier, key)));
        }
    }
}

/// Puts a value, so large that some twenty fit, or reads it; whether it was put or found.
fn put_or_get(tier: &MemoryTier, key: u8, put: bool) -> bool {
    if put {
        tier.insert(0, &[key], held(vec![key; 50_000], Tick::from_ms(1)), |_| Admit::Yes) == Filled::Stored
    } else {
        get(tier, 0, &[key], Tick::default()).is_some()
    }
}

fn is_held(tier: &MemoryTier, key: u8) -> bool {
    tier.peek(0, &[key], Tick::default()).is_some()
}

#[test]
fn what_fits_is_all_kept() {
    let tier = MemoryTier::new(64 * MIB, EvictionPolicy::S3Fifo);
    let until = Tick::from_ms(1000);
    for number in 0..10_000_u32 {
        assert_eq!(
            tier.insert(0, &number.to_le_bytes(), held(vec![7; 100], until), |_| Admit::Yes),
            Filled::Stored
        );
    }
    assert_eq!(tier.len(), 10_000);
    assert!((0..10_000_u32).all(|number| get(&tier, 0, &number.to_le_bytes(), Tick::default()).is_some()));
    tier.validate().unwrap();
}

#[test]
fn what_is_read_outlives_a_scan() {
    let until = Tick::from_ms(1000);
    let hot: Vec<[u8; 4]> = (0..100_u32).map(u32::to_le_bytes).collect();
    let mut kept = 0;
    // Each tier hashes in its own way, and counts of keys that share a counter add up: a few of one tier may be unlucky.
    for _ in 0..10 {
        let tier = MemoryTier::new(MIB, EvictionPolicy::S3Fifo);
        for key in &hot {
            tier.insert(0, key, held(vec![1; 100], until), |_| Admit::Yes);
            assert!([(); 2].iter().all(|()| get(&tier, 0, key, Tick::default()).is_some()));
        }
        for number in 1000..100_000_u32 {
            tier.insert(0, &number.to_le_bytes(), held(vec![2; 100], until), |_| Admit::Yes);
        }
        kept += hot.iter().filter(|key| get(&tier, 0, *key, Tick::default()).is_some()).count();
        tier.validate().unwrap();
    }
    assert!(kept >= 950, "only {kept} of 1,000 read entries outlived scans of 99,000");
}

#[test]
fn a_value_larger_than_a_shard_is_told_and_not_kept() {
    let tier = MemoryTier::new(MIB, EvictionPolicy::S3Fifo);
    let filled = tier.insert(0, b"k", held(vec![0; 2 * 1024 * 1024], Tick::from_ms(1)), |_| Admit::Yes);
    assert!(matches!(filled, Filled::TooLarge { limit_bytes, .. } if limit_bytes < MIB), "{filled:?}");
    assert!(tier.is_empty());
}

#[test]
fn a_value_that_is_too_large_takes_the_older_one_with_it() {
    let tier = MemoryTier::new(MIB, EvictionPolicy::S3Fifo);
    tier.insert(0, b"k", held(vec![0; 10], Tick::from_ms(1)), |_| Admit::Yes);
    tier.insert(0, b"k", held(vec![0; 2 * 1024 * 1024], Tick::from_ms(1)), |_| Admit::Yes);
    assert!(tier.is_empty(), "the older value is still there");
}

#[test]
fn a_refused_fill_sees_what_is_held_and_leaves_it() {
    let tier = MemoryTier::new(MIB, EvictionPolicy::S3Fifo);
    tier.insert(0, b"k", held(vec![1], Tick::from_ms(9)), |before| {
        assert!(before.is_none());
        Admit::Yes
    });
    let filled = tier.insert(0, b"k", held(vec![2], Tick::from_ms(9)), |before| {
        assert_eq!(before.map(bytes), Some(vec![1]));
        Admit::Older
    });
    assert_eq!(filled, Filled::Older);
    assert_eq!(bytes(&tier.peek(0, b"k", Tick::default()).unwrap()), [1]);
    assert!(!tier.remove_if(0, b"k", |held| bytes(held) == [2]), "removed against its condition");
    assert!(tier.remove_if(0, b"k", |held| bytes(held) == [1]));
    assert!(tier.is_empty());
}

/// Whoever is in a shard is not waited for: here it is the thread itself, which would wait for ever.
#[test]
fn a_look_ahead_waits_for_nobody() {
    let tier = MemoryTier::new(MIB, EvictionPolicy::S3Fifo);
    let hash = Hash::whole([("f", "value".into())]);
    tier.insert(0, b"k", Held { value: Some(hash.into()), ..held(vec![], Tick::from_ms(9)) }, |_| Admit::Yes);
    let ahead = [(&b"k"[..], Some(&b"f"[..])), (b"k", Some(b"other")), (b"k", None), (b"none", None)];
    tier.look_ahead(0, ahead.into_iter());
    let looked = tier.get(0, b"k", Tick::default(), |_| {
        tier.look_ahead(0, ahead.into_iter());
        Some(())
    });
    assert!(looked.is_some());
    tier.validate().unwrap();
}

#[test]
fn a_change_is_weighed_and_makes_others_leave() {
    let tier = MemoryTier::new(MIB, EvictionPolicy::Lru);
    for number in 0..8_u32 {
        tier.insert(0, &number.to_le_bytes(), held(vec![0; 100_000], Tick::from_ms(9)), |_| Admit::Yes);
    }
    let before = tier.weight_bytes();
    let grown = Value::from(Blob::opaque(vec![0; 600_000]));
    assert_eq!(
        tier.update(0, &0_u32.to_le_bytes(), Tick::default(), |held| held.value = Some(grown)),
        Some(())
    );
    assert!(tier.weight_bytes() <= MIB && tier.weight_bytes() > before - 400_000);
    assert!(tier.peek(0, &0_u32.to_le_bytes(), Tick::default()).is_some(), "what was changed had to leave");
    assert!(tier.len() < 8, "nothing left for it");
    tier.validate().unwrap();
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tier.update(0, &0_u32.to_le_bytes(), Tick::default(), |held| {
            held.value = None;
            panic!("half way");
        })
    }));
    assert!(panics.is_err());
    tier.validate().unwrap();
}

#[test]
fn sweeps_empty_memory_of_what_has_ended_and_of_nothing_else() {
    const LIMIT: usize = 1_000;
    let tier = MemoryTier::new(256 * MIB, EvictionPolicy::S3Fifo);
    // From a tenth of a second to some ten days.
    let lives = [100, 3_000, 60_000, 3_600_000, 900_000_000].map(Duration::from_millis);
    let put = |number: u32, life: Duration| {
        let until = Tick::from_ms(u64::from(number % 1_000)).after(life);
        tier.insert(0, &number.to_le_bytes(), held(vec![1; 10], until), |_| Admit::Yes);
    };
    for number in 0..100_000_u32 {
        put(number, lives[usize::try_from(number / 20_000).unwrap()]);
    }
    assert_eq!(tier.sweep(Tick::default(), LIMIT), 0, "nothing has ended");
    let sweep_until = |from: Tick, to: Tick| {
        let (mut now, mut sweeps) = (from, 0);
        loop {
            let dropped = tier.sweep(now, LIMIT);
            sweeps += 1;
            assert!(dropped < LIMIT + 16, "a sweep dropped {dropped}");
            if now >= to && dropped == 0 {
                tier.validate().unwrap();
                return sweeps;
            }
            now = now.after(Duration::from_millis(100)).min(to);
        }
    };
    let mut from = Tick::default();
    for (round, life) in (1_u32..).zip(lives) {
        // The first two are swept every 100 ms, the others after a long silence.
        let end = Tick::from_ms(1_200).after(life);
        from = if round > 2 { end } else { from };
        sweep_until(from, end);
        assert_eq!(tier.len(), 100_000 - usize::try_from(round).unwrap() * 20_000, "after {life:?}");
        assert!(tier.peek(0, &99_999_u32.to_le_bytes(), end).is_some() || round == 5);
        from = end;
    }
    assert!(tier.is_empty());
    assert!(tier.weight_bytes() < MIB, "nothing is held, and {} bytes are used", tier.weight_bytes());
}

#[test]
fn an_end_that_moves_is_followed() {
    let tier = MemoryTier::new(MIB, EvictionPolicy::S3Fifo);
    let until = |key: &[u8], ms| {
        let changed = tier.get(0, key, Tick::default(), |held| {
            held.useless_from = Tick::from_ms(ms);
            Some(())
        });
        assert_eq!(changed, Some(()));
    };
    for key in ["later", "sooner", "changed", "always"].map(str::as_bytes) {
        tier.insert(0, key, held(vec![1], Tick::from_ms(10_000)), |_| Admit::Yes);
    }
    until(b"later", 100_000);
    until(b"sooner", 500);
    tier.update(0, b"changed", Tick::default(), |held| held.useless_from = Tick::from_ms(500)).unwrap();
    until(b"always", u64::MAX);
    assert_eq!(tier.sweep(Tick::from_ms(499), 10), 0);
    assert!(tier.peek(0, b"sooner", Tick::from_ms(499)).is_some());
    assert!(tier.peek(0, b"sooner", Tick::from_ms(500)).is_none(), "handed out at its end");
    assert_eq!(tier.sweep(Tick::from_ms(1_000), 10), 2, "what ends sooner by now");
    assert_eq!(tier.sweep(Tick::from_ms(20_000), 10), 0, "what ends later by now");
    assert_eq!(tier.sweep(Tick::from_ms(101_000), 10), 1);
    assert_eq!(tier.sweep(Tick::from_ms(1 << 45), 10), 0, "what does not end");
    assert_eq!(tier.len(), 1);
    tier.validate().unwrap();
}

#[test]
fn a_scan_sees_what_stays_and_does_bounded_work() {
    let tier = MemoryTier::new(64 * MIB, EvictionPolicy::S3Fifo);
    let until = Tick::from_ms(1_000);
    let put =
        |number: u32| tier.insert(number % 2, &number.to_le_bytes(), held(vec![1], until), |_| Admit::Yes);
    (0..20_000).for_each(|number| _ = put(number));
    let (mut seen, mut cursor, mut calls) = (HashMap::new(), 0, 0_u32);
    loop {
        let (keys, next) = tier.scan(0, cursor, 50, Tick::default());
        assert!(keys.len() <= 50);
        for key in keys {
            *seen.entry(u32::from_le_bytes(key[..].try_into().unwrap())).or_insert(0) += 1;
        }
        // What comes and goes meanwhile moves entries about.
        for number in 0..20 {
            tier.remove(0, &(calls * 20 + 2 * number).to_le_bytes());
            put(100_000 + calls * 20 + number);
        }
        (cursor, calls) = (next, calls + 1);
        if cursor == 0 {
            break;
        }
        assert!(calls < 2_000, "the scan does not end");
    }
    let stayed = (0..20_000_u32).filter(|number| number % 2 == 0).filter(|number| is_there(&tier, *number));
    let missed: Vec<u32> = stayed.filter(|number| !seen.contains_key(number)).collect();
    assert!(missed.is_empty(), "{} entries were there throughout and not seen", missed.len());
    assert!(seen.keys().all(|number| number % 2 == 0), "another namespace's keys were shown");
    assert!(tier.scan(0, 0, 100, until).0.is_empty(), "keys of what is of no use");
    tier.validate().unwrap();
}

fn is_there(tier: &MemoryTier, number: u32) -> bool {
    tier.peek(0, &number.to_le_bytes(), Tick::default()).is_some()
}

#[test]
fn namespaces_share_no_key_whatever_its_hash() {
    let tier = MemoryTier::new(MIB, EvictionPolicy::S3Fifo);
    for key in 0..40_u8 {
        tier.insert(0, &[key], held(vec![key], Tick::from_ms(9)), |_| Admit::Yes);
    }
    // So few entries that hundreds of these are looked for where the same key of namespace 0 is, with the same tag.
    for namespace in 1..10_000 {
        assert!((0..40_u8).all(|key| tier.peek(namespace, &[key], Tick::default()).is_none()), "{namespace}");
    }
}

#[test]
fn what_makes_many_leave_stays_itself() {
    for policy in [EvictionPolicy::S3Fifo, EvictionPolicy::Lru, EvictionPolicy::Lfu] {
        let tier = MemoryTier::new(MIB, policy);
        (0..20_u8).for_each(|key| _ = put_or_get(&tier, key, true));
        // All others are read often: the newcomer alone is not.
        (0..100_u8).for_each(|read| _ = put_or_get(&tier, read % 20, false));
        let before = tier.len();
        tier.insert(1, b"large", held(vec![0; 700_000], Tick::from_ms(9)), |_| Admit::Yes);
        assert!(tier.peek(1, b"large", Tick::default()).is_some(), "{policy:?}: it made room and left");
        assert!(tier.len() + 5 < before);
        // So many that they do not leave in one hold of the lock.
        (0..4_000_u32).for_each(|number| {
            tier.insert(2, &number.to_le_bytes(), held(vec![0; 10], Tick::from_ms(9)), |_| Admit::Yes);
            get(&tier, 2, &number.to_le_bytes(), Tick::default());
        });
        tier.insert(1, b"larger", held(vec![0; 900_000], Tick::from_ms(9)), |_| Admit::Yes);
        assert!(tier.peek(1, b"larger", Tick::default()).is_some(), "{policy:?}: it made room and left");
    }
}
