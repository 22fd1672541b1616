//! `mixed`: reads by Zipf's law over more keys than fit, one thread, misses filled.
//!
//! Each cache fills a miss by the call that its documentation offers for that: ours by its load path (a source, a flight,
//! the fence), quick_cache by `get_or_insert_with`, moka by `get_with_by_ref`. The source answers at once and is part of the
//! time. Everybody has room for the same number of entries and is given the same keys, drawn before the clock starts.

use std::convert::Infallible;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use forebay::{Forebay, Namespace, load_one};

use crate::error::Error;
use crate::fit::Entries;
use crate::report::{Better, Comparison};
use crate::rounds::medians;
use crate::zipf::Zipf;
use crate::{Extent, Settings, peers};

pub(crate) const MEASURES: &str =
    "reads by Zipf(0.99) over 1,000,000 keys, room for 100,000, misses filled, against quick_cache and moka";
pub(crate) const GOAL: &str = "ratio >= 0.7 to quick_cache, >= 4 to moka";

const GOAL_QUICK_CACHE: f64 = 0.7;
const GOAL_MOKA: f64 = 4.0;

const EXPONENT: f64 = 0.99;
const SEED: u64 = 0x0f0e_bae1;

type Item = [u8; 100];
const ITEM: Item = [7; 100];

/// How much work.
struct Size {
    keys: u32,
    room: u32,
    rounds: usize,
    reads: usize,
}

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let Size { keys, room, rounds, reads } = match settings.extent {
        Extent::Full => Size { keys: 1_000_000, room: 100_000, rounds: 9, reads: 1_000_000 },
        Extent::Quick => Size { keys: 100_000, room: 10_000, rounds: 3, reads: 100_000 },
    };
    let names: Vec<String> = names(keys);
    let drawn = drawn(&names, keys, (rounds + 1) * reads);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let ours = runtime.block_on(namespace(room))?;
    let capacity = usize::try_from(room).unwrap_or(usize::MAX);
    let quick_cache = quick_cache::sync::Cache::<String, Arc<Item>>::new(capacity);
    let moka = moka::sync::Cache::<String, Arc<Item>>::new(u64::from(room));
    let (mut round_of_ours, mut round_of_quick_cache, mut round_of_moka) =
        (drawn.chunks(reads), drawn.chunks(reads), drawn.chunks(reads));
    let mut misses = [0_u32; 2];
    let [misses_of_quick_cache, misses_of_moka] = &mut misses;
    let times = medians(
        rounds,
        [
            &mut || runtime.block_on(read_ours(&ours, round_of_ours.next().unwrap_or_default())),
            &mut || {
                for key in round_of_quick_cache.next().unwrap_or_default() {
                    let fill = || {
                        *misses_of_quick_cache += 1;
                        Ok::<_, Infallible>(Arc::new(ITEM))
                    };
                    black_box(quick_cache.get_or_insert_with(*key, fill).ok());
                }
                Ok(())
            },
            &mut || {
                for key in round_of_moka.next().unwrap_or_default() {
                    let fill = || {
                        *misses_of_moka += 1;
                        Arc::new(ITEM)
                    };
                    black_box(moka.get_with_by_ref(*key, fill));
                }
                Ok(())
            },
        ],
    )?;
    let all = f64::from(u32::try_from(drawn.len()).unwrap_or(u32::MAX));
    let counts = ours.counts();
    let hits_of_ours = 100.0 - as_f64(counts.misses) * 100.0 / all;
    let [hits_of_quick_cache, hits_of_moka] = misses.map(|misses| 100.0 - f64::from(misses) * 100.0 / all);
    peers::note(out, &["quick_cache", "moka"])?;
    writeln!(
        out,
        "# {keys} keys, Zipf({EXPONENT}), room for {room}, median of {rounds} rounds of {reads} reads; hits: forebay \
         {hits_of_ours:.1} %, quick_cache {hits_of_quick_cache:.1} %, moka {hits_of_moka:.1} %"
    )?;
    let per_read = f64::from(u32::try_from(reads).unwrap_or(u32::MAX));
    let [ours, quick_cache, moka] = times.map(|time| time.as_secs_f64() * 1e9 / per_read);
    for (peer, theirs, goal) in [("quick_cache", quick_cache, GOAL_QUICK_CACHE), ("moka", moka, GOAL_MOKA)] {
        let (bench, better) = ("mixed", Better::Less);
        writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit: "ns", better, goal })?;
    }
    Ok(())
}

async fn read_ours(namespace: &Namespace<Item>, keys: &[&str]) -> Result<(), Error> {
    for key in keys {
        black_box(namespace.get(*key).await?);
    }
    Ok(())
}

/// A namespace with a source and room for `room` of its entries.
async fn namespace(room: u32) -> Result<Namespace<Item>, Error> {
    let value_bytes = u64::try_from(size_of::<Item>()).unwrap_or(u64::MAX);
    let budget_bytes = Entries { key: &name, value_bytes }.budget_bytes(room)?;
    let source = load_one(async |_: String| Ok::<_, Infallible>(Some(ITEM)));
    let forebay = Forebay::builder().memory_budget_bytes(budget_bytes).build()?;
    let namespace = forebay.namespace("items").key("{id}").ttl(Duration::from_secs(24 * 60 * 60));
    Ok(namespace.source(source).build()?)
}

fn name(number: u32) -> String {
    format!("item:{number:06}")
}

/// The keys by rank, the most popular first; names and ranks have nothing to do with each other.
fn names(keys: u32) -> Vec<String> {
    let mut names: Vec<String> = (0..keys).map(name).collect();
    fastrand::Rng::with_seed(SEED).shuffle(&mut names);
    names
}

fn drawn(names: &[String], keys: u32, reads: usize) -> Vec<&str> {
    let mut zipf = Zipf::new(keys, EXPONENT, SEED);
    (0..reads).filter_map(|_| names.get(zipf.draw())).map(String::as_str).collect()
}

fn as_f64(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
