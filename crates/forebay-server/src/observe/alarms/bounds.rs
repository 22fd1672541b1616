//! Whether the reads of a namespace were within their bounds, over a window that moves.
//!
//! It is told from what the engine counts anyway, so that a read pays nothing for it: counts and distributions grow, and the window is the
//! difference between two looks. No read has its time measured: one that memory or the tier below answers takes none here, and one that
//! waited is taken to have waited as the loads of the window did. What is told to be slow is therefore so for a share of the readers, not for
//! one that is known.

use std::collections::VecDeque;
use std::time::Duration;

use forebay::observe::{Distribution, Histograms};
use forebay::rt::Tick;
use forebay::{Blob, Counts, Namespace};

use crate::configuration::Bounds;
use crate::configuration::units::show_duration;

/// Into so many parts a window is cut; as many looks are kept, and one.
const PARTS: u32 = 60;
/// The p99 is out of bounds where more than one in so many is slower.
const ONE_IN: u64 = 100;

/// What was counted up to one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// All reads.
    reads: u64,
    /// Those that did not wait for the source.
    hits: u64,
    /// Those that waited for it, until it answered or failed.
    waited: u64,
    /// Loads, and those that took too long, or whose keys waited too long before.
    loads: u64,
    slow: u64,
}

impl Sample {
    /// What `namespace` has counted so far.
    pub(super) fn of(namespace: &Namespace<Blob>, latency_max: Option<Duration>) -> Self {
        Self::from(&namespace.counts(), latency_max, || namespace.histograms())
    }

    fn from(counts: &Counts, latency_max: Option<Duration>, histograms: impl FnOnce() -> Histograms) -> Self {
        let hits = counts.hits + counts.shared_hits + counts.stale;
        let (loads, slow) = latency_max.map_or((0, 0), |latency_max| {
            let histograms = histograms();
            let slow = slower(&histograms.load_ms, latency_max) + slower(&histograms.wait_ms, latency_max);
            (histograms.load_ms.count(), slow)
        });
        Self {
            reads: hits + counts.misses + counts.errors,
            hits,
            waited: counts.misses + counts.errors_source + counts.errors_timeout,
            loads,
            slow,
        }
    }

    /// What was counted since `before`; nothing where that is of other counters, as after a reload.
    fn since(self, before: Self) -> Option<Self> {
        Some(Self {
            reads: self.reads.checked_sub(before.reads)?,
            hits: self.hits.checked_sub(before.hits)?,
            waited: self.waited.checked_sub(before.waited)?,
            loads: self.loads.checked_sub(before.loads)?,
            slow: self.slow.checked_sub(before.slow)?,
        })
    }

    /// How many of the reads took too long.
    fn slow_reads(self) -> u64 {
        let slow = u128::from(self.waited) * u128::from(self.slow) / u128::from(self.loads.max(1));
        u64::try_from(slow).unwrap_or(u64::MAX).min(self.waited)
    }

    /// What of it is out of `bounds`.
    fn out_of(self, bounds: &Bounds) -> Option<String> {
        let Self { reads, hits, .. } = self;
        if reads < bounds.requests_min {
            return None;
        }
        if let Some(least) = bounds.hit_rate_min {
            let least = u64::from(least);
            if u128::from(hits) * 100 < u128::from(reads) * u128::from(least) {
                let rate = u128::from(hits) * 100 / u128::from(reads.max(1));
                let namespace = &bounds.namespace;
                return Some(format!("{namespace}: hit rate {rate} % of {reads} reads, below {least} %"));
            }
        }
        let longest = bounds.latency_max?;
        let slow = self.slow_reads();
        (u128::from(slow) * u128::from(ONE_IN) > u128::from(reads)).then(|| {
            let (namespace, longest) = (&bounds.namespace, show_duration(longest));
            format!("{namespace}: {slow} of {reads} reads took longer than {longest}")
        })
    }
}

/// How many values of `told` are above `most`, where that can be told for certain.
fn slower(told: &Distribution, most: Duration) -> u64 {
    let most_ms = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    told.filled().filter(|bucket| bucket.least > most_ms).map(|bucket| bucket.count).sum()
}

/// What was counted within a window that moves.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<(Tick, Sample)>);

impl Window {
    /// Looks at `sample`, counted up to `now`; what of the last `span` is out of `bounds`.
    pub(super) fn look(
        &mut self,
        now: Tick,
        sample: Sample,
        span: Duration,
        bounds: &Bounds,
    ) -> Option<String> {
        let Self(looks) = self;
        // The oldest that is kept is the last one from before the window.
        while looks.get(1).is_some_and(|(at, _)| now.since(*at) >= span) {
            looks.pop_front();
        }
        let first = looks.front().map(|(_, first)| *first);
        let Some(counted) = sample.since(first.unwrap_or(sample)) else {
            looks.clear();
            looks.push_back((now, Sample::default()));
            return None;
        };
        if looks.back().is_none_or(|(at, _)| now.since(*at) >= span / PARTS) {
            looks.push_back((now, sample));
        }
        counted.out_of(bounds)
    }
}

