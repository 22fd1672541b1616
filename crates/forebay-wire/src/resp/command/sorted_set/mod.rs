//! Commands on sorted sets.
//!
//! Rows and what reads the words of single commands are here and in the files beneath: `ranges`, `changes`, `combine`.

pub(in crate::resp) mod changes;
pub(in crate::resp) mod combine;
pub(in crate::resp) mod ranges;

use bytes::Bytes;
use thiserror::Error;

use super::scan::{self, ScanOptions};
use super::{Call, Command, CommandError, Condition, Data, Parse};
use crate::resp::float::{self, Double};
use crate::resp::spec::{Access, CommandSpec, Flag, Group, KeyUse, Keys};

/// A command on sorted sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortedSetCommand {
    /// `ZADD` and `ZINCRBY`: give members scores.
    Add(Add),
    /// `ZREM`: take members out.
    Rem {
        /// The key.
        key: Bytes,
        /// The members, at least one.
        members: Vec<Bytes>,
    },
    /// `ZCARD`: how many members there are.
    Card {
        /// The key.
        key: Bytes,
    },
    /// `ZSCORE`: the score of a member.
    Score {
        /// The key.
        key: Bytes,
        /// The member.
        member: Bytes,
    },
    /// `ZMSCORE`: the scores of several members.
    MScore {
        /// The key.
        key: Bytes,
        /// The members, at least one, as often as they were named.
        members: Vec<Bytes>,
    },
    /// `ZRANK`, `ZREVRANK`: how many members come before one.
    Rank {
        /// The key.
        key: Bytes,
        /// The member.
        member: Bytes,
        /// Where it is counted from.
        from: End,
        /// Whether its score is told too.
        with_score: bool,
    },
    /// `ZCOUNT`, `ZLEXCOUNT`: how many members a span has.
    Count {
        /// The key.
        key: Bytes,
        /// The span.
        span: Span,
    },
    /// `ZRANGE` and its like: the members of a span.
    Range {
        /// The key.
        key: Bytes,
        /// Which members.
        selection: Selection,
        /// Whether their scores are told too.
        with_scores: bool,
    },
    /// `ZRANGESTORE`: write the members of a span to another key.
    RangeStore {
        /// The key to be written.
        to: Bytes,
        /// The key to be read.
        key: Bytes,
        /// Which members.
        selection: Selection,
    },
    /// `ZREMRANGEBYRANK`, `ZREMRANGEBYSCORE`, `ZREMRANGEBYLEX`: take the members of a span out.
    RemRange {
        /// The key.
        key: Bytes,
        /// The span.
        span: Span,
    },
    /// `ZPOPMIN`, `ZPOPMAX`: take members out from one end.
    Pop {
        /// The key.
        key: Bytes,
        /// Which end.
        end: End,
        /// How many; one if `None`, which RESP3 answers without an array around it.
        count: Option<usize>,
    },
    /// `ZMPOP`: take members out of the first of several sets that has any.
    MPop {
        /// The keys, at least one.
        keys: Vec<Bytes>,
        /// From which end.
        end: End,
        /// How many, at least one.
        count: usize,
    },
    /// `ZRANDMEMBER`: members by chance.
    RandMember {
        /// The key.
        key: Bytes,
        /// How many different ones, or, negative, how many that may be the same; one outside of an array if `None`.
        count: Option<i64>,
        /// Whether their scores are told too.
        with_scores: bool,
    },
    /// `ZUNION`, `ZINTER`, `ZDIFF`: what several sets have together.
    Combine(Combined),
    /// `ZUNIONSTORE`, `ZINTERSTORE`, `ZDIFFSTORE`: write what several sets have together to a key.
    CombineStore {
        /// The key to be written.
        to: Bytes,
        /// What is written.
        of: Combined,
    },
    /// `ZINTERCARD`: how many members several sets have in common.
    InterCard {
        /// The keys, at least one.
        keys: Vec<Bytes>,
        /// Where counting ends, 0 for nowhere; what is wrong with the words is only said of keys that have sorted sets.
        limit: Result<usize, CommandError>,
    },
    /// `ZSCAN`: members, step by step.
    Scan {
        /// The key.
        key: Bytes,
        /// Where the step begins.
        cursor: u64,
        /// Which members; what is wrong with the words is only said where there is a set to look through.
        options: Result<ScanOptions, CommandError>,
    },
}

