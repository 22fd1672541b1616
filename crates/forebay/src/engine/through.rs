//! The story of a write that goes through: in the order of its key to the sink, and back to what is held.
//!
//! A write that the sink takes in no case is told before anything is done. The sink is asked by a task of the engine's: a writer who goes away does not leave copies as they were. What is held follows once
//! the sink has answered. Loads that began before its answer may have read the old row, so their flights are closed then, and what
//! was written is held only if nothing came across the write. With a shared tier nobody here knows what other instances wrote
//! meanwhile: the key is invalidated through the log, and the next read loads. What the sink does not confirm is invalidated too.
//! What it refused, or failed to begin, leaves what is held alone.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::core::Core;
use crate::error::Error;
use crate::invalidation;
use crate::loader::{Crossed, catching_panic};
use crate::log::{Reach, Record, Verb};
use crate::namespace::{Life, Writes};
use crate::observe::{What, WriteOutcome};
use crate::rt::Tick;
use crate::source::{LoadKey, Loaded};
use crate::tier::memory::{Admit, Filled, Held};
use crate::value::{Extras, Hash, Position, Value};
use crate::writes::{
    Applied, Change, Effect, OperationId, Outcomes, Place, SinkError, SinkWrite, WrongCount,
};

/// What was noted before the sink was asked.
pub(super) struct Before {
    position: Position,
    began: Tick,
    crossed: Option<Crossed>,
    /// What is to be held of a whole value.
    copy: Option<Held>,
}

impl Core {
    /// Gives `key` the whole `value`, where the namespace's writes go.
    pub(super) async fn set(
        self: &Arc<Self>,
        key: &[u8],
        value: Value,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        match self.policy.writes {
            Writes::Refuse | Writes::Cache => self.put(key, value, ttl),
            Writes::Through => self.write_through(key, Change::Put(value), ttl).await,
            Writes::Behind => self.write_behind(key, Some(value), ttl).await,
            Writes::Store => match &self.store {
                Some(stored) => self.set_stored(stored, key, value, ttl).await,
                None => Err(self.writes_refused()),
            },
        }
    }

    /// Makes `key` not exist, where the namespace's writes go.
    pub(super) async fn delete(self: &Arc<Self>, key: &[u8]) -> Result<(), Error> {
        match self.policy.writes {
            Writes::Refuse => Err(self.writes_refused()),
            Writes::Cache => self.tell_key(key, Verb::Invalidate).await.map(drop),
            Writes::Through => self.write_through(key, Change::Delete, None).await,
            Writes::Behind => self.write_behind(key, None, None).await,
            Writes::Store => match &self.store {
                Some(stored) => self.delete_stored(stored, key).await,
                None => Err(self.writes_refused()),
            },
        }
    }

    /// Gives fields of `key` these values, `None` for one that is not to exist, where the namespace's writes go.
    pub(super) async fn change_fields(
        self: &Arc<Self>,
        key: &[u8],
        fields: Vec<(Bytes, Option<Bytes>)>,
    ) -> Result<(), Error> {
        match self.policy.writes {
            _ if fields.is_empty() => Ok(()),
            Writes::Refuse => Err(self.writes_refused()),
            Writes::Cache => {
                for (field, value) in fields {
                    match value {
                        Some(value) => self.put_field(key, &field, value)?,
                        None => drop(self.tell_field(key, &field).await?),
                    }
                }
                Ok(())
            }
            Writes::Through => self.write_through(key, Change::Fields(fields), None).await,
            Writes::Behind => Err(self.whole_only()),
            Writes::Store => self.update(key, |held| self.write_fields(held, fields)).await?,
        }
    }

    /// The write of a namespace that takes none.
    pub(super) fn writes_refused(&self) -> Error {
        self.counters.wrote(WriteOutcome::Refused);
        Error::WritesRefused { namespace: Arc::clone(&self.name) }
    }

