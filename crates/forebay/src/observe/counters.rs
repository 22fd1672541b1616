//! What has happened in one namespace, counted.
//!
//! Counters are striped. Up to [`OWNED`] threads at a time own a stripe each, where nobody else writes, so that they add
//! by a load and a store; what a hit pays is a few cycles, where an atomic addition is some twenty even when nobody disputes
//! it. All other threads share the rest of the stripes, by atomic additions. Reading adds the stripes up. Nothing is ever
//! lost, whichever stripe a thread has; between two counters a snapshot may be torn.
//!
//! The list of counters is written once, below: [`Counts`], the stripes and the catalogue ([`Counts::each`]) are made
//! from it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::{
    BehindEnd, Distribution, Freshness, Histogram, ReachKind, ReadFailure, ReadOutcome, RefreshEnd, Refusal,
    Tier, Why, WriteOutcome,
};

/// Of so many answers one has its age recorded.
pub const AGE_SAMPLED_ONE_IN: u64 = 64;

/// Stripes in all; a power of two.
const STRIPES: usize = 16;
/// The first stripes, which belong to one thread at a time.
const OWNED: usize = 12;

macro_rules! counters {
    ($($(#[doc = $meaning:literal])+ $name:ident,)+) => {
        /// What has happened in one namespace since it was built. A snapshot; its numbers are read one after the other.
        ///
        /// Every read is counted in exactly one of `hits`, `shared_hits`, `misses`, `stale` and `errors`, every write in
        /// exactly one of those that begin with `writes_`.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[doc = $meaning])+ pub $name: u64,)+
        }

        impl Counts {
            /// Every counter with its meaning, in the order of their declaration.
            pub fn each(&self) -> impl Iterator<Item = Count> + use<> {
                [$(Count { name: stringify!($name), meaning: concat!($($meaning),+).trim_ascii(), count: self.$name },)+]
                    .into_iter()
            }
        }

        /// The counters of the threads that share it. Two cache lines apart from the next: processors fetch them in pairs.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        struct Stripe {
            $($name: AtomicU64,)+
        }

        impl Stripe {
            fn add_to(&self, counts: &mut Counts) {
                $(counts.$name += self.$name.load(Ordering::Relaxed);)+
            }
        }
    };
}

counters! {
    /// Fresh values and believed absences from memory; keys that cannot exist.
    hits,
    /// Of the hits, those that said that the key does not exist.
    negative_hits,
    /// Of these, those of keys that are kept without a source and may have been invalidated elsewhere, unheard.
    withheld,
    /// Answers from the shared tier.
    shared_hits,
    /// Reads that waited for a load.
    misses,
    /// Stale values served.
    stale,
    /// Of these, those served while a refresh ran.
    stale_revalidating,
    /// Of these, those served because the source failed.
    stale_source_failed,
    /// Of these, those served because the load took longer than the soft time-out.
    stale_slow_source,
    /// Of these, those served because the queue before the source was full.
    stale_overloaded,
    /// Of these, those served because the breaker was open.
    stale_breaker_open,
    /// Reads that ended in an error.
    errors,
    /// Of these, those where the source failed.
    errors_source,
    /// Of these, those where the source took too long.
    errors_timeout,
    /// Of these, those where the queue before the source was full.
    errors_overloaded,
    /// Of these, those where the breaker was open.
    errors_breaker_open,
    /// Of these, those where the load ended without an answer.
    errors_lost,
    /// Of these, those that asked for what cannot be read.
    errors_key,
    /// Reads that found a load of their key in flight and waited for it.
    joined,
    /// Keys that another instance was loading, and that were waited for.
    lease_waits,
    /// Keys that another instance was loading, loaded beside it because too many waited.
    lease_waits_refused,
    /// Loads asked of the source, one for a batch.
    loads,
    /// Of the loads, those of more than one key.
    batches,
    /// Keys asked of the source, in all loads together.
    keys_asked,
    /// Refreshes begun: loads of values that were still served meanwhile.
    refreshes_started,
    /// Refreshes that brought another value.
    refreshes_changed,
    /// Refreshes that brought the same value, or one that nobody read.
    refreshes_wasted,
    /// Keys that the full queue before the source turned away.
    shed,
    /// Keys that the open breaker kept from the source.
    breaker_refusals,
    /// Keys that the membership filter kept from the source.
    membership_refusals,
    /// Loaded values that were not stored.
    refused_fills,
    /// Of these, those that an invalidation fenced off.
    refused_fills_fenced,
    /// Of these, those older than the version held.
    refused_fills_older,
    /// Of these, those that had expired on arrival.
    refused_fills_expired,
    /// Of these, those too large to be kept.
    refused_fills_too_large,
    /// Invalidations of one key.
    invalidations_key,
    /// Invalidations by a tag.
    invalidations_tag,
    /// Invalidations by the beginning of keys.
    invalidations_prefix,
    /// Invalidations of the namespace.
    invalidations_namespace,
    /// Invalidations of the keyspace.
    invalidations_all,
    /// Invalidations that the shared tier refused to be told of; they are done here, and told again.
    records_refused,
    /// Values written and held.
    writes_kept,
    /// Writes that the sink applied.
    writes_applied,
    /// Writes that a store took.
    writes_stored,
    /// Writes journaled, for the sink to apply later.
    writes_journaled,
    /// Copies dropped by a write.
    writes_dropped,
    /// Writes that invalidated.
    writes_invalidated,
    /// Writes that expired what was held.
    writes_expired,
    /// Writes refused.
    writes_refused,
    /// Writes that failed without effect.
    writes_failed,
    /// Written values too large to be kept.
    writes_too_large,
    /// Writes done here and confirmed by no other.
    writes_unconfirmed,
    /// Journaled writes that the sink has applied.
    behind_applied,
    /// Journaled writes without effect, since a later one of their key was to be applied.
    behind_overtaken,
    /// Journaled writes that the sink failed, to be tried again.
    behind_retried,
    /// Journaled writes that became dead letters.
    behind_parked,
    /// Dead letters that were to be applied again.
    behind_revived,
    /// Dead letters that were dropped.
    behind_dropped,
}

