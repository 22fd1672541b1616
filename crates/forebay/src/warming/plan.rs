//! What is to be warmed, how far it is, and when the next batch may go.
//!
//! It guarantees that a declaration cannot ask for more keys than [`KEYS_MAX`] by multiplying lists, that never
//! more than one batch of keys is held, and that warming stays within its share of the source: one slot in [`SHARE`], and
//! none while a reader waits.

use tokio::sync::watch;

use super::sketch::HOTTEST_MAX;
use crate::value::{Key, TakeParts, length};

/// The most combinations of listed values.
const KEYS_MAX: u64 = 1_000_000;
/// Warming may take one in so many of the source's slots, and one where there are fewer.
const SHARE: usize = 4;

/// What a namespace loads before anybody asks for it. Default: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warm {
    /// Values of each parameter of the key, in the pattern's order: every combination of them is loaded, at most
    /// 1,000,000. Empty: none.
    pub lists: Vec<Vec<String>>,
    /// How many of the keys that were read most are loaded, at most 100,000. Default 0: none.
    pub hottest: usize,
    /// Whether the keys that the source [prefers](crate::Source::preferred) are loaded, at most 100,000.
    pub preferred: bool,
    /// Whether all keys that the source itself lists are loaded.
    pub listing: bool,
}

/// How far warming is. Each known key is counted once among the others when its load has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WarmProgress {
    /// Keys to load that are known so far; a listing adds to them as it is read.
    pub known: u64,
    /// Keys whose value is held now, or was answered and is not worth holding.
    pub done: u64,
    /// Keys whose load failed; they are loaded when they are asked for.
    pub failed: u64,
    /// Keys that do not exist.
    pub absent: u64,
    /// Whether it is over: no more keys will be known or loaded.
    pub is_over: bool,
    /// Whether it was told to stop, so that keys may be left that nobody has loaded.
    pub is_stopped: bool,
}

/// Why keys cannot be warmed as declared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WarmFault {
    /// The lists are not the key's parameters.
    #[error("`warm` lists values for {given} parameters and the key has {wanted}: give one list for each")]
    Parameters {
        /// Lists given.
        given: usize,
        /// Parameters of the key.
        wanted: usize,
    },
    /// The lists multiply to too many keys.
    #[error(
        "`warm` lists {combinations} combinations of values, the limit is {KEYS_MAX}: shorten the lists, or warm the \
         source's own listing"
    )]
    TooManyKeys {
        /// What the lists multiply to, or [`u64::MAX`] where it is even more.
        combinations: u64,
    },
    /// More hot keys than a sketch tells.
    #[error("`warm` asks for the {hottest} hottest keys, the limit is {HOTTEST_MAX}: ask for fewer")]
    TooHot {
        /// How many were asked for.
        hottest: usize,
    },
}

/// The listed keys in batches, the last parameter changing fastest.
#[derive(Debug)]
pub(crate) struct Batches<'a> {
    lists: &'a [Vec<String>],
    next: u64,
    end: u64,
    batch_max: u64,
}

/// One value of each list: a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Combination<'a>(Vec<&'a str>);

impl Key for Combination<'_> {
    fn give_parts(&self, to: &mut impl TakeParts) {
        self.0.iter().for_each(|value| to.take(value.as_bytes()));
    }
}

impl Warm {
    /// The listed keys of a pattern with `parameters` parameters, in batches of at most `batch_max`, one at least.
    ///
    /// # Errors
    /// [`WarmFault`] where the lists do not fit the key or anything is beyond its limit.
    pub(crate) fn batches(&self, parameters: usize, batch_max: usize) -> Result<Batches<'_>, WarmFault> {
        if self.hottest > HOTTEST_MAX {
            return Err(WarmFault::TooHot { hottest: self.hottest });
        }
        if !self.lists.is_empty() && self.lists.len() != parameters {
            return Err(WarmFault::Parameters { given: self.lists.len(), wanted: parameters });
        }
        let is_any = !self.lists.is_empty() && self.lists.iter().all(|list| !list.is_empty());
        let product = |product: u64, list: &Vec<String>| product.saturating_mul(length(list.len()));
        let combinations = if is_any { self.lists.iter().fold(1, product) } else { 0 };
        if combinations > KEYS_MAX {
            return Err(WarmFault::TooManyKeys { combinations });
        }
        let batch_max = length(batch_max).max(1);
        Ok(Batches { lists: &self.lists, next: 0, end: combinations, batch_max })
    }
}

