//! HTTP requests, each on a connection of its own, and their answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::soon;

/// An HTTP reply.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// By their names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// The body as it came.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// How much longer a cache in front keeps it, in seconds: it takes `Age` off `max-age` (RFC 9111 §4.2).
    pub fn lives_s(&self) -> u64 {
        let said = self.header("cache-control");
        let number = said.rsplit_once("max-age=").and_then(|(_, number)| number.parse::<u64>().ok());
        let age: u64 = self.header("age").parse().unwrap();
        number.unwrap_or_else(|| panic!("{said}")) - age
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// `X-Cache` and the body.
    pub fn seen(&self) -> (&str, &str) {
        (self.header("x-cache"), &self.body)
    }

    /// The id of the request is in the head of a problem, and the same in its body.
    pub fn names_its_request(&self) {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        let id = self.header("x-request-id");
        assert!(!id.is_empty() && body["request_id"] == id, "{self:?}");
    }

    /// The code of a problem, whose form is checked.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["status"], self.status, "{self:?}");
        assert!(body["title"].is_string() && body["detail"].is_string(), "{self:?}");
        body["code"].as_str().unwrap().to_owned()
    }
}

/// One request on a connection of its own.
pub async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    exchange(address, method, path, headers, "").await
}

/// One request with a body.
pub async fn ask_with(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let headers = format!("{headers}Content-Length: {}\r\n", body.len());
    exchange(address, method, path, &headers, body).await
}

pub async fn exchange(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = soon(TcpStream::connect(address)).await.unwrap();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n{body}");
    soon(stream.write_all(head.as_bytes())).await.unwrap();
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let body = bytes.split_off(end.unwrap_or_else(|| panic!("no head: {}", bytes.escape_ascii())) + 4);
    let head = String::from_utf8(bytes).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.take_while(|line| !line.is_empty()).map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned(), bytes: body }
}
