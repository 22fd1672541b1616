//! How long requests take, finer than the engine's clock ticks. Statistics alone are made of it: nothing is decided by it.

use std::time::{Duration, Instant};

use forebay::rt::Clock;

/// A moment to measure from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Now; what the system's clock shows is `clock`'s too from then on.
    #[expect(
        clippy::disallowed_methods,
        reason = "a statistic: the engine's clock ticks in milliseconds, and a hit takes microseconds"
    )]
    pub(crate) fn start(clock: &Clock) -> Self {
        let now = Instant::now();
        clock.shows(now);
        Self(now)
    }

    /// Now, where nobody else is told what the system's clock shows.
    #[expect(
        clippy::disallowed_methods,
        reason = "a statistic: the engine's clock ticks in milliseconds, and the slow log tells microseconds"
    )]
    pub(crate) fn aside() -> Self {
        Self(Instant::now())
    }

    /// The time since then.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// The time since then, in whole microseconds.
    pub(crate) fn elapsed_us(self) -> u64 {
        us(self.elapsed())
    }
}

/// `span` in whole microseconds.
pub(crate) fn us(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
