//! The outside world behind Forebay's traits: databases, and the sources that load from them; a disk, and the tier on it.
//!
//! It is: pools opened as declared, migrations, declared queries made into sources, copies and their log on disk. It is not: a
//! rule of caching; whether and when a source is asked, or a tier, is the engine's business (crate `forebay`).
//!
//! [`disk`] is a room of its own below the others: ordered, durable maps of bytes in a folder that one process owns.

pub mod database;
pub mod disk;
pub mod source;
pub mod tier;
