//! Members put in and taken out.

use bytes::Bytes;
use forebay::value::{Score, SortedSet, Taken, Upsert};
use forebay_wire::resp::{Add, AddAnswer, Comparison, Condition, Double, End, Span};

use super::{Answer, Refusal, View, span};

/// `ZADD` and `ZINCRBY`. A set in which nothing changes is left alone.
pub(super) fn add(add: &Add, view: &mut View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    // A copy costs O(1), and is dropped where the command is refused.
    let mut set = view.sorted_set(&add.key)?.cloned().unwrap_or_default();
    let (mut added, mut changed, mut sum) = (0, 0, None);
    for (score, member) in &add.pairs {
        match given(&mut set, add, *score, member)? {
            None => {}
            Some((upsert, score)) => {
                added += usize::from(upsert == Upsert::Added);
                changed += usize::from(upsert != Upsert::Same);
                sum = Some(score);
            }
        }
    }
    if changed > 0 {
        *view.sorted_set_mut(&add.key)? = set;
    }
    match (add.answer, sum) {
        (AddAnswer::Added, _) => answer.count(added),
        (AddAnswer::Changed, _) => answer.count(changed),
        (AddAnswer::Sum, Some(score)) => answer.double(score.get()),
        (AddAnswer::Sum, None) => answer.null(),
    }
    Ok(())
}

/// Gives one member its score, where the options let it: what that was, and the score that it has now.
fn given(
    set: &mut SortedSet,
    add: &Add,
    score: Double,
    member: &[u8],
) -> Result<Option<(Upsert, Score)>, Refusal> {
    let mut score = span::score(score);
    match (set.score(member), add.condition) {
        (Some(_), Condition::IfAbsent) | (None, Condition::IfPresent) => return Ok(None),
        (None, _) => {}
        (Some(before), _) => {
            if add.answer == AddAnswer::Sum {
                score = Score::new(before.get() + score.get()).map_err(|_| Refusal::ScoreNotANumber)?;
            }
            let lets = match add.comparison {
                None => true,
                Some(Comparison::Greater) => score > before,
                Some(Comparison::Less) => score < before,
            };
            if !lets {
                return Ok(None);
            }
        }
    }
    Ok(Some((set.upsert(member, score), score)))
}

/// Takes members out; tells how many there were.
pub(super) fn remove(key: &[u8], members: &[Bytes], view: &mut View) -> Result<usize, Refusal> {
    let is_there = |set: &SortedSet| members.iter().any(|member| set.score(member).is_some());
    if !view.sorted_set(key)?.is_some_and(is_there) {
        return Ok(0);
    }
    let Some(set) = view.sorted_set_to_shrink(key)? else { return Ok(0) };
    Ok(members.iter().filter(|member| set.remove(member).is_some()).count())
}

/// Takes the members of a span out; tells how many there were.
pub(super) fn remove_span(key: &[u8], span: &Span, view: &mut View) -> Result<usize, Refusal> {
    let ranks = view.sorted_set(key)?.map_or(0..0, |set| span::ranks(set, span, End::Lowest));
    if ranks.is_empty() {
        return Ok(0);
    }
    Ok(view.sorted_set_to_shrink(key)?.map_or(0, |set| set.remove_ranks(ranks)))
}

/// `ZPOPMIN` and `ZPOPMAX`.
pub(super) fn pop(
    key: &[u8],
    end: End,
    count: Option<usize>,
    view: &mut View,
    answer: &mut Answer<'_>,
) -> Result<(), Refusal> {
    let taken = taken(key, end, count.unwrap_or(1), view)?;
    match (count, taken.first()) {
        // The one that was taken stands by itself in RESP3 too.
        (None, Some((member, score))) => {
            answer.array(2);
            answer.bulk(member);
            answer.double(score.get());
        }
        _ => answer.members(&taken, true),
    }
    Ok(())
}

/// `ZMPOP`.
pub(super) fn pop_of_several(
    keys: &[Bytes],
    end: End,
    count: usize,
    view: &mut View,
    answer: &mut Answer<'_>,
) -> Result<(), Refusal> {
    for key in keys {
        if view.sorted_set(key)?.is_none() {
            continue;
        }
        let taken = taken(key, end, count, view)?;
        answer.array(2);
        answer.bulk(key);
        answer.array(taken.len());
        for (member, score) in taken {
            answer.array(2);
            answer.bulk(&member);
            answer.double(score.get());
        }
        return Ok(());
    }
    answer.null_array();
    Ok(())
}

fn taken(key: &[u8], end: End, count: usize, view: &mut View) -> Result<Vec<Taken>, Refusal> {
    if view.sorted_set(key)?.is_none() || count == 0 {
        return Ok(Vec::new());
    }
    let Some(set) = view.sorted_set_to_shrink(key)? else { return Ok(Vec::new()) };
    Ok(match end {
        End::Lowest => set.pop_min(count),
        End::Highest => set.pop_max(count),
    })
}
