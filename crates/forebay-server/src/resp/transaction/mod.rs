//! MULTI, EXEC, DISCARD, WATCH: commands that wait, and are carried out together.
//!
//! 1. Commands after MULTI are looked up and wait. One that there is not, or that has too few or too many words, spoils the whole, and
//!    so does one that is too many or too large to wait.
//! 2. EXEC first has what the commands read of caches loaded.
//! 3. It begins a change of every key of a store that the commands name, or that is watched, so that nobody else changes one (`begun.rs`).
//! 4. It looks whether a watched key has changed. Nobody changes one of a store from here on; of caches with a source this is the last look.
//! 5. The commands are run one after the other on what the keys have (`transaction/stage.rs`). Those on caches with a source behind
//!    them go where they always go: with the source no atomicity is claimed.
//! 6. What is left is committed: the keys of one namespace all at once, several namespaces one after the other (`begun.rs` says in
//!    which order, and what that means). Only then is what was published sent, and are the replies given out.
//!
//! Where memory has the only copy, writers who wait for nobody can come between 3 and 6. Then all of it is begun again, or, where a
//! command has done something that cannot be taken back, answered as if a watched key had changed.
//!
//! A command that would wait for the turns that its own EXEC has is refused in its place: FLUSHDB and FLUSHALL, where the transaction
//! names or watches keys of stores or of memory. DEBUG SLEEP always is: everybody else would wait for those keys.

mod stage;
#[cfg(test)]
mod tests;

use std::io;

use bytes::{Bytes, BytesMut};
use forebay::{Error, Keyspace, Value};
use forebay_wire::resp::{
    Command, CommandError, CommandSpec, Data, Flag, HashCommand, KeyCommand, KeyUse, Request,
    TransactionCommand, reply,
};

use self::stage::{Places, Stage};
use super::Service;
use super::begun::{TRIES_MAX, may_begin_again};
use super::data;
use super::refuse::refuse;
use super::replies::Replies;
use super::session::Session;
use super::watch::{self, Watch, fingerprint};

/// The most commands that wait for one EXEC.
const COMMANDS_MAX: usize = 100_000;
/// The most bytes that these commands have in all.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// What a word of a command costs beside its text, in bytes.
const WORD_BYTES: usize = 32;
/// The most bytes of replies that one EXEC gathers.
const REPLIES_BYTES_MAX: usize = 256 << 20;
/// Keys that are read together; the values of so many are all there at one time.
const TOGETHER_MAX: usize = 64;
/// Other connections have their turn on the thread after so many commands of one EXEC.
const COMMANDS_AT_A_STRETCH: usize = 64;

/// What waits for EXEC.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Vec<Waiting>,
    /// How much waits.
    bytes: usize,
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

    /// Whether one of them waits while writes are paused.
    fn writes(&self) -> bool {
        self.waiting.iter().any(|waiting| has_effect(waiting.spec))
    }

    /// Notes that a command was refused.
    pub(super) fn spoil(&mut self) {
        // What has come so far is of no use any more.
        *self = Self { spoiled: true, ..Self::default() };
    }

    /// Lets a command wait; answers so.
    pub(super) fn push(&mut self, request: &Request, spec: &'static CommandSpec, out: &mut BytesMut) {
        if self.spoiled {
            // As Redis says it; it is not kept, since EXEC will do nothing.
            return reply::simple(out, "QUEUED");
        }
        if self.waiting.len() >= COMMANDS_MAX {
            self.spoil();
            return reply::error(out, &format!("ERR a transaction has at most {COMMANDS_MAX} commands"));
        }
        let bytes = request
            .args()
            .fold(self.bytes, |sum, word| sum.saturating_add(word.len()).saturating_add(WORD_BYTES));
        if bytes > QUEUE_BYTES_MAX {
            self.spoil();
            return reply::error(out, &format!("ERR a transaction has at most {QUEUE_BYTES_MAX} bytes"));
        }
        // A copy of its own, so that what it is counted as is what it keeps: the buffer that it came in is larger.
        let Some(request) = Request::from_args(request.args()) else { return self.spoil() };
        self.bytes = bytes;
        self.waiting.push(Waiting { asked: spec.parse(&request), request, spec });
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

    /// Whether it answers what is in values.
    fn reads(&self) -> bool {
        self.spec.keys.usage == KeyUse::Read
    }

    /// Whether it answers if something is there, which a namespace may have loaded for that.
    fn asks_existence(&self) -> bool {
        matches!(
            &self.asked,
            Ok(Command::Data(Data::Key(KeyCommand::Exists { .. }) | Data::Hash(HashCommand::Exists { .. })))
        )
    }
}

/// Whether a command waits for EXEC where a transaction has begun.
pub(super) fn waits(asked: &Result<Command, CommandError>) -> bool {
    match asked {
        Ok(Command::Transaction(asked)) => *asked == TransactionCommand::Unwatch,
        Ok(Command::Quit | Command::Reset) => false,
        _ => true,
    }
}

/// Whether a command waits while writes are paused, itself or, as EXEC, by what waits for it.
pub(super) fn writes(spec: &CommandSpec, session: &Session) -> bool {
    let waiting = session.queue.as_ref().filter(|_| spec.name == "EXEC");
    has_effect(spec) || waiting.is_some_and(Queue::writes)
}

