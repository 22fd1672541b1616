//! Sorted sets: members with scores, in the order of their scores.
//!
//! Every member has one place, its *rank*, counted from 0: by score, and among equal scores by its bytes. Every range, be
//! it by score, by member or by index, is first made a range of ranks, in O(log n); its length is the count, and it is
//! read, paged, reversed or removed as such.
//!
//! Semantics are those of Redis 7. Scores are doubles without NaN. Zero has no sign: -0 becomes 0, as it does in the small
//! sets of Redis. Infinities are scores like others; a sum of both is refused ([`ScoreError`]), except in unions and
//! intersections, where it is 0.
//!
//! A clone costs O(1) and a change O(log n), also beside clones that readers hold.

use std::cmp::Ordering;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;

use super::length;
use super::name::{Alias, Name, Page, Sought, scan};
use super::tree::{Change, Iter, Tree, Weigh};

/// Why a score was refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// NaN has no place in an order.
    #[error("a score is not a number (NaN): give a number or an infinity")]
    NotANumber,
    /// The sum of two opposite infinities.
    #[error("resulting score is not a number (NaN): {score} changed by {by}; the score stays as it is")]
    Sum {
        /// The member's score.
        score: f64,
        /// What was to be added.
        by: f64,
    },
}

/// A score: a double that is neither NaN nor -0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score(f64);

impl Score {
    /// 0.
    pub const ZERO: Self = Self(0.0);
    /// 1: the weight that changes nothing.
    pub const ONE: Self = Self(1.0);

    /// The score `number`; 0 for -0.
    ///
    /// # Errors
    /// [`ScoreError::NotANumber`].
    pub fn new(number: f64) -> Result<Self, ScoreError> {
        if number.is_nan() { Err(ScoreError::NotANumber) } else { Ok(Self::or_zero(number)) }
    }

    /// Its number; neither NaN nor -0.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// The number, or 0 for NaN: what Redis makes of it in unions and intersections.
    fn or_zero(number: f64) -> Self {
        // Adding 0 takes the sign from -0 and changes nothing else.
        Self(if number.is_nan() { 0.0 } else { number + 0.0 })
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        // Without NaN, all doubles compare.
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)
    }
}

impl From<i32> for Score {
    fn from(number: i32) -> Self {
        Self(number.into())
    }
}

impl Weigh for Score {
    fn heap_bytes(&self) -> u64 {
        0
    }
}

/// A member's place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    score: Score,
    member: Alias,
}

impl Weigh for Place {
    fn heap_bytes(&self) -> u64 {
        self.member.heap_bytes()
    }
}

/// What an upsert found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upsert {
    /// The member is new.
    Added,
    /// It had another score.
    Changed {
        /// The score it had.
        from: Score,
    },
    /// It had this score already.
    Same,
}

/// How the scores of one member are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    /// Their sum; 0 where that is not a number.
    #[default]
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

impl Aggregate {
    /// `other` may be NaN: neither less nor greater, and no number when added.
    fn apply(self, score: Score, other: f64) -> Score {
        match self {
            Self::Sum => Score::or_zero(score.0 + other),
            Self::Min if other < score.0 => Score::or_zero(other),
            Self::Max if other > score.0 => Score::or_zero(other),
            Self::Min | Self::Max => score,
        }
    }
}

/// From which end ranks are counted or read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the lowest score up.
    #[default]
    Up,
    /// From the highest score down.
    Down,
}

/// A member that was taken out, and its score.
pub type Taken = (Arc<[u8]>, Score);

/// A member of a sorted set as it is from some version on, however often it is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberChange {
    /// The member.
    pub member: Bytes,
    /// Its score; `None` takes it out.
    pub score: Option<Score>,
}

impl MemberChange {
    /// Makes the member of `set` so.
    pub(super) fn apply(&self, set: &mut SortedSet) {
        match self.score {
            Some(score) => drop(set.upsert(&self.member, score)),
            None => drop(set.remove(&self.member)),
        }
    }
}

/// Members with scores.
///
/// ```
/// use std::ops::Bound;
/// use forebay::value::{Direction, Score, SortedSet};
///
/// let mut board: SortedSet = [("ada", 30), ("bob", 20), ("cy", 20)].into_iter().collect();
/// board.upsert(b"bob", Score::from(40));
/// assert_eq!(board.rank(b"bob"), Some(2));
/// let from_thirty = board.score_ranks((Bound::Included(Score::from(30)), Bound::Unbounded));
/// assert_eq!(from_thirty.len(), 2);
/// let best = board.page(from_thirty, Direction::Down, 0, Some(1));
/// assert_eq!(board.range(best).next(), Some((&b"bob"[..], Score::from(40))));
/// ```
#[derive(Clone, Default)]
pub struct SortedSet {
    scores: Tree<Name, Score>,
    /// The same members by their places.
    places: Tree<Place, ()>,
}

