//! The reply to a read: the value and every header that a cache or a person may want, made from the engine's outcome.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forebay::{Blob, FOR_EVER, Freshness, Read, ReadOutcome, Tier, Why, Writes};

use super::compress::{self, Forms};
use super::conditions::{self, Form, Tag, Verdict};
use super::metadata::{self, FOREBAY_METADATA};
use super::range::{self, Part};
use crate::problem::Problem;

/// What stands for the longest time (RFC 9111 §1.2.2).
const DELTA_SECONDS_MAX: u64 = 1 << 31;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// A value is what a user wrote, and it is served from the same origin as everything else here: a browser is neither to guess what it is
/// (nosniff), nor to run or load anything of it (Content Security Policy Level 3).
const AS_IT_IS: [(HeaderName, HeaderValue); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
];

const ACCEPT_RANGES: (HeaderName, &str) = (header::ACCEPT_RANGES, "bytes");

/// What a namespace declares of its values that caches in front are to keep to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared {
    pub(super) writes: Writes,
    /// Whether nothing stale may be served of it.
    pub(super) is_secure: bool,
}

/// A read, and how it was asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) read: &'a Read,
    /// Of the namespace that was read.
    pub(super) declared: Declared,
    /// Whether the source's own answer was asked for.
    pub(super) past_copies: bool,
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
}

impl Asked<'_> {
    /// The reply.
    ///
    /// # Errors
    /// The problem to answer with where the request cannot be met, which nobody keeps.
    pub(super) async fn answer(self, forms: &Forms) -> Result<Response, Problem> {
        let chosen = self.choose()?;
        let compressed = match chosen.to_compress() {
            Some((blob, tag)) => forms.of(blob, tag).await,
            None => None,
        };
        self.reply(chosen, compressed)
    }

    /// The same without a wait: a form of the value that is wanted is made on this thread.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub(super) fn answer_now(self, forms: &Forms) -> Result<Response, Problem> {
        let chosen = self.choose()?;
        let compressed = chosen.to_compress().and_then(|(blob, tag)| forms.at_once(blob, tag));
        self.reply(chosen, compressed)
    }

    /// What is to be sent.
    fn choose(self) -> Result<Chosen, Problem> {
        let Some(value) = &self.read.value else { return Ok(Chosen::Absence) };
        let Some(blob) = value.to_blob() else { return Err(Problem::other_kind(value.kind())) };
        let tag = Tag::of(&blob);
        let compress = compress::is_wanted(&blob, self.headers);
        let preferred = if compress { Form::Compressed } else { Form::Identity };
        match conditions::of_read(self.headers, tag, preferred) {
            Verdict::Other => Err(Problem::precondition_failed()),
            Verdict::Known(form) => Ok(Chosen::Known(blob, tag, form)),
            Verdict::Send => Ok(Chosen::Value { blob, tag, compress }),
        }
    }

    fn reply(self, chosen: Chosen, compressed: Option<Bytes>) -> Result<Response, Problem> {
        let mut response = match chosen {
            Chosen::Absence => Problem::absent().into_response(),
            Chosen::Known(blob, tag, form) => {
                described(StatusCode::NOT_MODIFIED.into_response(), &blob, tag, form)
            }
            Chosen::Value { blob, tag, .. } => {
                let (mut response, form) = match compressed {
                    Some(bytes) => (compressed_response(bytes), Form::Compressed),
                    None => (sent(&blob, tag, self.method, self.headers)?, Form::Identity),
                };
                // What a header cannot carry is left out, rather than the value.
                let content_type = HeaderValue::from_str(blob.content_type()).ok();
                response.headers_mut().extend(content_type.map(|text| (header::CONTENT_TYPE, text)));
                described(response, &blob, tag, form)
            }
        };
        let (headers, outcome) = (response.headers_mut(), &self.read.outcome);
        headers.insert(X_CACHE, HeaderValue::from_static(x_cache(outcome)));
        headers.insert(header::AGE, HeaderValue::from(outcome.age.as_secs()));
        let is_authorized = self.headers.contains_key(header::AUTHORIZATION);
        let cache_control = self.declared.cache_control(outcome, is_authorized);
        let cache_status = cache_status(outcome, self.past_copies);
        for (name, text) in [(CACHE_STATUS, cache_status), (header::CACHE_CONTROL, cache_control)] {
            // Both are ASCII.
            if let Ok(text) = HeaderValue::try_from(text) {
                headers.insert(name, text);
            }
        }
        Ok(response)
    }
}

