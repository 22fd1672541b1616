//! `race`: who keeps a stale value when an invalidation overtakes a load.
//!
//! The same steps for every cache, in an order that channels force: a read misses and its load reads the old value; the
//! truth changes; the invalidation of the key returns; the load ends. Then the key is read again. A cache that answers
//! the old value has stored it after the invalidation and serves it until its TTL.
//!
//! Caches are used by the single-flight call that their own documentation offers. `hand-written` is what applications
//! write over a plain cache: get, load, insert.

use std::convert::Infallible;
use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use forebay::rt::Clock;
use forebay::{Forebay, load_one};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};

use crate::error::Error;
use crate::report::{verdict, yes_no};
use crate::{Settings, peers};

pub(crate) const MEASURES: &str =
    "an invalidation that overtakes a load: who answers the old value afterwards";
pub(crate) const GOAL: &str = "kept_stale=no";

const OURS: &str = "forebay";
const KEY: &str = "quote";
const CAPACITY: u16 = 100;
/// What the truth is before the invalidation, and from then on.
const OLD: u32 = 1;
const NEW: u32 = 2;
/// How long a load may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(out: &mut dyn Write, _: &Settings) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let ours = runtime.block_on(forebay())? == OLD;
    let peers = [
        ("moka-sync", moka_sync(&runtime)?),
        ("moka-future", runtime.block_on(moka_future())?),
        ("quick_cache-sync", quick_cache_sync(&runtime)?),
        ("quick_cache-async", runtime.block_on(quick_cache_async())?),
        ("foyer", runtime.block_on(foyer())?),
        ("hand-written", hand_written(&runtime)?),
    ]
    .map(|(peer, answered)| (peer, answered == OLD));
    peers::note(out, &["moka", "quick_cache", "foyer-memory"])?;
    for (peer, kept) in std::iter::once((OURS, ours)).chain(peers) {
        writeln!(out, "race peer={peer} kept_stale={}", yes_no(kept))?;
    }
    for (peer, kept) in peers {
        let (ours_kept, theirs_kept) = (yes_no(ours), yes_no(kept));
        let verdict = verdict(!ours);
        writeln!(
            out,
            "bench=race ours={ours_kept} peer={peer} theirs={theirs_kept} unit=kept_stale goal=no {verdict}"
        )?;
    }
    if ours { Err(Error::KeptStale) } else { Ok(()) }
}

/// The truth behind a cache, and the gate that holds its first load.
struct Stage {
    cache: &'static str,
    truth: AtomicU32,
    /// One permit for each load that has read the truth.
    has_read: Semaphore,
    gate_is_open: watch::Sender<bool>,
}

impl Stage {
    fn new(cache: &'static str) -> Self {
        Self {
            cache,
            truth: AtomicU32::new(OLD),
            has_read: Semaphore::new(0),
            gate_is_open: watch::Sender::new(false),
        }
    }

    /// A load: reads the truth, then ends when the gate is open.
    async fn load(&self) -> u32 {
        let read = self.truth.load(Ordering::SeqCst);
        self.has_read.add_permits(1);
        // The sender lives in `self`, so the wait ends only by the gate.
        let _ = self.gate_is_open.subscribe().wait_for(|open| *open).await;
        read
    }

    /// Once a load has read the old truth: changes the truth, invalidates, and then lets the load end.
    async fn overtake(&self, invalidate: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        let has_read = Clock::system().timeout(PATIENCE, self.has_read.acquire()).await;
        self.truth.store(NEW, Ordering::SeqCst);
        let invalidated = invalidate.await;
        self.gate_is_open.send_replace(true);
        match has_read {
            Ok(_) => invalidated,
            Err(_) => Err(Error::NoLoad { cache: self.cache, seconds: PATIENCE.as_secs() }),
        }
    }

    /// The race for a cache that waits asynchronously; what it answers afterwards.
    async fn run<R: Future<Output = Result<u32, Error>>>(
        &self,
        read: impl Fn() -> R,
        invalidate: impl Future<Output = Result<(), Error>>,
    ) -> Result<u32, Error> {
        let (first, overtaken) = tokio::join!(read(), self.overtake(invalidate));
        overtaken?;
        first?;
        read().await
    }

