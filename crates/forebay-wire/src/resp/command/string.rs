//! Commands on strings: reading, writing, lengthening and counting them. LCS is in `lcs.rs`.

use bytes::Bytes;

use super::lcs::Lcs;
use super::{Call, Command, CommandError, Data, Parse, SPAN_MS_MAX};
use crate::resp::spec::{Access, CommandSpec, Flag, Group, KeyUse, Keys};

/// A command on strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StringCommand {
    /// `GET`: the value of a key.
    Get {
        /// The key.
        key: Bytes,
    },
    /// `MGET`: the values of several keys.
    MGet {
        /// The keys, at least one, as often as they were named.
        keys: Vec<Bytes>,
    },
    /// `STRLEN`: the length of a value.
    StrLen {
        /// The key.
        key: Bytes,
    },
    /// `GETRANGE`, `SUBSTR`: a part of a value.
    GetRange {
        /// The key.
        key: Bytes,
        /// Where it begins, from the end if negative.
        start: i64,
        /// Its last byte, from the end if negative.
        end: i64,
    },
    /// `LCS`: what two values have in common.
    Lcs(Lcs),
    /// `SET`, `SETEX`, `PSETEX`, `GETSET`: write a value.
    Set(Set),
    /// `SETNX`: write a value where there is none; whether it was written.
    SetNx {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// `MSET`: write several values.
    MSet {
        /// Keys and values, at least one; of a key named twice the last counts.
        pairs: Vec<(Bytes, Bytes)>,
    },
    /// `MSETNX`: write several values where none of the keys has one; whether they were written.
    MSetNx {
        /// Keys and values, at least one; of a key named twice the last counts.
        pairs: Vec<(Bytes, Bytes)>,
    },
    /// `GETEX`: the value of a key, and when it ends from now on.
    GetEx {
        /// The key.
        key: Bytes,
        /// When it ends: never [`Expiry::Keep`]. A time that is none is a fault only where there is a value, as with Redis.
        expiry: Result<Expiry, CommandError>,
    },
    /// `GETDEL`: the value of a key, which is removed.
    GetDel {
        /// The key.
        key: Bytes,
    },
    /// `APPEND`: lengthen a value.
    Append {
        /// The key.
        key: Bytes,
        /// What comes to its end.
        value: Bytes,
    },
    /// `SETRANGE`: write over a part of a value.
    SetRange {
        /// The key.
        key: Bytes,
        /// Where the part begins; zeros fill what is missing before it.
        offset: u64,
        /// The part.
        value: Bytes,
    },
    /// `INCR`, `DECR`, `INCRBY`, `DECRBY`: add to a whole number.
    Increment {
        /// The key.
        key: Bytes,
        /// What is added.
        by: i64,
    },
    /// `INCRBYFLOAT`: add to a decimal number.
    IncrementFloat {
        /// The key.
        key: Bytes,
        /// What is added, as written: whether it is a number counts only where there is no other kind of value, as with Redis.
        by: Bytes,
    },
}

/// The arguments of `SET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// How long it is kept.
    pub expiry: Expiry,
    /// When it is written at all.
    pub condition: Condition,
    /// Whether the value before is the answer (`GET`).
    pub answer_previous: bool,
}

/// How long a value is kept. Times are positive and fit an `i64` of milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// Nothing said: without end, or as the namespace declares.
    #[default]
    Unsaid,
    /// `KEEPTTL`: as long as the value before.
    Keep,
    /// `PERSIST`, of `GETEX` alone: without end.
    Never,
    /// `EX`, `PX`: this long from now, in milliseconds; added to a clock it fits an `i64`.
    In {
        /// Milliseconds, at least 1.
        ttl_ms: u64,
    },
    /// `EXAT`, `PXAT`: until this moment, which may have passed.
    At {
        /// Milliseconds since 1970-01-01 UTC, at least 1.
        unix_ms: u64,
    },
}

/// When `SET` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Always.
    #[default]
    Always,
    /// `NX`: if the key is not there.
    IfAbsent,
    /// `XX`: if the key is there.
    IfPresent,
}

