//! Orders that are not paid in time expire: once, and for every reader at once.

use std::time::Duration;

use forebay::Forebay;
use forebay_app_orders::money::Money;
use forebay_app_orders::order::{Moment, Status};
use forebay_app_orders::table::{Expires, NewOrder, Tables};
use forebay_server::time::WallClock;
use forebay_stage::{AppStage, On, on_both, soon};

use crate::{PERIOD, TEN, create, quiet, some, stage, transit};

on_both! {
    or_9_an_order_expires_once_in_the_rows_and_in_what_is_read,
    or_9_of_many_who_sweep_each_order_is_ones,
    or_12_of_paying_and_expiring_in_one_moment_one_wins,
    or_12_an_expired_order_is_never_shown_as_pending,
}

async fn or_9_an_order_expires_once_in_the_rows_and_in_what_is_read(on: On) {
    let stage = stage(on).await;
    some(&stage, 3).await;
    transit(&stage, &crate::number(2), "confirmed").await;
    stage.wall.set(TEN + 299_999);
    assert!(stage.job("expire").await.contains("0 orders expired"));
    stage.wall.set(TEN + 300_000);
    let done = stage.job("expire").await;
    assert!(done.contains("2 orders expired"), "{done}");
    assert_eq!(stage.number("select count(*) from orders where status = 'expired'").await, 2);
    let read = stage.json(&format!("/api/v1/periods/{PERIOD}/orders/{}", crate::number(1))).await;
    assert_eq!(
        (read["status"].as_str(), read["updated_at"].as_str()),
        (Some("expired"), Some("2024-12-01T10:05:00.000Z"))
    );
    let again = stage.job("expire").await;
    assert!(again.contains("0 orders expired"), "{again}");
}

/// The app's tables past the process, with nobody to tell, at the time `ms`.
fn tables(stage: &AppStage, ms: u64) -> Tables {
    Tables::new(stage.beneath.feeding(&Forebay::new().unwrap(), "main"), WallClock::standing(ms))
}

fn order(order_no: String, expire_time: &Moment) -> NewOrder {
    NewOrder {
        order_no,
        uid: "u".into(),
        period_number: PERIOD.into(),
        amount: Money::of_hundredths(100),
        profit_amount: Money::default(),
        expires: Expires::At(expire_time.clone()),
    }
}

fn at(ms: u64) -> Moment {
    Moment::at(Duration::from_millis(ms))
}

async fn or_9_of_many_who_sweep_each_order_is_ones(on: On) {
    let stage = stage(on).await;
    let (making, tables) = (tables(&stage, TEN), tables(&stage, TEN + 1));
    for n in 0..60 {
        making.create(&order(format!("{n}"), &at(TEN + 1)), None, true).await.unwrap();
    }
    let mut sweepers = Vec::new();
    for _ in 0..4 {
        let tables = tables.clone();
        sweepers.push(tokio::spawn(async move {
            let mut expired = 0;
            loop {
                let some = tables.expire(7).await.unwrap().value;
                if some == 0 {
                    return expired;
                }
                expired += some;
            }
        }));
    }
    let mut expired = 0;
    for sweeper in sweepers {
        expired += soon(sweeper).await.unwrap();
    }
    let left = stage.number("select count(*) from orders where status = 'pending'").await;
    assert_eq!((expired, left), (60, 0));
}

async fn or_12_of_paying_and_expiring_in_one_moment_one_wins(on: On) {
    let stage = stage(on).await;
    let (making, end) = (tables(&stage, TEN), at(TEN + 1_000));
    let (paying, sweeping) = (tables(&stage, TEN + 999), tables(&stage, TEN + 1_000));
    let (mut paid, mut expired) = (0, 0);
    for n in 0..20 {
        let order_no = format!("{n}");
        making.create(&order(order_no.clone(), &end), None, true).await.unwrap();
        let (first, second, name) = (paying.clone(), sweeping.clone(), order_no.clone());
        let payer = tokio::spawn(async move { first.transit(&name, Status::Confirmed).await.is_ok() });
        let sweeper = tokio::spawn(async move { second.expire(10).await.unwrap().value });
        let (is_paid, swept) = (soon(payer).await.unwrap(), soon(sweeper).await.unwrap());
        assert_eq!((usize::from(is_paid) + swept), 1, "{n}: one of them");
        paid += usize::from(is_paid);
        expired += swept;
        // Who comes in the very moment of the end is too late, whoever has swept.
        let late = sweeping.transit(&order_no, Status::Confirmed).await.unwrap_err();
        assert!(late.to_string().contains("cannot become confirmed"), "{late}");
    }
    assert_eq!(paid + expired, 20);
}

/// By the system's clocks: nothing sweeps, and whoever begins to read at the end or later sees it.
async fn or_12_an_expired_order_is_never_shown_as_pending(on: On) {
    let stage = AppStage::with(forebay_app_orders::app(), on, WallClock::system(), quiet).await;
    create(&stage, "other", "u", "1.00").await;
    let end_ms = u64::try_from(stage.wall.now().as_millis()).unwrap() + 700;
    let body = format!(
        r#"{{"order_no": "A", "uid": "u", "period_number": "{PERIOD}", "amount": 1, "expire_time": "{}"}}"#,
        at(end_ms).text()
    );
    let made = stage.post("/api/v1/orders/create", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let mut client = stage.resp().await;
    // All of it is held.
    assert!(client.say(&format!("HGETALL fataMorgana_{PERIOD}")).await.contains("pending"));
    let (mut pending, mut expired) = (0, 0);
    while expired < 5 {
        let is_over = stage.wall.now() >= Duration::from_millis(end_ms);
        let hash = client.say(&format!("HGETALL fataMorgana_{PERIOD}")).await;
        let seen = [
            client.say(&format!("HGET fataMorgana_{PERIOD} A")).await,
            client.say("GET order:A").await,
            stage.get(&format!("/api/v1/periods/{PERIOD}/orders/A")).await.body,
            stage.get("/api/v1/orders/A").await.body,
            stage.get(&format!("/api/v1/periods/{PERIOD}/orders?status=expired")).await.body,
            hash.split("other").next().unwrap_or_default().to_owned(),
        ];
        let totals = stage.json(&format!("/api/v1/periods/{PERIOD}/totals")).await;
        if !is_over {
            pending += 1;
            continue;
        }
        expired += 1;
        for (way, shown) in seen.iter().enumerate().take(5) {
            assert!(shown.contains(r#""status":"expired""#), "way {way}: {shown}");
        }
        assert_eq!(hash.matches(r#""status":"expired""#).count(), 1, "{hash}");
        assert_eq!(totals["by_status"]["expired"]["orders"], 1, "{totals}");
        assert_eq!(client.say(&format!("HLEN fataMorgana_{PERIOD}")).await, "2");
        let paid = transit(&stage, "A", "confirmed").await;
        assert_eq!((paid.status, paid.json()["state"].as_str()), (409, Some("expired")));
    }
    assert!(pending > 0, "it was pending before");
    assert_eq!(
        stage.number("select count(*) from orders where status = 'expired'").await,
        0,
        "nobody has swept"
    );
}
