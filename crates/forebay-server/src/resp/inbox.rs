//! What is sent to a connection without its asking: messages of channels, keys of its own cache that are gone.
//!
//! Messages wait until the connection's task writes them between two replies. They are bounded by their bytes: a client who does not
//! read is cut off rather than kept at the expense of the others.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use forebay::rt::Mutex;
use forebay_wire::resp::{Version, reply};
use tokio::sync::Notify;

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

/// Messages on their way to one connection.
#[derive(Debug, Default)]
struct Waiting {
    queue: Mutex<Queue>,
    arrived: Notify,
    overflowed: Notify,
}

/// Messages in the order of their senders, and what they weigh.
#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
}

/// The end that others send to.
#[derive(Clone, Debug)]
pub(super) struct Sender(Arc<Waiting>);

impl Sender {
    /// Lets `message` wait for the connection; not where too much waits, and then the connection ends.
    pub(super) fn send(&self, message: Message) -> bool {
        let weight = message.weight();
        let mut queue = self.0.queue.lock();
        if queue.bytes.saturating_add(weight) > WAITING_MAX {
            self.0.overflowed.notify_one();
            return false;
        }
        queue.bytes += weight;
        queue.messages.push_back(message);
        drop(queue);
        self.0.arrived.notify_one();
        true
    }
}

/// The connection's end.
#[derive(Clone, Debug, Default)]
pub(super) struct Inbox(Arc<Waiting>);

impl Inbox {
    /// An end to send to.
    pub(super) fn sender(&self) -> Sender {
        Sender(Arc::clone(&self.0))
    }

    /// The next message, if one waits.
    pub(super) fn at_hand(&self) -> Option<Message> {
        let mut queue = self.0.queue.lock();
        let message = queue.messages.pop_front()?;
        queue.bytes -= message.weight();
        Some(message)
    }

    /// The next message.
    pub(super) async fn next(&self) -> Message {
        loop {
            if let Some(message) = self.at_hand() {
                return message;
            }
            self.0.arrived.notified().await;
        }
    }

    /// Waits until too much waits, so that messages were lost: the connection must end, also where it is held up by a client who does
    /// not read.
    pub(super) async fn overflowed(&self) {
        self.0.overflowed.notified().await;
    }
}
