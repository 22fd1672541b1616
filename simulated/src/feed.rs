//! A feed in memory whose network loses, delays and repeats, and which forgets what it should have told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use forebay::feed::{BATCH_MAX, Batch, Changed, Feed, FeedError, Place, Reply};
use forebay::rt::{Clock, Mutex};
use tokio::sync::Notify;

use crate::faults::{End, Fate, Faults};
use crate::link::ANSWER_WITHIN;

/// The most changes that are told at once, so that tests see many batches.
const TOLD_MAX: usize = 16;

/// The changes of a simulated database. Clones are the same feed; what was confirmed outlives whoever follows it.
#[derive(Clone)]
pub struct SimulatedFeed {
    state: Arc<Mutex<State>>,
    clock: Clock,
    committed: Arc<Notify>,
}

struct State {
    /// The place before the first change that is kept.
    trimmed: u64,
    changes: VecDeque<Changed>,
    confirmed: u64,
    faults: Faults,
    chance: fastrand::Rng,
    is_down: bool,
}

impl SimulatedFeed {
    /// A feed of no changes, without faults, that keeps the time of `clock` and draws chance from `seed`.
    #[must_use]
    pub fn new(clock: Clock, seed: u64) -> Self {
        let state = State {
            trimmed: 0,
            changes: VecDeque::new(),
            confirmed: 0,
            faults: Faults::default(),
            chance: fastrand::Rng::with_seed(seed),
            is_down: false,
        };
        Self { state: Arc::new(Mutex::new(state)), clock, committed: Arc::default() }
    }

    /// What happens by chance from now on; what arrives late is of no use to a feed, and lost.
    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Whether it cannot be reached; what is on its way is lost.
    pub fn set_down(&self, is_down: bool) {
        self.state.lock().is_down = is_down;
    }

    /// A change is committed; its place.
    pub fn commit(&self, change: Changed) -> Place {
        let mut state = self.state.lock();
        state.changes.push_back(change);
        let place = state.tail();
        drop(state);
        self.committed.notify_waiters();
        Place(place)
    }

    /// Loses all but the last `keep` changes.
    pub fn trim(&self, keep: usize) {
        let mut state = self.state.lock();
        while state.changes.len() > keep {
            state.changes.pop_front();
            state.trimmed += 1;
        }
    }

    /// The place that was confirmed.
    #[must_use]
    pub fn confirmed(&self) -> Place {
        Place(self.state.lock().confirmed)
    }

    async fn exchange<T>(&self, answer: impl AsyncFnOnce(Fate) -> T) -> Result<T, FeedError> {
        let fate = {
            let mut state = self.state.lock();
            let State { faults, chance, .. } = &mut *state;
            let fate = faults.fate(chance);
            if state.is_down || fate.end == End::Refused {
                return Err(lost());
            }
            fate
        };
        self.clock.sleep(Duration::from_millis(fate.there_ms)).await;
        if matches!(fate.end, End::RequestLost | End::Late) {
            self.clock.sleep(ANSWER_WITHIN).await;
            return Err(lost());
        }
        let answer = answer(fate).await;
        self.clock.sleep(Duration::from_millis(fate.back_ms)).await;
        if self.state.lock().is_down {
            return Err(lost());
        }
        if fate.end == End::AnswerLost {
            self.clock.sleep(ANSWER_WITHIN).await;
            return Err(lost());
        }
        Ok(answer)
    }
}

impl State {
    fn tail(&self) -> u64 {
        self.trimmed + u64::try_from(self.changes.len()).unwrap_or(u64::MAX)
    }

    fn batch(&self, after: Option<Place>, repeat: u64) -> Batch {
        let after = after.map_or(self.confirmed, |place| place.0);
        let from = after.saturating_sub(repeat).max(self.trimmed);
        let skipped = usize::try_from(from - self.trimmed).unwrap_or(usize::MAX);
        let told = TOLD_MAX.min(BATCH_MAX) + usize::try_from(repeat).unwrap_or(0);
        let changes: Vec<_> = self.changes.iter().skip(skipped).take(told).cloned().collect();
        let end = from + u64::try_from(changes.len()).unwrap_or(u64::MAX);
        Batch { changes, end: Place(end), caught_up: end == self.tail(), gap: after < self.trimmed }
    }
}

impl Feed for SimulatedFeed {
    fn read(&self, after: Option<Place>, wait: Duration) -> Reply<'_, Batch> {
        Box::pin(self.exchange(async move |fate: Fate| {
            let committed = self.committed.notified();
            let batch = self.state.lock().batch(after, fate.repeat);
            if !batch.changes.is_empty() || batch.gap {
                return batch;
            }
            let _ = self.clock.timeout(wait, committed).await;
            self.state.lock().batch(after, 0)
        }))
    }

    fn confirm(&self, applied: Place) -> Reply<'_, ()> {
        Box::pin(self.exchange(async move |_| {
            let mut state = self.state.lock();
            state.confirmed = state.confirmed.max(applied.0);
        }))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the connection was lost")]
struct Lost;

fn lost() -> FeedError {
    FeedError { cause: Arc::new(Lost) }
}
