//! What comes in is judged.

use forebay_stage::{AppStage, On, on_both};
use serde_json::{Value, json};

use crate::{DAY, TEN, count, list, listed, stage, tell, told};

on_both! {
    st_14_an_older_update_never_overwrites_a_newer_one,
    st_14_every_order_of_arrival_comes_to_the_same,
    st_14_a_price_outside_of_the_band_is_refused_kept_aside_and_alarmed,
    st_14_what_is_kept_aside_is_bounded_and_listed_in_pages,
    st_14_a_suspended_share_has_no_price_and_a_status,
    st_14_a_day_is_opened_by_its_previous_closes,
    st_14_what_is_of_the_future_is_refused_and_blocks_nothing,
    st_14_a_day_that_has_not_begun_is_not_opened,
    st_14_a_corrected_close_corrects_what_is_shown,
    st_14_listing_again_changes_what_may_change,
    st_14_an_update_invalidates_what_it_changes_and_nothing_else,
}

async fn quote(stage: &AppStage, code: &str) -> Value {
    stage.json(&format!("/api/v1/stocks/{code}")).await
}

async fn st_14_an_older_update_never_overwrites_a_newer_one(on: On) {
    let stage = stage(on).await;
    list(&stage, "600000", "a_share").await;
    assert_eq!(tell(&stage, "600000", "10:00:03", "10.50").await["taken"], 1);
    assert_eq!(tell(&stage, "600000", "10:00:00", "10.10").await["older"], 1);
    assert_eq!(quote(&stage, "600000").await["price"], 10.5);
    assert_eq!(tell(&stage, "600000", "10:00:03", "10.50").await["same"], 1);
    let numbered = |sequence: i64, price: &str| json!([{ "market": "SH", "code": "600000", "timestamp": format!("{DAY}T10:00:03+08:00"), "sequence": sequence, "price": price, "volume": 100 }]);
    assert_eq!(told(&stage, &numbered(2, "10.60")).await["taken"], 1);
    assert_eq!(told(&stage, &numbered(1, "10.55")).await["older"], 1);
    let quote = quote(&stage, "600000").await;
    assert_eq!(
        (&quote["price"], &quote["change"], &quote["change_pct"], &quote["timestamp"]),
        (&json!(10.6), &json!(0.6), &json!(6.0), &json!("2019-01-28T02:00:03Z"))
    );
    assert_eq!(
        told(
            &stage,
            &json!([{ "market": "SH", "code": "600999", "timestamp": "2019-01-28T02:00:03Z", "price": 1 }])
        )
        .await["unlisted"],
        1
    );
}

/// Updates of three shares, some of one time, some unbelievable, some of no price.
fn updates(base: usize) -> Vec<Value> {
    let mut updates = Vec::new();
    for n in 0..36_usize {
        let (share, second) = (n % 3, n / 4);
        let mut update = json!({
            "market": "SH", "code": format!("{:06}", 600_000 + base + share), "sequence": (n % 2) * share,
            "timestamp": format!("{DAY}T10:00:{second:02}+08:00"), "volume": n * 100,
        });
        match n % 11 {
            7 => update["status"] = json!("suspended"),
            9 => update["price"] = json!("1000.00"),
            _ => update["price"] = json!(format!("10.{n:02}")),
        }
        updates.push(update);
    }
    updates
}

async fn st_14_every_order_of_arrival_comes_to_the_same(on: On) {
    let stage = stage(on).await;
    stage.wall.set(TEN + 60_000);
    let mut results: Vec<Vec<Value>> = Vec::new();
    // The first is as it is told, in one batch; every run has others besides, and names them where they come to something else.
    let seeds: Vec<u64> = (0..4).chain(std::iter::repeat_with(|| fastrand::u64(..)).take(12)).collect();
    for (order, seed) in seeds.iter().enumerate() {
        let base = order * 10;
        let mut updates = updates(base);
        let mut random = fastrand::Rng::with_seed(*seed);
        if order > 0 {
            random.shuffle(&mut updates);
        }
        for share in 0..3 {
            list(&stage, &format!("{:06}", 600_000 + base + share), "a_share").await;
        }
        let mut rest = updates.as_slice();
        while !rest.is_empty() {
            let first = if order == 0 { rest.len() } else { random.usize(1..=rest.len()) };
            let (batch, after) = rest.split_at(first);
            told(&stage, &json!(batch)).await;
            rest = after;
        }
        let mut shown = Vec::new();
        for share in 0..3 {
            let mut quote = quote(&stage, &format!("{:06}", 600_000 + base + share)).await;
            quote["code"] = json!(share);
            quote["name"] = json!("");
            shown.push(quote);
        }
        let of_base = stage.json("/api/v1/ingest/refused?limit=1000").await;
        let refused = of_base["refused"].as_array().unwrap().len() - results.len() * 3;
        shown.push(json!(refused));
        results.push(shown);
    }
    assert!(results[0].iter().any(|shown| shown["price"].is_number()), "some were believed: {results:?}");
    for (order, result) in results.iter().enumerate() {
        assert_eq!(result, &results[0], "seed {}", seeds[order]);
    }
}

