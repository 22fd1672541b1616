//! Answers of the API that are kept whole, in `API_CACHE`: `api:{endpoint}:{params_hash}` → `{"data":…,"cached_at":…,"expires_at":…}`.
//!
//! The hash is of the *canonical* parameters: two requests that mean the same have one, however their query is written; two that differ in a
//! name, a value, the order of repeated values, or, where the answer depends on it, in who asks, have not. The values of a query are decoded
//! before they come here.

use forebay::value::{Blob, Value};
use forebay_server::problem::Problem;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::clock::moment;
use crate::exchange::{API, Exchange, Reading};

/// An answer that is kept.
#[derive(Debug, Serialize)]
struct Kept<'d> {
    data: &'d RawValue,
    cached_at: String,
    expires_at: String,
}

/// The key of the answer of `endpoint` to `parameters`, decoded and in the order in which they came; `caller` is who asks, where the answer depends on
/// it.
#[must_use]
pub fn key(endpoint: &str, parameters: &[(String, String)], caller: Option<&str>) -> String {
    let mut canonical: Vec<(String, &str)> =
        parameters.iter().map(|(name, value)| (name.to_lowercase(), value.as_str())).collect();
    // Stable: the values of a repeated name stay in their order.
    canonical.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut hash = Sha256::new();
    // Each part with its length before it, so that no two lists are written alike.
    let mut part = |text: &str| {
        hash.update(text.len().to_string());
        hash.update(":");
        hash.update(text);
    };
    part(if caller.is_some() { "of" } else { "any" });
    part(caller.unwrap_or_default());
    for (name, value) in canonical {
        part(&name);
        part(value);
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("api:{endpoint}:{digest}")
}

/// Keeps `data`, JSON, at `key`, for as long as the declaration says.
pub(crate) async fn keep(
    exchange: &Exchange,
    reading: &Reading,
    key: &str,
    data: &RawValue,
) -> Result<(), Problem> {
    let namespace = reading.namespace(API)?;
    let now = moment(&exchange.wall);
    let ends = now.saturating_add(SignedDuration::try_from(namespace.policy().ttl).unwrap_or_default());
    let ends = ends.unwrap_or(Timestamp::MAX);
    let kept = Kept { data, cached_at: format!("{now:.3}"), expires_at: format!("{ends:.3}") };
    // Text and JSON that was JSON before: it is written as it is.
    let json = serde_json::to_vec(&kept).unwrap_or_default();
    let value = Value::from(Blob::json(json));
    let kept = namespace.set_key(key.as_bytes(), value, None).await;
    kept.map_err(|error| Problem::engine(&error))
}
