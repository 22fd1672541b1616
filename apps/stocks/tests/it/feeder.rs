//! The feeder: which rows a round writes, and what it does when the database refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay::rt::{Clock, Tasks};
use forebay_app_stocks::calendar::TradingCalendar;
use forebay_app_stocks::clock::{Change, MarketClock};
use forebay_app_stocks::feeder::{Feeder, PERIOD, ROTATION};
use forebay_app_stocks::ingest::Ingest;
use forebay_app_stocks::market::{Moment, SampleMarket};
use forebay_app_stocks::sample::fill;
use forebay_server::app::{Alarms, Progress};
use forebay_server::time::WallClock;
use forebay_stores::database::Database;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::{database, replay, shanghai};

struct Silent;

impl Progress for Silent {
    fn step(&self, _what: &str, _done: u64, _total: u64) {}
}

struct Market {
    _folder: tempfile::TempDir,
    real: Clock,
    clock: Arc<MarketClock>,
    database: Database,
    feeder: Feeder,
    followed: usize,
}

/// A loaded market whose replay begins at `start`, a minute in a second.
async fn market(start: &str) -> Market {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    let market = Arc::new(SampleMarket::shipped().unwrap());
    fill(&database, &market, Moment { session: 0, minute: 0 }, &Silent).await.unwrap();
    let real = Clock::simulated();
    let clock = replay(&market, start, &real);
    let followed = market.instruments().iter().filter(|instrument| market.is_followed(instrument)).count();
    let calendar = Arc::new(TradingCalendar::shipped().unwrap());
    let ahead = Duration::from_secs(5);
    let door = Ingest::new(database.clone(), calendar, ahead, WallClock::standing(0), Alarms::default());
    let feeder = Feeder::new(market, Arc::clone(&clock), door);
    Market { _folder: folder, real, clock, database, feeder, followed }
}

async fn quote(database: &Database, code: &str) -> (String, String, i64, String) {
    sqlx::query_as("select price, change, volume, timestamp from quotes where code = ?")
        .bind(code)
        .fetch_one(database.sqlite().unwrap())
        .await
        .unwrap()
}

fn row(price: &str, change: &str, volume: i64, timestamp: &str) -> (String, String, i64, String) {
    (price.to_owned(), change.to_owned(), volume, timestamp.to_owned())
}

#[tokio::test]
async fn a_round_writes_the_minute_that_the_clock_shows() {
    let mut market = market("2019-01-23T09:30:00").await;
    market.feeder.round().await.unwrap();
    assert_eq!(
        quote(&market.database, "600000").await,
        row("10.29", "0.04", 386_400, "2019-01-23T01:30:00Z")
    );
    market.real.advance(Duration::from_secs(2));
    market.feeder.round().await.unwrap();
    assert_eq!(
        quote(&market.database, "600000").await,
        row("10.31", "0.06", 774_600, "2019-01-23T01:32:00Z")
    );
    let index: String = sqlx::query_scalar("select price from indices where code = '000001'")
        .fetch_one(market.database.sqlite().unwrap())
        .await
        .unwrap();
    assert_eq!(index, "2579.77");
}

#[tokio::test]
async fn a_round_is_bounded_and_the_rotation_reaches_all() {
    let mut market = market("2019-01-23T09:30:00").await;
    assert_eq!(market.feeder.round().await.unwrap(), market.followed + ROTATION);
    let mut written = market.followed + ROTATION;
    loop {
        match market.feeder.round().await.unwrap() {
            0 => break,
            rows => {
                assert!(rows <= ROTATION, "followed ones are not written again within a minute");
                written += rows;
            }
        }
    }
    assert_eq!(written, 2_738);
    market.real.advance(Duration::from_secs(1));
    assert_eq!(market.feeder.round().await.unwrap(), market.followed + ROTATION);
}

#[tokio::test]
async fn the_rotation_goes_on_where_it_was_while_minutes_pass() {
    let mut market = market("2019-01-23T09:30:00").await;
    let rounds = (2_738 - market.followed).div_ceil(ROTATION);
    for _ in 0..rounds {
        market.feeder.round().await.unwrap();
        market.real.advance(Duration::from_secs(1));
    }
    let from = shanghai("2019-01-23T09:30:00").to_string();
    market.clock.set(Change { paused: Some(true), ..Change::default() }).unwrap();
    let stale: i64 = sqlx::query_scalar("select count(*) from quotes where timestamp = ?")
        .bind(from)
        .fetch_one(market.database.sqlite().unwrap())
        .await
        .unwrap();
    assert!(
        stale <= i64::try_from(ROTATION).unwrap(),
        "only the first rotation shows the first minute: {stale}"
    );
}

