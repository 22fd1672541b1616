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
use axum::extract::rejection::BytesRejection;
use axum::routing::{get, post};
use forebay_server::problem::Problem;
use forebay_server::request::{self, Limit};
use serde::de::DeserializeOwned;

use crate::shop::Shop;

/// Largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Longest number of an order or period, or name of a user, in characters.
const NAME_MAX: usize = 64;
/// How many entries a list has.
const LIMIT: Limit = Limit { unsaid: 100, max: 1_000 };

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

/// The JSON of a body, of which `example` is one.
fn json<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>, example: &str) -> Result<T, Problem> {
    request::json(body, BODY_BYTES_MAX, example)
}

/// The number of an order or period, or the name of a user, which is `what`.
fn name(what: &str, text: &str) -> Result<(), Problem> {
    request::name(what, text, NAME_MAX)
}

/// The name of a user, which stands before another name in a key.
fn user(uid: &str) -> Result<(), Problem> {
    name("uid", uid)?;
    if uid.contains(':') { Err(Problem::bad_request("uid: it cannot hold a colon")) } else { Ok(()) }
}
