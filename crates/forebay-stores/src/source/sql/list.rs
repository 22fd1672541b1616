//! Queries that give keys instead of values: all that exist, page by page, or those that are worth having warm.
//!
//! A listing goes inside another query that orders it by the key's columns and begins after the last key of the page before, so that it is
//! read in pages of one snapshot each and no page costs more than the last. It guarantees that no key is passed over: what orders the rows
//! tells all keys apart, and a column whose values SQLite does not order in one way is an error. PostgreSQL's replicas are not asked, for
//! one may lack what was committed a moment ago.
//!
//! A column of the key's own type (text, integers, on PostgreSQL also `uuid`) is ordered as it is, by its index where there is one; any other
//! by its text, for which each page reads all rows.

use std::fmt::Write as _;
use std::time::Duration;

use forebay::LoadKey;
use forebay::namespace::pattern::ParamKind;
use forebay::value::Param;
use sqlx::postgres::{PgArguments, PgPool};
use sqlx::sqlite::{SqliteArguments, SqlitePool};
use sqlx::{
    Arguments, AssertSqlSafe, Column as _, Executor, Row as _, SqlSafeStr, SqlStr, Statement, TypeInfo,
};

use super::{KeyColumn, SqlError};
use crate::database::cancel::{Cancelling, Interrupting};
use crate::database::{Database, Pool, quoted};

/// A query that gives keys, as it is asked.
#[derive(Clone, Debug)]
pub(super) struct KeyQuery {
    params: Vec<KeyColumn>,
    pool: Asked,
    /// Asked for as many as are bound.
    first: SqlStr,
    /// Asked for as many as are bound after the key that is bound behind that.
    next: SqlStr,
}

#[derive(Clone, Debug)]
enum Asked {
    Sqlite(SqlitePool, Duration),
    Postgres(PgPool),
}

/// A column of the key, as a listing is ordered by it.
struct Ordered {
    /// Its text.
    text: String,
    /// Rows that have a key there.
    has_key: String,
    /// What is ordered, and what of a bound key that is compared with; [`BOUND`] is its place.
    by: Vec<(String, String)>,
    /// Whether a row holds there what is ordered in one way.
    is_ordered: String,
}

/// Where the text of a key's parameter is bound.
const BOUND: &str = "{bound}";

