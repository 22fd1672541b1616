//! Keys that connections watch until their next EXEC: whether a command has changed one of them meanwhile.
//!
//! Commands tell the keys that they change. What changes a value otherwise (its end, another front end, another instance) shows in the
//! value itself, which EXEC compares (`transaction.rs`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use forebay::Value;
use forebay::rt::Mutex;

/// A key: its keyspace's number, and its text.
type Place = (u32, Bytes);

/// Whom to tell of a change of a key.
type Watchers = Vec<Arc<AtomicBool>>;

/// All watched keys of a process.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// How many keys are watched, so that writers look no further where none is.
    watched: AtomicUsize,
    by_key: Mutex<HashMap<Place, Watchers>>,
}

/// The keys that one connection watches, until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    watches: Arc<Watches>,
    /// One of the keys was changed by a command.
    changed: Arc<AtomicBool>,
    /// The keys, and what they had.
    pub(super) keys: Vec<(Place, Option<Value>)>,
}

impl Watches {
    /// Tells those who watch `key` that a command has changed it.
    pub(super) fn changed<'k>(&self, db: u32, keys: impl IntoIterator<Item = &'k Bytes>) {
        if self.watched.load(Ordering::Acquire) == 0 {
            return;
        }
        let by_key = self.by_key.lock();
        for key in keys {
            for watcher in by_key.get(&(db, key.clone())).into_iter().flatten() {
                watcher.store(true, Ordering::Release);
            }
        }
    }
}

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new(watches: &Arc<Watches>) -> Self {
        Self { watches: Arc::clone(watches), changed: Arc::default(), keys: Vec::new() }
    }

    /// Watches `key`, from before its value is looked at.
    pub(super) fn add(&mut self, db: u32, key: &Bytes) {
        // A copy of its own: the request's buffer is not kept.
        let place = (db, Bytes::copy_from_slice(key));
        let mut by_key = self.watches.by_key.lock();
        by_key.entry(place.clone()).or_default().push(Arc::clone(&self.changed));
        self.watches.watched.fetch_add(1, Ordering::AcqRel);
        self.keys.push((place, None));
    }

    /// Whether a command has changed one of the keys.
    pub(super) fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut by_key = self.watches.by_key.lock();
        for (place, _) in &self.keys {
            if let Some(watchers) = by_key.get_mut(place) {
                if let Some(own) = watchers.iter().position(|watcher| Arc::ptr_eq(watcher, &self.changed)) {
                    watchers.swap_remove(own);
                    self.watches.watched.fetch_sub(1, Ordering::AcqRel);
                }
                if watchers.is_empty() {
                    by_key.remove(place);
                }
            }
        }
    }
}
