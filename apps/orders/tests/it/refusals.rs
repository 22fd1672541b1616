//! Whatever is asked wrongly is told what to write instead, by a code of the list.

use forebay_app_orders::refusal::CODES;
use forebay_stage::{On, on_both};

use crate::{PERIOD, create, stage};

on_both! {
    what_cannot_be_meant_is_refused,
}

async fn what_cannot_be_meant_is_refused(on: On) {
    let stage = stage(on).await;
    create(&stage, "A", "u", "1.00").await;
    let order =
        |members: &str| format!(r#"{{"order_no": "B", "uid": "u", "period_number": "{PERIOD}", {members}}}"#);
    let long = "x".repeat(65);
    for (body, says) in [
        (String::new(), "EOF"),
        ("[]".into(), "invalid"),
        (order(r#""amount": "abc""#), "is not an amount"),
        (order(r#""amount": 1e2"#), "is not an amount"),
        (order(r#""amount": 0.001"#), "is not an amount"),
        (order(r#""amount": 123456789012345678"#), "is not an amount"),
        (order(r#""amount": -1"#), "below zero"),
        (order(r#""amount": null"#), "is not an amount"),
        (order(r#""amount": 1, "status": "confirmed""#), "unknown field `status`"),
        (order(r#""amount": 1, "expire_time": "2020-01-01T00:00:00Z""#), "is no time to come"),
        (order(r#""amount": 1, "expire_time": "tomorrow""#), "is no time;"),
        (format!(r#"{{"uid": "u", "period_number": "{PERIOD}", "amount": 1}}"#), "Idempotency-Key"),
        (
            format!(r#"{{"order_no": "{long}", "uid": "u", "period_number": "p", "amount": 1}}"#),
            "1 to 64 characters",
        ),
        (r#"{"order_no": "B", "uid": "a:b", "period_number": "p", "amount": 1}"#.into(), "colon"),
        (r#"{"order_no": "B", "uid": "", "period_number": "p", "amount": 1}"#.into(), "1 to 64 characters"),
        (
            r#"{"order_no": "B\u0000", "uid": "u", "period_number": "p", "amount": 1}"#.into(),
            "control character",
        ),
    ] {
        let refused = stage.post("/api/v1/orders/create", &body).await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "bad_request"), "{body}: {refused:?}");
        assert!(refused.json()["detail"].as_str().unwrap().contains(says), "{body}: {refused:?}");
    }
    assert_eq!(stage.number("select count(*) from orders").await, 1, "nothing was made of it");
    for (method, path, body, status, code) in [
        ("GET", "/api/v1/orders/NONE", "", 404, "order_unknown"),
        ("GET", "/api/v1/periods/NONE", "", 404, "period_unknown"),
        ("GET", "/api/v1/periods/NONE/count", "", 404, "period_unknown"),
        ("GET", "/api/v1/periods/NONE/totals", "", 404, "period_unknown"),
        ("GET", "/api/v1/periods/NONE/orders?limit=0", "", 400, "bad_request"),
        ("GET", "/api/v1/periods/NONE/orders?limit=1001", "", 400, "bad_request"),
        ("GET", "/api/v1/periods/NONE/orders?cursor=x", "", 400, "bad_request"),
        ("GET", "/api/v1/periods/NONE/orders?status=paid", "", 400, "bad_request"),
        ("GET", "/api/v1/periods/NONE/orders?page=2", "", 400, "bad_request"),
        ("GET", "/api/v1/periods?state=shut", "", 400, "bad_request"),
        ("POST", "/api/v1/orders/A/status", r#"{"status": "paid"}"#, 400, "bad_request"),
        ("POST", "/api/v1/orders/A/status", "", 400, "bad_request"),
        ("POST", "/api/v1/periods/NONE/state", r#"{"state": "closed"}"#, 404, "period_unknown"),
        ("PATCH", "/api/v1/orders/NONE", r#"{"like_count": 1}"#, 404, "order_unknown"),
        ("DELETE", "/api/v1/orders/NONE", "", 404, "order_unknown"),
        ("DELETE", "/api/v1/orders/a%00b", "", 400, "bad_request"),
        ("POST", "/api/v1/orders/a%00b/status", r#"{"status": "confirmed"}"#, 400, "bad_request"),
        ("GET", "/api/v1/periods?cursor=%00", "", 400, "bad_request"),
        ("GET", "/api/v1/periods/NONE/orders?uid=u&cursor=%00", "", 400, "bad_request"),
        ("PUT", "/api/v1/orders/A", "", 405, "method_not_allowed"),
    ] {
        let refused = stage.send(method, path, "", body).await;
        let told = refused.problem();
        assert_eq!((refused.status, told.as_str()), (status, code), "{method} {path}: {refused:?}");
        assert!(CODES.contains(&told.as_str()) || told == "method_not_allowed", "{told}");
    }
    let readme = include_str!("../../README.md");
    for code in CODES {
        assert!(readme.contains(&format!("`{code}`")), "the README lists {code}");
    }
}
