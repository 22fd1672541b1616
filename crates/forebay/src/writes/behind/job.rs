//! One write on its way to the sink.

use std::time::Duration;

use super::super::sink::OperationId;
use crate::rt::Tick;
use crate::value::Value;

/// Since when something is so, also before this process began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since {
    from: Tick,
    before: Duration,
}

impl Since {
    /// Since `age` before `now`.
    pub(crate) fn ago(now: Tick, age: Duration) -> Self {
        Self { from: now, before: age }
    }

    /// How long that is.
    pub(crate) fn age(self, now: Tick) -> Duration {
        self.before.saturating_add(now.since(self.from))
    }
}

/// One write on its way to the sink.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: OperationId,
    /// `None` where the key is not to exist any more.
    pub(crate) value: Option<Value>,
    /// The TTL that its writer asked for.
    pub(crate) ttl: Option<Duration>,
    pub(crate) weight_bytes: u64,
    /// When it was written, which its TTL counts from.
    pub(crate) written: Since,
    /// When it, or the oldest that it overtook, was acknowledged.
    pub(crate) since: Since,
    /// The turn in which it, or the oldest that it overtook, was acknowledged; grows.
    pub(super) turn: u64,
    /// The commit that must be durable before it goes.
    pub(super) after: u64,
    pub(super) attempts: u32,
    /// The sink may have applied it, or may yet.
    pub(super) unknown: bool,
}

impl Job {
    pub(crate) fn new(
        id: OperationId,
        value: Option<Value>,
        ttl: Option<Duration>,
        weight_bytes: u64,
        since: Since,
    ) -> Self {
        let written = since;
        Self { id, value, ttl, weight_bytes, written, since, turn: 0, after: 0, attempts: 0, unknown: false }
    }

    /// What is left of the TTL that its writer asked for.
    pub(crate) fn ttl_left(&self, now: Tick) -> Option<Duration> {
        self.ttl.map(|ttl| ttl.saturating_sub(self.written.age(now)))
    }

    /// Itself, of which an earlier process may have asked the sink.
    pub(crate) fn maybe_sent(self) -> Self {
        Self { unknown: true, ..self }
    }

    /// Itself, in the place of `earlier`, whose settlement has the number `settled`.
    pub(super) fn overtaking(self, earlier: &Self, settled: u64) -> Self {
        Self { turn: earlier.turn, since: earlier.since, after: self.after.max(settled), ..self }
    }
}
