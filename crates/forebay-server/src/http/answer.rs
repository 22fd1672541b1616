//! The reply to a read: the value and every header that a cache or a person may want, made from the engine's outcome.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forebay::{Blob, Freshness, Read, ReadOutcome, Tier, Why, Writes};

use super::compress::{self, Forms};
use super::conditions::{self, Form, Tag, Verdict};
use super::metadata::{self, FOREBAY_METADATA};
use super::range::{self, Part};
use crate::FOR_EVER;
use crate::problem::Problem;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

const ACCEPT_RANGES: (HeaderName, &str) = (header::ACCEPT_RANGES, "bytes");

/// The reply to a read that was asked for with the headers `asked`, of a namespace whose writes go where `writes` says.
///
/// # Errors
/// The problem to answer with where the request cannot be met, which nobody keeps.
pub(super) async fn answer(
    read: &Read,
    writes: Writes,
    method: &Method,
    asked: &HeaderMap,
    forms: &Forms,
) -> Result<Response, Problem> {
    let mut response = match (&read.value, read.value.as_ref().and_then(|value| value.as_blob())) {
        (_, Some(blob)) => value(blob, method, asked, forms).await?,
        (Some(other), None) => return Err(Problem::other_kind(other.kind())),
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
        if let Ok(text) = HeaderValue::try_from(text) {
            headers.insert(name, text);
        }
    }
    Ok(response)
}

/// How long a cache in front may keep it, counted from the load: such a cache takes `Age` off itself (RFC 9111 §4.2).
fn max_age(outcome: &ReadOutcome) -> Duration {
    match outcome.freshness {
        Freshness::Stale(_) => Duration::ZERO,
        Freshness::Fresh | Freshness::Absent => outcome.age.saturating_add(outcome.fresh_for),
    }
}

async fn value(blob: &Blob, method: &Method, asked: &HeaderMap, forms: &Forms) -> Result<Response, Problem> {
    let tag = Tag::of(blob);
    let varies = compress::is_worth(blob);
    let compress = varies && !asked.contains_key(header::RANGE) && compress::is_accepted(asked);
    let preferred = if compress { Form::Compressed } else { Form::Identity };
    let (mut response, form) = match conditions::of_read(asked, tag, preferred) {
        Verdict::Other => return Err(Problem::precondition_failed()),
        Verdict::Known(form) => (StatusCode::NOT_MODIFIED.into_response(), form),
        Verdict::Send => {
            let compressed = if compress { forms.of(blob, tag).await } else { None };
            let (mut response, form) = match compressed {
                Some(bytes) => (compressed_response(bytes), Form::Compressed),
                None => (sent(blob, tag, method, asked)?, Form::Identity),
            };
            let headers = response.headers_mut();
            // What a header cannot carry is left out, rather than the value.
            headers.extend(
                HeaderValue::from_str(blob.content_type()).map(|text| (header::CONTENT_TYPE, text)).ok(),
            );
            (response, form)
        }
    };
    let headers = response.headers_mut();
    headers.extend(tag.header(form).map(|tag| (header::ETAG, tag)));
    // Also with what is known: who keeps no headers with its copy asks for them so.
    headers.extend(metadata::header(blob).map(|metadata| (FOREBAY_METADATA, metadata)));
    if varies {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    Ok(response)
}

fn compressed_response(bytes: Bytes) -> Response {
    ([(header::CONTENT_ENCODING, "gzip")], Body::from(bytes)).into_response()
}

/// The value, or the part of it that is asked for. Only a GET asks for parts.
fn sent(blob: &Blob, tag: Tag, method: &Method, asked: &HeaderMap) -> Result<Response, Problem> {
    let length = blob.as_bytes().len();
    let part = if *method == Method::GET { range::part(asked, tag, length) } else { Part::Whole };
    match part {
        Part::Whole => Ok(([ACCEPT_RANGES], Body::from(blob.bytes())).into_response()),
        Part::Nothing => Err(Problem::no_such_range(length)),
        Part::Bytes(range) => {
            let shown = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            let body = Body::from(blob.bytes().slice(range));
            let part = [(header::CONTENT_RANGE, shown)];
            Ok((StatusCode::PARTIAL_CONTENT, [ACCEPT_RANGES], part, body).into_response())
        }
    }
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
