//! Requests of which two programs may read different bodies, or of which nobody knows where they go: what is said of each, and that
//! nothing after it on its connection is taken for a request.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::{Stage, soon};
use super::stage;

const PUT: &str = "PUT /v1/shop/paste/paste:a HTTP/1.1\r\nHost: localhost\r\n";
/// What somebody hides behind a request.
const HIDDEN: &str =
    "PUT /v1/shop/paste/paste:hidden HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1";

/// All that is answered to `sent` until the connection is closed, which the client does not ask for.
async fn said(stage: &Stage, sent: &str) -> String {
    let mut stream = soon(TcpStream::connect(stage.process.http)).await.unwrap();
    soon(stream.write_all(sent.as_bytes())).await.unwrap();
    let mut said = Vec::new();
    soon(stream.read_to_end(&mut said)).await.unwrap();
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn what_two_programs_may_read_differently_is_refused_and_ends_its_connection() {
    let stage = stage().await;
    for (headers, body) in [
        ("Content-Length: 1\r\nContent-Length: 2\r\n", "1"),
        ("Content-Length: 1, 1\r\n", "1"),
        ("Content-Length: 1, 2\r\n", "1"),
        ("Content-Length: +1\r\n", "1"),
        ("Content-Length: -1\r\n", "1"),
        ("Content-Length: 0x1\r\n", "1"),
        ("Content-Length: 1 1\r\n", "1"),
        ("Content-Length: \r\n", "1"),
        ("Content-Length: 99999999999999999999999\r\n", "1"),
        ("Content-Length : 1\r\n", "1"),
        (" Content-Length: 1\r\n", "1"),
        ("Content-Length: 1\r\n folded: 1\r\n", "1"),
        ("Content-Length: 1\nHidden: 1\rContent-Length: 9\r\n", "1"),
        ("Transfer-Encoding: gzip\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: \r\n", "0\r\n\r\n"),
        ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nHidden: \0\r\n", "0\r\n\r\n"),
        // Chunks that are none.
        ("Transfer-Encoding: chunked\r\n", "-1\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "0x1\r\n1\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "1\r\n12\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "11111111111111111\r\n1\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "1\n1\n0\n\n"),
    ] {
        let answer = said(&stage, &format!("{PUT}{headers}\r\n{body}{HIDDEN}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{headers:?} {body:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{headers:?} {body:?}: {answer}");
        assert_eq!(stage.get("/v1/shop/paste").await.body, NONE, "{headers:?} {body:?}");
    }
    let old = format!("{PUT}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}");
    let answer = said(&stage, &old.replacen("HTTP/1.1", "HTTP/1.0", 1)).await;
    assert!(answer.starts_with("HTTP/1.") && answer.contains(" 400 "), "{answer}");
    assert_eq!(stage.get("/v1/shop/paste").await.body, NONE);
}

const NONE: &str = r#"{"keys":[],"cursor":null,"complete":true}"#;

/// Of two lengths the chunks count, as RFC 9112 §6.1 allows, and what comes after them on the connection is not taken for a request.
#[tokio::test]
async fn chunks_count_and_a_length_beside_them_ends_the_connection() {
    let stage = stage().await;
    for (number, headers) in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: Chunked\r\nContent-Length: x\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n",
    ]
    .iter()
    .enumerate()
    {
        let put = PUT.replace("paste:a", &format!("paste:{number}"));
        let answer = said(&stage, &format!("{put}{headers}\r\n1\r\nx\r\n0\r\n\r\n{HIDDEN}")).await;
        assert!(answer.starts_with("HTTP/1.1 204 ") && answer.contains("connection: close"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{headers:?}: {answer}");
        assert_eq!(stage.get(&format!("/v1/shop/paste/paste:{number}")).await.body, "x", "{headers:?}");
        assert_eq!(stage.get("/v1/shop/paste/paste:hidden").await.status, 404, "{headers:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_coded_on_its_way_is_not_kept() {
    let stage = stage().await;
    for headers in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: gzip , chunked\r\nContent-Length: 1\r\n",
    ] {
        let answer = said(&stage, &format!("{PUT}{headers}\r\n1\r\nx\r\n0\r\n\r\n{HIDDEN}")).await;
        assert!(answer.starts_with("HTTP/1.1 501 "), "{headers:?}: {answer}");
        assert!(answer.contains("\"code\":\"transfer_refused\""), "{headers:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{headers:?}: {answer}");
        assert_eq!(stage.get("/v1/shop/paste").await.body, NONE, "{headers:?}");
    }
}

/// RFC 9112 §3.2.
#[tokio::test]
async fn who_names_no_host_or_two_is_refused() {
    let stage = stage().await;
    for (version, hosts, status) in [
        ("1.1", "", 400),
        ("1.1", "Host: localhost\r\nHost: localhost\r\n", 400),
        ("1.0", "Host: localhost\r\nHost: other\r\n", 400),
        ("1.1", "Host: local host\r\n", 400),
        ("1.1", "Host: user@localhost\r\n", 400),
        ("1.1", "Host: localhost/path\r\n", 400),
        ("1.1", "Host: localhost, other\r\n", 400),
        ("1.0", "", 200),
        ("1.1", "Host: localhost:80\r\n", 200),
        ("1.1", "Host: [::1]:80\r\n", 200),
    ] {
        let sent = format!("GET /health HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        let answer = said(&stage, &sent).await;
        assert_eq!(answer[9..12], status.to_string(), "{hosts:?}: {answer}");
        let is_told = answer.contains("\"code\":\"bad_host\"") && answer.contains("x-request-id: ");
        assert_eq!(is_told, status == 400, "{hosts:?}: {answer}");
    }
}
