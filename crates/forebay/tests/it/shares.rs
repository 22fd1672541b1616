//! Memory: a share of a namespace's own, ends that clients set, and what a scan tells of.

use std::collections::BTreeSet;
use std::time::Duration;

use forebay::rt::Clock;
use forebay::tier::memory::{Departures, EvictionPolicy};
use forebay::{Blob, Forebay, Namespace, NamespaceBuilder, Value, secs};

use crate::scripted::{TTL, scanned, stage, stage_with};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const TICK: Duration = Duration::from_millis(1);
/// How often memory is swept, and what dropped namespaces had goes back.
const SWEEP: Duration = Duration::from_millis(100);

fn engine(clock: &Clock) -> Forebay {
    Forebay::builder().memory_budget_bytes(8 * MIB).clock(clock.clone()).build().unwrap()
}

fn namespace(
    engine: &Forebay,
    name: &str,
    set_up: impl FnOnce(NamespaceBuilder<Blob>) -> NamespaceBuilder<Blob>,
) -> Namespace<Blob> {
    set_up(engine.namespace(name).key("k:{id}").ttl(secs(60))).build().unwrap()
}

/// Puts 1,000 bytes under each of `numbers`.
fn put(namespace: &Namespace<Blob>, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let value = Value::from(Blob::opaque(vec![7; 1000]));
        namespace.write(format!("k:{number}").as_bytes(), value, None).unwrap();
    }
}

fn held(namespace: &Namespace<Blob>, numbers: std::ops::Range<u32>) -> usize {
    numbers.filter(|number| namespace.peek(format!("k:{number}").as_bytes()).is_some()).count()
}

async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_put_into_a_share_takes_nothing_from_the_rest() {
    for policy in [EvictionPolicy::S3Fifo, EvictionPolicy::Lru, EvictionPolicy::Lfu] {
        let engine = engine(&Clock::simulated());
        let rest = namespace(&engine, "rest", |builder| builder);
        let own = namespace(&engine, "own", |builder| builder.memory(MIB, policy));
        put(&rest, 0..1000);
        let before = engine.memory().weight_bytes();
        put(&own, 0..10_000);
        let kept = held(&own, 0..10_000);
        assert!((500..1000).contains(&kept), "{policy:?}: 1 MiB holds {kept} values of 1,000 bytes");
        assert_eq!(held(&rest, 0..1000), 1000, "{policy:?}: a share evicted what is not in it");
        assert_eq!(engine.memory().weight_bytes(), before);
        engine.memory().validate().unwrap();

        // Nor the other way round.
        put(&rest, 0..20_000);
        assert_eq!(held(&own, 0..10_000), kept, "{policy:?}: the rest evicted what is in a share");
        engine.validate().unwrap();
    }
}

#[tokio::test]
async fn a_share_evicts_by_its_own_policy() {
    // What was read once outlives a long scan (by frequency, which a fingerprint can mistake for another's), but not where
    // the least recently used leaves first.
    for (policy, outlives) in [(EvictionPolicy::S3Fifo, 95..=100), (EvictionPolicy::Lru, 0..=0)] {
        let engine = engine(&Clock::simulated());
        let own = namespace(&engine, "own", |builder| builder.memory(MIB, policy));
        put(&own, 0..100);
        for number in 0..100 {
            assert!(own.read_now(format!("k:{number}").as_bytes()).is_some());
        }
        put(&own, 100..3000);
        let left = held(&own, 0..100);
        assert!(outlives.contains(&left), "{policy:?}: {left} of 100 are left");
        engine.validate().unwrap();
    }
}

