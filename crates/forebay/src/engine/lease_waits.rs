//! Keys that another instance loads: they are waited for together, under one watch of their namespace, however many they are.
//!
//! The watch has each key looked at again after a pause that grows, until the key's time is over: then it is loaded without a lease.
//! Those that are due go in one call, by a task of its own: no look waits for the answer of another. [`WAITING_MAX`] keys may wait
//! so. What is more goes to the source at once, as what finds no place before the tier does: the other instance may load it too, and
//! the queue before the source bounds it.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::lease::Said;
use super::load::Departure;
use super::shared::Shared;
use crate::rt::{Mutex, Tick};
use crate::value::length;

/// The most keys of one namespace that wait for other instances.
const WAITING_MAX: usize = 4_096;
/// The shortest and the longest pause between two looks at a key.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// The longest that another instance's load is waited for.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// The keys of one namespace that other instances load.
#[derive(Debug, Default)]
pub(super) struct Busy(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    waits: Vec<Wait>,
    /// How many of those that wait the tier is being asked for.
    asked: usize,
    /// Whether there is a watch: always, while there are any.
    is_watched: bool,
}

#[derive(Debug)]
struct Wait {
    departure: Departure,
    look_at: Tick,
}

/// How a departure waits for another instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until when.
    until: Tick,
    /// How long it lets pass before it looks again, but for chance.
    pause: Duration,
}

impl Patience {
    fn of(departure: &Departure, now: Tick) -> Self {
        Self { until: now.after(LOOK_MAX).min(departure.asks_tier_until()), pause: LOOK_AGAIN.0 }
    }
}

impl Wait {
    fn new(departure: Departure, now: Tick) -> Self {
        let Patience { until, pause } = departure.patience().unwrap_or_else(|| Patience::of(&departure, now));
        let look_at = now.after(pause.mul_f64(0.5 + fastrand::f64())).min(until);
        let longer = Patience { until, pause: (pause * 2).min(LOOK_AGAIN.1) };
        Self { departure: departure.patient(longer), look_at }
    }
}

impl Busy {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        let waiting = self.0.lock();
        waiting.waits.len() + waiting.asked
    }

    /// Lets departures wait; those that find no place, and whether a task is to be begun.
    fn add(&self, departures: Vec<Departure>, now: Tick) -> (Vec<Departure>, bool) {
        let mut waiting = self.0.lock();
        let room = WAITING_MAX.saturating_sub(waiting.waits.len() + waiting.asked);
        let mut departures = departures.into_iter();
        waiting.waits.extend(departures.by_ref().take(room).map(|departure| Wait::new(departure, now)));
        let begins = !waiting.waits.is_empty() && !std::mem::replace(&mut waiting.is_watched, true);
        (departures.collect(), begins)
    }

    /// When the next look is due, as far as is known at `now`; `None` where nobody waits, and the watch is over.
    fn next_look(&self, now: Tick) -> Option<Tick> {
        let mut waiting = self.0.lock();
        let next = waiting.waits.iter().map(|wait| wait.look_at).min();
        // Those that are asked for may come back.
        let next = next.or_else(|| (waiting.asked > 0).then(|| now.after(LOOK_AGAIN.0)));
        waiting.is_watched = next.is_some();
        next
    }

    /// Those that are due, to ask for: they keep their places until [`Self::answered`].
    fn take_due(&self, now: Tick) -> Vec<Departure> {
        let mut waiting = self.0.lock();
        let due = waiting.waits.extract_if(.., |wait| wait.look_at <= now);
        let due: Vec<Departure> = due.map(|wait| wait.departure).collect();
        waiting.asked += due.len();
        due
    }

    /// Lets those wait on that were asked for; all of them come back where there is no watch any more.
    fn again(&self, departures: Vec<Departure>, now: Tick) -> Vec<Departure> {
        let mut waiting = self.0.lock();
        if !waiting.is_watched {
            return departures;
        }
        waiting.waits.extend(departures.into_iter().map(|departure| Wait::new(departure, now)));
        Vec::new()
    }

    /// So many that were asked for are answered.
    fn answered(&self, many: usize) {
        let mut waiting = self.0.lock();
        waiting.asked = waiting.asked.saturating_sub(many);
    }

    /// The watch has ended before its time: nobody looks for those that wait.
    fn abandon(&self) {
        let mut waiting = self.0.lock();
        waiting.is_watched = false;
        let waits = std::mem::take(&mut waiting.waits);
        drop(waiting);
        // Outside of the lock: dropped, they are landed.
        drop(waits);
    }
}

/// The task that has those looked at that wait. Ended from outside, it leaves nobody waiting.
struct Watch {
    core: Arc<Core>,
    is_over: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_over {
            self.core.busy.abandon();
        }
    }
}

/// A look at so many keys. However it ends, they are not asked for any more.
struct Look {
    core: Arc<Core>,
    many: usize,
}

impl Drop for Look {
    fn drop(&mut self) {
        self.core.busy.answered(self.many);
    }
}

impl Core {
    /// Waits for the instances that load these, and goes without them after a while.
    pub(super) fn wait_for_leases(self: &Arc<Self>, shared: &Arc<Shared>, departures: Vec<Departure>) {
        let many = departures.len();
        let (over, begins) = self.busy.add(departures, self.clock.now());
        self.counters.lease_waits(length(many.saturating_sub(over.len())), length(over.len()));
        if begins {
            self.tasks.spawn(Arc::clone(self).watch(Arc::clone(shared)));
        }
        self.depart_to_source(over);
    }

    async fn watch(self: Arc<Self>, shared: Arc<Shared>) {
        let mut watch = Watch { core: self, is_over: false };
        watch.core.look_for_leases(&shared).await;
        watch.is_over = true;
    }

    async fn look_for_leases(self: &Arc<Self>, shared: &Arc<Shared>) {
        while let Some(next) = self.busy.next_look(self.clock.now()) {
            // Who comes meanwhile may be due before.
            let nap = next.since(self.clock.now()).min(LOOK_AGAIN.0);
            self.clock.sleep(nap).await;
            let due = self.busy.take_due(self.clock.now());
            // One call has as much time as who has least of those in it: it is not to be all of them.
            let soon = self.clock.now().after(LOOK_AGAIN.1);
            let (short, long): (Vec<_>, Vec<_>) =
                due.into_iter().partition(|one| one.asks_tier_until() <= soon);
            for due in [short, long].into_iter().filter(|due| !due.is_empty()) {
                let look = Look { core: Arc::clone(self), many: due.len() };
                let shared = Arc::clone(shared);
                self.tasks.spawn(async move { look.core.look_again(&shared, due).await });
            }
        }
    }

    /// Looks at keys once more: some are loaded now, and some wait on.
    async fn look_again(self: &Arc<Self>, shared: &Arc<Shared>, mut due: Vec<Departure>) {
        due.sort_by_key(Departure::asks_tier_until);
        let (mut load, mut again) = (Vec::new(), Vec::new());
        for said in self.ask_tier(shared, due).await {
            match said {
                Said::Landed => {}
                Said::Load(departure) | Said::Useless(departure) => load.push(departure),
                Said::Busy(departure) | Said::CutShort(departure) => {
                    let now = self.clock.now();
                    let is_over = departure.patience().is_none_or(|patience| now >= patience.until);
                    if is_over { &mut load } else { &mut again }.push(departure);
                }
            }
        }
        load.extend(self.busy.again(again, self.clock.now()));
        self.depart_to_source(load);
    }
}
