//! Declared sinks. Those of statements are tested on both databases: each test is one function, run on a SQLite file and on a PostgreSQL
//! server.

mod crash;
mod http;
mod postgres;
mod sqlite;

use std::time::Duration;

use forebay::value::Param;
use forebay::writes::{Applied, Change, OperationId, SinkWrite};
use forebay::{Blob, LoadKey, Sink, Value};
use forebay_stores::database::{Database, Dialect};
use forebay_stores::sink::sql::{OpenError, REMEMBERED, SqlSink, SqlStatements};
use sqlx::AssertSqlSafe;

use crate::sql::columns;

pub fn statements(write: &str, delete: Option<&str>, params: &[&str]) -> SqlStatements {
    SqlStatements {
        write: write.into(),
        delete: delete.map(str::to_owned),
        params: columns(params),
        remember: REMEMBERED,
    }
}

pub const WRITE: &str = "insert into quotes (code, price, volume, name) values {rows}
    on conflict (code) do update set price = excluded.price, volume = excluded.volume, name = excluded.name";
pub const DELETE: &str = "delete from quotes where code in {keys}";

fn write(id: u128, code: &str, change: Change) -> SinkWrite {
    SinkWrite { id: OperationId::new(id), key: LoadKey { params: vec![Param::Text(code.into())] }, change }
}

pub fn put(id: u128, code: &str, json: &str) -> SinkWrite {
    write(id, code, Change::Put(Value::from(Blob::json(json))))
}

pub fn delete(id: u128, code: &str) -> SinkWrite {
    write(id, code, Change::Delete)
}

/// How each write ended: `ok`, or what is known of it and why.
pub async fn apply(sink: &impl Sink, writes: &[SinkWrite]) -> Vec<String> {
    let told = |outcome: Result<Applied, forebay::SinkError>| match outcome {
        Ok(applied) => {
            assert!(!applied.as_written, "a load may give more");
            "ok".to_owned()
        }
        Err(error) => format!("{:?}: {error}", error.effect),
    };
    sink.apply("quotes", writes).await.into_iter().map(told).collect()
}

/// What a query tells, as text, a line a row.
pub async fn rows(database: &Database, sql: &str) -> Vec<String> {
    let sql = AssertSqlSafe(sql.to_owned());
    match database.dialect() {
        Dialect::Sqlite => sqlx::query_scalar(sql).fetch_all(database.sqlite().unwrap()).await.unwrap(),
        Dialect::Postgres => sqlx::query_scalar(sql).fetch_all(database.postgres().unwrap()).await.unwrap(),
    }
}

pub async fn run(database: &Database, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    match database.dialect() {
        Dialect::Sqlite => drop(sqlx::raw_sql(sql).execute(database.sqlite().unwrap()).await.unwrap()),
        Dialect::Postgres => drop(sqlx::raw_sql(sql).execute(database.postgres().unwrap()).await.unwrap()),
    }
}

async fn quotes(database: &Database) -> Vec<String> {
    let sql = "select code || ' ' || coalesce(cast(price as text), 'null') || ' ' || coalesce(cast(volume as text), 'null') || ' ' || coalesce(name, 'null')
        from quotes order by code";
    rows(database, sql).await
}

/// `quotes` with a price of exact digits, positive volumes, and a count of how often a row was changed.
pub const QUOTES: &str = "create table quotes (code varchar(9) primary key check (length(code) < 9), price EXACT, volume bigint check (volume > 0), name text, changes integer not null default 0)";

/// A new database's schema in its dialect.
pub fn schema(dialect: Dialect) -> String {
    QUOTES.replace("EXACT", if dialect == Dialect::Sqlite { "text" } else { "numeric" })
}

async fn sink(database: &Database) -> SqlSink {
    SqlSink::open(database, statements(WRITE, Some(DELETE), &["code"])).await.unwrap()
}

