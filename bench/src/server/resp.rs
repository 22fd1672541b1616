//! `resp`: GET, SET and HGET over RESP, 50 connections, one by one and 16 at once, beside redis-server.
//!
//! One by one the kernel's work is most of a request, so that what counts there is what the server's processor spends on one; sixteen at
//! once the servers' own work shows.

use std::io::Write;
use std::time::Duration;

use super::load::{self, Ask};
use super::process::Server;
use super::{KEYS, side_by_side};
use crate::Settings;
use crate::error::Error;
use crate::report::{Better, Comparison};

pub(crate) const MEASURES: &str =
    "GET, SET, HGET over RESP, 50 connections, against redis-server; one core each";
pub(crate) const GOAL: &str = "requests/s >= 0.97 and processor >= 1 one by one, >= 1.5 sixteen at once";

/// What is compared: a command, how many are sent at once, and what the lines are called.
const ROWS: &[(Ask, usize, &str, Option<&str>)] = &[
    (Ask::Get, 1, "get", Some("get-processor")),
    (Ask::Set, 1, "set", Some("set-processor")),
    (Ask::HGet, 1, "hget", Some("hget-processor")),
    (Ask::Get, 16, "get-pipelined", None),
    (Ask::Set, 16, "set-pipelined", None),
    (Ask::HGet, 16, "hget-pipelined", None),
];
const PLAIN_GOAL: f64 = 0.97;
const PROCESSOR_GOAL: f64 = 1.0;
const PIPELINED_GOAL: f64 = 1.5;

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let servers = [Server::forebay(&settings.programs)?, Server::redis(&settings.programs)?];
    load::pin()?;
    for server in &servers {
        load::on_this_thread(load::fill(server.address, KEYS, true))?;
    }
    for &(ask, pipeline, bench, processor) in ROWS {
        let [ours, theirs] =
            side_by_side(&servers, settings.extent, |server, span| measure(server, ask, pipeline, span))?;
        let ([ours, our_us], [theirs, their_us]) = (ours, theirs);
        let (peer, goal) = ("redis-server", if processor.is_some() { PLAIN_GOAL } else { PIPELINED_GOAL });
        let (unit, better) = ("requests/s", Better::More);
        writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
        if let Some(bench) = processor {
            let (ours, theirs, unit, better, goal) =
                (our_us, their_us, "us/request", Better::Less, PROCESSOR_GOAL);
            writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
        }
    }
    Ok(())
}

/// Requests a second, and what the server's processor spends on one, in microseconds.
fn measure(server: &Server, ask: Ask, pipeline: usize, span: Duration) -> Result<[f64; 2], Error> {
    let before = server.used()?;
    let done = load::on_this_thread(load::closed_loop(server.address, ask, pipeline, span))?;
    let used = server.used()?.since(before);
    Ok([done.rate(), used.all_s() * 1e6 / done.requests])
}
