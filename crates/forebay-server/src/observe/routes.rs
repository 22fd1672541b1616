//! The paths of this room, and what is done around every HTTP request.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Observed;
use super::metrics::{Form, View, told};
use super::stopwatch::Stopwatch;
use crate::problem::Problem;

/// The paths under which the process is seen.
pub(crate) fn routes(observed: &Arc<Observed>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(async || Problem::no_such_method())
        .with_state(Arc::clone(observed))
}

/// Counts a request and measures it, until the head of its answer is made.
pub(crate) async fn observe(State(observed): State<Arc<Observed>>, request: Request, next: Next) -> Response {
    let begun = Stopwatch::start();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let answer = next.run(request).await;
    let route = route.as_ref().map(MatchedPath::as_str);
    observed.requests.answered(route, &method, answer.status(), begun.elapsed_us());
    answer
}

async fn metrics(State(observed): State<Arc<Observed>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let form = Form::asked(accept.unwrap_or_default());
    let text = told(&View::of(&observed).await, form);
    let headers = [(header::CONTENT_TYPE, form.content_type()), (header::CACHE_CONTROL, "no-store")];
    (headers, text).into_response()
}
