//! Invalidation by key, prefix, namespace and tag: `POST /v1/{keyspace}/{namespace}:invalidate` and `POST /v1/{keyspace}:invalidate`;
//! `:expire` makes stale what the other makes gone.
//!
//! When it is answered no reader that starts gets what was made gone (P1). What is none of the namespace is told before anything is done: a
//! client that was answered would take it for gone. One key that fails keeps none of the others from it.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use forebay::{Blob, Error, Namespace};
use serde::{Deserialize, Deserializer, Serialize};

use super::find;
use super::{Served, many};
use crate::problem::Problem;

/// The most tags of one request, and the longest of them in bytes.
const TAGS_MAX: usize = 1_000;
const TAG_BYTES_MAX: usize = 1024;

/// What becomes of what is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// It is gone.
    Invalidate,
    /// It is stale: served only if the source fails and the policy allows it.
    Expire,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OfNamespace {
    #[serde(deserialize_with = "said")]
    keys: Option<Vec<String>>,
    #[serde(deserialize_with = "said")]
    prefix: Option<String>,
}

/// A member that is there has a value: `null` is what a program sends that forgot to name something, and must not stand for all.
fn said<'d, T: Deserialize<'d>, D: Deserializer<'d>>(told: D) -> Result<Option<T>, D::Error> {
    T::deserialize(told).map(Some)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfKeyspace {
    tags: Vec<String>,
}

/// How many keys of those named were held here.
#[derive(Debug, Serialize)]
struct Held {
    held: usize,
}

/// `POST /v1/{keyspace}:{verb}`.
pub(super) async fn in_keyspace(
    State(served): State<Arc<Served>>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Path(path) = path.map_err(|_| Problem::bad_path())?;
    const VERBS: &str = "`:invalidate`, `:expire`";
    let (name, verb) = path.rsplit_once(':').ok_or_else(|| Problem::no_such_verb(VERBS))?;
    let verb = Verb::named(verb).ok_or_else(|| Problem::no_such_verb(VERBS))?;
    let keyspaces = served.keyspaces.now();
    let keyspace = find::keyspace(&keyspaces, name)?;
    let OfKeyspace { tags } = many::json(body)?;
    if tags.len() > TAGS_MAX || tags.iter().any(|tag| tag.len() > TAG_BYTES_MAX) {
        let limits = format!("`tags` are at most {TAGS_MAX}, of at most {TAG_BYTES_MAX} bytes");
        return Err(Problem::bad_body(&limits));
    }
    let engine = served.engine.keyspace(keyspace.name());
    let mut failed = None;
    for tag in &tags {
        let told = match verb {
            Verb::Invalidate => engine.invalidate_tag(tag).await,
            Verb::Expire => engine.expire_tag(tag).await,
        };
        failed = told.err().or(failed);
    }
    match failed {
        None => Ok(StatusCode::NO_CONTENT.into_response()),
        Some(error) => Err(Problem::engine(&error)),
    }
}

impl Verb {
    /// The verb at the end of a path.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "invalidate" => Some(Self::Invalidate),
            "expire" => Some(Self::Expire),
            _ => None,
        }
    }
}

/// `POST /v1/{keyspace}/{namespace}:{verb}`: keys, a prefix, or `{}` for the whole namespace.
pub(super) async fn in_namespace(
    namespace: &Namespace<Blob>,
    verb: Verb,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let told = match many::json(body)? {
        OfNamespace { keys: Some(_), prefix: Some(_) } => {
            return Err(Problem::bad_body("say `keys` or `prefix`, not both"));
        }
        OfNamespace { keys: Some(keys), prefix: None } => {
            many::bounded(&keys)?;
            let pattern = namespace.pattern();
            if let Some(key) = keys.iter().find(|key| pattern.matches(key.as_bytes()).is_none()) {
                return Err(Problem::bad_key(key, &pattern.to_string()));
            }
            return of_keys(namespace, verb, &keys).await;
        }
        OfNamespace { keys: None, prefix } => {
            let prefix = prefix.unwrap_or_default();
            let (pattern, head) = (namespace.pattern(), namespace.pattern().literal_prefix());
            if !head.starts_with(prefix.as_bytes()) && !prefix.as_bytes().starts_with(head) {
                return Err(Problem::bad_prefix(&prefix, &pattern.to_string()));
            }
            match verb {
                Verb::Invalidate => namespace.invalidate_prefix(&prefix).await,
                Verb::Expire => namespace.expire_prefix(&prefix).await,
            }
        }
    };
    told.map_err(|error| Problem::engine(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn of_keys(namespace: &Namespace<Blob>, verb: Verb, keys: &[String]) -> Result<Response, Problem> {
    let (mut held, mut failed): (usize, Option<Error>) = (0, None);
    for key in keys {
        let told = match verb {
            Verb::Invalidate => namespace.invalidate_key(key.as_bytes()).await,
            Verb::Expire => namespace.expire_key(key.as_bytes()).await,
        };
        match told {
            Ok(was_held) => held += usize::from(was_held),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        None => Ok(Json(Held { held }).into_response()),
        Some(error) => Err(Problem::engine(&error)),
    }
}
