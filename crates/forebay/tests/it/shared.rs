//! Two engines and more over one shared tier whose network loses, delays and repeats: promises P1, P2, P6 and P7.
//!
//! Time is a simulated clock's, which [`Cluster::run`] moves on; chance comes from seeds.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use forebay::log::{Batch, Cursor, InstanceId, Log, LogError, Reach, Record, SUSPECT_AFTER, Verb};
use forebay::observe::What;
use forebay::rt::Clock;
use forebay::source::{Listing, Loading};
use forebay::tier::shared::{
    Answers, Capabilities, Fill, Filled, Lease, LeaseTerms, Owner, SharedTier, TierError,
};
use forebay::value::{Codec, Param, Value, Version};
use forebay::{
    Blob, Error, FilterOptions, Forebay, Freshness, LoadKey, Loaded, Namespace, NamespaceBuilder, Source,
    SourceError, Tier, Why,
};
use forebay_simulated::{Faults, Link, Partition, SimulatedTier};

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

#[tokio::test]
async fn what_one_instance_loaded_the_other_takes_from_the_tier() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            assert_eq!(cluster.origin.queries(), 1);
            assert_eq!(cluster.tier.fired().fills_refused, 0);
        })
        .await;
}

#[tokio::test]
async fn a_herd_on_both_instances_makes_one_query() {
    let cluster = Cluster::new(2);
    let instances = [cluster.instance(1), cluster.instance(2)];
    cluster.origin.set("x", "1");
    cluster.origin.takes(ms(300));
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            let herd: Vec<_> = (0..100)
                .map(|reader| {
                    let instance = instances[reader % 2].clone();
                    tokio::spawn(async move { instance.get("x").await })
                })
                .collect();
            for reader in herd {
                assert_eq!(reader.await.unwrap().as_deref(), Some("1"));
            }
        })
        .await;
    assert_eq!(cluster.origin.queries(), 1, "the lease did not keep the other instance from loading");
}

#[tokio::test]
async fn more_keys_than_one_call_takes_go_through_the_tier_too() {
    let cluster = Cluster::new(3);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    let ids: Vec<String> = (0..700).map(|id| id.to_string()).collect();
    for id in &ids {
        cluster.origin.set(id, id);
    }
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            for instance in [&a, &b] {
                let values = instance.rows.get_many(ids.iter().map(|id| ("g", id.as_str()))).await.unwrap();
                assert!(values.iter().zip(&ids).all(|(value, id)| text(value.as_ref().unwrap()) == *id));
                cluster.pass(ms(20)).await;
            }
        })
        .await;
    assert_eq!(cluster.origin.queries(), ids.len());
}

#[tokio::test]
async fn who_waits_for_a_dead_lease_holder_goes_without_and_stores_nothing_in_the_tier() {
    let cluster = Cluster::new(4);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster.origin.set("x", "1");
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.origin.takes(ms(3_000));
            let dying = tokio::spawn(async move { a.get("x").await });
            cluster.pass(ms(50)).await;
            cluster.tier.partition(1, Some(Partition::Requests));
            cluster.origin.takes(ms(0));
            let asked = cluster.clock.now();
            assert_eq!(b.read("x").await, (Some("1".into()), Tier::Source));
            let waited = cluster.clock.now().since(asked);
            assert!(waited >= ms(900) && waited <= ms(1_200), "{waited:?}");
            cluster.pass(ms(50)).await;
            assert_eq!(cluster.tier.counts().0, 0, "a load without a lease was stored in the tier");
            assert_eq!(b.read("x").await.1, Tier::Memory, "memory may have it");
            dying.await.unwrap();
        })
        .await;
}

/// Two instances of which the other loads `keys` already, and slowly; with their readers.
async fn both_load(cluster: &Cluster, keys: usize) -> (Instance, [tokio::task::JoinHandle<usize>; 2]) {
    let wide = |builder: NamespaceBuilder<Blob>| builder.queue(2 * keys);
    let (a, b) = (cluster.instance_with(1, wide), cluster.instance_with(2, wide));
    let ids: Vec<String> = (0..keys).map(|id| id.to_string()).collect();
    for id in &ids {
        cluster.origin.set(id, id);
    }
    cluster.pass(ms(10)).await;
    cluster.origin.takes(ms(600));
    let all = |instance: &Instance| {
        let (rows, ids) = (instance.rows.clone(), ids.clone());
        tokio::spawn(async move {
            let values = rows.get_many(ids.iter().map(|id| ("g", id.as_str()))).await.unwrap();
            values.iter().zip(&ids).filter(|(value, id)| text(value.as_ref().unwrap()) == **id).count()
        })
    };
    let first = all(&a);
    cluster.pass(ms(50)).await;
    let second = all(&b);
    cluster.pass(ms(200)).await;
    (b, [first, second])
}

#[tokio::test]
async fn keys_that_another_instance_loads_are_waited_for_by_few_tasks() {
    let cluster = Cluster::new(43);
    let keys = 2_000;
    cluster
        .run(async {
            let (_b, readers) = both_load(&cluster, keys).await;
            let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
            assert!(tasks < 100, "{tasks} tasks");
            for reader in readers {
                assert_eq!(reader.await.unwrap(), keys);
            }
        })
        .await;
    assert_eq!(cluster.origin.queries(), keys, "they were not waited for");
}

#[tokio::test]
async fn no_more_keys_than_are_declared_wait_for_another_instance() {
    let cluster = Cluster::new(44);
    let keys = 4_500;
    cluster
        .run(async {
            let (b, readers) = both_load(&cluster, keys).await;
            let counts = b.rows.counts();
            assert_eq!((counts.lease_waits, counts.lease_waits_refused), (4_096, 404));
            for reader in readers {
                assert_eq!(reader.await.unwrap(), keys);
            }
        })
        .await;
}

