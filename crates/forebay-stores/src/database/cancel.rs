//! A statement that nobody waits for any more does not go on working on the server.
//!
//! A connection is taken out of its pool for one statement, or one transaction; where it is dropped before the statement has ended, it is closed: whatever
//! it would still say belongs to nobody. PostgreSQL looks that often whether its client is still there
//! ([`CLIENT_CHECK`](super::postgres::CLIENT_CHECK)) and gives up the statement when it is not.

use sqlx::pool::PoolConnection;
use sqlx::postgres::Postgres;
use sqlx::{Database, Pool};

/// A connection for one statement or transaction, closed when it is dropped before [`done`](Self::done).
#[derive(Debug)]
pub(crate) struct Cancelling<D: Database = Postgres>(Option<PoolConnection<D>>);

impl<D: Database> Cancelling<D> {
    /// Takes a connection out of `pool`.
    pub(crate) async fn acquire(pool: &Pool<D>) -> Result<Self, sqlx::Error> {
        Ok(Self(Some(pool.acquire().await?)))
    }

    /// The connection, to ask of.
    pub(crate) fn connection(&mut self) -> Result<&mut D::Connection, sqlx::Error> {
        self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// It has ended: the connection goes back.
    pub(crate) fn done(mut self) {
        drop(self.0.take());
    }
}

impl<D: Database> Drop for Cancelling<D> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}
