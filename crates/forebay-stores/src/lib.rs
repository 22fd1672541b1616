//! The outside world behind Forebay's traits: databases, the sources that load from them, the sinks that write to them, journals
//! on the disk.
//!
//! It is: pools opened as declared, migrations, declared queries and statements made into sources and sinks, a log that survives
//! crashes. It is not: a rule of caching; whether and when any of them is asked is the engine's business (crate `forebay`).

pub mod database;
pub mod journal;
pub mod sink;
pub mod source;
