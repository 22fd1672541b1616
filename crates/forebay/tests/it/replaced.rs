//! Namespaces that take the place of another of their name while that is in use, and what is left of those that are no more.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay::tier::memory::EvictionPolicy;
use forebay::tier::store::Durability;
use forebay::{Blob, Error, Forebay, Namespace, NamespaceBuilder, Writes, load_one, write_one};
use forebay_simulated::SimulatedDisk;
use tokio::sync::{Mutex, Semaphore, mpsc};

use crate::scripted::{TTL, text};

const MIB: u64 = 1024 * 1024;

fn engine() -> (Clock, Forebay) {
    let clock = Clock::simulated();
    let engine = Forebay::builder().clock(clock.clone()).memory_budget_bytes(8 * MIB).build().unwrap();
    (clock, engine)
}

/// A namespace whose source says `answer` and the key.
fn answering(engine: &Forebay, answer: &'static str) -> NamespaceBuilder<Blob> {
    let load =
        move |id: String| async move { Ok::<_, Infallible>(Some(Blob::opaque(format!("{answer} {id}")))) };
    engine.namespace("n").key("n:{id}").ttl(TTL).source(load_one(load))
}

async fn get(namespace: &Namespace<Blob>, id: &str) -> String {
    text(&namespace.get(id).await.unwrap().unwrap())
}

