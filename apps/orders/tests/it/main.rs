//! The app as it is served, on both databases: one test for each line of what it must do, over HTTP and RESP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod alarms;
mod cache;
mod expiry;
mod orders;
mod periods;
mod redis;
mod refusals;
mod seed;
mod settings;

use forebay_server::time::WallClock;
use forebay_stage::{Answer, AppStage, On};
use serde_json::{Value, json};

/// 2024-12-01T10:00:00Z.
const TEN: u64 = 1_733_047_200_000;
const PERIOD: &str = "20241201_001";

/// The app at ten o'clock. Its jobs run when a test says so.
async fn stage(on: On) -> AppStage {
    changed_stage(on, quiet).await
}

/// The same with its declaration changed.
async fn changed_stage(on: On, change: impl FnOnce(String) -> String) -> AppStage {
    AppStage::with(forebay_app_orders::app(), on, WallClock::standing(TEN), change).await
}

/// The declaration, with schedules that are never due within a test.
fn quiet(declaration: String) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in declaration.lines() {
        lines.push(if line.starts_with("schedule = ") { "schedule = \"0 0 0 1 1 *\"" } else { line });
    }
    lines.join("\n")
}

fn number(n: usize) -> String {
    format!("ORDER_20241201_001_{n:03}")
}

/// Asks for an order of the period.
async fn create(stage: &AppStage, order_no: &str, uid: &str, amount: &str) -> Answer {
    let body = format!(
        r#"{{"order_no": "{order_no}", "uid": "{uid}", "period_number": "{PERIOD}", "amount": {amount}}}"#
    );
    stage.post("/api/v1/orders/create", &body).await
}

/// Makes `count` orders of 1.00, 2.00, …, by two users in turn.
async fn some(stage: &AppStage, count: usize) {
    for n in 1..=count {
        let made =
            create(stage, &number(n), if n % 2 == 1 { "odd" } else { "even" }, &format!("{n}.00")).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
}

async fn transit(stage: &AppStage, order_no: &str, status: &str) -> Answer {
    let body = json!({ "status": status }).to_string();
    stage.post(&format!("/api/v1/orders/{order_no}/status"), &body).await
}

async fn step(stage: &AppStage, state: &str) -> Answer {
    let body = json!({ "state": state }).to_string();
    stage.post(&format!("/api/v1/periods/{PERIOD}/state"), &body).await
}

/// All orders of a list, page by page.
async fn listed(stage: &AppStage, path: &str, limit: u32) -> Vec<Value> {
    let (mut orders, mut cursor) = (Vec::new(), String::new());
    loop {
        let joint = if path.contains('?') { '&' } else { '?' };
        let page = stage.json(&format!("{path}{joint}limit={limit}{cursor}")).await;
        orders.extend(page["orders"].as_array().unwrap_or_else(|| panic!("{page}")).iter().cloned());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return orders,
        }
    }
}

fn numbers(orders: &[Value]) -> Vec<String> {
    let mut numbers: Vec<String> =
        orders.iter().map(|order| order["order_no"].as_str().unwrap().to_owned()).collect();
    numbers.sort();
    numbers
}
