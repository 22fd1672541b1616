//! Changes of several keys: all of it or nothing, for who reads, for who writes, and after a crash.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::Clock;
use forebay::tier::store::Durability;
use forebay::value::{Hash, Kind, SortedSet, counter};
use forebay::{Blob, Error, Forebay, KeysChange, Keyspace, Namespace, Slot, Value, secs};
use forebay_simulated::{SimulatedDisk, StoreFaults};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// One process on a disk.
struct Process {
    clock: Clock,
    disk: SimulatedDisk,
    engine: Forebay,
}

impl Process {
    fn on(disk: &SimulatedDisk) -> Self {
        let clock = Clock::simulated();
        let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
        Self { clock, disk: disk.clone(), engine }
    }

    fn stored(&self, name: &str) -> Namespace<Blob> {
        let builder = self.engine.namespace(name).key(&format!("{name}:{{id}}"));
        builder.store(Arc::new(self.disk.open(self.clock.clone())), Durability::Always).build().unwrap()
    }

    fn kept(&self, name: &str) -> Namespace<Blob> {
        self.engine.namespace(name).key(&format!("{name}:{{id}}")).ttl(secs(60)).build().unwrap()
    }

    async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::task::yield_now() => self.clock.advance(MS(1)),
            }
        }
    }
}

fn number(value: Option<&Value>) -> i64 {
    match value {
        None => 0,
        Some(Value::Counter(number)) => *number,
        Some(Value::Hash(hash)) => {
            hash.state(b"n").known().map_or(0, |number| counter::parse(number).unwrap())
        }
        Some(other) => panic!("{other:?}"),
    }
}

fn add(slot: &mut Slot, by: i64) {
    let more = number(slot.value()) + by;
    *slot.value_mut() = Some(Value::Counter(more));
}

async fn read(namespace: &Namespace<Blob>, key: &[u8]) -> i64 {
    number(namespace.read(key).await.unwrap().value.as_ref())
}

#[tokio::test]
async fn all_of_a_change_is_one_append_and_is_there_after_a_crash() {
    let disk = SimulatedDisk::new();
    let process = Process::on(&disk);
    for namespace in [process.stored("n"), process.kept("m")] {
        let key = |id: &str| format!("{}:{id}", namespace.name()).into_bytes();
        let keys = ["a", "b", "c", "d"].map(key);
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let mut change = namespace.begin_change(&keys).await.unwrap();
        assert!(change.slots().iter().all(|slot| slot.value().is_none() && slot.left().is_none()));
        change.slots()[0].replace(Value::Counter(1));
        change.slots()[1].replace(Value::from(Hash::whole([("n", Bytes::from("2"))])));
        change.slots()[2].replace(Value::from([("ada", 3)].into_iter().collect::<SortedSet>()));
        let appends = disk.unsynced();
        change.commit().await.unwrap();
        assert_eq!(disk.unsynced(), appends);
        // A rename of one, a copy of another, a removal of the third by taking out what is in it.
        let mut change = namespace.begin_change(&keys).await.unwrap();
        let [a, b, c, d] = change.slots() else { panic!("as many slots as keys") };
        d.replace(a.value_mut().take().unwrap());
        b.value_mut().as_mut().unwrap().hash_mut().unwrap().set(b"n", Bytes::from("5"));
        c.value_mut().as_mut().unwrap().sorted_set_mut().unwrap().remove(b"ada");
        assert!(a.value().is_none() && c.value().is_none());
        change.commit().await.unwrap();
        let mut left = Vec::new();
        for key in &keys {
            left.push(namespace.read(key).await.unwrap().value.map(|value| number(Some(&value))));
        }
        assert_eq!(left, [None, Some(5), None, Some(1)]);
    }
    disk.crash(0);
    let process = Process::on(&disk);
    let namespace = process.stored("n");
    assert_eq!([read(&namespace, b"n:b").await, read(&namespace, b"n:d").await], [5, 1]);
    assert_eq!(namespace.count_keys().await.unwrap().keys, 2);
    assert_eq!(process.engine.validate(), Ok(()));
}

