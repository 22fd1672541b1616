//! Rows that say until when they are fresh, read by both front ends while the clocks go on: nobody is shown an order as pending
//! that has expired, and outside trading hours a quote stays.

use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay_server::process::{self, Process};
use forebay_server::time::WallClock;
use forebay_stores::database::{Database, DatabaseOptions};
use sqlx::{AssertSqlSafe, Executor};
use tempfile::TempDir;

use super::{Resp, Unseen, ask, deployment, postgres, soon};

/// 2026-11-22 10:00 UTC.
const TEN_MS: u64 = 1_795_341_600_000;

/// A process over a database of one kind, whose clocks go on when they are told.
struct Stage {
    process: Process,
    client: Resp,
    database: Database,
    clock: Clock,
    wall: WallClock,
    past_ms: u64,
    _folder: TempDir,
}

/// Orders that are pending until their time is over, alone and as the fields of a hash, and quotes that are fresh for 3 s or until the
/// next opening; `now` is how the database is told of the present.
fn namespaces(now: &str) -> String {
    let columns = format!(
        "select period, order_no, case when status = 'pending' and expire_time <= {now} then 'expired' else status end as status, \
         case when status = 'pending' and expire_time > {now} then expire_time end as fresh_until from orders"
    );
    let source = "source.sql = { database = 'main', query";
    format!(
        "[shared]\nurl = 'memory'\n\
         [namespace.order]\nkey = 'order:{{period}}:{{order_no}}'\nttl = '1h'\nfresh_until = 'fresh_until'\n\
         {source} = \"{columns} where (period, order_no) in {{keys}}\" }}\n\
         [namespace.orders]\nkind = 'hash'\nkey = 'orders:{{period}}'\nfield = '{{order_no}}'\nttl = '1h'\nfresh_until = 'fresh_until'\n\
         {source} = \"{columns} where period in {{keys}}\", fields = \"{columns} where (period, order_no) in {{keys}}\" }}\n\
         [namespace.wholes]\nkind = 'hash'\nkey = 'wholes:{{period}}'\nfield = '{{order_no}}'\nttl = '1h'\nfresh_until = 'fresh_until'\n\
         {source} = \"{columns} where period in {{keys}}\" }}\n\
         [namespace.quote]\nkey = 'quote:{{code}}'\nttl = '3s'\nfresh_until = {{ column = 'until', at_most = '30d' }}\n\
         {source} = 'select code, price, until from quotes where code in {{keys}}' }}\n"
    )
}

const ROWS: &str = "insert into orders values ('7', 'A', 'pending', '2026-11-22T10:15:00.000Z'), ('7', 'B', 'pending', '2026-11-22T10:20:00.000Z'),
        ('7', 'C', 'paid', '2026-11-22T10:15:00.000Z');
    insert into quotes values ('shut', 1, '2026-11-23T01:30:00.000Z'), ('open', 1, null);";

