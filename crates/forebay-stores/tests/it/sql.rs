//! Declared queries: keys bound, rows matched, values as a reader expects them.

use std::collections::BTreeMap;
use std::time::Duration;

use forebay::namespace::pattern::Pattern;
use forebay::rt::Clock;
use forebay::value::{Param, Version};
use forebay::{LoadKey, Loaded, Source, SourceError};
use forebay_stores::database::{Database, DatabaseOptions};
use forebay_stores::source::sql::{KeyColumn, SqlError, SqlQuery, SqlSource};

use crate::{open, options};

async fn database(folder: &tempfile::TempDir, sql: &'static str) -> Database {
    let database = open(folder).await;
    sqlx::raw_sql(sql).execute(database.sqlite().unwrap()).await.unwrap();
    database
}

fn query(text: &str, params: &[&str], decimals: &[(&str, u8)]) -> SqlQuery {
    SqlQuery {
        text: text.into(),
        params: columns(params),
        decimals: decimals.iter().map(|&(name, scale)| (name.into(), scale)).collect::<BTreeMap<_, _>>(),
        ..SqlQuery::default()
    }
}

/// Columns of a key, as a pattern writes its parameters.
pub fn columns(params: &[&str]) -> Vec<KeyColumn> {
    params
        .iter()
        .flat_map(|param| KeyColumn::all_of(&Pattern::parse(&format!("{{{param}}}")).unwrap()))
        .collect()
}

pub fn text(value: &str) -> LoadKey {
    LoadKey { params: vec![Param::Text(value.into())] }
}

pub async fn load(source: &SqlSource, keys: &[LoadKey]) -> Result<Vec<Option<String>>, SourceError> {
    let answers = source.load("test", keys).await?;
    Ok(answers
        .into_iter()
        .map(|answer| {
            answer
                .map(|loaded| String::from_utf8(loaded.value.as_blob().unwrap().as_bytes().to_vec()).unwrap())
        })
        .collect())
}

const QUOTES: &str = "create table quotes (code text primary key, name text, price text, volume integer);
    insert into quotes values ('600000', '浦发银行', '11.2', 9007199254740993), ('000001', 'a \"b\"\n', null, -1);";

#[tokio::test]
async fn one_query_serves_one_key_and_many_in_the_order_asked() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder, QUOTES).await;
    let text_of = "select code, name, price, volume from quotes where code in {keys}";
    let source = SqlSource::open(&database, query(text_of, &["code"], &[("price", 2)])).await.unwrap();
    let pufa = r#"{"code":"600000","name":"浦发银行","price":11.20,"volume":9007199254740993}"#;
    let pingan = r#"{"code":"000001","name":"a \"b\"\n","price":null,"volume":-1}"#;
    assert_eq!(load(&source, &[text("600000")]).await.unwrap(), [Some(pufa.to_owned())]);
    let keys = [text("000001"), text("none"), text("600000"), text("' or 1=1 --"), text("000001")];
    let wanted = [Some(pingan.to_owned()), None, Some(pufa.to_owned()), None, Some(pingan.to_owned())];
    assert_eq!(load(&source, &keys).await.unwrap(), wanted);
}

