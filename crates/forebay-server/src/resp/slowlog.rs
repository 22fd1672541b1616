//! SLOWLOG: which commands took long, and which HTTP requests.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use forebay::rt::Tick;
use forebay_wire::resp::{Request, Slowlog, reply, resolve};

use super::Service;
use super::execute::whole;
use super::session::Session;
use super::time::now;
use crate::observe::slow::{Slow, cut};
use crate::observe::stopwatch::{Stopwatch, us};

/// How far the engine's clock ticks.
const TICK: Duration = Duration::from_millis(1);

/// What stands in the place of words that may be secret.
const HIDDEN: &[u8] = b"(redacted)";

/// When a command began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began {
    /// By the engine's clock, which is cheap to ask once more.
    tick: Tick,
    exact: Stopwatch,
}

impl Began {
    pub(super) fn now(service: &Service) -> Self {
        Self { tick: service.clock.now(), exact: Stopwatch::aside() }
    }
}

/// Keeps `request`, which the connection has just been answered, if it was slow.
pub(super) fn look(began: Began, request: &Request, service: &Service, session: &Session) {
    // Between two of its ticks lies up to one more than it has counted.
    if !service.slow.is_slow(service.clock.now().since(began.tick) + TICK) {
        return;
    }
    let took = began.exact.elapsed();
    if service.slow.is_slow(took) {
        keep(took, request, service, session);
    }
}

#[cold]
fn keep(took: Duration, request: &Request, service: &Service, session: &Session) {
    // What is no command was not carried out.
    let Ok(spec) = resolve(request) else { return };
    let words = match spec.is_secret() && request.len() > 1 {
        true => cut([request.get(0).unwrap_or_default(), HIDDEN].into_iter()),
        false => cut(request.args()),
    };
    tracing::info!(command = spec.display_name(), took_us = us(took), "a slow command");
    let (from, name) = (session.connected.address().to_string(), session.name.clone());
    service.slow.keep(Slow { id: 0, at: now(), took, words, from, name });
}

/// Carries out a sub-command of `SLOWLOG`.
pub(super) fn carry_out(asked: Slowlog, service: &Service, out: &mut BytesMut) {
    match asked {
        Slowlog::Get { count } => {
            let entries = service.slow.newest(count);
            reply::array(out, entries.len());
            for entry in &entries {
                entry_of(entry, out);
            }
        }
        Slowlog::Len => reply::integer(out, i64::try_from(service.slow.len()).unwrap_or(i64::MAX)),
        Slowlog::Reset => {
            service.slow.reset();
            reply::ok(out);
        }
    }
}

fn entry_of(entry: &Slow, out: &mut BytesMut) {
    reply::array(out, 6);
    for number in [entry.id, entry.at.as_secs(), us(entry.took)] {
        reply::integer(out, whole(number));
    }
    reply::array(out, entry.words.len());
    let words = entry.words.iter().map(Bytes::as_ref);
    words.chain([entry.from.as_bytes(), &entry.name]).for_each(|word| reply::bulk(out, word));
}
