//! Many keys in one request: reads, lists, invalidations.

use serde_json::{Value, json};

use super::super::{Answer, Stage, ask_with};
use super::{put, stage};

async fn post(stage: &Stage, path: &str, body: &str) -> Answer {
    ask_with(stage.process.http, "POST", path, "", body).await
}

async fn posted(stage: &Stage, path: &str, body: &Value) -> Value {
    let answer = post(stage, path, &body.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn many_keys_are_read_at_once() {
    let stage = stage().await;
    let body = json!({"keys": ["item:a", "item:none", "other:a", "item:b", "item:a"]});
    let found = posted(&stage, "/v1/shop/item:get", &body).await;
    let a = json!({"key": "item:a", "value": {"code": "a", "price": 1}, "content_type": "application/json",
        "age_s": 0, "state": "fresh"});
    let entries = found["entries"].as_array().unwrap();
    assert_eq!((&entries[0], &entries[4]), (&a, &a));
    assert_eq!(entries[1], json!({"key": "item:none", "age_s": 0, "state": "absent"}));
    assert_eq!((&entries[2]["key"], &entries[2]["error"]["code"]), (&json!("other:a"), &json!("bad_key")));
    assert_eq!(entries[3]["value"]["code"], "b");
    assert_eq!(entries.len(), 5);
    let fails = posted(&stage, "/v1/shop/broken:get", &json!({"keys": ["broken:a"]})).await;
    assert_eq!(fails["entries"][0]["state"], "fresh");
    stage.sql("drop table doomed").await;
    let fails = posted(&stage, "/v1/shop/broken:get", &json!({"keys": ["broken:b"]})).await;
    let error = &fails["entries"][0]["error"];
    assert_eq!((&error["code"], &error["status"]), (&json!("source_failed"), &json!(502)));
}

#[tokio::test]
async fn values_are_embedded_as_what_they_are() {
    let stage = stage().await;
    for (name, content_type, body) in [
        ("json", "application/json", " {\"n\": 1.50} "),
        ("text", "text/plain; charset=utf-8", "å\n"),
        ("bytes", "application/octet-stream", "abc"),
        ("lie", "application/json", "{"),
    ] {
        let headers = format!("Content-Type: {content_type}\r\nForebay-Metadata: [\"{name}\"]\r\n");
        assert_eq!(put(&stage, &format!("/v1/shop/paste/paste:{name}"), &headers, body).await.status, 204);
    }
    let keys = ["paste:json", "paste:text", "paste:bytes", "paste:lie"];
    let answer = post(&stage, "/v1/shop/paste:get", &json!({ "keys": keys }).to_string()).await;
    assert!(answer.body.contains("\"value\":{\"n\": 1.50}"), "as it was written: {}", answer.body);
    let found: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(found["entries"][0]["metadata"], json!(["json"]));
    assert_eq!(found["entries"][1]["value"], "å\n");
    assert_eq!(
        (&found["entries"][2]["base64"], &found["entries"][2]["value"]),
        (&json!("YWJj"), &Value::Null)
    );
    assert_eq!(found["entries"][3]["base64"], "ew==", "what is no JSON is bytes");
    let texts = json!({ "keys": keys, "as": "text" });
    let found = posted(&stage, "/v1/shop/paste:get", &texts).await;
    let values: Vec<&Value> = found["entries"].as_array().unwrap().iter().map(|one| &one["value"]).collect();
    assert_eq!(values, [" {\"n\": 1.50} ", "å\n", "abc", "{"], "just as they were written");
    assert_eq!(found["entries"][0]["content_type"], "application/json");
    assert_eq!(stage.resp().await.say("ZADD z 1 a").await, "1");
    let names: Vec<String> = (0..200).map(|number| format!("paste:{number}")).collect();
    let many = posted(&stage, "/v1/shop/paste:get", &json!({ "keys": names })).await;
    let keys: Vec<&str> =
        many["entries"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!(keys, names, "in their order");
}

#[tokio::test]
async fn what_is_no_request_for_many_is_told() {
    let stage = stage().await;
    let too_many = json!({ "keys": vec!["item:a"; 1001] }).to_string();
    for (path, body, status, code) in [
        ("/v1/shop/item:get", "", 400, "bad_body"),
        ("/v1/shop/item:get", "{\"keys\":1}", 400, "bad_body"),
        ("/v1/shop/item:get", "{\"kyes\":[]}", 400, "bad_body"),
        ("/v1/shop/item:get", "{\"keys\":[],\"as\":\"xml\"}", 400, "bad_body"),
        ("/v1/shop/item:get", &too_many, 400, "bad_body"),
        ("/v1/shop/item:invalidate", &too_many, 400, "bad_body"),
        ("/v1/shop/item:invalidate", "{\"keys\":[],\"prefix\":\"\"}", 400, "bad_body"),
        ("/v1/shop:invalidate", "{}", 400, "bad_body"),
        ("/v1/shop/none:get", "{\"keys\":[]}", 404, "no_namespace"),
        ("/v1/none/item:get", "{\"keys\":[]}", 404, "no_keyspace"),
        ("/v1/none:invalidate", "{\"tags\":[]}", 404, "no_keyspace"),
        ("/v1/shop/item:eat", "{}", 404, "no_such_path"),
        ("/v1/shop/item", "{}", 404, "no_such_path"),
        ("/v1/shop:get", "{}", 404, "no_such_path"),
        ("/v1/shop", "{}", 404, "no_such_path"),
    ] {
        let refused = post(&stage, path, body).await;
        assert_eq!((refused.status, refused.problem().as_str()), (status, code), "{path} {body:.30}");
    }
    let long = "x".repeat(2 * 1024 * 1024 + 1);
    assert_eq!(post(&stage, "/v1/shop/item:get", &long).await.problem(), "too_large");
}

/// The keys that a listing gives, page by page, and how many pages that took.
async fn all(stage: &Stage, path: &str) -> (Vec<String>, usize) {
    let (mut keys, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let answer = stage.get(&format!("{path}{cursor}")).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
        let page: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(page["complete"], page["cursor"].is_null());
        pages += 1;
        keys.extend(
            page["keys"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()),
        );
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (keys, pages),
        }
    }
}

#[tokio::test]
async fn the_keys_of_a_store_are_listed_in_order() {
    let stage = stage().await;
    let mut wanted: Vec<String> = (0..25).map(|number| format!("paste:{number}")).collect();
    for key in &wanted {
        assert_eq!(put(&stage, &format!("/v1/shop/paste/{key}"), "", "1").await.status, 204);
    }
    wanted.sort_unstable();
    for (limit, pages) in [(1, 26), (10, 3), (25, 2), (26, 1)] {
        let listed = all(&stage, &format!("/v1/shop/paste?limit={limit}")).await;
        assert_eq!(listed, (wanted.clone(), pages), "{limit}");
    }
    let (ones, _) = all(&stage, "/v1/shop/paste?prefix=paste:1&limit=3").await;
    let with_one: Vec<_> = wanted.iter().filter(|key| key.starts_with("paste:1")).cloned().collect();
    assert_eq!(ones, with_one);
    assert_eq!(all(&stage, "/v1/shop/paste?prefix=x").await, (Vec::new(), 1));
}

#[tokio::test]
async fn a_list_tells_ends_and_metadata() {
    let stage = stage().await;
    let path = "/v1/shop/paste/paste:a?ttl=2h";
    assert_eq!(put(&stage, path, "Forebay-Metadata: {\"a\":1}\r\n", "1").await.status, 204);
    assert_eq!(stage.resp().await.say("PERSIST paste:a").await, "1");
    assert_eq!(put(&stage, "/v1/shop/paste/paste:b?ttl=1h", "", "1").await.status, 204);
    let listed: Value = serde_json::from_str(&stage.get("/v1/shop/paste").await.body).unwrap();
    assert_eq!(listed["keys"][0], json!({"key": "paste:a", "metadata": {"a": 1}}));
    let end = listed["keys"][1]["expires_at"].as_str().unwrap();
    assert!(end.ends_with('Z') && end.len() == 20, "{end}");
}

#[tokio::test]
async fn of_a_cache_what_is_held_is_listed() {
    let stage = stage().await;
    for key in ["a", "b", "none"] {
        stage.get(&format!("/v1/shop/item/item:{key}")).await;
    }
    for limit in [1, 2, 1000] {
        let (mut keys, _) = all(&stage, &format!("/v1/shop/item?limit={limit}")).await;
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys, ["item:a", "item:b"], "a remembered absence is no key");
    }
    let (keys, _) = all(&stage, "/v1/shop/item?prefix=item:b").await;
    assert_eq!(keys, ["item:b"]);
}

#[tokio::test]
async fn what_is_no_listing_is_told() {
    let stage = stage().await;
    for number in 0..3 {
        assert_eq!(put(&stage, &format!("/v1/shop/paste/paste:{number}"), "", "1").await.status, 204);
    }
    let page: Value = serde_json::from_str(&stage.get("/v1/shop/paste?limit=1").await.body).unwrap();
    let cursor = page["cursor"].as_str().unwrap();
    let cut = &cursor[..cursor.len() - 1];
    for (path, status, code) in [
        (format!("/v1/shop/paste?limit=1&prefix=paste:&cursor={cursor}"), 400, "bad_cursor"),
        (format!("/v1/shop/item?limit=1&cursor={cursor}"), 400, "bad_cursor"),
        (format!("/v1/shop/paste?cursor={cut}"), 400, "bad_cursor"),
        ("/v1/shop/paste?cursor=".into(), 400, "bad_cursor"),
        ("/v1/shop/paste?limit=0".into(), 400, "bad_query"),
        ("/v1/shop/paste?limit=1001".into(), 400, "bad_query"),
        ("/v1/shop/paste?limit=x".into(), 400, "bad_query"),
        ("/v1/shop/paste?perfix=x".into(), 400, "bad_query"),
        ("/v1/shop/none".into(), 404, "no_namespace"),
    ] {
        let refused = stage.get(&path).await;
        assert_eq!((refused.status, refused.problem().as_str()), (status, code), "{path}");
    }
    assert_eq!(stage.get(&format!("/v1/shop/paste?limit=1&cursor={cursor}")).await.status, 200);
}

/// A stage whose items have a tag, with `a` and `b` held, and the data beneath changed.
async fn held() -> Stage {
    let tagged = "[namespace.tagged]\nkey = 'tagged:{code}'\nttl = '60s'\ntags = ['code:{code}']\n\
        source.sql = { database = 'main', query = 'select code, price from items where code in {keys}' }\n";
    let stage = Stage::with(tagged).await;
    for key in ["a", "b"] {
        assert_eq!(stage.get(&format!("/v1/shop/tagged/tagged:{key}")).await.header("x-cache"), "MISS");
    }
    stage
}

/// `X-Cache` of the two.
async fn seen(stage: &Stage) -> [String; 2] {
    let a = stage.get("/v1/shop/tagged/tagged:a").await.header("x-cache").to_owned();
    [a, stage.get("/v1/shop/tagged/tagged:b").await.header("x-cache").to_owned()]
}

#[tokio::test]
async fn what_is_invalidated_is_loaded_anew() {
    for verb in ["invalidate", "expire"] {
        for (path, body, status, wanted) in [
            (format!("/v1/shop:{verb}"), r#"{"tags":["code:a","code:c"]}"#, 204, ["MISS", "HIT"]),
            (format!("/v1/shop/tagged:{verb}"), r#"{"keys":["tagged:b","tagged:c"]}"#, 200, ["HIT", "MISS"]),
            (format!("/v1/shop/tagged:{verb}"), r#"{"prefix":"tagged:a"}"#, 204, ["MISS", "HIT"]),
            (format!("/v1/shop/tagged:{verb}"), "{}", 204, ["MISS", "MISS"]),
            (format!("/v1/shop/tagged:{verb}"), "", 400, ["HIT", "HIT"]),
            (format!("/v1/shop/tagged:{verb}"), r#"{"keys":null}"#, 400, ["HIT", "HIT"]),
            (format!("/v1/shop/tagged:{verb}"), r#"{"prefix":null}"#, 400, ["HIT", "HIT"]),
            (format!("/v1/shop/tagged:{verb}"), r#"{"keys":[]}"#, 200, ["HIT", "HIT"]),
        ] {
            let stage = held().await;
            let told = post(&stage, &path, body).await;
            assert_eq!(told.status, status, "{path} {body}: {told:?}");
            if status == 200 && body.contains("tagged") {
                assert_eq!(told.body, r#"{"held":1}"#);
            }
            assert_eq!(seen(&stage).await, wanted, "{path} {body}");
        }
    }
}

/// A slip in a key or in a prefix is told before anything is done: a client that was answered would believe that it is gone.
#[tokio::test]
async fn nothing_is_invalidated_where_one_key_is_none_of_the_namespace() {
    let stage = held().await;
    for verb in ["invalidate", "expire"] {
        let path = format!("/v1/shop/tagged:{verb}");
        for (body, named) in [
            (r#"{"keys":["tagged:a","other:b","tagged:b"]}"#, "`other:b`"),
            (r#"{"keys":["tagged"]}"#, "`tagged`"),
            (r#"{"prefix":"other:"}"#, "`other:`"),
            (r#"{"prefix":"taggedx"}"#, "`taggedx`"),
        ] {
            let refused = post(&stage, &path, body).await;
            assert_eq!((refused.status, refused.problem().as_str()), (400, "bad_key"), "{body}");
            let says = |what: &str| refused.body.contains(what);
            assert!(says(named) && says("`tagged:{code}`"), "{body}: {}", refused.body);
            assert_eq!(seen(&stage).await, ["HIT", "HIT"], "{body}");
        }
    }
    assert_eq!(post(&stage, "/v1/shop/tagged:invalidate", r#"{"prefix":"tag"}"#).await.status, 204);
    assert_eq!(seen(&stage).await, ["MISS", "MISS"], "some of its keys begin so");
}

#[tokio::test]
async fn what_an_answer_has_no_room_for_is_asked_for_again() {
    let stage = stage().await;
    let names: Vec<String> = (0..5).map(|number| format!("paste:{number}")).collect();
    for name in &names {
        // A third more, in Base64.
        let body = name.repeat((9 << 20) / name.len());
        assert_eq!(put(&stage, &format!("/v1/shop/paste/{name}"), "", &body).await.status, 204);
    }
    let (mut left, mut came, mut answers) = (names.clone(), Vec::new(), 0);
    while !left.is_empty() {
        let answer = post(&stage, "/v1/shop/paste:get", &json!({ "keys": left }).to_string()).await;
        assert!(answer.body.len() < 64 << 20, "{}", answer.body.len());
        let found: Value = serde_json::from_str(&answer.body).unwrap();
        for entry in found["entries"].as_array().unwrap() {
            assert!(entry["base64"].is_string(), "{}", entry["key"]);
            came.push(entry["key"].as_str().unwrap().to_owned());
        }
        left =
            found["unread"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
        answers += 1;
        assert!(answers < 6, "each brings some");
    }
    assert_eq!(came, names, "in their order, each once");
    assert!(answers > 1);
}

/// A cursor outlives the process that gave it, and the mode of its namespace.
#[tokio::test]
async fn a_cursor_of_a_store_is_none_of_a_cache() {
    let store = "[namespace.turned]\nkey = 'turn:{id}'\nttl = '1d'\nmode = 'store'\n";
    let stages = [Stage::with(store).await, Stage::with(&store.replace("'store'", "'cache'")).await];
    let mut paths = Vec::new();
    for stage in &stages {
        // A cursor of memory is as long as these keys.
        for id in ["001", "002", "003"] {
            assert_eq!(put(stage, &format!("/v1/shop/turned/turn:{id}"), "", "1").await.status, 204);
        }
        let page: Value = serde_json::from_str(&stage.get("/v1/shop/turned?limit=1").await.body).unwrap();
        let path = format!("/v1/shop/turned?limit=1&cursor={}", page["cursor"].as_str().unwrap());
        assert_eq!(stage.get(&path).await.status, 200);
        paths.push(path);
    }
    for (stage, path) in stages.iter().zip(paths.iter().rev()) {
        let refused = stage.get(path).await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "bad_cursor"), "{refused:?}");
        assert!(refused.body.contains("another mode"), "{}", refused.body);
    }
}
