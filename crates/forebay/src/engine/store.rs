//! The story of a write to a store, which is itself the truth.
//!
//! 1. Writers of one key go one after the other, in the order in which they came; who clears the namespace goes alone.
//! 2. What is there is looked up in memory, which has nothing but the truth, and else in the store.
//! 3. The change is made, and what is different is told to the store, which takes it, or the write ends without an effect.
//! 4. Memory follows, and loads that began before are fenced off. Then the next writer of the key goes on. A task of the engine's
//!    tells the store and waits for its answer: a writer who goes away leaves memory and store agreed.
//!
//! Reads are those of any namespace (`read.rs`): the store is in the place of the source (`store_source.rs`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, oneshot};

use super::core::Core;
use super::read::Verdict;
use super::store_source;
use super::store_uses::{Uses, stored_idle};
use crate::error::Error;
use crate::invalidation;
use crate::loader::catching_panic;
use crate::log::Verb;
use crate::namespace::Life;
use crate::observe::{What as Happened, WriteOutcome};
use crate::tier::memory::Held;
use crate::tier::shared::Owner;
use crate::tier::store::{Change, Durability, Ends, Reply, Store, StoreError, StoredValue, What};
use crate::value::{Hash, Kind, Value};
use crate::writes::{self, Going};

/// The store behind a namespace.
pub(super) struct Stored {
    pub(super) store: Arc<dyn Store>,
    durability: Durability,
    /// When a value ends that is new.
    ends: Ends,
    /// Writers hold it together, who clears holds it alone.
    gate: Arc<RwLock<()>>,
    /// Uses that the store is to be told of.
    pub(super) uses: Uses,
}

/// The turn of one key's writer.
struct Turn {
    _going: Going,
    _open: OwnedRwLockReadGuard<()>,
}

/// What is stored for a key.
struct Truth {
    value: Option<Value>,
    life: Life,
}

impl Stored {
    pub(super) fn new(store: Arc<dyn Store>, durability: Durability, ends: Ends) -> Self {
        Self { store, durability, ends, gate: Arc::default(), uses: Uses::default() }
    }

    /// Has the store take `changes`.
    pub(super) fn append<'a>(&'a self, of: &'a Owner, changes: Vec<Change>) -> Reply<'a, ()> {
        self.store.append(of, changes, self.durability)
    }

    /// When a value ends that is new, or `ttl` later where its writer says so.
    fn ends_after(&self, ttl: Option<Duration>) -> Ends {
        match (self.ends, ttl) {
            (ends, None) => ends,
            (Ends::Unused(idle, max), Some(ttl)) => Ends::Unused(idle.min(ttl), max.min(ttl)),
            (_, Some(ttl)) => Ends::After(ttl),
        }
    }
}

impl Core {
    /// Changes the value of `key` by `change`, atomically: it is shown `None` where nothing is there, and leaves `None`, or an empty
    /// collection, where nothing is to be there. Where the namespace has no store, what is held is changed.
    pub(super) async fn update<R>(
        self: &Arc<Self>,
        key: &[u8],
        change: impl FnOnce(&mut Option<Value>) -> R,
    ) -> Result<R, Error> {
        let Some(stored) = &self.store else { return self.change(key, change) };
        let written = async {
            let turn = self.turn_of(stored, key).await?;
            let Truth { value: before, life } = self.truth(stored, key).await?;
            let mut after = before.clone();
            let result = change(&mut after);
            let after = after.filter(|value| !is_empty(value));
            let what = self.difference(before.as_ref(), after.as_ref())?;
            if what.is_nothing() {
                return Ok((result, false));
            }
            let (ends, life) = match before {
                Some(_) => (self.ends_of_used(), life),
                None => (stored.ends, self.life_of(stored.ends)),
            };
            self.write_stored(turn, key, Write { what, ends, after, life }).await?;
            Ok((result, true))
        };
        match written.await {
            Ok((result, false)) => Ok(result),
            ended => self.counted_write(ended.map(|(result, _)| result)),
        }
    }