/// One key and, so much later, 50 others are asked of an instance while another one loads them; so much later again, whatever is asked
/// of the tier is lost. Until half of 400 ms is over, each waits for the other instance. How long the one did, and the shortest and
/// the longest of the others.
async fn waits_past_lost_answers(seed: u64, later_by: Duration, lost_after: Duration) -> [Duration; 3] {
    let cluster = Cluster::new(seed);
    let a = cluster.instance_with(1, |builder| builder.load_timeout(ms(4_000)));
    let b = cluster.instance_with(2, |builder| builder.load_timeout(ms(400)));
    let others: Vec<String> = (0..50).map(|id| id.to_string()).collect();
    for id in others.iter().map(String::as_str).chain(["x"]) {
        cluster.origin.set(id, id);
    }
    let read = |id: &str| {
        let (own, clock, id) = (b.clone(), cluster.clock.clone(), id.to_owned());
        tokio::spawn(async move {
            let asked = clock.now();
            assert_eq!(own.read(&id).await, (Some(id), Tier::Source));
            clock.now().since(asked)
        })
    };
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.origin.takes(ms(3_000));
            let (rows, ids) = (a.rows.clone(), others.clone());
            let keys = move || ids.clone().into_iter().chain(["x".into()]).map(|id| ("g".to_owned(), id));
            let first = tokio::spawn(async move { rows.get_many(keys()).await.map(|rows| rows.len()) });
            cluster.pass(ms(50)).await;
            cluster.origin.takes(ms(0));
            let early = read("x");
            cluster.pass(later_by).await;
            let late: Vec<_> = others.iter().map(|id| read(id)).collect();
            cluster.pass(lost_after).await;
            cluster.tier.partition(2, Some(Partition::Answers));
            let mut waits = Vec::new();
            for reader in late {
                waits.push(reader.await.unwrap());
            }
            assert_eq!(first.await.unwrap().unwrap(), others.len() + 1);
            waits.sort_unstable();
            [early.await.unwrap(), waits[0], waits[others.len() - 1]]
        })
        .await
}

#[tokio::test]
async fn no_key_waits_for_a_lost_answer_about_others() {
    // Shortly before the one key's time is over; the others have time.
    let [one, ..] = waits_past_lost_answers(45, ms(100), ms(80)).await;
    assert!(one <= ms(220), "it left after {one:?}");
}

#[tokio::test]
async fn no_key_is_loaded_early_because_the_time_of_another_is_over() {
    for seed in 46..50 {
        let [_, shortest, longest] = waits_past_lost_answers(seed, ms(30), ms(120)).await;
        assert!(shortest >= ms(195), "with seed {seed} one left after {shortest:?}");
        assert!(longest <= ms(220), "with seed {seed} one left after {longest:?}");
    }
}

#[tokio::test]
async fn a_lease_lives_as_long_as_a_load_that_goes_on_for_others() {
    let cluster = Cluster::new(27);
    let slow = |builder: NamespaceBuilder<Blob>| builder.concurrency(1).load_timeout(ms(4_000));
    let (a, b) = (cluster.instance_with(1, slow), cluster.instance_with(2, slow));
    for id in ["w", "x", "z"] {
        cluster.origin.set(id, id);
    }
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.origin.takes(ms(3_500));
            let reader = |id: &'static str| {
                let a = a.clone();
                tokio::spawn(async move { a.rows.get(("g", id)).await.map(|value| value.is_some()) })
            };
            let first = reader("w");
            cluster.pass(ms(50)).await;
            let began = cluster.clock.now();
            let x = reader("x");
            cluster.pass(ms(3_300)).await;
            let z = reader("z");
            assert!(first.await.unwrap().unwrap());
            // `x` and `z` are loaded by one query from now on, for 3.5 s more.
            assert!(matches!(x.await.unwrap(), Err(Error::Timeout { .. })));
            let waited = cluster.clock.now().since(began);
            assert!(waited <= ms(4_010), "{waited:?}");
            assert!(z.await.unwrap().unwrap());
            assert!(
                cluster.clock.now().since(began) > ms(5_100),
                "the lease of `x` would still live by itself"
            );
            cluster.pass(ms(50)).await;
            assert_eq!(b.read("x").await, (Some("x".into()), Tier::Shared), "it was not stored in the tier");
        })
        .await;
    assert_eq!(cluster.origin.queries(), 3);
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

#[tokio::test]
async fn an_invalidation_is_seen_here_and_in_the_tier_at_once_and_elsewhere_within_a_second() {
    for (scope, verb) in tellings() {
        let cluster = Cluster::new(5);
        let (a, b, c) = (cluster.instance(1), cluster.instance(2), cluster.instance(3));
        cluster.origin.row("x", tagged("old"));
        let at = format!("{scope:?} {verb:?}");
        cluster
            .run(async {
                cluster.warm(&a, &b).await;
                cluster.origin.set("x", "new");
                tell(&a, scope, verb).await.unwrap();
                assert_eq!(c.get("x").await.as_deref(), Some("new"), "{at}: the tier gave the old value");
                assert_eq!(a.get("x").await.as_deref(), Some("new"), "{at}");
                cluster.pass(ms(1_001)).await;
                assert_eq!(b.get("x").await.as_deref(), Some("new"), "{at}: not seen in time");
                let late = cluster.instance(4);
                let read = late.read("x").await;
                assert_eq!(read, (Some("new".into()), Tier::Shared), "{at}: the new value was not shared");
            })
            .await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_seen_elsewhere_at_once() {
    for (scope, verb) in tellings() {
        let cluster = Cluster::new(6);
        let (a, b) = (cluster.instance(1), cluster.instance(2));
        cluster.origin.row("x", tagged("old"));
        cluster.tier.set_faults(Faults { delay_ms_max: 20, ..Faults::default() });
        cluster
            .run(async {
                cluster.pass(ms(300)).await;
                cluster.origin.set("x", "old");
                assert_eq!(a.get("x").await.as_deref(), Some("old"));
                cluster.pass(ms(50)).await;
                assert_eq!(b.get("x").await.as_deref(), Some("old"));
                cluster.origin.set("x", "new");
                tell(&a, scope, verb).await.unwrap();
                assert!(a.acknowledged().await);
                assert_eq!(b.get("x").await.as_deref(), Some("new"), "{scope:?} {verb:?}");
            })
            .await;
    }
}

/// A way to the tier that is worse than most.
struct Way {
    link: Link,
    clock: Clock,
    /// How long answers of the log are on their way.
    slow: Duration,
    /// Whether acknowledgements are lost.
    losing: AtomicBool,
    /// How many keys or records one call takes, as it declares; it takes one at least.
    batch_max: usize,
    /// Refuses whatever tells of this key, whole.
    refuses: Mutex<Option<&'static [u8]>>,
}

impl Way {
    fn new(cluster: &Cluster, number: u64, slow: Duration, batch_max: usize) -> Arc<Self> {
        let (link, clock) = (cluster.tier.link(number), cluster.clock.clone());
        let (losing, refuses) = (AtomicBool::new(false), Mutex::default());
        Arc::new(Self { link, clock, slow, losing, batch_max, refuses })
    }

    fn instance(self: &Arc<Self>, cluster: &Cluster) -> Instance {
        cluster.instance_of(cluster.engine_over(Arc::clone(self) as Arc<dyn SharedTier>), |builder| builder)
    }

    fn bounded<'a, T: 'a>(&self, count: usize, reply: TierReply<'a, T>) -> TierReply<'a, T> {
        if count <= self.batch_max.max(1) {
            return reply;
        }
        Box::pin(async { Err(TierError::Refused { problem: "too many at once".into() }) })
    }
}

type LogReply<'a, T> = forebay::log::Reply<'a, T>;
type TierReply<'a, T> = forebay::tier::shared::Reply<'a, T>;

impl Log for Way {
    fn append<'a>(&'a self, records: &'a [Record]) -> LogReply<'a, Cursor> {
        self.link.append(records)
    }

    fn read(&self, after: Cursor, wait: Duration) -> LogReply<'_, Batch> {
        Box::pin(async move {
            let batch = self.link.read(after, wait).await?;
            self.clock.sleep(self.slow).await;
            Ok(batch)
        })
    }

    fn acknowledge(&self, instance: InstanceId, applied: Cursor) -> LogReply<'_, ()> {
        if self.losing.load(Ordering::SeqCst) {
            return Box::pin(async { Err(LogError::Timeout { after: ms(250) }) });
        }
        self.link.acknowledge(instance, applied)
    }

    fn acknowledged(&self, place: Cursor, wait: Duration) -> LogReply<'_, bool> {
        self.link.acknowledged(place, wait)
    }
}

