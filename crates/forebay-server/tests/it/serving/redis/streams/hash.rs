//! Calls of commands on hashes. `s0` must be a string, and is never written.
//!
//! Sums of decimals are exact in binary: of others, Redis shows what its processor's `long double` makes of them. So fields with numbers
//! near the end of 64 bits have no decimals added to them.

use fastrand::Rng;

use super::{Alike, misspelt, one, rarely, words};

pub(in super::super) const COMMANDS: &[&str] = &[
    "hget",
    "hmget",
    "hgetall",
    "hkeys",
    "hvals",
    "hlen",
    "hexists",
    "hstrlen",
    "hrandfield",
    "hscan",
    "hset",
    "hmset",
    "hsetnx",
    "hincrby",
    "hincrbyfloat",
    "hdel",
];
const FIELDS: &[&str] = &["a", "b", "c", "field", "\"\"", "other"];
/// Fields that may have large numbers.
const LARGE: &[&str] = &["7", "large"];
const VALUES: &[&str] = &["1", "-5", "x", "\"\"", "1.5", "0010", "inf", "value"];

/// The key that the command `name` is called with.
fn key(random: &mut Rng, name: &str) -> &'static str {
    // What writes would bring about a key that is to be missing.
    let writes = matches!(name, "hset" | "hmset" | "hsetnx" | "hincrby" | "hincrbyfloat");
    match random.u8(..20) {
        0 => "s0",
        1 if !writes => "none",
        other => ["h0", "h1", "h2"][usize::from(other) % 3],
    }
}

/// One call.
pub(in super::super) fn call(random: &mut Rng) -> Vec<String> {
    if rarely(random, 60) {
        return words(one(random, &["del h0", "del h1 h2"]));
    }
    let name = one(random, COMMANDS);
    let key = key(random, name);
    let mut text = format!("{name} {key}");
    let mut add = |word: &str| text = format!("{text} {word}");
    match name {
        "hget" | "hexists" | "hstrlen" => add(one(random, FIELDS)),
        "hdel" if rarely(random, 4) => add(one(random, LARGE)),
        "hmget" | "hdel" => (0..random.usize(1..4)).for_each(|_| add(one(random, FIELDS))),
        "hset" | "hmset" => {
            for _ in 0..random.usize(1..4) {
                add(one(random, FIELDS));
                add(one(random, VALUES));
            }
        }
        "hsetnx" if random.bool() => {
            add(one(random, LARGE));
            add(one(random, &["9223372036854775807", "-9223372036854775808", "9223372036854775808", "99"]));
        }
        "hsetnx" => {
            add(one(random, FIELDS));
            add(one(random, VALUES));
        }
        "hincrby" if random.bool() => {
            add(one(random, LARGE));
            add(one(random, &["1", "-1", "9223372036854775807", "-9223372036854775808"]));
        }
        "hincrby" => {
            add(one(random, FIELDS));
            add(one(random, &["1", "-1", "100", "+1", "x", "1.0", "9223372036854775808"]));
        }
        "hincrbyfloat" => {
            add(one(random, FIELDS));
            add(one(
                random,
                &["1", "-0.5", "2.25", "1e3", "3.0e2", ".5", "1.", "inf", "-inf", "nan", "x", "0x10"],
            ));
        }
        "hrandfield" if rarely(random, 4) => {}
        "hrandfield" => {
            add(one(random, &["0", "1", "2", "5", "100", "-1", "-3", "-20", "-9223372036854775808", "x"]));
            if random.bool() {
                add(one(random, &["withvalues", "WITHVALUES", "withvalue"]));
            }
        }
        "hscan" => {
            add(one(random, &["0", "0", "0", "\"\"", "+0", "x", "18446744073709551616"]));
            if random.bool() {
                add(one(random, &["match *", "match ?", "match [a-b]", "MATCH f*d", "match", "novalues"]));
            }
            if random.bool() {
                add(one(random, &["count 1000", "COUNT 50", "count 0", "count x", "count"]));
            }
        }
        _ => {}
    }
    match name {
        // Of a small hash, Redis answers the whole whatever the cursor is.
        "hscan" => words(&text),
        _ => misspelt(random, words(&text)),
    }
}

/// How alike the replies to a call must be.
pub(in super::super) fn alike(words: &[String]) -> Alike {
    match words[0].as_str() {
        "hgetall" => Alike::InAnyOrderOfPairs,
        "hkeys" | "hvals" => Alike::InAnyOrder,
        "hrandfield" => Alike::Drawn,
        "hscan" => Alike::Page,
        _ => Alike::Wholly,
    }
}
