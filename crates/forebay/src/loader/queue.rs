//! The queue before a source: so many batches at once, so many loads waiting, and what waits leaves together.
//!
//! An idle source is asked at once, for whatever has come. While all its slots are taken, arriving loads gather, and the
//! next free slot takes them as one batch. Nothing waits for company, and nothing waits beyond the bound: what does not
//! fit is given back. Loads of two sorts, where there are, never share a batch: each batch is one question to the source.

#[cfg(test)]
#[cfg(feature = "model")]
mod model;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::rt::Mutex;
use crate::rt::planted::{Bug, planted};

/// The most loads that leave as one batch.
const BATCH_MAX: usize = 256;

/// A queue of loads `T`.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    desk: Mutex<Desk<T>>,
    slots: usize,
    waiting_max: usize,
    /// Tells two sorts of loads apart.
    sort: fn(&T) -> bool,
}

#[derive(Debug)]
struct Desk<T> {
    /// Slots that are taken. While one is free, nothing waits.
    running: usize,
    waiting: VecDeque<Waiting<T>>,
}

#[derive(Debug)]
enum Waiting<T> {
    Together(T),
    /// Left once in a batch that failed.
    Alone(T),
}

/// What became of loads that entered; the rest waits.
#[derive(Debug)]
pub(crate) struct Entered<T> {
    /// Slots that were free, each with the batch to load in it now.
    pub(crate) start: Vec<(Slot<T>, Vec<T>)>,
    /// The queue is full: these were not taken.
    pub(crate) refused: Vec<T>,
}

/// The right to ask the source for one batch at a time. Dropped by a task that was ended, it gives its place back.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    queue: Arc<Queue<T>>,
    held: bool,
}

impl<T> Queue<T> {
    /// A queue for `slots` batches at once and `waiting_max` loads beside them.
    pub(crate) fn new(slots: usize, waiting_max: usize) -> Self {
        let desk = Desk { running: 0, waiting: VecDeque::new() };
        Self { desk: Mutex::new(desk), slots: slots.max(1), waiting_max, sort: |_| false }
    }

    /// Itself, for loads of two sorts that are not to share a batch.
    pub(crate) fn apart_by(self, sort: fn(&T) -> bool) -> Self {
        Self { sort, ..self }
    }

    /// How many slots are free.
    pub(crate) fn free(&self) -> usize {
        self.slots.saturating_sub(self.desk.lock().running)
    }

    /// How many loads wait.
    pub(crate) fn waiting(&self) -> usize {
        self.desk.lock().waiting.len()
    }

    /// How many slots are taken.
    pub(crate) fn taken(&self) -> usize {
        self.desk.lock().running
    }

    /// Lets `loads` in.
    pub(crate) fn enter(self: &Arc<Self>, loads: Vec<T>) -> Entered<T> {
        let (others, loads): (Vec<T>, Vec<T>) = loads.into_iter().partition(self.sort);
        let mut desk = self.desk.lock();
        let (mut start, mut refused) = (Vec::new(), Vec::new());
        for loads in [loads, others] {
            let mut loads = loads.into_iter();
            while desk.running < self.slots {
                let batch: Vec<T> = loads.by_ref().take(BATCH_MAX).collect();
                if batch.is_empty() {
                    break;
                }
                desk.running += 1;
                start.push((Slot { queue: Arc::clone(self), held: true }, batch));
            }
            let room = self.waiting_max.saturating_sub(desk.waiting.len());
            desk.waiting.extend(loads.by_ref().take(room).map(Waiting::Together));
            refused.extend(loads);
        }
        Entered { start, refused }
    }
}

impl<T> Slot<T> {
    /// The next batch, of the sort of what has waited longest; `None` where nothing waits, and the slot is given back.
    pub(crate) fn next(&mut self) -> Option<Vec<T>> {
        let mut desk = self.queue.desk.lock();
        let first = match desk.waiting.pop_front() {
            Some(Waiting::Alone(load)) => return Some(vec![load]),
            Some(Waiting::Together(load)) => load,
            None => {
                if !planted(Bug::SlotKept) {
                    desk.running -= 1;
                }
                self.held = false;
                return None;
            }
        };
        let sort = (self.queue.sort)(&first);
        let mut batch = vec![first];
        let mut others = VecDeque::new();
        while batch.len() < BATCH_MAX {
            match desk.waiting.pop_front() {
                Some(Waiting::Together(load)) if (self.queue.sort)(&load) == sort => batch.push(load),
                Some(Waiting::Together(load)) => others.push_back(Waiting::Together(load)),
                Some(alone @ Waiting::Alone(_)) => {
                    desk.waiting.push_front(alone);
                    break;
                }
                None => break,
            }
        }
        others.append(&mut desk.waiting);
        desk.waiting = others;
        Some(batch)
    }

