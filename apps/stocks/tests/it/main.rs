//! The app: its calendar, clock, generator, sample and feeder by themselves, and all of it as it is served, on both databases: one test for each line
//! of what it must do (`st_…`), over HTTP and RESP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod away;
mod calendar;
mod clock;
mod declaration;
mod feeder;
mod generate;
mod hours;
mod ingest;
mod limited;
mod limits;
mod market;
mod money;
mod movers;
mod namespaces;
mod protection;
mod quotes;
mod refusals;
mod responses;
mod routes;
mod sample;
mod seed;
mod sessions;
mod settings;
mod start;

use std::path::Path;
use std::sync::Arc;

use forebay::Forebay;
use forebay::rt::Clock;
use forebay_app_stocks::calendar::TradingCalendar;
use forebay_app_stocks::clock::{MarketClock, ReplayClock, Speed};
use forebay_app_stocks::market::SampleMarket;
use forebay_server::time::WallClock;
use forebay_stage::{Answer, AppStage, On};
use forebay_stores::database::{Database, DatabaseOptions};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A time in Shanghai, written `2019-01-28T09:30:00`.
fn shanghai(text: &str) -> Timestamp {
    format!("{text}+08:00").parse().unwrap()
}

fn speed(text: &str) -> Speed {
    text.parse().unwrap()
}

async fn database(folder: &Path) -> Database {
    let options = DatabaseOptions::sqlite(folder.join("stocks.db"), 2);
    let database = Database::open(&options).await.unwrap();
    database.migrate(forebay_app_stocks::MIGRATIONS).await.unwrap();
    database.feeding(&Forebay::new().unwrap(), "main")
}

/// A clock that replays the sample from `start` at speed 60: a minute in a second of `real`.
fn replay(market: &SampleMarket, start: &str, real: &Clock) -> Arc<MarketClock> {
    let replay = ReplayClock::new(market.sessions().into(), shanghai(start), speed("60"), false).unwrap();
    Arc::new(MarketClock::replay(TradingCalendar::shipped().unwrap(), replay, real.clone()))
}

/// 2019-01-28T10:00:00 in Shanghai, in milliseconds since 1970-01-01 UTC: a Monday, the market is open.
const TEN: u64 = 1_548_640_800_000;
/// The day of it.
const DAY: &str = "2019-01-28";

/// The app by the wall clock, which stands at ten: nothing is listed, and nothing moves but what a test tells.
async fn stage(on: On) -> AppStage {
    changed_stage(on, |declaration| declaration).await
}

/// The same with its declaration changed.
async fn changed_stage(on: On, change: impl FnOnce(String) -> String) -> AppStage {
    let wall = WallClock::standing(TEN);
    AppStage::with(forebay_app_stocks::app(), on, wall, |declaration| change(quiet(&declaration))).await
}

/// The declaration without its preview, by the wall clock, with schedules that are never due within a test.
fn quiet(declaration: &str) -> String {
    let (before, rest) = declaration.split_once("[environment.preview]").unwrap();
    let (_, after) = rest.split_once("[app.stocks]").unwrap();
    let (_, after) = after.trim_start().split_once('\n').unwrap();
    let text = format!("{before}[app.stocks]\nclock = \"wall\"\n{after}");
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        lines.push(if line.starts_with("schedule = ") { "schedule = \"0 0 0 1 1 *\"" } else { line });
    }
    lines.join("\n")
}

/// Lists a share of Shanghai whose previous close is 10.00, or an index of 1000.00.
async fn list(stage: &AppStage, code: &str, kind: &str) {
    let close = if kind == "index" { "1000.00" } else { "10.00" };
    let listed = listed(stage, &json!({ "market": "SH", "code": code, "name": format!("名{code}"), "kind": kind, "day": DAY, "previous_close": close })).await;
    assert_eq!(listed.status, 200, "{listed:?}");
}

async fn listed(stage: &AppStage, instrument: &Value) -> Answer {
    stage.post("/api/v1/ingest/instruments", &json!({ "instruments": [instrument] }).to_string()).await
}

/// Tells one quote of Shanghai, at a time of the day: then, or later where it is later by now.
async fn tell(stage: &AppStage, code: &str, at: &str, price: &str) -> Value {
    let then = u64::try_from(shanghai(&format!("{DAY}T{at}")).as_millisecond()).unwrap();
    let now = u64::try_from(stage.wall.now().as_millis()).unwrap();
    stage.wall.set(now.max(then));
    told(stage, &json!([{ "market": "SH", "code": code, "timestamp": format!("{DAY}T{at}+08:00"), "price": price, "volume": 100 }])).await
}

async fn told(stage: &AppStage, quotes: &Value) -> Value {
    let answer = stage.post("/api/v1/ingest/quotes", &json!({ "quotes": quotes }).to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// How often something happened in a namespace, by its name in `FB.STATS`.
async fn count(stage: &AppStage, namespace: &str, name: &str) -> u64 {
    let stats = stage.resp().await.call(&["FB.STATS", namespace]).await;
    let stats = forebay_stage::shown(&stats);
    let words: Vec<&str> =
        stats.split([' ', '[', ']', '\n', ':', '\r']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|word| *word == name).unwrap_or_else(|| panic!("no {name} in {stats}"));
    words[at + 1].parse().unwrap()
}
