//! Tiers on a disk of this process: copies that outlive it, and values that are the truth.

pub mod embedded;
mod keys;
pub mod store;

use crate::disk::DiskError;

/// The least that was deleted for which files are compacted, in bytes: what is held is written anew for it.
const DEAD_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// Work in the background that fails says so once: one line until it is done again.
#[derive(Debug, Default)]
struct Upkeep {
    fails: bool,
}

impl Upkeep {
    /// Notes how it has ended.
    fn ended(&mut self, done: Result<(), DiskError>) {
        match done {
            Ok(()) => self.fails = false,
            Err(DiskError::Closed) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.fails, true) {
                    tracing::warn!(%error, "what has ended cannot be removed; it is tried again every second");
                }
            }
        }
    }
}
