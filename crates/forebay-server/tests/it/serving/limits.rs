//! Quotas of a day and logs of operations, over both front ends.

use std::io;
use std::sync::{Arc, Mutex};

use forebay::rt::Clock;
use forebay_server::observe::log;
use forebay_server::process::{self, Process};
use forebay_server::time::WallClock;
use tempfile::TempDir;

use super::{Resp, Unseen, ask, ask_with, declaration, deployment, soon};

const NOON_MS: u64 = 20_000 * 86_400_000 + 43_200_000;

/// Serves `item`, which refuses writes, and `note`, which takes them, each with more options, by a wall clock that stands.
struct Limited {
    process: Process,
    wall: WallClock,
    folder: TempDir,
}

fn text(folder: &TempDir, item: &str, note: &str) -> String {
    let source =
        "source.sql = { database = 'main', query = 'select code, price from items where code in {keys}' }";
    let rest = format!(
        "[namespace.item]\nkey = 'item:{{code}}'\nttl = '60s'\n{item}\n{source}\n\
         [namespace.note]\nkey = 'note:{{code}}'\nttl = '60s'\nwrites = 'cache'\n{note}\n{source}\n"
    );
    declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", &rest)
}

impl Limited {
    async fn serve(item: &str, note: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        super::database(&folder.path().join("main.db")).await;
        let wall = WallClock::standing(NOON_MS);
        let deployment = deployment("forebay.toml", &text(&folder, item, note));
        let started = process::start_by(&deployment, &[], Arc::new(Unseen), Clock::system(), wall.clone());
        Self { process: soon(started).await.unwrap(), wall, folder }
    }

    async fn reload(&mut self, item: &str, note: &str) {
        let deployment = deployment("forebay.toml", &text(&self.folder, item, note));
        soon(self.process.reload(deployment)).await.unwrap();
    }
}

