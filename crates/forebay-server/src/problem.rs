//! HTTP errors as problem details (RFC 9457): a status, a code that programs can tell apart, and what to do. Apps answer
//! theirs in the same shape.

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forebay::value::Kind;
use forebay::{Error, Fault};
use forebay_stores::database::DatabaseError;
use forebay_stores::database::transaction::TransactionError;

use crate::limits::Refused;
use crate::limits::workers_kv::Beyond;
use crate::observe::Origin;

/// An error reply.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    /// Stable, for programs.
    code: &'static str,
    detail: String,
    /// After how many seconds the same request can succeed, where it can.
    retry_after_s: Option<u64>,
    /// How long the value is that has no such range, in bytes.
    length_bytes: Option<usize>,
    /// What else it tells (RFC 9457 §3.2).
    members: Vec<(&'static str, serde_json::Value)>,
}

/// What a client is told to wait before it tries again where nothing better is known, in seconds.
const RETRY_AFTER_S: u64 = 1;

impl Problem {
    /// An error of `status`; `code` is stable, for programs, and `detail` tells a person what to do.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: String) -> Self {
        Self { status, code, detail, retry_after_s: None, length_bytes: None, members: Vec::new() }
    }

    /// The same with one more member, `name`, for programs (RFC 9457 §3.2).
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.members.push((name, value.into()));
        self
    }

    /// A request went wrong for no fault of its own.
    pub(crate) fn internal() -> Self {
        let detail = "the server made a mistake with this request; it has been noted".to_owned();
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// There is no place for one more connection.
    pub(crate) fn no_place() -> Self {
        let detail = "there are as many connections as there may be: try again later".to_owned();
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_place", detail).later()
    }

    /// A request came without TLS where it is due.
    pub(crate) fn no_tls() -> Self {
        let detail = "this port speaks TLS: ask for https://".to_owned();
        Self::new(StatusCode::BAD_REQUEST, "no_tls", detail)
    }

    /// The bodies of all requests together have as many bytes as they may have.
    pub(crate) fn bodies_full(limit_bytes: u64) -> Self {
        let detail = format!(
            "the bodies of all requests that are on their way have {limit_bytes} bytes, as many as they may have: try again later"
        );
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "bodies_full", detail).later()
    }

    /// A request is beyond what is taken.
    pub(crate) fn beyond(refused: &Refused) -> Self {
        let (status, code) = match refused {
            Refused::Spent(_) => (StatusCode::TOO_MANY_REQUESTS, "quota_spent"),
            Refused::LongKey { .. } => (StatusCode::URI_TOO_LONG, "long_key"),
            Refused::LongValue { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Refused::Beyond { beyond, .. } => match beyond {
                Beyond::ShortTtl { .. } | Beyond::EndsSoon { .. } | Beyond::HasEnded { .. } => {
                    (StatusCode::BAD_REQUEST, "short_life")
                }
                Beyond::NoKey => (StatusCode::BAD_REQUEST, "bad_key"),
                Beyond::OtherKind => (StatusCode::CONFLICT, "wrong_kind"),
                Beyond::TooOften { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_often"),
            },
        };
        let retry_after_s = match refused {
            Refused::Spent(spent) => Some(spent.left_s),
            Refused::Beyond { beyond: Beyond::TooOften { left_ms }, .. } => Some(left_ms.div_ceil(1_000)),
            _ => None,
        };
        Self { retry_after_s, ..Self::new(status, code, refused.to_string()) }
    }

    /// The same request can succeed in a while.
    fn later(self) -> Self {
        Self { retry_after_s: Some(RETRY_AFTER_S), ..self }
    }

    pub(crate) fn absent() -> Self {
        Self::new(StatusCode::NOT_FOUND, "absent", "the key does not exist".into())
    }

    /// The value is none that a path can answer with.
    pub(crate) fn other_kind(kind: Kind) -> Self {
        let detail = format!("the value is of the kind {kind}: over HTTP only blobs and counters are read");
        Self::new(StatusCode::CONFLICT, "wrong_kind", detail)
    }

    pub(crate) fn no_such_path() -> Self {
        let detail = "no such path; values are read at /v1/{keyspace}/{namespace}/{key}".into();
        Self::new(StatusCode::NOT_FOUND, "no_such_path", detail)
    }

    /// The path cannot be read: what it percent-encodes is not UTF-8.
    pub(crate) fn bad_path() -> Self {
        let detail = "the path is not UTF-8: percent-encode a key's UTF-8 bytes".into();
        Self::new(StatusCode::BAD_REQUEST, "bad_path", detail)
    }

    pub(crate) fn no_such_method() -> Self {
        let detail = "the path does not take this method; the `Allow` header names those it takes".into();
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    pub(crate) fn no_keyspace(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_keyspace", format!("no keyspace is called `{name}`"))
    }

    pub(crate) fn no_namespace(keyspace: &str, name: &str) -> Self {
        let detail = format!("the keyspace `{keyspace}` has no namespace called `{name}`");
        Self::new(StatusCode::NOT_FOUND, "no_namespace", detail)
    }

    pub(crate) fn bad_key(key: &str, pattern: &str) -> Self {
        let detail = format!("the key `{key}` does not match the namespace's pattern `{pattern}`");
        Self::new(StatusCode::BAD_REQUEST, "bad_key", detail)
    }

    /// No key of the namespace begins with `prefix`.
    pub(crate) fn bad_prefix(prefix: &str, pattern: &str) -> Self {
        let detail = format!("no key of the namespace's pattern `{pattern}` begins with `{prefix}`");
        Self::new(StatusCode::BAD_REQUEST, "bad_key", detail)
    }

    /// A body that could not be taken: longer than `limit_bytes`, or not whole.
    pub(crate) fn body(rejection: &BytesRejection, limit_bytes: usize) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = format!("the body of this request has at most {limit_bytes} bytes");
            return Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail);
        }
        let detail = "the body ended before its length: send it again".into();
        Self::new(StatusCode::BAD_REQUEST, "no_body", detail)
    }

    /// The body of a request did not come as fast as it must.
    pub(crate) fn body_late() -> Self {
        let detail = "the body came too slowly: send it again, without stops".into();
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_late", detail)
    }

    /// The head does not say for which host it is.
    pub(crate) fn bad_host() -> Self {
        let detail =
            "a request names its host once: send one `Host`, of a name or an address and its port".into();
        Self::new(StatusCode::BAD_REQUEST, "bad_host", detail)
    }

    /// The body comes in a coding that nobody here takes off.
    pub(crate) fn transfer_refused() -> Self {
        let detail = "the only `Transfer-Encoding` that is taken is `chunked`: send the body as it is".into();
        Self::new(StatusCode::NOT_IMPLEMENTED, "transfer_refused", detail)
    }

    /// The query of a path cannot be read; `what` says what to write.
    pub(crate) fn bad_query(what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_query", what.to_owned())
    }

    /// The JSON of a body is not what the path takes.
    pub(crate) fn bad_body(what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_body", what.to_owned())
    }

    /// The path ends in a verb that nobody knows.
    pub(crate) fn no_such_verb(verbs: &str) -> Self {
        let detail = format!("no such path; a POST goes to a name and one of these verbs: {verbs}");
        Self::new(StatusCode::NOT_FOUND, "no_such_path", detail)
    }

    /// The cursor of a listing is none that was given out for it.
    pub(crate) fn bad_cursor() -> Self {
        let detail = "no listing gave this cursor for this prefix: begin again without one".into();
        Self::new(StatusCode::BAD_REQUEST, "bad_cursor", detail)
    }

    /// The cursor of a listing is from when the namespace had another mode.
    pub(crate) fn old_cursor(namespace: &str) -> Self {
        let detail =
            format!("`{namespace}` had another mode when it gave this cursor: begin again without one");
        Self::new(StatusCode::BAD_REQUEST, "bad_cursor", detail)
    }

    /// The status of a reply with it.
    pub(crate) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Stable, for programs.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    /// What a person is told.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The metadata of a write is not what it may be.
    pub(crate) fn bad_metadata(limit_bytes: usize) -> Self {
        let detail = format!(
            "`Forebay-Metadata` is JSON of at most {limit_bytes} bytes of UTF-8, given once; an escape counts as what it stands for"
        );
        Self::new(StatusCode::BAD_REQUEST, "bad_metadata", detail)
    }

    /// The metadata of a write has `length_bytes`, more than it may have.
    pub(crate) fn long_metadata(length_bytes: usize, limit_bytes: usize) -> Self {
        let detail =
            format!("`Forebay-Metadata` has {length_bytes} bytes of UTF-8, and {limit_bytes} are allowed");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    /// The metadata of a write has no place where its value goes.
    pub(crate) fn metadata_refused(namespace: &str) -> Self {
        let detail = format!(
            "the sink of `{namespace}` has no place for metadata: write without `Forebay-Metadata`, or keep it in the value"
        );
        Self::new(StatusCode::BAD_REQUEST, "metadata_refused", detail)
    }

    /// A write of part of a value.
    pub(crate) fn no_parts() -> Self {
        let detail = "a value is written as a whole: send all of it, without `Content-Range`".into();
        Self::new(StatusCode::BAD_REQUEST, "no_parts", detail)
    }

    /// A write of a value in another form than its own.
    pub(crate) fn encoding_refused() -> Self {
        let detail = "a value is written as it is, without `Content-Encoding`: who reads it is sent it compressed where it asks for that";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding_refused", detail.into())
    }

    /// `If-Match` or `If-None-Match` does not hold.
    pub(crate) fn precondition_failed() -> Self {
        let detail = "the value is not the one that the condition is for: read it, and decide anew".into();
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
    }

    /// A write has a condition that nobody here can keep.
    pub(crate) fn no_conditions(namespace: &str) -> Self {
        let detail = format!(
            "the source or the sink of `{namespace}` has the truth, so that no condition on it can be kept here: write without `If-Match` and `If-None-Match`"
        );
        Self::new(StatusCode::BAD_REQUEST, "condition_refused", detail)
    }

    /// A value of `length_bytes` has none of the bytes that were asked for.
    pub(crate) fn no_such_range(length_bytes: usize) -> Self {
        let detail = format!("the value has {length_bytes} bytes, and none of those that the range names");
        let problem = Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "no_such_range", detail);
        Self { length_bytes: Some(length_bytes), ..problem }
    }

    /// An engine's error: its own message, which names no secret; the source's words are logged and stay here.
    #[must_use]
    pub fn engine(error: &Error) -> Self {
        told(error);
        let (status, code) = kind(error);
        let retry_after_s = error.may_retry().then(|| match error {
            Error::BreakerOpen { retry_after, .. }
            | Error::Overloaded { retry_after, .. }
            | Error::QueueFull { retry_after, .. } => retry_after.as_secs().max(RETRY_AFTER_S),
            _ => RETRY_AFTER_S,
        });
        Self { retry_after_s, ..Self::new(status, code, error.to_string()) }
    }
}