    /// The race for a cache that blocks its reader; what it answers afterwards.
    fn run_blocking(
        &self,
        runtime: &Runtime,
        read: impl Fn(&dyn Fn() -> u32) -> u32 + Sync,
        invalidate: impl Fn(),
    ) -> Result<u32, Error> {
        let load = || runtime.block_on(self.load());
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| read(&load));
            let invalidate = async {
                invalidate();
                Ok(())
            };
            let overtaken = runtime.block_on(self.overtake(invalidate));
            reader.join().map_err(|_| Error::ReaderPanicked { cache: self.cache })?;
            overtaken
        })?;
        Ok(read(&load))
    }
}

async fn forebay() -> Result<u32, Error> {
    let stage = Arc::new(Stage::new(OURS));
    let source = Arc::clone(&stage);
    let namespace = Forebay::new()?
        .namespace::<u32>("quotes")
        .key("{name}")
        .ttl(Duration::from_secs(60))
        .source(load_one(move |_: String| {
            let source = Arc::clone(&source);
            async move { Ok::<_, Infallible>(Some(source.load().await)) }
        }))
        .build()?;
    let read = async || Ok(namespace.get(KEY).await?.map_or(0, |value| *value));
    let invalidate = async {
        namespace.invalidate(KEY).await?;
        Ok(())
    };
    stage.run(read, invalidate).await
}

fn moka_sync(runtime: &Runtime) -> Result<u32, Error> {
    let cache = moka::sync::Cache::new(CAPACITY.into());
    let read = |load: &dyn Fn() -> u32| cache.get_with(KEY.to_owned(), load);
    Stage::new("moka-sync").run_blocking(runtime, read, || cache.invalidate(KEY))
}

async fn moka_future() -> Result<u32, Error> {
    let stage = Stage::new("moka-future");
    let cache = moka::future::Cache::new(CAPACITY.into());
    let read = async || Ok(cache.get_with(KEY.to_owned(), stage.load()).await);
    let invalidate = async {
        cache.invalidate(KEY).await;
        Ok(())
    };
    stage.run(read, invalidate).await
}

fn quick_cache_sync(runtime: &Runtime) -> Result<u32, Error> {
    let cache = quick_cache::sync::Cache::<String, u32>::new(CAPACITY.into());
    let read = |load: &dyn Fn() -> u32| match cache.get_or_insert_with(KEY, || Ok::<_, Infallible>(load())) {
        Ok(value) => value,
    };
    Stage::new("quick_cache-sync").run_blocking(runtime, read, || drop(cache.remove(KEY)))
}

async fn quick_cache_async() -> Result<u32, Error> {
    let stage = Stage::new("quick_cache-async");
    let cache = quick_cache::sync::Cache::<String, u32>::new(CAPACITY.into());
    let read = async || {
        let load = async { Ok::<_, Infallible>(stage.load().await) };
        match cache.get_or_insert_async(KEY, load).await {
            Ok(value) => Ok(value),
        }
    };
    let invalidate = async {
        cache.remove(KEY);
        Ok(())
    };
    stage.run(read, invalidate).await
}

async fn foyer() -> Result<u32, Error> {
    let stage = Arc::new(Stage::new("foyer"));
    let capacity = usize::from(CAPACITY);
    let cache: foyer_memory::Cache<String, u32> = foyer_memory::CacheBuilder::new(capacity).build();
    let read = async || {
        let source = Arc::clone(&stage);
        let load = || async move { Ok::<_, Infallible>(source.load().await) };
        cache
            .get_or_fetch(KEY, load)
            .await
            .map(|entry| *entry.value())
            .map_err(|_| Error::NoValue { cache: "foyer" })
    };
    let invalidate = async {
        cache.remove(KEY);
        Ok(())
    };
    stage.run(read, invalidate).await
}

fn hand_written(runtime: &Runtime) -> Result<u32, Error> {
    let cache = quick_cache::sync::Cache::<String, u32>::new(CAPACITY.into());
    let read = |load: &dyn Fn() -> u32| {
        cache.get(KEY).unwrap_or_else(|| {
            let loaded = load();
            cache.insert(KEY.to_owned(), loaded);
            loaded
        })
    };
    Stage::new("hand-written").run_blocking(runtime, read, || drop(cache.remove(KEY)))
}
