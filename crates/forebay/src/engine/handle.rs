//! Handles: a namespace as its users hold it, by typed keys in process or by the text of keys for front ends.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::read::Read;
use crate::error::Error;
use crate::namespace::pattern::Pattern;
use crate::namespace::{Policy, Writes};
use crate::observe::{Counts, ReadOutcome};
use crate::tier::memory::{self, Filled};
use crate::value::{Key, KeyBuf, Value, length};
use crate::{invalidation, writes};

/// A namespace of values of type `V`; clones are the same namespace.
#[derive(Debug)]
pub struct Namespace<V> {
    core: Arc<Core>,
    values: PhantomData<fn() -> V>,
}

impl<V> Clone for Namespace<V> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), values: PhantomData }
    }
}

/// What memory holds for a key, looked at without loading or counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whether it is a remembered absence.
    pub absent: bool,
    /// How long ago its load began.
    pub age: Duration,
    /// How long it stays fresh; zero for a stale value.
    pub fresh_for: Duration,
    /// What its value weighs, in bytes.
    pub weight_bytes: u64,
}

impl<V: Any + Send + Sync> Namespace<V> {
    pub(super) fn new(core: Core) -> Self {
        Self { core: Arc::new(core), values: PhantomData }
    }

    /// The value of `key`, from memory or through the source; `None` where it does not exist.
    ///
    /// A key is one value (`"600000"`, `7`) or a tuple in the order of the pattern.
    ///
    /// # Errors
    /// When the key cannot be one of this namespace, or no value can be had: the source failed, took too long or panicked,
    /// and the policy allows no stale value.
    pub async fn get(&self, key: impl Key) -> Result<Option<Arc<V>>, Error> {
        Ok(self.get_with_outcome(key).await?.0)
    }

    /// Like [`get`](Self::get), and how the read ended.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_with_outcome(&self, key: impl Key) -> Result<(Option<Arc<V>>, ReadOutcome), Error> {
        let key = self.text(&key)?;
        self.typed(self.read(&key).await?)
    }

    /// The values of many keys, in their order: those that miss are loaded together. `None` where one does not exist.
    ///
    /// # Errors
    /// As [`get`](Self::get), for the first key that cannot be had.
    pub async fn get_many<K: Key>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Arc<V>>>, Error> {
        let texts: Vec<KeyBuf> = keys.into_iter().map(|key| self.text(&key)).collect::<Result<_, _>>()?;
        let texts: Vec<&[u8]> = texts.iter().map(KeyBuf::as_slice).collect();
        self.read_many(&texts).await.into_iter().map(|read| Ok(self.typed(read?)?.0)).collect()
    }

    /// The value of `key` from the source itself, past every copy; the copies are refreshed.
    ///
    /// # Errors
    /// When the key cannot be one of this namespace, or the source gave no answer.
    pub async fn get_fresh(&self, key: impl Key) -> Result<Option<Arc<V>>, Error> {
        let key = self.text(&key)?;
        Ok(self.typed(self.read_fresh(&key).await?)?.0)
    }

    /// Makes what is held for `key` gone, and keeps loads that began before from bringing it back; whether anything was held.
    ///
    /// # Errors
    /// When the key cannot be one of this namespace.
    #[expect(
        clippy::unused_async,
        reason = "with a shared tier the invalidation is told to it before this returns"
    )]
    pub async fn invalidate(&self, key: impl Key) -> Result<bool, Error> {
        let key = self.text(&key)?;
        Ok(self.drop_copy(&key))
    }

    /// Keeps `value`, which weighs `weight_bytes` with its heap, for `key` until its TTL or an invalidation.
    ///
    /// # Errors
    /// When the namespace refuses writes, the key cannot be one of it, or the value is too large to be kept.
    pub fn put(&self, key: impl Key, value: V, weight_bytes: u64) -> Result<(), Error> {
        let key = self.text(&key)?;
        self.write(&key, Value::native(value, weight_bytes), None)
    }

    fn typed(&self, read: Read) -> Result<(Option<Arc<V>>, ReadOutcome), Error> {
        let Some(value) = read.value else { return Ok((None, read.outcome)) };
        let value = value.typed().ok_or_else(|| Error::Build {
            namespace: Arc::clone(&self.core.name),
            problem: format!("its source gives no values of type {}", std::any::type_name::<V>()),
        })?;
        Ok((Some(value), read.outcome))
    }

    fn text(&self, key: &impl Key) -> Result<KeyBuf, Error> {
        let parts = key.parts();
        let mut text = KeyBuf::new();
        match self.core.pattern.render(&parts.slices(), &mut text) {
            Ok(()) => Ok(text),
            Err(problem) => {
                Err(Error::Key { namespace: Arc::clone(&self.core.name), problem: problem.to_string() })
            }
        }
    }
}

