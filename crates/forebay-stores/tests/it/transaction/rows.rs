//! Which rows a transaction has changed: noted by SQLite, told on PostgreSQL, or whole tables.

use forebay::feed::{Changed, Rows};
use forebay::{Blob, Tier, secs};
use forebay_stores::database::{DatabaseError, Dialect};
use forebay_stores::source::sql::{SqlQuery, SqlSource};

use super::{SCHEMA, World, on_both, raw, row, run};
use crate::sql::columns;

on_both! {
    a_row_that_moves_is_read_under_both_keys
    what_changes_a_table_in_any_way_is_known
    more_rows_than_are_told_one_by_one_are_the_table
    what_a_trigger_changes_is_known
    who_may_be_made_of_any_table_hears_of_all
}

async fn a_row_that_moves_is_read_under_both_keys(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    assert_eq!((world.get("a").await, world.get("new").await), (Some(1), None));
    assert_eq!(world.get("b").await, Some(1));
    let done = world.database.transaction(async |tx| {
        run(tx, "update prices set code = 'new' where code = 'a'").await?;
        if tx.postgres().is_ok() {
            tx.changed(Changed::updated("prices", row("a"), row("new")));
        }
        Ok::<_, DatabaseError>(())
    });
    assert!(done.await.unwrap().whole_tables.is_empty());
    assert_eq!(world.tier("b").await, Tier::Memory);
    assert_eq!((world.get("a").await, world.get("new").await), (None, Some(1)));
}

/// Whatever changes the table, and nothing is told of it.
async fn what_changes_a_table_in_any_way_is_known(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    let both = [
        ("update prices set price = 2 where code = 'a'", Some(2)),
        ("delete from prices", None),
        ("insert into prices values ('a', 3, null)", Some(3)),
        ("insert into prices values ('a', 3, null) on conflict (code) do update set price = 4", Some(4)),
        (
            "alter table prices rename to was; create table prices (code text primary key, price bigint, note text)",
            None,
        ),
        ("drop table prices; alter table was rename to prices", Some(4)),
        ("create view shown as select * from prices; update prices set price = 5", Some(5)),
    ];
    let own: &[(&str, Option<i64>)] = match dialect {
        Dialect::Sqlite => &[
            (
                "create unique index notes on prices (note); update prices set note = 'n' where code = 'a'",
                Some(5),
            ),
            // It takes away the row of `a`, and tells of none.
            ("insert or replace into prices values ('z', 1, 'n')", None),
            ("replace into prices values ('a', 6, null)", Some(6)),
            ("savepoint s; update prices set price = 7; release s", Some(7)),
            ("update PRICES set \"PRICE\" = 8 where code = 'a'", Some(8)),
        ],
        Dialect::Postgres => &[
            ("truncate prices", None),
            ("copy_in", Some(6)),
            ("do $$ begin update prices set price = 7; end $$", Some(7)),
            ("savepoint s; update prices set price = 8; release s", Some(8)),
            ("with x as (update prices set price = 9 returning 1) select * from x", Some(9)),
        ],
    };
    for &(sql, wanted) in both.iter().chain(own) {
        let sql = if sql == "copy_in" { "insert into public.prices select 'a', 6, null" } else { sql };
        world.get("a").await;
        world.change(sql).await;
        assert_eq!(world.get("a").await, wanted, "{sql}");
    }
}

async fn more_rows_than_are_told_one_by_one_are_the_table(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    let many = |n: u32| {
        format!(
            "with recursive n(n) as (select 1 union all select n + 1 from n where n < {n})
            insert into prices select 'n' || n, 1, null from n"
        )
    };
    for (rows, is_whole) in [(500, false), (2_000, true)] {
        let sql = many(rows);
        assert_eq!(world.get("c").await, Some(1));
        assert_eq!(world.get("n2000").await, None);
        let done = world.database.transaction(async |tx| {
            run(tx, &sql).await?;
            if tx.postgres().is_ok() {
                for at in 1..=rows {
                    tx.changed(Changed::inserted("prices", row(&format!("n{at}"))));
                }
            }
            run(tx, "delete from other").await?;
            Ok::<_, DatabaseError>(())
        });
        let told = done.await.unwrap();
        assert_eq!(told.whole_tables.iter().map(|table| &**table).eq(["prices"]), is_whole, "{told:?}");
        assert_eq!(world.tier("c").await == Tier::Memory, !is_whole);
        assert_eq!(world.get("n2000").await, is_whole.then_some(1));
        raw(&world.database, "delete from prices where code like 'n%'").await;
        world.prices.invalidate_all().await.unwrap();
    }
}

