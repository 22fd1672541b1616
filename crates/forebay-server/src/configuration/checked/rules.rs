//! Options of a namespace that contradict one another.
//!
//! The rules go by which options were given, right or wrong, so that one wrong value does not hide a contradiction.

use std::time::Duration;

use super::super::fault::{ListedFault, PolicyFault, RowsFault, WorkersKvFault};
use super::super::raw::Table;
use super::super::report::Findings;
use super::super::units::show_duration;
use super::Context;
use super::namespace::{Mode, Ttl, Writes};
use crate::limits::workers_kv::LIFE_MIN;

/// Options that allow stale answers.
const STALE: [&str; 2] = ["stale_while_revalidate", "stale_if_error"];
/// Options that say when to load again.
const REFRESH: [&str; 2] = ["refresh_ahead", "refresh_every"];
/// Further options that have no meaning without a source.
const OF_A_SOURCE: [&str; 8] =
    ["absent_ttl", "fresh_until", "version", "aliases", "warm", "loader", "membership", "depends_on"];

/// Who has the truth, and what may not be said then.
pub(super) fn mode(table: &Table, context: &Context, findings: &mut Findings) -> Mode {
    let has_source = has_source(table);
    let mode = match table.choice("mode") {
        Some("store") => Mode::Store,
        Some(_) => Mode::Cache,
        None => {
            if !has_source && !table.has("mode") {
                findings.add(table.name_span.clone(), PolicyFault::NoMode);
            }
            Mode::Cache
        }
    };
    match mode {
        Mode::Store => store(table, context, findings),
        Mode::Cache => {
            if table.has("durability") && (table.has("mode") || has_source) {
                findings.add(table.key_span("durability"), PolicyFault::DurabilityInCache);
            }
            if !has_source && table.has("mode") {
                for option in
                    STALE.into_iter().chain(REFRESH).chain(OF_A_SOURCE).filter(|name| table.has(name))
                {
                    findings.add(table.key_span(option), PolicyFault::NeedsSource { option });
                }
                if table.choice("exists") == Some("load") {
                    findings.add(table.key_span("exists"), PolicyFault::NeedsSource { option: "exists" });
                }
            }
        }
    }
    if table.flag("secure") == Some(true) {
        for option in STALE.into_iter().filter(|name| table.has(name)) {
            let fault = PolicyFault::SecureAndStale { option };
            findings.add_with(table.key_span(option), fault, table.key_span("secure"), "forbids them");
        }
    }
    mode
}

fn store(table: &Table, context: &Context, findings: &mut Findings) {
    for (option, fault) in [
        ("source", PolicyFault::StoreWithSource),
        ("sink", PolicyFault::StoreWithSink),
        ("writes", PolicyFault::WritesInStore),
    ] {
        if table.has(option) {
            findings.add_with(table.key_span(option), fault, table.span("mode"), "a store");
        }
    }
    for option in STALE.into_iter().chain(REFRESH).chain(["jitter"]).filter(|name| table.has(name)) {
        findings.add_with(
            table.key_span(option),
            PolicyFault::StaleInStore { option },
            table.span("mode"),
            "a store",
        );
    }
    if !has_source(table) {
        for option in OF_A_SOURCE.into_iter().filter(|name| table.has(name)) {
            findings.add(table.key_span(option), PolicyFault::NeedsSource { option });
        }
    }
    let always = table.text("durability").is_some_and(|text| text.expose() == "always");
    if always && context.shared {
        findings.add(table.span("durability"), PolicyFault::AlwaysOnShared);
    }
}

fn has_source(table: &Table) -> bool {
    table.has("source")
}

/// What must be shorter than the TTL, and what has no meaning where every use renews it.
pub(super) fn times(table: &Table, ttl: Option<Ttl>, findings: &mut Findings) {
    let Some(ttl) = ttl else { return };
    if matches!(ttl, Ttl::Sliding { .. }) && table.choice("mode") != Some("store") {
        sliding(table, findings);
    }
    // Of a sliding TTL the end of the longest life counts: a read puts off the other.
    let ttl = ttl.longest();
    for option in ["refresh_ahead", "jitter"] {
        let value: Option<Duration> = table.duration(option);
        if let Some(value) = value.filter(|value| *value >= ttl) {
            let (value, shown) = (show_duration(value), show_duration(ttl));
            let fault = PolicyFault::NotShorter { option, value, ttl: shown };
            findings.add_with(table.span(option), fault, table.span("ttl"), "the TTL");
        }
    }
    refreshed_in_time(table, ttl, findings);
}

/// Stale windows begin where a TTL ends; one that every use renews ends because nobody used the value.
fn sliding(table: &Table, findings: &mut Findings) {
    for option in STALE.into_iter().filter(|name| table.has(name)) {
        let fault = PolicyFault::SlidingAndStale { option };
        findings.add_with(table.key_span(option), fault, table.span("ttl"), "renewed by every use");
    }
}

