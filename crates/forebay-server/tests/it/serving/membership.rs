//! Declared membership filters: a flood of unknown keys costs next to no query, and what a transaction adds is found at once.

use std::sync::{Mutex, PoisonError};

use forebay_server::app::{App, Running};
use forebay_stores::database::Database;
use sqlx::{AssertSqlSafe, Executor as _};

use super::{Resp, Stage, declaration, deployment, soon, start};

const NAMESPACE: &str = r#"
[namespace.item]
key = "item:{code}"
ttl = "60s"
membership = { keys = 10000, false_positives = "0.1 %", sole_writer = true }
source.sql = { database = "main", query = "select code, price from items where code in {keys}", list = "select code from items" }
"#;

/// The number that is called `name` in what is told of the namespace.
async fn number(client: &mut Resp, name: &str) -> u64 {
    let told = client.say("FB.STATS item").await;
    let words: Vec<&str> = told.split([' ', '[', ']']).collect();
    let at = words.iter().position(|word| *word == name).unwrap_or_else(|| panic!("no {name} in {told}"));
    words[at + 1].parse().unwrap()
}

async fn is_ready(client: &mut Resp) {
    soon(async { while number(client, "membership_ready").await == 0 {} }).await;
}

#[tokio::test]
async fn a_flood_of_unknown_keys_asks_for_no_more_than_the_declared_rate() {
    let stage = Stage::with(NAMESPACE).await;
    let mut client = stage.resp().await;
    let rows = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
        insert into items select 'k' || i, i from n";
    stage.sql(rows).await;
    // What is added by other hands is known after the next listing.
    is_ready(&mut client).await;
    assert_eq!(client.say("FLUSHDB").await, "OK");
    let known = async || {
        is_ready(&mut stage.resp().await).await;
        number(&mut stage.resp().await, "membership_keys").await
    };
    soon(async { while known().await < 5_000 {} }).await;

    for batch in 0..200 {
        let keys: Vec<String> = (0..500).map(|at| format!("item:none-{}", batch * 500 + at)).collect();
        let mut words = vec!["MGET"];
        words.extend(keys.iter().map(String::as_str));
        let reply = super::shown(&client.call(&words).await);
        assert!(reply.split(' ').all(|one| one.trim_matches(['[', ']']) == "nil"), "{reply}");
    }
    let (asked, refused) =
        (number(&mut client, "keys_asked").await, number(&mut client, "membership_refusals").await);
    assert!(asked <= 200, "{asked} of 100000 unknown keys were asked for");
    assert_eq!(asked + refused, 100_000);
    assert_eq!(client.say("GET item:k4999").await, r#"{"code":"k4999","price":4999}"#);

    let metrics = stage.get("/metrics").await.body;
    for name in ["ready", "keys", "bytes", "full", "builds_total", "refusals_total"] {
        let line = format!("forebay_protection_membership_{name}{{keyspace=\"shop\",namespace=\"item\"}} ");
        assert!(metrics.contains(&line), "no {line}");
    }
}

/// The database as the app was handed it.
static HANDED: Mutex<Option<Database>> = Mutex::new(None);

#[tokio::test]
async fn what_a_transaction_adds_is_known_before_it_returns() {
    let folder = tempfile::tempdir().unwrap();
    super::database(&folder.path().join("main.db")).await;
    let app = App {
        name: "lister",
        summary: "",
        declaration: "",
        migrations: &[],
        jobs: &[],
        tries: &[],
        start: |setup| {
            *HANDED.lock().unwrap_or_else(PoisonError::into_inner) = setup.databases.get("main").cloned();
            Box::pin(async { Ok(Running::default()) })
        },
    };
    let text = declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", NAMESPACE);
    let process = start(&deployment("apps/lister/forebay.toml", &text), &[app]).await.unwrap();
    let database = HANDED.lock().unwrap().take().unwrap();
    let mut client = Resp::connect(process.resp).await;
    is_ready(&mut client).await;
    for number in 0..20 {
        assert_eq!(client.say(&format!("GET item:new-{number}")).await, "nil");
        let insert = AssertSqlSafe(format!("insert into items values ('new-{number}', {number})"));
        let added = database.transaction(async |tx| tx.sqlite().unwrap().execute(insert).await.map(|_| ()));
        soon(added).await.unwrap();
        let row = format!(r#"{{"code":"new-{number}","price":{number}}}"#);
        assert_eq!(client.say(&format!("GET item:new-{number}")).await, row);
    }
    let builds = number(&mut client, "membership_builds").await;
    assert_eq!(builds, 1, "a row that is told by its key needs no new listing");
    drop(database);
    assert!(soon(process.stop()).await);
}
