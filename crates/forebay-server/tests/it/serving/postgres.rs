//! A declaration over a real PostgreSQL server, read by both front ends.

use std::sync::Arc;

use forebay_stores::database::{Database, DatabaseOptions};
use sqlx::Executor;

use super::{Resp, Unseen, ask, deployment, soon};

const NAMESPACE: &str = "[namespace.price]\nkey = 'price:{symbol}:{day:integer}'\nttl = '60s'\nversion = 'seq'\n\
    source.sql = { database = 'main', query = 'select symbol, day, price, at, seq from prices where (symbol, day) in {keys}', \
    decimals = { price = 4 } }\n";

pub use forebay_stage::new_postgres as fresh;

fn declared(folder: &tempfile::TempDir, url: &str, namespace: &str) -> String {
    let data = folder.path().display();
    format!(
        "keyspace = 'shop'\n[server]\nhttp = '127.0.0.1:0'\nresp = '127.0.0.1:0'\ndata = '{data}'\n\
         [database.main]\nurl = '{url}'\npool = {{ max = 4, warm = 0 }}\n{namespace}"
    )
}

#[tokio::test]
async fn a_declared_query_on_postgresql_is_read_by_both_front_ends() {
    let url = fresh().await;
    let database = Database::open(&DatabaseOptions::postgres(url.parse().unwrap(), 2)).await.unwrap();
    let rows = "create table prices (symbol text, day integer, price numeric, at timestamptz, seq bigint, primary key (symbol, day));
        insert into prices values ('BTC', 1, 98765.4321, '2026-11-21 12:00+01', 7)";
    let pool = database.postgres().unwrap();
    pool.execute(rows).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let deployment = deployment("forebay.toml", &declared(&folder, &url, NAMESPACE));
    let process = soon(forebay_server::process::start(&deployment, &[], Arc::new(Unseen))).await.unwrap();
    let row = r#"{"symbol":"BTC","day":1,"price":98765.4321,"at":"2026-11-21T11:00:00+00:00","seq":7}"#;
    let mut client = Resp::connect(process.resp).await;
    assert_eq!(client.say("GET price:BTC:1").await, row);
    assert_eq!(client.say("MGET price:BTC:1 price:BTC:2 price:BTC:01").await, format!("[{row} nil nil]"));
    pool.execute("update prices set price = 1, seq = 8").await.unwrap();
    let answer = ask(process.http, "GET", "/v1/shop/price/price:BTC:1", "").await;
    assert_eq!((answer.header("x-cache"), answer.body.as_str()), ("HIT", row));
    assert_eq!(client.say("FB.INVALIDATE price:BTC:1").await, "1");
    assert!(client.say("GET price:BTC:1").await.contains(r#""price":1.0000"#));
}

#[tokio::test]
async fn what_cannot_work_on_postgresql_does_not_start_and_shows_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let start = async |url: &str| {
        let deployment = deployment("forebay.toml", &declared(&folder, url, NAMESPACE));
        let started = soon(forebay_server::process::start(&deployment, &[], Arc::new(Unseen))).await;
        format!("{:?} {0}", started.expect_err("it must not start"))
    };
    let no_table = start(&fresh().await).await;
    assert!(no_table.contains("\"prices\" does not exist"), "{no_table}");
    let nobody = start("postgres://user:hush-hush@127.0.0.1:1/none").await;
    assert!(nobody.contains("database `main`") && !nobody.contains("hush"), "{nobody}");
}
