//! `fresh_until`: the column that says until when a row is fresh.
//!
//! Whether the query gives it is told here where its columns can be; its type is seen when the query is prepared.

use std::time::Duration;

use super::super::fault::{PolicyFault, QueryFault, RowsFault};
use super::super::raw::Table;
use super::super::report::Findings;
use super::super::units::show_duration;
use super::namespace::Ttl;
use super::{checked_name, required};

/// A column that says until when a row is fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshUntil {
    /// Its name.
    pub column: String,
    /// How long after its load began a value is fresh that says so. Default: the TTL, which it can only shorten then.
    pub at_most: Option<Duration>,
}

/// `columns`: of the query, if they can be told.
pub(super) fn fresh_until(
    table: &Table,
    columns: Option<&[String]>,
    ttl: Option<Ttl>,
    findings: &mut Findings,
) -> Option<FreshUntil> {
    let (holder, option) = match table.table("fresh_until") {
        Some(within) => {
            required(within, "column", "write `fresh_until = { column = \"…\", at_most = \"…\" }`", findings);
            (within, "column")
        }
        None => (table, "fresh_until"),
    };
    let column = checked_name(holder, option, "a column", findings)?;
    let at_most = table.table("fresh_until").and_then(|within| within.duration("at_most"));
    of_rows(table, findings);
    if table.has("field")
        && let (Some(at_most), Some(ttl)) = (at_most.filter(|_| option == "column"), ttl)
        && at_most > ttl.longest()
    {
        let (at_most, shown) = (show_duration(at_most), show_duration(ttl.longest()));
        let fault = PolicyFault::FieldOutlivesHash { at_most, ttl: shown };
        findings.add_with(holder.span("at_most"), fault, table.span("ttl"), "of the hash");
    }
    if columns.is_some_and(|columns| !columns.contains(&column)) {
        let fault = QueryFault::ShapeMissing { option: "fresh_until", column: column.clone() };
        findings.add(holder.span(option), fault);
    }
    Some(FreshUntil { column, at_most })
}

/// Rows are what a query gives.
fn of_rows(table: &Table, findings: &mut Findings) {
    if table.table("source").is_some_and(|source| !source.has("sql")) {
        findings.add(table.key_span("fresh_until"), RowsFault::FreshUntilWithoutRows);
    }
}
