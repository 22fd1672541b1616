//! Changes to part of a value: a field of a hash, a member of a sorted set, whatever a value is made of where nothing is behind it.
//!
//! A flight of the whole is not closed by them: it notes the change, and its fill takes it over (`fill.rs`). What is held is
//! changed after that, under the lock of its entry, so that one of the two sees the other.

use std::sync::Arc;

use bytes::Bytes;

use super::core::Core;
use crate::error::Error;
use crate::invalidation;
use crate::log::{Reach, Verb, Verdict as Validity};
use crate::namespace::{Life, Writes};
use crate::observe::{What, WriteOutcome};
use crate::tier::memory::{Admit, Filled, Held};
use crate::value::{Extras, Hash, Kind, MemberChange, Position, Value, Version, apply_changes};

impl Core {
    /// Makes a field of `key` unknown here and in the shared tier, so that its next read loads it; where nothing is behind the
    /// namespace, it is removed. Whether anything was held for the key here.
    pub(super) async fn tell_field(&self, key: &[u8], field: &[u8]) -> Result<bool, Error> {
        let field = Bytes::copy_from_slice(field);
        if self.shared().is_none() {
            let held = self.peek(key).is_some();
            self.drop_field(key, &field);
            self.namesakes_heed(key, Some(&field), Verb::Invalidate);
            self.counters.wrote(WriteOutcome::Invalidated);
            return Ok(held);
        }
        let held = self.peek(key).is_some();
        let namespace = Arc::clone(&self.name);
        let told = self
            .tell_all(
                Reach::Field { namespace, key: self.pattern.whole(key).into(), field },
                Verb::Invalidate,
            )
            .await;
        self.counters.wrote(match &told {
            Ok(()) => WriteOutcome::Invalidated,
            Err(_) => WriteOutcome::Unconfirmed,
        });
        told.map(|()| held)
    }

    /// Makes a field unknown, or removes it, on this instance.
    pub(super) fn drop_field(&self, key: &[u8], field: &Bytes) {
        self.may_exist(key);
        self.flights.touch(key, field);
        self.forget_field(key, field, None);
        // Once more: one that began meanwhile may be about to land with what it saw there.
        self.flights.touch(key, field);
        self.told(key, Verb::Invalidate, self.groups.newest());
    }

    /// Heeds a record about a field of `key`, whole, at `at` in the log.
    pub(super) fn heed_field(&self, key: &[u8], field: &Bytes, at: Position, counts: bool) {
        let Some(key) = self.pattern.tail(key) else { return };
        self.may_exist(key);
        self.flights.touch_before(key, field, at);
        self.forget_field(key, field, Some(at));
        self.flights.touch_before(key, field, at);
        self.told_again(key, Verb::Invalidate, at, counts);
    }

    /// What is held from `before` a position forgets the field, or loses it where nothing is behind the namespace. An absence of the
    /// hash, which says that of each of its fields, goes; what is no hash stays.
    fn forget_field(&self, key: &[u8], field: &Bytes, before: Option<Position>) {
        let _apart = self.apart();
        let forgotten = if self.source.is_some() { Hash::forget } else { Hash::remove };
        invalidation::field(&self.memory, self.id, key, self.clock.now(), before, |hash| {
            forgotten(hash, field);
        });
    }

    /// Keeps `value` for a field of `key` until the hash ends or an invalidation; loads that began before leave it as it is. Into a
    /// hash that has ended nothing is put: a partial one begins, of this field alone, with a TTL of its own.
    ///
    /// # Errors
    /// [`Error::WrongKind`] where the key holds no hash: that stays as it is.
    pub(super) fn put_field(&self, key: &[u8], field: &[u8], value: Bytes) -> Result<(), Error> {
        match self.policy.writes {
            Writes::Refuse => return Err(self.writes_refused()),
            Writes::Through | Writes::Store => return Err(self.sink_first()),
            Writes::Behind => return Err(self.whole_only()),
            Writes::Cache => {}
        }
        self.takes(Kind::Hash).inspect_err(|error| self.counters.wrote(error.into()))?;
        self.may_exist(key);
        let field = Bytes::copy_from_slice(field);
        let behind = self.source.is_some();
        self.change_held(key, |held| {
            self.flights.touch(key, &field);
            match held {
                Some(Value::Hash(hash)) => drop(Arc::make_mut(hash).keep(&field, value)),
                Some(other) => return Err(self.wrong_kind(Kind::Hash, other)),
                None => {
                    let mut hash = if behind { Hash::partial() } else { Hash::whole::<&[u8]>([]) };
                    hash.keep(&field, value);
                    *held = Some(Value::from(hash));
                }
            }
            Ok(())
        })
    }

    /// Changes what is held for `key` by `change`, atomically; it is shown `None` where nothing is held, and `None` afterwards drops
    /// it. Refused where what is held is a copy.
    pub(super) fn change<R>(
        &self,
        key: &[u8],
        change: impl FnOnce(&mut Option<Value>) -> R,
    ) -> Result<R, Error> {
        if self.source.is_some() || self.sink.is_some() {
            self.counters.wrote(WriteOutcome::Refused);
            return Err(Error::RelativeRefused { namespace: Arc::clone(&self.name) });
        }
        self.change_held(key, |held| {
            let result = change(held);
            *held = held.take().map(|value| self.fitting(value)).transpose()?;
            Ok(result)
        })
    }

