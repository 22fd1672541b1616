//! The policy `lru`: the least recently used entry leaves first. A read moves its entry to the front.

use super::dense::{Index, NONE};
use super::policy::Step;
use super::queue::Queue;
use super::slots::Slots;

/// The order of a shard's entries: used last, at the head.
#[derive(Debug, Default)]
pub(super) struct Lru {
    pub(super) queue: Queue,
}

impl Lru {
    pub(super) fn enter(&mut self, slots: &mut Slots, at: Index) {
        self.queue.push(slots, at);
    }

    pub(super) fn touch(&mut self, slots: &mut Slots, at: Index) {
        if self.queue.head() != Some(at) {
            self.queue.unlink(slots, at);
            self.queue.push(slots, at);
        }
    }

    pub(super) fn step(&self, slots: &Slots, spare: Index) -> Step {
        match self.queue.tail(slots, spare) {
            Some(at) => Step::Evict { at },
            None => Step::Empty,
        }
    }

    pub(super) fn validate(&self, slots: &Slots) -> Result<usize, String> {
        if slots.len() > 0 && self.queue.tail(slots, NONE).is_none() {
            return Err("entries, and none in the queue".into());
        }
        self.queue.validate(slots, 0)
    }
}
