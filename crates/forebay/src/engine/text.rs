//! A namespace by the text of its keys, for front ends. [`Keyspace`](super::Keyspace) finds the namespace of a text.

use std::time::Duration;

use bytes::Bytes;

use super::fields::FieldRead;
use super::handle::Namespace;
use super::read::Read;
use crate::error::Error;
use crate::log::Verb;
use crate::namespace::Policy;
use crate::namespace::pattern::Pattern;
use crate::observe::{Counts, Event, Histograms, WriteOutcome};
use crate::protection::BreakerState;
use crate::tier::memory::MemoryTier;
use crate::value::{Kind, Value};

/// What memory holds for a key, looked at without loading or counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whether it is a remembered absence.
    pub absent: bool,
    /// What its value is; `None` for an absence.
    pub kind: Option<Kind>,
    /// How long ago its load began.
    pub age: Duration,
    /// How long it stays fresh; zero for a stale value.
    pub fresh_for: Duration,
    /// What its value weighs, in bytes.
    pub weight_bytes: u64,
}

/// A text that does not begin as the namespace's keys do is the key of nothing: it is absent, and refused by writes.
impl<V> Namespace<V> {
    /// Answers from memory where that needs no wait: synchronous, and without an allocation where the value is fresh.
    #[must_use]
    pub fn read_now(&self, key: &[u8]) -> Option<Read> {
        self.core.read_now(self.core.pattern.tail(key)?)
    }

    /// As [`read_now`](Self::read_now), where there is a value that `fits`, which runs under a lock: it must be quick. Where there is none,
    /// nothing is answered, and nothing is counted.
    #[must_use]
    pub fn read_value_now(&self, key: &[u8], fits: impl FnOnce(&Value) -> bool) -> Option<Read> {
        self.core.read_now_if(self.core.pattern.tail(key)?, |value| value.is_some_and(fits))
    }

    /// As [`read_now`](Self::read_now), without a reference to the value: `answer` is shown it, or that there is none, where it lies.
    /// It runs under a lock: it must be quick. Where it makes no answer, none was given and nothing is counted.
    #[inline]
    pub fn answer_now<A>(&self, key: &[u8], answer: impl FnOnce(Option<&Value>) -> Option<A>) -> Option<A> {
        let key = self.core.pattern.tail(key)?;
        self.core.answer_now(key, self.core.clock.now(), |held, _| answer(held.value()))
    }

    /// As [`read_field_now`](Self::read_field_now), without a reference to the value: `answer` is shown it where it lies, under a lock.
    /// Only of a hash that is complete, and a field that is there.
    #[inline]
    pub fn answer_field_now<A>(
        &self,
        key: &[u8],
        field: &[u8],
        answer: impl FnOnce(&Bytes) -> A,
    ) -> Option<A> {
        let key = self.core.pattern.tail(key)?;
        self.core.answer_now(key, self.core.clock.now(), |held, _| {
            held.value()?.as_hash()?.state(field).known().map(answer)
        })
    }

    /// Brings what memory has for `keys`, each with the one field of its hash that is sought, if it is one, near to the processor, before
    /// they are read. One after the other, each read would wait several times for the machine's memory; so they wait together. As
    /// many as 16 are.
    pub fn look_ahead<'k>(&self, keys: impl IntoIterator<Item = (&'k [u8], Option<&'k [u8]>)>) {
        let tail = |(key, field): (&'k [u8], _)| Some((self.core.pattern.tail(key)?, field));
        self.core.memory.look_ahead(self.core.id, keys.into_iter().filter_map(tail));
    }

