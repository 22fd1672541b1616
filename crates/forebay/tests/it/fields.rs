//! Fields of hashes: loaded alone, fenced alone, holes filled alone; and members of sorted sets that are views of their source.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use forebay::observe::What;
use forebay::rt::{Clock, Tick};
use forebay::source::{FieldKey, FieldSource, Loading, LoadingFields};
use forebay::value::{Field, Hash, MemberChange, Param, Score, SortedSet, Value, Version};
use forebay::{
    Error, Forebay, Freshness, LoadKey, Loaded, Namespace, NamespaceBuilder, Source, SourceError, Tier, Why,
    Writes,
};
use tokio::sync::Semaphore;

const TTL: Duration = Duration::from_secs(3);

type Rows = BTreeMap<String, String>;

/// A table of hashes, and what was asked of it.
#[derive(Default)]
struct Table {
    rows: Mutex<HashMap<String, Rows>>,
    /// When fields end that say so, of whatever hash.
    ends: Mutex<HashMap<String, Tick>>,
    wholes: Mutex<usize>,
    /// The fields of each query, in the order in which they came.
    fields: Mutex<Vec<Vec<String>>>,
    failing: Mutex<bool>,
    /// Loads read their rows and then wait for a permit, where there is a gate.
    gate: Mutex<Option<Arc<Semaphore>>>,
    arrived: Arrived,
}

/// Counts the loads that wait.
struct Arrived(Semaphore);

impl Default for Arrived {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the table says no")]
struct SaysNo;

impl Table {
    async fn held(&self) -> Result<(), SourceError> {
        let gate = self.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            self.arrived.0.add_permits(1);
            gate.acquire().await.unwrap().forget();
        }
        if *self.failing.lock().unwrap() { Err(SourceError::passing(SaysNo)) } else { Ok(()) }
    }
}

fn name(key: &LoadKey) -> String {
    match key.params.as_slice() {
        [Param::Text(text)] => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn field(ends: &HashMap<String, Tick>, name: &str, text: &str) -> Field {
    Field { value: Bytes::from(text.to_owned()), fresh_until: ends.get(name).copied() }
}

#[derive(Clone, Default)]
pub struct Orders(Arc<Table>);

impl Orders {
    pub fn set(&self, key: &str, rows: &[(&str, &str)]) {
        let mut table = self.0.rows.lock().unwrap();
        let hash = table.entry(key.into()).or_default();
        hash.extend(rows.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
    }

    pub fn take(&self, key: &str, field: &str) {
        self.0.rows.lock().unwrap().entry(key.into()).or_default().remove(field);
    }

    /// From now on fields of this name end so, or with their hash.
    pub fn ends(&self, field: &str, end: Option<Tick>) {
        let mut ends = self.0.ends.lock().unwrap();
        ends.remove(field);
        ends.extend(end.map(|end| (field.to_owned(), end)));
    }

    /// From now on loads wait until [`let_all_go`](Self::let_all_go).
    pub fn hold(&self) {
        *self.0.gate.lock().unwrap() = Some(Arc::new(Semaphore::new(0)));
    }

    /// Waits until one more load waits.
    pub async fn arrived(&self) {
        for _ in 0..1_000_000 {
            if let Ok(arrived) = self.0.arrived.0.try_acquire() {
                return arrived.forget();
            }
            tokio::task::yield_now().await;
        }
        panic!("no load came");
    }

    pub fn let_all_go(&self) {
        if let Some(gate) = self.0.gate.lock().unwrap().take() {
            gate.add_permits(1 << 20);
        }
    }

    pub fn fail(&self, failing: bool) {
        *self.0.failing.lock().unwrap() = failing;
    }

    /// How many whole hashes were asked for.
    pub fn wholes(&self) -> usize {
        *self.0.wholes.lock().unwrap()
    }

    /// The fields of each query, in the order in which they came.
    pub fn fields(&self) -> Vec<Vec<String>> {
        self.0.fields.lock().unwrap().clone()
    }
}

impl Source for Orders {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move {
            *self.0.wholes.lock().unwrap() += keys.len();
            let (rows, ends) = (self.0.rows.lock().unwrap().clone(), self.0.ends.lock().unwrap().clone());
            self.0.held().await?;
            let whole = |rows: &Rows| {
                Hash::whole_until(rows.iter().map(|(name, text)| (name, field(&ends, name, text))))
            };
            Ok(keys.iter().map(|key| rows.get(&name(key)).map(|rows| Loaded::new(whole(rows)))).collect())
        })
    }

    fn gives_tags(&self) -> bool {
        false
    }

    fn fields(&self) -> Option<&dyn FieldSource> {
        Some(self)
    }
}

impl FieldSource for Orders {
    fn load_fields<'a>(&'a self, _: &'a str, fields: &'a [FieldKey]) -> LoadingFields<'a> {
        Box::pin(async move {
            let text = |field: &Bytes| String::from_utf8(field.to_vec()).unwrap();
            self.0.fields.lock().unwrap().push(fields.iter().map(|one| text(&one.field)).collect());
            let (rows, ends) = (self.0.rows.lock().unwrap().clone(), self.0.ends.lock().unwrap().clone());
            self.0.held().await?;
            let row = |one: &FieldKey| {
                let name_of_field = text(&one.field);
                let text = rows.get(&name(&one.key))?.get(&name_of_field)?;
                Some(field(&ends, &name_of_field, text))
            };
            Ok(fields.iter().map(row).collect())
        })
    }
}

