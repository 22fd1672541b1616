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

/// The most patterns of all connections, one that several have counted once: a publisher looks at each of them.
const PATTERNS_MAX_OF_ALL: usize = 100_000;

/// A publisher lets others go on after looking at patterns in about so many steps.
const STEPS_AT_A_STRETCH: usize = 1 << 20;

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
    #[error(
        "ERR all connections have at most {PATTERNS_MAX_OF_ALL} patterns: subscribe to channels by their names"
    )]
    TooManyOfAll,
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
    async fn publish(&self, channel: &Bytes, message: &Bytes) -> usize {
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
        let mut steps = 0;
        for (pattern, to) in &*patterns {
            steps += pattern.len().saturating_mul(channel.len()).saturating_add(1);
            if steps > STEPS_AT_A_STRETCH {
                steps = 0;
                tokio::task::yield_now().await;
            }
            if !glob::matches(pattern, &channel) {
                continue;
            }
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

    /// Adds a connection to the subscribers of all `names` at once, so that what is shared is copied once; whether there is room for them.
    fn add(&self, to: To, names: &BTreeSet<Bytes>, id: i64, sender: &Sender) -> bool {
        let mut all = self.all.lock();
        let all = to.of(&mut all);
        let more = names.iter().filter(|name| !all.contains_key(*name)).count();
        if matches!(to, To::Patterns) && all.len().saturating_add(more) > PATTERNS_MAX_OF_ALL {
            return false;
        }
        let all = Arc::make_mut(all);
        for name in names {
            Arc::make_mut(all.entry(name.clone()).or_default()).insert(id, sender.clone());
        }
        true
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
pub(super) async fn carry_out(
    asked: PubSubCommand,
    service: &Service,
    session: &mut Session,
    out: &mut BytesMut,
) {
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
        PubSubCommand::Publish { channel, message } => match To::Channels.checked(&channel) {
            Ok(()) => {
                let sent = service.channels.publish(&channel, &message).await;
                // A message of its own comes before the reply, as in Redis, whether or not that is wanted.
                session.write_waiting(told);
                count(out, sent);
                Ok(())
            }
            refused => refused,
        },
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
    let more: BTreeSet<Bytes> =
        names.iter().filter(|name| !own.contains(*name)).map(|name| Bytes::copy_from_slice(name)).collect();
    if more.len().saturating_add(session.subscriptions.len()) > SUBSCRIPTIONS_MAX {
        return Err(Refused::TooMany);
    }
    let begun = out.len();
    // First here, so that they are left whatever happens between.
    for name in names {
        if let Some(name) = more.get(name) {
            to.of(&mut session.subscriptions.own).insert(name.clone());
        }
        told(to.words().0, Some(name), session, out);
    }
    if !service.channels.add(to, &more, session.id, &session.inbox.sender()) {
        out.truncate(begun);
        to.of(&mut session.subscriptions.own).retain(|name| !more.contains(name));
        return Err(Refused::TooManyOfAll);
    }
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::super::inbox::{Inbox, Total};
    use super::*;

    /// Patterns that take long to be matched to a channel: others have their turn meanwhile.
    #[test]
    fn who_publishes_to_many_patterns_lets_others_go_between() {
        let channels = Arc::new(Channels::default());
        let inbox = Inbox::new(&Total::default());
        let pattern = |number: usize| Bytes::from(format!("*{}{number}", "a*".repeat(400)));
        let patterns: BTreeSet<Bytes> = (0..200).map(pattern).chain([Bytes::from("*")]).collect();
        assert!(channels.add(To::Patterns, &patterns, 7, &inbox.sender()));
        let (channel, message) = (Bytes::from("a".repeat(NAME_BYTES_MAX)), Bytes::from("m"));
        let mut publish = pin!(channels.publish(&channel, &message));
        let mut context = Context::from_waker(Waker::noop());
        let mut pauses = 0;
        let sent = loop {
            match publish.as_mut().poll(&mut context) {
                Poll::Ready(sent) => break sent,
                Poll::Pending => pauses += 1,
            }
        };
        assert_eq!(sent, 1);
        assert!(pauses >= 50, "{pauses} pauses");
        let channel = Bytes::from("b");
        let mut short = pin!(channels.publish(&channel, &message));
        assert!(short.as_mut().poll(&mut context).is_ready(), "what is short is not cut");
    }

    #[test]
    fn patterns_are_bounded_for_all() {
        let channels = Arc::new(Channels::default());
        let inbox = Inbox::new(&Total::default());
        let patterns =
            |from: usize| (from..from + SUBSCRIPTIONS_MAX).map(|n| Bytes::from(format!("{n}*"))).collect();
        for round in 0..PATTERNS_MAX_OF_ALL / SUBSCRIPTIONS_MAX {
            assert!(channels.add(To::Patterns, &patterns(round * SUBSCRIPTIONS_MAX), 7, &inbox.sender()));
        }
        assert!(!channels.add(To::Patterns, &[Bytes::from("more*")].into(), 8, &inbox.sender()));
        assert!(
            channels.add(To::Patterns, &[Bytes::from("1*")].into(), 8, &inbox.sender()),
            "others have it"
        );
        let [_, all] = channels.now();
        assert_eq!(all.len(), PATTERNS_MAX_OF_ALL);
    }
}
