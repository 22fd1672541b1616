//! The outside world behind Forebay's traits: databases, the sources that load from them, journals on the disk.
//!
//! It is: pools opened as declared, migrations, declared queries made into sources, a log that survives crashes. It is not: a rule
//! of caching; whether and when a source or a journal is asked is the engine's business (crate `forebay`).

pub mod database;
pub mod journal;
pub mod source;
