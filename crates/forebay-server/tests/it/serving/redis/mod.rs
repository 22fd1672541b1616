//! The same commands, sent to a real Redis and to a store: both must answer the same, byte for byte.
//!
//! Each group of commands has a file with makers of commands, and is run in streams that chance makes from a seed: over few keys, so
//! that kinds, ends and values meet; one command after the other, pipelined, in transactions, and byte by byte; in both versions of
//! the protocol. Each command is sent [`rounds`] times in a stream. Where we answer differently on purpose, the shapes of such commands are named with a
//! reason in `skips.txt`, each with an example that must still differ (`skips.rs`).
//!
//! To add a group: a file with its `GROUP`, and a test of it here. Each group has a database of its own in Redis.

mod channels;
mod choose;
mod collections;
mod connection;
mod keys;
mod mixed;
mod skips;
mod streams;
mod strings;

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use forebay_server::process::Process;
use forebay_wire::resp::{self, Reply, ReplyLimits, decode_reply, encode_request};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::choose::{Choose, Words, shown, words};
use self::skips::Skips;
use super::{Resp, declaration, deployment, soon, start};

/// How often each command is sent in a stream, beside the other tests; `cargo xtask same` sends it more often.
const ROUNDS: usize = 50;
/// How many commands go together, in a pipeline or a transaction.
const TOGETHER: usize = 20;

/// Makes one command.
type Make = fn(&mut Choose) -> Words;

/// Commands that are tried together.
struct Group {
    name: &'static str,
    /// The group of the command table that it covers, with `covered` from others or without some.
    of: Option<resp::Group>,
    /// Its database in Redis.
    db: u32,
    /// What is there at first.
    first: &'static [&'static str],
    makers: Makers,
    /// Whether its commands may wait for `EXEC`, and are tried so too.
    may_wait: bool,
    /// Whether two replies to a command are the same.
    compare: fn(&Words, &Said, &Said) -> Verdict,
}

/// How the commands of a group are made.
enum Makers {
    /// Each by its own.
    Each {
        /// By the name that the command table has for it.
        commands: &'static [(&'static str, Make)],
        /// What lets values of all kinds be there; sent between the commands.
        states: &'static [Make],
    },
    /// So many by one, each as often as the others.
    Any(usize, Make),
}

impl Makers {
    /// How many commands there are.
    fn len(&self) -> usize {
        match self {
            Self::Each { commands, .. } => commands.len(),
            Self::Any(len, _) => *len,
        }
    }

    /// Commands in which each comes once, or so.
    fn round(&self, choose: &mut Choose) -> Vec<Words> {
        match self {
            Self::Any(len, make) => (0..*len).map(|_| make(choose)).collect(),
            Self::Each { commands, states } => {
                let mut made = Vec::new();
                for index in choose.order(commands.len()) {
                    if !states.is_empty() && choose.one_in(2) {
                        let state = choose.of(states);
                        made.push(state(choose));
                    }
                    made.push(commands[index].1(choose));
                }
                made
            }
        }
    }
}

/// How requests reach the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// Each after the reply to the one before.
    OneByOne,
    /// Many in one write.
    Pipelined,
    /// Many in one write, between `MULTI` and `EXEC`.
    Together,
    /// Each byte in a write of its own.
    ByteByByte,
}

impl Sending {
    /// The same for commands that may not wait for `EXEC`.
    fn at_once(self) -> Self {
        if self == Self::Together { Self::OneByOne } else { self }
    }
}

/// A reply, and the bytes it came in.
#[derive(Clone, Debug)]
struct Said {
    reply: Reply,
    bytes: Bytes,
}

impl Said {
    /// One that stands within another, of which the bytes are not known: two that read alike count as the same.
    fn within(reply: &Reply) -> Self {
        Self { reply: reply.clone(), bytes: format!("{reply:?}").into() }
    }
}

fn is_queued(reply: &Reply) -> bool {
    matches!(reply, Reply::Simple(text) if text.as_ref() == b"QUEUED")
}

