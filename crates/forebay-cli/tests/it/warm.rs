//! `forebay warm`.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use forebay_stores::database::{Database, DatabaseOptions};
use sqlx::Executor as _;

use crate::running::{forebay, run, start, stderr, stdout};

const DECLARED: &str = r#"
keyspace = "shop"
[database.main]
url = "sqlite:main.db"
[namespace.price]
key = "price:{code}"
ttl = "1h"
warm = { code = ["a", "b", "none"] }
source.sql = { database = "main", query = "select code, price from prices where code in {keys}" }
[namespace.cold]
key = "cold:{code}"
ttl = "1h"
source.sql = { database = "main", query = "select code, price from prices where code in {keys}" }
"#;

#[tokio::test]
async fn what_is_declared_to_be_warm_is_loaded_when_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("forebay.toml"), DECLARED).unwrap();
    let options =
        DatabaseOptions { create: true, ..DatabaseOptions::sqlite(folder.path().join("main.db"), 1) };
    let database = Database::open(&options).await.unwrap();
    let sql = async |sql: &'static str| {
        database.sqlite().unwrap().execute(sql).await.unwrap();
    };
    sql("create table prices (code text primary key, price integer)").await;
    sql("insert into prices values ('a', 1), ('b', 2)").await;
    let running = start(folder.path(), &["serve", "--config", "forebay.toml"]);
    let address = format!("127.0.0.1:{}", running.resp);
    let warm = |more: &[&str]| run(folder.path(), &[&["warm", "--resp", &address], more].concat());

    let warmed = warm(&[]);
    assert_eq!(warmed.status.code(), Some(0), "{}", stderr(&warmed));
    assert_eq!(stdout(&warmed), "price: done, 2 of 3 loaded, 1 do not exist, 0 failed\n");
    // What the start has warmed is dropped: this time it is the command alone that loads.
    assert!(running.resp("FLUSHALL").starts_with("+OK"));
    assert_eq!(warm(&["price"]).status.code(), Some(0));
    assert!(running.resp("EXISTS price:a price:b").starts_with(":2"));
    assert!(running.resp("FB.WARM STATUS").contains("$5\r\nstate\r\n$4\r\ndone\r\n"));

    assert!(running.resp("FLUSHALL").starts_with("+OK"));
    sql("drop table prices").await;
    let failed = warm(&["price", "--json"]);
    assert_eq!(failed.status.code(), Some(1), "keys that could not be loaded are passed over");
    let told = r#"{"namespace":"price","state":"done","keys":3,"done":0,"absent":0,"failed":3}"#;
    assert_eq!(stdout(&failed).trim_end(), told);

    for (name, why) in [("cold", "nothing is declared to be warm"), ("none", "no namespace")] {
        let refused = warm(&[name]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains(why), "{}", stderr(&refused));
    }
    assert_eq!(running.stop().0, Some(0));
}

#[test]
fn an_interrupt_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    // It takes connections and answers none of them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let declared = format!(
        "keyspace = 'shop'\n[namespace.far]\nkey = 'far:{{n}}'\nttl = '1h'\nwarm = {{ n = ['1', '2'] }}\n\
         loader = {{ timeout = '50s' }}\n\
         source.http = {{ url = 'http://{}/{{n}}', allow_private = true }}\n",
        silent.local_addr().unwrap()
    );
    std::fs::write(folder.path().join("forebay.toml"), declared).unwrap();
    let running = start(folder.path(), &["serve", "--config", "forebay.toml"]);
    let mut warming = forebay(folder.path())
        .args(["warm", "--resp", &format!("127.0.0.1:{}", running.resp)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(warming.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "far: 0 of 2");
    let id = warming.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(lines.next().unwrap(), "forebay: stopped: the server loads no more");
    let ended = warming.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(stdout(&ended), "far: stopped, 0 of 2 loaded, 0 do not exist, 0 failed\n");
    running.kill();
}
