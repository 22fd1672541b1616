//! What a builder refuses, and what it says.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use forebay::tier::memory::EvictionPolicy;
use forebay::{
    Blob, BreakerOptions, Error, Forebay, Keyspace, Namespace, NamespaceBuilder, Writes, load_many, load_one,
};

const TTL: Duration = Duration::from_secs(1);

fn refused(set_up: impl FnOnce(NamespaceBuilder<Blob>) -> NamespaceBuilder<Blob>) -> String {
    set_up(Forebay::new().unwrap().namespace("n")).build().unwrap_err().to_string()
}

#[tokio::test]
async fn missing_and_contradicting_options_are_named() {
    for (message, wanted) in [
        (refused(|n| n.ttl(TTL)), "say its `key`"),
        (refused(|n| n.key("a:{x}")), "say its `ttl`"),
        (refused(|n| n.key("a:{x}").jitter(TTL).ttl(TTL)), "say `ttl` before `jitter`"),
        (refused(|n| n.key("a:{x").ttl(TTL)), "a:{x"),
        (refused(|n| n.key("a:{x}").ttl(Duration::ZERO)), "`ttl` of zero"),
        (refused(|n| n.key("a:{x}").ttl(TTL).jitter(TTL * 2)), "longer than `ttl`"),
        (refused(|n| n.key("a:{x}").ttl(TTL).load_timeout(Duration::ZERO)), "`load_timeout` of zero"),
    ] {
        assert!(message.contains(wanted), "{message:?} does not say {wanted:?}");
    }
}

type SetUp = fn(NamespaceBuilder<Blob>) -> NamespaceBuilder<Blob>;

#[tokio::test]
async fn what_is_out_of_its_limits_is_refused_with_what_to_say() {
    const MS: Duration = Duration::from_millis(1);
    let no_failures = BreakerOptions { failures: 0, ..BreakerOptions::default() };
    let no_successes = BreakerOptions { successes: 0, ..BreakerOptions::default() };
    for (message, wanted) in [
        (refused(|n| n.key("a:{x}").ttl(TTL).concurrency(0)), "`concurrency` of zero"),
        (refused(|n| n.key("a:{x}").ttl(TTL).refresh_ahead(TTL)), "not shorter than `ttl`"),
        (refused(|n| n.key("a:{x}").ttl(TTL).refresh_every(TTL - MS)), "give 1 s or more"),
        (refused(|n| n.key("a:{x}").ttl(TTL).breaker(no_failures)), "at least one failure"),
        (refused(|n| n.key("a:{x}").ttl(TTL).breaker(no_successes)), "one success"),
        (refused(|n| n.key("a:{x}").sliding(Duration::ZERO, TTL)), "more than zero"),
        (refused(|n| n.key("a:{x}").sliding(TTL + MS, TTL)), "no longer than its `max`"),
        (refused(|n| n.key("a:{x}").sliding(TTL, Duration::ZERO)), "`ttl` of zero"),
        (refused(|n| n.key("a:{x}").sliding(Duration::ZERO, TTL).refresh_ahead(TTL)), "more than zero"),
        (refused(|n| n.key("a:{x}").sliding(MS, TTL).refresh_ahead(TTL)), "not shorter than the `max`"),
        (refused(|n| n.key("a:{x}").sliding(TTL, TTL).stale_if_error(MS)), "leave out"),
        (refused(|n| n.key("a:{x}").sliding(TTL, TTL).stale_while_revalidate(MS)), "leave out"),
        (refused(|n| n.key("a:{x}").ttl(TTL).memory(1000, EvictionPolicy::Lru)), "at least 65536"),
        (refused(|n| n.key("a:{x}").ttl(TTL).memory(u64::MAX, EvictionPolicy::Lru)), "to share"),
        (refused(|n| n.key("a:{x}").ttl(TTL).memory_max_age(TTL)), "shorten `ttl`"),
        (refused(|n| n.key("a:{x}").ttl(TTL).memory_max_age(Duration::ZERO)), "holds nothing in memory"),
        (refused(|n| n.key("a:{x}").ttl(TTL).tags(&["fine", "y:{y}"])), "{y}"),
        (refused(|n| n.key("a:{x}").ttl(TTL).tags(&["x:{x"])), "x:{x"),
    ] {
        assert!(message.contains(wanted), "{message:?} does not say {wanted:?}");
    }
}

