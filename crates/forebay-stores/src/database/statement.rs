//! Statements of apps, in words that every kind of database takes, and their answers.
//!
//! An app that is to run on SQLite as on PostgreSQL says each statement once: parameters are `$1`, `$2`, …, which both know, whole
//! numbers are `bigint`, money and times are text. What the two say differently is the app's to avoid, or to ask
//! [`dialect`](Database::dialect) about. Values are always bound: nothing that a client says becomes a part of a statement.

use sqlx::error::UnexpectedNullError;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Database as Kind, Decode, Encode, Executor as _, Row as _, SqlSafeStr as _, Type};

use super::transaction::{Transaction, TransactionError};
use super::{Database, DatabaseError, Dialect, Pool};

/// What is bound in the place of a parameter. Nothing is bound with its kind, which PostgreSQL wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Text.
    Text(Option<String>),
    /// A whole number of 64 bits.
    Integer(Option<i64>),
}

impl From<&str> for Parameter {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Parameter {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Parameter {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Parameter {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Parameter {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

/// A statement and what stands for its parameters.
///
/// ```
/// use forebay_stores::database::Statement;
///
/// let paid = Statement::new("update orders set status = $1 where order_no = $2").bind("paid").bind("ORDER_1");
/// # let _ = paid;
/// ```
#[derive(Clone, Debug)]
pub struct Statement {
    text: &'static str,
    parameters: Vec<Parameter>,
}

impl Statement {
    /// A statement in which `$1` is the first parameter that is bound.
    #[must_use]
    pub fn new(text: &'static str) -> Self {
        Self { text, parameters: Vec::new() }
    }

    /// The same with its next parameter.
    #[must_use]
    pub fn bind(mut self, parameter: impl Into<Parameter>) -> Self {
        self.parameters.push(parameter.into());
        self
    }

    fn query<'q, K: Kind>(&'q self) -> Query<'q, K, K::Arguments>
    where
        Option<&'q str>: Encode<'q, K> + Type<K>,
        Option<i64>: Encode<'q, K> + Type<K>,
    {
        self.parameters.iter().fold(sqlx::query(self.text), |query, parameter| match parameter {
            Parameter::Text(text) => query.bind(text.as_deref()),
            Parameter::Integer(number) => query.bind(*number),
        })
    }

    fn sqlite(&self) -> Query<'_, Sqlite, SqliteArguments> {
        self.query()
    }

    fn postgres(&self) -> Query<'_, Postgres, PgArguments> {
        self.query()
    }
}

/// A row of an answer.
#[derive(Debug)]
pub enum Row {
    /// Of SQLite.
    Sqlite(SqliteRow),
    /// Of PostgreSQL.
    Postgres(PgRow),
}

impl Row {
    /// What `column` has: text or a whole number.
    ///
    /// # Errors
    /// When there is no such column, it is null, or it has something else.
    pub fn get<T: Column>(&self, column: &str) -> Result<T, DatabaseError> {
        // SQLite's own reading of a null text is an empty one.
        let null =
            || sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(UnexpectedNullError) };
        Ok(self.get_nullable(column)?.ok_or_else(null)?)
    }

    /// The same of a column that may be null.
    ///
    /// # Errors
    /// When there is no such column, or it has something else.
    pub fn get_nullable<T: Column>(&self, column: &str) -> Result<Option<T>, DatabaseError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
}

/// What a column of a row can be read as.
pub trait Column:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl Column for String {}
impl Column for i64 {}

impl Transaction {
    /// Carries out a statement; how many rows it changed.
    ///
    /// # Errors
    /// What the database says against it.
    pub async fn execute(&mut self, statement: Statement) -> Result<u64, DatabaseError> {
        Ok(match self.dialect() {
            Dialect::Sqlite => statement.sqlite().execute(self.sqlite()?).await?.rows_affected(),
            Dialect::Postgres => statement.postgres().execute(self.postgres()?).await?.rows_affected(),
        })
    }

    /// The rows that a statement answers.
    ///
    /// # Errors
    /// What the database says against it.
    pub async fn rows(&mut self, statement: Statement) -> Result<Vec<Row>, DatabaseError> {
        Ok(match self.dialect() {
            Dialect::Sqlite => {
                statement.sqlite().fetch_all(self.sqlite()?).await?.into_iter().map(Row::Sqlite).collect()
            }
            Dialect::Postgres => statement
                .postgres()
                .fetch_all(self.postgres()?)
                .await?
                .into_iter()
                .map(Row::Postgres)
                .collect(),
        })
    }
}

impl Database {
    /// The rows that a statement answers, which changes none: for that there is a [`transaction`](Self::transaction).
    ///
    /// # Errors
    /// What the database says against it, or what kept it from saying anything.
    pub async fn rows(&self, statement: Statement) -> Result<Vec<Row>, DatabaseError> {
        Ok(match &self.pool {
            Pool::Sqlite(pool) => {
                statement.sqlite().fetch_all(pool).await?.into_iter().map(Row::Sqlite).collect()
            }
            Pool::Postgres(pool) => {
                statement.postgres().fetch_all(pool).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Carries out a statement that somebody declares, without parameters, in a transaction of its own, so that what was loaded from the
    /// rows that it changes is invalidated; how many rows it changed. It is taken as it is: never make one of what clients say.
    ///
    /// # Errors
    /// As [`transaction`](Self::transaction); [`TransactionError::Work`] is what the database says against the statement.
    pub async fn carry_out(&self, statement: &str) -> Result<u64, TransactionError<DatabaseError>> {
        let is_sqlite = matches!(self.pool, Pool::Sqlite(_));
        let statement = AssertSqlSafe(statement.to_owned());
        let committed = self.transaction(async |open| -> Result<u64, DatabaseError> {
            Ok(if is_sqlite {
                sqlx::query(statement).execute(open.sqlite()?).await?.rows_affected()
            } else {
                sqlx::query(statement).execute(open.postgres()?).await?.rows_affected()
            })
        });
        Ok(committed.await?.value)
    }

    /// Whether the database takes a statement; nothing is carried out.
    ///
    /// # Errors
    /// What it says against it, or what kept it from saying anything.
    pub async fn takes(&self, statement: &str) -> Result<(), DatabaseError> {
        let statement = AssertSqlSafe(statement.to_owned()).into_sql_str();
        match &self.pool {
            Pool::Sqlite(pool) => drop(pool.prepare(statement).await?),
            Pool::Postgres(pool) => drop(pool.prepare(statement).await?),
        }
        Ok(())
    }
}
