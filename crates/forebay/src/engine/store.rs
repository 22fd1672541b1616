//! The story of a write to a store, which is itself the truth: of one key, or of several at once (`change.rs`).
//!
//! 1. Writers of one key go one after the other, in the order in which they came; who clears the namespace goes alone.
//! 2. What is there is looked up in memory, which has nothing but the truth, and else in the store.
//! 3. The change is made, and what is different is told to the store, which takes all of it, or the write ends without an effect.
//! 4. Memory follows, and loads that began before are fenced off. Then the next writer of the key goes on. A task of the engine's
//!    tells the store and waits for its answer: a writer who goes away leaves memory and store agreed.
//!
//! From 3 to the end of 4 the keys of a write of several are marked, so that readers see all of it or nothing (`together.rs`).
//!
//! Reads are those of any namespace (`read.rs`): the store is in the place of the source (`store_source.rs`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, oneshot};

use super::change::{Before, End, Slot, Terms, ends_in, is_empty, is_same};
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
use crate::rt::Tick;
use crate::tier::memory::Held;
use crate::tier::shared::Owner;
use crate::tier::store::{
    Change, Durability, Ends, Reply, Store, StoreError, Stored as Found, StoredValue, What,
};
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

/// The turn of the writer of some keys.
#[derive(Debug)]
pub(super) struct Turn {
    _going: Going,
    /// Nobody clears the store meanwhile.
    _open: Option<OwnedRwLockReadGuard<()>>,
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
        let begun = self.begin_stored(stored, key).await;
        let (turn, mut slot) = begun.inspect_err(|error| self.counters.wrote(error.into()))?;
        let result = change(slot.value_mut());
        self.commit_stored(stored, turn, vec![slot], 0).await?;
        Ok(result)
    }

    /// Stores the whole `value` for `key`, to end after `ttl` or as the namespace says.
    pub(super) async fn set_stored(
        self: &Arc<Self>,
        stored: &Stored,
        key: &[u8],
        value: Value,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        let mut slot = Slot::new(key.into(), Before::Unseen, self.stored_terms(stored));
        slot.replace(value);
        if let Some(ttl) = ttl {
            slot.ends_after(ttl);
        }
        self.write_unseen(stored, slot).await
    }

    /// Makes `key` not exist in the store.
    pub(super) async fn delete_stored(self: &Arc<Self>, stored: &Stored, key: &[u8]) -> Result<(), Error> {
        let slot = Slot::new(key.into(), Before::Unseen, self.stored_terms(stored));
        self.write_unseen(stored, slot).await
    }

    /// Lets the value of `key` end after `ttl`, or never; whether there is one. Of a copy, no later than the namespace says.
    pub(super) async fn live_for(self: &Arc<Self>, key: &[u8], ttl: Option<Duration>) -> Result<bool, Error> {
        let Some(stored) = &self.store else {
            return Ok(self.end_after(key, ttl.unwrap_or(self.policy.ttl)));
        };
        let begun = self.begin_stored(stored, key).await;
        let (turn, mut slot) = begun.inspect_err(|error| self.counters.wrote(error.into()))?;
        let is_there = match ttl {
            Some(ttl) => slot.ends_after(ttl),
            None => slot.never_ends(),
        };
        self.commit_stored(stored, turn, vec![slot], 0).await?;
        Ok(is_there)
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
                    core.tell_all_changed();
                }
                drop(alone);
                cleared.map_err(|error| core.store_failed(&error))
            };
            self.finish(clear).await
        };
        self.counted_writes(1, WriteOutcome::Stored, cleared.await)
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

    /// Writes a slot that need not know what is there.
    async fn write_unseen(self: &Arc<Self>, stored: &Stored, slot: Slot) -> Result<(), Error> {
        let turn = self.turn_of_all(std::slice::from_ref(&slot.key)).await;
        let turn = turn.inspect_err(|error| self.counters.wrote(error.into()))?;
        self.commit_stored(stored, turn, vec![slot], 0).await
    }

    /// The turn of a writer of `key`, and what is there.
    async fn begin_stored(&self, stored: &Stored, key: &[u8]) -> Result<(Turn, Slot), Error> {
        let turn = self.turn_of_all(&[key.into()]).await?;
        let mut truths = self.truths(stored, &[key]).await?;
        let truth = truths.pop().unwrap_or(Before::Absent);
        Ok((turn, Slot::new(key.into(), truth, self.stored_terms(stored))))
    }

    /// What is there for `keys`, of which the caller has the turn.
    pub(super) async fn stored_slots(
        &self,
        stored: &Stored,
        keys: Vec<Box<[u8]>>,
    ) -> Result<Vec<Slot>, Error> {
        let tails: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
        let truths = self.truths(stored, &tails).await?;
        let terms = self.stored_terms(stored);
        Ok(keys.into_iter().zip(truths).map(|(key, truth)| Slot::new(key, truth, terms)).collect())
    }

    fn stored_terms(&self, stored: &Stored) -> Terms {
        let (new_ends_in, idle) = match stored.ends {
            Ends::After(ttl) => (Some(ttl), None),
            Ends::Unused(idle, max) => (Some(idle.min(max)), Some(idle)),
            Ends::Never | Ends::AsBefore | Ends::Used(_) => (None, None),
        };
        Terms { now: self.clock.now(), new_ends_in, idle, most: None }
    }

    /// The turn of a writer of `keys`, all different, which comes after those that came before.
    pub(super) async fn turn_of_all(&self, keys: &[Box<[u8]>]) -> Result<Turn, Error> {
        if self.store.is_some() && keys.iter().any(|key| self.key_of(key).is_none()) {
            return Err(self.not_canonical());
        }
        let keys = keys.iter().map(|key| &**key);
        let place = self.order.enter_all(keys).ok_or_else(|| self.too_many_writes())?;
        let entered = async {
            let going = self.order.go(place).await?;
            let open = match &self.store {
                Some(stored) => Some(Arc::clone(&stored.gate).read_owned().await),
                None => None,
            };
            Some(Turn { _going: going, _open: open })
        };
        let entered = self.clock.timeout(self.policy.load_timeout, entered).await;
        entered.ok().flatten().ok_or_else(|| self.too_many_writes())
    }

    /// What is there for `keys`, in their order. Asked in their turn, so that it stays so; what memory does not know is loaded together.
    pub(super) async fn truths(&self, stored: &Stored, keys: &[&[u8]]) -> Result<Vec<Before>, Error> {
        let now = self.clock.now();
        let mut truths: Vec<Option<Before>> = keys.iter().map(|key| self.known_truth(key, now)).collect();
        let (mut unknown, mut texts) = (Vec::new(), Vec::new());
        for (truth, key) in truths.iter_mut().zip(keys).filter(|(truth, _)| truth.is_none()) {
            unknown.push(truth);
            texts.push(self.pattern.whole(key));
        }
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let mut unknown = unknown.into_iter();
        for call in texts.chunks(stored.store.limits().batch_max.max(1)) {
            for found in self.in_time(stored.store.load(&self.owner, call)).await? {
                let truth = match found {
                    Some(found) => self.found(found, now)?,
                    None => Before::Absent,
                };
                if let Some(unknown) = unknown.next() {
                    *unknown = Some(truth);
                }
            }
        }
        Ok(truths.into_iter().map(|truth| truth.unwrap_or(Before::Absent)).collect())
    }

    /// What is there for `key` at `now`, where memory knows it.
    pub(super) fn known_truth(&self, key: &[u8], now: Tick) -> Option<Before> {
        match self.judge(key, now) {
            Verdict::Fresh(Held { value: Some(value), fresh_until, useless_from, .. }) => {
                Some(Before::Stored(value, Life { fresh_until, useless_from }))
            }
            Verdict::Absent(_) => Some(Before::Absent),
            _ => None,
        }
    }

    /// What the store was found to have at `now`.
    fn found(&self, found: Found, now: Tick) -> Result<Before, Error> {
        let life = self.policy.loaded(now, false, found.ends_in, None);
        let value = store_source::read(found.value, self.codec.as_ref(), self.policy.shape);
        let value =
            value.map_err(|cause| self.store_failed(&StoreError::Unread { cause: Arc::new(cause) }))?;
        Ok(Before::Stored(value, life))
    }

    /// Has the store take what is different in `slots`, all of it at once, and memory follow.
    pub(super) async fn commit_stored(
        self: &Arc<Self>,
        stored: &Stored,
        turn: Turn,
        slots: Vec<Slot>,
        by: u64,
    ) -> Result<(), Error> {
        let writes: Result<Vec<Write>, Error> =
            slots.into_iter().filter_map(|slot| self.write_of(stored, slot).transpose()).collect();
        let writes = writes.and_then(|writes| match stored.store.limits().batch_max.max(1) {
            keys_max if writes.len() > keys_max => Err(self.too_many_keys(writes.len(), keys_max)),
            _ => Ok(writes),
        });
        let writes = writes.inspect_err(|error| self.counters.wrote(error.into()))?;
        if writes.is_empty() {
            return Ok(());
        }
        let (core, count) = (Arc::clone(self), writes.len());
        let ended = self.finish(async move { core.take_writes(turn, writes, by).await }).await;
        self.counted_writes(count, WriteOutcome::Stored, ended)
    }

    /// What a slot writes; `None` where nothing is different.
    fn write_of(&self, stored: &Stored, slot: Slot) -> Result<Option<Write>, Error> {
        if slot.is_unchanged() {
            return Ok(None);
        }
        let slot = self.fitted(slot)?;
        let (end, seen) = (slot.end, slot.before.life());
        let Slot { key, before, after, .. } = slot;
        let after = after.filter(|value| !is_empty(value));
        let what = match (&before, &after) {
            (Before::Unseen, None) => What::Delete,
            (before, after) => self.difference(before.value(), after.as_ref())?,
        };
        let (ends, life) = match (end, before) {
            _ if after.is_none() => (Ends::Never, self.life_of(Ends::Never)),
            (End::Kept, Before::Stored(_, _)) if what.is_nothing() => return Ok(None),
            (End::Kept, Before::Stored(_, life)) => (self.ends_of_used(), life),
            (end, _) => {
                let ends = match end {
                    End::Kept | End::Declared => stored.ends,
                    End::After { ttl, new: true } => stored.ends_after(Some(ttl)),
                    End::After { ttl, new: false } => Ends::After(ttl),
                    End::Never => Ends::Never,
                };
                (ends, self.life_of(ends))
            }
        };
        self.whole_if_near(Write { key, what, ends, after, life }, seen).map(Some)
    }

    /// Writes the whole, with its end, of what ends so soon that it may be over when the store judges a change of it: then there would
    /// be nothing to be changed, or to end as before.
    fn whole_if_near(&self, write: Write, seen: Option<Life>) -> Result<Write, Error> {
        let now = self.clock.now();
        let (Some(seen), Some(after)) = (seen, &write.after) else { return Ok(write) };
        if ends_in(seen, now).is_none_or(|left| left >= self.policy.load_timeout) {
            return Ok(write);
        }
        // It was there when the writer had its turn.
        let left = |end: Tick| end.since(now).max(Duration::from_millis(1));
        let ends = match write.ends {
            Ends::AsBefore => Ends::After(left(seen.fresh_until.min(seen.useless_from))),
            Ends::Used(idle) => Ends::Unused(idle, left(seen.fresh_until)),
            ends => ends,
        };
        Ok(Write { what: What::Put(self.stored_value(after)?), ends, ..write })
    }

    /// Has the store take `writes`, and memory follow, and lets the next writers go on.
    async fn take_writes(self: Arc<Self>, turn: Turn, mut writes: Vec<Write>, by: u64) -> Result<(), Error> {
        let Some(stored) = &self.store else { return Ok(()) };
        let began = self.clock.now();
        let keys = |writes: &[Write]| writes.iter().map(|write| write.key.clone()).collect();
        let marks = (writes.len() > 1).then(|| self.together.mark(keys(&writes)));
        let change = |write: &mut Write| Change {
            key: self.pattern.whole(&write.key).into(),
            what: std::mem::replace(&mut write.what, What::Stays),
            ends: match write.ends {
                Ends::Unused(idle, max) => Ends::Unused(stored_idle(idle), max),
                ends => ends,
            },
        };
        let changes = writes.iter_mut().map(change).collect();
        let taken = catching_panic(async { stored.append(&self.owner, changes).await }).await;
        let taken = taken.unwrap_or_else(|| Err(StoreError::Unconfirmed { cause: Arc::new(Panicked) }));
        let untouched = matches!(&taken, Err(error) if !error.unknown_outcome());
        let heard = self.common.changes.are_heard() && !untouched;
        let changed: Vec<Box<[u8]>> = if heard { keys(&writes) } else { Vec::new() };
        // What took longer may have met values that were over (`whole_if_near`); its writer has been told that nobody knows.
        let in_time = self.clock.now().since(began) < self.policy.load_timeout;
        match &taken {
            Ok(()) if in_time => {
                for Write { key, after, life, .. } in writes {
                    self.hold_stored(&key, after, life);
                }
            }
            Err(error) if !error.unknown_outcome() => {}
            Ok(()) | Err(_) => {
                for Write { key, .. } in &writes {
                    invalidation::key(&self.memory, &self.flights, self.id, key);
                }
            }
        }
        drop((marks, turn));
        // Of what nobody knows whether it was done, its writer is told too.
        let by = if taken.is_ok() { by } else { 0 };
        changed.iter().for_each(|key| self.tell_changed(key, by));
        taken.map_err(|error| self.store_failed(&error))
    }

    /// Holds what was stored, and fences off the loads that began before.
    fn hold_stored(&self, key: &[u8], value: Option<Value>, Life { fresh_until, useless_from }: Life) {
        let (began, position) = (self.clock.now(), self.groups.newest());
        let held = Held { value, began, fresh_until, useless_from, position, expired: false, extras: None };
        // What memory has no room for is read from the store.
        let _ = writes::keep(&self.memory, &self.flights, self.id, key, held);
        self.remember(key, Happened::Written);
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
    pub(super) async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Error> {
        match self.clock.timeout(self.policy.load_timeout, asked).await {
            Ok(answered) => answered.map_err(|error| self.store_failed(&error)),
            Err(_) => Err(self.store_failed(&StoreError::Unread { cause: Arc::new(self.late()) })),
        }
    }

    pub(super) fn store_failed(&self, error: &StoreError) -> Error {
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

    fn too_many_keys(&self, keys: usize, keys_max: usize) -> Error {
        Error::TooManyKeys { namespace: Arc::clone(&self.name), keys, keys_max }
    }
}

/// The store's code panicked.
#[derive(Debug, thiserror::Error)]
#[error("the store panicked")]
struct Panicked;

/// One write, ready to be taken.
struct Write {
    key: Box<[u8]>,
    what: What,
    ends: Ends,
    /// What is there then, and how long.
    after: Option<Value>,
    life: Life,
}