impl KeyQuery {
    /// Prepares `text`, which gives the columns `params`. In its own order where `keeps_order`: it is asked for its first keys then, never
    /// for those after one.
    pub(super) async fn open(
        database: &Database,
        text: &str,
        params: &[KeyColumn],
        keeps_order: bool,
    ) -> Result<Self, SqlError> {
        let text = text.trim_end().trim_end_matches(';');
        let own = AssertSqlSafe(text.to_owned()).into_sql_str();
        let wrapped = |columns: &[Ordered], is_next: bool| {
            let order = if keeps_order { None } else { Some(is_next) };
            AssertSqlSafe(statement(text, columns, order)).into_sql_str()
        };
        let (pool, first, next) = match database.pool() {
            Pool::Sqlite(pool) => {
                let mut connection = pool.acquire().await?;
                let prepared = (&mut *connection).prepare(own).await?;
                let given =
                    prepared.columns().iter().map(|column| (column.name(), column.type_info().name()));
                let columns = ordered(params, given.collect(), of_sqlite)?;
                let (first, next) = (wrapped(&columns, false), wrapped(&columns, true));
                (&mut *connection).prepare(next.clone()).await?;
                (Asked::Sqlite(pool.clone(), database.within()), first, next)
            }
            Pool::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                let prepared = (&mut *connection).prepare(own).await?;
                let given =
                    prepared.columns().iter().map(|column| (column.name(), column.type_info().name()));
                let columns = ordered(params, given.collect(), of_postgres)?;
                let (first, next) = (wrapped(&columns, false), wrapped(&columns, true));
                (&mut *connection).prepare(next.clone()).await?;
                (Asked::Postgres(pool.clone()), first, next)
            }
        };
        Ok(Self { params: params.to_vec(), pool, first, next })
    }

    /// Up to `limit` keys after `after`; none where there are no more.
    pub(super) async fn page(&self, after: Option<&LoadKey>, limit: usize) -> Result<Vec<LoadKey>, SqlError> {
        let mut after: Option<Vec<String>> = after.map(|key| key.params.iter().map(text_of).collect());
        loop {
            let rows = self.rows(after.as_deref(), limit).await?;
            let is_last = rows.len() < limit;
            let mut keys: Vec<LoadKey> = rows.iter().filter_map(|row| self.key(row)).collect();
            keys.dedup();
            // Rows that are no keys do not end the listing.
            if is_last || !keys.is_empty() {
                return Ok(keys);
            }
            after = rows.into_iter().next_back();
        }
    }

    /// The key that a row is; `None` for one that no key is written as.
    fn key(&self, row: &[String]) -> Option<LoadKey> {
        let param = |(param, text): (&KeyColumn, &String)| {
            param.kind.canonical(text.as_bytes()).then(|| param.kind.param(text)).flatten()
        };
        let params = self.params.iter().zip(row).map(param).collect::<Option<Vec<Param>>>()?;
        Some(LoadKey { params })
    }

    /// The texts of up to `limit` rows.
    async fn rows(&self, after: Option<&[String]>, limit: usize) -> Result<Vec<Vec<String>>, SqlError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let statement = if after.is_some() { &self.next } else { &self.first }.clone();
        let after = after.unwrap_or_default();
        let wrong = sqlx::Error::Encode;
        match &self.pool {
            Asked::Sqlite(pool, within) => {
                let mut arguments = SqliteArguments::default();
                arguments.add(limit).map_err(wrong)?;
                after.iter().try_for_each(|text| arguments.add(text.clone())).map_err(wrong)?;
                let mut session = Interrupting::acquire(pool, *within).await?;
                let rows = sqlx::query_with(statement, arguments).fetch_all(session.connection()?).await?;
                session.done();
                let texts = |row: &sqlx::sqlite::SqliteRow| self.of_one_type(row);
                rows.iter().map(texts).collect()
            }
            Asked::Postgres(pool) => {
                let mut arguments = PgArguments::default();
                arguments.add(limit).map_err(wrong)?;
                after.iter().try_for_each(|text| arguments.add(text)).map_err(wrong)?;
                let mut session = Cancelling::acquire(pool).await?;
                let rows = sqlx::query_with(statement, arguments).fetch_all(session.connection()?).await?;
                session.done();
                let texts = |row: &sqlx::postgres::PgRow| {
                    (0..self.params.len()).map(|at| Ok(row.try_get(at)?)).collect()
                };
                rows.iter().map(texts).collect()
            }
        }
    }

    /// The texts of a row of SQLite, where each is of the type that its column is ordered by.
    fn of_one_type(&self, row: &sqlx::sqlite::SqliteRow) -> Result<Vec<String>, SqlError> {
        let count = self.params.len();
        let text = |(at, param): (usize, &KeyColumn)| {
            if row.try_get::<bool, _>(count + at)? {
                return Ok(row.try_get(at)?);
            }
            Err(SqlError::ListType { column: param.name.clone() })
        };
        self.params.iter().enumerate().map(text).collect()
    }
}

fn text_of(param: &Param) -> String {
    match param {
        Param::Text(text) => text.clone(),
        Param::Integer(number) => number.to_string(),
    }
}

/// How a query that gives columns of these names and types is ordered by `params`.
fn ordered(
    params: &[KeyColumn],
    given: Vec<(&str, &str)>,
    of: impl Fn(&str, ParamKind, &str) -> Ordered,
) -> Result<Vec<Ordered>, SqlError> {
    let one = |param: &KeyColumn| {
        let mut named = given.iter().filter(|(name, _)| *name == param.name);
        let (_, type_name) =
            named.next().ok_or_else(|| SqlError::KeyColumn { column: param.name.clone() })?;
        if named.next().is_some() {
            return Err(SqlError::DoubledColumn { column: param.name.clone() });
        }
        Ok(of(&format!("listed.{}", quoted(&param.name)), param.kind, type_name))
    };
    params.iter().map(one).collect()
}

