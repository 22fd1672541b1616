//! Writes that go through: the sink first, then what is held, fenced, in the order of each key, whatever becomes of the writer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::Clock;
use forebay::tier::shared::SharedTier;
use forebay::value::{Hash, Param, Version};
use forebay::writes::{Applied, Applying, Change, OperationId, Outcomes, SinkWrite, Unfit};
use forebay::{
    Blob, Decided, Error, Fault, Forebay, LoadKey, Namespace, NamespaceBuilder, Sink, SinkError, Value,
    Writes, write_many, write_one,
};
use forebay_simulated::SimulatedTier;
use tokio::sync::Semaphore;

use crate::scripted::{Row, Script, TTL, Untagged, text};

const LATE: Duration = Duration::from_secs(5);

/// What the sink does with one call.
#[derive(Clone, Copy, Debug)]
enum Act {
    Apply,
    /// It stores something else than it was given.
    Otherwise,
    Refuse,
    Fail,
    /// Applied, and the answer is lost.
    Lose,
    Panic,
    Hang,
    TwoOutcomes,
}

/// A sink that writes the rows of a [`Script`], and does what a test tells it.
#[derive(Clone)]
struct Desk(Arc<DeskState>);

struct DeskState {
    script: Script,
    acts: Mutex<VecDeque<Act>>,
    /// Ids and keys of the calls, in the order in which they came.
    calls: Mutex<Vec<(OperationId, String, String)>>,
    /// Calls that have applied their write and wait to answer; `None` lets each answer at once.
    held: Mutex<Option<Arc<Semaphore>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the desk says no")]
struct No;

impl Desk {
    fn next(&self, act: Act) {
        self.0.acts.lock().unwrap().push_back(act);
    }

    fn hold(&self) {
        *self.0.held.lock().unwrap() = Some(Arc::new(Semaphore::new(0)));
    }

    fn let_go(&self) {
        self.0.held.lock().unwrap().as_ref().unwrap().add_permits(1);
    }

    /// The changes that it was asked for, in order.
    fn asked(&self) -> Vec<String> {
        self.0.calls.lock().unwrap().iter().map(|(_, key, change)| format!("{key} {change}")).collect()
    }

    fn apply_row(&self, write: &SinkWrite) {
        let Some(Param::Text(key)) = write.key.params.last() else { panic!("text keys only") };
        let told = match &write.change {
            Change::Put(value) => {
                let value = text(value.as_blob().unwrap());
                self.0.script.set_row(key, Row::new(&value));
                value
            }
            Change::Delete => {
                self.0.script.remove(key);
                "-".into()
            }
            Change::Fields(fields) => format!("{fields:?}"),
            _ => panic!("no such change"),
        };
        self.0.calls.lock().unwrap().push((write.id, key.clone(), told));
    }
}

impl Sink for Desk {
    fn check(&self, namespace: &str, _: &LoadKey, change: &Change) -> Result<(), Unfit> {
        assert_eq!(namespace, "things");
        match change {
            Change::Put(value) if value.as_blob().is_some_and(|blob| text(blob) == "unfit") => {
                Err(Unfit::new(No))
            }
            Change::Put(value) if value.as_blob().is_some_and(|blob| text(blob) == "panic") => {
                panic!("the desk panics")
            }
            _ => Ok(()),
        }
    }

    fn apply<'a>(&'a self, namespace: &'a str, writes: &'a [SinkWrite]) -> Applying<'a> {
        assert_eq!(namespace, "things");
        let act = self.0.acts.lock().unwrap().pop_front().unwrap_or(Act::Apply);
        let held = self.0.held.lock().unwrap().clone();
        Box::pin(async move {
            let [write] = writes else { panic!("one write goes alone") };
            let outcome = match act {
                Act::Apply => Ok(Applied::as_written()),
                Act::Otherwise => Ok(Applied::otherwise()),
                Act::Refuse => Err(SinkError::refused(No)),
                Act::Fail => Err(SinkError::failed(No)),
                Act::Lose => Err(SinkError::unknown(No)),
                Act::Hang => return std::future::pending().await,
                Act::Panic => panic!("the desk panics"),
                Act::TwoOutcomes => return vec![Ok(Applied::as_written()), Ok(Applied::as_written())],
            };
            if !matches!(act, Act::Refuse | Act::Fail) {
                self.apply_row(write);
            }
            if let Some(held) = held {
                held.acquire().await.unwrap().forget();
            }
            vec![outcome]
        })
    }
}