#[tokio::test]
async fn a_share_is_taken_from_the_common_budget_and_comes_back() {
    let clock = Clock::simulated();
    let engine = engine(&clock);
    let rest = namespace(&engine, "rest", |builder| builder);
    put(&rest, 0..6000);
    let before = held(&rest, 0..6000);
    assert_eq!(before, 6000);
    let own = namespace(&engine, "own", |builder| builder.memory(4 * MIB, EvictionPolicy::Lru));
    assert_eq!(engine.memory().budget_bytes(), 4 * MIB);
    assert!(engine.memory().weight_bytes() <= 4 * MIB, "what is too much did not leave");
    let second = namespace(&engine, "second", |builder| builder.memory(MIB, EvictionPolicy::Lfu));
    assert_eq!(engine.memory().budget_bytes(), 3 * MIB);
    engine.validate().unwrap();

    settle().await;
    let clone = own.clone();
    drop(own);
    clock.advance(SWEEP);
    settle().await;
    assert_eq!(engine.memory().budget_bytes(), 3 * MIB, "a namespace in use lost its memory");
    drop(clone);
    clock.advance(SWEEP);
    settle().await;
    assert_eq!(engine.memory().budget_bytes(), 7 * MIB);
    drop(second);
    clock.advance(SWEEP);
    settle().await;
    assert_eq!(engine.memory().budget_bytes(), 8 * MIB);
    put(&rest, 0..6000);
    assert_eq!(held(&rest, 0..6000), 6000);
    engine.validate().unwrap();
}

#[tokio::test]
async fn what_a_dropped_namespace_had_can_be_taken_at_once() {
    let engine = engine(&Clock::simulated());
    for _ in 0..3 {
        let own = engine.namespace::<Blob>("own").key("k:{id}").ttl(TTL);
        own.memory(6 * MIB, EvictionPolicy::Lru).build().unwrap();
    }
}

#[tokio::test]
async fn a_share_that_cannot_be_is_refused_and_leaves_the_rest_alone() {
    let engine = engine(&Clock::simulated());
    let refused = |bytes| {
        let own = engine.namespace::<Blob>("own").key("k:{id}").ttl(TTL);
        own.memory(bytes, EvictionPolicy::Lru).build().unwrap_err().to_string()
    };
    let small = refused(64 * KIB - 1);
    assert!(small.contains("at least 65536"), "{small}");
    for bytes in [7 * MIB + 1, 8 * MIB, 9 * MIB, u64::MAX] {
        let large = refused(bytes);
        assert!(large.contains("to share") && large.contains("8388608"), "{large}");
    }
    assert_eq!(engine.memory().budget_bytes(), 8 * MIB);
    let all = namespace(&engine, "all", |builder| builder.memory(7 * MIB, EvictionPolicy::Lru));
    assert_eq!(engine.memory().budget_bytes(), MIB);
    drop(all);
}

#[tokio::test]
async fn the_end_of_what_a_source_gave_can_only_come_sooner() {
    let stage = stage_with(|builder| builder.stale_if_error(TTL).stale_while_revalidate(TTL));
    stage.script.set("a", "1");
    assert!(!stage.namespace.end_after(b"k:a", secs(1)), "nothing is held");
    assert!(!stage.namespace.end_after(b"x:a", secs(1)), "not even a key");
    stage.get("a").await;
    assert!(stage.namespace.end_after(b"k:a", secs(60)));
    assert_eq!(stage.namespace.peek(b"k:a").unwrap().fresh_for, TTL, "it was prolonged");
    assert!(stage.namespace.end_after(b"k:a", secs(1)));
    assert!(stage.namespace.end_after(b"k:a", secs(2)));
    assert_eq!(stage.namespace.peek(b"k:a").unwrap().fresh_for, secs(1), "a later end replaced a sooner");
    stage.clock.advance(secs(1) - TICK);
    assert!(stage.holds("a"));
    stage.clock.advance(TICK);
    assert!(!stage.holds("a"), "it was kept as a stale value");
    assert_eq!(stage.get("a").await.as_deref(), Some("1"));
    assert_eq!(stage.script.loads(), 2);
    stage.check().await;
}

