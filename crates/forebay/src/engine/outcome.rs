//! How a read ended, told from what answered it. What may answer is decided in `read.rs` and `fields.rs`.

use std::borrow::Borrow;

use super::read::Read;
use crate::error::Error;
use crate::loader::Landing;
use crate::observe::{Freshness, ReadOutcome, Tier, Why};
use crate::rt::Tick;
use crate::tier::memory::Held;
use crate::value::Value;

/// Why a reader gets an old value instead of `error`.
pub(super) fn why_stale(error: &Error) -> Why {
    match error {
        Error::Overloaded { .. } => Why::Overloaded,
        Error::BreakerOpen { .. } => Why::BreakerOpen,
        _ => Why::SourceFailed,
    }
}

/// How good a value or an absence is that is not past its TTL.
pub(super) fn freshness_of(held: &Held) -> Freshness {
    if held.value.is_none() { Freshness::Absent } else { Freshness::Fresh }
}

/// What a reader gets from a landing.
pub(super) fn from_landing(landing: Landing, now: Tick) -> Read {
    let freshness = match landing.value {
        None => Freshness::Absent,
        Some(_) => landing.newer.unwrap_or(Freshness::Fresh),
    };
    let fresh_until = first_end(landing.value.as_ref(), landing.fresh_until);
    let outcome = outcome(landing.tier, freshness, now, landing.began, fresh_until);
    Read { value: landing.value, outcome }
}

/// What a reader gets from what memory holds.
#[inline]
pub(super) fn from_memory<V: Borrow<Option<Value>>>(held: &Held<V>, now: Tick, freshness: Freshness) -> Read {
    let fresh_until = first_end(held.value(), held.served_fresh_until());
    let outcome = outcome(Tier::Memory, freshness, now, held.began, fresh_until);
    Read { value: held.value().cloned(), outcome }
}

/// When a value that ends at `fresh_until` stops being complete: a part of it may end before.
fn first_end(value: Option<&Value>, fresh_until: Tick) -> Tick {
    value.and_then(Value::earliest_end).map_or(fresh_until, |end| end.min(fresh_until))
}

/// How a read ended that was answered by what was loaded at `began` and is fresh until `fresh_until`.
pub(super) fn outcome(
    tier: Tier,
    freshness: Freshness,
    now: Tick,
    began: Tick,
    fresh_until: Tick,
) -> ReadOutcome {
    ReadOutcome {
        tier,
        freshness,
        began,
        age: now.since(began),
        fresh_for: fresh_until.since(now),
        stale_for: now.since(fresh_until),
    }
}
