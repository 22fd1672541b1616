//! A journal on a simulated disk: it survives crashes, tears the commit that is under way, runs full, fails, loses syncs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::rt::{Clock, Tick};
use forebay::tier::shared::Owner;
use forebay::writes::{
    Committing, Journal, JournalEntry, JournalError, Kept, KeptDead, OperationId, Recovered,
};
use tokio::sync::Semaphore;

/// What the disk does with one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written.
    Fail,
    /// The sync fails: nobody knows what is written.
    SyncFails,
    /// The commit is never answered, and not done.
    Hang,
}

/// A disk; clones are the same.
#[derive(Clone)]
pub struct Disk(Arc<Inner>);

struct Inner {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What survives.
    durable: Vec<(JournalEntry, Tick)>,
    /// What was written and not synced.
    unsynced: Vec<JournalEntry>,
    faults: VecDeque<Fault>,
    limit_bytes: Option<u64>,
    /// Entries of each commit that was confirmed.
    commits: Vec<usize>,
    latency: Duration,
    /// Commits that are durable and wait to be confirmed; `None` confirms each at once.
    held: Option<Arc<Semaphore>>,
    is_open: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the disk says no")]
struct No;

impl Disk {
    pub fn new(clock: &Clock) -> Self {
        Self(Arc::new(Inner { clock: clock.clone(), state: Mutex::default() }))
    }

    /// Opens the journal; what was opened before is dead.
    pub fn open(&self) -> Arc<SimulatedJournal> {
        self.0.state.lock().unwrap().is_open = true;
        Arc::new(SimulatedJournal {
            disk: self.clone(),
            is_claimed: AtomicBool::default(),
            is_poisoned: AtomicBool::default(),
        })
    }

    /// The power goes: of what was not synced a prefix survives, of as many entries as `keeps` says at most.
    pub fn crash(&self, keeps: usize) {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock().unwrap();
        let unsynced = std::mem::take(&mut state.unsynced);
        state.durable.extend(unsynced.into_iter().take(keeps).map(|entry| (entry, now)));
        state.faults.clear();
        state.held = None;
        state.is_open = false;
    }

    pub fn next(&self, fault: Fault) {
        self.0.state.lock().unwrap().faults.push_back(fault);
    }

    pub fn heal(&self) {
        let mut state = self.0.state.lock().unwrap();
        state.faults.clear();
        state.limit_bytes = None;
    }

    pub fn limit_bytes(&self, limit: Option<u64>) {
        self.0.state.lock().unwrap().limit_bytes = limit;
    }

    pub fn latency(&self, latency: Duration) {
        self.0.state.lock().unwrap().latency = latency;
    }

    /// From now on commits are durable and wait for [`Disk::let_go`] to be confirmed.
    pub fn hold(&self) {
        self.0.state.lock().unwrap().held = Some(Arc::new(Semaphore::new(0)));
    }

    pub fn let_go(&self) {
        if let Some(held) = self.0.state.lock().unwrap().held.take() {
            held.add_permits(1 << 20);
        }
    }

    /// Entries of each commit that was confirmed.
    pub fn commits(&self) -> Vec<usize> {
        self.0.state.lock().unwrap().commits.clone()
    }

