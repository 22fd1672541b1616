//! Hashes: fields and their values, and what is not known of them.
//!
//! A hash in a cache may be a part of what its source has. A *whole* one has every field, except *holes*: fields that were
//! invalidated and not loaded again. In a whole hash a field that is neither there nor a hole does not exist. In a *partial*
//! one a field that is not there is unknown, unless its absence was learned and is remembered.
//!
//! A field may have an *end* of its own, told by the source that gave it. What is known of it counts until then: at a later tick it
//! is like a hole, although its old value lies there until another takes its place. Whoever shows a hash to a reader asks with the
//! tick ([`Hash::state_at`], [`Hash::is_complete_at`]); a hash that was complete then is what the reader gets, ends or not.
//!
//! A clone costs O(1) and a change O(log n), also beside clones that readers hold. Holes and remembered absences are
//! bounded. What is loaded when, and that a load is not overtaken by another, is the engine's matter; the methods that
//! take a load's answer say which fields it must leave alone.

mod absences;
mod ends;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use absences::Absences;
use ends::Ends;

use super::length;
use super::name::{Name, Page, Sought, scan};
use super::tree::{Change, Iter, Tree, Weigh};
use crate::rt::Tick;

/// What is known of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldState<B = Bytes> {
    /// It has this value.
    Known(B),
    /// It does not exist.
    Absent,
    /// It must be asked for.
    Unknown,
}

impl<B> FieldState<B> {
    /// The value, where there is one.
    #[must_use]
    pub fn known(self) -> Option<B> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown => None,
        }
    }
}

impl FieldState<&Bytes> {
    /// The same, with the value for itself.
    #[must_use]
    pub fn cloned(self) -> FieldState {
        match self {
            Self::Known(value) => FieldState::Known(value.clone()),
            Self::Absent => FieldState::Absent,
            Self::Unknown => FieldState::Unknown,
        }
    }
}

/// What a source gives for a field that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its value.
    pub value: Bytes,
    /// When it ends, where it says so itself: from then on it is loaded again before it is shown.
    pub fresh_until: Option<Tick>,
}

impl From<Bytes> for Field {
    /// A field that ends with its hash.
    fn from(value: Bytes) -> Self {
        Self { value, fresh_until: None }
    }
}

/// Fields and their values.
///
/// Values are kept as they are handed in and weighed by their length: hand in bytes of their own, not a slice that keeps
/// a larger buffer in memory.
///
/// ```
/// use bytes::Bytes;
/// use forebay::value::{FieldState, Hash};
///
/// let mut hash = Hash::whole([("name", Bytes::from("Ada")), ("mail", Bytes::from("ada@example.com"))]);
/// assert_eq!(hash.state(b"phone"), FieldState::Absent);
/// hash.forget(b"mail");
/// assert_eq!(hash.state(b"mail"), FieldState::Unknown);
/// assert_eq!(hash.len(), None);
/// ```
#[derive(Clone)]
pub struct Hash {
    known: Tree<Name, Bytes>,
    rest: Rest,
    /// Of fields that are in `known`.
    ends: Ends,
}

/// What is known of the fields that are not there.
#[derive(Clone)]
enum Rest {
    /// They do not exist, except these, of which nothing is known. No hole is in `known`.
    Whole { holes: Tree<Name, ()> },
    /// Nothing, except that `absent` do not exist, none of which is in `known`; `kept` are, and no load of the whole replaces
    /// them. `past` is the hash that it took the place of, where that may still be of use.
    Partial { absent: Absences, kept: Tree<Name, ()>, past: Option<Arc<Past>> },
}

/// A hash that had ended when a client wrote a field: nothing of it is known any more, and some of it may be served where the source
/// fails. It has no past of its own.
#[derive(Clone)]
pub(crate) struct Past {
    pub(crate) hash: Hash,
    /// When its load began.
    pub(crate) began: Tick,
    /// When it ended.
    pub(crate) fresh_until: Tick,
}

/// What a past takes beside its hash, in bytes: two ticks and the counts of its references.
const PAST_BYTES: u64 = 32;

