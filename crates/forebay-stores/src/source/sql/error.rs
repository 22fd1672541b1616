//! Why a declared query cannot work, or did not.

use forebay::value::Param;

use super::row::RowError;

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
    /// Several columns have one name: which of them a member, a key or a version would be taken from could not be told.
    #[error(
        "the query gives several columns `{column}`: select one of them, or name the others otherwise by `as`"
    )]
    DoubledColumn {
        /// The name.
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
    /// The column that says until when a row is fresh is none.
    #[error("`fresh_until` names the column `{column}`, which the query does not give")]
    FreshUntilColumn {
        /// The name.
        column: String,
    },
    /// The column that says until when a row is fresh is of another type.
    #[error(
        "`fresh_until` names the column `{column}`, which holds no times: make it a `timestamptz`, or text of RFC 3339"
    )]
    FreshUntilType {
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
    /// What a row is told apart by within its key is no column.
    #[error("`{option}` names the column `{column}`, which the query does not give")]
    ShapeColumn {
        /// `field`, `member` or `score`.
        option: &'static str,
        /// The name.
        column: String,
    },
    /// It wants values that nobody binds.
    #[error(
        "the query has {given} parameters and `{{keys}}` and `{{now}}` bind {wanted}: write other values out, only these are bound"
    )]
    Parameters {
        /// What the database counts.
        given: usize,
        /// What is bound for `{keys}` and `{now}`.
        wanted: usize,
    },
    /// The query for single fields cannot work.
    #[error("the query for single fields: {0}")]
    Fields(#[source] Box<Self>),
    /// A field would look otherwise by how it was loaded.
    #[error(
        "the query for single fields gives the columns {single}, that for whole hashes {whole}: let both give the same, in one order"
    )]
    FieldsDiffer {
        /// Columns of the query for single fields.
        single: String,
        /// Columns of the query for whole hashes.
        whole: String,
    },
    /// The query that lists the keys cannot work.
    #[error("the query that lists the keys: {0}")]
    List(#[source] Box<Self>),
    /// The query of the keys to be warm cannot work.
    #[error("the query of what is to be warm: {0}")]
    Preferred(#[source] Box<Self>),
    /// A listing cannot be read in pages, since SQLite orders the values of a column by their types first.
    #[error(
        "the column `{column}` holds values of several types, which have no one order: write `cast({column} as text) as {column}`"
    )]
    ListType {
        /// The column.
        column: String,
    },
    /// A row cannot be a value.
    #[error("{0}")]
    Row(#[from] RowError),
    /// Two rows carry the same key.
    #[error(
        "the query gives more than one row for the key {key:?}: add what tells them apart to the key, or declare `rows = \"many\"`"
    )]
    Doubled {
        /// The key's parameters.
        key: Vec<Param>,
    },
    /// Two rows of a key are the same field, or the same member.
    #[error("the query gives {part:?} of the key {key:?} more than once: let one row be one field or member")]
    DoubledPart {
        /// The key's parameters.
        key: Vec<Param>,
        /// The field or member.
        part: String,
    },
    /// A key has more rows than it may have.
    #[error("the key {key:?} has more than {limit} rows: make the query give fewer, or raise `rows_max`")]
    TooManyRows {
        /// The key's parameters.
        key: Vec<Param>,
        /// The most rows of a key.
        limit: u64,
    },
    /// The rows of a key are larger than they may be.
    #[error(
        "the rows of the key {key:?} have more than {limit} bytes: make the query give less, or raise `size_max`"
    )]
    TooLarge {
        /// The key's parameters.
        key: Vec<Param>,
        /// The most bytes of a key.
        limit: u64,
    },
    /// The rows of several keys are larger than they may be together.
    #[error(
        "the rows of {keys} keys that were asked for together have more than {limit} bytes: make the query give less for a key"
    )]
    TooLargeTogether {
        /// How many keys.
        keys: usize,
        /// The most bytes of all of them.
        limit: u64,
    },
}

impl SqlError {
    /// Whether the same load can succeed later without a change of the declaration or the data.
    pub(super) fn may_pass(&self) -> bool {
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
    // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_INTERRUPT, SQLITE_IOERR, SQLITE_FULL and their extended codes.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 9 | 10 | 13))
}
