//! Loads from a streaming replica: taken where it has everything, never where it lags or is none.

use std::time::Duration;

use forebay::rt::Clock;
use forebay::{LoadKey, Source};
use forebay_stores::database::{Database, DatabaseOptions, Url};
use forebay_stores::source::sql::{SqlQuery, SqlSource};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;

use crate::postgres::new_database;
use crate::sql::{columns, load, text};

/// Which server answers, with what it has.
const QUERY: &str = "select code, price, pg_is_in_recovery() as copied from quotes where code in {keys}";

/// A new database of the primary, and what its replica calls it.
async fn primary_and_replica() -> (String, String) {
    let primary = new_database().await;
    let replica = xtask::services::url("postgres-replica").unwrap();
    let copy = format!("{}/{}", replica.rsplit_once('/').unwrap().0, primary.rsplit_once('/').unwrap().1);
    (primary, copy)
}

async fn opened(primary: &str, replicas: &[&str]) -> Database {
    let replicas: Vec<Url> = replicas.iter().map(|url| url.parse().unwrap()).collect();
    let options = DatabaseOptions { replicas, ..DatabaseOptions::postgres(primary.parse().unwrap(), 4) };
    Database::open(&options).await.unwrap()
}

async fn source(database: &Database) -> SqlSource {
    let query = SqlQuery { text: QUERY.into(), params: columns(&["code"]), ..SqlQuery::default() };
    SqlSource::open(database, query).await.unwrap()
}

async fn sql(database: &Database, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(database.postgres().unwrap()).await.unwrap();
}

/// The price of the one quote, and whether a copy told it.
async fn told(source: &SqlSource) -> (u32, bool) {
    let row = load(source, &[text("a")]).await.unwrap().remove(0).unwrap();
    let row: serde_json::Value = serde_json::from_str(&row).unwrap();
    (row["price"].as_u64().unwrap().try_into().unwrap(), row["copied"].as_bool().unwrap())
}

/// Waits until a copy tells it.
async fn told_by_a_copy(source: &SqlSource) -> u32 {
    let clock = Clock::default();
    let began = clock.now();
    loop {
        let (price, copied) = told(source).await;
        if copied {
            return price;
        }
        assert!(clock.now().since(began) < Duration::from_secs(30), "no copy is read");
        clock.sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_replica_is_read_unless_it_lags() {
    let (primary, copy) = primary_and_replica().await;
    let database = opened(&primary, &[&copy]).await;
    sql(
        &database,
        "create table quotes (code text primary key, price integer); insert into quotes values ('a', 1)",
    )
    .await;
    let source = source(&database).await;
    assert_eq!(told_by_a_copy(&source).await, 1);
    // Whatever was committed before a load began is in what it gives, whoever gives it.
    let mut copied = 0;
    for price in 2..=100 {
        sql(&database, &format!("update quotes set price = {price}")).await;
        let (is, by_copy) = told(&source).await;
        assert_eq!(is, price, "by a copy: {by_copy}");
        copied += u32::from(by_copy);
    }
    let direct = PgPool::connect(&copy).await.unwrap();
    sqlx::raw_sql("select pg_wal_replay_pause()").execute(&direct).await.unwrap();
    sql(&database, "update quotes set price = 200").await;
    let lagging = told(&source).await;
    let old: i32 = sqlx::query_scalar("select price from quotes").fetch_one(&direct).await.unwrap();
    sqlx::raw_sql("select pg_wal_replay_resume()").execute(&direct).await.unwrap();
    assert_eq!((lagging, old), ((200, false), 100), "the copy lagged, and the primary was read");
    assert_eq!(told_by_a_copy(&source).await, 200);
    assert!(copied > 0, "no copy was read while rows changed");
}

#[tokio::test]
async fn what_is_down_or_no_replica_costs_a_load_nothing() {
    let (primary, copy) = primary_and_replica().await;
    // A server that is no copy of it, and one that is down.
    let database = opened(&primary, &[&primary, "postgres://nobody@127.0.0.1:1/none", &copy]).await;
    sql(
        &database,
        "create table quotes (code text primary key, price integer); insert into quotes values ('a', 1)",
    )
    .await;
    let source = source(&database).await;
    for _ in 0..6 {
        assert_eq!(told(&source).await.0, 1);
    }
    assert_eq!(told_by_a_copy(&source).await, 1, "the others are passed over");
    // What cannot be judged is not used.
    sql(&database, "alter table quotes rename to gone").await;
    let keys: [LoadKey; 1] = [text("a")];
    assert!(!source.load("test", &keys).await.unwrap_err().retry);
}
