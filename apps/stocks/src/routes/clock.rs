//! What the app's clock shows, and setting it.
//!
//! `GET /apps/stocks/clock` answers
//! `{"mode":"replay","at":"2019-01-28T01:30:00Z","speed":20,"paused":false,"market_open":true,"next_open":"…"}`;
//! `market_open` and `next_open` are null where the trading calendar does not reach. `PUT` takes an object of `at`, `speed`
//! and `paused`, of which at least one is given, and answers the same. Errors are problem details (RFC 9457).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use forebay_server::problem::Problem;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::clock::{Change, ClockError, ClockReading, MarketClock};

/// Largest body of a PUT, in bytes.
const BODY_MAX: usize = 4_096;
const EXAMPLE: &str = r#"{"at": "2019-01-28T09:30:00+08:00", "speed": 20, "paused": false}"#;

/// The routes over `clock`.
pub fn router(clock: Arc<MarketClock>) -> Router {
    Router::new()
        .route("/apps/stocks/clock", get(show).put(set))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(clock)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    at: Option<String>,
    speed: Option<serde_json::Number>,
    paused: Option<bool>,
}

fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_clock", detail)
}

async fn show(State(clock): State<Arc<MarketClock>>) -> Response {
    reply(&clock, &clock.read())
}

async fn set(
    State(clock): State<Arc<MarketClock>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|refusal| Problem::new(refusal.status(), "bad_body", refusal.body_text()))?;
    let change = change(&body)?;
    let reading = clock.set(change).map_err(|error| match error {
        ClockError::Wall => Problem::new(StatusCode::CONFLICT, "wall_clock", error.to_string()),
        _ => bad(format!("at: {error}")),
    })?;
    Ok(reply(&clock, &reading))
}

fn change(body: &[u8]) -> Result<Change, Problem> {
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| bad(format!("{error}; write a JSON object such as {EXAMPLE}")))?;
    let at = body.at.map(|at| at.parse::<Timestamp>().map_err(|_| at)).transpose().map_err(|at| {
        bad(format!("at: `{at}` is not a time; write one with its offset, as 2019-01-28T09:30:00+08:00"))
    })?;
    let speed = body.speed.map(|speed| speed.to_string().parse()).transpose();
    let speed = speed.map_err(|error: ClockError| bad(format!("speed: {error}")))?;
    let change = Change { at, speed, paused: body.paused };
    if change == Change::default() {
        return Err(bad(format!("nothing to change; write at least one of {EXAMPLE}")));
    }
    Ok(change)
}

fn reply(clock: &MarketClock, reading: &ClockReading) -> Response {
    let calendar = clock.calendar();
    let body = json!({
        "mode": if reading.wall { "wall" } else { "replay" },
        "at": reading.at,
        "speed": reading.speed.to_string().parse::<serde_json::Number>().ok(),
        "paused": reading.paused,
        "market_open": calendar.is_open(reading.at).ok(),
        "next_open": calendar.next_open(reading.at).ok(),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
