//! Conditional requests.

use super::super::{Stage, ask};
use super::{A, ITEM_A, put, stage};

const PASTE: &str = "/v1/shop/paste/paste:a";
const SCRATCH: &str = "/v1/shop/scratch/scratch:a";

async fn delete(stage: &Stage, path: &str, headers: &str) -> u16 {
    stage.ask("DELETE", path, headers).await.status
}

#[tokio::test]
async fn a_write_with_a_condition_is_done_where_the_value_is_the_one_it_is_for() {
    let stage = stage().await;
    for path in [PASTE, SCRATCH] {
        let missing = put(&stage, path, "If-Match: *\r\n", "1").await;
        assert_eq!((missing.status, missing.problem().as_str()), (412, "precondition_failed"), "{path}");
        assert_eq!(missing.header("cache-control"), "no-store");
        let first = put(&stage, path, "If-None-Match: *\r\nContent-Type: text/plain\r\n", "1").await;
        assert_eq!(first.status, 201, "{path}");
        assert_eq!(put(&stage, path, "If-None-Match: *\r\n", "2").await.status, 412);
        let read = stage.get(path).await;
        assert_eq!((read.body.as_str(), read.header("content-type")), ("1", "text/plain"));
        assert_eq!(read.header("etag"), first.header("etag"), "a write says the tag of what it wrote");

        let one = format!("If-Match: {}\r\n", first.header("etag"));
        let second = put(&stage, path, &one, "2").await;
        assert_eq!(second.status, 204);
        assert_eq!(put(&stage, path, &one, "3").await.status, 412, "it is another value now");
        assert_eq!(delete(&stage, path, &one).await, 412);
        assert_eq!(stage.get(path).await.body, "2");
        let weak = format!("If-Match: W/{}\r\n", second.header("etag"));
        assert_eq!(delete(&stage, path, &weak).await, 412, "a weak tag proves nothing");
        let two = format!("If-Match: \"other\", {}\r\n", second.header("etag"));
        assert_eq!(delete(&stage, path, &two).await, 204);
        assert_eq!(delete(&stage, path, &two).await, 412);
        assert_eq!(stage.get(path).await.status, 404);
    }
}

#[tokio::test]
async fn of_many_writers_of_nothing_one_is_first() {
    let stage = stage().await;
    for path in [PASTE, SCRATCH] {
        let writers =
            (0..16).map(|number| {
                let (address, body) = (stage.process.http, number.to_string());
                async move {
                    super::super::ask_with(address, "PUT", path, "If-None-Match: *\r\n", &body).await.status
                }
            });
        let mut tasks = tokio::task::JoinSet::new();
        writers.for_each(|writer| drop(tasks.spawn(writer)));
        let mut statuses = tasks.join_all().await;
        statuses.sort_unstable();
        assert_eq!((statuses[0], &statuses[1..]), (201, &[412; 15][..]), "{path}");
    }
}

#[tokio::test]
async fn a_condition_that_nobody_here_can_keep_is_refused() {
    let stage = stage().await;
    for path in [ITEM_A, "/v1/shop/note/note:a"] {
        for condition in ["If-Match: *\r\n", "If-None-Match: *\r\n"] {
            let refused = put(&stage, path, condition, "1").await;
            assert_eq!((refused.status, refused.problem().as_str()), (400, "condition_refused"), "{path}");
            assert_eq!(stage.ask("DELETE", path, condition).await.problem(), "condition_refused");
        }
    }
    assert_eq!(stage.get("/v1/shop/note/note:a").await.body, A, "nothing was written");
}

#[tokio::test]
async fn a_read_can_be_for_one_value_alone() {
    let stage = stage().await;
    let etag = stage.get(ITEM_A).await.header("etag").to_owned();
    for (named, status) in [(etag.as_str(), 200), ("*", 200), ("\"other\"", 412)] {
        for method in ["GET", "HEAD"] {
            let answer = stage.ask(method, ITEM_A, &format!("If-Match: {named}\r\n")).await;
            assert_eq!(answer.status, status, "{method} {named}");
            assert_eq!(answer.header("cache-control") == "no-store", status == 412);
        }
    }
    let absent = stage.ask("GET", "/v1/shop/item/item:none", "If-Match: *\r\n").await;
    assert_eq!((absent.status, absent.problem().as_str()), (404, "absent"), "as without a condition");
}

#[tokio::test]
async fn what_is_known_is_told_with_the_headers_of_the_value() {
    let stage = stage().await;
    let whole = stage.get(ITEM_A).await;
    let known = format!("If-None-Match: {}\r\n", whole.header("etag"));
    let known = ask(stage.process.http, "GET", ITEM_A, &known).await;
    assert_eq!(known.status, 304);
    assert!(known.header("cache-control").starts_with("max-age="), "{known:?}");
    for name in ["etag", "vary", "age"] {
        assert_eq!(known.header(name), whole.header(name), "{name}");
    }
}

#[tokio::test]
async fn the_same_bytes_with_other_metadata_or_content_type_are_another_value() {
    let stage = stage().await;
    let mut seen: Vec<String> = Vec::new();
    for headers in [
        "Content-Type: text/plain\r\nForebay-Metadata: 1\r\n",
        "Content-Type: text/plain\r\nForebay-Metadata: 2\r\n",
        "Content-Type: text/html\r\nForebay-Metadata: 2\r\n",
    ] {
        for etag in &seen {
            assert_eq!(put(&stage, PASTE, headers, "same").await.status, 204);
            let late = put(&stage, PASTE, &format!("If-Match: {etag}\r\n"), "same").await;
            assert_eq!(late.status, 412, "{headers}");
            let known = stage.ask("GET", PASTE, &format!("If-None-Match: {etag}\r\n")).await;
            assert_eq!(known.status, 200, "{headers}");
        }
        let etag = put(&stage, PASTE, headers, "same").await.header("etag").to_owned();
        assert!(!etag.is_empty() && !seen.contains(&etag), "{headers}");
        assert_eq!(stage.get(PASTE).await.header("etag"), etag);
        seen.push(etag);
    }
}
