//! Plain HTTP with proper caching headers: `/v1/{keyspace}/{namespace}/{key}`.
//!
//! `answer.rs` makes the reply and its headers from the engine's one outcome; errors are problem details
//! (`../problem.rs`).

mod answer;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use forebay::{Blob, Namespace, Value, Writes};
use tokio::net::TcpListener;

use crate::keyspaces::{InService, Keyspaces};
use crate::problem::Problem;
use crate::stop::Stop;

/// The largest value that is taken, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The routes of the keyspaces.
pub(crate) fn router(keyspaces: Keyspaces) -> Router {
    let of_key = get(read).put(write).delete(delete).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/v1/{keyspace}/{namespace}/{*key}", of_key)
        .fallback(async || Problem::no_such_path())
        .method_not_allowed_fallback(async || Problem::no_such_method())
        .with_state(keyspaces)
}

/// Serves until it is told to stop, then finishes the requests under way.
pub(crate) async fn serve(listener: TcpListener, router: Router, mut stop: Stop) {
    let stopping = async move { stop.asked().await };
    let listener = listener.tap_io(|stream| {
        // Without it a reply may wait for the acknowledgement of the one before; a socket that refuses is served all the same.
        let _ = stream.set_nodelay(true);
    });
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopping).await {
        tracing::error!(%error, "HTTP ended");
    }
}

/// The keyspace, the namespace and the key.
type KeyPath = Result<Path<(String, String, String)>, PathRejection>;

async fn read(
    State(keyspaces): State<Keyspaces>,
    path: KeyPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path((keyspace, namespace, key)) = path.map_err(|_| Problem::bad_path())?;
    let served = keyspaces.now();
    let namespace = find(&served, &keyspace, &namespace, &key)?;
    let read = if asks_for_the_truth(&headers) {
        namespace.read_fresh(key.as_bytes()).await
    } else {
        namespace.read(key.as_bytes()).await
    };
    let read = read.map_err(|error| Problem::engine(&error))?;
    Ok(answer::answer(&read, namespace.policy().writes, &headers))
}

/// Gives the key the body as its value, where the namespace's writes go.
async fn write(
    State(keyspaces): State<Keyspaces>,
    path: KeyPath,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Path((keyspace, namespace, key)) = path.map_err(|_| Problem::bad_path())?;
    let served = keyspaces.now();
    let namespace = find(&served, &keyspace, &namespace, &key)?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::body_too_large(BODY_BYTES_MAX),
        _ => Problem::no_body(),
    })?;
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let value = Value::from(match content_type {
        Some(content_type) => Blob::new(body, content_type),
        None => Blob::opaque(body),
    });
    namespace.set_key(key.as_bytes(), value, None).await.map_err(|error| Problem::engine(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Deletes the key where the namespace's writes go; of a cache it drops every copy, and the next read loads.
async fn delete(State(keyspaces): State<Keyspaces>, path: KeyPath) -> Result<Response, Problem> {
    let Path((keyspace, namespace, key)) = path.map_err(|_| Problem::bad_path())?;
    let served = keyspaces.now();
    let namespace = find(&served, &keyspace, &namespace, &key)?;
    let key = key.as_bytes();
    let deleted = match namespace.policy().writes {
        Writes::Through | Writes::Behind | Writes::Store => namespace.delete_key(key).await,
        Writes::Refuse | Writes::Cache => namespace.invalidate_key(key).await.map(drop),
    };
    deleted.map_err(|error| Problem::engine(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `Cache-Control: no-cache` in a request asks for the source's own answer.
fn asks_for_the_truth(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

fn find<'k>(
    served: &'k InService,
    keyspace: &str,
    namespace: &str,
    key: &str,
) -> Result<&'k Namespace<Blob>, Problem> {
    let found = served.named(keyspace).ok_or_else(|| Problem::no_keyspace(keyspace))?;
    let found = found.namespace(namespace).ok_or_else(|| Problem::no_namespace(keyspace, namespace))?;
    if found.pattern().matches(key.as_bytes()).is_none() {
        return Err(Problem::bad_key(key, &found.pattern().to_string()));
    }
    Ok(found)
}
