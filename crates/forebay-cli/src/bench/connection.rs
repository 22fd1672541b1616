//! A connection of one client of a load: requests are written by batches, and as many answers read.
//!
//! It guarantees that no answer is waited for without end, and none grows without bound. What is asked for, and how often, is said elsewhere.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use forebay::rt::Clock;
use forebay_wire::resp::{Reply, ReplyLimits, ReplyState, decode_reply, encode_request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::NUMBER;
use crate::Failure;
use crate::arguments::{At, Bench};
use crate::connect::{Address, AsyncStream, Place};

/// The longest to connect, and to wait for a byte of an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer over HTTP, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest head of one.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What clients ask for.
#[derive(Debug)]
pub(super) enum Asks {
    Resp {
        /// What a connection begins with, and how many answers that has.
        hello: BytesMut,
        hellos: u32,
        key: String,
        keys: u32,
        /// How many in a hundred write.
        sets: u8,
        value: Vec<u8>,
    },
    Http {
        /// What stands in a request before and after a number.
        before: String,
        after: String,
        /// How many numbers there are; none where the path has no place for one.
        keys: Option<u32>,
    },
}

/// How a request ended.
#[derive(Debug)]
pub(super) enum Answer {
    Found,
    Missing,
    Refused(String),
}

impl Asks {
    pub(super) fn resp(key: String, asked: &Bench, at: &At) -> Self {
        let mut hello = BytesMut::new();
        let mut hellos = 0;
        if let Some(token) = &at.token {
            encode_request(&mut hello, ["AUTH", token]);
            hellos += 1;
        }
        if let Some(db) = at.db {
            encode_request(&mut hello, ["SELECT", &db.to_string()]);
            hellos += 1;
        }
        let value = vec![b'x'; usize::try_from(asked.bytes).unwrap_or_default()];
        Self::Resp { hello, hellos, key, keys: asked.keys, sets: asked.sets, value }
    }

    pub(super) fn http(
        address: &Address,
        path: &str,
        token: Option<&str>,
        keys: u32,
    ) -> Result<Self, Failure> {
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !path.starts_with('/') || !is_plain(path) || !token.is_none_or(is_plain) {
            return Err(Failure("a path begins with `/`, and neither it nor a token has blanks".into()));
        }
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let (before, after) =
            path.split_once(NUMBER).map_or((path, None), |(before, after)| (before, Some(after)));
        let (number, after) = (after.is_some(), after.unwrap_or_default());
        let after = format!("{after} HTTP/1.1\r\nHost: {address}\r\n{token}\r\n");
        Ok(Self::Http { before: format!("GET {before}"), after, keys: number.then_some(keys) })
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Resp { sets: 0, .. } => "GET over RESP".into(),
            Self::Resp { sets: 100, .. } => "SET over RESP".into(),
            Self::Resp { sets, .. } => format!("GET and {sets} % SET over RESP"),
            Self::Http { .. } => "GET over HTTP".into(),
        }
    }

    fn write(&self, out: &mut BytesMut, random: &mut fastrand::Rng) {
        match self {
            Self::Resp { key, keys, sets, value, .. } => {
                let key = key.replace(NUMBER, &random.u32(..*keys).to_string());
                if random.u8(..100) < *sets {
                    encode_request(out, [b"SET".as_slice(), key.as_bytes(), value]);
                } else {
                    encode_request(out, ["GET", &key]);
                }
            }
            Self::Http { before, after, keys } => {
                out.extend_from_slice(before.as_bytes());
                if let Some(keys) = keys {
                    out.extend_from_slice(random.u32(..*keys).to_string().as_bytes());
                }
                out.extend_from_slice(after.as_bytes());
            }
        }
    }
}

/// A client's connection.
pub(super) struct Connection {
    stream: Box<dyn AsyncStream>,
    address: SocketAddr,
    input: BytesMut,
    output: BytesMut,
    state: ReplyState,
    clock: Clock,
}

