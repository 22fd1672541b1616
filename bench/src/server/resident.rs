//! `resident`: what an entry of a 16-byte key and a 100-byte value takes in the serving process, beside redis-server: the growth of
//! resident memory of both processes while the same entries are written over RESP.

use std::io::Write;

use super::load;
use super::process::Server;
use crate::error::Error;
use crate::report::{Better, Comparison};
use crate::{Extent, Settings};

pub(crate) const MEASURES: &str = "resident memory of the serving process an entry, against redis-server";
pub(crate) const GOAL: &str = "ratio >= 1";

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let entries: u32 = match settings.extent {
        Extent::Full => 1_000_000,
        Extent::Quick => 100_000,
    };
    let grown = |server: &Server| -> Result<f64, Error> {
        // What a first request allocates is not an entry's.
        load::on_this_thread(load::fill(server.address, 1, false))?;
        let before = server.resident_bytes()?;
        load::on_this_thread(load::fill(server.address, entries, false))?;
        Ok((server.resident_bytes()? - before) / f64::from(entries))
    };
    let ours = grown(&Server::forebay(&settings.programs)?)?;
    let theirs = grown(&Server::redis(&settings.programs)?)?;
    let (bench, peer, unit, better, goal) = ("resident", "redis-server", "bytes", Better::Less, 1.0);
    writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
    Ok(())
}
