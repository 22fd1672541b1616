//! The policy `lfu`: the least frequently used entry leaves first, with dynamic ageing (LFU-DA: Arlitt, Cherkasova, Dilley,
//! Friedrich and Jin, "Evaluating content management techniques for web proxy caches", 2000).
//!
//! An entry's rank is how often it was used, up to 15, plus the age of the cache when it was last used; the age is the
//! rank of what was evicted last. What was popular once and is no longer asked for is so outranked in time. Ranks span
//! sixteen values at any moment: a queue for each, the least recently used of a rank leaves first.

use super::dense::Index;
use super::policy::Step;
use super::queue::Queue;
use super::slots::Slots;

const USES_MAX: u32 = 15;
const RANKS: u64 = 16;

/// The order of a shard's entries.
#[derive(Debug, Default)]
pub(super) struct Lfu {
    /// By rank, modulo their number.
    queues: [Queue; 16],
    age: u64,
}

impl Lfu {
    pub(super) fn enter(&mut self, slots: &mut Slots, at: Index) {
        slots.set_reads(at, 1);
        self.push(slots, at, self.age + 1);
    }

    pub(super) fn touch(&mut self, slots: &mut Slots, at: Index) {
        let uses = (slots.reads(at) + 1).min(USES_MAX);
        self.queue_of(slots, at).unlink(slots, at);
        slots.set_reads(at, uses);
        self.push(slots, at, self.age + u64::from(uses));
    }

    pub(super) fn queue_of(&mut self, slots: &Slots, at: Index) -> &mut Queue {
        self.queue(u64::from(slots.queue(at)))
    }

    pub(super) fn step(&mut self, slots: &Slots, spare: Index) -> Step {
        for rank in self.age..self.age + RANKS {
            if let Some(at) = self.queue(rank).tail(slots, spare) {
                // What is spared is younger than the rest, but may rank below: nothing may be left below the age.
                let lowest = slots.cold(spare).is_none() || self.rank(u64::from(slots.queue(spare))) >= rank;
                if lowest {
                    self.age = rank;
                }
                return Step::Evict { at };
            }
        }
        Step::Empty
    }

    pub(super) fn validate(&self, slots: &Slots) -> Result<usize, String> {
        (0..).zip(&self.queues).try_fold(0, |seen, (name, queue)| Ok(seen + queue.validate(slots, name)?))
    }

    fn push(&mut self, slots: &mut Slots, at: Index, rank: u64) {
        slots.set_queue(at, u32::try_from(rank % RANKS).unwrap_or_default());
        self.queue(rank).push(slots, at);
    }

    /// The rank that a queue stands for: the only one of its number from the age on.
    fn rank(&self, queue: u64) -> u64 {
        self.age + (queue + RANKS - self.age % RANKS) % RANKS
    }

    fn queue(&mut self, rank: u64) -> &mut Queue {
        let [first, others @ ..] = &mut self.queues;
        let at = usize::try_from(rank % RANKS).unwrap_or_default();
        at.checked_sub(1).and_then(|at| others.get_mut(at)).unwrap_or(first)
    }
}
