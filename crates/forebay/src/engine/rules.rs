//! Whether the options of a namespace can be kept together: what is checked when it is built.

use std::time::Duration;

use crate::namespace::{BreakerOptions, Policy, Writes};
use crate::tier::store::Ends;
use crate::writes::BehindOptions;

/// What is said of a rule that a store has no use for.
const STORE_MISFIT: &str = "it has a `store`, which is the truth: leave out the rules of copies (absences, stale windows, jitter, refreshes, \
     `memory_max_age`, `fresh_at_most`, a membership filter, `decide`, `depends_on`)";
/// What is held is refreshed no more often than this.
const REFRESH_EVERY_MIN: Duration = Duration::from_secs(1);

/// What was asked of a namespace.
pub(super) struct Asked<'a> {
    pub(super) policy: &'a Policy,
    pub(super) has_source: bool,
    pub(super) has_sink: bool,
    pub(super) has_filter: bool,
    /// Whether a value says of itself how long it is fresh, or rows that it is made of were named.
    pub(super) tells_of_source: bool,
    /// Whether the engine has a shared tier.
    pub(super) is_shared: bool,
    /// How writes wait in its journal, where it has one.
    pub(super) behind: Option<&'a BehindOptions>,
}

impl Asked<'_> {
    /// The rules of a namespace that holds copies.
    ///
    /// # Errors
    /// What cannot be kept together, and what to write.
    pub(super) fn of_copies(&self) -> Result<Policy, String> {
        let mut policy = self.policy.clone();
        if let Some(problem) = out_of_limits(&policy) {
            return Err(problem.into());
        }
        let Self { has_source, has_sink, is_shared, .. } = *self;
        if !has_source && policy.writes == Writes::Refuse {
            policy.writes = Writes::Cache;
        }
        if let Some(problem) = max_age_misfit(&policy, is_shared) {
            return Err(problem.into());
        }
        let sink_misfit = sink_misfit(policy.writes, has_sink, has_source, is_shared);
        match sink_misfit.or_else(|| journal_misfit(policy.writes, self.behind)) {
            Some(problem) => Err(problem.into()),
            None => Ok(policy),
        }
    }

    /// The rules of a namespace that is the truth itself, and when its values end.
    ///
    /// # Errors
    /// What cannot be kept together, and what to write.
    pub(super) fn of_store(&self) -> Result<(Policy, Ends), String> {
        let given = self.policy;
        if self.has_source || self.has_sink || self.behind.is_some() {
            return Err("it has a `store`, which is the truth: leave out its source, sink and journal".into());
        }
        if !matches!(given.writes, Writes::Refuse | Writes::Store) {
            return Err("it has a `store`, where its writes go: leave out `writes`".into());
        }
        if self.has_filter || self.tells_of_source || rules_copies(given) {
            return Err(STORE_MISFIT.into());
        }
        if let Some(problem) = out_of_limits(given) {
            return Err(problem.into());
        }
        let ends = match given.idle {
            Some(idle) => Ends::Unused(idle, given.ttl),
            None if given.ttl == Duration::MAX => Ends::Never,
            None => Ends::After(given.ttl),
        };
        // What memory has of it is good until it ends or is written.
        let (ttl, absent_ttl) = (Duration::MAX, Duration::MAX);
        let breaker = BreakerOptions::never();
        Ok((Policy { ttl, absent_ttl, breaker, writes: Writes::Store, ..given.clone() }, ends))
    }
}

/// Whether a policy says something of copies that a store has no use for.
fn rules_copies(policy: &Policy) -> bool {
    let spans = [
        policy.stale_while_revalidate,
        policy.stale_if_error,
        policy.jitter,
        policy.refresh_ahead,
        policy.refresh_every.unwrap_or_default(),
        policy.memory_max_age.unwrap_or_default(),
        policy.fresh_at_most.unwrap_or_default(),
    ];
    let usual = [policy.ttl, Duration::MAX].map(|ttl| Policy::new(ttl).absent_ttl);
    spans.iter().any(|span| !span.is_zero()) || !usual.contains(&policy.absent_ttl)
}

