//! A declared query on SQLite: the keys are bound as one JSON array, and each cell is read by the type of what it holds.
//!
//! SQLite compares a number and its text as equal only where a column declares a type. A field is called by its text either way, so
//! where a column of its name declares none, a single field is asked for as both.

use std::future::poll_fn;
use std::time::Duration;

use base64::Engine as _;
use forebay::LoadKey;
use forebay::rt::Tick;
use forebay::value::Param;
use sqlx::sqlite::{SqliteArguments, SqliteColumn, SqlitePool, SqliteRow};
use sqlx::{
    Arguments, AssertSqlSafe, Column, Executor, Row as _, SqlSafeStr, SqlStr, Statement, TypeInfo, ValueRef,
};

use super::row::{self, RowError};
use super::shape::{Gathering, length};
use super::{KEYS, NOW, Row, SqlError, SqlQuery};
use crate::database::cancel::Interrupting;
use crate::time::Moment;

/// A declared query as it is asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pool: SqlitePool,
    /// The longest that it may take.
    within: Duration,
    statement: SqlStr,
    binds_keys: bool,
    binds_now: bool,
    /// Of each parameter, whether it is part of a field's name in a column that declares no type.
    untyped: Vec<bool>,
}

impl Asked {
    /// Prepares `query`, the last `parts` of whose parameters are those of a field's name.
    pub(super) async fn open(
        pool: &SqlitePool,
        within: Duration,
        query: &SqlQuery,
        parts: usize,
    ) -> Result<(Self, Vec<String>), SqlError> {
        let statement = AssertSqlSafe(bound(&query.text, query.params.len())).into_sql_str();
        let (binds_keys, binds_now) = (query.text.contains(KEYS), query.text.contains(NOW));
        let mut connection = pool.acquire().await?;
        let prepared = (&mut *connection).prepare(statement.clone()).await?;
        let given = prepared.parameters().map_or(0, |given| given.either(|types| types.len(), |count| count));
        let wanted = usize::from(binds_keys) + usize::from(binds_now);
        if given != wanted {
            return Err(SqlError::Parameters { given, wanted });
        }
        let columns: Vec<String> = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
        query.check(&columns)?;
        let declares_none = |name: &str| {
            prepared.columns().iter().any(|column| column.name() == name && column.type_info().is_null())
        };
        let of_key = query.params.len().saturating_sub(parts);
        let untyped = (0..).zip(&query.params);
        let untyped = untyped.map(|(at, param)| at >= of_key && declares_none(&param.name)).collect();
        Ok((Self { pool: pool.clone(), within, statement, binds_keys, binds_now, untyped }, columns))
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
            arguments.add(as_json(keys, &self.untyped)).map_err(sqlx::Error::Encode)?;
        }
        let mut interrupting = Interrupting::acquire(&self.pool, self.within).await?;
        // Only now: it may have waited for its connection.
        let now = query.clocks.now();
        if self.binds_now {
            arguments.add(now.text()).map_err(sqlx::Error::Encode)?;
        }
        let like = keys.first().map(|key| key.params.as_slice()).unwrap_or_default();
        let mut rows = sqlx::query_with(self.statement.clone(), arguments).fetch(interrupting.connection()?);
        let ended = loop {
            match poll_fn(|context| rows.as_mut().poll_next(context)).await {
                Some(Ok(row)) => {
                    // Before its cells are read: a text that is borrowed is not read as a number any more.
                    let key = self.key(&row, query, like);
                    let cells = Cells::of(&row)?;
                    if gathering.takes(key.as_deref(), cells.bytes(query))?
                        && let Some(key) = key
                    {
                        gathering.add(cells.row(query, key, now)?)?;
                    }
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        };
        drop(rows);
        interrupting.done();
        Ok(ended?)
    }

    /// The key that a row belongs to; `None` where a column of it is NULL or of another type.
    fn key(&self, row: &SqliteRow, query: &SqlQuery, like: &[Param]) -> Option<Vec<Param>> {
        let columns = query.params.iter().zip(&self.untyped).zip(like);
        columns
            .map(|((param, untyped), like)| match (like, untyped) {
                (Param::Text(_), true) => {
                    let at = place_of(row.columns(), &param.name).ok()?;
                    Held::of(row, at).ok()?.part(&param.name).ok()?.map(Param::Text)
                }
                _ => param_like(row, &param.name, like),
            })
            .collect()
    }
}

/// A declared query as SQLite is asked it: `{keys}` becomes the rows of one bound JSON array, with a column for each parameter, `{now}`
/// what is bound after it.
pub(super) fn bound(text: &str, params: usize) -> String {
    let text = text.replace(NOW, if text.contains(KEYS) { "?2" } else { "?1" });
    if params == 1 {
        return text.replace(KEYS, "(select value from json_each(?1))");
    }
    let columns: Vec<String> = (0..params).map(|at| format!("json_extract(value, '$[{at}]')")).collect();
    text.replace(KEYS, &format!("(select {} from json_each(?1))", columns.join(", ")))
}

/// The keys as a JSON array: of values for one parameter, of arrays for several. A parameter that is `untyped` is there as number and
/// as text.
fn as_json(keys: &[LoadKey], untyped: &[bool]) -> String {
    let mut rows = Vec::with_capacity(keys.len());
    for key in keys {
        let mut forms = vec![Vec::with_capacity(key.params.len())];
        for (at, param) in key.params.iter().enumerate() {
            if untyped.get(at) == Some(&true)
                && let Some(other) = other_form(param)
            {
                let others: Vec<_> =
                    forms.iter().map(|form| [form.clone(), vec![other.clone()]].concat()).collect();
                forms.iter_mut().for_each(|form| form.push(json_of(param)));
                forms.extend(others);
            } else {
                forms.iter_mut().for_each(|form| form.push(json_of(param)));
            }
        }
        let row = |mut form: Vec<serde_json::Value>| match form.len() {
            1 => form.remove(0),
            _ => serde_json::Value::Array(form),
        };
        rows.extend(forms.into_iter().map(row));
    }
    serde_json::Value::Array(rows).to_string()
}

fn json_of(param: &Param) -> serde_json::Value {
    match param {
        Param::Text(text) => serde_json::Value::from(text.as_str()),
        Param::Integer(number) => serde_json::Value::from(*number),
    }
}

/// The text of a number, or the number that is called so; `None` for other text.
fn other_form(param: &Param) -> Option<serde_json::Value> {
    let text = match param {
        Param::Integer(number) => return Some(serde_json::Value::from(number.to_string())),
        Param::Text(text) => text,
    };
    let is_own = |shown: String| shown == *text;
    if let Some(number) = text.parse::<i64>().ok().filter(|number| is_own(number.to_string())) {
        return Some(serde_json::Value::from(number));
    }
    let number =
        text.parse::<f64>().ok().filter(|number| number.is_finite() && is_own(number.to_string()))?;
    Some(serde_json::Value::from(number))
}

/// The column called `name` as a parameter of a key; `None` where it is NULL or of another type.
fn param_like(row: &SqliteRow, name: &str, like: &Param) -> Option<Param> {
    match like {
        Param::Text(_) => row.try_get_unchecked::<Option<String>, _>(name).ok()?.map(Param::Text),
        Param::Integer(_) => row.try_get_unchecked::<Option<i64>, _>(name).ok()?.map(Param::Integer),
    }
}

/// The cells of a row.
struct Cells<'r> {
    columns: &'r [SqliteColumn],
    held: Vec<Held<'r>>,
}

