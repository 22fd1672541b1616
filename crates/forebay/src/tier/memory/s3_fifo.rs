//! The default policy: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).
//!
//! An entry starts in the small queue; read again while there, it moves to the main queue, else it leaves and its hash is
//! remembered as a ghost. A key whose ghost is remembered starts in the main queue. The main queue is a FIFO in which an
//! entry that was read gets another turn. A read only counts itself, up to three: nothing is moved.

use super::dense::Index;
use super::ghosts::Ghosts;
use super::policy::Step;
use super::queue::Queue;
use super::slots::Slots;

/// The small queue's part of the weight is one in this many.
const SMALL_PART: u64 = 10;
/// Reads beyond this many in one turn bring no further turn.
const READS_MAX: u32 = 3;

const SMALL: u32 = 0;
const MAIN: u32 = 1;

/// The order of a shard's entries.
#[derive(Debug, Default)]
pub(super) struct S3Fifo {
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
}

impl S3Fifo {
    pub(super) fn enter(&mut self, slots: &mut Slots, at: Index, hash: u64) {
        let queue = if self.ghosts.forget(hash) { MAIN } else { SMALL };
        slots.set_queue(at, queue);
        self.queue(queue).push(slots, at);
    }

    /// A hit: most are of entries that were read before, which are left as they are.
    #[inline]
    pub(super) fn touch(slots: &mut Slots, at: Index) {
        let reads = slots.reads(at);
        if reads < READS_MAX {
            slots.set_reads(at, reads + 1);
        }
    }

    pub(super) fn queue_of(&mut self, slots: &Slots, at: Index) -> &mut Queue {
        self.queue(slots.queue(at))
    }

    /// What leaves next, or one step towards it.
    pub(super) fn step(&mut self, slots: &mut Slots, spare: Index) -> Step {
        let small = self.small.tail(slots, spare);
        let main = self.main.tail(slots, spare);
        let small_is_full =
            self.small.weight_bytes > (self.small.weight_bytes + self.main.weight_bytes) / SMALL_PART;
        let (at, from) = match (small, main) {
            (Some(at), _) if small_is_full => (at, SMALL),
            (_, Some(at)) => (at, MAIN),
            (Some(at), None) => (at, SMALL),
            (None, None) => return Step::Empty,
        };
        let reads = slots.reads(at);
        if reads == 0 {
            return Step::Evict { at, remember: from == SMALL };
        }
        self.queue(from).unlink(slots, at);
        slots.set_queue(at, MAIN);
        slots.set_reads(at, if from == SMALL { 0 } else { reads - 1 });
        self.main.push(slots, at);
        Step::Turned
    }

    /// Remembers what was evicted.
    pub(super) fn remember(&mut self, hash: u64, entries: usize) {
        self.ghosts.remember(hash, entries);
    }

    pub(super) fn bytes(&self) -> usize {
        self.ghosts.bytes()
    }

    pub(super) fn validate(&self, slots: &Slots) -> Result<usize, String> {
        if let Some(at) = (0..super::dense::index(slots.len())).find(|&at| slots.reads(at) > READS_MAX) {
            return Err(format!("slot {at} counts {} reads", slots.reads(at)));
        }
        Ok(self.small.validate(slots, SMALL)? + self.main.validate(slots, MAIN)?)
    }

    fn queue(&mut self, queue: u32) -> &mut Queue {
        if queue == SMALL { &mut self.small } else { &mut self.main }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};

    use proptest::prelude::*;

    use super::super::dense::{Index, NONE};
    use super::super::slots::{Slots, Sought, nothing};
    use super::{MAIN, S3Fifo, SMALL, Step};

    /// An entry of the model; the newest stands first in its queue.
    struct Entry {
        at: Index,
        number: u64,
        reads: u32,
    }

    /// S3-FIFO over plain queues.
    #[derive(Default)]
    struct Model {
        small: VecDeque<Entry>,
        main: VecDeque<Entry>,
        ghosts: HashSet<u64>,
    }

    impl Model {
        fn weight_bytes(queue: &VecDeque<Entry>, slots: &Slots) -> u64 {
            queue.iter().map(|entry| slots.weight_bytes(entry.at)).sum()
        }

        /// What the policy has to do now; what it evicts leaves the model.
        fn step(&mut self, slots: &Slots) -> Step {
            let (small, main) =
                (Self::weight_bytes(&self.small, slots), Self::weight_bytes(&self.main, slots));
            let from_small = small > (small + main) / 10 || self.main.is_empty();
            let Some(entry) = (if from_small { &mut self.small } else { &mut self.main }).pop_back() else {
                return Step::Empty;
            };
            if entry.reads == 0 {
                if from_small {
                    self.ghosts.insert(entry.number);
                }
                return Step::Evict { at: entry.at, remember: from_small };
            }
            self.main.push_front(Entry { reads: if from_small { 0 } else { entry.reads - 1 }, ..entry });
            Step::Turned
        }
    }

    proptest! {
        #[test]
        fn it_evicts_what_plain_queues_would(ops in prop::collection::vec((0..4_u8, 2..60_u64, 0..9_000_u32), 1..500)) {
            let (mut slots, mut policy, mut model) = (Slots::default(), S3Fifo::default(), Model::default());
            for (op, number, heap_bytes) in ops {
                let mut entries = model.small.iter_mut().chain(&mut model.main);
                let found = entries.find(|entry| entry.number == number);
                match (op, found) {
                    (0, _) => {
                        let (expected, step) = (model.step(&slots), policy.step(&mut slots, NONE));
                        prop_assert_eq!(expected, step);
                        if let Step::Evict { at, remember } = step {
                            policy.queue_of(&slots, at).unlink(&mut slots, at);
                            let number = slots.key(at).and_then(|key| key.key.first()).map_or(0, |&byte| u64::from(byte));
                            if remember {
                                policy.remember(number << 48, 1_000);
                            }
                        }
                    }
                    (_, Some(entry)) => {
                        S3Fifo::touch(&mut slots, entry.at);
                        entry.reads = (entry.reads + 1).min(3);
                    }
                    (_, None) => {
                        // Hashes of which no two have the same fingerprint.
                        let key = [number.to_le_bytes()[0]];
                        let sought = Sought { hash: number << 48, namespace: 0, key: &key };
                        let at = slots.push(&sought, nothing(), heap_bytes);
                        policy.enter(&mut slots, at, sought.hash);
                        let entered = slots.queue(at);
                        prop_assert!(entered == SMALL || model.ghosts.contains(&number), "a stranger taken for a ghost");
                        model.ghosts.remove(&number);
                        let queue = if entered == MAIN { &mut model.main } else { &mut model.small };
                        queue.push_front(Entry { at, number, reads: 0 });
                    }
                }
                let queued = policy.small.validate(&slots, SMALL).map_err(TestCaseError::fail)?
                    + policy.main.validate(&slots, MAIN).map_err(TestCaseError::fail)?;
                prop_assert_eq!(queued, model.small.len() + model.main.len());
            }
        }
    }

    #[test]
    fn what_comes_back_soon_stays_longer() {
        let (mut slots, mut policy) = (Slots::default(), S3Fifo::default());
        policy.remember(7 << 48, 100);
        for number in [7_u8, 8] {
            let sought = Sought { hash: u64::from(number) << 48, namespace: 0, key: &[number] };
            let at = slots.push(&sought, nothing(), 100);
            policy.enter(&mut slots, at, sought.hash);
        }
        assert_eq!((slots.queue(0), slots.queue(1)), (MAIN, SMALL));
        assert_eq!(policy.step(&mut slots, NONE), Step::Evict { at: 1, remember: true });
    }
}
