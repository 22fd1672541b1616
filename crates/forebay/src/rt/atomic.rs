//! Atomics: std's in the product, the model checker's under feature `model`.

#[cfg(feature = "model")]
pub use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(not(feature = "model"))]
pub use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
