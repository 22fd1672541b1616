//! What each command does. The table of commands and their arguments is `forebay-wire`'s.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use forebay::{Blob, Error, Namespace, Read, Value, Writes};
use forebay_wire::resp::{
    ClientAttribute, ClientCommand, Command, CommandError, Condition, Expiry, Hello, Request, Set, describe,
    reply, resolve,
};

use super::connection::Replies;
use super::session::Session;
use super::{Service, operators};

/// Keys that one `MGET` reads together; values wait for the client to take those before them, so that their number is
/// bounded.
const TOGETHER_MAX: usize = 64;

/// Carries out one request and writes its one reply.
///
/// # Errors
/// When the client no longer takes replies.
pub(super) async fn execute(
    request: &Request,
    service: &Service,
    session: &mut Session,
    replies: &mut Replies<'_>,
) -> io::Result<()> {
    service.commands.fetch_add(1, Ordering::Relaxed);
    let out = &mut replies.out;
    let parsed = resolve(request).and_then(|spec| Ok((spec, spec.parse(request)?)));
    match parsed.map(|(spec, command)| (spec.key_indexes(request.len()).next().is_some(), command)) {
        Ok((true, _)) if session.keyspace.is_none() => no_keyspace(service, session, out),
        Ok((_, command)) => carry_out(command, service, session, replies).await?,
        Err(error) => reply::error(out, &error.to_string()),
    }
    Ok(())
}

async fn carry_out(
    command: Command,
    service: &Service,
    session: &mut Session,
    replies: &mut Replies<'_>,
) -> io::Result<()> {
    let out = &mut replies.out;
    match command {
        Command::Get { key } => get(&key, session, out).await,
        Command::MGet { keys } => {
            reply::array(out, keys.len());
            for keys in keys.chunks(TOGETHER_MAX) {
                for read in read_many(keys, session).await {
                    // An error of one key stands in its place: RESP allows errors within an array.
                    match read {
                        Some(read) if !is_of_other_kind(&read) => answer(read, session, &mut replies.out),
                        _ => reply::null(&mut replies.out, session.version),
                    }
                    replies.send_if_many().await?;
                }
            }
        }
        Command::FbFresh { key } => match namespace(session, &key) {
            Some(namespace) => answer(namespace.read_fresh(&key).await, session, out),
            None => reply::null(out, session.version),
        },
        Command::Set(asked) => set(&asked, session, out).await,
        Command::Del { keys } | Command::Unlink { keys } => delete(&keys, session, out).await,
        Command::Expire { key, ttl_ms } => expire(&key, ttl_ms, session, out).await,
        Command::Persist { key } => live_for(&key, None, session, out).await,
        Command::Exists { keys } => exists(&keys, session, out).await,
        Command::Ttl { key } => {
            // Rounded as Redis does, so that a TTL just set reads as it was given.
            let seconds = |span: Duration| whole(span.saturating_add(Duration::from_millis(500)).as_secs());
            ttl(&key, seconds, session, out).await;
        }
        Command::PTtl { key } => {
            let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            ttl(&key, millis, session, out).await;
        }
        Command::Type { key } => match remaining(&key, session).await {
            Ok(left) => reply::simple(out, if left.is_some() { "string" } else { "none" }),
            Err(error) => refuse(&error, out),
        },
        Command::FbInvalidate { keys } => drop_copies(&keys, session, out).await,
        Command::FbExpire { keys } => expire_copies(&keys, session, out).await,
        Command::FbBackup { to, of } => {
            operators::backup(&to, of.as_deref(), service, session, out).await;
        }
        Command::FbDeadLetters(asked) => operators::dead_letters(asked, service, session, replies).await?,
        command => at_once(command, service, session, out),
    }
    Ok(())
}

