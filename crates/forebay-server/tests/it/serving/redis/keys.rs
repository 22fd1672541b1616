//! Commands on values of any kind, and on all keys.

use forebay_wire::resp;

use super::choose::{Choose, Words, words};
use super::{Group, Make, Makers, compare};

pub(super) const GROUP: Group = Group {
    name: "keys",
    of: Some(resp::Group::Generic),
    db: 9,
    first: &[],
    makers: Makers::Each { commands: COMMANDS, states: STATES },
    // What empties a keyspace does not wait for the keys of a transaction.
    may_wait: false,
    compare,
};

const COMMANDS: &[(&str, Make)] = &[
    ("DEL", |c| words(&format!("DEL {}", c.keys().join(" ")))),
    ("UNLINK", |c| words(&format!("UNLINK {}", c.keys().join(" ")))),
    ("EXISTS", |c| words(&format!("EXISTS {}", c.keys().join(" ")))),
    ("TOUCH", |c| words(&format!("TOUCH {}", c.keys().join(" ")))),
    ("EXPIRE", |c| expire(c, "EXPIRE", 100, 100_000)),
    ("PEXPIRE", |c| expire(c, "PEXPIRE", 100_000, 100_000_000)),
    ("EXPIREAT", |c| expire(c, "EXPIREAT", 2_000_000_000, 2_600_000_000)),
    ("PEXPIREAT", |c| expire(c, "PEXPIREAT", 2_000_000_000_000, 2_600_000_000_000)),
    ("PERSIST", |c| c.with_key("PERSIST", "")),
    ("TTL", |c| c.with_key("TTL", "")),
    ("PTTL", |c| c.with_key("PTTL", "")),
    ("EXPIRETIME", |c| c.with_key("EXPIRETIME", "")),
    ("PEXPIRETIME", |c| c.with_key("PEXPIRETIME", "")),
    ("TYPE", |c| c.with_key("TYPE", "")),
    ("RENAME", |c| words(&format!("RENAME {} {}", c.key(), c.key()))),
    ("RENAMENX", |c| words(&format!("RENAMENX {} {}", c.key(), c.key()))),
    ("COPY", |c| {
        let options = c.maybe(&["REPLACE", "replace", "REPLACE REPLACE", "foo", "DB", "DB x"]);
        words(&format!("COPY {} {}{options}", c.key(), c.key()))
    }),
    ("OBJECT|ENCODING", |c| c.with_key("OBJECT ENCODING", "")),
    ("OBJECT|FREQ", |c| c.with_key("OBJECT freq", "")),
    ("OBJECT|IDLETIME", |c| c.with_key("object idletime", "")),
    ("OBJECT|REFCOUNT", |c| c.with_key("OBJECT REFCOUNT", "")),
    ("MEMORY|USAGE", |c| {
        let options = c.maybe(&["SAMPLES 0", "samples 5", "SAMPLES", "SAMPLES -1", "SAMPLES x", "foo 1"]);
        c.with_key("MEMORY USAGE", options.trim_start())
    }),
    ("SCAN", scan),
    ("KEYS", |c| words(&format!("KEYS {}", pattern(c)))),
    ("RANDOMKEY", |_| words("RANDOMKEY")),
    ("DBSIZE", |_| words("DBSIZE")),
    ("FLUSHDB", |c| {
        words(c.of(&["FLUSHDB", "flushdb async", "FLUSHDB SYNC", "FLUSHDB foo", "FLUSHDB SYNC ASYNC"]))
    }),
    // The server is shared with other tests: it is not emptied.
    ("FLUSHALL", |c| words(c.of(&["FLUSHALL foo", "FLUSHALL ASYNC SYNC"]))),
    ("SWAPDB", |c| words(c.of(&["SWAPDB a 1", "SWAPDB 1 a", "SWAPDB 1 99999999999999999999"]))),
];

const STATES: &[Make] = &[
    |c| vec!["SET".into(), c.key().into(), c.value()],
    |c| vec!["SET".into(), c.key().into(), c.value()],
    |c| vec!["SET".into(), c.key().into(), c.value(), "EX".into(), c.number(100..100_000).to_string().into()],
    |c| words(&format!("MSET a 1 b 2 {} {}", c.key(), c.number(0..9))),
    |c| c.with_key("HSET", "f v g w"),
    |c| c.with_key("HDEL", "f g"),
    |c| c.with_key("HGET", "g"),
    |c| c.with_key("GET", ""),
    |c| words(&format!("SET key:{} v", c.number(0..30))),
    |c| words(&format!("SET k[{} v", c.number(0..3))),
];

const ODD: &[&str] =
    &["0", "-1", "-100", "abc", "", "9223372036854775807", "-9223372036854775808", "9223372036854775", "1.5"];

fn expire(c: &mut Choose, name: &str, least: i64, most: i64) -> Words {
    let mut time = if c.one_in(4) { (c.of(ODD)).to_owned() } else { c.number(least..most).to_string() };
    // What is this far away does not end, and is told so: see `skips.txt`.
    if name != "EXPIRE" && time.starts_with("9223372036854775") {
        time = "x".to_owned();
    }
    let conditions = ["NX", "XX", "GT", "LT", "XX LT", "gt xx", "NX XX", "GT LT", "NX GT", "foo"];
    let condition = c.maybe(&conditions);
    words(&format!("{name} {} {time}{condition}", c.key()))
}

fn pattern(c: &mut Choose) -> &'static str {
    c.of(&[
        "*", "?", "[a-c]", "[^a]", "key:*", "key:?", "key:1*", "*:*", "a", "nope", "k\\[*", "[z", "*[0-4]",
        "", "[c-a]", "k[[]*", "\\a", "**", "*y*5",
    ])
}

fn scan(c: &mut Choose) -> Words {
    if c.one_in(4) {
        return words(c.of(&[
            "SCAN x",
            "SCAN 0 COUNT",
            "SCAN 0 COUNT 0",
            "SCAN 0 COUNT x",
            "SCAN 0 foo 1",
            "SCAN 0 MATCH",
            "SCAN 1.0",
            "SCAN 18446744073709551616",
            "SCAN 0 TYPE",
        ]));
    }
    let kind = c.maybe(&["TYPE string", "type HASH", "TYPE list", "TYPE zset"]);
    let of = if c.one_in(2) { format!(" MATCH {}", pattern(c)) } else { String::new() };
    words(&format!("SCAN 0{of} COUNT 1000{kind}"))
}
