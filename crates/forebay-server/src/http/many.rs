//! Many keys in one request: `POST /v1/{keyspace}/{namespace}:get`. Those that miss are loaded together.
//!
//! Each key has its own entry, in the order in which they were asked for: its value, its absence, or why it cannot be had. JSON is
//! embedded as JSON, text as a string, other bytes as Base64; or, for who wants each value just as it was written, whatever is UTF-8 as a
//! string: what parses embedded JSON loses its spelling, and the digits of long numbers.
//!
//! An answer has some number of bytes at most, and so have the values that are in memory for it: what is known of their sizes is looked at
//! first. The keys that find no room are given back unread, so that a client goes on with just these, as those of DynamoDB do with
//! `UnprocessedKeys`. Of the first key the value always goes in: each answer brings its client further.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay::{Blob, Error, Freshness, Listed, Namespace, Read, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::invalidate::{self, Verb};
use super::media::Media;
use super::{Served, metadata};
use super::{find, limited};
use crate::problem::Problem;

/// The most keys of one request.
pub(super) const KEYS_MAX: usize = 1_000;
/// Keys that are read together.
const TOGETHER_MAX: usize = 64;
/// The most bytes of one answer, give or take one value.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    keys: Vec<String>,
    #[serde(default, rename = "as")]
    shape: Shape,
}

/// How values go into the answer.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shape {
    /// By their content types.
    #[default]
    Typed,
    /// As text, whatever their content types say.
    Text,
}

#[derive(Debug, Default, Serialize)]
struct Entry<'e> {
    key: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Content<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'e RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u64>,
    /// `fresh`, `stale` or `absent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Wrong>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Content<'e> {
    Json(&'e RawValue),
    Text(&'e str),
}

#[derive(Debug, Serialize)]
struct Wrong {
    /// What it is alone.
    status: u16,
    code: &'static str,
    detail: String,
}

/// `POST /v1/{keyspace}/{namespace}:{verb}`.
pub(super) async fn post(
    State(served): State<Arc<Served>>,
    path: Result<Path<(String, String)>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Path((of, path)) = path.map_err(|_| Problem::bad_path())?;
    let keyspaces = served.keyspaces.now();
    let no_such_verb = || Problem::no_such_verb("`:get`, `:invalidate`, `:expire`");
    let (name, verb) = path.rsplit_once(':').ok_or_else(no_such_verb)?;
    if verb == "get" {
        let namespace = find::namespace(&keyspaces, &of, name)?;
        let Asked { keys, shape } = json(body)?;
        bounded(&keys)?;
        let operation = limited::of_keys(&keyspaces, (&of, name), &keys)?;
        return limited::ended(operation, get(namespace, &keys, shape).await);
    }
    let verb = Verb::named(verb).ok_or_else(no_such_verb)?;
    let namespace = find::namespace(&keyspaces, &of, name)?;
    invalidate::in_namespace(namespace, verb, body).await
}

/// The JSON of a body.
///
/// # Errors
/// The problem to answer with where it is none, or none of this shape.
pub(super) fn json<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let body = body.map_err(|rejection| Problem::body(&rejection, super::JSON_BYTES_MAX))?;
    if body.is_empty() {
        return Err(Problem::bad_body("the body is empty: it is JSON"));
    }
    serde_json::from_slice(&body).map_err(|error| Problem::bad_body(&format!("the body: {error}")))
}

/// Whether these are no more keys than one request may name.
///
/// # Errors
/// The problem to answer with where they are.
pub(super) fn bounded(keys: &[String]) -> Result<(), Problem> {
    if keys.len() <= KEYS_MAX {
        return Ok(());
    }
    Err(Problem::bad_body(&format!("`keys` are at most {KEYS_MAX}: ask for the rest in another request")))
}

