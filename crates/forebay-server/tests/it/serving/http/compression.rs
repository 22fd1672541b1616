//! Compressed forms of values.

use std::io::Read;

use super::super::{Answer, Stage};
use super::{put, stage};

const LONG: &str = "/v1/shop/paste/paste:long";

/// A stage with a text of some length at [`LONG`], and that text.
async fn with_long() -> (Stage, String) {
    let (stage, text) = (stage().await, "All work and no play. ".repeat(100));
    assert_eq!(put(&stage, LONG, "Content-Type: text/plain\r\n", &text).await.status, 204);
    (stage, text)
}

fn unpacked(answer: &Answer) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(&answer.bytes[..]).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn who_accepts_gzip_is_sent_less() {
    let (stage, text) = with_long().await;
    let plain = stage.get(LONG).await;
    assert_eq!((plain.body.as_str(), plain.header("content-encoding")), (text.as_str(), ""));
    for _ in 0..2 {
        let packed = stage.ask("GET", LONG, "Accept-Encoding: br, gzip\r\n").await;
        assert_eq!((packed.status, packed.header("content-encoding")), (200, "gzip"));
        assert_eq!(unpacked(&packed), text);
        assert!(packed.bytes.len() < text.len() / 4, "{}", packed.bytes.len());
        assert_eq!(packed.header("content-length"), packed.bytes.len().to_string());
        assert_eq!(packed.header("etag"), format!("{}-gzip\"", plain.header("etag").trim_end_matches('"')));
        let head = stage.ask("HEAD", LONG, "Accept-Encoding: gzip\r\n").await;
        for name in ["vary", "content-length", "content-type", "etag", "cache-control"] {
            assert_eq!(head.header(name), packed.header(name), "{name}");
        }
        assert_eq!(packed.header("vary"), "accept-encoding");
    }
    assert_eq!(plain.header("vary"), "accept-encoding", "the other form varies too");
    let refused = stage.ask("GET", LONG, "Accept-Encoding: gzip;q=0, *\r\n").await;
    assert_eq!(refused.header("content-encoding"), "");
}

#[tokio::test]
async fn what_is_short_or_packed_by_itself_is_sent_as_it_is() {
    let stage = stage().await;
    for (path, content_type, body) in [
        ("/v1/shop/paste/paste:short", "text/plain", "x".repeat(1023)),
        ("/v1/shop/paste/paste:image", "image/png", "x".repeat(5000)),
    ] {
        assert_eq!(put(&stage, path, &format!("Content-Type: {content_type}\r\n"), &body).await.status, 204);
        let answer = stage.ask("GET", path, "Accept-Encoding: gzip\r\n").await;
        assert_eq!((answer.header("content-encoding"), answer.header("vary")), ("", ""), "{path}");
        assert_eq!(answer.body, body);
    }
}

#[tokio::test]
async fn either_tag_is_the_value() {
    let (stage, _) = with_long().await;
    let plain = stage.get(LONG).await.header("etag").to_owned();
    let packed = stage.ask("GET", LONG, "Accept-Encoding: gzip\r\n").await.header("etag").to_owned();
    for (named, accepts, told) in [
        (&plain, "", &plain),
        (&plain, "Accept-Encoding: gzip\r\n", &plain),
        (&packed, "", &packed),
        (&packed, "Accept-Encoding: gzip\r\n", &packed),
    ] {
        let known = stage.ask("GET", LONG, &format!("If-None-Match: {named}\r\n{accepts}")).await;
        assert_eq!((known.status, known.header("etag")), (304, told.as_str()), "{named} {accepts}");
        assert_eq!(known.header("vary"), "accept-encoding");
    }
    let changed = put(&stage, LONG, &format!("If-Match: {packed}\r\n"), "short").await;
    assert_eq!(changed.status, 204, "who was sent the compressed form has seen the value");
}

#[tokio::test]
async fn a_part_is_one_of_the_value_as_it_is() {
    let (stage, text) = with_long().await;
    let part = stage.ask("GET", LONG, "Accept-Encoding: gzip\r\nRange: bytes=0-7\r\n").await;
    assert_eq!((part.status, part.body.as_str()), (206, "All work"));
    assert_eq!((part.header("content-encoding"), part.header("vary")), ("", "accept-encoding"));
    let several = stage.ask("GET", LONG, "Accept-Encoding: gzip\r\nRange: bytes=0-7,9-10\r\n").await;
    assert_eq!((several.status, several.body == text), (200, true));
}
