//! Answers that no tier is asked for: that a key does not exist, or is not to be had.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::read::Read;
use crate::error::Error;
use crate::observe::{Freshness, ReadOutcome, Tier, What};
use crate::rt::Tick;
use crate::tier::memory::Held;

impl Core {
    /// The answer for a key that no tier has to be asked for.
    pub(super) fn nowhere() -> Read {
        let outcome = ReadOutcome {
            tier: Tier::Nowhere,
            freshness: Freshness::Absent,
            began: Tick::default(),
            age: Duration::ZERO,
            fresh_for: Duration::ZERO,
            stale_for: Duration::ZERO,
        };
        Read { value: None, outcome }
    }

    /// The answer for a text that is no key of the namespace; counted.
    pub(super) fn nobodys(&self) -> Read {
        let read = Self::nowhere();
        self.counters.read(&read.outcome);
        read
    }

    /// The answer for a key that memory cannot answer for and that cannot be loaded. What is kept of it without a source is withheld
    /// while it is suspect, as anything suspect is: that is told.
    pub(super) fn not_loaded(&self, key: &[u8], now: Tick) -> Read {
        let kept = self.shared().and_then(|_| self.memory.peek(self.id, key, now));
        if kept.is_some_and(|held| held.value.is_some() && self.withholds(key, &held)) {
            self.counters.withheld();
            self.note(key, What::Withheld);
        }
        Self::nowhere()
    }

    /// Whether `held` would be answered if the log were heard, and nobody else has it: there is no source.
    pub(super) fn withholds(&self, key: &[u8], held: &Held) -> bool {
        self.source.is_none() && self.suspects(held, self.clock.now()) && self.is_unexpired(key, held)
    }

    /// A change of what is kept and suspect.
    pub(super) fn suspect(&self) -> Error {
        Error::Suspect { namespace: Arc::clone(&self.name) }
    }
}
