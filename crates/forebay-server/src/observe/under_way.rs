//! An HTTP request from when it is begun to be served until its answer is made, or its client has gone away.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath};
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;

use super::Observed;
use super::origin::{Origin, request_id};
use super::slow::{self, Slow};
use super::stopwatch::{self, Stopwatch};
use crate::time::now;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request that is being served. It is counted when this is dropped, so that one whose client goes away, with which its work is dropped,
/// is counted too.
pub(crate) struct UnderWay {
    observed: Arc<Observed>,
    begun: Stopwatch,
    id: Arc<str>,
    route: Option<Route>,
    method: Method,
    uri: Uri,
    from: Option<SocketAddr>,
    /// That of its answer, once there is one.
    status: Option<StatusCode>,
}

/// What a path was found by.
enum Route {
    Known(&'static str),
    Matched(MatchedPath),
}

impl Route {
    fn as_str(&self) -> &str {
        match self {
            Self::Known(route) => route,
            Self::Matched(path) => path.as_str(),
        }
    }
}

impl UnderWay {
    /// A request that the router has found a route for, or none.
    pub(super) fn routed<B>(observed: &Arc<Observed>, request: &Request<B>) -> Self {
        let begun = observed.stopwatch();
        let route = request.extensions().get::<MatchedPath>().cloned().map(Route::Matched);
        let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        Self::new(observed, begun, request, route, from)
    }

    /// A request for `route` that has `begun` to be served.
    pub(crate) fn of<B>(
        observed: &Arc<Observed>,
        begun: Stopwatch,
        request: &Request<B>,
        route: &'static str,
        from: SocketAddr,
    ) -> Self {
        Self::new(observed, begun, request, Some(Route::Known(route)), Some(from))
    }

    fn new<B>(
        observed: &Arc<Observed>,
        begun: Stopwatch,
        request: &Request<B>,
        route: Option<Route>,
        from: Option<SocketAddr>,
    ) -> Self {
        Self {
            observed: Arc::clone(observed),
            begun,
            id: request_id(request.headers().get(REQUEST_ID)),
            route,
            method: request.method().clone(),
            uri: request.uri().clone(),
            from,
            status: None,
        }
    }

    /// Whose doing is what is done for it.
    pub(crate) fn origin(&self) -> Origin {
        Origin::Request(Arc::clone(&self.id))
    }

    /// It is answered so: the answer with the request's id.
    pub(crate) fn answered(&mut self, mut answer: Response) -> Response {
        self.status = Some(answer.status());
        // An id is plain ASCII.
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            answer.headers_mut().insert(REQUEST_ID, id);
        }
        answer
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Self { observed, begun, id, route, method, uri, from, status } = self;
        let took = begun.elapsed();
        let (route, took_us) = (route.as_ref().map(Route::as_str), stopwatch::us(took));
        if observed.service.slow().is_slow(took) {
            tracing::info!(request = %id, %method, route, took_us, "a slow request");
            // A query string may hold a secret.
            let words = slow::cut([method.as_str().as_bytes(), uri.path().as_bytes()].into_iter());
            let from = from.map(|from| from.to_string()).unwrap_or_default();
            let name = Bytes::copy_from_slice(id.as_bytes());
            observed.service.slow().keep(Slow { id: 0, at: now(), took, words, from, name });
        }
        observed.requests.ended(route, method, *status, took_us);
        match status {
            Some(status) => {
                tracing::debug!(request = %id, %method, route, status = status.as_u16(), took_us, "answered");
            }
            None if observed.stop.is_asked() => {
                tracing::debug!(request = %id, %method, route, took_us, "cut off: the process ends");
            }
            None => tracing::debug!(request = %id, %method, route, took_us, "its client went away"),
        }
    }
}