/// One end of a sorted set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// That of the lowest scores.
    Lowest,
    /// That of the highest scores.
    Highest,
}

/// Scores to be given to members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// The key.
    pub key: Bytes,
    /// Scores and members, at least one; one if the score is added.
    pub pairs: Vec<(Double, Bytes)>,
    /// Which members: all, those not there (`NX`), or those there (`XX`).
    pub condition: Condition,
    /// How a new score must stand to the one before, where there was one.
    pub comparison: Option<Comparison>,
    /// What is done with the score, and what is answered.
    pub answer: AddAnswer,
}

/// How a new score must stand to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `GT`.
    Greater,
    /// `LT`.
    Less,
}

/// What is answered when members were given scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddAnswer {
    /// How many members are new.
    Added,
    /// How many members are new or have another score: `CH`.
    Changed,
    /// The score that the one member has now, which was the one before and this together: `INCR`.
    Sum,
}

/// A span of the members of a sorted set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// From one rank to another, both included; negative ones count from the end.
    Ranks {
        /// The first.
        start: i64,
        /// The last.
        stop: i64,
    },
    /// From one score to another.
    Scores {
        /// The lowest.
        min: Bound<Double>,
        /// The highest.
        max: Bound<Double>,
    },
    /// From one member to another, where all have one score.
    Members {
        /// The first.
        min: Bound<Bytes>,
        /// The last.
        max: Bound<Bytes>,
    },
}

/// Where a span begins or ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound<T> {
    /// At this, which belongs to it.
    Included(T),
    /// At this, which does not belong to it.
    Excluded(T),
    /// Before everything: `-`.
    First,
    /// After everything: `+`.
    Last,
}

/// Members to be answered or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Of which span. Its ranks are counted from the end that they are answered from.
    pub span: Span,
    /// From which end they are answered, skipped and counted.
    pub from: End,
    /// How many are skipped; negative for all.
    pub offset: i64,
    /// How many there are at most; negative for all.
    pub limit: i64,
}

/// Several sets, and how they are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combined {
    /// Their keys, at least one.
    pub keys: Vec<Bytes>,
    /// Which members the result has.
    pub combination: Combination,
    /// How; what is wrong with the words is only said of keys that have sorted sets.
    pub options: Result<combine::Options, CommandError>,
}

/// Which members of several sets are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combination {
    /// Those of any.
    Union,
    /// Those that all have.
    Intersection,
    /// Those of the first that no other has.
    Difference,
}

/// Why words of a command on sorted sets are refused. `Display` is the text of the error reply, as Redis has it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SortedSetError {
    /// `NX` and `XX`.
    #[error("ERR XX and NX options at the same time are not compatible")]
    Conditions,
    /// Two of `GT`, `LT` and `NX`.
    #[error("ERR GT, LT, and/or NX options at the same time are not compatible")]
    Comparisons,
    /// `INCR` of several members.
    #[error("ERR INCR option supports a single increment-element pair")]
    SeveralSums,
    /// Not a score, at an end of a range of scores.
    #[error("ERR min or max is not a float")]
    ScoreBound,
    /// Not an end of a range of members.
    #[error("ERR min or max not valid string range item")]
    MemberBound,
    /// `LIMIT` of a range of ranks.
    #[error("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")]
    LimitOfRanks,
    /// `WITHSCORES` of a range of members.
    #[error("ERR syntax error, WITHSCORES not supported in combination with BYLEX")]
    ScoresOfMembers,
    /// No sets to put together.
    #[error("ERR at least 1 input key is needed for '{}' command", .command.to_ascii_lowercase())]
    NoKeys {
        /// The command's name in capitals.
        command: &'static str,
    },
    /// A weight that is no number.
    #[error("ERR weight value is not a float")]
    Weight,
    /// A negative `LIMIT` of `ZINTERCARD`, or none at all.
    #[error("ERR LIMIT can't be negative")]
    NegativeLimit,
    /// No keys to take members from.
    #[error("ERR numkeys should be greater than 0")]
    NoneOfKeys,
    /// No members to be taken.
    #[error("ERR count should be greater than 0")]
    NoMembers,
}

