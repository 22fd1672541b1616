//! The story of a GET: every branch that a read can take is in this file.
//!
//! 1. Memory. Fresh, or an absence still believed: answer, at once and without a future ([`Core::read_now`]).
//! 2. Stale and allowed: answer, and start one refresh.
//! 3. Otherwise a flight is joined or led; its load (`load.rs`) fills memory, fenced, and lands.
//! 4. The load failed: the old value where `stale_if_error` allows it, else the error.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::load::Departure;
use crate::error::Error;
use crate::loader::{Flight, Landing, Lead, Seat};
use crate::observe::{Freshness, ReadOutcome, Tier, Why};
use crate::rt::Tick;
use crate::source::LoadKey;
use crate::tier::memory::Held;
use crate::value::Value;

/// What a read brought, and how.
#[derive(Clone, Debug)]
pub struct Read {
    /// The value; `None` where the key does not exist.
    pub value: Option<Value>,
    /// How the read ended.
    pub outcome: ReadOutcome,
}

/// What memory says of a key.
enum Verdict {
    Fresh(Held),
    /// Within `stale_while_revalidate`.
    Stale(Held),
    Absent(Held),
    /// Nothing to serve; what is past its windows may still serve if the source fails.
    Missing(Option<Held>),
}

/// Where a reader is after its look at memory.
enum Place {
    /// It has its answer, and was counted.
    Known(Read),
    /// It waits for a landing.
    Aboard(Arc<Flight>),
}

impl Core {
    /// Answers from memory where that needs no load; counts the read.
    pub(super) fn read_now(self: &Arc<Self>, key: &[u8]) -> Option<Read> {
        let now = self.clock.now();
        let read = match self.judge(key, now) {
            Verdict::Fresh(held) => from_memory(held, now, Freshness::Fresh),
            Verdict::Absent(held) => from_memory(held, now, Freshness::Absent),
            Verdict::Stale(held) => {
                self.refresh(key);
                from_memory(held, now, Freshness::Stale(Why::Revalidating))
            }
            Verdict::Missing(_) => return None,
        };
        self.counters.read(&read.outcome);
        Some(read)
    }

    /// Reads `key`, through the source where it must.
    pub(super) async fn read(self: &Arc<Self>, key: &[u8]) -> Result<Read, Error> {
        let mut departures = Vec::new();
        match self.place(key, &mut departures) {
            Place::Known(read) => Ok(read),
            Place::Aboard(flight) => {
                self.depart(departures);
                self.landed(key, flight.wait().await)
            }
        }
    }

    /// Reads many keys: those that miss are loaded together. One result each, in the order of `keys`.
    pub(super) async fn read_many(self: &Arc<Self>, keys: &[&[u8]]) -> Vec<Result<Read, Error>> {
        let mut departures = Vec::new();
        let places: Vec<Place> = keys.iter().map(|key| self.place(key, &mut departures)).collect();
        self.depart(departures);
        let mut reads = Vec::with_capacity(places.len());
        for (key, place) in keys.iter().zip(places) {
            reads.push(match place {
                Place::Known(read) => Ok(read),
                Place::Aboard(flight) => self.landed(key, flight.wait().await),
            });
        }
        reads
    }

    /// Reads `key` from the source itself, past every copy and every load that began before; refreshes the copies.
    pub(super) async fn read_fresh(self: &Arc<Self>, key: &[u8]) -> Result<Read, Error> {
        let Some(load) = self.load_of(key) else { return self.counted(Ok(Self::nowhere())) };
        let landed = self.land_after_now(key, load).await;
        let now = self.clock.now();
        self.counted(landed.map(|landing| from_landing(landing, now)))
    }

    /// Waits for a load of `key` that begins after this call. However many ask, one load runs and one waits its turn.
    async fn land_after_now(self: &Arc<Self>, key: &[u8], load: LoadKey) -> Result<Landing, Error> {
        // A flight found at the first look may have asked the source before this call.
        let mut began_after = false;
        loop {
            match self.flights.board(key) {
                Seat::Lead(lead) => {
                    let flight = Arc::clone(lead.flight());
                    self.depart(vec![self.departure(lead, key, load)]);
                    return flight.wait().await;
                }
                Seat::Follow(flight) => {
                    let landed = flight.wait().await;
                    let from_memory = landed.as_ref().is_ok_and(|landing| landing.tier == Tier::Memory);
                    if began_after && !from_memory {
                        return landed;
                    }
                    began_after = true;
                }
            }
        }
    }

