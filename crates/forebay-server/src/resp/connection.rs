//! One connection: bytes in, requests carried out one after the other, replies out.
//!
//! A memory hit is answered without leaving this loop. Replies are gathered while further whole requests are at hand, so
//! that a pipeline costs one write; they are sent early when they pass a bound, also within one long reply, so that a client
//! that does not read holds no more than that, one value and the socket's own buffer. Buffers that one large request or
//! reply has made grow are given back.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use forebay::Keyspace;
use forebay::rt::{Clock, Tick};
use forebay_wire::resp::{State, decode, reply};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio_rustls::server::TlsStream;

use super::execute::execute;
use super::hit::{self, Arrived};
use super::inbox::Inbox;
use super::session::Session;
use super::{Service, rights};
use crate::keyspaces::View;
use crate::observe::Origin;
use crate::panics::{Panicked, caught};
use crate::seldom::seldom;
use crate::stop::Stop;

/// Replies are sent when they pass this many bytes.
const REPLIES_BYTES: usize = 64 * 1024;
/// Room made for each read from the socket, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// Who is asked for a token shows one within this time.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// A connection keeps no buffer larger than this many bytes while it waits.
const KEPT_BYTES: usize = 4 * REPLIES_BYTES;

/// The longest without a client taking any of its replies.
const STALLED: Duration = Duration::from_secs(60);

/// What a client sends after the last reply is taken for so long, so that the system does not cut off the reply.
const LINGER: Duration = Duration::from_secs(1);

/// Replies on their way to a client.
pub(super) struct Replies<'s> {
    /// Written, but not sent.
    pub(super) out: BytesMut,
    /// How much of it are replies to requests before the one that is carried out; nothing where a part of its own has been sent.
    whole: Option<usize>,
    to: To<'s>,
}

/// Where replies go.
enum To<'s> {
    Client(Client<'s>, Clock),
    /// Nowhere yet: a transaction gathers them.
    Transaction,
    /// Nowhere: the client wants none.
    Nobody,
}

/// The way to a client. Whoever writes a reply need not know which it is.
enum Client<'s> {
    Plain(WriteHalf<'s>),
    Secure(tokio::io::WriteHalf<&'s mut TlsStream<TcpStream>>),
}

impl Client<'_> {
    /// Sends some of `bytes`, how many: all the system takes at once.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(to) => to.write(bytes).await,
            Self::Secure(to) => {
                let sent = to.write(bytes).await?;
                // What has been encrypted, which is bounded, is on its way only then.
                to.flush().await?;
                Ok(sent)
            }
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.shutdown().await,
            Self::Secure(to) => to.shutdown().await,
        }
    }
}

impl<'s> Replies<'s> {
    fn new(to: Client<'s>, clock: Clock) -> Self {
        Self { out: BytesMut::with_capacity(READ_BYTES), whole: Some(0), to: To::Client(to, clock) }
    }

    /// Replies that stay where they are.
    pub(super) fn gathered() -> Self {
        Self { out: BytesMut::new(), whole: None, to: To::Transaction }
    }

    /// Replies that nobody gets: when they are much, they are dropped.
    pub(super) fn dropped() -> Self {
        Self { out: BytesMut::new(), whole: None, to: To::Nobody }
    }

    /// What comes is the reply to the next request.
    fn begin(&mut self) {
        self.whole = Some(self.out.len());
    }

