//! The schema of a database, as far as it says by what a row is found: tables, their columns, and which of them are the key.

pub(super) mod postgres;
pub(super) mod sqlite;

use forebay_stores::database::DatabaseError;

/// The most tables that are proposed for, and the most columns of one.
const TABLES_MAX: usize = 1_000;
const COLUMNS_MAX: usize = 1_000;

/// Why a schema could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("cannot read the schema: {0}")]
    Database(#[from] DatabaseError),
    #[error("cannot read the schema: {0}")]
    Query(#[from] sqlx::Error),
    #[error("the database has no schema {0} with tables that may be read: name another by --schema")]
    Nothing(String),
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: Name,
    /// In the order of the table.
    pub(super) columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: Name,
    /// What it is where it stands in a key; nothing where it cannot.
    pub(super) part: Option<Part>,
    /// Whether it may hold exact numbers as something else, which a declaration has to say.
    pub(super) is_decimal: bool,
    /// Its place in the primary key, from 1; 0 where it has none.
    pub(super) in_key: i64,
}

/// What a part of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Integer,
    Text,
    Uuid,
}

/// A name as it is, and as a query writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) plain: String,
    pub(super) in_sql: String,
}
