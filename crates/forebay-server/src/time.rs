//! Moments of the wall clock, which clients name.

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
