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

const QUOTES: &str =
    "create table quotes (code text primary key, price integer); insert into quotes values ('a', 1)";

/// A new database of the primary, and what its replica calls it.
async fn primary_and_replica() -> (String, String) {
    let primary = new_database().await;
    let copy = at("postgres-replica", &primary);
    (primary, copy)
}

/// What the server `service` calls the database at `url`.
fn at(service: &str, url: &str) -> String {
    let server = xtask::services::url(service).unwrap();
    format!("{}/{}", server.rsplit_once('/').unwrap().0, url.rsplit_once('/').unwrap().1)
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
    sql(&database, QUOTES).await;
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
    // However far behind it was left, it has all of them when it is stopped.
    assert_eq!(told_by_a_copy(&source).await, 100);
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
    sql(&database, QUOTES).await;
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

#[tokio::test]
async fn what_follows_another_history_is_not_read() {
    let (primary, copy) = primary_and_replica().await;
    let heir = at("postgres-heir", &primary);
    let database = opened(&primary, &[&heir]).await;
    sql(&database, QUOTES).await;
    let of_primary = source(&database).await;
    assert_eq!(told_by_a_copy(&of_primary).await, 1);
    // The heir becomes a primary, and stays among the replicas of the one that it has left.
    let direct = PgPool::connect(&heir).await.unwrap();
    let promoted: bool = sqlx::query_scalar("select pg_promote()").fetch_one(&direct).await.unwrap();
    assert!(promoted);
    // Each goes on: the one that has written more looks as if it had everything.
    for price in 2..6 {
        sqlx::raw_sql("update quotes set price = 100; select pg_switch_wal()")
            .execute(&direct)
            .await
            .unwrap();
        sql(&database, &format!("update quotes set price = {price}")).await;
        assert_eq!(told(&of_primary).await, (price, false));
    }
    // A replica that still follows the old primary does not serve the new one, however far it has come.
    let inherited = opened(&heir, &[&copy]).await;
    let of_heir = source(&inherited).await;
    for price in 200..204 {
        for _ in 0..3 {
            sql(&database, "update quotes set price = 7; select pg_switch_wal()").await;
        }
        sql(&inherited, &format!("update quotes set price = {price}")).await;
        assert_eq!(told(&of_heir).await, (price, false));
    }
    // It was read, had it been judged by its position alone.
    let has_more = "select (pg_last_wal_replay_lsn() - $1::pg_lsn) > 0";
    let written: String =
        sqlx::query_scalar("select pg_current_wal_insert_lsn()::text").fetch_one(&direct).await.unwrap();
    let follows = PgPool::connect(&copy).await.unwrap();
    let (clock, mut steps) = (Clock::default(), 0..600);
    while !sqlx::query_scalar::<_, bool>(has_more).bind(&written).fetch_one(&follows).await.unwrap() {
        assert!(steps.next().is_some(), "the copy lags");
        clock.sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..4 {
        assert_eq!(told(&source(&opened(&heir, &[&copy]).await).await).await, (203, false));
    }
    assert_eq!(told_by_a_copy(&source(&opened(&primary, &[&copy]).await).await).await, 7);
}

#[tokio::test]
async fn a_role_that_may_not_see_what_a_replica_follows_reads_the_primary() {
    let (primary, copy) = primary_and_replica().await;
    let database = opened(&primary, &[]).await;
    sql(&database, QUOTES).await;
    let role = format!("ordinary_{:016x}", fastrand::u64(..));
    sql(&database, &format!("create role {role} login; grant select on quotes to {role}")).await;
    let of_role = |url: &str| url.replacen("postgres@", &format!("{role}@"), 1);
    let (primary, copy) = (of_role(&primary), of_role(&copy));
    let direct = PgPool::connect(&primary).await.unwrap();
    let written: String =
        sqlx::query_scalar("select pg_current_wal_insert_lsn()::text").fetch_one(&direct).await.unwrap();
    // The role has come to the replica as well: it does answer.
    let (clock, mut steps) = (Clock::default(), 0..600);
    let replayed = "select pg_last_wal_replay_lsn() >= $1::pg_lsn";
    loop {
        if let Ok(follows) = PgPool::connect(&copy).await
            && sqlx::query_scalar::<_, bool>(replayed).bind(&written).fetch_one(&follows).await.unwrap()
        {
            break;
        }
        assert!(steps.next().is_some(), "the copy lags");
        clock.sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..4 {
        assert_eq!(told(&source(&opened(&primary, &[&copy]).await).await).await, (1, false));
    }
    sql(&database, &format!("grant pg_read_all_stats to {role}")).await;
    assert_eq!(told_by_a_copy(&source(&opened(&primary, &[&copy]).await).await).await, 1);
}
