//! Spans of a set, as its ranks.

use std::ops::{Bound as Edge, Range};

use forebay::value::{Direction, Score, SortedSet};
use forebay_wire::resp::{Bound, Double, End, Selection, Span};

/// The score `number`.
pub(super) fn score(number: Double) -> Score {
    // A number that a client wrote is not NaN.
    Score::new(number.get()).unwrap_or_default()
}

/// The ranks of a span, counted from the lowest score; those that it names itself are counted from the end that is said.
pub(super) fn ranks(set: &SortedSet, span: &Span, from: End) -> Range<usize> {
    match span {
        Span::Ranks { start, stop } => set.index_ranks(*start, *stop, direction(from)),
        Span::Scores { min, max } => {
            let score = |number: &Double| score(*number);
            set.score_ranks((edge(min, score), edge(max, score)))
        }
        Span::Members { min: Bound::Last, .. } | Span::Members { max: Bound::First, .. } => 0..0,
        Span::Members { min, max } => {
            set.member_ranks((edge(min, |member| &member[..]), edge(max, |member| &member[..])))
        }
    }
}

/// The members of a selection, in the order in which they are answered.
pub(super) fn selected<'s>(set: &'s SortedSet, selection: &Selection) -> Vec<(&'s [u8], Score)> {
    let Selection { span, from, offset, limit } = selection;
    let Ok(offset) = usize::try_from(*offset) else { return Vec::new() };
    let limit = usize::try_from(*limit).ok();
    let members = set.range(set.page(ranks(set, span, *from), direction(*from), offset, limit));
    match from {
        End::Lowest => members.collect(),
        End::Highest => members.rev().collect(),
    }
}

fn direction(end: End) -> Direction {
    match end {
        End::Lowest => Direction::Up,
        End::Highest => Direction::Down,
    }
}

/// A bound of a span that is not empty: the first and the last place are no bounds there.
fn edge<'b, T, E>(bound: &'b Bound<T>, edge: impl Fn(&'b T) -> E) -> Edge<E> {
    match bound {
        Bound::Included(at) => Edge::Included(edge(at)),
        Bound::Excluded(at) => Edge::Excluded(edge(at)),
        Bound::First | Bound::Last => Edge::Unbounded,
    }
}
