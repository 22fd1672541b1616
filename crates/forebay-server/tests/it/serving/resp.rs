use bytes::BytesMut;
use forebay_wire::resp::{Reply, encode_request};

use super::{NAMESPACES, Resp, Stage, request, shown, soon};

const A: &str = r#"{"code":"a","price":1}"#;
const B: &str = r#"{"code":"b","price":2}"#;

#[tokio::test]
async fn a_get_loads_once_and_is_then_answered_from_memory() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("GET item:a").await, A);
    stage.sql("update items set price = 9").await;
    assert_eq!(client.say("GET item:a").await, A);
    assert_eq!((client.info("keyspace_hits").await, client.info("keyspace_misses").await), (1, 1));
}

#[tokio::test]
async fn an_absence_is_remembered() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("GET item:new").await, "nil");
    stage.sql("insert into items values ('new', 7)").await;
    assert_eq!(client.say("GET item:new").await, "nil");
    assert_eq!(client.say("EXISTS item:new").await, "0");
    assert_eq!(client.say("DEL item:new").await, "0", "there was no value to delete");
    assert_eq!(client.say("GET item:new").await, r#"{"code":"new","price":7}"#);
}

#[tokio::test]
async fn a_key_of_no_declared_namespace_lives_in_the_default_store() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    for read in ["GET other", "FB.FRESH other", "HGET other f", "ZSCORE other m"] {
        assert_eq!(client.say(read).await, "nil", "{read}");
    }
    assert_eq!(client.say("DEL other").await, "0");
    for (line, said) in [
        ("SET other 1", "OK"),
        ("TTL other", "-1"),
        ("INCR other", "2"),
        ("HSET hash f 1", "1"),
        ("ZADD set 1 m", "1"),
        ("TYPE other", "string"),
        ("TYPE hash", "hash"),
        ("TYPE set", "zset"),
        ("DBSIZE", "3"),
    ] {
        assert_eq!(client.say(line).await, said, "{line}");
    }
    let why = client.say("FB.WHY other").await;
    assert!(why.starts_with("[namespace default held value ") && why.contains(" fresh_for_ms -1 "), "{why}");
    // Of the form of `item`'s keys, but not UTF-8: no row can have it. Any bytes are a key of the default store.
    for (words, said) in [
        (&[&b"GET"[..], b"item:\xff"][..], "nil"),
        (&[b"SET", b"\xff", b"1"], "OK"),
        (&[b"GET", b"\xff"], "1"),
        (&[b"SET", b"", b"2"], "OK"),
        (&[b"GET", b""], "2"),
    ] {
        let mut bytes = BytesMut::new();
        encode_request(&mut bytes, words);
        client.send(&bytes).await;
        assert_eq!(shown(&client.next().await.unwrap()), said, "{words:?}");
    }
}

#[tokio::test]
async fn a_written_value_is_kept_for_the_time_said_at_most_the_declared() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    for (set, ttl) in [
        ("SET note:a v", "60"),
        ("SET note:a v EX 10", "10"),
        ("SET note:a v KEEPTTL", "10"),
        ("SET note:a v PX 20000", "20"),
        ("SET note:a v EX 1000000", "60"),
        ("SET note:a v EXAT 99999999999", "60"),
        ("SET note:a v", "60"),
    ] {
        assert_eq!(client.say(set).await, "OK");
        assert_eq!(client.say("TTL note:a").await, ttl, "{set}");
        assert_eq!(client.say("GET note:a").await, "v", "{set}");
    }
    assert_eq!(client.say("SET note:a w EXAT 1").await, "OK");
    assert_eq!(client.say("GET note:a").await, A, "a time that has passed drops the copy");
    assert_eq!(client.say("SET scratch:n 5").await, "OK");
    assert_eq!(client.say("GET scratch:n").await, "5");
    assert_eq!(client.say("SET note:a w EX 0").await, "!ERR invalid expire time in 'set' command");
}

