//! Errors as problem details (RFC 9457): a status, a code that programs can tell apart, and what to do.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forebay::{Error, Fault};

/// An error reply.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// Stable, for programs.
    code: &'static str,
    detail: String,
    /// Whether the same request can succeed later.
    may_retry: bool,
}

/// What a client is told to wait before it tries again, in seconds.
const RETRY_AFTER_S: u32 = 1;

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: String) -> Self {
        Self { status, code, detail, may_retry: false }
    }

    pub(super) fn absent() -> Self {
        Self::new(StatusCode::NOT_FOUND, "absent", "the key does not exist".into())
    }

    pub(super) fn no_such_path() -> Self {
        let detail = "no such path; values are read at /v1/{keyspace}/{namespace}/{key}".into();
        Self::new(StatusCode::NOT_FOUND, "no_such_path", detail)
    }

    pub(super) fn no_keyspace(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_keyspace", format!("no keyspace is called `{name}`"))
    }

    pub(super) fn no_namespace(keyspace: &str, name: &str) -> Self {
        let detail = format!("the keyspace `{keyspace}` has no namespace called `{name}`");
        Self::new(StatusCode::NOT_FOUND, "no_namespace", detail)
    }

    pub(super) fn bad_key(key: &str, pattern: &str) -> Self {
        let detail = format!("the key `{key}` does not match the namespace's pattern `{pattern}`");
        Self::new(StatusCode::BAD_REQUEST, "bad_key", detail)
    }

    /// An engine's error: its own message, which names no secret; the source's words are logged and stay here.
    pub(super) fn engine(error: &Error) -> Self {
        if let Some(cause) = std::error::Error::source(error) {
            tracing::warn!(%error, %cause, "a read failed");
        }
        let (status, code) = match (error, error.fault()) {
            (Error::Timeout { .. }, _) => (StatusCode::GATEWAY_TIMEOUT, "source_timeout"),
            (_, Fault::Source) => (StatusCode::BAD_GATEWAY, "source_failed"),
            (_, Fault::Caller) => (StatusCode::BAD_REQUEST, "refused"),
            (_, Fault::Forebay) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        Self { may_retry: error.may_retry(), ..Self::new(status, code, error.to_string()) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = serde_json::json!({
            "type": "about:blank",
            "title": title,
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.may_retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        response
    }
}
