//! `[namespace.NAME.membership]`: the filter of the keys that exist, and who tells it of new ones.

use std::collections::BTreeMap;

use super::super::fault::ListedFault;
use super::super::raw::Table;
use super::super::report::Findings;
use super::database::Database;
use super::namespace::Namespace;
use super::sink::{Sink, SqlSink};

/// How many keys are expected unless the namespace says otherwise.
const KEYS: u64 = 1_000_000;
/// Which part of the keys that do not exist is asked for unless the namespace says otherwise, in millionths.
const FALSE_POSITIVES: u64 = 1_000;

/// A filter of the keys that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// How many keys are expected. Default: 1,000,000.
    pub keys: u64,
    /// Which part of the keys that do not exist is asked for all the same, in millionths. Default: 1,000.
    pub false_positives_millionths: u64,
    /// Whether the app's own transactions are all that adds rows.
    pub is_sole_writer: bool,
}

pub(super) fn membership(namespace: &Table, findings: &mut Findings) -> Option<Membership> {
    let table = namespace.table("membership")?;
    let sql = namespace.table("source").and_then(|source| source.table("sql"));
    if namespace.has("source") && sql.is_none_or(|sql| !sql.has("list")) {
        findings.add(namespace.key_span("membership"), ListedFault::Unlisted);
    }
    Some(Membership {
        keys: table.integer("keys").unwrap_or(KEYS),
        false_positives_millionths: table.rate("false_positives").unwrap_or(FALSE_POSITIVES),
        is_sole_writer: table.flag("sole_writer").unwrap_or(false),
    })
}

/// Whether every filter is told of new rows.
pub(super) fn told(
    raw: &Table,
    databases: &BTreeMap<String, Option<Database>>,
    namespaces: &BTreeMap<String, Option<Namespace>>,
    findings: &mut Findings,
) {
    for (name, table) in raw.tables("namespace") {
        let Some(namespace) = namespaces.get(name).and_then(Option::as_ref) else { continue };
        let sql = namespace.source.as_ref().and_then(|source| source.sql.as_ref());
        let (Some(membership), Some(sql)) = (&namespace.membership, sql) else { continue };
        let has_feed = databases.get(&sql.database).and_then(Option::as_ref).is_some_and(|one| one.feed);
        if !membership.is_sole_writer && !has_feed {
            findings.add(table.key_span("membership"), ListedFault::Untold);
        }
        let Some(tables) = namespace.dependencies() else {
            findings.add(table.key_span("membership"), ListedFault::UnknownRows);
            continue;
        };
        let others = namespaces.values().flatten().filter(|other| other.name != *name);
        for (other, sink) in others.filter_map(|other| Some((other, other.sink.as_ref()?))) {
            let Sink::Sql(sink) = sink else { continue };
            let written = tables.iter().find(|lookup| writes_to(sink, &sql.database, &lookup.table));
            if let Some(written) = written.filter(|_| membership.is_sole_writer) {
                let (namespace, table_name) = (other.name.clone(), written.table.clone());
                let fault = ListedFault::OtherWriter { namespace, table: table_name };
                findings.add(table.key_span("membership"), fault);
            }
        }
    }
}

/// Whether a statement of `sink` names the table: what it does there is not looked at.
fn writes_to(sink: &SqlSink, database: &str, table: &str) -> bool {
    let is_part = |each: char| each.is_alphanumeric() || each == '_';
    let names = |text: &str| text.split(|each| !is_part(each)).any(|word| word.eq_ignore_ascii_case(table));
    sink.database == database
        && (names(sink.write.expose()) || sink.delete.as_ref().is_some_and(|text| names(text.expose())))
}