impl SharedTier for Way {
    fn capabilities(&self) -> Capabilities {
        Capabilities { batch_max: self.batch_max, ..self.link.capabilities() }
    }

    fn get<'a>(
        &'a self,
        of: &'a Owner,
        keys: &'a [&'a [u8]],
        lease: Option<LeaseTerms>,
    ) -> TierReply<'a, Answers> {
        self.bounded(keys.len(), self.link.get(of, keys, lease))
    }

    fn fill<'a>(&'a self, of: &'a Owner, fills: &'a [Fill]) -> TierReply<'a, Vec<Filled>> {
        self.bounded(fills.len(), self.link.fill(of, fills))
    }

    fn renew<'a>(
        &'a self,
        of: &'a Owner,
        key: &'a [u8],
        lease: Lease,
        time: Duration,
    ) -> TierReply<'a, bool> {
        self.link.renew(of, key, lease, time)
    }

    fn release<'a>(&'a self, of: &'a Owner, key: &'a [u8], lease: Lease) -> TierReply<'a, ()> {
        self.link.release(of, key, lease)
    }

    fn invalidate<'a>(&'a self, records: &'a [Record]) -> TierReply<'a, Cursor> {
        let refused = *self.refuses.lock().unwrap();
        let is_it =
            |record: &Record| matches!(&record.reach, Reach::Key { key, .. } if Some(&**key) == refused);
        if records.iter().any(is_it) {
            return Box::pin(async { Err(TierError::Refused { problem: "this one is not for me".into() }) });
        }
        self.bounded(records.len(), self.link.invalidate(records))
    }
}

#[tokio::test]
async fn who_cannot_acknowledge_does_not_trust_what_it_holds() {
    let cluster = Cluster::new(29);
    let way = Way::new(&cluster, 2, ms(200), 256);
    let (a, b) = (cluster.instance(1), way.instance(&cluster));
    cluster
        .run(async {
            cluster.pass(ms(500)).await;
            cluster.warm(&a, &b).await;
            way.losing.store(true, Ordering::SeqCst);
            cluster.pass(ms(4_000)).await;
            cluster.origin.set("x", "new");
            a.invalidate("x").await.unwrap();
            assert!(a.acknowledged().await, "the log does not wait for it any more");
            assert_eq!(b.get("x").await.as_deref(), Some("new"));
        })
        .await;
}

#[tokio::test]
async fn what_the_tier_holds_is_judged_by_the_whole_log() {
    for (scope, verb) in tellings() {
        let cluster = Cluster::new(30);
        let (a, b) = (cluster.instance(1), cluster.instance(2));
        let late = Way::new(&cluster, 3, ms(200), 256).instance(&cluster);
        cluster.origin.row("x", tagged("old"));
        cluster
            .run(async {
                cluster.pass(ms(500)).await;
                cluster.warm(&a, &b).await;
                cluster.origin.set("x", "new");
                tell(&a, scope, verb).await.unwrap();
                assert_eq!(late.get("x").await.as_deref(), Some("new"), "{scope:?} {verb:?}");
            })
            .await;
    }
}

#[tokio::test]
async fn no_call_is_larger_than_the_tier_takes() {
    let cluster = Cluster::new(31);
    let narrow = |number| Way::new(&cluster, number, ms(0), 7).instance(&cluster);
    let (a, b) = (narrow(1), narrow(2));
    let ids: Vec<String> = (0..40).map(|id| id.to_string()).collect();
    for id in &ids {
        cluster.origin.set(id, id);
    }
    cluster
        .run(async {
            cluster.pass(ms(500)).await;
            for instance in [&a, &b] {
                instance.rows.get_many(ids.iter().map(|id| ("g", id.as_str()))).await.unwrap();
                cluster.pass(ms(50)).await;
            }
            assert_eq!(cluster.origin.queries(), ids.len());
            cluster.tier.partition(1, Some(Partition::Refused));
            for id in &ids {
                a.invalidate(id).await.unwrap_err();
            }
            cluster.tier.partition(1, None);
            cluster.pass(ms(700)).await;
            assert_eq!((a.engine.untold(), cluster.tier.tail().position.number()), (0, 40));
        })
        .await;
}

#[tokio::test]
async fn a_record_that_the_tier_refuses_holds_up_nothing_else() {
    for batch_max in [256, 0] {
        let cluster = Cluster::new(41);
        let way = Way::new(&cluster, 1, ms(0), batch_max);
        let (a, b) = (way.instance(&cluster), cluster.instance(2));
        *way.refuses.lock().unwrap() = Some(b"k:g:poison");
        cluster
            .run(async {
                cluster.warm(&a, &b).await;
                cluster.tier.partition(1, Some(Partition::Refused));
                for id in ["1", "poison", "2"] {
                    a.invalidate(id).await.unwrap_err();
                }
                cluster.tier.partition(1, None);
                cluster.pass(ms(3_000)).await;
                assert_eq!((a.engine.untold(), cluster.tier.tail().position.number()), (1, 2), "{batch_max}");
                assert_eq!(a.read("x").await.1, Tier::Memory, "{batch_max}: it reads the log no more");
                cluster.origin.set("x", "new");
                b.invalidate("x").await.unwrap();
                cluster.pass(ms(1_001)).await;
                assert_eq!(a.get("x").await.as_deref(), Some("new"), "{batch_max}");
                // What comes after it is told at once, and what the tier refuses is told of.
                assert!(matches!(a.invalidate("poison").await, Err(Error::Unconfirmed { .. })));
                a.invalidate("3").await.unwrap();
                assert!(!a.acknowledged().await, "{batch_max}: it cannot be");
                cluster.pass(ms(2_000)).await;
                assert_eq!((a.engine.untold(), a.rows.counts().records_refused), (2, 2));
                let events = a.rows.events(b"k:g:poison");
                assert!(events.iter().any(|event| event.what == What::Untold), "{events:?}");

                *way.refuses.lock().unwrap() = None;
                cluster.pass(ms(1_500)).await;
                assert_eq!(a.engine.untold(), 0, "{batch_max}: it is not told again");
                assert!(a.acknowledged().await);
            })
            .await;
    }
}

