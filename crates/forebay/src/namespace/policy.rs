//! The rules of one namespace: how long a value is fresh, what may be served after that, who may write.
//!
//! All spans count from the moment a load *began* (promise P3).

use std::time::Duration;

use crate::rt::Tick;
use crate::value::Kind;

/// What is fresh for this long, or longer, does not end. 100,000 years.
pub const FOR_EVER: Duration = Duration::from_secs(100_000 * 365 * 24 * 60 * 60);

/// The rules of one namespace. Every stale window is zero unless declared.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long a value is fresh. A source may shorten it for one value.
    pub ttl: Duration,
    /// How long after its last use a value ends, where uses keep it fresh (a sliding TTL); `ttl` is then the longest that it
    /// lives, however much it is used. Without stale windows. Default: none.
    pub idle: Option<Duration>,
    /// How long after its load began a value is fresh at most that says itself until when it is
    /// ([`Loaded::fresh_until`](crate::Loaded::fresh_until)); of the others `ttl` tells. What a client writes says nothing of the kind.
    /// Default: `ttl`, which such a value can only shorten then.
    pub fresh_at_most: Option<Duration>,
    /// How long an absence is believed. Default: `ttl`, at most 30 s.
    pub absent_ttl: Duration,
    /// How long past its TTL a value is served while one refresh runs. Default: zero.
    pub stale_while_revalidate: Duration,
    /// How long past its TTL a value is served when the source fails. Default: zero.
    pub stale_if_error: Duration,
    /// The most that `ttl` is shortened by chance, so that values loaded together do not expire together; a value's own TTL
    /// and an absence's are shortened in proportion, never by more, a client's write is not. Default: zero.
    pub jitter: Duration,
    /// A read this long before the TTL ends starts a refresh in the background; shorter than `ttl`. Of a sliding TTL it is the
    /// longest life that counts: who uses a value has prolonged it already. Default: zero, never.
    pub refresh_ahead: Duration,
    /// What is held is refreshed this often, read or not; at least 1 s. That is no use, by which a sliding TTL would be
    /// prolonged. Default: never.
    pub refresh_every: Option<Duration>,
    /// How long a copy stays in memory, counted from when it came there; the next read asks the shared tier. More than zero, and only
    /// where there is a shared tier and clients' writes are not kept in memory. Default: as long as it is of use.
    pub memory_max_age: Option<Duration>,
    /// The longest that a reader waits for a load, in the queue and at the source together. Default: 5 s.
    pub load_timeout: Duration,
    /// After this long a reader who may have a stale value (`stale_if_error`) takes it, and the load goes on in the background.
    /// Default: 100 ms.
    pub soft_timeout: Duration,
    /// When a failing source is left alone.
    pub breaker: BreakerOptions,
    /// How many loads may be asked of the source at once. Default: 16.
    pub concurrency: usize,
    /// How many keys may wait for the source. Default: 1,024.
    pub queue: usize,
    /// Raised when the shape of the values changes, so that new code never meets copies of the old shape. Default: 0.
    pub shape: u32,
    /// What a write by a client does.
    pub writes: Writes,
    /// The kind of what clients write and this namespace keeps, in memory or its store; others are refused. What a source gives is not
    /// judged, nor what goes to a sink, which judges for itself. Default: any.
    pub kind: Option<Kind>,
}

/// When a failing source is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Failures in a row that open it. Default 5, at least 1; [`u32::MAX`] is "never".
    pub failures: u32,
    /// Probes in a row that must succeed to close it. Default 2, at least 1.
    pub successes: u32,
    /// How long it stays open before the first probe. Default 60 s; zero makes every load after the opening a probe.
    pub pause: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self { failures: 5, successes: 2, pause: Duration::from_secs(60) }
    }
}

impl BreakerOptions {
    /// Options of a breaker that never opens.
    #[must_use]
    pub const fn never() -> Self {
        Self { failures: u32::MAX, successes: 1, pause: Duration::ZERO }
    }
}

/// What a write by a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// It is refused: the source has the truth. The default where there is a source.
    Refuse,
    /// It is kept until its TTL or an invalidation; the source is not touched. The default where there is no source.
    Cache,
    /// It goes to the namespace's sink first, and what is held follows once the sink has applied it.
    Through,
    /// It is journaled and acknowledged; the namespace's sink applies it later, and readers of this instance see it at once.
    Behind,
    /// It is written to the namespace's store, which is the truth. The only one where there is a store.
    Store,
}