#[tokio::test]
async fn who_knows_that_a_value_is_right_may_renew_it() {
    let stage = stage_with(|builder| builder.stale_if_error(TTL).absent_ttl(TTL / 4));
    stage.script.set("a", "1");
    assert!(!stage.namespace.renew(b"k:a"), "nothing is held");
    assert!(!stage.namespace.renew(b"x:a"), "not even a key");
    stage.get("a").await;
    stage.clock.advance(TTL - TICK);
    assert!(stage.namespace.renew(b"k:a"));
    assert_eq!(stage.namespace.peek(b"k:a").unwrap().fresh_for, TTL);
    assert!(stage.namespace.end_after(b"k:a", TTL / 2));
    assert!(stage.namespace.renew(b"k:a"));
    stage.clock.advance(TTL - TICK);
    assert_eq!((stage.get("a").await.as_deref(), stage.script.loads()), (Some("1"), 1));
    stage.clock.advance(TICK);
    assert!(!stage.namespace.renew(b"k:a"), "it had ended");
    stage.get("a").await;
    stage.namespace.expire("a").await.unwrap();
    assert!(!stage.namespace.renew(b"k:a"), "it was made stale");
    stage.namespace.invalidate("a").await.unwrap();
    assert!(!stage.namespace.renew(b"k:a"), "it was dropped");
    assert_eq!(stage.get("none").await, None);
    assert!(!stage.namespace.renew(b"k:none"), "an absence");
    stage.check().await;
}

#[tokio::test]
async fn the_end_of_what_a_client_put_is_his_within_the_ttl() {
    let stage = stage();
    let own = stage.engine.namespace::<Blob>("own").key("own:{id}").ttl(TTL).build().unwrap();
    own.write(b"own:a", Value::from(Blob::opaque("1")), Some(secs(1))).unwrap();
    assert!(own.end_after(b"own:a", secs(2)));
    assert_eq!(own.peek(b"own:a").unwrap().fresh_for, secs(2));
    stage.clock.advance(secs(1));
    assert!(own.end_after(b"own:a", secs(60)));
    assert_eq!(own.peek(b"own:a").unwrap().fresh_for, TTL);
    assert!(own.end_after(b"own:a", Duration::ZERO));
    assert!(own.peek(b"own:a").is_none());
    stage.check().await;
}

/// A verb that tells whether anything was held.
type Verb = fn(&Namespace<Blob>) -> bool;

#[tokio::test]
async fn what_is_gone_has_no_end_to_move_no_tag_and_nothing_to_drop() {
    let verbs: [(&str, Verb); 4] = [
        ("end_after", |namespace| namespace.end_after(b"k:a", secs(1))),
        ("tag", |namespace| namespace.tag(b"k:a", &["x"])),
        ("expire_copy", |namespace| namespace.expire_copy(b"k:a")),
        ("drop_copy", |namespace| namespace.drop_copy(b"k:a")),
    ];
    for (name, verb) in verbs {
        let stage = stage();
        stage.script.set("a", "1");
        stage.get("a").await;
        assert!(verb(&stage.namespace), "{name}: nothing was said to be held");
        stage.get("a").await;
        stage.namespace.invalidate_all().await.unwrap();
        assert!(!verb(&stage.namespace), "{name}: an invalidated copy was said to be held");
        assert!(stage.namespace.read_now(b"k:a").is_none(), "{name} brought back what was gone");
        stage.check().await;
    }
}

