//! Bodies on their way: rights that end meanwhile, and the bytes that all of them have together.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::access::token;
use super::super::listeners::stage;
use super::super::{NAMESPACES, Stage, ask_with, soon};

/// A request of which the server awaits the body.
struct Begun(TcpStream);

impl Begun {
    async fn new(address: SocketAddr, line: &str, headers: &str, length: usize) -> Self {
        let mut stream = soon(TcpStream::connect(address)).await.unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {address}\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        soon(stream.write_all(head.as_bytes())).await.unwrap();
        // It is sent when the body is asked for: the head has been judged.
        let mut said = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        soon(stream.read_exact(&mut said)).await.unwrap();
        assert_eq!(said, *b"HTTP/1.1 100 Continue\r\n\r\n");
        Self(stream)
    }

    async fn send(&mut self, body: &[u8]) {
        soon(self.0.write_all(body)).await.unwrap();
    }

    async fn answer(mut self) -> String {
        let mut said = String::new();
        soon(self.0.read_to_string(&mut said)).await.unwrap();
        said
    }
}

#[tokio::test]
async fn a_right_that_ends_while_a_body_comes_does_nothing_any_more() {
    let writes = format!("{NAMESPACES}{}", token("some", "may = ['read', 'write']"));
    let reads = format!("{NAMESPACES}{}", token("some", "may = ['read']"));
    let others = format!("{NAMESPACES}{}", token("other", "may = ['admin']"));
    let mut stage = Stage::with(&writes).await;
    let shows = "Authorization: Bearer some-secret\r\n";
    let held = stage.ask("GET", "/v1/shop/item/item:a", shows).await;
    assert_eq!(held.status, 200);
    for (line, body, now, answer) in [
        ("PUT /v1/shop/note/note:a", "\"mine\"", &reads, "HTTP/1.1 403 Forbidden"),
        ("PUT /v1/shop/note/note:a", "\"mine\"", &others, "HTTP/1.1 401 Unauthorized"),
        ("POST /v1/shop/item:invalidate", "{\"keys\":[\"item:a\"]}", &reads, "HTTP/1.1 403 Forbidden"),
        ("POST /v1/shop:invalidate", "{\"tags\":[\"some\"]}", &reads, "HTTP/1.1 403 Forbidden"),
        ("POST /v1/shop/item:get", "{\"keys\":[\"item:a\"]}", &others, "HTTP/1.1 401 Unauthorized"),
    ] {
        let mut begun = Begun::new(stage.process.http, line, shows, body.len()).await;
        let (first, rest) = body.as_bytes().split_at(body.len() / 2);
        begun.send(first).await;
        stage.reloaded(now).await;
        begun.send(rest).await;
        let said = begun.answer().await;
        assert!(said.starts_with(answer) && said.contains("x-request-id: "), "{line}: {said}");
        stage.reloaded(&writes).await;
    }
    let note = stage.ask("GET", "/v1/shop/note/note:a", shows).await;
    assert_eq!(note.body, r#"{"code":"a","price":1}"#, "it was written");
    // A right that stays does what it allows, whatever else changes.
    let mut begun = Begun::new(stage.process.http, "PUT /v1/shop/note/note:a", shows, 6).await;
    stage.reloaded(&format!("{writes}{}", token("more", "may = ['read']"))).await;
    begun.send(b"\"mine\"").await;
    assert!(begun.answer().await.starts_with("HTTP/1.1 204"));
}

#[tokio::test]
async fn bodies_on_their_way_have_a_budget_together() {
    const MIB: usize = 1024 * 1024;
    let (process, _folder) = stage("bodies = '25 MiB'", &[]).await;
    let body = "x".repeat(14 * MIB);
    let put = async || ask_with(process.http, "PUT", "/v1/shop/scratch/scratch:b", "", &body).await;
    let mut begun = Begun::new(process.http, "PUT /v1/shop/scratch/scratch:a", "", 15 * MIB).await;
    begun.send(body.as_bytes()).await;
    let refused = soon(async {
        loop {
            // Until what was sent has been taken, there is room.
            let answer = put().await;
            if answer.status != 204 {
                return answer;
            }
        }
    })
    .await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "bodies_full"));
    assert_eq!(refused.header("retry-after"), "1");
    refused.names_its_request();
    begun.send("x".repeat(MIB).as_bytes()).await;
    let said = begun.answer().await;
    assert!(said.starts_with("HTTP/1.1 204"), "{said}");
    // All of it is given back, however a request ended.
    assert_eq!(put().await.status, 204);
    let mut gone = Begun::new(process.http, "PUT /v1/shop/scratch/scratch:a", "", 15 * MIB).await;
    gone.send(body.as_bytes()).await;
    drop(gone);
    soon(async { while put().await.status != 204 {} }).await;
}
