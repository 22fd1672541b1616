//! What a day's quota and the log of operations do where they are switched on for a namespace of the app.

use forebay_stage::{On, on_both};

use crate::{TEN, changed_stage, count, list};

on_both! {
    st_6_a_days_quota_counts_and_refuses_by_namespace,
    st_6_each_namespace_of_the_design_has_a_quota_of_its_own,
}

async fn st_6_a_days_quota_counts_and_refuses_by_namespace(on: On) {
    let with = |text: String| {
        text.replace(
            "writes = \"cache\"\nmembership",
            "writes = \"cache\"\nquota = { reads = 6, writes = 2 }\nlog = \"operations\"\nmembership",
        )
    };
    let stage = changed_stage(on, with).await;
    list(&stage, "600000", "a_share").await;
    list(&stage, "000001", "index").await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("SET stock:600000 x").await, "OK");
    assert_eq!(client.say("SET stock:600001 x").await, "OK");
    let refused = client.say("SET stock:600002 x").await;
    assert!(refused.starts_with("!FBQUOTA"), "{refused}");
    assert_eq!(
        client.say("MGET stock:600000 stock:600001 stock:600002 stock:600003").await.matches(' ').count(),
        3
    );
    assert!(
        client.say("MGET stock:600000 stock:600001 stock:600002").await.starts_with("!FBQUOTA"),
        "all of the keys or none"
    );
    let path = "/v1/stocks/STOCK_CACHE/stock:600000";
    assert_eq!((stage.get(path).await.status, stage.get(path).await.status), (200, 200));
    let spent = stage.get(path).await;
    assert_eq!((spent.status, spent.problem().as_str()), (429, "quota_spent"));
    assert!(!spent.header("retry-after").is_empty());
    assert_eq!(
        (count(&stage, "STOCK_CACHE", "used_reads").await, count(&stage, "STOCK_CACHE", "used_writes").await),
        (6, 2)
    );
    assert!(client.say("GET index:000001").await.contains("000001"), "another namespace has none");
    assert_eq!(stage.get("/api/v1/stocks/600000").await.status, 200, "the app's own routes are the app's");
}

/// Each with the bounds of the original's free tier, in small; what is used of one is not used of another, and the next day begins at nothing.
async fn st_6_each_namespace_of_the_design_has_a_quota_of_its_own(on: On) {
    const DESIGNED: [(&str, &str); 4] = [
        ("STOCK_CACHE", "stock:600000"),
        ("MARKET_DATA", "index:000001"),
        ("USER_SESSIONS", "session:u1"),
        ("API_CACHE", "api:movers:00ff"),
    ];
    let with = |text: String| {
        DESIGNED.iter().enumerate().fold(text, |text, (n, (name, _))| {
            let head = format!("[namespace.{name}]\n");
            assert!(text.contains(&head));
            text.replace(&head, &format!("{head}quota = {{ reads = {}, writes = 1 }}\n", n + 2))
        })
    };
    let stage = changed_stage(on, with).await;
    let mut client = stage.resp().await;
    for day in 0..2_u64 {
        stage.wall.set(TEN + day * 24 * 3_600_000);
        for (n, (name, key)) in DESIGNED.iter().enumerate() {
            assert_eq!(client.say(&format!("SET {key} x")).await, "OK", "{name} on day {day}");
            let refused = client.say(&format!("SET {key} y")).await;
            assert!(refused.starts_with("!FBQUOTA"), "{name} on day {day}: {refused}");
            for _ in 0..n + 2 {
                assert_eq!(client.say(&format!("GET {key}")).await, "x", "{name} on day {day}");
            }
            let refused = client.say(&format!("GET {key}")).await;
            assert!(refused.starts_with("!FBQUOTA"), "{name} on day {day}: {refused}");
        }
        let metrics = stage.get("/metrics").await.body;
        for (n, (name, _)) in DESIGNED.iter().enumerate() {
            let used = (count(&stage, name, "used_reads").await, count(&stage, name, "used_writes").await);
            let reads = u64::try_from(n + 2).unwrap();
            assert_eq!(used, (reads, 1), "{name} on day {day}");
            assert_eq!(count(&stage, name, "quota_refusals").await, 2 * (day + 1), "{name}");
            for (of, told) in [("quota_keys", reads), ("quota_used_keys", reads)] {
                let line = format!(
                    r#"forebay_namespace_{of}{{keyspace="stocks",namespace="{name}",use="read"}} {told}"#
                );
                assert!(metrics.contains(&line), "{line} in {metrics}");
            }
        }
    }
}
