//! From a command to the values of its keys, and back.
//!
//! What a command needs of its keys is in its row of the table. Who only asks whether something is there is told what is held, and
//! loads nothing, unless the namespace says `exists = "load"`. Who reads is given values, through the source where they miss. Who changes has its turn with the keys of a store
//! (or of memory that no source stands behind), is run on what is there, and what it leaves is committed, that of one namespace as
//! one (`begun.rs` says what holds for several). Where a source or a sink has the truth, writes go where their namespace says:
//! `cached.rs`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use forebay::value::{Hash, counter};
use forebay::{Blob, Error, Keyspace, Namespace, Read, Value};
use forebay_wire::resp::{
    Condition, Data, Expiry, HashCommand, KeyCommand, KeyUse, Set, StringCommand, Version, reply,
};

use super::Service;
use super::begun::{self, Begun, TRIES_MAX};
use super::cached;
use super::refuse::refuse;
use super::replies::Replies;
use super::session::Session;
use super::time::until;
use super::values::{self, Answer, Cell, Refusal, View};
use super::watch::Watches;

/// Keys that one `MGET` reads together; values wait for the client to take those before them, so that their number is
/// bounded.
const TOGETHER_MAX: usize = 64;

/// Carries out `data`, which names `keys` and does with them what `usage` says.
///
/// # Errors
/// When the client no longer takes replies.
pub(super) async fn carry_out(
    data: &Data,
    keys: &[Bytes],
    usage: KeyUse,
    service: &Service,
    session: &Session,
    replies: &mut Replies<'_>,
) -> io::Result<()> {
    match data {
        Data::String(StringCommand::MGet { keys }) => mget(keys, session, replies).await?,
        data => answered(data, keys, usage, service, session, &mut replies.out).await,
    }
    Ok(())
}

/// Answers `data` whole.
async fn answered(
    data: &Data,
    keys: &[Bytes],
    usage: KeyUse,
    service: &Service,
    session: &Session,
    out: &mut BytesMut,
) {
    let Some(keyspace) = &session.keyspace else { return };
    let begun = out.len();
    let answer = &mut Answer::new(out, session.version);
    let done = match usage {
        KeyUse::None => Ok(()),
        KeyUse::Inspect => inspect(data, keys, keyspace, session, answer).await,
        KeyUse::Read => read(data, keys, keyspace, session, answer).await,
        KeyUse::Write | KeyUse::Mark | KeyUse::Remove => {
            change(data, keys, keyspace, session, &service.watches, answer).await
        }
    };
    if let Err(refused) = done {
        // What was answered before it failed is not the answer.
        out.truncate(begun);
        refuse(&refused, out);
    }
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// What its keys have does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The engine could not read or write.
    #[error(transparent)]
    Engine(#[from] Error),
}

/// Answers the string that a key has.
pub(super) async fn get(key: &[u8], session: &Session, out: &mut BytesMut) {
    match session.namespace(key) {
        Some(namespace) => {
            let read = namespace.read(key).await;
            read.iter().for_each(|read| session.saw(key, &read.outcome));
            string(read, session.version, out);
        }
        None => reply::null(out, session.version),
    }
}

/// Answers the string that was read.
pub(super) fn string(read: Result<Read, Error>, version: Version, out: &mut BytesMut) {
    let mut answer = Answer::new(out, version);
    match read {
        Ok(Read { value: Some(Value::Blob(blob)), .. }) => answer.bulk(blob.as_bytes()),
        Ok(Read { value: Some(Value::Counter(number)), .. }) => answer.bulk(&counter::print(number)),
        Ok(Read { value: None, .. }) => answer.null(),
        Ok(_) => refuse(&Refusal::WrongKind.into(), out),
        Err(error) => refuse(&error.into(), out),
    }
}

/// Answers the strings of `keys` while the client takes them.
async fn mget(keys: &[Bytes], session: &Session, replies: &mut Replies<'_>) -> io::Result<()> {
    let version = session.version;
    Answer::new(&mut replies.out, version).array(keys.len());
    for keys in keys.chunks(TOGETHER_MAX) {
        let reads = read_many(keys, session.keyspace.as_deref()).await;
        for (key, read) in keys.iter().zip(reads) {
            read.iter().flatten().for_each(|read| session.saw(key, &read.outcome));
            let mut answer = Answer::new(&mut replies.out, version);
            match read {
                Some(Ok(Read { value: Some(Value::Blob(blob)), .. })) => answer.bulk(blob.as_bytes()),
                Some(Ok(Read { value: Some(Value::Counter(number)), .. })) => {
                    answer.bulk(&counter::print(number));
                }
                // An error of one key stands in its place: RESP allows errors within an array.
                Some(Err(error)) => refuse(&error.into(), &mut replies.out),
                _ => answer.null(),
            }
            replies.send_if_many().await?;
        }
    }
    Ok(())
}

/// Reads keys of any namespaces, those of each together; `None` for a key of no namespace. In the order of `keys`.
pub(super) async fn read_many(
    keys: &[Bytes],
    keyspace: Option<&Keyspace>,
) -> Vec<Option<Result<Read, Error>>> {
    let mut reads: Vec<Option<Result<Read, Error>>> = keys.iter().map(|_| None).collect();
    let Some(keyspace) = keyspace else { return reads };
    for (namespace, places) in by_namespace(keys, keyspace) {
        let keys: Vec<&[u8]> =
            places.iter().filter_map(|place| keys.get(*place)).map(AsRef::as_ref).collect();
        for (place, read) in places.into_iter().zip(namespace.read_many(&keys).await) {
            if let Some(slot) = reads.get_mut(place) {
                *slot = Some(read);
            }
        }
    }
    reads
}

/// The places in `keys` of the keys of each namespace, in the order of the keyspace's namespaces.
pub(super) fn by_namespace<'k>(
    keys: &[Bytes],
    keyspace: &'k Keyspace,
) -> Vec<(&'k Namespace<Blob>, Vec<usize>)> {
    let found: Vec<_> = keys.iter().map(|key| keyspace.find(key)).collect();
    let of = |namespace: &'k Namespace<Blob>| {
        let is_of =
            |found: &Option<&Namespace<Blob>>| found.is_some_and(|found| std::ptr::eq(found, namespace));
        let places: Vec<usize> =
            found.iter().enumerate().filter(|(_, found)| is_of(found)).map(|(place, _)| place).collect();
        (!places.is_empty()).then_some((namespace, places))
    };
    keyspace.namespaces().iter().filter_map(of).collect()
}

