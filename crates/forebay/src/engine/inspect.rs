//! Looking at keys without reading them: what a key holds, how many keys there are, any one of them. Nothing of it counts as a use
//! or as a read, and nothing that it loads is held.

use std::sync::Arc;
use std::time::Duration;

use super::change::{Before, ends_in};
use super::core::Core;
use super::handle::Namespace;
use super::store::Stored;
use crate::error::Error;
use crate::namespace::{FOR_EVER, Life};
use crate::rt::{Tick, let_go};
use crate::tier::memory::Held;
use crate::tier::store::{Count, StoreError};
use crate::value::{Kind, Value, length};

/// How many keys one call lists.
const PAGE: usize = 1024;
/// After how many looks at places of memory others are let in.
const LOOKS: u64 = 128;
/// Among fewer keys of a store one is drawn.
const FEW: usize = 128;

/// What a key holds, looked at without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// What the value is.
    pub kind: Kind,
    /// After how long it ends, if it is not used where uses prolong it; zero of what is stale, `None` where it does not end.
    pub left: Option<Duration>,
    /// What key and value weigh in memory, in bytes.
    pub weight_bytes: u64,
}

impl<V> Namespace<V> {
    /// What `key` holds: of a store the truth, else what memory holds; `None` where nothing is there. It is no use and no read, and what
    /// it has to ask a store for is not held.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] where the store could not be read; [`Error::Timeout`] where a change of several keys takes too long.
    pub async fn inspect(&self, key: &[u8]) -> Result<Option<Inspected>, Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.inspect(key).await,
            None => Ok(None),
        }
    }

    /// How many keys there are, and how many of them end: of a store all of them, by the count that it keeps, else those that memory
    /// holds, each of which is looked at, with others let in between. What comes or goes meanwhile may be counted or not.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] where the store could not be read.
    pub async fn count_keys(&self) -> Result<Count, Error> {
        if let Some(stored) = &self.core.store {
            return self.core.count_stored(stored).await;
        }
        let (mut count, mut cursor) = (Count::default(), 0);
        loop {
            let (keys, next) = self.scan(cursor, PAGE);
            for held in keys.iter().filter_map(|key| self.peek(key)).filter(|held| !held.absent) {
                count.keys += 1;
                count.ending += u64::from(held.fresh_for < FOR_EVER);
            }
            if next == 0 {
                return Ok(count);
            }
            cursor = next;
            let_go().await;
        }
    }

    /// Some key that is there, whole; `None` where there is none. Each can be the one. Of memory it is what lies at a random place, or next
    /// to it. Of a store it is found byte by byte: of the bytes that follow what is chosen so far one is drawn, until fewer than 128
    /// keys are left, of which one is drawn; a key that has few neighbours comes more often than one among many.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] where the store could not be read.
    pub async fn random_key(&self) -> Result<Option<Box<[u8]>>, Error> {
        if self.core.store.is_some() {
            return self.core.random_stored().await;
        }
        for mut cursor in [self.core.memory.random_cursor(), 0] {
            for looks in 1_u64.. {
                let (keys, next) = self.scan(cursor, 1);
                let is_there = |key: &Vec<u8>| self.peek(key).is_some_and(|held| !held.absent);
                if let Some(key) = keys.into_iter().find(is_there) {
                    return Ok(Some(key.into()));
                }
                if next == 0 {
                    break;
                }
                cursor = next;
                if looks.is_multiple_of(LOOKS) {
                    let_go().await;
                }
            }
        }
        Ok(None)
    }
}

impl Core {
    async fn inspect(self: &Arc<Self>, key: &[u8]) -> Result<Option<Inspected>, Error> {
        self.changes_over(&[key], self.since()).await?;
        let now = self.clock.now();
        let held = self.laid_over(key, now).or_else(|| {
            let mut held = self.memory.peek(self.id, key, now)?;
            self.revalidate(key, &mut held).then_some(held)
        });
        match (held, &self.store) {
            (Some(held), _) => Ok(inspected_held(key, &held, now)),
            (None, Some(stored)) if self.key_of(key).is_some() => {
                let mut truths = self.truths(stored, &[key]).await?;
                Ok(truths.pop().and_then(|truth| match truth {
                    Before::Stored(value, life) => Some(inspected(key, &value, ends_in(life, now))),
                    _ => None,
                }))
            }
            (None, _) => Ok(None),
        }
    }

    async fn count_stored(&self, stored: &Stored) -> Result<Count, Error> {
        match stored.store.count(&self.owner).await {
            // One that takes nothing more keeps no count; what it has can be listed, and is not told how long it lasts.
            Err(StoreError::Poisoned) => {}
            counted => return counted.map_err(|error| self.store_failed(&error)),
        }
        let (mut count, mut after) = (Count::default(), None);
        loop {
            let mut keys = self.stored_keys(b"", after.as_deref(), PAGE).await?;
            count.keys += length(keys.len());
            if keys.len() < PAGE {
                return Ok(count);
            }
            after = keys.pop();
        }
    }

    async fn random_stored(&self) -> Result<Option<Box<[u8]>>, Error> {
        let mut chosen = self.pattern.literal_prefix().to_vec();
        loop {
            let mut keys = self.stored_keys(&chosen, None, FEW).await?;
            let few = keys.len() < FEW;
            if !few {
                keys.truncate(1);
                keys = self.branches(&chosen, keys.pop()).await?;
            }
            if keys.is_empty() {
                return Ok(None);
            }
            let key = keys.swap_remove(fastrand::usize(..keys.len()));
            match key.get(chosen.len()) {
                Some(byte) if !few => chosen.push(*byte),
                _ => return Ok(Some(key)),
            }
        }
    }

    /// The first key of a store for each byte that follows `stem` in any; `first` is the first of all. A key that is the stem has none.
    async fn branches(&self, stem: &[u8], first: Option<Box<[u8]>>) -> Result<Vec<Box<[u8]>>, Error> {
        let longest = self.store.as_ref().map_or(0, |stored| stored.store.limits().key_bytes_max);
        let (mut branches, mut next) = (Vec::new(), first);
        while let Some(key) = next {
            let mut last = key.get(..=stem.len()).unwrap_or(&key).to_vec();
            if last.len() > stem.len() {
                last.resize(longest.max(last.len()), u8::MAX);
            }
            branches.push(key);
            next = self.stored_keys(stem, Some(&last), 1).await?.pop();
        }
        Ok(branches)
    }
}

pub(super) fn inspected(key: &[u8], value: &Value, left: Option<Duration>) -> Inspected {
    let weight_bytes = length(key.len()).saturating_add(value.weight_bytes());
    Inspected { kind: value.kind(), left, weight_bytes }
}

pub(super) fn inspected_held(key: &[u8], held: &Held, now: Tick) -> Option<Inspected> {
    let Held { fresh_until, useless_from, expired, .. } = *held;
    let left = if expired { Some(Duration::ZERO) } else { ends_in(Life { fresh_until, useless_from }, now) };
    Some(inspected(key, held.value.as_ref()?, left))
}
