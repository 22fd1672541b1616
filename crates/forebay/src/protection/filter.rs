//! The membership filter: which keys certainly do not exist, so that asking for them costs no query.
//!
//! A scalable Bloom filter (Almeida et al., Information Processing Letters 101(6), 2007): a first slice for the stated
//! number of keys, and once it is full another of twice the size and half the rate of false answers, so that the rates of
//! all slices add up to less than the stated one. A key's bits come from one hash by double hashing (Kirsch and
//! Mitzenmacher, ESA 2006).
//!
//! It guarantees that a key whose insertion has returned is never said to be absent, and that it takes a bounded amount of
//! memory: after [`SLICES`] slices the last one takes all further keys, the rate of false answers rises, and
//! [`Filter::is_over_full`] says so. Reads and insertions take no lock; a slice is added by the one insertion that finds no
//! room.
//!
//! It says "maybe" to everything until a listing of the whole source was inserted ([`Filter::build`]), and while it is
//! not trusted. Rows that appear during the listing must be inserted meanwhile, from the feed or by who writes them; each
//! key is then in the listing, in what was inserted, or in both. It never forgets: a deleted key stays a "maybe", and the
//! source is asked. Who feeds it, and when a feed lags or has a gap, is for others to tell.

use std::hash::BuildHasher;
use std::sync::OnceLock;

use foldhash::quality::RandomState;

use crate::rt::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::value::length;

/// The most slices; together they hold 2^`SLICES` − 1 times the stated number of keys at the stated rate.
const SLICES: usize = 3;
/// The most keys that a filter can be sized for; the first slice then takes 200 MB at the default rate.
const KEYS_MAX: u64 = 100_000_000;
/// The most bits that one key sets in the first slice.
const PROBES_MAX: u64 = 24;

/// How large a membership filter is, and how often it is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FilterOptions {
    /// How many keys are expected. Default 1,000,000, which take 2 MB at the default rate; from 1 to 100,000,000, and what
    /// lies outside is taken as the nearest. Up to seven times as many are held at the same rate, in up to eight times
    /// the memory.
    pub keys: u64,
    /// Which part of the keys that do not exist is asked for all the same. Default 0.001; at most 0.5, at least 2⁻²³.
    pub false_positives: f64,
}

impl Default for FilterOptions {
    fn default() -> Self {
        Self { keys: 1_000_000, false_positives: 0.001 }
    }
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It may exist: ask the source.
    Maybe,
    /// It does not exist, if what was inserted is all that does.
    Absent,
}

/// A membership filter over the keys of one namespace.
#[derive(Debug)]
pub(crate) struct Filter {
    hasher: RandomState,
    /// The first is there from the start; a later one once those before it are full.
    slices: [OnceLock<Slice>; SLICES],
    keys: u64,
    /// Bits that one key sets in the first slice; one more in each later slice.
    probes: u64,
    /// How often something may have been missed.
    gaps: AtomicU64,
    /// One more than the number of gaps that the newest whole listing began after; 0 before the first one.
    built: AtomicU64,
    is_trusted: AtomicBool,
    /// Listings that were inserted whole.
    builds: AtomicU64,
}

/// A listing of the source that is being inserted.
#[derive(Debug)]
#[must_use]
pub(crate) struct Build<'a> {
    filter: &'a Filter,
    gaps: u64,
}

#[derive(Debug)]
struct Slice {
    words: Box<[AtomicU64]>,
    /// Keys that fill it.
    keys: u64,
    probes: u64,
    /// Keys that set a bit in it.
    inserted: AtomicU64,
    /// Tells its bits from those of other slices.
    salt: u64,
}

impl Filter {
    /// An empty filter, which says "maybe" to everything until it is built and trusted.
    pub(crate) fn new(options: FilterOptions) -> Self {
        let keys = options.keys.clamp(1, KEYS_MAX);
        // A slice of optimal size with k bits for a key is wrong once in 2^k. The first one gets half of the stated rate.
        let mut probes = 2;
        let mut rate = 0.25;
        while rate > options.false_positives / 2.0 && probes < PROBES_MAX {
            probes += 1;
            rate /= 2.0;
        }
        let first = Slice::new(keys, probes, 0);
        Self {
            hasher: RandomState::default(),
            slices: [OnceLock::from(first), OnceLock::new(), OnceLock::new()],
            keys,
            probes,
            gaps: AtomicU64::new(0),
            built: AtomicU64::new(0),
            is_trusted: AtomicBool::new(false),
            builds: AtomicU64::new(0),
        }
    }

