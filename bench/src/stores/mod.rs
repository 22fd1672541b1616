//! What lies behind the engine's traits: the tier on the disk, journals, sinks, and sources that break.

pub(crate) mod batch;
pub(crate) mod behind;
pub(crate) mod faults;
pub(crate) mod restart;

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::error::Error;

/// The present.
#[expect(clippy::disallowed_methods, reason = "what is measured is the machine's own time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn runtime() -> Result<Runtime, Error> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// What went wrong in a store.
pub(crate) fn store(error: impl std::fmt::Display) -> Error {
    Error::Store { problem: error.to_string() }
}

/// So many in a second.
fn per_second(many: u32, took: Duration) -> f64 {
    f64::from(many) / took.as_secs_f64()
}
