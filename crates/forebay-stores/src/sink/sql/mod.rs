//! Declared statements as sinks: many writes in one transaction, each with an outcome of its own, each applied once.
//!
//! A write goes with its operation id: the transaction that applies it puts the id into the table `forebay_operations` of the same
//! database, and a write whose id is there already counts as applied. So a write whose outcome was lost can be tried again. Ids are
//! forgotten by age, in small steps.
//!
//! A batch is one statement for all rows, and one for all deletes. Where the database refuses it (a constraint, a value that does not
//! fit) it is taken apart by halves within one transaction, until only the writes are left out that are refused for themselves. A
//! failure that is nobody's fault, such as a lost connection, fails the batch before its commit was sent, and leaves it unknown
//! after. What a call that is dropped has under way ends with its connection. A sink that fails says so in one line of the log, and in one
//! when it answers again.
//!
//! Rows come from the members of JSON objects and from the key; they are bound, never pasted. How a database is asked is in a file of its
//! own.
//!
//! ```
//! use std::sync::Arc;
//! use forebay::{BehindOptions, Blob, Forebay, Writes, secs};
//! use forebay::namespace::pattern::Pattern;
//! use forebay_stores::database::{Database, DatabaseOptions};
//! use forebay_stores::journal::{FileJournal, JournalOptions};
//! use forebay_stores::sink::sql::{REMEMBERED, SqlSink, SqlStatements};
//! use forebay_stores::source::sql::{KeyColumn, SqlQuery, SqlSource};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let database = Database::open(&DatabaseOptions::sqlite(folder.join("orders.db"), 4)).await?;
//! # sqlx::raw_sql("create table orders (id integer primary key, total text)").execute(database.sqlite()?).await?;
//! let params = KeyColumn::all_of(&Pattern::parse("order:{id:integer}")?);
//! let query = "select id, total from orders where id in {keys}";
//! let query = SqlQuery { text: query.into(), params: params.clone(), ..SqlQuery::default() };
//! let write = "insert into orders (id, total) values {rows} on conflict (id) do update set total = excluded.total";
//! let delete = Some("delete from orders where id in {keys}".into());
//! let statements = SqlStatements { write: write.into(), delete, params, remember: REMEMBERED };
//! let journal = FileJournal::open(folder.join("journal"), JournalOptions::default()).await?;
//! let orders = Forebay::new()?
//!     .namespace::<Blob>("orders")
//!     .key("order:{id:integer}")
//!     .ttl(secs(60))
//!     .source(SqlSource::open(&database, query).await?)
//!     .writes(Writes::Behind)
//!     .sink(SqlSink::open(&database, statements).await?)
//!     .behind(Arc::new(journal), BehindOptions::default())
//!     .build()?;
//!
//! orders.set(7, Blob::json(r#"{"total": 9.90}"#), 15).await?;
//! assert!(orders.flush_writes(secs(5)).await);
//! assert_eq!(orders.get(7).await?.unwrap().bytes(), r#"{"id":7,"total":"9.90"}"#);
//! # Ok(()) }
//! ```

mod fit;
mod postgres;
mod row;
mod sqlite;
mod statement;

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use forebay::error::Cause;
use forebay::rt::{Clock, Mutex};
use forebay::value::Param;
use forebay::writes::{Applied, Applying, Change, Effect, OperationId, Outcomes, SinkWrite, Unfit};
use forebay::{LoadKey, Sink, SinkError};
use sqlx::{Executor, SqlStr};

pub use row::RowError;

use crate::database::{Database, Pool};
use crate::episode::Episode;
use crate::source::sql::KeyColumn;