    /// Changes what is held and fresh for `key` under the lock of its entry, which lives as long as it did. What `change` refuses
    /// leaves what is held as it is, and so does a suspect that nobody else has.
    fn change_held<R>(
        &self,
        key: &[u8],
        change: impl FnOnce(&mut Option<Value>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let began = self.clock.now();
        let Life { fresh_until, useless_from } = self.policy.written(began, None);
        let position = self.groups.newest();
        let new =
            Held { value: None, began, fresh_until, useless_from, position, expired: false, extras: None };
        let (mut result, mut change) = (None, Some(change));
        let filled = self.settle_apart(key, &new, |held, new| {
            let Some(change) = change.take() else { return Admit::Fenced };
            let held = held.filter(|held| held.value.is_some());
            if held.is_some_and(|held| self.withholds(key, held)) {
                result = Some(Err(self.suspect()));
                return Admit::Fenced;
            }
            match held {
                Some(held) if self.is_fresh(key, held) => *new = held.clone(),
                Some(held) => self.begin_after(key, held, new),
                None => {}
            }
            let changed = result.insert(change(&mut new.value));
            match (changed, &new.value) {
                (Err(_), _) => Admit::Fenced,
                (Ok(_), Some(_)) => Admit::Yes,
                (Ok(_), None) => Admit::Remove,
            }
        });
        self.counters.wrote(match (&result, filled) {
            (Some(Err(error)), _) => error.into(),
            (_, Filled::TooLarge { .. }) => WriteOutcome::TooLarge,
            _ => WriteOutcome::Kept,
        });
        match (result, filled) {
            (Some(Err(error)), _) => Err(error),
            (_, filled @ Filled::TooLarge { .. }) => Err(self.not_kept(filled)),
            (Some(Ok(result)), _) => {
                self.note(key, What::Written);
                Ok(result)
            }
            // A tier without a shard keeps nothing.
            (None, filled) => Err(self.not_kept(filled)),
        }
    }

    /// Why memory does not keep what was to be kept.
    pub(super) fn not_kept(&self, filled: Filled) -> Error {
        let namespace = Arc::clone(&self.name);
        match filled {
            Filled::TooLarge { weight_bytes, limit_bytes } => {
                Error::TooLarge { namespace, weight_bytes, limit_bytes }
            }
            Filled::Stored | Filled::Fenced | Filled::Older | Filled::Removed => {
                Error::RelativeRefused { namespace }
            }
        }
    }

    /// Settles what is held for `key` by what is held now, not while a change of several keys is made of it where memory has the only
    /// copy: that has looked at it already.
    fn settle_apart(
        &self,
        key: &[u8],
        new: &Held,
        mut settle: impl FnMut(Option<&Held>, &mut Held) -> Admit,
    ) -> Filled {
        loop {
            let mut is_marked = false;
            let filled = self.memory.settle(self.id, key, new.clone(), |held, new| {
                is_marked = self.source.is_none() && self.together.marks(key);
                if is_marked { Admit::Fenced } else { settle(held, new) }
            });
            if !is_marked {
                return filled;
            }
            self.together.wait_made();
        }
    }

    /// Begins a partial hash in the place of a copy that has ended and may still be served where the source fails: it remembers that,
    /// and is judged by whatever records concern it.
    fn begin_after(&self, key: &[u8], ended: &Held, new: &mut Held) {
        let Some(hash) = ended.value.as_ref().and_then(Value::as_hash) else { return };
        if self.source.is_none() || !self.serves_on_error(ended, self.clock.now()) {
            return;
        }
        let (validity, as_of) = self.validity(key, true, ended.extras.as_deref(), ended.position);
        if validity != Validity::Gone {
            new.value = Some(Value::from(Hash::after(hash, ended.began, ended.fresh_until)));
            new.position = as_of;
            new.extras.clone_from(&ended.extras);
        }
    }

    /// Applies the changes that a source's event of `version` made to the sorted set `key`, all of them at once, to what is held and
    /// to what is being loaded, as far as that is older. A set without a version cannot be told old from new, and one of a shared
    /// tier is another instance's too: such are invalidated.
    pub(super) async fn upsert_members(
        &self,
        key: &[u8],
        version: Version,
        changes: &[MemberChange],
    ) -> Result<(), Error> {
        if self.store.is_some() {
            return Err(self.sink_first());
        }
        if self.shared().is_some() {
            return self.tell_key(key, Verb::Invalidate).await.map(drop);
        }
        self.may_exist(key);
        self.flights.upsert(key, version, changes);
        let apart = self.apart();
        let kept = self.memory.update(self.id, key, self.clock.now(), |held| {
            let Some((set, of)) = held
                .value
                .as_mut()
                .and_then(Value::sorted_set_mut)
                .zip(held.extras.as_ref().and_then(|extras| extras.version))
            else {
                return false;
            };
            if apply_changes(set, of, version, changes) {
                let extras = held.extras.as_deref().cloned().unwrap_or_default();
                held.extras = Extras { version: Some(version), ..extras }.kept();
            }
            true
        });
        drop(apart);
        // Once more: one that began meanwhile may be about to land with what it saw there.
        self.flights.upsert(key, version, changes);
        if kept == Some(false) {
            invalidation::key(&self.memory, &self.flights, self.id, key);
        }
        self.counters.wrote(WriteOutcome::Kept);
        self.note(key, What::Written);
        Ok(())
    }
}
