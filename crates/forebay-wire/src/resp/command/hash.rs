//! Commands on hashes: HGET, HMGET, HGETALL, HLEN, HSET, HDEL.

use bytes::Bytes;

use super::{Call, Command, CommandError, Data, Parse};
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
    /// `HLEN`: how many fields there are.
    Len {
        /// The key.
        key: Bytes,
    },
    /// `HSET`: write fields.
    Set {
        /// The key.
        key: Bytes,
        /// Fields and their values, at least one pair.
        fields: Vec<(Bytes, Bytes)>,
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

pub(in crate::resp) static HLEN: CommandSpec =
    reads("HLEN", 2, |call| asked(HashCommand::Len { key: call.bytes(1)? }))
        .since("2.0.0")
        .words("key")
        .does("Counts the fields");

pub(in crate::resp) static HSET: CommandSpec = writes("HSET", -4, set)
    .since("2.0.0")
    .words("key field value [field value ...]")
    .does("Writes fields, as the namespace of the key allows; answers how many are new")
    .costs("O(N) for N fields named");

pub(in crate::resp) static HDEL: CommandSpec = writes("HDEL", -3, |call| {
    asked(HashCommand::Del { key: call.bytes(1)?, fields: call.rest(2) })
})
.flags(&[Flag::Write, Flag::Fast])
.since("2.0.0")
.words("key field [field ...]")
.does("Removes fields where the namespace writes, or what is known of them; answers how many there were")
.costs("O(N) for N fields named");

fn asked(command: HashCommand) -> Result<Command, CommandError> {
    Ok(Command::Data(Data::Hash(command)))
}

fn set(call: &Call<'_>) -> Result<Command, CommandError> {
    asked(HashCommand::Set { key: call.bytes(1)?, fields: call.pairs(2)? })
}
