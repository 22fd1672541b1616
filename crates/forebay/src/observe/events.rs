//! The last events of each key, for whoever asks why a key has the value it has.
//!
//! One ring holds what happened to all keys of the engine, hits and departures from memory excepted; the oldest event makes room for the next. It is
//! bounded in events and in bytes. A key's own events are found by looking through the ring, which is done for people and
//! not on the way of a read. An invalidation of a group is an event of each key that is found to be of that group.

use std::collections::VecDeque;
use std::fmt;

use smallvec::SmallVec;

use super::{ReachKind, ReadFailure, Refusal, Tier, Why};
use crate::rt::{Mutex, Tick};
use crate::value::{Position, length};

/// How many events are remembered of all keys together unless it is said otherwise.
pub const EVENTS_MAX: usize = 4_096;
/// The most events that are told of one key.
pub const EVENTS_OF_KEY_MAX: usize = 16;
/// The most that all events may weigh unless it is said otherwise, in bytes: 1 MiB.
const BUDGET_BYTES: u64 = 1024 * 1024;

/// The key of an event; up to 32 bytes need no allocation.
pub type EventKey = SmallVec<[u8; 32]>;

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, on the engine's clock.
    pub at: Tick,
    /// The number of the key's namespace.
    pub namespace: u32,
    /// The key's text.
    pub key: EventKey,
    /// What happened.
    pub what: What,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A load began, of the log as it was at this position.
    LoadBegan {
        /// The position that it is ordered by against invalidations.
        position: Position,
    },
    /// A loaded value was stored in memory.
    Filled {
        /// Where it came from.
        tier: Tier,
    },
    /// A loaded value was not stored.
    Refused {
        /// Why.
        reason: Refusal,
    },
    /// A load failed.
    Failed {
        /// How.
        kind: ReadFailure,
    },
    /// What was held is gone.
    Invalidated {
        /// What the invalidation took in.
        reach: ReachKind,
        /// Its position in the log.
        position: Position,
    },
    /// What was held is stale from now on.
    Expired {
        /// What the invalidation took in.
        reach: ReachKind,
        /// Its position in the log.
        position: Position,
    },
    /// The shared tier refused to be told of an invalidation, which was done here; it is told again.
    Untold,
    /// A client's value was stored in memory.
    Written,
    /// A kept value was not served: the log is not heard, and another instance may have invalidated it.
    Withheld,
    /// A stale value was served.
    ServedStale {
        /// Why.
        why: Why,
    },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadBegan { position } => write!(f, "load began at log position {}", position.number()),
            Self::Filled { tier } => write!(f, "stored, from {tier}"),
            Self::Refused { reason } => write!(f, "not stored: {reason}"),
            Self::Failed { kind } => write!(f, "load failed: {kind}"),
            Self::Invalidated { reach, position } => {
                write!(f, "invalidated by {reach} at log position {}", position.number())
            }
            Self::Expired { reach, position } => {
                write!(f, "expired by {reach} at log position {}", position.number())
            }
            Self::Untold => f.write_str("invalidation refused by the shared tier, to be told again"),
            Self::Written => f.write_str("written"),
            Self::Withheld => f.write_str("withheld, since the log is not heard"),
            Self::ServedStale { why } => write!(f, "served stale: {why}"),
        }
    }
}

/// The last events of an engine.
#[derive(Debug)]
pub struct Events {
    ring: Mutex<Ring>,
    events_max: usize,
    budget_bytes: u64,
}

/// The events, oldest first.
#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    /// What they weigh together.
    weight_bytes: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self::new(EVENTS_MAX, BUDGET_BYTES)
    }
}

impl Events {
    /// Remembers up to `events_max` events that weigh up to `budget_bytes` together. Memory is taken as they come; the room
    /// of those that left is kept for those that come.
    #[must_use]
    pub fn new(events_max: usize, budget_bytes: u64) -> Self {
        Self { ring: Mutex::default(), events_max, budget_bytes }
    }

    /// Remembers that `what` happened to `key` of `namespace`. An event whose key is larger than the whole budget is not
    /// remembered.
    pub fn record(&self, at: Tick, namespace: u32, key: &[u8], what: What) {
        let event = Event { at, namespace, key: EventKey::from_slice(key), what };
        let weight_bytes = event.weight_bytes();
        if weight_bytes > self.budget_bytes || self.events_max == 0 {
            return;
        }
        let mut ring = self.ring.lock();
        while ring.events.len() >= self.events_max
            || ring.weight_bytes.saturating_add(weight_bytes) > self.budget_bytes
        {
            let Some(oldest) = ring.events.pop_front() else { break };
            ring.weight_bytes = ring.weight_bytes.saturating_sub(oldest.weight_bytes());
        }
        ring.weight_bytes = ring.weight_bytes.saturating_add(weight_bytes);
        ring.events.push_back(event);
    }

    /// The last [`EVENTS_OF_KEY_MAX`] remembered events of `key` of `namespace`, newest last. Looks through the whole ring
    /// under its lock: for people, not for reads.
    #[must_use]
    pub fn of(&self, namespace: u32, key: &[u8]) -> Vec<Event> {
        let ring = self.ring.lock();
        let of_key = |event: &&Event| event.namespace == namespace && *event.key == *key;
        let mut events: Vec<Event> =
            ring.events.iter().rev().filter(of_key).take(EVENTS_OF_KEY_MAX).cloned().collect();
        drop(ring);
        events.reverse();
        events
    }

