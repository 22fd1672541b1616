//! Replies on their way to a client.
//!
//! They are gathered while further whole requests are at hand, so that a pipeline costs one write; they are sent early when they pass a
//! bound, also within one long reply, so that a client that does not read holds no more than that, one value and the socket's own buffer.

use std::io;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use forebay::rt::Clock;
use forebay_wire::resp::reply;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio_rustls::server::TlsStream;

use super::buffers;

/// Replies are sent when they pass this many bytes.
const REPLIES_BYTES: usize = 64 * 1024;

/// The longest without a client taking any of its replies.
const STALLED: Duration = Duration::from_secs(60);

/// Replies to one client.
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
pub(super) enum Client<'s> {
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
    pub(super) fn new(to: Client<'s>, clock: Clock) -> Self {
        Self { out: BytesMut::new(), whole: Some(0), to: To::Client(to, clock) }
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
    pub(super) fn begin(&mut self) {
        buffers::take_up(&mut self.out);
        self.whole = Some(self.out.len());
    }

    /// Sends what has been written once it is much; waits until the client takes it.
    pub(super) async fn send_if_many(&mut self) -> io::Result<()> {
        if self.out.len() >= REPLIES_BYTES {
            self.send().await?;
            // More is to come.
            buffers::take_up(&mut self.out);
        }
        Ok(())
    }

    pub(super) async fn send(&mut self) -> io::Result<()> {
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
        buffers::put_down(&mut self.out);
        Ok(())
    }

    /// Says that the request that is carried out has failed for no fault of its own, where its reply has not begun to be sent, and sends
    /// the replies to those before it.
    pub(super) async fn apologize(&mut self) -> io::Result<()> {
        let Some(whole) = self.whole else { return Ok(()) };
        self.out.truncate(whole);
        reply::error(
            &mut self.out,
            "ERR internal error: the server made a mistake with this request; it has been noted",
        );
        self.close().await
    }

    /// Sends what has been written, and says that no more comes.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.send().await?;
        match &mut self.to {
            To::Client(to, _) => to.shutdown().await,
            To::Transaction | To::Nobody => Ok(()),
        }
    }
}
