//! The paths of this room, and what is done around every HTTP request.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;

use super::Observed;
use super::health::Health;
use super::metrics::{Form, View, told};
use super::origin::{Origin, request_id};
use super::slow::{self, Slow};
use super::stopwatch::{self, Stopwatch};
use crate::http::framing;
use crate::panics::{Panicked, caught};
use crate::problem::Problem;
use crate::time::now;

/// The paths under which the process is seen.
pub(crate) fn routes(observed: &Arc<Observed>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health/ready", get(ready))
        .method_not_allowed_fallback(async || Problem::no_such_method())
        .with_state(Arc::clone(observed))
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives a request its id, which its answer and the log have too; counts it, and measures it until the head of its answer is made. A panic
/// costs the request in which it happens: it is answered like any other error.
pub(crate) async fn observe(State(observed): State<Arc<Observed>>, request: Request, next: Next) -> Response {
    let mut under_way = UnderWay::begin(observed, &request);
    let id = Arc::clone(&under_way.id);
    let work = async {
        if let Some(refused) = framing::refused(&request) {
            return refused;
        }
        caught(next.run(request)).await.unwrap_or_else(|Panicked| Problem::internal().into_response())
    };
    let mut answer = Origin::Request(Arc::clone(&id)).serve(work).await;
    under_way.status = Some(answer.status());
    // An id is plain ASCII.
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    answer
}

/// A request that is being served. It is counted when this is dropped, so that one whose client goes away, with which its work is dropped,
/// is counted too.
struct UnderWay {
    observed: Arc<Observed>,
    begun: Stopwatch,
    id: Arc<str>,
    route: Option<MatchedPath>,
    method: Method,
    uri: Uri,
    from: Option<SocketAddr>,
    /// That of its answer, once there is one.
    status: Option<StatusCode>,
}

impl UnderWay {
    fn begin(observed: Arc<Observed>, request: &Request) -> Self {
        Self {
            begun: Stopwatch::start(observed.engine.clock()),
            observed,
            id: request_id(request.headers().get(REQUEST_ID)),
            route: request.extensions().get::<MatchedPath>().cloned(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            from: request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0),
            status: None,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Self { observed, begun, id, route, method, uri, from, status } = self;
        let took = begun.elapsed();
        let (route, took_us) = (route.as_ref().map(MatchedPath::as_str), stopwatch::us(took));
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
            None => tracing::debug!(request = %id, %method, route, took_us, "its client went away"),
        }
    }
}

async fn ready(State(observed): State<Arc<Observed>>) -> Response {
    let health = Health::of(&observed).await;
    let status = if health.serves() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(health.told())).into_response()
}

async fn metrics(State(observed): State<Arc<Observed>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let form = Form::asked(accept.unwrap_or_default());
    let text = told(&View::of(&observed).await, form);
    let headers = [(header::CONTENT_TYPE, form.content_type()), (header::CACHE_CONTROL, "no-store")];
    (headers, text).into_response()
}
