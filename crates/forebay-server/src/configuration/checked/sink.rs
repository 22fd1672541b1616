//! `[namespace.NAME.sink]`: where writes go.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use forebay_stores::sink::http::HttpSinkOptions;
use forebay_stores::source::http::address::AddressPolicy;
use forebay_stores::source::http::{Many, UrlTemplate};

use super::super::fault::{QueryFault, RequestFault};
use super::super::raw::Table;
use super::super::report::Findings;
use super::super::secrets::Text;
use super::http::{addresses, check_headers, template};
use super::source::{KeyNames, database_name, headers};
use super::{Context, number, required};

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
    /// The url as it was written.
    pub url: Text,
    /// The same, with the places of parameters.
    pub template: UrlTemplate,
    /// Headers sent along.
    pub headers: BTreeMap<String, Text>,
    /// Whether the other side honours `Idempotency-Key`. Default: no.
    pub idempotency_key: bool,
    /// Whether 202 counts as applied. Default: no.
    pub accepted: bool,
    /// The longest for one request. Default: four fifths of the loader's time-out.
    pub timeout: Option<Duration>,
    /// Most requests in flight. Default: 16.
    pub connections: Option<usize>,
    /// Which addresses may be reached.
    pub addresses: AddressPolicy,
    /// Authorities to trust beside those that browsers trust.
    pub ca_file: Option<PathBuf>,
}

/// The part of the loader's time-out that a request has, so that its end is told before the write is given up.
const REQUEST_SHARE: (u32, u32) = (4, 5);

impl HttpSink {
    /// How it asks, for writes that are waited for no longer than `timeout`.
    #[must_use]
    pub fn options(&self, timeout: Duration) -> HttpSinkOptions {
        let default = HttpSinkOptions::new(self.template.clone());
        let (part, whole) = REQUEST_SHARE;
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        HttpSinkOptions {
            headers: headers.collect(),
            idempotency_key: self.idempotency_key,
            accepted: self.accepted,
            timeout: self.timeout.unwrap_or(timeout * part / whole),
            connections: self.connections.unwrap_or(default.connections),
            addresses: self.addresses.clone(),
            ca_file: self.ca_file.clone(),
            ..default
        }
    }
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
    let template = template(table, names, Many::Joined, findings);
    if template.as_ref().is_some_and(UrlTemplate::takes_many) {
        findings.add(table.span("url"), RequestFault::ManyInSink);
    }
    check_headers(table, findings);
    let addresses = addresses(table, findings);
    Some(HttpSink {
        url: table.text("url")?.clone(),
        template: template?,
        headers: headers(table),
        idempotency_key: table.flag("idempotency_key").unwrap_or(false),
        accepted: table.flag("accepted").unwrap_or(false),
        timeout: table.duration("timeout"),
        connections: number(table, "connections"),
        addresses: addresses?,
        ca_file: table.text("ca_file").map(|path| path.expose().into()),
    })
}
