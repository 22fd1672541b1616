//! Quant: market data and a trading back end on Forebay.
//!
//! It is a declaration (`forebay.toml`) and a schema for what belongs in the relational store: symbols, daily bars,
//! indicators, orders, and other data by symbol and type. Ticks, minutes and depth are ranges of time series, not keys.

use forebay_server::app::{App, Running};
use forebay_stores::database::Migration;

/// Schema changes of its database `main`.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "market data and orders",
    sqlite: include_str!("../migrations/0001_quant.sql"),
    postgres: None,
}];

/// The app.
#[must_use]
pub fn app() -> App {
    App {
        name: "quant",
        summary: "market data and a trading back end",
        declaration: include_str!("../forebay.toml"),
        migrations: MIGRATIONS,
        jobs: &[],
        tries: &[],
        start: |_| Box::pin(async { Ok(Running::default()) }),
    }
}
