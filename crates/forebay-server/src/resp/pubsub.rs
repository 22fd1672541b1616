//! Channels: who is subscribed to which, and what is sent to them.
//!
//! A message goes to those who are subscribed at this instance when it is published, at most once each for a channel and each
//! pattern, in the order of the publishers; nobody else ever gets it. A subscriber who does not read is cut off once too much waits
//! for him (`inbox.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::{Bytes, BytesMut};
use forebay::rt::Mutex;
use forebay_wire::resp::{PubSubCommand, describe, glob, reply};

use super::Service;
use super::inbox::{Message, Sender};
use super::session::Session;

/// Who is subscribed to something, by its name, and then by the number of the connection.
type Subscribers = HashMap<Bytes, BTreeMap<i64, Sender>>;

/// Everybody's subscriptions.
#[derive(Debug, Default)]
pub(super) struct Channels {
    all: Mutex<[Subscribers; 2]>,
}

/// What one connection is subscribed to: channels, and patterns of channels.
#[derive(Debug, Default)]
pub(super) struct Subscriptions([BTreeSet<Bytes>; 2]);

impl Subscriptions {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(BTreeSet::len).sum()
    }

    /// How many channels and how many patterns.
    pub(super) fn counts(&self) -> [usize; 2] {
        self.0.each_ref().map(BTreeSet::len)
    }
}

/// What is subscribed to.
#[derive(Clone, Copy)]
enum To {
    Channels,
    Patterns,
}

impl To {
    /// Its place among the two.
    fn of<T>(self, [channels, patterns]: &mut [T; 2]) -> &mut T {
        match self {
            Self::Channels => channels,
            Self::Patterns => patterns,
        }
    }

    /// The first word of the answer to a subscription, and to its end.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Channels => ("subscribe", "unsubscribe"),
            Self::Patterns => ("psubscribe", "punsubscribe"),
        }
    }
}

impl Channels {
    /// Sends `message` to those subscribed to `channel`; tells to how many.
    fn publish(&self, channel: &Bytes, message: &Bytes) -> usize {
        // Copies of their own: the publisher's request is not kept.
        let (channel, message) = (Bytes::copy_from_slice(channel), Bytes::copy_from_slice(message));
        let all = self.all.lock();
        let [channels, patterns] = &*all;
        let mut sent = 0;
        for to in channels.get(&channel).into_iter().flat_map(BTreeMap::values) {
            let (channel, message) = (channel.clone(), message.clone());
            sent += usize::from(to.send(Message::Published { channel, message }));
        }
        for (pattern, to) in patterns.iter().filter(|(pattern, _)| glob::matches(pattern, &channel)) {
            for to in to.values() {
                let (pattern, channel, message) = (pattern.clone(), channel.clone(), message.clone());
                sent += usize::from(to.send(Message::Matched { pattern, channel, message }));
            }
        }
        sent
    }

    fn add(&self, to: To, name: &Bytes, id: i64, sender: &Sender) {
        let mut all = self.all.lock();
        to.of(&mut all).entry(name.clone()).or_default().insert(id, sender.clone());
    }

    fn remove(&self, to: To, name: &Bytes, id: i64) {
        let mut all = self.all.lock();
        let names = to.of(&mut all);
        if let Some(subscribers) = names.get_mut(name) {
            subscribers.remove(&id);
            if subscribers.is_empty() {
                names.remove(name);
            }
        }
    }

    /// Ends everything that a connection is subscribed to.
    pub(super) fn leave(&self, id: i64, left: &mut Subscriptions) {
        for to in [To::Channels, To::Patterns] {
            for name in std::mem::take(to.of(&mut left.0)) {
                self.remove(to, &name, id);
            }
        }
    }
}

/// Carries out a command on channels.
pub(super) fn carry_out(asked: PubSubCommand, service: &Service, session: &mut Session, out: &mut BytesMut) {
    match asked {
        PubSubCommand::Subscribe { channels } => subscribe(To::Channels, &channels, service, session, out),
        PubSubCommand::PSubscribe { patterns } => subscribe(To::Patterns, &patterns, service, session, out),
        PubSubCommand::Unsubscribe { channels } => unsubscribe(To::Channels, channels, service, session, out),
        PubSubCommand::PUnsubscribe { patterns } => {
            unsubscribe(To::Patterns, patterns, service, session, out)
        }
        PubSubCommand::Publish { channel, message } => {
            count(out, service.channels.publish(&channel, &message));
        }
        PubSubCommand::Channels { pattern } => {
            let all = service.channels.all.lock();
            let [channels, _] = &*all;
            let asked =
                |channel: &&Bytes| pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, channel));
            let channels: Vec<&Bytes> = channels.keys().filter(asked).collect();
            reply::array(out, channels.len());
            channels.iter().for_each(|channel| reply::bulk(out, channel));
        }
        PubSubCommand::NumSub { channels: asked } => {
            let all = service.channels.all.lock();
            let [channels, _] = &*all;
            reply::map(out, session.version, asked.len());
            for channel in &asked {
                reply::bulk(out, channel);
                count(out, channels.get(channel).map_or(0, BTreeMap::len));
            }
        }
        PubSubCommand::NumPat => {
            let all = service.channels.all.lock();
            let [_, patterns] = &*all;
            count(out, patterns.len());
        }
        PubSubCommand::Help => describe::help(out, "PUBSUB"),
    }
}

fn subscribe(to: To, names: &[Bytes], service: &Service, session: &mut Session, out: &mut BytesMut) {
    let sender = session.inbox.sender();
    for name in names {
        let name = Bytes::copy_from_slice(name);
        service.channels.add(to, &name, session.id, &sender);
        to.of(&mut session.subscriptions.0).insert(name.clone());
        told(to.words().0, Some(&name), session, out);
    }
}

fn unsubscribe(to: To, names: Vec<Bytes>, service: &Service, session: &mut Session, out: &mut BytesMut) {
    let own = to.of(&mut session.subscriptions.0);
    let names = if names.is_empty() { own.iter().cloned().collect() } else { names };
    if names.is_empty() {
        return told(to.words().1, None, session, out);
    }
    for name in &names {
        service.channels.remove(to, name, session.id);
        to.of(&mut session.subscriptions.0).remove(name);
        told(to.words().1, Some(name), session, out);
    }
}

/// Tells that a subscription has begun or ended, and how many there are now.
fn told(what: &str, name: Option<&Bytes>, session: &Session, out: &mut BytesMut) {
    reply::push(out, session.version, 3);
    reply::bulk(out, what.as_bytes());
    match name {
        Some(name) => reply::bulk(out, name),
        None => reply::null(out, session.version),
    }
    count(out, session.subscriptions.len());
}

fn count(out: &mut BytesMut, count: usize) {
    reply::integer(out, i64::try_from(count).unwrap_or(i64::MAX));
}
