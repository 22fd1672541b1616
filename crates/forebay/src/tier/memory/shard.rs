//! One shard: a table of slots, S3-FIFO's two queues, and the ghosts of what was evicted.
//!
//! An entry starts in the small queue; read again while there, it moves to the main queue, else it leaves and its hash
//! is remembered as a ghost. A key whose ghost is remembered starts in the main queue. The main queue is a FIFO in which
//! an entry that was read gets another turn.

use std::collections::VecDeque;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::list::{Index, Linked, Links, Queue};
use super::{Admit, Filled, Held, weight_bytes};
use crate::rt::Tick;

/// The small queue's part of the budget is one in this many.
const SMALL_PART: u64 = 10;
/// Reads beyond this many in one turn bring no further turn.
const READS_MAX: u8 = 3;
/// Ghosts beyond this many are forgotten, oldest first, however many entries the shard holds.
const GHOSTS_MIN: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Small,
    Main,
}

/// What left a shard: dropped by the caller once the lock is released, since a value's own `drop` may do anything.
pub(super) type Gone = SmallVec<[Slot; 1]>;

#[derive(Debug)]
pub(super) struct Slot {
    hash: u64,
    namespace: u32,
    key: Box<[u8]>,
    held: Held,
    weight_bytes: u64,
    turn: Turn,
    /// Reads in this turn, up to [`READS_MAX`].
    reads: u8,
    links: Links,
}

/// What is remembered of an entry that left the small queue unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ghost {
    hash: u64,
    /// Tells it from an earlier ghost of the same key.
    number: u64,
}

/// A slab of slots; a freed one is used again.
#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Option<Slot>>,
    free: Vec<Index>,
}

impl Slots {
    fn get(&self, at: Index) -> Option<&Slot> {
        self.slots.get(usize::try_from(at).ok()?)?.as_ref()
    }

    fn get_mut(&mut self, at: Index) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(at).ok()?)?.as_mut()
    }

    /// A place for `slot`; `None` when 2³² places are taken.
    fn add(&mut self, slot: Slot) -> Option<Index> {
        if let Some(at) = self.free.pop() {
            *self.slots.get_mut(usize::try_from(at).ok()?)? = Some(slot);
            return Some(at);
        }
        let at = Index::try_from(self.slots.len()).ok()?;
        self.slots.push(Some(slot));
        Some(at)
    }

    fn take(&mut self, at: Index) -> Option<Slot> {
        let slot = self.slots.get_mut(usize::try_from(at).ok()?)?.take()?;
        self.free.push(at);
        Some(slot)
    }
}

impl Linked for Slots {
    fn links(&mut self, at: Index) -> Option<&mut Links> {
        self.get_mut(at).map(|slot| &mut slot.links)
    }
}

#[derive(Debug)]
pub(super) struct Shard {
    table: HashTable<Index>,
    slots: Slots,
    small: Queue,
    main: Queue,
    ghosts: HashTable<Ghost>,
    /// The ghosts in the order they left; one that came back meanwhile stands twice, and counts where its number matches.
    ghost_order: VecDeque<Ghost>,
    ghosts_made: u64,
    budget_bytes: u64,
}

impl Shard {
    pub(super) fn new(budget_bytes: u64) -> Self {
        Self {
            table: HashTable::new(),
            slots: Slots::default(),
            small: Queue::default(),
            main: Queue::default(),
            ghosts: HashTable::new(),
            ghost_order: VecDeque::new(),
            ghosts_made: 0,
            budget_bytes,
        }
    }

    pub(super) fn get(
        &mut self,
        hash: u64,
        namespace: u32,
        key: &[u8],
        now: Tick,
        gone: &mut Gone,
    ) -> Option<Held> {
        let at = self.find(hash, namespace, key)?;
        let slot = self.slots.get_mut(at)?;
        if now >= slot.held.useless_from {
            gone.extend(self.remove_at(at));
            return None;
        }
        slot.reads = slot.reads.saturating_add(1).min(READS_MAX);
        Some(slot.held.clone())
    }

    pub(super) fn peek(&self, hash: u64, namespace: u32, key: &[u8], now: Tick) -> Option<Held> {
        let slot = self.slots.get(self.find(hash, namespace, key)?)?;
        (now < slot.held.useless_from).then(|| slot.held.clone())
    }

    pub(super) fn insert(
        &mut self,
        hash: u64,
        namespace: u32,
        key: &[u8],
        held: Held,
        admit: impl FnOnce() -> Admit,
        gone: &mut Gone,
    ) -> Filled {
        if admit() == Admit::Fenced {
            return Filled::Fenced;
        }
        let weight_bytes = weight_bytes(key, &held);
        let replaced = self.find(hash, namespace, key).and_then(|at| self.remove_at(at));
        let history = replaced.as_ref().map(|old| (old.turn, old.reads));
        gone.extend(replaced);
        if weight_bytes > self.budget_bytes {
            return Filled::TooLarge { weight_bytes, limit_bytes: self.budget_bytes };
        }
        let (turn, reads) = match history {
            Some(history) => history,
            None if self.forget_ghost(hash) => (Turn::Main, 0),
            None => (Turn::Small, 0),
        };
        while self.weight_bytes() + weight_bytes > self.budget_bytes && self.evict_one(gone) {}
        let slot = Slot {
            hash,
            namespace,
            key: key.into(),
            held,
            weight_bytes,
            turn,
            reads,
            links: Links::default(),
        };
        if let Some(at) = self.slots.add(slot) {
            let slots = &self.slots;
            self.table.insert_unique(hash, at, |&at| slots.get(at).map_or(0, |slot| slot.hash));
            self.queue(turn).push_slot(at, weight_bytes);
        }
        Filled::Stored
    }

