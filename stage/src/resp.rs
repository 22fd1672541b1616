//! A RESP client that shows what comes as it comes.

use std::net::SocketAddr;

use bytes::BytesMut;
use forebay_wire::resp::{Reply, ReplyLimits, ReplyState, decode_reply, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::soon;

/// A RESP client.
pub struct Resp {
    pub stream: TcpStream,
    pub input: BytesMut,
    pub state: ReplyState,
}

impl Resp {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = soon(TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, input: BytesMut::new(), state: ReplyState::default() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    /// The next reply; `None` where the server has closed instead.
    pub async fn next(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) =
                decode_reply(&mut self.input, &ReplyLimits::default(), &mut self.state).unwrap()
            {
                return Some(reply);
            }
            if soon(self.stream.read_buf(&mut self.input)).await.unwrap_or(0) == 0 {
                assert!(self.input.is_empty(), "closed within a reply: {:?}", self.input);
                return None;
            }
        }
    }

    pub async fn call(&mut self, words: &[&str]) -> Reply {
        self.send(&request(words)).await;
        self.next().await.expect("closed instead of a reply")
    }

    /// The reply as text: bulk and simple strings as they are, `nil`, numbers in digits, errors behind `!`.
    pub async fn say(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        shown(&self.call(&words).await)
    }

    /// The number behind `name:` in `INFO`.
    pub async fn info(&mut self, name: &str) -> u64 {
        let text = self.say("INFO").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}

pub fn request(words: &[&str]) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode_request(&mut bytes, words);
    bytes
}

pub fn shown(reply: &Reply) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = |replies: &[Reply]| replies.iter().map(shown).collect::<Vec<_>>().join(" ");
    match reply {
        Reply::Simple(bytes) | Reply::Bulk(bytes) => text(bytes),
        Reply::Error(bytes) => format!("!{}", text(bytes)),
        Reply::Integer(number) => number.to_string(),
        Reply::Null => "nil".into(),
        Reply::Array(replies) => format!("[{}]", all(replies)),
        Reply::Push(replies) => format!(">[{}]", all(replies)),
        Reply::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}={}", shown(key), shown(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
        }
        Reply::Verbatim { text: inner, .. } => text(inner),
        other => panic!("{other:?}"),
    }
}
