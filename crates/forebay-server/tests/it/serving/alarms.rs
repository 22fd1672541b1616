//! Alarms of a serving process: of the declaration, by a clock that the test moves, and of an app.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use forebay::rt::Clock;
use forebay_server::app::{Alarms, App, Running};
use forebay_server::configuration::Deployment;
use forebay_server::process::{self, Process};
use forebay_server::time::WallClock;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::observe::Lines;
use super::{Answer, NAMESPACES, Resp, Unseen, ask, declaration, deployment, soon};

/// A process whose clock stands still.
struct Watch {
    process: Process,
    client: Resp,
    clock: Clock,
    database: forebay_stores::database::Database,
    folder: TempDir,
}

impl Watch {
    async fn new(alarms: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = super::database(&folder.path().join("main.db")).await;
        let clock = Clock::simulated();
        let deployment = Self::declared(&folder, alarms);
        let started =
            process::start_by(&deployment, &[], Arc::new(Unseen), clock.clone(), WallClock::system());
        let process = soon(started).await.unwrap();
        let client = Resp::connect(process.resp).await;
        Self { process, client, clock, database, folder }
    }

    fn declared(folder: &TempDir, alarms: &str) -> Deployment {
        let rest = format!("[shared]\nurl = 'memory'\n{NAMESPACES}{alarms}");
        deployment("forebay.toml", &declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", &rest))
    }

    async fn get(&self, path: &str) -> Answer {
        ask(self.process.http, "GET", path, "").await
    }

    async fn sql(&self, sql: &'static str) {
        sqlx::query(sql).execute(self.database.sqlite().unwrap()).await.unwrap();
    }

    /// Whether the alarm is raised, by the metric; nothing where it is not known.
    async fn is_raised(&self, alarm: &str) -> Option<bool> {
        let series = format!("forebay_alarm{{keyspace=\"shop\",alarm=\"{alarm}\"}} ");
        let metrics = self.get("/metrics").await.body;
        metrics.lines().find_map(|line| Some(line.strip_prefix(&series)? == "1"))
    }

    /// Lets time go by until the alarm is as `wanted`; how many seconds that took.
    async fn until(&self, alarm: &str, wanted: Option<bool>) -> u64 {
        soon(async {
            let mut seconds = 0;
            while self.is_raised(alarm).await != wanted {
                self.clock.advance(Duration::from_secs(1));
                seconds += 1;
            }
            seconds
        })
        .await
    }

    /// Lets so many seconds go by, one look at least in each.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            // What wakes by the clock runs while this is asked.
            self.get("/health").await;
        }
    }

    /// What `/health/ready` tells: its status, its state, and of the alarm its reason.
    async fn health(&self, alarm: &str) -> (u16, String, Option<String>) {
        let answer = self.get("/health/ready").await;
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        let troubles = told["troubles"].as_array().unwrap();
        let one = troubles.iter().find(|one| one["what"] == "alarm" && one["alarm"] == alarm);
        let reason = one.map(|one| {
            assert_eq!(one["keyspace"], "shop");
            assert!(one["since"].is_string() && one["for_s"].is_u64(), "{one}");
            one["reason"].as_str().unwrap().to_owned()
        });
        (answer.status, told["state"].as_str().unwrap().to_owned(), reason)
    }
}

const COLD: &str =
    "[alarm.cold]\nnamespace = 'item'\nhit_rate_min = '80 %'\nrequests_min = 20\nwindow = '10s'\n";

