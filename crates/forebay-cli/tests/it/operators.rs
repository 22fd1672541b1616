//! What operators do about a process that serves: backups of its stores, and dead letters.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Output;

use forebay_stores::database::{Database, DatabaseOptions};
use sqlx::Executor as _;

use crate::running::{Running, run, start, stderr, stdout};

const DECLARED: &str = r#"
keyspace = "shop"
[database.main]
url = "sqlite:main.db"
[namespace.note]
key = "note:{number}"
mode = "store"
ttl = "30d"
[namespace.price]
key = "price:{code}"
ttl = "1h"
writes = "behind"
source.sql = { database = "main", query = "select code, price from prices where code in {keys}" }
sink.sql = { database = "main", write = "insert into prices (code, price) values {rows} on conflict (code) do update set price = excluded.price" }
"#;

struct Shop {
    folder: tempfile::TempDir,
    database: Database,
}

impl Shop {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("forebay.toml"), DECLARED).unwrap();
        let options =
            DatabaseOptions { create: true, ..DatabaseOptions::sqlite(folder.path().join("main.db"), 1) };
        let database = Database::open(&options).await.unwrap();
        let shop = Self { folder, database };
        shop.sql("create table prices (code text primary key, price integer check (price < 100))").await;
        shop
    }

    async fn sql(&self, sql: &'static str) {
        self.database.sqlite().unwrap().execute(sql).await.unwrap();
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn serve(&self) -> Running {
        start(self.path(), &["serve", "--config", "forebay.toml"])
    }

    /// Runs the command beside `running`.
    fn ask(&self, running: &Running, arguments: &str) -> Output {
        let address = format!("127.0.0.1:{}", running.resp);
        let arguments: Vec<&str> = arguments.split(' ').chain(["--resp", &address]).collect();
        run(self.path(), &arguments)
    }

    /// What it prints, which must have worked.
    fn told(&self, running: &Running, arguments: &str) -> String {
        let output = self.ask(running, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments}: {}", stderr(&output));
        stdout(&output).trim_end().to_owned()
    }

    /// What it refuses with, in one line.
    fn refused(&self, running: &Running, arguments: &str) -> String {
        let output = self.ask(running, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments}: {}", stdout(&output));
        let said = stderr(&output);
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        said
    }
}

#[tokio::test]
async fn a_backup_is_written_while_a_server_has_the_stores() {
    let shop = Shop::new().await;
    let running = shop.serve();
    assert_eq!(running.resp("SET note:1 one"), "+OK\r\n+OK\r\n");
    let said = shop.told(&running, "backup monday");
    assert!(said.starts_with("monday has ") && said.ends_with("from the server that has them"), "{said}");
    assert!(shop.refused(&running, "backup monday").contains("FBBACKUPFAILED"));
    assert!(shop.refused(&running, "backup tuesday --db 7").contains("DB index is out of range"));
    assert!(
        shop.refused(&running, "backup tuesday --data nowhere").contains("there are no stores in nowhere")
    );
    std::fs::create_dir(shop.path().join("other")).unwrap();
    let folder = format!("{}/", shop.path().display());
    let refused = running.resp(&format!("FB.BACKUP {folder}tuesday {folder}other"));
    assert!(refused.starts_with("-FBBACKUPFAILED this keyspace keeps its stores in "), "{refused}");
    assert_eq!(running.resp("SET note:1 two"), "+OK\r\n+OK\r\n");
    let refused = running.resp("FB.BACKUP tuesday");
    assert!(refused.starts_with("-ERR name the folder by its whole path"), "{refused}");
    assert_eq!(running.stop().0, Some(0));

    std::fs::rename(shop.path().join("data"), shop.path().join("lost")).unwrap();
    assert_eq!(run(shop.path(), &["restore", "monday", "data"]).status.code(), Some(0));
    let running = shop.serve();
    assert_eq!(running.get("note:1").as_deref(), Some("one"));
    assert_eq!(running.stop().0, Some(0));
}

#[tokio::test]
async fn a_server_that_is_not_found_is_told_with_where_it_was_looked_for() {
    let shop = Shop::new().await;
    let running = shop.serve();
    for (words, told) in [
        (&["backup", "monday", "--resp", "127.0.0.1:1"][..], "nobody serves at 127.0.0.1:1"),
        (&["backup", "monday", "--resp", "127.0.0.1:1", "--data", "data"], "is in use by"),
    ] {
        let output = run(shop.path(), words);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(told) && said.contains("nobody serves at 127.0.0.1:1"), "{said}");
    }
    drop(running);
}

