//! What one connection has said of itself: its keyspace, its protocol version, its name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use forebay::{Blob, Keyspace, Namespace, ReadOutcome};
use forebay_wire::resp::Version;

use super::Service;
use super::clients::Connected;
use super::inbox::{Inbox, Message, WAITING_MAX, Whose};
use super::monitor::Monitoring;
use super::pubsub::Subscriptions;
use super::rights::{self, Rights};
use super::tracking::{Reading, Tracked};
use super::transaction::Queue;
use super::watch::Watch;
use crate::keyspaces::View;
use crate::observe::commands::Tally;
use crate::stop::Stop;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: i64,
    /// What it may do.
    pub(super) rights: Rights,
    /// Its place among all connections.
    pub(super) connected: Connected,
    /// Nothing of it but its last command and the time is other than was noted there.
    pub(super) is_as_noted: bool,
    /// The name of its last command.
    pub(super) command: &'static str,
    /// The keyspaces in service, as it saw them last: one command sees no others than it began with.
    pub(super) served: View,
    pub(super) db: u32,
    /// The keyspace of `db` among them; none where that number is not declared.
    pub(super) keyspace: Option<Arc<Keyspace>>,
    pub(super) version: Version,
    pub(super) name: Bytes,
    pub(super) library: Bytes,
    pub(super) library_version: Bytes,
    /// Which of its commands are not answered.
    pub(super) silence: Silence,
    /// What is sent of a command that is not answered: that subscriptions have begun or ended.
    pub(super) aside: BytesMut,
    /// What it is sent without asking.
    pub(super) inbox: Inbox,
    /// The channels whose messages it is sent.
    pub(super) subscriptions: Subscriptions,
    /// It is told when what it has read is of no use any more.
    pub(super) tracked: Option<Tracked>,
    /// What it reads by the command that is carried out, where it tracks that.
    pub(super) reading: Option<Reading>,
    /// It is sent what others ask for.
    pub(super) monitoring: Option<Monitoring>,
    /// Commands that wait for `EXEC`, between `MULTI` and that.
    pub(super) queue: Option<Queue>,
    /// While a transaction is carried out: messages that go before its reply.
    pub(super) held: Option<BytesMut>,
    /// The keys that it watches, and whether they have changed.
    pub(super) watch: Option<Watch>,
    /// The reply to the last command was the last: close.
    pub(super) closing: bool,
    /// Hears that the process is to end.
    pub(super) stop: Stop,
    /// What it has asked for that came together.
    pub(super) tally: Tally,
}

/// Which commands of a connection are not answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Silence {
    /// None is, until `CLIENT REPLY ON`.
    pub(super) off: bool,
    /// The one that is carried out is not.
    pub(super) this: bool,
    /// The next one is not.
    pub(super) next: bool,
}

impl Silence {
    /// Goes on to the next command; whether it is not answered.
    pub(super) fn begin(&mut self) -> bool {
        self.this = std::mem::take(&mut self.next);
        self.is_kept()
    }

    /// Whether any command is not answered: the one that is carried out, or that comes next.
    pub(super) fn is_any(&self) -> bool {
        self.off || self.this || self.next
    }

    /// Whether the command that is carried out is not answered.
    pub(super) fn is_kept(&self) -> bool {
        self.off || self.this
    }
}

impl Session {
    /// Of a client at the address `from`, who came to `to`.
    pub(super) fn new(service: &Service, from: SocketAddr, to: SocketAddr, stop: Stop) -> Self {
        let id = service.next_connection.fetch_add(1, Ordering::Relaxed);
        let served = service.keyspaces.view();
        let inbox = Inbox::new(&service.waiting);
        Self {
            id,
            rights: Rights::new(&service.door),
            connected: service.clients.enter(id, (from, to), inbox.sender()),
            is_as_noted: false,
            command: "",
            db: 0,
            keyspace: served.now().numbered(0).cloned(),
            served,
            version: Version::Resp2,
            name: Bytes::new(),
            library: Bytes::new(),
            library_version: Bytes::new(),
            silence: Silence::default(),
            aside: BytesMut::new(),
            inbox,
            subscriptions: Subscriptions::new(id, &service.channels),
            tracked: None,
            reading: None,
            monitoring: None,
            queue: None,
            held: None,
            watch: None,
            closing: false,
            stop,
            tally: Tally::default(),
        }
    }