/// By the text of a key, for front ends. The text must match the namespace's pattern; [`Keyspace`](super::Keyspace) finds
/// the namespace of a text.
impl<V> Namespace<V> {
    /// Answers from memory where that needs no wait: synchronous, and without an allocation where the value is fresh.
    #[must_use]
    pub fn read_now(&self, key: &[u8]) -> Option<Read> {
        self.core.read_now(key)
    }

    /// Reads `key`, through the source where it must.
    ///
    /// # Errors
    /// When no value can be had: the source failed, took too long or panicked, and the policy allows no stale value.
    pub async fn read(&self, key: &[u8]) -> Result<Read, Error> {
        self.core.read(key).await
    }

    /// Reads many keys: those that miss are loaded together. One result each, in the order of `keys`.
    pub async fn read_many(&self, keys: &[&[u8]]) -> Vec<Result<Read, Error>> {
        self.core.read_many(keys).await
    }

    /// Reads `key` from the source itself, past every copy; the copies are refreshed.
    ///
    /// # Errors
    /// When the source gave no answer.
    pub async fn read_fresh(&self, key: &[u8]) -> Result<Read, Error> {
        self.core.read_fresh(key).await
    }

    /// Makes what is held for `key` gone, and keeps loads that began before from bringing it back; whether anything was held.
    #[must_use = "what was held is told"]
    pub fn drop_copy(&self, key: &[u8]) -> bool {
        let core = &self.core;
        invalidation::key(&core.memory, &core.flights, core.id, key)
    }

    /// Keeps `value` for `key` until `ttl` (at most the namespace's, which is the default) or an invalidation.
    ///
    /// # Errors
    /// When the namespace refuses writes, or the value is too large to be kept.
    pub fn write(&self, key: &[u8], value: Value, ttl: Option<Duration>) -> Result<(), Error> {
        let core = &self.core;
        if core.policy.writes == Writes::Refuse {
            return Err(Error::WritesRefused { namespace: Arc::clone(&core.name) });
        }
        let began = core.clock.now();
        let fresh_until = core.policy.written_fresh_until(began, ttl);
        let useless_from = core.policy.useless_from(fresh_until, false);
        let held = memory::Held { value: Some(value), began, fresh_until, useless_from };
        match writes::keep(&core.memory, &core.flights, core.id, key, held) {
            Filled::Stored | Filled::Fenced => Ok(()),
            Filled::TooLarge { weight_bytes, limit_bytes } => {
                Err(Error::TooLarge { namespace: Arc::clone(&core.name), weight_bytes, limit_bytes })
            }
        }
    }

    /// What memory holds for `key`; loads nothing and counts nothing.
    #[must_use]
    pub fn peek(&self, key: &[u8]) -> Option<Held> {
        let now = self.core.clock.now();
        let held = self.core.memory.peek(self.core.id, key, now)?;
        Some(Held {
            absent: held.value.is_none(),
            age: now.since(held.began),
            fresh_for: held.fresh_until.since(now),
            weight_bytes: length(key.len()) + held.value.as_ref().map_or(0, Value::weight_bytes),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// The pattern of its keys.
    #[must_use]
    pub fn pattern(&self) -> &Pattern {
        &self.core.pattern
    }

    /// Its rules.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.core.policy
    }

    /// What has been read since it was built.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.core.counters.counts()
    }

    /// How many loads are in flight and can be joined.
    #[must_use]
    pub fn flights(&self) -> usize {
        self.core.flights.len()
    }
}
