//! A transaction on PostgreSQL: its own locks tell which tables it has written, and its number whether it was committed.
//!
//! Every statement that changes rows locks its table until the end, also one that a trigger or a foreign key runs; what truncates or
//! alters a table locks it wholly. Constraints and triggers that wait for the commit are run before that is looked at. Rows of a foreign
//! table are another server's: they give the transaction no number, and its commit here says little of theirs.

use std::sync::Arc;
use std::time::Duration;

use forebay::feed::{Changed, Place, Watched};
use forebay::rt::{Clock, Tick};
use sqlx::postgres::{PgConnection, PgDatabaseError, PgPool, PgSeverity};
use sqlx::{AssertSqlSafe, Row as _};

use super::ended_by_work;
use super::told::{Told, Written};
use super::{Unfinished, within};
use crate::database::cancel::Cancelling;

/// How long whoever waits for a transaction waits for its outcome once its connection is lost.
pub(super) const SETTLED_SOON: Duration = Duration::from_secs(2);
/// How long the outcome is asked for after that: a commit may wait for a standby that is down.
pub(super) const SETTLED_AT_LAST: Duration = Duration::from_secs(60 * 60);
/// How long one connection may take to tell it, or what became of a transaction that was given up: others of the pool may be lost too.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// How long an outcome is not asked for again; the pause grows to the longest.
const ASKED_AGAIN: Duration = Duration::from_millis(50);
const ASKED_AGAIN_MAX: Duration = Duration::from_secs(5);

/// The number of the transaction, if it has changed anything here, whether it is the one that was begun, and which run of the server it is in.
const STATE: &str = "select pg_current_xact_id_if_assigned()::text, coalesce(current_setting('forebay.transaction', true), '') = $1,
    (select stats_reset::text from pg_stat_bgwriter)";
/// What became of a transaction, and which run of the server tells it. A server that has recovered from a crash gives numbers again that
/// were lost, and one that took over has numbers of its own: such a server's statistics began anew.
const STATUS: &str =
    "select pg_xact_status($1::text::xid8), (select stats_reset::text from pg_stat_bgwriter)";
/// The tables that the transaction has written, and those that they are partitions of: by their name alone and with that of their schema,
/// whether rows tell all, and whether they are another server's. A lock on what is no more is a nameless one. Where nothing was changed here
/// (`$1`), foreign tables alone: a statement that found no rows holds the same lock.
const LOCKED: &str = "with recursive locked as (
    select relation as oid, bool_or(mode <> 'RowExclusiveLock') as wholly from pg_locks
        where pid = pg_backend_pid() and locktype = 'relation' and relation >= 16384 and granted
            and database = (select oid from pg_database where datname = current_database())
            and mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
            and ($1 or exists (select from pg_class where oid = relation and relkind = 'f'))
        group by relation
    union select inhparent, wholly from locked join pg_inherits on inhrelid = locked.oid)
select relname::text, nspname || '.' || relname, bool_or(wholly), coalesce(bool_or(relkind = 'f'), false)
    from locked left join pg_class on pg_class.oid = locked.oid left join pg_namespace on pg_namespace.oid = relnamespace
    where relkind is null and wholly or relkind in ('r', 'p', 'f') group by 1, 2";
/// Which of the names are those of tables that are locked when they are written. A name does not tell its schema, and the work may look for
/// it elsewhere than a query does: one that a view has too, in whatever schema, may be the view's.
const KNOWN: &str = "select name from unnest($1::text[]) name where (
    select bool_and(relkind in ('r', 'p', 'f')) from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where relkind in ('r', 'p', 'f', 'v', 'm') and nspname not in ('pg_catalog', 'information_schema')
            and (relname = name or nspname || '.' || relname = name))";
/// Whether the transaction with this mark was committed on this session: a setting that it made outlives it then.
const KEPT: &str = "select coalesce(current_setting('forebay.kept', true), '') = $1";
/// Whether a session is still there; everybody may see that.
const IS_OPEN: &str = "select exists (select from pg_stat_activity where pid = $1)";

/// An open transaction.
#[derive(Debug)]
pub(super) struct Open {
    held: Cancelling,
    pool: PgPool,
    /// The process that serves the session.
    process: i32,
    /// Tells it from others that its work may have begun.
    mark: String,
    /// Its number, once it is known that it has changed something here.
    number: Option<String>,
    /// The run of the server that gave the number.
    run: Option<String>,
    /// It has changed rows of another server.
    is_foreign: bool,
    /// The work ended it.
    is_another: bool,
}