/// The row of a command on strings that reads.
const fn reads(name: &'static str, arity: i32, keys: Keys, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::String, name, arity, Access::Read, parse)
        .keys(keys)
        .flags(&[Flag::ReadOnly, Flag::Fast])
}

/// The row of a command on strings that writes.
const fn writes(name: &'static str, arity: i32, keys: Keys, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::String, name, arity, Access::Write, parse)
        .keys(keys)
        .flags(&[Flag::Write, Flag::DenyOom])
}

pub(in crate::resp) static GET: CommandSpec =
    reads("GET", 2, Keys::one(KeyUse::Read), |call| asked(StringCommand::Get { key: call.bytes(1)? }))
        .since("1.0.0")
        .words("key")
        .does("Answers the value of a key, loading it from its source if no copy is held");

pub(in crate::resp) static MGET: CommandSpec =
    reads("MGET", -2, Keys::all(KeyUse::Read), |call| asked(StringCommand::MGet { keys: call.rest(1) }))
        .since("1.0.0")
        .words("key [key ...]")
        .does("Answers the values of several keys, loading those of which no copy is held")
        .costs("O(N) for N keys");

pub(in crate::resp) static SET: CommandSpec = writes("SET", -3, Keys::one(KeyUse::Write), set)
    .since("7.0.0")
    .words(
        "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
         PXAT unix-time-milliseconds | KEEPTTL]",
    )
    .does("Writes a value, as the namespace of the key allows");

pub(in crate::resp) static STRLEN: CommandSpec =
    reads("STRLEN", 2, Keys::one(KeyUse::Read), |call| asked(StringCommand::StrLen { key: call.bytes(1)? }))
        .since("2.2.0")
        .words("key")
        .does("Answers the length of a value in bytes");

pub(in crate::resp) static GETRANGE: CommandSpec = range("GETRANGE").since("2.4.0").does(
    "Answers the bytes of a value from one place to another, both included; negative ones count from the end",
);

pub(in crate::resp) static SUBSTR: CommandSpec =
    range("SUBSTR").since("1.0.0").does("Does what GETRANGE does, under its name of long ago");

const fn range(name: &'static str) -> CommandSpec {
    reads(name, 4, Keys::one(KeyUse::Read), |call| {
        let (key, start, end) = (call.bytes(1)?, call.integer(2)?, call.integer(3)?);
        asked(StringCommand::GetRange { key, start, end })
    })
    .flags(&[Flag::ReadOnly])
    .words("key start end")
    .costs("O(N) for N bytes answered")
}

pub(in crate::resp) static SETEX: CommandSpec =
    writes("SETEX", 4, Keys::one(KeyUse::Write), |call| set_until(call, 1000))
        .since("2.0.0")
        .words("key seconds value")
        .does("Writes a value that ends after so many seconds");

pub(in crate::resp) static PSETEX: CommandSpec =
    writes("PSETEX", 4, Keys::one(KeyUse::Write), |call| set_until(call, 1))
        .since("2.6.0")
        .words("key milliseconds value")
        .does("Writes a value that ends after so many milliseconds");

pub(in crate::resp) static SETNX: CommandSpec = writes("SETNX", 3, Keys::one(KeyUse::Write), |call| {
    asked(StringCommand::SetNx { key: call.bytes(1)?, value: call.bytes(2)? })
})
.flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
.since("1.0.0")
.words("key value")
.does("Writes a value where the key has none");

pub(in crate::resp) static GETSET: CommandSpec = writes("GETSET", 3, Keys::one(KeyUse::Write), |call| {
    asked(StringCommand::Set(Set { answer_previous: true, ..plain(call.bytes(1)?, call.bytes(2)?) }))
})
.flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
.since("1.0.0")
.words("key value")
.does("Writes a value and answers the one before");

pub(in crate::resp) static MSET: CommandSpec = writes("MSET", -3, Keys::pairs(KeyUse::Write), |call| {
    asked(StringCommand::MSet { pairs: call.pairs(1)? })
})
.since("1.0.1")
.words("key value [key value ...]")
.does("Writes several values; those of one namespace that is a store all at once")
.costs("O(N) for N keys");