async fn st_14_a_price_outside_of_the_band_is_refused_kept_aside_and_alarmed(on: On) {
    let stage = stage(on).await;
    list(&stage, "600000", "a_share").await;
    tell(&stage, "600000", "10:00:00", "10.50").await;
    let answer = tell(&stage, "600000", "10:00:03", "1050.00").await;
    assert_eq!((&answer["taken"], &answer["refused"][0]["reason"]), (&json!(0), &json!("out_of_band")));
    for (price, taken) in [("11.00", 1), ("11.01", 0), ("9.00", 1), ("8.99", 0)] {
        let at = format!("10:00:{:02}", 10 + taken * 10 + price.len());
        assert_eq!(
            tell(&stage, "600000", &at, price).await["refused"].as_array().unwrap().is_empty(),
            taken == 1,
            "{price}"
        );
    }
    let aside = stage.json("/api/v1/ingest/refused").await;
    let prices: Vec<f64> =
        aside["refused"].as_array().unwrap().iter().map(|one| one["price"].as_f64().unwrap()).collect();
    assert_eq!(prices, [8.99, 11.01, 1050.0], "{aside}");
    let metrics = stage.get("/metrics").await.body;
    assert!(metrics.contains("quote_refused"), "{metrics}");
    let ready = stage.get("/health/ready").await.body;
    assert!(ready.contains("quotes_refused") && ready.contains("600000"), "{ready}");
    // It is over once a minute of quotes was believed.
    tell(&stage, "600000", "10:00:40", "10.20").await;
    assert!(stage.get("/health/ready").await.body.contains("quotes_refused"));
    tell(&stage, "600000", "10:01:40", "10.30").await;
    let ready = stage.get("/health/ready").await.body;
    assert!(!ready.contains("quotes_refused"), "{ready}");
}

async fn st_14_what_is_kept_aside_is_bounded_and_listed_in_pages(on: On) {
    let stage = stage(on).await;
    list(&stage, "600000", "a_share").await;
    for round in 0..3_u32 {
        let batch: Vec<Value> = (0..400_u32)
            .map(|n| json!({ "market": "SH", "code": "600000", "timestamp": format!("{DAY}T10:00:00+08:00"), "sequence": round * 400 + n, "price": 99 }))
            .collect();
        assert_eq!(told(&stage, &json!(batch)).await["refused"].as_array().unwrap().len(), 400);
    }
    assert_eq!(stage.number("select count(*) from refused_quotes").await, 1_000);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = stage.json(&format!("/api/v1/ingest/refused?limit=300{cursor}")).await;
        seen.extend(page["refused"].as_array().unwrap().iter().map(|one| one["sequence"].as_i64().unwrap()));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 1_000);
    assert_eq!((seen[0], seen[999]), (1_199, 200), "the newest, from the newest on");
}

async fn st_14_a_suspended_share_has_no_price_and_a_status(on: On) {
    let stage = stage(on).await;
    list(&stage, "600000", "a_share").await;
    let listed = quote(&stage, "600000").await;
    assert_eq!((&listed["price"], &listed["status"]), (&Value::Null, &json!("not_traded")));
    tell(&stage, "600000", "10:00:00", "10.50").await;
    stage.wall.set(TEN + 6 * 60_000);
    told(&stage, &json!([{ "market": "SH", "code": "600000", "timestamp": format!("{DAY}T10:05:00+08:00"), "status": "suspended" }])).await;
    let suspended = quote(&stage, "600000").await;
    for member in ["price", "change", "change_pct"] {
        assert_eq!(suspended[member], Value::Null, "{suspended}");
    }
    assert_eq!(suspended["status"], "suspended");
    let zero = json!({ "quotes": [{ "market": "SH", "code": "600000", "timestamp": format!("{DAY}T10:06:00+08:00"), "price": 0 }] });
    let refused = stage.post("/api/v1/ingest/quotes", &zero.to_string()).await;
    assert_eq!(refused.json()["refused"][0]["reason"], "not_a_price", "0 is no price: {refused:?}");
    assert_eq!(quote(&stage, "600000").await["status"], "suspended");
}