#[tokio::test]
async fn keepttl_over_a_stale_value_writes() {
    let namespace = "[namespace.brief]\nkey = 'brief:{code}'\nttl = '60s'\nstale_if_error = '1h'\nwrites = 'cache'\n\
        source.sql = { database = 'main', query = 'select code, price from items where code in {keys}' }\n";
    let stage = Stage::with(namespace).await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("SET brief:a old PX 1").await, "OK");
    soon(async { while client.say("PTTL brief:a").await != "0" {} }).await;
    assert_eq!(client.say("SET brief:a new KEEPTTL").await, "OK");
    assert_eq!(client.say("GET brief:a").await, "new");
}

#[tokio::test]
async fn writes_are_refused_where_the_source_has_the_truth() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("GET item:a").await, A);
    for set in ["SET item:a 5", "SET item:a 5 EX 9", "SET item:a 5 KEEPTTL", "SET item:a 5 EXAT 1"] {
        let refused = client.say(set).await;
        assert!(refused.starts_with("!FBREFUSED namespace `item` refuses writes"), "{set}: {refused}");
        assert!(refused.contains("\"cache\""), "{refused}");
    }
    assert_eq!(client.say("EXISTS item:a").await, "1", "the copy is left alone");
}

#[tokio::test]
async fn conditions_on_a_copy_are_refused() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    for set in [
        "SET note:a 5 NX",
        "SETNX note:a 5",
        "MSETNX note:a 5",
        "INCR note:a",
        "APPEND note:a 5",
        "COPY note:b note:a",
    ] {
        let refused = client.say(set).await;
        assert!(
            refused.starts_with("!ERR what a command leaves may not depend on a copy"),
            "{set}: {refused}"
        );
    }
    assert_eq!(client.say("EXISTS note:a").await, "0");
    for (line, said) in [
        ("MSET note:a 5 note:b 6", "OK"),
        ("GETSET note:a 7", "5"),
        ("SETEX note:b 50 8", "OK"),
        ("MGET note:a note:b", "[7 8]"),
        ("TTL note:b", "50"),
        ("EXPIRE note:b 40 GT", "0"),
        ("EXPIRE note:b 40 LT", "1"),
        ("GETEX note:b EX 30", "8"),
        ("TTL note:b", "30"),
        ("RENAME note:b scratch:b", "OK"),
        ("EXISTS note:b", "0"),
        ("GETDEL scratch:b", "8"),
        ("EXISTS scratch:b", "0"),
    ] {
        assert_eq!(client.say(line).await, said, "{line}");
    }
    for line in ["MSET note:a 9 item:a 9", "GETDEL item:a", "GETSET item:a 9", "RENAME note:a item:a"] {
        assert!(client.say(line).await.starts_with("!FBREFUSED namespace `item`"), "{line}");
    }
    assert_eq!(client.say("GET note:a").await, "7");
}