impl SortedSet {
    /// A set without members, which stands for one that does not exist.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// The score of `member`.
    #[must_use]
    pub fn score(&self, member: &[u8]) -> Option<Score> {
        self.scores.get_by(Sought::new(member).order()).map(|(_, score)| *score)
    }

    /// Puts `member` in with `score`, or gives it that score: an absolute change, which may be made again. The score that it
    /// has already is no change.
    pub fn upsert(&mut self, member: &[u8], score: Score) -> Upsert {
        let sought = Sought::new(member);
        match self.scores.get_by(sought.order()).map(|(_, score)| *score) {
            Some(from) if from == score => Upsert::Same,
            Some(from) => {
                if let Some((place, ())) = self.places.remove_by(at(from, member)) {
                    self.places.insert(Place { score, ..place }, ());
                    // The member was found above, so that there is a score to replace.
                    let _ = self.scores.replace_by(sought.order(), score);
                }
                Upsert::Changed { from }
            }
            None => {
                let name = sought.to_name();
                self.places.insert(Place { score, member: name.alias() }, ());
                self.scores.insert(name, score);
                Upsert::Added
            }
        }
    }

    /// Adds `by` to the score of `member`, which starts at 0 where it is new; gives the new score. As `ZINCRBY`.
    ///
    /// # Errors
    /// [`ScoreError::Sum`] for opposite infinities; nothing is changed.
    pub fn increment(&mut self, member: &[u8], by: Score) -> Result<Score, ScoreError> {
        let sum = match self.score(member) {
            Some(score) => {
                Score::new(score.0 + by.0).map_err(|_| ScoreError::Sum { score: score.0, by: by.0 })?
            }
            None => by,
        };
        self.upsert(member, sum);
        Ok(sum)
    }

    /// Takes `member` out; gives the score it had.
    pub fn remove(&mut self, member: &[u8]) -> Option<Score> {
        let (_, score) = self.scores.remove_by(Sought::new(member).order())?;
        self.places.remove_by(at(score, member));
        Some(score)
    }

