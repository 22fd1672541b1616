//! Which connections have read which keys.
//!
//! Bounded by bytes: beyond them the keys that were read first are given out, whose readers are to be told. What is remembered of
//! connections that no longer track stays until its key changes, its time is over, or nobody tracks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use forebay::rt::Tick;
use smallvec::SmallVec;

use super::Seen;

/// The most bytes that the table has.
const BYTES_MAX: usize = 64 << 20;
/// What a key weighs beside its text, and a reader of it.
const KEY_BYTES: usize = 320;
const READER_BYTES: usize = 48;

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) keyspace: Arc<str>,
    pub(super) namespace: Arc<str>,
    pub(super) key: Bytes,
}

/// Numbers of keys, by their texts.
type Numbers = HashMap<Bytes, u64>;

/// The connections that are to be told.
pub(super) type Readers = SmallVec<[i64; 4]>;

/// Keys that were read, and by whom.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By keyspace, and by namespace.
    numbers: HashMap<Arc<str>, HashMap<Arc<str>, Numbers>>,
    /// By number; the first read come first.
    keys: BTreeMap<u64, Key>,
    /// When the time of what was read of a key is over.
    ends: BTreeSet<(Tick, u64)>,
    last: u64,
    bytes: usize,
    items: usize,
}

#[derive(Debug)]
struct Key {
    place: Place,
    readers: SmallVec<[Reader; 1]>,
    /// When the first of its copies ends.
    ends: Option<Tick>,
}

/// A connection that has read a key, or is reading it.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) id: i64,
    copy: Copy,
}

/// What a connection has of a key.
#[derive(Clone, Copy, Debug)]
enum Copy {
    /// It is being read; the newest load that brought something else meanwhile began then, or several did.
    Coming { loaded: Option<Tick>, several: bool },
    /// What a load brought that began then.
    There { began: Tick },
}

impl Reader {
    /// Whether its copy may be older than a load that began at `began`, as one of the same tick may. Of one that is coming this shows
    /// when it is there.
    pub(super) fn is_older(&mut self, began: Tick) -> bool {
        match &mut self.copy {
            Copy::Coming { loaded, several } => {
                if *loaded <= Some(began) {
                    *several = *loaded == Some(began);
                    *loaded = Some(began);
                }
                false
            }
            Copy::There { began: own } => *own <= began,
        }
    }
}

impl Key {
    fn bytes(&self) -> usize {
        self.place.key.len() + KEY_BYTES + self.readers.len() * READER_BYTES
    }
}

impl Table {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many readers of keys.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// Remembers that a connection is reading a key.
    pub(super) fn begin(&mut self, place: &Place, id: i64) {
        let numbers = self.numbers.entry(Arc::clone(&place.keyspace)).or_default();
        let numbers = numbers.entry(Arc::clone(&place.namespace)).or_default();
        let next = self.last + 1;
        let number = *numbers.entry(place.key.clone()).or_insert(next);
        self.last = self.last.max(number);
        let key = self.keys.entry(number).or_insert_with(|| {
            self.bytes += place.key.len() + KEY_BYTES;
            Key { place: place.clone(), readers: SmallVec::new(), ends: None }
        });
        let copy = Copy::Coming { loaded: None, several: false };
        match key.readers.iter_mut().find(|reader| reader.id == id) {
            // What it had before is replaced by what comes.
            Some(reader) => reader.copy = copy,
            None => {
                key.readers.push(Reader { id, copy });
                self.bytes += READER_BYTES;
                self.items += 1;
            }
        }
    }

    /// Notes what the connection has read, if it has not been told otherwise meanwhile; whether it is to be told that this is old.
    pub(super) fn end(&mut self, place: &Place, id: i64, Seen { began, ends, was_held }: Seen) -> bool {
        let Some(number) = self.number(&place.keyspace, &place.namespace, &place.key) else { return false };
        let Some(key) = self.keys.get_mut(&number) else { return false };
        let Some(reader) = key.readers.iter_mut().find(|reader| reader.id == id) else { return false };
        // The one load of its tick that brought something else is its own, unless it was held before.
        if let Copy::Coming { loaded: Some(loaded), several } = reader.copy
            && (began < loaded || began == loaded && (several || was_held))
        {
            self.keep(number, |reader| reader.id != id);
            return true;
        }
        reader.copy = Copy::There { began };
        if key.ends.is_none_or(|before| ends < before) {
            if let Some(before) = key.ends.replace(ends) {
                self.ends.remove(&(before, number));
            }
            self.ends.insert((ends, number));
        }
        false
    }