/// All on one thread, whose log it is.
#[tokio::test]
async fn a_hit_rate_below_its_bound_is_one_episode() {
    let lines = Lines::default();
    let _log = lines.of_this_thread();
    let mut watch = Watch::new(COLD).await;
    assert_eq!(watch.until("cold", Some(false)).await, 0, "it is known before anything is wrong");
    for code in 0..19 {
        watch.client.say(&format!("GET item:none{code}")).await;
    }
    watch.pass(3).await;
    assert_eq!(watch.is_raised("cold").await, Some(false), "too few to tell");
    watch.client.say("GET item:none19").await;
    watch.until("cold", Some(true)).await;
    let reason = "item: hit rate 0 % of 20 reads, below 80 %".to_owned();
    assert_eq!(watch.health("cold").await, (200, "degraded".into(), Some(reason)));
    watch.pass(5).await;
    assert_eq!(watch.is_raised("cold").await, Some(true), "for as long as the window has the reads");
    for _ in 0..200 {
        watch.client.say("GET item:none1").await;
    }
    // Within its bounds again, and not over before that has been so for a window.
    watch.pass(2).await;
    assert_eq!(watch.is_raised("cold").await, Some(true));
    let seconds = watch.until("cold", Some(false)).await;
    assert!((5..=10).contains(&seconds), "{seconds} s later");
    assert_eq!(watch.health("cold").await, (200, "ready".into(), None));
    let told = lines.told("cold");
    assert_eq!(told, ["an alarm is raised", "an alarm is over"], "one line each");
}

#[tokio::test]
async fn reads_that_take_too_long_are_told() {
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = format!(
        "[namespace.slow]\nkey = 'slow:{{id}}'\nttl = '60s'\nsource.http = {{ url = 'http://{}/{{id}}', allow_private = true }}\n\
         [alarm.late]\nnamespace = 'slow'\nlatency_max = '50ms'\nrequests_min = 1\nwindow = '5s'\n",
        origin.local_addr().unwrap()
    );
    let watch = Watch::new(&slow).await;
    for (id, took_ms, is_late) in [("a", 20, false), ("b", 200, true)] {
        watch.until("late", Some(false)).await;
        let http = watch.process.http;
        let path = format!("/v1/shop/slow/slow:{id}");
        let read = tokio::spawn(async move { ask(http, "GET", &path, "").await });
        let (mut stream, _) = soon(origin.accept()).await.unwrap();
        assert!(soon(stream.read(&mut [0; 1024])).await.unwrap() > 0);
        watch.clock.advance(Duration::from_millis(took_ms));
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1\r\nconnection: close\r\n\r\n1";
        soon(stream.write_all(answer.as_bytes())).await.unwrap();
        assert_eq!(soon(read).await.unwrap().body, "1");
        watch.pass(2).await;
        assert_eq!(watch.is_raised("late").await, Some(is_late), "{took_ms} ms");
    }
    let (_, _, reason) = watch.health("late").await;
    assert_eq!(reason.unwrap(), "slow: 1 of 2 reads took longer than 50ms");
}

#[tokio::test]
async fn a_trouble_can_take_the_process_out_of_service() {
    let away = "[alarm.away]\ntroubles = ['database_unreachable', 'source_failing']\nwindow = '5s'\nunready = true\n\
                [alarm.calm]\ntroubles = ['copies_failed']\n";
    let mut watch = Watch::new(away).await;
    assert_eq!(watch.health("away").await, (200, "ready".into(), None));
    watch.sql("alter table doomed rename to gone").await;
    assert!(watch.client.say("GET broken:a").await.starts_with('!'));
    watch.until("away", Some(true)).await;
    let reason = Some("source_failing: broken".to_owned());
    assert_eq!(watch.health("away").await, (503, "failed".into(), reason));
    assert_eq!(watch.is_raised("calm").await, Some(false), "another trouble");
    watch.sql("alter table gone rename to doomed").await;
    assert!(!watch.client.say("GET broken:a").await.starts_with('!'));
    assert_eq!(watch.health("away").await.0, 503, "not before all was well for a window");
    let seconds = watch.until("away", Some(false)).await;
    assert!((4..=6).contains(&seconds), "{seconds} s later");
    assert_eq!(watch.health("away").await, (200, "ready".into(), None));
}