/// The longest that an absence is believed unless the namespace says otherwise.
const ABSENT_TTL_MAX: Duration = Duration::from_secs(30);
/// How long a reader who may have a stale value waits for a load, unless the namespace says otherwise.
const SOFT_TIMEOUT: Duration = Duration::from_millis(100);
/// The longest that a reader waits for a load unless the namespace says otherwise.
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
            idle: None,
            fresh_at_most: None,
            absent_ttl: ttl.min(ABSENT_TTL_MAX),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            jitter: Duration::ZERO,
            refresh_ahead: Duration::ZERO,
            refresh_every: None,
            memory_max_age: None,
            load_timeout: LOAD_TIMEOUT,
            soft_timeout: SOFT_TIMEOUT,
            breaker: BreakerOptions::default(),
            concurrency: CONCURRENCY,
            queue: QUEUE,
            shape: 0,
            writes: Writes::Refuse,
            kind: None,
        }
    }

    /// When a value, or an absence, that a load begun at `began` brought stops being fresh and when it is of no use any more;
    /// `own` is the TTL that the source gave it, `until` when it ends by its own word.
    #[must_use]
    pub fn loaded(&self, began: Tick, absent: bool, own: Option<Duration>, until: Option<Tick>) -> Life {
        let said = until.map_or(self.ttl, |until| until.since(began).min(self.longest()));
        let ttl = match (absent, own) {
            (true, _) => self.absent_ttl,
            (false, Some(own)) => own.min(said),
            (false, None) => said,
        };
        self.life(began, ttl.saturating_sub(self.taken_off(ttl)), absent)
    }

    /// How long any value is fresh at most: those that say so themselves for longer than the TTL, where that is allowed.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.fresh_at_most.unwrap_or(self.ttl)
    }

    /// The same of a value, or an absence, that another process has kept for `life` by what was declared there: for no longer than it would
    /// live here.
    #[must_use]
    pub fn taken_over(&self, began: Tick, absent: bool, life: Life) -> Life {
        let ttl = if absent { self.absent_ttl } else { self.ttl.max(self.longest()) };
        let Life { fresh_until, useless_from } = self.life(began, ttl, absent);
        // Uses may have prolonged it.
        let useless_from = if self.idle.is_some() { fresh_until } else { useless_from };
        Life {
            fresh_until: life.fresh_until.min(fresh_until),
            useless_from: life.useless_from.min(useless_from),
        }
    }

    /// The same of a value that a client writes now: fresh for exactly `own`, at most for the TTL.
    #[must_use]
    pub fn written(&self, now: Tick, own: Option<Duration>) -> Life {
        self.life(now, own.unwrap_or(self.ttl).min(self.ttl), false)
    }

    /// When a value that is used at `now` is of no use any more: later than before where uses prolong it.
    #[must_use]
    pub fn used(&self, now: Tick, life: Life) -> Tick {
        self.idle
            .map_or(life.useless_from, |idle| now.after(idle).min(life.fresh_until).max(life.useless_from))
    }

    fn life(&self, began: Tick, ttl: Duration, absent: bool) -> Life {
        let ends = began.after(ttl);
        match self.idle {
            _ if absent => Life { fresh_until: ends, useless_from: ends },
            Some(idle) => Life { fresh_until: ends, useless_from: began.after(idle).min(ends) },
            None => Life {
                fresh_until: ends,
                useless_from: ends.after(self.stale_while_revalidate.max(self.stale_if_error)),
            },
        }
    }

    /// What jitter takes off `ttl`: in proportion, so that a short absence is not forgotten at once, and no more than was declared.
    fn taken_off(&self, ttl: Duration) -> Duration {
        if self.jitter.is_zero() || self.ttl.is_zero() {
            return Duration::ZERO;
        }
        let ttl = ttl.min(self.ttl);
        ttl.mul_f64((self.jitter.as_secs_f64() / self.ttl.as_secs_f64()).min(1.0) * fastrand::f64())
    }
}

/// From when on a value is no longer fresh, and no longer of any use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it stops being fresh, however much it is used.
    pub fresh_until: Tick,
    /// When it may be served no more: past its stale windows, which absences do not have; or unused for so long, which may come
    /// before it stops being fresh.
    pub useless_from: Tick,
}
