//! A source that does what a test tells it: holds its loads until they are let go, fails, panics, counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::rt::Clock;
use forebay::{Blob, Forebay, LoadKey, Loaded, Namespace, Source, SourceError};
use tokio::sync::Semaphore;

pub const TTL: Duration = Duration::from_secs(3);

#[derive(Clone, Default)]
pub struct Script(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rows: Mutex<HashMap<String, String>>,
    ttl: Mutex<Option<Duration>>,
    failing: Mutex<Option<Failure>>,
    loads: AtomicUsize,
    /// Loads that have read their row and wait to be let go; `None` lets every load go at once.
    held: Mutex<Option<Hold>>,
}

#[derive(Clone)]
struct Hold {
    arrived: Arc<Semaphore>,
    go: Arc<Semaphore>,
}

#[derive(Clone, Copy)]
pub enum Failure {
    Error,
    Panic,
}

#[derive(Debug, thiserror::Error)]
#[error("the script says no")]
struct ScriptedFailure;

impl Script {
    pub fn set(&self, key: &str, value: &str) {
        self.0.rows.lock().unwrap().insert(key.into(), value.into());
    }

    pub fn remove(&self, key: &str) {
        self.0.rows.lock().unwrap().remove(key);
    }

    pub fn value_ttl(&self, ttl: Duration) {
        *self.0.ttl.lock().unwrap() = Some(ttl);
    }

    pub fn fail(&self, failure: Option<Failure>) {
        *self.0.failing.lock().unwrap() = failure;
    }

    /// From now on loads read their row and then wait for [`Script::let_go`].
    pub fn hold(&self) {
        *self.0.held.lock().unwrap() =
            Some(Hold { arrived: Arc::new(Semaphore::new(0)), go: Arc::new(Semaphore::new(0)) });
    }

    /// Waits until a load has read its row and is held.
    pub async fn arrived(&self) {
        let hold = self.0.held.lock().unwrap().clone().unwrap();
        hold.arrived.acquire().await.unwrap().forget();
    }

    /// Lets one held load go on.
    pub fn let_go(&self) {
        self.0.held.lock().unwrap().as_ref().unwrap().go.add_permits(1);
    }

    pub fn loads(&self) -> usize {
        self.0.loads.load(Ordering::SeqCst)
    }

    async fn answer(&self, key: &LoadKey) -> Result<Option<Loaded>, SourceError> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        let forebay::value::Param::Text(name) = &key.params[0] else { panic!("text keys only") };
        let row = self.0.rows.lock().unwrap().get(name).cloned();
        let failing = *self.0.failing.lock().unwrap();
        let hold = self.0.held.lock().unwrap().clone();
        if let Some(hold) = hold {
            hold.arrived.add_permits(1);
            hold.go.acquire().await.unwrap().forget();
        }
        match failing {
            Some(Failure::Error) => return Err(SourceError::passing(ScriptedFailure)),
            Some(Failure::Panic) => panic!("the script says panic"),
            None => {}
        }
        let ttl = *self.0.ttl.lock().unwrap();
        Ok(row.map(|row| Loaded { ttl, ..Loaded::new(Blob::opaque(row)) }))
    }
}

impl Source for Script {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> forebay::source::Loading<'a> {
        Box::pin(async move {
            let mut answers = Vec::new();
            for key in keys {
                answers.push(self.answer(key).await?);
            }
            Ok(answers)
        })
    }
}

/// An engine on a clock of the test's, one namespace `k:{id}` of TTL 3 s, and its source.
pub struct Stage {
    pub clock: Clock,
    pub engine: Forebay,
    pub script: Script,
    pub namespace: Namespace<Blob>,
}

pub fn stage() -> Stage {
    stage_with(|builder| builder)
}

pub fn stage_with(
    set_up: impl FnOnce(forebay::NamespaceBuilder<Blob>) -> forebay::NamespaceBuilder<Blob>,
) -> Stage {
    let clock = Clock::simulated();
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    let script = Script::default();
    let builder = engine.namespace("things").key("k:{id}").ttl(TTL).source(script.clone());
    let namespace = set_up(builder).build().unwrap();
    Stage { clock, engine, script, namespace }
}

impl Stage {
    /// Reads `k:{id}` as text.
    pub async fn get(&self, id: &str) -> Option<String> {
        self.namespace.get(id).await.unwrap().map(|blob| text(&blob))
    }

    pub async fn outcome(&self, id: &str) -> forebay::ReadOutcome {
        self.namespace.get_with_outcome(id).await.unwrap().1
    }

    /// Nothing is in flight and memory's structure is whole.
    pub async fn check(&self) {
        self.engine.idle().await;
        assert_eq!(self.namespace.flights(), 0, "a flight was left on the board");
        self.engine.memory().validate().unwrap();
    }
}

pub fn text(blob: &Blob) -> String {
    String::from_utf8(blob.bytes.to_vec()).unwrap()
}
