//! Stocks: quotes and indices of the Shanghai and Shenzhen exchanges on Forebay.
//!
//! It is a declaration (`forebay.toml`), a schema, a sample of recorded market data, and a feeder that moves the sample's
//! quotes by a replay clock. It is not a cache: what a key means and how fresh it must be is said in the declaration, and
//! the server does the rest.

pub mod calendar;
pub mod clock;
pub mod feeder;
pub mod generate;
pub mod market;
pub mod money;
pub mod routes;
pub mod sample;
pub mod settings;

use std::sync::Arc;

use forebay::rt::Clock;
use forebay_server::app::{App, AppError, Running, Setup, Try};
use forebay_stores::database::{Database, Migration};

use crate::calendar::TradingCalendar;
use crate::clock::{MarketClock, ReplayClock, local};
use crate::feeder::Feeder;
use crate::market::SampleMarket;
use crate::settings::Settings;

/// The app's name on the command line and in `[app.stocks]`.
const NAME: &str = "stocks";

/// Schema changes of its database `main`.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "quotes",
    sqlite: include_str!("../migrations/0001_quotes.sql"),
    postgres: None,
}];

const TRIES: &[Try] = &[
    Try { command: "redis-cli -p {resp} GET stock:600000", shows: "a quote, loaded from its row" },
    Try { command: "redis-cli -p {resp} GET index:000001", shows: "the index of the same code as a stock" },
    Try {
        command: "curl -i http://127.0.0.1:{http}/v1/stocks/STOCK_CACHE/stock:600000",
        shows: "the same over HTTP, with X-Cache, Age and ETag",
    },
    Try { command: "redis-cli -p {resp} TTL index:000001", shows: "how long the copy is fresh, in seconds" },
    Try { command: "{forebay} explain --app stocks STOCK_CACHE", shows: "what the namespace will do" },
];

/// The app.
#[must_use]
pub fn app() -> App {
    App {
        name: NAME,
        summary: "quotes and indices of the Shanghai and Shenzhen exchanges",
        declaration: include_str!("../forebay.toml"),
        migrations: MIGRATIONS,
        jobs: &[],
        tries: TRIES,
        start: |setup| Box::pin(start(setup)),
    }
}

async fn start(setup: Setup) -> Result<Running, AppError> {
    let settings = Settings::parse(&setup.settings)?;
    let calendar = TradingCalendar::shipped().map_err(|error| damaged(error.to_string()))?;
    let Settings::Replay { start, speed, paused } = settings else {
        let clock = Arc::new(MarketClock::wall(calendar));
        let notes =
            vec!["the market clock is the wall clock; quotes come from what fills the tables".to_owned()];
        return Ok(Running { routes: Some(routes::router(clock)), notes });
    };
    let database = setup
        .databases
        .get("main")
        .ok_or_else(|| settings::refused("it needs a database `main`; declare [database.main] with a url"))?;
    let market = Arc::new(SampleMarket::shipped().map_err(|error| damaged(error.to_string()))?);
    let opening = market.sessions().first().map(calendar::Session::opens).unwrap_or_default();
    let replay = ReplayClock::new(market.sessions().into(), start.unwrap_or(opening), speed, paused)
        .map_err(|error| settings::refused(&format!("replay.start: {error}")))?;
    let real = Clock::system();
    let clock = Arc::new(MarketClock::replay(calendar, replay, real.clone()));
    load(database, &market, &clock, &setup).await?;
    let feeder = Feeder::new(Arc::clone(&market), Arc::clone(&clock), database.clone());
    setup.tasks.spawn(feeder.run(real));
    let note = format!(
        "quotes move by a replay clock: recorded sessions from {} at speed {speed}{}; see /apps/stocks/clock",
        local(clock.now()),
        if paused { ", paused" } else { "" },
    );
    Ok(Running { routes: Some(routes::router(clock)), notes: vec![note] })
}

async fn load(
    database: &Database,
    market: &SampleMarket,
    clock: &MarketClock,
    setup: &Setup,
) -> Result<(), AppError> {
    let Some(moment) = market.moment(clock.now()) else { return Ok(()) };
    sample::fill(database, market, moment, setup.progress.as_ref())
        .await
        .map(|_| ())
        .map_err(|source| AppError::Database { app: NAME, doing: "loading the sample market", source })
}

fn damaged(message: String) -> AppError {
    AppError::Data { app: NAME, message }
}