#[tokio::test]
async fn dropping_a_copy_makes_the_next_get_load() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    for (price, drop) in ["DEL", "UNLINK", "FB.INVALIDATE"].iter().enumerate() {
        stage.sql(&format!("update items set price = {price} where code = 'a'")).await;
        assert_eq!(
            client.say(&format!("{drop} item:a item:b item:a other")).await,
            if price == 0 { "0" } else { "1" }
        );
        assert_eq!(client.say("GET item:a").await, format!(r#"{{"code":"a","price":{price}}}"#), "{drop}");
    }
}

#[tokio::test]
async fn an_expired_copy_is_served_only_where_the_source_fails_and_the_namespace_allows_it() {
    let source =
        "source.sql = { database = 'main', query = 'select code, price from items where code in {keys}' }";
    let namespaces = format!(
        "[namespace.item]\nkey = 'item:{{code}}'\nttl = '60s'\n{source}\n\
         [namespace.lenient]\nkey = 'lenient:{{code}}'\nttl = '60s'\nstale_if_error = '1h'\n{source}\n"
    );
    let stage = Stage::with(&namespaces).await;
    let mut client = stage.resp().await;
    for key in ["item:a", "lenient:a", "lenient:b"] {
        assert!(client.say(&format!("GET {key}")).await.starts_with('{'));
    }
    assert_eq!(client.say("FB.EXPIRE item:a lenient:a item:b other").await, "2");
    stage.sql("update items set price = 9").await;
    assert_eq!(client.say("GET lenient:a").await, r#"{"code":"a","price":9}"#, "the next read loads");
    assert_eq!(client.say("FB.EXPIRE lenient:a").await, "1");
    stage.sql("drop table items").await;
    assert_eq!(client.say("GET lenient:a").await, r#"{"code":"a","price":9}"#);
    assert!(client.say("GET item:a").await.starts_with("!FBSOURCE"));
    assert_eq!(client.say("FB.INVALIDATE lenient:b").await, "1");
    assert!(client.say("GET lenient:b").await.starts_with("!FBSOURCE"), "what is gone is not served");
}

#[tokio::test]
async fn what_is_held_can_be_tagged() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("FB.TAG item:a one").await, "0", "nothing is held");
    assert_eq!(client.say("FB.TAG other one").await, "0");
    assert_eq!(client.say("GET item:a").await, A);
    assert_eq!(client.say("FB.TAG item:a one two one").await, "1");
    assert_eq!(client.say("GET item:a").await, A);
    for bad in [format!("FB.TAG item:a{}", " t".repeat(65)), format!("FB.TAG item:a {}", "t".repeat(1025))] {
        assert!(client.say(&bad).await.starts_with("!ERR tags are UTF-8, of at most 1024 bytes, at most 64"));
    }
    assert_eq!(client.say(&format!("FB.TAG item:a{}", " t".repeat(64))).await, "1");
}

#[tokio::test]
async fn fresh_passes_the_copy_and_renews_it() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("GET item:a").await, A);
    stage.sql("update items set price = 9 where code = 'a'").await;
    assert_eq!(client.say("FB.FRESH item:a").await, r#"{"code":"a","price":9}"#);
    assert_eq!(client.say("GET item:a").await, r#"{"code":"a","price":9}"#);
}

#[tokio::test]
async fn looking_at_a_key_loads_nothing() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    for (look, before, after) in
        [("TTL", "-2", "60"), ("EXISTS", "0", "1"), ("TYPE", "none", "string"), ("PTTL", "-2", "")]
    {
        let key = format!("{look} item:a");
        assert_eq!(client.say(&key).await, before, "{look}");
        assert_eq!(client.say("GET item:a").await, A);
        let seen = client.say(&key).await;
        match look {
            "PTTL" => assert!((1..=60_000).contains(&seen.parse().unwrap()), "{seen}"),
            _ => assert_eq!(seen, after, "{look}"),
        }
        assert_eq!(client.say("DEL item:a").await, "1");
    }
    assert_eq!(client.say("EXISTS item:a").await, "0");
    assert_eq!(client.say("GET item:a").await, A);
    assert_eq!(client.say("EXISTS item:a item:a item:b").await, "2");
    let why = client.say("FB.WHY item:a").await;
    assert!(why.starts_with("[namespace item held value age_ms "), "{why}");
    assert_eq!(client.say("FB.WHY item:b").await, "[namespace item held nothing]");
}

#[tokio::test]
async fn mget_answers_in_order_and_one_failure_stands_alone() {
    let stage = Stage::new().await;
    stage.sql("drop table doomed").await;
    let mut client = stage.resp().await;
    let reply = client.call(&["MGET", "item:b", "item:no", "broken:a", "other", "item:a", "item:b"]).await;
    let Reply::Array(replies) = reply else { panic!("{reply:?}") };
    let seen: Vec<String> = replies.iter().map(shown).collect();
    let failed = "!FBSOURCE namespace `broken`: the source failed";
    assert_eq!(seen, [B, "nil", failed, "nil", A, B]);
    assert_eq!(client.say("GET broken:a").await, failed);
}