#[tokio::test]
async fn what_is_just_within_its_limits_is_built() {
    const MS: Duration = Duration::from_millis(1);
    let least = BreakerOptions { failures: 1, successes: 1, pause: Duration::ZERO };
    let set_ups: [SetUp; 8] = [
        |n| n.ttl(TTL).jitter(TTL).concurrency(1).queue(0),
        |n| n.ttl(TTL).refresh_ahead(TTL - MS),
        |n| n.ttl(TTL).refresh_every(TTL),
        |n| n.sliding(TTL, TTL),
        |n| n.sliding(MS, TTL).stale_if_error(Duration::ZERO),
        |n| n.sliding(MS, TTL).refresh_ahead(TTL - MS),
        |n| n.ttl(TTL).memory(64 * 1024, EvictionPolicy::Lfu),
        |n| n.ttl(TTL).tags(&["fixed", "x:{x}", "{x}"]),
    ];
    for (number, set_up) in set_ups.into_iter().enumerate() {
        let namespace = set_up(Forebay::new().unwrap().namespace("n").key("a:{x}")).build();
        assert!(namespace.is_ok(), "set-up {number}: {}", namespace.unwrap_err());
    }
    let breaker = Forebay::new().unwrap().namespace::<Blob>("n").key("a:{x}").ttl(TTL).breaker(least);
    assert!(breaker.build().is_ok());
}

#[tokio::test]
async fn every_rule_asks_for_the_ttl_first() {
    let rules: [(&str, SetUp); 12] = [
        ("absent_ttl", |n| n.absent_ttl(TTL)),
        ("stale_while_revalidate", |n| n.stale_while_revalidate(TTL)),
        ("stale_if_error", |n| n.stale_if_error(TTL)),
        ("refresh_ahead", |n| n.refresh_ahead(TTL)),
        ("refresh_every", |n| n.refresh_every(TTL)),
        ("jitter", |n| n.jitter(TTL)),
        ("load_timeout", |n| n.load_timeout(TTL)),
        ("soft_timeout", |n| n.soft_timeout(TTL)),
        ("breaker", |n| n.breaker(BreakerOptions::never())),
        ("concurrency", |n| n.concurrency(1)),
        ("queue", |n| n.queue(1)),
        ("writes", |n| n.writes(Writes::Cache)),
    ];
    for (rule, set_up) in rules {
        let message = refused(|n| set_up(n.key("a:{x}")).ttl(TTL));
        assert!(message.contains(&format!("say `ttl` before `{rule}`")), "{message}");
    }
}

#[tokio::test]
async fn an_engine_refuses_a_budget_that_holds_nothing() {
    let error = Forebay::builder().memory_budget_bytes(1024 * 1024 - 1).build().unwrap_err().to_string();
    assert!(error.contains("at least 1048576"), "{error}");
    assert!(Forebay::builder().memory_budget_bytes(1024 * 1024).build().is_ok());
}

#[tokio::test]
async fn a_ttl_said_again_keeps_the_other_rules() {
    let engine = Forebay::new().unwrap();
    let namespace = engine.namespace::<Blob>("n").key("a:{x}").ttl(TTL).jitter(TTL / 2).ttl(TTL * 2);
    let namespace = namespace.build().unwrap();
    assert_eq!((namespace.policy().ttl, namespace.policy().jitter), (TTL * 2, TTL / 2));
}

#[test]
fn an_engine_needs_a_runtime() {
    assert!(matches!(Forebay::new(), Err(Error::NoRuntime)));
}

