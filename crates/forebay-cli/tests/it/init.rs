//! `forebay init`.

use std::path::Path;

use forebay_stores::database::{Database, DatabaseOptions};
use sqlx::{AssertSqlSafe, Executor as _};

use crate::running::{run, start, stderr, stdout};

const SCHEMA: &str = r#"
create table prices (symbol text, currency text, price decimal(10, 2), primary key (symbol, currency));
create table orders (id integer primary key, "group" text, "Order No" text);
insert into orders values (7, 'a', 'x-1');
create table "select" ("from" text primary key, "select" text, "it's ""odd""" int);
insert into "select" values ('here', 'this', 3);
create table "Käse:{x}" ("a b" text, "a-b" int, a_b int, primary key ("a-b", "a b")) without rowid;
insert into "Käse:{x}" values ('y', 5, 6);
create table "default" (id integer primary key);
create table events (at text, what text);
create table points (x real primary key);
create table _sqlx_migrations (version integer primary key);
create view orders_of_today as select * from orders;
"#;

async fn database(folder: &Path, schema: &'static str) {
    let options = DatabaseOptions { create: true, ..DatabaseOptions::sqlite(folder.join("my shop.db"), 1) };
    let database = Database::open(&options).await.unwrap();
    database.sqlite().unwrap().execute(schema).await.unwrap();
    database.sqlite().unwrap().close().await;
}

const ASKED: [&str; 3] = ["init", "--database", "sqlite:my shop.db"];

#[tokio::test]
async fn what_is_proposed_passes_the_check_and_is_served() {
    let folder = tempfile::tempdir().unwrap();
    database(folder.path(), SCHEMA).await;
    let output = run(folder.path(), &[&ASKED[..], &["--to", "forebay.toml"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = std::fs::read_to_string(folder.path().join("forebay.toml")).unwrap();
    assert_eq!(stdout(&run(folder.path(), &ASKED)), text, "printed and written differ");

    let output = run(folder.path(), &["check", "--connect"]);
    assert_eq!(output.status.code(), Some(0), "{}\n{text}", stderr(&output));
    let mut names: Vec<String> =
        stdout(&output).split_once("(db 0): ").unwrap().1.trim().split(", ").map(Into::into).collect();
    names.sort();
    assert_eq!(names, ["K_se__x_", "default_2", "orders", "prices", "select"]);
    assert!(stdout(&output).starts_with("ok: keyspace my_shop "), "{}", stdout(&output));
    for part in [
        r#"key = "prices:{symbol}:{currency}""#,
        r#""select symbol, currency, price from prices where (symbol, currency) in {keys}""#,
        r#"key = "orders:{id:integer}""#,
        r#"{ "price" = 2 }"#,
        "# The table events: no namespace, since it has no primary key",
        "# The table points: no namespace, since its primary key",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }

    let running = start(folder.path(), &["serve", "--config", "forebay.toml"]);
    assert_eq!(running.get("K_se__x_:5:y").as_deref(), Some(r#"{"a_b_3":"y","a_b_2":5,"a_b":6}"#));
    assert_eq!(running.get("orders:7").as_deref(), Some(r#"{"id":7,"group":"a","Order No":"x-1"}"#));
    assert_eq!(
        running.get("select:here").as_deref(),
        Some(r#"{"from":"here","select":"this","it's \"odd\"":3}"#)
    );
}

#[tokio::test]
async fn nothing_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    database(folder.path(), "create table a (b text primary key)").await;
    std::fs::write(folder.path().join("forebay.toml"), "mine").unwrap();
    let output = run(folder.path(), &[&ASKED[..], &["--to", "forebay.toml"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("forebay.toml exists"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(folder.path().join("forebay.toml")).unwrap(), "mine");
}

#[test]
fn what_cannot_be_read_is_told_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    for url in ["sqlite:none.db", "postgres://127.0.0.1:1/shop", "mysql://127.0.0.1/shop"] {
        let output = run(folder.path(), &["init", "--database", url]);
        assert_eq!(output.status.code(), Some(1), "{url}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{url}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

const SALES: &str = r#"
create schema sales;
create domain sales.code as text;
create table sales.prices (code sales.code, day integer, price numeric(10, 2), primary key (day, code));
insert into sales.prices values ('a', 7, 1.50);
create table sales."order" (id uuid primary key, "the note" text, at timestamptz);
insert into sales."order" values ('00000000-0000-0000-0000-000000000001', 'x', '2026-11-22 00:00+00');
create table sales.padded (code char(4) primary key);
create table sales.events (at timestamptz, what text);
create table elsewhere (id bigint primary key);
"#;

/// A new database of the tests' PostgreSQL server, and its address.
async fn postgres(schema: &'static str) -> String {
    let server = xtask::services::url("postgres").unwrap();
    let name = format!("proposed_{:016x}", fastrand::u64(..));
    let all = Database::open(&DatabaseOptions::postgres(server.parse().unwrap(), 1)).await.unwrap();
    all.postgres().unwrap().execute(AssertSqlSafe(format!("create database {name}"))).await.unwrap();
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    let database = Database::open(&DatabaseOptions::postgres(url.parse().unwrap(), 1)).await.unwrap();
    database.postgres().unwrap().execute(schema).await.unwrap();
    url
}

#[tokio::test]
async fn the_schema_of_a_live_postgresql_is_proposed_for_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres(SALES).await;
    let own = run(folder.path(), &["init", "--database", &url]);
    assert!(stdout(&own).contains(r#"key = "elsewhere:{id:integer}""#), "{}", stderr(&own));
    assert!(!stdout(&own).contains("prices"), "another schema is read too: {}", stdout(&own));

    // The server asks for no password, whatever is shown.
    let shown = url.replace("postgres://postgres@", "postgres://postgres:se%63ret@");
    let asked = ["init", "--database", &shown, "--schema", "sales", "--to", "forebay.toml"];
    let output = run(folder.path(), &asked);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = std::fs::read_to_string(folder.path().join("forebay.toml")).unwrap();
    for part in [
        r#"postgres://postgres:${DATABASE_PASSWORD}@"#,
        r#"key = "sales_prices:{day:integer}:{code}""#,
        r#"select code, day, price from sales.prices where (day, code) in {keys}"#,
        r#"key = "sales_order:{id:uuid}""#,
        "# The table sales.padded: no namespace, since its primary key",
        "# The table sales.events: no namespace, since it has no primary key",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("secret") && !text.contains("se%63ret"), "the password is written down:\n{text}");

    std::fs::write(folder.path().join("forebay.toml"), text.replace("${DATABASE_PASSWORD}", "any")).unwrap();
    let output = run(folder.path(), &["check", "--connect"]);
    assert_eq!(output.status.code(), Some(0), "{}\n{text}", stderr(&output));
    let running = start(folder.path(), &["serve", "--config", "forebay.toml"]);
    assert_eq!(running.get("sales_prices:7:a").as_deref(), Some(r#"{"code":"a","day":7,"price":1.50}"#));
    let order = "sales_order:00000000-0000-0000-0000-000000000001";
    let row =
        r#"{"id":"00000000-0000-0000-0000-000000000001","the note":"x","at":"2026-11-22T00:00:00+00:00"}"#;
    assert_eq!(running.get(order).as_deref(), Some(row));
    assert_eq!(running.stop().0, Some(0));

    let none = run(folder.path(), &["init", "--database", &url, "--schema", "none"]);
    assert!(stderr(&none).contains("no schema none"), "{}", stderr(&none));
}
