//! Changes of one or several keys of a namespace, atomic: what is there is shown, changed at leisure, and all of it is committed, or
//! nothing.
//!
//! A change takes the turns of its keys when it begins, so that no other writer who takes turns comes between what it saw and what
//! it writes, and lets them go when it is committed or dropped. Where a store has the truth, every writer takes turns, and the
//! commit is one append ([`Core::commit_stored`], in `store.rs`). Where memory has the only copy some writers do not wait for anybody: the
//! commit finds out whether what is held is still what was shown ([`Core::commit_held`], in `commit_held.rs`). That readers see all of
//! it or nothing is kept by `together.rs`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::handle::Namespace;
use super::store::Turn;
use crate::error::Error;
use crate::namespace::Life;
use crate::observe::WriteOutcome;
use crate::rt::Tick;
use crate::tier::memory::Held;
use crate::value::{Kind, Value};

/// What is there for some keys of a namespace; no other writer who waits his turn changes it meanwhile. Dropped before
/// [`commit`](Self::commit), nothing is done.
#[derive(Debug)]
pub struct KeysChange {
    core: Arc<Core>,
    turn: Turn,
    slots: Vec<Slot>,
    by: u64,
}

/// One key within a change.
#[derive(Debug)]
pub struct Slot {
    /// Without the literal that all keys of the namespace begin with.
    pub(super) key: Box<[u8]>,
    pub(super) before: Before,
    pub(super) after: Option<Value>,
    pub(super) end: End,
    terms: Terms,
}

/// What a slot found.
#[derive(Debug)]
pub(super) enum Before {
    /// Nobody looked: the key is written whatever it holds.
    Unseen,
    /// Nothing.
    Absent,
    /// What is stored.
    Stored(Value, Life),
    /// What memory alone has.
    Held(Held),
}

/// When the value of a slot is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// When what was found does.
    Kept,
    /// As the namespace says of a new value.
    Declared,
    /// After so long; of what is `new` as of a new value, within what the namespace says of it.
    After { ttl: Duration, new: bool },
    /// Not by itself.
    Never,
}

/// What a namespace says of the ends of values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) now: Tick,
    /// After how long a new value ends that is not used; `None` where it does not.
    pub(super) new_ends_in: Option<Duration>,
    /// After how long a value ends that is not used, where uses prolong it.
    pub(super) idle: Option<Duration>,
    /// The longest that a value may be given.
    pub(super) most: Option<Duration>,
}

impl<V> Namespace<V> {
    /// Begins a change of `keys` (whole texts, all different, in any order): waits for the writers of any of them that came before, and
    /// looks up what is there. Of a store that is the truth; of a namespace that has neither store nor source, what is held.
    ///
    /// Hold it as short as you can: other writers of these keys wait for it, and so does [`clear`](Self::clear). A second change of the
    /// same namespace by the same task waits for the first one. Changes of several namespaces may be held together where everybody
    /// begins them in one order, such as that of [`Keyspace::namespaces`](super::Keyspace::namespaces); otherwise two wait for each other until
    /// their time is over.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), forebay::Error> {
    /// use forebay::{Blob, Value, secs};
    ///
    /// let names = forebay::Forebay::new()?.namespace::<Blob>("names").key("name:{id}").ttl(secs(60)).build()?;
    /// names.write(b"name:a", Value::from(Blob::json("1")), None)?;
    /// let mut rename = names.begin_change(&[b"name:a", b"name:b"]).await?;
    /// let [from, to] = rename.slots() else { return Ok(()) };
    /// if let Some(value) = from.value_mut().take() {
    ///     to.replace(value);
    /// }
    /// rename.commit().await?;
    /// assert!(names.get("a").await?.is_none() && names.get("b").await?.is_some());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::RelativeRefused`] where there is a source or a sink, so that what is held is a copy; [`Error::Key`] where a key is not one of
    /// the namespace, or comes twice; [`Error::TooManyKeys`] for more than the store changes at once;
    /// [`Error::StoreFailed`] where it could not be read; [`Error::Overloaded`] where the writers before it took too long, or are too
    /// many; [`Error::Suspect`] where what is held is, out of touch with a shared tier.
    pub async fn begin_change(&self, keys: &[&[u8]]) -> Result<KeysChange, Error> {
        let tail = |key: &&[u8]| self.core.pattern.tail(key).map(Box::from);
        let keys: Option<Vec<Box<[u8]>>> = keys.iter().map(tail).collect();
        let begun = match keys {
            Some(keys) => self.core.begin_change(keys).await,
            None => Err(self.core.not_a_key()),
        };
        begun.inspect_err(|error| self.core.counters.wrote(error.into()))
    }
}

