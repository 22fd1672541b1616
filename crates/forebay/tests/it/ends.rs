//! Values and fields that say themselves when they end: until then they are fresh, and after it nobody is shown them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use forebay::observe::{Change, Listener};
use forebay::rt::{Clock, Tick};
use forebay::value::Hash;
use forebay::{Blob, Decided, Error, Forebay, Freshness, Namespace, NamespaceBuilder, Tier, Writes};

use crate::fields::{Orders, owned, rows};
use crate::scripted::{Stage, TTL, stage, stage_with, text};

const TICK: Duration = Duration::from_millis(1);

// ---- values

/// Text such as "open until 5000" is of a value that ends at that tick.
fn said(blob: &Blob) -> Decided {
    let until = text(blob).split_once(" until ").map(|(_, tick)| Tick::from_ms(tick.parse().unwrap()));
    Decided { fresh_until: until, ..Decided::default() }
}

fn saying(set_up: impl FnOnce(NamespaceBuilder<Blob>) -> NamespaceBuilder<Blob>) -> Stage {
    stage_with(|builder| set_up(builder.decide(said)))
}

#[tokio::test]
async fn a_value_is_fresh_until_it_says_and_no_longer() {
    let stage = saying(|builder| builder);
    stage.script.set("a", "open until 1000");
    assert_eq!(stage.outcome("a").await.fresh_for, Duration::from_secs(1));
    stage.script.set("a", "shut");
    stage.clock.advance(Duration::from_secs(1) - TICK);
    assert_eq!(stage.get("a").await.as_deref(), Some("open until 1000"));
    stage.clock.advance(TICK);
    assert_eq!(stage.get("a").await.as_deref(), Some("shut"));
    assert_eq!(stage.outcome("a").await.fresh_for, TTL, "what says nothing has the TTL");
    stage.check().await;
}

#[tokio::test]
async fn a_value_may_outlive_the_ttl_as_far_as_was_declared() {
    for (most, lives) in
        [(None, TTL), (Some(TTL * 4), TTL * 4), (Some(TTL * 9), TTL * 5), (Some(TTL / 2), TTL / 2)]
    {
        let stage = saying(|builder| match most {
            Some(most) => builder.fresh_at_most(most),
            None => builder,
        });
        stage.script.set("a", "shut until 15000");
        assert_eq!(stage.outcome("a").await.fresh_for, lives, "at most {most:?}");
        stage.clock.advance(lives - TICK);
        assert_eq!(stage.outcome("a").await.tier, Tier::Memory);
        stage.clock.advance(TICK);
        assert_eq!(stage.outcome("a").await.tier, Tier::Source);
        stage.script.set("b", "open");
        assert_eq!(stage.outcome("b").await.fresh_for, TTL, "what says nothing has the TTL");
        stage.check().await;
    }
}

#[tokio::test]
async fn what_says_its_end_is_not_renewed() {
    let stage = saying(|builder| builder.fresh_at_most(TTL * 4));
    stage.script.set("a", "shut until 15000");
    assert_eq!(stage.outcome("a").await.fresh_for, TTL * 4);
    stage.clock.advance(TTL * 4 - TICK);
    assert!(!stage.namespace.renew(b"k:a"));
    stage.clock.advance(TICK);
    assert_eq!(stage.outcome("a").await.tier, Tier::Source);
    stage.check().await;
}

#[tokio::test]
async fn stale_windows_and_a_shorter_ttl_count_from_the_end_as_ever() {
    let stage =
        saying(|builder| builder.fresh_at_most(TTL * 9).stale_while_revalidate(Duration::from_secs(1)));
    stage.script.set("a", "shut until 15000");
    stage.script.value_ttl(TTL * 2);
    assert_eq!(stage.outcome("a").await.fresh_for, TTL * 2, "the source's TTL shortens it");
    stage.clock.advance(TTL * 2);
    assert!(matches!(stage.outcome("a").await.freshness, Freshness::Stale(_)));
    // The refresh gathers for so long.
    stage.clock.advance(TICK * 2);
    stage.engine.idle().await;
    assert_eq!(stage.outcome("a").await.freshness, Freshness::Fresh);
    stage.check().await;
}

#[tokio::test]
async fn jitter_takes_no_more_off_an_end_than_was_declared() {
    let jitter = Duration::from_secs(1);
    let stage = saying(|builder| builder.fresh_at_most(TTL * 100).jitter(jitter));
    let far = TTL * 100;
    for id in 0..200 {
        let id = id.to_string();
        stage.script.set(&id, "shut until 300000");
        let fresh_for = stage.outcome(&id).await.fresh_for;
        assert!((far - jitter..=far).contains(&fresh_for), "{fresh_for:?}");
    }
}

