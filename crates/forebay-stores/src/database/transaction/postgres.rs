//! A transaction on PostgreSQL: its own locks tell which tables it has written, and its number whether it was committed.
//!
//! Every statement that changes rows locks its table until the end, also one that a trigger or a foreign key runs; what truncates or
//! alters a table locks it wholly. Constraints and triggers that wait for the commit are run before that is looked at.

use std::sync::Arc;
use std::time::Duration;

use forebay::feed::{Changed, Place, Watched};
use forebay::rt::{Clock, Tick};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgPool, PgSeverity};

use super::told::{Told, Written};
use super::{Unfinished, within};
use crate::database::cancel::Cancelling;

/// How long whoever waits for a transaction waits for its outcome once its connection is lost.
pub(super) const SETTLED_SOON: Duration = Duration::from_secs(2);
/// How long the outcome is asked for after that: a commit may wait for a standby that is down.
pub(super) const SETTLED_AT_LAST: Duration = Duration::from_secs(60 * 60);
/// How long one connection may take to tell it: others of the pool may be lost too.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// How long an outcome is not asked for again; the pause grows to the longest.
const ASKED_AGAIN: Duration = Duration::from_millis(50);
const ASKED_AGAIN_MAX: Duration = Duration::from_secs(5);

/// The number of the transaction, if it has changed anything, whether it is the one that was begun, and which run of the server it is in.
const STATE: &str = "select pg_current_xact_id_if_assigned()::text, coalesce(current_setting('forebay.transaction', true), '') = $1,
    (select stats_reset::text from pg_stat_bgwriter)";
/// What became of a transaction, and which run of the server tells it. A server that has recovered from a crash gives numbers again that
/// were lost, and one that took over has numbers of its own: such a server's statistics began anew.
const STATUS: &str =
    "select pg_xact_status($1::text::xid8), (select stats_reset::text from pg_stat_bgwriter)";
/// The tables that the transaction has written, and those that they are partitions of: by their name alone and with that of their schema,
/// and whether rows tell all. A lock on what is no more is a nameless one.
const LOCKED: &str = "with recursive locked as (
    select relation as oid, bool_or(mode <> 'RowExclusiveLock') as wholly from pg_locks
        where pid = pg_backend_pid() and locktype = 'relation' and relation >= 16384 and granted
            and database = (select oid from pg_database where datname = current_database())
            and mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        group by relation
    union select inhparent, wholly from locked join pg_inherits on inhrelid = locked.oid)
select relname::text, nspname || '.' || relname, bool_or(wholly)
    from locked left join pg_class on pg_class.oid = locked.oid left join pg_namespace on pg_namespace.oid = relnamespace
    where relkind is null and wholly or relkind in ('r', 'p', 'f') group by 1, 2";
/// Which of the names are those of tables that are locked when they are written.
const KNOWN: &str = "select name from unnest($1::text[]) name where exists (
    select 1 from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where relkind in ('r', 'p', 'f') and (relname = name or nspname || '.' || relname = name))";

/// An open transaction.
#[derive(Debug)]
pub(super) struct Open {
    held: Cancelling,
    pool: PgPool,
    /// Tells it from others that its work may have begun.
    mark: String,
    /// Its number, once it is known that it has changed something.
    number: Option<String>,
    /// The run of the server that gave the number.
    run: Option<String>,
    /// The work ended it.
    is_another: bool,
}

/// A commit that was sent, and not answered.
#[derive(Debug)]
pub(super) struct InDoubt {
    pool: PgPool,
    number: String,
    run: Option<String>,
}

impl Open {
    pub(super) async fn begin(pool: &PgPool, limit: Duration) -> Result<Self, sqlx::Error> {
        let mut held = Cancelling::acquire(pool).await?;
        let mark = format!("{:016x}", fastrand::u64(..));
        // No query, so that the work may still choose its isolation.
        let begun = format!("begin read write; set local forebay.transaction = '{mark}'");
        within(limit, async {
            sqlx::raw_sql(AssertSqlSafe(begun)).execute(held.connection()?).await.map(drop)
        })
        .await?;
        Ok(Self { held, pool: pool.clone(), mark, number: None, run: None, is_another: false })
    }

    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.held.connection()
    }

    /// Whether it is still the one that was begun; one that has failed is.
    pub(super) async fn is_own(&mut self) -> Result<bool, sqlx::Error> {
        let (_, is_own, _) = self.state().await?;
        Ok(is_own)
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
        if self.number.is_none() {
            return Ok(Written { changes: told.changes(), anything: false });
        }
        let connection = self.held.connection()?;
        let locked: Vec<(Option<String>, Option<String>, bool)> =
            sqlx::query_as(LOCKED).fetch_all(&mut *connection).await?;
        let names: Vec<String> = watched.iter().map(|watched| watched.table.to_string()).collect();
        let known: Vec<String> = sqlx::query_scalar(KNOWN).bind(names).fetch_all(&mut *connection).await?;
        for (name, in_schema, wholly) in locked {
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
            let ended = sqlx::Error::Protocol("the work of the transaction ended it by itself".into());
            return Err(Unfinished::Unknown(ended, None));
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
            (Err(error), None) => Err(Unfinished::Undone(error)),
            (Err(error), _) if is_refusal(&error) => Err(Unfinished::Undone(error)),
            (Err(error), Some(number)) => {
                // Whatever is still under way there ends soon, once nobody listens.
                drop(self.held);
                Err(Unfinished::Unknown(error, Some(InDoubt { pool: self.pool, number, run: self.run })))
            }
        }
    }

    pub(super) async fn roll_back(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("rollback").execute(self.held.connection()?).await?;
        self.held.done();
        Ok(())
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
            match asked.await.as_ref().map(Option::as_deref) {
                Ok(Some("committed")) => return Some(true),
                Ok(Some("aborted")) => return Some(false),
                // So long ago that nobody knows any more, or on another server.
                Ok(None) => return None,
                Ok(Some(_)) | Err(_) => {}
            }
            if clock.now().since(began) >= limit {
                return None;
            }
            clock.sleep(pause).await;
            pause = (pause * 2).min(ASKED_AGAIN_MAX);
        }
    }

    async fn status(&self) -> Result<Option<String>, sqlx::Error> {
        let mut held = Cancelling::acquire(&self.pool).await?;
        let asked = sqlx::query_as(STATUS).bind(&self.number);
        let (status, run): (Option<String>, Option<String>) = asked.fetch_one(held.connection()?).await?;
        held.done();
        Ok(status.filter(|_| run == self.run))
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

/// Whether the server has rolled back what it was to commit, and said so.
fn is_refusal(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let told = error.try_downcast_ref::<PgDatabaseError>();
    told.is_some_and(|told| matches!(told.severity(), PgSeverity::Error))
}