/// Commands that wait for nothing.
fn at_once(command: Command, service: &Service, session: &mut Session, out: &mut BytesMut) {
    match command {
        Command::Ping { message: None } => reply::simple(out, "PONG"),
        Command::Ping { message: Some(message) } | Command::Echo { message } => reply::bulk(out, &message),
        Command::Hello(hello) => self::hello(hello, session, out),
        Command::Select { index } if session.select(service, index) => reply::ok(out),
        Command::Select { .. } => reply::error(out, &CommandError::NoSuchIndex.to_string()),
        Command::FbTag { key, tags } => tag(&key, &tags, session, out),
        Command::Client(client) => self::client(client, session, out),
        Command::Describe(asked) => describe::answer(out, session.version, &asked),
        Command::Info { sections } => {
            reply::verbatim(out, session.version, *b"txt", info(service, &sections).as_bytes())
        }
        Command::FbWhy { key } => why(&key, session, out),
        Command::Quit => {
            session.closing = true;
            reply::ok(out);
        }
        Command::Reset => {
            session.reset(service);
            reply::simple(out, "RESET");
        }
        // Carried out by `execute`, which can wait.
        Command::Get { .. }
        | Command::MGet { .. }
        | Command::Set(_)
        | Command::Del { .. }
        | Command::Unlink { .. }
        | Command::Expire { .. }
        | Command::Persist { .. }
        | Command::Exists { .. }
        | Command::Ttl { .. }
        | Command::PTtl { .. }
        | Command::Type { .. }
        | Command::FbInvalidate { .. }
        | Command::FbExpire { .. }
        | Command::FbBackup { .. }
        | Command::FbDeadLetters(_)
        | Command::FbFresh { .. } => {}
    }
}

fn namespace<'s>(session: &'s Session, key: &[u8]) -> Option<&'s Namespace<Blob>> {
    session.keyspace.as_ref()?.find(key)
}

/// A key has no meaning where no keyspace is picked.
pub(super) fn no_keyspace(service: &Service, session: &Session, out: &mut BytesMut) {
    let numbers: Vec<String> = service.keyspaces.keys().map(u32::to_string).collect();
    reply::error(
        out,
        &format!("ERR no keyspace has db {}: SELECT one of {}", session.db, numbers.join(", ")),
    );
}

/// Deletes `keys` where their namespaces' writes go, or drops the copies of them; answers how many values that were.
async fn delete(keys: &[Bytes], session: &Session, out: &mut BytesMut) {
    let mut told = Told::default();
    for key in keys {
        let Some(namespace) = namespace(session, key) else { continue };
        told.add(deleted(namespace, key).await);
    }
    told.answer(out);
}

/// Deletes `key`; whether there was a value, as far as that is known.
async fn deleted(namespace: &Namespace<Blob>, key: &[u8]) -> Result<bool, Error> {
    match namespace.policy().writes {
        Writes::Store => match namespace.update_key(key, |value| value.take().is_some()).await {
            // What cannot be read can be deleted.
            Err(Error::StoreFailed { .. }) => namespace.delete_key(key).await.map(|()| true),
            deleted => deleted,
        },
        Writes::Through | Writes::Behind => {
            let is_absent = namespace.peek(key).is_some_and(|held| held.absent);
            namespace.delete_key(key).await.map(|()| !is_absent)
        }
        // A remembered absence is dropped too, but it is no value that was deleted.
        Writes::Refuse | Writes::Cache => {
            let is_value = held_for(namespace, key).is_some();
            namespace.invalidate_key(key).await.map(|held| held && is_value)
        }
    }
}

/// Lets the value of `key` end after so many milliseconds; one that has ended by then is deleted.
async fn expire(key: &[u8], ttl_ms: i64, session: &Session, out: &mut BytesMut) {
    match u64::try_from(ttl_ms) {
        Ok(ttl_ms) if ttl_ms > 0 => live_for(key, Some(Duration::from_millis(ttl_ms)), session, out).await,
        _ => delete(&[Bytes::copy_from_slice(key)], session, out).await,
    }
}

/// Moves the end of the value of `key`, or takes it away; answers whether there is one.
async fn live_for(key: &[u8], ttl: Option<Duration>, session: &Session, out: &mut BytesMut) {
    let Some(namespace) = namespace(session, key) else { return count(out, 0) };
    match namespace.live_key_for(key, ttl).await {
        Ok(is_there) => count(out, usize::from(is_there)),
        Err(error) => refuse(&error, out),
    }
}

