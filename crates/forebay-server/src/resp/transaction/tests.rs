//! Transactions over a store that takes its time: who comes between, what stays of one that was not committed, and what waiting costs.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use forebay::rt::Clock;
use forebay::tier::store::Durability;
use forebay::{Forebay, Keyspace, Writes, secs};
use forebay_simulated::{SimulatedDisk, StoreFaults};
use forebay_wire::resp::{Limits, State, decode, encode_request, resolve};

use super::Queue;
use crate::resp::served::{Client, Served, in_service};

/// What the disk takes to be written.
const APPEND: Duration = Duration::from_secs(1);

/// A store `kept` whose appends take [`APPEND`], and memory `held` that is the only copy, with room for little.
struct Stage {
    clock: Clock,
    served: Served,
}

impl Stage {
    async fn new() -> Self {
        let clock = Clock::simulated();
        let engine = Forebay::builder().clock(clock.clone()).memory_budget_bytes(1 << 20).build().unwrap();
        let disk = SimulatedDisk::new();
        disk.set_faults(StoreFaults { append_takes: APPEND, ..StoreFaults::default() });
        let mut keyspace = Keyspace::new(engine.keyspace_name());
        let kept = engine.namespace("kept").key("kept:{name}");
        let kept = kept.store(Arc::new(disk.open(clock.clone())), Durability::Always).build().unwrap();
        let held = engine.namespace("held").key("held:{name}").ttl(secs(600)).writes(Writes::Cache);
        keyspace.add(kept).unwrap();
        keyspace.add(held.build().unwrap()).unwrap();
        let other = engine.keyspace("other").namespace("more").key("more:{name}").ttl(secs(600));
        let mut second = Keyspace::new("other");
        second.add(other.writes(Writes::Cache).build().unwrap()).unwrap();
        let served = in_service([(0, Arc::new(keyspace)), (1, Arc::new(second))]);
        Self { clock, served: Served::new(engine, served).await }
    }

    /// Lets everybody go as far as he comes without time passing.
    async fn settle(&self, other: &mut Client) {
        for _ in 0..50 {
            other.say("PING").await;
        }
    }

    /// The next reply to `client`, while time passes.
    async fn replied(&self, client: &mut Client, other: &mut Client) -> String {
        let mut reply = std::pin::pin!(client.next());
        loop {
            tokio::select! {
                biased;
                reply = &mut reply => return reply,
                () = std::future::ready(()) => {}
            }
            self.settle(other).await;
            self.clock.advance(APPEND / 10);
        }
    }
}

/// Each watches what the other is to change: one of them has seen what was not so any more.
#[tokio::test]
async fn of_two_who_watch_what_the_other_changes_one_alone_commits() {
    for (watched, changed) in
        [("kept:a", "kept:b"), ("kept:b", "kept:a"), ("held:a", "kept:b"), ("held:a kept:c", "kept:b")]
    {
        let stage = Stage::new().await;
        let (mut one, mut two) = (stage.served.client().await, stage.served.client().await);
        let mut other = stage.served.client().await;
        let first = watched.split(' ').next().unwrap();
        for (client, watched, changed) in [(&mut one, watched, changed), (&mut two, changed, first)] {
            assert_eq!(client.say(&format!("WATCH {watched}")).await, "OK");
            assert_eq!(client.say("MULTI").await, "OK");
            assert_eq!(client.say(&format!("SET {changed} 1")).await, "QUEUED");
        }
        one.send("EXEC").await;
        stage.settle(&mut other).await;
        two.send("EXEC").await;
        stage.settle(&mut other).await;
        assert_eq!(stage.replied(&mut one, &mut other).await, "OK", "{watched}, {changed}");
        assert_eq!(stage.replied(&mut two, &mut other).await, "nil", "{watched}, {changed}");
    }
}

#[tokio::test]
async fn a_keyspace_picked_by_what_is_not_committed_is_not_picked() {
    let stage = Stage::new().await;
    let mut client = stage.served.client().await;
    let large = format!("SET held:a {}", "x".repeat(2 << 20));
    for (lines, ended) in [
        (&[large.as_str(), "SELECT 1"][..], "FBTOOLARGE"),
        (
            &["SELECT 1", "SELECT 7", "SELECT 0", "SELECT 1", "SET more:a 1"],
            "OK ERR DB index is out of range OK",
        ),
    ] {
        assert_eq!(client.say("SELECT 0").await, "OK");
        assert_eq!(client.say("MULTI").await, "OK");
        for line in lines {
            assert_eq!(client.say(line).await, "QUEUED");
        }
        let replies = client.say("EXEC").await;
        assert!(replies.starts_with(ended), "{replies}");
        let picked = if ended.starts_with("OK") { " db=1 " } else { " db=0 " };
        let info = client.say("CLIENT INFO").await;
        assert!(info.contains(picked), "{ended}: {info}");
    }
}

#[tokio::test]
async fn others_are_answered_while_a_transaction_compares_long_strings() {
    let stage = Stage::new().await;
    let (mut client, mut other) = (stage.served.client().await, stage.served.client().await);
    for (key, text) in [("held:a", "ab"), ("held:b", "ba")] {
        client.say(&format!("SET {key} {}", text.repeat(1_000))).await;
    }
    client.say("MULTI").await;
    for _ in 0..8 {
        client.say("LCS held:a held:b LEN").await;
    }
    client.send("EXEC").await;
    let (mut reply, mut answered) = (std::pin::pin!(client.next()), 0);
    let reply = loop {
        tokio::select! {
            biased;
            reply = &mut reply => break reply,
            _ = other.say("PING") => answered += 1,
        }
    };
    assert_eq!(reply, ["1999"; 8].join(" "));
    assert!(answered >= 8, "{answered} others were answered meanwhile");
}

/// A command that comes alone stands in a buffer of its own, which is large.
#[test]
fn what_waits_keeps_no_buffer_that_it_came_in() {
    const BUFFER: usize = 16 * 1024;
    let mut queue = Queue::default();
    for words in [&["GET", "a"][..], &["SET", "a", "1"], &["PUBLISH", "a", "1"]] {
        let mut input = BytesMut::with_capacity(BUFFER);
        encode_request(&mut input, words);
        let request = decode(&mut input, &Limits::AUTHENTICATED, &mut State::default()).unwrap().unwrap();
        let spec = resolve(&request).unwrap();
        queue.push(&request, spec, &mut BytesMut::new());
        drop(request);
        assert!(input.try_reclaim(BUFFER), "{words:?}");
    }
    assert_eq!(queue.len(), 3);
}