    /// What the journal holds.
    pub fn holds(&self) -> Recovered {
        let state = self.0.state.lock().unwrap();
        recovered(&state.durable, self.0.clock.now())
    }
}

fn recovered(log: &[(JournalEntry, Tick)], now: Tick) -> Recovered {
    let mut pending: Vec<(Kept, Tick)> = Vec::new();
    let mut dead: BTreeMap<OperationId, (KeptDead, Tick)> = BTreeMap::new();
    let take = |pending: &mut Vec<(Kept, Tick)>, id: OperationId| {
        let at = pending.iter().position(|(kept, _)| kept.operation.id == id)?;
        Some(pending.remove(at).0.operation)
    };
    for (entry, at) in log {
        match entry {
            JournalEntry::Append(operation) => {
                pending.push((Kept { operation: operation.clone(), age: Duration::ZERO }, *at));
            }
            JournalEntry::Settle(id) => {
                take(&mut pending, *id);
                dead.remove(id);
            }
            JournalEntry::Park { id, reason, attempts } => {
                let Some(operation) = take(&mut pending, *id) else { continue };
                let (reason, attempts, age) = (Arc::clone(reason), *attempts, Duration::ZERO);
                dead.insert(*id, (KeptDead { operation, age, reason, attempts }, *at));
            }
            JournalEntry::Revive(id) => {
                let Some((KeptDead { operation, .. }, _)) = dead.remove(id) else { continue };
                let place = |id: OperationId| {
                    log.iter().position(
                        |(entry, _)| matches!(entry, JournalEntry::Append(operation) if operation.id == id),
                    )
                };
                let after = |(kept, _): &(Kept, Tick)| place(kept.operation.id) > place(*id);
                let at_place = pending.iter().position(after).unwrap_or(pending.len());
                pending.insert(at_place, (Kept { operation, age: Duration::ZERO }, *at));
            }
            other => panic!("no such entry: {other:?}"),
        }
    }
    let mut dead: Vec<_> = dead.into_values().collect();
    dead.sort_by_key(|(_, at)| *at);
    Recovered {
        pending: pending.into_iter().map(|(kept, at)| Kept { age: now.since(at), ..kept }).collect(),
        dead: dead.into_iter().map(|(kept, at)| KeptDead { age: now.since(at), ..kept }).collect(),
    }
}

pub struct SimulatedJournal {
    disk: Disk,
    is_claimed: AtomicBool,
    is_poisoned: AtomicBool,
}

impl Journal for SimulatedJournal {
    fn claim(&self, owner: &Owner) -> Result<Recovered, JournalError> {
        assert_eq!(&*owner.namespace, "things");
        if self.is_claimed.swap(true, Ordering::SeqCst) {
            return Err(JournalError::InUse { by: "another namespace of this process".into() });
        }
        Ok(self.disk.holds())
    }

    fn commit<'a>(&'a self, entries: &'a [JournalEntry]) -> Committing<'a> {
        Box::pin(async move {
            assert!(!entries.is_empty(), "an empty commit");
            if self.is_poisoned.load(Ordering::SeqCst) {
                return Err(JournalError::Poisoned);
            }
            let inner = &self.disk.0;
            let (fault, latency, held) = {
                let mut state = inner.state.lock().unwrap();
                assert!(state.unsynced.is_empty(), "two commits at once");
                (state.faults.pop_front(), state.latency, state.held.clone())
            };
            match fault {
                Some(Fault::Fail) => return Err(JournalError::Failed { cause: Arc::new(No) }),
                Some(Fault::Hang) => return std::future::pending().await,
                _ => {}
            }
            if let Err(full) = self.fits(entries) {
                if !latency.is_zero() {
                    inner.clock.sleep(latency).await;
                }
                return Err(full);
            }
            inner.state.lock().unwrap().unsynced = entries.to_vec();
            if !latency.is_zero() {
                inner.clock.sleep(latency).await;
            }
            if fault == Some(Fault::SyncFails) {
                self.is_poisoned.store(true, Ordering::SeqCst);
                return Err(JournalError::Unconfirmed { cause: Arc::new(No) });
            }
            {
                let mut state = inner.state.lock().unwrap();
                let (written, now) = (std::mem::take(&mut state.unsynced), inner.clock.now());
                state.durable.extend(written.into_iter().map(|entry| (entry, now)));
                state.commits.push(entries.len());
            }
            if let Some(held) = held {
                held.acquire().await.unwrap().forget();
            }
            Ok(())
        })
    }
}

impl SimulatedJournal {
    fn fits(&self, entries: &[JournalEntry]) -> Result<(), JournalError> {
        let Some(limit_bytes) = self.disk.0.state.lock().unwrap().limit_bytes else { return Ok(()) };
        let held = self.disk.holds();
        let kept = held.pending.iter().map(|kept| kept.operation.weight_bytes());
        let dead = held.dead.iter().map(|kept| kept.operation.weight_bytes());
        let held_bytes: u64 = kept.chain(dead).sum();
        let appended = entries.iter().filter_map(|entry| match entry {
            JournalEntry::Append(operation) => Some(operation.weight_bytes()),
            _ => None,
        });
        let mut appended = appended.peekable();
        if appended.peek().is_some() && held_bytes + appended.sum::<u64>() > limit_bytes {
            return Err(JournalError::Full { held_bytes, limit_bytes });
        }
        Ok(())
    }
}
