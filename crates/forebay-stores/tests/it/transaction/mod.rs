//! Transactions: what they change is read by whoever reads after them, however they end. On a SQLite file and on a PostgreSQL server.

mod following;
mod given_up;
mod lost;
mod random;
mod rows;
mod statements;

use std::time::Duration;

use forebay::feed::{Changed, Columns, Rows};
use forebay::rt::{Clock, Tasks};
use forebay::value::Param;
use forebay::{Blob, Forebay, Namespace, Tier, secs};
use forebay_simulated::{Partition, SimulatedTier};
use forebay_stores::database::transaction::{Committed, Transaction, TransactionError};
use forebay_stores::database::{Database, DatabaseError, DatabaseOptions, Dialect};
use forebay_stores::source::sql::{SqlQuery, SqlSource};
use sqlx::AssertSqlSafe;

use crate::sql::columns;

pub const SCHEMA: &str = "create table prices (code text primary key, price bigint not null, note text);
    insert into prices values ('a', 1, null), ('b', 1, null), ('c', 1, null);
    create table other (id bigint primary key);";

/// A database, an engine over it, and what is loaded from its prices.
pub struct World {
    pub database: Database,
    pub engine: Forebay,
    pub prices: Namespace<Blob>,
    pub folder: tempfile::TempDir,
}

impl World {
    pub async fn on(dialect: Dialect, schema: &'static str) -> Self {
        Self::of(dialect, schema, Forebay::new().unwrap()).await
    }

    pub async fn of(dialect: Dialect, schema: &'static str, engine: Forebay) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = match dialect {
            Dialect::Sqlite => DatabaseOptions::sqlite(folder.path().join("main.db"), 4),
            Dialect::Postgres => {
                DatabaseOptions::postgres(crate::postgres::new_database().await.parse().unwrap(), 4)
            }
        };
        Self::open(options, schema, engine, folder).await
    }

    pub async fn open(
        options: DatabaseOptions,
        schema: &'static str,
        engine: Forebay,
        folder: tempfile::TempDir,
    ) -> Self {
        let database = Database::open(&options).await.unwrap();
        raw(&database, schema).await;
        let query = SqlQuery {
            text: "select code, price from prices where code in {keys}".into(),
            params: columns(&["code"]),
            ..SqlQuery::default()
        };
        let source = SqlSource::open(&database, query).await.unwrap();
        let builder = engine.namespace::<Blob>("prices").key("price:{code}").ttl(secs(3_600));
        let prices = builder.depends_on(Rows::of("main", "prices")).source(source).build().unwrap();
        Self { database: database.feeding(&engine, "main"), engine, prices, folder }
    }

    pub async fn get(&self, code: &str) -> Option<i64> {
        let json = self.prices.get(code).await.unwrap()?;
        price(&json)
    }

    /// Where a read of `code` is answered from.
    pub async fn tier(&self, code: &str) -> Tier {
        self.prices.get_with_outcome(code).await.unwrap().1.tier
    }

    /// Changes rows, and tells of none.
    pub async fn change(&self, sql: &'static str) -> Committed<()> {
        self.database.transaction(async |tx| run(tx, sql).await).await.unwrap()
    }

    pub fn is_postgres(&self) -> bool {
        self.database.dialect() == Dialect::Postgres
    }
}

pub fn price(json: &Blob) -> Option<i64> {
    let json: serde_json::Value = serde_json::from_slice(&json.bytes()).unwrap();
    json["price"].as_i64()
}

/// Runs statements past all transactions.
pub async fn raw(database: &Database, sql: &str) {
    match database.dialect() {
        Dialect::Sqlite => {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(database.sqlite().unwrap()).await.unwrap();
        }
        Dialect::Postgres => {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(database.postgres().unwrap()).await.unwrap();
        }
    }
}

/// Runs statements in a transaction.
pub async fn run(tx: &mut Transaction, sql: &str) -> Result<(), DatabaseError> {
    if let Ok(connection) = tx.sqlite() {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    } else {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(tx.postgres()?).await?;
    }
    Ok(())
}

pub fn row(code: &str) -> Columns {
    vec![("code".into(), Some(Param::Text(code.into())))]
}

/// A task of its own, ended when it is dropped.
pub fn task<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> (Tasks, tokio::sync::oneshot::Receiver<T>) {
    let tasks = Tasks::current().unwrap();
    let (tell, told) = tokio::sync::oneshot::channel();
    tasks.spawn(async move {
        let _ = tell.send(work.await);
    });
    (tasks, told)
}

