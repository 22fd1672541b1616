//! What is sent to a connection without its asking: messages of channels, and lines for who monitors.
//!
//! Messages wait until the connection's task writes them between two replies. They are bounded by their bytes, for each connection and
//! for all of them: a client who does not read is cut off rather than kept at the expense of the others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use forebay::rt::Mutex;
use forebay_wire::resp::{Version, reply};
use tokio::sync::Notify;

/// The most bytes that wait for one connection; as many as Redis lets wait for a subscriber.
pub(super) const WAITING_MAX: usize = 32 * 1024 * 1024;

/// The most bytes that wait for all connections. Past them, whoever is sent more and has let much wait is cut off.
const WAITING_MAX_OF_ALL: usize = 256 * 1024 * 1024;

/// How many bytes are much once too much waits for all: a client who reads has fewer waiting.
const MUCH: usize = 1024 * 1024;

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
    /// Nothing: rights may have changed, and the connection is to look.
    Rights,
    /// Copies of keys are of no use any more.
    Invalidated {
        /// The keys; all there are where none are said.
        keys: Option<Arc<[Bytes]>>,
        /// Who has read them.
        whose: Whose,
    },
    /// The connection of this number, which is told for this one, has gone.
    RedirectionBroken(i64),
}

/// Who has the copies that a connection is told of.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    /// Its own client.
    Own,
    /// The client of another connection, which has named it. It is told as long as it has shown the token of this name, or whatever
    /// it has shown where none is said.
    Other(Option<Bytes>),
}

impl Message {
    fn weight(&self) -> usize {
        MESSAGE_BYTES
            + match self {
                Self::Published { channel, message } => channel.len() + message.len(),
                Self::Matched { pattern, channel, message } => pattern.len() + channel.len() + message.len(),
                Self::Line(line) => line.len(),
                Self::Rights => 0,
                Self::Invalidated { keys, .. } => {
                    keys.iter().flat_map(|keys| keys.iter()).map(Bytes::len).sum()
                }
                Self::RedirectionBroken(_) => 0,
            }
    }

    /// Writes it as the connection's version of the protocol has it.
    pub(super) fn write(&self, out: &mut BytesMut, version: Version) {
        let words: &[&[u8]] = match self {
            Self::Published { channel, message } => &[b"message", channel, message],
            Self::Matched { pattern, channel, message } => &[b"pmessage", pattern, channel, message],
            Self::Line(line) => return reply::simple(out, &String::from_utf8_lossy(line)),
            Self::Rights => return,
            Self::Invalidated { keys, .. } => return invalidated(keys.as_deref(), out, version),
            Self::RedirectionBroken(id) => {
                reply::push(out, version, 2);
                reply::bulk(out, b"tracking-redir-broken");
                return reply::integer(out, *id);
            }
        };
        reply::push(out, version, words.len());
        words.iter().for_each(|word| reply::bulk(out, word));
    }
}

/// Tells of copies: in RESP2 as a message of a channel.
fn invalidated(keys: Option<&[Bytes]>, out: &mut BytesMut, version: Version) {
    match version {
        Version::Resp3 => {
            reply::push(out, version, 2);
            reply::bulk(out, b"invalidate");
        }
        Version::Resp2 => {
            reply::array(out, 3);
            reply::bulk(out, b"message");
            reply::bulk(out, b"__redis__:invalidate");
        }
    }
    match keys {
        Some(keys) => {
            reply::array(out, keys.len());
            keys.iter().for_each(|key| reply::bulk(out, key));
        }
        None => reply::null(out, version),
    }
}

/// How many bytes wait for all connections. A message for several is counted for each.
#[derive(Clone, Debug, Default)]
pub(super) struct Total(Arc<AtomicUsize>);

/// Messages on their way to one connection.
#[derive(Debug)]
struct Waiting {
    total: Total,
    queue: Mutex<Queue>,
    arrived: Notify,
    overflowed: Notify,
}

/// Messages in the order of their senders, and what they weigh.
#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Too much waited: nothing waits any more, and the connection ends.
    cut_off: bool,
}

impl Waiting {
    /// Forgets all messages; takes no more.
    fn cut_off(&self, queue: &mut Queue) {
        self.total.0.fetch_sub(queue.bytes, Ordering::Relaxed);
        *queue = Queue { cut_off: true, ..Queue::default() };
        self.overflowed.notify_one();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.total.0.fetch_sub(self.queue.lock().bytes, Ordering::Relaxed);
    }
}

