//! What a load brought: stored in memory and in the shared tier, fenced, and handed to those aboard.

use std::sync::Arc;

use super::core::Core;
use super::load::Departure;
use crate::loader::{Flight, Landing};
use crate::log::Verdict as Validity;
use crate::namespace::Life;
use crate::observe::{RefreshEnd, Refusal, Tier, What};
use crate::rt::Tick;
use crate::rt::planted::{Bug, planted};
use crate::source::Loaded;
use crate::tier::memory::{Admit, Filled, Held};
use crate::tier::shared::Fill;
use crate::value::{Extras, Position};

/// What was noted before the source was asked.
#[derive(Clone, Copy)]
pub(super) struct Beginning {
    pub(super) began: Tick,
    pub(super) position: Position,
}

impl Core {
    /// Stores what a load brought, unless an invalidation fenced it off, a newer version is held, or it has expired on its
    /// way; and gives what its waiters get. What belongs in the shared tier is added to `fills`.
    pub(super) fn fill(
        self: &Arc<Self>,
        departure: &Departure,
        beginning: Beginning,
        loaded: Option<Loaded>,
        fills: &mut Vec<Fill>,
    ) -> Landing {
        let key = departure.key();
        let held = self.held(departure, beginning, loaded);
        if held.value.is_some() {
            self.may_exist(key);
        }
        if let Some(sketch) = &self.sketch {
            sketch.count(key);
        }
        let landing = Landing::of(held.clone(), Tier::Source);
        let fill = departure.granted().and_then(|granted| self.fill_of(key, granted, &held));
        let filled = self.store(departure, held, Tier::Source);
        match (filled, fill) {
            // What memory has no room for the tier may have.
            (Ok(()) | Err(Refusal::TooLarge), Some(fill)) => fills.push(fill),
            _ => self.give_back(departure),
        }
        if filled == Err(Refusal::Older)
            && let Some(newer) = self.memory.peek(self.id, key, self.clock.now())
        {
            // What was made stale has no fresh time left.
            let now = self.clock.now();
            let fresh_until = if newer.expired { newer.fresh_until.min(now) } else { newer.fresh_until };
            return Landing { fresh_until, ..Landing::of(newer, Tier::Memory) };
        }
        landing
    }

    /// What a load brought, as memory holds it.
    fn held(&self, departure: &Departure, beginning: Beginning, mut loaded: Option<Loaded>) -> Held {
        let Beginning { began, position } = beginning;
        let position = departure.granted().map_or(position, |granted| granted.position.max(position));
        if let (Some(decide), Some(loaded)) = (&self.decide, &mut loaded) {
            decide(loaded);
        }
        let own_ttl = loaded.as_ref().and_then(|loaded| loaded.ttl);
        let Life { fresh_until, useless_from } = self.policy.loaded(began, loaded.is_none(), own_ttl);
        let (value, extras) = match loaded {
            Some(Loaded { value, tags, version, .. }) => (Some(value), Extras { tags, version }.kept()),
            None => (None, None),
        };
        Held { value, began, fresh_until, useless_from, position, expired: false, extras }
    }

    /// Stores `held`, which came from `tier`, in memory.
    ///
    /// # Errors
    /// Why it is not held.
    pub(super) fn store(&self, departure: &Departure, held: Held, tier: Tier) -> Result<(), Refusal> {
        let key = departure.key();
        let flight = departure.flight();
        let stored = if held.fresh_until <= self.clock.now() {
            // What is held is older still: it may not outlive this answer.
            self.memory.remove_if(self.id, key, |_| flight.admits());
            Err(Refusal::Expired)
        } else {
            let admit = self.fence(flight, key, &held);
            match self.memory.insert(self.id, key, held, admit) {
                Filled::Stored => Ok(()),
                Filled::Fenced => Err(Refusal::Fenced),
                Filled::Older => Err(Refusal::Older),
                Filled::TooLarge { .. } => Err(Refusal::TooLarge),
            }
        };
        match stored {
            Ok(()) => self.note(key, What::Filled { tier }),
            Err(reason) => {
                self.counters.fill_refused(reason);
                self.note(key, What::Refused { reason });
            }
        }
        stored
    }

    /// Whether a fill may be stored, asked under the lock of its insert with what is held there: not if its flight was closed
    /// or a group that it belongs to was invalidated since its load began, nor over a newer version.
    fn fence<'a>(
        &'a self,
        flight: &'a Flight,
        key: &'a [u8],
        fill: &Held,
    ) -> impl FnOnce(Option<&Held>) -> Admit + use<'a> {
        let (exists, extras, position) = (fill.value.is_some(), fill.extras.clone(), fill.position);
        move |held| {
            let valid = position >= self.groups.newest()
                || self.validity(key, exists, extras.as_deref(), position).0 == Validity::Valid;
            let unfenced = planted(Bug::AbsenceNotFenced) && !exists;
            if !unfenced && (!flight.admits() || !valid) {
                return Admit::Fenced;
            }
            let version = |extras: &Option<Arc<Extras>>| extras.as_ref().and_then(|extras| extras.version);
            let newest = held.and_then(|held| version(&held.extras).filter(|_| self.is_valid(key, held)));
            match (newest, version(&extras)) {
                (Some(newest), Some(version)) if version < newest => Admit::Older,
                _ => Admit::Yes,
            }
        }
    }

    /// Whether `held` may still be served to anybody, fresh or stale.
    fn is_valid(&self, key: &[u8], held: &Held) -> bool {
        let Held { value, extras, position, useless_from, .. } = held;
        let (validity, _) = self.validity(key, value.is_some(), extras.as_deref(), *position);
        let now = self.clock.now();
        validity != Validity::Gone && now < *useless_from && !self.ended_idle(held, now)
    }

    /// Counts what a refresh was good for: another value, or the same one.
    pub(super) fn count_refresh(&self, departure: &Departure, landing: &Landing) {
        let Some(replaced) = departure.replaces() else { return };
        let same = landing.value.as_ref().is_some_and(|value| value.same_bytes(replaced));
        self.counters.refresh_ended(if same { RefreshEnd::Wasted } else { RefreshEnd::Changed });
    }
}
