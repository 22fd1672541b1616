//! The engine's tests. `model.rs` runs under the model checker, with feature `model`; everything else without it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    unreachable_pub,
    reason = "tests may stop at the first surprise"
)]

#[cfg(not(feature = "model"))]
mod allocations;
#[cfg(not(feature = "model"))]
mod batches;
#[cfg(not(feature = "model"))]
mod behind;
#[cfg(not(feature = "model"))]
mod breaker;
#[cfg(not(feature = "model"))]
mod build;
#[cfg(not(feature = "model"))]
mod changes;
#[cfg(not(feature = "model"))]
mod ends;
#[cfg(not(feature = "model"))]
mod expire;
#[cfg(not(feature = "model"))]
mod feeds;
#[cfg(not(feature = "model"))]
mod fence;
#[cfg(not(feature = "model"))]
mod fields;
#[cfg(not(feature = "model"))]
mod freshness;
#[cfg(not(feature = "model"))]
mod groups;
#[cfg(not(feature = "model"))]
mod history;
#[cfg(not(feature = "model"))]
mod kinds;
#[cfg(not(feature = "model"))]
mod listening;
#[cfg(not(feature = "model"))]
mod loads;
#[cfg(not(feature = "model"))]
mod memory;
#[cfg(feature = "model")]
mod model;
#[cfg(feature = "model")]
mod model_memory;
#[cfg(not(feature = "model"))]
mod observe;
#[cfg(all(feature = "planted", not(feature = "model")))]
mod planted;
#[cfg(not(feature = "model"))]
mod quickstart;
#[cfg(not(feature = "model"))]
mod refreshes;
#[cfg(not(feature = "model"))]
mod replaced;
#[cfg(not(feature = "model"))]
mod scripted;
#[cfg(not(feature = "model"))]
mod shared;
#[cfg(not(feature = "model"))]
mod shared_fields;
#[cfg(not(feature = "model"))]
mod shares;
#[cfg(not(feature = "model"))]
mod sliding;
#[cfg(not(feature = "model"))]
mod slow;
#[cfg(not(feature = "model"))]
mod store;
#[cfg(not(feature = "model"))]
mod through;
#[cfg(not(feature = "model"))]
mod versions;
#[cfg(not(feature = "model"))]
mod warming;
