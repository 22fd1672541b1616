//! Plain HTTP with proper caching headers: `/v1/{keyspace}/{namespace}/{key}`.
//!
//! `listener.rs` has the connections, `framing.rs` what is asked of every head, `bodies.rs` what is asked of bodies while they come. `find.rs` finds what a path names, `value.rs` reads and writes it, `answer.rs` makes the reply and its
//! headers from the engine's one outcome, with `conditions.rs` (entity tags), `range.rs` (parts) and `compress.rs` (forms of a value), `media.rs` reads content types;
//! `life.rs` and `metadata.rs` are what a write says beside its value. `many.rs`, `list.rs` and `invalidate.rs` go over many keys,
//! `openapi.rs` tells what is served. Errors are problem details (`../problem.rs`).

mod answer;
pub(crate) mod bodies;
mod compress;
mod conditions;
mod find;
pub(crate) mod framing;
mod invalidate;
mod life;
mod list;
mod listener;
mod many;
mod media;
mod metadata;
mod openapi;
mod range;
mod value;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use forebay::Forebay;

use self::compress::Forms;
pub(crate) use self::listener::serve;
use crate::keyspaces::Keyspaces;
use crate::problem::Problem;

/// The largest value that is taken, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest body of a request that names keys or tags, in bytes.
const JSON_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What every request is served from.
struct Served {
    keyspaces: Keyspaces,
    engine: Forebay,
    forms: Forms,
}

/// The routes of the keyspaces.
pub(crate) fn router(keyspaces: Keyspaces, engine: Forebay) -> Router {
    let of_key =
        get(value::read).put(value::write).delete(value::delete).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let served = Served { keyspaces, engine, forms: Forms::default() };
    let limit = DefaultBodyLimit::max(JSON_BYTES_MAX);
    Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/v1/openapi.json", get(openapi::serve))
        .route("/v1/{keyspace}", post(invalidate::in_keyspace).layer(limit))
        .route("/v1/{keyspace}/{namespace}", get(list::list).post(many::post).layer(limit))
        .route("/v1/{keyspace}/{namespace}/{*key}", of_key)
        .fallback(async || Problem::no_such_path())
        .method_not_allowed_fallback(async || Problem::no_such_method())
        .with_state(Arc::new(served))
}
