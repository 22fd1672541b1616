//! The process as it is seen from outside: metrics, how it is, its log, and what was slow.
//!
//! It only looks: nothing that is told here changes what is served. What an operator or an app wants to be told of by itself is an alarm
//! (`alarms/`). What the engine counts is the engine's; what clients ask for is
//! counted here (`commands.rs`, `requests.rs`), because only front ends know it.

mod alarms;
pub(crate) mod commands;
mod health;
pub mod log;
mod metrics;
mod origin;
mod requests;
mod routes;
pub(crate) mod slow;
pub(crate) mod stopwatch;
mod under_way;

use std::sync::Arc;

use forebay::Forebay;
use forebay_stores::database::Database;
use forebay_stores::disk::Disk;
use forebay_stores::journal::JournalHealth;
use forebay_stores::source::episodes::Failing;

pub use self::alarms::Alarms;
pub(crate) use self::alarms::{AlarmOf, Board, of as alarms_of, watch as watch_alarms};
use self::health::Known;
pub(crate) use self::health::{TROUBLES, rfc3339, watch};
pub use self::metrics::catalogue;
pub use self::origin::Origin;
pub(crate) use self::origin::request_id;
use self::requests::Requests;
pub(crate) use self::routes::{observe, routes};
use self::stopwatch::Stopwatch;
pub(crate) use self::under_way::UnderWay;
use crate::connections::Counted;
use crate::jobs::Jobs;
use crate::keyspaces::Keyspaces;
use crate::resp;
use crate::stop::Stop;
use crate::time::now;

/// What can be seen of a process.
#[derive(Debug)]
pub(crate) struct Observed {
    engine: Forebay,
    service: Arc<resp::Service>,
    requests: Requests,
    http_connections: Arc<Counted>,
    /// Since 1970-01-01 UTC.
    started_unix_ms: u64,
    keyspaces: Keyspaces,
    jobs: Jobs,
    alarms: Board,
    known: Known,
    stop: Stop,
}

/// The journal of a namespace that writes behind.
#[derive(Clone, Debug)]
pub(crate) struct JournalOf {
    pub(crate) keyspace: Arc<str>,
    pub(crate) namespace: Arc<str>,
    pub(crate) health: JournalHealth,
}

/// The source of a namespace.
#[derive(Clone, Debug)]
pub struct SourceOf {
    /// The keyspace's name.
    pub keyspace: Arc<str>,
    /// The namespace's name.
    pub namespace: Arc<str>,
    /// Whether it fails.
    pub failing: Failing,
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
    pub(crate) fn new(
        engine: Forebay,
        service: Arc<resp::Service>,
        keyspaces: Keyspaces,
        jobs: Jobs,
        alarms: Board,
        stop: Stop,
    ) -> Self {
        let started = now().as_millis();
        Self {
            engine,
            service,
            requests: Requests::default(),
            http_connections: Arc::default(),
            started_unix_ms: u64::try_from(started).unwrap_or(u64::MAX),
            keyspaces,
            jobs,
            alarms,
            known: Known::default(),
            stop,
        }
    }

    /// Measures from now.
    pub(crate) fn stopwatch(&self) -> Stopwatch {
        Stopwatch::start(self.engine.clock())
    }

    /// Where HTTP connections are counted.
    pub(crate) fn http_connections(&self) -> Arc<Counted> {
        Arc::clone(&self.http_connections)
    }
}