#[cfg(test)]
mod tests {
    use forebay::observe::Histogram;

    use super::*;

    fn bounds(hit_rate_min: Option<u8>, latency_max_ms: Option<u64>) -> Bounds {
        let latency_max = latency_max_ms.map(Duration::from_millis);
        Bounds { namespace: "n".into(), hit_rate_min, latency_max, requests_min: 100 }
    }

    fn sample(hits: u64, waited: u64, loads: u64, slow: u64) -> Sample {
        Sample { reads: hits + waited, hits, waited, loads, slow }
    }

    #[test]
    fn a_share_is_out_of_bounds_just_below_them() {
        for (hits, waited, out) in [(80, 20, false), (79, 21, true), (0, 99, false), (0, 100, true)] {
            let told = sample(hits, waited, 0, 0).out_of(&bounds(Some(80), None));
            assert_eq!(told.is_some(), out, "{hits} of {}: {told:?}", hits + waited);
        }
        let told = sample(300, 700, 0, 0).out_of(&bounds(Some(80), None));
        assert_eq!(told.unwrap(), "n: hit rate 30 % of 1000 reads, below 80 %");
    }

    #[test]
    fn one_read_in_a_hundred_may_be_slow() {
        for (hits, waited, loads, slow, out) in [
            (990, 10, 10, 10, false),
            (989, 11, 11, 11, true),
            (900, 100, 1_000, 100, false),
            (900, 100, 1_000, 110, true),
            // Many wait for one load.
            (0, 1_000, 1, 1, true),
            // Loads whose keys waited too, and took too long: nobody waits twice.
            (989, 11, 11, 22, true),
            (995, 5, 5, 10, false),
            // Refreshes in the background, for which nobody waits.
            (1_000, 0, 50, 50, false),
            (900, 100, 0, 0, false),
        ] {
            let told = sample(hits, waited, loads, slow).out_of(&bounds(None, Some(50)));
            assert_eq!(told.is_some(), out, "{hits} {waited} {loads} {slow}: {told:?}");
        }
        let told = sample(0, 1_000, 10, 1).out_of(&bounds(None, Some(50)));
        assert_eq!(told.unwrap(), "n: 100 of 1000 reads took longer than 50ms");
    }

    #[test]
    fn what_is_counted_makes_a_sample() {
        let (load, wait) = (Histogram::default(), Histogram::default());
        [1, 50, 51, 5_000].into_iter().for_each(|ms| load.record(ms));
        [0, 0, 0, 80].into_iter().for_each(|ms| wait.record(ms));
        let counts = Counts {
            hits: 5,
            shared_hits: 2,
            stale: 1,
            misses: 4,
            errors: 3,
            errors_source: 1,
            errors_timeout: 1,
            ..Counts::default()
        };
        let histograms =
            || Histograms { load_ms: load.snapshot(), wait_ms: wait.snapshot(), ..Histograms::default() };
        let told = Sample::from(&counts, Some(Duration::from_millis(50)), histograms);
        // 51 shares its part of the distribution with 50.
        assert_eq!(told, Sample { reads: 15, hits: 8, waited: 6, loads: 4, slow: 2 });
        assert_eq!(Sample::from(&counts, None, || panic!("nobody asks")).slow, 0);
    }

    #[test]
    fn a_window_forgets_what_is_older() {
        let (mut window, bounds) = (Window::default(), bounds(Some(80), None));
        let mut look = |at_s: u64, sample| {
            window.look(Tick::from_ms(at_s * 1_000), sample, Duration::from_secs(10), &bounds).is_some()
        };
        assert!(
            !look(0, sample(0, 500, 0, 0)),
            "what was before the first look is not known to be of the window"
        );
        assert!(!look(1, sample(0, 599, 0, 0)), "too few to tell");
        assert!(look(2, sample(0, 600, 0, 0)));
        assert!(look(10, sample(0, 600, 0, 0)));
        assert!(!look(12, sample(0, 600, 0, 0)), "it was longer ago");
        assert!(!look(13, sample(80, 620, 0, 0)));
        assert!(look(14, sample(80, 621, 0, 0)));
        assert!(!look(15, sample(0, 99, 0, 0)), "other counters begin anew");
        assert!(look(16, sample(0, 100, 0, 0)));
        for at_s in 17..1_000 {
            look(at_s, sample(0, 100, 0, 0));
        }
        assert!(window.0.len() <= 12, "{} looks are kept", window.0.len());
    }
}
