//! A source that does what a test tells it: holds its loads until they are let go, fails, panics, counts. Its rows say of
//! themselves what the test gave them: tags, a version.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::Clock;
use forebay::value::{Codec, Hash, Key, Param, Tag, Version};
use forebay::{
    Blob, Error, Forebay, LoadKey, Loaded, Namespace, NamespaceBuilder, Source, SourceError, Value,
};
use tokio::sync::Semaphore;

pub const TTL: Duration = Duration::from_secs(3);

#[derive(Clone, Default)]
pub struct Script(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rows: Mutex<HashMap<String, Row>>,
    ttl: Mutex<Option<Duration>>,
    failing: Mutex<Option<Failure>>,
    loads: AtomicUsize,
    /// The keys of each query, in the order in which they came.
    queries: Mutex<Vec<Vec<String>>>,
    /// Loads that have read their row and wait to be let go; `None` lets every load go at once.
    held: Mutex<Option<Hold>>,
}

/// A row: its text, and what it says of itself.
#[derive(Clone, Default)]
pub struct Row {
    text: String,
    tags: Vec<Tag>,
    version: Option<Version>,
}

impl Row {
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub fn tags(self, tags: &[&str]) -> Self {
        Self { tags: tags.iter().map(|tag| Tag::from(*tag)).collect(), ..self }
    }

    pub fn version(self, version: i64) -> Self {
        Self { version: Some(Version(version)), ..self }
    }
}

#[derive(Clone)]
struct Hold {
    arrived: Arc<Semaphore>,
    go: Arc<Semaphore>,
}

#[derive(Clone, Copy)]
pub enum Failure {
    Error,
    /// One error, then none.
    Once,
    /// An error that stays until somebody changes something.
    Lasting,
    Panic,
}

#[derive(Debug, thiserror::Error)]
#[error("the script says no")]
struct ScriptedFailure;

impl Script {
    pub fn set(&self, key: &str, value: &str) {
        self.set_row(key, Row::new(value));
    }

    pub fn set_row(&self, key: &str, row: Row) {
        self.0.rows.lock().unwrap().insert(key.into(), row);
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

    /// The next key fails that is asked for, and none after it.
    pub fn fail_next(&self) {
        self.fail(Some(Failure::Once));
    }

    /// From now on loads read their row and then wait for [`Script::let_go`].
    pub fn hold(&self) {
        *self.0.held.lock().unwrap() =
            Some(Hold { arrived: Arc::new(Semaphore::new(0)), go: Arc::new(Semaphore::new(0)) });
    }

    /// Waits until a load has read its row and is held.
    pub async fn arrived(&self) {
        let hold = self.0.held.lock().unwrap().clone().unwrap();
        for _ in 0..1_000_000 {
            if let Ok(arrived) = hold.arrived.try_acquire() {
                return arrived.forget();
            }
            tokio::task::yield_now().await;
        }
        panic!("no load came");
    }

    /// Lets one held load go on.
    pub fn let_go(&self) {
        self.0.held.lock().unwrap().as_ref().unwrap().go.add_permits(1);
    }

    /// Lets all held loads go on; from now on none is held.
    pub fn stop_holding(&self) {
        if let Some(hold) = self.0.held.lock().unwrap().take() {
            hold.go.add_permits(1 << 20);
        }
    }

    /// Keys that were asked for.
    pub fn loads(&self) -> usize {
        self.0.loads.load(Ordering::SeqCst)
    }

    /// The keys of each query so far; parameters are joined by `:`.
    pub fn queries(&self) -> Vec<Vec<String>> {
        self.0.queries.lock().unwrap().clone()
    }

    async fn answer(&self, key: &LoadKey) -> Result<Option<Loaded>, SourceError> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        let row = self.0.rows.lock().unwrap().get(&name(key)).cloned();
        let failing = *self.0.failing.lock().unwrap();
        let hold = self.0.held.lock().unwrap().clone();
        if let Some(hold) = hold {
            hold.arrived.add_permits(1);
            hold.go.acquire().await.unwrap().forget();
        }
        match failing {
            Some(Failure::Error) => return Err(SourceError::passing(ScriptedFailure)),
            Some(Failure::Once) => {
                self.fail(None);
                return Err(SourceError::passing(ScriptedFailure));
            }
            Some(Failure::Lasting) => return Err(SourceError::lasting(ScriptedFailure)),
            Some(Failure::Panic) => panic!("the script says panic"),
            None => {}
        }
        let ttl = *self.0.ttl.lock().unwrap();
        Ok(row.map(|Row { text, tags, version }| Loaded {
            ttl,
            tags,
            version,
            ..Loaded::new(Blob::opaque(text))
        }))
    }
}

