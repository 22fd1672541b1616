//! Keys that connections watch until their next EXEC: whether a command has changed one of them meanwhile.
//!
//! Commands tell the keys that they change. What changes a value otherwise (its end, another front end, another instance) shows in the
//! value itself, of which a fingerprint is kept that EXEC compares (`transaction/`). So a watched key costs its text and some bytes,
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
const KEYS_MAX: usize = 10_000;
/// The most bytes that these keys have.
const BYTES_MAX: usize = 4 << 20;
/// The most bytes of the keys that all connections watch. A key that several watch counts for each.
const BYTES_MAX_OF_ALL: usize = 64 << 20;
/// What a watched key weighs beside its text, in bytes.
const KEY_BYTES: usize = 192;

/// A key: its keyspace's number, and its text.
type Place = (u32, Bytes);

/// Whom to tell of a change of a key.
type Watchers = Vec<Arc<AtomicBool>>;

/// All watched keys of a process.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// What the watched keys weigh; zero where there are none, so that writers look no further.
    bytes: AtomicUsize,
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
    /// What they weigh.
    bytes: usize,
}

/// Why a key is not watched.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("ERR a connection watches at most {KEYS_MAX} keys")]
    Keys,
    #[error("ERR the keys that a connection watches have at most {BYTES_MAX} bytes: UNWATCH first")]
    Bytes,
    #[error(
        "ERR the keys that all connections watch have at most {BYTES_MAX_OF_ALL} bytes: try again when others have ended their transactions"
    )]
    BytesOfAll,
}

/// What a watched key weighs.
fn weight(key: &[u8]) -> usize {
    key.len().saturating_add(KEY_BYTES)
}

impl Watches {
    /// Tells those who watch `key` that a command has changed it.
    pub(super) fn changed<'k>(&self, db: u32, keys: impl IntoIterator<Item = &'k Bytes>) {
        if self.bytes.load(Ordering::Acquire) == 0 {
            return;
        }
        let by_key = self.by_key.lock();
        for key in keys {
            for watcher in by_key.get(&(db, key.clone())).into_iter().flatten() {
                watcher.store(true, Ordering::Release);
            }
        }
    }

    /// Has `own` told of changes of a key; where that is, in bytes that all who watch it share.
    fn enter(&self, (db, key): (u32, &Bytes), own: &Arc<AtomicBool>) -> Result<Place, Refused> {
        let mut by_key = self.by_key.lock();
        let bytes = self.bytes.load(Ordering::Acquire).saturating_add(weight(key));
        if bytes > BYTES_MAX_OF_ALL {
            return Err(Refused::BytesOfAll);
        }
        let known = by_key.get_key_value(&(db, key.clone())).map(|(place, _)| place.clone());
        // A copy of its own: the request's buffer is not kept.
        let place = known.unwrap_or_else(|| (db, Bytes::copy_from_slice(key)));
        by_key.entry(place.clone()).or_default().push(Arc::clone(own));
        self.bytes.store(bytes, Ordering::Release);
        Ok(place)
    }

    fn leave(&self, place: &Place, own: &Arc<AtomicBool>) {
        let mut by_key = self.by_key.lock();
        let Some(watchers) = by_key.get_mut(place) else { return };
        if let Some(own) = watchers.iter().position(|watcher| Arc::ptr_eq(watcher, own)) {
            watchers.swap_remove(own);
            self.bytes.fetch_sub(weight(&place.1), Ordering::AcqRel);
        }
        if watchers.is_empty() {
            by_key.remove(place);
        }
    }
}

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new(watches: &Arc<Watches>) -> Self {
        Self { watches: Arc::clone(watches), changed: Arc::default(), keys: HashMap::new(), bytes: 0 }
    }

    /// The keys, each with its keyspace's number and the fingerprint of what it had.
    pub(super) fn keys(&self) -> impl Iterator<Item = (u32, &Bytes, u128)> {
        self.keys.iter().map(|((db, key), had)| (*db, key, *had))
    }

    /// Watches `key`, from before its value is looked at; whether it did not before.
    pub(super) fn add(&mut self, db: u32, key: &Bytes) -> Result<bool, Refused> {
        if self.keys.contains_key(&(db, key.clone())) {
            return Ok(false);
        }
        let bytes = self.bytes.saturating_add(weight(key));
        if self.keys.len() >= KEYS_MAX {
            return Err(Refused::Keys);
        }
        if bytes > BYTES_MAX {
            return Err(Refused::Bytes);
        }
        let place = self.watches.enter((db, key), &self.changed)?;
        self.keys.insert(place, 0);
        self.bytes = bytes;
        Ok(true)
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
            self.bytes -= weight(key);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of this many bytes, unlike all others.
    fn key(number: usize, bytes: usize) -> Bytes {
        let number = number.to_string();
        Bytes::from(format!("{number}{}", "x".repeat(bytes - number.len())))
    }

    #[test]
    fn watched_keys_are_bounded_for_one_and_for_all() {
        const LONG: usize = 1 << 20;
        let watches = Arc::default();
        let mut all = Vec::new();
        let refused = loop {
            let mut watch = Watch::new(&watches);
            let mut number = 0;
            let refused = loop {
                match watch.add(0, &key(number, LONG)) {
                    Ok(added) => assert!(added),
                    Err(refused) => break refused,
                }
                number += 1;
            };
            assert_eq!(watch.keys().count(), number);
            all.push(watch);
            if matches!(refused, Refused::BytesOfAll) {
                break refused;
            }
            assert_eq!(number, BYTES_MAX / LONG - 1, "with what it weighs beside its text");
        };
        assert_eq!(
            refused.to_string(),
            "ERR the keys that all connections watch have at most 67108864 bytes: try again when others have ended their transactions"
        );
        assert!(watches.bytes.load(Ordering::Relaxed) <= BYTES_MAX_OF_ALL);
        drop(all);
        assert_eq!(watches.bytes.load(Ordering::Relaxed), 0, "who ends gives back what it had");
        let mut watch = Watch::new(&watches);
        assert_eq!(watch.add(0, &key(1, LONG)).ok(), Some(true));
        assert_eq!(watch.add(0, &key(1, LONG)).ok(), Some(false));
        watch.forget(0, &key(1, LONG));
        assert_eq!(watches.bytes.load(Ordering::Relaxed), 0);
        assert!(watches.by_key.lock().is_empty());
    }
}
