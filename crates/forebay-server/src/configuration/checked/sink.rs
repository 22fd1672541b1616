//! `[namespace.NAME.sink]`: where writes go.

use std::collections::BTreeMap;

use super::super::fault::QueryFault;
use super::super::raw::Table;
use super::super::report::Findings;
use super::super::secrets::Text;
use super::source::{KeyNames, database_name, headers, http_url};
use super::{Context, required};

/// Where writes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Statements.
    Sql(SqlSink),
    /// Requests.
    Http(HttpSink),
}

/// Statements that apply writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlSink {
    /// The name of its database.
    pub database: String,
    /// Writes the rows in `{rows}`.
    pub write: Text,
    /// Deletes the rows of the keys in `{keys}`; without it deletes are refused.
    pub delete: Option<Text>,
}

/// Requests that apply writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSink {
    /// `http://` or `https://`, with parameters of the key in braces.
    pub url: Text,
    /// Headers sent along.
    pub headers: BTreeMap<String, Text>,
    /// Whether the other side honours `Idempotency-Key`. Default: no.
    pub idempotency_key: bool,
}

pub(super) fn sink(
    table: &Table,
    names: &KeyNames<'_>,
    context: &Context,
    findings: &mut Findings,
) -> Option<Sink> {
    let sql = table.table("sql").and_then(|table| sql(table, context, findings)).map(Sink::Sql);
    let http = table.table("http").and_then(|table| http(table, names, findings)).map(Sink::Http);
    sql.or(http)
}

fn sql(table: &Table, context: &Context, findings: &mut Findings) -> Option<SqlSink> {
    let database = database_name(table, context, findings);
    required(table, "write", "write `write = \"insert into … values {rows} on conflict …\"`", findings);
    let write = statement(
        table,
        "write",
        "{rows}",
        "bind the rows: `insert into orders (a, b) values {rows} on conflict …`",
        findings,
    );
    let delete = statement(
        table,
        "delete",
        "{keys}",
        "bind the keys: `delete from orders where … in {keys}`",
        findings,
    );
    Some(SqlSink { database: database?, write: write?, delete })
}

fn statement(
    table: &Table,
    name: &'static str,
    placeholder: &'static str,
    mend: &'static str,
    findings: &mut Findings,
) -> Option<Text> {
    let text = table.text(name)?;
    if !text.expose().contains(placeholder) {
        findings.add(table.span(name), QueryFault::NoPlaceholder { statement: name, placeholder, mend });
    }
    Some(text.clone())
}

fn http(table: &Table, names: &KeyNames<'_>, findings: &mut Findings) -> Option<HttpSink> {
    Some(HttpSink {
        url: http_url(table, names, findings)?,
        headers: headers(table),
        idempotency_key: table.flag("idempotency_key").unwrap_or(false),
    })
}