/// One counter of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Its name, as the field of [`Counts`].
    pub name: &'static str,
    /// What it counts, in a sentence.
    pub meaning: &'static str,
    /// The number.
    pub count: u64,
}

/// The distributions of one namespace since it was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histograms {
    /// How old answers were when they were served, in milliseconds; one in [`AGE_SAMPLED_ONE_IN`] is recorded.
    pub age_ms: Distribution,
    /// How long the source took to answer or fail, in milliseconds.
    pub load_ms: Distribution,
    /// How many keys went to the source at once.
    pub batch_keys: Distribution,
    /// How long keys waited in the queue before the source, in milliseconds.
    pub wait_ms: Distribution,
}

/// The counters behind [`Counts`] and [`Histograms`]. They take 22 KB.
#[derive(Debug, Default)]
pub struct Counters {
    stripes: Box<[Stripe; STRIPES]>,
    age_ms: Histogram,
    load_ms: Histogram,
    batch_keys: Histogram,
    wait_ms: Histogram,
}

impl Counters {
    /// A read ended in `outcome`.
    pub fn read(&self, outcome: &ReadOutcome) {
        self.read_from(outcome.tier, outcome.freshness, || outcome.age);
    }

    /// A read was answered by `tier`; `age` is asked for where the answer's is recorded.
    #[inline]
    pub fn read_from(&self, tier: Tier, freshness: Freshness, age: impl FnOnce() -> Duration) {
        let Some(Desk { stripe, add }) = self.desk() else { return };
        let before = match (freshness, tier) {
            (Freshness::Stale(why), _) => {
                add.to(stripe.stale_by(why), 1);
                add.to(&stripe.stale, 1)
            }
            (_, Tier::Source) => add.to(&stripe.misses, 1),
            (_, Tier::Shared) => add.to(&stripe.shared_hits, 1),
            (Freshness::Fresh, Tier::Memory | Tier::Nowhere) => add.to(&stripe.hits, 1),
            (Freshness::Absent, Tier::Memory | Tier::Nowhere) => {
                add.to(&stripe.negative_hits, 1);
                add.to(&stripe.hits, 1)
            }
        };
        if is_sampled(before) && tier != Tier::Nowhere {
            self.age_ms.record(ms(age()));
        }
    }

    /// A read found a kept value that is suspect, and says that there is none.
    pub fn withheld(&self) {
        self.count(|stripe| &stripe.withheld);
    }

