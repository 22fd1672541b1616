//! Loads that wait go together; the source is never asked for more at once than it was said to bear.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::rt::Clock;
use forebay::source::Loading;
use forebay::value::Param;
use forebay::{
    Blob, Error, Fault, Forebay, LoadKey, Loaded, Namespace, NamespaceBuilder, Source, SourceError, secs,
};
use tokio::sync::Semaphore;

/// A source that counts what it is asked, and answers when it is let.
#[derive(Clone)]
struct Counting {
    go: Arc<Semaphore>,
    asked: Arc<Mutex<Vec<Vec<String>>>>,
    at_once: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
}

#[derive(Debug, thiserror::Error)]
#[error("a bad row")]
struct BadRow;

impl Source for Counting {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move {
            let names: Vec<String> = keys.iter().map(|key| name(&key.params[0])).collect();
            self.asked.lock().unwrap().push(names.clone());
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(now, Ordering::SeqCst);
            self.go.acquire().await.unwrap().forget();
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            if names.iter().any(|name| name == "bad") {
                return Err(SourceError::lasting(BadRow));
            }
            Ok(names.into_iter().map(|name| Some(Loaded::new(Blob::opaque(name)))).collect())
        })
    }
}

fn name(param: &Param) -> String {
    match param {
        Param::Text(text) => text.clone(),
        Param::Integer(number) => number.to_string(),
    }
}

struct Stage {
    clock: Clock,
    source: Counting,
    namespace: Namespace<Blob>,
}

/// A stage whose source answers `free` times before it must be let go.
fn stage(free: usize, set_up: impl FnOnce(NamespaceBuilder<Blob>) -> NamespaceBuilder<Blob>) -> Stage {
    let clock = Clock::simulated();
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    let source = Counting {
        go: Arc::new(Semaphore::new(free)),
        asked: Arc::default(),
        at_once: Arc::default(),
        most_at_once: Arc::default(),
    };
    let builder = engine.namespace("n").key("n:{id}").ttl(secs(60)).source(source.clone());
    Stage { clock, source, namespace: set_up(builder).build().unwrap() }
}

impl Stage {
    fn asked(&self) -> Vec<Vec<String>> {
        self.source.asked.lock().unwrap().clone()
    }

    fn reader(&self, id: impl Into<String>) -> tokio::task::JoinHandle<Result<bool, Error>> {
        let (namespace, id) = (self.namespace.clone(), id.into());
        tokio::spawn(async move { Ok(namespace.get(id).await?.is_some()) })
    }
}

#[tokio::test]
async fn ten_thousand_cold_keys_make_few_queries_and_never_more_at_once_than_allowed() {
    let stage = stage(0, |builder| builder.queue(10_000));
    let readers: Vec<_> = (0..10_000).map(|id| stage.reader(id.to_string())).collect();
    while stage.namespace.flights() < 10_000 {
        tokio::task::yield_now().await;
    }
    stage.source.go.add_permits(usize::MAX >> 4);
    for reader in readers {
        assert!(reader.await.unwrap().unwrap());
    }
    let queries = stage.asked().len();
    assert!(queries <= 10_000 / 50, "{queries} queries for 10,000 keys");
    assert!(stage.source.most_at_once.load(Ordering::SeqCst) <= 16);
    assert_eq!(stage.asked().iter().map(Vec::len).sum::<usize>(), 10_000, "a key was loaded twice");
}

#[tokio::test]
async fn many_keys_of_one_call_are_one_query_of_what_memory_lacks() {
    let stage = stage(usize::MAX >> 4, |builder| builder);
    stage.namespace.get("b").await.unwrap();
    let values = stage.namespace.get_many(["a", "b", "c", "a"]).await.unwrap();
    let texts: Vec<_> = values.iter().map(|value| crate::scripted::text(value.as_ref().unwrap())).collect();
    assert_eq!(texts, ["a", "b", "c", "a"]);
    assert_eq!(stage.asked(), [vec!["b"], vec!["a", "c"]]);
    let counts = stage.namespace.counts();
    assert_eq!((counts.hits, counts.misses, counts.loads), (1, 4, 2));
}