#[tokio::test]
async fn records_that_the_tier_refuses_are_bounded() {
    let cluster = Cluster::new(42);
    let way = Way::new(&cluster, 1, ms(0), 256);
    let a = way.instance(&cluster);
    *way.refuses.lock().unwrap() = Some(b"k:g:poison");
    cluster
        .run(async {
            cluster.pass(ms(500)).await;
            for _ in 0..5_000 {
                a.invalidate("poison").await.unwrap_err();
                assert!(a.engine.untold() <= 4_096);
                if a.engine.untold().is_multiple_of(64) {
                    cluster.pass(ms(1)).await;
                }
            }
            cluster.pass(ms(3_000)).await;
            assert!(a.engine.untold() < 1_024, "they became one about all, which the tier takes");
        })
        .await;
}

#[tokio::test]
async fn a_load_that_another_instance_overtakes_is_stored_nowhere() {
    for (scope, verb) in tellings() {
        let cluster = Cluster::new(7);
        let (a, b) = (cluster.instance(1), cluster.instance(2));
        cluster.origin.row("x", tagged("old"));
        let at = format!("{scope:?} {verb:?}");
        cluster
            .run(async {
                cluster.pass(ms(10)).await;
                cluster.origin.takes(ms(300));
                let before = tokio::spawn({
                    let a = a.clone();
                    async move { a.get("x").await }
                });
                cluster.pass(ms(50)).await;
                cluster.origin.takes(ms(0));
                cluster.origin.set("x", "new");
                tell(&b, scope, verb).await.unwrap();
                assert_eq!(b.get("x").await.as_deref(), Some("new"), "{at}");
                assert_eq!(before.await.unwrap().as_deref(), Some("old"), "{at}: it asked before");
                assert!(a.rows.peek(b"k:g:x").is_none(), "{at}: stored in memory");
                cluster.pass(ms(50)).await;
                let c = cluster.instance(3);
                assert_eq!(c.get("x").await.as_deref(), Some("new"), "{at}: stored in the tier");
            })
            .await;
    }
}

#[tokio::test]
async fn a_load_that_an_unheard_invalidation_overtakes_serves_for_a_second_at_most() {
    for (scope, verb) in tellings() {
        let cluster = Cluster::new(8);
        let (a, b) = (cluster.instance(1), cluster.instance(2));
        cluster.origin.row("x", tagged("old"));
        let at = format!("{scope:?} {verb:?}");
        cluster
            .run(async {
                cluster.pass(ms(10)).await;
                cluster.origin.takes(ms(300));
                let before = tokio::spawn({
                    let a = a.clone();
                    async move { a.get("x").await }
                });
                cluster.pass(ms(50)).await;
                cluster.tier.partition(1, Some(Partition::Requests));
                cluster.origin.takes(ms(0));
                cluster.origin.set("x", "new");
                tell(&b, scope, verb).await.unwrap();
                cluster.pass(ms(1_001)).await;
                assert_eq!(a.get("x").await.as_deref(), Some("new"), "{at}: served for too long");
                assert_eq!(before.await.unwrap().as_deref(), Some("old"), "{at}");
            })
            .await;
    }
}

#[tokio::test]
async fn an_instance_out_of_touch_does_not_join_what_it_began_to_load_long_ago() {
    let cluster = Cluster::new(9);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster.origin.set("x", "old");
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.tier.partition(2, Some(Partition::Refused));
            cluster.origin.takes(ms(3_000));
            let slow = tokio::spawn({
                let b = b.clone();
                async move { b.get("x").await }
            });
            cluster.pass(ms(100)).await;
            cluster.origin.takes(ms(0));
            cluster.origin.set("x", "new");
            a.invalidate("x").await.unwrap();
            cluster.pass(ms(1_001)).await;
            assert_eq!(b.get("x").await.as_deref(), Some("new"), "it joined a load from before");
            slow.await.unwrap();
            assert_eq!(b.get("x").await.as_deref(), Some("new"), "the older load was stored");
        })
        .await;
}

#[tokio::test]
async fn memory_out_of_touch_is_suspect_and_reads_go_to_the_source() {
    for partition in [Partition::Refused, Partition::Requests, Partition::Answers] {
        let cluster = Cluster::new(10);
        let (a, b) = (cluster.instance(1), cluster.instance(2));
        cluster
            .run(async {
                cluster.warm(&a, &b).await;
                cluster.pass(SUSPECT_AFTER).await;
                assert_eq!(b.read("x").await.1, Tier::Memory);
                cluster.tier.partition(2, Some(partition));
                cluster.pass(ms(500)).await;
                assert_eq!(b.read("x").await.1, Tier::Memory, "it was in touch half a second ago");
                cluster.origin.set("x", "new");
                a.invalidate("x").await.unwrap();
                cluster.pass(ms(1_001)).await;
                assert_eq!(b.read("x").await, (Some("new".into()), Tier::Source), "{partition:?}");
                cluster.pass(ms(500)).await;
                assert_eq!(b.read("x").await.1, Tier::Memory, "loaded half a second ago");
                cluster.pass(ms(501)).await;
                assert_eq!(b.read("x").await.1, Tier::Source);

                assert_eq!(a.get("x").await.as_deref(), Some("new"));
                cluster.tier.partition(2, None);
                cluster.pass(ms(600)).await;
                let queries = cluster.origin.queries();
                let (value, tier) = b.read("x").await;
                assert_eq!(value.as_deref(), Some("new"));
                assert_ne!(tier, Tier::Source, "{partition:?}: it did not catch up");
                cluster.pass(ms(5_000)).await;
                assert_eq!(b.read("x").await.1, Tier::Memory);
                assert_eq!(cluster.origin.queries(), queries);
            })
            .await;
    }
}

