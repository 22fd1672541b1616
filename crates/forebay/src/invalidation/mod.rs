//! Invalidation of one key: what makes a held value gone or stale, and keeps a load that began before from bringing it back.
//!
//! After [`key`] has returned, no reader that starts gets a value that the source gave before the call, and none is stored
//! (promise P1): the flight is closed first, the entry removed after, and a fill asks for the fence under the lock of its
//! insert, so that it either comes before the removal and is removed, or sees the closed flight and is refused. The flight is
//! closed once more after the removal: one that began between the two may have found the entry and be about to land with it,
//! and a later reader would go aboard. Groups of keys are invalidated by records in the log (`log/`), which every read
//! compares its entry with.

use crate::loader::Flights;
use crate::rt::Tick;
use crate::rt::planted::{Bug, planted};
use crate::tier::memory::{Held, MemoryTier};
use crate::value::{Hash, Position, Value};

/// Makes what is held for `key` gone; whether anything was held.
pub(crate) fn key(memory: &MemoryTier, flights: &Flights, namespace: u32, key: &[u8]) -> bool {
    let close = || {
        if !planted(Bug::FlightNotClosed) {
            flights.close(key);
        }
    };
    close();
    let removed = memory.remove(namespace, key);
    close();
    removed
}

/// Makes what is held for `key` stale: it is served only if the source fails and the policy allows it. Whether anything was
/// held. What a load in flight brings is from before, and not stored.
pub(crate) fn expire_key(
    memory: &MemoryTier,
    flights: &Flights,
    namespace: u32,
    key: &[u8],
    now: Tick,
) -> bool {
    let close = || {
        if !planted(Bug::ExpiryNotFencing) {
            flights.close(key);
        }
    };
    close();
    let expired = memory.update(namespace, key, now, |held| held.expired = true).is_some();
    close();
    expired
}

/// Makes a field of a hash unknown by `forget`, if what is held is from `before` a position of the log. An absence of the hash
/// is gone. The flights that load it must have been told before.
pub(crate) fn field(
    memory: &MemoryTier,
    namespace: u32,
    key: &[u8],
    now: Tick,
    before: Option<Position>,
    forget: impl FnOnce(&mut Hash),
) {
    let concerns = |held: &Held| before.is_none_or(|at| held.position < at);
    let forgotten = memory.update(namespace, key, now, |held| {
        if !concerns(held) {
            return Some(());
        }
        held.value.as_mut().and_then(Value::hash_mut).map(forget)
    });
    if forgotten == Some(None) {
        memory.remove_if(namespace, key, |held| concerns(held) && held.value.is_none());
    }
}

/// Heeds a record about `key` at position `at` of the log, which others may have appended: what was loaded before it is gone
/// or, where it says when it expired, stale.
pub(crate) fn heed_key(
    memory: &MemoryTier,
    flights: &Flights,
    namespace: u32,
    key: &[u8],
    at: Position,
    expired_at: Option<Tick>,
) {
    flights.close_before(key, at);
    match expired_at {
        None => {
            memory.remove_if(namespace, key, |held| held.position < at);
        }
        Some(now) => {
            memory.update(namespace, key, now, |held| held.expired |= held.position < at);
        }
    }
    flights.close_before(key, at);
}