struct Through {
    clock: Clock,
    engine: Forebay,
    script: Script,
    desk: Desk,
    things: Namespace<Blob>,
}

type Set = NamespaceBuilder<Blob>;

fn through() -> Through {
    through_with(|builder, script| builder.source(Untagged(script)))
}

fn through_with(set_up: impl FnOnce(Set, Script) -> Set) -> Through {
    let clock = Clock::simulated();
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    through_on(clock, engine, set_up)
}

fn desk(script: &Script) -> Desk {
    let (acts, calls, held) = (Mutex::default(), Mutex::default(), Mutex::default());
    Desk(Arc::new(DeskState { script: script.clone(), acts, calls, held }))
}

fn through_on(clock: Clock, engine: Forebay, set_up: impl FnOnce(Set, Script) -> Set) -> Through {
    let script = Script::default();
    let desk = desk(&script);
    let builder =
        engine.namespace("things").key("k:{id}").ttl(TTL).writes(Writes::Through).sink(desk.clone());
    let things = set_up(builder, script.clone()).build().unwrap();
    Through { clock, engine, script, desk, things }
}

type Writer = tokio::task::JoinHandle<Result<(), Error>>;

impl Through {
    async fn set(&self, id: &str, value: &str) -> Result<(), Error> {
        self.things.set(id, Blob::opaque(value), 0).await
    }

    fn writer(&self, id: &'static str, value: &'static str) -> Writer {
        let things = self.things.clone();
        tokio::spawn(async move { things.set(id, Blob::opaque(value), 0).await })
    }

    async fn get(&self, id: &str) -> Option<String> {
        self.things.get(id).await.unwrap().map(|blob| text(&blob))
    }

    fn holds(&self, id: &str) -> bool {
        self.things.peek(format!("k:{id}").as_bytes()).is_some()
    }

    async fn settle(&self) {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    async fn check(&self) {
        self.engine.idle().await;
        self.engine.validate().unwrap();
    }
}

#[tokio::test]
async fn a_read_after_an_acknowledged_write_sees_it_without_a_load() {
    let stage = through();
    stage.script.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.set("a", "new").await.unwrap();
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
    assert_eq!(stage.script.loads(), 1, "what was written was not held");
    stage.things.delete("a").await.unwrap();
    assert_eq!(stage.get("a").await, None);
    assert_eq!(stage.desk.asked(), ["a new", "a -"]);
    assert_eq!(stage.things.counts().writes_applied, 2);
    let ids: Vec<_> = stage.desk.0.calls.lock().unwrap().iter().map(|call| call.0).collect();
    assert_ne!(ids[0], ids[1], "two writes have one operation id");
    stage.check().await;
}

#[tokio::test]
async fn what_a_sink_stores_otherwise_or_a_source_tags_is_loaded() {
    let stage = through();
    stage.desk.next(Act::Otherwise);
    stage.set("a", "new").await.unwrap();
    assert!(!stage.holds("a"), "held as written, though the sink said otherwise");
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));

    let tagged = through_with(|builder, script| builder.source(script));
    tagged.set("a", "new").await.unwrap();
    assert!(!tagged.holds("a"), "held without the tags that its source gives");
    assert_eq!(tagged.get("a").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn what_a_value_says_of_itself_holds_for_written_ones() {
    let decide = |blob: &Blob| Decided {
        tags: vec![format!("of:{}", text(blob))],
        ttl: text(blob).starts_with("brief").then(|| Duration::from_secs(1)),
        ..Decided::default()
    };
    let stage = through_with(|builder, script| builder.source(Untagged(script)).decide(decide));
    stage.set("a", "x").await.unwrap();
    stage.set("b", "brief").await.unwrap();
    assert!(stage.holds("a") && stage.holds("b"));
    stage.engine.invalidate_tag("of:x").await.unwrap();
    assert!(!stage.holds("a"), "its tag did not reach it");
    assert_eq!(stage.things.peek(b"k:b").unwrap().fresh_for, Duration::from_secs(1));
}

#[tokio::test]
async fn what_a_sink_never_takes_is_told_before_it_is_asked() {
    let stage = through();
    stage.script.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    let unfit = stage.set("a", "unfit").await.unwrap_err();
    assert!(matches!(unfit, Error::Unfit { .. }) && !unfit.may_retry(), "{unfit:?}");
    assert_eq!(unfit.fault(), Fault::Caller);
    assert!(unfit.to_string().ends_with("its sink does not take this write: the desk says no"), "{unfit}");
    let panicked = stage.set("a", "panic").await.unwrap_err();
    assert!(matches!(panicked, Error::SinkRefused { .. }), "{panicked:?}");
    assert!(stage.desk.asked().is_empty(), "the sink was asked all the same");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    assert_eq!((stage.script.loads(), stage.things.counts().writes_refused), (1, 2));
    stage.set("a", "new").await.unwrap();
    stage.check().await;
}

#[tokio::test]
async fn a_refusal_or_a_failure_leaves_the_copy_alone() {
    let stage = through();
    stage.script.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.desk.next(Act::Refuse);
    let refused = stage.set("a", "new").await.unwrap_err();
    assert!(matches!(refused, Error::SinkRefused { .. }) && !refused.may_retry(), "{refused}");
    stage.desk.next(Act::Fail);
    let failed = stage.set("a", "new").await.unwrap_err();
    assert!(matches!(failed, Error::SinkFailed { .. }) && failed.may_retry(), "{failed}");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    assert_eq!(stage.script.loads(), 1, "the copy went");
    let counts = stage.things.counts();
    assert_eq!((counts.writes_refused, counts.writes_failed), (1, 1));
    stage.check().await;
}

#[tokio::test]
async fn an_unknown_outcome_invalidates_however_it_comes() {
    // Shorter than the TTL: the copy is still fresh when the sink is late.
    let late = TTL / 2;
    for act in [Act::Lose, Act::Panic, Act::Hang, Act::TwoOutcomes] {
        let stage = through_with(|builder, script| builder.source(Untagged(script)).load_timeout(late));
        stage.script.set("a", "old");
        assert_eq!(stage.get("a").await.as_deref(), Some("old"));
        stage.desk.next(act);
        let writer = stage.writer("a", "new");
        stage.settle().await;
        assert_eq!(writer.is_finished(), !matches!(act, Act::Hang), "{act:?}");
        stage.clock.advance(late);
        let error = writer.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::WriteUnconfirmed { cause: Some(_), .. }), "{act:?}: {error}");
        assert!(!stage.holds("a"), "{act:?}: the copy is still held");
        assert_eq!(stage.things.counts().writes_unconfirmed, 1, "{act:?}");
        // The next write of the key is not kept from going.
        stage.set("a", "newer").await.unwrap();
        assert_eq!(stage.get("a").await.as_deref(), Some("newer"));
        stage.check().await;
    }
}

