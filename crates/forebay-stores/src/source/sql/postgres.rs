//! A declared query on PostgreSQL: the server itself writes each column as JSON.
//!
//! The query goes inside another that names its columns one by one, so that the server's own casts make exact text of whatever
//! it holds: numbers keep their digits, times are told in UTC, arrays and JSON come as they are. The keys are bound as one array for each
//! parameter.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::sync::Arc;

use forebay::LoadKey;
use forebay::namespace::pattern::ParamKind;
use forebay::value::Param;
use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgRow};
use sqlx::{Arguments, AssertSqlSafe, Column, Executor, Row as _, SqlSafeStr, SqlStr, Statement, TypeInfo};

use super::row;
use super::shape::{Gathering, length};
use super::{KEYS, KeyColumn, NOW, Row, SqlError, SqlQuery};
use crate::database::replica::Replicas;
use crate::database::{self, cancel::Cancelling};
use crate::time::Moment;

/// A declared query as it is asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pool: PgPool,
    replicas: Option<Arc<Replicas>>,
    statement: SqlStr,
    binds_keys: bool,
    binds_now: bool,
    columns: Vec<Given>,
}

/// A column of the declared query.
#[derive(Clone, Debug)]
struct Given {
    name: String,
    kind: Kind,
}

/// What a column holds, as far as it is asked for in a way of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    Text,
    Float,
    Bytes,
    /// JSON as it was stored.
    Json,
    /// A moment, whatever the zone that it is told in.
    Time,
    Other,
}

impl Kind {
    fn of(type_name: &str) -> Self {
        match type_name {
            "INT2" | "INT4" | "INT8" | "OID" => Self::Integer,
            "TEXT" | "VARCHAR" | "CHAR" | "BPCHAR" | "NAME" | "CITEXT" | "UUID" => Self::Text,
            "FLOAT4" | "FLOAT8" => Self::Float,
            "BYTEA" => Self::Bytes,
            "JSON" | "JSONB" => Self::Json,
            "TIMESTAMPTZ" => Self::Time,
            _ => Self::Other,
        }
    }

    /// The text of JSON for the column `quoted`; NULL for what JSON has no number for.
    fn expression(self, quoted: &str, is_decimal: bool) -> String {
        match self {
            _ if is_decimal => format!("{quoted}::text"),
            Self::Json => format!("{quoted}::text"),
            Self::Bytes => format!("to_json(translate(encode({quoted}, 'base64'), E'\\n', ''))::text"),
            Self::Float => format!(
                "case when {quoted} in ('NaN', 'Infinity', '-Infinity') then null else to_json({quoted})::text end"
            ),
            Self::Integer | Self::Text | Self::Time | Self::Other => format!("to_json({quoted})::text"),
        }
    }
}

impl Asked {
    /// Prepares `query`.
    ///
    /// A `uuid` in a key may be one in its table, or text that looks like one: the server says which it takes.
    pub(super) async fn open(
        pool: &PgPool,
        replicas: Option<Arc<Replicas>>,
        query: &SqlQuery,
    ) -> Result<(Self, Vec<String>), SqlError> {
        let mut connection = pool.acquire().await?;
        let kinds: Vec<ParamKind> = query.params.iter().map(|param| param.kind).collect();
        let bound = |uuid_type| bound(&query.text, &kinds, uuid_type);
        let (bound, columns) = match prepared(&mut connection, bound("uuid")).await {
            Err(_) if kinds.contains(&ParamKind::Uuid) => prepared(&mut connection, bound("text")).await?,
            outcome => outcome?,
        };
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        query.check(&names)?;
        if let Some(version) = &query.version
            && let Some(column) = columns.iter().find(|column| column.name == *version)
            && column.kind != Kind::Integer
        {
            return Err(SqlError::VersionType { column: version.clone() });
        }
        if let Some(of) = &query.fresh_until
            && let Some(column) = columns.iter().find(|column| column.name == of.column)
            && !matches!(column.kind, Kind::Text | Kind::Time)
        {
            return Err(SqlError::FreshUntilType { column: of.column.clone() });
        }
        let statement = AssertSqlSafe(wrapped(&bound, &columns, query)).into_sql_str();
        let prepared = (&mut *connection).prepare(statement.clone()).await?;
        let (binds_keys, binds_now) = (query.text.contains(KEYS), query.text.contains(NOW));
        let given = prepared.parameters().map_or(0, |given| given.either(|types| types.len(), |count| count));
        let wanted = if binds_keys { query.params.len() } else { 0 } + usize::from(binds_now);
        if given != wanted {
            return Err(SqlError::Parameters { given, wanted });
        }
        Ok((Self { pool: pool.clone(), replicas, statement, binds_keys, binds_now, columns }, names))
    }