/// Waits until `is_so`.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let clock = Clock::default();
    let began = clock.now();
    while !is_so().await {
        assert!(clock.now().since(began) < Duration::from_secs(20), "never: {what}");
        clock.sleep(Duration::from_millis(2)).await;
    }
}

/// Runs a test on both databases.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(forebay_stores::database::Dialect::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(forebay_stores::database::Dialect::Postgres).await;
            })*
        }
    };
}
pub(crate) use on_both;

on_both! {
    who_reads_after_it_reads_what_it_wrote
    an_error_of_the_work_rolls_back
    a_panic_rolls_back
    a_caller_who_goes_away_ends_the_statement_under_way
    a_caller_who_goes_away_rolls_back
    one_within_another_is_refused
    what_is_swallowed_is_not_committed
    a_work_that_ends_it_fails
    what_the_tier_did_not_confirm_stands
    a_namespace_of_meanwhile_holds_nothing_older
}

async fn who_reads_after_it_reads_what_it_wrote(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    for code in ["a", "b"] {
        assert_eq!(world.get(code).await, Some(1));
        assert_eq!(world.tier(code).await, Tier::Memory);
    }
    let told = world
        .database
        .transaction(async |tx| {
            tx.changed(Changed::updated("prices", row("a"), row("a")));
            run(tx, "update prices set price = 2 where code = 'a'").await?;
            Ok::<_, DatabaseError>("value")
        })
        .await
        .unwrap();
    assert_eq!((told.value, told.whole_tables.len(), told.unconfirmed.is_none()), ("value", 0, true));
    assert_eq!(told.token.place.is_some(), world.is_postgres());
    assert_eq!(told.token.to_string().parse(), Ok(told.token));
    assert_eq!(world.get("a").await, Some(2));
    assert_eq!(world.tier("b").await, Tier::Memory, "another row");
    let told = world.change("update other set id = 2; delete from other").await;
    assert!(told.whole_tables.is_empty(), "{told:?}");
    assert_eq!(world.tier("b").await, Tier::Memory, "nothing was written");
    let told = world.change("insert into other values (1)").await;
    assert!(told.whole_tables.is_empty(), "{told:?}");
    assert_eq!(world.tier("b").await, Tier::Memory, "another table");
}

async fn an_error_of_the_work_rolls_back(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    assert_eq!(world.get("a").await, Some(1));
    for _ in 0..9 {
        let failed = world.database.transaction(async |tx| {
            run(tx, "update prices set price = 2").await.unwrap();
            Err::<(), _>("no")
        });
        assert!(matches!(failed.await.unwrap_err(), TransactionError::Work("no")));
    }
    assert_eq!(world.tier("a").await, Tier::Memory, "nothing has changed");
    world.prices.invalidate("a").await.unwrap();
    assert_eq!(world.get("a").await, Some(1));
    world.change("update prices set price = 3").await;
    assert_eq!(world.get("a").await, Some(3));
}

async fn a_panic_rolls_back(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    let database = world.database.clone();
    let (_tasks, told) = task(async move {
        let work = async |tx: &mut Transaction| -> Result<(), DatabaseError> {
            run(tx, "update prices set price = 2").await?;
            panic!("a panic that is meant to be");
        };
        database.transaction(work).await.map(drop)
    });
    assert!(told.await.is_err(), "it panicked");
    world.change("update prices set price = price + 10").await;
    assert_eq!(world.get("a").await, Some(11));
}

async fn a_caller_who_goes_away_rolls_back(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    let never = world.database.transaction(async |tx| {
        run(tx, "update prices set price = 2").await?;
        std::future::pending::<Result<(), DatabaseError>>().await
    });
    assert!(Clock::default().timeout(Duration::from_millis(200), never).await.is_err());
    world.change("update prices set price = price + 10").await;
    assert_eq!(world.get("a").await, Some(11));
}

async fn a_caller_who_goes_away_ends_the_statement_under_way(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    let endless = match dialect {
        Dialect::Sqlite => {
            "with recursive up (n) as (select 1 union all select n + 1 from up) select count(*) from up"
        }
        Dialect::Postgres => "select pg_sleep(60)",
    };
    let never = world.database.transaction(async |tx| {
        run(tx, "update prices set price = 2").await?;
        run(tx, endless).await
    });
    assert!(Clock::default().timeout(Duration::from_millis(200), never).await.is_err());
    // The rows, and the file, are locked no longer.
    let changed = world.change("update prices set price = price + 10");
    Clock::default().timeout(Duration::from_secs(4), changed).await.unwrap();
    assert_eq!(world.get("a").await, Some(11));
}

