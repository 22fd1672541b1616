//! `forebay check` and `forebay explain`.

use crate::running::{forebay, run, stderr, stdout};

const GOOD: &str = "keyspace = \"shop\"\n[namespace.a]\nkey = \"a:{x}\"\nmode = \"cache\"\nttl = \"3s\"\n";

#[test]
fn a_good_declaration_is_told_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("forebay.toml"), GOOD).unwrap();
    let output = run(folder.path(), &["check"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "ok: keyspace shop (db 0): a\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "check left something behind");
}

#[test]
fn a_bad_one_is_pointed_at() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.toml"), GOOD.replace("ttl =", "tll =")).unwrap();
    let output = run(folder.path(), &["check", "bad.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("bad.toml:5:1") && said.contains("`tll`") && said.contains("`ttl`"), "{said}");
}

#[test]
fn files_are_checked_together() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one.toml"), GOOD).unwrap();
    std::fs::write(folder.path().join("two.toml"), GOOD).unwrap();
    let output = run(folder.path(), &["check", "one.toml", "two.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("two.toml"), "{}", stderr(&output));
}

#[test]
fn what_is_not_served_is_told_apart_from_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("forebay.toml"), format!("{GOOD}memory.max_age = \"1s\"\n")).unwrap();
    let output = run(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("not served by this version") && said.contains("the declaration is right"),
        "{said}"
    );
}

#[test]
fn every_app_can_be_explained() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["explain", "--app", "stocks", "STOCK_CACHE"]);
    let said = stdout(&output);
    assert!(output.status.success() && said.contains("stock:{code}") && said.contains("quotes"), "{said}");
    let output = run(folder.path(), &["explain", "--app", "stocks", "STOCKS"]);
    assert!(stderr(&output).contains("STOCK_CACHE"), "the namespaces there are, are not named");
    let output = run(folder.path(), &["explain", "--app", "orders", "nothing"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_reader_who_has_gone_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = forebay(folder.path())
        .args(["explain", "--app", "stocks", "STOCK_CACHE"])
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
}

const CONNECTED: &str = r#"keyspace = "shop"
[database.main]
url = "sqlite:main.db"
[namespace.item]
key = "item:{code}"
ttl = "3s"
writes = "through"
source.sql = { database = "main", query = "select code, prize from items where code in {keys}" }
sink.sql = { database = "main", write = "insert into items (code, price) values {rows}", delete = "delete from gone where code in {keys}" }
[namespace.order]
kind = "hash"
key = "order:{code}"
field = "{no}"
ttl = "3s"
source.sql = { database = "main", query = "select * from orders where code in {keys}", fields = "select code, no from orders where (code, no) in {keys}" }
[namespace.good]
key = "good:{code}"
ttl = "3s"
source.sql = { database = "main", query = "select code, price from items where code in {keys}" }
"#;

#[test]
fn queries_are_prepared_where_that_is_wanted_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let text = CONNECTED;
    std::fs::write(folder.path().join("forebay.toml"), text).unwrap();
    let output = run(folder.path(), &["check"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(folder.path(), &["check", "--connect"]);
    let said = stderr(&output);
    assert!(said.contains("forebay.toml:3:7") && said.contains("no database file main.db"), "{said}");

    let database = folder.path().join("main.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let schema = "create table items (code text primary key, price integer); create table orders (code text, no text, note text)";
    runtime.block_on(async {
        let options = forebay_stores::database::DatabaseOptions::sqlite(&database, 1);
        let database = forebay_stores::database::Database::open(&options).await.unwrap();
        let pool = database.sqlite().unwrap();
        sqlx::raw_sql(schema).execute(pool).await.unwrap();
        sqlx::raw_sql("pragma journal_mode = delete").execute(pool).await.unwrap();
        pool.close().await;
    });
    let before = std::fs::read(&database).unwrap();
    let output = run(folder.path(), &["check", "--connect"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for told in [
        "namespace `item` of keyspace `shop`: no such column: prize\n --> forebay.toml:8:57",
        "namespace `item` of keyspace `shop`: no such table: gone\n --> forebay.toml:9:",
        "the query for single fields",
        "code, no, that for whole hashes code, no, note",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert!(!said.contains("`good`"), "{said}");
    assert_eq!(std::fs::read(&database).unwrap(), before, "the database was changed");

    let mended = text
        .replace("prize", "price")
        .replace("from gone", "from items")
        .replace("select *", "select code, no");
    std::fs::write(folder.path().join("forebay.toml"), &mended).unwrap();
    let output = run(folder.path(), &["check", "--connect"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "ok: keyspace shop (db 0): good, item, order\n");
    assert_eq!(std::fs::read(&database).unwrap(), before, "the database was changed");
}

fn json(output: &std::process::Output) -> serde_json::Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|error| panic!("{error}: {}", stdout(output)))
}

#[test]
fn programs_are_told_every_error_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("forebay.toml"), GOOD).unwrap();
    let output = run(folder.path(), &["check", "--json"]);
    let shop = serde_json::json!({ "keyspace": "shop", "db": 0, "namespaces": ["a"] });
    assert_eq!(json(&output), serde_json::json!({ "ok": true, "keyspaces": [shop], "errors": [] }));

    std::fs::write(folder.path().join("bad.toml"), GOOD.replace("ttl =", "tll =")).unwrap();
    let output = run(folder.path(), &["check", "--json", "bad.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "", "it is told twice");
    let told = json(&output);
    let misspelt = &told["errors"][1];
    assert_eq!(told["ok"], false);
    let place = (misspelt["file"].as_str(), misspelt["line"].as_u64(), misspelt["column"].as_u64());
    assert_eq!(place, (Some("bad.toml"), Some(5), Some(1)));
    assert!(misspelt["message"].as_str().unwrap().contains("`tll`"), "{told}");
    assert!(misspelt["mend"].as_str().unwrap().contains("`ttl`"), "{told}");

    let served = GOOD.replace("mode = \"cache\"", "mode = \"cache\"\nmemory.max_age = \"1s\"");
    std::fs::write(folder.path().join("later.toml"), served).unwrap();
    let output = run(folder.path(), &["check", "--json", "later.toml"]);
    assert_eq!((output.status.code(), json(&output)["errors"][0]["line"].as_u64()), (Some(1), Some(5)));
}

#[test]
fn programs_are_told_what_a_namespace_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let told = json(&run(folder.path(), &["explain", "--json", "--app", "stocks", "STOCK_CACHE"]));
    assert_eq!(told["keyspace"], "stocks");
    let said = told["said"].as_array().unwrap();
    let of = |about: &str| said.iter().find(|said| said["about"] == about).unwrap()["text"].as_str().unwrap();
    assert_eq!(of("key"), "stock:{code}");
    assert!(of("one key").contains("from quotes"), "{told}");
}