    /// Takes those readers of a key whom `goes` says.
    pub(super) fn take(
        &mut self,
        keyspace: &str,
        namespace: &str,
        key: &[u8],
        mut goes: impl FnMut(&mut Reader) -> bool,
    ) -> Option<(Place, Readers)> {
        let number = self.number(keyspace, namespace, key)?;
        let place = self.keys.get(&number)?.place.clone();
        let mut taken = Readers::new();
        self.keep(number, |reader| {
            let goes = goes(reader);
            taken.extend(goes.then_some(reader.id));
            !goes
        });
        Some((place, taken))
    }

    /// Takes all readers of the keys of a namespace that begin so.
    pub(super) fn take_prefix(
        &mut self,
        keyspace: &str,
        namespace: &str,
        prefix: &[u8],
    ) -> Vec<(Place, Readers)> {
        let numbers = self.numbers.get(keyspace).and_then(|namespaces| namespaces.get(namespace));
        let begins = |(key, number): (&Bytes, &u64)| key.starts_with(prefix).then_some(*number);
        let numbers: Vec<u64> = numbers.into_iter().flatten().filter_map(begins).collect();
        numbers.into_iter().filter_map(|number| self.take_all(number)).collect()
    }

    /// Takes the readers of a key of which a copy's time is over.
    pub(super) fn take_ended(&mut self, now: Tick) -> Option<(Place, Readers)> {
        let (_, number) = *self.ends.first().filter(|(ends, _)| *ends <= now)?;
        self.take_all(number)
    }

    /// Takes the readers of the key that was read first, where there are more keys than there may be.
    pub(super) fn take_beyond_bound(&mut self) -> Option<(Place, Readers)> {
        if self.bytes <= BYTES_MAX {
            return None;
        }
        let number = *self.keys.keys().next()?;
        self.take_all(number)
    }

    /// Forgets all keys of a keyspace.
    pub(super) fn forget(&mut self, keyspace: &str) {
        let namespaces = self.numbers.remove(keyspace).into_iter().flatten();
        let numbers: Vec<u64> = namespaces.flat_map(|(_, numbers)| numbers.into_values()).collect();
        for number in numbers {
            self.take_all(number);
        }
    }

    /// Nothing is left of what was remembered.
    #[cfg(test)]
    pub(super) fn validate_empty(&self) {
        assert_eq!((self.keys.len(), self.ends.len(), self.bytes, self.items), (0, 0, 0, 0));
        assert!(self.numbers.values().flat_map(HashMap::values).all(HashMap::is_empty));
    }

    fn number(&self, keyspace: &str, namespace: &str, key: &[u8]) -> Option<u64> {
        self.numbers.get(keyspace)?.get(namespace)?.get(key).copied()
    }

    /// Keeps those readers of a key alone whom `stays` says; without any the key is forgotten.
    fn keep(&mut self, number: u64, stays: impl FnMut(&mut Reader) -> bool) {
        let Some(key) = self.keys.get_mut(&number) else { return };
        let before = key.readers.len();
        key.readers.retain(stays);
        let gone = before - key.readers.len();
        self.bytes -= gone * READER_BYTES;
        self.items -= gone;
        if key.readers.is_empty() {
            self.take_all(number);
        }
    }

    fn take_all(&mut self, number: u64) -> Option<(Place, Readers)> {
        let key = self.keys.remove(&number)?;
        self.bytes -= key.bytes();
        self.items -= key.readers.len();
        if let Some(ends) = key.ends {
            self.ends.remove(&(ends, number));
        }
        let Key { place, readers, .. } = key;
        if let Some(namespaces) = self.numbers.get_mut(&place.keyspace)
            && let Some(numbers) = namespaces.get_mut(&place.namespace)
        {
            numbers.remove(&place.key);
        }
        Some((place, readers.iter().map(|reader| reader.id).collect()))
    }
}
