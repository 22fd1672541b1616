//! Queries that list keys, and what stands on them: no key is passed over, on either database, however its column orders it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use forebay::feed::{Changed, Rows};
use forebay::rt::Clock;
use forebay::value::Param;
use forebay::{Blob, FilterOptions, Forebay, LoadKey, Source, Warm, secs};
use forebay_stores::database::{Database, DatabaseOptions, Dialect};
use forebay_stores::source::sql::{SqlError, SqlQuery, SqlSource};

use crate::sql::columns;
use crate::transaction::{raw, row, run, task, until};

const BOTH: [Dialect; 2] = [Dialect::Sqlite, Dialect::Postgres];

async fn database(dialect: Dialect, schema: &str) -> (Database, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = match dialect {
        Dialect::Sqlite => DatabaseOptions::sqlite(folder.path().join("main.db"), 4),
        Dialect::Postgres => {
            DatabaseOptions::postgres(crate::postgres::new_database().await.parse().unwrap(), 4)
        }
    };
    let database = Database::open(&options).await.unwrap();
    raw(&database, schema).await;
    (database, folder)
}

async fn listing(database: &Database, list: &str, params: &[&str]) -> Result<SqlSource, SqlError> {
    let names: Vec<&str> = params.iter().map(|param| param.split(':').next().unwrap()).collect();
    let wheres = match names.as_slice() {
        [one] => (*one).to_owned(),
        several => format!("({})", several.join(", ")),
    };
    let query = SqlQuery {
        text: format!("select {} from t where {wheres} in {{keys}}", names.join(", ")),
        params: columns(params),
        list: Some(list.into()),
        ..SqlQuery::default()
    };
    SqlSource::open(database, query).await
}

/// All that a source lists, in pages of `page`, each key once or more.
async fn all(source: &SqlSource, page: usize) -> Vec<String> {
    let (mut keys, mut last): (Vec<String>, Option<LoadKey>) = (Vec::new(), None);
    for _ in 0..1_000 {
        let next = source.list("t", last.as_ref(), page).unwrap().await.unwrap();
        if next.is_empty() {
            return keys;
        }
        keys.extend(next.iter().map(shown));
        last = next.into_iter().next_back();
    }
    panic!("it never ends");
}

fn shown(key: &LoadKey) -> String {
    let text = |param: &Param| match param {
        Param::Text(text) => text.clone(),
        Param::Integer(number) => format!("#{number}"),
    };
    key.params.iter().map(text).collect::<Vec<_>>().join("|")
}

async fn listed(dialect: Dialect, schema: &str, params: &[&str], wanted: &[&str]) {
    let (database, _folder) = database(dialect, schema).await;
    let names: Vec<&str> = params.iter().map(|param| param.split(':').next().unwrap()).collect();
    let source = listing(&database, &format!("select {} from t;", names.join(", ")), params).await.unwrap();
    for page in [1, 2, 3, 100] {
        let found = all(&source, page).await;
        let once: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(once, wanted.iter().copied().collect(), "{dialect:?} {schema} in pages of {page}");
    }
}

#[tokio::test]
async fn every_key_is_listed_however_long_a_page_is() {
    for dialect in BOTH {
        let codes = "create table t (code text); insert into t values ('b'), ('a'), (null), ('b'), ('000001'), ('B'), ('é'), ('');";
        listed(dialect, codes, &["code"], &["", "000001", "B", "a", "b", "é"]).await;
        let bars = "create table t (code text, day bigint);
            insert into t values ('a', 2), ('a', 10), ('b', -1), (null, 3), ('c', null), ('a', 9007199254740993);";
        let wanted = ["a|#10", "a|#2", "a|#9007199254740993", "b|#-1"];
        listed(dialect, bars, &["code", "day:integer"], &wanted).await;
    }
}

