//! Members put in and taken out.

use super::{
    Add, AddAnswer, Call, Command, CommandError, CommandSpec, Comparison, Condition, End, Flag, KeyUse, Keys,
    SortedSetCommand, SortedSetError, asked, score, words, writes,
};
use crate::resp::number;

pub(in crate::resp) static ZADD: CommandSpec = writes("ZADD", -4, add)
    .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
    .key_flags(&[&["RW", "update"]])
    .since("6.2.0")
    .words("key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]")
    .does("Gives members scores; answers how many are new")
    .costs("O(M log N) for M members named and N of the set");

pub(in crate::resp) static ZINCRBY: CommandSpec = writes("ZINCRBY", 4, |call| {
    asked(SortedSetCommand::Add(Add {
        key: call.bytes(1)?,
        pairs: vec![(score(call, 2)?, call.bytes(3)?)],
        condition: Condition::Always,
        comparison: None,
        answer: AddAnswer::Sum,
    }))
})
.flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
.key_flags(&[&["RW", "access", "update"]])
.since("1.2.0")
.words("key increment member")
.does("Adds to the score of a member, 0 where there is none")
.costs("O(log N) for N members of the set");

pub(in crate::resp) static ZREM: CommandSpec =
    writes("ZREM", -3, |call| asked(SortedSetCommand::Rem { key: call.bytes(1)?, members: call.rest(2) }))
        .flags(&[Flag::Write, Flag::Fast])
        .key_flags(&[&["RW", "delete"]])
        .since("2.4.0")
        .words("key member [member ...]")
        .does("Takes members out; answers how many there were")
        .costs("O(M log N) for M members named and N of the set");

pub(in crate::resp) static ZPOPMIN: CommandSpec = writes("ZPOPMIN", -2, |call| pop(call, End::Lowest))
    .flags(&[Flag::Write, Flag::Fast])
    .key_flags(TAKES)
    .since("5.0.0")
    .words("key [count]")
    .does("Takes the members of the lowest scores out, and answers them")
    .costs(TAKING);

pub(in crate::resp) static ZPOPMAX: CommandSpec = writes("ZPOPMAX", -2, |call| pop(call, End::Highest))
    .flags(&[Flag::Write, Flag::Fast])
    .key_flags(TAKES)
    .since("5.0.0")
    .words("key [count]")
    .does("Takes the members of the highest scores out, and answers them")
    .costs(TAKING);

pub(in crate::resp) static ZMPOP: CommandSpec = writes("ZMPOP", -4, pop_of_several)
    .keys(Keys::counted(1, KeyUse::Write))
    .key_flags(TAKES)
    .since("7.0.0")
    .words("numkeys key [key ...] MIN | MAX [COUNT count]")
    .does("Takes members out of the first of several sets that has any, and answers them")
    .costs("O(K + M log N) for K keys named, N members of the set and M taken out");

const TAKES: &[&[&str]] = &[&["RW", "access", "delete"]];
const TAKING: &str = "O(M log N) for N members of the set and M taken out";

fn add(call: &Call<'_>) -> Result<Command, CommandError> {
    let (mut new, mut present, mut greater, mut less, mut answer) =
        (false, false, false, false, AddAnswer::Added);
    let mut at = 2;
    loop {
        match () {
            () if call.is(at, "NX") => new = true,
            () if call.is(at, "XX") => present = true,
            () if call.is(at, "GT") => greater = true,
            () if call.is(at, "LT") => less = true,
            () if call.is(at, "INCR") => answer = AddAnswer::Sum,
            () if call.is(at, "CH") && answer == AddAnswer::Sum => {}
            () if call.is(at, "CH") => answer = AddAnswer::Changed,
            () => break,
        }
        at += 1;
    }
    let left = call.len().saturating_sub(at);
    if left == 0 || left % 2 != 0 {
        return Err(CommandError::Syntax);
    }
    if new && present {
        return Err(SortedSetError::Conditions.into());
    }
    if greater && less || new && (greater || less) {
        return Err(SortedSetError::Comparisons.into());
    }
    if answer == AddAnswer::Sum && left > 2 {
        return Err(SortedSetError::SeveralSums.into());
    }
    let pairs = (at..call.len()).step_by(2).map(|at| Ok((score(call, at)?, call.bytes(at + 1)?)));
    asked(SortedSetCommand::Add(Add {
        key: call.bytes(1)?,
        pairs: pairs.collect::<Result<_, CommandError>>()?,
        condition: match (new, present) {
            (true, _) => Condition::IfAbsent,
            (_, true) => Condition::IfPresent,
            (false, false) => Condition::Always,
        },
        comparison: match (greater, less) {
            (true, _) => Some(Comparison::Greater),
            (_, true) => Some(Comparison::Less),
            (false, false) => None,
        },
        answer,
    }))
}

fn pop(call: &Call<'_>, end: End) -> Result<Command, CommandError> {
    let count = match call.len() {
        2 => None,
        3 => {
            let count = number::integer(call.word(2)?).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(CommandError::Negative)?)
        }
        _ => return Err(CommandError::Syntax),
    };
    asked(SortedSetCommand::Pop { key: call.bytes(1)?, end, count })
}

fn pop_of_several(call: &Call<'_>) -> Result<Command, CommandError> {
    let keys = positive(call, 1).ok_or(SortedSetError::NoneOfKeys)?;
    let at = keys.saturating_add(2);
    let end = match () {
        () if call.is(at, "MIN") => End::Lowest,
        () if call.is(at, "MAX") => End::Highest,
        () => return Err(CommandError::Syntax),
    };
    let count = match call.len() - at {
        1 => 1,
        2 => return Err(CommandError::Syntax),
        _ if !call.is(at + 1, "COUNT") => return Err(CommandError::Syntax),
        more => {
            let count = positive(call, at + 2).ok_or(SortedSetError::NoMembers)?;
            if more > 3 {
                return Err(CommandError::Syntax);
            }
            count
        }
    };
    asked(SortedSetCommand::MPop { keys: words(call, 2, keys)?, end, count })
}

/// The number at `index`, where it is one of 1 and more.
fn positive(call: &Call<'_>, index: usize) -> Option<usize> {
    let number = number::integer(call.word(index).ok()?)?;
    usize::try_from(number).ok().filter(|number| *number > 0)
}
