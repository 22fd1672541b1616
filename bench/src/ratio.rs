//! `ratio`: hit ratios on access traces, the shipped default policy beside peers.
//!
//! Every cache starts cold and is asked for each request in turn; a miss is filled at once. All entries weigh the same, and
//! the room is 1 % or 10 % of the trace's different keys. Ours runs through the public engine as it ships, shards and
//! bookkeeping included: values of [`VALUE_BYTES`], and the budget that holds so many of them. moka is settled: its housekeeping
//! runs after each fill and each 32nd request, so that its capacity is really held; quick_cache is its `sync` cache with
//! default shards, foyer one shard with the default configuration of each of its four policies.

use std::io::Write;
use std::path::Path;

use forebay::Value;
use foyer_memory::{CacheBuilder, EvictionConfig, LfuConfig, LruConfig, S3FifoConfig, SieveConfig};

use crate::error::Error;
use crate::fit::{BUDGET_MIN_BYTES, Entries};
use crate::report::{Better, Comparison, verdict};
use crate::traces::{self, Trace};
use crate::{Extent, Settings, fit, peers};

pub(crate) const MEASURES: &str = "hit ratios on access traces, room for 1 % and 10 % of their keys, \
    against quick_cache, moka and foyer's four";
pub(crate) const GOAL: &str =
    "mean above the best peer's mean, no row more than 3 points below the best peer";

/// How far a row may lie below the best of the peers, in points.
const BELOW_MAX: f64 = 3.0;
/// Rows with room for fewer entries say nothing.
const ENTRIES_MIN: u32 = 10;
/// What a value of ours weighs; more where the budget would be less than an engine's least.
const VALUE_BYTES: u64 = 1024;
/// Requests of each trace in a quick run.
const QUICK_REQUESTS: usize = 60_000;

const PEERS: [&str; 6] = ["quick_cache", "moka", "foyer-s3fifo", "foyer-lfu", "foyer-sieve", "foyer-lru"];

/// What was measured at one size on one trace, in per cent of the requests.
struct Row {
    trace: String,
    size: &'static str,
    entries: u32,
    ours: f64,
    peers: [f64; PEERS.len()],
}

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let limit = match settings.extent {
        Extent::Full => usize::MAX,
        Extent::Quick => QUICK_REQUESTS,
    };
    let folder = settings.traces.as_deref().unwrap_or(Path::new(traces::OWN));
    peers::note(out, &["quick_cache", "moka", "foyer-memory"])?;
    writeln!(out, "# moka settled, foyer one shard; values of ours weigh {VALUE_BYTES} bytes or more")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    let mut rows = Vec::new();
    for trace in traces::read(folder, limit)? {
        for (size, part) in [("1%", 100), ("10%", 10)] {
            let entries = (trace.distinct + part / 2) / part;
            if entries < ENTRIES_MIN {
                continue;
            }
            let row = Row::measured(&trace, size, entries)?;
            row.write(out)?;
            out.flush()?;
            rows.push(row);
        }
    }
    judge(out, &rows)
}

impl Row {
    fn measured(trace: &Trace, size: &'static str, entries: u32) -> Result<Self, Error> {
        let foyer = |config: EvictionConfig| foyer(trace, entries, config);
        Ok(Self {
            trace: trace.name.clone(),
            size,
            entries,
            ours: ours(trace, entries)?,
            peers: [
                quick_cache(trace, entries),
                moka(trace, entries),
                foyer(S3FifoConfig::default().into()),
                foyer(LfuConfig::default().into()),
                foyer(SieveConfig.into()),
                foyer(LruConfig::default().into()),
            ],
        })
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), Error> {
        let Self { trace, size, entries, ours, peers } = self;
        write!(out, "ratio trace={trace} size={size} entries={entries} forebay={ours:.2}")?;
        for (peer, theirs) in PEERS.iter().zip(peers) {
            write!(out, " {peer}={theirs:.2}")?;
        }
        writeln!(out)?;
        Ok(())
    }

    /// The best of the peers.
    fn best(&self) -> (&'static str, f64) {
        best(&self.peers)
    }

    /// How far ours lies below the best of the peers, in points; negative where it lies above.
    fn below(&self) -> f64 {
        self.best().1 - self.ours
    }
}

fn best(peers: &[f64; PEERS.len()]) -> (&'static str, f64) {
    PEERS.into_iter().zip(*peers).max_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or_default()
}