    /// A read ended in `failure`.
    pub fn read_failed(&self, failure: ReadFailure) {
        self.count(|stripe| &stripe.errors);
        self.count(|stripe| match failure {
            ReadFailure::Source => &stripe.errors_source,
            ReadFailure::Timeout => &stripe.errors_timeout,
            ReadFailure::Overloaded => &stripe.errors_overloaded,
            ReadFailure::BreakerOpen => &stripe.errors_breaker_open,
            ReadFailure::Lost => &stripe.errors_lost,
            ReadFailure::Key => &stripe.errors_key,
        });
    }

    /// A write ended in `outcome`.
    pub fn wrote(&self, outcome: WriteOutcome) {
        self.count(|stripe| match outcome {
            WriteOutcome::Kept => &stripe.writes_kept,
            WriteOutcome::Applied => &stripe.writes_applied,
            WriteOutcome::Stored => &stripe.writes_stored,
            WriteOutcome::Journaled => &stripe.writes_journaled,
            WriteOutcome::Dropped => &stripe.writes_dropped,
            WriteOutcome::Invalidated => &stripe.writes_invalidated,
            WriteOutcome::Expired => &stripe.writes_expired,
            WriteOutcome::Refused => &stripe.writes_refused,
            WriteOutcome::Failed => &stripe.writes_failed,
            WriteOutcome::TooLarge => &stripe.writes_too_large,
            WriteOutcome::Unconfirmed => &stripe.writes_unconfirmed,
        });
    }

    /// `many` journaled writes came to `end`.
    pub fn behind(&self, end: BehindEnd, many: u64) {
        self.count_many(many, |stripe| match end {
            BehindEnd::Applied => &stripe.behind_applied,
            BehindEnd::Overtaken => &stripe.behind_overtaken,
            BehindEnd::Retried => &stripe.behind_retried,
            BehindEnd::Parked => &stripe.behind_parked,
            BehindEnd::Revived => &stripe.behind_revived,
            BehindEnd::Dropped => &stripe.behind_dropped,
        });
    }

    /// The membership filter kept a key from the source.
    pub fn membership_refused(&self) {
        self.count(|stripe| &stripe.membership_refusals);
    }

    /// A read found a load of its key in flight, and waits for it.
    pub fn joined(&self) {
        self.count(|stripe| &stripe.joined);
    }

    /// Other instances load keys: `waiting` of them are waited for, and `refused` find no place to wait.
    pub fn lease_waits(&self, waiting: u64, refused: u64) {
        self.count_many(waiting, |stripe| &stripe.lease_waits);
        self.count_many(refused, |stripe| &stripe.lease_waits_refused);
    }

    /// The source was asked for `keys` keys at once.
    pub fn asked(&self, keys: usize) {
        let keys = u64::try_from(keys).unwrap_or(u64::MAX);
        self.count(|stripe| &stripe.loads);
        self.count_many(keys, |stripe| &stripe.keys_asked);
        if keys > 1 {
            self.count(|stripe| &stripe.batches);
        }
        self.batch_keys.record(keys);
    }

    /// The source answered or failed after `span`.
    pub fn load_took(&self, span: Duration) {
        self.load_ms.record(ms(span));
    }

    /// A key has waited for `span` in the queue before the source, and leaves it.
    pub fn waited(&self, span: Duration) {
        self.wait_ms.record(ms(span));
    }

    /// A load begins of a value that is still served.
    pub fn refresh_started(&self) {
        self.count(|stripe| &stripe.refreshes_started);
    }

    /// It is known what a refresh was good for. One that failed is not told here.
    pub fn refresh_ended(&self, end: RefreshEnd) {
        self.count(|stripe| match end {
            RefreshEnd::Changed => &stripe.refreshes_changed,
            RefreshEnd::Wasted => &stripe.refreshes_wasted,
        });
    }

    /// The full queue before the source turned `keys` keys away.
    pub fn shed(&self, keys: u64) {
        self.count_many(keys, |stripe| &stripe.shed);
    }

    /// The open breaker kept `keys` keys from the source.
    pub fn breaker_refused(&self, keys: u64) {
        self.count_many(keys, |stripe| &stripe.breaker_refusals);
    }

