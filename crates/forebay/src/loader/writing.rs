//! The keys that are being written at a sink, and whether something came across a write meanwhile.
//!
//! Whatever closes a flight crosses the write of its key too: after an invalidation nobody knows whether what is written is what the
//! sink has. There is at most one write of a key at a time.

use std::collections::HashMap;
use std::sync::Arc;

use crate::rt::Mutex;
use crate::rt::atomic::{AtomicBool, Ordering};

/// The writes of one namespace that are at its sink; bounded by who begins them.
#[derive(Debug, Default)]
pub(super) struct Writing {
    by_key: Mutex<HashMap<Box<[u8]>, Arc<AtomicBool>>>,
}

impl Writing {
    pub(super) fn begin(self: &Arc<Self>, key: &[u8]) -> Crossed {
        let is_crossed = Arc::new(AtomicBool::new(false));
        self.by_key.lock().insert(key.into(), Arc::clone(&is_crossed));
        Crossed { writing: Arc::clone(self), key: key.into(), is_crossed }
    }

    pub(super) fn cross(&self, key: &[u8]) {
        if let Some(is_crossed) = self.by_key.lock().get(key) {
            is_crossed.store(true, Ordering::Release);
        }
    }

    pub(super) fn cross_all(&self) {
        for is_crossed in self.by_key.lock().values() {
            is_crossed.store(true, Ordering::Release);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.lock().len()
    }
}

/// What came across one write; noted until it is dropped.
#[derive(Debug)]
pub(crate) struct Crossed {
    writing: Arc<Writing>,
    key: Box<[u8]>,
    is_crossed: Arc<AtomicBool>,
}

impl Crossed {
    /// Whether the key was invalidated, in whole or in part, since the write began. Ask under the lock of the insert, as
    /// [`Flight::admits`](super::Flight::admits).
    #[must_use]
    pub(crate) fn is_crossed(&self) -> bool {
        self.is_crossed.load(Ordering::Acquire)
    }
}

impl Drop for Crossed {
    fn drop(&mut self) {
        self.writing.by_key.lock().remove(&self.key);
    }
}