    /// How many members come before `member`.
    #[must_use]
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        self.places.rank_by(at(self.score(member)?, member))
    }

    /// How many members come after `member`.
    #[must_use]
    pub fn rev_rank(&self, member: &[u8]) -> Option<usize> {
        Some(self.len() - 1 - self.rank(member)?)
    }

    /// The member of a rank, and its score.
    #[must_use]
    pub fn nth(&self, rank: usize) -> Option<(&[u8], Score)> {
        self.places.nth(rank).map(|(place, ())| (place.member.bytes(), place.score))
    }

    /// The ranks from `start` to `stop`, both included, as `ZRANGE`: negative numbers count from the end, and what is beyond
    /// the ends is left out. With [`Direction::Down`] they count from the highest score, as `ZREVRANGE`; the ranks given are
    /// always those from the lowest.
    #[must_use]
    pub fn index_ranks(&self, start: i64, stop: i64, direction: Direction) -> Range<usize> {
        let count = i64::try_from(self.len()).unwrap_or(i64::MAX);
        let from_start = |index: i64| if index < 0 { index.saturating_add(count) } else { index };
        let start = from_start(start).clamp(0, count);
        let end = from_start(stop).saturating_add(1).clamp(start, count);
        let ranks = index(start)..index(end);
        match direction {
            Direction::Up => ranks,
            Direction::Down => self.len() - ranks.end..self.len() - ranks.start,
        }
    }

    /// The ranks of scores within `bounds`, as `ZRANGEBYSCORE`; its length is `ZCOUNT`.
    #[must_use]
    pub fn score_ranks(&self, bounds: impl RangeBounds<Score>) -> Range<usize> {
        let start = match bounds.start_bound() {
            Bound::Included(min) => self.places.partition_point(|place| place.score < *min),
            Bound::Excluded(min) => self.places.partition_point(|place| place.score <= *min),
            Bound::Unbounded => 0,
        };
        let end = match bounds.end_bound() {
            Bound::Included(max) => self.places.partition_point(|place| place.score <= *max),
            Bound::Excluded(max) => self.places.partition_point(|place| place.score < *max),
            Bound::Unbounded => self.len(),
        };
        start..end.max(start)
    }

    /// The ranks of members within `bounds`, as `ZRANGEBYLEX`; its length is `ZLEXCOUNT`. It means something only where all
    /// members have one score; where they do not, the ranks are within the set and otherwise unspecified.
    #[must_use]
    pub fn member_ranks(&self, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Range<usize> {
        let start = match bounds.0 {
            Bound::Included(min) => self.places.partition_point(|place| place.member.bytes() < min),
            Bound::Excluded(min) => self.places.partition_point(|place| place.member.bytes() <= min),
            Bound::Unbounded => 0,
        };
        let end = match bounds.1 {
            Bound::Included(max) => self.places.partition_point(|place| place.member.bytes() <= max),
            Bound::Excluded(max) => self.places.partition_point(|place| place.member.bytes() < max),
            Bound::Unbounded => self.len(),
        };
        start..end.max(start)
    }

    /// The part of `ranks` that is left after `offset` of them are skipped and `limit` taken, seen from the end that
    /// `direction` says: `LIMIT offset count`.
    #[must_use]
    pub fn page(
        &self,
        ranks: Range<usize>,
        direction: Direction,
        offset: usize,
        limit: Option<usize>,
    ) -> Range<usize> {
        let limit = limit.unwrap_or(usize::MAX);
        match direction {
            Direction::Up => {
                let start = ranks.start.saturating_add(offset).min(ranks.end.max(ranks.start));
                start..start.saturating_add(limit).min(ranks.end.max(start))
            }
            Direction::Down => {
                let end = ranks.end.saturating_sub(offset).max(ranks.start);
                end.saturating_sub(limit).max(ranks.start)..end
            }
        }
    }

    /// The members of these ranks, from the lowest; `rev()` reads them from the highest, and `nth` skips in O(log n).
    #[must_use]
    pub fn range(&self, ranks: Range<usize>) -> Members<'_> {
        Members(self.places.range(ranks))
    }

    /// All members, from the lowest score.
    #[must_use]
    pub fn iter(&self) -> Members<'_> {
        Members(self.places.iter())
    }

    /// Takes the members of these ranks out; tells how many there were. O(k log n) for k members.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) -> usize {
        let before = self.len();
        for _ in ranks.start.min(before)..ranks.end.min(before) {
            self.take(ranks.start);
        }
        before - self.len()
    }

    /// Takes the `count` members of the lowest scores out, the lowest first: `ZPOPMIN`.
    pub fn pop_min(&mut self, count: usize) -> Vec<Taken> {
        (0..count.min(self.len())).filter_map(|_| self.take(0)).collect()
    }

    /// Takes the `count` members of the highest scores out, the highest first: `ZPOPMAX`.
    pub fn pop_max(&mut self, count: usize) -> Vec<Taken> {
        (0..count.min(self.len())).filter_map(|_| self.take(self.len().checked_sub(1)?)).collect()
    }

    fn take(&mut self, rank: usize) -> Option<Taken> {
        let (place, ()) = self.places.nth(rank)?;
        let place = place.clone();
        self.places.remove_by(|it| it.cmp(&place));
        self.scores.remove_by(Sought::new(place.member.bytes()).order());
        Some((place.member.into_bytes(), place.score))
    }

    /// All members of `sets`, each set's scores times its weight: `ZUNION`. A product that is not a number counts as 0. The
    /// sets are taken from the smallest, which decides how sums are rounded.
    #[must_use]
    pub fn union(sets: &[(&Self, Score)], aggregate: Aggregate) -> Self {
        let mut sets = sets.to_vec();
        sets.sort_by_key(|(set, _)| set.len());
        let mut union = Tree::<Name, Score>::default();
        for (set, weight) in sets {
            for (name, score) in set.scores.iter() {
                let score = Score::or_zero(score.0 * weight.0);
                let before = union.get_by(|it| it.cmp(name)).map(|(_, before)| *before);
                union.insert(name.clone(), before.map_or(score, |before| aggregate.apply(before, score.0)));
            }
        }
        Self::of_scores(union)
    }

    /// The members that all `sets` have, each set's scores times its weight: `ZINTER`. The sets are taken from the smallest,
    /// which decides how sums are rounded. A product that is not a number (0 times an infinity) counts as 0 in the first
    /// of them; in another it makes a sum 0, and is neither least nor greatest, as in Redis.
    #[must_use]
    pub fn intersection(sets: &[(&Self, Score)], aggregate: Aggregate) -> Self {
        let mut sets = sets.to_vec();
        sets.sort_by_key(|(set, _)| set.len());
        let Some(((smallest, weight), others)) = sets.split_first() else { return Self::new() };
        let scores = smallest.scores.iter().filter_map(|(name, score)| {
            let first = Score::or_zero(score.0 * weight.0);
            let score = others.iter().try_fold(first, |sum, (set, weight)| {
                let (_, score) = set.scores.get_by(|it| it.cmp(name))?;
                Some(aggregate.apply(sum, score.0 * weight.0))
            })?;
            Some((name.clone(), score))
        });
        Self::of_scores(Tree::from_sorted(scores.collect()))
    }

    /// The members of the first of `sets` that no other has, with their scores: `ZDIFF`.
    #[must_use]
    pub fn difference(sets: &[&Self]) -> Self {
        let Some((first, others)) = sets.split_first() else { return Self::new() };
        let has = |set: &&Self, name: &Name| set.scores.get_by(|it| it.cmp(name)).is_some();
        let scores = first.scores.iter().filter(|(name, _)| !others.iter().any(|set| has(set, name)));
        Self::of_scores(Tree::from_sorted(scores.map(|(name, score)| (name.clone(), *score)).collect()))
    }

    /// How many members all `sets` have, counted up to `limit`: `ZINTERCARD`.
    #[must_use]
    pub fn common_len(sets: &[&Self], limit: usize) -> usize {
        let Some(smallest) = sets.iter().min_by_key(|set| set.len()) else { return 0 };
        let has = |set: &&Self, name: &Name| set.scores.get_by(|it| it.cmp(name)).is_some();
        let common = smallest.scores.iter().filter(|(name, _)| sets.iter().all(|set| has(set, name)));
        common.take(limit).count()
    }

    fn of_scores(scores: Tree<Name, Score>) -> Self {
        let mut places: Vec<_> =
            scores.iter().map(|(name, score)| (Place { score: *score, member: name.alias() }, ())).collect();
        places.sort_unstable_by(|(a, ()), (b, ())| a.cmp(b));
        Self { places: Tree::from_sorted(places), scores }
    }

    /// Members from `cursor` on (0 begins), about `count` of them, and the cursor to go on with (0 ends), as `ZSCAN`. A
    /// member that is there all the while is seen, exactly once, whatever else changes, reloads included.
    #[must_use]
    pub fn scan(&self, cursor: u64, count: usize) -> Page<(&[u8], Score)> {
        let Page { cursor, entries } = scan(&self.scores, cursor, count);
        Page { cursor, entries: entries.into_iter().map(|(member, score)| (member, *score)).collect() }
    }

    /// What makes `old` this: members with their scores, `None` where a member is gone. Where one is a clone of the other that was
    /// changed, what they share is not looked at.
    #[must_use]
    pub fn changes_since(&self, old: &Self) -> Vec<MemberChange> {
        let mut changes = Vec::new();
        self.scores.changes_since(&old.scores, |change| {
            let (member, score) = match change {
                Change::Put(member, score) => (member, Some(*score)),
                Change::Removed(member) => (member, None),
            };
            changes.push(MemberChange { member: Bytes::copy_from_slice(member.bytes()), score });
        });
        changes
    }

    /// What it weighs, in bytes; what it shares with clones is counted in each.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        length(size_of::<Self>())
            .saturating_add(self.scores.weight_bytes())
            .saturating_add(self.places.weight_bytes())
    }

    /// Checks the structure: order, balance, weights, and that scores and places agree.
    ///
    /// # Errors
    /// What does not hold.
    pub fn validate(&self) -> Result<(), String> {
        self.scores.validate()?;
        self.places.validate()?;
        if self.scores.len() != self.places.len() {
            return Err(format!("{} scores, {} places", self.scores.len(), self.places.len()));
        }
        match self.iter().find(|(member, score)| self.score(member) != Some(*score)) {
            Some((member, score)) => Err(format!("{member:?} has its place at {score:?} and another score")),
            None => Ok(()),
        }
    }
}

