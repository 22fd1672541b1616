//! The wall clock, by which clients name moments and schedules are told. Order and age are by [`forebay::rt::Clock`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far away a moment is, in milliseconds since 1970-01-01 UTC; zero where it has passed.
pub(crate) fn until(unix_ms: u64) -> Duration {
    Duration::from_millis(unix_ms).saturating_sub(now())
}

/// The time since 1970-01-01 UTC.
pub(crate) fn now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "clients name moments of the wall clock")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The wall clock that jobs and apps go by: the system's, or one that a test sets. Clones show the same time.
#[derive(Clone, Debug)]
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
        self.0.as_ref().map_or_else(now, |time| Duration::from_millis(time.load(Ordering::SeqCst)))
    }
}