impl Connection {
    /// Connects to `place`, at that of its addresses.
    pub(super) async fn open(place: &Place, address: SocketAddr, asks: &Asks) -> Result<Self, Failure> {
        let clock = Clock::system();
        let nobody = |error: &dyn std::fmt::Display| {
            Failure(format!("nobody serves at {address} ({error}): start the server, or name its address"))
        };
        let stream = clock.timeout(PATIENCE, TcpStream::connect(address)).await;
        let stream = stream.map_err(|late| nobody(&late))?.map_err(|error| nobody(&error))?;
        stream.set_nodelay(true).map_err(|error| nobody(&error))?;
        let stream = clock.timeout(PATIENCE, place.greeted(stream)).await.map_err(|late| nobody(&late))??;
        let (input, output, state) = (BytesMut::new(), BytesMut::new(), ReplyState::default());
        let mut connection = Self { stream, address, input, output, state, clock };
        if let Asks::Resp { hello, hellos, .. } = asks {
            connection.output.extend_from_slice(hello);
            connection.send().await?;
            for _ in 0..*hellos {
                if let Answer::Refused(why) = connection.answer(asks).await? {
                    return Err(Failure(why));
                }
            }
        }
        Ok(connection)
    }

    /// Sends `count` requests at once.
    pub(super) async fn ask(
        &mut self,
        asks: &Asks,
        count: u32,
        random: &mut fastrand::Rng,
    ) -> Result<(), Failure> {
        for _ in 0..count {
            asks.write(&mut self.output, random);
        }
        self.send().await
    }

    async fn send(&mut self) -> Result<(), Failure> {
        let sent = self.clock.timeout(PATIENCE, self.stream.write_all_buf(&mut self.output)).await;
        sent.map_err(|late| lost(self.address, &late))?.map_err(|error| lost(self.address, &error))?;
        // Within TLS a record may not have gone out yet.
        let sent = self.clock.timeout(PATIENCE, self.stream.flush()).await;
        sent.map_err(|late| lost(self.address, &late))?.map_err(|error| lost(self.address, &error))
    }

    /// Reads the next answer.
    pub(super) async fn answer(&mut self, asks: &Asks) -> Result<Answer, Failure> {
        loop {
            let answer = match asks {
                Asks::Resp { .. } => self.reply()?,
                Asks::Http { .. } => self.response()?,
            };
            if let Some(answer) = answer {
                return Ok(answer);
            }
            let read = self.clock.timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await;
            let read = read.map_err(|late| lost(self.address, &late))?;
            if read.map_err(|error| lost(self.address, &error))? == 0 {
                return Err(lost(self.address, &"it closed the connection before it answered"));
            }
        }
    }

    fn reply(&mut self) -> Result<Option<Answer>, Failure> {
        let reply = decode_reply(&mut self.input, &ReplyLimits::default(), &mut self.state);
        let reply = reply.map_err(|error| lost(self.address, &error))?;
        Ok(reply.map(|reply| match reply {
            Reply::Error(error) => Answer::Refused(String::from_utf8_lossy(&error).into_owned()),
            Reply::Null => Answer::Missing,
            _ => Answer::Found,
        }))
    }

    fn response(&mut self) -> Result<Option<Answer>, Failure> {
        let unknown = || lost(self.address, &"its answer is none of HTTP/1.1 with a length");
        let Some(end) = self.input.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if self.input.len() > HEAD_BYTES_MAX { Err(unknown()) } else { Ok(None) };
        };
        let head = self.input.get(..end).and_then(|head| str::from_utf8(head).ok()).ok_or_else(unknown)?;
        let mut lines = head.split("\r\n");
        let status =
            lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).ok_or_else(unknown)?.to_owned();
        let length = lines.filter_map(|line| line.split_once(':'));
        let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length: usize =
            length.next().and_then(|(_, length)| length.trim().parse().ok()).ok_or_else(unknown)?;
        if length > ANSWER_BYTES_MAX {
            return Err(unknown());
        }
        let whole = end + 4 + length;
        if self.input.len() < whole {
            return Ok(None);
        }
        self.input.advance(whole);
        Ok(Some(match status.get(..3) {
            Some("200") => Answer::Found,
            Some("404") => Answer::Missing,
            _ => Answer::Refused(format!("the answer is {status}")),
        }))
    }
}

fn lost(address: SocketAddr, error: &dyn std::fmt::Display) -> Failure {
    Failure(format!("{address} went away: {error}"))
}