    /// Reads `key`, through the source where it must.
    ///
    /// # Errors
    /// When no value can be had: the source failed, took too long or panicked, and the policy allows no stale value.
    pub async fn read(&self, key: &[u8]) -> Result<Read, Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.read(key).await,
            None => Ok(self.core.nobodys()),
        }
    }

    /// Reads many keys: those that miss are loaded together. One result each, in the order of `keys`.
    pub async fn read_many(&self, keys: &[&[u8]]) -> Vec<Result<Read, Error>> {
        let tails: Vec<Option<&[u8]>> = keys.iter().map(|key| self.core.pattern.tail(key)).collect();
        let own: Vec<&[u8]> = tails.iter().copied().flatten().collect();
        let mut reads = self.core.read_many(&own).await.into_iter();
        let read =
            |tail: Option<&[u8]>| tail.and_then(|_| reads.next()).unwrap_or_else(|| Ok(self.core.nobodys()));
        tails.into_iter().map(read).collect()
    }

    /// Reads `key` from the source itself, past every copy; the copies are refreshed.
    ///
    /// # Errors
    /// When the source gave no answer.
    pub async fn read_fresh(&self, key: &[u8]) -> Result<Read, Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.read_fresh(key).await,
            None => Ok(self.core.nobodys()),
        }
    }

    /// Answers for a field of the hash `key` from memory where that needs no wait.
    ///
    /// # Errors
    /// [`Error::WrongKind`] where the key holds no hash.
    pub fn read_field_now(&self, key: &[u8], field: &[u8]) -> Result<Option<FieldRead>, Error> {
        self.core.pattern.tail(key).map_or(Ok(None), |key| self.core.field_now(key, field))
    }

    /// Reads fields of the hash `key`, through the source where it must: those that miss are loaded together. One answer each, in
    /// the order of `fields`.
    ///
    /// # Errors
    /// [`Error::WrongKind`] where the key holds no hash; when one of the fields cannot be had.
    pub async fn read_fields(&self, key: &[u8], fields: &[&[u8]]) -> Result<Vec<FieldRead>, Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.read_fields(key, fields).await,
            None => Ok(fields.iter().map(|_| self.core.nobodys_field()).collect()),
        }
    }

    /// Makes one field of the hash `key` gone, here and in the shared tier, and nothing else; whether anything was held for the
    /// key.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] when the shared tier could not be told.
    pub async fn forget_field(&self, key: &[u8], field: &[u8]) -> Result<bool, Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.tell_field(key, field).await,
            None => Ok(false),
        }
    }

    /// Keeps `value` for one field of the hash `key` until the hash ends or the field is invalidated.
    ///
    /// # Errors
    /// When the namespace refuses writes, the key is not one of it, it holds no hash, or the hash would be too large.
    pub fn write_field(&self, key: &[u8], field: &[u8], value: Bytes) -> Result<(), Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.put_field(key, field, value),
            None => Err(self.core.not_a_key()),
        }
    }

    /// Changes what is held for `key`, atomically, where there is no source behind it: `change` is shown `None` where nothing is
    /// held, and drops what is held by leaving `None`. It runs under a lock: it must be quick.
    ///
    /// # Errors
    /// [`Error::RelativeRefused`] where there is a source; when the key is not one of the namespace, or the value became too
    /// large to be kept: then it is gone.
    pub fn modify<R>(&self, key: &[u8], change: impl FnOnce(&mut Option<Value>) -> R) -> Result<R, Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.change(key, change),
            None => Err(self.core.not_a_key()),
        }
    }

    /// Changes the value of `key` in the namespace's store, atomically, as [`update`](Self::update); without a store it is what
    /// [`modify`](Self::modify) is.
    ///
    /// # Errors
    /// As [`update`](Self::update); when the key is not one of the namespace.
    pub async fn update_key<R>(
        &self,
        key: &[u8],
        change: impl FnOnce(&mut Option<Value>) -> R,
    ) -> Result<R, Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.update(key, change).await,
            None => Err(self.core.not_a_key()),
        }
    }

    /// Lets the value of `key` end after `ttl`, or never, as [`live_for`](Self::live_for); whether there is one.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn live_key_for(&self, key: &[u8], ttl: Option<Duration>) -> Result<bool, Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.live_for(key, ttl).await,
            None => Ok(false),
        }
    }

    /// Up to `limit` keys of the namespace's store that come after `after` and begin with `prefix`, in the order of their bytes.
    ///
    /// # Errors
    /// When the store cannot be read; [`Error::Build`] where there is none.
    pub async fn stored_keys(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Box<[u8]>>, Error> {
        self.core.stored_keys(prefix, after, limit).await
    }

    /// Makes what is held for `key` gone, here and in the shared tier, and keeps loads that began before from bringing it back;
    /// whether anything was held here.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] where the shared tier could not be told; there is none without one.
    pub async fn invalidate_key(&self, key: &[u8]) -> Result<bool, Error> {
        self.tell_text(key, Verb::Invalidate).await
    }

    /// Makes what is held for `key` stale, here and in the shared tier: served only if the source fails and the policy allows it;
    /// whether anything was held here.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] where the shared tier could not be told; there is none without one.
    pub async fn expire_key(&self, key: &[u8]) -> Result<bool, Error> {
        self.tell_text(key, Verb::Expire).await
    }

    async fn tell_text(&self, key: &[u8], verb: Verb) -> Result<bool, Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.tell_key(key, verb).await,
            None => Ok(false),
        }
    }

    /// Makes what this instance holds for `key` gone, and keeps loads that began before from bringing it back; whether anything
    /// was held. A shared tier is not told.
    #[must_use = "what was held is told"]
    pub fn drop_copy(&self, key: &[u8]) -> bool {
        self.core.pattern.tail(key).is_some_and(|key| self.core.drop_copy(key, WriteOutcome::Dropped))
    }

    /// Makes what this instance holds for `key` stale: served only if the source fails and the policy allows it; whether anything
    /// was held. A shared tier is not told.
    #[must_use = "what was held is told"]
    pub fn expire_copy(&self, key: &[u8]) -> bool {
        self.core.pattern.tail(key).is_some_and(|key| self.core.expire_copy(key))
    }

    /// Keeps `value` for `key` until `ttl` (at most the namespace's, which is the default) or an invalidation.
    ///
    /// # Errors
    /// When the namespace refuses writes, the key is not one of it, or the value is too large to be kept.
    pub fn write(&self, key: &[u8], value: Value, ttl: Option<Duration>) -> Result<(), Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.put(key, value, ttl),
            None => Err(self.core.not_a_key()),
        }
    }

    /// Gives `key` the whole `value`, where the namespace's [writes](crate::Writes) go: what is held ends after `ttl` (at most the
    /// namespace's, which is the default). As [`set`](Self::set), with the text of a key.
    ///
    /// # Errors
    /// As [`set`](Self::set); when the key is not one of the namespace.
    pub async fn set_key(&self, key: &[u8], value: Value, ttl: Option<Duration>) -> Result<(), Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.set(key, value, ttl).await,
            None => Err(self.core.not_a_key()),
        }
    }

    /// Makes `key` not exist, where the namespace's [writes](crate::Writes) go. As [`delete`](Self::delete), with the text of a key.
    ///
    /// # Errors
    /// As [`delete`](Self::delete); when the key is not one of the namespace.
    pub async fn delete_key(&self, key: &[u8]) -> Result<(), Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.delete(key).await,
            None => Err(self.core.not_a_key()),
        }
    }

    /// Gives fields of the hash `key` these values, `None` for one that is not to exist, where the namespace's
    /// [writes](crate::Writes) go; a sink applies all of them or none.
    ///
    /// # Errors
    /// As [`set`](Self::set); when the key is not one of the namespace.
    pub async fn change_fields(&self, key: &[u8], fields: Vec<(Bytes, Option<Bytes>)>) -> Result<(), Error> {
        match self.core.pattern.tail(key) {
            Some(key) => self.core.change_fields(key, fields).await,
            None => Err(self.core.not_a_key()),
        }
    }

    /// Ends what is held for `key` after `ttl` from now: never later than the namespace's TTL and, where a source gave the value,
    /// never later than before. Whether anything was held.
    #[must_use = "what was held is told"]
    pub fn end_after(&self, key: &[u8], ttl: Duration) -> bool {
        self.core.pattern.tail(key).is_some_and(|key| self.core.end_after(key, ttl))
    }

    /// Lets what memory holds for `key` live as long from now as what would be loaded now: for who knows that it is right, such as the one who
    /// has just changed a field of a hash and has it loaded anew. What is older than its TTL is not loaded again by that, only what changes
    /// invalidate; whether anything fresh was held that does not say itself when it ends. Copies in the shared tier end as they did.
    #[must_use = "what was held is told"]
    pub fn renew(&self, key: &[u8]) -> bool {
        self.core.pattern.tail(key).is_some_and(|key| self.core.renew(key))
    }

    /// Adds tags to what is held for `key`, with which it is invalidated from now on; whether anything was held.
    #[must_use = "what was held is told"]
    pub fn tag(&self, key: &[u8], tags: &[&str]) -> bool {
        self.core.pattern.tail(key).is_some_and(|key| self.core.tag(key, tags))
    }

    /// What memory holds for `key`; loads nothing and counts nothing.
    #[must_use]
    pub fn peek(&self, key: &[u8]) -> Option<Held> {
        self.core.peek(self.core.pattern.tail(key)?)
    }

    /// The value that memory holds for `key`, fresh, and of a hash as much as it knows; loads nothing and counts nothing.
    #[must_use]
    pub fn peek_value(&self, key: &[u8]) -> Option<Value> {
        self.core.peek_value(self.core.pattern.tail(key)?)
    }

    /// Up to `limit` keys that memory holds, from `cursor` on (0 is the start), and the next cursor (0 is the end). What is
    /// held throughout is seen at least once.
    #[must_use]
    pub fn scan(&self, cursor: u64, limit: usize) -> (Vec<Vec<u8>>, u64) {
        let core = &self.core;
        let (tails, next) = core.memory.scan(core.id, cursor, limit, core.clock.now());
        // What records made gone leaves memory only when somebody comes for it.
        let valid = tails.iter().filter(|tail| core.peek(tail).is_some());
        (valid.map(|tail| core.pattern.whole(tail)).collect(), next)
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

    /// Whether `key` (its whole text) can have a value: it is one of the namespace's, and its parameters are written as their types are.
    #[must_use]
    pub fn has_key(&self, key: &[u8]) -> bool {
        self.core.pattern.tail(key).is_some_and(|tail| self.core.key_of(tail).is_some())
    }

    /// Whether a store keeps its values, which are the truth.
    #[must_use]
    pub fn is_store(&self) -> bool {
        self.core.store.is_some()
    }

    /// Whether its values are changed by what they were: they are the truth themselves, stored or held, and no copies of what a source
    /// or a sink has.
    #[must_use]
    pub fn takes_changes(&self) -> bool {
        self.core.store.is_some() || self.core.source.is_none() && self.core.sink.is_none()
    }

    /// The memory that holds its values: its own, or what it shares with others of the engine.
    #[must_use]
    pub fn memory(&self) -> &MemoryTier {
        &self.core.memory
    }

    /// What has been read since it was built.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.core.counters.counts()
    }

    /// How long values were held, loads took and keys waited, and how many keys went together.
    #[must_use]
    pub fn histograms(&self) -> Histograms {
        self.core.counters.histograms()
    }

    /// The last events of `key`, the newest last, as far as they are remembered. Hits are no events.
    #[must_use]
    pub fn events(&self, key: &[u8]) -> Vec<Event> {
        let tail = self.core.pattern.tail(key);
        tail.map(|key| self.core.common.events.of(self.core.id, key)).unwrap_or_default()
    }

    /// What is to be seen of the breaker before its source.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        self.core.breaker.state(self.core.clock.now())
    }

    /// How many loads are in flight and can be joined.
    #[must_use]
    pub fn flights(&self) -> usize {
        self.core.flights.len()
    }
}
