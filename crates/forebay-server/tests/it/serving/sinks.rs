//! Writes that go to the database: before they are answered, or after, from a journal.

use forebay_server::assembly::AssemblyError;
use forebay_server::process::{Process, StartError};
use forebay_stores::database::Database;
use sqlx::{AssertSqlSafe, Executor, Row as _};
use tempfile::TempDir;

use super::{Resp, ask, ask_with, database, declaration, deployment, soon, start};

const SINKS: &str = r#"
[namespace.through]
key = "through:{code}"
ttl = "60s"
writes = "through"
source.sql = { database = "main", query = "select code, price from items where code in {keys}" }
sink.sql = { database = "main", write = "insert into items (code, price) values {rows} on conflict (code) do update set price = excluded.price", delete = "delete from items where code in {keys}" }
[namespace.behind]
key = "behind:{code}"
ttl = "60s"
writes = "behind"
source.sql = { database = "main", query = "select code, price from items where code in {keys}" }
sink.sql = { database = "main", write = "insert into items (code, price) values {rows} on conflict (code) do update set price = excluded.price", delete = "delete from items where code in {keys}" }
[namespace.kept]
key = "kept:{code}"
ttl = "60s"
writes = "through"
source.sql = { database = "main", query = "select code, price from items where code in {keys}" }
sink.sql = { database = "main", write = "insert into items (code, price) values {rows} on conflict (code) do update set price = excluded.price" }
"#;

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

    async fn try_start(&self, rest: &str) -> Result<Process, StartError> {
        let text = declaration(self.folder.path(), "127.0.0.1:0", "127.0.0.1:0", rest);
        start(&deployment("forebay.toml", &text), &[]).await
    }

    async fn start(&self) -> (Process, Resp) {
        let process = self.try_start(SINKS).await.unwrap();
        let client = Resp::connect(process.resp).await;
        (process, client)
    }

    async fn sql(&self, sql: &str) {
        self.database.sqlite().unwrap().execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    }

    async fn price(&self, code: &str) -> Option<i64> {
        let row = sqlx::query("select price from items where code = ?").bind(code.to_owned());
        row.fetch_optional(self.database.sqlite().unwrap()).await.unwrap().map(|row| row.get(0))
    }

    /// Waits until the row is as it is to be.
    async fn comes(&self, code: &str, price: Option<i64>) {
        soon(async { while self.price(code).await != price {} }).await;
    }
}