#[tokio::test]
async fn tuples_are_bound_as_rows_and_integers_stay_integers() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "create table bars (code text, day integer, close real, primary key (code, day));
        insert into bars values ('a', 1, 1.5), ('a', 2, 2.5), ('1', 1, 3.5);";
    let database = database(&folder, sql).await;
    let text_of = "select * from bars where (code, day) in {keys}";
    let source = SqlSource::open(&database, query(text_of, &["code", "day:integer"], &[])).await.unwrap();
    let key = |code: &str, day| LoadKey { params: vec![Param::Text(code.into()), Param::Integer(day)] };
    let answers = load(&source, &[key("a", 2), key("1", 1), key("b", 1)]).await.unwrap();
    let row = |text: &str| Some(text.to_owned());
    assert_eq!(
        answers,
        [row(r#"{"code":"a","day":2,"close":2.5}"#), row(r#"{"code":"1","day":1,"close":3.5}"#), None]
    );
}

#[tokio::test]
async fn a_key_without_parameters_takes_the_one_row() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder, QUOTES).await;
    let source =
        SqlSource::open(&database, query("select count(*) as n from quotes", &[], &[])).await.unwrap();
    assert_eq!(load(&source, &[LoadKey { params: vec![] }]).await.unwrap(), [Some(r#"{"n":2}"#.to_owned())]);
}

#[tokio::test]
async fn booleans_and_bytes_come_out_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "create table t (id text, open boolean, raw blob); insert into t values ('a', 1, x'00ff');";
    let database = database(&folder, sql).await;
    let source =
        SqlSource::open(&database, query("select * from t where id in {keys}", &["id"], &[])).await.unwrap();
    let row = r#"{"id":"a","open":true,"raw":"AP8="}"#;
    assert_eq!(load(&source, &[text("a")]).await.unwrap(), [Some(row.to_owned())]);
}

#[tokio::test]
async fn a_decimal_that_would_lose_digits_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "create table t (id text, p text, r real); insert into t values ('long', '1.234', 0), ('real', '1', 1.5);";
    let database = database(&folder, sql).await;
    let source =
        SqlSource::open(&database, query("select * from t where id in {keys}", &["id"], &[("p", 2)]))
            .await
            .unwrap();
    let error = load(&source, &[text("long")]).await.unwrap_err();
    assert!(error.to_string().contains("1.234"), "{error}");
    let source =
        SqlSource::open(&database, query("select * from t where id in {keys}", &["id"], &[("r", 2)]))
            .await
            .unwrap();
    let error = load(&source, &[text("real")]).await.unwrap_err();
    assert!(error.to_string().contains("inexact"), "{error}");
}

#[tokio::test]
async fn two_rows_for_one_key_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder, "create table t (id text); insert into t values ('a'), ('a');").await;
    let source =
        SqlSource::open(&database, query("select id from t where id in {keys}", &["id"], &[])).await.unwrap();
    let error = load(&source, &[text("a")]).await.unwrap_err();
    assert!(error.to_string().contains("more than one row"), "{error}");
}

#[tokio::test]
async fn a_query_that_cannot_work_is_refused_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder, QUOTES).await;
    let open = async |text: &str, params: &[&str], decimals: &[(&str, u8)]| {
        SqlSource::open(&database, query(text, params, decimals)).await.unwrap_err()
    };
    let error = open("select nope from quotes where code in {keys}", &["code"], &[]).await;
    assert!(error.to_string().contains("nope"), "{error}");
    let error = open("select name from quotes where code in {keys}", &["code"], &[]).await;
    assert!(matches!(&error, SqlError::KeyColumn { column } if column == "code"), "{error}");
    let error = open("select code from quotes where code in {keys}", &["code"], &[("price", 2)]).await;
    assert!(matches!(&error, SqlError::DecimalColumn { column } if column == "price"), "{error}");
}

#[tokio::test]
async fn a_lost_table_is_an_error_that_stays() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder, QUOTES).await;
    let text_of = "select code from quotes where code in {keys}";
    let source = SqlSource::open(&database, query(text_of, &["code"], &[])).await.unwrap();
    sqlx::raw_sql("drop table quotes").execute(database.sqlite().unwrap()).await.unwrap();
    let error = load(&source, &[text("600000")]).await.unwrap_err();
    assert!(!error.retry, "{error}");
}

const SHELVES: &str =
    "create table shelved (code text primary key, shelf text, room integer, seq integer, weight real);
    insert into shelved values ('a', 'top', 7, 9007199254740993, 1.5), ('b', null, 7, null, 2.5);";

#[tokio::test]
async fn versions_and_tags_come_from_columns() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder, SHELVES).await;
    let tags = ["all", "on:{shelf}", "{room}/{code}"].map(|tag| Pattern::parse(tag).unwrap());
    let declared = SqlQuery {
        version: Some("seq".into()),
        tags: tags.to_vec(),
        ..query("select * from shelved where code in {keys}", &["code"], &[])
    };
    let source = SqlSource::open(&database, declared).await.unwrap();
    assert!(source.gives_tags());
    let mut answers = source.load("test", &[text("a"), text("b"), text("c")]).await.unwrap().into_iter();
    let of = |loaded: Loaded| {
        (loaded.version, loaded.tags.iter().map(|tag| tag.to_string()).collect::<Vec<_>>().join(" "))
    };
    let mut next = || answers.next().unwrap().map(of);
    assert_eq!(next(), Some((Some(Version(9_007_199_254_740_993)), "all on:top 7/a".into())));
    assert_eq!(next(), Some((None, "all 7/b".into())), "NULL is no version and belongs to no group");
    assert_eq!(next(), None);
}

