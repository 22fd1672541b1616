//! Whatever is asked wrongly is told what to write instead, by a code of the list.

use forebay_app_stocks::refusal::CODES;
use forebay_stage::{On, on_both};

use crate::{list, stage};

on_both! {
    what_cannot_be_meant_is_refused,
}

async fn what_cannot_be_meant_is_refused(on: On) {
    let stage = stage(on).await;
    list(&stage, "600000", "a_share").await;
    let quote = |members: &str| {
        format!(
            r#"{{"quotes": [{{"market": "SH", "code": "600000", "timestamp": "2019-01-28T02:00:00Z", {members}}}]}}"#
        )
    };
    for (body, says) in [
        (String::new(), "EOF"),
        ("[]".into(), "invalid"),
        (quote(r#""price": "abc""#), "decimal"),
        (quote(r#""price": 1e2"#), "decimal"),
        (quote(r#""price": 1.2345"#), "decimal"),
        (quote(r#""volume": 1"#), "has a price"),
        (quote(r#""price": 1, "volume": -1"#), "invalid value"),
        (quote(r#""price": 1, "status": "suspended""#), "has no price"),
        (quote(r#""price": 1, "open": 1"#), "unknown field `open`"),
        (r#"{"quotes": [{"market": "BJ", "code": "600000", "timestamp": "2019-01-28T02:00:00Z", "price": 1}]}"#.into(), "SH or SZ"),
        (r#"{"quotes": [{"market": "SH", "code": "600000", "timestamp": "10:00", "price": 1}]}"#.into(), "invalid"),
    ] {
        let refused = stage.post("/api/v1/ingest/quotes", &body).await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "bad_request"), "{body}: {refused:?}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{body}: {detail}");
    }
    for (method, path, body, status, code) in [
        ("POST", "/api/v1/ingest/references", "{}", 400, "bad_request"),
        (
            "POST",
            "/api/v1/ingest/references",
            r#"{"day": "2019-01-28", "previous_closes": [{"market": "SH", "code": "600000", "price": 0}]}"#,
            400,
            "bad_request",
        ),
        (
            "POST",
            "/api/v1/ingest/instruments",
            r#"{"instruments": [{"market": "SH", "code": "6", "name": "x", "kind": "a_share", "day": "2019-01-28", "previous_close": 1}]}"#,
            400,
            "bad_code",
        ),
        (
            "POST",
            "/api/v1/ingest/instruments",
            r#"{"instruments": [{"market": "SH", "code": "600001", "name": "x", "kind": "fund", "day": "2019-01-28", "previous_close": 1}]}"#,
            400,
            "bad_request",
        ),
        ("GET", "/api/v1/ingest/refused?cursor=x", "", 400, "bad_request"),
        ("GET", "/api/v1/stocks", "", 400, "bad_request"),
        ("POST", "/api/v1/sessions", "{}", 400, "bad_request"),
        ("PUT", "/api/v1/users/u1", r#"{"username": "", "permissions": []}"#, 400, "bad_request"),
        ("PUT", "/apps/stocks/clock", "{}", 400, "bad_clock"),
        ("PUT", "/apps/stocks/clock", r#"{"paused": true}"#, 409, "wall_clock"),
        ("DELETE", "/api/v1/stocks/600000", "", 405, "method_not_allowed"),
    ] {
        let refused = stage.send(method, path, "", body).await;
        let told = refused.problem();
        assert_eq!((refused.status, told.as_str()), (status, code), "{method} {path}: {refused:?}");
        assert!(CODES.contains(&told.as_str()) || told == "method_not_allowed", "{told}");
    }
    assert_eq!(stage.number("select count(*) from instruments").await, 1, "nothing was made of it");
    let readme = include_str!("../../README.md");
    for code in CODES {
        assert!(readme.contains(&format!("`{code}`")), "the README lists {code}");
    }
}
