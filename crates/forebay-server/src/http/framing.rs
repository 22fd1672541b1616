//! Requests that two programs may read differently: what is asked of a head before anything is done for it.
//!
//! Who stands in front and who serves must agree on where a request ends and for whom it is; otherwise one client hides a request in
//! the body of another's (RFC 9112 §11.2). hyper refuses heads and bodies whose end nobody can tell (400, and the connection ends); of a
//! length beside `Transfer-Encoding: chunked` it goes by the chunks, and ends the connection, as RFC 9112 §6.1 allows. What it lets pass
//! is refused here: codings of a body other than chunks, which would be stored as they came, and a `Host` that is missing or no single one.

use axum::http::{HeaderValue, Request, Version, header};
use axum::response::{IntoResponse as _, Response};

use crate::problem::Problem;

/// The answer to a request that is not to be served; it is the last one on its connection.
pub(crate) fn refused<B>(request: &Request<B>) -> Option<Response> {
    let problem = if !has_host(request) {
        Problem::bad_host()
    } else if !is_plain(request) {
        Problem::transfer_refused()
    } else {
        return None;
    };
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Some(response)
}

/// Whether the request names one host, which only those of HTTP/1.0 may leave out (RFC 9112 §3.2).
fn has_host<B>(request: &Request<B>) -> bool {
    let mut lines = request.headers().get_all(header::HOST).iter();
    match (lines.next(), lines.next()) {
        (Some(host), None) => host.as_bytes().iter().all(|byte| is_of_host(*byte)),
        (None, _) => request.version() < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

/// Whether a byte can stand in a name or an address and its port (RFC 3986 §3.2.2); a list, a path or a user cannot.
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte)
}

/// Whether the body comes as it is, or in chunks and in no other coding.
fn is_plain<B>(request: &Request<B>) -> bool {
    let mut lines = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}
