//! `hit`: what a memory hit costs in process, on one thread, beside quick_cache and moka.
//!
//! Every key is present and every read is a hit (checked). The keys are drawn before the clock starts, the same ones for
//! all. Peers look up the whole text of the key as it was stored, as a `&str`; the typed get of ours is given the
//! parameter alone and has to write the key first, as it must for its users. Ours runs with what a namespace has in use:
//! a source, a TTL, jitter, a stale window, the fence and the counters.
//!
//! Lines called `hit` are for [`Namespace::get`] within a tokio runtime, lines called `hit-now` for
//! [`Namespace::read_now`], by which front ends read.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use forebay::{Forebay, Namespace, load_many};
use tokio::runtime::Runtime;

use crate::error::Error;
use crate::report::{Better, Comparison};
use crate::rounds::medians;
use crate::zipf::Zipf;
use crate::{Extent, Settings, peers};

pub(crate) const MEASURES: &str = "a memory hit in process: typed get, and read_now by the key's text, \
    100,000 entries, Zipf(0.99), against quick_cache and moka";
pub(crate) const GOAL: &str = "ratio >= 0.7 to quick_cache, >= 2 to moka";

const GOAL_QUICK_CACHE: f64 = 0.7;
const GOAL_MOKA: f64 = 2.0;

const ENTRIES: u32 = 100_000;
/// Room for twice the entries, so that no peer evicts because its shards fill unevenly.
const CAPACITY: u32 = 2 * ENTRIES;
const EXPONENT: f64 = 0.99;
const SEED: u64 = 0x0f0e_bae1;
const PREFIX: &str = "item:";

type Item = [u8; 100];
const ITEM: Item = [7; 100];

/// The caches under comparison, each with every entry.
struct Caches {
    runtime: Runtime,
    ours: Namespace<Item>,
    quick_cache: quick_cache::sync::Cache<String, Arc<Item>>,
    moka: moka::sync::Cache<String, Arc<Item>>,
}

/// Reads to make, in order: the keys' parameters, and their whole texts.
struct Reads<'k> {
    ids: Vec<&'k str>,
    texts: Vec<&'k str>,
}

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let (rounds, reads) = match settings.extent {
        Extent::Full => (15, 1_000_000),
        Extent::Quick => (3, 50_000),
    };
    let keys = keys();
    let caches = Caches::filled(&keys)?;
    let reads_of_a_round = Reads::drawn(&keys, reads);
    let Reads { ids, texts } = &reads_of_a_round;
    let times = medians(
        rounds,
        [
            &mut || all_hits("the loop alone", texts, |text| hit(text.as_bytes().last().copied())),
            &mut || caches.read_ours(ids),
            &mut || all_hits("quick_cache", texts, |text| hit(caches.quick_cache.get(text))),
            &mut || all_hits("forebay", texts, |text| hit(caches.ours.read_now(text.as_bytes()))),
            &mut || all_hits("moka", texts, |text| hit(caches.moka.get(text))),
        ],
    )?;
    let [alone, get, quick_cache, read_now, moka] =
        times.map(|time| time.as_secs_f64() * 1e9 / f64::from(reads));
    peers::note(out, &["quick_cache", "moka"])?;
    writeln!(
        out,
        "# {ENTRIES} entries, Zipf({EXPONENT}), median of {rounds} rounds of {reads} reads; of every figure the \
         loop and the key itself are {alone:.1} ns"
    )?;
    for (bench, ours) in [("hit", get), ("hit-now", read_now)] {
        for (peer, theirs, goal) in
            [("quick_cache", quick_cache, GOAL_QUICK_CACHE), ("moka", moka, GOAL_MOKA)]
        {
            let better = Better::Less;
            writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit: "ns", better, goal })?;
        }
    }
    Ok(())
}

impl Caches {
    fn filled(keys: &[String]) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let ours = runtime.block_on(filled_namespace(keys))?;
        let capacity = usize::try_from(CAPACITY).unwrap_or(usize::MAX);
        let quick_cache = quick_cache::sync::Cache::new(capacity);
        let moka = moka::sync::Cache::new(u64::from(CAPACITY));
        for key in keys {
            quick_cache.insert(key.clone(), Arc::new(ITEM));
            moka.insert(key.clone(), Arc::new(ITEM));
        }
        moka.run_pending_tasks();
        Ok(Self { runtime, ours, quick_cache, moka })
    }

    fn read_ours(&self, ids: &[&str]) -> Result<(), Error> {
        self.runtime.block_on(async {
            let mut found = 0;
            for id in ids {
                found += u64::from(hit(self.ours.get(*id).await?));
            }
            check("forebay", found, ids)
        })
    }
}

/// A namespace with every key loaded through its source.
async fn filled_namespace(keys: &[String]) -> Result<Namespace<Item>, Error> {
    let namespace = Forebay::new()?
        .namespace::<Item>("items")
        .key("item:{id}")
        .ttl(Duration::from_secs(24 * 60 * 60))
        .stale_while_revalidate(Duration::from_secs(60))
        .jitter(Duration::from_secs(60))
        .source(load_many(async |ids: Vec<String>| {
            Ok::<HashMap<String, Item>, Infallible>(ids.into_iter().map(|id| (id, ITEM)).collect())
        }))
        .build()?;
    for key in keys {
        namespace.read(key.as_bytes()).await?;
    }
    Ok(namespace)
}

impl<'k> Reads<'k> {
    fn drawn(keys: &'k [String], reads: u32) -> Self {
        let mut zipf = Zipf::new(ENTRIES, EXPONENT, SEED);
        let texts: Vec<&str> = (0..reads).filter_map(|_| keys.get(zipf.draw())).map(String::as_str).collect();
        let ids = texts.iter().filter_map(|text| text.strip_prefix(PREFIX)).collect();
        Self { ids, texts }
    }
}

/// The keys by rank, the most popular first. Their order is not that of their names, so that popular entries are not
/// neighbours in memory when caches are filled by name.
fn keys() -> Vec<String> {
    let mut keys: Vec<String> = (0..ENTRIES).map(|number| format!("{PREFIX}{number:06}")).collect();
    fastrand::Rng::with_seed(SEED).shuffle(&mut keys);
    keys
}

/// Reads every text; every read must be a hit.
fn all_hits(cache: &'static str, texts: &[&str], mut read: impl FnMut(&str) -> bool) -> Result<(), Error> {
    let found = texts.iter().map(|text| u64::from(read(text))).sum();
    check(cache, found, texts)
}

fn check(cache: &'static str, found: u64, reads: &[&str]) -> Result<(), Error> {
    let wanted = u64::try_from(reads.len()).unwrap_or(u64::MAX);
    if found == wanted { Ok(()) } else { Err(Error::Misses { cache, found, wanted }) }
}

/// Whether a read found its value, which it has to have handed over.
fn hit<T>(value: Option<T>) -> bool {
    black_box(value).is_some()
}
