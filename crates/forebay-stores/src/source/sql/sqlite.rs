//! A declared query on SQLite: the keys are bound as one JSON array, and each cell is read by the type of what it holds.

use std::future::poll_fn;
use std::time::Duration;

use base64::Engine as _;
use forebay::LoadKey;
use forebay::value::Param;
use sqlx::sqlite::{SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{
    Arguments, AssertSqlSafe, Column, Executor, Row as _, SqlSafeStr, SqlStr, Statement, TypeInfo, ValueRef,
};

use super::cell::{self, RowError};
use super::shape::Gathering;
use super::{KEYS, Row, SqlError, SqlQuery};
use crate::database::cancel::Interrupting;

/// A declared query as it is asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pool: SqlitePool,
    /// The longest that it may take.
    within: Duration,
    statement: SqlStr,
    binds_keys: bool,
}

impl Asked {
    /// Prepares `query`.
    pub(super) async fn open(
        pool: &SqlitePool,
        within: Duration,
        query: &SqlQuery,
    ) -> Result<(Self, Vec<String>), SqlError> {
        let statement = AssertSqlSafe(bound(&query.text, query.params.len())).into_sql_str();
        let binds_keys = query.text.contains(KEYS);
        let mut connection = pool.acquire().await?;
        let prepared = (&mut *connection).prepare(statement.clone()).await?;
        let given = prepared.parameters().map_or(0, |given| given.either(|types| types.len(), |count| count));
        let wanted = usize::from(binds_keys);
        if given != wanted {
            return Err(SqlError::Parameters { given, wanted });
        }
        let columns: Vec<String> = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
        query.check(&columns)?;
        Ok((Self { pool: pool.clone(), within, statement, binds_keys }, columns))
    }

    /// Gathers the rows that belong to any of `keys`.
    pub(super) async fn rows(
        &self,
        query: &SqlQuery,
        keys: &[LoadKey],
        gathering: &mut Gathering<'_>,
    ) -> Result<(), SqlError> {
        let mut arguments = SqliteArguments::default();
        if self.binds_keys {
            arguments.add(as_json(keys)).map_err(sqlx::Error::Encode)?;
        }
        let like = keys.first().map(|key| key.params.as_slice()).unwrap_or_default();
        let mut interrupting = Interrupting::acquire(&self.pool, self.within).await?;
        let mut rows = sqlx::query_with(self.statement.clone(), arguments).fetch(interrupting.connection()?);
        let ended = loop {
            match poll_fn(|context| rows.as_mut().poll_next(context)).await {
                Some(Ok(row)) => gathering.add(read(&row, query, like)?)?,
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        };
        drop(rows);
        interrupting.done();
        Ok(ended?)
    }
}

/// A declared query as SQLite is asked it: `{keys}` becomes the rows of one bound JSON array, with a column for each parameter.
pub(super) fn bound(text: &str, params: usize) -> String {
    if params == 1 {
        return text.replace(KEYS, "(select value from json_each(?1))");
    }
    let columns: Vec<String> = (0..params).map(|at| format!("json_extract(value, '$[{at}]')")).collect();
    text.replace(KEYS, &format!("(select {} from json_each(?1))", columns.join(", ")))
}

/// The keys as a JSON array: of values for one parameter, of arrays for several.
fn as_json(keys: &[LoadKey]) -> String {
    let value = |param: &Param| match param {
        Param::Text(text) => serde_json::Value::from(text.as_str()),
        Param::Integer(number) => serde_json::Value::from(*number),
    };
    let row = |key: &LoadKey| match key.params.as_slice() {
        [one] => value(one),
        many => serde_json::Value::Array(many.iter().map(value).collect()),
    };
    serde_json::Value::Array(keys.iter().map(row).collect()).to_string()
}

fn read(row: &SqliteRow, query: &SqlQuery, like: &[Param]) -> Result<Row, SqlError> {
    let mut json = cell::Object::new();
    for (index, column) in row.columns().iter().enumerate() {
        let cell = Cell { row, index, name: column.name(), declared: column.type_info().name() };
        match query.decimals.get(column.name()) {
            Some(&scale) => json.member(column.name(), &cell.decimal(scale)?),
            None => json.member(column.name(), &cell.plain()?),
        }
    }
    let names = query.params.iter().map(|param| param.name.as_str());
    let key = names.zip(like).map(|(name, like)| param(row, name, like)).collect();
    let version = query.version.as_ref().map(|name| version(row, name)).transpose()?.flatten();
    let mut tags = Vec::with_capacity(query.tags.len());
    for tag in &query.tags {
        let texts = tag.names().map(|name| text(row, name)).collect::<Result<Vec<_>, _>>()?;
        tags.extend(cell::tag(tag, &texts));
    }
    let place = query.shape.columns().into_iter().map(|(_, name)| part(row, name));
    Ok(Row { json: json.end(), key, version, tags, place: place.collect::<Result<_, _>>()? })
}

/// The column called `name` as a parameter of a key; `None` where it is NULL or of another type.
fn param(row: &SqliteRow, name: &str, like: &Param) -> Option<Param> {
    match like {
        Param::Text(_) => row.try_get_unchecked::<Option<String>, _>(name).ok()?.map(Param::Text),
        Param::Integer(_) => row.try_get_unchecked::<Option<i64>, _>(name).ok()?.map(Param::Integer),
    }
}

/// The integer in the column called `name`; `None` for NULL.
fn version(row: &SqliteRow, name: &str) -> Result<Option<i64>, RowError> {
    match named(row, name)?.held()? {
        Held::Null => Ok(None),
        Held::Integer(number) => Ok(Some(number)),
        held => Err(RowError::NotAVersion { column: name.to_owned(), held: held.shown() }),
    }
}

/// The column called `name` as text of a tag; `None` for NULL.
fn text(row: &SqliteRow, name: &str) -> Result<Option<String>, RowError> {
    match named(row, name)?.held()? {
        Held::Null => Ok(None),
        Held::Integer(number) => Ok(Some(number.to_string())),
        Held::Text(text) => Ok(Some(text.to_owned())),
        held => Err(RowError::NotATag { column: name.to_owned(), held: held.shown() }),
    }
}

/// The column called `name` as text of a field or a member, or as a score; `None` for NULL.
fn part(row: &SqliteRow, name: &str) -> Result<Option<String>, RowError> {
    match named(row, name)?.held()? {
        Held::Null => Ok(None),
        Held::Integer(number) => Ok(Some(number.to_string())),
        Held::Real(number) => Ok(Some(number.to_string())),
        Held::Text(text) => Ok(Some(text.to_owned())),
        held @ Held::Blob(_) => Err(RowError::NotAName { column: name.to_owned(), held: held.shown() }),
    }
}

/// The column called `name`.
fn named<'r>(row: &'r SqliteRow, name: &'r str) -> Result<Cell<'r>, RowError> {
    let at = row.columns().iter().position(|column| column.name() == name);
    let index = at.ok_or_else(|| RowError::Unreadable {
        column: name.to_owned(),
        problem: "the query gives no such column".into(),
    })?;
    Ok(Cell { row, index, name, declared: "" })
}

/// One column of a row.
struct Cell<'r> {
    row: &'r SqliteRow,
    index: usize,
    name: &'r str,
    /// The type that the table declares, which SQLite does not enforce.
    declared: &'r str,
}