#[tokio::test]
async fn a_lost_answer_of_the_tier_leaves_time_for_the_load() {
    let cluster = Cluster::new(30);
    // Shorter than the tier takes to be given up.
    let a = cluster.instance_with(1, |builder| builder.load_timeout(ms(100)));
    cluster.origin.set("x", "1");
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.tier.partition(1, Some(Partition::Requests));
            assert_eq!(a.read("x").await, (Some("1".into()), Tier::Source));
        })
        .await;
}

#[tokio::test]
async fn a_filter_out_of_touch_denies_nothing() {
    let cluster = Cluster::new(29);
    cluster.origin.set("y", "y");
    let filtered = |builder: NamespaceBuilder<Blob>| builder.membership(FilterOptions::default());
    let (a, b) = (cluster.instance(1), cluster.instance_with(2, filtered));
    cluster
        .run(async {
            // It is listed again once the log was heard.
            cluster.pass(ms(1_100)).await;
            assert_eq!(b.read("x").await, (None, Tier::Nowhere));
            cluster.tier.partition(2, Some(Partition::Requests));
            cluster.origin.set("x", "new");
            a.invalidate("x").await.unwrap();
            cluster.pass(ms(1_001)).await;
            assert_eq!(b.get("x").await.as_deref(), Some("new"), "another instance had added it");
        })
        .await;
}

#[tokio::test]
async fn a_suspect_is_not_served_when_the_source_fails_too() {
    let cluster = Cluster::new(26);
    let [a, b] =
        [1, 2].map(|number| cluster.instance_with(number, |builder| builder.stale_if_error(60 * TTL)));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.origin.set("y", "y");
            assert_eq!(b.get("y").await.as_deref(), Some("y"));
            // In touch, its window is what it was declared for.
            cluster.pass(TTL).await;
            cluster.origin.is_down(true);
            let stale = b.rows.get_with_outcome(("g", "x")).await.unwrap().1;
            assert_eq!(stale.freshness, Freshness::Stale(Why::SourceFailed));

            cluster.tier.partition(2, Some(Partition::Requests));
            cluster.pass(ms(500)).await;
            a.invalidate("x").await.unwrap();
            cluster.pass(ms(1_001)).await;
            for id in ["x", "y"] {
                let read = b.rows.get(("g", id)).await;
                assert!(read.is_err(), "{id} may have been invalidated, and was served");
            }
            // What is loaded is no suspect for a moment; what is heard of again is none.
            cluster.tier.partition(2, None);
            cluster.pass(ms(1_500)).await;
            assert_eq!(b.get("y").await.as_deref(), Some("y"), "nothing happened to it");
            assert!(b.rows.get(("g", "x")).await.is_err(), "it was invalidated");
        })
        .await;
}

#[tokio::test]
async fn a_suspect_that_is_not_served_is_not_used() {
    let cluster = Cluster::new(31);
    let a = cluster.instance_with(1, |builder| builder.sliding(ms(3_000), TTL));
    cluster.origin.set("x", "x");
    cluster
        .run(async {
            assert_eq!(a.get("x").await.as_deref(), Some("x"));
            cluster.tier.partition(1, Some(Partition::Requests));
            cluster.pass(ms(2_500)).await;
            cluster.origin.is_down(true);
            assert!(a.rows.get(("g", "x")).await.is_err(), "it is a suspect");
            cluster.tier.partition(1, None);
            cluster.pass(ms(1_500)).await;
            assert!(a.rows.get(("g", "x")).await.is_err(), "nobody was given it for four seconds");
        })
        .await;
}

#[tokio::test]
async fn what_is_kept_without_a_source_is_withheld_and_unchanged_out_of_touch() {
    let cluster = Cluster::new(45);
    let kept = [1, 2].map(|number| {
        let builder = cluster.engine(number).namespace::<Blob>("kept").key("s:{id}").ttl(TTL);
        builder.build().unwrap()
    });
    let [a, b] = &kept;
    let get = async |id: &str| b.get(id).await.unwrap().map(|blob| text(&blob));
    let append = |id: &str| {
        b.change(id, |held| {
            let before = held.as_ref().and_then(Value::as_blob).map(text).unwrap_or_default();
            *held = Some(Blob::opaque(format!("{before}+")).into());
        })
    };
    cluster
        .run(async {
            for id in ["1", "2"] {
                b.put(id, Blob::opaque("mine"), 4).unwrap();
            }
            cluster.pass(ms(2_000)).await;
            append("2").unwrap();
            assert_eq!(get("2").await.as_deref(), Some("mine+"), "it is in touch");
            cluster.tier.partition(2, Some(Partition::Requests));
            cluster.pass(ms(500)).await;
            a.invalidate("1").await.unwrap();
            cluster.pass(ms(1_001)).await;
            for id in ["1", "2"] {
                assert_eq!(get(id).await, None, "{id} may have been invalidated");
                assert!(matches!(append(id), Err(Error::Suspect { .. })), "{id} may have been invalidated");
            }
            assert_eq!(get("never").await, None);
            assert_eq!((b.counts().withheld, b.counts().writes_failed), (2, 2));
            assert!(b.events(b"s:2").iter().any(|event| event.what == What::Withheld));
            // A whole value needs nothing of what was there.
            b.put("3", Blob::opaque("new"), 3).unwrap();
            append("4").unwrap();
            assert_eq!((get("3").await.as_deref(), get("4").await.as_deref()), (Some("new"), Some("+")));
            append("3").unwrap();

            cluster.tier.partition(2, None);
            cluster.pass(ms(1_000)).await;
            assert_eq!(get("1").await, None, "it was invalidated");
            append("2").unwrap();
            assert_eq!(get("2").await.as_deref(), Some("mine++"), "to be out of touch took nothing from it");
            assert_eq!(get("3").await.as_deref(), Some("new+"));
            assert_eq!(b.counts().withheld, 2);
        })
        .await;
}

#[tokio::test]
async fn what_a_healed_instance_missed_it_heeds() {
    let cluster = Cluster::new(11);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.origin.set("y", "y");
            assert_eq!(b.get("y").await.as_deref(), Some("y"));
            cluster.tier.partition(2, Some(Partition::Requests));
            cluster.pass(ms(3_000)).await;
            cluster.origin.set("x", "new");
            a.invalidate("x").await.unwrap();
            cluster.tier.partition(2, None);
            cluster.pass(ms(600)).await;
            assert_eq!(b.read("y").await.1, Tier::Memory, "nothing happened to it");
            assert_eq!(b.get("x").await.as_deref(), Some("new"));
        })
        .await;
}

