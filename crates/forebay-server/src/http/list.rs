//! The keys of a namespace by their prefix: `GET /v1/{keyspace}/{namespace}?prefix=…&limit=…&cursor=…`.
//!
//! Of a store these are its keys, in the order of their bytes; of a cache those that are held here, in no order, and one may come twice.
//! What is there from the first page to the last is listed, whatever is written meanwhile. Nothing is loaded.
//!
//! A cursor says where to go on, so that nothing is remembered here between two pages: any instance on the same store can give the next
//! one. It carries a checksum over the place, the namespace and the prefix, since a cursor for another listing would leave keys out; and
//! whether it is one of a store, which a reload may have changed meanwhile.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forebay::{Blob, Listed, Namespace};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use twox_hash::XxHash3_128;

use super::find;
use super::{Served, life};
use crate::keys::{self, Place};
use crate::problem::Problem;

/// The most keys of one answer, and how many are listed where nothing is said.
pub(super) const LIMIT_MAX: usize = 1_000;
/// The most pages of memory that one answer looks through, which many namespaces may share.
const PAGES_MAX: usize = 16;
/// The most bytes of keys that one answer lists, give or take one page.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Keys looked at together.
const PAGE: usize = 250;

/// What the query says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    prefix: String,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    keys: Vec<Entry>,
    /// Where to go on; null at the end.
    cursor: Option<String>,
    /// Whether these were the last.
    complete: bool,
}

#[derive(Debug, Serialize)]
struct Entry {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<RawValue>>,
}

/// Lists keys.
pub(super) async fn list(
    State(served): State<Arc<Served>>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let Path((of, name)) = path.map_err(|_| Problem::bad_path())?;
    let keyspaces = served.keyspaces.now();
    let namespace = find::namespace(&keyspaces, &of, &name)?;
    let Query(asked) = query.map_err(|rejection| Problem::bad_query(&rejection.body_text()))?;
    let limit = asked.limit.unwrap_or(LIMIT_MAX);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_query(&format!("`limit` is a number from 1 to {LIMIT_MAX}")));
    }
    let salt = salt(&of, namespace, &asked.prefix);
    let mut place = match asked.cursor {
        None => Place::Start,
        Some(cursor) => placed(&cursor, salt, namespace)?,
    };
    let (mut entries, mut bytes, mut is_over) = (Vec::new(), 0, false);
    for _ in 0..PAGES_MAX {
        let most = PAGE.min(limit - entries.len());
        let (page, next) = keys::page(namespace, &place, asked.prefix.as_bytes(), most)
            .await
            .map_err(|error| Problem::engine(&error))?;
        bytes += page.iter().map(Vec::len).sum::<usize>();
        entries.extend(described(namespace, page, asked.prefix.as_bytes()).await?);
        is_over = next.is_none();
        place = next.unwrap_or_default();
        if is_over || entries.len() >= limit || bytes >= ANSWER_BYTES_MAX {
            break;
        }
    }
    let cursor = (!is_over).then(|| cursor(&place, salt));
    let mut response = Json(Answer { keys: entries, complete: cursor.is_none(), cursor }).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What is told of those `keys` that are there and begin with `prefix`. A key that is no text has no path, and is not listed.
async fn described(
    namespace: &Namespace<Blob>,
    keys: Vec<Vec<u8>>,
    prefix: &[u8],
) -> Result<Vec<Entry>, Problem> {
    let keys: Vec<String> = keys
        .into_iter()
        .filter(|key| key.starts_with(prefix))
        .filter_map(|key| String::from_utf8(key).ok())
        .collect();
    let texts: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    let listed = namespace.inspect_many(&texts).await.map_err(|error| Problem::engine(&error))?;
    let entry = |(key, listed): (String, Option<Listed>)| {
        let Listed { inspected, metadata } = listed?;
        let left = inspected.left.filter(|left| *left < forebay::FOR_EVER);
        Some(Entry {
            key,
            expires_at: left.and_then(life::moment),
            metadata: metadata.and_then(|metadata| serde_json::from_slice(&metadata).ok()),
        })
    };
    Ok(keys.into_iter().zip(listed).filter_map(entry).collect())
}

/// What tells the cursors of one listing from those of others.
fn salt(of: &str, namespace: &Namespace<Blob>, prefix: &str) -> u128 {
    let name = [of, namespace.name(), prefix].map(|part| format!("{}:{part}", part.len())).concat();
    XxHash3_128::oneshot(name.as_bytes())
}

/// How many bytes of the checksum go into a cursor.
const SUM_BYTES: usize = 8;

fn sum(content: &[u8], salt: u128) -> [u8; SUM_BYTES] {
    let whole = XxHash3_128::oneshot(&[&salt.to_le_bytes()[..], content].concat()).to_le_bytes();
    whole.first_chunk().copied().unwrap_or_default()
}

/// What a cursor of memory begins with, and one of a store.
const OF_MEMORY: u8 = b'm';
const OF_STORE: u8 = b's';

/// The text of a place.
fn cursor(place: &Place, salt: u128) -> String {
    let content = match place {
        Place::Start => Vec::new(),
        Place::Memory(cursor) => [&[OF_MEMORY][..], &cursor.to_le_bytes()].concat(),
        Place::After(key) => [&[OF_STORE], &**key].concat(),
    };
    URL_SAFE_NO_PAD.encode([&sum(&content, salt)[..], &content].concat())
}

/// The place of a text.
///
/// # Errors
/// The problem to answer with where it is no cursor of this listing, or one from before the namespace came to have another mode.
fn placed(cursor: &str, salt: u128, namespace: &Namespace<Blob>) -> Result<Place, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| Problem::bad_cursor())?;
    let (told, content) = bytes.split_first_chunk::<SUM_BYTES>().ok_or_else(Problem::bad_cursor)?;
    if *told != sum(content, salt) {
        return Err(Problem::bad_cursor());
    }
    let is_store = namespace.is_store();
    match content {
        [] => Ok(Place::Start),
        [OF_STORE, key @ ..] if is_store => Ok(Place::After(key.into())),
        [OF_MEMORY, number @ ..] if !is_store => {
            let number = number.try_into().map_err(|_| Problem::bad_cursor())?;
            Ok(Place::Memory(u64::from_le_bytes(number)))
        }
        _ => Err(Problem::old_cursor(namespace.name())),
    }
}