/// The row of a command on sorted sets that reads.
const fn reads(name: &'static str, arity: i32, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::SortedSet, name, arity, Access::Read, parse)
        .keys(Keys::one(KeyUse::Read))
        .flags(&[Flag::ReadOnly, Flag::Fast])
}

/// The row of a command on sorted sets that writes.
const fn writes(name: &'static str, arity: i32, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::SortedSet, name, arity, Access::Write, parse)
        .keys(Keys::one(KeyUse::Write))
        .flags(&[Flag::Write])
}

pub(in crate::resp) static ZCARD: CommandSpec =
    reads("ZCARD", 2, |call| asked(SortedSetCommand::Card { key: call.bytes(1)? }))
        .key_flags(&[&["RO"]])
        .since("1.2.0")
        .words("key")
        .does("Counts the members");

pub(in crate::resp) static ZSCORE: CommandSpec =
    reads("ZSCORE", 3, |call| asked(SortedSetCommand::Score { key: call.bytes(1)?, member: call.bytes(2)? }))
        .since("1.2.0")
        .words("key member")
        .does("Answers the score of a member");

pub(in crate::resp) static ZMSCORE: CommandSpec = reads("ZMSCORE", -3, |call| {
    asked(SortedSetCommand::MScore { key: call.bytes(1)?, members: call.rest(2) })
})
.since("6.2.0")
.words("key member [member ...]")
.does("Answers the scores of several members")
.costs("O(N) for N members named");

pub(in crate::resp) static ZRANK: CommandSpec = reads("ZRANK", -3, |call| rank(call, End::Lowest))
    .since("7.2.0")
    .words("key member [WITHSCORE]")
    .does("Answers how many members come before one, the lowest score first")
    .costs("O(log N) for N members of the set");

pub(in crate::resp) static ZREVRANK: CommandSpec = reads("ZREVRANK", -3, |call| rank(call, End::Highest))
    .since("7.2.0")
    .words("key member [WITHSCORE]")
    .does("Answers how many members come before one, the highest score first")
    .costs("O(log N) for N members of the set");

pub(in crate::resp) static ZRANDMEMBER: CommandSpec = reads("ZRANDMEMBER", -2, |call| {
    let (count, with_scores) = call.random("WITHSCORES")?;
    asked(SortedSetCommand::RandMember { key: call.bytes(1)?, count, with_scores })
})
.flags(&[Flag::ReadOnly])
.since("6.2.0")
.words("key [count [WITHSCORES]]")
.does("Answers members by chance: different ones, or any where the count is negative")
.costs("O(N log N) for N members answered");

pub(in crate::resp) static ZSCAN: CommandSpec = reads("ZSCAN", -3, |call| {
    asked(SortedSetCommand::Scan {
        key: call.bytes(1)?,
        cursor: scan::cursor(call, 2)?,
        options: scan::options(call, 3),
    })
})
.flags(&[Flag::ReadOnly])
.since("2.8.0")
.words("key cursor [MATCH pattern] [COUNT count]")
.does("Answers members and their scores step by step; one that is there all the while is told exactly once")
.costs("O(N) for N members looked at in the step");

fn asked(command: SortedSetCommand) -> Result<Command, CommandError> {
    Ok(Command::Data(Data::SortedSet(command)))
}

fn rank(call: &Call<'_>, from: End) -> Result<Command, CommandError> {
    let with_score = match call.len() {
        3 => false,
        4 if call.is(3, "WITHSCORE") => true,
        4 => return Err(CommandError::Syntax),
        _ => return Err(call.wrong_arity()),
    };
    asked(SortedSetCommand::Rank { key: call.bytes(1)?, member: call.bytes(2)?, from, with_score })
}

/// The score at `index`.
fn score(call: &Call<'_>, index: usize) -> Result<Double, CommandError> {
    float::strict(call.word(index)?).ok_or(CommandError::NotAFloat)
}

/// The words from `first` on, as many as `count`, to be kept.
fn words(call: &Call<'_>, first: usize, count: usize) -> Result<Vec<Bytes>, CommandError> {
    (first..first.saturating_add(count)).map(|index| call.bytes(index)).collect()
}