impl KeysChange {
    /// What is there for each key, in the order in which they were given.
    #[must_use]
    pub fn slots(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// Says who makes the change: a number of the caller's own, other than 0, that whoever listens is told with it
    /// ([`Change::Key`](crate::observe::Change::Key)).
    pub fn by(&mut self, who: u64) {
        self.by = who;
    }

    /// Does all of it, and lets other writers go on. What was not changed is not written. A store is told by a task of the engine's, so
    /// that a caller who goes away leaves it done, or not begun. Where memory has the only copy this does not wait, and finds out whether
    /// what was shown was there at one moment: commit a change there even if it only reads.
    ///
    /// # Errors
    /// [`Error::StoreFailed`], [`Error::TooLarge`] and [`Error::Build`] (a value that its codec cannot write): nothing was done.
    /// [`Error::StoreUnconfirmed`]: all of it may have been done, and may not be durable. [`Error::ChangedMeanwhile`]: nothing was
    /// done, since a writer who takes no turn changed or dropped one of the keys, where memory has the only copy; begin again.
    pub async fn commit(self) -> Result<(), Error> {
        let Self { core, turn, slots, by } = self;
        match &core.store {
            Some(stored) => core.commit_stored(stored, turn, slots, by).await,
            None => core.commit_held(turn, slots, by),
        }
    }
}

impl Slot {
    pub(super) fn new(key: Box<[u8]>, before: Before, terms: Terms) -> Self {
        let after = before.value().cloned();
        Self { key, before, after, end: End::Kept, terms }
    }

    /// What is there now; `None` where nothing is, or an empty collection.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        self.after.as_ref().filter(|value| !is_empty(value))
    }

    /// After how long what is there now ends, if it is not used where uses prolong it; `None` where nothing is there, or it does not end.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.value()?;
        let Terms { now, new_ends_in, idle, most } = self.terms;
        let within = |ttl: Duration| most.map_or(ttl, |most| ttl.min(most));
        let unused = |ttl: Duration| idle.map_or(ttl, |idle| ttl.min(idle));
        match self.end_now() {
            End::Kept => self.before.life().and_then(|life| ends_in(life, now)),
            End::Declared => new_ends_in,
            End::After { ttl, new: true } => Some(unused(within(ttl))),
            End::After { ttl, new: false } => Some(within(ttl)),
            End::Never => most,
        }
    }

    /// What is there now, to be changed in its place; `None` and an empty collection are nothing. What was there ends when it did; where
    /// nothing was there, what comes ends as the namespace says.
    pub fn value_mut(&mut self) -> &mut Option<Value> {
        self.end = self.end_now();
        if self.value().is_none() {
            self.after = None;
        }
        &mut self.after
    }

    /// Puts `value` in the place of whatever is there, to end as the namespace says of a new one.
    pub fn replace(&mut self, value: Value) {
        (self.after, self.end) = (Some(value.without_ends()), End::Declared);
    }

    /// Lets what is there now end after `ttl`, zero removes it; whether anything is there. Where memory has the only copy it ends no
    /// later than the namespace says. What the namespace ends when it is not used, and is
    /// new, ends so within `ttl`; what was there before ends after `ttl` however much it is used.
    pub fn ends_after(&mut self, ttl: Duration) -> bool {
        let is_there = self.value().is_some();
        if ttl.is_zero() {
            self.after = None;
        } else if is_there {
            let new = !matches!(self.end_now(), End::Kept | End::After { new: false, .. } | End::Never);
            self.end = End::After { ttl, new };
        }
        is_there
    }

    /// Lets what is there now stay until it is removed, or as long as the namespace has it, where memory has the only copy; whether
    /// anything is there.
    pub fn never_ends(&mut self) -> bool {
        let is_there = self.value().is_some();
        if is_there {
            self.end = End::Never;
        }
        is_there
    }

    /// When what is there now is to end: what comes where nothing is ends as something new.
    fn end_now(&self) -> End {
        if self.value().is_none() { End::Declared } else { self.end }
    }

    /// Whether what was found stays as it was.
    pub(super) fn is_unchanged(&self) -> bool {
        match (self.before.value(), self.value()) {
            (None, None) => !matches!(self.before, Before::Unseen),
            (Some(before), Some(after)) => self.end == End::Kept && is_same(before, after),
            _ => false,
        }
    }
}

