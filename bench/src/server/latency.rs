//! `latency`: how long a GET takes while a server is half as busy as redis-server can be, beside redis-server.
//!
//! Requests are sent when they are due, whatever became of those before, so that a server that stops for a moment pays for all that
//! were due meanwhile.

use std::io::Write;
use std::time::Duration;

use super::load::{self, Ask};
use super::process::Server;
use super::{KEYS, side_by_side};
use crate::Settings;
use crate::error::Error;
use crate::report::{Better, Comparison};

pub(crate) const MEASURES: &str =
    "GET over RESP at half of what redis-server can do, p99, open loop; one core each";
pub(crate) const GOAL: &str = "ratio >= 1";

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let servers = [Server::forebay(&settings.programs)?, Server::redis(&settings.programs)?];
    load::pin()?;
    for server in &servers {
        load::on_this_thread(load::fill(server.address, KEYS, false))?;
    }
    let [_, redis] = &servers;
    let all = load::on_this_thread(load::closed_loop(redis.address, Ask::Get, 1, Duration::from_secs(1)))?;
    let rate = all.rate() / 2.0;
    let [[our_half, ours], [their_half, theirs]] =
        side_by_side(&servers, settings.extent, |server, span| {
            let mut took = load::on_this_thread(load::open_loop(server.address, rate, span))?;
            took.sort_unstable();
            Ok([0.5, 0.99].map(|quantile| at(&took, quantile)))
        })?;
    writeln!(out, "# {rate:.0} requests/s; p50: ours {our_half:.1} us, redis-server {their_half:.1} us")?;
    let (bench, peer, unit, better, goal) = ("latency-p99", "redis-server", "us", Better::Less, 1.0);
    writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
    Ok(())
}

/// What this part of `sorted` does not exceed, in microseconds.
pub(super) fn at(sorted: &[Duration], quantile: f64) -> f64 {
    let last = f64::from(u32::try_from(sorted.len().saturating_sub(1)).unwrap_or(u32::MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among them")]
    let place = (last * quantile) as usize;
    sorted.get(place).map_or(0.0, |took| took.as_secs_f64() * 1e6)
}