async fn get(namespace: &Namespace<Blob>, keys: &[String], shape: Shape) -> Result<Response, Problem> {
    let mut out = b"{\"entries\":[".to_vec();
    let mut unread = keys;
    loop {
        let room = ANSWER_BYTES_MAX.saturating_sub(out.len());
        if unread.is_empty() || room == 0 {
            break;
        }
        let is_first = unread.len() == keys.len();
        let count = fitting(namespace, unread, room).await.max(usize::from(is_first));
        let Some((together, _)) = unread.split_at_checked(count).filter(|_| count > 0) else { break };
        let is_own = |key: &&String| find::is_one(namespace, key).is_ok();
        let own: Vec<&[u8]> = together.iter().filter(is_own).map(|key| key.as_bytes()).collect();
        let mut reads = namespace.read_many(&own).await.into_iter();
        for key in together {
            // Of some it was not known how large they are.
            if out.len() >= ANSWER_BYTES_MAX {
                break;
            }
            if !out.ends_with(b"[") {
                out.push(b',');
            }
            match find::is_one(namespace, key) {
                Err(problem) => written(&mut out, &wrong(key, &problem))?,
                Ok(()) => {
                    let Some(read) = reads.next().map(|read| read.map(as_bytes)) else { break };
                    written(&mut out, &entry(key, &read, shape))?;
                }
            }
            unread = unread.get(1..).unwrap_or_default();
        }
    }
    out.extend_from_slice(b"],\"unread\":");
    written(&mut out, &unread)?;
    out.push(b'}');
    let mut response = Body::from(out).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// How many of `keys` are read next, so that what is known of their values fits in `room` bytes. What a source has is not known before it
/// is loaded; it is among the values that wait for room in memory anyway.
async fn fitting(namespace: &Namespace<Blob>, keys: &[String], room: usize) -> usize {
    let keys: Vec<&[u8]> = keys.iter().take(TOGETHER_MAX).map(|key| key.as_bytes()).collect();
    // What fails here fails for each key when it is read, and is told there.
    let listed = namespace.inspect_many(&keys).await.unwrap_or_default();
    let mut left = u64::try_from(room).unwrap_or(u64::MAX);
    let fits = |listed: &&Option<Listed>| {
        let weight_bytes = listed.as_ref().map_or(0, |listed| listed.inspected.weight_bytes);
        // As Base64.
        let rest = left.checked_sub(weight_bytes.saturating_mul(4) / 3);
        left = rest.unwrap_or_default();
        rest.is_some()
    };
    // Where nothing is known of them, one by one.
    if listed.is_empty() { keys.len().min(1) } else { listed.iter().take_while(fits).count() }
}

fn written(out: &mut Vec<u8>, what: &impl Serialize) -> Result<(), Problem> {
    serde_json::to_writer(out, what).map_err(|error| Problem::bad_body(&format!("the answer: {error}")))
}

/// What was read, a counter as the text of its number.
fn as_bytes(read: Read) -> Read {
    let value = read.value.map(|value| value.to_blob().map_or(value, Value::from));
    Read { value, ..read }
}

fn entry<'e>(key: &'e str, read: &'e Result<Read, Error>, shape: Shape) -> Entry<'e> {
    let (value, outcome) = match read {
        Err(error) => return wrong(key, &Problem::engine(error)),
        Ok(Read { value, outcome }) => (value, outcome),
    };
    let state = match outcome.freshness {
        Freshness::Fresh => "fresh",
        Freshness::Stale(_) => "stale",
        Freshness::Absent => "absent",
    };
    let read = Entry { key, age_s: Some(outcome.age.as_secs()), state: Some(state), ..Entry::default() };
    let Some(value) = value else { return read };
    let Some(blob) = value.as_blob() else { return wrong(key, &Problem::other_kind(value.kind())) };
    let value = content(blob, shape);
    let base64 = value.is_none().then(|| STANDARD.encode(blob.as_bytes()));
    let content_type = Some(blob.content_type());
    Entry { value, base64, content_type, metadata: metadata::json(blob), ..read }
}

/// What can be embedded as it is; `None` for other bytes.
fn content(blob: &Blob, shape: Shape) -> Option<Content<'_>> {
    let media = match shape {
        Shape::Typed => Media::of(blob.content_type()),
        Shape::Text => Media::Text,
    };
    match media {
        Media::Json => serde_json::from_slice(blob.as_bytes()).ok().map(Content::Json),
        Media::Text => std::str::from_utf8(blob.as_bytes()).ok().map(Content::Text),
        Media::Bytes => None,
    }
}

fn wrong<'e>(key: &'e str, problem: &Problem) -> Entry<'e> {
    let error = Wrong { status: problem.status(), code: problem.code(), detail: problem.detail().to_owned() };
    Entry { key, error: Some(error), ..Entry::default() }
}