/// What is held must still be held when it is refreshed.
fn refreshed_in_time(table: &Table, ttl: Duration, findings: &mut Findings) {
    let windows = STALE.into_iter().filter_map(|option| table.duration(option));
    let ends = ttl.saturating_add(windows.max().unwrap_or_default());
    if let Some(every) = table.duration("refresh_every").filter(|every| *every >= ends) {
        let (value, ends) = (show_duration(every), show_duration(ends));
        let fault = PolicyFault::RefreshTooLate { value, ends };
        findings.add_with(table.span("refresh_every"), fault, table.span("ttl"), "the TTL");
    }
}

/// What Workers KV could not hold, where it is to be refused.
pub(super) fn workers_kv(table: &Table, ttl: Option<Ttl>, findings: &mut Findings) {
    if table.flag("workers_kv_limits") != Some(true) {
        return;
    }
    let least = ttl.map(|ttl| ttl.shortest().saturating_sub(table.duration("jitter").unwrap_or_default()));
    if let Some(least) = least.filter(|least| *least < LIFE_MIN) {
        let fault = WorkersKvFault::ShortLife { least: show_duration(least) };
        findings.add_with(table.span("ttl"), fault, table.key_span("workers_kv_limits"), "refuses it");
    }
    if table.choice("kind").is_some_and(|kind| kind != "blob") {
        let fault = WorkersKvFault::OtherKind;
        findings.add_with(table.span("kind"), fault, table.key_span("workers_kv_limits"), "refuses it");
    }
}

/// What a value is, and what it is made of.
pub(super) fn kind(table: &Table, findings: &mut Findings) {
    let kind = table.choice("kind").unwrap_or("blob");
    if table.has("field") && kind != "hash" {
        findings.add(table.key_span("field"), RowsFault::FieldWithoutHash);
    }
    let Some(source) = table.table("source") else { return };
    if let Some(sql) = source.table("sql").filter(|sql| sql.has("list") && source.has("http")) {
        findings.add(sql.key_span("list"), ListedFault::Merged);
    }
    if kind == "counter" {
        findings.add(table.span("kind"), RowsFault::CounterWithSource);
    }
    if source.has("http")
        && let Some(kind) = match kind {
            "hash" => Some("hash"),
            "sorted_set" => Some("sorted set"),
            _ => None,
        }
    {
        findings.add(source.key_span("http"), RowsFault::KindOfRequest { kind });
    }
    if let Some(sql) = source.table("sql") {
        rows(sql, source, table, kind, findings);
    }
}

/// What the rows of a query make.
fn rows(sql: &Table, source: &Table, namespace: &Table, kind: &str, findings: &mut Findings) {
    if sql.has("fields") {
        if kind != "hash" {
            findings.add(sql.key_span("fields"), RowsFault::FieldsWithoutHash);
        } else if !namespace.has("field") {
            findings.add(sql.key_span("fields"), RowsFault::FieldsWithoutField);
        }
    }
    if sql.has("rows") && kind != "blob" {
        findings.add(sql.key_span("rows"), RowsFault::OfAnotherKind { option: "rows", kind: "blob" });
    } else if sql.choice("rows") == Some("many") && source.has("http") {
        findings.add(sql.span("rows"), RowsFault::ManyMerged);
    }
    for option in ["member", "score"].into_iter().filter(|option| kind != "sorted_set" && sql.has(option)) {
        findings.add(sql.key_span(option), RowsFault::OfAnotherKind { option, kind: "sorted_set" });
    }
    let is_one = match kind {
        "blob" => sql.choice("rows") != Some("many"),
        "hash" => !namespace.has("field"),
        _ => false,
    };
    if is_one && sql.has("rows_max") {
        findings.add(sql.key_span("rows_max"), RowsFault::RowsOfOne);
    }
}

/// What a client's write does, and whether there is somewhere for it to go.
pub(super) fn writes(table: &Table, findings: &mut Findings) -> Writes {
    let sink = table.table("sink");
    let has_sink = table.has("sink");
    if let Some(sink) = sink.filter(|sink| sink.has("sql") && sink.has("http")) {
        findings.add(sink.key_span("http"), PolicyFault::TwoSinks);
    }
    if table.choice("mode") == Some("store") {
        return Writes::Store;
    }
    let (writes, is_to_sink) = match table.choice("writes") {
        Some("through") => (Writes::Through, Some("through")),
        Some("behind") => (Writes::Behind, Some("behind")),
        Some("cache") => (Writes::Cache, None),
        Some(_) => (Writes::Refuse, None),
        None if has_source(table) => (Writes::Refuse, None),
        None => (Writes::Cache, None),
    };
    match is_to_sink {
        Some(writes) if !has_sink => findings.add(table.span("writes"), PolicyFault::NoSink { writes }),
        None if has_sink => findings.add(table.key_span("sink"), PolicyFault::SinkUnused),
        Some(_) if !has_source(table) => {
            findings.add(table.key_span("sink"), PolicyFault::SinkWithoutSource);
        }
        _ => {}
    }
    writes
}
