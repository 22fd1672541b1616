//! What memory answers at once: `GET`, `HGET`, and the plain `SET` of a value that is kept in memory alone. Without a future, a reference
//! to the value, or anything that only other requests need.
//!
//! A request that is not of this kind, or that memory does not answer, is left as it is for `execute.rs`, which carries out all requests:
//! what comes of it is the same by either way. Several that have come together are looked ahead for, so that they wait for the machine's
//! memory once and not one after the other.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use forebay::value::counter;
use forebay::{Blob, Error, Keyspace, Namespace, Value, Writes};
use forebay_wire::resp::{CommandSpec, Request, lookup, reply};
use smallvec::SmallVec;

use super::Service;
use super::refuse::refuse;
use super::session::Session;
use crate::limits::{KEY_BYTES_MAX, Limits, VALUE_BYTES_MAX};

/// As many requests are looked ahead for at once.
pub(super) const AHEAD_MAX: usize = 16;
/// Fewer are not worth it.
const AHEAD_MIN: usize = 3;
/// A value is copied under the lock of its entry up to so many bytes.
const COPIED_MAX: usize = 4 * 1024;

/// A request that has come whole.
pub(super) struct Arrived {
    pub(super) request: Request,
    /// What it asks for, where memory may answer it.
    simple: Option<(&'static CommandSpec, Simple)>,
}

/// A request that memory may answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Simple {
    Get,
    HGet,
    Set,
}

impl Arrived {
    pub(super) fn new(request: Request) -> Self {
        let simple = || {
            let spec = lookup(request.name())?;
            let simple = match (spec.name, request.len()) {
                ("GET", 2) => Simple::Get,
                ("HGET", 3) => Simple::HGet,
                ("SET", 3) => Simple::Set,
                _ => return None,
            };
            // What is refused for its size is refused in one place.
            let is_short = request.get(1)?.len() <= KEY_BYTES_MAX
                && (simple != Simple::Set || request.get(2)?.len() <= VALUE_BYTES_MAX);
            is_short.then_some((spec, simple))
        };
        let simple = simple();
        Self { request, simple }
    }

    /// Whether memory may answer it.
    pub(super) fn is_simple(&self) -> bool {
        self.simple.is_some()
    }

    fn is_write(&self) -> bool {
        matches!(self.simple, Some((_, Simple::Set)))
    }

    /// The key that memory is asked for, with the field of a hash where it is that alone.
    fn sought(&self) -> Option<(&[u8], Option<&[u8]>)> {
        let (_, simple) = self.simple?;
        let field = self.request.get(2).filter(|_| matches!(simple, Simple::HGet));
        Some((self.request.get(1)?, field))
    }
}

/// Whether a simple request is now no more than that: the connection may do everything, is not in a transaction, gets its replies, and
/// nobody waits to be told of what it asks for.
pub(super) fn is_plain(service: &Service, session: &mut Session) -> bool {
    session.look_again();
    session.rights.are_all()
        && !session.rights.have_changed()
        && session.queue.is_none()
        && session.tracked.is_none()
        && !session.silence.is_any()
        && !session.is_listening_only()
        && !service.monitors.are_any()
        && !service.clients.is_paused(true)
        && !service.slow.is_slow(Duration::ZERO)
}

/// The namespaces of what has arrived.
pub(super) type Namespaces<'k> = SmallVec<[Option<&'k Namespace<Blob>>; AHEAD_MAX]>;