#[tokio::test]
async fn one_bad_row_does_not_fail_its_neighbours() {
    let stage = stage(usize::MAX >> 4, |builder| builder);
    let keys: Vec<Vec<u8>> = ["a", "bad", "c"].iter().map(|id| format!("n:{id}").into_bytes()).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let reads = stage.namespace.read_many(&keys).await;
    assert!(reads[0].is_ok() && reads[2].is_ok());
    assert!(matches!(&reads[1], Err(Error::Source { retry: false, .. })));
    assert_eq!(stage.asked(), [vec!["a", "bad", "c"], vec!["a"], vec!["bad"], vec!["c"]]);
}

#[tokio::test]
async fn what_the_queue_cannot_hold_fails_at_once() {
    let stage = stage(0, |builder| builder.concurrency(1).queue(2));
    let readers: Vec<_> = ["a", "b", "c", "d"].map(|id| stage.reader(id)).into_iter().collect();
    let [first, second, third, fourth] = <[_; 4]>::try_from(readers).unwrap();
    let error = fourth.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Overloaded { retry_after, .. } if !retry_after.is_zero()), "{error}");
    assert_eq!((error.fault(), error.may_retry()), (Fault::Source, true));
    stage.source.go.add_permits(9);
    for reader in [first, second, third] {
        assert!(reader.await.unwrap().unwrap());
    }
    assert_eq!(stage.asked(), [vec!["a"], vec!["b", "c"]]);
}

#[tokio::test]
async fn what_waits_too_long_is_told_so_and_not_asked_for() {
    let stage = stage(0, |builder| builder.concurrency(1).load_timeout(secs(2)));
    let first = stage.reader("a");
    tokio::task::yield_now().await;
    stage.clock.advance(Duration::from_millis(500));
    let second = stage.reader("b");
    while stage.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    stage.clock.advance(secs(3));
    assert!(matches!(first.await.unwrap(), Err(Error::Timeout { .. })));
    stage.source.go.add_permits(9);
    assert!(
        matches!(second.await.unwrap(), Err(Error::Timeout { .. })),
        "it waited too long and was answered"
    );
    assert_eq!(stage.asked(), [vec!["a"]], "a load began after its time");
}

/// A reader's poll asks the source for the reader's own key; what came meanwhile is a task's to load.
#[tokio::test]
async fn a_reader_does_not_load_what_others_wait_for() {
    let asked: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let own: Arc<std::sync::OnceLock<Namespace<u64>>> = Arc::default();
    let source = {
        let (asked, own) = (Arc::clone(&asked), Arc::clone(&own));
        forebay::load_one(move |id: String| {
            asked.lock().unwrap().push(id.clone());
            let namespace = own.get().unwrap().clone();
            async move {
                if id == "a" {
                    let mut other = Box::pin(namespace.get("b"));
                    assert!(poll_once(other.as_mut()).is_pending(), "there is one slot, and it is taken");
                }
                Ok::<_, std::convert::Infallible>(Some(7))
            }
        })
    };
    let engine = Forebay::builder().clock(Clock::simulated()).build().unwrap();
    let namespace =
        engine.namespace("n").key("n:{id}").ttl(secs(60)).concurrency(1).source(source).build().unwrap();
    own.set(namespace.clone()).unwrap();
    let mut reader = Box::pin(namespace.get("a"));
    assert!(poll_once(reader.as_mut()).is_ready(), "the source answered at once");
    assert_eq!(*asked.lock().unwrap(), ["a"]);
    engine.idle().await;
    assert_eq!(*asked.lock().unwrap(), ["a", "b"]);
}

fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> std::task::Poll<T> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}
