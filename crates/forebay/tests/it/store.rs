//! Namespaces that are the truth themselves, on a store that fails, waits and crashes.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use forebay::feed::Rows;
use forebay::rt::Clock;
use forebay::tier::shared::Owner;
use forebay::tier::store::{
    Change, Count, Described, Durability, Reply, Store, StoreError, StoreLimits, Stored,
};
use forebay::value::{Codec, Hash, MemberChange, Score, SortedSet, Version, counter};
use forebay::{Blob, Error, Forebay, Namespace, Value, Writes, secs};
use forebay_simulated::{SimulatedDisk, SimulatedStore, SimulatedTier, StoreFaults};

use crate::scripted::text;

/// One process on a disk.
struct Process {
    clock: Clock,
    disk: SimulatedDisk,
    engine: Forebay,
}

impl Process {
    fn on(disk: &SimulatedDisk) -> Self {
        let clock = Clock::simulated();
        Self::at(disk, &clock)
    }

    fn at(disk: &SimulatedDisk, clock: &Clock) -> Self {
        let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
        Self { clock: clock.clone(), disk: disk.clone(), engine }
    }

    fn things<V: std::any::Any + Send + Sync>(&self, durability: Durability) -> Namespace<V> {
        let builder = self.engine.namespace("things").key("thing:{id}");
        builder.store(Arc::new(self.disk.open(self.clock.clone())), durability).build().unwrap()
    }

    /// Lets time pass while `work` goes on.
    async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::task::yield_now() => self.clock.advance(Duration::from_millis(1)),
            }
        }
    }
}

fn add(by: i64) -> impl FnOnce(&mut Option<Value>) -> i64 {
    move |held| {
        let number = held.as_ref().and_then(Value::as_counter).unwrap_or(0) + by;
        *held = Some(Value::Counter(number));
        number
    }
}

#[tokio::test]
async fn what_is_written_is_there_after_a_restart() {
    let disk = SimulatedDisk::new();
    let hash = Hash::whole([("name", Bytes::from("Ada")), ("mail", Bytes::from("ada@example.com"))]);
    let set: SortedSet = [("ada", 3), ("bob", 1)].into_iter().collect();
    {
        let process = Process::on(&disk);
        let things = process.things::<Blob>(Durability::Always);
        things.set_key(b"thing:blob", Value::from(Blob::json("{}")), None).await.unwrap();
        things.set_key(b"thing:hash", Value::from(hash), None).await.unwrap();
        things.set_key(b"thing:set", Value::from(set), None).await.unwrap();
        assert_eq!(things.update_key(b"thing:counter", add(7)).await.unwrap(), 7);
    }
    let process = Process::on(&disk);
    let things = process.things::<Blob>(Durability::Always);
    assert_eq!(things.get("blob").await.unwrap().map(|blob| text(&blob)), Some("{}".into()));
    let read = async |key: &[u8]| things.read(key).await.unwrap().value;
    let hash = read(b"thing:hash").await.unwrap();
    let hash = hash.as_hash().unwrap();
    assert_eq!(hash.len(), Some(2));
    assert_eq!(hash.state(b"name").known().map(|name| &**name), Some(&b"Ada"[..]));
    let set = read(b"thing:set").await.unwrap();
    assert_eq!(set.as_sorted_set().unwrap().score(b"ada"), Some(Score::from(3)));
    assert_eq!(read(b"thing:counter").await.unwrap().as_counter(), Some(7));
    assert!(read(b"thing:nothing").await.is_none());
    let keys = things.stored_keys(b"thing:", Some(b"thing:blob"), 2).await.unwrap();
    assert_eq!(keys, [b"thing:counter"[..].into(), b"thing:hash"[..].into()]);
    things.clear().await.unwrap();
    assert!(read(b"thing:hash").await.is_none());
    assert_eq!(things.stored_keys(b"", None, 9).await.unwrap(), Vec::<Box<[u8]>>::new());
    assert_eq!(process.engine.validate(), Ok(()));
}

