//! A shared tier and a feed in memory whose network loses, delays and repeats, and which forgets: for the tests of other crates.
//!
//! [`SimulatedTier`] is the server; each instance reaches it through a [`Link`] of its own, which implements the engine's
//! contracts [`SharedTier`](forebay::tier::shared::SharedTier) and [`Log`](forebay::log::Log). It keeps these contracts to
//! the letter and is as unhelpful as they allow: [`Faults`] happen by chance, partitions, restarts and trims when a test
//! says so. Time is a [`Clock`](forebay::rt::Clock)'s, chance comes from one seed: the same calls in the same order meet the
//! same faults. [`SimulatedTier::fired`] counts what happened, so that a test can see that it was not spared.
//!
//! `state.rs` is the server as a plain value, `link.rs` the network before it. [`SimulatedFeed`] is as unhelpful in telling what
//! changed in a database, and [`SimulatedStore`] in keeping what it is given.
//!
//! [`proxy`] is a network before a real server. [`conformance`] holds any shared tier to its contract.

pub mod conformance;
mod faults;
mod feed;
mod link;
pub mod proxy;
mod state;
mod store;

pub use faults::{Faults, Fired, Partition};
pub use feed::SimulatedFeed;
pub use link::{ANSWER_WITHIN, Link, SimulatedTier};
pub use store::{SimulatedDisk, SimulatedStore, StoreFaults};
