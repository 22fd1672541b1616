//! Commands on values of any kind: DEL, UNLINK, EXISTS, EXPIRE, PEXPIRE, PERSIST, TTL, PTTL, TYPE.

use super::{Call, Command, CommandError};
use crate::resp::spec::{Access, CommandSpec, Flag, Group, KeyUse, Keys};

pub(in crate::resp) static DEL: CommandSpec = CommandSpec {
    name: "DEL",
    arity: -2,
    flags: &[Flag::Write],
    keys: Keys::all(KeyUse::Remove),
    access: Access::Write,
    since: "1.0.0",
    group: Group::Generic,
    arguments: "key [key ...]",
    summary: "Deletes values where the namespace writes, or drops the copies of them",
    complexity: "O(N) for N keys",
    subcommands: &[],
    parse: |call| Ok(Command::Del { keys: call.rest(1) }),
};

pub(in crate::resp) static UNLINK: CommandSpec = CommandSpec {
    name: "UNLINK",
    arity: -2,
    flags: &[Flag::Write, Flag::Fast],
    keys: Keys::all(KeyUse::Remove),
    access: Access::Write,
    since: "4.0.0",
    group: Group::Generic,
    arguments: "key [key ...]",
    summary: "Does what DEL does, giving memory back later",
    complexity: "O(N) for N keys",
    subcommands: &[],
    parse: |call| Ok(Command::Unlink { keys: call.rest(1) }),
};

pub(in crate::resp) static EXISTS: CommandSpec = CommandSpec {
    name: "EXISTS",
    arity: -2,
    flags: &[Flag::ReadOnly, Flag::Fast],
    keys: Keys::all(KeyUse::Inspect),
    access: Access::Read,
    since: "3.0.3",
    group: Group::Generic,
    arguments: "key [key ...]",
    summary: "Counts the keys of which there is a value: in a store, or held as a copy, without loading any",
    complexity: "O(N) for N keys",
    subcommands: &[],
    parse: |call| Ok(Command::Exists { keys: call.rest(1) }),
};

pub(in crate::resp) static EXPIRE: CommandSpec = CommandSpec {
    name: "EXPIRE",
    arity: 3,
    flags: &[Flag::Write, Flag::Fast],
    keys: Keys::one(KeyUse::Mark),
    access: Access::Write,
    since: "1.0.0",
    group: Group::Generic,
    arguments: "key seconds",
    summary: "Lets a value end after so many seconds; a copy no later than its namespace says",
    complexity: "O(1)",
    subcommands: &[],
    parse: |call| expire(call, 1000),
};

pub(in crate::resp) static PEXPIRE: CommandSpec = CommandSpec {
    name: "PEXPIRE",
    arity: 3,
    flags: &[Flag::Write, Flag::Fast],
    keys: Keys::one(KeyUse::Mark),
    access: Access::Write,
    since: "2.6.0",
    group: Group::Generic,
    arguments: "key milliseconds",
    summary: "Lets a value end after so many milliseconds; a copy no later than its namespace says",
    complexity: "O(1)",
    subcommands: &[],
    parse: |call| expire(call, 1),
};

pub(in crate::resp) static PERSIST: CommandSpec = CommandSpec {
    name: "PERSIST",
    arity: 2,
    flags: &[Flag::Write, Flag::Fast],
    keys: Keys::one(KeyUse::Mark),
    access: Access::Write,
    since: "2.2.0",
    group: Group::Generic,
    arguments: "key",
    summary: "Lets a value not end; a copy ends when its namespace says",
    complexity: "O(1)",
    subcommands: &[],
    parse: |call| Ok(Command::Persist { key: call.bytes(1)? }),
};

pub(in crate::resp) static TTL: CommandSpec = CommandSpec {
    name: "TTL",
    arity: 2,
    flags: &[Flag::ReadOnly, Flag::Fast],
    keys: Keys::one(KeyUse::Inspect),
    access: Access::Read,
    since: "2.8.0",
    group: Group::Generic,
    arguments: "key",
    summary: "Answers the remaining time of a value or its copy, in seconds; −1 where it does not end",
    complexity: "O(1)",
    subcommands: &[],
    parse: |call| Ok(Command::Ttl { key: call.bytes(1)? }),
};

pub(in crate::resp) static PTTL: CommandSpec = CommandSpec {
    name: "PTTL",
    arity: 2,
    flags: &[Flag::ReadOnly, Flag::Fast],
    keys: Keys::one(KeyUse::Inspect),
    access: Access::Read,
    since: "2.8.0",
    group: Group::Generic,
    arguments: "key",
    summary: "Answers the remaining time of a value or its copy, in milliseconds; −1 where it does not end",
    complexity: "O(1)",
    subcommands: &[],
    parse: |call| Ok(Command::PTtl { key: call.bytes(1)? }),
};

pub(in crate::resp) static TYPE: CommandSpec = CommandSpec {
    name: "TYPE",
    arity: 2,
    flags: &[Flag::ReadOnly, Flag::Fast],
    keys: Keys::one(KeyUse::Inspect),
    access: Access::Read,
    since: "1.0.0",
    group: Group::Generic,
    arguments: "key",
    summary: "Answers the kind of the value, in a store or held as a copy",
    complexity: "O(1)",
    subcommands: &[],
    parse: |call| Ok(Command::Type { key: call.bytes(1)? }),
};

/// A time from now, in units of so many milliseconds; it may have passed.
fn expire(call: &Call<'_>, unit_ms: i64) -> Result<Command, CommandError> {
    let ttl_ms = call.integer(2)?.checked_mul(unit_ms);
    let ttl_ms = ttl_ms.ok_or(CommandError::InvalidExpire { command: call.spec.name })?;
    Ok(Command::Expire { key: call.bytes(1)?, ttl_ms })
}
