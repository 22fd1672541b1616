//! Declared queries as sources: one query serves one key and many, and its rows are matched to keys by column names.
//!
//! `{keys}` is bound, never pasted: however many keys it is asked for, a query is one prepared statement. So is `{now}`, the wall clock's
//! time when the query is asked, as text like `2026-11-22T10:00:00.000Z`; by the same moment it is judged how long a row is fresh
//! that says so itself. A query that cannot work is
//! refused when it is opened. How a database is asked is in a file of its own; what comes back is the same.

mod error;
mod list;
mod postgres;
mod row;
mod shape;
mod sqlite;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use forebay::namespace::pattern::{ParamKind, Pattern};
use forebay::rt::Tick;
use forebay::source::{Answers, FieldAnswers, FieldKey, FieldSource, Listing, Loading, LoadingFields};
use forebay::value::{Field, Param, Tag};
use forebay::{LoadKey, Source, SourceError};

pub use error::SqlError;
use list::KeyQuery;
pub use row::RowError;
use shape::Gathering;
pub use shape::{Limits, Shape};

use crate::database::{Database, Dialect, Pool};
use crate::time::Clocks;

/// A declared query.
#[derive(Clone, Debug, Default)]
pub struct SqlQuery {
    /// The query, with `{keys}` where the keys go.
    pub text: String,
    /// The key's parameters, in order; columns of their names must be among the query's.
    pub params: Vec<KeyColumn>,
    /// Columns that hold exact decimals as text or integers, with their digits after the point on the wire.
    pub decimals: BTreeMap<String, u8>,
    /// The column that says until when a row is fresh, if there is one.
    pub fresh_until: Option<FreshUntil>,
    /// The clocks that it goes by: the engine's own must be among them where it has `fresh_until`.
    pub clocks: Clocks,
    /// The column that orders the values of a key: integers, the newest the greatest.
    pub version: Option<String>,
    /// Groups that a value belongs to by its row, such as `venue:{venue}`: columns in braces.
    pub tags: Vec<Pattern>,
    /// What the rows of a key make.
    pub shape: Shape,
    /// How much they may be.
    pub limits: Limits,
    /// The query that gives the parameters of all keys that exist, in columns of their names.
    pub list: Option<String>,
    /// The query that gives those of the keys that are worth having warm, the most worth first.
    pub preferred: Option<String>,
}

/// A column that says until when a row is fresh: text of RFC 3339, a `timestamptz`, or NULL where the row says nothing. What is made of
/// several rows is fresh until the first of them is not; a field of a hash that is one row ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshUntil {
    /// Its name. Called `fresh_until` it is for this alone, and no part of the value; any other stays in it.
    pub column: String,
    /// How long a row is fresh that says nothing, where it is part of a value together with some that do.
    pub ttl: Duration,
}

impl FreshUntil {
    /// The name of a column that is no part of the value.
    pub const APART: &'static str = "fresh_until";
}

/// A column that a parameter of the key is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// Its name, which is the parameter's.
    pub name: String,
    /// The type of the parameter.
    pub kind: ParamKind,
}

impl KeyColumn {
    /// The columns for the parameters of `pattern`.
    #[must_use]
    pub fn all_of(pattern: &Pattern) -> Vec<Self> {
        pattern
            .names()
            .zip(pattern.kinds())
            .map(|(name, kind)| Self { name: name.to_owned(), kind })
            .collect()
    }
}

/// A declared query on a database, as a source.
#[derive(Clone, Debug)]
pub struct SqlSource {
    whole: Prepared,
    /// The query for single fields of a hash, if there is one, and the pattern of their names.
    fields: Option<(Pattern, Prepared)>,
    list: Option<KeyQuery>,
    preferred: Option<KeyQuery>,
}

/// A query and how it is asked.
#[derive(Clone, Debug)]
struct Prepared {
    query: SqlQuery,
    asked: Asked,
}

/// A declared query, as its database is asked it.
#[derive(Clone, Debug)]
enum Asked {
    Sqlite(sqlite::Asked),
    Postgres(postgres::Asked),
}

/// What one row tells.
struct Row {
    json: Vec<u8>,
    /// The key that it belongs to, which was asked for.
    key: Vec<Param>,
    version: Option<i64>,
    /// When it ends, where it says so.
    fresh_until: Option<Tick>,
    tags: Vec<Tag>,
    /// What its shape tells it apart by within its key, in the order of [`Shape::columns`].
    place: Vec<Option<String>>,
}