async fn st_14_a_day_is_opened_by_its_previous_closes(on: On) {
    let stage = stage(on).await;
    list(&stage, "600000", "a_share").await;
    tell(&stage, "600000", "14:59:00", "10.80").await;
    let next = json!([{ "market": "SH", "code": "600000", "timestamp": "2019-01-29T09:30:00+08:00", "price": "11.80" }]);
    stage.wall.set(TEN + 24 * 3_600_000);
    assert_eq!(told(&stage, &next).await["refused"][0]["reason"], "day_not_open");
    let close = |day: &str, price: &str| {
        json!({ "day": day, "previous_closes": [{ "market": "SH", "code": "600000", "price": price }] })
            .to_string()
    };
    assert_eq!(
        stage.post("/api/v1/ingest/references", &close("2019-01-29", "10.80")).await.json()["opened"],
        1
    );
    assert_eq!(
        quote(&stage, "600000").await["price"],
        10.8,
        "the last one of yesterday until there is one of today"
    );
    assert_eq!(told(&stage, &next).await["taken"], 1);
    let taken = quote(&stage, "600000").await;
    assert_eq!((&taken["change"], &taken["change_pct"]), (&json!(1.0), &json!(9.26)));
    assert_eq!(tell(&stage, "600000", "15:00:00", "10.90").await["older"], 1, "a late print of yesterday");
    assert_eq!(stage.post("/api/v1/ingest/references", &close(DAY, "10.00")).await.json()["opened"], 0);
}

async fn st_14_an_update_invalidates_what_it_changes_and_nothing_else(on: On) {
    let stage = stage(on).await;
    for code in ["600000", "600004"] {
        list(&stage, code, "a_share").await;
        tell(&stage, code, "10:00:00", "10.50").await;
        quote(&stage, code).await;
    }
    list(&stage, "000001", "index").await;
    stage.get("/api/v1/indices/000001").await;
    let before = (count(&stage, "STOCK_CACHE", "loads").await, count(&stage, "MARKET_DATA", "loads").await);
    tell(&stage, "600000", "10:00:03", "10.60").await;
    assert_eq!(quote(&stage, "600000").await["price"], 10.6, "at once");
    let other = stage.get("/api/v1/stocks/600004").await;
    let index = stage.get("/api/v1/indices/000001").await;
    assert_eq!((other.header("x-cache"), index.header("x-cache")), ("HIT", "HIT"));
    let after = (count(&stage, "STOCK_CACHE", "loads").await, count(&stage, "MARKET_DATA", "loads").await);
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 0));
}

async fn st_14_what_is_of_the_future_is_refused_and_blocks_nothing(on: On) {
    let stage = stage(on).await;
    list(&stage, "600000", "a_share").await;
    let of = |at: &str| json!([{ "market": "SH", "code": "600000", "timestamp": at, "price": "10.50" }]);
    for at in ["2019-01-28T23:59:00+08:00", "2019-01-28T10:00:05.001+08:00", "2019-01-29T10:00:00+08:00"] {
        let answer = told(&stage, &of(at)).await;
        assert_eq!((&answer["taken"], &answer["refused"][0]["reason"]), (&json!(0), &json!("in_the_future")));
        let detail = answer["refused"][0]["detail"].as_str().unwrap();
        assert!(
            detail.contains("the clock shows 2019-01-28T10:00:00+08:00: what is more than 5s"),
            "{detail}"
        );
    }
    let aside = stage.json("/api/v1/ingest/refused").await;
    let aside = aside["refused"].as_array().unwrap();
    assert_eq!(
        (aside.len(), &aside[0]["reason"], &aside[0]["price"]),
        (3, &json!("in_the_future"), &json!(10.5))
    );
    assert!(stage.get("/metrics").await.body.contains("event=\"quote_refused\"} 3"));
    assert!(stage.get("/health/ready").await.body.contains("quotes_refused"));
    assert_eq!(
        told(&stage, &of("2019-01-28T10:00:05+08:00")).await["taken"],
        1,
        "a clock may be a little ahead"
    );
    stage.wall.set(TEN + 6_000);
    assert_eq!(told(&stage, &of("2019-01-28T10:00:06+08:00")).await["taken"], 1, "the next is no older");
    assert_eq!(quote(&stage, "600000").await["timestamp"], "2019-01-28T02:00:06Z");
}

