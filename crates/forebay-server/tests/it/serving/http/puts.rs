//! What a PUT says beside its value: how long it lives, and metadata.

use super::super::Answer;
use super::{put, stage};

const PASTE: &str = "/v1/shop/paste/paste:a";

fn metadata(answer: &Answer) -> &str {
    answer.header("forebay-metadata")
}

#[tokio::test]
async fn a_value_ends_when_its_writer_says_and_a_copy_no_later_than_its_namespace() {
    let stage = stage().await;
    let mut client = stage.resp().await;
    for (query, seconds) in [("?ttl=30s", 30), ("?ttl=1h30m", 5400), ("", 86_400), ("?ttl=9d", 777_600)] {
        let put = put(&stage, &format!("{PASTE}{query}"), "", "1").await;
        assert_eq!(put.status, 204, "{query}");
        let left: i64 = client.say("TTL paste:a").await.parse().unwrap();
        assert!((seconds - 10..=seconds).contains(&left), "{query}: {left}");
    }
    assert_eq!(put(&stage, &format!("{PASTE}?ttl=40s"), "If-Match: *\r\n", "2").await.status, 204);
    assert!(client.say("TTL paste:a").await.parse::<i64>().unwrap() <= 40, "under a condition too");
    for (ttl, seconds) in [("20s", 20), ("9d", 60)] {
        let held = format!("/v1/shop/scratch/scratch:a?ttl={ttl}");
        assert_eq!(put(&stage, &held, "", "1").await.status, 204);
        let left: i64 = client.say("TTL scratch:a").await.parse().unwrap();
        assert!((seconds - 10..=seconds).contains(&left), "{ttl}: {left}");
    }
}

#[tokio::test]
async fn a_value_ends_at_a_moment() {
    let stage = stage().await;
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    assert_eq!(put(&stage, &format!("{PASTE}?expires_at={end}"), "", "1").await.status, 204);
    let told: i64 = stage.resp().await.say("EXPIRETIME paste:a").await.parse().unwrap();
    assert!((end.as_second() - 1..=end.as_second() + 1).contains(&told), "{told} for {end}");
}

#[tokio::test]
async fn what_says_no_life_is_told() {
    let stage = stage().await;
    for query in [
        "ttl=30",
        "ttl=",
        "ttl=0s",
        "ttl=-1s",
        "expires_at=tomorrow",
        "expires_at=1970-01-01T00:00:00Z",
        "expires_at=2020-01-01T00:00:00Z",
        "ttl=1s&expires_at=2999-01-01T00:00:00Z",
        "tll=1s",
    ] {
        let refused = put(&stage, &format!("{PASTE}?{query}"), "", "1").await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "bad_query"), "{query}");
    }
    assert_eq!(stage.get(PASTE).await.status, 404, "nothing was written");
}

#[tokio::test]
async fn metadata_comes_back_with_its_value() {
    let stage = stage().await;
    let long = format!("\"{}\"", "x".repeat(1022));
    for path in [PASTE, "/v1/shop/scratch/scratch:a", "/v1/shop/note/note:a"] {
        for (given, back) in [
            (r#"{"by":"ann","n":[1,2.50]}"#, r#"{"by":"ann","n":[1,2.50]}"#),
            ("{\"name\":\"å\"}", r#"{"name":"\u00e5"}"#),
            (long.as_str(), long.as_str()),
        ] {
            let headers = format!("Forebay-Metadata: {given}\r\nContent-Type: text/plain\r\n");
            assert_eq!(put(&stage, path, &headers, "value").await.status, 204, "{path}");
            let etag = stage.get(path).await.header("etag").to_owned();
            for (method, asked, status) in [
                ("GET", String::new(), 200),
                ("HEAD", String::new(), 200),
                ("GET", "Range: bytes=0-1\r\n".to_owned(), 206),
                ("GET", format!("If-None-Match: {etag}\r\n"), 304),
            ] {
                let answer = stage.ask(method, path, &asked).await;
                assert_eq!((answer.status, metadata(&answer)), (status, back), "{method} {path}");
            }
            assert_eq!(stage.get(path).await.header("content-type"), "text/plain");
        }
        assert_eq!(put(&stage, path, "", "value").await.status, 204);
        assert_eq!(metadata(&stage.get(path).await), "", "a write without it has none");
    }
}

#[tokio::test]
async fn what_is_no_metadata_is_told() {
    let stage = stage().await;
    for given in ["{", "", "ann", "1\r\nForebay-Metadata: 1"] {
        let refused = put(&stage, PASTE, &format!("Forebay-Metadata: {given}\r\n"), "1").await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "bad_metadata"), "{given}");
    }
    let long = format!("Forebay-Metadata: \"{}\"\r\n", "x".repeat(1023));
    let refused = put(&stage, PASTE, &long, "1").await;
    assert_eq!((refused.status, refused.problem().as_str()), (413, "too_large"));
    assert!(refused.body.contains("has 1025 bytes of UTF-8, and 1024 are allowed"), "{}", refused.body);
    assert_eq!(stage.get(PASTE).await.status, 404);
}

