//! Channels on one connection: what begins, ends and is published, with replies wanted and not, byte for byte and in order.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::choose::{Choose, Words, shown, words};
use super::{Both, Sending, rounds, seed, tell};
use crate::serving::{Resp, request};

/// Commands between two resets.
const TOGETHER: usize = 12;

/// Some commands. A connection leaves all of a kind at once only where that is one, since they have no order in Redis.
fn some(choose: &mut Choose, version: u8) -> Vec<Words> {
    let mut own: [BTreeSet<&str>; 2] = Default::default();
    let mut lines = vec![words(&format!("HELLO {version}"))];
    for _ in 0..TOGETHER {
        let line = match choose.number(0..12) {
            0..3 => {
                let (one, other) = (choose.of(&["a", "b", "c"]), choose.of(&["a", "b", "c"]));
                own[0].extend([one, other]);
                format!("SUBSCRIBE {one} {other}")
            }
            3..5 => {
                let pattern = choose.of(&["*", "[ab]", "c?"]);
                own[1].insert(pattern);
                format!("PSUBSCRIBE {pattern}")
            }
            5..7 => {
                let name = choose.of(&["a", "b", "c", "none"]);
                own[0].remove(name);
                format!("UNSUBSCRIBE {name}")
            }
            7 if own[0].len() < 2 => {
                own[0].clear();
                "UNSUBSCRIBE".to_owned()
            }
            8 if own[1].len() < 2 => {
                own[1].clear();
                "PUNSUBSCRIBE".to_owned()
            }
            9 => choose.of(&["CLIENT REPLY OFF", "CLIENT REPLY SKIP", "CLIENT REPLY ON"]).to_owned(),
            10 => {
                choose.of(&["PING", "PING x", "GET none", "SUBSCRIBE", "PUBSUB NUMPAT", "NOSUCH"]).to_owned()
            }
            _ => format!("PUBLISH {} message", choose.of(&["a", "b", "cc", "none"])),
        };
        lines.push(words(&line));
    }
    // A RESET that is skipped is not answered.
    lines.push(words("CLIENT REPLY ON"));
    lines.push(words("RESET"));
    lines
}

/// What a server says until it has reset the connection, but for what it says of itself.
async fn until_reset(client: &mut Resp) -> Vec<Bytes> {
    let _hello = super::next(client).await;
    let mut said = Vec::new();
    while said.last().is_none_or(|last: &Bytes| last.as_ref() != b"+RESET\r\n") {
        said.push(super::next(client).await.bytes);
    }
    said
}

/// Puts messages that several patterns match into one order: patterns have none in Redis.
fn in_order(said: &mut [Bytes]) {
    let matched = |bytes: &Bytes| bytes.starts_with(b">4\r\n$8\r\npmessage\r\n");
    said.chunk_by_mut(|one, next| matched(one) && matched(next)).for_each(<[Bytes]>::sort);
}

#[tokio::test]
async fn channels_are_as_in_redis() {
    let seed = seed();
    let mut choose = Choose::new(seed);
    // Each kind of command is about a sixth of them.
    let streams = (rounds() * 6).div_ceil(TOGETHER);
    let mut both = Both::new(13, 2).await;
    // As new as it is after each of the others.
    both.say(&[words("RESET")], Sending::OneByOne).await;
    for stream in 0..streams {
        let version = if stream % 2 == 0 { 2 } else { 3 };
        let lines = some(&mut choose, version);
        let shown: Vec<String> = lines.iter().map(shown).collect();
        let mut said = Vec::new();
        for client in [&mut both.redis, &mut both.ours] {
            for line in &lines {
                let line: Vec<&str> = line.iter().map(|word| std::str::from_utf8(word).unwrap()).collect();
                client.send(&request(&line)).await;
            }
            said.push(until_reset(client).await);
        }
        said.iter_mut().for_each(|said| in_order(said));
        let [theirs, ours] = &said[..] else { panic!("two were asked") };
        assert_eq!(ours, theirs, "ours and Redis' with seed {seed}: {shown:#?}");
    }
    both.stop().await;
    tell("channels", 6, seed);
}