async fn exists(keys: &[Bytes], session: &Session, out: &mut BytesMut) {
    let mut there = 0;
    for key in keys {
        match remaining(key, session).await {
            Ok(left) => there += usize::from(left.is_some()),
            Err(error) => return refuse(&error, out),
        }
    }
    count(out, there);
}

/// Answers how long the value of `key` has left in the unit of `shown`, −1 where it does not end, −2 where there is none.
async fn ttl(key: &[u8], shown: impl Fn(Duration) -> i64, session: &Session, out: &mut BytesMut) {
    match remaining(key, session).await {
        Ok(None) => reply::integer(out, -2),
        Ok(Some(left)) if left >= FOR_EVER => reply::integer(out, -1),
        Ok(Some(left)) => reply::integer(out, shown(left)),
        Err(error) => refuse(&error, out),
    }
}

/// Nothing that is declared or asked for lives as long: 100,000 years.
const FOR_EVER: Duration = Duration::from_secs(100_000 * 365 * 24 * 60 * 60);

/// How long the value of `key` has left: in a cache the copy that is held, in a store the value itself. `None` where there is none.
async fn remaining(key: &[u8], session: &Session) -> Result<Option<Duration>, Error> {
    let Some(namespace) = namespace(session, key) else { return Ok(None) };
    if namespace.policy().writes != Writes::Store {
        return Ok(held_for(namespace, key));
    }
    // Looked at first, since that is no use of it.
    if let Some(held) = namespace.peek(key) {
        return Ok((!held.absent).then_some(held.fresh_for));
    }
    let read = namespace.read(key).await?;
    Ok(read.value.map(|_| read.outcome.fresh_for))
}

/// Drops every copy of `keys`, here and in a shared tier; answers how many were held here, remembered absences too.
async fn drop_copies(keys: &[Bytes], session: &Session, out: &mut BytesMut) {
    let mut told = Told::default();
    for key in keys {
        let Some(namespace) = namespace(session, key) else { continue };
        told.add(namespace.invalidate_key(key).await);
    }
    told.answer(out);
}

/// Makes every copy of `keys` stale, here and in a shared tier; answers how many were held here.
async fn expire_copies(keys: &[Bytes], session: &Session, out: &mut BytesMut) {
    let mut told = Told::default();
    for key in keys {
        let Some(namespace) = namespace(session, key) else { continue };
        told.add(namespace.expire_key(key).await);
    }
    told.answer(out);
}

/// How it went with the keys of one command. One that fails keeps none of the others from it.
#[derive(Default)]
pub(super) struct Told {
    held: usize,
    failed: Option<Error>,
}

impl Told {
    pub(super) fn add(&mut self, told: Result<bool, Error>) {
        match told {
            Ok(held) => self.held += usize::from(held),
            Err(error) => self.failed = Some(error),
        }
    }

    pub(super) fn answer(self, out: &mut BytesMut) {
        match self.failed {
            None => count(out, self.held),
            Some(error) => refuse(&error, out),
        }
    }
}

/// The most tags that one command adds, and the longest of them in bytes.
const TAGS_MAX: usize = 64;
const TAG_BYTES_MAX: usize = 1024;

fn tag(key: &[u8], tags: &[Bytes], session: &Session, out: &mut BytesMut) {
    let texts = tags.iter().map(|tag| std::str::from_utf8(tag).ok().filter(|tag| tag.len() <= TAG_BYTES_MAX));
    let Some(tags) = texts.collect::<Option<Vec<&str>>>().filter(|tags| tags.len() <= TAGS_MAX) else {
        let limits =
            format!("ERR tags are UTF-8, of at most {TAG_BYTES_MAX} bytes, at most {TAGS_MAX} at once");
        return reply::error(out, &limits);
    };
    let held = namespace(session, key).is_some_and(|namespace| namespace.tag(key, &tags));
    count(out, usize::from(held));
}

/// How long the copy of `key` stays fresh; `None` where no value is held.
fn held_for(namespace: &Namespace<Blob>, key: &[u8]) -> Option<Duration> {
    let held = namespace.peek(key)?;
    (!held.absent).then_some(held.fresh_for)
}