pub(in crate::resp) static MSETNX: CommandSpec = writes("MSETNX", -3, Keys::pairs(KeyUse::Write), |call| {
    asked(StringCommand::MSetNx { pairs: call.pairs(1)? })
})
.since("1.0.1")
.words("key value [key value ...]")
.does("Writes several values where none of the keys has one")
.costs("O(N) for N keys");

pub(in crate::resp) static GETEX: CommandSpec = writes("GETEX", -2, Keys::one(KeyUse::Write), get_and_end)
    .flags(&[Flag::Write, Flag::Fast])
    .since("6.2.0")
    .words(
        "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
    )
    .does("Answers a value and says when it ends; a copy no later than its namespace says");

pub(in crate::resp) static GETDEL: CommandSpec = writes("GETDEL", 2, Keys::one(KeyUse::Write), |call| {
    asked(StringCommand::GetDel { key: call.bytes(1)? })
})
.flags(&[Flag::Write, Flag::Fast])
.since("6.2.0")
.words("key")
.does("Answers a value and deletes it");

pub(in crate::resp) static APPEND: CommandSpec = writes("APPEND", 3, Keys::one(KeyUse::Write), |call| {
    asked(StringCommand::Append { key: call.bytes(1)?, value: call.bytes(2)? })
})
.flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
.since("2.0.0")
.words("key value")
.does("Lengthens a value, and answers its length")
.costs("O(N) for the N bytes of the value");

pub(in crate::resp) static SETRANGE: CommandSpec = writes("SETRANGE", 4, Keys::one(KeyUse::Write), |call| {
    let offset = u64::try_from(call.integer(2)?).map_err(|_| CommandError::OffsetOutOfRange)?;
    asked(StringCommand::SetRange { key: call.bytes(1)?, offset, value: call.bytes(3)? })
})
.since("2.2.0")
.words("key offset value")
.does("Writes over a part of a value, and answers its length")
.costs("O(N) for the N bytes of the value");

pub(in crate::resp) static INCR: CommandSpec = counts("INCR", 2, |call| add(call, Ok(1)))
    .since("1.0.0")
    .words("key")
    .does("Adds one to a whole number, and answers it");

pub(in crate::resp) static DECR: CommandSpec = counts("DECR", 2, |call| add(call, Ok(-1)))
    .since("1.0.0")
    .words("key")
    .does("Takes one from a whole number, and answers it");

pub(in crate::resp) static INCRBY: CommandSpec = counts("INCRBY", 3, |call| add(call, call.integer(2)))
    .since("1.0.0")
    .words("key increment")
    .does("Adds to a whole number, and answers it");

pub(in crate::resp) static DECRBY: CommandSpec = counts("DECRBY", 3, |call| {
    add(call, call.integer(2)?.checked_neg().ok_or(CommandError::DecrementOverflow))
})
.since("1.0.0")
.words("key decrement")
.does("Takes from a whole number, and answers it");

pub(in crate::resp) static INCRBYFLOAT: CommandSpec = counts("INCRBYFLOAT", 3, |call| {
    asked(StringCommand::IncrementFloat { key: call.bytes(1)?, by: call.bytes(2)? })
})
.since("2.6.0")
.words("key increment")
.does("Adds to a decimal number, exactly to 17 digits after the point, and answers it");

const fn counts(name: &'static str, arity: i32, parse: Parse) -> CommandSpec {
    writes(name, arity, Keys::one(KeyUse::Write), parse).flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
}

fn add(call: &Call<'_>, by: Result<i64, CommandError>) -> Result<Command, CommandError> {
    asked(StringCommand::Increment { key: call.bytes(1)?, by: by? })
}

pub(super) fn asked(command: StringCommand) -> Result<Command, CommandError> {
    Ok(Command::Data(Data::String(command)))
}

/// Where the number of an expiry stands, and what it counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Keep,
    Never,
    Ex(usize),
    Px(usize),
    ExAt(usize),
    PxAt(usize),
}

fn plain(key: Bytes, value: Bytes) -> Set {
    let (expiry, condition) = (Expiry::Unsaid, Condition::Always);
    Set { key, value, expiry, condition, answer_previous: false }
}

