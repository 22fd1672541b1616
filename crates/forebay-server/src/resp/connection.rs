//! One connection: bytes in, requests carried out one after the other, replies out.
//!
//! A memory hit is answered without leaving this loop. What only seldom happens is kept out of what each connection holds while it waits:
//! its buffers lie with its thread (`buffers.rs`), and what carries out a request that memory does not answer is made when there is one.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use forebay::Keyspace;
use forebay::rt::{Clock, Tick};
use forebay_wire::resp::{State, decode, reply};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::execute::execute;
use super::hit::{self, Arrived};
use super::inbox::Inbox;
use super::replies::{Client, Replies};
use super::session::Session;
use super::{Service, buffers, rights};
use crate::keyspaces::View;
use crate::observe::Origin;
use crate::panics::{Panicked, caught};
use crate::seldom::seldom;
use crate::stop::Stop;

/// Who is asked for a token shows one within this time.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// What a client sends after the last reply is taken for so long, so that the system does not cut off the reply.
const LINGER: Duration = Duration::from_secs(1);

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
    let ended = {
        // Pinned here: whoever is handed a future itself has room for it twice.
        let mut conversation = pin!(converse(&mut from, &mut replies, service, &mut session));
        tokio::select! {
            // First, so that who ends itself is told so.
            biased;
            ended = caught(origin.serve(conversation.as_mut())) => ended,
            cut_off = cut_off => return cut_off,
        }
    };
    match ended {
        Ok(ended) => ended,
        Err(Panicked) => {
            tracing::error!(command = session.command, "a request panicked");
            replies.apologize().await.map(|()| End::Ours)
        }
    }
}

/// Takes for a while what the client still sends: what is unread when a socket is closed makes the system cut off the last replies.
async fn linger(stream: &mut (impl AsyncRead + Unpin), clock: &Clock) {
    let all = async {
        let mut taken = vec![0; 4096];
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
        read = buffers::read(from, input) => Some(read),
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
    let mut input = BytesMut::new();
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
        let read = tokio::select! {
            // First, so that what has come by the end of the process is answered.
            biased;
            read = buffers::read(from, &mut input) => read?,
            call = &mut called => {
                match call {
                    // An idle connection keeps nothing that is no longer declared.
                    Call::Moved => session.look_again(),
                    Call::Sent => {}
                    Call::Stop => match last(from, &mut input).await {
                        Some(read) => if read? == 0 { return Ok(End::Theirs) },
                        None => return replies.close().await.map(|()| End::Ours),
                    },
                }
                called.set(next_call(session));
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
    let limits = &session.served.now().limits;
    let namespaces = hit::look_ahead(arrived, keyspace.as_deref().filter(|_| is_plain), limits);
    for (arrived, namespace) in arrived.iter().zip(namespaces) {
        session.tally.begin(&service.clock);
        replies.begin();
        let mut answer =
            |namespace| is_plain && hit::answer(arrived, namespace, service, session, &mut replies.out);
        if !namespace.is_some_and(&mut answer) {
            Box::pin(execute(&arrived.request, service, session, replies)).await?;
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

#[cfg(test)]
mod tests {
    use forebay::Forebay;
    use tokio::net::TcpListener;

    use super::*;
    use crate::resp::served::{Served, in_service};

    /// What thousands of connections hold that do nothing.
    #[tokio::test]
    async fn a_connection_that_waits_is_small() {
        let engine = Forebay::builder().build().unwrap();
        let served = Served::new(engine, in_service([])).await;
        let (_stop, stopped) = crate::stop::channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let run = run(stream, &served.service, stopped);
        assert!(size_of_val(&run) <= 8 * 1024, "{} bytes", size_of_val(&run));
    }
}
