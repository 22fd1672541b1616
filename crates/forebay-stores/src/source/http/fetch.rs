//! A request until it has an answer: which origin is asked, how long, and whether it is asked again.
//!
//! Only `GET` is asked, which may be repeated. A request is made again where its failure may pass, as often as declared, as long as the
//! budget allows it and the wait ends before the load does. Another origin is asked at once; the same one after a wait, which is its
//! own `Retry-After` where it names one.

use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Tick};
use tokio::sync::Semaphore;

use super::HealthOptions;
use super::budget::{Budget, back_off};
use super::error::HttpError;
use super::exchange::{Exchange, Reply};
use super::origin::Origins;
use super::remembered::{Remembered, Validators};
use super::template::Origin;

/// Origins, and all that is needed to ask them.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) exchange: Exchange,
    pub(super) origins: Origins,
    pub(super) budget: Budget,
    /// Requests in flight.
    pub(super) slots: Semaphore,
    pub(super) retries: u32,
    /// The longest that one request takes.
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
}

impl Fetch {
    /// Gets `target`, a path and query, before `due`; also the origin that answered. The one whose answer is `known` may confirm it.
    pub(super) async fn get(
        &self,
        target: &str,
        known: Option<&Remembered>,
        due: Tick,
    ) -> Result<(Arc<Origin>, Reply), HttpError> {
        self.budget.request(self.clock.now());
        let mut failed = None;
        for tried in 0..=self.retries {
            let began = self.clock.now();
            let Some((at, origin)) = self.origins.pick(began, failed) else { break };
            let validators = known.and_then(|known| known.validators_of(&origin));
            let error = match self.once(&origin, target, validators, due).await {
                Ok(reply) => {
                    self.origins.answered(at);
                    return Ok((origin, reply));
                }
                Err(error) => error,
            };
            let now = self.clock.now();
            if error.is_of_origin() {
                self.origins.failed(at, now, error.may_be_of_url().then_some(target))
            } else if !matches!(error, HttpError::Busy { .. }) {
                // Where no place was free, nobody asked it.
                self.origins.answered(at)
            }
            let has_other = self.origins.pick(now, Some(at)).is_some_and(|(next, _)| next != at);
            let wait = match error.retry_after() {
                _ if has_other => Duration::ZERO,
                Some(told) => told,
                None => back_off(tried),
            };
            let may = if has_other {
                error.is_of_origin() || error.is_tried_again()
            } else {
                error.is_tried_again()
            };
            if !may || tried == self.retries || now.after(wait) >= due || !self.budget.retry(now) {
                return Err(error);
            }
            self.clock.sleep(wait).await;
            failed = Some(at);
        }
        Err(HttpError::Busy { after: self.timeout })
    }

    async fn once(
        &self,
        origin: &Arc<Origin>,
        target: &str,
        validators: Option<&Validators>,
        due: Tick,
    ) -> Result<Reply, HttpError> {
        let left = || due.since(self.clock.now());
        let waited = left();
        let permit = match self.clock.timeout(waited, self.slots.acquire()).await {
            Ok(Ok(permit)) => permit,
            _ => return Err(HttpError::Busy { after: waited }),
        };
        let after = self.timeout.min(left());
        if after.is_zero() {
            return Err(HttpError::Busy { after: waited });
        }
        let reply = self.clock.timeout(after, self.exchange.get(origin, target, validators)).await;
        drop(permit);
        reply.unwrap_or_else(|_| Err(HttpError::Timeout { origin: Arc::clone(&origin.shown), after }))
    }

    /// Looks again and again whether each origin is well, until it is dropped.
    pub(super) async fn probe(self: Arc<Self>, health: HealthOptions) {
        loop {
            // By chance between four and six fifths: many processes do not look at once.
            self.clock.sleep(health.every.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
            for (at, origin) in self.origins.all().enumerate() {
                let looked = self.exchange.is_well(origin, &health.path);
                let is_well = self.clock.timeout(self.timeout.min(health.every), looked).await;
                self.origins.probed(at, is_well.unwrap_or(false));
            }
        }
    }
}
