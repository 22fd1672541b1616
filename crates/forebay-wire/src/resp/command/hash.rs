//! Commands on hashes.

use bytes::Bytes;

use super::scan::{self, ScanOptions};
use super::{Command, CommandError, Data, Parse};
use crate::resp::float;
use crate::resp::spec::{Access, CommandSpec, Flag, Group, KeyUse, Keys};

/// A command on hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashCommand {
    /// `HGET`: the value of a field.
    Get {
        /// The key.
        key: Bytes,
        /// The field.
        field: Bytes,
    },
    /// `HMGET`: the values of several fields.
    MGet {
        /// The key.
        key: Bytes,
        /// The fields, at least one, as often as they were named.
        fields: Vec<Bytes>,
    },
    /// `HGETALL`: all fields and their values.
    GetAll {
        /// The key.
        key: Bytes,
    },
    /// `HKEYS`: all fields.
    Keys {
        /// The key.
        key: Bytes,
    },
    /// `HVALS`: the values of all fields.
    Vals {
        /// The key.
        key: Bytes,
    },
    /// `HLEN`: how many fields there are.
    Len {
        /// The key.
        key: Bytes,
    },
    /// `HEXISTS`: whether there is a field.
    Exists {
        /// The key.
        key: Bytes,
        /// The field.
        field: Bytes,
    },
    /// `HSTRLEN`: how long the value of a field is.
    StrLen {
        /// The key.
        key: Bytes,
        /// The field.
        field: Bytes,
    },
    /// `HRANDFIELD`: fields by chance.
    RandField {
        /// The key.
        key: Bytes,
        /// How many different ones, or, negative, how many that may be the same; one outside of an array if `None`.
        count: Option<i64>,
        /// Whether their values are told too.
        with_values: bool,
    },
    /// `HSCAN`: fields, step by step.
    Scan {
        /// The key.
        key: Bytes,
        /// Where the step begins.
        cursor: u64,
        /// Which fields; what is wrong with the words is only said where there is a hash to look through.
        options: Result<ScanOptions, CommandError>,
    },
    /// `HSET`: write fields.
    Set {
        /// The key.
        key: Bytes,
        /// Fields and their values, at least one pair.
        fields: Vec<(Bytes, Bytes)>,
    },
    /// `HMSET`: write fields, and tell nothing of them.
    MSet {
        /// The key.
        key: Bytes,
        /// Fields and their values, at least one pair.
        fields: Vec<(Bytes, Bytes)>,
    },
    /// `HSETNX`: write a field that is not there.
    SetNx {
        /// The key.
        key: Bytes,
        /// The field.
        field: Bytes,
        /// Its value.
        value: Bytes,
    },
    /// `HINCRBY`: add to the integer that a field has.
    IncrBy {
        /// The key.
        key: Bytes,
        /// The field.
        field: Bytes,
        /// What is added.
        by: i64,
    },
    /// `HINCRBYFLOAT`: add to the number that a field has.
    IncrByFloat {
        /// The key.
        key: Bytes,
        /// The field.
        field: Bytes,
        /// What is added: a finite decimal number.
        by: String,
    },
    /// `HDEL`: remove fields.
    Del {
        /// The key.
        key: Bytes,
        /// The fields, at least one.
        fields: Vec<Bytes>,
    },
}

/// The row of a command on hashes that reads.
const fn reads(name: &'static str, arity: i32, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::Hash, name, arity, Access::Read, parse)
        .keys(Keys::one(KeyUse::Read))
        .flags(&[Flag::ReadOnly, Flag::Fast])
}

/// The row of a command on hashes that writes.
const fn writes(name: &'static str, arity: i32, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::Hash, name, arity, Access::Write, parse).keys(Keys::one(KeyUse::Write)).flags(&[
        Flag::Write,
        Flag::DenyOom,
        Flag::Fast,
    ])
}

pub(in crate::resp) static HGET: CommandSpec =
    reads("HGET", 3, |call| asked(HashCommand::Get { key: call.bytes(1)?, field: call.bytes(2)? }))
        .since("2.0.0")
        .words("key field")
        .does("Answers the value of a field, loading it from its source if nothing is known of it");

pub(in crate::resp) static HMGET: CommandSpec =
    reads("HMGET", -3, |call| asked(HashCommand::MGet { key: call.bytes(1)?, fields: call.rest(2) }))
        .since("2.0.0")
        .words("key field [field ...]")
        .does("Answers the values of several fields, loading those of which nothing is known")
        .costs("O(N) for N fields");

pub(in crate::resp) static HGETALL: CommandSpec =
    reads("HGETALL", 2, |call| asked(HashCommand::GetAll { key: call.bytes(1)? }))
        .flags(&[Flag::ReadOnly])
        .since("2.0.0")
        .words("key")
        .does("Answers all fields and their values")
        .costs("O(N) for N fields of the hash");

pub(in crate::resp) static HKEYS: CommandSpec =
    reads("HKEYS", 2, |call| asked(HashCommand::Keys { key: call.bytes(1)? }))
        .flags(&[Flag::ReadOnly])
        .since("2.0.0")
        .words("key")
        .does("Answers all fields")
        .costs("O(N) for N fields of the hash");

