//! The embedded store: its contract, an engine over it, and what it leaves on the disk.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::{Clock, Mutex};
use forebay::tier::shared::Owner;
use forebay::tier::store::{Change, Count, Durability, Ends, Store, StoreError, StoredValue, What};
use forebay::value::{Blob, Hash};
use forebay::{Forebay, Namespace, Value};
use forebay_simulated::conformance::{StoreSubject, check_store};
use forebay_stores::disk::{Batch, Disk, Durability as DiskDurability, Scan, Space};
use forebay_stores::tier::store::{EmbeddedStore, StoreOptions};

use crate::embedded::{MORNING_MS, disk};

fn open(disk: &Disk, clock: &Clock) -> Arc<EmbeddedStore> {
    let unix_ms = Some(MORNING_MS + clock.now().as_ms());
    Arc::new(EmbeddedStore::open(disk.clone(), StoreOptions { clock: clock.clone(), unix_ms }).unwrap())
}

fn pass(clock: &Clock) -> Box<dyn Fn(Duration) -> forebay_simulated::conformance::Later<()> + Send + Sync> {
    let clock = clock.clone();
    Box::new(move |time| {
        clock.advance(time);
        Box::pin(async {})
    })
}

#[tokio::test]
async fn a_store_in_memory_conforms() {
    check_store(|| async {
        let (disk, clock) = (Disk::memory(), Clock::simulated());
        StoreSubject { store: open(&disk, &clock), pass: pass(&clock), restart: None }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_a_folder_conforms() {
    check_store(|| async {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let clock = Clock::simulated();
        let on = disk(folder.path(), "boot").await;
        let store = open(&on, &clock);
        let now = Arc::new(Mutex::new(Some(on)));
        StoreSubject {
            store,
            pass: pass(&clock),
            restart: Some(Box::new(move || {
                let (folder, clock, now) = (Arc::clone(&folder), clock.clone(), Arc::clone(&now));
                Box::pin(async move {
                    let before = now.lock().take().unwrap();
                    before.close().await.unwrap();
                    let on = disk(folder.path(), "boot").await;
                    *now.lock() = Some(on.clone());
                    open(&on, &clock) as Arc<dyn Store>
                })
            })),
        }
    })
    .await;
}

fn owner() -> Owner {
    Owner { keyspace: Arc::from("shop"), namespace: Arc::from("things") }
}

async fn put(store: &EmbeddedStore, key: &str, value: StoredValue, ends: Ends) {
    let change = Change { key: key.as_bytes().into(), what: What::Put(value), ends };
    store.append(&owner(), vec![change], Durability::None).await.unwrap();
}

fn hash(fields: usize) -> StoredValue {
    let fields = (0..fields).map(|field| (field.to_string(), Bytes::from(vec![b'x'; 100])));
    StoredValue::Hash(Arc::new(Hash::whole(fields)))
}

async fn rows(disk: &Disk, space: Space) -> usize {
    let scan = Scan { space, prefix: Bytes::new(), after: None, limit: 100_000 };
    disk.scan(scan).await.unwrap().rows.len()
}

/// Lets the background work until the disk has so many rows.
async fn swept_to(disk: &Disk, clock: &Clock, wanted: [usize; 2]) {
    for _ in 0..2_000 {
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
        if [rows(disk, Space::Stores).await, rows(disk, Space::StoreExpiry).await] == wanted {
            return;
        }
    }
    panic!("{} rows, {} ends", rows(disk, Space::Stores).await, rows(disk, Space::StoreExpiry).await);
}

#[tokio::test]
async fn what_is_gone_leaves_nothing_on_the_disk() {
    let (disk, clock) = (Disk::memory(), Clock::simulated());
    let store = open(&disk, &clock);
    put(&store, "deleted", hash(1_000), Ends::After(Duration::from_secs(100_000))).await;
    put(&store, "replaced", hash(600), Ends::Never).await;
    put(&store, "replaced", StoredValue::Counter(1), Ends::Never).await;
    put(&store, "ended", hash(700), Ends::After(Duration::from_secs(5))).await;
    put(&store, "ended too", StoredValue::Counter(1), Ends::After(Duration::from_secs(5))).await;
    let gone = Change { key: b"deleted"[..].into(), what: What::Delete, ends: Ends::Never };
    store.append(&owner(), vec![gone], Durability::None).await.unwrap();
    // What stays is the counter and the number that collections are given.
    swept_to(&disk, &clock, [2, 0]).await;
    for number in 0..600 {
        put(&store, &number.to_string(), hash(1), Ends::After(Duration::from_secs(100_000))).await;
    }
    store.clear(&owner(), Durability::None).await.unwrap();
    // What stays is the number of the epoch, and that of collections.
    swept_to(&disk, &clock, [2, 0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_that_is_under_way_misses_nothing_and_counts_nothing_twice() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::simulated());
    let disk = disk(folder.path(), "boot").await;
    let store = open(&disk, &clock);
    let key = |number: usize| format!("{number:05}");
    let changes = |numbers: std::ops::Range<usize>, what: What| {
        let change =
            |number| Change { key: key(number).into_bytes().into(), what: what.clone(), ends: Ends::Never };
        numbers.map(change).collect::<Vec<Change>>()
    };
    let value = || What::Put(StoredValue::Counter(1));
    store.append(&owner(), changes(0..5_000, value()), Durability::None).await.unwrap();
    // Many pages; before and behind where they are, values come and go.
    let of = owner();
    let writing = async {
        for number in 0..200 {
            let (front, back) = (number * 2, 4_999 - number * 2);
            store.append(&owner(), changes(front..front + 1, What::Delete), Durability::None).await.unwrap();
            store.append(&owner(), changes(back..back + 1, What::Delete), Durability::None).await.unwrap();
            let new = 5_000 + number;
            store.append(&owner(), changes(new..new + 1, value()), Durability::None).await.unwrap();
        }
    };
    let (counted, ()) = tokio::join!(store.count(&of), writing);
    counted.unwrap();
    let listed = store.list(&owner(), b"", None, 100_000).await.unwrap().len();
    assert_eq!(listed, 4_800);
    assert_eq!(store.count(&owner()).await.unwrap().keys, 4_800);
    put(&store, "ends", StoredValue::Counter(1), Ends::After(Duration::from_secs(5))).await;
    assert_eq!(store.count(&owner()).await.unwrap(), Count { keys: 4_801, ending: 1 });
    clock.advance(Duration::from_secs(5));
    assert_eq!(store.count(&owner()).await.unwrap(), Count { keys: 4_800, ending: 0 }, "it is not swept yet");
    swept_to(&disk, &clock, [4_800, 0]).await;
    assert_eq!(store.count(&owner()).await.unwrap(), Count { keys: 4_800, ending: 0 });
    drop(store);
    disk.close().await.unwrap();
}

/// What a step has told of before it failed is in no count, also where the next step is the one that counts.
#[tokio::test]
async fn what_fails_is_in_no_count_and_takes_no_page_of_one_away() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::simulated());
    let disk = disk(folder.path(), "boot").await;
    let (store, of) = (open(&disk, &clock), owner());
    let change = |key: String, what| Change { key: key.into_bytes().into(), what, ends: Ends::Never };
    let put = |key: String| change(key, What::Put(StoredValue::Counter(1)));
    let values = (0..5_000).map(|number| put(format!("{number:05}"))).collect();
    store.append(&of, values, Durability::None).await.unwrap();
    for round in 0..100 {
        // The first of them can be done, the second cannot: what is there is no hash.
        let fails = || {
            let field = (Bytes::from_static(b"f"), Some(Bytes::from_static(b"v")));
            let refused = change("00000".to_owned(), What::Fields(vec![field]));
            store.append(&of, vec![put(format!("0000{round}x")), refused], Durability::None)
        };
        let (failed, counted, too) = tokio::join!(fails(), store.count(&of), fails());
        assert!(failed.is_err() && too.is_err());
        assert_eq!(counted.unwrap().keys, 5_000, "beside what fails, in round {round}");
        assert_eq!(store.count(&of).await.unwrap().keys, 5_000, "after it, in round {round}");
    }
    drop(store);
    disk.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_record_is_named_and_holds_up_no_sweep() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::simulated());
    let on = disk(folder.path(), "boot").await;
    let store = open(&on, &clock);
    let soon = Ends::After(Duration::from_secs(5));
    for key in ["a", "b"] {
        put(&store, key, hash(3), Ends::Never).await;
    }
    store.clear(&owner(), Durability::None).await.unwrap();
    for key in ["a", "b"] {
        put(&store, key, StoredValue::Counter(1), soon).await;
    }
    put(&store, "replaced", hash(3), Ends::Never).await;
    put(&store, "replaced", StoredValue::Counter(1), soon).await;
    on.close().await.unwrap();
    // A value that was cleared, a part, a row of garbage, a cleared epoch, an end.
    for prefix in [0, 1, 2, 4] {
        crate::disk::damage(folder.path(), Space::Stores, &[prefix]);
    }
    crate::disk::damage(folder.path(), Space::StoreExpiry, b"");
    let on = disk(folder.path(), "boot").await;
    let _store = open(&on, &clock);
    // What stays is the number of the epoch, that of collections, and the parts of the value that was damaged, which nothing tells of.
    let mut left = [0, 0];
    for _ in 0..2_000 {
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
        let all = |space| Scan { space, prefix: Bytes::new(), after: None, limit: 99 };
        left = on
            .read(move |view| {
                let rows = |space| view.scan_past_damage(&all(space)).map(|page| page.rows.len());
                Ok([rows(Space::Stores)?, rows(Space::StoreExpiry)?])
            })
            .await
            .unwrap();
        if left == [5, 0] {
            return;
        }
    }
    panic!("it was not swept: {left:?}");
}

#[tokio::test]
async fn a_sweep_begins_where_the_last_one_ended_and_names_what_it_cannot_read() {
    let (disk, clock) = (Disk::memory(), Clock::simulated());
    let store = open(&disk, &clock);
    let (lines, _guard) = crate::withstanding::Lines::of_this_thread();
    put(&store, "x", StoredValue::Counter(1), Ends::After(Duration::from_secs(2))).await;
    put(&store, "y", StoredValue::Counter(1), Ends::After(Duration::from_secs(3))).await;
    let scan = Scan { space: Space::Stores, prefix: Bytes::from_static(&[0]), after: None, limit: 9 };
    let (at, _) = disk.scan(scan).await.unwrap().rows.remove(0);
    let mut batch = Batch::new();
    batch.put(Space::Stores, at.clone(), Bytes::from_static(b"\x07rubbish"));
    disk.write(batch, DiskDurability::OsWritten).await.unwrap();
    swept_to(&disk, &clock, [1, 0]).await;
    assert_eq!(lines.with("is damaged"), 1);
    // Nothing is put where it has been; if something were, nobody would look for it there.
    let mut batch = Batch::new();
    batch.put(Space::StoreExpiry, [&1_u64.to_be_bytes()[..], &at].concat(), Bytes::new());
    disk.write(batch, DiskDurability::OsWritten).await.unwrap();
    for _ in 0..20 {
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    assert_eq!(rows(&disk, Space::StoreExpiry).await, 1);
}

/// A use of a value writes a row of eight bytes, whatever the value takes, and nothing is left of it when the value is gone.
#[tokio::test]
async fn a_use_does_not_write_the_value_again() {
    let (disk, clock) = (Disk::memory(), Clock::simulated());
    let store = open(&disk, &clock);
    let secs = Duration::from_secs;
    let unused = Ends::Unused(secs(10), secs(1_000));
    let large = || StoredValue::Blob(Blob::opaque(vec![b'x'; 1 << 20]));
    put(&store, "x", large(), unused).await;
    let all = || Scan { space: Space::Stores, prefix: Bytes::new(), after: None, limit: 9 };
    let written = disk.scan(all()).await.unwrap().rows;
    clock.advance(secs(8));
    let used = || Change { key: b"x"[..].into(), what: What::Stays, ends: Ends::Used(secs(10)) };
    store.append(&owner(), vec![used()], Durability::None).await.unwrap();
    let after = disk.scan(all()).await.unwrap().rows;
    assert_eq!((after.len(), &after[..1]), (2, &written[..]), "the value was written again");
    assert_eq!(after[1].1.len(), 8);
    clock.advance(secs(8));
    assert!(store.load(&owner(), &[b"x"]).await.unwrap()[0].is_some());
    assert_eq!(store.list(&owner(), b"", None, 9).await.unwrap().len(), 1);
    // Put anew it ends as it is told now, and not when it would have ended with its uses.
    put(&store, "x", large(), Ends::Unused(secs(1), secs(1_000))).await;
    assert_eq!(rows(&disk, Space::Stores).await, 1);
    clock.advance(secs(1));
    assert!(store.load(&owner(), &[b"x"]).await.unwrap()[0].is_none());
    swept_to(&disk, &clock, [0, 0]).await;
    for ends in ["sweep", "clear"] {
        put(&store, "x", large(), unused).await;
        clock.advance(secs(5));
        store.append(&owner(), vec![used()], Durability::None).await.unwrap();
        if ends == "clear" {
            store.clear(&owner(), Durability::None).await.unwrap();
        }
        swept_to(&disk, &clock, [usize::from(ends == "clear"), 0]).await;
    }
}

#[tokio::test]
async fn collections_stay_apart_after_another_opening_and_a_restore() {
    let (memory, clock) = (Disk::memory(), Clock::simulated());
    for key in ["a", "b"] {
        put(&open(&memory, &clock), key, hash(2), Ends::Never).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let on = disk(&at("first"), "boot").await;
    put(&open(&on, &clock), "a", hash(2), Ends::Never).await;
    on.backup(at("backup")).await.unwrap();
    on.close().await.unwrap();
    Disk::restore(at("backup"), at("second")).await.unwrap();
    let on = disk(&at("second"), "boot").await;
    put(&open(&on, &clock), "b", hash(2), Ends::Never).await;
    for on in [memory, on] {
        let store = open(&on, &clock);
        let field = vec![(Bytes::from_static(b"only here"), Some(Bytes::new()))];
        let change = Change { key: b"b"[..].into(), what: What::Fields(field), ends: Ends::AsBefore };
        store.append(&owner(), vec![change], Durability::None).await.unwrap();
        let all = store.load(&owner(), &[b"a", b"b"]).await.unwrap();
        let lengths = all.into_iter().map(|stored| match stored.unwrap().value {
            StoredValue::Hash(hash) => hash.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(lengths.collect::<Vec<_>>(), [Some(2), Some(3)]);
    }
}

#[tokio::test]
async fn a_damaged_value_is_named_and_can_be_replaced() {
    let (disk, clock) = (Disk::memory(), Clock::simulated());
    let store = open(&disk, &clock);
    put(&store, "x", StoredValue::Counter(1), Ends::Never).await;
    put(&store, "y", StoredValue::Counter(2), Ends::Never).await;
    let scan = Scan { space: Space::Stores, prefix: Bytes::from_static(&[0]), after: None, limit: 9 };
    let (at, _) = disk.scan(scan).await.unwrap().rows.remove(0);
    let mut batch = Batch::new();
    batch.put(Space::Stores, at, Bytes::from_static(b"\x07rubbish"));
    disk.write(batch, DiskDurability::OsWritten).await.unwrap();
    let damaged = store.load(&owner(), &[b"x"]).await.unwrap_err();
    assert!(matches!(&damaged, StoreError::Damaged { place, .. } if place.contains('x')), "{damaged}");
    assert!(!damaged.may_retry() && !damaged.unknown_outcome());
    let stays = Change { key: b"x"[..].into(), what: What::Stays, ends: Ends::Never };
    assert!(store.append(&owner(), vec![stays], Durability::None).await.is_err());
    assert!(store.load(&owner(), &[b"y"]).await.unwrap()[0].is_some(), "another value was touched");
    put(&store, "x", StoredValue::Counter(3), Ends::Never).await;
    assert!(store.load(&owner(), &[b"x"]).await.unwrap()[0].is_some());
}

/// Its end is there still when it was replaced, beside the one of what came in its place.
#[tokio::test]
async fn a_value_that_was_damaged_is_taken_off_the_count_once() {
    let (disk, clock) = (Disk::memory(), Clock::simulated());
    let store = open(&disk, &clock);
    put(&store, "x", StoredValue::Counter(1), Ends::After(Duration::from_secs(2))).await;
    put(&store, "y", StoredValue::Counter(2), Ends::Never).await;
    let scan = Scan { space: Space::Stores, prefix: Bytes::from_static(&[0]), after: None, limit: 9 };
    let (at, _) = disk.scan(scan).await.unwrap().rows.remove(0);
    let mut batch = Batch::new();
    batch.put(Space::Stores, at, Bytes::from_static(b"\x07rubbish"));
    disk.write(batch, DiskDurability::OsWritten).await.unwrap();
    put(&store, "x", StoredValue::Counter(3), Ends::After(Duration::from_secs(4))).await;
    assert_eq!(rows(&disk, Space::StoreExpiry).await, 2);
    assert_eq!(store.count(&owner()).await.unwrap(), Count { keys: 2, ending: 1 });
    clock.advance(Duration::from_secs(5));
    assert_eq!(store.count(&owner()).await.unwrap(), Count { keys: 1, ending: 0 }, "it is not swept yet");
    assert_eq!(rows(&disk, Space::StoreExpiry).await, 2);
    swept_to(&disk, &clock, [1, 0]).await;
    assert_eq!(store.count(&owner()).await.unwrap(), Count { keys: 1, ending: 0 });
}

async fn things(engine: &Forebay, store: &Arc<EmbeddedStore>) -> Namespace<Blob> {
    let builder = engine.namespace("things").key("thing:{id}");
    builder
        .store(Arc::clone(store) as Arc<dyn Store>, Durability::Interval(Duration::from_secs(1)))
        .build()
        .unwrap()
}

/// Many tasks change fields of one hash through an engine, whose copies are dropped meanwhile; then the process starts anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_over_it_loses_nothing_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let on = disk(folder.path(), "boot").await;
    let engine = Forebay::builder().build().unwrap();
    let namespace = things(&engine, &open(&on, &clock)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let namespace = namespace.clone();
        tasks.spawn(async move {
            for number in 0..100 {
                let field = (number % 10).to_string();
                let add = |held: &mut Option<Value>| {
                    let value = held.get_or_insert_with(|| Value::from(Hash::whole::<&[u8]>([])));
                    let hash = value.hash_mut().unwrap();
                    let before = hash
                        .state(field.as_bytes())
                        .known()
                        .map_or(0, |text| std::str::from_utf8(text).unwrap().parse::<u32>().unwrap());
                    hash.set(field.as_bytes(), Bytes::from((before + 1).to_string()));
                };
                namespace.update_key(b"thing:hash", add).await.unwrap();
                if (number + task) % 7 == 0 {
                    let _ = namespace.drop_copy(b"thing:hash");
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    namespace.set_key(b"thing:blob", Value::from(Blob::json("{}")), None).await.unwrap();
    drop((namespace, engine));
    on.close().await.unwrap();
    let on = disk(folder.path(), "boot").await;
    let engine = Forebay::builder().build().unwrap();
    let namespace = things(&engine, &open(&on, &clock)).await;
    let read = namespace.read(b"thing:hash").await.unwrap().value.unwrap();
    let values: Vec<_> = read.as_hash().unwrap().iter().map(|(_, value)| value.clone()).collect();
    assert_eq!(values, vec![Bytes::from_static(b"40"); 10]);
    assert!(namespace.get("blob").await.unwrap().is_some());
    assert_eq!(engine.validate(), Ok(()));
}