/// Runs a command on what is known of its keys, without a load.
async fn inspect(
    data: &Data,
    keys: &[Bytes],
    keyspace: &Keyspace,
    session: &Session,
    answer: &mut Answer<'_>,
) -> Result<(), Failed> {
    let loads = |namespace: &Namespace<Blob>| session.served.now().loads_exists(session.db, namespace.name());
    if let Data::Hash(HashCommand::Exists { key, field }) = data {
        let cell = match keyspace.find(key) {
            Some(namespace) if loads(namespace) => {
                Cell::new(fields_read(key, &[field], namespace, session).await?, None)
            }
            Some(namespace) => Cell::new(field_held(key, field, namespace, session).await?, None),
            None => Cell::default(),
        };
        return Ok(values::run(data, &mut View::new([(key.clone(), cell)]), answer).await?);
    }
    let mut cells = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(namespace) = keyspace.find(key) else { continue };
        let cell = match wants_content(data) {
            true => held(key, namespace).await?,
            false if matches!(data, Data::Key(KeyCommand::Exists { .. })) && loads(namespace) => {
                let Read { value, outcome } = namespace.read(key).await?;
                session.saw(key, &outcome);
                Cell::new(value, ending(Some(outcome.fresh_for)))
            }
            false => {
                let seen = namespace.inspect(key).await?;
                let (kind, left) = seen.map(|seen| (seen.kind, seen.left)).unzip();
                Cell::seen(kind, ending(left.flatten()))
            }
        };
        cells.push((key.clone(), cell));
    }
    Ok(values::run(data, &mut View::new(cells), answer).await?)
}

/// Whether `data`, which asks what is known of values, looks at what is in them.
fn wants_content(data: &Data) -> bool {
    matches!(data, Data::Key(KeyCommand::Encoding { .. } | KeyCommand::Weight { .. }))
}

/// What a store has for a key, or what is held of another namespace.
async fn held(key: &[u8], namespace: &Namespace<Blob>) -> Result<Cell, Error> {
    let read = match namespace.is_store() {
        true => Some(namespace.read(key).await?),
        false => namespace.read_now(key),
    };
    let ends = |read: &Read| ending(Some(read.outcome.fresh_for));
    Ok(read.map_or_else(|| Cell::new(None, None), |read| Cell::new(read.value.clone(), ends(&read))))
}