    /// Remembers `key` for good.
    pub(crate) fn insert(&self, key: &[u8]) {
        let hash = self.hasher.hash_one(key);
        let mut active = None;
        for slice in self.present() {
            // Told again of the same rows for ever, the filter must not fill.
            if slice.contains(hash) {
                return;
            }
            active = Some(slice);
        }
        let Some(active) = active else { return };
        let room = if active.is_full() { self.grow().unwrap_or(active) } else { active };
        room.insert(hash);
    }

    /// Whether `key` may exist.
    pub(crate) fn answer(&self, key: &[u8]) -> Answer {
        // The state is read before the bits: what was inserted before the filter was built is then seen.
        let gaps = self.gaps.load(Ordering::Acquire);
        let is_built = self.built.load(Ordering::Acquire) == gaps + 1;
        if !is_built || !self.is_trusted.load(Ordering::Acquire) {
            return Answer::Maybe;
        }
        let hash = self.hasher.hash_one(key);
        if self.present().any(|slice| slice.contains(hash)) { Answer::Maybe } else { Answer::Absent }
    }

    /// Whether a listing is whole that began after the last gap.
    pub(crate) fn is_built(&self) -> bool {
        self.built.load(Ordering::Acquire) == self.gaps.load(Ordering::Acquire) + 1
    }

    /// Begins to insert a listing of the whole source; [`Build::finish`] ends it.
    pub(crate) fn build(&self) -> Build<'_> {
        Build { filter: self, gaps: self.gaps.load(Ordering::Acquire) }
    }

    /// Keys may have appeared that nobody will insert: the filter says "maybe" until a listing that begins later is whole.
    pub(crate) fn found_gap(&self) {
        self.gaps.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether what feeds it keeps up. While it does not, and at the start, the answer is "maybe"; what was late must have
    /// been inserted before this is `true` again.
    pub(crate) fn trusted(&self, is_trusted: bool) {
        self.is_trusted.store(is_trusted, Ordering::Release);
    }

    /// How many listings were inserted whole.
    pub(crate) fn builds(&self) -> u64 {
        self.builds.load(Ordering::Relaxed)
    }

    /// How many different keys it holds, up to its rate of false answers.
    pub(crate) fn len(&self) -> u64 {
        self.present().map(|slice| slice.inserted.load(Ordering::Relaxed)).sum()
    }

    /// Whether it holds more keys than it can at the stated rate: build a larger one.
    pub(crate) fn is_over_full(&self) -> bool {
        self.slices.last().and_then(OnceLock::get).is_some_and(Slice::is_full)
    }

    /// The memory it takes, in bytes.
    pub(crate) fn weight_bytes(&self) -> u64 {
        self.present().map(|slice| length(size_of_val(&*slice.words))).sum::<u64>()
            + length(size_of::<Self>())
    }

    /// The slices in their order.
    fn present(&self) -> impl Iterator<Item = &Slice> {
        self.slices.iter().map_while(OnceLock::get)
    }

    /// Adds the next slice; `None` where there are as many as there may be.
    fn grow(&self) -> Option<&Slice> {
        let mut after = (self.keys, self.probes, 0);
        for slot in &self.slices {
            let (keys, probes, salt) = after;
            let slice = slot.get_or_init(|| Slice::new(keys, probes, salt));
            if !slice.is_full() {
                return Some(slice);
            }
            after = (keys.saturating_mul(2), probes + 1, salt + 1);
        }
        None
    }
}

impl Build<'_> {
    /// Every key of the listing was inserted. Nothing is believed of it if a gap was found since it began: list again.
    pub(crate) fn finish(self) {
        self.filter.built.fetch_max(self.gaps + 1, Ordering::AcqRel);
        self.filter.builds.fetch_add(1, Ordering::Relaxed);
    }
}

