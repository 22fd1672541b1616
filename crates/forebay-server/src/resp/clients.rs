//! Who is connected: what CLIENT LIST tells of each, and how one connection ends or delays others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::{Clock, Mutex, Tick};
use forebay_wire::resp::{ClientFilter, ClientKind};
use tokio::sync::{Notify, watch};

use super::session::Session;

/// All connections.
#[derive(Debug)]
pub(super) struct Clients {
    connected: Mutex<BTreeMap<i64, Arc<Client>>>,
    pause: watch::Sender<Option<Pause>>,
    clock: Clock,
}

/// Until when commands wait.
#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Tick,
    writes_only: bool,
}

/// One connection, as others see it.
#[derive(Debug)]
pub(super) struct Client {
    id: i64,
    from: SocketAddr,
    to: SocketAddr,
    since: Tick,
    told: Mutex<Told>,
    /// It is to end.
    killed: Notify,
}

/// What a connection told of itself when it was last idle.
#[derive(Debug, Default)]
struct Told {
    name: Bytes,
    library: Bytes,
    library_version: Bytes,
    db: u32,
    version: i64,
    subscribed: [usize; 2],
    waiting: Option<usize>,
    command: &'static str,
    at: Tick,
}

impl Clients {
    pub(super) fn new(clock: Clock) -> Self {
        Self { connected: Mutex::default(), pause: watch::Sender::new(None), clock }
    }

    /// Notes a connection of this number, until what it is given is dropped.
    pub(super) fn enter(self: &Arc<Self>, id: i64, from: SocketAddr, to: SocketAddr) -> Connected {
        let since = self.clock.now();
        let told = Mutex::new(Told { at: since, ..Told::default() });
        let client = Arc::new(Client { id, from, to, since, told, killed: Notify::new() });
        self.connected.lock().insert(id, Arc::clone(&client));
        Connected { clients: Arc::clone(self), client }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.connected.lock().len()
    }

    /// One line about each connection of `kind` and among `ids`, where these say something.
    pub(super) fn list(&self, kind: Option<ClientKind>, ids: &[i64]) -> String {
        let mut lines = String::new();
        for client in self.connected.lock().values() {
            let is_kind = kind.is_none_or(|kind| client.kind() == kind);
            if is_kind && (ids.is_empty() || ids.contains(&client.id)) {
                client.line(self.clock.now(), &mut lines);
            }
        }
        lines
    }

    /// Ends the connections that match all of `filters`, but for `spared`; tells how many.
    pub(super) fn kill(&self, filters: &[ClientFilter], spared: Option<i64>) -> usize {
        let connected = self.connected.lock();
        let matching = connected.values().filter(|client| {
            Some(client.id) != spared && filters.iter().all(|filter| client.matches(filter))
        });
        matching.map(|client| client.killed.notify_one()).count()
    }

    /// Lets commands of all connections wait, or those alone that write.
    pub(super) fn pause(&self, span: Duration, writes_only: bool) {
        self.pause.send_replace(Some(Pause { until: self.clock.now().after(span), writes_only }));
    }

    /// Lets commands go on.
    pub(super) fn unpause(&self) {
        self.pause.send_replace(None);
    }

    /// Waits while commands are paused; those that only read pass where writes alone are.
    pub(super) async fn passed(&self, writes: bool) {
        if self.pause.borrow().is_none() {
            return;
        }
        let mut pause = self.pause.subscribe();
        loop {
            let now = *pause.borrow_and_update();
            match now {
                Some(Pause { until, writes_only }) if writes || !writes_only => {
                    let left = until.since(self.clock.now());
                    // Whichever comes first: the end of the pause, or another word about it.
                    match self.clock.timeout(left, pause.changed()).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) | Err(_) => return,
                    }
                }
                _ => return,
            }
        }
    }
}

/// A connection in the list, until it is dropped.
#[derive(Debug)]
pub(super) struct Connected {
    clients: Arc<Clients>,
    client: Arc<Client>,
}

impl Connected {
    /// Notes what the connection is now.
    pub(super) fn note(&self, session: &Session) {
        *self.client.told.lock() = Told::of(session, self.clients.clock.now());
    }

    /// Where the client is.
    pub(super) fn address(&self) -> SocketAddr {
        self.client.from
    }

    /// The connection as others see it.
    pub(super) fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.clients.connected.lock().remove(&self.client.id);
    }
}

impl Told {
    fn of(session: &Session, at: Tick) -> Self {
        Self {
            name: session.name.clone(),
            library: session.library.clone(),
            library_version: session.library_version.clone(),
            db: session.db,
            version: session.version.number(),
            subscribed: session.subscriptions.counts(),
            waiting: session.queue.as_ref().map(super::transaction::Queue::len),
            command: session.command,
            at,
        }
    }
}

impl Client {
    /// Waits until the connection is to end.
    pub(super) async fn killed(&self) {
        self.killed.notified().await;
    }

    fn kind(&self) -> ClientKind {
        match self.told.lock().subscribed {
            [0, 0] => ClientKind::Normal,
            _ => ClientKind::PubSub,
        }
    }

    fn matches(&self, filter: &ClientFilter) -> bool {
        match filter {
            ClientFilter::Id(id) => self.id == *id,
            ClientFilter::Address(address) => self.from.to_string().as_bytes() == address,
            ClientFilter::LocalAddress(address) => self.to.to_string().as_bytes() == address,
            ClientFilter::Kind(kind) => self.kind() == *kind,
            ClientFilter::User(user) => user == "default",
        }
    }

    /// Describes it in one line.
    fn line(&self, now: Tick, out: &mut String) {
        let told = self.told.lock();
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let [channels, patterns] = told.subscribed;
        let flags = match (told.waiting, channels + patterns) {
            (Some(_), _) => "x",
            (None, 0) => "N",
            (None, _) => "P",
        };
        let waiting = told.waiting.and_then(|waiting| i64::try_from(waiting).ok()).unwrap_or(-1);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "id={} addr={} laddr={} name={} age={} idle={} flags={flags} db={} sub={channels} psub={patterns} \
             multi={waiting} cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}",
            self.id,
            self.from,
            self.to,
            text(&told.name),
            now.since(self.since).as_secs(),
            now.since(told.at).as_secs(),
            told.db,
            told.command.to_ascii_lowercase(),
            told.version,
            text(&told.library),
            text(&told.library_version),
        );
    }
}
