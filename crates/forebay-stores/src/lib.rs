//! The outside world behind Forebay's traits: databases, and the sources that load from them.
//!
//! It is: pools opened as declared, migrations, declared queries made into sources. It is not: a rule of caching; whether
//! and when a source is asked is the engine's business (crate `forebay`).

pub mod database;
pub mod source;
