//! A change of several keys where memory has the only copy: what is shown, and how it is committed.
//!
//! The commit takes effect at one moment after the keys were looked up and before the first of them is compared with what was shown: an
//! entry that is still the same was so all the time between. Entries that are marked (`together.rs`) nobody changes relative to what
//! they were ([`Core::change`] and its like wait), so that nothing is lost. Writers who do not look at what they replace, and whoever
//! drops it, are not kept off: what they do under the marks comes after the change, and stays.

use std::sync::Arc;
use std::time::Duration;

use super::change::{Before, End, Slot, Terms, is_same};
use super::core::Core;
use super::store::Turn;
use crate::error::Error;
use crate::namespace::{Life, Policy};
use crate::observe::{What, WriteOutcome};
use crate::tier::memory::{Admit, Filled, Held};
use crate::value::Position;

impl Core {
    /// What is held for `keys`, where memory has the only copy.
    pub(super) fn held_slots(&self, keys: Vec<Box<[u8]>>) -> Result<Vec<Slot>, Error> {
        let now = self.clock.now();
        let Policy { ttl, idle, .. } = self.policy;
        let ends = |ttl: Duration| (ttl < Duration::MAX).then_some(ttl);
        let new_ends_in = ends(idle.map_or(ttl, |idle| idle.min(ttl)));
        let terms = Terms { now, new_ends_in, idle, most: ends(ttl) };
        let slot = |key: Box<[u8]>| {
            let held = self.memory.peek(self.id, &key, now).filter(|held| held.value.is_some());
            if held.as_ref().is_some_and(|held| self.withholds(&key, held)) {
                return Err(self.suspect());
            }
            let held = held.filter(|held| self.is_fresh(&key, held));
            Ok(Slot::new(key, held.map_or(Before::Absent, Before::Held), terms))
        };
        keys.into_iter().map(slot).collect()
    }

    /// Changes what is held as `slots` say, all of it or nothing.
    pub(super) fn commit_held(&self, turn: Turn, slots: Vec<Slot>, by: u64) -> Result<(), Error> {
        let made = self.together.make();
        let marks = self.together.mark(slots.iter().map(|slot| slot.key.clone()).collect());
        // A record that comes while it is made comes after it.
        let position = self.groups.newest();
        let changed = self.as_shown(&slots).and_then(|()| {
            let slots = slots.into_iter().filter(|slot| !slot.is_unchanged());
            let slots = slots.map(|slot| self.fitted(slot)).collect::<Result<Vec<Slot>, Error>>()?;
            let writes: Vec<(Slot, Held)> =
                slots.into_iter().map(|slot| self.held_after(slot, position)).collect();
            let fits = |(slot, held): &(Slot, Held)| self.memory.fits(self.id, &slot.key, held);
            writes.iter().try_for_each(fits).map_err(|filled| self.not_kept(filled))?;
            Ok(writes)
        });
        let writes = changed.inspect_err(|error| self.counters.wrote(error.into()))?;
        let mut changed = Vec::with_capacity(writes.len());
        for (slot, held) in writes {
            self.hold_changed(&slot, held);
            self.counters.wrote(WriteOutcome::Kept);
            self.remember(&slot.key, What::Written);
            changed.push(slot.key);
        }
        drop((marks, made, turn));
        changed.iter().for_each(|key| self.tell_changed(key, by));
        Ok(())
    }

    /// Finds out whether what is held is what was shown.
    fn as_shown(&self, slots: &[Slot]) -> Result<(), Error> {
        let now = self.clock.now();
        let held = |slot: &Slot| self.memory.peek(self.id, &slot.key, now);
        if slots.iter().all(|slot| self.holds_still(slot, held(slot).as_ref())) {
            return Ok(());
        }
        Err(Error::ChangedMeanwhile { namespace: Arc::clone(&self.name) })
    }

    /// Whether what is held `now` is what a slot was shown.
    fn holds_still(&self, slot: &Slot, now: Option<&Held>) -> bool {
        let now = now.filter(|held| held.value.is_some() && self.is_fresh(&slot.key, held));
        match (&slot.before, now) {
            (Before::Held(before), Some(now)) => {
                let same = before.value.as_ref().zip(now.value.as_ref());
                let extras = |held: &Held| held.extras.as_ref().map(Arc::as_ptr);
                same.is_some_and(|(before, now)| is_same(before, now))
                    && extras(before) == extras(now)
                    && (before.began, before.fresh_until) == (now.began, now.fresh_until)
            }
            (Before::Held(_), None) => false,
            (_, now) => now.is_none(),
        }
    }

    /// What is to be held for a slot: without a value, nothing.
    fn held_after(&self, slot: Slot, position: Position) -> (Slot, Held) {
        let began = self.clock.now();
        let anew = |ttl: Option<Duration>| {
            let Life { fresh_until, useless_from } = self.policy.written(began, ttl);
            Held { value: None, began, fresh_until, useless_from, position, expired: false, extras: None }
        };
        let held = match (&slot.before, slot.end) {
            (Before::Held(before), End::Kept) => before.clone(),
            (Before::Held(before), End::After { ttl, new: false }) => self.ended_after(before, ttl),
            (Before::Held(before), End::Never) => self.ended_after(before, self.policy.ttl),
            (_, End::After { ttl, .. }) => anew(Some(ttl)),
            (_, End::Kept | End::Declared | End::Never) => anew(None),
        };
        let held = Held { value: slot.value().cloned(), ..held };
        (slot, held)
    }

    /// What was held, to end after `ttl`, no later than the namespace says.
    fn ended_after(&self, before: &Held, ttl: Duration) -> Held {
        let ends = self.clock.now().after(ttl.min(self.policy.ttl));
        let ends = if self.policy.idle.is_some() { ends.min(before.fresh_until) } else { ends };
        Held { fresh_until: ends, useless_from: ends, ..before.clone() }
    }

    /// Has memory follow a slot, unless what it was shown is dropped or replaced by now: that came after.
    fn hold_changed(&self, slot: &Slot, held: Held) -> Filled {
        let admit = if held.value.is_some() { Admit::Yes } else { Admit::Remove };
        self.memory.settle(self.id, &slot.key, held, |now, _| {
            // What has ended meanwhile was not taken away by anybody.
            let ended = |now: &Held| !now.expired && self.clock.now() >= now.served_fresh_until();
            if self.holds_still(slot, now) || now.is_some_and(ended) { admit } else { Admit::Fenced }
        })
    }
}
