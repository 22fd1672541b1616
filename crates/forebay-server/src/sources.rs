//! From a declared source to one that loads: a query, a request, or both merged.
//!
//! It guarantees that what it gives can load: a query has been prepared against its database, a request is whole. An origin of requests
//! is not asked: it may come up later.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay::Source;
use forebay::feed::Rows;
use forebay::namespace::pattern::Pattern;
use forebay::rt::Clock;
use forebay_stores::database::Database;
use forebay_stores::source::http::{HttpSource, OpenError};
use forebay_stores::source::merge::Merged;
use forebay_stores::source::sql::{FreshUntil, KeyColumn, Limits, Shape, SqlError, SqlQuery, SqlSource};

use crate::configuration::{self, Lookup, Namespace, RowShape, SourceKind};
use crate::time::Clocks;

/// Why a declared source cannot load.
#[derive(Debug, thiserror::Error)]
pub enum SourceFault {
    /// Its query cannot work.
    #[error("its query cannot work: {0}")]
    Query(#[from] SqlError),
    /// Its request cannot be made.
    #[error("its request cannot be made: {0}")]
    Request(#[from] OpenError),
    /// It names a database that is not open.
    #[error("it loads from the database `{database}`, which is not declared")]
    NoDatabase {
        /// The database's name.
        database: String,
    },
}

/// The source of `namespace`, if one is declared; its times are measured by `clocks`.
pub(crate) async fn of(
    namespace: &Namespace,
    databases: &BTreeMap<String, Database>,
    clocks: &Clocks,
) -> Result<Option<Arc<dyn Source>>, SourceFault> {
    let Some(declared) = &namespace.source else { return Ok(None) };
    let mut merged: Option<Arc<dyn Source>> = None;
    for kind in &declared.order {
        let next: Option<Arc<dyn Source>> = match (kind, &declared.sql, &declared.http) {
            (SourceKind::Sql, Some(declared), _) => {
                Some(Arc::new(sql(declared, namespace, databases, clocks).await?))
            }
            (SourceKind::Http, sql, Some(declared)) => {
                Some(Arc::new(http(declared, namespace, sql.is_none(), &clocks.engine)?))
            }
            _ => None,
        };
        merged = match (merged, next) {
            (Some(earlier), Some(later)) => Some(Arc::new(Merged::new(earlier, later))),
            (earlier, later) => earlier.or(later),
        };
    }
    Ok(merged)
}

/// The query of `namespace`, prepared.
pub(crate) async fn sql(
    declared: &configuration::SqlSource,
    namespace: &Namespace,
    databases: &BTreeMap<String, Database>,
    clocks: &Clocks,
) -> Result<SqlSource, SourceFault> {
    let query = SqlQuery {
        text: declared.query.text.expose().to_owned(),
        params: KeyColumn::all_of(&namespace.key),
        decimals: declared.decimals.clone(),
        version: namespace.version.clone(),
        fresh_until: namespace
            .fresh_until
            .as_ref()
            .map(|of| FreshUntil { column: of.column.clone(), ttl: namespace.ttl.longest() }),
        clocks: clocks.clone(),
        tags: namespace.tags.iter().filter(|tag| !is_of_key(tag, namespace)).cloned().collect(),
        shape: shape(declared, namespace),
        limits: Limits { rows: declared.rows_max, bytes: declared.size_max },
        list: declared.list.as_ref().map(|query| query.expose().to_owned()),
        preferred: namespace.warm.as_ref().and_then(|warm| Some(warm.query.as_ref()?.expose().to_owned())),
    };
    let database = databases
        .get(&declared.database)
        .ok_or_else(|| SourceFault::NoDatabase { database: declared.database.clone() })?;
    Ok(SqlSource::open(database, query).await?)
}

/// What the rows of a key make.
fn shape(declared: &configuration::SqlSource, namespace: &Namespace) -> Shape {
    match (&declared.shape, &namespace.field) {
        (RowShape::Members { member, score }, _) => {
            Shape::Members { member: member.clone(), score: score.clone() }
        }
        (RowShape::Fields, Some(name)) => {
            let query = declared.fields.as_ref().map(|query| query.text.expose().to_owned());
            Shape::Fields { name: name.clone(), query }
        }
        (RowShape::Columns | RowShape::Fields, _) => Shape::Columns,
        (RowShape::Many, _) => Shape::Rows,
        (RowShape::One, _) => Shape::Row,
    }
}

/// `is_alone`: no query is merged with it, so that the version is a member of its answers.
fn http(
    declared: &configuration::HttpSource,
    namespace: &Namespace,
    is_alone: bool,
    clock: &Clock,
) -> Result<HttpSource, OpenError> {
    let mut options = declared.options(namespace.loader.timeout);
    options.version = namespace.version.clone().filter(|_| is_alone);
    HttpSource::open(options, &namespace.key.names().collect::<Vec<_>>(), clock.clone())
}

/// Whether a tag is known from the key alone; others are made of columns, by the source.
pub(crate) fn is_of_key(tag: &Pattern, namespace: &Namespace) -> bool {
    tag.names().all(|name| namespace.key.names().any(|parameter| parameter == name))
}

/// The rows that the values of `namespace` are made of: those of any table, where it is not known which.
pub(crate) fn rows(namespace: &Namespace) -> Vec<Rows> {
    let Some(sql) = namespace.source.as_ref().and_then(|source| source.sql.as_ref()) else {
        return Vec::new();
    };
    let is_sole_writer = namespace.membership.is_some_and(|membership| membership.is_sole_writer);
    let told = |rows: Rows| if is_sole_writer { rows.told_by_writers() } else { rows };
    let Some(tables) = namespace.dependencies() else { return vec![told(Rows::of_any(&sql.database))] };
    let of = |lookup: &Lookup| {
        let mut columns = lookup.columns.iter().map(String::as_str);
        // No column has no name: where none carries a parameter, a row concerns every key.
        let column = |rows: Rows, param: &str| rows.column(param, columns.next().unwrap_or_default());
        let rows = namespace.key.names().fold(told(Rows::of(&sql.database, &lookup.table)), column);
        match namespace.field_column(&lookup.table).filter(|_| !lookup.columns.is_empty()) {
            Some(field) => rows.field(field),
            None => rows,
        }
    };
    tables.iter().map(of).collect()
}