/// A column of SQLite: what it holds has types of its own, and the declared one tells what values become as they are stored.
fn of_sqlite(column: &str, kind: ParamKind, type_name: &str) -> Ordered {
    let text = format!("cast({column} as text)");
    let has_key = format!("typeof({column}) not in ('null', 'blob')");
    let is = |held: &str| format!("typeof({column}) = '{held}'");
    let any = || "true".to_owned();
    let (by, is_ordered) = match (kind, type_name) {
        (ParamKind::Text | ParamKind::Uuid, "TEXT") => {
            ((format!("{column} collate binary"), BOUND.into()), is("text"))
        }
        (ParamKind::Integer, "INTEGER") => {
            ((column.to_owned(), format!("cast({BOUND} as integer)")), is("integer"))
        }
        (ParamKind::Text | ParamKind::Uuid, _) => ((format!("{text} collate binary"), BOUND.into()), any()),
        (ParamKind::Integer, _) => {
            ((format!("cast({column} as integer)"), format!("cast({BOUND} as integer)")), any())
        }
    };
    let text = if kind == ParamKind::Integer { format!("cast({} as text)", by.0) } else { text };
    Ordered { text, has_key, by: vec![by], is_ordered }
}

/// A column of PostgreSQL.
fn of_postgres(column: &str, kind: ParamKind, type_name: &str) -> Ordered {
    let by_bytes = |column: &str| (format!("{column} collate \"C\""), format!("{BOUND}::text collate \"C\""));
    let by = match (kind, type_name) {
        (ParamKind::Integer, "INT2" | "INT4" | "INT8") => {
            vec![(column.to_owned(), format!("{BOUND}::text::bigint"))]
        }
        (ParamKind::Uuid | ParamKind::Text, "UUID") => {
            vec![(column.to_owned(), format!("{BOUND}::text::uuid"))]
        }
        // A collation may take different texts for equal.
        (ParamKind::Uuid | ParamKind::Text, "TEXT" | "VARCHAR") => {
            vec![(column.to_owned(), format!("{BOUND}::text")), by_bytes(column)]
        }
        _ => vec![by_bytes(&format!("{column}::text"))],
    };
    let (text, has_key) = (format!("{column}::text"), format!("{column} is not null"));
    Ordered { text, has_key, by, is_ordered: "true".into() }
}

/// The statement that asks `text` for keys: of the last key's in their order where that is to be known (`Some(true)`), from the first in
/// their order, or in its own order (`None`).
fn statement(text: &str, columns: &[Ordered], order: Option<bool>) -> String {
    let texts = columns.iter().map(|column| column.text.as_str());
    let wanted: Vec<&str> = texts.chain(columns.iter().map(|column| column.is_ordered.as_str())).collect();
    let wheres: Vec<&str> = columns.iter().map(|column| column.has_key.as_str()).collect();
    let mut statement =
        format!("select {} from (\n{text}\n) as listed where {}", wanted.join(", "), wheres.join(" and "));
    let by = || columns.iter().flat_map(|column| column.by.iter());
    if order == Some(true) {
        let left: Vec<&str> = by().map(|(ordered, _)| ordered.as_str()).collect();
        let bound = |(at, column): (usize, &Ordered)| {
            let place = format!("${}", at + 2);
            column.by.iter().map(move |(_, bound)| bound.replace(BOUND, &place)).collect::<Vec<_>>()
        };
        let right: Vec<String> = columns.iter().enumerate().flat_map(bound).collect();
        let _ = write!(statement, " and ({}) > ({})", left.join(", "), right.join(", "));
    }
    if order.is_some() {
        let left: Vec<&str> = by().map(|(ordered, _)| ordered.as_str()).collect();
        let _ = write!(statement, " order by {}", left.join(", "));
    }
    statement.push_str(" limit $1");
    statement
}
