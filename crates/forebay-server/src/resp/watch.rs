//! Keys that connections watch until their next EXEC: whether a command has changed one of them meanwhile.
//!
//! Commands tell the keys that they change. What changes a value otherwise (its end, another front end, another instance) shows in the
//! value itself, of which a fingerprint is kept that EXEC compares (`transaction.rs`). So a watched key costs its text and some bytes,
//! however large its value.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use forebay::Value;
use forebay::rt::Mutex;
use forebay::value::counter;
use twox_hash::XxHash3_128;

/// The most keys that one connection watches.
pub(super) const KEYS_MAX: usize = 10_000;

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
    /// The keys, and the fingerprints of what they had.
    keys: HashMap<Place, u128>,
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

    fn leave(&self, place: &Place, own: &Arc<AtomicBool>) {
        let mut by_key = self.by_key.lock();
        let Some(watchers) = by_key.get_mut(place) else { return };
        if let Some(own) = watchers.iter().position(|watcher| Arc::ptr_eq(watcher, own)) {
            watchers.swap_remove(own);
            self.watched.fetch_sub(1, Ordering::AcqRel);
        }
        if watchers.is_empty() {
            by_key.remove(place);
        }
    }
}

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new(watches: &Arc<Watches>) -> Self {
        Self { watches: Arc::clone(watches), changed: Arc::default(), keys: HashMap::new() }
    }

    /// How many keys it watches.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys, each with its keyspace's number and the fingerprint of what it had.
    pub(super) fn keys(&self) -> impl Iterator<Item = (u32, &Bytes, u128)> {
        self.keys.iter().map(|((db, key), had)| (*db, key, *had))
    }

    /// Watches `key`, from before its value is looked at; whether it did not before.
    pub(super) fn add(&mut self, db: u32, key: &Bytes) -> bool {
        // A copy of its own: the request's buffer is not kept.
        let place = (db, Bytes::copy_from_slice(key));
        if self.keys.contains_key(&place) {
            return false;
        }
        self.watches.by_key.lock().entry(place.clone()).or_default().push(Arc::clone(&self.changed));
        self.watches.watched.fetch_add(1, Ordering::AcqRel);
        self.keys.insert(place, 0);
        true
    }

    /// Notes what a watched key has.
    pub(super) fn saw(&mut self, db: u32, key: &Bytes, fingerprint: u128) {
        if let Some(had) = self.keys.get_mut(&(db, key.clone())) {
            *had = fingerprint;
        }
    }

    /// Watches `key` no more.
    pub(super) fn forget(&mut self, db: u32, key: &Bytes) {
        let place = (db, key.clone());
        if self.keys.remove(&place).is_some() {
            self.watches.leave(&place, &self.changed);
        }
    }

    /// Whether a command has changed one of the keys.
    pub(super) fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for place in self.keys.keys() {
            self.watches.leave(place, &self.changed);
        }
    }
}

/// What values are told apart by: their kind and their content. A number is the string that shows it.
pub(super) fn fingerprint(value: Option<&Value>) -> u128 {
    // Each piece is hashed for itself, so that where one ends and the next begins makes a difference.
    let mix = |sum: u128, piece: &[u8]| {
        sum.wrapping_mul(0x2d35_8dcc_aa6c_78a5_8bb8_4b93_962e_acc9).wrapping_add(XxHash3_128::oneshot(piece))
    };
    match value {
        None => 0,
        Some(Value::Blob(blob)) => mix(1, blob.as_bytes()),
        Some(Value::Counter(number)) => mix(1, &counter::print(*number)),
        Some(Value::Hash(hash)) => {
            hash.iter_scan().fold(2, |sum, (field, value)| mix(mix(sum, field), value))
        }
        Some(Value::SortedSet(set)) => set
            .iter()
            .fold(3, |sum, (member, score)| mix(mix(sum, member), &score.get().to_bits().to_le_bytes())),
        // Nobody can tell two of these apart: never the same, so that it counts as changed.
        Some(Value::Native { .. }) => fastrand::u128(..),
    }
}
