//! `[namespace.NAME.source]` and aliases: where a missing key is loaded from.

use std::collections::BTreeMap;

use forebay::namespace::pattern::Pattern;

use super::super::fault::{DatabaseFault, KeyFault, PolicyFault, QueryFault};
use super::super::query::{Query, check_keys, check_list};
use super::super::raw::{Entry, Table, nearest};
use super::super::report::Findings;
use super::super::secrets::Text;
use super::http::{HttpSource, http};
use super::namespace::Kind;
use super::{Context, checked_name, keys, number, required};

/// Where a missing key is loaded from: one source, or both in an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A query.
    pub sql: Option<SqlSource>,
    /// A request.
    pub http: Option<HttpSource>,
    /// The order in which they are laid: members of the later over the earlier.
    pub order: Vec<SourceKind>,
}

/// Which of the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// The query.
    Sql,
    /// The request.
    Http,
}

/// A query that serves one key and many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlSource {
    /// The name of its database.
    pub database: String,
    /// Gives the rows of the keys in `{keys}`.
    pub query: Query,
    /// For a hash: gives the rows of single fields.
    pub fields: Option<Query>,
    /// Gives the parameters of all keys that exist.
    pub list: Option<Text>,
    /// Columns that hold exact decimals as text, with their digits after the point on the wire (0 to 28).
    pub decimals: BTreeMap<String, u8>,
    /// What the rows of a key make.
    pub shape: RowShape,
    /// The most rows of a key. Default: 10,000.
    pub rows_max: u64,
    /// The most bytes of a key's rows. Default: 16 MiB.
    pub size_max: u64,
}

/// What the rows of a key make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowShape {
    /// One row, a blob.
    One,
    /// All rows, a blob.
    Many,
    /// One row, a hash of its columns.
    Columns,
    /// A hash of rows, whose fields are named as the namespace says.
    Fields,
    /// A sorted set of rows.
    Members {
        /// The column of the member.
        member: String,
        /// The column of its score.
        score: String,
    },
}

/// The most rows of a key unless the namespace says otherwise.
const ROWS_MAX: u64 = 10_000;
/// The most bytes of a key's rows unless the namespace says otherwise.
const SIZE_MAX: u64 = 16 << 20;

/// What a source must know of its namespace.
pub(super) struct KeyNames<'n> {
    pub(super) key: Option<&'n Pattern>,
    pub(super) field: Option<&'n Pattern>,
    pub(super) kind: Kind,
}

impl KeyNames<'_> {
    fn key(&self) -> Option<Vec<&str>> {
        self.key.map(keys::names)
    }

    /// The parameters of the key, then those of the field.
    pub(super) fn with_field(&self) -> Option<Vec<&str>> {
        let field = self.field.into_iter().flat_map(Pattern::names);
        Some(self.key?.names().chain(field).collect())
    }
}

pub(super) fn source(
    table: &Table,
    names: &KeyNames<'_>,
    version: Option<&Entry>,
    context: &Context,
    findings: &mut Findings,
) -> Option<Source> {
    let sql = table.table("sql").map(|table| sql(table, names, version, context, findings));
    let http = table.table("http").map(|table| http(table, names, findings));
    let given: Vec<SourceKind> = [(table.has("sql"), SourceKind::Sql), (table.has("http"), SourceKind::Http)]
        .into_iter()
        .filter_map(|(given, kind)| given.then_some(kind))
        .collect();
    let merge: Vec<SourceKind> = table
        .texts("merge")
        .iter()
        .filter_map(|entry| match entry.text()?.expose() {
            "sql" => Some(SourceKind::Sql),
            "http" => Some(SourceKind::Http),
            _ => None,
        })
        .collect();
    if table.has("merge") {
        let names_each = merge.len() == table.texts("merge").len()
            && merge.len() == given.len()
            && given.iter().all(|kind| merge.contains(kind));
        if !names_each {
            findings.add(table.span("merge"), PolicyFault::BadMerge { is_alone: given.len() < 2 });
        }
    } else if given.len() > 1 {
        findings.add(table.key_span("http"), PolicyFault::NoMerge);
    }
    let order = if table.has("merge") { merge } else { given };
    Some(Source { sql: super::transposed(sql)?, http: super::transposed(http)?, order })
}

