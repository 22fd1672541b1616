//! Channels: who is subscribed to which, and what is sent to them.
//!
//! A message goes to those who are subscribed at this instance when it is published, at most once each for a channel and each
//! pattern, in the order of each publisher; nobody else ever gets it. A subscriber who does not read is cut off once too much waits
//! for him (`inbox.rs`). Names are short and subscriptions few enough that a publisher can look at all patterns, which he does without
//! holding up others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use forebay::rt::Mutex;
use forebay_wire::resp::{PubSubCommand, describe, glob, reply};

use super::Service;
use super::inbox::{Message, Sender};
use super::session::Session;

/// The most bytes of a channel's name, and of a pattern. Looking whether they match takes up to the product of both.
const NAME_BYTES_MAX: usize = 1024;

/// The most channels and patterns that one connection is subscribed to.
const SUBSCRIPTIONS_MAX: usize = 10_000;

/// Who is subscribed to something, by its name, and then by the number of the connection. Shared with those who just look at it, so
/// that they do so without the lock; it is copied where it changes meanwhile.
type Subscribers = HashMap<Bytes, Arc<BTreeMap<i64, Sender>>>;

/// Everybody's subscriptions.
#[derive(Debug, Default)]
pub(super) struct Channels {
    all: Mutex<[Arc<Subscribers>; 2]>,
}

/// What one connection is subscribed to: channels, and patterns of channels. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Subscriptions {
    id: i64,
    channels: Arc<Channels>,
    own: [BTreeSet<Bytes>; 2],
}

/// Why a command on channels is not carried out.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("ERR a channel's name has at most {NAME_BYTES_MAX} bytes")]
    Channel,
    #[error("ERR a pattern of channels has at most {NAME_BYTES_MAX} bytes")]
    Pattern,
    #[error("ERR a connection has at most {SUBSCRIPTIONS_MAX} subscriptions")]
    TooMany,
}

