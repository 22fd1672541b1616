//! Handles: a namespace as its users in process hold it, by typed keys. Front ends, which have the text of keys, enter by
//! `text.rs`.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use super::core::Core;
use super::read::Read;
use crate::error::Error;
use crate::log::Verb;
use crate::namespace::pattern::RenderError;
use crate::observe::ReadOutcome;
use crate::tier::memory::Seen;
use crate::value::{Blob, Key, KeyBuf, Value};

/// A namespace of values of type `V`; clones are the same namespace.
#[derive(Debug)]
pub struct Namespace<V> {
    pub(super) core: Arc<Core>,
    handles: Arc<Handles>,
    values: PhantomData<fn() -> V>,
}

/// What all handles of one namespace have in common, and nothing else has: as long as it is there, somebody has one.
#[derive(Debug)]
pub(super) struct Handles;

impl<V> Clone for Namespace<V> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), handles: Arc::clone(&self.handles), values: PhantomData }
    }
}

impl<V: Any + Send + Sync> Namespace<V> {
    /// The first handle of a namespace, which is the engine's from now on, in the place of `replaced` where there is one.
    ///
    /// # Errors
    /// [`Error::NameTaken`].
    pub(super) fn new(core: Core, replaced: Option<&Core>) -> Result<Self, Error> {
        let (core, handles) = (Arc::new(core), Arc::new(Handles));
        core.common.enrol(&core, &handles, replaced)?;
        core.common.catch_up_on_feeds(&core);
        Ok(Self { core, handles, values: PhantomData })
    }

    /// The value of `key`, from memory or through the source; `None` where it does not exist.
    ///
    /// A key is one value (`"600000"`, `7`) or a tuple in the order of the pattern.
    ///
    /// # Errors
    /// When the key cannot be one of this namespace, or no value can be had: the source failed, took too long or panicked,
    /// and the policy allows no stale value.
    pub async fn get(&self, key: impl Key) -> Result<Option<Arc<V>>, Error> {
        // A hit is answered here; it carries neither the story of a miss nor the outcome that it is not asked for.
        match self.hit(&key, Value::as_typed)? {
            Some(value) => Ok(value),
            None => Box::pin(self.missed(key)).await,
        }
    }

    async fn missed(&self, key: impl Key) -> Result<Option<Arc<V>>, Error> {
        let key = self.tail(&key)?;
        Ok(self.typed(self.core.read(&key).await?)?.0)
    }

