//! How long a value that is put is to live: `?ttl=30s`, in the declaration's own language, or `?expires_at=2026-12-24T18:00:00Z`
//! (RFC 3339). A copy never lives longer than its namespace says; in a store the writer has the last word, as with `SET … EX`.

use std::time::Duration;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use jiff::Timestamp;
use serde::Deserialize;

use crate::configuration::units;
use crate::limits::workers_kv::Life;
use crate::problem::Problem;
use crate::time::{now, until};

/// What the query of a PUT says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    ttl: Option<String>,
    expires_at: Option<String>,
}

/// The life that a query asks for; `None` where it leaves that to the namespace.
///
/// # Errors
/// The problem to answer with where it says none.
pub(super) fn asked(query: Result<Query<Said>, QueryRejection>) -> Result<Option<Life>, Problem> {
    let Query(said) = query.map_err(|rejection| Problem::bad_query(&rejection.body_text()))?;
    match (said.ttl, said.expires_at) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Problem::bad_query("say `ttl` or `expires_at`, not both")),
        (Some(ttl), None) => match units::duration(&ttl) {
            Ok(span) => Ok(Some(Life::For(span))),
            Err(fault) => Err(Problem::bad_query(&format!("`ttl`: {fault}; {}", fault.mend()))),
        },
        (None, Some(moment)) => {
            let moment: Timestamp = moment.parse().map_err(|_| {
                Problem::bad_query("`expires_at` is no moment: write one like 2026-12-24T18:00:00Z")
            })?;
            Ok(Some(Life::Until(u64::try_from(moment.as_millisecond()).unwrap_or_default())))
        }
    }
}

/// How much is left of a life.
///
/// # Errors
/// The problem to answer with where it is over.
pub(super) fn left(life: Life) -> Result<Duration, Problem> {
    let left = match life {
        Life::For(span) => span,
        Life::Until(unix_ms) => until(unix_ms),
    };
    match left.is_zero() {
        true => Err(Problem::bad_query("the value would end at once: give it a later end, or delete it")),
        false => Ok(left),
    }
}

/// The moment that is `left` from now, as RFC 3339 writes it, in whole seconds.
pub(super) fn moment(left: Duration) -> Option<String> {
    let second = i64::try_from(now().saturating_add(left).as_secs()).ok()?;
    Timestamp::from_second(second).ok().map(|moment| moment.to_string())
}
