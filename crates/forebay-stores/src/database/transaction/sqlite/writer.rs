//! The connection by which the transactions of a SQLite file write, one after the other: it keeps its triggers and its prepared statements
//! from one to the next, since to make them anew costs more than most transactions do.
//!
//! It serves as long as the file has the schema, and the namespaces watch the tables, that its triggers were made for; then it is closed and
//! another opened. A transaction that is dropped before its end takes its connection along: the statement under way is given up, and the
//! transaction ends with the connection.

use std::sync::Arc;
use std::time::Duration;

use forebay::feed::Watched;
use forebay::rt::atomic::{AtomicBool, Ordering};
use forebay::rt::{Clock, Mutex, Tick};
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::noted::{self, Noted};
use crate::database::cancel::GivenUp;
use crate::database::transaction::within;

/// Where the connection stands, as three rows of a number each.
macro_rules! state {
    () => {
        "pragma main.schema_version; pragma temp.schema_version; select total_changes();"
    };
}
const STATE: &str = state!();
const BEGIN: &str = concat!("begin immediate;", state!());
/// Where it stands at the end, and what was noted: before anything else is done, since that counts too. Makes room for what the next
/// transaction changes.
const END: &str = concat!(
    state!(),
    "select place, old, new from temp.forebay_changes order by id;
    select place, adds from temp.forebay_tables;
    delete from temp.forebay_changes;
    delete from temp.forebay_tables;"
);
/// How many triggers the file has.
const TRIGGERS: &str = "select count(*) from main.sqlite_schema where type = 'trigger'";

/// Whose turn it is to write to a SQLite file by a transaction.
#[derive(Debug)]
pub(in crate::database) struct Turns {
    clock: Clock,
    one: Arc<Semaphore>,
    /// The connection of the last transaction, for the next.
    kept: Mutex<Option<Writer>>,
}

/// A connection whose triggers note what changes.
#[derive(Debug)]
pub(super) struct Writer {
    /// Dropped first: the statement under way is given up before the connection is closed.
    _given_up: GivenUp,
    pub(super) connection: SqliteConnection,
    is_ending: Arc<AtomicBool>,
    /// When it has lived for long enough.
    due: Tick,
    watched: Vec<Watched>,
    /// The tables that it notes the rows of.
    pub(super) noted: Vec<Noted>,
    /// Whether the triggers tell of every row: also of one that `replace` takes away.
    pub(super) is_exact: bool,
    /// The schemas that they were made for, once they are there to stay.
    made_for: Option<Schemas>,
}

/// The versions of the schema of the file and of what is temporary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schemas {
    pub(super) file: i64,
    temporary: i64,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) schemas: Schemas,
    /// All rows that it has written.
    pub(super) total_changes: i64,
}

/// What a transaction has done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) state: State,
    /// Rows of the table at a place, as they were and as they are.
    pub(super) rows: Vec<(i64, Option<String>, Option<String>)>,
    /// Tables, and whether rows came to them.
    pub(super) tables: Vec<(i64, bool)>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { clock: Clock::default(), one: Arc::new(Semaphore::new(1)), kept: Mutex::new(None) }
    }
}

impl Turns {
    /// Waits for its turn, as long as for a connection of `pool`.
    pub(super) async fn take(&self, pool: &SqlitePool) -> Result<OwnedSemaphorePermit, sqlx::Error> {
        let turn = async { Arc::clone(&self.one).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed) };
        within(pool.options().get_acquire_timeout(), turn).await
    }

    /// A connection with an open transaction that notes the rows of `watched`: that of the last transaction, where it still does.
    pub(super) async fn begin(
        &self,
        pool: &SqlitePool,
        watched: &[Watched],
    ) -> Result<(Writer, State), sqlx::Error> {
        let kept = self.kept.lock().take();
        if let Some(mut writer) = kept.filter(|kept| kept.watched == watched && self.clock.now() < kept.due) {
            let state = writer.state(BEGIN).await?;
            if writer.made_for == Some(state.schemas) {
                return Ok((writer, state));
            }
            writer.connection.close().await?;
        }
        let life = pool.options().get_max_lifetime().unwrap_or(Duration::MAX);
        let mut writer = Writer::connect(pool, self.clock.now().after(life)).await?;
        let state = writer.prepare(watched).await?;
        Ok((writer, state))
    }

    /// Keeps `writer`, whose transaction has ended, for the next one.
    pub(super) fn keep(&self, writer: Writer) {
        *self.kept.lock() = Some(writer);
    }
}

