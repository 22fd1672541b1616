//! What is done to copies: kept, ended, tagged, dropped, made stale. Reading is `read.rs`.

use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, tells_absence};
use super::text::Held;
use crate::error::Error;
use crate::log::{Group, Reach, Record, Verb};
use crate::namespace::kind::{self, Misfit};
use crate::namespace::{Life, Writes};
use crate::observe::{ReachKind, What, WriteOutcome};
use crate::rt::Tick;
use crate::tier::memory::{self, Filled};
use crate::value::{Extras, Kind, Position, Value, length};
use crate::{invalidation, writes};

/// How many keys are looked at before the next are looked for.
const PAGE: usize = 256;

impl Core {
    /// Keeps `value` for `key`, and fences off the loads that began before.
    pub(super) fn put(&self, key: &[u8], value: Value, ttl: Option<Duration>) -> Result<(), Error> {
        match self.policy.writes {
            Writes::Refuse => return Err(self.writes_refused()),
            Writes::Through | Writes::Behind | Writes::Store => return Err(self.sink_first()),
            Writes::Cache => {}
        }
        let value =
            self.fitting(value.without_ends()).inspect_err(|error| self.counters.wrote(error.into()))?;
        let position = self.groups.newest();
        let began = self.clock.now();
        let Life { fresh_until, useless_from } = self.policy.written(began, ttl);
        let held = memory::Held {
            value: Some(value),
            began,
            fresh_until,
            useless_from,
            position,
            expired: false,
            extras: None,
        };
        match writes::keep(&self.memory, &self.flights, self.id, key, held) {
            Filled::Stored | Filled::Fenced | Filled::Older | Filled::Removed => {
                self.counters.wrote(WriteOutcome::Kept);
                self.note(key, What::Written);
                Ok(())
            }
            Filled::TooLarge { weight_bytes, limit_bytes } => {
                self.counters.wrote(WriteOutcome::TooLarge);
                Err(Error::TooLarge { namespace: Arc::clone(&self.name), weight_bytes, limit_bytes })
            }
        }
    }

    /// Forgets the copy of `key` and fences off the loads that began before, for a write that ends in `outcome`.
    pub(super) fn drop_copy(&self, key: &[u8], outcome: WriteOutcome) -> bool {
        self.may_exist(key);
        let held = self.peek(key).is_some();
        invalidation::key(&self.memory, &self.flights, self.id, key);
        self.counters.wrote(outcome);
        self.told(key, Verb::Invalidate, self.groups.newest());
        held
    }

    pub(super) fn expire_copy(&self, key: &[u8]) -> bool {
        self.may_exist(key);
        let held = self.peek(key).is_some();
        invalidation::expire_key(&self.memory, &self.flights, self.id, key, self.clock.now());
        self.counters.wrote(WriteOutcome::Expired);
        self.told(key, Verb::Expire, self.groups.newest());
        held
    }

    /// Counts and notes that a record of the key itself was heeded.
    pub(super) fn told(&self, key: &[u8], verb: Verb, position: Position) {
        let reach = ReachKind::Key;
        self.counters.invalidated(reach);
        self.note(
            key,
            match verb {
                Verb::Invalidate => What::Invalidated { reach, position },
                Verb::Expire => What::Expired { reach, position },
            },
        );
    }

    /// The same of a record that may have been heeded before: only where it `counts`. Who listens is told each time.
    pub(super) fn told_again(&self, key: &[u8], verb: Verb, position: Position, counts: bool) {
        match counts {
            true => self.told(key, verb, position),
            false => self.tell_changed(key, 0),
        }
    }

    pub(super) fn end_after(&self, key: &[u8], ttl: Duration) -> bool {
        if self.store.is_some() {
            // The store has to be told, and waited for: `live_for` does.
            return false;
        }
        let now = self.clock.now();
        let end = now.after(ttl.min(self.policy.ttl));
        self.move_end(key, now, |held| {
            // What its source gave ends when the source said, or sooner; what a client put is the client's to prolong. Uses go
            // on to prolong what slides, up to its new end.
            let (slides, unused_until) = (self.policy.idle.is_some(), held.useless_from);
            let bounded = slides || self.source.is_some();
            held.fresh_until = if bounded { end.min(held.fresh_until) } else { end };
            let keeps_idle = slides && self.source.is_some();
            held.useless_from =
                if keeps_idle { unused_until.min(held.fresh_until) } else { held.fresh_until };
            true
        })
    }

    /// Lets what is held, fresh, live as long as what would be loaded now; not what says itself when it ends, nor an absence.
    pub(super) fn renew(&self, key: &[u8]) -> bool {
        if self.store.is_some() {
            return false;
        }
        let now = self.clock.now();
        let life = self.policy.written(now, None);
        self.move_end(key, now, |held| {
            let says_its_end =
                self.gives_ends() && held.value().is_none_or(|value| value.as_hash().is_none());
            if says_its_end || held.value().is_none() || held.expired || held.served_fresh_until() <= now {
                return false;
            }
            held.fresh_until = held.fresh_until.max(life.fresh_until);
            held.useless_from = held.useless_from.max(life.useless_from);
            true
        })
    }