#[tokio::test]
async fn select_picks_an_environment_with_its_own_data() {
    let folder = tempfile::tempdir().unwrap();
    let preview = folder.path().join("preview.db");
    let other = super::database(&preview).await;
    sqlx::Executor::execute(other.sqlite().unwrap(), "update items set price = 100").await.unwrap();
    let environment = format!(
        "{}[environment.preview]\ndb = 3\ndatabase.main.url = 'sqlite:{}'\n",
        super::NAMESPACES,
        preview.display()
    );
    let stage = Stage::with(&environment).await;
    assert!(stage.folder.path().join("environments/preview").is_dir());
    let mut client = stage.resp().await;
    assert_eq!(client.say("GET item:a").await, A);
    assert_eq!(client.say("SELECT 3").await, "OK");
    assert_eq!(client.say("GET item:a").await, r#"{"code":"a","price":100}"#);
    assert_eq!(client.say("SET note:a preview").await, "OK");
    assert_eq!(client.say("SELECT 2").await, "!ERR DB index is out of range");
    assert_eq!(client.say("GET note:a").await, "preview", "a refused SELECT changes nothing");
    assert_eq!(client.say("SELECT 0").await, "OK");
    assert_eq!(client.say("GET note:a").await, A);
    assert_eq!(
        client.say("INFO declared").await,
        "# Declared\r\nkeyspace0:name=shop,namespaces=5\r\nkeyspace3:name=shop-preview,namespaces=5\r\n"
    );
}

#[tokio::test]
async fn info_counts_keys_as_redis_does() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("INFO keyspace").await, "# Keyspace\r\n", "none are told of");
    for line in ["SET a 1", "SET b 1 EX 1000", "HSET c f v"] {
        client.say(line).await;
    }
    // Stores are counted exactly, copies a second ago.
    assert_eq!(client.say("INFO keyspace").await, "# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\n");
    assert_eq!(client.say("PERSIST b").await, "1");
    assert_eq!(client.say("DEL a").await, "1");
    assert_eq!(client.say("INFO keyspace").await, "# Keyspace\r\ndb0:keys=2,expires=0,avg_ttl=0\r\n");
    assert_eq!(client.say("SET scratch:a 1").await, "OK");
    assert_eq!(client.say("GET item:a").await, A);
    assert_eq!(client.say("DBSIZE").await, "4", "with copies");
    let both = "# Keyspace\r\ndb0:keys=4,expires=2,avg_ttl=0\r\n";
    soon(async { while client.say("INFO keyspace").await != both {} }).await;
    assert_eq!(client.say("FLUSHDB").await, "OK");
    assert_eq!(client.say("DBSIZE").await, "0", "what was made invalid is no key");
    soon(async { while client.say("INFO keyspace").await != "# Keyspace\r\n" {} }).await;
}

#[tokio::test]
async fn hello_changes_the_form_of_replies() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    assert!(matches!(client.call(&["HELLO"]).await, Reply::Array(fields) if fields.len() == 14));
    let hello = client.say("HELLO 3 SETNAME me").await;
    assert!(hello.starts_with("{server=redis version=7.4.0 ") && hello.contains(" proto=3 id="), "{hello}");
    assert_eq!(client.say("CLIENT GETNAME").await, "me");
    assert!(matches!(client.call(&["FB.WHY", "item:a"]).await, Reply::Map(_)));
    assert!(matches!(client.call(&["INFO"]).await, Reply::Verbatim { .. }));
    client.send(b"GET other\r\n").await;
    assert_eq!(client.next().await, Some(Reply::Null));
    assert_eq!(client.say("HELLO 4").await, "!NOPROTO unsupported protocol version");
    assert_eq!(
        client.say("HELLO 2 AUTH somebody secret").await,
        "!WRONGPASS invalid username-password pair or user is disabled."
    );
    assert!(client.say("HELLO").await.contains("proto=3"), "a refused HELLO changes nothing");
}

#[tokio::test]
async fn a_connection_tells_what_it_has_said_of_itself_until_it_is_reset() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("CLIENT GETNAME").await, "nil");
    assert_eq!(client.say("CLIENT SETNAME worker-1").await, "OK");
    assert_eq!(client.say("CLIENT SETINFO LIB-NAME lib").await, "OK");
    assert_eq!(client.say("CLIENT SETINFO LIB-VER 1.2").await, "OK");
    let id = client.say("CLIENT ID").await;
    let line = client.say("CLIENT INFO").await;
    assert!(line.starts_with(&format!("id={id} ")), "{line}");
    assert!(line.contains(" name=worker-1 ") && line.ends_with(" lib-name=lib lib-ver=1.2\n"), "{line}");
    assert_ne!(stage.resp().await.say("CLIENT ID").await, id);
    assert!(client.say("HELLO 3").await.starts_with('{'));
    assert_eq!(client.say("RESET").await, "RESET");
    assert_eq!(client.say("CLIENT GETNAME").await, "nil");
    assert!(client.say("CLIENT INFO").await.contains(" resp=2 "));
}

