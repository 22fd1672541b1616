//! MULTI, EXEC, DISCARD, WATCH: commands that wait, and are carried out together.
//!
//! 1. Commands after MULTI are looked up and wait. One that there is not, or that has too few or too many words, spoils the whole.
//! 2. EXEC first has what the commands read of caches loaded.
//! 3. It begins a change of every key of a store that the commands name, so that nobody else changes one (`begun.rs`).
//! 4. It looks whether a watched key has changed.
//! 5. The commands are run one after the other on what the keys have. Those on caches with a source behind them go where they always
//!    go: with the source no atomicity is claimed.
//! 6. What is left is committed: the keys of one namespace all at once. Only then are the replies given out.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use forebay::{Error, Keyspace, Value};
use forebay_wire::resp::{Command, CommandError, CommandSpec, Data, Request, TransactionCommand, reply};

use super::begun::Begun;
use super::connection::Replies;
use super::data::{self, Failed};
use super::execute;
use super::refuse::refuse;
use super::session::Session;
use super::values::{self, Answer, View};
use super::watch::Watch;
use super::{Service, values::Refusal};

/// The most commands that wait for one EXEC, and the most bytes they have in all.
const COMMANDS_MAX: usize = 100_000;

/// What waits for EXEC.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Vec<Waiting>,
    /// One of the commands could not wait: EXEC does nothing.
    spoiled: bool,
}

/// A command that waits.
#[derive(Debug)]
struct Waiting {
    request: Request,
    spec: &'static CommandSpec,
    asked: Result<Command, CommandError>,
}

impl Queue {
    /// How many commands wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Notes that a command was refused.
    pub(super) fn spoil(&mut self) {
        self.spoiled = true;
    }

    /// Lets a command wait; answers so.
    pub(super) fn push(
        &mut self,
        request: &Request,
        spec: &'static CommandSpec,
        asked: Result<Command, CommandError>,
        out: &mut BytesMut,
    ) {
        if self.waiting.len() >= COMMANDS_MAX {
            self.spoiled = true;
            return reply::error(out, &format!("ERR a transaction has at most {COMMANDS_MAX} commands"));
        }
        self.waiting.push(Waiting { request: request.clone(), spec, asked });
        reply::simple(out, "QUEUED");
    }
}

