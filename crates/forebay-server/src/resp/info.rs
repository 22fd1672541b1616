//! INFO: what the server has done, in the sections of Redis.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use forebay::Namespace;

use super::Service;

/// The Redis whose behaviour is followed: clients ask before they use what came with a version.
const REDIS_VERSION: &str = "7.0.15";

/// The text of `INFO`: the sections asked for, or all.
pub(super) fn info(service: &Service, asked: &[Bytes]) -> String {
    let wanted = |section: &str| {
        let all = ["all", "default", "everything"];
        asked.is_empty()
            || asked.iter().any(|name| {
                name.eq_ignore_ascii_case(section.as_bytes())
                    || all.iter().any(|all| name.eq_ignore_ascii_case(all.as_bytes()))
            })
    };
    let mut text = String::new();
    let uptime = service.clock.now().since(service.started).as_secs();
    let sections = [
        (
            "Server",
            format!(
                "redis_version:{REDIS_VERSION}\r\nredis_mode:standalone\r\nforebay_version:{}\r\nuptime_in_seconds:{uptime}\r\n",
                env!("CARGO_PKG_VERSION")
            ),
        ),
        ("Clients", clients(service)),
        ("Memory", format!("maxmemory:{}\r\n", service.memory_bytes)),
        ("Stats", stats(service)),
        ("Replication", "role:master\r\nconnected_slaves:0\r\n".to_owned()),
        ("Keyspace", keyspaces(service)),
    ];
    for (name, lines) in sections.iter().filter(|(name, _)| wanted(name)) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}# {name}\r\n{lines}", if text.is_empty() { "" } else { "\r\n" });
    }
    text
}

fn clients(service: &Service) -> String {
    let [tracking, ..] = service.tracking.counts();
    let connected = service.clients.len();
    format!("connected_clients:{connected}\r\nblocked_clients:0\r\ntracking_clients:{tracking}\r\n")
}

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    commands: u64,
    hits: u64,
    misses: u64,
}

impl Counted {
    /// What has been counted by now.
    pub(super) fn now(service: &Service) -> Self {
        let served = service.keyspaces.now();
        let namespaces = served.all().flat_map(|(_, keyspace)| keyspace.namespaces());
        let counted = Self { commands: service.commands.load(Ordering::Relaxed), ..Self::default() };
        namespaces.map(Namespace::counts).fold(counted, |sum, counts| Self {
            hits: sum.hits + counts.hits + counts.stale,
            misses: sum.misses + counts.misses,
            ..sum
        })
    }
}

/// What has been counted since `CONFIG RESETSTAT`.
fn stats(service: &Service) -> String {
    let (before, now) = (*service.counted_before.lock(), Counted::now(service));
    let [_, keys, items, prefixes] = service.tracking.counts();
    format!(
        "total_commands_processed:{}\r\nkeyspace_hits:{}\r\nkeyspace_misses:{}\r\n\
         tracking_total_keys:{keys}\r\ntracking_total_items:{items}\r\ntracking_total_prefixes:{prefixes}\r\n",
        now.commands.saturating_sub(before.commands),
        now.hits.saturating_sub(before.hits),
        now.misses.saturating_sub(before.misses),
    )
}

fn keyspaces(service: &Service) -> String {
    let line = |(db, keyspace): (u32, &Arc<forebay::Keyspace>)| {
        format!("db{db}:name={},namespaces={}\r\n", keyspace.name(), keyspace.namespaces().len())
    };
    service.keyspaces.now().all().map(line).collect()
}
