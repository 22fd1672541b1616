//! What a builder refuses, and what it says.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use forebay::{Blob, Error, Forebay, Keyspace, Namespace, NamespaceBuilder, load_many, load_one};

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
    assert!(keyspace.add(namespace("one", "c:{x}")).is_err(), "a name was given twice");
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
    assert_eq!(read.value.unwrap().as_blob().unwrap().bytes, "\"7\"");
    assert_eq!(namespace.get("7").await.unwrap().unwrap().content_type, "application/json");
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
