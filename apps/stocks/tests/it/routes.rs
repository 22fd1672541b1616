//! The routes, as a client sees them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use forebay::rt::Clock;
use forebay_app_stocks::calendar::TradingCalendar;
use forebay_app_stocks::clock::MarketClock;
use forebay_app_stocks::market::SampleMarket;
use forebay_app_stocks::routes::clock::router;
use forebay_server::time::WallClock;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::replay;

async fn ask(clock: &Arc<MarketClock>, method: &str, body: impl Into<Body>) -> (StatusCode, String, Value) {
    let request = Request::builder().method(method).uri("/apps/stocks/clock").body(body.into()).unwrap();
    let response = router(Arc::clone(clock)).oneshot(request).await.unwrap();
    let status = response.status();
    let content_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let body = axum::body::to_bytes(response.into_body(), 65_536).await.unwrap();
    (status, content_type, serde_json::from_slice(&body).unwrap())
}

fn clock(real: &Clock) -> Arc<MarketClock> {
    replay(&SampleMarket::shipped().unwrap(), "2019-01-28T09:30:00", real)
}

#[tokio::test]
async fn the_clock_is_shown() {
    let real = Clock::simulated();
    let clock = clock(&real);
    real.advance(Duration::from_secs(1));
    let (status, content_type, body) = ask(&clock, "GET", "").await;
    assert_eq!((status, content_type.as_str()), (StatusCode::OK, "application/json"));
    let expected = json!({
        "mode": "replay", "at": "2019-01-28T01:31:00Z", "speed": 60, "paused": false,
        "market_open": true, "next_open": "2019-01-28T05:00:00Z",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn the_clock_is_set_and_shown() {
    let real = Clock::simulated();
    let clock = clock(&real);
    let (status, _, body) =
        ask(&clock, "PUT", r#"{"speed": 0.5, "paused": true, "at": "2019-02-01T15:00:00+09:00"}"#).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["at"], "2019-02-01T06:00:00Z");
    assert_eq!(body["speed"], json!(0.5));
    assert_eq!(body["paused"], true);
    assert_eq!(body["next_open"], "2019-02-11T01:30:00Z");
    assert_eq!(ask(&clock, "GET", "").await.2, body);
}

#[tokio::test]
async fn what_is_wrong_is_a_problem_that_says_what_to_write() {
    let clock = clock(&Clock::simulated());
    for (body, mend) in [
        ("", "write a JSON object such as"),
        ("{}", "write at least one of"),
        (r#"{"sped": 3}"#, "unknown field `sped`, expected one of `at`, `speed`, `paused`"),
        (r#"{"speed": "3"}"#, "write a JSON object such as"),
        (r#"{"speed": 0}"#, "speed: the speed `0` cannot be run; write a number from 0.1 to 10000"),
        (r#"{"speed": 1e300}"#, "write a number from 0.1 to 10000"),
        (r#"{"at": "2019-01-28 09:30"}"#, "at: `2019-01-28 09:30` is not a time; write one with its offset"),
        (
            r#"{"at": "2024-01-28T09:30:00Z"}"#,
            "write a time from 2019-01-23T09:30:00+08:00 and before 2019-02-01T15:00",
        ),
    ] {
        let (status, content_type, problem) = ask(&clock, "PUT", body).await;
        assert_eq!(
            (status, content_type.as_str()),
            (StatusCode::BAD_REQUEST, "application/problem+json"),
            "{body}"
        );
        assert_eq!(problem["status"], 400);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(mend), "{body}: {detail}");
    }
    let (status, _, problem) = ask(&clock, "PUT", " ".repeat(5_000)).await;
    assert_eq!((status, &problem["status"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!(413)));
}

#[tokio::test]
async fn the_wall_clock_is_shown_but_not_set() {
    let clock = Arc::new(MarketClock::wall(TradingCalendar::shipped().unwrap(), WallClock::system()));
    let (_, _, body) = ask(&clock, "GET", "").await;
    assert_eq!((&body["mode"], &body["speed"], &body["paused"]), (&json!("wall"), &json!(1), &json!(false)));
    let (status, _, problem) = ask(&clock, "PUT", r#"{"paused": true}"#).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().unwrap().contains("[app.stocks]"));
}
