//! What is told when something is wrong, and what is counted.

use forebay_simulated::proxy::Fault;
use forebay_stage::{AppStage, On, soon};

use crate::{create, stage};

/// What `/metrics` says of a series.
pub async fn metric(stage: &AppStage, series: &str) -> Option<f64> {
    let metrics = stage.get("/metrics").await.body;
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

const ALARM: &str = r#"forebay_alarm{keyspace="orders",alarm="cache_away"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn or_14_an_alarm_is_raised_when_what_is_beneath_is_out_of_reach() {
    let stage = stage(On::Distant).await;
    create(&stage, "A", "u", "1.00").await;
    assert_eq!(metric(&stage, ALARM).await, Some(0.0));
    stage.proxy.as_ref().unwrap().set(Fault::Refuse);
    let until = async |raised: f64| {
        while metric(&stage, ALARM).await != Some(raised) {
            tokio::task::yield_now().await;
        }
    };
    soon(until(1.0)).await;
    let ready = stage.get("/health/ready").await;
    assert!(ready.body.contains("cache_away"), "a reason: {ready:?}");
    assert_eq!(ready.status, 200, "what is held is served still");
    let slow = r#"forebay_alarm{keyspace="orders",alarm="orders_slow"}"#;
    assert_eq!(metric(&stage, slow).await, Some(0.0), "the bounds of hit rate and latency are watched too");
}
