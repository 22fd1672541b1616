//! From the names in a path to what they name: the one door of every handler to a keyspace, a namespace and a key. Whether a caller may
//! touch them is judged before, by [`access::http`](crate::access).

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use forebay::{Blob, Keyspace, Namespace};

use crate::keyspaces::InService;
use crate::limits::{self, Refused};
use crate::problem::Problem;

/// The keyspace, the namespace and the key of a path.
pub(super) type KeyPath = Result<Path<(String, String, String)>, PathRejection>;

/// The keyspace called `name`.
///
/// # Errors
/// The problem to answer with where there is none.
pub(super) fn keyspace<'k>(served: &'k InService, name: &str) -> Result<&'k Arc<Keyspace>, Problem> {
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
) -> Result<&'k Namespace<Blob>, Problem> {
    keyspace(served, of)?.namespace(name).ok_or_else(|| Problem::no_namespace(of, name))
}

/// The namespace and the key that a path names.
///
/// # Errors
/// The problem to answer with where there is no such namespace, or the key is not one of it.
pub(super) fn key(served: &InService, path: KeyPath) -> Result<(&Namespace<Blob>, String), Problem> {
    let Path((of, name, key)) = path.map_err(|_| Problem::bad_path())?;
    let found = namespace(served, &of, &name)?;
    is_one(found, &key)?;
    Ok((found, key))
}

/// Whether `key` is one of `namespace`.
///
/// # Errors
/// The problem to answer with where it is not.
pub(super) fn is_one(namespace: &Namespace<Blob>, key: &str) -> Result<(), Problem> {
    if limits::is_long(namespace, key.as_bytes()) {
        return Err(Problem::beyond(&Refused::LongKey { length: key.len() }));
    }
    match namespace.pattern().matches(key.as_bytes()) {
        Some(_) => Ok(()),
        None => Err(Problem::bad_key(key, &namespace.pattern().to_string())),
    }
}