#[tokio::test]
async fn a_scan_by_cursor_tells_of_everything_that_is_held_and_nothing_else() {
    let engine = engine(&Clock::simulated());
    let one = namespace(&engine, "one", |builder| builder);
    let two = namespace(&engine, "two", |builder| builder.key("two:{id}"));
    let own = namespace(&engine, "own", |builder| builder.memory(2 * MIB, EvictionPolicy::Lru));
    put(&one, 0..1000);
    put(&own, 0..1000);
    for number in 0..100 {
        two.write(format!("two:{number}").as_bytes(), Value::from(Blob::opaque("1")), None).unwrap();
    }
    let wanted: BTreeSet<Vec<u8>> = (0..1000).map(|number| format!("k:{number}").into_bytes()).collect();
    for limit in [1, 7, 100, 5000] {
        assert_eq!(scanned(&one, limit).0, wanted, "pages of {limit}");
        assert_eq!(scanned(&own, limit).0, wanted, "pages of {limit}");
        assert_eq!(scanned(&two, limit).0.len(), 100, "pages of {limit}");
    }
    assert!(scanned(&one, 7).1 >= 1000 / 7);
    engine.validate().unwrap();
}

#[tokio::test]
async fn a_scan_sees_what_is_held_throughout() {
    let engine = engine(&Clock::simulated());
    let one = namespace(&engine, "one", |builder| builder);
    put(&one, 0..500);
    let (mut seen, mut cursor, mut next) = (BTreeSet::new(), 0, 500);
    loop {
        let (keys, after) = one.scan(cursor, 10);
        seen.extend(keys);
        // Others come and go between the pages.
        put(&one, next..next + 20);
        for number in next..next + 10 {
            assert!(one.drop_copy(format!("k:{number}").as_bytes()));
        }
        next += 20;
        if after == 0 || next > 3000 {
            break;
        }
        cursor = after;
    }
    let missed = (0..500).filter(|number| !seen.contains(format!("k:{number}").as_bytes())).count();
    assert_eq!(missed, 0, "keys that were held throughout");
    engine.validate().unwrap();
}

#[tokio::test]
async fn a_scan_does_not_tell_of_what_is_gone() {
    let stage = stage();
    for id in ["a", "b", "c"] {
        stage.script.set(id, "1");
        stage.get(id).await;
    }
    stage.namespace.invalidate_prefix("k:b").await.unwrap();
    assert_eq!(scanned(&stage.namespace, 10).0, BTreeSet::from([b"k:a".to_vec(), b"k:c".to_vec()]));
    stage.clock.advance(TTL);
    assert!(scanned(&stage.namespace, 10).0.is_empty());
    stage.check().await;
}

#[tokio::test]
async fn what_leaves_memory_is_counted_by_its_reason() {
    for policy in [EvictionPolicy::S3Fifo, EvictionPolicy::Lru, EvictionPolicy::Lfu] {
        let clock = Clock::simulated();
        let engine = engine(&clock);
        let small = namespace(&engine, "small", |builder| builder.memory(128 * KIB, policy));
        let roomy = namespace(&engine, "roomy", |builder| builder);
        put(&small, 0..1_000);
        put(&roomy, 0..1_000);
        let left = u64::try_from(1_000 - held(&small, 0..1_000)).unwrap();
        assert!(left > 800, "{left} of 1,000 entries of 1,000 bytes left 128 KiB");
        assert_eq!(small.memory().departures(), Departures { evicted: left, ended: 0 }, "{policy:?}");
        // What is replaced or made gone has not left by itself.
        put(&roomy, 0..100);
        assert!(roomy.drop_copy(b"k:0"));
        assert_eq!((roomy.counts().writes_dropped, roomy.counts().writes_invalidated), (1, 0));
        assert_eq!(roomy.memory().departures(), Departures::default());

        clock.advance(secs(60));
        assert!(roomy.read_now(b"k:1").is_none());
        assert_eq!(roomy.memory().departures(), Departures { evicted: 0, ended: 1 }, "a read found its end");
        for _ in 0..3 {
            settle().await;
            clock.advance(SWEEP);
        }
        settle().await;
        assert_eq!(roomy.memory().departures(), Departures { evicted: 0, ended: 999 });
        assert_eq!(small.memory().departures(), Departures { evicted: left, ended: 1_000 - left });
        assert_eq!(engine.memory().departures(), roomy.memory().departures());
    }
}
