//! The process as it is seen from outside.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use expect_test::expect_file;
use forebay_server::observe;
use forebay_wire::resp::encode_request;

use super::{Answer, Stage};

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
        (http("/v1/{keyspace}/{namespace}/{*key}", "2xx"), 2.0),
        (http("none", "4xx"), 1.0),
        ("forebay_disk_failed{disk=\"stores\",keyspace=\"shop\"}".to_owned(), 0.0),
        ("forebay_disk_failed{disk=\"copies\",keyspace=\"\"}".to_owned(), 0.0),
        ("forebay_tier_suspect".to_owned(), 0.0),
    ] {
        assert!((told.number(&series) - number).abs() < 1e-9, "{series}: {}", told.number(&series));
    }
    // A record of one's own that is read back from the log may count again.
    assert!(told.number(&format!("forebay_invalidation_total{{{item},reach=\"key\"}}")) >= 1.0);
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
        if number % 100 == 0 {
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