    /// Stores the whole `value` for `key`, to end after `ttl` or as the namespace says.
    pub(super) async fn set_stored(
        self: &Arc<Self>,
        stored: &Stored,
        key: &[u8],
        value: Value,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        let written = async {
            let after = Some(value).filter(|value| !is_empty(value));
            let what = self.difference(None, after.as_ref())?;
            let what = if after.is_some() { what } else { What::Delete };
            let ends = stored.ends_after(ttl);
            let turn = self.turn_of(stored, key).await?;
            self.write_stored(turn, key, Write { what, ends, after, life: self.life_of(ends) }).await
        };
        self.counted_write(written.await)
    }

    /// Makes `key` not exist in the store.
    pub(super) async fn delete_stored(self: &Arc<Self>, stored: &Stored, key: &[u8]) -> Result<(), Error> {
        let written = async {
            let turn = self.turn_of(stored, key).await?;
            let life = self.life_of(Ends::Never);
            let write = Write { what: What::Delete, ends: Ends::Never, after: None, life };
            self.write_stored(turn, key, write).await
        };
        self.counted_write(written.await)
    }

    /// Lets the value of `key` end after `ttl`, or never; whether there is one. Of a copy, no later than the namespace says.
    pub(super) async fn live_for(self: &Arc<Self>, key: &[u8], ttl: Option<Duration>) -> Result<bool, Error> {
        let Some(stored) = &self.store else {
            return Ok(self.end_after(key, ttl.unwrap_or(self.policy.ttl)));
        };
        let written = async {
            let turn = self.turn_of(stored, key).await?;
            let Truth { value, .. } = self.truth(stored, key).await?;
            let Some(value) = value else { return Ok(false) };
            let (what, ends, after) = match ttl {
                Some(ttl) if ttl.is_zero() => (What::Delete, Ends::Never, None),
                Some(ttl) => (What::Stays, Ends::After(ttl), Some(value)),
                None => (What::Stays, Ends::Never, Some(value)),
            };
            let life = self.life_of(ends);
            self.write_stored(turn, key, Write { what, ends, after, life }).await?;
            Ok(true)
        };
        self.counted_write(written.await)
    }

    /// Deletes all that is stored; of a cache, what is held.
    pub(super) async fn clear(self: &Arc<Self>) -> Result<(), Error> {
        let Some(stored) = &self.store else { return self.tell_prefix(b"", Verb::Invalidate).await };
        let cleared = async {
            let gate = Arc::clone(&stored.gate).write_owned();
            let alone = self.clock.timeout(self.policy.load_timeout, gate).await;
            let alone = alone.map_err(|_| self.too_many_writes())?;
            let core = Arc::clone(self);
            let clear = async move {
                let Some(stored) = &core.store else { return Ok(()) };
                let clear = async { stored.store.clear(&core.owner, stored.durability).await };
                let panicked = || Err(StoreError::Unconfirmed { cause: Arc::new(Panicked) });
                let cleared = catching_panic(clear).await.unwrap_or_else(panicked);
                if cleared.as_ref().map_or_else(StoreError::unknown_outcome, |()| true) {
                    core.drop_where(Verb::Invalidate, |_, _| true);
                }
                drop(alone);
                cleared.map_err(|error| core.store_failed(&error))
            };
            self.finish(clear).await
        };
        self.counted_write(cleared.await)
    }