/// For apps, which ask databases themselves.
impl Problem {
    /// A request to an app's route says what cannot be meant; `what` tells what to write.
    #[must_use]
    pub fn bad_request(what: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", what.into())
    }

    /// A database did not answer, or not as it should; its own words are logged and stay here.
    #[must_use]
    pub fn database(error: &DatabaseError) -> Self {
        if error.may_retry() {
            tracing::debug!(%error, "a database did not answer an app");
            let detail = "the database does not answer: try again later".to_owned();
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail).later();
        }
        tracing::warn!(%error, "a database refused what an app asked of it");
        Self::internal()
    }

    /// A transaction did not end in a commit; of its own work's failure `work` tells.
    pub fn transaction<E: std::fmt::Display>(
        error: TransactionError<E>,
        work: impl FnOnce(E) -> Self,
    ) -> Self {
        match error {
            TransactionError::Work(error) => work(error),
            TransactionError::RolledBack(error) => Self::database(&error.into()),
            error @ TransactionError::Unknown { .. } => {
                tracing::warn!(%error, "nobody knows whether a transaction of an app was committed");
                let detail =
                    "nobody knows whether this was done: look, before you ask for it again".to_owned();
                Self::new(StatusCode::GATEWAY_TIMEOUT, "write_unconfirmed", detail)
            }
            error @ (TransactionError::Nested | TransactionError::Unfed) => {
                tracing::warn!(%error, "an app used a transaction wrongly");
                Self::internal()
            }
        }
    }
}

