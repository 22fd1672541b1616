//! The effect of each declared option, through the assembly that a process is made of, by a clock that stands until it is
//! moved.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::rt::{Clock, Tasks};
use forebay::{Blob, Error, Forebay, Freshness, Namespace, Read, Tier, Value, Why, secs};
use forebay_server::app::{App, Running};
use forebay_server::assembly::{Surroundings, assemble};
use forebay_server::time::Clocks;
use forebay_stores::database::Database;
use sqlx::{AssertSqlSafe, Executor};
use tempfile::TempDir;

use super::{Unseen, database, declaration, deployment, soon};

const SOURCE: &str =
    "source.sql = { database = 'main', query = 'select code, price from items where code in {keys}' }";
/// More than the tables that every stage has.
const SHELVES: &str = "create table shelved (code text primary key, shelf text, seq integer, price integer);
    insert into shelved values ('a', 'top', 5, 1), ('b', 'low', 5, 2), ('c', null, 5, 3);";

/// The databases that assemblies have opened, by their data folders: the app of each leaves them here.
static OPENED: Mutex<Option<HashMap<PathBuf, Database>>> = Mutex::new(None);

/// One namespace, `it`, assembled from its declaration.
struct Declared {
    it: Namespace<Blob>,
    engine: Forebay,
    clock: Clock,
    database: Database,
    /// The assembly's own pool, of one connection.
    pool: Database,
    _tasks: Tasks,
    _folder: TempDir,
}