/// Declared statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlStatements {
    /// Writes the rows in `{rows}`, new or not: `insert into TABLE (COLUMNS) values {rows} on conflict …`. A column has the name of a
    /// parameter of the key, or of a member of the value.
    pub write: String,
    /// Deletes the rows of the keys in `{keys}`; without it deletes are refused.
    pub delete: Option<String>,
    /// The key's parameters, in order; columns of their names must be among those written.
    pub params: Vec<KeyColumn>,
    /// How long ids are remembered: longer than a write may wait, dead letters included, or it may be applied twice. [`REMEMBERED`] is
    /// a good choice.
    pub remember: Duration,
}

/// How long operation ids are remembered where nobody says otherwise: seven days.
pub const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Why declared statements cannot work.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The statement that writes has another form.
    #[error(
        "`write` must be `insert into TABLE (COLUMNS) values {{rows}} …`, with `{{rows}}` once and plain names as columns"
    )]
    Form,
    /// A parameter of the key is not written.
    #[error("`write` does not write the column `{column}`: a row must have its key")]
    KeyColumn {
        /// The parameter.
        column: String,
    },
    /// The database refused a statement.
    #[error("`{statement}` cannot work: {cause}")]
    Statement {
        /// Which: `write` or `delete`.
        statement: &'static str,
        /// What the database said.
        cause: sqlx::Error,
    },
    /// The table of operation ids is not there and could not be made.
    #[error(
        "the table `forebay_operations`, by which no write is applied twice, cannot be made ({cause}): let somebody who may run\n{ddl}"
    )]
    NoTable {
        /// The statements that make it.
        ddl: &'static str,
        /// What the database said.
        cause: sqlx::Error,
    },
    /// The table of operation ids is there and cannot be used.
    #[error(
        "the table `forebay_operations` cannot be used: {0}; this sink reads it, adds to it and deletes from it"
    )]
    Table(sqlx::Error),
    /// The database could not be asked.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
}

/// Declared statements on a database, as a sink of JSON objects.
#[derive(Debug)]
pub struct SqlSink {
    params: Vec<KeyColumn>,
    takes_deletes: bool,
    remember: Duration,
    asked: Asked,
    forgetting: Mutex<Forgetting>,
    episode: Episode,
}

/// Declared statements, as their database is asked them.
#[derive(Debug)]
enum Asked {
    Sqlite(sqlite::Asked),
    Postgres(postgres::Asked),
}

/// When old ids are looked for next.
#[derive(Debug, Default)]
struct Forgetting {
    /// Batches until then.
    batches: u32,
}

/// Batches between looks for old ids.
const FORGET_EVERY: u32 = 64;
/// How many are forgotten in one step: more than a batch adds, so that a step in each batch gets ahead.
const FORGET_MAX: u64 = 1_000;

/// One write, ready to be bound.
struct Job {
    /// Its place among those that were given.
    place: usize,
    id: OperationId,
    what: What,
}

enum What {
    /// The JSON of the row.
    Write(String),
    /// The key.
    Delete(Vec<Param>),
}

/// How a transaction ended that was not committed, or perhaps was.
enum Ended {
    /// The database refuses what it was given; nothing was done.
    Refused(sqlx::Error),
    /// It failed; nothing was done.
    Failed(sqlx::Error),
    /// Nobody knows.
    Unknown(sqlx::Error),
}

