//! A source that failed for a key is left alone for a moment, as long as an old value can be served instead.
//!
//! Without it every reader of a stale value would send the failing source one more load. What is remembered is bounded: what
//! does not fit is tried again sooner.

use std::collections::HashMap;
use std::time::Duration;

use crate::rt::{Mutex, Tick};

/// How long a failure keeps refreshes of its key away.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The most keys whose failures are remembered.
const KEYS_MAX: usize = 4096;

/// The keys whose last load failed a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// From when on each is tried again.
    until: Mutex<HashMap<Box<[u8]>, Tick>>,
}

impl Throttle {
    /// A load of `key` failed at `now`.
    pub(crate) fn failed(&self, key: &[u8], now: Tick) {
        let mut until = self.until.lock();
        if until.len() >= KEYS_MAX {
            until.retain(|_, tick| now < *tick);
        }
        if until.len() < KEYS_MAX {
            until.insert(key.into(), now.after(RETRY_AFTER));
        }
    }

    /// Whether `key` is to be left alone at `now`.
    pub(crate) fn holds(&self, key: &[u8], now: Tick) -> bool {
        let mut until = self.until.lock();
        match until.get(key) {
            Some(tick) if now < *tick => true,
            Some(_) => {
                until.remove(key);
                false
            }
            None => false,
        }
    }

    /// A load of `key` succeeded.
    pub(crate) fn succeeded(&self, key: &[u8]) {
        let mut until = self.until.lock();
        if !until.is_empty() {
            until.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{KEYS_MAX, RETRY_AFTER, Throttle};
    use crate::rt::Tick;

    #[test]
    fn a_failure_holds_for_its_time_and_ends_with_a_success() {
        let (throttle, now) = (Throttle::default(), Tick::from_ms(5));
        assert!(!throttle.holds(b"a", now));
        throttle.failed(b"a", now);
        assert!(throttle.holds(b"a", now.after(RETRY_AFTER - Duration::from_millis(1))));
        assert!(!throttle.holds(b"b", now));
        assert!(!throttle.holds(b"a", now.after(RETRY_AFTER)));
        throttle.failed(b"a", now);
        throttle.succeeded(b"a");
        assert!(!throttle.holds(b"a", now));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let throttle = Throttle::default();
        for key in 0..2 * KEYS_MAX {
            throttle.failed(&key.to_be_bytes(), Tick::default());
        }
        assert_eq!(throttle.until.lock().len(), KEYS_MAX);
        throttle.failed(b"late", Tick::default().after(RETRY_AFTER));
        assert_eq!(throttle.until.lock().len(), 1, "what is over was not forgotten");
    }
}
