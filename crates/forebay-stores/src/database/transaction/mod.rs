//! Transactions: how an app changes its rows, so that no reader sees what they were before.
//!
//! A transaction commits and then, before it returns, invalidates what the changed rows feed. Which rows those are nobody has to tell
//! on SQLite, where triggers of the connection that writes note them. On PostgreSQL the locks of the transaction tell which tables were
//! written: what is said of their rows ([`Transaction::changed`]) makes the invalidation narrow, and where nothing is said, all that
//! depends on the table is gone. To forget it costs speed.
//!
//! It guarantees that nothing is left open: an error or a panic of the work, and a caller who goes away, roll back, in a task of their own,
//! which invalidates everything where the work may have committed by itself; once the commit is sent, another task sees it through,
//! whoever goes away. It leaves to the engine what a row is part of, and to the database how
//! transactions see one another.

mod error;
mod postgres;
pub(super) mod sqlite;
mod token;
mod told;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use forebay::Forebay;
use forebay::feed::{Changed, Watched};
use forebay::rt::{Clock, Tasks};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::oneshot;

use error::Ended;
pub use error::TransactionError;
pub use token::{Token, TokenError};
use told::{Told, Written};

use super::{Database, DatabaseError, Dialect, Pool};

/// The most changed rows of a table that are told one by one; of more, all that depends on the table is invalidated.
pub const ROWS_MAX: usize = 1_024;

tokio::task_local! {
    /// That this task is in the work of a transaction.
    static OPEN: ();
}

/// An engine that has loaded from a database, and what the database is called there.
#[derive(Clone, Debug)]
pub(super) struct Fed {
    engine: Forebay,
    name: Arc<str>,
}

/// What was committed.
#[derive(Debug)]
pub struct Committed<T> {
    /// What the work gave.
    pub value: T,
    /// For reading one's own writes.
    pub token: Token,
    /// Tables of which it was not known which rows had changed, in alphabetical order: all that depends on them was invalidated.
    pub whole_tables: Vec<Arc<str>>,
    /// The commit stands and was applied here, but the shared tier did not confirm it; it is told again until it does.
    pub unconfirmed: Option<forebay::Error>,
}

/// An open transaction, as its work holds it.
#[derive(Debug)]
pub struct Transaction {
    held: Held,
    told: Told,
    watched: Vec<Watched>,
}

/// The session that it is open in.
#[derive(Debug)]
enum Held {
    Sqlite(sqlite::Open),
    Postgres(postgres::Open),
}

impl Database {
    /// This database, whose transactions invalidate what `engine` has loaded from it under the name `name`: the one that
    /// [`Rows::of`](forebay::feed::Rows::of) is given. May be said for several keyspaces.
    #[must_use]
    pub fn feeding(&self, engine: &Forebay, name: &str) -> Self {
        let mut database = self.clone();
        database.fed.push(Fed { engine: engine.clone(), name: name.into() });
        database
    }

    /// Runs `work` in a transaction and commits what it did; an error of it, a panic, and a caller who goes away roll back. Before this
    /// returns, whatever was loaded from the changed rows is gone: no read that starts then sees what they were before.
    ///
    /// On SQLite one transaction writes at a time; the others wait for their turn, as long as for a connection.
    ///
    /// # Errors
    /// [`TransactionError::Work`] is the work's own. Of the others, only one that
    /// [`unknown_outcome`](TransactionError::unknown_outcome) is true of may have changed anything.
    pub async fn transaction<T, E>(
        &self,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, E>,
    ) -> Result<Committed<T>, TransactionError<E>> {
        if OPEN.try_with(|()| ()).is_ok() {
            return Err(TransactionError::Nested);
        }
        if self.fed.is_empty() {
            return Err(TransactionError::Unfed);
        }
        let open = self.begin().await.map_err(TransactionError::RolledBack)?;
        let mut guard = Guard { database: self, open: Some(open) };
        let worked = match &mut guard.open {
            Some(open) => OPEN.scope((), work(open)).await,
            None => return Err(TransactionError::RolledBack(sqlx::Error::PoolClosed)),
        };
        let value = match worked {
            Ok(value) => value,
            Err(error) => {
                return Err(guard.roll_back().await.map_or(TransactionError::Work(error), Into::into));
            }
        };
        let ended = self.ended(guard).await;
        let (token, ending) = ended.map_err(TransactionError::from)?;
        let Ending { whole_tables, unconfirmed } = ending;
        Ok(Committed { value, token, whole_tables, unconfirmed })
    }

