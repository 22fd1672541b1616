//! Declared queries as sources: one query serves one key and many, and its rows are matched to keys by column names.
//!
//! `{keys}` is bound, never pasted: however many keys it is asked for, a query is one prepared statement. A query that cannot work is
//! refused when it is opened. How a database is asked is in a file of its own; what comes back is the same.

mod cell;
mod postgres;
mod sqlite;

use std::collections::{BTreeMap, HashMap};

use forebay::namespace::pattern::{ParamKind, Pattern};
use forebay::source::{Answers, Loading};
use forebay::value::{Param, Tag, Version};
use forebay::{Blob, LoadKey, Loaded, Source, SourceError};

pub use cell::RowError;

use crate::database::{Database, Dialect, Pool};

/// A declared query.
#[derive(Clone, Debug, Default)]
pub struct SqlQuery {
    /// The query, with `{keys}` where the keys go.
    pub text: String,
    /// The key's parameters, in order; columns of their names must be among the query's.
    pub params: Vec<KeyColumn>,
    /// Columns that hold exact decimals as text or integers, with their digits after the point on the wire.
    pub decimals: BTreeMap<String, u8>,
    /// The column that orders the values of a key: integers, the newest the greatest.
    pub version: Option<String>,
    /// Groups that a value belongs to by its row, such as `venue:{venue}`: columns in braces.
    pub tags: Vec<Pattern>,
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

/// A declared query on a database, as a source of JSON objects.
#[derive(Clone, Debug)]
pub struct SqlSource {
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
    /// The key that it belongs to; `None` where a column of it is NULL or of another type.
    key: Option<Vec<Param>>,
    version: Option<i64>,
    tags: Vec<Tag>,
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
    /// The declared version is a column of another type.
    #[error("`version` names the column `{column}`, which holds no integers: order versions by an integer")]
    VersionType {
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

impl SqlQuery {
    /// Whether a query that gives `columns` can serve the keys.
    fn check(&self, columns: &[&str]) -> Result<(), SqlError> {
        let gives = |name: &str| columns.contains(&name);
        if let Some(KeyColumn { name, .. }) = self.params.iter().find(|param| !gives(&param.name)) {
            return Err(SqlError::KeyColumn { column: name.clone() });
        }
        if let Some(column) = self.decimals.keys().find(|column| !gives(column)) {
            return Err(SqlError::DecimalColumn { column: column.clone() });
        }
        if let Some(column) = self.version.as_ref().filter(|column| !gives(column)) {
            return Err(SqlError::VersionColumn { column: column.clone() });
        }
        for tag in &self.tags {
            if let Some(column) = tag.names().find(|name| !gives(name)) {
                return Err(SqlError::TagColumn { tag: tag.to_string(), column: column.to_owned() });
            }
        }
        Ok(())
    }
}

impl SqlSource {
    /// Prepares `query` against `database`.
    ///
    /// # Errors
    /// When the database refuses it, or its columns cannot serve the keys.
    pub async fn open(database: &Database, mut query: SqlQuery) -> Result<Self, SqlError> {
        query.text.truncate(query.text.trim_end().trim_end_matches(';').len());
        let asked = match database.pool() {
            Pool::Sqlite(pool) => Asked::Sqlite(sqlite::Asked::open(pool, &query).await?),
            Pool::Postgres(pool) => Asked::Postgres(postgres::Asked::open(pool, &query).await?),
        };
        Ok(Self { query, asked })
    }

    async fn answers(&self, keys: &[LoadKey]) -> Result<Answers, SqlError> {
        let rows = match &self.asked {
            Asked::Sqlite(asked) => asked.rows(&self.query, keys).await?,
            Asked::Postgres(asked) => asked.rows(&self.query, keys).await?,
        };
        let mut found: HashMap<Vec<Param>, Loaded> = HashMap::with_capacity(rows.len());
        for Row { json, key, version, tags } in rows {
            // A row whose key columns are NULL or of another type belongs to no key that was asked for.
            let Some(key) = key else { continue };
            let loaded = Loaded { version: version.map(Version), tags, ..Loaded::new(Blob::json(json)) };
            if found.insert(key.clone(), loaded).is_some() {
                return Err(SqlError::Doubled { key });
            }
        }
        Ok(keys.iter().map(|key| found.get(&key.params).cloned()).collect())
    }
}

impl Source for SqlSource {
    fn gives_tags(&self) -> bool {
        !self.query.tags.is_empty()
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
                error.code().is_some_and(|code| passing_code(error.as_ref(), &code))
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

/// Whether what a database told by this code may pass by itself.
fn passing_code(error: &dyn sqlx::error::DatabaseError, code: &str) -> bool {
    if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        // Connection, transaction rollback, resources, operator intervention (also the statement time-out), system.
        return ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class));
    }
    // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_IOERR, SQLITE_FULL and their extended codes.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13))
}

/// The place of the keys in a declared query.
const KEYS: &str = "{keys}";

/// A declared query as a database of this kind is asked it, for keys whose parameters are of `kinds`.
#[must_use]
pub fn bound(dialect: Dialect, text: &str, kinds: &[ParamKind]) -> String {
    match dialect {
        Dialect::Sqlite => sqlite::bound(text, kinds.len()),
        Dialect::Postgres => postgres::bound(text, kinds, "uuid"),
    }
}