async fn get(key: &[u8], session: &Session, out: &mut BytesMut) {
    let Some(namespace) = namespace(session, key) else { return reply::null(out, session.version) };
    answer(namespace.read(key).await, session, out);
}

/// Reads keys of any namespaces, those of each together; `None` for a key of no namespace. In the order of `keys`.
async fn read_many(keys: &[Bytes], session: &Session) -> Vec<Option<Result<Read, Error>>> {
    let mut reads: Vec<Option<Result<Read, Error>>> = keys.iter().map(|_| None).collect();
    for namespace in session.keyspace.iter().flat_map(|keyspace| keyspace.namespaces()) {
        let (places, keys): (Vec<usize>, Vec<&[u8]>) = keys
            .iter()
            .map(|key| key.as_ref())
            .enumerate()
            .filter(|(_, key)| namespace.pattern().matches(key).is_some())
            .unzip();
        for (place, read) in places.into_iter().zip(namespace.read_many(&keys).await) {
            if let Some(slot) = reads.get_mut(place) {
                *slot = Some(read);
            }
        }
    }
    reads
}

fn answer(read: Result<Read, Error>, session: &Session, out: &mut BytesMut) {
    match read {
        Ok(Read { value: Some(Value::Blob(blob)), .. }) => reply::bulk(out, blob.as_bytes()),
        Ok(Read { value: None, .. }) => reply::null(out, session.version),
        Ok(_) => reply::error(out, "WRONGTYPE Operation against a key holding the wrong kind of value"),
        Err(error) => refuse(&error, out),
    }
}

/// Whether there is a value, and it is no blob.
fn is_of_other_kind(read: &Result<Read, Error>) -> bool {
    matches!(read, Ok(Read { value: Some(value), .. }) if value.as_blob().is_none())
}

/// Writes an engine's error with a code that clients can tell apart.
fn refuse(error: &Error, out: &mut BytesMut) {
    let code = match error {
        Error::WritesRefused { .. } => "FBREFUSED",
        Error::TooLarge { .. } => "FBTOOLARGE",
        Error::Source { .. } | Error::LoadLost { .. } => "FBSOURCE",
        Error::Timeout { .. } => "FBTIMEOUT",
        Error::Overloaded { .. } => "FBOVERLOADED",
        Error::BreakerOpen { .. } => "FBBREAKEROPEN",
        Error::Unconfirmed { .. } => "FBUNCONFIRMED",
        Error::SinkRefused { .. } => "FBSINKREFUSED",
        Error::SinkFailed { .. } => "FBSINKFAILED",
        Error::WriteUnconfirmed { .. } => "FBWRITEUNCONFIRMED",
        Error::QueueFull { .. } => "FBQUEUEFULL",
        Error::Parked { .. } => "FBPARKED",
        Error::JournalFailed { .. } => "FBJOURNALFAILED",
        Error::JournalUnconfirmed { .. } => "FBJOURNALUNCONFIRMED",
        Error::StoreFailed { .. } => "FBSTOREFAILED",
        Error::StoreUnconfirmed { .. } => "FBSTOREUNCONFIRMED",
        _ => "ERR",
    };
    crate::problem::told(error);
    reply::error(out, &format!("{code} {error}"));
}

