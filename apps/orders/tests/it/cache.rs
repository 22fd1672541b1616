//! What is held of a period: filled, looked at, dropped, and kept in step with the rows.

use forebay_stage::{On, on_both};
use serde_json::{Value, json};

use crate::{PERIOD, changed_stage, create, listed, number, numbers, quiet, some, stage, step, transit};

on_both! {
    or_2_a_batch_is_cached_in_one_load_and_what_cannot_be_encoded_is_told,
    or_3_all_one_count_and_whether_it_is_cached,
    or_3_a_partly_filled_period_is_not_taken_for_the_whole,
    or_3_a_period_may_be_large,
    or_4_what_is_dropped_is_loaded_by_the_next_read,
    or_5_a_change_reaches_every_copy_at_once,
    or_6_the_time_of_a_period_begins_anew_with_each_write,
    or_6_what_is_held_ends_and_is_not_brought_back,
    or_7_a_period_is_warmed_and_counted,
    or_7_a_restart_finds_what_was_hot,
    or_8_what_differs_from_its_row_is_repaired_and_counted,
}

fn path(rest: &str) -> String {
    format!("/api/v1/periods/{PERIOD}/{rest}")
}

async fn or_2_a_batch_is_cached_in_one_load_and_what_cannot_be_encoded_is_told(on: On) {
    let stage = changed_stage(on, crate::orders::breaking).await;
    some(&stage, 20).await;
    create(&stage, "BAD", "broken", "1.00").await;
    assert_eq!(stage.delete(&path("cache")).await.status, 204);
    let loads = async || {
        let stats = stage.json("/api/v1/orders/stats").await;
        let all = stats["namespaces"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["namespace"] == "orders").unwrap()["loads"].as_u64().unwrap()
    };
    let before = loads().await;
    let named: Vec<String> = (1..=20).map(number).collect();
    let filled = stage.post(&path("cache"), &json!({ "order_nos": named }).to_string()).await.json();
    assert_eq!((filled["cached"].as_u64(), loads().await - before), (Some(20), 1), "{filled}");
    let some_bad = json!({ "order_nos": [number(1), "BAD", "NONE"] }).to_string();
    let filled = stage.post(&path("cache"), &some_bad).await.json();
    assert_eq!((filled["cached"].as_u64(), &filled["missing"]), (Some(1), &json!(["NONE"])), "{filled}");
    assert_eq!(filled["skipped"][0]["order_no"], "BAD", "{filled}");
    assert_eq!(stage.delete(&path("cache")).await.status, 204);
    let filled = stage.post(&path("cache"), "").await.json();
    assert_eq!(
        (filled["cached"].as_u64(), filled["skipped"].as_array().unwrap().len()),
        (Some(20), 1),
        "{filled}"
    );
    let held = stage.json(&path("cache")).await;
    assert_eq!((held["orders"].as_u64(), held["whole"].as_bool()), (Some(20), Some(false)), "{held}");
}

async fn or_3_all_one_count_and_whether_it_is_cached(on: On) {
    let stage = stage(on).await;
    some(&stage, 5).await;
    stage.delete(&path("cache")).await;
    assert_eq!(stage.json(&path("cache")).await["cached"], false);
    assert_eq!(stage.json(&path("count")).await["count"], 5, "a miss loads");
    assert_eq!(stage.json(&path("cache")).await["whole"], true);
    assert_eq!(numbers(&listed(&stage, &path("orders"), 2).await), [1, 2, 3, 4, 5].map(number));
    let one = stage.get(&path(&format!("orders/{}", number(3)))).await;
    assert_eq!((one.header("x-cache"), one.json()["amount"].as_f64()), ("HIT", Some(3.0)));
    let missing = stage.get(&path("orders/NONE")).await;
    assert_eq!((missing.status, missing.problem().as_str()), (404, "order_unknown"));
    assert_eq!(stage.json(&path("cache/NONE")).await["cached"], false);
}