/// One connection, and what can be asked on it. Where it is dropped before [`done`](Self::done) it is closed, and what it had under way
/// with it.
trait Session: Send {
    /// Begins a transaction that is durable when it is committed.
    fn begin(&mut self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// Adds ids to those that were applied; the texts of the new ones.
    fn remember(
        &mut self,
        ids: Vec<String>,
    ) -> impl Future<Output = Result<HashSet<String>, sqlx::Error>> + Send;
    fn write(&mut self, rows: &[&str]) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    fn delete(&mut self, keys: &[&[Param]]) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// Runs a statement of no parameters.
    fn run(&mut self, sql: &'static str) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// Forgets ids that are older, at most so many; how many.
    fn forget(&mut self, older: Duration, most: u64)
    -> impl Future<Output = Result<u64, sqlx::Error>> + Send;
    /// Gives up the open transaction, if there is one.
    fn undo(&mut self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// Whether nothing of a transaction was done whose `commit` has ended in this error, which is no refusal.
    fn is_undone_at_commit(error: &sqlx::Error) -> bool;
    /// No transaction is open: the connection goes back.
    fn done(self) -> impl Future<Output = ()> + Send;
}

impl SqlSink {
    /// Prepares `statements` against `database`, and makes the table of operation ids where it is missing.
    ///
    /// # Errors
    /// When the database refuses a statement, its rows would not have their keys, or there is no table of operation ids.
    pub async fn open(database: &Database, mut statements: SqlStatements) -> Result<Self, OpenError> {
        let trim = |text: &mut String| text.truncate(text.trim_end().trim_end_matches(';').len());
        trim(&mut statements.write);
        statements.delete.as_mut().map(trim);
        let asked = match database.pool() {
            Pool::Sqlite(pool) => Asked::Sqlite(sqlite::Asked::open(pool, &statements).await?),
            Pool::Postgres(pool) => Asked::Postgres(postgres::Asked::open(pool, &statements).await?),
        };
        let SqlStatements { delete, params, remember, .. } = statements;
        let episode = Episode::new("the sink", Clock::system());
        let (takes_deletes, forgetting) = (delete.is_some(), Mutex::default());
        Ok(Self { params, takes_deletes, remember, asked, forgetting, episode })
    }

    /// A write as it is bound.
    fn bound(&self, key: &LoadKey, change: &Change) -> Result<What, RowError> {
        let key = key.params.as_slice();
        Ok(match change {
            Change::Put(value) => What::Write(match &self.asked {
                Asked::Sqlite(asked) => asked.row(&self.params, key, value)?,
                Asked::Postgres(asked) => asked.row(&self.params, key, value)?,
            }),
            Change::Delete if !self.takes_deletes => return Err(RowError::NoDelete),
            Change::Delete => What::Delete(key.to_vec()),
            _ => return Err(RowError::NotWhole),
        })
    }

    async fn applied(&self, writes: &[SinkWrite]) -> Outcomes {
        let mut outcomes: Outcomes = Vec::with_capacity(writes.len());
        let mut jobs = Vec::with_capacity(writes.len());
        for (place, write) in writes.iter().enumerate() {
            match self.bound(&write.key, &write.change) {
                Ok(what) => jobs.push(Job { place, id: write.id, what }),
                Err(error) => {
                    outcomes.push(Err(SinkError::refused(error)));
                    continue;
                }
            }
            // What a load gives may have more, or be written otherwise.
            outcomes.push(Ok(Applied::otherwise()));
        }
        if jobs.is_empty() {
            return outcomes;
        }
        let told = match &self.asked {
            Asked::Sqlite(asked) => match asked.session().await {
                Ok(session) => self.applied_on(session, &jobs).await,
                Err(error) => all(&jobs, &Ended::Failed(error)),
            },
            Asked::Postgres(asked) => match asked.session().await {
                Ok(session) => self.applied_on(session, &jobs).await,
                Err(error) => all(&jobs, &Ended::Failed(error)),
            },
        };
        for (place, error) in told {
            if let Some(outcome) = outcomes.get_mut(place) {
                *outcome = Err(error);
            }
        }
        outcomes
    }

    /// Applies `jobs`; those that were not applied, by place.
    async fn applied_on<S: Session>(&self, mut session: S, jobs: &[Job]) -> Vec<(usize, SinkError)> {
        let told = match in_one(&mut session, jobs).await {
            Err(Ended::Refused(_)) if jobs.len() > 1 => apart(&mut session, jobs).await,
            ended => ended.map(|()| Apart { told: Vec::new(), has_failed: false }),
        };
        match told {
            Ok(Apart { told, has_failed }) => {
                if !has_failed && self.forget(&mut session).await.is_ok() {
                    session.done().await;
                }
                told
            }
            Err(ended) => {
                if matches!(ended, Ended::Refused(_)) {
                    session.done().await;
                }
                all(jobs, &ended)
            }
        }
    }

    /// Forgets some old ids, where it is time. What goes wrong here is no matter of the writes, and found again at the next opening.
    async fn forget<S: Session>(&self, session: &mut S) -> Result<(), sqlx::Error> {
        {
            let mut forgetting = self.forgetting.lock();
            if forgetting.batches > 0 {
                forgetting.batches -= 1;
                return Ok(());
            }
            forgetting.batches = FORGET_EVERY;
        }
        if session.forget(self.remember, FORGET_MAX).await? == FORGET_MAX {
            self.forgetting.lock().batches = 0;
        }
        Ok(())
    }
}

impl Sink for SqlSink {
    /// Whether it can be bound: its members are the columns, and fit their types.
    fn check(&self, _: &str, key: &LoadKey, change: &Change) -> Result<(), Unfit> {
        self.bound(key, change).map(drop).map_err(Unfit::new)
    }

    fn apply<'a>(&'a self, namespace: &'a str, writes: &'a [SinkWrite]) -> Applying<'a> {
        Box::pin(async move {
            let watch = self.episode.watch(namespace, writes.iter().map(|write| &write.key));
            let outcomes = self.applied(writes).await;
            // What the database refuses it has answered.
            let failed = |error: &&SinkError| error.effect != Effect::Refused;
            watch.ended_each(|place| outcomes.get(place)?.as_ref().err().filter(failed));
            outcomes
        })
    }
}

/// Makes the table of operation ids by `ddl`, where it is missing: `remember` cannot be prepared then.
async fn make_table<D: sqlx::Database>(
    connection: &mut D::Connection,
    remember: &'static str,
    ddl: &'static str,
) -> Result<(), OpenError>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    let Err(cause) = (&mut *connection).prepare(SqlStr::from_static(remember)).await else { return Ok(()) };
    let made = (&mut *connection).execute(sqlx::raw_sql(ddl)).await;
    // Another may have made it just now.
    if made.is_err() && (&mut *connection).prepare(SqlStr::from_static(remember)).await.is_err() {
        return Err(OpenError::NoTable { ddl, cause: made.err().unwrap_or(cause) });
    }
    Ok(())
}

