//! The outside world behind Forebay's traits.
pub mod database;
