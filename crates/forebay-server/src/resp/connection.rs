//! One connection: bytes in, requests carried out one after the other, replies out.
//!
//! A memory hit is answered without leaving this loop. Replies are gathered while further whole requests are at hand, so
//! that a pipeline costs one write; they are sent early when they pass a bound, also within one long reply, so that a client
//! that does not read holds no more than that, one value and the socket's own buffer. Buffers that one large request or
//! reply has made grow are given back.

use std::io;

use bytes::BytesMut;
use forebay_wire::resp::{Limits, State, decode, reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;

use super::Service;
use super::execute::execute;
use super::session::Session;
use crate::stop::Stop;

/// Replies are sent when they pass this many bytes.
const REPLIES_BYTES: usize = 64 * 1024;
/// Room made for each read from the socket, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// A connection keeps no buffer larger than this many bytes while it waits.
const KEPT_BYTES: usize = 4 * REPLIES_BYTES;

/// Replies on their way to a client.
pub(super) struct Replies<'s> {
    /// Written, but not sent.
    pub(super) out: BytesMut,
    /// Where they go; nowhere yet while a transaction gathers them.
    to: Option<WriteHalf<'s>>,
}

impl<'s> Replies<'s> {
    fn new(to: WriteHalf<'s>) -> Self {
        Self { out: BytesMut::with_capacity(READ_BYTES), to: Some(to) }
    }

    /// Replies that stay where they are.
    pub(super) fn gathered() -> Self {
        Self { out: BytesMut::new(), to: None }
    }

    /// Sends what has been written once it is much; waits until the client takes it.
    pub(super) async fn send_if_many(&mut self) -> io::Result<()> {
        if self.out.len() >= REPLIES_BYTES { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> io::Result<()> {
        let Some(to) = &mut self.to else { return Ok(()) };
        to.write_all(&self.out).await?;
        self.out.clear();
        give_back(&mut self.out);
        Ok(())
    }

    /// Sends what has been written, and says that no more comes.
    async fn close(&mut self) -> io::Result<()> {
        self.send().await?;
        match &mut self.to {
            Some(to) => to.shutdown().await,
            None => Ok(()),
        }
    }
}

/// Gives back an empty buffer that has grown.
fn give_back(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > KEPT_BYTES {
        *buffer = BytesMut::with_capacity(READ_BYTES);
    }
}

/// Serves a connection until the client closes it, breaks the protocol, or the process stops.
pub(super) async fn run(stream: TcpStream, service: &Service, stop: Stop) -> io::Result<()> {
    let mut session = Session::new(service, stream.peer_addr()?, stream.local_addr()?);
    let (client, inbox) = (session.connected.client(), session.inbox.clone());
    let ended = tokio::select! {
        // First, so that who ends itself is told so.
        biased;
        ended = converse(stream, service, &mut session, stop) => ended,
        () = client.killed() => Ok(()),
        () = inbox.overflowed() => Err(io::Error::other("the client did not read what it is sent")),
    };
    session.reset(service);
    ended
}

async fn converse(
    mut stream: TcpStream,
    service: &Service,
    session: &mut Session,
    mut stop: Stop,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut from, to) = stream.split();
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let mut replies = Replies::new(to);
    let mut state = State::default();
    loop {
        loop {
            match decode(&mut input, &Limits::AUTHENTICATED, &mut state) {
                Ok(Some(request)) => execute(&request, service, session, &mut replies).await?,
                Ok(None) => break,
                Err(error) => {
                    reply::error(&mut replies.out, &error.to_string());
                    session.closing = true;
                }
            }
            if session.closing {
                return replies.close().await;
            }
            replies.send_if_many().await?;
        }
        while let Some(message) = session.inbox.at_hand() {
            message.write(&mut replies.out, session.version);
            replies.send_if_many().await?;
        }
        if !replies.out.is_empty() {
            replies.send().await?;
        }
        session.connected.note(session);
        give_back(&mut input);
        input.reserve(READ_BYTES);
        let read = tokio::select! {
            read = from.read_buf(&mut input) => read?,
            message = session.inbox.next() => {
                message.write(&mut replies.out, session.version);
                continue;
            }
            () = stop.asked() => return replies.close().await,
        };
        if read == 0 {
            return Ok(());
        }
    }
}
