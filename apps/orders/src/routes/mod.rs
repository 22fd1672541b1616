//! The app's HTTP routes, under `/api/v1`; README.md lists them with examples.
//!
//! Errors are problem details (RFC 9457) with the codes of [`CODES`](crate::refusal::CODES) and of the server itself. What a request says is
//! checked here; what comes of it is `table.rs`' and the declaration's.

mod cache;
mod orders;
mod periods;
mod totals;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post};
use forebay_server::problem::Problem;
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;
use crate::shop::Shop;

/// Largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Longest number of an order or period, or name of a user, in characters.
const NAME_MAX: usize = 64;
/// How many entries a list has that does not say it.
const LIMIT: u32 = 100;
/// Most entries of one answer.
const LIMIT_MAX: u32 = 1_000;

/// The routes over `shop`.
pub fn router(shop: Shop) -> Router {
    Router::new()
        .route("/api/v1/orders/create", post(orders::create))
        .route("/api/v1/orders/stats", get(cache::stats))
        .route("/api/v1/orders/{order_no}", get(orders::find).patch(orders::record).delete(orders::delete))
        .route("/api/v1/orders/{order_no}/status", post(orders::transit))
        .route("/api/v1/periods", get(periods::list).post(periods::open))
        .route("/api/v1/periods/{period}", get(periods::find))
        .route("/api/v1/periods/{period}/state", post(periods::step))
        .route("/api/v1/periods/{period}/orders", get(orders::list))
        .route("/api/v1/periods/{period}/orders/{order_no}", get(orders::one))
        .route("/api/v1/periods/{period}/count", get(totals::count))
        .route("/api/v1/periods/{period}/totals", get(totals::totals))
        .route("/api/v1/periods/{period}/cache", get(cache::held).post(cache::warm).delete(cache::forget))
        .route("/api/v1/periods/{period}/cache/{order_no}", get(cache::is_held).delete(cache::forget_one))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shop)
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

/// The number of an order or period, or the name of a user, which is `what`.
fn name(what: &str, text: &str) -> Result<(), Problem> {
    let length = text.chars().count();
    if (1..=NAME_MAX).contains(&length) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(bad(format!("{what}: write 1 to {NAME_MAX} characters, none of which is a control character")))
}

/// The name of a user, which stands before another name in a key.
fn user(uid: &str) -> Result<(), Problem> {
    name("uid", uid)?;
    if uid.contains(':') { Err(bad("uid: it cannot hold a colon".to_owned())) } else { Ok(()) }
}