async fn set(set: &Set, session: &Session, out: &mut BytesMut) {
    let Some(namespace) = namespace(session, &set.key) else {
        return reply::error(
            out,
            "ERR no namespace of this keyspace takes this key: declare one whose `key` pattern matches it",
        );
    };
    let writes = namespace.policy().writes;
    if writes == Writes::Refuse {
        return refuse(&Error::WritesRefused { namespace: namespace.name().into() }, out);
    }
    let is_plain = set.condition == Condition::Always && !set.answer_previous;
    if writes == Writes::Store && (!is_plain || set.expiry == Expiry::Keep) {
        return set_by_what_is_there(set, namespace, session, out).await;
    }
    if !is_plain {
        return reply::error(
            out,
            "ERR NX, XX and GET look at a copy that can be lost at any time: a cache namespace does not take them",
        );
    }
    let ttl = match set.expiry {
        Expiry::Unsaid => None,
        // A stale copy has no time left to keep: the new value gets its own.
        Expiry::Keep => held_for(namespace, &set.key).filter(|left| !left.is_zero()),
        Expiry::In { ttl_ms } => Some(Duration::from_millis(ttl_ms)),
        Expiry::At { unix_ms } => Some(until(unix_ms)),
    };
    // A time that has passed: what was there is gone, as with Redis.
    let done = match ttl {
        Some(ttl) if ttl.is_zero() => deleted(namespace, &set.key).await.map(drop),
        ttl => namespace.set_key(&set.key, written(namespace, &set.value), ttl).await,
    };
    match done {
        Ok(()) => reply::ok(out),
        Err(error) => refuse(&error, out),
    }
}

/// Writes to a store by what is there: only where nothing is (`NX`) or something is (`XX`), in place of what is answered (`GET`), or for
/// the time that the value before had left (`KEEPTTL`). Atomic, as a change of the value that is there.
async fn set_by_what_is_there(set: &Set, namespace: &Namespace<Blob>, session: &Session, out: &mut BytesMut) {
    let is_new_only = set.condition == Condition::IfAbsent;
    if !(set.expiry == Expiry::Keep || is_new_only && set.expiry == Expiry::Unsaid) {
        return reply::error(
            out,
            "ERR a store takes NX without a time, and XX and GET with KEEPTTL: write the value, then give it its time by EXPIRE",
        );
    }
    let written = written(namespace, &set.value);
    let changed = namespace.update_key(&set.key, |value| {
        let before = value.clone();
        let writes = match set.condition {
            Condition::Always => true,
            Condition::IfAbsent => before.is_none(),
            Condition::IfPresent => before.is_some(),
        };
        if writes {
            *value = Some(written);
        }
        (before, writes)
    });
    match changed.await {
        Ok((before, _)) if set.answer_previous => match before.as_ref().and_then(Value::as_blob) {
            Some(blob) => reply::bulk(out, blob.as_bytes()),
            None => reply::null(out, session.version),
        },
        Ok((_, true)) => reply::ok(out),
        Ok((_, false)) => reply::null(out, session.version),
        Err(error) => refuse(&error, out),
    }
}

/// What a client has written, as a value. A sink takes rows, which are JSON objects; elsewhere bytes are bytes.
fn written(namespace: &Namespace<Blob>, bytes: &Bytes) -> Value {
    Value::from(match namespace.policy().writes {
        Writes::Through | Writes::Behind => Blob::json(bytes),
        Writes::Refuse | Writes::Cache | Writes::Store => Blob::opaque(bytes),
    })
}

/// How far away a moment of the wall clock is; zero where it has passed.
fn until(unix_ms: u64) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the client named a moment of the wall clock")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(unix_ms).saturating_sub(now)
}

