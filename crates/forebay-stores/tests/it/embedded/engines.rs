//! Engines over the embedded tier: a cache restarts warm, and what was invalidated stays so.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use forebay::tier::shared::SharedTier;
use forebay::value::Codec;
use forebay::{Forebay, Namespace, load_one, secs};
use forebay_stores::disk::{Disk, DiskError, DiskOptions};
use forebay_stores::tier::embedded::{EmbeddedOptions, EmbeddedTier};

struct Digits;

impl Codec<i64> for Digits {
    fn encode(&self, value: &i64) -> Option<Bytes> {
        Some(value.to_string().into())
    }

    fn decode(&self, bytes: &[u8]) -> Option<(i64, u64)> {
        Some((std::str::from_utf8(bytes).ok()?.parse().ok()?, 8))
    }
}

/// A process: an engine over the tier in a folder, and how often its source was asked.
pub struct Process {
    disk: Disk,
    tier: Arc<EmbeddedTier>,
    engine: Forebay,
    pub prices: Namespace<i64>,
    pub asked: Arc<AtomicU64>,
}

impl Process {
    /// Its source gives `base` and the key's number together.
    pub async fn start(folder: &Path, base: i64) -> Self {
        Self::open(folder, base).await.unwrap()
    }

    /// As [`start`](Self::start), where the disk may refuse.
    pub async fn open(folder: &Path, base: i64) -> Result<Self, DiskError> {
        let disk = Disk::open(folder, DiskOptions::default()).await?;
        let tier = Arc::new(EmbeddedTier::open(disk.clone(), EmbeddedOptions::default()).await?);
        let shared: Arc<dyn SharedTier> = Arc::<EmbeddedTier>::clone(&tier);
        let engine = Forebay::builder().shared_tier(shared).build().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        let load = move |number: i64| {
            count.fetch_add(1, Ordering::Relaxed);
            async move { Ok::<_, Infallible>(Some(base + number)) }
        };
        let prices =
            engine.namespace("prices").key("price:{number:integer}").ttl(secs(3600)).tags(&["all:prices"]);
        let prices = prices.codec(Digits).source(load_one(load)).build().unwrap();
        Ok(Self { disk, tier, engine, prices, asked })
    }

    /// Waits until what goes on beside the answers is over.
    pub async fn settled(&self) {
        self.engine.idle().await;
    }

    pub async fn get(&self, number: i64) -> i64 {
        *self.prices.get(number).await.unwrap().unwrap()
    }

    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub async fn end(self) {
        self.engine.idle().await;
        drop((self.prices, self.engine));
        self.tier.close().await.unwrap();
        self.disk.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_restarts_warm() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path(), 100).await;
    for number in 0..50 {
        assert_eq!(first.get(number).await, 100 + number);
    }
    assert_eq!(first.asked(), 50);
    first.prices.invalidate(7_i64).await.unwrap();
    first.end().await;

    let second = Process::start(folder.path(), 200).await;
    for number in 0..50 {
        let expected = if number == 7 { 207 } else { 100 + number };
        assert_eq!(second.get(number).await, expected);
    }
    assert_eq!(second.asked(), 1, "only what was invalidated is loaded");
    second.engine.invalidate_tag("all:prices").await.unwrap();
    second.end().await;

    let third = Process::start(folder.path(), 300).await;
    assert_eq!((third.get(7).await, third.get(8).await), (307, 308));
    third.end().await;
}
