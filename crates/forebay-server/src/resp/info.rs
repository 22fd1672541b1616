//! INFO: what the server has done, in the sections of Redis.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use forebay::Namespace;

use super::Service;

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
            format!("forebay_version:{}\r\nuptime_in_seconds:{uptime}\r\n", env!("CARGO_PKG_VERSION")),
        ),
        ("Clients", format!("connected_clients:{}\r\n", service.connected.load(Ordering::Relaxed))),
        ("Stats", stats(service)),
        ("Keyspace", keyspaces(service)),
    ];
    for (name, lines) in sections.iter().filter(|(name, _)| wanted(name)) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}# {name}\r\n{lines}", if text.is_empty() { "" } else { "\r\n" });
    }
    text
}

fn stats(service: &Service) -> String {
    let counts = service
        .keyspaces
        .values()
        .flat_map(|keyspace| keyspace.namespaces())
        .map(Namespace::counts)
        .fold((0, 0), |(hits, misses), counts| (hits + counts.hits + counts.stale, misses + counts.misses));
    let commands = service.commands.load(Ordering::Relaxed);
    format!(
        "total_commands_processed:{commands}\r\nkeyspace_hits:{}\r\nkeyspace_misses:{}\r\n",
        counts.0, counts.1
    )
}

fn keyspaces(service: &Service) -> String {
    let line = |(db, keyspace): (&u32, &Arc<forebay::Keyspace>)| {
        format!("db{db}:name={},namespaces={}\r\n", keyspace.name(), keyspace.namespaces().len())
    };
    service.keyspaces.iter().map(line).collect()
}