#[tokio::test]
async fn a_gap_or_a_new_epoch_makes_all_that_was_held_suspect() {
    for restart in [false, true] {
        let cluster = Cluster::new(12);
        let (a, b) = (cluster.instance(1), cluster.instance(2));
        cluster
            .run(async {
                cluster.warm(&a, &b).await;
                a.invalidate("earlier").await.unwrap();
                cluster.pass(ms(20)).await;
                cluster.tier.partition(2, Some(Partition::Refused));
                // A record that B never sees: the tier loses it.
                cluster.origin.set("x", "new");
                a.invalidate("x").await.unwrap();
                a.invalidate("other").await.unwrap();
                if restart {
                    cluster.tier.restart(2);
                } else {
                    cluster.tier.trim(0);
                }
                cluster.tier.partition(2, None);
                // It meets the new epoch in the tier before it does in the log.
                b.get("y").await;
                cluster.pass(ms(400)).await;
                let (value, tier) = b.read("x").await;
                assert_eq!((value.as_deref(), tier), (Some("new"), Tier::Source), "restart: {restart}");
                cluster.pass(ms(2_001)).await;
                assert!(a.acknowledged().await, "everybody has begun anew");
                assert_eq!(b.read("x").await.1, Tier::Memory);
                // The tier is of use again.
                let c = cluster.instance(3);
                cluster.origin.set("z", "z");
                assert_eq!(a.get("z").await.as_deref(), Some("z"));
                cluster.pass(ms(20)).await;
                assert_eq!(c.read("z").await.1, Tier::Shared);
                a.invalidate("z").await.unwrap();
                assert!(a.acknowledged().await);
            })
            .await;
    }
}

#[tokio::test]
async fn an_invalidation_that_the_tier_cannot_be_told_is_done_here_and_told_later() {
    for partition in [Partition::Refused, Partition::Requests, Partition::Answers] {
        for (scope, verb) in tellings() {
            let cluster = Cluster::new(13);
            let (a, b) = (cluster.instance(1), cluster.instance(2));
            cluster.origin.row("x", tagged("old"));
            let at = format!("{partition:?} {scope:?} {verb:?}");
            cluster
                .run(async {
                    cluster.warm(&a, &b).await;
                    cluster.origin.set("x", "new");
                    cluster.tier.partition(1, Some(partition));
                    let told = tell(&a, scope, verb).await;
                    assert!(matches!(told, Err(Error::Unconfirmed { .. })), "{at}");
                    assert_eq!(a.engine.untold(), 1);
                    assert!(!a.acknowledged().await, "{at}: nobody can have heard");
                    assert_eq!(a.get("x").await.as_deref(), Some("new"), "{at}: not done here");
                    cluster.tier.partition(1, None);
                    assert_eq!(a.get("x").await.as_deref(), Some("new"), "{at}: from the tier");
                    cluster.pass(ms(700)).await;
                    assert_eq!(a.engine.untold(), 0, "{at}");
                    assert!(a.acknowledged().await, "{at}");
                    assert_eq!(b.get("x").await.as_deref(), Some("new"), "{at}: not told later");
                    assert_eq!(a.get("x").await.as_deref(), Some("new"), "{at}");
                })
                .await;
        }
    }
}

#[tokio::test]
async fn who_reads_after_an_unconfirmed_invalidation_does_not_get_the_old_value_from_the_tier() {
    let cluster = Cluster::new(14);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.origin.set("x", "new");
            cluster.tier.partition(1, Some(Partition::Refused));
            a.invalidate("x").await.unwrap_err();
            cluster.tier.partition(1, None);
            // At once: the tier is in reach and was not told yet.
            assert_eq!(a.get("x").await.as_deref(), Some("new"));
        })
        .await;
}

#[tokio::test]
async fn what_becomes_untold_while_the_like_of_it_is_being_told_is_told_again() {
    let cluster = Cluster::new(15);
    let a = cluster.instance(1);
    cluster
        .run(async {
            cluster.pass(ms(300)).await;
            cluster.tier.partition(1, Some(Partition::Refused));
            a.invalidate("x").await.unwrap_err();
            cluster.tier.set_faults(Faults { delay_ms_max: 120, ..Faults::default() });
            cluster.tier.partition(1, None);
            while cluster.tier.tail().position.number() == 0 {
                cluster.pass(ms(1)).await;
            }
            assert_eq!(a.engine.untold(), 1, "the answer is under way");
            cluster.tier.partition(1, Some(Partition::Refused));
            a.invalidate("x").await.unwrap_err();
            cluster.tier.partition(1, None);
            cluster.pass(ms(2_000)).await;
            assert_eq!(a.engine.untold(), 0);
            assert_eq!(cluster.tier.tail().position.number(), 2, "the second one was never told");
        })
        .await;
}

#[tokio::test]
async fn more_untold_invalidations_than_are_kept_become_one_about_all() {
    let cluster = Cluster::new(16);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.origin.set("x", "new");
            cluster.tier.partition(1, Some(Partition::Refused));
            a.invalidate("x").await.unwrap_err();
            for other in 1..4_096 {
                a.invalidate(&other.to_string()).await.unwrap_err();
            }
            assert_eq!(a.engine.untold(), 4_096);
            a.invalidate("one more").await.unwrap_err();
            assert_eq!(a.engine.untold(), 1);
            cluster.tier.partition(1, None);
            cluster.pass(ms(700)).await;
            assert_eq!(a.engine.untold(), 0);
            assert_eq!(b.get("x").await.as_deref(), Some("new"));
        })
        .await;
}

#[tokio::test]
async fn very_many_untold_invalidations_are_told_each() {
    let cluster = Cluster::new(17);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.tier.partition(1, Some(Partition::Refused));
            for other in 0..1_000 {
                a.invalidate(&other.to_string()).await.unwrap_err();
            }
            cluster.tier.partition(1, None);
            cluster.pass(ms(700)).await;
            assert_eq!((a.engine.untold(), cluster.tier.tail().position.number()), (0, 1_000));
            assert_eq!(b.read("x").await.1, Tier::Memory, "it was none of them");
        })
        .await;
}

