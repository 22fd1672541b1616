//! Refreshes: loads that nobody waits for, so that they may wait for company and give way.
//!
//! A read that finds a value stale, or about to be, starts one; so does the clock where a namespace says `refresh_every`.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::core::Core;
use super::load::Departure;
use crate::loader::{Flight, GATHER, Gathered, Seat};
use crate::rt::Tick;
use crate::tier::memory::Held;
use crate::value::Value;

/// How many held values are refreshed before the next are looked for.
const PAGE: usize = 256;

impl Core {
    /// Starts a load of `key` in the background, to replace what began at `began`, unless one is in flight or has just failed.
    pub(super) fn refresh(self: &Arc<Self>, key: &[u8], began: Tick, now: Tick) {
        if let Some(departure) = self.lead_refresh(key, began, now) {
            self.depart_in_company(departure);
        }
    }

    /// Starts a load of `key` where what is held ends soon, and the policy has it refreshed before.
    #[inline]
    pub(super) fn refresh_if_due(self: &Arc<Self>, key: &[u8], began: Tick, fresh_until: Tick, now: Tick) {
        let ahead = self.policy.refresh_ahead;
        if !ahead.is_zero() && fresh_until.since(now) <= ahead {
            self.refresh(key, began, now);
        }
    }

    fn lead_refresh(self: &Arc<Self>, key: &[u8], began: Tick, now: Tick) -> Option<Departure> {
        if self.throttle.holds(key, now) {
            return None;
        }
        let Seat::Lead(lead) = self.flights.board(key, self.groups.newest()) else { return None };
        // What was to be replaced may have been, between the look at memory and this lead.
        let replaced = |held: &Held| held.began > began && !held.expired;
        let held = self.memory.peek(self.id, key, now);
        let lead =
            if held.as_ref().is_some_and(replaced) { self.land_from_memory(lead, key).err()? } else { lead };
        let load = self.load_of(key)?;
        self.counters.refresh_started();
        Some(self.departure(lead, key, load).replacing(held.and_then(|held| held.value)))
    }

    /// Sends a flight off that nobody waits for: with others that come within a moment.
    pub(super) fn depart_in_company(self: &Arc<Self>, departure: Departure) {
        match self.gathering.add(departure) {
            Gathered::Waits => {}
            Gathered::Full(departures) => {
                // Whoever read the old value does not wait for the source.
                let core = Arc::clone(self);
                self.tasks.spawn(async move { core.depart(departures) });
            }
            Gathered::First => {
                let core = Arc::clone(self);
                let a_moment = self.clock.sleep(GATHER);
                self.tasks.spawn(async move {
                    a_moment.await;
                    core.depart(core.gathering.take());
                });
            }
        }
    }

    /// Refreshes every value that is held, page by page: the next page waits until the last has landed.
    async fn refresh_held(self: &Arc<Self>) {
        let mut cursor = 0;
        loop {
            let now = self.clock.now();
            let (keys, next) = self.memory.scan(self.id, cursor, PAGE, now);
            let mut departures = Vec::new();
            for key in &keys {
                // Nobody waits for what is gone, for what nobody has used, or for the whole of a partial hash.
                let valid = self.peek(key).is_some_and(|held| !held.absent);
                let held = valid.then(|| self.memory.peek(self.id, key, now)).flatten();
                let held = held.filter(|held| held.value.as_ref().is_none_or(Value::is_whole));
                let refresh = held.and_then(|held| self.lead_refresh(key, held.began, now));
                departures.extend(refresh.map(Departure::unasked));
            }
            let flights: Vec<Arc<Flight>> =
                departures.iter().map(|departure| Arc::clone(departure.flight())).collect();
            self.depart(departures);
            for flight in flights {
                // A refresh that failed leaves what is held as it is.
                let _ = flight.wait().await;
            }
            if next == 0 {
                return;
            }
            cursor = next;
        }
    }
}

/// Refreshes what `core` holds every `every`, as long as it lives.
pub(super) fn keep_refreshed(core: &Arc<Core>, every: Duration) {
    let clock = core.clock.clone();
    let namespace = Arc::downgrade(core);
    core.common.upkeep.spawn(async move {
        loop {
            clock.sleep(every).await;
            let Some(core) = Weak::upgrade(&namespace) else { return };
            core.refresh_held().await;
        }
    });
}
