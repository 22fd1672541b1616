//! Transactions one after the other: what became of one, or was done between two, does not keep the next from knowing what it changes.

use std::time::Duration;

use forebay::feed::{Changed, Rows};
use forebay::rt::Clock;
use forebay::{Blob, Tier, secs};
use forebay_stores::database::{DatabaseError, Dialect};
use forebay_stores::source::sql::{SqlQuery, SqlSource};

use super::{SCHEMA, World, on_both, raw, row, run};
use crate::sql::columns;

on_both! {
    after_one_that_was_rolled_back
    after_one_that_changed_too_much_to_be_told
    after_a_change_of_the_schema_by_somebody_else
    after_a_namespace_came_to_be
    after_a_dropped_one
}

/// Sets the price of `a`, and tells that.
async fn set(world: &World, price: i64) {
    let sql = format!("update prices set price = {price} where code = 'a'");
    assert_eq!(world.get("b").await, Some(1));
    let done = world.database.transaction(async |tx| {
        run(tx, &sql).await?;
        if tx.postgres().is_ok() {
            tx.changed(Changed::updated("prices", row("a"), row("a")));
        }
        Ok::<_, DatabaseError>(())
    });
    assert!(done.await.unwrap().whole_tables.is_empty());
    assert_eq!(world.get("a").await, Some(price));
    assert_eq!(world.tier("b").await, Tier::Memory, "another row");
}

async fn after_one_that_was_rolled_back(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    assert_eq!(world.get("a").await, Some(1));
    for price in [2, 3] {
        let failed = world.database.transaction(async |tx| {
            run(tx, "update prices set price = 9").await?;
            run(tx, "select nothing from nowhere").await
        });
        assert!(failed.await.is_err());
        assert_eq!(world.get("a").await, Some(price - 1));
        set(&world, price).await;
    }
}

async fn after_one_that_changed_too_much_to_be_told(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    let many = "with recursive n(n) as (select 1 union all select n + 1 from n where n < 2000)
        insert into prices select 'n' || n, 1, null from n";
    assert_eq!(world.change(many).await.whole_tables.len(), 1);
    set(&world, 2).await;
}

async fn after_a_change_of_the_schema_by_somebody_else(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    set(&world, 2).await;
    for schema in [
        "alter table prices add column more bigint; update prices set price = 1",
        "drop table prices; create table prices (note text, price bigint not null, code text primary key);
            insert into prices values (null, 1, 'a'), (null, 1, 'b')",
    ] {
        raw(&world.database, schema).await;
        world.prices.invalidate_all().await.unwrap();
        assert_eq!(world.get("a").await, Some(1));
        set(&world, 2).await;
    }
}

async fn after_a_namespace_came_to_be(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    set(&world, 2).await;
    raw(&world.database, "update prices set note = 'm' where code = 'b'").await;
    // By another column of the same table.
    let query = SqlQuery {
        text: "select note, price from prices where note in {keys}".into(),
        params: columns(&["note"]),
        ..SqlQuery::default()
    };
    let source = SqlSource::open(&world.database, query).await.unwrap();
    let builder = world.engine.namespace::<Blob>("notes").key("note:{note}").ttl(secs(3_600));
    let notes = builder.depends_on(Rows::of("main", "prices")).source(source).build().unwrap();
    assert!(notes.get("n").await.unwrap().is_none());
    assert!(notes.get("m").await.unwrap().is_some());
    world.change("update prices set note = 'n' where code = 'a'").await;
    assert!(notes.get("n").await.unwrap().is_some());
    if dialect == Dialect::Sqlite {
        assert_eq!(notes.get_with_outcome("m").await.unwrap().1.tier, Tier::Memory, "another row");
    }
}

async fn after_a_dropped_one(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    set(&world, 2).await;
    let never = world.database.transaction(async |tx| {
        run(tx, "update prices set price = 9").await?;
        std::future::pending::<Result<(), DatabaseError>>().await
    });
    assert!(Clock::default().timeout(Duration::from_millis(50), never).await.is_err());
    set(&world, 3).await;
}

/// Rows that the connection of a transaction has written before it, on SQLite.
async fn written_before(world: &World) -> i64 {
    let asked = world.database.transaction(async |tx| {
        let count = sqlx::query_scalar("select total_changes()").fetch_one(tx.sqlite()?);
        Ok::<i64, DatabaseError>(count.await?)
    });
    asked.await.unwrap().value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_same_connection() {
    let world = World::on(Dialect::Sqlite, SCHEMA).await;
    set(&world, 2).await;
    let before = written_before(&world).await;
    assert!(before > 0);
    let failed = world.database.transaction(async |_| Err::<(), _>("no"));
    assert!(failed.await.is_err());
    assert_eq!(written_before(&world).await, before, "also after one that was rolled back");
    raw(&world.database, "create table more (id)").await;
    assert_eq!(written_before(&world).await, 0, "a new schema, a new connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_one_that_took_the_triggers_away() {
    let world = World::on(Dialect::Sqlite, SCHEMA).await;
    set(&world, 2).await;
    world.change("drop trigger temp.forebay_0_update").await;
    set(&world, 3).await;
    world
        .change("drop table temp.forebay_changes; create temp table forebay_changes (id, place, old, new)")
        .await;
    set(&world, 4).await;
    assert_eq!(world.get("a").await, Some(4));
    world.change("drop trigger temp.forebay_0_update; update prices set price = 5 where code = 'a'").await;
    assert_eq!(world.get("a").await, Some(5), "what is changed after that in one transaction");
    set(&world, 6).await;
}

/// What `replace` takes away is known, whatever becomes of how that is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_one_that_set_what_triggers_fire() {
    let world = World::on(Dialect::Sqlite, SCHEMA).await;
    raw(&world.database, "create unique index notes on prices (note); update prices set note = code").await;
    let replaced = async |code: &str, sql: &'static str| {
        assert_eq!(world.get(code).await, Some(1));
        world.change(sql).await;
        assert_eq!(world.get(code).await, None, "{sql}");
    };
    replaced("a", "replace into prices values ('x', 1, 'a')").await;
    let own = "pragma recursive_triggers = off; replace into prices values ('y', 1, 'b')";
    replaced("b", own).await;
    replaced("c", "replace into prices values ('z', 1, 'c')").await;
    let follows = "create trigger follows after insert on other begin update prices set price = new.id; end";
    raw(&world.database, follows).await;
    replaced("x", "replace into prices values ('w', 1, 'a')").await;
}