/// A Redis and a Forebay that declares nothing, so that all keys live in its default store; asked the same.
struct Both {
    redis: Resp,
    ours: Resp,
    process: Process,
    _folder: TempDir,
    skips: Skips,
}

impl Both {
    async fn new(db: u32, version: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", "");
        let text = text.replace("[database.main]\n", "").replace("url = 'sqlite", "#");
        let process = start(&deployment("forebay.toml", &text), &[]).await.unwrap();
        let url = xtask::services::url("redis").unwrap();
        let address = url.strip_prefix("redis://").unwrap().parse().unwrap();
        let (redis, ours) = (Resp::connect(address).await, Resp::connect(process.resp).await);
        let mut both = Self { redis, ours, process, _folder: folder, skips: Skips::read() };
        both.redis.call(&["SELECT", &db.to_string()]).await;
        both.redis.call(&["FLUSHDB"]).await;
        for client in [&mut both.redis, &mut both.ours] {
            client.call(&["HELLO", &version.to_string()]).await;
        }
        both
    }

    /// What each of them says to each of `commands`.
    async fn say(&mut self, commands: &[Words], sending: Sending) -> Vec<(Said, Said)> {
        let theirs = all(&mut self.redis, commands, sending).await;
        let ours = all(&mut self.ours, commands, sending).await;
        theirs.into_iter().zip(ours).collect()
    }

    /// The same within a transaction: what each of them says to each of `commands` that waited.
    async fn say_together(&mut self, commands: &[Words]) -> Vec<(Words, Said, Said)> {
        let mut all = vec![words("MULTI")];
        all.extend_from_slice(commands);
        all.push(words("EXEC"));
        let mut said = self.say(&all, Sending::Together).await;
        let (theirs, ours) = said.pop().unwrap();
        let queued: Vec<bool> = said.iter().skip(1).map(|(theirs, _)| is_queued(&theirs.reply)).collect();
        for ((theirs, ours), command) in said.iter().zip(&all) {
            assert_eq!(theirs.bytes, ours.bytes, "{} does not wait as in Redis", shown(command));
        }
        let (Reply::Array(theirs), Reply::Array(ours)) = (&theirs.reply, &ours.reply) else {
            assert_eq!(theirs.bytes, ours.bytes, "EXEC");
            return Vec::new();
        };
        assert_eq!(theirs.len(), ours.len(), "EXEC");
        let waited = commands.iter().zip(queued).filter(|(_, queued)| *queued).map(|(command, _)| command);
        let pairs = theirs.iter().map(Said::within).zip(ours.iter().map(Said::within));
        waited.cloned().zip(pairs).map(|(command, (theirs, ours))| (command, theirs, ours)).collect()
    }

    async fn say_one(&mut self, command: &Words) -> (Said, Said) {
        self.say(std::slice::from_ref(command), Sending::OneByOne).await.remove(0)
    }

    async fn stop(self) {
        drop(self.ours);
        assert!(soon(self.process.stop()).await);
    }
}

