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
use super::{OF_KEY, Served, find, framing, value};
use crate::access::{self, Door};
use crate::limits::{KEY_BYTES_MAX, Limited};
use crate::observe::{Observed, UnderWay};
use crate::panics::{Panicked, caught_now};
use crate::problem::Problem;

/// Values up to so many bytes are answered at once.
pub(super) const AT_ONCE_BYTES_MAX: usize = 32 * 1024;

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

    /// The answer to a request that came `from` there, where memory has it. A panic costs the request in which it happens.
    pub(super) fn answer<B>(&self, request: &Request<B>, from: SocketAddr) -> Option<Response> {
        let (method, headers) = (request.method(), request.headers());
        if *method != Method::GET || framing::refused(request).is_some() || value::asks_for_the_truth(headers)
        {
            return None;
        }
        let begun = self.observed.stopwatch();
        let (keyspace, namespace, key) = named(request.uri())?;
        if !access::http::may_read(&self.door, headers, keyspace, namespace) {
            return None;
        }
        let keyspaces = self.served.keyspaces.now();
        let limits = &keyspaces.limits;
        let is_told =
            limits.is_any(keyspace) && limits.get(keyspace, namespace).is_some_and(Limited::is_told_of_reads);
        if is_told || key.len() > KEY_BYTES_MAX {
            return None;
        }
        let is_secure = keyspaces.is_secure(keyspace, namespace);
        let namespace = find::namespace(&keyspaces, keyspace, namespace).ok()?;
        // What would take long is none of one turn: its tag is made of all its bytes, and so is a compressed form.
        let read = namespace.read_value_now(key.as_bytes(), |value| {
            value.as_blob().is_some_and(|blob| blob.as_bytes().len() <= AT_ONCE_BYTES_MAX)
        })?;
        let mut under_way = UnderWay::of(&self.observed, begun, request, OF_KEY, from);
        let declared = Declared { writes: namespace.policy().writes, is_secure };
        let asked = Asked { read: &read, declared, past_copies: false, method, headers };
        let work = || asked.answer_now(&self.served.forms).unwrap_or_else(Problem::into_response);
        let answer = caught_now(|| under_way.origin().serve_now(work));
        let answer = answer.unwrap_or_else(|Panicked| Problem::internal().into_response());
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
    use std::collections::BTreeMap;

    use forebay::{Blob, Forebay, Keyspace, Value, Writes, secs};

    use super::*;
    use crate::connections::Places;
    use crate::jobs::Jobs;
    use crate::keyspaces::{InService, Keyspaces};
    use crate::observe::Board;
    use crate::time::WallClock;
    use crate::{resp, stop};

    #[tokio::test]
    async fn what_memory_has_is_answered_at_once() {
        let engine = Forebay::builder().build().unwrap();
        let memo = engine.namespace("memo").key("memo:{id}").ttl(secs(60)).writes(Writes::Cache);
        let memo = memo.build().unwrap();
        let mut keyspace = Keyspace::new("shop");
        keyspace.add(memo.clone()).unwrap();
        let keyspaces =
            Keyspaces::new(InService::new(BTreeMap::from([(0, Arc::new(keyspace))]), BTreeMap::new()));
        let (_stop, stopped) = stop::channel();
        let jobs = Jobs::new(keyspaces.clone(), engine.clock().clone(), WallClock::system(), stopped.clone());
        let (door, places) = (Door::new(&BTreeMap::new()), Places::new(1, 1));
        let service =
            resp::Service::new(door.clone(), places, keyspaces.clone(), jobs.clone(), 0, engine.clone());
        let alarms = Board::new(engine.clock().clone());
        let observed =
            Observed::new(engine.clone(), Arc::new(service), keyspaces.clone(), jobs, alarms, stopped);
        let hits = Hits::new(Served::new(keyspaces, engine), door, Arc::new(observed));
        let ask = |method: &str, path: &str, header: (&str, &str)| {
            let request = Request::builder().method(method).uri(path).header("host", "localhost");
            let request = request.header(header.0, header.1).body(()).unwrap();
            hits.answer(&request, "127.0.0.1:1".parse().unwrap()).map(|answer| answer.status().as_u16())
        };
        let (path, plain) = ("/v1/shop/memo/memo:a", ("accept", "*/*"));
        assert_eq!(ask("GET", path, plain), None, "it is not there");
        memo.set_key(b"memo:a", Value::from(Blob::opaque("1")), None).await.unwrap();
        assert_eq!(ask("GET", path, plain), Some(200));
        assert_eq!(ask("GET", path, ("if-none-match", "*")), Some(304));
        assert_eq!(ask("HEAD", path, plain), None);
        assert_eq!(ask("GET", "/v1/shop/memo/memo%3Aa", plain), None);
        for header in [("cache-control", "no-cache"), ("origin", "https://example.com"), ("host", "other")] {
            assert_eq!(ask("GET", path, header), None, "{header:?}");
        }
        let long = Blob::opaque("x".repeat(AT_ONCE_BYTES_MAX + 1));
        memo.set_key(b"memo:a", Value::from(long), None).await.unwrap();
        assert_eq!(ask("GET", path, plain), None);
    }

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