/// A transaction of which nobody knows what became of it.
#[derive(Debug)]
pub(super) struct InDoubt {
    pool: PgPool,
    by: By,
}

/// What is asked for its outcome.
#[derive(Debug)]
enum By {
    /// The number of a commit that was sent and not answered, and the run of the server that gave it.
    Number(String, Option<String>),
    /// The process that served it: once that is gone, nothing is under way any more. More it does not tell.
    Process(i32),
}

/// How a transaction ended that was not to be committed.
#[derive(Debug)]
pub(super) enum Abandoned {
    /// It was rolled back.
    RolledBack,
    /// Its work ended it before, and may have committed it.
    Ended,
    /// Nobody knows.
    Untold(InDoubt),
}

impl Open {
    pub(super) async fn begin(pool: &PgPool, limit: Duration) -> Result<Self, sqlx::Error> {
        let mut held = Cancelling::acquire(pool).await?;
        let mark = format!("{:016x}", fastrand::u64(..));
        // Which process it is is asked before, so that the work may still choose its isolation.
        let begun = format!(
            "begin; select pg_backend_pid(); end; begin read write; set local forebay.transaction = '{mark}'; set forebay.kept = '{mark}'"
        );
        let rows =
            within(limit, async { sqlx::raw_sql(AssertSqlSafe(begun)).fetch_all(held.connection()?).await });
        let process = rows.await?.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
        let (number, run) = (None, None);
        let pool = pool.clone();
        Ok(Self { held, pool, process, mark, number, run, is_foreign: false, is_another: false })
    }

    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.held.connection()
    }

    async fn state(&mut self) -> Result<(Option<String>, bool, Option<String>), sqlx::Error> {
        sqlx::query_as(STATE).bind(&self.mark).fetch_one(self.held.connection()?).await
    }

    /// What has changed: of a table of which rows are told those, of another all.
    pub(super) async fn written(
        &mut self,
        told: &mut Told,
        watched: &[Watched],
    ) -> Result<Written, sqlx::Error> {
        sqlx::raw_sql("set constraints all immediate").execute(self.held.connection()?).await?;
        let (number, is_own, run) = self.state().await?;
        (self.is_another, self.run) = (!is_own, run);
        let all = || watched.iter().map(|watched| Changed::Table(Arc::clone(&watched.table)));
        if self.is_another {
            all().for_each(|change| told.add(change));
            return Ok(Written { changes: told.changes(), anything: true });
        }
        self.number = number;
        let connection = self.held.connection()?;
        let locked: Vec<(Option<String>, Option<String>, bool, bool)> =
            sqlx::query_as(LOCKED).bind(self.number.is_some()).fetch_all(&mut *connection).await?;
        self.is_foreign = locked.iter().any(|(.., is_foreign)| *is_foreign);
        if self.number.is_none() && !self.is_foreign {
            return Ok(Written { changes: told.changes(), anything: false });
        }
        let names: Vec<String> = watched.iter().map(|watched| watched.table.to_string()).collect();
        let known: Vec<String> = sqlx::query_scalar(KNOWN).bind(names).fetch_all(&mut *connection).await?;
        for (name, in_schema, wholly, _) in locked {
            let (Some(name), Some(in_schema)) = (name, in_schema) else {
                all().for_each(|change| told.add(change));
                continue;
            };
            for Watched { table, .. } in
                watched.iter().filter(|Watched { table, .. }| **table == *name || **table == *in_schema)
            {
                if wholly || !told.is_of(table) {
                    told.add(Changed::Table(Arc::clone(table)));
                }
            }
        }
        for Watched { table, .. } in watched {
            if !known.iter().any(|known| **known == **table) && !told.is_of(table) {
                told.add(Changed::Table(Arc::clone(table)));
            }
        }
        Ok(Written { changes: told.changes(), anything: true })
    }

    /// Commits; a place that is not before the commit.
    pub(super) async fn commit(mut self, limit: Duration) -> Result<Option<Place>, Unfinished> {
        if self.is_another {
            return Err(Unfinished::Unknown(ended_by_work(), None));
        }
        let committed =
            within(limit, async { sqlx::raw_sql("commit").execute(self.held.connection()?).await.map(drop) });
        match (committed.await, self.number) {
            (Ok(()), _) => {
                let place = within(limit, async { place(self.held.connection()?).await }).await;
                if place.is_ok() {
                    self.held.done();
                }
                Ok(place.ok())
            }
            // The other server is told to commit before this one has.
            (Err(error), _) if self.is_foreign => {
                drop(self.held);
                let by = By::Process(self.process);
                Err(Unfinished::Unknown(error, Some(InDoubt { pool: self.pool, by })))
            }
            (Err(error), None) => Err(Unfinished::Undone(error)),
            (Err(error), _) if is_refusal(&error) => Err(Unfinished::Undone(error)),
            (Err(error), Some(number)) => {
                // Whatever is still under way there ends soon, once nobody listens.
                drop(self.held);
                let by = By::Number(number, self.run);
                Err(Unfinished::Unknown(error, Some(InDoubt { pool: self.pool, by })))
            }
        }
    }

    /// Rolls it back, and tells whether it was still there to be.
    pub(super) async fn abandon(mut self, limit: Duration) -> Abandoned {
        match within(limit, self.try_abandon()).await {
            Ok(true) => {
                self.held.done();
                Abandoned::RolledBack
            }
            Ok(false) => Abandoned::Ended,
            Err(_) => {
                drop(self.held);
                Abandoned::Untold(InDoubt { pool: self.pool, by: By::Process(self.process) })
            }
        }
    }

    /// Whether it was rolled back now, and not ended by its work.
    async fn try_abandon(&mut self) -> Result<bool, sqlx::Error> {
        let is_own = match self.state().await {
            Ok((_, is_own, _)) => Some(is_own),
            // One that has failed answers nothing before it has ended.
            Err(error) if has_failed(&error) => None,
            Err(error) => return Err(error),
        };
        if is_own == Some(false) {
            return Ok(false);
        }
        let connection = self.held.connection()?;
        sqlx::raw_sql("rollback").execute(&mut *connection).await?;
        let was_kept: bool = sqlx::query_scalar(KEPT).bind(&self.mark).fetch_one(connection).await?;
        Ok(!was_kept)
    }
}

