//! Declared queries on a real PostgreSQL server, each test in a database of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use forebay::namespace::pattern::Pattern;
use forebay::rt::Clock;
use forebay::value::{Param, Version};
use forebay::{LoadKey, Source};
use forebay_stores::database::{Database, DatabaseError, DatabaseOptions, Migration};
use forebay_stores::source::sql::{SqlError, SqlQuery, SqlSource};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;

use crate::sql::{columns, load, text};
use crate::withstanding::withstand;
use forebay_simulated::proxy::Proxy;

/// The address of a new database.
pub async fn new_database() -> String {
    let url = xtask::services::url("postgres").unwrap();
    let server = PgPool::connect(&url).await.unwrap();
    let name = format!("forebay_{:016x}", fastrand::u64(..));
    sqlx::query(AssertSqlSafe(format!("create database {name}"))).execute(&server).await.unwrap();
    url.rsplit_once('/').unwrap().0.to_owned() + "/" + &name
}

/// The address of a new database with the schema `sql`.
async fn address(sql: &'static str) -> String {
    let own = new_database().await;
    let database = Database::open(&DatabaseOptions::postgres(own.parse().unwrap(), 1)).await.unwrap();
    sqlx::raw_sql(sql).execute(database.postgres().unwrap()).await.unwrap();
    own
}

/// The options of a new database with the schema `sql`.
pub async fn options(sql: &'static str) -> DatabaseOptions {
    DatabaseOptions::postgres(address(sql).await.parse().unwrap(), 4)
}

async fn database(sql: &'static str) -> Database {
    Database::open(&options(sql).await).await.unwrap()
}

fn query(text: &str, params: &[&str]) -> SqlQuery {
    SqlQuery { text: text.into(), params: columns(params), ..SqlQuery::default() }
}

fn row(text: &str) -> Option<String> {
    Some(text.to_owned())
}

const QUOTES: &str = "create table quotes (code text primary key, name varchar(40), price numeric(12, 4), volume bigint);
    insert into quotes values ('600000', '浦发银行', 11.2, 9007199254740993), ('000001', E'a \"b\"\\n', null, -1);";

#[tokio::test]
async fn one_query_serves_one_key_and_many_in_the_order_asked() {
    let database = database(QUOTES).await;
    let declared = SqlQuery {
        decimals: BTreeMap::from([("price".into(), 2)]),
        ..query("select code, name, price, volume from quotes where code in {keys}", &["code"])
    };
    let source = SqlSource::open(&database, declared).await.unwrap();
    let pufa = r#"{"code":"600000","name":"浦发银行","price":11.20,"volume":9007199254740993}"#;
    let pingan = r#"{"code":"000001","name":"a \"b\"\n","price":null,"volume":-1}"#;
    let keys = [text("000001"), text("none"), text("600000"), text("' or 1=1 --"), text("000001")];
    assert_eq!(load(&source, &keys).await.unwrap(), [row(pingan), None, row(pufa), None, row(pingan)]);
    assert_eq!(load(&source, &[text("600000")]).await.unwrap(), [row(pufa)]);
}

#[tokio::test]
async fn a_query_may_end_in_a_comment_or_a_semicolon() {
    let database = database(QUOTES).await;
    for end in [" -- all of them", ";", " ;\n"] {
        let text_of = format!("select code from quotes where code in {{keys}}{end}");
        let source = SqlSource::open(&database, query(&text_of, &["code"])).await.unwrap();
        assert!(load(&source, &[text("600000")]).await.unwrap()[0].is_some(), "{end:?}");
    }
}

