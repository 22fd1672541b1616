//! Stores: what is written there is the truth, and outlives the process.

use forebay_server::assembly::AssemblyError;
use forebay_server::process::{Process, StartError};
use forebay_stores::disk::DiskError;
use tempfile::TempDir;

use super::{Answer, Resp, ask, ask_with, declaration, deployment, soon, start};

const STORES: &str = r#"
[namespace.session]
key = "session:{id}"
mode = "store"
ttl = { idle = "1h", max = "30d" }
[namespace.setting]
key = "setting:{name}"
mode = "store"
ttl = "100d"
durability = "always"
[namespace.draft]
key = "draft:{name}"
mode = "store"
ttl = "1d"
durability = "none"
"#;

/// A folder that processes serve one after the other.
struct Kept(TempDir);

impl Kept {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn try_start(&self) -> Result<Process, StartError> {
        let text = declaration(self.0.path(), "127.0.0.1:0", "127.0.0.1:0", STORES);
        let text = text.replace("[database.main]\n", "").replace("url = 'sqlite", "#");
        start(&deployment("forebay.toml", &text), &[]).await
    }

    async fn start(&self) -> Process {
        self.try_start().await.unwrap()
    }
}

async fn put(process: &Process, key: &str, content_type: &str, body: &str) -> Answer {
    let headers = format!("Content-Type: {content_type}\r\n");
    ask_with(process.http, "PUT", key, &headers, body).await
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let kept = Kept::new();
    let process = kept.start().await;
    let mut client = Resp::connect(process.resp).await;
    for line in ["SET session:1 ann", "SET setting:theme dark", "SET draft:a x", "SET draft:gone x"] {
        assert_eq!(client.say(line).await, "OK");
    }
    assert_eq!(client.say("DEL draft:gone draft:never setting:none").await, "1");
    assert_eq!(put(&process, "/v1/shop/draft/draft:page", "text/html", "<p>").await.status, 204);
    assert!(soon(process.stop()).await);

    let process = kept.start().await;
    let mut client = Resp::connect(process.resp).await;
    assert_eq!(client.say("MGET session:1 setting:theme draft:a draft:gone").await, "[ann dark x nil]");
    assert_eq!(client.say("EXISTS draft:page draft:gone").await, "1");
    let page = ask(process.http, "GET", "/v1/shop/draft/draft:page", "").await;
    assert_eq!((page.status, page.header("content-type"), page.body.as_str()), (200, "text/html", "<p>"));
    assert_eq!(page.header("cache-control"), "no-cache");
    let deleted = ask(process.http, "DELETE", "/v1/shop/draft/draft:page", "").await;
    assert_eq!(deleted.status, 204);
    let gone = ask(process.http, "GET", "/v1/shop/draft/draft:page", "").await;
    assert_eq!((gone.status, gone.header("cache-control")), (404, "no-cache"));
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn values_end_when_they_were_told_to() {
    let kept = Kept::new();
    let process = kept.start().await;
    let mut client = Resp::connect(process.resp).await;
    assert_eq!(client.say("SET setting:a 1").await, "OK");
    assert_eq!(client.say("TTL setting:a").await, "8640000");
    assert_eq!(client.say("EXPIRE setting:a 100").await, "1");
    assert_eq!(client.say("TTL setting:a").await, "100");
    assert_eq!(client.say("SET setting:a 2 KEEPTTL").await, "OK");
    assert_eq!(client.say("TTL setting:a").await, "100");
    assert_eq!(client.say("PERSIST setting:a").await, "1");
    assert_eq!(client.say("TTL setting:a").await, "-1");
    assert_eq!(client.say("SET setting:b 1 EX 50").await, "OK");
    assert_eq!(client.say("PEXPIRE setting:c 50").await, "0");
    assert_eq!(client.say("SET session:1 x").await, "OK");
    assert_eq!(client.say("TTL session:1").await, "3600");
    assert!(soon(process.stop()).await);

    let process = kept.start().await;
    let mut client = Resp::connect(process.resp).await;
    assert_eq!(client.say("TTL setting:a").await, "-1");
    let left: u64 = client.say("TTL setting:b").await.parse().unwrap();
    assert!((40..=50).contains(&left), "{left}");
    assert_eq!(client.say("TTL setting:none").await, "-2");
    assert_eq!(client.say("EXPIRE setting:a 0").await, "1");
    assert_eq!(client.say("GET setting:a").await, "nil");
    assert_eq!(client.say("TYPE setting:b").await, "string");
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn a_set_can_depend_on_what_is_there() {
    let kept = Kept::new();
    let process = kept.start().await;
    let mut client = Resp::connect(process.resp).await;
    for (line, said) in [
        ("SET setting:a 1 NX", "OK"),
        ("SET setting:a 2 NX", "nil"),
        ("SET setting:b 1 XX KEEPTTL", "nil"),
        ("SET setting:a 3 XX KEEPTTL GET", "1"),
        ("SET setting:c 1 GET KEEPTTL", "nil"),
        ("MGET setting:a setting:b setting:c", "[3 nil 1]"),
        ("SET setting:a 4 EXAT 1", "OK"),
        ("GET setting:a", "nil"),
        ("SET setting:a 5 NX EX 10", "OK"),
        ("TTL setting:a", "10"),
        ("SET setting:a 6 XX KEEPTTL", "OK"),
        ("TTL setting:a", "10"),
        ("SET setting:a 7 XX GET", "6"),
        ("TTL setting:a", "8640000"),
    ] {
        assert_eq!(client.say(line).await, said, "{line}");
    }
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn one_process_has_the_stores() {
    let kept = Kept::new();
    let process = kept.start().await;
    let error = kept.try_start().await.expect_err("the folder is in use");
    let message = error.to_string();
    let StartError::Assembly(AssemblyError::Disk { keyspace, source: DiskError::InUse { .. } }) = error
    else {
        panic!("{message}")
    };
    assert_eq!(keyspace, "shop");
    assert!(message.contains("is in use by") && message.contains("stop that process"), "{message}");
    assert!(soon(process.stop()).await);
    assert!(soon(kept.start().await.stop()).await);
}

#[tokio::test]
async fn damaged_stores_are_refused_and_left_alone() {
    let kept = Kept::new();
    assert!(soon(kept.start().await.stop()).await);
    let format = kept.0.path().join("stores/format");
    let whole = std::fs::read(&format).unwrap();
    std::fs::write(&format, "forebay disk 99\n").unwrap();
    let error = kept.try_start().await.expect_err("nobody can read it").to_string();
    assert!(error.contains("the stores of keyspace `shop`") && error.contains("format 99"), "{error}");
    std::fs::write(&format, whole).unwrap();
    assert!(soon(kept.start().await.stop()).await);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_a_problem() {
    let kept = Kept::new();
    let process = kept.start().await;
    let body = "x".repeat((25 << 20) + 1);
    let answer = ask_with(process.http, "PUT", "/v1/shop/draft/draft:a", "", &body).await;
    assert_eq!((answer.status, answer.problem().as_str()), (413, "too_large"));
    assert!(soon(process.stop()).await);
}