#[tokio::test]
async fn a_column_of_another_type_is_listed_by_its_text() {
    let schema = "create table t (code integer); insert into t values (600000), (1), (20), (3);";
    listed(Dialect::Sqlite, schema, &["code"], &["1", "20", "3", "600000"]).await;
    let schema = "create table t (code); insert into t values ('x'), (1), ('2'), (null), (x'00');";
    listed(Dialect::Sqlite, schema, &["code"], &["1", "2", "x"]).await;
    let schema = "create table t (id text); insert into t values ('10'), ('9'), ('-1');";
    listed(Dialect::Sqlite, schema, &["id:integer"], &["#-1", "#10", "#9"]).await;
    let schema = "create table t (id numeric); insert into t values (10), (9), (7.5), (-1);";
    listed(Dialect::Postgres, schema, &["id:integer"], &["#-1", "#10", "#9"]).await;
    let schema = "create table t (id smallint); insert into t values (10), (9), (-1);";
    listed(Dialect::Postgres, schema, &["id:integer"], &["#-1", "#10", "#9"]).await;
    let schema = "create table t (code char(4)); insert into t values ('b'), ('a'), ('abcd');";
    listed(Dialect::Postgres, schema, &["code"], &["a", "abcd", "b"]).await;
    let (a, b) = ("00000000-0000-0000-0000-00000000000a", "f0000000-0000-0000-0000-00000000000b");
    let uuids = format!("create table t (id uuid); insert into t values ('{b}'), ('{a}');");
    listed(Dialect::Postgres, &uuids, &["id:uuid"], &[a, b]).await;
}

#[tokio::test]
async fn texts_that_a_collation_takes_for_equal_are_all_listed() {
    let schema =
        "create table t (code text collate nocase); insert into t values ('a'), ('A'), ('b'), ('B'), ('Ab');";
    listed(Dialect::Sqlite, schema, &["code"], &["A", "Ab", "B", "a", "b"]).await;
    let schema = "create collation same (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        create table t (code text collate same); insert into t values ('a'), ('A'), ('b'), ('B'), ('Ab');";
    listed(Dialect::Postgres, schema, &["code"], &["A", "Ab", "B", "a", "b"]).await;
}

#[tokio::test]
async fn rows_that_are_no_keys_do_not_end_a_listing() {
    let id = "c0000000-0000-0000-0000-00000000000a";
    let schema = format!(
        "create table t (id text); insert into t values ('a'), ('b'), ('{}'), ('{id}'), ('d'), ('x');",
        id.to_uppercase()
    );
    for dialect in BOTH {
        listed(dialect, &schema, &["id:uuid"], &[id]).await;
    }
}