#[tokio::test]
async fn tuples_and_every_type_of_parameter_are_bound() {
    let sql = "create table bars (code text, day integer, owner uuid, label text, primary key (code, day));
        insert into bars values ('a', 1, '00000000-0000-0000-0000-00000000000a', 'x'), ('a', 2, null, 'y'), ('1', 1, null, null);";
    let database = database(sql).await;
    let bars = query("select code, day from bars where (code, day) in {keys}", &["code", "day:integer"]);
    let source = SqlSource::open(&database, bars).await.unwrap();
    let key = |code: &str, day| LoadKey { params: vec![Param::Text(code.into()), Param::Integer(day)] };
    let answers = load(&source, &[key("a", 2), key("1", 1), key("b", 1)]).await.unwrap();
    assert_eq!(answers, [row(r#"{"code":"a","day":2}"#), row(r#"{"code":"1","day":1}"#), None]);

    let id = "00000000-0000-0000-0000-00000000000a";
    let as_uuid = query("select owner, day from bars where owner in {keys}", &["owner:uuid"]);
    let source = SqlSource::open(&database, as_uuid).await.unwrap();
    assert_eq!(load(&source, &[text(id)]).await.unwrap(), [row(&format!(r#"{{"owner":"{id}","day":1}}"#))]);
    let as_text = query("select label from bars where label in {keys}", &["label:uuid"]);
    let source = SqlSource::open(&database, as_text).await.unwrap();
    assert_eq!(load(&source, &[text("y")]).await.unwrap(), [row(r#"{"label":"y"}"#)]);
}

#[tokio::test]
async fn every_type_comes_out_as_a_reader_expects() {
    let sql = r#"create type mood as enum ('sad', 'happy');
        create table t (id text, small smallint, yes boolean, raw bytea, exact numeric, near float8, far float8, at timestamptz,
            local timestamp, day date, doc json, docb jsonb, tags text[], nested int[][], mood mood, owner uuid, "we ird" text);
        insert into t values ('a', 7, true, '\x00ff', 12345678901234567890.123456789, 0.1, 'Infinity', '2026-11-21 12:30:00.25+02',
            '2026-11-21 12:30:00', '2026-11-21', '{"b":1,  "a":2}', '{"b":1}', '{x,null,"y,z"}', '{{1,2},{3,4}}', 'happy',
            '00000000-0000-0000-0000-00000000000a', 'q');"#;
    let database = database(sql).await;
    let source =
        SqlSource::open(&database, query("select * from t where id in {keys}", &["id"])).await.unwrap();
    let wanted = concat!(
        r#"{"id":"a","small":7,"yes":true,"raw":"AP8=","exact":12345678901234567890.123456789,"near":0.1,"far":null,"#,
        r#""at":"2026-11-21T10:30:00.25+00:00","local":"2026-11-21T12:30:00","day":"2026-11-21","doc":{"b":1,  "a":2},"#,
        r#""docb":{"b": 1},"tags":["x",null,"y,z"],"nested":[[1,2],[3,4]],"mood":"happy","#,
        r#""owner":"00000000-0000-0000-0000-00000000000a","we ird":"q"}"#,
    );
    assert_eq!(load(&source, &[text("a")]).await.unwrap(), [row(wanted)]);
}

#[tokio::test]
async fn versions_and_tags_come_from_columns() {
    let sql = "create table shelved (code text, shelf varchar(9), room integer, seq bigint, weight float8);
        insert into shelved values ('a', 'top', 7, 9007199254740993, 1.5), ('b', null, 7, null, 2.5);";
    let database = database(sql).await;
    let plain = || query("select * from shelved where code in {keys}", &["code"]);
    let tags = ["all", "on:{shelf}", "{room}/{code}"].map(|tag| Pattern::parse(tag).unwrap());
    let declared = SqlQuery { version: Some("seq".into()), tags: tags.to_vec(), ..plain() };
    let source = SqlSource::open(&database, declared).await.unwrap();
    let answers = source.load("test", &[text("a"), text("b")]).await.unwrap();
    let told: Vec<_> = answers
        .into_iter()
        .flatten()
        .map(|loaded| (loaded.version, loaded.tags.iter().map(|tag| tag.to_string()).collect::<Vec<_>>()))
        .collect();
    let wanted =
        [(Some(Version(9_007_199_254_740_993)), vec!["all", "on:top", "7/a"]), (None, vec!["all", "7/b"])];
    assert_eq!(told, wanted.map(|(version, tags)| (version, tags.into_iter().map(str::to_owned).collect())));
    let inexact = SqlSource::open(&database, SqlQuery { version: Some("weight".into()), ..plain() }).await;
    assert!(matches!(inexact.unwrap_err(), SqlError::VersionType { column } if column == "weight"));
}

#[tokio::test]
async fn a_query_that_cannot_work_is_refused_when_it_is_opened() {
    let database = database(QUOTES).await;
    for (text, params, told) in [
        ("select nope from quotes where code in {keys}", &["code"][..], "nope"),
        ("select name from quotes where code in {keys}", &["code"], "gives no column `code`"),
        ("select code from quotes where (code, name) in {keys}", &["code"], "too few columns"),
        ("select code from quotes where volume in {keys}", &["code"], "operator does not exist"),
        ("select code from quotes where code in {keys} and name = $9", &["code"], "parameter"),
        ("select q.code, q.code from quotes q where code in {keys}", &["code"], "several columns `code`"),
    ] {
        let error = SqlSource::open(&database, query(text, params)).await.unwrap_err();
        assert!(error.to_string().contains(told), "{text}: {error}");
    }
}

/// What the server is working at in this database, beside the one who asks.
async fn working(database: &Database) -> i64 {
    let asked = "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' and pid <> pg_backend_pid()";
    sqlx::query_scalar(asked).fetch_one(database.postgres().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_load_that_nobody_waits_for_stops_on_the_server() {
    let database = database(QUOTES).await;
    let slow = query("select code, pg_sleep(60)::text as slept from quotes where code in {keys}", &["code"]);
    let source = SqlSource::open(&database, slow).await.unwrap();
    let keys = [text("600000")];
    let clock = Clock::default();
    assert!(clock.timeout(Duration::from_millis(300), source.load("test", &keys)).await.is_err());
    let given_up = clock.now();
    while working(&database).await > 0 {
        assert!(clock.now().since(given_up) < Duration::from_secs(20), "the server goes on");
        clock.sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_given_up_and_may_be_tried_again() {
    let options = DatabaseOptions { statement_timeout: Duration::from_millis(200), ..options(QUOTES).await };
    let database = Database::open(&options).await.unwrap();
    let slow = query("select code, pg_sleep(60)::text as slept from quotes where code in {keys}", &["code"]);
    let source = SqlSource::open(&database, slow).await.unwrap();
    let failed = source.load("test", &[text("600000")]).await.unwrap_err();
    assert!(failed.retry && failed.to_string().contains("statement timeout"), "{failed}");
}

#[tokio::test]
async fn what_is_lost_for_good_and_what_comes_back_are_told_apart() {
    let database = database(QUOTES).await;
    let source = SqlSource::open(&database, query("select code from quotes where code in {keys}", &["code"]));
    let source = source.await.unwrap();
    let pool = database.postgres().unwrap();
    sqlx::raw_sql("drop table quotes").execute(pool).await.unwrap();
    let failed = source.load("test", &[text("600000")]).await.unwrap_err();
    assert!(!failed.retry, "{failed}");
    sqlx::raw_sql(QUOTES).execute(pool).await.unwrap();
    let end_all = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    sqlx::raw_sql(end_all).execute(pool).await.unwrap();
    // Each connection of the pool may tell of its end once.
    let mut loaded = source.load("test", &[text("600000")]).await;
    for _ in 0..4 {
        let Err(failed) = &loaded else { break };
        assert!(failed.retry, "a lost connection may pass: {failed}");
        loaded = source.load("test", &[text("600000")]).await;
    }
    assert!(loaded.unwrap()[0].is_some());
}

#[tokio::test]
async fn migrations_are_applied_once() {
    let database = database("").await;
    let first = Migration {
        version: 1,
        name: "things",
        sqlite: "",
        postgres: Some("create table things (id bigint primary key)"),
    };
    let second = Migration {
        version: 2,
        name: "names",
        sqlite: "",
        postgres: Some("alter table things add column name text"),
    };
    database.migrate(&[first]).await.unwrap();
    database.migrate(&[first, second]).await.unwrap();
    database.migrate(&[first, second]).await.unwrap();
    assert!(database.sqlite().is_err_and(|error| matches!(error, DatabaseError::Dialect { .. })));
    let shown =
        format!("{:?}", "postgres://user:secret@host/db".parse::<forebay_stores::database::Url>().unwrap());
    assert_eq!(shown, "postgres://user@host:5432/db");
    let url = |text: &str| text.parse::<forebay_stores::database::Url>().unwrap();
    assert_eq!(url("postgres://user:a@host/db"), url("postgres://user:a@host:5432/db"));
    assert_ne!(url("postgres://user:a@host/db"), url("postgres://user:b@host/db"), "another password");
}

#[tokio::test]
async fn the_engine_withstands_a_broken_database() {
    let address = address(QUOTES).await;
    let (login, rest) = address.split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let server = tokio::net::lookup_host(server).await.unwrap().next().unwrap();
    let proxy = Proxy::before(server).await;
    let url = format!("{login}@{}/{name}", proxy.address);
    let source = async || {
        let database = Database::open(&DatabaseOptions::postgres(url.parse().unwrap(), 4)).await.unwrap();
        let asked = query("select code, name from quotes where code in {keys}", &["code"]);
        SqlSource::open(&database, asked).await.unwrap()
    };
    withstand(&proxy, "600000", source().await, source().await).await;
}
