//! The only door to the clock, to spawning and to locks.
//!
//! Everything else in the engine imports these from here, so that the shipped code runs under the model checker
//! (feature `model`) and under a simulated clock.

pub mod atomic;
mod clock;
#[cfg(feature = "model")]
pub mod model;
pub mod planted;
mod sync;
mod tasks;

pub use clock::{Clock, Elapsed, Tick};
pub use sync::{Mutex, MutexGuard};
pub use tasks::Tasks;
pub(crate) use tasks::let_go;