#[tokio::test]
async fn a_listing_that_cannot_work_is_refused_and_says_why() {
    for dialect in BOTH {
        let (database, _folder) = database(dialect, "create table t (code text, name text);").await;
        for (list, wanted) in [
            ("select name from t", "the query that lists the keys: the query gives no column `code`"),
            ("select code, name as code from t", "several columns `code`"),
            ("select code from nowhere", "nowhere"),
        ] {
            let error = listing(&database, list, &["code"]).await.unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
    let (database, _folder) =
        database(Dialect::Sqlite, "create table t (id integer); insert into t values (1), ('x');").await;
    let source = listing(&database, "select id from t", &["id:integer"]).await.unwrap();
    let error = source.list("t", None, 10).unwrap().await.unwrap_err().to_string();
    assert!(error.contains("write `cast(id as text) as id`"), "{error}");
}

const QUOTES: &str = "create table quotes (code text primary key, price bigint not null);
    insert into quotes values ('a', 1), ('b', 1), ('c', 1);";

/// An engine over quotes, of which its transactions are the only writer.
async fn quotes(dialect: Dialect, clock: &Clock) -> (Database, forebay::Namespace<Blob>, tempfile::TempDir) {
    let (database, folder) = database(dialect, QUOTES).await;
    let query = SqlQuery {
        text: "select code, price from quotes where code in {keys}".into(),
        params: columns(&["code"]),
        list: Some("select code from quotes".into()),
        preferred: Some("select code from quotes order by price desc, code desc limit 2".into()),
        ..SqlQuery::default()
    };
    let source = SqlSource::open(&database, query).await.unwrap();
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    let quotes = engine.namespace::<Blob>("quotes").key("stock:{code}").ttl(secs(3_600));
    let quotes = quotes.load_timeout(secs(86_400)).source(source);
    let quotes = quotes.membership(FilterOptions { keys: 100_000, false_positives: 0.001 });
    let quotes = quotes.depends_on(Rows::of("main", "quotes").told_by_writers()).build().unwrap();
    (database.feeding(&engine, "main"), quotes, folder)
}

/// Adds a row, in one of the ways in which a transaction may.
async fn add(database: &Database, code: &str, tells: bool) {
    let insert = format!("insert into quotes values ('{code}', 1)");
    let added = database.transaction(async |tx| {
        if tells {
            tx.changed(Changed::inserted("quotes", row(code)));
        }
        run(tx, &insert).await
    });
    added.await.unwrap();
}

/// Codes that are added one by one while they are read and the filter is built again and again: whoever reads one after its
/// transaction has returned finds it.
async fn added_under_readers(dialect: Dialect) {
    let clock = Clock::simulated();
    let (database, quotes, _folder) = quotes(dialect, &clock).await;
    let next = Arc::new(AtomicU64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut working = Vec::new();
    for reader in 0..8_u64 {
        let (quotes, next, is_over) = (quotes.clone(), Arc::clone(&next), Arc::clone(&is_over));
        working.push(task(async move {
            let mut reads = 0_u64;
            while !is_over.load(Ordering::SeqCst) {
                let code = next.load(Ordering::SeqCst) + reader % 3;
                quotes.get(format!("n{code}").as_str()).await.unwrap();
                reads += 1;
                tokio::task::yield_now().await;
            }
            reads
        }));
    }
    let is_adding = || !is_over.load(Ordering::SeqCst);
    let building = async {
        while is_adding() {
            until("the filter is built", async || {
                clock.advance(secs(1));
                quotes.membership().unwrap().is_ready || !is_adding()
            })
            .await;
            // It denies for a while before it is built again.
            let since = next.load(Ordering::SeqCst);
            until("codes are added", async || next.load(Ordering::SeqCst) > since + 3 || !is_adding()).await;
            quotes.invalidate_all().await.unwrap();
        }
    };
    let adding = async {
        for number in 0..400_u64 {
            next.store(number, Ordering::SeqCst);
            let code = format!("n{number}");
            add(&database, &code, dialect == Dialect::Sqlite || number % 8 != 0).await;
            let found = quotes.get(code.as_str()).await.unwrap();
            assert!(found.is_some(), "{dialect:?}: {code} was added, and is unknown");
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(building, adding);
    let mut reads = 0;
    for (tasks, done) in working {
        reads += done.await.unwrap();
        drop(tasks);
    }
    let denied = quotes.counts().membership_refusals;
    let builds = quotes.membership().unwrap().builds;
    assert!(reads > 1_000 && denied > 100 && builds > 10, "{reads} reads, {denied} denied, {builds} builds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_code_that_was_added_is_never_unknown_while_the_filter_is_built() {
    for dialect in BOTH {
        added_under_readers(dialect).await;
    }
}

#[tokio::test]
async fn what_the_source_prefers_is_warmed_in_its_order() {
    for dialect in BOTH {
        let (_database, quotes, _folder) = quotes(dialect, &Clock::default()).await;
        let warmed = quotes.warm(Warm { preferred: true, ..Warm::default() }).unwrap().finished().await;
        assert_eq!((warmed.known, warmed.done), (2, 2));
        let held = ["a", "b", "c"].map(|code| quotes.read_now(format!("stock:{code}").as_bytes()).is_some());
        assert_eq!(held, [false, true, true]);
        let all = quotes.warm(Warm { listing: true, ..Warm::default() }).unwrap().finished().await;
        assert_eq!((all.known, all.done), (3, 3));
    }
}