async fn or_3_a_partly_filled_period_is_not_taken_for_the_whole(on: On) {
    let stage = stage(on).await;
    some(&stage, 5).await;
    stage.delete(&path("cache")).await;
    stage.get(&path(&format!("orders/{}", number(3)))).await;
    let held = stage.json(&path("cache")).await;
    assert_eq!((held["orders"].as_u64(), held["whole"].as_bool()), (Some(1), Some(false)));
    assert_eq!(stage.json(&path("count")).await["count"], 5);
    stage.delete(&path("cache")).await;
    create(&stage, &number(6), "u", "6.00").await;
    let mut client = stage.resp().await;
    assert_eq!(client.say(&format!("HLEN fataMorgana_{PERIOD}")).await, "6");
    assert_eq!(numbers(&listed(&stage, &path("orders"), 100).await).len(), 6);
}

async fn or_3_a_period_may_be_large(on: On) {
    let stage = stage(on).await;
    create(&stage, "first", "u", "1.00").await;
    let moment = "'2024-12-01T10:00:00.000Z'";
    stage
        .sql(&format!(
            "insert into orders (order_no, uid, period_number, amount, expire_time, created_at, updated_at) \
             with recursive n (i) as (select 1 union all select i + 1 from n where i < 12000) \
             select 'many' || cast(i as text), 'u', '{PERIOD}', '1.00', '2024-12-01T10:05:00.000Z', {moment}, {moment} from n"
        ))
        .await;
    stage.delete(&path("cache")).await;
    assert_eq!(stage.json(&path("count")).await["count"], 12_001);
    assert_eq!(listed(&stage, &path("orders"), 1_000).await.len(), 12_001, "page by page");
    assert_eq!(listed(&stage, &path("orders?uid=u"), 1_000).await.len(), 12_001);
    assert_eq!(stage.json(&path("totals")).await["amount"], 12_001.0);
    assert_eq!(stage.json(&path("cache")).await["whole"], true, "it is held");
}

async fn or_4_what_is_dropped_is_loaded_by_the_next_read(on: On) {
    let stage = stage(on).await;
    some(&stage, 3).await;
    assert_eq!(stage.delete(&path(&format!("cache/{}", number(2)))).await.status, 204);
    assert_eq!(stage.json(&path(&format!("cache/{}", number(2)))).await["cached"], false);
    assert_eq!(stage.json(&path(&format!("cache/{}", number(1)))).await["cached"], true);
    let read = stage.get(&path(&format!("orders/{}", number(2)))).await;
    assert_eq!((read.status, read.header("x-cache")), (200, "MISS"), "the row is there");
    assert_eq!(stage.delete(&path("cache")).await.status, 204);
    assert_eq!(stage.json(&path("cache")).await["cached"], false);
    assert_eq!(stage.json(&path("count")).await["count"], 3);
    // To delete the row is another thing.
    assert_eq!(stage.delete(&format!("/api/v1/orders/{}", number(2))).await.status, 204);
    assert_eq!(stage.json(&path("count")).await["count"], 2);
    assert_eq!(stage.get(&path(&format!("orders/{}", number(2)))).await.status, 404);
    let again = stage.delete(&format!("/api/v1/orders/{}", number(2))).await;
    assert_eq!((again.status, again.problem().as_str()), (404, "order_unknown"));
}

