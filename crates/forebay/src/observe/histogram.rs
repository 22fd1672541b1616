//! Distributions of whole numbers, in fixed memory and without a lock.
//!
//! Buckets are log-linear: each power of two is cut into [`PARTS`] equal ones, as in HdrHistogram (Gil Tene,
//! <https://hdrhistogram.org>). A value is told by the middle of its bucket, at most 1/16 (6.25 %) away; below 16 exactly.
//! What a number means (milliseconds, keys) is said by whoever keeps the histogram.

use std::sync::atomic::{AtomicU64, Ordering};

/// The parts of one power of two, as an exponent of two.
const PARTS_LOG2: u32 = 3;
/// The parts of one power of two.
const PARTS: u64 = 1 << PARTS_LOG2;
/// The buckets that all 64-bit numbers fall into.
const BUCKETS: usize = 496;

/// A distribution that is being recorded. It takes 4 KB, whatever is recorded.
// Of std and not of `rt`: no promise rests on a statistic, so that the model checker has nothing to explore in it.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, sum: AtomicU64::new(0), max: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts `value`.
    pub fn record(&self, value: u64) {
        self.record_many(value, 1);
    }

    /// Counts `value` so `many` times.
    pub fn record_many(&self, value: u64, many: u64) {
        let bucket = usize::try_from(bucket_of(value)).ok().and_then(|bucket| self.buckets.get(bucket));
        let Some(bucket) = bucket.filter(|_| many > 0) else { return };
        bucket.fetch_add(many, Ordering::Relaxed);
        self.sum.fetch_add(value.wrapping_mul(many), Ordering::Relaxed);
        // The greatest value is seldom a new one: looked at first, it costs no write.
        if self.max.load(Ordering::Relaxed) < value {
            self.max.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// What has been recorded. Its parts are read one after the other, while others may record.
    #[must_use]
    pub fn snapshot(&self) -> Distribution {
        let max = self.max.load(Ordering::Relaxed);
        let sum = self.sum.load(Ordering::Relaxed);
        let buckets: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        Distribution { count: buckets.iter().sum(), buckets, sum, max }
    }
}

/// A distribution as it was at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Empty, or one count for each bucket.
    buckets: Vec<u64>,
    count: u64,
    sum: u64,
    max: u64,
}

/// Values that are told alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The least value that falls into it.
    pub least: u64,
    /// The greatest value that falls into it.
    pub most: u64,
    /// How many did.
    pub count: u64,
}

impl Distribution {
    /// How many values were recorded.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// All values added up, exactly; beyond 2⁶⁴ it begins again at zero.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// The greatest value, exactly; zero where nothing was recorded.
    #[must_use]
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// The value that `part` of `of` values do not exceed: `quantile(99, 100)` is the 99th percentile, `quantile(1, 2)` the
    /// median. At most 1/16 away from the true one. `None` where nothing was recorded, or `of` is zero.
    #[must_use]
    pub fn quantile(&self, part: u64, of: u64) -> Option<u64> {
        let wide = u128::from(self.count) * u128::from(part.min(of));
        let rank = u64::try_from(wide.div_ceil(u128::from(of).max(1))).ok()?.max(1);
        let mut reached = 0_u64;
        let bucket = self.filled().find(|bucket| {
            reached = reached.saturating_add(bucket.count);
            reached >= rank
        })?;
        (of > 0).then(|| (bucket.least + (bucket.most - bucket.least) / 2).min(self.max.max(bucket.least)))
    }

    /// The buckets into which a value fell, the least first.
    pub fn filled(&self) -> impl Iterator<Item = Bucket> {
        (0_u64..).zip(&self.buckets).filter(|(_, count)| **count > 0).map(|(bucket, &count)| {
            let (least, most) = bounds_of(bucket);
            Bucket { least, most, count }
        })
    }

    /// Adds what another distribution of the same unit holds.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine = mine.saturating_add(*theirs);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
    }
}