    /// Sends what has been written once it is much; waits until the client takes it.
    pub(super) async fn send_if_many(&mut self) -> io::Result<()> {
        if self.out.len() >= REPLIES_BYTES { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Client(to, clock) => {
                while !self.out.is_empty() {
                    let sent = clock.timeout(STALLED, to.write(&self.out)).await;
                    match sent.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
                        0 => return Err(io::ErrorKind::WriteZero.into()),
                        sent if sent == self.out.len() => break,
                        sent => self.out.advance(sent),
                    }
                }
            }
            To::Transaction => return Ok(()),
            To::Nobody => {}
        }
        self.out.clear();
        self.whole = None;
        give_back(&mut self.out);
        Ok(())
    }

    /// Says that the request that is carried out has failed for no fault of its own, where its reply has not begun to be sent, and sends
    /// the replies to those before it.
    async fn apologize(&mut self) -> io::Result<()> {
        let Some(whole) = self.whole else { return Ok(()) };
        self.out.truncate(whole);
        reply::error(
            &mut self.out,
            "ERR internal error: the server made a mistake with this request; it has been noted",
        );
        self.close().await
    }

    /// Sends what has been written, and says that no more comes.
    async fn close(&mut self) -> io::Result<()> {
        self.send().await?;
        match &mut self.to {
            To::Client(to, _) => to.shutdown().await,
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

/// How a connection ended.
enum End {
    /// The client has closed it.
    Theirs,
    /// The last reply was sent.
    Ours,
}

/// Serves a connection until the client closes it, breaks the protocol, or the process stops. A panic ends the connection, with an error
/// reply to the request that it happened in; requests before that have their replies.
pub(super) async fn run(mut stream: TcpStream, service: &Service, stop: Stop) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let session = Session::new(service, stream.peer_addr()?, stream.local_addr()?, stop);
    let (from, to) = stream.split();
    match serve(from, Client::Plain(to), service, session).await? {
        End::Ours => linger(&mut stream, &service.clock).await,
        End::Theirs => {}
    }
    Ok(())
}

/// The same for a connection within TLS.
pub(super) async fn run_secure(
    mut stream: Box<TlsStream<TcpStream>>,
    service: &Service,
    stop: Stop,
) -> io::Result<()> {
    let tcp = stream.get_ref().0;
    tcp.set_nodelay(true)?;
    let session = Session::new(service, tcp.peer_addr()?, tcp.local_addr()?, stop);
    let (from, to) = tokio::io::split(&mut *stream);
    match serve(from, Client::Secure(to), service, session).await? {
        End::Ours => linger(&mut *stream, &service.clock).await,
        End::Theirs => {}
    }
    Ok(())
}

async fn serve(
    mut from: impl AsyncRead + Unpin,
    to: Client<'_>,
    service: &Service,
    mut session: Session,
) -> io::Result<End> {
    let (client, inbox) = (session.connected.client(), session.inbox.clone());
    let (changes, waker) = (service.door.watch(), session.inbox.sender());
    let cut_off = seldom(async {
        tokio::select! {
            () = client.killed() => Ok(End::Theirs),
            never = rights::wake(changes, waker) => match never {},
            () = inbox.overflowed() => Err(io::Error::other("the client did not read what it is sent")),
        }
    });
    let origin = Origin::Connection(session.id);
    let mut replies = Replies::new(to, service.clock.clone());
    tokio::select! {
        // First, so that who ends itself is told so.
        biased;
        ended = caught(origin.serve(converse(&mut from, &mut replies, service, &mut session))) => match ended {
            Ok(ended) => ended,
            Err(Panicked) => {
                tracing::error!(command = session.command, "a request panicked");
                replies.apologize().await.map(|()| End::Ours)
            }
        },
        cut_off = cut_off => cut_off,
    }
}

/// Takes for a while what the client still sends: what is unread when a socket is closed makes the system cut off the last replies.
async fn linger(stream: &mut (impl AsyncRead + Unpin), clock: &Clock) {
    let all = async {
        let mut taken = [0; 4096];
        while stream.read(&mut taken).await.is_ok_and(|read| read > 0) {}
    };
    // Who sends on and on is cut off.
    let _ = clock.timeout(LINGER, all).await;
}

/// What has come when the process is to end, and was not seen before; `None` where there is nothing.
async fn last(from: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> Option<io::Result<usize>> {
    // The system is asked what has come before this goes on.
    tokio::task::yield_now().await;
    tokio::select! {
        biased;
        read = from.read_buf(input) => Some(read),
        () = std::future::ready(()) => None,
    }
}

/// Writes the messages that wait.
async fn send_waiting(session: &Session, replies: &mut Replies<'_>) -> io::Result<()> {
    while let Some(message) = session.inbox.at_hand() {
        session.write(&message, &mut replies.out);
        replies.send_if_many().await?;
    }
    Ok(())
}

/// What a connection that waits for its client is called away for.
enum Call {
    /// Other keyspaces may be in service.
    Moved,
    /// Messages wait.
    Sent,
    /// The process is to end.
    Stop,
}

/// Waits for the next call of a connection.
async fn call(mut served: View, inbox: Inbox, mut stop: Stop) -> Call {
    tokio::select! {
        () = served.moved() => Call::Moved,
        () = inbox.arrived() => Call::Sent,
        () = stop.asked() => Call::Stop,
    }
}

async fn converse(
    from: &mut (impl AsyncRead + Unpin),
    replies: &mut Replies<'_>,
    service: &Service,
    session: &mut Session,
) -> io::Result<End> {
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let (mut state, mut arrived) = (State::default(), Vec::new());
    let mut unknown_since = None;
    let next_call =
        |session: &Session| seldom(call(session.served.clone(), session.inbox.clone(), session.stop.clone()));
    let mut called = pin!(next_call(session));
    loop {
        // What waits comes before the replies: one of them may end what it was sent for.
        send_waiting(session, replies).await?;
        if session.rights.have_changed() {
            rights::judge_again(session);
        }
        if !session.closing {
            answer_all(&mut input, &mut state, &mut arrived, replies, service, session).await?;
        }
        let left = patience(session, &mut unknown_since, &service.clock);
        if session.closing || left == Some(Duration::ZERO) {
            return replies.close().await.map(|()| End::Ours);
        }
        if !replies.out.is_empty() {
            replies.send().await?;
        }
        session.note();
        give_back(&mut input);
        input.reserve(READ_BYTES);
        let read = tokio::select! {
            // First, so that what has come by the end of the process is answered.
            biased;
            read = from.read_buf(&mut input) => read?,
            call = &mut called => {
                called.set(next_call(session));
                match call {
                    // An idle connection keeps nothing that is no longer declared.
                    Call::Moved => session.look_again(),
                    Call::Sent => {}
                    Call::Stop => match last(from, &mut input).await {
                        Some(read) => if read? == 0 { return Ok(End::Theirs) },
                        None => return replies.close().await.map(|()| End::Ours),
                    },
                }
                continue;
            }
            () = service.clock.sleep(left.unwrap_or_default()), if left.is_some() => continue,
        };
        if read == 0 {
            return Ok(End::Theirs);
        }
    }
}

/// Carries out the requests that have come whole, until the connection is to end. What memory may answer is gathered before it is.
async fn answer_all(
    input: &mut BytesMut,
    state: &mut State,
    arrived: &mut Vec<Arrived>,
    replies: &mut Replies<'_>,
    service: &Service,
    session: &mut Session,
) -> io::Result<()> {
    let mut is_more = true;
    while is_more && !session.closing {
        let mut broken = None;
        is_more = loop {
            match decode(input, session.rights.limits(), state) {
                Ok(Some(request)) => {
                    arrived.push(Arrived::new(request));
                    // What may be sent next can depend on any other request.
                    if arrived.len() == hit::AHEAD_MAX || !arrived.last().is_some_and(Arrived::is_simple) {
                        break true;
                    }
                }
                Ok(None) => break false,
                Err(error) => {
                    broken = Some(error);
                    break false;
                }
            }
        };
        let answered = answer_each(arrived, replies, service, session).await;
        // Nothing of what was asked is kept while the connection waits.
        arrived.clear();
        answered?;
        if let Some(error) = broken.filter(|_| !session.closing) {
            replies.begin();
            reply::error(&mut replies.out, &error.to_string());
            session.closing = true;
        }
    }
    session.tally.end(&service.asked, session.id);
    Ok(())
}

/// Carries out requests one after the other, until the connection is to end. All but the last may be answered by memory.
async fn answer_each(
    arrived: &[Arrived],
    replies: &mut Replies<'_>,
    service: &Service,
    session: &mut Session,
) -> io::Result<()> {
    // What is being carried out counts too, for who asks how much was.
    service.commands.fetch_add(u64::try_from(arrived.len()).unwrap_or_default(), Ordering::Relaxed);
    let mut is_plain = hit::is_plain(service, session);
    let keyspace = session.keyspace.clone();
    let namespaces = hit::look_ahead(arrived, keyspace.as_deref().filter(|_| is_plain));
    for (arrived, namespace) in arrived.iter().zip(namespaces) {
        session.tally.begin(&service.clock);
        replies.begin();
        let mut answer =
            |namespace| is_plain && hit::answer(arrived, namespace, service, session, &mut replies.out);
        if !namespace.is_some_and(&mut answer) {
            execute(&arrived.request, service, session, replies).await?;
            is_plain = hit::is_plain(service, session) && same(&keyspace, &session.keyspace);
        }
        if session.closing {
            break;
        }
        // Behind the reply, as Redis does: what the command itself has made of no use.
        if session.tracked.is_some() {
            send_waiting(session, replies).await?;
        }
        replies.send_if_many().await?;
    }
    Ok(())
}

/// Whether the keyspace is still the one that it was.
fn same(before: &Option<Arc<Keyspace>>, now: &Option<Arc<Keyspace>>) -> bool {
    before.as_ref().map(Arc::as_ptr) == now.as_ref().map(Arc::as_ptr)
}

/// How long the connection may still be one of which nobody knows who it is, which it became at `since`; `None` where it is known.
fn patience(session: &Session, since: &mut Option<Tick>, clock: &Clock) -> Option<Duration> {
    if !session.rights.is_unknown() {
        *since = None;
        return None;
    }
    let now = clock.now();
    Some(UNKNOWN_FOR.saturating_sub(now.since(*since.get_or_insert(now))))
}