impl Hash {
    /// Beyond this many holes, a hash is not whole any more: it is cheaper to load it again than to ask for them.
    pub const HOLES_MAX: usize = 256;
    /// Beyond this many remembered absences in a partial hash, the oldest is forgotten.
    pub const ABSENCES_MAX: usize = 1_024;

    /// A hash of which nothing is known.
    #[must_use]
    pub fn partial() -> Self {
        Self { known: Tree::default(), rest: Rest::partial(), ends: Ends::default() }
    }

    /// A hash of which nothing is known, in the place of `ended`, which was loaded at `began` and ended at `fresh_until`. Of one
    /// that has a past itself, it is that which is remembered.
    pub(crate) fn after(ended: &Self, began: Tick, fresh_until: Tick) -> Self {
        let earlier = match &ended.rest {
            Rest::Partial { past, .. } => past.clone(),
            Rest::Whole { .. } => None,
        };
        let past = earlier.unwrap_or_else(|| Arc::new(Past { hash: ended.clone(), began, fresh_until }));
        let rest = Rest::Partial { absent: Absences::default(), kept: Tree::default(), past: Some(past) };
        Self { known: Tree::default(), rest, ends: Ends::default() }
    }

    /// What it took the place of, where that may still be of use.
    pub(crate) fn past(&self) -> Option<&Past> {
        match &self.rest {
            Rest::Partial { past, .. } => past.as_deref(),
            Rest::Whole { .. } => None,
        }
    }

    /// A hash of exactly `fields`. Of a field that comes twice, the later value counts.
    pub fn whole<F: AsRef<[u8]>>(fields: impl IntoIterator<Item = (F, Bytes)>) -> Self {
        Self::whole_until(fields.into_iter().map(|(field, value)| (field, Field::from(value))))
    }

    /// The same of fields that may have an end of their own.
    pub fn whole_until<F: AsRef<[u8]>>(fields: impl IntoIterator<Item = (F, Field)>) -> Self {
        let mut named: Vec<_> =
            fields.into_iter().map(|(name, field)| (Name::new(name.as_ref()), field)).collect();
        // Stable, and reversed before: the last of equal names comes first, and stays.
        named.reverse();
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        named.dedup_by(|(later, _), (first, _)| later == first);
        let ends = named.iter().filter_map(|(name, field)| Some((name.alias(), field.fresh_until?)));
        let ends = Ends::of(ends);
        let known = named.into_iter().map(|(name, field)| (name, settled(field.value))).collect();
        Self { known: Tree::from_sorted(known), rest: Rest::Whole { holes: Tree::default() }, ends }
    }