/// The parameters of a key, joined by `:`.
fn name(key: &LoadKey) -> String {
    let text = |param: &Param| match param {
        Param::Text(text) => text.clone(),
        Param::Integer(number) => number.to_string(),
    };
    key.params.iter().map(text).collect::<Vec<_>>().join(":")
}

impl Source for Script {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> forebay::source::Loading<'a> {
        Box::pin(async move {
            self.0.queries.lock().unwrap().push(keys.iter().map(name).collect());
            let mut answers = Vec::new();
            for key in keys {
                answers.push(self.answer(key).await?);
            }
            Ok(answers)
        })
    }
}

/// The same source, which says that only keys tell tags.
pub struct Untagged(pub Script);

impl Source for Untagged {
    fn load<'a>(&'a self, namespace: &'a str, keys: &'a [LoadKey]) -> forebay::source::Loading<'a> {
        self.0.load(namespace, keys)
    }

    fn gives_tags(&self) -> bool {
        false
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

pub fn stage_with(set_up: impl FnOnce(NamespaceBuilder<Blob>) -> NamespaceBuilder<Blob>) -> Stage {
    let clock = Clock::simulated();
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    let script = Script::default();
    let builder = engine.namespace("things").key("k:{id}").ttl(TTL).source(script.clone());
    let namespace = set_up(builder).build().unwrap();
    Stage { clock, engine, script, namespace }
}

/// What a reader on a task of its own got.
pub type Reader = tokio::task::JoinHandle<Result<Option<String>, Error>>;

impl Stage {
    /// Reads the value of a key, `k:{id}` unless the test has another pattern, as text.
    pub async fn get(&self, id: impl Key) -> Option<String> {
        self.namespace.get(id).await.unwrap().map(|blob| text(&blob))
    }

    pub async fn outcome(&self, id: impl Key) -> forebay::ReadOutcome {
        self.namespace.get_with_outcome(id).await.unwrap().1
    }

    /// A reader on a task of its own.
    pub fn reader(&self, id: impl Key + Send + 'static) -> Reader {
        let namespace = self.namespace.clone();
        tokio::spawn(async move { Ok(namespace.get(id).await?.map(|blob| text(&blob))) })
    }

    /// Whether memory holds a value for `k:{id}` that is still valid.
    pub fn holds(&self, id: &str) -> bool {
        self.namespace.peek(format!("k:{id}").as_bytes()).is_some_and(|held| !held.absent)
    }

    /// Another namespace of the same source and TTL, in the keyspace of `engine`.
    pub fn beside(
        &self,
        engine: &Forebay,
        name: &str,
        key: &str,
        set_up: impl FnOnce(NamespaceBuilder<Blob>) -> NamespaceBuilder<Blob>,
    ) -> Namespace<Blob> {
        let builder = engine.namespace(name).key(key).ttl(TTL).source(self.script.clone());
        set_up(builder).build().unwrap()
    }

    /// Lets every task run until it waits: for the clock, or for a load that is held. Tests run on one thread.
    pub async fn settle(&self) {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    /// Nothing is in flight and memory's structure is whole.
    pub async fn check(&self) {
        self.engine.idle().await;
        assert_eq!(self.namespace.flights(), 0, "a flight was left on the board");
        self.engine.validate().unwrap();
    }
}

pub fn text(blob: &Blob) -> String {
    String::from_utf8(blob.as_bytes().to_vec()).unwrap()
}

/// Every key that a scan by pages of `limit` tells of, and how many pages it took.
pub fn scanned(namespace: &Namespace<Blob>, limit: usize) -> (BTreeSet<Vec<u8>>, usize) {
    let (mut all, mut cursor, mut pages) = (BTreeSet::new(), 0, 0);
    loop {
        let (keys, next) = namespace.scan(cursor, limit);
        assert!(keys.len() <= limit, "a page of {} keys", keys.len());
        all.extend(keys);
        pages += 1;
        if next == 0 {
            return (all, pages);
        }
        cursor = next;
    }
}

/// Writes whole hashes, for a shared tier or a journal: a line for each field.
pub struct WholeHash;

impl Codec<Hash> for WholeHash {
    fn encode(&self, hash: &Hash) -> Option<Bytes> {
        hash.len()?;
        let line = |(field, value): (&[u8], &Bytes)| [field, b"=", value, b"\n"].concat();
        Some(hash.iter().flat_map(line).collect())
    }

    fn decode(&self, bytes: &[u8]) -> Option<(Hash, u64)> {
        let lines = std::str::from_utf8(bytes).ok()?.lines();
        let fields: Option<Vec<_>> = lines.map(|line| line.split_once('=')).collect();
        let owned = |(field, value): (&str, &str)| (field.to_owned(), Bytes::from(value.to_owned()));
        let hash = Hash::whole(fields?.into_iter().map(owned));
        let weight_bytes = Value::from(hash.clone()).weight_bytes();
        Some((hash, weight_bytes))
    }
}