#[tokio::test]
async fn a_load_in_flight_across_a_write_stores_nothing_old() {
    for act in [Act::Apply, Act::Otherwise, Act::Lose] {
        let stage = through();
        stage.script.set("a", "old");
        stage.script.hold();
        let things = stage.things.clone();
        let before = tokio::spawn(async move { things.get("a").await.unwrap().map(|blob| text(&blob)) });
        stage.script.arrived().await;
        stage.desk.next(act);
        let _ = stage.set("a", "new").await;
        stage.script.stop_holding();
        assert_eq!(before.await.unwrap().as_deref(), Some("old"));
        assert_eq!(stage.get("a").await.as_deref(), Some("new"), "{act:?}");
        stage.check().await;
    }
}

#[tokio::test]
async fn a_load_that_began_while_the_sink_was_asked_stores_nothing_old() {
    let stage = through();
    stage.desk.hold();
    let writer = stage.writer("a", "new");
    stage.settle().await;
    // As if the row were not seen by others before the sink has answered.
    stage.script.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.script.set("a", "new");
    stage.desk.let_go();
    writer.await.unwrap().unwrap();
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
    stage.check().await;
}

#[tokio::test]
async fn what_an_invalidation_crosses_is_not_held_as_written() {
    for scope in ["key", "expire", "drop", "tag", "namespace"] {
        let stage = through_with(|builder, script| builder.source(Untagged(script)).tags(&["all"]));
        stage.desk.hold();
        let writer = stage.writer("a", "new");
        stage.settle().await;
        match scope {
            "key" => drop(stage.things.invalidate("a").await.unwrap()),
            "expire" => drop(stage.things.expire("a").await.unwrap()),
            "drop" => assert!(!stage.things.drop_copy(b"k:a")),
            "tag" => stage.engine.invalidate_tag("all").await.unwrap(),
            _ => stage.things.invalidate_all().await.unwrap(),
        }
        stage.script.set("a", "newer");
        stage.desk.let_go();
        writer.await.unwrap().unwrap();
        assert_eq!(stage.get("a").await.as_deref(), Some("newer"), "{scope}");
        stage.check().await;
    }
}

