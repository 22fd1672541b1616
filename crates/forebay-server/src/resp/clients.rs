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

use super::inbox::Sender;
use super::session::Session;
use crate::access::DEFAULT_NAME;
use crate::stop::Stop;

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
    noted: Mutex<Noted>,
    /// It is to end.
    killed: Notify,
    /// For what it is sent without asking.
    pub(super) inbox: Sender,
}

/// What a connection was when it was last idle, or began to wait.
#[derive(Debug, Default)]
struct Noted {
    user: Bytes,
    name: Bytes,
    library: Bytes,
    library_version: Bytes,
    db: u32,
    version: i64,
    subscribed: [usize; 2],
    /// What it tracks, as letters, and who is told instead.
    tracked: Option<(String, i64)>,
    waiting: Option<usize>,
    command: &'static str,
    at: Tick,
}

impl Clients {
    pub(super) fn new(clock: Clock) -> Self {
        Self { connected: Mutex::default(), pause: watch::Sender::new(None), clock }
    }

    /// Notes a connection of this number, until what it is given is dropped.
    pub(super) fn enter(
        self: &Arc<Self>,
        id: i64,
        (from, to): (SocketAddr, SocketAddr),
        inbox: Sender,
    ) -> Connected {
        let since = self.clock.now();
        let user = Bytes::from_static(DEFAULT_NAME.as_bytes());
        let noted = Mutex::new(Noted { user, at: since, ..Noted::default() });
        let client = Arc::new(Client { id, from, to, since, noted, killed: Notify::new(), inbox });
        self.connected.lock().insert(id, Arc::clone(&client));
        Connected { clients: Arc::clone(self), client }
    }

    /// The connection of this number.
    pub(super) fn find(&self, id: i64) -> Option<Arc<Client>> {
        self.connected.lock().get(&id).cloned()
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

    /// Whether commands wait: all, or where writes alone are paused, those that write.
    pub(super) fn is_paused(&self, writes: bool) -> bool {
        let pause = *self.pause.borrow();
        pause.is_some() && self.left(pause, writes).is_some()
    }

    /// Waits while commands are paused; those that only read pass where writes alone are. Whether they go on: not where the process
    /// stops meanwhile.
    pub(super) async fn passed(&self, writes: bool, stop: &mut Stop) -> bool {
        let mut pause = self.pause.subscribe();
        loop {
            let now = *pause.borrow_and_update();
            let Some(left) = self.left(now, writes) else { return true };
            tokio::select! {
                // Whichever comes first: the end of the pause, or another word about it.
                _ = self.clock.timeout(left, pause.changed()) => {}
                () = stop.asked() => return false,
            }
        }
    }

    /// How long a command has to wait yet. A pause that has run out is forgotten, so that later commands look no further.
    fn left(&self, pause: Option<Pause>, writes: bool) -> Option<Duration> {
        let Pause { until, writes_only } = pause?;
        let now = self.clock.now();
        if until <= now {
            self.pause.send_if_modified(|pause| pause.take_if(|pause| pause.until <= now).is_some());
            return None;
        }
        (writes || !writes_only).then(|| until.since(now))
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
        let now = self.clients.clock.now();
        let mut noted = self.client.noted.lock();
        match session.is_as_noted {
            true => (noted.command, noted.at) = (session.command, now),
            false => *noted = Noted::of(session, now),
        }
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

impl Noted {
    fn of(session: &Session, at: Tick) -> Self {
        Self {
            user: session.rights.name().clone(),
            name: session.name.clone(),
            library: session.library.clone(),
            library_version: session.library_version.clone(),
            db: session.db,
            version: session.version.number(),
            subscribed: session.subscriptions.counts(),
            tracked: session.tracked.as_ref().map(|tracked| (tracked.flags(), tracked.redirect())),
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

    /// Whether it had shown the token of this name when it was last idle.
    pub(super) fn is_of(&self, user: &[u8]) -> bool {
        self.noted.lock().user == user
    }

    fn kind(&self) -> ClientKind {
        match self.noted.lock().subscribed {
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
            ClientFilter::User(user) => self.noted.lock().user == user,
        }
    }

    /// Describes it in one line.
    fn line(&self, now: Tick, out: &mut String) {
        let noted = self.noted.lock();
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let [channels, patterns] = noted.subscribed;
        let mut flags = String::new();
        flags.push_str(if channels + patterns > 0 { "P" } else { "" });
        flags.push_str(if noted.waiting.is_some() { "x" } else { "" });
        flags.push_str(noted.tracked.as_ref().map_or("", |(tracked, _)| tracked));
        let flags = if flags.is_empty() { "N" } else { &flags };
        let redirect = noted.tracked.as_ref().map_or(-1, |(_, redirect)| *redirect);
        let waiting = noted.waiting.and_then(|waiting| i64::try_from(waiting).ok()).unwrap_or(-1);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "id={} addr={} laddr={} name={} age={} idle={} flags={flags} db={} sub={channels} psub={patterns} \
             multi={waiting} cmd={} user={} redir={redirect} resp={} lib-name={} lib-ver={}",
            self.id,
            self.from,
            self.to,
            text(&noted.name),
            now.since(self.since).as_secs(),
            now.since(noted.at).as_secs(),
            noted.db,
            noted.command.to_ascii_lowercase(),
            text(&noted.user),
            noted.version,
            text(&noted.library),
            text(&noted.library_version),
        );
    }
}