impl<'a> Batches<'a> {
    /// How many keys are left.
    #[cfg(all(test, not(feature = "model")))]
    pub(crate) fn left(&self) -> u64 {
        self.end - self.next
    }

    /// The combination with this number: its digits, of which each has the base of its list.
    fn combination(&self, mut number: u64) -> Option<Combination<'a>> {
        let mut values = Vec::with_capacity(self.lists.len());
        for list in self.lists.iter().rev() {
            let base = length(list.len()).max(1);
            values.push(list.get(usize::try_from(number % base).ok()?)?.as_str());
            number /= base;
        }
        values.reverse();
        Some(Combination(values))
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Vec<Combination<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.next;
        self.next = self.end.min(start.saturating_add(self.batch_max));
        let batch: Vec<_> = (start..self.next).filter_map(|number| self.combination(number)).collect();
        (!batch.is_empty()).then_some(batch)
    }
}

/// Counts the keys of one warming, and shows the count to whoever watches.
#[derive(Debug, Default)]
pub(crate) struct Progress(watch::Sender<WarmProgress>);

impl Progress {
    /// So many more keys are known.
    pub(crate) fn learn(&self, keys: u64) {
        self.0.send_modify(|progress| progress.known += keys);
    }

    /// A batch has ended: so many keys have their value, failed, do not exist.
    pub(crate) fn land(&self, done: u64, failed: u64, absent: u64) {
        self.0.send_modify(|progress| {
            progress.done += done;
            progress.failed += failed;
            progress.absent += absent;
        });
    }

    /// Nothing more is to be loaded; what has begun goes on to its end. One that is over already was not stopped.
    pub(crate) fn stop(&self) {
        self.0.send_modify(|progress| progress.is_stopped |= !progress.is_over);
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        self.0.send_modify(|progress| progress.is_over = true);
    }

    /// How far it is now.
    pub(crate) fn now(&self) -> WarmProgress {
        *self.0.borrow()
    }

    /// Shows every change; one that nobody looks at holds nothing up.
    pub(crate) fn watch(&self) -> watch::Receiver<WarmProgress> {
        self.0.subscribe()
    }
}

/// Whether the next batch may be loaded now: `free_slots` of the source's `slots` are free, `running_warm` have batches of
/// warming, and `waiting_foreground` loads that a reader waits for are queued.
pub(crate) fn may_start(
    free_slots: usize,
    running_warm: usize,
    slots: usize,
    waiting_foreground: usize,
) -> bool {
    let share = (slots / SHARE).max(1);
    free_slots > 0 && waiting_foreground == 0 && running_warm < share
}

