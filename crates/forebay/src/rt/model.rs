//! How the model checker goes through schedules where chance is not enough: all of them, or all with few preemptions.
//!
//! Each gives how many schedules it took. A schedule that fails is printed by the checker and can be replayed.

use shuttle::scheduler::{DfsScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, Runner};

/// Runs `scenario` under every schedule that there is; how many there are.
pub fn every_schedule(scenario: impl Fn() + Send + Sync + 'static) -> usize {
    Runner::new(DfsScheduler::new(None, false), Config::new()).run(scenario)
}

/// Runs `scenario` under every schedule that takes the processor from a thread that could have gone on `preemptions` times at
/// the most; how many there are.
///
/// A thread that waits or ends hands over for free, to any other. What two threads do in an order of two or three steps needs as
/// many preemptions (Musuvathi and Qadeer, "Iterative context bounding for systematic testing of multithreaded programs",
/// PLDI 2007), so that this is every such order, in programs too long for [`every_schedule`].
pub fn few_preemptions(preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) -> usize {
    Runner::new(FewPreemptions { preemptions, ..FewPreemptions::default() }, Config::new()).run(scenario)
}

/// Depth first, with a bound on preemptions.
#[derive(Debug, Default)]
struct FewPreemptions {
    preemptions: usize,
    /// The choices of the schedule that runs, or ran last.
    choices: Vec<Choice>,
    /// How many of them were made.
    made: usize,
    /// How many of those were preemptions.
    preempted: usize,
    began: bool,
}

/// One step of a schedule.
#[derive(Debug)]
struct Choice {
    tried: TaskId,
    untried: Vec<TaskId>,
}

impl Scheduler for FewPreemptions {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.began {
            // The last choice that could have been another one is.
            while self.choices.last()?.untried.is_empty() {
                self.choices.pop();
            }
            let last = self.choices.last_mut()?;
            last.tried = last.untried.pop()?;
        }
        (self.began, self.made, self.preempted) = (true, 0, 0);
        Some(Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let goes_on = current.filter(|id| !is_yielding && runnable.iter().any(|task| task.id() == *id));
        if self.made == self.choices.len() {
            let others = runnable.iter().map(|task| task.id()).filter(|id| Some(*id) != goes_on);
            let choice = match goes_on {
                Some(tried) if self.preempted < self.preemptions => {
                    Choice { tried, untried: others.collect() }
                }
                Some(tried) => Choice { tried, untried: Vec::new() },
                None => {
                    let mut untried: Vec<TaskId> = others.collect();
                    Choice { tried: untried.pop()?, untried }
                }
            };
            self.choices.push(choice);
        }
        let chosen = self.choices.get(self.made)?.tried;
        self.made += 1;
        self.preempted += usize::from(goes_on.is_some_and(|id| id != chosen));
        Some(chosen)
    }

    fn next_u64(&mut self) -> u64 {
        // Nothing that runs under the checker draws from it.
        0
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_types, reason = "what a test notes, the checker need not see")]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::{every_schedule, few_preemptions};
    use crate::rt::atomic::{AtomicU64, Ordering};

    /// Runs two threads of two steps under `check`; how many schedules it took, and the different orders of the steps.
    fn orders(check: impl FnOnce(Box<dyn Fn() + Send + Sync>) -> usize) -> (usize, BTreeSet<String>) {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let scenario = {
            let seen = Arc::clone(&seen);
            move || {
                let order = Arc::new((AtomicU64::new(0), Mutex::new(String::new())));
                let threads = ['a', 'b'].map(|name| {
                    let order = Arc::clone(&order);
                    shuttle::thread::spawn(move || {
                        for _ in 0..2 {
                            order.0.fetch_add(1, Ordering::SeqCst);
                            order.1.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                        }
                    })
                });
                threads.into_iter().for_each(|thread| thread.join().unwrap());
                let order = order.1.lock().unwrap_or_else(PoisonError::into_inner).clone();
                seen.lock().unwrap_or_else(PoisonError::into_inner).insert(order);
            }
        };
        let taken = check(Box::new(scenario));
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (taken, seen)
    }

    #[test]
    fn few_preemptions_leave_out_the_orders_that_need_more() {
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(orders(|scenario| few_preemptions(0, scenario)).1, of(&["aabb", "bbaa"]));
        assert_eq!(orders(|scenario| few_preemptions(1, scenario)).1, of(&["aabb", "abba", "baab", "bbaa"]));
        let all = orders(every_schedule);
        assert_eq!(all.1, of(&["aabb", "abab", "abba", "baab", "baba", "bbaa"]));
        assert_eq!(orders(|scenario| few_preemptions(usize::MAX, scenario)), all, "every schedule, once");
    }
}
