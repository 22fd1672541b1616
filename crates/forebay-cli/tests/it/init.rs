//! `forebay init`.

use std::path::Path;

use forebay_stores::database::{Database, DatabaseOptions};
use sqlx::Executor as _;

use crate::running::{Running, run, stderr, stdout};

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

    let running = Running::start(folder.path(), &["serve", "--config", "forebay.toml"]);
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
    for url in ["sqlite:none.db", "postgres://localhost/shop"] {
        let output = run(folder.path(), &["init", "--database", url]);
        assert_eq!(output.status.code(), Some(1), "{url}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{url}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