#[tokio::test]
async fn a_write_through_is_in_the_database_when_it_is_answered() {
    let world = World::new().await;
    let (process, mut client) = world.start().await;
    assert_eq!(client.say("GET through:a").await, r#"{"code":"a","price":1}"#);
    assert_eq!(client.say(r#"SET through:a {"price":10}"#).await, "OK");
    assert_eq!(world.price("a").await, Some(10));
    assert_eq!(client.say("GET through:a").await, r#"{"code":"a","price":10}"#);
    assert_eq!(client.say("DEL through:a").await, "1");
    assert_eq!(world.price("a").await, None);
    assert_eq!(client.say("GET through:a").await, "nil");
    let path = "/v1/shop/through/through:n";
    assert_eq!(ask_with(process.http, "PUT", path, "", r#"{"price":5}"#).await.status, 204);
    assert_eq!(world.price("n").await, Some(5));
    assert_eq!(ask(process.http, "GET", path, "").await.header("content-type"), "application/json");
    assert_eq!(ask(process.http, "DELETE", path, "").await.status, 204);
    assert_eq!(world.price("n").await, None);
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn what_a_sink_refuses_or_cannot_do_is_told() {
    let world = World::new().await;
    let (process, mut client) = world.start().await;
    world.sql("create trigger no_13 before insert on items when new.price = 13 begin select raise(abort, '13'); end").await;
    assert!(client.say(r#"SET through:a {"price":13}"#).await.starts_with("!FBSINKREFUSED"));
    let path = "/v1/shop/through/through:a";
    let refused = ask_with(process.http, "PUT", path, "", r#"{"price":13}"#).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "sink_refused"));
    assert!(
        client
            .say("SET through:a 1 NX")
            .await
            .starts_with("!ERR what a command leaves may not depend on a copy")
    );
    assert_eq!(world.price("a").await, Some(1));

    world.sql("alter table items rename to others").await;
    assert!(client.say(r#"SET through:a {"price":2}"#).await.starts_with("!FBSINKFAILED"));
    let failed = ask_with(process.http, "PUT", path, "", r#"{"price":2}"#).await;
    assert_eq!((failed.status, failed.problem().as_str()), (502, "sink_failed"));
    assert_eq!(failed.header("retry-after"), "1");
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn what_a_sink_cannot_write_is_told_to_the_writer_and_parks_nothing() {
    let world = World::new().await;
    let (process, mut client) = world.start().await;
    for (line, told) in [
        ("SET through:a [1]", "no JSON object"),
        ("SET behind:a [1]", "no JSON object"),
        ("SET behind:a plain", "no JSON object"),
        (r#"SET behind:a {"cost":1}"#, "no member `price`"),
        ("DEL kept:a", "declares no `delete`"),
    ] {
        let answer = client.say(line).await;
        assert!(answer.starts_with('!') && answer.contains(told), "{line}: {answer}");
    }
    for (path, body, told) in [
        ("/v1/shop/through/through:a", "[1]", "no JSON object"),
        ("/v1/shop/behind/behind:a", r#"{"cost":1}"#, "no member `price`"),
    ] {
        let refused = ask_with(process.http, "PUT", path, "", body).await;
        assert_eq!((refused.status, refused.problem().as_str()), (422, "unfit"), "{path}");
        assert!(refused.body.contains(told), "{}", refused.body);
    }
    // Its key is not parked.
    assert_eq!(client.say(r#"SET behind:a {"price":8}"#).await, "OK");
    world.comes("a", Some(8)).await;
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn a_value_is_of_the_type_that_its_writer_says() {
    let world = World::new().await;
    let (process, _client) = world.start().await;
    world.sql("alter table items rename to others").await;
    let path = "/v1/shop/behind/behind:new";
    for (said, content_type) in [
        ("Content-Type: application/vnd.item+json\r\n", "application/vnd.item+json"),
        ("", "application/octet-stream"),
    ] {
        assert_eq!(ask_with(process.http, "PUT", path, said, r#"{"price":7}"#).await.status, 204);
        let pending = ask(process.http, "GET", path, "").await;
        assert_eq!((pending.header("content-type"), pending.body.as_str()), (content_type, r#"{"price":7}"#));
    }
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn writes_behind_arrive_in_the_database() {
    let world = World::new().await;
    let (process, mut client) = world.start().await;
    for number in 0..50 {
        let line = format!(r#"SET behind:k{} {{"price":{number}}}"#, number % 5);
        assert_eq!(client.say(&line).await, "OK");
    }
    assert!(client.say("GET behind:k4").await.ends_with(r#""price":49}"#), "at once, applied or not");
    for key in 0..5 {
        world.comes(&format!("k{key}"), Some(45 + key)).await;
    }
    assert_eq!(client.say("DEL behind:k0").await, "1");
    assert_eq!(client.say("GET behind:k0").await, "nil");
    world.comes("k0", None).await;
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn writes_that_wait_for_the_database_outlive_the_process() {
    let world = World::new().await;
    let (process, mut client) = world.start().await;
    world.sql("alter table items rename to others").await;
    assert_eq!(client.say(r#"SET behind:late {"price":7}"#).await, "OK");
    assert_eq!(client.say("GET behind:late").await, r#"{"price":7}"#);
    assert!(soon(process.stop()).await);

    world.sql("alter table others rename to items").await;
    let (process, mut client) = world.start().await;
    assert!(client.say("GET behind:late").await.ends_with(r#""price":7}"#), "at once, applied or not");
    world.comes("late", Some(7)).await;
    // What has no copies on disk goes as far as the journals.
    let alone = format!("[shared]\nurl = 'memory'\n{SINKS}");
    let second = world.try_start(&alone).await.expect_err("its journal is in use");
    let message = second.to_string();
    let StartError::Assembly(AssemblyError::Journal { namespace, .. }) = second else { panic!("{message}") };
    assert_eq!(namespace, "behind");
    assert!(message.contains("belongs to process") && message.contains("stop it"), "{message}");
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn a_write_that_is_never_applied_parks_its_key_alone() {
    let world = World::new().await;
    let (process, mut client) = world.start().await;
    world
        .sql("create trigger no_13 before insert on items when new.price = 13 begin select raise(abort, '13'); end")
        .await;
    let mut parked = client.say(r#"SET behind:p {"price":13}"#).await;
    for number in 0..20 {
        if parked != "OK" {
            break;
        }
        // Once a later write has arrived, that one has had its turn, or will have it very soon.
        assert_eq!(client.say(&format!(r#"SET behind:o {{"price":{number}}}"#)).await, "OK");
        world.comes("o", Some(number)).await;
        parked = client.say(r#"SET behind:p {"price":13}"#).await;
    }
    assert!(parked.starts_with("!FBPARKED") && parked.contains("dead letter"), "{parked}");
    let answer = ask_with(process.http, "PUT", "/v1/shop/behind/behind:p", "", r#"{"price":1}"#).await;
    assert_eq!((answer.status, answer.problem().as_str()), (409, "parked"));
    assert_eq!(client.say(r#"SET behind:q {"price":1}"#).await, "OK");
    world.comes("q", Some(1)).await;
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn a_sink_that_cannot_work_is_told_before_a_port_opens() {
    let world = World::new().await;
    for (statement, told) in [
        ("insert into nowhere (code, price) values {rows}", "no such table: nowhere"),
        ("insert into items (price) values {rows}", "does not write the column `code`"),
        ("update items set price = 1 where {rows}", "must be `insert into TABLE"),
    ] {
        let namespace = format!(
            "[namespace.item]\nkey = 'item:{{code}}'\nttl = '1s'\nwrites = 'through'\n\
             source.sql = {{ database = 'main', query = 'select * from items where code in {{keys}}' }}\n\
             sink.sql = {{ database = 'main', write = '{statement}' }}\n"
        );
        let error = world.try_start(&namespace).await.expect_err(statement);
        let message = error.to_string();
        assert!(matches!(error, StartError::Assembly(AssemblyError::Unfit(_))), "{message}");
        assert!(message.contains("namespace `item`") && message.contains(told), "{message}");
    }
}
