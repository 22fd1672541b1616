//! The reply to a read: the value and every header that a cache or a person may want, made from the engine's outcome.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forebay::{Blob, Freshness, Read, ReadOutcome, Tier, Why, Writes};
use twox_hash::XxHash3_128;

use crate::FOR_EVER;
use crate::problem::Problem;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The reply to a read that was asked for with the headers `asked`, of a namespace whose writes go where `writes` says.
pub(super) fn answer(read: &Read, writes: Writes, asked: &HeaderMap) -> Response {
    let mut response = match (&read.value, read.value.as_ref().and_then(|value| value.as_blob())) {
        (_, Some(blob)) => value(blob, asked),
        (Some(other), None) => Problem::other_kind(other.kind()).into_response(),
        (None, None) => Problem::absent().into_response(),
    };
    let headers = response.headers_mut();
    let outcome = &read.outcome;
    headers.insert(X_CACHE, HeaderValue::from_static(x_cache(outcome)));
    headers.insert(header::AGE, HeaderValue::from(outcome.age.as_secs()));
    let cache_control = match writes {
        // The truth may change at any time: a cache in front asks whether it is still the same.
        Writes::Store => "no-cache".to_owned(),
        _ => format!("max-age={}", max_age(outcome).as_secs()),
    };
    for (name, text) in [(CACHE_STATUS, cache_status(outcome)), (header::CACHE_CONTROL, cache_control)] {
        // Both are ASCII.
        if let Ok(text) = HeaderValue::from_str(&text) {
            headers.insert(name, text);
        }
    }
    response
}

/// How long a cache in front may keep it, counted from the load: such a cache takes `Age` off itself (RFC 9111 §4.2).
fn max_age(outcome: &ReadOutcome) -> Duration {
    match outcome.freshness {
        Freshness::Stale(_) => Duration::ZERO,
        Freshness::Fresh | Freshness::Absent => outcome.age.saturating_add(outcome.fresh_for),
    }
}

fn value(blob: &Blob, asked: &HeaderMap) -> Response {
    let etag = etag(blob.as_bytes());
    if asked.get_all(header::IF_NONE_MATCH).iter().any(|tags| names(tags, &etag)) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let headers = [(header::CONTENT_TYPE, blob.content_type().to_owned()), (header::ETAG, etag)];
    (headers, Body::from(blob.bytes())).into_response()
}

/// A strong tag, the same on every instance: it depends on the bytes alone.
fn etag(bytes: &[u8]) -> String {
    format!("\"{:032x}\"", XxHash3_128::oneshot(bytes))
}

/// Whether `If-None-Match` names `etag`, compared weakly as RFC 9110 §13.1.2 says.
fn names(tags: &HeaderValue, etag: &str) -> bool {
    let Ok(tags) = tags.to_str() else { return false };
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn x_cache(outcome: &ReadOutcome) -> &'static str {
    match (outcome.freshness, outcome.tier) {
        (Freshness::Stale(_), _) => "STALE",
        (_, Tier::Memory | Tier::Shared | Tier::Nowhere) => "HIT",
        (_, Tier::Source) => "MISS",
    }
}

fn cache_status(outcome: &ReadOutcome) -> String {
    let detail = outcome.tier.as_str();
    match (outcome.freshness, outcome.tier) {
        (Freshness::Stale(Why::SourceFailed), _) => format!("forebay; fwd=stale; detail={detail}"),
        // The copy answered without waiting for the source, or in its place.
        (Freshness::Stale(_), _) => match outcome.stale_for.as_secs() {
            0 => format!("forebay; hit; ttl=0; detail={detail}"),
            past => format!("forebay; hit; ttl=-{past}; detail={detail}"),
        },
        (_, Tier::Source) => format!("forebay; fwd=miss; detail={detail}"),
        _ if outcome.fresh_for >= FOR_EVER => format!("forebay; hit; detail={detail}"),
        _ => format!("forebay; hit; ttl={}; detail={detail}", outcome.fresh_for.as_secs()),
    }
}