/// Put as it is, a part of a hash would be told as the whole from then on.
#[tokio::test]
async fn a_hash_of_which_a_part_is_known_is_not_stored() {
    let process = Process::on(&SimulatedDisk::new());
    let things = process.things::<Blob>(Durability::Always);
    let mut partial = Hash::partial();
    partial.set(b"name", Bytes::from_static(b"Ada"));
    let put = partial.clone();
    let refused = things.set_key(b"thing:x", Value::from(put), None).await.unwrap_err();
    assert!(matches!(&refused, Error::StoreFailed { retry: false, .. }), "{refused}");
    let changed = move |held: &mut Option<Value>| *held = Some(Value::from(partial));
    things.update_key(b"thing:x", changed).await.unwrap_err();
    assert!(things.read(b"thing:x").await.unwrap().value.is_none());
    assert_eq!(things.counts().writes_stored, 0);
}

#[tokio::test]
async fn an_update_that_changes_nothing_is_no_write() {
    let process = Process::on(&SimulatedDisk::new());
    let things = process.things::<Blob>(Durability::Always);
    things.update_key(b"thing:counter", add(7)).await.unwrap();
    assert_eq!(things.update_key(b"thing:counter", add(0)).await.unwrap(), 7);
    things.update_key(b"thing:nothing", |_| ()).await.unwrap();
    assert_eq!(things.counts().writes_stored, 1);
}

/// A Rust value, written as its text.
#[derive(Debug, PartialEq)]
struct Note(String);

struct AsText;

impl Codec<Note> for AsText {
    fn encode(&self, note: &Note) -> Option<Bytes> {
        Some(Bytes::from(note.0.clone()))
    }

    fn decode(&self, bytes: &[u8]) -> Option<(Note, u64)> {
        let text = String::from_utf8(bytes.to_vec()).ok()?;
        Some((Note(text), 100))
    }
}

#[tokio::test]
async fn rust_values_are_stored_by_their_codec_and_not_read_by_another_shape() {
    let disk = SimulatedDisk::new();
    let notes = |shape| {
        let process = Process::on(&disk);
        let builder = process.engine.namespace::<Note>("notes").key("note:{id}").codec(AsText);
        builder.store(Arc::new(disk.open(process.clock)), Durability::None).shape(shape).build().unwrap()
    };
    let first = notes(1);
    first.set("x", Note("milk".into()), 100).await.unwrap();
    let again = notes(1);
    assert_eq!(again.get("x").await.unwrap().as_deref(), Some(&Note("milk".into())));
    let other = notes(2);
    let read = other.get("x").await;
    let Err(Error::Source { cause, retry: false, .. }) = read else { panic!("{read:?}") };
    assert!(cause.to_string().contains("shape 1"), "{cause}");
    // It is the truth: it is not taken for absent, and stays until somebody says so.
    let changed = other.update("x", |held| *held = None).await;
    assert!(matches!(changed, Err(Error::StoreFailed { .. })), "{changed:?}");
    other.delete("x").await.unwrap();
    assert!(other.get("x").await.unwrap().is_none());
    let without = Process::on(&disk);
    let builder = without.engine.namespace::<Note>("notes").key("note:{id}");
    let problem = builder.store(Arc::new(disk.open(without.clock)), Durability::None).build().unwrap_err();
    assert!(problem.to_string().contains("`codec`"), "{problem}");
}