/// Applies `jobs` in one transaction, all of them or none.
async fn in_one<S: Session>(session: &mut S, jobs: &[Job]) -> Result<(), Ended> {
    session.begin().await.map_err(Ended::Failed)?;
    match put(session, jobs).await {
        Ok(()) => commit(session).await,
        Err(error) => Err(undo(session, error).await),
    }
}

/// What became of jobs that were applied apart from one another.
struct Apart {
    /// Those that were not applied, by place.
    told: Vec<(usize, SinkError)>,
    /// A transaction has failed, and is perhaps still open: it ends with its connection.
    has_failed: bool,
}

/// Applies those of `jobs` that the database does not refuse.
async fn apart<S: Session>(session: &mut S, jobs: &[Job]) -> Result<Apart, Ended> {
    session.begin().await.map_err(Ended::Failed)?;
    match by_halves(session, jobs).await {
        Err(error) => return Err(undo(session, error).await),
        Ok(refused) => match commit(session).await {
            Ok(()) => return Ok(Apart { told: refused, has_failed: false }),
            // Some rule is looked at only when all of it is committed.
            Err(Ended::Refused(_)) => {}
            Err(ended) => return Err(ended),
        },
    }
    let mut told = Vec::new();
    for (at, job) in jobs.iter().enumerate() {
        let one = std::slice::from_ref(job);
        match in_one(session, one).await {
            Ok(()) => {}
            Err(Ended::Refused(error)) => told.extend(all(one, &Ended::Refused(error))),
            Err(ended) => {
                told.extend(all(jobs.get(at..).unwrap_or_default(), &ended));
                return Ok(Apart { told, has_failed: true });
            }
        }
    }
    Ok(Apart { told, has_failed: false })
}

