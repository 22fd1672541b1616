//! The process as it is seen from outside: metrics.
//!
//! It only looks: nothing that is told here changes what is served. What the engine counts is the engine's; what clients ask for is
//! counted here (`commands.rs`, `requests.rs`), because only front ends know it.

pub(crate) mod commands;
mod metrics;
mod requests;
mod routes;
mod stopwatch;

use std::sync::Arc;

use forebay::Forebay;
use forebay_stores::database::Database;
use forebay_stores::disk::Disk;

pub use self::metrics::catalogue;
use self::requests::Requests;
pub(crate) use self::routes::{observe, routes};
use crate::keyspaces::Keyspaces;
use crate::resp;

/// What can be seen of a process.
#[derive(Debug)]
pub(crate) struct Observed {
    engine: Forebay,
    service: Arc<resp::Service>,
    requests: Requests,
    /// Since 1970-01-01 UTC.
    started_unix_ms: u64,
    keyspaces: Keyspaces,
}

/// A database of a keyspace, by its declared name.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseOf {
    /// The keyspace's name.
    pub(crate) keyspace: Arc<str>,
    /// The name by which the keyspace declares it.
    pub(crate) name: Arc<str>,
    /// The database, open.
    pub(crate) database: Database,
}

/// A disk: that of the process' `copies`, or that of the `stores` of a keyspace.
#[derive(Clone, Debug)]
pub(crate) struct DiskOf {
    pub(crate) what: &'static str,
    /// Of stores the first keyspace that keeps them there.
    pub(crate) keyspace: Arc<str>,
    pub(crate) disk: Disk,
}

impl Observed {
    /// What is seen of a process that begins to serve `keyspaces`.
    pub(crate) fn new(engine: Forebay, service: Arc<resp::Service>, keyspaces: Keyspaces) -> Self {
        let started = resp::unix_now().as_millis();
        Self {
            engine,
            service,
            requests: Requests::default(),
            started_unix_ms: u64::try_from(started).unwrap_or(u64::MAX),
            keyspaces,
        }
    }
}
