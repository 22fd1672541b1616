//! Values of all kinds under the same keys, written, read and moved in one transaction.

use super::choose::{Choose, Words, words};
use super::collections::alike;
use super::streams::{self, Alike};
use super::{Group, Makers};

pub(super) const GROUP: Group = Group {
    name: "mixed",
    of: None,
    db: 14,
    first: &[],
    makers: Makers::Any(LINES.len(), call),
    may_wait: true,
    compare: |command, theirs, ours| alike(how, command, theirs, ours),
};

/// Commands in which `K` is one of few keys, and `N` a number.
const LINES: &[&str] = &[
    "set K N",
    "set K text",
    "set K N nx",
    "set K N get",
    "set K N keepttl",
    "setnx K N",
    "get K",
    "getset K N",
    "getdel K",
    "mget K K K",
    "mset K N K N",
    "append K N",
    "strlen K",
    "incrby K N",
    "decr K",
    "getrange K 0 N",
    "hset K f N g N",
    "hset K f N",
    "hget K f",
    "hmget K f g none",
    "hgetall K",
    "hdel K f",
    "hdel K f g",
    "hincrby K f N",
    "hlen K",
    "hexists K g",
    "zadd K N m N n",
    "zadd K nx N m",
    "zadd K gt ch N m",
    "zincrby K N m",
    "zrange K 0 -1 withscores",
    "zrangebyscore K -5 5",
    "zscore K m",
    "zcard K",
    "zrem K m",
    "zpopmin K",
    "zunionstore K 2 K K",
    "zinterstore K 2 K K",
    "zrangestore K K 0 N",
    "del K",
    "unlink K K",
    "exists K K",
    "type K",
    "rename K K",
    "renamenx K K",
    "copy K K",
    "copy K K replace",
    "expire K 1000",
    "persist K",
    "ttl K",
    "getex K ex 1000",
    "touch K K",
    "nosuch K",
    "get",
    "hset K f",
    "watch K",
    "multi",
];

fn call(choose: &mut Choose) -> Words {
    let line = choose.of(LINES);
    let word = |word: &str| match word {
        "K" => choose.key().to_owned(),
        "N" => choose.number(-9..10).to_string(),
        other => other.to_owned(),
    };
    words(&line.split(' ').map(word).collect::<Vec<_>>().join(" "))
}

fn how(call: &[String]) -> Alike {
    match call[0].as_str() {
        name if name.starts_with('h') => streams::hash::alike(call),
        name if name.starts_with('z') => streams::sorted_set::alike(call),
        _ => Alike::Wholly,
    }
}