    async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        let watched = self.watched();
        let held = match &self.pool {
            Pool::Sqlite(pool) => Held::Sqlite(sqlite::Open::begin(pool, &self.writers, &watched).await?),
            Pool::Postgres(pool) => Held::Postgres(postgres::Open::begin(pool, self.within).await?),
        };
        Ok(Transaction { held, told: Told::default(), watched })
    }

    /// What the engines' namespaces depend on now.
    fn watched(&self) -> Vec<Watched> {
        told::united(self.fed.iter().flat_map(|fed| fed.engine.watched(&fed.name)))
    }

    /// Commits `open`, and invalidates.
    async fn ended(&self, mut guard: Guard<'_>) -> Result<(Token, Ending), Ended> {
        let written = match &mut guard.open {
            Some(open) => within(self.within, open.written()).await,
            None => Err(sqlx::Error::PoolClosed),
        };
        let written = match written {
            Ok(written) => written,
            Err(error) => return Err(guard.roll_back().await.unwrap_or(Ended::RolledBack(error))),
        };
        let Some(open) = guard.open.take() else { return Err(Ended::RolledBack(sqlx::Error::PoolClosed)) };
        let Some(tasks) = Tasks::current() else { return Err(Ended::RolledBack(sqlx::Error::WorkerCrashed)) };
        let (tell, told) = oneshot::channel();
        // It owns itself until it is done: a caller who goes away takes no invalidation along.
        let (owner, database) = (tasks.clone(), self.clone());
        tasks.spawn(async move {
            let _owner = owner;
            database.see_through(open, written, tell).await;
        });
        told.await.unwrap_or(Err(Ended::Unknown { cause: None, unconfirmed: None }))
    }

    /// Sends the commit, invalidates what was `written`, and tells how it ended.
    async fn see_through(
        &self,
        open: Transaction,
        written: Written,
        tell: oneshot::Sender<Result<(Token, Ending), Ended>>,
    ) {
        let Transaction { held, watched, .. } = open;
        let name = self.fed.first().map_or_else(|| Arc::from(""), |fed| Arc::clone(&fed.name));
        let committed = match held {
            Held::Sqlite(open) => open.commit().await.map(|()| None),
            Held::Postgres(open) => open.commit(self.within).await,
        };
        // Whoever goes away has no use for it.
        match committed {
            Ok(place) => {
                let ending = self.invalidate(&written, &watched).await;
                let _ = tell.send(Ok((Token { database: name, place }, ending)));
            }
            Err(Unfinished::Undone(error)) => {
                let _ = tell.send(Err(Ended::RolledBack(error)));
            }
            Err(Unfinished::Unknown(cause, in_doubt)) => {
                let doubt = Doubt { name, written, watched };
                self.settle(doubt, cause, in_doubt, tell).await;
            }
        }
    }

    /// Nobody knows whether it was committed: asks the database, and invalidates all the same.
    async fn settle(
        &self,
        doubt: Doubt,
        cause: sqlx::Error,
        in_doubt: Option<postgres::InDoubt>,
        tell: oneshot::Sender<Result<(Token, Ending), Ended>>,
    ) {
        let Doubt { name, written, watched } = doubt;
        if let Some(in_doubt) = &in_doubt
            && let Some(is_committed) = in_doubt.settled(postgres::SETTLED_SOON).await
        {
            let ended = if is_committed {
                let ending = self.invalidate(&written, &watched).await;
                Ok((Token { database: name, place: in_doubt.place().await }, ending))
            } else {
                Err(Ended::RolledBack(cause))
            };
            let _ = tell.send(ended);
            return;
        }
        let Ending { unconfirmed, .. } = self.invalidate(&written, &watched).await;
        let _ = tell.send(Err(Ended::Unknown { cause: Some(cause), unconfirmed }));
        // A commit that is still under way ends after that: what was loaded meanwhile is from before it.
        if let Some(in_doubt) = in_doubt
            && in_doubt.settled(postgres::SETTLED_AT_LAST).await != Some(false)
        {
            self.invalidate(&written, &watched).await;
        }
    }

    /// Rolls `open` back in a task of its own, which tells of it only where its work had ended it before.
    fn abandoned(
        &self,
        open: postgres::Open,
        watched: Vec<Watched>,
        limit: Duration,
    ) -> Option<oneshot::Receiver<Ended>> {
        let tasks = Tasks::current()?;
        let (tell, told) = oneshot::channel();
        let (owner, database) = (tasks.clone(), self.clone());
        tasks.spawn(async move {
            let _owner = owner;
            database.abandon(open, watched, limit, tell).await;
        });
        Some(told)
    }

    /// Rolls `open` back; where that came too late, or nobody knows, whatever it may have written is invalidated.
    async fn abandon(
        &self,
        open: postgres::Open,
        watched: Vec<Watched>,
        limit: Duration,
        tell: oneshot::Sender<Ended>,
    ) {
        let anything = Written::who_knows(&watched);
        match open.abandon(limit).await {
            postgres::Abandoned::RolledBack => {}
            postgres::Abandoned::Ended => {
                let Ending { unconfirmed, .. } = self.invalidate(&anything, &watched).await;
                let _ = tell.send(Ended::Unknown { cause: Some(ended_by_work()), unconfirmed });
            }
            postgres::Abandoned::Untold(in_doubt) => {
                self.invalidate(&anything, &watched).await;
                drop(tell);
                // A statement that is still under way may commit after that.
                in_doubt.settled(postgres::SETTLED_AT_LAST).await;
                self.invalidate(&anything, &watched).await;
            }
        }
    }

    /// Makes all gone that was loaded from what was `written`, while `watched` was watched.
    async fn invalidate(&self, written: &Written, watched: &[Watched]) -> Ending {
        // Of a table that came to be watched meanwhile nobody noted the rows.
        let changes = written.with_unwatched(watched, &self.watched());
        let mut unconfirmed = None;
        for Fed { engine, name } in &self.fed {
            if let Err(error) = engine.rows_changed(name, &changes).await {
                unconfirmed = Some(error);
            }
        }
        Ending { whole_tables: told::whole(&changes), unconfirmed }
    }
}

