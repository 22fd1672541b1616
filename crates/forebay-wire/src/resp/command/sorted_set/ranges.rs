//! Spans of sorted sets, by rank, score or member: counted, answered, written elsewhere, removed.

use bytes::Bytes;

use super::{
    Bound, Call, Command, CommandError, CommandSpec, Double, End, Flag, KeyUse, Keys, Selection,
    SortedSetCommand, SortedSetError, Span, asked, float, reads, writes,
};

pub(in crate::resp) static ZCOUNT: CommandSpec = reads("ZCOUNT", 4, |call| {
    asked(SortedSetCommand::Count { key: call.bytes(1)?, span: scores(call, 2, 3)? })
})
.since("2.0.0")
.words("key min max")
.does("Counts the members of a range of scores")
.costs(COUNTING);

pub(in crate::resp) static ZLEXCOUNT: CommandSpec = reads("ZLEXCOUNT", 4, |call| {
    asked(SortedSetCommand::Count { key: call.bytes(1)?, span: members(call, 2, 3)? })
})
.since("2.8.9")
.words("key min max")
.does("Counts the members of a range of members that have one score")
.costs(COUNTING);

pub(in crate::resp) static ZRANGE: CommandSpec = reads("ZRANGE", -4, |call| range(call, Form::ANY))
    .flags(&[Flag::ReadOnly])
    .since("6.2.0")
    .words("key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]")
    .does("Answers the members of a range of ranks, scores or members")
    .costs(ANSWERING);

pub(in crate::resp) static ZREVRANGE: CommandSpec =
    reads("ZREVRANGE", -4, |call| range(call, Form::of(By::Rank, End::Highest)))
        .flags(&[Flag::ReadOnly])
        .since("1.2.0")
        .words("key start stop [WITHSCORES]")
        .does("Answers the members of a range of ranks, the highest score first")
        .costs(ANSWERING);

pub(in crate::resp) static ZRANGEBYSCORE: CommandSpec =
    reads("ZRANGEBYSCORE", -4, |call| range(call, Form::of(By::Score, End::Lowest)))
        .flags(&[Flag::ReadOnly])
        .since("2.0.0")
        .words("key min max [WITHSCORES] [LIMIT offset count]")
        .does("Answers the members of a range of scores, the lowest first")
        .costs(ANSWERING);

pub(in crate::resp) static ZREVRANGEBYSCORE: CommandSpec =
    reads("ZREVRANGEBYSCORE", -4, |call| range(call, Form::of(By::Score, End::Highest)))
        .flags(&[Flag::ReadOnly])
        .since("2.2.0")
        .words("key max min [WITHSCORES] [LIMIT offset count]")
        .does("Answers the members of a range of scores, the highest first")
        .costs(ANSWERING);

pub(in crate::resp) static ZRANGEBYLEX: CommandSpec =
    reads("ZRANGEBYLEX", -4, |call| range(call, Form::of(By::Member, End::Lowest)))
        .flags(&[Flag::ReadOnly])
        .since("2.8.9")
        .words("key min max [LIMIT offset count]")
        .does("Answers the members of a range of members that have one score, the first one first")
        .costs(ANSWERING);

pub(in crate::resp) static ZREVRANGEBYLEX: CommandSpec =
    reads("ZREVRANGEBYLEX", -4, |call| range(call, Form::of(By::Member, End::Highest)))
        .flags(&[Flag::ReadOnly])
        .since("2.8.9")
        .words("key max min [LIMIT offset count]")
        .does("Answers the members of a range of members that have one score, the last one first")
        .costs(ANSWERING);

pub(in crate::resp) static ZRANGESTORE: CommandSpec = writes("ZRANGESTORE", -5, |call| {
    let (selection, _) = selection(call, Form { key: 2, ..Form::ANY })?;
    asked(SortedSetCommand::RangeStore { to: call.bytes(1)?, key: call.bytes(2)?, selection })
})
.flags(&[Flag::Write, Flag::DenyOom])
.keys(Keys::two(KeyUse::Write))
.key_flags(&[&["OW", "update"], &["RO", "access"]])
.since("6.2.0")
.words("dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]")
.does("Writes the members of a range of one key to another; answers how many there are")
.costs(ANSWERING);

pub(in crate::resp) static ZREMRANGEBYRANK: CommandSpec = writes("ZREMRANGEBYRANK", 4, |call| {
    asked(SortedSetCommand::RemRange { key: call.bytes(1)?, span: ranks(call, 2, 3)? })
})
.key_flags(REMOVES)
.since("2.0.0")
.words("key start stop")
.does("Takes the members of a range of ranks out; answers how many there were")
.costs(ANSWERING);