    /// How many events are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.lock().events.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the remembered events weigh, in bytes.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        self.ring.lock().weight_bytes
    }

    /// Checks its structure: within both bounds, and the weights add up.
    ///
    /// # Errors
    /// Says the first thing that is wrong.
    pub fn validate(&self) -> Result<(), String> {
        let ring = self.ring.lock();
        if ring.events.len() > self.events_max || ring.weight_bytes > self.budget_bytes {
            return Err(format!(
                "events: {} of {} bytes are remembered",
                ring.events.len(),
                ring.weight_bytes
            ));
        }
        let weight_bytes: u64 = ring.events.iter().map(Event::weight_bytes).sum();
        if weight_bytes != ring.weight_bytes {
            return Err(format!("events weigh {weight_bytes} bytes, the ring says {}", ring.weight_bytes));
        }
        Ok(())
    }
}

impl Event {
    /// What it weighs in the ring, in bytes, a long key's allocation included.
    fn weight_bytes(&self) -> u64 {
        let spilled = if self.key.spilled() { self.key.len() } else { 0 };
        length(size_of::<Self>() + spilled)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{EVENTS_MAX, EVENTS_OF_KEY_MAX, Event, Events, What};
    use crate::observe::{ReachKind, ReadFailure, Refusal, Tier, Why};
    use crate::rt::Tick;
    use crate::value::Position;

    fn began(number: u64) -> What {
        What::LoadBegan { position: Position::new(number) }
    }

    proptest! {
        #[test]
        fn the_last_events_of_a_key_are_told_in_order(
            events_max in 1..60_usize,
            keys in prop::collection::vec((0..2_u32, 0..3_u8, 1..50_usize), 0..200),
        ) {
            let events = Events::new(events_max, u64::MAX);
            let mut told: Vec<(u32, Vec<u8>, u64)> = Vec::new();
            for (number, (namespace, key, size)) in (0..).zip(keys) {
                let key = vec![key; size];
                events.record(Tick::from_ms(number), namespace, &key, began(number));
                told.push((namespace, key, number));
                prop_assert_eq!(events.validate(), Ok(()));
            }
            let kept = &told[told.len().saturating_sub(events_max)..];
            prop_assert_eq!(events.len(), kept.len());
            for (namespace, key, _) in &told {
                let of_key = kept.iter().filter(|one| (&one.0, &one.1) == (namespace, key));
                let numbers: Vec<u64> = of_key.map(|one| one.2).collect();
                let last = &numbers[numbers.len().saturating_sub(EVENTS_OF_KEY_MAX)..];
                let seen = events.of(*namespace, key);
                prop_assert!(seen.iter().all(|one| one.namespace == *namespace && *one.key == **key));
                prop_assert_eq!(seen.iter().map(|one| one.at.as_ms()).collect::<Vec<_>>(), last);
                prop_assert_eq!(seen.iter().map(|one| one.what).collect::<Vec<_>>(),
                    last.iter().map(|&number| began(number)).collect::<Vec<_>>());
            }
        }

        #[test]
        fn what_is_remembered_stays_within_its_bytes(
            budget_bytes in 0..4_000_u64, sizes in prop::collection::vec(0..3_000_usize, 0..100),
        ) {
            let events = Events::new(EVENTS_MAX, budget_bytes);
            for size in sizes {
                events.record(Tick::default(), 1, &vec![7; size], What::Written);
                prop_assert_eq!(events.validate(), Ok(()));
                let fits = u64::try_from(size + size_of::<Event>()).unwrap() <= budget_bytes;
                prop_assert!(!fits || !events.of(1, &vec![7; size]).is_empty(), "the newest is not remembered");
            }
        }
    }

    #[test]
    fn an_event_with_a_short_key_is_small() {
        assert!(size_of::<Event>() <= 88, "{} bytes", size_of::<Event>());
        let events = Events::default();
        (0..5_000).for_each(|number| events.record(Tick::from_ms(number), 0, b"stock:600000", What::Written));
        assert_eq!(events.len(), EVENTS_MAX);
        assert!(events.weight_bytes() <= 88 * 4_096);
    }

    #[test]
    fn no_room_remembers_nothing() {
        let events = Events::new(0, 1_000);
        events.record(Tick::default(), 0, b"k", What::Written);
        assert!(events.is_empty());
    }

    #[test]
    fn each_event_says_what_happened() {
        let position = Position::new(9);
        for (what, text) in [
            (What::LoadBegan { position }, "load began at log position 9"),
            (What::Filled { tier: Tier::Shared }, "stored, from shared"),
            (What::Refused { reason: Refusal::Fenced }, "not stored: fenced"),
            (What::Failed { kind: ReadFailure::Timeout }, "load failed: timeout"),
            (What::Invalidated { reach: ReachKind::Tag, position }, "invalidated by tag at log position 9"),
            (What::Expired { reach: ReachKind::Key, position }, "expired by key at log position 9"),
            (What::Written, "written"),
            (What::ServedStale { why: Why::SlowSource }, "served stale: slow_source"),
        ] {
            assert_eq!(what.to_string(), text);
        }
    }
}
