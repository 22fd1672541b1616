//! Unknown codes, stampedes, warming, a database that is away, and what is cleaned up.

use forebay_stage::{AppStage, On, Resp, on_both, request, shown, soon};

use crate::{changed_stage, count, list, stage, tell};

on_both! {
    st_3_an_unknown_code_asks_the_database_once,
    st_3_a_flood_of_unknown_codes_is_stopped_and_a_new_one_is_found_at_once,
    st_4_ten_thousand_readers_of_one_expired_key_make_one_query,
    st_5_the_hot_ones_are_warmed_at_the_start,
    st_7_reads_go_on_without_the_database,
    st_10_what_has_expired_gives_its_memory_back,
}

/// All of `keys` asked for over `connections`, at once; how many answers of each there were.
async fn flood(stage: &AppStage, connections: usize, keys: &[String]) -> Vec<String> {
    let mut readers: Vec<Resp> = Vec::new();
    for _ in 0..connections {
        readers.push(stage.resp().await);
    }
    let chunk = keys.len().div_ceil(connections);
    for (reader, keys) in readers.iter_mut().zip(keys.chunks(chunk)) {
        let asked: Vec<u8> = keys.iter().flat_map(|key| request(&["GET", key]).to_vec()).collect();
        reader.send(&asked).await;
    }
    let mut answers = Vec::new();
    for (reader, keys) in readers.iter_mut().zip(keys.chunks(chunk)) {
        for _ in keys {
            answers.push(shown(&reader.next().await.unwrap()));
        }
    }
    answers
}

async fn ready(stage: &AppStage) {
    soon(async {
        while count(stage, "STOCK_CACHE", "membership_ready").await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn st_3_an_unknown_code_asks_the_database_once(on: On) {
    // Without the filter, which would keep them all away.
    let without = |text: String| {
        text.lines().filter(|line| !line.starts_with("membership")).collect::<Vec<_>>().join("\n")
    };
    let stage = changed_stage(on, without).await;
    list(&stage, "600000", "a_share").await;
    let before = count(&stage, "STOCK_CACHE", "loads").await;
    let answers = flood(&stage, 20, &vec!["stock:999999".to_owned(); 2_000]).await;
    assert!(answers.iter().all(|answer| answer == "nil"));
    assert_eq!(count(&stage, "STOCK_CACHE", "loads").await - before, 1);
}

async fn st_3_a_flood_of_unknown_codes_is_stopped_and_a_new_one_is_found_at_once(on: On) {
    let stage = stage(on).await;
    list(&stage, "600000", "a_share").await;
    ready(&stage).await;
    let before = count(&stage, "STOCK_CACHE", "loads").await;
    let unknown: Vec<String> = (0..5_000).map(|n| format!("stock:{:06}", 900_000 + n)).collect();
    let answers = flood(&stage, 10, &unknown).await;
    assert!(answers.iter().all(|answer| answer == "nil"));
    let asked = count(&stage, "STOCK_CACHE", "loads").await - before;
    assert!(asked <= 25, "{asked} of 5,000 were asked for");
    let mut client = stage.resp().await;
    for n in 0..20 {
        let code = format!("{:06}", 900_000 + n);
        list(&stage, &code, "a_share").await;
        assert!(client.say(&format!("GET stock:{code}")).await.contains("not_traded"), "{code} is listed");
    }
}

async fn st_4_ten_thousand_readers_of_one_expired_key_make_one_query(on: On) {
    let soon_over = |text: String| {
        text.replace("ttl = \"30s\"\nfresh", "ttl = \"500ms\"\nfresh").replace("\"5s\"", "\"60s\"")
    };
    let stage = changed_stage(on, soon_over).await;
    list(&stage, "000001", "index").await;
    let mut client = stage.resp().await;
    client.say("GET index:000001").await;
    soon(async { while client.say("PTTL index:000001").await.parse::<i64>().unwrap() > 0 {} }).await;
    let before = count(&stage, "MARKET_DATA", "loads").await;
    // The load that refreshes it cannot end before this one does, where a reader's wait would be seen.
    let held = match on {
        On::Postgres | On::Distant => {
            let mut lock = stage.beneath.postgres().unwrap().begin().await.unwrap();
            sqlx::query("lock table indices in access exclusive mode").execute(&mut *lock).await.unwrap();
            Some(lock)
        }
        On::Sqlite => None,
    };
    let answers = flood(&stage, 50, &vec!["index:000001".to_owned(); 10_000]).await;
    assert!(answers.iter().all(|answer| answer.contains("000001")), "each was answered");
    drop(held);
    assert!(count(&stage, "MARKET_DATA", "loads").await - before <= 1, "one query");
}

async fn st_5_the_hot_ones_are_warmed_at_the_start(on: On) {
    let stage = stage(on).await;
    for code in ["600000", "600519", "600010"] {
        list(&stage, code, "a_share").await;
        tell(&stage, code, "10:00:00", "10.50").await;
    }
    let stage = stage.restarted().await;
    let mut client = stage.resp().await;
    // Two are listed, one comes by the query. Nobody asks for any: `EXISTS` loads nothing.
    for code in ["600000", "600519", "600010"] {
        soon(async { while client.say(&format!("EXISTS stock:{code}")).await != "1" {} }).await;
    }
    let known = async {
        // A job is known once its record was read.
        while stage.job("open").await.contains("no such job") {}
    };
    soon(known).await;
    let by_the_clock = stage.job("open").await;
    assert!(by_the_clock.contains("ok") || by_the_clock == "started", "{by_the_clock}");
}

async fn st_7_reads_go_on_without_the_database(on: On) {
    let soon_over = |text: String| text.replace("ttl = \"3s\"\nfresh", "ttl = \"300ms\"\nfresh");
    let stage = changed_stage(on, soon_over).await;
    list(&stage, "600000", "a_share").await;
    list(&stage, "600004", "a_share").await;
    tell(&stage, "600000", "10:00:00", "10.50").await;
    assert_eq!(stage.get("/api/v1/stocks/600000").await.status, 200);
    stage.sql("alter table quotes rename to elsewhere").await;
    soon(async {
        loop {
            let held = stage.get("/api/v1/stocks/600000").await;
            assert_eq!((held.status, &held.json()["price"]), (200, &10.5.into()), "{held:?}");
            if held.header("x-cache") == "STALE" {
                return;
            }
        }
    })
    .await;
    let other = stage.get("/api/v1/stocks/600004").await;
    assert_eq!((other.status, other.problem().as_str()), (502, "source_failed"));
    let told = stage.post("/api/v1/ingest/quotes", r#"{"quotes": [{"market": "SH", "code": "600000", "timestamp": "2019-01-28T02:00:03Z", "price": "10.60"}]}"#).await;
    assert!(told.status >= 500, "{told:?}");
    stage.sql("alter table elsewhere rename to quotes").await;
    soon(async { while stage.get("/api/v1/stocks/600004").await.status != 200 {} }).await;
}

async fn st_10_what_has_expired_gives_its_memory_back(on: On) {
    let stage = stage(on).await;
    let mut client = stage.resp().await;
    for n in 0..2_000 {
        client.send(&request(&["SET", &format!("api:bulk:{n}"), &"x".repeat(1_000), "PX", "200"])).await;
    }
    for _ in 0..2_000 {
        assert_eq!(shown(&client.next().await.unwrap()), "OK");
    }
    let held = async |client: &mut Resp| client.info("used_memory").await;
    let full = held(&mut client).await;
    soon(async { while held(&mut client).await + 1_500_000 > full {} }).await;
}