async fn one_within_another_is_refused(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    let outer = world.database.transaction(async |_| {
        let inner = world.database.transaction(async |_| Ok::<_, DatabaseError>(()));
        let refused = inner.await.unwrap_err();
        assert!(matches!(refused, TransactionError::Nested) && !refused.unknown_outcome(), "{refused}");
        Ok::<_, DatabaseError>(())
    });
    outer.await.unwrap();
    world.change("update prices set price = 2").await;
    let alone = Database::open(&DatabaseOptions::sqlite(world.folder.path().join("alone.db"), 1)).await;
    let refused = alone.unwrap().transaction(async |_| Ok::<_, DatabaseError>(())).await.unwrap_err();
    assert!(matches!(refused, TransactionError::Unfed), "{refused}");
}

async fn what_is_swallowed_is_not_committed(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    let done = world.database.transaction(async |tx| {
        run(tx, "update prices set price = 2 where code = 'b'").await?;
        // PostgreSQL has given up the whole of it, SQLite this statement.
        assert!(run(tx, "insert into prices values ('a', 2, null)").await.is_err());
        Ok::<_, DatabaseError>(())
    });
    let done = done.await;
    if world.is_postgres() {
        assert!(matches!(done.unwrap_err(), TransactionError::RolledBack(_)));
    }
    let wanted = if world.is_postgres() { 1 } else { 2 };
    assert_eq!((world.get("a").await, world.get("b").await), (Some(1), Some(wanted)));
}

async fn a_work_that_ends_it_fails(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    assert_eq!(world.get("a").await, Some(1));
    for end in ["commit", "rollback", "rollback; begin", "commit; begin"] {
        // By a connection that has served before.
        world.change("delete from other").await;
        let done = world.database.transaction(async |tx| {
            run(tx, "update prices set price = price + 1 where code = 'a'").await?;
            // SQLite refuses to commit, and what then was one by itself.
            let _ = run(tx, end).await;
            let _ = run(tx, "update prices set price = price + 10 where code = 'b'").await;
            Ok::<_, DatabaseError>(())
        });
        let failed = done.await.unwrap_err();
        assert_eq!(failed.unknown_outcome(), world.is_postgres(), "{end}: {failed}");
    }
    // Also where the work fails after that.
    let failed = world.database.transaction(async |tx| {
        run(tx, "update prices set price = price + 100 where code = 'a'").await.unwrap();
        let _ = run(tx, "commit").await;
        Err::<(), _>("no")
    });
    assert_eq!(failed.await.unwrap_err().unknown_outcome(), world.is_postgres());
    // PostgreSQL did what it was asked.
    let wanted = if world.is_postgres() { (103, 21) } else { (1, 1) };
    assert_eq!((world.get("a").await, world.get("b").await), (Some(wanted.0), Some(wanted.1)));
    world.change("update prices set price = 7").await;
    assert_eq!(world.get("a").await, Some(7), "it goes on");
}

async fn what_the_tier_did_not_confirm_stands(dialect: Dialect) {
    let clock = Clock::default();
    let tier = SimulatedTier::new(clock.clone(), 7);
    let shared = std::sync::Arc::new(tier.link(1));
    let engine = Forebay::builder().clock(clock).shared_tier(shared).build().unwrap();
    let world = World::of(dialect, SCHEMA, engine).await;
    assert_eq!(world.get("a").await, Some(1));
    tier.partition(1, Some(Partition::Refused));
    let told = world.change("update prices set price = 2 where code = 'a'").await;
    assert!(matches!(told.unconfirmed, Some(forebay::Error::Unconfirmed { .. })), "{told:?}");
    assert_eq!(world.get("a").await, Some(2));
}

async fn a_namespace_of_meanwhile_holds_nothing_older(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    let mut late = None;
    let done = world.database.transaction(async |tx| {
        run(tx, "insert into other values (1)").await?;
        let query = SqlQuery {
            text: "select id from other where id in {keys}".into(),
            params: columns(&["id:integer"]),
            ..SqlQuery::default()
        };
        let source = SqlSource::open(&world.database, query).await.unwrap();
        let builder = world.engine.namespace::<Blob>("late").key("late:{id:integer}").ttl(secs(3_600));
        let built = builder.depends_on(Rows::of("main", "other")).source(source).build().unwrap();
        assert!(built.get(1).await.unwrap().is_none());
        late = Some(built);
        Ok::<_, DatabaseError>(())
    });
    assert!(done.await.unwrap().whole_tables.iter().map(|table| &**table).eq(["other"]));
    assert!(late.unwrap().get(1).await.unwrap().is_some(), "nobody watched it when the transaction began");
}
