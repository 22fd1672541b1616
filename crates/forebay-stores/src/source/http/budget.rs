//! How often a request is made again: a share of all requests, so that retries never become the load that keeps an origin down.
//!
//! Each request adds its share to the budget, each retry takes one from it; a trickle by time lets a source of few requests retry too
//! (Google, "Site Reliability Engineering", 2016, ch. 22). How long to wait is drawn evenly from a span that doubles (Brooker,
//! "Exponential Backoff And Jitter", 2015: full jitter).

use std::time::Duration;

use forebay::rt::{Mutex, Tick};

/// Retries that may be made each second however few the requests are.
const PER_SECOND: u64 = 3;
/// Retries that may be saved up.
const SAVED_MAX: u64 = 100;
/// What one retry costs, in the unit of the balance.
const COST: u64 = 1_000;
/// The first span that a wait is drawn from.
const BACK_OFF: Duration = Duration::from_millis(50);
/// The longest span that a wait is drawn from.
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// A budget of retries.
#[derive(Debug)]
pub(super) struct Budget {
    /// What each request adds: the share in tenths of a percent, which are thousandths of a retry.
    share: u64,
    account: Mutex<Account>,
}

#[derive(Debug)]
struct Account {
    /// Thousandths of a retry.
    balance: u64,
    at: Tick,
}

impl Budget {
    /// Retries of `percent` of the requests.
    pub(super) fn new(percent: u8, now: Tick) -> Self {
        let account = Account { balance: PER_SECOND * COST, at: now };
        Self { share: u64::from(percent) * COST / 100, account: Mutex::new(account) }
    }

    /// A request is made.
    pub(super) fn request(&self, now: Tick) {
        let mut account = self.account.lock();
        account.trickle(now);
        account.add(self.share);
    }

    /// Whether a request may be made again; it is taken from the budget.
    pub(super) fn retry(&self, now: Tick) -> bool {
        let mut account = self.account.lock();
        account.trickle(now);
        let left = account.balance.checked_sub(COST);
        account.balance = left.unwrap_or(account.balance);
        left.is_some()
    }
}

impl Account {
    fn trickle(&mut self, now: Tick) {
        // Milliseconds, each of so many thousandths of a retry.
        let ms = now.as_ms().saturating_sub(self.at.as_ms());
        self.at = self.at.max(now);
        // What time adds is for few requests: it is not saved up beyond a second's.
        let most = PER_SECOND * COST;
        if self.balance < most {
            self.balance = self.balance.saturating_add(ms.saturating_mul(PER_SECOND)).min(most);
        }
    }

    fn add(&mut self, thousandths: u64) {
        self.balance = self.balance.saturating_add(thousandths).min(SAVED_MAX * COST);
    }
}

/// How long to wait before the retry after `tried` retries, by chance.
pub(super) fn back_off(tried: u32) -> Duration {
    let span = BACK_OFF.saturating_mul(2_u32.saturating_pow(tried)).min(BACK_OFF_MAX);
    span.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(budget: &Budget, now: Tick, most: u64) -> u64 {
        (0..most).take_while(|_| budget.retry(now)).count() as u64
    }

    #[test]
    fn retries_are_a_share_of_the_requests() {
        let now = Tick::from_ms(1);
        let budget = Budget::new(10, now);
        assert_eq!(allowed(&budget, now, 50), PER_SECOND, "some are there at the start");
        for _ in 0..200 {
            budget.request(now);
        }
        assert_eq!(allowed(&budget, now, 50), 20);
        for _ in 0..20_000 {
            budget.request(now);
        }
        assert_eq!(allowed(&budget, now, 500), SAVED_MAX, "saved up without a bound");
    }

    #[test]
    fn few_requests_may_be_retried_too() {
        let budget = Budget::new(0, Tick::from_ms(0));
        assert_eq!(allowed(&budget, Tick::from_ms(0), 9), PER_SECOND);
        assert_eq!(allowed(&budget, Tick::from_ms(500), 9), 1);
        assert_eq!(allowed(&budget, Tick::from_ms(60_000), 9), PER_SECOND, "time is not saved up");
        assert_eq!(allowed(&budget, Tick::from_ms(59_000), 9), 0, "an older time adds nothing");
    }

    #[test]
    fn waits_are_drawn_from_a_span_that_doubles_to_a_bound() {
        for tried in [0, 1, 4, 5, 40] {
            let span = BACK_OFF.saturating_mul(2_u32.saturating_pow(tried)).min(BACK_OFF_MAX);
            let waits: Vec<Duration> = (0..200).map(|_| back_off(tried)).collect();
            assert!(waits.iter().all(|wait| *wait <= span));
            assert!(waits.iter().any(|wait| *wait > span / 2) && waits.iter().any(|wait| *wait < span / 2));
        }
    }
}
