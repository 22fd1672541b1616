//! Statements that somebody declares: carried out in a transaction of their own, so that what was loaded from the rows that they change is
//! invalidated.

use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _};

use super::transaction::TransactionError;
use super::{Database, DatabaseError, Pool};

impl Database {
    /// Carries out a statement without parameters, and commits; how many rows it changed. It is taken as it is: never make one of what
    /// clients say.
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
