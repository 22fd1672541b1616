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

use super::Service;
use super::connection::Replies;
use super::session::Session;

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
                        Some(read) => answer(read, session, &mut replies.out),
                        None => reply::null(&mut replies.out, session.version),
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
        // A remembered absence is dropped too, but it is no value that was deleted.
        Command::Del { keys } | Command::Unlink { keys } => {
            drop_copies(&keys, session, Counts::Values, out).await
        }
        Command::FbInvalidate { keys } => drop_copies(&keys, session, Counts::Copies, out).await,
        Command::FbExpire { keys } => expire_copies(&keys, session, out).await,
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
        Command::Exists { keys } => {
            count(out, keys.iter().filter(|key| fresh_for(session, key).is_some()).count())
        }
        Command::Ttl { key } => {
            // Rounded as Redis does, so that a TTL just set reads as it was given.
            let seconds = |span: Duration| whole(span.saturating_add(Duration::from_millis(500)).as_secs());
            reply::integer(out, fresh_for(session, &key).map_or(-2, seconds));
        }
        Command::PTtl { key } => {
            let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            reply::integer(out, fresh_for(session, &key).map_or(-2, millis));
        }
        Command::Type { key } => {
            reply::simple(out, if fresh_for(session, &key).is_some() { "string" } else { "none" });
        }
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
        | Command::FbInvalidate { .. }
        | Command::FbExpire { .. }
        | Command::FbFresh { .. } => {}
    }
}

fn namespace<'s>(session: &'s Session, key: &[u8]) -> Option<&'s Namespace<Blob>> {
    session.keyspace.as_ref()?.find(key)
}

/// A key has no meaning where no keyspace is picked.
fn no_keyspace(service: &Service, session: &Session, out: &mut BytesMut) {
    let numbers: Vec<String> = service.keyspaces.keys().map(u32::to_string).collect();
    reply::error(
        out,
        &format!("ERR no keyspace has db {}: SELECT one of {}", session.db, numbers.join(", ")),
    );
}

/// What a command that drops copies counts.
#[derive(Clone, Copy)]
enum Counts {
    Values,
    /// Remembered absences too.
    Copies,
}

/// Drops every copy of `keys`, here and in a shared tier; answers how many were held here.
async fn drop_copies(keys: &[Bytes], session: &Session, counts: Counts, out: &mut BytesMut) {
    let mut told = Told::default();
    for key in keys {
        let Some(namespace) = namespace(session, key) else { continue };
        let counted = matches!(counts, Counts::Copies) || fresh_for(session, key).is_some();
        told.add(namespace.invalidate_key(key).await.map(|held| held && counted));
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

/// How the keys of one command were told of. One that is not confirmed keeps none of the others from being told.
#[derive(Default)]
struct Told {
    held: usize,
    unconfirmed: Option<Error>,
}

impl Told {
    fn add(&mut self, told: Result<bool, Error>) {
        match told {
            Ok(held) => self.held += usize::from(held),
            Err(error) => self.unconfirmed = Some(error),
        }
    }

    fn answer(self, out: &mut BytesMut) {
        match self.unconfirmed {
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
fn fresh_for(session: &Session, key: &[u8]) -> Option<Duration> {
    let held = namespace(session, key)?.peek(key)?;
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
        Ok(_) => reply::null(out, session.version),
        Err(error) => refuse(&error, out),
    }
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
    if namespace.policy().writes == Writes::Refuse {
        return refuse(&Error::WritesRefused { namespace: namespace.name().into() }, out);
    }
    if set.condition != Condition::Always || set.answer_previous {
        return reply::error(
            out,
            "ERR NX, XX and GET look at a copy that can be lost at any time: a cache namespace does not take them",
        );
    }
    let ttl = match set.expiry {
        Expiry::Unsaid => None,
        // A stale copy has no time left to keep: the new value gets its own.
        Expiry::Keep => fresh_for(session, &set.key).filter(|left| !left.is_zero()),
        Expiry::In { ttl_ms } => Some(Duration::from_millis(ttl_ms)),
        Expiry::At { unix_ms } => Some(until(unix_ms)),
    };
    if ttl.is_some_and(|ttl| ttl.is_zero()) {
        // A time that has passed: what was held is gone, as with Redis.
        return match namespace.invalidate_key(&set.key).await {
            Ok(_) => reply::ok(out),
            Err(error) => refuse(&error, out),
        };
    }
    let value = Value::from(Blob::opaque(&set.value));
    match namespace.write(&set.key, value, ttl) {
        Ok(()) => reply::ok(out),
        Err(error) => refuse(&error, out),
    }
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

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
