//! What is sent to a connection without its asking: messages of channels, keys of its own cache that are gone.
//!
//! Messages wait until the connection's task writes them between two replies. They are bounded by their bytes: a client who does not
//! read is cut off rather than kept at the expense of the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use forebay_wire::resp::{Version, reply};
use tokio::sync::{Notify, mpsc};

/// The most bytes that wait for one connection; as many as Redis lets wait for a subscriber.
const WAITING_MAX: usize = 32 * 1024 * 1024;

/// What one message weighs beside its bytes.
const MESSAGE_BYTES: usize = 128;

/// What a connection is sent.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// To a channel that it is subscribed to.
    Published {
        /// The channel.
        channel: Bytes,
        /// The message.
        message: Bytes,
    },
    /// To a channel that matches a pattern that it is subscribed to.
    Matched {
        /// The pattern.
        pattern: Bytes,
        /// The channel.
        channel: Bytes,
        /// The message.
        message: Bytes,
    },
    /// A line of text that is no reply.
    Line(Bytes),
}

impl Message {
    fn weight(&self) -> usize {
        MESSAGE_BYTES
            + match self {
                Self::Published { channel, message } => channel.len() + message.len(),
                Self::Matched { pattern, channel, message } => pattern.len() + channel.len() + message.len(),
                Self::Line(line) => line.len(),
            }
    }

    /// Writes it as the connection's version of the protocol has it.
    pub(super) fn write(&self, out: &mut BytesMut, version: Version) {
        let words: &[&[u8]] = match self {
            Self::Published { channel, message } => &[b"message", channel, message],
            Self::Matched { pattern, channel, message } => &[b"pmessage", pattern, channel, message],
            Self::Line(line) => return reply::simple(out, &String::from_utf8_lossy(line)),
        };
        reply::push(out, version, words.len());
        words.iter().for_each(|word| reply::bulk(out, word));
    }
}

/// How much waits, and whether it was too much.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    bytes: AtomicUsize,
    overflowed: Notify,
}

impl Waiting {
    /// Waits until too much waits, so that messages are lost: the connection must end, also where it is held up by a client who does
    /// not read.
    pub(super) async fn overflowed(&self) {
        self.overflowed.notified().await;
    }
}

/// The end that others send to.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    to: mpsc::UnboundedSender<Message>,
    waiting: Arc<Waiting>,
}

impl Sender {
    /// Lets `message` wait for the connection; whether it may arrive.
    pub(super) fn send(&self, message: Message) -> bool {
        let weight = message.weight();
        let before = self.waiting.bytes.fetch_add(weight, Ordering::AcqRel);
        if before.saturating_add(weight) > WAITING_MAX {
            self.waiting.bytes.fetch_sub(weight, Ordering::AcqRel);
            self.waiting.overflowed.notify_one();
            return false;
        }
        self.to.send(message).is_ok()
    }
}

/// The connection's end, made when the first sender is.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    open: Option<(Sender, mpsc::UnboundedReceiver<Message>)>,
    waiting: Arc<Waiting>,
}

impl Inbox {
    /// An end to send to.
    pub(super) fn sender(&mut self) -> Sender {
        let (sender, _) = self.open.get_or_insert_with(|| {
            let (to, from) = mpsc::unbounded_channel();
            (Sender { to, waiting: Arc::clone(&self.waiting) }, from)
        });
        sender.clone()
    }

    /// How much waits.
    pub(super) fn waiting(&self) -> Arc<Waiting> {
        Arc::clone(&self.waiting)
    }

    /// The next message; waits for ever where nobody sends any.
    pub(super) async fn next(&mut self) -> Message {
        let Some((sender, from)) = &mut self.open else { return std::future::pending().await };
        let Some(message) = from.recv().await else { return std::future::pending().await };
        sender.waiting.bytes.fetch_sub(message.weight(), Ordering::AcqRel);
        message
    }

    /// The next message, if one waits.
    pub(super) fn at_hand(&mut self) -> Option<Message> {
        let (sender, from) = self.open.as_mut()?;
        let message = from.try_recv().ok()?;
        sender.waiting.bytes.fetch_sub(message.weight(), Ordering::AcqRel);
        Some(message)
    }
}
