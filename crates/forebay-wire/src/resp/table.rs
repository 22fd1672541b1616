//! The command table, and finding a row in it.
//!
//! Rows live with the functions that parse them, one file per group under `command/`; here they are put
//! together. Finding one costs a few nanoseconds and no allocation: the name is packed in capitals into two
//! machine words, whose hash leads to a slot of an index that the compiler has built from the table.

use super::command::{
    client, connection, freshness, generic, hash, keyspace, lcs, operators, pubsub, server, sorted_set,
    string, transaction,
};
use super::spec::CommandSpec;

/// Every command, in the order of `COMMAND LIST`.
static TABLE: &[&CommandSpec] = &[
    &string::GET,
    &string::MGET,
    &string::STRLEN,
    &string::GETRANGE,
    &string::SUBSTR,
    &lcs::LCS,
    &string::SET,
    &string::SETEX,
    &string::PSETEX,
    &string::SETNX,
    &string::GETSET,
    &string::MSET,
    &string::MSETNX,
    &string::GETEX,
    &string::GETDEL,
    &string::APPEND,
    &string::SETRANGE,
    &string::INCR,
    &string::DECR,
    &string::INCRBY,
    &string::DECRBY,
    &string::INCRBYFLOAT,
    &hash::HGET,
    &hash::HMGET,
    &hash::HGETALL,
    &hash::HKEYS,
    &hash::HVALS,
    &hash::HLEN,
    &hash::HEXISTS,
    &hash::HSTRLEN,
    &hash::HRANDFIELD,
    &hash::HSCAN,
    &hash::HSET,
    &hash::HMSET,
    &hash::HSETNX,
    &hash::HINCRBY,
    &hash::HINCRBYFLOAT,
    &hash::HDEL,
    &sorted_set::changes::ZADD,
    &sorted_set::changes::ZINCRBY,
    &sorted_set::changes::ZREM,
    &sorted_set::ZSCORE,
    &sorted_set::ZMSCORE,
    &sorted_set::ZCARD,
    &sorted_set::ZRANK,
    &sorted_set::ZREVRANK,
    &sorted_set::ranges::ZCOUNT,
    &sorted_set::ranges::ZLEXCOUNT,
    &sorted_set::ranges::ZRANGE,
    &sorted_set::ranges::ZREVRANGE,
    &sorted_set::ranges::ZRANGEBYSCORE,
    &sorted_set::ranges::ZREVRANGEBYSCORE,
    &sorted_set::ranges::ZRANGEBYLEX,
    &sorted_set::ranges::ZREVRANGEBYLEX,
    &sorted_set::ranges::ZRANGESTORE,
    &sorted_set::ranges::ZREMRANGEBYRANK,
    &sorted_set::ranges::ZREMRANGEBYSCORE,
    &sorted_set::ranges::ZREMRANGEBYLEX,
    &sorted_set::changes::ZPOPMIN,
    &sorted_set::changes::ZPOPMAX,
    &sorted_set::changes::ZMPOP,
    &sorted_set::ZRANDMEMBER,
    &sorted_set::ZSCAN,
    &sorted_set::combine::ZUNION,
    &sorted_set::combine::ZINTER,
    &sorted_set::combine::ZDIFF,
    &sorted_set::combine::ZINTERCARD,
    &sorted_set::combine::ZUNIONSTORE,
    &sorted_set::combine::ZINTERSTORE,
    &sorted_set::combine::ZDIFFSTORE,
    &generic::DEL,
    &generic::UNLINK,
    &generic::EXISTS,
    &generic::TOUCH,
    &generic::EXPIRE,
    &generic::PEXPIRE,
    &generic::EXPIREAT,
    &generic::PEXPIREAT,
    &generic::PERSIST,
    &generic::TTL,
    &generic::PTTL,
    &generic::EXPIRETIME,
    &generic::PEXPIRETIME,
    &generic::TYPE,
    &generic::RENAME,
    &generic::RENAMENX,
    &generic::COPY,
    &generic::OBJECT,
    &generic::MEMORY,
    &keyspace::SCAN,
    &keyspace::KEYS,
    &keyspace::RANDOMKEY,
    &keyspace::DBSIZE,
    &keyspace::FLUSHDB,
    &keyspace::FLUSHALL,
    &keyspace::SWAPDB,
    &transaction::MULTI,
    &transaction::EXEC,
    &transaction::DISCARD,
    &transaction::WATCH,
    &transaction::UNWATCH,
    &pubsub::SUBSCRIBE,
    &pubsub::UNSUBSCRIBE,
    &pubsub::PSUBSCRIBE,
    &pubsub::PUNSUBSCRIBE,
    &pubsub::PUBLISH,
    &pubsub::PUBSUB,
    &freshness::FB_INVALIDATE,
    &freshness::FB_EXPIRE,
    &freshness::FB_TAG,
    &freshness::FB_WHY,
    &freshness::FB_FRESH,
    &operators::FB_STATS,
    &operators::FB_EXPLAIN,
    &operators::FB_RELOAD,
    &operators::FB_WARM,
    &operators::FB_BACKUP,
    &operators::FB_DEADLETTERS,
    &operators::FB_JOBS,
    &connection::PING,
    &connection::ECHO,
    &connection::AUTH,
    &connection::HELLO,
    &connection::SELECT,
    &client::CLIENT,
    &connection::QUIT,
    &connection::RESET,
    &connection::ACL,
    &server::COMMAND,
    &server::INFO,
    &server::TIME,
    &server::CONFIG,
    &server::MONITOR,
    &server::SLOWLOG,
    &server::DEBUG,
    &server::FUNCTION,
];

