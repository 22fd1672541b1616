//! Quotas of a day and logs of operations, over both front ends.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use forebay::rt::Clock;
use forebay_server::observe::log;
use forebay_server::process::{self, Process};
use forebay_server::time::WallClock;
use tempfile::TempDir;

use super::{Answer, Resp, Unseen, ask, ask_with, declaration, deployment, soon};

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

    stage.reload("", "").await;
    assert_eq!(client.say("GET item:a").await, r#"{"code":"a","price":1}"#, "there is none");
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

/// One namespace of any key, which keeps to the limits of Workers KV.
const STRICT: &str = "[namespace.kv]\nkey = '{key}'\nmode = 'store'\nttl = '1d'\nworkers_kv_limits = true\n";
const KV: &str = "/v1/shop/kv";

/// Serves what `rest` declares, by a wall clock that stands at `unix_ms`.
async fn strict(rest: &str, unix_ms: u64) -> Limited {
    let folder = tempfile::tempdir().unwrap();
    super::database(&folder.path().join("main.db")).await;
    let wall = WallClock::standing(unix_ms);
    let deployment =
        deployment("forebay.toml", &declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", rest));
    let started = process::start_by(&deployment, &[], Arc::new(Unseen), Clock::system(), wall.clone());
    Limited { process: soon(started).await.unwrap(), wall, folder }
}

#[tokio::test]
async fn over_resp_what_workers_kv_refuses_is_refused() {
    let now_s = WallClock::system().now().as_secs();
    let stage = strict(STRICT, now_s * 1_000 + 900).await;
    let mut client = Resp::connect(stage.process.resp).await;
    let says = "the namespace `kv` takes what Workers KV takes:";
    let ttl = |seconds: &str| {
        format!(
            "!FBSHORTLIFE {says} Invalid expiration_ttl of {seconds}. Expiration TTL must be at least 60."
        )
    };
    let soon = |second: u64| {
        format!(
            "!FBSHORTLIFE {says} Invalid expiration of {second}. Expiration times must be at least 60 seconds in the future."
        )
    };
    let over = |second: u64| {
        format!(
            "!FBSHORTLIFE {says} Invalid expiration of {second}. Please specify integer greater than the current number of seconds since the UNIX epoch."
        )
    };
    let no_key = format!("!FBBADKEY {says} a key is text in UTF-8, not empty, and neither `.` nor `..`");
    let no_kind = format!("!FBKIND {says} a value is bytes: write the whole of it with SET");
    for (line, answer) in [
        ("SET a 1 EX 59".to_owned(), ttl("59")),
        ("SET a 1 PX 59999".to_owned(), ttl("59.999")),
        ("SETEX a 3 1".to_owned(), ttl("3")),
        ("GETEX a EX 5".to_owned(), ttl("5")),
        ("EXPIRE a 59".to_owned(), ttl("59")),
        ("EXPIRE a -1".to_owned(), ttl("0")),
        (format!("SET a 1 EXAT {}", now_s + 59), soon(now_s + 59)),
        (format!("SET a 1 PXAT {}", (now_s + 60) * 1_000 - 1), soon(now_s + 59)),
        (format!("SET a 1 EXAT {now_s}"), over(now_s)),
        ("EXPIREAT a 1".to_owned(), over(1)),
        ("SET . 1".to_owned(), no_key.clone()),
        ("GET ..".to_owned(), no_key.clone()),
        ("MSET a 1 .. 2".to_owned(), no_key.clone()),
        ("SET  1".to_owned(), no_key.clone()),
        ("HSET a f v".to_owned(), no_kind.clone()),
        ("ZADD a 1 m".to_owned(), no_kind),
    ] {
        assert_eq!(client.say(&line).await, answer, "{line}");
    }
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\n\xff\r\n$1\r\n1\r\n").await;
    assert_eq!(forebay_stage::shown(&client.next().await.unwrap()), no_key);
    assert_eq!(client.say("DBSIZE").await, "0", "nothing was kept");
    assert_eq!(client.say("SET a 1 EX 60").await, "OK");
    assert_eq!(client.say(&format!("SET b 1 EXAT {}", now_s + 60)).await, "OK");
}

#[tokio::test]
async fn a_key_of_workers_kv_takes_one_write_a_second_over_both_front_ends() {
    let now_ms = WallClock::system().now().as_secs() * 1_000;
    let stage = strict(STRICT, now_ms).await;
    let (http, path) = (stage.process.http, format!("{KV}/a"));
    let mut client = Resp::connect(stage.process.resp).await;
    let often = "!FBTOOOFTEN the namespace `kv` takes what Workers KV takes: a key is written once a second";
    assert_eq!(client.say("SET a 1").await, "OK");
    for line in ["SET a 2", "MSET b 2 a 2", "EXPIRE a 60", "APPEND a 2", "COPY b a", "RENAME b a"] {
        assert!(client.say(line).await.starts_with(often), "{line}");
    }
    let refused = ask_with(http, "PUT", &path, "", "2").await;
    assert_eq!((refused.status, refused.problem().as_str()), (429, "too_often"));
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(client.say("MGET a b").await, "[1 nil]", "nothing of it was done");
    // Neither reads nor deletes are writes of a key there.
    assert_eq!(client.say("GETEX a").await, "1");
    assert_eq!(client.say("DEL a").await, "1");
    assert_eq!(ask(http, "DELETE", &path, "").await.status, 204);
    // What failed has written nothing; of a request that names a key twice the last counts.
    assert!(client.say("INCRBY n x").await.starts_with("!ERR"));
    assert_eq!(client.say("SET n text").await, "OK");
    assert_eq!(client.say("MSET m 1 m 2").await, "OK");
    stage.wall.set(now_ms + 999);
    let refused = ask_with(http, "PUT", &path, "", "2").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    stage.wall.set(now_ms + 1_000);
    assert_eq!(ask_with(http, "PUT", &path, "", "3").await.status, 204);
    assert!(client.say("SET a 4").await.starts_with(often), "it was written over HTTP");
    assert_eq!(client.say("GET a").await, "3");
    // It discards a transaction as any command that may not be in one.
    stage.wall.set(now_ms + 5_000);
    for (line, answer) in [("MULTI", "OK"), ("SET a 5", "QUEUED"), ("SET a 6", "!FBTOOOFTEN")] {
        assert!(client.say(line).await.starts_with(answer), "{line}");
    }
    assert!(client.say("EXEC").await.starts_with("!EXECABORT"));
}

#[tokio::test]
async fn over_http_what_workers_kv_refuses_is_refused_until_a_reload_ends_it() {
    let now_s = WallClock::system().now().as_secs();
    let mut stage = strict(STRICT, now_s * 1_000).await;
    let http = stage.process.http;
    let at = |second: u64| jiff::Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
    let put = async |path: String| ask_with(http, "PUT", &path, "", "1").await;
    for (path, status, code) in [
        (format!("{KV}/a?ttl=59999ms"), 400, "short_life"),
        (format!("{KV}/a?expires_at={}", at(now_s + 59)), 400, "short_life"),
        (format!("{KV}/a?expires_at={}", at(now_s - 1)), 400, "short_life"),
        (format!("{KV}/."), 400, "bad_key"),
        (format!("{KV}/%2E%2E"), 400, "bad_key"),
        (format!("{KV}/{}", "x".repeat(513)), 414, "long_key"),
        (format!("{KV}/"), 404, "no_such_path"),
    ] {
        let refused = put(path.clone()).await;
        assert_eq!((refused.status, refused.problem().as_str()), (status, code), "{path}");
    }
    assert_eq!(ask(http, "GET", &format!("{KV}/.."), "").await.problem(), "bad_key");
    let many = ask_with(http, "POST", "/v1/shop/kv:get", "", r#"{"keys":["a",".."]}"#).await;
    assert_eq!((many.status, many.problem().as_str()), (400, "bad_key"));
    let long = format!("Forebay-Metadata: \"{}\"\r\n", "x".repeat(1023));
    let refused = ask_with(http, "PUT", &format!("{KV}/a"), &long, "1").await;
    assert_eq!((refused.status, refused.problem().as_str()), (413, "too_large"));
    assert_eq!(ask(http, "GET", &format!("{KV}/a"), "").await.status, 404, "nothing was kept");
    assert_eq!(put(format!("{KV}/a?expires_at={}", at(now_s + 60))).await.status, 204);
    assert_eq!(put(format!("{KV}/a")).await.problem(), "too_often");
    let same = declaration(stage.folder.path(), "127.0.0.1:0", "127.0.0.1:0", STRICT);
    soon(stage.process.reload(deployment("forebay.toml", &same))).await.unwrap();
    assert_eq!(put(format!("{KV}/a")).await.problem(), "too_often", "a reload forgets no write");
    let free = same.replace("workers_kv_limits = true", "");
    soon(stage.process.reload(deployment("forebay.toml", &free))).await.unwrap();
    for path in ["a", "a?ttl=1s", "."] {
        assert_eq!(put(format!("{KV}/{path}")).await.status, 204, "{path}");
    }
}

/// Copies are written without leaving a connection's turn, unless they may have to be refused.
#[tokio::test]
async fn a_cache_keeps_to_the_limits_of_workers_kv_too() {
    let stage = Limited::serve("", "workers_kv_limits = true").await;
    let mut client = Resp::connect(stage.process.resp).await;
    assert_eq!(client.say("GET note:a").await, r#"{"code":"a","price":1}"#);
    assert_eq!(client.say("SET note:a 1").await, "OK");
    assert!(client.say("SET note:a 2").await.starts_with("!FBTOOOFTEN"));
    assert_eq!(client.say("GET note:a").await, "1");
    let refused = "namespace `item` refuses writes";
    assert!(client.say("SET item:a 2").await.contains(refused), "another namespace has none");
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
    /// The operations that were told since the last time, whole but for how long they took, which is no longer than `within_us`.
    fn operations(&self, within: Duration) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let operations = lines.filter(|line| line["target"] == "forebay_server::operations");
        let shown = |mut line: serde_json::Value| {
            let fields = line.as_object_mut().unwrap();
            let took_us = fields.remove("duration_us").unwrap().as_u64().unwrap();
            assert!(u128::from(took_us) <= within.as_micros(), "{took_us} of {within:?}");
            for (name, value) in [("message", "an operation"), ("level", "INFO"), ("keyspace", "shop")] {
                assert_eq!(fields.remove(name).unwrap(), value);
            }
            assert_eq!(fields.remove("left_out").unwrap(), 0);
            assert!(fields.remove("target").is_some() && fields.remove("timestamp").is_some());
            let mut word = |name: &str| {
                let value = fields.remove(name).unwrap_or_else(|| panic!("no {name}"));
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            };
            let told = ["verb", "namespace", "key", "keys", "outcome"].map(&mut word).join(" ");
            let who: Vec<String> = fields.iter().map(|(name, value)| format!("{name} {value}")).collect();
            format!("{told} {}", who.join(" "))
        };
        operations.map(shown).collect()
    }
}

/// A read, one of an absence, one of two keys, and a write.
async fn asked_of_items(http: SocketAddr) -> [Answer; 4] {
    [
        ask(http, "GET", "/v1/shop/item/item:b", "").await,
        ask(http, "GET", "/v1/shop/item/item:none", "").await,
        ask_with(http, "POST", "/v1/shop/item:get", "", r#"{"keys":["item:a","item:b"]}"#).await,
        ask_with(http, "PUT", "/v1/shop/item/item:a", "", "1").await,
    ]
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
    let (http, began) = (stage.process.http, Instant::now());
    let mut client = Resp::connect(stage.process.resp).await;
    let connection = format!("\"{}\"", client.say("CLIENT ID").await);
    for line in
        ["GET item:a", "GET item:a", "MGET item:a note:a item:none", "GET note:a", "SET item:a 1", "PING"]
    {
        client.say(line).await;
    }
    let [one, absent, many, put] = asked_of_items(http).await;
    client.say("MULTI").await;
    client.say("GET item:a").await;
    client.say("EXEC").await;
    let by = |answer: &Answer| format!("request \"{}\"", answer.header("x-request-id"));
    assert_eq!(
        lines.operations(began.elapsed()),
        [
            format!("GET item item:a 1 ok connection {connection}"),
            format!("GET item item:a 1 ok connection {connection}"),
            format!("MGET item item:a 2 ok connection {connection}"),
            format!("SET item item:a 1 error connection {connection}"),
            format!("GET item item:b 1 ok {}", by(&one)),
            format!("GET item item:none 1 ok {}", by(&absent)),
            format!("GET item item:a 2 ok {}", by(&many)),
            format!("PUT item item:a 1 error {}", by(&put)),
            format!("GET item item:a 1 quota connection {connection}"),
        ]
    );
    stage.reload("", "log = 'operations'\nworkers_kv_limits = true").await;
    let began = Instant::now();
    for line in [
        "GET item:a",
        "GET note:a",
        "SET note:a 1",
        "SET note:a 2",
        "MULTI",
        "GET note:a",
        "EXEC",
        "DEL note:a",
    ] {
        client.say(line).await;
    }
    let deleted = ask(http, "DELETE", "/v1/shop/note/note:b", "").await;
    assert_eq!(
        lines.operations(began.elapsed()),
        [
            format!("GET note note:a 1 ok connection {connection}"),
            format!("SET note note:a 1 ok connection {connection}"),
            format!("SET note note:a 1 limit connection {connection}"),
            format!("GET note note:a 1 queued connection {connection}"),
            format!("DEL note note:a 1 ok connection {connection}"),
            format!("DELETE note note:b 1 ok {}", by(&deleted)),
        ]
    );
    stage.reload("", "").await;
    client.say("GET note:a").await;
    ask(http, "GET", "/v1/shop/note/note:a", "").await;
    assert_eq!(lines.operations(Duration::ZERO), Vec::<String>::new(), "a reload has ended it");
    drop(client);
    assert!(soon(stage.process.stop()).await);
}

/// The longest value.
const VALUE_BYTES: usize = 25 << 20;

/// A store, a cache, and the store of a Redis program's own keys, with a memory each shard of which holds the values of all three.
const LARGE: &str = "[memory]\nbudget = '2 GiB'\n\
    [namespace.kept]\nkey = 'kept:{id}'\nmode = 'store'\nttl = '1d'\n\
    [namespace.held]\nkey = 'held:{id}'\nmode = 'cache'\nttl = '1h'\n";

#[tokio::test]
async fn a_value_of_25_mib_comes_back_whole_and_a_byte_more_is_refused() {
    let stage = strict(LARGE, NOON_MS).await;
    let http = stage.process.http;
    let mut client = Resp::connect(stage.process.resp).await;
    let whole: String = (0..=9_u8).map(|digit| char::from(b'0' + digit)).cycle().take(VALUE_BYTES).collect();
    let more = format!("{whole}x");
    let refused = "!FBTOOLARGE the value has 26214401 bytes, and 26214400 are allowed";
    for key in ["kept:a", "held:a", "other"] {
        assert_eq!(forebay_stage::shown(&client.call(&["SET", key, &whole]).await), "OK", "{key}");
        assert!(client.say(&format!("GET {key}")).await == whole, "{key}");
        for words in
            [["SET", key, &more], ["GETSET", key, &more], ["MSET", key, &more], ["SETNX", key, &more]]
        {
            assert_eq!(forebay_stage::shown(&client.call(&words).await), refused, "{} {key}", words[0]);
        }
        let longer = client.say(&format!("APPEND {key} x")).await;
        assert!(longer.starts_with("!ERR string exceeds"), "{longer}");
        let longer = client.say(&format!("SETRANGE {key} {VALUE_BYTES} x")).await;
        assert!(longer.starts_with("!ERR string exceeds"), "{longer}");
        assert_eq!(client.say(&format!("STRLEN {key}")).await, VALUE_BYTES.to_string(), "nothing is lost");
    }
    for path in ["/v1/shop/kept/kept:a", "/v1/shop/held/held:a"] {
        let read = ask(http, "GET", path, "").await;
        assert!(read.status == 200 && read.body == whole, "{path}: {}", read.status);
        let refused = ask_with(http, "PUT", path, "", &more).await;
        assert_eq!((refused.status, refused.problem().as_str()), (413, "too_large"), "{path}");
        assert!(ask(http, "GET", path, "").await.body == whole, "{path}: nothing is lost");
        let turned: String = whole.chars().rev().collect();
        assert_eq!(ask_with(http, "PUT", path, "", &turned).await.status, 204, "{path}");
        let key = path.rsplit('/').next().unwrap();
        assert!(client.say(&format!("GET {key}")).await == turned, "{path}");
        let many = ask_with(
            http,
            "POST",
            &path.replace(&format!("/{key}"), ":get"),
            "",
            &format!(r#"{{"keys":["{key}"],"as":"text"}}"#),
        )
        .await;
        assert!(many.body.contains(&turned), "{path}: {}", many.status);
    }
}

#[tokio::test]
async fn a_key_of_512_bytes_is_taken_and_a_byte_more_is_refused() {
    let stage = strict(LARGE, NOON_MS).await;
    let http = stage.process.http;
    let mut client = Resp::connect(stage.process.resp).await;
    let refused = "!FBLONGKEY the key has 513 bytes, and 512 are allowed";
    for name in ["kept", "held"] {
        let key = format!("{name}:{}", "股".repeat(169));
        let longer = format!("{key}x");
        let path = |key: &str| {
            let escaped: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
            format!("/v1/shop/{name}/{escaped}")
        };
        assert_eq!((key.len(), longer.len()), (512, 513));
        assert_eq!(client.say(&format!("SET {key} 1")).await, "OK");
        assert_eq!(client.say(&format!("GET {key}")).await, "1");
        assert_eq!(ask_with(http, "PUT", &path(&key), "", "2").await.status, 204);
        assert_eq!(ask(http, "GET", &path(&key), "").await.body, "2");
        for line in
            ["SET KEY 1", "GET KEY", "MGET KEY", "DEL KEY", "HSET KEY f v", "EXISTS KEY", "FB.FRESH KEY"]
        {
            assert_eq!(client.say(&line.replace("KEY", &longer)).await, refused, "{line}");
        }
        for method in ["GET", "PUT", "DELETE"] {
            let answer = ask_with(http, method, &path(&longer), "", "1").await;
            assert_eq!((answer.status, answer.problem().as_str()), (414, "long_key"), "{method}");
        }
        let body = format!(r#"{{"keys":["{key}","{longer}"]}}"#);
        let many = ask_with(http, "POST", &format!("/v1/shop/{name}:get"), "", &body).await;
        let many: serde_json::Value = serde_json::from_str(&many.body).unwrap();
        assert_eq!(many["entries"][0]["state"], "fresh", "{many}");
        assert_eq!(many["entries"][1]["error"]["code"], "long_key", "{many}");
    }
    // A Redis program's own keys may be longer.
    let own = "k".repeat(600);
    assert_eq!(client.say(&format!("SET {own} 1")).await, "OK");
    assert_eq!(client.say(&format!("GET {own}")).await, "1");
}