/// An engine on a clock of the test's, one namespace of hashes `p:{period}` of TTL 3 s, and its table.
struct Stage {
    clock: Clock,
    engine: Forebay,
    orders: Orders,
    namespace: Namespace<Hash>,
}

fn stage() -> Stage {
    stage_with(|builder| builder)
}

fn stage_with(set_up: impl FnOnce(NamespaceBuilder<Hash>) -> NamespaceBuilder<Hash>) -> Stage {
    let clock = Clock::simulated();
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    let orders = Orders::default();
    let builder = engine.namespace("orders").key("p:{period}").ttl(TTL).source(orders.clone());
    let namespace = set_up(builder).build().unwrap();
    let stage = Stage { clock, engine, orders, namespace };
    stage.set("1", &[("a", "A"), ("b", "B"), ("c", "C")]);
    stage
}

type Reader<T> = tokio::task::JoinHandle<T>;

impl Stage {
    fn set(&self, key: &str, rows: &[(&str, &str)]) {
        self.orders.set(key, rows);
    }

    fn wholes(&self) -> usize {
        self.orders.wholes()
    }

    fn fields(&self) -> Vec<Vec<String>> {
        self.orders.fields()
    }

    fn hold(&self) {
        self.orders.hold();
    }

    async fn arrived(&self) {
        self.orders.arrived().await;
    }

    fn let_all_go(&self) {
        self.orders.let_all_go();
    }

    async fn field(&self, field: &str) -> Option<String> {
        text(self.namespace.get_field("1", field).await.unwrap())
    }

    async fn whole(&self) -> Option<Vec<(String, String)>> {
        self.namespace.get("1").await.unwrap().map(|hash| rows(&hash))
    }

    fn whole_reader(&self) -> Reader<Option<Vec<(String, String)>>> {
        let namespace = self.namespace.clone();
        tokio::spawn(async move { namespace.get("1").await.unwrap().map(|hash| rows(&hash)) })
    }

    fn field_reader(&self, field: &'static str) -> Reader<Option<String>> {
        let namespace = self.namespace.clone();
        tokio::spawn(async move { text(namespace.get_field("1", field).await.unwrap()) })
    }

    async fn check(&self) {
        self.engine.idle().await;
        assert_eq!(self.namespace.flights(), 0, "a flight was left on the board");
        self.engine.validate().unwrap();
    }
}

fn text(value: Option<Bytes>) -> Option<String> {
    value.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

pub fn rows(hash: &Hash) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    hash.iter().map(|(name, value)| (text(name), text(value))).collect()
}

