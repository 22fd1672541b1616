//! What is told when something is wrong, and what is counted.

use std::time::Duration;

use forebay_simulated::proxy::Fault;
use forebay_stage::{AppStage, On, on_both, soon};

use crate::{PERIOD, changed_stage, create, number, quiet, some, stage};

on_both! {
    or_14_an_alarm_is_raised_when_the_hit_rate_leaves_its_bounds,
}

/// What `/metrics` says of a series.
pub async fn metric(stage: &AppStage, series: &str) -> Option<f64> {
    let metrics = stage.get("/metrics").await.body;
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

const AWAY: &str = r#"forebay_alarm{keyspace="orders",alarm="cache_away"}"#;
const SLOW: &str = r#"forebay_alarm{keyspace="orders",alarm="orders_slow"}"#;

async fn raised(stage: &AppStage, alarm: &str) {
    soon(async {
        while metric(stage, alarm).await != Some(1.0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The reasons that the service is not quite well, as `/health/ready` tells them.
async fn reasons(stage: &AppStage) -> String {
    let ready = stage.get("/health/ready").await;
    assert_eq!(ready.status, 200, "what is held is served still");
    ready.body
}

async fn or_14_an_alarm_is_raised_when_the_hit_rate_leaves_its_bounds(on: On) {
    let stage = stage(on).await;
    some(&stage, 1).await;
    let read =
        async |order_no: &str| stage.get(&format!("/api/v1/periods/{PERIOD}/orders/{order_no}")).await.status;
    for _ in 0..150 {
        assert_eq!(read(&number(1)).await, 200);
    }
    let rate = async || metric(&stage, SLOW).await;
    assert_eq!(rate().await, Some(0.0), "nearly all are hits");
    for n in 0..250 {
        assert_eq!(read(&format!("NONE{n}")).await, 404);
    }
    raised(&stage, SLOW).await;
    let reasons = reasons(&stage).await;
    assert!(reasons.contains("orders_slow") && reasons.contains("hit rate"), "{reasons}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn or_14_an_alarm_is_raised_when_reads_take_too_long() {
    let only_latency =
        |declaration: String| quiet(declaration).replace("hit_rate_min = \"50 %\"\n", "requests_min = 20\n");
    let stage = changed_stage(On::Distant, only_latency).await;
    some(&stage, 30).await;
    assert_eq!(stage.delete(&format!("/api/v1/periods/{PERIOD}/cache")).await.status, 204);
    assert_eq!(metric(&stage, SLOW).await, Some(0.0));
    stage.proxy.as_ref().unwrap().set(Fault::Delay(Duration::from_millis(300)));
    let orders: Vec<String> =
        (1..=30).map(|n| format!("/api/v1/periods/{PERIOD}/orders/{}", number(n))).collect();
    for read in crate::orders::all(orders.iter().map(|path| stage.get(path)).collect()).await {
        assert_eq!(read.status, 200, "{read:?}");
    }
    raised(&stage, SLOW).await;
    let reasons = reasons(&stage).await;
    assert!(reasons.contains("orders_slow") && !reasons.contains("hit rate"), "{reasons}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn or_14_an_alarm_is_raised_when_what_is_beneath_is_out_of_reach() {
    let stage = stage(On::Distant).await;
    create(&stage, "A", "u", "1.00").await;
    assert_eq!(metric(&stage, AWAY).await, Some(0.0));
    stage.proxy.as_ref().unwrap().set(Fault::Refuse);
    raised(&stage, AWAY).await;
    let reasons = reasons(&stage).await;
    assert!(reasons.contains("cache_away"), "{reasons}");
}
