//! Tracking over a source that is held: what a client is told, and when, beside the replies to its reads.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::{Clock, Tick};
use forebay::{Blob, Forebay, Keyspace, Namespace, Writes, load_one, secs};
use tokio::sync::Semaphore;

use super::table::{Place, Table};
use super::{Seen, Tracker, Tracking};
use crate::resp::inbox::{Inbox, Total};
use crate::resp::served::{self, Client, in_service};

/// A served namespace `item`, whose source gives the number that it is at, once it is let.
struct Served {
    clock: Clock,
    row: Arc<AtomicU64>,
    /// Loads that have read their row.
    arrived: Arc<Semaphore>,
    /// Loads that may end.
    let_go: Arc<Semaphore>,
    item: Namespace<Blob>,
    served: served::Served,
}

impl Served {
    async fn new() -> Self {
        let clock = Clock::simulated();
        let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
        let (row, arrived, let_go) =
            (Arc::new(AtomicU64::new(1)), Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(1_000)));
        let parts = (Arc::clone(&row), Arc::clone(&arrived), Arc::clone(&let_go));
        let load = move |_code: String| {
            let (row, arrived, let_go) = parts.clone();
            async move {
                let row = row.load(Ordering::SeqCst).to_string();
                arrived.add_permits(1);
                let_go.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(Some(Blob::opaque(row)))
            }
        };
        let item = engine.namespace("item").key("item:{code}").ttl(secs(60)).stale_while_revalidate(secs(60));
        let item = item.source(load_one(load)).build().unwrap();
        let mut keyspace = Keyspace::new(engine.keyspace_name());
        keyspace.add(item.clone()).unwrap();
        let served = served::Served::new(engine, in_service([(0, Arc::new(keyspace))])).await;
        Self { clock, row, arrived, let_go, item, served }
    }

    async fn client(&self) -> Client {
        self.served.client().await
    }

    /// From now on loads wait.
    async fn hold(&self) {
        self.let_go
            .acquire_many(u32::try_from(self.let_go.available_permits()).unwrap())
            .await
            .unwrap()
            .forget();
        self.arrived
            .acquire_many(u32::try_from(self.arrived.available_permits()).unwrap())
            .await
            .unwrap()
            .forget();
    }

    async fn arrived(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }
}

/// The read looks before the invalidation and is answered after it: what it is told of comes behind the reply.
#[tokio::test]
async fn a_copy_whose_read_an_invalidation_overtakes_is_told_of_behind_its_reply() {
    let served = Served::new().await;
    let (mut reader, mut other) = (served.client().await, served.client().await);
    assert_eq!(reader.say("CLIENT TRACKING ON").await, "OK");
    for read in ["GET item:a", "MGET item:a", "HGET item:a f", "MULTI\r\nGET item:a\r\nEXEC"] {
        served.hold().await;
        reader.send(read).await;
        served.arrived().await;
        assert_eq!(other.say("FB.INVALIDATE item:a").await, "0", "nothing is held yet");
        if read.starts_with("MULTI") {
            // What was loaded for it is of no use any more: the command reads anew, and is overtaken too.
            served.let_go.add_permits(1);
            served.arrived().await;
            assert_eq!(other.say("FB.INVALIDATE item:a").await, "0");
        }
        served.let_go.add_permits(1_000);
        while read.starts_with("MULTI") && reader.next().await != "QUEUED" {}
        let first = reader.next().await;
        assert!(!first.starts_with("invalidate"), "{read}: {first} before the reply");
        assert_eq!(reader.told().await.first().map(String::as_str), Some("invalidate item:a"), "{read}");
        other.say("FB.INVALIDATE item:a").await;
        reader.told().await;
    }
}

#[tokio::test]
async fn a_client_is_told_of_loads_that_bring_something_else_and_not_of_its_own() {
    let served = Served::new().await;
    let (mut reader, mut other) = (served.client().await, served.client().await);
    reader.say("CLIENT TRACKING ON").await;
    assert_eq!(reader.say("GET item:a").await, "1");
    assert_eq!(reader.told().await, [""; 0], "of its own load");
    // A refresh that brings the same, and one that does not.
    for (row, told) in [(1, vec![]), (2, vec!["invalidate item:a"])] {
        served.row.store(row, Ordering::SeqCst);
        // The sweep waits for a clock that moves, which this one does while somebody else reads.
        served.clock.advance(Duration::from_millis(1));
        other.say("FB.FRESH item:a").await;
        assert_eq!(reader.told().await, told, "{row}");
    }
    assert_eq!(reader.say("GET item:a").await, "2");
    // Nothing is held any more when it is loaded again.
    other.say("FB.INVALIDATE item:a").await;
    assert_eq!(reader.told().await, ["invalidate item:a"]);
    assert_eq!(reader.say("GET item:a").await, "2");
    assert_eq!(reader.told().await, [""; 0]);
}

#[tokio::test]
async fn a_client_is_told_when_the_time_of_its_copy_is_over() {
    let served = Served::new().await;
    let mut reader = served.client().await;
    reader.say("CLIENT TRACKING ON").await;
    assert_eq!(reader.say("GET item:a").await, "1");
    served.clock.advance(Duration::from_secs(59));
    assert_eq!(reader.told().await, [""; 0]);
    served.clock.advance(Duration::from_secs(2));
    assert_eq!(reader.next().await, "invalidate item:a");
    served.served.stop.stop();
}