fn hello(hello: Hello, session: &mut Session, out: &mut BytesMut) {
    if hello.auth.is_some_and(|credentials| credentials.user != "default") {
        return reply::error(out, "WRONGPASS invalid username-password pair or user is disabled.");
    }
    if let Some(version) = hello.version {
        session.version = version;
    }
    if let Some(name) = hello.name {
        session.name = Bytes::copy_from_slice(&name);
    }
    reply::map(out, session.version, 7);
    for (name, value) in [
        ("server", "forebay"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("mode", "standalone"),
        ("role", "master"),
    ] {
        reply::bulk(out, name.as_bytes());
        reply::bulk(out, value.as_bytes());
    }
    reply::bulk(out, b"proto");
    reply::integer(out, session.version.number());
    reply::bulk(out, b"id");
    reply::integer(out, session.id);
    reply::bulk(out, b"modules");
    reply::array(out, 0);
}

fn client(client: ClientCommand, session: &mut Session, out: &mut BytesMut) {
    match client {
        ClientCommand::Id => reply::integer(out, session.id),
        ClientCommand::GetName if session.name.is_empty() => reply::null(out, session.version),
        ClientCommand::GetName => reply::bulk(out, &session.name),
        ClientCommand::SetName { name } => {
            session.name = Bytes::copy_from_slice(&name);
            reply::ok(out);
        }
        ClientCommand::SetInfo { attribute, value } => {
            let place = match attribute {
                ClientAttribute::LibName => &mut session.library,
                ClientAttribute::LibVersion => &mut session.library_version,
            };
            *place = Bytes::copy_from_slice(&value);
            reply::ok(out);
        }
        ClientCommand::Info => {
            let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            let line = format!(
                "id={} name={} db={} lib-name={} lib-ver={} resp={}\n",
                session.id,
                text(&session.name),
                session.db,
                text(&session.library),
                text(&session.library_version),
                session.version.number()
            );
            reply::verbatim(out, session.version, *b"txt", line.as_bytes());
        }
        ClientCommand::Help => describe::help(out, "CLIENT"),
    }
}

/// What is known of the copy of a key.
fn why(key: &[u8], session: &Session, out: &mut BytesMut) {
    let Some(namespace) = namespace(session, key) else { return reply::null(out, session.version) };
    let held = namespace.peek(key);
    let fields = if held.is_some() { 5 } else { 2 };
    reply::map(out, session.version, fields);
    reply::bulk(out, b"namespace");
    reply::bulk(out, namespace.name().as_bytes());
    reply::bulk(out, b"held");
    let Some(held) = held else { return reply::bulk(out, b"nothing") };
    reply::bulk(out, if held.absent { b"absence" } else { b"value" });
    for (name, number) in [
        ("age_ms", i64::try_from(held.age.as_millis()).unwrap_or(i64::MAX)),
        ("fresh_for_ms", i64::try_from(held.fresh_for.as_millis()).unwrap_or(i64::MAX)),
        ("weight_bytes", whole(held.weight_bytes)),
    ] {
        reply::bulk(out, name.as_bytes());
        reply::integer(out, number);
    }
}

/// The text of `INFO`: the sections asked for, or all.
fn info(service: &Service, asked: &[Bytes]) -> String {
    let wanted = |section: &str| {
        let all = ["all", "default", "everything"];
        asked.is_empty()
            || asked.iter().any(|name| {
                name.eq_ignore_ascii_case(section.as_bytes())
                    || all.iter().any(|all| name.eq_ignore_ascii_case(all.as_bytes()))
            })
    };
    let mut text = String::new();
    let uptime = service.clock.now().since(service.started).as_secs();
    let sections = [
        (
            "Server",
            format!("forebay_version:{}\r\nuptime_in_seconds:{uptime}\r\n", env!("CARGO_PKG_VERSION")),
        ),
        ("Clients", format!("connected_clients:{}\r\n", service.connected.load(Ordering::Relaxed))),
        ("Stats", stats(service)),
        ("Keyspace", keyspaces(service)),
    ];
    for (name, lines) in sections.iter().filter(|(name, _)| wanted(name)) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}# {name}\r\n{lines}", if text.is_empty() { "" } else { "\r\n" });
    }
    text
}

fn stats(service: &Service) -> String {
    let counts = service
        .keyspaces
        .values()
        .flat_map(|keyspace| keyspace.namespaces())
        .map(Namespace::counts)
        .fold((0, 0), |(hits, misses), counts| (hits + counts.hits + counts.stale, misses + counts.misses));
    let commands = service.commands.load(Ordering::Relaxed);
    format!(
        "total_commands_processed:{commands}\r\nkeyspace_hits:{}\r\nkeyspace_misses:{}\r\n",
        counts.0, counts.1
    )
}

fn keyspaces(service: &Service) -> String {
    let line = |(db, keyspace): (&u32, &Arc<forebay::Keyspace>)| {
        format!("db{db}:name={},namespaces={}\r\n", keyspace.name(), keyspace.namespaces().len())
    };
    service.keyspaces.iter().map(line).collect()
}

fn count(out: &mut BytesMut, count: usize) {
    reply::integer(out, i64::try_from(count).unwrap_or(i64::MAX));
}

pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
