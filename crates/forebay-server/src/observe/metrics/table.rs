//! The one table of metrics: each with its name, its labels, what it means and how it is read. The text that is scraped and the
//! catalogue are both made of it.
//!
//! A name begins with the room whose word it is. Labels are names of the declaration, words of closed sets, commands of the command
//! table and routes of the code: never a key, a client or a path.

use super::text::Kind::{Counter, Gauge, Histogram};
use super::text::{Family, Kind, Number, Scale};
use super::view::{MemoryView, NamespaceView, View};
use super::{alarms, clients, jobs, limits, protection};
use forebay::observe::Distribution;

/// One metric.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    /// What it means, in a sentence without its full stop.
    pub(super) meaning: &'static str,
    pub(super) read: Reading,
}

/// How a metric is read.
pub(super) enum Reading {
    /// The engine's counts of each namespace: the value of the last label, where there is a third, and the count's name.
    Counts(&'static [(&'static str, &'static str)]),
    /// From everything that can be seen.
    View(fn(&View, &mut Family<'_>)),
}

pub(super) const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    meaning: &'static str,
    read: fn(&View, &mut Family<'_>),
) -> Metric {
    Metric { name, kind, labels, meaning, read: Reading::View(read) }
}

pub(super) const NAMESPACE: &[&str] = &["keyspace", "namespace"];

/// A count of each namespace.
const fn count(
    name: &'static str,
    meaning: &'static str,
    counts: &'static [(&'static str, &'static str)],
) -> Metric {
    Metric { name, kind: Counter, labels: NAMESPACE, meaning, read: Reading::Counts(counts) }
}

/// Counts of each namespace, told apart by the last of `labels`.
const fn counts(
    name: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
    counts: &'static [(&'static str, &'static str)],
) -> Metric {
    Metric { name, kind: Counter, labels, meaning, read: Reading::Counts(counts) }
}

/// What one number of each namespace is.
fn each(view: &View, family: &mut Family<'_>, read: impl Fn(&NamespaceView) -> Number) {
    for namespace in &view.namespaces {
        family.sample(&[&namespace.keyspace, &namespace.name], read(namespace));
    }
}

/// What one distribution of each namespace is.
fn each_told(
    view: &View,
    family: &mut Family<'_>,
    scale: Scale,
    read: impl Fn(&NamespaceView) -> &Distribution,
) {
    for namespace in &view.namespaces {
        family.histogram(&[&namespace.keyspace, &namespace.name], read(namespace), scale);
    }
}

fn each_memory(view: &View, family: &mut Family<'_>, read: impl Fn(&MemoryView) -> u64) {
    for memory in &view.memories {
        family.sample(&[&memory.keyspace, &memory.namespace], Number::Whole(read(memory)));
    }
}

fn whole(number: usize) -> Number {
    Number::Whole(u64::try_from(number).unwrap_or(u64::MAX))
}

fn ms(span: std::time::Duration) -> Number {
    Number::Ms(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// All metrics, in the order in which they are told.
pub(super) static METRICS: &[Metric] = &[
    count(
        "forebay_read_hits_total",
        "Reads answered from memory: fresh values, believed absences, keys that cannot exist",
        &[("", "hits")],
    ),
    count(
        "forebay_read_negative_hits_total",
        "Of the hits, those that said that the key does not exist",
        &[("", "negative_hits")],
    ),
    count(
        "forebay_read_withheld_total",
        "Of these, those of keys that are kept without a source and may have been invalidated elsewhere",
        &[("", "withheld")],
    ),
    count("forebay_read_shared_hits_total", "Reads answered from the shared tier", &[("", "shared_hits")]),
    count("forebay_read_misses_total", "Reads that waited for a load", &[("", "misses")]),
    count(
        "forebay_read_joined_total",
        "Reads that found a load of their key in flight and waited for it",
        &[("", "joined")],
    ),
    counts(
        "forebay_read_stale_total",
        &["keyspace", "namespace", "why"],
        "Stale values served, by why",
        &[
            ("revalidating", "stale_revalidating"),
            ("source_failed", "stale_source_failed"),
            ("slow_source", "stale_slow_source"),
            ("overloaded", "stale_overloaded"),
            ("breaker_open", "stale_breaker_open"),
        ],
    ),
    counts(
        "forebay_read_errors_total",
        &["keyspace", "namespace", "why"],
        "Reads that ended in an error, by why",
        &[
            ("source", "errors_source"),
            ("timeout", "errors_timeout"),
            ("overloaded", "errors_overloaded"),
            ("breaker_open", "errors_breaker_open"),
            ("lost", "errors_lost"),
            ("key", "errors_key"),
        ],
    ),
    metric(
        "forebay_read_age_seconds",
        Histogram,
        NAMESPACE,
        "How old answers were when they were served; one in 64 is recorded",
        |view, family| {
            each_told(view, family, Scale::Ms, |namespace| &namespace.histograms.age_ms);
        },
    ),
    count("forebay_loader_loads_total", "Loads asked of the source, one for a batch", &[("", "loads")]),
    count("forebay_loader_batches_total", "Of the loads, those of more than one key", &[("", "batches")]),
    count(
        "forebay_loader_keys_total",
        "Keys asked of the source, in all loads together",
        &[("", "keys_asked")],
    ),
    counts(
        "forebay_loader_lease_waits_total",
        &["keyspace", "namespace", "end"],
        "Keys that another instance was loading: waited for, or loaded beside it because too many waited",
        &[("waited", "lease_waits"), ("refused", "lease_waits_refused")],
    ),
    count(
        "forebay_loader_refreshes_started_total",
        "Refreshes begun: loads of values that were still served meanwhile",
        &[("", "refreshes_started")],
    ),
    counts(
        "forebay_loader_refreshes_total",
        &["keyspace", "namespace", "end"],
        "Refreshes that brought another value, or the same or one that nobody read",
        &[("changed", "refreshes_changed"), ("wasted", "refreshes_wasted")],
    ),
    count(
        "forebay_loader_shed_total",
        "Keys that the full queue before the source turned away",
        &[("", "shed")],
    ),
    metric(
        "forebay_loader_flights",
        Gauge,
        NAMESPACE,
        "Loads in flight that can be joined",
        |view, family| {
            each(view, family, |namespace| whole(namespace.flights));
        },
    ),
    metric(
        "forebay_loader_load_seconds",
        Histogram,
        NAMESPACE,
        "How long the source took to answer or fail",
        |view, family| {
            each_told(view, family, Scale::Ms, |namespace| &namespace.histograms.load_ms);
        },
    ),
    metric(
        "forebay_loader_batch_keys",
        Histogram,
        NAMESPACE,
        "How many keys went to the source at once",
        |view, family| {
            each_told(view, family, Scale::Whole, |namespace| &namespace.histograms.batch_keys);
        },
    ),
    metric(
        "forebay_loader_wait_seconds",
        Histogram,
        NAMESPACE,
        "How long keys waited in the queue before the source",
        |view, family| {
            each_told(view, family, Scale::Ms, |namespace| &namespace.histograms.wait_ms);
        },
    ),
    metric(
        "forebay_protection_breaker_state",
        Gauge,
        &["keyspace", "namespace", "state"],
        "1 for the state that the breaker before the source is in, 0 for the others",
        |view, family| {
            for namespace in &view.namespaces {
                for phase in forebay::Phase::ALL {
                    let is_in = u64::from(namespace.breaker.phase == phase);
                    family.sample(
                        &[&namespace.keyspace, &namespace.name, phase.as_str()],
                        Number::Whole(is_in),
                    );
                }
            }
        },
    ),
    metric(
        "forebay_protection_breaker_opened_total",
        Counter,
        NAMESPACE,
        "How often the breaker before the source was opened",
        |view, family| {
            each(view, family, |namespace| Number::Whole(namespace.breaker.opened));
        },
    ),
    count(
        "forebay_protection_breaker_refusals_total",
        "Keys that the open breaker kept from the source",
        &[("", "breaker_refusals")],
    ),
    count(
        "forebay_protection_membership_refusals_total",
        "Keys that the membership filter kept from the source",
        &[("", "membership_refusals")],
    ),
    protection::READY,
    protection::KEYS,
    protection::BYTES,
    protection::FULL,
    protection::BUILDS,
    limits::LIMIT,
    limits::USED,
    limits::REFUSED,
    counts(
        "forebay_tier_refused_fills_total",
        &["keyspace", "namespace", "why"],
        "Loaded values that were not stored, by why",
        &[
            ("fenced", "refused_fills_fenced"),
            ("older", "refused_fills_older"),
            ("expired", "refused_fills_expired"),
            ("too_large", "refused_fills_too_large"),
        ],
    ),
    metric(
        "forebay_tier_memory_bytes",
        Gauge,
        NAMESPACE,
        "Keys, values and bookkeeping in memory; without labels that of all namespaces that have none of their own",
        |view, family| {
            each_memory(view, family, |memory| memory.bytes);
        },
    ),
    metric(
        "forebay_tier_memory_budget_bytes",
        Gauge,
        NAMESPACE,
        "The most bytes that a memory holds",
        |view, family| {
            each_memory(view, family, |memory| memory.budget_bytes);
        },
    ),
    metric(
        "forebay_tier_memory_entries",
        Gauge,
        NAMESPACE,
        "Entries in a memory, absences included",
        |view, family| {
            each_memory(view, family, |memory| u64::try_from(memory.entries).unwrap_or(u64::MAX));
        },
    ),
    metric(
        "forebay_tier_memory_evicted_total",
        Counter,
        NAMESPACE,
        "Entries that made room for others",
        |view, family| {
            each_memory(view, family, |memory| memory.evicted);
        },
    ),
    metric(
        "forebay_tier_memory_ended_total",
        Counter,
        NAMESPACE,
        "Entries whose time was over",
        |view, family| {
            each_memory(view, family, |memory| memory.ended);
        },
    ),
    metric(
        "forebay_tier_bookkeeping_bytes",
        Gauge,
        &[],
        "What is remembered beside what is held: invalidated groups, last events, filters, the hottest keys",
        |view, family| {
            family.sample(&[], Number::Whole(view.bookkeeping_bytes));
        },
    ),
    metric(
        "forebay_tier_suspect",
        Gauge,
        &[],
        "1 while the shared tier's log is not heard, so that what memory holds is suspect",
        |view, family| {
            family.sample(&[], Number::Whole(u64::from(view.is_suspect)));
        },
    ),
    metric(
        "forebay_disk_bytes",
        Gauge,
        &["disk", "keyspace"],
        "What the files of a disk take: that of copies, or that of the stores of a keyspace; nothing where it does not say so within 500 ms",
        |view, family| {
            for (disk, bytes) in view.disks.iter().filter_map(|disk| Some((disk, disk.bytes?))) {
                family.sample(&[disk.what, &disk.keyspace], Number::Whole(bytes));
            }
        },
    ),
    metric(
        "forebay_disk_commits_total",
        Counter,
        &["disk", "keyspace"],
        "Groups of writes that a disk has committed",
        |view, family| {
            for disk in &view.disks {
                family.sample(&[disk.what, &disk.keyspace], Number::Whole(disk.stats.groups));
            }
        },
    ),
    metric("forebay_disk_syncs_total", Counter, &["disk", "keyspace"], "Syncs of a disk", |view, family| {
        for disk in &view.disks {
            family.sample(&[disk.what, &disk.keyspace], Number::Whole(disk.stats.syncs));
        }
    }),
    metric(
        "forebay_disk_failed",
        Gauge,
        &["disk", "keyspace"],
        "1 once a write to a disk has failed: it takes no more before a restart",
        |view, family| {
            for disk in &view.disks {
                family.sample(&[disk.what, &disk.keyspace], Number::Whole(u64::from(disk.stats.is_poisoned)));
            }
        },
    ),
    counts(
        "forebay_invalidation_total",
        &["keyspace", "namespace", "reach"],
        "Invalidations that concerned the namespace, by what they took in",
        &[
            ("key", "invalidations_key"),
            ("tag", "invalidations_tag"),
            ("prefix", "invalidations_prefix"),
            ("namespace", "invalidations_namespace"),
            ("all", "invalidations_all"),
        ],
    ),
    count(
        "forebay_invalidation_refused_total",
        "Invalidations that the shared tier refused to be told of; they are done here, and told again",
        &[("", "records_refused")],
    ),
    metric(
        "forebay_invalidation_untold",
        Gauge,
        &[],
        "Invalidations that wait for a shared tier that could not be told",
        |view, family| {
            family.sample(&[], whole(view.untold));
        },
    ),
    counts(
        "forebay_writes_total",
        &["keyspace", "namespace", "outcome"],
        "Writes, by how they ended",
        &[
            ("kept", "writes_kept"),
            ("applied", "writes_applied"),
            ("stored", "writes_stored"),
            ("journaled", "writes_journaled"),
            ("dropped", "writes_dropped"),
            ("invalidated", "writes_invalidated"),
            ("expired", "writes_expired"),
            ("refused", "writes_refused"),
            ("failed", "writes_failed"),
            ("too_large", "writes_too_large"),
            ("unconfirmed", "writes_unconfirmed"),
        ],
    ),
    counts(
        "forebay_writes_behind_total",
        &["keyspace", "namespace", "end"],
        "What came of journaled writes",
        &[
            ("applied", "behind_applied"),
            ("overtaken", "behind_overtaken"),
            ("retried", "behind_retried"),
            ("parked", "behind_parked"),
            ("revived", "behind_revived"),
            ("dropped", "behind_dropped"),
        ],
    ),
    metric(
        "forebay_writes_waiting",
        Gauge,
        NAMESPACE,
        "Journaled writes that are to be applied",
        |view, family| {
            each(view, family, |namespace| whole(namespace.pending.writes));
        },
    ),
    metric(
        "forebay_writes_waiting_bytes",
        Gauge,
        NAMESPACE,
        "What these and the dead letters weigh in memory",
        |view, family| {
            each(view, family, |namespace| Number::Whole(namespace.pending.bytes));
        },
    ),
    metric(
        "forebay_writes_oldest_seconds",
        Gauge,
        NAMESPACE,
        "How long ago the oldest of these was acknowledged",
        |view, family| {
            each(view, family, |namespace| ms(namespace.pending.oldest));
        },
    ),
    metric(
        "forebay_writes_held_up",
        Gauge,
        NAMESPACE,
        "Of these, those that wait until the journal has forgotten an earlier one of their key",
        |view, family| {
            each(view, family, |namespace| whole(namespace.pending.held_up));
        },
    ),
    metric(
        "forebay_writes_dead_letters",
        Gauge,
        NAMESPACE,
        "Writes that could not be applied, and are kept",
        |view, family| {
            each(view, family, |namespace| whole(namespace.pending.dead_letters));
        },
    ),
    jobs::RUNS,
    jobs::SECONDS,
    jobs::RUNNING,
    jobs::LAST_SUCCESS,
    alarms::RAISED,
    alarms::EVENTS,
    metric(
        "forebay_database_connections",
        Gauge,
        &["keyspace", "database", "state"],
        "Connections to a database: `active` at work, `idle` open and free",
        |view, family| {
            for database in &view.databases {
                let connections = database.connections;
                for (state, number) in [("active", connections.active), ("idle", connections.idle)] {
                    family.sample(&[&database.keyspace, &database.name, state], Number::Whole(number.into()));
                }
            }
        },
    ),
    metric(
        "forebay_database_connections_max",
        Gauge,
        &["keyspace", "database"],
        "The most connections to a database",
        |view, family| {
            for database in &view.databases {
                family.sample(
                    &[&database.keyspace, &database.name],
                    Number::Whole(database.connections.max.into()),
                );
            }
        },
    ),
    clients::RESP_OPEN,
    clients::RESP_ACCEPTED,
    clients::RESP_REFUSED,
    clients::COMMANDS,
    clients::COMMAND_SECONDS,
    clients::HTTP_OPEN,
    clients::HTTP_ACCEPTED,
    clients::HTTP_REFUSED,
    clients::REQUESTS,
    clients::REQUEST_SECONDS,
    metric("forebay_build_info", Gauge, &["version"], "1; the version is the label", |_, family| {
        family.sample(&[env!("CARGO_PKG_VERSION")], Number::Whole(1));
    }),
    metric(
        "process_start_time_seconds",
        Gauge,
        &[],
        "When the process started, in seconds since 1970-01-01 UTC",
        |view, family| {
            family.sample(&[], Number::Ms(view.started_unix_ms));
        },
    ),
    metric(
        "process_resident_memory_bytes",
        Gauge,
        &[],
        "Memory that the process has, where the system tells",
        |view, family| {
            if let Some(bytes) = view.system.resident_bytes {
                family.sample(&[], Number::Whole(bytes));
            }
        },
    ),
    metric(
        "process_open_fds",
        Gauge,
        &[],
        "Open files and sockets, where the system tells",
        |view, family| {
            if let Some(files) = view.system.open_files {
                family.sample(&[], Number::Whole(files));
            }
        },
    ),
    metric("process_threads", Gauge, &[], "Threads, where the system tells", |view, family| {
        if let Some(threads) = view.system.threads {
            family.sample(&[], Number::Whole(threads));
        }
    }),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Those that are the sums of others, which are told.
    const SUMS: [&str; 3] = ["stale", "errors", "refused_fills"];

    #[test]
    fn every_count_of_the_engine_is_told_once() {
        let mut told: Vec<&str> = METRICS
            .iter()
            .filter_map(|metric| match metric.read {
                Reading::Counts(counts) => Some(counts),
                Reading::View(_) => None,
            })
            .flat_map(|counts| counts.iter().map(|(_, count)| *count))
            .chain(SUMS)
            .collect();
        let mut there: Vec<&str> = forebay::Counts::default().each().map(|count| count.name).collect();
        told.sort_unstable();
        there.sort_unstable();
        assert_eq!(told, there);
    }

    #[test]
    fn names_and_labels_are_as_prometheus_wants_them() {
        let plain = |name: &str| name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase());
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len(), "a name is taken twice");
        // OpenMetrics names a counter without its ending.
        let bare: Vec<_> = names.iter().filter_map(|name| name.strip_suffix("_total")).collect();
        assert!(
            bare.iter().all(|name| !names.contains(name)),
            "a counter and another are one in OpenMetrics"
        );
        for metric in METRICS {
            assert!(plain(metric.name) && metric.labels.iter().all(|label| plain(label)), "{}", metric.name);
            assert_eq!(metric.kind == Counter, metric.name.ends_with("_total"), "{}", metric.name);
            if let Reading::Counts(counts) = metric.read {
                let is_alone = matches!(counts, [("", _)]);
                assert_eq!(metric.labels.len(), if is_alone { 2 } else { 3 }, "{}", metric.name);
            }
        }
    }
}
