//! A statement that nobody waits for any more does not go on working on the server.
//!
//! A connection is taken out of its pool for one statement; where it is dropped before the statement has ended, it is closed: whatever
//! it would still say belongs to nobody. PostgreSQL looks that often whether its client is still there
//! ([`CLIENT_CHECK`](super::postgres::CLIENT_CHECK)) and gives up the statement when it is not.

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, Postgres};

/// A connection for one statement, closed when it is dropped before [`done`](Self::done).
pub(crate) struct Cancelling(Option<PoolConnection<Postgres>>);

impl Cancelling {
    /// Takes a connection out of `pool`.
    pub(crate) async fn acquire(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self(Some(pool.acquire().await?)))
    }

    /// The connection, to ask one statement of.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// The statement has ended: the connection goes back.
    pub(crate) fn done(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Cancelling {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}
