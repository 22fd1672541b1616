//! The outside world behind Forebay's traits: databases, the sources that load from them, the sinks that write to them, journals, a
//! disk, and the tiers on it.
//!
//! It is: pools opened as declared, migrations, declared queries, requests and statements made into sources and sinks, a log that
//! survives crashes, copies and stored values on disk. It is not: a rule of caching; whether and when any of them is asked is the
//! engine's business (crate `forebay`).
//!
//! [`disk`] is a room of its own below the others: ordered, durable maps of bytes in a folder that one process owns.

pub mod database;
pub mod disk;
mod durable;
mod episode;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod journal;
mod lock;
pub mod sink;
pub mod source;
pub mod tier;
pub mod time;
