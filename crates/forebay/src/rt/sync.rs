//! Locks: std's in the product, the model checker's under feature `model`.
//!
//! A lock whose holder panicked is entered all the same: each critical section of the engine leaves its structure
//! whole at every step, and one reader's panic may not take the cache down.

#![cfg_attr(
    not(feature = "model"),
    expect(clippy::disallowed_types, reason = "this is the door that the bans point to")
)]

#[cfg(feature = "model")]
use shuttle::sync as imp;
#[cfg(not(feature = "model"))]
use std::sync as imp;

pub use imp::MutexGuard;

/// A mutual exclusion lock.
#[derive(Debug, Default)]
pub struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock around `value`.
    pub fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    /// Enters the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Enters the lock unless somebody is in it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(entered) => Some(entered),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}
