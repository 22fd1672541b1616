//! The default policy: the queues of S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023),
//! with admission to the main one by frequency (Einziger, Friedman and Manes, "TinyLFU", 2017).
//!
//! An entry starts in the small queue. What leaves it contests the place of the main queue's next victim: it takes the
//! place where it was asked for clearly more often, else it leaves and the victim gets another turn. So what is read once
//! passes through, and a loop longer than the cache keeps a part of itself. The main queue is a FIFO in which an entry that
//! was read gets another turn. A read only counts itself in its slot, up to three: nothing is moved, and its frequency hears
//! of it when the entry comes to the end of its queue.

use super::dense::Index;
use super::frequency::Frequency;
use super::policy::Step;
use super::queue::Queue;
use super::slots::Slots;

/// The small queue's part of the weight is one in this many.
const SMALL_PART: u64 = 20;
/// Reads beyond this many in one turn bring no further turn.
const READS_MAX: u32 = 3;
/// How many entries may go over to main for one that comes, while there is room.
const OVER_MAX: usize = 2;
/// There is room again where the weight has fallen by one in this many.
const ROOM_PART: u64 = 16;

const SMALL: u32 = 0;
const MAIN: u32 = 1;

/// The order of a shard's entries.
#[derive(Debug, Default)]
pub(super) struct S3Fifo {
    small: Queue,
    main: Queue,
    frequency: Frequency,
    /// The weight at which room had to be made last; zero before that.
    full_bytes: u64,
}

impl S3Fifo {
    pub(super) fn enter(
        &mut self,
        slots: &mut Slots,
        at: Index,
        hash: u64,
        hash_of: impl Fn(&Slots, Index) -> u64,
    ) {
        self.frequency.count(hash, slots.len());
        slots.set_queue(at, SMALL);
        self.small.push(slots, at);
        // While there is room nothing has to contest for it.
        for _ in 0..OVER_MAX {
            let has_room =
                self.full_bytes == 0 || self.weight_bytes() < self.full_bytes - self.full_bytes / ROOM_PART;
            match self.small.tail(slots, at).filter(|_| has_room && self.small_is_full()) {
                Some(oldest) => self.promote(slots, oldest, &hash_of),
                None => break,
            }
        }
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
        if slots.queue(at) == SMALL { &mut self.small } else { &mut self.main }
    }

    /// What leaves next, or one step towards it.
    pub(super) fn step(
        &mut self,
        slots: &mut Slots,
        spare: Index,
        hash_of: impl Fn(&Slots, Index) -> u64,
    ) -> Step {
        self.full_bytes = self.weight_bytes();
        let (candidate, victim) = match (self.small.tail(slots, spare), self.main.tail(slots, spare)) {
            (candidate, Some(victim)) => (candidate.filter(|_| self.small_is_full()), victim),
            (Some(at), None) => return Step::Evict { at },
            (None, None) => return Step::Empty,
        };
        let reads = slots.reads(victim);
        if reads > 0 {
            self.frequency.count(hash_of(slots, victim), slots.len());
            slots.set_reads(victim, reads - 1);
            self.turn(slots, victim);
            return Step::Turned;
        }
        let Some(candidate) = candidate else { return Step::Evict { at: victim } };
        self.count_reads(slots, candidate, &hash_of);
        let asked = self.frequency.get(hash_of(slots, candidate));
        // Held is asked for once at least, so that what comes but once never takes its place.
        let held = self.frequency.get(hash_of(slots, victim)).max(1);
        // The margin keeps the members of a loop, whose counts differ by one, from driving each other out.
        if asked > held + held / 4 {
            self.promote(slots, candidate, &hash_of);
            return Step::Evict { at: victim };
        }
        // Another victim has to answer the next candidate, so that none that is no longer read can bar the way.
        self.turn(slots, victim);
        Step::Evict { at: candidate }
    }

    pub(super) fn bytes(&self) -> usize {
        self.frequency.bytes()
    }

    pub(super) fn validate(&self, slots: &Slots) -> Result<usize, String> {
        if let Some(at) = (0..super::dense::index(slots.len())).find(|&at| slots.reads(at) > READS_MAX) {
            return Err(format!("slot {at} counts {} reads", slots.reads(at)));
        }
        Ok(self.small.validate(slots, SMALL)? + self.main.validate(slots, MAIN)?)
    }

    fn weight_bytes(&self) -> u64 {
        self.small.weight_bytes + self.main.weight_bytes
    }

    fn small_is_full(&self) -> bool {
        self.small.weight_bytes > self.weight_bytes() / SMALL_PART
    }

    /// From the small queue to the head of main.
    fn promote(&mut self, slots: &mut Slots, at: Index, hash_of: impl Fn(&Slots, Index) -> u64) {
        self.count_reads(slots, at, hash_of);
        self.small.unlink(slots, at);
        slots.set_queue(at, MAIN);
        self.main.push(slots, at);
    }

    /// From main's tail to its head.
    fn turn(&mut self, slots: &mut Slots, at: Index) {
        self.main.unlink(slots, at);
        self.main.push(slots, at);
    }

    /// Adds to the frequency the reads that the slot counted.
    fn count_reads(&mut self, slots: &mut Slots, at: Index, hash_of: impl Fn(&Slots, Index) -> u64) {
        let reads = slots.reads(at);
        if reads > 0 {
            let hash = hash_of(slots, at);
            (0..reads).for_each(|_| self.frequency.count(hash, slots.len()));
            slots.set_reads(at, 0);
        }
    }
}
