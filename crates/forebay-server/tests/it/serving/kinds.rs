//! Declared kinds: what is written where nobody else has the truth is of the kind that its namespace declares, by whatever door.

use forebay_server::process::Process;
use tempfile::TempDir;

use super::{Resp, Stage, ask_with, database, declaration, deployment, soon, start};

const KINDS: &str = r#"
[namespace.session]
key = "session:{id}"
mode = "store"
ttl = "1d"
kind = "hash"
[namespace.board]
key = "board:{id}"
mode = "store"
ttl = "1d"
kind = "sorted_set"
[namespace.hits]
key = "hits:{id}"
mode = "store"
ttl = "1d"
kind = "counter"
[namespace.page]
key = "page:{id}"
mode = "store"
ttl = "1d"
kind = "blob"
[namespace.cart]
key = "cart:{id}"
mode = "cache"
ttl = "1d"
kind = "hash"
[namespace.note]
key = "note:{code}"
ttl = "1d"
writes = "cache"
source.sql = { database = "main", query = "select code, price from items where code in {keys}" }
[namespace.copy]
key = "copy:{code}"
ttl = "1d"
kind = "hash"
writes = "cache"
source.sql = { database = "main", query = "select code, price from items where code in {keys}" }
"#;

async fn started(folder: &TempDir, namespaces: &str) -> Process {
    let text = declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", namespaces);
    start(&deployment("forebay.toml", &text), &[]).await.unwrap_or_else(|error| panic!("{error}"))
}

const NO_BLOB: &str = "!FBKIND the namespace declares `kind = \"hash\"` and takes no blob: write fields, or declare another `kind`";

#[tokio::test]
async fn a_store_takes_what_it_is_declared_to_hold() {
    let stage = Stage::with(KINDS).await;
    let mut client = stage.resp().await;
    for (line, answer) in [
        ("HSET session:1 name ann", "1"),
        ("ZADD board:1 7 ann", "1"),
        ("SET page:1 7", "OK"),
        ("HSET cart:1 apple 2", "1"),
        // A number is a counter, and a counter is its text.
        ("SET hits:1 41", "OK"),
        ("INCR hits:1", "42"),
        ("INCRBY hits:2 5", "5"),
        ("GETSET hits:2 6", "5"),
        ("APPEND hits:2 0", "2"),
        ("COPY hits:2 page:2", "1"),
        ("COPY page:1 hits:3", "1"),
        ("INCR hits:3", "8"),
        ("MGET hits:1 hits:2 page:2 hits:3", "[42 60 60 8]"),
        ("TYPE hits:1", "string"),
        // What ends, or goes, is of no kind.
        ("EXPIRE session:1 100", "1"),
        ("PERSIST session:1", "1"),
        ("DEL board:1", "1"),
    ] {
        assert_eq!(client.say(line).await, answer, "{line}");
    }
}

#[tokio::test]
async fn another_kind_is_refused_and_changes_nothing() {
    let stage = Stage::with(KINDS).await;
    let mut client = stage.resp().await;
    for line in ["HSET session:1 name ann", "SET hits:1 1", "SET page:1 x", "SET loose 1"] {
        assert!(!client.say(line).await.starts_with('!'), "{line}");
    }
    for line in [
        "SET session:1 x",
        "SET session:2 x",
        "SET session:2 x NX",
        "SET session:2 x EX 10",
        "MSET page:1 y session:2 x",
        "APPEND session:2 x",
        "INCR session:2",
        "SETRANGE session:2 0 x",
        "COPY loose session:2",
        "RENAME loose session:2",
        "ZADD session:2 1 x",
        "SET cart:1 x",
        "INCR cart:1",
        "SET copy:a x",
        "MSET cart:2 x copy:a x",
        "HSET board:1 f v",
        "HSET page:2 f v",
        "ZADD page:2 1 x",
        "HSET hits:2 f v",
        "SET hits:1 seven",
        "SET hits:1 007",
        "INCRBYFLOAT hits:1 0.5",
        "APPEND hits:1 x",
        "ZUNIONSTORE session:2 1 board:1 AGGREGATE MAX",
    ] {
        let answer = client.say(line).await;
        // An empty union deletes, which is of no kind.
        let done = if line.starts_with("ZUNION") { answer == "0" } else { answer.starts_with("!FBKIND ") };
        assert!(done, "{line}: {answer}");
    }
    assert_eq!(client.say("SET session:2 x").await, NO_BLOB);
    assert_eq!(client.say("GET session:1").await.split(' ').next(), Some("!WRONGTYPE"));
    assert_eq!(client.say("HGETALL session:1").await, "[name ann]");
    assert_eq!(client.say("MGET hits:1 page:1 loose").await, "[1 x 1]");
    assert_eq!(client.say("EXISTS session:2 board:1 cart:1 cart:2 page:2 hits:2").await, "0");

    // Within a transaction the one command is refused, as with a wrong type, and the others are done.
    for line in ["MULTI", "SET page:3 a", "SET session:2 x", "HSET session:2 f v"] {
        client.say(line).await;
    }
    assert_eq!(client.say("EXEC").await, format!("[OK {NO_BLOB} 1]"));
    assert_eq!(client.say("GET page:3").await, "a");
}

