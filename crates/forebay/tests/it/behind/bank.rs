//! A table with a sink and a source: it remembers the operations that it has applied, and does what a test tells it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::rt::Clock;
use forebay::source::Loading;
use forebay::value::Param;
use forebay::writes::{Applied, Applying, Change, OperationId, SinkWrite, Unfit};
use forebay::{Blob, LoadKey, Loaded, Sink, SinkError, Source};
use tokio::sync::Semaphore;

use crate::scripted::text;

/// What the table does with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Apply,
    /// Nothing is done.
    Fail,
    /// Applied, and the answer is lost.
    LoseAnswer,
    /// Not applied, and nobody knows.
    LoseCall,
    /// Never answered; applied later, or not at all.
    Hang,
    Panic,
    /// Of several, only the first is applied, the others fail.
    First,
}

/// A table; clones are the same.
#[derive(Clone)]
pub struct Bank(Arc<Inner>);

struct Inner {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rows: HashMap<String, String>,
    done: HashSet<OperationId>,
    /// The values of each key, in the order in which they took effect.
    effects: BTreeMap<String, Vec<String>>,
    /// Values that are refused.
    poison: HashSet<String>,
    acts: VecDeque<Act>,
    weather: Option<Act>,
    /// Ids, keys and values of each call.
    calls: Vec<Vec<(OperationId, String, String)>>,
    /// Keys of the calls that are under way.
    under_way: Vec<String>,
    /// What a call that nobody waits for any more may yet apply.
    ghosts: Vec<(OperationId, String, String)>,
    keeps_ghosts: bool,
    forgets_ids: bool,
    latency: Duration,
    load_latency: Duration,
    held: Option<Arc<Semaphore>>,
    loads: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("the bank says no")]
struct No;

/// What a deletion is called.
pub const GONE: &str = "-";

impl State {
    /// Applies a write once.
    fn apply(&mut self, id: OperationId, key: &str, value: &str) {
        if self.poison.contains(value) || (!self.done.insert(id) && !self.forgets_ids) {
            return;
        }
        if value.starts_with(GONE) {
            self.rows.remove(key);
        } else {
            self.rows.insert(key.into(), value.into());
        }
        self.effects.entry(key.into()).or_default().push(value.into());
    }
}

/// The keys of one call, for as long as it is under way.
struct UnderWay<'a>(&'a Bank, Vec<String>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        for key in &self.1 {
            let at = state.under_way.iter().position(|other| other == key).unwrap();
            state.under_way.swap_remove(at);
        }
    }
}

