//! When fields of a hash end that say so themselves.
//!
//! By name, to judge one field in O(log n), and by time, to find those that have ended; the earliest end is at hand, so that a hash of
//! which nothing has ended is told in O(1). A hash without ends has none of this. That every field in it is one of the hash is kept by
//! `hash.rs`.

use std::sync::Arc;

use crate::rt::Tick;
use crate::value::length;
use crate::value::name::Alias;
use crate::value::tree::{Tree, Weigh};

/// The ends of the fields that have one.
#[derive(Clone, Default)]
pub(super) struct Ends(Option<Arc<Noted>>);

#[derive(Clone, Default)]
struct Noted {
    by_name: Tree<Alias, Tick>,
    by_time: Tree<(Tick, Alias), ()>,
    /// The first of `by_time`.
    earliest: Tick,
}

/// What they take beside what is in the trees, in bytes: the trees themselves and the counts of references.
const NOTED_BYTES: usize = size_of::<Noted>() + 2 * size_of::<usize>();

impl Ends {
    /// Those of `fields`, none of which comes twice, in O(n log n).
    pub(super) fn of(fields: impl IntoIterator<Item = (Alias, Tick)>) -> Self {
        let mut by_name: Vec<(Alias, Tick)> = fields.into_iter().collect();
        if by_name.is_empty() {
            return Self(None);
        }
        by_name.sort_unstable();
        let mut by_time: Vec<_> = by_name.iter().map(|(name, end)| ((*end, name.clone()), ())).collect();
        by_time.sort_unstable();
        let earliest = by_time.first().map_or(Tick::default(), |((end, _), ())| *end);
        let (by_name, by_time) = (Tree::from_sorted(by_name), Tree::from_sorted(by_time));
        Self(Some(Arc::new(Noted { by_name, by_time, earliest })))
    }

    /// The earliest of them.
    #[inline]
    pub(super) fn earliest(&self) -> Option<Tick> {
        self.0.as_ref().map(|noted| noted.earliest)
    }

    /// The end of `field`.
    pub(super) fn of_field(&self, field: &[u8]) -> Option<Tick> {
        let noted = self.0.as_ref()?;
        noted.by_name.get_by(|name| name.bytes().cmp(field)).map(|(_, end)| *end)
    }

    /// How many fields have ended at `now`.
    pub(super) fn count_ended(&self, now: Tick) -> usize {
        self.0.as_ref().map_or(0, |noted| noted.by_time.partition_point(|(end, _)| *end <= now))
    }

    /// The fields that have ended at `now`, the earliest first.
    pub(super) fn ended(&self, now: Tick) -> impl Iterator<Item = &[u8]> {
        let by_time = self.0.iter().flat_map(|noted| noted.by_time.iter());
        by_time.take_while(move |((end, _), ())| *end <= now).map(|((_, name), ())| name.bytes())
    }

    /// Lets the field called `name` end at `end`.
    pub(super) fn note(&mut self, name: Alias, end: Tick) {
        if self.of_field(name.bytes()) == Some(end) {
            return;
        }
        let noted = Arc::make_mut(self.0.get_or_insert_default());
        if let Some(before) = noted.by_name.insert(name.clone(), end) {
            noted.by_time.remove_by(|(at, other)| (*at, other.bytes()).cmp(&(before, name.bytes())));
        }
        noted.by_time.insert((end, name), ());
        noted.look_for_earliest();
    }

    /// Lets `field` have no end.
    pub(super) fn forget(&mut self, field: &[u8]) {
        // Looked for first: what is not there must not copy anything.
        let Some(end) = self.of_field(field) else { return };
        let Some(noted) = self.0.as_mut().map(Arc::make_mut) else { return };
        noted.by_name.remove_by(|name| name.bytes().cmp(field));
        noted.by_time.remove_by(|(at, name)| (*at, name.bytes()).cmp(&(end, field)));
        noted.look_for_earliest();
        if noted.by_name.is_empty() {
            self.0 = None;
        }
    }

    /// The fields that have an end.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().flat_map(|noted| noted.by_name.iter()).map(|(name, _)| name.bytes())
    }

    pub(super) fn weight_bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |noted| {
            noted.by_name.weight_bytes() + noted.by_time.weight_bytes() + length(NOTED_BYTES)
        })
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        let Some(noted) = &self.0 else { return Ok(()) };
        noted.by_name.validate()?;
        noted.by_time.validate()?;
        let is_paired = |((end, name), ()): (&(Tick, Alias), &())| self.of_field(name.bytes()) == Some(*end);
        let first = noted.by_time.nth(0).map(|((end, _), ())| *end);
        if noted.by_name.len() != noted.by_time.len()
            || !noted.by_time.iter().all(is_paired)
            || first != Some(noted.earliest)
        {
            return Err(format!("{} ends, {} in time", noted.by_name.len(), noted.by_time.len()));
        }
        Ok(())
    }
}

impl Noted {
    fn look_for_earliest(&mut self) {
        self.earliest = self.by_time.nth(0).map_or(Tick::default(), |((end, _), ())| *end);
    }
}

impl Weigh for Tick {
    fn heap_bytes(&self) -> u64 {
        0
    }
}

impl Weigh for (Tick, Alias) {
    fn heap_bytes(&self) -> u64 {
        0
    }
}
