//! What memory answers at once: a `GET` of one value that it has, without the router, its layers, or a future.
//!
//! A request that is not of this kind, or that memory does not answer, is left as it is for the routes, which carry out all requests.
//! What comes of it is the same by either way, since both ask the same: which heads are served ([`framing`]), what a caller may read
//! ([`access::http`]), how a read is answered ([`answer`](super::answer)), and how it is counted ([`UnderWay`]).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{Method, Request, Uri};
use axum::response::{IntoResponse as _, Response};

use super::answer::{Asked, Declared};
use super::{OF_KEY, Served, compress, find, framing, value};
use crate::access::{self, Door};
use crate::observe::{Observed, UnderWay};
use crate::panics::caught_now;
use crate::problem::Problem;

/// Answers what memory has.
pub(crate) struct Hits {
    served: Arc<Served>,
    door: Door,
    observed: Arc<Observed>,
}

impl Hits {
    /// Of what the routes serve too, to whom `door` lets in.
    pub(crate) fn new(served: Arc<Served>, door: Door, observed: Arc<Observed>) -> Self {
        Self { served, door, observed }
    }

    /// The answer to a request that came `from` there, where memory has it. Where it panics, the routes see what comes of the request.
    pub(super) fn answer<B>(&self, request: &Request<B>, from: SocketAddr) -> Option<Response> {
        caught_now(|| self.look(request, from)).unwrap_or_default()
    }

    fn look<B>(&self, request: &Request<B>, from: SocketAddr) -> Option<Response> {
        let (method, headers) = (request.method(), request.headers());
        let begun = self.observed.stopwatch();
        if *method != Method::GET || framing::refused(request).is_some() || value::asks_for_the_truth(headers)
        {
            return None;
        }
        let (keyspace, namespace, key) = named(request.uri())?;
        if !access::http::may_read(&self.door, headers, keyspace, namespace) {
            return None;
        }
        let keyspaces = self.served.keyspaces.now();
        let is_secure = keyspaces.is_secure(keyspace, namespace);
        let namespace = find::namespace(&keyspaces, keyspace, namespace).ok()?;
        let read = namespace.read_value_now(key.as_bytes(), |value| {
            let is_at_once = |blob| !compress::is_wanted(blob, headers) || compress::is_made_at_once(blob);
            value.as_blob().is_some_and(is_at_once)
        })?;
        let mut under_way = UnderWay::of(&self.observed, begun, request, OF_KEY, from);
        let declared = Declared { writes: namespace.policy().writes, is_secure };
        let asked = Asked { read: &read, declared, past_copies: false, method, headers };
        let answer = asked.answer_now(&self.served.forms).unwrap_or_else(Problem::into_response);
        Some(under_way.answered(answer))
    }
}

/// The keyspace, the namespace and the key that a path names, where they stand there as they are: what is written otherwise is the
/// router's to read.
fn named(uri: &Uri) -> Option<(&str, &str, &str)> {
    let mut names = uri.path().strip_prefix("/v1/")?.splitn(3, '/');
    let named = (names.next()?, names.next()?, names.next()?);
    let is_plain = |name: &str| !name.is_empty() && !name.contains('%');
    (is_plain(named.0) && is_plain(named.1) && is_plain(named.2)).then_some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_need_no_reading_are_taken() {
        let of = |path: &'static str| named(&Uri::from_static(path)).map(|(a, b, c)| format!("{a} {b} {c}"));
        assert_eq!(of("/v1/shop/orders/order:1").as_deref(), Some("shop orders order:1"));
        assert_eq!(of("/v1/shop/orders/a/b//c?ttl=1").as_deref(), Some("shop orders a/b//c"));
        for other in [
            "/v1/shop/orders",
            "/v1/shop/orders/",
            "/v1/shop//a",
            "/v1//orders/a",
            "/v1/shop/orders/a%20b",
            "/v2/a/b/c",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
