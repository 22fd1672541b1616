//! Starting the app as the server does.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay::Keyspace;
use forebay::rt::Tasks;
use forebay_app_stocks::app;
use forebay_server::app::{Alarms, AppError, Progress, Running, Served, Setup};
use forebay_server::time::WallClock;

use crate::database;

struct Silent;

impl Progress for Silent {
    fn step(&self, _what: &str, _done: u64, _total: u64) {}
}

struct Started {
    outcome: Result<Running, AppError>,
    tasks: Tasks,
    quotes: i64,
}

async fn start(settings: &str) -> Started {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    let tasks = Tasks::current().unwrap();
    let setup = Setup {
        keyspace: "stocks".to_owned(),
        data: folder.path().to_path_buf(),
        databases: BTreeMap::from([("main".to_owned(), database.clone())]),
        served: Served::only(Arc::new(Keyspace::new("stocks"))),
        settings: settings.parse().unwrap(),
        tasks: tasks.clone(),
        progress: Arc::new(Silent),
        wall: WallClock::system(),
        alarms: Alarms::default(),
    };
    let outcome = (app().start)(setup).await;
    let quotes = sqlx::query_scalar("select count(*) from quotes")
        .fetch_one(database.sqlite().unwrap())
        .await
        .unwrap();
    Started { outcome, tasks, quotes }
}

#[tokio::test]
async fn a_replay_fills_the_tables_and_feeds_them() {
    let started = start(r#"replay = { start = "2019-01-28T09:30:00+08:00", paused = true }"#).await;
    let running = started.outcome.unwrap();
    assert!(running.routes.is_some());
    assert!(
        running.notes[0].contains("2019-01-28T09:30:00+08:00 at speed 20, paused"),
        "{:?}",
        running.notes
    );
    assert_eq!((started.quotes, started.tasks.running()), (2_280, 3));
}

#[tokio::test]
async fn without_a_start_it_begins_at_the_first_recorded_opening() {
    let running = start("replay = { paused = true }").await.outcome.unwrap();
    assert!(running.notes[0].contains("2019-01-23T09:30:00+08:00"), "{:?}", running.notes);
}

#[tokio::test]
async fn the_wall_clock_leaves_the_tables_to_a_real_source() {
    let started = start(r#"clock = "wall""#).await;
    assert!(started.outcome.unwrap().routes.is_some());
    assert_eq!((started.quotes, started.tasks.running()), (0, 2), "no feeder");
}

#[tokio::test]
async fn a_start_that_is_not_recorded_is_refused() {
    let started = start(r#"replay = { start = "2020-01-28T09:30:00+08:00" }"#).await;
    let error = started.outcome.err().unwrap().to_string();
    assert!(
        error.starts_with("[app.stocks]: replay.start: 2020-01-28T09:30:00+08:00 is not recorded; write"),
        "{error}"
    );
    assert_eq!(started.quotes, 0);
}
