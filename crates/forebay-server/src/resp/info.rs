//! INFO: what the server has done, in the sections of Redis.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use forebay::Namespace;
use forebay::tier::memory::MemoryTier;

use super::{Service, counted};

/// The Redis that clients are told they speak to: they ask before they use what came with a version, and redis-py keeps copies with
/// 7.4 and later alone (`docs/decisions/0032-clients-are-told-redis.md`).
pub(super) const REDIS_VERSION: &str = "7.4.0";

/// The text of `INFO`: the sections asked for, or all.
pub(super) async fn info(service: &Service, asked: &[Bytes]) -> String {
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
        ("Memory", memory(service)),
        ("Persistence", "loading:0\r\nasync_loading:0\r\n".to_owned()),
        ("Stats", stats(service)),
        ("Replication", "role:master\r\nconnected_slaves:0\r\n".to_owned()),
        ("Cluster", "cluster_enabled:0\r\n".to_owned()),
        ("Declared", declared(service)),
        ("Keyspace", if wanted("Keyspace") { counted::lines(service).await } else { String::new() }),
    ];
    for (name, lines) in sections.iter().filter(|(name, _)| wanted(name)) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}# {name}\r\n{lines}", if text.is_empty() { "" } else { "\r\n" });
    }
    text
}

/// Bytes as Redis writes them for people.
fn human(bytes: u64) -> String {
    let units = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, letter)) => {
            let hundredths = u128::from(bytes) * 100 / u128::from(unit);
            format!("{}.{:02}{letter}", hundredths / 100, hundredths % 100)
        }
        None => format!("{bytes}B"),
    }
}

fn clients(service: &Service) -> String {
    let [tracking, ..] = service.tracking.counts();
    let connected = service.clients.len();
    format!("connected_clients:{connected}\r\nblocked_clients:0\r\ntracking_clients:{tracking}\r\n")
}

/// What all memories hold, each counted once however many namespaces share it, and the most that the one may hold which is for all.
fn memory(service: &Service) -> String {
    let served = service.keyspaces.now();
    let mut memories: Vec<&MemoryTier> = Vec::new();
    for namespace in served.all().flat_map(|(_, keyspace)| keyspace.namespaces()) {
        if !memories.iter().any(|counted| std::ptr::eq(*counted, namespace.memory())) {
            memories.push(namespace.memory());
        }
    }
    let used = memories.iter().fold(0_u64, |sum, memory| sum.saturating_add(memory.weight_bytes()));
    let most = service.memory_bytes;
    format!(
        "used_memory:{used}\r\nused_memory_human:{}\r\nmaxmemory:{most}\r\nmaxmemory_human:{}\r\n",
        human(used),
        human(most)
    )
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
        "total_connections_received:{}\r\ntotal_commands_processed:{}\r\n\
         keyspace_hits:{}\r\nkeyspace_misses:{}\r\n\
         tracking_total_keys:{keys}\r\ntracking_total_items:{items}\r\ntracking_total_prefixes:{prefixes}\r\n",
        service.connections().1,
        now.commands.saturating_sub(before.commands),
        now.hits.saturating_sub(before.hits),
        now.misses.saturating_sub(before.misses),
    )
}

/// What is declared under each number.
fn declared(service: &Service) -> String {
    let line = |(db, keyspace): (u32, &Arc<forebay::Keyspace>)| {
        format!("keyspace{db}:name={},namespaces={}\r\n", keyspace.name(), keyspace.namespaces().len())
    };
    service.keyspaces.now().all().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn bytes_are_written_for_people() {
        for (bytes, written) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1536, "1.50K"),
            (256 << 20, "256.00M"),
            (3 << 30, "3.00G"),
        ] {
            assert_eq!(human(bytes), written);
        }
    }
}
