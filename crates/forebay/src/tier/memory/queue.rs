//! A doubly linked queue threaded through the slots by index: push, pop and unlink in constant time, no allocation.
//!
//! The queue owns only its ends; the links lie in the slots.

use super::dense::{Index, NONE};
use super::packed::U24;
use super::slots::{Cold, Slots};

/// A queue: entries go in at the head and come out at the tail.
#[derive(Debug)]
pub(super) struct Queue {
    head: Index,
    tail: Index,
    /// The summed weight of its entries, in bytes.
    pub(super) weight_bytes: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { head: NONE, tail: NONE, weight_bytes: 0 }
    }
}

impl Queue {
    /// Puts a slot at the head; it must be in no queue.
    pub(super) fn push(&mut self, slots: &mut Slots, at: Index) {
        if let Some(cold) = slots.cold_mut(at) {
            (cold.newer, cold.older) = (U24::new(NONE), U24::new(self.head));
        }
        match slots.cold_mut(self.head) {
            Some(old) => old.newer = U24::new(at),
            None => self.tail = at,
        }
        self.head = at;
        self.weight_bytes += slots.weight_bytes(at);
    }

    /// Takes a slot out, wherever it is; it must be in this queue.
    pub(super) fn unlink(&mut self, slots: &mut Slots, at: Index) {
        let Some((newer, older)) = slots.cold(at).map(Cold::neighbours) else { return };
        match slots.cold_mut(newer) {
            Some(newer) => newer.older = U24::new(older),
            None => self.head = older,
        }
        match slots.cold_mut(older) {
            Some(older) => older.newer = U24::new(newer),
            None => self.tail = newer,
        }
        self.weight_bytes = self.weight_bytes.saturating_sub(slots.weight_bytes(at));
    }

    /// Follows a slot of this queue that moved to `to`.
    pub(super) fn moved(&mut self, slots: &mut Slots, to: Index) {
        let Some((newer, older)) = slots.cold(to).map(Cold::neighbours) else { return };
        match slots.cold_mut(newer) {
            Some(newer) => newer.older = U24::new(to),
            None => self.head = to,
        }
        match slots.cold_mut(older) {
            Some(older) => older.newer = U24::new(to),
            None => self.tail = to,
        }
    }

    /// Which slot went in last.
    pub(super) fn head(&self) -> Option<Index> {
        (self.head != NONE).then_some(self.head)
    }

    /// Which slot is next to come out, `spare` excepted.
    pub(super) fn tail(&self, slots: &Slots, spare: Index) -> Option<Index> {
        let at = if self.tail == spare { slots.cold(spare)?.newer.get() } else { self.tail };
        (at != NONE).then_some(at)
    }

    /// Checks the links and the weight of the queue that its slots call `name`; how many there are.
    pub(super) fn validate(&self, slots: &Slots, name: u32) -> Result<usize, String> {
        let (mut at, mut newer, mut seen, mut weight_bytes) = (self.head, NONE, 0, 0);
        while let Some(cold) = slots.cold(at) {
            seen += 1;
            if cold.newer.get() != newer || slots.queue(at) != name || seen > slots.len() {
                return Err(format!(
                    "queue {name}: slot {at} is not of this queue, or not where it should be"
                ));
            }
            weight_bytes += slots.weight_bytes(at);
            (newer, at) = (at, cold.older.get());
        }
        if newer != self.tail || weight_bytes != self.weight_bytes {
            return Err(format!(
                "queue {name}: ends at {newer} and weighs {weight_bytes}, it says {} and {}",
                self.tail, self.weight_bytes
            ));
        }
        Ok(seen)
    }
}
