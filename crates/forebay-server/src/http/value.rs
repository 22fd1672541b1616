//! One value: read, written and deleted at `/v1/{keyspace}/{namespace}/{key}`.
//!
//! A write with a condition is a change under the key's turn: nobody comes between the look and the write. That holds where the values
//! are the truth themselves; where a source or a sink has it, such a write is refused, since nobody here could keep the condition.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use forebay::namespace::kind;
use forebay::{Blob, Error, Namespace, Value, Writes};

use super::answer::{Asked, Declared};
use super::conditions::{self, Form, Tag};
use super::find::{self, KeyPath};
use super::{BODY_BYTES_MAX, Served, life, metadata};
use crate::limits::workers_kv::Life;
use crate::problem::Problem;

/// How often a conditional write is begun again that somebody came before who waits for nobody.
const TRIES_MAX: usize = 8;

/// Answers with the value of a key.
pub(super) async fn read(
    State(served): State<Arc<Served>>,
    path: KeyPath,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let keyspaces = served.keyspaces.now();
    let is_secure = path.as_ref().is_ok_and(|Path((of, name, _))| keyspaces.is_secure(of, name));
    let (namespace, key) = find::key(&keyspaces, path)?;
    let past_copies = asks_for_the_truth(&headers);
    let read = if past_copies {
        namespace.read_fresh(key.as_bytes()).await
    } else {
        namespace.read(key.as_bytes()).await
    };
    let read = read.map_err(|error| Problem::engine(&error))?;
    let declared = Declared { writes: namespace.policy().writes, is_secure };
    let asked = Asked { read: &read, declared, past_copies, method: &method, headers: &headers };
    asked.answer(&served.forms).await
}

/// Gives the key the body as its value, where the namespace's writes go. Only a write with a condition looks at what is there, in the key's
/// turn, and can tell that a value is new (201, RFC 9110 §9.3.4); any other is 204: it would have to look for that alone, and a sink
/// cannot be looked at.
pub(super) async fn write(
    State(served): State<Arc<Served>>,
    path: KeyPath,
    life: Result<Option<Life>, Problem>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let keyspaces = served.keyspaces.now();
    let (namespace, key) = find::key(&keyspaces, path)?;
    is_whole_and_plain(&headers)?;
    let (ttl, metadata) = (life?.map(life::left).transpose()?, metadata::asked(&headers, namespace)?);
    let body = body.map_err(|rejection| Problem::body(&rejection, BODY_BYTES_MAX))?;
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let blob = match content_type {
        Some(content_type) => Blob::new(&body, content_type),
        None => Blob::opaque(&body),
    };
    let blob = metadata.map(|metadata| blob.with_metadata(metadata.as_bytes())).unwrap_or(blob);
    let (value, tag) = kept(namespace, blob);
    let key = key.as_bytes();
    let is_new = if conditions::are_asked(&headers) {
        let was_there = changed(namespace, key, &headers, Some((&value, ttl))).await?;
        !was_there
    } else {
        let set = namespace.set_key(key, value, ttl).await;
        set.map_err(|error| Problem::engine(&error))?;
        false
    };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    let mut response = status.into_response();
    response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
    Ok(response)
}

/// What the namespace makes of a value that it is given, and the tag by which that will be known. A sink may store something else, and
/// what is refused has none.
fn kept(namespace: &Namespace<Blob>, blob: Blob) -> (Value, Option<HeaderValue>) {
    let policy = namespace.policy();
    let value = Value::from(blob);
    if matches!(policy.writes, Writes::Through | Writes::Behind) {
        return (value, None);
    }
    let kept = kind::fit(policy.kind, value.clone()).ok().and_then(|value| value.to_blob());
    let tag = kept.and_then(|blob| Tag::of(&blob).header(Form::Identity));
    (value, tag)
}

/// Whether a body is a whole value as it is: part of one would take the place of all of it (RFC 9110 §14.5), and of a coding nobody who
/// reads would be told.
///
/// # Errors
/// The problem to answer with where it is not.
fn is_whole_and_plain(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Problem::no_parts());
    }
    let is_plain = |line: &HeaderValue| {
        let mut codings = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"))
    };
    match headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        true => Ok(()),
        false => Err(Problem::encoding_refused()),
    }
}

/// Deletes the key where the namespace's writes go; of a cache it drops every copy, and the next read loads.
pub(super) async fn delete(
    State(served): State<Arc<Served>>,
    path: KeyPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let keyspaces = served.keyspaces.now();
    let (namespace, key) = find::key(&keyspaces, path)?;
    let key = key.as_bytes();
    if conditions::are_asked(&headers) {
        changed(namespace, key, &headers, None).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let deleted = match namespace.policy().writes {
        Writes::Through | Writes::Behind | Writes::Store => namespace.delete_key(key).await,
        Writes::Refuse | Writes::Cache => namespace.invalidate_key(key).await.map(drop),
    };
    deleted.map_err(|error| Problem::engine(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Puts a blob, to end after the span beside it, in the place of what the key has, or deletes that, where it is as the headers say; whether
/// there was something.
async fn changed(
    namespace: &Namespace<Blob>,
    key: &[u8],
    asked: &HeaderMap,
    put: Option<(&Value, Option<Duration>)>,
) -> Result<bool, Problem> {
    if !namespace.takes_changes() {
        return Err(Problem::no_conditions(namespace.name()));
    }
    for tries_left in (0..TRIES_MAX).rev() {
        let begun = namespace.begin_change(&[key]).await;
        let mut change = begun.map_err(|error| Problem::engine(&error))?;
        let mut was_there = false;
        for slot in change.slots() {
            conditions::of_write(asked, slot.value())?;
            was_there = slot.value().is_some();
            match put {
                Some((value, ttl)) => {
                    slot.replace(value.clone());
                    ttl.map(|ttl| slot.ends_after(ttl));
                }
                None => drop(slot.value_mut().take()),
            }
        }
        match change.commit().await {
            Err(Error::ChangedMeanwhile { .. }) if tries_left > 0 => {}
            committed => return committed.map(|()| was_there).map_err(|error| Problem::engine(&error)),
        }
    }
    Ok(false)
}

/// `Cache-Control: no-cache` in a request asks for the source's own answer.
pub(super) fn asks_for_the_truth(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}
