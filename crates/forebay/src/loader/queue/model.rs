//! The queue under the model checker, on the shipped code: every schedule of two threads.

#![allow(clippy::print_stdout, reason = "each scenario says how many schedules it took")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::thread::spawn;

use super::{Entered, Queue};
use crate::rt::model::every_schedule;

/// A load: it counts that it was taken, and that it is no more. Of std: the checker need not see it.
#[derive(Debug)]
struct Load(Arc<[AtomicU64; 2]>);

impl Load {
    fn taken(self) {
        self.0[0].fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0[1].fetch_add(1, Ordering::SeqCst);
    }
}

/// Lets one load in, and where that starts a slot, loads as long as something waits, as the engine does.
fn load(queue: &Arc<Queue<Load>>, load: Load) {
    let Entered { start, refused } = queue.enter(vec![load]);
    assert!(refused.is_empty());
    for (mut slot, first) in start {
        let mut next = Some(first);
        while let Some(batch) = next {
            batch.into_iter().for_each(Load::taken);
            next = slot.next();
        }
    }
}

/// What one thread does with a load.
type Thread = fn(&Arc<Queue<Load>>, Load);

/// Runs both threads beside each other on a queue of one slot, under every schedule; how many loads were taken and ended.
fn check(name: &str, threads: [Thread; 2], end: impl Fn(u64) + Send + Sync + Copy + 'static) {
    let schedules = every_schedule(move || {
        let queue = Arc::new(Queue::new(1, 2));
        let counts = Arc::new([0, 0].map(AtomicU64::new));
        let [beside, here] = threads;
        let thread = {
            let (queue, load) = (Arc::clone(&queue), Load(Arc::clone(&counts)));
            spawn(move || beside(&queue, load))
        };
        here(&queue, Load(Arc::clone(&counts)));
        thread.join().unwrap();
        assert_eq!((queue.taken(), queue.waiting()), (0, 0), "a slot or a load was left");
        let [taken, ended] = [0, 1].map(|at| counts[at].load(Ordering::SeqCst));
        assert_eq!(ended, 2, "a load is neither taken nor given up");
        end(taken);
    });
    println!("{name}: {schedules} schedules");
}

fn all_are_taken() {
    check("two loads enter a queue of one slot", [load, load], |taken| {
        assert_eq!(taken, 2, "a load was given up");
    });
}

#[test]
fn what_waits_is_taken_and_the_slot_given_back() {
    all_are_taken();
}

#[test]
fn a_batch_that_failed_is_taken_once_more() {
    let again = |queue: &Arc<Queue<Load>>, load: Load| {
        for (mut slot, batch) in queue.enter(vec![load]).start {
            slot.again_alone(batch);
            while let Some(batch) = slot.next() {
                batch.into_iter().for_each(Load::taken);
            }
        }
    };
    check("a batch fails beside a load that enters", [again, load], |taken| assert_eq!(taken, 2));
}

#[test]
fn a_lost_slot_leaves_nothing_that_waits_for_ever() {
    let lose = |queue: &Arc<Queue<Load>>, load: Load| drop(queue.enter(vec![load]).start);
    check("a slot is lost beside a load that enters", [lose, load], |taken| assert!(taken <= 2));
}

/// It fails where the bug is planted that it is there for.
#[cfg(feature = "planted")]
mod planted {
    use super::all_are_taken;
    use crate::rt::planted::{Bug, plant};

    #[test]
    #[should_panic(expected = "a slot or a load was left")]
    fn slot_kept() {
        let _planted = plant(Bug::SlotKept);
        all_are_taken();
    }
}