fn set_until(call: &Call<'_>, unit_ms: i64) -> Result<Command, CommandError> {
    let expiry = Expiry::In { ttl_ms: span(call, 2, unit_ms)? };
    asked(StringCommand::Set(Set { expiry, ..plain(call.bytes(1)?, call.bytes(3)?) }))
}

fn get_and_end(call: &Call<'_>) -> Result<Command, CommandError> {
    let mut said = Said::Nothing;
    let mut at = 2;
    while at < call.len() {
        said = match call.is(at, "PERSIST") && matches!(said, Said::Nothing | Said::Never) {
            true => Said::Never,
            false => {
                let said = expiry_option(call, at, said).filter(|said| *said != Said::Keep);
                at += 1;
                said.ok_or(CommandError::Syntax)?
            }
        };
        at += 1;
    }
    asked(StringCommand::GetEx { key: call.bytes(1)?, expiry: expiry(call, said) })
}

/// As Redis does: options first, in any order, the same one twice being no fault; their number after.
fn set(call: &Call<'_>) -> Result<Command, CommandError> {
    let mut said = Said::Nothing;
    let mut condition = Condition::Always;
    let mut answer_previous = false;
    let mut at = 3;
    while at < call.len() {
        if call.is(at, "NX") && condition != Condition::IfPresent {
            condition = Condition::IfAbsent;
        } else if call.is(at, "XX") && condition != Condition::IfAbsent {
            condition = Condition::IfPresent;
        } else if call.is(at, "GET") {
            answer_previous = true;
        } else {
            said = expiry_option(call, at, said).ok_or(CommandError::Syntax)?;
            if said != Said::Keep {
                at += 1;
            }
        }
        at += 1;
    }
    asked(StringCommand::Set(Set {
        key: call.bytes(1)?,
        value: call.bytes(2)?,
        expiry: expiry(call, said)?,
        condition,
        answer_previous,
    }))
}

/// The expiry that the option at `at` asks for, given the one asked for before; `None` if it is no such
/// option, lacks its number, or contradicts the one before.
fn expiry_option(call: &Call<'_>, at: usize, before: Said) -> Option<Said> {
    let number = at + 1;
    let said = match () {
        () if call.is(at, "KEEPTTL") => Said::Keep,
        () if call.is(at, "EX") => Said::Ex(number),
        () if call.is(at, "PX") => Said::Px(number),
        () if call.is(at, "EXAT") => Said::ExAt(number),
        () if call.is(at, "PXAT") => Said::PxAt(number),
        () => return None,
    };
    let agrees = before == Said::Nothing || std::mem::discriminant(&before) == std::mem::discriminant(&said);
    let complete = said == Said::Keep || number < call.len();
    (agrees && complete).then_some(said)
}

fn expiry(call: &Call<'_>, said: Said) -> Result<Expiry, CommandError> {
    Ok(match said {
        Said::Nothing => Expiry::Unsaid,
        Said::Keep => Expiry::Keep,
        Said::Never => Expiry::Never,
        Said::Ex(number) => Expiry::In { ttl_ms: span(call, number, 1000)? },
        Said::Px(number) => Expiry::In { ttl_ms: span(call, number, 1)? },
        Said::ExAt(number) => Expiry::At { unix_ms: millis(call, number, 1000)? },
        Said::PxAt(number) => Expiry::At { unix_ms: millis(call, number, 1)? },
    })
}

/// The number at `index`, positive, times `unit_ms`, and not too far from now to be told as a moment.
fn span(call: &Call<'_>, index: usize, unit_ms: i64) -> Result<u64, CommandError> {
    let span = millis(call, index, unit_ms)?;
    match span <= SPAN_MS_MAX.unsigned_abs() {
        true => Ok(span),
        false => Err(CommandError::InvalidExpire { command: call.spec.name }),
    }
}

/// The number at `index`, positive, times `unit_ms`.
fn millis(call: &Call<'_>, index: usize, unit_ms: i64) -> Result<u64, CommandError> {
    let millis = call.integer(index)?.checked_mul(unit_ms).filter(|millis| *millis > 0);
    let millis = millis.and_then(|millis| u64::try_from(millis).ok());
    millis.ok_or(CommandError::InvalidExpire { command: call.spec.name })
}