impl Waiting {
    /// The keys that it names, if it is a command on values.
    fn keys(&self) -> Vec<Bytes> {
        match &self.asked {
            Ok(Command::Data(_)) => {
                self.spec.key_indexes(&self.request).filter_map(|at| self.request.bytes(at)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Carries out a command on the connection's transaction.
pub(super) async fn carry_out(
    asked: TransactionCommand,
    service: &Service,
    session: &mut Session,
    replies: &mut Replies<'_>,
) -> io::Result<()> {
    let out = &mut replies.out;
    match asked {
        TransactionCommand::Multi if session.queue.is_some() => {
            reply::error(out, "ERR MULTI calls can not be nested");
        }
        TransactionCommand::Multi => {
            session.queue = Some(Queue::default());
            reply::ok(out);
        }
        TransactionCommand::Discard => match session.queue.take() {
            Some(_) => {
                session.watch = None;
                reply::ok(out);
            }
            None => reply::error(out, "ERR DISCARD without MULTI"),
        },
        TransactionCommand::Exec => match session.queue.take() {
            Some(queue) => exec(queue, service, session, out).await?,
            None => reply::error(out, "ERR EXEC without MULTI"),
        },
        TransactionCommand::Watch { .. } if session.queue.is_some() => {
            reply::error(out, "ERR WATCH inside MULTI is not allowed");
        }
        TransactionCommand::Watch { keys } => watch(&keys, service, session, out).await,
        TransactionCommand::Unwatch => {
            session.watch = None;
            reply::ok(out);
        }
    }
    Ok(())
}

async fn watch(keys: &[Bytes], service: &Service, session: &mut Session, out: &mut BytesMut) {
    let Some(keyspace) = &session.keyspace else { return };
    let mut watch = session.watch.take().unwrap_or_else(|| Watch::new(&service.watches));
    for key in keys {
        watch.add(session.db, key);
        match value_of(keyspace, key).await {
            Ok(value) => {
                if let Some((_, seen)) = watch.keys.last_mut() {
                    *seen = value;
                }
            }
            Err(error) => return refuse(&error.into(), out),
        }
    }
    session.watch = Some(watch);
    reply::ok(out);
}

async fn value_of(keyspace: &Keyspace, key: &[u8]) -> Result<Option<Value>, Error> {
    match keyspace.find(key) {
        Some(namespace) => Ok(namespace.read(key).await?.value),
        None => Ok(None),
    }
}

async fn exec(queue: Queue, service: &Service, session: &mut Session, out: &mut BytesMut) -> io::Result<()> {
    let watch = session.watch.take();
    if queue.spoiled {
        reply::error(out, "EXECABORT Transaction discarded because of previous errors.");
        return Ok(());
    }
    let places = Places::of(&queue.waiting, service, session);
    places.load().await;
    let mut stage = match places.begin().await {
        Ok(stage) => stage,
        Err(error) => {
            refuse(&error.into(), out);
            return Ok(());
        }
    };
    match watch {
        Some(watch) if watch.is_changed() || is_changed(&watch, service).await => {
            reply::null_array(out, session.version);
            return Ok(());
        }
        _ => {}
    }
    let mut replies = Replies::gathered();
    let commands = queue.waiting.len();
    for waiting in queue.waiting {
        stage.run(waiting, service, session, &mut replies).await?;
    }
    match stage.commit(service).await {
        Ok(()) => {
            reply::array(out, commands);
            out.extend_from_slice(&replies.out);
        }
        Err(error) => refuse(&error.into(), out),
    }
    Ok(())
}

/// Whether a watched key has another value than it had.
async fn is_changed(watch: &Watch, service: &Service) -> bool {
    for ((db, key), seen) in &watch.keys {
        let Some(keyspace) = service.keyspaces.get(db) else { continue };
        match value_of(keyspace, key).await {
            Ok(now) if is_same(seen.as_ref(), now.as_ref()) => {}
            // What cannot be read may have changed.
            Ok(_) | Err(_) => return true,
        }
    }
    false
}

fn is_same(before: Option<&Value>, now: Option<&Value>) -> bool {
    match (before, now) {
        (None, None) => true,
        (Some(Value::Hash(before)), Some(Value::Hash(now))) => now.changes_since(before).is_empty(),
        (Some(Value::SortedSet(before)), Some(Value::SortedSet(now))) => now.changes_since(before).is_empty(),
        (Some(before), Some(now)) => match (before.as_blob(), now.as_blob()) {
            (Some(before), Some(now)) => before.as_bytes() == now.as_bytes(),
            _ => before.as_counter().is_some() && before.as_counter() == now.as_counter(),
        },
        _ => false,
    }
}

/// The keys that waiting commands name, by keyspace.
struct Places {
    by_db: BTreeMap<u32, (Arc<Keyspace>, Keys)>,
}

#[derive(Default)]
struct Keys {
    /// Of stores and of memory that no source stands behind.
    changed: Vec<Bytes>,
    /// Of caches.
    cached: Vec<Bytes>,
}

impl Places {
    fn of(waiting: &[Waiting], service: &Service, session: &Session) -> Self {
        let mut by_db = BTreeMap::new();
        let mut db = session.db;
        for waiting in waiting {
            if let Ok(Command::Select { index }) = &waiting.asked
                && service.keyspaces.contains_key(index)
            {
                db = *index;
            }
            let Some(keyspace) = service.keyspaces.get(&db) else { continue };
            let (keyspace, keys) = by_db.entry(db).or_insert_with(|| (Arc::clone(keyspace), Keys::default()));
            for key in waiting.keys() {
                match keyspace.find(&key) {
                    Some(namespace) if namespace.takes_changes() => keys.changed.push(key),
                    Some(_) => keys.cached.push(key),
                    None => {}
                }
            }
        }
        Self { by_db }
    }

    /// Has caches load what the commands may read. What cannot be loaded is told by the command that reads it.
    async fn load(&self) {
        for (keyspace, keys) in self.by_db.values() {
            drop(data::read_many(&keys.cached, Some(keyspace)).await);
        }
    }

    async fn begin(self) -> Result<Stage, Error> {
        let mut by_db = BTreeMap::new();
        for (db, (keyspace, keys)) in self.by_db {
            let mut begun = Begun::new(&keys.changed, data::by_namespace(&keys.changed, &keyspace)).await?;
            let view = begun.view();
            by_db.insert(db, (begun, view));
        }
        Ok(Stage { by_db })
    }
}

/// Keys whose turns the transaction has, and what they have by now.
struct Stage {
    by_db: BTreeMap<u32, (Begun, View)>,
}

impl Stage {
    /// Carries out one command.
    async fn run(
        &mut self,
        waiting: Waiting,
        service: &Service,
        session: &mut Session,
        replies: &mut Replies<'_>,
    ) -> io::Result<()> {
        let keys = waiting.keys();
        let Waiting { request, spec, asked } = waiting;
        let asked = match asked {
            Ok(Command::Data(asked)) => asked,
            Ok(other) => {
                return Box::pin(execute::carry_out(&request, spec, other, service, session, replies)).await;
            }
            Err(error) => {
                reply::error(&mut replies.out, &error.to_string());
                return Ok(());
            }
        };
        let on_copies =
            |key: &Bytes| session.namespace(key).is_some_and(|namespace| !namespace.takes_changes());
        match keys.iter().filter(|key| on_copies(key)).count() {
            0 => self.on_view(&asked, session, &mut replies.out),
            copies if copies == keys.len() => {
                data::carry_out(&asked, &keys, spec.keys.usage, service, session, replies).await?;
            }
            _ => refuse(&Refusal::Mixed.into(), &mut replies.out),
        }
        Ok(())
    }

    fn on_view(&mut self, asked: &Data, session: &Session, out: &mut BytesMut) {
        let mut none = View::default();
        let view = self.by_db.get_mut(&session.db).map_or(&mut none, |(_, view)| view);
        let begun = out.len();
        if let Err(refusal) = values::run(asked, view, &mut Answer::new(out, session.version)) {
            out.truncate(begun);
            refuse(&Failed::from(refusal), out);
        }
    }

    async fn commit(self, service: &Service) -> Result<(), Error> {
        for (db, (begun, view)) in self.by_db {
            begun.commit(view, db, &service.watches).await?;
        }
        Ok(())
    }
}
