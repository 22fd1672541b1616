//! A read-through cache engine.
pub mod rt;