fn sql(
    table: &Table,
    names: &KeyNames<'_>,
    version: Option<&Entry>,
    context: &Context,
    findings: &mut Findings,
) -> Option<SqlSource> {
    let database = database_name(table, context, findings);
    required(table, "query", "write `query = \"select … from … where … in {keys}\"`", findings);
    let (key_names, field_names) = (names.key(), names.with_field());
    // SQLite has only functions that it is given by the process.
    let may_call = !database.as_ref().is_some_and(|name| context.files.contains(name));
    let mut read = |option: &str, bound: Option<&Vec<&str>>, wanted: Option<&Vec<&str>>| {
        let entry = table.get(option)?;
        query(entry, bound?, wanted?, may_call, findings)
    };
    let whole = if names.kind == Kind::Hash { &field_names } else { &key_names };
    let main = read("query", key_names.as_ref(), whole.as_ref());
    let fields = read("fields", field_names.as_ref(), field_names.as_ref());
    let list = table.get("list").and_then(|entry| list(entry, key_names.as_ref()?, findings));
    let shape = shape(table, names, main.as_ref(), findings);
    if let Some(columns) = main.as_ref().and_then(|query| query.columns.as_ref()) {
        for (column, entry) in table.map("decimals").filter(|(column, _)| !columns.contains(column)) {
            findings.add(entry.key.clone(), QueryFault::DecimalMissing { column: column.clone() });
        }
        let version = version.and_then(|entry| Some((entry, entry.text()?.expose())));
        if let Some((entry, column)) =
            version.filter(|(_, column)| !columns.iter().any(|known| known == column))
        {
            findings.add(entry.span.clone(), QueryFault::VersionMissing { column: column.into() });
        }
    }
    let decimals = table.map("decimals").filter_map(|(column, entry)| match entry.value {
        super::super::raw::Value::Integer(scale) => Some((column.clone(), u8::try_from(scale).ok()?)),
        _ => None,
    });
    Some(SqlSource {
        database: database?,
        query: main?,
        fields,
        list,
        decimals: decimals.collect(),
        shape: shape?,
        rows_max: number(table, "rows_max").unwrap_or(ROWS_MAX),
        size_max: table.size("size_max").unwrap_or(SIZE_MAX),
    })
}

/// What the rows make; the columns that it names must be among those of `query`, where they can be told.
fn shape(
    table: &Table,
    names: &KeyNames<'_>,
    query: Option<&Query>,
    findings: &mut Findings,
) -> Option<RowShape> {
    match names.kind {
        Kind::Hash if names.field.is_some() => return Some(RowShape::Fields),
        Kind::Hash => return Some(RowShape::Columns),
        Kind::Blob | Kind::Counter if table.choice("rows") == Some("many") => return Some(RowShape::Many),
        Kind::Blob | Kind::Counter => return Some(RowShape::One),
        Kind::SortedSet => {}
    }
    let mut column = |option: &'static str| {
        let is_given = table.has(option);
        let name =
            if is_given { checked_name(table, option, "a column", findings)? } else { option.to_owned() };
        let columns = query.and_then(|query| query.columns.as_ref());
        if columns.is_some_and(|columns| !columns.contains(&name)) {
            let fault = QueryFault::ShapeMissing { option, column: name.clone() };
            findings.add(table.span(if is_given { option } else { "query" }), fault);
        }
        Some(name)
    };
    let (member, score) = (column("member"), column("score"));
    Some(RowShape::Members { member: member?, score: score? })
}

/// Checks one query and reports its faults at their places.
fn query(
    entry: &Entry,
    bound: &[&str],
    wanted: &[&str],
    may_call: bool,
    findings: &mut Findings,
) -> Option<Query> {
    let (query, faults) = check_keys(entry.text()?, bound, wanted, may_call);
    let is_right = faults.is_empty();
    for (fault, within) in faults {
        findings.add(entry.part(within), fault);
    }
    is_right.then_some(query)
}

/// Checks the query that gives all keys.
fn list(entry: &Entry, wanted: &[&str], findings: &mut Findings) -> Option<Text> {
    let text = entry.text()?;
    if wanted.is_empty() {
        findings.add(entry.key.clone(), QueryFault::NothingToList);
    }
    for (fault, within) in check_list(text, wanted, false) {
        findings.add(entry.part(within), fault);
    }
    Some(text.clone())
}

/// The name of a declared database.
pub(super) fn database_name(table: &Table, context: &Context, findings: &mut Findings) -> Option<String> {
    required(table, "database", "write `database = \"NAME\"` of a `[database.NAME]`", findings)?;
    let name = table.text("database")?.expose();
    if !context.databases.iter().any(|known| known == name) {
        let mend = known_databases(name, &context.databases);
        findings.add(table.span("database"), DatabaseFault::UnknownDatabase { name: name.into(), mend });
        return None;
    }
    Some(name.to_owned())
}

/// What to write instead of a database that is not declared.
pub(super) fn known_databases(name: &str, known: &[String]) -> String {
    match (nearest(name, known.iter().map(String::as_str)), known) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => format!("declare it: `[database.{name}]` with its `url`"),
        (None, known) => format!("declared are {}", known.join(", ")),
    }
}

/// The url of an HTTP sink.
pub(super) fn headers(table: &Table) -> BTreeMap<String, Text> {
    table.map("headers").filter_map(|(name, entry)| Some((name.clone(), entry.text()?.clone()))).collect()
}

/// The queries of a namespace's aliases, by the other name's parameter.
pub(super) fn aliases(
    table: &Table,
    key: Option<&Pattern>,
    findings: &mut Findings,
) -> BTreeMap<String, Query> {
    let mut aliases = BTreeMap::new();
    let Some(names) = key.map(keys::names) else { return aliases };
    let [parameter] = names.as_slice() else {
        if table.has("aliases") {
            findings.add(table.key_span("aliases"), KeyFault::AliasArity { count: names.len() });
        }
        return aliases;
    };
    for (alias, entry) in table.map("aliases") {
        if alias == parameter {
            findings.add(entry.key.clone(), KeyFault::AliasIsParameter { name: alias.clone() });
        } else if let Some(query) = query(entry, &[alias], &[alias, parameter], true, findings) {
            aliases.insert(alias.clone(), query);
        }
    }
    aliases
}