#[tokio::test]
async fn a_tier_out_of_reach_costs_speed_only() {
    for partition in [Partition::Refused, Partition::Requests, Partition::Answers] {
        let cluster = Cluster::new(18);
        cluster.tier.partition(1, Some(partition));
        let a = cluster.instance(1);
        for id in 0..50 {
            cluster.origin.set(&id.to_string(), "1");
        }
        cluster
            .run(async {
                // From the start: it was never in touch.
                assert_eq!(a.read("0").await, (Some("1".into()), Tier::Source));
                cluster.pass(ms(2_000)).await;
                for id in 1..50 {
                    let asked = cluster.clock.now();
                    assert_eq!(a.read(&id.to_string()).await.1, Tier::Source);
                    let waited = cluster.clock.now().since(asked);
                    assert!(waited <= ms(120), "{partition:?}: {waited:?}");
                }
            })
            .await;
    }
}

#[tokio::test]
async fn a_miss_does_not_wait_for_a_tier_that_has_fallen_silent() {
    let cluster = Cluster::new(19);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.tier.partition(1, Some(Partition::Requests));
            cluster.pass(ms(2_000)).await;
            let asked = cluster.clock.now();
            a.get("y").await;
            let waited = cluster.clock.now().since(asked);
            assert!(waited <= ms(5), "{waited:?}");
        })
        .await;
}

#[tokio::test]
async fn absences_go_through_the_tier_and_end_with_an_invalidation() {
    let cluster = Cluster::new(20);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            assert_eq!(a.read("x").await, (None, Tier::Source));
            cluster.pass(ms(20)).await;
            assert_eq!(b.read("x").await, (None, Tier::Shared));
            assert_eq!(cluster.origin.queries(), 1);
            // Nobody knew the tags of a row that was not there.
            cluster.origin.row("x", tagged("new"));
            a.engine.invalidate_tag("of-row").await.unwrap();
            assert_eq!(a.get("x").await.as_deref(), Some("new"));
            cluster.pass(ms(1_001)).await;
            assert_eq!(b.get("x").await.as_deref(), Some("new"));
        })
        .await;
}

#[tokio::test]
async fn an_older_version_does_not_replace_a_newer_one_in_the_tier() {
    let cluster = Cluster::new(21);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    let row = |text: &str, version| Row { text: text.into(), version: Some(version), tags: Vec::new() };
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.origin.row("x", row("second", 2));
            assert_eq!(a.get("x").await.as_deref(), Some("second"));
            cluster.pass(ms(20)).await;
            // B asks a replica that lags behind.
            cluster.origin.row("x", row("first", 1));
            b.rows.get_fresh(("g", "x")).await.unwrap();
            cluster.pass(ms(20)).await;
            let c = cluster.instance(3);
            assert_eq!(c.read("x").await, (Some("second".into()), Tier::Shared));
        })
        .await;
}

#[tokio::test]
async fn a_fresh_read_passes_the_tiers_copy_and_replaces_it() {
    let cluster = Cluster::new(22);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.origin.set("x", "new");
            let fresh = a.rows.get_fresh(("g", "x")).await.unwrap();
            assert_eq!(text(&fresh.unwrap()), "new");
            assert_eq!(a.get("x").await.as_deref(), Some("new"));
            cluster.pass(ms(20)).await;
            let c = cluster.instance(3);
            assert_eq!(c.read("x").await, (Some("new".into()), Tier::Shared));
        })
        .await;
}

#[tokio::test]
async fn a_fresh_read_that_waits_its_turn_takes_no_copy_of_the_tier() {
    let cluster = Cluster::new(23);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster.origin.set("x", "old");
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            assert_eq!(a.get("x").await.as_deref(), Some("old"));
            cluster.pass(ms(20)).await;
            cluster.tier.set_faults(Faults { delay_ms_max: 40, ..Faults::default() });
            cluster.origin.set("x", "new");
            let read = |fresh: bool| {
                let b = b.clone();
                tokio::spawn(async move {
                    if fresh { b.rows.get_fresh(("g", "x")).await } else { b.rows.get(("g", "x")).await }
                })
            };
            let _first = read(false);
            cluster.pass(ms(1)).await;
            // Both wait for the first flight; the reader drops its copy and leads the next before the other can.
            let fresh: Vec<_> = (0..20).map(|_| read(true)).collect();
            for round in 0..100 {
                if round % 3 == 0 {
                    let _ = b.rows.drop_copy(b"k:g:x");
                    let _reader = read(false);
                }
                cluster.pass(ms(1)).await;
            }
            for reader in fresh {
                let value = reader.await.unwrap().unwrap();
                assert_eq!(text(&value.unwrap()), "new", "a copy was taken for the truth");
            }
        })
        .await;
}

#[tokio::test]
async fn an_entry_is_fresh_nowhere_longer_than_its_ttl_from_the_begin_of_its_load() {
    let cluster = Cluster::new(24);
    let set_up = |builder: NamespaceBuilder<Blob>| builder.ttl(ms(3_000));
    let (a, b) = (cluster.instance_with(1, set_up), cluster.instance_with(2, set_up));
    cluster.origin.set("x", "old");
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.origin.takes(ms(500));
            let began = cluster.clock.now();
            assert_eq!(a.get("x").await.as_deref(), Some("old"));
            cluster.origin.takes(ms(0));
            cluster.origin.set("x", "new");
            cluster.pass(ms(2_000)).await;
            let (_, outcome) = b.rows.get_with_outcome(("g", "x")).await.unwrap();
            let age = cluster.clock.now().since(began);
            assert_eq!((outcome.tier, outcome.freshness), (Tier::Shared, Freshness::Fresh));
            assert!(outcome.age >= age - ms(2) && outcome.age <= age + ms(2), "{outcome:?} of {age:?}");
            assert!(outcome.fresh_for + outcome.age <= ms(3_002), "{outcome:?}");
            cluster.pass(ms(3_001).saturating_sub(age)).await;
            assert_eq!(b.read("x").await, (Some("new".into()), Tier::Source));
        })
        .await;
}

#[tokio::test]
async fn a_copy_leaves_memory_when_it_may_stay_no_longer() {
    let cluster = Cluster::new(32);
    let a = cluster.instance_with(1, |builder| builder.memory_max_age(ms(500)));
    cluster.origin.set("x", "1");
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            assert_eq!(a.read("x").await.1, Tier::Source);
            assert_eq!(a.get("y").await, None);
            cluster.pass(ms(499)).await;
            assert_eq!(a.read("x").await.1, Tier::Memory);
            cluster.pass(ms(1)).await;
            let queries = cluster.origin.queries();
            for id in ["x", "y"] {
                assert_eq!(a.read(id).await.1, Tier::Shared, "{id}");
                assert_eq!(a.read(id).await.1, Tier::Memory, "{id}");
            }
            assert_eq!(cluster.origin.queries(), queries);
            cluster.pass(ms(500)).await;
            assert_eq!(a.read("x").await.1, Tier::Shared, "it stays as long again");
        })
        .await;
}