#[tokio::test]
async fn writes_of_one_key_go_one_after_the_other_and_others_beside_them() {
    let stage = through();
    stage.desk.hold();
    let writers =
        [stage.writer("a", "1"), stage.writer("a", "2"), stage.writer("a", "3"), stage.writer("b", "1")];
    stage.settle().await;
    assert_eq!(stage.desk.asked(), ["a 1", "b 1"]);
    for _ in 0..4 {
        stage.desk.let_go();
        stage.settle().await;
    }
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(stage.desk.asked(), ["a 1", "b 1", "a 2", "a 3"]);
    assert_eq!(stage.get("a").await.as_deref(), Some("3"));
    stage.check().await;
}

#[tokio::test]
async fn a_writer_who_goes_away_leaves_the_write_to_be_finished() {
    let stage = through();
    stage.script.set("a", "old");
    assert_eq!(stage.get("a").await.as_deref(), Some("old"));
    stage.desk.hold();
    let (first, second) = (stage.writer("a", "1"), stage.writer("a", "2"));
    stage.settle().await;
    first.abort();
    second.abort();
    assert!(first.await.is_err() && second.await.is_err());
    stage.desk.let_go();
    stage.desk.let_go();
    stage.engine.idle().await;
    assert_eq!(stage.desk.asked(), ["a 1", "a 2"]);
    assert_eq!(stage.get("a").await.as_deref(), Some("2"), "nobody told the copy");
    stage.check().await;
}

#[tokio::test]
async fn who_waits_too_long_or_comes_too_many_is_turned_away_and_nothing_is_done() {
    let stage = through_with(|builder, script| builder.source(Untagged(script)).concurrency(1).queue(1));
    stage.desk.next(Act::Hang);
    let (first, second) = (stage.writer("a", "1"), stage.writer("b", "2"));
    stage.settle().await;
    assert!(matches!(stage.set("c", "3").await, Err(Error::Overloaded { .. })));
    stage.clock.advance(LATE);
    assert!(matches!(first.await.unwrap(), Err(Error::WriteUnconfirmed { .. })));
    assert!(matches!(second.await.unwrap(), Err(Error::Overloaded { .. }) | Ok(())));
    assert_eq!(stage.things.counts().writes_failed + stage.things.counts().writes_applied, 2);
    stage.set("c", "3").await.unwrap();
    stage.check().await;
}

#[tokio::test]
async fn without_a_source_what_is_written_is_what_is_read() {
    let stage = through_with(|builder, _| builder);
    stage.set("a", "1").await.unwrap();
    assert_eq!(stage.get("a").await.as_deref(), Some("1"));
    stage.things.set_key(b"k:a", Value::from(Blob::opaque("2")), Some(Duration::from_secs(1))).await.unwrap();
    assert_eq!(stage.things.peek(b"k:a").unwrap().fresh_for, Duration::from_secs(1));
    stage.things.delete_key(b"k:a").await.unwrap();
    assert_eq!(stage.get("a").await, None);
    assert!(matches!(stage.things.delete_key(b"other").await, Err(Error::Key { .. })));
    assert_eq!(stage.desk.asked(), ["a 1", "a 2", "a -"]);
    let relative = stage.things.change("a", |_| ());
    assert!(matches!(relative, Err(Error::RelativeRefused { .. })), "a copy was changed past the sink");
}

#[tokio::test]
async fn what_does_not_wait_is_refused_and_other_namespaces_follow_their_own_word() {
    let stage = through();
    let put = stage.things.put("a", Blob::opaque("1"), 0).unwrap_err();
    assert!(matches!(put, Error::SinkFirst { .. }) && put.to_string().contains("`set`"), "{put}");
    assert!(stage.things.write_field(b"k:a", b"f", Bytes::new()).is_err());
    assert!(stage.desk.asked().is_empty());

    let plain = crate::scripted::stage();
    let refused = plain.namespace.set("a", Blob::opaque("1"), 0).await;
    assert!(matches!(refused, Err(Error::WritesRefused { .. })));
    assert!(matches!(plain.namespace.delete("a").await, Err(Error::WritesRefused { .. })));
    let cache = crate::scripted::stage_with(|builder| builder.writes(Writes::Cache));
    cache.script.set("a", "row");
    cache.namespace.set("a", Blob::opaque("1"), 0).await.unwrap();
    assert_eq!(cache.get("a").await.as_deref(), Some("1"));
    cache.namespace.delete("a").await.unwrap();
    assert_eq!(cache.get("a").await.as_deref(), Some("row"));
}