/// How a commit ended that did not go well.
enum Unfinished {
    /// Nothing was changed.
    Undone(sqlx::Error),
    /// Nobody knows; where the database can be asked, by what.
    Unknown(sqlx::Error, Option<postgres::InDoubt>),
}

/// A commit of which nobody knows.
struct Doubt {
    name: Arc<str>,
    written: Written,
    watched: Vec<Watched>,
}

/// What is told of an invalidation.
#[derive(Debug)]
struct Ending {
    whole_tables: Vec<Arc<str>>,
    unconfirmed: Option<forebay::Error>,
}

impl Transaction {
    /// What it is asked in.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match &self.held {
            Held::Sqlite(_) => Dialect::Sqlite,
            Held::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The connection of a transaction on SQLite. To `commit` by it is refused; a `rollback` makes the transaction fail.
    /// Later transactions have the same connection: a setting stays; leave its hooks alone. To make or drop what is temporary costs the connection,
    /// and whatever was loaded from any table that is watched.
    ///
    /// # Errors
    /// [`DatabaseError::Dialect`] of another database.
    pub fn sqlite(&mut self) -> Result<&mut SqliteConnection, DatabaseError> {
        match &mut self.held {
            Held::Sqlite(open) => Ok(open.connection()),
            Held::Postgres(_) => Err(DatabaseError::Dialect { wanted: Dialect::Sqlite }),
        }
    }

    /// The connection of a transaction on PostgreSQL. A `commit` or `rollback` by it makes the transaction fail, its outcome unknown.
    ///
    /// # Errors
    /// [`DatabaseError::Dialect`] of another database.
    pub fn postgres(&mut self) -> Result<&mut PgConnection, DatabaseError> {
        match &mut self.held {
            Held::Postgres(open) => Ok(open.connection()?),
            Held::Sqlite(_) => Err(DatabaseError::Dialect { wanted: Dialect::Postgres }),
        }
    }

    /// Tells of a row that the work changes, so that no more is invalidated than what that row is part of: on PostgreSQL, where the rows of a
    /// table are told of all or not at all; SQLite finds them itself. A row that moves from one key to another is told with what it was and
    /// what it is ([`Changed::updated`]).
    pub fn changed(&mut self, change: Changed) {
        self.told.add(change);
    }

    /// What is to be invalidated once it is committed. It can do nothing more than be committed then.
    async fn written(&mut self) -> Result<Written, sqlx::Error> {
        let Self { held, told, watched } = self;
        match held {
            Held::Sqlite(open) => open.written(told, watched).await,
            Held::Postgres(open) => open.written(told, watched).await,
        }
    }
}

/// An open transaction whose work may panic, and whose caller may go away: it is rolled back then.
struct Guard<'d> {
    database: &'d Database,
    open: Option<Transaction>,
}

impl Guard<'_> {
    /// Rolls it back; tells where its work had ended it before, so that nobody knows what was committed.
    async fn roll_back(mut self) -> Option<Ended> {
        let (limit, Transaction { held, watched, .. }) = (self.database.within, self.open.take()?);
        match held {
            // Its work cannot commit it. Where it does not come to that, the connection is closed, and the transaction ends with it.
            Held::Sqlite(open) => {
                let _ = within(limit, open.roll_back()).await;
                None
            }
            Held::Postgres(open) => self.database.abandoned(open, watched, limit)?.await.ok(),
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // A transaction on SQLite ends with its connection, and nothing but the last step commits it.
        if let Some(Transaction { held: Held::Postgres(open), watched, .. }) = self.open.take() {
            // Where the process is ending there is nothing to be invalidated.
            drop(self.database.abandoned(open, watched, postgres::ANSWERS_WITHIN));
        }
    }
}

/// Why a transaction failed that its work has ended.
fn ended_by_work() -> sqlx::Error {
    sqlx::Error::Protocol("the work of the transaction ended it by itself".into())
}

/// What `asked` says, if it does within `limit`.
async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match Clock::default().timeout(limit, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the database did not answer within {limit:?}"),
        ))),
    }
}
