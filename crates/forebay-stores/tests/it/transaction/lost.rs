//! Commits whose connection is lost: what the server did is found out, and where it cannot be, everything is gone.

use std::time::Duration;

use forebay::Forebay;
use forebay_stores::database::transaction::TransactionError;
use forebay_stores::database::{Database, DatabaseError, DatabaseOptions};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{SCHEMA, World, run, task, until};
use forebay_simulated::proxy::{Fault, Proxy, Then};

/// A world behind a proxy, and its database before it; nobody else has one, whose server would seem to be another.
async fn behind() -> (World, Proxy, Database, SemaphorePermit<'static>) {
    behind_with(SCHEMA).await
}

async fn behind_with(schema: &'static str) -> (World, Proxy, Database, SemaphorePermit<'static>) {
    static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);
    let alone = ONE_AT_A_TIME.acquire().await.unwrap();
    let address = crate::postgres::new_database().await;
    let (login, rest) = address.split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let server = tokio::net::lookup_host(server).await.unwrap().next().unwrap();
    let proxy = Proxy::before(server).await;
    let options =
        |host: &str| DatabaseOptions::postgres(format!("{login}@{host}/{name}").parse().unwrap(), 4);
    let options_behind = DatabaseOptions {
        statement_timeout: Duration::from_secs(2),
        pool_wait: Duration::from_secs(1),
        ..options(&proxy.address.to_string())
    };
    let (engine, folder) = (Forebay::new().unwrap(), tempfile::tempdir().unwrap());
    let world = World::open(options_behind, schema, engine, folder).await;
    let direct = Database::open(&options(&server.to_string())).await.unwrap();
    (world, proxy, direct, alone)
}

async fn price(direct: &Database) -> i64 {
    let asked = sqlx::query_scalar("select price from prices where code = 'a'");
    asked.fetch_one(direct.postgres().unwrap()).await.unwrap()
}

async fn change(world: &World) -> Result<(), TransactionError<DatabaseError>> {
    let work = world.database.transaction(async |tx| run(tx, "update prices set price = price + 1").await);
    work.await.map(drop)
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found() {
    let (world, proxy, _direct, _alone) = behind().await;
    assert_eq!(world.get("a").await, Some(1));
    proxy.set(Fault::At("commit", Then::LoseAnswer));
    let done = world.database.transaction(async |tx| run(tx, "update prices set price = 2").await).await;
    assert!(done.unwrap().token.place.is_some());
    assert_eq!(world.get("a").await, Some(2));
}

#[tokio::test]
async fn a_commit_that_never_came_is_found() {
    let (world, proxy, _direct, _alone) = behind().await;
    assert_eq!(world.get("a").await, Some(1));
    proxy.set(Fault::At("commit", Then::Swallow));
    let failed = change(&world).await.unwrap_err();
    assert!(matches!(failed, TransactionError::RolledBack(_)) && failed.may_retry(), "{failed:?}");
    proxy.set(Fault::None);
    change(&world).await.unwrap();
    assert_eq!(world.get("a").await, Some(2));
}

#[tokio::test]
async fn what_another_run_of_the_server_says_is_not_believed() {
    let (world, proxy, direct, _alone) = behind().await;
    assert_eq!(world.get("a").await, Some(1));
    proxy.set(Fault::At("commit", Then::LoseAnswerAndRefuse));
    let database = world.database.clone();
    let (_tasks, told) = task(async move {
        let work = database.transaction(async |tx| run(tx, "update prices set price = 2").await);
        work.await.map(drop)
    });
    until("it is committed", async || price(&direct).await == 2).await;
    // As after a crash, when numbers are given again.
    sqlx::query("select pg_stat_reset_shared('bgwriter')").execute(direct.postgres().unwrap()).await.unwrap();
    proxy.set(Fault::None);
    let failed = told.await.unwrap().unwrap_err();
    assert!(failed.unknown_outcome(), "{failed:?}");
    assert_eq!(world.get("a").await, Some(2), "all the same it is gone");
}

#[tokio::test]
async fn an_unknown_outcome_invalidates() {
    let (world, proxy, direct, _alone) = behind().await;
    assert_eq!(world.get("a").await, Some(1));
    proxy.set(Fault::At("commit", Then::LoseAnswerAndRefuse));
    let failed = change(&world).await.unwrap_err();
    assert!(failed.unknown_outcome() && !failed.may_retry(), "{failed:?}");
    assert_eq!(price(&direct).await, 2, "it was committed");
    proxy.set(Fault::None);
    until("the source is asked again", async || world.prices.get("a").await.is_ok()).await;
    assert_eq!(world.get("a").await, Some(2));
}

#[tokio::test]
async fn a_caller_who_goes_away_after_the_commit_takes_no_invalidation_along() {
    let (world, proxy, direct, _alone) = behind().await;
    assert_eq!(world.get("a").await, Some(1));
    proxy.set(Fault::At("commit", Then::Hold(Duration::from_millis(700))));
    let database = world.database.clone();
    let (caller, _) = task(async move {
        let work = database.transaction(async |tx| run(tx, "update prices set price = 2").await);
        work.await.map(drop)
    });
    until("it is committed", async || price(&direct).await == 2).await;
    assert_eq!(world.get("a").await, Some(1), "nobody knows of it yet");
    drop(caller);
    until("it is invalidated", async || world.prices.peek(b"price:a").is_none()).await;
    assert_eq!(world.get("a").await, Some(2));
}

#[tokio::test]
async fn a_commit_of_another_servers_rows_is_in_doubt() {
    let (world, proxy, direct, _alone) = behind_with(super::rows::FOREIGN).await;
    assert_eq!(world.get("a").await, Some(1));
    proxy.set(Fault::At("commit", Then::LoseAnswer));
    let failed = change(&world).await.unwrap_err();
    assert!(failed.unknown_outcome() && !failed.may_retry(), "{failed:?}");
    until("it is committed", async || price(&direct).await == 2).await;
    assert_eq!(world.get("a").await, Some(2));
}

#[tokio::test]
async fn a_caller_who_goes_away_while_the_work_commits_leaves_nothing_old() {
    let (world, proxy, direct, _alone) = behind().await;
    assert_eq!(world.get("a").await, Some(1));
    // Longer than anybody waits for the answer.
    proxy.set(Fault::At("commit", Then::Hold(Duration::from_secs(5))));
    let database = world.database.clone();
    let (caller, _) = task(async move {
        let work = database.transaction(async |tx| {
            run(tx, "update prices set price = 2").await?;
            run(tx, "commit").await
        });
        work.await.map(drop)
    });
    until("it is committed", async || price(&direct).await == 2).await;
    assert_eq!(world.get("a").await, Some(1), "nobody knows of it yet");
    drop(caller);
    until("it is invalidated", async || world.prices.peek(b"price:a").is_none()).await;
    proxy.set(Fault::None);
    until("the source is asked again", async || world.prices.get("a").await.is_ok()).await;
    assert_eq!(world.get("a").await, Some(2));
}
