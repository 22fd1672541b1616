//! Commands on blobs: GET, MGET, SET.

use bytes::Bytes;

use super::{Call, Command, CommandError, Data, Parse};
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
    /// `SET`: write a value.
    Set(Set),
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

/// How long a value written is kept. Times are positive and fit an `i64` of milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// Nothing said: without end, or as the namespace declares.
    #[default]
    Unsaid,
    /// `KEEPTTL`: as long as the value before.
    Keep,
    /// `EX`, `PX`: this long from now, in milliseconds. Adding it to a clock can overflow, which Redis
    /// answers with [`CommandError::InvalidExpire`].
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

fn asked(command: StringCommand) -> Result<Command, CommandError> {
    Ok(Command::Data(Data::String(command)))
}

/// Where the number of an expiry stands, and what it counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Keep,
    Ex(usize),
    Px(usize),
    ExAt(usize),
    PxAt(usize),
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
        Said::Ex(number) => Expiry::In { ttl_ms: millis(call, number, 1000)? },
        Said::Px(number) => Expiry::In { ttl_ms: millis(call, number, 1)? },
        Said::ExAt(number) => Expiry::At { unix_ms: millis(call, number, 1000)? },
        Said::PxAt(number) => Expiry::At { unix_ms: millis(call, number, 1)? },
    })
}

/// The number at `index`, positive, times `unit_ms`.
fn millis(call: &Call<'_>, index: usize, unit_ms: i64) -> Result<u64, CommandError> {
    let millis = call.integer(index)?.checked_mul(unit_ms).filter(|millis| *millis > 0);
    let millis = millis.and_then(|millis| u64::try_from(millis).ok());
    millis.ok_or(CommandError::InvalidExpire { command: call.spec.name })
}