impl SqlQuery {
    /// Whether the column called `name` is no part of the value.
    fn leaves_out(&self, name: &str) -> bool {
        name == FreshUntil::APART && self.fresh_until.as_ref().is_some_and(|of| of.column == name)
    }

    /// Whether a query that gives `columns` can serve the keys.
    fn check(&self, columns: &[String]) -> Result<(), SqlError> {
        if let Some(column) = doubled(columns) {
            return Err(SqlError::DoubledColumn { column: column.to_owned() });
        }
        let gives = |name: &str| columns.iter().any(|column| column == name);
        if let Some(KeyColumn { name, .. }) = self.params.iter().find(|param| !gives(&param.name)) {
            return Err(SqlError::KeyColumn { column: name.clone() });
        }
        if let Some(column) = self.decimals.keys().find(|column| !gives(column)) {
            return Err(SqlError::DecimalColumn { column: column.clone() });
        }
        if let Some(column) = self.version.as_ref().filter(|column| !gives(column)) {
            return Err(SqlError::VersionColumn { column: column.clone() });
        }
        if let Some(FreshUntil { column, .. }) = self.fresh_until.as_ref().filter(|of| !gives(&of.column)) {
            return Err(SqlError::FreshUntilColumn { column: column.clone() });
        }
        for tag in &self.tags {
            if let Some(column) = tag.names().find(|name| !gives(name)) {
                return Err(SqlError::TagColumn { tag: tag.to_string(), column: column.to_owned() });
            }
        }
        if let Some((option, column)) = self.shape.columns().into_iter().find(|(_, column)| !gives(column)) {
            return Err(SqlError::ShapeColumn { option, column: column.to_owned() });
        }
        Ok(())
    }
}

/// A name that several columns have.
fn doubled(columns: &[String]) -> Option<&str> {
    let mut seen = HashSet::new();
    columns.iter().find(|column| !seen.insert(column.as_str())).map(String::as_str)
}

impl Prepared {
    /// Prepares `query`, the last `parts` of whose parameters are those of a field's name; it, and the columns that it gives.
    async fn open(
        database: &Database,
        mut query: SqlQuery,
        parts: usize,
    ) -> Result<(Self, Vec<String>), SqlError> {
        query.text.truncate(query.text.trim_end().trim_end_matches(';').len());
        let (asked, columns) = match database.pool() {
            Pool::Sqlite(pool) => {
                let (asked, columns) = sqlite::Asked::open(pool, database.within(), &query, parts).await?;
                (Asked::Sqlite(asked), columns)
            }
            Pool::Postgres(pool) => {
                let (asked, columns) = postgres::Asked::open(pool, database.replicas(), &query).await?;
                (Asked::Postgres(asked), columns)
            }
        };
        Ok((Self { query, asked }, columns))
    }

    async fn answers(&self, keys: &[LoadKey]) -> Result<Answers, SqlError> {
        let mut gathering = Gathering::of(&self.query, keys);
        match &self.asked {
            Asked::Sqlite(asked) => asked.rows(&self.query, keys, &mut gathering).await?,
            Asked::Postgres(asked) => asked.rows(&self.query, keys, &mut gathering).await?,
        }
        Ok(gathering.answers(keys))
    }
}

impl SqlSource {
    /// Prepares `query` against `database`.
    ///
    /// # Errors
    /// When the database refuses it, or its columns cannot serve the keys.
    pub async fn open(database: &Database, query: SqlQuery) -> Result<Self, SqlError> {
        let list = keys(database, query.list.as_deref(), &query.params, false).await;
        let list = list.map_err(|error| SqlError::List(Box::new(error)))?;
        let preferred = keys(database, query.preferred.as_deref(), &query.params, true).await;
        let preferred = preferred.map_err(|error| SqlError::Preferred(Box::new(error)))?;
        let (whole, columns) = Box::pin(Prepared::open(database, query, 0)).await?;
        let fields = Self::open_fields(database, &whole.query, &columns).await?;
        Ok(Self { whole, fields, list, preferred })
    }