impl Stage {
    async fn both() -> [Self; 2] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("main.db");
        let sqlite = Database::open(&DatabaseOptions::sqlite(&file, 1)).await.unwrap();
        let url = format!("sqlite:{}", file.display());
        let sqlite = Self::over(sqlite, &url, "text", "{now}", folder).await;
        let url = postgres::fresh().await;
        let server = Database::open(&DatabaseOptions::postgres(url.parse().unwrap(), 1)).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        [sqlite, Self::over(server, &url, "timestamptz", "{now}::timestamptz", folder).await]
    }

    async fn over(database: Database, url: &str, time: &str, now: &str, folder: TempDir) -> Self {
        let tables = format!(
            "create table orders (period text, order_no text, status text, expire_time {time}, primary key (period, order_no));
            create table quotes (code text primary key, price integer, until {time}); {ROWS}"
        );
        let data = folder.path().display();
        let text = format!(
            "keyspace = 'shop'\n[server]\nhttp = '127.0.0.1:0'\nresp = '127.0.0.1:0'\ndata = '{data}'\n\
             [database.main]\nurl = '{url}'\npool = {{ max = 4, warm = 0 }}\n{}",
            namespaces(now)
        );
        let (clock, wall) = (Clock::simulated(), WallClock::standing(TEN_MS));
        execute(&database, &tables).await;
        let deployment = deployment("forebay.toml", &text);
        let started = process::start_by(&deployment, &[], Arc::new(Unseen), clock.clone(), wall.clone());
        let process = soon(started).await.unwrap();
        let client = Resp::connect(process.resp).await;
        Self { process, client, database, clock, wall, past_ms: 0, _folder: folder }
    }

    /// Lets both clocks show `ms` after ten.
    fn at(&mut self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms - self.past_ms));
        self.wall.set(TEN_MS + ms);
        self.past_ms = ms;
    }

    async fn say(&mut self, line: &str) -> String {
        self.client.say(line).await
    }

    /// The state of the orders of a hash, and whether a read of it asked the database.
    async fn states(&mut self, key: &str) -> (String, u64) {
        let before = self.loads().await;
        let told = self.say(&format!("HGETALL {key}")).await;
        let states = told.split("\"status\":\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let mut states: Vec<&str> = states.collect();
        states.sort_unstable();
        (states.join(" "), self.loads().await - before)
    }

    async fn loads(&mut self) -> u64 {
        let metrics = ask(self.process.http, "GET", "/metrics", "").await.body;
        let of = metrics.lines().filter(|line| line.starts_with("forebay_loader_loads_total{"));
        of.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

async fn execute(database: &Database, sql: &str) {
    for statement in sql.split(';').filter(|statement| !statement.trim().is_empty()) {
        let statement = AssertSqlSafe(statement.to_owned());
        match database.sqlite() {
            Ok(pool) => drop(pool.execute(statement).await.unwrap()),
            Err(_) => drop(database.postgres().unwrap().execute(statement).await.unwrap()),
        }
    }
}

const QUARTER_MS: u64 = 15 * 60_000;

#[tokio::test]
async fn an_order_is_never_shown_as_pending_when_its_time_is_over() {
    let pending = r#"{"period":"7","order_no":"A","status":"pending"}"#;
    let expired = r#"{"period":"7","order_no":"A","status":"expired"}"#;
    for mut stage in Stage::both().await {
        for key in ["order:7:A", "order:7:B", "order:7:C"] {
            stage.say(&format!("GET {key}")).await;
        }
        stage.at(QUARTER_MS - 1);
        assert_eq!(stage.say("GET order:7:A").await, pending);
        let path = "/v1/shop/order/order:7:A";
        let hit = ask(stage.process.http, "GET", path, "").await;
        assert_eq!(hit.seen(), ("HIT", pending));
        let loads = stage.loads().await;
        stage.at(QUARTER_MS);
        // Whoever looks first: what is held of it is not shown, and no job has touched the row.
        assert_eq!(stage.say("EXISTS order:7:A").await, "0");
        let miss = ask(stage.process.http, "GET", path, "").await;
        assert_eq!(miss.seen(), ("MISS", expired));
        assert_eq!(stage.say("GET order:7:A").await, expired);
        assert!(stage.say("GET order:7:B").await.contains("pending"));
        assert!(stage.say("GET order:7:C").await.contains("paid"));
        assert_eq!(stage.loads().await, loads + 1, "the others were not loaded again");
    }
}

#[tokio::test]
async fn a_field_that_has_ended_is_loaded_alone() {
    for mut stage in Stage::both().await {
        assert_eq!(stage.states("orders:7").await, ("paid pending pending".into(), 1));
        stage.at(QUARTER_MS - 1);
        assert_eq!(stage.states("orders:7").await, ("paid pending pending".into(), 0));
        assert_eq!(stage.say("HEXISTS orders:7 A").await, "1");
        stage.at(QUARTER_MS);
        assert_eq!(stage.say("HEXISTS orders:7 A").await, "0", "nothing is held of it");
        assert_eq!(stage.say("HEXISTS orders:7 B").await, "1");
        let loads = stage.loads().await;
        assert!(stage.say("HGET orders:7 B").await.contains("pending"));
        assert_eq!(stage.loads().await, loads, "the others stay");
        assert!(stage.say("HGET orders:7 A").await.contains("expired"));
        assert_eq!(stage.states("orders:7").await, ("expired paid pending".into(), 0));
        assert_eq!(stage.loads().await, loads + 1);
        stage.at(QUARTER_MS * 4 / 3);
        // Reads of the whole load what has ended, and no more.
        execute(&stage.database, "update orders set status = 'shown only if loaded' where order_no = 'C'")
            .await;
        assert_eq!(stage.say("HLEN orders:7").await, "3");
        assert_eq!(stage.states("orders:7").await, ("expired expired paid".into(), 0));
        assert!(!stage.say("HSCAN orders:7 0").await.contains("pending"));
        assert!(!stage.say("HVALS orders:7").await.contains("pending"));
        assert!(!stage.say("HRANDFIELD orders:7 9 WITHVALUES").await.contains("pending"));
    }
}

#[tokio::test]
async fn a_hash_whose_fields_are_not_loaded_alone_is_loaded_whole() {
    for mut stage in Stage::both().await {
        assert_eq!(stage.states("wholes:7").await, ("paid pending pending".into(), 1));
        stage.at(QUARTER_MS);
        let loads = stage.loads().await;
        assert!(stage.say("HGET wholes:7 B").await.contains("pending"));
        assert_eq!(stage.loads().await, loads);
        assert!(stage.say("HGET wholes:7 A").await.contains("expired"));
        assert_eq!(stage.states("wholes:7").await, ("expired paid pending".into(), 0));
        assert_eq!(stage.loads().await, loads + 1);
    }
}

#[tokio::test]
async fn a_quote_outlives_its_ttl_where_the_row_says_so() {
    for mut stage in Stage::both().await {
        for key in ["quote:shut", "quote:open"] {
            assert!(stage.say(&format!("GET {key}")).await.contains(r#""price":1"#));
        }
        execute(&stage.database, "update quotes set price = 2").await;
        stage.at(3_000);
        assert!(stage.say("GET quote:shut").await.contains(r#""price":1"#));
        assert!(stage.say("GET quote:open").await.contains(r#""price":2"#));
        let opening_ms = (15 * 60 + 30) * 60_000;
        stage.at(opening_ms - 1);
        let last = ask(stage.process.http, "GET", "/v1/shop/quote/quote:shut", "").await;
        let max_age = last.header("cache-control").trim_start_matches("max-age=");
        assert_eq!(
            (last.header("x-cache"), max_age),
            ("HIT", last.header("age")),
            "it may be kept no longer"
        );
        assert!(last.body.contains(r#""price":1"#) && last.body.contains(r#""until":"2026-11-23T01:30:00"#));
        stage.at(opening_ms);
        assert!(stage.say("GET quote:shut").await.contains(r#""price":2"#));
    }
}

#[tokio::test]
async fn text_that_is_no_time_is_an_error_and_no_value_for_ever() {
    let [mut stage, _] = Stage::both().await;
    execute(&stage.database, "update quotes set until = 'when it rains' where code = 'shut'").await;
    let told = stage.say("GET quote:shut").await;
    assert!(told.starts_with('!'), "{told}");
    let why = stage.say("FB.WHY quote:shut").await;
    assert!(!why.contains(r#""price""#), "{why}");
    assert!(stage.say("GET quote:open").await.contains(r#""price":1"#), "others are as ever");
}
