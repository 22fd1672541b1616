//! Forebay: a read-through cache engine.
//!
//! You declare what a key means (where it is loaded from, how long it is fresh, what may be served after that), and read it
//! at the speed of memory. One load at a time for a key, however many ask; no reader that starts after an invalidation
//! sees what the source gave before it, and nobody stores it again.
//!
//! ```
//! use std::{collections::HashMap, convert::Infallible};
//! use forebay::{Forebay, load_many, secs};
//!
//! #[derive(Debug, PartialEq)]
//! struct Quote { price: &'static str }
//!
//! async fn fetch_quotes(codes: Vec<String>) -> Result<HashMap<String, Quote>, Infallible> {
//!     Ok(codes.into_iter().map(|code| (code, Quote { price: "11.23" })).collect())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), forebay::Error> {
//! let forebay = Forebay::new()?;
//! let quotes = forebay
//!     .namespace::<Quote>("quotes")
//!     .key("stock:{code}")
//!     .ttl(secs(3))
//!     .source(load_many(fetch_quotes))
//!     .build()?;
//! assert_eq!(quotes.get("600000").await?.as_deref(), Some(&Quote { price: "11.23" }));
//! quotes.invalidate("600000").await?;
//! # Ok(()) }
//! ```
//!
//! It is: a memory tier with a byte budget, single-flight loads with time-outs and a breaker, stale windows, remembered
//! absences, invalidation of keys and groups with a fence, and the contracts of a shared tier and its log. It is not: a
//! server, a driver or a serialiser; those are the crates around it.
//!
//! Rooms, in import order: `error`, `rt` → `value` → `namespace` → `observe` → `log` → `tier`, `source`, `feed` → `protection` →
//! `loader` → `invalidation`, `writes`, `warming` → `engine`.

pub mod engine;
pub mod error;
pub mod feed;
mod invalidation;
mod loader;
pub mod log;
pub mod namespace;
pub mod observe;
mod protection;
pub mod rt;
pub mod source;
pub mod tier;
pub mod value;
pub mod warming;
pub mod writes;

pub use engine::{
    Builder, DeadLetter, Decided, FeedStatus, FieldRead, Forebay, Inspected, KeysChange, Keyspace, Listed,
    Membership, Namespace, NamespaceBuilder, Read, Slot, Warming,
};
pub use error::{Error, Fault};
pub use namespace::{BreakerOptions, FOR_EVER, Policy, Writes};
pub use observe::{Counts, Freshness, ReadOutcome, Tier, Why};
pub use protection::{BreakerState, FilterOptions, Phase};
pub use source::{LoadKey, Loaded, Source, SourceError, load_fields, load_many, load_one};
pub use value::{Blob, Kind, Value};
pub use warming::{Warm, WarmProgress};
pub use writes::{BehindOptions, Journal, PendingWrites, Sink, SinkError, write_many, write_one};

/// A span of `n` seconds, for TTLs and windows: `ttl(secs(3))`.
#[must_use]
pub const fn secs(n: u64) -> std::time::Duration {
    std::time::Duration::from_secs(n)
}