impl Writer {
    /// Opens one whose commits are on the disk when they are told, not to be lost when the power is.
    async fn connect(pool: &SqlitePool, due: Tick) -> Result<Self, sqlx::Error> {
        let options = (*pool.connect_options()).clone().synchronous(SqliteSynchronous::Full);
        let mut connection = options.pragma("temp_store", "memory").connect().await?;
        let given_up = GivenUp::on(&mut connection, || true).await?;
        let is_ending = Arc::new(AtomicBool::new(false));
        let lets = Arc::clone(&is_ending);
        connection.lock_handle().await?.set_commit_hook(move || lets.load(Ordering::SeqCst));
        Ok(Self {
            _given_up: given_up,
            connection,
            is_ending,
            due,
            watched: Vec::new(),
            noted: Vec::new(),
            is_exact: false,
            made_for: None,
        })
    }

    /// Opens the first transaction, and in it makes the triggers. They go with it where it is not committed.
    async fn prepare(&mut self, watched: &[Watched]) -> Result<State, sqlx::Error> {
        self.state(BEGIN).await?;
        let triggers: i64 = sqlx::query_scalar(TRIGGERS).fetch_one(&mut self.connection).await?;
        self.is_exact = triggers == 0;
        if self.is_exact {
            // It would change what triggers of the file do, where there are some.
            sqlx::raw_sql("pragma recursive_triggers = on").execute(&mut self.connection).await?;
        }
        self.noted = noted::of(&mut self.connection, watched).await?;
        let made = noted::triggers(&self.noted);
        sqlx::raw_sql(AssertSqlSafe(made)).execute(&mut self.connection).await?;
        watched.clone_into(&mut self.watched);
        self.state(STATE).await
    }

    /// Where it stands, after `asked`, which ends by telling it.
    async fn state(&mut self, asked: &'static str) -> Result<State, sqlx::Error> {
        let rows = sqlx::query(asked).fetch_all(&mut self.connection).await?;
        State::of(&rows)
    }

    /// What the open transaction has done.
    pub(super) async fn done(&mut self) -> Result<Done, sqlx::Error> {
        let told = sqlx::query(END).fetch_all(&mut self.connection).await?;
        let (mut rows, mut tables) = (Vec::new(), Vec::new());
        for row in &told {
            match row.len() {
                3 => rows.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)),
                2 => tables.push((row.try_get(0)?, row.try_get(1)?)),
                _ => {}
            }
        }
        Ok(Done { state: State::of(&told)?, rows, tables })
    }

    /// Ends the transaction, for whose schemas its triggers are, by a commit: the only one that is let through.
    pub(super) async fn commit(&mut self, made_for: Schemas) -> Result<(), sqlx::Error> {
        self.is_ending.store(true, Ordering::SeqCst);
        sqlx::query("commit").execute(&mut self.connection).await?;
        self.is_ending.store(false, Ordering::SeqCst);
        self.made_for = Some(made_for);
        Ok(())
    }

    /// Ends the transaction by a rollback; tells whether the connection still notes what it did before. It does not where that was made in
    /// this transaction, or where the work had ended the transaction by itself.
    pub(super) async fn roll_back(&mut self) -> Result<bool, sqlx::Error> {
        match sqlx::query("rollback").execute(&mut self.connection).await {
            Err(sqlx::Error::Database(error)) if error.message().contains("no transaction is active") => {
                Ok(false)
            }
            Err(error) => Err(error),
            Ok(_) => Ok(self.made_for.is_some()),
        }
    }
}

impl State {
    /// That which the first three of `rows` tell.
    fn of(rows: &[SqliteRow]) -> Result<Self, sqlx::Error> {
        let [file, temporary, changes, ..] = rows else { return Err(sqlx::Error::RowNotFound) };
        let schemas = Schemas { file: file.try_get(0)?, temporary: temporary.try_get(0)? };
        Ok(Self { schemas, total_changes: changes.try_get(0)? })
    }
}