impl Declared {
    /// The namespace `it` with `options`, beside `others`.
    async fn with(options: &str, others: &str) -> Self {
        let apps = [App {
            name: "stage",
            summary: "",
            declaration: "",
            migrations: &[],
            jobs: &[],
            tries: &[],
            start: |setup| {
                Box::pin(async move {
                    let pool = setup.databases["main"].clone();
                    OPENED.lock().unwrap().get_or_insert_default().insert(setup.data, pool);
                    Ok(Running::default())
                })
            },
        }];
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder.path().join("main.db")).await;
        database.sqlite().unwrap().execute(SHELVES).await.unwrap();
        // After a leap of the clock a process is out of touch with a tier that it shares.
        let alone = "[shared]\nurl = 'memory'";
        let rest = format!("pool = {{ max = 1, wait = '1h' }}\n{alone}\n[namespace.it]\n{options}\n{others}");
        let text = declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", &rest);
        let (clock, tasks) = (Clock::simulated(), Tasks::current().unwrap());
        let clocks = Clocks { engine: clock.clone(), ..Clocks::default() };
        let surroundings = Surroundings::new(tasks.clone(), Arc::new(Unseen));
        let deployment = deployment("apps/stage/forebay.toml", &text);
        let assembled = assemble(&deployment, &apps, &surroundings, clocks);
        let assembly = soon(assembled).await.unwrap_or_else(|error| panic!("{error}"));
        let it = assembly.keyspaces[0].keyspace.namespace("it").unwrap().clone();
        let pool = OPENED.lock().unwrap().as_mut().unwrap().remove(folder.path()).unwrap();
        Self { it, engine: assembly.engine, clock, database, pool, _tasks: tasks, _folder: folder }
    }

    /// A namespace of the table `items`, with more `options`.
    async fn items(options: &str) -> Self {
        Self::with(&format!("key = 'item:{{code}}'\n{SOURCE}\n{options}"), "").await
    }

    /// A namespace of the table `shelved`, with more `options`.
    async fn shelved(options: &str) -> Self {
        let query = "select code, shelf, seq, price from shelved where code in {keys}";
        let source = format!("source.sql = {{ database = 'main', query = '{query}' }}");
        Self::with(&format!("key = 'item:{{code}}'\n{source}\n{options}"), "").await
    }

    async fn sql(&self, sql: &str) {
        soon(self.database.sqlite().unwrap().execute(AssertSqlSafe(sql.to_owned()))).await.unwrap();
    }

    async fn read(&self, key: &str) -> Result<Read, Error> {
        soon(self.it.read(key.as_bytes())).await
    }

    /// The price that a read of `key` gives; zero where there is no row.
    async fn price(&self, key: &str) -> i64 {
        price(&self.read(key).await.unwrap())
    }

    fn loads(&self) -> u64 {
        self.it.counts().loads
    }

    /// Waits until `loads` have begun.
    async fn begun(&self, loads: u64) {
        soon(async {
            while self.loads() < loads {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Takes the assembly's only connection: no load ends until it is given back.
    async fn hold_source(&self) -> impl Sized + use<> {
        soon(self.pool.sqlite().unwrap().acquire()).await.unwrap()
    }

    /// A read under way, on a task of its own.
    fn reading(&self, key: &'static str) -> tokio::task::JoinHandle<Result<Read, Error>> {
        let it = self.it.clone();
        tokio::spawn(async move { it.read(key.as_bytes()).await })
    }
}

fn price(read: &Read) -> i64 {
    let Some(Value::Blob(blob)) = &read.value else { return 0 };
    serde_json::from_slice::<serde_json::Value>(blob.as_bytes()).unwrap()["price"].as_i64().unwrap()
}

#[tokio::test]
async fn a_sliding_value_lives_while_it_is_used_and_ends_at_its_max() {
    let stage = Declared::items("ttl = { idle = '10s', max = '30s' }").await;
    assert_eq!(stage.price("item:a").await, 1);
    for _ in 0..3 {
        stage.clock.advance(secs(9));
        assert_eq!(stage.read("item:a").await.unwrap().outcome.tier, Tier::Memory);
    }
    stage.sql("update items set price = 7 where code = 'a'").await;
    stage.clock.advance(secs(4));
    assert_eq!((stage.price("item:a").await, stage.loads()), (7, 2), "31 s old, however much it was used");
    stage.clock.advance(secs(10));
    assert_eq!((stage.price("item:a").await, stage.loads()), (7, 3), "nobody has used it for 10 s");
}

#[tokio::test]
async fn a_read_shortly_before_the_end_refreshes() {
    let stage = Declared::items("ttl = '60s'\nrefresh_ahead = '10s'").await;
    assert_eq!(stage.price("item:a").await, 1);
    stage.sql("update items set price = 7 where code = 'a'").await;
    stage.clock.advance(secs(49));
    assert_eq!((stage.price("item:a").await, stage.loads()), (1, 1));
    stage.clock.advance(secs(2));
    let read = stage.read("item:a").await.unwrap();
    assert_eq!((price(&read), read.outcome.freshness), (1, Freshness::Fresh));
    stage.clock.advance(Duration::from_millis(2));
    stage.begun(2).await;
    soon(stage.engine.idle()).await;
    let read = stage.read("item:a").await.unwrap();
    assert_eq!((price(&read), read.outcome.tier, stage.loads()), (7, Tier::Memory, 2));
}

#[tokio::test]
async fn what_is_held_is_refreshed_unread() {
    let stage = Declared::items("ttl = '60s'\nrefresh_every = '30s'").await;
    assert_eq!(stage.price("item:a").await, 1);
    stage.sql("update items set price = 7 where code = 'a'").await;
    stage.clock.advance(secs(30));
    stage.begun(2).await;
    soon(stage.engine.idle()).await;
    let read = stage.read("item:a").await.unwrap();
    assert_eq!((price(&read), read.outcome.tier), (7, Tier::Memory));
}

#[tokio::test]
async fn an_older_row_never_replaces_a_newer_one() {
    let stage = Declared::shelved("ttl = '60s'\nversion = 'seq'").await;
    let fresh = async || price(&soon(stage.it.read_fresh(b"item:a")).await.unwrap());
    assert_eq!(stage.price("item:a").await, 1);
    stage.sql("update shelved set price = 7, seq = 4 where code = 'a'").await;
    assert_eq!((fresh().await, stage.price("item:a").await), (1, 1), "a replica that lags behind");
    stage.sql("update shelved set price = 8, seq = 6 where code = 'a'").await;
    assert_eq!((fresh().await, stage.price("item:a").await), (8, 8));
    stage.sql("update shelved set price = 9, seq = 'x' where code = 'a'").await;
    let refused = soon(stage.it.read_fresh(b"item:a")).await.unwrap_err();
    assert!(matches!(refused, Error::Source { .. }), "{refused}");
}

#[tokio::test]
async fn the_invalidation_of_a_declared_tag_drops_the_copies_that_carry_it() {
    let stage =
        Declared::shelved("ttl = '60s'\ntags = ['all-items', 'code:{code}', 'on:{shelf}', '{code}@{shelf}']")
            .await;
    let shop = stage.engine.keyspace("shop");
    let mut wanted: HashMap<&str, i64> = [("item:a", 1), ("item:b", 2), ("item:c", 3)].into();
    for (tag, takes_in) in [
        ("code:a", &["item:a"][..]),
        ("on:low", &["item:b"]),
        ("b@low", &["item:b"]),
        ("on:", &[]),
        ("on:null", &[]),
        ("all-items", &["item:a", "item:b", "item:c"]),
    ] {
        for key in ["item:a", "item:b", "item:c"] {
            assert_eq!(stage.price(key).await, wanted[key], "{key} before {tag}");
        }
        stage.sql("update shelved set price = price + 10").await;
        stage.engine.keyspace("another").invalidate_tag(tag).await.unwrap();
        let loads = stage.loads();
        shop.invalidate_tag(tag).await.unwrap();
        for key in ["item:a", "item:b", "item:c"] {
            let price = stage.price(key).await;
            assert_eq!(price != wanted[key], takes_in.contains(&key), "{key} after {tag}");
            wanted.insert(key, price);
        }
        assert_eq!(stage.loads() - loads, u64::try_from(takes_in.len()).unwrap(), "{tag}");
    }
}

#[tokio::test]
async fn an_absence_ends_with_any_tag_only_where_rows_have_tags() {
    for (tags, loads) in [("['on:{shelf}']", 2), ("['code:{code}']", 1)] {
        let stage = Declared::shelved(&format!("ttl = '60s'\ntags = {tags}")).await;
        assert_eq!(stage.price("item:new").await, 0);
        stage.engine.keyspace("shop").invalidate_tag("on:top").await.unwrap();
        assert_eq!(stage.price("item:new").await, 0);
        assert_eq!(stage.loads(), loads, "{tags}");
    }
}

#[tokio::test]
async fn after_the_soft_timeout_a_reader_takes_the_stale_value() {
    for (options, soft_ms) in [("", 100), ("loader.soft_timeout = '400ms'", 400)] {
        let stage = Declared::items(&format!("ttl = '10s'\nstale_if_error = '1h'\n{options}")).await;
        assert_eq!(stage.price("item:a").await, 1);
        stage.sql("update items set price = 7 where code = 'a'").await;
        stage.clock.advance(secs(11));
        let held = stage.hold_source().await;
        let reading = stage.reading("item:a");
        stage.begun(2).await;
        stage.clock.advance(Duration::from_millis(soft_ms - 1));
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert!(!reading.is_finished(), "it waits for the load until the soft time-out");
        stage.clock.advance(Duration::from_millis(1));
        let read = soon(reading).await.unwrap().unwrap();
        assert_eq!((price(&read), read.outcome.freshness), (1, Freshness::Stale(Why::SlowSource)));
        drop(held);
        soon(stage.engine.idle()).await;
        let read = stage.read("item:a").await.unwrap();
        assert_eq!(
            (price(&read), read.outcome.tier, stage.loads()),
            (7, Tier::Memory, 2),
            "the load went on"
        );
    }
}

#[tokio::test]
async fn the_breaker_opens_after_the_declared_failures_and_closes_after_the_declared_successes() {
    for (breaker, failures, pause, successes) in
        [("", 5, 60, 2), ("loader.breaker = { failures = 2, successes = 1, pause = '30s' }", 2, 30, 1)]
    {
        let stage = Declared::items(&format!("ttl = '1h'\nloader.timeout = '1s'\n{breaker}")).await;
        let held = stage.hold_source().await;
        for failure in 1..=failures {
            let reading = stage.reading("item:a");
            stage.begun(failure).await;
            stage.clock.advance(secs(1));
            let failed = soon(reading).await.unwrap().unwrap_err();
            assert!(matches!(failed, Error::Timeout { .. }), "{failed}");
        }
        let refused = stage.read("item:a").await.unwrap_err();
        let Error::BreakerOpen { retry_after, .. } = refused else { panic!("{refused}") };
        assert_eq!((retry_after, stage.loads()), (secs(pause), failures));
        drop(held);
        stage.clock.advance(secs(pause - 1));
        stage.read("item:a").await.unwrap_err();
        stage.clock.advance(secs(1));
        for probe in 1..=successes {
            assert_eq!(stage.loads(), failures + probe - 1);
            soon(stage.it.read_fresh(b"item:b")).await.unwrap();
        }
        // Closed, it takes as many failures again; half-open, one would do.
        let held = stage.hold_source().await;
        let reading = stage.reading("item:x/y");
        stage.begun(failures + successes + 1).await;
        stage.clock.advance(secs(1));
        soon(reading).await.unwrap().unwrap_err();
        drop(held);
        assert_eq!(stage.price("item:x/y").await, 3, "one failure leaves it closed");
    }
}

#[tokio::test]
async fn a_namespace_has_the_memory_and_the_policy_that_it_declares() {
    let mut kept = Vec::new();
    for policy in ["lru", "lfu"] {
        let memory = format!("memory = {{ policy = '{policy}', budget = '64 KiB' }}");
        let stage =
            Declared::with(&format!("key = 'k:{{n}}'\nmode = 'cache'\nttl = '1h'\n{memory}"), "").await;
        let write =
            |n: usize| stage.it.write(format!("k:{n}").as_bytes(), Blob::opaque(vec![0; 1000]).into(), None);
        let held = |n: usize| stage.it.peek(format!("k:{n}").as_bytes()).is_some();
        for n in 0..10 {
            write(n).unwrap();
        }
        for n in (0..10).cycle().take(100) {
            assert!(stage.it.read_now(format!("k:{n}").as_bytes()).is_some());
        }
        for n in 10..200 {
            write(n).unwrap();
        }
        let weight = (0..200).filter(|n| held(*n)).count();
        assert!((20..64).contains(&weight), "{weight} values of 1000 bytes in 64 KiB");
        kept.push((0..10).filter(|n| held(*n)).count());
    }
    assert_eq!(kept, [0, 10], "what was used often is kept by lfu; by lru what was used last");
}

#[tokio::test]
async fn a_share_is_of_the_whole_budget_and_what_is_left_is_shared() {
    let namespace = |name: &str, memory: &str| {
        format!("[namespace.{name}]\nkey = '{name}:{{n}}'\nmode = 'cache'\nttl = '1h'\nmemory.{memory}\n")
    };
    for (others, left_bytes) in [
        (namespace("other", "share = '25 %'"), 5 << 20),
        (namespace("other", "budget = '512 KiB'"), (6 << 20) + (512 << 10)),
        // The least that may be left is enough to start with.
        (namespace("other", "budget = '6 MiB'"), 1 << 20),
    ] {
        let others = format!("{others}[memory]\nbudget = '8 MiB'\n");
        let own = "key = 'k:{n}'\nmode = 'cache'\nttl = '1h'\nmemory.budget = '1 MiB'";
        let stage = Declared::with(own, &others).await;
        assert_eq!(stage.engine.memory().budget_bytes(), left_bytes, "{others}");
    }
}