#[tokio::test]
async fn an_end_that_has_passed_on_its_way_is_answered_to_who_asked_before_it() {
    let stage = saying(|builder| builder.fresh_at_most(TTL));
    stage.script.set("a", "open until 1000");
    stage.script.hold();
    let before = stage.reader("a");
    stage.script.arrived().await;
    stage.clock.advance(Duration::from_secs(1));
    // It joins the flight, which cannot serve it.
    let after = stage.reader("a");
    tokio::task::yield_now().await;
    stage.script.set("a", "shut");
    stage.script.let_go();
    let before = before.await.unwrap().unwrap();
    assert_eq!(before.as_deref(), Some("open until 1000"));
    stage.script.arrived().await;
    stage.script.let_go();
    let after = after.await.unwrap().unwrap();
    assert_eq!(after.as_deref(), Some("shut"));
    stage.check().await;
}

#[tokio::test]
async fn a_value_that_always_comes_too_late_is_answered_each_time() {
    let stage = saying(|builder| builder);
    stage.clock.advance(Duration::from_secs(5));
    stage.script.set("a", "open until 1000");
    for loads in 1..4 {
        assert_eq!(stage.get("a").await.as_deref(), Some("open until 1000"));
        assert_eq!(stage.script.loads(), loads);
        assert!(!stage.holds("a"));
    }
    stage.check().await;
}

// ---- fields

/// An engine on a clock of the test's, and hashes `p:{period}` of TTL 60 s.
struct Fields {
    clock: Clock,
    engine: Forebay,
    orders: Orders,
    namespace: Namespace<Hash>,
}

fn at(ms: u64) -> Option<Tick> {
    Some(Tick::from_ms(ms))
}

fn fields_with(set_up: impl FnOnce(NamespaceBuilder<Hash>) -> NamespaceBuilder<Hash>) -> Fields {
    let clock = Clock::simulated();
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    let orders = Orders::default();
    let ttl = Duration::from_secs(60);
    let builder = engine.namespace("orders").key("p:{period}").ttl(ttl).source(orders.clone());
    let namespace = set_up(builder).build().unwrap();
    orders.set("1", &[("a", "A"), ("b", "B"), ("c", "C")]);
    orders.ends("a", at(1_000));
    Fields { clock, engine, orders, namespace }
}

