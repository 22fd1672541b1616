//! What Workers KV refuses: namespaces that declare `workers_kv_limits = true` refuse it too.
//!
//! A request is judged by its names, sizes and times alone, before it is carried out. The reasons are in the words of Workers KV where that
//! has some, so that who knows them finds them. How often a key is written is remembered for a second: each key exactly while no more than
//! [`REMEMBERED_MAX`] are written in one; beyond that those longest ago are forgotten early, and nothing is refused for it.
//!
//! The sizes of keys, values and metadata are the same for every namespace, and judged elsewhere.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use twox_hash::XxHash3_128;

/// The least time that a value lives.
pub(crate) const LIFE_MIN: Duration = Duration::from_secs(60);
/// The least time between two writes of one key.
const APART_MIN: Duration = Duration::from_secs(1);
/// The most keys of a namespace whose last writes are remembered: some 8 MB.
const REMEMBERED_MAX: usize = 100_000;

/// When a value that is written is to end, as its writer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// So long from now.
    For(Duration),
    /// At this moment, in milliseconds since 1970-01-01 UTC.
    Until(u64),
}

/// Why Workers KV would refuse a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Beyond {
    /// A value would live for less than it may, by its span.
    #[error("Invalid expiration_ttl of {seconds}. Expiration TTL must be at least 60.")]
    ShortTtl {
        /// The span that was asked for.
        seconds: Seconds,
    },
    /// The same by the moment of its end.
    #[error("Invalid expiration of {second}. Expiration times must be at least 60 seconds in the future.")]
    EndsSoon {
        /// That moment, in seconds since 1970-01-01 UTC.
        second: u64,
    },
    /// A value would have ended.
    #[error(
        "Invalid expiration of {second}. Please specify integer greater than the current number of seconds since the UNIX epoch."
    )]
    HasEnded {
        /// When, in seconds since 1970-01-01 UTC.
        second: u64,
    },
    /// No key is called so.
    #[error("a key is text in UTF-8, not empty, and neither `.` nor `..`")]
    NoKey,
    /// Values are bytes.
    #[error("a value is bytes: write the whole of it with SET")]
    OtherKind,
    /// A key was written a moment ago.
    #[error("a key is written once a second: try again after {left_ms} ms")]
    TooOften {
        /// Until it may be written again, in milliseconds.
        left_ms: u64,
    },
}

/// A span, shown in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds(Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.as_secs_f64())
    }
}

/// Whether a key may be called so.
pub(super) fn judge_key(key: &[u8]) -> Result<(), Beyond> {
    match key {
        b"" | b"." | b".." => Err(Beyond::NoKey),
        key => std::str::from_utf8(key).map(drop).map_err(|_| Beyond::NoKey),
    }
}

/// Whether a value may end so. A moment is judged in whole seconds, as it is said there.
pub(super) fn judge_life(life: Life, now: Duration) -> Result<(), Beyond> {
    match life {
        Life::For(span) if span < LIFE_MIN => Err(Beyond::ShortTtl { seconds: Seconds(span) }),
        Life::For(_) => Ok(()),
        Life::Until(unix_ms) => {
            let (second, now) = (unix_ms / 1_000, now.as_secs());
            match second.checked_sub(now) {
                None | Some(0) => Err(Beyond::HasEnded { second }),
                Some(left) if left < LIFE_MIN.as_secs() => Err(Beyond::EndsSoon { second }),
                Some(_) => Ok(()),
            }
        }
    }
}

/// A key, as the last write of it is remembered: two that are the same here are the same.
pub(super) type Written = u128;

/// The keys that were written within the last second.
#[derive(Debug, Default)]
pub(super) struct LastWrites {
    when: HashMap<Written, Duration>,
    /// The same in the order of time.
    order: VecDeque<(Written, Duration)>,
}

