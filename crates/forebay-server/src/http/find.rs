//! From the names in a path to what they name: the one door of every handler to a keyspace, a namespace and a key.

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use forebay::{Blob, Keyspace, Namespace};

use crate::keyspaces::InService;
use crate::problem::Problem;

/// The keyspace, the namespace and the key of a path.
pub(super) type KeyPath = Result<Path<(String, String, String)>, PathRejection>;

/// What a request is about to do with what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// It reads values, or their keys.
    Read,
    /// It writes values, or drops copies of them.
    Write,
}

/// The keyspace called `name`.
///
/// # Errors
/// The problem to answer with where there is none.
pub(super) fn keyspace<'k>(
    served: &'k InService,
    name: &str,
    _right: Right,
) -> Result<&'k Arc<Keyspace>, Problem> {
    served.named(name).ok_or_else(|| Problem::no_keyspace(name))
}

/// The namespace of these names.
///
/// # Errors
/// The problem to answer with where there is none.
pub(super) fn namespace<'k>(
    served: &'k InService,
    of: &str,
    name: &str,
    right: Right,
) -> Result<&'k Namespace<Blob>, Problem> {
    keyspace(served, of, right)?.namespace(name).ok_or_else(|| Problem::no_namespace(of, name))
}

/// The namespace and the key that a path names.
///
/// # Errors
/// The problem to answer with where there is no such namespace, or the key is not one of it.
pub(super) fn key(
    served: &InService,
    path: KeyPath,
    right: Right,
) -> Result<(&Namespace<Blob>, String), Problem> {
    let Path((of, name, key)) = path.map_err(|_| Problem::bad_path())?;
    let found = namespace(served, &of, &name, right)?;
    if found.pattern().matches(key.as_bytes()).is_none() {
        return Err(Problem::bad_key(&key, &found.pattern().to_string()));
    }
    Ok((found, key))
}
