//! A statement that nobody waits for any more does not go on working on the server.
//!
//! A connection is taken out of its pool for one statement, or one transaction; where it is dropped before the statement has ended, it is closed: whatever
//! it would still say belongs to nobody. PostgreSQL looks that often whether its client is still there
//! ([`CLIENT_CHECK`](super::postgres::CLIENT_CHECK)) and gives up the statement when it is not. SQLite works in this process: it is asked
//! every few thousand steps whether to go on ([`GivenUp`]).

use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay::rt::atomic::{AtomicBool, Ordering};
use sqlx::pool::PoolConnection;
use sqlx::postgres::Postgres;
use sqlx::sqlite::{Sqlite, SqliteConnection};
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

/// The steps of SQLite's machine between two looks at whether to go on: well under a millisecond.
const STEPS: i32 = 4_000;

/// A connection to SQLite for one statement, which ends where it takes too long or nobody waits for it any more.
#[derive(Debug)]
pub(crate) struct Interrupting {
    /// Dropped first: the statement is given up before its connection is closed.
    statement: GivenUp,
    held: Cancelling<Sqlite>,
}

/// What the statements of a connection are to know.
#[derive(Debug, Default)]
struct Statements {
    is_over: AtomicBool,
    is_given_up: AtomicBool,
}

/// Gives the statement under way up when it is dropped.
#[derive(Debug)]
pub(crate) struct GivenUp(Arc<Statements>);

impl GivenUp {
    /// Has the statements of `connection` go on as long as somebody waits for them and `is_in_time` says so.
    pub(crate) async fn on(
        connection: &mut SqliteConnection,
        mut is_in_time: impl FnMut() -> bool + Send + 'static,
    ) -> Result<Self, sqlx::Error> {
        let statement = Arc::new(Statements::default());
        let asked = Arc::clone(&statement);
        connection.lock_handle().await?.set_progress_handler(STEPS, move || {
            // What comes after it on this connection is none of its business.
            asked.is_over.load(Ordering::Relaxed)
                || (!asked.is_given_up.load(Ordering::Relaxed) && is_in_time())
        });
        Ok(Self(statement))
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.is_given_up.store(true, Ordering::Relaxed);
    }
}

impl Interrupting {
    /// Takes a connection out of `pool` for a statement that may take `limit`.
    pub(crate) async fn acquire(pool: &Pool<Sqlite>, limit: Duration) -> Result<Self, sqlx::Error> {
        let mut held = Cancelling::acquire(pool).await?;
        let clock = Clock::default();
        let due = clock.now().after(limit);
        let statement = GivenUp::on(held.connection()?, move || clock.now() < due).await?;
        Ok(Self { statement, held })
    }

    /// The connection, to ask of.
    pub(crate) fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.held.connection()
    }

    /// It has ended: the connection goes back.
    pub(crate) fn done(self) {
        let Self { statement, held } = self;
        statement.0.is_over.store(true, Ordering::Relaxed);
        held.done();
    }
}