/// The status and the code of an engine's error.
fn kind(error: &Error) -> (StatusCode, &'static str) {
    match (error, error.fault()) {
        (Error::Timeout { .. }, _) => (StatusCode::GATEWAY_TIMEOUT, "source_timeout"),
        (Error::Overloaded { .. }, _) => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        (Error::BreakerOpen { .. }, _) => (StatusCode::SERVICE_UNAVAILABLE, "breaker_open"),
        (Error::Unconfirmed { .. }, _) => (StatusCode::SERVICE_UNAVAILABLE, "unconfirmed"),
        (Error::WritesRefused { .. }, _) => (StatusCode::FORBIDDEN, "writes_refused"),
        (Error::Misfit { .. }, _) => (StatusCode::CONFLICT, "wrong_kind"),
        (Error::TooLarge { .. }, _) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        (Error::Unfit { .. }, _) => (StatusCode::UNPROCESSABLE_ENTITY, "unfit"),
        (Error::SinkRefused { .. }, _) => (StatusCode::UNPROCESSABLE_ENTITY, "sink_refused"),
        (Error::SinkFailed { .. }, _) => (StatusCode::BAD_GATEWAY, "sink_failed"),
        (Error::WriteUnconfirmed { .. }, _) => (StatusCode::GATEWAY_TIMEOUT, "write_unconfirmed"),
        (Error::QueueFull { .. }, _) => (StatusCode::SERVICE_UNAVAILABLE, "queue_full"),
        (Error::Parked { .. }, _) => (StatusCode::CONFLICT, "parked"),
        (Error::JournalFailed { .. }, _) => (StatusCode::SERVICE_UNAVAILABLE, "journal_failed"),
        (Error::JournalUnconfirmed { .. }, _) => (StatusCode::SERVICE_UNAVAILABLE, "journal_unconfirmed"),
        (Error::StoreFailed { .. }, _) => (StatusCode::SERVICE_UNAVAILABLE, "store_failed"),
        (Error::StoreUnconfirmed { .. }, _) => (StatusCode::SERVICE_UNAVAILABLE, "store_unconfirmed"),
        (_, Fault::Source) => (StatusCode::BAD_GATEWAY, "source_failed"),
        (_, Fault::Caller) => (StatusCode::BAD_REQUEST, "refused"),
        (_, Fault::Forebay) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    }
}

/// Tells the log of an error that a client gets. A source or a sink that fails has a line of its own once an episode, not at every
/// request.
pub(crate) fn told(error: &Error) {
    match std::error::Error::source(error) {
        Some(cause) if error.fault() == Fault::Source => tracing::debug!(%error, %cause, "a request failed"),
        Some(cause) => tracing::warn!(%error, %cause, "a request failed"),
        None => {}
    }
}

impl Problem {
    /// The members of its JSON, `request_id` among them where the request's id is known.
    pub(crate) fn told(&self, request_id: Option<&str>) -> String {
        let mut body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if let Some(members) = body.as_object_mut() {
            members.extend(self.members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            members.extend(request_id.map(|id| ("request_id".to_owned(), id.into())));
        }
        body.to_string()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = match Origin::current() {
            Some(Origin::Request(id)) => self.told(Some(&id)),
            _ => self.told(None),
        };
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        // Caches in front may keep a 404 or 405 that does not say otherwise; an absence says so in its place.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(Ok(length)) = self.length_bytes.map(|length| format!("bytes */{length}").try_into()) {
            headers.insert(header::CONTENT_RANGE, length);
        }
        response
    }
}