    /// Lets loads of a batch that failed try once more, each by itself, before what came later. They had been let in, so
    /// that the bound on what waits does not concern them.
    pub(crate) fn again_alone(&self, loads: Vec<T>) {
        let mut desk = self.queue.desk.lock();
        for load in loads.into_iter().rev() {
            desk.waiting.push_front(Waiting::Alone(load));
        }
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let mut desk = self.queue.desk.lock();
        desk.running = desk.running.saturating_sub(1);
        // With nobody left to take them, what waits would wait for ever: it is dropped, which lands its flights.
        let orphans = if desk.running == 0 { std::mem::take(&mut desk.waiting) } else { VecDeque::new() };
        drop(desk);
        drop(orphans);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{BATCH_MAX, Queue};

    #[test]
    fn what_waits_leaves_together_and_what_does_not_fit_comes_back() {
        let queue = Arc::new(Queue::new(1, 3));
        let first = queue.enter(vec![1]);
        let (mut slot, batch) = first.start.into_iter().next().unwrap();
        assert_eq!(batch, [1]);
        assert!(queue.enter(vec![2]).start.is_empty());
        let full = queue.enter(vec![3, 4, 5, 6]);
        assert_eq!(full.refused, [5, 6]);
        assert_eq!(slot.next(), Some(vec![2, 3, 4]));
        assert_eq!(slot.next(), None);
        assert_eq!(queue.enter(vec![7]).start.len(), 1, "the slot was not given back");
    }

    #[test]
    fn a_failed_batch_goes_one_by_one_before_the_rest() {
        let queue = Arc::new(Queue::new(1, 8));
        let (mut slot, batch) = queue.enter(vec![1, 2]).start.remove(0);
        queue.enter(vec![3, 4]);
        slot.again_alone(batch);
        assert_eq!([slot.next(), slot.next(), slot.next()], [Some(vec![1]), Some(vec![2]), Some(vec![3, 4])]);
    }

    #[test]
    fn two_sorts_share_no_batch_and_keep_their_order() {
        let queue = Arc::new(Queue::new(2, 8).apart_by(|load| load % 2 == 1));
        let mut entered = queue.enter(vec![1, 2, 3, 4]).start.into_iter();
        let ((mut slot, even), (_other, odd)) = (entered.next().unwrap(), entered.next().unwrap());
        assert_eq!((even, odd), (vec![2, 4], vec![1, 3]), "each is a question of its own");
        for load in [5, 6, 7, 8] {
            queue.enter(vec![load]);
        }
        slot.again_alone(vec![9]);
        assert_eq!(
            [slot.next(), slot.next(), slot.next(), slot.next()],
            [Some(vec![9]), Some(vec![5, 7]), Some(vec![6, 8]), None]
        );
    }

    #[test]
    fn a_batch_is_bounded() {
        let queue = Arc::new(Queue::new(1, BATCH_MAX));
        let (mut slot, batch) = queue.enter((0..BATCH_MAX + 2).collect()).start.remove(0);
        assert_eq!(batch.len(), BATCH_MAX);
        assert_eq!(slot.next().map(|batch| batch.len()), Some(2));
    }

    #[test]
    fn what_is_too_much_for_one_batch_takes_every_free_slot() {
        let queue = Arc::new(Queue::new(2, 1));
        let entered = queue.enter((0..2 * BATCH_MAX + 2).collect());
        assert_eq!(entered.start.iter().map(|(_, batch)| batch.len()).collect::<Vec<_>>(), [BATCH_MAX; 2]);
        assert_eq!((queue.waiting(), entered.refused), (1, vec![2 * BATCH_MAX + 1]));
    }

    #[test]
    fn a_lost_slot_leaves_nothing_waiting() {
        let queue = Arc::new(Queue::new(1, 8));
        let (slot, _) = queue.enter(vec![Arc::new(1)]).start.remove(0);
        let waits = Arc::new(2);
        queue.enter(vec![Arc::clone(&waits)]);
        drop(slot);
        assert_eq!(Arc::strong_count(&waits), 1, "a load waits that nobody will take");
        assert_eq!(queue.enter(vec![Arc::new(3)]).start.len(), 1);
    }
}