impl Slice {
    fn new(keys: u64, probes: u64, salt: u64) -> Self {
        // The optimum for k bits a key is k / ln 2 bits of room.
        let bits = keys.saturating_mul(probes).saturating_mul(14_427).div_ceil(10_000);
        let words = (0..bits.div_ceil(64).max(1)).map(|_| AtomicU64::new(0)).collect();
        Self { words, keys, probes, inserted: AtomicU64::new(0), salt }
    }

    fn is_full(&self) -> bool {
        self.inserted.load(Ordering::Relaxed) >= self.keys
    }

    fn contains(&self, hash: u64) -> bool {
        self.places(hash).all(|(word, bit)| word.load(Ordering::Acquire) & bit != 0)
    }

    fn insert(&self, hash: u64) {
        let mut is_new = false;
        for (word, bit) in self.places(hash) {
            is_new |= word.fetch_or(bit, Ordering::AcqRel) & bit == 0;
        }
        if is_new {
            self.inserted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The bits of a key.
    fn places(&self, hash: u64) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let first = mixed(hash.wrapping_add(self.salt));
        let step = mixed(first) | 1;
        let bits = length(self.words.len()).saturating_mul(64);
        (0..self.probes).filter_map(move |probe| {
            let place = scaled(first.wrapping_add(step.wrapping_mul(probe)), bits);
            let word = self.words.get(usize::try_from(place / 64).ok()?)?;
            Some((word, 1 << (place % 64)))
        })
    }
}

/// Spreads every bit over all (the finaliser of SplitMix64, Steele et al., OOPSLA 2014).
const fn mixed(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// `number`, one of 2⁶⁴, as a number below `end` (Lemire, ACM TOMACS 29(1), 2019).
fn scaled(number: u64, end: u64) -> u64 {
    let scaled = (u128::from(number) * u128::from(end)) >> 64;
    u64::try_from(scaled).unwrap_or_default()
}

#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicBool, Ordering};

    use proptest::prelude::*;

    use super::{Answer, Filter, FilterOptions, SLICES};

    fn built(options: FilterOptions) -> Filter {
        let filter = Filter::new(options);
        filter.build().finish();
        filter.trusted(true);
        filter
    }

    fn key(number: u64) -> String {
        format!("stock:{number}")
    }

    /// The part of `asked` keys that were not inserted and are taken for such that may exist.
    fn false_positives(filter: &Filter, asked: u32) -> f64 {
        let strange =
            (0..asked).filter(|number| filter.answer(format!("no:{number}").as_bytes()) == Answer::Maybe);
        f64::from(u32::try_from(strange.count()).unwrap()) / f64::from(asked)
    }

    #[test]
    fn a_full_one_of_the_default_size_is_wrong_as_often_as_it_says() {
        let filter = built(FilterOptions::default());
        (0..1_000_000).for_each(|number| filter.insert(key(number).as_bytes()));
        assert!((0..1_000_000).all(|number| filter.answer(key(number).as_bytes()) == Answer::Maybe));
        let rate = false_positives(&filter, 400_000);
        assert!(rate > 0.0 && rate <= 0.002, "{rate}");
        assert!(filter.weight_bytes() < 2_100_000, "{} bytes", filter.weight_bytes());
        assert!(filter.len() > 999_000, "{} keys", filter.len());
    }

    #[test]
    fn it_grows_at_the_same_rate_and_then_no_further() {
        let options = FilterOptions { keys: 10_000, ..FilterOptions::default() };
        let filter = built(options);
        let small_bytes = filter.weight_bytes();
        let most = 10_000 * ((1 << SLICES) - 1);
        (0..most).for_each(|number| filter.insert(key(number).as_bytes()));
        let rate = false_positives(&filter, 400_000);
        assert!(rate <= 0.002, "{rate}");
        let grown_bytes = filter.weight_bytes();
        assert!(grown_bytes < small_bytes * 8);
        (most..most * 2).for_each(|number| filter.insert(key(number).as_bytes()));
        assert!(filter.is_over_full());
        assert_eq!(filter.weight_bytes(), grown_bytes);
        assert!((0..most * 2).all(|number| filter.answer(key(number).as_bytes()) == Answer::Maybe));
    }

    #[test]
    fn keys_told_again_do_not_fill_it() {
        let filter = built(FilterOptions { keys: 100, ..FilterOptions::default() });
        for _ in 0..50 {
            (0..110).for_each(|number| filter.insert(key(number).as_bytes()));
        }
        assert!(filter.len() <= 110, "{} keys", filter.len());
        assert!(!filter.is_over_full());
    }

    #[test]
    fn it_says_maybe_unless_it_is_whole_and_trusted() {
        let filter = Filter::new(FilterOptions::default());
        assert_eq!(filter.answer(b"x"), Answer::Maybe);
        filter.trusted(true);
        let listing = filter.build();
        assert_eq!(filter.answer(b"x"), Answer::Maybe, "believed before it was whole");
        filter.insert(b"listed");
        filter.insert(b"meanwhile");
        listing.finish();
        assert_eq!(
            ["x", "listed", "meanwhile"].map(|key| filter.answer(key.as_bytes())),
            [Answer::Absent, Answer::Maybe, Answer::Maybe]
        );
        filter.trusted(false);
        assert_eq!(filter.answer(b"x"), Answer::Maybe, "believed while its feed lagged");
        filter.trusted(true);
        let before = filter.build();
        filter.found_gap();
        before.finish();
        assert_eq!(filter.answer(b"x"), Answer::Maybe, "a listing from before the gap was believed");
        let after = filter.build();
        after.finish();
        assert_eq!(filter.answer(b"x"), Answer::Absent);
    }

    #[test]
    fn what_is_inserted_beside_readers_is_seen() {
        let filter = built(FilterOptions { keys: 1_000, ..FilterOptions::default() });
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writers = [0, 1].map(|writer| {
                let filter = &filter;
                scope.spawn(move || {
                    for number in (writer..10_000).step_by(2) {
                        filter.insert(key(number).as_bytes());
                        assert_eq!(filter.answer(key(number).as_bytes()), Answer::Maybe);
                    }
                })
            });
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::black_box(filter.answer(b"stock:1"));
                }
            });
            let ended = writers.map(|writer| writer.join());
            is_over.store(true, Ordering::Relaxed);
            assert!(ended.iter().all(Result::is_ok));
        });
        assert!((0..10_000).all(|number| filter.answer(key(number).as_bytes()) == Answer::Maybe));
    }

    proptest! {
        #[test]
        fn it_never_denies_what_was_inserted(
            keys in 0..60_u64,
            false_positives in 0.0..1.0_f64,
            steps in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..3)), 1..400),
        ) {
            let filter = built(FilterOptions { keys, false_positives });
            let mut inserted = HashSet::new();
            for (is_insert, key) in steps {
                if is_insert {
                    filter.insert(&key);
                    inserted.insert(key);
                } else if filter.answer(&key) == Answer::Absent {
                    prop_assert!(!inserted.contains(&key));
                }
            }
            prop_assert!(inserted.iter().all(|key| filter.answer(key) == Answer::Maybe));
        }
    }
}

