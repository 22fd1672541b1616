//! Stocks: quotes and indices of the Shanghai and Shenzhen exchanges on Forebay.
//!
//! It is a declaration (`forebay.toml`), a schema, a door that judges what comes in, routes, a sample of recorded market data, and a feeder that
//! moves the sample's quotes by a replay clock. It is not a cache: what a key means and how fresh it must be is said in the declaration, and
//! the server does the rest.
//!
//! A quote's way in is `feeder.rs` or `routes/ingest.rs` → `ingest/` (judged, a transaction); its way out is the declaration, or `routes/quotes.rs` →
//! `exchange.rs` (what is in service, read).

pub mod calendar;
pub mod clock;
pub mod exchange;
pub mod feeder;
pub mod generate;
pub mod hours;
pub mod ingest;
pub mod limits;
pub mod market;
pub mod money;
pub mod refusal;
pub mod responses;
pub mod routes;
pub mod rows;
pub mod sample;
pub mod sessions;
pub mod settings;

use std::sync::Arc;

use forebay::rt::Clock;
use forebay_server::app::{App, AppError, AtStop, Running, Setup, Try};
use forebay_stores::database::{Database, Migration};
use jiff::Timestamp;

use crate::calendar::TradingCalendar;
use crate::clock::{MarketClock, ReplayClock, Speed, local};
use crate::exchange::Exchange;
use crate::feeder::Feeder;
use crate::hours::Hours;
use crate::ingest::Ingest;
use crate::market::SampleMarket;
use crate::sessions::Sessions;
use crate::settings::{MarketTime, Settings};

/// The app's name on the command line and in `[app.stocks]`.
const NAME: &str = "stocks";

/// Schema changes of its database `main`.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "quotes",
    sqlite: include_str!("../migrations/sqlite/0001_quotes.sql"),
    postgres: Some(include_str!("../migrations/postgres/0001_quotes.sql")),
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
    let database = setup
        .databases
        .get("main")
        .ok_or_else(|| settings::refused("it needs a database `main`; declare [database.main] with a url"))?;
    let door = Ingest::new(
        database.clone(),
        Arc::new(calendar.clone()),
        settings.ahead_at_most,
        setup.wall.clone(),
        setup.alarms.clone(),
    );
    let (clock, note) = match settings.clock {
        MarketTime::Wall => {
            let clock = Arc::new(MarketClock::wall(calendar, setup.wall.clone()));
            (clock, "the market clock is the wall clock; quotes come in at /api/v1/ingest/quotes".to_owned())
        }
        MarketTime::Replay { start, speed, paused } => {
            replay(&setup, database, &door, calendar, (start, speed, paused)).await?
        }
    };
    let mut hours = Hours::new(Arc::clone(&clock), database.clone(), setup.alarms.clone());
    hours.look().await.map_err(|error| damaged(format!("writing the market's hours: {error}")))?;
    setup.tasks.spawn(hours.run(Clock::system()));
    let sessions = Sessions::new(database.clone(), setup.served.clone(), setup.wall.clone());
    setup.tasks.spawn(sessions.clone().run(Clock::system()));
    let last_seen = sessions.clone();
    let exchange = Exchange {
        database: database.clone(),
        door,
        clock,
        wall: setup.wall,
        sessions,
        served: setup.served,
    };
    let at_stop = AtStop::new(async move { last_seen.flush_at_last().await });
    Ok(Running { routes: Some(routes::router(exchange)), notes: vec![note], at_stop: Some(at_stop) })
}

/// Loads the sample, and begins to replay it. In an environment it stands still.
async fn replay(
    setup: &Setup,
    database: &Database,
    door: &Ingest,
    calendar: TradingCalendar,
    (start, speed, paused): (Option<Timestamp>, Speed, bool),
) -> Result<(Arc<MarketClock>, String), AppError> {
    let market = Arc::new(SampleMarket::shipped().map_err(|error| damaged(error.to_string()))?);
    let opening = market.sessions().first().map(calendar::TradingSession::opens).unwrap_or_default();
    let replay = ReplayClock::new(market.sessions().into(), start.unwrap_or(opening), speed, paused)
        .map_err(|error| settings::refused(&format!("replay.start: {error}")))?;
    let real = Clock::system();
    let clock = Arc::new(MarketClock::replay(calendar, replay, real.clone()));
    load(database, &market, &clock, setup).await?;
    if setup.keyspace == NAME {
        let feeder = Feeder::new(market, Arc::clone(&clock), door.clone());
        setup.tasks.spawn(feeder.run(real));
    }
    let note = format!(
        "quotes move by a replay clock: recorded sessions from {} at speed {speed}{}; see /apps/stocks/clock",
        local(clock.now()),
        if paused { ", paused" } else { "" },
    );
    Ok((clock, note))
}

async fn load(
    database: &Database,
    market: &SampleMarket,
    clock: &MarketClock,
    setup: &Setup,
) -> Result<(), AppError> {
    let Some(moment) = market.moment(clock.now()) else { return Ok(()) };
    let filled = sample::fill(database, market, moment, setup.progress.as_ref()).await;
    filled
        .map(|_| ())
        .map_err(|error| AppError::Data { app: NAME, message: format!("loading the sample market: {error}") })
}

fn damaged(message: String) -> AppError {
    AppError::Data { app: NAME, message }
}
