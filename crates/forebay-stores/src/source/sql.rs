//! Declared queries as sources: one query serves one key and many, and its rows are matched to keys by column names.
//!
//! `{keys}` is bound, never pasted: the parameters of all keys go as one JSON array in one bound value, so that a query is
//! one prepared statement however many keys it is asked for. A query that cannot work is refused when it is opened.

use std::collections::{BTreeMap, HashMap};

use forebay::namespace::pattern::Pattern;
use forebay::source::{Answers, Loading};
use forebay::value::{Param, Tag, Version};
use forebay::{Blob, LoadKey, Loaded, Source, SourceError};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Column, Executor, SqlSafeStr, SqlStr, Statement};

use super::row::{self, RowError};
use crate::database::Database;

/// A declared query.
#[derive(Clone, Debug, Default)]
pub struct SqlQuery {
    /// The query, with `{keys}` where the keys go.
    pub text: String,
    /// The names of the key's parameters, in order; columns of these names must be among the query's.
    pub params: Vec<String>,
    /// Columns that hold exact decimals as text or integers, with their digits after the point on the wire.
    pub decimals: BTreeMap<String, u8>,
    /// The column that orders the values of a key: integers, the newest the greatest.
    pub version: Option<String>,
    /// Groups that a value belongs to by its row, such as `venue:{venue}`: columns in braces.
    pub tags: Vec<Pattern>,
}

/// A declared query on a database, as a source of JSON objects.
#[derive(Clone, Debug)]
pub struct SqlSource {
    database: Database,
    statement: SqlStr,
    binds_keys: bool,
    params: Vec<String>,
    decimals: BTreeMap<String, u8>,
    version: Option<String>,
    tags: Vec<Pattern>,
}

/// Why a declared query cannot work, or did not.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The database refused it.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// Rows cannot be matched to keys.
    #[error("the query gives no column `{column}`: select it, so that rows can be matched to keys")]
    KeyColumn {
        /// The parameter that has no column.
        column: String,
    },
    /// A declared decimal is no column.
    #[error("`decimals` names the column `{column}`, which the query does not give")]
    DecimalColumn {
        /// The name.
        column: String,
    },
    /// The declared version is no column.
    #[error("`version` names the column `{column}`, which the query does not give")]
    VersionColumn {
        /// The name.
        column: String,
    },
    /// A declared tag is made of what is no column.
    #[error("the tag \"{tag}\" names the column `{column}`, which the query does not give")]
    TagColumn {
        /// The tag.
        tag: String,
        /// The name in it.
        column: String,
    },
    /// A row cannot be a value.
    #[error("{0}")]
    Row(#[from] RowError),
    /// Two rows carry the same key.
    #[error("the query gives more than one row for the key {key:?}: add what tells them apart to the key")]
    Doubled {
        /// The key's parameters.
        key: Vec<Param>,
    },
}

impl SqlSource {
    /// Prepares `query` against `database`.
    ///
    /// # Errors
    /// When the database refuses it, or its columns cannot serve the keys.
    pub async fn open(database: &Database, query: SqlQuery) -> Result<Self, SqlError> {
        let binds_keys = query.text.contains(KEYS);
        let statement = AssertSqlSafe(bound(&query.text, query.params.len())).into_sql_str();
        let mut connection = database.sqlite().acquire().await?;
        let prepared = (&mut *connection).prepare(statement.clone()).await?;
        let gives = |name: &String| prepared.columns().iter().any(|column| column.name() == name);
        if let Some(column) = query.params.iter().find(|param| !gives(param)) {
            return Err(SqlError::KeyColumn { column: column.clone() });
        }
        if let Some(column) = query.decimals.keys().find(|column| !gives(column)) {
            return Err(SqlError::DecimalColumn { column: column.clone() });
        }
        if let Some(column) = query.version.as_ref().filter(|column| !gives(column)) {
            return Err(SqlError::VersionColumn { column: column.clone() });
        }
        for tag in &query.tags {
            if let Some(column) = tag.names().find(|name| !gives(&(*name).to_owned())) {
                return Err(SqlError::TagColumn { tag: tag.to_string(), column: column.to_owned() });
            }
        }
        let SqlQuery { params, decimals, version, tags, .. } = query;
        Ok(Self { database: database.clone(), statement, binds_keys, params, decimals, version, tags })
    }

    async fn answers(&self, keys: &[LoadKey]) -> Result<Answers, SqlError> {
        let mut arguments = SqliteArguments::default();
        if self.binds_keys {
            sqlx::Arguments::add(&mut arguments, as_json(keys)).map_err(sqlx::Error::Encode)?;
        }
        let query = sqlx::query_with(self.statement.clone(), arguments);
        let rows = query.fetch_all(self.database.sqlite()).await?;
        let mut found: HashMap<Vec<Param>, &SqliteRow> = HashMap::with_capacity(rows.len());
        let like = keys.first().map(|key| key.params.as_slice()).unwrap_or_default();
        for row in &rows {
            // A row whose key columns are NULL or of another type belongs to no key that was asked for.
            let Some(key) = row::params(row, &self.params, like) else { continue };
            if found.insert(key.clone(), row).is_some() {
                return Err(SqlError::Doubled { key });
            }
        }
        keys.iter().map(|key| found.get(&key.params).map(|row| self.loaded(row)).transpose()).collect()
    }

    fn loaded(&self, row: &SqliteRow) -> Result<Loaded, SqlError> {
        let mut loaded = Loaded::new(Blob::json(row::json(row, &self.decimals)?));
        if let Some(column) = &self.version {
            loaded.version = row::version(row, column)?.map(Version);
        }
        for tag in &self.tags {
            // A row that has NULL in its place belongs to no such group.
            if let Some(columns) = row::texts(row, tag.names())? {
                let columns: Vec<&[u8]> = columns.iter().map(String::as_bytes).collect();
                loaded.tags.push(Tag::from(String::from_utf8_lossy(&tag.fill(&columns))));
            }
        }
        Ok(loaded)
    }
}

impl Source for SqlSource {
    fn gives_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    fn load<'a>(&'a self, _namespace: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move {
            self.answers(keys).await.map_err(|error| {
                if error.may_pass() { SourceError::passing(error) } else { SourceError::lasting(error) }
            })
        })
    }
}

impl SqlError {
    /// Whether the same load can succeed later without a change of the declaration or the data.
    fn may_pass(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => {
                // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_IOERR, SQLITE_FULL and their extended codes.
                let code = error.code().and_then(|code| code.parse::<u32>().ok());
                code.is_some_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13))
            }
            Self::Database(error) => matches!(
                error,
                sqlx::Error::Io(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
            ),
            _ => false,
        }
    }
}

/// The place of the keys in a declared query.
const KEYS: &str = "{keys}";

/// A declared query as SQLite is asked it: `{keys}` becomes the rows of one bound JSON array, of `params` columns each.
#[must_use]
pub fn bound(text: &str, params: usize) -> String {
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