impl InDoubt {
    /// Whether it was committed; `None` where nobody can tell within `limit`.
    pub(super) async fn settled(&self, limit: Duration) -> Option<bool> {
        let clock = Clock::default();
        let began: Tick = clock.now();
        let mut pause = ASKED_AGAIN;
        loop {
            let left = limit.saturating_sub(clock.now().since(began));
            let asked = within(left.min(ANSWERS_WITHIN), self.status());
            if let Ok(Some(outcome)) = asked.await {
                return outcome;
            }
            if clock.now().since(began) >= limit {
                return None;
            }
            clock.sleep(pause).await;
            pause = (pause * 2).min(ASKED_AGAIN_MAX);
        }
    }

    /// Its outcome; `Some(None)` where nobody will ever tell, `None` while it is under way.
    async fn status(&self) -> Result<Option<Option<bool>>, sqlx::Error> {
        let mut held = Cancelling::acquire(&self.pool).await?;
        let status = match &self.by {
            By::Number(number, run) => {
                let asked = sqlx::query_as(STATUS).bind(number);
                let (status, now): (Option<String>, Option<String>) =
                    asked.fetch_one(held.connection()?).await?;
                match status.as_deref().filter(|_| now == *run) {
                    Some("committed") => Some(Some(true)),
                    Some("aborted") => Some(Some(false)),
                    // So long ago that nobody knows any more, or on another server.
                    None => Some(None),
                    Some(_) => None,
                }
            }
            By::Process(process) => {
                let asked = sqlx::query_scalar(IS_OPEN).bind(process);
                let is_open: bool = asked.fetch_one(held.connection()?).await?;
                (!is_open).then_some(None)
            }
        };
        held.done();
        Ok(status)
    }

    /// A place that is not before its commit.
    pub(super) async fn place(&self) -> Option<Place> {
        let asked = within(ANSWERS_WITHIN, async {
            let mut held = Cancelling::acquire(&self.pool).await?;
            let place = place(held.connection()?).await?;
            held.done();
            Ok(place)
        });
        asked.await.ok()
    }
}

async fn place(connection: &mut PgConnection) -> Result<Place, sqlx::Error> {
    let asked = "select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint";
    let at: i64 = sqlx::query_scalar(asked).fetch_one(connection).await?;
    Ok(Place(u64::try_from(at).unwrap_or_default()))
}

/// Whether nothing is asked in a transaction because it has failed.
fn has_failed(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("25P02"))
}

/// Whether the server has rolled back what it was to commit, and said so.
fn is_refusal(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let told = error.try_downcast_ref::<PgDatabaseError>();
    told.is_some_and(|told| matches!(told.severity(), PgSeverity::Error))
}