async fn many_writes_are_applied_and_none_is_pasted(database: &Database) {
    let sink = sink(database).await;
    let writes = [
        put(
            1,
            "600000",
            r#"{"code": "another", "price": 123456789012345678.10, "volume": 9007199254740993, "name": "浦发'; drop table quotes --", "more": [1]}"#,
        ),
        put(2, "000001", r#"{"price": null, "volume": 7, "name": "a \"b\"\n"}"#),
        delete(3, "missing"),
    ];
    assert_eq!(apply(&sink, &writes).await, ["ok", "ok", "ok"]);
    let wanted = [
        "000001 null 7 a \"b\"\n",
        "600000 123456789012345678.10 9007199254740993 浦发'; drop table quotes --",
    ];
    assert_eq!(quotes(database).await, wanted);
    let again = [put(4, "000001", r#"{"price": 1.50, "volume": 8, "name": null}"#), delete(5, "600000")];
    assert_eq!(apply(&sink, &again).await, ["ok", "ok"]);
    assert_eq!(quotes(database).await, ["000001 1.50 8 null"]);
}

async fn a_write_is_applied_once(database: &Database) {
    let write = WRITE.replace("name = excluded.name", "name = excluded.name, changes = quotes.changes + 1");
    let sink = SqlSink::open(database, statements(&write, Some(DELETE), &["code"])).await.unwrap();
    let first = put(1, "a", r#"{"price": 1, "volume": 1, "name": "first"}"#);
    assert_eq!(apply(&sink, std::slice::from_ref(&first)).await, ["ok"]);
    let second = put(2, "a", r#"{"price": 2, "volume": 2, "name": "second"}"#);
    assert_eq!(apply(&sink, std::slice::from_ref(&second)).await, ["ok"]);
    // Both are tried again, the second with others, by another process: nothing goes back, nothing is counted twice.
    let sink = SqlSink::open(database, statements(&write, Some(DELETE), &["code"])).await.unwrap();
    assert_eq!(apply(&sink, &[first]).await, ["ok"]);
    let others =
        [put(3, "b", r#"{"price": 3, "volume": 3, "name": "third"}"#), second.clone(), delete(4, "c")];
    assert_eq!(apply(&sink, &others).await, ["ok", "ok", "ok"]);
    assert_eq!(quotes(database).await, ["a 2 2 second", "b 3 3 third"]);
    assert_eq!(rows(database, "select cast(changes as text) from quotes order by code").await, ["1", "0"]);
    assert_eq!(rows(database, "select cast(count(*) as text) from forebay_operations").await, ["4"]);
}

async fn what_is_refused_is_refused_for_itself_only(database: &Database) {
    let sink = sink(database).await;
    let json = |volume: i64| format!(r#"{{"price": 1, "volume": {volume}, "name": "n"}}"#);
    let mut writes: Vec<SinkWrite> =
        (0..40).map(|number| put(number, &format!("k{number:02}"), &json(1))).collect();
    writes[7] = put(7, "k07", &json(-1));
    writes[8] = put(8, "far too long a code", &json(1));
    writes[9] = put(9, "k09", r#"{"price": 1, "volume": 1}"#);
    writes[10] = put(10, "k10", "[]");
    writes[39] = put(39, "k39", &json(0));
    let told = apply(&sink, &writes).await;
    let refused: Vec<usize> = (0..40).filter(|at| told[*at] != "ok").collect();
    assert_eq!(refused, [7, 8, 9, 10, 39], "{told:?}");
    assert!(refused.iter().all(|at| told[*at].starts_with("Refused")), "{told:?}");
    assert!(told[7].to_lowercase().contains("check"), "{}", told[7]);
    assert!(told[9].contains("no member `name`"), "{}", told[9]);
    assert!(told[10].contains("no JSON object"), "{}", told[10]);
    assert_eq!(rows(database, "select cast(count(*) as text) from quotes").await, ["35"]);
    // What was refused has left no id: once it is allowed, it is applied.
    assert_eq!(rows(database, "select cast(count(*) as text) from forebay_operations").await, ["35"]);
    assert!(apply(&sink, &writes[7..8]).await[0].starts_with("Refused"));
}

/// What a sink says of a write before it is asked to apply it.
fn checked(sink: &impl Sink, write: &SinkWrite) -> String {
    match sink.check("quotes", &write.key, &write.change) {
        Ok(()) => "ok".into(),
        Err(unfit) => unfit.to_string(),
    }
}

async fn what_cannot_be_bound_is_told_beforehand(database: &Database) {
    let bytes = if database.dialect() == Dialect::Sqlite { "blob" } else { "bytea" };
    run(database, &format!("create table files (code text primary key, raw {bytes}, doc text)")).await;
    let declared = statements("insert into files (code, raw, doc) values {rows}", None, &["code"]);
    let sink = SqlSink::open(database, declared).await.unwrap();
    let opaque = write(1, "a", Change::Put(Value::from(Blob::opaque(r#"{"raw": "AP8=", "doc": null}"#))));
    for (write, told) in [
        (put(1, "a", r#"{"raw": "AP8=", "doc": "text", "more": 1}"#), "ok"),
        (opaque, "ok"),
        (put(1, "a", r#"{"raw": null, "doc": null}"#), "ok"),
        (put(1, "a", "plain"), "the value is no JSON object"),
        (put(1, "a", "[1]"), "the value is no JSON object"),
        (put(1, "a", r#"{"raw": null}"#), "the value has no member `doc`"),
        (put(1, "a", r#"{"raw": "no base64!", "doc": null}"#), "`raw`"),
        (put(1, "a", r#"{"raw": 12, "doc": null}"#), "`raw`"),
        (write(1, "a", Change::Put(Value::Counter(1))), "the value is no JSON object"),
        (write(1, "a", Change::Fields(vec![])), "a SQL sink writes whole values and deletes"),
        (delete(1, "a"), "the sink declares no `delete`"),
    ] {
        let said = checked(&sink, &write);
        assert!(said.contains(told), "{write:?}: {said}");
        // What it lets through can be bound, and what it does not is refused for the same reason.
        let applied = apply(&sink, std::slice::from_ref(&write)).await;
        let wanted = if said == "ok" { said } else { format!("Refused: {said}") };
        assert_eq!(applied, [wanted], "{write:?}");
        run(database, "delete from files").await;
        run(database, "delete from forebay_operations").await;
    }
}

async fn what_waits_for_the_commit_is_refused_for_itself_too(database: &Database) {
    run(database, "create table venues (name text primary key); insert into venues values ('xshg')").await;
    run(database, "create table listed (code text primary key, venue text references venues deferrable initially deferred)").await;
    if database.dialect() == Dialect::Sqlite {
        run(database, "pragma foreign_keys = on").await;
    }
    let write = "insert into listed (code, venue) values {rows}";
    let sink = SqlSink::open(database, statements(write, None, &["code"])).await.unwrap();
    let writes = [
        put(1, "a", r#"{"venue": "xshg"}"#),
        put(2, "b", r#"{"venue": "nowhere"}"#),
        put(3, "c", r#"{"venue": null}"#),
        delete(4, "d"),
    ];
    let told = apply(&sink, &writes).await;
    assert_eq!((told[0].as_str(), told[2].as_str()), ("ok", "ok"), "{told:?}");
    assert!(told[1].starts_with("Refused") && told[1].to_lowercase().contains("foreign key"), "{told:?}");
    assert!(told[3].contains("declares no `delete`"), "{told:?}");
    assert_eq!(rows(database, "select code from listed order by code").await, ["a", "c"]);
}

async fn a_table_that_is_gone_fails_and_parks_nothing(database: &Database) {
    let sink = sink(database).await;
    let writes = [put(1, "a", r#"{"price": 1, "volume": 1, "name": "n"}"#), delete(2, "b")];
    run(database, "alter table quotes rename to hidden").await;
    let told = apply(&sink, &writes).await;
    assert!(told.iter().all(|told| told.starts_with("Failed") && told.contains("quotes")), "{told:?}");
    run(database, "alter table hidden rename to quotes").await;
    let mut told = apply(&sink, &writes).await;
    for _ in 0..4 {
        if told[0] != "ok" {
            told = apply(&sink, &writes).await;
        }
    }
    assert_eq!(told, ["ok", "ok"]);
    assert_eq!(quotes(database).await, ["a 1 1 n"]);
}

async fn old_ids_are_forgotten_in_steps(database: &Database) {
    drop(sink(database).await);
    let (old, made) = match database.dialect() {
        Dialect::Sqlite => {
            let made = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2500)
                insert into forebay_operations select 'old' || i, unixepoch() - 8 * 86400 from n";
            ("select cast(count(*) as text) from forebay_operations where id like 'old%'", made)
        }
        Dialect::Postgres => {
            let made = "insert into forebay_operations select gen_random_uuid(), now() - interval '8 days' from generate_series(1, 2500)";
            (
                "select cast(count(*) as text) from forebay_operations where applied_at < now() - interval '1 day'",
                made,
            )
        }
    };
    run(database, made).await;
    let sink = sink(database).await;
    assert_eq!(rows(database, old).await, ["1500"], "the opening takes a step");
    for (id, left) in [(1, "500"), (2, "0"), (3, "0")] {
        let write = [put(id, "a", r#"{"price": 1, "volume": 1, "name": "n"}"#)];
        assert_eq!(apply(&sink, &write).await, ["ok"]);
        assert_eq!(rows(database, old).await, [left]);
    }
    assert_eq!(rows(database, "select cast(count(*) as text) from forebay_operations").await, ["3"]);
}

async fn statements_that_cannot_work_are_refused_when_they_are_opened(database: &Database) {
    let open = async |write: &str, delete: Option<&str>, params: &[&str]| {
        SqlSink::open(database, statements(write, delete, params)).await.unwrap_err()
    };
    let error = open("update quotes set price = 1", None, &["code"]).await;
    assert!(matches!(error, OpenError::Form), "{error}");
    let error = open("insert into quotes (price) values {rows}", None, &["code"]).await;
    assert!(matches!(&error, OpenError::KeyColumn { column } if column == "code"), "{error}");
    for (write, delete, statement, told) in [
        ("insert into nowhere (code) values {rows}", None, "write", "nowhere"),
        ("insert into quotes (code, nope) values {rows}", None, "write", "nope"),
        (
            "insert into quotes (code) values {rows} on conflict (volume) do nothing",
            None,
            "write",
            "CONFLICT",
        ),
        (WRITE, Some("delete from quotes where nope in {keys}"), "delete", "nope"),
        (WRITE, Some("delete from quotes where (code, name) in {keys}"), "delete", "columns"),
    ] {
        let error = open(write, delete, &["code"]).await;
        let OpenError::Statement { statement: which, cause } = &error else { panic!("{write}: {error}") };
        assert!(*which == statement && cause.to_string().contains(told), "{write}: {error}");
    }
}

async fn keys_of_several_parameters_and_columns_of_bytes(database: &Database) {
    let bytes = if database.dialect() == Dialect::Sqlite { "blob" } else { "bytea" };
    run(
        database,
        &format!(
            "create table bars (code text, day integer, raw {bytes}, doc text, primary key (code, day))"
        ),
    )
    .await;
    let write = "insert into bars (code, day, raw, doc) values {rows} on conflict (code, day) do update set raw = excluded.raw, doc = excluded.doc";
    let declared =
        statements(write, Some("delete from bars where (code, day) in {keys}"), &["code", "day:integer"]);
    let sink = SqlSink::open(database, declared).await.unwrap();
    let key = |code: &str, day| LoadKey { params: vec![Param::Text(code.into()), Param::Integer(day)] };
    let put = |id, code: &str, day, json: &str| SinkWrite {
        id: OperationId::new(id),
        key: key(code, day),
        change: Change::Put(Value::from(Blob::json(json))),
    };
    let writes = [
        put(1, "a", 1, r#"{"raw": "AP8=", "doc": {"b": [1, 2]}}"#),
        put(2, "a", 2, r#"{"raw": null, "doc": true}"#),
        put(3, "b", 1, r#"{"raw": "not base64", "doc": null}"#),
        put(4, "b", 2, r#"{"raw": "", "doc": null}"#),
    ];
    let told = apply(&sink, &writes).await;
    assert!(told[2].starts_with("Refused"), "{told:?}");
    assert_eq!([&told[0], &told[1], &told[3]], ["ok", "ok", "ok"]);
    let hex = if database.dialect() == Dialect::Sqlite {
        "case when raw is null then null else hex(raw) end"
    } else {
        "encode(raw, 'hex')"
    };
    let held = format!(
        "select code || day || ' ' || coalesce({hex}, 'null') || ' ' || coalesce(doc, 'null') from bars order by code, day"
    );
    let held: Vec<String> = rows(database, &held).await.iter().map(|row| row.to_lowercase()).collect();
    let yes = if database.dialect() == Dialect::Sqlite { "1" } else { "true" };
    assert_eq!(held[..2], [r#"a1 00ff {"b": [1, 2]}"#.to_owned(), format!("a2 null {yes}")]);
    let gone = [SinkWrite { id: OperationId::new(5), key: key("a", 2), change: Change::Delete }];
    assert_eq!(apply(&sink, &gone).await, ["ok"]);
    let left = rows(database, "select code || day from bars order by code, day").await;
    assert_eq!(left, ["a1", "b2"]);
}

/// Nobody waits for the call any more: its transaction ends, applied or not, and the same write is applied once.
async fn a_dropped_call_ends(database: &Database) {
    let sink = sink(database).await;
    let clock = forebay::rt::Clock::default();
    for turn in 0..30_u64 {
        let code = format!("c{turn}");
        let one = [put(u128::from(turn) + 1, &code, r#"{"price": 1, "volume": 1, "name": "n"}"#)];
        let _ = clock.timeout(Duration::from_millis(turn % 4), sink.apply("quotes", &one)).await;
        assert_eq!(apply(&sink, &one).await, ["ok"], "turn {turn}");
    }
    assert_eq!(rows(database, "select cast(count(*) as text) from quotes").await, ["30"]);
    assert_eq!(rows(database, "select cast(count(*) as text) from forebay_operations").await, ["30"]);
}