#[tokio::test]
async fn a_sink_and_its_word_belong_together() {
    let refused = |set_up: fn(Set) -> Set, engine: &Forebay| {
        set_up(engine.namespace("things").key("k:{id}").ttl(TTL)).build().unwrap_err().to_string()
    };
    let alone = Forebay::new().unwrap();
    let tier: Arc<dyn SharedTier> = Arc::new(SimulatedTier::new(Clock::simulated(), 1).link(1));
    let shared = Forebay::builder().shared_tier(tier).build().unwrap();
    for (message, wanted) in [
        (refused(|n| n.writes(Writes::Through), &alone), "give a `sink`"),
        (
            refused(|n| n.writes(Writes::Through).sink(desk(&Script::default())), &shared),
            "give a `source` too",
        ),
        (refused(|n| n.sink(desk(&Script::default())), &alone), "say `writes(Writes::Through)`"),
        (
            refused(|n| n.sink(desk(&Script::default())).writes(Writes::Cache), &alone),
            "say `writes(Writes::Through)`",
        ),
    ] {
        assert!(message.contains(wanted), "{message:?} does not say {wanted:?}");
    }
}

#[tokio::test]
async fn an_older_load_does_not_replace_the_version_that_the_sink_told() {
    struct Versioned;
    impl Sink for Versioned {
        fn apply<'a>(&'a self, _: &'a str, writes: &'a [SinkWrite]) -> Applying<'a> {
            let applied = || Ok(Applied::as_written().of_version(Version(2)));
            Box::pin(async move { writes.iter().map(|_| applied()).collect::<Outcomes>() })
        }
    }
    let stage = through_with(|builder, script| builder.source(Untagged(script)).sink(Versioned));
    stage.set("a", "new").await.unwrap();
    stage.script.set_row("a", Row::new("old, from a replica").version(1));
    let _ = stage.things.get_fresh("a").await.unwrap();
    assert_eq!(stage.get("a").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn fields_of_a_hash_are_written_alone() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    struct Fields(Arc<Mutex<Vec<String>>>);
    impl Sink for Fields {
        fn apply<'a>(&'a self, _: &'a str, writes: &'a [SinkWrite]) -> Applying<'a> {
            let told = writes.iter().map(|write| format!("{:?}", write.change));
            self.0.lock().unwrap().extend(told);
            Box::pin(async move { writes.iter().map(|_| Ok(Applied::as_written())).collect::<Outcomes>() })
        }
    }
    let rows = |_: String| async {
        Ok::<_, std::convert::Infallible>(Some(Hash::whole([
            ("x", Bytes::from("1")),
            ("y", Bytes::from("1")),
        ])))
    };
    let engine = Forebay::new().unwrap();
    let build = |name: &str| {
        let builder = engine.namespace::<Hash>(name).key(&format!("{name}:{{id}}")).ttl(TTL);
        builder.writes(Writes::Through).sink(Fields(Arc::clone(&seen)))
    };
    let sourced = build("sourced").source(forebay::load_one(rows)).build().unwrap();
    assert_eq!(sourced.get_field("a", "x").await.unwrap().as_deref(), Some(&b"1"[..]));
    sourced.set_field("a", "x", "2").await.unwrap();
    sourced.delete_field("a", "y").await.unwrap();
    assert_eq!(sourced.get_field("a", "x").await.unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(sourced.get_field("a", "y").await.unwrap(), None);
    assert_eq!(sourced.counts().loads, 1, "the rest of the hash went");
    sourced.set_field("b", "x", "2").await.unwrap();
    assert_eq!(sourced.get("b").await.unwrap().unwrap().len(), Some(2), "a field was taken for the hash");

    let held = build("held").build().unwrap();
    held.set_field("a", "x", "2").await.unwrap();
    held.set_field("a", "y", "3").await.unwrap();
    held.delete_field("a", "x").await.unwrap();
    assert_eq!(held.get_field("a", "x").await.unwrap(), None);
    assert_eq!(held.get_field("a", "y").await.unwrap().as_deref(), Some(&b"3"[..]));
    assert_eq!(seen.lock().unwrap().len(), 6);
    engine.validate().unwrap();
}

