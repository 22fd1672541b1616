//! The app in process: its calendar, clock, generator, sample, feeder and routes.
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

mod calendar;
mod clock;
mod declaration;
mod feeder;
mod generate;
mod market;
mod money;
mod routes;
mod sample;
mod settings;
mod start;

use std::path::Path;
use std::sync::Arc;

use forebay::rt::Clock;
use forebay_app_stocks::calendar::TradingCalendar;
use forebay_app_stocks::clock::{MarketClock, ReplayClock, Speed};
use forebay_app_stocks::market::SampleMarket;
use forebay_stores::database::{Database, DatabaseOptions};
use jiff::Timestamp;

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
    database
}

/// A clock that replays the sample from `start` at speed 60: a minute in a second of `real`.
fn replay(market: &SampleMarket, start: &str, real: &Clock) -> Arc<MarketClock> {
    let replay = ReplayClock::new(market.sessions().into(), shanghai(start), speed("60"), false).unwrap();
    Arc::new(MarketClock::replay(TradingCalendar::shipped().unwrap(), replay, real.clone()))
}