/// What is wrong with a sink, or the want of one.
fn sink_misfit(writes: Writes, has_sink: bool, has_source: bool, is_shared: bool) -> Option<&'static str> {
    match (writes, has_sink) {
        (Writes::Store, _) => {
            Some("`writes` go to a store, and there is none: give a `store`, or leave `writes` out")
        }
        (Writes::Through | Writes::Behind, false) => {
            Some("`writes` go to a sink, and there is none: give a `sink`, or leave `writes` out")
        }
        (Writes::Through | Writes::Behind, true) if is_shared && !has_source => Some(
            "what is written could not be read: give a `source` too, since copies of what is written are not held where \
             the engine has a shared tier",
        ),
        (Writes::Refuse | Writes::Cache, true) => Some(
            "nothing would be written to its `sink`: say `writes(Writes::Through)` or `writes(Writes::Behind)`, or leave the sink out",
        ),
        _ => None,
    }
}

/// What is wrong with how long copies stay in memory.
fn max_age_misfit(policy: &Policy, is_shared: bool) -> Option<&'static str> {
    match policy.memory_max_age? {
        Duration::ZERO => {
            Some("a `memory_max_age` of zero holds nothing in memory: give how long a copy may stay there")
        }
        _ if !is_shared => {
            Some("without a shared tier memory has the only copy: shorten `ttl` in place of `memory_max_age`")
        }
        _ if policy.writes == Writes::Cache => Some(
            "what clients write is held in memory only, and a `memory_max_age` would end it: leave one of the two out",
        ),
        _ => None,
    }
}

/// What is wrong with a journal, or the want of one.
fn journal_misfit(writes: Writes, behind: Option<&BehindOptions>) -> Option<&'static str> {
    match (writes, behind) {
        (Writes::Behind, None) => Some(
            "`writes` go behind, and nothing would keep them: say `behind(journal, BehindOptions::default())`",
        ),
        (Writes::Behind, Some(options)) => options.problem(),
        (_, Some(_)) => Some(
            "nothing would be written to its journal: say `writes(Writes::Behind)`, or leave `behind` out",
        ),
        (_, None) => None,
    }
}

fn out_of_limits(policy: &Policy) -> Option<&'static str> {
    if policy.ttl.is_zero() {
        return Some("a `ttl` of zero caches nothing: give the longest age that readers may see");
    }
    if policy.fresh_at_most.is_some_and(|most| most.is_zero()) {
        return Some("a `fresh_at_most` of zero caches nothing: give the longest age that readers may see");
    }
    if policy.load_timeout.is_zero() {
        return Some("a `load_timeout` of zero lets no load finish: give the longest that a reader may wait");
    }
    if policy.concurrency == 0 {
        return Some("a `concurrency` of zero lets no load begin: give how many may run at once");
    }
    if policy.jitter > policy.ttl {
        return Some("`jitter` is longer than `ttl`: it can only take away from it");
    }
    if policy.refresh_every.is_some_and(|every| every < REFRESH_EVERY_MIN) {
        return Some("a `refresh_every` of less than 1 s is a load test of the source: give 1 s or more");
    }
    if policy.breaker.failures == 0 || policy.breaker.successes == 0 {
        return Some("a `breaker` needs at least one failure to open and one success to close");
    }
    let stale = policy.stale_while_revalidate.max(policy.stale_if_error);
    match policy.idle {
        Some(idle) if idle.is_zero() || idle > policy.ttl => {
            Some("the `idle` of a sliding TTL must be more than zero and no longer than its `max`")
        }
        Some(_) if !stale.is_zero() => Some(
            "a sliding TTL has no stale windows: leave out `stale_while_revalidate` and `stale_if_error`",
        ),
        Some(_) if policy.refresh_ahead >= policy.ttl => Some(
            "`refresh_ahead` is not shorter than the `max` of the sliding TTL: every read would start a refresh",
        ),
        None if policy.refresh_ahead >= policy.ttl => {
            Some("`refresh_ahead` is not shorter than `ttl`: every read would start a refresh")
        }
        _ => None,
    }
}
