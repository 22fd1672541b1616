//! Client libraries: those that are not ours, as their registries have them, and our own for JavaScript (`clients/js`). Their own tests'
//! words are in `tests/clients`, one script for each library and stage. Here they are run, and what they say is judged.

use std::net::SocketAddr;

use forebay_stage::{Scripted, scripted};
use xtask::clients::{Language, own, script};

use super::access::token;
use super::{NAMESPACES, Stage};

/// What `item:a` has in every stage.
const ITEM_A: &str = r#"{"code":"a","price":1}"#;

/// What the design behind the stocks app asks for, and `price`, which takes no writes.
const STOCKS: &str = r#"
[namespace.STOCK_CACHE]
key = "stock:{code}"
ttl = "3s"
absent_ttl = "3s"
writes = "cache"
source.sql = { database = "main", query = "select code, price from items where code in {keys}" }
[namespace.MARKET_DATA]
key = "index:{code}"
ttl = "30s"
mode = "cache"
[namespace.USER_SESSIONS]
key = "session:{user_id}"
mode = "store"
ttl = { idle = "1h", max = "1d" }
[namespace.API_CACHE]
key = "api:{endpoint}:{params_hash}"
ttl = "5m"
mode = "cache"
[namespace.strict]
key = "strict:{key}"
mode = "store"
ttl = "1d"
workers_kv_limits = true
[namespace.price]
key = "price:{code}"
ttl = "60s"
tags = ["item:{code}"]
source.sql = { database = "main", query = "select code, price from items where code in {keys}" }
"#;

/// A namespace whose keys are any text, which shares its keyspace with no other.
const ANY: &str = r#"
[namespace.any]
key = "{key}"
mode = "store"
ttl = "1d"
"#;

/// Where the scripts are.
const SCRIPTS: &str = "crates/forebay-server/tests/clients";

/// Runs a script against the server at `address`, in which `item:a` is said to be `item`.
async fn run(language: Language, name: &'static str, address: SocketAddr, item: &'static str) -> Scripted {
    let path = format!("{SCRIPTS}/{name}");
    let with = move || script(language, &path).unwrap_or_else(|error| panic!("{error}"));
    scripted(with, &[("FOREBAY_RESP", address.to_string()), ("FOREBAY_ITEM_A", item.to_owned())]).await
}

/// Runs a script of our own client, which must end well, having run `tests` or more.
async fn check_own(name: &'static str, declared: &str, tests: usize) {
    let (stage, any) = (Stage::with(declared).await, Stage::with(ANY).await);
    let addresses = [
        ("FOREBAY_HTTP", stage.process.http.to_string()),
        ("FOREBAY_RESP", stage.process.resp.to_string()),
        ("FOREBAY_ANY_HTTP", any.process.http.to_string()),
    ];
    let path = format!("{SCRIPTS}/{name}");
    let with = move || own(&path).unwrap_or_else(|error| panic!("{error}"));
    scripted(with, &addresses).await.passed(name, tests);
}

/// Runs a script that must end well, having run `tests` or more.
async fn check(language: Language, name: &'static str, stage: &Stage, tests: usize) {
    run(language, name, stage.process.resp, ITEM_A).await.passed(name, tests);
}

fn with_tokens() -> String {
    let tokens = token("writer", "may = ['read', 'write']") + &token("reader", "may = ['read']");
    format!("{NAMESPACES}{tokens}")
}

#[tokio::test]
async fn redis_py_runs_as_it_comes() {
    check(Language::Python, "redis_py.py", &Stage::new().await, 31).await;
}

#[tokio::test]
async fn redis_py_shows_tokens() {
    check(Language::Python, "redis_py_tokens.py", &Stage::with(&with_tokens()).await, 5).await;
}

#[tokio::test]
async fn ioredis_runs_as_it_comes() {
    check(Language::JavaScript, "ioredis.js", &Stage::new().await, 17).await;
}

#[tokio::test]
async fn ioredis_shows_tokens() {
    check(Language::JavaScript, "ioredis_tokens.js", &Stage::with(&with_tokens()).await, 4).await;
}

#[tokio::test]
async fn our_own_for_javascript_speaks_for_kv_namespaces() {
    check_own("forebay_kv.mjs", STOCKS, 21).await;
}

#[tokio::test]
async fn our_own_for_javascript_reads_and_writes() {
    check_own("forebay.mjs", STOCKS, 12).await;
}

#[tokio::test]
async fn our_own_for_javascript_shows_tokens() {
    check_own("forebay_tokens.mjs", &with_tokens(), 3).await;
}

#[tokio::test]
async fn the_examples_of_our_own_for_javascript_run() {
    check_own("forebay_readme.mjs", STOCKS, 4).await;
}

#[tokio::test]
async fn the_design_behind_the_stocks_app_runs_as_it_is() {
    check_own("seed_000.mjs", STOCKS, 8).await;
}

#[tokio::test]
async fn scripts_tell_of_what_does_not_hold() {
    let stage = Stage::new().await;
    for (language, name) in [(Language::Python, "redis_py.py"), (Language::JavaScript, "ioredis.js")] {
        let Scripted { succeeded, said } = run(language, name, stage.process.resp, "another").await;
        assert!(!succeeded, "{name} has not looked at item:a");
        assert!(said.contains("another") && said.contains("price"), "{name}: {said}");
    }
}
