//! `herd` and `cold`: what reaches the source, and how long it takes, when ten thousand readers come at once.
//!
//! `herd`: all of them want one cold key. `cold`: each wants another one, and the comparison is what a service does that
//! has no batching loader: one query a key, as many at a time as ours may ask. All sources wait by the same timer, whose
//! grain is a millisecond; every reader is a task of its own.

use std::convert::Infallible;
use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use forebay::rt::{Clock, Tasks};
use forebay::{Forebay, load_many, load_one};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::Settings;
use crate::error::Error;
use crate::report::{Better, Comparison};
use crate::rounds::median;

pub(crate) const HERD_MEASURES: &str =
    "10,000 readers of one cold key: the source's queries, and the time until the last answer";
pub(crate) const HERD_GOAL: &str = "exactly 1 query, the last answer within the source's latency + 20 ms";
pub(crate) const COLD_MEASURES: &str =
    "10,000 readers of different cold keys, a source of 5 ms, against one query a key, 16 at a time";
pub(crate) const COLD_GOAL: &str = "at most 1/50 of the queries, ratio >= 10 in time";

const READERS: u32 = 10_000;
const HERDS: u32 = 5;
const HERD_LATENCY: Duration = Duration::from_millis(50);
const HERD_GRACE: Duration = Duration::from_millis(20);
const COLD_LATENCY: Duration = Duration::from_millis(5);
const COLD_GOAL_QUERIES: f64 = 50.0;
const COLD_GOAL_TIME: f64 = 10.0;
const AT_ONCE: usize = 16;
const TTL: Duration = Duration::from_secs(60 * 60);

/// The source behind all: it takes `latency` for a query and counts them.
#[derive(Debug)]
struct Back {
    clock: Clock,
    latency: Duration,
    queries: AtomicU32,
}

impl Back {
    fn new(latency: Duration) -> Arc<Self> {
        Arc::new(Self { clock: Clock::system(), latency, queries: AtomicU32::new(0) })
    }

    async fn query(&self) {
        self.queries.fetch_add(1, Ordering::Relaxed);
        self.clock.sleep(self.latency).await;
    }

    fn queries(&self) -> f64 {
        f64::from(self.queries.load(Ordering::Relaxed))
    }
}

pub(crate) fn herd(out: &mut dyn Write, _: &Settings) -> Result<(), Error> {
    let runtime = runtime()?;
    let mut most_queries = 0.0_f64;
    let mut took = Vec::new();
    for _ in 0..HERDS {
        let (back, last) = one_herd(&runtime)?;
        most_queries = most_queries.max(back.queries());
        took.push(last);
    }
    writeln!(out, "# {HERDS} herds: the most queries, the median time; the source takes {HERD_LATENCY:?}")?;
    let (bench, ours, peer, theirs) = ("herd-queries", most_queries, "readers", f64::from(READERS));
    let (unit, better, goal) = ("queries", Better::Less, f64::from(READERS));
    writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
    let (bench, ours) = ("herd-last", ms(median(took)));
    let (peer, theirs) = ("source+20ms", ms(HERD_LATENCY + HERD_GRACE));
    let (unit, better, goal) = ("ms", Better::Less, 1.0);
    writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
    Ok(())
}

fn one_herd(runtime: &Runtime) -> Result<(Arc<Back>, Duration), Error> {
    let back = Back::new(HERD_LATENCY);
    let source = Arc::clone(&back);
    let namespace = {
        let _entered = runtime.enter();
        let load = load_one(move |_: String| {
            let source = Arc::clone(&source);
            async move {
                source.query().await;
                Ok::<_, Infallible>(Some(1_u32))
            }
        });
        Forebay::new()?.namespace::<u32>("herd").key("{name}").ttl(TTL).source(load).build()?
    };
    let took = at_once(runtime, "herd", |_| {
        let namespace = namespace.clone();
        async move { namespace.get("cold").await.is_ok_and(|value| value.is_some()) }
    })?;
    Ok((back, took))
}

pub(crate) fn cold(out: &mut dyn Write, _: &Settings) -> Result<(), Error> {
    let runtime = runtime()?;
    let (back, took) = cold_of_ours(&runtime)?;
    let (back_of_theirs, took_theirs) = cold_of_one_a_key(&runtime)?;
    let peer = "one-a-key";
    let (bench, ours, theirs) = ("cold-queries", back.queries(), back_of_theirs.queries());
    let (unit, better, goal) = ("queries", Better::Less, COLD_GOAL_QUERIES);
    writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
    let (bench, ours, theirs) = ("cold", ms(took), ms(took_theirs));
    let (unit, better, goal) = ("ms", Better::Less, COLD_GOAL_TIME);
    writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
    Ok(())
}

fn cold_of_ours(runtime: &Runtime) -> Result<(Arc<Back>, Duration), Error> {
    let back = Back::new(COLD_LATENCY);
    let source = Arc::clone(&back);
    let namespace = {
        let _entered = runtime.enter();
        let load = load_many(move |keys: Vec<i64>| {
            let source = Arc::clone(&source);
            async move {
                source.query().await;
                Ok::<_, Infallible>(keys.into_iter().map(|key| (key, key)).collect::<Vec<_>>())
            }
        });
        let readers = usize::try_from(READERS).unwrap_or(usize::MAX);
        let namespace = Forebay::new()?.namespace::<i64>("cold").key("{id:integer}").ttl(TTL);
        namespace.concurrency(AT_ONCE).queue(readers).source(load).build()?
    };
    let took = at_once(runtime, "cold", |reader| {
        let namespace = namespace.clone();
        let key = i64::from(reader);
        async move { namespace.get(key).await.is_ok_and(|value| value.is_some_and(|value| *value == key)) }
    })?;
    Ok((back, took))
}

fn cold_of_one_a_key(runtime: &Runtime) -> Result<(Arc<Back>, Duration), Error> {
    let back = Back::new(COLD_LATENCY);
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let took = at_once(runtime, "one-a-key", |_| {
        let (back, slots) = (Arc::clone(&back), Arc::clone(&slots));
        async move {
            let slot = slots.acquire().await;
            back.query().await;
            slot.is_ok()
        }
    })?;
    Ok((back, took))
}

/// Starts all readers; the time until the last has its answer, which must be the right one.
fn at_once<R: Future<Output = bool> + Send + 'static>(
    runtime: &Runtime,
    cache: &'static str,
    reader: impl Fn(u32) -> R,
) -> Result<Duration, Error> {
    let answered = Arc::new(AtomicU32::new(0));
    let took = runtime.block_on(async {
        let tasks = Tasks::current()?;
        let start = now();
        for number in 0..READERS {
            let (read, answered) = (reader(number), Arc::clone(&answered));
            tasks.spawn(async move {
                answered.fetch_add(u32::from(read.await), Ordering::Relaxed);
            });
        }
        tasks.idle().await;
        Some(start.elapsed())
    });
    let (found, wanted) = (answered.load(Ordering::Relaxed).into(), READERS.into());
    match took {
        Some(took) if found == wanted => Ok(took),
        _ => Err(Error::Unanswered { cache, found, wanted }),
    }
}

fn runtime() -> Result<Runtime, Error> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_time().build()?)
}

#[expect(clippy::disallowed_methods, reason = "what is measured is the machine's own time")]
fn now() -> Instant {
    Instant::now()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
