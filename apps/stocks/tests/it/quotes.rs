//! Quotes over HTTP, and the same by other clients.

use forebay_stage::{On, on_both};
use serde_json::{Value, json};

use crate::{count, list, listed, stage, tell};

on_both! {
    st_8_one_quote_has_the_headers_of_its_read,
    st_8_bad_codes_are_400_and_unknown_ones_404,
    st_8_many_quotes_come_in_their_order_by_one_query,
    st_2_many_are_put_read_and_deleted_at_once,
    a_share_and_an_index_of_one_code_never_mix,
    what_is_listed_is_listed_in_pages,
}

async fn st_8_one_quote_has_the_headers_of_its_read(on: On) {
    let stage = stage(on).await;
    list(&stage, "000001", "a_share").await;
    tell(&stage, "000001", "10:00:00", "10.50").await;
    let first = stage.get("/api/v1/stocks/000001").await;
    assert_eq!((first.status, first.header("x-cache")), (200, "MISS"), "{first:?}");
    assert_eq!(
        first.body,
        r#"{"code":"000001","name":"名000001","price":10.50,"change":0.50,"change_pct":5.00,"volume":100,"timestamp":"2019-01-28T02:00:00Z","status":"trading"}"#
    );
    let second = stage.get("/api/v1/stocks/000001").await;
    assert_eq!((second.header("x-cache"), second.header("content-type")), ("HIT", "application/json"));
    assert!(second.lives_s() <= 3 && second.header("age").parse::<u64>().unwrap() <= 3);
    let tag = second.header("etag").to_owned();
    let unchanged =
        stage.send("GET", "/api/v1/stocks/000001", &format!("If-None-Match: {tag}\r\n"), "").await;
    assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""));
    let fresh = stage.send("GET", "/api/v1/stocks/000001", "Cache-Control: no-cache\r\n", "").await;
    assert_eq!((fresh.status, fresh.header("x-cache")), (200, "MISS"), "past every copy");
}

async fn st_8_bad_codes_are_400_and_unknown_ones_404(on: On) {
    let stage = stage(on).await;
    for code in [
        "60000",
        "6000000",
        "60000a",
        "sh600000",
        "%EF%BC%96%EF%BC%90%EF%BC%90%EF%BC%90%EF%BC%90%EF%BC%90",
        "-00001",
    ] {
        for of in ["stocks", "indices"] {
            let refused = stage.get(&format!("/api/v1/{of}/{code}")).await;
            assert_eq!((refused.status, refused.problem().as_str()), (400, "bad_code"), "{of} {code}");
        }
    }
    let unknown = stage.get("/api/v1/stocks/999999").await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (404, "stock_unknown"));
    let unknown = stage.get("/api/v1/indices/999999").await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (404, "index_unknown"));
}