    /// Gathers the rows that belong to any of `keys`: from a replica that lacks nothing, else from the primary.
    pub(super) async fn rows(
        &self,
        query: &SqlQuery,
        keys: &[LoadKey],
        gathering: &mut Gathering<'_>,
    ) -> Result<(), SqlError> {
        if let Some(replicas) = &self.replicas
            && let Some((replica, session)) = replicas.caught_up(&self.pool).await?
        {
            match self.rows_of(session, query, keys, gathering).await {
                // A replica may end a query that is in the way of what it has to apply.
                Err(SqlError::Database(error)) => replicas.failed(replica, error),
                ended => return ended,
            }
            gathering.clear();
        }
        let session = Cancelling::acquire(&self.pool).await?;
        self.rows_of(session, query, keys, gathering).await
    }

    async fn rows_of(
        &self,
        mut session: Cancelling,
        query: &SqlQuery,
        keys: &[LoadKey],
        gathering: &mut Gathering<'_>,
    ) -> Result<(), SqlError> {
        let mut arguments = PgArguments::default();
        if self.binds_keys {
            for at in 0..query.params.len() {
                bind(&mut arguments, query.params.get(at), keys, at).map_err(sqlx::Error::Encode)?;
            }
        }
        // Only now: it may have waited for its connection.
        let now = query.clocks.now();
        if self.binds_now {
            arguments.add(now.text()).map_err(sqlx::Error::Encode)?;
        }
        let mut rows = sqlx::query_with(self.statement.clone(), arguments).fetch(session.connection()?);
        let ended = loop {
            match poll_fn(|context| rows.as_mut().poll_next(context)).await {
                Some(Ok(row)) => {
                    let key = self.key(query, &row)?;
                    if gathering.takes(key.as_deref(), self.held_bytes(query, &row)?)?
                        && let Some(key) = key
                    {
                        gathering.add(self.row(query, &row, key, now)?)?;
                    }
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        };
        drop(rows);
        session.done();
        Ok(ended?)
    }

    /// The key that a row belongs to; `None` where a column of it is NULL or of another type.
    fn key(&self, query: &SqlQuery, row: &PgRow) -> Result<Option<Vec<Param>>, sqlx::Error> {
        let mut key = Some(Vec::with_capacity(query.params.len()));
        for (at, param) in (self.columns.len()..).zip(&query.params) {
            let text: Option<&str> = row.try_get(at)?;
            let held = text.and_then(|text| param.kind.param(text));
            key = key.zip(held).map(|(mut key, param)| {
                key.push(param);
                key
            });
        }
        Ok(key)
    }

    /// The bytes of its columns, which the JSON of a row has too. Of a decimal digits may be left out.
    fn held_bytes(&self, query: &SqlQuery, row: &PgRow) -> Result<u64, sqlx::Error> {
        let mut bytes: u64 = 0;
        for (at, column) in self.columns.iter().enumerate() {
            if !query.decimals.contains_key(&column.name) && !query.leaves_out(&column.name) {
                let text: Option<&str> = row.try_get(at)?;
                bytes = bytes.saturating_add(text.map_or(0, |text| length(text.as_bytes())));
            }
        }
        Ok(bytes)
    }

    /// A row that belongs to `key`, as it was read at `now`.
    fn row(&self, query: &SqlQuery, row: &PgRow, key: Vec<Param>, now: Moment) -> Result<Row, SqlError> {
        let text = |at: usize| -> Result<Option<&str>, sqlx::Error> { row.try_get(at) };
        let mut json = row::Object::new();
        let columns = self.columns.iter().enumerate();
        for (at, column) in columns.filter(|(_, column)| !query.leaves_out(&column.name)) {
            let held = match (text(at)?, query.decimals.get(&column.name)) {
                (None, _) => "null",
                (Some(held), Some(&scale)) => &row::decimal(&column.name, held, scale)?,
                (Some(held), None) => held,
            };
            json.member(&column.name).extend_from_slice(held.as_bytes());
        }
        let mut at = self.columns.len() + query.params.len();
        let mut next = || {
            at += 1;
            text(at - 1)
        };
        let version = match &query.version {
            Some(_) => next()?.and_then(|text| text.parse().ok()),
            None => None,
        };
        let mut tags = Vec::with_capacity(query.tags.len());
        for tag in &query.tags {
            let texts = tag.names().map(|_| next()).collect::<Result<Vec<_>, _>>()?;
            tags.extend(row::tag(tag, &texts));
        }
        let place = query.shape.columns().into_iter().map(|_| Ok(next()?.map(str::to_owned)));
        let place = place.collect::<Result<_, sqlx::Error>>()?;
        let fresh_until = match &query.fresh_until {
            Some(of) => row::fresh_until(&of.column, next()?, now)?,
            None => None,
        };
        Ok(Row { json: json.end(), key, version, fresh_until, tags, place })
    }
}

/// Prepares `statement`; it, and the columns that it gives.
async fn prepared(
    connection: &mut PgConnection,
    statement: String,
) -> Result<(String, Vec<Given>), SqlError> {
    let prepared = connection.prepare(AssertSqlSafe(statement.clone()).into_sql_str()).await?;
    let given = |column: &sqlx::postgres::PgColumn| Given {
        name: column.name().to_owned(),
        kind: Kind::of(column.type_info().name()),
    };
    Ok((statement, prepared.columns().iter().map(given).collect()))
}

/// A declared query as PostgreSQL is asked it: `{keys}` becomes the rows of one bound array for each parameter; a `uuid` is bound
/// as `uuid_type`. `{now}` is what is bound after them.
pub(super) fn bound(text: &str, kinds: &[ParamKind], uuid_type: &str) -> String {
    let before = if text.contains(KEYS) { kinds.len() } else { 0 };
    let text = text.replace(NOW, &format!("${}::text", before + 1));
    let arrays: Vec<String> = (1..)
        .zip(kinds)
        .map(|(at, kind)| match kind {
            ParamKind::Integer => format!("${at}::bigint[]"),
            ParamKind::Text => format!("${at}::text[]"),
            ParamKind::Uuid => format!("${at}::text[]::{uuid_type}[]"),
        })
        .collect();
    text.replace(KEYS, &format!("(select * from unnest({}))", arrays.join(", ")))
}

/// The query that asks `bound` for the JSON of each column, and then for what rows are matched, ordered and tagged by.
fn wrapped(bound: &str, columns: &[Given], query: &SqlQuery) -> String {
    let mut wanted: Vec<String> = columns
        .iter()
        .map(|column| column.kind.expression(&asked(&column.name), query.decimals.contains_key(&column.name)))
        .collect();
    let params = query.params.iter().map(|param| param.name.as_str());
    let names = params.chain(query.version.as_deref()).chain(query.tags.iter().flat_map(|tag| tag.names()));
    let names = names.chain(query.shape.columns().into_iter().map(|(_, name)| name));
    wanted.extend(names.map(|name| format!("{}::text", asked(name))));
    if let Some(of) = &query.fresh_until {
        let column = columns.iter().find(|column| column.name == of.column);
        let is_time = column.is_some_and(|column| column.kind == Kind::Time);
        let name = asked(&of.column);
        // As JSON a time is told by RFC 3339, whatever the session's own way.
        wanted.push(if is_time { format!("to_json({name}) #>> '{{}}'") } else { format!("{name}::text") });
    }
    let mut wrapped = String::with_capacity(bound.len() * 2);
    let _ = write!(wrapped, "select {} from (\n{bound}\n) as asked", wanted.join(", "));
    wrapped
}

/// A column of the declared query, by name.
fn asked(column: &str) -> String {
    format!("asked.{}", database::quoted(column))
}

/// Binds the parameter at place `at` of all `keys`.
fn bind(
    arguments: &mut PgArguments,
    param: Option<&KeyColumn>,
    keys: &[LoadKey],
    at: usize,
) -> Result<(), sqlx::error::BoxDynError> {
    let held = keys.iter().map(|key| key.params.get(at));
    if param.is_some_and(|param| param.kind == ParamKind::Integer) {
        let number = |param: Option<&Param>| match param {
            Some(Param::Integer(number)) => Some(*number),
            _ => None,
        };
        return arguments.add(held.map(number).collect::<Vec<Option<i64>>>());
    }
    let text = |param: Option<&Param>| match param {
        Some(Param::Text(text)) => Some(text.clone()),
        Some(Param::Integer(number)) => Some(number.to_string()),
        None => None,
    };
    arguments.add(held.map(text).collect::<Vec<Option<String>>>())
}