    /// Up to `limit` keys of the store that come after `after` and begin with `prefix`, whole, in the order of their bytes.
    pub(super) async fn stored_keys(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Box<[u8]>>, Error> {
        let Some(stored) = &self.store else { return Err(self.not_stored()) };
        self.in_time(stored.store.list(&self.owner, prefix, after, limit)).await
    }

    /// The turn of a writer of `key`, which comes after those that came before.
    async fn turn_of(&self, stored: &Stored, key: &[u8]) -> Result<Turn, Error> {
        let place = self.order.enter(key).ok_or_else(|| self.too_many_writes())?;
        let entered = async {
            let going = self.order.go(place).await?;
            Some(Turn { _going: going, _open: Arc::clone(&stored.gate).read_owned().await })
        };
        let entered = self.clock.timeout(self.policy.load_timeout, entered).await;
        entered.ok().flatten().ok_or_else(|| self.too_many_writes())
    }

    /// What is there for `key`. Asked in its turn, so that it stays so.
    async fn truth(&self, stored: &Stored, key: &[u8]) -> Result<Truth, Error> {
        let now = self.clock.now();
        if let Verdict::Fresh(held) | Verdict::Absent(held) = self.judge(key, now) {
            let Held { value, fresh_until, useless_from, .. } = held;
            return Ok(Truth { value, life: Life { fresh_until, useless_from } });
        }
        let whole = self.pattern.whole(key);
        let mut found = self.in_time(stored.store.load(&self.owner, &[&whole])).await?;
        let Some(found) = found.pop().flatten() else {
            return Ok(Truth { value: None, life: self.life_of(Ends::Never) });
        };
        let life = self.policy.loaded(now, false, found.ends_in);
        let value = store_source::read(found.value, self.codec.as_ref(), self.policy.shape);
        let value =
            value.map_err(|cause| self.store_failed(&StoreError::Unread { cause: Arc::new(cause) }))?;
        Ok(Truth { value: Some(value), life })
    }

    /// Has the store take a write, and memory follow.
    async fn write_stored(self: &Arc<Self>, turn: Turn, key: &[u8], write: Write) -> Result<(), Error> {
        let (core, key) = (Arc::clone(self), Box::<[u8]>::from(key));
        self.finish(async move {
            let Some(stored) = &core.store else { return Ok(()) };
            let Write { what, ends, after, life } = write;
            let ends = match ends {
                Ends::Unused(idle, max) => Ends::Unused(stored_idle(idle), max),
                ends => ends,
            };
            let change = Change { key: core.pattern.whole(&key).into(), what, ends };
            let taken = catching_panic(async { stored.append(&core.owner, vec![change]).await }).await;
            let taken = taken.unwrap_or_else(|| Err(StoreError::Unconfirmed { cause: Arc::new(Panicked) }));
            match &taken {
                Ok(()) => core.hold_stored(&key, after, life),
                Err(error) if error.unknown_outcome() => {
                    invalidation::key(&core.memory, &core.flights, core.id, &key);
                }
                Err(_) => {}
            }
            drop(turn);
            taken.map_err(|error| core.store_failed(&error))
        })
        .await
    }

    /// Holds what was stored, and fences off the loads that began before.
    fn hold_stored(&self, key: &[u8], value: Option<Value>, Life { fresh_until, useless_from }: Life) {
        let (began, position) = (self.clock.now(), self.groups.newest());
        let held = Held { value, began, fresh_until, useless_from, position, expired: false, extras: None };
        // What memory has no room for is read from the store.
        let _ = writes::keep(&self.memory, &self.flights, self.id, key, held);
        self.note(key, Happened::Written);
    }

    /// Has a task of the engine's do `work`, and waits for it as long as a reader does for a load.
    async fn finish(
        &self,
        work: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Result<(), Error> {
        let (tell, told) = oneshot::channel();
        self.tasks.start(async move {
            // A writer who has gone away is told nothing.
            let _ = tell.send(work.await);
        });
        let unconfirmed = || Error::StoreUnconfirmed { namespace: Arc::clone(&self.name), cause: None };
        match self.clock.timeout(self.policy.load_timeout, told).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(_)) | Err(_) => Err(unconfirmed()),
        }
    }

    /// Gives fields of a hash these values, `None` for one that is not to exist.
    ///
    /// # Errors
    /// [`Error::WrongKind`] where another kind is there: that stays as it is.
    pub(super) fn write_fields(
        &self,
        held: &mut Option<Value>,
        fields: Vec<(Bytes, Option<Bytes>)>,
    ) -> Result<(), Error> {
        let value = held.get_or_insert_with(|| Value::from(Hash::whole::<&[u8]>([])));
        if value.as_hash().is_none() {
            return Err(self.wrong_kind(Kind::Hash, value));
        }
        let Some(hash) = value.hash_mut() else { return Ok(()) };
        for (field, value) in fields {
            match value {
                Some(value) => hash.set(&field, value),
                None => hash.remove(&field),
            };
        }
        Ok(())
    }

    /// Waits for the store as long as a reader does for a load.
    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, Error> {
        match self.clock.timeout(self.policy.load_timeout, asked).await {
            Ok(answered) => answered.map_err(|error| self.store_failed(&error)),
            Err(_) => Err(self.store_failed(&StoreError::Unread { cause: Arc::new(self.late()) })),
        }
    }

