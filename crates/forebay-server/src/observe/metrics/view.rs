//! What metrics are read from: everything that can be seen of the process, from one moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay::observe::{Distribution, Histograms};
use forebay::tier::memory::MemoryTier;
use forebay::{Blob, BreakerState, Counts, Membership, Namespace, PendingWrites};
use forebay_stores::database::Connections;
use forebay_stores::disk::DiskStats;

use super::super::Observed;
use super::super::alarms::Event;
use super::super::requests::Operation;
use crate::configuration::Quota;
use crate::jobs::Told;
use crate::limits::Usage;

/// How long a disk is waited for: one that hangs costs its own size and not the whole scrape.
const DISK_WITHIN: Duration = Duration::from_millis(500);

/// What can be seen of a process.
#[derive(Debug)]
pub(crate) struct View {
    pub(super) namespaces: Vec<NamespaceView>,
    pub(super) memories: Vec<MemoryView>,
    pub(super) quotas: Vec<QuotaView>,
    pub(super) bookkeeping_bytes: u64,
    pub(super) untold: usize,
    /// Whether what memory holds is suspect.
    pub(super) is_suspect: bool,
    pub(super) databases: Vec<DatabaseView>,
    pub(super) disks: Vec<DiskView>,
    pub(super) jobs: Vec<Told>,
    /// By keyspace and name, whether it is raised.
    pub(super) alarms: BTreeMap<(Arc<str>, Arc<str>), bool>,
    pub(super) events: BTreeMap<Event, u64>,
    pub(super) commands: Vec<(String, u64)>,
    /// In microseconds, by group.
    pub(super) commands_took: Vec<(&'static str, Distribution)>,
    /// RESP connections that are open, and all that were.
    pub(super) connections: (u64, u64),
    /// The same over HTTP.
    pub(super) http_connections: (u64, u64),
    /// Connections that found no place, over RESP and over HTTP.
    pub(super) refused_connections: (u64, u64),
    pub(super) operations: Vec<Operation>,
    pub(super) started_unix_ms: u64,
    pub(super) system: System,
}

#[derive(Debug)]
pub(super) struct NamespaceView {
    pub(super) keyspace: Arc<str>,
    pub(super) name: String,
    pub(super) counts: Counts,
    pub(super) histograms: Histograms,
    pub(super) flights: usize,
    pub(super) pending: PendingWrites,
    pub(super) breaker: BreakerState,
    pub(super) membership: Option<Membership>,
}

/// A day's quota of a namespace.
#[derive(Debug)]
pub(super) struct QuotaView {
    pub(super) keyspace: String,
    pub(super) namespace: String,
    pub(super) quota: Quota,
    pub(super) used: Usage,
}

/// A memory, with the namespace whose own it is; that of all others has none.
#[derive(Debug)]
pub(super) struct MemoryView {
    pub(super) keyspace: Arc<str>,
    pub(super) namespace: String,
    pub(super) bytes: u64,
    pub(super) budget_bytes: u64,
    pub(super) entries: usize,
    pub(super) evicted: u64,
    pub(super) ended: u64,
}

#[derive(Debug)]
pub(super) struct DatabaseView {
    pub(super) keyspace: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) connections: Connections,
}

/// A disk: the keyspace whose stores it has, or none where it has copies.
#[derive(Debug)]
pub(super) struct DiskView {
    pub(super) keyspace: Arc<str>,
    pub(super) what: &'static str,
    pub(super) stats: DiskStats,
    /// What its files take; nothing where it does not say so in time.
    pub(super) bytes: Option<u64>,
}

/// What the system tells of the process; nothing where it tells nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct System {
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) threads: Option<u64>,
}