    /// Has `to` move the end of what is held and stands still; whether it did.
    fn move_end(&self, key: &[u8], now: Tick, to: impl Fn(&mut memory::Held) -> bool) -> bool {
        let move_end = |held: &mut memory::Held| self.revalidate(key, held) && to(held);
        let apart = self.apart();
        let moved = self.memory.update(self.id, key, now, move_end).unwrap_or(false);
        drop(apart);
        if moved {
            self.tell_changed(key, 0);
        }
        moved
    }

    pub(super) fn tag(&self, key: &[u8], tags: &[&str]) -> bool {
        let add = |held: &mut memory::Held| {
            if !self.revalidate(key, held) {
                return false;
            }
            let mut extras = held.extras.as_deref().cloned().unwrap_or_default();
            for tag in tags {
                if !extras.tags.iter().any(|other| **other == **tag) {
                    extras.tags.push((*tag).into());
                }
            }
            held.extras = Extras::kept(extras);
            true
        };
        let _apart = self.apart();
        self.memory.update(self.id, key, self.clock.now(), add).unwrap_or(false)
    }

    /// What is held for `key` and still valid, fresh or not.
    fn valid(&self, key: &[u8], now: Tick) -> Option<memory::Held> {
        self.laid_over(key, now).or_else(|| {
            let mut held = self.memory.peek(self.id, key, now)?;
            self.revalidate(key, &mut held).then_some(held)
        })
    }

    /// The value that is held for `key`, valid and fresh.
    pub(super) fn peek_value(&self, key: &[u8]) -> Option<Value> {
        let now = self.clock.now();
        let held = self.valid(key, now)?;
        let is_fresh = !held.expired && held.served_fresh_until() > now;
        let mut value = held.value.filter(|_| is_fresh)?;
        if value.earliest_end().is_some_and(|end| end <= now)
            && let Some(hash) = value.hash_mut()
        {
            hash.forget_ended(now);
        }
        Some(value)
    }

    /// What is told of what is held for `key` and still valid.
    pub(super) fn peek(&self, key: &[u8]) -> Option<Held> {
        let now = self.clock.now();
        let held = self.valid(key, now)?;
        Some(Held {
            absent: held.value.is_none(),
            kind: held.value.as_ref().map(Value::kind),
            age: now.since(held.began),
            fresh_for: if held.expired { Duration::ZERO } else { held.served_fresh_until().since(now) },
            weight_bytes: length(key.len()) + held.value.as_ref().map_or(0, Value::weight_bytes),
        })
    }

    /// Invalidates, or makes stale, `key` here and in the shared tier; whether anything was held here.
    pub(super) async fn tell_key(&self, key: &[u8], verb: Verb) -> Result<bool, Error> {
        if self.shared().is_none() {
            let held = match verb {
                Verb::Invalidate => self.drop_copy(key, WriteOutcome::Invalidated),
                Verb::Expire => self.expire_copy(key),
            };
            self.namesakes_heed(key, None, verb);
            return Ok(held);
        }
        let held = self.peek(key).is_some();
        let reach = Reach::Key { namespace: Arc::clone(&self.name), key: self.pattern.whole(key).into() };
        let told = self.tell_all(reach, verb).await;
        self.counters.wrote(match (&told, verb) {
            (Err(_), _) => WriteOutcome::Unconfirmed,
            (Ok(()), Verb::Invalidate) => WriteOutcome::Invalidated,
            (Ok(()), Verb::Expire) => WriteOutcome::Expired,
        });
        told.map(|()| held)
    }

    /// Invalidates, or makes stale, the keys that begin with `prefix`, here and in the shared tier.
    pub(super) async fn tell_prefix(&self, prefix: &[u8], verb: Verb) -> Result<(), Error> {
        let namespace = Arc::clone(&self.name);
        let (reach, kind) = match self.group(prefix) {
            Some(Group::Namespace { .. }) => (Reach::Namespace(namespace), ReachKind::Namespace),
            Some(_) => (Reach::Prefix { namespace, prefix: prefix.into() }, ReachKind::Prefix),
            None => return Ok(()),
        };
        self.counters.invalidated(kind);
        self.tell_all(reach, verb).await
    }

    /// Tells the log, and whoever shares it, and this instance.
    pub(super) async fn tell_all(&self, reach: Reach, verb: Verb) -> Result<(), Error> {
        self.common.tell(Record { keyspace: Arc::clone(&self.owner.keyspace), reach, verb }).await
    }