#[tokio::test]
async fn a_command_that_is_refused_within_a_transaction_writes_no_part_of_itself() {
    let stage = Stage::with(KINDS).await;
    let mut client = stage.resp().await;
    for line in [
        "SET page:1 x",
        "MULTI",
        "SET page:2 a",
        "MSET page:1 y page:3 y session:4 y",
        "MSETNX page:3 y session:4 y",
        "MSET page:3 y hits:1 seven",
        "RENAME page:1 session:4",
        "COPY page:1 hits:1 REPLACE",
        "APPEND page:2 b",
    ] {
        client.say(line).await;
    }
    let replies = client.say("EXEC").await;
    assert_eq!(replies.matches("!FBKIND ").count(), 5, "{replies}");
    assert!(replies.starts_with("[OK !") && replies.ends_with(" 2]"), "{replies}");
    assert_eq!(client.say("MGET page:1 page:2 page:3 hits:1").await, "[x ab nil nil]");
    assert_eq!(client.say("EXISTS session:4").await, "0");
}

#[tokio::test]
async fn what_a_copy_has_beside_its_bytes_is_not_lost_in_a_counter() {
    let stage = Stage::with(KINDS).await;
    let mut client = stage.resp().await;
    let described = "Forebay-Metadata: {}\r\nContent-Type: text/plain\r\n";
    let put = ask_with(stage.process.http, "PUT", "/v1/shop/note/note:a", described, "7").await;
    assert_eq!(put.status, 204, "{}", put.body);
    for line in ["COPY note:a hits:1 REPLACE", "RENAME note:a hits:1"] {
        let answer = client.say(line).await;
        assert!(answer.starts_with("!FBKIND "), "{line}: {answer}");
    }
    assert_eq!(client.say("EXISTS hits:1 note:a").await, "1", "it is where it was");
    assert_eq!(client.say("COPY note:a page:1 REPLACE").await, "1");
    let page = stage.get("/v1/shop/page/page:1").await;
    assert_eq!((page.header("forebay-metadata"), page.header("content-type")), ("{}", "text/plain"));
    client.say("SET note:b 7").await;
    assert_eq!(client.say("COPY note:b hits:1 REPLACE").await, "1");
    assert_eq!(client.say("INCR hits:1").await, "8");
}

#[tokio::test]
async fn http_is_told_the_kind() {
    let stage = Stage::with(KINDS).await;
    let put = async |path: &str, headers: &str, body: &str| {
        ask_with(stage.process.http, "PUT", path, headers, body).await
    };
    for (path, headers) in [
        ("/v1/shop/session/session:1", ""),
        ("/v1/shop/session/session:1", "If-None-Match: *\r\n"),
        ("/v1/shop/hits/hits:1", ""),
        ("/v1/shop/cart/cart:1", ""),
    ] {
        let refused = put(path, headers, "x").await;
        assert_eq!(refused.status, 409, "{path}");
        assert!(
            refused.body.contains("wrong_kind") && refused.body.contains("declares `kind"),
            "{}",
            refused.body
        );
        assert!(refused.header("etag").is_empty(), "{path}");
    }
    let given = put("/v1/shop/hits/hits:1", "", "7").await;
    assert_eq!(given.status, 204);
    let read = stage.get("/v1/shop/hits/hits:1").await;
    assert_eq!((read.status, read.body.as_str(), read.header("content-type")), (200, "7", "text/plain"));
    assert_eq!(read.header("etag"), given.header("etag"), "the tag is that of what is kept");
    let many = ask_with(stage.process.http, "POST", "/v1/shop/hits:get", "", "{\"keys\":[\"hits:1\"]}").await;
    assert!(many.body.contains("\"value\":\"7\""), "{}", many.body);
}

#[tokio::test]
async fn what_was_stored_before_a_kind_was_declared_can_be_read_and_made_less() {
    let folder = tempfile::tempdir().unwrap();
    database(&folder.path().join("main.db")).await;
    let any = KINDS.replace("kind = \"hash\"\n[namespace.board]", "[namespace.board]");
    let any = any.replace("kind = \"blob\"\n", "");
    let process = started(&folder, &any).await;
    let mut client = Resp::connect(process.resp).await;
    assert_eq!(client.say("SET session:1 ann").await, "OK");
    assert_eq!(client.say("SET session:2 bob").await, "OK");
    assert_eq!(client.say("HSET session:3 name cid").await, "1", "undeclared is any");
    assert_eq!(client.say("HSET page:1 f v g w").await, "2");
    assert_eq!(client.say("ZADD page:2 1 a 2 b 3 c 4 d").await, "4");
    assert!(soon(process.stop()).await);

    let process = started(&folder, KINDS).await;
    let mut client = Resp::connect(process.resp).await;
    assert_eq!(client.say("GET session:1").await, "ann");
    assert_eq!(client.say("EXPIRE session:1 1").await, "1", "its end is of no kind");
    assert_eq!(client.say("APPEND session:2 x").await, NO_BLOB);
    assert_eq!(client.say("GET session:2").await, "bob");
    assert_eq!(client.say("DEL session:2").await, "1");
    assert_eq!(client.say("HSET session:2 name bob").await, "1");
    // What only takes away writes nothing of another kind; what adds does.
    for (line, answer) in [
        ("HDEL page:1 f", "1"),
        ("HGETALL page:1", "[g w]"),
        ("ZREM page:2 a", "1"),
        ("ZREMRANGEBYRANK page:2 0 0", "1"),
        ("ZPOPMIN page:2", "[c 3]"),
        ("ZMPOP 1 page:2 MAX", "[page:2 [[d 4]]]"),
        ("EXISTS page:2", "0"),
    ] {
        assert_eq!(client.say(line).await, answer, "{line}");
    }
    for line in ["HSET page:1 h x", "HINCRBY page:1 n 1", "ZADD page:2 1 a"] {
        assert!(client.say(line).await.starts_with("!FBKIND "), "{line}");
    }
    assert!(soon(process.stop()).await);
}
