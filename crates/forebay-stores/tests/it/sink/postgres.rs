//! On a PostgreSQL server.

use std::time::Duration;

use forebay::rt::Clock;
use forebay::{Sink, SinkError};
use forebay_stores::database::{Database, DatabaseOptions, Dialect};
use forebay_stores::sink::sql::{OpenError, SqlSink};

use super::{DELETE, WRITE, apply, put, rows, run, schema, statements};
use crate::postgres::options;

async fn database() -> Database {
    let database = Database::open(&options("").await).await.unwrap();
    run(&database, &schema(Dialect::Postgres)).await;
    database
}

const ONE: &str = r#"{"price": 1, "volume": 1, "name": "n"}"#;

#[tokio::test]
async fn a_connection_lost_before_the_commit_has_done_nothing() {
    let database = database().await;
    let sink = SqlSink::open(&database, statements(WRITE, Some(DELETE), &["code"])).await.unwrap();
    let end = "create function hang_up() returns trigger language plpgsql as
        $$ begin perform pg_terminate_backend(pg_backend_pid()); return new; end $$;
        create trigger hang_up after insert on quotes for each row when (new.code = 'end') execute function hang_up()";
    run(&database, end).await;
    let told = apply(&sink, &[put(1, "end", ONE), put(2, "other", ONE)]).await;
    assert!(told.iter().all(|told| told.starts_with("Failed")), "{told:?}");
    assert!(rows(&database, "select code from quotes").await.is_empty());
}

