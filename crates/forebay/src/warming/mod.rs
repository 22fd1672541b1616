//! Warming: keys are loaded before anybody asks, so that the first readers need not wait.
//!
//! What is to be warmed is listed in the declaration, is what the source lists itself, or is what was read most
//! (`sketch.rs`). Plans, progress and the pace are here (`plan.rs`); who loads, and remembers the hottest keys over a
//! restart, is the engine.

mod plan;
mod sketch;

pub(crate) use plan::{Progress, may_start};
pub use plan::{Warm, WarmProgress};
pub(crate) use sketch::Sketch;