    /// A loaded value was not stored, for `reason`.
    pub fn fill_refused(&self, reason: Refusal) {
        self.count(|stripe| &stripe.refused_fills);
        self.count(|stripe| match reason {
            Refusal::Fenced => &stripe.refused_fills_fenced,
            Refusal::Older => &stripe.refused_fills_older,
            Refusal::Expired => &stripe.refused_fills_expired,
            Refusal::TooLarge => &stripe.refused_fills_too_large,
        });
    }

    /// An invalidation that takes in what `reach` says concerned the namespace, whoever made it.
    pub fn invalidated(&self, reach: ReachKind) {
        self.count(|stripe| match reach {
            ReachKind::Key => &stripe.invalidations_key,
            ReachKind::Tag => &stripe.invalidations_tag,
            ReachKind::Prefix => &stripe.invalidations_prefix,
            ReachKind::Namespace => &stripe.invalidations_namespace,
            ReachKind::All => &stripe.invalidations_all,
        });
    }

    /// The shared tier refused to be told of an invalidation that concerns the namespace.
    pub fn record_refused(&self) {
        self.count(|stripe| &stripe.records_refused);
    }

    /// The numbers now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.stripes.iter().for_each(|stripe| stripe.add_to(&mut counts));
        counts
    }

    /// The distributions now.
    #[must_use]
    pub fn histograms(&self) -> Histograms {
        Histograms {
            age_ms: self.age_ms.snapshot(),
            load_ms: self.load_ms.snapshot(),
            batch_keys: self.batch_keys.snapshot(),
            wait_ms: self.wait_ms.snapshot(),
        }
    }

    /// Where the calling thread counts.
    fn desk(&self) -> Option<Desk<'_>> {
        let (place, add) = place();
        Some(Desk { stripe: self.stripes.get(place)?, add })
    }

    fn count(&self, counter: impl FnOnce(&Stripe) -> &AtomicU64) {
        self.count_many(1, counter);
    }

    fn count_many(&self, many: u64, counter: impl FnOnce(&Stripe) -> &AtomicU64) {
        if let Some(Desk { stripe, add }) = self.desk() {
            add.to(counter(stripe), many);
        }
    }
}

impl Stripe {
    fn stale_by(&self, why: Why) -> &AtomicU64 {
        match why {
            Why::Revalidating => &self.stale_revalidating,
            Why::SourceFailed => &self.stale_source_failed,
            Why::SlowSource => &self.stale_slow_source,
            Why::Overloaded => &self.stale_overloaded,
            Why::BreakerOpen => &self.stale_breaker_open,
        }
    }
}

/// Where a thread counts, and how.
struct Desk<'a> {
    stripe: &'a Stripe,
    add: Add,
}

/// How a thread adds to the stripe that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Add {
    /// Nobody else writes there.
    Alone,
    /// Others may add at the same time.
    Shared,
}

impl Add {
    /// Adds `many`; what was there before.
    fn to(self, counter: &AtomicU64, many: u64) -> u64 {
        match self {
            Self::Alone => {
                let before = counter.load(Ordering::Relaxed);
                counter.store(before.wrapping_add(many), Ordering::Relaxed);
                before
            }
            Self::Shared => counter.fetch_add(many, Ordering::Relaxed),
        }
    }
}

