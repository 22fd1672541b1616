mod bodies;
mod compression;
mod conditions;
mod framing;
mod headers;
mod hits;
mod many;
mod openapi;
mod puts;
mod ranges;

use super::{Answer, Resp, Stage, ask, soon};

/// Beside [`super::NAMESPACES`], a store, and a cache that writes through.
const STORE: &str = r#"
[namespace.sunk]
key = "sunk:{code}"
ttl = "60s"
writes = "through"
source.sql = { database = "main", query = "select code, price from items where code in {keys}" }
sink.sql = { database = "main", write = "insert into items (code, price) values {rows} on conflict (code) do update set price = excluded.price" }
[namespace.paste]
key = "paste:{id}"
mode = "store"
ttl = "1d"
"#;

/// A stage with a store.
async fn stage() -> Stage {
    Stage::with(&format!("{}{STORE}", super::NAMESPACES)).await
}

async fn put(stage: &Stage, path: &str, headers: &str, body: &str) -> Answer {
    super::ask_with(stage.process.http, "PUT", path, headers, body).await
}

const A: &str = r#"{"code":"a","price":1}"#;
const ITEM_A: &str = "/v1/shop/item/item:a";

/// Reads `path` until the answer is as `wanted`.
async fn once(stage: &Stage, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    soon(async {
        loop {
            let answer = stage.get(path).await;
            if wanted(&answer) {
                return answer;
            }
        }
    })
    .await
}

#[tokio::test]
async fn the_first_read_is_a_miss_and_the_second_a_hit() {
    let stage = Stage::new().await;
    let first = stage.get(ITEM_A).await;
    assert_eq!((first.status, first.seen()), (200, ("MISS", A)));
    stage.sql("update items set price = 9").await;
    let second = stage.get(ITEM_A).await;
    assert_eq!((second.status, second.seen()), (200, ("HIT", A)));
    assert_eq!(second.header("etag"), first.header("etag"));
    for answer in [&first, &second] {
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("age"), "0");
        assert!((58..=60).contains(&answer.lives_s()), "{answer:?}");
    }
    assert_eq!(first.header("cache-status"), "forebay; fwd=miss; detail=source");
    let status = second.header("cache-status");
    assert!(status.starts_with("forebay; hit; ttl=") && status.ends_with("; detail=memory"), "{status}");
}

/// A cache in front adds the time that it keeps a copy to the `Age` that came with it, and knows only whole seconds of that: what it is
/// left with is never more than what the copy is fresh for.
#[tokio::test]
async fn a_cache_in_front_keeps_nothing_for_too_long() {
    let stage = Stage::new().await;
    stage.get(ITEM_A).await;
    let is_old = |answer: &Answer| answer.header("age") == "1";
    for answer in [stage.get(ITEM_A).await, once(&stage, ITEM_A, is_old).await] {
        let status = answer.header("cache-status");
        let fresh_for = status.split("ttl=").nth(1).and_then(|rest| rest.split(';').next());
        let fresh_for: u64 = fresh_for.unwrap_or_else(|| panic!("{status}")).parse().unwrap();
        assert_eq!(answer.lives_s(), fresh_for, "{answer:?}");
    }
}