/// What a cell holds, by the type of the value itself.
enum Held<'r> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'r str),
    Blob(&'r [u8]),
}

impl<'r> Cells<'r> {
    fn of(row: &'r SqliteRow) -> Result<Self, RowError> {
        let columns = row.columns();
        let held = columns.iter().enumerate().map(|(at, column)| {
            Held::of(row, at).map_err(|error| RowError::Unreadable {
                column: column.name().to_owned(),
                problem: error.to_string(),
            })
        });
        Ok(Self { columns, held: held.collect::<Result<_, _>>()? })
    }

    /// The bytes of its texts and blobs; its JSON has no fewer. Of a decimal digits may be left out.
    fn bytes(&self, query: &SqlQuery) -> u64 {
        let counts = |name: &str| !query.decimals.contains_key(name) && !query.leaves_out(name);
        let cells = self.columns.iter().zip(&self.held);
        let lengths = cells.filter(|(column, _)| counts(column.name())).map(|(_, held)| match held {
            Held::Text(text) => length(text.as_bytes()),
            Held::Blob(blob) => length(blob),
            Held::Null | Held::Integer(_) | Held::Real(_) => 0,
        });
        lengths.fold(0, u64::saturating_add)
    }

    /// The row that belongs to `key`, as it was read at `now`.
    fn row(&self, query: &SqlQuery, key: Vec<Param>, now: Moment) -> Result<Row, SqlError> {
        let mut json = row::Object::new();
        for (column, held) in self.columns.iter().zip(&self.held) {
            let name = column.name();
            if query.leaves_out(name) {
                continue;
            }
            let out = json.member(name);
            match query.decimals.get(name) {
                Some(&scale) => out.extend_from_slice(held.decimal(name, scale)?.as_bytes()),
                None => held.write(out, column.type_info().name() == "BOOLEAN"),
            }
        }
        let version = query.version.as_ref().map(|name| self.version(name)).transpose()?.flatten();
        let ends = query.fresh_until.as_ref().map(|of| self.fresh_until(&of.column, now));
        let fresh_until = ends.transpose()?.flatten();
        let mut tags = Vec::with_capacity(query.tags.len());
        for tag in &query.tags {
            let texts = tag.names().map(|name| self.text(name)).collect::<Result<Vec<_>, _>>()?;
            tags.extend(row::tag(tag, &texts));
        }
        let place = query.shape.columns().into_iter().map(|(_, name)| self.named(name)?.part(name));
        let place = place.collect::<Result<_, _>>()?;
        Ok(Row { json: json.end(), key, version, fresh_until, tags, place })
    }

