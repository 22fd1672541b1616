//! Commands on sorted sets.

mod change;
mod combine;
mod span;

use forebay::value::{Score, SortedSet};
use forebay_wire::resp::{CommandError, End, ScanOptions, SortedSetCommand, Version, reply};

use super::{Answer, Refusal, View, draw, scan};

pub(super) fn run(
    command: &SortedSetCommand,
    view: &mut View,
    answer: &mut Answer<'_>,
) -> Result<(), Refusal> {
    match command {
        SortedSetCommand::Add(add) => change::add(add, view, answer)?,
        SortedSetCommand::Rem { key, members } => answer.count(change::remove(key, members, view)?),
        SortedSetCommand::Card { key } => answer.count(view.sorted_set(key)?.map_or(0, SortedSet::len)),
        SortedSetCommand::Score { key, member } => score(view.sorted_set(key)?, member, answer),
        SortedSetCommand::MScore { key, members } => {
            let set = view.sorted_set(key)?;
            answer.array(members.len());
            members.iter().for_each(|member| score(set, member, answer));
        }
        SortedSetCommand::Rank { key, member, from, with_score } => {
            rank(view.sorted_set(key)?, member, *from, *with_score, answer);
        }
        SortedSetCommand::Count { key, span } => {
            answer.count(view.sorted_set(key)?.map_or(0, |set| span::ranks(set, span, End::Lowest).len()));
        }
        SortedSetCommand::Range { key, selection, with_scores } => {
            let members = view.sorted_set(key)?.map(|set| span::selected(set, selection));
            answer.members(&members.unwrap_or_default(), *with_scores);
        }
        SortedSetCommand::RangeStore { to, key, selection } => {
            let members = view.sorted_set(key)?.map(|set| span::selected(set, selection));
            let set: SortedSet = members.into_iter().flatten().collect();
            store(to, set, view, answer)?;
        }
        SortedSetCommand::RemRange { key, span } => answer.count(change::remove_span(key, span, view)?),
        SortedSetCommand::Pop { key, end, count } => change::pop(key, *end, *count, view, answer)?,
        SortedSetCommand::MPop { keys, end, count } => {
            change::pop_of_several(keys, *end, *count, view, answer)?;
        }
        SortedSetCommand::RandMember { key, count, with_scores } => {
            let set = view.sorted_set(key)?;
            let nth = |place| set?.nth(place);
            let tell = |answer: &mut Answer<'_>, score: Score| answer.double(score.get());
            draw::answer(*count, set.map_or(0, SortedSet::len), nth, with_scores.then_some(tell), answer);
        }
        SortedSetCommand::Combine(combined) => combine::answer(combined, view, answer)?,
        SortedSetCommand::CombineStore { to, of } => {
            let set = combine::whole(of, view)?;
            store(to, set, view, answer)?;
        }
        SortedSetCommand::InterCard { keys, limit } => {
            let limit = limit.as_ref().map(|limit| *limit);
            answer.count(combine::count(keys, limit.map_err(CommandError::clone), view)?);
        }
        SortedSetCommand::Scan { key, cursor, options } => match view.sorted_set(key)? {
            None => scan::nothing(answer),
            Some(set) => step(set, *cursor, options.as_ref().map_err(Clone::clone)?, answer),
        },
    }
    Ok(())
}

fn score(set: Option<&SortedSet>, member: &[u8], answer: &mut Answer<'_>) {
    match set.and_then(|set| set.score(member)) {
        Some(score) => answer.double(score.get()),
        None => answer.null(),
    }
}

fn rank(set: Option<&SortedSet>, member: &[u8], from: End, with_score: bool, answer: &mut Answer<'_>) {
    let found = set.and_then(|set| {
        let rank = match from {
            End::Lowest => set.rank(member),
            End::Highest => set.rev_rank(member),
        };
        rank.zip(set.score(member))
    });
    match found {
        None if with_score => answer.null_array(),
        None => answer.null(),
        Some((rank, score)) => {
            if with_score {
                answer.array(2);
            }
            answer.count(rank);
            if with_score {
                answer.double(score.get());
            }
        }
    }
}

/// Writes `set` to `to`, whatever was there; one without members is none. Answers how many members it has.
fn store(to: &[u8], set: SortedSet, view: &mut View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    let count = set.len();
    match count {
        0 => drop(view.take(to)?),
        _ => view.replace(to, set.into())?,
    }
    answer.count(count);
    Ok(())
}

fn step(set: &SortedSet, cursor: u64, options: &ScanOptions, answer: &mut Answer<'_>) {
    let page = set.scan(cursor, options.count);
    // A score is a string here in RESP3 too.
    scan::step(page, options, answer, |answer, score| reply::double(answer.out, Version::Resp2, score.get()));
}

impl Answer<'_> {
    /// Members, with their scores where they are asked for.
    fn members<M: AsRef<[u8]>>(&mut self, members: &[(M, Score)], with_scores: bool) {
        let tell = |answer: &mut Answer<'_>, score: Score| answer.double(score.get());
        self.names(members, with_scores.then_some(tell));
    }
}
