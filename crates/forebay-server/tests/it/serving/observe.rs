//! The process as it is seen from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use expect_test::expect_file;
use forebay_server::app::{App, Running};
use forebay_server::observe::{self, log};
use forebay_stores::database::{Database, DatabaseOptions};
use forebay_wire::resp::{Reply, encode_request};
use sqlx::{AssertSqlSafe, Executor};

use super::postgres::fresh;
use super::{Answer, Stage, Unseen, ask, deployment, soon};

/// Every series with its number, after checks that a scraper would make.
struct Scraped {
    series: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

impl Scraped {
    fn of(answer: &Answer) -> Self {
        let (mut series, mut kinds) = (BTreeMap::new(), BTreeMap::new());
        let mut family = String::new();
        for line in answer.body.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} begins twice");
                family = name.to_owned();
            } else if !line.starts_with('#') {
                let (name, number) = line.rsplit_once(' ').unwrap();
                assert!(name.starts_with(&family), "{name} stands below {family}");
                let number: f64 = number.parse().unwrap_or_else(|_| panic!("{line}"));
                assert!(series.insert(name.to_owned(), number).is_none(), "{name} is told twice");
            }
        }
        Self { series, kinds }
    }

    fn number(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.series.keys()))
    }
}

async fn scrape(stage: &Stage) -> Scraped {
    let answer = stage.get("/metrics").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    Scraped::of(&answer)
}

#[test]
fn the_catalogue_is_what_the_table_says() {
    expect_file!["../../../../../docs/metrics.md"].assert_eq(&observe::catalogue());
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    for _ in 0..3 {
        client.say("GET item:a").await;
    }
    client.say("GET item:none").await;
    client.say("SET note:a 1").await;
    client.say("NONSENSE").await;
    client.say("FB.INVALIDATE item:a").await;
    stage.get("/v1/shop/item/item:b").await;
    stage.get("/v1/shop/item/item:b").await;
    stage.get("/no/such/path").await;
    let told = scrape(&stage).await;
    let item = r#"keyspace="shop",namespace="item""#;
    for (series, number) in [
        (format!("forebay_read_hits_total{{{item}}}"), 3.0),
        (format!("forebay_read_misses_total{{{item}}}"), 3.0),
        (format!("forebay_loader_loads_total{{{item}}}"), 3.0),
        (format!("forebay_invalidation_total{{{item},reach=\"key\"}}"), 1.0),
        (format!("forebay_loader_batch_keys_bucket{{{item},le=\"1\"}}"), 3.0),
        (format!("forebay_loader_load_seconds_count{{{item}}}"), 3.0),
        ("forebay_writes_total{keyspace=\"shop\",namespace=\"note\",outcome=\"kept\"}".to_owned(), 1.0),
        (format!("forebay_protection_breaker_state{{{item},state=\"closed\"}}"), 1.0),
        ("forebay_read_hits_total{keyspace=\"shop\",namespace=\"note\"}".to_owned(), 0.0),
        ("forebay_tier_memory_budget_bytes{keyspace=\"\",namespace=\"\"}".to_owned(), 268_435_456.0),
        ("forebay_resp_commands_total{command=\"get\"}".to_owned(), 4.0),
        ("forebay_resp_commands_total{command=\"unknown\"}".to_owned(), 1.0),
        ("forebay_resp_command_seconds_count{group=\"string\"}".to_owned(), 5.0),
        ("forebay_resp_connections_open".to_owned(), 1.0),
        ("forebay_resp_connections_total".to_owned(), 1.0),
        ("forebay_http_connections_open".to_owned(), 1.0),
        (http("/v1/{keyspace}/{namespace}/{*key}", "2xx"), 2.0),
        (http("none", "4xx"), 1.0),
        ("forebay_disk_failed{disk=\"stores\",keyspace=\"shop\"}".to_owned(), 0.0),
        ("forebay_disk_failed{disk=\"copies\",keyspace=\"\"}".to_owned(), 0.0),
        ("forebay_tier_suspect".to_owned(), 0.0),
    ] {
        assert!((told.number(&series) - number).abs() < 1e-9, "{series}: {}", told.number(&series));
    }
    let connections = |state| {
        format!("forebay_database_connections{{keyspace=\"shop\",database=\"main\",state=\"{state}\"}}")
    };
    assert!(told.number(&connections("active")) + told.number(&connections("idle")) >= 1.0);
    assert!(told.number("process_resident_memory_bytes") > 1e6);
    assert!(told.number("process_open_fds") > 3.0);
    assert!(told.number("process_start_time_seconds") > 1.7e9);
}