/// The bucket of a value. Those of the first two powers' worth of parts hold one number each.
fn bucket_of(value: u64) -> u64 {
    let shift = (value | PARTS).ilog2() - PARTS_LOG2;
    u64::from(shift) * PARTS + (value >> shift)
}

/// The least and the greatest value of a bucket.
fn bounds_of(bucket: u64) -> (u64, u64) {
    let shift = (bucket / PARTS).saturating_sub(1);
    let least = (bucket - shift * PARTS) << shift;
    (least, least + ((1 << shift) - 1))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use proptest::prelude::*;

    use super::{BUCKETS, Distribution, Histogram, bounds_of, bucket_of};

    /// Numbers of every size, not only the huge ones that most 64-bit numbers are.
    fn number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift)
    }

    fn recorded(values: &[u64]) -> Distribution {
        let histogram = Histogram::default();
        values.iter().for_each(|&value| histogram.record(value));
        histogram.snapshot()
    }

    #[test]
    fn buckets_lie_side_by_side_and_cover_every_number() {
        let mut next = 0;
        for bucket in 0..u64::try_from(BUCKETS).unwrap() {
            let (least, most) = bounds_of(bucket);
            assert_eq!(least, next, "bucket {bucket} leaves a gap");
            assert_eq!((bucket_of(least), bucket_of(most)), (bucket, bucket));
            next = most.wrapping_add(1);
        }
        assert_eq!(next, 0, "the last bucket ends before the last number");
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_values(
            mut values in prop::collection::vec(number(), 1..300), part in 0..=1000_u64,
        ) {
            let told = recorded(&values);
            values.sort_unstable();
            let rank = (values.len() * usize::try_from(part).unwrap()).div_ceil(1000).max(1);
            let truth = values[rank - 1];
            let quantile = told.quantile(part, 1000).unwrap();
            prop_assert!(quantile.abs_diff(truth) <= truth / 16, "{quantile} is told for {truth}");
            prop_assert!(quantile <= told.max());
            prop_assert_eq!(told.count(), u64::try_from(values.len()).unwrap());
            prop_assert_eq!(told.max(), *values.last().unwrap());
            prop_assert_eq!(told.sum(), values.iter().fold(0, |sum: u64, value| sum.wrapping_add(*value)));
            prop_assert_eq!(told.filled().map(|bucket| bucket.count).sum::<u64>(), told.count());
        }

        #[test]
        fn many_at_once_are_as_many_one_by_one(value in number(), many in 0..20_u64) {
            let histogram = Histogram::default();
            histogram.record_many(value, many);
            let one_by_one: Vec<u64> = (0..many).map(|_| value).collect();
            prop_assert_eq!(histogram.snapshot(), recorded(&one_by_one));
        }

        #[test]
        fn merged_is_recorded_together(
            first in prop::collection::vec(number(), 0..50), second in prop::collection::vec(number(), 0..50),
        ) {
            let mut merged = recorded(&first);
            merged.merge(&recorded(&second));
            prop_assert_eq!(merged, recorded(&[first, second].concat()));
        }
    }

    #[test]
    fn of_nothing_nothing_is_told() {
        assert_eq!(recorded(&[]).quantile(1, 2), None);
        assert_eq!(recorded(&[5]).quantile(1, 0), None);
        let mut merged = Distribution::default();
        assert_eq!(merged.quantile(1, 2), None);
        merged.merge(&recorded(&[5, 7]));
        assert_eq!((merged.quantile(1, 2), merged.quantile(1, 1)), (Some(5), Some(7)));
    }

    #[test]
    fn nothing_is_lost_where_many_record() {
        let (histogram, start) = (Histogram::default(), Barrier::new(3));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    start.wait();
                    (0..8_000_000).for_each(|number| histogram.record(number % 2));
                });
            }
        });
        let told = histogram.snapshot();
        assert_eq!((told.count(), told.max(), told.sum()), (24_000_000, 1, 12_000_000));
    }
}
