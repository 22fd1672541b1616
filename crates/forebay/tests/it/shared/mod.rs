//! Two engines and more over one shared tier whose network loses, delays and repeats: promises P1, P2, P6 and P7.
//!
//! Time is a simulated clock's, which [`Cluster::run`] moves on; chance comes from seeds.

mod copies;
mod leases;
mod overtaken;
mod suspects;
mod telling;
mod untold;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::log::Verb;
use forebay::rt::Clock;
use forebay::source::{Listing, Loading};
use forebay::tier::shared::SharedTier;
use forebay::value::{Param, Version};
use forebay::{
    Blob, Error, Forebay, LoadKey, Loaded, Namespace, NamespaceBuilder, Source, SourceError, Tier,
};
use forebay_simulated::SimulatedTier;

use crate::scripted::text;

const TTL: Duration = Duration::from_secs(60);
/// How often everybody may run before the clock moves on by a millisecond.
const ROUNDS: usize = 24;

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[derive(Clone, Default)]
pub(crate) struct Row {
    pub(crate) text: String,
    pub(crate) tags: Vec<String>,
    pub(crate) version: Option<i64>,
}

/// The source of all instances: it reads a row at once, and answers after a while.
#[derive(Clone)]
pub(crate) struct Origin(Arc<OriginState>);

struct OriginState {
    clock: Clock,
    rows: Mutex<BTreeMap<String, Row>>,
    takes: Mutex<Duration>,
    is_down: AtomicBool,
    queries: AtomicUsize,
}

impl Origin {
    fn new(clock: &Clock) -> Self {
        let (rows, takes, queries) = (Mutex::default(), Mutex::default(), AtomicUsize::new(0));
        let is_down = AtomicBool::new(false);
        Self(Arc::new(OriginState { clock: clock.clone(), rows, takes, is_down, queries }))
    }

    pub(crate) fn set(&self, id: &str, text: &str) {
        self.0.rows.lock().unwrap().entry(id.into()).or_default().text = text.into();
    }

    pub(crate) fn remove(&self, id: &str) {
        self.0.rows.lock().unwrap().remove(id);
    }

    pub(crate) fn row(&self, id: &str, row: Row) {
        self.0.rows.lock().unwrap().insert(id.into(), row);
    }

    pub(crate) fn takes(&self, span: Duration) {
        *self.0.takes.lock().unwrap() = span;
    }

    pub(crate) fn is_down(&self, is_down: bool) {
        self.0.is_down.store(is_down, Ordering::SeqCst);
    }

    /// How many keys were asked for.
    pub(crate) fn queries(&self) -> usize {
        self.0.queries.load(Ordering::SeqCst)
    }

    async fn answer(&self, keys: &[LoadKey]) -> Vec<Option<Row>> {
        self.0.queries.fetch_add(keys.len(), Ordering::SeqCst);
        let row = |key: &LoadKey| {
            let Some(Param::Text(id)) = key.params.last() else { panic!("text keys only") };
            self.0.rows.lock().unwrap().get(id).cloned()
        };
        let rows = keys.iter().map(row).collect();
        let takes = *self.0.takes.lock().unwrap();
        if !takes.is_zero() {
            self.0.clock.sleep(takes).await;
        }
        rows
    }
}

impl Source for Origin {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move {
            let loaded = |row: Row| Loaded {
                tags: row.tags.iter().map(|tag| tag.as_str().into()).collect(),
                version: row.version.map(Version),
                ..Loaded::new(Blob::opaque(row.text))
            };
            let rows = self.answer(keys).await;
            if self.0.is_down.load(Ordering::SeqCst) {
                return Err(SourceError::passing(Down));
            }
            Ok(rows.into_iter().map(|row| row.map(loaded)).collect())
        })
    }

    fn list<'a>(&'a self, _: &'a str, after: Option<&'a LoadKey>, limit: usize) -> Option<Listing<'a>> {
        Some(Box::pin(async move {
            let rows = self.0.rows.lock().unwrap();
            let last = after.map(|key| key.params[1].clone());
            let ids = rows.keys().map(|id| Param::Text(id.clone()));
            let rest =
                ids.skip_while(|id| last.as_ref().is_some_and(|last| id != last)).skip(after.iter().count());
            Ok(rest.take(limit).map(|id| LoadKey { params: vec![Param::Text("g".into()), id] }).collect())
        }))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the origin is down")]
struct Down;

/// Keys are `k:{group}:{id}`, tagged with their group; the group of all that these tests read is `g`.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) engine: Forebay,
    pub(crate) rows: Namespace<Blob>,
}

impl Instance {
    pub(crate) async fn read(&self, id: &str) -> (Option<String>, Tier) {
        let (value, outcome) = self.rows.get_with_outcome(("g", id)).await.unwrap();
        (value.map(|blob| text(&blob)), outcome.tier)
    }

    pub(crate) async fn get(&self, id: &str) -> Option<String> {
        self.read(id).await.0
    }

    pub(crate) async fn invalidate(&self, id: &str) -> Result<bool, Error> {
        self.rows.invalidate(("g", id)).await
    }

    async fn acknowledged(&self) -> bool {
        self.engine.acknowledged(ms(500)).await.unwrap()
    }
}

