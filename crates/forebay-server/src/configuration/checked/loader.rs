//! `[namespace.NAME.loader]`: how the source is asked.

use std::time::Duration;

use super::super::fault::PolicyFault;
use super::super::raw::Table;
use super::super::report::Findings;
use super::super::units::show_duration;
use super::number;

/// The soft time-out where a stale value may be served and nothing else is said.
const SOFT_TIMEOUT: Duration = Duration::from_millis(100);

/// How the source is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loader {
    /// The longest that a reader waits for a load, in the queue and at the source together. Default: 5 s.
    pub timeout: Duration,
    /// After this long a reader takes the stale value. Default: 100 ms where `stale_if_error` allows one, else nothing.
    pub soft_timeout: Option<Duration>,
    /// Queries or requests in flight at once. Default: 16.
    pub concurrency: u32,
    /// Loads that may wait. Default: 1024.
    pub queue: u32,
    /// When a failing source is left alone.
    pub breaker: Breaker,
}

/// When a failing source is left alone, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row that open it. Default: 5.
    pub failures: u32,
    /// Trial loads that must succeed to close it. Default: 2.
    pub successes: u32,
    /// How long it stays open before a trial. Default: 60 s.
    pub pause: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, successes: 2, pause: Duration::from_secs(60) }
    }
}

impl Default for Loader {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            soft_timeout: None,
            concurrency: 16,
            queue: 1024,
            breaker: Breaker::default(),
        }
    }
}

/// `may_be_stale`: whether a reader may have a stale value in place of a load (`stale_if_error`).
pub(super) fn loader(table: Option<&Table>, may_be_stale: bool, findings: &mut Findings) -> Loader {
    let default = Loader::default();
    let timeout = table.and_then(|table| table.duration("timeout")).unwrap_or(default.timeout);
    let own_soft = table.and_then(|table| table.duration("soft_timeout"));
    if let (Some(table), Some(soft)) = (table, own_soft) {
        if soft > timeout {
            let fault = PolicyFault::SoftOverHard { timeout: show_duration(timeout) };
            findings.add(table.span("soft_timeout"), fault);
        }
        if !may_be_stale {
            findings.add(table.key_span("soft_timeout"), PolicyFault::SoftWithoutStale);
        }
    }
    let breaker = table.and_then(|table| table.table("breaker")).map_or(default.breaker, breaker);
    Loader {
        timeout,
        soft_timeout: own_soft.or(may_be_stale.then_some(SOFT_TIMEOUT.min(timeout))),
        concurrency: table.and_then(|table| number(table, "concurrency")).unwrap_or(default.concurrency),
        queue: table.and_then(|table| number(table, "queue")).unwrap_or(default.queue),
        breaker,
    }
}

fn breaker(table: &Table) -> Breaker {
    let default = Breaker::default();
    Breaker {
        failures: number(table, "failures").unwrap_or(default.failures),
        successes: number(table, "successes").unwrap_or(default.successes),
        pause: table.duration("pause").unwrap_or(default.pause),
    }
}