    fn store_failed(&self, error: &StoreError) -> Error {
        let namespace = Arc::clone(&self.name);
        match error {
            StoreError::TooLarge { bytes, limit_bytes, .. } => {
                Error::TooLarge { namespace, weight_bytes: *bytes, limit_bytes: *limit_bytes }
            }
            error if error.unknown_outcome() => {
                Error::StoreUnconfirmed { namespace, cause: Some(Arc::new(error.clone())) }
            }
            error => {
                Error::StoreFailed { namespace, retry: error.may_retry(), cause: Arc::new(error.clone()) }
            }
        }
    }

    fn not_stored(&self) -> Error {
        let problem = "it has no store: its keys are those that its source has, or that are held".to_owned();
        Error::Build { namespace: Arc::clone(&self.name), problem }
    }

    /// What makes `before` become `after`.
    fn difference(&self, before: Option<&Value>, after: Option<&Value>) -> Result<What, Error> {
        if after.is_some_and(|after| !after.is_complete()) {
            return Err(self.store_failed(&StoreError::Partial));
        }
        Ok(match (before, after) {
            (None, None) => What::Stays,
            (Some(_), None) => What::Delete,
            (Some(before), Some(after)) if is_same(before, after) => What::Stays,
            (Some(before), Some(after)) => match What::between(before, after) {
                Some(what) => what,
                None => What::Put(self.stored_value(after)?),
            },
            (None, Some(after)) => What::Put(self.stored_value(after)?),
        })
    }

    fn stored_value(&self, value: &Value) -> Result<StoredValue, Error> {
        if let Some(stored) = StoredValue::of(value) {
            return Ok(stored);
        }
        let bytes = self.codec.as_ref().and_then(|codec| codec.encode(value));
        let problem = "its codec cannot write this value".to_owned();
        let bytes = bytes.ok_or_else(|| Error::Build { namespace: Arc::clone(&self.name), problem })?;
        Ok(StoredValue::Encoded { shape: self.policy.shape, bytes })
    }

    /// When a value ends that was there and is changed: that is a use of it.
    fn ends_of_used(&self) -> Ends {
        self.policy.idle.map_or(Ends::AsBefore, |idle| Ends::Used(stored_idle(idle)))
    }

    /// From when on a value that ends so, as of now, is of no use any more.
    fn life_of(&self, ends: Ends) -> Life {
        let now = self.clock.now();
        let (unused, at_most) = match ends {
            Ends::After(span) => (span, span),
            Ends::Unused(idle, max) => (idle, max),
            Ends::Used(idle) => (idle, Duration::MAX),
            Ends::AsBefore | Ends::Never => (Duration::MAX, Duration::MAX),
        };
        Life { fresh_until: now.after(at_most), useless_from: now.after(unused.min(at_most)) }
    }

    /// Counts how a write ended.
    fn counted_write<T>(&self, ended: Result<T, Error>) -> Result<T, Error> {
        self.counters.wrote(match &ended {
            Ok(_) => WriteOutcome::Stored,
            Err(error) => error.into(),
        });
        ended
    }
}

/// The store's code panicked.
#[derive(Debug, thiserror::Error)]
#[error("the store panicked")]
struct Panicked;

/// One write, ready to be taken.
struct Write {
    what: What,
    ends: Ends,
    /// What is there then, and how long.
    after: Option<Value>,
    life: Life,
}

/// Whether a value is a collection with nothing in it, which does not exist.
fn is_empty(value: &Value) -> bool {
    match value.kind() {
        Kind::Hash => value.as_hash().is_some_and(|hash| hash.is_empty() == Some(true)),
        Kind::SortedSet => value.as_sorted_set().is_some_and(|set| set.is_empty()),
        Kind::Blob | Kind::Native | Kind::Counter => false,
    }
}

/// Whether nothing was changed, as far as that is quickly told.
fn is_same(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Counter(before), Value::Counter(after)) => before == after,
        (Value::Native { value: before, .. }, Value::Native { value: after, .. }) => {
            Arc::ptr_eq(before, after)
        }
        (Value::Hash(before), Value::Hash(after)) => Arc::ptr_eq(before, after),
        (Value::SortedSet(before), Value::SortedSet(after)) => Arc::ptr_eq(before, after),
        (Value::Blob(before), Value::Blob(after)) => {
            before.content_type() == after.content_type() && before.bytes() == after.bytes()
        }
        _ => false,
    }
}
