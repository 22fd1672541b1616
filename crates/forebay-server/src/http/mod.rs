//! Plain HTTP with proper caching headers: `/v1/{keyspace}/{namespace}/{key}`.
//!
//! `answer.rs` makes the reply and its headers from the engine's one outcome; errors are problem details
//! (`../problem.rs`).

mod answer;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use forebay::{Blob, Keyspace, Namespace};
use tokio::net::TcpListener;

use crate::problem::Problem;
use crate::stop::Stop;

/// Keyspaces by name.
type Keyspaces = Arc<BTreeMap<String, Arc<Keyspace>>>;

/// The routes of the keyspaces.
pub(crate) fn router(keyspaces: BTreeMap<String, Arc<Keyspace>>) -> Router {
    Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/v1/{keyspace}/{namespace}/{*key}", get(read).delete(invalidate))
        .fallback(async || Problem::no_such_path())
        .method_not_allowed_fallback(async || Problem::no_such_method())
        .with_state(Arc::new(keyspaces))
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
    let namespace = find(&keyspaces, &keyspace, &namespace, &key)?;
    let read = if asks_for_the_truth(&headers) {
        namespace.read_fresh(key.as_bytes()).await
    } else {
        namespace.read(key.as_bytes()).await
    };
    let read = read.map_err(|error| Problem::engine(&error))?;
    Ok(answer::answer(&read, &headers))
}

/// Drops every copy; the next read loads.
async fn invalidate(State(keyspaces): State<Keyspaces>, path: KeyPath) -> Result<Response, Problem> {
    let Path((keyspace, namespace, key)) = path.map_err(|_| Problem::bad_path())?;
    let namespace = find(&keyspaces, &keyspace, &namespace, &key)?;
    namespace.invalidate_key(key.as_bytes()).await.map_err(|error| Problem::engine(&error))?;
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
    keyspaces: &'k Keyspaces,
    keyspace: &str,
    namespace: &str,
    key: &str,
) -> Result<&'k Namespace<Blob>, Problem> {
    let found = keyspaces.get(keyspace).ok_or_else(|| Problem::no_keyspace(keyspace))?;
    let found = found.namespace(namespace).ok_or_else(|| Problem::no_namespace(keyspace, namespace))?;
    if found.pattern().matches(key.as_bytes()).is_none() {
        return Err(Problem::bad_key(key, &found.pattern().to_string()));
    }
    Ok(found)
}