/// Whether others see that it was carried out: it changes values or, as Redis counts it, publishes.
fn has_effect(spec: &CommandSpec) -> bool {
    spec.flags.contains(&Flag::Write) || spec.name == "PUBLISH"
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

/// Watches `keys` beside those watched before. Where one cannot be read, or is too many, none of them.
async fn watch(keys: &[Bytes], service: &Service, session: &mut Session, out: &mut BytesMut) {
    let Some(keyspace) = session.keyspace.clone() else { return };
    let db = session.db;
    let watch = session.watch.get_or_insert_with(|| Watch::new(&service.watches));
    let mut added = Vec::new();
    match add(keys, &keyspace, db, watch, &mut added).await {
        Ok(()) => reply::ok(out),
        Err(refused) => {
            added.iter().for_each(|key| watch.forget(db, key));
            match refused {
                Unwatched::Refused(refused) => reply::error(out, &refused.to_string()),
                Unwatched::Engine(error) => refuse(&error.into(), out),
            }
        }
    }
}

/// Why keys are not watched.
#[derive(Debug, thiserror::Error)]
enum Unwatched {
    #[error(transparent)]
    Refused(#[from] watch::Refused),
    #[error(transparent)]
    Engine(#[from] Error),
}

/// Watches those of `keys` that are not, which are `added`, and looks what they have.
async fn add(
    keys: &[Bytes],
    keyspace: &Keyspace,
    db: u32,
    watch: &mut Watch,
    added: &mut Vec<Bytes>,
) -> Result<(), Unwatched> {
    for key in keys {
        if watch.add(db, key)? {
            added.push(key.clone());
        }
    }
    Ok(look(added, keyspace, db, watch).await?)
}

/// Notes what keys have that are watched from now on.
async fn look(keys: &[Bytes], keyspace: &Keyspace, db: u32, watch: &mut Watch) -> Result<(), Error> {
    for keys in keys.chunks(TOGETHER_MAX) {
        for (key, read) in keys.iter().zip(data::read_many(keys, Some(keyspace)).await) {
            let value = read.transpose()?.and_then(|read| read.value);
            watch.saw(db, key, fingerprint(value.as_ref()));
        }
    }
    Ok(())
}

async fn value_of(keyspace: &Keyspace, key: &[u8]) -> Result<Option<Value>, Error> {
    match keyspace.find(key) {
        Some(namespace) => Ok(namespace.read(key).await?.value),
        None => Ok(None),
    }
}

/// How an attempt to carry out a transaction ended.
#[derive(PartialEq, Eq)]
enum Attempt {
    /// All of it is done, and answered.
    Committed,
    /// It is answered why not all of it is done.
    Refused,
    /// Somebody has changed what was watched, or read; nothing was committed.
    ChangedMeanwhile { may_begin_again: bool },
}

async fn exec(queue: Queue, service: &Service, session: &mut Session, out: &mut BytesMut) -> io::Result<()> {
    let watch = session.watch.take();
    if queue.spoiled {
        reply::error(out, "EXECABORT Transaction discarded because of previous errors.");
        return Ok(());
    }
    let picked = session.db;
    for _ in 0..TRIES_MAX {
        let attempt = attempt(&queue.waiting, watch.as_ref(), service, session, out).await?;
        if attempt != Attempt::Committed {
            // A `SELECT` among the commands is not done either, or done anew.
            session.go_back_to(picked);
        }
        match attempt {
            Attempt::Committed | Attempt::Refused => return Ok(()),
            Attempt::ChangedMeanwhile { may_begin_again: true } => {}
            Attempt::ChangedMeanwhile { may_begin_again: false } => break,
        }
    }
    reply::null_array(out, session.version);
    Ok(())
}

async fn attempt(
    waiting: &[Waiting],
    watch: Option<&Watch>,
    service: &Service,
    session: &mut Session,
    out: &mut BytesMut,
) -> io::Result<Attempt> {
    let places = Places::of(waiting, watch, session);
    places.load().await;
    let mut stage = match places.begin(session.maker()).await {
        Ok(stage) => stage,
        Err(error) => {
            refuse(&error.into(), out);
            return Ok(Attempt::Refused);
        }
    };
    if let Some(watch) = watch
        && (watch.is_changed() || is_changed(watch, &stage, session).await)
    {
        return Ok(Attempt::ChangedMeanwhile { may_begin_again: false });
    }
    for commands in waiting.chunks(COMMANDS_AT_A_STRETCH) {
        for waiting in commands {
            stage.run(waiting, service, session).await?;
            if stage.replies_bytes() > REPLIES_BYTES_MAX {
                let refusal = format!(
                    "ERR the replies of a transaction have at most {REPLIES_BYTES_MAX} bytes: nothing of it was committed, except what it wrote to caches"
                );
                reply::error(out, &refusal);
                return Ok(Attempt::Refused);
            }
        }
        tokio::task::yield_now().await;
    }
    let may_repeat = stage.may_repeat();
    match stage.commit(service).await {
        Ok(answers) => {
            reply::array(out, waiting.len());
            answers.give_out(service, session, out).await?;
            Ok(Attempt::Committed)
        }
        Err(error) if may_begin_again(&error) => {
            Ok(Attempt::ChangedMeanwhile { may_begin_again: may_repeat })
        }
        Err(error) => {
            refuse(&error.into(), out);
            Ok(Attempt::Refused)
        }
    }
}

/// Whether a watched key has another value than it had.
async fn is_changed(watch: &Watch, stage: &Stage, session: &Session) -> bool {
    for (db, key, had) in watch.keys() {
        let now = match stage.found(db, key) {
            Some(found) => fingerprint(found),
            None => {
                let Some(keyspace) = session.served.now().numbered(db) else { continue };
                // What cannot be read may have changed.
                let Ok(now) = value_of(keyspace, key).await else { return true };
                fingerprint(now.as_ref())
            }
        };
        if now != had {
            return true;
        }
    }
    false
}
