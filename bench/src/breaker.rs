//! `breaker`: how long an open breaker takes to answer a read of a cold key.
//!
//! The source fails until the breaker opens, and is not asked again. Then each read is of another key that nobody holds, so
//! that it goes all the way: past memory, onto a flight, to the breaker, and back with the error.

use std::io::Write;
use std::time::{Duration, Instant};

use forebay::{BreakerOptions, Error as EngineError, Forebay, Namespace, load_one};

use crate::error::Error;
use crate::report::{Better, Comparison};
use crate::{Extent, Settings};

pub(crate) const MEASURES: &str =
    "a read of a cold key while the breaker is open: the median and the slowest of a hundred";
pub(crate) const GOAL: &str = "both within 1 ms";

const GOAL_TIME: Duration = Duration::from_millis(1);

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let reads = match settings.extent {
        Extent::Full => 100_000,
        Extent::Quick => 2_000,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut taken = runtime.block_on(async {
        let namespace = open_breaker().await?;
        let mut taken = Vec::with_capacity(reads);
        for number in 0..reads {
            taken.push(refused(&namespace, &format!("cold{number}")).await?);
        }
        Ok::<_, Error>(taken)
    })?;
    taken.sort_unstable();
    let worst = taken.last().copied().unwrap_or_default();
    writeln!(out, "# {reads} reads, each of another key; the slowest of them took {:.1} us", us(worst))?;
    for (bench, part) in [("breaker-median", 50), ("breaker-p99", 99)] {
        let ours = us(taken.get(reads * part / 100).copied().unwrap_or_default());
        let (peer, theirs, unit, better, goal) = ("1ms", us(GOAL_TIME), "us", Better::Less, 1.0);
        writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
    }
    Ok(())
}

/// A namespace whose source has failed so often that its breaker is open, for long enough.
async fn open_breaker() -> Result<Namespace<u32>, Error> {
    let options = BreakerOptions { pause: Duration::from_secs(24 * 60 * 60), ..BreakerOptions::default() };
    let down = load_one(async |_: String| Err::<Option<u32>, _>(std::io::Error::other("the source is down")));
    let ttl = Duration::from_secs(60 * 60);
    let namespace =
        Forebay::new()?.namespace("breaker").key("{name}").ttl(ttl).breaker(options).source(down).build()?;
    for number in 0..options.failures {
        drop(namespace.get(&*format!("fails{number}")).await);
    }
    Ok(namespace)
}

/// How long the answer took that the breaker is open.
async fn refused(namespace: &Namespace<u32>, key: &str) -> Result<Duration, Error> {
    #[expect(clippy::disallowed_methods, reason = "what is measured is the machine's own time")]
    let start = Instant::now();
    let answer = namespace.get(key).await;
    let taken = start.elapsed();
    match answer {
        Err(EngineError::BreakerOpen { .. }) => Ok(taken),
        _ => Err(Error::NotRefused),
    }
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
