//! What moved most, and the answers that are kept.

use forebay_stage::{On, on_both};
use serde_json::Value;

use crate::{changed_stage, list, stage, tell};

on_both! {
    st_9_an_answer_is_kept_however_its_query_is_written,
    st_9_movers_come_in_pages_from_either_end,
    st_9_made_up_cursors_fill_nothing,
    st_9_an_answer_is_kept_for_as_long_as_is_declared,
}

async fn some(stage: &forebay_stage::AppStage) {
    for (code, price) in [
        ("600000", "10.10"),
        ("600001", "9.50"),
        ("600002", "10.90"),
        ("600003", "10.10"),
        ("600004", "10.00"),
    ] {
        list(stage, code, "a_share").await;
        tell(stage, code, "10:00:00", price).await;
    }
    list(stage, "600005", "a_share").await;
}

fn codes(page: &Value) -> Vec<&str> {
    page["data"]["movers"]
        .as_array()
        .unwrap_or_else(|| panic!("{page}"))
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect()
}

async fn st_9_an_answer_is_kept_however_its_query_is_written(on: On) {
    let stage = stage(on).await;
    some(&stage).await;
    let first = stage.get("/api/v1/market/movers?market=SH&limit=2").await;
    assert_eq!((first.status, first.header("x-cache")), (200, "MISS"), "{first:?}");
    let body = first.json();
    assert_eq!(
        (&body["cached_at"], &body["expires_at"]),
        (&"2019-01-28T02:00:00.000Z".into(), &"2019-01-28T02:05:00.000Z".into())
    );
    tell(&stage, "600001", "10:00:03", "10.99").await;
    for query in [
        "market=SH&limit=2",
        "limit=2&market=SH",
        "LIMIT=2&Market=SH",
        "%6Darket=S%48&limit=2",
        "market=SH&limit=%32",
    ] {
        let again = stage.get(&format!("/api/v1/market/movers?{query}")).await;
        assert_eq!(
            (again.header("x-cache"), &again.body, again.header("etag")),
            ("HIT", &first.body, first.header("etag")),
            "{query}"
        );
    }
    let fresh = stage.json("/api/v1/market/movers?market=SH&limit=3").await;
    assert_eq!(codes(&fresh), ["600001", "600002", "600000"]);
    let mut client = stage.resp().await;
    let key = forebay_app_stocks::responses::key(
        "movers",
        &[("limit".into(), "2".into()), ("market".into(), "SH".into())],
        None,
    );
    assert_eq!(client.say(&format!("GET {key}")).await, first.body);
    let left: i64 = client.say(&format!("TTL {key}")).await.parse().unwrap();
    assert!((290..=300).contains(&left), "{left}");
    for query in [
        "",
        "market=SH&market=SZ",
        "market=XX",
        "market=SH&limit=0",
        "market=SH&direction=up",
        "market=SH&cursor=1",
        "market=SH&page=2",
    ] {
        assert_eq!(
            stage.get(&format!("/api/v1/market/movers?{query}")).await.problem(),
            "bad_request"
                .replace("bad_request", if query.contains("cursor") { "bad_code" } else { "bad_request" }),
            "{query}"
        );
    }
}

async fn st_9_movers_come_in_pages_from_either_end(on: On) {
    let stage = stage(on).await;
    some(&stage).await;
    let first = stage.json("/api/v1/market/movers?market=SH&limit=3").await;
    assert_eq!(codes(&first), ["600002", "600000", "600003"]);
    let cursor = first["data"]["cursor"].as_str().unwrap();
    let rest = stage.json(&format!("/api/v1/market/movers?market=SH&limit=3&cursor={cursor}")).await;
    assert_eq!((codes(&rest), &rest["data"]["cursor"]), (vec!["600004", "600001"], &Value::Null));
    let losers = stage.json("/api/v1/market/movers?market=SH&direction=losers&limit=2").await;
    assert_eq!(codes(&losers), ["600001", "600004"]);
    assert_eq!(codes(&stage.json("/api/v1/market/movers?market=SZ").await).len(), 0);
}

async fn st_9_made_up_cursors_fill_nothing(on: On) {
    let stage = stage(on).await;
    some(&stage).await;
    for cursor in 0..50 {
        let refused = stage.get(&format!("/api/v1/market/movers?market=SH&cursor={cursor:06}")).await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "bad_request"), "{refused:?}");
    }
    let last = stage.json("/api/v1/market/movers?market=SH&cursor=600001").await;
    assert_eq!(codes(&last).len(), 0, "the last of the list is in it");
    let kept = stage.json("/v1/stocks/API_CACHE?limit=100").await;
    assert_eq!(kept["keys"].as_array().unwrap().len(), 1, "{kept}");
}

async fn st_9_an_answer_is_kept_for_as_long_as_is_declared(on: On) {
    let longer =
        |text: String| text.replace("mode = \"cache\"\nttl = \"5m\"", "mode = \"cache\"\nttl = \"7m\"");
    let stage = changed_stage(on, longer).await;
    some(&stage).await;
    let kept = stage.json("/api/v1/market/movers?market=SH").await;
    assert_eq!(kept["expires_at"], "2019-01-28T02:07:00.000Z");
    let key = forebay_app_stocks::responses::key("movers", &[("market".into(), "SH".into())], None);
    let left: i64 = stage.resp().await.say(&format!("TTL {key}")).await.parse().unwrap();
    assert!((410..=420).contains(&left), "{left}");
}