/// Puts `jobs` into the open transaction by halves, until what is left out is refused for itself; what that is.
async fn by_halves<S: Session>(
    session: &mut S,
    jobs: &[Job],
) -> Result<Vec<(usize, SinkError)>, sqlx::Error> {
    let halves = |jobs: &'_ [Job]| jobs.len() / 2;
    let mut refused = Vec::new();
    let (first, second) = jobs.split_at_checked(halves(jobs)).unwrap_or_default();
    let mut left = vec![second, first];
    while let Some(jobs) = left.pop() {
        session.run("savepoint forebay").await?;
        match put(session, jobs).await {
            Ok(()) => {}
            Err(error) if is_refusal(&error) => {
                session.run("rollback to savepoint forebay").await?;
                match jobs.split_at_checked(halves(jobs)) {
                    Some((first, second)) if !first.is_empty() => left.extend([second, first]),
                    _ => refused.extend(all(jobs, &Ended::Refused(error))),
                }
            }
            Err(error) => return Err(error),
        }
        session.run("release savepoint forebay").await?;
    }
    Ok(refused)
}

/// Puts those of `jobs` into the open transaction that were not applied before.
async fn put<S: Session>(session: &mut S, jobs: &[Job]) -> Result<(), sqlx::Error> {
    let ids = jobs.iter().map(|job| job.id.to_string()).collect();
    let new = session.remember(ids).await?;
    let is_new = |job: &&Job| new.contains(&job.id.to_string());
    let rows = jobs.iter().filter(is_new).filter_map(|job| match &job.what {
        What::Write(row) => Some(row.as_str()),
        What::Delete(_) => None,
    });
    let rows: Vec<&str> = rows.collect();
    if !rows.is_empty() {
        session.write(&rows).await?;
    }
    let keys = jobs.iter().filter(is_new).filter_map(|job| match &job.what {
        What::Write(_) => None,
        What::Delete(key) => Some(key.as_slice()),
    });
    let keys: Vec<&[Param]> = keys.collect();
    if !keys.is_empty() {
        session.delete(&keys).await?;
    }
    Ok(())
}

async fn commit<S: Session>(session: &mut S) -> Result<(), Ended> {
    let Err(error) = session.run("commit").await else { return Ok(()) };
    if is_refusal(&error) {
        return Err(undo(session, error).await);
    }
    Err(if S::is_undone_at_commit(&error) { Ended::Failed(error) } else { Ended::Unknown(error) })
}

/// Gives up the open transaction, which this has failed in.
async fn undo<S: Session>(session: &mut S, error: sqlx::Error) -> Ended {
    if !is_refusal(&error) {
        // The connection is closed, and the transaction ends with it.
        return Ended::Failed(error);
    }
    match session.undo().await {
        Ok(()) => Ended::Refused(error),
        Err(lost) => Ended::Failed(lost),
    }
}

/// Whether a database refuses what it was given, and would again.
fn is_refusal(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let Some(code) = error.code() else { return false };
    if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        // A row met twice, data, constraints, views with a check, limits (such as of an index), an exception of a trigger.
        return ["21", "22", "23", "44", "54", "P0"].iter().any(|class| code.starts_with(class));
    }
    // SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH and their extended codes.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 18..=20))
}

/// That `jobs` all ended so.
fn all(jobs: &[Job], ended: &Ended) -> Vec<(usize, SinkError)> {
    let (error, effect) = match ended {
        Ended::Refused(error) => (error, Effect::Refused),
        Ended::Failed(error) => (error, Effect::Failed),
        Ended::Unknown(error) => (error, Effect::Unknown),
    };
    let cause: Cause = Arc::new(Told(error.to_string()));
    jobs.iter().map(|job| (job.place, SinkError { cause: Arc::clone(&cause), effect })).collect()
}

/// What a database said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told(String);
