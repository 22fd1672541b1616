//! Invalidation: what makes a held value gone, and keeps a load that began before from bringing it back.
//!
//! After `key` has returned, no reader that starts gets a value that the source gave before the call, and none is stored
//! (promise P1): the flight is closed first, the entry removed after, and a fill asks for the fence under the lock of its
//! insert, so that it either comes before the removal and is removed, or sees the closed flight and is refused.

use crate::loader::Flights;
use crate::tier::memory::MemoryTier;

/// Makes what is held for `key` gone; whether anything was held.
pub(crate) fn key(memory: &MemoryTier, flights: &Flights, namespace: u32, key: &[u8]) -> bool {
    flights.close(key);
    memory.remove(namespace, key)
}