/// Runs a command on the values of its keys, which are loaded where they miss.
async fn read(
    data: &Data,
    keys: &[Bytes],
    keyspace: &Keyspace,
    session: &Session,
    answer: &mut Answer<'_>,
) -> Result<(), Failed> {
    if let Some((key, fields)) = fields_of(data)
        && let Some(namespace) = keyspace.find(key)
        && !namespace.is_store()
    {
        let cell = Cell::new(fields_read(key, &fields, namespace, session).await?, None);
        return Ok(values::run(data, &mut View::new([(key.clone(), cell)]), answer).await?);
    }
    let mut cells = Vec::with_capacity(keys.len());
    for (key, read) in keys.iter().zip(read_many(keys, Some(keyspace)).await) {
        if let Some(read) = read {
            let Read { value, outcome } = read?;
            session.saw(key, &outcome);
            cells.push((key.clone(), Cell::new(value, ending(Some(outcome.fresh_for)))));
        }
    }
    Ok(values::run(data, &mut View::new(cells), answer).await?)
}

/// The fields of the one hash that `data` reads, where it reads no others.
fn fields_of(data: &Data) -> Option<(&Bytes, Vec<&[u8]>)> {
    match data {
        Data::Hash(HashCommand::Get { key, field } | HashCommand::StrLen { key, field }) => {
            Some((key, vec![field]))
        }
        Data::Hash(HashCommand::MGet { key, fields }) => {
            Some((key, fields.iter().map(AsRef::as_ref).collect()))
        }
        _ => None,
    }
}

/// A hash in which these fields are known.
async fn fields_read(
    key: &[u8],
    fields: &[&[u8]],
    namespace: &Namespace<Blob>,
    session: &Session,
) -> Result<Option<Value>, Error> {
    let mut hash = Hash::partial();
    for (field, read) in fields.iter().zip(namespace.read_fields(key, fields).await?) {
        session.saw(key, &read.outcome);
        match read.value {
            Some(value) => hash.set(field, value),
            None => hash.remove(field),
        };
    }
    Ok(Some(hash.into()))
}

/// A hash in which this field is known, as far as that is so without a load: in what is held of a copy, or in a store.
async fn field_held(
    key: &[u8],
    field: &[u8],
    namespace: &Namespace<Blob>,
    session: &Session,
) -> Result<Option<Value>, Error> {
    if namespace.takes_changes() {
        return fields_read(key, &[field], namespace, session).await;
    }
    let value = namespace.read_field_now(key, field)?.and_then(|read| read.value);
    Ok(value.map(|value| Hash::whole([(field, value)]).into()))
}

/// How long something lasts, where that has an end.
pub(super) fn ending(left: Option<Duration>) -> Option<Duration> {
    left.filter(|left| *left < forebay::FOR_EVER)
}

/// Runs a command that changes what its keys have. It is begun again where somebody who waits for nobody came between.
async fn change(
    data: &Data,
    keys: &[Bytes],
    keyspace: &Keyspace,
    session: &Session,
    watches: &Arc<Watches>,
    answer: &mut Answer<'_>,
) -> Result<(), Failed> {
    let (db, maker) = (session.db, session.maker());
    let takes_changes = |key: &Bytes| keyspace.find(key).is_none_or(Namespace::takes_changes);
    if !keys.iter().all(takes_changes) {
        let written = cached::write(data, keyspace, answer).await;
        watches.changed(db, keys);
        return written;
    }
    if let Some((key, value, ttl)) = plain_set(data).filter(|_| maker.is_none())
        && let Some(namespace) = keyspace.find(key)
    {
        let set = namespace.set_key(key, Blob::opaque(value).into(), ttl).await;
        // Also where it failed: what is not confirmed may be there.
        watches.changed(db, keys);
        set?;
        answer.ok();
        return Ok(());
    }
    let answered = answer.len();
    for tries_left in (0..TRIES_MAX).rev() {
        let mut begun = Begun::new((db, maker), keys, by_namespace(keys, keyspace)).await?;
        let mut view = begun.view();
        values::run(data, &mut view, answer).await?;
        match begun::commit(vec![(begun, view)], watches).await {
            Ok(()) => break,
            Err(error) if tries_left > 0 && begun::may_begin_again(&error) => {
                answer.cut_back(answered);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The key, value and life of a `SET` that asks nothing of what was there before.
fn plain_set(data: &Data) -> Option<(&Bytes, &Bytes, Option<Duration>)> {
    let Data::String(StringCommand::Set(set)) = data else { return None };
    let Set { key, value, expiry, condition: Condition::Always, answer_previous: false } = set else {
        return None;
    };
    let ttl = match expiry {
        Expiry::Keep | Expiry::Never => return None,
        Expiry::Unsaid => None,
        Expiry::In { ttl_ms } => Some(Duration::from_millis(*ttl_ms)),
        // A time that has passed deletes what was there.
        Expiry::At { unix_ms } => Some(Some(until(*unix_ms)).filter(|ttl| !ttl.is_zero())?),
    };
    Some((key, value, ttl))
}