#[tokio::test]
async fn info_tells_the_sections_asked_for() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    let sections = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix("# ")).map(str::to_owned).collect()
    };
    for all in ["INFO", "INFO all", "INFO DEFAULT", "INFO everything"] {
        assert_eq!(
            sections(&client.say(all).await),
            [
                "Server",
                "Clients",
                "Memory",
                "Persistence",
                "Stats",
                "Replication",
                "Cluster",
                "Declared",
                "Keyspace"
            ],
            "{all}"
        );
    }
    assert_eq!(sections(&client.say("INFO stats SERVER").await), ["Server", "Stats"]);
    assert_eq!(client.say("INFO nothing").await, "");
    let mut other = stage.resp().await;
    assert_eq!(other.say("PING").await, "PONG");
    assert_eq!(client.info("connected_clients").await, 2);
    assert_eq!(other.say("QUIT").await, "OK");
    assert_eq!(other.next().await, None);
    soon(async { while client.info("connected_clients").await != 1 {} }).await;
}

#[tokio::test]
async fn quit_answers_what_came_before_it_and_closes() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    client.send(b"PING one\r\nQUIT\r\nPING never\r\n").await;
    assert_eq!(shown(&client.next().await.unwrap()), "one");
    assert_eq!(shown(&client.next().await.unwrap()), "OK");
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_broken_protocol_is_told_and_closes() {
    let stage = Stage::new().await;
    for (sent, told) in [
        ("*1\r\n:3\r\n", "expected '$', got ':'"),
        ("*1\r\n$536870913\r\n", "invalid bulk length"),
        ("*1\r\n$33554433\r\n", "invalid bulk length"),
        ("*2147483648\r\n", "invalid multibulk length"),
        ("*1048577\r\n", "invalid multibulk length"),
        ("*1\r\n$4\r\nPINGxx", "expected CRLF after bulk"),
        ("PING \"\r\n", "unbalanced quotes in request"),
        ("POST / HTTP/1.1\r\nHost: here\r\n\r\n", "HTTP request on a RESP port"),
    ] {
        let mut client = stage.resp().await;
        client.send(format!("PING first\r\n{sent}").as_bytes()).await;
        assert_eq!(shown(&client.next().await.unwrap()), "first", "{sent}");
        assert_eq!(shown(&client.next().await.unwrap()), format!("!ERR Protocol error: {told}"), "{sent}");
        assert_eq!(client.next().await, None, "{sent}");
    }
    let mut client = stage.resp().await;
    client.send(&vec![b'x'; 64 * 1024 + 1]).await;
    assert_eq!(shown(&client.next().await.unwrap()), "!ERR Protocol error: too big inline request");
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_wrong_command_is_told_and_the_connection_goes_on() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    assert!(client.say("NOPE 1").await.starts_with("!ERR unknown command 'NOPE'"));
    assert_eq!(client.say("GET").await, "!ERR wrong number of arguments for 'get' command");
    assert_eq!(client.say("SELECT x").await, "!ERR value is not an integer or out of range");
    assert_eq!(client.say("PING").await, "PONG");
}

#[tokio::test]
async fn a_pipeline_is_answered_in_order() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    let mut sent = BytesMut::new();
    for at in 0..1000 {
        encode_request(&mut sent, ["ECHO", &at.to_string()]);
        encode_request(&mut sent, ["GET", if at % 2 == 0 { "item:a" } else { "item:b" }]);
    }
    client.send(&sent).await;
    for at in 0..1000 {
        assert_eq!(shown(&client.next().await.unwrap()), at.to_string());
        assert_eq!(shown(&client.next().await.unwrap()), if at % 2 == 0 { A } else { B });
    }
    assert_eq!((client.info("keyspace_hits").await, client.info("keyspace_misses").await), (998, 2));
}

#[tokio::test]
async fn a_request_may_be_cut_anywhere() {
    let stage = Stage::new().await;
    let mut probe = stage.resp().await;
    let whole = request(&["GET", "item:a"]);
    for cut in 1..whole.len() {
        let mut client = stage.resp().await;
        client.send(&whole[..cut]).await;
        // The server has seen the first part once it has answered somebody who came later.
        assert_eq!(probe.say("PING").await, "PONG");
        client.send(&whole[cut..]).await;
        assert_eq!(shown(&client.next().await.unwrap()), A, "{cut}");
    }
    let mut client = stage.resp().await;
    for byte in [&whole[..], b"PING\r\n"].concat() {
        client.send(&[byte]).await;
        assert_eq!(probe.say("PING").await, "PONG");
    }
    assert_eq!(shown(&client.next().await.unwrap()), A);
    assert_eq!(shown(&client.next().await.unwrap()), "PONG");
}

