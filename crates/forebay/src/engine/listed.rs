//! Looking at many keys at once, for listings: as [`Namespace::inspect`], with what their writers keep beside their values.

use std::sync::Arc;

use super::change::{Before, ends_in};
use super::core::Core;
use super::handle::Namespace;
use super::inspect::{Inspected, inspected, inspected_held};
use crate::error::Error;
use crate::rt::Tick;
use crate::tier::memory::Held;
use crate::value::Value;

/// How many keys a store is asked for at once: their values are there together.
const TOGETHER: usize = 64;

/// What a listing tells of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What the key holds.
    pub inspected: Inspected,
    /// The metadata of its value, where there is some.
    pub metadata: Option<Box<[u8]>>,
}

impl<V> Namespace<V> {
    /// What each of `keys` (whole texts) holds: of a store the truth, else what memory holds; `None` where nothing is there. It is no use
    /// and no read, and what it has to ask a store for is not held.
    ///
    /// # Errors
    /// As [`inspect`](Self::inspect).
    pub async fn inspect_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Listed>>, Error> {
        let mut listed = Vec::with_capacity(keys.len());
        for keys in keys.chunks(TOGETHER) {
            let tails: Vec<Option<&[u8]>> = keys.iter().map(|key| self.core.pattern.tail(key)).collect();
            let own: Vec<&[u8]> = tails.iter().copied().flatten().collect();
            let mut found = self.core.inspect_many(&own).await?.into_iter();
            listed.extend(tails.into_iter().map(|tail| tail.and_then(|_| found.next().flatten())));
        }
        Ok(listed)
    }
}

impl Core {
    async fn inspect_many(self: &Arc<Self>, keys: &[&[u8]]) -> Result<Vec<Option<Listed>>, Error> {
        self.changes_over(keys, self.since()).await?;
        let now = self.clock.now();
        if let Some(stored) = &self.store {
            let truths = self.truths(stored, keys).await?;
            let listed = |(key, truth): (&&[u8], Before)| match truth {
                Before::Stored(value, life) => {
                    Some(described(inspected(key, &value, ends_in(life, now)), &value))
                }
                Before::Held(held) => listed_held(key, &held, now),
                Before::Unseen | Before::Absent => None,
            };
            return Ok(keys.iter().zip(truths).map(listed).collect());
        }
        let held = |key: &&[u8]| {
            let held = self.laid_over(key, now).or_else(|| {
                let mut held = self.memory.peek(self.id, key, now)?;
                self.revalidate(key, &mut held).then_some(held)
            });
            held.and_then(|held| listed_held(key, &held, now))
        };
        Ok(keys.iter().map(held).collect())
    }
}

fn listed_held(key: &[u8], held: &Held, now: Tick) -> Option<Listed> {
    Some(described(inspected_held(key, held, now)?, held.value.as_ref()?))
}

fn described(inspected: Inspected, value: &Value) -> Listed {
    Listed { inspected, metadata: value.as_blob().and_then(|blob| blob.metadata()).map(Box::from) }
}
