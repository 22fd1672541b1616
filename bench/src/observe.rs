//! `observe`: what statistics cost a memory hit.
//!
//! One binary cannot hold the engine without them, so that their cost is measured where it falls. The same keys are read
//! twice over: once as they are, and once with each outcome counted a second time, in counters of another namespace. What
//! the second counting adds is what the first costs in the midst of a hit, among its other loads and locks. `ours` is the
//! hit; `theirs`, a hit without statistics, is the hit less that. The loop and the draw of the keys are in both.
//!
//! A round is short and comes again thousands of times, since the difference of two long ones drowns in whatever else the
//! machine does. So every round finds its entries in the processor's caches: this is the cheapest hit, of which statistics
//! are the greatest part.
//!
//! The notes give the parts by themselves, in a loop that does nothing else: the counting of an outcome, the recording of
//! an age with every hit instead of a sample of them, and the remembering of an event, which hits do not do.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use forebay::observe::{AGE_SAMPLED_ONE_IN, Counters, EVENTS_MAX, Events, Freshness, Histogram, Tier, What};
use forebay::rt::Tick;
use forebay::{Forebay, Namespace, ReadOutcome, load_many};

use crate::error::Error;
use crate::report::{Better, Comparison};
use crate::rounds::medians;
use crate::zipf::Zipf;
use crate::{Extent, Settings};

pub(crate) const MEASURES: &str = "what statistics cost a memory hit: read_now against itself without them";
pub(crate) const GOAL: &str = "ratio >= 0.9";

const GOAL_RATIO: f64 = 0.9;
const ENTRIES: u32 = 100_000;
const EXPONENT: f64 = 0.99;
const SEED: u64 = 0x0b5e_11e5;

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let (rounds, reads) = match settings.extent {
        Extent::Full => (5_001, 2_000),
        Extent::Quick => (101, 2_000),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let namespace = runtime.block_on(filled_namespace())?;
    let mut zipf = Zipf::new(ENTRIES, EXPONENT, SEED);
    let keys: Vec<String> = (0..reads).map(|_| key(zipf.draw())).collect();
    let (counters, ages, events) = (Counters::default(), Histogram::default(), Events::default());
    let times = medians(
        rounds,
        [
            &mut || read_all(&namespace, &keys, |_| ()),
            &mut || read_all(&namespace, &keys, |outcome| counters.read(outcome)),
            &mut || for_all(&keys, |_, _| ()),
            &mut || for_all(&keys, |_, outcome| counters.read(outcome)),
            &mut || for_all(&keys, |_, outcome| ages.record(u64::from(outcome.age.subsec_millis()))),
            &mut || for_all(&keys, |key, _| events.record(Tick::default(), 0, key.as_bytes(), What::Written)),
        ],
    )?;
    let [hit, twice, alone, count, age, event] =
        times.map(|time| time.as_secs_f64() * 1e9 / f64::from(reads));
    writeln!(
        out,
        "# {ENTRIES} entries, Zipf({EXPONENT}), median of {rounds} rounds of {reads} reads; statistics add {:.1} ns to \
         a hit",
        twice - hit
    )?;
    writeln!(
        out,
        "# by itself: an outcome counted {:.1} ns (one age in {AGE_SAMPLED_ONE_IN} recorded), every age recorded \
         {:.1} ns more, an event remembered {:.1} ns (the last {EVENTS_MAX})",
        count - alone,
        age - alone,
        event - alone
    )?;
    let theirs = hit - (twice - hit);
    let peer = "without-statistics";
    let (bench, better) = ("observe", Better::Less);
    writeln!(out, "{}", Comparison { bench, ours: hit, peer, theirs, unit: "ns", better, goal: GOAL_RATIO })?;
    Ok(())
}

/// A namespace with every key loaded through its source.
async fn filled_namespace() -> Result<Namespace<u64>, Error> {
    let namespace = Forebay::new()?
        .namespace::<u64>("items")
        .key("item:{id}")
        .ttl(Duration::from_secs(24 * 60 * 60))
        .stale_while_revalidate(Duration::from_secs(60))
        .source(load_many(async |ids: Vec<String>| {
            Ok::<HashMap<String, u64>, Infallible>(ids.into_iter().map(|id| (id, 7)).collect())
        }))
        .build()?;
    for rank in (0..).take_while(|&rank| u32::try_from(rank).is_ok_and(|rank| rank < ENTRIES)) {
        namespace.read(key(rank).as_bytes()).await?;
    }
    Ok(namespace)
}

/// The key of a rank. Popular keys are not neighbours by name.
fn key(rank: usize) -> String {
    format!("item:{:06}", rank.wrapping_mul(48_271) % 100_003)
}

/// Reads every key, which must be a hit, and hands over its outcome.
fn read_all(
    namespace: &Namespace<u64>,
    keys: &[String],
    mut then: impl FnMut(&ReadOutcome),
) -> Result<(), Error> {
    let mut found = 0;
    for key in keys {
        if let Some(read) = black_box(namespace.read_now(key.as_bytes())) {
            then(&read.outcome);
            found += 1;
        }
    }
    let wanted = u64::try_from(keys.len()).unwrap_or(u64::MAX);
    if found == wanted { Ok(()) } else { Err(Error::Misses { cache: "forebay", found, wanted }) }
}

/// Hands over every key with an outcome.
fn for_all(keys: &[String], mut then: impl FnMut(&str, &ReadOutcome)) -> Result<(), Error> {
    keys.iter().for_each(|key| then(key, black_box(&outcome(key))));
    Ok(())
}

/// A hit's outcome, of an age that differs from key to key.
fn outcome(key: &str) -> ReadOutcome {
    let age = Duration::from_millis(key.bytes().next_back().map(u64::from).unwrap_or_default());
    ReadOutcome {
        tier: Tier::Memory,
        freshness: Freshness::Fresh,
        began: forebay::rt::Tick::default(),
        age,
        fresh_for: Duration::from_secs(60),
        stale_for: Duration::ZERO,
    }
}