#[tokio::test]
async fn a_deleted_row_stays_deleted() {
    let mut market = market("2019-01-23T09:30:00").await;
    sqlx::query("delete from quotes where code = '600000'")
        .execute(market.database.sqlite().unwrap())
        .await
        .unwrap();
    market.feeder.round().await.unwrap();
    let left: i64 = sqlx::query_scalar("select count(*) from quotes where code = '600000'")
        .fetch_one(market.database.sqlite().unwrap())
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_clock_that_goes_back_opens_its_day_anew() {
    let mut market = market("2019-01-28T14:00:00").await;
    market.feeder.round().await.unwrap();
    let later = quote(&market.database, "600000").await.3;
    assert_eq!(later, "2019-01-28T06:00:00Z");
    for (to, shown) in
        [("2019-01-28T10:00:00", "2019-01-28T02:00:00Z"), ("2019-01-23T09:30:00", "2019-01-23T01:30:00Z")]
    {
        market.clock.set(Change { at: Some(shanghai(to)), ..Change::default() }).unwrap();
        market.feeder.round().await.unwrap();
        assert_eq!(quote(&market.database, "600000").await.3, shown, "{to}");
    }
}

async fn rename(database: &Database, statement: &'static str) {
    sqlx::query(statement).execute(database.sqlite().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_refused_round_is_made_up_by_the_next() {
    let mut market = market("2019-01-23T09:31:00").await;
    rename(&market.database, "alter table quotes rename to elsewhere").await;
    assert!(market.feeder.round().await.is_err());
    rename(&market.database, "alter table elsewhere rename to quotes").await;
    assert_eq!(market.feeder.round().await.unwrap(), market.followed + ROTATION);
    assert_eq!(quote(&market.database, "600000").await.3, "2019-01-23T01:31:00Z");
}

/// Waits until the feeder's task has moved SH 600000 past `than`; each look gives it a second.
async fn moved(market: &Clock, database: &Database, than: &str) -> String {
    let watch = async {
        loop {
            market.advance(PERIOD);
            let shown = quote(database, "600000").await.3;
            if shown.as_str() > than {
                return shown;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), watch).await.expect("the quote moves")
}

/// Lets a second pass, and the feeder's task have its turn.
async fn a_second(real: &Clock, database: &Database) {
    real.advance(PERIOD);
    sqlx::query("select count(*) from instruments").execute(database.sqlite().unwrap()).await.unwrap();
}

async fn rounds_until(real: &Clock, database: &Database, done: impl Fn() -> bool) {
    let watch = async {
        while !done() {
            a_second(real, database).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), watch).await.expect("it comes");
}

/// Counts what the feeder logs, by level: errors, then the rest.
#[derive(Clone, Default)]
struct Logged(Arc<[AtomicU64; 2]>);

impl Logged {
    fn counts(&self) -> [u64; 2] {
        [0, 1].map(|level| self.0[level].load(Ordering::Relaxed))
    }
}

impl Subscriber for Logged {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("forebay_app_stocks")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = usize::from(*event.metadata().level() != Level::ERROR);
        self.0[level].fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn the_task_outlives_refusals_and_logs_each_episode_once() {
    let Market { _folder, real, database, feeder, .. } = market("2019-01-23T09:31:00").await;
    let logged = Logged::default();
    let _log = tracing::subscriber::set_default(logged.clone());
    let tasks = Tasks::current().unwrap();
    tasks.spawn(feeder.run(real.clone()));
    let mut shown = moved(&real, &database, "2019-01-23T01:30:00Z").await;
    assert_eq!(logged.counts(), [0, 0]);
    for episode in 1..=2 {
        rename(&database, "alter table quotes rename to elsewhere").await;
        rounds_until(&real, &database, || logged.counts() == [episode, episode - 1]).await;
        for _ in 0..30 {
            a_second(&real, &database).await;
        }
        assert_eq!(logged.counts(), [episode, episode - 1]);
        rename(&database, "alter table elsewhere rename to quotes").await;
        shown = moved(&real, &database, &shown).await;
        rounds_until(&real, &database, || logged.counts() == [episode, episode]).await;
    }
    assert_eq!(tasks.running(), 1);
}