/// What a cell holds, by the type of the value itself.
enum Held<'r> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'r str),
    Blob(&'r [u8]),
}

impl Held<'_> {
    /// What it is, for a message.
    fn shown(&self) -> String {
        match self {
            Self::Null => "NULL".into(),
            Self::Integer(number) => number.to_string(),
            Self::Real(real) => format!("the inexact number {real}"),
            Self::Text(text) => format!("\"{text}\""),
            Self::Blob(_) => "bytes".into(),
        }
    }
}

impl<'r> Cell<'r> {
    fn held(&self) -> Result<Held<'r>, RowError> {
        let unreadable = |error: sqlx::Error| RowError::Unreadable {
            column: self.name.to_owned(),
            problem: error.to_string(),
        };
        let raw = self.row.try_get_raw(self.index).map_err(unreadable)?;
        if raw.is_null() {
            return Ok(Held::Null);
        }
        let kind = raw.type_info();
        match kind.name() {
            "INTEGER" | "BOOLEAN" => self.row.try_get_unchecked(self.index).map(Held::Integer),
            "REAL" => self.row.try_get_unchecked(self.index).map(Held::Real),
            "BLOB" => self.row.try_get_unchecked(self.index).map(Held::Blob),
            _ => self.row.try_get_unchecked(self.index).map(Held::Text),
        }
        .map_err(unreadable)
    }

    /// Itself as JSON.
    fn plain(&self) -> Result<String, RowError> {
        Ok(match self.held()? {
            Held::Null => "null".into(),
            Held::Integer(number) if self.declared == "BOOLEAN" => (number != 0).to_string(),
            Held::Integer(number) => number.to_string(),
            // What is no JSON number (an infinity) is written as null, as JSON writers do.
            Held::Real(number) => serde_json::Value::from(number).to_string(),
            Held::Text(text) => cell::string(text),
            Held::Blob(bytes) => cell::string(&base64::engine::general_purpose::STANDARD.encode(bytes)),
        })
    }

    /// Itself as a JSON number of `scale` digits after the point.
    fn decimal(&self, scale: u8) -> Result<String, RowError> {
        match self.held()? {
            Held::Null => Ok("null".into()),
            Held::Text(text) => cell::decimal(self.name, text, scale),
            Held::Integer(integer) => cell::decimal(self.name, &integer.to_string(), scale),
            held @ (Held::Real(_) | Held::Blob(_)) => {
                Err(RowError::NotADecimal { column: self.name.to_owned(), held: held.shown() })
            }
        }
    }
}