async fn st_14_a_day_that_has_not_begun_is_not_opened(on: On) {
    let stage = stage(on).await;
    list(&stage, "600000", "a_share").await;
    let closes = |day: &str| {
        json!({ "day": day, "previous_closes": [{ "market": "SH", "code": "600000", "price": 20 }] })
            .to_string()
    };
    for day in ["2019-01-29", "2099-01-01", "9999-12-31"] {
        let answer = stage.post("/api/v1/ingest/references", &closes(day)).await.json();
        assert_eq!(
            (&answer["opened"], &answer["refused"][0]["reason"]),
            (&json!(0), &json!("in_the_future"))
        );
    }
    let listing = json!({ "market": "SH", "code": "600004", "name": "x", "kind": "a_share", "day": "2099-01-01", "previous_close": 10 });
    let refused = listed(&stage, &listing).await;
    assert_eq!((refused.status, refused.problem().as_str()), (400, "in_the_future"), "{refused:?}");
    let aside = stage.json("/api/v1/ingest/refused").await;
    assert_eq!(aside["refused"].as_array().unwrap().len(), 3, "{aside}");
    assert!(stage.get("/metrics").await.body.contains("event=\"quote_refused\"} 3"));
    assert_eq!(tell(&stage, "600000", "10:00:00", "10.50").await["taken"], 1, "its day is open as it was");
    // From midnight on, by a clock that may be a little behind.
    stage.wall.set(TEN + 14 * 3_600_000 - 5_000);
    assert_eq!(stage.post("/api/v1/ingest/references", &closes("2019-01-29")).await.json()["opened"], 1);
}

async fn st_14_a_corrected_close_corrects_what_is_shown(on: On) {
    let stage = stage(on).await;
    for code in ["600000", "600004"] {
        list(&stage, code, "a_share").await;
    }
    tell(&stage, "600000", "10:00:00", "10.50").await;
    let shown = quote(&stage, "600000").await;
    assert_eq!((&shown["change"], &shown["change_pct"]), (&json!(0.5), &json!(5.0)));
    let closes = json!({ "day": DAY, "previous_closes": [{ "market": "SH", "code": "600000", "price": 10.25 }, { "market": "SH", "code": "600004", "price": 9.8 }] });
    assert_eq!(stage.post("/api/v1/ingest/references", &closes.to_string()).await.json()["opened"], 2);
    let shown = quote(&stage, "600000").await;
    assert_eq!(
        (&shown["price"], &shown["change"], &shown["change_pct"]),
        (&json!(10.5), &json!(0.25), &json!(2.44)),
        "at once"
    );
    let (first, second) = (tell(&stage, "600000", "10:00:00", "10.50").await, quote(&stage, "600004").await);
    assert_eq!((&first["same"], &second["change"]), (&json!(1), &Value::Null), "what was told stands");
}

async fn st_14_listing_again_changes_what_may_change(on: On) {
    let stage = stage(on).await;
    let listing = |name: &str, kind: &str, close: &str| json!({ "market": "SH", "code": "600000", "name": name, "kind": kind, "day": DAY, "previous_close": close });
    assert_eq!(
        listed(&stage, &listing("康美药业", "a_share", "10.00")).await.json(),
        json!({ "listed": 1, "changed": 0 })
    );
    assert_eq!(
        listed(&stage, &listing("康美药业", "a_share", "10.00")).await.json(),
        json!({ "listed": 0, "changed": 0 })
    );
    assert_eq!(tell(&stage, "600000", "10:00:00", "10.60").await["taken"], 1);
    assert_eq!(quote(&stage, "600000").await["name"], "康美药业");
    assert_eq!(
        listed(&stage, &listing("ST康美", "a_share", "10.00")).await.json(),
        json!({ "listed": 0, "changed": 1 })
    );
    let shown = quote(&stage, "600000").await;
    assert_eq!(
        (&shown["name"], &shown["price"]),
        (&json!("ST康美"), &json!(10.6)),
        "at once, and no more than that"
    );
    assert_eq!(
        tell(&stage, "600000", "10:00:01", "10.60").await["refused"][0]["reason"],
        "out_of_band",
        "5 %"
    );
    assert_eq!(listed(&stage, &listing("ST康美", "star", "10.00")).await.json()["changed"], 1);
    assert_eq!(tell(&stage, "600000", "10:00:02", "11.90").await["taken"], 1, "20 %");
    assert_eq!(listed(&stage, &listing("ST康美", "star", "11.00")).await.json()["changed"], 1);
    assert_eq!(quote(&stage, "600000").await["change"], 0.9, "as a reference");
    let refused = listed(&stage, &listing("ST康美", "index", "11.00")).await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "kind_fixed"), "{refused:?}");
    let all = stage.json("/api/v1/instruments").await;
    let one = &all["instruments"][0];
    assert_eq!((&one["name"], &one["kind"]), (&json!("ST康美"), &json!("star")));
}