    /// As if newly connected. What it was still to be sent is written before.
    pub(super) fn reset(&mut self, service: &Service, out: &mut BytesMut) {
        self.subscriptions.leave();
        self.write_waiting(out);
        self.subscriptions.forget();
        self.monitoring = None;
        self.tracked = None;
        self.rights = Rights::new(&service.door);
        self.db = 0;
        self.keyspace = self.served.now().numbered(0).cloned();
        self.version = Version::Resp2;
        self.name = Bytes::new();
        self.silence = Silence::default();
        self.queue = None;
        self.watch = None;
        // Others are to see it from now on: who is told something for them, above all.
        self.connected.note(self);
    }

    /// Is sent nothing more without asking; whether it would have been.
    pub(super) fn hear_no_more(&mut self) -> bool {
        let heard =
            self.monitoring.take().is_some() | self.tracked.take().is_some() | (self.subscriptions.len() > 0);
        self.subscriptions.leave();
        self.subscriptions.forget();
        heard
    }

    /// Writes a message. One that was on its way when the connection left what it is about is dropped: behind the reply that says so,
    /// a client takes it for another reply.
    pub(super) fn write(&self, message: &Message, out: &mut BytesMut) {
        let wanted = match message {
            Message::Line(_) => self.monitoring.is_some(),
            Message::Rights => false,
            Message::Published { channel, .. } => self.subscriptions.has_channel(channel),
            Message::Matched { pattern, .. } => self.subscriptions.has_pattern(pattern),
            Message::Invalidated { whose: Whose::Other(only), .. } => {
                let is_meant = only.as_ref().is_none_or(|name| self.rights.are_of(name));
                is_meant && (self.version == Version::Resp3 || self.subscriptions.len() > 0)
            }
            Message::Invalidated { whose: Whose::Own, .. } => {
                self.version == Version::Resp3 && self.tracked.is_some()
            }
            Message::RedirectionBroken(_) => self.version == Version::Resp3,
        };
        if wanted {
            message.write(out, self.version);
        }
    }

    /// Writes the messages that wait; not amid the replies of a transaction, which are one. A connection for which too many are held
    /// until then ends, as one does for which too many wait.
    pub(super) fn write_waiting(&mut self, out: &mut BytesMut) {
        let mut held = self.held.take();
        for message in self.inbox.take() {
            match &mut held {
                // What a transaction has read stands in its reply: that copies of it are of no use comes after.
                Some(_) if matches!(message, Message::Invalidated { .. }) => {
                    self.inbox.sender().send(message);
                }
                Some(held) if held.len() > WAITING_MAX => self.closing = true,
                Some(held) => self.write(&message, held),
                None => self.write(&message, out),
            }
        }
        self.held = held;
    }

    /// Picks a keyspace by its number; whether there is one.
    pub(super) fn select(&mut self, db: u32) -> bool {
        let Some(keyspace) = self.served.now().numbered(db) else { return false };
        self.db = db;
        self.keyspace = Some(Arc::clone(keyspace));
        if let Some(tracked) = &self.tracked {
            tracked.select(keyspace.name());
        }
        true
    }

    /// Picks the keyspace of this number again, which it had picked.
    pub(super) fn go_back_to(&mut self, db: u32) {
        if self.db != db && !self.select(db) {
            (self.db, self.keyspace) = (db, None);
        }
    }

    /// Turns to the keyspaces that are in service now, between two commands.
    #[inline]
    pub(super) fn look_again(&mut self) {
        if self.served.refresh() {
            self.follow();
        }
    }

    /// Notes what it is, for others to see.
    pub(super) fn note(&mut self) {
        self.connected.note(self);
        self.is_as_noted = true;
    }

    /// Finds its keyspace anew among those that were looked at.
    pub(super) fn follow(&mut self) {
        self.is_as_noted = false;
        if !self.select(self.db) {
            self.keyspace = None;
        }
        rights::follow(self);
    }

    /// Whether the client may only listen: in RESP2 a message cannot be told from a reply.
    pub(super) fn is_listening_only(&self) -> bool {
        self.version == Version::Resp2 && self.subscriptions.len() > 0
    }

    /// Notes what is read of a key.
    pub(super) fn saw(&self, key: &[u8], outcome: &ReadOutcome) {
        if let Some(reading) = &self.reading {
            reading.saw(key, outcome);
        }
    }

    /// The number by which changes are told to be its own, where that makes a difference.
    pub(super) fn maker(&self) -> Option<u64> {
        self.tracked.as_ref().filter(|tracked| tracked.is_without_loop())?;
        u64::try_from(self.id).ok()
    }

    /// The namespace of its keyspace that `key` belongs to.
    pub(super) fn namespace(&self, key: &[u8]) -> Option<&Namespace<Blob>> {
        self.keyspace.as_ref()?.find(key)
    }
}
