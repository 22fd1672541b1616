//! Calls of commands on sorted sets. `s0` must be a string, and is never written; the members of `l0` and `l1` have the score 0 alone,
//! since ranges of members mean nothing otherwise.

use fastrand::Rng;

use super::{Alike, misspelt, one, rarely, words};

pub(in super::super) const COMMANDS: &[&str] = &[
    "zadd",
    "zincrby",
    "zrem",
    "zscore",
    "zmscore",
    "zcard",
    "zrank",
    "zrevrank",
    "zcount",
    "zlexcount",
    "zrange",
    "zrevrange",
    "zrangebyscore",
    "zrevrangebyscore",
    "zrangebylex",
    "zrevrangebylex",
    "zrangestore",
    "zremrangebyrank",
    "zremrangebyscore",
    "zremrangebylex",
    "zpopmin",
    "zpopmax",
    "zmpop",
    "zrandmember",
    "zscan",
    "zunion",
    "zinter",
    "zdiff",
    "zintercard",
    "zunionstore",
    "zinterstore",
    "zdiffstore",
];
const MEMBERS: &[&str] = &["a", "b", "c", "d", "e", "member", "\"\"", "7"];
const SCORES: &[&str] = &[
    "0",
    "1",
    "2",
    "-3",
    "2.5",
    "1e3",
    "-0",
    "inf",
    "-inf",
    "+5",
    "0x10",
    ".5",
    "100000000000000000000",
    "1e-7",
    "x",
    "nan",
    "1e999",
];
const SCORE_BOUNDS: &[&str] =
    &["0", "1", "(1", "(2", "2", "3", "-inf", "+inf", "(inf", "inf", "1e999", "\"\"", "(", "x"];
const MEMBER_BOUNDS: &[&str] =
    &["-", "+", "-", "+", "[a", "(a", "[b", "(c", "[d", "(member", "[", "(", "a", "\"\""];
const RANKS: &[&str] = &["0", "1", "2", "5", "100", "-1", "-2", "-4", "-100", "0", "x"];

/// What lets keys be there, and gone.
const STATES: &[&str] = &[
    "del z0",
    "del z1 z2",
    "zadd l0 0 a 0 b 0 c 0 d",
    "zadd l1 0 b 0 d 0 member",
    "zadd z0 1 a 2 b 3 c 4 d 5 e",
];

/// One call.
pub(in super::super) fn call(random: &mut Rng) -> Vec<String> {
    if rarely(random, 40) {
        return words(one(random, STATES));
    }
    let name = one(random, COMMANDS);
    let text = match name {
        "zadd" | "zincrby" | "zrem" | "zmscore" | "zscore" | "zrank" | "zrevrank" => members(random, name),
        "zcount" | "zremrangebyscore" => {
            format!("{name} {} {} {}", key(random), one(random, SCORE_BOUNDS), one(random, SCORE_BOUNDS))
        }
        "zlexcount" | "zremrangebylex" => {
            format!(
                "{name} {} {} {}",
                lex_key(random),
                one(random, MEMBER_BOUNDS),
                one(random, MEMBER_BOUNDS)
            )
        }
        "zremrangebyrank" => format!("{name} {} {} {}", key(random), one(random, RANKS), one(random, RANKS)),
        "zpopmin" | "zpopmax" => {
            format!("{name} {} {}", key(random), one(random, &["", "", "0", "1", "2", "9", "-1", "x"]))
        }
        "zmpop" => {
            let count = one(
                random,
                &["", "", "count 1", "COUNT 3", "count 0", "count x", "count", "count 1 count 1"],
            );
            format!("{name} {} {} {count}", keys(random), one(random, &["min", "max", "MIN", "mid"]))
        }
        "zrandmember" => {
            let count = one(
                random,
                &["", "0", "1", "3", "100", "-2", "-20", "x", "2 withscores", "-4 WITHSCORES", "1 x"],
            );
            format!("{name} {} {count}", key(random))
        }
        "zscan" => {
            let options =
                one(random, &["", "match *", "match [a-c] count 1000", "count 100", "count 0", "x", "match"]);
            format!("{name} {} {} {options}", key(random), one(random, &["0", "0", "0", "\"\"", "x"]))
        }
        "zunion" | "zinter" | "zdiff" | "zintercard" => {
            format!("{name} {} {}", keys(random), combination(random))
        }
        "zunionstore" | "zinterstore" | "zdiffstore" => {
            format!("{name} {} {} {}", destination(random), keys(random), combination(random))
        }
        "zcard" => format!("{name} {}", key(random)),
        _ => range(random, name),
    };
    // A word too many in a change could give members of l0 and l1 other scores, or bring about keys. And of a small set, Redis answers
    // the whole whatever the cursor is.
    if name == "zscan"
        || text.contains(" l0")
        || text.contains(" l1")
        || text.contains("store")
        || name == "zadd"
    {
        return words(&text);
    }
    misspelt(random, words(&text))
}