/// What is to be sent of a read.
enum Chosen {
    /// That there is no value.
    Absence,
    /// That the value is the one that is known, in this form.
    Known(Blob, Tag, Form),
    /// The value, compressed where that makes it smaller and is asked for.
    Value { blob: Blob, tag: Tag, compress: bool },
}

impl Chosen {
    fn to_compress(&self) -> Option<(&Blob, Tag)> {
        match self {
            Self::Value { blob, tag, compress: true } => Some((blob, *tag)),
            _ => None,
        }
    }
}

impl Declared {
    /// What a cache in front may do with an answer. What was asked for with `Authorization` is for who showed that: a shared cache that
    /// keeps to RFC 9111 §3.5 knows so, and `private` tells those that do not.
    fn cache_control(self, outcome: &ReadOutcome, is_authorized: bool) -> String {
        if self.is_secure {
            // A copy out there is one that nobody can take back.
            return "no-store".to_owned();
        }
        let private = if is_authorized { "private, " } else { "" };
        match self.writes {
            // The truth may change at any time: a cache in front asks whether it is still the same.
            Writes::Store => format!("{private}no-cache"),
            _ => format!("{private}max-age={}", max_age_s(outcome)),
        }
    }
}

/// How long a cache in front may keep it, counted from the load, in seconds. Such a cache takes `Age` off it, and adds the time for which
/// it has it (RFC 9111 §4.2): it keeps it for `max-age` − `Age`. `Age` is cut to whole seconds, as everywhere. So the whole seconds that
/// are left are added to just that: cut from the sum of the exact times, `max-age` would let it be kept for up to a second too long.
fn max_age_s(outcome: &ReadOutcome) -> u64 {
    match outcome.freshness {
        Freshness::Stale(_) => 0,
        Freshness::Fresh | Freshness::Absent => {
            outcome.age.as_secs().saturating_add(outcome.fresh_for.as_secs()).min(DELTA_SECONDS_MAX)
        }
    }
}

/// A reply with what is told of a value, of which it has `form`: also where that is known, for who keeps no headers with its copy and asks
/// for them so.
fn described(mut response: Response, blob: &Blob, tag: Tag, form: Form) -> Response {
    let headers = response.headers_mut();
    headers.extend(AS_IT_IS);
    headers.extend(tag.header(form).map(|tag| (header::ETAG, tag)));
    headers.extend(metadata::header(blob).map(|metadata| (FOREBAY_METADATA, metadata)));
    if compress::is_worth(blob) {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    response
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

fn cache_status(outcome: &ReadOutcome, past_copies: bool) -> String {
    let detail = outcome.tier.as_str();
    match (outcome.freshness, outcome.tier) {
        (Freshness::Stale(Why::SourceFailed), _) => format!("forebay; fwd=stale; detail={detail}"),
        // The copy answered without waiting for the source, or in its place.
        (Freshness::Stale(_), _) => match outcome.stale_for.as_secs() {
            0 => format!("forebay; hit; ttl=0; detail={detail}"),
            past => format!("forebay; hit; ttl=-{past}; detail={detail}"),
        },
        (_, Tier::Source) if past_copies => format!("forebay; fwd=request; detail={detail}"),
        (_, Tier::Source) => format!("forebay; fwd=miss; detail={detail}"),
        _ if outcome.fresh_for >= FOR_EVER => format!("forebay; hit; detail={detail}"),
        _ => format!("forebay; hit; ttl={}; detail={detail}", outcome.fresh_for.as_secs()),
    }
}
