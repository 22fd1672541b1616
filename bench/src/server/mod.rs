//! The serving process beside redis-server and nginx: each server has one core to itself, and the load another.
//!
//! The servers are programs of their own, started here with their settings for memory alone and ended here (`process.rs`). The load
//! (`load.rs`) sends what was made before and compares what comes back byte by byte, so that nothing is measured that answers wrong.

pub(crate) mod http;
pub(crate) mod latency;
pub(crate) mod layers;
mod load;
pub(crate) mod process;
pub(crate) mod resident;
pub(crate) mod resp;
pub(crate) mod slow;

use std::path::PathBuf;
use std::time::Duration;

use self::process::Server;
use crate::Extent;
use crate::error::Error;

/// The core that servers run on.
const SERVERS_CORE: &str = "0";
/// The core that the load runs on.
const LOAD_CORE: &str = "1";
/// Connections that ask at once, as many as redis-benchmark has.
const CLIENTS: usize = 50;
/// Different keys that are asked for.
const KEYS: u32 = 100_000;
/// What every key has, in bytes.
const VALUE: [u8; 100] = [b'v'; 100];

/// The programs that are measured and that measure, where they are known.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Programs {
    /// The `forebay` program that is measured as a server
    #[arg(long, value_name = "FILE")]
    pub(crate) forebay: Option<PathBuf>,
    /// The redis-server that it is compared with
    #[arg(long, value_name = "FILE")]
    pub(crate) redis_server: Option<PathBuf>,
    /// The nginx that it is compared with
    #[arg(long, value_name = "FILE")]
    pub(crate) nginx: Option<PathBuf>,
    /// The wrk that loads HTTP servers
    #[arg(long, value_name = "FILE")]
    pub(crate) wrk: Option<PathBuf>,
}

/// The program at `path`, which the option `option` names.
fn program<'p>(path: Option<&'p PathBuf>, option: &'static str) -> Result<&'p PathBuf, Error> {
    path.ok_or(Error::NoProgram { option })
}

/// What is measured of each of two servers, once a round.
///
/// The servers take turns, so that whatever else the machine does meets both alike; the first round warms up. Gives the medians of the
/// first server's figures and of the second's.
fn side_by_side<const N: usize>(
    servers: &[Server; 2],
    extent: Extent,
    mut measure: impl FnMut(&Server, Duration) -> Result<[f64; N], Error>,
) -> Result<[[f64; N]; 2], Error> {
    let (counted, span) = match extent {
        Extent::Full => (5, Duration::from_secs(2)),
        Extent::Quick => (1, Duration::from_secs(1)),
    };
    let mut taken: [Vec<[f64; N]>; 2] = Default::default();
    for round in 0..=counted {
        for (server, taken) in servers.iter().zip(&mut taken) {
            let figures = measure(server, span)?;
            if round > 0 {
                taken.push(figures);
            }
        }
    }
    Ok(taken.map(|rounds| {
        std::array::from_fn(|at| {
            median(rounds.iter().filter_map(|figures| figures.get(at).copied()).collect())
        })
    }))
}

/// The middle one.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// The name of a key: 16 bytes.
fn key(number: u32) -> String {
    format!("key:{number:012}")
}
