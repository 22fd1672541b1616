//! The memory tier against a plain map: it may forget, never invent, and stays within its budget.

use std::collections::HashMap;
use std::time::Duration;

use forebay::rt::Tick;
use forebay::tier::memory::{Admit, Filled, Held, MemoryTier};
use forebay::{Blob, Value};
use proptest::prelude::*;

const MIB: u64 = 1024 * 1024;

fn held(bytes: Vec<u8>, until: Tick) -> Held {
    Held {
        value: Some(Value::from(Blob::opaque(bytes))),
        began: Tick::default(),
        fresh_until: until,
        useless_from: until,
    }
}

fn bytes(held: &Held) -> Vec<u8> {
    held.value.as_ref().unwrap().as_blob().unwrap().bytes.to_vec()
}

#[derive(Clone, Debug)]
enum Op {
    Put { key: u8, size: usize, fill: u8, lives_ms: u64, fenced: bool },
    Get { key: u8 },
    Remove { key: u8 },
    Wait { ms: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (any::<u8>(), 0..60_000_usize, any::<u8>(), 1..500_u64, prop::bool::weighted(0.1))
            .prop_map(|(key, size, fill, lives_ms, fenced)| Op::Put { key, size, fill, lives_ms, fenced }),
        4 => any::<u8>().prop_map(|key| Op::Get { key }),
        1 => any::<u8>().prop_map(|key| Op::Remove { key }),
        1 => (0..100_u64).prop_map(|ms| Op::Wait { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn memory_never_invents(ops in prop::collection::vec(op(), 1..600)) {
        let tier = MemoryTier::new(MIB);
        let mut model: HashMap<u8, (Vec<u8>, Tick)> = HashMap::new();
        let mut now = Tick::default();
        for op in ops {
            match op {
                Op::Put { key, size, fill, lives_ms, fenced } => {
                    let until = now.after(Duration::from_millis(lives_ms));
                    let admit = if fenced { Admit::Fenced } else { Admit::Yes };
                    let filled = tier.insert(1, &[key], held(vec![fill; size], until), || admit);
                    if fenced {
                        prop_assert_eq!(filled, Filled::Fenced);
                    } else {
                        prop_assert_eq!(filled, Filled::Stored);
                        model.insert(key, (vec![fill; size], until));
                    }
                }
                Op::Get { key } => {
                    if let Some(found) = tier.get(1, &[key], now) {
                        let (expected, until) = model.get(&key).expect("memory holds a key that nobody put");
                        prop_assert!(now < *until, "an expired entry was handed out");
                        prop_assert_eq!(&bytes(&found), expected);
                    }
                    prop_assert!(tier.get(2, &[key], now).is_none(), "another namespace's entry was handed out");
                }
                Op::Remove { key } => {
                    tier.remove(1, &[key]);
                    model.remove(&key);
                    prop_assert!(tier.get(1, &[key], now).is_none());
                }
                Op::Wait { ms } => now = now.after(Duration::from_millis(ms)),
            }
            if let Err(wrong) = tier.validate() {
                prop_assert!(false, "{}", wrong);
            }
        }
    }
}

#[test]
fn what_fits_is_all_kept() {
    let tier = MemoryTier::new(64 * MIB);
    let until = Tick::from_ms(1000);
    for number in 0..10_000_u32 {
        assert_eq!(
            tier.insert(0, &number.to_le_bytes(), held(vec![7; 100], until), || Admit::Yes),
            Filled::Stored
        );
    }
    assert_eq!(tier.len(), 10_000);
    assert!((0..10_000_u32).all(|number| tier.get(0, &number.to_le_bytes(), Tick::default()).is_some()));
    tier.validate().unwrap();
}

#[test]
fn what_is_read_outlives_a_scan() {
    let tier = MemoryTier::new(MIB);
    let until = Tick::from_ms(1000);
    let hot: Vec<[u8; 4]> = (0..100_u32).map(u32::to_le_bytes).collect();
    for key in &hot {
        tier.insert(0, key, held(vec![1; 100], until), || Admit::Yes);
        assert!(tier.get(0, key, Tick::default()).is_some());
    }
    for number in 1000..100_000_u32 {
        tier.insert(0, &number.to_le_bytes(), held(vec![2; 100], until), || Admit::Yes);
    }
    let kept = hot.iter().filter(|key| tier.get(0, *key, Tick::default()).is_some()).count();
    assert!(kept >= 95, "only {kept} of 100 read entries outlived a scan of 99,000");
    tier.validate().unwrap();
}

#[test]
fn a_value_larger_than_a_shard_is_told_and_not_kept() {
    let tier = MemoryTier::new(MIB);
    let filled = tier.insert(0, b"k", held(vec![0; 2 * 1024 * 1024], Tick::from_ms(1)), || Admit::Yes);
    assert!(matches!(filled, Filled::TooLarge { limit_bytes: MIB, .. }), "{filled:?}");
    assert!(tier.is_empty());
}
