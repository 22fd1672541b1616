//! What one connection has said of itself: its keyspace, its protocol version, its name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use forebay::{Blob, Keyspace, Namespace};
use forebay_wire::resp::{Replying, Version};

use super::Service;
use super::clients::Connected;
use super::inbox::Inbox;
use super::pubsub::Subscriptions;
use super::transaction::Queue;
use super::watch::Watch;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: i64,
    /// Its place among all connections.
    pub(super) connected: Connected,
    /// The name of its last command.
    pub(super) command: &'static str,
    pub(super) db: u32,
    /// The keyspace of `db`; none where that number is not declared.
    pub(super) keyspace: Option<Arc<Keyspace>>,
    pub(super) version: Version,
    pub(super) name: Bytes,
    pub(super) library: Bytes,
    pub(super) library_version: Bytes,
    /// Which of its commands are answered.
    pub(super) replying: Replying,
    /// What it is sent without asking.
    pub(super) inbox: Inbox,
    /// The channels whose messages it is sent.
    pub(super) subscriptions: Subscriptions,
    /// Commands that wait for `EXEC`, between `MULTI` and that.
    pub(super) queue: Option<Queue>,
    /// The keys that it watches, and whether they have changed.
    pub(super) watch: Option<Watch>,
    /// The reply to the last command was the last: close.
    pub(super) closing: bool,
}

impl Session {
    /// Of a client at the address `from`, who came to `to`.
    pub(super) fn new(service: &Service, from: SocketAddr, to: SocketAddr) -> Self {
        let id = service.next_connection.fetch_add(1, Ordering::Relaxed);
        Self {
            id,
            connected: service.clients.enter(id, from, to),
            command: "",
            db: 0,
            keyspace: service.keyspaces.get(&0).cloned(),
            version: Version::Resp2,
            name: Bytes::new(),
            library: Bytes::new(),
            library_version: Bytes::new(),
            replying: Replying::On,
            inbox: Inbox::default(),
            subscriptions: Subscriptions::default(),
            queue: None,
            watch: None,
            closing: false,
        }
    }

    /// As if newly connected.
    pub(super) fn reset(&mut self, service: &Service) {
        self.db = 0;
        self.keyspace = service.keyspaces.get(&0).cloned();
        self.version = Version::Resp2;
        self.name = Bytes::new();
        self.replying = Replying::On;
        self.queue = None;
        self.watch = None;
        service.monitors.leave(self.id);
        service.channels.leave(self.id, &mut self.subscriptions);
    }

    /// Picks a keyspace by its number; whether there is one.
    pub(super) fn select(&mut self, service: &Service, db: u32) -> bool {
        let Some(keyspace) = service.keyspaces.get(&db) else { return false };
        self.db = db;
        self.keyspace = Some(Arc::clone(keyspace));
        true
    }

    /// The namespace of its keyspace that `key` belongs to.
    pub(super) fn namespace(&self, key: &[u8]) -> Option<&Namespace<Blob>> {
        self.keyspace.as_ref()?.find(key)
    }
}
