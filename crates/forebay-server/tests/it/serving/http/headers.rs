//! What the headers of a value tell caches in front and browsers.

use super::super::Stage;
use super::{ITEM_A, put, stage};

const SHOWN: &str = "Authorization: Bearer any\r\n";

#[tokio::test]
async fn what_is_declared_secure_is_kept_by_nobody() {
    let stage = Stage::with(
        "[namespace.may]\nkey = 'may:{code}'\nttl = '60s'\nsecure = true\n\
         source.sql = { database = 'main', query = 'select code, price from items where code in {keys}' }\n",
    )
    .await;
    for (path, status) in [("/v1/shop/may/may:a", 200), ("/v1/shop/may/may:none", 404)] {
        for asked in ["", SHOWN, "If-Match: *\r\n"] {
            let answer = stage.ask("GET", path, asked).await;
            assert_eq!((answer.status, answer.header("cache-control")), (status, "no-store"), "{asked}");
        }
    }
}

/// RFC 9111 §3.5: a shared cache keeps nothing that was asked for with `Authorization`, and those that do not know that know `private`.
#[tokio::test]
async fn what_a_token_was_shown_for_is_for_its_bearer() {
    let stage = stage().await;
    assert_eq!(put(&stage, "/v1/shop/paste/paste:a", "", "1").await.status, 204);
    for path in [ITEM_A, "/v1/shop/item/item:none"] {
        let shown = stage.ask("GET", path, SHOWN).await;
        let said = shown.header("cache-control");
        assert!(said.starts_with("private, max-age="), "{path}: {said}");
        assert!(shown.lives_s() > 20, "{path}: {said}");
        assert!(stage.get(path).await.header("cache-control").starts_with("max-age="), "{path}");
    }
    let stored = stage.ask("GET", "/v1/shop/paste/paste:a", SHOWN).await;
    assert_eq!(stored.header("cache-control"), "private, no-cache");
    assert_eq!(stage.get("/v1/shop/paste/paste:a").await.header("cache-control"), "no-cache");
}

/// What a user has written is served from the same origin as everything else: a browser neither guesses what it is nor runs it.
#[tokio::test]
async fn a_browser_runs_nothing_of_a_value() {
    let stage = stage().await;
    let path = "/v1/shop/paste/paste:a";
    let page = "<script>alert(1)</script>".repeat(100);
    assert_eq!(put(&stage, path, "Content-Type: text/html\r\n", &page).await.status, 204);
    let etag = stage.get(path).await.header("etag").to_owned();
    for (method, asked, status) in [
        ("GET", String::new(), 200),
        ("HEAD", String::new(), 200),
        ("GET", "Accept-Encoding: gzip\r\n".to_owned(), 200),
        ("GET", "Range: bytes=0-9\r\n".to_owned(), 206),
        ("GET", format!("If-None-Match: {etag}\r\n"), 304),
    ] {
        let answer = stage.ask(method, path, &asked).await;
        assert_eq!(answer.status, status, "{asked}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{asked}");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; sandbox", "{asked}");
    }
}
