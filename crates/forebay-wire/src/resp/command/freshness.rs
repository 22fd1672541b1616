//! Forebay's own commands, on how fresh a value is: FB.INVALIDATE, FB.EXPIRE, FB.TAG, FB.WHY, FB.FRESH.

use super::Command;
use crate::resp::spec::{Access, CommandSpec, Flag, Group, KeyUse, Keys};

pub(in crate::resp) static FB_INVALIDATE: CommandSpec = CommandSpec {
    name: "FB.INVALIDATE",
    arity: -2,
    flags: &[Flag::Write, Flag::Fast],
    keys: Keys::all(KeyUse::Remove),
    access: Access::Invalidate,
    since: "0.1.0",
    group: Group::Freshness,
    arguments: "key [key ...]",
    summary: "Drops every copy of the values, of which no later read gets one",
    complexity: "O(N) for N keys",
    subcommands: &[],
    parse: |call| Ok(Command::FbInvalidate { keys: call.rest(1) }),
};

pub(in crate::resp) static FB_EXPIRE: CommandSpec = CommandSpec {
    name: "FB.EXPIRE",
    arity: -2,
    flags: &[Flag::Write, Flag::Fast],
    keys: Keys::all(KeyUse::Remove),
    access: Access::Invalidate,
    since: "0.1.0",
    group: Group::Freshness,
    arguments: "key [key ...]",
    summary: "Makes every copy of the values stale: served only if the source fails and the namespace allows it",
    complexity: "O(N) for N keys",
    subcommands: &[],
    parse: |call| Ok(Command::FbExpire { keys: call.rest(1) }),
};

pub(in crate::resp) static FB_TAG: CommandSpec = CommandSpec {
    name: "FB.TAG",
    arity: -3,
    flags: &[Flag::Write, Flag::Fast],
    keys: Keys::one(KeyUse::Mark),
    access: Access::Invalidate,
    since: "0.1.0",
    group: Group::Freshness,
    arguments: "key tag [tag ...]",
    summary: "Adds tags to the value that is held, with which it is invalidated from now on",
    complexity: "O(N) for N tags",
    subcommands: &[],
    parse: |call| Ok(Command::FbTag { key: call.bytes(1)?, tags: call.rest(2) }),
};

pub(in crate::resp) static FB_WHY: CommandSpec = CommandSpec {
    name: "FB.WHY",
    arity: 2,
    flags: &[Flag::ReadOnly],
    keys: Keys::one(KeyUse::Inspect),
    access: Access::Observe,
    since: "0.1.0",
    group: Group::Freshness,
    arguments: "key",
    summary: "Tells where a value came from, how old it is and what happened to it, without loading it",
    complexity: "O(1)",
    subcommands: &[],
    parse: |call| Ok(Command::FbWhy { key: call.bytes(1)? }),
};

pub(in crate::resp) static FB_FRESH: CommandSpec = CommandSpec {
    name: "FB.FRESH",
    arity: 2,
    flags: &[Flag::ReadOnly],
    keys: Keys::one(KeyUse::Read),
    access: Access::Read,
    since: "0.1.0",
    group: Group::Freshness,
    arguments: "key",
    summary: "Answers the value from its source, past every copy, and refreshes the copies",
    complexity: "O(1)",
    subcommands: &[],
    parse: |call| Ok(Command::FbFresh { key: call.bytes(1)? }),
};
