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
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use forebay_server::problem::Problem;
use serde::de::DeserializeOwned;

use crate::exchange::Exchange;
use crate::refusal::Refusal;

/// Largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How many entries a list has that does not say it.
const LIMIT: u32 = 100;
/// Most entries of one answer.
const LIMIT_MAX: u32 = 1_000;

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

fn bad(what: String) -> Problem {
    Refusal::BadRequest(what).into()
}

/// The JSON of a body, of which `example` is one.
fn json<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>, example: &str) -> Result<T, Problem> {
    let body = body.map_err(|refusal| match refusal.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("the body of this request has at most {BODY_BYTES_MAX} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
        }
        _ => bad("the body ended before its length: send it again".to_owned()),
    })?;
    serde_json::from_slice(&body)
        .map_err(|error| bad(format!("{error}; write a JSON object such as {example}")))
}

/// The parts of a path.
fn of_path<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Problem> {
    path.map(|Path(parts)| parts).map_err(|_| bad("the path is not UTF-8: percent-encode it".to_owned()))
}

/// The pairs of a query.
fn of_query<T>(query: Result<Query<T>, QueryRejection>, takes: &str) -> Result<T, Problem> {
    let refused = |refusal: QueryRejection| bad(format!("{}; this takes {takes}", refusal.body_text()));
    query.map(|Query(query)| query).map_err(refused)
}

/// How many entries are asked for.
fn limit(asked: Option<&str>) -> Result<u32, Problem> {
    let Some(asked) = asked else { return Ok(LIMIT) };
    let limit = asked.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| bad(format!("limit = {asked}: write a number from 1 to {LIMIT_MAX}")))
}

/// A code: six digits.
fn code(text: &str) -> Result<(), Refusal> {
    let is_code = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_code { Ok(()) } else { Err(Refusal::BadCode(text.chars().take(64).collect())) }
}

/// A market.
fn market(text: &str) -> Result<(), Problem> {
    match text {
        "SH" | "SZ" => Ok(()),
        _ => Err(bad(format!("market = {}: write SH or SZ", text.chars().take(64).collect::<String>()))),
    }
}