async fn or_5_a_change_reaches_every_copy_at_once(on: On) {
    let stage = stage(on).await;
    some(&stage, 3).await;
    let mut client = stage.resp().await;
    let order_no = number(1);
    let (all, one) =
        (format!("HGETALL fataMorgana_{PERIOD}"), format!("HGET fataMorgana_{PERIOD} {order_no}"));
    let single = format!("GET order:{order_no}");
    for command in [&all, &one, &single] {
        assert!(client.say(command).await.contains("pending"), "{command}");
    }
    assert_eq!(stage.json(&path("totals")).await["by_status"]["pending"]["orders"], 3);
    for status in ["confirmed", "completed"] {
        assert_eq!(transit(&stage, &order_no, status).await.status, 200);
        for command in [&all, &one, &single] {
            assert!(client.say(command).await.contains(status), "{command}");
        }
        assert_eq!(stage.json(&path("totals")).await["by_status"][status]["orders"], 1);
    }
    assert_eq!(stage.delete(&format!("/api/v1/orders/{order_no}")).await.status, 204);
    assert_eq!((client.say(&one).await, client.say(&single).await), ("nil".into(), "nil".into()));
    assert!(!client.say(&all).await.contains(&order_no));
    // Another program's change is seen at the latest when what is held is compared with the rows.
    let other = number(2);
    stage.sql(&format!("update orders set status = 'confirmed' where order_no = '{other}'")).await;
    stage.job("reconcile").await;
    assert!(client.say(&format!("HGET fataMorgana_{PERIOD} {other}")).await.contains("confirmed"));
    assert!(client.say(&format!("GET order:{other}")).await.contains("confirmed"));
}

