//! Plain HTTP with proper caching headers: `/v1/{keyspace}/{namespace}/{key}`.
//!
//! `listener.rs` has the connections, `framing.rs` what is asked of every head, `bodies.rs` what is asked of bodies while they come;
//! `hit.rs` answers at once what memory has. `find.rs` finds what a path names, `value.rs` reads and writes it, `answer.rs` makes the
//! reply and its headers from the engine's one outcome, with `conditions.rs` (entity tags), `range.rs` (parts), `compress.rs` (forms of a
//! value) and `media.rs` (content types); `life.rs` and `metadata.rs` are what a write says beside its value. `many.rs`, `list.rs` and
//! `invalidate.rs` go over many keys, `openapi.rs` tells what is served. Errors are problem details (`../problem.rs`).

mod answer;
pub(crate) mod bodies;
mod compress;
mod conditions;
mod find;
pub(crate) mod framing;
mod hit;
mod invalidate;
mod life;
mod limited;
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
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::{get, post};
use forebay::{Forebay, Read, Writes};

use self::answer::{Asked, Declared};
use self::compress::Forms;
pub(crate) use self::hit::Hits;
pub(crate) use self::listener::{Front, serve};
use crate::keyspaces::Keyspaces;
use crate::limits;
use crate::problem::Problem;

/// The largest value that is taken, in bytes.
const BODY_BYTES_MAX: usize = limits::VALUE_BYTES_MAX;
/// The longest body of a request that names keys or tags, in bytes.
const JSON_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The route of one value.
const OF_KEY: &str = "/v1/{keyspace}/{namespace}/{*key}";

/// What every request is served from.
pub(crate) struct Served {
    keyspaces: Keyspaces,
    engine: Forebay,
    forms: Forms,
}

impl Served {
    pub(crate) fn new(keyspaces: Keyspaces, engine: Forebay) -> Arc<Self> {
        Arc::new(Self { keyspaces, engine, forms: Forms::default() })
    }
}

/// Answers with values that an app has read, as the routes here do. Clones share compressed forms.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(Arc<Forms>);

impl Answers {
    /// The answer to a request with what was `read` of a namespace, whose writes go as `writes` says.
    pub(crate) async fn of(
        &self,
        read: &Read,
        (writes, is_secure): (Writes, bool),
        (method, headers): (&Method, &HeaderMap),
    ) -> Result<Response, Problem> {
        let declared = Declared { writes, is_secure };
        Asked { read, declared, past_copies: false, method, headers }.answer(&self.0).await
    }
}

/// The routes of apps, of which a path that does not take a method says so as ours do.
pub(crate) fn of_apps(routes: Router) -> Router {
    routes.method_not_allowed_fallback(async || Problem::no_such_method())
}

/// The routes of the keyspaces.
pub(crate) fn router(served: Arc<Served>) -> Router {
    let of_key = get(limited::read)
        .put(limited::write)
        .delete(limited::delete)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let limit = DefaultBodyLimit::max(JSON_BYTES_MAX);
    Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/v1/openapi.json", get(openapi::serve))
        .route("/v1/{keyspace}", post(invalidate::in_keyspace).layer(limit))
        .route("/v1/{keyspace}/{namespace}", get(list::list).post(many::post).layer(limit))
        .route(OF_KEY, of_key)
        .fallback(async || Problem::no_such_path())
        .method_not_allowed_fallback(async || Problem::no_such_method())
        .with_state(served)
}
