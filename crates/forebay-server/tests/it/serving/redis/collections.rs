//! Hashes and sorted sets: random calls of theirs, one by one, pipelined, byte by byte, and within transactions.

use bytes::Bytes;
use fastrand::Rng;
use forebay_wire::resp::{self, Reply};

use super::streams::{self, Alike, are_alike};
use super::{Both, Sending, Words, rounds, seed, tell, words};

/// Calls of one group of commands.
struct Calls {
    group: resp::Group,
    /// Its database in Redis.
    db: u32,
    call: fn(&mut Rng) -> Vec<String>,
    /// How alike the replies to a call must be.
    alike: fn(&[String]) -> Alike,
}

const HASHES: Calls =
    Calls { group: resp::Group::Hash, db: 11, call: streams::hash::call, alike: streams::hash::alike };
const SORTED_SETS: Calls = Calls {
    group: resp::Group::SortedSet,
    db: 12,
    call: streams::sorted_set::call,
    alike: streams::sorted_set::alike,
};

/// How many calls go together, in a pipeline or a transaction.
const TOGETHER: usize = 20;

/// Sends as many calls as make [`rounds`] of each command, most likely; compares every reply.
async fn check(calls: &Calls) {
    let commands = resp::commands().filter(|spec| spec.group == calls.group).count();
    let seed = seed();
    for (way, (sending, version, is_transaction, tenths)) in [
        (Sending::OneByOne, 2, false, 3),
        (Sending::Pipelined, 3, false, 3),
        (Sending::Pipelined, 2, true, 3),
        (Sending::ByteByByte, 3, false, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let seed = seed.wrapping_add(u64::try_from(way).unwrap());
        let mut random = Rng::with_seed(seed);
        let mut both = Both::new(calls.db, version).await;
        both.say_one(&words("SET s0 text")).await;
        for _ in 0..(rounds() * commands * tenths / 10).div_ceil(TOGETHER) {
            let called = std::iter::repeat_with(|| (calls.call)(&mut random));
            let together: Vec<_> = called.filter(|call| !is_newer(call)).take(TOGETHER).collect();
            for (call, ours, theirs) in replies(&mut both, &together, sending, is_transaction).await {
                let is_same = are_alike((calls.alike)(&call), &ours, &theirs);
                assert!(
                    is_same || both.skips.allows(&as_words(&call)),
                    "{call:?} differs with seed {seed}, sent {sending:?} in RESP{version}\n  Redis: {theirs:?}\n  ours:  {ours:?}"
                );
            }
        }
        both.stop().await;
    }
    tell(calls.group.word(), commands, seed);
}

/// What both say to each call.
async fn replies(
    both: &mut Both,
    calls: &[Vec<String>],
    sending: Sending,
    is_transaction: bool,
) -> Vec<(Vec<String>, Reply, Reply)> {
    let mut commands: Vec<Words> = calls.iter().map(|call| as_words(call)).collect();
    if !is_transaction {
        let said = both.say(&commands, sending).await.into_iter();
        let pairs = calls.iter().cloned().zip(said);
        return pairs.map(|(call, (theirs, ours))| (call, ours.reply, theirs.reply)).collect();
    }
    commands.insert(0, words("MULTI"));
    commands.push(words("EXEC"));
    let mut said = both.say(&commands, sending).await;
    let (theirs, ours) = said.pop().unwrap();
    let queued: Vec<bool> = said.iter().skip(1).map(|(theirs, _)| is_queued(&theirs.reply)).collect();
    for (theirs, ours) in said {
        assert_eq!(theirs.bytes, ours.bytes, "{calls:?}");
    }
    let (Reply::Array(theirs), Reply::Array(ours)) = (&theirs.reply, &ours.reply) else {
        assert_eq!(theirs.bytes, ours.bytes, "{calls:?}");
        return Vec::new();
    };
    assert_eq!(theirs.len(), ours.len(), "{calls:?}");
    let waited = calls.iter().zip(queued).filter(|(_, queued)| *queued).map(|(call, _)| call.clone());
    waited
        .zip(ours.iter().cloned())
        .zip(theirs.iter().cloned())
        .map(|((call, ours), theirs)| (call, ours, theirs))
        .collect()
}

/// Whether Redis 7.0 does not know it: a rank with its score, which came with 7.2.
fn is_newer(call: &[String]) -> bool {
    matches!(call[0].as_str(), "zrank" | "zrevrank") && call.len() > 3
}

fn is_queued(reply: &Reply) -> bool {
    matches!(reply, Reply::Simple(text) if text.as_ref() == b"QUEUED")
}

fn as_words(call: &[String]) -> Words {
    call.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

#[tokio::test]
async fn hashes_are_as_in_redis() {
    Box::pin(check(&HASHES)).await;
}

#[tokio::test]
async fn sorted_sets_are_as_in_redis() {
    Box::pin(check(&SORTED_SETS)).await;
}
