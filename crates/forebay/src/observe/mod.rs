//! How a read ended, said once: replies, headers, counters and tests are all made from a [`ReadOutcome`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Which tier an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// This process's memory.
    Memory,
    /// The source behind the namespace.
    Source,
    /// None was asked: the key cannot exist (text that is not canonical for its parameter's type).
    Nowhere,
}

impl Tier {
    /// Its word in headers, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Source => "source",
            Self::Nowhere => "nowhere",
        }
    }
}

/// How good an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// Within its TTL.
    Fresh,
    /// Past its TTL and served all the same.
    Stale(Why),
    /// Known not to exist.
    Absent,
}

/// Why a stale value was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// One refresh runs; the policy lets readers have the old value meanwhile.
    Revalidating,
    /// The source failed; the policy lets readers have the old value.
    SourceFailed,
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOutcome {
    /// Where the answer came from.
    pub tier: Tier,
    /// How good it is.
    pub freshness: Freshness,
    /// How long ago the load that brought it began.
    pub age: Duration,
    /// How long it stays fresh; zero for a stale one.
    pub fresh_for: Duration,
    /// How long ago it stopped being fresh; zero for a fresh one.
    pub stale_for: Duration,
}

/// What has been read in one namespace since it was built. A snapshot; its numbers are read one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Fresh values and believed absences from memory.
    pub hits: u64,
    /// Reads that waited for a load.
    pub misses: u64,
    /// Stale values served.
    pub stale: u64,
    /// Reads that ended in an error.
    pub errors: u64,
    /// Loads asked of the source.
    pub loads: u64,
    /// Loads whose answer was not stored: it was fenced off, expired on arrival, or too large.
    pub refused_fills: u64,
}

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
pub struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
    errors: AtomicU64,
    loads: AtomicU64,
    refused_fills: AtomicU64,
}

impl Counters {
    /// A read ended in `outcome`.
    pub fn read(&self, outcome: &ReadOutcome) {
        match (outcome.freshness, outcome.tier) {
            (Freshness::Stale(_), _) => add(&self.stale),
            (_, Tier::Source) => add(&self.misses),
            (_, Tier::Memory | Tier::Nowhere) => add(&self.hits),
        }
    }

    /// A read ended in an error.
    pub fn failed(&self) {
        add(&self.errors);
    }

    /// The source was asked.
    pub fn loaded(&self) {
        add(&self.loads);
    }

    /// An answer was not stored.
    pub fn refused_fill(&self) {
        add(&self.refused_fills);
    }

    /// The numbers now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            stale: self.stale.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            loads: self.loads.load(Ordering::Relaxed),
            refused_fills: self.refused_fills.load(Ordering::Relaxed),
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