pub(crate) struct Cluster {
    pub(crate) clock: Clock,
    pub(crate) tier: SimulatedTier,
    pub(crate) origin: Origin,
    instances: Mutex<Vec<Forebay>>,
}

impl Cluster {
    pub(crate) fn new(seed: u64) -> Self {
        fastrand::seed(seed);
        let clock = Clock::simulated();
        let tier = SimulatedTier::new(clock.clone(), seed);
        Self { origin: Origin::new(&clock), tier, clock, instances: Mutex::default() }
    }

    /// The engine of the instance numbered `number`; it is checked at the end.
    pub fn engine(&self, number: u64) -> Forebay {
        self.engine_over(Arc::new(self.tier.link(number)))
    }

    fn engine_over(&self, tier: Arc<dyn SharedTier>) -> Forebay {
        let engine = Forebay::builder().clock(self.clock.clone()).shared_tier(tier).build().unwrap();
        self.instances.lock().unwrap().push(engine.clone());
        engine
    }

    pub(crate) fn instance(&self, number: u64) -> Instance {
        self.instance_with(number, |builder| builder)
    }

    pub(crate) fn instance_with(
        &self,
        number: u64,
        set_up: impl FnOnce(NamespaceBuilder<Blob>) -> NamespaceBuilder<Blob>,
    ) -> Instance {
        self.instance_of(self.engine(number), set_up)
    }

    pub(crate) fn instance_of(
        &self,
        engine: Forebay,
        set_up: impl FnOnce(NamespaceBuilder<Blob>) -> NamespaceBuilder<Blob>,
    ) -> Instance {
        let builder = engine.namespace("rows").key("k:{group}:{id}").ttl(TTL).tags(&["group:{group}"]);
        let rows = set_up(builder.source(self.origin.clone())).build().unwrap();
        Instance { engine, rows }
    }

    /// Runs `test` while time goes on; afterwards every instance comes to rest, and is whole.
    pub(crate) async fn run<T>(&self, test: impl Future<Output = T>) -> T {
        let mut whole = std::pin::pin!(async {
            let done = test.await;
            let engines = self.instances.lock().unwrap().clone();
            for engine in engines {
                engine.idle().await;
                engine.validate().unwrap();
            }
            done
        });
        loop {
            for _ in 0..ROUNDS {
                tokio::select! {
                    biased;
                    done = &mut whole => return done,
                    () = tokio::task::yield_now() => {}
                }
            }
            self.clock.advance(ms(1));
        }
    }

    pub(crate) async fn pass(&self, span: Duration) {
        self.clock.sleep(span).await;
    }

    /// A cluster of two that hold `old` for the key `x`: A from the source, B from the tier.
    pub(crate) async fn warm(&self, a: &Instance, b: &Instance) {
        self.origin.set("x", "old");
        assert_eq!(a.get("x").await.as_deref(), Some("old"));
        self.pass(ms(20)).await;
        assert_eq!(b.read("x").await, (Some("old".into()), Tier::Shared));
        assert_eq!(b.read("x").await.1, Tier::Memory);
    }
}

#[derive(Clone, Copy, Debug)]
enum Scope {
    Key,
    DeclaredTag,
    RowsTag,
    Prefix,
    Namespace,
    Everything,
}

const SCOPES: [Scope; 6] =
    [Scope::Key, Scope::DeclaredTag, Scope::RowsTag, Scope::Prefix, Scope::Namespace, Scope::Everything];

/// Makes the key `x` gone or stale.
async fn tell(instance: &Instance, scope: Scope, verb: Verb) -> Result<(), Error> {
    let Instance { engine, rows } = instance;
    match (scope, verb) {
        (Scope::Key, Verb::Invalidate) => rows.invalidate(("g", "x")).await.map(drop),
        (Scope::Key, Verb::Expire) => rows.expire(("g", "x")).await.map(drop),
        (Scope::DeclaredTag, Verb::Invalidate) => engine.invalidate_tag("group:g").await,
        (Scope::DeclaredTag, Verb::Expire) => engine.expire_tag("group:g").await,
        (Scope::RowsTag, Verb::Invalidate) => engine.invalidate_tag("of-row").await,
        (Scope::RowsTag, Verb::Expire) => engine.expire_tag("of-row").await,
        (Scope::Prefix, Verb::Invalidate) => rows.invalidate_prefix("k:g:").await,
        (Scope::Prefix, Verb::Expire) => rows.expire_prefix("k:g:").await,
        (Scope::Namespace, Verb::Invalidate) => rows.invalidate_all().await,
        (Scope::Namespace, Verb::Expire) => rows.expire_all().await,
        (Scope::Everything, Verb::Invalidate) => engine.invalidate_everything().await,
        (Scope::Everything, Verb::Expire) => engine.expire_everything().await,
    }
}

/// Each scope with each verb.
fn tellings() -> impl Iterator<Item = (Scope, Verb)> {
    SCOPES.into_iter().flat_map(|scope| [(scope, Verb::Invalidate), (scope, Verb::Expire)])
}

fn tagged(text: &str) -> Row {
    Row { text: text.into(), tags: vec!["of-row".into()], version: None }
}