    /// The integer in the column called `name`; `None` for NULL.
    fn version(&self, name: &str) -> Result<Option<i64>, RowError> {
        match self.named(name)? {
            Held::Null => Ok(None),
            Held::Integer(number) => Ok(Some(*number)),
            held => Err(RowError::NotAVersion { column: name.to_owned(), held: held.shown() }),
        }
    }

    /// The moment in the column called `name`, as a tick; `None` for NULL.
    fn fresh_until(&self, name: &str, now: Moment) -> Result<Option<Tick>, RowError> {
        match self.named(name)? {
            Held::Null => Ok(None),
            Held::Text(text) => row::fresh_until(name, Some(text), now),
            held => Err(RowError::NotATime { column: name.to_owned(), held: held.shown() }),
        }
    }

    /// The column called `name` as text of a tag; `None` for NULL.
    fn text(&self, name: &str) -> Result<Option<String>, RowError> {
        match self.named(name)? {
            Held::Null => Ok(None),
            Held::Integer(number) => Ok(Some(number.to_string())),
            Held::Text(text) => Ok(Some((*text).to_owned())),
            held => Err(RowError::NotATag { column: name.to_owned(), held: held.shown() }),
        }
    }

    /// What the column called `name` holds.
    fn named(&self, name: &str) -> Result<&Held<'r>, RowError> {
        self.held.get(place_of(self.columns, name)?).ok_or_else(|| missing(name))
    }
}

/// Where the column called `name` stands.
fn place_of(columns: &[SqliteColumn], name: &str) -> Result<usize, RowError> {
    columns.iter().position(|column| column.name() == name).ok_or_else(|| missing(name))
}

fn missing(column: &str) -> RowError {
    RowError::Unreadable { column: column.to_owned(), problem: "the query gives no such column".into() }
}

impl<'r> Held<'r> {
    fn of(row: &'r SqliteRow, at: usize) -> Result<Self, sqlx::Error> {
        let raw = row.try_get_raw(at)?;
        // Asked first: the kind of a NULL is the type that its table declares.
        if raw.is_null() {
            return Ok(Self::Null);
        }
        match raw.type_info().name() {
            "INTEGER" | "BOOLEAN" => row.try_get_unchecked(at).map(Self::Integer),
            "REAL" => row.try_get_unchecked(at).map(Self::Real),
            "BLOB" => row.try_get_unchecked(at).map(Self::Blob),
            _ => row.try_get_unchecked(at).map(Self::Text),
        }
    }

    /// Writes it as JSON. An integer of a column that is declared `BOOLEAN` is a boolean: SQLite has none of its own.
    fn write(&self, out: &mut Vec<u8>, is_boolean: bool) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Integer(number) if is_boolean => row::write(out, &(*number != 0)),
            Self::Integer(number) => row::write(out, number),
            // What is no JSON number (an infinity) is written as null, as JSON writers do.
            Self::Real(number) => row::write(out, number),
            Self::Text(text) => row::write(out, text),
            Self::Blob(bytes) => row::write(out, &base64::engine::general_purpose::STANDARD.encode(bytes)),
        }
    }

    /// Itself, of the column called `name`, as a JSON number of `scale` digits after the point.
    fn decimal(&self, name: &str, scale: u8) -> Result<String, RowError> {
        match self {
            Self::Null => Ok("null".into()),
            Self::Text(text) => row::decimal(name, text, scale),
            Self::Integer(integer) => row::decimal(name, &integer.to_string(), scale),
            Self::Real(_) | Self::Blob(_) => {
                Err(RowError::NotADecimal { column: name.to_owned(), held: self.shown() })
            }
        }
    }

    /// Itself, of the column called `name`, as text of a field or a member, or as a score; `None` for NULL.
    fn part(&self, name: &str) -> Result<Option<String>, RowError> {
        match self {
            Self::Null => Ok(None),
            Self::Integer(number) => Ok(Some(number.to_string())),
            Self::Real(number) => Ok(Some(number.to_string())),
            Self::Text(text) => Ok(Some((*text).to_owned())),
            Self::Blob(_) => Err(RowError::NotAName { column: name.to_owned(), held: self.shown() }),
        }
    }

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