/// Finds the namespaces of what memory may answer, and looks ahead for it.
pub(super) fn look_ahead<'k>(
    arrived: &[Arrived],
    keyspace: Option<&'k Keyspace>,
    limits: &Limits,
) -> Namespaces<'k> {
    let limited = keyspace.filter(|keyspace| limits.is_any(keyspace.name()));
    // What a quota or a log has to hear of is none of one turn, nor is a write that may have to be refused.
    let is_free = |namespace: &Namespace<Blob>, arrived: &Arrived| {
        let limited = limited.and_then(|keyspace| limits.get(keyspace.name(), namespace.name()));
        limited.is_none_or(|limited| !arrived.is_write() && !limited.is_told_of_reads())
    };
    let find = |arrived: &Arrived| {
        keyspace?.find(arrived.sought()?.0).filter(|namespace| is_free(namespace, arrived))
    };
    let found: Namespaces<'k> = arrived.iter().map(find).collect();
    if arrived.len() >= AHEAD_MIN {
        for namespace in keyspace.iter().flat_map(|keyspace| keyspace.namespaces()) {
            let is_of = |found: &Namespace<Blob>| std::ptr::eq(found, namespace);
            let own = arrived.iter().zip(&found).filter(|(_, found)| found.is_some_and(is_of));
            namespace.look_ahead(own.filter_map(|(arrived, _)| arrived.sought()));
        }
    }
    found
}

/// Answers a simple request of a [plain](is_plain) connection if memory has the answer in its namespace; whether it did.
pub(super) fn answer(
    arrived: &Arrived,
    namespace: &Namespace<Blob>,
    service: &Service,
    session: &mut Session,
    out: &mut BytesMut,
) -> bool {
    let request = &arrived.request;
    let (Some((spec, simple)), Some(key)) = (arrived.simple, request.get(1)) else { return false };
    let answered = match simple {
        Simple::Get => get(key, namespace, session, out),
        Simple::HGet => hget(key, request.get(2).unwrap_or_default(), namespace, out),
        Simple::Set => set(request, namespace, service, session, out),
    };
    if answered.is_some() {
        session.tally.count(Some(spec.name), &service.asked);
        session.command = spec.name;
    }
    answered.is_some()
}

/// What of a value was not written under the lock of its entry.
enum Rest {
    Nothing,
    All(Bytes),
}

fn get(key: &[u8], namespace: &Namespace<Blob>, session: &Session, out: &mut BytesMut) -> Option<()> {
    let rest = namespace.answer_now(key, |value| match value {
        Some(Value::Blob(blob)) => Some(copied(blob.as_bytes(), || blob.bytes(), out)),
        Some(Value::Counter(number)) => {
            reply::bulk(out, &counter::print(*number));
            Some(Rest::Nothing)
        }
        None => {
            reply::null(out, session.version);
            Some(Rest::Nothing)
        }
        Some(_) => None,
    });
    rest.map(|rest| rest.write(out))
}

fn hget(key: &[u8], field: &[u8], namespace: &Namespace<Blob>, out: &mut BytesMut) -> Option<()> {
    let rest = namespace.answer_field_now(key, field, |value| copied(value, || value.clone(), out));
    rest.map(|rest| rest.write(out))
}

/// Keeps a value where nothing else has the truth, or nobody is told.
fn set(
    request: &Request,
    namespace: &Namespace<Blob>,
    service: &Service,
    session: &Session,
    out: &mut BytesMut,
) -> Option<()> {
    if namespace.policy().writes != Writes::Cache {
        return None;
    }
    let (key, value) = (request.bytes(1)?, request.get(2)?);
    let kept: Result<(), Error> = namespace.write(&key, Blob::opaque(value).into(), None);
    service.watches.changed(session.db, [&key]);
    match kept {
        Ok(()) => reply::ok(out),
        Err(error) => refuse(&error.into(), out),
    }
    Some(())
}

/// Writes a value that is small; of a larger one, the whole is left.
fn copied(value: &[u8], shared: impl FnOnce() -> Bytes, out: &mut BytesMut) -> Rest {
    if value.len() > COPIED_MAX {
        return Rest::All(shared());
    }
    reply::bulk(out, value);
    Rest::Nothing
}

impl Rest {
    fn write(self, out: &mut BytesMut) {
        if let Self::All(value) = self {
            reply::bulk(out, &value);
        }
    }
}