/// How a place stands to that of `member` with `score`.
fn at(score: Score, member: &[u8]) -> impl Fn(&Place) -> Ordering {
    move |place| place.score.cmp(&score).then_with(|| place.member.bytes().cmp(member))
}

/// A number between 0 and a length, as an index.
fn index(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

impl<M: AsRef<[u8]>, S: Into<Score>> FromIterator<(M, S)> for SortedSet {
    /// Of a member that comes twice, the later score counts.
    fn from_iter<I: IntoIterator<Item = (M, S)>>(members: I) -> Self {
        let mut named: Vec<_> =
            members.into_iter().map(|(member, score)| (Name::new(member.as_ref()), score.into())).collect();
        // Stable, and reversed before: the last of equal names comes first, and stays.
        named.reverse();
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        named.dedup_by(|(later, _), (first, _)| later == first);
        Self::of_scores(Tree::from_sorted(named))
    }
}

impl fmt::Debug for SortedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SortedSet({} members)", self.len())
    }
}

/// Members and their scores, in order.
pub struct Members<'a>(Iter<'a, Place, ()>);

fn told<'a>((place, ()): (&'a Place, &'a ())) -> (&'a [u8], Score) {
    (place.member.bytes(), place.score)
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], Score);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(told)
    }

    fn nth(&mut self, skipped: usize) -> Option<Self::Item> {
        self.0.nth(skipped).map(told)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Members<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(told)
    }

    fn nth_back(&mut self, skipped: usize) -> Option<Self::Item> {
        self.0.nth_back(skipped).map(told)
    }
}

impl ExactSizeIterator for Members<'_> {}
impl FusedIterator for Members<'_> {}
