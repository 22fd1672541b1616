//! The story of a GET: every branch that a read can take is in this file.
//!
//! 1. Memory. Fresh, or an absence still believed: answer, at once and without a future ([`Core::read_now`]).
//! 2. Stale and allowed: answer, and start one refresh.
//! 3. Otherwise a flight is joined or led; its load runs on a task of its own and fills memory, fenced.
//! 4. The load failed: the old value where `stale_if_error` allows it, else the error.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::core::Core;
use crate::error::Error;
use crate::loader::{self, Landing, Lead, Seat};
use crate::namespace::pattern::ParamKind;
use crate::observe::{Freshness, ReadOutcome, Tier, Why};
use crate::rt::Tick;
use crate::source::{LoadKey, Loaded, Source};
use crate::tier::memory::{Filled, Held};
use crate::value::{Param, Value};

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
        if let Some(read) = self.read_now(key) {
            return Ok(read);
        }
        self.counted(self.read_through(key).await)
    }

    /// Reads `key` from the source itself, past every copy and every load that began before; refreshes the copies.
    pub(super) async fn read_fresh(self: &Arc<Self>, key: &[u8]) -> Result<Read, Error> {
        let Some(load) = self.load_of(key) else { return self.counted(Ok(Self::nowhere())) };
        let landed = self.land_after_now(key, load).await;
        let now = self.clock.now();
        self.counted(landed.map(|landing| from_landing(landing, now)))
    }

    /// Waits for a load of `key` that begins after this call. However many ask, one load runs and one waits its turn.
    async fn land_after_now(self: &Arc<Self>, key: &[u8], load: Load) -> Result<Landing, Error> {
        // A flight found at the first look may have asked the source before this call.
        let mut began_after = false;
        loop {
            match self.flights.board(key) {
                Seat::Lead(lead) => return self.take_off(lead, key, load).await,
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

    async fn read_through(self: &Arc<Self>, key: &[u8]) -> Result<Read, Error> {
        let Some(load) = self.load_of(key) else { return Ok(Self::nowhere()) };
        let landed = match self.flights.board(key) {
            Seat::Follow(flight) => flight.wait().await,
            Seat::Lead(lead) => match self.land_from_memory(lead, key) {
                Ok(landing) => Ok(landing),
                Err(lead) => self.take_off(lead, key, load).await,
            },
        };
        let now = self.clock.now();
        match landed {
            Ok(landing) => Ok(from_landing(landing, now)),
            Err(error) => self.after_failure(key, now, error),
        }
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
            self.spawn_load(lead, key, load);
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

    /// Loads on a task of its own and waits for the landing: a reader that goes away does not take the load with it.
    async fn take_off(self: &Arc<Self>, lead: Lead, key: &[u8], load: Load) -> Result<Landing, Error> {
        let flight = Arc::clone(lead.flight());
        self.spawn_load(lead, key, load);
        flight.wait().await
    }

    fn spawn_load(self: &Arc<Self>, lead: Lead, key: &[u8], load: Load) {
        let core = Arc::clone(self);
        let key: Box<[u8]> = key.into();
        self.tasks.spawn(async move {
            let landed = core.load(&lead, &key, load).await;
            lead.land(landed);
        });
    }

    async fn load(&self, lead: &Lead, key: &[u8], load: Load) -> Result<Landing, Error> {
        let began = self.clock.now();
        self.counters.loaded();
        let timeout = self.policy.load_timeout;
        let loaded = loader::load_one_key(&self.clock, timeout, &self.name, &load.source, load.key).await?;
        Ok(self.fill(lead, key, began, loaded))
    }

    /// Stores what a load brought, unless an invalidation fenced it off or it has expired on its way.
    fn fill(&self, lead: &Lead, key: &[u8], began: Tick, loaded: Option<Loaded>) -> Landing {
        let own_ttl = loaded.as_ref().and_then(|loaded| loaded.ttl);
        let value = loaded.map(|loaded| loaded.value);
        let fresh_until = self.policy.fresh_until(began, value.is_none(), own_ttl);
        let landing = Landing { value: value.clone(), tier: Tier::Source, began, fresh_until };
        if fresh_until <= self.clock.now() {
            // What is held is older still: it may not outlive this answer.
            self.memory.remove_if(self.id, key, || lead.flight().admits());
            self.counters.refused_fill();
            return landing;
        }
        let useless_from = self.policy.useless_from(fresh_until, value.is_none());
        let held = Held { value, began, fresh_until, useless_from };
        if self.memory.insert(self.id, key, held, || lead.flight().admits()) != Filled::Stored {
            self.counters.refused_fill();
        }
        landing
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

    /// What to ask of which source for `key`; `None` where the key cannot exist: there is no source that could have it,
    /// or its text is not canonical for its parameters' types.
    fn load_of(&self, key: &[u8]) -> Option<Load> {
        let source = Arc::clone(self.source.as_ref()?);
        let texts = self.pattern.matches(key)?;
        let kinds: SmallVec<[ParamKind; 4]> = self.pattern.kinds().collect();
        let params = texts.iter().zip(kinds).map(|(text, kind)| param(text, kind)).collect::<Option<_>>()?;
        Some(Load { source, key: LoadKey { params } })
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

/// A load to make.
struct Load {
    source: Arc<dyn Source>,
    key: LoadKey,
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

fn param(text: &[u8], kind: ParamKind) -> Option<Param> {
    if !kind.canonical(text) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    match kind {
        ParamKind::Integer => text.parse().ok().map(Param::Integer),
        ParamKind::Text | ParamKind::Uuid => Some(Param::Text(text.to_owned())),
    }
}