#[tokio::test]
async fn versions_are_integers_and_tags_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder, SHELVES).await;
    let plain = || query("select * from shelved where code in {keys}", &["code"], &[]);
    let tag = |tag: &str| vec![Pattern::parse(tag).unwrap()];
    for (declared, told) in [
        (
            SqlQuery { version: Some("weight".into()), ..plain() },
            "holds the inexact number 1.5: store versions",
        ),
        (SqlQuery { version: Some("shelf".into()), ..plain() }, "holds \"top\": store versions as integers"),
        (SqlQuery { tags: tag("w:{weight}"), ..plain() }, "holds the inexact number 1.5: tags are made of"),
    ] {
        let source = SqlSource::open(&database, declared).await.unwrap();
        let failed = source.load("test", &[text("a")]).await.unwrap_err();
        assert!(failed.to_string().contains(told) && !failed.retry, "{failed}");
    }
    assert!(!SqlSource::open(&database, plain()).await.unwrap().gives_tags());
    let no_column = SqlSource::open(&database, SqlQuery { version: Some("no".into()), ..plain() }).await;
    assert!(matches!(no_column.unwrap_err(), SqlError::VersionColumn { column } if column == "no"));
    let no_column = SqlSource::open(&database, SqlQuery { tags: tag("x:{no}"), ..plain() }).await;
    assert!(matches!(no_column.unwrap_err(), SqlError::TagColumn { column, .. } if column == "no"));
}

/// A query that would run for hours.
const ENDLESS: &str =
    "with recursive up (n) as (select 1 union all select n + 1 from up where n < 100000000000)
    select code, (select count(*) from up) as n from quotes where code in {keys}";

#[tokio::test]
async fn a_statement_that_takes_too_long_stops_and_its_connection_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let filled = database(&folder, QUOTES).await;
    let few =
        DatabaseOptions { pool_max: 1, statement_timeout: Duration::from_millis(100), ..options(&folder) };
    let database = Database::open(&few).await.unwrap();
    let endless = SqlSource::open(&database, query(ENDLESS, &["code"], &[])).await.unwrap();
    let text_of = "select code from quotes where code in {keys}";
    let quick = SqlSource::open(&database, query(text_of, &["code"], &[])).await.unwrap();
    let failed = endless.load("test", &[text("600000")]).await.unwrap_err();
    assert!(failed.retry && failed.to_string().contains("interrupted"), "{failed}");
    assert!(load(&quick, &[text("600000")]).await.unwrap()[0].is_some());
    // What is done by other means on the same connection has no such limit.
    let count = "with recursive up (n) as (select 1 union all select n + 1 from up where n < 3000000) select count(*) from up";
    let counted: i64 = sqlx::query_scalar(count).fetch_one(database.sqlite().unwrap()).await.unwrap();
    assert_eq!(counted, 3_000_000);
    drop(filled);
}

#[tokio::test]
async fn a_load_that_nobody_waits_for_stops() {
    let folder = tempfile::tempdir().unwrap();
    let filled = database(&folder, QUOTES).await;
    let few = DatabaseOptions { pool_max: 1, ..options(&folder) };
    let database = Database::open(&few).await.unwrap();
    let endless = SqlSource::open(&database, query(ENDLESS, &["code"], &[])).await.unwrap();
    let text_of = "select code from quotes where code in {keys}";
    let quick = SqlSource::open(&database, query(text_of, &["code"], &[])).await.unwrap();
    let (keys, clock) = ([text("600000")], Clock::default());
    assert!(clock.timeout(Duration::from_millis(200), endless.load("test", &keys)).await.is_err());
    let loaded = clock.timeout(Duration::from_secs(5), load(&quick, &keys)).await;
    assert!(loaded.unwrap().unwrap()[0].is_some());
    // It has let go of the file: a checkpoint that waits for readers ends.
    let emptied = "pragma wal_checkpoint(truncate)";
    let given_up = clock.now();
    loop {
        let busy: (i64, i64, i64) =
            sqlx::query_as(emptied).fetch_one(filled.sqlite().unwrap()).await.unwrap();
        if busy.0 == 0 {
            break;
        }
        assert!(clock.now().since(given_up) < Duration::from_secs(10), "it still reads");
        clock.sleep(Duration::from_millis(10)).await;
    }
}