/// What a slot says is left is what a later look says too.
#[tokio::test]
async fn ends_are_as_they_were_said() {
    let disk = SimulatedDisk::new();
    let process = Process::on(&disk);
    let store = || Arc::new(disk.open(process.clock.clone()));
    let named = |name: &str| process.engine.namespace::<Blob>(name).key("{id}");
    let (s, ms) = (secs, |ms| Some(MS(ms)));
    // What is declared; new values, EX 5, EXPIRE 7, EXPIRE 90, PERSIST, a change of what was there.
    let cases = [
        (
            named("lasts").store(store(), Durability::None),
            [None, ms(5_000), ms(7_000), ms(90_000), None, ms(4_000)],
        ),
        (
            named("ends").ttl(s(60)).store(store(), Durability::None),
            [ms(60_000), ms(5_000), ms(7_000), ms(90_000), None, ms(4_000)],
        ),
        (
            named("slides").sliding(s(4), s(50)).store(store(), Durability::None),
            [ms(4_000), ms(4_000), ms(7_000), ms(90_000), None, ms(4_000)],
        ),
        (named("kept").ttl(s(60)), [ms(60_000), ms(5_000), ms(7_000), ms(60_000), ms(60_000), ms(4_000)]),
    ];
    for (builder, expected) in cases {
        let namespace = builder.build().unwrap();
        let keys: [&[u8]; 6] = [b"new", b"ex", b"expire", b"longer", b"persist", b"changed"];
        for (key, ttl) in keys.iter().zip([None, None, Some(3), Some(3), Some(3), Some(5)]).skip(1) {
            namespace.set_key(key, Value::Counter(1), ttl.map(s)).await.unwrap();
        }
        process.clock.advance(s(1));
        let mut change = namespace.begin_change(&keys).await.unwrap();
        let [new, ex, expire, longer, persist, changed] = change.slots() else {
            panic!("as many slots as keys")
        };
        new.replace(Value::Counter(1));
        ex.replace(Value::Counter(2));
        assert!(
            ex.ends_after(s(5))
                && expire.ends_after(s(7))
                && longer.ends_after(s(90))
                && persist.never_ends()
        );
        add(changed, 1);
        let name = namespace.name();
        let left: Vec<_> = change.slots().iter().map(Slot::left).collect();
        let mut expected = expected;
        if name == "slides" {
            // It was used by being looked at, within the five seconds that it was given.
            expected[5] = ms(4_000);
        }
        assert_eq!(left, expected, "{name}");
        change.commit().await.unwrap();
        for drops in [false, true] {
            for (key, expected) in keys.iter().zip(expected) {
                // What a store gives back of a sliding value it has given some slack.
                if drops && (name == "slides" || name == "kept") {
                    continue;
                }
                let _ = drops && namespace.drop_copy(key);
                let inspected = namespace.inspect(key).await.unwrap().unwrap();
                assert_eq!((inspected.kind, inspected.left), (Kind::Counter, expected), "{name} {key:?}");
            }
        }
    }
    assert_eq!(process.engine.validate(), Ok(()));
}

