//! Commands on strings.

use bytes::Bytes;
use forebay_wire::resp;

use super::choose::{Choose, Words, words};
use super::{Group, Make, Makers, compare};

pub(super) const GROUP: Group = Group {
    name: "strings",
    of: Some(resp::Group::String),
    db: 8,
    first: &[],
    makers: Makers::Each { commands: COMMANDS, states: STATES },
    may_wait: true,
    compare,
};

const COMMANDS: &[(&str, Make)] = &[
    ("GET", |c| c.with_key("GET", "")),
    ("MGET", |c| words(&format!("mget {}", c.keys().join(" ")))),
    ("STRLEN", |c| c.with_key("STRLEN", "")),
    ("GETRANGE", |c| range(c, "GETRANGE")),
    ("SUBSTR", |c| range(c, "SUBSTR")),
    ("LCS", lcs),
    ("SET", set),
    ("SETEX", |c| until(c, "SETEX")),
    ("PSETEX", |c| until(c, "PSETEX")),
    ("SETNX", |c| with_value(c, "SETNX")),
    ("GETSET", |c| with_value(c, "GETSET")),
    ("MSET", |c| pairs(c, "MSET")),
    ("MSETNX", |c| pairs(c, "MSETNX")),
    ("GETEX", |c| {
        let ends = ending(c);
        let persist = c.maybe(&["PERSIST"]);
        c.with_key("GETEX", format!("{ends}{persist}").trim_start())
    }),
    ("GETDEL", |c| c.with_key("GETDEL", "")),
    ("APPEND", |c| with_value(c, "APPEND")),
    ("SETRANGE", |c| {
        let offset = if c.one_in(4) { c.integer() } else { c.number(0..12).to_string() };
        let value = c.value();
        let offset = if offset == "9223372036854775807" { "536870912".to_owned() } else { offset };
        vec!["SETRANGE".into(), c.key().into(), offset.into(), value]
    }),
    ("INCR", |c| c.with_key("INCR", "")),
    ("DECR", |c| c.with_key("DECR", "")),
    ("INCRBY", |c| with_integer(c, "INCRBY")),
    ("DECRBY", |c| with_integer(c, "DECRBY")),
    ("INCRBYFLOAT", |c| {
        let by = c.of(&[
            "0.5", "-2.25", "3", "1e2", "0.125", "abc", "", "nan", "inf", "-inf", " 1", "1 ", "+2", ".5",
        ]);
        vec!["INCRBYFLOAT".into(), c.key().into(), by.into()]
    }),
];

const STATES: &[Make] = &[
    |c| with_value(c, "SET"),
    |c| with_value(c, "SET"),
    |c| words(&format!("SET {} {}", c.key(), c.number(-5..5))),
    |c| words(&format!("SET {} {}.5 EX 1000", c.key(), c.number(-5..5))),
    |c| words(&format!("DEL {}", c.keys().join(" "))),
    |c| c.with_key("DEL", ""),
    |c| c.with_key("HSET", "f v"),
    |c| c.with_key("TTL", ""),
    |c| c.with_key("PERSIST", ""),
    |c| c.with_key("EXPIRE", "500"),
    |c| c.with_key("TYPE", ""),
];

fn with_value(c: &mut Choose, name: &'static str) -> Words {
    vec![name.into(), c.key().into(), c.value()]
}

fn with_integer(c: &mut Choose, name: &str) -> Words {
    let by = c.integer();
    vec![Bytes::copy_from_slice(name.as_bytes()), c.key().into(), by.into()]
}

fn range(c: &mut Choose, name: &str) -> Words {
    let (start, end) = (c.integer(), c.integer());
    let name = Bytes::copy_from_slice(name.as_bytes());
    vec![name, c.key().into(), start.into(), end.into()]
}

fn pairs(c: &mut Choose, name: &'static str) -> Words {
    let mut words = vec![name.into()];
    for key in c.keys() {
        words.extend([key.into(), c.value()]);
    }
    if c.one_in(12) {
        words.pop();
    }
    words
}

fn until(c: &mut Choose, name: &'static str) -> Words {
    let ttl = match c.one_in(3) {
        true => c.of(&["0", "-1", "abc", "9223372036854775807", "", "-9223372036854775808", "01"]),
        false => c.of(&["100000", "200000"]),
    };
    vec![name.into(), c.key().into(), ttl.into(), c.value()]
}

/// When a value is to end: seldom at a time that is none, or has passed.
fn ending(c: &mut Choose) -> String {
    let ends = ["EX 100", "PX 100000", "ex 1000", "EXAT 2500000000", "PXAT 2500000000000", "KEEPTTL"];
    let odd = [
        "EX",
        "EX 0",
        "PX -5",
        "EX abc",
        "EXAT 1",
        "pxat 1",
        "EX 9223372036854775807",
        "PX 9223372036854775807",
        "EXAT 0",
        "foo",
    ];
    if c.one_in(3) { c.maybe(&odd) } else { c.maybe(&ends) }
}

fn set(c: &mut Choose) -> Words {
    let mut options = [c.maybe(&["NX", "XX", "nx"]), c.maybe(&["GET"]), ending(c), String::new()];
    if c.one_in(10) {
        options[3] = ending(c);
    }
    if c.one_in(2) {
        options.reverse();
    }
    let mut command = vec!["SET".into(), c.key().into(), c.value()];
    let options = options.concat();
    command.extend(words(options.trim_start()).into_iter().filter(|word| !word.is_empty()));
    command
}

fn lcs(c: &mut Choose) -> Words {
    let options = [
        "LEN",
        "IDX",
        "IDX WITHMATCHLEN",
        "IDX MINMATCHLEN 2",
        "idx minmatchlen 4 withmatchlen",
        "LEN IDX",
        "LEN LEN",
        "WITHMATCHLEN",
        "MINMATCHLEN",
        "IDX MINMATCHLEN -1",
        "MINMATCHLEN abc",
        "foo",
    ];
    let options = if c.one_in(2) { c.maybe(&options) } else { format!(" {}", c.of(&options[..5])) };
    words(&format!("LCS {} {}{options}", c.key(), c.key()))
}
