//! Going through the keys of a keyspace, and finding the way again by a number.
//!
//! Namespaces come one after the other, in the order of the declaration; a store's keys in the order of their bytes, what memory holds
//! by its place there. So what is there from the beginning of a walk to its end is seen at least once, whatever is written meanwhile.
//!
//! `SCAN` gives its clients a number to go on with. For memory it says the place. A store goes on after a key, which is remembered here
//! under the number: [`OPEN_MAX`] keys or [`OPEN_BYTES_MAX`] bytes of them, of which each scan needs two, the one it goes on from and the
//! one before it, from which it may be asked again. Past that the oldest are forgotten. Who comes with such a number is told so, since
//! keys that he was not shown could be missed otherwise.

use std::collections::BTreeMap;

use forebay::rt::Mutex;
use forebay::{Error, Keyspace};

use super::time::now;
use crate::keys::{self, Place};

/// The most places in stores that are remembered.
const OPEN_MAX: usize = 4096;
/// The most bytes of keys that are remembered.
const OPEN_BYTES_MAX: usize = 16 << 20;

/// Bits of a cursor that say the place within a namespace; those above say which namespace, and leave the sign free.
const PLACE_BITS: u32 = 48;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;
const NAMESPACES_MAX: usize = 1 << 15;

/// A walk through the keys of a keyspace.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The number of the namespace.
    namespace: usize,
    place: Place,
    /// The number of the place that it was resumed at; 0 where that was not remembered.
    resumed: u64,
}

impl Walk {
    /// Up to `limit` keys that begin with `prefix`, some that do not among them; none does not mean that there are no more.
    pub(super) async fn page(
        &mut self,
        keyspace: &Keyspace,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let Some(namespace) = keyspace.namespaces().get(self.namespace) else { return Ok(Vec::new()) };
        let (keys, next) = keys::page(namespace, &self.place, prefix, limit).await?;
        self.namespace += usize::from(next.is_none());
        self.place = next.unwrap_or_default();
        Ok(keys)
    }

    /// Whether it has come to the end.
    pub(super) fn is_over(&self, keyspace: &Keyspace) -> bool {
        self.namespace >= keyspace.namespaces().len().min(NAMESPACES_MAX)
    }
}

/// What is remembered of walks that clients may go on with.
#[derive(Debug, Default)]
pub(super) struct Walks(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// By their numbers, which only grow.
    places: BTreeMap<u64, Known>,
    last: u64,
    bytes: usize,
}

/// A place in a store.
#[derive(Debug)]
struct Known {
    after: Box<[u8]>,
    /// The place that led here.
    before: u64,
}

impl Walks {
    /// The walk that `cursor` stands for; `None` where that is forgotten, or never was one.
    pub(super) fn resume(&self, cursor: u64, keyspace: &Keyspace) -> Option<Walk> {
        let namespace = usize::try_from(cursor >> PLACE_BITS).ok()?;
        let mut resumed = 0;
        let place = match (cursor & PLACE_MASK, keyspace.namespaces().get(namespace)) {
            (0, _) => Place::Start,
            (number, Some(of)) if of.is_store() => {
                resumed = number;
                Place::After(self.0.lock().places.get(&number)?.after.clone())
            }
            (number, _) => Place::Memory(number),
        };
        Some(Walk { namespace, place, resumed })
    }

    /// A number for where `walk` is now; 0 where it is over.
    pub(super) fn pause(&self, walk: Walk, keyspace: &Keyspace) -> u64 {
        if walk.is_over(keyspace) {
            return 0;
        }
        let place = match walk.place {
            Place::Start => 0,
            Place::Memory(cursor) => cursor & PLACE_MASK,
            Place::After(key) => self.0.lock().remember(key, walk.resumed),
        };
        u64::try_from(walk.namespace).unwrap_or_default() << PLACE_BITS | place
    }
}

impl Open {
    fn remember(&mut self, after: Box<[u8]>, before: u64) -> u64 {
        if self.last == 0 {
            // So that a number from before a restart is none now.
            self.last = u64::try_from(now().as_millis()).unwrap_or_default() & (PLACE_MASK >> 4);
        }
        if let Some(grandparent) = self.places.get(&before).map(|known| known.before) {
            self.forget(grandparent);
        }
        self.last += 1;
        self.bytes += after.len();
        self.places.insert(self.last, Known { after, before });
        while self.places.len() > OPEN_MAX || self.bytes > OPEN_BYTES_MAX && self.places.len() > 1 {
            let Some(oldest) = self.places.keys().next().copied() else { break };
            self.forget(oldest);
        }
        self.last
    }

    fn forget(&mut self, number: u64) {
        if let Some(known) = self.places.remove(&number) {
            self.bytes -= known.after.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OPEN_BYTES_MAX, OPEN_MAX, Open};

    #[test]
    fn a_scan_keeps_two_places_and_the_oldest_are_forgotten() {
        let mut open = Open::default();
        let mut at = 0;
        for step in 0..100_u64 {
            at = open.remember(Box::from(step.to_be_bytes()), at);
            assert!(open.places.len() <= 2, "{open:?}");
        }
        assert_eq!(&*open.places[&at].after, 99_u64.to_be_bytes());
        assert_eq!(open.bytes, 16);

        let first = at;
        for _ in 0..OPEN_MAX {
            open.remember(Box::from([1]), 0);
        }
        assert_eq!(open.places.len(), OPEN_MAX);
        assert!(!open.places.contains_key(&first));

        for _ in 0..20 {
            at = open.remember(vec![0; OPEN_BYTES_MAX / 8].into(), 0);
            assert!(open.bytes <= OPEN_BYTES_MAX);
        }
        assert!(open.places.contains_key(&at));
        let sum: usize = open.places.values().map(|known| known.after.len()).sum();
        assert_eq!(open.bytes, sum);
    }
}
