//! Several sorted sets put together: unions, intersections, differences.

use bytes::Bytes;

use super::{
    Access, Call, Combination, Combined, Command, CommandError, CommandSpec, Double, Flag, Group, KeyUse,
    Keys, Parse, SortedSetCommand, SortedSetError, asked, float, words,
};
use crate::resp::number;

/// How the scores of sets that are put together become one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// What each set's scores are multiplied by, in the order of the keys; nothing where empty.
    pub weights: Vec<Double>,
    /// What becomes of the scores of one member.
    pub aggregate: Aggregate,
    /// Whether scores are told too.
    pub with_scores: bool,
}

/// What becomes of the scores of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aggregate {
    /// They are added.
    #[default]
    Sum,
    /// The least counts.
    Min,
    /// The greatest counts.
    Max,
}

const fn reads(name: &'static str, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::SortedSet, name, -3, Access::Read, parse)
        .keys(Keys::counted(1, KeyUse::Read))
        .flags(&[Flag::ReadOnly])
}

const fn stores(name: &'static str, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::SortedSet, name, -4, Access::Write, parse)
        .keys(Keys::one_and_counted(2, KeyUse::Write))
        .key_flags(&[&["OW", "update"], &["RO", "access"]])
        .flags(&[Flag::Write, Flag::DenyOom])
}

pub(in crate::resp) static ZUNION: CommandSpec =
    reads("ZUNION", |call| asked(SortedSetCommand::Combine(combined(call, 1, Combination::Union)?)))
        .since("6.2.0")
        .words("numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]")
        .does("Answers the members of all sets")
        .costs(COST);

pub(in crate::resp) static ZINTER: CommandSpec =
    reads("ZINTER", |call| asked(SortedSetCommand::Combine(combined(call, 1, Combination::Intersection)?)))
        .since("6.2.0")
        .words("numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]")
        .does("Answers the members that all sets have")
        .costs(COST);

pub(in crate::resp) static ZDIFF: CommandSpec =
    reads("ZDIFF", |call| asked(SortedSetCommand::Combine(combined(call, 1, Combination::Difference)?)))
        .since("6.2.0")
        .words("numkeys key [key ...] [WITHSCORES]")
        .does("Answers the members of the first set that no other has")
        .costs(COST);

pub(in crate::resp) static ZINTERCARD: CommandSpec = reads("ZINTERCARD", |call| {
    let count = count(call, 1)?;
    asked(SortedSetCommand::InterCard { keys: words(call, 2, count)?, limit: limit(call, 2 + count) })
})
.since("7.0.0")
.words("numkeys key [key ...] [LIMIT limit]")
.does("Counts the members that all sets have")
.costs(COST);

pub(in crate::resp) static ZUNIONSTORE: CommandSpec =
    stores("ZUNIONSTORE", |call| combined_store(call, Combination::Union))
        .since("2.0.0")
        .words("destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX]")
        .does("Writes the members of all sets to a key; answers how many there are")
        .costs(COST);

pub(in crate::resp) static ZINTERSTORE: CommandSpec =
    stores("ZINTERSTORE", |call| combined_store(call, Combination::Intersection))
        .since("2.0.0")
        .words("destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX]")
        .does("Writes the members that all sets have to a key; answers how many there are")
        .costs(COST);

pub(in crate::resp) static ZDIFFSTORE: CommandSpec =
    stores("ZDIFFSTORE", |call| combined_store(call, Combination::Difference))
        .since("6.2.0")
        .words("destination numkeys key [key ...]")
        .does("Writes the members of the first set that no other has to a key; answers how many there are")
        .costs(COST);

const COST: &str = "O(N log N) for N members of all sets";

fn combined_store(call: &Call<'_>, combination: Combination) -> Result<Command, CommandError> {
    asked(SortedSetCommand::CombineStore { to: call.bytes(1)?, of: combined(call, 2, combination)? })
}

/// What is to be put together, with the number of keys at `at`.
fn combined(call: &Call<'_>, at: usize, combination: Combination) -> Result<Combined, CommandError> {
    let count = count(call, at)?;
    let keys: Vec<Bytes> = words(call, at + 1, count)?;
    // The destination of a command that stores stands before the number: scores go there, and not to the client.
    let options = options(call, at + 1 + count, count, combination, at == 1);
    Ok(Combined { keys, combination, options })
}

/// How many keys follow the word at `at`.
fn count(call: &Call<'_>, at: usize) -> Result<usize, CommandError> {
    let count = call.integer(at)?;
    let count = usize::try_from(count).ok().filter(|count| *count > 0);
    let count = count.ok_or(SortedSetError::NoKeys { command: call.spec.name })?;
    if count > call.len() - (at + 1) {
        return Err(CommandError::Syntax);
    }
    Ok(count)
}

fn options(
    call: &Call<'_>,
    first: usize,
    keys: usize,
    combination: Combination,
    answers: bool,
) -> Result<Options, CommandError> {
    let mut options = Options::default();
    let has_scores = combination != Combination::Difference;
    let mut at = first;
    while at < call.len() {
        if has_scores && call.is(at, "WEIGHTS") && keys < call.len() - at {
            let weight = |at| Ok(float::strict(call.word(at)?).ok_or(SortedSetError::Weight)?);
            options.weights = (at + 1..=at + keys).map(weight).collect::<Result<_, CommandError>>()?;
            at += keys;
        } else if has_scores && call.is(at, "AGGREGATE") && at + 1 < call.len() {
            at += 1;
            options.aggregate = match () {
                () if call.is(at, "SUM") => Aggregate::Sum,
                () if call.is(at, "MIN") => Aggregate::Min,
                () if call.is(at, "MAX") => Aggregate::Max,
                () => return Err(CommandError::Syntax),
            };
        } else if answers && call.is(at, "WITHSCORES") {
            options.with_scores = true;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    Ok(options)
}

fn limit(call: &Call<'_>, first: usize) -> Result<usize, CommandError> {
    let mut limit = 0;
    for at in (first..call.len()).step_by(2) {
        if !call.is(at, "LIMIT") || at + 1 == call.len() {
            return Err(CommandError::Syntax);
        }
        let number = number::integer(call.word(at + 1)?).and_then(|number| usize::try_from(number).ok());
        limit = number.ok_or(SortedSetError::NegativeLimit)?;
    }
    Ok(limit)
}