    /// Like [`get`](Self::get), and how the read ended.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_with_outcome(&self, key: impl Key) -> Result<(Option<Arc<V>>, ReadOutcome), Error> {
        let key = self.tail(&key)?;
        // Boxed, so that a hit, which needs none of it, does not carry the story of a miss.
        let read = match self.core.read_now(&key) {
            Some(read) => read,
            None => Box::pin(self.core.read(&key)).await?,
        };
        self.typed(read)
    }

    /// The values of many keys, in their order: those that miss are loaded together. `None` where one does not exist.
    ///
    /// # Errors
    /// As [`get`](Self::get), for the first key that cannot be had.
    pub async fn get_many<K: Key>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Arc<V>>>, Error> {
        let keys: Vec<KeyBuf> = keys.into_iter().map(|key| self.tail(&key)).collect::<Result<_, _>>()?;
        let keys: Vec<&[u8]> = keys.iter().map(KeyBuf::as_slice).collect();
        self.core.read_many(&keys).await.into_iter().map(|read| Ok(self.typed(read?)?.0)).collect()
    }

    /// The value of `key` from the source itself, past every copy; the copies are refreshed.
    ///
    /// # Errors
    /// When the key cannot be one of this namespace, or the source gave no answer.
    pub async fn get_fresh(&self, key: impl Key) -> Result<Option<Arc<V>>, Error> {
        let key = self.tail(&key)?;
        Ok(self.typed(self.core.read_fresh(&key).await?)?.0)
    }

    /// Makes what is held for `key` gone, and keeps loads that began before from bringing it back; whether anything was held.
    ///
    /// # Errors
    /// When the key cannot be one of this namespace; [`Error::Unconfirmed`] when the shared tier could not be told.
    pub async fn invalidate(&self, key: impl Key) -> Result<bool, Error> {
        self.core.tell_key(&self.tail(&key)?, Verb::Invalidate).await
    }

    /// Makes what is held for `key` stale: the next read loads, and takes the old value only if the source fails and
    /// `stale_if_error` allows it. Whether anything was held.
    ///
    /// # Errors
    /// When the key cannot be one of this namespace; [`Error::Unconfirmed`] when the shared tier could not be told.
    pub async fn expire(&self, key: impl Key) -> Result<bool, Error> {
        self.core.tell_key(&self.tail(&key)?, Verb::Expire).await
    }

    /// Makes every value of the namespace gone whose key begins with `prefix`, held or being loaded.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] where the shared tier could not be told; there is none without one.
    pub async fn invalidate_prefix(&self, prefix: &str) -> Result<(), Error> {
        self.core.tell_prefix(prefix.as_bytes(), Verb::Invalidate).await
    }

    /// Makes every value of the namespace stale whose key begins with `prefix`, as [`expire`](Self::expire) does.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] where the shared tier could not be told; there is none without one.
    pub async fn expire_prefix(&self, prefix: &str) -> Result<(), Error> {
        self.core.tell_prefix(prefix.as_bytes(), Verb::Expire).await
    }

    /// Makes every value of the namespace gone, held or being loaded.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] where the shared tier could not be told; there is none without one.
    pub async fn invalidate_all(&self) -> Result<(), Error> {
        self.invalidate_prefix("").await
    }

    /// Makes every value of the namespace stale, as [`expire`](Self::expire) does.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] where the shared tier could not be told; there is none without one.
    pub async fn expire_all(&self) -> Result<(), Error> {
        self.expire_prefix("").await
    }

    /// Keeps `value`, which weighs `weight_bytes` with its heap, for `key` until its TTL or an invalidation.
    ///
    /// # Errors
    /// When the namespace refuses writes, the key cannot be one of it, or the value is too large to be kept;
    /// [`Error::SinkFirst`] where writes go through: [`set`](Self::set) waits for the sink.
    pub fn put(&self, key: impl Key, value: V, weight_bytes: u64) -> Result<(), Error> {
        self.core.put(&self.tail(&key)?, Value::native(value, weight_bytes), None)
    }

    /// Gives `key` this `value`, which weighs `weight_bytes` with its heap, where the namespace's [writes](crate::Writes) go: kept
    /// here as by [`put`](Self::put), or applied by the sink first. After that no reader gets an older value; a sink that stores
    /// something else than was written has its own say in what they get.
    ///
    /// Writes of one key go to the sink in the order in which they came here. One whose caller goes away is finished all the same.
    ///
    /// # Errors
    /// When the key cannot be one of this namespace, or the value is too large to be kept here. [`Error::WritesRefused`], [`Error::Unfit`],
    /// [`Error::SinkRefused`], [`Error::SinkFailed`] and [`Error::Overloaded`]: nothing was done. [`Error::WriteUnconfirmed`]: the
    /// sink may have applied it, and what was held is gone. [`Error::Unconfirmed`]: it is applied, and the shared tier could not be
    /// told.
    pub async fn set(&self, key: impl Key, value: V, weight_bytes: u64) -> Result<(), Error> {
        self.core.set(&self.tail(&key)?, Value::native(value, weight_bytes), None).await
    }

    /// Makes `key` not exist, where the namespace's [writes](crate::Writes) go: at the sink, then here. Where they are kept here, only
    /// the copy is dropped, and the next read loads.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn delete(&self, key: impl Key) -> Result<(), Error> {
        self.core.delete(&self.tail(&key)?).await
    }

    /// The value of `key`, where memory has the answer and needs no wait for it; counts the read.
    fn hit<T>(
        &self,
        key: &impl Key,
        take: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<Option<T>>, Error> {
        let mut tail = KeyBuf::new();
        self.core.pattern.render_tail(key, &mut tail).map_err(|problem| self.not_a_key(&problem))?;
        let value = |held: &Seen<'_>, _| Some(held.value().map(take));
        match self.core.answer_now(&tail, self.core.clock.now(), value) {
            Some(Some(None)) => Err(self.not_a_value()),
            Some(value) => Ok(Some(value.flatten())),
            None => Ok(None),
        }
    }

    fn typed(&self, read: Read) -> Result<(Option<Arc<V>>, ReadOutcome), Error> {
        let Some(value) = read.value else { return Ok((None, read.outcome)) };
        let value = value.typed().ok_or_else(|| self.not_a_value())?;
        Ok((Some(value), read.outcome))
    }

    #[cold]
    fn not_a_value(&self) -> Error {
        Error::Build {
            namespace: Arc::clone(&self.core.name),
            problem: format!("its source gives no values of type {}", std::any::type_name::<V>()),
        }
    }

    /// The key's text without the literal that all keys of the namespace begin with.
    pub(super) fn tail(&self, key: &impl Key) -> Result<KeyBuf, Error> {
        let mut tail = KeyBuf::new();
        self.core.pattern.render_tail(key, &mut tail).map_err(|problem| self.not_a_key(&problem))?;
        Ok(tail)
    }

    #[cold]
    fn not_a_key(&self, problem: &RenderError) -> Error {
        Error::Key { namespace: Arc::clone(&self.core.name), problem: problem.to_string() }
    }
}

impl Namespace<Blob> {
    /// Like [`get`](Self::get), which has to put the blob behind a pointer: here a hit allocates nothing.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_blob(&self, key: impl Key) -> Result<Option<Blob>, Error> {
        match self.hit(&key, |value| value.as_blob().cloned())? {
            Some(blob) => Ok(blob),
            None => Box::pin(self.missed_blob(key)).await,
        }
    }

    async fn missed_blob(&self, key: impl Key) -> Result<Option<Blob>, Error> {
        match self.core.read(&self.tail(&key)?).await?.value {
            None => Ok(None),
            Some(Value::Blob(blob)) => Ok(Some(blob)),
            Some(_) => Err(self.not_a_value()),
        }
    }
}
