//! Copies on disk: a restart is warm, and damage costs the copies and nothing else.

use forebay_server::assembly::AssemblyError;
use forebay_server::process::{Process, StartError};
use forebay_stores::database::Database;
use sqlx::Executor;
use tempfile::TempDir;

use super::{Resp, ask, database, declaration, deployment, soon, start};

const ITEM: &str = r#"
[namespace.item]
key = "item:{code}"
ttl = "1h"
source.sql = { database = "main", query = "select code, price from items where code in {keys}" }
[namespace.kept]
key = "kept:{name}"
ttl = "1d"
mode = "store"
durability = "always"
"#;

const A: &str = r#"{"code":"a","price":1}"#;
const NEW: &str = r#"{"code":"a","price":9}"#;

/// A folder with a database, that processes serve one after the other.
struct World {
    folder: TempDir,
    database: Database,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder.path().join("main.db")).await;
        Self { folder, database }
    }

    async fn try_start(&self) -> Result<Process, StartError> {
        self.try_serve(ITEM).await
    }

    async fn try_serve(&self, declared: &str) -> Result<Process, StartError> {
        let text = declaration(self.folder.path(), "127.0.0.1:0", "127.0.0.1:0", declared);
        start(&deployment("forebay.toml", &text), &[]).await
    }

    async fn start(&self) -> (Process, Resp) {
        let process = self.try_start().await.unwrap();
        let client = Resp::connect(process.resp).await;
        (process, client)
    }

    /// Changes the row behind everybody's back.
    async fn change(&self) {
        self.database.sqlite().unwrap().execute("update items set price = 9 where code = 'a'").await.unwrap();
    }
}

#[tokio::test]
async fn a_restart_is_warm_and_what_was_dropped_stays_gone() {
    let world = World::new().await;
    let (process, mut client) = world.start().await;
    assert_eq!(client.say("MGET item:a item:b").await, format!(r#"[{A} {{"code":"b","price":2}}]"#));
    assert_eq!(client.say("SET kept:a 1").await, "OK");
    assert!(soon(process.stop()).await);

    world.change().await;
    let (process, mut client) = world.start().await;
    let found = ask(process.http, "GET", "/v1/shop/item/item:a", "").await;
    assert_eq!(found.seen(), ("HIT", A), "the copy of the run before");
    assert!(found.header("cache-status").contains("detail=shared"), "{found:?}");
    assert_eq!(client.say("GET kept:a").await, "1");
    assert_eq!(client.say("DEL item:a").await, "1");
    assert!(soon(process.stop()).await);

    let (process, mut client) = world.start().await;
    assert_eq!(client.say("GET item:a").await, NEW);
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn copies_of_what_is_declared_otherwise_now_are_not_taken() {
    for (was, is, found) in [
        (r#"ttl = "1h""#, r#"ttl = "2h""#, ("HIT", A)),
        (r#"ttl = "1h""#, r#"ttl = "1ms""#, ("MISS", NEW)),
        ("select code, price", "select price, code", ("MISS", r#"{"price":9,"code":"a"}"#)),
        (r#"ttl = "1h""#, "ttl = \"1h\"\nshape = 1", ("MISS", NEW)),
    ] {
        let world = World::new().await;
        let (process, mut client) = world.start().await;
        assert_eq!(client.say("GET item:a").await, A);
        assert!(soon(process.stop()).await);

        world.change().await;
        let process = world.try_serve(&ITEM.replacen(was, is, 1)).await.unwrap();
        assert_eq!(ask(process.http, "GET", "/v1/shop/item/item:a", "").await.seen(), found, "{is}");
        assert!(soon(process.stop()).await);
    }
}

#[tokio::test]
async fn copies_that_cannot_be_read_are_set_aside() {
    let world = World::new().await;
    let format = world.folder.path().join("cache/format");
    for round in 0..3 {
        let (process, mut client) = world.start().await;
        let seen = client.say("GET item:a").await;
        assert_eq!(seen, if round == 0 { A } else { NEW }, "from the source: there are no copies");
        assert_eq!(client.say("SET kept:a 1").await, "OK");
        assert!(soon(process.stop()).await);
        match round {
            1 => std::fs::remove_file(&format).unwrap(),
            _ => std::fs::write(&format, "forebay disk 99\n").unwrap(),
        }
        world.change().await;
    }
    let (process, mut client) = world.start().await;
    assert_eq!(client.say("GET kept:a").await, "1");
    assert!(world.folder.path().join("cache.damaged/format").exists());
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn files_that_are_no_copies_are_left_where_they_are() {
    let world = World::new().await;
    let letter = world.folder.path().join("cache/letter.txt");
    std::fs::create_dir(letter.parent().unwrap()).unwrap();
    std::fs::write(&letter, "dear all").unwrap();
    let error = world.try_start().await.expect_err("the folder is somebody's");
    assert!(error.to_string().contains("no folder of Forebay's"), "{error}");
    assert!(letter.exists());
}

#[tokio::test]
async fn one_process_has_the_copies() {
    let world = World::new().await;
    let (process, _) = world.start().await;
    let error = world.try_start().await.expect_err("the folder is in use");
    let message = error.to_string();
    assert!(matches!(error, StartError::Assembly(AssemblyError::Copies(_))), "{message}");
    assert!(message.contains("is in use by"), "{message}");
    assert!(soon(process.stop()).await);
}