    /// The keys of the namespace that begin with `prefix`, which is of whole keys; `None` where there are none.
    pub(super) fn group<'a>(&self, prefix: &'a [u8]) -> Option<Group<'a>> {
        let head = self.pattern.literal_prefix();
        let namespace = self.id;
        match prefix.strip_prefix(head) {
            Some([]) => Some(Group::Namespace { namespace }),
            Some(prefix) => Some(Group::Prefix { namespace, prefix }),
            None => head.starts_with(prefix).then_some(Group::Namespace { namespace }),
        }
    }

    /// Heeds a record about a key, whole, at `at` in the log.
    pub(super) fn heed_key(&self, key: &[u8], verb: Verb, at: Position, counts: bool) {
        let Some(key) = self.pattern.tail(key) else { return };
        self.may_exist(key);
        let expired_at = (verb == Verb::Expire).then(|| self.clock.now());
        invalidation::heed_key(&self.memory, &self.flights, self.id, key, at, expired_at);
        self.told_again(key, verb, at, counts);
    }

    /// Heeds a record that has no place in the log yet: what is held of what it takes in goes, and so does whatever is being
    /// loaded, since nobody knows what it takes in of that.
    pub(super) fn heed_unplaced(&self, reach: &Reach, verb: Verb) {
        let name = |namespace: &Arc<str>| **namespace == *self.name;
        match reach {
            Reach::Key { namespace, key } if name(namespace) => {
                let Some(key) = self.pattern.tail(key) else { return };
                self.may_exist(key);
                let _ = match verb {
                    Verb::Invalidate => invalidation::key(&self.memory, &self.flights, self.id, key),
                    Verb::Expire => {
                        let now = self.clock.now();
                        invalidation::expire_key(&self.memory, &self.flights, self.id, key, now)
                    }
                };
                self.told(key, verb, self.groups.newest());
            }
            Reach::Field { namespace, key, field } if name(namespace) => {
                if let Some(key) = self.pattern.tail(key) {
                    self.drop_field(key, field);
                }
            }
            Reach::Prefix { namespace, prefix } if name(namespace) => match self.group(prefix) {
                Some(Group::Prefix { prefix, .. }) => self.drop_where(verb, |key, _| key.starts_with(prefix)),
                Some(_) => self.drop_where(verb, |_, _| true),
                None => {}
            },
            Reach::Namespace(namespace) if name(namespace) => self.drop_where(verb, |_, _| true),
            Reach::Tag(tag) => self.drop_where(verb, |key, held| {
                let mut own = held.extras.iter().flat_map(|extras| extras.tags.iter().cloned());
                tells_absence(held.value.as_ref())
                    || own.any(|other| other == *tag)
                    || self.tags_of(key).contains(tag)
            }),
            Reach::All => self.drop_where(verb, |_, _| true),
            Reach::Key { .. } | Reach::Field { .. } | Reach::Prefix { .. } | Reach::Namespace(_) => {}
        }
    }

    /// Counts and notes that the shared tier refuses to be told of a record, where that concerns this namespace.
    pub(super) fn note_refused(&self, reach: &Reach) {
        let name = |namespace: &Arc<str>| **namespace == *self.name;
        let key = match reach {
            Reach::Key { namespace, key } | Reach::Field { namespace, key, .. } if name(namespace) => {
                Some(key)
            }
            Reach::Prefix { namespace, .. } | Reach::Namespace(namespace) if name(namespace) => None,
            Reach::Tag(_) | Reach::All => None,
            Reach::Key { .. } | Reach::Field { .. } | Reach::Prefix { .. } | Reach::Namespace(_) => return,
        };
        self.counters.record_refused();
        if let Some(key) = key.and_then(|key| self.pattern.tail(key)) {
            self.note(key, What::Untold);
        }
    }

    pub(super) fn drop_where(&self, verb: Verb, takes_in: impl FnMut(&[u8], &memory::Held) -> bool) {
        self.others_may_exist();
        self.flights.close_all();
        match verb {
            Verb::Invalidate => {
                self.memory.remove_where(self.id, takes_in);
            }
            Verb::Expire => self.expire_where(takes_in),
        }
        // One that began meanwhile may be about to land with what it saw there.
        self.flights.close_all();
    }

    fn expire_where(&self, mut takes_in: impl FnMut(&[u8], &memory::Held) -> bool) {
        let (now, mut cursor) = (self.clock.now(), 0);
        loop {
            let (keys, next) = self.memory.scan(self.id, cursor, PAGE, now);
            for key in &keys {
                self.memory.update(self.id, key, now, |held| held.expired |= takes_in(key, held));
            }
            if next == 0 {
                return;
            }
            cursor = next;
        }
    }

    /// What is wrong with a text that is no key of the namespace.
    pub(super) fn not_a_key(&self) -> Error {
        Error::Key {
            namespace: Arc::clone(&self.name),
            problem: format!(
                "its keys begin with \"{}\"",
                String::from_utf8_lossy(self.pattern.literal_prefix())
            ),
        }
    }

    /// `value` as one of the kind that the namespace declares.
    ///
    /// # Errors
    /// [`Error::Misfit`].
    pub(super) fn fitting(&self, value: Value) -> Result<Value, Error> {
        kind::fit(self.policy.kind, value).map_err(|misfit| self.misfit(misfit))
    }

    /// Whether values of `kind` may be written.
    ///
    /// # Errors
    /// [`Error::Misfit`].
    pub(super) fn takes(&self, kind: Kind) -> Result<(), Error> {
        kind::takes(self.policy.kind, kind).map_err(|misfit| self.misfit(misfit))
    }

    fn misfit(&self, misfit: Misfit) -> Error {
        Error::Misfit { namespace: Arc::clone(&self.name), problem: Arc::new(misfit) }
    }
}