#[tokio::test]
async fn jitter_is_drawn_once_for_all_instances() {
    let cluster = Cluster::new(25);
    let set_up = |builder: NamespaceBuilder<Blob>| builder.ttl(ms(3_000)).jitter(ms(1_000));
    let (a, b) = (cluster.instance_with(1, set_up), cluster.instance_with(2, set_up));
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            for id in 0..20 {
                let id = id.to_string();
                cluster.origin.set(&id, "1");
                let (_, of_a) = a.rows.get_with_outcome(("g", id.as_str())).await.unwrap();
                cluster.pass(ms(20)).await;
                let (_, of_b) = b.rows.get_with_outcome(("g", id.as_str())).await.unwrap();
                assert!(of_b.fresh_for + ms(19) <= of_a.fresh_for, "{of_a:?} {of_b:?}");
            }
        })
        .await;
}

#[derive(Debug, PartialEq)]
struct Price(u64);

/// Writes a price as its decimal digits.
struct Digits;

impl Codec<Price> for Digits {
    fn encode(&self, value: &Price) -> Option<Bytes> {
        (value.0 != 13).then(|| Bytes::from(value.0.to_string()))
    }

    fn decode(&self, bytes: &[u8]) -> Option<(Price, u64)> {
        let number = std::str::from_utf8(bytes).ok()?.parse().ok()?;
        Some((Price(number), 8))
    }
}

#[derive(Clone)]
struct Prices(Arc<AtomicUsize>);

impl Source for Prices {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        self.0.fetch_add(keys.len(), Ordering::SeqCst);
        let price = |key: &LoadKey| match key.params[0] {
            Param::Integer(id) => Some(Loaded::new(forebay::Value::native(Price(id.unsigned_abs()), 8))),
            Param::Text(_) => None,
        };
        let answers = keys.iter().map(price).collect();
        Box::pin(async { Ok::<_, SourceError>(answers) })
    }
}

#[tokio::test]
async fn rust_values_go_through_the_tier_by_their_codec() {
    let cluster = Cluster::new(26);
    let source = Prices(Arc::default());
    let prices = |number: u64, shape: u32| {
        let builder = cluster.engine(number).namespace::<Price>("prices").key("p:{id:integer}");
        builder.ttl(TTL).codec(Digits).shape(shape).source(source.clone()).build().unwrap()
    };
    let (a, b, newer) = (prices(1, 0), prices(2, 0), prices(3, 1));
    let queries = || source.0.load(Ordering::SeqCst);
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            assert_eq!(a.get(7).await.unwrap().as_deref(), Some(&Price(7)));
            cluster.pass(ms(20)).await;
            let (value, outcome) = b.get_with_outcome(7).await.unwrap();
            assert_eq!((value.as_deref(), outcome.tier), (Some(&Price(7)), Tier::Shared));
            let (_, outcome) = newer.get_with_outcome(7).await.unwrap();
            assert_eq!((outcome.tier, queries()), (Tier::Source, 2), "another shape was read");
            // What the codec cannot write stays in memory, and its lease is given back at once.
            assert_eq!(a.get(13).await.unwrap().as_deref(), Some(&Price(13)));
            cluster.pass(ms(20)).await;
            let asked = cluster.clock.now();
            assert_eq!(b.get_with_outcome(13).await.unwrap().1.tier, Tier::Source);
            assert!(cluster.clock.now().since(asked) <= ms(20), "the lease was kept");
        })
        .await;
    let error = cluster.engine(4).namespace::<Price>("raw").key("r:{id}").ttl(TTL).build().unwrap_err();
    assert!(error.to_string().contains("codec"), "{error}");
}

#[tokio::test]
async fn a_failed_load_gives_its_lease_back() {
    struct Failing;
    impl Source for Failing {
        fn load<'a>(&'a self, _: &'a str, _: &'a [LoadKey]) -> Loading<'a> {
            Box::pin(async { Err(SourceError::passing(Error::NoRuntime)) })
        }
    }
    let cluster = Cluster::new(27);
    let (a, b) = (cluster.instance_with(1, |builder| builder.source(Failing)), cluster.instance(2));
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.origin.set("x", "1");
            a.rows.get(("g", "x")).await.unwrap_err();
            cluster.pass(ms(10)).await;
            assert_eq!(cluster.tier.counts(), (0, 0), "a lease was left");
            assert_eq!(b.get("x").await.as_deref(), Some("1"));
            cluster.pass(ms(10)).await;
            assert_eq!(cluster.tier.counts(), (1, 0));
        })
        .await;
}

#[tokio::test]
async fn an_engine_that_is_dropped_follows_no_more() {
    let cluster = Cluster::new(28);
    let a = cluster.instance(1);
    cluster
        .run(async {
            cluster.pass(ms(500)).await;
            assert!(cluster.tier.fired().exchanges >= 2, "it does not follow");
            cluster.instances.lock().unwrap().clear();
            drop(a);
            cluster.pass(ms(300)).await;
            let exchanges = cluster.tier.fired().exchanges;
            cluster.pass(ms(2_000)).await;
            assert_eq!(cluster.tier.fired().exchanges, exchanges);
        })
        .await;
}

#[tokio::test]
async fn a_namespace_that_is_built_again_hears_the_log_beside_a_load_of_the_first() {
    for (scope, verb) in tellings() {
        let cluster = Cluster::new(40);
        let (first, b) = (cluster.instance(1), cluster.instance(2));
        cluster.origin.row("x", tagged("old"));
        let at = format!("{scope:?} {verb:?}");
        cluster
            .run(async {
                cluster.pass(ms(10)).await;
                cluster.origin.takes(ms(4_000));
                let reader = tokio::spawn({
                    let rows = first.rows.clone();
                    async move { rows.get(("g", "slow")).await.map(drop) }
                });
                cluster.pass(ms(50)).await;
                // The load goes on without any handle.
                reader.abort();
                let _ = reader.await;
                let engine = first.engine.clone();
                drop(first);
                cluster.origin.takes(ms(0));
                let a = cluster.instance_of(engine, |builder| builder);
                cluster.warm(&b, &a).await;
                cluster.origin.set("x", "new");
                tell(&b, scope, verb).await.unwrap();
                cluster.pass(ms(1_001)).await;
                assert_eq!(a.get("x").await.as_deref(), Some("new"), "{at}: the first heard it in its place");
            })
            .await;
    }
}
