//! The database is away, in every way in which it can be, and the tier on disk is off: reads go on, nothing that was acknowledged is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay::rt::Mutex;
use forebay_simulated::proxy::Fault;
use forebay_stage::{AppStage, DEADLINE, On, on_both, soon};
use serde_json::json;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::{DAY, changed_stage, count, list, tell, told};

on_both! {
    st_7_without_the_tier_on_disk_reads_go_to_the_database,
}

/// A load is given up after half a second, and so is whatever waits for a connection; what is held is soon over.
fn hasty(text: String) -> String {
    let text = text.replace(
        "absent_ttl = \"3s\"\nstale_if_error = \"5m\"\nwrites = \"cache\"\nmembership",
        "absent_ttl = \"3s\"\nstale_if_error = \"5m\"\nloader = { timeout = \"500ms\", breaker = { pause = \"500ms\" } }\nwrites = \"cache\"\nmembership",
    );
    text.replace("ttl = \"3s\"\nfresh", "ttl = \"200ms\"\nfresh").replace(
        "sqlite:data/stocks.db}\"",
        "sqlite:data/stocks.db}\"\npool = { wait = \"1s\" }\nstatement_timeout = \"1s\"",
    )
}

/// Two quotes and a session, all of them read.
async fn filled() -> AppStage {
    let stage = changed_stage(On::Distant, hasty).await;
    for code in ["600000", "600004"] {
        list(&stage, code, "a_share").await;
        tell(&stage, code, "10:00:00", "10.50").await;
    }
    let user = r#"{"username": "user123", "permissions": ["read"]}"#;
    assert_eq!(stage.send("PUT", "/api/v1/users/u1", "", user).await.status, 201);
    assert_eq!(stage.post("/api/v1/sessions", r#"{"user_id": "u1"}"#).await.status, 201);
    assert_eq!(stage.get("/api/v1/stocks/600000").await.status, 200);
    stage
}

/// Every stale answer that was counted.
async fn stale(stage: &AppStage) -> u64 {
    let mut all = 0;
    for why in ["source_failed", "slow_source", "overloaded", "breaker_open", "revalidating"] {
        all += count(stage, "STOCK_CACHE", &format!("stale_{why}")).await;
    }
    all
}

/// Reads until the answer is stale, and then so many more: each is answered in time, and each stale one is counted.
async fn falls_back(stage: &AppStage, reads: u64) {
    let (before, mut seen) = (stale(stage).await, 0);
    soon(async {
        while seen < reads {
            let began = Instant::now();
            let read = stage.get("/api/v1/stocks/600000").await;
            let took = began.elapsed();
            assert_eq!((read.status, &read.json()["price"]), (200, &json!(10.5)), "{read:?}");
            assert!(took < DEADLINE / 2, "{took:?}");
            seen += u64::from(read.header("x-cache") == "STALE");
        }
    })
    .await;
    assert_eq!(stale(stage).await - before, seen, "each fallback is counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_7_reads_fall_back_in_time_however_the_database_is_away() {
    let stage = filled().await;
    let proxy = stage.proxy.as_ref().unwrap();
    let slow = Fault::Delay(Duration::from_secs(60));
    for (round, fault) in [Fault::Refuse, Fault::BlackHole, slow, Fault::Reset].into_iter().enumerate() {
        proxy.set(fault);
        falls_back(&stage, 20).await;
        let mut client = stage.resp().await;
        // What the truth of is here is read and written as ever.
        assert_eq!(stage.get("/api/v1/sessions/u1").await.status, 200, "{fault:?}");
        assert_eq!(client.say(&format!("SET session:of{round} x")).await, "OK", "{fault:?}");
        // What is not acknowledged was not taken; the vendor tells it again.
        let at = format!("10:00:{:02}", 10 + round);
        let next = json!({ "quotes": [{ "market": "SH", "code": "600004", "timestamp": format!("{DAY}T{at}+08:00"), "price": "10.60", "volume": 100 }] });
        stage.wall.set(crate::TEN + 60_000);
        let refused = stage.post("/api/v1/ingest/quotes", &next.to_string()).await;
        assert!(refused.status >= 500, "{fault:?}: {refused:?}");
        proxy.set(Fault::None);
        soon(async { while stage.get("/api/v1/stocks/600000").await.header("x-cache") == "STALE" {} }).await;
        let again = told(&stage, &next["quotes"]).await;
        assert_eq!((&again["taken"], &again["same"]), (&json!(1), &json!(0)), "{fault:?}");
        assert_eq!(client.say(&format!("GET session:of{round}")).await, "x");
    }
    let stage = stage.restarted().await;
    let mut client = stage.resp().await;
    for round in 0..4 {
        assert_eq!(client.say(&format!("GET session:of{round}")).await, "x", "no write was lost");
    }
}

/// What is logged as a warning or worse, and that something answers again.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<String>>>);

struct Message(String);

impl tracing::field::Visit for Message {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Logged {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("forebay") && *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().push(format!("{} {}", event.metadata().level(), message.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// All of it on one thread, whose log is listened to.
#[tokio::test]
async fn st_7_an_episode_has_one_line_in_the_log() {
    // Of a single listener `tracing` asks the thread that comes to a line first whether anybody listens, which may be another test's.
    let _other = tracing::Dispatch::new(Logged::default());
    let logged = Logged::default();
    let _log = tracing::subscriber::set_default(logged.clone());
    let stage = filled().await;
    let count = |text: &str| logged.0.lock().iter().filter(|line| line.contains(text)).count();
    for episode in 1..=2 {
        stage.proxy.as_ref().unwrap().set(Fault::Refuse);
        let lines = || [count("WARN the database does not answer"), count("WARN the source fails")];
        let told = async {
            while lines() != [episode; 2] {
                falls_back(&stage, 20).await;
            }
        };
        soon(told).await;
        falls_back(&stage, 200).await;
        assert_eq!(lines(), [episode; 2], "{:#?}", logged.0.lock());
        let worse = logged.0.lock().iter().filter(|line| !line.starts_with("INFO")).count();
        assert!(worse <= episode * 4, "{:#?}", logged.0.lock());
        stage.proxy.as_ref().unwrap().set(Fault::None);
        soon(async {
            while stage.get("/api/v1/stocks/600000").await.header("x-cache") == "STALE"
                || count("INFO the database answers again") < episode
                || count("INFO the source answers again") < episode
            {}
        })
        .await;
    }
}

async fn st_7_without_the_tier_on_disk_reads_go_to_the_database(on: On) {
    let off = |text: String| format!("{}\n[shared]\nurl = \"memory\"\n", hasty(text));
    let stage = changed_stage(on, off).await;
    list(&stage, "600010", "a_share").await;
    tell(&stage, "600010", "10:00:00", "10.50").await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("SET session:u1 x").await, "OK");
    for _ in 0..3 {
        let before = count(&stage, "STOCK_CACHE", "loads").await;
        let read = stage.get("/api/v1/stocks/600010").await;
        assert_eq!((read.status, &read.json()["price"]), (200, &json!(10.5)));
        // A load that is slow goes on after a stale answer.
        soon(async { while count(&stage, "STOCK_CACHE", "loads").await == before {} }).await;
        soon(async { while client.say("PTTL stock:600010").await.parse::<i64>().unwrap() > 0 {} }).await;
    }
    assert!(!stage.get("/metrics").await.body.contains(r#"disk="copies""#), "it is off");
    let stage = stage.restarted().await;
    assert_eq!(stage.resp().await.say("GET session:u1").await, "x", "stores are on disk all the same");
    assert_eq!(stage.json("/api/v1/stocks/600010").await["price"], 10.5);
}
