//! `forebay bench`: a load on a server that runs, to size a set-up of one's own.
//!
//! It guarantees that a request which was due while the one before it was not answered counts from when it was due: a server that stalls is
//! not spared the requests that it kept from being sent. It is no comparison: it takes time from the server where both share a machine.

mod connection;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use forebay::observe::Histogram;
use forebay::rt::{Clock, Mutex, Tasks};
use serde_json::json;

use self::connection::{Answer, Asks, Connection};
use crate::arguments::Bench;
use crate::connect::Place;
use crate::{Failure, runtime_of_threads, say, say_error};

/// What stands in a key or path for a number.
const NUMBER: &str = "{n}";

/// A load.
#[derive(Debug)]
struct Load {
    place: Place,
    address: SocketAddr,
    asks: Asks,
    clients: u32,
    pipeline: u32,
    span: Duration,
    /// How long after one batch of a client its next is due; at once, where nothing is said.
    every: Option<Duration>,
    began: Instant,
}

/// What came of it.
#[derive(Debug, Default)]
struct Tally {
    found: AtomicU64,
    missing: AtomicU64,
    refused: AtomicU64,
    /// Those that were due and not sent before the end.
    unsent: AtomicU64,
    latency_us: Histogram,
    /// The first that went wrong.
    failed: Mutex<Option<String>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured takes microseconds, and the engine's clock ticks in milliseconds"
)]
fn now() -> Instant {
    Instant::now()
}