#[tokio::test]
async fn values_end_when_they_are_to() {
    let disk = SimulatedDisk::new();
    let process = Process::on(&disk);
    let builder = process.engine.namespace::<i64>("visits").key("visits:{id}").ttl(secs(10));
    let store = Arc::new(disk.open(process.clock.clone()));
    let visits = builder.store(store, Durability::None).build().unwrap();
    visits.update("short", add(1)).await.unwrap();
    visits.update("long", add(1)).await.unwrap();
    assert!(visits.live_for("long", None).await.unwrap());
    visits.update("moved", add(1)).await.unwrap();
    process.clock.advance(secs(6));
    // A change leaves the end where it is.
    visits.update("short", add(1)).await.unwrap();
    assert!(visits.live_for("moved", Some(secs(20))).await.unwrap());
    process.clock.advance(secs(4));
    for drops in [false, true] {
        for (id, there) in [("short", None), ("long", Some(1)), ("moved", Some(1))] {
            let _ = drops && visits.drop_copy(format!("visits:{id}").as_bytes());
            assert_eq!(visits.get(id).await.unwrap().as_deref().copied(), there, "{id}");
        }
    }
    assert_eq!(visits.update("short", add(1)).await.unwrap(), 1, "what has ended was changed");
    process.clock.advance(secs(16));
    assert!(visits.get("moved").await.unwrap().is_none());
    assert!(!visits.live_for("moved", None).await.unwrap());
    assert!(visits.live_for("long", Some(Duration::ZERO)).await.unwrap());
    assert!(visits.get("long").await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_used_lives_on_also_after_a_restart() {
    let (disk, clock) = (SimulatedDisk::new(), Clock::simulated());
    let sessions = || {
        let process = Process::at(&disk, &clock);
        let builder = process.engine.namespace::<i64>("sessions").key("session:{id}");
        let store = Arc::new(disk.open(clock.clone()));
        let sessions = builder.store(store, Durability::None).sliding(secs(80), secs(1_000)).build().unwrap();
        (sessions, process)
    };
    let (first, process) = sessions();
    let there = async |of: &Namespace<i64>, id: &str| of.get(id).await.unwrap().is_some();
    for id in ["read", "changed", "unused"] {
        first.update(id, add(1)).await.unwrap();
    }
    process
        .run(async {
            for _ in 0..30 {
                clock.sleep(secs(10)).await;
                assert!(there(&first, "read").await);
                first.update("changed", add(1)).await.unwrap();
            }
            clock.sleep(secs(10)).await;
        })
        .await;
    assert!(!there(&first, "unused").await);
    drop((first, process));
    let (second, process) = sessions();
    for id in ["read", "changed"] {
        assert!(there(&second, id).await, "{id}");
    }
    assert!(!there(&second, "unused").await, "what ended in memory came back");
    process
        .run(async {
            clock.sleep(secs(79)).await;
            assert!(there(&second, "read").await, "the read after the restart was no use");
            for _ in 0..12 {
                clock.sleep(secs(60)).await;
                let _ = second.drop_copy(b"session:read");
                let is_within = clock.now().since(forebay::rt::Tick::default()) < secs(1_000);
                assert_eq!(there(&second, "read").await, is_within, "a copy that was dropped had been used");
            }
        })
        .await;
}

#[tokio::test]
async fn an_absence_is_no_use_and_a_use_is_told_until_it_is_taken() {
    let (disk, clock) = (SimulatedDisk::new(), Clock::simulated());
    let process = Process::at(&disk, &clock);
    let builder = process.engine.namespace::<i64>("sessions").key("session:{id}");
    let store = Arc::new(disk.open(clock.clone()));
    let sessions = builder.store(store, Durability::None).sliding(secs(80), secs(1_000)).build().unwrap();
    sessions.update("x", add(1)).await.unwrap();
    let taken = disk.unsynced();
    process
        .run(async {
            for _ in 0..20 {
                assert!(sessions.get("nobody").await.unwrap().is_none());
                clock.sleep(secs(2)).await;
            }
            assert_eq!(disk.unsynced(), taken, "the store was told of a use of nothing");
            disk.set_faults(StoreFaults { failing_append: 1, ..StoreFaults::default() });
            assert!(sessions.get("x").await.unwrap().is_some());
            clock.sleep(secs(20)).await;
            disk.set_faults(StoreFaults::default());
            clock.sleep(secs(20)).await;
            assert_eq!(disk.unsynced(), taken + 1, "the store was not told again");
        })
        .await;
}

#[tokio::test]
async fn verbs_that_do_not_wait_leave_the_truth_alone() {
    let process = Process::on(&SimulatedDisk::new());
    let sets = process.things::<SortedSet>(Durability::None);
    let member = MemberChange { member: Bytes::from_static(b"ada"), score: Some(Score::from(1)) };
    let refused = sets.upsert_members("x", Version(1), &[member]).await;
    assert!(matches!(refused, Err(Error::SinkFirst { .. })), "{refused:?}");
    let blob = Value::from(Blob::json("1"));
    assert!(matches!(sets.write(b"thing:y", blob.clone(), None), Err(Error::SinkFirst { .. })));
    sets.set_key(b"thing:y", blob, None).await.unwrap();
    assert!(!sets.end_after(b"thing:y", secs(1)));
    process.clock.advance(secs(2));
    assert!(sets.read(b"thing:y").await.unwrap().value.is_some());
}

#[tokio::test]
async fn what_the_store_does_not_take_is_not_seen() {
    let disk = SimulatedDisk::new();
    let process = Process::on(&disk);
    let things = process.things::<Blob>(Durability::None);
    things.set_key(b"thing:x", Value::from(Blob::json("1")), None).await.unwrap();
    disk.set_faults(StoreFaults { failing_append: 1, ..StoreFaults::default() });
    let failed = things.set_key(b"thing:x", Value::from(Blob::json("2")), None).await.unwrap_err();
    assert!(matches!(failed, Error::StoreFailed { retry: true, .. }), "{failed}");
    assert!(things.delete("x").await.is_err());
    assert!(things.clear().await.is_err());
    disk.set_faults(StoreFaults::default());
    for _ in 0..2 {
        assert_eq!(things.get("x").await.unwrap().map(|blob| text(&blob)), Some("1".into()));
        let _ = things.drop_copy(b"thing:x");
    }
    assert_eq!(things.counts().writes_failed, 3);
    assert_eq!(things.counts().writes_stored, 1);
}

#[tokio::test]
async fn a_write_waits_for_its_sync_and_a_failed_one_ends_the_writing() {
    let disk = SimulatedDisk::new();
    let process = Process::on(&disk);
    let things = process.things::<i64>(Durability::Always);
    things.update("x", add(1)).await.unwrap();
    assert_eq!(disk.unsynced(), 0);
    disk.set_faults(StoreFaults { failing_sync: true, ..StoreFaults::default() });
    let failed = things.update("x", add(1)).await.unwrap_err();
    assert!(matches!(failed, Error::StoreUnconfirmed { cause: Some(_), .. }), "{failed}");
    disk.set_faults(StoreFaults::default());
    let failed = things.update("x", add(1)).await.unwrap_err();
    assert!(matches!(failed, Error::StoreFailed { retry: false, .. }), "{failed}");
    assert_eq!(things.get("x").await.unwrap().as_deref(), Some(&2), "what was taken is seen");
    disk.crash(0);
    drop(things);
    let process = Process::on(&disk);
    let things = process.things::<i64>(Durability::Always);
    assert_eq!(things.get("x").await.unwrap().as_deref(), Some(&1));
}

#[tokio::test]
async fn a_store_namespace_leaves_the_shared_tier_alone() {
    let clock = Clock::simulated();
    let tier = SimulatedTier::new(clock.clone(), 7);
    let engine = Forebay::builder().clock(clock.clone()).shared_tier(Arc::new(tier.link(1))).build().unwrap();
    let disk = SimulatedDisk::new();
    let builder = engine.namespace::<i64>("things").key("thing:{id}");
    let things = builder.store(Arc::new(disk.open(clock.clone())), Durability::None).build().unwrap();
    let process = Process { clock, disk, engine };
    process
        .run(async {
            assert_eq!(things.update("x", add(1)).await.unwrap(), 1);
            tier.partition(1, Some(forebay_simulated::Partition::Requests));
            process.clock.sleep(secs(5)).await;
            assert_eq!(things.get("x").await.unwrap().as_deref(), Some(&1), "the truth is no suspect");
            let _ = things.drop_copy(b"thing:x");
            assert_eq!(things.update("x", add(1)).await.unwrap(), 2);
        })
        .await;
}

#[tokio::test]
async fn options_that_a_store_has_no_use_for_are_refused() {
    let process = Process::on(&SimulatedDisk::new());
    let builder = || {
        let builder = process.engine.namespace::<Blob>("things").key("thing:{id}").ttl(secs(5));
        builder.store(Arc::new(process.disk.open(process.clock.clone())), Durability::None)
    };
    let problems = [
        builder()
            .source(forebay::load_one(|_: String| async {
                Ok::<Option<Blob>, std::convert::Infallible>(None)
            }))
            .build(),
        builder().writes(Writes::Cache).build(),
        builder().stale_if_error(secs(1)).build(),
        builder().absent_ttl(secs(1)).build(),
        builder().jitter(secs(1)).build(),
        builder().refresh_every(secs(1)).build(),
        builder().membership(forebay::FilterOptions::default()).build(),
        builder().decide(|_| forebay::Decided::default()).build(),
        builder().depends_on(Rows::of("main", "things").column("id", "id")).build(),
    ];
    for problem in problems {
        let problem = problem.unwrap_err().to_string();
        assert!(problem.contains("`store`"), "{problem}");
    }
    let without =
        process.engine.namespace::<Blob>("others").key("other:{id}").ttl(secs(5)).writes(Writes::Store);
    assert!(without.build().unwrap_err().to_string().contains("give a `store`"));
    builder().build().unwrap();
}

/// Many tasks add to few counters while copies are dropped, appends fail, loads take time, and callers go away.
#[tokio::test]
async fn no_change_is_lost_or_made_twice() {
    for seed in 0..40 {
        let disk = SimulatedDisk::new();
        let process = Process::on(&disk);
        let things = process.things::<i64>(if seed % 2 == 0 { Durability::Always } else { Durability::None });
        let ms = Duration::from_millis;
        disk.set_faults(StoreFaults {
            failing_append: 11,
            load_takes: ms(seed % 5),
            append_takes: ms(seed % 3),
            ..StoreFaults::default()
        });
        // For each counter, what is known to be added, and what may be.
        let sums: Arc<HashMap<String, [AtomicI64; 2]>> =
            Arc::new((0..3).map(|id| (id.to_string(), Default::default())).collect());
        let is_over = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for task in 0..8 {
            let (things, sums, clock) = (things.clone(), Arc::clone(&sums), process.clock.clone());
            let mut chance = fastrand::Rng::with_seed(seed * 100 + task);
            tasks.push(tokio::spawn(async move {
                for _ in 0..40 {
                    let id = chance.u8(0..3).to_string();
                    let [known, possible] = &sums[&id];
                    match chance.u8(0..8) {
                        0 => drop(things.drop_copy(format!("thing:{id}").as_bytes())),
                        1 | 2 => {
                            let least = known.load(Ordering::SeqCst);
                            let read = things.get(&*id).await.unwrap().as_deref().copied().unwrap_or(0);
                            let most = possible.load(Ordering::SeqCst);
                            assert!((least..=most).contains(&read), "{read} is not within {least}..={most}");
                        }
                        _ => {
                            possible.fetch_add(1, Ordering::SeqCst);
                            let adding = things.update(&*id, add(1));
                            let patience = ms(chance.u64(0..12));
                            match clock.timeout(patience, adding).await {
                                Ok(Ok(_)) => drop(known.fetch_add(1, Ordering::SeqCst)),
                                Ok(Err(Error::StoreFailed { .. })) => {
                                    // Nothing was done, but a reader may have counted on it by now.
                                }
                                Ok(Err(error)) => panic!("{error}"),
                                Err(_) => {}
                            }
                        }
                    }
                }
            }));
        }
        process
            .run(async {
                for task in tasks {
                    task.await.unwrap();
                }
                is_over.store(true, Ordering::SeqCst);
                for (id, [known, possible]) in &*sums {
                    let _ = things.drop_copy(format!("thing:{id}").as_bytes());
                    let read = things.get(id.as_str()).await.unwrap().as_deref().copied().unwrap_or(0);
                    let bounds = known.load(Ordering::SeqCst)..=possible.load(Ordering::SeqCst);
                    assert!(bounds.contains(&read), "{read} is not within {bounds:?}");
                }
            })
            .await;
        assert_eq!(process.engine.validate(), Ok(()));
    }
}

/// One client, whose operations a plain model makes too; between them copies are dropped, appends fail, the power goes.
#[tokio::test]
async fn a_store_is_what_a_plain_model_is() {
    for seed in 0..60 {
        let (disk, clock) = (SimulatedDisk::new(), Clock::simulated());
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut model: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        let mut process = Process::at(&disk, &clock);
        let mut things = process.things::<Blob>(Durability::Always);
        disk.set_faults(StoreFaults { failing_append: 7, ..StoreFaults::default() });
        for _ in 0..120 {
            let (id, field) = (chance.u8(0..4).to_string(), chance.u8(0..6).to_string());
            let key = format!("thing:{id}");
            let is_hash = id.as_str() < "2";
            match chance.u8(0..10) {
                0 => {
                    disk.crash(0);
                    process = Process::at(&disk, &clock);
                    things = process.things(Durability::Always);
                }
                1 => drop(things.drop_copy(key.as_bytes())),
                2 => {
                    if things.delete(&*id).await.is_ok() {
                        model.remove(&id);
                    }
                }
                3 if chance.u8(0..8) == 0 => {
                    if things.clear().await.is_ok() {
                        model.clear();
                    }
                }
                4 | 5 => {
                    let gone = |held: &mut Option<Value>| match held.as_mut() {
                        Some(Value::Hash(hash)) => drop(Arc::make_mut(hash).remove(field.as_bytes())),
                        Some(Value::SortedSet(set)) => drop(Arc::make_mut(set).remove(field.as_bytes())),
                        _ => {}
                    };
                    if things.update_key(key.as_bytes(), gone).await.is_ok()
                        && let Some(parts) = model.get_mut(&id)
                    {
                        parts.remove(&field);
                        model.retain(|_, parts| !parts.is_empty());
                    }
                }
                _ => {
                    let number = chance.i32(0..100);
                    let put = |held: &mut Option<Value>| {
                        if is_hash {
                            let value = held.get_or_insert_with(|| Value::from(Hash::whole::<&[u8]>([])));
                            value.hash_mut().unwrap().set(field.as_bytes(), Bytes::from(number.to_string()));
                        } else {
                            let value = held.get_or_insert_with(|| Value::from(SortedSet::new()));
                            value.sorted_set_mut().unwrap().upsert(field.as_bytes(), Score::from(number));
                        }
                    };
                    if things.update_key(key.as_bytes(), put).await.is_ok() {
                        model.entry(id.clone()).or_default().insert(field, i64::from(number));
                    }
                }
            }
            let read = things.read(key.as_bytes()).await.unwrap().value;
            assert_eq!(parts(read.as_ref()), model.get(&id).cloned(), "with seed {seed}");
        }
        let keys = things.stored_keys(b"", None, 100).await.unwrap();
        let expected: Vec<Box<[u8]>> =
            model.keys().map(|id| format!("thing:{id}").into_bytes().into()).collect();
        assert_eq!(keys, expected);
        assert_eq!(process.engine.validate(), Ok(()));
    }
}

/// The fields or members of a collection, and their numbers.
fn parts(value: Option<&Value>) -> Option<BTreeMap<String, i64>> {
    let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Some(match value? {
        Value::Hash(hash) => {
            hash.iter().map(|(field, value)| (string(field), counter::parse(value).unwrap())).collect()
        }
        Value::SortedSet(set) => set
            .iter()
            .map(|(member, score)| (string(member), score.get().to_string().parse().unwrap()))
            .collect(),
        other => panic!("{other:?}"),
    })
}

/// A count that a store cannot tell now is not made up of what it lists.
#[tokio::test]
async fn a_count_is_a_listing_only_where_the_store_takes_nothing_more() {
    let disk = SimulatedDisk::new();
    let process = Process::on(&disk);
    let things = process.things::<Blob>(Durability::Always);
    for number in 0..3 {
        let key = format!("thing:{number}");
        process.run(things.set_key(key.as_bytes(), Value::Counter(1), Some(secs(100)))).await.unwrap();
    }
    assert_eq!(things.count_keys().await.unwrap(), Count { keys: 3, ending: 3 });
    disk.set_faults(StoreFaults { failing_sync: true, ..StoreFaults::default() });
    process.run(things.set_key(b"thing:0", Value::Counter(2), Some(secs(100)))).await.unwrap_err();
    assert_eq!(things.count_keys().await.unwrap(), Count { keys: 3, ending: 0 }, "it takes nothing more");
    disk.crash(0);
    let refused = things.count_keys().await.unwrap_err();
    assert!(matches!(refused, Error::StoreFailed { retry: true, .. }), "{refused}");
}

/// A store that hands out no value.
struct Closed(SimulatedStore);

impl Store for Closed {
    fn limits(&self) -> StoreLimits {
        self.0.limits()
    }

    fn load<'a>(&'a self, _: &'a Owner, _: &'a [&'a [u8]]) -> Reply<'a, Vec<Option<Stored>>> {
        Box::pin(async { Err(StoreError::Poisoned) })
    }

    fn describe<'a>(&'a self, of: &'a Owner, keys: &'a [&'a [u8]]) -> Reply<'a, Vec<Option<Described>>> {
        self.0.describe(of, keys)
    }

    fn list<'a>(
        &'a self,
        of: &'a Owner,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> Reply<'a, Vec<Box<[u8]>>> {
        self.0.list(of, prefix, after, limit)
    }

    fn count<'a>(&'a self, of: &'a Owner) -> Reply<'a, Count> {
        self.0.count(of)
    }

    fn append<'a>(&'a self, of: &'a Owner, changes: Vec<Change>, durability: Durability) -> Reply<'a, ()> {
        self.0.append(of, changes, durability)
    }

    fn clear<'a>(&'a self, of: &'a Owner, durability: Durability) -> Reply<'a, ()> {
        self.0.clear(of, durability)
    }
}

/// Values may be large, and a listing has many: it asks the store for none, and says of each what it would of the value itself.
#[tokio::test]
async fn a_listing_loads_no_value() {
    let disk = SimulatedDisk::default();
    let first = Process::on(&disk);
    let things: Namespace<Blob> = first.things(Durability::Always);
    let keys: Vec<String> = (0..40).map(|number| format!("thing:{number}")).collect();
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    for key in &keys[..39] {
        let blob = Blob::new("x".repeat(1_000), "text/plain").with_metadata(key);
        first.run(things.set_key(key, Value::from(blob), Some(secs(100)))).await.unwrap();
    }
    let known = things.inspect_many(&keys).await.unwrap();
    assert!(known[..39].iter().all(Option::is_some) && known[39].is_none(), "{known:?}");
    let second = Process::at(&disk, &first.clock);
    let store = Closed(disk.open(first.clock.clone()));
    let builder = second.engine.namespace("things").key("thing:{id}");
    let things: Namespace<Blob> = builder.store(Arc::new(store), Durability::Always).build().unwrap();
    assert_eq!(things.inspect_many(&keys).await.unwrap(), known);
    assert!(second.run(things.read(b"thing:0")).await.is_err());
}