impl Bank {
    pub fn new(clock: &Clock) -> Self {
        Self(Arc::new(Inner { clock: clock.clone(), state: Mutex::default() }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub fn next(&self, act: Act) {
        self.lock().acts.push_back(act);
    }

    /// What calls do from now on that are not told otherwise; `None` applies.
    pub fn weather(&self, act: Option<Act>) {
        self.lock().weather = act;
    }

    pub fn poison(&self, value: &str) {
        self.lock().poison.insert(value.into());
    }

    pub fn heal(&self) {
        let mut state = self.lock();
        state.poison.clear();
        state.acts.clear();
        state.weather = None;
        state.ghosts.clear();
    }

    pub fn latency(&self, sink: Duration, source: Duration) {
        let mut state = self.lock();
        (state.latency, state.load_latency) = (sink, source);
    }

    /// Calls that nobody waits for any more may be applied later, by [`Bank::haunt`].
    pub fn keep_ghosts(&self) {
        self.lock().keeps_ghosts = true;
    }

    /// What was left of a call that nobody waits for takes effect.
    pub fn haunt(&self, back: usize) {
        let mut state = self.lock();
        if let Some(at) = state.ghosts.len().checked_sub(back + 1) {
            let (id, key, value) = state.ghosts.remove(at);
            state.apply(id, &key, &value);
        }
    }

    /// From now on it remembers no ids, and applies whatever it is given.
    pub fn forget_ids(&self) {
        self.lock().forgets_ids = true;
    }

    /// From now on calls apply what they are given and wait for [`Bank::let_go`] to answer.
    pub fn hold(&self) {
        self.lock().held = Some(Arc::new(Semaphore::new(0)));
    }

    pub fn let_go(&self) {
        if let Some(held) = self.lock().held.take() {
            held.add_permits(1 << 20);
        }
    }

    pub fn set(&self, key: &str, value: &str) {
        self.lock().rows.insert(key.into(), value.into());
    }

    pub fn row(&self, key: &str) -> Option<String> {
        self.lock().rows.get(key).cloned()
    }

    /// The values of `key`, in the order in which they took effect.
    pub fn effects(&self, key: &str) -> Vec<String> {
        self.lock().effects.get(key).cloned().unwrap_or_default()
    }

    /// Keys and values of each call.
    pub fn calls(&self) -> Vec<Vec<String>> {
        let told = |call: &Vec<(OperationId, String, String)>| {
            call.iter().map(|(_, key, value)| format!("{key}={value}")).collect()
        };
        self.lock().calls.iter().map(told).collect()
    }

    /// The ids of all writes that it was ever given.
    pub fn ids(&self) -> Vec<OperationId> {
        self.lock().calls.iter().flatten().map(|(id, _, _)| *id).collect()
    }

    pub fn loads(&self) -> usize {
        self.lock().loads
    }
}

fn name(key: &LoadKey) -> String {
    let [Param::Text(name)] = key.params.as_slice() else { panic!("one text a key: {key:?}") };
    name.clone()
}

fn value(write: &SinkWrite) -> String {
    match &write.change {
        Change::Put(value) => text(value.as_blob().unwrap()),
        Change::Delete => GONE.into(),
        other => panic!("no such change: {other:?}"),
    }
}

impl Sink for Bank {
    /// It takes no value that is `unfit`.
    fn check(&self, _: &str, _: &LoadKey, change: &Change) -> Result<(), Unfit> {
        match change {
            Change::Put(value) if value.as_blob().is_some_and(|blob| text(blob) == "unfit") => {
                Err(Unfit::new(No))
            }
            _ => Ok(()),
        }
    }

    fn apply<'a>(&'a self, namespace: &'a str, writes: &'a [SinkWrite]) -> Applying<'a> {
        assert_eq!(namespace, "things");
        Box::pin(async move {
            let told: Vec<_> =
                writes.iter().map(|write| (write.id, name(&write.key), value(write))).collect();
            let (act, latency, held, under_way) = {
                let mut state = self.lock();
                state.calls.push(told.clone());
                let keys: Vec<String> = told.iter().map(|(_, key, _)| key.clone()).collect();
                for key in &keys {
                    assert!(!state.under_way.contains(key), "two writes of {key} at once");
                    state.under_way.push(key.clone());
                }
                let act = state.acts.pop_front().or(state.weather).unwrap_or(Act::Apply);
                if state.keeps_ghosts {
                    // Whatever becomes of the call, it has left for the table, unless it is said that nothing was done.
                    let leaves = act != Act::Fail && act != Act::First;
                    state.ghosts.extend(told.iter().filter(|_| leaves).cloned());
                }
                (act, state.latency, state.held.clone(), UnderWay(self, keys))
            };
            let half = fastrand::u32(0..=100);
            if !latency.is_zero() {
                self.0.clock.sleep(latency * half / 100).await;
            }
            let mut outcomes = Vec::new();
            match act {
                Act::Hang => std::future::pending().await,
                Act::Panic => panic!("the bank panics"),
                _ => {}
            }
            for (place, (id, key, value)) in told.iter().enumerate() {
                let mut state = self.lock();
                outcomes.push(match act {
                    Act::LoseCall => Err(SinkError::unknown(No)),
                    Act::Fail => Err(SinkError::failed(No)),
                    Act::First if place > 0 => Err(SinkError::failed(No)),
                    _ if state.poison.contains(value) => Err(SinkError::refused(No)),
                    _ => {
                        state.apply(*id, key, value);
                        if act == Act::LoseAnswer {
                            Err(SinkError::unknown(No))
                        } else {
                            Ok(Applied::as_written())
                        }
                    }
                });
            }
            if let Some(held) = held {
                held.acquire().await.unwrap().forget();
            }
            if !latency.is_zero() {
                self.0.clock.sleep(latency * (100 - half) / 100).await;
            }
            drop(under_way);
            outcomes
        })
    }
}

impl Source for Bank {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move {
            let (rows, latency) = {
                let mut state = self.lock();
                state.loads += 1;
                let row = |key| state.rows.get(&name(key)).cloned();
                (keys.iter().map(row).collect::<Vec<_>>(), state.load_latency)
            };
            if !latency.is_zero() {
                self.0.clock.sleep(latency).await;
            }
            Ok(rows.into_iter().map(|row| row.map(|row| Loaded::new(Blob::opaque(row)))).collect())
        })
    }

    fn gives_tags(&self) -> bool {
        false
    }
}