pub fn owned(rows: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    Some(rows.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

#[tokio::test]
async fn a_field_is_loaded_alone_and_then_read_from_memory() {
    let stage = stage();
    assert_eq!(stage.field("a").await.as_deref(), Some("A"));
    assert_eq!(stage.field("a").await.as_deref(), Some("A"));
    assert_eq!(stage.field("none").await, None);
    assert_eq!(stage.field("none").await, None);
    assert_eq!((stage.wholes(), stage.fields()), (0, vec![vec!["a".to_owned()], vec!["none".to_owned()]]));
    let read = stage.namespace.read_field_now(b"p:1", b"none").unwrap().unwrap();
    assert_eq!((read.outcome.tier, read.outcome.freshness), (Tier::Memory, Freshness::Absent));
    assert!(stage.namespace.read_field_now(b"p:1", b"b").unwrap().is_none(), "nothing is known of it");
    stage.check().await;
}

#[tokio::test]
async fn fields_that_miss_together_are_one_query() {
    let stage = stage();
    stage.field("b").await;
    let fields = stage.namespace.get_fields("1", ["a", "b", "c", "a", "none"]).await.unwrap();
    let fields: Vec<_> = fields.into_iter().map(text).collect();
    let expected = [Some("A"), Some("B"), Some("C"), Some("A"), None].map(|text| text.map(str::to_owned));
    assert_eq!(fields, expected);
    let asked = ["a", "c", "none"].map(str::to_owned).to_vec();
    assert_eq!((stage.wholes(), stage.fields()), (0, vec![vec!["b".to_owned()], asked]));
    stage.check().await;
}

#[tokio::test]
async fn a_whole_hash_answers_for_its_fields_and_for_those_that_it_lacks() {
    let stage = stage();
    assert_eq!(stage.whole().await, owned(&[("a", "A"), ("b", "B"), ("c", "C")]));
    assert_eq!(stage.field("b").await.as_deref(), Some("B"));
    assert_eq!(stage.field("none").await, None);
    assert_eq!((stage.wholes(), stage.fields().len()), (1, 0));
    assert_eq!(stage.namespace.get("2").await.unwrap().as_deref().map(rows), None);
    assert_eq!(text(stage.namespace.get_field("2", "a").await.unwrap()), None, "an absence has no fields");
    assert_eq!((stage.wholes(), stage.fields().len()), (2, 0));
    stage.check().await;
}

#[tokio::test]
async fn a_read_of_the_whole_loads_only_the_holes() {
    let stage = stage();
    stage.whole().await;
    stage.set("1", &[("a", "A2"), ("b", "B2"), ("d", "D")]);
    assert!(stage.namespace.invalidate_field("1", "a").await.unwrap());
    assert!(stage.namespace.invalidate_field("1", "d").await.unwrap());
    assert_eq!(stage.whole().await, owned(&[("a", "A2"), ("b", "B"), ("c", "C"), ("d", "D")]));
    let mut asked = stage.fields();
    asked[0].sort();
    assert_eq!((stage.wholes(), asked), (1, vec![vec!["a".to_owned(), "d".to_owned()]]));
    assert_eq!(stage.whole().await, owned(&[("a", "A2"), ("b", "B"), ("c", "C"), ("d", "D")]), "from memory");
    assert_eq!((stage.wholes(), stage.fields().len()), (1, 1));
    // Many at once: the holes of one beside a whole load of another.
    stage.set("2", &[("x", "X")]);
    stage.namespace.invalidate_field("1", "c").await.unwrap();
    let both = stage.namespace.get_many(["1", "2"]).await.unwrap();
    assert_eq!(both[1].as_deref().map(rows), owned(&[("x", "X")]));
    assert_eq!((stage.wholes(), stage.fields().len()), (2, 2));
    stage.check().await;
}

#[tokio::test]
async fn a_partial_hash_is_loaded_whole_when_it_is_read_whole() {
    let stage = stage();
    stage.field("a").await;
    assert_eq!(stage.whole().await, owned(&[("a", "A"), ("b", "B"), ("c", "C")]));
    assert_eq!((stage.wholes(), stage.fields().len()), (1, 1));
    stage.check().await;
}

#[tokio::test]
async fn a_whole_load_that_a_field_invalidation_overtakes_stores_that_field_as_a_hole() {
    let stage = stage();
    stage.hold();
    let before = stage.whole_reader();
    stage.arrived().await;
    stage.set("1", &[("a", "A2"), ("b", "B2")]);
    stage.namespace.invalidate_field("1", "a").await.unwrap();
    // It joins the flight, and may not take what that brings.
    let after = stage.whole_reader();
    let field = stage.field_reader("a");
    stage.arrived().await;
    stage.let_all_go();
    assert_eq!(before.await.unwrap(), owned(&[("a", "A"), ("b", "B"), ("c", "C")]), "who asked before");
    assert_eq!(field.await.unwrap().as_deref(), Some("A2"));
    assert_eq!(after.await.unwrap(), owned(&[("a", "A2"), ("b", "B"), ("c", "C")]));
    assert_eq!(stage.wholes(), 1, "only the hole was loaded again");
    stage.check().await;
}

#[tokio::test]
async fn a_field_load_that_an_invalidation_overtakes_is_not_stored() {
    for whole_key in [false, true] {
        let stage = stage();
        stage.hold();
        let before = stage.field_reader("a");
        stage.arrived().await;
        stage.set("1", &[("a", "A2")]);
        if whole_key {
            stage.namespace.invalidate("1").await.unwrap();
        } else {
            stage.namespace.invalidate_field("1", "a").await.unwrap();
        }
        let after = stage.field_reader("a");
        stage.arrived().await;
        stage.let_all_go();
        assert_eq!(before.await.unwrap().as_deref(), Some("A"));
        assert_eq!(after.await.unwrap().as_deref(), Some("A2"), "it joined the older flight");
        assert_eq!(stage.field("a").await.as_deref(), Some("A2"));
        assert_eq!(stage.fields().len(), 2);
        stage.check().await;
    }
}

#[tokio::test]
async fn an_invalidated_field_ends_a_remembered_absence_and_an_absence_in_flight() {
    let stage = stage();
    assert!(stage.namespace.get("2").await.unwrap().is_none());
    stage.set("2", &[("a", "A")]);
    stage.namespace.invalidate_field("2", "a").await.unwrap();
    assert_eq!(text(stage.namespace.get_field("2", "a").await.unwrap()).as_deref(), Some("A"));

    stage.hold();
    let namespace = stage.namespace.clone();
    let before = tokio::spawn(async move { namespace.get("3").await.unwrap().is_none() });
    stage.arrived().await;
    stage.set("3", &[("a", "A")]);
    stage.namespace.invalidate_field("3", "a").await.unwrap();
    stage.let_all_go();
    assert!(before.await.unwrap());
    assert_eq!(stage.namespace.get("3").await.unwrap().as_deref().map(rows), owned(&[("a", "A")]));
    stage.check().await;
}

#[tokio::test]
async fn a_thousand_readers_of_one_field_are_one_load() {
    let stage = stage();
    stage.hold();
    let readers: Vec<_> = (0..1_000).map(|_| stage.field_reader("a")).collect();
    stage.arrived().await;
    stage.let_all_go();
    for reader in readers {
        assert_eq!(reader.await.unwrap().as_deref(), Some("A"));
    }
    assert_eq!(stage.fields(), vec![vec!["a".to_owned()]]);
    stage.check().await;
}

#[tokio::test]
async fn the_fields_of_a_hash_end_with_its_oldest_part() {
    let stage = stage();
    stage.field("a").await;
    stage.clock.advance(Duration::from_secs(2));
    stage.field("b").await;
    let read = stage.namespace.read_field_now(b"p:1", b"b").unwrap().unwrap();
    assert_eq!(read.outcome.fresh_for, Duration::from_secs(1), "no part outlives the TTL of another");
    stage.clock.advance(Duration::from_secs(1));
    assert!(stage.namespace.read_field_now(b"p:1", b"b").unwrap().is_none());
    stage.set("1", &[("b", "B2")]);
    assert_eq!(stage.field("b").await.as_deref(), Some("B2"));
    assert!(
        stage.namespace.read_field_now(b"p:1", b"a").unwrap().is_none(),
        "what has ended is not taken along"
    );
    stage.check().await;
}

#[tokio::test]
async fn a_whole_hash_past_its_ttl_is_loaded_whole_again() {
    let stage = stage_with(|builder| builder.stale_while_revalidate(TTL).stale_if_error(TTL * 3));
    stage.whole().await;
    stage.clock.advance(TTL);
    let read = stage.namespace.read_fields(b"p:1", &[b"a"]).await.unwrap().remove(0);
    assert_eq!(read.outcome.freshness, Freshness::Stale(Why::Revalidating));
    stage.clock.advance(Duration::from_millis(2));
    stage.engine.idle().await;
    assert_eq!((stage.wholes(), stage.fields().len()), (2, 0), "refreshed as it was loaded");

    stage.clock.advance(TTL * 2 + Duration::from_millis(1));
    *stage.orders.0.failing.lock().unwrap() = true;
    let read = stage.namespace.read_fields(b"p:1", &[b"a"]).await.unwrap().remove(0);
    assert_eq!(read.outcome.freshness, Freshness::Stale(Why::SourceFailed));
    assert_eq!((stage.wholes(), stage.fields().len()), (3, 0));
    stage.check().await;
}

#[tokio::test]
async fn a_hole_is_never_served_in_place_of_a_source_that_fails() {
    let stage = stage_with(|builder| builder.stale_if_error(TTL * 3));
    stage.whole().await;
    stage.namespace.invalidate_field("1", "a").await.unwrap();
    *stage.orders.0.failing.lock().unwrap() = true;
    assert!(matches!(stage.namespace.get_field("1", "a").await, Err(Error::Source { .. })));
    assert!(matches!(stage.namespace.get("1").await, Err(Error::Source { .. })));
    assert_eq!(stage.field("b").await.as_deref(), Some("B"), "the rest of it is still known");
    stage.check().await;
}

#[tokio::test]
async fn a_field_that_a_client_wrote_is_kept_and_fences_older_loads() {
    let stage = stage_with(|builder| builder.writes(Writes::Cache));
    // Into nothing, a partial hash, beside a load of the whole.
    stage.namespace.put_field("1", "a", "mine").unwrap();
    assert_eq!(stage.field("a").await.as_deref(), Some("mine"));
    assert_eq!(stage.whole().await, owned(&[("a", "mine"), ("b", "B"), ("c", "C")]));
    assert_eq!(stage.wholes(), 1);

    let other = stage_with(|builder| builder.writes(Writes::Cache));
    other.hold();
    let before = other.whole_reader();
    other.arrived().await;
    other.namespace.put_field("1", "b", "mine").unwrap();
    other.let_all_go();
    assert_eq!(before.await.unwrap(), owned(&[("a", "A"), ("b", "mine"), ("c", "C")]));
    assert_eq!(other.whole().await, owned(&[("a", "A"), ("b", "mine"), ("c", "C")]));

    other.namespace.invalidate_field("1", "b").await.unwrap();
    assert_eq!(other.field("b").await.as_deref(), Some("B"), "an invalidation ends it");
    other.check().await;

    let refused = stage_with(|builder| builder).namespace.put_field("1", "a", "mine");
    assert!(matches!(refused, Err(Error::WritesRefused { .. })));
}

#[tokio::test]
async fn a_verb_for_fields_says_what_else_the_key_holds() {
    let engine = Forebay::new().unwrap();
    let mixed = engine.namespace::<Hash>("mixed").key("m:{id}").ttl(TTL).build().unwrap();
    mixed.change("1", |held| *held = Some(Value::Counter(7))).unwrap();
    for refused in [
        mixed.get_field("1", "a").await.map(drop),
        mixed.get_fields("1", ["a", "b"]).await.map(drop),
        mixed.put_field("1", "a", "v"),
    ] {
        assert!(matches!(refused, Err(Error::WrongKind { wanted: "hash", found: "counter", .. })));
    }
    engine.validate().unwrap();
}

#[tokio::test]
async fn where_nothing_is_behind_a_hash_it_is_what_was_put_into_it() {
    let clock = Clock::simulated();
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    let carts = engine.namespace::<Hash>("carts").key("cart:{id}").ttl(TTL).build().unwrap();
    assert_eq!(carts.get_field("1", "a").await.unwrap(), None);
    carts.put_field("1", "a", "A").unwrap();
    carts.put_field("1", "b", "B").unwrap();
    assert_eq!(carts.get("1").await.unwrap().as_deref().map(rows), owned(&[("a", "A"), ("b", "B")]));
    assert!(carts.invalidate_field("1", "a").await.unwrap());
    assert_eq!(carts.get("1").await.unwrap().as_deref().map(rows), owned(&[("b", "B")]));
    assert_eq!(carts.get_field("1", "a").await.unwrap(), None);

    let pop = |held: &mut Option<Value>| held.take();
    assert!(carts.change("1", pop).unwrap().is_some());
    assert!(carts.change("1", pop).unwrap().is_none());
    assert!(carts.get("1").await.unwrap().is_none());

    carts.put_field("1", "a", "A").unwrap();
    clock.advance(Duration::from_secs(2));
    carts.put_field("1", "b", "B").unwrap();
    clock.advance(Duration::from_secs(1));
    assert!(carts.get("1").await.unwrap().is_none(), "a change does not prolong what it changes");
    engine.validate().unwrap();
}

#[tokio::test]
async fn a_change_relative_to_a_copy_is_refused() {
    let stage = stage();
    let refused = stage.namespace.change("1", |held| held.is_some());
    assert!(matches!(refused, Err(Error::RelativeRefused { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_many_at_once_are_none_lost() {
    let engine = Forebay::new().unwrap();
    let visits = engine.namespace::<i64>("visits").key("visits:{page}").ttl(TTL * 20).build().unwrap();
    let more = |held: &mut Option<Value>| {
        *held = Some(Value::Counter(held.as_ref().and_then(Value::as_counter).unwrap_or(0) + 1));
    };
    let writers = (0..4).map(|_| {
        let visits = visits.clone();
        tokio::task::spawn_blocking(move || (0..10_000).for_each(|_| visits.change("home", more).unwrap()))
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(visits.get("home").await.unwrap().as_deref(), Some(&40_000));
    engine.validate().unwrap();
}

/// Scores whose answers carry the version that the table was at when it was read; without `versioned` they carry none.
#[derive(Clone)]
struct Scores {
    table: Arc<Mutex<(i64, BTreeMap<String, f64>)>>,
    loads: Arc<Mutex<usize>>,
    gate: Arc<Mutex<Option<Arc<Semaphore>>>>,
    arrived: Arc<Semaphore>,
    versioned: bool,
}

impl Scores {
    fn new(versioned: bool) -> Self {
        Self {
            table: Arc::default(),
            loads: Arc::default(),
            gate: Arc::default(),
            arrived: Arc::new(Semaphore::new(0)),
            versioned,
        }
    }

    /// Changes the table; the event of it.
    fn change(&self, member: &str, score: Option<f64>) -> (Version, [MemberChange; 1]) {
        let mut table = self.table.lock().unwrap();
        table.0 += 1;
        match score {
            Some(score) => drop(table.1.insert(member.into(), score)),
            None => drop(table.1.remove(member)),
        }
        let score = score.map(|score| Score::new(score).unwrap());
        (Version(table.0), [MemberChange { member: Bytes::from(member.to_owned()), score }])
    }
}

impl Source for Scores {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move {
            *self.loads.lock().unwrap() += 1;
            let (version, members) = self.table.lock().unwrap().clone();
            let gate = self.gate.lock().unwrap().clone();
            if let Some(gate) = gate {
                self.arrived.add_permits(1);
                gate.acquire().await.unwrap().forget();
            }
            let mut set = SortedSet::new();
            for (member, score) in members {
                set.upsert(member.as_bytes(), Score::new(score).unwrap());
            }
            let version = self.versioned.then_some(Version(version));
            Ok(keys.iter().map(|_| Some(Loaded { version, ..Loaded::new(set.clone()) })).collect())
        })
    }
}

fn board(scores: &Scores) -> (Forebay, Namespace<SortedSet>) {
    let engine = Forebay::new().unwrap();
    let board = engine.namespace("board").key("board:{game}").ttl(TTL * 20).source(scores.clone());
    (engine.clone(), board.build().unwrap())
}

async fn members(board: &Namespace<SortedSet>) -> Vec<(String, f64)> {
    let set = board.get("go").await.unwrap().unwrap();
    set.iter().map(|(member, score)| (String::from_utf8(member.to_vec()).unwrap(), score.get())).collect()
}

#[tokio::test]
async fn a_view_follows_the_events_of_its_source_without_a_load() {
    let scores = Scores::new(true);
    let early = scores.change("ada", Some(1.0));
    let (engine, view) = board(&scores);
    assert_eq!(members(&view).await, [("ada".to_owned(), 1.0)]);
    // An event that the snapshot knows already, told late, and again.
    view.upsert_members("go", early.0, &[MemberChange { score: None, ..early.1[0].clone() }]).await.unwrap();
    assert_eq!(members(&view).await, [("ada".to_owned(), 1.0)], "the snapshot is newer");
    for (member, score) in [("bob", Some(3.0)), ("eve", Some(2.0)), ("bob", Some(1.5)), ("ada", None)] {
        let (version, changes) = scores.change(member, score);
        view.upsert_members("go", version, &changes).await.unwrap();
        view.upsert_members("go", version, &changes).await.unwrap();
    }
    assert_eq!(members(&view).await, [("bob".to_owned(), 1.5), ("eve".to_owned(), 2.0)]);
    assert_eq!(*scores.loads.lock().unwrap(), 1);
    engine.validate().unwrap();
}

#[tokio::test]
async fn an_event_that_overtakes_the_snapshot_is_in_the_view() {
    for versioned in [true, false] {
        let scores = Scores::new(versioned);
        scores.change("ada", Some(1.0));
        let (engine, view) = board(&scores);
        let gate = Arc::new(Semaphore::new(0));
        *scores.gate.lock().unwrap() = Some(Arc::clone(&gate));
        let reader = tokio::spawn({
            let view = view.clone();
            async move { members(&view).await }
        });
        scores.arrived.acquire().await.unwrap().forget();
        let (version, changes) = scores.change("bob", Some(2.0));
        view.upsert_members("go", version, &changes).await.unwrap();
        *scores.gate.lock().unwrap() = None;
        gate.add_permits(1);
        assert_eq!(reader.await.unwrap(), [("ada".to_owned(), 1.0)], "who asked before");
        assert_eq!(members(&view).await, [("ada".to_owned(), 1.0), ("bob".to_owned(), 2.0)]);
        // What has no version cannot be told old from new: it is not stored, and an event makes it gone.
        assert_eq!(*scores.loads.lock().unwrap(), if versioned { 1 } else { 2 });
        let (version, changes) = scores.change("bob", Some(0.0));
        view.upsert_members("go", version, &changes).await.unwrap();
        assert_eq!(members(&view).await, [("bob".to_owned(), 0.0), ("ada".to_owned(), 1.0)]);
        assert_eq!(*scores.loads.lock().unwrap(), if versioned { 1 } else { 3 });
        engine.idle().await;
        engine.validate().unwrap();
    }
}

#[tokio::test]
async fn a_view_past_its_ttl_is_replaced_by_a_load_that_an_event_overtakes() {
    let scores = Scores::new(true);
    scores.change("ada", Some(1.0));
    let clock = Clock::simulated();
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    let builder = engine.namespace("board").key("board:{game}").ttl(TTL).stale_if_error(TTL * 100);
    let view = builder.source(scores.clone()).build().unwrap();
    members(&view).await;
    clock.advance(TTL);
    let gate = Arc::new(Semaphore::new(0));
    *scores.gate.lock().unwrap() = Some(Arc::clone(&gate));
    let reader = tokio::spawn({
        let view = view.clone();
        async move { view.get_with_outcome("go").await.unwrap().1 }
    });
    scores.arrived.acquire().await.unwrap().forget();
    let (version, changes) = scores.change("bob", Some(2.0));
    view.upsert_members("go", version, &changes).await.unwrap();
    *scores.gate.lock().unwrap() = None;
    gate.add_permits(1);
    assert_eq!(reader.await.unwrap().freshness, Freshness::Fresh, "the source is healthy");
    assert_eq!(members(&view).await, [("ada".to_owned(), 1.0), ("bob".to_owned(), 2.0)]);
    assert_eq!(*scores.loads.lock().unwrap(), 2, "with the event it was as new as what was held, and stored");
    engine.validate().unwrap();
}

#[tokio::test]
async fn what_a_client_wrote_outlives_the_absence_of_the_rest() {
    let stage = stage_with(|builder| builder.writes(Writes::Cache));
    stage.namespace.put_field("none", "a", "mine").unwrap();
    let whole = stage.namespace.get("none").await.unwrap();
    assert_eq!(whole.as_deref().map(rows), owned(&[("a", "mine")]), "the source knows of no such hash");
    assert_eq!(text(stage.namespace.get_field("none", "a").await.unwrap()).as_deref(), Some("mine"));
    stage.check().await;
}

#[tokio::test]
async fn a_field_that_was_written_during_its_failing_load_is_read() {
    let stage = stage_with(|builder| builder.writes(Writes::Cache));
    stage.hold();
    let reader = stage.field_reader("a");
    stage.arrived().await;
    stage.namespace.put_field("1", "a", "mine").unwrap();
    *stage.orders.0.failing.lock().unwrap() = true;
    stage.let_all_go();
    assert_eq!(reader.await.unwrap().as_deref(), Some("mine"));
    stage.check().await;
}

#[tokio::test]
async fn loads_of_wholes_and_of_fields_do_not_wait_for_each_other() {
    let stage = stage();
    stage.whole().await;
    stage.set("2", &[("x", "X")]);
    stage.namespace.invalidate_field("1", "a").await.unwrap();
    stage.hold();
    let namespace = stage.namespace.clone();
    let both = tokio::spawn(async move { namespace.get_many(["1", "2"]).await.unwrap() });
    // Both are at the source at once, each in a slot of its own.
    stage.arrived().await;
    stage.arrived().await;
    stage.let_all_go();
    let both: Vec<_> = both.await.unwrap().iter().map(|hash| rows(hash.as_ref().unwrap())).collect();
    assert_eq!(both.into_iter().nth(1), owned(&[("x", "X")]));
    stage.check().await;
}

#[tokio::test]
async fn a_field_that_is_read_from_memory_makes_its_key_popular() {
    let stage = stage_with(|builder| builder.count_hottest(1));
    stage.set("2", &[("x", "X")]);
    for _ in 0..3 {
        stage.namespace.get("2").await.unwrap();
    }
    // One hit in a few is counted.
    for _ in 0..10_000 {
        stage.field("a").await;
    }
    assert_eq!(stage.namespace.hottest(1), [b"p:1".to_vec()]);
    stage.check().await;
}

#[tokio::test]
async fn a_field_that_is_put_into_what_is_no_hash_is_not_counted_as_kept() {
    let engine = Forebay::new().unwrap();
    let mixed = engine.namespace::<Hash>("mixed").key("m:{id}").ttl(TTL).build().unwrap();
    mixed.change("1", |held| *held = Some(Value::Counter(7))).unwrap();
    mixed.put_field("1", "a", "v").unwrap_err();
    let counts = mixed.counts();
    assert_eq!((counts.writes_kept, counts.writes_refused), (1, 1));
    let written = mixed.events(b"m:1").iter().filter(|event| event.what == What::Written).count();
    assert_eq!(written, 1, "nothing was written by it");
    let left = mixed.change("1", |held| held.as_ref().and_then(Value::as_counter)).unwrap();
    assert_eq!(left, Some(7), "what was held stays");
    engine.validate().unwrap();
}

const WINDOW: Duration = Duration::from_secs(9);

impl Stage {
    fn fail(&self, fails: bool) {
        *self.orders.0.failing.lock().unwrap() = fails;
    }

    /// A field, and how the read of it ended.
    async fn outcome(&self, field: &str) -> Result<(Option<String>, Freshness), Error> {
        let read = self.namespace.read_fields(b"p:1", &[field.as_bytes()]).await?.remove(0);
        Ok((text(read.value), read.outcome.freshness))
    }

    /// Every read ended in one way, and was counted so.
    fn counted(&self, reads: u64) {
        let counts = self.namespace.counts();
        let counted = counts.hits + counts.shared_hits + counts.misses + counts.stale + counts.errors;
        assert_eq!(counted, reads, "{counts:?}");
    }
}

#[tokio::test]
async fn an_old_hash_with_a_hole_serves_what_it_knows_where_the_source_fails() {
    let stage = stage_with(|builder| builder.stale_if_error(WINDOW));
    stage.whole().await;
    stage.namespace.invalidate_field("1", "a").await.unwrap();
    stage.clock.advance(TTL);
    stage.fail(true);
    let stale = Freshness::Stale(Why::SourceFailed);
    assert_eq!(stage.outcome("b").await.unwrap(), (Some("B".into()), stale));
    assert_eq!(stage.wholes(), 2, "it was not tried");
    assert_eq!(stage.outcome("none").await.unwrap(), (None, stale));
    assert_eq!(stage.wholes(), 2, "a source that has just failed is left alone");
    stage.counted(3);
    assert!(matches!(stage.outcome("a").await, Err(Error::Source { .. })), "a hole");
    stage.counted(4);
    let both = stage.namespace.read_fields(b"p:1", &[b"c", b"b"]).await.unwrap();
    assert!(both.iter().all(|read| read.outcome.freshness == stale));
    stage.counted(6);
    assert!(matches!(stage.namespace.get("1").await, Err(Error::Source { .. })), "the whole has a hole");
    stage.counted(7);
    stage.clock.advance(WINDOW);
    assert!(matches!(stage.outcome("b").await, Err(Error::Source { .. })), "the window is over");
    stage.counted(8);
    stage.check().await;
}

#[tokio::test]
async fn one_failed_load_answers_for_all_the_fields_of_a_read() {
    let stage = stage_with(|builder| builder.stale_if_error(WINDOW));
    stage.whole().await;
    stage.namespace.invalidate_field("1", "a").await.unwrap();
    stage.clock.advance(TTL);
    stage.fail(true);
    let reads = stage.namespace.read_fields(b"p:1", &[b"b", b"c", b"none"]).await.unwrap();
    assert_eq!(
        reads.iter().map(|read| text(read.value.clone())).collect::<Vec<_>>(),
        [Some("B".into()), Some("C".into()), None]
    );
    assert_eq!(stage.wholes(), 2);
    stage.counted(4);
    stage.check().await;
}

#[tokio::test]
async fn a_slow_load_leaves_a_field_of_an_old_hash_with_a_hole() {
    let stage = stage_with(|builder| builder.stale_if_error(WINDOW));
    stage.whole().await;
    stage.namespace.invalidate_field("1", "a").await.unwrap();
    stage.clock.advance(TTL);
    stage.set("1", &[("b", "B2")]);
    stage.hold();
    let namespace = stage.namespace.clone();
    let reader = tokio::spawn(async move { namespace.read_fields(b"p:1", &[b"b"]).await.unwrap().remove(0) });
    stage.arrived().await;
    stage.clock.advance(Duration::from_millis(100));
    let read = reader.await.unwrap();
    assert_eq!(read.outcome.freshness, Freshness::Stale(Why::SlowSource));
    assert_eq!(text(read.value).as_deref(), Some("B"));
    stage.counted(2);
    stage.let_all_go();
    stage.engine.idle().await;
    assert_eq!(stage.outcome("b").await.unwrap(), (Some("B2".into()), Freshness::Fresh), "it went on");
    assert_eq!(stage.wholes(), 2);
    stage.check().await;
}

/// A hash that has ended in the window, with a field that a client put into it since.
async fn put_after_its_end() -> Stage {
    let stage =
        stage_with(|builder| builder.writes(Writes::Cache).stale_if_error(WINDOW).tags(&["period:{period}"]));
    stage.whole().await;
    stage.set("1", &[("b", "B2")]);
    stage.clock.advance(TTL);
    stage.namespace.put_field("1", "a", "mine").unwrap();
    assert_eq!(stage.outcome("a").await.unwrap(), (Some("mine".into()), Freshness::Fresh));
    assert_eq!((stage.wholes(), stage.fields().len()), (1, 0));
    stage
}

#[tokio::test]
async fn a_field_that_is_put_into_an_old_hash_does_not_make_the_rest_fresh() {
    let stage = put_after_its_end().await;
    assert_eq!(stage.outcome("b").await.unwrap(), (Some("B2".into()), Freshness::Fresh), "loaded");
    assert_eq!(stage.fields().len(), 1);
    assert_eq!(stage.whole().await, owned(&[("a", "mine"), ("b", "B2"), ("c", "C")]));
    assert_eq!(stage.wholes(), 2);
    stage.check().await;
}

#[tokio::test]
async fn a_field_that_is_put_into_an_old_hash_leaves_the_rest_for_a_source_that_fails() {
    let stale = Freshness::Stale(Why::SourceFailed);
    let stage = put_after_its_end().await;
    stage.fail(true);
    assert_eq!(stage.outcome("b").await.unwrap(), (Some("B".into()), stale));
    assert_eq!(stage.fields().len(), 1, "it was not tried");
    assert_eq!(stage.outcome("c").await.unwrap(), (Some("C".into()), stale));
    assert_eq!(stage.fields().len(), 1, "a source that has just failed is left alone");
    let (whole, outcome) = stage.namespace.get_with_outcome("1").await.unwrap();
    assert_eq!(whole.as_deref().map(rows), owned(&[("a", "mine"), ("b", "B"), ("c", "C")]));
    assert_eq!((outcome.freshness, outcome.age), (stale, TTL));
    assert_eq!(stage.outcome("a").await.unwrap(), (Some("mine".into()), Freshness::Fresh));
    stage.clock.advance(TTL);
    // The put field has ended too; the old hash is remembered on.
    stage.namespace.put_field("1", "c", "too").unwrap();
    assert_eq!(stage.outcome("b").await.unwrap(), (Some("B".into()), stale));
    stage.clock.advance(WINDOW - TTL);
    assert!(matches!(stage.outcome("b").await, Err(Error::Source { .. })), "the window is over");
    stage.check().await;
}

#[tokio::test]
async fn what_an_old_hash_is_remembered_for_ends_with_an_invalidation() {
    for reach in ["field", "key", "tag", "removed"] {
        let stage = put_after_its_end().await;
        stage.fail(true);
        match reach {
            "field" => drop(stage.namespace.invalidate_field("1", "b").await.unwrap()),
            "key" => drop(stage.namespace.invalidate("1").await.unwrap()),
            "tag" => stage.engine.invalidate_tag("period:1").await.unwrap(),
            _ => assert!(stage.namespace.drop_copy(b"p:1")),
        }
        assert!(matches!(stage.outcome("b").await, Err(Error::Source { .. })), "by {reach}");
        let whole = stage.namespace.get("1").await;
        assert!(matches!(whole, Err(Error::Source { .. })), "by {reach}");
        stage.check().await;
    }
}