impl Fields {
    async fn field(&self, field: &str) -> Option<String> {
        let value = self.namespace.get_field("1", field).await.unwrap();
        value.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn whole(&self) -> Option<Vec<(String, String)>> {
        self.namespace.get("1").await.unwrap().as_deref().map(rows)
    }

    /// The row of `a` has changed, and ends with its hash.
    fn change(&self) {
        self.orders.set("1", &[("a", "A2")]);
        self.orders.ends("a", None);
    }

    fn asked(&self) -> (usize, usize) {
        (self.orders.wholes(), self.orders.fields().len())
    }

    async fn check(&self) {
        self.engine.idle().await;
        assert_eq!(self.namespace.flights(), 0, "a flight was left on the board");
        self.engine.validate().unwrap();
    }
}

#[tokio::test]
async fn a_field_that_has_ended_is_loaded_alone_and_the_others_stay() {
    let fields = fields_with(|builder| builder);
    assert_eq!(fields.whole().await, owned(&[("a", "A"), ("b", "B"), ("c", "C")]));
    fields.change();
    fields.clock.advance(Duration::from_millis(999));
    assert_eq!(fields.field("a").await.as_deref(), Some("A"));
    let read = fields.namespace.read_field_now(b"p:1", b"a").unwrap().unwrap();
    assert_eq!(read.outcome.fresh_for, TICK);
    let read = fields.namespace.read_field_now(b"p:1", b"b").unwrap().unwrap();
    assert_eq!(read.outcome.fresh_for, Duration::from_millis(59_001));
    assert_eq!(fields.namespace.read_now(b"p:1").unwrap().outcome.fresh_for, TICK);
    fields.clock.advance(TICK);
    // Nothing at hand shows it any more: not the field, not the whole.
    assert!(fields.namespace.read_field_now(b"p:1", b"a").unwrap().is_none());
    assert!(fields.namespace.answer_field_now(b"p:1", b"a", |_| ()).is_none());
    assert!(fields.namespace.read_now(b"p:1").is_none());
    assert_eq!(fields.field("b").await.as_deref(), Some("B"));
    assert_eq!(fields.asked(), (1, 0), "the others are as they were");
    assert_eq!(fields.field("a").await.as_deref(), Some("A2"));
    assert_eq!(fields.whole().await, owned(&[("a", "A2"), ("b", "B"), ("c", "C")]));
    assert_eq!(fields.asked(), (1, 1), "it was loaded once, alone");
    fields.check().await;
}

#[tokio::test]
async fn a_read_of_the_whole_loads_only_what_has_ended() {
    let fields = fields_with(|builder| builder);
    fields.orders.ends("b", at(1_000));
    fields.whole().await;
    fields.change();
    fields.orders.set("1", &[("c", "never looked at")]);
    fields.clock.advance(Duration::from_secs(1));
    fields.orders.ends("b", at(2_000));
    assert_eq!(fields.whole().await, owned(&[("a", "A2"), ("b", "B"), ("c", "C")]));
    assert_eq!(fields.asked(), (1, 1));
    let mut asked = fields.orders.fields().concat();
    asked.sort();
    assert_eq!(asked, ["a", "b"]);
    fields.clock.advance(Duration::from_secs(1));
    fields.orders.ends("b", None);
    assert_eq!(fields.whole().await, owned(&[("a", "A2"), ("b", "B"), ("c", "C")]));
    assert_eq!(fields.orders.fields().last().unwrap(), &["b"], "the new end counts");
    fields.check().await;
}

#[tokio::test]
async fn a_field_that_is_gone_after_its_end_is_gone() {
    let fields = fields_with(|builder| builder);
    fields.orders.set("2", &[("a", "A")]);
    assert_eq!(fields.namespace.get("2").await.unwrap().as_deref().map(rows), owned(&[("a", "A")]));
    fields.clock.advance(Duration::from_secs(1));
    fields.orders.take("2", "a");
    assert_eq!(fields.namespace.get_field("2", "a").await.unwrap(), None);
    assert_eq!(fields.namespace.get("2").await.unwrap().as_deref().map(rows), owned(&[]));
    fields.check().await;
}

#[tokio::test]
async fn too_many_that_have_ended_are_loaded_with_the_whole() {
    let fields = fields_with(|builder| builder);
    for number in 0..=Hash::HOLES_MAX {
        let name = format!("n{number}");
        fields.orders.set("1", &[(&name, "old")]);
        fields.orders.ends(&name, at(1_000));
    }
    fields.whole().await;
    fields.clock.advance(Duration::from_secs(1));
    for number in 0..=Hash::HOLES_MAX {
        let name = format!("n{number}");
        fields.orders.set("1", &[(&name, "new")]);
        fields.orders.ends(&name, None);
    }
    fields.change();
    assert_eq!(fields.field("b").await.as_deref(), Some("B"), "those that have not ended answer");
    assert_eq!(fields.asked(), (1, 0));
    let whole = fields.whole().await.unwrap();
    assert!(whole.iter().all(|(_, value)| value != "old" && value != "A"), "{whole:?}");
    assert_eq!(fields.asked(), (2, 0));
    fields.check().await;
}

#[tokio::test]
async fn what_comes_after_its_end_is_answered_and_nobody_waits_for_ever() {
    let fields = fields_with(|builder| builder);
    fields.clock.advance(Duration::from_secs(2));
    for _ in 0..2 {
        assert_eq!(fields.whole().await, owned(&[("a", "A"), ("b", "B"), ("c", "C")]));
        assert_eq!(fields.field("a").await.as_deref(), Some("A"));
        assert!(fields.namespace.read_field_now(b"p:1", b"a").unwrap().is_none());
        assert!(fields.namespace.read_now(b"p:1").is_none());
        assert_eq!(fields.field("b").await.as_deref(), Some("B"));
    }
    fields.change();
    assert_eq!(fields.field("a").await.as_deref(), Some("A2"));
    assert_eq!(fields.whole().await, owned(&[("a", "A2"), ("b", "B"), ("c", "C")]));
    fields.check().await;
}

#[tokio::test]
async fn who_begins_after_the_end_does_not_take_what_was_asked_for_before_it() {
    for whole in [false, true] {
        let fields = fields_with(|builder| builder);
        fields.orders.hold();
        let reader = || {
            let namespace = fields.namespace.clone();
            tokio::spawn(async move {
                let value = match whole {
                    true => namespace.get("1").await.unwrap().unwrap().state(b"a").cloned().known(),
                    false => namespace.get_field("1", "a").await.unwrap(),
                };
                String::from_utf8(value.unwrap().to_vec()).unwrap()
            })
        };
        let before = reader();
        fields.orders.arrived().await;
        fields.clock.advance(Duration::from_secs(1));
        fields.change();
        let after = reader();
        tokio::task::yield_now().await;
        fields.orders.let_all_go();
        assert_eq!(before.await.unwrap(), "A");
        assert_eq!(after.await.unwrap(), "A2");
        fields.check().await;
    }
}

#[tokio::test]
async fn a_failing_source_does_not_bring_back_what_has_ended() {
    let fields = fields_with(|builder| builder.stale_if_error(Duration::from_secs(600)));
    fields.whole().await;
    fields.orders.fail(true);
    fields.clock.advance(Duration::from_secs(1));
    assert!(matches!(fields.namespace.get_field("1", "a").await, Err(Error::Source { .. })));
    assert!(matches!(fields.namespace.get("1").await, Err(Error::Source { .. })));
    assert_eq!(fields.field("b").await.as_deref(), Some("B"));
    // Past the TTL the others are stale, and may be served; that one may not.
    fields.clock.advance(Duration::from_secs(60));
    assert_eq!(fields.field("b").await.as_deref(), Some("B"));
    assert!(fields.namespace.get_field("1", "a").await.is_err());
    assert!(fields.namespace.get("1").await.is_err());
    fields.check().await;
}

#[tokio::test]
async fn what_a_client_writes_ends_with_its_hash() {
    let fields = fields_with(|builder| builder.writes(Writes::Cache));
    fields.whole().await;
    fields.namespace.put_field("1", "a", "mine").unwrap();
    fields.clock.advance(Duration::from_secs(1));
    assert_eq!(fields.field("a").await.as_deref(), Some("mine"));
    assert_eq!(fields.whole().await, owned(&[("a", "mine"), ("b", "B"), ("c", "C")]));
    // A hash that was read, ends and all, and is put as it was.
    fields.orders.set("2", &[("a", "A")]);
    fields.orders.ends("a", at(5_000));
    let read = fields.namespace.get("2").await.unwrap().unwrap();
    assert_eq!(read.earliest_end(), at(5_000));
    fields.namespace.put("3", Hash::clone(&read), read.weight_bytes()).unwrap();
    fields.clock.advance(Duration::from_secs(5));
    assert_eq!(fields.namespace.get("3").await.unwrap().as_deref().map(rows), owned(&[("a", "A")]));
    assert_eq!(fields.asked(), (2, 0));
    fields.check().await;
}

#[tokio::test]
async fn who_listens_is_told_when_what_comes_after_the_end_is_another() {
    #[derive(Debug, Default)]
    struct Loads(Mutex<usize>);
    impl Listener for Loads {
        fn changed(&self, _: &str, change: Change<'_>) {
            *self.0.lock().unwrap() += usize::from(matches!(change, Change::Loaded { .. }));
        }
    }
    let fields = fields_with(|builder| builder);
    fields.whole().await;
    let loads = Arc::new(Loads::default());
    let _listening = fields.engine.listen(Arc::clone(&loads) as Arc<dyn Listener>);
    fields.clock.advance(Duration::from_secs(1));
    fields.orders.ends("a", at(2_000));
    fields.field("a").await;
    assert_eq!(*loads.0.lock().unwrap(), 0, "it is what it was");
    fields.clock.advance(Duration::from_secs(1));
    fields.change();
    fields.field("a").await;
    assert_eq!(*loads.0.lock().unwrap(), 1);
    fields.check().await;
}

#[tokio::test]
async fn one_field_is_judged_without_a_look_at_those_that_ended_with_it() {
    let count = 10_000_u64;
    let name = |number: u64| number.to_string();
    let field = |number| forebay::value::Field { value: Bytes::from(name(number)), fresh_until: at(1_000) };
    let mut hash = Hash::whole_until((0..count).map(|number| (name(number), field(number))));
    let now = Tick::from_ms(1_000);
    assert_eq!(hash.validate(), Ok(()));
    assert!(hash.is_complete_at(Tick::from_ms(999)) && !hash.is_complete_at(now));
    assert_eq!(hash.holes_at(now), [b""; 0], "the whole is loaded");
    let before = hash.clone();
    hash.fill_holes(now, [("7", Some(Bytes::from("new")))]);
    assert_eq!(hash.state_at(b"7", now).cloned().known(), Some(Bytes::from("new")));
    assert_eq!(before.state_at(b"7", now).cloned().known(), None, "a clone keeps what it was");
    assert_eq!((hash.end(b"7"), hash.end(b"8")), (None, at(1_000)));
    assert_eq!(hash.validate(), Ok(()));
}

#[tokio::test]
async fn values_that_say_nothing_live_as_before() {
    let stage = stage();
    stage.script.set("a", "1 until 1000");
    assert_eq!(stage.outcome("a").await.fresh_for, TTL);
}
