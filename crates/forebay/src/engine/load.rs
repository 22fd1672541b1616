//! The story of a load: from a boarded flight through the queue to the source, into memory, to the landing.
//!
//! A load runs on a task of the engine's, so that a reader who goes away does not take it along. Loads that wait for a
//! slot go as one batch; a batch that fails is tried key by key, once, so that one bad row does not fail its neighbours.

use std::sync::Arc;

use smallvec::SmallVec;

use super::core::Core;
use crate::error::Error;
use crate::loader::{self, Entered, Landing, Lead, Slot};
use crate::namespace::pattern::ParamKind;
use crate::observe::Tier;
use crate::rt::Tick;
use crate::source::{LoadKey, Loaded};
use crate::tier::memory::{Filled, Held};
use crate::value::Param;

/// A flight that is to be loaded.
#[derive(Debug)]
pub(super) struct Departure {
    lead: Lead,
    key: Box<[u8]>,
    load: LoadKey,
    /// When it is too late to begin.
    until: Tick,
}

impl Core {
    /// The departure of a flight that `lead` leads to `key`.
    pub(super) fn departure(&self, lead: Lead, key: &[u8], load: LoadKey) -> Departure {
        Departure { lead, key: key.into(), load, until: self.clock.now().after(self.policy.load_timeout) }
    }

    /// What to ask the source for `key`; `None` where the key cannot exist: there is no source that could have it, or its
    /// text is not canonical for its parameters' types.
    pub(super) fn load_of(&self, key: &[u8]) -> Option<LoadKey> {
        self.source.as_ref()?;
        let texts = self.pattern.matches(key)?;
        let kinds: SmallVec<[ParamKind; 4]> = self.pattern.kinds().collect();
        let params = texts.iter().zip(kinds).map(|(text, kind)| param(text, kind)).collect::<Option<_>>()?;
        Some(LoadKey { params })
    }

    /// Sends flights off: at once where the source has a free slot, else as part of a later batch; a full queue lands
    /// them as overloaded.
    pub(super) fn depart(self: &Arc<Self>, departures: Vec<Departure>) {
        let Entered { start, refused } = self.queue.enter(departures);
        for departure in refused {
            let overloaded = Error::Overloaded {
                namespace: Arc::clone(&self.name),
                retry_after: self.policy.load_timeout,
            };
            departure.lead.land(Err(overloaded));
        }
        let Some((slot, batch)) = start else { return };
        let core = Arc::clone(self);
        self.tasks.spawn(async move { core.run(slot, batch).await });
    }

    /// Loads batch after batch, as long as something waits.
    async fn run(&self, mut slot: Slot<Departure>, first: Vec<Departure>) {
        let mut next = Some(first);
        while let Some(batch) = next {
            self.load(&slot, batch).await;
            next = slot.next();
        }
    }

    async fn load(&self, slot: &Slot<Departure>, batch: Vec<Departure>) {
        let began = self.clock.now();
        let (batch, late): (Vec<_>, Vec<_>) = batch.into_iter().partition(|one| began <= one.until);
        let after = self.policy.load_timeout;
        self.fail(late, &Error::Timeout { namespace: Arc::clone(&self.name), after });
        let Some(source) = self.source.as_ref().filter(|_| !batch.is_empty()) else { return };
        let keys: Vec<LoadKey> = batch.iter().map(|departure| departure.load.clone()).collect();
        self.counters.loaded();
        match loader::ask(&self.clock, after, &self.name, source, &keys).await {
            Ok(answers) => {
                for (departure, answer) in batch.into_iter().zip(answers) {
                    let landing = self.fill(&departure, began, answer);
                    departure.lead.land(Ok(landing));
                }
            }
            // Late is late for each of them; any other fault may be one key's alone.
            Err(error @ Error::Timeout { .. }) => self.fail(batch, &error),
            Err(_) if batch.len() > 1 => slot.again_alone(batch),
            Err(error) => self.fail(batch, &error),
        }
    }

    fn fail(&self, batch: Vec<Departure>, error: &Error) {
        for departure in batch {
            departure.lead.land(Err(error.clone()));
        }
    }

    /// Stores what a load brought, unless an invalidation fenced it off or it has expired on its way.
    fn fill(&self, departure: &Departure, began: Tick, loaded: Option<Loaded>) -> Landing {
        let Departure { lead, key, .. } = departure;
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