/// What one server says to `commands`.
async fn all(client: &mut Resp, commands: &[Words], sending: Sending) -> Vec<Said> {
    let mut said = Vec::new();
    let mut bytes = BytesMut::new();
    for command in commands {
        encode_request(&mut bytes, command);
        match sending {
            Sending::Pipelined | Sending::Together => continue,
            Sending::OneByOne => client.send(&bytes).await,
            Sending::ByteByByte => {
                for byte in &bytes {
                    client.stream.write_u8(*byte).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        }
        bytes.clear();
        said.push(next(client).await);
    }
    if matches!(sending, Sending::Pipelined | Sending::Together) {
        client.send(&bytes).await;
        while said.len() < commands.len() {
            said.push(next(client).await);
        }
    }
    said
}

/// The next reply with its bytes.
async fn next(client: &mut Resp) -> Said {
    loop {
        let before = client.input.clone();
        if let Some(reply) =
            decode_reply(&mut client.input, &ReplyLimits::default(), &mut client.state).unwrap()
        {
            let len = before.len() - client.input.len();
            return Said { reply, bytes: before.freeze().slice(..len) };
        }
        let read = soon(client.stream.read_buf(&mut client.input)).await.unwrap();
        assert_ne!(read, 0, "closed instead of a reply");
    }
}

/// How two replies compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    /// As near as they can be, but values may differ from now on.
    Near,
    Different,
}

/// Whether two servers that are asked one after the other have said the same.
fn compare(command: &Words, theirs: &Said, ours: &Said) -> Verdict {
    if theirs.bytes == ours.bytes {
        return Verdict::Same;
    }
    let name = String::from_utf8_lossy(&command[0]).to_ascii_uppercase();
    let is_near = match (name.as_str(), &theirs.reply, &ours.reply) {
        // Time goes on between the one and the other, and the one rounds before the other.
        ("TTL" | "EXPIRETIME", Reply::Integer(a), Reply::Integer(b)) => *a > 0 && a.abs_diff(*b) <= 1,
        ("PTTL" | "PEXPIRETIME", Reply::Integer(a), Reply::Integer(b)) => *a > 0 && a.abs_diff(*b) <= 5_000,
        // Sets of keys have no order.
        ("KEYS", Reply::Array(a), Reply::Array(b)) => sorted(a) == sorted(b),
        ("SCAN", Reply::Array(a), Reply::Array(b)) => match (&a[..], &b[..]) {
            ([a, Reply::Array(all_a)], [b, Reply::Array(all_b)]) => a == b && sorted(all_a) == sorted(all_b),
            _ => false,
        },
        ("RANDOMKEY", Reply::Bulk(_), Reply::Bulk(_)) => true,
        // What a value weighs and whether it is shared are each server's own.
        ("MEMORY" | "OBJECT", Reply::Integer(_), Reply::Integer(_)) => true,
        ("INCRBYFLOAT", Reply::Bulk(a), Reply::Bulk(b)) => return near_numbers(a, b),
        (_, Reply::Double(a), Reply::Double(b)) => a == b,
        _ => false,
    };
    if is_near { Verdict::Same } else { Verdict::Different }
}

/// Redis adds in the processor's `long double`, we add exactly.
fn near_numbers(theirs: &[u8], ours: &[u8]) -> Verdict {
    let number = |text: &[u8]| std::str::from_utf8(text).unwrap().parse::<f64>().unwrap();
    let (theirs, ours) = (number(theirs), number(ours));
    let is_near = (theirs - ours).abs() <= 1e-15 * theirs.abs().max(1e-2);
    if is_near { Verdict::Near } else { Verdict::Different }
}

fn sorted(replies: &[Reply]) -> Vec<String> {
    let mut texts: Vec<String> = replies.iter().map(|reply| format!("{reply:?}")).collect();
    texts.sort();
    texts
}

/// How often each command of a group is sent in all.
fn rounds() -> usize {
    std::env::var("FOREBAY_SAME_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

/// The seed of the first stream: another each time, unless one is to be seen again.
fn seed() -> u64 {
    std::env::var("FOREBAY_SAME_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap())
}

/// How streams are sent: in which version of the protocol, and how many tenths of the rounds.
const WAYS: [(Sending, u8, usize); 4] = [
    (Sending::OneByOne, 2, 3),
    (Sending::Pipelined, 3, 3),
    (Sending::Together, 2, 3),
    (Sending::ByteByByte, 3, 1),
];

/// Sends streams of a group's commands to both, and fails where they answer differently.
async fn check(group: &Group) {
    let seed = seed();
    for (way, (sending, version, tenths)) in WAYS.into_iter().enumerate() {
        let seed = seed.wrapping_add(u64::try_from(way).unwrap());
        let rounds = (rounds() * tenths / 10).max(1);
        let sending = if group.may_wait { sending } else { sending.at_once() };
        Box::pin(stream(group, sending, version, rounds, seed)).await;
    }
    tell(group.name, group.makers.len(), seed);
}

/// Tells what was sent, and that the answers were the same.
#[expect(clippy::print_stdout, reason = "`cargo xtask same` shows it")]
fn tell(name: &str, commands: usize, seed: u64) {
    println!("same={name} rounds={} commands={commands} seed={seed}", rounds());
}

async fn stream(group: &Group, sending: Sending, version: u8, rounds: usize, seed: u64) {
    let mut both = Both::new(group.db, version).await;
    for line in group.first {
        both.say_one(&words(line)).await;
    }
    let mut choose = Choose::new(seed);
    let mut past: Vec<(Words, Said)> = Vec::new();
    for round in 0..rounds {
        for commands in group.makers.round(&mut choose).chunks(TOGETHER) {
            let said = match sending {
                Sending::Together => both.say_together(commands).await,
                _ => {
                    let said = both.say(commands, sending).await.into_iter();
                    commands
                        .iter()
                        .cloned()
                        .zip(said)
                        .map(|(of, (theirs, ours))| (of, theirs, ours))
                        .collect()
                }
            };
            // Keys of which the values may differ until both have forgotten them.
            let mut apart: BTreeSet<Bytes> = BTreeSet::new();
            for (command, theirs, ours) in said {
                let verdict = (group.compare)(&command, &theirs, &ours);
                let skipped =
                    both.skips.allows(&command) || command[1..].iter().any(|word| apart.contains(word));
                past.push((command.clone(), theirs.clone()));
                match verdict {
                    Verdict::Same => {}
                    Verdict::Near => apart.extend(command[1..].iter().cloned()),
                    Verdict::Different if skipped => apart.extend(command[1..].iter().cloned()),
                    Verdict::Different => panic!(
                        "{} differs in round {round} of seed {seed}, sent {sending:?} in RESP{version}\n  Redis: {:?}\n  ours:  {:?}\n{}",
                        shown(&command),
                        theirs.bytes,
                        ours.bytes,
                        story(&past, &command),
                    ),
                }
            }
            if !apart.is_empty() {
                both.say_one(&std::iter::once(Bytes::from_static(b"DEL")).chain(apart).collect()).await;
            }
        }
    }
    both.stop().await;
}

/// What was done to the keys of `command` before, by what Redis said.
fn story(past: &[(Words, Said)], command: &Words) -> String {
    let keys: BTreeSet<&Bytes> = command[1..].iter().collect();
    let about = past.iter().filter(|(words, _)| words[1..].iter().any(|word| keys.contains(word)));
    let lines: Vec<String> =
        about.map(|(words, said)| format!("  {} -> {:?}", shown(words), said.bytes)).collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Every command of the table's group has a maker.
fn is_whole(group: &Group) {
    let Some(of) = group.of else { return };
    let Makers::Each { commands, .. } = &group.makers else { return };
    let made: BTreeSet<&str> = commands.iter().map(|(name, _)| *name).collect();
    let rows = resp::commands().filter(|spec| spec.group == of);
    let names = rows.flat_map(|spec| match spec.subcommands {
        [] => vec![spec.name],
        all => all.iter().map(|sub| sub.name).filter(|name| !name.ends_with("|HELP")).collect(),
    });
    let missing: Vec<&str> = names.filter(|name| !made.contains(name)).collect();
    assert!(missing.is_empty(), "{}: no maker for {missing:?}", group.name);
}

#[test]
fn every_command_has_a_maker() {
    [&strings::GROUP, &keys::GROUP].into_iter().for_each(is_whole);
}

#[tokio::test]
async fn strings_are_as_in_redis() {
    check(&strings::GROUP).await;
}

#[tokio::test]
async fn keys_are_as_in_redis() {
    check(&keys::GROUP).await;
}

#[tokio::test]
async fn hashes_are_as_in_redis() {
    check(&collections::HASHES).await;
}

#[tokio::test]
async fn sorted_sets_are_as_in_redis() {
    check(&collections::SORTED_SETS).await;
}

#[tokio::test]
async fn transactions_of_mixed_kinds_are_as_in_redis() {
    check(&mixed::GROUP).await;
}

#[tokio::test]
async fn connections_are_as_in_redis() {
    connection::each_alone().await;
    check(&connection::GROUP).await;
}

/// What lets values end, keep their end, lose it or take over another's. They end long after the test, so that they do
/// not end within it on a machine that is slow.
const ENDING: &[&str] = &[
    "SET a 1 PX 9000000",
    "PSETEX b 9000000 x",
    "SET c 1",
    "PEXPIRE c 9000000",
    "SET d 1 PX 9000000",
    "PERSIST d",
    "SET e 1 PX 9000000",
    "GETEX e PERSIST",
    "SET f 1 PX 9000000",
    "RENAME f g",
    "COPY g h",
    "SET i 1 PX 9000000",
    "APPEND i 2",
    "SET j 1 PX 9000000",
    "SET j 2 KEEPTTL",
    "SET k 1 PX 9000000",
    "SET k 2",
    "HSET ha f 1 g 2",
    "PEXPIRE ha 9000000",
    "HSET ha h 3",
    "HINCRBY ha f 1",
    "HSET hb f 1",
    "PEXPIRE hb 9000000",
    "RENAME hb hc",
    "COPY hc hd",
    "HSET he f 1",
    "PEXPIRE he 9000000",
    "PERSIST he",
    "HSET hf f 1",
    "PEXPIRE hf 9000000",
    "HDEL hf f",
    "HSET hf g 2",
    "ZADD za 1 m 2 n",
    "PEXPIRE za 9000000",
    "ZADD za 3 o",
    "ZINCRBY za 1 m",
    "ZUNIONSTORE zb 1 za",
    "ZADD zc 1 m",
    "PEXPIRE zc 9000000",
    "ZREM zc m",
    "ZADD zc 2 n",
    "ZADD zd 1 m",
    "PEXPIRE zd 9000000",
    "ZRANGESTORE zd za 0 -1",
    "ZPOPMIN za",
];

/// The keys that end then.
const LASTING: &str = "a b c g h i j ha hc hd za";
/// Those that have lost their end, or never had one, and those that are gone.
const ENDLESS: &str = "d e f k hb he hf zb zc zd";

#[tokio::test]
async fn values_end_as_in_redis() {
    let mut both = Both::new(10, 2).await;
    for line in ENDING {
        let (theirs, ours) = both.say_one(&words(line)).await;
        assert_eq!(theirs.bytes, ours.bytes, "{line}");
    }
    for key in LASTING.split(' ').chain(ENDLESS.split(' ')) {
        let (theirs, ours) = both.say_one(&words(&format!("TTL {key}"))).await;
        let ends = |said: &Said| matches!(said.reply, Reply::Integer(left) if left > 8_000);
        let is_lasting = LASTING.split(' ').any(|lasting| lasting == key);
        assert_eq!((ends(&theirs), ends(&ours)), (is_lasting, is_lasting), "{key}");
    }
    // Those that end, and they alone, are brought to it.
    for client in [&mut both.redis, &mut both.ours] {
        for key in LASTING.split(' ') {
            client.say(&format!("PEXPIRE {key} 1")).await;
        }
        // Until the last of them has ended there.
        let ended = async { while client.say(&format!("EXISTS {LASTING}")).await != "0" {} };
        soon(ended).await;
    }
    for line in [
        "MGET a b c d e f g h i j k",
        "TTL a",
        "TTL d",
        "PTTL h",
        "EXISTS i j",
        "GETDEL c",
        "HLEN ha",
        "HGETALL hc",
        "HGET hd f",
        "HGETALL he",
        "TTL hf",
        "HGETALL hf",
        "ZCARD za",
        "ZRANGE zb 0 -1 WITHSCORES",
        "TTL zb",
        "ZRANGE zc 0 -1",
        "TTL zc",
        "ZRANGE zd 0 -1",
        "TTL zd",
        "HSET ha z 1",
        "TTL ha",
        "ZADD za 9 z",
        "TTL za",
        "DBSIZE",
    ] {
        let (theirs, ours) = both.say_one(&words(line)).await;
        assert_eq!(theirs.bytes, ours.bytes, "{line}");
    }
    both.stop().await;
}