/// Round trips of somebody else that must pass without progress before a connection counts as standing still.
const STANDSTILL: usize = 300;

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_from_without_end() {
    let stage = Stage::new().await;
    let (mut greedy, mut other) = (stage.resp().await, stage.resp().await);
    let value = "v".repeat(1 << 20);
    let echo = request(&["ECHO", &value]);
    let (mut sent, mut still) = (0, 0);
    while still < STANDSTILL {
        match greedy.stream.try_write(&echo[sent % echo.len()..]) {
            Ok(written) => (sent, still) = (sent + written, 0),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                still += 1;
                assert_eq!(other.say("PING").await, "PONG");
            }
        }
        assert!(sent < 512 << 20, "the server reads on without being read from");
    }
    // What was taken is answered all the same, once the client reads.
    let whole = sent / echo.len();
    assert!(whole > 0);
    for _ in 0..whole {
        assert!(matches!(greedy.next().await, Some(Reply::Bulk(bytes)) if bytes == value.as_bytes()));
    }
}

#[tokio::test]
async fn one_request_with_a_huge_reply_is_sent_as_it_is_made() {
    let stage = Stage::new().await;
    let (mut greedy, mut other) = (stage.resp().await, stage.resp().await);
    let value = "v".repeat(256 << 10);
    assert_eq!(other.call(&["SET", "scratch:big", &value]).await, Reply::Simple("OK".into()));
    let mut words = vec!["MGET"];
    words.resize(2001, "scratch:big");
    greedy.send(&request(&words)).await;
    let (mut hits, mut still) = (0, 0);
    while still < STANDSTILL {
        let now = other.info("keyspace_hits").await;
        still = if now == hits { still + 1 } else { 0 };
        hits = now;
    }
    assert!((1..2000).contains(&hits), "{hits} of 2000 values are held for a client that reads none");
    let Some(Reply::Array(replies)) = greedy.next().await else { panic!("no array") };
    assert_eq!(replies.len(), 2000);
    assert!(replies.iter().all(|reply| *reply == Reply::Bulk(value.clone().into())));
}

#[tokio::test]
async fn where_no_keyspace_has_the_number_keys_are_refused_and_the_numbers_named() {
    let folder = tempfile::tempdir().unwrap();
    super::database(&folder.path().join("main.db")).await.sqlite().unwrap().close().await;
    let text = super::declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", NAMESPACES);
    let text = text.replacen("keyspace = 'shop'", "keyspace = 'shop'\ndb = 7", 1);
    let process = super::start(&super::deployment("forebay.toml", &text), &[]).await.unwrap();
    let mut client = Resp::connect(process.resp).await;
    assert_eq!(client.say("PING").await, "PONG", "what needs no keyspace is answered");
    for command in ["GET item:a", "SET note:a v", "DEL item:a", "FB.WHY item:a"] {
        assert_eq!(client.say(command).await, "!ERR no keyspace has db 0: SELECT one of 7", "{command}");
    }
    assert_eq!(client.say("SELECT 7").await, "OK");
    assert_eq!(client.say("GET item:a").await, A);
}

#[tokio::test]
async fn a_value_of_another_kind_is_told_from_none() {
    let stage = Stage::with(
        "[namespace.row]\nkey = 'row:{code}'\nttl = '60s'\nkind = 'hash'\n\
         source.sql = { database = 'main', query = 'select code, price from items where code in {keys}' }\n",
    )
    .await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("GET row:none").await, "nil");
    assert!(client.say("GET row:a").await.starts_with("!WRONGTYPE "));
    assert_eq!(client.say("MGET row:a row:none").await, "[nil nil]");
    let answer = stage.get("/v1/shop/row/row:a").await;
    assert_eq!((answer.status, answer.problem().as_str()), (409, "wrong_kind"));
}