#[tokio::test]
async fn what_was_removed_within_a_change_is_new_when_it_comes_again() {
    let process = Process::on(&SimulatedDisk::new());
    for namespace in [process.stored("n"), process.kept("n2")] {
        let key = format!("{}:x", namespace.name()).into_bytes();
        namespace.set_key(&key, Value::Counter(7), Some(secs(5))).await.unwrap();
        let mut change = namespace.begin_change(&[&key]).await.unwrap();
        let [slot] = change.slots() else { panic!("as many slots as keys") };
        assert!(slot.ends_after(Duration::ZERO));
        assert!(slot.value().is_none() && !slot.never_ends() && !slot.ends_after(secs(1)));
        *slot.value_mut() = Some(Value::Counter(8));
        let declared = namespace.name() == "n2";
        assert_eq!(slot.left(), declared.then(|| secs(60)));
        change.commit().await.unwrap();
        process.clock.advance(secs(6));
        assert_eq!(read(&namespace, &key).await, 8);
        // Emptied, it is gone.
        let mut change = namespace.begin_change(&[&key]).await.unwrap();
        change.slots()[0].value_mut().take();
        change.commit().await.unwrap();
        assert_eq!(namespace.inspect(&key).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_change_that_is_dropped_or_fails_does_nothing() {
    let disk = SimulatedDisk::new();
    let process = Process::on(&disk);
    let namespace = process.stored("n");
    let keys: [&[u8]; 2] = [b"n:a", b"n:b"];
    let changed = async || {
        let mut change = namespace.begin_change(&keys).await.unwrap();
        change.slots().iter_mut().for_each(|slot| add(slot, 1));
        change
    };
    drop(changed().await);
    assert_eq!(namespace.count_keys().await.unwrap().keys, 0);
    changed().await.commit().await.unwrap();
    disk.set_faults(StoreFaults { failing_append: 1, ..StoreFaults::default() });
    let failed = changed().await.commit().await.unwrap_err();
    assert!(matches!(failed, Error::StoreFailed { retry: true, .. }), "{failed}");
    // One that cannot be written keeps the other from being written.
    disk.set_faults(StoreFaults::default());
    let mut change = changed().await;
    change.slots()[1].replace(Value::from(Hash::partial()));
    let failed = change.commit().await.unwrap_err();
    assert!(matches!(failed, Error::StoreFailed { retry: false, .. }), "{failed}");
    for drops in [false, true] {
        for key in keys {
            let _ = drops && namespace.drop_copy(key);
            assert_eq!(read(&namespace, key).await, 1);
        }
    }
    // What nobody knows the end of is asked of the store.
    disk.set_faults(StoreFaults { failing_sync: true, ..StoreFaults::default() });
    let failed = changed().await.commit().await.unwrap_err();
    assert!(matches!(failed, Error::StoreUnconfirmed { .. }), "{failed}");
    assert_eq!([read(&namespace, b"n:a").await, read(&namespace, b"n:b").await], [2, 2]);
    assert_eq!(process.engine.validate(), Ok(()));
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_it_done() {
    let disk = SimulatedDisk::new();
    let process = Process::on(&disk);
    let namespace = process.stored("n");
    disk.set_faults(StoreFaults { append_takes: MS(20), ..StoreFaults::default() });
    process
        .run(async {
            let mut change = namespace.begin_change(&[b"n:a", b"n:b"]).await.unwrap();
            change.slots().iter_mut().for_each(|slot| add(slot, 1));
            assert!(process.clock.timeout(MS(5), change.commit()).await.is_err());
            assert!(namespace.read_now(b"n:a").is_none());
            // Who reads one of them meanwhile waits; so does the next writer.
            assert_eq!(read(&namespace, b"n:a").await, 1);
            let read = namespace.read_many(&[b"n:a", b"n:b"]).await;
            assert!(read.into_iter().all(|read| number(read.unwrap().value.as_ref()) == 1));
        })
        .await;
    assert_eq!(process.engine.validate(), Ok(()));
}

#[tokio::test]
async fn a_reader_waits_no_longer_than_for_a_load() {
    let disk = SimulatedDisk::new();
    let process = Process::on(&disk);
    let namespace = process.stored("n");
    disk.set_faults(StoreFaults { append_takes: secs(4), ..StoreFaults::default() });
    process
        .run(async {
            let mut change = namespace.begin_change(&[b"n:a", b"n:b"]).await.unwrap();
            change.slots().iter_mut().for_each(|slot| add(slot, 1));
            let committed = tokio::spawn(change.commit());
            tokio::task::yield_now().await;
            process.clock.sleep(MS(100)).await;
            let late = namespace.read(b"n:a").await.unwrap_err();
            assert!(matches!(late, Error::Timeout { .. }), "{late}");
            assert!(matches!(committed.await.unwrap(), Err(Error::StoreUnconfirmed { cause: None, .. })));
            process.clock.sleep(secs(4)).await;
            assert_eq!(read(&namespace, b"n:a").await, 1);
        })
        .await;
}

#[tokio::test]
async fn what_cannot_be_changed_together_is_refused() {
    let process = Process::on(&SimulatedDisk::new());
    let namespace = process.stored("n");
    let begun = namespace.begin_change(&[b"n:a", b"n:a"]).await;
    assert!(matches!(begun, Err(Error::Key { .. })), "{begun:?}");
    let begun = namespace.begin_change(&[b"n:a", b"other"]).await;
    assert!(matches!(begun, Err(Error::Key { .. })), "{begun:?}");
    let begun = namespace.begin_change(&[b"n:"]).await;
    assert!(matches!(begun, Err(Error::Key { .. })), "{begun:?}");
    let written = namespace.set_key(b"n:\xff", Value::Counter(1), None).await;
    assert!(matches!(written, Err(Error::Key { .. })), "nobody could read it: {written:?}");
    // The simulated store changes 16 keys at once, and any number may be looked at.
    let keys: Vec<Vec<u8>> = (0..20).map(|id| format!("n:{id}").into_bytes()).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    for (changes, fits) in [(16, true), (17, false)] {
        let mut change = namespace.begin_change(&keys).await.unwrap();
        change.slots().iter_mut().take(changes).for_each(|slot| add(slot, 1));
        let ended = change.commit().await;
        assert_eq!(ended.is_ok(), fits);
        assert!(fits || matches!(ended, Err(Error::TooManyKeys { keys: 17, keys_max: 16, .. })));
    }
    let source = forebay::load_one(async |_: String| Ok::<Option<Blob>, std::convert::Infallible>(None));
    let copies =
        process.engine.namespace::<Blob>("c").key("{id}").ttl(secs(1)).source(source).build().unwrap();
    let begun = copies.begin_change(&[b"x"]).await;
    assert!(matches!(begun, Err(Error::RelativeRefused { .. })), "{begun:?}");
    assert_eq!(process.engine.validate(), Ok(()));
}

/// Of two keys that only ever change together nobody sees the one new and then the other old.
pub(crate) fn seen_in_parts(seeds: u64) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    (0..seeds).find_map(|seed| runtime.block_on(seen_in_parts_with(seed)))
}

async fn seen_in_parts_with(seed: u64) -> Option<String> {
    let disk = SimulatedDisk::new();
    let process = Process::on(&disk);
    let namespace = process.stored("n");
    disk.set_faults(StoreFaults {
        failing_append: 9,
        load_takes: MS(seed % 5),
        append_takes: MS(seed % 4),
        ..StoreFaults::default()
    });
    let keys: [&'static [u8]; 3] = [b"n:a", b"n:b", b"n:c"];
    let mut tasks = Vec::new();
    for task in 0..6 {
        let (namespace, clock) = (namespace.clone(), process.clock.clone());
        let mut chance = fastrand::Rng::with_seed(seed * 100 + task);
        tasks.push(tokio::spawn(async move {
            for _ in 0..60 {
                let mut order = keys;
                chance.shuffle(&mut order);
                match chance.u8(0..8) {
                    0 => drop(namespace.drop_copy(order[0])),
                    1 | 2 => {
                        let change = async {
                            let mut change = namespace.begin_change(&order).await?;
                            for slot in change.slots() {
                                let more = (number(slot.value()) + 1).to_string();
                                slot.replace(Value::from(Hash::whole([("n", Bytes::from(more))])));
                            }
                            change.commit().await
                        };
                        match clock.timeout(MS(chance.u64(0..20)), change).await {
                            Ok(Err(error)) if !matches!(error, Error::StoreFailed { .. }) => {
                                panic!("{error}")
                            }
                            _ => {}
                        }
                    }
                    _ => {
                        let [first, second, _] = order;
                        let before = sees(&namespace, first, &mut chance).await;
                        let after = sees(&namespace, second, &mut chance).await;
                        if after < before {
                            return Some(format!(
                                "seed {seed}: {before} of one key, then {after} of another"
                            ));
                        }
                    }
                }
                if chance.bool() {
                    clock.sleep(MS(chance.u64(0..3))).await;
                }
            }
            None
        }));
    }
    let found = process
        .run(async {
            let mut found = None;
            for task in tasks {
                found = found.or(task.await.unwrap());
            }
            process.clock.sleep(secs(1)).await;
            found
        })
        .await;
    assert_eq!(process.engine.validate(), Ok(()));
    found
}

/// Reads by any of the doors.
async fn sees(namespace: &Namespace<Blob>, key: &[u8], chance: &mut fastrand::Rng) -> i64 {
    let parsed = |value: Option<Bytes>| value.map_or(0, |value| counter::parse(&value).unwrap());
    match chance.u8(0..4) {
        0 => parsed(namespace.read_fields(key, &[b"n"]).await.unwrap().remove(0).value),
        1 => match namespace.read_field_now(key, b"n").unwrap() {
            Some(field) => parsed(field.value),
            None => read(namespace, key).await,
        },
        2 => number(namespace.read_many(&[key]).await.remove(0).unwrap().value.as_ref()),
        _ => match namespace.read_now(key) {
            Some(read) => number(read.value.as_ref()),
            None => read(namespace, key).await,
        },
    }
}

#[test]
fn readers_see_all_of_a_change_or_nothing() {
    assert_eq!(seen_in_parts(40), None);
}

#[tokio::test]
async fn who_changes_what_memory_alone_has_is_told_to_begin_again() {
    let process = Process::on(&SimulatedDisk::new());
    let namespace = process.kept("n");
    let keys: [&[u8]; 2] = [b"n:a", b"n:b"];
    let set = |key: &[u8], number| namespace.write(key, Value::Counter(number), None).unwrap();
    let others: [&dyn Fn(); 6] = [
        &|| assert!(namespace.tag(b"n:a", &["t"])),
        &|| set(b"n:a", 5),
        &|| namespace.modify(b"n:b", |held| *held = Some(Value::Counter(6))).unwrap(),
        &|| assert!(namespace.drop_copy(b"n:a")),
        &|| assert!(namespace.end_after(b"n:a", secs(3))),
        &|| process.clock.advance(secs(61)),
    ];
    for (nth, other) in others.into_iter().enumerate() {
        set(b"n:a", 1);
        let _ = namespace.drop_copy(b"n:b");
        let mut change = namespace.begin_change(&keys).await.unwrap();
        change.slots().iter_mut().for_each(|slot| add(slot, 10));
        other();
        let failed = change.commit().await.unwrap_err();
        assert!(matches!(failed, Error::ChangedMeanwhile { .. }) && failed.may_retry(), "{nth}: {failed}");
        let found = [read(&namespace, b"n:a").await, read(&namespace, b"n:b").await];
        assert!(found.iter().all(|number| *number < 10), "{nth}: {found:?}");
    }
    // What is too large for memory keeps the rest from being kept.
    set(b"n:a", 1);
    let mut change = namespace.begin_change(&keys).await.unwrap();
    add(&mut change.slots()[0], 10);
    let large = Bytes::from(vec![b'x'; 300 << 20]);
    change.slots()[1].replace(Value::from(Blob::new(large, "text/plain")));
    let failed = change.commit().await.unwrap_err();
    assert!(matches!(failed, Error::TooLarge { .. }), "{failed}");
    assert_eq!(read(&namespace, b"n:a").await, 1);
    assert_eq!(process.engine.validate(), Ok(()));
}

/// Threads change three keys together, and one of them alone; others read.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_that_memory_alone_has_is_lost_or_seen_in_parts() {
    let engine = Forebay::new().unwrap();
    let namespace = engine.namespace::<Blob>("n").key("n:{id}").ttl(secs(600)).build().unwrap();
    let (together, alone) = (Arc::new(AtomicI64::new(0)), 3_000);
    let mut tasks = Vec::new();
    for task in 0..6_u64 {
        let (namespace, together) = (namespace.clone(), Arc::clone(&together));
        tasks.push(tokio::spawn(async move {
            let keys: [&[u8]; 3] = [b"n:a", b"n:b", b"n:c"];
            for turn in 0..alone {
                match task {
                    0 | 1 => {
                        let mut change = namespace.begin_change(&keys).await.unwrap();
                        change.slots().iter_mut().for_each(|slot| add(slot, 1));
                        match change.commit().await {
                            Ok(()) => drop(together.fetch_add(1, Ordering::SeqCst)),
                            Err(error) => assert!(matches!(error, Error::ChangedMeanwhile { .. }), "{error}"),
                        }
                    }
                    2 => {
                        let more = |held: &mut Option<Value>| {
                            *held = Some(Value::Counter(number(held.as_ref()) + 1))
                        };
                        namespace.modify(b"n:c", more).unwrap();
                    }
                    _ => {
                        let (first, second): (&[u8], &[u8]) =
                            if turn % 2 == 0 { (b"n:a", b"n:b") } else { (b"n:b", b"n:a") };
                        let before = read(&namespace, first).await;
                        let after = read(&namespace, second).await;
                        assert!(after >= before, "{before} of one key, then {after} of another");
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let together = together.load(Ordering::SeqCst);
    assert!(together > 0);
    assert_eq!(read(&namespace, b"n:a").await, together);
    assert_eq!(read(&namespace, b"n:b").await, together);
    assert_eq!(read(&namespace, b"n:c").await, together + i64::from(alone));
    assert_eq!(engine.validate(), Ok(()));
}

/// Changes of overlapping keys in any order, of two namespaces in one order, beside single writes and clears: nobody waits for ever.
#[tokio::test]
async fn changes_wait_for_each_other_in_one_order() {
    let disk = SimulatedDisk::new();
    let process = Process::on(&disk);
    let (one, two) = (process.stored("n"), process.stored("o"));
    disk.set_faults(StoreFaults { append_takes: MS(1), ..StoreFaults::default() });
    let mut tasks = Vec::new();
    for task in 0..24_u64 {
        let (one, two) = (one.clone(), two.clone());
        let mut chance = fastrand::Rng::with_seed(task);
        tasks.push(tokio::spawn(async move {
            for _ in 0..10 {
                let mut keys = [b"n:a", b"n:b", b"n:c"].map(|key| &key[..]);
                chance.shuffle(&mut keys);
                let mut first: KeysChange = one.begin_change(&keys[..2]).await.unwrap();
                let mut second = two.begin_change(&[b"o:a", b"o:b"]).await.unwrap();
                first.slots().iter_mut().chain(second.slots()).for_each(|slot| add(slot, 1));
                first.commit().await.unwrap();
                second.commit().await.unwrap();
                if chance.u8(0..10) == 0 {
                    one.clear().await.unwrap();
                }
                one.set_key(keys[2], Value::Counter(0), None).await.unwrap();
            }
        }));
    }
    process
        .run(async {
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!([read(&two, b"o:a").await, read(&two, b"o:b").await], [240, 240]);
        })
        .await;
    assert_eq!(process.engine.validate(), Ok(()));
}

#[tokio::test]
async fn what_belongs_to_no_namespace_belongs_to_the_default() {
    let disk = SimulatedDisk::new();
    let keys: [&[u8]; 4] = [b"", b"\xff\x00{}:", b"n", "n\u{fc}".as_bytes()];
    for restarted in [false, true] {
        let process = Process::on(&disk);
        let store = || Arc::new(disk.open(process.clock.clone()));
        let any =
            |name: &str| process.engine.namespace::<Blob>(name).any_key().store(store(), Durability::Always);
        let mut keyspace = Keyspace::new("k");
        keyspace.set_default(any("default").build().unwrap()).unwrap();
        keyspace.add(process.stored("n")).unwrap();
        keyspace.add(process.stored("o")).unwrap();
        let names: Vec<&str> = keyspace.namespaces().iter().map(Namespace::name).collect();
        assert_eq!(names, ["n", "o", "default"]);
        assert_eq!(keyspace.find(b"n:x").unwrap().name(), "n");
        let default = keyspace.default_namespace().unwrap();
        for key in keys {
            assert_eq!(keyspace.find(key).unwrap().name(), "default");
        }
        if !restarted {
            let mut change = default.begin_change(&keys).await.unwrap();
            let [empty, binary, set, counter] = change.slots() else { panic!("as many slots as keys") };
            empty.replace(Value::from(Blob::new("bytes", "text/plain")));
            binary.replace(Value::from(Hash::whole([("n", Bytes::from("2"))])));
            set.replace(Value::from([("ada", 3)].into_iter().collect::<SortedSet>()));
            counter.replace(Value::Counter(4));
            change.commit().await.unwrap();
            // Each key has a kind of its own, and may come to have another.
            default.set_key(keys[3], Value::from(Blob::new("4", "text/plain")), None).await.unwrap();
            default.update_key(keys[3], |held| *held = Some(Value::Counter(4))).await.unwrap();
        }
        let kinds = [Kind::Blob, Kind::Hash, Kind::SortedSet, Kind::Counter];
        for (key, kind) in keys.into_iter().zip(kinds) {
            // By the store, by a load, by memory.
            assert_eq!(default.inspect(key).await.unwrap().unwrap().kind, kind, "{key:?}");
            let _ = default.drop_copy(key);
            assert_eq!(default.read(key).await.unwrap().value.unwrap().kind(), kind, "{key:?}");
            assert_eq!(default.read_now(key).unwrap().value.unwrap().kind(), kind, "{key:?}");
        }
        assert_eq!(default.get_blob("").await.unwrap().unwrap().bytes(), "bytes");
        assert_eq!(default.stored_keys(b"", None, 9).await.unwrap().len(), 4);
        let refused = [
            keyspace.clone().add(any("more").build().unwrap()),
            keyspace.clone().set_default(any("more").build().unwrap()),
            Keyspace::new("k").set_default(process.stored("p")),
        ];
        assert!(refused.iter().all(|refused| matches!(refused, Err(Error::Build { .. }))), "{refused:?}");
        let source = forebay::load_one(async |_: String| Ok::<Option<Blob>, std::convert::Infallible>(None));
        let builder = process.engine.namespace::<Blob>("s").any_key().ttl(secs(1)).source(source);
        assert!(builder.build().unwrap_err().to_string().contains("`key` pattern"));
    }
}

#[tokio::test]
async fn keys_are_counted_and_drawn_without_a_use() {
    let disk = SimulatedDisk::new();
    let process = Process::on(&disk);
    let kept =
        process.engine.namespace::<Blob>("m").key("m:{id}").sliding(secs(60), secs(600)).build().unwrap();
    for namespace in [process.stored("n"), kept] {
        assert_eq!(namespace.random_key().await.unwrap(), None);
        let name = namespace.name().to_owned();
        let keys: Vec<Vec<u8>> = (0..300).map(|id| format!("{name}:{id:03}").into_bytes()).collect();
        for key in &keys {
            namespace.set_key(key, Value::Counter(1), None).await.unwrap();
        }
        namespace.delete_key(&keys[7]).await.unwrap();
        assert_eq!(namespace.count_keys().await.unwrap().keys, 299);
        let mut drawn = std::collections::BTreeSet::new();
        for _ in 0..2_000 {
            drawn.insert(namespace.random_key().await.unwrap().unwrap());
        }
        assert!(drawn.iter().all(|key| keys.iter().any(|other| **other == **key)));
        assert!(drawn.len() > 200 && !drawn.contains(&*keys[7]), "{} of 299", drawn.len());
        let reads = namespace.counts();
        assert_eq!(reads.hits + reads.misses, 0);
    }
    // Inspecting is no use.
    let kept =
        process.engine.namespace::<Blob>("l").key("l:{id}").sliding(secs(60), secs(600)).build().unwrap();
    kept.write(b"l:x", Value::Counter(1), None).unwrap();
    for left in [60, 30] {
        assert_eq!(kept.inspect(b"l:x").await.unwrap().unwrap().left, Some(secs(left)));
        process.clock.advance(secs(30));
    }
    assert_eq!(kept.inspect(b"l:x").await.unwrap(), None);
    assert_eq!(kept.count_keys().await.unwrap().keys, 0);
    // A store is asked, and what it gives is not held.
    let stored = process.stored("k");
    stored.set_key(b"k:x", Value::Counter(1), None).await.unwrap();
    let _ = stored.drop_copy(b"k:x");
    assert_eq!(stored.inspect(b"k:x").await.unwrap().unwrap().kind, Kind::Counter);
    assert!(stored.peek(b"k:x").is_none());
    assert_eq!(stored.inspect(b"k:y").await.unwrap(), None);
    assert_eq!(stored.inspect(b"other").await.unwrap(), None);
}

/// Front ends hold a change over other waits, on any thread.
#[test]
fn a_change_is_sent_between_threads() {
    fn is_send<T: Send>(_: T) {}
    fn check(namespace: &Namespace<Blob>) {
        is_send(async {
            let mut change = namespace.begin_change(&[b"a"]).await?;
            let _ = change.slots();
            change.commit().await
        });
        is_send(namespace.inspect(b"a"));
    }
    let _ = check;
}

/// The store judges a change when it takes it: what the writer saw may be over by then.
#[tokio::test]
async fn what_ends_while_it_is_written_is_what_its_writer_made_of_it() {
    let disk = SimulatedDisk::new();
    let process = Process::on(&disk);
    let namespace = process.stored("n");
    let hash = || Value::from(Hash::whole([("n", Bytes::from_static(b"1"))]));
    process
        .run(async {
            for (key, value) in [(b"n:a", Value::Counter(1)), (b"n:b", hash()), (b"n:c", Value::Counter(1))] {
                namespace.set_key(key, value, Some(MS(50))).await.unwrap();
            }
            disk.set_faults(StoreFaults { append_takes: MS(80), ..StoreFaults::default() });
            // Asked for a longer life, changed in part, and changed as a whole: each within the life that it had.
            assert!(namespace.live_key_for(b"n:a", Some(secs(60))).await.unwrap());
        })
        .await;
    let after_restart = Process::on(&disk);
    let stored = after_restart.stored("n");
    assert_eq!(read(&stored, b"n:a").await, 1, "a life that was acknowledged is had");
    process
        .run(async {
            disk.set_faults(StoreFaults::default());
            namespace.set_key(b"n:b", hash(), Some(MS(50))).await.unwrap();
            namespace.set_key(b"n:c", Value::Counter(1), Some(MS(50))).await.unwrap();
            disk.set_faults(StoreFaults { append_takes: MS(80), ..StoreFaults::default() });
            let more = |value: &mut Option<Value>| {
                let set = |hash: &mut Hash| drop(hash.set(b"n", Bytes::from_static(b"2")));
                value.as_mut().and_then(Value::hash_mut).map(set)
            };
            let changed = namespace.update_key(b"n:b", more);
            let added = namespace.update_key(b"n:c", |value| *value = Some(Value::Counter(2)));
            let (changed, added) = tokio::join!(changed, added);
            assert!(changed.unwrap().is_some(), "a part of what ends is no damage");
            added.unwrap();
            process.clock.sleep(MS(200)).await;
            assert_eq!(read(&namespace, b"n:b").await, 0, "it ends as it did");
            assert_eq!(read(&namespace, b"n:c").await, 0, "it ends as it did");
        })
        .await;
}