fn http(route: &str, status: &str) -> String {
    format!("forebay_http_requests_total{{route=\"{route}\",method=\"GET\",status=\"{status}\"}}")
}

#[tokio::test]
async fn what_is_told_is_what_the_catalogue_lists() {
    let stage = Stage::new().await;
    stage.resp().await.say("PING").await;
    let told = scrape(&stage).await;
    let page = observe::catalogue();
    let listed = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let listed: BTreeSet<_> = listed.map(|(name, _)| name).collect();
    assert_eq!(told.kinds.keys().map(String::as_str).collect::<BTreeSet<_>>(), listed);
}

#[tokio::test]
async fn the_number_of_series_does_not_depend_on_keys() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    let mut asked = async |number: u32| {
        let mut bytes = BytesMut::new();
        for words in [
            ["GET".to_owned(), format!("item:{number}")],
            ["GET".to_owned(), format!("free \" \\ {number}")],
            [format!("NO{number}"), "x".to_owned()],
        ] {
            encode_request(&mut bytes, &words);
        }
        client.send(&bytes).await;
        for _ in 0..3 {
            client.next().await.unwrap();
        }
        // Each is a connection of its own, so that these are fewer.
        if number.is_multiple_of(100) {
            stage.get(&format!("/v1/shop/item/item:{number}?n={number}")).await;
            stage.get(&format!("/v1/shop/no-{number}/item:{number}")).await;
            stage.get(&format!("/no/path/{number}")).await;
            stage.ask(&format!("NO{number}"), "/health", "").await;
        }
    };
    asked(0).await;
    // What a scrape does is told by the next one.
    scrape(&stage).await;
    let before: Vec<_> = scrape(&stage).await.series.into_keys().collect();
    for number in 1..=10_000 {
        asked(number).await;
    }
    let after: Vec<_> = scrape(&stage).await.series.into_keys().collect();
    assert_eq!(before, after);
    assert!(after.len() < 2_000, "{} series", after.len());
}

#[tokio::test]
async fn openmetrics_is_told_to_who_asks_for_it() {
    let stage = Stage::new().await;
    let asked = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n";
    let answer = stage.ask("GET", "/metrics", asked).await;
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(answer.body.ends_with("# EOF\n"));
    let told = Scraped::of(&answer);
    assert_eq!(told.kinds["forebay_read_hits"], "counter");
    assert!(told.series.contains_key("forebay_read_hits_total{keyspace=\"shop\",namespace=\"item\"}"));
}

#[tokio::test]
async fn distributions_only_grow_from_bound_to_bound() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    for number in 0..200 {
        client.say(&format!("GET item:{number}")).await;
    }
    let answer = stage.get("/metrics").await;
    let mut buckets: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in answer.body.lines().filter(|line| line.contains("_bucket{")) {
        let (series, number) = line.rsplit_once(' ').unwrap();
        let (series, _) = series.split_once("le=").unwrap();
        buckets.entry(series.to_owned()).or_default().push(number.parse().unwrap());
    }
    assert!(buckets.len() > 10);
    assert!(buckets.values().all(|told| told.is_sorted()), "{buckets:?}");
}

