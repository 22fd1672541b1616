//! Hashes, sorted sets and counters as their users in process hold them, by typed keys: the verbs that a part of a value needs.
//! A whole value is read, put and invalidated as any other (`handle.rs`).

use std::any::Any;
use std::time::Duration;

use bytes::Bytes;

use super::fields::FieldRead;
use super::handle::Namespace;
use crate::error::Error;
use crate::value::{Hash, Key, MemberChange, SortedSet, Value, Version};

impl Namespace<Hash> {
    /// One field of the hash `key`; `None` where there is no such field, or no hash.
    ///
    /// A field of which memory knows nothing is loaded alone where the source can do that
    /// ([`Source::fields`](crate::source::Source::fields)), otherwise with the whole hash.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`Error::WrongKind`] where the key holds another kind of value.
    pub async fn get_field(&self, key: impl Key, field: impl AsRef<[u8]>) -> Result<Option<Bytes>, Error> {
        let key = self.tail(&key)?;
        Ok(match self.core.field_now(&key, field.as_ref())? {
            Some(read) => read.value,
            None => Box::pin(self.core.read_field(&key, field.as_ref())).await?.value,
        })
    }

    /// Fields of the hash `key`, in their order: those that miss are loaded together.
    ///
    /// # Errors
    /// As [`get_field`](Self::get_field), for the first field that cannot be had.
    pub async fn get_fields<F: AsRef<[u8]>>(
        &self,
        key: impl Key,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<Vec<Option<Bytes>>, Error> {
        let key = self.tail(&key)?;
        let fields: Vec<F> = fields.into_iter().collect();
        let fields: Vec<&[u8]> = fields.iter().map(F::as_ref).collect();
        let reads = self.core.read_fields(&key, &fields).await?;
        Ok(reads.into_iter().map(|FieldRead { value, .. }| value).collect())
    }

    /// Makes one field gone, held or being loaded, and nothing else: its next read loads it, and a read of the whole hash loads it
    /// alone where the source can do that. Where there is no source, it is removed. Whether anything was held for the key.
    ///
    /// # Errors
    /// When the key cannot be one of this namespace; [`Error::Unconfirmed`] when the shared tier could not be told.
    pub async fn invalidate_field(&self, key: impl Key, field: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.core.tell_field(&self.tail(&key)?, field.as_ref()).await
    }

    /// Keeps `value` for one field until the hash ends or the field is invalidated; the source is never touched.
    ///
    /// # Errors
    /// When the namespace refuses writes, the key cannot be one of it, or the hash would be too large to be kept;
    /// [`Error::WrongKind`] where the key holds another kind of value, which stays. [`Error::Suspect`] where there is no source, out of
    /// touch with a shared tier.
    pub fn put_field(
        &self,
        key: impl Key,
        field: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
    ) -> Result<(), Error> {
        self.core.put_field(&self.tail(&key)?, field.as_ref(), value.into())
    }

    /// Gives one field this `value`, where the namespace's [writes](crate::Writes) go, as [`set`](Self::set) does with a whole value.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_field(
        &self,
        key: impl Key,
        field: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
    ) -> Result<(), Error> {
        let field = Bytes::copy_from_slice(field.as_ref());
        self.core.change_fields(&self.tail(&key)?, vec![(field, Some(value.into()))]).await
    }

    /// Makes one field not exist, where the namespace's [writes](crate::Writes) go, as [`delete`](Self::delete) does with a whole
    /// value.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn delete_field(&self, key: impl Key, field: impl AsRef<[u8]>) -> Result<(), Error> {
        let field = Bytes::copy_from_slice(field.as_ref());
        self.core.change_fields(&self.tail(&key)?, vec![(field, None)]).await
    }
}

impl Namespace<SortedSet> {
    /// Keeps the sorted set `key` a *view* of its source: applies the changes that an event of the source made to it, all those of
    /// one `version` in one call, and the versions of a key in their order. What is held and what is being loaded take them over as far as they are older: the source must
    /// give the version that its answer is of ([`Loaded::version`](crate::source::Loaded::version)). Where it does not, or
    /// another instance may hold the set in a shared tier, the key is invalidated instead. After a gap in the events,
    /// [`invalidate`](Self::invalidate) the key: the next read builds the view anew.
    ///
    /// # Errors
    /// When the key cannot be one of this namespace; [`Error::Unconfirmed`] when the shared tier could not be told.
    pub async fn upsert_members(
        &self,
        key: impl Key,
        version: Version,
        changes: &[MemberChange],
    ) -> Result<(), Error> {
        self.core.upsert_members(&self.tail(&key)?, version, changes).await
    }
}

impl<V: Any + Send + Sync> Namespace<V> {
    /// Changes what is held for `key`, atomically, where there is no source behind it: `change` is shown `None` where nothing is held,
    /// and drops what is held by leaving `None`. Readers see what was before or what is after. It runs under a lock: it must
    /// be quick. The value lives as long as it did, a new one for the namespace's TTL.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), forebay::Error> {
    /// use forebay::value::{Value, counter};
    ///
    /// let visits = forebay::Forebay::new()?.namespace::<i64>("visits").key("visits:{page}").ttl(forebay::secs(60)).build()?;
    /// let more = |held: &mut Option<Value>| {
    ///     let number = counter::add(held.as_ref().and_then(Value::as_counter).unwrap_or(0), 1)?;
    ///     *held = Some(Value::Counter(number));
    ///     Ok::<i64, counter::CounterError>(number)
    /// };
    /// assert_eq!(visits.change("home", more)?, Ok(1));
    /// assert_eq!(visits.change("home", more)?, Ok(2));
    /// assert_eq!(visits.get("home").await?.as_deref(), Some(&2));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::RelativeRefused`] where there is a source, so that what is held is a copy; when the key cannot be one of this
    /// namespace, or the value became too large to be kept: then it is gone. [`Error::Suspect`] out of touch with a shared tier.
    pub fn change<R>(&self, key: impl Key, change: impl FnOnce(&mut Option<Value>) -> R) -> Result<R, Error> {
        self.core.change(&self.tail(&key)?, change)
    }

    /// Changes the value of `key` in the namespace's [store](super::NamespaceBuilder::store), atomically: `change` is shown `None` where
    /// nothing is there, and leaves `None`, or an empty collection, where nothing is to be there. Changes of one key are made one
    /// after the other. What is different goes to the store, so that a small change of a large collection is a small write. Without a
    /// store it is what [`change`](Self::change) is.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] and [`Error::Overloaded`]: nothing was done. [`Error::StoreUnconfirmed`]: it may have been done, and may
    /// not be durable. As [`change`](Self::change) without a store.
    pub async fn update<R>(
        &self,
        key: impl Key,
        change: impl FnOnce(&mut Option<Value>) -> R,
    ) -> Result<R, Error> {
        self.core.update(&self.tail(&key)?, change).await
    }

    /// Lets the value of `key` end after `ttl`, or never; whether there is one. Zero ends it now. Of a copy the end is moved, no later
    /// than the namespace says.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn live_for(&self, key: impl Key, ttl: Option<Duration>) -> Result<bool, Error> {
        self.core.live_for(&self.tail(&key)?, ttl).await
    }

    /// Deletes all that the namespace's store has; of a namespace without one, what is held.
    ///
    /// # Errors
    /// As [`update`](Self::update); [`Error::Unconfirmed`] when the shared tier could not be told.
    pub async fn clear(&self) -> Result<(), Error> {
        self.core.clear().await
    }
}
