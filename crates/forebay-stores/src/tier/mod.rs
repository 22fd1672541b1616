//! Tiers that instances share, between their memories and the sources.

pub mod embedded;
