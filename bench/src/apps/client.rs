//! Connections that ask one thing after the other: RESP, and HTTP that is kept alive.

use std::net::SocketAddr;

use bytes::BytesMut;
use forebay_wire::resp::{Reply, ReplyLimits, ReplyState, decode_reply, encode_request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::Error;

/// A RESP connection.
pub(super) struct Resp {
    stream: TcpStream,
    input: BytesMut,
    state: ReplyState,
    limits: ReplyLimits,
}

fn problem(problem: impl std::fmt::Display) -> Error {
    Error::Server { problem: problem.to_string() }
}

async fn connected(address: SocketAddr) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Resp {
    pub(super) async fn connect(address: SocketAddr) -> Result<Self, Error> {
        let (input, state, limits) = (BytesMut::new(), ReplyState::default(), ReplyLimits::default());
        Ok(Self { stream: connected(address).await?, input, state, limits })
    }

    /// What some words are answered; an error of the server is one here.
    pub(super) async fn ask(&mut self, words: &[&str]) -> Result<Reply, Error> {
        let mut request = BytesMut::new();
        encode_request(&mut request, words);
        self.stream.write_all(&request).await?;
        loop {
            let decoded = decode_reply(&mut self.input, &self.limits, &mut self.state);
            match decoded.map_err(problem)? {
                Some(Reply::Error(text)) => {
                    return Err(problem(format!("{words:?}: {}", String::from_utf8_lossy(&text))));
                }
                Some(reply) => return Ok(reply),
                None => {}
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(problem("the connection was closed"));
            }
        }
    }
}

/// An HTTP connection that is kept alive.
pub(super) struct Http {
    stream: TcpStream,
    input: BytesMut,
    address: SocketAddr,
}

impl Http {
    pub(super) async fn connect(address: SocketAddr) -> Result<Self, Error> {
        Ok(Self { stream: connected(address).await?, input: BytesMut::new(), address })
    }

    /// The status of a POST.
    pub(super) async fn post(&mut self, path: &str, body: &str) -> Result<u16, Error> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        loop {
            if let Some((status, length)) = answer(&self.input) {
                drop(self.input.split_to(length));
                return Ok(status);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(problem("the connection was closed"));
            }
        }
    }
}

/// The status and the length of an answer that is whole.
fn answer(input: &[u8]) -> Option<(u16, usize)> {
    let end = input.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(input.get(..end)?).ok()?.to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())?;
    (input.len() >= end + body).then_some((status, end + body))
}
