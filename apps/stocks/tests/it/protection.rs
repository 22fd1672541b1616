//! Unknown codes, stampedes, warming, a database that is away, and what is cleaned up.

use forebay_stage::{AppStage, DEADLINE, On, Resp, on_both, request, shown, soon};

use crate::{TEN, changed_stage, count, list, stage, tell};

on_both! {
    st_3_an_unknown_code_asks_the_database_once,
    st_3_a_flood_of_unknown_codes_is_stopped_and_a_new_one_is_found_at_once,
    st_4_ten_thousand_readers_of_one_expired_key_make_one_query,
    st_4_none_of_them_waits_for_the_load,
    st_5_the_hot_ones_are_warmed_at_the_start,
    st_5_the_measured_hottest_are_warmed_by_the_schedule,
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

/// Each reader of a value that has expired is answered from memory: none joins the load that refreshes it.
async fn st_4_none_of_them_waits_for_the_load(on: On) {
    let soon_over = |text: String| {
        text.replace("ttl = \"30s\"\nfresh", "ttl = \"300ms\"\nfresh").replace("\"5s\"", "\"60s\"")
    };
    let stage = changed_stage(on, soon_over).await;
    list(&stage, "000001", "index").await;
    let mut client = stage.resp().await;
    client.say("GET index:000001").await;
    soon(async { while client.say("PTTL index:000001").await.parse::<i64>().unwrap() > 0 {} }).await;
    let counts = async || {
        let count = async |name| count(&stage, "MARKET_DATA", name).await;
        (count("hits").await, count("stale_revalidating").await, count("misses").await, count("joined").await)
    };
    let before = counts().await;
    let answers = flood(&stage, 20, &vec!["index:000001".to_owned(); 10_000]).await;
    assert!(answers.iter().all(|answer| answer.contains("000001")), "each was answered");
    let after = counts().await;
    assert_eq!((after.2 - before.2, after.3 - before.3), (0, 0), "nobody waited");
    let (fresh, stale) = (after.0 - before.0, after.1 - before.1);
    assert_eq!(fresh + stale, 10_000);
    assert!(stale > 0, "the first were answered with what had expired");
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

async fn st_5_the_measured_hottest_are_warmed_by_the_schedule(on: On) {
    const ALL: [&str; 6] = ["600001", "600002", "600003", "600004", "600005", "600006"];
    const HOT: [&str; 3] = ["600002", "600004", "600005"];
    let hottest_alone = |text: String| {
        let (before, rest) = text.split_once("code = [\"600000\"").unwrap();
        let (_, after) = rest.split_once("hottest = 100").unwrap();
        let text = format!("{before}hottest = 3{after}").replace("ttl = \"3s\"", "ttl = \"60s\"");
        let (before, reopen) = text.split_once("[job.reopen]").unwrap();
        let reopen = reopen.replacen("schedule = \"0 0 0 1 1 *\"", "schedule = \"1 0 13 * * mon-fri\"", 1);
        format!("{before}[job.reopen]{reopen}")
    };
    let stage = changed_stage(on, hottest_alone).await;
    for code in ALL {
        list(&stage, code, "a_share").await;
    }
    let mut client = stage.resp().await;
    let keys =
        |codes: &[&str]| codes.iter().map(|code| format!("stock:{code}")).collect::<Vec<_>>().join(" ");
    let held = async |client: &mut Resp, codes: &[&str]| client.say(&format!("EXISTS {}", keys(codes))).await;
    assert_eq!(held(&mut client, &ALL).await, "0", "nothing was asked for: nothing is warm");
    // Reads are counted by samples.
    let often = |code: &&str| if HOT.contains(code) { 2_000 } else { 2 };
    let asked = ALL.iter().flat_map(|code| std::iter::repeat_n(format!("stock:{code}"), often(code)));
    flood(&stage, 2, &asked.collect::<Vec<_>>()).await;
    let all: Vec<String> = ALL.iter().map(|code| format!("\"stock:{code}\"")).collect();
    let body = format!(r#"{{"keys": [{}]}}"#, all.join(", "));
    assert_eq!(stage.post("/v1/stocks/STOCK_CACHE:invalidate", &body).await.body, r#"{"held":6}"#);
    assert_eq!(held(&mut client, &ALL).await, "0");
    // 2019-01-28 13:00:02, by the clock.
    stage.wall.set(TEN + 3 * 3_600_000 + 2_000);
    // It is written down that a run begins, and synced, before it does.
    let warm = async { while held(&mut client, &HOT).await != "3" {} };
    tokio::time::timeout(DEADLINE * 4, warm).await.expect("the hottest are warm");
    assert_eq!(held(&mut client, &ALL).await, "3", "these and no others");
    let ran = soon(async {
        loop {
            let ran = client.say("FB.JOBS HISTORY reopen 1").await;
            if ran.contains("keys are warm") {
                return ran;
            }
        }
    });
    assert!(ran.await.contains("3 keys are warm"));
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

/// Sessions are a store: what has expired of them lies on disk, until it is cleaned up in the background.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_10_what_has_expired_gives_its_disk_back() {
    const SERIES: &str = r#"forebay_disk_bytes{disk="stores",keyspace="stocks"} "#;
    let stage = stage(On::Sqlite).await;
    let size = async || -> Option<u64> {
        let metrics = stage.get("/metrics").await.body;
        metrics.lines().find_map(|line| line.strip_prefix(SERIES)?.parse().ok())
    };
    let mut client = stage.resp().await;
    let mut noise = fastrand::Rng::with_seed(1);
    for n in 0..200 {
        let value: String = std::iter::repeat_with(|| noise.alphanumeric()).take(800_000).collect();
        assert_eq!(client.say(&format!("SET session:bulk{n} {value}")).await, "OK");
    }
    let full = size().await.unwrap();
    assert!(full > 150_000_000, "{full}");
    for n in 0..200 {
        assert_eq!(client.say(&format!("PEXPIRE session:bulk{n} 1")).await, "1");
    }
    // Journals of up to 64 MB stay until they are full.
    let shrunk = async { while size().await.is_none_or(|now| now > 80_000_000) {} };
    tokio::time::timeout(DEADLINE * 4, shrunk).await.expect("the files shrink");
}
