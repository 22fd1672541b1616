//! What an EXEC works on: the keys that its commands name or that are watched, what they have by now, and what was answered so far.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use forebay::{Error, Keyspace, Value};
use forebay_wire::resp::{
    Command, CommandSpec, Data, KeyUse, KeyspaceCommand, PubSubCommand, Request, ServerCommand, reply,
};

use super::{TOGETHER_MAX, Waiting};
use crate::resp::Service;
use crate::resp::begun::{self, Begun};
use crate::resp::data::{self, Failed};
use crate::resp::execute;
use crate::resp::refuse::refuse;
use crate::resp::replies::Replies;
use crate::resp::rights;
use crate::resp::session::Session;
use crate::resp::tracking;
use crate::resp::values::{self, Answer, Refusal, View};
use crate::resp::watch::Watch;

/// The keys that waiting commands name, and those that are watched, by keyspace.
pub(super) struct Places {
    by_db: BTreeMap<u32, (Arc<Keyspace>, Keys)>,
}

#[derive(Default)]
struct Keys {
    /// Of stores and of memory that no source stands behind.
    changed: Vec<Bytes>,
    /// Of caches, what is read.
    cached: Vec<Bytes>,
}

impl Places {
    pub(super) fn of(waiting: &[Waiting], watch: Option<&Watch>, session: &Session) -> Self {
        let served = session.served.now();
        let mut by_db = BTreeMap::new();
        for (db, key, _) in watch.into_iter().flat_map(Watch::keys) {
            let Some(keyspace) = served.numbered(db) else { continue };
            // A key that no value can have does not change.
            if keyspace.find(key).is_some_and(|namespace| namespace.takes_changes() && namespace.has_key(key))
            {
                let (_, keys) = by_db.entry(db).or_insert_with(|| (Arc::clone(keyspace), Keys::default()));
                keys.changed.push(key.clone());
            }
        }
        let mut db = session.db;
        for waiting in waiting {
            if let Ok(Command::Select { index }) = &waiting.asked
                && served.numbered(*index).is_some()
            {
                db = *index;
            }
            let Some(keyspace) = served.numbered(db) else { continue };
            let (keyspace, keys) = by_db.entry(db).or_insert_with(|| (Arc::clone(keyspace), Keys::default()));
            for key in waiting.keys() {
                match keyspace.find(&key) {
                    Some(namespace) if namespace.takes_changes() => keys.changed.push(key),
                    Some(namespace)
                        if waiting.reads()
                            || waiting.asks_existence() && served.loads_exists(db, namespace.name()) =>
                    {
                        keys.cached.push(key);
                    }
                    Some(_) | None => {}
                }
            }
        }
        Self { by_db }
    }

    /// Has caches load what the commands read. What cannot be loaded is told by the command that reads it.
    pub(super) async fn load(&self) {
        for (keyspace, keys) in self.by_db.values() {
            for keys in keys.cached.chunks(TOGETHER_MAX) {
                drop(data::read_many(keys, Some(keyspace)).await);
            }
        }
    }

    /// Waits for the turns of the keys, keyspace after keyspace, as everybody does who changes keys of several.
    pub(super) async fn begin(self, maker: Option<u64>) -> Result<Stage, Error> {
        let mut by_db = BTreeMap::new();
        for (db, (keyspace, keys)) in self.by_db {
            if keys.changed.is_empty() {
                continue;
            }
            let namespaces = data::by_namespace(&keys.changed, &keyspace);
            let mut begun = Begun::new((db, maker), &keys.changed, namespaces).await?;
            let view = begun.view();
            by_db.insert(db, (begun, view));
        }
        Ok(Stage { by_db, replies: Replies::gathered(), published: Vec::new(), may_repeat: true })
    }
}

/// Keys whose turns the transaction has, what they have by now, and the replies.
pub(super) struct Stage {
    by_db: BTreeMap<u32, (Begun, View)>,
    replies: Replies<'static>,
    published: Vec<Published>,
    /// Nothing was done outside the views that cannot be done again.
    may_repeat: bool,
}

/// A message that is sent once the rest is committed.
struct Published {
    /// Where among the replies its own belongs.
    place: usize,
    request: Request,
    spec: &'static CommandSpec,
    asked: PubSubCommand,
}

/// The replies to a transaction that is committed.
pub(super) struct Answers {
    replies: BytesMut,
    published: Vec<Published>,
}

impl Stage {
    /// How much was answered so far.
    pub(super) fn replies_bytes(&self) -> usize {
        self.replies.out.len()
    }

    /// Whether all of it may be done again where it cannot be committed.
    pub(super) fn may_repeat(&self) -> bool {
        self.may_repeat
    }

    /// What one of its keys had when it began.
    pub(super) fn found(&self, db: u32, key: &[u8]) -> Option<Option<&Value>> {
        self.by_db.get(&db)?.1.found(key)
    }

