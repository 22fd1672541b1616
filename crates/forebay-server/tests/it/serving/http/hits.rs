//! What memory has is answered without the routes: as they would answer it.

use super::super::{Answer, ask_with, soon};
use super::{ITEM_A, put, stage};

/// The same key, written so that only the router reads it.
const ROUTED: &str = "/v1/shop/item/item%3Aa";
const PASTE: (&str, &str) = ("/v1/shop/paste/paste:a", "/v1/shop/paste/paste%3Aa");

/// What does not change from one second to the next.
fn lasting(answer: &Answer) -> (u16, Vec<(&str, &str)>, &[u8]) {
    let moves = ["date", "age", "cache-status", "cache-control"];
    let headers = answer.headers.iter().filter(|(name, _)| !moves.contains(&name.as_str()));
    (answer.status, headers.map(|(name, text)| (name.as_str(), text.as_str())).collect(), &answer.bytes)
}

#[tokio::test]
async fn a_hit_is_answered_as_by_its_route() {
    let stage = stage().await;
    let text = "text, ".repeat(1_000);
    assert_eq!(put(&stage, PASTE.0, "Content-Type: text/plain\r\n", &text).await.status, 204);
    let tag = stage.get(ITEM_A).await.header("etag").to_owned();
    let http = stage.process.http;
    for (asked, statuses) in [
        (String::new(), [200, 200]),
        ("Range: bytes=1-3\r\n".into(), [206, 206]),
        ("Range: bytes=100000-\r\n".into(), [416, 416]),
        ("Accept-Encoding: gzip\r\n".into(), [200, 200]),
        (format!("If-None-Match: {tag}\r\n"), [304, 200]),
        ("If-Match: \"other\"\r\n".into(), [412, 412]),
        ("Authorization: Bearer nonsense\r\n".into(), [200, 200]),
        ("Origin: https://example.com\r\n".into(), [403, 403]),
        ("Sec-Fetch-Site: cross-site\r\n".into(), [403, 403]),
        ("Transfer-Encoding: gzip, chunked\r\n".into(), [501, 501]),
        ("Cache-Control: no-cache\r\n".into(), [200, 200]),
    ] {
        let asked = format!("X-Request-Id: one\r\n{asked}");
        for ((plain, routed), status) in [(ITEM_A, ROUTED), PASTE].into_iter().zip(statuses) {
            let plain = ask_with(http, "GET", plain, &asked, "").await;
            let routed = ask_with(http, "GET", routed, &asked, "").await;
            assert_eq!(plain.status, status, "{asked}{plain:?}");
            assert_eq!(lasting(&plain), lasting(&routed), "{asked}");
            if status >= 400 {
                plain.names_its_request();
            }
        }
    }
}

/// Both count, and what is counted is the route.
#[tokio::test]
async fn a_hit_is_counted_as_its_route_is() {
    let stage = stage().await;
    for path in [ITEM_A, ITEM_A, ROUTED] {
        assert_eq!(stage.get(path).await.status, 200);
    }
    let counted = |metrics: &str| {
        let line = |line: &&str| line.starts_with("forebay_http_requests_total") && line.contains("{*key}");
        metrics.lines().find(line).and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    let seen = soon(async {
        loop {
            let metrics = stage.get("/metrics").await.body;
            if counted(&metrics) == Some(3) {
                return true;
            }
        }
    });
    assert!(seen.await);
}