/// The last write of a period counts, whichever it is.
async fn or_6_the_time_of_a_period_begins_anew_with_each_write(on: On) {
    let short = |declaration: String| quiet(declaration).replacen("ttl = \"24h\"", "ttl = \"30s\"", 1);
    let stage = changed_stage(on, short).await;
    some(&stage, 2).await;
    let mut client = stage.resp().await;
    let key = format!("fataMorgana_{PERIOD}");
    assert_eq!(client.say(&format!("HLEN {key}")).await, "2");
    let left = async |client: &mut forebay_stage::Resp| -> i64 {
        client.say(&format!("PTTL {key}")).await.parse().unwrap()
    };
    for written in ["made", "moved on", "changed", "deleted"] {
        forebay_stage::soon(async { while left(&mut client).await > 29_500 {} }).await;
        let before = left(&mut client).await;
        let status = match written {
            "made" => create(&stage, "NEW", "u", "1.00").await,
            "moved on" => transit(&stage, "NEW", "confirmed").await,
            "changed" => stage.send("PATCH", "/api/v1/orders/NEW", "", r#"{"like_count": 1}"#).await,
            _ => stage.delete("/api/v1/orders/NEW").await,
        }
        .status;
        assert!(status < 300, "{written}: {status}");
        let after = left(&mut client).await;
        assert!(after > before && after <= 30_000, "{written}: {before} ms, then {after} ms");
    }
}

async fn or_6_what_is_held_ends_and_is_not_brought_back(on: On) {
    let stage = stage(on).await;
    some(&stage, 2).await;
    let mut client = stage.resp().await;
    let key = format!("fataMorgana_{PERIOD}");
    let ends = async |client: &mut forebay_stage::Resp| -> i64 {
        client.say(&format!("TTL {key}")).await.parse().unwrap()
    };
    for command in [
        format!("HGETALL {key}"),
        format!("HSET {key} X {{}}"),
        format!("PERSIST {key}"),
        format!("EXPIRE {key} 999999"),
    ] {
        client.say(&command).await;
        let left = ends(&mut client).await;
        assert!((86_300..=86_400).contains(&left), "after {command}: {left}");
    }
    assert_eq!(client.say(&format!("DEL {key}")).await, "1");
    transit(&stage, &number(1), "confirmed").await;
    stage.send("PATCH", &format!("/api/v1/orders/{}", number(2)), "", r#"{"like_count": 1}"#).await;
    assert_eq!(client.say(&format!("EXISTS {key}")).await, "0", "a change does not bring it back");
    assert_eq!(client.say(&format!("HLEN {key}")).await, "2");
}

fn of(stats: &Value, namespace: &str) -> Value {
    let all = stats["namespaces"].as_array().unwrap();
    all.iter().find(|one| one["namespace"] == namespace).unwrap().clone()
}

async fn or_7_a_period_is_warmed_and_counted(on: On) {
    let stage = stage(on).await;
    some(&stage, 4).await;
    stage.delete(&path("cache")).await;
    let filled = stage.post(&path("cache"), "").await.json();
    assert_eq!(filled["cached"], 4);
    let before = of(&stage.json("/api/v1/orders/stats").await, "orders");
    assert_eq!((before["keys"].as_u64(), before["entries"].as_u64()), (Some(1), Some(4)), "{before}");
    assert!(before["bytes"].as_u64().unwrap() > 4 * 200, "{before}");
    for n in 1..=4 {
        stage.get(&path(&format!("orders/{}", number(n)))).await;
    }
    let after = of(&stage.json("/api/v1/orders/stats").await, "orders");
    let more = |name: &str| after[name].as_u64().unwrap() - before[name].as_u64().unwrap();
    assert_eq!((more("reads"), more("hits"), more("loads")), (4, 4, 0), "{after}");
    assert!(after["hit_rate"].as_f64().unwrap() > before["hit_rate"].as_f64().unwrap());
    let unknown = stage.post("/api/v1/periods/none/cache", "").await;
    assert_eq!(unknown.problem(), "period_unknown");
}

async fn or_7_a_restart_finds_what_was_hot(on: On) {
    let stage = stage(on).await;
    some(&stage, 3).await;
    for _ in 0..5 {
        stage.get(&path("orders")).await;
    }
    let stage = stage.restarted().await;
    forebay_stage::soon(async {
        while stage.json(&path("cache")).await["whole"] != true {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let stats = of(&stage.json("/api/v1/orders/stats").await, "orders");
    assert_eq!(stats["entries"], 3, "nobody had to ask for it: {stats}");
}

async fn or_8_what_differs_from_its_row_is_repaired_and_counted(on: On) {
    let stage = stage(on).await;
    some(&stage, 4).await;
    let mut client = stage.resp().await;
    let all = format!("HGETALL fataMorgana_{PERIOD}");
    client.say(&all).await;
    assert!(
        stage
            .job("reconcile")
            .await
            .contains("1 periods, 4 orders compared; repaired: 0 missing, 0 stale, 0 orphans")
    );
    let moment = "'2024-12-01T10:00:00.000Z'";
    stage
        .sql(&format!(
            "insert into orders (order_no, uid, period_number, amount, expire_time, created_at, updated_at) \
         values ('new', 'u', '{PERIOD}', '9.00', '2024-12-01T10:05:00.000Z', {moment}, {moment})"
        ))
        .await;
    stage.sql(&format!("update orders set amount = '7.77' where order_no = '{}'", number(2))).await;
    stage.sql(&format!("delete from orders where order_no = '{}'", number(3))).await;
    let done = stage.job("reconcile").await;
    assert!(done.contains("repaired: 1 missing, 1 stale, 1 orphans"), "{done}");
    for event in ["repaired_missing", "repaired_stale", "repaired_orphan"] {
        let series = format!(r#"forebay_app_events_total{{keyspace="orders",app="orders",event="{event}"}}"#);
        assert_eq!(crate::alarms::metric(&stage, &series).await, Some(1.0), "{event}");
    }
    let now = client.say(&all).await;
    assert!(now.contains("7.77") && now.contains("new") && !now.contains(&number(3)), "{now}");
    assert_eq!(stage.json(&path("count")).await["count"], 4);
    let done = stage.job("reconcile").await;
    assert!(done.contains("0 missing, 0 stale, 0 orphans"), "{done}");
    // What the app itself has written is no difference.
    transit(&stage, &number(1), "confirmed").await;
    assert_eq!(step(&stage, "closed").await.status, 200);
    assert!(stage.job("reconcile").await.contains("0 missing, 0 stale, 0 orphans"));
}