/// Lets the upkeep of the engine look around once.
async fn upkeep(clock: &Clock) {
    clock.advance(Duration::from_millis(100));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_takes_the_place_of_another_that_is_still_read() {
    let (_clock, engine) = engine();
    let old = answering(&engine, "old").build().unwrap();
    assert_eq!(get(&old, "1").await, "old 1");
    assert!(matches!(answering(&engine, "new").build(), Err(Error::NameTaken { .. })));
    let new = answering(&engine, "new").replacing(&old).build().unwrap();
    assert_eq!(get(&new, "1").await, "new 1", "it answers what another source gave");
    assert_eq!(get(&old, "1").await, "old 1", "who still reads the old one lost what it held");

    // Whoever invalidates by the one or the other means both.
    assert!(old.peek(b"n:1").is_some() && new.peek(b"n:1").is_some());
    new.invalidate("1").await.unwrap();
    assert!(old.peek(b"n:1").is_none() && new.peek(b"n:1").is_none());
    get(&old, "1").await;
    get(&new, "1").await;
    old.invalidate_all().await.unwrap();
    assert!(old.peek(b"n:1").is_none() && new.peek(b"n:1").is_none());
    get(&old, "1").await;
    get(&new, "1").await;
    engine.invalidate_everything().await.unwrap();
    assert!(old.peek(b"n:1").is_none() && new.peek(b"n:1").is_none());

    // The old one has its successor; the new one may get one, and so may the old one when that is gone.
    assert!(matches!(answering(&engine, "newer").replacing(&old).build(), Err(Error::NameTaken { .. })));
    drop(new);
    let newer = answering(&engine, "newer").replacing(&old).build().unwrap();
    let newest = answering(&engine, "newest").replacing(&newer).build().unwrap();
    drop((old, newer));
    assert_eq!(get(&newest, "1").await, "newest 1");
    engine.validate().unwrap();
}

#[tokio::test]
async fn a_load_of_the_one_before_is_answered_and_ends_it() {
    let (_clock, engine) = engine();
    let (asked, mut is_asked) = mpsc::channel(1);
    let go = Arc::new(Semaphore::new(0));
    let load = {
        let go = Arc::clone(&go);
        move |_id: String| {
            let (asked, go) = (asked.clone(), Arc::clone(&go));
            async move {
                asked.send(()).await.unwrap();
                go.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(Some(Blob::opaque("old")))
            }
        }
    };
    let old = engine.namespace::<Blob>("n").key("n:{id}").ttl(TTL).source(load_one(load)).build().unwrap();
    let reader = tokio::spawn({
        let old = old.clone();
        async move { get(&old, "1").await }
    });
    is_asked.recv().await.unwrap();
    let new = answering(&engine, "new").replacing(&old).build().unwrap();
    drop(old);
    assert_eq!(get(&new, "1").await, "new 1");
    go.add_permits(1);
    assert_eq!(reader.await.unwrap(), "old");
    assert_eq!(get(&new, "1").await, "new 1", "a load of the one before was kept");
    engine.idle().await;
    assert!(is_asked.recv().await.is_none(), "the source of the one before is still held by somebody");
}

#[tokio::test]
async fn the_memory_of_one_that_is_no_more_is_given_back() {
    let (clock, engine) = engine();
    let keep = |name: &str| {
        let kept = engine.namespace::<Blob>(name).key(&format!("{name}:{{id}}")).ttl(TTL).build().unwrap();
        for id in 0..3_000 {
            kept.put(id.to_string(), Blob::opaque(vec![7; 100]), 0).unwrap();
        }
        kept
    };
    let stays = keep("stays");
    let before = engine.memory().len();
    let goes = keep("goes");
    assert_eq!(engine.memory().len(), 2 * before);
    let clone = goes.clone();
    drop(goes);
    upkeep(&clock).await;
    assert_eq!(engine.memory().len(), 2 * before, "somebody has a handle of it");
    drop(clone);
    upkeep(&clock).await;
    assert_eq!(engine.memory().len(), before);
    assert!(stays.peek(b"stays:1").is_some());
    engine.validate().unwrap();
}

#[tokio::test]
async fn memory_of_its_own_is_handed_on_or_given_back() {
    let (clock, engine) = engine();
    let own = |bytes| answering(&engine, "n").memory(bytes, EvictionPolicy::Lru);
    let old = own(5 * MIB).build().unwrap();
    get(&old, "1").await;
    // Beside the old one there would be no room for as much.
    let new = own(5 * MIB).replacing(&old).build().unwrap();
    get(&new, "1").await;
    assert_eq!(engine.memory().budget_bytes(), 3 * MIB);
    assert!(matches!(own(6 * MIB).replacing(&new).build(), Err(Error::Build { .. })));
    assert_eq!(engine.memory().budget_bytes(), 3 * MIB, "a namespace that was not built took memory");
    drop(old);
    upkeep(&clock).await;
    assert!(new.peek(b"n:1").is_some());
    assert_eq!(engine.memory().budget_bytes(), 3 * MIB);
    drop(new);
    upkeep(&clock).await;
    assert_eq!(engine.memory().budget_bytes(), 8 * MIB);
}

/// Writes come to the sink one after the other, whichever of two namesakes they came by, and what one has written is not
/// hidden by what the other had loaded before.
#[tokio::test]
async fn writes_by_two_namesakes_keep_their_order() {
    let (_clock, engine) = engine();
    let row = Arc::new(Mutex::new(String::from("first")));
    let (arrived, mut arrives) = mpsc::channel(4);
    let go = Arc::new(Semaphore::new(0));
    let through = || {
        let (source, sink, go, arrived) =
            (Arc::clone(&row), Arc::clone(&row), Arc::clone(&go), arrived.clone());
        let load = move |_id: String| {
            let row = Arc::clone(&source);
            async move { Ok::<_, Infallible>(Some(Blob::opaque(row.lock().await.clone()))) }
        };
        let write = move |_id: String, value: Option<Arc<Blob>>| {
            let (row, go, arrived) = (Arc::clone(&sink), Arc::clone(&go), arrived.clone());
            async move {
                let value = text(&value.unwrap());
                arrived.send(value.clone()).await.unwrap();
                go.acquire().await.unwrap().forget();
                *row.lock().await = value;
                Ok(())
            }
        };
        let builder = engine.namespace::<Blob>("n").key("n:{id}").ttl(TTL).writes(Writes::Through);
        builder.source(load_one(load)).sink(write_one(write))
    };
    let old = through().build().unwrap();
    let new = through().replacing(&old).build().unwrap();
    let write = |by: &Namespace<Blob>, value: &'static str| {
        let by = by.clone();
        tokio::spawn(async move { by.set("1", Blob::opaque(value), 0).await })
    };
    let second = write(&old, "second");
    assert_eq!(arrives.recv().await.unwrap(), "second");
    assert_eq!(get(&new, "1").await, "first");
    let third = write(&new, "third");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(arrives.try_recv().is_err(), "two writes of one key are at the sink at once");
    go.add_permits(1);
    second.await.unwrap().unwrap();
    assert_eq!(get(&new, "1").await, "second", "what was written is hidden by what was loaded before");
    assert_eq!(arrives.recv().await.unwrap(), "third");
    go.add_permits(1);
    third.await.unwrap().unwrap();
    assert_eq!((get(&new, "1").await, &**row.lock().await), ("third".to_owned(), "third"));
    drop((old, new));
    engine.idle().await;
    engine.validate().unwrap();
}

#[tokio::test]
async fn what_cannot_be_replaced_is_told() {
    let (clock, engine) = engine();
    let disk = SimulatedDisk::new();
    let stored = || {
        let store = Arc::new(disk.open(clock.clone()));
        engine.namespace::<Blob>("n").key("n:{id}").store(store, Durability::Always)
    };
    let refused = |built: Result<Namespace<Blob>, Error>| built.unwrap_err().to_string();
    let cache = answering(&engine, "n").build().unwrap();
    assert!(refused(stored().replacing(&cache).build()).contains("drop all handles"));
    let other = engine.namespace::<Blob>("other").key("o:{id}").ttl(TTL).replacing(&cache).build();
    assert!(refused(other).contains("name its namesake"));
    let elsewhere = answering(&engine.keyspace("other"), "n").replacing(&cache).build();
    assert!(refused(elsewhere).contains("name its namesake"));
    drop(cache);
    let store = stored().build().unwrap();
    assert!(refused(answering(&engine, "n").replacing(&store).build()).contains("drop all handles"));
    drop(store);
    stored().build().unwrap();
}
