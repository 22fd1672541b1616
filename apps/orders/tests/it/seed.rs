//! The design that the app comes from, call by call, by clients that are not ours: also while the database is down.

use std::net::SocketAddr;

use forebay_simulated::proxy::Fault;
use forebay_stage::{AppStage, On, scripted};
use xtask::clients::{Language, script};

use crate::{PERIOD, create, stage};

const SCRIPTS: [(Language, &str, usize, usize); 2] = [
    (Language::Python, "apps/orders/tests/clients/seed_004.py", 11, 5),
    (Language::JavaScript, "apps/orders/tests/clients/seed_004.js", 4, 2),
];

async fn run(language: Language, path: &'static str, resp: SocketAddr, database: &str, tests: usize) {
    let with = move || script(language, path).unwrap_or_else(|error| panic!("{error}"));
    let variables = [
        ("FOREBAY_RESP", resp.to_string()),
        ("FOREBAY_PERIOD", PERIOD.to_owned()),
        ("FOREBAY_DATABASE", database.to_owned()),
    ];
    scripted(with, &variables).await.passed(path, tests);
}

/// The app with a period of three orders, after its clients have done with it what the design does.
async fn used(on: On) -> AppStage {
    let stage = stage(on).await;
    for n in 1..=3 {
        assert_eq!(create(&stage, &format!("ORDER_{n}"), "u", &format!("{n}.00")).await.status, 201);
    }
    for (language, path, tests, _) in SCRIPTS {
        run(language, path, stage.process.resp, "up", tests).await;
    }
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seed_004_runs_by_redis_py_and_ioredis_on_a_file() {
    used(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seed_004_runs_by_redis_py_and_ioredis_also_without_the_database() {
    let stage = used(On::Distant).await;
    let mut client = stage.resp().await;
    assert!(client.say(&format!("HGETALL fataMorgana_{PERIOD}")).await.contains("ORDER_3"));
    let proxy = stage.proxy.as_ref().unwrap();
    proxy.set(Fault::Refuse);
    proxy.closed().await;
    for (language, path, _, tests) in SCRIPTS {
        run(language, path, stage.process.resp, "down", tests).await;
    }
    let refused = create(&stage, "ORDER_4", "u", "1.00").await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "database_unavailable"));
    assert!(!refused.header("retry-after").is_empty());
    let held = stage.get(&format!("/api/v1/periods/{PERIOD}/orders/ORDER_1")).await;
    assert_eq!((held.status, held.header("x-cache")), (200, "HIT"));
    proxy.set(Fault::None);
    forebay_stage::soon(async {
        while create(&stage, "ORDER_4", "u", "1.00").await.status >= 500 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(client.say(&format!("HLEN fataMorgana_{PERIOD}")).await, "4", "it goes on where it was");
}
