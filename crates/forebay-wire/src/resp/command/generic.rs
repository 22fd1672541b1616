//! Commands on values of any kind: DEL, UNLINK, EXISTS, TTL, PTTL, TYPE.

use super::Command;
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
    summary: "Counts the keys of which a value is held, without loading any",
    complexity: "O(N) for N keys",
    subcommands: &[],
    parse: |call| Ok(Command::Exists { keys: call.rest(1) }),
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
    summary: "Answers the remaining time of what is held, in seconds",
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
    summary: "Answers the remaining time of what is held, in milliseconds",
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
    summary: "Answers the kind of the value that is held",
    complexity: "O(1)",
    subcommands: &[],
    parse: |call| Ok(Command::Type { key: call.bytes(1)? }),
};