/// How the process at `address` is.
async fn health(address: std::net::SocketAddr) -> (u16, serde_json::Value) {
    let answer = ask(address, "GET", "/health/ready", "").await;
    assert_eq!(answer.header("cache-control"), "no-store");
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

/// What is wrong, and with what: as words.
fn troubles(health: &serde_json::Value) -> BTreeSet<String> {
    let told = health["troubles"].as_array().unwrap().iter().map(|trouble| {
        let since: jiff::Timestamp = trouble["since"].as_str().unwrap().parse().unwrap();
        let ago = jiff::Timestamp::now().as_second() - since.as_second();
        assert!((0..=20).contains(&ago) && trouble["for_s"].as_u64().unwrap() <= 20, "{trouble}");
        let of = trouble.get("namespace").or(trouble.get("database")).map_or("", |of| of.as_str().unwrap());
        assert_eq!(trouble["keyspace"], "shop");
        format!("{} {of}", trouble["what"].as_str().unwrap())
    });
    told.collect()
}

#[tokio::test]
async fn what_fails_behind_it_is_told_and_takes_nothing_out_of_service() {
    let stage = Stage::new().await;
    let (status, told) = health(stage.process.http).await;
    assert_eq!((status, told.to_string()), (200, r#"{"state":"ready","troubles":[]}"#.to_owned()));
    assert_eq!(stage.get("/health").await.body, "ok\n");
    stage.sql("drop table doomed").await;
    let mut client = stage.resp().await;
    client.say("GET broken:a").await;
    let (status, told) = health(stage.process.http).await;
    assert_eq!((status, &told["state"]), (200, &"degraded".into()));
    assert_eq!(troubles(&told), BTreeSet::from(["source_failing broken".to_owned()]));
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_told_until_it_does() {
    let url = fresh().await;
    let (server, name) = url.rsplit_once('/').unwrap();
    let others = Database::open(&DatabaseOptions::postgres(format!("{server}/postgres").parse().unwrap(), 1))
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let declared = format!(
        "keyspace = 'shop'\n[server]\nhttp = '127.0.0.1:0'\nresp = '127.0.0.1:0'\ndata = '{}'\n\
         [database.main]\nurl = '{url}'\npool = {{ max = 2, warm = 0 }}\n",
        folder.path().display()
    );
    let deployment = deployment("forebay.toml", &declared);
    let process = soon(forebay_server::process::start(&deployment, &[], Arc::new(Unseen))).await.unwrap();
    let becomes = async |state: &str| {
        soon(async {
            loop {
                let (status, told) = health(process.http).await;
                assert_eq!(status, 200);
                if told["state"] == state {
                    return told;
                }
            }
        })
        .await
    };
    becomes("ready").await;
    let run = async |sql: String| others.postgres().unwrap().execute(AssertSqlSafe(sql)).await.unwrap();
    run(format!("alter database {name} allow_connections false")).await;
    run(format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")).await;
    assert_eq!(
        troubles(&becomes("degraded").await),
        BTreeSet::from(["database_unreachable main".to_owned()])
    );
    run(format!("alter database {name} allow_connections true")).await;
    becomes("ready").await;
}

#[tokio::test]
async fn a_request_has_an_id_and_its_error_too() {
    let stage = Stage::new().await;
    let said = stage.ask("GET", "/v1/shop/none/x", "X-Request-Id: mine-1\r\n").await;
    assert_eq!((said.header("x-request-id"), said.problem()), ("mine-1", "no_namespace".to_owned()));
    assert!(said.body.contains(r#""request_id":"mine-1""#), "{said:?}");
    let made = stage.ask("GET", "/no/path", "X-Request-Id: two words\r\n").await;
    let id = made.header("x-request-id").to_owned();
    assert!(id.len() == 16 && made.body.contains(&id), "{made:?}");
    assert_ne!(stage.get("/health").await.header("x-request-id"), id);
}

/// What was logged.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Takes what is logged on this thread, until what it returns is dropped.
    pub(super) fn of_this_thread(&self) -> impl Sized {
        let writer = self.clone();
        let log = log::to(log::Form::Json, "trace", false, move || writer.clone()).unwrap();
        // While there is one log alone, what another test's thread comes to first is asked of that thread, which has none, and never again.
        let second = log::to(log::Form::Json, "trace", false, std::io::sink).unwrap();
        (tracing::dispatcher::set_default(&log), second)
    }

    /// What was said of an alarm, one line after the other.
    pub(super) fn told(&self, alarm: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let of_it = lines.filter(|line| line["alarm"] == alarm);
        of_it.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All on one thread, whose log it is.
#[tokio::test]
async fn the_log_names_who_asked_and_tells_no_secret() {
    const SECRET: &str = "hunter2-and-more";
    let lines = Lines::default();
    let _here = lines.of_this_thread();
    let stage = Stage::with(&format!(
        "{}\n[namespace.remote]\nkey = 'remote:{{id}}'\nttl = '60s'\n\
         source.http = {{ url = 'http://127.0.0.1:1/{{id}}', headers = {{ authorization = 'Bearer {SECRET}' }} }}",
        super::NAMESPACES
    ))
    .await;
    let nobody = format!("[database.other]\nurl = 'postgres://user:{SECRET}@127.0.0.1:1/none'\n");
    let text = super::declaration(stage.folder.path(), "127.0.0.1:0", "127.0.0.1:0", &nobody);
    super::start(&deployment("forebay.toml", &text), &[]).await.unwrap_err();
    stage.sql("drop table doomed").await;
    let mut client = stage.resp().await;
    let id = client.say("CLIENT ID").await;
    for line in [
        format!("AUTH {SECRET}"),
        format!("AUTH default {SECRET}"),
        format!("HELLO 3 AUTH default {SECRET}"),
        format!("CONFIG SET requirepass {SECRET}"),
        format!("SET note:a {SECRET}"),
        "GET broken:a".to_owned(),
        "GET remote:a".to_owned(),
    ] {
        client.say(&line).await;
    }
    let headers = format!("X-Request-Id: mine-7\r\nAuthorization: Bearer {SECRET}\r\nCookie: s={SECRET}\r\n");
    stage.ask("GET", &format!("/v1/shop/broken/broken:b?token={SECRET}"), &headers).await;
    stage.ask("GET", &format!("/v1/shop/remote/remote:b?token={SECRET}"), &headers).await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains(SECRET), "{:?}", text.lines().find(|line| line.contains(SECRET)));
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed = |name: &str, value: &str| {
        lines.iter().any(|line| line["message"] == "a request failed" && line[name] == value)
    };
    assert!(failed("connection", &id) && failed("request", "mine-7"), "{text}");
}

/// The words of the slow entries, the newest first, with the names of their clients.
async fn slow(client: &mut super::Resp) -> Vec<(String, String)> {
    let Reply::Array(entries) = client.call(&["SLOWLOG", "GET", "-1"]).await else { panic!("no array") };
    let told =
        entries.iter().map(|entry| {
            let Reply::Array(parts) = entry else { panic!("{entry:?}") };
            let [
                Reply::Integer(_),
                Reply::Integer(at),
                Reply::Integer(took_us),
                Reply::Array(words),
                from,
                name,
            ] = &parts[..]
            else {
                panic!("{parts:?}")
            };
            assert!(*at > 1_700_000_000 && *took_us > 0, "{entry:?}");
            let words: Vec<_> = words.iter().map(super::shown).collect();
            assert!(super::shown(from).starts_with("127.0.0.1:"), "{entry:?}");
            (words.join(" "), super::shown(name))
        });
    told.collect()
}

#[tokio::test]
async fn what_is_slow_is_kept_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let database = super::database(&folder.path().join("main.db")).await;
    let text = super::declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", super::NAMESPACES);
    let text = text.replace("[server]", "[server]\nslow = '0ms'");
    let process = super::start(&deployment("forebay.toml", &text), &[]).await.unwrap();
    let mut client = super::Resp::connect(process.resp).await;
    let long = "x".repeat(200);
    for line in [
        "HELLO 2 AUTH default hush SETNAME me",
        "CONFIG SET requirepass hush",
        "NO-COMMAND hush",
        "GET item:a",
        &format!("SET note:a {long}"),
    ] {
        client.say(line).await;
    }
    ask(process.http, "GET", "/v1/shop/item/item:a?token=hush", "X-Request-Id: mine\r\n").await;
    let cut = format!("SET note:a {}... (72 more bytes)", &long[..128]);
    let kept = [
        ("GET /v1/shop/item/item:a", "mine"),
        (&cut, "me"),
        ("GET item:a", "me"),
        ("CONFIG (redacted)", "me"),
        ("HELLO (redacted)", "me"),
    ];
    let kept: Vec<_> = kept.map(|(words, name)| (words.to_owned(), name.to_owned())).into();
    assert_eq!(slow(&mut client).await, kept);
    assert_eq!(client.say("SLOWLOG LEN").await, "6", "that command was slow as well");
    assert_eq!(client.say("SLOWLOG RESET").await, "OK");
    assert_eq!(slow(&mut client).await, [("SLOWLOG RESET".to_owned(), "me".to_owned())]);
    for refused in ["SLOWLOG GET -2", "SLOWLOG GET x"] {
        assert_eq!(client.say(refused).await, "!ERR count should be greater than or equal to -1");
    }
    drop(database);
}

#[tokio::test]
async fn what_is_quick_is_not_kept() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    client.say("PING").await;
    client.say("DEBUG SLEEP 0.02").await;
    client.say("PING").await;
    assert_eq!(slow(&mut client).await.pop(), Some(("DEBUG SLEEP 0.02".to_owned(), String::new())));
    // Such times are none of whole milliseconds, except by chance.
    for _ in 0..8 {
        client.say("DEBUG SLEEP 0.011").await;
    }
    let Reply::Array(entries) = client.call(&["SLOWLOG", "GET", "8"]).await else { panic!("no array") };
    let took_us = |entry: &Reply| match entry {
        Reply::Array(parts) => match parts[2] {
            Reply::Integer(took_us) => took_us,
            _ => panic!("{parts:?}"),
        },
        _ => panic!("{entry:?}"),
    };
    let took_us: Vec<_> = entries.iter().map(took_us).collect();
    assert!(took_us.iter().all(|us| *us >= 11_000) && took_us.iter().any(|us| us % 1000 != 0), "{took_us:?}");
}

/// A request that waits is under way.
static BEGUN: tokio::sync::Notify = tokio::sync::Notify::const_new();

/// A client that goes away before it is answered leaves a trace: that it did, and what it had asked for.
#[tokio::test]
async fn who_goes_away_unanswered_is_counted() {
    use tokio::io::AsyncWriteExt;
    let app = App {
        name: "bad",
        summary: "",
        declaration: "",
        migrations: &[],
        jobs: &[],
        tries: &[],
        start: |_| {
            Box::pin(async {
                let route = axum::routing::get(async || {
                    BEGUN.notify_one();
                    std::future::pending::<&'static str>().await
                });
                Ok(Running {
                    routes: Some(axum::Router::new().route("/api/waits", route)),
                    notes: vec![],
                    ..Running::default()
                })
            })
        },
    };
    let (process, _folder) = super::listeners::stage("slow = '0ms'", &[app]).await;
    let mut leaving = soon(tokio::net::TcpStream::connect(process.http)).await.unwrap();
    let head = "GET /api/waits?token=hush HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: leaving\r\n\r\n";
    soon(leaving.write_all(head.as_bytes())).await.unwrap();
    soon(BEGUN.notified()).await;
    drop(leaving);
    let series = format!("{} 1\n", http("/api/waits", "gone"));
    soon(async { while !ask(process.http, "GET", "/metrics", "").await.body.contains(&series) {} }).await;
    let mut client = super::Resp::connect(process.resp).await;
    assert!(slow(&mut client).await.contains(&("GET /api/waits".to_owned(), "leaving".to_owned())));
}
