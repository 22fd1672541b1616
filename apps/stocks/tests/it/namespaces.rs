//! The namespaces as they are declared: keys, times, and a preview of its own.

use std::time::{Duration, Instant};

use forebay_server::time::WallClock;
use forebay_stage::{AppStage, On, new_postgres, on_both, soon};

use crate::{TEN, list, quiet, stage, tell};

on_both! {
    st_1_keys_and_times_are_the_designs,
    st_1_three_seconds_are_three_seconds,
    st_1_a_preview_has_the_same_names_and_never_the_same_data,
}

async fn st_1_keys_and_times_are_the_designs(on: On) {
    let stage = stage(on).await;
    list(&stage, "600000", "a_share").await;
    list(&stage, "000001", "index").await;
    let mut client = stage.resp().await;
    for (key, seconds) in [("stock:600000", 3), ("index:000001", 30)] {
        client.say(&format!("GET {key}")).await;
        let left: i64 = client.say(&format!("PTTL {key}")).await.parse().unwrap();
        assert!((seconds * 1_000 - 1_000..=seconds * 1_000).contains(&left), "{key}: {left}");
    }
    for (key, seconds) in
        [("stock:600004", 3), ("index:000002", 30), ("session:u1", 3_600), ("api:movers:00ff", 300)]
    {
        assert_eq!(client.say(&format!("SET {key} x EX {seconds}")).await, "OK");
        let left: i64 = client.say(&format!("PTTL {key}")).await.parse().unwrap();
        assert!((seconds * 1_000 - 1_000..=seconds * 1_000).contains(&left), "{key}: {left}");
    }
}

async fn st_1_three_seconds_are_three_seconds(on: On) {
    let stage = stage(on).await;
    let mut client = stage.resp().await;
    let before = Instant::now();
    assert_eq!(client.say("SET stock:600000 x").await, "OK");
    let put = Instant::now();
    let last = soon(async {
        let mut last = put;
        loop {
            let asked = Instant::now();
            if client.say("GET stock:600000").await != "x" {
                return last;
            }
            last = asked;
        }
    })
    .await;
    let (gone, slack) = (Instant::now(), Duration::from_millis(50));
    assert!(
        gone.duration_since(before) + slack >= Duration::from_secs(3),
        "{:?}",
        gone.duration_since(before)
    );
    assert!(last.duration_since(put) <= Duration::from_secs(3) + slack, "{:?}", last.duration_since(put));
}

async fn st_1_a_preview_has_the_same_names_and_never_the_same_data(on: On) {
    let folder = tempfile::tempdir().unwrap();
    let url = match on {
        On::Sqlite => format!("sqlite:{}", folder.path().join("preview.db").display()),
        On::Postgres | On::Distant => new_postgres().await,
    };
    let environment = format!("[environment.preview]\ndb = 10\ndatabase.main.url = \"{url}\"\n");
    let with = |declaration: String| format!("{}\n{environment}", quiet(&declaration));
    let stage = AppStage::with(forebay_app_stocks::app(), on, WallClock::standing(TEN), with).await;
    list(&stage, "600000", "a_share").await;
    tell(&stage, "600000", "10:00:00", "10.50").await;
    let (mut production, mut preview) = (stage.resp().await, stage.resp().await);
    assert_eq!(preview.say("SELECT 10").await, "OK");
    assert!(production.say("GET stock:600000").await.contains("10.50"));
    assert_eq!(preview.say("GET stock:600000").await, "nil");
    for (key, value) in
        [("stock:600000", "p"), ("index:000001", "p"), ("session:u1", "p"), ("api:movers:00ff", "p")]
    {
        assert_eq!(preview.say(&format!("SET {key} {value} EX 3")).await, "OK");
        assert_eq!(preview.say(&format!("GET {key}")).await, "p");
        assert_ne!(production.say(&format!("GET {key}")).await, "p", "{key}");
    }
    let names = stage.json("/v1/stocks-preview/STOCK_CACHE?limit=10").await;
    assert_eq!(names["keys"].as_array().unwrap().len(), 1, "{names}");
}
