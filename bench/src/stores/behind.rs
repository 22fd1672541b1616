//! `behind`: 64 writers whose writes go behind, until the last row is in the database, beside one committed INSERT a write.
//!
//! Each write is a row of its own. Ours is acknowledged once its journal is synced, and timed until every row is in the table; the
//! journal, the sink and the database have their defaults. The peer is what a service does by hand: the same 64 writers over a
//! pool, each row inserted and committed for itself. SQLite gets one connection, which its single writer is fastest with, and
//! PostgreSQL one for each of 16, as many as our sink's pool may have. Every commit of every contestant is synced.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay::namespace::pattern::Pattern;
use forebay::{BehindOptions, Blob, Forebay, Namespace, Writes, load_one};
use forebay_stores::database::{Database, DatabaseOptions, Dialect};
use forebay_stores::journal::{FileJournal, JournalOptions};
use forebay_stores::sink::sql::{REMEMBERED, SqlSink, SqlStatements};
use forebay_stores::source::sql::KeyColumn;
use tokio::task::JoinSet;

use super::{now, per_second, runtime, store};
use crate::error::Error;
use crate::report::{Better, Comparison};
use crate::{Extent, Settings};

pub(crate) const MEASURES: &str =
    "64 writers behind, each acknowledged after a sync, until the last row is in the database";
pub(crate) const GOAL: &str = "ratio >= 20 to one committed INSERT a write";

const WRITERS: u32 = 64;
/// Connections of each pool.
const POOL: u32 = 16;
const TABLE: &str = "create table if not exists orders (id bigint primary key, customer text, total text)";
const INSERT: &str = "insert into orders (id, customer, total) values ";

/// Writes of one writer: ours, and the peer's.
fn writes(extent: Extent) -> (u32, u32) {
    match extent {
        Extent::Full => (2_000, 60),
        Extent::Quick => (200, 10),
    }
}

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("orders.db");
    compare(out, settings, folder.path(), &DatabaseOptions::sqlite(path, POOL))?;
    match &settings.postgres {
        Some(address) => {
            let options = DatabaseOptions::postgres(address.parse().map_err(store)?, POOL);
            compare(out, settings, folder.path(), &options)
        }
        None => Ok(writeln!(out, "# no PostgreSQL to write to: give --postgres URL")?),
    }
}

fn compare(
    out: &mut dyn Write,
    settings: &Settings,
    folder: &Path,
    options: &DatabaseOptions,
) -> Result<(), Error> {
    let runtime = runtime()?;
    let (ours, theirs) = writes(settings.extent);
    runtime.block_on(async {
        let database = Database::open(options).await.map_err(store)?;
        let name = match database.dialect() {
            Dialect::Sqlite => "behind-sqlite",
            _ => "behind-postgresql",
        };
        let by_hand = by_hand(options).await?;
        let mut rates = [Vec::new(), Vec::new()];
        let [of_ours, of_theirs] = &mut rates;
        for round in 0..3 {
            empty(&database).await?;
            of_ours.push(behind(&database, &folder.join(format!("{name}-{round}")), ours).await?);
            empty(&database).await?;
            of_theirs.push(inserts(&by_hand, theirs).await?);
        }
        for rates in [&*of_ours, of_theirs] {
            writeln!(out, "# {name}: {rates:.0?} writes/s")?;
        }
        let [ours, theirs] = rates.map(median);
        let (peer, unit, better, goal) = ("insert", "writes/s", Better::More, 20.0);
        Ok(writeln!(out, "{}", Comparison { bench: name, ours, peer, theirs, unit, better, goal })?)
    })
}