/// Whether the event that follows `before` others of its kind is recorded: the first, and then one in
/// [`AGE_SAMPLED_ONE_IN`], in steps of the golden ratio, so that no rhythm of the readers falls in with that of the sample.
fn is_sampled(before: u64) -> bool {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    before.wrapping_mul(GOLDEN) < u64::MAX / AGE_SAMPLED_ONE_IN
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The owned stripes that are taken, a bit each. A stripe's next owner sees all that its last one wrote: it takes the bit
/// by an acquiring operation, which the last one gave back by a releasing one.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// A thread's stripe, in the counters of every namespace, from the first time it counts until it ends.
#[derive(Debug)]
struct Place {
    number: usize,
    add: Add,
}

impl Place {
    fn take() -> Self {
        static NEXT_SHARED: AtomicUsize = AtomicUsize::new(0);
        let free = |taken: usize| (0..OWNED).find(|number| taken & (1 << number) == 0);
        let with_one_more = |taken| free(taken).map(|number| taken | (1 << number));
        match TAKEN.fetch_update(Ordering::Acquire, Ordering::Relaxed, with_one_more).ok().and_then(free) {
            Some(number) => Self { number, add: Add::Alone },
            None => {
                let turn = NEXT_SHARED.fetch_add(1, Ordering::Relaxed);
                Self { number: OWNED + turn % (STRIPES - OWNED), add: Add::Shared }
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.add == Add::Alone {
            TAKEN.fetch_and(!(1 << self.number), Ordering::Release);
        }
    }
}

/// The calling thread's stripe, and how it adds there. A thread that is ending may have given its own back.
fn place() -> (usize, Add) {
    thread_local! {
        static PLACE: Place = Place::take();
    }
    PLACE.try_with(|place| (place.number, place.add)).unwrap_or((OWNED, Add::Shared))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{AGE_SAMPLED_ONE_IN, Add, Counters, Counts, OWNED, STRIPES, is_sampled, place};
    use crate::observe::{
        Freshness, ReachKind, ReadFailure, ReadOutcome, RefreshEnd, Refusal, Tier, Why, WriteOutcome,
    };
    use crate::rt::Tick;

    fn outcome(tier: Tier, freshness: Freshness) -> ReadOutcome {
        let age = Duration::from_millis(40);
        ReadOutcome {
            tier,
            freshness,
            began: Tick::default(),
            age,
            fresh_for: Duration::ZERO,
            stale_for: Duration::ZERO,
        }
    }

    fn every_outcome() -> Vec<ReadOutcome> {
        let goods = [Freshness::Fresh, Freshness::Absent];
        let stale = Why::ALL.iter().map(|&why| Freshness::Stale(why));
        let freshnesses: Vec<Freshness> = goods.into_iter().chain(stale).collect();
        let of_tier = |&tier: &Tier| freshnesses.iter().map(move |&freshness| outcome(tier, freshness));
        Tier::ALL.iter().flat_map(of_tier).collect()
    }

    fn reads(counts: &Counts) -> u64 {
        counts.hits + counts.shared_hits + counts.misses + counts.stale + counts.errors
    }

    fn by_prefix(counts: &Counts, prefix: &str) -> u64 {
        counts.each().filter(|one| one.name.starts_with(prefix)).map(|one| one.count).sum()
    }

    #[test]
    fn every_read_is_counted_once_and_by_its_reason() {
        let counters = Counters::default();
        let outcomes = every_outcome();
        outcomes.iter().for_each(|outcome| counters.read(outcome));
        ReadFailure::ALL.iter().for_each(|&failure| counters.read_failed(failure));
        let counts = counters.counts();
        let ended = outcomes.len() + ReadFailure::ALL.len();
        assert_eq!(reads(&counts), u64::try_from(ended).unwrap());
        assert_eq!(by_prefix(&counts, "stale_"), counts.stale);
        assert_eq!(by_prefix(&counts, "errors_"), counts.errors);
        assert!(counts.each().filter(|one| one.name.starts_with("errors_")).all(|one| one.count == 1));
        assert_eq!((counts.hits, counts.negative_hits), (4, 2));
    }

    #[test]
    fn every_write_is_counted_once() {
        let counters = Counters::default();
        WriteOutcome::ALL.iter().for_each(|&outcome| counters.wrote(outcome));
        for &outcome in WriteOutcome::ALL {
            let name = format!("writes_{outcome}");
            let count = counters.counts().each().find(|one| one.name == name).unwrap();
            assert_eq!(count.count, 1, "{name}");
        }
    }

    #[test]
    fn what_has_a_reason_is_counted_by_its_word() {
        let counters = Counters::default();
        Refusal::ALL.iter().for_each(|&reason| counters.fill_refused(reason));
        ReachKind::ALL.iter().for_each(|&reach| counters.invalidated(reach));
        RefreshEnd::ALL.iter().for_each(|&end| counters.refresh_ended(end));
        let counts = counters.counts();
        assert_eq!(counts.refused_fills, 4);
        let words = Refusal::ALL.iter().map(|one| format!("refused_fills_{one}"));
        let words = words.chain(ReachKind::ALL.iter().map(|one| format!("invalidations_{one}")));
        for name in words.chain(RefreshEnd::ALL.iter().map(|one| format!("refreshes_{one}"))) {
            assert_eq!(counts.each().find(|one| one.name == name).map(|one| one.count), Some(1), "{name}");
        }
    }

    #[test]
    fn loads_are_told_from_keys() {
        let counters = Counters::default();
        counters.asked(1);
        counters.asked(5);
        let counts = counters.counts();
        assert_eq!((counts.loads, counts.batches, counts.keys_asked), (2, 1, 6));
        let batches = counters.histograms().batch_keys;
        assert_eq!((batches.count(), batches.sum(), batches.max()), (2, 6, 5));
    }

    #[test]
    fn waits_and_loads_are_in_milliseconds() {
        let counters = Counters::default();
        counters.load_took(Duration::from_secs(2));
        counters.waited(Duration::from_micros(7_900));
        let told = counters.histograms();
        assert_eq!((told.load_ms.max(), told.wait_ms.max()), (2_000, 7));
    }

    #[test]
    fn the_age_of_one_answer_in_so_many_is_recorded() {
        let counters = Counters::default();
        counters.read(&outcome(Tier::Memory, Freshness::Fresh));
        assert_eq!(counters.histograms().age_ms.max(), 40, "the first of a kind is recorded");
        counters.read(&outcome(Tier::Nowhere, Freshness::Absent));
        (0..64_000).for_each(|_| counters.read(&outcome(Tier::Memory, Freshness::Fresh)));
        let recorded = counters.histograms().age_ms.count();
        assert!((980..=1_020).contains(&recorded), "{recorded} of 64,000");
    }

    #[test]
    fn nothing_is_lost_on_a_stripe_that_threads_share() {
        let (counter, start) = (AtomicU64::new(0), Barrier::new(3));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    start.wait();
                    (0..8_000_000).for_each(|_| {
                        Add::Shared.to(&counter, 1);
                    });
                });
            }
        });
        assert_eq!(counter.into_inner(), 24_000_000);
    }

    #[test]
    fn no_two_threads_own_one_stripe_and_an_ended_one_gives_it_back() {
        let (arrived, leave) = (Barrier::new(21), Barrier::new(21));
        let places = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..20)
                .map(|_| {
                    scope.spawn(|| {
                        let place = place();
                        arrived.wait();
                        leave.wait();
                        place
                    })
                })
                .collect();
            arrived.wait();
            leave.wait();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let owned: Vec<usize> =
            places.iter().filter(|place| place.1 == Add::Alone).map(|place| place.0).collect();
        assert_eq!(owned.iter().collect::<HashSet<_>>().len(), owned.len(), "{owned:?}");
        assert!(owned.iter().all(|&number| number < OWNED), "{owned:?}");
        let shared = places.iter().filter(|place| place.1 == Add::Shared);
        assert!(shared.clone().all(|place| (OWNED..STRIPES).contains(&place.0)), "{places:?}");
        assert!(shared.count() >= 20 - OWNED, "{places:?}");
        // Were they not given back, none would be left long before the last of these.
        let later = (0..200).map(|_| std::thread::scope(|scope| scope.spawn(place).join().unwrap().1));
        assert!(later.filter(|&add| add == Add::Alone).count() > OWNED);
    }

    proptest! {
        #[test]
        fn the_sample_falls_in_with_no_rhythm(start in any::<u32>(), rhythm in 1..500_u64) {
            let beats = (0..64_000).map(|beat| u64::from(start) + beat * rhythm);
            let sampled = u64::try_from(beats.filter(|&before| is_sampled(before)).count()).unwrap();
            let fair = 64_000 / AGE_SAMPLED_ONE_IN;
            prop_assert!((fair / 2..=fair * 2).contains(&sampled), "{sampled} of 64,000, one in {rhythm} seen");
        }

        #[test]
        fn threads_add_up_exactly(threads in 1..40_usize, picks in prop::collection::vec(0..28_usize, 0..200)) {
            let counters = Counters::default();
            let outcomes = every_outcome();
            // In two waves, so that the second takes over what the first gave back.
            for _ in 0..2 {
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| picks.iter().for_each(|&pick| counters.read(&outcomes[pick])));
                    }
                });
            }
            let alone = Counters::default();
            (0..2 * threads).flat_map(|_| &picks).for_each(|&pick| alone.read(&outcomes[pick]));
            prop_assert_eq!(counters.counts(), alone.counts());
            prop_assert_eq!(reads(&counters.counts()), u64::try_from(2 * threads * picks.len()).unwrap());
        }
    }
}