    /// Whether a field that is neither there nor a hole does not exist.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.rest, Rest::Whole { .. })
    }

    /// What is known of `field`, ended or not.
    #[must_use]
    pub fn state(&self, field: &[u8]) -> FieldState<&Bytes> {
        let sought = Sought::new(field);
        match self.known.get_by(sought.order()) {
            Some((_, value)) => FieldState::Known(value),
            None => self.missing(sought),
        }
    }

    /// What is known of `field` at `now`: of one that has ended, nothing.
    #[must_use]
    pub fn state_at(&self, field: &[u8], now: Tick) -> FieldState<&Bytes> {
        let has_ended = self.has_ended(now) && self.end(field).is_some_and(|end| end <= now);
        if has_ended { FieldState::Unknown } else { self.state(field) }
    }

    /// When `field` ends, where it says so itself.
    #[must_use]
    pub fn end(&self, field: &[u8]) -> Option<Tick> {
        self.ends.of_field(field)
    }

    /// When the first of its fields ends that say so themselves.
    #[inline]
    #[must_use]
    pub fn earliest_end(&self) -> Option<Tick> {
        self.ends.earliest()
    }

    /// Whether a field has ended at `now`, in O(1).
    #[inline]
    fn has_ended(&self, now: Tick) -> bool {
        self.earliest_end().is_some_and(|end| end <= now)
    }

    /// Whether all of it is known at `now`: it is whole, has no holes, and no field has ended.
    #[inline]
    #[must_use]
    pub fn is_complete_at(&self, now: Tick) -> bool {
        self.len().is_some() && !self.has_ended(now)
    }

    /// What is known of a field that is not in `known`.
    fn missing<B>(&self, sought: Sought<'_>) -> FieldState<B> {
        let absent = match &self.rest {
            Rest::Whole { holes } => holes.get_by(sought.order()).is_none(),
            Rest::Partial { absent, .. } => absent.contains(sought),
        };
        if absent { FieldState::Absent } else { FieldState::Unknown }
    }

    /// How many fields the hash has, where that is known: it is whole and has no holes.
    #[must_use]
    pub fn len(&self) -> Option<usize> {
        match &self.rest {
            Rest::Whole { holes } if holes.is_empty() => Some(self.known.len()),
            _ => None,
        }
    }

    /// Whether it has no fields, where that is known. A whole hash that is empty stands for one that does not exist.
    #[must_use]
    pub fn is_empty(&self) -> Option<bool> {
        self.len().map(|len| len == 0)
    }

    /// How many fields are there, however many there may be beside.
    #[must_use]
    pub fn known_len(&self) -> usize {
        self.known.len()
    }

    /// The fields to ask for so that the hash is complete, in scan order; none in a partial one, which must be loaded as a
    /// whole.
    pub fn holes(&self) -> impl Iterator<Item = &[u8]> {
        let holes = match &self.rest {
            Rest::Whole { holes } => Some(holes),
            Rest::Partial { .. } => None,
        };
        holes.into_iter().flat_map(Tree::iter).map(|(name, ())| name.bytes())
    }

    /// The fields to ask for so that the hash is complete at `now`: its holes, and what has ended. None in a partial one, and where
    /// there are more than [`Self::HOLES_MAX`]: such must be loaded as a whole.
    #[must_use]
    pub fn holes_at(&self, now: Tick) -> Vec<&[u8]> {
        let Rest::Whole { holes } = &self.rest else { return Vec::new() };
        if holes.len().saturating_add(self.ends.count_ended(now)) > Self::HOLES_MAX {
            return Vec::new();
        }
        self.holes().chain(self.ends.ended(now)).collect()
    }

    /// Sets a field, which ends with the hash; tells what was known of it, ended or not.
    pub fn set(&mut self, field: &[u8], value: Bytes) -> FieldState {
        self.set_until(field, Field::from(value))
    }

    /// Sets a field that may have an end of its own; tells what was known of it, ended or not.
    pub fn set_until(&mut self, field: &[u8], Field { value, fresh_until }: Field) -> FieldState {
        let sought = Sought::new(field);
        let before = match self.known.replace_by(sought.order(), settled(value)) {
            Ok(old) => FieldState::Known(old),
            Err(value) => {
                let before = self.missing(sought);
                self.rest.now_known(sought);
                self.known.insert(sought.to_name(), value);
                before
            }
        };
        match (fresh_until, self.known.get_by(sought.order())) {
            (Some(end), Some((name, _))) => self.ends.note(name.alias(), end),
            _ => self.ends.forget(field),
        }
        before
    }

    /// Lets all of its fields end with it.
    pub fn forget_ends(&mut self) {
        self.ends = Ends::default();
    }

    /// Sets a field that a client wrote and the source may not have: as [`set`](Self::set), and a later load of the whole into a
    /// partial hash leaves it as it is.
    pub fn keep(&mut self, field: &[u8], value: Bytes) -> FieldState {
        let before = self.set(field, value);
        if let Rest::Partial { kept, .. } = &mut self.rest {
            kept.insert(Name::new(field), ());
        }
        before
    }

    /// Whether it is partial and has fields that a load of the whole leaves as they are.
    #[must_use]
    pub fn keeps(&self) -> bool {
        matches!(&self.rest, Rest::Partial { kept, .. } if !kept.is_empty())
    }

    /// Removes a field, which is known not to exist from now on; tells what was known of it.
    pub fn remove(&mut self, field: &[u8]) -> FieldState {
        let sought = Sought::new(field);
        let before = self.take(sought);
        match &mut self.rest {
            Rest::Whole { holes } => drop(holes.remove_by(sought.order())),
            Rest::Partial { absent, kept, past } => {
                kept.remove_by(sought.order());
                absent.remember(sought);
                if let Some(past) = past {
                    Arc::make_mut(past).hash.remove(field);
                }
            }
        }
        before
    }

    /// Forgets what is known of a field, since it may have changed; tells what it was. A whole hash gets a hole, or, with
    /// [`Self::HOLES_MAX`] of them, stops being whole.
    pub fn forget(&mut self, field: &[u8]) -> FieldState {
        let sought = Sought::new(field);
        let before = self.take(sought);
        match &mut self.rest {
            Rest::Partial { absent, kept, past } => {
                kept.remove_by(sought.order());
                absent.forget(sought);
                if let Some(past) = past {
                    Arc::make_mut(past).hash.forget(field);
                }
            }
            Rest::Whole { .. } if before == FieldState::Unknown => {}
            Rest::Whole { holes } if holes.len() < Self::HOLES_MAX => {
                holes.insert(sought.to_name(), ());
            }
            Rest::Whole { .. } => self.rest = Rest::partial(),
        }
        before
    }

    /// Forgets what has ended at `now`.
    pub fn forget_ended(&mut self, now: Tick) {
        let ended: Vec<Bytes> = self.ends.ended(now).map(Bytes::copy_from_slice).collect();
        ended.iter().for_each(|field| drop(self.forget(field)));
    }

    fn take(&mut self, sought: Sought<'_>) -> FieldState {
        self.ends.forget(sought.bytes());
        match self.known.remove_by(sought.order()) {
            Some((_, value)) => FieldState::Known(value),
            None => self.missing(sought),
        }
    }

    /// Takes a load's answers for single fields, `None` for one that does not exist. Only what is unknown at `now` is filled:
    /// a value set meanwhile is newer.
    pub fn fill_holes<F: AsRef<[u8]>, V: Into<Field>>(
        &mut self,
        now: Tick,
        answers: impl IntoIterator<Item = (F, Option<V>)>,
    ) {
        for (field, answer) in answers {
            let field = field.as_ref();
            if self.state_at(field, now) != FieldState::Unknown {
                continue;
            }
            match answer {
                Some(answer) => self.set_until(field, answer.into()),
                None => self.remove(field),
            };
        }
    }

    /// Takes a load of the whole hash and becomes it. What [`keep`](Self::keep) brought into a partial hash stays. Fields in
    /// `touched` were set, removed or invalidated here after the load began: what is known of them here stays, with its end, and of
    /// what nothing is known becomes a hole. With more than [`Self::HOLES_MAX`] holes it is not whole after all. O(t log n) for t of
    /// both.
    pub fn make_whole(&mut self, loaded: &Self, touched: &BTreeSet<Bytes>) {
        let mut whole = loaded.clone();
        let kept = match &self.rest {
            Rest::Partial { kept, .. } => Some(kept),
            Rest::Whole { .. } => None,
        };
        let kept = kept.into_iter().flat_map(Tree::iter).map(|(name, ())| name.bytes());
        for field in kept.chain(touched.iter().map(|field| &**field)) {
            match self.state(field).cloned() {
                FieldState::Known(value) => {
                    whole.set_until(field, Field { value, fresh_until: self.end(field) })
                }
                FieldState::Absent => whole.remove(field),
                FieldState::Unknown => whole.forget(field),
            };
        }
        *self = whole;
    }

    /// The fields that are there, in the order of their bytes. Sorts them: O(n log n). Where any order will do, take
    /// [`Self::iter_scan`].
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &Bytes)> + ExactSizeIterator {
        let mut fields: Vec<_> = self.iter_scan().collect();
        fields.sort_unstable_by_key(|(field, _)| *field);
        fields.into_iter()
    }

    /// The fields that are there, in scan order, which is the same on every instance.
    #[must_use]
    pub fn iter_scan(&self) -> Fields<'_> {
        Fields(self.known.iter())
    }

    /// The `index`-th of the [`Self::known_len`] fields that are there, from 0 in scan order: a random index gives a random
    /// field.
    #[must_use]
    pub fn nth(&self, index: usize) -> Option<(&[u8], &Bytes)> {
        self.known.nth(index).map(|(name, value)| (name.bytes(), value))
    }

    /// Fields from `cursor` on (0 begins), about `count` of them, and the cursor to go on with (0 ends), as `HSCAN`. A
    /// field that is there all the while is seen, exactly once, whatever else changes, reloads included.
    #[must_use]
    pub fn scan(&self, cursor: u64, count: usize) -> Page<(&[u8], &Bytes)> {
        scan(&self.known, cursor, count)
    }

    /// What makes `old` this, of two hashes that are known whole: fields with their values, `None` where a field is gone. Where one is
    /// a clone of the other that was changed, what they share is not looked at.
    #[must_use]
    pub fn changes_since(&self, old: &Self) -> Vec<(Bytes, Option<Bytes>)> {
        let mut changes = Vec::new();
        let name = |name: &Name| Bytes::copy_from_slice(name.bytes());
        self.known.changes_since(&old.known, |change| {
            changes.push(match change {
                Change::Put(field, value) => (name(field), Some(value.clone())),
                Change::Removed(field) => (name(field), None),
            });
        });
        changes
    }

    /// What it weighs, in bytes; what it shares with clones is counted in each.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        let rest = match &self.rest {
            Rest::Whole { holes } => holes.weight_bytes(),
            Rest::Partial { absent, kept, past } => {
                let past = past.as_ref().map_or(0, |past| past.hash.weight_bytes() + PAST_BYTES);
                absent.weight_bytes() + kept.weight_bytes() + past
            }
        };
        length(size_of::<Self>())
            .saturating_add(self.known.weight_bytes())
            .saturating_add(rest)
            .saturating_add(self.ends.weight_bytes())
    }

    /// Checks the structure: order, balance, weights, bounds.
    ///
    /// # Errors
    /// What does not hold.
    pub fn validate(&self) -> Result<(), String> {
        self.known.validate()?;
        self.ends.validate()?;
        if let Some(name) = self.ends.names().find(|name| !matches!(self.state(name), FieldState::Known(_))) {
            return Err(format!("{name:?} has an end and is not there"));
        }
        let names = match &self.rest {
            Rest::Whole { holes } => {
                holes.validate()?;
                if holes.len() > Self::HOLES_MAX {
                    return Err(format!("{} holes", holes.len()));
                }
                holes.iter().map(|(name, ())| name).collect::<Vec<_>>()
            }
            Rest::Partial { absent, kept, past } => {
                absent.validate()?;
                kept.validate()?;
                if let Some(past) = past {
                    past.hash.validate()?;
                    if past.hash.past().is_some() {
                        return Err("a past has a past".into());
                    }
                }
                let known = |name: &Name| self.known.get_by(|known| known.cmp(name)).is_some();
                if let Some((name, ())) = kept.iter().find(|(name, ())| !known(name)) {
                    return Err(format!("{:?} is kept and not there", name.bytes()));
                }
                absent.names().collect()
            }
        };
        match names.into_iter().find(|name| self.known.get_by(|known| known.cmp(name)).is_some()) {
            Some(name) => Err(format!("{:?} is there, and a hole or absent too", name.bytes())),
            None => Ok(()),
        }
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self::partial()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extent = if self.is_whole() { "whole" } else { "partial" };
        write!(f, "Hash({extent}, {} fields, {} holes)", self.known_len(), self.holes().count())
    }
}

impl Rest {
    fn partial() -> Self {
        Self::Partial { absent: Absences::default(), kept: Tree::default(), past: None }
    }

    fn now_known(&mut self, sought: Sought<'_>) {
        match self {
            Self::Whole { holes } => drop(holes.remove_by(sought.order())),
            Self::Partial { absent, .. } => absent.forget(sought),
        }
    }
}

/// The value with the record that clones share, which its first clone would allocate, by a reader and weighed by nobody.
fn settled(value: Bytes) -> Bytes {
    drop(value.clone());
    value
}

impl Weigh for Bytes {
    /// Its length, and the record that clones share (three words).
    fn heap_bytes(&self) -> u64 {
        if self.is_empty() { 0 } else { length(self.len().saturating_add(3 * size_of::<usize>())) }
    }
}

/// Fields in scan order.
pub struct Fields<'a>(Iter<'a, Name, Bytes>);

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (name.bytes(), value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Fields<'_> {}
