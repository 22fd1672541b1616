//! The engine put together: keyspaces of namespaces over one memory, read through their sources.
//!
//! Start with [`Forebay::builder`] or [`Forebay::new`]; the life of a GET is in `read.rs`, that of a load in `load.rs`.

mod asking;
mod behind;
mod builder;
mod change;
mod collections;
mod commit_held;
mod common;
mod core;
mod feeds;
mod fields;
mod fill;
mod handle;
mod inspect;
mod keyspace;
mod lease;
mod lease_waits;
mod listed;
mod listing;
mod load;
mod membership;
#[cfg(test)]
#[cfg(feature = "model")]
mod model;
mod namespace;
mod nowhere;
mod outcome;
mod parts;
mod read;
mod refresh;
mod replace;
mod rules;
mod shared;
mod store;
mod store_source;
mod store_uses;
mod text;
mod through;
mod together;
mod upkeep;
mod verbs;
mod waiting;
mod warm;

pub use builder::{Builder, Forebay};
pub use change::{KeysChange, Slot};
pub use feeds::FeedStatus;
pub use fields::FieldRead;
pub use handle::Namespace;
pub use inspect::Inspected;
pub use keyspace::Keyspace;
pub use listed::Listed;
pub use membership::Membership;
pub use namespace::{Decided, NamespaceBuilder};
pub use read::Read;
pub use text::Held;
pub use waiting::DeadLetter;
pub use warm::Warming;
