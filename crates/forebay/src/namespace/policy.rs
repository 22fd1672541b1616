//! The rules of one namespace: how long a value is fresh, what may be served after that, who may write.
//!
//! All spans count from the moment a load *began* (promise P3).

use std::time::Duration;

use crate::rt::Tick;

/// The rules of one namespace. Every stale window is zero unless declared.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long a value is fresh. A source may shorten it for one value.
    pub ttl: Duration,
    /// How long an absence is believed. Default: `ttl`, at most 30 s.
    pub absent_ttl: Duration,
    /// How long past its TTL a value is served while one refresh runs. Default: zero.
    pub stale_while_revalidate: Duration,
    /// How long past its TTL a value is served when the source fails. Default: zero.
    pub stale_if_error: Duration,
    /// The most that `ttl` is shortened by chance, so that values loaded together do not expire together; a value's own TTL
    /// and an absence's are shortened in proportion, a client's write is not. Default: zero.
    pub jitter: Duration,
    /// How long one load may take. Default: 5 s.
    pub load_timeout: Duration,
    /// How many loads may be asked of the source at once. Default: 16.
    pub concurrency: usize,
    /// How many keys may wait for the source. Default: 1,024.
    pub queue: usize,
    /// What a write by a client does.
    pub writes: Writes,
}

/// What a write by a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// It is refused: the source has the truth. The default where there is a source.
    Refuse,
    /// It is kept until its TTL or an invalidation; the source is not touched. The default where there is no source.
    Cache,
}

/// The longest that an absence is believed unless the namespace says otherwise.
const ABSENT_TTL_MAX: Duration = Duration::from_secs(30);
/// How long one load may take unless the namespace says otherwise.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How many loads may be asked of the source at once unless the namespace says otherwise.
const CONCURRENCY: usize = 16;
/// How many keys may wait for the source unless the namespace says otherwise.
const QUEUE: usize = 1024;

impl Policy {
    /// The rules of a namespace whose values are fresh for `ttl`, everything else at its default.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            absent_ttl: ttl.min(ABSENT_TTL_MAX),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            jitter: Duration::ZERO,
            load_timeout: LOAD_TIMEOUT,
            concurrency: CONCURRENCY,
            queue: QUEUE,
            writes: Writes::Refuse,
        }
    }

    /// When what a load that began at `began` brought stops being fresh; `own` is the TTL that the source gave it.
    #[must_use]
    pub fn fresh_until(&self, began: Tick, absent: bool, own: Option<Duration>) -> Tick {
        let ttl = match (absent, own) {
            (true, _) => self.absent_ttl,
            (false, Some(own)) => own.min(self.ttl),
            (false, None) => self.ttl,
        };
        began.after(ttl.saturating_sub(self.taken_off(ttl)))
    }

    /// When a value that a client writes now stops being fresh: exactly after `own`, at most after the TTL.
    #[must_use]
    pub fn written_fresh_until(&self, now: Tick, own: Option<Duration>) -> Tick {
        now.after(own.unwrap_or(self.ttl).min(self.ttl))
    }

    /// What jitter takes off `ttl`: in proportion, so that a short absence is not forgotten at once.
    fn taken_off(&self, ttl: Duration) -> Duration {
        if self.jitter.is_zero() || self.ttl.is_zero() {
            return Duration::ZERO;
        }
        ttl.mul_f64((self.jitter.as_secs_f64() / self.ttl.as_secs_f64()).min(1.0) * fastrand::f64())
    }

    /// When an entry that is fresh until `fresh_until` is of no use any more. Absences are never served stale.
    #[must_use]
    pub fn useless_from(&self, fresh_until: Tick, absent: bool) -> Tick {
        if absent {
            return fresh_until;
        }
        fresh_until.after(self.stale_while_revalidate.max(self.stale_if_error))
    }
}