    /// The query for single fields, which gives the `columns` of the one for `whole` hashes.
    async fn open_fields(
        database: &Database,
        whole: &SqlQuery,
        columns: &[String],
    ) -> Result<Option<(Pattern, Prepared)>, SqlError> {
        let Shape::Fields { name, query: Some(text) } = &whole.shape else { return Ok(None) };
        let single = SqlQuery {
            text: text.clone(),
            params: [whole.params.clone(), KeyColumn::all_of(name)].concat(),
            decimals: whole.decimals.clone(),
            limits: whole.limits,
            fresh_until: whole.fresh_until.clone(),
            clocks: whole.clocks.clone(),
            ..SqlQuery::default()
        };
        let name = name.clone();
        let (single, given) = Box::pin(Prepared::open(database, single, name.names().count()))
            .await
            .map_err(|error| SqlError::Fields(Box::new(error)))?;
        if given != columns {
            let differ = SqlError::FieldsDiffer { single: given.join(", "), whole: columns.join(", ") };
            return Err(SqlError::Fields(Box::new(differ)));
        }
        Ok(Some((name, single)))
    }

    async fn field_answers(&self, fields: &[FieldKey]) -> Result<FieldAnswers, SqlError> {
        let Some((name, single)) = &self.fields else { return Ok(fields.iter().map(|_| None).collect()) };
        let asked: Vec<Option<LoadKey>> = fields
            .iter()
            .map(|field| {
                let params = shape::field_params(name, &field.field)?;
                Some(LoadKey { params: [field.key.params.clone(), params].concat() })
            })
            .collect();
        let keys: Vec<LoadKey> = asked.iter().flatten().cloned().collect();
        // Names that no row can have are absent without a query.
        if keys.is_empty() {
            return Ok(fields.iter().map(|_| None).collect());
        }
        let mut answers = single.answers(&keys).await?.into_iter();
        let row = |asked: Option<LoadKey>| {
            let loaded = asked.and_then(|_| answers.next())??;
            let value = loaded.value.as_blob().map(|row| Bytes::copy_from_slice(row.as_bytes()))?;
            Some(Field { value, fresh_until: loaded.fresh_until })
        };
        Ok(asked.into_iter().map(row).collect())
    }
}

impl Source for SqlSource {
    fn gives_tags(&self) -> bool {
        !self.whole.query.tags.is_empty()
    }

    fn gives_ends(&self) -> bool {
        self.whole.query.fresh_until.is_some()
    }

    fn load<'a>(&'a self, _namespace: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move { self.whole.answers(keys).await.map_err(told) })
    }

    fn list<'a>(
        &'a self,
        _namespace: &'a str,
        after: Option<&'a LoadKey>,
        limit: usize,
    ) -> Option<Listing<'a>> {
        let list = self.list.as_ref()?;
        Some(Box::pin(async move { list.page(after, limit).await.map_err(told) }))
    }

    fn preferred<'a>(&'a self, _namespace: &'a str, limit: usize) -> Option<Listing<'a>> {
        let preferred = self.preferred.as_ref()?;
        Some(Box::pin(async move { preferred.page(None, limit).await.map_err(told) }))
    }

    fn fields(&self) -> Option<&dyn FieldSource> {
        self.fields.as_ref().map(|_| self as &dyn FieldSource)
    }
}

impl FieldSource for SqlSource {
    fn load_fields<'a>(&'a self, _namespace: &'a str, fields: &'a [FieldKey]) -> LoadingFields<'a> {
        Box::pin(async move { self.field_answers(fields).await.map_err(told) })
    }
}

/// The query that gives keys, if there is one.
async fn keys(
    database: &Database,
    text: Option<&str>,
    params: &[KeyColumn],
    keeps_order: bool,
) -> Result<Option<KeyQuery>, SqlError> {
    match text {
        Some(text) => Box::pin(KeyQuery::open(database, text, params, keeps_order)).await.map(Some),
        None => Ok(None),
    }
}

fn told(error: SqlError) -> SourceError {
    if error.may_pass() { SourceError::passing(error) } else { SourceError::lasting(error) }
}

/// The place of the keys in a declared query.
const KEYS: &str = "{keys}";
/// The place of the present in a declared query.
const NOW: &str = "{now}";

/// A declared query as a database of this kind is asked it, for keys whose parameters are of `kinds`.
#[must_use]
pub fn bound(dialect: Dialect, text: &str, kinds: &[ParamKind]) -> String {
    match dialect {
        Dialect::Sqlite => sqlite::bound(text, kinds.len()),
        Dialect::Postgres => postgres::bound(text, kinds, "uuid"),
    }
}
