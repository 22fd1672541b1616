//! Tiers on a disk of this process: copies that outlive it, and values that are the truth.

pub mod embedded;
pub mod store;
