//! The app's HTTP routes, under `/api/v1` and `/apps/stocks`; README.md lists them with examples.
//!
//! Errors are problem details (RFC 9457) with the codes of [`CODES`](crate::refusal::CODES) and of the server itself. What a request says is
//! checked here; what comes of it is the door's and the declaration's.

pub mod clock;
mod ingest;
mod movers;
mod quotes;
mod sessions;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use forebay_server::problem::Problem;
use forebay_server::request::{self, Limit};
use serde::de::DeserializeOwned;

use crate::exchange::Exchange;
use crate::refusal::Refusal;

/// Largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How many entries a list has.
const LIMIT: Limit = Limit { unsaid: 100, max: 1_000 };

/// The routes over `exchange`.
pub fn router(exchange: Exchange) -> Router {
    let clock = clock::router(std::sync::Arc::clone(&exchange.clock));
    Router::new()
        .route("/api/v1/stocks", get(quotes::stocks))
        .route("/api/v1/stocks/{code}", get(quotes::stock))
        .route("/api/v1/indices/{code}", get(quotes::index))
        .route("/api/v1/instruments", get(quotes::instruments))
        .route("/api/v1/market/movers", get(movers::movers))
        .route("/api/v1/users/{user_id}", put(sessions::put_user))
        .route("/api/v1/sessions", post(sessions::login))
        .route("/api/v1/sessions/{user_id}", get(sessions::find).delete(sessions::logout))
        .route("/api/v1/ingest/quotes", post(ingest::quotes))
        .route("/api/v1/ingest/references", post(ingest::references))
        .route("/api/v1/ingest/instruments", post(ingest::instruments))
        .route("/api/v1/ingest/refused", get(ingest::refused))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(exchange)
        .merge(clock)
        .method_not_allowed_fallback(no_such_method)
}

async fn no_such_method() -> Problem {
    let detail = "the path does not take this method; the `Allow` header names those it takes".to_owned();
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// The JSON of a body, of which `example` is one.
fn json<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>, example: &str) -> Result<T, Problem> {
    request::json(body, BODY_BYTES_MAX, example)
}

/// A code: six digits.
fn code(text: &str) -> Result<(), Refusal> {
    let is_code = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_code { Ok(()) } else { Err(Refusal::BadCode(request::shown(text))) }
}

/// A market.
fn market(text: &str) -> Result<(), Problem> {
    match text {
        "SH" | "SZ" => Ok(()),
        _ => Err(Problem::bad_request(format!("market = {}: write SH or SZ", request::shown(text)))),
    }
}
