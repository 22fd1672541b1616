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
    to: To<'s>,
}

/// Where replies go.
enum To<'s> {
    Client(WriteHalf<'s>),
    /// Nowhere yet: a transaction gathers them.
    Transaction,
    /// Nowhere: the client wants none.
    Nobody,
}

impl<'s> Replies<'s> {
    fn new(to: WriteHalf<'s>) -> Self {
        Self { out: BytesMut::with_capacity(READ_BYTES), to: To::Client(to) }
    }

    /// Replies that stay where they are.
    pub(super) fn gathered() -> Self {
        Self { out: BytesMut::new(), to: To::Transaction }
    }

    /// Replies that nobody gets: when they are much, they are dropped.
    pub(super) fn dropped() -> Self {
        Self { out: BytesMut::new(), to: To::Nobody }
    }

    /// Sends what has been written once it is much; waits until the client takes it.
    pub(super) async fn send_if_many(&mut self) -> io::Result<()> {
        if self.out.len() >= REPLIES_BYTES { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Client(to) => to.write_all(&self.out).await?,
            To::Transaction => return Ok(()),
            To::Nobody => {}
        }
        self.out.clear();
        give_back(&mut self.out);
        Ok(())
    }

    /// Sends what has been written, and says that no more comes.
    async fn close(&mut self) -> io::Result<()> {
        self.send().await?;
        match &mut self.to {
            To::Client(to) => to.shutdown().await,
            To::Transaction | To::Nobody => Ok(()),
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
    let mut session = Session::new(service, stream.peer_addr()?, stream.local_addr()?, stop);
    let (client, inbox) = (session.connected.client(), session.inbox.clone());
    tokio::select! {
        // First, so that who ends itself is told so.
        biased;
        ended = converse(stream, service, &mut session) => ended,
        () = client.killed() => Ok(()),
        () = inbox.overflowed() => Err(io::Error::other("the client did not read what it is sent")),
    }
}

async fn converse(mut stream: TcpStream, service: &Service, session: &mut Session) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut from, to) = stream.split();
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let mut replies = Replies::new(to);
    let mut state = State::default();
    loop {
        // What waits comes before the replies: one of them may end what it was sent for.
        while let Some(message) = session.inbox.at_hand() {
            session.write(&message, &mut replies.out);
            replies.send_if_many().await?;
        }
        loop {
            match decode(&mut input, &Limits::AUTHENTICATED, &mut state) {
                Ok(Some(request)) => {
                    session.tally.begin();
                    execute(&request, service, session, &mut replies).await?;
                }
                Ok(None) => break,
                Err(error) => {
                    reply::error(&mut replies.out, &error.to_string());
                    session.closing = true;
                }
            }
            if session.closing {
                session.tally.end(&service.asked, session.id);
                return replies.close().await;
            }
            replies.send_if_many().await?;
        }
        session.tally.end(&service.asked, session.id);
        if !replies.out.is_empty() {
            replies.send().await?;
        }
        session.connected.note(session);
        give_back(&mut input);
        input.reserve(READ_BYTES);
        let read = tokio::select! {
            read = from.read_buf(&mut input) => read?,
            () = session.served.moved() => {
                // An idle connection keeps nothing that is no longer declared.
                session.follow();
                continue;
            }
            message = session.inbox.next() => {
                session.write(&message, &mut replies.out);
                continue;
            }
            () = session.stop.asked() => return replies.close().await,
        };
        if read == 0 {
            return Ok(());
        }
    }
}