/// The mean beside the best single peer's, and the row that lies farthest below the best of its peers.
fn judge(out: &mut dyn Write, rows: &[Row]) -> Result<(), Error> {
    let count = f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX));
    let ours = rows.iter().map(|row| row.ours).sum::<f64>() / count;
    let means =
        std::array::from_fn(|peer| rows.iter().filter_map(|row| row.peers.get(peer)).sum::<f64>() / count);
    let (peer, theirs) = best(&means);
    write!(out, "# means over {} rows:", rows.len())?;
    for (peer, mean) in PEERS.iter().zip(means) {
        write!(out, " {peer} {mean:.2}")?;
    }
    writeln!(out)?;
    let (better, goal) = (Better::More, 1.0);
    writeln!(out, "{}", Comparison { bench: "ratio-mean", ours, peer, theirs, unit: "%", better, goal })?;
    let Some(worst) = rows.iter().max_by(|one, other| one.below().total_cmp(&other.below())) else {
        return Ok(());
    };
    let Row { trace, size, ours, .. } = worst;
    let ((peer, theirs), below) = (worst.best(), worst.below());
    writeln!(
        out,
        "bench=ratio-worst row={trace}@{size} ours={ours:.2} peer={peer} theirs={theirs:.2} unit=% \
         below={below:.2} goal={BELOW_MAX} {}",
        verdict(below <= BELOW_MAX)
    )?;
    Ok(())
}

/// Asks for every request; `read` tells whether it was a hit. Per cent of hits.
fn hits(trace: &Trace, mut read: impl FnMut(u32) -> bool) -> f64 {
    let mut hits = 0_u32;
    for &key in &trace.requests {
        hits += u32::from(read(key));
    }
    f64::from(hits) * 100.0 / f64::from(u32::try_from(trace.requests.len()).unwrap_or(u32::MAX))
}

fn ours(trace: &Trace, entries: u32) -> Result<f64, Error> {
    let value_bytes = VALUE_BYTES.max(BUDGET_MIN_BYTES.div_ceil(u64::from(entries)));
    let budget_bytes = Entries { key: &text, value_bytes }.budget_bytes(entries)?;
    let (_forebay, namespace) = fit::namespace(budget_bytes)?;
    let texts: Vec<String> = (0..trace.distinct).map(text).collect();
    let mut refused = None;
    let ratio = hits(trace, |number| {
        let key = texts.get(usize::try_from(number).unwrap_or(usize::MAX)).map_or(&[][..], String::as_bytes);
        if namespace.read_now(key).is_some() {
            return true;
        }
        if let Err(error) = namespace.write(key, Value::native((), value_bytes), None) {
            refused.get_or_insert(error);
        }
        false
    });
    refused.map_or(Ok(ratio), |error| Err(error.into()))
}

/// A key as text; all are of one length.
fn text(number: u32) -> String {
    format!("{number:010}")
}

fn quick_cache(trace: &Trace, entries: u32) -> f64 {
    let cache = quick_cache::sync::Cache::new(usize::try_from(entries).unwrap_or(usize::MAX));
    hits(trace, |key| {
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.insert(key, ());
        }
        hit
    })
}

fn moka(trace: &Trace, entries: u32) -> f64 {
    let cache = moka::sync::Cache::new(u64::from(entries));
    let mut requests = 0_u32;
    hits(trace, |key| {
        requests += 1;
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.insert(key, ());
        }
        if !hit || requests.is_multiple_of(32) {
            cache.run_pending_tasks();
        }
        hit
    })
}

fn foyer(trace: &Trace, entries: u32, config: EvictionConfig) -> f64 {
    let cache: foyer_memory::Cache<u32, ()> =
        CacheBuilder::new(usize::try_from(entries).unwrap_or(usize::MAX))
            .with_shards(1)
            .with_eviction_config(config)
            .build();
    hits(trace, |key| {
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.insert(key, ());
        }
        hit
    })
}

#[cfg(test)]
mod tests {
    use super::{PEERS, Row, judge};

    fn row(ours: f64, moka: f64) -> Row {
        let mut peers = [0.0; PEERS.len()];
        peers[1] = moka;
        Row { trace: format!("t{moka}"), size: "1%", entries: 10, ours, peers }
    }

    fn judged(rows: &[Row]) -> String {
        let mut out = Vec::new();
        judge(&mut out, rows).unwrap();
        String::from_utf8(out).unwrap().lines().skip(1).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_good_mean_does_not_hide_a_bad_row() {
        assert_eq!(
            judged(&[row(90.0, 50.0), row(40.0, 43.5)]),
            "bench=ratio-mean ours=65.0 peer=moka theirs=46.8 unit=% ratio=1.39 goal=1 ok\n\
             bench=ratio-worst row=t43.5@1% ours=40.00 peer=moka theirs=43.50 unit=% below=3.50 goal=3 short"
        );
    }

    #[test]
    fn rows_near_the_best_do_not_make_a_good_mean() {
        assert_eq!(
            judged(&[row(47.5, 50.0), row(38.5, 40.0)]),
            "bench=ratio-mean ours=43.0 peer=moka theirs=45.0 unit=% ratio=0.95 goal=1 short\n\
             bench=ratio-worst row=t50@1% ours=47.50 peer=moka theirs=50.00 unit=% below=2.50 goal=3 ok"
        );
    }
}
