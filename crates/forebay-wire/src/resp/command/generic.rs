//! Commands on values of any kind: whether they are there, when they end, what they are, and giving them another key.

use bytes::Bytes;

use super::{Call, Command, CommandError, Data, Describe, Parse, SPAN_MS_MAX, shown};
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
    /// `TOUCH`: how many of the keys named are held; looking does no more.
    Touch {
        /// The keys, at least one; one named twice counts twice.
        keys: Vec<Bytes>,
    },
    /// `EXPIRE`, `PEXPIRE`, `EXPIREAT`, `PEXPIREAT`: let a value end then.
    Expire(Expire),
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
    /// `EXPIRETIME`: when the value ends, in seconds since 1970-01-01 UTC.
    ExpireTime {
        /// The key.
        key: Bytes,
    },
    /// `PEXPIRETIME`: when the value ends, in milliseconds since 1970-01-01 UTC.
    PExpireTime {
        /// The key.
        key: Bytes,
    },
    /// `TYPE`: what kind of value it is.
    Type {
        /// The key.
        key: Bytes,
    },
    /// `RENAME`: give a value another key.
    Rename {
        /// The key it has.
        from: Bytes,
        /// The key it gets.
        to: Bytes,
    },
    /// `RENAMENX`: give a value another key, if that has none.
    RenameNx {
        /// The key it has.
        from: Bytes,
        /// The key it gets.
        to: Bytes,
    },
    /// `COPY`: write a value under another key too.
    Copy {
        /// The key it has.
        from: Bytes,
        /// The key it gets too.
        to: Bytes,
        /// Whether a value that is there is written over.
        replace: bool,
    },
    /// `OBJECT ENCODING`: how Redis would hold such a value.
    Encoding {
        /// The key.
        key: Bytes,
    },
    /// `OBJECT FREQ`: how often a value is used.
    Frequency {
        /// The key.
        key: Bytes,
    },
    /// `OBJECT IDLETIME`: how long a value was not used.
    IdleTime {
        /// The key.
        key: Bytes,
    },
    /// `OBJECT REFCOUNT`: how many refer to a value.
    RefCount {
        /// The key.
        key: Bytes,
    },
    /// `MEMORY USAGE`: what a value weighs.
    Weight {
        /// The key.
        key: Bytes,
    },
}

/// The arguments of `EXPIRE` and its kin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expire {
    /// The key.
    pub key: Bytes,
    /// When its value ends.
    pub at: Moment,
    /// Whether it does.
    pub condition: ExpireIf,
}

/// A moment that may have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// So many milliseconds from now; added to a clock it fits an `i64`.
    In(i64),
    /// So many milliseconds after 1970-01-01 UTC.
    At(i64),
}

/// When `EXPIRE` and its kin have an effect. A value that does not end ends later than any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpireIf {
    /// Always.
    Always,
    /// `NX`: if the value does not end.
    Endless,
    /// `XX`: if the value ends.
    Ending,
    /// `GT`, `XX GT`: if the value ends before that moment.
    Later,
    /// `LT`: if the value ends after that moment.
    Earlier,
    /// `XX LT`: if the value ends, and does so after that moment.
    EndingEarlier,
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

pub(in crate::resp) static TOUCH: CommandSpec =
    inspects("TOUCH", -2, Keys::all(KeyUse::Inspect), |call| asked(KeyCommand::Touch { keys: call.rest(1) }))
        .since("3.2.1")
        .words("key [key ...]")
        .does("Counts the keys of which there is a value, as EXISTS does, and does no more")
        .costs("O(N) for N keys");

pub(in crate::resp) static EXPIRE: CommandSpec = ends("EXPIRE", |call| expire(call, 1000, Moment::In))
    .words("key seconds [NX | XX | GT | LT]")
    .does("Lets a value end after so many seconds; a copy no later than its namespace says");

pub(in crate::resp) static PEXPIRE: CommandSpec = ends("PEXPIRE", |call| expire(call, 1, Moment::In))
    .words("key milliseconds [NX | XX | GT | LT]")
    .does("Lets a value end after so many milliseconds; a copy no later than its namespace says");

