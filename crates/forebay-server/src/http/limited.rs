//! Requests to namespaces that refuse what Workers KV refuses, have a quota, or a log of their operations: what a request uses is taken
//! before it is carried out, and how it ended is told afterwards. All others go straight to who carries them out.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use smallvec::SmallVec;

use super::find::{self, KeyPath};
use super::life::{self, Said};
use super::{Served, value};
use crate::keyspaces::InService;
use crate::limits::workers_kv::Life;
use crate::limits::{Asked, Operation, Outcome, Use};
use crate::problem::Problem;

/// [`value::read`].
pub(super) async fn read(
    served: State<Arc<Served>>,
    path: KeyPath,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let operation = of_key(&served.keyspaces.now(), &path, ("GET", Use::Read), None)?;
    ended(operation, value::read(served, path, method, headers).await)
}

/// [`value::write`].
pub(super) async fn write(
    served: State<Arc<Served>>,
    path: KeyPath,
    life: Result<Query<Said>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let life = life::asked(life);
    let until = life.as_ref().ok().copied().flatten();
    let operation = of_key(&served.keyspaces.now(), &path, ("PUT", Use::Write), until)?;
    ended(operation, value::write(served, path, life, headers, body).await)
}

/// [`value::delete`].
pub(super) async fn delete(
    served: State<Arc<Served>>,
    path: KeyPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let operation = of_key(&served.keyspaces.now(), &path, ("DELETE", Use::Write), None)?;
    ended(operation, value::delete(served, path, headers).await)
}

/// A request for the key that a path names begins, if it is one of a namespace.
///
/// # Errors
/// The problem to answer with where the namespace does not take it.
fn of_key(
    served: &InService,
    path: &KeyPath,
    (verb, what): (&'static str, Use),
    life: Option<Life>,
) -> Result<Option<Operation>, Problem> {
    let Ok(Path((of, name, key))) = path else { return Ok(None) };
    let is_own = |key: &str| {
        let namespace = find::namespace(served, of, name).ok();
        namespace.is_some_and(|namespace| namespace.pattern().matches(key.as_bytes()).is_some())
    };
    if !served.limits.is_any(of) || !is_own(key) {
        return Ok(None);
    }
    let keys = SmallVec::from_slice(&[key.as_bytes()]);
    let put = if verb == "PUT" { keys.clone() } else { SmallVec::new() };
    let asked = Asked { verb, what, keys, put, life, is_of_parts: false };
    served.limits.begin((of, name), &asked).map_err(|refused| Problem::beyond(&refused))
}

/// A request for many `keys` of a namespace begins.
///
/// # Errors
/// The problem to answer with where the namespace does not take it.
pub(super) fn of_keys(
    served: &InService,
    names: (&str, &str),
    keys: &[String],
) -> Result<Option<Operation>, Problem> {
    let keys = keys.iter().map(String::as_bytes).collect();
    let put = SmallVec::new();
    let asked = Asked { verb: "GET", what: Use::Read, keys, put, life: None, is_of_parts: false };
    served.limits.begin(names, &asked).map_err(|refused| Problem::beyond(&refused))
}

/// It has ended with this answer, which is given back.
pub(super) fn ended(
    operation: Option<Operation>,
    answer: Result<Response, Problem>,
) -> Result<Response, Problem> {
    let Some(operation) = operation else { return answer };
    let status = match &answer {
        Ok(response) => response.status().as_u16(),
        Err(problem) => problem.status(),
    };
    // That there is nothing is an answer, too.
    let is_error = status >= 400 && status != 404;
    operation.ended(if is_error { Outcome::Error } else { Outcome::Ok });
    answer
}