/// The database as the peer opens it: every commit is synced.
async fn by_hand(options: &DatabaseOptions) -> Result<Database, Error> {
    let database = Database::open(options).await.map_err(store)?;
    if database.dialect() != Dialect::Sqlite {
        return Ok(database);
    }
    let options = DatabaseOptions { pool_max: 1, pool_warm: 1, ..options.clone() };
    let database = Database::open(&options).await.map_err(store)?;
    execute(&database, "pragma synchronous = full").await?;
    Ok(database)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

async fn execute(database: &Database, sql: &'static str) -> Result<(), Error> {
    match database.dialect() {
        Dialect::Sqlite => {
            sqlx::raw_sql(sql).execute(database.sqlite().map_err(store)?).await.map_err(store)?;
        }
        _ => {
            sqlx::raw_sql(sql).execute(database.postgres().map_err(store)?).await.map_err(store)?;
        }
    }
    Ok(())
}

async fn empty(database: &Database) -> Result<(), Error> {
    execute(database, TABLE).await?;
    execute(
        database,
        if database.dialect() == Dialect::Sqlite { "delete from orders" } else { "truncate orders" },
    )
    .await
}

/// How many rows there are.
async fn count(database: &Database) -> Result<u64, Error> {
    let sql = "select count(*) from orders";
    let count: i64 = match database.dialect() {
        Dialect::Sqlite => sqlx::query_scalar(sql).fetch_one(database.sqlite().map_err(store)?).await,
        _ => sqlx::query_scalar(sql).fetch_one(database.postgres().map_err(store)?).await,
    }
    .map_err(store)?;
    Ok(count.unsigned_abs())
}

async fn is_whole(database: &Database, rows: u32) -> Result<(), Error> {
    match count(database).await? {
        found if found == u64::from(rows) => Ok(()),
        found => Err(Error::Unanswered { cache: "behind", found, wanted: rows.into() }),
    }
}

fn customer(id: u32) -> String {
    format!("customer {}", id % 977)
}

/// A namespace that writes its orders behind.
pub(super) async fn orders(database: &Database, journal: &Path) -> Result<(Forebay, Namespace<Blob>), Error> {
    let params = KeyColumn::all_of(&Pattern::parse("order:{id:integer}").map_err(store)?);
    let conflict = "on conflict (id) do update set customer = excluded.customer, total = excluded.total";
    let write = format!("{INSERT}{{rows}} {conflict}");
    let delete = Some("delete from orders where id in {keys}".to_owned());
    let statements = SqlStatements { write, delete, params, remember: REMEMBERED };
    let sink = SqlSink::open(database, statements).await.map_err(store)?;
    let journal = FileJournal::open(journal, JournalOptions::default()).await.map_err(store)?;
    let engine = Forebay::new()?;
    let orders = engine
        .namespace::<Blob>("orders")
        .key("order:{id:integer}")
        .ttl(Duration::from_secs(60))
        .source(load_one(async |_: i64| Ok::<Option<Blob>, std::convert::Infallible>(None)))
        .writes(Writes::Behind)
        .sink(sink)
        .behind(Arc::new(journal), BehindOptions::default())
        .build()?;
    Ok((engine, orders))
}

pub(super) fn order(id: u32) -> Blob {
    Blob::json(format!(r#"{{"customer":"{}","total":"{}.90"}}"#, customer(id), id % 89))
}

/// Writes a second of ours.
async fn behind(database: &Database, journal: &Path, each: u32) -> Result<f64, Error> {
    let (_engine, orders) = orders(database, journal).await?;
    let start = now();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let orders = orders.clone();
        writers.spawn(async move {
            for number in 0..each {
                let id = number * WRITERS + writer;
                orders.set(i64::from(id), order(id), 64).await?;
            }
            Ok::<_, forebay::Error>(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done.map_err(store)??;
    }
    if !orders.flush_writes(Duration::from_secs(300)).await {
        return Err(store("the writes were not applied within 5 minutes"));
    }
    let took = start.elapsed();
    is_whole(database, each * WRITERS).await?;
    Ok(per_second(each * WRITERS, took))
}

/// Writes a second of the peer.
async fn inserts(database: &Database, each: u32) -> Result<f64, Error> {
    let sql = "insert into orders (id, customer, total) values ($1, $2, $3)";
    let start = now();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let database = database.clone();
        writers.spawn(async move {
            for number in 0..each {
                let id = number * WRITERS + writer;
                let (customer, total) = (customer(id), format!("{}.90", id % 89));
                let id = i64::from(id);
                match database.dialect() {
                    Dialect::Sqlite => {
                        let insert = sqlx::query(sql).bind(id).bind(customer).bind(total);
                        insert.execute(database.sqlite().map_err(store)?).await.map_err(store)?;
                    }
                    _ => {
                        let insert = sqlx::query(sql).bind(id).bind(customer).bind(total);
                        insert.execute(database.postgres().map_err(store)?).await.map_err(store)?;
                    }
                }
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done.map_err(store)??;
    }
    let took = start.elapsed();
    is_whole(database, each * WRITERS).await?;
    Ok(per_second(each * WRITERS, took))
}
