//! What a load brought: stored in memory and in the shared tier, fenced, and handed to those aboard.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::change::is_same;
use super::core::{Core, tells_absence};
use super::load::Departure;
use crate::loader::{Flight, Landing};
use crate::log::Verdict as Validity;
use crate::namespace::{Life, Writes};
use crate::observe::{RefreshEnd, Refusal, Tier, What};
use crate::rt::Tick;
use crate::rt::planted::{Bug, planted};
use crate::source::Loaded;
use crate::tier::memory::{Admit, Filled, Held};
use crate::tier::shared::Fill;
use crate::value::{Extras, Field, FieldState, Hash, Position, Value};

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
        let mut held = self.held(departure, beginning, loaded);
        if held.value.is_some() {
            self.may_exist(key);
            if let Some(stored) = self.store.as_ref().filter(|_| self.policy.idle.is_some()) {
                stored.uses.add(key);
            }
        }
        if let Some(sketch) = &self.sketch {
            sketch.count(key);
        }
        // The tier gets what the source gave, and nothing that a client wrote here.
        let fill = departure.granted().and_then(|granted| self.fill_of(key, granted, &held));
        self.keep_written(departure, &mut held);
        let landing = Landing::of(held.clone(), Tier::Source);
        let filled = self.store(departure, held, Tier::Source);
        match (filled, fill) {
            // What memory has no room for the tier may have.
            (Ok(()) | Err(Refusal::TooLarge), Some(fill)) => fills.push(fill),
            _ => self.give_back(departure),
        }
        if filled == Err(Refusal::Older) {
            return self.instead_of_older(key).unwrap_or(landing);
        }
        landing
    }

    /// What a load brought, as memory holds it.
    fn held(&self, departure: &Departure, beginning: Beginning, mut loaded: Option<Loaded>) -> Held {
        let Beginning { began, position } = beginning;
        let position = departure.granted().map_or(position, |granted| granted.position.max(position));
        let whole = departure.field().is_none();
        if let (Some(decide), Some(loaded)) = (self.decide.as_ref().filter(|_| whole), &mut loaded) {
            decide(loaded);
        }
        let own_ttl = loaded.as_ref().and_then(|loaded| loaded.ttl);
        let until = loaded.as_ref().and_then(|loaded| loaded.fresh_until);
        let Life { fresh_until, mut useless_from } =
            self.policy.loaded(began, loaded.is_none(), own_ttl, until);
        if loaded.is_some() && self.policy.idle.is_some() && departure.is_unasked() {
            // It takes over when what it replaces ends unused; where that is gone, nobody misses it.
            let now = self.clock.now();
            let replaced = self.memory.peek(self.id, departure.key(), now);
            useless_from = useless_from.min(replaced.map_or(now, |held| held.useless_from));
        }
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
    pub(super) fn store(&self, departure: &Departure, mut held: Held, tier: Tier) -> Result<(), Refusal> {
        let (key, began) = (departure.key(), held.began);
        let (fence, mut is_same) = (self.fence(departure), false);
        let settle = |before: Option<&Held>, fill: &mut Held| {
            let admitted = fence(before, fill);
            is_same = self.is_as_before(departure, before, fill);
            admitted
        };
        if let Some(span) = self.policy.memory_max_age {
            let forgotten = self.clock.now().after(span);
            held.fresh_until = held.fresh_until.min(forgotten);
            held.useless_from = held.useless_from.min(forgotten);
        }
        let stored = if held.served_fresh_until() <= self.clock.now() {
            if departure.field().is_some() {
                Err(Refusal::Expired)
            } else {
                Err(self.outdate(key, &mut held, settle))
            }
        } else {
            match self.memory.settle(self.id, key, held, settle) {
                Filled::Stored => Ok(()),
                Filled::Fenced | Filled::Removed => Err(Refusal::Fenced),
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
        // What was fenced off is told by what did so; what is held otherwise stays as it was told.
        if !is_same && !matches!(stored, Err(Refusal::Fenced)) {
            self.tell_loaded(key, began);
        }
        stored
    }

    /// Whether what a load brings changes nothing for a reader of what was there before: of a field that was not known, as far as that is
    /// what was missing; of one that had ended, if it is what it was.
    fn is_as_before(&self, departure: &Departure, before: Option<&Held>, fill: &Held) -> bool {
        if let Some(field) = departure.field()
            && let Some(before) = before.filter(|before| self.is_fresh(departure.key(), before))
        {
            let hash = |held: &'_ Held| held.value.as_ref().and_then(Value::as_hash).cloned();
            return match (hash(before), hash(fill)) {
                (Some(before), Some(now)) => {
                    let before = before.state(field);
                    before == FieldState::Unknown || before == now.state(field)
                }
                _ => true,
            };
        }
        let before = before.map(|before| before.value.as_ref()).or_else(|| departure.replaces().map(Some));
        match (before, &fill.value) {
            (Some(Some(before)), Some(now)) => is_same(before, now),
            (Some(None), None) => true,
            _ => false,
        }
    }

    /// What a load brought has expired on its way: what is held is older still and may not outlive it, unless `settle` says
    /// otherwise. Why it is not stored.
    fn outdate(
        &self,
        key: &[u8],
        expired: &mut Held,
        settle: impl FnOnce(Option<&Held>, &mut Held) -> Admit,
    ) -> Refusal {
        let began = expired.began;
        let mut refusal = Refusal::Expired;
        self.memory.remove_if(self.id, key, |held| {
            let admitted = settle(Some(held), expired);
            if admitted == Admit::Older {
                refusal = Refusal::Older;
            }
            admitted == Admit::Yes && held.began <= began
        });
        refusal
    }

    /// Whether a fill may be stored, asked under the lock of its insert with what is held there: not if its flight was closed
    /// or a group that it belongs to was invalidated since its load began, nor over a newer version. Parts that were changed
    /// meanwhile are settled.
    fn fence<'a>(
        &'a self,
        departure: &'a Departure,
    ) -> impl FnOnce(Option<&Held>, &mut Held) -> Admit + use<'a> {
        let (flight, key) = (departure.flight(), departure.key());
        move |held, fill| {
            let valid = fill.position >= self.groups.newest() || self.is_current(key, fill);
            let unfenced = planted(Bug::AbsenceNotFenced) && fill.value.is_none();
            if !unfenced && (!flight.admits() || !valid) {
                return Admit::Fenced;
            }
            // Changes that came meanwhile make the answer as new as they are.
            if departure.field().is_none() && !self.settle_parts(flight, key, held, fill) {
                return Admit::Fenced;
            }
            let version = |extras: &Option<Arc<Extras>>| extras.as_ref().and_then(|extras| extras.version);
            let newest = held.and_then(|held| version(&held.extras).filter(|_| self.is_servable(key, held)));
            match (newest, version(&fill.extras)) {
                (Some(newest), Some(version)) if version < newest => return Admit::Older,
                _ => {}
            }
            match (departure.field(), held) {
                (Some(field), Some(held)) if self.is_fresh(key, held) => {
                    fill_field(field, held, fill, self.clock.now());
                }
                // One field may not cost the rest of a hash that may be of use yet.
                (Some(_), Some(held)) if self.is_servable(key, held) && holds_whole(held) => {
                    return Admit::Fenced;
                }
                _ => {}
            }
            Admit::Yes
        }
    }

    /// Gives what a load of the whole brought the parts that were changed while it was under way; whether it may be stored.
    fn settle_parts(&self, flight: &Flight, key: &[u8], held: Option<&Held>, fill: &mut Held) -> bool {
        let overtaken = flight.overtaken();
        if overtaken.is_empty() || planted(Bug::HoleForgotten) {
            return true;
        }
        let held = held.filter(|held| self.is_fresh(key, held));
        let extras = fill.extras.as_deref().cloned().unwrap_or_default();
        let mut version = extras.version;
        let value = held.and_then(|held| held.value.as_ref());
        let settled = overtaken.settle(value, &mut fill.value, &mut version);
        if let Some(held) = held.filter(|_| overtaken.takes_from(value)) {
            join_times(fill, held);
        }
        if version != extras.version {
            fill.extras = Extras { version, ..extras }.kept();
        }
        settled
    }

    /// Gives what was loaded in the place of a partial hash the fields that clients wrote into that; where the source knows of no
    /// hash, they are all of it.
    pub(super) fn keep_written(&self, departure: &Departure, loaded: &mut Held) {
        if self.policy.writes != Writes::Cache || departure.field().is_some() {
            return;
        }
        let key = departure.key();
        let held = self.memory.peek(self.id, key, self.clock.now());
        let held = held.filter(|held| self.is_fresh(key, held));
        let Some(held) = held else { return };
        let Some(written) = held.value.as_ref().and_then(Value::as_hash).filter(|hash| hash.keeps()) else {
            return;
        };
        let whole = match &loaded.value {
            Some(Value::Hash(whole)) => Arc::clone(whole),
            None => Arc::new(Hash::whole::<&[u8]>([])),
            Some(_) => return,
        };
        let mut settled = (**written).clone();
        settled.make_whole(&whole, &BTreeSet::new());
        loaded.value = Some(Value::from(settled));
        join_times(loaded, &held);
    }

    /// Whether no record made `held` gone or stale since its load.
    pub(super) fn is_current(&self, key: &[u8], held: &Held) -> bool {
        let Held { value, extras, position, .. } = held;
        self.validity(key, tells_absence(value.as_ref()), extras.as_deref(), *position).0 == Validity::Valid
    }

    /// Whether `held` may be served as fresh.
    pub(super) fn is_fresh(&self, key: &[u8], held: &Held) -> bool {
        !self.suspects(held, self.clock.now()) && self.is_unexpired(key, held)
    }

    /// Whether `held` is within its TTL, and no record says otherwise.
    pub(super) fn is_unexpired(&self, key: &[u8], held: &Held) -> bool {
        !held.expired && self.clock.now() < held.served_fresh_until() && self.is_current(key, held)
    }

    /// Whether `held` may still be served to anybody, fresh or stale: what may not bars nothing. What is suspect may be, once it is
    /// checked.
    fn is_servable(&self, key: &[u8], held: &Held) -> bool {
        let Held { value, extras, position, useless_from, expired, .. } = held;
        let (validity, _) = self.validity(key, tells_absence(value.as_ref()), extras.as_deref(), *position);
        let now = self.clock.now();
        let was_made_stale = *expired || validity == Validity::Expired;
        validity != Validity::Gone
            && now < *useless_from
            && (!was_made_stale || self.in_error_window(held, now))
    }

    /// Counts what a refresh was good for: another value, or the same one.
    pub(super) fn count_refresh(&self, departure: &Departure, landing: &Landing) {
        let Some(replaced) = departure.replaces() else { return };
        let same = landing.value.as_ref().is_some_and(|value| value.same_bytes(replaced));
        self.counters.refresh_ended(if same { RefreshEnd::Wasted } else { RefreshEnd::Changed });
    }
}

fn holds_whole(held: &Held) -> bool {
    held.value.as_ref().is_some_and(Value::is_whole)
}

/// Gives what is held the field that a load brought, as it is needed at `now`.
fn fill_field(field: &Bytes, held: &Held, fill: &mut Held, now: Tick) {
    let (Some(Value::Hash(hash)), Some(Value::Hash(loaded))) = (&held.value, &fill.value) else { return };
    let mut filled = (**hash).clone();
    let end = loaded.end(field);
    let answer = loaded.state(field).cloned().known().map(|value| Field { value, fresh_until: end });
    filled.fill_holes(now, [(field, answer)]);
    fill.value = Some(Value::from(filled));
    fill.extras.clone_from(&held.extras);
    join_times(fill, held);
}

/// `fill` takes over parts of `held`: a value is as old as its oldest part, and ends with the first of them.
fn join_times(fill: &mut Held, held: &Held) {
    fill.began = fill.began.min(held.began);
    fill.fresh_until = fill.fresh_until.min(held.fresh_until);
    fill.useless_from = fill.useless_from.min(held.useless_from);
    fill.position = fill.position.min(held.position);
}