/// The end that others send to.
#[derive(Clone, Debug)]
pub(super) struct Sender(Arc<Waiting>);

impl Sender {
    /// Lets `message` wait for the connection; not where too much waits, and then the connection ends.
    pub(super) fn send(&self, message: Message) -> bool {
        let weight = message.weight();
        let mut queue = self.0.queue.lock();
        if queue.cut_off {
            return false;
        }
        let of_all = self.0.total.0.load(Ordering::Relaxed).saturating_add(weight);
        if queue.bytes.saturating_add(weight) > WAITING_MAX
            || of_all > WAITING_MAX_OF_ALL && queue.bytes > MUCH
        {
            self.0.cut_off(&mut queue);
            return false;
        }
        self.0.total.0.fetch_add(weight, Ordering::Relaxed);
        queue.bytes += weight;
        queue.messages.push_back(message);
        drop(queue);
        self.0.arrived.notify_one();
        true
    }
}

/// The connection's end.
#[derive(Clone, Debug)]
pub(super) struct Inbox(Arc<Waiting>);

impl Inbox {
    /// An empty one, whose messages count in `total`.
    pub(super) fn new(total: &Total) -> Self {
        Self(Arc::new(Waiting {
            total: total.clone(),
            queue: Mutex::default(),
            arrived: Notify::new(),
            overflowed: Notify::new(),
        }))
    }

    /// An end to send to.
    pub(super) fn sender(&self) -> Sender {
        Sender(Arc::clone(&self.0))
    }

    /// The next message, if one waits.
    pub(super) fn at_hand(&self) -> Option<Message> {
        let mut queue = self.0.queue.lock();
        let message = queue.messages.pop_front()?;
        let weight = message.weight();
        queue.bytes -= weight;
        self.0.total.0.fetch_sub(weight, Ordering::Relaxed);
        Some(message)
    }

    /// All messages that wait now.
    pub(super) fn take(&self) -> VecDeque<Message> {
        let mut queue = self.0.queue.lock();
        self.0.total.0.fetch_sub(std::mem::take(&mut queue.bytes), Ordering::Relaxed);
        std::mem::take(&mut queue.messages)
    }

    /// Waits until a message has come since this was last waited for; it may have been taken by now.
    pub(super) async fn arrived(&self) {
        self.0.arrived.notified().await;
    }

    /// Waits until too much waits, so that messages were lost: the connection must end, also where it is held up by a client who does
    /// not read.
    pub(super) async fn overflowed(&self) {
        self.0.overflowed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn line() -> Message {
        Message::Line(Bytes::from(vec![b'x'; MIB - MESSAGE_BYTES]))
    }

    #[test]
    fn a_connection_is_cut_off_once_too_much_waits_for_it() {
        let total = Total::default();
        let inbox = Inbox::new(&total);
        let (sender, line) = (inbox.sender(), line());
        for _ in 0..WAITING_MAX / MIB {
            assert!(sender.send(line.clone()));
        }
        assert!(!sender.send(line.clone()));
        assert_eq!(total.0.load(Ordering::Relaxed), 0, "what waited is given back at once");
        assert!(!sender.send(line), "and nothing waits any more");
        assert!(inbox.at_hand().is_none());
    }

    #[test]
    fn whoever_lets_much_wait_is_cut_off_once_too_much_waits_for_all() {
        let total = Total::default();
        let inboxes: Vec<Inbox> = (0..WAITING_MAX_OF_ALL / (16 * MIB)).map(|_| Inbox::new(&total)).collect();
        let line = line();
        for inbox in &inboxes {
            for _ in 0..16 {
                assert!(inbox.sender().send(line.clone()));
            }
        }
        assert_eq!(total.0.load(Ordering::Relaxed), WAITING_MAX_OF_ALL);
        let reader = Inbox::new(&total);
        assert!(reader.sender().send(line.clone()), "one who reads is not among them");
        assert!(inboxes.iter().take(1).all(|much| !much.sender().send(line.clone())));
        assert_eq!(total.0.load(Ordering::Relaxed), WAITING_MAX_OF_ALL - 15 * MIB);
        assert!(reader.at_hand().is_some());
        drop(inboxes);
        assert_eq!(total.0.load(Ordering::Relaxed), 0, "who ends gives back what waited");
    }
}