impl Subscriptions {
    /// None yet, of the connection of this number.
    pub(super) fn new(id: i64, channels: &Arc<Channels>) -> Self {
        Self { id, channels: Arc::clone(channels), own: Default::default() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.own.iter().map(BTreeSet::len).sum()
    }

    /// How many channels and how many patterns.
    pub(super) fn counts(&self) -> [usize; 2] {
        self.own.each_ref().map(BTreeSet::len)
    }

    /// Whether `channel` is among them.
    pub(super) fn has_channel(&self, channel: &[u8]) -> bool {
        let [channels, _] = &self.own;
        channels.contains(channel)
    }

    /// Whether `pattern` is among them.
    pub(super) fn has_pattern(&self, pattern: &[u8]) -> bool {
        let [_, patterns] = &self.own;
        patterns.contains(pattern)
    }

    /// Ends them for everybody else: nothing more is sent. They are still known here, for what waits.
    pub(super) fn leave(&self) {
        let [channels, patterns] = &self.own;
        self.channels.remove(To::Channels, channels, self.id);
        self.channels.remove(To::Patterns, patterns, self.id);
    }

    /// Forgets those that have been left.
    pub(super) fn forget(&mut self) {
        self.own = Default::default();
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.leave();
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

    /// Whether the name of one is short enough.
    fn checked(self, name: &[u8]) -> Result<(), Refused> {
        match self {
            _ if name.len() <= NAME_BYTES_MAX => Ok(()),
            Self::Channels => Err(Refused::Channel),
            Self::Patterns => Err(Refused::Pattern),
        }
    }
}

impl Channels {
    /// Sends `message` to those subscribed to `channel`; tells to how many.
    fn publish(&self, channel: &Bytes, message: &Bytes) -> usize {
        // Copies of their own: the publisher's request is not kept.
        let (channel, message) = (Bytes::copy_from_slice(channel), Bytes::copy_from_slice(message));
        let (subscribed, patterns) = {
            let all = self.all.lock();
            let [channels, patterns] = &*all;
            (channels.get(&channel).cloned().unwrap_or_default(), Arc::clone(patterns))
        };
        let mut sent = 0;
        for to in subscribed.values() {
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

    /// Who is subscribed now, to channels and to patterns.
    fn now(&self) -> [Arc<Subscribers>; 2] {
        self.all.lock().clone()
    }

    /// Adds a connection to the subscribers of all `names` at once, so that what is shared is copied once.
    fn add(&self, to: To, names: Vec<Bytes>, id: i64, sender: &Sender) {
        let mut all = self.all.lock();
        let all = Arc::make_mut(to.of(&mut all));
        for name in names {
            Arc::make_mut(all.entry(name).or_default()).insert(id, sender.clone());
        }
    }

    fn remove<'n>(&self, to: To, names: impl IntoIterator<Item = &'n Bytes>, id: i64) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_none() {
            return;
        }
        let mut all = self.all.lock();
        let all = Arc::make_mut(to.of(&mut all));
        for name in names {
            if let Some(subscribers) = all.get_mut(name) {
                let subscribers = Arc::make_mut(subscribers);
                subscribers.remove(&id);
                if subscribers.is_empty() {
                    all.remove(name);
                }
            }
        }
    }
}

/// Whether a command begins or ends subscriptions, which a connection of RESP2 that has some may do beside little else.
pub(super) fn is_subscription(asked: &PubSubCommand) -> bool {
    matches!(
        asked,
        PubSubCommand::Subscribe { .. }
            | PubSubCommand::PSubscribe { .. }
            | PubSubCommand::Unsubscribe { .. }
            | PubSubCommand::PUnsubscribe { .. }
    )
}

/// Carries out a command on channels.
pub(super) fn carry_out(asked: PubSubCommand, service: &Service, session: &mut Session, out: &mut BytesMut) {
    // That a subscription begins or ends is told as messages are: whether or not the client wants replies.
    let mut aside = std::mem::take(&mut session.aside);
    let told = if session.silence.is_kept() { &mut aside } else { &mut *out };
    let done = match asked {
        PubSubCommand::Subscribe { channels } => subscribe(To::Channels, &channels, service, session, told),
        PubSubCommand::PSubscribe { patterns } => subscribe(To::Patterns, &patterns, service, session, told),
        PubSubCommand::Unsubscribe { channels } => {
            unsubscribe(To::Channels, channels, service, session, told);
            Ok(())
        }
        PubSubCommand::PUnsubscribe { patterns } => {
            unsubscribe(To::Patterns, patterns, service, session, told);
            Ok(())
        }
        PubSubCommand::Publish { channel, message } => {
            To::Channels.checked(&channel).map(|()| count(out, service.channels.publish(&channel, &message)))
        }
        PubSubCommand::Channels { pattern } => list(pattern.as_ref(), service, out),
        PubSubCommand::NumSub { channels: asked } => {
            let [channels, _] = service.channels.now();
            reply::array(out, asked.len().saturating_mul(2));
            for channel in &asked {
                reply::bulk(out, channel);
                count(out, channels.get(channel).map_or(0, |subscribers| subscribers.len()));
            }
            Ok(())
        }
        PubSubCommand::NumPat => {
            let [_, patterns] = service.channels.now();
            count(out, patterns.len());
            Ok(())
        }
        PubSubCommand::Help => {
            describe::help(out, "PUBSUB");
            Ok(())
        }
    };
    session.aside = aside;
    if let Err(refused) = done {
        reply::error(out, &refused.to_string());
    }
}

/// Lists the channels that match, or all.
fn list(pattern: Option<&Bytes>, service: &Service, out: &mut BytesMut) -> Result<(), Refused> {
    pattern.map_or(Ok(()), |pattern| To::Patterns.checked(pattern))?;
    let [channels, _] = service.channels.now();
    let asked = |channel: &&Bytes| pattern.is_none_or(|pattern| glob::matches(pattern, channel));
    let channels: Vec<&Bytes> = channels.keys().filter(asked).collect();
    reply::array(out, channels.len());
    channels.iter().for_each(|channel| reply::bulk(out, channel));
    Ok(())
}

fn subscribe(
    to: To,
    names: &[Bytes],
    service: &Service,
    session: &mut Session,
    out: &mut BytesMut,
) -> Result<(), Refused> {
    names.iter().try_for_each(|name| to.checked(name))?;
    let own = to.of(&mut session.subscriptions.own);
    let more: BTreeSet<&Bytes> = names.iter().filter(|name| !own.contains(*name)).collect();
    if more.len().saturating_add(session.subscriptions.len()) > SUBSCRIPTIONS_MAX {
        return Err(Refused::TooMany);
    }
    let names: Vec<Bytes> = names.iter().map(|name| Bytes::copy_from_slice(name)).collect();
    // First here, so that they are left whatever happens between.
    for name in &names {
        to.of(&mut session.subscriptions.own).insert(name.clone());
        told(to.words().0, Some(name), session, out);
    }
    service.channels.add(to, names, session.id, &session.inbox.sender());
    Ok(())
}

/// Ends subscriptions. What waits for the client goes before the reply: behind it, he takes a message for another reply.
fn unsubscribe(to: To, names: Vec<Bytes>, service: &Service, session: &mut Session, out: &mut BytesMut) {
    let own = to.of(&mut session.subscriptions.own);
    let names = if names.is_empty() { own.iter().cloned().collect() } else { names };
    service.channels.remove(to, &names, session.id);
    session.write_waiting(out);
    if names.is_empty() {
        return told(to.words().1, None, session, out);
    }
    for name in &names {
        to.of(&mut session.subscriptions.own).remove(name);
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