    /// Answers a reader of `key` from memory, or finds it a place on a flight; one that it must lead is added to
    /// `departures`.
    fn place(self: &Arc<Self>, key: &[u8], departures: &mut Vec<Departure>) -> Place {
        if let Some(read) = self.read_now(key) {
            return Place::Known(read);
        }
        let Some(load) = self.load_of(key) else { return self.known(Self::nowhere()) };
        match self.flights.board(key) {
            Seat::Follow(flight) => Place::Aboard(flight),
            Seat::Lead(lead) => match self.land_from_memory(lead, key) {
                Ok(landing) => self.known(from_landing(landing, self.clock.now())),
                Err(lead) => {
                    let flight = Arc::clone(lead.flight());
                    departures.push(self.departure(lead, key, load));
                    Place::Aboard(flight)
                }
            },
        }
    }

    fn known(&self, read: Read) -> Place {
        self.counters.read(&read.outcome);
        Place::Known(read)
    }

    /// What a reader of `key` gets from a landing: what it brought or, where it failed, what the policy still lets it have.
    fn landed(&self, key: &[u8], landed: Result<Landing, Error>) -> Result<Read, Error> {
        let now = self.clock.now();
        self.counted(match landed {
            Ok(landing) => Ok(from_landing(landing, now)),
            Err(error) => self.after_failure(key, now, error),
        })
    }

    /// What memory says of `key` now.
    fn judge(&self, key: &[u8], now: Tick) -> Verdict {
        match self.memory.get(self.id, key, now) {
            None => Verdict::Missing(None),
            Some(held) if now < held.fresh_until => {
                if held.value.is_some() {
                    Verdict::Fresh(held)
                } else {
                    Verdict::Absent(held)
                }
            }
            Some(held) if now < held.fresh_until.after(self.policy.stale_while_revalidate) => {
                Verdict::Stale(held)
            }
            Some(held) => Verdict::Missing(Some(held)),
        }
    }

    /// Starts a load of `key` in the background, unless one is in flight.
    fn refresh(self: &Arc<Self>, key: &[u8]) {
        let Seat::Lead(lead) = self.flights.board(key) else { return };
        let Err(lead) = self.land_from_memory(lead, key) else { return };
        if let Some(load) = self.load_of(key) {
            self.depart(vec![self.departure(lead, key, load)]);
        }
    }

    /// Lands with what memory holds by now: the flight that filled it may have left the board, or a write may have come,
    /// between the look at memory and this lead. Gives the lead back where there is nothing.
    fn land_from_memory(&self, lead: Lead, key: &[u8]) -> Result<Landing, Lead> {
        let (Verdict::Fresh(held) | Verdict::Absent(held)) = self.judge(key, self.clock.now()) else {
            return Err(lead);
        };
        let Held { value, began, fresh_until, .. } = held;
        let landing = Landing { value, tier: Tier::Memory, began, fresh_until };
        lead.land(Ok(landing.clone()));
        Ok(landing)
    }

    /// The source failed: the old value, where the policy still lets readers have it.
    fn after_failure(&self, key: &[u8], now: Tick, error: Error) -> Result<Read, Error> {
        match self.judge(key, now) {
            Verdict::Fresh(held) => Ok(from_memory(held, now, Freshness::Fresh)),
            // Memory hands out nothing beyond the longer of the two stale windows.
            Verdict::Stale(held) | Verdict::Missing(Some(held)) if held.value.is_some() => {
                Ok(from_memory(held, now, Freshness::Stale(Why::SourceFailed)))
            }
            _ => Err(error),
        }
    }

    /// The answer for a key that no tier has to be asked for.
    fn nowhere() -> Read {
        let outcome = ReadOutcome {
            tier: Tier::Nowhere,
            freshness: Freshness::Absent,
            age: Duration::ZERO,
            fresh_for: Duration::ZERO,
            stale_for: Duration::ZERO,
        };
        Read { value: None, outcome }
    }

    fn counted(&self, read: Result<Read, Error>) -> Result<Read, Error> {
        match &read {
            Ok(read) => self.counters.read(&read.outcome),
            Err(_) => self.counters.failed(),
        }
        read
    }
}

fn from_landing(landing: Landing, now: Tick) -> Read {
    let freshness = if landing.value.is_some() { Freshness::Fresh } else { Freshness::Absent };
    let outcome = outcome(landing.tier, freshness, now, landing.began, landing.fresh_until);
    Read { value: landing.value, outcome }
}

fn from_memory(held: Held, now: Tick, freshness: Freshness) -> Read {
    let outcome = outcome(Tier::Memory, freshness, now, held.began, held.fresh_until);
    Read { value: held.value, outcome }
}

fn outcome(tier: Tier, freshness: Freshness, now: Tick, began: Tick, fresh_until: Tick) -> ReadOutcome {
    ReadOutcome {
        tier,
        freshness,
        age: now.since(began),
        fresh_for: fresh_until.since(now),
        stale_for: now.since(fresh_until),
    }
}