#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests {
    use proptest::prelude::*;

    use super::{Combination, HOTTEST_MAX, KEYS_MAX, Progress, Warm, WarmFault, WarmProgress, may_start};
    use crate::namespace::pattern::Pattern;
    use crate::value::KeyBuf;

    fn lists(lists: &[&[&str]]) -> Warm {
        let owned = lists.iter().map(|list| list.iter().map(|value| (*value).to_owned()).collect());
        Warm { lists: owned.collect(), ..Warm::default() }
    }

    /// The keys of all batches as a pattern renders them, each batch in brackets.
    fn shown(warm: &Warm, pattern: &str, batch_max: usize) -> String {
        let pattern = Pattern::parse(pattern).unwrap();
        let key = |key: &Combination<'_>| {
            let mut out = KeyBuf::new();
            pattern.render(key, &mut out).unwrap();
            String::from_utf8(out.to_vec()).unwrap()
        };
        let batch = |batch: Vec<_>| format!("[{}]", batch.iter().map(key).collect::<Vec<_>>().join(" "));
        warm.batches(pattern.names().len(), batch_max).unwrap().map(batch).collect()
    }

    #[test]
    fn every_combination_comes_once_in_batches() {
        let warm = lists(&[&["a", "b"], &["x", "y", "z"]]);
        assert_eq!(shown(&warm, "{one}:{two}", 4), "[a:x a:y a:z b:x][b:y b:z]");
        assert_eq!(warm.batches(2, 4).unwrap().left(), 6);
        assert_eq!(shown(&lists(&[&["600000", "000001"]]), "{code}", 0), "[600000][000001]");
        assert_eq!(shown(&lists(&[&["a"], &[]]), "{one}:{two}", 4), "");
        assert_eq!(shown(&Warm::default(), "{one}:{two}", 4), "");
    }

    #[test]
    fn what_cannot_be_warmed_is_said_before_anything_is() {
        let fault = lists(&[&["a"]]).batches(2, 8).unwrap_err();
        assert_eq!(fault, WarmFault::Parameters { given: 1, wanted: 2 });
        let warm =
            Warm { lists: vec![vec![String::new(); 1_001], vec![String::new(); 1_000]], ..Warm::default() };
        let fault = warm.batches(2, 8).unwrap_err();
        assert_eq!(fault, WarmFault::TooManyKeys { combinations: 1_001_000 });
        assert!(fault.to_string().contains("the limit is 1000000"), "{fault}");
        let endless = Warm { lists: vec![vec![String::new(); 100]; 20], ..Warm::default() };
        assert_eq!(endless.batches(20, 8).unwrap_err(), WarmFault::TooManyKeys { combinations: u64::MAX });
        let most = Warm { lists: vec![vec![String::new(); 1_000]; 2], ..Warm::default() };
        assert_eq!(most.batches(2, 256).unwrap().left(), KEYS_MAX);
        let hot = Warm { hottest: HOTTEST_MAX + 1, ..Warm::default() };
        assert_eq!(hot.batches(1, 8).unwrap_err(), WarmFault::TooHot { hottest: HOTTEST_MAX + 1 });
    }

    #[test]
    fn progress_is_seen_by_who_watches() {
        let progress = Progress::default();
        let mut seen = progress.watch();
        progress.learn(10);
        progress.land(5, 2, 1);
        progress.land(1, 0, 1);
        progress.end();
        assert!(seen.has_changed().unwrap());
        let wanted =
            WarmProgress { known: 10, done: 6, failed: 2, absent: 2, is_over: true, is_stopped: false };
        assert_eq!(*seen.borrow_and_update(), wanted);
        assert_eq!(progress.now(), wanted);
    }

    #[test]
    fn it_takes_a_quarter_and_gives_way() {
        assert!(may_start(16, 0, 16, 0));
        assert!(may_start(13, 3, 16, 0));
        assert!(!may_start(12, 4, 16, 0), "more than its share");
        assert!(!may_start(0, 0, 16, 0), "no slot is free");
        assert!(!may_start(1, 0, 16, 1), "a reader waits");
        assert!(may_start(1, 0, 1, 0), "a source of one slot is never warmed");
        assert!(!may_start(2, 1, 3, 0));
    }

    proptest! {
        /// Readers and warming come and go at random: warming never has more than its share, nor all slots where there are
        /// several, and it does go on once nobody waits.
        #[test]
        fn it_never_has_more_than_its_share(slots in 1..40_usize, steps in prop::collection::vec(0..4_u8, 1..200)) {
            let (mut warm, mut readers, mut waiting) = (0, 0, 0);
            for step in steps {
                match step {
                    0 if may_start(slots - warm - readers, warm, slots, waiting) => warm += 1,
                    1 if warm + readers < slots => readers += 1,
                    1 => waiting += 1,
                    2 => warm = usize::saturating_sub(warm, 1),
                    3 => readers = usize::saturating_sub(readers, 1),
                    _ => {}
                }
                // A slot that is free takes who waits before anything else.
                let taken = waiting.min(slots - warm - readers);
                (readers, waiting) = (readers + taken, waiting - taken);
                prop_assert!(warm <= (slots / 4).max(1));
                prop_assert!(slots == 1 || warm < slots);
            }
            prop_assert!(may_start(slots, 0, slots, 0));
        }
    }
}