/// A table of which nothing is told is changed by a change of another.
async fn what_a_trigger_changes_is_known(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    raw(
        &world.database,
        match dialect {
            Dialect::Sqlite => {
                "create trigger follows after insert on other begin update prices set price = new.id; end;
                create unique index notes on prices (note);"
            }
            Dialect::Postgres => {
                "create function follow() returns trigger language plpgsql as
                    $$ begin update prices set price = new.id; return null; end $$;
                create constraint trigger follows after insert on other deferrable initially deferred
                    for each row execute function follow();"
            }
        },
    )
    .await;
    assert_eq!(world.get("a").await, Some(1));
    world.change("insert into other values (2)").await;
    assert_eq!(world.get("a").await, Some(2));
    if dialect == Dialect::Sqlite {
        // With triggers of its own in the file, what is replaced is not noted.
        world.change("update prices set note = 'n' where code = 'a'").await;
        assert_eq!(world.get("a").await, Some(2));
        let told = world.change("insert or replace into prices values ('z', 1, 'n')").await;
        assert_eq!(world.get("a").await, None);
        assert_eq!(told.whole_tables.len(), 1);
    }
}

async fn who_may_be_made_of_any_table_hears_of_all(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    let query = SqlQuery {
        text: "select code, (select count(*) from other) as price from prices where code in {keys}".into(),
        params: columns(&["code"]),
        ..SqlQuery::default()
    };
    let source = SqlSource::open(&world.database, query).await.unwrap();
    let builder = world.engine.namespace::<Blob>("counted").key("counted:{code}").ttl(secs(3_600));
    let counted = builder.depends_on(Rows::of_any("main")).source(source).build().unwrap();
    let count = async || super::price(&counted.get("a").await.unwrap().unwrap());
    assert_eq!((count().await, world.get("a").await), (Some(0), Some(1)));
    world.change("delete from other").await;
    assert_eq!(counted.get_with_outcome("a").await.unwrap().1.tier, Tier::Memory, "nothing was written");
    let told = world.change("insert into other values (1)").await;
    assert!(told.whole_tables.is_empty(), "{told:?}");
    assert_eq!(count().await, Some(1));
    assert_eq!(world.tier("a").await, Tier::Memory, "another table");
}

/// Prices that are rows of another server, which is the same one.
pub const FOREIGN: &str = "create table beneath (code text primary key, price bigint not null, note text);
    insert into beneath values ('a', 1, null), ('b', 1, null);
    create table other (id bigint primary key);
    create extension postgres_fdw;
    do $$ begin execute format(
        'create server self foreign data wrapper postgres_fdw options (host ''127.0.0.1'', port %L, dbname %L)',
        current_setting('port'), current_database()); end $$;
    create user mapping for current_user server self options (user 'postgres');
    create foreign table prices (code text, price bigint, note text) server self options (table_name 'beneath');";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_foreign_table_are_known() {
    let world = World::on(Dialect::Postgres, FOREIGN).await;
    assert_eq!(world.get("a").await, Some(1));
    let told = world.change("update prices set price = 2 where code = 'a'").await;
    assert!(told.whole_tables.iter().map(|table| &**table).eq(["prices"]), "{told:?}");
    assert_eq!(world.get("a").await, Some(2));
    world.change("insert into other values (1); update prices set price = 3").await;
    assert_eq!(world.get("a").await, Some(3));
    world.change("select * from prices; delete from other where id = 7").await;
    assert_eq!(world.tier("a").await, Tier::Memory, "it was read alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_is_known_for_one_beside_a_table_of_its_name() {
    let schema = "create table beneath (code text primary key, price bigint not null, note text);
        insert into beneath values ('a', 1, null);
        create view prices as select * from beneath;
        create schema archive;
        create table archive.prices (code text primary key, price bigint not null, note text);
        create table other (id bigint primary key);";
    let world = World::on(Dialect::Postgres, schema).await;
    assert_eq!(world.get("a").await, Some(1));
    world.change("update beneath set price = 2").await;
    assert_eq!(world.get("a").await, Some(2));
    world.change("set local search_path = archive; update public.beneath set price = 3").await;
    assert_eq!(world.get("a").await, Some(3));
}
