//! What a day's quota and the log of operations do where they are switched on for a namespace of the app.

use forebay_stage::{On, on_both};

use crate::{changed_stage, count, list};

on_both! {
    st_6_a_days_quota_counts_and_refuses_by_namespace,
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