pub(in crate::resp) static EXPIREAT: CommandSpec = ends("EXPIREAT", |call| expire(call, 1000, Moment::At))
    .words("key unix-time-seconds [NX | XX | GT | LT]")
    .does("Lets a value end at a moment; a copy no later than its namespace says");

pub(in crate::resp) static PEXPIREAT: CommandSpec = ends("PEXPIREAT", |call| expire(call, 1, Moment::At))
    .words("key unix-time-milliseconds [NX | XX | GT | LT]")
    .does("Lets a value end at a moment told in milliseconds; a copy no later than its namespace says");

const fn ends(name: &'static str, parse: Parse) -> CommandSpec {
    writes(name, -3, Keys::one(KeyUse::Mark), parse).since("7.0.0")
}

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

pub(in crate::resp) static EXPIRETIME: CommandSpec =
    inspects("EXPIRETIME", 2, Keys::one(KeyUse::Inspect), |call| {
        asked(KeyCommand::ExpireTime { key: call.bytes(1)? })
    })
    .since("7.0.0")
    .words("key")
    .does("Answers when a value or its copy ends, in seconds since 1970; −1 where it does not end");

pub(in crate::resp) static PEXPIRETIME: CommandSpec =
    inspects("PEXPIRETIME", 2, Keys::one(KeyUse::Inspect), |call| {
        asked(KeyCommand::PExpireTime { key: call.bytes(1)? })
    })
    .since("7.0.0")
    .words("key")
    .does("Answers when a value or its copy ends, in milliseconds since 1970; −1 where it does not end");

pub(in crate::resp) static RENAME: CommandSpec = writes("RENAME", 3, Keys::two(KeyUse::Write), |call| {
    asked(KeyCommand::Rename { from: call.bytes(1)?, to: call.bytes(2)? })
})
.flags(&[Flag::Write])
.key_flags(&[&["RW", "access", "delete"], &["OW", "update"]])
.since("1.0.0")
.words("key newkey")
.does("Gives a value another key, in place of what is there");

pub(in crate::resp) static RENAMENX: CommandSpec = writes("RENAMENX", 3, Keys::two(KeyUse::Write), |call| {
    asked(KeyCommand::RenameNx { from: call.bytes(1)?, to: call.bytes(2)? })
})
.key_flags(&[&["RW", "access", "delete"], &["OW", "insert"]])
.since("3.2.0")
.words("key newkey")
.does("Gives a value another key that has none");

pub(in crate::resp) static COPY: CommandSpec = writes("COPY", -3, Keys::two(KeyUse::Write), copy)
    .flags(&[Flag::Write, Flag::DenyOom])
    .key_flags(&[&["RO", "access"], &["OW", "update"]])
    .since("6.2.0")
    .words("source destination [REPLACE]")
    .does("Writes a value, and when it ends, under another key too");

pub(in crate::resp) static OBJECT: CommandSpec =
    CommandSpec::row(Group::Generic, "OBJECT", -2, Access::Connection, |call| Err(call.wrong_arity()))
        .since("2.2.3")
        .does("Holds the commands that tell how values are held")
        .costs("Depends on the sub-command")
        .holds(&[
            looks("OBJECT|ENCODING", "2.2.3", |call| asked(KeyCommand::Encoding { key: call.bytes(2)? }))
                .does("Answers how Redis would hold such a value, judged by its size"),
            looks("OBJECT|FREQ", "4.0.0", |call| asked(KeyCommand::Frequency { key: call.bytes(2)? }))
                .does("Is refused: how often a value is used is not counted for each"),
            looks("OBJECT|IDLETIME", "2.2.3", |call| asked(KeyCommand::IdleTime { key: call.bytes(2)? }))
                .does("Answers 0: when a value was last used is not noted for each"),
            looks("OBJECT|REFCOUNT", "2.2.3", |call| asked(KeyCommand::RefCount { key: call.bytes(2)? }))
                .does("Answers 1: values of different keys share nothing"),
            help("OBJECT|HELP", "6.2.0", |_| Ok(Command::Describe(Describe::Help { of: "OBJECT" })))
                .does("Lists the sub-commands of OBJECT"),
        ]);