    /// A write that does not wait, of a namespace whose writes go to a sink.
    pub(super) fn sink_first(&self) -> Error {
        self.counters.wrote(WriteOutcome::Refused);
        Error::SinkFirst { namespace: Arc::clone(&self.name) }
    }

    /// A write of part of a value, of a namespace whose writes go behind.
    pub(super) fn whole_only(&self) -> Error {
        self.counters.wrote(WriteOutcome::Refused);
        Error::WholeOnly { namespace: Arc::clone(&self.name) }
    }

    /// A key that no source or sink can be asked for.
    pub(super) fn not_canonical(&self) -> Error {
        let problem = "its text is not canonical for its parameters' types".to_owned();
        Error::Key { namespace: Arc::clone(&self.name), problem }
    }

    /// Whether the sink takes such a write, as far as it can tell without asking anybody.
    pub(super) fn taken_by_sink(&self, key: &LoadKey, change: &Change) -> Result<(), Error> {
        let Some(sink) = &self.sink else { return Ok(()) };
        let namespace = || Arc::clone(&self.name);
        // It is the user's code.
        let checked = std::panic::catch_unwind(AssertUnwindSafe(|| sink.check(&self.name, key, change)));
        match checked {
            Ok(Ok(())) => Ok(()),
            Ok(Err(unfit)) => Err(Error::Unfit { namespace: namespace(), problem: Arc::new(unfit) }),
            Err(_) => Err(Error::SinkRefused { namespace: namespace(), cause: Arc::new(Panicked) }),
        }
    }

    async fn write_through(
        self: &Arc<Self>,
        key: &[u8],
        change: Change,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        let Some(params) = self.key_of(key) else {
            self.counters.wrote(WriteOutcome::Refused);
            return Err(self.not_canonical());
        };
        if let Err(error) = self.taken_by_sink(&params, &change) {
            self.counters.wrote((&error).into());
            return Err(error);
        }
        let Some(place) = self.order.enter(key) else {
            self.counters.wrote(WriteOutcome::Failed);
            return Err(self.too_many_writes());
        };
        let (tell, told) = oneshot::channel();
        let (core, key) = (Arc::clone(self), Box::<[u8]>::from(key));
        self.tasks.start(async move {
            let ended = core.write(place, &key, params, change, ttl).await;
            core.counters.wrote(match &ended {
                Ok(()) => WriteOutcome::Applied,
                Err(error) => error.into(),
            });
            // A writer who has gone away is told nothing.
            let _ = tell.send(ended);
        });
        let lost = |_| Err(Error::WriteUnconfirmed { namespace: Arc::clone(&self.name), cause: None });
        told.await.unwrap_or_else(lost)
    }

    /// Writes, when it is its turn. It waits for that as long as a reader does for a load, and as long again for the sink.
    async fn write(
        &self,
        place: Place,
        key: &[u8],
        params: LoadKey,
        change: Change,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        let turn = self.clock.timeout(self.policy.load_timeout, self.turn_at_sink(place, key)).await;
        let Ok(Some(going)) = turn else { return Err(self.too_many_writes()) };
        let before = self.before(key, &change, ttl);
        let write = SinkWrite { id: OperationId::next(), key: params, change };
        let answered = self.ask_sink(std::slice::from_ref(&write)).await.pop();
        let ended =
            match answered.unwrap_or_else(|| Err(SinkError::unknown(WrongCount { given: 1, told: 0 }))) {
                Ok(applied) => self.follow(key, write.change, applied, before).await,
                Err(SinkError { cause, effect }) => {
                    let namespace = Arc::clone(&self.name);
                    match effect {
                        Effect::Refused => Err(Error::SinkRefused { namespace, cause }),
                        Effect::Failed => Err(Error::SinkFailed { namespace, cause }),
                        Effect::Unknown => {
                            self.may_exist(key);
                            // What the shared tier could not be told it is told later; the write is the worse news.
                            let _ = self.make_gone(&[key]).await;
                            Err(Error::WriteUnconfirmed { namespace, cause: Some(cause) })
                        }
                    }
                }
            };
        drop(going);
        ended
    }