#[tokio::test]
async fn a_known_tag_is_answered_without_the_value() {
    let stage = Stage::new().await;
    let etag = stage.get(ITEM_A).await.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() == 34, "{etag}");
    for asked in [
        format!("If-None-Match: {etag}\r\n"),
        format!("If-None-Match: W/{etag}\r\n"),
        format!("If-None-Match: \"other\", {etag}\r\n"),
        format!("If-None-Match: \"other\",W/{etag} , \"third\"\r\n"),
        format!("If-None-Match: \"other\"\r\nIf-None-Match: {etag}\r\n"),
        "If-None-Match: *\r\n".to_owned(),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = stage.ask(method, ITEM_A, &asked).await;
            assert_eq!((answer.status, answer.seen()), (304, ("HIT", "")), "{method} {asked}");
            assert_eq!(answer.header("etag"), etag, "{asked}");
            assert!((58..=60).contains(&answer.lives_s()), "{asked}");
        }
    }
    let bare = etag.trim_matches('"');
    for asked in ["\"other\"", bare, "\"\""] {
        let answer = stage.ask("GET", ITEM_A, &format!("If-None-Match: {asked}\r\n")).await;
        assert_eq!((answer.status, answer.seen()), (200, ("HIT", A)), "{asked}");
    }
    stage.sql("update items set price = 9").await;
    let changed = format!("If-None-Match: {etag}\r\nCache-Control: no-cache\r\n");
    let answer = stage.ask("GET", ITEM_A, &changed).await;
    assert_eq!((answer.status, answer.seen()), (200, ("MISS", r#"{"code":"a","price":9}"#)));
    assert_ne!(answer.header("etag"), etag);
}

#[tokio::test]
async fn head_is_get_without_the_value() {
    let stage = Stage::new().await;
    let head = stage.ask("HEAD", ITEM_A, "").await;
    assert_eq!((head.status, head.seen()), (200, ("MISS", "")));
    let get = stage.get(ITEM_A).await;
    for name in ["etag", "content-length", "content-type"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
        assert_ne!(get.header(name), "", "{name}");
    }
}

#[tokio::test]
async fn no_cache_asks_the_source_itself() {
    let stage = Stage::new().await;
    assert_eq!(stage.get(ITEM_A).await.seen(), ("MISS", A));
    for (price, asked) in
        ["no-cache", "max-age=0, No-Cache", "no-store\r\nCache-Control: no-cache"].iter().enumerate()
    {
        stage.sql(&format!("update items set price = {price}")).await;
        let value = format!(r#"{{"code":"a","price":{price}}}"#);
        let answer = stage.ask("GET", ITEM_A, &format!("Cache-Control: {asked}\r\n")).await;
        assert_eq!(answer.seen(), ("MISS", value.as_str()), "{asked}");
        assert_eq!(answer.header("cache-status"), "forebay; fwd=request; detail=source", "{asked}");
        assert_eq!(stage.get(ITEM_A).await.seen(), ("HIT", value.as_str()), "the copy is renewed");
    }
}

#[tokio::test]
async fn an_absence_is_told_with_the_headers_of_a_cache() {
    let stage = Stage::new().await;
    for cache in ["MISS", "HIT"] {
        let answer = stage.ask("GET", "/v1/shop/item/item:none", "If-None-Match: *\r\n").await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "absent"));
        assert_eq!(answer.header("x-cache"), cache);
        assert!((28..=30).contains(&answer.lives_s()), "{answer:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_a_problem_that_nobody_keeps() {
    let stage = Stage::new().await;
    for (path, status, code) in [
        ("/v1/shop/item/other:a", 400, "bad_key"),
        ("/v1/shop/item/item:%FF", 400, "bad_path"),
        ("/v1/none/item/item:a", 404, "no_keyspace"),
        ("/v1/shop/none/item:a", 404, "no_namespace"),
        ("/v1/shop/item/", 404, "no_such_path"),
        ("/v1", 404, "no_such_path"),
        ("/", 404, "no_such_path"),
    ] {
        for method in ["GET", "DELETE"] {
            let answer = stage.ask(method, path, "").await;
            assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{method} {path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
            assert_eq!(answer.header("x-cache"), "", "{path}");
        }
    }
}

#[tokio::test]
async fn other_methods_are_a_problem_that_names_the_allowed() {
    let stage = Stage::new().await;
    for (path, allowed) in [(ITEM_A, "GET,HEAD,PUT,DELETE"), ("/health", "GET,HEAD")] {
        for method in ["POST", "PATCH", "OPTIONS"] {
            let answer = stage.ask(method, path, "Content-Length: 0\r\n").await;
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (405, "method_not_allowed"),
                "{method} {path}"
            );
            assert_eq!(answer.header("allow"), allowed, "{method} {path}");
        }
    }
    assert_eq!(stage.get("/health").await.body, "ok\n");
}

#[tokio::test]
async fn a_put_is_kept_or_refused_as_the_namespace_says() {
    let stage = Stage::new().await;
    let put = async |path| super::ask_with(stage.process.http, "PUT", path, "", "7").await;
    let refused = put(ITEM_A).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "writes_refused"));
    assert_eq!(put("/v1/shop/note/note:a").await.status, 204);
    let kept = stage.get("/v1/shop/note/note:a").await;
    assert_eq!(kept.seen(), ("HIT", "7"));
    assert_eq!(kept.header("content-type"), "application/octet-stream");
    let wrong = put("/v1/shop/note/other:a").await;
    assert_eq!((wrong.status, wrong.problem().as_str()), (400, "bad_key"));
}

#[tokio::test]
async fn delete_drops_the_copy() {
    let stage = Stage::new().await;
    assert_eq!(stage.get(ITEM_A).await.seen(), ("MISS", A));
    stage.sql("update items set price = 9").await;
    for _ in 0..2 {
        let answer = stage.ask("DELETE", ITEM_A, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    }
    assert_eq!(stage.get(ITEM_A).await.seen(), ("MISS", r#"{"code":"a","price":9}"#));
}

#[tokio::test]
async fn keys_are_percent_decoded_and_may_hold_anything() {
    let stage = Stage::new().await;
    for (path, cache, value) in [
        ("/v1/shop/item/item%3Aa", "MISS", A),
        ("/v1/shop/%69tem/item:%61", "HIT", A),
        ("/v1/shop/item/item:x/y", "MISS", r#"{"code":"x/y","price":3}"#),
        ("/v1/shop/item/item:x%2Fy", "HIT", r#"{"code":"x/y","price":3}"#),
        ("/v1/shop/item/item:%C3%A5", "MISS", r#"{"code":"å","price":4}"#),
        ("/v1/shop/item/item:a?query=ignored", "HIT", A),
    ] {
        assert_eq!(stage.get(path).await.seen(), (cache, value), "{path}");
    }
    for path in [
        "/v1/shop/item/item:a%3F",
        "/v1/shop/item/item:a+b",
        "/v1/shop/item/item:a/",
        "/v1/shop/item/item:%2561",
    ] {
        assert_eq!(stage.get(path).await.problem(), "absent", "{path}");
    }
    assert_eq!(Resp::connect(stage.process.resp).await.say("GET item:å").await, r#"{"code":"å","price":4}"#);
}

#[tokio::test]
async fn what_was_written_over_resp_is_served_as_bytes() {
    let stage = Stage::new().await;
    assert_eq!(stage.resp().await.say("SET scratch:n hello").await, "OK");
    let answer = stage.get("/v1/shop/scratch/scratch:n").await;
    assert_eq!(answer.seen(), ("HIT", "hello"));
    assert_eq!(answer.header("content-type"), "application/octet-stream");
}

#[tokio::test]
async fn a_value_of_another_kind_is_a_problem_that_nobody_keeps() {
    let stage = Stage::new().await;
    assert_eq!(stage.resp().await.say("HSET scratch:h f v").await, "1");
    let answer = stage.get("/v1/shop/scratch/scratch:h").await;
    assert_eq!((answer.status, answer.problem().as_str()), (409, "wrong_kind"));
    assert_eq!(answer.header("cache-control"), "no-store");
}

/// Reads `path` until it is held, takes the source away, and reads until something other than a hit comes.
async fn once_stale(stage: &Stage, path: &str) -> Answer {
    once(stage, path, |answer| answer.seen() == ("HIT", A)).await;
    stage.sql("drop table doomed").await;
    once(stage, path, |answer| answer.header("x-cache") != "HIT").await
}

#[tokio::test]
async fn the_old_value_is_served_when_the_source_fails_where_that_is_declared() {
    let namespace = "[namespace.brief]\nkey = 'brief:{code}'\nttl = '200ms'\nstale_if_error = '1h'\n\
        source.sql = { database = 'main', query = 'select code, price from doomed where code in {keys}' }\n";
    let stage = Stage::with(namespace).await;
    let path = "/v1/shop/brief/brief:a";
    let stale = once_stale(&stage, path).await;
    assert_eq!((stale.status, stale.seen()), (200, ("STALE", A)));
    assert_eq!(stale.header("cache-control"), "max-age=0");
    assert_eq!(stale.header("cache-status"), "forebay; fwd=stale; detail=memory");
    let fresh = stage.ask("GET", path, "Cache-Control: no-cache\r\n").await;
    assert_eq!((fresh.status, fresh.problem().as_str()), (502, "source_failed"));
}

#[tokio::test]
async fn a_value_being_renewed_is_a_hit_past_its_time() {
    let namespace = "[namespace.brief]\nkey = 'brief:{code}'\nttl = '200ms'\nstale_while_revalidate = '1h'\n\
        source.sql = { database = 'main', query = 'select code, price from doomed where code in {keys}' }\n";
    let stage = Stage::with(namespace).await;
    let path = "/v1/shop/brief/brief:a";
    let stale = once_stale(&stage, path).await;
    assert_eq!((stale.status, stale.seen()), (200, ("STALE", A)));
    // `hit` and `fwd` exclude one another (RFC 9211 §2.2).
    assert_eq!(stale.header("cache-status"), "forebay; hit; ttl=0; detail=memory");
}

#[tokio::test]
async fn a_failure_of_the_source_says_whether_to_try_again() {
    let stage = Stage::new().await;
    stage.sql("drop table doomed").await;
    let lasting = stage.get("/v1/shop/broken/broken:a").await;
    assert_eq!((lasting.status, lasting.problem().as_str()), (502, "source_failed"));
    assert_eq!((lasting.header("retry-after"), lasting.header("cache-control")), ("", "no-store"));
    assert!(!lasting.body.contains("doomed"), "the source's words stay here: {}", lasting.body);
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let stage = Stage::new().await;
    let mut stream = tokio::net::TcpStream::connect(stage.process.http).await.unwrap();
    let one = format!("GET {ITEM_A} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let last = format!("GET {ITEM_A} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{one}{one}{last}").as_bytes()).await.unwrap();
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3, "{text}");
    assert_eq!(text.matches("x-cache: HIT").count(), 2, "{text}");
    assert_eq!(ask(stage.process.http, "GET", ITEM_A, "").await.seen(), ("HIT", A));
}