/// Both loads begin within one tick of the clock.
#[tokio::test]
async fn a_client_is_told_of_a_load_that_began_in_the_same_tick_as_its_own() {
    let served = Served::new().await;
    let (mut reader, mut other) = (served.client().await, served.client().await);
    reader.say("CLIENT TRACKING ON").await;
    assert_eq!(reader.say("GET item:a").await, "1");
    served.row.store(2, Ordering::SeqCst);
    other.say("FB.FRESH item:a").await;
    assert_eq!(reader.told().await, ["invalidate item:a"]);
    assert_eq!(reader.say("GET item:a").await, "2");
    assert_eq!(reader.told().await, [""; 0]);
}

#[tokio::test]
async fn what_is_read_past_the_copies_is_told_of_as_other_reads_are() {
    let served = Served::new().await;
    let (mut reader, mut other) = (served.client().await, served.client().await);
    served.clock.advance(Duration::from_millis(5));
    reader.say("CLIENT TRACKING ON").await;
    assert_eq!(reader.say("FB.FRESH item:a").await, "1");
    assert_eq!(reader.told().await, [""; 0], "of its own load");
    other.say("FB.INVALIDATE item:a").await;
    assert_eq!(reader.told().await, ["invalidate item:a"]);
}

#[tokio::test]
async fn what_others_invalidate_while_a_keyspace_is_emptied_is_told_at_once() {
    let served = Served::new().await;
    let (mut reader, mut idle) = (served.client().await, served.client().await);
    for client in [&mut reader, &mut idle] {
        client.say("CLIENT TRACKING ON").await;
        assert_eq!(client.say("GET item:a").await, "1");
    }
    let flushing = served.served.service.tracking.flush("default");
    served.item.invalidate_prefix("item:a").await.unwrap();
    assert_eq!(reader.told().await, ["invalidate nil"]);
    assert_eq!(reader.say("GET item:a").await, "1");
    drop(flushing);
    assert_eq!(reader.told().await, ["invalidate nil"], "of what it has read since");
    assert_eq!(idle.told().await, ["invalidate nil"], "it has read nothing since");
}

/// A reload gives the number that a connection has picked to another keyspace.
#[tokio::test]
async fn a_client_is_told_of_the_keyspace_that_its_number_has_now() {
    let engine = Forebay::builder().clock(Clock::simulated()).build().unwrap();
    let keyspace = |name: &str| {
        let kept = engine.keyspace(name).namespace("kept").key("kept:{name}").ttl(secs(60));
        let kept = kept.writes(Writes::Cache).build().unwrap();
        let mut keyspace = Keyspace::new(name);
        keyspace.add(kept).unwrap();
        Arc::new(keyspace)
    };
    let (one, two) = (keyspace("one"), keyspace("two"));
    let served =
        served::Served::new(engine.clone(), in_service([(0, Arc::clone(&one)), (1, Arc::clone(&two))])).await;
    let (mut client, mut other) = (served.client().await, served.client().await);
    assert_eq!(client.say("CLIENT TRACKING ON BCAST PREFIX kept:").await, "OK");
    served.keyspaces.swap(in_service([(0, two), (1, one)]));
    while client.told().await.is_empty() {}
    assert_eq!(other.say("SET kept:a 1").await, "OK");
    assert_eq!(client.told().await, ["invalidate kept:a"]);
    other.say("SELECT 1").await;
    assert_eq!(other.say("SET kept:a 1").await, "OK");
    assert_eq!(client.told().await, [""; 0], "of the one that it does not have any more");
}

/// What one connection reads with one command cannot be told to it before that has ended.
#[tokio::test]
async fn keys_that_give_way_to_those_of_one_command_are_told_together() {
    let engine = Forebay::builder().clock(Clock::simulated()).build().unwrap();
    let (tracking, inbox) = (Arc::new(Tracking::new(engine)), Inbox::new(&Total::default()));
    tracking.enter(Tracker {
        id: 7,
        own: inbox.sender(),
        redirect: None,
        broken: Arc::default(),
        prefixes: None,
        no_loop: false,
        keyspace: "shop".into(),
        had: ["shop".into()].into(),
    });
    let keyspace: Arc<str> = "shop".into();
    let place = |number| Place {
        keyspace: Arc::clone(&keyspace),
        namespace: Arc::clone(&keyspace),
        key: Bytes::from(format!("item:{number:08}")),
    };
    for round in 0..2 {
        drop(tracking.begin(7, (round * 500_000..(round + 1) * 500_000).map(place).collect()));
    }
    let waiting = inbox.take().len();
    assert!((1..1_000).contains(&waiting), "{waiting} messages");
}

#[test]
fn the_keys_read_first_are_given_out_beyond_the_bound() {
    let mut table = Table::default();
    let place = |number: u64| Place {
        keyspace: "shop".into(),
        namespace: "item".into(),
        key: Bytes::from(format!("item:{number:08}")),
    };
    let mut number = 0;
    let (given, readers) = loop {
        number += 1;
        table.begin(&place(number), 7);
        let seen = Seen { began: Tick::default(), ends: Tick::from_ms(number), was_held: true };
        assert!(!table.end(&place(number), 7, seen));
        if let Some(given) = table.take_beyond_bound() {
            break given;
        }
    };
    assert_eq!((given, &readers[..]), (place(1), &[7][..]));
    assert!(number > 100_000, "{number} keys are few");
    assert_eq!(table.take_beyond_bound(), None);
    assert_eq!(table.take_ended(Tick::from_ms(2)).map(|(place, _)| place), Some(place(2)), "1 has gone");
    assert_eq!(table.take_ended(Tick::from_ms(2)), None);
    table.forget("shop");
    table.validate_empty();
}
