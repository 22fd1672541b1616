//! The wall clock, by which clients name moments, rows say until when, and schedules are told. Order and age are by
//! [`forebay::rt::Clock`].

use std::time::Duration;

pub use forebay_stores::time::{Clocks, WallClock};

/// How far away a moment is, in milliseconds since 1970-01-01 UTC; zero where it has passed.
pub(crate) fn until(unix_ms: u64) -> Duration {
    Duration::from_millis(unix_ms).saturating_sub(now())
}

/// The time since 1970-01-01 UTC.
pub(crate) fn now() -> Duration {
    WallClock::system().now()
}