impl View {
    /// What can be seen now.
    pub(crate) async fn of(observed: &Observed) -> Self {
        let served = observed.keyspaces.now();
        let mut disks = Vec::new();
        // All of them together wait no longer than one that hangs.
        let clock = observed.engine.clock();
        let until = clock.now().after(DISK_WITHIN);
        for disk in &served.disks {
            let keyspace = Arc::clone(&disk.keyspace);
            let left = until.since(clock.now());
            let bytes = clock.timeout(left, disk.disk.bytes()).await;
            let bytes = bytes.ok().and_then(Result::ok);
            disks.push(DiskView { keyspace, what: disk.what, stats: disk.disk.stats(), bytes });
        }
        let system = System::now().await;
        let engine = &observed.engine;
        let mut memories = vec![MemoryView::of(&"".into(), "", engine.memory())];
        let mut namespaces = Vec::new();
        for (_, keyspace) in served.all() {
            let name: Arc<str> = keyspace.name().into();
            for namespace in keyspace.namespaces() {
                if !std::ptr::eq(namespace.memory(), engine.memory()) {
                    memories.push(MemoryView::of(&name, namespace.name(), namespace.memory()));
                }
                namespaces.push(NamespaceView::of(&name, namespace));
            }
        }
        let quota = |(keyspace, namespace, quota, used): (&str, &str, Quota, Usage)| QuotaView {
            keyspace: keyspace.into(),
            namespace: namespace.into(),
            quota,
            used,
        };
        let quotas = served.limits.quotas().map(quota).collect();
        let database = |one: &super::super::DatabaseOf| DatabaseView {
            keyspace: Arc::clone(&one.keyspace),
            name: Arc::clone(&one.name),
            connections: one.database.connections(),
        };
        Self {
            namespaces,
            memories,
            quotas,
            bookkeeping_bytes: engine.bookkeeping_bytes(),
            untold: engine.untold(),
            is_suspect: engine.suspect_since().is_some(),
            databases: served.databases.iter().map(database).collect(),
            disks,
            jobs: observed.jobs.told(),
            alarms: observed.alarms.known(),
            events: observed.alarms.events(),
            commands: observed.service.asked().counts(),
            commands_took: observed.service.asked().took(),
            connections: observed.service.connections(),
            http_connections: observed.http_connections.now(),
            refused_connections: (observed.service.refused(), observed.http_connections.refused().now()),
            operations: observed.requests.operations(),
            started_unix_ms: observed.started_unix_ms,
            system,
        }
    }
}

impl NamespaceView {
    fn of(keyspace: &Arc<str>, namespace: &Namespace<Blob>) -> Self {
        Self {
            keyspace: Arc::clone(keyspace),
            name: namespace.name().to_owned(),
            counts: namespace.counts(),
            histograms: namespace.histograms(),
            flights: namespace.flights(),
            pending: namespace.pending_writes(),
            breaker: namespace.breaker(),
            membership: namespace.membership(),
        }
    }
}

impl MemoryView {
    fn of(keyspace: &Arc<str>, namespace: &str, memory: &MemoryTier) -> Self {
        let departures = memory.departures();
        Self {
            keyspace: Arc::clone(keyspace),
            namespace: namespace.to_owned(),
            bytes: memory.weight_bytes(),
            budget_bytes: memory.budget_bytes(),
            entries: memory.len(),
            evicted: departures.evicted,
            ended: departures.ended,
        }
    }
}

impl System {
    /// What Linux tells under `/proc/self`.
    async fn now() -> Self {
        let status = tokio::fs::read_to_string("/proc/self/status").await.unwrap_or_default();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let resident_bytes = of("VmRSS").map(|kib| kib.saturating_mul(1024));
        Self { resident_bytes, threads: of("Threads"), open_files: count(Path::new("/proc/self/fd")).await }
    }
}

/// How many files are in `folder`; `None` where it cannot be read.
async fn count(folder: &Path) -> Option<u64> {
    let mut files = tokio::fs::read_dir(folder).await.ok()?;
    let mut count = 0;
    while let Ok(Some(_)) = files.next_entry().await {
        count += 1;
    }
    Some(count)
}