#[tokio::test]
async fn a_reload_changes_alarms() {
    let lines = Lines::default();
    let _log = lines.of_this_thread();
    let mut watch = Watch::new(COLD).await;
    watch.until("cold", Some(false)).await;
    for code in 0..20 {
        watch.client.say(&format!("GET item:none{code}")).await;
    }
    watch.until("cold", Some(true)).await;
    let next = Watch::declared(&watch.folder, &format!("{COLD}[alarm.new]\ntroubles = ['store_failed']\n"));
    let reloaded = soon(watch.process.reload(next)).await.unwrap().to_string();
    assert_eq!(reloaded, "added alarm shop/new");
    watch.until("new", Some(false)).await;
    assert_eq!(watch.is_raised("cold").await, Some(true), "what is declared as before goes on");
    let next = Watch::declared(&watch.folder, "[alarm.new]\ntroubles = ['source_failing']\n");
    let reloaded = soon(watch.process.reload(next)).await.unwrap().to_string();
    assert_eq!(reloaded, "changed alarm shop/new; removed alarm shop/cold");
    watch.until("cold", None).await;
    assert_eq!(watch.health("cold").await, (200, "ready".into(), None));
    assert_eq!(lines.told("cold"), ["an alarm is raised", "an alarm is over"]);
    watch.sql("alter table doomed rename to gone").await;
    watch.client.say("GET broken:a").await;
    watch.until("new", Some(true)).await;
}

/// An app that judges prices that it is sent.
fn app() -> App {
    async fn judge(State(alarms): State<Alarms>, price: String) -> &'static str {
        match price.parse::<u64>() {
            Ok(price) if price <= 1_235 => alarms.clear("prices_refused"),
            _ => {
                alarms.count("price_refused", 1);
                alarms.raise("prices_refused", &format!("{price} is no price of today{}", "!".repeat(300)));
            }
        }
        "judged\n"
    }
    App {
        name: "bad",
        summary: "",
        declaration: "",
        migrations: &[],
        jobs: &[],
        tries: &[],
        start: |setup| {
            Box::pin(async move {
                setup.alarms.raise("starting", "it has begun");
                let routes = axum::Router::new().route("/api/price", post(judge)).with_state(setup.alarms);
                Ok(Running { routes: Some(routes), notes: vec![], ..Running::default() })
            })
        },
    }
}

#[tokio::test]
async fn an_app_raises_alarms_and_counts() {
    let lines = Lines::default();
    let _log = lines.of_this_thread();
    let (process, _folder) = super::listeners::stage("", &[app()]).await;
    let judge = async |price| super::ask_with(process.http, "POST", "/api/price", "", price).await;
    let metrics = async || ask(process.http, "GET", "/metrics", "").await.body;
    let series = "forebay_alarm{keyspace=\"shop\",alarm=\"prices_refused\"}";
    assert!(!metrics().await.contains(series));
    judge("112300").await;
    judge("112301").await;
    let told = metrics().await;
    assert!(told.contains(&format!("{series} 1\n")), "{told}");
    assert!(
        told.contains("forebay_alarm{keyspace=\"shop\",alarm=\"starting\"} 1\n"),
        "from before a port opened"
    );
    assert!(
        told.contains("forebay_app_events_total{keyspace=\"shop\",app=\"bad\",event=\"price_refused\"} 2\n")
    );
    let ready = ask(process.http, "GET", "/health/ready", "").await;
    let health: Value = serde_json::from_str(&ready.body).unwrap();
    assert_eq!((ready.status, &health["state"]), (200, &Value::from("degraded")), "a reason, and in service");
    let reason = health["troubles"][1]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("112301 is no price of today!") && reason.len() == 256,
        "the newest: {reason}"
    );
    judge("1123").await;
    judge("1124").await;
    assert!(metrics().await.contains(&format!("{series} 0\n")));
    judge("999999").await;
    let wanted = ["an alarm is raised", "an alarm is over", "an alarm is raised"];
    assert_eq!(lines.told("prices_refused"), wanted, "one line an episode begins and ends with");
    assert_eq!(lines.told("starting"), ["an alarm is raised"]);
}
