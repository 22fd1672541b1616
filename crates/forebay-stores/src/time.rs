//! The wall clock: by it rows name moments, schedules are told, and clients say until when. Order and age are by
//! [`forebay::rt::Clock`] alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use forebay::rt::{Clock, Tick};

/// The wall clock of a process: the system's, or one that a test sets. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct WallClock(Option<Arc<AtomicU64>>);

impl WallClock {
    /// The system's, which may jump in both directions.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// One that stands still until it is [set](Self::set), at so many milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn standing(unix_ms: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(unix_ms))))
    }

    /// Sets one that stands still; the system's goes by itself.
    pub fn set(&self, unix_ms: u64) {
        if let Some(time) = &self.0 {
            time.store(unix_ms, Ordering::SeqCst);
        }
    }

    /// The time since 1970-01-01 UTC.
    #[must_use]
    pub fn now(&self) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "this is the door to the wall clock")]
        let system = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.as_ref().map_or_else(system, |time| Duration::from_millis(time.load(Ordering::SeqCst)))
    }
}

/// The clocks that a source goes by whose rows name moments.
#[derive(Clone, Debug, Default)]
pub struct Clocks {
    /// The engine's, by which what it loaded grows old.
    pub engine: Clock,
    /// The wall clock.
    pub wall: WallClock,
}

/// One moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    tick: Tick,
    /// Whole milliseconds since 1970-01-01 UTC.
    unix_ms: i64,
    /// The same where a millisecond that has begun counts: what is counted from there to a moment is never too long.
    begun_ms: i64,
}

impl Clocks {
    /// The present.
    pub(crate) fn now(&self) -> Moment {
        // The engine's first: whatever passes between the two lets a moment of the wall clock come sooner by the engine's, not later.
        let tick = self.engine.now();
        let now = self.wall.now();
        let unix_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let is_whole = now.subsec_nanos().is_multiple_of(1_000_000);
        Moment { tick, unix_ms, begun_ms: unix_ms.saturating_add(i64::from(!is_whole)) }
    }
}

impl Moment {
    /// It as text of RFC 3339, in UTC with three digits of milliseconds, so that such texts are in the order of their moments.
    pub(crate) fn text(self) -> String {
        let last = jiff::Timestamp::MAX;
        let time = jiff::Timestamp::from_millisecond(self.unix_ms).unwrap_or(last);
        time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
    }

    /// The tick at which the wall clock shows the moment that `text` names, as RFC 3339; this one's where that is before it. `None` for
    /// text that names no moment.
    pub(crate) fn tick_of(self, text: &str) -> Option<Tick> {
        let named: jiff::Timestamp = text.parse().ok()?;
        let ahead_ms = named.as_millisecond().saturating_sub(self.begun_ms);
        Some(self.tick.after(Duration::from_millis(u64::try_from(ahead_ms).unwrap_or(0))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay::rt::Clock;

    use super::{Clocks, WallClock};

    fn clocks(unix_ms: u64) -> Clocks {
        let engine = Clock::simulated();
        engine.advance(Duration::from_secs(7));
        Clocks { engine, wall: WallClock::standing(unix_ms) }
    }

    #[test]
    fn a_moment_is_told_with_three_digits() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_341_600_000, "2026-11-22T10:00:00.000Z"),
            (1_795_341_600_007, "2026-11-22T10:00:00.007Z"),
            (u64::MAX, "9999-12-30T22:00:00.999Z"),
        ] {
            assert_eq!(clocks(unix_ms).now().text(), text);
        }
    }

    #[test]
    fn a_named_moment_is_a_tick_to_the_millisecond() {
        let now = clocks(1_795_341_600_000).now();
        for (text, ahead_ms) in [
            ("2026-11-22T10:00:01.500Z", Some(1_500)),
            ("2026-11-22T10:00:01.500999Z", Some(1_500)),
            ("2026-11-22T11:00:00+01:00", Some(0)),
            ("2026-11-22T10:01:00.000000+00:00", Some(60_000)),
            ("2020-01-01T00:00:00Z", Some(0)),
            ("2026-11-22T10:00:00", None),
            ("2026-11-22", None),
            ("infinity", None),
            ("1795341600", None),
            ("", None),
        ] {
            let tick = now.tick_of(text).map(|tick| tick.since(now.tick));
            assert_eq!(tick, ahead_ms.map(Duration::from_millis), "{text:?}");
        }
    }
}
