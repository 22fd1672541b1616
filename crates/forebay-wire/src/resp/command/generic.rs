//! Commands on values of any kind: DEL, UNLINK, EXISTS, EXPIRE, PEXPIRE, PERSIST, TTL, PTTL, TYPE.

use bytes::Bytes;

use super::{Call, Command, CommandError, Data, Parse};
use crate::resp::spec::{Access, CommandSpec, Flag, Group, KeyUse, Keys};

/// A command on values of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCommand {
    /// `DEL`: remove values.
    Del {
        /// The keys, at least one.
        keys: Vec<Bytes>,
    },
    /// `UNLINK`: as `DEL`, without waiting for memory to be given back.
    Unlink {
        /// The keys, at least one.
        keys: Vec<Bytes>,
    },
    /// `EXISTS`: how many of the keys named are held.
    Exists {
        /// The keys, at least one; one named twice counts twice.
        keys: Vec<Bytes>,
    },
    /// `EXPIRE`, `PEXPIRE`: let a value end then.
    Expire {
        /// The key.
        key: Bytes,
        /// After so many milliseconds; zero or less deletes it.
        ttl_ms: i64,
    },
    /// `PERSIST`: let a value not end.
    Persist {
        /// The key.
        key: Bytes,
    },
    /// `TTL`: the remaining time in seconds.
    Ttl {
        /// The key.
        key: Bytes,
    },
    /// `PTTL`: the remaining time in milliseconds.
    PTtl {
        /// The key.
        key: Bytes,
    },
    /// `TYPE`: what kind of value it is.
    Type {
        /// The key.
        key: Bytes,
    },
}

const fn inspects(name: &'static str, arity: i32, keys: Keys, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::Generic, name, arity, Access::Read, parse)
        .keys(keys)
        .flags(&[Flag::ReadOnly, Flag::Fast])
}

const fn writes(name: &'static str, arity: i32, keys: Keys, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::Generic, name, arity, Access::Write, parse)
        .keys(keys)
        .flags(&[Flag::Write, Flag::Fast])
}

pub(in crate::resp) static DEL: CommandSpec =
    writes("DEL", -2, Keys::all(KeyUse::Remove), |call| asked(KeyCommand::Del { keys: call.rest(1) }))
        .flags(&[Flag::Write])
        .since("1.0.0")
        .words("key [key ...]")
        .does("Deletes values where the namespace writes, or drops the copies of them")
        .costs("O(N) for N keys");

pub(in crate::resp) static UNLINK: CommandSpec =
    writes("UNLINK", -2, Keys::all(KeyUse::Remove), |call| asked(KeyCommand::Unlink { keys: call.rest(1) }))
        .since("4.0.0")
        .words("key [key ...]")
        .does("Does what DEL does, giving memory back later")
        .costs("O(N) for N keys");

pub(in crate::resp) static EXISTS: CommandSpec = inspects("EXISTS", -2, Keys::all(KeyUse::Inspect), |call| {
    asked(KeyCommand::Exists { keys: call.rest(1) })
})
.since("3.0.3")
.words("key [key ...]")
.does("Counts the keys of which there is a value: in a store, or held as a copy, without loading any")
.costs("O(N) for N keys");

pub(in crate::resp) static EXPIRE: CommandSpec =
    writes("EXPIRE", 3, Keys::one(KeyUse::Mark), |call| expire(call, 1000))
        .since("1.0.0")
        .words("key seconds")
        .does("Lets a value end after so many seconds; a copy no later than its namespace says");

pub(in crate::resp) static PEXPIRE: CommandSpec =
    writes("PEXPIRE", 3, Keys::one(KeyUse::Mark), |call| expire(call, 1))
        .since("2.6.0")
        .words("key milliseconds")
        .does("Lets a value end after so many milliseconds; a copy no later than its namespace says");

pub(in crate::resp) static PERSIST: CommandSpec =
    writes("PERSIST", 2, Keys::one(KeyUse::Mark), |call| asked(KeyCommand::Persist { key: call.bytes(1)? }))
        .since("2.2.0")
        .words("key")
        .does("Lets a value not end; a copy ends when its namespace says");

pub(in crate::resp) static TTL: CommandSpec =
    inspects("TTL", 2, Keys::one(KeyUse::Inspect), |call| asked(KeyCommand::Ttl { key: call.bytes(1)? }))
        .since("2.8.0")
        .words("key")
        .does("Answers the remaining time of a value or its copy, in seconds; −1 where it does not end");

pub(in crate::resp) static PTTL: CommandSpec =
    inspects("PTTL", 2, Keys::one(KeyUse::Inspect), |call| asked(KeyCommand::PTtl { key: call.bytes(1)? }))
        .since("2.8.0")
        .words("key")
        .does("Answers the remaining time of a value or its copy, in milliseconds; −1 where it does not end");

pub(in crate::resp) static TYPE: CommandSpec =
    inspects("TYPE", 2, Keys::one(KeyUse::Inspect), |call| asked(KeyCommand::Type { key: call.bytes(1)? }))
        .since("1.0.0")
        .words("key")
        .does("Answers the kind of the value, in a store or held as a copy");

fn asked(command: KeyCommand) -> Result<Command, CommandError> {
    Ok(Command::Data(Data::Key(command)))
}

/// A time from now, in units of so many milliseconds; it may have passed.
fn expire(call: &Call<'_>, unit_ms: i64) -> Result<Command, CommandError> {
    let ttl_ms = call.integer(2)?.checked_mul(unit_ms);
    let ttl_ms = ttl_ms.ok_or(CommandError::InvalidExpire { command: call.spec.name })?;
    asked(KeyCommand::Expire { key: call.bytes(1)?, ttl_ms })
}