    pub(super) fn remove(
        &mut self,
        hash: u64,
        namespace: u32,
        key: &[u8],
        admit: impl FnOnce() -> Admit,
    ) -> Option<Slot> {
        if admit() == Admit::Fenced {
            return None;
        }
        self.find(hash, namespace, key).and_then(|at| self.remove_at(at))
    }

    pub(super) fn weight_bytes(&self) -> u64 {
        self.small.weight_bytes + self.main.weight_bytes
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn validate(&mut self) -> Result<(), String> {
        let mut seen = 0;
        for turn in [Turn::Small, Turn::Main] {
            let QueueOf { queue, slots } = self.queue(turn);
            let walked = queue.walk(slots);
            let weights: u64 =
                walked.iter().filter_map(|&at| slots.get(at)).map(|slot| slot.weight_bytes).sum();
            if weights != queue.weight_bytes {
                return Err(format!(
                    "{turn:?}: entries weigh {weights}, the queue says {}",
                    queue.weight_bytes
                ));
            }
            if let Some(stray) = walked.iter().find(|&&at| slots.get(at).is_none_or(|slot| slot.turn != turn))
            {
                return Err(format!("{turn:?}: slot {stray} is not of this queue"));
            }
            seen += walked.len();
        }
        if seen != self.table.len() {
            return Err(format!("the queues hold {seen} entries, the table {}", self.table.len()));
        }
        let astray = |&&at: &&Index| {
            self.slots.get(at).is_none_or(|slot| self.find(slot.hash, slot.namespace, &slot.key) != Some(at))
        };
        if let Some(stray) = self.table.iter().find(astray) {
            return Err(format!("slot {stray} is not found by its own key"));
        }
        if self.weight_bytes() > self.budget_bytes {
            return Err(format!("holds {} bytes of {}", self.weight_bytes(), self.budget_bytes));
        }
        if self.ghosts.len() > self.ghost_order.len() {
            return Err("a ghost is remembered for ever".into());
        }
        Ok(())
    }

    fn find(&self, hash: u64, namespace: u32, key: &[u8]) -> Option<Index> {
        self.table
            .find(hash, |&at| {
                self.slots.get(at).is_some_and(|slot| slot.namespace == namespace && *slot.key == *key)
            })
            .copied()
    }

    fn remove_at(&mut self, at: Index) -> Option<Slot> {
        let (hash, turn, weight_bytes) =
            self.slots.get(at).map(|slot| (slot.hash, slot.turn, slot.weight_bytes))?;
        self.queue(turn).unlink_slot(at, weight_bytes);
        if let Ok(found) = self.table.find_entry(hash, |&other| other == at) {
            found.remove();
        }
        self.slots.take(at)
    }

    /// Makes room by one step: an entry leaves, or gets another turn. `false` when there is nothing to evict.
    fn evict_one(&mut self, gone: &mut Gone) -> bool {
        let small_is_full = self.small.weight_bytes > self.budget_bytes / SMALL_PART;
        let turn = if small_is_full || self.main.tail().is_none() { Turn::Small } else { Turn::Main };
        let Some(at) = self.queue(turn).queue.tail() else { return false };
        let Some((reads, weight_bytes)) = self.slots.get(at).map(|slot| (slot.reads, slot.weight_bytes))
        else {
            return false;
        };
        if reads == 0 {
            if let Some(evicted) = self.remove_at(at) {
                if turn == Turn::Small {
                    self.remember_ghost(evicted.hash);
                }
                gone.push(evicted);
            }
            return true;
        }
        self.queue(turn).unlink_slot(at, weight_bytes);
        if let Some(slot) = self.slots.get_mut(at) {
            slot.turn = Turn::Main;
            slot.reads = if turn == Turn::Small { 0 } else { reads - 1 };
        }
        self.queue(Turn::Main).push_slot(at, weight_bytes);
        true
    }

    fn remember_ghost(&mut self, hash: u64) {
        if self.ghosts.find(hash, |ghost| ghost.hash == hash).is_none() {
            let ghost = Ghost { hash, number: self.ghosts_made };
            self.ghosts_made += 1;
            self.ghosts.insert_unique(hash, ghost, |ghost| ghost.hash);
            self.ghost_order.push_back(ghost);
        }
        while self.ghost_order.len() > self.table.len().max(GHOSTS_MIN) {
            let Some(oldest) = self.ghost_order.pop_front() else { return };
            if let Ok(found) = self.ghosts.find_entry(oldest.hash, |ghost| *ghost == oldest) {
                found.remove();
            }
        }
    }

    /// Forgets a ghost; whether it was remembered. Its place in the order is left to be dropped in its turn.
    fn forget_ghost(&mut self, hash: u64) -> bool {
        match self.ghosts.find_entry(hash, |ghost| ghost.hash == hash) {
            Ok(found) => {
                found.remove();
                true
            }
            Err(_) => false,
        }
    }

    fn queue(&mut self, turn: Turn) -> QueueOf<'_> {
        let queue = match turn {
            Turn::Small => &mut self.small,
            Turn::Main => &mut self.main,
        };
        QueueOf { queue, slots: &mut self.slots }
    }
}

/// A queue beside the slots that it threads.
struct QueueOf<'a> {
    queue: &'a mut Queue,
    slots: &'a mut Slots,
}

impl QueueOf<'_> {
    fn push_slot(self, at: Index, weight_bytes: u64) {
        self.queue.push(self.slots, at, weight_bytes);
    }

    fn unlink_slot(self, at: Index, weight_bytes: u64) {
        self.queue.unlink(self.slots, at, weight_bytes);
    }
}