impl Before {
    pub(super) fn value(&self) -> Option<&Value> {
        match self {
            Self::Unseen | Self::Absent => None,
            Self::Stored(value, _) => Some(value),
            Self::Held(held) => held.value.as_ref(),
        }
    }

    pub(super) fn life(&self) -> Option<Life> {
        match self {
            Self::Unseen | Self::Absent => None,
            Self::Stored(_, life) => Some(*life),
            Self::Held(Held { fresh_until, useless_from, .. }) => {
                Some(Life { fresh_until: *fresh_until, useless_from: *useless_from })
            }
        }
    }
}

impl Core {
    async fn begin_change(self: &Arc<Self>, keys: Vec<Box<[u8]>>) -> Result<KeysChange, Error> {
        if self.sink.is_some() || self.store.is_none() && self.source.is_some() {
            return Err(Error::RelativeRefused { namespace: Arc::clone(&self.name) });
        }
        let mut seen = HashSet::with_capacity(keys.len());
        if keys.len() > 1 && !keys.iter().all(|key| seen.insert(key)) {
            let problem = "a change names a key twice: name each once".to_owned();
            return Err(Error::Key { namespace: Arc::clone(&self.name), problem });
        }
        let turn = self.turn_of_all(&keys).await?;
        let slots = match &self.store {
            Some(stored) => self.stored_slots(stored, keys).await?,
            None => self.held_slots(keys)?,
        };
        Ok(KeysChange { core: Arc::clone(self), turn, slots, by: 0 })
    }

    /// A slot whose value is of the kind that the namespace declares. What was there and stays is not judged, nor is a collection of
    /// which only a part stays.
    pub(super) fn fitted(&self, slot: Slot) -> Result<Slot, Error> {
        let stays = |after: &Value| {
            slot.before.value().is_some_and(|before| is_same(before, after) || is_smaller(before, after))
        };
        if self.policy.kind.is_none() || slot.value().is_none_or(stays) {
            return Ok(slot);
        }
        let after = slot.after.map(|value| self.fitting(value)).transpose()?;
        Ok(Slot { after, ..slot })
    }

    /// Counts how the writes of a change ended.
    pub(super) fn counted_writes<T>(
        &self,
        writes: usize,
        done: WriteOutcome,
        ended: Result<T, Error>,
    ) -> Result<T, Error> {
        let outcome = ended.as_ref().map_or_else(Into::into, |_| done);
        (0..writes).for_each(|_| self.counters.wrote(outcome));
        ended
    }
}

/// After how long what lives so ends; `None` where that is the end of time.
pub(super) fn ends_in(life: Life, now: Tick) -> Option<Duration> {
    let ends = life.fresh_until.min(life.useless_from);
    (ends < Tick::default().after(Duration::MAX)).then(|| ends.since(now))
}

/// Whether a value is a collection with nothing in it, which does not exist.
pub(super) fn is_empty(value: &Value) -> bool {
    match value.kind() {
        Kind::Hash => value.as_hash().is_some_and(|hash| hash.is_empty() == Some(true)),
        Kind::SortedSet => value.as_sorted_set().is_some_and(|set| set.is_empty()),
        Kind::Blob | Kind::Native | Kind::Counter => false,
    }
}

/// Whether both are collections of a kind, and there is less in the later one.
fn is_smaller(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Hash(before), Value::Hash(after)) => after.known_len() < before.known_len(),
        (Value::SortedSet(before), Value::SortedSet(after)) => after.len() < before.len(),
        _ => false,
    }
}

/// Whether nothing was changed, as far as that is quickly told.
pub(super) fn is_same(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Counter(before), Value::Counter(after)) => before == after,
        (Value::Native { value: before, .. }, Value::Native { value: after, .. }) => {
            Arc::ptr_eq(before, after)
        }
        (Value::Hash(before), Value::Hash(after)) => Arc::ptr_eq(before, after),
        (Value::SortedSet(before), Value::SortedSet(after)) => Arc::ptr_eq(before, after),
        (Value::Blob(before), Value::Blob(after)) => before == after,
        _ => false,
    }
}