    pub(super) fn too_many_writes(&self) -> Error {
        Error::Overloaded { namespace: Arc::clone(&self.name), retry_after: self.policy.load_timeout }
    }

    /// Asks the sink to apply writes, in time; one outcome each. However it does not answer, they may have been applied.
    pub(super) async fn ask_sink(&self, writes: &[SinkWrite]) -> Outcomes {
        let all = |error: SinkError| writes.iter().map(|_| Err(error.clone())).collect();
        let Some(sink) = &self.sink else {
            return all(SinkError::refused(Error::WritesRefused { namespace: Arc::clone(&self.name) }));
        };
        let asked = catching_panic(async { sink.apply(&self.name, writes).await });
        match self.clock.timeout(self.policy.load_timeout, asked).await {
            Err(_) => all(SinkError::unknown(self.late())),
            Ok(None) => all(SinkError::unknown(Panicked)),
            Ok(Some(told)) if told.len() == writes.len() => told,
            Ok(Some(told)) => all(SinkError::unknown(WrongCount { given: writes.len(), told: told.len() })),
        }
    }

    /// Notes what a write is judged by once the sink has answered.
    pub(super) fn before(&self, key: &[u8], change: &Change, ttl: Option<Duration>) -> Before {
        let crossed = self.flights.begin_write(key);
        let (position, began) = (self.groups.newest(), self.clock.now());
        let copy = match change {
            Change::Put(value) => self.copy_of(value, ttl, position, began),
            _ => None,
        };
        Before { position, began, crossed, copy }
    }

    /// What is to be held of a whole value once it is written; `None` where a load could tell more of it: tags or an end that only the
    /// source knows, or what the code panicked over that is to tell them.
    fn copy_of(&self, value: &Value, ttl: Option<Duration>, position: Position, began: Tick) -> Option<Held> {
        if self.source.as_ref().is_some_and(|source| source.gives_tags() || source.gives_ends()) {
            return None;
        }
        let mut written = Loaded { ttl, ..Loaded::new(value.clone().without_ends()) };
        if let Some(decide) = &self.decide {
            // It is the user's code: one that panics tells nothing of the value.
            std::panic::catch_unwind(AssertUnwindSafe(|| decide(&mut written))).ok()?;
        }
        let Loaded { value, ttl: decided, fresh_until: until, tags, version } = written;
        let decided = decided.into_iter().chain(until.map(|until| until.since(began))).min();
        let own = match (ttl, decided) {
            (Some(asked), Some(decided)) => Some(asked.min(decided)),
            (asked, decided) => asked.or(decided),
        };
        let Life { fresh_until, useless_from } = self.policy.written(began, own);
        let extras = Extras { tags, version }.kept();
        Some(Held { value: Some(value), began, fresh_until, useless_from, position, expired: false, extras })
    }

    /// What is held follows a write that the sink has applied.
    async fn follow(
        &self,
        key: &[u8],
        change: Change,
        applied: Applied,
        before: Before,
    ) -> Result<(), Error> {
        if self.is_followed(key, change, applied, before) {
            return Ok(());
        }
        self.make_gone(&[key]).await
    }

    /// Holds what the sink has applied; `false` where what is held of the key is to be [made gone](Self::make_gone) instead.
    pub(super) fn is_followed(&self, key: &[u8], change: Change, applied: Applied, before: Before) -> bool {
        self.may_exist(key);
        let holds = applied.as_written && self.shared().is_none() && !self.has_successor();
        let followed = holds
            && match change {
                Change::Put(_) => self.hold_written(key, applied, before),
                Change::Fields(fields) => self.hold_fields(key, fields, &before),
                Change::Delete => false,
            };
        if followed {
            self.note(key, What::Written);
        }
        followed
    }