pub(in crate::resp) static HVALS: CommandSpec =
    reads("HVALS", 2, |call| asked(HashCommand::Vals { key: call.bytes(1)? }))
        .flags(&[Flag::ReadOnly])
        .since("2.0.0")
        .words("key")
        .does("Answers the values of all fields")
        .costs("O(N) for N fields of the hash");

pub(in crate::resp) static HLEN: CommandSpec =
    reads("HLEN", 2, |call| asked(HashCommand::Len { key: call.bytes(1)? }))
        .since("2.0.0")
        .words("key")
        .key_flags(&[&["RO"]])
        .does("Counts the fields");

pub(in crate::resp) static HEXISTS: CommandSpec = reads("HEXISTS", 3, |call| {
    asked(HashCommand::Exists { key: call.bytes(1)?, field: call.bytes(2)? })
})
.keys(Keys::one(KeyUse::Inspect))
.since("2.0.0")
.words("key field")
.does("Answers whether there is a field: in a store, or in what is held of the hash, without loading it");

pub(in crate::resp) static HSTRLEN: CommandSpec =
    reads("HSTRLEN", 3, |call| asked(HashCommand::StrLen { key: call.bytes(1)?, field: call.bytes(2)? }))
        .key_flags(&[&["RO"]])
        .since("3.2.0")
        .words("key field")
        .does("Answers how many bytes the value of a field has, loading it if nothing is known of it");

pub(in crate::resp) static HRANDFIELD: CommandSpec = reads("HRANDFIELD", -2, |call| {
    let (count, with_values) = call.random("WITHVALUES")?;
    asked(HashCommand::RandField { key: call.bytes(1)?, count, with_values })
})
.flags(&[Flag::ReadOnly])
.since("6.2.0")
.words("key [count [WITHVALUES]]")
.does("Answers fields by chance: different ones, or any where the count is negative")
.costs("O(N log N) for N fields answered");

pub(in crate::resp) static HSCAN: CommandSpec = reads("HSCAN", -3, |call| {
    asked(HashCommand::Scan {
        key: call.bytes(1)?,
        cursor: scan::cursor(call, 2)?,
        options: scan::options(call, 3),
    })
})
.flags(&[Flag::ReadOnly])
.since("2.8.0")
.words("key cursor [MATCH pattern] [COUNT count]")
.does("Answers fields and their values step by step; one that is there all the while is told exactly once")
.costs("O(N) for N fields looked at in the step");

pub(in crate::resp) static HSET: CommandSpec =
    writes("HSET", -4, |call| asked(HashCommand::Set { key: call.bytes(1)?, fields: call.pairs(2)? }))
        .key_flags(&[&["RW", "update"]])
        .since("2.0.0")
        .words("key field value [field value ...]")
        .does("Writes fields, as the namespace of the key allows; answers how many are new")
        .costs("O(N) for N fields named");

pub(in crate::resp) static HMSET: CommandSpec =
    writes("HMSET", -4, |call| asked(HashCommand::MSet { key: call.bytes(1)?, fields: call.pairs(2)? }))
        .key_flags(&[&["RW", "update"]])
        .since("2.0.0")
        .words("key field value [field value ...]")
        .does("Writes fields as HSET does")
        .costs("O(N) for N fields named");

pub(in crate::resp) static HSETNX: CommandSpec = writes("HSETNX", 4, |call| {
    asked(HashCommand::SetNx { key: call.bytes(1)?, field: call.bytes(2)?, value: call.bytes(3)? })
})
.key_flags(&[&["RW", "insert"]])
.since("2.0.0")
.words("key field value")
.does("Writes a field that is not there");

pub(in crate::resp) static HINCRBY: CommandSpec = writes("HINCRBY", 4, |call| {
    asked(HashCommand::IncrBy { key: call.bytes(1)?, field: call.bytes(2)?, by: call.integer(3)? })
})
.key_flags(&[&["RW", "access", "update"]])
.since("2.0.0")
.words("key field increment")
.does("Adds to the integer that a field has, 0 where there is none");

pub(in crate::resp) static HINCRBYFLOAT: CommandSpec = writes("HINCRBYFLOAT", 4, |call| {
    let by = float::decimal(call.word(3)?).ok_or(CommandError::NotAFloat)?;
    let by = by.map_err(|_| CommandError::NotFinite)?;
    asked(HashCommand::IncrByFloat { key: call.bytes(1)?, field: call.bytes(2)?, by })
})
.key_flags(&[&["RW", "access", "update"]])
.since("2.6.0")
.words("key field increment")
.does("Adds to the number that a field has, 0 where there is none; decimals are added exactly");

pub(in crate::resp) static HDEL: CommandSpec = writes("HDEL", -3, |call| {
    asked(HashCommand::Del { key: call.bytes(1)?, fields: call.rest(2) })
})
.flags(&[Flag::Write, Flag::Fast])
.key_flags(&[&["RW", "delete"]])
.since("2.0.0")
.words("key field [field ...]")
.does("Removes fields where the namespace writes, or what is known of them; answers how many there were")
.costs("O(N) for N fields named");

fn asked(command: HashCommand) -> Result<Command, CommandError> {
    Ok(Command::Data(Data::Hash(command)))
}