#[tokio::test]
async fn a_days_quota_is_kept_by_both_front_ends_until_midnight() {
    let quota = "quota = { reads = 6, writes = 1 }";
    let mut stage = Limited::serve(quota, "").await;
    let http = stage.process.http;
    let mut client = Resp::connect(stage.process.resp).await;
    let spent = "!FBQUOTA the namespace `item` takes no more than 6 reads a day: there are";
    // A miss, and hits that memory answers.
    for _ in 0..3 {
        assert_eq!(client.say("GET item:a").await, r#"{"code":"a","price":1}"#);
    }
    assert_eq!(ask(http, "GET", "/v1/shop/item/item:a", "").await.status, 200);
    assert_eq!(ask(http, "GET", "/v1/shop/item/item:none", "").await.status, 404);
    let refused = client.say("MGET item:a item:b note:a").await;
    assert_eq!(
        refused,
        format!("{spent} 1 left, and 43200 s to midnight UTC"),
        "it takes all of its keys or none"
    );
    let body = r#"{"keys":["item:a","item:b"]}"#;
    let refused = ask_with(http, "POST", "/v1/shop/item:get", "", body).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "43200"));
    assert_eq!(refused.problem(), "quota_spent");
    assert_eq!(client.say("EXISTS item:a").await, "1");
    assert_eq!(client.say("GET item:a").await, format!("{spent} 0 left, and 43200 s to midnight UTC"));
    assert_eq!(ask(http, "GET", "/v1/shop/item/item:a", "").await.status, 429);
    assert!(client.say("FB.FRESH item:a").await.starts_with(spent));
    assert_eq!(client.say("GET note:a").await, r#"{"code":"a","price":1}"#, "another namespace has none");
    // What it costs no more to forget is not counted.
    assert_eq!(client.say("FB.INVALIDATE item:a").await, "1");

    assert_eq!(client.say("DEL item:a").await, "0");
    assert!(client.say("DEL item:a").await.starts_with("!FBQUOTA"), "a write of two");
    for (line, answer) in [("MULTI", "OK"), ("DEL item:a", "!FBQUOTA")] {
        assert!(client.say(line).await.starts_with(answer), "{line}");
    }
    assert!(client.say("EXEC").await.starts_with("!EXECABORT"));

    let told = client.say("FB.STATS item").await;
    assert!(
        told.ends_with("quota_reads 6 quota_writes 1 used_reads 6 used_writes 1 quota_refusals 9]]"),
        "{told}"
    );
    let metrics = ask(http, "GET", "/metrics", "").await.body;
    for line in [
        r#"forebay_namespace_quota_keys{keyspace="shop",namespace="item",use="write"} 1"#,
        r#"forebay_namespace_quota_used_keys{keyspace="shop",namespace="item",use="read"} 6"#,
        r#"forebay_namespace_quota_refusals_total{keyspace="shop",namespace="item"} 9"#,
    ] {
        assert!(metrics.contains(line), "no {line}");
    }

    stage.reload("quota = { reads = 7 }", "").await;
    assert_eq!(client.say("GET item:a").await, r#"{"code":"a","price":1}"#, "one more than before");
    assert!(client.say("GET item:a").await.contains("takes no more than 7 reads"), "what was used is known");
    stage.wall.set(NOON_MS + 43_200_000);
    assert_eq!(client.say("GET item:a").await, r#"{"code":"a","price":1}"#, "a new day");
    let told = client.say("FB.STATS item").await;
    assert!(told.contains("quota_reads 7 used_reads 1 used_writes 0"), "{told}");
    drop(client);
    assert!(soon(stage.process.stop()).await);
}

#[tokio::test]
async fn a_command_of_several_namespaces_takes_of_all_their_quotas_or_of_none() {
    let stage = Limited::serve("quota = { reads = 1 }", "quota = { reads = 1 }").await;
    let mut client = Resp::connect(stage.process.resp).await;
    assert!(client.say("MGET item:a note:a note:b").await.starts_with("!FBQUOTA the namespace `note`"));
    assert_eq!(client.say("GET item:a").await, r#"{"code":"a","price":1}"#);
    assert!(client.say("MGET note:a item:a").await.starts_with("!FBQUOTA the namespace `item`"));
    assert_eq!(client.say("GET note:a").await, r#"{"code":"a","price":1}"#);
}

/// What is written to the log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The operations that were told since the last time: verb, namespace, key, keys and outcome, and of what kind it says who asked.
    fn operations(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let operations = lines.filter(|line| line["target"] == "forebay_server::operations");
        let shown = |line: serde_json::Value| {
            assert!(line["duration_us"].is_u64() && line["keyspace"] == "shop", "{line}");
            let who = if line["request"].is_string() { "request" } else { "connection" };
            assert!(!line[who].is_null(), "{line}");
            let word = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("{line}")).to_owned();
            let (verb, namespace, key, outcome) =
                (word("verb"), word("namespace"), word("key"), word("outcome"));
            format!("{verb} {namespace} {key} {} {outcome} {who}", line["keys"])
        };
        operations.map(shown).collect()
    }
}

/// All on one thread, whose log it is.
#[tokio::test]
async fn operations_are_told_where_that_is_declared_until_a_reload_ends_it() {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = log::to(log::Form::Json, log::FILTER, false, move || writer.clone()).unwrap();
    // While there is one log alone, what another test's thread comes to first is asked of that thread, which has none, and never again.
    let _second = log::to(log::Form::Json, "trace", false, std::io::sink).unwrap();
    let _here = tracing::dispatcher::set_default(&log);
    let mut stage = Limited::serve("log = 'operations'\nquota = { reads = 8 }", "").await;
    let http = stage.process.http;
    let mut client = Resp::connect(stage.process.resp).await;
    for line in
        ["GET item:a", "GET item:a", "MGET item:a note:a item:none", "GET note:a", "SET item:a 1", "PING"]
    {
        client.say(line).await;
    }
    ask(http, "GET", "/v1/shop/item/item:b", "").await;
    ask(http, "GET", "/v1/shop/item/item:none", "").await;
    ask_with(http, "POST", "/v1/shop/item:get", "", r#"{"keys":["item:a","item:b"]}"#).await;
    client.say("MULTI").await;
    client.say("GET item:a").await;
    client.say("EXEC").await;
    assert_eq!(
        lines.operations(),
        [
            "GET item item:a 1 ok connection",
            "GET item item:a 1 ok connection",
            "MGET item item:a 2 ok connection",
            "SET item item:a 1 error connection",
            "GET item item:b 1 ok request",
            "GET item item:none 1 ok request",
            "GET item item:a 2 ok request",
            "GET item item:a 1 quota connection",
        ]
    );
    stage.reload("", "log = 'operations'").await;
    client.say("GET item:a").await;
    client.say("GET note:a").await;
    assert_eq!(lines.operations(), ["GET note note:a 1 ok connection"]);
    drop(client);
    assert!(soon(stage.process.stop()).await);
}