/// Many schedules of two threads, on the shipped code.
#[cfg(test)]
#[cfg(feature = "model")]
mod model {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{Answer, Filter, FilterOptions};

    #[test]
    fn what_was_inserted_is_never_denied_while_it_grows_and_is_built() {
        let scenario = || {
            // A single key fills the first slice.
            let filter = Arc::new(Filter::new(FilterOptions { keys: 1, false_positives: 0.5 }));
            filter.trusted(true);
            let inserted = Arc::new(AtomicBool::new(false));
            let writer = {
                let (filter, inserted) = (Arc::clone(&filter), Arc::clone(&inserted));
                shuttle::thread::spawn(move || {
                    let listing = filter.build();
                    filter.insert(b"a");
                    listing.finish();
                    filter.insert(b"b");
                    inserted.store(true, Ordering::SeqCst);
                })
            };
            filter.insert(b"c");
            let is_inserted = inserted.load(Ordering::SeqCst);
            let answer = filter.answer(b"b");
            assert!(!is_inserted || answer == Answer::Maybe);
            // The listing held `a`: who sees it whole, sees that.
            assert_eq!(filter.answer(b"a"), Answer::Maybe);
            assert_eq!(filter.answer(b"c"), Answer::Maybe);
            writer.join().unwrap();
            for key in [b"a", b"b", b"c"] {
                assert_eq!(filter.answer(key), Answer::Maybe);
            }
        };
        shuttle::check_random(scenario, 5_000);
        shuttle::check_pct(scenario, 5_000, 3);
    }
}
