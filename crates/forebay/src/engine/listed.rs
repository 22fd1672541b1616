//! Looking at many keys at once, for listings: as [`Namespace::inspect`], with what their writers keep beside their values.

use std::sync::Arc;

use super::change::{Before, ends_in};
use super::core::Core;
use super::handle::Namespace;
use super::inspect::{Inspected, inspected, inspected_held};
use super::store::Stored;
use crate::error::Error;
use crate::rt::Tick;
use crate::tier::memory::Held;
use crate::value::{Value, length};

/// How many keys a store is asked for at once.
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
    /// and no read, and what it has to ask a store for is not held, nor in memory all at once.
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
            return self.told_by(stored, keys, now).await;
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

    /// What the store has for `keys`: what memory does not know is asked of it without its content.
    async fn told_by(
        &self,
        stored: &Stored,
        keys: &[&[u8]],
        now: Tick,
    ) -> Result<Vec<Option<Listed>>, Error> {
        let known: Vec<Option<Before>> = keys.iter().map(|key| self.known_truth(key, now)).collect();
        let unknown = keys.iter().zip(&known).filter(|(_, known)| known.is_none());
        let texts: Vec<Vec<u8>> = unknown.map(|(key, _)| self.pattern.whole(key)).collect();
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let mut found = Vec::with_capacity(texts.len());
        for call in texts.chunks(stored.store.limits().batch_max.max(1)) {
            found.extend(self.in_time(stored.store.describe(&self.owner, call)).await?);
        }
        let mut found = found.into_iter();
        let listed = |(key, known): (&&[u8], Option<Before>)| match known {
            Some(Before::Stored(value, life)) => {
                Some(described(inspected(key, &value, ends_in(life, now)), &value))
            }
            Some(Before::Held(held)) => listed_held(key, &held, now),
            Some(Before::Unseen | Before::Absent) => None,
            None => found.next().flatten().map(|found| {
                let life = self.policy.loaded(now, false, found.ends_in, None);
                let weight_bytes = length(key.len()).saturating_add(found.weight_bytes);
                let inspected = Inspected { kind: found.kind, left: ends_in(life, now), weight_bytes };
                Listed { inspected, metadata: found.metadata }
            }),
        };
        Ok(keys.iter().zip(known).map(listed).collect())
    }
}

fn listed_held(key: &[u8], held: &Held, now: Tick) -> Option<Listed> {
    Some(described(inspected_held(key, held, now)?, held.value.as_ref()?))
}

fn described(inspected: Inspected, value: &Value) -> Listed {
    Listed { inspected, metadata: value.as_blob().and_then(|blob| blob.metadata()).map(Box::from) }
}