/// A client of a server at an address that is said need not be able to read what the declaration keeps secret.
#[tokio::test]
async fn a_client_needs_no_secrets_of_the_declaration() {
    let shop = Shop::new().await;
    let running = shop.serve();
    let secret = DECLARED.replace("sqlite:main.db", "${env:NO_SUCH_SECRET}");
    std::fs::write(shop.path().join("forebay.toml"), secret).unwrap();
    assert!(shop.told(&running, "backup monday").starts_with("monday has "));
    assert!(shop.told(&running, "put note:1 one").starts_with("note:1 has 3 bytes"));
    assert_eq!(shop.told(&running, "dead-letters list"), "no dead letters");
    let unsaid = run(shop.path(), &["backup", "tuesday"]);
    assert!(stderr(&unsaid).contains("NO_SUCH_SECRET"), "{}", stderr(&unsaid));
}

/// Another server, or one of another version.
#[test]
fn an_answer_that_is_not_known_is_told_as_that() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = [&["dead-letters", "list"][..], &["dead-letters", "show", "1"], &["jobs", "list"], &["warm"]];
    let serving = std::thread::spawn(move || {
        for _ in asked {
            let (mut stream, mut request) = (listener.accept().unwrap().0, [0; 1024]);
            while stream.read(&mut request).unwrap_or(0) > 0 {
                stream.write_all(b"+OK\r\n").unwrap();
            }
        }
    });
    for words in asked {
        let output = run(Path::new("."), &[words, &["--resp", &address]].concat());
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", stdout(&output));
        assert!(stderr(&output).contains("is it of another version?"), "{words:?}: {}", stderr(&output));
    }
    serving.join().unwrap();
}

#[tokio::test]
async fn dead_letters_are_listed_shown_replayed_and_dropped() {
    let shop = Shop::new().await;
    let running = shop.serve();
    assert_eq!(shop.told(&running, "dead-letters list"), "no dead letters");
    for code in ["a", "b", "c"] {
        let set = format!("SET price:{code} {{\"price\":{}}}", 100 + code.len());
        assert_eq!(
            running.resp(&set.replace('"', "\\\"").replace("{", "\"{").replace("}", "}\"")),
            "+OK\r\n+OK\r\n"
        );
    }
    // They are parked once the sink has refused them; a look that comes too soon sees fewer.
    let parked = async {
        loop {
            let listed = shop.told(&running, "dead-letters list price");
            if listed.lines().count() == 3 {
                return listed;
            }
            tokio::task::yield_now().await;
        }
    };
    let listed = tokio::time::timeout(std::time::Duration::from_secs(30), parked)
        .await
        .expect("the sink refuses three writes");
    let line = listed.lines().find(|line| line.contains("price:b")).unwrap();
    assert!(line.contains("put, tried ") && line.contains("CHECK"), "{line}");
    let id = line.split(' ').next().unwrap();
    let told = shop.told(&running, "dead-letters list price --json");
    let told: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(told.iter().any(|letter| letter["key"] == "price:b" && letter["id"] == *id), "{told:?}");
    let told = shop.told(&running, &format!("dead-letters show {id} --json"));
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["change"], &told["value"]), (&"put".into(), &r#"{"price":101}"#.into()));
    let shown = shop.told(&running, &format!("dead-letters show {id}"));
    assert!(shown.contains("price:b") && shown.contains(r#"value      {"price":101}"#), "{shown}");
    assert!(running.resp(r#"SET price:b "{\"price\":1}""#).starts_with("-FBPARKED"));

    assert_eq!(shop.told(&running, &format!("dead-letters drop {id}")), "1 are given up");
    assert_eq!(running.resp(r#"SET price:b "{\"price\":1}""#), "+OK\r\n+OK\r\n");
    assert!(shop.refused(&running, &format!("dead-letters replay {id}")).contains("there is no dead letter"));
    assert!(shop.refused(&running, "dead-letters show x").contains("there is no dead letter x"));
    assert!(shop.refused(&running, "dead-letters list scratch").contains("no namespace"));

    shop.sql("create table free (code text primary key, price integer)").await;
    shop.sql("drop table prices").await;
    shop.sql("alter table free rename to prices").await;
    assert_eq!(shop.told(&running, "dead-letters replay --all --json"), r#"{"replayed":2}"#);
    let prices = "select count(*) from prices where price = 101";
    let arrived = async {
        while sqlx::query_scalar::<_, i64>(prices).fetch_one(shop.database.sqlite().unwrap()).await.unwrap()
            < 2
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), arrived)
        .await
        .expect("they arrive in the database");
    assert_eq!(shop.told(&running, "dead-letters list"), "no dead letters");
    assert_eq!(running.stop().0, Some(0));
}
