//! The reply to a read: the value and every header that a cache or a person may want, made from the engine's outcome.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forebay::{Blob, Freshness, Read, ReadOutcome, Tier};
use twox_hash::XxHash3_128;

use super::problem::Problem;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The reply to a read; `if_none_match` is the request's header.
pub(super) fn answer(read: &Read, if_none_match: Option<&HeaderValue>) -> Response {
    let mut response = match read.value.as_ref().and_then(|value| value.as_blob()) {
        Some(blob) => value(blob, if_none_match),
        None => Problem::absent().into_response(),
    };
    let headers = response.headers_mut();
    let outcome = &read.outcome;
    headers.insert(X_CACHE, HeaderValue::from_static(x_cache(outcome)));
    headers.insert(header::AGE, HeaderValue::from(outcome.age.as_secs()));
    for (name, text) in [
        (CACHE_STATUS, cache_status(outcome)),
        (header::CACHE_CONTROL, format!("max-age={}", outcome.fresh_for.as_secs())),
    ] {
        // Both are ASCII.
        if let Ok(text) = HeaderValue::from_str(&text) {
            headers.insert(name, text);
        }
    }
    response
}

fn value(blob: &Blob, if_none_match: Option<&HeaderValue>) -> Response {
    let etag = etag(&blob.bytes);
    if if_none_match.is_some_and(|asked| names(asked, &etag)) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let headers = [(header::CONTENT_TYPE, blob.content_type.to_owned()), (header::ETAG, etag)];
    (headers, Body::from(blob.bytes.clone())).into_response()
}

/// A strong tag, the same on every instance: it depends on the bytes alone.
fn etag(bytes: &[u8]) -> String {
    format!("\"{:032x}\"", XxHash3_128::oneshot(bytes))
}

/// Whether `If-None-Match` names `etag`, compared weakly as RFC 9110 §13.1.2 says.
fn names(asked: &HeaderValue, etag: &str) -> bool {
    let Ok(asked) = asked.to_str() else { return false };
    asked.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn x_cache(outcome: &ReadOutcome) -> &'static str {
    match (outcome.freshness, outcome.tier) {
        (Freshness::Stale(_), _) => "STALE",
        (_, Tier::Memory | Tier::Nowhere) => "HIT",
        (_, Tier::Source) => "MISS",
    }
}

fn cache_status(outcome: &ReadOutcome) -> String {
    let detail = outcome.tier.as_str();
    match (outcome.freshness, outcome.tier) {
        (Freshness::Stale(_), _) => format!("forebay; hit; ttl=-{}; detail={detail}", outcome.stale_for.as_secs()),
        (_, Tier::Source) => format!("forebay; fwd=miss; detail={detail}"),
        _ => format!("forebay; hit; ttl={}; detail={detail}", outcome.fresh_for.as_secs()),
    }
}
