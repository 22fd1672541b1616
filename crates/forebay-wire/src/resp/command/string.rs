//! Commands on blobs: GET, MGET, SET.

use super::{Call, Command, CommandError, Condition, Expiry, Set};
use crate::resp::spec::{Access, CommandSpec, Flag, Group, KeyUse, Keys};

pub(in crate::resp) static GET: CommandSpec = CommandSpec {
    name: "GET",
    arity: 2,
    flags: &[Flag::ReadOnly, Flag::Fast],
    keys: Keys::one(KeyUse::Read),
    access: Access::Read,
    since: "1.0.0",
    group: Group::String,
    arguments: "key",
    summary: "Answers the value of a key, loading it from its source if no copy is held",
    complexity: "O(1)",
    subcommands: &[],
    parse: |call| Ok(Command::Get { key: call.bytes(1)? }),
};

pub(in crate::resp) static MGET: CommandSpec = CommandSpec {
    name: "MGET",
    arity: -2,
    flags: &[Flag::ReadOnly, Flag::Fast],
    keys: Keys::all(KeyUse::Read),
    access: Access::Read,
    since: "1.0.0",
    group: Group::String,
    arguments: "key [key ...]",
    summary: "Answers the values of several keys, loading those of which no copy is held",
    complexity: "O(N) for N keys",
    subcommands: &[],
    parse: |call| Ok(Command::MGet { keys: call.rest(1) }),
};

pub(in crate::resp) static SET: CommandSpec = CommandSpec {
    name: "SET",
    arity: -3,
    flags: &[Flag::Write, Flag::DenyOom],
    keys: Keys::one(KeyUse::Write),
    access: Access::Write,
    since: "7.0.0",
    group: Group::String,
    arguments: "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
                PXAT unix-time-milliseconds | KEEPTTL]",
    summary: "Writes a value, as the namespace of the key allows",
    complexity: "O(1)",
    subcommands: &[],
    parse: set,
};

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
    Ok(Command::Set(Set {
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
