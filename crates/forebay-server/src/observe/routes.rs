//! The paths of this room, and what is done around every HTTP request.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};

use super::health::Health;
use super::metrics::{Form, View, told};
use super::{Observed, UnderWay};
use crate::access::Access;
use crate::http::framing;
use crate::panics::{Panicked, caught};
use crate::problem::Problem;

/// The paths under which the process is seen.
pub(crate) fn routes(observed: &Arc<Observed>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health/ready", get(ready))
        .method_not_allowed_fallback(async || Problem::no_such_method())
        .with_state(Arc::clone(observed))
}

/// Gives a request its id, which its answer and the log have too; counts it, and measures it until the head of its answer is made. A panic
/// costs the request in which it happens: it is answered like any other error.
pub(crate) async fn observe(State(observed): State<Arc<Observed>>, request: Request, next: Next) -> Response {
    let mut under_way = UnderWay::routed(&observed, &request);
    let work = async {
        if let Some(refused) = framing::refused(&request) {
            return refused;
        }
        caught(next.run(request)).await.unwrap_or_else(|Panicked| Problem::internal().into_response())
    };
    let answer = under_way.origin().serve(work).await;
    under_way.answered(answer)
}

async fn ready(State(observed): State<Arc<Observed>>, known: Option<Extension<Arc<Access>>>) -> Response {
    let health = Health::of(&observed);
    let status = if health.serves() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let told = known.map_or_else(|| health.told_strangers(), |_| health.told());
    (status, [(header::CACHE_CONTROL, "no-store")], Json(told)).into_response()
}

async fn metrics(State(observed): State<Arc<Observed>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let form = Form::asked(accept.unwrap_or_default());
    let text = told(&View::of(&observed).await, form);
    let headers = [(header::CONTENT_TYPE, form.content_type()), (header::CACHE_CONTROL, "no-store")];
    (headers, text).into_response()
}