#[tokio::test]
async fn over_resp_metadata_goes_with_a_new_value_and_stays_with_a_new_end() {
    let stage = stage().await;
    let mut client = stage.resp().await;
    assert_eq!(put(&stage, PASTE, "Forebay-Metadata: {\"a\":1}\r\n", "1").await.status, 204);
    assert_eq!(client.say("EXPIRE paste:a 100").await, "1");
    assert_eq!(metadata(&stage.get(PASTE).await), "{\"a\":1}");
    assert_eq!(client.say("SET paste:a 1 KEEPTTL").await, "OK");
    let after = stage.get(PASTE).await;
    assert_eq!((after.body.as_str(), metadata(&after)), ("1", ""));
}

#[tokio::test]
async fn a_part_or_a_coding_takes_the_place_of_no_value() {
    let stage = stage().await;
    assert_eq!(put(&stage, PASTE, "Content-Encoding: Identity,\r\n", "whole").await.status, 204);
    for (header, status, code) in [
        ("Content-Range: bytes 0-0/5", 400, "no_parts"),
        ("Content-Encoding: gzip", 415, "encoding_refused"),
        ("Content-Encoding: identity, br", 415, "encoding_refused"),
        ("Content-Encoding: identity\r\nContent-Encoding: br", 415, "encoding_refused"),
    ] {
        let refused = put(&stage, PASTE, &format!("{header}\r\n"), "w").await;
        assert_eq!((refused.status, refused.problem().as_str()), (status, code), "{header}");
    }
    assert_eq!(stage.get(PASTE).await.body, "whole");
}

/// RFC 9110 §9.3.4: only where a condition had the server look is it known, without a race, whether there was a value before.
#[tokio::test]
async fn what_is_known_to_be_new_is_told_so() {
    let stage = stage().await;
    for path in [PASTE, "/v1/shop/scratch/scratch:a"] {
        let created = put(&stage, path, "If-None-Match: *\r\n", "1").await;
        assert_eq!(created.status, 201, "{path}");
        let etag = created.header("etag").to_owned();
        assert_eq!(put(&stage, path, &format!("If-Match: {etag}\r\n"), "2").await.status, 204, "{path}");
        assert_eq!(put(&stage, path, "If-None-Match: \"other\"\r\n", "3").await.status, 204, "{path}");
        assert_eq!(stage.ask("DELETE", path, "").await.status, 204);
        assert_eq!(put(&stage, path, "If-None-Match: \"other\"\r\n", "4").await.status, 201, "{path}");
        assert_eq!(put(&stage, path, "", "5").await.status, 204, "{path}: nobody looked");
    }
}

/// What was read is written back by programs that change the value alone: it must fit, and be the same.
#[tokio::test]
async fn metadata_that_was_read_can_be_written_back() {
    let stage = stage().await;
    for text in [
        "å".repeat(511),
        "\\u007f".repeat(1022),
        "😀".repeat(255),
        r"\u00e5 \\u00e5 \u0041 \ud800".to_owned(),
    ] {
        let given = format!("Forebay-Metadata: \"{text}\"\r\n");
        assert_eq!(put(&stage, PASTE, &given, "1").await.status, 204, "{text:.20}");
        let first = stage.get(PASTE).await;
        let back = format!("Forebay-Metadata: {}\r\n", metadata(&first));
        let written = put(&stage, PASTE, &back, "1").await;
        assert_eq!(written.status, 204, "{text:.20}: {}", written.body);
        let second = stage.get(PASTE).await;
        assert_eq!(metadata(&second), metadata(&first), "{text:.20}");
        assert_eq!(second.header("etag"), first.header("etag"), "{text:.20}");
    }
    let long = format!("Forebay-Metadata: \"{}\"\r\n", "\\u00e5".repeat(512));
    assert_eq!(put(&stage, PASTE, &long, "1").await.problem(), "too_large", "it is 1,026 bytes of UTF-8");
}