pub(in crate::resp) static MEMORY: CommandSpec =
    CommandSpec::row(Group::Server, "MEMORY", -2, Access::Connection, |call| Err(call.wrong_arity()))
        .since("4.0.0")
        .does("Holds the commands that tell what memory is used for")
        .costs("Depends on the sub-command")
        .holds(&[
            CommandSpec::row(Group::Server, "MEMORY|USAGE", -3, Access::Read, usage)
                .keys(Keys::of_subcommand(KeyUse::Inspect))
                .flags(&[Flag::ReadOnly])
                .since("4.0.0")
                .words("key [SAMPLES count]")
                .does("Answers what a value and its key weigh in memory, in bytes"),
            help("MEMORY|HELP", "4.0.0", |_| Ok(Command::Describe(Describe::Help { of: "MEMORY" })))
                .does("Lists the sub-commands of MEMORY"),
        ]);

/// The row of a sub-command that looks at one key.
const fn looks(name: &'static str, since: &'static str, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::Generic, name, 3, Access::Read, parse)
        .keys(Keys::of_subcommand(KeyUse::Inspect))
        .flags(&[Flag::ReadOnly])
        .since(since)
        .words("key")
}

const fn help(name: &'static str, since: &'static str, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::Server, name, 2, Access::Connection, parse)
        .flags(&[Flag::Loading, Flag::Stale])
        .since(since)
}

fn asked(command: KeyCommand) -> Result<Command, CommandError> {
    Ok(Command::Data(Data::Key(command)))
}

/// As Redis does: conditions first, then the number, in units of so many milliseconds.
fn expire(call: &Call<'_>, unit_ms: i64, moment: fn(i64) -> Moment) -> Result<Command, CommandError> {
    let condition = expire_if(call)?;
    let millis = call.integer(2)?.checked_mul(unit_ms);
    let at = millis.map(moment).filter(|at| !matches!(at, Moment::In(ms) if *ms > SPAN_MS_MAX));
    let at = at.ok_or(CommandError::InvalidExpire { command: call.spec.name })?;
    asked(KeyCommand::Expire(Expire { key: call.bytes(1)?, at, condition }))
}

fn expire_if(call: &Call<'_>) -> Result<ExpireIf, CommandError> {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for at in 3..call.len() {
        match () {
            () if call.is(at, "NX") => nx = true,
            () if call.is(at, "XX") => xx = true,
            () if call.is(at, "GT") => gt = true,
            () if call.is(at, "LT") => lt = true,
            () => return Err(CommandError::UnknownExpireOption { option: shown(call.word(at)?, 128) }),
        }
    }
    match (nx, xx, gt, lt) {
        (true, true, _, _) | (true, _, true, _) | (true, _, _, true) => Err(CommandError::ExpireNxAndOthers),
        (_, _, true, true) => Err(CommandError::ExpireGtAndLt),
        (true, ..) => Ok(ExpireIf::Endless),
        (_, _, true, _) => Ok(ExpireIf::Later),
        (_, true, _, true) => Ok(ExpireIf::EndingEarlier),
        (_, true, ..) => Ok(ExpireIf::Ending),
        (.., true) => Ok(ExpireIf::Earlier),
        _ => Ok(ExpireIf::Always),
    }
}

fn copy(call: &Call<'_>) -> Result<Command, CommandError> {
    let (from, to) = (call.bytes(1)?, call.bytes(2)?);
    let (mut replace, mut elsewhere) = (false, false);
    let mut at = 3;
    while at < call.len() {
        if call.is(at, "REPLACE") {
            replace = true;
        } else if call.is(at, "DB") && at + 1 < call.len() {
            call.integer(at + 1)?;
            elsewhere = true;
            at += 1;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    match () {
        () if elsewhere => Err(CommandError::CopyToOtherKeyspace),
        () if from == to => Err(CommandError::SameObject),
        () => asked(KeyCommand::Copy { from, to, replace }),
    }
}

/// How many nested values are weighed is checked, and of no meaning: what a value weighs is known.
fn usage(call: &Call<'_>) -> Result<Command, CommandError> {
    let mut at = 3;
    while at < call.len() {
        if !call.is(at, "SAMPLES") || at + 1 >= call.len() {
            return Err(CommandError::Syntax);
        }
        if call.integer(at + 1)? < 0 {
            return Err(CommandError::Syntax);
        }
        at += 2;
    }
    asked(KeyCommand::Weight { key: call.bytes(2)? })
}
