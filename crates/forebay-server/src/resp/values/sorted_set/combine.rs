//! Several sets put together.

use bytes::Bytes;
use forebay::value::{Aggregate, Score, SortedSet};
use forebay_wire::resp::{self, Combination, CombineOptions, Combined, CommandError};

use super::{Answer, Refusal, View, span};

/// Answers what the sets have together.
pub(super) fn answer(combined: &Combined, view: &View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    let set = whole(combined, view)?;
    let with_scores = combined.options.as_ref().is_ok_and(|options| options.with_scores);
    answer.members(&set.iter().collect::<Vec<_>>(), with_scores);
    Ok(())
}

/// What the sets have together. Whether keys have sorted sets is said before what is wrong with the words after them.
pub(super) fn whole(combined: &Combined, view: &View) -> Result<SortedSet, Refusal> {
    let Combined { keys, combination, options } = combined;
    let none = SortedSet::new();
    let sets = sets(keys, &none, view)?;
    let CombineOptions { weights, aggregate, .. } = options.as_ref().map_err(CommandError::clone)?;
    let weights = weights.iter().map(|weight| span::score(*weight)).chain(std::iter::repeat(Score::ONE));
    let aggregate = match aggregate {
        resp::Aggregate::Sum => Aggregate::Sum,
        resp::Aggregate::Min => Aggregate::Min,
        resp::Aggregate::Max => Aggregate::Max,
    };
    Ok(match combination {
        Combination::Union => SortedSet::union(&sets.into_iter().zip(weights).collect::<Vec<_>>(), aggregate),
        Combination::Intersection => {
            SortedSet::intersection(&sets.into_iter().zip(weights).collect::<Vec<_>>(), aggregate)
        }
        Combination::Difference => SortedSet::difference(&sets),
    })
}

/// How many members all sets have; counted up to `limit`, where that is not 0.
pub(super) fn count(
    keys: &[Bytes],
    limit: Result<usize, CommandError>,
    view: &View,
) -> Result<usize, Refusal> {
    let none = SortedSet::new();
    let sets = sets(keys, &none, view)?;
    let limit = match limit? {
        0 => usize::MAX,
        limit => limit,
    };
    Ok(SortedSet::common_len(&sets, limit))
}

/// The sets of the keys; `none` where there is none.
fn sets<'v>(keys: &[Bytes], none: &'v SortedSet, view: &'v View) -> Result<Vec<&'v SortedSet>, Refusal> {
    keys.iter().map(|key| Ok(view.sorted_set(key)?.unwrap_or(none))).collect()
}