    /// Holds a whole value as it was written; `false` where something came across the write, or it is not to be held.
    fn hold_written(&self, key: &[u8], applied: Applied, before: Before) -> bool {
        let Before { crossed, copy: Some(mut copy), .. } = before else { return false };
        if let Some(version) = applied.version {
            let extras = copy.extras.as_deref().cloned().unwrap_or_default();
            copy.extras = Extras { version: Some(version), ..extras }.kept();
        }
        if copy.served_fresh_until() <= self.clock.now() {
            return false;
        }
        let filled = self.memory.settle(self.id, key, copy, |_, copy| {
            let is_current = self.is_uncrossed(key, crossed.as_ref(), copy);
            // A load that boards later looks at memory after this lock.
            self.flights.close(key);
            if is_current { Admit::Yes } else { Admit::Remove }
        });
        filled == Filled::Stored
    }

    /// Changes the fields of what is held as they were written; `false` where something came across the write. A hash that is not held
    /// is made where there is no source to load it from, and is not where there is one: then too `false`.
    fn hold_fields(&self, key: &[u8], fields: Vec<(Bytes, Option<Bytes>)>, before: &Before) -> bool {
        let Before { position, began, crossed, .. } = before;
        let Life { fresh_until, useless_from } = self.policy.written(*began, None);
        let (position, began) = (*position, *began);
        let new =
            Held { value: None, began, fresh_until, useless_from, position, expired: false, extras: None };
        let names: Vec<Bytes> = fields.iter().map(|(field, _)| field.clone()).collect();
        // When such a field ends only a load can tell.
        let gives_ends = self.source.as_ref().is_some_and(|source| source.gives_ends());
        let touch = || names.iter().for_each(|field| self.flights.touch(key, field));
        let filled = self.memory.settle(self.id, key, new, |held, new| {
            let is_current = self.is_uncrossed(key, crossed.as_ref(), new);
            touch();
            let held = held.filter(|held| held.value.is_some() && self.is_fresh(key, held));
            match held {
                Some(held) => *new = held.clone(),
                None if self.source.is_none() => new.value = Some(Value::from(Hash::whole::<&[u8]>([]))),
                None => {}
            }
            let Some(hash) = new.value.as_mut().and_then(Value::hash_mut).filter(|_| is_current) else {
                return Admit::Remove;
            };
            for (field, value) in fields {
                match value {
                    Some(_) if gives_ends => hash.forget(&field),
                    Some(value) => hash.set(&field, value),
                    None => hash.remove(&field),
                };
            }
            Admit::Yes
        });
        // Once more: one that began meanwhile may be about to land with what it saw there.
        touch();
        filled == Filled::Stored
    }

    /// Whether neither the key nor a group of `written` was invalidated since the sink was asked. Asked under the lock of the insert.
    fn is_uncrossed(&self, key: &[u8], crossed: Option<&Crossed>, written: &Held) -> bool {
        let in_time = written.position >= self.groups.newest() || self.is_current(key, written);
        in_time && crossed.is_some_and(|crossed| !crossed.is_crossed())
    }

    /// Makes what is held of keys that were written gone, here and in the shared tier, and fences off the loads that began before.
    pub(super) async fn make_gone(&self, keys: &[&[u8]]) -> Result<(), Error> {
        if self.shared().is_none() {
            for key in keys {
                invalidation::key(&self.memory, &self.flights, self.id, key);
                self.told(key, Verb::Invalidate, self.groups.newest());
                self.namesakes_heed(key, None, Verb::Invalidate);
            }
            return Ok(());
        }
        let record = |key: &&[u8]| Record {
            keyspace: Arc::clone(&self.owner.keyspace),
            reach: Reach::Key { namespace: Arc::clone(&self.name), key: self.pattern.whole(key).into() },
            verb: Verb::Invalidate,
        };
        let records: Vec<Record> = keys.iter().map(record).collect();
        self.common.tell_many(&records).await
    }
}

/// The sink's code panicked.
#[derive(Debug, thiserror::Error)]
#[error("the sink panicked")]
struct Panicked;