/// Puts a load on the process that serves, and tells how it went.
pub(crate) fn bench(asked: &Bench) -> Result<ExitCode, Failure> {
    let load = load(asked)?;
    let tally = Arc::new(Tally::default());
    let load = Arc::new(load);
    runtime_of_threads()?.block_on(put(&load, &tally))?;
    let took = load.began.elapsed();
    let answered = tally.answered();
    if asked.json {
        say(&object(&load, &tally, took).to_string())?;
    } else {
        say(&lines(&load, &tally, took))?;
    }
    let failed = tally.failed.lock().take();
    if let Some(why) = &failed {
        say_error(why);
    }
    Ok(if failed.is_none() && answered > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn load(asked: &Bench) -> Result<Load, Failure> {
    let at = &asked.at;
    let (place, asks) = match &asked.path {
        Some(path) => {
            let place = Place::find(asked.http.as_ref(), at.tls.ca.as_deref(), |server| server.http)?;
            let asks = Asks::http(&place.address, path, at.token.as_deref(), asked.keys)?;
            (place, asks)
        }
        None => {
            let place = Place::find(at.resp.as_ref(), at.tls.ca.as_deref(), |server| server.resp)?;
            (place, Asks::resp(asked.key.clone().unwrap_or_default(), asked, at))
        }
    };
    let address = place.resolved()?;
    if !place.is_here()? && !asked.elsewhere {
        return Err(Failure(format!(
            "{address} is not this machine, and a load may harm what others do there: say --elsewhere where that is meant"
        )));
    }
    let batches = |rate: u32| Duration::from_secs(1).saturating_mul(asked.pipeline * asked.clients) / rate;
    Ok(Load {
        place,
        address,
        asks,
        clients: asked.clients,
        pipeline: asked.pipeline,
        span: Duration::from_secs(asked.seconds.into()),
        every: asked.rate.map(batches),
        began: now(),
    })
}

/// Has all clients ask until the end.
async fn put(load: &Arc<Load>, tally: &Arc<Tally>) -> Result<(), Failure> {
    // One that cannot be connected is told before anything is counted.
    drop(Connection::open(&load.place, load.address, &load.asks).await?);
    let tasks = Tasks::current().ok_or_else(|| Failure::new(&forebay::Error::NoRuntime))?;
    for number in 0..load.clients {
        let (load, tally) = (Arc::clone(load), Arc::clone(tally));
        tasks.spawn(async move {
            if let Err(Failure(why)) = asked_by_one(&load, &tally, number).await {
                tally.failed.lock().get_or_insert(why);
            }
        });
    }
    tasks.idle().await;
    Ok(())
}

/// What one client asks for.
async fn asked_by_one(load: &Load, tally: &Tally, number: u32) -> Result<(), Failure> {
    let mut connection = Connection::open(&load.place, load.address, &load.asks).await?;
    let mut random = fastrand::Rng::with_seed(number.into());
    let clock = Clock::system();
    let end = load.began + load.span;
    // Clients begin one after the other, so that they do not all ask at once.
    let mut due = load.every.map(|every| load.began + every / load.clients * number);
    while now() < end {
        let mut begun = now();
        if let (Some(next), Some(every)) = (due, load.every) {
            if next >= end {
                return Ok(());
            }
            if next > begun {
                clock.sleep(next - begun).await;
                // That a timer is late is not the server's.
                begun = now();
            } else {
                begun = next;
            }
            due = Some(next + every);
        }
        connection.ask(&load.asks, load.pipeline, &mut random).await?;
        for _ in 0..load.pipeline {
            match connection.answer(&load.asks).await? {
                Answer::Found => &tally.found,
                Answer::Missing => &tally.missing,
                Answer::Refused(why) => {
                    tally.failed.lock().get_or_insert(why);
                    &tally.refused
                }
            }
            .fetch_add(1, Ordering::Relaxed);
        }
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        tally.latency_us.record_many(took, load.pipeline.into());
    }
    if let (Some(due), Some(every)) = (due, load.every) {
        let missed = end.saturating_duration_since(due).as_nanos() / every.as_nanos().max(1);
        let missed = u64::try_from(missed).unwrap_or(u64::MAX).saturating_mul(load.pipeline.into());
        tally.unsent.fetch_add(missed, Ordering::Relaxed);
    }
    Ok(())
}

impl Tally {
    fn answered(&self) -> u64 {
        [&self.found, &self.missing, &self.refused].iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The time within which so many in 10,000 were answered, in microseconds.
    fn within_us(&self, part: u64) -> u64 {
        self.latency_us.snapshot().quantile(part, 10_000).unwrap_or_default()
    }
}

fn per_second(count: u64, took: Duration) -> u64 {
    let per_second = u128::from(count) * 1_000_000 / took.as_micros().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

fn loop_of(load: &Load) -> &'static str {
    if load.every.is_some() { "open" } else { "closed" }
}

fn lines(load: &Load, tally: &Tally, took: Duration) -> String {
    let Load { address, asks, clients, pipeline, .. } = load;
    let ms = |part| {
        let us = tally.within_us(part);
        format!("{}.{:03} ms", us / 1000, us % 1000)
    };
    let [found, missing, refused, unsent] = [&tally.found, &tally.missing, &tally.refused, &tally.unsent]
        .map(|count| count.load(Ordering::Relaxed));
    let answered = tally.answered();
    format!(
        "{} at {address}: {clients} clients, pipeline {pipeline}, {} s, {} loop\n\
         requests  {answered}, {} a second\n\
         latency   p50 {}, p99 {}, p99.9 {}, max {}\n\
         answers   {found} found, {missing} not there, {refused} refused, {unsent} due and not sent\n\
         It is a load, and no comparison: where it shares a machine with the server, it takes time from it.",
        asks.name(),
        took.as_secs(),
        loop_of(load),
        per_second(answered, took),
        ms(5_000),
        ms(9_900),
        ms(9_990),
        ms(10_000),
    )
}

fn object(load: &Load, tally: &Tally, took: Duration) -> serde_json::Value {
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    json!({
        "load": load.asks.name(),
        "address": load.address.to_string(),
        "clients": load.clients,
        "pipeline": load.pipeline,
        "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "loop": loop_of(load),
        "requests": tally.answered(),
        "requests_per_second": per_second(tally.answered(), took),
        "p50_us": tally.within_us(5_000),
        "p99_us": tally.within_us(9_900),
        "p999_us": tally.within_us(9_990),
        "max_us": tally.within_us(10_000),
        "found": count(&tally.found),
        "missing": count(&tally.missing),
        "refused": count(&tally.refused),
        "unsent": count(&tally.unsent),
    })
}
