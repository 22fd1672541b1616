//! The same data by a Redis client.

use forebay_stage::{On, on_both};

use crate::{PERIOD, number, some, stage};

on_both! {
    or_10_a_redis_client_reads_through_and_drops_copies,
    or_10_what_it_sets_is_a_copy,
}

async fn or_10_a_redis_client_reads_through_and_drops_copies(on: On) {
    let stage = stage(on).await;
    some(&stage, 3).await;
    let mut client = stage.resp().await;
    let key = format!("fataMorgana_{PERIOD}");
    assert_eq!(client.say(&format!("DEL {key}")).await, "1");
    let first = client.say(&format!("HGET {key} {}", number(1))).await;
    assert!(first.starts_with(&format!(r#"{{"order_no":"{}","uid":"odd""#, number(1))), "{first}");
    assert_eq!(client.say(&format!("HGET {key} NONE")).await, "nil");
    let two = client.say(&format!("HMGET {key} {} NONE {}", number(1), number(2))).await;
    assert!(two.starts_with(&format!("[{first} nil {{")), "{two}");
    assert_eq!(client.say(&format!("HLEN {key}")).await, "3");
    let all = client.say(&format!("HGETALL {key}")).await;
    assert_eq!(all.matches("\"uid\"").count(), 3, "{all}");
    let keys = client.say(&format!("HKEYS {key}")).await;
    assert!([1, 2, 3].map(number).iter().all(|number| keys.contains(number)), "{keys}");
    assert_eq!(client.say(&format!("HVALS {key}")).await.matches("\"uid\"").count(), 3);
    let scanned = client.say(&format!("HSCAN {key} 0 COUNT 10")).await;
    assert!(scanned.starts_with("[0 [") && scanned.matches("\"uid\"").count() == 3, "{scanned}");
    assert_eq!(client.say(&format!("HEXISTS {key} {}", number(2))).await, "1");
    assert_eq!(client.say(&format!("HEXISTS {key} NONE")).await, "0");
    assert_eq!(client.say(&format!("HDEL {key} {}", number(2))).await, "1");
    assert_eq!(client.say(&format!("HEXISTS {key} {}", number(2))).await, "0", "the copy is gone");
    assert!(client.say(&format!("HGET {key} {}", number(2))).await.contains("even"), "the row is not");
    assert_eq!(client.say(&format!("EXPIRE {key} 100")).await, "1");
    let left: i64 = client.say(&format!("TTL {key}")).await.parse().unwrap();
    assert!((98..=100).contains(&left));
    assert_eq!(client.say(&format!("DEL {key}")).await, "1");
    assert_eq!(client.say(&format!("TTL {key}")).await, "-2");
    assert_eq!(client.say(&format!("HLEN {key}")).await, "3");
    assert_eq!(client.say("HGETALL fataMorgana_none").await, "[]");
}

async fn or_10_what_it_sets_is_a_copy(on: On) {
    let stage = stage(on).await;
    some(&stage, 2).await;
    let mut client = stage.resp().await;
    let key = format!("fataMorgana_{PERIOD}");
    assert_eq!(client.say(&format!("HSET {key} {} mine", number(1))).await, "1");
    assert_eq!(client.say(&format!("HGET {key} {}", number(1))).await, "mine");
    let shown = stage.get(&format!("/api/v1/periods/{PERIOD}/orders")).await;
    assert!(shown.json()["orders"].is_array(), "what is no JSON is not shown as such: {shown:?}");
    let one = stage.get(&format!("/api/v1/periods/{PERIOD}/orders/{}", number(1))).await;
    assert!(one.json()["uid"].is_string(), "the row is shown in its place: {one:?}");
    assert_eq!(client.say(&format!("HSET {key} {} mine", number(1))).await, "1");
    assert_eq!(client.say(&format!("HMSET {key} X 1 Y 2")).await, "OK");
    assert_eq!(client.say(&format!("HMGET {key} X Y")).await, "[1 2]");
    assert_eq!(stage.number("select count(*) from orders").await, 2, "no row is touched");
    assert_eq!(crate::transit(&stage, &number(1), "confirmed").await.status, 200);
    assert!(
        client.say(&format!("HGET {key} {}", number(1))).await.contains("confirmed"),
        "a change of the row ends it"
    );
    assert_eq!(client.say(&format!("HDEL {key} X Y")).await, "2");
    assert_eq!(client.say(&format!("HLEN {key}")).await, "2");
}
