//! Filling the tables: once, and whole after a kill.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use forebay_app_stocks::market::{Moment, SampleMarket};
use forebay_app_stocks::sample::fill;
use forebay_server::app::Progress;
use forebay_stores::database::Database;

use crate::database;

const OPENING: Moment = Moment { session: 0, minute: 0 };

/// Remembers the last step, and panics when `fatal` rows are done.
struct Steps {
    done: AtomicU64,
    total: AtomicU64,
    fatal: u64,
}

impl Steps {
    fn new(fatal: u64) -> Arc<Self> {
        Arc::new(Self { done: AtomicU64::new(0), total: AtomicU64::new(0), fatal })
    }
}

impl Progress for Steps {
    fn step(&self, _what: &str, done: u64, total: u64) {
        assert!(done > self.done.swap(done, Ordering::Relaxed), "progress goes forward");
        self.total.store(total, Ordering::Relaxed);
        assert!(done < self.fatal, "killed");
    }
}

async fn rows(database: &Database) -> Vec<i64> {
    let mut counts = Vec::new();
    for count in [
        "select count(*) from instruments",
        "select count(*) from quotes",
        "select count(*) from indices",
        "select count(*) from bars",
        "select count(*) from daily_bars",
    ] {
        counts.push(sqlx::query_scalar(count).fetch_one(database.sqlite().unwrap()).await.unwrap());
    }
    counts
}

const ALL: [i64; 5] = [2_738, 2_280, 458, 13_440, 960];
const TOTAL: u64 = 2 * 2_738 + 13_440 + 960;

#[tokio::test]
async fn a_second_start_finds_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    let market = SampleMarket::shipped().unwrap();
    let first = Steps::new(u64::MAX);
    assert_eq!(fill(&database, &market, OPENING, first.as_ref()).await.unwrap(), TOTAL);
    assert_eq!(first.done.load(Ordering::Relaxed), TOTAL, "the last step ends it");
    assert_eq!(first.total.load(Ordering::Relaxed), TOTAL);
    assert_eq!(rows(&database).await, ALL);

    sqlx::query("delete from quotes where code = '600000'")
        .execute(database.sqlite().unwrap())
        .await
        .unwrap();
    let second = Steps::new(0);
    assert_eq!(fill(&database, &market, OPENING, second.as_ref()).await.unwrap(), 0);
    assert_eq!(rows(&database).await[1], ALL[1] - 1, "what was deleted stays deleted");
}

#[tokio::test]
async fn a_start_killed_in_the_middle_is_completed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let market = Arc::new(SampleMarket::shipped().unwrap());
    for fatal in [1, 3_000, 9_000] {
        let (database, market) = (database(folder.path()).await, Arc::clone(&market));
        let killed = tokio::spawn(async move {
            let steps = Steps::new(fatal);
            fill(&database, &market, OPENING, steps.as_ref()).await.map(|_| ())
        });
        assert!(killed.await.unwrap_err().is_panic());
    }
    let database = database(folder.path()).await;
    assert_ne!(rows(&database).await, ALL);
    let loaded = fill(&database, &market, OPENING, Steps::new(u64::MAX).as_ref()).await.unwrap();
    assert!(loaded < TOTAL, "whole parts are not loaded again: {loaded}");
    assert_eq!(rows(&database).await, ALL);
}

#[tokio::test]
async fn a_quote_is_loaded_by_its_code_as_exact_text() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    let market = SampleMarket::shipped().unwrap();
    fill(&database, &market, OPENING, Steps::new(u64::MAX).as_ref()).await.unwrap();
    let stock: (String, String, String, String, String, i64, String) = sqlx::query_as(
        "select code, name, price, change, change_pct, volume, timestamp from quotes where code in ('600000')",
    )
    .fetch_one(database.sqlite().unwrap())
    .await
    .unwrap();
    let text = |text: &str| text.to_owned();
    let expected = (
        text("600000"),
        text("浦发银行"),
        text("10.29"),
        text("0.04"),
        text("0.39"),
        386_400,
        text("2019-01-23T01:30:00Z"),
    );
    assert_eq!(stock, expected);
    let index: (String, String, String) =
        sqlx::query_as("select name, price, provenance from indices where code in ('000001')")
            .fetch_one(database.sqlite().unwrap())
            .await
            .unwrap();
    assert_eq!(index, (text("上证指数"), text("2577.19"), text("recorded")));
    let generated: Vec<String> =
        sqlx::query_scalar("select provenance from quotes where code in ('600519', '000858')")
            .fetch_all(database.sqlite().unwrap())
            .await
            .unwrap();
    assert_eq!(generated, ["generated", "generated"]);
}