#[tokio::test]
async fn a_keyspace_refuses_patterns_that_share_a_key_and_shows_one() {
    let engine = Forebay::new().unwrap();
    let namespace = |name: &str, key: &str| -> Namespace<Blob> {
        engine.namespace(name).key(key).ttl(TTL).build().unwrap()
    };
    let mut keyspace = Keyspace::new("shop");
    keyspace.add(namespace("one", "a:{x}")).unwrap();
    let error = keyspace.add(namespace("two", "a:b:{y}")).unwrap_err().to_string();
    assert!(error.contains("\"a:b:") && error.contains("`one`"), "{error}");
    let elsewhere = Forebay::new().unwrap().namespace("one").key("c:{x}").ttl(TTL).build().unwrap();
    assert!(keyspace.add(elsewhere).is_err(), "a name was given twice");
    keyspace.add(namespace("three", "d:{x}")).unwrap();
    assert_eq!(keyspace.find(b"d:7").unwrap().name(), "three");
    assert!(keyspace.find(b"e:7").is_none());
}

#[tokio::test]
async fn typed_keys_are_single_values_and_tuples() {
    let engine = Forebay::new().unwrap();
    let prices = engine
        .namespace::<u64>("prices")
        .key("price:{symbol}:{day:integer}")
        .ttl(TTL)
        .source(load_many(async |keys: Vec<(String, i64)>| -> Result<HashMap<_, u64>, Infallible> {
            Ok(keys.into_iter().filter(|(symbol, _)| symbol != "none").map(|key| (key, 7)).collect())
        }))
        .build()
        .unwrap();
    assert_eq!(prices.get(("BTC", 5)).await.unwrap().as_deref(), Some(&7));
    assert_eq!(prices.get(("none", -5)).await.unwrap(), None);
    let error = prices.get("BTC").await.unwrap_err();
    assert!(matches!(error, Error::Key { .. }), "{error}");
    let error = prices.get(("B:TC", 5)).await.unwrap_err();
    assert!(matches!(error, Error::Key { .. }), "a parameter held the literal that follows it: {error}");
}

#[tokio::test]
async fn a_loader_whose_keys_differ_from_the_pattern_says_so() {
    let engine = Forebay::new().unwrap();
    let wrong = engine
        .namespace::<u64>("wrong")
        .key("n:{id}")
        .ttl(TTL)
        .source(load_one(async |_: i64| -> Result<Option<u64>, Infallible> { Ok(None) }))
        .build()
        .unwrap();
    let error = wrong.get("7").await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("{name:integer}"), "{cause}");
}

#[tokio::test]
async fn a_function_may_load_blobs_for_front_ends() {
    let engine = Forebay::new().unwrap();
    let load =
        async |id: String| -> Result<Option<Blob>, Infallible> { Ok(Some(Blob::json(format!("\"{id}\"")))) };
    let namespace =
        engine.namespace::<Blob>("n").key("n:{id}").ttl(TTL).source(load_one(load)).build().unwrap();
    let read = namespace.read(b"n:7").await.unwrap();
    assert_eq!(read.value.unwrap().as_blob().unwrap().as_bytes(), b"\"7\"");
    assert_eq!(namespace.get("7").await.unwrap().unwrap().content_type(), "application/json");
}

/// A value whose end asks the cache that held it.
struct AsksAtItsEnd(Namespace<Self>);

impl Drop for AsksAtItsEnd {
    fn drop(&mut self) {
        let _ = self.0.peek(b"n:7");
    }
}

#[tokio::test]
async fn a_value_may_use_the_cache_when_it_is_dropped() {
    let engine = Forebay::new().unwrap();
    let namespace = engine.namespace::<AsksAtItsEnd>("n").key("n:{id}").ttl(TTL).build().unwrap();
    for _ in 0..2 {
        namespace.put("7", AsksAtItsEnd(namespace.clone()), 100).unwrap();
    }
    assert!(namespace.invalidate("7").await.unwrap());
}

#[tokio::test]
async fn a_name_that_somebody_has_a_handle_of_is_refused_and_free_after_that() {
    let engine = Forebay::new().unwrap();
    let build = |engine: &Forebay| engine.namespace::<Blob>("n").key("a:{x}").ttl(TTL).build();
    let first = build(&engine).unwrap();
    let clone = first.clone();
    drop(first);
    let refused = build(&engine).unwrap_err();
    assert!(
        matches!(&refused, Error::NameTaken { namespace, keyspace } if &**namespace == "n" && &**keyspace == "default")
    );
    assert!(refused.to_string().contains("clone its handle"), "{refused}");
    build(&engine.keyspace("other")).unwrap();
    drop(clone);
    build(&engine).unwrap();
}