pub(in crate::resp) static ZREMRANGEBYSCORE: CommandSpec = writes("ZREMRANGEBYSCORE", 4, |call| {
    asked(SortedSetCommand::RemRange { key: call.bytes(1)?, span: scores(call, 2, 3)? })
})
.key_flags(REMOVES)
.since("1.2.0")
.words("key min max")
.does("Takes the members of a range of scores out; answers how many there were")
.costs(ANSWERING);

pub(in crate::resp) static ZREMRANGEBYLEX: CommandSpec = writes("ZREMRANGEBYLEX", 4, |call| {
    asked(SortedSetCommand::RemRange { key: call.bytes(1)?, span: members(call, 2, 3)? })
})
.key_flags(REMOVES)
.since("2.8.9")
.words("key min max")
.does("Takes the members of a range of members that have one score out; answers how many there were")
.costs(ANSWERING);

const REMOVES: &[&[&str]] = &[&["RW", "delete"]];
const COUNTING: &str = "O(log N) for N members of the set";
const ANSWERING: &str = "O(log N + M log N) for N members of the set and M of the range";

/// What a span is told by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Member,
}

/// What the name of a command on a range says already.
#[derive(Clone, Copy)]
struct Form {
    /// The place of the key; what the span is follows it.
    key: usize,
    by: Option<By>,
    from: Option<End>,
}

impl Form {
    /// Nothing: options say it.
    const ANY: Self = Self { key: 1, by: None, from: None };

    const fn of(by: By, from: End) -> Self {
        Self { key: 1, by: Some(by), from: Some(from) }
    }
}

fn range(call: &Call<'_>, form: Form) -> Result<Command, CommandError> {
    let (selection, with_scores) = selection(call, form)?;
    asked(SortedSetCommand::Range { key: call.bytes(form.key)?, selection, with_scores })
}

/// Options first, then whether they go together, then what the span is: the order in which Redis finds faults.
fn selection(call: &Call<'_>, form: Form) -> Result<(Selection, bool), CommandError> {
    let stores = form.key != 1;
    let (mut by, mut from, mut with_scores, mut offset, mut limit) = (form.by, form.from, false, 0, -1);
    let mut at = form.key + 3;
    while at < call.len() {
        if !stores && call.is(at, "WITHSCORES") {
            with_scores = true;
        } else if call.is(at, "LIMIT") && at + 2 < call.len() {
            (offset, limit) = (call.integer(at + 1)?, call.integer(at + 2)?);
            at += 2;
        } else if from.is_none() && call.is(at, "REV") {
            from = Some(End::Highest);
        } else if by.is_none() && call.is(at, "BYLEX") {
            by = Some(By::Member);
        } else if by.is_none() && call.is(at, "BYSCORE") {
            by = Some(By::Score);
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    let (by, from) = (by.unwrap_or(By::Rank), from.unwrap_or(End::Lowest));
    if limit != -1 && by == By::Rank {
        return Err(SortedSetError::LimitOfRanks.into());
    }
    if with_scores && by == By::Member {
        return Err(SortedSetError::ScoresOfMembers.into());
    }
    let (first, second) = (form.key + 1, form.key + 2);
    // From the highest score, the highest is said first.
    let (min, max) = if from == End::Highest { (second, first) } else { (first, second) };
    let span = match by {
        By::Rank => ranks(call, first, second)?,
        By::Score => scores(call, min, max)?,
        By::Member => members(call, min, max)?,
    };
    // Of ranks nothing is skipped, whatever was said.
    let offset = if by == By::Rank { 0 } else { offset };
    Ok((Selection { span, from, offset, limit }, with_scores))
}

fn ranks(call: &Call<'_>, start: usize, stop: usize) -> Result<Span, CommandError> {
    Ok(Span::Ranks { start: call.integer(start)?, stop: call.integer(stop)? })
}

fn scores(call: &Call<'_>, min: usize, max: usize) -> Result<Span, CommandError> {
    Ok(Span::Scores { min: score_bound(call.word(min)?)?, max: score_bound(call.word(max)?)? })
}

fn score_bound(text: &[u8]) -> Result<Bound<Double>, CommandError> {
    let bound = match text {
        [b'(', text @ ..] => float::bound(text).map(Bound::Excluded),
        _ => float::bound(text).map(Bound::Included),
    };
    Ok(bound.ok_or(SortedSetError::ScoreBound)?)
}

fn members(call: &Call<'_>, min: usize, max: usize) -> Result<Span, CommandError> {
    Ok(Span::Members { min: member_bound(call.bytes(min)?)?, max: member_bound(call.bytes(max)?)? })
}

fn member_bound(text: Bytes) -> Result<Bound<Bytes>, CommandError> {
    match &text[..] {
        b"-" => Ok(Bound::First),
        b"+" => Ok(Bound::Last),
        [b'(', ..] => Ok(Bound::Excluded(text.slice(1..))),
        [b'[', ..] => Ok(Bound::Included(text.slice(1..))),
        _ => Err(SortedSetError::MemberBound.into()),
    }
}
