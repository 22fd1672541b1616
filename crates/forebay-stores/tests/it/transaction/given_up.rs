//! Transactions on PostgreSQL that are given up: what their work has committed by itself is not read as it was before.

use std::time::Duration;

use forebay::Tier;
use forebay::rt::Clock;
use forebay_stores::database::transaction::Transaction;
use forebay_stores::database::{DatabaseError, Dialect};

use super::{SCHEMA, World, run, task, until};

/// A world in which `a` is held.
async fn world() -> World {
    let world = World::on(Dialect::Postgres, SCHEMA).await;
    assert_eq!(world.get("a").await, Some(1));
    world
}

async fn gone(world: &World) {
    until("it is invalidated", async || world.prices.peek(b"price:a").is_none()).await;
    assert_eq!(world.get("a").await, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_after_a_commit_of_the_work_invalidates() {
    let world = world().await;
    let database = world.database.clone();
    let (_tasks, told) = task(async move {
        let work = async |tx: &mut Transaction| -> Result<(), DatabaseError> {
            run(tx, "update prices set price = 2; commit").await?;
            panic!("a panic that is meant to be");
        };
        database.transaction(work).await.map(drop)
    });
    assert!(told.await.is_err(), "it panicked");
    gone(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_after_a_commit_of_the_work_invalidates() {
    for committed in ["commit", "commit; begin", "commit and chain", "rollback; update prices set price = 2"]
    {
        let world = world().await;
        let never = world.database.transaction(async |tx| {
            run(tx, &format!("update prices set price = 2; {committed}")).await?;
            std::future::pending::<Result<(), DatabaseError>>().await
        });
        assert!(Clock::default().timeout(Duration::from_millis(100), never).await.is_err());
        gone(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_before_the_work_commits_invalidates() {
    let world = world().await;
    let soon = world.database.transaction(async |tx| {
        run(tx, "update prices set price = 2; select pg_sleep(0.3); commit; select pg_sleep(0.1)").await
    });
    assert!(Clock::default().timeout(Duration::from_millis(100), soon).await.is_err());
    gone(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_work_that_fails_in_another_transaction_than_it_was_given_is_found() {
    let world = world().await;
    let failed = world.database.transaction(async |tx| {
        run(tx, "update prices set price = 2; commit; begin").await?;
        run(tx, "select nothing from nowhere").await
    });
    let failed = failed.await.unwrap_err();
    assert!(failed.unknown_outcome(), "{failed:?}");
    assert_eq!(world.get("a").await, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rolled_back_leaves_all_as_it_was() {
    let world = world().await;
    // One that has failed, and one that has not.
    for sql in ["update prices set price = 2; select nothing from nowhere", "update prices set price = 2"] {
        let never = world.database.transaction(async |tx| {
            let _ = run(tx, sql).await;
            std::future::pending::<Result<(), DatabaseError>>().await
        });
        assert!(Clock::default().timeout(Duration::from_millis(100), never).await.is_err());
        let open = "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'";
        until("it is rolled back", async || {
            let open = sqlx::query_scalar::<_, i64>(open).fetch_one(world.database.postgres().unwrap());
            open.await.unwrap() == 0
        })
        .await;
        assert_eq!(world.tier("a").await, Tier::Memory);
    }
    let failed = world.database.transaction(async |tx| run(tx, "select nothing from nowhere").await);
    assert!(!failed.await.unwrap_err().unknown_outcome());
    assert_eq!(world.tier("a").await, Tier::Memory);
    // The work may still say how it sees others.
    let level = "set transaction isolation level serializable; update prices set price = 3";
    world.change(level).await;
    assert_eq!(world.get("a").await, Some(3));
}