impl LastWrites {
    /// Notes that `keys` are written `now`, a time of the wall clock: all of them, or none where one was written a moment ago.
    pub(super) fn write(&mut self, keys: &[Written], now: Duration) -> Result<(), Beyond> {
        self.forget(now);
        let left = |key| (*self.when.get(key)? + APART_MIN).checked_sub(now);
        if let Some(left) = keys.iter().filter_map(left).max() {
            return Err(Beyond::TooOften {
                left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1),
            });
        }
        for key in keys {
            if self.order.len() == REMEMBERED_MAX {
                self.forget_first();
            }
            if self.when.insert(*key, now).is_none() {
                self.order.push_back((*key, now));
            }
        }
        Ok(())
    }

    /// Keys that were to be written at `then`, and were not after all.
    pub(super) fn undo(&mut self, keys: &[Written], then: Duration) {
        for key in keys {
            // Who came after it may have written it.
            if self.when.get(key) == Some(&then) {
                self.when.remove(key);
            }
        }
    }

    /// Forgets what was long enough ago, and what a clock that goes back makes later than now.
    fn forget(&mut self, now: Duration) {
        let is_over = |at: Duration| now.checked_sub(at).is_none_or(|ago| ago >= APART_MIN);
        while self.order.front().is_some_and(|(_, at)| is_over(*at)) {
            self.forget_first();
        }
        if self.order.is_empty() {
            // What one busy second took is given back.
            *self = Self::default();
        }
    }

    fn forget_first(&mut self) {
        let Some((key, at)) = self.order.pop_front() else { return };
        // One that was undone and written again is further back, too.
        if self.when.get(&key) == Some(&at) {
            self.when.remove(&key);
        }
    }
}

/// A key as it is remembered.
pub(super) fn written(key: &[u8]) -> Written {
    XxHash3_128::oneshot(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_life_is_sixty_seconds_or_more() {
        let judged = |life| judge_life(life, NOW + 999 * MS).map_err(|beyond| beyond.to_string());
        assert_eq!(judged(Life::For(LIFE_MIN)), Ok(()));
        let short = "Invalid expiration_ttl of 59.999. Expiration TTL must be at least 60.";
        assert_eq!(judged(Life::For(LIFE_MIN - MS)), Err(short.to_owned()));
        assert_eq!(judged(Life::Until(1_060_000)), Ok(()), "a second that has begun counts as its beginning");
        assert!(matches!(judge_life(Life::Until(1_059_999), NOW), Err(Beyond::EndsSoon { second: 1_059 })));
        assert!(matches!(judge_life(Life::Until(1_000_999), NOW), Err(Beyond::HasEnded { second: 1_000 })));
        assert!(matches!(judge_life(Life::Until(0), NOW), Err(Beyond::HasEnded { second: 0 })));
    }

    #[test]
    fn a_key_has_a_name_of_text() {
        for key in [&b""[..], b".", b"..", b"\xff"] {
            assert_eq!(judge_key(key), Err(Beyond::NoKey), "{key:?}");
        }
        for key in ["...", "a.", "股票"] {
            assert_eq!(judge_key(key.as_bytes()), Ok(()));
        }
    }

    #[test]
    fn a_key_is_written_once_a_second() {
        let mut last = LastWrites::default();
        last.write(&[1, 2], NOW).unwrap();
        assert_eq!(last.write(&[3, 2], NOW + 999 * MS), Err(Beyond::TooOften { left_ms: 1 }));
        last.write(&[3], NOW + 999 * MS).unwrap();
        last.write(&[2], NOW + 1_000 * MS).unwrap();
        last.write(&[3], NOW + 1_500 * MS).unwrap_err();
        last.undo(&[3], NOW);
        // Another write of it than that which was given up.
        last.write(&[3], NOW + 1_500 * MS).unwrap_err();
        last.undo(&[3], NOW + 999 * MS);
        last.write(&[3], NOW + 1_500 * MS).unwrap();
        last.write(&[3], NOW + 2_100 * MS).unwrap_err();
        last.write(&[3], NOW).unwrap();
        last.write(&[9], NOW + 60_000 * MS).unwrap();
        assert_eq!((last.when.len(), last.order.len()), (1, 1), "the rest is forgotten");
    }

    #[test]
    fn no_more_keys_are_remembered_than_may_be() {
        let mut last = LastWrites::default();
        for key in 0..u128::try_from(REMEMBERED_MAX).unwrap() + 10 {
            last.write(&[key], NOW).unwrap();
        }
        assert_eq!((last.when.len(), last.order.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
        last.write(&[0], NOW).unwrap();
        last.write(&[10_000], NOW).unwrap_err();
    }
}