fn key(random: &mut Rng) -> &'static str {
    one(random, &["z0", "z0", "z1", "z1", "z2", "z2", "l0", "none", "s0"])
}

fn lex_key(random: &mut Rng) -> &'static str {
    one(random, &["l0", "l0", "l0", "l1", "l1", "none", "s0"])
}

fn destination(random: &mut Rng) -> &'static str {
    one(random, &["z0", "z1", "z2", "h0"])
}

/// A number of keys, and keys, mostly as many.
fn keys(random: &mut Rng) -> String {
    let count = random.usize(1..4);
    let keys: Vec<_> = (0..count).map(|_| key(random)).collect();
    let said = match random.u8(..20) {
        0 => "0".into(),
        1 => "x".into(),
        2 => (count + 1).to_string(),
        _ => count.to_string(),
    };
    format!("{said} {}", keys.join(" "))
}

fn members(random: &mut Rng, name: &str) -> String {
    let mut text = match name {
        "zadd" | "zincrby" => format!("{name} {}", one(random, &["z0", "z1", "z2", "s0"])),
        _ => format!("{name} {}", key(random)),
    };
    let mut add = |word: &str| text = format!("{text} {word}");
    match name {
        "zadd" => {
            while rarely(random, 2) {
                add(one(random, &["nx", "xx", "gt", "lt", "ch", "INCR", "CH"]));
            }
            for _ in 0..[1, 1, 1, 2, 3][random.usize(..5)] {
                add(one(random, SCORES));
                add(one(random, MEMBERS));
            }
        }
        "zincrby" => {
            add(one(random, SCORES));
            add(one(random, MEMBERS));
        }
        "zrem" | "zmscore" => (0..random.usize(1..4)).for_each(|_| add(one(random, MEMBERS))),
        _ => add(one(random, MEMBERS)),
    }
    text
}

fn combination(random: &mut Rng) -> String {
    let mut text = String::new();
    while rarely(random, 2) {
        text += one(
            random,
            &[
                "weights 2 ",
                "WEIGHTS 1 -1 ",
                "weights 2 0 3 ",
                "weights x ",
                "weights inf 1 ",
                "aggregate sum ",
                "aggregate min ",
                "AGGREGATE max ",
                "aggregate avg ",
                "aggregate ",
                "withscores ",
                "limit 1 ",
                "limit 0 ",
                "limit -1 ",
                "limit ",
            ],
        );
    }
    text
}

fn range(random: &mut Rng, name: &str) -> String {
    let by = match name {
        "zrangebyscore" | "zrevrangebyscore" => "byscore",
        "zrangebylex" | "zrevrangebylex" => "bylex",
        "zrevrange" => "",
        _ => one(random, &["", "byscore", "bylex"]),
    };
    let bounds = match by {
        "byscore" => SCORE_BOUNDS,
        "bylex" => MEMBER_BOUNDS,
        _ => RANKS,
    };
    let from = if by == "bylex" { lex_key(random) } else { key(random) };
    let mut text = format!("{name} ");
    if name == "zrangestore" {
        text += &format!("{} ", destination(random));
    }
    text += &format!("{from} {} {} ", one(random, bounds), one(random, bounds));
    if matches!(name, "zrange" | "zrangestore") {
        text += by;
    }
    while rarely(random, 2) {
        text += one(
            random,
            &[
                " withscores",
                " limit 0 2",
                " LIMIT 1 -1",
                " limit 0 -1",
                " limit -1 2",
                " limit 1 0",
                " limit 0",
                " limit x 1",
                " rev",
                " REV",
                " byscore",
                " WITHSCORES",
                " x",
            ],
        );
    }
    text
}

/// How alike the replies to a call must be.
pub(in super::super) fn alike(words: &[String]) -> Alike {
    match words[0].as_str() {
        "zrandmember" => Alike::Drawn,
        "zscan" => Alike::Page,
        _ => Alike::Wholly,
    }
}