    /// Carries out one command. What it reads counts as read by a client that tracks, from when it begins: of a store nobody changes it
    /// since it was looked at, and where somebody has in memory, it is not committed.
    pub(super) async fn run(
        &mut self,
        waiting: &Waiting,
        service: &Service,
        session: &mut Session,
    ) -> io::Result<()> {
        session.reading = session
            .keyspace
            .as_deref()
            .and_then(|keyspace| tracking::reading(session, keyspace, waiting.spec, &waiting.request));
        let done = self.judged(waiting, service, session).await;
        session.reading = None;
        done
    }

    /// Carries out a command that the connection has the right to.
    async fn judged(
        &mut self,
        waiting: &Waiting,
        service: &Service,
        session: &mut Session,
    ) -> io::Result<()> {
        let Waiting { request, spec, asked } = waiting;
        // The declaration, or the keyspace that is picked, may be others than when it came.
        if let Some(refusal) = rights::refusal(spec, request, session) {
            reply::error(&mut self.replies.out, &refusal);
            return Ok(());
        }
        let asked = match asked {
            Ok(Command::Data(asked)) => asked,
            Ok(other) => return self.beside(request, spec, other.clone(), service, session).await,
            Err(error) => {
                reply::error(&mut self.replies.out, &error.to_string());
                return Ok(());
            }
        };
        let keys = waiting.keys();
        let on_copies =
            |key: &Bytes| session.namespace(key).is_some_and(|namespace| !namespace.takes_changes());
        match keys.iter().filter(|key| on_copies(key)).count() {
            _ if session.keyspace.is_none() => {
                execute::no_keyspace(session, &mut self.replies.out);
            }
            0 => self.on_view(asked, &keys, session).await,
            copies if copies == keys.len() => {
                self.may_repeat &= matches!(spec.keys.usage, KeyUse::Read | KeyUse::Inspect);
                data::carry_out(asked, &keys, spec.keys.usage, service, session, &mut self.replies).await?;
            }
            _ => refuse(&Refusal::Mixed.into(), &mut self.replies.out),
        }
        Ok(())
    }

    /// Carries out a command that is not about values.
    async fn beside(
        &mut self,
        request: &Request,
        spec: &'static CommandSpec,
        asked: Command,
        service: &Service,
        session: &mut Session,
    ) -> io::Result<()> {
        let out = &mut self.replies.out;
        match asked {
            Command::PubSub(asked @ PubSubCommand::Publish { .. }) => {
                let (place, request) = (out.len(), request.clone());
                self.published.push(Published { place, request, spec, asked });
            }
            Command::Keyspace(KeyspaceCommand::FlushDb | KeyspaceCommand::FlushAll)
                if !self.by_db.is_empty() =>
            {
                let refusal = format!(
                    "ERR {} within a transaction that names or watches keys of stores or of memory would wait for itself: flush before or after it",
                    spec.name
                );
                reply::error(out, &refusal);
            }
            Command::Server(ServerCommand::DebugSleep { .. }) => {
                reply::error(
                    out,
                    "ERR DEBUG SLEEP within a transaction would keep its keys from everybody: sleep outside",
                );
            }
            asked => {
                let is_harmless =
                    matches!(asked, Command::Select { .. } | Command::Ping { .. } | Command::Echo { .. });
                self.may_repeat &= is_harmless;
                let replies = &mut self.replies;
                Box::pin(execute::carry_out(request, spec, asked, service, session, replies)).await?;
            }
        }
        Ok(())
    }

    /// Carries out a command on what its keys have by now. One that is refused leaves that as it is, also where it has written some of it.
    async fn on_view(&mut self, asked: &Data, keys: &[Bytes], session: &Session) {
        let out = &mut self.replies.out;
        let mut none = View::default();
        let view = self.by_db.get_mut(&session.db).map_or(&mut none, |(_, view)| view);
        let (begun, mut own) = (out.len(), view.part(keys));
        match values::run(asked, &mut own, &mut Answer::new(out, session.version)).await {
            Ok(()) => view.put_back(own),
            Err(refusal) => {
                out.truncate(begun);
                refuse(&Failed::from(refusal), out);
            }
        }
    }

    /// Makes the keys have what they have by now.
    pub(super) async fn commit(self, service: &Service) -> Result<Answers, Error> {
        let Self { by_db, replies, published, .. } = self;
        begun::commit(by_db.into_values().collect(), &service.watches).await?;
        Ok(Answers { replies: replies.out, published })
    }
}

impl Answers {
    /// Sends what was published, and writes the replies, each in its place.
    pub(super) async fn give_out(
        mut self,
        service: &Service,
        session: &mut Session,
        out: &mut BytesMut,
    ) -> io::Result<()> {
        let mut given = 0;
        for Published { place, request, spec, asked } in self.published {
            out.extend_from_slice(
                &self.replies.split_to(place.saturating_sub(given).min(self.replies.len())),
            );
            given = place;
            let mut replies = Replies::gathered();
            let asked = Command::PubSub(asked);
            Box::pin(execute::carry_out(&request, spec, asked, service, session, &mut replies)).await?;
            out.extend_from_slice(&replies.out);
        }
        out.extend_from_slice(&self.replies);
        Ok(())
    }
}