#[tokio::test]
async fn a_connection_lost_within_the_commit_is_told_as_unknown() {
    let database = database().await;
    let sink = SqlSink::open(&database, statements(WRITE, Some(DELETE), &["code"])).await.unwrap();
    // `set constraints all immediate` is given back by the trigger, so that it runs at the commit.
    let end = "create function hang_up() returns trigger language plpgsql as
        $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
        create function put_off() returns trigger language plpgsql as $$ begin set constraints all deferred; return new; end $$;
        create constraint trigger hang_up after insert on quotes deferrable initially deferred for each row execute function hang_up();
        create trigger put_off before insert on quotes for each row execute function put_off()";
    run(&database, end).await;
    let told = apply(&sink, &[put(1, "end", ONE)]).await;
    assert!(told[0].starts_with("Unknown"), "{told:?}");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_fails_and_leaves_nothing() {
    let options = DatabaseOptions { statement_timeout: Duration::from_millis(200), ..options("").await };
    let database = Database::open(&options).await.unwrap();
    run(&database, &schema(Dialect::Postgres)).await;
    let sink = SqlSink::open(&database, statements(WRITE, Some(DELETE), &["code"])).await.unwrap();
    let slow = "create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return new; end $$;
        create trigger wait before insert on quotes for each row execute function wait()";
    run(&database, slow).await;
    let told = apply(&sink, &[put(1, "a", ONE)]).await;
    assert!(told[0].starts_with("Failed") && told[0].contains("statement timeout"), "{told:?}");
}

/// Of two writes one is refused at the commit, so that each is applied by itself; then the other takes too long.
#[tokio::test]
async fn a_connection_with_an_open_transaction_does_not_go_back() {
    let statement_timeout = Duration::from_millis(500);
    let options = DatabaseOptions { statement_timeout, pool_max: 1, ..options("").await };
    let database = Database::open(&options).await.unwrap();
    run(&database, &schema(Dialect::Postgres)).await;
    let sink = SqlSink::open(&database, statements(WRITE, Some(DELETE), &["code"])).await.unwrap();
    let slow = "create sequence attempts;
        create function refuse() returns trigger language plpgsql as
            $$ begin raise exception 'never' using errcode = '23514'; end $$;
        create function put_off() returns trigger language plpgsql as $$ begin set constraints all deferred; return new; end $$;
        create constraint trigger refuse after insert on quotes deferrable initially deferred for each row
            when (new.code = 'bad') execute function refuse();
        create trigger put_off before insert on quotes for each row execute function put_off();
        create function wait() returns trigger language plpgsql as
            $$ begin if nextval('attempts') > 2 then perform pg_sleep(60); end if; return new; end $$;
        create trigger wait before insert on quotes for each row when (new.code = 'slow') execute function wait()";
    run(&database, slow).await;
    let (lines, _guard) = crate::withstanding::Lines::of_this_thread();
    let told = apply(&sink, &[put(1, "bad", ONE), put(2, "slow", ONE)]).await;
    assert!(told[0].starts_with("Refused") && told[1].starts_with("Failed"), "{told:?}");
    assert_eq!(lines.with("the sink fails"), 1);
    assert_eq!(apply(&sink, &[put(3, "next", ONE)]).await, ["ok"], "it met a transaction of another");
    assert_eq!(rows(&database, "select code from quotes").await, ["next"]);
    assert_eq!(lines.with("the sink answers again"), 1);
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_stops_on_the_server() {
    let database = database().await;
    let sink = SqlSink::open(&database, statements(WRITE, Some(DELETE), &["code"])).await.unwrap();
    let slow = "create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return new; end $$;
        create trigger wait before insert on quotes for each row when (new.name = 'slow') execute function wait()";
    run(&database, slow).await;
    let clock = Clock::default();
    let writes = [put(1, "a", r#"{"price": 1, "volume": 1, "name": "slow"}"#)];
    assert!(clock.timeout(Duration::from_millis(300), sink.apply("quotes", &writes)).await.is_err());
    // The id of the dropped call is waited for, and then taken: the same write in another form stands for its next attempt.
    let begun = clock.now();
    let again: Vec<Result<_, SinkError>> = sink.apply("quotes", &[put(1, "a", ONE)]).await;
    assert!(again[0].is_ok(), "{again:?}");
    assert!(clock.now().since(begun) < Duration::from_secs(20), "the server went on");
    assert_eq!(rows(&database, "select name from quotes").await, ["n"]);
}

#[tokio::test]
async fn types_are_read_as_their_columns_are_declared() {
    let database = database().await;
    let sql = "create type mood as enum ('sad', 'happy');
        create table t (id uuid primary key, exact numeric, at timestamptz, doc jsonb, tags text[], mood mood, yes boolean, \"We ird\" text)";
    run(&database, sql).await;
    let write = "insert into t (id, exact, at, doc, tags, mood, yes, \"We ird\") values {rows}";
    let declared = statements(write, Some("delete from t where id in {keys}"), &["id:uuid"]);
    let sink = SqlSink::open(&database, declared).await.unwrap();
    let id = "00000000-0000-0000-0000-00000000000a";
    let json = r#"{"exact": 12345678901234567890.123456789, "at": "2026-11-21T10:30:00Z", "doc": {"a": [1]}, "tags": ["x", null, "y,z"], "mood": "happy", "yes": true, "We ird": "q'\\"}"#;
    assert_eq!(apply(&sink, &[put(1, id, json)]).await, ["ok"]);
    let held =
        r#"select concat_ws('|', id, exact, at at time zone 'UTC', doc, tags, mood, yes, "We ird") from t"#;
    let wanted = format!(
        "{id}|12345678901234567890.123456789|2026-11-21 10:30:00|{{\"a\": [1]}}|{{x,NULL,\"y,z\"}}|happy|t|q'\\"
    );
    assert_eq!(rows(&database, held).await, [wanted]);
    let told =
        apply(&sink, &[put(2, "00000000-0000-0000-0000-00000000000b", &json.replace("happy", "odd"))]).await;
    assert!(told[0].starts_with("Refused") && told[0].contains("mood"), "{told:?}");
    assert_eq!(apply(&sink, &[super::delete(3, id)]).await, ["ok"]);
    assert!(rows(&database, "select id::text from t").await.is_empty());
}

/// Members of all kinds, in JSON.
const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1.0",
    "1.5",
    "1e2",
    "1e999",
    "40000",
    "3000000000",
    "99999999999999999999",
    r#""""#,
    r#"" 12 ""#,
    r#""+7""#,
    r#""-0""#,
    r#""1_000""#,
    r#""0x1f""#,
    r#""x""#,
    r#""1x""#,
    r#""NaN""#,
    r#""-Infinity""#,
    r#""inf""#,
    r#"".5""#,
    r#""null""#,
    r#""tr""#,
    r#"" YES ""#,
    r#""o""#,
    r#""of""#,
    r#""on""#,
    r#""AP8=""#,
    r#""AP8""#,
    r#""AP9=""#,
    r#""AP\n8=""#,
    r#""a\u0000b""#,
    r#""\u0000""#,
    r#""00000000-0000-0000-0000-00000000000a""#,
    r#""{0000000000000000000000000000000a}""#,
    r#""0000-0000-0000-0000-0000-0000-0000-000g""#,
    "[]",
    "{}",
    "[1]",
    r#"{"a":1}"#,
];

/// Kinds of columns, and members that each is known not to take.
const KINDS: &[(&str, &str)] = &[
    ("smallint", r#"true 1.5 40000 "x" {}"#),
    ("integer", r#"true 1.5 3000000000 "x" {}"#),
    ("bigint", r#"true 1.5 99999999999999999999 "x" {}"#),
    ("real", r#"true "x" {}"#),
    ("double precision", r#"true "x" {}"#),
    ("numeric", r#"true "x" {}"#),
    ("boolean", r#"1.5 "x" {}"#),
    ("uuid", r#"1 "x" {}"#),
    ("text", r#""a\u0000b""#),
    ("varchar(64)", r#""a\u0000b""#),
    ("bytea", r#"1 "x" {}"#),
    ("jsonb", ""),
    ("timestamptz", ""),
];

/// What is refused without asking the server is refused by the server too; and the plain cases are found.
#[tokio::test]
async fn nothing_is_refused_beforehand_that_the_server_takes() {
    let database = database().await;
    let mut found = Vec::new();
    for (number, (kind, certain)) in KINDS.iter().enumerate() {
        // A connection knows the statements of a table by their text, so each has a table of its own.
        let table = format!("t{number}");
        run(&database, &format!("create table {table} (code text primary key, v {kind})")).await;
        let write = format!("insert into {table} (code, v) values {{rows}}");
        let declared = statements(&write, None, &["code"]);
        let sink = SqlSink::open(&database, declared).await.unwrap();
        let mut refused = Vec::new();
        for value in VALUES {
            let write = put(1, "a", &format!(r#"{{"v": {value}}}"#));
            if super::checked(&sink, &write) == "ok" {
                continue;
            }
            refused.push(*value);
            let sql = match *kind {
                "bytea" => "select decode($1::json ->> 'v', 'base64')".to_owned(),
                _ => format!("select v from json_populate_record(null::{table}, $1::json)"),
            };
            let json = format!(r#"{{"v": {value}}}"#);
            let taken =
                sqlx::query(sqlx::AssertSqlSafe(sql)).bind(json).execute(database.postgres().unwrap());
            // What is no text goes to a column of bytes on neither database.
            assert!(
                taken.await.is_err() || *kind == "bytea" && !value.starts_with('"'),
                "{kind} takes {value}"
            );
        }
        let missed: Vec<&str> =
            certain.split(' ').filter(|it| !it.is_empty() && !refused.contains(it)).collect();
        assert!(missed.is_empty(), "{kind} lets through {missed:?}");
        found.push(refused.len());
    }
    assert!(found.iter().sum::<usize>() > 100, "{found:?}");
}

#[tokio::test]
async fn who_may_not_make_the_table_is_told_what_to_run() {
    let options = options("").await;
    let database = Database::open(&options).await.unwrap();
    run(&database, &schema(Dialect::Postgres)).await;
    let role = format!("writer_{:016x}", fastrand::u64(..));
    run(&database, &format!("create role {role} login; grant select, insert, update, delete on quotes to {role}; revoke create on schema public from public"))
        .await;
    let pool = database.postgres().unwrap();
    let only = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    let as_role = pool.connect_options().as_ref().clone().username(&role);
    drop(only.connect_with(as_role).await.unwrap());
    let url = sqlx::ConnectOptions::to_url_lossy(&pool.connect_options().as_ref().clone().username(&role));
    let limited = Database::open(&DatabaseOptions::postgres(url.as_str().parse().unwrap(), 2)).await.unwrap();
    let error = SqlSink::open(&limited, statements(WRITE, Some(DELETE), &["code"])).await.unwrap_err();
    assert!(matches!(error, OpenError::NoTable { .. }), "{error}");
    assert!(error.to_string().contains("create table forebay_operations (id uuid"), "{error}");
    drop(SqlSink::open(&database, statements(WRITE, Some(DELETE), &["code"])).await.unwrap());
    let error = SqlSink::open(&limited, statements(WRITE, Some(DELETE), &["code"])).await.unwrap_err();
    assert!(matches!(error, OpenError::Table(_)), "{error}");
    run(&database, &format!("grant select, insert, update, delete on forebay_operations to {role}")).await;
    let sink = SqlSink::open(&limited, statements(WRITE, Some(DELETE), &["code"])).await.unwrap();
    assert_eq!(apply(&sink, &[put(1, "a", ONE)]).await, ["ok"]);
}

#[tokio::test]
async fn many_writes_are_applied_and_none_is_pasted() {
    let database = database().await;
    super::many_writes_are_applied_and_none_is_pasted(&database).await;
}

#[tokio::test]
async fn a_write_is_applied_once() {
    let database = database().await;
    super::a_write_is_applied_once(&database).await;
}

#[tokio::test]
async fn what_is_refused_is_refused_for_itself_only() {
    let database = database().await;
    super::what_is_refused_is_refused_for_itself_only(&database).await;
}

#[tokio::test]
async fn what_cannot_be_bound_is_told_beforehand() {
    let database = database().await;
    super::what_cannot_be_bound_is_told_beforehand(&database).await;
}

#[tokio::test]
async fn what_waits_for_the_commit_is_refused_for_itself_too() {
    let database = database().await;
    super::what_waits_for_the_commit_is_refused_for_itself_too(&database).await;
}

#[tokio::test]
async fn a_table_that_is_gone_fails_and_parks_nothing() {
    let database = database().await;
    super::a_table_that_is_gone_fails_and_parks_nothing(&database).await;
}

#[tokio::test]
async fn old_ids_are_forgotten_in_steps() {
    let database = database().await;
    super::old_ids_are_forgotten_in_steps(&database).await;
}

#[tokio::test]
async fn statements_that_cannot_work_are_refused_when_they_are_opened() {
    let database = database().await;
    super::statements_that_cannot_work_are_refused_when_they_are_opened(&database).await;
}

#[tokio::test]
async fn keys_of_several_parameters_and_columns_of_bytes() {
    let database = database().await;
    super::keys_of_several_parameters_and_columns_of_bytes(&database).await;
}

#[tokio::test]
async fn a_dropped_call_ends() {
    let database = database().await;
    super::a_dropped_call_ends(&database).await;
}