/// The longest name of a command, in bytes: two machine words.
const NAME_BYTES_MAX: usize = 16;

/// Slots in the index, a power of two several times the size of the table so that most names are found at
/// the first look.
const SLOTS: usize = 1024;

/// A place in the index.
#[derive(Clone, Copy)]
struct Slot {
    packed: Packed,
    command: Option<&'static CommandSpec>,
}

/// For each hash of a packed name its command, or the next slot where two names share one.
static INDEX: [Slot; SLOTS] = build_index();

/// All commands, without their sub-commands.
pub fn commands() -> impl ExactSizeIterator<Item = &'static CommandSpec> {
    TABLE.iter().copied()
}

/// The command called `name` in any mixture of large and small letters.
#[must_use]
pub fn lookup(name: &[u8]) -> Option<&'static CommandSpec> {
    let packed = pack(name)?;
    let mut at = slot_of(packed);
    loop {
        let slot = INDEX.get(at)?;
        let spec = slot.command?;
        if slot.packed == packed && spec.name.len() == name.len() {
            return Some(spec);
        }
        at = (at + 1) % SLOTS;
    }
}

/// The command or, with `container|name`, the sub-command called `name`, as `COMMAND INFO` takes it.
#[must_use]
pub fn lookup_name(name: &[u8]) -> Option<&'static CommandSpec> {
    let mut parts = name.splitn(2, |byte| *byte == b'|');
    let command = lookup(parts.next()?)?;
    match parts.next() {
        None => Some(command),
        Some(sub) => lookup_subcommand(command, sub),
    }
}

/// The sub-command of `command` called `name`.
pub(super) fn lookup_subcommand(command: &CommandSpec, name: &[u8]) -> Option<&'static CommandSpec> {
    command.subcommands.iter().find(|spec| {
        let full = spec.name.as_bytes();
        full.get(command.name.len() + 1..).is_some_and(|own| own.eq_ignore_ascii_case(name))
    })
}

/// A name in capitals as two words, which together with its length tell it from every other name.
type Packed = [u64; 2];

/// Packs a name of 1 to [`NAME_BYTES_MAX`] bytes. The two halves overlap where the name does not fill them,
/// which spares a copy of variable length.
const fn pack(name: &[u8]) -> Option<Packed> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    if let (Some(head), Some(tail)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        return Some([capitals(*head), capitals(*tail)]);
    }
    if let (Some([a, b, c, d]), Some([e, f, g, h])) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        return Some([capitals([*a, *b, *c, *d, *e, *f, *g, *h]), 0]);
    }
    let short = match name {
        [a] => [*a, 0, 0],
        [a, b] => [*a, *b, 0],
        [a, b, c] => [*a, *b, *c],
        _ => return None,
    };
    let [a, b, c] = short;
    Some([capitals([a, b, c, 0, 0, 0, 0, 0]), 0])
}

const fn capitals(mut letters: [u8; 8]) -> u64 {
    letters.make_ascii_uppercase();
    u64::from_le_bytes(letters)
}

/// Where in the index the search for a packed name begins.
#[expect(clippy::cast_possible_truncation, reason = "no more bits are left than number the slots")]
const fn slot_of(packed: Packed) -> usize {
    let [head, tail] = packed;
    let folded = head ^ tail.rotate_left(23);
    // The highest bits are the best mixed: as many as number the slots.
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SLOTS.trailing_zeros())) as usize % SLOTS
}

#[expect(clippy::indexing_slicing, clippy::panic, reason = "runs in the compiler: a fault is a failed build")]
const fn build_index() -> [Slot; SLOTS] {
    assert!(TABLE.len() * 2 < SLOTS, "widen the index");
    let mut index = [Slot { packed: [0; 2], command: None }; SLOTS];
    let mut row = 0;
    while row < TABLE.len() {
        let command = TABLE[row];
        let Some(packed) = pack(command.name.as_bytes()) else {
            panic!("a command's name has 1 to NAME_BYTES_MAX bytes");
        };
        let mut at = slot_of(packed);
        while index[at].command.is_some() {
            at = (at + 1) % SLOTS;
        }
        index[at] = Slot { packed, command: Some(command) };
        row += 1;
    }
    index
}
