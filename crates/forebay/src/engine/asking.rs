//! A call at the sink, until each of its writes has ended.
//!
//! It guarantees that no write stays at the sink, and no place for a call is lost, whatever becomes of the task that asks: what has
//! not ended when that does, by a panic of somebody's code or otherwise, has an unknown outcome and is tried again. What
//! follows from an outcome is told by the lines of the keys (`writes/behind/lines.rs`).

use std::sync::Arc;

use super::core::Core;
use crate::observe::BehindEnd;
use crate::writes::{Behind, Call, Effect, Failed, Outcomes, SinkError};

/// A call under way; what has not ended when it is dropped has failed, with an unknown outcome.
pub(super) struct Asking<'a> {
    core: &'a Core,
    behind: &'a Behind,
    call: Arc<Call>,
    /// Of each write whether it has not ended.
    open: Vec<bool>,
    /// The sink has applied or refused some of it.
    answers: bool,
    /// The sink has confirmed some of it.
    confirms: bool,
}

/// Who asked the sink did not come to an end.
#[derive(Debug, thiserror::Error)]
#[error("the write was given up on its way: what follows a write panicked, or the engine was shut down")]
struct GivenUp;

impl<'a> Asking<'a> {
    pub(super) fn new(core: &'a Core, behind: &'a Behind, call: Arc<Call>) -> Self {
        let open = vec![true; call.writes.len()];
        Self { core, behind, call, open, answers: false, confirms: false }
    }

    /// The sink has told these outcomes.
    pub(super) fn answered(&mut self, outcomes: &Outcomes) {
        let refuses = |error: &SinkError| error.effect == Effect::Refused;
        self.confirms = outcomes.iter().any(Result::is_ok);
        self.answers = outcomes.iter().any(|outcome| outcome.as_ref().map_or_else(refuses, |_| true));
    }

    /// The write at `place` is applied, and what is held is ready for what is laid over its key to end.
    pub(super) fn applied(&mut self, place: usize) {
        if !self.end(place) {
            return;
        }
        let Some((key, job)) = self.call.writes.get(place) else { return };
        self.behind.applied(key, job.id, self.core.clock.now());
        self.core.counters.behind(BehindEnd::Applied, 1);
    }

    /// The sink has not confirmed the write at `place`.
    pub(super) fn failed(&mut self, place: usize, error: &SinkError) {
        // The user's code, before anything changes.
        let reason = error.reason();
        if !self.end(place) {
            return;
        }
        let Some((key, _)) = self.call.writes.get(place) else { return };
        let now = self.core.clock.now();
        let end = match self.behind.failed(key, error.effect, reason, !self.confirms, now) {
            Failed::Retried => BehindEnd::Retried,
            Failed::Overtaken => BehindEnd::Overtaken,
            Failed::Parked => BehindEnd::Parked,
        };
        self.core.counters.behind(end, 1);
    }

    /// Ends the write at `place`; whether it had not ended.
    fn end(&mut self, place: usize) -> bool {
        self.open.get_mut(place).is_some_and(|open| std::mem::replace(open, false))
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        for place in 0..self.open.len() {
            if self.open.get(place) == Some(&true) {
                self.failed(place, &SinkError::unknown(GivenUp));
            }
        }
        self.behind.call_over(&self.call, self.answers, self.core.clock.now());
    }
}
