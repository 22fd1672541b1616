//! Outside of trading hours a quote stays fresh until the next opening.

use forebay_stage::{On, Resp, on_both, soon};

use crate::{TEN, list, shanghai, stage, tell};

on_both! {
    st_13_outside_of_trading_hours_a_quote_is_fresh_until_the_next_opening,
    st_13_the_end_of_the_calendar_is_told_a_month_before,
}

/// How long the copy of a key is fresh, in seconds, once the app has seen that the market is closed, or open.
async fn fresh_for(client: &mut Resp, is_closed: bool) -> i64 {
    soon(async {
        loop {
            client.say("GET stock:600000").await;
            let left: i64 = client.say("TTL stock:600000").await.parse().unwrap();
            if (left > 3) == is_closed {
                return left;
            }
        }
    })
    .await
}

async fn st_13_outside_of_trading_hours_a_quote_is_fresh_until_the_next_opening(on: On) {
    const HOUR: u64 = 3_600_000;
    let stage = stage(on).await;
    list(&stage, "600000", "a_share").await;
    tell(&stage, "600000", "10:00:00", "10.50").await;
    let mut client = stage.resp().await;
    assert!(fresh_for(&mut client, false).await <= 3, "in the session");
    stage.wall.set(TEN + 2 * HOUR);
    let lunch = fresh_for(&mut client, true).await;
    assert!((3_590..=3_600).contains(&lunch), "12:00: an hour to 13:00, {lunch}");
    stage.wall.set(TEN + 3 * HOUR);
    assert!(fresh_for(&mut client, false).await <= 3, "13:00");
    // 2019-02-01 16:00, a Friday: the next session is on Monday the 11th, after the holidays.
    stage.wall.set(TEN + (4 * 24 + 6) * HOUR);
    let holidays = fresh_for(&mut client, true).await;
    let expected = i64::from((9 * 24 + 17) * 3_600 + 1_800);
    assert!((expected - 10..=expected).contains(&holidays), "{holidays}, not {expected}");
    // What comes in after the close is seen all the same.
    client.say("GET stock:600000").await;
    let late = stage
        .post(
            "/api/v1/ingest/references",
            r#"{"day": "2019-02-01", "previous_closes": [{"market": "SH", "code": "600000", "price": 10}]}"#,
        )
        .await;
    assert_eq!(late.status, 200);
    stage.post("/api/v1/ingest/quotes", r#"{"quotes": [{"market": "SH", "code": "600000", "timestamp": "2019-02-01T15:00:03+08:00", "price": "10.77"}]}"#).await;
    assert!(client.say("GET stock:600000").await.contains("10.77"));
}

async fn st_13_the_end_of_the_calendar_is_told_a_month_before(on: On) {
    let stage = stage(on).await;
    for (day, is_told) in [
        ("2026-12-01", true),
        ("2026-11-30", false),
        ("2026-12-31", true),
        ("2019-01-28", false),
        ("2027-06-01", true),
    ] {
        let at = shanghai(&format!("{day}T10:00:00")).as_millisecond();
        stage.wall.set(u64::try_from(at).unwrap());
        soon(async { while stage.get("/health/ready").await.body.contains("calendar_ends") != is_told {} })
            .await;
    }
    let ready = stage.get("/health/ready").await;
    assert_eq!(ready.status, 200, "it serves");
    assert!(ready.body.contains("the trading calendar ends on 2026-12-31: update"), "{ready:?}");
}