#[tokio::test]
async fn a_function_takes_what_fits_it_and_refuses_the_rest() {
    type Rows = Vec<(i64, Option<Arc<String>>)>;
    let rows: Arc<Mutex<Rows>> = Arc::default();
    let written = Arc::clone(&rows);
    let apply = move |writes: Rows| {
        let outcomes =
            writes.iter().map(|(id, _)| if *id == 13 { Err(SinkError::refused(No)) } else { Ok(()) });
        let outcomes = outcomes.collect::<Vec<_>>();
        written.lock().unwrap().extend(writes);
        async move { outcomes }
    };
    let sink = write_many(apply);
    let key = |id: i64| forebay::LoadKey { params: vec![Param::Integer(id)] };
    let write = |id, change| SinkWrite { id: OperationId::next(), key: key(id), change };
    let note = |text: &str| Change::Put(Value::native(text.to_owned(), 8));
    let writes = [
        write(1, note("one")),
        write(13, Change::Delete),
        write(2, Change::Fields(vec![])),
        write(3, Change::Put(Value::Counter(3))),
        write(4, Change::Delete),
    ];
    let outcomes = sink.apply("notes", &writes).await;
    let applied: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(applied, [true, false, false, false, true]);
    let given: Vec<i64> = rows.lock().unwrap().iter().map(|(id, _)| *id).collect();
    assert_eq!(given, [1, 13, 4]);
    // What they cannot be given they tell beforehand; what they refuse by themselves nobody knows before.
    let one = Arc::new(write_one(async |_: i64, _: Option<Arc<String>>| Ok(())));
    for sink in [&sink as &dyn Sink, &*one, &one] {
        let takes = writes.iter().map(|write| sink.check("notes", &write.key, &write.change).is_ok());
        assert_eq!(takes.collect::<Vec<_>>(), [true, true, false, false, true]);
    }
}

/// Two instances over one simulated tier, and time that goes on while `test` runs.
async fn shared(test: impl AsyncFnOnce(&Clock, &SimulatedTier, &Through, &Through)) {
    fastrand::seed(1);
    let clock = Clock::simulated();
    let tier = SimulatedTier::new(clock.clone(), 1);
    let rows = Script::default();
    let instance = |number: u64| {
        let link: Arc<dyn SharedTier> = Arc::new(tier.link(number));
        let engine = Forebay::builder().clock(clock.clone()).shared_tier(link).build().unwrap();
        let script = rows.clone();
        let desk = desk(&script);
        let builder = engine.namespace("things").key("k:{id}").ttl(TTL * 20).writes(Writes::Through);
        let things = builder.sink(desk.clone()).source(Untagged(script.clone())).build().unwrap();
        Through { clock: clock.clone(), engine, script, desk, things }
    };
    let (a, b) = (instance(1), instance(2));
    let mut whole = std::pin::pin!(async {
        test(&clock, &tier, &a, &b).await;
        a.check().await;
        b.check().await;
    });
    loop {
        for _ in 0..24 {
            tokio::select! {
                biased;
                () = &mut whole => return,
                () = tokio::task::yield_now() => {}
            }
        }
        clock.advance(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn with_a_shared_tier_every_instance_is_told() {
    for act in [Act::Apply, Act::Lose] {
        shared(async |clock, _, a, b| {
            a.script.set("a", "old");
            clock.sleep(Duration::from_millis(20)).await;
            for instance in [a, b] {
                assert_eq!(instance.get("a").await.as_deref(), Some("old"));
            }
            a.desk.next(act);
            let _ = a.set("a", "new").await;
            assert_eq!(a.get("a").await.as_deref(), Some("new"), "{act:?}: here");
            clock.sleep(Duration::from_millis(1_001)).await;
            assert_eq!(b.get("a").await.as_deref(), Some("new"), "{act:?}: on the other instance");
        })
        .await;
    }
}

#[tokio::test]
async fn a_tier_that_cannot_be_told_is_said_so_and_told_later() {
    shared(async |clock, tier, a, b| {
        a.script.set("a", "old");
        clock.sleep(Duration::from_millis(20)).await;
        assert_eq!(b.get("a").await.as_deref(), Some("old"));
        tier.partition(1, Some(forebay_simulated::Partition::Requests));
        let told = a.set("a", "new").await;
        assert!(matches!(told, Err(Error::Unconfirmed { .. })), "{told:?}");
        assert_eq!(a.get("a").await.as_deref(), Some("new"), "here");
        tier.partition(1, None);
        clock.sleep(Duration::from_millis(3_000)).await;
        assert_eq!(a.engine.untold(), 0);
        assert_eq!(b.get("a").await.as_deref(), Some("new"), "on the other instance");
    })
    .await;
}