async fn st_8_many_quotes_come_in_their_order_by_one_query(on: On) {
    let stage = stage(on).await;
    for n in 0..100 {
        list(&stage, &format!("{:06}", 600_000 + n), "a_share").await;
    }
    tell(&stage, "600002", "10:00:00", "10.50").await;
    let before = count(&stage, "STOCK_CACHE", "loads").await;
    let mut codes: Vec<String> = (0..100).map(|n| format!("{:06}", 600_000 + n)).collect();
    codes.extend(["600002", "12", "999999"].map(str::to_owned));
    let answer = stage.json(&format!("/api/v1/stocks?codes={}", codes.join(","))).await;
    let entries = answer["stocks"].as_array().unwrap();
    let order: Vec<&str> = entries.iter().map(|entry| entry["code"].as_str().unwrap()).collect();
    assert_eq!(order, codes);
    let states: Vec<&str> = entries[100..].iter().map(|entry| entry["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["fresh", "bad_code", "unknown"], "one that comes twice is answered twice");
    assert_eq!((&entries[100]["quote"]["price"], &entries[100]), (&json!(10.5), &entries[2]));
    assert!(count(&stage, "STOCK_CACHE", "loads").await - before <= 2, "all that miss by one query");
    let too_many = vec!["600000"; 201].join(",");
    assert_eq!(stage.get(&format!("/api/v1/stocks?codes={too_many}")).await.problem(), "bad_request");
}

async fn st_2_many_are_put_read_and_deleted_at_once(on: On) {
    let stage = stage(on).await;
    for code in ["600000", "600004", "600005"] {
        list(&stage, code, "a_share").await;
    }
    let mut client = stage.resp().await;
    assert_eq!(client.say("MSET stock:600000 a stock:600004 b").await, "OK");
    assert_eq!(client.say("MGET stock:600000 stock:999999 stock:600004").await, "[a nil b]");
    let many = stage
        .post("/v1/stocks/STOCK_CACHE:get", r#"{"keys": ["stock:600004", "stock:600005", "stock:999999"]}"#)
        .await
        .json();
    let states: Vec<&str> =
        many["entries"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["fresh", "fresh", "absent"], "{many}");
    assert_eq!(client.say("DEL stock:600000 stock:600004 stock:600009").await, "2");
    assert!(client.say("GET stock:600000").await.contains("not_traded"), "the copy is gone, the row is not");
    assert_eq!(client.say("SET stock:600005 mine PX 3000").await, "OK");
    let dropped = stage
        .post("/v1/stocks/STOCK_CACHE:invalidate", r#"{"keys": ["stock:600005", "stock:600009"]}"#)
        .await;
    assert_eq!(dropped.body, r#"{"held":1}"#);
    assert!(client.say("GET stock:600005").await.contains("not_traded"));
}

async fn a_share_and_an_index_of_one_code_never_mix(on: On) {
    let stage = stage(on).await;
    list(&stage, "000001", "index").await;
    let share = json!({ "market": "SZ", "code": "000001", "name": "平安银行", "kind": "a_share", "day": "2019-01-28", "previous_close": "10.00" });
    assert_eq!(listed(&stage, &share).await.json()["listed"], 1);
    assert_eq!(listed(&stage, &share).await.json()["listed"], 0, "it is there already");
    let taken = json!({ "market": "SH", "code": "000001", "name": "x", "kind": "a_share", "day": "2019-01-28", "previous_close": "10.00" });
    let taken = listed(&stage, &taken).await;
    assert_eq!((taken.status, taken.problem().as_str()), (409, "kind_fixed"), "SH 000001 is the index");
    tell(&stage, "000001", "10:00:00", "1050.00").await;
    assert_eq!(stage.json("/api/v1/stocks/000001").await["price"], Value::Null);
    assert_eq!(stage.json("/api/v1/indices/000001").await["price"], 1050.0);
    list(&stage, "600000", "a_share").await;
    let other = json!({ "market": "SZ", "code": "600000", "name": "x", "kind": "a_share", "day": "2019-01-28", "previous_close": "10.00" });
    let taken = listed(&stage, &other).await;
    assert_eq!((taken.status, taken.problem().as_str()), (409, "code_taken"));
    assert_eq!(stage.number("select count(*) from instruments").await, 3, "nothing of it was done");
}

async fn what_is_listed_is_listed_in_pages(on: On) {
    let stage = stage(on).await;
    for code in ["600002", "600000", "600001"] {
        list(&stage, code, "a_share").await;
    }
    list(&stage, "000300", "index").await;
    let codes = |page: &Value| -> Vec<String> {
        page["instruments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["code"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = stage.json("/api/v1/instruments?limit=2").await;
    assert_eq!(codes(&first), ["000300", "600000"]);
    let rest = stage
        .json(&format!("/api/v1/instruments?limit=3&cursor={}", first["cursor"].as_str().unwrap()))
        .await;
    assert_eq!(
        (codes(&rest), &rest["cursor"]),
        (vec!["600001".to_owned(), "600002".to_owned()], &Value::Null)
    );
    assert_eq!(codes(&stage.json("/api/v1/instruments?kind=index&market=SH").await), ["000300"]);
    for query in ["limit=0", "limit=1001", "market=sh", "kind=fund", "page=2"] {
        assert_eq!(
            stage.get(&format!("/api/v1/instruments?{query}")).await.problem(),
            "bad_request",
            "{query}"
        );
    }
}
